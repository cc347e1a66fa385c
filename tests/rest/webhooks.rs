//! The state of an app's webhooks is for its operators, and for nobody else.

use courtside::error::Code;
use courtside::limits::CHANNEL_NAME_MAX_BYTES;
use serde_json::json;

use crate::world::{World, delete, get, post};

const ADMIN: &str = "admin-token-of-this-deployment";
const PATHS: [&str; 2] = ["/apps/demo/webhooks", "/apps/demo/webhooks/dead-letters"];

#[test]
fn an_operator_of_the_app_sees_them_by_the_admin_token_or_a_key() {
    let mut world = World::new().with_admin_token(ADMIN);
    let nothing = [json!({"troubled": [], "deadLetters": []}), json!([])];
    for (path, nothing) in PATHS.iter().zip(nothing) {
        assert_eq!(world.send(get(path).bearer(ADMIN)).json, nothing);
        assert_eq!(world.send(get(path).key("demo.full:local-only")).json, nothing);
    }
    let mut world = World::new();
    assert_eq!(world.send(get(PATHS[0]).key("demo.full:local-only")).status, 200, "also where there is no admin token");
}

/// What was said is read by who may read it: the events are that, and how many there are is not.
#[test]
fn a_key_reads_the_events_only_if_it_may_read_history() {
    let mut world = World::new().with_admin_token(ADMIN);
    let by = "demo.admin:local-only";
    assert_eq!(world.send(get(PATHS[0]).key(by)).status, 200);
    let refused = world.send(get(PATHS[1]).key(by));
    assert_eq!((refused.status, refused.code()), (401, Code::NotPermitted.number()), "{}", refused.json);
    assert_eq!(world.send(get(PATHS[1]).key("demo.full:local-only")).status, 200);
}

#[test]
fn an_operator_drops_what_was_given_up_and_that_is_noted() {
    let mut world = World::new().with_admin_token(ADMIN);
    assert_eq!(world.send(delete(PATHS[1]).bearer(ADMIN)).status, 204);
    let of = |channel: &str| delete(PATHS[1]).query("channel", channel);
    assert_eq!(world.send(of("a:b").key("demo.admin:local-only")).status, 204);
    let audit = world.send(get("/apps/demo/audit").bearer(ADMIN)).json;
    let noted = |index: usize| (audit[index]["action"].clone(), audit[index]["target"].clone());
    assert_eq!(noted(0), (json!("forget dead letters"), json!("a:b")));
    assert_eq!(noted(1), (json!("forget dead letters"), json!("all channels")));
    let too_long = of(&"x".repeat(CHANNEL_NAME_MAX_BYTES + 1)).bearer(ADMIN);
    assert_eq!(world.send(too_long).code(), Code::BadChannelName.number());
    let misspelt = delete(PATHS[1]).query("chanel", "a").bearer(ADMIN);
    assert_eq!(world.send(misspelt).status, 400, "and not all of them");
    assert_eq!(world.send(delete(PATHS[1]).key("demo.reader:local-only")).code(), Code::NotPermitted.number());
    assert_eq!(world.send(delete(PATHS[1]).anonymous()).code(), Code::NoCredentials.number());
}

#[test]
fn nobody_else_does() {
    let mut world = World::new().with_admin_token(ADMIN);
    let made = world.send(post("/apps", "{}").bearer(ADMIN)).json;
    let others = made["keys"][0]["keyStr"].as_str().unwrap();
    let token = world.send(post("/keys/demo.full/requestToken", r#"{"keyName": "demo.full"}"#)).json;
    let token = token["token"].as_str().unwrap();
    for path in PATHS {
        for (asked, code) in [
            (get(path).key("demo.reader:local-only"), Code::NotPermitted),
            (get(path).key("demo.open:local-only"), Code::NotPermitted),
            (get(path).key(others), Code::NotPermitted),
            (get(path).key("demo.full:wrong"), Code::BadCredentials),
            (get(path).bearer(token), Code::BadCredentials),
            (get(path).anonymous(), Code::NoCredentials),
        ] {
            let refused = world.send(asked);
            assert_eq!((refused.status, refused.code()), (401, code.number()), "{path}");
        }
        let of_none = path.replace("demo", "nowhere");
        assert_eq!(world.send(get(&of_none).bearer(ADMIN)).code(), Code::NotFound.number());
        assert_eq!(world.send(get(&of_none).key("demo.full:local-only")).code(), Code::NotPermitted.number());
    }
}
