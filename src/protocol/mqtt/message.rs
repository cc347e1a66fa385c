//! What a message is in MQTT. Its payload is the data: text if it is UTF-8, and bytes if not. What version 5 carries
//! besides stands in the headers of its extras, each user property under its name, and the others under the names
//! below; the user properties `name` and `encoding` are the message's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::properties::{self as property, Properties};
use super::wire::{put_binary, put_length};
use super::{Fault, Version, kind, topic};
use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::model::data::{Data, Payload};
use crate::model::message::Extras;
use crate::model::revision::{CREATED, UPDATED};
use crate::model::serial::Position;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::outbound::{Outbound, OutboundData, OutboundMessage};

const CONTENT_TYPE: &str = "content-type";
const RESPONSE_TOPIC: &str = "response-topic";
const CORRELATION_DATA: &str = "correlation-data";
/// In seconds.
const MESSAGE_EXPIRY: &str = "message-expiry";

const NAME: &str = "name";
const ENCODING: &str = "encoding";
const CLIENT_ID: &str = "clientId";
const ACTION: &str = "action";

const JSON: &str = "application/json";

/// What a PUBLISH, or a will, carries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    pub payload: Vec<u8>,
    pub name: Option<String>,
    pub encoding: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl Carried {
    /// Refuses a payload that says it is text and is none, and user properties that have no place in a message.
    pub fn read(properties: &Properties<'_>, payload: &[u8]) -> Result<Result<Carried, ErrorInfo>, Fault> {
        let is_text = properties.flag(property::PAYLOAD_FORMAT)? == Some(true);
        let expiry = properties.number(property::MESSAGE_EXPIRY).map(|seconds| seconds.to_string());
        let correlation = properties.binary(property::CORRELATION_DATA).map(|bytes| BASE64.encode(bytes));
        let named = [
            (CONTENT_TYPE, properties.text(property::CONTENT_TYPE)),
            (RESPONSE_TOPIC, properties.text(property::RESPONSE_TOPIC)),
            (CORRELATION_DATA, correlation),
            (MESSAGE_EXPIRY, expiry),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(Carried::of(payload, is_text, named.chain(properties.user())))
    }

    fn of(
        payload: &[u8],
        is_text: bool,
        mut named: impl Iterator<Item = (String, String)>,
    ) -> Result<Carried, ErrorInfo> {
        if is_text && std::str::from_utf8(payload).is_err() {
            return Err(Code::BadData.because("the payload says that it is UTF-8, and is not"));
        }
        let mut carried = Carried { payload: payload.to_vec(), ..Carried::default() };
        named.try_for_each(|(name, value)| carried.put(name, value))?;
        Ok(carried)
    }

    fn put(&mut self, name: String, value: String) -> Result<(), ErrorInfo> {
        match name.as_str() {
            // The server says them to readers: who answers with the properties that it was sent says them again.
            CLIENT_ID | ACTION => {}
            NAME if self.name.is_none() => self.name = Some(value),
            ENCODING if self.encoding.is_none() => self.encoding = Some(value),
            _ if self.headers.iter().any(|(known, _)| *known == name) || name == NAME || name == ENCODING => {
                return Err(Code::BadRequest.because("a message has one user property of a name"));
            }
            _ => self.headers.push((name, value)),
        }
        Ok(())
    }

    /// The message to publish. What says that it is JSON, and is, comes to readers as what it says.
    pub fn into_message(self, id: Option<String>) -> InboundMessage {
        let is_json = self.headers.iter().any(|(name, value)| name == CONTENT_TYPE && value == JSON)
            && serde_json::from_slice::<serde::de::IgnoredAny>(&self.payload).is_ok();
        let encoding = self.encoding.or_else(|| is_json.then(|| "json".to_owned()));
        let data = match String::from_utf8(self.payload) {
            Ok(text) => Data::Text(text),
            Err(error) => Data::Binary(error.into_bytes()),
        };
        let headers: Map<String, Value> = self.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
        let extras = (!headers.is_empty()).then(|| json!({ "headers": headers }));
        InboundMessage {
            id,
            name: self.name,
            data: Payload::Plain(data),
            encoding,
            extras,
            ..InboundMessage::default()
        }
    }
}

/// Messages of one channel, as readers of a version get them: written once, but for what differs from one to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub channel: String,
    version: Version,
    topic: Vec<u8>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// In the channel's order: an update's own, and not that of the message it changes.
    position: Position,
    /// Without what differs from one reader to the next.
    properties: Vec<u8>,
    payload: Vec<u8>,
    published_ms: u64,
    expires_at_ms: Option<u64>,
}

/// How one reader gets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub retained: bool,
    /// Those to be acknowledged have one.
    pub packet_id: Option<u16>,
    pub subscription_id: Option<u32>,
}

/// One message on its way to one reader.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    said: &'a Said,
    piece: &'a Piece,
}

impl Said {
    /// The messages of a MESSAGE frame. None of those that are deleted, and nothing of what is said about others.
    pub fn of(frame: &Outbound<'_>, version: Version) -> Said {
        let channel = frame.channel.unwrap_or_default();
        let mut topic = Vec::new();
        put_binary(topic::of(channel).as_bytes(), &mut topic);
        let messages = frame.messages.iter().flatten().filter(|message| [CREATED, UPDATED].contains(&message.action));
        let time_ms = frame.timestamp.unwrap_or_default();
        let pieces = messages.map(|message| piece(message, version, time_ms)).collect();
        Said { channel: channel.to_owned(), version, topic, pieces }
    }

    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.pieces.iter().map(|piece| Message { said: self, piece })
    }

    /// All of them for readers that asked for nothing but to have them, as they come. `None` when there is nothing.
    pub fn plain(&self) -> Option<Vec<u8>> {
        let packets = |message: Message<'_>| {
            let now_ms = message.piece.published_ms;
            message.packet(Manner::default(), now_ms).0
        };
        let all: Vec<u8> = self.messages().flat_map(packets).collect();
        (!all.is_empty()).then_some(all)
    }
}

