//! One object as the platform runs it: the driver with its memory, its disk, its sockets, and the gate that holds back
//! what it says until what it wrote is durable. It decides nothing.
//!
//! Memory can go at any time; sockets and their records go with the process, the disk never.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use courtside::auth::{App, Apps, Identity};
use courtside::model::Format;
use courtside::object::{self, CallerId, Class, Entrance, Kept, Question, Reply, Settings, Timer};
use courtside::protocol::Encoded;
use courtside::relay::SocketId;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::placement::{self, Shard};
use courtside::rpc::{
    Address, ChannelCall, HistoryPage, HistoryQuery, HookRequest, RelayName, Request, Response, Rules,
};
use courtside::transport::comet::{Claim, Verb};
use courtside::transport::{Mode, ResponseId};

use super::disk::Disk;

/// How long after a failure the platform rings again.
const REPEAT_ALARM_MS: u64 = 1_000;

/// Names a connection between a client and an object to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl std::fmt::Display for LinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "transport {}", self.0)
    }
}

/// What happens to an object: by its clients, or else.
#[derive(Clone, Debug)]
pub enum Input {
    Open {
        link: LinkId,
        mode: Option<Mode>,
        opening: Opening,
        fresh_id: String,
    },
    Frame {
        link: LinkId,
        bytes: Vec<u8>,
        format: Format,
    },
    Lost {
        link: LinkId,
    },
    /// A request of a connection over HTTP.
    Comet {
        link: LinkId,
        caller: CallerId,
        verb: Verb,
        key: String,
        body: Vec<u8>,
    },
    Object(object::Input),
}

/// What an object says.
#[derive(Debug)]
pub enum Output {
    Frame {
        link: LinkId,
        frame: Rc<Encoded>,
    },
    Body(Body),
    Close {
        link: LinkId,
    },
    /// A request of a connection over HTTP is refused.
    Refuse {
        link: LinkId,
    },
    Ask(Question),
    /// To the receiver of a webhook.
    Post(HookRequest),
    Answer {
        id: CallerId,
        reply: Reply,
    },
}

/// What is written into a response.
#[derive(Debug)]
pub struct Body {
    pub link: LinkId,
    pub response: ResponseId,
    pub text: String,
    pub last: bool,
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
            Output::Ask(Question::Call { call, .. }) => Some(call.to.object_name()),
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

#[derive(Debug)]
struct Socket {
    link: LinkId,
    record: Vec<u8>,
}

/// What a turn came to. What it says is to be [`released`](Host::release).
#[derive(Debug, Default)]
pub struct Turned {
    pub wrote: bool,
    /// Timers, and how long after now they ring.
    pub started: Vec<(Timer, u64)>,
    /// It waits to be told when its alarm rings.
    pub asks_alarm: bool,
}

pub struct Host {
    pub name: RelayName,
    pub app: Rc<App>,
    /// Whether the app is the deployment's own, from the next memory on.
    pub is_configured: bool,
    bounds: Bounds,
    /// Of a channel object.
    pub address: Option<Address>,
    /// Always there; it holds the disk.
    driver: Option<object::Host<Disk>>,
    awake: bool,
    sockets: BTreeMap<SocketId, Socket>,
    by_link: BTreeMap<LinkId, SocketId>,
    /// Requests of clients that wait for an answer.
    requests: BTreeMap<CallerId, LinkId>,
    /// Clients that left before they were let in. The platform says so of the sockets that they are given.
    left: BTreeSet<LinkId>,
    /// Responses that are written.
    responses: BTreeMap<u32, LinkId>,
    /// Calls that wait for an answer.
    callers: BTreeSet<CallerId>,
    outputs: Vec<Output>,
    held: VecDeque<Held>,
    turns_written: u64,
    turns_synced: u64,
    /// Calls whose answers this memory waits for.
    in_flight: usize,
    timers: usize,
    /// The platform does not say at once when the alarm rings; whoever holds the object does, if anybody.
    pub holds_alarm: bool,
    /// Counts the memories; an answer to one that is gone finds nobody.
    pub life: u64,
    /// Counts the processes; a write under way when one is lost never becomes durable.
    pub crashes: u64,
    pub synced_at_ms: u64,
    pub skew_ms: i64,
}

impl Host {
    pub fn new(name: RelayName, app: Rc<App>, address: Option<Address>, disk: Disk) -> Host {
        let mut host = Host {
            name,
            app,
            is_configured: true,
            bounds: Bounds::default(),
            address,
            driver: None,
            awake: false,
            sockets: BTreeMap::new(),
            by_link: BTreeMap::new(),
            requests: BTreeMap::new(),
            left: BTreeSet::new(),
            responses: BTreeMap::new(),
            callers: BTreeSet::new(),
            outputs: Vec::new(),
            held: VecDeque::new(),
            turns_written: 0,
            turns_synced: 0,
            in_flight: 0,
            timers: 0,
            holds_alarm: false,
            life: 0,
            crashes: 0,
            synced_at_ms: 0,
            skew_ms: 0,
        };
        host.build(disk);
        host
    }

