//! What an operation made of a message: updated, deleted or appended to (protocol.md § 18).

use serde::{Deserialize, Serialize};

use crate::model::message::Params;
use crate::model::serial::{ChannelSerial, Position};

/// Names a message of a channel, as its serial does: its publish, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    pub position: Position,
    pub place: usize,
}

impl Target {
    /// The message of a serial, and the life of the channel that gave it. `None` for what no channel gives.
    pub fn parse(serial: &str) -> Option<(Target, String)> {
        let ChannelSerial { position, epoch } = ChannelSerial::parse(serial)?;
        let target = Target { position, place: serial.rsplit_once(':')?.1.parse().ok()? };
        (position.message_serial(&epoch, target.place) == serial).then_some((target, epoch))
    }
}

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    Update,
    Delete,
    Append,
}

impl Act {
    /// The one of an action's number.
    pub fn of_number(action: u64) -> Option<Act> {
        match action {
            1 => Some(Act::Update),
            2 => Some(Act::Delete),
            5 => Some(Act::Append),
            _ => None,
        }
    }
}

/// A version of a message that an operation made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The operation's place in the channel's order.
    pub position: Position,
    pub shape: Shape,
    /// Which version of its message this is. The message as it was published is 0, and appends in a row are one.
    pub number: u32,
    /// Where the version before was published; none that anyone got when that may have been left out.
    pub prior: Position,
    /// The last deletion up to this version, if there was one: nothing before it is shown any more.
    pub deleted_at: Option<Position>,
    /// The connection that published the message.
    pub connection_id: Option<String>,
    /// Who did it.
    pub client_id: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<Params>,
}

/// How a version goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    Updated,
    Deleted,
    /// The data's first bytes, so many, were there before.
    Appended {
        from: usize,
    },
    /// Only what was appended: never stored.
    Fragment,
    /// The same in a row of the log: behind so many bytes that were there before.
    Added {
        from: usize,
    },
}

/// The action of messages as they were published.
pub const CREATED: u8 = 0;

/// The actions of messages that say what became of another.
pub const UPDATED: u8 = 1;
pub const DELETED: u8 = 2;
pub const APPENDED: u8 = 5;

impl Shape {
    /// The action of the message. An appended one is whole, and so an update to who reads it.
    pub fn action(self) -> u8 {
        match self {
            Shape::Updated | Shape::Appended { .. } => UPDATED,
            Shape::Deleted => DELETED,
            Shape::Fragment | Shape::Added { .. } => APPENDED,
        }
    }
}

/// Which message one is, and which version of it when that is not the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub target: Target,
    pub version: Option<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_of_a_message_names_it_and_nothing_else_does() {
        let target = Target { position: Position(1_726_585_978_590_001), place: 7 };
        assert_eq!(Target::parse("01726585978590-001@abc:007"), Some((target, "abc".to_owned())));
        for text in ["", "x", "01726585978590-001@abc", "01726585978590-001@abc:7", "01726585978590-001@abc:x:007"] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
        assert_eq!(Target::parse("01726585978590-001@abc:+07"), None);
    }
}
