//! Readers of event streams hold the same objects as clients, in one order with messages, whatever is lost meanwhile.

use std::collections::BTreeSet;

use courtside::auth::{Capability, Grant, KeyName};
use courtside::limits::{INCREMENTS_SUMMED_FROM, SYNC_TURN_MS};
use courtside::relay::session::Opening;
use courtside::transport::{Mode, events};
use serde_json::{Value, json};

use crate::support::host::{Input, LinkId};
use crate::support::random::Random;
use crate::support::replica::Replica;
use crate::world::{Client, World};

const MODES: &str = "subscribe,object_subscribe";

/// Who reads a stream as `EventSource` does: it comes back with the last id that it got.
struct Reader {
    relay: usize,
    link: LinkId,
    lines: bool,
    rest: String,
    last_id: Option<String>,
    sync: Option<String>,
    replica: Replica,
    /// The texts of messages that came, and serials of operations.
    messages: Vec<u64>,
    serials: Vec<String>,
    sums: usize,
    is_connected: bool,
}

struct Scene {
    world: World,
    writers: Vec<(Client, u64)>,
    readers: Vec<Reader>,
    links: u64,
    published: u64,
}

impl Scene {
    fn new(world: World, relays: usize) -> Scene {
        let mut scene = Scene { world, writers: Vec::new(), readers: Vec::new(), links: 1_000_000, published: 0 };
        (0..relays).for_each(|relay| {
            let writer = scene.writer(relay);
            scene.writers.push((writer, 0));
        });
        scene
    }

    fn writer(&mut self, relay: usize) -> Client {
        let writer = self.world.connect(relay, "ann");
        let params = json!({"modes": "publish,object_publish"});
        self.world.send(writer, json!({"action": 10, "channel": "room", "params": params}));
        writer
    }

    /// A writer that was sent away says nothing again, and goes on as another.
    fn say(&mut self, writer: usize, mut frame: Value) {
        let frames = self.world.take(self.writers[writer].0);
        if frames.iter().any(|frame| frame["action"] == 6) {
            self.writers[writer] = (self.writer(writer), 0);
        }
        let (client, msg_serial) = &mut self.writers[writer];
        (frame["channel"], frame["msgSerial"]) = (json!("room"), json!(*msg_serial));
        *msg_serial += 1;
        let client = *client;
        self.world.send(client, frame);
    }

    fn operate(&mut self, writer: usize, operations: &[Value]) {
        let state: Vec<Value> = operations.iter().map(|operation| json!({"operation": operation})).collect();
        self.say(writer, json!({"action": 19, "state": state}));
    }

    fn publish(&mut self, writer: usize) {
        self.say(writer, json!({"action": 15, "messages": [{"data": self.published.to_string()}]}));
        self.published += 1;
    }

    fn join(&mut self, relay: usize, lines: bool) -> usize {
        self.join_behind(relay, lines, None)
    }

    fn join_behind(&mut self, relay: usize, lines: bool, last_id: Option<&str>) -> usize {
        self.readers.push(Reader {
            relay,
            link: LinkId(0),
            lines,
            rest: String::new(),
            last_id: last_id.map(str::to_owned),
            sync: None,
            replica: Replica::default(),
            messages: Vec::new(),
            serials: Vec::new(),
            sums: 0,
            is_connected: false,
        });
        self.come(self.readers.len() - 1);
        self.readers.len() - 1
    }

