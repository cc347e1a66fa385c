//! Presence events as the channel keeps them, and how their ids are compared (protocol.md § 10).

use serde::{Deserialize, Serialize};

use crate::base::whole_number;
use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::model::data::Data;
use crate::model::message::{Extras, characters, json};
use crate::model::name::ChannelName;
use crate::model::size::Size;

/// What happened to a member. On the wire these are the numbers that the protocol gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceAction {
    /// Nothing: it is in the set.
    Present,
    Enter,
    Leave,
    Update,
}

impl PresenceAction {
    pub const fn number(self) -> u8 {
        match self {
            PresenceAction::Present => 1,
            PresenceAction::Enter => 2,
            PresenceAction::Leave => 3,
            PresenceAction::Update => 4,
        }
    }
}

/// One event of one member; with [`PresenceAction::Present`], the member itself.
///
/// Pinned: stored rows and calls hold it, see [`crate::base::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceMessage {
    pub action: PresenceAction,
    /// `<connectionId>:<msgSerial>:<index>`. Begins otherwise when it was not the connection that said it.
    pub id: String,
    pub connection_id: String,
    pub client_id: String,
    pub data: Data,
    pub encoding: Option<String>,
    #[serde(with = "crate::model::json_text")]
    pub extras: Option<Extras>,
}

impl PresenceMessage {
    pub fn key(&self) -> MemberKey {
        MemberKey { connection_id: self.connection_id.clone(), client_id: self.client_id.clone() }
    }

    /// Its place among what its connection said, if the connection said it.
    pub fn turn(&self) -> Option<Turn> {
        Turn::parse(&self.id, &self.connection_id)
    }

    /// The words of its connection, if the connection said it.
    pub fn said(&self) -> Option<Said> {
        Some(Said { turn: self.turn()?, is_leave: self.action == PresenceAction::Leave })
    }

    /// The size that a client may count, as of a message.
    pub fn size(&self) -> usize {
        let extras = self.extras.as_ref().map_or(0, |extras| characters(&json(extras)));
        characters(&self.client_id) + self.data.len() + extras
    }

    /// The same, with who said it apart.
    pub fn measured(&self) -> Size {
        Size::of(self.size(), Some(&self.client_id), self.extras.as_ref())
    }

    /// Bytes that it takes, as of a message.
    pub fn weight(&self) -> usize {
        let texts = self.client_id.len() + self.encoding.as_ref().map_or(0, String::len);
        let extras = self.extras.as_ref().map_or(0, |extras| json(extras).len());
        MESSAGE_OVERHEAD_BYTES + texts + self.data.len() + extras
    }
}

/// Stands in the extras of an event whose client is also there by another connection.
pub const ELSEWHERE: &str = "elsewhere";

/// Whether a channel says so: its readers tell users apart, and not members (protocol.md § 26.4).
pub fn is_of_users(channel: &ChannelName) -> bool {
    channel.plain().starts_with("presence-")
}

/// Who a member is: one client on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberKey {
    pub connection_id: String,
    pub client_id: String,
}

/// The place of an event among those of its connection: what is newer has a later turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Turn {
    pub msg_serial: u64,
    pub index: u64,
}

/// The words of a connection about a member, as far as they matter for its next ones. The later are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub turn: Turn,
    pub is_leave: bool,
}

impl Turn {
    /// `None` when the id is not one that this connection gives.
    pub fn parse(id: &str, connection_id: &str) -> Option<Turn> {
        let (msg_serial, index) = id.strip_prefix(connection_id)?.strip_prefix(':')?.split_once(':')?;
        Some(Turn { msg_serial: whole_number(msg_serial)?, index: whole_number(index)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_compared_as_numbers() {
        let turn = |id: &str| Turn::parse(id, "a");
        assert!(turn("a:10:0") > turn("a:9:5") && turn("a:9:10") > turn("a:9:9"));
        for other in ["", "a", "a:1", "b:1:0", "aa:1:0", "a:1:0:0", "a:x:0", "a:-1:0", "a:+1:0"] {
            assert_eq!(turn(other), None, "{other}");
        }
    }
}
