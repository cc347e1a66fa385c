//! How far deliveries may go. A namespace that batches or conflates has its channels deliver once in an interval: what
//! comes after a quiet one goes out at once, what follows waits for the end of the interval that this began.
//!
//! The channel waits, and not each relay: so a batch is one call to each of them, a socket that the channel holds
//! itself is served alike, and all readers get the same frames. Acknowledgements don't wait, nor do those who read the
//! log: they ask for what there is. Presence events wait with the messages, since both have one order.
//!
//! What waits is in the log. A channel that loses its memory meanwhile asks its relays where they stand, as always.

use super::log::Log;
use super::{Channel, Rules};
use crate::base::pause;
use crate::limits::{DELIVERY_TIMEOUT_MS, PACE_MAX_BYTES};
use crate::model::serial::Position;

#[derive(Debug)]
pub struct Pace {
    /// Everything up to here may be delivered.
    open: Position,
    /// When the interval ends that began with the last delivery.
    until_ms: u64,
    /// What the tail had taken in when it began.
    taken_in: usize,
}

impl Pace {
    pub fn new(tip: Position) -> Pace {
        Pace { open: tip, until_ms: 0, taken_in: 0 }
    }

    /// How far deliveries may go now.
    pub fn open(&mut self, log: &Log, rules: &Rules, now_ms: u64) -> Position {
        let interval_ms = u64::from(rules.interval_ms);
        let is_over = pause::is_over(self.until_ms, interval_ms, now_ms);
        let is_full = log.taken_in().saturating_sub(self.taken_in) > PACE_MAX_BYTES;
        if self.open < log.tip() && (is_over || is_full) {
            *self = Pace { open: log.tip(), until_ms: now_ms + interval_ms, taken_in: log.taken_in() };
        }
        self.open
    }
}

impl Channel {
    /// When [`Channel::follow_up`] has to deliver what waits now. For a timer: an alarm would be a row each time. None
    /// while storage can't be read: that is tried again in its own time.
    pub fn paces_until_ms(&self) -> Option<u64> {
        (self.pace.open < self.tip() && !self.feeds.is_empty() && !self.stale).then_some(self.pace.until_ms)
    }

    /// Whether a relay, a webhook or the app has not said that it has all that is stored for it, as far as this memory
    /// knows.
    pub fn owes(&self) -> bool {
        let delivery = self.feeds.owe() || self.paces_until_ms().is_some();
        delivery || !self.states.pushes.is_empty() || !self.hooks_are_idle()
    }

    /// The alarm for it that outlives the timer: nobody else would wake a channel that loses its memory meanwhile.
    pub(super) fn pace_deadline(&self) -> Option<u64> {
        self.paces_until_ms().map(|until_ms| until_ms + DELIVERY_TIMEOUT_MS)
    }
}
