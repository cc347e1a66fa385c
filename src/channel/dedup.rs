//! Which publishes were seen before: the idempotency window (protocol.md § 5, § 8.2).
//!
//! A connection's publishes reach a channel in the order of their msgSerials, so one mark per connection tells new from
//! possibly repeated. Connections, and ids that publishers chose, are kept as hashes. Both only say where to look: the
//! log decides, so that neither a collision nor a mark of a refused publish can swallow a message. The keys of a commit
//! stand beside its row, and a channel that lost its memory reads those of the window, not the messages.

use super::store::{Store, StoreError};
use crate::base::digest;
use crate::base::maps::{HashMap, HashSet};
use crate::limits::{DEDUP_MAX_CONNECTIONS, DEDUP_MAX_IDS, DEDUP_WINDOW_MS};
use crate::model::presence::PresenceAction;
use crate::model::serial::Position;
use crate::rpc::{Publish, PublishKey, Submission};

/// Rows whose keys are read at a time. One has 300 KB of them at most, of 13,000 publishes.
const ROWS_PER_READ: usize = 32;

/// To look for what can be forgotten takes milliseconds: not for each publish that finds no room.
const FORGET_PAUSE_MS: u64 = 1_000;

/// How keys begin that are a connection's numbers, and those of them by which a member left.
const NUMBERED: &str = "@";
const LEFT: &str = "-";

#[derive(Debug, Default)]
pub struct Window {
    /// By the hashes of their ids.
    connections: HashMap<u64, Mark>,
    /// Those among them that said of a member that it left.
    leavers: HashSet<u64>,
    ids: HashMap<u64, Position>,
    /// When it last forgot because it was full.
    forgot_at_ms: u64,
}

/// The last publish of a connection on this channel.
#[derive(Clone, Copy, Debug)]
struct Mark {
    serial: u64,
    position: Position,
}

/// Where a repeated publish would be, if it is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suspicion {
    New,
    /// At this position or before it.
    UpTo(Position),
    /// At this position, or the hash met another's.
    At(Position),
}

impl Window {
    /// The window of a channel that lost its memory. A few rows at a time: all their keys together may be more than
    /// storage gives at once, or memory has room for.
    pub fn restore(store: &mut impl Store, mut after: Position) -> Result<Window, StoreError> {
        let mut window = Window::default();
        loop {
            let rows = store.keys_after(after, ROWS_PER_READ)?;
            let Some((last, _)) = rows.last() else { return Ok(window) };
            after = *last;
            rows.iter().for_each(|(position, keys)| window.recall(keys, *position));
        }
    }

    /// What [`Window::remember`] gave for the publishes of a row.
    fn recall(&mut self, keys: &str, position: Position) {
        for token in keys.split(' ') {
            match token.split_at_checked(1) {
                Some(("#", hash)) => {
                    u64::from_str_radix(hash, 16).ok().map(|hash| self.ids.insert(hash, position));
                }
                Some((sign @ (NUMBERED | LEFT), mark)) => {
                    if let Some((connection, serial)) = mark.split_once(':')
                        && let Ok(serial) = serial.parse()
                    {
                        self.mark(connection, serial, position, sign == LEFT);
                    }
                }
                _ => {}
            }
        }
    }

    pub fn suspect(&self, publish: &Publish) -> Suspicion {
        match (&publish.key, &publish.connection_id) {
            (PublishKey::Serial(serial), Some(connection)) => match self.connections.get(&hash(connection)) {
                Some(mark) if *serial <= mark.serial => Suspicion::UpTo(mark.position),
                _ => Suspicion::New,
            },
            (PublishKey::Serial(_), None) => Suspicion::New,
            (PublishKey::Id(id) | PublishKey::Request(id), _) => {
                // Earlier builds wrote all of them without their scope.
                let known = self.ids.get(&scoped(publish, id)).or_else(|| self.ids.get(&hash(id)));
                known.map_or(Suspicion::New, |position| Suspicion::At(*position))
            }
        }
    }

    /// Whether a connection may have said with this number, or a later one, that a member left. The log tells of which.
    pub fn may_have_left(&self, connection_id: &str, from: u64) -> bool {
        let connection = hash(connection_id);
        self.leavers.contains(&connection) && self.connections.get(&connection).is_some_and(|mark| mark.serial >= from)
    }

