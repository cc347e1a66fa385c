//! What a channel needs of its storage: a trait, so that the core runs on SQLite at the edge and on a faulty map in
//! tests.
//!
//! Writes of one turn become durable together, and nothing leaves the object before they are: that is the platform's
//! output gate, and the simulation's.

use super::StoredPush;
pub use crate::base::storage::StoreError;
use crate::limits::VERSIONS_MAX;
use crate::model::objects::parts::PartKey;
use crate::model::objects::pool::Changes;
use crate::model::packed::Packed;
use crate::model::presence::MemberKey;
use crate::model::revision::Target;
use crate::model::serial::Position;
use crate::rpc::{Lease, MembersQuery, RelayName};

/// What was committed together, as one row: the platform bills rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The last position given out in this commit; the row's id.
    pub position: Position,
    /// The row in whose place it is written, if that is still there.
    pub over: Option<Position>,
    pub totals: Totals,
    /// By what repeats of these publishes are known; see `dedup`.
    pub keys: String,
    pub entries: Packed,
    /// What the entries do to the presence set and the objects: stored with the row or not at all.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Put(StoredMember),
    Remove(MemberKey),
    /// As [`Store::hold`].
    Lease(String, Lease, Option<u64>),
    /// As [`Store::change_objects`].
    Objects(Changes),
    /// Makes a version the latest of its message. The one before stays among the older ones, but for the same number,
    /// and of those no more than [`VERSIONS_MAX`].
    Revise(StoredVersion),
    /// Puts something behind the latest version of its message, whose row stays as it is, in place of what was put
    /// there before. When that row is written again, it goes.
    Extend(StoredEnding),
    /// An entry of annotations of this message, at this place.
    Annotate(Target, Position, Packed),
    Count(Target, CountKey, Total),
    /// What a client has said, or that it takes it back.
    Say(Target, CountKey, String, Option<Share>),
    /// What the app is to be handed.
    Push(StoredPush),
}

/// A version of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    pub target: Target,
    pub number: u32,
    /// Where the operation is that made it.
    pub position: Position,
    /// Whether the message was deleted, then or before.
    pub was_deleted: bool,
    /// Its entry, whole.
    pub entry: Packed,
}

impl StoredVersion {
    /// The last of the older versions that must go.
    pub fn expired(&self) -> Option<u32> {
        self.number.checked_sub(VERSIONS_MAX + 1).filter(|number| *number > 0)
    }
}

/// What appends have put behind the row of a version; see [`crate::channel::state`].
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEnding {
    pub target: Target,
    /// Of the version that it belongs to.
    pub number: u32,
    /// Where the last of these operations is.
    pub position: Position,
    pub bytes: Vec<u8>,
}

/// The latest version of a message: its row, and what was put behind that.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLatest {
    pub entry: Packed,
    pub ending: Option<Vec<u8>>,
}

/// What is counted of a message: a type, and the name where the type has names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountKey {
    pub kind: String,
    pub name: String,
}

/// What the annotations of one type and name come to. Nothing is stored of a total of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    pub total: u64,
    /// What of it no client with a name said.
    pub unidentified: u64,
    pub clients: u64,
}

/// What one client said under one type and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub count: u64,
    /// Since when: clients are listed in the order in which they came.
    pub since: Position,
}

/// A member of the presence set.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMember {
    pub key: MemberKey,
    pub lease: Lease,
    /// When it is due to leave, unless its connection is heard of.
    pub leaves_at_ms: Option<u64>,
    /// One entry of one event.
    pub member: Packed,
}

/// A connection that has members; all of them have the same hold and time to leave.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredHolder {
    pub connection_id: String,
    pub lease: Lease,
    pub leaves_at_ms: Option<u64>,
    pub members: usize,
}

/// How much was ever logged, up to and including a row. The difference of two rows is what lies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    pub messages: u64,
    pub bytes: u64,
}

