//! What an expression gives for a value. It takes a bounded number of steps, and copies what it makes anew alone.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::functions;
use super::parser::Node;

/// Why there is no result: a function got what it does not take, or the steps are used up.
#[derive(Debug, PartialEq)]
pub struct Stopped;

pub type Found<'a> = Result<Cow<'a, Value>, Stopped>;

/// What may be spent on one evaluation yet.
pub struct Run {
    pub steps_left: usize,
}

/// Bytes of a text that count as one step.
pub const STEP_BYTES: usize = 256;

static NULL: Value = Value::Null;

impl Run {
    pub fn evaluate<'a>(&mut self, node: &'a Node, value: &'a Value) -> Found<'a> {
        self.spend(1)?;
        match node {
            Node::Current => Ok(Cow::Borrowed(value)),
            Node::Field(name) => Ok(Cow::Borrowed(value.get(&**name).unwrap_or(&NULL))),
            Node::Literal(literal) => Ok(Cow::Borrowed(literal)),
            Node::Index(index) => Ok(Cow::Borrowed(at(value, *index))),
            Node::Slice(parts) => self.slice(parts, value),
            Node::Then(first, second) => self.then(first, second, value),
            Node::Items(list, each) => self.items(list, None, each, value),
            Node::Those(parts) => self.items(&parts[0], Some(&parts[1]), &parts[2], value),
            Node::Values(object, each) => self.values(object, each, value),
            Node::Flatten(list) => self.flatten(list, value),
            Node::List(_) | Node::Object(_) if value.is_null() => Ok(Cow::Borrowed(&NULL)),
            Node::List(nodes) => {
                let items = nodes.iter().map(|node| self.owned(node, value)).collect::<Result<_, _>>()?;
                Ok(Cow::Owned(Value::Array(items)))
            }
            Node::Object(fields) => self.object(fields, value),
            Node::And(left, right) => self.either(left, right, value, false),
            Node::Or(left, right) => self.either(left, right, value, true),
            Node::Not(node) => Ok(bool(!is_true(&*self.evaluate(node, value)?))),
            Node::Compare(sign, left, right) => self.compare(sign, left, right, value),
            Node::Call(function, arguments) => functions::call(self, *function, arguments, value),
            Node::Expression(_) => Err(Stopped),
        }
    }

