//! Doors: other protocols by which clients come to the same channels.
//!
//! A door is a dialect that remembers something of each of its connections: what waits for an acknowledgement under a
//! name of its own, who somebody is on one channel. That is a [`Door`], which goes where the session goes, into its
//! record too. It hears what its client says as commands and answers; what its connection alone is told it puts into
//! its own words, and may have something done in return. What all readers of a channel are told is encoded once for
//! each dialect, as for others, unless the door wants to hear of it for a connection by itself
//! ([`Visitor::hears_alone`]).
//!
//! Another door is a file or a folder beside this one with a [`Visitor`], a variant of [`Door`] and of
//! [`Dialect`], and a path in [`Door::at`]. The order of the variants is stored. A door that is left out of a build
//! is [`Absent`], so that the others keep their places.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Encoded;
use super::dialect::{Dialect, Voice};
use super::inbound::Inbound;
#[cfg(feature = "mqtt")]
use super::mqtt::Mqtt;
use super::outbound::Outbound;
#[cfg(feature = "pusher")]
use super::pusher::Pusher;
#[cfg(feature = "socketio")]
use super::socketio::SocketIo;
use crate::auth::{App, Credentials, Grant, Operators};
use crate::error::{Code, ErrorInfo};
use crate::model::Format;
use crate::model::name::ChannelName;

#[cfg(not(feature = "pusher"))]
type Pusher = Absent;
#[cfg(not(feature = "socketio"))]
type SocketIo = Absent;
#[cfg(not(feature = "mqtt"))]
type Mqtt = Absent;

/// Where a WebSocket that speaks Ably's protocol comes in, of whatever SDK.
const ROOT: &str = "/";

/// Fails with 40400 for a path where no such WebSocket comes in.
pub fn check_root(path: &str) -> Result<(), ErrorInfo> {
    match path {
        ROOT => Ok(()),
        _ => Err(Code::NotFound.because(
            "no WebSocket comes in by this path: Ably's clients come to /, those of MQTT to /mqtt, of Socket.IO to \
             /socket.io/, and of Pusher to /app/{key}",
        )),
    }
}

/// Whether all that comes in by a path is WebSockets.
pub fn is_for_sockets(path: &str) -> bool {
    #[cfg(feature = "mqtt")]
    if super::mqtt::gate::is_at(path, false) {
        return true;
    }
    Door::at(path).is_some()
}

/// The channel parameter in which an attachment keeps what a door was asked for besides.
pub const ASKED: &str = "door";

/// What a connection of another protocol remembers. Stored with the session: see [`crate::relay::record`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Door {
    Pusher(Pusher),
    SocketIo(SocketIo),
    Mqtt(Box<Mqtt>),
}

/// What comes of something that a client said, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The relay does this.
    Do(Inbound),
    /// What it said in so many bytes, by this number, is refused.
    Refuse { msg_serial: u64, error: ErrorInfo, bytes: usize },
    /// The client is told this at once.
    Say(Encoded),
    /// The client has shown to be this user, one of [`Visitor::users`] from now on.
    User(String),
    /// The client may do this from now on. It is told CONNECTED; or, where it cannot be, what is wrong, as an error of
    /// this channel.
    Grant { grant: Box<Grant>, channel: String },
}

/// Whose connection it is, when something is heard on it.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub app: &'a App,
    pub operators: Option<&'a Operators>,
    pub grant: &'a Grant,
    pub connection_id: &'a str,
    pub now_ms: u64,
    /// Bytes that the doors of one relay keep for a while and that have a bound together.
    pub memory: &'a Rc<Cell<usize>>,
    /// Whether it is attached to this channel, or about to be.
    pub is_attached: &'a dyn Fn(&ChannelName) -> bool,
}

/// Tells what a door remembers apart from what it remembered before, without a look at all of it.
pub type Mark = [u64; 2];

/// One connection that came in by a door.
pub trait Visitor {
    /// What it speaks where all readers are told the same.
    fn dialect(&self) -> Dialect;

