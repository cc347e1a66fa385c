//! A million subscribers of one channel, three levels of relays below it, and everything that can go wrong between
//! objects: calls that are late, lost, repeated and out of order, and objects that lose their memory.
//!
//! Channel and relays are the real objects. Each relay holds a few real sessions, and each of these stands for some
//! thousands that connected like it: a relay sends all of them the same frames. `SEED=n` runs one seed, `SEEDS=n` so
//! many.

mod clients;
mod objects;

#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod changes;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
    pub mod replica;
    pub mod submissions;
}

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use courtside::auth::{App, Apps};
use courtside::limits::{DIRECT_RELAYS_MAX, RELAY_CONNECTIONS};
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::flags::RESUMED;
use courtside::model::message::{Extras, Message};
use courtside::model::name::ChannelName;
use courtside::object::{self, AppHost, CallerId, Question, Reply, Settings};
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::Ticket;
use courtside::rpc::placement;
use courtside::rpc::{Address, AppCall, ChannelCall, Publish, PublishKey, RelayName, Request, Rules, Submission};
use serde_json::{Value, json};
use support::app_store::{self, AppMemory};
use support::changes::Truth;
use support::disk::Disk;
use support::host::{Host, Input, LinkId, Output};
use support::objects::told;
use support::random::Random;
use support::replica::Replica;

const SUBSCRIBERS: u64 = 1_000_000;
const HOLDING: u64 = SUBSCRIBERS.div_ceil(RELAY_CONNECTIONS as u64);
/// Relays that have no subscribers any more, and many relays below them.
const EMPTY: [u64; 4] = [2, 5, 7, 9];
const RELAYS: u64 = HOLDING + EMPTY.len() as u64;
const SESSIONS_PER_RELAY: u64 = 3;
const MESSAGES: u64 = 60;
/// Of the map that they share, besides the counter.
const KEYS: u64 = 6;
const COUNTER: &str = "score";
const EPOCH_MS: u64 = 1_800_000_000_000;

#[test]
fn a_million_subscribers_get_everything_in_order_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(2),
    };
    for seed in seeds {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.gather();
        world.broadcast();
        world.settle();
        world.reckon();
    }
}

/// How bad it is, of a thousand calls.
#[derive(Clone, Copy)]
struct Weather {
    lost: u64,
    answer_lost: u64,
    repeated: u64,
    slow: u64,
}

const CALM: Weather = Weather { lost: 0, answer_lost: 0, repeated: 0, slow: 0 };
const STORM: Weather = Weather { lost: 40, answer_lost: 40, repeated: 60, slow: 40 };

/// The channel is object 0, relay n object n + 1.
type Object = usize;
const CHANNEL: Object = 0;

