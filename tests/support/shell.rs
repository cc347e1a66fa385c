//! What an object's shell does: hands inputs to the cores in its memory, performs their effects, keeps its alarm.

use std::rc::Rc;

use courtside::alarm::{self, Alarm};
use courtside::call::{
    Answer, ChannelCall, Delivered, Delivery, Follow, HistoryPage, HistoryQuery, RelayName, Request, Response, Roll,
    Rolled, Rules,
};
use courtside::channel::{self, Channel, Ticket};
use courtside::error::Code;
use courtside::relay::{self, Relay, SocketId};

use super::disk::Disk;
use super::host::{Host, Input, LinkId, Output, Socket, Waiting, Work};

impl Host {
    /// The channel's history, as a REST request would read it.
    pub fn history(&mut self, query: &HistoryQuery, now_ms: u64) -> HistoryPage {
        self.disk.failures = 0;
        self.wake_channel(None, now_ms).expect("the disk doesn't fail");
        let channel = self.channel.as_mut().expect("a channel that was used");
        channel.history(&mut self.disk, query, now_ms).expect("the disk doesn't fail")
    }

    pub(super) fn take(&mut self, input: Input, now_ms: u64) {
        match input {
            Input::Open { link, mode: Some(mode), opening, fresh_id } => {
                self.wake_relay(now_ms);
                self.open_way(link, mode, opening, fresh_id, now_ms);
            }
            Input::Open { link, mode: None, opening, fresh_id } => {
                self.wake_relay(now_ms);
                let socket = self.accept(link);
                self.relay_input(|relay| relay.open(socket, opening, fresh_id, now_ms));
            }
            Input::Frame { link, bytes, format } => {
                self.wake_relay(now_ms);
                if let Some(socket) = self.socket(link) {
                    self.relay_input(|relay| relay.frame(socket, &bytes, format, now_ms));
                }
            }
            Input::Lost { link } => {
                self.wake_relay(now_ms);
                if let Some(socket) = self.socket(link) {
                    self.sockets.remove(&socket);
                    self.relay_input(|relay| relay.lost(socket, now_ms));
                }
            }
            Input::Recv { link } => {
                self.wake_relay(now_ms);
                self.recv(link, now_ms);
            }
            Input::Written { response, went_well } => {
                let effects = self.http.written(response, went_well, now_ms);
                self.link_effects(effects);
            }
            Input::Call { id, call } => self.call(call, Waiting::Caller(id), now_ms),
            Input::Answered { ticket, answer } => {
                self.relay_input(|relay| relay.answered(ticket, answer, now_ms));
            }
            Input::Deliver { id, delivery } => {
                self.wake_relay(now_ms);
                let answer = self.deliver(&delivery, now_ms);
                self.outputs.push(Output::Delivered { id, answer });
            }
            Input::Delivered { channel, relay, attempt, answer } if self.address.is_none() => {
                self.relay_input(|core| core.delivered(&channel, &relay, attempt, answer, now_ms));
            }
            Input::Delivered { relay, attempt, answer, .. } => self.delivered(&relay, attempt, answer, now_ms),
            Input::Follow { id, follow } => {
                self.wake_relay(now_ms);
                let answer = self.follow(&follow, now_ms);
                self.outputs.push(Output::Answer { id, answer: Some(answer) });
            }
            Input::Roll { id, roll } => {
                self.wake_relay(now_ms);
                let answer = self.roll(&roll, now_ms);
                self.outputs.push(Output::Rolled { id, answer });
            }
            Input::Rolled { relay, attempt, answer } => {
                self.channel_input(|channel, disk| channel.rolled(disk, &relay, attempt, answer, now_ms));
            }
            Input::Commit => {
                self.commit_scheduled = false;
                self.channel_input(|channel, disk| channel.commit(disk, now_ms));
            }
            Input::Timer => {
                self.timer_ms = None;
                self.relay_input(|relay| relay.collected(now_ms));
                self.channel_input(|channel, disk| channel.follow_up(disk, now_ms));
            }
            Input::Alarm => self.alarm(now_ms),
        }
    }

    fn alarm(&mut self, now_ms: u64) {
        self.disk.set_alarm(None);
        self.wake_relay(now_ms);
        self.relay_input(|relay| relay.tick(now_ms));
        let effects = self.http.tick(now_ms);
        self.link_effects(effects);
        match self.wake_channel(None, now_ms) {
            Ok(()) => self.channel_input(|channel, disk| channel.tick(disk, now_ms)),
            // The platform repeats an alarm that fails.
            Err(()) => self.disk.set_alarm(Some(now_ms + 1_000)),
        }
    }

