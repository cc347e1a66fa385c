//! The relays that this one feeds, where a channel has too many to feed them all itself.
//!
//! ```text
//!   channel ─┬─▶ relay 0 ─┬─▶ relay 1 ─▶ relays 17 … 32      who is above whom follows from their numbers alone
//!            ├─▶ …        ├─▶ …                              (see placement), so there can be no circle
//!            └─▶ relay 7  └─▶ relay 16
//! ```
//!
//! A relay asks the channel first, which says where it stands, and, if the channel feeds enough relays already, that
//! the relay above is to feed it from there. The relay above does it as a channel would, by the same [`Feeds`]: from
//! what it was itself delivered lately, or else from the channel's log. So who is fed here need not know by whom: it
//! takes what follows where it stands, and says where that is.
//!
//! Who is fed is stored before it is told so, and outlives the memory of the relay above, which then asks all where
//! they stand. It need have no clients of its own on the channel: it is fed as long as there is someone below.

use std::collections::{BTreeMap, VecDeque};

use super::calls::Pending;
use super::feed::Feed;
use super::{Effect, Relay};
use crate::base::pause;
use crate::error::Code;
use crate::limits::{
    BRANCH_RETRY_MS, BRANCH_TAIL_MAX_BYTES, BRANCHES_TAIL_MAX_BYTES, DELIVERY_MAX_BYTES, FOLLOWERS_MAX,
};
use crate::model::message::Entry;
use crate::model::name::ChannelName;
use crate::model::packed::Packed;
use crate::model::serial::Position;
use crate::rpc::feeds::{Feeding, Feeds};
use crate::rpc::placement;
use crate::rpc::{Answer, Delivered, Delivery, Follow, RelayName, Request, Response, Subscribed};

/// All that this relay feeds others.
#[derive(Debug, Default)]
pub struct Tree {
    pub branches: BTreeMap<ChannelName, Branch>,
    /// Bytes of all branches' tails.
    tail_bytes: usize,
    pub deliveries: Vec<Effect>,
}

/// The relays below that are fed one channel.
#[derive(Debug, Default)]
pub struct Branch {
    feeds: Feeds,
    tail: Tail,
    /// When to see whether this relay is fed by now. It wakes for that even if it loses its memory: nobody else would
    /// wake one that is not fed.
    subscribe_at_ms: Option<u64>,
}

/// What was delivered here last, piece by piece, without a gap.
#[derive(Debug, Default)]
struct Tail {
    from: Position,
    pieces: VecDeque<(Position, Packed)>,
    bytes: usize,
}

impl Relay {
    /// Feeds another relay from now on. The shell stores that before it answers.
    pub fn follow(&mut self, follow: &Follow, now_ms: u64) -> (Answer<Response>, Vec<Effect>) {
        self.now_ms = now_ms;
        let branch = self.tree.branches.entry(follow.channel.clone()).or_default();
        if !branch.feeds.contains(&follow.relay) && branch.feeds.len() >= usize::from(FOLLOWERS_MAX) {
            return (Err(Code::RateLimited.because("this relay feeds all that it can")), Vec::new());
        }
        branch.feeds.subscribe(follow.relay.clone(), follow.position);
        self.grow(&follow.channel);
        (Ok(Response::Followed), self.finish())
    }

    /// A relay that lost its memory has these to feed, as is stored. Follows [`Relay::restored`].
    pub fn lead(&mut self, followers: Vec<(ChannelName, RelayName)>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        for (channel, relay) in followers {
            let position = self.feeds.get(&channel).and_then(Feed::position).unwrap_or_default();
            self.tree.branches.entry(channel).or_default().feeds.remember(relay, position);
        }
        let channels: Vec<ChannelName> = self.tree.branches.keys().cloned().collect();
        for channel in &channels {
            self.feeds.get_mut(channel).into_iter().for_each(|feed| feed.reports.doubt());
            self.grow(channel);
            self.plan_report(channel);
        }
        self.finish()
    }

    /// Whether it has neither clients nor relays to feed, and says nothing for who has left.
    pub fn is_idle(&self) -> bool {
        !self.has_clients() && self.tree.branches.is_empty()
    }

    /// The answer to [`Effect::Deliver`], or that there was none.
    pub fn delivered(
        &mut self,
        channel: &ChannelName,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Delivered>,
        now_ms: u64,
    ) -> Vec<Effect> {
        self.now_ms = now_ms;
        // Where this relay doesn't know where it stands itself, it believes any other.
        let tip = self.feeds.get(channel).and_then(Feed::position).unwrap_or(Position(u64::MAX));
        let Some(branch) = self.tree.branches.get_mut(channel) else { return Vec::new() };
        if branch.feeds.answered(relay, attempt, answer, tip, self.now_ms) {
            let (channel, relay) = (channel.clone(), relay.clone());
            self.effects.push(Effect::Unfollowed { channel, relay });
        }
        self.grow(channel);
        self.finish()
    }

