//! Bans at every door of REST: who is kept out of the app is refused whatever it asks for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::error::Code;
use courtside::limits::{BATCH_MAX_CHANNELS, BATCH_MAX_MESSAGES};
use serde_json::json;

use crate::push::{SUBSCRIPTIONS, registered};
use crate::world::{Asked, NOW_MS, World, get, post};

const ADMIN: &str = "admin-token-of-this-server";
const DEVICES: &str = "/push/deviceRegistrations";

fn world() -> World {
    World::new().with_admin_token(ADMIN)
}

fn ban(world: &mut World, body: &str) {
    assert_eq!(world.send(post("/apps/demo/bans", body).bearer(ADMIN)).status, 201, "{body}");
}

/// By a key that may do all, in the name of a client.
fn by(name: &str, mut asked: Asked) -> Asked {
    asked.request.headers.x_ably_clientid = Some(BASE64.encode(name));
    asked
}

fn with_method(method: &str, mut asked: Asked) -> Asked {
    asked.request.method = method.to_owned();
    asked
}

fn device(id: &str) -> String {
    let recipient = json!({"transportType": "gcm", "registrationToken": "token"});
    let device = json!({"id": id, "deviceSecret": format!("secret of {id}"), "platform": "browser",
        "formFactor": "desktop", "push": {"recipient": recipient}});
    device.to_string()
}

fn subscription(channel: &str) -> Asked {
    post(SUBSCRIPTIONS, &json!({"channel": channel, "clientId": "ann"}).to_string())
}

