//! What clients send: bytes to frames. Tolerant of unknown actions and fields, strict about the types of known ones.

mod annotation;

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Code, ErrorInfo};
use crate::limits::{FRAME_MAX_BYTES, PARAMS_MAX, PUBLISH_MAX_MESSAGES};
use crate::maps::SortedMap;
use crate::wire::data::Payload;
use crate::wire::message::{Message, object};
use crate::wire::node::{self, Node, Wanted};
use crate::wire::{Format, action, json};

pub use annotation::InboundAnnotation;

pub type Params = SortedMap<String, String>;

/// A frame from a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    Heartbeat {
        id: Option<String>,
    },
    /// The answer to a PING.
    Pong,
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
    Annotate(PublishFrame),
    Sync {
        channel: String,
    },
    Auth {
        token: String,
    },
    /// From now on the connection goes by the transport that this comes by; see [`crate::relay`]'s takeovers.
    Activate,
    Disconnect,
    Close,
    /// An action that no client should send, or that this server doesn't know: ignored.
    Unknown,
    /// Needs an acknowledgement but says nothing that can be done: refuse it and go on.
    Refused {
        msg_serial: u64,
        error: ErrorInfo,
    },
    /// The same of what concerns one channel.
    ChannelRefused {
        channel: String,
        error: ErrorInfo,
    },
}

impl Inbound {
    /// Whether it is about the connection, and not only about the transport that it comes by.
    pub fn is_for_connection(&self) -> bool {
        let of_transport = matches!(self, Inbound::Heartbeat { .. } | Inbound::Pong | Inbound::Unknown);
        !of_transport && !matches!(self, Inbound::Disconnect | Inbound::Close)
    }
}

/// A MESSAGE frame. Its parts are checked later, so that a bad one is refused by NACK and the connection lives on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishFrame {
    pub channel: String,
    pub msg_serial: u64,
    pub messages: Vec<InboundMessage>,
    pub annotations: Vec<InboundAnnotation>,
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
    annotations: Vec<InboundAnnotation>,
    params: Params,
    token: Option<String>,
}

