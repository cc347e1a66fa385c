//! Clients of MQTT of a relay on a bench.

use courtside::auth::{App, Grant};
use courtside::intake::mqtt;
use courtside::model::Format;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::protocol::mqtt::gate::{Gate, Step};
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};

use serde_json::json;

use super::bench::{call, subscribed};
use super::grant::grant;

/// What the session of such a client is called, if its client id is 'ann'.
pub const ANN: &str = "\nkey\nann";

/// A client of version 5 whose session is kept for a minute, and whose will, if it has one, is 'off' on 'wills'.
pub fn come(relay: &mut Relay, socket: u32, client_id: &str, has_will: bool, now_ms: u64) -> Vec<Effect> {
    come_by(grant(), relay, socket, client_id, has_will, now_ms)
}

/// The same by credentials of its own.
pub fn come_by(
    grant: Grant,
    relay: &mut Relay,
    socket: u32,
    client_id: &str,
    has_will: bool,
    now_ms: u64,
) -> Vec<Effect> {
    let opening = opening(grant, client_id, has_will, now_ms);
    relay.open(SocketId(socket), opening, format!("connection{socket}"), now_ms)
}

/// What such a client comes with.
pub fn opening(grant: Grant, client_id: &str, has_will: bool, now_ms: u64) -> Opening {
    opening_for(60, grant, client_id, has_will, now_ms)
}

/// The same of one whose session is kept for so long.
pub fn opening_for(kept_s: u8, mut grant: Grant, client_id: &str, has_will: bool, now_ms: u64) -> Opening {
    let id = [&[0, client_id.len() as u8], client_id.as_bytes()].concat();
    let will: &[u8] = if has_will { b"\0\0\x05wills\0\x03off" } else { b"" };
    let rest = [&[5, 0x11, 0, 0, 0, kept_s][..], &id, will].concat();
    let body = [&b"\0\x04MQTT\x05"[..], &[if has_will { 4 } else { 0 }], b"\0\x1e", &rest].concat();
    let packet = [&[0x10, body.len() as u8], body.as_slice()].concat();
    let Some(Step::Enter(connect)) = Gate::new(now_ms).knock(&packet) else { panic!("a good CONNECT") };
    let key = json!({"name": "key", "secret": "local-only"});
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": [key], "namespaces": []})).expect("an app");
    let admitted = (app.key(&grant.key_name).expect("a key"), &app);
    let client = mqtt::admit(*connect, &mut grant, admitted, ("fresh", true)).expect("it may come in");
    let mut opening = Opening::from_query(grant, &[], true);
    opening.enter_by(Door::Mqtt(client.into()));
    opening
}

pub fn say(relay: &mut Relay, socket: u32, packet: &[u8], now_ms: u64) -> Vec<Effect> {
    relay.frame(SocketId(socket), packet, Format::Msgpack, now_ms)
}

/// Subscribes to 'room' with this QoS.
pub fn subscribe(relay: &mut Relay, socket: u32, qos: u8, now_ms: u64) -> Vec<Effect> {
    let effects = say(relay, socket, &[&b"\x82\x0a\0\x01\0\0\x04room"[..], &[qos]].concat(), now_ms);
    if !effects.iter().any(|effect| matches!(effect, Effect::Call { .. })) {
        return effects;
    }
    let (ticket, _) = call(&effects);
    relay.answered(ticket, subscribed(5_000), now_ms)
}

/// What a client is sent, frame by frame.
pub fn sent(effects: &[Effect], socket: u32) -> Vec<Vec<u8>> {
    let frame = |effect: &Effect| match effect {
        Effect::Send { sockets, frame: Encoded::Binary(bytes) } if sockets.contains(&SocketId(socket)) => {
            Some(bytes.clone())
        }
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

/// The rows of sessions that are written, or removed.
pub fn rows(effects: &[Effect]) -> Vec<(String, Option<Vec<u8>>)> {
    let rows = |effect: &Effect| match effect {
        Effect::Kept(rows) => rows.clone(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(rows).collect()
}
