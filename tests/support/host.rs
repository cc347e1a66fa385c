//! One object as the platform runs it: the cores in its memory, its disk, its sockets, and the gate that holds back what
//! it says until what it wrote is durable.
//!
//! A relay object has a relay core; a channel object has a channel core, and a relay core for the sockets that it holds
//! itself. Memory can go at any time; sockets and their records go with the process, the disk never.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use courtside::auth::App;
use courtside::call::{
    Address, Answer, ChannelCall, Delivered, Delivery, HistoryPage, HistoryQuery, Missing, RelayName, Request,
    Response, Roll, Rules,
};
use courtside::channel::{self, Channel, Ticket};
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::wire::{Encoded, Format};

use super::disk::Disk;

/// Names a connection between a client and an object to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl std::fmt::Display for LinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "transport {}", self.0)
    }
}

/// Names a call between two objects to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// What happens to an object.
#[derive(Clone, Debug)]
pub enum Input {
    Open { link: LinkId, opening: Opening, fresh_id: String },
    Frame { link: LinkId, bytes: Vec<u8>, format: Format },
    Lost { link: LinkId },
    Call { id: CallId, call: ChannelCall },
    Answered { ticket: Ticket, answer: Option<Answer<Response>> },
    Deliver { id: CallId, delivery: Delivery },
    Delivered { relay: RelayName, attempt: u64, answer: Option<Delivered> },
    Roll { id: CallId, roll: Roll },
    Rolled { relay: RelayName, attempt: u64, answer: Option<Missing> },
    Commit,
    Alarm,
}

/// What an object says.
#[derive(Debug)]
pub enum Output {
    Frame { link: LinkId, frame: Rc<Encoded> },
    Close { link: LinkId },
    Call { ticket: Ticket, call: ChannelCall },
    Deliver { relay: RelayName, attempt: u64, delivery: Delivery },
    Roll { relay: RelayName, attempt: u64, roll: Roll },
    Answer { id: CallId, answer: Option<Answer<Response>> },
    Delivered { id: CallId, answer: Delivered },
    Missing { id: CallId, answer: Missing },
}

impl Output {
    fn link(&self) -> Option<LinkId> {
        match self {
            Output::Frame { link, .. } | Output::Close { link } => Some(*link),
            _ => None,
        }
    }
}

/// Something said that may not leave before a turn is durable.
#[derive(Debug)]
struct Held {
    turn: u64,
    life: u64,
    output: Output,
}

/// Who waits for a publish.
#[derive(Debug)]
enum Waiting {
    Beside(Ticket),
    Caller(CallId),
}

enum Work {
    Relay(relay::Effect),
    Channel(channel::Effect),
}

#[derive(Debug)]
struct Socket {
    link: LinkId,
    record: Vec<u8>,
}

pub struct Host {
    pub name: RelayName,
    app: Rc<App>,
    /// Of a channel object.
    pub address: Option<Address>,
    pub disk: Disk,
    sockets: BTreeMap<SocketId, Socket>,
    relay: Option<Relay>,
    channel: Option<Channel>,
    waiting: BTreeMap<Ticket, Waiting>,
    last_ticket: u64,
    work: VecDeque<Work>,
    outputs: Vec<Output>,
    held: VecDeque<Held>,
    turns_written: u64,
    turns_synced: u64,
    /// Calls whose answers this memory waits for.
    pub in_flight: usize,
    /// Counts the memories; an answer to one that is gone finds nobody.
    pub life: u64,
    /// Counts the processes; a write under way when one is lost never becomes durable.
    pub crashes: u64,
    pub synced_at_ms: u64,
    pub skew_ms: i64,
    pub commit_scheduled: bool,
}

impl Host {
    pub fn new(name: RelayName, app: Rc<App>, address: Option<Address>, disk: Disk) -> Host {
        Host {
            name,
            app,
            address,
            disk,
            sockets: BTreeMap::new(),
            relay: None,
            channel: None,
            waiting: BTreeMap::new(),
            last_ticket: 0,
            work: VecDeque::new(),
            outputs: Vec::new(),
            held: VecDeque::new(),
            turns_written: 0,
            turns_synced: 0,
            in_flight: 0,
            life: 0,
            crashes: 0,
            synced_at_ms: 0,
            skew_ms: 0,
            commit_scheduled: false,
        }
    }

