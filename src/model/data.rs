//! A message's payload: text or bytes, opaque but for the outermost `base64` that JSON needs to carry bytes.
//!
//! (protocol.md § 8.5)

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::base::base64::from_lines_of_base64;
use crate::error::{Code, ErrorInfo};
use crate::model::node::{Node, Wanted};

/// A payload as the channel keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    #[default]
    Absent,
    Text(String),
    Binary(#[serde(with = "serde_bytes")] Vec<u8>),
}

impl Data {
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Data::Absent => &[],
            Data::Text(text) => text.as_bytes(),
            Data::Binary(bytes) => bytes,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_absent(&self) -> bool {
        *self == Data::Absent
    }

    /// What follows its first bytes, so many.
    pub fn from(&self, from: usize) -> Data {
        match self {
            Data::Absent => Data::Absent,
            Data::Text(text) => Data::Text(text.get(from..).unwrap_or_default().to_owned()),
            Data::Binary(bytes) => Data::Binary(bytes.get(from..).unwrap_or_default().to_owned()),
        }
    }

    /// Its first bytes, so many.
    pub fn up_to(&self, end: usize) -> Data {
        match self {
            Data::Absent => Data::Absent,
            Data::Text(text) => Data::Text(text.get(..end).unwrap_or(text).to_owned()),
            Data::Binary(bytes) => Data::Binary(bytes.get(..end).unwrap_or(bytes).to_owned()),
        }
    }

    /// This, followed by another of the same kind. `None` for text and bytes together.
    pub fn followed_by(&self, other: &Data) -> Option<Data> {
        match (self, other) {
            (data, Data::Absent) | (Data::Absent, data) => Some(data.clone()),
            (Data::Text(text), Data::Text(more)) => Some(Data::Text([text.as_str(), more].concat())),
            (Data::Binary(bytes), Data::Binary(more)) => Some(Data::Binary([bytes.as_slice(), more].concat())),
            _ => None,
        }
    }
}

/// A payload as a client sends it: SDKs send text and bytes; people with curl send JSON values too.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    Plain(Data),
    /// An object or array, as JSON text.
    Structured(String),
    /// A number or a boolean, which the protocol doesn't carry.
    Scalar,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::Plain(Data::Absent)
    }
}

impl Payload {
    /// The payload and encoding to keep: structure becomes JSON text, and an outermost `base64` becomes bytes.
    ///
    /// What claims to be base64 and isn't is kept as it came: its readers will say so. Fails with 40013 for a scalar.
    pub fn normalize(self, encoding: Option<String>) -> Result<(Data, Option<String>), ErrorInfo> {
        match self {
            Payload::Scalar => Err(Code::BadData.because("data must be a string, bytes, an object or an array")),
            Payload::Structured(json) => Ok((Data::Text(json), Some(push(encoding, "json")))),
            Payload::Plain(Data::Text(text)) => Ok(unwrap_base64(text, encoding)),
            Payload::Plain(data) => Ok((data, encoding)),
        }
    }
}

fn unwrap_base64(text: String, encoding: Option<String>) -> (Data, Option<String>) {
    let inner = match encoding.as_deref() {
        Some("base64") => None,
        Some(chain) => match chain.strip_suffix("/base64") {
            Some(inner) => Some(inner.to_owned()),
            None => return (Data::Text(text), encoding),
        },
        None => return (Data::Text(text), encoding),
    };
    match from_lines_of_base64(&text) {
        Some(bytes) => (Data::Binary(bytes), inner),
        None => (Data::Text(text), encoding),
    }
}

fn push(encoding: Option<String>, outer: &str) -> String {
    encoding.map_or_else(|| outer.to_owned(), |inner| format!("{inner}/{outer}"))
}

/// Whether an encoding says that the data is a delta. SDKs take a part of it for the first word in it, whatever stands
/// around it, so any mention counts.
pub fn claims_delta(encoding: &str) -> bool {
    encoding.to_ascii_lowercase().contains("vcdiff")
}

/// Whether an encoding says that the data is base64: of the last step, and as SDKs read it. They decode that before
/// anything else.
pub fn claims_base64(encoding: &str) -> bool {
    encoding.rsplit('/').next().is_some_and(|outermost| outermost.to_ascii_lowercase().contains("base64"))
}

/// Bytes as JSON carries them, with the encoding that says so.
pub fn to_base64(bytes: &[u8], encoding: Option<&str>) -> (String, String) {
    (BASE64.encode(bytes), push(encoding.map(str::to_owned), "base64"))
}

impl TryFrom<Node<'_>> for Payload {
    type Error = Wanted;

    /// Fails for what the protocol does not carry: bytes within an object or a list, among others.
    fn try_from(node: Node) -> Result<Payload, Wanted> {
        Ok(match node {
            Node::Null => Payload::default(),
            Node::Bool(_) | Node::Number(_) => Payload::Scalar,
            Node::Text(text) => Payload::Plain(Data::Text(text)),
            Node::Binary(bytes) => Payload::Plain(Data::Binary(bytes)),
            Node::Unfit(wanted) => return Err(wanted),
            Node::Double(_) | Node::List(_) | Node::Map(_) => Payload::Structured(node.into_value()?.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::node;

    fn from_json(json: &str, encoding: Option<&str>) -> Result<(Data, Option<String>), ErrorInfo> {
        let node = node::from_json(json.as_bytes()).unwrap();
        Payload::try_from(node).unwrap().normalize(encoding.map(str::to_owned))
    }

    #[test]
    fn base64_is_the_transports_and_nothing_else_is() {
        let bytes = |encoding: Option<&str>| (Data::Binary(vec![1, 2, 3]), encoding.map(str::to_owned));
        let text = |text: &str, encoding: &str| (Data::Text(text.into()), Some(encoding.to_owned()));
        assert_eq!(from_json(r#""AQID""#, Some("base64")).unwrap(), bytes(None));
        assert_eq!(
            from_json(r#""AQID""#, Some("utf-8/cipher+aes-128-cbc/base64")).unwrap(),
            bytes(Some("utf-8/cipher+aes-128-cbc"))
        );
        for differs in [r#""AQID\n""#, r#""AQ\r\nID""#] {
            assert_eq!(from_json(differs, Some("base64")).unwrap(), bytes(None), "{differs}");
        }
        let tailed = (Data::Binary(vec![255, 239]), None);
        for differs in [r#""/+8=""#, r#""/+8""#, r#""_-8""#] {
            assert_eq!(from_json(differs, Some("base64")).unwrap(), tailed, "{differs}");
        }
        assert_eq!(from_json(r#""A!""#, Some("json/base64")).unwrap(), text("A!", "json/base64"));
        assert_eq!(from_json(r#""{bad""#, Some("json")).unwrap(), text("{bad", "json"));
        assert_eq!(from_json(r#""x""#, Some("xbase64")).unwrap(), text("x", "xbase64"));
    }

    #[test]
    fn json_values_become_text_and_scalars_are_refused() {
        assert_eq!(from_json(r#"{"a":[1]}"#, None).unwrap(), (Data::Text(r#"{"a":[1]}"#.into()), Some("json".into())));
        assert_eq!(from_json("null", None).unwrap(), (Data::Absent, None));
        assert!(from_json("1", None).unwrap_err().is(Code::BadData));
        assert!(from_json("true", None).unwrap_err().is(Code::BadData));
    }
}
