//! What a relay's connections publish on one channel: one call at a time, the rest merged into the next.
//!
//! After a call that carried many, the next waits until as many have come again, or a moment: what a message costs is
//! its share of a call, of a row, and of a frame to every reader, and more are on their way.
//!
//! One at a time keeps every connection's order even when a call fails and is sent again; the channel knows the repeat.
//! A client that lost its socket says all again that it was not told of, and each takes the place where it was said
//! first, or is given up: so all keep their order.

use std::collections::{BTreeMap, VecDeque};

use super::SocketId;
use super::outbox::Place;
use crate::base::pause;
use crate::limits::{BUSY_PUBLISHES, PUBLISH_CALL_MAX_BYTES};
use crate::model::name::ChannelName;
use crate::rpc::{ConnectionOutcome, Publish, Submission, Ticket};

/// The first pause after a call failed; doubled each time.
const RETRY_FIRST_MS: u64 = 50;
pub const RETRY_MAX_MS: u64 = 2_000;

/// Failures after which a call is halved each time.
const WHOLE_TRIES: u32 = 3;

/// What waits to be published, by channel.
#[derive(Debug, Default)]
pub struct Queue {
    pub publishers: BTreeMap<ChannelName, Publisher>,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Item {
    pub socket: SocketId,
    pub connection_id: String,
    /// Where its client waits for the outcome; nobody does for what the relay says itself.
    pub place: Option<Place>,
    pub publish: Publish,
    pub bytes: usize,
}

impl Item {
    /// Whether the same was said over another socket.
    fn is_copy_of(&self, other: &Item) -> bool {
        self.socket != other.socket
            && self.connection_id == other.connection_id
            && self.publish.key == other.publish.key
    }

    /// The outcome by which members of a connection leave that goes on.
    pub fn withdrawal(&self) -> Option<&ConnectionOutcome> {
        use ConnectionOutcome::{HereAs, Left};
        match &self.publish.content {
            Submission::ConnectionOutcome { outcome: outcome @ (HereAs(_) | Left), .. } => Some(outcome),
            _ => None,
        }
    }

    fn is_of(&self, socket: SocketId, connection_id: &str) -> bool {
        self.place.is_some() && self.socket == socket && self.connection_id == connection_id
    }
}

#[derive(Debug, Default)]
pub struct Publisher {
    queue: VecDeque<Item>,
    in_flight: Vec<Item>,
    state: State,
    failures: u32,
    /// When the call that is being repeated was first sent.
    first_sent_ms: u64,
}

/// What becomes of a call that failed.
#[derive(Debug, Default)]
pub struct Failed {
    /// These are to be refused.
    pub given_up: Vec<Item>,
    /// So many bytes were said again since, and are not kept twice.
    pub in_vain_bytes: usize,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Idle,
    InFlight(Ticket),
    /// Before the failed call is sent again.
    Waiting {
        until_ms: u64,
    },
    /// Before the next call, until so many wait.
    Collecting {
        until_ms: u64,
        enough: usize,
    },
}

impl Publisher {
    pub fn push(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    /// The same for what was perhaps said before over another socket: if it waits, this takes its place. Gives what was
    /// there.
    pub fn push_again(&mut self, item: Item) -> Option<Item> {
        if let Some(copy) = self.queue.iter_mut().find(|other| other.is_copy_of(&item)) {
            return Some(std::mem::replace(copy, item));
        }
        self.queue.push_back(item);
        None
    }

    /// Puts what was said again since into the place of these, before all that waits. Gives the others.
    fn said_again(&mut self, items: Vec<Item>, in_vain_bytes: &mut usize) -> Vec<Item> {
        let mut once = Vec::new();
        for item in items.into_iter().rev() {
            match self.queue.iter().position(|other| other.is_copy_of(&item)) {
                Some(at) => {
                    *in_vain_bytes += item.bytes;
                    let copy = self.queue.remove(at);
                    copy.into_iter().for_each(|copy| self.queue.push_front(copy));
                }
                None => once.push(item),
            }
        }
        once.reverse();
        once
    }

    /// Takes out what a connection said over a socket, as far as it waits.
    pub fn give_up(&mut self, socket: SocketId, connection_id: &str) -> Vec<Item> {
        let (given_up, left) = self.queue.drain(..).partition(|item| item.is_of(socket, connection_id));
        self.queue = left;
        given_up.into()
    }

    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && self.state == State::Idle
    }

