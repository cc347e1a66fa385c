//! What other objects ask of this one, and what becomes of what it asked them.

use super::host::{Asked, Host, Turn, Waiting, Work, failed};
use super::store::RelayStore;
use super::{CallerId, Reply, Timer};
use crate::channel::Channel;
use crate::channel::store::Store;
use crate::error::Code;
use crate::model::name::ChannelName;
use crate::rpc::Ticket;
use crate::rpc::placement;
use crate::rpc::{
    Answer, AppCall, AppRequest, ChannelCall, Delivered, Delivery, Follow, Inspection, Probe, Probed, RelayName,
    Request, Response,
};

impl<S: Store + RelayStore> Host<S> {
    /// A call to this channel. What can't be answered at once waits for an effect of the channel.
    pub(super) fn call(&mut self, mut call: ChannelCall, waiting: Waiting) {
        // Who is beside has deliveries in this turn anyway.
        if let (Request::PublishBy(_, publishes), Waiting::Beside(_)) = (&mut call.request, &waiting) {
            call.request = Request::Publish(std::mem::take(publishes));
        }
        let begins = matches!(call.request, Request::Subscribe(..)) && call.to.channel.is_metachannel();
        let ticket = self.next_ticket();
        match self.ask_channel(ticket, call) {
            Some(answer) if begins && self.channel.as_ref().is_some_and(|channel| !channel.is_listed()) => {
                self.unlisted.push((waiting, answer));
            }
            Some(answer) => self.tell(waiting, answer),
            None => drop(self.waiting.insert(ticket, waiting)),
        }
    }

    fn ask_channel(&mut self, ticket: Ticket, call: ChannelCall) -> Option<Answer<Response>> {
        let now_ms = self.now_ms;
        let (channel, store) = match self.channel_for(Some((&call.to, &call.rules))) {
            Ok(Some(found)) => found,
            Ok(None) => return Some(Err(Code::InternalChannel.into())),
            Err(error) => return Some(Err(failed(error))),
        };
        let answer = match call.request {
            Request::Publish(publishes) => match channel.publish(ticket, publishes) {
                Ok(()) => return None,
                Err(error) => Some(Err(error)),
            },
            Request::PublishBy(standing, publishes) => match channel.publish_by(ticket, standing, publishes) {
                Ok(()) => return None,
                Err(error) => Some(Err(error)),
            },
            Request::Count => channel.count(ticket).err().map(Err),
            Request::Report(relay, local_occupancy) => {
                Some(channel.report(store, &relay, local_occupancy).map(Response::Reported))
            }
            Request::Subscribe(relay, local_occupancy) => {
                Some(channel.subscribe(store, relay, local_occupancy).map(Response::Subscribed))
            }
            Request::Read(from) => Some(channel.read(store, &from, now_ms).map(Response::Backlog)),
            Request::History(query) => {
                channel.await_history(store, ticket, query, now_ms).map(|answer| answer.map(Response::History))
            }
            Request::Members(query) => Some(channel.members(store, &query).map(Response::Members)),
            Request::Objects(query) => Some(channel.objects(store, &query).map(Response::Objects)),
            Request::Tree(query) => Some(channel.tree(store, &query).map(Response::Tree)),
            Request::Versions(query) => Some(channel.versions(store, &query, now_ms).map(Response::History)),
            Request::Annotations(query) => Some(channel.annotations(store, &query, now_ms).map(Response::History)),
            Request::ClientSummary(message, client_id) => {
                Some(channel.client_summary(store, &message, &client_id, now_ms).map(Response::ClientSummary))
            }
            Request::Purge(through) => Some(channel.purge(store, through, now_ms).map(Response::Purged)),
            Request::Next(cursor) => Some(channel.next(store, cursor, now_ms).map(Response::Delivery)),
        };
        self.channel_does(Channel::follow_up);
        answer
    }

