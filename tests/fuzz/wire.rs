//! Frames and requests, in both formats: by themselves, and to a relay and the REST API that answer them.

use std::rc::Rc;

use courtside::auth::{App, Apps, Attempts, Credentials, Presented, Surface};
use courtside::base::pinned;
use courtside::http::{Headers, Request, percent};
use courtside::limits::DECODE_ERROR_MAX_BYTES;
use courtside::model::Format;
use courtside::model::message::Entry;
use courtside::model::serial::ChannelSerial;
use courtside::protocol::Encoded;
use courtside::protocol::inbound::{Inbound, decode};
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rest::{self, Admin, Context, Step};
use courtside::rpc::{ChannelCall, Delivery, RelayName};
use serde_json::{Value, json};

use courtside::relay::record::Record;

use crate::effects;
use crate::input::{Input, encoded};

const NOW_MS: u64 = 1_800_000_000_000;

fn app() -> Rc<App> {
    let config = json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only"}]});
    Rc::new(serde_json::from_value(config).unwrap())
}

fn frames() -> Vec<Value> {
    vec![
        json!({"action": 15, "channel": "room", "msgSerial": 0, "messages": [{"name": "n", "data": "d", "extras": {"headers": {"a": 1}}}]}),
        json!({"action": 15, "channel": "room", "msgSerial": 1, "messages": [{"id": "a:0", "data": {"x": [1, null]}}, {"id": "a:1"}], "params": {"quickAck": true}}),
        json!({"action": 15, "channel": "room", "msgSerial": 2, "messages": [{"data": "aGk=", "encoding": "utf-8/base64", "clientId": "ann"}]}),
        json!({"action": 10, "channel": "[?rewind=2]room", "flags": 983040, "params": {"modes": "publish,subscribe", "rewindLimit": "5"}}),
        json!({"action": 10, "channel": "room", "channelSerial": "01800000000000-000@abc", "flags": 32}),
        json!({"action": 14, "channel": "room", "msgSerial": 3, "presence": [{"action": 2, "clientId": "ann", "data": "here"}]}),
        json!({"action": 19, "channel": "room", "msgSerial": 4, "state": [
            {"operation": {"action": 1, "objectId": "root", "mapSet": {"key": "k", "value": {"bytes": "AP8="}}}},
            {"operation": {"action": 4, "objectId": "counter:x@1", "counterInc": {"number": 1.5}}},
            {"operation": {"action": 0, "objectId": "map:x@1", "mapCreateWithObjectId": {
                "initialValue": "{\"semantics\":0,\"entries\":{}}", "nonce": "0123456789abcdef"}}}]}),
        json!({"action": 19, "channel": "room", "msgSerial": 5, "state": [
            {"operation": {"action": 1, "objectId": "root", "mapOp": {"key": "k", "data": {"bytes": "AP8="}}}},
            {"operation": {"action": 4, "objectId": "counter:x@1", "counterOp": {"amount": 1.5}}},
            {"operation": {"action": 0, "objectId": "map:x@1", "nonce": "0123456789abcdef", "initialValue": "e30=",
                "initialValueEncoding": "msgpack"}}]}),
        json!({"action": 12, "channel": "room"}),
        json!({"action": 16, "channel": "room", "channelSerial": "1:2"}),
        json!({"action": 17, "auth": {"accessToken": "demo.AAAA"}}),
        json!({"action": 0, "id": "beat"}),
        json!({"action": 7}),
    ]
}

/// A frame's bytes, damaged in their values, their bytes, or not at all.
fn frame_bytes(input: &mut Input, is_json: bool) -> Vec<u8> {
    let value = input.json(&frames());
    let bytes = encoded(&value, is_json);
    let bytes = if input.random.chance(400) { input.damage(bytes) } else { bytes };
    input.note("frame", &bytes);
    bytes
}

pub fn frame(input: &mut Input) {
    let is_json = input.random.chance(500);
    let format = if is_json { Format::Json } else { Format::Msgpack };
    let bytes = frame_bytes(input, is_json);
    match decode(&bytes, format) {
        Err(error) => assert!(error.message.len() <= DECODE_ERROR_MAX_BYTES + 100, "{error}"),
        Ok(Inbound::Attach { channel, serial, .. }) => {
            let _ = courtside::model::name::ChannelName::parse(&channel).map(|name| (name.owner(), name.plain().len()));
            let serial = serial.and_then(|serial| ChannelSerial::parse(&serial));
            let text = serial.as_ref().map(|serial| serial.position.serial(&serial.epoch));
            assert_eq!(text.and_then(|text| ChannelSerial::parse(&text)), serial);
        }
        Ok(Inbound::Publish(frame)) => {
            for message in frame.messages.into_iter().filter_map(|message| message.into_message().ok()) {
                let bytes = postcard::to_allocvec(&message).expect("it encodes to memory");
                assert_eq!(postcard::from_bytes(&bytes), Ok(message), "it is stored as it is");
            }
        }
        Ok(_) => {}
    }
}

