//! Group commit: what waits becomes one write, in which every publish has its place: the one that it already has, or
//! the next.

use super::dedup::{self, Suspicion, Window};
use super::log::Batch;
use super::repeats::Found;
use super::state::{State, Written};
use super::store::{Store, StoreError};
use super::{Channel, Effect, Ticket};
use crate::error::{Code, ErrorInfo};
use crate::limits::{BUSY_CALLS, BUSY_PUBLISHES, COMMIT_MAX_BYTES, PACE_MAX_BYTES, RETENTION_MS};
use crate::model::message::{Content, Entry};
use crate::rpc::{Delivery, Outcome, Publish, PublishKey, Published, RelayName, Response, Standing, Submission};
use crate::stats::{Counter, Traffic};

/// A call that waits for the next commit.
#[derive(Debug)]
pub struct Pending {
    ticket: Ticket,
    /// The relay that made it, if the answer may carry what it is to be delivered.
    by: Option<RelayName>,
    publishes: Vec<Publish>,
}

impl Channel {
    /// The same as [`Channel::publish`], for a relay that may be fed.
    pub fn publish_by(&mut self, ticket: Ticket, standing: Standing, publishes: Vec<Publish>) -> Result<(), ErrorInfo> {
        if standing.epoch == self.meta.epoch {
            self.feeds.stands(&standing, self.log.tip());
        }
        self.queue(Pending { ticket, by: Some(standing.relay), publishes })
    }

    /// Queues publishes for the next [`Channel::commit`]. Fails with 42911 when too much waits already.
    pub fn publish(&mut self, ticket: Ticket, publishes: Vec<Publish>) -> Result<(), ErrorInfo> {
        self.queue(Pending { ticket, by: None, publishes })
    }

