//! A channel and its relays, joined by calls that arrive at once, and clients that keep what they are sent.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use courtside::app::fixtures;
use courtside::auth::{App, Capability, Grant, Identity, KeyName, TokenRequest};
use courtside::call::{Address, Answer, ChannelCall, Counts, Occupancy, RelayName, Request, Response, Rolled, Rules};
use courtside::channel::{self, Channel, Ticket};
use courtside::name::ChannelName;
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::wire::{Encoded, Format};
use serde_json::{Value, json};

use crate::memory_store::MemoryStore;

pub const NOW_MS: u64 = 1_800_000_000_000;

/// Rounds in one millisecond, and what may follow from one thing: more is something that keeps itself busy, and would
/// take all memory that there is.
const AT_ONCE_MAX: usize = 1_000;
const WORK_MAX: usize = 100_000;

/// In the place of a relay: whoever counts.
const NOBODY: usize = usize::MAX;

pub struct World {
    pub now_ms: u64,
    pub store: MemoryStore,
    pub channel: Option<Channel>,
    pub relays: Vec<Relay>,
    records: BTreeMap<(usize, u32), Vec<u8>>,
    frames: BTreeMap<(usize, u32), Vec<Value>>,
    work: VecDeque<Work>,
    waiting: BTreeMap<Ticket, (usize, Ticket)>,
    tickets: u64,
    connections: u32,
    /// The channel's answers are kept until they are released.
    pub hold_answers: bool,
    held: Vec<(usize, Ticket, Answer<Response>)>,
    /// Relays that no call reaches.
    pub unreachable: Vec<usize>,
    /// Questions to relays get no answer, nor that there is none.
    pub lost_rolls: bool,
    /// What counts were answered.
    counted: Vec<Counts>,
    /// Calls that channels got, by name of the request.
    pub calls: BTreeMap<&'static str, usize>,
}

enum Work {
    Relay(usize, relay::Effect),
    Channel(channel::Effect),
}

/// A client's socket: of which relay, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(pub usize, pub u32);

fn app() -> Rc<App> {
    Rc::new(
        serde_json::from_value(json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}]}))
            .expect("an app"),
    )
}

fn relay(index: usize) -> Relay {
    Relay::new(RelayName::shard(app().id(), index as u16), index as u16, app(), b"secret".to_vec())
}

impl World {
    pub fn new(relays: usize) -> World {
        World {
            now_ms: NOW_MS,
            store: MemoryStore::default(),
            channel: None,
            relays: (0..relays).map(relay).collect(),
            records: BTreeMap::new(),
            frames: BTreeMap::new(),
            work: VecDeque::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
            connections: 0,
            hold_answers: false,
            held: Vec::new(),
            unreachable: Vec::new(),
            lost_rolls: false,
            counted: Vec::new(),
            calls: BTreeMap::new(),
        }
    }

    pub fn connect(&mut self, relay: usize, client_id: &str) -> Client {
        self.open(relay, Identity::parse(Some(client_id)).expect("a clientId"), Capability::full(), &[])
    }

    pub fn open(&mut self, relay: usize, identity: Identity, capability: Capability, query: &[(&str, &str)]) -> Client {
        self.connections += 1;
        let socket = self.connections;
        let grant = Grant {
            key_name: KeyName::parse("demo.key").expect("a name"),
            capability,
            client_id: identity,
            basic: true,
            issued_at_ms: None,
            expires_at_ms: None,
            also_revoked_by: None,
            user_claims: Default::default(),
        };
        let query: Vec<_> = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let opening = Opening::from_query(grant, &query, true);
        let id = format!("conn{socket}");
        let effects = self.relays[relay].open(SocketId(socket), opening, id, self.now_ms);
        self.drive(relay, effects);
        Client(relay, socket)
    }

    /// The connection goes on with another socket.
    pub fn resume(&mut self, old: Client, client_id: &str, key: &str) -> Client {
        let identity = Identity::parse(Some(client_id)).expect("a clientId");
        self.open(old.0, identity, Capability::full(), &[("resume", key)])
    }

    /// The connection goes on with a token: what it may do on the channel, and for whom.
    pub fn authorize(&mut self, client: Client, operations: &[&str], client_id: &str) {
        let key = KeyName::parse("demo.key").expect("a name");
        let asked = json!({"keyName": key, "clientId": client_id, "capability": {"room": operations}});
        let authority = Grant::of_key(key.clone(), Capability::full());
        let request = TokenRequest::from_value(&asked).expect("a request");
        let approved = request.approve(&key, Some(&app()), Some(&authority), self.now_ms).expect("approved");
        self.send(client, json!({"action": 17, "auth": {"accessToken": approved.issue([7; 8]).token}}));
    }

