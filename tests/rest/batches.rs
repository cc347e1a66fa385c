//! Publishing on several channels.

use courtside::error::Code;
use courtside::http::Reply;
use courtside::limits::BATCH_BODY_MAX_BYTES;
use courtside::router::Next;
use serde_json::{Value, json};

use crate::world::{World, get, post};

#[test]
fn each_channel_of_a_batch_has_its_outcome() {
    let mut world = World::new();
    let batch = json!([
        {"channels": ["open:a", "shut", ":bad"], "messages": {"name": "x"}},
        {"channels": "open:a", "messages": [{"name": "y"}, {"name": "z"}]},
        {"channels": "open:b", "messages": {"data": 1}},
    ]);
    let reply = world.send(post("/messages", &batch.to_string()).key("demo.open:local-only"));
    assert_eq!(reply.status, 201, "{}", reply.json);
    let counts: Vec<_> =
        reply.json.as_array().unwrap().iter().map(|part| (&part["successCount"], &part["failureCount"])).collect();
    assert_eq!(counts, [(&json!(1), &json!(2)), (&json!(1), &json!(0)), (&json!(0), &json!(1))]);
    let results = &reply.json[0]["results"];
    let success = json!({"channel": "open:a", "messageId": "AAAAAAAAAAAAAAAAAAAAAA.0", "serials": ["01800000000000-001@life0:000"]});
    assert_eq!(results[0], success);
    assert_eq!((&results[1]["channel"], &results[1]["error"]["statusCode"]), (&json!("shut"), &json!(401)));
    assert_eq!(results[2]["error"]["code"], Code::BadChannelName.number());
    assert_eq!(reply.json[2]["results"][0]["error"]["code"], Code::BadData.number());
    assert_eq!(world.send(get("/channels/open:a/messages")).names(), ["z", "y", "x"]);
}

#[test]
fn a_lone_spec_has_a_lone_answer() {
    let reply = World::new().send(post("/messages", r#"{"channels":["a","b"],"messages":[{}]}"#));
    assert_eq!((reply.status, &reply.json["successCount"]), (201, &json!(2)));
}

#[test]
fn version_two_gets_a_flat_list() {
    let mut old = post("/messages", r#"{"channels":["a","b"],"messages":{}}"#);
    for version in ["2", "1.2"] {
        old.request.headers.x_ably_version = Some(version.into());
        let reply = World::new().send(old.clone());
        assert_eq!((reply.status, &reply.json[1]["channel"]), (201, &json!("b")), "{version}");
        let reply = World::new().send(old.clone().query("newBatchResponse", "true"));
        assert_eq!((reply.status, &reply.json["successCount"]), (201, &json!(2)), "{version}");
    }
    old.request.body = br#"{"channels":["a",":b"],"messages":{}}"#.to_vec();
    let reply = World::new().send(old);
    assert_eq!((reply.status, reply.code()), (400, Code::BatchFailed.number()));
    assert_eq!(reply.json["batchResponse"][0]["channel"], "a");
    assert_eq!(reply.json["batchResponse"][1]["error"]["code"], Code::BadChannelName.number());
}

#[test]
fn batches_are_bounded() {
    let channels: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    let spec = |channels: Value, messages: Value| json!({"channels": channels, "messages": messages});
    for (body, code) in [
        (json!([]), Code::BadRequest),
        (spec(json!([]), json!({})), Code::BadRequest),
        (spec(json!(channels), json!({})), Code::BadRequest),
        (json!([spec(json!(channels[..60]), json!({})), spec(json!(channels[..60]), json!({}))]), Code::BadRequest),
        (spec(json!(["a", "a"]), json!({})), Code::BadRequest),
        (
            json!([spec(json!("a"), json!(vec![json!({}); 600])), spec(json!("b"), json!(vec![json!({}); 600]))]),
            Code::TooManyMessages,
        ),
        (json!({"channels": "a"}), Code::BadBody),
        (json!({"channels": 1, "messages": {}}), Code::BadBody),
        (json!([["a", {}]]), Code::BadBody),
    ] {
        let reply = World::new().send(post("/messages", &body.to_string()));
        assert_eq!(reply.code(), code.number(), "{}", reply.json);
    }
    let reply = World::new().send(post("/messages", &" ".repeat(BATCH_BODY_MAX_BYTES + 1)));
    assert_eq!((reply.status, reply.code()), (400, Code::TooLarge.number()));
}

#[test]
fn a_batch_of_which_nothing_can_be_done_makes_no_call() {
    let request = post("/messages", r#"{"channels":":a","messages":{}}"#).request;
    assert!(matches!(World::new().begin(&request), Next::Answer(Reply { status: 201, .. }, _)));
}
