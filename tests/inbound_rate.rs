//! What a connection says is taken in at the rate that CONNECTED states, and the rest is refused in its turn.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::{Ban, Capability, Grant, Identity, KeyName, TokenRequest};
use courtside::error::Code;
use courtside::limits::{ATTACH_FLOW, FRAME_MAX_BYTES, MESSAGE_FLOW, REFUSALS_WAITING_MAX};
use courtside::model::Format;
use courtside::model::serial::Position;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{Outcome, Published, Response};
use serde_json::{Value, json};

use support::bench::*;
use support::grant::grant;

const BURST: u64 = MESSAGE_FLOW.burst;

fn publish_at(relay: &mut Relay, serial: u64, messages: u64, now_ms: u64) -> Vec<Effect> {
    let messages: Vec<Value> = (0..messages).map(|_| json!({"data": "x"})).collect();
    let frame = json!({"action": 15, "channel": "room", "msgSerial": serial, "messages": messages}).to_string();
    relay.frame(SocketId(1), frame.as_bytes(), Format::Json, now_ms)
}

/// Answers all calls until none is left. Gives the frames that the client got, as (action, msgSerial, count).
fn settle(relay: &mut Relay, mut effects: Vec<Effect>, now_ms: u64) -> Vec<(u64, u64, u64)> {
    let mut told = Vec::new();
    while !effects.is_empty() {
        let frames = frames(&effects, 1);
        told.extend(frames.iter().map(|text| {
            let frame: Value = serde_json::from_str(text).unwrap();
            let number = |name: &str| frame[name].as_u64().unwrap_or_default();
            (number("action"), number("msgSerial"), number("count"))
        }));
        effects = answered(relay, effects, now_ms);
    }
    told
}

fn answered(relay: &mut Relay, effects: Vec<Effect>, now_ms: u64) -> Vec<Effect> {
    let publishes = |effect| match effect {
        Effect::Call { ticket, call } => Some((ticket, call.request.publishes()?.len())),
        _ => None,
    };
    let calls: Vec<_> = effects.into_iter().filter_map(publishes).collect();
    let accepted = |index| Outcome::Accepted { position: Position(index as u64 + 1), count: 1 };
    let published = |count| Published { epoch: EPOCH.into(), outcomes: (0..count).map(accepted).collect() };
    let mut next = Vec::new();
    for (ticket, count) in calls {
        next.extend(relay.answered(ticket, Some(Ok(Response::Published(published(count)))), now_ms));
        // What was collected while it was busy.
        next.extend(relay.collected(now_ms + 10));
    }
    next
}

/// How many were acknowledged, and how many refused.
fn sums(told: &[(u64, u64, u64)]) -> (u64, u64) {
    let sum = |wanted| told.iter().filter(|(action, ..)| *action == wanted).map(|(_, _, count)| count).sum();
    (sum(1), sum(2))
}

#[test]
fn a_flood_is_taken_in_at_the_rate_that_is_stated_and_keeps_its_order() {
    let mut relay = relay();
    let connected: Value = serde_json::from_str(&frames(&connect(&mut relay, 1), 1)[0]).unwrap();
    assert_eq!(connected["connectionDetails"]["maxInboundRate"], MESSAGE_FLOW.per_second);
    let mut told = Vec::new();
    for serial in 0..10_000 {
        let now_ms = NOW_MS + serial / 2;
        let effects = publish_at(&mut relay, serial, 1, now_ms);
        told.extend(settle(&mut relay, effects, now_ms));
    }
    let (acknowledged, refused) = sums(&told);
    // Five seconds of two a millisecond: more would end the connection.
    let allowed = BURST + 5 * MESSAGE_FLOW.per_second;
    assert!(acknowledged.abs_diff(allowed) <= 1, "{acknowledged} were acknowledged and {allowed} are allowed");
    assert_eq!(acknowledged + refused, 10_000, "each has its answer");
    let mut next = 0;
    for (_, serial, count) in told {
        assert_eq!(serial, next, "in the order of the publishes");
        next += count;
    }
    assert_eq!(relay.connection_count(), 1);
}

