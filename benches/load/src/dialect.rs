//! The wire dialects: how a client greets, publishes and understands what isn't a message.
//!
//! Messages themselves need no dialect: their stamp is found in any frame. A new peer adds a file here only when it
//! speaks a dialect that none of the others speaks.

mod ably;
mod doors;
mod nats;
mod nchan;
mod plain;
mod socket_io;

use tokio_tungstenite::tungstenite::Message;

use crate::args::Target;

pub use ably::{ATTACHED, Ably, CONNECTED, DISCONNECTED, FLAG_RESUMED, Incoming};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Publisher,
    Subscriber,
}

/// The next step of a connection that is being opened.
#[derive(Debug, PartialEq)]
pub enum Opening {
    Wait,
    Send(Message),
    Ready,
}

/// What a frame without messages meant.
#[derive(Debug, PartialEq)]
pub enum Control {
    Nothing,
    /// The server wants this back.
    Answer(Message),
    /// The server has taken this many more of the connection's messages.
    Acknowledged(u64),
}

pub trait Dialect {
    /// The address that a client of this role opens.
    fn url(&self, target: &Target, role: Role) -> String;

    /// Called once with `None` when the socket is open, then with each frame until it says [`Opening::Ready`].
    fn opening(&self, target: &Target, role: Role, heard: Option<&Message>) -> Result<Opening, String>;

    /// The frame that publishes this data as the connection's message number `serial`, counted from 0.
    fn publish(&self, target: &Target, serial: u64, data: String) -> Message;

    /// Reads a frame that holds no message. Fails when the server refuses something.
    fn control(&self, frame: &Message) -> Result<Control, String>;

    /// The server wants this back for a frame of messages.
    fn answer(&self, _: &Message) -> Option<Message> {
        None
    }

    /// What says that somebody reads, where the server wants to be told now and then.
    fn alive(&self) -> Option<Message> {
        None
    }

    /// Whether the server acknowledges each message.
    fn acknowledges(&self) -> bool;
}

pub fn by_name(name: &str) -> Result<Box<dyn Dialect>, String> {
    if let Some(ably) = Ably::by_name(name) {
        return Ok(Box::new(ably));
    }
    if let Some(door) = doors::Door::by_name(name) {
        return Ok(Box::new(door));
    }
    match name {
        "nats" => Ok(Box::new(nats::Nats)),
        "nchan" => Ok(Box::new(nchan::Nchan)),
        "plain" => Ok(Box::new(plain::Plain)),
        "socket.io" => Ok(Box::new(socket_io::SocketIo)),
        _ => Err(format!("unknown dialect {name}")),
    }
}

/// The start of a frame, to be shown in an error.
fn excerpt(frame: &Message) -> String {
    frame.to_string().chars().take(200).collect()
}

#[cfg(test)]
fn target() -> Target {
    Target {
        url: "ws://127.0.0.1:1/".into(),
        dialect: "ably-json".into(),
        channel: "bench".into(),
        channel_in_url: false,
        key: "demo.key1:local-only".into(),
        server_pids: vec![],
        connect_concurrency: 1,
        deadline_seconds: 1,
    }
}
