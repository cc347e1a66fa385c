//! Frames of clients of Pusher, to a relay that answers them.

use std::rc::Rc;

use courtside::auth::{App, Credentials, Signed};
use courtside::model::Format;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{RelayName, Response, Subscribed};
use serde_json::{Value, json};

use crate::input::{Input, encoded};

const NOW_MS: u64 = 1_800_000_000_000;

fn app() -> Rc<App> {
    let config = json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only", "pusher": true}]});
    Rc::new(serde_json::from_value(config).unwrap())
}

/// Of a connection with this id, some of them signed.
fn frames(app: &App, socket_id: &str) -> Vec<Value> {
    let sign =
        |channel, channel_data| app.keys()[0].sign_for_pusher(socket_id, Signed::Channel { channel, channel_data });
    let (data, user_data) = (r#"{"user_id":7,"user_info":{"a":[1]}}"#, r#"{"id":"ann","watchlist":["bob"]}"#);
    let user = app.keys()[0].sign_for_pusher(socket_id, Signed::User { user_data });
    let subscribe = |data: Value| json!({"event": "pusher:subscribe", "data": data});
    vec![
        subscribe(json!({"channel": "scores"})),
        subscribe(json!({"channel": "cache-a"})),
        subscribe(json!({"channel": "private-a", "auth": sign("private-a", None)})),
        subscribe(json!({"channel": "presence-a", "auth": sign("presence-a", Some(data)), "channel_data": data})),
        subscribe(json!({"channel": "#server-to-user-ann"})),
        json!({"event": "pusher:signin", "data": {"auth": user, "user_data": user_data}}),
        json!({"event": "pusher:unsubscribe", "data": {"channel": "private-a"}}),
        json!({"event": "client-a", "channel": "private-a", "data": {"a": "x"}}),
        json!({"event": "client-b", "channel": "presence-a", "data": "text"}),
        json!({"event": "pusher:ping", "data": "{}"}),
        json!({"event": "pusher:pong", "data": {}}),
    ]
}

/// A few frames to one connection: whatever they are, it is told in events, and its record is read back.
pub fn connection(input: &mut Input) {
    let app = app();
    let grant = Credentials::named("demo.full").unwrap().verify(Some(&app), NOW_MS).unwrap();
    let mut opening = Opening::from_query(grant, &[], true);
    opening.enter_by(Door::at("/app/demo.full").expect("a door"));
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
    let effects = relay.open(SocketId(1), opening, "conn".to_owned(), NOW_MS);
    let socket_id = effects.iter().find_map(socket_id_in).expect("it has one");
    let frames = frames(&app, &socket_id);
    for step in 0..input.random.between(1, 8) {
        let bytes = encoded(&input.json(&frames), true);
        let bytes = if input.random.chance(300) { input.damage(bytes) } else { bytes };
        input.note("frame", &bytes);
        let effects = relay.frame(SocketId(1), &bytes, Format::Json, NOW_MS + step);
        answer(&mut relay, effects, NOW_MS + step);
        check(&relay.tick(NOW_MS + step * 10_000));
    }
    check(&relay.lost(SocketId(1), NOW_MS));
    assert_eq!(relay.connection_count(), 0);
}

/// Channels say that they feed the relay, and take nothing.
fn answer(relay: &mut Relay, effects: Vec<Effect>, now_ms: u64) {
    check(&effects);
    for effect in effects {
        if let Effect::Call { ticket, .. } = effect {
            let subscribed = Subscribed {
                epoch: "life".to_owned(),
                position: courtside::model::serial::Position(0),
                members: 0,
                reports: false,
                direct: true,
            };
            check(&relay.answered(ticket, Some(Ok(Response::Subscribed(subscribed))), now_ms));
        }
    }
}

fn socket_id_in(effect: &Effect) -> Option<String> {
    let Effect::Send { frame: Encoded::Text(text), .. } = effect else { return None };
    let frame: Value = serde_json::from_str(text).ok()?;
    let data: Value = serde_json::from_str(frame["data"].as_str()?).ok()?;
    data["socket_id"].as_str().map(str::to_owned)
}

fn check(effects: &[Effect]) {
    crate::effects::check(effects, check_frame);
}

fn check_frame(frame: &Encoded) {
    match frame {
        Encoded::Text(text) => {
            let frame: Value = serde_json::from_str(text).expect("what is sent is JSON");
            assert!(frame["event"].is_string(), "{text}");
        }
        Encoded::Several(frames) => frames.iter().for_each(check_frame),
        Encoded::Close(code) => assert!(*code == 1000 || (4000..4300).contains(code)),
        Encoded::Binary(_) | Encoded::Events(_) => panic!("clients of Pusher get texts"),
    }
}
