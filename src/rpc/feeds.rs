//! The relays that a channel feeds, or another relay on its behalf: a cursor each, at most one delivery in flight each.
//!
//! What is published while a delivery is in flight is merged into the next, so a busy channel sends few, full frames
//! and a quiet one sends at once. A relay answers where it stands, and that alone moves its cursor: a lost delivery, a
//! lost answer, a repeat or a rebuilt feeder all come down to sending again from where the relay says it is. A relay is
//! never given up for its silence, only for its word that nobody listens there.
//!
//! What a relay publishes itself comes back to it with the answer, so that a lone message takes one call. That is taken
//! to arrive, until the relay's next publish or a probe says whether it did.
//!
//! ```text
//!            publish                    answer At(p)
//!   idle ───────────────▶ in flight ───────────────────▶ idle, cursor = p
//!     ▲                       │ no answer
//!     └──── retry is due ◀────┘ (backoff)
//! ```

use crate::base::maps::SortedMap;
use crate::base::pause;
use crate::limits::{CARRIED_CHECK_MS, DELIVERY_RETRY_MAX_MS, DELIVERY_TIMEOUT_MS};
use crate::model::serial::Position;
use crate::rpc::{Delivered, Delivery, RelayName, Standing};

/// The first pause after a relay didn't answer; doubled each time.
const RETRY_FIRST_MS: u64 = 100;

#[derive(Debug, Default)]
pub struct Feeds {
    feeds: SortedMap<RelayName, Feed>,
    attempts: u64,
}

#[derive(Debug)]
struct Feed {
    /// Where the relay stands, as far as is known.
    cursor: Position,
    state: State,
    failures: u32,
    progress: Progress,
    /// Attempts before this one belong to an earlier subscription; their word that nobody listens is out of date.
    since: u64,
}

/// How the cursor is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    /// The relay said so.
    Replicated,
    /// The feeder woke without memory: the next delivery will tell.
    Assumed,
    /// It was awake for a while and still doesn't know: ask, even with nothing to send.
    Probing,
    /// An answer carries it. Ask from then on, if the relay doesn't say so before.
    Carried { check_at_ms: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    InFlight { attempt: u64, through: Position, sent_at_ms: u64 },
    Waiting { until_ms: u64 },
}

/// One delivery on its way. Its answer, or that there was none, goes to [`Feeds::answered`] with the same attempt.
#[derive(Debug)]
pub struct Feeding {
    pub relay: RelayName,
    pub attempt: u64,
    pub delivery: Delivery,
}

impl Feed {
    /// Takes the relay's word. One that stays where it was, though it was sent more, gets a pause.
    fn settle(&mut self, position: Position, through: Position, now_ms: u64) {
        if position == self.cursor && through > position {
            return self.fail(now_ms);
        }
        self.cursor = position;
        self.failures = 0;
        self.progress = Progress::Replicated;
    }

    fn send(&mut self, relay: &RelayName, delivery: Delivery, attempts: &mut u64, now_ms: u64) -> Feeding {
        *attempts += 1;
        self.cursor = delivery.prior;
        self.state = State::InFlight { attempt: *attempts, through: delivery.through, sent_at_ms: now_ms };
        Feeding { relay: relay.clone(), attempt: *attempts, delivery }
    }

    /// When to ask whether what an answer carried has arrived.
    fn check_at_ms(&self) -> Option<u64> {
        match self.progress {
            Progress::Carried { check_at_ms } if self.state == State::Idle => Some(check_at_ms),
            _ => None,
        }
    }

    fn fail(&mut self, now_ms: u64) {
        self.failures += 1;
        let pause = (RETRY_FIRST_MS << self.failures.min(16)).min(DELIVERY_RETRY_MAX_MS);
        self.state = State::Waiting { until_ms: now_ms + pause };
    }
}

impl Feeds {
    /// The feeds of one that lost its memory. Where each relay stands is not known; the tip is the best guess, since
    /// who feeds only sleeps when all are fed.
    pub fn restore(relays: Vec<RelayName>, tip: Position) -> Feeds {
        let mut feeds = Feeds::default();
        relays.into_iter().for_each(|relay| feeds.remember(relay, tip));
        feeds
    }

    /// One of a feeder that lost its memory.
    pub fn remember(&mut self, relay: RelayName, tip: Position) {
        let feed = Feed { cursor: tip, state: State::Idle, failures: 0, progress: Progress::Assumed, since: 0 };
        self.feeds.insert(relay, feed);
    }

    pub fn len(&self) -> usize {
        self.feeds.len()
    }

    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    pub fn contains(&self, relay: &RelayName) -> bool {
        self.feeds.contains_key(relay)
    }

    pub fn relays(&self) -> Vec<RelayName> {
        self.feeds.keys().cloned().collect()
    }

    /// The relay says that nobody is there; the next delivery will tell whether it is so.
    pub fn doubt(&mut self, relay: &RelayName) {
        if let Some(feed) = self.feeds.get_mut(relay) {
            feed.progress = Progress::Probing;
        }
    }

