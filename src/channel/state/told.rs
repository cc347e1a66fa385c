//! What goes out with an operation: what the annotations of its message come to, as in history. An SDK takes a message
//! without a summary for one of which nobody said anything.
//!
//! Those who are fed from memory are told the counts at the end of the commit, and readers of rows those of now.

use std::collections::hash_map;

use super::annotations::{Tally, summary};
use crate::base::maps::HashMap;
use crate::channel::Channel;
use crate::channel::log::decoded;
use crate::channel::store::{Store, StoreError};
use crate::limits::{PAGE_SUMMARIES_MAX_BYTES, SUMMARY_CLIENTS_MAX_BYTES};
use crate::model::annotation::SummaryCounts;
use crate::model::message::{Entry, Extras, Message};
use crate::model::packed::Packed;
use crate::model::revision::Target;
use crate::model::serial::Position;

impl Channel {
    /// Adds to a commit's operations, in memory, what can be read now.
    pub(in crate::channel) fn fill_operations(&mut self, store: &mut impl Store, operations: &[(Position, Target)]) {
        for (position, target) in operations {
            let Some(packed) = self.log.in_tail(*position).cloned() else { continue };
            if let Ok(Some(told)) = filled(store, *target, &packed) {
                self.log.replace(*position, told);
            }
        }
    }
}

impl Tally {
    /// An operation changes a message. One that restores it ends what was not told: its summary follows, also for
    /// readers that keep what they show of a message until a summary comes.
    pub(super) fn operated(
        &mut self,
        store: &mut impl Store,
        (serial, target): (&str, Target),
        restored: Option<&Message>,
    ) -> Result<(), StoreError> {
        self.found.remove(serial);
        let Some(message) = restored else { return Ok(()) };
        if !self.counts(store, target)?.is_empty() || !store.annotations(target, Position::ZERO, 1)?.is_empty() {
            self.changed.insert(target, message.name.clone());
        }
        Ok(())
    }
}

fn filled(store: &mut impl Store, target: Target, packed: &Packed) -> Result<Option<Packed>, StoreError> {
    if !store.counted(target.position, target.position)?.contains(&target) {
        return Ok(None);
    }
    let mut entries = decoded(packed)?;
    Ok(match (tell(store, &mut entries)?, entries.as_slice()) {
        (true, [entry]) => Some(Packed::one(entry)),
        _ => None,
    })
}

/// Gives operations that have no summary the one of now. Whether there is any.
pub fn tell(store: &mut impl Store, entries: &mut [Entry]) -> Result<bool, StoreError> {
    let is_to_tell = |entry: &&mut Entry| entry.is_operation() && entry.counts(0).is_none();
    let count = entries.iter_mut().filter(is_to_tell).count().max(1);
    let max_bytes = (PAGE_SUMMARIES_MAX_BYTES / count).min(SUMMARY_CLIENTS_MAX_BYTES);
    let mut summaries: HashMap<Target, Extras> = HashMap::default();
    let mut has_told = false;
    for entry in entries.iter_mut().filter(is_to_tell) {
        let target = entry.target(0);
        let counts = match summaries.entry(target) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(unknown) => unknown.insert(summary(store, target, max_bytes)?),
        };
        if !counts.is_empty() {
            entry.annotate(vec![SummaryCounts { by_type: Some(counts.clone()) }]);
            has_told = true;
        }
    }
    Ok(has_told)
}
