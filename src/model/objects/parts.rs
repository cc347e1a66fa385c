//! What a channel stores of its objects: a part for each object, one for each entry of a map, and one that sums up. An
//! operation changes a few of them, however large the map is.

use serde::{Deserialize, Serialize};

use super::operation::{Kind, Value};
use crate::base::pinned::Versioned;
use crate::model::serial::Position;

/// The place of an operation in the channel's order, which is its serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub position: Position,
    pub index: u16,
}

impl Stamp {
    pub fn serial(self, epoch: &str) -> String {
        self.position.message_serial(epoch, self.index.into())
    }

    pub fn time_ms(self) -> u64 {
        self.position.time_ms()
    }
}

/// Names a part. Those of one object follow each other, and it comes before its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartKey {
    pub object: String,
    /// Of an entry.
    pub key: Option<String>,
}

impl PartKey {
    /// Of the summary, which comes before all objects: they have an id.
    pub const SUMMARY: PartKey = PartKey { object: String::new(), key: None };

    pub fn object(id: &str) -> PartKey {
        PartKey { object: id.to_owned(), key: None }
    }

    pub fn entry(id: &str, key: &str) -> PartKey {
        PartKey { object: id.to_owned(), key: Some(key.to_owned()) }
    }
}

/// Stored, and therefore pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    Summary(Summary),
    Object(Object),
    Entry(Entry),
}

impl Versioned for Part {
    const VERSION: u8 = 1;
}

/// Of all objects of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub bytes: u64,
    pub parts: u64,
    /// When the objects were last changed, about.
    pub used_ms: u64,
    /// When to look for what can be forgotten.
    pub sweep_at_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    pub state: State,
    /// Of the last operation on it.
    pub stamp: Option<Stamp>,
    /// Its create was applied. Others may have come before, and none does it again.
    pub created: bool,
    /// When it was deleted.
    pub gone: Option<Stamp>,
    /// Since when nobody can reach it.
    pub lone_since_ms: Option<u64>,
    /// What its entries count, and how many there are.
    pub bytes: u64,
    pub entries: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    Map { cleared: Option<Stamp> },
    Counter { count: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub stamp: Stamp,
    /// Absent when it was removed.
    pub value: Option<Value>,
}

impl Object {
    /// One that nothing was done to yet.
    pub fn new(kind: Kind) -> Object {
        let state = match kind {
            Kind::Map => State::Map { cleared: None },
            Kind::Counter => State::Counter { count: 0.0 },
        };
        Object { state, stamp: None, created: false, gone: None, lone_since_ms: None, bytes: 0, entries: 0 }
    }

    pub fn kind(&self) -> Kind {
        if let State::Map { .. } = self.state { Kind::Map } else { Kind::Counter }
    }
}

impl Entry {
    /// What it counts with its key.
    pub fn size(&self, key: &str) -> u64 {
        (key.len() + self.value.as_ref().map_or(0, Value::size)) as u64
    }
}

/// An object, or some of its entries, as of some moment: what a sync and a reader are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub object: Object,
    pub entries: Vec<(String, Entry)>,
}

/// Where the next page of a sync begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub after: PartKey,
    /// The object whose entries go on, as it was when the first of them were read: a reader applies everything later
    /// than that to all of them.
    pub object: Option<Object>,
    /// The root was given, whether it is stored or not.
    pub has_root: bool,
}

/// The objects that a reader asked for: the value itself, and all that it refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    pub top: Value,
    pub objects: Vec<Snapshot>,
}
