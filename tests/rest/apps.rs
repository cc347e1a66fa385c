//! Apps that are made and ended by requests.

use courtside::error::Code;
use courtside::rest::Admin;
use serde_json::{Value, json};

use crate::world::{Exchanged, World, delete, get, post};

const ADMIN: &str = "admin-token-of-this-deployment";

fn open() -> World {
    let mut world = World::new();
    world.admin = Admin::Open;
    world
}

fn make(world: &mut World, body: Value) -> Exchanged {
    let made = world.send(post("/apps", &body.to_string()).anonymous());
    assert_eq!(made.status, 201, "{}", made.json);
    made
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[test]
fn an_app_works_from_its_making_to_its_end() {
    let mut world = open();
    let made = make(&mut world, json!({"keys": [{}, {"capability": "{\"c\":[\"history\"]}"}]}));
    let (id, keys) = (text(&made.json, "appId"), &made.json["keys"]);
    let (first, second) = (text(&keys[0], "keyStr"), text(&keys[1], "keyStr"));
    assert_eq!(world.send(post("/channels/c/messages", "{\"name\":\"a\"}").key(first)).status, 201);
    assert_eq!(world.send(get("/channels/c/messages").key(second)).names(), ["a"]);
    assert_eq!(world.send(post("/channels/c/messages", "{}").key(second)).code(), Code::NotPermitted.number());
    assert_eq!(world.send(get("/channels/c/messages")).names(), [""; 0], "the same name in another app");

    let path = format!("/apps/{id}");
    assert_eq!(world.send(delete(&path).anonymous()).code(), Code::NoCredentials.number());
    assert_eq!(world.send(delete(&path).key(second)).code(), Code::NotPermitted.number());
    assert_eq!(world.send(delete(&path)).code(), Code::NotPermitted.number(), "another app's key");
    let gone = world.send(delete(&path).key(first));
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(world.send(get("/channels/c/messages").key(first)).code(), Code::BadCredentials.number());
    assert_eq!(world.send(delete(&path).key(first)).code(), Code::BadCredentials.number());
}

#[test]
fn the_answer_says_where_to_connect() {
    let mut world = open();
    for (host, is_secure, expected) in [
        ("127.0.0.1:8787", false, json!({"endpoint": "127.0.0.1", "port": 8787, "tls": false})),
        ("[::1]:8787", false, json!({"endpoint": "[::1]", "port": 8787, "tls": false})),
        ("relay.example", false, json!({"endpoint": "relay.example", "port": 80, "tls": false})),
        ("relay.example", true, json!({"endpoint": "relay.example", "tlsPort": 443, "tls": true})),
    ] {
        let mut asked = post("/apps", "{}").anonymous();
        (asked.request.host, asked.request.is_secure) = (host.to_owned(), is_secure);
        let made = world.send(asked).json;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(made[field], *value, "{host}");
        }
    }
}

#[test]
fn no_two_apps_share_anything() {
    let mut world = open();
    let body = json!({"keys": [{}, {}]});
    let (a, b) = (make(&mut world, body.clone()).json, make(&mut world, body).json);
    let mut secrets = Vec::new();
    for app in [&a, &b] {
        secrets.extend(app["keys"].as_array().unwrap().iter().map(|key| text(key, "value").to_owned()));
    }
    secrets.sort();
    secrets.dedup();
    assert_eq!(secrets.len(), 4);
    assert_ne!(a["appId"], b["appId"]);
    let mixed = format!("{}:{}", text(&a["keys"][0], "keyName"), text(&b["keys"][0], "value"));
    assert_eq!(world.send(get("/channels/c/messages").key(&mixed)).code(), Code::BadCredentials.number());
}

#[test]
fn nobody_makes_apps_unless_the_deployment_says_so() {
    for asked in [post("/apps", "{}"), delete("/apps/demo"), post("/apps", "{}").bearer(ADMIN)] {
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.code()), (404, Code::NotFound.number()));
    }
}

