//! Letting go of all messages of a channel at once, because an operator says so.
//!
//! What follows from the messages goes too: versions, annotations, summaries, and the last message that a namespace
//! keeps. Who is present and the shared objects are no messages, and stay. The order goes on: the purge takes a place in
//! it, so that everyone who stands before learns of the gap, and no serial is used again.

use super::log::Log;
use super::state::State;
use super::store::{Store, StoreError};
use super::{Channel, Meta, storage_failed};
use crate::rpc::Answer;

impl Channel {
    /// Fails with 50001 when storage does. Then some of it may be left, which nobody can read; it can be asked again.
    pub fn purge(&mut self, store: &mut impl Store, now_ms: u64) -> Answer<()> {
        let purged = self.try_to_purge(store, now_ms);
        if purged.is_err() {
            self.forget(now_ms);
        }
        purged.map_err(storage_failed)
    }

    /// The floor first, as for a trim.
    fn try_to_purge(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.reload(store)?;
        if !self.has_begun {
            return Ok(());
        }
        let floor = self.log.tip().next(now_ms);
        self.save_meta(store, Meta { floor, last: None, ..self.meta.clone() })?;
        store.purge()?;
        let stored = store.load()?;
        self.log = Log::new(&stored, floor);
        self.states.reload(&stored)?;
        // Nothing of it is known again: what was published is no longer there to be the answer.
        self.window = None;
        self.repeats.forget();
        Ok(())
    }
}
