//! Messages come in: checked here, ordered by their channel, acknowledged here (protocol.md § 5).

use std::hash::BuildHasher;

use super::calls::Pending;
use super::outbox::{Digest, Outcome as Told, Place};
use super::publisher::{Failed, Item, RETRY_MAX_MS};
use super::session::Session;
use super::{Relay, SocketId, failure};
use crate::auth::Operations;
use crate::base::maps::{HashSet, Hashes};
use crate::error::{Code, ErrorInfo};
use crate::intake::operation::{self, By};
use crate::intake::publish;
use crate::limits::{
    BUSY_PAUSE_MS, BUSY_READERS_PER_MS, MESSAGE_MAX_BYTES, PUBLISH_QUEUE_MAX_BYTES, PUBLISH_TRY_MS,
    REFUSALS_WAITING_MAX, UNACKNOWLEDGED_MAX,
};
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::protocol::inbound::{InboundMessage, PublishFrame};
use crate::protocol::outbound::serials;
use crate::rpc::Ticket;
use crate::rpc::connection_key::Generations;
use crate::rpc::{Answer, Outcome, Publish, PublishKey, Published, Request, Response, Standing, Submission};
use crate::stats::Traffic;

/// What a connection says in one frame.
#[derive(Clone, Copy)]
pub(super) struct Uttered {
    msg_serial: u64,
    pub(super) messages: usize,
    digest: Digest,
}

impl Uttered {
    /// The channel of a repeat does not take what has the number of an earlier publish and says something else, nor
    /// twice what has the same id ([`PublishKey`]).
    pub(super) fn of(channel: &str, msg_serial: u64, first_id: Option<&str>, messages: usize) -> Uttered {
        Uttered { msg_serial, messages, digest: Hashes::default().hash_one((channel, msg_serial, first_id, messages)) }
    }
}

/// What waits for a channel, or why it does not.
pub(super) type Admitted = Result<(ChannelName, Item), ErrorInfo>;

impl Relay {
    pub(super) fn publish(&mut self, socket: SocketId, frame: PublishFrame) {
        let first = frame.messages.first().and_then(|message| message.id.as_deref());
        let said = Uttered::of(&frame.channel, frame.msg_serial, first, frame.messages.len());
        self.take_in(socket, said, |relay| {
            let (channel, item) = relay.admit_publish(socket, frame)?;
            relay.admit_client(socket, &channel, said.messages)?;
            relay.admit_speech(socket, &channel, &item.publish.content)?;
            Ok((channel, item))
        });
    }

    /// Takes in what a connection says, or refuses it, in its turn; the connection goes on. What it says again after a
    /// resume counts nowhere.
    pub(super) fn take_in(&mut self, socket: SocketId, said: Uttered, admit: impl FnOnce(&mut Relay) -> Admitted) {
        self.find_repeat(socket, said);
        match self.admit_rate(socket).and_then(|()| admit(self)) {
            Ok((channel, item)) => {
                self.count_said(socket, said.messages);
                let place = self.expect(socket, said);
                self.enqueue(channel, Item { place, ..item });
            }
            Err(error) => {
                if !error.is(Code::PublishRateLimited) {
                    self.count_said(socket, 1);
                }
                self.refuse(socket, said.msg_serial, error);
            }
        }
        self.sessions.get_mut(&socket).into_iter().for_each(|session| session.repeats = 0);
    }

