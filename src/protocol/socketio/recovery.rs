//! How a client goes on in a namespace that was away, and misses nothing and gets nothing twice.
//!
//! It says the `pid` that it was given when it first connected, and the offset of the last event that it had. The pid
//! is sealed with the key that its client came by, for this client and this channel, and can be opened by any object.
//! It says which connection this is to others, so that what it published itself before stays out of what it gets, and
//! where it began, for a client that never got an event. It stays the same for as long as nothing is missed: by that
//! the client knows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::auth::{Grant, Secret};
use crate::model::flags::Modes;
use crate::model::message::Params;
use crate::model::serial::{ChannelSerial, Position};
use crate::protocol::door::ASKED;
use crate::protocol::inbound::Inbound;

/// A namespace that a client waits to be let into.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub namespace: String,
    pub channel: String,
    pub params: Params,
    /// What it says of an earlier connection, if that is good.
    pub from: Option<From>,
    /// As which connection others know it there, where that is not the one that they know it as elsewhere.
    pub origin: Option<String>,
    pub seal: Seal,
    /// Its attachment was begun; else it waits until it is known who the client is.
    pub is_asked: bool,
}

/// Where a client goes on from.
#[derive(Clone, Debug, PartialEq)]
pub struct From {
    pub pid: String,
    pub origin: String,
    /// The offset of the last event that it had, or the serial of where it began.
    pub offset: String,
}

/// Seals the pids of a client in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Seal {
    secret: Secret,
    purpose: String,
    /// No other connect packet has it: who has missed something gets another pid, wherever it begins.
    unique: String,
}

impl Seal {
    /// `secret` is that of the key by which the client came.
    pub fn of(secret: &Secret, grant: &Grant, channel: &str, unique: String) -> Seal {
        let client_id = grant.client_id.as_str().map_or_else(String::new, |name| format!("={name}"));
        // Neither a channel nor an escaped client has a line break.
        let purpose = format!("socket.io pid\n{channel}\n{}", client_id.escape_default());
        Seal { secret: secret.clone(), purpose, unique }
    }

    pub fn pid(&self, origin: &str, serial: &str) -> String {
        BASE64URL.encode(self.secret.seal(&self.purpose, &[origin, " ", serial, " ", &self.unique].concat()))
    }

    /// What a client says of an earlier connection. `None` when it says nothing, or its pid was made for another. The
    /// client library keeps its offset when it gets another pid: until it hears an event, that is from before.
    pub fn open(&self, pid: &str, offset: Option<&str>) -> Option<From> {
        let said = self.secret.open(&self.purpose, &BASE64URL.decode(pid).ok()?)?;
        let (origin, rest) = said.split_once(' ')?;
        let (serial, _) = rest.split_once(' ')?;
        let offset = offset.filter(|offset| !offset.is_empty() && !is_before(offset, serial)).unwrap_or(serial);
        Some(From { pid: pid.to_owned(), origin: origin.to_owned(), offset: offset.to_owned() })
    }
}

/// Whether an offset is from before a client began at this serial: earlier, or of another life of the channel.
fn is_before(offset: &str, serial: &str) -> bool {
    match (ChannelSerial::parse(offset), ChannelSerial::parse(serial)) {
        (Some(offset), Some(began)) => offset.epoch != began.epoch || offset.position <= began.position,
        _ => false,
    }
}

impl From {
    /// Behind which serial to attach: in the middle of a publish, behind the one before.
    fn serial(&self) -> String {
        match (ChannelSerial::parse(&self.offset), self.within()) {
            (Some(ChannelSerial { position, epoch }), Some(_)) => Position(position.0.saturating_sub(1)).serial(&epoch),
            _ => self.offset.clone(),
        }
    }

    /// The last message that the client had of a publish, if it may not have had all of it.
    pub fn within(&self) -> Option<&str> {
        self.offset.contains(':').then_some(&self.offset)
    }
}

impl Waiting {
    /// What lets it in.
    pub fn attach(&self) -> Inbound {
        let asked = self.origin.iter().map(|origin| (ASKED.to_owned(), origin.clone()));
        Inbound::Attach {
            channel: self.channel.clone(),
            serial: self.from.as_ref().map(From::serial),
            flags: Modes::PUBLISH.union(Modes::SUBSCRIBE).bits(),
            params: self.params.clone().into_iter().chain(asked).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Capability, Identity, KeyName};

    fn seal(secret: &str, client_id: Option<&str>, channel: &str) -> Seal {
        let grant = Grant {
            client_id: Identity::parse(client_id).unwrap(),
            ..Grant::of_key(KeyName::parse("demo.key").unwrap(), Capability::full())
        };
        Seal::of(&Secret::presented(secret), &grant, channel, "1".to_owned())
    }

    #[test]
    fn a_pid_is_good_for_its_client_in_its_channel() {
        let mine = seal("secret", Some("me"), "chat");
        let pid = mine.pid("abc", "00000000000005-001@s");
        let from = mine.open(&pid, None).unwrap();
        assert_eq!((&*from.origin, &*from.offset, from.serial()), ("abc", "00000000000005-001@s", from.offset.clone()));
        assert_eq!(mine.open(&pid, Some("00000000000006-001@s")).unwrap().offset, "00000000000006-001@s");
        for other in [
            seal("other", Some("me"), "chat"),
            seal("secret", Some("you"), "chat"),
            seal("secret", None, "chat"),
            seal("secret", Some("me"), "chat2"),
        ] {
            assert_eq!(other.open(&pid, None), None, "{other:?}");
        }
        for forged in ["", "x", "!", &pid[1..]] {
            assert_eq!(mine.open(forged, None), None, "{forged}");
        }
    }

    #[test]
    fn an_offset_from_before_the_pid_is_passed_over() {
        let mine = seal("secret", Some("me"), "chat");
        let began = "00000000000005-001@s";
        let pid = mine.pid("abc", began);
        for (offset, expected) in [
            ("00000000000005-000@s", began),
            ("00000000000004-999@s:001", began),
            ("00000000000005-001@s:000", began),
            ("00000000000006-000@before", began),
            ("00000000000005-002@s", "00000000000005-002@s"),
            ("00000000000005-002@s:001", "00000000000005-002@s:001"),
        ] {
            assert_eq!(mine.open(&pid, Some(offset)).unwrap().offset, expected, "{offset}");
        }
    }

    #[test]
    fn in_the_middle_of_a_publish_it_is_read_again() {
        let mine = seal("secret", Some("me"), "chat");
        let pid = mine.pid("abc", "00000000000005-001@s");
        let from = mine.open(&pid, Some("00000000000006-000@s:001")).unwrap();
        assert_eq!(
            (from.serial(), from.within()),
            ("00000000000005-999@s".to_owned(), Some("00000000000006-000@s:001"))
        );
        let unknown = mine.open(&pid, Some("nonsense:")).unwrap();
        assert_eq!(unknown.serial(), "nonsense:", "the channel says that it is none");
    }
}