    /// What its client says. The connection ends when this fails.
    fn hear(&mut self, bytes: &[u8], came: Format, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo>;

    /// What it is told, in the door's words: often nothing, which is [`Encoded::NOTHING`].
    fn tell(&mut self, frame: &Outbound<'_>) -> Encoded;

    /// Something else whenever a part of it has changed that is stored.
    fn mark(&self) -> Mark;

    /// Bytes by which what is stored of it may still grow, beyond those of a number here and there.
    fn growth(&self) -> usize {
        0
    }

    /// What is to be done because of what it was told, as if its client had said so.
    fn orders(&mut self) -> Vec<Inbound> {
        Vec::new()
    }

    /// Whether what this channel's readers are told is told to this one by itself, through [`Visitor::tell`].
    fn hears_alone(&self, _channel: &str) -> bool {
        false
    }

    /// Whether something was begun that a rebuilt object would know nothing of: its client must then come back.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether it has as much as it may be sent, until its client says something.
    fn is_full(&self) -> bool {
        false
    }

    /// Comes before [`Visitor::tell`].
    fn note_time(&mut self, _now_ms: u64) {}

    /// Whether it hears what it says itself.
    fn echoes(&self) -> bool {
        true
    }

    /// Whether its client answers the server's heartbeats, and is gone when it doesn't.
    fn bounces(&self) -> bool {
        false
    }

    /// Which connection others know it as in a channel, where that is not its own id. `asked` is what the attachment
    /// keeps in [`ASKED`].
    fn speaks_as<'a>(&'a self, _asked: Option<&'a str>) -> Option<&'a str> {
        None
    }

    /// Whom its client has shown to be, beside the clientId of its credentials.
    fn users(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(std::iter::empty())
    }

    /// Whether the connection's key is one of who has it now: not where a client says later who it is.
    fn has_named_key(&self) -> bool {
        true
    }

    /// Whether the server sends it heartbeats.
    fn beats(&self) -> bool {
        true
    }

    /// How long its members outlive its transport, where that is not as long as others'.
    fn grace_ms(&self) -> Option<u64> {
        None
    }

    /// The id of its connection, made of a random one.
    fn connection_id(&self, fresh_id: String) -> String {
        fresh_id
    }
}

impl Door {
    /// The door to which the path of a WebSocket leads.
    pub fn at(path: &str) -> Option<Door> {
        #[cfg(feature = "pusher")]
        if super::pusher::key_in(path).is_some() {
            return Some(Door::Pusher(Pusher::default()));
        }
        let _ = path;
        None
    }

    /// The credentials that the path is. `None` where they stand in the query or the headers, as for all others.
    pub fn credentials(&self, path: &str) -> Option<Result<Credentials, ErrorInfo>> {
        let _ = path;
        match self {
            #[cfg(feature = "pusher")]
            Door::Pusher(_) => super::pusher::key_in(path).map(Credentials::named),
            _ => None,
        }
    }

    /// Up to which packet ids may have been used, where what its client is sent has some.
    pub fn packet_ids(&self) -> u16 {
        match self {
            #[cfg(feature = "mqtt")]
            Door::Mqtt(mqtt) => mqtt.flight.packet_ids(),
            _ => 0,
        }
    }

    /// The packets sent before are not known any more. Those sent from now on have other packet ids.
    pub fn go_on_behind(&mut self, packet_ids: u16) {
        let _ = packet_ids;
        match self {
            #[cfg(feature = "mqtt")]
            Door::Mqtt(mqtt) => mqtt.flight = super::mqtt::flight::Flight::behind(packet_ids),
            _ => {}
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Door::Pusher(_) => "pusher",
            Door::SocketIo(_) => "socketio",
            Door::Mqtt(_) => "mqtt",
        }
    }
}

/// A door is a visitor, whichever it is.
impl Deref for Door {
    type Target = dyn Visitor;

    fn deref(&self) -> &Self::Target {
        match self {
            Door::Pusher(pusher) => pusher,
            Door::SocketIo(socketio) => socketio,
            Door::Mqtt(mqtt) => mqtt.as_ref(),
        }
    }
}

impl DerefMut for Door {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Door::Pusher(pusher) => pusher,
            Door::SocketIo(socketio) => socketio,
            Door::Mqtt(mqtt) => mqtt.as_mut(),
        }
    }
}

/// Before there is a session.
impl Voice for Door {
    fn payloads(&self) -> Format {
        self.dialect().payloads()
    }

    fn say(&mut self, frame: &Outbound<'_>) -> Encoded {
        self.tell(frame)
    }
}

#[cfg(all(test, feature = "pusher", feature = "socketio", feature = "mqtt"))]
mod tests;

/// A door that this build does not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Absent {}

impl Visitor for Absent {
    fn dialect(&self) -> Dialect {
        match *self {}
    }

    fn hear(&mut self, _: &[u8], _: Format, _: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        match *self {}
    }

    fn tell(&mut self, _: &Outbound<'_>) -> Encoded {
        match *self {}
    }

    fn mark(&self) -> Mark {
        match *self {}
    }
}