    /// Sees that this relay is fed for those below, and that they are. Without any it need not be.
    fn grow(&mut self, channel: &ChannelName) {
        if self.tree.branches.get(channel).is_some_and(|branch| branch.feeds.is_empty()) {
            self.drop_tail(channel);
            self.tree.branches.remove(channel);
            if self.feeds.get(channel).is_some_and(|feed| feed.members.is_empty()) {
                self.feeds.remove(channel);
            }
        }
        if !self.tree.branches.contains_key(channel) {
            return;
        }
        match (self.feeds.entry(channel.clone()).or_default().position(), self.tree.branches.get_mut(channel)) {
            (None, Some(branch)) => {
                branch.subscribe_at_ms = Some(self.now_ms + BRANCH_RETRY_MS);
                self.subscribe(channel);
            }
            _ => self.feed_branch(channel),
        }
    }

    /// What was delivered here, for those below; it is new from the entry `fresh` on. `prior` is where this relay
    /// stood.
    pub(super) fn extend_branch(
        &mut self,
        channel: &ChannelName,
        prior: Position,
        delivery: &Delivery,
        entries: &[Entry],
        fresh: usize,
    ) {
        let Some(branch) = self.tree.branches.get_mut(channel) else { return };
        if delivery.through <= prior {
            return;
        }
        let mut packed = Packed::default();
        match fresh {
            0 => packed = delivery.entries.clone(),
            _ => entries[fresh..].iter().for_each(|entry| packed.append(&Packed::one(entry))),
        }
        let before = branch.tail.bytes;
        branch.tail.append(prior, delivery.through, packed);
        self.tree.tail_bytes += branch.tail.bytes;
        self.tree.tail_bytes -= before;
        while branch.tail.bytes > BRANCH_TAIL_MAX_BYTES
            || self.tree.tail_bytes > BRANCHES_TAIL_MAX_BYTES && branch.tail.bytes > 0
        {
            self.tree.tail_bytes -= branch.tail.shorten();
        }
    }

    pub(super) fn drop_tail(&mut self, channel: &ChannelName) {
        if let Some(branch) = self.tree.branches.get_mut(channel) {
            self.tree.tail_bytes -= std::mem::take(&mut branch.tail).bytes;
        }
    }

    pub(super) fn feed_branch(&mut self, channel: &ChannelName) {
        let (Some(branch), Some(reached)) =
            (self.tree.branches.get_mut(channel), self.feeds.get(channel).and_then(|feed| feed.reached.clone()))
        else {
            return;
        };
        let Branch { feeds, tail, .. } = branch;
        let mut far_behind = Vec::new();
        let mut next = |relay: &RelayName, cursor: Position| {
            let Some((through, entries)) = tail.after(cursor, reached.position) else {
                far_behind.push((relay.clone(), cursor));
                return None;
            };
            let (channel, epoch) = (channel.clone(), reached.epoch.clone());
            Some(Delivery { channel, epoch, prior: cursor, through, gap: false, entries, members: reached.members })
        };
        let feedings = feeds.pump(reached.position, self.now_ms, &mut next);
        self.tree.deliveries.extend(feedings.into_iter().map(deliver));
        for (relay, position) in far_behind {
            self.call(channel, Pending::Fill(channel.clone(), relay), Request::Next(position));
        }
    }

    /// What the log has for one that is far behind. When no answer came, its feed's retry asks for it again.
    pub(super) fn fill(&mut self, channel: &ChannelName, relay: &RelayName, delivery: Delivery) {
        let Some(branch) = self.tree.branches.get_mut(channel) else { return };
        self.tree.deliveries.extend(branch.feeds.send(relay, delivery, self.now_ms).map(deliver));
    }

    /// The channel said where this relay stands.
    pub(super) fn placed(&mut self, channel: &ChannelName, position: Position) {
        if let Some(branch) = self.tree.branches.get_mut(channel) {
            branch.subscribe_at_ms = None;
            branch.feeds.assume(position);
            self.feed_branch(channel);
        }
    }

    /// The channel feeds enough relays: asks the one above.
    pub(super) fn follow_above(&mut self, channel: ChannelName, subscribed: Subscribed) {
        let Some(above) = placement::above(&self.name) else {
            return self.subscribe_failed(&channel, &Code::InternalChannel.into());
        };
        let follow = Follow { channel: channel.clone(), relay: self.name.clone(), position: subscribed.position };
        let ticket = self.calls.next_ticket();
        self.calls.begin(ticket, Pending::Follow(channel, subscribed), self.now_ms);
        self.effects.push(Effect::Follow { ticket, above, follow });
    }

