//! What clients send: bytes to frames. Tolerant of unknown actions and fields, strict about the types of known ones.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Map, Value};

use crate::error::{Code, ErrorInfo};
use crate::limits::{DECODE_ERROR_MAX_BYTES, FRAME_MAX_BYTES, PUBLISH_MAX_MESSAGES};
use crate::maps::ordered;
use crate::wire::data::Payload;
use crate::wire::message::{Extras, Message};
use crate::wire::several::{Record, Several};
use crate::wire::{Format, action, msgpack};

pub type Params = BTreeMap<String, String>;

/// The messages of one publish, as a client sends them.
pub type InboundMessages = Several<Record<InboundMessage>, PUBLISH_MAX_MESSAGES>;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    Heartbeat {
        id: Option<String>,
    },
    Attach {
        channel: String,
        serial: Option<String>,
        flags: u32,
        params: Params,
    },
    Detach {
        channel: String,
    },
    Publish(PublishFrame),
    /// Its `messages` are presence events, decoded alike.
    Presence(PublishFrame),
    Sync {
        channel: String,
    },
    Auth {
        token: String,
    },
    Disconnect,
    Close,
    /// An action that no client should send, or that this server doesn't know: ignored.
    Unknown,
    /// Needs an acknowledgement but says nothing that can be done: refuse it and go on.
    Refused {
        msg_serial: u64,
        error: ErrorInfo,
    },
}

/// A MESSAGE frame. Its parts are checked later, so that a bad one is refused by NACK and the connection lives on.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishFrame {
    pub channel: String,
    pub msg_serial: u64,
    pub messages: Vec<InboundMessage>,
    pub params: Params,
}

/// A message or presence event as a client sends it, in a frame or in a REST body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InboundMessage {
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: Payload,
    pub encoding: Option<String>,
    pub client_id: Option<String>,
    /// REST: on behalf of the connection that holds this key (protocol.md § 12.3).
    pub connection_key: Option<String>,
    pub extras: Option<Value>,
    #[serde(deserialize_with = "optional_integer")]
    pub action: Option<u64>,
}

impl InboundMessage {
    /// The message to keep. Fails with 40013 for data and 40032 for extras that the protocol doesn't carry, and with
    /// 40000 for an action other than create.
    pub fn into_message(self) -> Result<Message, ErrorInfo> {
        if self.action.is_some_and(|action| action != 0) {
            return Err(Code::BadRequest.because("this server publishes new messages only, it cannot update or delete"));
        }
        let (data, encoding) = self.data.normalize(self.encoding)?;
        let extras = self.extras.map(object).transpose()?;
        Ok(Message { id: self.id, name: self.name, data, encoding, client_id: self.client_id, extras })
    }
}

pub(crate) fn object(extras: Value) -> Result<Extras, ErrorInfo> {
    match extras {
        Value::Object(map) => Ok(map),
        _ => Err(Code::BadExtras.because("extras must be an object")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFrame {
    #[serde(deserialize_with = "optional_integer", default)]
    action: Option<u64>,
    id: Option<String>,
    channel: Option<String>,
    channel_serial: Option<String>,
    #[serde(deserialize_with = "optional_integer", default)]
    msg_serial: Option<u64>,
    #[serde(deserialize_with = "optional_integer", default)]
    flags: Option<u64>,
    messages: Option<InboundMessages>,
    presence: Option<InboundMessages>,
    params: Option<Map<String, Value>>,
    auth: Option<RawAuth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAuth {
    access_token: Option<String>,
}

/// What must be readable to refuse a frame whose rest is not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(deserialize_with = "optional_integer", default)]
    action: Option<u64>,
    #[serde(deserialize_with = "optional_integer", default)]
    msg_serial: Option<u64>,
}

/// Decodes one frame: text is JSON, binary is msgpack.
///
/// Fails, and then the connection must end, with 40009 when the frame is over [`FRAME_MAX_BYTES`] and with 40001 when it
/// cannot be decoded so far as to be refused by its msgSerial.
pub fn decode(bytes: &[u8], format: Format) -> Result<Inbound, ErrorInfo> {
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(
            Code::TooLarge.because(format!("a frame has at most {FRAME_MAX_BYTES} bytes, this one {}", bytes.len()))
        );
    }
    match from_bytes::<RawFrame>(bytes, format) {
        Ok(frame) => interpret(frame),
        Err(error) => refuse(bytes, format, error),
    }
}

/// Decodes any value of the protocol. Fails with 40001 and says at what.
pub fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8], format: Format) -> Result<T, ErrorInfo> {
    match format {
        Format::Json => serde_json::from_slice(bytes).map_err(|error| undecodable("JSON", &error)),
        Format::Msgpack => {
            let mut reader = msgpack::Reader::new(bytes);
            let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
            value.map_err(|error| undecodable("msgpack", &error))
        }
    }
}

