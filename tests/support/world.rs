//! The world: time, the objects, the clients, and everything under way between them.
//!
//! Whatever happens is an event of one queue, in the order of simulated time; all chance comes from the seed. An
//! object's clock is the world's time and a skew of its own.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use courtside::auth::App;
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::model::serial::Position;
use courtside::object::{self, AppInput, CallerId, Question};
use courtside::protocol::Encoded;
use courtside::rpc::{Address, Occupancy, RelayName, Response, Watching};

use super::adversary::Adversary;
use super::app::AppObject;
use super::client::Client;
use super::disk::Disk;
use super::guests::Guest;
use super::host::{Body, Host, Input, LinkId, Output};
use super::ledger::{Kind, Ledger};
use super::listening::Ear;
use super::network::{Call, Link, Reply, Said};
use super::random::Random;
use super::reconfiguring::namespace;
use super::sanctions::{self, Pass, Sanctions};
use super::trace::note;
use super::weather::Weather;

/// More cannot happen in one millisecond, unless an object keeps itself busy.
const AT_ONCE_MAX: usize = 10_000;

/// What clocks show when the world begins.
pub(super) const EPOCH_MS: u64 = 1_800_000_000_000;

pub struct World {
    pub now_ms: u64,
    pub random: Random,
    pub weather: Weather,
    /// Before it was calm.
    pub(super) weather_at_first: Weather,
    /// A channel's object whose deliveries don't reach an object, for a long time.
    pub cut: Option<(usize, usize)>,
    /// Boxed, for a tree moves its values about.
    pub(super) queue: BTreeMap<(u64, u64), Box<Event>>,
    pub(super) last_event: u64,
    /// What happened in this millisecond.
    at_once: usize,
    /// The channels' objects first, then the relays'.
    pub hosts: Vec<Host>,
    pub app: AppObject,
    pub channels: usize,
    pub homes: Vec<Home>,
    pub ears: Vec<Ear>,
    pub guests: Vec<Guest>,
    /// The weather is one in which disks fail.
    pub(super) disk_fails: bool,
    pub(super) adversaries: Vec<Adversary>,
    pub(super) links: HashMap<LinkId, Link>,
    pub(super) calls: HashMap<CallerId, Call>,
    /// Calls to channels, by which, to learn how many are on them; and what they answered.
    pub(super) counting: HashMap<CallerId, usize>,
    pub counted: HashMap<usize, Occupancy>,
    /// Where each object is in the deliveries of each channel, as it said itself, or was told when it began, and when
    /// that was.
    pub(super) stands: HashMap<(usize, usize), (Position, u64)>,
    pub(super) last_id: u64,
    pub ledger: Ledger,
    pub sanctions: Sanctions,
    /// When all objects have heard of the last configuration.
    pub(super) configured_ms: u64,
    pub is_configured_anew: bool,
    /// The objects of each channel that anyone had to do with.
    pub objects: Vec<Vec<String>>,
}

