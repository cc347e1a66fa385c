//! The tokens of an expression.

use serde_json::Value;

use crate::limits::FILTER_TOKENS_MAX;
use crate::model::node;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Name(String),
    /// A name in double quotes, which may hold anything.
    Quoted(String),
    Literal(Value),
    Number(i64),
    Sign(&'static str),
    End,
}

/// The longer before those that they begin with.
const SIGNS: [&str; 24] = [
    "[?", "[]", "&&", "||", "==", "!=", "<=", ">=", ".", "*", "[", "]", "{", "}", "(", ")", ",", ":", "@", "&", "|",
    "!", "<", ">",
];

/// Tokens, the last of which is the end. Fails with a text that says what is wrong.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut found, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        if found.len() >= FILTER_TOKENS_MAX {
            return Err(format!("it has more than {FILTER_TOKENS_MAX} names, values and operators"));
        }
        let (token, after) = match first {
            '"' => quoted(rest)?,
            '\'' => raw(rest)?,
            '`' => literal(rest)?,
            '-' | '0'..='9' => number(rest)?,
            'a'..='z' | 'A'..='Z' | '_' => name(rest),
            _ => sign(rest).ok_or_else(|| format!("it has a '{first}' that means nothing there"))?,
        };
        found.push(token);
        rest = after.trim_start();
    }
    found.push(Token::End);
    Ok(found)
}

fn name(text: &str) -> (Token, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (Token::Name(text[..end].to_owned()), &text[end..])
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let end = text[1..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| end + 1);
    let number = text[..end].parse().map_err(|_| format!("'{}' is no whole number", &text[..end]))?;
    Ok((Token::Number(number), &text[end..]))
}

fn sign(text: &str) -> Option<(Token, &str)> {
    SIGNS.iter().find_map(|sign| text.strip_prefix(sign).map(|after| (Token::Sign(sign), after)))
}

fn quoted(text: &str) -> Result<(Token, &str), String> {
    let (_, after) = enclosed(text)?;
    let whole = &text[..text.len() - after.len()];
    match node::value_of(whole.as_bytes()) {
        Ok(Value::String(name)) => Ok((Token::Quoted(name), after)),
        _ => Err("a name in double quotes must be a JSON string".to_owned()),
    }
}

fn raw(text: &str) -> Result<(Token, &str), String> {
    let (inside, after) = enclosed(text)?;
    Ok((Token::Literal(Value::String(inside.replace("\\'", "'"))), after))
}

fn literal(text: &str) -> Result<(Token, &str), String> {
    let (inside, after) = enclosed(text)?;
    let value = node::value_of(inside.replace("\\`", "`").as_bytes());
    value.map(|value| (Token::Literal(value), after)).map_err(|_| "a literal in backticks must be JSON".to_owned())
}

/// What stands between a quotation mark and the next of its kind without a backslash, and what follows.
fn enclosed(text: &str) -> Result<(&str, &str), String> {
    let mark = text.as_bytes()[0];
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == mark => return Ok((&text[1..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err(format!("a text that begins with {} does not end", mark as char))
}