/// A decoder quotes the value that is wrong, which may be most of the frame.
fn undecodable(format: &str, error: &impl fmt::Display) -> ErrorInfo {
    let mut text = format!("not valid {format} here: {error}");
    text.truncate(text.floor_char_boundary(DECODE_ERROR_MAX_BYTES));
    Code::BadBody.because(text)
}

fn refuse(bytes: &[u8], format: Format, error: ErrorInfo) -> Result<Inbound, ErrorInfo> {
    let envelope = from_bytes::<Envelope>(bytes, format).map_err(|_| error.clone())?;
    match (envelope.action, envelope.msg_serial) {
        (Some(_), Some(msg_serial)) => Ok(Inbound::Refused { msg_serial, error }),
        _ => Err(error),
    }
}

fn interpret(frame: RawFrame) -> Result<Inbound, ErrorInfo> {
    let Some(action) = frame.action else { return Err(Code::BadBody.because("a frame needs an action")) };
    match u8::try_from(action).unwrap_or(u8::MAX) {
        numbered @ (action::MESSAGE | action::PRESENCE | action::ANNOTATION | action::OBJECT) => {
            let missing = || Code::BadBody.because("a frame to be acknowledged needs a msgSerial");
            Ok(interpret_numbered(numbered, frame.msg_serial.ok_or_else(missing)?, frame))
        }
        plain => Ok(interpret_plain(plain, frame)),
    }
}

fn interpret_plain(action: u8, frame: RawFrame) -> Inbound {
    let channel = frame.channel.unwrap_or_default();
    match action {
        action::HEARTBEAT => Inbound::Heartbeat { id: frame.id },
        action::ATTACH => Inbound::Attach {
            channel,
            serial: frame.channel_serial,
            flags: frame.flags.unwrap_or(0) as u32,
            params: text_params(frame.params),
        },
        action::DETACH => Inbound::Detach { channel },
        action::SYNC => Inbound::Sync { channel },
        action::AUTH => Inbound::Auth { token: frame.auth.and_then(|auth| auth.access_token).unwrap_or_default() },
        action::DISCONNECT => Inbound::Disconnect,
        action::CLOSE => Inbound::Close,
        _ => Inbound::Unknown,
    }
}

fn interpret_numbered(action: u8, msg_serial: u64, frame: RawFrame) -> Inbound {
    let channel = frame.channel.unwrap_or_default();
    match action {
        action::MESSAGE => Inbound::Publish(PublishFrame {
            channel,
            msg_serial,
            messages: frame.messages.unwrap_or_default().into_records(),
            params: text_params(frame.params),
        }),
        action::PRESENCE => Inbound::Presence(PublishFrame {
            channel,
            msg_serial,
            messages: frame.presence.unwrap_or_default().into_records(),
            params: Params::new(),
        }),
        _ => {
            let error = Code::BadRequest.because("this server has no annotations and no objects");
            Inbound::Refused { msg_serial, error }
        }
    }
}

/// SDKs send every parameter as text; people send numbers and booleans too.
fn text_params(params: Option<Map<String, Value>>) -> Params {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    ordered(params.into_iter().flatten().map(|(name, value)| (name, text(value))))
}

