//! What a client sends, before it is known what it should be: a tree of values, read from either format.
//!
//! Every frame and body becomes a tree first and is taken apart by plain code. To decode each type from each format in
//! its own way would be several times the code, and it is what a client waits for when it connects to an object that
//! sleeps.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::{Format, json, msgpack};
use crate::error::{Code, ErrorInfo};
use crate::limits::{DECODE_ERROR_MAX_BYTES, DECODED_VALUES_MAX};

/// A value. Maps keep their order, and a name that comes twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'de> {
    Null,
    Bool(bool),
    Number(Number),
    /// A number of an object: always a float64 in msgpack, where some SDKs read nothing else. JSON has a whole one
    /// without a fraction. From JSON this is an integer of more than 64 bits, which nothing but an object may have.
    Double(f64),
    Text(String),
    /// In msgpack only.
    Binary(Vec<u8>),
    List(Vec<Node<'de>>),
    Map(Vec<(Cow<'de, str>, Node<'de>)>),
    /// Something that the protocol carries nowhere, and what it has instead. It costs what needs it, and no more.
    Unfit(Wanted),
}

/// The name of a field whose own is no text: no field that anybody looks for.
pub(super) const NAMELESS: &str = "";

/// What a value is not.
pub type Wanted = &'static str;

/// Reads what a client sent. Fails with 40001 when it is not of that format, and says at what.
pub fn read(bytes: &[u8], format: Format) -> Result<Node<'_>, ErrorInfo> {
    match format {
        Format::Json => from_json(bytes).map_err(|error| undecodable(format, &error.to_string())),
        Format::Msgpack => msgpack::read(bytes).map_err(|error| undecodable(format, error)),
    }
}

/// The error for what can't be read. Decoders quote what is wrong, which may be most of a frame.
pub fn undecodable(format: Format, why: &str) -> ErrorInfo {
    let name = if format == Format::Json { "JSON" } else { "msgpack" };
    let mut text = format!("not valid {name} here: {why}");
    text.truncate(text.floor_char_boundary(DECODE_ERROR_MAX_BYTES));
    Code::BadBody.because(text)
}

/// Half a surrogate pair, which programs that count in UTF-16 cut off, is read as U+FFFD.
pub fn from_json(text: &[u8]) -> Result<Node<'_>, serde_json::Error> {
    parse_mended(text, &OnceCell::new())
}

fn parse_mended<'de>(text: &'de [u8], has_long_integer: &OnceCell<bool>) -> Result<Node<'de>, serde_json::Error> {
    match parse(text, has_long_integer) {
        Err(error) => match json::without_lone_surrogates(text) {
            Some(mended) => parse(&mended, has_long_integer).map(Node::into_owned),
            None => Err(error),
        },
        node => node,
    }
}

fn parse<'de>(text: &'de [u8], has_long_integer: &OnceCell<bool>) -> Result<Node<'de>, serde_json::Error> {
    let reading = Reading { left: Cell::new(DECODED_VALUES_MAX), text, has_long_integer };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let node = Seed(&reading).deserialize(&mut deserializer)?;
    deserializer.end().map(|()| node)
}

/// Any JSON that has no need to be told apart from its text. Integers of more than 64 bits are rounded, as most
/// readers of JSON do.
pub fn value_of(text: &[u8]) -> Result<Value, serde_json::Error> {
    // JSON has no bytes, the one thing that a `Value` can't be.
    parse_mended(text, &OnceCell::from(false)).map(|node| node.into_value().unwrap_or_default())
}