    fn accept(&mut self, link: LinkId) -> SocketId {
        let socket = (0..).map(SocketId).find(|id| !self.sockets.contains_key(id)).expect("a free number");
        self.sockets.insert(socket, Socket { link, record: Vec::new() });
        socket
    }

    fn socket(&self, link: LinkId) -> Option<SocketId> {
        let socket = self.sockets.iter().find(|(_, socket)| socket.link == link).map(|(id, _)| *id);
        socket.or_else(|| self.way(link))
    }

    fn wake_relay(&mut self, now_ms: u64) {
        self.restore(now_ms);
        if !self.leads
            && let Ok(followers) = self.disk.followers()
        {
            self.leads = true;
            self.relay_input(|relay| relay.lead(followers, now_ms));
        }
    }

    fn restore(&mut self, now_ms: u64) {
        if self.relay.is_some() {
            return;
        }
        let mut relay = Relay::new(self.name.clone(), 0, self.app.clone(), b"a secret of this object".to_vec());
        relay.set_bounds(self.bounds);
        // Without their rows, as after a failed read, those who need them are closed.
        relay.found(self.disk.rows().unwrap_or_default());
        let mut effects = Vec::new();
        for (id, socket) in &self.sockets {
            effects.extend(relay.restore(*id, &socket.record, now_ms));
        }
        effects.extend(relay.restored(now_ms));
        self.relay = Some(relay);
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    pub(super) fn relay_input(&mut self, input: impl FnOnce(&mut Relay) -> Vec<relay::Effect>) {
        let effects = self.relay.as_mut().map(input).unwrap_or_default();
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    pub(super) fn perform_relay(&mut self, effect: relay::Effect, now_ms: u64) {
        match effect {
            relay::Effect::Rows(rows) => {
                let _ = self.disk.change_rows(&rows);
            }
            relay::Effect::Save { socket, record } => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.record = record;
                }
            }
            relay::Effect::Send { sockets, frame } => {
                let effects = self.http.send(&sockets, frame.clone(), now_ms);
                self.link_effects(effects);
                let frame = Rc::new(frame);
                let links = sockets.iter().filter_map(|socket| self.sockets.get(socket)).map(|socket| socket.link);
                self.outputs.extend(links.map(|link| Output::Frame { link, frame: frame.clone() }));
            }
            relay::Effect::Close { socket } => {
                let effects = self.http.close(socket, now_ms);
                self.link_effects(effects);
                let closed = self.sockets.remove(&socket);
                self.outputs.extend(closed.map(|socket| Output::Close { link: socket.link }));
            }
            relay::Effect::Follow { ticket, above, follow } => {
                self.in_flight += 1;
                self.outputs.push(Output::Follow { ticket, above, follow });
            }
            relay::Effect::Deliver { relay, attempt, delivery } => {
                self.in_flight += 1;
                self.outputs.push(Output::Deliver { relay, attempt, delivery });
            }
            relay::Effect::Unfollowed { channel, relay } => {
                let _ = self.disk.remove_follower(&channel, &relay);
            }
            relay::Effect::Call { ticket, call } if self.address.as_ref() == Some(&call.to) => {
                self.call(call, Waiting::Beside(ticket), now_ms);
            }
            relay::Effect::Call { ticket, call } => {
                self.in_flight += 1;
                self.outputs.push(Output::Call { ticket, call });
            }
        }
    }

    fn follow(&mut self, follow: &Follow, now_ms: u64) -> Answer<Response> {
        let relay = self.relay.as_mut().expect("awake");
        let (answer, effects) = relay.follow(follow, now_ms);
        self.work.extend(effects.into_iter().map(Work::Relay));
        let answer = answer?;
        let stored = self.disk.add_follower(&follow.channel, &follow.relay);
        stored.map(|()| answer).map_err(|error| Code::InternalChannel.because(error.0))
    }

    fn deliver(&mut self, delivery: &Delivery, now_ms: u64) -> Delivered {
        if !self.leads {
            return Delivered::NotYet;
        }
        let Some(relay) = &mut self.relay else { return Delivered::Unsubscribed };
        let (answer, effects) = relay.deliver(delivery, now_ms);
        self.work.extend(effects.into_iter().map(Work::Relay));
        answer
    }

    fn roll(&mut self, roll: &Roll, now_ms: u64) -> Rolled {
        let Some(relay) = &mut self.relay else {
            return Rolled { missing: roll.connections.clone(), ..Rolled::default() };
        };
        let (answer, effects) = relay.roll(roll, now_ms);
        self.work.extend(effects.into_iter().map(Work::Relay));
        answer
    }

