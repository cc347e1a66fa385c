//! What clients do to objects, and the values that maps hold.

use serde::{Deserialize, Serialize};

use super::path::Path;
use crate::limits::{MESSAGE_OVERHEAD_BYTES, OBJECT_PARTS_PER_MESSAGE};
use crate::model::message::{Extras, json};
use crate::model::size::Size;

/// What an entry of a map holds.
///
/// Pinned: stored rows and calls hold it, see [`crate::base::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A reference to an object, which may not be there.
    Object(String),
    Bool(bool),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Number(f64),
    Text(String),
    /// Any JSON, as its text.
    Json(String),
}

impl Value {
    /// The size that a client may count.
    pub fn size(&self) -> usize {
        match self {
            Value::Object(_) => 0,
            Value::Bool(_) => 1,
            Value::Bytes(bytes) => bytes.len(),
            Value::Number(_) => 8,
            Value::Text(text) | Value::Json(text) => text.len(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    MapCreate(Vec<(String, Value)>),
    MapSet {
        key: String,
        value: Value,
    },
    MapRemove {
        key: String,
    },
    CounterCreate(f64),
    CounterInc(f64),
    /// The server's own: nobody can reach the object any more.
    Delete,
    MapClear,
    /// What an increment became that was whole, on a counter that was and is whole: see [`is_whole`]. Only the log and
    /// deliveries have it.
    CounterStep(f64),
}

/// Whether counters of this size, and the increments of one delivery, add up to the same in any order and in parts: a
/// double has 53 bits, and `OBJECT_STEP_MAX` for each of a million increments has 52, as a counter may have.
pub fn is_whole(number: f64, max: f64) -> bool {
    number.fract() == 0.0 && number.abs() <= max
}

/// What kind an object is, as its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Map,
    Counter,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Map => "map",
            Kind::Counter => "counter",
        }
    }
}

impl Action {
    pub const fn number(&self) -> u8 {
        match self {
            Action::MapCreate(_) => 0,
            Action::MapSet { .. } => 1,
            Action::MapRemove { .. } => 2,
            Action::CounterCreate(_) => 3,
            Action::CounterInc(_) | Action::CounterStep(_) => 4,
            Action::Delete => 5,
            Action::MapClear => 6,
        }
    }

    /// Whether the log has it for what a client asked for.
    pub fn is_done_for(&self, asked: &Action) -> bool {
        match (self, asked) {
            (Action::CounterStep(done), Action::CounterInc(asked)) => done == asked,
            (done, asked) => done == asked,
        }
    }

    /// What kind of object it is for; any can be deleted.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Action::MapCreate(_) | Action::MapSet { .. } | Action::MapRemove { .. } | Action::MapClear => {
                Some(Kind::Map)
            }
            Action::CounterCreate(_) | Action::CounterInc(_) | Action::CounterStep(_) => Some(Kind::Counter),
            Action::Delete => None,
        }
    }

    pub const fn creates(&self) -> bool {
        matches!(self, Action::MapCreate(_) | Action::CounterCreate(_))
    }

    fn size(&self) -> usize {
        match self {
            Action::MapCreate(entries) => entries.iter().map(|(key, value)| key.len() + value.size()).sum(),
            Action::MapSet { key, value } => key.len() + value.size(),
            Action::MapRemove { key } => key.len(),
            Action::CounterCreate(_) | Action::CounterInc(_) | Action::CounterStep(_) => 8,
            Action::Delete | Action::MapClear => 0,
        }
    }

    fn parts(&self) -> usize {
        if let Action::MapCreate(entries) = self { entries.len() } else { 1 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Empty as long as only a path says which.
    pub object_id: String,
    pub action: Action,
}

/// One operation of a publish, with who does it.
///
/// Pinned: stored rows and calls hold it, see [`crate::base::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectMessage {
    /// Only when the publisher chose it.
    pub id: Option<String>,
    pub client_id: Option<String>,
    #[serde(with = "crate::model::json_text")]
    pub extras: Option<Extras>,
    pub operation: Operation,
}

impl ObjectMessage {
    /// The size that a client may count (protocol.md § 19).
    pub fn size(&self) -> usize {
        let extras = self.extras.as_ref().map_or(0, |extras| json(extras).len());
        self.client_id.as_ref().map_or(0, String::len) + extras + self.operation.action.size()
    }

    /// The same, with who said it apart.
    pub fn measured(&self) -> Size {
        Size::of(self.size(), self.client_id.as_deref(), self.extras.as_ref())
    }

    /// How many messages it counts for.
    pub fn messages(&self) -> usize {
        self.operation.action.parts().div_ceil(OBJECT_PARTS_PER_MESSAGE).max(1)
    }

    /// Bytes that it takes where it waits or travels.
    pub fn weight(&self) -> usize {
        let references = self.operation.action.parts() * MESSAGE_OVERHEAD_BYTES;
        self.size() + references + self.id.as_ref().map_or(0, String::len)
    }
}

/// An operation that a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    pub message: ObjectMessage,
    pub target: Target,
}

/// Which object an operation is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// The one that the operation names. It need not be known yet.
    Named,
    /// The same, and it must be there.
    Existing,
    /// Whatever a path from the root leads to.
    At(Path),
}
