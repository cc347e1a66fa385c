//! What a router asks apps for a request, what it knows by their answers, and what follows from one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::error::Code;
use courtside::limits::UNBANNED_KEPT_MS;
use courtside::router::Next;
use courtside::rpc::{Act, AppRequest};
use serde_json::Value;

use crate::world::{Asked, World, delete, get, post};

/// An app with a key.
const MADE: &str = r#"{"keys": [{}]}"#;

const ADMIN: &str = "admin-token-of-this-server";

fn world() -> World {
    World::new().with_admin_token(ADMIN)
}

/// What apps were asked since the last look: the app, and for what.
fn asked(world: &mut World) -> Vec<(String, &'static str)> {
    let of = |request: &AppRequest| match request {
        AppRequest::Create { .. } => "create",
        AppRequest::Delete => "delete",
        AppRequest::Config => "config",
        AppRequest::List { active: true, .. } => "list",
        AppRequest::List { active: false, .. } => "strike off",
        AppRequest::Admin(call) => match call.act {
            Act::Ban(_) => "ban",
            Act::Bar(_) => "bar",
            Act::Note => "note",
            _ => "another act",
        },
        _ => "something else",
    };
    let calls = std::mem::take(&mut world.app_calls);
    calls.into_iter().map(|call| (call.app.as_str().to_owned(), of(&call.request))).collect()
}

fn ban(client_id: &str) -> Asked {
    post("/apps/demo/bans", &format!(r#"{{"clientId":"{client_id}"}}"#)).bearer(ADMIN)
}

#[test]
fn what_an_operator_does_is_written_down_and_noted_by_the_deployment() {
    let mut world = world();
    assert_eq!(world.send(ban("ann")).status, 201);
    let demo = |what| ("demo".to_owned(), what);
    assert_eq!(asked(&mut world), [demo("ban"), ("*".to_owned(), "note")]);
    assert_eq!(world.log.len(), 1);
    let line: Value = serde_json::from_str(&world.log[0]).unwrap();
    assert_eq!(line["target"], "clientId ann");
}

#[test]
fn a_silence_is_noted_by_what_it_is() {
    let mut world = world();
    for silence in [r#"{"clientId":"ann","publishInterval":0}"#, r#"{"clientId":"*","publishInterval":5000}"#] {
        assert_eq!(world.send(post("/apps/demo/bans", silence).bearer(ADMIN)).status, 201);
    }
    let lines = world.log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.map(|line| line["action"].clone()).collect::<Vec<_>>(), ["mute", "slow mode"]);
}

#[test]
fn nothing_follows_from_what_was_not_done() {
    let mut world = world();
    let Next::Ask(call, asking) = world.begin(&ban("ann").request) else { panic!("the app is asked") };
    let next = world.router.asked(&call, asking, Err(Code::TimedOut.into()), world.now_ms);
    assert!(matches!(next, Next::Answer(reply, _) if reply.code() == Some(50003)));
}

#[test]
fn an_app_that_is_made_or_ended_is_on_the_list_or_off_it() {
    let mut world = world();
    let made = world.send(post("/apps", MADE).bearer(ADMIN));
    let id = made.json["appId"].as_str().unwrap();
    let of = |app: &str, what| (app.to_owned(), what);
    assert_eq!(asked(&mut world)[..2], [of(id, "create"), of("*", "list")]);
    let key = made.json["keys"][0]["keyStr"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(world.send(get("/channels/a/messages").key(key)).status, 200);
    }
    let configs = |world: &mut World| asked(world).iter().filter(|(_, what)| *what == "config").count();
    assert_eq!(configs(&mut world), 1, "it is known then");
    assert_eq!(world.send(delete(&format!("/apps/{id}")).bearer(ADMIN)).status, 204);
    assert_eq!(asked(&mut world)[..2], [of(id, "delete"), of("*", "strike off")]);
    assert_eq!(world.send(get("/channels/a/messages").key(key)).code(), Code::BadCredentials.number());
    assert_eq!(configs(&mut world), 1, "it may have changed");
}

#[test]
fn a_list_that_takes_no_name_ends_no_app() {
    let mut world = world();
    let mut next = world.begin(&post("/apps", MADE).bearer(ADMIN).request);
    let mut refused = 0;
    let reply = loop {
        next = match next {
            Next::Ask(call, asking) if matches!(call.request, AppRequest::List { .. }) => {
                refused += 1;
                world.router.asked(&call, asking, Err(Code::TimedOut.into()), world.now_ms)
            }
            Next::Answer(reply, _) => break reply,
            next => world.step(next),
        }
    };
    assert_eq!((reply.status, refused), (201, 1));
}

#[test]
fn an_app_without_bans_is_not_asked_for_a_while() {
    let mut world = world();
    let mut publish = post("/channels/a/messages", "{}");
    publish.request.headers.x_ably_clientid = Some(BASE64.encode("ann"));
    let bars = |world: &mut World, status| {
        assert_eq!(world.send(publish.clone()).status, status);
        asked(world).iter().filter(|(_, what)| *what == "bar").count()
    };
    assert_eq!([bars(&mut world, 201), bars(&mut world, 201)], [1, 0]);
    world.now_ms += UNBANNED_KEPT_MS;
    assert_eq!(bars(&mut world, 201), 1);
    world.send(ban("ben"));
    assert_eq!([bars(&mut world, 201), bars(&mut world, 201)], [1, 1], "it has bans now");
    world.send(ban("ann"));
    assert_eq!(bars(&mut world, 403), 1);
}
