//! Who is present, who was, and how many, over REST.

use courtside::auth::{Identity, Source};
use courtside::error::Code;
use courtside::intake::presence;
use courtside::limits::{BATCH_MEMBERS_MAX_BYTES, NEW_CHANNELS_OF_BATCHES, OBJECT_BEGINS_MS};
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::model::node;
use courtside::protocol::inbound::InboundMessage;
use courtside::rest::Step;
use courtside::router::Next;
use courtside::rpc::{Lease, Publish, PublishKey, RelayName, Request as Call, Submission};
use serde_json::{Value, json};

use crate::world::{World, get, post};

fn act(world: &mut World, connection_id: &str, msg_serial: u64, events: Value) {
    act_in(world, "room", connection_id, msg_serial, events);
}

/// Events of a connection, each as what its client sends.
fn act_in(world: &mut World, channel: &str, connection_id: &str, msg_serial: u64, events: Value) {
    let text = events.to_string();
    let node = node::read(text.as_bytes(), Format::Json).unwrap();
    let (events, _) = InboundMessage::read_several(node).unwrap();
    let updates = presence::check(events, &Identity::Wildcard, None, connection_id, msg_serial).unwrap();
    let lease = Lease { relay: RelayName::from("relay:demo/0".to_owned()), grace_ms: 15_000 };
    let publish = Publish {
        key: PublishKey::Serial(msg_serial),
        connection_id: Some(connection_id.to_owned()),
        by: Source::SERVER,
        content: Submission::Presence { lease, updates },
    };
    let asked = get(&format!("/channels/{channel}/presence")).request;
    let Next::Perform(Step::Calls(calls, _), _) = world.begin(&asked) else { panic!("not a call") };
    let mut call = calls.into_iter().next().unwrap();
    assert_eq!(call.to.channel, ChannelName::parse(channel).unwrap());
    call.request = Call::Publish(vec![publish]);
    world.call(call).unwrap();
}

fn room() -> World {
    let mut world = World::new();
    act(&mut world, "a", 0, json!([{"action": 2, "clientId": "ann", "data": "hi"}, {"action": 2, "clientId": "bob"}]));
    act(&mut world, "b", 0, json!([{"action": 2, "clientId": "ann", "data": {"x": 1}}]));
    act(&mut world, "b", 1, json!([{"action": 4, "clientId": "ann", "data": "AQI=", "encoding": "base64"}]));
    world
}

fn names(page: &Value) -> Vec<String> {
    let name =
        |item: &Value| format!("{}:{}", item["connectionId"].as_str().unwrap(), item["clientId"].as_str().unwrap());
    page.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn members_are_listed_page_by_page() {
    let mut world = room();
    let all = world.send(get("/channels/room/presence"));
    assert_eq!(names(&all.json), ["a:ann", "a:bob", "b:ann"]);
    let first = &all.json[0];
    assert_eq!((&first["action"], &first["id"], &first["data"]), (&json!(1), &json!("a:0:0"), &json!("hi")));
    assert_eq!((&all.json[2]["data"], &all.json[2]["encoding"]), (&json!("AQI="), &json!("base64")));
    let mut pages = Vec::new();
    let mut asked = get("/channels/room/presence").query("limit", "2");
    loop {
        let page = world.send(asked);
        pages.push(names(&page.json));
        let link = page.header("Link").unwrap();
        assert!(link.contains("<./presence?limit=2"), "{link}");
        let Some(next) = page.next() else { break };
        asked = get("/channels/room/presence").with(&next);
    }
    assert_eq!(pages, [vec!["a:ann", "a:bob"], vec!["b:ann"]]);
}

#[test]
fn members_are_found_by_client_and_connection() {
    let mut world = room();
    let mut found =
        |name: &str, value: &str| names(&world.send(get("/channels/room/presence").query(name, value)).json);
    assert_eq!(found("clientId", "ann"), ["a:ann", "b:ann"]);
    assert_eq!(found("connectionId", "a"), ["a:ann", "a:bob"]);
    assert_eq!(found("clientId", "nobody"), [""; 0]);
}

#[test]
fn history_tells_events_apart_from_messages() {
    let mut world = room();
    world.publish("room", &["m"]);
    let history = world.send(get("/channels/room/presence/history").query("direction", "forwards").query("limit", "3"));
    let actions: Vec<_> = history.json.as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, [2, 2, 2]);
    assert!(history.header("Link").unwrap().contains("<./history?"), "{:?}", history.header("Link"));
    assert_eq!(world.send(get("/channels/room/messages")).names(), ["m"]);
}

