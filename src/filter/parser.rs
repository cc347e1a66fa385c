//! From tokens to a tree, by how tightly operators bind (jmespath.org/specification).

use serde_json::Value;

use super::functions::{Function, is_expression_argument};
use super::lexer::{Token, tokens};
use crate::limits::FILTER_NESTING_MAX;

#[derive(Debug)]
pub enum Node {
    Current,
    Field(Box<str>),
    Literal(Value),
    Index(i64),
    Slice(Box<[Option<i64>; 3]>),
    /// The second of what the first gives: a part, or behind a pipe.
    Then(Box<Node>, Box<Node>),
    /// The second of each item of the list that the first gives.
    Items(Box<Node>, Box<Node>),
    /// The same of each value of an object.
    Values(Box<Node>, Box<Node>),
    /// The third of each item for which the second is true.
    Those(Box<[Node; 3]>),
    Flatten(Box<Node>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(&'static str, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
    /// `&x`: an argument that is evaluated for each item.
    Expression(Box<Node>),
}

type Parsed = Result<Node, String>;

const PIPE: u8 = 1;
const OR: u8 = 2;
const AND: u8 = 3;
const COMPARISON: u8 = 5;
const FLATTEN: u8 = 9;
/// What binds less than this ends a projection.
const PROJECTION_ENDS: u8 = 10;
const STAR: u8 = 20;
const CONDITION: u8 = 21;
const DOT: u8 = 40;
const NOT: u8 = 45;
const BRACE: u8 = 50;
const BRACKET: u8 = 55;
const PARENTHESIS: u8 = 60;

/// Fails with a text that says what is wrong.
pub fn parse(text: &str) -> Parsed {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Token::End if !matches!(node, Node::Expression(_)) => Ok(node),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn peek_second(&self) -> &Token {
        self.tokens.get(self.at + 1).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_there = self.is_at(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn is_at(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn must_take(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> String {
        match self.peek() {
            Token::End => "it ends too early".to_owned(),
            Token::Name(name) | Token::Quoted(name) => format!("'{name}' cannot stand there"),
            Token::Number(number) => format!("the number {number} cannot stand there"),
            Token::Literal(value) => format!("the literal {value} cannot stand there"),
            Token::Sign(sign) => format!("'{sign}' cannot stand there"),
        }
    }

    /// How tightly what comes next binds to what stands before it.
    fn binding(&self) -> u8 {
        let Token::Sign(sign) = self.peek() else { return 0 };
        match *sign {
            "|" => PIPE,
            "||" => OR,
            "&&" => AND,
            "==" | "!=" | "<" | "<=" | ">" | ">=" => COMPARISON,
            "[]" => FLATTEN,
            "*" => STAR,
            "[?" => CONDITION,
            "." => DOT,
            "!" => NOT,
            "{" => BRACE,
            "[" => BRACKET,
            "(" => PARENTHESIS,
            _ => 0,
        }
    }

    fn expression(&mut self, binding: u8) -> Parsed {
        self.depth += 1;
        if self.depth > FILTER_NESTING_MAX {
            return Err(format!("it is nested more than {FILTER_NESTING_MAX} deep"));
        }
        let mut left = self.prefix()?;
        while binding < self.binding() {
            left = self.infix(left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Parsed {
        let sign = match self.peek() {
            Token::Sign(sign) => *sign,
            Token::End => return Err(self.unexpected()),
            _ => return self.value(),
        };
        match sign {
            "[?" => return self.those(Node::Current),
            "[]" => return self.flatten(Node::Current),
            "[" => return self.bracket(),
            "*" | "@" | "&" | "!" | "(" | "{" => self.at += 1,
            _ => return Err(self.unexpected()),
        }
        match sign {
            "*" => self.values(Node::Current),
            "@" => Ok(Node::Current),
            "&" => Ok(Node::Expression(self.expression(0)?.into())),
            "!" => Ok(Node::Not(self.expression(NOT)?.into())),
            "{" => self.object(),
            _ => {
                let inside = self.expression(0)?;
                self.must_take(")").map(|()| inside)
            }
        }
    }

    fn value(&mut self) -> Parsed {
        if matches!(self.peek(), Token::Number(_)) {
            return Err(self.unexpected());
        }
        match self.take() {
            Token::Name(name) if self.takes("(") => self.call(&name),
            Token::Name(name) | Token::Quoted(name) => Ok(Node::Field(name.into())),
            Token::Literal(value) => Ok(Node::Literal(value)),
            _ => Err(self.unexpected()),
        }
    }

    fn infix(&mut self, left: Node) -> Parsed {
        let Token::Sign(sign) = *self.peek() else { return Err(self.unexpected()) };
        match sign {
            "[?" => return self.those(left),
            "[]" => return self.flatten(left),
            "*" | "!" | "{" | "(" => return Err(self.unexpected()),
            _ => self.at += 1,
        }
        let binding = match sign {
            "." => return self.part(left),
            "[" => return self.place(left),
            "|" => PIPE,
            "||" => OR,
            "&&" => AND,
            _ => COMPARISON,
        };
        let (left, right) = (Box::new(left), Box::new(self.expression(binding)?));
        Ok(match sign {
            "|" => Node::Then(left, right),
            "||" => Node::Or(left, right),
            "&&" => Node::And(left, right),
            _ => Node::Compare(sign, left, right),
        })
    }

    fn part(&mut self, left: Node) -> Parsed {
        match self.takes("*") {
            true => self.values(left),
            false => Ok(Node::Then(left.into(), self.behind_dot(DOT)?.into())),
        }
    }

    fn behind_dot(&mut self, binding: u8) -> Parsed {
        match self.peek() {
            Token::Name(_) | Token::Quoted(_) | Token::Sign("*") => self.expression(binding),
            Token::Sign("[") => {
                self.at += 1;
                self.list()
            }
            Token::Sign("{") => {
                self.at += 1;
                self.object()
            }
            _ => Err(self.unexpected()),
        }
    }

    /// What is done with each item of a projection.
    fn each(&mut self, binding: u8) -> Parsed {
        if self.binding() < PROJECTION_ENDS {
            return Ok(Node::Current);
        }
        match self.peek() {
            Token::Sign("[" | "[?") => self.expression(binding),
            Token::Sign(".") => {
                self.at += 1;
                self.behind_dot(binding)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn values(&mut self, left: Node) -> Parsed {
        let each = if self.is_at("]") { Node::Current } else { self.each(STAR)? };
        Ok(Node::Values(left.into(), each.into()))
    }

    fn those(&mut self, left: Node) -> Parsed {
        self.must_take("[?")?;
        let condition = self.expression(0)?;
        self.must_take("]")?;
        let each = if self.is_at("[]") { Node::Current } else { self.each(CONDITION)? };
        Ok(Node::Those(Box::new([left, condition, each])))
    }

    fn flatten(&mut self, left: Node) -> Parsed {
        self.must_take("[]")?;
        let each = self.each(FLATTEN)?;
        Ok(Node::Items(Box::new(Node::Flatten(left.into())), each.into()))
    }

    /// A bracket that begins an expression: a place in a list, or a list of expressions.
    fn bracket(&mut self) -> Parsed {
        self.must_take("[")?;
        match (self.peek(), self.peek_second()) {
            (Token::Number(_) | Token::Sign(":"), _) | (Token::Sign("*"), Token::Sign("]")) => {
                self.place(Node::Current)
            }
            _ => self.list(),
        }
    }

    /// What follows a bracket behind a list: an index, a slice or a star.
    fn place(&mut self, left: Node) -> Parsed {
        if self.takes("*") {
            self.must_take("]")?;
            return Ok(Node::Items(left.into(), self.each(STAR)?.into()));
        }
        let mut parts = [None; 3];
        let mut index = 0;
        while !self.takes("]") {
            match self.peek() {
                Token::Sign(":") if index < 2 => index += 1,
                Token::Number(number) if parts[index].is_none() => parts[index] = Some(*number),
                _ => return Err(self.unexpected()),
            }
            self.at += 1;
        }
        match (index, parts) {
            (0, [Some(index), ..]) => Ok(Node::Then(left.into(), Node::Index(index).into())),
            (0, _) => Err(self.unexpected()),
            (_, [_, _, Some(0)]) => Err("the step of a slice cannot be 0".to_owned()),
            _ => {
                let slice = Node::Then(left.into(), Node::Slice(Box::new(parts)).into());
                Ok(Node::Items(slice.into(), self.each(STAR)?.into()))
            }
        }
    }

    fn list(&mut self) -> Parsed {
        let mut items = vec![self.expression(0)?];
        while self.takes(",") {
            items.push(self.expression(0)?);
        }
        self.must_take("]").map(|()| Node::List(items))
    }

    fn object(&mut self) -> Parsed {
        let mut fields = Vec::new();
        loop {
            let (Token::Name(name) | Token::Quoted(name)) = self.peek().clone() else { return Err(self.unexpected()) };
            self.at += 1;
            self.must_take(":")?;
            fields.push((name, self.expression(0)?));
            if !self.takes(",") {
                return self.must_take("}").map(|()| Node::Object(fields));
            }
        }
    }

    fn call(&mut self, name: &str) -> Parsed {
        let function = Function::named(name).ok_or_else(|| format!("there is no function '{name}'"))?;
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.must_take(",")?;
            }
            arguments.push(self.expression(0)?);
        }
        if !function.takes(arguments.len()) {
            return Err(format!("the function '{name}' does not take {} arguments", arguments.len()));
        }
        for (index, argument) in arguments.iter().enumerate() {
            if matches!(argument, Node::Expression(_)) != is_expression_argument(function, index) {
                return Err(format!("the function '{name}' takes another kind of argument, with or without '&'"));
            }
        }
        Ok(Node::Call(function, arguments))
    }
}
