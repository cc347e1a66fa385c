//! From a token request to a token.

use courtside::error::Code;
use courtside::router::Next;
use serde_json::json;

use crate::push::{SUBSCRIPTIONS, registered};
use crate::world::{World, get, post, signed_token_request};

#[test]
fn the_key_itself_needs_no_signature() {
    let mut world = World::new();
    let body = r#"{"keyName":"demo.full","capability":"{\"c\":[\"history\"]}","clientId":"ann"}"#;
    let reply = world.send(post("/keys/demo.full/requestToken", body));
    assert_eq!((reply.status, &reply.json["clientId"]), (201, &json!("ann")), "{}", reply.json);
    let token = reply.json["token"].as_str().unwrap();
    let asked = |path: &str| get(path).anonymous().query("access_token", token);
    assert_eq!(world.send(asked("/channels/c/messages")).status, 200);
    assert_eq!(world.send(asked("/channels/d/messages")).code(), Code::NotPermitted.number());
}

#[test]
fn token_requests_fail_with_their_code() {
    let path = "/keys/demo.full/requestToken";
    let form = |body: &str| post(path, body).content_type("application/x-www-form-urlencoded");
    assert_eq!(World::new().send(form("keyName=demo.full&clientId=ann")).json["clientId"], "ann");
    for (asked, code) in [
        (form("keyName=demo.full&clientid=ann"), Code::BadParameterName),
        (form("keyName=demo.full&clientId=ann&clientId=ben"), Code::BadParameter),
        (post(path, r#"{"keyName":"demo.full"}"#).anonymous(), Code::NoCredentials),
        (post(path, r#"{"keyName":"demo.full"}"#).key("demo.full:wrong"), Code::BadCredentials),
        (post(path, r#"{"keyName":"demo.full","mac":"AAAA"}"#).anonymous(), Code::BadCredentials),
        (post(path, r#"{"keyName":"demo.open"}"#), Code::BadCredentials),
        (post(path, r#"{"keyName":"demo.full","ttl":-1}"#), Code::BadParameter),
        (post(path, "[]"), Code::BadBody),
        (post("/keys/demo.nobody/requestToken", r#"{"keyName":"demo.nobody"}"#), Code::NotFound),
        (post("/keys/nobody/requestToken", r#"{"keyName":"nobody"}"#), Code::NotFound),
    ] {
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.code()), (code.status(), code.number()), "{}", reply.json);
    }
}

#[test]
fn a_signed_request_is_good_once() {
    let mut world = World::new();
    let fields = signed_token_request("demo.full", "local-only");
    let posted = post("/keys/demo.full/requestToken", &json!(fields).to_string()).anonymous();
    let mut got = get("/keys/demo.full/requestToken").anonymous();
    got.request.query = fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let first = world.send(posted);
    assert_eq!(first.status, 201, "{}", first.json);
    assert!(first.json["token"].as_str().is_some_and(|token| token.starts_with("demo.")));
    let again = world.send(got.clone());
    assert_eq!((again.status, again.code()), (401, Code::NonceReplayed.number()));
    assert_eq!(World::new().send(got).status, 201);
}

/// SDKs renew it, and come again. What a device shows beside it speaks for the device, not for its client.
#[test]
fn a_token_that_is_over_is_renewed_though_a_device_shows_beside_it_who_it_is() {
    let mut world = World::new();
    let device = registered(&mut world, "phone", None);
    let body = r#"{"keyName":"demo.subscriber","ttl":60000}"#;
    let reply = world.send(post("/keys/demo.subscriber/requestToken", body).key("demo.subscriber:local-only"));
    let token = reply.json["token"].as_str().expect("a token").to_owned();
    let subscribes = |bearer: &str| {
        let body = r#"{"channel":"push:scores","deviceId":"phone"}"#;
        let mut asked = post(SUBSCRIPTIONS, body).bearer(bearer);
        asked.request.headers.x_ably_devicetoken = Some(device.clone());
        asked
    };
    assert_eq!(world.send(subscribes(&token)).status, 201);
    world.now_ms += 60_001;
    let reply = world.send(subscribes(&token));
    assert_eq!((reply.status, reply.code()), (401, Code::TokenExpired.number()));
}

#[test]
fn a_nonce_that_cannot_be_checked_issues_nothing() {
    let fields = signed_token_request("demo.full", "local-only");
    let request = post("/keys/demo.full/requestToken", &json!(fields).to_string()).anonymous().request;
    let mut world = World::new();
    let Next::Ask(call, asking) = world.begin(&request) else { panic!("a signed request has a nonce") };
    let next = world.router.asked(&call, asking, Err(Code::Internal.into()), world.now_ms);
    let Next::Answer(reply, _) = next else { panic!("the answer is complete") };
    assert_eq!(reply.status, 500);
}
