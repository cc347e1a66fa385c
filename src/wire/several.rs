//! Lists that clients send, where a lone value stands for a list of one.
//!
//! A decoded record takes a hundred times the bytes of its shortest text, `{}`, so a body within its bound could still
//! decode to more than the memory there is. These lists keep one record more than is allowed, so that whoever checks
//! their length can refuse it, and drop the rest while decoding.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value, or a list of values of which at most `MAX` + 1 are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Several<T, const MAX: usize> {
    pub values: Vec<T>,
    /// Whether it came as a list, which some answers mirror.
    pub is_list: bool,
}

/// A value that comes as an object: the decoders would take the fields of a list by their places, too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record<T>(pub T);

impl<T, const MAX: usize> Several<Record<T>, MAX> {
    pub fn into_records(self) -> Vec<T> {
        self.values.into_iter().map(|record| record.0).collect()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Record<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record<T>, D::Error> {
        deserializer.deserialize_any(RecordVisitor(PhantomData))
    }
}

struct RecordVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for RecordVisitor<T> {
    type Value = Record<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Record<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Record)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Several<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Several<T, MAX>, D::Error> {
        deserializer.deserialize_any(SeveralVisitor(PhantomData))
    }
}

struct SeveralVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for SeveralVisitor<T, MAX> {
    type Value = Several<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Several<T, MAX>, A::Error> {
        let mut values = Vec::new();
        while values.len() <= MAX {
            match list.next_element()? {
                Some(value) => values.push(value),
                None => return Ok(Several { values, is_list: true }),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Several { values, is_list: true })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Several<T, MAX>, A::Error> {
        Ok(Several { values: vec![T::deserialize(MapAccessDeserializer::new(map))?], is_list: false })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Several<T, MAX>, E> {
        Ok(Several { values: vec![T::deserialize(StrDeserializer::new(text))?], is_list: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Format;
    use crate::wire::inbound::from_bytes;
    use serde::Serialize;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Point {
        x: u8,
    }

    type Points = Several<Record<Point>, 2>;

    fn json(text: &str) -> Option<(Vec<u8>, bool)> {
        let points: Option<Points> = from_bytes(text.as_bytes(), Format::Json).ok();
        points.map(|points| (points.values.iter().map(|point| point.0.x).collect(), points.is_list))
    }

    #[test]
    fn one_stands_for_a_list_of_one() {
        assert_eq!(json(r#"{"x":1}"#), Some((vec![1], false)));
        assert_eq!(json(r#"[{"x":1},{"x":2}]"#), Some((vec![1, 2], true)));
        assert_eq!(json("[]"), Some((vec![], true)));
        let names: Several<String, 2> = from_bytes(b"\xa1a", Format::Msgpack).unwrap();
        assert_eq!((names.values, names.is_list), (vec!["a".to_owned()], false));
    }

    #[test]
    fn at_most_one_too_many_is_kept() {
        assert_eq!(json(r#"[{"x":1},{},{},{},{"x":"ignored"}]"#), Some((vec![1, 0, 0], true)));
        let many = rmp_serde::to_vec_named(&vec![Point { x: 1 }; 50]).unwrap();
        assert_eq!(from_bytes::<Points>(&many, Format::Msgpack).unwrap().values.len(), 3);
    }

    #[test]
    fn fields_have_names() {
        for text in ["[[1]]", "[[]]", "1", "null", r#""x""#, r#"[{"x":1},2]"#, r#"[{"x":"1"}]"#] {
            assert_eq!(json(text), None, "{text}");
        }
    }
}