    /// The publishes of the next call, if one may be sent now: those of a failed call again, or what waits.
    pub fn next(&mut self, ticket: Ticket, now_ms: u64) -> Option<Vec<Publish>> {
        match self.state {
            State::InFlight(_) => return None,
            State::Waiting { .. } if !self.is_due(now_ms) => return None,
            State::Collecting { enough, .. } if !self.is_due(now_ms) && self.queue.len() < enough => return None,
            State::Waiting { .. } if !self.in_flight.is_empty() => {}
            State::Waiting { .. } | State::Collecting { .. } | State::Idle => self.take(now_ms),
        }
        if self.in_flight.is_empty() {
            self.state = State::Idle;
            return None;
        }
        self.state = State::InFlight(ticket);
        Some(self.in_flight.iter().map(|item| item.publish.clone()).collect())
    }

    fn take(&mut self, now_ms: u64) {
        self.first_sent_ms = now_ms;
        let mut bytes = 0;
        while let Some(next) = self.queue.front() {
            bytes += next.bytes;
            if !self.in_flight.is_empty() && bytes > PUBLISH_CALL_MAX_BYTES {
                return;
            }
            self.in_flight.extend(self.queue.pop_front());
        }
    }

    /// The call was answered: its items, to be told. If there were many, the next call waits for more until then.
    pub fn answered(&mut self, ticket: Ticket, until_ms: u64) -> Vec<Item> {
        if self.state != State::InFlight(ticket) {
            return Vec::new();
        }
        let is_busy = self.in_flight.len() >= BUSY_PUBLISHES;
        // Who hears that all this is done publishes as much again, beside what waits.
        let enough = self.in_flight.len() + self.queue.len();
        let collecting = State::Collecting { until_ms, enough };
        self.state = if is_busy { collecting } else { State::Idle };
        self.failures = 0;
        std::mem::take(&mut self.in_flight)
    }

    /// The call failed: pause, then send it again, unless it has been tried for `try_ms`; then its items
    /// are given back to be refused. A call that goes on failing is halved: if the fault is in what one client
    /// publishes, the others do not share its fate.
    pub fn failed(&mut self, ticket: Ticket, now_ms: u64, try_ms: u64) -> Failed {
        let mut failed = Failed::default();
        if self.state != State::InFlight(ticket) {
            return failed;
        }
        if now_ms >= self.first_sent_ms + try_ms {
            let items = self.answered(ticket, now_ms);
            failed.given_up = self.said_again(items, &mut failed.in_vain_bytes);
            return failed;
        }
        let pause = (RETRY_FIRST_MS << self.failures.min(16)).min(RETRY_MAX_MS);
        self.failures += 1;
        if self.failures > WHOLE_TRIES {
            for item in self.in_flight.split_off(self.in_flight.len().div_ceil(2)).into_iter().rev() {
                let once = self.said_again(vec![item], &mut failed.in_vain_bytes);
                once.into_iter().for_each(|item| self.queue.push_front(item));
            }
        }
        self.state = State::Waiting { until_ms: now_ms + pause };
        failed
    }

    /// These were given up, and are to be said all the same, after a pause and before all that waits.
    pub fn insist(&mut self, items: Vec<Item>, now_ms: u64) {
        if !items.is_empty() && self.in_flight.is_empty() {
            self.state = State::Waiting { until_ms: now_ms + RETRY_MAX_MS };
        }
        items.into_iter().rev().for_each(|item| self.queue.push_front(item));
    }