/// A client and where its connections go.
pub struct Home {
    pub client: Client,
    pub(super) host: usize,
    pub(super) format: Format,
    pub(super) link: Option<LinkId>,
    pub pass: Option<Pass>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all events are turns")]
pub(super) enum Event {
    Turn {
        host: usize,
        life: Option<u64>,
        input: Input,
    },
    /// What happens to the app, and the object whose call it is.
    App {
        input: AppInput,
        by: Option<usize>,
    },
    Synced {
        host: usize,
        crashes: u64,
    },
    Wake {
        host: usize,
    },
    /// An object hears that the deployment is configured anew.
    Reconfigure {
        host: usize,
        app: Rc<App>,
    },
    /// An object has stored what the app said when its watch began.
    Watches {
        host: usize,
        crashes: u64,
        watching: Box<Watching>,
    },
    ToClient {
        link: LinkId,
        frame: Rc<Encoded>,
    },
    Body {
        host: usize,
        life: u64,
        body: Body,
    },
    LinkDown {
        link: LinkId,
    },
    ClientTick {
        client: usize,
    },
    ListenerTick {
        ear: usize,
    },
    GuestTick {
        guest: usize,
    },
    Mischief {
        adversary: usize,
    },
    Page {
        ear: usize,
        at: usize,
        number: u64,
        said: Said,
    },
}

impl World {
    pub fn new(mut random: Random, weather: Weather, kinds: &[Kind], relays: usize) -> World {
        let app = app();
        let disk = |random: &mut Random| Disk::new(Random::new(random.next()));
        let mut hosts = Vec::new();
        for (index, kind) in kinds.iter().enumerate() {
            let channel = ChannelName::parse(&channel_name(index, *kind)).expect("a name");
            let address = Address { app: app.id().clone(), channel };
            let name = RelayName::of_channel(&address);
            hosts.push(Host::new(name, app.clone(), Some(address), disk(&mut random)));
        }
        for shard in 0..relays {
            let name = RelayName::shard(app.id(), shard as u16);
            hosts.push(Host::new(name, app.clone(), None, disk(&mut random)));
        }
        hosts.iter_mut().for_each(|host| host.set_bounds(weather.bounds()));
        let disk_fails = weather.fail_disk > 0;
        World {
            now_ms: 0,
            random,
            weather_at_first: weather.clone(),
            weather,
            cut: None,
            queue: BTreeMap::new(),
            last_event: 0,
            at_once: 0,
            hosts,
            app: AppObject::new(app, kinds.iter().enumerate().map(|(index, kind)| channel_name(index, *kind))),
            channels: kinds.len(),
            homes: Vec::new(),
            ears: Vec::new(),
            guests: Vec::new(),
            disk_fails,
            adversaries: Vec::new(),
            links: HashMap::new(),
            calls: HashMap::new(),
            counting: HashMap::new(),
            counted: HashMap::new(),
            stands: HashMap::new(),
            last_id: 0,
            ledger: Ledger::new(kinds),
            sanctions: Sanctions::default(),
            configured_ms: 0,
            is_configured_anew: false,
            objects: vec![vec!["root".to_owned()]; kinds.len()],
        }
    }

    pub fn add_client(&mut self, client: Client, host: usize, format: Format) {
        let at_ms = self.random.below(500);
        self.homes.push(Home { client, host, format, link: None, pass: None });
        let client = self.homes.len() - 1;
        self.name_client(client);
        self.after(at_ms, Event::ClientTick { client });
    }

