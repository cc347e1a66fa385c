//! The world: time, the objects, the clients, and everything under way between them.
//!
//! Whatever happens is an event of one queue, in the order of simulated time; all chance comes from the seed. An object's
//! clock is the world's time and a skew of its own.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use courtside::auth::{App, Capability, Grant, Identity, KeyName};
use courtside::call::{Address, Answer, Delivered, Missing, RelayName, Response};
use courtside::channel::Ticket;
use courtside::name::ChannelName;
use courtside::relay::session::Opening;
use courtside::wire::{Encoded, Format};

use super::client::{Client, Deed, Transport};
use super::disk::Disk;
use super::frames::{self, Frame};
use super::host::{CallId, Host, Input, LinkId, Output};
use super::ledger::Ledger;
use super::random::Random;
use super::trace::note;
use super::weather::Weather;

/// What clocks show when the world begins.
const EPOCH_MS: u64 = 1_800_000_000_000;

pub struct World {
    pub now_ms: u64,
    pub random: Random,
    pub weather: Weather,
    queue: BTreeMap<(u64, u64), Event>,
    last_event: u64,
    /// The channels' objects first, then the relays'.
    pub hosts: Vec<Host>,
    pub channels: usize,
    pub homes: Vec<Home>,
    links: HashMap<LinkId, Link>,
    calls: HashMap<CallId, Call>,
    last_id: u64,
    pub ledger: Ledger,
}

/// A client and where its connections go.
pub struct Home {
    pub client: Client,
    host: usize,
    format: Format,
    link: Option<LinkId>,
}

#[derive(Debug)]
enum Event {
    Turn { host: usize, life: Option<u64>, input: Input },
    Synced { host: usize, crashes: u64 },
    Wake { host: usize },
    ToClient { link: LinkId, frame: Rc<Encoded> },
    LinkDown { link: LinkId },
    ClientTick { client: usize },
}

#[derive(Debug)]
struct Link {
    client: usize,
    host: usize,
    to_server_ms: u64,
    to_client_ms: u64,
}

#[derive(Debug)]
struct Call {
    caller: usize,
    life: u64,
    reply: Reply,
    callee: usize,
    arrived: bool,
}

#[derive(Clone, Debug)]
enum Reply {
    Call(Ticket),
    Delivery(RelayName, u64),
    Roll(RelayName, u64),
}

/// What comes back of a call.
#[derive(Clone, Debug)]
enum Said {
    Nothing,
    Answer(Answer<Response>),
    Delivered(Delivered),
    Missing(Missing),
}

impl Reply {
    fn input(self, said: Said) -> Input {
        match (self, said) {
            (Reply::Call(ticket), Said::Answer(answer)) => Input::Answered { ticket, answer: Some(answer) },
            (Reply::Call(ticket), _) => Input::Answered { ticket, answer: None },
            (Reply::Delivery(relay, attempt), Said::Delivered(answer)) => {
                Input::Delivered { relay, attempt, answer: Some(answer) }
            }
            (Reply::Delivery(relay, attempt), _) => Input::Delivered { relay, attempt, answer: None },
            (Reply::Roll(relay, attempt), Said::Missing(answer)) => {
                Input::Rolled { relay, attempt, answer: Some(answer) }
            }
            (Reply::Roll(relay, attempt), _) => Input::Rolled { relay, attempt, answer: None },
        }
    }
}

impl World {
    pub fn new(mut random: Random, weather: Weather, persisted: &[bool], relays: usize) -> World {
        let app = app();
        let disk = |random: &mut Random| Disk::new(Random::new(random.next()));
        let mut hosts = Vec::new();
        for (index, persisted) in persisted.iter().enumerate() {
            let channel = ChannelName::parse(&channel_name(index, *persisted)).expect("a name");
            let address = Address { app: app.id().clone(), channel };
            let name = RelayName::of_channel(&address);
            hosts.push(Host::new(name, app.clone(), Some(address), disk(&mut random)));
        }
        for shard in 0..relays {
            let name = RelayName::shard(app.id(), shard as u16);
            hosts.push(Host::new(name, app.clone(), None, disk(&mut random)));
        }
        World {
            now_ms: 0,
            random,
            weather,
            queue: BTreeMap::new(),
            last_event: 0,
            hosts,
            channels: persisted.len(),
            homes: Vec::new(),
            links: HashMap::new(),
            calls: HashMap::new(),
            last_id: 0,
            ledger: Ledger::new(persisted),
        }
    }

