//! Calls to channels and relays that are not answered yet, and what each was for.

use std::collections::VecDeque;

use super::replay::Read;
use super::sync::Subject;
use crate::base::maps::HashMap;
use crate::limits::CALL_ANSWER_MS;
use crate::model::name::ChannelName;
use crate::rpc::Ticket;
use crate::rpc::{ReadFrom, RelayName, Request, Subscribed};

/// What a call in flight was for.
#[derive(Debug)]
pub enum Pending {
    Publish(ChannelName),
    Subscribe(ChannelName),
    Follow(ChannelName, Subscribed),
    Read(Read),
    /// What the log has for a relay below.
    Fill(ChannelName, RelayName),
    Sync(Subject),
    Report(ChannelName),
    /// Telling of connections that began or ended.
    Lives,
}

#[derive(Debug, Default)]
pub struct Calls {
    pending: HashMap<Ticket, Pending>,
    /// When calls began, from the oldest in flight on. Some behind it may be answered.
    begun: VecDeque<(u64, Ticket)>,
    /// Questions that clients wait for and that may be asked again, of which each is asked once more at most.
    again: HashMap<Ticket, (ChannelName, Request)>,
    last_ticket: u64,
}

impl Calls {
    pub fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// Keeps what is asked, if it is to be asked once more when it fails. The others are repeated by who asks them, or
    /// need not be.
    pub fn keep(&mut self, ticket: Ticket, channel: &ChannelName, request: &Request) {
        if let Request::Subscribe(..) | Request::Read(_) | Request::Members(_) | Request::Objects(_) = request {
            self.again.insert(ticket, (channel.clone(), request.clone()));
        }
    }

    /// The question to ask again after a call that failed without an answer. The next answer is one to both.
    pub fn again(&mut self, ticket: Ticket) -> Option<(ChannelName, Request)> {
        self.again.remove(&ticket)
    }

    pub fn begin(&mut self, ticket: Ticket, pending: Pending, now_ms: u64) {
        self.pending.insert(ticket, pending);
        self.begun.push_back((now_ms, ticket));
    }

    /// What the call was for; `None` when its answer comes too late.
    pub fn end(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        self.again.remove(&ticket);
        while self.begun.pop_front_if(|(_, ticket)| !self.pending.contains_key(ticket)).is_some() {}
        Some(pending)
    }

    /// One that stays unanswered for too long. All may take as long, so the oldest is the first.
    pub fn overdue(&self, now_ms: u64) -> Option<Ticket> {
        let (began_ms, ticket) = self.begun.front()?;
        (now_ms.abs_diff(*began_ms) >= CALL_ANSWER_MS).then_some(*ticket)
    }

    pub fn due_ms(&self) -> Option<u64> {
        self.begun.front().map(|(began_ms, _)| began_ms + CALL_ANSWER_MS)
    }

    /// Whether the channel, or the relay above, was asked to feed this one.
    pub fn is_subscribing(&self, owner: &ChannelName) -> bool {
        self.pending.values().any(|pending| match pending {
            Pending::Subscribe(channel) | Pending::Follow(channel, _) => channel == owner,
            _ => false,
        })
    }

    /// What a call reads.
    pub fn read(&self, ticket: Ticket) -> Option<&Read> {
        match self.pending.get(&ticket)? {
            Pending::Read(read) => Some(read),
            _ => None,
        }
    }

    /// The call that reads the same, if there is one: its answer is for all who need it.
    pub fn reading(&mut self, owner: &ChannelName, from: &ReadFrom) -> Option<(Ticket, &mut Read)> {
        self.pending.iter_mut().find_map(|(ticket, pending)| match pending {
            Pending::Read(read) if read.owner == *owner && read.from == *from => Some((*ticket, read)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unanswered_call_is_the_first_to_be_given_up() {
        let mut calls = Calls::default();
        let room = || Pending::Publish(ChannelName::parse("room").unwrap());
        let [first, second, third] = [0; 3].map(|_| calls.next_ticket());
        for (ticket, began_ms) in [(first, 0), (second, 10), (third, 20)] {
            calls.begin(ticket, room(), began_ms);
        }
        assert!(calls.end(first).is_some() && calls.end(first).is_none());
        assert_eq!(calls.due_ms(), Some(10 + CALL_ANSWER_MS));
        assert_eq!(calls.overdue(9 + CALL_ANSWER_MS), None);
        assert_eq!(calls.overdue(10 + CALL_ANSWER_MS), Some(second));
        assert!(calls.end(second).is_some());
        assert_eq!(calls.overdue(10 + CALL_ANSWER_MS), None);
        assert!(calls.end(third).is_some());
        assert_eq!(calls.due_ms(), None);
    }
}
