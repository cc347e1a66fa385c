//! Filtered channels at a relay: who gets what, from live deliveries, from the log and after the relay lost its memory.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::auth::{Capability, Grant, Identity};
use courtside::limits::{FILTERS_PER_CHANNEL_MAX, HEARTBEAT_INTERVAL_MS};
use courtside::model::Format;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::packed::Packed;
use courtside::model::serial::Position;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{
    Backlog, ConnectionOutcome, Delivery, Outcome, Probe, Published, Request, Response, Submission, Subscribed,
};
use serde_json::{Value, json};

use support::bench::*;
use support::grant::grant;

fn filtered(expression: &str) -> String {
    format!("[filter={}]room", BASE64.encode(expression))
}

fn come(relay: &mut Relay, socket: u32, capability: &str) -> Vec<Effect> {
    let capability = Capability::parse(capability).unwrap();
    let grant = Grant { capability, client_id: Identity::Wildcard, ..grant() };
    relay.open(SocketId(socket), Opening::from_query(grant, &[], true), format!("connection{socket}"), NOW_MS)
}

/// Attaches, at once when the relay is fed; the first makes the relay ask to be.
fn attach(relay: &mut Relay, socket: u32, channel: &str) -> Vec<Value> {
    let mut effects = send(relay, socket, &json!({"action": 10, "channel": channel}).to_string());
    if effects.iter().any(|effect| matches!(effect, Effect::Call { .. })) {
        let (ticket, _) = call(&effects);
        effects = relay.answered(ticket, subscribed(0), NOW_MS);
    }
    heard(&effects, socket)
}

fn heard(effects: &[Effect], socket: u32) -> Vec<Value> {
    frames(effects, socket).iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
}

/// A publish of messages with these values of the header `n`, and names.
fn entry(at: u64, messages: &[(&str, u64)]) -> Entry {
    let message = |(name, n): &(&str, u64)| Message {
        name: Some((*name).to_owned()),
        extras: json!({"headers": {"n": n}}).as_object().cloned(),
        ..Message::default()
    };
    let content = Content::Messages(messages.iter().map(message).collect());
    Entry { position: Position(at), id: format!("x:{at}"), connection_id: Some("x".into()), content }
}

fn packed(entries: &[Entry]) -> Packed {
    let mut packed = Packed::default();
    entries.iter().for_each(|entry| packed.append(&Packed::one(entry)));
    packed
}

fn deliver(relay: &mut Relay, prior: u64, entries: &[Entry], now_ms: u64) -> Vec<Effect> {
    let through = entries.last().map_or(Position(prior), |entry| entry.position);
    let delivery = Delivery { through, entries: packed(entries), ..delivery(prior, &[]) };
    relay.deliver(&delivery, now_ms).1
}

/// Ids of the messages of frames.
fn ids(frames: &[Value]) -> Vec<&str> {
    let messages = frames.iter().flat_map(|frame| frame["messages"].as_array().into_iter().flatten());
    messages.map(|message| message["id"].as_str().unwrap()).collect()
}

const ALL: &str = r#"{"[*]*":["*"]}"#;

#[test]
fn each_attachment_gets_what_passes_its_filter_under_its_own_name() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    let (even, odd) = (filtered("headers.n == `2` || headers.n == `4`"), filtered("headers.n == `1`"));
    for name in ["room", &even, &odd] {
        let attached = attach(&mut relay, 1, name);
        assert_eq!((&attached[0]["action"], &attached[0]["channel"]), (&json!(11), &json!(name)));
    }
    let entries = [entry(1, &[("a", 1), ("a", 2), ("a", 3), ("a", 4)]), entry(2, &[("b", 3)]), entry(3, &[("b", 2)])];
    let frames = heard(&deliver(&mut relay, 0, &entries, NOW_MS), 1);
    let of = |name: &str| frames.iter().filter(|frame| frame["channel"] == name).cloned().collect::<Vec<_>>();
    assert_eq!(ids(&of("room")), ["x:1:0", "x:1:1", "x:1:2", "x:1:3", "x:2:0", "x:3:0"]);
    assert_eq!(ids(&of(&even)), ["x:1:1", "x:1:3", "x:3:0"]);
    assert_eq!(ids(&of(&odd)), ["x:1:0"]);
    let serials = |name: &str| {
        let messages = of(name).into_iter().flat_map(|frame| frame["messages"].as_array().cloned().unwrap());
        messages.map(|message| message["serial"].clone()).collect::<Vec<_>>()
    };
    let whole = serials("room");
    assert_eq!(serials(&even), [whole[1].clone(), whole[3].clone(), whole[5].clone()]);
}

