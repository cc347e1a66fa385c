//! A message and a publish as the channel keeps them: independent of format, connection and time.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Code, ErrorInfo};
use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::pinned::{self, Unreadable, Versioned};
use crate::serial::Position;
use crate::wire::annotation::{Annotation, Summary, SummaryCounts, Target};
use crate::wire::data::Data;
use crate::wire::presence::PresenceMessage;

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
    /// The size that a client may count (protocol.md § 8.4): bytes of data, and characters of everything else.
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_deref().map_or(0, characters);
        text(&self.name)
            + text(&self.client_id)
            + self.data.len()
            + self.extras.as_ref().map_or(0, |e| characters(&json(e)))
    }

    /// Bytes that it takes wherever memory or a frame is bounded.
    pub fn weight(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let texts = text(&self.name) + text(&self.client_id) + text(&self.id) + text(&self.encoding);
        MESSAGE_OVERHEAD_BYTES + texts + self.data.len() + self.extras.as_ref().map_or(0, |extras| json(extras).len())
    }

    /// Whether it is a delta that this server made.
    pub fn is_delta(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.contains_key("delta"))
    }

    /// Whether it asks to be delivered only to those who listen now (protocol.md § 8.6).
    pub fn is_ephemeral(&self) -> bool {
        self.extras.as_ref().and_then(|extras| extras.get("ephemeral")) == Some(&Value::Bool(true))
    }
}

/// As JavaScript counts them, and so most SDKs: UTF-16 code units.
pub(super) fn characters(text: &str) -> usize {
    text.encode_utf16().count()
}

pub(super) fn json(extras: &Extras) -> String {
    serde_json::to_string(extras).unwrap_or_default()
}

/// Extras as they came. Fails with 40032 when they are no object.
pub(crate) fn object(extras: Value) -> Result<Extras, ErrorInfo> {
    match extras {
        Value::Object(map) => Ok(map),
        _ => Err(Code::BadExtras.because("extras must be an object")),
    }
}

/// One publish at its place in the channel's order: what stays together.
///
/// Pinned like [`Message`]: this is what a log row and a delivery consist of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub position: Position,
    /// The protocol message's id: `<connectionId>:<msgSerial>`, or the base of the publisher's own ids.
    pub id: String,
    pub connection_id: Option<String>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    Messages(Vec<Message>),
    Presence(Vec<PresenceMessage>),
    /// What is delivered of a publish when some of its messages were conflated, and their places in it. The log has
    /// all.
    Rest {
        places: Vec<usize>,
        messages: Vec<Message>,
    },
    /// What clients say of a message.
    Annotations {
        target: Target,
        annotations: Vec<Annotation>,
    },
    Summary(Summary),
    /// Messages with what their annotations come to, for who reads them later. The log has them without.
    Annotated {
        messages: Vec<Message>,
        counts: Vec<SummaryCounts>,
    },
}

impl Versioned for Entry {
    const VERSION: u8 = 2;

    /// The first version had no annotations, and all else as it is.
    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Entry, Unreadable> {
        match version {
            1 => pinned::take(bytes),
            _ => Err(Unreadable::Version(version)),
        }
    }
}

/// What goes into frames of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Messages,
    Presence,
    Annotations,
}

impl Entry {
    /// Its messages; none of a presence entry.
    pub fn messages(&self) -> &[Message] {
        match &self.content {
            Content::Messages(messages) | Content::Rest { messages, .. } | Content::Annotated { messages, .. } => {
                messages
            }
            Content::Presence(_) | Content::Annotations { .. } | Content::Summary(_) => &[],
        }
    }

    /// The place in its publish of one of its messages, which its id and serial tell.
    pub fn place(&self, index: usize) -> usize {
        match &self.content {
            Content::Rest { places, .. } => places.get(index).copied().unwrap_or(index),
            _ => index,
        }
    }

    /// Its presence events; none of a publish.
    pub fn presence(&self) -> &[PresenceMessage] {
        match &self.content {
            Content::Presence(events) => events,
            _ => &[],
        }
    }

    /// Its annotations; none of a publish.
    pub fn annotations(&self) -> &[Annotation] {
        match &self.content {
            Content::Annotations { annotations, .. } => annotations,
            _ => &[],
        }
    }

    pub fn summary(&self) -> Option<&Summary> {
        match &self.content {
            Content::Summary(summary) => Some(summary),
            _ => None,
        }
    }

    /// What the annotations of one of its messages come to, where that is told.
    pub fn counts(&self, index: usize) -> Option<&Extras> {
        match &self.content {
            Content::Annotated { counts, .. } => counts.get(index)?.by_type.as_ref(),
            _ => None,
        }
    }

    /// A summary is a message of the server's.
    pub fn kind(&self) -> Kind {
        match &self.content {
            Content::Presence(_) => Kind::Presence,
            Content::Annotations { .. } => Kind::Annotations,
            _ => Kind::Messages,
        }
    }

    pub fn is_presence(&self) -> bool {
        matches!(self.content, Content::Presence(_))
    }

    /// How many messages, events or annotations.
    pub fn count(&self) -> usize {
        self.messages().len() + self.presence().len() + self.annotations().len()
    }

    /// Bytes that it takes in a frame, about.
    pub fn weight(&self) -> usize {
        let messages = self.messages().iter().map(Message::weight).sum::<usize>();
        let annotations = self.annotations().iter().map(Annotation::weight).sum::<usize>();
        let counts = |counts: &SummaryCounts| counts.by_type.as_ref().map_or(0, |counts| json(counts).len());
        let told = match &self.content {
            Content::Summary(summary) => MESSAGE_OVERHEAD_BYTES + counts(&summary.counts),
            Content::Annotated { counts: all, .. } => all.iter().map(counts).sum(),
            _ => 0,
        };
        messages + annotations + told + self.presence().iter().map(PresenceMessage::weight).sum::<usize>()
    }

    pub fn is_ephemeral(&self) -> bool {
        self.messages().iter().any(Message::is_ephemeral)
    }
}