/// A few frames to one connection: whatever they are, the relay answers in frames that can be read, and lives on.
pub fn connection(input: &mut Input) {
    let app = app();
    let query = [("key".to_owned(), "demo.full:local-only".to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let grant = Credentials::parse(&presented, Surface::Realtime).unwrap().verify(Some(&app), NOW_MS).unwrap();
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app, b"secret".to_vec());
    let effects = relay.open(SocketId(1), Opening::from_query(grant, &query, true), "conn".to_owned(), NOW_MS);
    check(&effects);
    for step in 0..input.random.between(1, 6) {
        let is_json = input.random.chance(500);
        let bytes = frame_bytes(input, is_json);
        let format = if is_json { Format::Json } else { Format::Msgpack };
        check(&relay.frame(SocketId(1), &bytes, format, NOW_MS + step));
        check(&relay.tick(NOW_MS + step * 10_000));
    }
    check(&relay.lost(SocketId(1), NOW_MS));
    assert_eq!(relay.connection_count(), 0);
}

fn check(effects: &[Effect]) {
    effects::check(effects, |frame| {
        let Encoded::Text(text) = frame else { return };
        let frame: Value = serde_json::from_str(text).expect("what is sent is JSON");
        assert!(frame["action"].is_u64());
    });
}

/// A REST request: the answer has a status and headers that HTTP can carry.
pub fn request(input: &mut Input) {
    let paths = [
        "/channels/room/messages",
        "/channels/a%2Fb/history",
        "/channels/room/object",
        "/channels/room/presence",
        "/channels/room",
        "/messages",
        "/presence",
        "/keys/demo.full/requestToken",
        "/keys/demo.full/revokeTokens",
        "/apps",
        "/apps/demo",
        "/apps/demo/events",
        "/apps/demo/batch_events",
        "/apps/demo/channels",
        "/apps/demo/channels/presence-a/users",
        "/apps/demo/users/ann/terminate_connections",
        "/pusher/auth",
        "/pusher/user-auth",
        "/stats",
        "/time",
    ];
    let queries =
        ["limit=2&direction=forwards", "start=1&end=2", "cursor=MDE4&format=msgpack", "envelope=json", "channels=a,b"];
    let bodies = [
        json!([{"name": "n", "data": "d"}]),
        json!({"channels": ["a", "b"], "messages": [{"data": "x"}]}),
        json!({"keyName": "demo.full", "ttl": 1}),
        json!([{"path": "a.*", "counterInc": {"number": 1}}, {"path": "b", "mapCreate": {"entries": {"k": {"data": {"number": 1}}}}}]),
        json!({"targets": ["clientId:ann"], "issuedBefore": NOW_MS}),
        json!({"keys": [{"capability": {"*": ["*"]}}], "namespaces": [{"id": "a", "persisted": true}]}),
    ];
    let (path, query) = (input.text("path", &paths), input.text("query", &queries));
    let is_json = input.random.chance(500);
    let body = input.json(&bodies);
    let body = encoded(&body, is_json);
    let body = if input.random.chance(300) { input.damage(body) } else { body };
    input.note("body", &body);
    let content_type = if is_json { "application/json" } else { "application/x-msgpack" };
    let headers = Headers {
        authorization: Some(input.text("authorization", &["Basic ZGVtby5mdWxsOmxvY2FsLW9ubHk="])),
        content_type: Some(input.text("content type", &[content_type, "application/x-www-form-urlencoded"])),
        accept: Some(input.text("accept", &["application/json", "application/x-msgpack;q=0.5, */*"])),
        ..Headers::default()
    };
    let method = (*input.random.pick(&["GET", "POST", "HEAD", "DELETE", "OPTIONS"])).to_owned();
    let query = percent::decode_pairs(&query).unwrap_or_default();
    let request = Request { method, path, query, headers, body, ..Request::default() };
    let (apps, mut attempts) = (Apps::of([app()]), Attempts::default());
    let mut context =
        Context { apps: &apps, attempts: &mut attempts, admin: &Admin::Open, now_ms: NOW_MS, random: [7; 32] };
    let admitted = rest::find(&request).and_then(|route| rest::admit(&request, route, &mut context));
    match admitted.map_or_else(Step::Reply, |(_, admitted)| admitted.begin(&request, context)) {
        Step::Reply(reply) => {
            assert!((200..600).contains(&reply.status));
            for (name, value) in &reply.headers {
                assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: {value}");
            }
        }
        Step::Calls(calls, _) => calls.iter().for_each(|call| {
            assert_eq!(pinned::decode(&pinned::encode(call)).as_ref(), Ok(call));
        }),
        Step::Ask(..) | Step::Identify(..) | Step::Inspect(..) | Step::Survey(..) => {}
    }
}

/// What one object or version wrote and another reads.
pub fn stored(input: &mut Input) {
    let good: [&[u8]; 3] =
        [b"\x01\x04demo\x01c\x05\x01\x06demo/0", b"\x01\x01c\x01s\x01\x02\x00\x00\x03", b"\x01\x00\x00\x00\x00"];
    let bytes = (*input.random.pick(&good)).to_vec();
    let bytes = input.damage(bytes);
    input.note("bytes", &bytes);
    let _ = pinned::decode::<Delivery>(&bytes);
    let _ = pinned::decode::<Entry>(&bytes);
    let _ = Record::decode(&bytes);
    if let Ok(call) = pinned::decode::<ChannelCall>(&bytes) {
        assert_eq!(pinned::decode(&pinned::encode(&call)), Ok(call));
    }
}
