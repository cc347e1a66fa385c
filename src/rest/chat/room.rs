//! The paths of a room, and by which methods and with which parameters they may be asked.

use crate::error::{Code, ErrorInfo};
use crate::http::percent;
use crate::intake::parameters::QueryOf;
use crate::model::name::{ChannelName, ROOM};

/// What of a room is asked for; those that name one have the serial of a message.
#[derive(Debug, PartialEq)]
pub enum Wanted {
    /// `/messages`
    Messages,
    /// `/messages/{serial}`
    Message(String),
    /// `/messages/{serial}/delete`
    Deletion(String),
    /// `/messages/{serial}/versions`
    Versions(String),
    /// `/messages/{serial}/reactions`
    Reactions(String),
    /// `/messages/{serial}/client-reactions`
    ClientReactions(String),
    /// `/occupancy`
    Occupancy,
}

impl Wanted {
    /// Fails with 40400 for a path that a room does not have, 40010 for a name that no room can have, and 40003 for a
    /// serial that is not encoded as one.
    pub fn find(room: &str, path: &str) -> Result<(ChannelName, Wanted), ErrorInfo> {
        let segments: Vec<&str> = path.splitn(4, '/').collect();
        let wanted = match segments[..] {
            ["occupancy"] => Wanted::Occupancy,
            ["messages"] => Wanted::Messages,
            ["messages", serial] if !serial.is_empty() => Wanted::Message(decoded(serial)?),
            ["messages", serial, "delete"] => Wanted::Deletion(decoded(serial)?),
            ["messages", serial, "versions"] => Wanted::Versions(decoded(serial)?),
            ["messages", serial, "reactions"] => Wanted::Reactions(decoded(serial)?),
            ["messages", serial, "client-reactions"] => Wanted::ClientReactions(decoded(serial)?),
            _ => return Err(Code::NotFound.because(["there is no such path here: ", INSTEAD].concat())),
        };
        let name =
            percent::decode(room).ok_or_else(|| Code::BadChannelName.because("the room is not encoded UTF-8"))?;
        if name.is_empty() {
            return Err(Code::BadChannelName.because("the room has no name"));
        }
        Ok((ChannelName::parse(&(name + ROOM))?, wanted))
    }

    pub fn methods(&self) -> &'static str {
        match self {
            Wanted::Messages => "GET, POST, OPTIONS",
            Wanted::Message(_) => "GET, PUT, OPTIONS",
            Wanted::Deletion(_) => "POST, OPTIONS",
            Wanted::Reactions(_) => "POST, DELETE, OPTIONS",
            Wanted::Versions(_) | Wanted::ClientReactions(_) | Wanted::Occupancy => "GET, OPTIONS",
        }
    }

    pub fn query_of(&self, method: &str) -> QueryOf {
        match self {
            Wanted::Messages if method != "POST" => QueryOf::ChatHistory,
            Wanted::Message(_) if method != "PUT" => QueryOf::Plain,
            Wanted::Messages | Wanted::Message(_) | Wanted::Deletion(_) => QueryOf::Chat,
            Wanted::Versions(_) => QueryOf::Versions,
            Wanted::Reactions(_) if method == "DELETE" => QueryOf::ChatReaction,
            Wanted::ClientReactions(_) => QueryOf::ClientSummary,
            Wanted::Reactions(_) | Wanted::Occupancy => QueryOf::Plain,
        }
    }
}

const INSTEAD: &str =
    "a room has messages and occupancy, and a message has its serial, delete, versions, reactions and client-reactions";

fn decoded(serial: &str) -> Result<String, ErrorInfo> {
    percent::decode(serial).ok_or_else(|| Code::BadParameter.because("the serial is not percent-encoded UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_channel() {
        let found = |room: &str, path: &str| Wanted::find(room, path).map(|(name, wanted)| (name.to_string(), wanted));
        let room = || "a/b:c::$chat".to_owned();
        assert_eq!(found("a%2Fb:c", "messages"), Ok((room(), Wanted::Messages)));
        assert_eq!(found("a%2Fb:c", "messages/1-0%40s%3A000"), Ok((room(), Wanted::Message("1-0@s:000".into()))));
        assert_eq!(found("a%2Fb:c", "messages/s/delete"), Ok((room(), Wanted::Deletion("s".into()))));
        assert_eq!(found("a%2Fb:c", "occupancy"), Ok((room(), Wanted::Occupancy)));
        for path in ["", "messages/", "messages/s/", "messages/s/edit", "messages/s/delete/x", "reactions", "presence"]
        {
            assert!(found("a", path).unwrap_err().is(Code::NotFound), "{path}");
        }
        for name in ["", "%ff", ":x", "%00", &"x".repeat(3_000)] {
            assert!(found(name, "messages").unwrap_err().is(Code::BadChannelName), "{name}");
        }
    }
}
