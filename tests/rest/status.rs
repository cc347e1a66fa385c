//! The status of a channel, and those in use, over REST.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use courtside::error::Code;
use courtside::limits::LATELY_MS;
use serde_json::{Value, json};

use crate::world::{World, get};

/// Channels that were just published on.
fn used(names: &[&str]) -> World {
    let mut world = World::new();
    for name in names {
        world.publish(name, &["m"]);
    }
    world
}

fn ids(page: &Value) -> Vec<&str> {
    page.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn a_status_has_all_numbers() {
    let reply = World::new().send(get("/channels/never:used"));
    let zero = json!({
        "connections": 0, "publishers": 0, "subscribers": 0, "presenceConnections": 0, "presenceMembers": 0,
        "presenceSubscribers": 0, "objectPublishers": 0, "objectSubscribers": 0,
    });
    let status = json!({"isActive": true, "occupancy": {"metrics": zero}, "messagesPerSecond": 0.0});
    assert_eq!(reply.json, json!({"channelId": "never:used", "name": "never:used", "status": status}));
}

#[test]
fn a_status_says_how_fast_the_channel_is() {
    let mut world = World::new();
    let rate = |world: &mut World| world.send(get("/channels/busy")).json["status"]["messagesPerSecond"].clone();
    let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    world.publish("busy", &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(rate(&mut world), json!(2.0), "of ten seconds");
    world.now_ms += LATELY_MS / 2 * 3;
    assert_eq!(rate(&mut world), json!(1.0), "half of those were more than ten seconds ago");
    world.now_ms += LATELY_MS;
    assert_eq!(rate(&mut world), json!(0.0));
}

#[test]
fn channels_in_use_are_listed_page_by_page() {
    let mut world = used(&["chat:a", "chat:b", "chat:c", "score"]);
    let all = world.send(get("/channels")).json;
    assert_eq!(all.as_array().unwrap().len(), 4);
    assert_eq!(all[0], world.send(get("/channels/chat:a")).json, "each with its status");
    assert_eq!(ids(&world.send(get("/channels").query("by", "id")).json), ["chat:a", "chat:b", "chat:c", "score"]);
    let asked = get("/channels").query("by", "id").query("prefix", "chat:").query("limit", "2");
    let mut pages = Vec::new();
    world.walk(asked, |page| pages.push(ids(&page.json).iter().map(|id| id.to_string()).collect::<Vec<_>>()));
    assert_eq!(pages, [vec!["chat:a", "chat:b"], vec!["chat:c"]]);
    let link = world.send(get("/channels").query("by", "id").query("limit", "1")).header("Link").unwrap().to_owned();
    assert!(link.contains(", <./channels?by=id&limit=1&rel=first>; rel=\"first\", "), "{link}");
}

#[test]
fn what_the_list_names_and_nobody_uses_is_left_out() {
    let mut world = used(&["a", "b"]);
    world.now_ms += 120_000;
    world.publish("b", &["m"]);
    assert_eq!(ids(&world.send(get("/channels").query("by", "id")).json), ["b"]);
}

#[test]
fn nobody_sees_channels_that_are_not_theirs_to_see() {
    let mut world = used(&["a", "open:b"]);
    let by_id = || get("/channels").query("by", "id");
    assert_eq!(ids(&world.send(by_id().key("demo.open:local-only")).json), ["open:b"]);
    let reply = world.send(by_id().key("demo.publisher:local-only"));
    assert_eq!(reply.code(), Code::NotPermitted.number());
}

#[test]
fn a_cursor_tells_nothing_of_channels_that_are_not_theirs_to_see() {
    let hidden = ["hidden-1", "hidden-2", "hidden-3"];
    let mut world = used(&[&hidden[..], &["open:a", "open:b"]].concat());
    let asked = || get("/channels").query("by", "id").query("limit", "1").key("demo.open:local-only");
    let (mut seen, mut cursors) = (Vec::new(), Vec::new());
    world.walk(asked(), |page| {
        seen.extend(ids(&page.json).into_iter().map(str::to_owned));
        cursors
            .extend(page.next().into_iter().flatten().filter(|(name, _)| name == "cursor").map(|(_, cursor)| cursor));
    });
    assert_eq!((seen, cursors.len()), (vec!["open:a".to_owned(), "open:b".to_owned()], 4));
    for cursor in &cursors {
        let bytes = BASE64URL.decode(cursor).unwrap();
        let told = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(!["hid", "idd", "den", "open"].into_iter().any(told), "{cursor}");
        let other = world.send(asked().key("demo.full:local-only").query("cursor", cursor));
        assert_eq!(other.code(), Code::BadParameter.number(), "it is that key's alone");
    }
    let forged = BASE64URL.encode("hidden-1");
    assert_eq!(world.send(asked().query("cursor", &forged)).code(), Code::BadParameter.number());
}

#[test]
fn what_cannot_be_listed_is_refused() {
    let mut world = used(&["a"]);
    for (name, value) in [("by", "name"), ("limit", "0"), ("limit", "x"), ("cursor", "!"), ("cursor", "OmE")] {
        let reply = world.send(get("/channels").query(name, value));
        assert_eq!(reply.code(), Code::BadParameter.number(), "{name}={value}");
    }
}