    pub(super) fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    pub(super) fn at(&mut self, at_ms: u64, event: Event) {
        self.last_event += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.last_event), Box::new(event));
    }

    pub(super) fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// What the app says of a channel.
    pub fn rules(&self, channel: usize) -> &courtside::auth::Rules {
        let object = &self.hosts[channel];
        object.app.rules(&object.address.as_ref().expect("a channel's object").channel)
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
            self.at_once = if self.now_ms == at_ms { self.at_once + 1 } else { 0 };
            assert!(self.at_once < AT_ONCE_MAX, "something goes on and on while no time passes: {event:?}");
            (self.now_ms, self.ledger.now_ms) = (at_ms, at_ms);
            match *event {
                Event::ClientTick { client } => {
                    self.note_barred(client);
                    let updates = self.homes[client].client.tick(at_ms, &self.ledger);
                    self.perform(client, updates);
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
            Event::App { input, .. } => self.app_turn(input),
            Event::Wake { host } => self.alarm(host),
            Event::Reconfigure { host, app } => self.reconfigured(host, app),
            Event::Watches { host, crashes, watching } => self.watches(host, crashes, *watching),
            Event::ToClient { link, frame } => self.client_gets(link, &frame),
            Event::Body { host, life, body } => self.client_takes(host, life, body),
            Event::LinkDown { link } => self.link_down(link),
            Event::ListenerTick { ear } => self.listener_tick(ear),
            Event::GuestTick { guest } => self.guest_tick(guest),
            Event::Mischief { adversary } => self.mischief(adversary),
            Event::Page { ear, at, number, said } => self.page(ear, at, number, said),
            Event::ClientTick { .. } => unreachable!("the loop takes these"),
        }
    }

    pub(super) fn turn(&mut self, host: usize, input: Input) {
        if let Some(call) = called(&input).and_then(|id| self.calls.get_mut(&id)) {
            call.arrived = true;
        }
        let clock_ms = self.clock_ms(host);
        note(self.now_ms, format_args!("object {host} <- {input}"));
        self.note_input(host, &input);
        let watching = sanctions::watching(&input).filter(|_| self.sanctions.operates);
        let object = &mut self.hosts[host];
        object.disk_mut().failures = self.weather.fail_disk;
        object.holds_alarm = self.weather.ask_alarm_ms > 0;
        let is_alarm = matches!(input, Input::Object(object::Input::Alarm));
        let alarm_ms = object.disk().alarm_ms().filter(|_| !is_alarm);
        let failed = object.disk().failed;
        let turned = object.turn(input, clock_ms);
        let watching = watching.filter(|_| object.disk().failed == failed);
        for row in object.disk_mut().take_written() {
            self.ledger.wrote(host, &row);
        }
        if turned.wrote {
            let crashes = self.hosts[host].crashes;
            // Writes become durable in their order.
            let delay_ms = self.random.between(1, self.weather.latency_ms);
            let at_ms = (self.now_ms + delay_ms).max(self.hosts[host].synced_at_ms);
            self.hosts[host].synced_at_ms = at_ms;
            self.at(at_ms, Event::Synced { host, crashes });
        }
        if let Some(watching) = watching {
            let stored_at_ms = self.hosts[host].synced_at_ms.max(self.now_ms);
            self.note_watch(host, watching, stored_at_ms);
        }
        self.keep_time(host, turned);
        self.wake_later(host, alarm_ms, clock_ms);
        self.release(host);
    }

    fn wake_later(&mut self, host: usize, alarm_before_ms: Option<u64>, clock_ms: u64) {
        let alarm_ms = self.hosts[host].disk().alarm_ms();
        if let Some(alarm_ms) = alarm_ms.filter(|_| alarm_ms != alarm_before_ms) {
            self.after(alarm_ms.saturating_sub(clock_ms), Event::Wake { host });
        }
    }

    fn alarm(&mut self, host: usize) {
        let clock_ms = self.clock_ms(host);
        match self.hosts[host].disk().alarm_ms() {
            Some(alarm_ms) if alarm_ms <= clock_ms => self.turn(host, Input::Object(object::Input::Alarm)),
            // The clock was set back meanwhile, or a crash brought back an earlier alarm.
            Some(alarm_ms) => self.after((alarm_ms - clock_ms).min(60_000), Event::Wake { host }),
            None => {}
        }
    }

    fn synced(&mut self, host: usize) {
        for row in self.hosts[host].disk_mut().sync() {
            self.ledger.synced(host, &row);
        }
        self.hosts[host].synced();
        self.release(host);
    }

    fn release(&mut self, host: usize) {
        for (life, output) in self.hosts[host].release() {
            self.leave(host, life, output);
        }
        self.sanctions.learn();
    }

    fn leave(&mut self, host: usize, life: u64, output: Output) {
        match output {
            Output::Frame { link, frame } => {
                self.judge_frame(host, link, &frame);
                self.send_to_client(link, frame);
            }
            Output::Body(body) => self.send_body(host, life, body),
            Output::Close { link } => {
                if let Some(at_ms) = self.links.get(&link).map(|link| link.to_client_ms) {
                    self.at(at_ms, Event::LinkDown { link });
                }
            }
            Output::Refuse { link } => self.requests_end([link]),
            Output::Ask(question) => self.ask_object((host, life), question),
            Output::Post(request) => unreachable!("its app has no webhooks: {request:?}"),
            Output::Answer { id, reply: object::Reply::Response(Ok(Response::Counted(counts, _))) }
                if self.counting.contains_key(&id) =>
            {
                self.counted.extend(self.counting.remove(&id).map(|channel| (channel, counts.occupancy)));
            }
            Output::Answer { id, reply } => {
                if let object::Reply::Noticed(noticed) = &reply {
                    self.sanctions.note_noticed(id, noticed.as_ref().ok().copied());
                }
                self.answer(id, reply.into());
            }
        }
    }

    fn ask_object(&mut self, caller: (usize, u64), question: Question) {
        use object::Input::{Call, Deliver, Follow, Probe};
        match question {
            Question::Call { ticket, call } => {
                let callee = self.hosts.iter().position(|host| host.address.as_ref() == Some(&call.to));
                let callee = callee.expect("only channels that there are");
                self.call(caller, callee, Reply::Call(ticket), |caller| Call { caller, call: call.clone() });
            }
            Question::Follow { ticket, above, follow } => {
                let callee = self.relay_at(&above);
                self.call(caller, callee, Reply::Call(ticket), |caller| Follow { caller, follow: follow.clone() });
            }
            Question::Deliver { relay, attempt, delivery } => {
                let callee = self.relay_at(&relay);
                let reply = Reply::Delivery(delivery.channel.clone(), relay, attempt);
                self.call(caller, callee, reply, |caller| Deliver { caller, delivery: delivery.clone() });
            }
            Question::Probe { relay, attempt, probe } => {
                let callee = self.relay_at(&relay);
                self.call(caller, callee, Reply::Probe(relay, attempt), |caller| Probe {
                    caller,
                    probe: probe.clone(),
                });
            }
            Question::App { ticket, call } => self.ask_app(caller, ticket, call),
        }
    }

    pub(super) fn relay_at(&self, relay: &RelayName) -> usize {
        self.hosts.iter().position(|host| host.name == *relay).expect("only relays that there are")
    }

    /// The memory goes, as it does when an object is idle, or when its isolate is lost.
    pub fn forget(&mut self, host: usize) {
        note(self.now_ms, format_args!("object {host} loses its memory"));
        let requests = self.hosts[host].requests();
        self.requests_end(requests);
        for id in self.hosts[host].forget() {
            self.answer(id, Said::Nothing);
        }
    }

    /// The process goes.
    pub fn crash(&mut self, host: usize) {
        note(self.now_ms, format_args!("object {host} loses its process"));
        let links: Vec<LinkId> = self.hosts[host].sockets().chain(self.hosts[host].requests()).collect();
        self.hosts[host].crash();
        // What it was saying goes with it, as its connections do.
        self.queue.retain(|_, event| !matches!(**event, Event::App { by, .. } if by == Some(host)));
        if host < self.channels {
            self.ledger.crashed(host);
        }
        self.guests_of_killed(host);
        for link in links {
            let delay_ms = self.random.below(200);
            self.after(delay_ms, Event::LinkDown { link });
        }
        let mut arrived: Vec<CallerId> =
            self.calls.iter().filter(|(_, call)| call.callee == host && call.arrived).map(|(id, _)| *id).collect();
        arrived.sort();
        arrived.into_iter().for_each(|id| self.answer(id, Said::Nothing));
        self.after(0, Event::Wake { host });
    }
}