#[test]
fn messages_count_and_not_frames() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let effects = publish_at(&mut relay, 0, 900, NOW_MS);
    assert_eq!(sums(&settle(&mut relay, effects, NOW_MS)), (1, 0));
    let effects = publish_at(&mut relay, 1, 900, NOW_MS);
    assert_eq!(sums(&settle(&mut relay, effects, NOW_MS)), (1, 0), "the last within a burst may exceed it");
    let refused = publish_at(&mut relay, 2, 1, NOW_MS);
    let frame: Value = serde_json::from_str(&frames(&refused, 1)[0]).unwrap();
    assert_eq!(frame["error"]["code"], Code::PublishRateLimited.number());
    assert_eq!(frame["error"]["statusCode"], 429);
    let later_ms = NOW_MS + (1_800 - BURST) * 1_000 / MESSAGE_FLOW.per_second;
    assert_eq!(frames(&publish_at(&mut relay, 3, 1, later_ms), 1).len(), 1, "not yet");
    let effects = publish_at(&mut relay, 4, 1, later_ms + 4);
    assert_eq!(sums(&settle(&mut relay, effects, later_ms)), (1, 0));
}

#[test]
fn what_members_do_counts_and_so_does_what_cannot_be_read() {
    for frame in [
        r#"{"action":14,"channel":"room","msgSerial":0,"presence":[{"action":2,"clientId":"a"}]}"#,
        r#"{"action":15,"channel":"room","msgSerial":0,"messages":[]}"#,
        r#"{"action":15,"channel":":none","msgSerial":0,"messages":[{}]}"#,
        r#"{"action":15,"channel":"room","msgSerial":0,"messages":5}"#,
        r#"{"action":14,"channel":"room","msgSerial":0,"presence":[5]}"#,
    ] {
        let mut relay = relay();
        connect(&mut relay, 1);
        let mut codes: Vec<u64> = Vec::new();
        for _ in 0..=BURST {
            let told = frames(&send(&mut relay, 1, frame), 1);
            codes.extend(told.iter().map(|text| {
                let frame: Value = serde_json::from_str(text).unwrap();
                frame["error"]["code"].as_u64().unwrap()
            }));
        }
        let limited = u64::from(Code::PublishRateLimited.number());
        let last = codes.pop();
        assert_eq!(last, Some(limited), "{frame}");
        assert!(!codes.contains(&limited), "{frame}");
    }
}

/// SDKs do not measure what members say of themselves.
#[test]
fn what_is_too_large_to_be_read_is_refused_and_counts_as_its_bytes() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let large = "x".repeat(FRAME_MAX_BYTES);
    let codes: Vec<u64> = (0..BURST / 9 + 2)
        .map(|serial| {
            let enter = json!({"action": 14, "channel": "room", "msgSerial": serial, "presence": [{"data": large}]});
            let effects = relay.frame(SocketId(1), enter.to_string().as_bytes(), Format::Json, NOW_MS);
            let frame: Value = serde_json::from_str(&frames(&effects, 1)[0]).unwrap();
            assert_eq!((&frame["action"], &frame["msgSerial"]), (&json!(2), &json!(serial)));
            frame["error"]["code"].as_u64().unwrap()
        })
        .collect();
    assert_eq!((codes[0], codes[codes.len() - 2], codes[codes.len() - 1]), (40009, 40009, 42911));
}

/// Its bound is not each connection's alone, whatever it says there.
#[test]
fn what_a_client_says_counts_over_its_connections() {
    let operation = json!({"action": 1, "objectId": "root", "mapSet": {"key": "k", "value": {"number": 1}}});
    for said in [
        json!({"action": 15, "channel": "room", "messages": vec![json!({"data": "x"}); BURST as usize]}),
        json!({"action": 19, "channel": "room", "state": vec![json!({"operation": operation}); BURST as usize]}),
    ] {
        let mut relay = relay();
        for socket in [1, 2] {
            let ann = Grant { basic: false, client_id: Identity::Named("ann".into()), ..grant() };
            let opening = Opening::from_query(ann, &[], true);
            relay.open(SocketId(socket), opening, format!("connection{socket}"), NOW_MS);
        }
        let mut frame = said;
        frame["msgSerial"] = json!(0);
        assert!(frames(&send(&mut relay, 1, &frame.to_string()), 1).is_empty(), "it is taken in");
        let told = frames(&send(&mut relay, 2, &frame.to_string()), 2);
        let refused: Value = serde_json::from_str(&told[0]).unwrap();
        assert_eq!(refused["error"]["code"], Code::PublishRateLimited.number(), "{refused}");
    }
}