    pub fn spend(&mut self, steps: usize) -> Result<(), Stopped> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Stopped)?;
        Ok(())
    }

    /// What it costs to look at all of a value.
    pub fn spend_on(&mut self, value: &Value) -> Result<(), Stopped> {
        match value {
            Value::String(text) => self.spend_on_text(text),
            Value::Array(items) => {
                self.spend(1)?;
                items.iter().try_for_each(|item| self.spend_on(item))
            }
            Value::Object(fields) => {
                self.spend(1)?;
                fields.iter().try_for_each(|(name, item)| self.spend_on_text(name).and_then(|()| self.spend_on(item)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.spend(1),
        }
    }

    pub fn spend_on_text(&mut self, text: &str) -> Result<(), Stopped> {
        self.spend(1 + text.len() / STEP_BYTES)
    }

    /// The result as a value of its own.
    pub fn owned(&mut self, node: &Node, value: &Value) -> Result<Value, Stopped> {
        let found = self.evaluate(node, value)?;
        self.own(found)
    }

    pub fn own(&mut self, found: Cow<'_, Value>) -> Result<Value, Stopped> {
        if let Cow::Borrowed(value) = found {
            self.spend_on(value)?;
        }
        Ok(found.into_owned())
    }

    fn then<'a>(&mut self, first: &'a Node, second: &'a Node, value: &'a Value) -> Found<'a> {
        match self.evaluate(first, value)? {
            Cow::Borrowed(value) => self.evaluate(second, value),
            Cow::Owned(value) => self.owned(second, &value).map(Cow::Owned),
        }
    }

    /// The first that is true, or the first that is not.
    fn either<'a>(&mut self, left: &'a Node, right: &'a Node, value: &'a Value, wanted: bool) -> Found<'a> {
        let left = self.evaluate(left, value)?;
        if is_true(&left) == wanted { Ok(left) } else { self.evaluate(right, value) }
    }

    fn slice<'a>(&mut self, parts: &[Option<i64>; 3], value: &Value) -> Found<'a> {
        let Some(items) = value.as_array() else { return Ok(Cow::Borrowed(&NULL)) };
        let (length, step) = (items.len() as i64, parts[2].unwrap_or(1));
        let place = |part: Option<i64>, default: i64, from: i64, to: i64| {
            let place = part.map_or(default, |part| if part < 0 { part.saturating_add(length) } else { part });
            place.clamp(from, to)
        };
        let (mut at, end) = match step > 0 {
            true => (place(parts[0], 0, 0, length), place(parts[1], length, 0, length)),
            false => (place(parts[0], length - 1, -1, length - 1), place(parts[1], -1, -1, length - 1)),
        };
        // An end that is left out lies before the first, where -1 would be the last.
        let mut found = Vec::new();
        while if step > 0 { at < end } else { at > end } {
            found.push(self.own(Cow::Borrowed(&items[at as usize]))?);
            at = at.saturating_add(step);
        }
        Ok(Cow::Owned(Value::Array(found)))
    }

    fn items<'a>(&mut self, list: &'a Node, condition: Option<&Node>, each: &Node, value: &'a Value) -> Found<'a> {
        let list = self.evaluate(list, value)?;
        let Some(items) = list.as_array() else { return Ok(Cow::Borrowed(&NULL)) };
        let mut found = Vec::new();
        for item in items {
            let is_wanted = match condition {
                Some(condition) => is_true(&*self.evaluate(condition, item)?),
                None => true,
            };
            if is_wanted {
                self.keep(each, item, &mut found)?;
            }
        }
        Ok(Cow::Owned(Value::Array(found)))
    }

    fn values<'a>(&mut self, object: &'a Node, each: &Node, value: &'a Value) -> Found<'a> {
        let object = self.evaluate(object, value)?;
        let Some(fields) = object.as_object() else { return Ok(Cow::Borrowed(&NULL)) };
        let mut found = Vec::new();
        for item in fields.values() {
            self.keep(each, item, &mut found)?;
        }
        Ok(Cow::Owned(Value::Array(found)))
    }

    /// Null is left out of projections.
    fn keep(&mut self, each: &Node, item: &Value, found: &mut Vec<Value>) -> Result<(), Stopped> {
        let value = self.owned(each, item)?;
        if !value.is_null() {
            found.push(value);
        }
        Ok(())
    }

    fn flatten<'a>(&mut self, list: &'a Node, value: &'a Value) -> Found<'a> {
        let list = self.evaluate(list, value)?;
        let Some(items) = list.as_array() else { return Ok(Cow::Borrowed(&NULL)) };
        let mut found = Vec::new();
        for item in items {
            match self.own(Cow::Borrowed(item))? {
                Value::Array(inner) => found.extend(inner),
                item => found.push(item),
            }
        }
        Ok(Cow::Owned(Value::Array(found)))
    }

    fn object<'a>(&mut self, fields: &[(String, Node)], value: &Value) -> Found<'a> {
        let mut object = Map::new();
        for (name, node) in fields {
            object.insert(name.clone(), self.owned(node, value)?);
        }
        Ok(Cow::Owned(Value::Object(object)))
    }

    fn compare<'a>(&mut self, sign: &str, left: &'a Node, right: &'a Node, value: &'a Value) -> Found<'a> {
        let (left, right) = (self.evaluate(left, value)?, self.evaluate(right, value)?);
        match sign {
            "==" => return self.are_equal(&left, &right).map(bool),
            "!=" => return self.are_equal(&left, &right).map(|equal| bool(!equal)),
            _ => {}
        }
        let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else { return Ok(Cow::Borrowed(&NULL)) };
        Ok(bool(match sign {
            "<" => left < right,
            "<=" => left <= right,
            ">" => left > right,
            _ => left >= right,
        }))
    }

    /// Whether two values are the same, numbers by their value: 1 is 1.0.
    pub fn are_equal(&mut self, left: &Value, right: &Value) -> Result<bool, Stopped> {
        match (left, right) {
            (Value::Number(_), Value::Number(_)) => Ok(left.as_f64() == right.as_f64()),
            (Value::String(a), Value::String(b)) if a.len() == b.len() => self.spend_on_text(a).map(|()| a == b),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).try_fold(true, |equal, (a, b)| {
                    self.spend(1)?;
                    Ok(equal && self.are_equal(a, b)?)
                })
            }
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
                a.iter().try_fold(true, |equal, (name, a)| {
                    self.spend(1)?;
                    let other = b.get(name).filter(|_| equal);
                    other.map_or(Ok(false), |other| self.are_equal(a, other))
                })
            }
            (Value::Array(_) | Value::Object(_), _) => Ok(false),
            _ => Ok(left == right),
        }
    }
}

pub fn bool<'a>(truth: bool) -> Cow<'a, Value> {
    Cow::Owned(Value::Bool(truth))
}

/// What is empty is false, and so is nothing; each number is true.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn at(value: &Value, index: i64) -> &Value {
    let Some(items) = value.as_array() else { return &NULL };
    let index = if index < 0 { index.saturating_add(items.len() as i64) } else { index };
    usize::try_from(index).ok().and_then(|index| items.get(index)).unwrap_or(&NULL)
}