fn notification() -> Asked {
    post("/push/publish", r#"{"recipient": {"clientId": "ben"}, "notification": {"title": "t"}}"#)
}

#[test]
fn who_may_ban_in_some_channels_is_told_where_it_may_not() {
    let mut world = World::new();
    for (key, body, missing) in [
        ("demo.open:local-only", json!({"clientId": "ann", "channel": "open:*"}), None),
        ("demo.open:local-only", json!({"clientId": "ann", "channel": "chat:*"}), Some("administer these channels")),
        ("demo.reader:local-only", json!({"clientId": "ann", "channel": "chat"}), Some("administer any channels")),
        ("demo.open:local-only", json!({"clientId": "ann"}), Some("administer the app")),
    ] {
        let reply = world.send(post("/apps/demo/bans", &body.to_string()).key(key));
        let message = reply.json["error"]["message"].as_str();
        assert_eq!(
            message,
            missing.map(|what| format!("the capability does not allow to {what}")).as_deref(),
            "{body}"
        );
        assert_eq!(reply.json["error"]["code"].as_u64(), missing.map(|_| 40160), "{body}");
    }
}

#[test]
fn who_is_banned_is_refused_at_every_door() {
    let serial = "01800000000000-000@0000000000000000:000";
    let message = |rest: &str| format!("/channels/short:c/messages/{serial}{rest}");
    let revoke = json!({"targets": ["clientId:x"], "issuedBefore": NOW_MS});
    let doors = || {
        [
            post("/channels/c/messages", r#"{"data": "x"}"#),
            get("/channels/c/messages"),
            with_method("DELETE", get("/channels/c/messages")),
            with_method("PATCH", post(&message(""), r#"{"action": 2}"#)),
            get(&message("/versions")),
            post(&message("/annotations"), r#"[{"type": "like:flag.v1", "action": 0}]"#),
            get(&message("/annotations")),
            get(&message("/client-summary")),
            get("/channels/c/presence"),
            get("/channels/c/presence/history"),
            get("/presence").query("channels", "c"),
            post("/channels/c/object", r#"{"path": "", "mapSet": {"key": "k", "value": {"number": 1}}}"#),
            get("/channels/c/object"),
            post("/messages", r#"{"channels": ["a", "c"], "messages": {"data": "x"}}"#),
            get("/channels/c"),
            get("/channels"),
            get("/stats"),
            get("/metrics"),
            post("/keys/demo.brief/revokeTokens", &revoke.to_string()).key("demo.brief:local-only"),
            post(DEVICES, &device("d1")),
            get(DEVICES),
            with_method("PUT", post(&format!("{DEVICES}/d1"), &device("d1"))),
            with_method("DELETE", get(DEVICES)).query("clientId", "ann"),
            subscription("push:a"),
            get(SUBSCRIPTIONS),
            get("/push/channels"),
            get("/push/publicVapidKey"),
            notification(),
            post("/push/batch/publish", r#"[{"recipient": {"clientId": "b"}, "payload": {"data": {}}}]"#),
        ]
    };
    let mut world = world();
    ban(&mut world, r#"{"clientId": "ann"}"#);
    for asked in doors() {
        let (method, path) = (asked.request.method.clone(), asked.request.path.clone());
        let reply = world.send(by("ann", asked));
        assert_eq!((reply.status, reply.code()), (403, Code::Forbidden.number()), "{method} {path} {}", reply.json);
    }
    for asked in doors() {
        let (method, path) = (asked.request.method.clone(), asked.request.path.clone());
        assert_ne!(world.send(by("ben", asked)).code(), Code::Forbidden.number(), "{method} {path}");
    }
    assert_eq!(world.send(by("ann", get("/time"))).status, 200, "the time is for everybody");
}

#[test]
fn a_ban_of_a_channel_is_also_of_its_pushes() {
    let mut world = world();
    ban(&mut world, r#"{"clientId": "ann", "channel": "push:a"}"#);
    let forbidden = Code::Forbidden.number();
    assert_eq!(world.send(by("ann", subscription("push:a"))).code(), forbidden);
    assert_eq!(world.send(by("ann", get(SUBSCRIPTIONS).query("channel", "push:a"))).code(), forbidden);
    assert_eq!(world.send(by("ann", subscription("push:b"))).status, 201);
    assert_eq!(world.send(by("ann", post(DEVICES, &device("d1")))).status, 201, "it is not out of the app");
}

#[test]
fn a_device_is_out_with_its_client() {
    let mut world = world();
    let (token, other) = (registered(&mut world, "d1", Some("ann")), registered(&mut world, "d2", Some("ben")));
    ban(&mut world, r#"{"clientId": "ann"}"#);
    let path = |id: &str| format!("{DEVICES}/{id}");
    let as_device = |token: &str, asked: Asked| asked.bearer(&BASE64.encode(token));
    let rename = || with_method("PATCH", post(&path("d1"), r#"{"clientId": null}"#));
    let renew = || post(&format!("{}/resetUpdateToken", path("d1")), "{}");
    let again = || post(DEVICES, &device("d1")).key("demo.subscriber:local-only");
    let forbidden = Code::Forbidden.number();
    for asked in [as_device(&token, get(&path("d1"))), as_device(&token, rename()), as_device(&token, renew()), again()]
    {
        let (method, path) = (asked.request.method.clone(), asked.request.path.clone());
        assert_eq!(world.send(asked).code(), forbidden, "{method} {path}");
    }
    assert_eq!(world.send(as_device(&other, get(&path("d2")))).status, 200);
    assert_eq!(world.send(as_device("demo!guess", get(&path("d1")))).status, 401, "a guess learns nothing");
    assert_eq!(world.send(get(&path("d1"))).status, 200, "whoever administers devices is no device");
    let lift = with_method("DELETE", get("/apps/demo/bans")).query("clientId", "ann").bearer(ADMIN);
    assert_eq!(world.send(lift).status, 204);
    assert_eq!(world.send(as_device(&token, rename())).status, 200);
}

fn token(world: &mut World, body: serde_json::Value) -> String {
    let path = format!("/keys/{}/requestToken", body["keyName"].as_str().unwrap());
    world.send(post(&path, &body.to_string())).json["token"].as_str().unwrap().to_owned()
}

fn says(channel: &str) -> Asked {
    post(&format!("/channels/{channel}/messages"), r#"{"data": "x"}"#)
}

/// As over a connection (tests/sanctions.rs).
#[test]
fn a_silence_of_one_client_holds_beside_that_of_everyone() {
    let mut world = world();
    let (mute, slow) = (Code::Forbidden.number(), Code::PublishRateLimited.number());
    ban(&mut world, r#"{"clientId": "ann", "publishInterval": 0}"#);
    let in_anns_name = || post("/channels/c/messages", r#"{"data": "x", "clientId": "ann"}"#);
    assert_eq!(world.send(in_anns_name()).code(), mute, "nor does a key speak for who is mute");
    ban(&mut world, r#"{"clientId": "*", "publishInterval": 0}"#);
    assert_eq!(world.send(in_anns_name()).code(), mute, "also while everyone is");
    assert_eq!(world.send(by("ann", says("c"))).code(), mute);
    assert_eq!(world.send(by("ben", says("c"))).status, 201, "a key moderates");
    ban(&mut world, r#"{"clientId": "ben", "publishInterval": 5000}"#);
    assert_eq!(world.send(by("ben", says("c"))).code(), slow, "and has a slow mode of its own");
    let for_ben = || post("/channels/c/messages", r#"{"data": "x", "clientId": "ben"}"#);
    assert_eq!(world.send(for_ben()).status, 201, "who speaks for others is not in theirs");
}

#[test]
fn slow_mode_is_about_what_is_new() {
    let mut world = world();
    let serial = world.send(says("short:c")).json["serials"][0].as_str().unwrap().to_owned();
    let capability = r#"{"*": ["publish", "annotation-publish", "message-update-any"]}"#;
    let ann = token(&mut world, json!({"keyName": "demo.full", "clientId": "ann", "capability": capability}));
    ban(&mut world, r#"{"clientId": "*", "publishInterval": 5000}"#);
    let as_ann = |asked: Asked| asked.anonymous().query("access_token", &ann);
    let message = format!("/channels/short:c/messages/{}", courtside::http::percent::encode(&serial));
    let like = post(&format!("{message}/annotations"), r#"[{"type": "like:flag.v1", "action": 0}]"#);
    let edit = with_method("PATCH", post(&message, r#"{"data": "y", "action": 1}"#));
    assert_eq!(world.send(as_ann(says("short:c"))).code(), Code::PublishRateLimited.number());
    assert_eq!(world.send(as_ann(like.clone())).status, 201);
    assert_eq!(world.send(as_ann(edit.clone())).status, 200);
    ban(&mut world, r#"{"clientId": "*", "publishInterval": 0}"#);
    for asked in [says("short:c"), like, edit] {
        assert_eq!(world.send(as_ann(asked)).code(), Code::Forbidden.number());
    }
}

/// Each name goes once, though each channel's messages have it.
#[test]
fn what_is_asked_for_a_batch_is_no_longer_than_the_batch() {
    let mut world = world();
    let channels: Vec<String> = (0..BATCH_MAX_CHANNELS).map(|number| format!("{number:0>1000}")).collect();
    let messages: Vec<_> =
        (0..BATCH_MAX_MESSAGES).map(|number| json!({"clientId": format!("{number:0>60}")})).collect();
    let body = json!({"channels": channels, "messages": messages}).to_string();
    world.app_calls.clear();
    assert_eq!(world.send(post("/messages", &body)).status, 201);
    let asked = world.app_calls.iter().map(|call| courtside::base::pinned::encode(call).len()).max().unwrap();
    assert!((body.len() / 2..2 * body.len()).contains(&asked), "{asked} bytes for {}", body.len());
}

#[test]
fn who_waits_gets_nothing_once_banned() {
    let mut world = world();
    let serial = world.publish("c", &["a"]);
    let waits = get("/channels/c/messages").query("wait", "10").query("from_serial", &serial);
    let (mut ann, mut ben) = (world.wait(by("ann", waits.clone())), world.wait(by("ben", waits)));
    ban(&mut world, r#"{"clientId": "ann"}"#);
    world.publish("c", &["b"]);
    assert_eq!(world.given(&mut ann).expect("something came").code(), Code::Forbidden.number());
    assert_eq!(world.given(&mut ben).expect("something came").names(), ["b"]);
}
