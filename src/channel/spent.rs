//! The end of a channel that nobody uses any more: what is stored of it is not kept for ever.
//!
//! The log's last row stays after its time, since it holds the tip, and a relay whose clients have gone stays listed
//! until it is next fed. So some time after the last row has expired the channel asks the relays that it feeds, and
//! when it finds nobody, no member, and nothing that anyone waits for, the object may let go of its storage. The
//! channel's next life has another epoch: whoever still has a serial of this one is told of the gap.

use super::{Channel, Effect};
use crate::limits::{LAST_KEPT_MS, SPENT_AFTER_MS};

#[derive(Debug, Default)]
pub struct Spent {
    is_spent: bool,
    /// When to look again: somebody was there.
    look_at_ms: u64,
}

impl Channel {
    /// Whether the object may let go of all that is stored, as of the last tick.
    pub fn is_spent(&self) -> bool {
        self.spent.is_spent
    }

    /// Looks whether anyone is left, and asks relays that have not been fed for long. Who is gone is known when it is
    /// next looked for.
    pub(super) fn tick_spent(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let is_due = self.spent_deadline().is_some_and(|due_ms| due_ms <= now_ms);
        self.spent.is_spent = is_due && self.is_deserted();
        if is_due {
            self.spent.look_at_ms = now_ms + SPENT_AFTER_MS;
            self.feeds.relays().iter().for_each(|relay| self.feeds.doubt(relay));
            self.ask_below(now_ms, effects);
        }
    }

    pub(super) fn spent_deadline(&self) -> Option<u64> {
        let may_end = self.has_begun && self.states.holders.count() == 0;
        let expired_ms = self.log.tip().time_ms() + super::log::kept_ms(&self.meta.rules);
        let last_ms = if self.meta.rules.persist_last { self.log.tip().time_ms() + LAST_KEPT_MS } else { 0 };
        let kept_until_ms =
            self.states.objects.kept_until_ms(self.meta.rules.objects_kept_ms).unwrap_or_default().max(last_ms);
        may_end.then(|| (expired_ms + SPENT_AFTER_MS).max(self.spent.look_at_ms).max(kept_until_ms))
    }

    fn is_deserted(&self) -> bool {
        let is_known = !self.stale && !self.meta.listed && !self.meta.listened;
        let is_awaited = !self.states.pushes.is_empty()
            || self.has_pending()
            || !self.hooks_are_idle()
            || self.readers.deadline().is_some()
            || self.is_counted()
            || self.is_unheard(self.log.tip());
        is_known && !is_awaited && self.feeds.is_empty() && !self.feeds_below()
    }
}