/// Whose call it is.
fn called(input: &Input) -> Option<CallerId> {
    use object::Input::{Call, Deliver, Follow, Probe};
    match input {
        Input::Object(Call { caller, .. } | Follow { caller, .. } | Deliver { caller, .. } | Probe { caller, .. }) => {
            Some(*caller)
        }
        _ => None,
    }
}

/// The kinds of channels that there are, each a namespace of that number. They are private, so that clients of Pusher
/// may publish there.
pub const KINDS: [Kind; 9] = [
    Kind { persisted: false, interval_ms: None, conflates: false, mutable: false },
    Kind { persisted: true, interval_ms: None, conflates: false, mutable: false },
    Kind { persisted: false, interval_ms: Some(500), conflates: false, mutable: false },
    Kind { persisted: true, interval_ms: Some(20), conflates: false, mutable: false },
    Kind { persisted: false, interval_ms: Some(300), conflates: true, mutable: false },
    Kind { persisted: true, interval_ms: Some(1_000), conflates: true, mutable: false },
    // What can be changed is persisted, too.
    Kind { persisted: true, interval_ms: None, conflates: false, mutable: true },
    Kind { persisted: true, interval_ms: Some(200), conflates: false, mutable: true },
    Kind { persisted: true, interval_ms: Some(300), conflates: true, mutable: true },
];

pub fn channel_name(index: usize, kind: Kind) -> String {
    let number = KINDS.iter().position(|known| *known == kind).expect("one of these");
    format!("private-kind{number}:{index}")
}

fn app() -> Rc<App> {
    let namespace = |(number, kind): (usize, &Kind)| namespace(&format!("private-kind{number}"), *kind);
    let namespaces: Vec<_> = KINDS.iter().enumerate().map(namespace).collect();
    let key = serde_json::json!({
        "name": "key", "secret": "local-only", "capability": {"[*]*": ["*"]}, "pusher": true, "revocableTokens": true,
    });
    let app = serde_json::json!({"id": "demo", "keys": [key], "namespaces": namespaces});
    Rc::new(serde_json::from_value(app).expect("an app"))
}