    pub fn send(&mut self, client: Client, frame: Value) {
        let bytes = serde_json::to_vec(&frame).expect("JSON");
        let effects = self.relays[client.0].frame(SocketId(client.1), &bytes, Format::Json, self.now_ms);
        self.drive(client.0, effects);
    }

    pub fn attach(&mut self, client: Client) {
        self.send(client, json!({"action": 10, "channel": "room"}));
    }

    /// One presence event; `action` 2 enters, 3 leaves, 4 updates.
    pub fn act(&mut self, client: Client, msg_serial: u64, action: u8, event: Value) {
        let mut event = event;
        event["action"] = json!(action);
        self.send(client, json!({"action": 14, "channel": "room", "msgSerial": msg_serial, "presence": [event]}));
    }

    /// The client's transport is lost, and its relay learns of it.
    pub fn lose(&mut self, client: Client) {
        self.records.remove(&(client.0, client.1));
        let effects = self.relays[client.0].lost(SocketId(client.1), self.now_ms);
        self.drive(client.0, effects);
    }

    /// What the client was sent since this was last asked.
    pub fn take(&mut self, client: Client) -> Vec<Value> {
        self.frames.remove(&(client.0, client.1)).unwrap_or_default()
    }

    /// The presence events among them, each as its action and clientId; data follows, if there is any.
    pub fn events(&mut self, client: Client) -> Vec<String> {
        let frames = self.take(client);
        let of = |frame: &Value| frame["presence"].as_array().cloned().unwrap_or_default();
        frames.iter().filter(|frame| frame["action"] == 14).flat_map(of).map(|event| told(&event)).collect()
    }

    /// The code by which the last frame was refused, or 0 when it was acknowledged.
    pub fn outcome(&mut self, client: Client) -> u64 {
        let frames = self.take(client);
        let answer = frames.iter().rev().find(|frame| frame["action"] == 1 || frame["action"] == 2);
        answer.unwrap_or_else(|| panic!("no answer: {frames:?}"))["error"]["code"].as_u64().unwrap_or(0)
    }

    /// The key by which the connection can be resumed.
    pub fn key(&mut self, client: Client) -> String {
        let frames = self.frames.get(&(client.0, client.1)).expect("frames");
        let connected = frames.iter().find(|frame| frame["action"] == 4).expect("CONNECTED");
        connected["connectionDetails"]["connectionKey"].as_str().expect("a key").to_owned()
    }

    /// Who is stored as present, in order.
    pub fn present(&self) -> Vec<String> {
        let mut present: Vec<String> = self.store.members.keys().map(|key| key.client_id.clone()).collect();
        present.sort();
        present
    }

    /// How many are on the channel, as REST learns it.
    pub fn count(&mut self) -> Occupancy {
        self.ask_count();
        self.counted.pop().expect("an answer at once").occupancy
    }

    /// The same, when it takes a while.
    pub fn ask_count(&mut self) {
        let to = Address { app: app().id().clone(), channel: ChannelName::parse("room").expect("a name") };
        let rules = Rules::of(app().rules(&to.channel));
        self.call(NOBODY, Ticket(0), ChannelCall { to, rules, request: Request::Count });
        self.run();
    }

    pub fn counted(&mut self) -> Option<Occupancy> {
        self.counted.pop().map(|counts| counts.occupancy)
    }

    /// What a client was told of occupancy since it was last asked, each as its JSON.
    pub fn told(&mut self, client: Client) -> Vec<String> {
        let frames = self.take(client);
        let of = |frame: &Value| frame["messages"].as_array().cloned().unwrap_or_default();
        let messages = frames.iter().filter(|frame| frame["action"] == 15).flat_map(of);
        let occupancy = messages.filter(|message| message["name"] == "[meta]occupancy");
        occupancy.map(|message| message["data"].as_str().expect("text").to_owned()).collect()
    }