    /// Whether what it waited for is over.
    pub fn is_due(&self, now_ms: u64) -> bool {
        match self.state {
            State::Waiting { until_ms } | State::Collecting { until_ms, .. } => {
                pause::is_over(until_ms, RETRY_MAX_MS, now_ms)
            }
            State::Idle | State::InFlight(_) => false,
        }
    }

    /// When a failed call is to be sent again.
    pub fn due_ms(&self) -> Option<u64> {
        match self.state {
            State::Waiting { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// When the next call is to be sent.
    pub fn collects_until_ms(&self) -> Option<u64> {
        match self.state {
            State::Collecting { until_ms, .. } => Some(until_ms),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Source;
    use crate::limits::BUSY_PAUSE_MS;
    use crate::relay::outbox::Outbox;
    use crate::rpc::PublishKey;

    fn item(socket: u32, msg_serial: u64) -> Item {
        let content = Submission::Messages(Vec::new());
        let publish = Publish { key: PublishKey::Serial(msg_serial), connection_id: None, by: Source::SERVER, content };
        let place = Some(Outbox::default().expect(msg_serial, 1));
        Item { socket: SocketId(socket), connection_id: "c".into(), place, publish, bytes: 1 }
    }

    fn publishers(publisher: &mut Publisher, count: usize) {
        (0..count as u64).for_each(|msg_serial| publisher.push(item(1, msg_serial)));
    }

    fn serials<'a>(publishes: impl IntoIterator<Item = &'a Publish>) -> Vec<u64> {
        let serial = |publish: &Publish| match publish.key {
            PublishKey::Serial(serial) => serial,
            _ => unreachable!("all are numbered"),
        };
        publishes.into_iter().map(serial).collect()
    }

    /// Storage fails until calls are halved, with four in flight.
    fn halved(publisher: &mut Publisher) -> Failed {
        let mut now_ms = 0;
        for ticket in 1.. {
            assert_eq!(sent(publisher, ticket, now_ms), Some(4));
            let failed = publisher.failed(Ticket(ticket), now_ms, 20_000);
            now_ms = publisher.due_ms().unwrap();
            if publisher.in_flight.len() < 4 {
                return failed;
            }
            assert!(failed.given_up.is_empty());
        }
        unreachable!("it goes on for ever")
    }

    fn waiting(publisher: &Publisher) -> Vec<(u32, u64)> {
        let at = |item: &Item| (item.socket.0, serials([&item.publish])[0]);
        publisher.queue.iter().map(at).collect()
    }

    /// The client comes back and says all again; then a half that is in flight is given up.
    #[test]
    fn what_is_said_again_keeps_its_order_though_some_of_it_is_given_up() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, 4);
        halved(&mut publisher);
        let replaced: Vec<_> = (0..4).filter_map(|serial| publisher.push_again(item(2, serial))).collect();
        assert_eq!(serials(replaced.iter().map(|item| &item.publish)), [2, 3], "the others are in flight");
        assert_eq!(waiting(&publisher), [(2, 2), (2, 3), (2, 0), (2, 1)]);
        assert_eq!(sent(&mut publisher, 9, 20_000), Some(2));
        let Failed { given_up, in_vain_bytes } = publisher.failed(Ticket(9), 20_000, 20_000);
        assert_eq!((given_up.len(), in_vain_bytes), (0, 2), "they are tried again for who says them now");
        assert_eq!(waiting(&publisher), [(2, 0), (2, 1), (2, 2), (2, 3)]);
    }

    #[test]
    fn what_is_said_again_while_it_is_in_flight_is_not_kept_twice() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, 4);
        sent(&mut publisher, 0, 0);
        publisher.state = State::Waiting { until_ms: 0 };
        assert!((0..4).all(|serial| publisher.push_again(item(2, serial)).is_none()));
        publisher.push(item(2, 4));
        assert_eq!(halved(&mut publisher).in_vain_bytes, 2);
        assert_eq!(waiting(&publisher), [(2, 2), (2, 3), (2, 0), (2, 1), (2, 4)]);
    }

