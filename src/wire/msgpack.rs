//! Reading msgpack, for serde. Ours, because a general decoder compiles all its cases anew for every type that it reads:
//! that was a tenth of the bundle. Here a value's head is read by code that there is once.
//!
//! Strict where the protocol needs no leniency: texts are UTF-8, extension types are refused, lists and maps are read to
//! their end, and nesting is bounded, since decoders recurse.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::limits::NESTING_MAX;

const NIL: u8 = 0xc0;

/// The bytes that are not read yet.
pub struct Reader<'de> {
    bytes: &'de [u8],
    depth: usize,
}

/// A value, or the head of one that holds others.
enum Head<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'de str),
    Binary(&'de [u8]),
    List(usize),
    Map(usize),
}

#[derive(Debug)]
pub struct Error(String);

impl<'de> Reader<'de> {
    pub fn new(bytes: &'de [u8]) -> Reader<'de> {
        Reader { bytes, depth: 0 }
    }

    /// Fails when there are bytes left.
    pub fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() { Ok(()) } else { Err(error("bytes follow the value")) }
    }

    fn head(&mut self) -> Result<Head<'de>, Error> {
        Ok(match self.byte()? {
            marker @ 0..=0x7f => Head::Unsigned(marker.into()),
            marker @ 0x80..=0x8f => Head::Map((marker & 0xf).into()),
            marker @ 0x90..=0x9f => Head::List((marker & 0xf).into()),
            marker @ 0xa0..=0xbf => self.text((marker & 0x1f).into())?,
            NIL => Head::Nil,
            marker @ (0xc2 | 0xc3) => Head::Bool(marker == 0xc3),
            marker @ 0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Head::Binary(self.take(length)?)
            }
            0xca => Head::Float(f32::from_bits(self.unsigned(4)? as u32).into()),
            0xcb => Head::Float(f64::from_bits(self.unsigned(8)?)),
            marker @ 0xcc..=0xcf => Head::Unsigned(self.unsigned(1 << (marker - 0xcc))?),
            marker @ 0xd0..=0xd3 => self.signed(1 << (marker - 0xd0))?,
            marker @ 0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            marker @ (0xdc | 0xdd) => Head::List(self.length(marker - 0xdc + 1)?),
            marker @ (0xde | 0xdf) => Head::Map(self.length(marker - 0xde + 1)?),
            marker @ 0xe0.. => Head::Signed((marker as i8).into()),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(error("a type that the protocol has not")),
        })
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| error("it ends within a value"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// `width` is 1, 2, 4 or 8.
    fn unsigned(&mut self, width: usize) -> Result<u64, Error> {
        Ok(self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, width: usize) -> Result<Head<'de>, Error> {
        let unused_bits = 64 - 8 * width as u32;
        Ok(Head::Signed((self.unsigned(width)? << unused_bits) as i64 >> unused_bits))
    }

    /// Of one, two or four bytes by `log_width`.
    fn length(&mut self, log_width: u8) -> Result<usize, Error> {
        self.unsigned(1 << log_width).map(|length| length as usize)
    }

    fn text(&mut self, length: usize) -> Result<Head<'de>, Error> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| error("a text that is not UTF-8"))?;
        Ok(Head::Text(text))
    }

    fn enter(&mut self, left: usize) -> Result<Inside<'_, 'de>, Error> {
        if self.depth == NESTING_MAX {
            return Err(error("it is nested too deep"));
        }
        self.depth += 1;
        Ok(Inside { reader: self, left })
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Float(value) => visitor.visit_f64(value),
            Head::Text(text) => visitor.visit_borrowed_str(text),
            Head::Binary(bytes) => visitor.visit_borrowed_bytes(bytes),
            Head::List(length) => {
                let mut inside = self.enter(length)?;
                let value = visitor.visit_seq(&mut inside)?;
                inside.leave().map(|()| value)
            }
            Head::Map(length) => {
                let mut inside = self.enter(length)?;
                let value = visitor.visit_map(&mut inside)?;
                inside.leave().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.bytes {
            [NIL, rest @ ..] => {
                self.bytes = rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// A list or a map that is being read.
struct Inside<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> Inside<'_, 'de> {
    fn leave(self) -> Result<(), Error> {
        self.reader.depth -= 1;
        if self.left == 0 { Ok(()) } else { Err(error("a list has more elements than are wanted")) }
    }

    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> SeqAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    /// No more than there can be: every element has a byte.
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.reader.bytes.len()))
    }
}

impl<'de> MapAccess<'de> for &mut Inside<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

fn error(what: &str) -> Error {
    Error(what.to_owned())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
        let mut reader = Reader::new(bytes);
        let value = T::deserialize(&mut reader)?;
        reader.end().map(|()| value)
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        for (bytes, value) in [
            (&[0x7f][..], json!(127)),
            (&[0xff], json!(-1)),
            (&[0xe0], json!(-32)),
            (&[0xc0], json!(null)),
            (&[0xc2], json!(false)),
            (&[0xc3], json!(true)),
            (&[0xcc, 200], json!(200)),
            (&[0xcd, 1, 0], json!(256)),
            (&[0xce, 0, 1, 0, 0], json!(65_536)),
            (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], json!(u64::MAX)),
            (&[0xd0, 0x80], json!(-128)),
            (&[0xd1, 0x80, 0], json!(-32_768)),
            (&[0xd2, 0xff, 0xff, 0xff, 0xfe], json!(-2)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], json!(i64::MIN)),
            (&[0xca, 0x3f, 0xc0, 0, 0], json!(1.5)),
            (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], json!(1.5)),
            (&[0xa2, b'h', b'i'], json!("hi")),
            (&[0xd9, 2, b'h', b'i'], json!("hi")),
            (&[0xda, 0, 2, b'h', b'i'], json!("hi")),
            (&[0xdb, 0, 0, 0, 2, b'h', b'i'], json!("hi")),
            (&[0x91, 1], json!([1])),
            (&[0xdc, 0, 1, 1], json!([1])),
            (&[0xdd, 0, 0, 0, 1, 1], json!([1])),
            (&[0x81, 0xa1, b'a', 1], json!({"a": 1})),
            (&[0xde, 0, 1, 0xa1, b'a', 1], json!({"a": 1})),
            (&[0xdf, 0, 0, 0, 1, 0xa1, b'a', 1], json!({"a": 1})),
        ] {
            assert_eq!(read::<Value>(bytes).unwrap(), value, "{bytes:x?}");
        }
        for head in [&[0xc4, 2][..], &[0xc5, 0, 2], &[0xc6, 0, 0, 0, 2]] {
            let bytes = [head, &[7, 8]].concat();
            assert_eq!(read::<serde_bytes::ByteBuf>(&bytes).unwrap().as_slice(), [7, 8]);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = [vec![0x91; NESTING_MAX + 1], vec![0xc0]].concat();
        for (bytes, why) in [
            (&[][..], "ends within"),
            (&[0xa2, b'h'], "ends within"),
            (&[0xdd, 255, 255, 255, 255], "ends within"),
            (&[0xcf, 1], "ends within"),
            (&[0xa1, 0xff], "UTF-8"),
            (&[0xc1], "type"),
            (&[0xd4, 1, 1], "type"),
            (&[1, 1], "follow"),
            (&deep, "deep"),
            (&[0x81, 1, 1], "string"),
        ] {
            let error = read::<Value>(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{bytes:x?}: {error}");
        }
        assert!(read::<Value>(&deep[1..]).is_ok());
        assert!(read::<(u8,)>(&[0x92, 1, 2]).unwrap_err().to_string().contains("more elements"));
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Fields {
        a: Option<u8>,
        #[serde(default)]
        b: Option<String>,
    }

    #[test]
    fn structs_take_their_fields_and_pass_over_others() {
        let bytes = rmp_serde::to_vec_named(&json!({"x": {"y": [1, [2]]}, "a": 7, "b": null})).unwrap();
        assert_eq!(read::<Fields>(&bytes).unwrap(), Fields { a: Some(7), b: None });
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                proptest::collection::vec((".{0,8}", inner), 0..20)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_writes_is_read(value in values()) {
            let bytes = rmp_serde::to_vec_named(&value).unwrap();
            prop_assert_eq!(read::<Value>(&bytes).unwrap(), value);
        }

        #[test]
        fn what_is_read_another_reads_alike(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = read::<Value>(&bytes) {
                prop_assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), value);
            }
        }
    }
}
