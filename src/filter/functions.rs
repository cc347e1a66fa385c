//! The functions of the language (jmespath.org/specification).

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value, json};

use super::evaluate::{Found, Run, STEP_BYTES, Stopped, bool};
use super::parser::Node;
use crate::model::node;

/// Declares [`Function`]: `Name = "name", fewest arguments, most arguments;`.
macro_rules! functions {
    ($($name:ident = $text:literal, $min:literal, $max:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function { $($name,)* }

        impl Function {
            pub fn named(text: &str) -> Option<Function> {
                match text { $($text => Some(Function::$name),)* _ => None }
            }

            /// Whether it takes so many arguments.
            pub fn takes(self, arguments: usize) -> bool {
                match self { $(Function::$name => ($min..=$max).contains(&arguments),)* }
            }
        }
    };
}

functions! {
    Abs = "abs", 1, 1;
    Avg = "avg", 1, 1;
    Ceil = "ceil", 1, 1;
    Contains = "contains", 2, 2;
    EndsWith = "ends_with", 2, 2;
    Floor = "floor", 1, 1;
    Join = "join", 2, 2;
    Keys = "keys", 1, 1;
    Length = "length", 1, 1;
    Map = "map", 2, 2;
    Max = "max", 1, 1;
    MaxBy = "max_by", 2, 2;
    Merge = "merge", 1, usize::MAX;
    Min = "min", 1, 1;
    MinBy = "min_by", 2, 2;
    NotNull = "not_null", 1, usize::MAX;
    Reverse = "reverse", 1, 1;
    Sort = "sort", 1, 1;
    SortBy = "sort_by", 2, 2;
    StartsWith = "starts_with", 2, 2;
    Sum = "sum", 1, 1;
    ToArray = "to_array", 1, 1;
    ToNumber = "to_number", 1, 1;
    ToString = "to_string", 1, 1;
    Type = "type", 1, 1;
    Values = "values", 1, 1;
}

/// Whether a function takes `&x` in this place, and not a value.
pub fn is_expression_argument(function: Function, index: usize) -> bool {
    match function {
        Function::Map => index == 0,
        Function::SortBy | Function::MinBy | Function::MaxBy => index == 1,
        _ => false,
    }
}

pub fn call<'a>(run: &mut Run, function: Function, arguments: &'a [Node], value: &'a Value) -> Found<'a> {
    match (function, arguments) {
        (Function::Map, [Node::Expression(each), list]) => map(run, each, list, value),
        (Function::SortBy | Function::MinBy | Function::MaxBy, [list, Node::Expression(key)]) => {
            by(run, function, list, key, value)
        }
        (Function::NotNull, _) => not_null(run, arguments, value),
        (Function::Merge, _) => merge(run, arguments, value),
        (_, [subject]) => {
            let subject = run.evaluate(subject, value)?;
            of_one(run, function, subject)
        }
        (_, [first, second]) => {
            let (first, second) = (run.evaluate(first, value)?, run.evaluate(second, value)?);
            of_two(run, function, &first, &second)
        }
        _ => Err(Stopped),
    }
}

fn of_one<'a>(run: &mut Run, function: Function, subject: Cow<'a, Value>) -> Found<'a> {
    match function {
        Function::Type => return Ok(Cow::Owned(kind(&subject).into())),
        Function::ToArray if subject.is_array() => return Ok(subject),
        Function::ToString if subject.is_string() => return Ok(subject),
        Function::ToNumber if subject.is_number() => return Ok(subject),
        _ => run.spend_on(&subject)?,
    }
    let found = match (function, &*subject) {
        (Function::ToArray, one) => json!([one]),
        (Function::ToString, other) => Value::String(other.to_string()),
        (Function::ToNumber, Value::String(text)) => {
            node::value_of(text.as_bytes()).ok().filter(Value::is_number).unwrap_or_default()
        }
        (Function::ToNumber, _) => Value::Null,
        (Function::Abs | Function::Ceil | Function::Floor, Value::Number(number)) => rounded(function, number)?,
        (Function::Length, Value::String(text)) => json!(text.chars().count()),
        (Function::Length, Value::Array(items)) => json!(items.len()),
        (Function::Length, Value::Object(fields)) => json!(fields.len()),
        (Function::Keys, Value::Object(fields)) => fields.keys().cloned().collect(),
        (Function::Values, Value::Object(fields)) => fields.values().cloned().collect(),
        (Function::Reverse, Value::String(text)) => Value::String(text.chars().rev().collect()),
        (Function::Reverse, Value::Array(items)) => items.iter().rev().cloned().collect(),
        (Function::Sum, Value::Array(items)) => number(numbers(items)?.sum())?,
        (Function::Avg, Value::Array(items)) if items.is_empty() => Value::Null,
        (Function::Avg, Value::Array(items)) => number(numbers(items)?.sum::<f64>() / items.len() as f64)?,
        (Function::Max | Function::Min | Function::Sort, Value::Array(items)) => {
            let keyed = items.iter().map(|item| (item.clone(), item.clone())).collect();
            sorted(run, function, keyed)?
        }
        _ => return Err(Stopped),
    };
    Ok(Cow::Owned(found))
}