    pub fn add_client(&mut self, client: Client, host: usize, format: Format) {
        let at_ms = self.random.below(500);
        self.homes.push(Home { client, host, format, link: None });
        self.after(at_ms, Event::ClientTick { client: self.homes.len() - 1 });
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.last_event += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.last_event), event);
    }

    fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn clock_ms(&mut self, host: usize) -> u64 {
        let clock_ms = (EPOCH_MS + self.now_ms).saturating_add_signed(self.hosts[host].skew_ms);
        self.ledger.latest_ms = self.ledger.latest_ms.max(clock_ms);
        clock_ms
    }

    /// Lets everything happen that is due before a time. Gives the clients whose moment it was to `act`.
    pub fn run_until(&mut self, until_ms: u64, mut act: impl FnMut(&mut World, usize)) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 >= until_ms {
                break;
            }
            let ((at_ms, _), event) = entry.remove_entry();
            self.now_ms = at_ms;
            match event {
                Event::ClientTick { client } => {
                    let deeds = self.homes[client].client.tick(at_ms, &self.ledger);
                    self.perform(client, deeds);
                    act(self, client);
                }
                event => self.happen(event),
            }
        }
        self.now_ms = until_ms;
    }

    pub fn tick_client_after(&mut self, client: usize, delay_ms: u64) {
        self.after(delay_ms, Event::ClientTick { client });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { host, life, input } => {
                if life.is_none_or(|life| life == self.hosts[host].life) {
                    self.turn(host, input);
                }
            }
            Event::Synced { host, crashes } => {
                if crashes == self.hosts[host].crashes {
                    self.synced(host);
                }
            }
            Event::Wake { host } => self.alarm(host),
            Event::ToClient { link, frame } => self.to_client(link, &frame),
            Event::LinkDown { link } => self.link_down(link),
            Event::ClientTick { .. } => unreachable!("the loop takes these"),
        }
    }

    // Objects.

    fn turn(&mut self, host: usize, input: Input) {
        if let Input::Call { id, .. } | Input::Deliver { id, .. } | Input::Roll { id, .. } = &input
            && let Some(call) = self.calls.get_mut(id)
        {
            call.arrived = true;
        }
        let clock_ms = self.clock_ms(host);
        note(self.now_ms, format_args!("object {host} <- {input}"));
        let object = &mut self.hosts[host];
        object.disk.failures = self.weather.fail_disk;
        if matches!(input, Input::Answered { .. } | Input::Delivered { .. } | Input::Rolled { .. }) {
            object.in_flight -= 1;
        }
        let alarm_ms = object.disk.alarm_ms().filter(|_| !matches!(input, Input::Alarm));
        let wrote = object.turn(input, clock_ms);
        for row in object.disk.take_written() {
            self.ledger.wrote(host, &row);
        }
        if wrote {
            let crashes = self.hosts[host].crashes;
            // Writes become durable in their order.
            let delay_ms = self.random.between(1, self.weather.latency_ms);
            let at_ms = (self.now_ms + delay_ms).max(self.hosts[host].synced_at_ms);
            self.hosts[host].synced_at_ms = at_ms;
            self.at(at_ms, Event::Synced { host, crashes });
        }
        self.after_turn(host, alarm_ms, clock_ms);
        self.release(host);
    }

    fn after_turn(&mut self, host: usize, alarm_before_ms: Option<u64>, clock_ms: u64) {
        let object = &mut self.hosts[host];
        let alarm_ms = object.disk.alarm_ms().filter(|_| object.disk.alarm_ms() != alarm_before_ms);
        let commit = object.wants_commit() && !std::mem::replace(&mut object.commit_scheduled, true);
        let life = object.life;
        if let Some(alarm_ms) = alarm_ms {
            self.after(alarm_ms.saturating_sub(clock_ms), Event::Wake { host });
        }
        if commit {
            let delay_ms = self.random.below(4);
            self.after(delay_ms, Event::Turn { host, life: Some(life), input: Input::Commit });
        }
    }

    fn alarm(&mut self, host: usize) {
        let clock_ms = self.clock_ms(host);
        match self.hosts[host].disk.alarm_ms() {
            Some(alarm_ms) if alarm_ms <= clock_ms => self.turn(host, Input::Alarm),
            // The clock was set back meanwhile, or a crash brought back an earlier alarm.
            Some(alarm_ms) => self.after((alarm_ms - clock_ms).min(60_000), Event::Wake { host }),
            None => {}
        }
    }

    fn synced(&mut self, host: usize) {
        for row in self.hosts[host].disk.sync() {
            self.ledger.synced(host, &row);
        }
        self.hosts[host].synced();
        self.release(host);
    }

    fn release(&mut self, host: usize) {
        for (life, output) in self.hosts[host].release() {
            self.leave(host, life, output);
        }
    }

    fn leave(&mut self, host: usize, life: u64, output: Output) {
        match output {
            Output::Frame { link, frame } => self.send_to_client(link, frame),
            Output::Close { link } => {
                if let Some(at_ms) = self.links.get(&link).map(|link| link.to_client_ms) {
                    self.at(at_ms, Event::LinkDown { link });
                }
            }
            Output::Call { ticket, call } => {
                let callee = self.hosts.iter().position(|host| host.address.as_ref() == Some(&call.to));
                let callee = callee.expect("only channels that there are");
                self.call((host, life), callee, Reply::Call(ticket), |id| Input::Call { id, call: call.clone() });
            }
            Output::Deliver { relay, attempt, delivery } => {
                let callee = self.hosts.iter().position(|host| host.name == relay).expect("only relays that there are");
                let reply = Reply::Delivery(relay, attempt);
                self.call((host, life), callee, reply, |id| Input::Deliver { id, delivery: delivery.clone() });
            }
            Output::Roll { relay, attempt, roll } => {
                let callee = self.hosts.iter().position(|host| host.name == relay).expect("only relays that there are");
                let reply = Reply::Roll(relay, attempt);
                self.call((host, life), callee, reply, |id| Input::Roll { id, roll: roll.clone() });
            }
            Output::Answer { id, answer } => self.answer(id, answer.map_or(Said::Nothing, Said::Answer)),
            Output::Delivered { id, answer } => self.answer(id, Said::Delivered(answer)),
            Output::Missing { id, answer } => self.answer(id, Said::Missing(answer)),
        }
    }

    // Calls.

    fn delay_ms(&mut self) -> u64 {
        match self.random.chance(self.weather.slow_call) {
            true => self.random.between(100, 8_000),
            false => self.random.between(1, self.weather.latency_ms),
        }
    }

    fn call(&mut self, (caller, life): (usize, u64), callee: usize, reply: Reply, input: impl Fn(CallId) -> Input) {
        let id = CallId(self.fresh());
        let is_delivery = matches!(reply, Reply::Delivery(..));
        if self.random.chance(self.weather.lose_call) {
            return self.no_answer(caller, life, reply);
        }
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Turn { host: callee, life: None, input: input(id) });
        if is_delivery && self.random.chance(self.weather.repeat_delivery) {
            let delay_ms = self.delay_ms();
            let other = CallId(self.fresh());
            self.after(delay_ms, Event::Turn { host: callee, life: None, input: input(other) });
        }
        if self.random.chance(self.weather.lose_answer) {
            return self.no_answer(caller, life, reply);
        }
        self.calls.insert(id, Call { caller, life, reply, callee, arrived: false });
    }

    /// The caller learns that its call failed: before the call arrives, or long after.
    fn no_answer(&mut self, caller: usize, life: u64, reply: Reply) {
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::Turn { host: caller, life: Some(life), input: reply.input(Said::Nothing) });
    }

    fn answer(&mut self, id: CallId, said: Said) {
        let Some(call) = self.calls.remove(&id) else { return };
        let delay_ms = self.delay_ms();
        let input = call.reply.input(said);
        self.after(delay_ms, Event::Turn { host: call.caller, life: Some(call.life), input });
    }

    // Faults of objects.

    /// The memory goes, as it does when an object is idle, or when its isolate is lost.
    pub fn forget(&mut self, host: usize) {
        note(self.now_ms, format_args!("object {host} loses its memory"));
        for id in self.hosts[host].forget() {
            self.answer(id, Said::Nothing);
        }
    }

    /// The process goes.
    pub fn crash(&mut self, host: usize) {
        note(self.now_ms, format_args!("object {host} loses its process"));
        let links: Vec<LinkId> = self.hosts[host].links().collect();
        self.hosts[host].crash();
        if host < self.channels {
            self.ledger.crashed(host);
        }
        for link in links {
            let delay_ms = self.random.below(200);
            self.after(delay_ms, Event::LinkDown { link });
        }
        let mut arrived: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| call.callee == host && call.arrived).map(|(id, _)| *id).collect();
        arrived.sort();
        arrived.into_iter().for_each(|id| self.answer(id, Said::Nothing));
        self.after(0, Event::Wake { host });
    }

    // Clients.

    pub fn perform(&mut self, client: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            note(self.now_ms, format_args!("client {client}: {deed}"));
            match deed {
                Deed::Connect { resume } => self.connect(client, resume),
                Deed::Send(frame) => {
                    let bytes = frames::write(&frame, self.homes[client].format);
                    let format = self.homes[client].format;
                    self.to_server(client, |link| Input::Frame { link, bytes, format });
                }
                Deed::HangUp => self.hang_up(client),
            }
        }
    }

    fn connect(&mut self, client: usize, resume: Option<String>) {
        let link = LinkId(self.fresh());
        let fresh_id = format!("conn{}", self.fresh());
        let home = &mut self.homes[client];
        home.link = Some(link);
        let (host, now_ms) = (home.host, self.now_ms);
        self.links.insert(link, Link { client, host, to_server_ms: now_ms, to_client_ms: now_ms });
        let opening = Opening {
            grant: grant(),
            format: home.format,
            echo: home.client.echo,
            heartbeat_interval_ms: 15_000,
            grace_ms: courtside::limits::GRACE_MS,
            resume,
        };
        self.to_server(client, |link| Input::Open { link, opening, fresh_id });
    }

    /// Frames of one transport keep their order.
    fn to_server(&mut self, client: usize, input: impl FnOnce(LinkId) -> Input) {
        let Some(id) = self.homes[client].link else { return };
        let delay_ms = self.random.between(1, self.weather.latency_ms);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.to_server_ms = link.to_server_ms.max(self.now_ms + delay_ms);
        let (at_ms, host) = (link.to_server_ms, link.host);
        self.at(at_ms, Event::Turn { host, life: None, input: input(id) });
    }

    fn send_to_client(&mut self, id: LinkId, frame: Rc<Encoded>) {
        let stalls = self.random.chance(self.weather.stall);
        let delay_ms =
            if stalls { self.random.between(500, 4_000) } else { self.random.between(1, self.weather.latency_ms) };
        let Some(link) = self.links.get_mut(&id) else { return };
        link.to_client_ms = link.to_client_ms.max(self.now_ms + delay_ms);
        let at_ms = link.to_client_ms;
        self.at(at_ms, Event::ToClient { link: id, frame });
    }

    fn to_client(&mut self, id: LinkId, frame: &Encoded) {
        let Some(link) = self.links.get(&id) else { return };
        let client = link.client;
        let frame = Frame::read(frame);
        note(self.now_ms, format_args!("client {client} <- {frame}"));
        let deeds = self.homes[client].client.receive(&frame, self.now_ms, &mut self.ledger);
        self.perform(client, deeds);
    }

    /// The client ends its transport, or loses it; the server learns of it later.
    fn hang_up(&mut self, client: usize) {
        let Some(id) = self.homes[client].link.take() else { return };
        let Some(link) = self.links.remove(&id) else { return };
        let half_open = self.random.chance(self.weather.half_open);
        let delay_ms = if half_open { self.random.between(1_000, 40_000) } else { self.random.between(1, 50) };
        let at_ms = link.to_server_ms.max(self.now_ms + delay_ms);
        self.at(at_ms, Event::Turn { host: link.host, life: None, input: Input::Lost { link: id } });
    }

    /// The server ended the transport, or was lost with it.
    fn link_down(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        let home = &mut self.homes[link.client];
        home.link = None;
        note(self.now_ms, format_args!("client {} loses its transport", link.client));
        if home.client.transport != Transport::Down {
            home.client.disconnected(self.now_ms);
        }
    }
}

pub fn channel_name(index: usize, persisted: bool) -> String {
    if persisted { format!("kept:{index}") } else { format!("brief{index}") }
}

fn app() -> Rc<App> {
    let app = serde_json::json!({"id": "demo", "keys": [], "namespaces": [{"id": "kept", "persisted": true}]});
    Rc::new(serde_json::from_value(app).expect("an app"))
}

fn grant() -> Grant {
    Grant {
        key_name: KeyName::parse("demo.key").expect("a name"),
        capability: Capability::full(),
        client_id: Identity::Wildcard,
        basic: true,
        issued_at_ms: None,
        expires_at_ms: None,
        revocation_key: None,
    }
}