    pub(super) fn tick_branches(&mut self) {
        let channels: Vec<ChannelName> = self.tree.branches.keys().cloned().collect();
        for channel in channels {
            let Some(branch) = self.tree.branches.get_mut(&channel) else { continue };
            branch.feeds.tick(self.now_ms);
            branch.subscribe_at_ms =
                branch.subscribe_at_ms.filter(|at_ms| !pause::is_over(*at_ms, BRANCH_RETRY_MS, self.now_ms));
            match branch.subscribe_at_ms {
                None => self.grow(&channel),
                Some(_) => self.feed_branch(&channel),
            }
        }
    }

    /// Whether a relay below has not said that it has all it was sent.
    pub fn owes_delivery(&self) -> bool {
        self.tree.branches.values().any(|branch| branch.feeds.owe())
    }

    pub(super) fn branches_due_ms(&self) -> Option<u64> {
        let due = |branch: &Branch| branch.feeds.deadline().into_iter().chain(branch.subscribe_at_ms).min();
        self.tree.branches.values().filter_map(due).min()
    }
}

fn deliver(Feeding { relay, attempt, delivery }: Feeding) -> Effect {
    Effect::Deliver { relay, attempt, delivery }
}

impl Tail {
    /// A piece that follows `prior`. When that is not where the tail ends, it begins anew.
    fn append(&mut self, prior: Position, through: Position, entries: Packed) {
        if self.pieces.back().is_none_or(|(end, _)| *end != prior) {
            *self = Tail { from: prior, ..Tail::default() };
        }
        self.bytes += entries.len();
        self.pieces.push_back((through, entries));
    }

    /// Lets the oldest piece go; gives its bytes.
    fn shorten(&mut self) -> usize {
        let Some((through, entries)) = self.pieces.pop_front() else { return 0 };
        self.from = through;
        self.bytes -= entries.len();
        entries.len()
    }

    /// What follows a cursor, and through where, if it is here. It may begin with entries from before the cursor.
    fn after(&self, cursor: Position, tip: Position) -> Option<(Position, Packed)> {
        if cursor >= tip {
            return Some((tip, Packed::default()));
        }
        if cursor < self.from {
            return None;
        }
        let mut found: Option<(Position, Packed)> = None;
        for (through, piece) in self.pieces.iter().filter(|(through, _)| *through > cursor) {
            match &mut found {
                Some((_, entries)) if entries.len() + piece.len() > DELIVERY_MAX_BYTES => break,
                Some((end, entries)) => {
                    *end = *through;
                    entries.append(piece);
                }
                None => found = Some((*through, piece.clone())),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(letter: u8, bytes: usize) -> Packed {
        Packed::from_bytes(vec![letter; bytes])
    }

    fn found(tail: &Tail, cursor: u64, tip: u64) -> Option<(u64, usize)> {
        tail.after(Position(cursor), Position(tip)).map(|(through, entries)| (through.0, entries.len()))
    }

    #[test]
    fn a_tail_gives_what_follows_a_cursor_in_deliveries_of_bounded_size() {
        let mut tail = Tail::default();
        tail.append(Position(10), Position(20), piece(b'a', 5));
        tail.append(Position(20), Position(30), piece(b'b', DELIVERY_MAX_BYTES));
        tail.append(Position(30), Position(40), piece(b'c', 7));
        assert_eq!(found(&tail, 40, 40), Some((40, 0)));
        assert_eq!(found(&tail, 35, 40), Some((40, 7)));
        assert_eq!(found(&tail, 10, 40), Some((20, 5)));
        assert_eq!(found(&tail, 20, 40), Some((30, DELIVERY_MAX_BYTES)));
        assert_eq!(found(&tail, 9, 40), None, "not here any more");
        assert_eq!(found(&tail, 40, 50), None, "not here yet");
        assert_eq!(tail.shorten(), 5);
        assert_eq!((found(&tail, 19, 40), found(&tail, 20, 40)), (None, Some((30, DELIVERY_MAX_BYTES))));
    }

    #[test]
    fn a_tail_has_no_gap() {
        let mut tail = Tail::default();
        tail.append(Position(10), Position(20), piece(b'a', 5));
        tail.append(Position(25), Position(30), piece(b'b', 6));
        assert_eq!((found(&tail, 10, 30), found(&tail, 25, 30), tail.bytes), (None, Some((30, 6)), 6));
    }
}
