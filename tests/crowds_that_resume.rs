//! Those who lose their connections together come back from the same place, and are told the same: it is written once.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::model::serial::Position;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{Backlog, Request, Response};
use serde_json::{Value, json};

use support::bench::*;

fn attach(relay: &mut Relay, socket: u32, params: &Value) -> Vec<Effect> {
    let serial = Position(10).serial(EPOCH);
    let frame = json!({"action": 10, "channel": "room", "channelSerial": serial, "params": params});
    send(relay, socket, &frame.to_string())
}

/// Effects of the page after 10, for which the sockets wait, and one of them twice.
fn resumed(plain: u32, as_deltas: u32) -> Vec<Effect> {
    let mut relay = relay();
    let mut asked = Vec::new();
    for socket in 0..plain + as_deltas {
        connect(&mut relay, socket);
        let params = if socket < plain { json!({}) } else { json!({"delta": "vcdiff"}) };
        asked.extend(attach(&mut relay, socket, &params));
    }
    let (read, request) = call(&relay.answered(call(&asked).0, subscribed(13), NOW_MS));
    assert!(matches!(request, Request::Read(_)));
    let again = attach(&mut relay, 0, &json!({}));
    assert!(!again.iter().any(|effect| matches!(effect, Effect::Call { .. })), "it waits for the same page");
    let (epoch, entries) = (EPOCH.to_owned(), entries(&[11, 12, 13]));
    let (after, through) = (Position(10), Position(13));
    let backlog = Backlog { epoch, lost: None, after, entries, through, more: false, members: 0 };
    relay.answered(read, Some(Ok(Response::Backlog(backlog))), NOW_MS)
}

#[test]
fn a_crowd_that_resumes_is_written_its_backlog_once() {
    let effects = resumed(10, 2);
    for socket in 0..12 {
        let told: Vec<Value> =
            frames(&effects, socket).iter().map(|frame| serde_json::from_str(frame).unwrap()).collect();
        let actions: Vec<_> = told.iter().map(|frame| frame["action"].as_u64().unwrap()).collect();
        assert_eq!(actions, [11, 15], "ATTACHED first, to {socket}");
        assert_eq!(told[1]["messages"].as_array().unwrap().len(), 3);
    }
    let shared = effects.iter().filter_map(|effect| match effect {
        Effect::Send { sockets, .. } if sockets.len() > 1 => Some(sockets.clone()),
        _ => None,
    });
    let plain: Vec<SocketId> = (0..10).map(SocketId).collect();
    assert_eq!(shared.collect::<Vec<_>>(), [plain], "who gets deltas is told apart");
}
