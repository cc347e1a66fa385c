//! The protocol's frames as a client reads and writes them: its own decoding, independent of the server's encoding.

use std::collections::BTreeMap;
use std::fmt;

use courtside::model::Format;
use courtside::model::data::Data;
use courtside::protocol::Encoded;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use courtside::protocol::action;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Frame {
    pub action: u8,
    pub id: Option<String>,
    pub channel: Option<String>,
    pub channel_serial: Option<String>,
    pub connection_id: Option<String>,
    pub connection_details: Option<Details>,
    pub msg_serial: Option<u64>,
    pub count: Option<u64>,
    pub flags: u32,
    pub params: BTreeMap<String, String>,
    pub messages: Vec<Message>,
    pub presence: Vec<Event>,
    pub annotations: Vec<Value>,
    /// Operations on objects, or objects.
    #[serde(deserialize_with = "alike")]
    pub state: Vec<Value>,
    pub res: Option<Vec<PublishResult>>,
    pub error: Option<Error>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    pub connection_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    pub id: String,
    pub name: String,
    #[serde(deserialize_with = "plain")]
    pub data: Data,
    pub encoding: String,
    pub extras: Value,
    pub connection_id: Option<String>,
    pub serial: String,
    pub action: u8,
    pub version: Option<Version>,
    /// What is said of it.
    pub annotations: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub struct Version {
    pub serial: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    pub action: u8,
    pub id: String,
    pub client_id: String,
    pub connection_id: String,
    pub timestamp: u64,
    #[serde(deserialize_with = "plain")]
    pub data: Data,
}

/// What is published here is text, or bytes in msgpack.
fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
    struct Plain;

    impl Visitor<'_> for Plain {
        type Value = Data;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("what was published")
        }

        fn visit_str<E>(self, text: &str) -> Result<Data, E> {
            Ok(Data::Text(text.to_owned()))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Data, E> {
            Ok(Data::Binary(bytes.to_owned()))
        }
    }

    deserializer.deserialize_any(Plain)
}

/// Numbers of objects, which are floats in msgpack, as JSON has them.
fn alike<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    fn mend(value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(mend),
            Value::Object(fields) => fields.values_mut().for_each(mend),
            Value::Number(number) => {
                let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15);
                if let Some(whole) = whole.filter(|float| *float != 0.0 || float.is_sign_positive()) {
                    *number = (whole as i64).into();
                }
            }
            _ => {}
        }
    }

    let mut values = Vec::<Value>::deserialize(deserializer)?;
    values.iter_mut().for_each(mend);
    Ok(values)
}

#[derive(Debug, Deserialize)]
pub struct PublishResult {
    pub serials: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Error {
    pub code: u32,
}

impl Frame {
    pub fn read(frame: &Encoded) -> Frame {
        let read = match frame {
            Encoded::Text(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
            Encoded::Binary(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
            _ => unreachable!("streams are read as text"),
        };
        read.unwrap_or_else(|error| panic!("a client cannot read {frame:?}: {error}"))
    }

    pub fn error_code(&self) -> Option<u32> {
        self.error.as_ref().map(|error| error.code)
    }
}

pub fn write(frame: &Value, format: Format) -> Vec<u8> {
    match format {
        Format::Json => serde_json::to_vec(frame).expect("values are JSON"),
        Format::Msgpack => rmp_serde::to_vec_named(frame).expect("values are msgpack"),
    }
}

/// What a client wrote.
pub fn read_value(bytes: &[u8], format: Format) -> Value {
    match format {
        Format::Json => serde_json::from_slice(bytes).unwrap_or_default(),
        // Those of MQTT are something else.
        Format::Msgpack => rmp_serde::from_slice(bytes).unwrap_or_default(),
    }
}