    /// Where a relay says that it stands, of which that is not sure. A delivery that is on its way will tell more.
    pub fn stands(&mut self, standing: &Standing, tip: Position) {
        let feed = self.feeds.get_mut(&standing.relay).filter(|feed| feed.state == State::Idle);
        if let Some(feed) = feed.filter(|feed| matches!(feed.progress, Progress::Carried { .. } | Progress::Assumed)) {
            feed.cursor = standing.position.min(tip);
            feed.progress = Progress::Replicated;
        }
    }

    /// This delivery goes with an answer, not by a call of its own. Gives whether it does: where there is doubt that
    /// anybody listens, only a call will tell.
    pub fn carried(&mut self, relay: &RelayName, delivery: &Delivery, now_ms: u64) -> bool {
        let Some(feed) = self.feeds.get_mut(relay).filter(|feed| feed.progress != Progress::Probing) else {
            return false;
        };
        (feed.cursor, feed.state) = (delivery.through, State::Idle);
        feed.progress = Progress::Carried { check_at_ms: now_ms + CARRIED_CHECK_MS };
        true
    }

    /// When [`Feeds::pump`] has to ask relays where they stand.
    pub fn checks_at_ms(&self) -> Option<u64> {
        self.feeds.values().filter_map(Feed::check_at_ms).min()
    }

    /// Feeds a relay from `tip`. One that is fed already keeps its cursor: the call may be an old one that comes late,
    /// and the relay behind `tip`; if it is not, it says so.
    pub fn subscribe(&mut self, relay: RelayName, tip: Position) {
        let since = self.attempts + 1;
        let begun = Feed { cursor: tip, state: State::Idle, failures: 0, progress: Progress::Replicated, since };
        let feed = self.feeds.get_or_insert(relay, begun);
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
            match &mut feed.state {
                State::InFlight { sent_at_ms, .. } => {
                    *sent_at_ms = now_ms.min(*sent_at_ms);
                    if *sent_at_ms + DELIVERY_TIMEOUT_MS <= now_ms {
                        feed.fail(now_ms);
                    }
                }
                State::Waiting { until_ms } if pause::is_over(*until_ms, DELIVERY_RETRY_MAX_MS, now_ms) => {
                    feed.state = State::Idle;
                }
                _ => {}
            }
        }
        for feed in self.feeds.values_mut().filter(|feed| feed.progress == Progress::Assumed) {
            feed.progress = Progress::Probing;
        }
    }

    /// The next delivery for every relay that is idle and behind. `next` gives what follows a cursor; one for which it
    /// gives nothing has to wait.
    pub fn pump(
        &mut self,
        tip: Position,
        now_ms: u64,
        next: &mut dyn FnMut(&RelayName, Position) -> Option<Delivery>,
    ) -> Vec<Feeding> {
        let mut feedings = Vec::new();
        for (relay, feed) in self.feeds.iter_mut() {
            if feed.check_at_ms().is_some_and(|at_ms| pause::is_over(at_ms, CARRIED_CHECK_MS, now_ms)) {
                feed.progress = Progress::Probing;
            }
            let wanted = feed.cursor < tip || feed.progress == Progress::Probing;
            if feed.state != State::Idle || !wanted {
                continue;
            }
            match next(relay, feed.cursor) {
                Some(delivery) => feedings.push(feed.send(relay, delivery, &mut self.attempts, now_ms)),
                None => feed.fail(now_ms),
            }
        }
        feedings
    }

    /// Delivers what had to be waited for, unless something else is on its way.
    pub fn send(&mut self, relay: &RelayName, delivery: Delivery, now_ms: u64) -> Option<Feeding> {
        let feed = self.feeds.get_mut(relay).filter(|feed| !matches!(feed.state, State::InFlight { .. }))?;
        Some(feed.send(relay, delivery, &mut self.attempts, now_ms))
    }

    /// Those of whom it isn't known where they stand are taken to stand here.
    pub fn assume(&mut self, tip: Position) {
        for feed in self.feeds.values_mut().filter(|feed| feed.progress != Progress::Replicated) {
            feed.cursor = tip;
            feed.progress = Progress::Probing;
        }
    }

    /// Whether a relay has not said that it has all it was sent. What an answer carries is asked for again by who made
    /// the call.
    pub fn owe(&self) -> bool {
        self.feeds.values().any(|feed| feed.state != State::Idle)
    }

    pub fn deadline(&self) -> Option<u64> {
        let due = |feed: &Feed| match feed.state {
            // For when the timer goes with the memory.
            State::Idle => feed.check_at_ms().map(|at_ms| at_ms + DELIVERY_TIMEOUT_MS),
            State::InFlight { sent_at_ms, .. } => Some(sent_at_ms + DELIVERY_TIMEOUT_MS),
            State::Waiting { until_ms } => Some(until_ms),
        };
        self.feeds.values().filter_map(due).min()
    }
}
