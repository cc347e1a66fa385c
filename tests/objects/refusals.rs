//! Bad input that takes days, or a hundred thousand keys, in both formats of a frame. What is quicker stands in
//! tests/worker/objects_refused.test.mjs.

use courtside::limits::{OBJECTS_GRACE_MS, PUBLISH_MAX_MESSAGES};
use courtside::model::Format;
use courtside::model::objects::id;
use courtside::model::objects::operation::Kind;
use serde_json::{Value, json};

use crate::support::host::{Input, LinkId};
use crate::support::replica::Replica;
use crate::world::{Client, NOW_MS, World};

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

/// Sends operations in a format, and gives the code by which they were refused, or 0.
fn operate(world: &mut World, client: Client, serial: u64, format: Format, operations: Vec<Value>) -> u64 {
    let state: Vec<Value> = operations.into_iter().map(|operation| json!({"operation": operation})).collect();
    let frame = json!({"action": 19, "channel": "room", "msgSerial": serial, "state": state});
    let bytes = match format {
        Format::Json => serde_json::to_vec(&frame).expect("JSON"),
        Format::Msgpack => rmp_serde::to_vec_named(&frame).expect("msgpack"),
    };
    let Client(relay, number) = client;
    world.take(client);
    world.objects.turn(relay + 1, Input::Frame { link: LinkId(number.into()), bytes, format });
    world.outcome(client)
}

/// What who comes now is shown.
fn shown(world: &mut World) -> Value {
    let client = world.connect(0, "late");
    let params = json!({"modes": "object_subscribe"});
    world.send(client, json!({"action": 10, "channel": "room", "params": params}));
    world.pass(10_000);
    let mut replica = Replica::default();
    for frame in world.take(client) {
        match frame["action"].as_u64() {
            Some(11) => replica.attached(),
            Some(20) => replica.page(&frame),
            _ => {}
        }
    }
    world.lose(client);
    assert!(replica.is_synced());
    replica.tree()
}

#[test]
fn an_operation_on_an_object_that_was_collected_is_refused_and_changes_nothing() {
    let mut world = World::new(1);
    let writer = world.connect(0, "ann");
    let nonce = "0123456789abcdef";
    let ids = ["1", "2"].map(|count| id::make(Kind::Counter, &format!(r#"{{"count":{count}}}"#), nonce, NOW_MS));
    let create = |(id, count): (&String, u64)| {
        let payload = json!({"initialValue": format!(r#"{{"count":{count}}}"#), "nonce": nonce});
        json!({"action": 3, "objectId": id, "counterCreateWithObjectId": payload})
    };
    let set = json!({"action": 1, "objectId": "root", "mapSet": {"key": "kept", "value": {"number": 1}}});
    let operations = ids.iter().zip(1..).map(create).chain([set]).collect();
    assert_eq!(operate(&mut world, writer, 0, Format::Json, operations), 0);
    world.pass(2 * OBJECTS_GRACE_MS + 60_000);
    for (serial, (id, format)) in (1..).zip(ids.iter().zip(FORMATS)) {
        let increment = json!({"action": 4, "objectId": id, "counterInc": {"number": 1}});
        let other = json!({"action": 1, "objectId": "root", "mapSet": {"key": "more", "value": {"number": 1}}});
        assert_eq!(operate(&mut world, writer, serial, format, vec![other, increment]), 92002, "{format:?}");
    }
    assert_eq!(shown(&mut world), json!({"kept": {"number": 1}}));
}

/// A map may be large; it comes in pages, whose keys the replica knows to be distinct.
#[test]
fn a_map_of_a_hundred_thousand_keys_is_taken_and_comes_whole() {
    const KEYS: usize = 100_000;
    let mut world = World::unhurried(1);
    let writer = world.connect(0, "ann");
    let set = |key: usize| json!({"action": 1, "objectId": "root", "mapSet": {"key": format!("k{key}"), "value": {"number": key}}});
    for (serial, first) in (0_u64..).zip((0..KEYS).step_by(PUBLISH_MAX_MESSAGES)) {
        let operations = (first..first + PUBLISH_MAX_MESSAGES).map(set).collect();
        let outcome = operate(&mut world, writer, serial, FORMATS[serial as usize % 2], operations);
        assert_eq!(outcome, 0, "the keys from {first} on");
    }
    let tree = shown(&mut world);
    assert_eq!(tree.as_object().map(|keys| keys.len()), Some(KEYS));
    assert_eq!(tree["k99999"], json!({"number": 99_999}));
    let entries: serde_json::Map<String, Value> =
        (0..10_000).map(|key| (key.to_string(), json!({"data": {"number": key}}))).collect();
    let initial = json!({"semantics": 0, "entries": entries}).to_string();
    for (serial, format) in (1_000..).zip(FORMATS) {
        let id = id::make(Kind::Map, &initial, "0123456789abcdef", NOW_MS);
        let payload = json!({"initialValue": initial, "nonce": "0123456789abcdef"});
        let create = json!({"action": 0, "objectId": id, "mapCreateWithObjectId": payload});
        assert_eq!(operate(&mut world, writer, serial, format, vec![create]), 40009, "more than a publish may hold");
    }
}
