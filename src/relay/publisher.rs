//! What a relay's connections publish on one channel: one call at a time, the rest merged into the next.
//!
//! One at a time keeps every connection's order even when a call fails and is sent again; the channel knows the repeat.

use std::collections::VecDeque;

use super::SocketId;
use crate::call::Publish;
use crate::channel::Ticket;
use crate::limits::PUBLISH_CALL_MAX_BYTES;

/// The first pause after a call failed; doubled each time.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 2_000;

#[derive(Debug)]
pub struct Item {
    pub socket: SocketId,
    pub connection_id: String,
    /// By what its client is told; nobody waits for what the relay says itself.
    pub msg_serial: Option<u64>,
    pub publish: Publish,
    pub bytes: usize,
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

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Idle,
    InFlight(Ticket),
    Waiting {
        until_ms: u64,
    },
}

impl Publisher {
    pub fn push(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    pub fn is_done(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }

    /// The publishes of the next call, if one may be sent now: those of a failed call again, or what waits.
    pub fn next(&mut self, ticket: Ticket, now_ms: u64) -> Option<Vec<Publish>> {
        match self.state {
            State::InFlight(_) => return None,
            State::Waiting { until_ms } if until_ms > now_ms => return None,
            State::Waiting { .. } => {}
            State::Idle => self.take(now_ms),
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

    /// The call was answered: its items, to be told.
    pub fn answered(&mut self, ticket: Ticket) -> Vec<Item> {
        if self.state != State::InFlight(ticket) {
            return Vec::new();
        }
        self.state = State::Idle;
        self.failures = 0;
        std::mem::take(&mut self.in_flight)
    }

    /// The call failed: pause, then send it again, unless it has been tried since before `give_up_ms`; then its items are
    /// given back to be refused.
    pub fn failed(&mut self, ticket: Ticket, now_ms: u64, try_ms: u64) -> Vec<Item> {
        if self.state != State::InFlight(ticket) {
            return Vec::new();
        }
        if now_ms >= self.first_sent_ms + try_ms {
            return self.answered(ticket);
        }
        let pause = (RETRY_FIRST_MS << self.failures.min(16)).min(RETRY_MAX_MS);
        self.failures += 1;
        self.state = State::Waiting { until_ms: now_ms + pause };
        Vec::new()
    }

    pub fn due_ms(&self) -> Option<u64> {
        match self.state {
            State::Waiting { until_ms } => Some(until_ms),
            State::Idle | State::InFlight(_) => None,
        }
    }
}