    pub fn is_awake(&self) -> bool {
        self.relay.is_some() || self.channel.is_some()
    }

    /// Whether nothing would notice that the memory goes.
    pub fn is_quiet(&self) -> bool {
        let idle = self.in_flight == 0 && self.waiting.is_empty() && !self.commit_scheduled;
        idle && self.held.is_empty() && self.disk.is_synced()
    }

    pub fn wants_commit(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::has_pending)
    }

    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.sockets.values().map(|socket| socket.link)
    }

    /// The memory is lost. Gives the callers who waited for it.
    pub fn forget(&mut self) -> Vec<CallId> {
        (self.relay, self.channel) = (None, None);
        (self.in_flight, self.commit_scheduled, self.last_ticket) = (0, false, 0);
        self.life += 1;
        let caller = |waiting| match waiting {
            Waiting::Caller(id) => Some(id),
            Waiting::Beside(_) => None,
        };
        std::mem::take(&mut self.waiting).into_values().filter_map(caller).collect()
    }

    /// The process is lost: memory, sockets, and whatever was not durable with all that depended on it.
    pub fn crash(&mut self) {
        self.forget();
        self.crashes += 1;
        self.disk.crash();
        self.sockets.clear();
        self.held.clear();
        self.turns_synced = self.turns_written;
    }

    /// The channel's history, as a REST request would read it.
    pub fn history(&mut self, query: &HistoryQuery, now_ms: u64) -> HistoryPage {
        self.disk.failures = 0;
        self.wake_channel(None, now_ms).expect("the disk doesn't fail");
        let channel = self.channel.as_mut().expect("a channel that was used");
        channel.history(&mut self.disk, query, now_ms).expect("the disk doesn't fail")
    }

    /// One turn of the event loop. Gives whether it wrote; what it says is to be [`released`](Host::release).
    pub fn turn(&mut self, input: Input, now_ms: u64) -> bool {
        self.take(input, now_ms);
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Relay(effect) => self.perform_relay(effect, now_ms),
                Work::Channel(effect) => self.perform_channel(effect, now_ms),
            }
        }
        self.keep_alarm();
        let wrote = self.disk.end_turn();
        self.turns_written += u64::from(wrote);
        let (turn, life) = (self.turns_written, self.life);
        // The order between sockets is of no consequence, and the core takes it from a hash map: here it must repeat.
        self.outputs.sort_by_key(Output::link);
        self.held.extend(self.outputs.drain(..).map(|output| Held { turn, life, output }));
        wrote
    }

    /// The oldest turn that wrote is durable.
    pub fn synced(&mut self) {
        self.turns_synced += 1;
    }

    /// What may leave: everything that was said before a write that isn't durable yet, and by which memory.
    pub fn release(&mut self) -> Vec<(u64, Output)> {
        let open = self.held.iter().take_while(|held| held.turn <= self.turns_synced).count();
        self.held.drain(..open).map(|held| (held.life, held.output)).collect()
    }

    fn take(&mut self, input: Input, now_ms: u64) {
        match input {
            Input::Open { link, opening, fresh_id } => {
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
            Input::Call { id, call } => self.call(call, Waiting::Caller(id), now_ms),
            Input::Answered { ticket, answer } => {
                self.relay_input(|relay| relay.answered(ticket, answer, now_ms));
            }
            Input::Deliver { id, delivery } => {
                self.wake_relay(now_ms);
                let answer = self.deliver(&delivery, now_ms);
                self.outputs.push(Output::Delivered { id, answer });
            }
            Input::Delivered { relay, attempt, answer } => self.delivered(&relay, attempt, answer, now_ms),
            Input::Roll { id, roll } => {
                self.wake_relay(now_ms);
                let answer = self.roll(&roll);
                self.outputs.push(Output::Missing { id, answer });
            }
            Input::Rolled { relay, attempt, answer } => {
                self.channel_input(|channel, disk| channel.rolled(disk, &relay, attempt, answer, now_ms));
            }
            Input::Commit => {
                self.commit_scheduled = false;
                self.channel_input(|channel, disk| channel.commit(disk, now_ms));
            }
            Input::Alarm => self.alarm(now_ms),
        }
    }

    fn alarm(&mut self, now_ms: u64) {
        self.disk.set_alarm(None);
        if !self.sockets.is_empty() {
            self.wake_relay(now_ms);
        }
        self.relay_input(|relay| relay.tick(now_ms));
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
        self.sockets.iter().find(|(_, socket)| socket.link == link).map(|(id, _)| *id)
    }

    fn wake_relay(&mut self, now_ms: u64) {
        if self.relay.is_some() {
            return;
        }
        let mut relay = Relay::new(self.name.clone(), 0, self.app.clone(), b"a secret of this object".to_vec());
        let mut effects = Vec::new();
        for (id, socket) in &self.sockets {
            effects.extend(relay.restore(*id, &socket.record, now_ms));
        }
        effects.extend(relay.restored(now_ms));
        self.relay = Some(relay);
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    fn relay_input(&mut self, input: impl FnOnce(&mut Relay) -> Vec<relay::Effect>) {
        let effects = self.relay.as_mut().map(input).unwrap_or_default();
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    fn perform_relay(&mut self, effect: relay::Effect, now_ms: u64) {
        match effect {
            relay::Effect::Save { socket, record } => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.record = record;
                }
            }
            relay::Effect::Send { sockets, frame } => {
                let frame = Rc::new(frame);
                let links = sockets.iter().filter_map(|socket| self.sockets.get(socket)).map(|socket| socket.link);
                self.outputs.extend(links.map(|link| Output::Frame { link, frame: frame.clone() }));
            }
            relay::Effect::Close { socket } => {
                let closed = self.sockets.remove(&socket);
                self.outputs.extend(closed.map(|socket| Output::Close { link: socket.link }));
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

    fn deliver(&mut self, delivery: &Delivery, now_ms: u64) -> Delivered {
        let Some(relay) = &mut self.relay else { return Delivered::Unsubscribed };
        let (answer, effects) = relay.deliver(delivery, now_ms);
        self.work.extend(effects.into_iter().map(Work::Relay));
        answer
    }

    fn roll(&mut self, roll: &Roll) -> Missing {
        self.relay.as_ref().map_or_else(|| Missing(roll.connections.clone()), |relay| relay.roll(roll))
    }

    fn wake_channel(&mut self, rules: Option<Rules>, now_ms: u64) -> Result<(), ()> {
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
        if self.wake_channel(Some(call.rules), now_ms).is_err() {
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
            Request::Subscribe(relay) => channel.subscribe(store, relay).map(Response::Subscribed),
            Request::Read(from) => channel.read(store, &from, now_ms).map(Response::Backlog),
            Request::History(query) => channel.history(store, &query, now_ms).map(Response::History),
            Request::Members(query) => channel.members(store, &query).map(Response::Members),
        };
        self.reply(waiting, Some(answer), now_ms);
    }

    fn reply(&mut self, waiting: Waiting, answer: Option<Answer<Response>>, now_ms: u64) {
        match waiting {
            Waiting::Beside(ticket) => self.relay_input(|relay| relay.answered(ticket, answer, now_ms)),
            Waiting::Caller(id) => self.outputs.push(Output::Answer { id, answer }),
        }
    }

    fn perform_channel(&mut self, effect: channel::Effect, now_ms: u64) {
        match effect {
            channel::Effect::Reply(ticket, answer) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    self.reply(waiting, Some(answer.map(Response::Published)), now_ms);
                }
            }
            channel::Effect::Deliver { relay, attempt, delivery } if relay == self.name => {
                self.wake_relay(now_ms);
                let answer = self.deliver(&delivery, now_ms);
                self.delivered(&relay, attempt, Some(answer), now_ms);
            }
            channel::Effect::Roll { relay, attempt, roll } if relay == self.name => {
                self.wake_relay(now_ms);
                let answer = Some(self.roll(&roll));
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

    /// Never moves an alarm back: what asked for it may be what the memory has lost.
    fn keep_alarm(&mut self) {
        let relay = self.relay.as_ref().and_then(Relay::deadline);
        let channel = self.channel.as_ref().and_then(Channel::deadline);
        let Some(deadline_ms) = [relay, channel].into_iter().flatten().min() else { return };
        if self.disk.alarm_ms().is_none_or(|alarm_ms| alarm_ms > deadline_ms) {
            self.disk.set_alarm(Some(deadline_ms));
        }
    }
}