/// What is refused for another reason was no message: of a list of too many, one counts.
#[test]
fn what_is_refused_counts_as_one() {
    let mut relay = relay();
    connect(&mut relay, 1);
    for serial in 0..3 {
        let refused: Value =
            serde_json::from_str(&frames(&publish_at(&mut relay, serial, 1_001, NOW_MS), 1)[0]).unwrap();
        assert_eq!(refused["error"]["code"], Code::TooManyMessages.number());
    }
}

/// A client sends again all that it was not told of. To refuse what may be published already would be a lie.
#[test]
fn what_is_said_again_after_a_resume_counts_once() {
    let mut relay = relay();
    let key = key(&frames(&connect(&mut relay, 1), 1)[0]);
    let first = publish_at(&mut relay, 0, 1, NOW_MS);
    let second_ms = NOW_MS + 2_000;
    (1..BURST).for_each(|serial| drop(publish_at(&mut relay, serial, 1, NOW_MS)));
    (BURST..BURST + 500).for_each(|serial| drop(publish_at(&mut relay, serial, 1, second_ms)));
    relay.lost(SocketId(1), second_ms);
    resume(&mut relay, 1, &key);
    // All of them, and one more than a burst of others.
    let all = BURST + 500 + BURST + 1;
    (0..all).for_each(|serial| drop(publish_at(&mut relay, serial, 1, second_ms)));
    let told = settle(&mut relay, first, second_ms);
    assert_eq!(sums(&told), (all - 1, 1));
    assert_eq!(told.last().map(|(action, serial, _)| (*action, *serial)), Some((2, all - 1)));
}

/// Only what was taken in before is said again. A new message is none, though the relay owes an answer: it would pass
/// slow mode and every rate, once for each reconnect.
#[test]
fn what_is_new_after_a_resume_counts() {
    let ann = || Grant { basic: false, client_id: Identity::Named("ann".into()), ..grant() };
    let open = |relay: &mut Relay, socket: u32, query: &[(String, String)]| {
        relay.open(SocketId(socket), Opening::from_query(ann(), query, true), "connection1".to_owned(), NOW_MS)
    };
    let slow = || Ban { since_ms: NOW_MS, until_ms: None, interval_ms: Some(60_000), ..Ban::lifted("ann", None) };
    let say = |channel: &str, serial: u64, id: Option<&str>| {
        let message = json!({"data": "x", "id": id});
        json!({"action": 15, "channel": channel, "msgSerial": serial, "messages": [message]}).to_string()
    };
    let (first, second) = (say("room", 2, None), say("hall", 3, Some("second")));
    for (third, is_repeat) in [
        (first.clone(), true),
        (second.clone(), true),
        (say("room", 3, Some("second")), false),
        (say("hall", 4, Some("third")), false),
        (say("hall", 3, Some("third")), false),
        (say("hall", 1, None), false),
    ] {
        let mut relay = relay();
        relay.ban(vec![slow()], NOW_MS);
        let key = key(&frames(&open(&mut relay, 1, &[]), 1)[0]);
        for said in [first.as_str(), &second, r#"{"action":5}"#] {
            assert!(frames(&send(&mut relay, 1, said), 1).is_empty(), "it is taken in");
        }
        open(&mut relay, 2, &[("resume".to_owned(), key)]);
        let told = frames(&send(&mut relay, 2, &third), 2);
        assert_eq!(told.is_empty(), is_repeat, "{third} {told:?}");
        assert!(told.iter().all(|told| told.contains("42911")), "{third} {told:?}");
    }
}

/// Each waits behind the first, and has an error of its own.
/// While the first are being stored, on a busy server: one in four milliseconds is taken in, and all others are alike.
#[test]
fn a_flood_that_waits_for_its_answers_goes_on() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let first = publish_at(&mut relay, 0, BURST, NOW_MS);
    for serial in 1..=400 {
        publish_at(&mut relay, serial, 1, NOW_MS + serial);
    }
    assert_eq!(relay.connection_count(), 1);
    let (acknowledged, refused) = sums(&settle(&mut relay, first, NOW_MS + 400));
    assert_eq!(acknowledged + refused, 401);
    assert!(refused > REFUSALS_WAITING_MAX as u64, "{refused} of one millisecond each");
}