    #[test]
    fn who_hears_of_nothing_is_given_up_as_a_whole() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, 2);
        publisher.push(Item { connection_id: "d".into(), ..item(7, 0) });
        publisher.push(Item { place: None, ..item(1, 5) });
        assert_eq!(publisher.give_up(SocketId(1), "c").len(), 2);
        assert_eq!(publisher.queue.len(), 2, "others, and what the relay says itself, are left");
    }

    fn sent(publisher: &mut Publisher, ticket: u64, now_ms: u64) -> Option<usize> {
        publisher.next(Ticket(ticket), now_ms).map(|publishes| publishes.len())
    }

    #[test]
    fn a_busy_channel_collects_before_the_next_call_and_a_quiet_one_does_not() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, BUSY_PUBLISHES);
        assert_eq!(sent(&mut publisher, 1, 100), Some(BUSY_PUBLISHES));
        publishers(&mut publisher, 2);
        assert_eq!(publisher.answered(Ticket(1), 110 + BUSY_PAUSE_MS).len(), BUSY_PUBLISHES);
        assert_eq!(publisher.collects_until_ms(), Some(110 + BUSY_PAUSE_MS));
        assert_eq!(sent(&mut publisher, 2, 110), None);
        publishers(&mut publisher, 1);
        assert_eq!(sent(&mut publisher, 3, 110 + BUSY_PAUSE_MS), Some(3));
        publisher.answered(Ticket(3), 120);
        assert_eq!(publisher.collects_until_ms(), None);
        publishers(&mut publisher, 1);
        assert_eq!(sent(&mut publisher, 4, 120), Some(1));
    }

    /// Without that some would circle apart from the others, each half in frames of its own.
    #[test]
    fn the_wait_is_over_when_all_have_come_again() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, BUSY_PUBLISHES);
        sent(&mut publisher, 1, 100);
        publishers(&mut publisher, 3);
        publisher.answered(Ticket(1), 110 + BUSY_PAUSE_MS);
        publishers(&mut publisher, BUSY_PUBLISHES - 1);
        assert_eq!(sent(&mut publisher, 2, 111), None);
        publishers(&mut publisher, 1);
        assert_eq!(sent(&mut publisher, 3, 111), Some(BUSY_PUBLISHES + 3));
    }

    #[test]
    fn a_publish_that_cannot_be_answered_takes_no_other_with_it() {
        const POISON: u64 = 37;
        let mut publisher = Publisher::default();
        publishers(&mut publisher, 64);
        let (mut now_ms, mut told, mut refused, mut sent) = (0, Vec::new(), Vec::new(), 0);
        while !publisher.is_done() {
            now_ms = publisher.due_ms().or(publisher.collects_until_ms()).unwrap_or(now_ms).max(now_ms) + 1;
            sent += 1;
            let Some(publishes) = publisher.next(Ticket(sent), now_ms) else { continue };
            let is_poisoned = publishes.iter().any(|publish| publish.key == PublishKey::Serial(POISON));
            let (found, items) = match is_poisoned {
                true => (&mut refused, publisher.failed(Ticket(sent), now_ms, 20_000).given_up),
                false => (&mut told, publisher.answered(Ticket(sent), now_ms + BUSY_PAUSE_MS)),
            };
            found.extend(serials(items.iter().map(|item| &item.publish)));
        }
        assert_eq!(refused, [POISON]);
        assert_eq!(told, (0..64).filter(|serial| *serial != POISON).collect::<Vec<_>>(), "in order");
        assert!(sent < 40, "{sent} calls");
    }

    /// Else a channel that falls quiet after a crowd would keep its publisher for good.
    #[test]
    fn who_collects_in_vain_is_done() {
        let mut publisher = Publisher::default();
        publishers(&mut publisher, BUSY_PUBLISHES);
        sent(&mut publisher, 1, 100);
        publisher.answered(Ticket(1), 110 + BUSY_PAUSE_MS);
        assert!(!publisher.is_done());
        assert_eq!(sent(&mut publisher, 2, 110 + BUSY_PAUSE_MS), None);
        assert!(publisher.is_done());
    }
}
