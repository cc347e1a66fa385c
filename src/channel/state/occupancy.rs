//! How many are on the channel, over all relays (protocol.md § 16.4).
//!
//! Each relay knows whom it has. A channel asks all of them for whoever asks it, so that its answer is true when it is
//! given; who asks meanwhile waits for the next round. While somebody listens, relays say by themselves when something
//! changed, at bounded pace, and all are asked now and then: one that died says nothing. The sum goes to the relays
//! that have listeners, and is kept nowhere.

use super::State;
use crate::base::pause;
use crate::channel::store::{Store, StoreError, Stored};
use crate::channel::{Channel, Effect, Meta, Ticket};
use crate::error::Code;
use crate::limits::{
    ACTIVE_MS, COUNTS_WAITING_MAX, OCCUPANCY_FLIP_MS, OCCUPANCY_INTERVAL_MS, PROBE_ANSWER_MS, PROBE_INTERVAL_MS,
};
use crate::rpc::{Answer, Counts, LocalOccupancy, Occupancy, Probe, RelayName, Response};

#[derive(Debug, Default)]
pub struct Occupants {
    /// What relays said last. A list: there are few.
    said: Vec<(RelayName, LocalOccupancy)>,
    /// Those of whom nobody is counted because they did not answer. Whether anybody listens there is not known.
    silent: Vec<RelayName>,
    /// Those that other relays feed, and the number of the first question that one is asked since it came.
    below: Vec<(RelayName, u64)>,
    /// What listeners were told last, if all of them were, and when.
    told: Option<Occupancy>,
    told_at_ms: u64,
    /// When all relays are asked again, while somebody listens.
    ask_at_ms: u64,
    open: Vec<Question>,
    /// Who waits for the questions that are open, and who for the next.
    counting: Vec<Ticket>,
    waiting: Vec<Ticket>,
}

#[derive(Debug)]
struct Question {
    attempt: u64,
    relay: RelayName,
    since_ms: u64,
    /// It was asked for those who count.
    counts: bool,
    /// It told of the occupancy.
    tells: bool,
}

impl State for Occupants {
    fn restore(stored: &Stored, _now_ms: u64) -> Result<Occupants, StoreError> {
        let below = stored.relays_below.iter().map(|relay| (relay.clone(), 0)).collect();
        Ok(Occupants { below, ..Occupants::default() })
    }
}

impl Occupants {
    /// A relay says whom it has. One that says the same again was not told, or has lost what it was told.
    pub fn hear(&mut self, relay: &RelayName, local_occupancy: LocalOccupancy) {
        let before = self.note(relay, local_occupancy);
        let is_new = before.is_none_or(|before| before == local_occupancy || before.listeners == 0);
        if local_occupancy.listeners > 0 && is_new {
            self.told = None;
        }
    }

    pub fn forget(&mut self, relay: &RelayName) {
        self.said.retain(|(known, _)| known != relay);
        self.silent.retain(|known| known != relay);
    }

    pub fn answered(&mut self, relay: &RelayName, attempt: u64, local_occupancy: Option<LocalOccupancy>, now_ms: u64) {
        self.open.retain(|question| question.attempt != attempt);
        match local_occupancy {
            Some(local_occupancy) => drop(self.note(relay, local_occupancy)),
            // Its last word counts until it speaks again; what it was told may be lost.
            None => {
                if !self.knows(relay) {
                    self.note(relay, LocalOccupancy::default());
                    self.silent.push(relay.clone());
                }
                (self.told, self.told_at_ms) = (None, now_ms + OCCUPANCY_INTERVAL_MS);
            }
        }
    }

    /// Gives what it said before.
    fn note(&mut self, relay: &RelayName, local_occupancy: LocalOccupancy) -> Option<LocalOccupancy> {
        self.silent.retain(|known| known != relay);
        if let Some((_, known)) = self.said.iter_mut().find(|(known, _)| known == relay) {
            return Some(std::mem::replace(known, local_occupancy));
        }
        self.said.push((relay.clone(), local_occupancy));
        None
    }

    fn knows(&self, relay: &RelayName) -> bool {
        self.said.iter().any(|(known, _)| known == relay)
    }

    fn has_heard(&self, relay: &RelayName) -> bool {
        self.knows(relay) && !self.silent.contains(relay)
    }

    fn has_listeners(&self) -> bool {
        self.said.iter().any(|(_, local_occupancy)| local_occupancy.listeners > 0)
    }

    fn is_asked(&self, relay: &RelayName) -> bool {
        self.open.iter().any(|question| question.relay == *relay)
    }

    /// Whether a relay has not said yet that it was told. Then none is told anew: the later might come first.
    fn is_telling(&self) -> bool {
        self.open.iter().any(|question| question.tells)
    }

    fn sum(&self, members: usize) -> Occupancy {
        let mut sum = Occupancy::default();
        self.said.iter().for_each(|(_, local_occupancy)| sum.add(&local_occupancy.here));
        sum.set_members(members);
        sum
    }

