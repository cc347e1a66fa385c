//! What a relay keeps in its object's storage: with that a rebuilt relay needs no call before it goes on.
//!
//! Writes of one turn become durable together, as a channel's do.

use crate::auth::{Ban, Revocation};
pub use crate::base::storage::StoreError;
use crate::model::name::ChannelName;
use crate::relay::record::RowId;
use crate::rpc::{RelayName, Watching};

/// The watch of the app, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// `None` while the app may know of another watch, or of none.
    pub ticket: Option<u64>,
    /// Of an app made at run time.
    pub config: Option<String>,
    /// Through which revision of the app it was told, since the watch began.
    pub told: u64,
}

pub trait RelayStore {
    /// The random secret that signs this object's connection keys; made when it is first asked for.
    fn secret(&mut self) -> Result<Vec<u8>, StoreError>;

    fn watch(&mut self) -> Result<Option<Watch>, StoreError>;

    /// In the place of an earlier one, with the revocations and bans that are in force.
    fn begin_watch(&mut self, watching: &Watching) -> Result<(), StoreError>;

    /// What the app is made with has changed.
    fn save_config(&mut self, config: &str) -> Result<(), StoreError>;

    /// The app told it all through this revision.
    fn save_told(&mut self, through: u64) -> Result<(), StoreError>;

    /// The app may know of another watch, or of none. What it said stays.
    fn doubt_watch(&mut self) -> Result<(), StoreError>;

    /// Forgets the watch, all revocations and bans.
    fn end_watch(&mut self) -> Result<(), StoreError>;

    fn revocations(&mut self) -> Result<Vec<Revocation>, StoreError>;

    /// In the place of earlier ones for the same keys and targets.
    fn save_revocations(&mut self, revocations: &[Revocation]) -> Result<(), StoreError>;

    fn bans(&mut self) -> Result<Vec<Ban>, StoreError>;

    /// In the place of earlier ones of the same clients and channels. Those that were lifted go.
    fn save_bans(&mut self, bans: &[Ban]) -> Result<(), StoreError>;

    /// Drops those to be forgotten at that time or before, and bans that ended.
    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError>;

    /// The relays that this one feeds, by channel.
    fn followers(&mut self) -> Result<Vec<(ChannelName, RelayName)>, StoreError>;

    fn add_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError>;

    fn remove_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError>;

    /// What sockets can't carry of their sessions.
    fn rows(&mut self) -> Result<Vec<(RowId, Vec<u8>)>, StoreError>;

    /// Writes rows; those without a value go.
    fn change_rows(&mut self, rows: &[(RowId, Option<Vec<u8>>)]) -> Result<(), StoreError>;

    /// Sessions that outlive their connections, by their client ids.
    fn kept(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Writes sessions; those without a value go.
    fn change_kept(&mut self, kept: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError>;

    /// Connections whose ends webhooks are told, by their ids.
    fn lives(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Writes connections; those without a value go.
    fn change_lives(&mut self, lives: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError>;

    /// There is nobody left whose they were.
    fn clear_rows(&mut self) -> Result<(), StoreError>;

    /// Lets go of all that the object stores, as if there had never been anything.
    fn clear(&mut self) -> Result<(), StoreError>;
}
