//! One object as the platform runs it: the cores in its memory, its disk, its sockets, and the gate that holds back what
//! it says until what it wrote is durable.
//!
//! A relay object has a relay core; a channel object has a channel core, and a relay core for the sockets that it holds
//! itself. Memory can go at any time; sockets and their records go with the process, the disk never.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use courtside::auth::App;
use courtside::call::{Address, Answer, ChannelCall, Delivered, Delivery, Follow, RelayName, Response, Roll, Rolled};
use courtside::channel::{self, Channel, Ticket};
use courtside::name::ChannelName;
use courtside::relay::admission::Bounds;
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::transport::{self, Links, Mode, ResponseId};
use courtside::wire::{Encoded, Format};

use super::disk::Disk;
use super::http::Body;

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
    Open { link: LinkId, mode: Option<Mode>, opening: Opening, fresh_id: String },
    Frame { link: LinkId, bytes: Vec<u8>, format: Format },
    Lost { link: LinkId },
    Recv { link: LinkId },
    Written { response: ResponseId, went_well: bool },
    Call { id: CallId, call: ChannelCall },
    Answered { ticket: Ticket, answer: Option<Answer<Response>> },
    Follow { id: CallId, follow: Follow },
    Deliver { id: CallId, delivery: Delivery },
    Delivered { channel: ChannelName, relay: RelayName, attempt: u64, answer: Option<Delivered> },
    Roll { id: CallId, roll: Roll },
    Rolled { relay: RelayName, attempt: u64, answer: Option<Rolled> },
    Commit,
    Timer,
    Alarm,
}

/// What an object says.
#[derive(Debug)]
pub enum Output {
    Frame { link: LinkId, frame: Rc<Encoded> },
    Body(Body),
    Close { link: LinkId },
    Call { ticket: Ticket, call: ChannelCall },
    Follow { ticket: Ticket, above: RelayName, follow: Follow },
    Deliver { relay: RelayName, attempt: u64, delivery: Delivery },
    Roll { relay: RelayName, attempt: u64, roll: Roll },
    Answer { id: CallId, answer: Option<Answer<Response>> },
    Delivered { id: CallId, answer: Delivered },
    Rolled { id: CallId, answer: Rolled },
}

impl Output {
    fn link(&self) -> Option<LinkId> {
        match self {
            Output::Frame { link, .. } | Output::Close { link } | Output::Body(Body { link, .. }) => Some(*link),
            _ => None,
        }
    }

    fn callee(&self) -> Option<String> {
        match self {
            Output::Call { call, .. } => Some(call.to.object_name()),
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
pub(super) enum Waiting {
    Beside(Ticket),
    Caller(CallId),
}

pub(super) enum Work {
    Relay(relay::Effect),
    Channel(channel::Effect),
    Link(transport::Effect),
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) link: LinkId,
    pub(super) record: Vec<u8>,
}

pub struct Host {
    pub name: RelayName,
    pub(super) app: Rc<App>,
    pub bounds: Bounds,
    /// Of a channel object.
    pub address: Option<Address>,
    pub disk: Disk,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    /// Connections over HTTP. Their numbers are never used again, and are none of a socket.
    pub(super) http: Links,
    pub(super) ways: BTreeMap<SocketId, LinkId>,
    pub(super) last_way: u32,
    pub(super) relay: Option<Relay>,
    pub(super) channel: Option<Channel>,
    /// The relays that it fed are known again.
    pub(super) leads: bool,
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
    pub(super) last_ticket: u64,
    pub(super) work: VecDeque<Work>,
    pub(super) outputs: Vec<Output>,
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
    /// When its timer rings, which goes with its memory.
    pub timer_ms: Option<u64>,
}

impl Host {
    pub fn new(name: RelayName, app: Rc<App>, address: Option<Address>, disk: Disk) -> Host {
        Host {
            name,
            app,
            bounds: Bounds::default(),
            address,
            disk,
            sockets: BTreeMap::new(),
            http: Links::default(),
            ways: BTreeMap::new(),
            last_way: 1_000_000,
            relay: None,
            channel: None,
            leads: false,
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
            timer_ms: None,
        }
    }

    pub fn is_awake(&self) -> bool {
        self.relay.is_some() || self.channel.is_some()
    }

    /// Whether nothing would notice that the memory goes.
    pub fn is_quiet(&self) -> bool {
        let idle = self.in_flight == 0 && self.waiting.is_empty() && !self.commit_scheduled && self.timer_ms.is_none();
        let idle = idle && self.http.count() == 0;
        idle && self.held.is_empty() && self.disk.is_synced()
    }

    pub fn wants_commit(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::has_pending)
    }

    /// When the timer has to ring for what a relay collects, or for the end of a channel's interval.
    pub fn timer_due_ms(&self) -> Option<u64> {
        let relay = self.relay.as_ref().and_then(Relay::collects_until_ms);
        relay.into_iter().chain(self.channel.as_ref().and_then(Channel::paces_until_ms)).min()
    }

    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.sockets.values().map(|socket| socket.link).chain(self.ways.values().copied())
    }

    /// The memory is lost. Gives the callers who waited for it.
    pub fn forget(&mut self) -> Vec<CallId> {
        (self.relay, self.channel, self.leads) = (None, None, false);
        self.http = Links::default();
        self.ways.clear();
        (self.in_flight, self.commit_scheduled, self.timer_ms, self.last_ticket) = (0, false, None, 0);
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

    /// One turn of the event loop. Gives whether it wrote; what it says is to be [`released`](Host::release).
    pub fn turn(&mut self, input: Input, now_ms: u64) -> bool {
        self.take(input, now_ms);
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Relay(effect) => self.perform_relay(effect, now_ms),
                Work::Channel(effect) => self.perform_channel(effect, now_ms),
                Work::Link(effect) => self.perform_link(effect, now_ms),
            }
        }
        self.forget_ways();
        self.keep_alarm(now_ms);
        let wrote = self.disk.end_turn();
        self.turns_written += u64::from(wrote);
        let (turn, life) = (self.turns_written, self.life);
        // The order between sockets, or channels, is of no consequence, and the core takes it from hash maps: here it must
        // repeat.
        self.outputs.sort_by_cached_key(|output| (output.link(), output.callee()));
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
}
