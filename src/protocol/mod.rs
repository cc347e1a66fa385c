//! The protocol's frames and messages, and their two encodings.
//!
//! [`dialect`] is what is spoken on a connection. [`inbound`] parses what clients send, [`outbound`] renders what they
//! get, and [`events`] what streams do; between them lie messages as the channel keeps them, independent of format
//! ([`crate::model::message`]). Owns field names, numbers of actions and bits of flags (protocol.md §§ 3, 8); holds
//! no state and decides nothing.

pub mod agent;
pub mod dialect;
pub mod door;
pub mod events;
pub mod inbound;
#[cfg(test)]
mod lines;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod objects;
pub mod outbound;
#[cfg(feature = "pusher")]
pub mod pusher;
#[cfg(feature = "socketio")]
pub mod socketio;
pub mod stated;
pub mod vcdiff;

#[cfg(test)]
mod golden_tests;

use serde::Serialize;

/// One encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    Text(String),
    Binary(Vec<u8>),
    /// Not written yet: each reader has a place of its own.
    Events(events::Said),
    /// Frames, in this order; or none, where a dialect has no words for something.
    Several(Vec<Encoded>),
    /// The end of the connection, with this code. Only doors give another than 1000.
    Close(u16),
}

impl Encoded {
    pub const NOTHING: Encoded = Encoded::Several(Vec::new());

    pub fn is_nothing(&self) -> bool {
        *self == Encoded::NOTHING
    }

    pub fn len(&self) -> usize {
        match self {
            Encoded::Text(text) => text.len(),
            Encoded::Binary(bytes) => bytes.len(),
            Encoded::Events(said) => said.bytes(),
            Encoded::Several(frames) => frames.iter().map(Encoded::len).sum(),
            Encoded::Close(_) => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A frame's action (protocol.md § 3).
pub mod action {
    pub const HEARTBEAT: u8 = 0;
    pub const ACK: u8 = 1;
    pub const NACK: u8 = 2;
    pub const CONNECTED: u8 = 4;
    pub const DISCONNECT: u8 = 5;
    pub const DISCONNECTED: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSED: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const ATTACH: u8 = 10;
    pub const ATTACHED: u8 = 11;
    pub const DETACH: u8 = 12;
    pub const DETACHED: u8 = 13;
    pub const PRESENCE: u8 = 14;
    pub const MESSAGE: u8 = 15;
    pub const SYNC: u8 = 16;
    pub const AUTH: u8 = 17;
    pub const ACTIVATE: u8 = 18;
    pub const OBJECT: u8 = 19;
    pub const OBJECT_SYNC: u8 = 20;
    pub const ANNOTATION: u8 = 21;
    pub const PING: u8 = 22;
    pub const PONG: u8 = 23;
}

/// A value as JSON. Cannot fail: the values are our own structs with text keys, written to memory.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("frames have text keys")
}

/// The same with named fields.
pub fn to_msgpack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("frames have known lengths")
}