/// Who waits for an answer; a memory that is gone gets none.
#[derive(Clone, Debug)]
struct Caller {
    object: Object,
    life: u64,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all events are turns")]
enum Event {
    Turn { object: Object, life: Option<u64>, input: Input },
    Alarm { object: Object },
    Open { session: usize },
    Attach { session: usize, link: LinkId },
    Publish { number: u64 },
    Forget { object: Object },
}

/// A real session, and how many it stands for.
struct Session {
    relay: Object,
    stands_for: u64,
    link: Option<LinkId>,
    serial: Option<String>,
    /// It was let in.
    connected: bool,
    attached: bool,
    /// How far it is in the order of what was published.
    reached: usize,
    /// Each message as it is, by its serial, and what was said of the first.
    shown: BTreeMap<String, String>,
    summary: Extras,
    objects: Replica,
}

struct World {
    random: Random,
    weather: Weather,
    now_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    last_event: u64,
    /// What happened in this millisecond.
    at_once: usize,
    app: Rc<App>,
    address: Address,
    hosts: Vec<Host>,
    app_object: AppHost<AppMemory>,
    /// Calls under way.
    calls: HashMap<CallerId, (Caller, Question)>,
    last_call: u64,
    sessions: Vec<Session>,
    /// Whose transport it is.
    links: HashMap<LinkId, usize>,
    /// What was published, in order, and which of it was deleted.
    order: Vec<String>,
    deleted: BTreeSet<String>,
    /// The counter is there, and what it was incremented by.
    counts: bool,
    counted: f64,
    /// Relays that the channel fed.
    direct: BTreeSet<RelayName>,
    /// Deliveries from relays to relays.
    passed_on: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let key = json!({"name": "key", "secret": "local-only"});
        let app = json!({"id": "demo", "keys": [key], "namespaces": [{"id": "final", "mutableMessages": true}]});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).expect("an app"));
        let address = Address { app: app.id().clone(), channel: ChannelName::parse("final").expect("a name") };
        let count = HOLDING * SESSIONS_PER_RELAY;
        let holding: Vec<u64> = (0..RELAYS).filter(|relay| !EMPTY.contains(relay)).collect();
        let session = |index: u64| Session {
            relay: holding[(index % HOLDING) as usize] as usize + 1,
            stands_for: SUBSCRIBERS / count + u64::from(index < SUBSCRIBERS % count),
            link: None,
            serial: None,
            connected: false,
            attached: false,
            reached: 0,
            shown: BTreeMap::new(),
            summary: Extras::new(),
            objects: Replica::default(),
        };
        let disk = || Disk::new(Random::new(0));
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address.clone()), disk());
        let relay = |shard| Host::new(RelayName::shard(app.id(), shard as u16), app.clone(), None, disk());
        let settings = Settings { apps: Ok(Rc::new(Apps::of([app.clone()]))), bounds: Bounds::default() };
        World {
            random: Random::new(seed),
            weather: STORM,
            now_ms: EPOCH_MS,
            events: BTreeMap::new(),
            last_event: 0,
            at_once: 0,
            hosts: std::iter::once(channel).chain((0..RELAYS).map(relay)).collect(),
            app_object: AppHost::new(settings, AppMemory::default()),
            calls: HashMap::new(),
            last_call: 0,
            app,
            address,
            sessions: (0..count).map(session).collect(),
            links: HashMap::new(),
            order: Vec::new(),
            deleted: BTreeSet::new(),
            counts: false,
            counted: 0.0,
            direct: BTreeSet::new(),
            passed_on: 0,
        }
    }

    /// All connect and attach, in any order, so that any relay may be one that the channel feeds.
    fn gather(&mut self) {
        for session in 0..self.sessions.len() {
            let delay_ms = self.random.below(5_000);
            self.after(delay_ms, Event::Open { session });
        }
        self.run(10_000);
        self.weather = CALM;
        self.run(60_000);
        let waiting = self.sessions.iter().filter(|session| !session.attached).count();
        assert_eq!(waiting, 0, "sessions that are not attached");
    }

    /// Messages and misfortune.
    fn broadcast(&mut self) {
        self.weather = STORM;
        for number in 1..=MESSAGES {
            let delay_ms = self.random.below(20_000);
            self.after(delay_ms, Event::Publish { number });
        }
        for _ in 0..40 {
            let delay_ms = self.random.below(20_000);
            // The first relays are above the others.
            let objects = if self.random.chance(400) { 12 } else { RELAYS + 1 };
            let object = self.random.below(objects) as usize;
            self.after(delay_ms, Event::Forget { object });
        }
        self.run(25_000);
    }

    fn settle(&mut self) {
        self.weather = CALM;
        self.run(80_000);
    }

    fn reckon(&self) {
        for (index, session) in self.sessions.iter().enumerate() {
            let lacks = self.order[session.reached..].iter().find(|said| !self.deleted.contains(*said));
            assert_eq!(lacks, None, "session {index} on relay {}", session.relay - 1);
        }
        self.reckon_changes();
        let represented: u64 = self.sessions.iter().map(|session| session.stands_for).sum();
        assert_eq!(represented, SUBSCRIBERS);
        // The first of the region besides.
        assert!(self.direct.len() <= DIRECT_RELAYS_MAX + 1, "the channel feeds {:?}", self.direct);
        let depth = (1..=RELAYS as usize).map(|relay| self.depth(&self.name(relay))).max();
        assert_eq!(depth, Some(3), "levels of relays");
        // While calls are slow, much is merged into one delivery.
        assert!(self.passed_on > RELAYS * MESSAGES / 10, "{} deliveries were passed on", self.passed_on);
    }

    fn truth(&self) -> Truth {
        Truth::of(self.hosts[CHANNEL].disk().stored().rows.values().map(|row| &row.entries))
    }

    /// All know each message as the log left it, what was said of the first, and the channel's objects.
    fn reckon_changes(&self) {
        let truth = self.truth();
        let first = truth.messages.values().next().expect("a first message");
        assert!(first.text.len() > 20 && !first.tally.counts().is_empty(), "much was done: {}", first.text);
        assert!(self.deleted.len() > 1, "some were deleted");
        let texts: Vec<&String> = truth.messages.values().map(|told| &told.text).collect();
        let tree = self.sessions[0].objects.tree();
        assert!(tree.as_object().is_some_and(|keys| keys.len() > 3), "{tree}");
        assert!(self.counted > 0.0 && tree[COUNTER] == self.counted, "{} as {tree}", self.counted);
        for (index, session) in self.sessions.iter().enumerate() {
            let shown: Vec<&String> = session.shown.values().collect();
            assert_eq!(shown, texts, "session {index} on relay {}", session.relay - 1);
            assert_eq!(first.tally.of_summary(&session.summary), first.tally.counts(), "session {index}");
            assert_eq!(session.objects.tree(), tree, "session {index}");
        }
    }

    fn depth(&self, relay: &RelayName) -> usize {
        match placement::above(relay).filter(|_| !self.direct.contains(relay)) {
            Some(above) => 1 + self.depth(&above),
            None => 1,
        }
    }

    fn name(&self, object: Object) -> RelayName {
        RelayName::shard(self.app.id(), object as u16 - 1)
    }

    fn object(&self, relay: &RelayName) -> Object {
        usize::from(placement::app_and_shard(relay).expect("a relay").1.0) + 1
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.last_event += 1;
        self.events.insert((self.now_ms + delay_ms, self.last_event), event);
    }

    fn run(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 < until_ms) {
            let ((at_ms, _), event) = entry.remove_entry();
            self.at_once = if self.now_ms == at_ms { self.at_once + 1 } else { 0 };
            assert!(self.at_once < 10_000, "something goes on and on while no time passes: {event:?}");
            self.now_ms = at_ms;
            self.happen(event);
        }
        self.now_ms = until_ms;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { object, life, input } => {
                if life.is_none_or(|life| life == self.hosts[object].life) {
                    self.turn(object, input);
                }
            }
            Event::Alarm { object } => self.alarm(object),
            Event::Open { session } => self.open(session),
            Event::Attach { session, link } => self.attach(session, link),
            Event::Publish { number } => self.publish(number),
            Event::Forget { object } => self.forget(object),
        }
    }

    fn delay_ms(&mut self) -> u64 {
        if self.random.chance(self.weather.slow) { self.random.between(500, 7_000) } else { self.random.between(1, 30) }
    }
}
