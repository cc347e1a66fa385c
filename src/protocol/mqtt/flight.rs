//! What a client was sent and has not acknowledged, and what waits until it may be sent.
//!
//! A client acknowledges in the order in which it was sent; one that does not is believed for what lies in between only
//! when that is acknowledged too. Of this, no more is stored than in which block of packet ids the last is. When its
//! object loses its memory, a session that is to be kept is told to come back, and has what follows the last that is
//! known to be acknowledged; another goes on with ids that its client has not seen.

use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::limits::MQTT_WINDOW;
use crate::model::serial::Position;

/// One message on its way: in which channel, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub packet_id: u16,
    pub channel: Rc<str>,
    pub position: Position,
}

#[derive(Clone, Debug, Default)]
pub struct Flight {
    sent: VecDeque<(Sent, bool)>,
    waiting: VecDeque<Queued>,
    /// Bytes of what waits.
    waiting_bytes: usize,
    last_id: u16,
    /// What an earlier connection was sent and did not acknowledge: it keeps its packet ids.
    before: Vec<Sent>,
}

/// A message that has no packet id yet, or needs none and follows one that waits.
#[derive(Clone, Debug)]
pub struct Queued {
    pub channel: Rc<str>,
    pub position: Position,
    /// The packet, with room for a packet id at this place.
    pub packet: Vec<u8>,
    pub id_at: Option<usize>,
}

/// Of a block of packet ids, all are taken for used where only the block is known. It ends with these bits.
const BLOCK: u16 = 0xff;

/// Nothing of it is kept with the session, and so no change of it is one to keep.
impl PartialEq for Flight {
    fn eq(&self, _: &Flight) -> bool {
        true
    }
}

impl Flight {
    pub fn after(mut before: Vec<Sent>) -> Flight {
        before.truncate(MQTT_WINDOW);
        let last_id = before.iter().map(|sent| sent.packet_id).max().unwrap_or(0);
        Flight { before, last_id, ..Flight::default() }
    }

    /// Behind those that may have been used.
    pub fn behind(packet_ids: u16) -> Flight {
        Flight { last_id: packet_ids, ..Flight::default() }
    }

    /// Up to which packet ids may have been used: the end of a block, or 0.
    pub fn packet_ids(&self) -> u16 {
        if self.last_id == 0 { 0 } else { self.last_id | BLOCK }
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether something waits that may not be sent yet.
    pub fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn push(&mut self, waiting: Queued) {
        self.waiting_bytes += waiting.packet.len();
        self.waiting.push_back(waiting);
    }

    /// The client has this message.
    pub fn acknowledge(&mut self, packet_id: u16) {
        let found = self.sent.iter_mut().find(|(sent, done)| sent.packet_id == packet_id && !done);
        let Some((_, done)) = found else { return };
        *done = true;
        while self.sent.front().is_some_and(|(_, done)| *done) {
            self.sent.pop_front();
        }
    }

    /// What may be sent now, with so many on their way at most.
    pub fn release(&mut self, most: usize) -> Vec<u8> {
        let mut packets = Vec::new();
        while let Some(mut next) = self.waiting.pop_front() {
            if let Some(at) = next.id_at {
                // Also those behind the first that is not acknowledged: a client does so in their order, and what it
                // holds back must not pile up here.
                if self.sent.len() >= most {
                    self.waiting.push_front(next);
                    break;
                }
                self.number(&mut next, at);
            }
            self.waiting_bytes -= next.packet.len();
            packets.extend(next.packet);
        }
        packets
    }

    fn number(&mut self, next: &mut Queued, at: usize) {
        let again = self.before.iter().position(|sent| sent.channel == next.channel && sent.position == next.position);
        let packet_id = match again {
            Some(index) => {
                next.packet[0] |= DUPLICATE;
                self.before.remove(index).packet_id
            }
            None => self.fresh_id(),
        };
        next.packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        let sent = Sent { packet_id, channel: next.channel.clone(), position: next.position };
        self.sent.push_back((sent, false));
    }

    /// One that is not used. There are far more than may be on their way, now and before.
    fn fresh_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.is_used(self.last_id) {
                return self.last_id;
            }
        }
    }

    fn is_used(&self, packet_id: u16) -> bool {
        self.sent.iter().any(|(sent, done)| sent.packet_id == packet_id && !done)
            || self.before.iter().any(|sent| sent.packet_id == packet_id)
    }

    /// A channel is left: what waits of it is not sent any more.
    pub fn drop_channel(&mut self, channel: &str) {
        self.waiting.retain(|waiting| *waiting.channel != *channel);
        self.waiting_bytes = self.waiting.iter().map(|waiting| waiting.packet.len()).sum();
        self.before.retain(|sent| *sent.channel != *channel);
    }

    /// Before which message of a channel everything is acknowledged, if something of it is not.
    pub fn first_of(&self, channel: &str) -> Option<Position> {
        let sent = self.sent.iter().map(|(sent, _)| (&*sent.channel, sent.position));
        let waiting = self.waiting.iter().map(|waiting| (&*waiting.channel, waiting.position));
        sent.chain(waiting).filter(|(of, _)| *of == channel).map(|(_, position)| position).min()
    }

    /// Messages that the next connection of the session may be sent again, of the channels that it has.
    pub fn unacknowledged(&self, has: impl Fn(&str) -> bool) -> Vec<Sent> {
        let sent = self.sent.iter().filter(|(_, done)| !done).map(|(sent, _)| sent);
        sent.chain(&self.before).filter(|sent| has(&sent.channel)).take(MQTT_WINDOW).cloned().collect()
    }
}

