//! What is published, and what becomes of it.

use serde::{Deserialize, Serialize};

use super::RelayName;
use crate::auth::Source;
use crate::error::ErrorInfo;
use crate::model::annotation::Annotation;
use crate::model::message::Message;
use crate::model::objects::operation::Proposal;
use crate::model::operation::Operation;
use crate::model::presence::{PresenceMessage, Turn};
use crate::model::serial::Position;
use crate::stats::Traffic;

/// What a channel is told to take in, and what stays together under one place in the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    pub key: PublishKey,
    pub connection_id: Option<String>,
    pub by: Source,
    pub content: Submission,
}

/// All of it travels one way, so that what a connection said and what became of it stay in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Submission {
    Messages(Vec<Message>),
    /// What a connection's members did.
    Presence {
        lease: Lease,
        updates: Vec<PresenceUpdate>,
    },
    /// What became of a connection that may have members.
    ConnectionOutcome {
        lease: Lease,
        outcome: ConnectionOutcome,
    },
    /// What is done to the channel's objects.
    Objects(Vec<Proposal>),
    /// What is done to a message.
    Operation(Box<Operation>),
    /// What is said of one message.
    Annotations {
        /// Its serial.
        message: String,
        annotations: Vec<Annotation>,
    },
}

/// Who holds a connection, and for how long its members outlive its loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    pub relay: RelayName,
    pub grace_ms: u64,
}

/// A presence event as its client sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceUpdate {
    pub event: PresenceMessage,
    /// The event by which a client that enters says that it is in the set already.
    pub known: Option<Turn>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectionOutcome {
    /// The relay has it, attached to this channel.
    Here,
    /// Its transport is lost: its members leave after the grace, unless it is here again.
    Gone,
    /// It detached, or ended: its members leave.
    Left,
    /// The relay has it, attached to this channel, and it is this client: its members of other names leave.
    HereAs(String),
}

/// By what a repeated publish is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PublishKey {
    /// By its place on its connection; `connection_id` must be set.
    Serial(u64),
    /// By the id of the first in it, which the publisher chose; see [`Publish::scope`].
    Id(String),
    /// By an id that this server made for a REST request, so that its own retries are known.
    Request(String),
}

impl Publish {
    /// Its messages, if it is a publish of messages.
    pub fn messages(&self) -> &[Message] {
        match &self.content {
            Submission::Messages(messages) => messages,
            _ => &[],
        }
    }

    /// How many serials its publisher gets: one for each message or annotation, and one for a new
    /// version.
    pub fn count(&self) -> usize {
        match &self.content {
            Submission::Operation(_) => 1,
            Submission::Annotations { annotations, .. } => annotations.len(),
            _ => self.messages().len(),
        }
    }

    /// Bytes that it takes where it waits, about.
    pub fn weight(&self) -> usize {
        match &self.content {
            Submission::Messages(messages) => messages.iter().map(Message::weight).sum(),
            Submission::Presence { updates, .. } => updates.iter().map(|update| update.event.weight()).sum(),
            Submission::ConnectionOutcome { outcome: ConnectionOutcome::HereAs(name), .. } => name.len(),
            Submission::ConnectionOutcome { .. } => 0,
            Submission::Objects(proposals) => proposals.iter().map(|proposal| proposal.message.weight()).sum(),
            Submission::Operation(operation) => operation.weight(),
            Submission::Annotations { annotations, .. } => annotations.iter().map(Annotation::weight).sum(),
        }
    }

    /// How it came in. What is published on behalf of a connection counts as that connection's.
    pub fn way(&self) -> Traffic {
        let is_realtime = matches!(self.key, PublishKey::Serial(_)) || self.connection_id.is_some();
        if is_realtime { Traffic::RealtimeIn } else { Traffic::RestIn }
    }

    /// Its annotations, if it is a publish of these.
    pub fn annotations(&self) -> &[Annotation] {
        match &self.content {
            Submission::Annotations { annotations, .. } => annotations,
            _ => &[],
        }
    }

    /// Among what an id that its publisher chose is the only one: the messages of the channel, the operations on its
    /// objects, or the annotations of a message.
    pub fn scope(&self) -> &str {
        match (&self.key, &self.content) {
            (PublishKey::Id(_), Submission::Objects(_)) => "objects",
            (PublishKey::Id(_), Submission::Annotations { message, .. }) => message,
            _ => "",
        }
    }

    /// The id of the protocol message (protocol.md § 3).
    pub fn id(&self) -> String {
        match &self.key {
            PublishKey::Serial(serial) => format!("{}:{serial}", self.connection_id.as_deref().unwrap_or_default()),
            PublishKey::Id(id) => id.strip_suffix(":0").unwrap_or(id).to_owned(),
            PublishKey::Request(id) => id.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    pub epoch: String,
    /// One for each publish, in order.
    pub outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// In the log, durable when this is read; a repeated publish gets its first place.
    Accepted {
        position: Position,
        count: usize,
    },
    Refused(ErrorInfo),
    /// The same of operations: which objects each of them was done to.
    Operated {
        position: Position,
        object_ids: Vec<String>,
    },
}

/// Where a relay stands that is fed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub relay: RelayName,
    pub epoch: String,
    pub position: Position,
}
