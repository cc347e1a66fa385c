//! The encoding of what we write for ourselves and read back later, perhaps in another version: log rows, socket records,
//! calls between objects, tokens.
//!
//! Postcard behind a version byte. Fields are told apart by their order alone, so a type that is written this way is
//! changed by raising [`VERSION`], and reading the older one, and in no other way; each has a golden test.

use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 1;

pub fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("values encode to memory")
}

/// The value; `None` when it is another version's, or damaged.
pub fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> Option<T> {
    let value = read(&mut bytes)?;
    bytes.is_empty().then_some(value)
}

/// One value from the front of `bytes`, which then begin behind it.
pub fn read<T: DeserializeOwned>(bytes: &mut &[u8]) -> Option<T> {
    let (version, body) = bytes.split_first()?;
    let (value, rest) = postcard::take_from_bytes(body).ok().filter(|_| *version == VERSION)?;
    *bytes = rest;
    Some(value)
}

/// For the field that the format cannot carry as it is: any JSON object, as its text.
pub mod json_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::wire::message::Extras;
    use crate::wire::node;

    pub fn serialize<S: Serializer>(value: &Option<Extras>, serializer: S) -> Result<S::Ok, S::Error> {
        let text = value.as_ref().map(|value| serde_json::to_string(value).expect("JSON encodes to memory"));
        text.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Extras>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let object = |text: String| node::object_of(text.as_bytes()).ok_or_else(|| D::Error::custom("no JSON object"));
        text.map(object).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_and_damage_are_nothing() {
        let bytes = encode(&("a".to_owned(), 300_u64));
        assert_eq!(bytes, [VERSION, 1, b'a', 0xac, 2]);
        assert_eq!(decode(&bytes), Some(("a".to_owned(), 300_u64)));
        for damaged in [&[][..], &[VERSION], &bytes[..4], &[&bytes[..], &[0]].concat(), &[2, 1, b'a', 0xac, 2]] {
            assert_eq!(decode::<(String, u64)>(damaged), None, "{damaged:?}");
        }
    }
}
