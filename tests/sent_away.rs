//! Connections that are sent back to the front door, by a server that stops or is configured anew.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::rc::Rc;

use courtside::auth::App;
use courtside::relay::Effect;
use serde_json::{Value, json};

use support::bench::*;

/// The app of the bench with this key, which its connections have.
fn app_with(secret: &str, capability: Value, namespaces: Value) -> Rc<App> {
    let key = json!({"name": "key", "secret": secret, "capability": capability});
    Rc::new(serde_json::from_value(json!({"id": "demo", "keys": [key], "namespaces": namespaces})).expect("an app"))
}

/// Who is told to come back, with code 80003, and loses its socket.
fn sent_back(effects: &[Effect], sockets: u32) -> Vec<u32> {
    let is_told = |socket: &u32| {
        let told = frames(effects, *socket).iter().any(|frame| {
            let frame: Value = serde_json::from_str(frame).expect("JSON");
            frame["action"] == 6 && frame["error"]["code"] == 80003
        });
        let closed = |effect: &Effect| matches!(effect, Effect::Close { socket: closed } if closed.0 == *socket);
        assert_eq!(told, effects.iter().any(closed), "who is told loses its socket, and nobody else");
        told
    };
    (1..=sockets).filter(is_told).collect()
}

#[test]
fn a_server_that_stops_sends_its_connections_away_in_parts_and_misses_none() {
    let mut relay = relay();
    (1..=10).for_each(|socket| drop(connect(&mut relay, socket)));
    let mut sent: Vec<u32> = Vec::new();
    for (one_in, expected) in [(4, 3), (3, 3), (2, 2), (1, 2)] {
        let part = sent_back(&relay.send_away(one_in, NOW_MS), 10);
        assert_eq!(part.len(), expected, "one in {one_in}");
        sent.extend(part);
    }
    sent.sort_unstable();
    assert_eq!(sent, (1..=10).collect::<Vec<_>>());
    assert_eq!(relay.connection_count(), 0);
    assert_eq!(relay.send_away(0, NOW_MS), [], "nobody is left, and no part is all");
}

#[test]
fn connections_of_a_key_that_changed_come_back_and_others_stay() {
    let all = json!({"*": ["*"]});
    let before = app_with("a-secret-of-the-demo", all.clone(), json!([]));
    let namespaced = app_with("a-secret-of-the-demo", all.clone(), json!([{"id": "chat", "persisted": true}]));
    let cases = [
        ("nothing changed", before.clone(), vec![]),
        ("a namespace changed", namespaced, vec![]),
        ("the secret changed", app_with("another-secret-of-it", all, json!([])), vec![1]),
        ("the capability changed", app_with("a-secret-of-the-demo", json!({"a": ["publish"]}), json!([])), vec![1]),
        ("the key is gone", app(), vec![1]),
    ];
    for (what, after, expected) in cases {
        let mut relay = relay();
        connect(&mut relay, 1);
        // What the relay itself knew before does not matter: it may have slept.
        assert_eq!(sent_back(&relay.reconfigure(Some(&before), after, NOW_MS), 1), expected, "{what}");
    }
}