#[test]
fn a_batch_asks_for_several_channels() {
    let mut world = room();
    let reply = world.send(get("/presence").query("channels", "room,empty,:bad"));
    assert_eq!((&reply.json["successCount"], &reply.json["failureCount"]), (&json!(2), &json!(1)));
    assert_eq!(names(&reply.json["results"][0]["presence"]).len(), 3);
    assert_eq!(reply.json["results"][1], json!({"channel": "empty", "presence": []}));
    assert_eq!(reply.json["results"][2]["error"]["code"], Code::BadChannelName.number());
    assert_eq!(world.send(get("/presence")).code(), Code::BadRequest.number());
    let reply = world.send(get("/presence").query("channels", "room|a,b").query("separator", "|"));
    assert_eq!((&reply.json["successCount"], &reply.json["results"][1]["channel"]), (&json!(2), &json!("a,b")));
}

#[test]
fn version_two_gets_a_flat_list_of_members() {
    let mut world = World::new();
    let mut asked_for = |channels: &str, version: &str| {
        let mut asked = get("/presence").query("channels", channels).query("separator", "|");
        asked.request.headers.x_ably_version = Some(version.into());
        world.send(asked)
    };
    for old in ["2", "1.2"] {
        let reply = asked_for("a|b,c", old);
        let empty = json!([{ "channel": "a", "presence": [] }, { "channel": "b,c", "presence": [] }]);
        assert_eq!((reply.status, &reply.json), (200, &empty));
        let reply = asked_for("a|:bad", old);
        assert_eq!((reply.status, reply.code()), (400, Code::BatchFailed.number()));
        assert_eq!(reply.json["batchResponse"][0]["channel"], "a");
        assert_eq!(reply.json["batchResponse"][1]["error"]["code"], Code::BadChannelName.number());
    }
    assert_eq!(asked_for("a|:bad", "3").json["failureCount"], 1);
    let mut newer = get("/presence").query("channels", "a").query("newBatchResponse", "true");
    newer.request.headers.x_ably_version = Some("2".into());
    assert_eq!(world.send(newer).json["successCount"], 1);
}

#[test]
fn status_counts_members() {
    let mut world = room();
    let metrics = world.send(get("/channels/room")).json["status"]["occupancy"]["metrics"].clone();
    assert_eq!((&metrics["presenceMembers"], &metrics["presenceConnections"]), (&json!(3), &json!(0)));
}

#[test]
fn what_was_never_given_is_refused() {
    let mut world = room();
    for (name, value) in [("cursor", "x"), ("cursor", "AAAA"), ("limit", "0"), ("limit", "1001")] {
        let reply = world.send(get("/channels/room/presence").query(name, value));
        assert_eq!(reply.code(), Code::BadParameter.number(), "{name}={value}");
    }
    let reply = world.send(get("/channels/room/presence").key("demo.publisher:local-only"));
    assert_eq!(reply.code(), Code::NotPermitted.number());
}

fn unused(from: usize, count: usize) -> String {
    (from..from + count).map(|number| format!("unused{number}")).collect::<Vec<_>>().join(",")
}

