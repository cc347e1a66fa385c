//! Objects over REST: what is read, what is changed, in every form that a body may have, and what is refused.

use courtside::limits::OBJECTS_DEPTH_MAX;
use serde_json::{Value, json};

use crate::world::*;

const PATH: &str = "/channels/room/object";

fn change(world: &mut World, body: Value) -> Value {
    let answer = world.send(post(PATH, &body.to_string()));
    assert_eq!(answer.status, 201, "{body}: {}", answer.json);
    answer.json
}

fn ids(answer: &Value) -> Vec<String> {
    answer["objectIds"].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

fn refused(world: &mut World, body: Value) -> u32 {
    let before = world.send(get(PATH)).json;
    let code = world.send(post(PATH, &body.to_string())).code();
    assert_eq!(world.send(get(PATH)).json, before, "what is refused changes nothing");
    code
}

fn read(world: &mut World, query: &[(&str, &str)]) -> Value {
    let asked = query.iter().fold(get(PATH), |asked, (name, value)| asked.query(name, value));
    let answer = world.send(asked);
    assert_eq!(answer.status, 200, "{query:?}: {}", answer.json);
    answer.json
}

fn set(path: &str, key: &str, value: Value) -> Value {
    json!({"path": path, "mapSet": {"key": key, "value": value}})
}

#[test]
fn what_is_created_changed_and_removed_is_read_whole_and_in_part() {
    let mut world = World::new();
    assert_eq!(read(&mut world, &[]), json!({}));
    let created = ids(&change(&mut world, json!({"path": "score", "counterCreate": {"count": 10}})));
    assert!(created.len() == 2 && created[0].starts_with("counter:") && created[1] == "root", "{created:?}");
    let game = ids(&change(
        &mut world,
        json!([{"path": "game", "mapCreate": {"semantics": 0, "entries": {
            "a.b": {"data": {"string": ""}}, "n": {"data": {"number": -1.5}}, "yes": {"data": {"boolean": true}},
            "raw": {"data": {"bytes": "AP8="}}, "json": {"data": {"json": "[1]"}}, "old": {"data": {"string": "{}", "encoding": "json"}},
            "score": {"data": {"objectId": created[0]}},
        }}}]),
    ));
    change(
        &mut world,
        json!([
            {"objectId": created[0], "counterInc": {"number": 5}}, {"path": "score", "counterInc": {"number": 0.5}},
            {"path": "game", "mapRemove": {"key": "yes"}}, set("", "none", json!({"string": "x"})),
            {"path": "", "mapRemove": {"key": "none"}}, {"counterCreate": {}},
        ]),
    );
    let values = json!({"a.b": "", "json": "[1]", "n": -1.5, "old": "{}", "raw": "AP8=", "score": 15.5});
    let again = json!({"objectId": created[0]});
    assert_eq!(read(&mut world, &[]), json!({"game": values, "score": again}), "an object that comes again is its id");
    assert_eq!(read(&mut world, &[("path", "game.a\\.b")]), json!(""));
    assert_eq!(read(&mut world, &[("path", "game.n")]), json!(-1.5));
    assert_eq!(read(&mut world, &[("path", "score")]), json!(15.5));
    assert_eq!(read(&mut world, &[("objectId", &game[0]), ("path", "score")]), json!(15.5));
    let full = read(&mut world, &[("compact", "false"), ("path", "game")]);
    let entries = &full["map"]["entries"];
    assert_eq!((&full["objectId"], &full["map"]["semantics"]), (&json!(game[0]), &json!("LWW")));
    assert_eq!(entries["n"], json!({"data": {"number": -1.5}}));
    assert_eq!(entries["score"]["data"], json!({"objectId": created[0], "counter": {"data": {"number": 15.5}}}));
    let by_id = world.send(get(&format!("{PATH}/{}", created[0].replace('@', "%40").replace(':', "%3A"))));
    assert_eq!((by_id.status, by_id.json), (200, json!(15.5)));
}

#[test]
fn numbers_are_floats_in_msgpack_though_they_are_whole() {
    let mut world = World::new();
    change(&mut world, json!([{"path": "hits", "counterCreate": {"count": 1}}, set("", "n", json!({"number": 2}))]));
    for (compact, places) in [
        ("true", ["/hits", "/n"]),
        ("false", ["/map/entries/hits/data/counter/data/number", "/map/entries/n/data/number"]),
    ] {
        let reply = world.send(get(PATH).query("compact", compact).query("format", "msgpack"));
        let packed: Value = rmp_serde::from_slice(&reply.body).expect("msgpack");
        let json = read(&mut world, &[("compact", compact)]);
        for place in places {
            assert!(packed.pointer(place).is_some_and(Value::is_f64), "{place}: {packed}");
            assert!(json.pointer(place).is_some_and(Value::is_i64), "{place}: {json}");
        }
    }
}

#[test]
fn operations_are_known_by_their_ids_and_are_done_once() {
    let mut world = World::new();
    change(&mut world, json!({"path": "n", "counterCreate": {}}));
    for body in [
        json!({"id": "once", "path": "n", "counterInc": {"number": 1}}),
        json!([{"id": "both:0", "path": "n", "counterInc": {"number": 1}}, {"id": "both:1", "path": "n", "counterInc": {"number": 1}}]),
        json!({"id": "made", "path": "m", "mapCreate": {}}),
    ] {
        let answers = [(); 2].map(|()| change(&mut world, body.clone()));
        assert_eq!(answers[0], answers[1], "{body}");
    }
    assert_eq!(read(&mut world, &[]), json!({"m": {}, "n": 3}));
    let bad = json!([{"id": "x:1", "path": "n", "counterInc": {"number": 1}}, {"id": "x:0", "path": "n", "counterInc": {"number": 1}}]);
    assert_eq!(refused(&mut world, bad), 40031);
}

#[test]
fn what_cannot_be_done_is_refused_by_its_code() {
    let mut world = World::new();
    change(&mut world, json!([{"path": "n", "counterCreate": {}}, {"path": "m", "mapCreate": {}}]));
    let inc = |more: Value| {
        let mut body = json!({"counterInc": {"number": 1}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
        body
    };
    let nonce = "0123456789abcdef";
    for (body, code) in [
        (json!([]), 92000),
        (json!({}), 92000),
        (json!({"path": "n"}), 92000),
        (json!({"path": "n", "counterInc": {"number": 1}, "mapClear": {}}), 92000),
        (json!({"path": "n", "counterInc": {"number": "1"}}), 92000),
        (json!({"path": "n", "counterInc": {"number": null}}), 92000),
        (json!({"path": "n", "counterInc": {}}), 92000),
        (json!({"path": "n", "objectDelete": {}}), 92000),
        (json!({"path": "m", "mapClear": {}}), 92000),
        (json!({"path": "m", "mapSet": {"key": "k"}}), 92000),
        (json!({"path": "m", "mapSet": {"key": 1, "value": {"number": 1}}}), 92000),
        (set("m", "k", json!({"number": 1, "string": "x"})), 92000),
        (set("m", "k", json!({"json": "{"})), 92000),
        (set("m", "k", json!({"bytes": "?"})), 92000),
        (set("m", "k", json!({"objectId": "nonsense"})), 92000),
        (json!({"mapCreate": {"semantics": 1}}), 92000),
        (json!({"mapCreate": {"entries": {"k": {"data": {"number": 1}, "timeserial": "x"}}}}), 92000),
        (json!({"objectId": "counter:x@1", "counterCreate": {}}), 92000),
        (json!({"objectId": "counter:x@1", "nonce": nonce, "counterCreate": {}}), 92000),
        (json!({"objectId": "map:x@1", "mapCreateWithObjectId": {"initialValue": "{}", "nonce": nonce}}), 92000),
        (json!({"mapCreateWithObjectId": {"initialValue": "{}", "nonce": nonce}}), 92000),
        (inc(json!({"objectId": "counter:x@1", "path": "n"})), 92000),
        (inc(json!({"objectId": "root"})), 92000),
        (inc(json!({"objectId": "counter:x@1"})), 92004),
        (inc(json!({})), 92006),
        (inc(json!({"path": "none"})), 92005),
        (inc(json!({"path": "m.*"})), 92005),
        (inc(json!({"path": "m"})), 92007),
        (json!({"path": "*", "counterCreate": {}}), 92007),
        (json!({"path": "m.*.k", "counterCreate": {}}), 92007),
        (json!({"path": "", "counterCreate": {}}), 92007),
        (set("m", &"k".repeat(65_537), json!({"string": ""})), 40009),
        (json!([inc(json!({"path": "n"})), inc(json!({"path": "none"}))]), 92005),
        (Value::Array(vec![inc(json!({"path": "n"})); 1_001]), 40034),
        (json!("what"), 40001),
    ] {
        assert_eq!(refused(&mut world, body.clone()), code, "{}", &body.to_string()[..body.to_string().len().min(200)]);
    }
    for (query, code) in [
        (("objectId", "map:none@1"), 92004),
        (("objectId", "nonsense"), 92004),
        (("path", "none"), 92005),
        (("path", "n.deeper"), 92005),
        (("path", "*"), 92007),
        (("compact", "maybe"), 40003),
        (("deep", "1"), 40002),
    ] {
        assert_eq!(world.send(get(PATH).query(query.0, query.1)).code(), code, "{query:?}");
    }
}

#[test]
fn the_largest_values_and_keys_and_ids_of_clients_are_taken() {
    let mut world = World::new();
    let value = "x".repeat(65_536 - 1);
    change(&mut world, set("", "k", json!({"string": value})));
    assert_eq!(read(&mut world, &[("path", "k")]), json!(value));
    let key = "k".repeat(10_240);
    change(&mut world, set("", &key, json!({"number": 0})));
    assert_eq!(read(&mut world, &[("path", &key)]), json!(0));
    let (nonce, initial) = ("0123456789abcdef", r#"{"count":10}"#);
    let id = courtside::model::objects::id::make(
        courtside::model::objects::operation::Kind::Counter,
        initial,
        nonce,
        NOW_MS,
    );
    let body = json!({"objectId": id, "counterCreateWithObjectId": {"initialValue": initial, "nonce": nonce}});
    assert_eq!(ids(&change(&mut world, body)), std::slice::from_ref(&id));
    let body = json!({"objectId": id, "nonce": nonce, "counterCreate": {"count": 10}});
    assert_eq!(ids(&change(&mut world, body)), std::slice::from_ref(&id), "the same said otherwise");
    assert_eq!(read(&mut world, &[("objectId", &id)]), json!(10), "and it was created already");
}

/// Maps within maps, more than an answer shows: it goes on from the id that it ends with.
#[test]
fn depth_is_bounded_and_can_be_gone_on_from() {
    let mut world = World::new();
    let mut path = String::new();
    for _ in 0..OBJECTS_DEPTH_MAX {
        path += if path.is_empty() { "m" } else { ".m" };
        change(&mut world, json!({"path": path, "mapCreate": {}}));
    }
    let mut shown = &read(&mut world, &[]);
    let mut depth = 0;
    while let Some(next) = shown.get("m") {
        (shown, depth) = (next, depth + 1);
    }
    assert_eq!((depth, shown), (OBJECTS_DEPTH_MAX, &json!({})));
    let deepest = ids(&change(&mut world, json!({"path": path, "mapSet": {"key": "end", "value": {"number": 1}}})));
    let more = ids(&change(&mut world, json!({"mapCreate": {}})));
    change(&mut world, json!({"objectId": more[0], "mapSet": {"key": "x", "value": {"number": 1}}}));
    change(&mut world, json!({"objectId": deepest[0], "mapSet": {"key": "m", "value": {"objectId": more[0]}}}));
    let shown = read(&mut world, &[]).to_string();
    assert!(shown.contains(&format!(r#""m":{{"objectId":"{}"}}"#, more[0])), "{shown}");
    assert_eq!(read(&mut world, &[("objectId", &more[0])]), json!({"x": 1}));
}

#[test]
fn reading_and_changing_need_a_capability() {
    let mut world = World::new();
    let body = json!({"path": "", "mapSet": {"key": "k", "value": {"number": 1}}}).to_string();
    assert_eq!(world.send(post(PATH, &body).key("demo.publisher:local-only")).code(), 40160);
    assert_eq!(world.send(get(PATH).key("demo.publisher:local-only")).code(), 40160);
    assert_eq!(world.send(get(PATH).key("demo.reader:local-only")).code(), 40160);
    assert_eq!(world.send(post(PATH, &body).key("demo.open:local-only")).code(), 40160);
    assert_eq!(world.send(post("/channels/open:a/object", &body).key("demo.open:local-only")).status, 201);
    assert_eq!(world.send(post("/channels/open:a/objects", &body).key("demo.open:local-only")).status, 201);
    assert_eq!(world.send(post("/channels/safe:a/object", &body)).code(), 40311, "the namespace's rules hold");
}