#[test]
fn without_a_match_there_is_no_frame_and_heartbeats_go_on() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    attach(&mut relay, 1, &filtered("name == 'goal'"));
    let later = NOW_MS + HEARTBEAT_INTERVAL_MS / 2;
    assert_eq!(heard(&deliver(&mut relay, 0, &[entry(1, &[("foul", 1)])], later), 1), [] as [Value; 0]);
    let beat = heard(&relay.tick(NOW_MS + HEARTBEAT_INTERVAL_MS * 4 / 5), 1);
    assert_eq!(beat[0]["action"], 0, "what is not sent is no sign of life");
}

#[test]
fn who_gets_nothing_is_told_how_far_the_channel_is() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    let name = filtered("name == 'goal'");
    attach(&mut relay, 1, &name);
    attach(&mut relay, 1, "room");
    let told = |relay: &mut Relay, after_ms: u64| {
        let frames = heard(&relay.tick(NOW_MS + after_ms), 1);
        frames.into_iter().filter(|frame| frame["action"] == 11).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut relay, 40_000), [] as [Value; 0], "the channel went nowhere");
    deliver(&mut relay, 0, &[entry(7, &[("foul", 1)])], NOW_MS + 41_000);
    let attached = told(&mut relay, 60_000);
    let serial = Position(7).serial(EPOCH);
    assert_eq!((&attached[0]["channel"], &attached[0]["channelSerial"]), (&json!(name), &json!(serial)));
    assert_eq!((attached.len(), &attached[0]["flags"]), (1, &json!(4 | 1 << 18)), "resumed, and no news to an SDK");
    assert_eq!(told(&mut relay, 120_000), [] as [Value; 0], "it knows");
}

#[test]
fn those_with_one_filter_share_its_frames() {
    let mut relay = relay();
    for socket in 0..100 {
        come(&mut relay, socket, ALL);
        let expression = if socket % 2 == 0 { "headers.n == `1`" } else { "headers.n == `2`" };
        attach(&mut relay, socket, &filtered(expression));
    }
    let effects = deliver(&mut relay, 0, &[entry(1, &[("a", 1), ("a", 2)])], NOW_MS);
    let sent: Vec<usize> = effects
        .iter()
        .filter_map(|effect| if let Effect::Send { sockets, .. } = effect { Some(sockets.len()) } else { None })
        .collect();
    assert_eq!(sent, [50, 50]);
}

#[test]
fn who_resumes_gets_what_passes_of_the_backlog() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    attach(&mut relay, 1, "room");
    deliver(&mut relay, 0, &[entry(9, &[("a", 1)])], NOW_MS);
    let name = filtered("headers.n == `2`");
    let serial = Position(1).serial(EPOCH);
    let asked = send(&mut relay, 1, &json!({"action": 10, "channel": name, "channelSerial": serial}).to_string());
    let (ticket, request) = call(&asked);
    assert!(matches!(request, Request::Read(_)));
    let entries = [entry(2, &[("a", 1), ("a", 2)]), entry(5, &[("a", 3)]), entry(9, &[("a", 2), ("a", 2)])];
    let backlog = Backlog {
        epoch: EPOCH.into(),
        after: Position(1),
        through: Position(9),
        entries: packed(&entries),
        more: false,
        lost: None,
        members: 0,
    };
    let frames = heard(&relay.answered(ticket, Some(Ok(Response::Backlog(backlog))), NOW_MS), 1);
    assert_eq!((&frames[0]["action"], frames[0]["flags"].as_u64().unwrap() & 4), (&json!(11), 4));
    assert_eq!(ids(&frames), ["x:2:1", "x:9:0", "x:9:1"]);
}

