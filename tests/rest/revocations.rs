//! Tokens that end early, and what else a caller's credentials decide.

use courtside::error::Code;
use serde_json::{Value, json};

use crate::world::{Asked, World, get, post, signed_token_request, signed_token_request_of};

const BRIEF: &str = "demo.brief:local-only";

fn token(world: &mut World, key: &str, client_id: &str) -> String {
    let name = key.split(':').next().unwrap();
    let body = json!({"keyName": name, "clientId": client_id}).to_string();
    let reply = world.send(post(&format!("/keys/{name}/requestToken"), &body).key(key));
    reply.json["token"].as_str().unwrap().to_owned()
}

fn revoke(body: Value) -> Asked {
    post("/keys/demo.brief/revokeTokens", &body.to_string()).key(BRIEF)
}

#[test]
fn a_revoked_token_is_refused_and_others_are_not() {
    let mut world = World::new();
    let (ann, bob) = (token(&mut world, BRIEF, "ann"), token(&mut world, BRIEF, "bob"));
    let unrevocable = token(&mut world, "demo.full:local-only", "ann");
    world.now_ms += 1;
    let report = world.send(revoke(json!({"targets": ["clientId:ann", "invalidType:abc"]})));
    assert_eq!(
        (report.status, &report.json["successCount"], &report.json["failureCount"]),
        (201, &json!(1), &json!(1))
    );
    assert_eq!(report.json["results"][0]["appliesAt"], json!(world.now_ms));
    assert_eq!(report.json["results"][1]["error"]["statusCode"], json!(400));
    let mut codes = |token: &str| {
        let read = world.send(get("/channels/c/messages").bearer(token)).code();
        (read, world.send(post("/channels/c/messages", "{}").bearer(token)).code())
    };
    let revoked = Code::TokenRevoked.number();
    assert_eq!(codes(&ann), (revoked, revoked));
    assert_eq!(codes(&bob), (0, 0));
    assert_eq!(codes(&unrevocable), (0, 0));
    let history = world.send(get("/channels/c/messages"));
    assert_eq!(history.json.as_array().unwrap().len(), 2, "what a revoked token published is nowhere");
}

/// A client that fears a revocation could keep requests which its server signed for it, and use one afterwards.
#[test]
fn a_request_that_was_signed_before_a_revocation_gives_no_token_that_escapes_it() {
    let mut world = World::new();
    let signed = |at_ms: u64| json!(signed_token_request_of("demo.brief", "local-only", "ann", at_ms));
    let kept = signed(world.now_ms);
    world.now_ms += 60_000;
    world.send(revoke(json!({"targets": ["clientId:ann"]})));
    world.now_ms += 1;
    let later = signed(world.now_ms);
    let mut issue = |request: &Value| {
        let issued = world.send(post("/keys/demo.brief/requestToken", &request.to_string()).anonymous()).json;
        let code = world.send(get("/channels/c/messages").bearer(issued["token"].as_str().unwrap())).code();
        (issued["issued"].as_u64().unwrap() == world.now_ms, code)
    };
    assert_eq!(issue(&kept), (true, Code::TokenRevoked.number()));
    assert_eq!(issue(&later), (true, 0), "one that was signed later does");
}

#[test]
fn only_the_key_itself_revokes() {
    let mut world = World::new();
    let ann = token(&mut world, BRIEF, "ann");
    let body = json!({"targets": ["clientId:ann"]});
    for (asked, code) in [
        (revoke(body.clone()).anonymous(), Code::NoCredentials),
        (revoke(body.clone()).key("demo.brief:wrong-secret"), Code::BadCredentials),
        (revoke(body.clone()).key("demo.full:local-only"), Code::BadCredentials),
        (revoke(body.clone()).bearer(&ann), Code::BasicRequired),
        (post("/keys/demo.full/revokeTokens", &body.to_string()), Code::NotRevocable),
        (post("/keys/nobody.brief/revokeTokens", &body.to_string()), Code::BadCredentials),
        (revoke(json!({"targets": "clientId:ann"})), Code::BadBody),
        (revoke(json!({"targets": []})), Code::BadParameter),
        (get("/keys/demo.brief/revokeTokens"), Code::MethodNotAllowed),
    ] {
        let reply = world.send(asked);
        assert_eq!((reply.status, reply.code()), (code.status(), code.number()), "{}", reply.json);
    }
    assert_eq!(world.send(get("/channels/c/messages").bearer(&ann)).status, 200);
}

#[test]
fn guesses_of_a_mac_are_told_to_stop_and_the_right_one_passes() {
    let mut world = World::new();
    let ask = |world: &mut World, key: &str, secret: &str| {
        let request = signed_token_request(key, secret);
        world.send(post(&format!("/keys/{key}/requestToken"), &json!(request).to_string()).anonymous()).status
    };
    let guesses: Vec<u16> = (0..100).map(|guess| ask(&mut world, "demo.full", &format!("guess-{guess}"))).collect();
    assert_eq!((guesses[0], guesses[99]), (401, 429));
    assert_eq!(ask(&mut world, "demo.full", "local-only"), 201);
    assert_eq!(ask(&mut world, "demo.open", "wrong"), 401, "another key is not affected");
}

#[test]
fn a_channel_has_a_status() {
    let mut world = World::new();
    let reply = world.send(get("/channels/a%2Fb"));
    let metrics = &reply.json["status"]["occupancy"]["metrics"];
    assert_eq!((&reply.json["channelId"], &reply.json["name"]), (&json!("a/b"), &json!("a/b")));
    assert_eq!((&reply.json["status"]["isActive"], &metrics["presenceMembers"]), (&json!(true), &json!(0)));
    assert_eq!(metrics.as_object().unwrap().len(), 8);
    let enveloped = world.send(get("/channels/c").query("envelope", "json")).json;
    assert_eq!((&enveloped["statusCode"], &enveloped["response"]["name"]), (&json!(200), &json!("c")));
    assert_eq!(world.send(get("/channels/c").key("demo.reader:local-only")).code(), Code::NotPermitted.number());
}

#[test]
fn namespaces_may_want_a_name_and_tls() {
    let mut world = World::new();
    let (anonymous, ann) = (token(&mut world, BRIEF, ""), token(&mut world, BRIEF, "ann"));
    let messages = |namespace: &str| post(&format!("/channels/{namespace}:c/messages"), "{}");
    assert_eq!(world.send(messages("named").bearer(&anonymous)).code(), Code::NotIdentified.number());
    assert_eq!(world.send(messages("named").bearer(&ann)).status, 201);
    assert_eq!(world.send(messages("named")).status, 201, "a key may claim any name");
    assert_eq!((world.send(messages("safe")).status, world.send(messages("safe")).code()), (403, 40311));
    let present = |namespace: &str| get(&format!("/channels/{namespace}:c/presence"));
    assert_eq!(world.send(present("named").bearer(&anonymous)).code(), Code::NotIdentified.number());
    assert_eq!(world.send(present("named").bearer(&ann)).status, 200);
    assert_eq!(world.send(present("safe")).code(), Code::TlsRequired.number());
    let mut secure = messages("safe");
    secure.request.is_secure = true;
    assert_eq!(world.send(secure).status, 201);
}