    /// Time passes, and what is due happens when it is due.
    pub fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        let mut at_once = 0;
        while let Some(due_ms) = self.due_ms().filter(|due_ms| *due_ms <= until_ms) {
            at_once = if due_ms <= self.now_ms { at_once + 1 } else { 0 };
            assert!(at_once < AT_ONCE_MAX, "something goes on and on while no time passes");
            self.now_ms = self.now_ms.max(due_ms);
            for relay in 0..self.relays.len() {
                let effects = self.relays[relay].tick(self.now_ms);
                self.queue_relay(relay, effects);
            }
            if let Some(channel) = &mut self.channel {
                let effects = channel.tick(&mut self.store, self.now_ms);
                self.queue_channel(effects);
            }
            self.run();
        }
        self.now_ms = until_ms;
    }

    /// The alarm rings that the channel set before it lost its memory.
    pub fn wake_by_alarm(&mut self, after_ms: u64) {
        self.now_ms += after_ms;
        if let Some(channel) = &mut self.channel {
            let effects = channel.tick(&mut self.store, self.now_ms);
            self.queue_channel(effects);
        }
        self.run();
    }

    fn due_ms(&self) -> Option<u64> {
        let relays = self.relays.iter().flat_map(|relay| [relay.deadline(), relay.collects_until_ms()]);
        relays.flatten().chain(self.channel.as_ref().and_then(Channel::deadline)).min()
    }

    /// The channel loses its memory; its alarm wakes it.
    pub fn forget_channel(&mut self) {
        self.channel = Channel::wake(&mut self.store, None, "unused", self.now_ms).expect("the store works");
    }

    /// The relay loses its memory; its sockets stay.
    pub fn forget_relay(&mut self, index: usize) {
        self.relays[index] = relay(index);
        let records = self.records.clone();
        for ((_, socket), record) in records.iter().filter(|((relay, _), _)| *relay == index) {
            let effects = self.relays[index].restore(SocketId(*socket), record, self.now_ms);
            self.queue_relay(index, effects);
        }
        let effects = self.relays[index].restored(self.now_ms);
        self.drive(index, effects);
    }

    /// The relay's process dies, and its sockets with it.
    pub fn kill_relay(&mut self, index: usize) {
        self.records.retain(|(relay, _), _| *relay != index);
        self.relays[index] = relay(index);
    }

    fn drive(&mut self, relay: usize, effects: Vec<relay::Effect>) {
        self.queue_relay(relay, effects);
        self.run();
    }

    fn queue_relay(&mut self, relay: usize, effects: Vec<relay::Effect>) {
        self.work.extend(effects.into_iter().map(|effect| Work::Relay(relay, effect)));
    }

    fn queue_channel(&mut self, effects: Vec<channel::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Channel));
    }

    fn run(&mut self) {
        for _ in 0..WORK_MAX {
            match self.work.pop_front() {
                Some(Work::Relay(relay, effect)) => self.perform_relay(relay, effect),
                Some(Work::Channel(effect)) => self.perform_channel(effect),
                None if self.channel.as_ref().is_some_and(Channel::has_pending) => {
                    let channel = self.channel.as_mut().expect("just seen");
                    let effects = channel.commit(&mut self.store, self.now_ms);
                    self.queue_channel(effects);
                }
                None => return,
            }
        }
        panic!("what follows from one thing has no end");
    }

    fn perform_relay(&mut self, relay: usize, effect: relay::Effect) {
        match effect {
            relay::Effect::Save { socket, record } => {
                self.records.insert((relay, socket.0), record);
            }
            relay::Effect::Send { sockets, frame: Encoded::Text(text) } => {
                let frame: Value = serde_json::from_str(&text).expect("JSON");
                for socket in sockets {
                    self.frames.entry((relay, socket.0)).or_default().push(frame.clone());
                }
            }
            relay::Effect::Send { .. } => unreachable!("all speak JSON"),
            relay::Effect::Close { socket } => {
                self.records.remove(&(relay, socket.0));
            }
            relay::Effect::Call { ticket, .. } if self.unreachable.contains(&relay) => self.answer(relay, ticket, None),
            relay::Effect::Call { ticket, call } => self.call(relay, ticket, call),
            other => unreachable!("few relays are all fed by the channel: {other:?}"),
        }
    }

    /// As apps are made with members.
    pub fn enter_without_connection(&mut self, client_id: &str) {
        let body = json!({"channels": [{"name": "room", "presence": [{"clientId": client_id}]}]});
        let call = fixtures::entering(&app(), body.as_object().expect("an object")).expect("a call").remove(0);
        self.call(0, Ticket(0), call);
        self.run();
    }

    fn answer(&mut self, relay: usize, ticket: Ticket, answer: Option<Answer<Response>>) {
        let effects = self.relays[relay].answered(ticket, answer, self.now_ms);
        self.queue_relay(relay, effects);
    }

    fn call(&mut self, relay: usize, ticket: Ticket, call: ChannelCall) {
        let (store, now_ms) = (&mut self.store, self.now_ms);
        if self.channel.is_none() {
            self.channel =
                Channel::wake(store, Some((&call.to, &call.rules)), "life", now_ms).expect("the store works");
        }
        let channel = self.channel.as_mut().expect("woken");
        self.tickets += 1;
        let (name, answer) = match call.request {
            Request::Publish(publishes) => {
                *self.calls.entry("publish").or_default() += 1;
                channel.publish(Ticket(self.tickets), publishes).expect("there is room");
                self.waiting.insert(Ticket(self.tickets), (relay, ticket));
                return;
            }
            Request::Count => {
                *self.calls.entry("count").or_default() += 1;
                channel.count(Ticket(self.tickets)).expect("there is room");
                self.waiting.insert(Ticket(self.tickets), (relay, ticket));
                let effects = channel.follow_up(store, now_ms);
                return self.queue_channel(effects);
            }
            Request::Report(relay, census) => ("report", channel.report(store, &relay, census).map(Response::Reported)),
            Request::Subscribe(relay, census) => {
                ("subscribe", channel.subscribe(store, relay, census).map(Response::Subscribed))
            }
            Request::Read(from) => ("read", channel.read(store, &from, now_ms).map(Response::Backlog)),
            Request::History(query) => ("history", channel.history(store, &query, now_ms).map(Response::History)),
            Request::Members(query) => ("members", channel.members(store, &query).map(Response::Members)),
            Request::Next(_) => unreachable!("relays here feed none"),
        };
        let effects = channel.follow_up(store, now_ms);
        self.queue_channel(effects);
        *self.calls.entry(name).or_default() += 1;
        match self.hold_answers {
            true => self.held.push((relay, ticket, answer)),
            false => self.answer(relay, ticket, Some(answer)),
        }
    }

    pub fn release(&mut self) {
        for (relay, ticket, answer) in std::mem::take(&mut self.held) {
            self.answer(relay, ticket, Some(answer));
        }
        self.run();
    }

    fn perform_channel(&mut self, effect: channel::Effect) {
        let index = |relay: &RelayName, relays: &[Relay]| {
            (0..relays.len()).find(|index| *relay == RelayName::shard(app().id(), *index as u16)).expect("a relay")
        };
        match effect {
            channel::Effect::Reply(ticket, answer) => {
                let (relay, ticket) = self.waiting.remove(&ticket).expect("somebody waits");
                if relay == NOBODY {
                    let Ok(Response::Counts(counts)) = answer else { panic!("{answer:?}") };
                    return self.counted.push(counts);
                }
                self.answer(relay, ticket, Some(answer));
            }
            channel::Effect::Deliver { relay, attempt, delivery } => {
                let at = index(&relay, &self.relays);
                let answer = (!self.unreachable.contains(&at)).then(|| {
                    let (answer, effects) = self.relays[at].deliver(&delivery, self.now_ms);
                    self.queue_relay(at, effects);
                    answer
                });
                let channel = self.channel.as_mut().expect("it delivers");
                let effects = channel.delivered(&mut self.store, &relay, attempt, answer, self.now_ms);
                self.queue_channel(effects);
            }
            channel::Effect::Roll { .. } if self.lost_rolls => {}
            channel::Effect::Page(..) => unreachable!("nobody asks to wait"),
            channel::Effect::Roll { relay, attempt, roll } => {
                *self.calls.entry("roll").or_default() += 1;
                let at = index(&relay, &self.relays);
                let answer: Option<Rolled> = (!self.unreachable.contains(&at)).then(|| {
                    let (answer, effects) = self.relays[at].roll(&roll, self.now_ms);
                    self.queue_relay(at, effects);
                    answer
                });
                let channel = self.channel.as_mut().expect("it asks");
                let effects = channel.rolled(&mut self.store, &relay, attempt, answer, self.now_ms);
                self.queue_channel(effects);
            }
        }
    }
}

pub fn told(event: &Value) -> String {
    let action = match event["action"].as_u64() {
        Some(1) => "present",
        Some(2) => "enter",
        Some(3) => "leave",
        Some(4) => "update",
        other => panic!("an event {other:?}"),
    };
    let client_id = event["clientId"].as_str().expect("a clientId");
    match event["data"].as_str() {
        Some(data) => format!("{action} {client_id}: {data}"),
        None => format!("{action} {client_id}"),
    }
}
