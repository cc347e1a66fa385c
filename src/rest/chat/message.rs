//! A message as the chat SDK reads it: text, metadata, headers and reactions, which are data, extras and annotations.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::reaction::groups;
use crate::model::Format;
use crate::model::message::{Content, Entry, Extras, Message};
use crate::model::node;
use crate::model::operation::Operation;
use crate::model::revision::{self, Act, Mark, Shape};
use crate::model::serial::Position;
use crate::protocol::outbound::{OutboundMessage, Version, page_message};

/// The name of the messages of a chat. Others share their channel.
pub const CHAT_MESSAGE: &str = "chat.message";

/// What nobody said is there and empty: the SDK fills nothing in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage<'a> {
    serial: String,
    version: Option<Version<'a>>,
    text: String,
    client_id: &'a str,
    action: &'static str,
    metadata: Value,
    headers: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_claim: Option<&'a Value>,
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reactions: Option<Map<String, Value>>,
}

/// One message of an entry. `None` for one that is no chat message.
pub fn page<'a>(entry: &'a Entry, index: usize, epoch: &str, format: Format) -> Option<ChatMessage<'a>> {
    let message = page_message(entry, index, epoch, format);
    let is_chat = message.name == Some(CHAT_MESSAGE);
    is_chat.then(|| ChatMessage::at(entry, index, message))
}

impl<'a> ChatMessage<'a> {
    /// The only message of an entry, whatever its name.
    pub fn of(entry: &'a Entry, message: OutboundMessage<'a>) -> ChatMessage<'a> {
        ChatMessage::at(entry, 0, message)
    }

    fn at(entry: &'a Entry, index: usize, message: OutboundMessage<'a>) -> ChatMessage<'a> {
        let mut data = data(&entry.messages()[index]);
        let text = match data.remove("text") {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let extra = |name: &str| message.extras.and_then(|extras| extras.get(name));
        ChatMessage {
            serial: message.serial,
            version: message.version,
            text,
            client_id: message.client_id.unwrap_or_default(),
            action: match message.action {
                1 => "message.update",
                2 => "message.delete",
                _ => "message.create",
            },
            metadata: object(data.remove("metadata")),
            headers: object(extra("headers").cloned()),
            user_claim: extra("userClaim"),
            timestamp: message.timestamp,
            reactions: entry.counts(index).map(groups),
        }
    }
}

/// What a message's data says, if it is an object in JSON.
fn data(message: &Message) -> Extras {
    let is_json = message.encoding.as_deref() == Some("json");
    node::object_of(message.data.bytes()).filter(|_| is_json).unwrap_or_default()
}

fn object(value: Option<Value>) -> Value {
    value.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// A message as an operation at this place left it, though another one has changed it since.
pub fn revised(entry: Entry, operation: &Operation, at: Position) -> Entry {
    let (target, patch) = (entry.target(0), operation.patch.clone());
    let before = entry.messages().first().cloned().unwrap_or_default();
    let message = Message { data: patch.data, encoding: patch.encoding, extras: patch.extras, ..before };
    let version = revision::Version {
        position: at,
        shape: if operation.act == Act::Delete { Shape::Deleted } else { Shape::Updated },
        number: 0,
        prior: at,
        deleted_at: None,
        connection_id: None,
        client_id: operation.client_id.clone(),
        description: operation.description.clone(),
        metadata: operation.metadata.clone(),
    };
    let marks = vec![Mark { target, version: Some(version) }];
    Entry { content: Content::Revised { messages: vec![message], marks }, ..entry }
}
