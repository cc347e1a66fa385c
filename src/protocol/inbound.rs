//! What clients send: bytes to frames. Tolerant of unknown actions and fields, strict about the types of known ones.

mod annotation;

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Code, ErrorInfo};
use crate::limits::{FRAME_MAX_BYTES, PARAMS_MAX, PUBLISH_MAX_MESSAGES, REFUSED_FRAME_MAX_BYTES};
use crate::model::data::Payload;
use crate::model::message::{Message, Params};
use crate::model::node::{self, Node, Wanted};
use crate::model::objects::operation::Proposal;
use crate::model::{Format, json};
use crate::protocol::stated::{Stated, action_of, object};
use crate::protocol::{action, objects};

pub use annotation::InboundAnnotation;

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
    /// Operations on the channel's objects.
    Objects(ObjectFrame),
    Annotate(AnnotationFrame),
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

    /// By which it is acknowledged or refused.
    fn msg_serial(&self) -> Option<u64> {
        match self {
            Inbound::Publish(frame) | Inbound::Presence(frame) => Some(frame.msg_serial),
            Inbound::Objects(frame) => Some(frame.msg_serial),
            Inbound::Annotate(frame) => Some(frame.msg_serial),
            Inbound::Refused { msg_serial, .. } => Some(*msg_serial),
            _ => None,
        }
    }
}

/// A MESSAGE frame. Its parts are checked later, so that a bad one is refused by NACK and the connection lives on.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishFrame {
    pub channel: String,
    pub msg_serial: u64,
    pub messages: Vec<InboundMessage>,
    pub params: Params,
}

/// An OBJECT frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectFrame {
    pub channel: String,
    pub msg_serial: u64,
    pub operations: Vec<Proposal>,
}

/// An ANNOTATION frame.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotationFrame {
    pub channel: String,
    pub msg_serial: u64,
    pub annotations: Vec<InboundAnnotation>,
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
    pub serial: Option<String>,
    pub version: Stated,
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
                "action" => message.action = action_of(node)?,
                "serial" => message.serial = node.into_text()?,
                "version" => message.version = Stated::read(node)?,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Those of one publish: one, or a list, and whether it is a list. Of too many one more is kept than may be.
    pub fn read_several(node: Node) -> Result<(Vec<InboundMessage>, bool), Wanted> {
        node.several(PUBLISH_MAX_MESSAGES, InboundMessage::read)
    }

    /// Whether it asks for something else than to be published.
    pub fn is_operation(&self) -> bool {
        self.action.unwrap_or(0) != 0
    }

    /// The message to keep. Fails with 40013 for data and 40032 for extras that the protocol doesn't carry, and with
    /// 40000 for an action other than create.
    pub fn into_message(self) -> Result<Message, ErrorInfo> {
        if self.is_operation() {
            return Err(Code::BadRequest.because("an update, deletion or append goes alone, not beside other messages"));
        }
        let ((data, encoding), extras) = (self.data.normalize(self.encoding)?, self.extras.map(object).transpose()?);
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
    state: Option<Result<Vec<Proposal>, ErrorInfo>>,
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
            "state" => self.state = Some(objects::read_state(node)),
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
pub(super) fn params(node: Node) -> Result<Params, Wanted> {
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
/// One that is over [`FRAME_MAX_BYTES`] is refused by its serial. Fails, and then the connection must end, with 40009
/// when that has none or is over [`REFUSED_FRAME_MAX_BYTES`], and with 40001 when not even what a frame is for can be
/// read.
pub fn decode(bytes: &[u8], format: Format) -> Result<Inbound, ErrorInfo> {
    if bytes.len() <= FRAME_MAX_BYTES {
        return read(bytes, format);
    }
    let size = format!("a frame has at most {FRAME_MAX_BYTES} bytes, this one {}", bytes.len());
    let error = Code::TooLarge.because(size);
    let is_looked_at = bytes.len() <= REFUSED_FRAME_MAX_BYTES;
    let frame = if is_looked_at { read(bytes, format).ok() } else { None };
    match frame.and_then(|frame| frame.msg_serial()) {
        Some(msg_serial) => Ok(Inbound::Refused { msg_serial, error }),
        None => Err(error),
    }
}

fn read(bytes: &[u8], format: Format) -> Result<Inbound, ErrorInfo> {
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
    match action {
        action::MESSAGE => {
            Inbound::Publish(PublishFrame { channel, msg_serial, messages: frame.messages, params: frame.params })
        }
        action::PRESENCE => {
            Inbound::Presence(PublishFrame { channel, msg_serial, messages: frame.presence, params: Params::default() })
        }
        action::ANNOTATION => {
            Inbound::Annotate(AnnotationFrame { channel, msg_serial, annotations: frame.annotations })
        }
        _ => match frame.state.unwrap_or_else(|| Err(Code::BadObject.because("'state' is missing"))) {
            Ok(operations) => Inbound::Objects(ObjectFrame { channel, msg_serial, operations }),
            Err(error) => Inbound::Refused { msg_serial, error },
        },
    }
}

#[cfg(test)]
mod tests;
