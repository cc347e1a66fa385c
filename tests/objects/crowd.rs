//! Crowds that count: what each of them is told does not grow with the crowd, and all end with the same number, be they
//! there all along, among those who counted, lost for a while, or late.

use std::collections::BTreeMap;

use courtside::limits::{INCREMENTS_SUMMED_FROM, SYNC_TURN_MS};
use courtside::model::objects::id;
use courtside::model::objects::operation::Kind;
use serde_json::{Value, json};

use crate::support::random::Random;
use crate::support::replica::Replica;
use crate::world::{Client, NOW_MS, World};

const NONCE: &str = "0123456789abcdef";

/// A client that applies its own operations when they are acknowledged, as SDKs do.
struct Tapper {
    client: Client,
    key: String,
    connection_id: String,
    /// It was sent away for good with something open, and what it sent again may have been done before.
    may_have_doubled: bool,
    is_connected: bool,
    is_attached: bool,
    replica: Replica,
    serial: Option<String>,
    next: u64,
    /// What it sent and got no answer for.
    open: BTreeMap<u64, Value>,
    /// Frames with operations, the operations in them, and their bytes.
    told: [usize; 3],
    /// Of these operations the sums, which nobody did.
    sums: usize,
    /// How much it was acknowledged to have added.
    added: i64,
}

struct Crowd {
    world: World,
    tappers: Vec<Tapper>,
    counter: String,
}

