//! The words that all rooms share: names, places in a channel's order, messages and what is done to them, presence
//! events, annotations, objects, traces. [`node`] is any value as its sender wrote it, in either format; an
//! [`message::Entry`] is what a channel keeps, independent of format.

pub mod annotation;
pub mod conflation;
pub mod data;
pub mod flags;
pub mod json;
pub mod json_text;
pub mod message;
mod msgpack;
pub mod name;
pub mod node;
pub mod objects;
pub mod operation;
pub mod packed;
pub mod presence;
pub mod revision;
pub mod serial;
pub mod size;
pub mod trace;

use serde::{Deserialize, Serialize};

/// How frames to a connection, or bodies of a REST response, are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    #[default]
    Json,
    Msgpack,
}
