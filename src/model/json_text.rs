//! For a field that stored formats cannot carry as it is: any JSON object, as its text.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::message::Extras;
use super::node;

pub fn serialize<S: Serializer>(value: &Option<Extras>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = value.as_ref().map(|value| serde_json::to_string(value).expect("JSON encodes to memory"));
    text.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Extras>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let object = |text: String| node::object_of(text.as_bytes()).ok_or_else(|| D::Error::custom("no JSON object"));
    text.map(object).transpose()
}
