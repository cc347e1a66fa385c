//! Entries end to end in one run of bytes: what a log row holds, and what travels between objects.
//!
//! An entry is encoded once, when it is published; its bytes are stored and relayed as they are.

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::base::pinned::{self, Unreadable};
use crate::model::message::Entry;

/// Zero or more encoded [`Entry`] values, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed(Vec<u8>);

impl Packed {
    pub fn from_bytes(bytes: Vec<u8>) -> Packed {
        Packed(bytes)
    }

    pub fn one(entry: &Entry) -> Packed {
        Packed(pinned::encode(entry))
    }

    pub fn append(&mut self, other: &Packed) {
        self.0.extend_from_slice(&other.0);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn entries(&self) -> Result<Vec<Entry>, Unreadable> {
        let mut rest = self.0.as_slice();
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.push(pinned::read(&mut rest)?);
        }
        Ok(entries)
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Packed;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Packed, E> {
                Ok(Packed(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Packed, E> {
                Ok(Packed(bytes))
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{Content, Message};
    use crate::model::serial::Position;

    fn entry(position: u64) -> Entry {
        let messages = vec![Message { name: Some("n".into()), ..Message::default() }];
        Entry {
            position: Position(position),
            id: "a:0".into(),
            connection_id: None,
            content: Content::Messages(messages),
        }
    }

    #[test]
    fn entries_come_back_in_order() {
        let mut packed = Packed::default();
        (1..4).for_each(|position| packed.append(&Packed::one(&entry(position))));
        assert_eq!(packed.entries().unwrap(), [entry(1), entry(2), entry(3)]);
        let travelled: Packed = postcard::from_bytes(&postcard::to_allocvec(&packed).unwrap()).unwrap();
        assert_eq!(travelled, packed);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = Packed::one(&entry(1)).bytes().to_vec();
        assert!(Packed::from_bytes(bytes[..bytes.len() - 1].to_vec()).entries().is_err());
        assert!(Packed::from_bytes(vec![0xff]).entries().is_err());
    }
}