    /// When listeners are to be told of this, if it is news.
    fn due_ms(&self, sum: &Occupancy) -> Option<u64> {
        let pause_ms = match &self.told {
            Some(told) if told == sum => return None,
            Some(told) if !sum.turns(told) => OCCUPANCY_INTERVAL_MS,
            _ => OCCUPANCY_FLIP_MS,
        };
        Some(self.told_at_ms + pause_ms)
    }
}

impl Channel {
    /// All relays that have somebody here, as far as the channel knows.
    fn relays(&self) -> Vec<RelayName> {
        let mut relays = self.feeds.relays();
        relays.extend(self.states.occupants.below.iter().map(|(relay, _)| relay.clone()));
        relays
    }

    /// Whether it is one of these. What another says comes late, and would count for ever: it is never asked again.
    pub(in crate::channel) fn asks(&self, relay: &RelayName) -> bool {
        self.feeds.contains(relay) || self.states.occupants.below.iter().any(|(known, _)| known == relay)
    }

    /// Remembers a relay that others feed, and forgets it as such when the channel does.
    pub(in crate::channel) fn note_below(
        &mut self,
        store: &mut impl Store,
        relay: &RelayName,
        direct: bool,
    ) -> Result<(), StoreError> {
        let first = self.states.holders.next_probe();
        match (self.states.occupants.below.iter_mut().find(|(known, _)| known == relay), direct) {
            (None, true) => {}
            (Some(_), true) => {
                store.remove_relay(relay, false)?;
                self.states.occupants.below.retain(|(known, _)| known != relay);
            }
            (Some((_, since)), false) => *since = first,
            (None, false) => {
                self.begin(store)?;
                store.add_relay(relay, false)?;
                self.states.occupants.below.push((relay.clone(), first));
            }
        }
        Ok(())
    }

    /// A relay that others feed has nobody any more, and nobody has come since it was asked.
    pub(in crate::channel) fn leave_below(&mut self, store: &mut impl Store, relay: &RelayName, attempt: u64) {
        let is_gone = |(known, since): &(RelayName, u64)| known == relay && *since <= attempt;
        if self.states.occupants.below.iter().any(is_gone) {
            // If this write fails it is asked again after the next waking, and gone then.
            let _ = store.remove_relay(relay, false);
            self.states.occupants.below.retain(|entry| !is_gone(entry));
            self.states.occupants.forget(relay);
        }
    }

    /// Counts for a caller, who is answered by [`Effect::Reply`]. Fails with 42911 when too many wait already.
    pub fn count(&mut self, ticket: Ticket) -> Answer<()> {
        if self.states.occupants.waiting.len() >= COUNTS_WAITING_MAX {
            return Err(Code::PublishRateLimited.because("too many ask for this channel's occupancy; try again"));
        }
        self.states.occupants.waiting.push(ticket);
        Ok(())
    }

    /// A relay says whom it has now. Gives whether it is to go on with that.
    pub fn report(
        &mut self,
        store: &mut impl Store,
        relay: &RelayName,
        local_occupancy: LocalOccupancy,
    ) -> Answer<bool> {
        if local_occupancy.here.is_empty() {
            self.feeds.doubt(relay);
        } else if !self.asks(relay) {
            // It had nobody when it was asked, and was forgotten: somebody came while it waited to be fed.
            self.note_below(store, relay, false).map_err(crate::channel::storage_failed)?;
        }
        if self.asks(relay) {
            self.states.occupants.hear(relay, local_occupancy);
        }
        self.keep_listened(store).map_err(crate::channel::storage_failed)?;
        Ok(self.meta.listened)
    }

    /// What follows from calls and answers: deliveries, and what those who count and those who listen wait for.
    pub fn follow_up(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        let mut effects = self.feed(store, now_ms);
        for question in &mut self.states.occupants.open {
            question.since_ms = now_ms.min(question.since_ms);
        }
        let overdue = |question: &&Question| question.since_ms + PROBE_ANSWER_MS <= now_ms;
        let overdue: Vec<_> =
            self.states.occupants.open.iter().filter(overdue).map(|q| (q.relay.clone(), q.attempt)).collect();
        overdue.iter().for_each(|(relay, attempt)| self.states.occupants.answered(relay, *attempt, None, now_ms));
        self.answer_counts(now_ms, &mut effects);
        match self.keep_listened(store) {
            Ok(()) if self.meta.listened => self.tell_listeners(now_ms, &mut effects),
            Ok(()) => {}
            Err(_) => {
                let again_ms = now_ms + OCCUPANCY_INTERVAL_MS;
                (self.states.occupants.told_at_ms, self.states.occupants.ask_at_ms) = (again_ms, again_ms);
            }
        }
        effects
    }

    fn answer_counts(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        while !self.states.occupants.open.iter().any(|question| question.counts) {
            let sum = self.states.occupants.sum(self.states.holders.count());
            let is_active = !sum.is_empty() || self.is_recent(now_ms);
            self.listing.is_doubted |= !is_active;
            let counts = Counts { occupancy: sum, is_active };
            let messages = self.lately.messages(now_ms);
            let answer = |ticket| Effect::Reply(ticket, Ok(Response::Counted(counts, messages)));
            effects.extend(std::mem::take(&mut self.states.occupants.counting).into_iter().map(answer));
            if self.states.occupants.waiting.is_empty() {
                return;
            }
            self.states.occupants.counting = std::mem::take(&mut self.states.occupants.waiting);
            for relay in self.relays() {
                self.ask(relay, None, true, now_ms, effects);
            }
        }
    }