/// An integer in any of the forms in which the formats carry one, or null.
fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Integer;

    impl<'de> Visitor<'de> for Integer {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer from 0 to 2^53")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<u64>, E> {
            let exact = value <= 1 << 53;
            if exact { Ok(Some(value)) } else { Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)) }
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<u64>, E> {
            u64::try_from(value).map(Some).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<u64>, E> {
            let exact = (0.0..=9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
            if exact { Ok(Some(value as u64)) } else { Err(E::invalid_value(de::Unexpected::Float(value), &self)) }
        }

        fn visit_unit<E>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }

        fn visit_none<E>(self) -> Result<Option<u64>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    deserializer.deserialize_any(Integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Result<Inbound, ErrorInfo> {
        decode(text.as_bytes(), Format::Json)
    }

    #[test]
    fn reads_a_publish() {
        let Inbound::Publish(frame) = json(
            r#"{"action":15,"channel":"room","messages":[{"name":"n","data":"d","action":0,"size":2,"new":[1]}],"msgSerial":3,"params":{"a":1}}"#,
        )
        .unwrap() else {
            panic!("not a publish")
        };
        assert_eq!((frame.channel.as_str(), frame.msg_serial, frame.messages.len()), ("room", 3, 1));
        assert_eq!(frame.params["a"], "1");
        let message = frame.messages[0].clone().into_message().unwrap();
        assert_eq!((message.name.as_deref(), message.size()), (Some("n"), 2));
    }

    #[test]
    fn null_is_absent_and_unknown_actions_are_ignored() {
        let attach = r#"{"action":10,"channel":"c","channelSerial":null,"flags":null,"params":null,"auth":null}"#;
        let expected = Inbound::Attach { channel: "c".into(), serial: None, flags: 0, params: Params::new() };
        assert_eq!(json(attach).unwrap(), expected);
        assert_eq!(json(r#"{"action":99}"#).unwrap(), Inbound::Unknown);
        assert_eq!(json(r#"{"action":300}"#).unwrap(), Inbound::Unknown);
    }

    #[test]
    fn integers_may_come_as_floats() {
        assert_eq!(json(r#"{"action":7.0}"#).unwrap(), Inbound::Close);
        for bad in [
            r#"{"action":7.5}"#,
            r#"{"action":-7}"#,
            r#"{"action":1e300}"#,
            r#"{"action":"7"}"#,
            r#"{"action":15,"msgSerial":18446744073709551615}"#,
        ] {
            assert!(json(bad).unwrap_err().is(Code::BadBody), "{bad}");
        }
    }

    #[test]
    fn what_has_a_serial_is_refused_by_it() {
        let refused = json(r#"{"action":15,"msgSerial":4,"channel":"c","messages":"what"}"#).unwrap();
        assert!(matches!(refused, Inbound::Refused { msg_serial: 4, error } if error.is(Code::BadBody)));
    }

    #[test]
    fn what_cannot_be_read_ends_the_connection() {
        for bad in ["", "{", "[]", "null", r#"{"channel":"x"}"#, r#"{"action":15,"channel":"c","messages":[]}"#] {
            assert!(json(bad).unwrap_err().is(Code::BadBody), "{bad}");
        }
        assert!(decode(&vec![b' '; FRAME_MAX_BYTES + 1], Format::Json).unwrap_err().is(Code::TooLarge));
        let trailing = [&rmp_serde::to_vec_named(&BTreeMap::from([("action", 7)])).unwrap()[..], &[0]].concat();
        assert!(decode(&trailing, Format::Msgpack).unwrap_err().is(Code::BadBody));
    }

    #[test]
    fn errors_do_not_repeat_what_was_sent() {
        let error = json(&format!(r#"{{"action":"{}"}}"#, "ü".repeat(100_000))).unwrap_err();
        assert!(error.is(Code::BadBody) && error.message.len() <= DECODE_ERROR_MAX_BYTES);
    }

    #[test]
    fn messages_beyond_the_bound_take_no_memory() {
        let frame = format!(r#"{{"action":15,"msgSerial":1,"messages":[{}{{}}]}}"#, "{},".repeat(100_000));
        let Inbound::Publish(frame) = json(&frame).unwrap() else { panic!("not a publish") };
        assert_eq!(frame.messages.len(), PUBLISH_MAX_MESSAGES + 1);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!(r#"{{"action":0,"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let _ = json(&deep);
        let deep = format!(
            r#"{{"action":15,"msgSerial":1,"messages":[{{"extras":{}1{}}}]}}"#,
            "[".repeat(5_000),
            "]".repeat(5_000)
        );
        assert!(json(&deep).is_err() || matches!(json(&deep), Ok(Inbound::Refused { .. })));
        let mut packed = vec![0x81, 0xa1, b'x'];
        packed.extend(std::iter::repeat_n(0x91, 100_000));
        assert!(decode(&packed, Format::Msgpack).unwrap_err().is(Code::BadBody));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes, Format::Json);
            let _ = decode(&bytes, Format::Msgpack);
        }

        #[test]
        fn damaged_frames_do_not_panic(at in 0usize..80, byte in any::<u8>()) {
            let frame = serde_json::json!({"action": 15, "channel": "c", "msgSerial": 1, "messages": [{"data": "x", "extras": {"a": [1, null]}}]});
            for (format, mut bytes) in [
                (Format::Json, serde_json::to_vec(&frame).unwrap()),
                (Format::Msgpack, rmp_serde::to_vec_named(&frame).unwrap()),
            ] {
                let at = at % bytes.len();
                bytes[at] = byte;
                let _ = decode(&bytes, format);
                let _ = decode(&bytes[..at], format);
            }
        }
    }
}
