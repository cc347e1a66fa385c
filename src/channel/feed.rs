//! The relays that a channel feeds: a cursor each, at most one delivery in flight each.
//!
//! What is published while a delivery is in flight is merged into the next, so a busy channel sends few, full frames and
//! a quiet one sends at once. A relay answers where it stands, and that alone moves its cursor: a lost delivery, a lost
//! answer, a repeat or a rebuilt channel all come down to sending again from where the relay says it is. A relay is never
//! given up for its silence, only for its word that nobody listens there.
//!
//! ```text
//!            publish                    answer At(p)
//!   idle ───────────────▶ in flight ───────────────────▶ idle, cursor = p
//!     ▲                       │ no answer
//!     └──── retry is due ◀────┘ (backoff)
//! ```

use std::collections::BTreeMap;

use super::log::Log;
use super::store::{Store, StoreError};
use super::{Effect, Meta};
use crate::call::{Delivered, Delivery, RelayName};
use crate::limits::{DELIVERY_MAX_BYTES, DELIVERY_RETRY_MAX_MS, DELIVERY_TIMEOUT_MS};
use crate::maps::ordered;
use crate::serial::Position;

/// The first pause after a relay didn't answer; doubled each time.
const RETRY_FIRST_MS: u64 = 100;

#[derive(Debug, Default)]
pub struct Feeds {
    feeds: BTreeMap<RelayName, Feed>,
    attempts: u64,
}

#[derive(Debug)]
struct Feed {
    /// Where the relay stands, as far as is known.
    cursor: Position,
    state: State,
    failures: u32,
    belief: Belief,
    /// Attempts before this one belong to an earlier subscription; their word that nobody listens is out of date.
    since: u64,
}

/// How the cursor is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Belief {
    /// The relay said so.
    Told,
    /// The channel woke without memory: the next delivery will tell.
    Assumed,
    /// It was awake for a while and still doesn't know: ask, even with nothing to send.
    Asking,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    InFlight { attempt: u64, through: Position, sent_at_ms: u64 },
    Waiting { until_ms: u64 },
}

impl Feed {
    /// Takes the relay's word. One that stays where it was, though it was sent more, gets a pause.
    fn settle(&mut self, position: Position, through: Position, now_ms: u64) {
        if position == self.cursor && through > position {
            return self.fail(now_ms);
        }
        self.cursor = position;
        self.failures = 0;
        self.belief = Belief::Told;
    }

    fn fail(&mut self, now_ms: u64) {
        self.failures += 1;
        let pause = (RETRY_FIRST_MS << self.failures.min(16)).min(DELIVERY_RETRY_MAX_MS);
        self.state = State::Waiting { until_ms: now_ms + pause };
    }
}

impl Feeds {
    /// The feeds of a channel that lost its memory. Where each relay stands is not known; the tip is the best guess,
    /// since a channel only sleeps when all are fed.
    pub fn restore(relays: Vec<RelayName>, tip: Position) -> Feeds {
        let feed = || Feed { cursor: tip, state: State::Idle, failures: 0, belief: Belief::Assumed, since: 0 };
        Feeds { feeds: ordered(relays.into_iter().map(|relay| (relay, feed()))), attempts: 0 }
    }

    pub fn contains(&self, relay: &RelayName) -> bool {
        self.feeds.contains_key(relay)
    }

    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    pub fn relays(&self) -> Vec<RelayName> {
        self.feeds.keys().cloned().collect()
    }

    /// The relay says that nobody is there; the next delivery will tell whether it is so.
    pub fn doubt(&mut self, relay: &RelayName) {
        if let Some(feed) = self.feeds.get_mut(relay) {
            feed.belief = Belief::Asking;
        }
    }

    /// Feeds a relay from `tip`. One that is fed already keeps its cursor: the call may be an old one that comes late, and
    /// the relay behind `tip`; if it is not, it says so.
    pub fn subscribe(&mut self, relay: RelayName, tip: Position) {
        let since = self.attempts + 1;
        let begun = Feed { cursor: tip, state: State::Idle, failures: 0, belief: Belief::Told, since };
        let feed = self.feeds.entry(relay).or_insert(begun);
        feed.since = since;
        if matches!(feed.state, State::Waiting { .. }) {
            // It is there, whatever went wrong before.
            (feed.state, feed.failures) = (State::Idle, 0);
        }
    }

    /// Takes a relay's answer. Gives whether the relay has to be taken off the stored list.
    pub fn answered(
        &mut self,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Delivered>,
        tip: Position,
        now_ms: u64,
    ) -> bool {
        let Some(feed) = self.feeds.get_mut(relay) else { return false };
        let through = match feed.state {
            State::InFlight { attempt: current, through, .. } if current == attempt => through,
            _ => return false,
        };
        feed.state = State::Idle;
        match answer {
            Some(Delivered::At(position)) => feed.settle(position.min(tip), through, now_ms),
            Some(Delivered::Unsubscribed) if attempt >= feed.since => {
                self.feeds.remove(relay);
                return true;
            }
            Some(Delivered::Unsubscribed) => {}
            Some(Delivered::NotYet) | None => feed.fail(now_ms),
        }
        false
    }

    /// Retries what is due and gives up waiting for answers that don't come.
    pub fn tick(&mut self, now_ms: u64) {
        for feed in self.feeds.values_mut() {
            match feed.state {
                State::InFlight { sent_at_ms, .. } if sent_at_ms + DELIVERY_TIMEOUT_MS <= now_ms => feed.fail(now_ms),
                State::Waiting { until_ms } if until_ms <= now_ms => feed.state = State::Idle,
                _ => {}
            }
        }
        for feed in self.feeds.values_mut().filter(|feed| feed.belief == Belief::Assumed) {
            feed.belief = Belief::Asking;
        }
    }

    /// The next delivery for every relay that is idle and behind. One for which the log can't be read has to wait.
    pub(super) fn pump(
        &mut self,
        store: &mut impl Store,
        log: &Log,
        meta: &Meta,
        members: usize,
        now_ms: u64,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (relay, feed) in &mut self.feeds {
            let wanted = feed.cursor < log.tip() || feed.belief == Belief::Asking;
            if feed.state != State::Idle || !wanted {
                continue;
            }
            let Ok(delivery) = delivery(store, log, meta, members, feed.cursor) else {
                feed.fail(now_ms);
                continue;
            };
            self.attempts += 1;
            feed.cursor = delivery.prior;
            feed.state = State::InFlight { attempt: self.attempts, through: delivery.through, sent_at_ms: now_ms };
            effects.push(Effect::Deliver { relay: relay.clone(), attempt: self.attempts, delivery });
        }
        effects
    }

    pub fn deadline(&self) -> Option<u64> {
        let due = |feed: &Feed| match feed.state {
            State::Idle => None,
            State::InFlight { sent_at_ms, .. } => Some(sent_at_ms + DELIVERY_TIMEOUT_MS),
            State::Waiting { until_ms } => Some(until_ms),
        };
        self.feeds.values().filter_map(due).min()
    }
}

/// Everything after a cursor, or after the gap that it fell into.
fn delivery(
    store: &mut impl Store,
    log: &Log,
    meta: &Meta,
    members: usize,
    cursor: Position,
) -> Result<Delivery, StoreError> {
    let prior = cursor.max(meta.floor);
    let piece = log.live_after(store, prior, DELIVERY_MAX_BYTES)?;
    Ok(Delivery {
        channel: meta.address.channel.clone(),
        series: meta.series.clone(),
        prior,
        through: piece.through,
        gap: prior > cursor,
        entries: piece.entries,
        members,
    })
}
