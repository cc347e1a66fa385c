//! The API of Pusher Channels, by requests that a key signs.

use courtside::error::Code;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{Asked, NOW_MS, World, get, post};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(key: &str, path: &str, body: &Value) -> Asked {
    let body = body.to_string();
    let query = [
        ("auth_key", key.to_owned()),
        ("auth_timestamp", (NOW_MS / 1_000).to_string()),
        ("auth_version", "1.0".to_owned()),
        ("body_md5", hex(&Md5::digest(&body))),
    ];
    let text: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"local-only").unwrap();
    mac.update(format!("POST\n{path}\n{}", text.join("&")).as_bytes());
    let asked = post(path, &body).anonymous().query("auth_signature", &hex(&mac.finalize().into_bytes()));
    query.iter().fold(asked, |asked, (name, value)| asked.query(name, value))
}

#[test]
fn who_may_not_see_counts_publishes_nothing_when_it_asks_for_them() {
    let mut world = World::new();
    let event = |info: Option<&str>| json!({"name": "e", "channel": "c", "data": "x", "info": info});
    let batch = |infos: [Option<&str>; 2]| json!({"batch": infos.map(event)});
    let count = Some("subscription_count");
    let mut ask = |path: &str, body: &Value| world.send(signed("demo.publisher", path, body)).code();
    let refused = Code::NotPermitted.number();
    assert_eq!(ask("/apps/demo/events", &event(count)), refused);
    assert_eq!(ask("/apps/demo/batch_events", &batch([None, count])), refused);
    assert_eq!(world.send(get("/channels/c/messages")).json, json!([]));
    for (path, body) in [("/apps/demo/events", event(None)), ("/apps/demo/batch_events", batch([None, None]))] {
        assert_eq!(world.send(signed("demo.publisher", path, &body)).json, json!({}));
    }
}

#[test]
fn each_event_of_a_batch_gets_the_counts_that_it_asked_for() {
    let mut world = World::new();
    let event = |channel: &str, info: Value| json!({"name": "e", "channel": channel, "data": "x", "info": info});
    let (none, some) = (event("a", Value::Null), event("b", json!("subscription_count")));
    let body = json!({"batch": [none, some, none, some]});
    let reply = world.send(signed("demo.full", "/apps/demo/batch_events", &body));
    let counted = json!({"subscription_count": 0});
    assert_eq!(reply.json, json!({"batch": [{}, counted, {}, counted]}));
}