#[test]
fn a_filter_outlives_the_memory_of_its_relay() {
    let mut relay = relay();
    let name = filtered("headers.n == `2`");
    let mut effects = come(&mut relay, 1, ALL);
    let asked = send(&mut relay, 1, &json!({"action": 10, "channel": name}).to_string());
    effects.extend(relay.answered(call(&asked).0, subscribed(0), NOW_MS));
    let record = record(&effects, 1).unwrap();
    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(1), &record, NOW_MS);
    rebuilt.restored(NOW_MS);
    let frames = heard(&deliver(&mut rebuilt, 0, &[entry(1, &[("a", 1), ("a", 2)])], NOW_MS), 1);
    assert_eq!((ids(&frames), &frames[0]["channel"]), (vec!["x:1:1"], &json!(name)));
}

#[test]
fn a_filtered_channel_grants_subscribe_and_nothing_else() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    let params = json!({"rewind": "5", "delta": "vcdiff", "occupancy": "metrics", "echo": "false"});
    let name = filtered("name");
    attach(&mut relay, 1, "room");
    let attached = send(&mut relay, 1, &json!({"action": 10, "channel": name, "params": params}).to_string());
    let attached = &heard(&attached, 1)[0];
    assert_eq!((attached["flags"].as_u64(), &attached["params"]), (Some(1 << 18), &json!({"echo": "false"})));
    let none = send(&mut relay, 1, &json!({"action": 10, "channel": name, "flags": 1 << 17}).to_string());
    assert_eq!((&heard(&none, 1)[0]["action"], &heard(&none, 1)[0]["error"]["code"]), (&json!(9), &json!(40003)));
    let publish = json!({"action": 15, "channel": name, "msgSerial": 0, "messages": [{"name": "a"}]});
    let enter = json!({"action": 14, "channel": name, "msgSerial": 1, "presence": [{"action": 2, "clientId": "a"}]});
    for frame in [publish, enter] {
        let nack = heard(&send(&mut relay, 1, &frame.to_string()), 1);
        assert_eq!((&nack[0]["action"], &nack[0]["error"]["code"]), (&json!(2), &json!(40000)));
    }
}