/// What a channel reads when it wakes: bounded, whatever the length of its log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub meta: Option<Vec<u8>>,
    /// Those that the channel feeds, and those that others feed for it.
    pub relays: Vec<RelayName>,
    pub relays_below: Vec<RelayName>,
    pub newest: Option<(Position, Totals)>,
    pub oldest: Option<(Position, Totals)>,
    /// How many are present.
    pub members: usize,
    /// The summary of the objects, if there are any.
    pub objects: Option<Vec<u8>>,
    /// Whether any message has another version than its first.
    pub revised: bool,
    /// How many pushes the app has not taken.
    pub pushes: usize,
    /// How far its webhooks are.
    pub hooks: Option<Vec<u8>>,
}

pub trait Store {
    fn load(&mut self) -> Result<Stored, StoreError>;
    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError>;
    fn add_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError>;
    fn remove_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError>;

    /// Writes a row and what it changes beside the log: all of it or nothing.
    fn append(&mut self, row: &Row) -> Result<(), StoreError>;

    /// Deletes the rows up to and including `through`, with the annotations of the messages in them; and their
    /// versions, unless there is an operation behind that: its readers need them. If one of them was ever deleted, what
    /// the rows held is overwritten.
    fn trim(&mut self, through: Position) -> Result<(), StoreError>;

    /// Does what [`Store::trim`] does to so many rows at most, and overwrites what they held; all pushes up to
    /// `through` go with the first. Gives whether that was all.
    fn purge(&mut self, through: Position, limit: usize) -> Result<bool, StoreError>;

    /// At most `limit` rows after a position, oldest first.
    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError>;

    /// At most `limit` rows up to and including a position, newest first.
    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError>;

    /// Positions and totals of at most `limit` rows after a position, oldest first.
    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError>;

    /// The keys of at most `limit` rows after a position, oldest first.
    fn keys_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError>;

    /// The same up to and including a position, newest first.
    fn keys_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError>;

    /// The latest versions of the messages that were published at a position, of those that have another than the
    /// first, by their places.
    fn latest(&mut self, position: Position) -> Result<Vec<StoredLatest>, StoreError>;

    /// At most `limit` older versions of a message from a number on, in the order of their numbers or against it.
    fn versions(&mut self, target: Target, from: u32, forwards: bool, limit: usize) -> Result<Vec<Packed>, StoreError>;

    fn member(&mut self, key: &MemberKey) -> Result<Option<Packed>, StoreError>;

    /// Members by their keys.
    fn members(&mut self, query: &MembersQuery) -> Result<Vec<Packed>, StoreError>;

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError>;

    /// Changes who holds a connection's members, and when they are due to leave.
    fn hold(&mut self, connection_id: &str, lease: &Lease, leaves_at_ms: Option<u64>) -> Result<(), StoreError>;

    /// A part of an object.
    fn object_part(&mut self, key: &PartKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` parts after a key, in their order.
    fn object_parts(&mut self, after: &PartKey, limit: usize) -> Result<Vec<(PartKey, Vec<u8>)>, StoreError>;

    /// Writes what became of parts: all of it or nothing.
    fn change_objects(&mut self, changes: &Changes) -> Result<(), StoreError>;

    /// At most `limit` entries of annotations of a message at this position or later, oldest first.
    fn annotations(&mut self, target: Target, from: Position, limit: usize) -> Result<Vec<Packed>, StoreError>;

    /// At most `limit` pushes that the app has not taken, oldest first.
    fn pushes(&mut self, limit: usize) -> Result<Vec<StoredPush>, StoreError>;

    /// The app has those up to and including this one. Gives how many are left.
    fn forget_pushes(&mut self, through: (Position, usize)) -> Result<usize, StoreError>;

    fn save_hooks(&mut self, hooks: &[u8]) -> Result<(), StoreError>;

    /// All that is counted of a message.
    fn counts(&mut self, target: Target) -> Result<Vec<(CountKey, Total)>, StoreError>;

    /// The messages between two positions, both inclusive, of which something is counted.
    fn counted(&mut self, first: Position, last: Position) -> Result<Vec<Target>, StoreError>;

    /// What a client said under one type, by name.
    fn shares(&mut self, target: Target, kind: &str, client_id: &str) -> Result<Vec<(String, Share)>, StoreError>;

    /// The first clients under one type and name, and how often each said it.
    fn clients(&mut self, target: Target, key: &CountKey, limit: usize) -> Result<Vec<(String, u64)>, StoreError>;
}