const DUPLICATE: u8 = 0x08;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn waiting(channel: &str, position: u64) -> Queued {
        let packet = vec![0x32, 3, 0, 0, position as u8];
        Queued { channel: channel.into(), position: Position(position), packet, id_at: Some(2) }
    }

    fn flight(positions: std::ops::Range<u64>) -> Flight {
        let mut flight = Flight::default();
        positions.for_each(|position| flight.push(waiting("a", position)));
        flight
    }

    #[test]
    fn so_many_are_on_their_way() {
        let mut flight = flight(1..5);
        assert_eq!(flight.release(2), [0x32, 3, 0, 1, 1, 0x32, 3, 0, 2, 2]);
        assert!(flight.is_full() && !flight.is_empty());
        assert_eq!(flight.release(2), [0_u8; 0]);
        // The first was never sent, and the last is acknowledged already.
        [9, 1, 1].into_iter().for_each(|packet_id| flight.acknowledge(packet_id));
        assert_eq!(flight.release(2), [0x32, 3, 0, 3, 3]);
        [2, 3].into_iter().for_each(|packet_id| flight.acknowledge(packet_id));
        assert_eq!(flight.release(2), [0x32, 3, 0, 4, 4]);
        flight.acknowledge(4);
        assert!(!flight.is_full() && flight.is_empty());
    }

    #[test]
    fn who_never_acknowledges_the_first_is_sent_no_more_than_may_be_on_their_way() {
        let mut flight = flight(1..9);
        flight.release(3);
        [2, 3].into_iter().for_each(|packet_id| flight.acknowledge(packet_id));
        assert_eq!((flight.release(3), flight.sent.len()), (Vec::new(), 3));
        flight.acknowledge(1);
        assert_eq!(flight.release(3).len(), 3 * 5);
    }

    #[test]
    fn what_lies_before_the_first_that_is_missing_is_known() {
        let mut flight = flight(1..4);
        flight.release(9);
        assert_eq!(flight.first_of("a"), Some(Position(1)));
        flight.acknowledge(2);
        assert_eq!(flight.first_of("a"), Some(Position(1)), "not in order");
        flight.acknowledge(1);
        assert_eq!((flight.first_of("a"), flight.first_of("b")), (Some(Position(3)), None));
    }

    #[test]
    fn what_is_sent_again_says_so_and_keeps_its_number() {
        let mut first = flight(1..4);
        first.release(9);
        first.acknowledge(1);
        let mut again = Flight::after(first.unacknowledged(|_| true));
        (2..5).for_each(|position| again.push(waiting("a", position)));
        assert_eq!(again.release(9), [0x3a, 3, 0, 2, 2, 0x3a, 3, 0, 3, 3, 0x32, 3, 0, 4, 4]);
    }

    #[test]
    fn numbers_begin_again_and_pass_what_is_used() {
        let mut flight = flight(1..2);
        flight.release(1);
        flight.last_id = u16::MAX - 1;
        (2..4).for_each(|position| flight.push(waiting("a", position)));
        flight.release(9);
        let ids: Vec<u16> = flight.unacknowledged(|_| true).iter().map(|sent| sent.packet_id).collect();
        assert_eq!(ids, [1, u16::MAX, 2]);
    }

    #[test]
    fn what_needs_no_acknowledgement_keeps_its_place() {
        let mut flight = flight(1..3);
        flight.push(Queued { id_at: None, packet: vec![0x30], ..waiting("b", 1) });
        assert_eq!(flight.release(1), [0x32, 3, 0, 1, 1]);
        flight.drop_channel("a");
        assert_eq!(flight.release(1), [0x30]);
    }

    #[test]
    fn of_what_was_not_acknowledged_before_so_much_is_remembered() {
        let before = (1..=u16::MAX).map(|packet_id| Sent { packet_id, channel: "a".into(), position: Position(1) });
        let mut again = Flight::after(before.collect());
        again.push(waiting("b", 1));
        assert_eq!(again.release(9).len(), 5, "and a packet id is free");
        assert_eq!(again.unacknowledged(|_| true).len(), MQTT_WINDOW);
        assert_eq!(again.unacknowledged(|channel| channel == "b").len(), 1);
    }

    #[test]
    fn packet_ids_are_known_by_blocks() {
        let mut flight = Flight::default();
        assert_eq!(flight.packet_ids(), 0);
        let mut blocks = BTreeSet::new();
        for position in 0..600 {
            flight.push(waiting("room", position));
            let packet = flight.release(1);
            let packet_id = u16::from_be_bytes([packet[2], packet[3]]);
            assert!(packet_id <= flight.packet_ids());
            blocks.insert(flight.packet_ids());
            flight.acknowledge(packet_id);
        }
        assert_eq!(blocks, [0xff, 0x1ff, 0x2ff].into());
        for (block, next) in [(0x2ff, 0x300), (u16::MAX, 1)] {
            let mut flight = Flight::behind(block);
            flight.push(waiting("room", 0));
            assert_eq!(flight.release(1)[2..4], u16::to_be_bytes(next));
        }
    }
}
