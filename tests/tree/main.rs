//! A million subscribers of one channel, three levels of relays below it, and everything that can go wrong between objects:
//! calls that are late, lost, repeated and out of order, and objects that lose their memory.
//!
//! Channel and relays are the real cores. Each relay holds a few real sessions, and each of these stands for some thousands
//! that connected like it: a relay sends all of them the same frames. `SEED=n` runs one seed, `SEEDS=n` so many.

mod clients;
mod objects;

#[path = "../support/grant.rs"]
mod grant;
#[path = "../support/memory_store.rs"]
mod memory_store;
#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use courtside::auth::App;
use courtside::call::{
    Address, Answer, ChannelCall, Delivered, Delivery, Follow, Publish, PublishKey, RelayName, Request, Response,
    Rules, Submission,
};
use courtside::channel::{self, Channel, Ticket};
use courtside::limits::{DIRECT_RELAYS_MAX, RELAY_CONNECTIONS};
use courtside::name::ChannelName;
use courtside::placement;
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::wire::data::Data;
use courtside::wire::flags::RESUMED;
use courtside::wire::message::Message;
use courtside::wire::{Encoded, Format};
use memory_store::MemoryStore;
use random::Random;
use serde_json::{Value, json};

const SUBSCRIBERS: u64 = 1_000_000;
const HOLDING: u64 = SUBSCRIBERS.div_ceil(RELAY_CONNECTIONS as u64);
/// Relays that have no subscribers any more, and many relays below them.
const EMPTY: [u64; 4] = [2, 5, 7, 9];
const RELAYS: u64 = HOLDING + EMPTY.len() as u64;
const SESSIONS_PER_RELAY: u64 = 3;
const MESSAGES: u64 = 60;
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

#[derive(Clone, Debug)]
enum Event {
    Call { to: Object, caller: Caller, ticket: Ticket, what: Asked },
    Answer { caller: Caller, ticket: Ticket, answer: Option<Answer<Response>> },
    Deliver { to: Object, caller: Caller, attempt: u64, delivery: Rc<Delivery>, answered: bool },
    Delivered { from: Object, caller: Caller, attempt: u64, answer: Option<Delivered> },
    Alarm { object: Object },
    Open { session: usize },
    Attach { session: usize, socket: SocketId },
    Publish { number: u64 },
    Forget { object: Object },
}

#[derive(Clone, Debug)]
enum Asked {
    Channel(ChannelCall),
    Follow(Follow),
}

/// A real session, and how many it stands for.
struct Session {
    relay: Object,
    stands_for: u64,
    socket: Option<SocketId>,
    serial: Option<String>,
    attached: bool,
    received: usize,
}

#[derive(Default)]
struct Node {
    relay: Option<Relay>,
    /// Of each socket: its record, and whose it is.
    sockets: BTreeMap<SocketId, (Vec<u8>, usize)>,
    followers: BTreeSet<(ChannelName, RelayName)>,
    last_socket: u32,
    alarm_ms: Option<u64>,
    life: u64,
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
    store: MemoryStore,
    channel: Option<Channel>,
    nodes: Vec<Node>,
    sessions: Vec<Session>,
    /// What was published, in order.
    order: Vec<String>,
    /// Relays that the channel fed.
    direct: BTreeSet<RelayName>,
    /// Deliveries from relays to relays.
    passed_on: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let app: App = serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": []})).expect("an app");
        let address = Address { app: app.id().clone(), channel: ChannelName::parse("final").expect("a name") };
        let count = HOLDING * SESSIONS_PER_RELAY;
        let holding: Vec<u64> = (0..RELAYS).filter(|relay| !EMPTY.contains(relay)).collect();
        let session = |index: u64| Session {
            relay: holding[(index % HOLDING) as usize] as usize + 1,
            stands_for: SUBSCRIBERS / count + u64::from(index < SUBSCRIBERS % count),
            socket: None,
            serial: None,
            attached: false,
            received: 0,
        };
        World {
            random: Random::new(seed),
            weather: STORM,
            now_ms: EPOCH_MS,
            events: BTreeMap::new(),
            last_event: 0,
            at_once: 0,
            app: Rc::new(app),
            address,
            store: MemoryStore::default(),
            channel: None,
            nodes: (0..=RELAYS).map(|_| Node::default()).collect(),
            sessions: (0..count).map(session).collect(),
            order: Vec::new(),
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
            assert_eq!(session.received, self.order.len(), "session {index} on relay {}", session.relay - 1);
        }
        let delivered: u64 = self.sessions.iter().map(|session| session.received as u64 * session.stands_for).sum();
        assert_eq!(delivered, SUBSCRIBERS * MESSAGES);
        // The first of the region besides.
        assert!(self.direct.len() <= DIRECT_RELAYS_MAX + 1, "the channel feeds {:?}", self.direct);
        let depth = (1..=RELAYS as usize).map(|relay| self.depth(&self.name(relay))).max();
        assert_eq!(depth, Some(3), "levels of relays");
        // While calls are slow, much is merged into one delivery.
        assert!(self.passed_on > RELAYS * MESSAGES / 10, "{} deliveries were passed on", self.passed_on);
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
            Event::Call { to, caller, ticket, what } => self.called(to, caller, ticket, what),
            Event::Answer { caller, ticket, answer } if self.is_there(&caller) => {
                self.relay_does(caller.object, |relay, now_ms| relay.answered(ticket, answer, now_ms));
            }
            Event::Deliver { to, caller, attempt, delivery, answered } => {
                self.wake_relay(to);
                let mut said = None;
                self.relay_does(to, |relay, now_ms| {
                    let (answer, effects) = relay.deliver(&delivery, now_ms);
                    said = Some(answer);
                    effects
                });
                self.answer_delivery(to, caller, attempt, said.filter(|_| answered));
            }
            Event::Delivered { from, caller, attempt, answer } if self.is_there(&caller) => {
                self.delivered(from, caller.object, attempt, answer);
            }
            Event::Answer { .. } | Event::Delivered { .. } => {}
            Event::Alarm { object } => self.alarm(object),
            Event::Open { session } => self.open(session),
            Event::Attach { session, socket } => self.attach(session, socket),
            Event::Publish { number } => self.publish(number),
            Event::Forget { object } => self.forget(object),
        }
    }

    fn is_there(&self, caller: &Caller) -> bool {
        self.nodes[caller.object].life == caller.life
    }

    fn caller(&self, object: Object) -> Caller {
        Caller { object, life: self.nodes[object].life }
    }

    fn delay_ms(&mut self) -> u64 {
        if self.random.chance(self.weather.slow) { self.random.between(500, 7_000) } else { self.random.between(1, 30) }
    }
}