    /// What it may take in and give out, from the next memory on.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.forget();
    }

    fn build(&mut self, disk: Disk) {
        let class = if self.address.is_some() { Class::Channel } else { Class::Relay };
        let settings =
            Settings { apps: Ok(Rc::new(Apps::of(self.is_configured.then(|| self.app.clone())))), bounds: self.bounds };
        self.driver = Some(object::Host::new(class, settings, disk));
    }

    fn driver(&mut self) -> &mut object::Host<Disk> {
        self.driver.as_mut().expect("always there")
    }

    pub fn disk(&self) -> &Disk {
        self.driver.as_ref().expect("always there").store()
    }

    pub fn disk_mut(&mut self) -> &mut Disk {
        self.driver().store_mut()
    }

    pub fn is_awake(&self) -> bool {
        self.awake
    }

    /// Whether nothing would notice that the memory goes.
    pub fn is_quiet(&self) -> bool {
        let waits = self.in_flight > 0 || self.timers > 0 || !self.callers.is_empty() || !self.requests.is_empty();
        let holds = self.driver.as_ref().is_some_and(|driver| driver.links() > 0);
        !waits && !holds && self.held.is_empty() && self.disk().is_synced()
    }

    pub fn sockets(&self) -> impl Iterator<Item = LinkId> {
        self.by_link.keys().copied()
    }

    /// Requests over HTTP that are open.
    pub fn requests(&self) -> BTreeSet<LinkId> {
        self.requests.values().chain(self.responses.values()).copied().collect()
    }

    /// The memory is lost. Gives the callers who waited for it.
    pub fn forget(&mut self) -> BTreeSet<CallerId> {
        let disk = self.driver.take().expect("always there").into_store();
        self.build(disk);
        self.requests.clear();
        self.left.clear();
        self.responses.clear();
        (self.awake, self.in_flight, self.timers) = (false, 0, 0);
        self.life += 1;
        std::mem::take(&mut self.callers)
    }

    /// The process is lost: memory, sockets, and whatever was not durable with all that depended on it.
    pub fn crash(&mut self) {
        self.forget();
        self.crashes += 1;
        self.disk_mut().crash();
        self.sockets.clear();
        self.by_link.clear();
        self.held.clear();
        self.turns_synced = self.turns_written;
    }

    /// The channel's history, as a REST request reads it.
    pub fn history(&mut self, query: HistoryQuery, now_ms: u64) -> HistoryPage {
        self.disk_mut().failures = 0;
        let to = self.address.clone().expect("a channel's object");
        let rules = Rules::on(&self.app, &to.channel);
        let (caller, call) = (CallerId(0), ChannelCall { to, rules, request: Request::History(query) });
        self.turn(Input::Object(object::Input::Call { caller, call }), now_ms);
        let page = self.held.iter().rev().find_map(|held| match &held.output {
            Output::Answer { id, reply: Reply::Response(Ok(Response::History(page))) } if *id == caller => {
                Some(page.clone())
            }
            _ => None,
        });
        page.expect("an answer at once")
    }

    /// One turn of the event loop.
    pub fn turn(&mut self, input: Input, now_ms: u64) -> Turned {
        let mut turned = Turned::default();
        if !std::mem::replace(&mut self.awake, true) {
            let sockets = self.sockets.iter();
            let sockets = sockets.map(|(id, socket)| Kept { socket: *id, record: socket.record.clone() }).collect();
            let fresh_epoch = format!("life{}", self.life);
            self.drive(object::Input::Wake { sockets, fresh_epoch }, now_ms, &mut turned);
        }
        if let Some(input) = self.meant_for_driver(input) {
            self.drive(input, now_ms, &mut turned);
        }
        self.lose_left(now_ms, &mut turned);
        turned.wrote = self.disk_mut().end_turn();
        self.turns_written += u64::from(turned.wrote);
        let (turn, life) = (self.turns_written, self.life);
        // The order between sockets, or channels, is of no consequence, and the core takes it from hash maps: here it
        // must repeat.
        self.outputs.sort_by_cached_key(|output| (output.link(), output.callee()));
        self.held.extend(self.outputs.drain(..).map(|output| Held { turn, life, output }));
        turned
    }

    fn lose_left(&mut self, now_ms: u64, turned: &mut Turned) {
        for link in std::mem::take(&mut self.left) {
            if let Some(lost) = self.meant_for_driver(Input::Lost { link }) {
                self.drive(lost, now_ms, turned);
            }
        }
    }

    fn drive(&mut self, input: object::Input, now_ms: u64, turned: &mut Turned) {
        for output in self.driver().turn(input, now_ms) {
            self.perform(output, now_ms, turned);
        }
    }

