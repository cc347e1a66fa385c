//! Whoever does what, and whatever is lost, all who look at a channel's objects see the same in the end: those who were
//! there all along, those who came back, those who joined late, and who applies all operations in their order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::object_operations::some_operations;
use crate::support::random::Random;
use crate::support::replica::Replica;
use crate::support::stage::Stage;

const CLIENTS: [&str; 4] = ["ann", "bob", "cy", "di"];

/// What a client knows of its connection and channel.
#[derive(Default)]
struct Person {
    replica: Replica,
    msg_serial: u64,
    serial: String,
    is_connected: bool,
    /// Publishes without an answer, which it sends again.
    open: BTreeMap<u64, Value>,
}

struct World {
    stage: Stage,
    people: BTreeMap<&'static str, Person>,
    random: Random,
    /// Every operation that anyone was told of, by its serial.
    operations: BTreeMap<String, Value>,
    ids: Vec<String>,
    /// How many publishes were acknowledged, and how many operations these had.
    acknowledged: usize,
    refused: usize,
    is_held: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let people = CLIENTS.map(|name| (name, Person::default())).into_iter().collect();
        World {
            stage: Stage::new(),
            people,
            random: Random::new(seed),
            operations: BTreeMap::new(),
            ids: vec!["root".to_owned()],
            acknowledged: 0,
            refused: 0,
            is_held: false,
        }
    }

    fn perform(&mut self, line: &str) {
        for said in self.stage.perform(line) {
            if let Some((name, what)) = said.split_once(" <- ") {
                self.hear(name, what);
            }
        }
    }

    fn hear(&mut self, name: &str, what: &str) {
        let Some(person) = self.people.get_mut(name) else { return };
        let (action, fields) = what.split_once(' ').unwrap_or((what, "{}"));
        let frame: Value = serde_json::from_str(fields).unwrap_or_default();
        match action {
            "ATTACHED" => person.replica.attached(),
            "OBJECT_SYNC" => person.replica.page(&frame),
            "OBJECT" => {
                person.replica.operate(&frame);
                for message in frame["state"].as_array().expect("a list") {
                    let serial = message["serial"].as_str().expect("a serial").to_owned();
                    let known = self.operations.entry(serial).or_insert_with(|| message.clone());
                    assert_eq!(known["operation"], message["operation"], "a serial is of one operation");
                }
            }
            "ACK" | "NACK" => {
                let first = frame["msgSerial"].as_u64().expect("a number");
                for serial in first..first + frame["count"].as_u64().expect("a number") {
                    person.open.remove(&serial);
                    *(if action == "ACK" { &mut self.acknowledged } else { &mut self.refused }) += 1;
                }
            }
            "DISCONNECTED" | "DETACHED" | "transport" => person.is_connected = false,
            _ => {}
        }
        if let Some(serial) = frame["channelSerial"].as_str().filter(|_| ["ATTACHED", "OBJECT"].contains(&action)) {
            person.serial = serial.to_owned();
        }
    }

    /// Connects, or comes back with what it has, and sends again what it got no answer for.
    fn connect(&mut self, name: &'static str) {
        let person = &self.people[name];
        let is_new = person.serial.is_empty();
        let serial = person.serial.clone();
        self.perform(&format!("{name} {}", if is_new { "connects" } else { "resumes" }));
        self.people.get_mut(name).expect("one of us").is_connected = true;
        let params = json!({"modes": "object_subscribe,object_publish"});
        let frame = json!({"channel": "room", "channelSerial": serial, "params": params});
        self.perform(&format!("{name} sends ATTACH {frame}"));
        for frame in self.people[name].open.clone().into_values() {
            self.perform(&format!("{name} sends OBJECT {frame}"));
        }
    }

    fn publish(&mut self, name: &'static str) {
        let count = self.random.between(1, 3);
        let state: Vec<Value> =
            (0..count).flat_map(|_| some_operations(&mut self.random, &mut self.ids, 1_000_000, 20_000)).collect();
        let person = self.people.get_mut(name).expect("one of us");
        let frame = json!({"channel": "room", "msgSerial": person.msg_serial, "state": state});
        person.open.insert(person.msg_serial, frame.clone());
        person.msg_serial += 1;
        self.perform(&format!("{name} sends OBJECT {frame}"));
    }

    fn step(&mut self) {
        let name = *self.random.pick(&CLIENTS);
        match self.random.below(100) {
            _ if !self.people[name].is_connected => self.connect(name),
            0..4 => {
                self.perform(&format!("{name} drops"));
                self.people.get_mut(name).expect("one of us").is_connected = false;
            }
            4..7 => self.perform("the channel forgets"),
            7..9 => self.perform("the relay forgets"),
            9..15 if !self.is_held => {
                self.perform("the line is held");
                self.is_held = true;
            }
            9..11 if self.is_held => {
                self.perform("the line is lost");
                self.is_held = false;
            }
            9..35 if self.is_held => self.free(),
            35..45 => self.perform("wait 20ms"),
            _ => self.publish(name),
        }
    }

    fn free(&mut self) {
        self.perform("the line is free");
        self.is_held = false;
    }

    /// Everyone comes back, and what is under way is finished.
    fn settle(&mut self) {
        if self.is_held {
            self.free();
        }
        for _ in 0..20 {
            self.perform("wait 2s");
            for name in CLIENTS {
                if !self.people[name].is_connected {
                    self.connect(name);
                }
            }
        }
        for (name, person) in &self.people {
            assert!(person.replica.is_synced() && person.open.is_empty(), "{name} waits: {:?}", person.open.keys());
        }
    }

    /// A client that never was there.
    fn newcomer(&mut self) -> Value {
        self.people.insert("new", Person::default());
        self.connect("new");
        self.perform("wait 2s");
        self.people["new"].replica.tree()
    }
}

/// Pages of syncs, publishes that were acknowledged, and those refused.
fn run(seed: u64) -> (usize, usize, usize) {
    let mut world = World::new(seed);
    (0..250).for_each(|_| world.step());
    world.settle();
    let newcomer = world.newcomer();
    for (name, person) in &world.people {
        assert!(person.replica.tree() == newcomer, "seed {seed}: {name} sees something else than a newcomer");
    }
    let mut replay = Replica::default();
    world.operations.values().for_each(|message| replay.apply(message));
    assert!(replay.tree() == newcomer, "seed {seed}: the objects are what the operations made of them");
    let pages = world.people.values().map(|person| person.replica.pages).sum();
    let largest = world.people.values().map(|person| person.replica.largest_page).max().unwrap_or_default();
    assert!(largest < 100_000, "a page has {largest} bytes");
    (pages, world.acknowledged, world.refused)
}

#[test]
fn all_replicas_are_equal_in_the_end() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let runs: Vec<_> = (0..seeds).map(run).collect();
    let total = |of: fn(&(usize, usize, usize)) -> usize| runs.iter().map(of).sum::<usize>();
    let (pages, acknowledged, refused) = (total(|run| run.0), total(|run| run.1), total(|run| run.2));
    assert!(pages > 30 * runs.len() && acknowledged > 50 * runs.len(), "{pages} pages, {acknowledged} acknowledged");
    assert_eq!(refused, 0, "nothing here is against the rules");
}