    /// Clients say again in order what they were not told of, so it is the first as a rule.
    fn find_repeat(&mut self, socket: SocketId, said: Uttered) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let at = session.owed.iter().position(|digest| *digest == said.digest);
        session.repeats = at.and_then(|at| session.owed.remove(at)).map_or(0, |_| said.messages.max(1));
    }

    /// Fails with 42911 when a connection has said so much that it may say no more now. What is refused so does not
    /// count: whoever goes on too fast is heard at the rate that was stated.
    fn admit_rate(&self, socket: SocketId) -> Result<(), ErrorInfo> {
        let flow = self.bounds.messages;
        match self.sessions.get(&socket) {
            Some(session) if session.repeats == 0 && session.said.left(flow, self.now_ms) >= flow.burst => {
                // In coarse steps: refusals that are alike count once.
                let wait_ms = session.said.wait_ms(flow, self.now_ms).next_multiple_of(100);
                let rate = flow.per_second;
                let bound = format!("a connection publishes at most {rate} messages a second");
                Err(Code::PublishRateLimited.because(format!("{bound}; try again in {wait_ms} ms")))
            }
            _ => Ok(()),
        }
    }

    /// A frame of which nothing can be done counts as the messages that could have been so large.
    pub(super) fn refuse_unread(&mut self, socket: SocketId, msg_serial: u64, bytes: usize, error: ErrorInfo) {
        let admitted = self.admit_rate(socket);
        if admitted.is_ok() {
            self.count_said(socket, bytes.div_ceil(MESSAGE_MAX_BYTES));
        }
        self.refuse(socket, msg_serial, admitted.err().unwrap_or(error));
    }

    fn count_said(&mut self, socket: SocketId, messages: usize) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.said.add(messages.saturating_sub(session.repeats), self.bounds.messages, self.now_ms);
    }

    /// Adds to what waits for its channel, and sends it if nothing is in flight.
    pub(super) fn enqueue(&mut self, channel: ChannelName, item: Item) {
        self.queue.bytes += item.bytes;
        // A connection that was resumed may say again what waits.
        let may_repeat = |session: &Session| session.generations != Generations::FIRST;
        let may_repeat = self.sessions.get(&item.socket).is_some_and(may_repeat);
        let publisher = self.queue.publishers.entry(channel.clone()).or_default();
        match may_repeat {
            true => self.queue.bytes -= publisher.push_again(item).map_or(0, |in_vain| in_vain.bytes),
            false => publisher.push(item),
        }
        self.send_publishes(&channel);
    }

    /// Refuses a publish in its turn; the connection goes on, unless too many refusals already wait for theirs.
    pub(super) fn refuse(&mut self, socket: SocketId, msg_serial: u64, error: ErrorInfo) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let was_idle = session.outbox.is_empty();
        self.tally.refuse_publish(Traffic::RealtimeIn, &error);
        let is_too_fast = error.is(Code::PublishRateLimited);
        session.outbox.refuse(msg_serial, error);
        if session.outbox.refusals() > REFUSALS_WAITING_MAX {
            let error = Code::RateLimited.because("too many publishes were refused at once; reconnect and resume");
            return self.disconnect(socket, &error);
        }
        if was_idle {
            self.touch(socket);
        }
        self.send_acknowledgements(socket);
        if is_too_fast && let Some(error) = self.strike(socket) {
            self.fail(socket, &error);
        }
    }

    fn admit_publish(&mut self, socket: SocketId, frame: PublishFrame) -> Admitted {
        let name = ChannelName::parse(&frame.channel)?;
        name.refuse_view()?;
        let is_operation = frame.messages.iter().any(InboundMessage::is_operation);
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        if !is_operation && !session.grant.permits(&name, Operations::PUBLISH) {
            return Err(Code::NotPermitted.because("the capability does not allow to publish on this channel"));
        }
        self.admit_to(socket, &name)?;
        let modes = session.attachments.get(&name).map(|attachment| attachment.requested);
        if modes.is_some_and(|modes| !modes.contains(Modes::PUBLISH)) {
            return Err(Code::ModeNotGranted.because("the channel was attached without the mode to publish"));
        }
        if is_operation {
            return self.admit_operation(socket, &name, frame);
        }
        let checked = publish::check(frame.messages, &frame.params, &session.grant.client_id)?
            .claimed(session.grant.user_claim(&name).as_ref())?;
        let key = checked.id.map_or(PublishKey::Serial(frame.msg_serial), PublishKey::Id);
        self.item(socket, &name, key, Submission::Messages(checked.messages))
    }

    /// Of a message that is to be changed. It is known by its number alone: its id is that of the message.
    fn admit_operation(&self, socket: SocketId, name: &ChannelName, frame: PublishFrame) -> Admitted {
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        let (grant, mutable) = (&session.grant, self.rules(name).mutable);
        let (claim, allowed) = (grant.user_claim(name), grant.capability.operations(name));
        let by = By { identity: &grant.client_id, claim: claim.as_ref(), allowed };
        let operation = operation::check(frame.messages, &frame.params, by, mutable)?;
        self.item(socket, name, PublishKey::Serial(frame.msg_serial), Submission::Operation(operation.into()))
    }

    pub(super) fn item(&self, socket: SocketId, name: &ChannelName, key: PublishKey, content: Submission) -> Admitted {
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        self.admit_said(&content, name)?;
        publish::check_rules(&content, self.app.rules(name))?;
        let (connection_id, speaks_as) = (session.connection_id().to_owned(), session.speaks_as(name).to_owned());
        let by = session.grant.source_of(session.name());
        let publish = Publish { key, connection_id: Some(speaks_as), by, content };
        let bytes = publish.weight();
        self.admit_queued(session, bytes)?;
        Ok((name.owner(), Item { socket, connection_id, place: None, publish, bytes }))
    }

    /// Fails with 42910 when too much waits already.
    fn admit_queued(&self, session: &Session, bytes: usize) -> Result<(), ErrorInfo> {
        if session.outbox.len() >= UNACKNOWLEDGED_MAX || self.queue.bytes + bytes > PUBLISH_QUEUE_MAX_BYTES {
            return Err(Code::RateLimited.because("too many publishes wait for their acknowledgement"));
        }
        Ok(())
    }

    fn standing(&self, channel: &ChannelName) -> Option<Standing> {
        let feed = self.feeds.get(channel)?;
        let (relay, epoch) = (self.name.clone(), feed.epoch().to_owned());
        feed.position().map(|position| Standing { relay, epoch, position })
    }

    /// The next call to a channel, if there is something to publish and none is in flight.
    pub(super) fn send_publishes(&mut self, channel: &ChannelName) {
        let ticket = self.calls.next_ticket();
        let Some(publisher) = self.queue.publishers.get_mut(channel) else { return };
        match publisher.next(ticket, self.now_ms) {
            Some(publishes) => {
                let request = match self.standing(channel) {
                    Some(standing) => Request::PublishBy(standing, publishes),
                    None => Request::Publish(publishes),
                };
                self.call_as(ticket, channel, Pending::Publish(channel.clone()), request);
            }
            None if publisher.is_done() => {
                self.queue.publishers.remove(channel);
            }
            None => {}
        }
    }

    pub(super) fn published(&mut self, ticket: Ticket, channel: ChannelName, answer: Answer<Response>) {
        let answer = match answer {
            Ok(Response::Carried(published, delivery)) => {
                // The channel hears where this leads to by the next publish.
                self.take_delivery(&delivery);
                Ok(published)
            }
            Ok(Response::Published(published)) => Ok(published),
            other => Err(failure(other)),
        };
        let until_ms = self.now_ms + self.collects_ms(&channel);
        let Some(publisher) = self.queue.publishers.get_mut(&channel) else { return };
        match answer {
            Ok(published) => {
                let items = publisher.answered(ticket, until_ms);
                for (item, outcome) in items.iter().zip(&published.outcomes) {
                    if matches!(outcome, Outcome::Refused(error) if error.is(Code::PublishRateLimited)) {
                        self.give_back(item.socket, &channel, item.publish.count());
                    }
                }
                self.acknowledge(items, published);
            }
            Err(error) => {
                // What the channel refused it will refuse again; what failed on the way may yet succeed.
                let try_ms = if error.status_code < 500 { 0 } else { PUBLISH_TRY_MS };
                let Failed { mut given_up, in_vain_bytes } = publisher.failed(ticket, self.now_ms, try_ms);
                self.queue.bytes -= in_vain_bytes;
                self.insist_on_withdrawals(&channel, &mut given_up);
                self.give_up_unheard(&channel, &mut given_up);
                self.tell(given_up, |_| Err(error.clone()));
            }
        }
        self.send_publishes(&channel);
    }

    /// That a connection which is still here has left, or who it is, is said until the channel hears it: it would keep
    /// the members as long as the attachment. Once is enough.
    fn insist_on_withdrawals(&mut self, channel: &ChannelName, given_up: &mut Vec<Item>) {
        let (withdrawals, others): (Vec<Item>, Vec<Item>) =
            given_up.drain(..).partition(|item| item.withdrawal().is_some() && self.owner(item).is_some());
        *given_up = others;
        let mut said = HashSet::default();
        let mut kept: Vec<Item> = Vec::new();
        for item in withdrawals {
            match said.insert((item.connection_id.clone(), item.withdrawal().cloned())) {
                true => kept.push(item),
                false => self.queue.bytes -= item.bytes,
            }
        }
        if let Some(publisher) = self.queue.publishers.get_mut(channel) {
            publisher.insist(kept, self.now_ms);
        }
    }

    /// Of these, given up, some are of sockets that are gone. Nobody is told: their clients say all again, in order,
    /// and what they said behind these must not come before.
    fn give_up_unheard(&mut self, channel: &ChannelName, items: &mut Vec<Item>) {
        let mut unheard: Vec<(SocketId, String)> = Vec::new();
        for item in items.iter() {
            if self.owner(item).is_none() && unheard.last().is_none_or(|(socket, _)| *socket != item.socket) {
                unheard.push((item.socket, item.connection_id.clone()));
            }
        }
        let Some(publisher) = self.queue.publishers.get_mut(channel) else { return };
        let behind = |(socket, connection_id): &(SocketId, String)| publisher.give_up(*socket, connection_id);
        items.extend(unheard.iter().flat_map(behind));
    }

    /// How long a busy channel waits for those who hear of what they published to publish again. A longer pause would
    /// be taken for one that is over.
    fn collects_ms(&self, channel: &ChannelName) -> u64 {
        let readers = self.feeds.get(channel).map_or(0, |feed| feed.members.len());
        (BUSY_PAUSE_MS + readers as u64 / BUSY_READERS_PER_MS).min(RETRY_MAX_MS)
    }

    fn acknowledge(&mut self, items: Vec<Item>, published: Published) {
        let mut outcomes = published.outcomes.into_iter();
        let missing = || Code::InternalChannel.because("the channel left a publish unanswered");
        let outcome = |_: &Item| match outcomes.next() {
            Some(Outcome::Accepted { position, count }) => Ok(serials(position, &published.epoch, count)),
            Some(Outcome::Operated { position, object_ids }) => {
                Ok(serials(position, &published.epoch, object_ids.len()))
            }
            Some(Outcome::Refused(error)) => Err(error),
            None => Err(missing()),
        };
        self.tell(items, outcome);
    }

    fn tell(&mut self, items: Vec<Item>, mut outcome: impl FnMut(&Item) -> Told) {
        let mut sockets = Vec::new();
        for item in items {
            self.queue.bytes -= item.bytes;
            let outcome = outcome(&item);
            #[cfg(feature = "mqtt")]
            self.will_answered(&item);
            let Some(place) = item.place else { continue };
            if let Some(session) = self.owner(&item) {
                session.outbox.resolve(place, outcome);
                if sockets.last() != Some(&item.socket) {
                    sockets.push(item.socket);
                }
            }
        }
        sockets.into_iter().for_each(|socket| self.send_acknowledgements(socket));
    }

    /// The connection that said this, if its socket is there: that may be gone, and its number given to another.
    fn owner(&mut self, item: &Item) -> Option<&mut Session> {
        self.sessions.get_mut(&item.socket).filter(|session| session.connection_id() == item.connection_id)
    }

    fn expect(&mut self, socket: SocketId, said: Uttered) -> Option<Place> {
        let session = self.sessions.get_mut(&socket)?;
        let was_idle = session.outbox.is_empty();
        let place = session.outbox.expect(said.msg_serial, said.digest);
        if was_idle {
            self.touch(socket);
        }
        Some(place)
    }

    fn send_acknowledgements(&mut self, socket: SocketId) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let mut outbox = std::mem::take(&mut session.outbox);
        let frames = outbox.drain(&mut *session);
        session.outbox = outbox;
        let is_idle = session.outbox.is_empty();
        frames.into_iter().for_each(|frame| self.send_encoded(socket, frame));
        if is_idle {
            self.touch(socket);
        }
    }
}