    /// What the driver gets of an event; nothing of one about a socket that is gone.
    fn meant_for_driver(&mut self, input: Input) -> Option<object::Input> {
        match input {
            Input::Open { link, mode, opening, fresh_id } => {
                let caller = CallerId(link.0);
                self.requests.insert(caller, link);
                let channel = self.address.clone().map(|to| (to.clone(), Rules::on(&self.app, &to.channel)));
                let shard = placement::app_and_shard(&self.name).map_or(Shard::CHANNEL, |(_, shard)| shard);
                let entrance = Box::new(Entrance { opening, shard, channel, mode, fresh_id });
                Some(object::Input::Connect { caller, entrance })
            }
            Input::Frame { link, bytes, format } => {
                self.by_link.get(&link).map(|socket| object::Input::Frame { socket: *socket, bytes, format })
            }
            Input::Lost { link } => {
                if self.requests.values().any(|waiting| *waiting == link) {
                    self.left.insert(link);
                }
                let socket = self.by_link.remove(&link)?;
                self.sockets.remove(&socket);
                Some(object::Input::Lost { socket })
            }
            Input::Comet { link, caller, verb, key, body } => {
                self.requests.insert(caller, link);
                let claim = Claim { key, by: Some(Identity::Wildcard) };
                Some(object::Input::Comet { caller, verb, claim, body })
            }
            Input::Object(input) => {
                self.note(&input);
                Some(input)
            }
        }
    }

    fn note(&mut self, input: &object::Input) {
        use object::Input::{
            Alarm, AlarmKnown, Answered, AppAnswered, Call, Deliver, Delivered, Follow, Identify, Notice, Posted,
            Probe, Probed, Rang,
        };
        match input {
            Call { caller, .. }
            | Follow { caller, .. }
            | Deliver { caller, .. }
            | Probe { caller, .. }
            | Identify { caller, .. }
            | Notice { caller, .. } => drop(self.callers.insert(*caller)),
            Answered { .. }
            | Delivered { .. }
            | Probed { .. }
            | AppAnswered { .. }
            | Posted { .. }
            | AlarmKnown { .. } => {
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            Rang(_) => self.timers -= 1,
            Alarm => self.disk_mut().set_alarm(None),
            _ => {}
        }
    }

    fn perform(&mut self, output: object::Output, now_ms: u64, turned: &mut Turned) {
        match output {
            object::Output::Accept { caller, socket } => {
                let link = self.requests.remove(&caller).expect("it asked to come in");
                self.sockets.insert(socket, Socket { link, record: Vec::new() });
                self.by_link.insert(link, socket);
            }
            object::Output::Send { sockets, frame } => {
                let frame = Rc::new(frame);
                let links = sockets.iter().filter_map(|socket| self.sockets.get(socket)).map(|socket| socket.link);
                self.outputs.extend(links.map(|link| Output::Frame { link, frame: frame.clone() }));
            }
            object::Output::Save { socket, record } => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.record = record;
                }
            }
            object::Output::Close { socket } => {
                if let Some(Socket { link, .. }) = self.sockets.remove(&socket) {
                    self.by_link.remove(&link);
                    self.outputs.push(Output::Close { link });
                }
            }
            object::Output::Respond { caller, response, .. } => {
                let link = self.requests.remove(&caller).expect("it asked for a response");
                self.responses.insert(response.number, link);
            }
            object::Output::Write { response, body: text, last } => {
                let link = *self.responses.get(&response.number).expect("a response that was begun");
                if last {
                    self.responses.remove(&response.number);
                }
                self.outputs.push(Output::Body(Body { link, response, text, last }));
            }
            // Who still reads it loses patience.
            object::Output::Cut { response } => drop(self.responses.remove(&response.number)),
            object::Output::Answer { caller, reply } => self.answer(caller, reply),
            object::Output::Ask(question) => {
                self.in_flight += 1;
                self.outputs.push(Output::Ask(question));
            }
            object::Output::Post(request) => {
                self.in_flight += 1;
                self.outputs.push(Output::Post(request));
            }
            object::Output::Start { timer, after_ms } => {
                self.timers += 1;
                turned.started.push((timer, after_ms));
            }
            object::Output::AskAlarm if self.holds_alarm => {
                self.in_flight += 1;
                turned.asks_alarm = true;
            }
            object::Output::AskAlarm => {
                let at_ms = self.disk().alarm_ms();
                self.drive(object::Input::AlarmKnown { at_ms }, now_ms, turned);
            }
            object::Output::SetAlarm { at_ms } => self.disk_mut().set_alarm(Some(at_ms)),
            object::Output::RepeatAlarm { .. } => self.disk_mut().set_alarm(Some(now_ms + REPEAT_ALARM_MS)),
        }
    }

    fn answer(&mut self, caller: CallerId, reply: Reply) {
        self.callers.remove(&caller);
        let output = match (self.requests.remove(&caller), reply) {
            (Some(link), Reply::Refused(_)) => Output::Close { link },
            (Some(_), Reply::Http(reply)) if reply.status < 300 => return,
            (Some(link), Reply::Http(_)) => Output::Refuse { link },
            (_, reply) => Output::Answer { id: caller, reply },
        };
        self.outputs.push(output);
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