    fn tell_listeners(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let asks_all = pause::is_over(self.states.occupants.ask_at_ms, PROBE_INTERVAL_MS, now_ms);
        let mut are_known = true;
        for relay in self.relays() {
            let is_known = self.states.occupants.knows(&relay);
            are_known &= is_known;
            if (asks_all || !is_known) && !self.states.occupants.is_asked(&relay) {
                // What a relay was told last may have been overtaken on its way.
                self.ask(relay, self.states.occupants.told, false, now_ms, effects);
            }
        }
        if asks_all {
            self.states.occupants.ask_at_ms = now_ms + PROBE_INTERVAL_MS;
        }
        let sum = self.states.occupants.sum(self.states.holders.count());
        // It may have been put off by a pause before it begins.
        let is_due = |due_ms| pause::is_over(due_ms, 2 * OCCUPANCY_INTERVAL_MS, now_ms);
        if !are_known || self.states.occupants.is_telling() || !self.states.occupants.due_ms(&sum).is_some_and(is_due) {
            return;
        }
        (self.states.occupants.told, self.states.occupants.told_at_ms) = (Some(sum), now_ms);
        let mut listening = Vec::new();
        for (relay, _) in self.states.occupants.said.iter().filter(|(_, local_occupancy)| local_occupancy.listeners > 0)
        {
            listening.push(relay.clone());
        }
        listening.into_iter().for_each(|relay| self.ask(relay, Some(sum), false, now_ms, effects));
    }

    fn ask(
        &mut self,
        relay: RelayName,
        occupancy: Option<Occupancy>,
        counts: bool,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let attempt = self.states.holders.next_probe();
        self.states.occupants.open.push(Question {
            attempt,
            relay: relay.clone(),
            since_ms: now_ms,
            counts,
            tells: occupancy.is_some(),
        });
        let probe = Probe { channel: self.meta.address.channel.clone(), connections: Vec::new(), occupancy };
        effects.push(Effect::Probe { relay, attempt, probe });
    }

    /// Remembers whether somebody listens: a channel that lost its memory asks who. Nobody does only when all have said
    /// so.
    pub(in crate::channel) fn keep_listened(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        let listened = self.states.occupants.has_listeners() || self.tells_of_life() && !self.relays().is_empty();
        let is_known = || self.relays().iter().all(|relay| self.states.occupants.has_heard(relay));
        if listened == self.meta.listened || !(listened || is_known()) {
            return Ok(());
        }
        self.states.occupants.told = None;
        self.save_meta(store, Meta { listened, ..self.meta.clone() })
    }

    /// Whether a connection is attached, as far as that is known.
    pub(in crate::channel) fn is_occupied(&self) -> Option<bool> {
        let relays = self.relays();
        let occupants = &self.states.occupants;
        let is_anybody = occupants.sum(0).get("connections").is_some_and(|connections| connections > 0);
        let are_known = relays.iter().all(|relay| occupants.has_heard(relay));
        (is_anybody || are_known).then_some(is_anybody && !relays.is_empty())
    }

    /// Asks all relays that others feed whom they have.
    pub(in crate::channel) fn ask_below(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let below: Vec<_> = self.states.occupants.below.iter().map(|(relay, _)| relay.clone()).collect();
        below.into_iter().for_each(|relay| self.ask(relay, None, false, now_ms, effects));
    }

    pub(in crate::channel) fn feeds_below(&self) -> bool {
        !self.states.occupants.below.is_empty()
    }

    /// Whether somebody waits for a count, or for an answer to one.
    pub(in crate::channel) fn is_counted(&self) -> bool {
        let Occupants { open, counting, waiting, .. } = &self.states.occupants;
        !(open.is_empty() && counting.is_empty() && waiting.is_empty())
    }

    /// Whether something was published a moment ago, or somebody was there.
    pub(in crate::channel) fn is_recent(&self, now_ms: u64) -> bool {
        self.has_begun && self.log.tip().time_ms() + ACTIVE_MS > now_ms
    }

    pub(in crate::channel) fn occupancy_deadline(&self) -> Option<u64> {
        let open = self.states.occupants.open.iter().map(|question| question.since_ms + PROBE_ANSWER_MS).min();
        if !self.meta.listened {
            return open;
        }
        // What waits for answers is due when they come, or don't.
        let is_waiting = self.states.occupants.is_telling()
            || self.relays().iter().any(|relay| self.states.occupants.is_asked(relay));
        let told = self
            .states
            .occupants
            .due_ms(&self.states.occupants.sum(self.states.holders.count()))
            .filter(|_| !is_waiting);
        [open, told, Some(self.states.occupants.ask_at_ms)].into_iter().flatten().min()
    }
}