/// Each makes an object, and a hundred come of one request.
#[test]
fn channels_that_nobody_uses_are_asked_in_batches_now_and_then() {
    let mut world = World::new();
    let own = world.send(post("/keys/demo.full/requestToken", r#"{"keyName": "demo.full"}"#)).json;
    let token = own["token"].as_str().expect("a token").to_owned();
    let ask =
        |world: &mut World, channels: &str| world.send(get("/presence").query("channels", channels).bearer(&token));
    let replies: Vec<_> = (0..20).map(|batch| ask(&mut world, &unused(batch * 100, 100))).collect();
    let taken = NEW_CHANNELS_OF_BATCHES.burst as usize / 100;
    assert!(replies[..taken].iter().all(|reply| reply.status == 200));
    for reply in &replies[taken..] {
        assert_eq!((reply.code(), reply.header("Retry-After")), (Code::RateLimited.number(), Some("10")));
    }
    assert_eq!(ask(&mut world, &unused(0, 100)).status, 200, "those that are there go on being asked");
    assert_eq!(world.send(get("/channels/unused5000/presence")).status, 200, "so is one by itself");
    world.publish("unused5001", &["a"]);
    // What is published is wanted.
    let channels: Vec<String> = unused(6_000, 100).split(',').map(str::to_owned).collect();
    for number in 0..10 {
        let channels: Vec<String> = channels.iter().map(|name| format!("{name}x{number}")).collect();
        let body = json!({"channels": channels, "messages": {"name": "a"}}).to_string();
        assert_eq!(world.send(post("/messages", &body)).status, 201);
    }
    for batch in 0..10 {
        let by_key = get("/presence").query("channels", &unused(7_000 + batch * 100, 100));
        assert_eq!(world.send(by_key).status, 200, "nor has who has a key's secret a bound");
    }
    world.now_ms += 100 * NEW_CHANNELS_OF_BATCHES.interval_ms;
    assert_eq!(ask(&mut world, &unused(8_000, 100)).status, 200);
    assert_eq!(ask(&mut world, &unused(9_000, 100)).code(), Code::RateLimited.number());
}

#[test]
fn where_descriptors_are_few_only_channels_that_were_named_lately_are_asked() {
    let mut world = World::new();
    world.publish("used", &["a"]);
    world.now_ms += OBJECT_BEGINS_MS;
    world.objects = 2;
    let reply = world.send(get("/presence").query("channels", "a,b,c,used"));
    assert_eq!((reply.code(), reply.header("Retry-After")), (Code::Unavailable.number(), Some("10")));
    assert_eq!(world.send(get("/presence").query("channels", "a,b,used")).status, 200);
    assert_eq!(world.send(get("/channels/c/messages")).status, 503, "theirs have not begun, for all that is known");
    world.now_ms += OBJECT_BEGINS_MS;
    assert_eq!(world.send(get("/channels/d/messages")).status, 200);
    world.objects = 0;
    world.publish("used", &["a"]);
    assert_eq!(world.send(post("/channels/c/messages", "{}")).status, 503);
    assert_eq!(world.send(get("/channels/c/messages")).code(), Code::Unavailable.number());
    assert_eq!(world.send(get("/channels/a/messages")).status, 200);
}

#[test]
fn a_batch_names_a_channel_once() {
    let mut world = room();
    let reply = world.send(get("/presence").query("channels", "room,empty,room"));
    assert_eq!(reply.code(), Code::BadRequest.number());
}

#[test]
fn the_members_in_the_answer_to_a_batch_are_bounded() {
    let mut world = World::new();
    let data = "\u{1}".repeat(60_000);
    let rooms: Vec<String> = (0..20).map(|number| format!("room{number}")).collect();
    for room in &rooms {
        let events = json!([{"action": 2, "clientId": "ann", "data": data}]);
        act_in(&mut world, room, "a", 0, events);
    }
    let reply = world.send(get("/presence").query("channels", &format!("{},empty", rooms.join(","))));
    let results = reply.json["results"].as_array().unwrap();
    let failed: Vec<_> = results.iter().filter_map(|result| result["error"]["code"].as_u64()).collect();
    assert_eq!(failed, vec![u64::from(Code::TooLarge.number()); failed.len()]);
    assert!((15..20).contains(&failed.len()), "{} failed", failed.len());
    assert!(reply.json.to_string().len() < BATCH_MEMBERS_MAX_BYTES + 20_000);
    assert_eq!((&reply.json["failureCount"], &results[20]["presence"]), (&json!(failed.len()), &json!([])));
    assert_eq!(world.send(get("/channels/room19/presence")).status, 200, "alone it is given");
}