    fn wake_channel(&mut self, rules: Option<&Rules>, now_ms: u64) -> Result<(), ()> {
        let (None, Some(address)) = (&self.channel, &self.address) else { return Ok(()) };
        let series = format!("life{}", self.life);
        let call = rules.map(|rules| (address, rules));
        self.channel = Channel::wake(&mut self.disk, call, &series, now_ms).map_err(|_| ())?;
        Ok(())
    }

    fn channel_input(&mut self, input: impl FnOnce(&mut Channel, &mut Disk) -> Vec<channel::Effect>) {
        let effects = self.channel.as_mut().map(|channel| input(channel, &mut self.disk)).unwrap_or_default();
        self.work.extend(effects.into_iter().map(Work::Channel));
    }

    fn call(&mut self, call: ChannelCall, waiting: Waiting, now_ms: u64) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        if self.wake_channel(Some(&call.rules), now_ms).is_err() {
            return self.reply(waiting, None, now_ms);
        }
        let Some(channel) = &mut self.channel else { return self.reply(waiting, None, now_ms) };
        let store = &mut self.disk;
        let answer = match call.request {
            Request::Publish(publishes) => match channel.publish(ticket, publishes) {
                Ok(()) => {
                    self.waiting.insert(ticket, waiting);
                    return;
                }
                Err(error) => Err(error),
            },
            Request::Count => match channel.count(ticket) {
                Ok(()) => {
                    self.waiting.insert(ticket, waiting);
                    return self.channel_input(|channel, disk| channel.follow_up(disk, now_ms));
                }
                Err(error) => Err(error),
            },
            Request::Report(relay, census) => channel.report(store, &relay, census).map(Response::Reported),
            Request::Subscribe(relay, census) => channel.subscribe(store, relay, census).map(Response::Subscribed),
            Request::Read(from) => channel.read(store, &from, now_ms).map(Response::Backlog),
            Request::History(query) => match channel.await_history(store, ticket, query, now_ms) {
                Some(answer) => answer.map(Response::History),
                None => {
                    self.waiting.insert(ticket, waiting);
                    return;
                }
            },
            Request::Members(query) => channel.members(store, &query).map(Response::Members),
            Request::Next(cursor) => channel.next(store, cursor, now_ms).map(Response::Delivery),
        };
        self.channel_input(|channel, disk| channel.follow_up(disk, now_ms));
        self.reply(waiting, Some(answer), now_ms);
    }

    fn reply(&mut self, waiting: Waiting, answer: Option<Answer<Response>>, now_ms: u64) {
        match waiting {
            Waiting::Beside(ticket) => self.relay_input(|relay| relay.answered(ticket, answer, now_ms)),
            Waiting::Caller(id) => self.outputs.push(Output::Answer { id, answer }),
        }
    }

    pub(super) fn perform_channel(&mut self, effect: channel::Effect, now_ms: u64) {
        match effect {
            channel::Effect::Reply(ticket, answer) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    self.reply(waiting, Some(answer), now_ms);
                }
            }
            channel::Effect::Page(ticket, answer) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    self.reply(waiting, Some(answer.map(Response::History)), now_ms);
                }
            }
            channel::Effect::Deliver { relay, attempt, delivery } if relay == self.name => {
                self.wake_relay(now_ms);
                let answer = self.deliver(&delivery, now_ms);
                self.delivered(&relay, attempt, Some(answer), now_ms);
            }
            channel::Effect::Roll { relay, attempt, roll } if relay == self.name => {
                self.wake_relay(now_ms);
                let answer = Some(self.roll(&roll, now_ms));
                self.channel_input(|channel, disk| channel.rolled(disk, &relay, attempt, answer, now_ms));
            }
            channel::Effect::Roll { relay, attempt, roll } => {
                self.in_flight += 1;
                self.outputs.push(Output::Roll { relay, attempt, roll });
            }
            channel::Effect::Deliver { relay, attempt, delivery } => {
                self.in_flight += 1;
                self.outputs.push(Output::Deliver { relay, attempt, delivery });
            }
        }
    }

    fn delivered(&mut self, relay: &RelayName, attempt: u64, answer: Option<Delivered>, now_ms: u64) {
        self.channel_input(|channel, disk| channel.delivered(disk, relay, attempt, answer, now_ms));
    }

    pub(super) fn keep_alarm(&mut self, now_ms: u64) {
        let relay = self.relay.as_ref().and_then(Relay::deadline);
        let channel = self.channel.as_ref().and_then(Channel::deadline);
        let deadline_ms = [relay, channel, self.http.deadline()].into_iter().flatten().min();
        let mut alarm = Alarm::Set { at_ms: self.disk.alarm_ms() };
        if let Some(alarm::Step::Set { at_ms }) = alarm.keep(deadline_ms, now_ms) {
            self.disk.set_alarm(Some(at_ms));
        }
    }
}