#[test]
fn who_is_refused_without_end_is_told_to_come_back() {
    let mut relay = relay();
    connect(&mut relay, 1);
    publish_at(&mut relay, 0, 1, NOW_MS);
    let refusal = |relay: &mut Relay, serial: u64| {
        let channel = if serial.is_multiple_of(2) { ":none" } else { "[meta]log" };
        let frame = json!({"action": 15, "channel": channel, "msgSerial": serial, "messages": [{}]}).to_string();
        send(relay, 1, &frame)
    };
    for serial in 1..=REFUSALS_WAITING_MAX as u64 {
        assert_eq!(frames(&refusal(&mut relay, serial), 1), [] as [String; 0]);
    }
    let told: Value = serde_json::from_str(&frames(&refusal(&mut relay, 1_000), 1)[0]).unwrap();
    assert_eq!((&told["action"], &told["error"]["code"]), (&6.into(), &42910.into()));
    assert_eq!(relay.connection_count(), 0);
}

/// A client whose channel fails on every message attaches again at once, for ever.
#[test]
fn a_connection_that_attaches_in_a_loop_is_slowed_down_and_goes_on() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let attach = |relay: &mut Relay, now_ms: u64| {
        let effects = relay.frame(SocketId(1), br#"{"action":10,"channel":"room"}"#, Format::Json, now_ms);
        let told: Vec<Value> = frames(&effects, 1).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        told.first().map(|frame| (frame["action"].as_u64(), frame["error"]["code"].as_u64()))
    };
    let (ticket, _) = call(&relay.frame(SocketId(1), br#"{"action":10,"channel":"room"}"#, Format::Json, NOW_MS));
    relay.answered(ticket, subscribed(5_000), NOW_MS);
    for _ in 1..ATTACH_FLOW.burst {
        assert_eq!(attach(&mut relay, NOW_MS), Some((Some(11), None)));
    }
    assert_eq!(attach(&mut relay, NOW_MS), Some((Some(13), Some(42910))), "it is detached, not failed");
    let (_, effects) = relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    assert_eq!(frames(&effects, 1), [""; 0], "and nothing comes");
    let publish = br#"{"action":15,"channel":"other","msgSerial":0,"messages":[{"data":"x"}]}"#;
    call(&relay.frame(SocketId(1), publish, Format::Json, NOW_MS));
    let second = NOW_MS + 1_000;
    let told: Vec<_> = (0..2 * ATTACH_FLOW.per_second).map(|_| attach(&mut relay, second)).collect();
    let refused = told.iter().filter(|told| **told == Some((Some(13), Some(42910)))).count() as u64;
    assert_eq!(refused, ATTACH_FLOW.per_second, "{told:?}");
}

/// To say who is there makes the channel read its members, page after page.
#[test]
fn a_connection_that_asks_for_members_in_a_loop_is_slowed_down_as_one_that_attaches() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (ticket, _) = call(&send(&mut relay, 1, r#"{"action":10,"channel":"room"}"#));
    relay.answered(ticket, subscribed(5_000), NOW_MS);
    let sync = |relay: &mut Relay| frames(&send(relay, 1, r#"{"action":16,"channel":"room"}"#), 1).concat();
    assert!((1..ATTACH_FLOW.burst).all(|_| sync(&mut relay).contains(r#""action":16"#)));
    let told = sync(&mut relay);
    assert!(told.contains(r#""action":13"#) && told.contains("42910"), "{told}");
}

/// A token makes the relay look at all channels of its connection.
#[test]
fn a_connection_that_brings_tokens_in_a_loop_is_told_to_come_back() {
    let key = KeyName::parse("demo.key").unwrap();
    let request = TokenRequest::from_value(&json!({"keyName": key})).unwrap();
    let authority = Grant::of_key(key.clone(), Capability::full());
    let token = request.approve(&key, Some(&app()), Some(&authority), NOW_MS).unwrap().issue([7; 8]).token;
    let auth = json!({"action": 17, "auth": {"accessToken": token}}).to_string();
    let mut relay = relay();
    connect(&mut relay, 1);
    for _ in 0..ATTACH_FLOW.burst {
        assert!(frames(&send(&mut relay, 1, &auth), 1).concat().contains(r#""action":4"#));
    }
    let told = frames(&send(&mut relay, 1, &auth), 1).concat();
    assert!(told.contains(r#""action":6"#) && told.contains("42910"), "{told}");
}