fn of_two<'a>(run: &mut Run, function: Function, first: &Value, second: &Value) -> Found<'a> {
    run.spend_on(first)?;
    match (function, first, second) {
        (Function::Contains, Value::Array(items), _) => {
            items.iter().try_fold(false, |found, item| Ok(found || run.are_equal(item, second)?)).map(bool)
        }
        (Function::Contains, Value::String(text), Value::String(part)) => Ok(bool(text.contains(part.as_str()))),
        (Function::Contains, Value::String(_), _) => Ok(bool(false)),
        (Function::StartsWith, Value::String(text), Value::String(part)) => Ok(bool(text.starts_with(part.as_str()))),
        (Function::EndsWith, Value::String(text), Value::String(part)) => Ok(bool(text.ends_with(part.as_str()))),
        (Function::Join, Value::String(glue), Value::Array(items)) => {
            run.spend_on(second)?;
            run.spend(items.len() * (1 + glue.len() / STEP_BYTES))?;
            let texts = items.iter().map(|item| item.as_str().ok_or(Stopped)).collect::<Result<Vec<_>, _>>()?;
            Ok(Cow::Owned(texts.join(glue).into()))
        }
        _ => Err(Stopped),
    }
}

fn not_null<'a>(run: &mut Run, arguments: &'a [Node], value: &'a Value) -> Found<'a> {
    for argument in arguments {
        let found = run.evaluate(argument, value)?;
        if !found.is_null() {
            return Ok(found);
        }
    }
    Ok(Cow::Owned(Value::Null))
}

fn merge<'a>(run: &mut Run, arguments: &[Node], value: &Value) -> Found<'a> {
    let mut merged = Map::new();
    for argument in arguments {
        let Value::Object(fields) = run.owned(argument, value)? else { return Err(Stopped) };
        merged.extend(fields);
    }
    Ok(Cow::Owned(Value::Object(merged)))
}

fn map<'a>(run: &mut Run, each: &Node, list: &Node, value: &Value) -> Found<'a> {
    let list = run.evaluate(list, value)?;
    let items = list.as_array().ok_or(Stopped)?;
    let mapped = items.iter().map(|item| run.owned(each, item)).collect::<Result<_, _>>()?;
    Ok(Cow::Owned(Value::Array(mapped)))
}

fn by<'a>(run: &mut Run, function: Function, list: &Node, key: &Node, value: &Value) -> Found<'a> {
    let Value::Array(items) = run.owned(list, value)? else { return Err(Stopped) };
    let keyed = |item: Value| Ok((run.owned(key, &item)?, item));
    let keyed = items.into_iter().map(keyed).collect::<Result<Vec<_>, _>>()?;
    sorted(run, function, keyed).map(Cow::Owned)
}

/// Items by their keys, which are all numbers or all texts: in their order, or the first or last of it.
fn sorted(run: &mut Run, function: Function, keyed: Vec<(Value, Value)>) -> Result<Value, Stopped> {
    let are_alike = keyed.iter().all(|(key, _)| key.is_number()) || keyed.iter().all(|(key, _)| key.is_string());
    if !are_alike {
        return Err(Stopped);
    }
    run.spend(keyed.len() * (1 + keyed.len().checked_ilog2().unwrap_or(0) as usize))?;
    // There are few, and a sort of the library is as large as all of this.
    let mut sorted: Vec<(Value, Value)> = Vec::with_capacity(keyed.len());
    for (key, item) in keyed {
        let at = sorted.partition_point(|(other, _)| order(other, &key) != Ordering::Greater);
        sorted.insert(at, (key, item));
    }
    let mut items = sorted.into_iter().map(|(_, item)| item);
    Ok(match function {
        Function::Min | Function::MinBy => items.next().unwrap_or_default(),
        Function::Max | Function::MaxBy => items.next_back().unwrap_or_default(),
        _ => items.collect(),
    })
}

fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn numbers(items: &[Value]) -> Result<impl Iterator<Item = f64>, Stopped> {
    match items.iter().all(Value::is_number) {
        true => Ok(items.iter().filter_map(Value::as_f64)),
        false => Err(Stopped),
    }
}

fn rounded(function: Function, known: &Number) -> Result<Value, Stopped> {
    let value = known.as_f64().ok_or(Stopped)?;
    number(match function {
        Function::Abs => value.abs(),
        Function::Ceil => value.ceil(),
        _ => value.floor(),
    })
}

/// A number, whole if it is.
fn number(value: f64) -> Result<Value, Stopped> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && value.abs() < EXACT {
        true => Ok(json!(value as i64)),
        false => Number::from_f64(value).map(Value::Number).ok_or(Stopped),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
