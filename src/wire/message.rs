//! A message and a publish as the channel keeps them: independent of format, connection and time.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::serial::Position;
use crate::wire::data::Data;

pub type Extras = Map<String, Value>;

/// A message as published. What can be derived from its [`Entry`] isn't kept: timestamp, serial, connection.
///
/// Pinned: stored rows and calls hold it, see [`crate::pinned`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Only when the publisher chose it; else it is `<publish id>:<index>`.
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: Data,
    pub encoding: Option<String>,
    pub client_id: Option<String>,
    #[serde(with = "crate::pinned::json_text")]
    pub extras: Option<Extras>,
}

impl Message {
    /// The size that limits count (protocol.md § 8.4), in bytes.
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let extras =
            self.extras.as_ref().map_or(0, |extras| serde_json::to_string(extras).map_or(0, |json| json.len()));
        text(&self.name) + text(&self.client_id) + extras + self.data.len()
    }

    /// Whether it asks to be delivered only to those who listen now (protocol.md § 8.6).
    pub fn is_ephemeral(&self) -> bool {
        self.extras.as_ref().and_then(|extras| extras.get("ephemeral")) == Some(&Value::Bool(true))
    }
}

/// One publish at its place in the channel's order: messages that stay together.
///
/// Pinned like [`Message`]: this is what a log row and a delivery consist of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub position: Position,
    /// The protocol message's id: `<connectionId>:<msgSerial>`, or the base of the publisher's own ids.
    pub id: String,
    pub connection_id: Option<String>,
    pub messages: Vec<Message>,
}

impl Entry {
    pub fn is_ephemeral(&self) -> bool {
        self.messages.iter().any(Message::is_ephemeral)
    }
}