    /// A reader comes, or comes back.
    fn come(&mut self, index: usize) {
        self.links += 1;
        let reader = &mut self.readers[index];
        (reader.link, reader.is_connected) = (LinkId(self.links), true);
        reader.rest.clear();
        let query = [("channels", "room"), ("modes", MODES)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let grant = Grant::of_key(KeyName::parse("demo.key").expect("a name"), Capability::full());
        let mut opening = Opening::from_query(grant, &query, true);
        let host = &self.world.objects.hosts[reader.relay + 1];
        let (style, _) = events::open(&query, reader.lines, reader.last_id.as_deref(), &host.app, &mut opening)
            .expect("a stream that may begin");
        let (link, fresh_id) = (reader.link, format!("stream{}", self.links));
        let input = Input::Open { link, mode: Some(Mode::Events(style)), opening, fresh_id };
        self.world.objects.turn(reader.relay + 1, input);
        self.hear();
    }

    /// A reader leaves without a word; what is written to it does not arrive.
    fn leave(&mut self, index: usize) {
        self.hear();
        let reader = &mut self.readers[index];
        reader.is_connected = false;
        self.world.objects.gone.insert(reader.link);
    }

    fn forget_relay(&mut self, relay: usize) {
        self.hear();
        self.world.forget_relay(relay);
        let on_relay = |reader: &&mut Reader| reader.relay == relay;
        self.readers.iter_mut().filter(on_relay).for_each(|reader| reader.is_connected = false);
    }

    fn hear(&mut self) {
        for (link, text, last) in std::mem::take(&mut self.world.objects.bodies) {
            let reader = self.readers.iter_mut().find(|reader| reader.link == link);
            let Some(reader) = reader.filter(|reader| reader.is_connected) else { continue };
            reader.take(&text);
            reader.is_connected &= !last;
        }
    }

    /// All come back, and what is under way is finished.
    fn settle(&mut self) {
        self.world.objects.free_calls();
        for _ in 0..6 {
            self.world.pass(2_000);
            self.hear();
            for index in 0..self.readers.len() {
                if !self.readers[index].is_connected {
                    self.come(index);
                }
            }
        }
    }
}

impl Reader {
    fn take(&mut self, text: &str) {
        self.rest.push_str(text);
        let end = if self.lines { "\n" } else { "\n\n" };
        while let Some((event, rest)) = self.rest.clone().split_once(end) {
            self.rest = rest.to_owned();
            let (id, name, data) = if self.lines { line(event) } else { block(event) };
            match name.as_deref() {
                Some("object_sync") => self.page(&data),
                Some("object") => {
                    self.serials.push(data["serial"].as_str().expect("a serial").to_owned());
                    self.sums += usize::from(data.get("connectionId").is_none());
                    self.replica.operate(&json!({"state": [data]}));
                }
                Some("message") => {
                    let number = data["data"].as_str().expect("text").parse().expect("a number");
                    self.messages.push(number);
                }
                Some("error") => assert_eq!(data["code"], 80003, "{data}"),
                Some(other) => panic!("{other}: {data}"),
                None => {}
            }
            assert!(name.as_deref().is_none_or(|name| name == "error" || data["channel"] == "room"), "{data}");
            self.last_id = id.or(self.last_id.take());
        }
    }

    fn page(&mut self, page: &Value) {
        let sync = page["sync"].as_str().expect("a sync").to_owned();
        if self.sync.as_ref() != Some(&sync) {
            assert_eq!(page["state"], json!([]), "a sync begins with nothing");
            self.replica.attached();
        }
        let cursor = if page["last"] == true { "" } else { "more" };
        self.replica.page(&json!({"channelSerial": format!("{sync}:{cursor}"), "state": page["state"]}));
        self.sync = Some(sync);
    }
}

fn block(text: &str) -> (Option<String>, Option<String>, Value) {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = field("data: ").map_or(Value::Null, |data| serde_json::from_str(&data).expect("JSON"));
    (field("id: "), field("event: "), data)
}

fn line(text: &str) -> (Option<String>, Option<String>, Value) {
    if text.is_empty() {
        return (None, None, Value::Null);
    }
    let line: Value = serde_json::from_str(text).expect("a line of JSON");
    let field = |name: &str| line[name].as_str().map(str::to_owned);
    (field("id"), field("event"), line["data"].clone())
}

fn increment(by: u64) -> Value {
    json!({"action": 4, "objectId": "counter:n@1", "counterInc": {"number": by}})
}

fn set(key: &str, value: Value) -> Value {
    json!({"action": 1, "objectId": "root", "mapSet": {"key": key, "value": value}})
}

fn refer() -> Value {
    set("n", json!({"objectId": "counter:n@1"}))
}

#[test]
fn a_stream_is_told_what_is_there_and_then_what_is_done_in_one_order_with_messages() {
    let mut scene = Scene::new(World::new(1), 1);
    scene.operate(0, &[increment(2), refer()]);
    let reader = scene.join(0, false);
    scene.world.pass(10 * SYNC_TURN_MS);
    scene.hear();
    assert_eq!(scene.readers[reader].replica.tree(), json!({"n": 2.0}));
    scene.publish(0);
    scene.operate(0, &[increment(1), set("k", json!({"boolean": true}))]);
    scene.publish(0);
    let told: String = scene.world.objects.bodies.iter().map(|(_, text, _)| text.as_str()).collect();
    let names: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["message", "object", "object", "message"]);
    scene.hear();
    assert_eq!(scene.readers[reader].replica.tree(), json!({"n": 3.0, "k": {"boolean": true}}));
}