#[test]
fn an_admin_token_opens_it_for_who_has_it() {
    let mut world = World::new().with_admin_token(ADMIN);
    for (asked, code) in [
        (post("/apps", "{}").anonymous(), Code::NoCredentials),
        (post("/apps", "{}"), Code::BadCredentials),
        (post("/apps", "{}").bearer("admin"), Code::BadCredentials),
        (post("/apps", "{}").bearer(""), Code::BadCredentials),
        (post("/apps", "{").bearer(ADMIN), Code::BadBody),
        (delete("/apps/nobody").bearer("wrong"), Code::BadCredentials),
        (delete("/apps/nobody").bearer(ADMIN), Code::NotFound),
        (delete("/apps/demo").bearer(ADMIN), Code::Forbidden),
    ] {
        let name = format!("{} {}", asked.request.method, asked.request.path);
        let reply = world.send(asked);
        assert_eq!((reply.status, reply.code()), (code.status(), code.number()), "{name}: {}", reply.json);
        assert!(!String::from_utf8_lossy(&reply.body).contains(ADMIN), "{name}");
    }
    let made = world.send(post("/apps", "{}").bearer(ADMIN)).json;
    let path = format!("/apps/{}", text(&made, "appId"));
    assert_eq!(world.send(delete(&path).bearer(ADMIN)).status, 204);
    let made = world.send(post("/apps", "{}").bearer(ADMIN)).json;
    let path = format!("/apps/{}", text(&made, "appId"));
    assert_eq!(world.send(delete(&path).key(text(&made["keys"][0], "keyStr"))).status, 204, "and by its first key");
}

/// It may be in the hands of many, as an attendees' key is.
#[test]
fn a_first_key_that_may_not_administer_ends_no_app() {
    let mut world = World::new().with_admin_token(ADMIN);
    for (capability, status) in
        [(json!({"*": ["subscribe"]}), 401), (json!({"room": ["admin"]}), 401), (json!({"*": ["admin"]}), 204)]
    {
        let keys = json!({"keys": [{"capability": capability}]});
        let made = world.send(post("/apps", &keys.to_string()).bearer(ADMIN)).json;
        let path = format!("/apps/{}", text(&made, "appId"));
        let reply = world.send(delete(&path).key(text(&made["keys"][0], "keyStr")));
        assert_eq!(reply.status, status, "{capability}: {}", reply.json);
    }
}

#[test]
fn guesses_at_the_admin_token_are_told_to_stop_and_the_right_one_passes() {
    let mut world = World::new().with_admin_token(ADMIN);
    let mut guess = |token: &str| world.send(post("/apps", "{}").bearer(token)).status;
    assert!((0..1_000).any(|number| guess(&format!("guess-{number}")) == 429));
    assert_eq!(guess(ADMIN), 201);
}

/// Statistics are for apps' own tokens, too, so a wrong one is refused as one of these.
#[test]
fn guesses_at_the_admin_token_are_counted_where_apps_come_in_too() {
    let mut world = World::new().with_admin_token(ADMIN);
    for guess in ["guess", "a.guess", "guess.with.points"] {
        world.now_ms += 24 * 60 * 60 * 1_000;
        let mut ask = |token: &str| world.send(get("/stats").bearer(token)).status;
        let told: Vec<u16> = (0..30).map(|number| ask(&format!("{guess}{number}"))).collect();
        assert_eq!(told, [vec![401; 20], vec![429; 10]].concat(), "{guess}");
        assert_eq!(ask(ADMIN), 200, "the right one passes");
    }
}

#[test]
fn an_admin_token_that_can_be_guessed_makes_no_app() {
    let mut world = World::new();
    world.admin = Admin::Guessable;
    for asked in
        [post("/apps", "{}").bearer("admin"), post("/apps", "{}").anonymous(), delete("/apps/demo").bearer("admin")]
    {
        let reply = world.send(asked);
        assert_eq!((reply.status, reply.code()), (503, Code::Unavailable.number()));
        assert!(reply.json["error"]["message"].as_str().unwrap().contains("16 bytes at least"), "{}", reply.json);
    }
}

