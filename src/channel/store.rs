//! What a channel needs of its storage: a trait, so that the core runs on SQLite at the edge and on a faulty map in tests.
//!
//! Writes of one turn become durable together, and nothing leaves the object before they are: that is the platform's
//! output gate, and the simulation's.

use crate::call::RelayName;
use crate::serial::Position;
use crate::wire::packed::Packed;

/// A write or read that failed. A failed write may still have been kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreError(pub String);

/// What was committed together, as one row: the platform bills rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The last position given out in this commit; the row's id.
    pub position: Position,
    pub totals: Totals,
    /// By what repeats of these publishes are known; see `dedup`.
    pub keys: String,
    pub entries: Packed,
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
    pub relays: Vec<RelayName>,
    pub newest: Option<(Position, Totals)>,
    pub oldest: Option<(Position, Totals)>,
}

pub trait Store {
    fn load(&mut self) -> Result<Stored, StoreError>;
    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError>;
    fn add_relay(&mut self, relay: &RelayName) -> Result<(), StoreError>;
    fn remove_relay(&mut self, relay: &RelayName) -> Result<(), StoreError>;
    fn append(&mut self, row: &Row) -> Result<(), StoreError>;

    /// Deletes the rows up to and including `through`.
    fn trim(&mut self, through: Position) -> Result<(), StoreError>;

    /// At most `limit` rows after a position, oldest first.
    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError>;

    /// At most `limit` rows up to and including a position, newest first.
    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError>;

    /// Positions and totals of at most `limit` rows after a position, oldest first.
    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError>;

    /// `<position> <keys>` of every row after a position, oldest first, joined by spaces.
    fn keys_after(&mut self, after: Position) -> Result<String, StoreError>;
}