/// The object that a text of JSON is.
pub fn object_of(text: &[u8]) -> Option<Map<String, Value>> {
    match value_of(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

impl<'de> Node<'de> {
    /// Of names that come twice the last counts. Fails when there are bytes in it.
    pub fn into_value(self) -> Result<Value, Wanted> {
        Ok(match self {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Number(number) => Value::Number(number),
            Node::Double(_) => return Err(TOO_LONG),
            Node::Text(text) => Value::String(text),
            Node::Binary(_) => return Err("no bytes"),
            Node::Unfit(wanted) => return Err(wanted),
            Node::List(nodes) => {
                let mut values = Vec::with_capacity(nodes.len());
                for node in nodes {
                    values.push(node.into_value()?);
                }
                Value::Array(values)
            }
            Node::Map(fields) => {
                let mut values = Map::with_capacity(fields.len());
                for (name, node) in fields {
                    values.insert(name.into_owned(), node.into_value()?);
                }
                Value::Object(values)
            }
        })
    }

    /// What [`Node::into_value`] makes of it.
    pub fn of_value(value: Value) -> Node<'static> {
        match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(number) => Node::Number(number),
            Value::String(text) => Node::Text(text),
            Value::Array(values) => Node::List(values.into_iter().map(Node::of_value).collect()),
            Value::Object(fields) => {
                Node::Map(fields.into_iter().map(|(name, value)| (name.into(), Node::of_value(value))).collect())
            }
        }
    }

    /// Without the text that it was read from.
    pub fn into_owned(self) -> Node<'static> {
        match self {
            Node::Null => Node::Null,
            Node::Bool(value) => Node::Bool(value),
            Node::Number(number) => Node::Number(number),
            Node::Double(value) => Node::Double(value),
            Node::Text(text) => Node::Text(text),
            Node::Binary(bytes) => Node::Binary(bytes),
            Node::List(nodes) => Node::List(nodes.into_iter().map(Node::into_owned).collect()),
            Node::Map(fields) => {
                let owned = |(name, node): (Cow<'de, str>, Node<'de>)| (name.into_owned().into(), node.into_owned());
                Node::Map(fields.into_iter().map(owned).collect())
            }
            Node::Unfit(wanted) => Node::Unfit(wanted),
        }
    }

    pub fn into_fields(self) -> Result<Vec<(Cow<'de, str>, Node<'de>)>, Wanted> {
        match self {
            Node::Map(fields) => Ok(fields),
            _ => Err("an object"),
        }
    }

    /// Null is nothing.
    pub fn into_text(self) -> Result<Option<String>, Wanted> {
        match self {
            Node::Null => Ok(None),
            Node::Text(text) => Ok(Some(text)),
            _ => Err("a string"),
        }
    }

    /// In any of the forms in which the formats carry one; null is nothing.
    pub fn integer(&self) -> Result<Option<u64>, Wanted> {
        const MAX: u64 = 1 << 53;
        let whole = |number: &Number| match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => Some(whole).filter(|whole| *whole <= MAX),
            (None, Some(float)) if (0.0..=MAX as f64).contains(&float) && float.fract() == 0.0 => Some(float as u64),
            _ => None,
        };
        match self {
            Node::Null => Ok(None),
            Node::Number(number) => whole(number).map(Some).ok_or("an integer from 0 to 2^53"),
            _ => Err("an integer from 0 to 2^53"),
        }
    }

    /// The value itself, or each of a list: people who send one thing send it bare. Of a list one more than `max` is
    /// kept, so that whoever counts can refuse it. The flag says whether it was one, which some answers mirror.
    pub fn several<T>(
        self,
        max: usize,
        read: impl Fn(Node<'de>) -> Result<T, Wanted>,
    ) -> Result<(Vec<T>, bool), Wanted> {
        let Node::List(nodes) = self else { return Ok((vec![read(self)?], false)) };
        let mut values = Vec::new();
        for node in nodes.into_iter().take(max + 1) {
            values.push(read(node)?);
        }
        Ok((values, true))
    }
}

/// Bytes are base64 where the format has none.
impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null | Node::Unfit(_) => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Number(number) => number.serialize(serializer),
            Node::Double(value) if serializer.is_human_readable() && is_exact(*value) => {
                serializer.serialize_i64(*value as i64)
            }
            Node::Double(value) => serializer.serialize_f64(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Binary(bytes) if serializer.is_human_readable() => serializer.serialize_str(&BASE64.encode(bytes)),
            Node::Binary(bytes) => serializer.serialize_bytes(bytes),
            Node::List(nodes) => serializer.collect_seq(nodes),
            Node::Map(fields) => serializer.collect_map(fields.iter().map(|(name, node)| (name, node))),
        }
    }
}

