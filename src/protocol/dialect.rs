//! What is spoken on a connection: how its client's bytes become commands, and how what it is told becomes bytes.
//!
//! The relay hears [`Inbound`]s and says [`Outbound`]s, whatever is spoken. It encodes once for all readers of a
//! dialect; what differs from one reader to the next, such as its place in an event stream, is added where the frame is
//! written. Another dialect is a file here that encodes and decodes, a line in each `match` below, and a route that
//! opens connections with it (`Opening::spoken`).

use super::events::{self, Style};
use super::inbound::{self, Inbound};
#[cfg(test)]
use super::lines;
#[cfg(feature = "mqtt")]
use super::mqtt;
use super::objects::in_earlier_names;
use super::outbound::Outbound;
#[cfg(feature = "pusher")]
use super::pusher;
#[cfg(feature = "socketio")]
use super::socketio;
use super::{Encoded, to_json, to_msgpack};
use crate::error::ErrorInfo;
use crate::model::Format;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// The protocol itself.
    Frames(Format),
    /// The same, with the names that objects had up to version 5.
    Earlier(Format),
    /// Events, for who only listens.
    Events(Style),
    /// That of a door, for what all its readers are told.
    #[cfg(feature = "pusher")]
    Pusher,
    #[cfg(feature = "socketio")]
    SocketIo,
    #[cfg(feature = "mqtt")]
    Mqtt(mqtt::Version),
    /// For tests of what lies around a dialect.
    #[cfg(test)]
    Lines,
}

impl Dialect {
    pub fn of_frames(format: Format, earlier_objects: bool) -> Dialect {
        if earlier_objects { Dialect::Earlier(format) } else { Dialect::Frames(format) }
    }

    /// A dialect that says the same, of frames without objects.
    pub fn without_objects(self) -> Dialect {
        match self {
            Dialect::Earlier(format) => Dialect::Frames(format),
            another => another,
        }
    }

    /// How payloads are carried: as bytes, or in base64.
    pub fn payloads(self) -> Format {
        match self {
            Dialect::Frames(format) | Dialect::Earlier(format) => format,
            Dialect::Events(_) => Format::Json,
            #[cfg(feature = "pusher")]
            Dialect::Pusher => Format::Json,
            #[cfg(feature = "socketio")]
            Dialect::SocketIo => Format::Msgpack,
            #[cfg(feature = "mqtt")]
            Dialect::Mqtt(_) => Format::Msgpack,
            #[cfg(test)]
            Dialect::Lines => Format::Json,
        }
    }

    /// What a client says, but for those of doors, which remember something ([`super::door`]). The protocol is told
    /// apart by how the frame came, as text or as bytes.
    pub fn decode(self, bytes: &[u8], came: Format) -> Result<Inbound, ErrorInfo> {
        match self {
            Dialect::Frames(_) | Dialect::Earlier(_) => inbound::decode(bytes, came),
            Dialect::Events(_) => Ok(Inbound::Unknown),
            #[cfg(feature = "pusher")]
            Dialect::Pusher => Ok(Inbound::Unknown),
            #[cfg(feature = "socketio")]
            Dialect::SocketIo => Ok(Inbound::Unknown),
            #[cfg(feature = "mqtt")]
            Dialect::Mqtt(_) => Ok(Inbound::Unknown),
            #[cfg(test)]
            Dialect::Lines => lines::decode(bytes),
        }
    }

    pub fn encode(self, frame: &Outbound<'_>) -> Encoded {
        match self {
            Dialect::Frames(Format::Json) => Encoded::Text(to_json(frame)),
            Dialect::Frames(Format::Msgpack) => Encoded::Binary(to_msgpack(frame)),
            Dialect::Earlier(format) => {
                let renamed = in_earlier_names(frame);
                Dialect::Frames(format).encode(renamed.as_ref().unwrap_or(frame))
            }
            Dialect::Events(style) => Encoded::Events(events::said(frame, style)),
            #[cfg(feature = "pusher")]
            Dialect::Pusher => pusher::encode(frame),
            #[cfg(feature = "socketio")]
            Dialect::SocketIo => socketio::encode(frame),
            #[cfg(feature = "mqtt")]
            Dialect::Mqtt(version) => mqtt::encode_plain(version, frame),
            #[cfg(test)]
            Dialect::Lines => Encoded::Text(lines::encode(frame)),
        }
    }
}

/// Who puts frames into words: a dialect, or the session of one connection.
pub trait Voice {
    fn payloads(&self) -> Format;
    fn say(&mut self, frame: &Outbound<'_>) -> Encoded;
}

impl Voice for Dialect {
    fn payloads(&self) -> Format {
        Dialect::payloads(*self)
    }

    fn say(&mut self, frame: &Outbound<'_>) -> Encoded {
        self.encode(frame)
    }
}

impl<V: Voice> Voice for &mut V {
    fn payloads(&self) -> Format {
        V::payloads(self)
    }

    fn say(&mut self, frame: &Outbound<'_>) -> Encoded {
        V::say(self, frame)
    }
}
