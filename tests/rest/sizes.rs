//! A namespace that takes less at once than any channel may: whichever way it is said.

use courtside::error::Code;
use serde_json::{Value, json};

use crate::world::{Asked, World, get, post};

/// The world's namespace takes this many bytes.
const MAX_BYTES: usize = 20;

fn code(asked: Asked) -> u32 {
    let reply = World::new().send(asked);
    if reply.status < 300 { 0 } else { reply.code() }
}

#[test]
fn what_is_too_large_is_refused_by_each_path_and_nothing_of_it_is_there() {
    let data = |bytes: usize| json!({"data": "x".repeat(bytes)}).to_string();
    let bare = |bytes: usize| {
        let asked = post("/channels/short:a/messages", &"x".repeat(bytes));
        asked.content_type("text/plain").query("enveloped", "false")
    };
    for (bytes, expected) in [(MAX_BYTES, 0), (MAX_BYTES + 1, Code::TooLarge.number())] {
        for path in ["/channels/short:a/messages", "/channels/short:a/publish"] {
            assert_eq!(code(post(path, &data(bytes))), expected, "{path} {bytes}");
        }
        assert_eq!(code(bare(bytes)), expected);
    }
    let mut world = World::new();
    let refused = world.send(post("/channels/short:a/messages", &data(MAX_BYTES + 1)));
    let max = format!("this channel takes at most {MAX_BYTES} bytes at once, not {}", MAX_BYTES + 1);
    assert_eq!(refused.json["error"]["message"], json!(max));
    assert_eq!(world.send(get("/channels/short:a/messages")).json, json!([]));
    assert_eq!(code(post("/channels/wide/messages", &data(MAX_BYTES + 1))), 0, "others take it");
}

#[test]
fn of_a_batch_the_other_channels_take_it() {
    let body = json!({"channels": ["short:a", "wide"], "messages": {"data": "x".repeat(MAX_BYTES + 1)}});
    let reply = World::new().send(post("/messages", &body.to_string()));
    let outcomes: Vec<&Value> = reply.json["results"].as_array().expect("a list").iter().collect();
    assert_eq!(outcomes[0]["error"]["code"], json!(Code::TooLarge.number()), "{}", reply.json);
    assert_eq!((&outcomes[1]["channel"], &outcomes[1]["error"]), (&json!("wide"), &Value::Null));
}

#[test]
fn a_change_is_bounded_as_what_it_changes() {
    let mut world = World::new();
    let serial = world.send(post("/channels/short:a/messages", "{}")).json["serials"][0].clone();
    for (bytes, expected) in [(MAX_BYTES, 0), (MAX_BYTES + 1, Code::TooLarge.number())] {
        let update = json!({"action": 1, "serial": serial, "data": "x".repeat(bytes)});
        let reply = world.send(post("/channels/short:a/messages", &update.to_string()));
        assert_eq!(if reply.status < 300 { 0 } else { reply.code() }, expected, "{}", reply.json);
    }
}