    fn queue(&mut self, pending: Pending) -> Result<(), ErrorInfo> {
        let publishes = &pending.publishes;
        let bytes: usize = publishes.iter().map(Publish::weight).sum();
        if self.pending_bytes + bytes > COMMIT_MAX_BYTES && !self.pending.is_empty() {
            let refusal = Code::PublishRateLimited.because("too much is being published on this channel; try again");
            publishes.iter().for_each(|publish| self.tally.refuse_publish(publish.way(), &refusal));
            return Err(refusal);
        }
        self.pending_bytes += bytes;
        self.pending.push(pending);
        Ok(())
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a commit should wait for the end of the turn: more will come, and a write and a frame for each is what
    /// costs. Else who publishes to a quiet channel would wait for nobody. A relay that sends a few at a time will send
    /// more; one that sends many has gathered them.
    pub fn awaits_more(&self) -> bool {
        let (calls, publishes) = self.last_commit;
        calls >= BUSY_CALLS || (2..BUSY_PUBLISHES).contains(&publishes)
    }

    /// Whether one relay alone publishes: it made the only call of the last commit, and the only one that waits. It
    /// makes one call at a time, so it has the answer to the last, and the turn of that commit is over. Time that has
    /// passed shows nothing: it takes more than a millisecond to send a crowd a message, and what came meanwhile waits.
    pub fn is_alone(&self) -> bool {
        let alone = only(&self.pending);
        alone.is_some() && alone == self.last_alone.as_ref()
    }

    /// Whether the namespace says how often there may be a commit. Acknowledgements wait for it, too.
    pub fn is_paced(&self) -> bool {
        self.meta.rules.commit_interval_ms > 0
    }

    /// How long the next commit has to wait: not at all when much is waiting already.
    pub fn commits_in_ms(&self, now_ms: u64) -> u64 {
        let passed_ms = now_ms.checked_sub(self.committed_at_ms);
        match passed_ms {
            Some(passed_ms) if self.pending_bytes <= PACE_MAX_BYTES => {
                u64::from(self.meta.rules.commit_interval_ms).saturating_sub(passed_ms)
            }
            // The clock stepped back since.
            _ => 0,
        }
    }

    /// Group commit: everything that waits becomes one write, then replies and deliveries.
    pub fn commit(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.committed_at_ms = now_ms;
        self.last_alone = only(&pending).cloned();
        self.last_commit = (pending.len(), pending.iter().map(|call| call.publishes.len()).sum());
        match self.write(store, &pending, now_ms) {
            Ok(answers) => {
                let mut deliveries = self.follow_up(store, now_ms);
                let answer = |(Pending { ticket, by, .. }, published)| {
                    let carried = by.and_then(|relay| self.carry(&relay, &mut deliveries, now_ms));
                    Effect::Reply(ticket, Ok(Response::published(published, carried)))
                };
                let mut effects: Vec<Effect> = pending.into_iter().zip(answers).map(answer).collect();
                effects.extend(deliveries);
                effects
            }
            Err(error) => {
                self.forget(now_ms);
                let refusal = Code::InternalChannel.because(format!("the channel could not store this: {}", error.0));
                let refuse = |call: Pending| Effect::Reply(call.ticket, Err(refusal.clone()));
                let mut effects: Vec<Effect> = pending.into_iter().map(refuse).collect();
                // What was kept all the same is published: nobody may send it again.
                effects.extend(self.feed(store, now_ms));
                effects
            }
        }
    }

    /// What the answer to a relay's call carries: the delivery that there is for it. That is a call less, and sooner
    /// there.
    fn carry(&mut self, relay: &RelayName, deliveries: &mut Vec<Effect>, now_ms: u64) -> Option<Delivery> {
        let is_its = |effect: &mut Effect| match effect {
            Effect::Deliver { relay: to, delivery, .. } => to == relay && self.feeds.carried(relay, delivery, now_ms),
            _ => false,
        };
        match deliveries.extract_if(.., is_its).next() {
            Some(Effect::Deliver { delivery, .. }) => Some(delivery),
            _ => None,
        }
    }

    fn write(
        &mut self,
        store: &mut impl Store,
        pending: &[Pending],
        now_ms: u64,
    ) -> Result<Vec<Published>, StoreError> {
        self.reload(store)?;
        let mut batch = Batch::new(self.log.tip());
        let mut answers = Vec::with_capacity(pending.len());
        for Pending { publishes, .. } in pending {
            let place = |publish| self.place(store, &mut batch, publish, now_ms);
            let outcomes = publishes.iter().map(place).collect::<Result<Vec<_>, _>>()?;
            for (publish, outcome) in publishes.iter().zip(&outcomes) {
                if let Outcome::Refused(error) = outcome {
                    batch.counted.refuse_publish(publish.way(), error);
                }
            }
            answers.push(Published { epoch: self.meta.epoch.clone(), outcomes });
        }
        self.place_summaries(&mut batch, now_ms);
        let mut counted = std::mem::take(&mut batch.counted);
        if batch.tip() > self.log.tip() {
            self.begin(store)?;
            counted.add(Counter::Commits, 1);
            counted.add(Counter::StoredBytes, batch.stored_bytes() as u64);
        }
        if !self.meta.address.channel.is_of_clients() {
            // Nobody published these.
            counted.drop_traffic(Traffic::RestIn);
        }
        if self.meta.rules.retention_ms <= RETENTION_MS {
            counted.drop_traffic(Traffic::Persisted);
        }
        let written = Written { objects: batch.objects.summary() };
        let summaries = std::mem::take(&mut batch.summaries);
        let operations = std::mem::take(&mut batch.operations);
        self.log.append(store, batch)?;
        self.tally.add_after(&counted);
        self.states.wrote(&written);
        self.fill_summaries(store, &summaries);
        self.fill_operations(store, &operations);
        Ok(answers)
    }

    /// Gives a publish its place: the one it already has, or the next.
    fn place(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        let window = self.window(store, now_ms)?;
        let (suspicion, has_room) = (window.suspect(publish), window.has_room(publish, now_ms));
        let count = publish.count();
        match self.find(store, batch, publish, suspicion, now_ms)? {
            Found::At(position) => {
                let is_another = match publish.key {
                    PublishKey::Request(_) => Some(false),
                    _ => self.repeats.is_another((batch, &self.log), store, publish, position, now_ms)?,
                };
                return match (is_another, &publish.key, &publish.content) {
                    (Some(true), ..) => Ok(Outcome::Refused(reused(&publish.key))),
                    // What can't be looked for now may be new, unless it says by its number that it is not.
                    (None, PublishKey::Id(_), _) => Ok(Outcome::Refused(unsure())),
                    (.., Submission::Objects(_)) => self.operated(store, batch, position),
                    _ => Ok(Outcome::Accepted { position, count }),
                };
            }
            Found::New => {}
            Found::Unknown => return Ok(Outcome::Refused(unsure())),
        }
        if !has_room {
            let refusal = "more publishes than can be remembered in two minutes; try again later";
            return Ok(Outcome::Refused(Code::PublishRateLimited.because(refusal)));
        }
        if let Err(refusal) = self.admit_rate(publish, now_ms) {
            return Ok(Outcome::Refused(refusal));
        }
        if let Some(refusal) = self.take_share(store, publish, now_ms)? {
            return Ok(Outcome::Refused(refusal));
        }
        self.count_rate(publish, now_ms);
        match &publish.content {
            Submission::Messages(messages) => {
                let position = batch.tip().next(now_ms);
                let changes = match self.pushes_of(messages, position) {
                    Ok(changes) => changes,
                    Err(refusal) => return Ok(Outcome::Refused(refusal)),
                };
                let key = self.window(store, now_ms)?.remember(publish, position);
                let (id, connection_id) = (publish.id(), publish.connection_id.clone());
                let content = Content::Messages(messages.clone());
                batch.push(publish, Entry { position, id, connection_id, content }, key, changes);
                Ok(Outcome::Accepted { position, count })
            }
            Submission::Presence { lease, updates } => {
                let is_late = suspicion != Suspicion::New;
                self.place_presence(store, batch, publish, (lease, updates), is_late, now_ms)
            }
            Submission::Operation(operation) => self.place_operation(store, batch, publish, operation, now_ms),
            Submission::ConnectionOutcome { lease, outcome } => {
                self.place_outcome(store, batch, publish, (lease, outcome), now_ms)
            }
            Submission::Objects(proposals) => self.place_objects(store, batch, publish, proposals, now_ms),
            Submission::Annotations { message, annotations } => {
                self.place_annotations(store, batch, publish, (message, annotations), now_ms)
            }
        }
    }

    /// Whether it has its place already.
    fn find(
        &mut self,
        store: &mut impl Store,
        batch: &Batch,
        publish: &Publish,
        suspicion: Suspicion,
        now_ms: u64,
    ) -> Result<Found, StoreError> {
        if suspicion == Suspicion::New {
            return Ok(Found::New);
        }
        if let (PublishKey::Request(_), Submission::ConnectionOutcome { .. }, Suspicion::At(position)) =
            (&publish.key, &publish.content, suspicion)
        {
            // One that changed nothing has no entry, and must not change anything when it comes again, late.
            return Ok(Found::At(position));
        }
        match batch.find(publish) {
            Some(position) => Ok(Found::At(position)),
            None => self.repeats.find(&self.log, store, publish, suspicion, now_ms),
        }
    }

    pub(super) fn window(&mut self, store: &mut impl Store, now_ms: u64) -> Result<&mut Window, StoreError> {
        if self.window.is_none() {
            self.window = Some(Window::restore(store, dedup::cutoff(now_ms).max(self.meta.floor))?);
        }
        Ok(self.window.as_mut().expect("set above"))
    }
}

/// It may be published or not: the client is not told that it is not.
pub(super) fn unsure() -> ErrorInfo {
    Code::Unavailable.because("too much is published again to know in time what is new; try again later")
}

fn reused(key: &PublishKey) -> ErrorInfo {
    let what = if matches!(key, PublishKey::Id(_)) { "id" } else { "msgSerial" };
    Code::BadMessageId.because(format!("this {what} was used for another publish"))
}

/// The relay that makes the only call.
fn only(calls: &[Pending]) -> Option<&RelayName> {
    match calls {
        [Pending { by, .. }] => by.as_ref(),
        _ => None,
    }
}
