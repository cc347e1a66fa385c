//! Packets of clients of Socket.IO, to a relay that answers them, and bodies of Engine.IO.

use std::rc::Rc;

use courtside::auth::{App, Grant};
use courtside::model::Format;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::protocol::socketio::{SocketIo, engine, packet};
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{RelayName, Response, Subscribed};
use serde_json::json;

use crate::input::Input;

const NOW_MS: u64 = 1_800_000_000_000;

const PACKETS: [&str; 14] = [
    r#"40{"key":"demo.full:local-only"}"#,
    r#"40/chat,{"key":"demo.full:local-only","params":{"rewind":"1"}}"#,
    r#"40/chat,{"pid":"AAAA","offset":"00000000000005-001@s"}"#,
    r#"40/a%2Cb,{}"#,
    r#"42["a",1,"b"]"#,
    r#"42/chat,5["a",{"b":[null]}]"#,
    r#"451-/chat,6["a",{"_placeholder":true,"num":0}]"#,
    r#"452-["a",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#,
    "41/chat,",
    "43/chat,5[]",
    "2probe",
    "3",
    "1",
    "5",
];

/// A few packets to one connection, texts and bytes: whatever they are, it is told in packets, and its record is read
/// back.
pub fn connection(input: &mut Input) {
    let config = json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only"}]});
    let app: Rc<App> = Rc::new(serde_json::from_value(config).unwrap());
    let mut opening = Opening::from_query(Grant::of_nobody(app.id(), NOW_MS + 45_000), &[], true);
    opening.enter_by(Door::SocketIo(SocketIo::new(app.id().clone(), false, input.random.chance(500))));
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app, b"secret".to_vec());
    check(&relay.open(SocketId(1), opening, "conn".to_owned(), NOW_MS));
    for step in 0..input.random.between(1, 10) {
        let bytes = PACKETS[input.random.between(0, PACKETS.len() as u64 - 1) as usize].as_bytes().to_vec();
        let bytes = if input.random.chance(300) { input.damage(bytes) } else { bytes };
        let came = if input.random.chance(200) { Format::Msgpack } else { Format::Json };
        input.note("packet", &bytes);
        body(&bytes);
        let effects = relay.frame(SocketId(1), &bytes, came, NOW_MS + step);
        answer(&mut relay, effects, NOW_MS + step);
        check(&relay.tick(NOW_MS + step * 10_000));
    }
    check(&relay.lost(SocketId(1), NOW_MS));
    assert_eq!(relay.connection_count(), 0);
}

/// What is cut of a body is what is put together again.
fn body(bytes: &[u8]) {
    let Ok(packets) = engine::packets(bytes) else { return };
    let frames: Vec<Encoded> = packets
        .into_iter()
        .map(|(bytes, format)| match format {
            Format::Json => Encoded::Text(String::from_utf8(bytes).expect("a text")),
            Format::Msgpack => Encoded::Binary(bytes),
        })
        .collect();
    let again = engine::body(frames.iter());
    if !again.is_empty() && again != engine::NOOP {
        let _ = engine::packets(again.as_bytes()).expect("it is a body");
    }
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

fn check(effects: &[Effect]) {
    crate::effects::check(effects, check_frame);
}

fn check_frame(frame: &Encoded) {
    match frame {
        Encoded::Text(text) if text.starts_with('4') => {
            let packet = packet::read(&text[1..]).expect("what is sent is a packet");
            assert!(packet.data.is_empty() || serde_json::from_str::<serde_json::Value>(packet.data).is_ok(), "{text}");
        }
        Encoded::Text(text) => assert!(text.starts_with(['0', '1', '2', '3', '6']), "{text}"),
        Encoded::Several(frames) => frames.iter().for_each(check_frame),
        Encoded::Binary(_) | Encoded::Close(_) => {}
        Encoded::Events(_) => panic!("clients of Socket.IO get packets"),
    }
}