    /// Whether a publish can be remembered; when not, it must be refused, since its repeat would not be known. Ids,
    /// however many, take nothing from those whose connections are known.
    pub fn has_room(&mut self, publish: &Publish, now_ms: u64) -> bool {
        if !self.fits(publish) && now_ms.abs_diff(self.forgot_at_ms) >= FORGET_PAUSE_MS {
            self.forgot_at_ms = now_ms;
            self.forget_before(now_ms);
        }
        self.fits(publish)
    }

    pub fn is_half_full(&self) -> bool {
        self.ids.len() >= DEDUP_MAX_IDS / 2
    }

    fn fits(&self, publish: &Publish) -> bool {
        match (&publish.key, &publish.connection_id) {
            (PublishKey::Serial(_), Some(connection)) => {
                self.connections.len() < DEDUP_MAX_CONNECTIONS || self.connections.contains_key(&hash(connection))
            }
            _ => self.ids.len() < DEDUP_MAX_IDS,
        }
    }

    /// Remembers a publish, and gives the key to store with its row.
    pub fn remember(&mut self, publish: &Publish, position: Position) -> String {
        match (&publish.key, &publish.connection_id) {
            (PublishKey::Serial(serial), Some(connection)) => {
                self.mark(connection, *serial, position, says_leave(publish));
                let sign = if says_leave(publish) { LEFT } else { NUMBERED };
                format!("{sign}{connection}:{serial}")
            }
            (PublishKey::Serial(_), None) => String::new(),
            (PublishKey::Id(id) | PublishKey::Request(id), _) => {
                let hash = scoped(publish, id);
                self.ids.insert(hash, position);
                format!("#{hash:x}")
            }
        }
    }

    /// Drops what the window no longer covers.
    pub fn forget_before(&mut self, now_ms: u64) {
        let cutoff = cutoff(now_ms);
        self.ids.retain(|_, position| *position >= cutoff);
        self.connections.retain(|_, mark| mark.position >= cutoff);
        self.leavers.retain(|connection| self.connections.contains_key(connection));
    }

    fn mark(&mut self, connection: &str, serial: u64, position: Position, says_leave: bool) {
        if says_leave {
            self.leavers.insert(hash(connection));
        }
        // A serial below the mark was never logged and is now: the mark stays, since it bounds what was seen.
        let mark = self.connections.entry(hash(connection)).or_insert(Mark { serial, position });
        *mark = Mark { serial: mark.serial.max(serial), position: mark.position.max(position) };
    }
}

/// The place at which the window begins.
pub fn cutoff(now_ms: u64) -> Position {
    Position::at(now_ms.saturating_sub(DEDUP_WINDOW_MS))
}

fn says_leave(publish: &Publish) -> bool {
    let Submission::Presence { updates, .. } = &publish.content else { return false };
    updates.iter().any(|update| update.event.action == PresenceAction::Leave)
}

/// The number of a publish by its key, if it is this connection's.
pub fn serial_of(key: &str, connection_id: &str) -> Option<u64> {
    key.strip_prefix(NUMBERED)
        .or_else(|| key.strip_prefix(LEFT))?
        .strip_prefix(connection_id)?
        .strip_prefix(':')?
        .parse()
        .ok()
}

/// The hash of an id among those of its kind.
fn scoped(publish: &Publish, id: &str) -> u64 {
    match publish.scope() {
        "" => hash(id),
        scope => hash(&[scope, id].join("\0")),
    }
}