impl RawFrame {
    /// Reads what is there into what may already be known, so that a frame of which something is wrong can be refused
    /// by the rest. Fails as the last of what is wrong.
    fn read(&mut self, fields: Vec<(Cow<'_, str>, Node)>) -> Result<(), Wanted> {
        let mut read = Ok(());
        for (name, node) in fields {
            if let Err(wanted) = self.read_field(&name, node) {
                read = Err(wanted);
            }
        }
        read
    }

    fn read_field(&mut self, name: &str, node: Node) -> Result<(), Wanted> {
        match name {
            // Some clients number their heartbeats.
            "id" => self.id = if let Node::Number(id) = node { Some(id.to_string()) } else { node.into_text()? },
            "channel" => self.channel = node.into_text()?,
            "channelSerial" => self.channel_serial = node.into_text()?,
            "flags" => self.flags = node.integer()?,
            "messages" => self.messages = messages(node)?,
            "presence" => self.presence = messages(node)?,
            "annotations" if node != Node::Null => self.annotations = InboundAnnotation::read_several(node)?.0,
            "params" => self.params = params(node)?,
            "auth" => self.token = token(node)?,
            _ => {}
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

/// SDKs send every parameter as text; people send numbers and booleans too. Of too many one more is kept than may be.
fn params(node: Node) -> Result<Params, Wanted> {
    if node == Node::Null {
        return Ok(Params::default());
    }
    let text = |(name, node): (Cow<'_, str>, Node)| {
        let value = match node.into_value()? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok((name.into_owned(), value))
    };
    node.into_fields()?.into_iter().take(PARAMS_MAX + 1).map(text).collect()
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
/// Fails, and then the connection must end, with 40009 when the frame is over [`FRAME_MAX_BYTES`] and with 40001 when
/// not even what it is for can be read.
pub fn decode(bytes: &[u8], format: Format) -> Result<Inbound, ErrorInfo> {
    if bytes.len() > FRAME_MAX_BYTES {
        return Err(
            Code::TooLarge.because(format!("a frame has at most {FRAME_MAX_BYTES} bytes, this one {}", bytes.len()))
        );
    }
    let format = if bytes.first() == Some(&b'{') { Format::Json } else { format };
    let wrong = |wanted| wrong(format, wanted);
    let fields = match node::read(bytes, format) {
        Ok(node) => node.into_fields().map_err(wrong)?,
        Err(error) => return outline(bytes, format).and_then(|frame| refused(frame, &error)).ok_or(error),
    };
    let number =
        |wanted: &str| fields.iter().rfind(|(name, _)| name == wanted).map_or(Ok(None), |(_, node)| node.integer());
    let (action, msg_serial) = (number("action").map_err(wrong)?, number("msgSerial").map_err(wrong)?);
    let mut frame = RawFrame { action, msg_serial, ..RawFrame::default() };
    match frame.read(fields).map_err(wrong) {
        Ok(()) => interpret(frame),
        Err(error) => refused(frame, &error).ok_or(error),
    }
}

/// What a frame comes to of which something is wrong: refused by its serial or its channel, or done as far as it can
/// be. `None` when not even its action is known.
fn refused(frame: RawFrame, error: &ErrorInfo) -> Option<Inbound> {
    let error = error.clone();
    let action = u8::try_from(frame.action?).unwrap_or(u8::MAX);
    Some(match (action, frame.msg_serial) {
        (_, Some(msg_serial)) => Inbound::Refused { msg_serial, error },
        (action::ATTACH | action::DETACH | action::SYNC, None) => {
            Inbound::ChannelRefused { channel: frame.channel?, error }
        }
        (action::MESSAGE | action::PRESENCE | action::ANNOTATION | action::OBJECT, None) => return None,
        _ => interpret_plain(action, frame),
    })
}

/// The action, serial and channel of a JSON frame whose values cannot all be kept, such as the number 1e400.
fn outline(bytes: &[u8], format: Format) -> Option<RawFrame> {
    let fields = (format == Format::Json).then(|| json::fields(bytes))??;
    let field = |wanted: &str| fields.iter().rfind(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| *value);
    let number = |name: &str| std::str::from_utf8(field(name)?).ok()?.parse().ok();
    let channel = field("channel").and_then(|text| node::from_json(text).ok()?.into_text().ok()?);
    Some(RawFrame { action: number("action"), msg_serial: number("msgSerial"), channel, ..RawFrame::default() })
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
        action::PONG => Inbound::Pong,
        action::ATTACH => Inbound::Attach {
            channel,
            serial: frame.channel_serial,
            flags: frame.flags.unwrap_or(0) as u32,
            params: frame.params,
        },
        action::DETACH => Inbound::Detach { channel },
        action::SYNC => Inbound::Sync { channel },
        action::AUTH => Inbound::Auth { token: frame.token.unwrap_or_default() },
        action::ACTIVATE => Inbound::Activate,
        action::DISCONNECT => Inbound::Disconnect,
        action::CLOSE => Inbound::Close,
        _ => Inbound::Unknown,
    }
}

fn interpret_numbered(action: u8, msg_serial: u64, frame: RawFrame) -> Inbound {
    let channel = frame.channel.unwrap_or_default();
    let empty = PublishFrame { channel, msg_serial, ..PublishFrame::default() };
    match action {
        action::MESSAGE => Inbound::Publish(PublishFrame { messages: frame.messages, params: frame.params, ..empty }),
        action::PRESENCE => Inbound::Presence(PublishFrame { messages: frame.presence, ..empty }),
        action::ANNOTATION => Inbound::Annotate(PublishFrame { annotations: frame.annotations, ..empty }),
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

    /// A frame of msgpack, whose values are written in JSON but for one, which is given in bytes.
    fn packed(before: &[(&str, u8)], name: &str, value: &[u8]) -> Vec<u8> {
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let fields = before.iter().flat_map(|(name, value)| [text(name), vec![*value]].concat());
        let mut frame = vec![0x80 | (before.len() + 1) as u8];
        frame.extend(fields);
        [frame, text(name), value.to_vec()].concat()
    }

    #[test]
    fn a_message_that_cannot_be_kept_costs_itself() {
        let numbered = [("action", 15), ("msgSerial", 4)];
        let message = |value: &[u8]| [&[0x91, 0x81, 0xa4][..], b"data", value].concat();
        for value in [&[0xd4, 1, 1][..], &[0x81, 1, 2], &[0x91, 0xc4, 1, 7], &[0x91, 0xd4, 5, 0]] {
            let frame = decode(&packed(&numbered, "messages", &message(value)), Format::Msgpack).unwrap();
            assert!(matches!(frame, Inbound::Refused { msg_serial: 4, .. }), "{value:x?}: {frame:?}");
        }
        for value in ["1e400", "12345678901234567890123", r#"{"a":[-99999999999999999999]}"#] {
            let frame =
                json(&format!(r#"{{"action":15,"msgSerial":4,"channel":"c","messages":[{{"data":{value}}}]}}"#));
            assert!(matches!(frame, Ok(Inbound::Refused { msg_serial: 4, .. })), "{value}: {frame:?}");
        }
        for kept in ["1e300", "18446744073709551615", "-0.0", "0.1", r#""12345678901234567890123""#] {
            let frame = json(&format!(r#"{{"action":15,"msgSerial":4,"messages":[{{"data":[{kept}]}}]}}"#)).unwrap();
            let Inbound::Publish(frame) = frame else { panic!("{kept}: {frame:?}") };
            let data = frame.messages[0].clone().into_message().unwrap().data;
            assert_eq!(data, crate::wire::data::Data::Text(format!("[{kept}]").replace("1e300", "1e+300")), "{kept}");
        }
    }

    #[test]
    fn half_an_emoji_is_read_as_the_replacement_character() {
        let frame = json(
            r#"{"action":15,"msgSerial":4,"channel":"\ud83cx","messages":[{"name":"\udfbe","data":"\ud83c!","extras":{"headers":{"\ud83c":"\ud83c\udfbe"}}}]}"#,
        );
        let Ok(Inbound::Publish(frame)) = frame else { panic!("{frame:?}") };
        let message = frame.messages[0].clone().into_message().unwrap();
        assert_eq!((frame.channel.as_str(), message.name.as_deref()), ("\u{fffd}x", Some("\u{fffd}")));
        assert_eq!(message.data, crate::wire::data::Data::Text("\u{fffd}!".into()));
        let headers = serde_json::json!({"headers": {"\u{fffd}": "\u{1f3be}"}});
        assert_eq!(message.extras, headers.as_object().cloned());
    }

    #[test]
    fn a_plain_frame_of_which_something_is_wrong_is_done_as_far_as_it_can_be() {
        let heartbeat = |id: Option<&str>| Inbound::Heartbeat { id: id.map(str::to_owned) };
        assert_eq!(json(r#"{"action":0,"id":17}"#).unwrap(), heartbeat(Some("17")));
        assert_eq!(json(r#"{"action":0,"id":{}}"#).unwrap(), heartbeat(None));
        assert_eq!(json(r#"{"action":7,"flags":"x"}"#).unwrap(), Inbound::Close);
        assert_eq!(decode(&packed(&[("action", 7)], "new", &[0xd4, 9, 9]), Format::Msgpack).unwrap(), Inbound::Close);
        for wrong in [r#""flags":"x""#, r#""params":[1]"#, r#""channelSerial":5"#, r#""params":{"a":1e400}"#] {
            for channel in [
                format!(r#"{{"action":10,"channel":"c",{wrong}}}"#),
                format!(r#"{{"action":10,{wrong},"channel":"c"}}"#),
            ] {
                let refused = json(&channel).unwrap();
                assert!(matches!(refused, Inbound::ChannelRefused { channel, .. } if channel == "c"), "{wrong}");
            }
        }
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
