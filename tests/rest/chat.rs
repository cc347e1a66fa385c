//! The chat SDK's endpoints: what they answer, byte for byte, and what they do when requests race or are repeated.

use courtside::error::Code;
use courtside::http::Headers;
use serde_json::{Value, json};

use crate::world::{Asked, Exchanged, World, get, post};

const ROOM: &str = "/chat/v4/rooms/lobby";

/// As a client of this name.
fn by(client: &str, method: &str, path: &str, body: Value) -> Asked {
    let mut asked = post(&format!("{ROOM}{path}"), &body.to_string());
    asked.request.method = method.to_owned();
    let headers = asked.request.headers;
    // A name in base64, as SDKs send it.
    let name = base64(client);
    asked.request.headers = Headers { x_ably_clientid: Some(name), ..headers };
    asked
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn sent(world: &mut World, text: &str) -> (String, Exchanged) {
    let reply = world.send(by("ann", "POST", "/messages", json!({"text": text})));
    (reply.json["serial"].as_str().expect("a serial").to_owned(), reply)
}

fn body(reply: &Exchanged) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

#[test]
fn a_message_is_pinned() {
    let mut world = World::new();
    let (serial, reply) = sent(&mut world, "hi");
    let expected = concat!(
        r#"{"serial":"01800000000000-001@life0:000","#,
        r#""version":{"serial":"01800000000000-001@life0:000","timestamp":1800000000000},"text":"hi","clientId":"ann","#,
        r#""action":"message.create","metadata":{},"headers":{},"timestamp":1800000000000}"#
    );
    assert_eq!((reply.status, body(&reply)), (201, expected));
    let edit = json!({"message": {"text": "ho", "metadata": {"a": [1]}, "headers": {"n": 1}}, "description": "typo"});
    let edited = world.send(by("bob", "PUT", &format!("/messages/{serial}"), edit));
    let expected = concat!(
        r#"{"serial":"01800000000000-001@life0:000","#,
        r#""version":{"serial":"01800000000001-000@life0:000","timestamp":1800000000001,"clientId":"bob","#,
        r#""description":"typo"},"text":"ho","clientId":"ann","action":"message.update","#,
        r#""metadata":{"a":[1]},"headers":{"n":1},"timestamp":1800000000000}"#
    );
    assert_eq!((edited.status, body(&edited)), (200, expected));
    let deleted = world.send(by("bob", "POST", &format!("/messages/{serial}/delete"), json!({})));
    assert_eq!(deleted.json["action"], "message.delete");
    assert_eq!(
        (&deleted.json["text"], &deleted.json["metadata"], &deleted.json["headers"]),
        (&json!(""), &json!({}), &json!({}))
    );
    let versions = world.send(get(&format!("{ROOM}/messages/{serial}/versions")));
    assert_eq!(versions.json, json!([reply.json, edited.json, deleted.json]));
    assert!(versions.header("Link").is_some_and(|link| link.contains("<./versions?")));
    let history = world.send(get(&format!("{ROOM}/messages")));
    assert_eq!(history.json, json!([deleted.json]));
}

#[test]
fn both_formats_say_the_same() {
    let mut world = World::new();
    let (serial, reply) = sent(&mut world, "hi");
    let path = format!("{ROOM}/messages/{serial}");
    let packed = world.send(get(&path).accept("application/x-msgpack"));
    assert_eq!(rmp_serde::from_slice::<Value>(&packed.body).unwrap(), reply.json);
    let asked = by("ann", "PUT", &format!("/messages/{serial}"), Value::Null).content_type("application/x-msgpack");
    let edit = rmp_serde::to_vec_named(&json!({"message": {"text": "ho"}})).unwrap();
    assert_eq!(world.send(asked.body(edit)).json["text"], "ho");
}

/// Two requests on their way at once: each is answered as it was done.
#[test]
fn an_edit_is_answered_as_it_was_though_another_follows_at_once() {
    let mut world = World::new();
    let (serial, _) = sent(&mut world, "hi");
    let edit = |text: &str| by("ann", "PUT", &format!("/messages/{serial}"), json!({"message": {"text": text}}));
    let slow = world.begin(&edit("first").request);
    // The edit: that no client is banned is known.
    let slow = world.step(slow);
    let fast = world.send(edit("second"));
    let slow = Exchanged::of(world.finish(slow));
    let shown = |reply: &Exchanged| (reply.json["text"].clone(), reply.json["version"]["serial"].clone());
    assert_eq!(shown(&slow), (json!("first"), json!("01800000000001-000@life0:000")));
    assert_eq!(shown(&fast), (json!("second"), json!("01800000000001-001@life0:000")));
}

#[test]
fn a_request_that_is_repeated_is_done_once_for_its_client() {
    let mut world = World::new();
    let send =
        |client: &str, text: &str| by(client, "POST", "/messages", json!({"text": text})).query("idempotencyKey", "k");
    let first = world.send(send("ann", "one"));
    let again = world.send(send("ann", "other"));
    assert_eq!((first.status, again.status, &again.json), (201, 201, &first.json));
    assert_ne!(world.send(send("bob", "one")).json["serial"], first.json["serial"]);
    // A name with a part of another's key in it is another name.
    let odd = by("a", "POST", "/messages", json!({"text": "x"})).query("idempotencyKey", "nn:k");
    assert_eq!(world.send(odd).json["clientId"], "a");
    let serial = first.json["serial"].as_str().unwrap();
    let edit = |text: &str| {
        let body = json!({"message": {"text": text}});
        by("ann", "PUT", &format!("/messages/{serial}"), body).query("idempotencyKey", "k")
    };
    let edited = world.send(edit("two"));
    assert_eq!((edited.json["text"].as_str(), world.send(edit("three")).json), (Some("two"), edited.json.clone()));
    let long = send("ann", "x").with(&[("idempotencyKey".to_owned(), "x".repeat(256))]);
    assert_eq!(world.send(long).code(), Code::BadMessageId.number());
}

#[test]
fn what_is_no_chat_message_is_not_shown_as_one() {
    let mut world = World::new();
    let other = world.publish("lobby::$chat", &["score"]);
    let (serial, _) = sent(&mut world, "hi");
    let history = world.send(get(&format!("{ROOM}/messages")));
    assert_eq!(history.json.as_array().unwrap().len(), 1);
    assert_eq!(history.json[0]["serial"], serial);
    assert_eq!(world.send(get(&format!("{ROOM}/messages/{other}"))).code(), Code::NotFound.number());
}

/// UIs show the first page that they get.
#[test]
fn a_page_is_not_empty_while_there_is_more() {
    let mut world = World::new();
    let (serial, _) = sent(&mut world, "hi");
    (0..5).for_each(|_| _ = world.publish("lobby::$chat", &["score"]));
    let first = world.send(get(&format!("{ROOM}/messages")).query("limit", "1"));
    assert_eq!((first.json.as_array().unwrap().len(), &first.json[0]["serial"]), (1, &json!(serial)));
    (0..15).for_each(|_| _ = world.publish("lobby::$chat", &["score"]));
    let far = world.send(get(&format!("{ROOM}/messages")).query("limit", "1"));
    assert_eq!((far.json.as_array().unwrap().len(), far.next().is_some()), (0, true), "it looks so far and no further");
    let mut shown = Vec::new();
    world.walk(get(&format!("{ROOM}/messages")).query("limit", "1"), |page| {
        shown.extend(page.json.as_array().unwrap().iter().map(|message| message["serial"].clone()));
    });
    assert_eq!(shown, [json!(serial)]);
}

#[test]
fn reactions_are_annotations_of_the_chats_types() {
    let mut world = World::new();
    let (serial, _) = sent(&mut world, "hi");
    let path = format!("/messages/{serial}/reactions");
    let added = world.send(by("bob", "POST", &path, json!({"type": "multiple", "name": "👍", "count": 3})));
    assert_eq!((added.status, body(&added)), (201, r#"{"serial":"01800000000000-002@life0:000"}"#));
    let of = |client: &str| get(&format!("{ROOM}/messages/{serial}/client-reactions")).query("forClientId", client);
    let said =
        json!({"clientIds": {"bob": 3}, "clipped": true, "total": 3, "totalClientIds": 1, "totalUnidentified": 0});
    assert_eq!(world.send(of("bob")).json, json!({"unique": {}, "distinct": {}, "multiple": {"👍": said}}));
    assert_eq!(world.send(of("eve")).json, json!({"unique": {}, "distinct": {}, "multiple": {}}));
    assert_eq!(
        world.send(get(&format!("{ROOM}/messages/{serial}/client-reactions"))).code(),
        Code::BadClientId.number()
    );
    let removed = by("bob", "DELETE", &path, Value::Null).query("type", "multiple").query("name", "👍");
    assert_eq!(world.send(removed).status, 200);
    let now = world.send(get(&format!("{ROOM}/messages/{serial}")));
    assert_eq!(now.json["reactions"], Value::Null);
    assert_eq!(world.send(post(&format!("{ROOM}{path}"), r#"{"type":"distinct","name":"x"}"#)).code(), 40000, "nobody");
}