/// A reader that was cut off amid a publish gets the rest of it, and then all objects.
#[test]
fn who_comes_back_with_any_id_has_the_same_objects() {
    let mut scene = Scene::new(World::new(1), 1);
    let whole = scene.join(0, true);
    scene.operate(0, &[increment(1), refer(), increment(2), increment(4)]);
    scene.operate(0, &[increment(8)]);
    scene.world.pass(10 * SYNC_TURN_MS);
    let bodies: String = scene.world.objects.bodies.iter().map(|(_, text, _)| text.as_str()).collect();
    scene.hear();
    let (mut ids, mut serials) = (Vec::new(), Vec::new());
    for (id, name, data) in bodies.lines().map(line) {
        if name.as_deref() == Some("object") {
            ids.push(id.expect("an id"));
            serials.push(data["serial"].as_str().expect("a serial").to_owned());
        }
    }
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (5, 5), "an id for each");
    for (at, id) in ids.iter().enumerate() {
        let back = scene.join_behind(0, false, Some(id));
        scene.world.pass(10 * SYNC_TURN_MS);
        scene.hear();
        assert_eq!(scene.readers[back].serials, serials[at + 1..], "behind {id}");
        assert_eq!(scene.readers[back].replica.tree(), scene.readers[whole].replica.tree());
    }
}

#[test]
fn increments_of_a_crowd_come_to_streams_as_their_sum() {
    let mut scene = Scene::new(World::new(1), 1);
    scene.operate(0, &[refer()]);
    let readers = [scene.join(0, false), scene.join(0, true)];
    scene.world.pass(10 * SYNC_TURN_MS);
    scene.world.objects.held = Some(Vec::new());
    (0..2 * INCREMENTS_SUMMED_FROM).for_each(|_| scene.operate(0, &[increment(1)]));
    scene.world.objects.free_calls();
    scene.world.pass(10 * SYNC_TURN_MS);
    scene.hear();
    for reader in readers {
        let Reader { replica, serials, sums, .. } = &scene.readers[reader];
        assert_eq!(replica.tree(), json!({"n": 2.0 * INCREMENTS_SUMMED_FROM as f64}));
        assert!(*sums > 0 && serials.len() < INCREMENTS_SUMMED_FROM, "{sums} sums, {serials:?}");
    }
}

/// Changes, and all that can happen to readers meanwhile. Gives how many syncs they were given amid changes.
fn storm(seed: u64) -> usize {
    const READERS: usize = 6;
    let mut random = Random::new(seed);
    let mut scene = Scene::new(World::slow(2), 2);
    scene.operate(0, &[increment(5), refer()]);
    for index in 0..READERS {
        scene.join(index % 2, index % 3 == 0);
    }
    for _ in 0..150 {
        let index = random.below(scene.readers.len() as u64) as usize;
        let writer = random.below(2) as usize;
        if !scene.readers[index].is_connected {
            scene.come(index);
            continue;
        }
        match random.below(100) {
            0..8 => scene.leave(index),
            8..10 if scene.readers.len() < 2 * READERS => _ = scene.join(writer, true),
            10..12 => scene.world.forget_channel(),
            12..15 => scene.forget_relay(writer),
            15..30 if scene.world.objects.held.is_none() => scene.world.objects.held = Some(Vec::new()),
            15..18 => scene.world.objects.free_calls(),
            18..24 => scene.world.pass(SYNC_TURN_MS),
            24..34 => {
                let key = format!("k{}", random.below(4));
                scene.operate(writer, &[set(&key, json!({"number": random.below(100)})), increment(3)]);
            }
            34..38 => {
                let remove = json!({"key": format!("k{}", random.below(4))});
                scene.operate(writer, &[json!({"action": 2, "objectId": "root", "mapRemove": remove})]);
            }
            38..50 => scene.publish(writer),
            _ => (0..random.between(1, 12)).for_each(|_| scene.operate(writer, &[increment(random.between(1, 9))])),
        }
        scene.hear();
    }
    scene.settle();
    let late = scene.join(0, false);
    scene.settle();
    let expected = scene.readers[late].replica.tree();
    for (index, reader) in scene.readers.iter().enumerate() {
        assert!(reader.replica.is_synced(), "seed {seed}: {index} is told no end");
        assert_eq!(reader.replica.tree(), expected, "seed {seed}: {index} holds something else");
        assert!(reader.serials.is_sorted_by(|one, next| one < next), "seed {seed}: {index} was told in another order");
        // Writers send nothing again, and so not all that they said need be there: but all or none have it.
        let all = &scene.readers[0].messages;
        assert!(!all.is_empty() && all.ends_with(&reader.messages), "seed {seed}: {index}: {:?}", reader.messages);
    }
    scene.readers.iter().map(|reader| reader.replica.pages).sum()
}

#[test]
fn streams_hold_the_same_objects_whatever_happens() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let pages: usize = (0..seeds).map(storm).sum();
    assert!(pages > 0 && pages as u64 > 40 * seeds, "{pages} pages");
}
