//! The door of Socket.IO 4 (protocol.md § 27): what its clients say and are told, over Engine.IO 4.
//!
//! A namespace is a channel, and to connect to it is to attach. Its client says there who it is; all namespaces of a
//! connection are of the same client. [`engine`] has the packets of the transport and [`packet`] those inside of them,
//! [`arguments`] what events are as messages, [`recovery`] how a client goes on that was away.

mod arguments;
pub mod engine;
mod events;
mod hearing;
pub mod packet;
mod recovery;
mod telling;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::dialect::Dialect;
use super::door::{Heard, Mark, Setting, Visitor};
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::{Encoded, action};
use crate::error::ErrorInfo;
use crate::model::Format;
use crate::model::name::AppId;
use hearing::Partial;
use recovery::Waiting;
use telling::Awaited;

/// What a connection remembers. What it waits for goes with its memory: then it is busy, and its client comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SocketIo {
    app: AppId,
    /// Whether it is known who its client is.
    is_known: bool,
    /// Which connection the others know it as: the first of those that it goes on from. A namespace that goes on from
    /// another keeps that one, in its attachment's parameters.
    origin: Option<String>,
    /// How often its client was refused.
    refused: u32,
    /// The number of its last publish.
    last_serial: u64,
    /// It began by polling, and may change to a WebSocket.
    polls: bool,
    /// The handshake was made.
    is_open: bool,
    #[serde(skip)]
    open: Box<Open>,
}

/// What is not remembered: something of it makes the connection busy.
#[derive(Clone, Debug, Default, PartialEq)]
struct Open {
    waiting: Vec<Waiting>,
    awaited: VecDeque<Awaited>,
    /// What it has of the publish in the middle of which it goes on in a channel.
    within: Vec<(String, String)>,
    partial: Option<Partial>,
    orders: Vec<Inbound>,
    /// Its own id, for as long as it is open as which it is known.
    connection_id: String,
}

impl SocketIo {
    /// For a connection of an app. `is_known` says whether its URL or headers had good credentials, and `polls` whether
    /// it begins over HTTP.
    pub fn new(app: AppId, is_known: bool, polls: bool) -> SocketIo {
        SocketIo {
            app,
            is_known,
            origin: None,
            refused: 0,
            last_serial: 0,
            polls,
            is_open: false,
            open: Box::default(),
        }
    }
}

/// What all readers of a channel are told alike.
pub fn encode(frame: &Outbound<'_>) -> Encoded {
    match frame.action {
        action::MESSAGE => events::events(frame, None),
        action::HEARTBEAT | action::PING => Encoded::Text(engine::PING.to_owned()),
        action::DISCONNECTED | action::CLOSED | action::ERROR => Encoded::Text(engine::CLOSE.to_owned()),
        _ => Encoded::NOTHING,
    }
}

impl Visitor for SocketIo {
    fn dialect(&self) -> Dialect {
        Dialect::SocketIo
    }

    fn hear(&mut self, bytes: &[u8], came: Format, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        self.hears(bytes, came, setting)
    }

    fn tell(&mut self, frame: &Outbound<'_>) -> Encoded {
        self.tells(frame)
    }

    fn mark(&self) -> Mark {
        let flags = [self.is_known, self.origin.is_some(), self.polls, self.is_open];
        [self.last_serial, flags.iter().fold(u64::from(self.refused), |mark, flag| mark << 1 | u64::from(*flag))]
    }

    fn orders(&mut self) -> Vec<Inbound> {
        std::mem::take(&mut self.open.orders)
    }

    /// The rest of a publish of which it has the beginning is told to it alone.
    fn hears_alone(&self, channel: &str) -> bool {
        self.open.within.iter().any(|(known, _)| known == channel)
    }

    fn is_busy(&self) -> bool {
        let Open { waiting, awaited, within, partial, .. } = &*self.open;
        !waiting.is_empty() || !awaited.is_empty() || !within.is_empty() || partial.is_some()
    }

    fn echoes(&self) -> bool {
        false
    }

    fn bounces(&self) -> bool {
        true
    }

    fn speaks_as<'a>(&'a self, asked: Option<&'a str>) -> Option<&'a str> {
        asked.or(self.origin.as_deref())
    }

    /// Its key is given out before it is known who has it.
    fn has_named_key(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