/// Collisions are harmless, since the log decides.
fn hash(id: &str) -> u64 {
    digest::of(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Source;
    use crate::model::data::Data;
    use crate::model::presence::PresenceMessage;
    use crate::rpc::{Lease, PresenceUpdate, RelayName};

    fn publish(key: PublishKey, connection: Option<&str>) -> Publish {
        Publish {
            key,
            connection_id: connection.map(str::to_owned),
            by: Source::SERVER,
            content: crate::rpc::Submission::Messages(vec![]),
        }
    }

    #[test]
    fn a_connections_serials_are_known_up_to_the_last() {
        let mut window = Window::default();
        window.remember(&publish(PublishKey::Serial(4), Some("a")), Position(10));
        assert_eq!(window.suspect(&publish(PublishKey::Serial(4), Some("a"))), Suspicion::UpTo(Position(10)));
        assert_eq!(window.suspect(&publish(PublishKey::Serial(0), Some("a"))), Suspicion::UpTo(Position(10)));
        assert_eq!(window.suspect(&publish(PublishKey::Serial(5), Some("a"))), Suspicion::New);
        assert_eq!(window.suspect(&publish(PublishKey::Serial(4), Some("b"))), Suspicion::New);
    }

    #[test]
    fn stored_keys_restore_the_window() {
        let mut window = Window::default();
        let published = [
            (publish(PublishKey::Serial(4), Some("a")), Position(10)),
            (publish(PublishKey::Id("x y:0".into()), None), Position(11)),
            (publish(PublishKey::Serial(2), Some("a")), Position(12)),
        ];
        let mut restored = Window::default();
        for (publish, position) in &published {
            restored.recall(&window.remember(publish, *position), *position);
        }
        for (publish, _) in &published {
            assert_ne!(window.suspect(publish), Suspicion::New);
            assert_eq!(restored.suspect(publish), window.suspect(publish));
        }
        assert_eq!(restored.suspect(&publish(PublishKey::Serial(4), Some("a"))), Suspicion::UpTo(Position(12)));
    }

    #[test]
    fn a_connection_that_says_leave_is_known_for_it() {
        let left = |serial, connection: &str| {
            let event = PresenceMessage {
                action: PresenceAction::Leave,
                id: format!("{connection}:{serial}:0"),
                connection_id: connection.to_owned(),
                client_id: "ann".to_owned(),
                data: Data::Absent,
                encoding: None,
                extras: None,
            };
            let lease = Lease { relay: RelayName::nobody(), grace_ms: 0 };
            let updates = vec![PresenceUpdate { event, known: None }];
            let content = Submission::Presence { lease, updates };
            Publish { content, ..publish(PublishKey::Serial(serial), Some(connection)) }
        };
        let (mut window, mut restored) = (Window::default(), Window::default());
        for publish in [publish(PublishKey::Serial(7), Some("b")), left(4, "a")] {
            let key = window.remember(&publish, Position(10));
            assert!(serial_of(&key, publish.connection_id.as_deref().unwrap()).is_some(), "{key}");
            restored.recall(&key, Position(10));
        }
        for window in [window, restored] {
            let may_have_left = [("a", 4), ("a", 5), ("b", 0)].map(|(id, from)| window.may_have_left(id, from));
            assert_eq!(may_have_left, [true, false, false]);
            assert_ne!(window.suspect(&left(4, "a")), Suspicion::New);
        }
    }

    #[test]
    fn the_window_ends() {
        let mut window = Window::default();
        window.remember(&publish(PublishKey::Id("x".into()), None), Position::at(1_000));
        window.remember(&publish(PublishKey::Serial(0), Some("a")), Position::at(2_000));
        window.forget_before(1_500 + DEDUP_WINDOW_MS);
        assert_eq!(window.suspect(&publish(PublishKey::Id("x".into()), None)), Suspicion::New);
        assert_ne!(window.suspect(&publish(PublishKey::Serial(0), Some("a"))), Suspicion::New);
    }

    #[test]
    fn a_flood_of_ids_leaves_room_for_those_who_number_their_publishes() {
        let mut window = Window::default();
        let own = publish(PublishKey::Serial(0), Some("a"));
        window.remember(&own, Position::at(10_000));
        let id = |number: usize| publish(PublishKey::Id(format!("x{number}")), Some("b"));
        (0..DEDUP_MAX_IDS).for_each(|number| drop(window.remember(&id(number), Position::at(10_000))));
        assert!(!window.has_room(&id(DEDUP_MAX_IDS), 11_000));
        assert!(window.has_room(&own, 11_000));
        assert!(window.has_room(&publish(PublishKey::Serial(0), Some("c")), 11_000));
        let over_ms = 10_001 + DEDUP_WINDOW_MS;
        assert!(window.has_room(&id(DEDUP_MAX_IDS), over_ms), "room is made when there is none");
        (0..DEDUP_MAX_IDS).for_each(|number| drop(window.remember(&id(number), Position::at(10_000))));
        assert!(!window.has_room(&id(DEDUP_MAX_IDS), over_ms + FORGET_PAUSE_MS - 1), "though not looked for each time");
        assert!(window.has_room(&id(DEDUP_MAX_IDS), over_ms + FORGET_PAUSE_MS));
    }

    #[test]
    fn damaged_keys_are_no_panic() {
        for keys in ["", " ", "#", "#zz", "@", "@a", "@a:b", "x # @", "é"] {
            Window::default().recall(keys, Position::ZERO);
        }
    }
}