/// As SDK test suites ask for them.
fn with_members() -> Value {
    json!({
        "namespaces": [{"id": "persisted", "persisted": true}],
        "channels": [{"name": "persisted:fixtures", "presence": [
            {"clientId": "bool", "data": "true"},
            {"clientId": "json", "data": "{\"a\":{\"b\":1}}", "encoding": "json"},
            {"clientId": "none"},
            {"clientId": "secret", "data": "HO4cYSP8LybPYBPZPHQOtg==", "encoding": "json/utf-8/cipher+aes-128-cbc/base64"},
        ]}, {"name": "other", "presence": [{"clientId": "ann", "data": "x"}]}, {"name": "bare"}],
    })
}

#[test]
fn an_app_begins_with_the_members_that_were_asked_for() {
    let mut world = open();
    let body = with_members();
    let made = make(&mut world, body.clone()).json;
    assert_eq!(made["notEffective"], json!([]));
    assert_eq!(made["channels"], body["channels"]);
    let key = text(&made["keys"][0], "keyStr");
    let page = world.send(get("/channels/persisted:fixtures/presence").key(key)).json;
    let members = page.as_array().unwrap();
    assert_eq!(members.len(), 4);
    for (member, asked) in members.iter().zip(body["channels"][0]["presence"].as_array().unwrap()) {
        for field in ["clientId", "data", "encoding"] {
            assert_eq!(member.get(field), asked.get(field), "{field}");
        }
        assert_eq!((&member["action"], &member["connectionId"]), (&json!(1), &members[0]["connectionId"]));
    }
    world.now_ms += 70 * 60 * 60 * 1_000;
    let history = world.send(get("/channels/persisted:fixtures/presence/history").key(key)).json;
    assert_eq!(
        history.as_array().unwrap().iter().map(|event| event["action"].as_u64()).collect::<Vec<_>>(),
        [Some(2); 4]
    );
    assert_eq!(world.send(get("/channels/other/presence").key(key)).json[0]["clientId"], "ann");
    assert_eq!(world.send(get("/channels/other/presence")).json, json!([]), "the same name in another app");
}

#[test]
fn the_members_of_an_app_end_with_it() {
    let mut world = open();
    let made = make(&mut world, with_members()).json;
    let (id, key) = (text(&made, "appId"), text(&made["keys"][0], "keyStr"));
    assert_eq!(world.members_of(id), 5);
    assert_eq!(world.send(delete(&format!("/apps/{id}")).key(key)).status, 204);
    assert_eq!(world.members_of(id), 0);
}

#[test]
fn an_app_is_not_said_to_be_made_when_its_members_could_not_be_entered() {
    let mut world = open();
    let presence: Vec<Value> = (0..3).map(|n| json!({"clientId": n.to_string(), "data": "x".repeat(30_000)})).collect();
    let refused = world.send(post("/apps", &json!({"channels": [{"name": "c", "presence": presence}]}).to_string()));
    assert_eq!(refused.code(), Code::TooLarge.number(), "and not made at all");
    world.is_broken = true;
    let failed = world.send(post("/apps", &with_members().to_string()));
    assert_eq!(failed.code(), Code::InternalChannel.number());
}

/// A page that is open in a browser beside a sandbox can reach it.
#[test]
fn a_sandbox_makes_no_apps_for_pages_of_other_machines() {
    let mut world = open();
    let mut made = |origin: Option<&str>| {
        let mut asked = post("/apps", "{}").anonymous();
        asked.request.headers.origin = origin.map(str::to_owned);
        world.send(asked)
    };
    for here in [None, Some("http://localhost:3000"), Some("http://127.0.0.1"), Some("http://[::1]:8787")] {
        assert_eq!(made(here).status, 201, "{here:?}");
    }
    for elsewhere in
        ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.nip.example", "file://"]
    {
        assert_eq!(made(Some(elsewhere)).code(), Code::Forbidden.number(), "{elsewhere}");
    }
}
