//! Packets of MQTT: what is damaged is refused, what is answered can be read, and a session's row and record too.

use std::rc::Rc;

use courtside::auth::{App, Credentials, Presented, Surface};
use courtside::intake::mqtt;
use courtside::model::Format;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::protocol::mqtt::Version;
use courtside::protocol::mqtt::gate::{self, Gate, Step};
use courtside::protocol::mqtt::packet;
use courtside::relay::mqtt::Kept;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::RelayName;
use serde_json::json;

use crate::effects;
use crate::input::Input;

const NOW_MS: u64 = 1_800_000_000_000;

const CONNECTS: &[&[u8]] = &[
    b"\x10\x26\0\x04MQTT\x04\xc2\0\x1e\0\x03ann\0\x09demo.full\0\x0alocal-only",
    b"\x10\x2c\0\x04MQTT\x05\xc0\0\x1e\x05\x11\0\0\0\x3c\0\x03ann\0\x09demo.full\0\x0alocal-only",
    b"\x10\x3e\0\x04MQTT\x05\xc6\0\x1e\x03\x21\0\x02\0\x03ann\x09\x18\0\0\0\x05\x03\0\x01t\0\x03a/b\0\x03off\0\x09demo.full\0\x0alocal-only",
];

const PACKETS: &[&[u8]] = &[
    b"\x30\x06\0\x03a/bx",
    b"\x32\x09\0\x03a/b\0\x01\0x",
    b"\x3a\x0e\0\x03a/b\0\x01\x06\x26\0\x01k\0\0",
    b"\x33\x06\0\x01a\0\x02\0",
    b"\x40\x02\0\x01",
    b"\x82\x08\0\x02\0\x03a/b\x01",
    b"\x82\x0b\0\x03\x02\x0b\x05\0\x03a/b\x05",
    b"\x82\x0f\0\x04\0\x01#\0\0\x02$s\0\0\0\0\0",
    b"\xa2\x07\0\x05\0\x03a/b",
    b"\xc0\0",
    b"\xe0\x07\x04\x05\x11\0\0\0\x3c",
    b"\xe0\0",
];

fn some_packets(input: &mut Input) -> Vec<u8> {
    let count = input.random.between(1, 4);
    let bytes: Vec<u8> = (0..count).flat_map(|_| input.random.pick(PACKETS).to_vec()).collect();
    let bytes = if input.random.chance(600) { input.damage(bytes) } else { bytes };
    input.note("packets", &bytes);
    bytes
}

/// Packets are cut the same way however they come, and read or refused.
pub fn packets(input: &mut Input) {
    let bytes = some_packets(input);
    let version = *input.random.pick(&[Version::V3, Version::V5]);
    for (first, body) in gate::packets(&bytes) {
        let _ = packet::read(version, first, body);
    }
    let whole = passed(&mut entered(0), &[&bytes]);
    let (one, other) = bytes.split_at(input.random.below(bytes.len() as u64 + 1) as usize);
    assert_eq!(passed(&mut entered(0), &[one, other]), whole);
}

fn entered(which: usize) -> Gate {
    let mut gate = Gate::new(NOW_MS);
    let Some(Step::Enter(connect)) = gate.knock(CONNECTS[which]) else { panic!("a good CONNECT") };
    gate.enter(&connect, NOW_MS);
    gate
}

/// What reaches the object.
fn passed(gate: &mut Gate, frames: &[&[u8]]) -> Vec<u8> {
    let mut passed = Vec::new();
    for frame in frames {
        for step in gate.take(frame, NOW_MS) {
            match step {
                Step::Pass(packets) => passed.extend(packets),
                Step::End(_) => return passed,
                Step::Tell(_) | Step::Enter(_) => {}
            }
        }
    }
    passed
}

/// A few packets to one connection: whatever they are, the relay answers in packets that can be read, and lives on.
pub fn connection(input: &mut Input) {
    let bytes = input.random.pick(CONNECTS).to_vec();
    let bytes = if input.random.chance(500) { input.damage(bytes) } else { bytes };
    input.note("connect", &bytes);
    let mut gate = Gate::new(NOW_MS);
    let Some(Step::Enter(connect)) = gate.knock(&bytes) else { return };
    let app: Rc<App> = Rc::new(
        serde_json::from_value(json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only"}]})).unwrap(),
    );
    let query = mqtt::presented(&connect);
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Realtime);
    let Ok(mut grant) = credentials.and_then(|credentials| credentials.verify(Some(&app), NOW_MS)) else { return };
    let admitted = (app.key(&grant.key_name).unwrap(), &*app);
    let Ok(client) = mqtt::admit((*connect).clone(), &mut grant, admitted, ("fresh", true)) else { return };
    let mut opening = Opening::from_query(grant, &[], true);
    opening.enter_by(Door::Mqtt(client.into()));
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app, b"secret".to_vec());
    check(&relay.open(SocketId(1), opening, "conn".to_owned(), NOW_MS));
    gate.enter(&connect, NOW_MS);
    for step in 0..input.random.between(1, 5) {
        let bytes = some_packets(input);
        for step_of_gate in gate.take(&bytes, NOW_MS) {
            if let Step::Pass(packets) = step_of_gate {
                check(&relay.frame(SocketId(1), &packets, Format::Msgpack, NOW_MS + step));
            }
        }
        check(&relay.tick(NOW_MS + step * 10_000));
    }
    check(&relay.lost(SocketId(1), NOW_MS));
    assert_eq!(relay.connection_count(), 0);
}

fn check(effects: &[Effect]) {
    effects::check(effects, |frame| {
        let Encoded::Binary(bytes) = frame else { return };
        let header = |body: &[u8]| if body.len() < 128 { 2 } else { 3 };
        let read = gate::packets(bytes).iter().map(|(_, body)| body.len() + header(body)).sum::<usize>();
        assert_eq!(read, bytes.len(), "what is sent is packets");
    });
    let kept = effects.iter().filter_map(|effect| if let Effect::Kept(kept) = effect { Some(kept) } else { None });
    let mut rows = kept.flatten().filter_map(|(_, row)| row.as_deref());
    assert!(rows.all(|row| Kept::decode(row).is_some()), "a session is read back");
}