#[test]
fn only_a_capability_with_the_qualifier_lets_a_client_filter() {
    let mut relay = relay();
    for (socket, (capability, code)) in [
        (r#"{"*":["*"]}"#, 40160),
        (r#"{"room":["subscribe"]}"#, 40160),
        (r#"{"[filter]other":["subscribe"]}"#, 40160),
        (r#"{"[meta]*":["*"]}"#, 40160),
        (r#"{"[filter]room":["history"]}"#, 40160),
        (r#"{"[filter]room":["subscribe"]}"#, 0),
        (r#"{"[filter]*":["subscribe"]}"#, 0),
        (r#"{"[*]room":["subscribe"]}"#, 0),
        (r#"{"[*]*":["*"]}"#, 0),
    ]
    .into_iter()
    .enumerate()
    {
        come(&mut relay, socket as u32, capability);
        let frame = &attach(&mut relay, socket as u32, &filtered("name"))[0];
        assert_eq!(frame["error"]["code"].as_u64().unwrap_or(0), code, "{capability}: {frame}");
    }
}

#[test]
fn bad_filters_fail_their_channel_in_both_formats() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    let deep = filtered(&"(".repeat(1_000));
    let names = [
        "[filter=%%%]room",
        "[filter=]room",
        "[filter]room",
        "[filter=eA==?]room",
        "[filter=/////w==]room",
        &filtered("name =="),
        &filtered(" "),
        &filtered("data == 'x'"),
        &filtered(&"x".repeat(10_240)),
        &deep,
    ];
    for name in names {
        let frame = json!({"action": 10, "channel": name});
        let failed = |effects: Vec<Effect>| {
            let frame = &heard(&effects, 1)[0];
            assert_eq!((&frame["action"], &frame["error"]["code"]), (&json!(9), &json!(40010)), "{name}");
            assert_eq!((&frame["channel"], &frame["error"]["statusCode"]), (&json!(name), &json!(400)));
        };
        failed(send(&mut relay, 1, &frame.to_string()));
        let packed = rmp_serde::to_vec_named(&frame).unwrap();
        failed(relay.frame(SocketId(1), &packed, Format::Msgpack, NOW_MS));
    }
}

#[test]
fn distinct_filters_of_a_channel_are_bounded_and_make_room_again() {
    let mut relay = relay();
    let one = |index: usize| filtered(&format!("headers.n == `{index}`"));
    for index in 0..FILTERS_PER_CHANNEL_MAX {
        let socket = (index / 4) as u32;
        if index % 4 == 0 {
            come(&mut relay, socket, ALL);
        }
        assert_eq!(attach(&mut relay, socket, &one(index))[0]["action"], 11, "{index}");
    }
    let late = FILTERS_PER_CHANNEL_MAX as u32;
    come(&mut relay, late, ALL);
    assert_eq!(attach(&mut relay, late, &one(7))[0]["action"], 11, "one that others have");
    let refused = &attach(&mut relay, late, &one(9_999))[0];
    assert_eq!((&refused["action"], &refused["error"]["code"]), (&json!(9), &json!(42910)));
    relay.lost(SocketId(0), NOW_MS);
    assert_eq!(attach(&mut relay, late, &one(9_999))[0]["action"], 11);
    let sent = deliver(&mut relay, 0, &[entry(1, &[("a", 500)])], NOW_MS);
    assert_eq!(sent.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count(), 1);
}

/// What was said to become of the connection's members.
fn connection_outcomes(request: &Request) -> Vec<ConnectionOutcome> {
    let Some(publishes) = request.publishes() else { panic!("{request:?}") };
    let outcome = |content: &Submission| {
        if let Submission::ConnectionOutcome { outcome, .. } = content { Some(outcome.clone()) } else { None }
    };
    publishes.iter().filter_map(|publish| outcome(&publish.content)).collect()
}

#[test]
fn members_leave_with_the_plain_channel_though_a_filtered_one_stays() {
    let mut relay = relay();
    come(&mut relay, 1, ALL);
    attach(&mut relay, 1, "room");
    attach(&mut relay, 1, &filtered("name"));
    let probe = Probe { channel: address().channel, connections: vec!["connection1".into()], occupancy: None };
    let enter = json!({"action": 14, "channel": "room", "msgSerial": 0, "presence": [{"action": 2, "clientId": "a"}]});
    let (ticket, _) = call(&send(&mut relay, 1, &enter.to_string()));
    let outcomes = vec![Outcome::Accepted { position: Position(1), count: 1 }];
    let published = Response::Published(Published { epoch: EPOCH.into(), outcomes });
    relay.answered(ticket, Some(Ok(published)), NOW_MS);
    assert_eq!(relay.probe(&probe, NOW_MS).0.missing, [] as [String; 0]);
    let (_, request) = call(&send(&mut relay, 1, &json!({"action": 12, "channel": "room"}).to_string()));
    assert_eq!(connection_outcomes(&request), [ConnectionOutcome::Left]);
    assert_eq!(relay.probe(&probe, NOW_MS).0.missing, ["connection1"], "a filter keeps nobody present");
}

#[test]
fn a_filtered_channel_that_comes_back_first_says_nothing_of_members() {
    let mut relay = relay();
    let capability = r#"{"room":["*"],"[filter]room":["subscribe"]}"#;
    let connected = frames(&come(&mut relay, 1, capability), 1);
    relay.lost(SocketId(1), NOW_MS);
    let grant = Grant { capability: Capability::parse(capability).unwrap(), client_id: Identity::Wildcard, ..grant() };
    let query = [("resume".to_owned(), key(&connected[0]))];
    relay.open(SocketId(2), Opening::from_query(grant, &query, true), "fresh".into(), NOW_MS);
    let asked = send(&mut relay, 2, &json!({"action": 10, "channel": filtered("name")}).to_string());
    let Some(Ok(Response::Subscribed(known))) = subscribed(0) else { panic!("it is fed") };
    let known = Response::Subscribed(Subscribed { members: 3, ..known });
    let effects = relay.answered(call(&asked).0, Some(Ok(known)), NOW_MS);
    assert_eq!(heard(&effects, 2)[0]["flags"], 1 << 18, "there is no presence, and none to sync");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Call { .. })), "{effects:?}");
}
