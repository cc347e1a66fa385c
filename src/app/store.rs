//! What an app keeps, and the storage that keeps it. All writes of one turn are one transaction, and nothing leaves the
//! object before they are durable.

use crate::auth::{Ban, Revocation};
pub use crate::base::storage::StoreError;
use crate::model::name::ChannelName;
use crate::rpc::{Note, RelayName};
use crate::stats::Tally;

pub trait Store {
    fn load(&mut self) -> Result<Stored, StoreError>;

    /// The configuration of an app made at run time; empty once it was deleted. And the channels that it was made with.
    fn save_config(&mut self, config: &str, channels: &str) -> Result<(), StoreError>;

    /// The channels that it was made with, a line each.
    fn channels(&mut self) -> Result<String, StoreError>;

    /// Puts a channel on the list of those in use, or takes it off, unless it was put there by a call with a higher
    /// number.
    fn list(&mut self, channel: &ChannelName, active: bool, number: Option<u64>) -> Result<(), StoreError>;

    fn forget_list(&mut self) -> Result<(), StoreError>;

    /// Those of the list whose names begin so, in order, behind that one; a line each.
    fn listed(&mut self, prefix: &str, after: &str, limit: usize) -> Result<String, StoreError>;

    /// Whether it was new.
    fn add_nonce(&mut self, key: &str, forget_at_ms: u64) -> Result<bool, StoreError>;

    /// Drops the nonces of that time or before; says how many are left.
    fn forget_nonces(&mut self, now_ms: u64) -> Result<usize, StoreError>;

    /// In the place of an earlier one for the same key and target.
    fn save_revocation(&mut self, revision: u64, revocation: &Revocation) -> Result<(), StoreError>;

    /// Drops those to be forgotten at that time or before.
    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError>;

    /// In the order of their revisions.
    fn revocations_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Revocation)>, StoreError>;

    /// Of the last change of the configuration.
    fn save_config_revision(&mut self, revision: u64) -> Result<(), StoreError>;

    /// In the place of an earlier one of the same client and channels.
    fn save_ban(&mut self, revision: u64, ban: &Ban) -> Result<(), StoreError>;

    /// Drops those that ended at that time or before, up to that revision.
    fn forget_bans(&mut self, now_ms: u64, through: u64) -> Result<(), StoreError>;

    /// In the order of their revisions, those that were lifted too.
    fn bans_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Ban)>, StoreError>;

    /// In the order of their keys, behind that one: those that were not lifted.
    fn bans_behind(&mut self, key: &str, limit: usize) -> Result<Vec<Ban>, StoreError>;

    /// Adds an entry, and drops all but the last of so many.
    fn add_note(&mut self, note: &Note, keep: usize) -> Result<(), StoreError>;

    /// The latest first, before that number.
    fn notes(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, Note)>, StoreError>;

    fn save_watcher(&mut self, relay: &RelayName, ticket: u64, told: u64) -> Result<(), StoreError>;

    fn remove_watcher(&mut self, relay: &RelayName) -> Result<(), StoreError>;

    /// In the place of an earlier one of the same reporter and minute, unless that has a later revision.
    fn put_stats(
        &mut self,
        kind: StatsKind,
        minute: u64,
        reporter: &str,
        revision: u64,
        tally: &Tally,
    ) -> Result<(), StoreError>;

    /// The revision and the tally of an open minute that a reporter reported.
    fn reported(&mut self, minute: u64, reporter: &str) -> Result<Option<(u64, Tally)>, StoreError>;

    /// At most `limit` rows with their minutes and reporters, in this order, through a minute: from another on, or
    /// behind a reporter of that.
    fn stats(
        &mut self,
        kind: StatsKind,
        from: (u64, Option<&str>),
        through: u64,
        limit: usize,
    ) -> Result<Vec<(u64, String, Tally)>, StoreError>;

    /// Drops those of that minute and before.
    fn drop_stats(&mut self, kind: StatsKind, through: u64) -> Result<(), StoreError>;

    /// How a webhook of a channel fares, in the place of what was known; of so many others, some go.
    fn save_standing(&mut self, channel: &str, hook: &str, standing: &[u8], max: usize) -> Result<(), StoreError>;

    fn remove_standing(&mut self, channel: &str, hook: &str) -> Result<(), StoreError>;

    /// Channel, webhook and standing, in the order of their names.
    fn standings(&mut self) -> Result<Vec<(String, String, Vec<u8>)>, StoreError>;

    /// Keeps what was given up by its key, unless that is known, and so many of the last.
    fn add_dead(&mut self, key: &str, channel: &str, dead: &[u8], max: usize) -> Result<(), StoreError>;

    /// By their numbers, and with their channels: so many before that number, the last first.
    fn dead(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, String, Vec<u8>)>, StoreError>;

    /// Drops those of a channel, or all, and overwrites what they held.
    fn forget_dead(&mut self, channel: Option<&str>) -> Result<(), StoreError>;
}

/// Rows of statistics. Stored by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatsKind {
    /// Of one object and minute.
    Open,
    /// Of a minute, when no more reports of it can come.
    Minute,
    Hour,
    Total,
    /// A minute that a test suite made up.
    Fixture,
    /// What an app had counted when it was last asked; the deployment's object has these, with the app as reporter.
    App,
}

#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// As [`Store::save_config`] left it.
    pub config: Option<String>,
    pub nonces: usize,
    pub revocations: Vec<(u64, Revocation)>,
    pub bans: Vec<(u64, Ban)>,
    pub config_revision: u64,
    /// Relay, ticket, and the revision that it was told of last.
    pub watchers: Vec<(RelayName, u64, u64)>,
}
