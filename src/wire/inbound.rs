//! What clients send: bytes to frames. Tolerant of unknown actions and fields, strict about the types of known ones.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Code, ErrorInfo};
use crate::limits::{FRAME_MAX_BYTES, PUBLISH_MAX_MESSAGES};
use crate::maps::SortedMap;
use crate::wire::data::Payload;
use crate::wire::message::{Extras, Message};
use crate::wire::node::{self, Node, Wanted};
use crate::wire::{Format, action};

pub type Params = SortedMap<String, String>;

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InboundMessage {
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: Payload,
    pub encoding: Option<String>,
    pub client_id: Option<String>,
    /// REST: on behalf of the connection that holds this key (protocol.md § 12.3).
    pub connection_key: Option<String>,
    pub extras: Option<Value>,
    pub action: Option<u64>,
}

impl InboundMessage {
    /// Fails when it is no object, or a field is of the wrong type.
    pub fn read(node: Node) -> Result<InboundMessage, Wanted> {
        let mut message = InboundMessage::default();
        for (name, node) in node.into_fields()? {
            match &*name {
                "id" => message.id = node.into_text()?.filter(|id| !id.is_empty()),
                "name" => message.name = node.into_text()?,
                "data" => message.data = node.try_into()?,
                "encoding" => message.encoding = node.into_text()?,
                "clientId" => message.client_id = node.into_text()?,
                "connectionKey" => message.connection_key = node.into_text()?,
                "extras" => message.extras = Some(node.into_value()?).filter(|extras| !extras.is_null()),
                "action" => message.action = node.integer()?,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Those of one publish: one, or a list, and whether it is a list. Of too many one more is kept than may be.
    pub fn read_several(node: Node) -> Result<(Vec<InboundMessage>, bool), Wanted> {
        node.several(PUBLISH_MAX_MESSAGES, InboundMessage::read)
    }

    /// The message to keep. Fails with 40013 for data and 40032 for extras that the protocol doesn't carry, and with
    /// 93002 for an action other than create.
    pub fn into_message(self) -> Result<Message, ErrorInfo> {
        if self.action.is_some_and(|action| action != 0) {
            return Err(Code::UpdatesNotEnabled.because("this server cannot update, append to or delete messages"));
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

#[derive(Default)]
struct RawFrame {
    action: Option<u64>,
    id: Option<String>,
    channel: Option<String>,
    channel_serial: Option<String>,
    msg_serial: Option<u64>,
    flags: Option<u64>,
    messages: Vec<InboundMessage>,
    presence: Vec<InboundMessage>,
    params: Params,
    token: Option<String>,
}

impl RawFrame {
    /// Reads what is there into what may already be known, so that a frame whose rest is wrong can be refused by its serial.
    fn read(&mut self, fields: Vec<(Cow<'_, str>, Node)>) -> Result<(), Wanted> {
        for (name, node) in fields {
            match &*name {
                "id" => self.id = node.into_text()?,
                "channel" => self.channel = node.into_text()?,
                "channelSerial" => self.channel_serial = node.into_text()?,
                "flags" => self.flags = node.integer()?,
                "messages" => self.messages = messages(node)?,
                "presence" => self.presence = messages(node)?,
                "params" => self.params = params(node)?,
                "auth" => self.token = token(node)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn messages(node: Node) -> Result<Vec<InboundMessage>, Wanted> {
    match node {
        Node::Null => Ok(Vec::new()),
        node => InboundMessage::read_several(node).map(|(messages, _)| messages),
    }
}

/// SDKs send every parameter as text; people send numbers and booleans too.
fn params(node: Node) -> Result<Params, Wanted> {
    let mut params = Params::default();
    if node == Node::Null {
        return Ok(params);
    }
    for (name, node) in node.into_fields()? {
        let value = match node.into_value()? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        params.insert(name.into_owned(), value);
    }
    Ok(params)
}

fn token(node: Node) -> Result<Option<String>, Wanted> {
    let mut token = None;
    if node == Node::Null {
        return Ok(token);
    }
    for (name, node) in node.into_fields()? {
        if name == "accessToken" {
            token = node.into_text()?;
        }
    }
    Ok(token)
}

/// Decodes one frame: text is JSON, binary is msgpack, unless it begins with a brace: there are SDKs that send JSON as
/// bytes, and a frame of msgpack is a map, which never begins so.
///
/// Fails, and then the connection must end, with 40009 when the frame is over [`FRAME_MAX_BYTES`] and with 40001 when it
/// cannot be decoded so far as to be refused by its msgSerial.
pub fn decode(bytes: &[u8], format: Format) -> Result<Inbound, ErrorInfo> {
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(
            Code::TooLarge.because(format!("a frame has at most {FRAME_MAX_BYTES} bytes, this one {}", bytes.len()))
        );
    }
    let format = if bytes.first() == Some(&b'{') { Format::Json } else { format };
    let wrong = |wanted| wrong(format, wanted);
    let fields = node::read(bytes, format)?.into_fields().map_err(wrong)?;
    let number =
        |wanted: &str| fields.iter().rfind(|(name, _)| name == wanted).map_or(Ok(None), |(_, node)| node.integer());
    let (action, msg_serial) = (number("action").map_err(wrong)?, number("msgSerial").map_err(wrong)?);
    let mut frame = RawFrame { action, msg_serial, ..RawFrame::default() };
    match (frame.read(fields).map_err(wrong), action, msg_serial) {
        (Ok(()), ..) => interpret(frame),
        (Err(error), Some(_), Some(msg_serial)) => Ok(Inbound::Refused { msg_serial, error }),
        (Err(error), ..) => Err(error),
    }
}

/// The error for a value that is not what is wanted in its place.
pub fn wrong(format: Format, wanted: Wanted) -> ErrorInfo {
    node::undecodable(format, &["expected ", wanted].concat())
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
            params: frame.params,
        },
        action::DETACH => Inbound::Detach { channel },
        action::SYNC => Inbound::Sync { channel },
        action::AUTH => Inbound::Auth { token: frame.token.unwrap_or_default() },
        action::DISCONNECT => Inbound::Disconnect,
        action::CLOSE => Inbound::Close,
        _ => Inbound::Unknown,
    }
}

fn interpret_numbered(action: u8, msg_serial: u64, frame: RawFrame) -> Inbound {
    let channel = frame.channel.unwrap_or_default();
    match action {
        action::MESSAGE => {
            Inbound::Publish(PublishFrame { channel, msg_serial, messages: frame.messages, params: frame.params })
        }
        action::PRESENCE => {
            Inbound::Presence(PublishFrame { channel, msg_serial, messages: frame.presence, params: Params::default() })
        }
        action::ANNOTATION => {
            Inbound::Refused { msg_serial, error: Code::UpdatesNotEnabled.because("this server has no annotations") }
        }
        _ => Inbound::Refused { msg_serial, error: Code::BadRequest.because("this server has no LiveObjects") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DECODE_ERROR_MAX_BYTES;
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
        assert_eq!(frame.params.get("a").unwrap(), "1");
        let message = frame.messages[0].clone().into_message().unwrap();
        assert_eq!((message.name.as_deref(), message.size()), (Some("n"), 2));
    }

    #[test]
    fn null_is_absent_and_unknown_actions_are_ignored() {
        let attach = r#"{"action":10,"channel":"c","channelSerial":null,"flags":null,"params":null,"auth":null}"#;
        let expected = Inbound::Attach { channel: "c".into(), serial: None, flags: 0, params: Params::default() };
        assert_eq!(json(attach).unwrap(), expected);
        assert_eq!(json(r#"{"action":99}"#).unwrap(), Inbound::Unknown);
        assert_eq!(json(r#"{"action":300}"#).unwrap(), Inbound::Unknown);
    }

    #[test]
    fn json_may_come_as_bytes() {
        assert_eq!(decode(br#"{"action":7}"#, Format::Msgpack), json(r#"{"action":7}"#));
        assert_eq!(decode(b"\x81\xa6action\x07", Format::Msgpack), Ok(Inbound::Close));
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
        let trailing =
            [&rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("action", 7)])).unwrap()[..], &[0]].concat();
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