    pub(super) fn tell(&mut self, waiting: Waiting, answer: Answer<Response>) {
        match waiting {
            Waiting::Beside(ticket) => self.answer_relay(ticket, Some(answer)),
            // The caller may have gone; a publish is in the log all the same.
            Waiting::Caller(caller) => self.reply(caller, Reply::Response(answer)),
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer<Response>) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            self.tell(waiting, answer);
        }
    }

    pub(super) fn answer_relay(&mut self, ticket: Ticket, answer: Option<Answer<Response>>) {
        self.relay_does(|relay, now_ms| relay.answered(ticket, answer, now_ms));
    }

    /// A channel's delivery, or that of the relay above. What goes on to relays below leaves before the sockets here
    /// are served, which takes 0.1 s where there are thousands; the answer says that it is done.
    pub(super) fn pass_on(&mut self, caller: CallerId, delivery: &Delivery) -> Turn {
        let answer = self.take_delivery(delivery);
        self.work.push_back(Work::Answer(caller, Reply::Delivered(answer)));
        self.deliver_first()
    }

    /// The answer to a call of the relay, which may carry a delivery.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: Option<Answer<Response>>) -> Turn {
        let answer = match answer {
            // As where a delivery comes by itself. The channel will ask whether it has it.
            Some(Ok(Response::Carried(published, _))) if !self.leads => Some(Ok(Response::Published(published))),
            answer => answer,
        };
        self.answer_relay(ticket, answer);
        self.deliver_first()
    }

    fn deliver_first(&mut self) -> Turn {
        match self.perform_deliveries() {
            true => {
                self.start(Timer::FanOut, 0);
                Turn::Ends
            }
            false => Turn::Goes,
        }
    }

    pub(super) fn take_delivery(&mut self, delivery: &Delivery) -> Delivered {
        if !self.leads {
            return Delivered::NotYet;
        }
        let Some(relay) = &mut self.relay else { return Delivered::Unsubscribed };
        let (answer, effects) = relay.deliver(delivery, self.now_ms);
        self.relay_effects(effects);
        answer
    }

    pub(super) fn delivered(
        &mut self,
        channel: &ChannelName,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Delivered>,
    ) {
        match self.channel {
            Some(_) => {
                self.channel_does(|channel, store, now_ms| channel.delivered(store, relay, attempt, answer, now_ms));
            }
            None => self.relay_does(|above, now_ms| above.delivered(channel, relay, attempt, answer, now_ms)),
        }
    }

    /// A channel asks whom it has here.
    pub(super) fn probe(&mut self, probe: &Probe) -> Probed {
        let Some(relay) = &mut self.relay else {
            return Probed { missing: probe.connections.clone(), ..Probed::default() };
        };
        let (answer, effects) = relay.probe(probe, self.now_ms);
        self.relay_effects(effects);
        answer
    }

    /// Whose connection this is the key of, if it is here.
    pub(super) fn identify(&mut self, caller: CallerId, key: &str) {
        let relay = self.relay.as_ref();
        let answer = relay.map_or(Err(Code::BadConnectionKey.into()), |relay| relay.identify(key));
        self.reply(caller, Reply::Response(answer));
    }

    /// An operator asks who is here, or ends them.
    pub(super) fn inspect(&mut self, caller: CallerId, inspection: Inspection) {
        let inspected = match &mut self.relay {
            Some(relay) => {
                let (inspected, effects) = relay.inspect(inspection, self.now_ms);
                self.relay_effects(effects);
                inspected
            }
            None => inspection.of_nobody(),
        };
        self.reply(caller, Reply::Inspected(inspected));
    }

    pub(super) fn probed(&mut self, relay: &RelayName, attempt: u64, answer: Option<Probed>) {
        self.channel_does(|channel, store, now_ms| channel.probed(store, relay, attempt, answer, now_ms));
    }

    /// Another relay is to be fed by this one.
    pub(super) fn follow(&mut self, caller: CallerId, follow: Follow) {
        let answer = match self.watch_first(&follow) {
            Ok(Some(call)) => return self.ask_app(Asked::Follow(caller, follow), call),
            Ok(None) => self.followed(&follow),
            Err(error) => Err(error),
        };
        self.reply(caller, Reply::Response(answer));
    }

    fn watch_first(&mut self, follow: &Follow) -> Answer<Option<AppCall>> {
        let above = placement::above(&follow.relay).ok_or(Code::InternalChannel)?;
        let (app, _) = placement::app_and_shard(&above).ok_or(Code::InternalChannel)?;
        let is_needed = self.needs_watch(&app, false)?;
        Ok(is_needed.then_some(AppCall { app, request: AppRequest::Watch(above) }))
    }

    pub(super) fn followed(&mut self, follow: &Follow) -> Answer<Response> {
        let above = placement::above(&follow.relay).ok_or(Code::InternalChannel)?;
        let (app, shard) = placement::app_and_shard(&above).ok_or(Code::InternalChannel)?;
        let now_ms = self.now_ms;
        let (answer, effects) = self.relay_for(&app, shard, None)?.follow(follow, now_ms);
        self.relay_effects(effects);
        let answer = answer?;
        let stored = self.store.add_follower(&follow.channel, &follow.relay);
        stored.map(|()| answer).map_err(failed)
    }
}