impl Message<'_> {
    pub fn position(&self) -> Position {
        self.piece.position
    }

    pub fn is_empty(&self) -> bool {
        self.piece.payload.is_empty()
    }

    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.piece.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// The PUBLISH, and where in it its packet id would be.
    pub fn packet(&self, manner: Manner, now_ms: u64) -> (Vec<u8>, usize) {
        let Message { said, piece } = self;
        let mut properties = Vec::new();
        if let Some(at_ms) = piece.expires_at_ms {
            let left_s = at_ms.saturating_sub(now_ms).div_ceil(1_000).min(u32::MAX.into()) as u32;
            properties.push(property::MESSAGE_EXPIRY);
            properties.extend(left_s.to_be_bytes());
        }
        if let Some(id) = manner.subscription_id {
            properties.push(property::SUBSCRIPTION_ID);
            put_length(id as usize, &mut properties);
        }
        let mut head = Vec::new();
        head.extend(manner.packet_id.into_iter().flat_map(u16::to_be_bytes));
        if said.version == Version::V5 {
            put_length(properties.len() + piece.properties.len(), &mut head);
            head.extend(&properties);
            head.extend(&piece.properties);
        }
        let qos = u8::from(manner.packet_id.is_some());
        let mut packet = vec![kind::PUBLISH << 4 | qos << 1 | u8::from(manner.retained)];
        put_length(said.topic.len() + head.len() + piece.payload.len(), &mut packet);
        packet.extend(&said.topic);
        let id_at = packet.len();
        packet.extend(head);
        packet.extend(&piece.payload);
        (packet, id_at)
    }
}

fn piece(message: &OutboundMessage<'_>, version: Version, time_ms: u64) -> Piece {
    let payload = match &message.data {
        OutboundData::Absent => Vec::new(),
        OutboundData::Text(text) => text.as_bytes().to_vec(),
        OutboundData::Base64(text) => text.as_bytes().to_vec(),
        OutboundData::Bytes(bytes) => bytes.to_vec(),
    };
    let headers = message.extras.and_then(|extras| extras.get("headers")).and_then(Value::as_object);
    let published_ms = message.timestamp.unwrap_or(time_ms);
    let expires_at_ms = headers
        .and_then(|headers| headers.get(MESSAGE_EXPIRY))
        .and_then(|seconds| seconds.as_str().map_or_else(|| seconds.as_u64(), whole_number))
        .map(|seconds| published_ms.saturating_add(seconds.saturating_mul(1_000)));
    let properties = match version {
        Version::V3 => Vec::new(),
        Version::V5 => properties_of(message, headers),
    };
    Piece { position: message.at, properties, payload, published_ms, expires_at_ms }
}

fn properties_of(message: &OutboundMessage<'_>, headers: Option<&Extras>) -> Vec<u8> {
    let mut written = Vec::new();
    let has_type = headers.is_some_and(|headers| headers.contains_key(CONTENT_TYPE));
    if matches!(message.data, OutboundData::Text(_)) {
        written.extend([property::PAYLOAD_FORMAT, 1]);
    }
    let encoding = message.encoding.as_deref();
    if encoding == Some("json") && !has_type {
        put_text(property::CONTENT_TYPE, JSON, &mut written);
    }
    for (name, value) in headers.into_iter().flatten() {
        put_header(name, value, &mut written);
    }
    let own = [
        (NAME, message.name),
        (CLIENT_ID, message.client_id),
        (ENCODING, encoding.filter(|encoding| *encoding != "json")),
        (ACTION, (message.action == UPDATED).then_some("update")),
    ];
    for (name, value) in own {
        value.into_iter().for_each(|value| put_pair(name, value, &mut written));
    }
    written
}

fn put_header(name: &str, value: &Value, into: &mut Vec<u8>) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match name {
        CONTENT_TYPE => put_text(property::CONTENT_TYPE, &text, into),
        RESPONSE_TOPIC => put_text(property::RESPONSE_TOPIC, &text, into),
        CORRELATION_DATA => match BASE64.decode(&text) {
            Ok(bytes) => {
                into.push(property::CORRELATION_DATA);
                put_binary(&bytes, into);
            }
            Err(_) => put_pair(name, &text, into),
        },
        // It is told as what is left of it; and nobody else says what the server says.
        MESSAGE_EXPIRY | NAME | CLIENT_ID | ENCODING | ACTION => {}
        _ => put_pair(name, &text, into),
    }
}

/// A text must not hold U+0000, nor be longer than its length can say.
fn fits(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && !text.contains('\0')
}

fn put_text(id: u8, text: &str, into: &mut Vec<u8>) {
    if fits(text) {
        into.push(id);
        put_binary(text.as_bytes(), into);
    }
}

fn put_pair(name: &str, value: &str, into: &mut Vec<u8>) {
    if fits(name) && fits(value) {
        into.push(property::USER_PROPERTY);
        put_binary(name.as_bytes(), into);
        put_binary(value.as_bytes(), into);
    }
}
