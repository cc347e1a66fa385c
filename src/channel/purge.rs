//! Letting go of all messages of a channel at once, because an operator says so.
//!
//! All that follows from the messages goes too: versions, annotations, summaries, the last message that a namespace
//! keeps, and what devices and webhooks have not got. Who is present and the shared objects are no messages, and stay.
//! The order goes on: the purge takes a place in it, so that everyone who stands before learns of the gap, and no
//! serial is used again.

use super::log::Log;
use super::state::State;
use super::store::{Store, StoreError};
use super::{Channel, Meta, storage_failed};
use crate::limits::PURGED_AT_ONCE_ROWS;
use crate::model::serial::Position;
use crate::rpc::Answer;

impl Channel {
    /// The first part of it, or what is left up to there. Gives up to where some is left still, which nobody can read.
    /// Fails with 50001 when storage does; it can be asked again.
    pub fn purge(
        &mut self,
        store: &mut impl Store,
        through: Option<Position>,
        now_ms: u64,
    ) -> Answer<Option<Position>> {
        let purged = self.try_to_purge(store, through, now_ms);
        if purged.is_err() {
            self.forget(now_ms);
        }
        purged.map_err(storage_failed)
    }

    fn try_to_purge(
        &mut self,
        store: &mut impl Store,
        through: Option<Position>,
        now_ms: u64,
    ) -> Result<Option<Position>, StoreError> {
        self.reload(store)?;
        if !self.has_begun {
            return Ok(None);
        }
        // Never what came after.
        let through = through.map(|through| through.min(self.meta.floor));
        let through = through.map_or_else(|| self.raise_floor(store, now_ms), Ok)?;
        let is_all = store.purge(through, PURGED_AT_ONCE_ROWS)?;
        let stored = store.load()?;
        self.log = Log::new(store, &stored, self.log.tip(), self.meta.floor)?;
        self.states.reload(&stored)?;
        self.hooks_hold_nothing();
        Ok((!is_all).then_some(through))
    }

    /// The floor first, as for a trim. Nothing of it is known again: what was published is no longer there to be the
    /// answer.
    fn raise_floor(&mut self, store: &mut impl Store, now_ms: u64) -> Result<Position, StoreError> {
        let floor = self.log.tip().next(now_ms);
        self.save_meta(store, Meta { floor, last: None, ..self.meta.clone() })?;
        let stored = store.load()?;
        self.log = Log::new(store, &stored, floor, floor)?;
        self.window = None;
        self.repeats.forget();
        self.pass_over_all(store, floor)?;
        Ok(floor)
    }
}