/// Whether an integer is the same number.
fn is_exact(value: f64) -> bool {
    const EXACT: f64 = (1_u64 << 53) as f64;
    value.fract() == 0.0 && value.abs() < EXACT && !(value == 0.0 && value.is_sign_negative())
}

/// The JSON that is being read.
struct Reading<'a> {
    /// As many values may still come.
    left: Cell<usize>,
    text: &'a [u8],
    /// Found out when it matters.
    has_long_integer: &'a OnceCell<bool>,
}

/// Reads a node.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Reading<'a>);

impl Seed<'_> {
    fn count<E: de::Error>(self) -> Result<(), E> {
        let left = self.0.left.get().checked_sub(1).ok_or_else(|| E::custom(TOO_MANY))?;
        self.0.left.set(left);
        Ok(())
    }

    /// Whether this may be an integer of more than 64 bits.
    fn is_rounded(self, value: f64) -> bool {
        value.abs() >= i64::MAX as f64 && *self.0.has_long_integer.get_or_init(|| json::has_long_integer(self.0.text))
    }
}

/// A double has the first digits of such a one only.
pub(super) const TOO_LONG: Wanted = "no integer of more than 64 bits: send it as a string";

pub(super) const TOO_MANY: &str = "more values than a body may have";

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        if self.is_rounded(value) {
            return Ok(Node::Double(value));
        }
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            fields.push((name, map.next_value_seed(self)?));
        }
        Ok(Node::Map(fields))
    }
}

/// A field's name: borrowed, unless it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(node: Node, max: usize) -> Result<(Vec<String>, bool), Wanted> {
        node.several(max, |node| node.into_text()?.ok_or("a string"))
    }

    fn json(text: &str) -> Node<'_> {
        from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_stands_for_a_list_of_one() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(texts(json(r#""a""#), 2), Ok((list(&["a"]), false)));
        assert_eq!(texts(json(r#"["a","b"]"#), 2), Ok((list(&["a", "b"]), true)));
        assert_eq!(texts(json("[]"), 2), Ok((vec![], true)));
        assert_eq!(texts(msgpack::read(b"\xa1a").unwrap(), 2), Ok((list(&["a"]), false)));
        for wrong in ["null", "[null]", "[1]", r#"[["a"]]"#, "{}"] {
            assert_eq!(texts(json(wrong), 2), Err("a string"), "{wrong}");
        }
    }

    #[test]
    fn of_too_many_one_is_kept() {
        assert_eq!(texts(json(r#"["a","b","c","d",1]"#), 2).unwrap().0.len(), 3);
    }

    #[test]
    fn a_value_is_what_serde_json_makes_of_it() {
        let text = r#"{"a":[1,-1,1.5,1e300,18446744073709551615,20000000000000000000,-20000000000000000000,true,null,"\u00fc\n"],"b":{},"a\n":[],"b":2}"#;
        assert_eq!(value_of(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_body_has_a_bounded_number_of_values() {
        let json = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(read(json(DECODED_VALUES_MAX).as_bytes(), Format::Json).is_ok());
        let error = read(json(DECODED_VALUES_MAX + 1).as_bytes(), Format::Json).unwrap_err();
        assert!(error.is(Code::BadBody) && error.message.contains(TOO_MANY), "{error}");
        let msgpack = |count: usize| [&[0xdd][..], &(count as u32 - 1).to_be_bytes(), &vec![0; count - 1]].concat();
        assert!(read(&msgpack(DECODED_VALUES_MAX), Format::Msgpack).is_ok());
        let error = read(&msgpack(DECODED_VALUES_MAX + 1), Format::Msgpack).unwrap_err();
        assert!(error.is(Code::BadBody) && error.message.contains(TOO_MANY), "{error}");
    }
}
