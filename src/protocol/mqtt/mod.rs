//! MQTT 3.1.1 and 5: what its packets say, and how they are spelled.
//!
//! [`gate`] makes packets of what comes over a WebSocket, [`connect`] reads the first and [`packet`] the others;
//! [`encode`] writes what clients get, [`message`] says what a message is in MQTT, [`topic`] which channel a topic is,
//! and [`reason`] how refusals are told. Knows nothing of sessions. Of the standard there is no QoS 2, no wildcard, no
//! shared subscription, no topic alias and no enhanced authentication; each is refused with its own reason code.

pub mod connect;
pub mod encode;
pub mod flight;
pub mod gate;
pub mod message;
pub mod packet;
pub mod partials;
mod properties;
pub mod reason;
pub mod session;
pub mod topic;
pub mod visitor;
mod wire;

use serde::{Deserialize, Serialize};

pub use visitor::{Mqtt, encode as encode_plain};

/// A version of the protocol, by its number in CONNECT: 4 and 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    V3,
    V5,
}

/// Why a packet ends its connection: the reason code that version 5 tells, and what is wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: u8,
    pub why: String,
}

impl Fault {
    pub fn new(reason: u8, why: impl Into<String>) -> Fault {
        Fault { reason, why: why.into() }
    }

    fn malformed(why: &str) -> Fault {
        Fault::new(reason::MALFORMED, why)
    }

    fn protocol(why: &str) -> Fault {
        Fault::new(reason::PROTOCOL_ERROR, why)
    }
}

/// The types of packets, as the upper four bits of the first byte have them.
mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}
