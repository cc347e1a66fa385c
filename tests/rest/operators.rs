//! Tokens of operators: who gets them, and what they are good for over REST: nothing, or an app's channels.

use courtside::auth::{App, Credentials, Grant, Operators, Presented, Secret, Surface};
use courtside::error::Code;
use courtside::model::name::AppId;
use courtside::rest::Admin;
use serde_json::json;

use crate::world::{Asked, NOW_MS, World, delete, get, post};

const ADMIN: &str = "admin-token-of-this-deployment";

fn world() -> World {
    World::new().with_admin_token(ADMIN)
}

fn ask(path: &str) -> Asked {
    post(path, "{}").bearer(ADMIN)
}

/// Verifies a token on a connection to its app.
fn entered(token: &str) -> Grant {
    let query = [("accessToken".to_owned(), token.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let operators = Operators::of(&Secret::presented(ADMIN));
    let credentials = Credentials::parse(&presented, Surface::Realtime).unwrap().or_of(Some(&operators));
    let config = json!({"id": credentials.app_id().as_str(), "keys": [], "namespaces": []});
    let app: App = serde_json::from_value(config).unwrap();
    credentials.verify(Some(&app), NOW_MS).unwrap()
}

#[test]
fn the_admin_token_gets_one_of_any_app() {
    let mut world = world();
    let made = world.send(ask("/apps"));
    let made = made.json["appId"].as_str().unwrap();
    for app in ["demo", made] {
        let issued = world.send(ask(&format!("/apps/{app}/tokens")));
        assert_eq!((issued.status, &issued.json["keyName"]), (201, &json!(format!("{app}.[operator]"))));
        assert_eq!((issued.json["issued"].as_u64(), issued.json["clientId"].as_str()), (Some(NOW_MS), None));
        let grant = entered(issued.json["token"].as_str().unwrap());
        assert_eq!((grant.app().as_str(), grant.capability.text()), (app, issued.json["capability"].as_str().unwrap()));
    }
    let issued = world.send(ask("/tokens"));
    assert_eq!((issued.status, &issued.json["keyName"]), (201, &json!("*.[operator]")));
    assert_eq!(world.send(ask("/apps/nowhere/tokens")).code(), Code::NotFound.number());
    assert_eq!(world.send(ask("/apps/*/tokens")).code(), Code::NotFound.number());
    let audit = world.send(get("/audit").bearer(ADMIN));
    let noted: Vec<_> = audit.json.as_array().unwrap().iter().map(|note| note["action"].clone()).collect();
    assert_eq!(noted, ["create app"], "who hears does nothing");
}

#[test]
fn nobody_else_gets_one() {
    let mut world = world();
    let issued = world.send(ask("/apps/demo/tokens")).json;
    let own = world.send(post("/keys/demo.full/requestToken", r#"{"keyName": "demo.full"}"#)).json;
    for path in ["/apps/demo/tokens", "/tokens"] {
        for (asked, code) in [
            (ask(path).key("demo.full:local-only"), Code::BadCredentials),
            (ask(path).bearer(own["token"].as_str().unwrap()), Code::BadCredentials),
            (ask(path).bearer(issued["token"].as_str().unwrap()), Code::BadCredentials),
            (ask(path).bearer("another-admin-token"), Code::BadCredentials),
            (ask(path).anonymous(), Code::NoCredentials),
        ] {
            assert_eq!(world.reads(&asked), Err(code.number()), "{path}");
            assert_eq!(world.send(asked).code(), code.number(), "{path}");
        }
        assert_eq!(world.send(get(path)).code(), Code::MethodNotAllowed.number());
    }
    let named = post("/keys/demo.%5Boperator%5D/requestToken", r#"{"keyName": "demo.[operator]"}"#);
    assert_eq!(world.send(named).code(), Code::NotFound.number(), "and no token request leads to one");
    let named = post("/keys/demo.full/requestToken", r#"{"keyName": "demo.[operator]"}"#);
    assert_eq!(world.send(named).code(), Code::BadKey.number());
}

#[test]
fn without_an_admin_token_there_are_none() {
    let mut world = World::new();
    for (admin, code) in
        [(Admin::Closed, Code::NotFound), (Admin::Open, Code::NotFound), (Admin::Guessable, Code::Unavailable)]
    {
        world.admin = admin;
        for path in ["/apps/demo/tokens", "/tokens"] {
            assert_eq!(world.send(ask(path).anonymous()).code(), code.number(), "{path}");
        }
    }
}

fn console(world: &mut World, app: &str) -> String {
    let issued = world.send(post(&format!("/apps/{app}/tokens"), r#"{"scope": "channels"}"#).bearer(ADMIN));
    assert_eq!((issued.status, &issued.json["keyName"]), (201, &json!(format!("{app}.[console]"))));
    issued.json["token"].as_str().unwrap().to_owned()
}

#[test]
fn one_of_channels_is_noted_and_sees_those_of_its_app_alone() {
    let mut world = world();
    let made = world.send(ask("/apps")).json["appId"].as_str().unwrap().to_owned();
    let [token, others] = ["demo", &made].map(|app| console(&mut world, app));
    let published = world.send(post("/channels/room/messages", r#"{"data": "said"}"#).bearer(&token));
    assert_eq!(published.status, 201);
    let said = world.send(get("/channels/room/messages").bearer(&token));
    assert_eq!((&said.json[0]["data"], &said.json[0]["clientId"]), (&json!("said"), &json!("[operator]")));
    assert_eq!(world.send(get("/channels/room/messages").bearer(&others)).json, json!([]), "of another app");
    let as_another = post("/channels/room/messages", r#"{"data": "x", "clientId": "ann"}"#);
    assert_eq!(world.send(as_another.bearer(&token)).code(), Code::BadClientId.number());
    for app in ["demo", &made] {
        let audit = world.send(get(&format!("/apps/{app}/audit")).bearer(ADMIN)).json;
        assert_eq!((&audit[0]["by"], &audit[0]["action"]), (&json!("operator"), &json!("issue token")));
        assert!(!audit.to_string().contains(&token) && !audit.to_string().contains(&others), "{audit}");
    }
    for (asked, code) in [
        (get("/stats"), Code::NotPermitted),
        (delete("/channels/room/messages"), Code::BasicRequired),
        (get("/channels/%5Bmeta%5Dlog/messages"), Code::NotPermitted),
        (post("/channels/%5Bmeta%5Dlog/messages", "{}"), Code::NotPermitted),
        (post("/keys/demo.full/requestToken", r#"{"keyName": "demo.full"}"#), Code::TokenUnrecognized),
        (post("/keys/demo.full/revokeTokens", r#"{"targets": ["clientId:a"]}"#), Code::BasicRequired),
        (post("/apps/demo/tokens", r#"{"scope": "channels"}"#), Code::BadCredentials),
        (get("/apps/demo"), Code::BadCredentials),
        (get("/apps/demo/audit"), Code::BadCredentials),
        (post("/apps/demo/bans", r#"{"clientId": "ann"}"#), Code::BadCredentials),
        (get("/apps"), Code::BadCredentials),
        (get("/metrics"), Code::BadCredentials),
    ] {
        let path = asked.request.path.clone();
        assert_eq!(world.send(asked.bearer(&token)).code(), code.number(), "{path}");
    }
}

#[test]
fn one_of_channels_lists_them_page_by_page() {
    let mut world = world();
    let made = world.send(ask("/apps")).json["appId"].as_str().unwrap().to_owned();
    let [token, others] = ["demo", &made].map(|app| console(&mut world, app));
    for name in ["a", "b", "c"] {
        world.publish(name, &["m"]);
    }
    let asked = get("/channels").query("by", "id").query("limit", "1");
    let (mut seen, mut cursors) = (Vec::new(), Vec::new());
    world.walk(asked.clone().bearer(&token), |page| {
        seen.push(page.json.clone());
        cursors.extend(page.next().into_iter().flatten().find(|(name, _)| name == "cursor"));
    });
    assert_eq!(seen, [json!(["a"]), json!(["b"]), json!(["c"])]);
    let (_, cursor) = &cursors[0];
    for credentials in [asked.clone().bearer(&others), asked.clone().key("demo.full:local-only")] {
        assert_eq!(world.send(credentials.query("cursor", cursor)).code(), Code::BadParameter.number());
    }
}

#[test]
fn one_of_channels_is_kept_out_by_a_ban_and_by_another_admin_token() {
    let mut world = world();
    let token = console(&mut world, "demo");
    let ban = post("/apps/demo/bans", r#"{"clientId": "[operator]", "reason": "enough"}"#);
    assert_eq!(world.send(ban.bearer(ADMIN)).status, 201);
    let publish = || post("/channels/room/messages", r#"{"data": "said"}"#).bearer(&token);
    assert_eq!(world.send(publish()).code(), Code::Forbidden.number());
    world.admin = Admin::Token(Secret::presented("another-admin-token-of-it"));
    assert_eq!(world.send(publish()).code(), Code::TokenUnrecognized.number());
    world.admin = Admin::Closed;
    assert_eq!(world.send(publish()).code(), Code::TokenUnrecognized.number());
}

#[test]
fn there_is_one_scope() {
    let mut world = world();
    for (path, body) in [
        ("/apps/demo/tokens", r#"{"scope": "all"}"#),
        ("/apps/demo/tokens", r#"{"scope": "channels", "ttl": 1}"#),
        ("/apps/demo/tokens", "[]"),
        ("/tokens", r#"{"scope": "channels"}"#),
    ] {
        assert_eq!(world.send(post(path, body).bearer(ADMIN)).code(), Code::BadRequest.number(), "{path} {body}");
    }
    assert_eq!(world.send(get("/apps/demo/audit").bearer(ADMIN)).json, json!([]));
}

#[test]
fn over_rest_one_is_good_for_nothing() {
    let mut world = world();
    let issued = world.send(ask("/apps/demo/tokens")).json;
    let token = issued["token"].as_str().unwrap();
    for asked in [
        get("/channels/%5Bmeta%5Dlog/messages"),
        get("/channels/room/messages"),
        get("/stats"),
        post("/channels/%5Bmeta%5Dlog/messages", "{}"),
        post("/keys/demo.full/requestToken", r#"{"keyName": "demo.full"}"#),
    ] {
        let path = asked.request.path.clone();
        assert_eq!(world.send(asked.bearer(token)).code(), Code::TokenUnrecognized.number(), "{path}");
    }
    for asked in [get("/apps"), get("/metrics"), get("/audit"), get("/apps/demo/bans")] {
        let path = asked.request.path.clone();
        assert_eq!(world.send(asked.bearer(token)).code(), Code::BadCredentials.number(), "{path}");
    }
    assert_eq!(AppId::deployment().as_str(), "*", "of which no path can be");
}