impl Crowd {
    fn new(world: World, relays: usize, count: usize) -> Crowd {
        let counter = id::make(Kind::Counter, r#"{"count":5}"#, NONCE, NOW_MS);
        let mut crowd = Crowd { world, tappers: Vec::new(), counter };
        (0..count).for_each(|number| _ = crowd.join(number % relays));
        let payload = json!({"initialValue": r#"{"count":5}"#, "nonce": NONCE});
        let create = json!({"action": 3, "objectId": crowd.counter, "counterCreateWithObjectId": payload});
        let set =
            json!({"action": 1, "objectId": "root", "mapSet": {"key": "n", "value": {"objectId": crowd.counter}}});
        crowd.operate(0, vec![create, set]);
        crowd.settle();
        crowd
    }

    fn join(&mut self, relay: usize) -> usize {
        let client = self.world.connect(relay, "ann");
        self.tappers.push(Tapper {
            client,
            key: String::new(),
            connection_id: String::new(),
            may_have_doubled: false,
            is_connected: true,
            is_attached: false,
            replica: Replica::default(),
            serial: None,
            next: 0,
            open: BTreeMap::new(),
            told: [0; 3],
            sums: 0,
            added: 0,
        });
        self.attach(self.tappers.len() - 1);
        self.tappers.len() - 1
    }

    fn attach(&mut self, index: usize) {
        let tapper = &self.tappers[index];
        let frame = json!({"action": 10, "channel": "room", "channelSerial": tapper.serial,
            "params": {"modes": "publish,subscribe,object_subscribe,object_publish"}});
        self.world.send(tapper.client, frame);
        self.hear(index);
    }

    fn operate(&mut self, index: usize, operations: Vec<Value>) {
        let state: Vec<Value> = operations.into_iter().map(|operation| json!({"operation": operation})).collect();
        self.say(index, json!({"action": 19, "state": state}));
    }

    fn say(&mut self, index: usize, mut frame: Value) {
        let tapper = &mut self.tappers[index];
        (frame["channel"], frame["msgSerial"]) = (json!("room"), json!(tapper.next));
        tapper.open.insert(tapper.next, frame.clone());
        tapper.next += 1;
        self.world.send(tapper.client, frame);
    }

    fn tap(&mut self, index: usize, by: f64) {
        let operation = json!({"action": 4, "objectId": self.counter, "counterInc": {"number": by}});
        self.operate(index, vec![operation]);
    }

    fn hear(&mut self, index: usize) {
        let frames = self.world.take(self.tappers[index].client);
        let tapper = &mut self.tappers[index];
        frames.iter().for_each(|frame| tapper.hear(frame));
    }

    fn hear_all(&mut self) {
        (0..self.tappers.len()).for_each(|index| self.hear(index));
    }

    /// Comes back with what it has, and sends again what it got no answer for.
    fn come_back(&mut self, index: usize) {
        let (client, key) = (self.tappers[index].client, self.tappers[index].key.clone());
        self.tappers[index].client = self.world.resume(client, "ann", &key);
        self.tappers[index].is_connected = true;
        self.attach(index);
        let open: Vec<Value> = self.tappers[index].open.values().cloned().collect();
        open.into_iter().for_each(|frame| self.world.send(self.tappers[index].client, frame));
    }

    fn lose(&mut self, index: usize) {
        self.hear(index);
        self.world.lose(self.tappers[index].client);
        self.tappers[index].is_connected = false;
    }

    /// All come back, and what is under way is finished.
    fn settle(&mut self) {
        self.world.objects.free_calls();
        for _ in 0..8 {
            self.world.pass(2_000);
            self.hear_all();
            for index in 0..self.tappers.len() {
                if !self.tappers[index].is_connected {
                    self.come_back(index);
                } else if !self.tappers[index].is_attached {
                    self.attach(index);
                }
            }
        }
        for (index, tapper) in self.tappers.iter().enumerate() {
            assert!(tapper.replica.is_synced() && tapper.open.is_empty(), "{index} waits: {:?}", tapper.open);
        }
    }

    /// All of these clients count one, while the channel is busy.
    fn tap_at_once(&mut self, tappers: std::ops::Range<usize>) {
        self.world.objects.held = Some(Vec::new());
        tappers.for_each(|index| self.tap(index, 1.0));
        self.world.objects.free_calls();
        self.world.pass(10 * SYNC_TURN_MS);
    }
}

impl Tapper {
    fn hear(&mut self, frame: &Value) {
        match frame["action"].as_u64() {
            Some(1) => self.acknowledged(frame),
            Some(2) => panic!("{frame}"),
            Some(4) => {
                let key = &frame["connectionDetails"]["connectionKey"];
                self.key = key.as_str().expect("a key").to_owned();
                self.connected(frame["connectionId"].as_str().expect("an id"));
            }
            Some(6) => (self.is_connected, self.is_attached) = (false, false),
            Some(11) => {
                self.is_attached = true;
                self.replica.attached();
            }
            Some(13) => self.is_attached = false,
            Some(19) => {
                let state = frame["state"].as_array().expect("operations");
                self.sums += state.iter().filter(|message| message.get("connectionId").is_none()).count();
                let bytes = frame.to_string().len();
                self.told = [self.told[0] + 1, self.told[1] + state.len(), self.told[2] + bytes];
                self.replica.operate(frame);
            }
            Some(20) => self.replica.page(frame),
            _ => {}
        }
        if let Some(serial) = frame["channelSerial"].as_str().filter(|_| frame["action"] != 20) {
            self.serial = Some(serial.to_owned());
        }
    }

    /// Another connection numbers anew what is open.
    fn connected(&mut self, connection_id: &str) {
        if self.connection_id != connection_id {
            self.may_have_doubled |= !self.open.is_empty();
            self.open = (0..).zip(std::mem::take(&mut self.open).into_values()).collect();
            self.open.iter_mut().for_each(|(serial, frame)| frame["msgSerial"] = json!(serial));
            (self.next, self.connection_id) = (self.open.len() as u64, connection_id.to_owned());
        }
    }

    fn acknowledged(&mut self, frame: &Value) {
        let first = frame["msgSerial"].as_u64().expect("a number");
        for (number, result) in (first..).zip(frame["res"].as_array().expect("results")) {
            let Some(sent) = self.open.remove(&number) else { continue };
            let serials = result["serials"].as_array().expect("serials");
            for (message, serial) in sent["state"].as_array().into_iter().flatten().zip(serials) {
                let operation = &message["operation"];
                self.added += operation["counterInc"]["number"].as_f64().unwrap_or_default() as i64;
                if operation["action"] == 4 {
                    self.replica.acknowledged(&json!({"serial": serial, "operation": operation}));
                }
            }
        }
    }
}

/// What each of a crowd is told when all count at once, and the calls that it took.
fn told_when_all_count(count: usize) -> ([usize; 3], usize, usize) {
    let mut crowd = Crowd::new(World::new(2), 2, count);
    let watchers = [crowd.join(0), crowd.join(1)];
    crowd.settle();
    crowd.tappers.iter_mut().for_each(|tapper| tapper.told = [0; 3]);
    let before = crowd.world.objects.calls.clone();
    crowd.tap_at_once(0..count);
    crowd.hear_all();
    let calls = |name| crowd.world.objects.calls[name] - before[name];
    let (publishes, deliveries) = (calls("publish"), calls("deliver"));
    for (index, tapper) in crowd.tappers.iter().enumerate() {
        assert_eq!(tapper.replica.tree(), json!({"n": (count + 5) as f64}), "{index}");
        assert!(watchers.contains(&index) || tapper.added == 1, "{index}");
    }
    let most = |what: usize| crowd.tappers.iter().map(|tapper| tapper.told[what]).max().expect("a crowd");
    ([most(0), most(1), most(2)], publishes, deliveries)
}

#[test]
fn what_each_is_told_does_not_grow_with_the_crowd() {
    let (few, publishes, deliveries) = told_when_all_count(150);
    assert!(publishes <= 6 && deliveries <= 8, "{publishes} calls with increments, {deliveries} deliveries");
    assert!(few[0] <= 4 && few[1] < 2 * INCREMENTS_SUMMED_FROM, "{few:?} frames, operations and bytes");
    let (many, publishes, deliveries) = told_when_all_count(600);
    assert!(publishes <= 6 && deliveries <= 8, "{publishes} calls with increments, {deliveries} deliveries");
    assert!(many[0] <= few[0] + 1 && many[2] <= few[2] + 600, "{many:?} instead of {few:?}, for four times as many");
}

#[test]
fn of_a_few_each_is_told_and_who_did_it() {
    let mut crowd = Crowd::new(World::new(1), 1, 4);
    crowd.tappers[3].told = [0; 3];
    crowd.tap_at_once(0..3);
    crowd.hear_all();
    assert_eq!(crowd.tappers[3].told[1], 3);
}

/// The objects are read amid what is one sum later: whoever is given them then must not be told the whole of it,
/// neither before the sync ends nor just behind it.
#[test]
fn a_sync_amid_a_sum_counts_nothing_twice() {
    let mut crowd = Crowd::new(World::batched(1), 1, 10);
    let tap_all = |crowd: &mut Crowd| (0..10).for_each(|index| crowd.tap(index, 1.0));
    // What comes after a quiet time goes out at once, and what follows waits.
    crowd.tap(0, 1.0);
    tap_all(&mut crowd);
    let joiner = crowd.join(0);
    crowd.world.pass(10 * SYNC_TURN_MS);
    crowd.hear(joiner);
    tap_all(&mut crowd);
    crowd.settle();
    let [told, ..] = crowd.tappers[joiner].told;
    assert!(told > 0, "the joiner heard of what was read already");
    for (index, tapper) in crowd.tappers.iter().enumerate() {
        assert_eq!(tapper.replica.tree(), json!({"n": 26.0}), "{index}");
    }
}

/// Objects whose sums would not be exact.
#[test]
fn what_is_not_whole_is_told_one_by_one() {
    let mut crowd = Crowd::new(World::new(1), 1, 20);
    crowd.tap(0, 0.1);
    crowd.settle();
    crowd.tappers[0].told = [0; 3];
    crowd.tap_at_once(1..20);
    crowd.hear_all();
    assert_eq!(crowd.tappers[0].told[1], 19, "of a counter that is not whole");
    let expected = (1..20).fold(5.0 + 0.1, |count, _| count + 1.0);
    assert_eq!(crowd.tappers[0].replica.tree(), json!({"n": expected}));
}

/// Counting, and all that can happen meanwhile. Gives how many sums were told, and whether it is sure that each
/// increment was done once.
fn storm(seed: u64) -> (usize, bool) {
    const CLIENTS: usize = 8;
    let mut random = Random::new(seed);
    let mut crowd = Crowd::new(World::slow(2), 2, CLIENTS);
    let mut sent = 0;
    for _ in 0..150 {
        let index = random.below(crowd.tappers.len() as u64) as usize;
        if !crowd.tappers[index].is_connected {
            crowd.come_back(index);
            continue;
        }
        match random.below(100) {
            0..4 => crowd.lose(index),
            4..6 if crowd.tappers.len() < 2 * CLIENTS => _ = crowd.join(random.below(2) as usize),
            6..8 => crowd.world.forget_channel(),
            8..10 => crowd.world.forget_relay(random.below(2) as usize),
            10..14 => crowd.attach(index),
            14..30 if crowd.world.objects.held.is_none() => crowd.world.objects.held = Some(Vec::new()),
            14..17 => crowd.world.objects.free_calls(),
            17..20 => crowd.world.pass(SYNC_TURN_MS),
            20..22 => {
                let set = json!({"action": 1, "objectId": "root", "mapSet": {"key": "k", "value": {"number": sent}}});
                crowd.operate(index, vec![set]);
            }
            22..24 => crowd.say(index, json!({"action": 15, "messages": [{"data": "x"}]})),
            _ => {
                for _ in 0..random.between(1, 12) {
                    let index = random.below(crowd.tappers.len() as u64) as usize;
                    if crowd.tappers[index].is_connected {
                        crowd.tap(index, random.between(1, 9) as f64 - 3.0);
                        sent += 1;
                    }
                }
            }
        }
        crowd.hear_all();
    }
    crowd.settle();
    let late = crowd.join(0);
    crowd.settle();
    let expected = crowd.tappers[late].replica.tree();
    for (index, tapper) in crowd.tappers.iter().enumerate() {
        assert_eq!(tapper.replica.tree(), expected, "seed {seed}: {index} counts otherwise than who comes late");
    }
    let is_sure = !crowd.tappers.iter().any(|tapper| tapper.may_have_doubled);
    let added: i64 = crowd.tappers.iter().map(|tapper| tapper.added).sum();
    assert!(!is_sure || expected["n"] == (added + 5) as f64, "seed {seed}: {expected}, and {added} was acknowledged");
    (crowd.tappers.iter().map(|tapper| tapper.sums).sum(), is_sure)
}

#[test]
fn all_count_the_same_whatever_happens() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let storms: Vec<(usize, bool)> = (0..seeds).map(storm).collect();
    let sums: usize = storms.iter().map(|(sums, _)| sums).sum();
    assert!(sums > 5 * storms.len(), "{storms:?}");
    assert!(storms.iter().filter(|(_, is_sure)| *is_sure).count() * 4 > storms.len(), "{storms:?}");
}
