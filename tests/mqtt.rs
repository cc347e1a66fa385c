//! Sessions of MQTT clients at a relay: their rows, their wills, and what is sent to whom.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod mqtt;
}

use std::rc::Rc;

use courtside::auth::{App, Ban, Grant, Identity, KeyName, Revocation, Target};
use courtside::error::Code;
use courtside::limits::{CALL_ANSWER_MS, GRACE_MS, MQTT_FILTERS_MAX, MQTT_WAITING_MAX_BYTES, MQTT_WINDOW};
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::packed::Packed;
use courtside::model::serial::Position;
use courtside::protocol::mqtt::gate::packets as packets_of;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{
    Answer, Backlog, Delivery, Outcome, Publish, PublishKey, Published, ReadFrom, RelayName, Request, Response, Ticket,
};
use serde_json::json;
use support::bench::{EPOCH, NOW_MS, address, call, delivery, entries, relay, subscribed};
use support::grant::grant;
use support::mqtt::{ANN, come, come_by, opening_for, rows, say, sent, subscribe};

/// A relay of an app whose channels keep their last message.
fn relay_that_keeps_the_last() -> Relay {
    let namespaces = json!([{"id": "room", "persistLast": true}]);
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": namespaces})).expect("an app");
    Relay::new(RelayName::shard(&address().app, 0), 0, Rc::new(app), b"secret".to_vec())
}

fn backlog(after: u64, places: &[u64]) -> Option<Answer<Response>> {
    let (epoch, through) = (EPOCH.to_owned(), Position(*places.last().expect("places")));
    let (lost, after, entries) = (None, Position(after), entries(places));
    Some(Ok(Response::Backlog(Backlog { epoch, lost, after, entries, through, more: false, members: 0 })))
}

/// The messages that a client of version 5 is sent with QoS 1: whether each is retained, and its payload.
fn told(effects: &[Effect], socket: u32) -> Vec<(bool, String)> {
    let packets: Vec<u8> = sent(effects, socket).concat();
    let messages = packets_of(&packets).into_iter().filter(|(first, _)| first >> 4 == 3);
    let told = messages.map(|(first, body)| {
        let behind_id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]])) + 2;
        let payload = &body[behind_id + 1 + usize::from(body[behind_id])..];
        (first & 1 == 1, String::from_utf8(payload.to_vec()).expect("text"))
    });
    told.collect()
}

/// What is published: wills, where nobody else publishes.
fn wills(effects: &[Effect]) -> Vec<Publish> {
    let published = |effect: &Effect| match effect {
        Effect::Call { call, .. } => call.request.publishes().unwrap_or_default().to_vec(),
        _ => Vec::new(),
    };
    effects.iter().flat_map(published).collect()
}

/// By which keys publishes are known to their channel.
fn keys(effects: &[Effect]) -> Vec<PublishKey> {
    wills(effects).into_iter().map(|publish| publish.key).collect()
}

/// The record of a connection, as it was written last.
fn record(effects: &[Effect], of: u32) -> Vec<u8> {
    let record = |effect: &Effect| match effect {
        Effect::Save { socket, record } if *socket == SocketId(of) => Some(record.clone()),
        _ => None,
    };
    effects.iter().rev().find_map(record).expect("a record")
}

/// A relay that was killed, with what it stored.
fn killed(rows: Vec<(String, Option<Vec<u8>>)>, now_ms: u64) -> (Relay, Vec<Effect>) {
    let mut relay = relay();
    relay.found_kept(rows.into_iter().filter_map(|(id, row)| Some((id, row?))).collect());
    let effects = relay.restored(now_ms);
    (relay, effects)
}

#[test]
fn readers_who_ask_for_nothing_share_a_frame_and_others_have_numbers() {
    let mut relay = relay();
    for (socket, qos) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        come(&mut relay, socket, &format!("c{socket}"), false, NOW_MS);
        subscribe(&mut relay, socket, qos, NOW_MS);
    }
    let (_, effects) = relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    let shared = effects.iter().filter(|effect| matches!(effect, Effect::Send { sockets, .. } if sockets.len() == 2));
    assert_eq!(shared.count(), 1);
    assert_eq!(sent(&effects, 1)[0][0], 0x30);
    assert_eq!(sent(&effects, 3)[0][..10], *b"\x32\x12\0\x04room\0\x01");
}

#[test]
fn a_killed_relay_publishes_wills_when_their_clients_had_time_to_come_back() {
    let stored = rows(&come(&mut relay(), 1, "ann", true, NOW_MS));
    let (mut relay, effects) = killed(stored, NOW_MS);
    assert_eq!(wills(&effects), []);
    let due_ms = relay.deadline().expect("something is due");
    assert_eq!(due_ms, NOW_MS + GRACE_MS);
    let effects = relay.tick(due_ms);
    let published = wills(&effects);
    assert_eq!(published[0].messages()[0].data, Data::Text("off".to_owned()));
    assert_eq!(published[0].key, PublishKey::Request("will!connection1".to_owned()));
    assert_eq!(wills(&relay.tick(due_ms + 1)), [], "once");
    assert_eq!(wills(&killed(rows(&effects), due_ms + 1).1), published, "again, where nobody has answered");
    let outcomes = vec![Outcome::Accepted { position: Position(1), count: 1 }];
    let accepted = Response::Published(Published { epoch: EPOCH.to_owned(), outcomes });
    let effects = relay.answered(call(&effects).0, Some(Ok(accepted)), due_ms + 1);
    assert_eq!(wills(&killed(rows(&effects), due_ms + 2).1), []);
}

#[test]
fn a_client_that_comes_back_to_a_killed_relay_has_its_session_and_no_will_is_published() {
    let mut first = relay();
    come(&mut first, 1, "ann", true, NOW_MS);
    let stored = rows(&subscribe(&mut first, 1, 1, NOW_MS));
    let (mut relay, _) = killed(stored, NOW_MS);
    let effects = come(&mut relay, 2, "ann", true, NOW_MS + 1);
    assert_eq!(sent(&effects, 2)[0][2], 1, "the session is present");
    assert_eq!(wills(&relay.tick(NOW_MS + GRACE_MS + 2)), []);
}

/// CONNACK may be lost, and with it that the session is new: its client would take it for the one that it had.
#[test]
fn a_session_is_said_to_be_there_once_its_client_has_said_something() {
    let mut relay = relay();
    let is_there = |relay: &mut Relay, socket| sent(&come(relay, socket, "ann", false, NOW_MS), socket)[0][2] == 1;
    for socket in [1, 2] {
        assert!(!is_there(&mut relay, socket));
        relay.lost(SocketId(socket), NOW_MS);
    }
    assert!(!is_there(&mut relay, 3));
    let stored = rows(&say(&mut relay, 3, b"\xc0\0", NOW_MS));
    relay.lost(SocketId(3), NOW_MS);
    assert!(is_there(&mut relay, 4));
    assert!(is_there(&mut killed(stored, NOW_MS).0, 5), "also if the relay was killed");
}

/// Else it would go on without what it was told that it has, should the relay be killed.
#[test]
fn a_row_that_could_not_be_written_is_written_with_what_happens_next() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let failed = rows(&subscribe(&mut relay, 1, 1, NOW_MS));
    assert!(!failed.is_empty());
    relay.not_kept(&failed);
    assert_eq!(rows(&relay.tick(NOW_MS + 1)), failed);
    assert_eq!(rows(&relay.tick(NOW_MS + 2)), []);
    let removed = vec![(ANN.to_owned(), None)];
    relay.not_kept(&removed);
    relay.lost(SocketId(1), NOW_MS + 2);
    let over_ms = relay.deadline().expect("the session ends");
    assert_eq!(rows(&relay.tick(over_ms)), removed);
    relay.not_kept(&removed);
    assert_eq!(rows(&relay.tick(over_ms + 1)), removed);
}

#[test]
fn a_channel_that_cannot_be_reached_costs_the_connection_and_not_the_session() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.lost(SocketId(1), NOW_MS);
    come(&mut relay, 2, "ann", false, NOW_MS);
    let effects = relay.tick(NOW_MS + CALL_ANSWER_MS);
    assert!(effects.contains(&Effect::Close { socket: SocketId(2) }), "{effects:?}");
    let again = come(&mut relay, 3, "ann", false, NOW_MS + CALL_ANSWER_MS);
    assert_eq!(sent(&again, 3)[0][2], 1);
    assert!(again.iter().any(|effect| matches!(effect, Effect::Call { .. })), "it is subscribed again: {again:?}");
}

/// The row of a session is not written for each publish.
#[test]
fn what_comes_again_to_a_killed_relay_is_not_taken_for_what_it_took_behind_its_row() {
    let mut first = relay();
    come(&mut first, 1, "ann", false, NOW_MS);
    let said = say(&mut first, 1, b"\x32\x07\0\x01a\0\x01\0x", NOW_MS);
    let (known, stored) = (keys(&said), rows(&said));
    assert_eq!(known.len(), 1);
    assert_eq!(rows(&say(&mut first, 1, b"\x32\x07\0\x01b\0\x02\0y", NOW_MS)), []);
    let (mut relay, _) = killed(stored, NOW_MS);
    assert_eq!(sent(&come(&mut relay, 2, "ann", false, NOW_MS + 1), 2)[0][2], 1);
    let again = keys(&say(&mut relay, 2, b"\x3a\x07\0\x01b\0\x02\0y", NOW_MS + 1));
    assert_eq!(again.len(), 1);
    assert!(!known.contains(&again[0]), "{again:?} is another publish already");
}

#[test]
fn a_relay_that_loses_its_memory_keeps_subscriptions_though_it_does_not_know_how_far_they_are() {
    let mut first = relay();
    // Whose record says how far the channel's feed is, and who is gone with the memory.
    come(&mut first, 3, "bob", false, NOW_MS);
    subscribe(&mut first, 3, 1, NOW_MS);
    come(&mut first, 1, "ann", false, NOW_MS);
    let effects = subscribe(&mut first, 1, 1, NOW_MS);
    let (stored, record) = (rows(&effects), record(&effects, 1));
    let mut relay = relay();
    relay.found_kept(vec![(ANN.to_owned(), stored.last().and_then(|(_, row)| row.clone()).expect("a row"))]);
    let effects = [relay.restore(SocketId(1), &record, NOW_MS), relay.restored(NOW_MS)].concat();
    assert!(sent(&effects, 1).iter().any(|packet| packet[0] == 0xe0), "it must come back: {effects:?}");
    relay.lost(SocketId(1), NOW_MS);
    let effects = come(&mut relay, 2, "ann", false, NOW_MS + 1);
    assert_eq!(sent(&effects, 2)[0][2], 1);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Call { .. })), "it is not subscribed: {effects:?}");
}

/// It may still acknowledge what it was sent before.
#[test]
fn a_relay_that_loses_its_memory_gives_packet_ids_that_its_clients_have_not_seen() {
    let mut first = relay();
    first.open(SocketId(1), opening_for(0, grant(), "ann", false, NOW_MS), "connection1".to_owned(), NOW_MS);
    subscribe(&mut first, 1, 1, NOW_MS);
    let id = |effects: &[Effect]| sent(effects, 1).first().map(|packet| u16::from_be_bytes([packet[8], packet[9]]));
    let (_, effects) = first.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    assert_eq!(id(&effects), Some(1));
    let kept = record(&effects, 1);

    let mut relay = relay();
    relay.restore(SocketId(1), &kept, NOW_MS);
    relay.restored(NOW_MS);
    let (_, effects) = relay.deliver(&delivery(5_001, &[5_002]), NOW_MS);
    assert_eq!(id(&effects), Some(0x100));
}

#[test]
fn a_session_ends_in_its_time() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    assert!(matches!(rows(&relay.lost(SocketId(1), NOW_MS))[..], [(_, Some(_))]));
    assert_eq!(relay.deadline(), Some(NOW_MS + 60_000));
    assert_eq!(rows(&relay.tick(NOW_MS + 60_000)), [(ANN.to_owned(), None)]);
    assert_eq!(sent(&come(&mut relay, 2, "ann", false, NOW_MS + 60_001), 2)[0][2], 0);
}

#[test]
fn a_server_that_stops_says_so_and_lets_wills_wait() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", true, NOW_MS);
    let effects = relay.send_away(1, NOW_MS);
    let told = &sent(&effects, 1)[0];
    assert_eq!((told[0], told[2]), (0xe0, 0x8b));
    assert_eq!(wills(&effects), []);
    assert_eq!(wills(&relay.tick(NOW_MS + GRACE_MS)).len(), 1, "its client did not come back");
}

#[test]
fn who_says_goodbye_leaves_no_will() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", true, NOW_MS);
    let effects = say(&mut relay, 1, b"\xe0\x00", NOW_MS);
    assert!(effects.contains(&Effect::Close { socket: SocketId(1) }));
    assert_eq!(wills(&effects), []);
    come(&mut relay, 2, "bob", true, NOW_MS);
    let effects = say(&mut relay, 2, b"\xe0\x01\x04", NOW_MS);
    assert_eq!(wills(&effects).len(), 1, "unless it asks for that");
    assert_eq!(wills(&relay.tick(NOW_MS + 2 * GRACE_MS)), []);
}

#[test]
fn nobody_says_by_a_will_what_they_may_not_say() {
    let bye = |bans: Vec<Ban>| {
        let mut relay = relay();
        relay.watch(Vec::new(), bans, NOW_MS);
        let ann = Grant { client_id: Identity::parse(Some("ann")).expect("a name"), basic: false, ..grant() };
        come_by(ann, &mut relay, 1, "ann", true, NOW_MS);
        wills(&say(&mut relay, 1, b"\xe0\x01\x04", NOW_MS)).len()
    };
    let ban = |interval_ms| Ban { interval_ms, until_ms: None, ..Ban::lifted("ann", Some("wills")) };
    assert_eq!((bye(vec![]), bye(vec![ban(Some(1_000))])), (1, 1));
    assert_eq!((bye(vec![ban(None)]), bye(vec![ban(Some(0))])), (0, 0));
}

/// Nobody asks whether they may while they are away.
#[test]
fn no_will_is_said_for_who_lost_the_right_to_since() {
    let key = |more: serde_json::Value| {
        let mut key = json!({"name": "key", "secret": "local-only"});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([key])
    };
    let said = |keys: serde_json::Value, revoked: &str| {
        let mut relay = relay();
        relay.watch(Vec::new(), Vec::new(), NOW_MS);
        let (client_id, issued_at_ms) = (Identity::parse(Some("ann")).expect("a name"), Some(NOW_MS));
        let grant = Grant { client_id, basic: false, issued_at_ms, expires_at_ms: Some(NOW_MS + 1), ..grant() };
        let stored = rows(&come_by(grant, &mut relay, 1, "ann", true, NOW_MS));
        let (mut relay, _) = killed(stored, NOW_MS);
        let app = json!({"id": "demo", "keys": keys, "namespaces": []});
        relay.reconfigure(None, Rc::new(serde_json::from_value(app).expect("an app")), NOW_MS);
        let revocation = Revocation {
            key_name: KeyName::parse("demo.key").expect("a name"),
            target: Target::ClientId(revoked.to_owned()),
            issued_before_ms: NOW_MS + 1,
            applies_at_ms: NOW_MS + 1,
        };
        relay.watch(vec![revocation], Vec::new(), NOW_MS);
        wills(&relay.tick(NOW_MS + GRACE_MS)).len()
    };
    assert_eq!(said(key(json!({})), "bob"), 1, "an expired token is no matter");
    assert_eq!(said(key(json!({})), "ann"), 0);
    assert_eq!(said(key(json!({"validUntil": NOW_MS + GRACE_MS})), "bob"), 0);
    assert_eq!(said(key(json!({"capability": {"wills": ["subscribe"]}})), "bob"), 0);
    assert_eq!(said(json!([]), "bob"), 0);
}

#[test]
fn a_row_that_cannot_be_read_stays_as_it_is() {
    let (good, damaged) = (rows(&come(&mut relay(), 1, "ann", true, NOW_MS)), vec![9, 9, 9]);
    let row = good[0].1.clone().expect("a row");
    for bytes in [damaged, [&[99], &row[1..]].concat(), row[..row.len() - 1].to_vec()] {
        let (mut relay, effects) = killed(vec![(ANN.to_owned(), Some(bytes))], NOW_MS);
        assert_eq!(rows(&effects), []);
        assert_eq!(rows(&relay.tick(NOW_MS + 1_000_000)), []);
    }
}

/// Of several publishes in one frame the first that cannot be refused in words ends the connection.
#[test]
fn who_is_told_that_the_connection_ends_is_told_nothing_more() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    // QoS 0, to a topic that is none.
    let effects = say(&mut relay, 1, &b"\x30\x05\0\x01+\0x".repeat(3), NOW_MS);
    let ends = sent(&effects, 1).iter().filter(|packet| packet[0] == 0xe0).count();
    assert_eq!(ends, 1, "{effects:?}");
    assert!(effects.contains(&Effect::Close { socket: SocketId(1) }));
}

/// With which reason a connection is sent away, if it is.
fn end_of(effects: &[Effect], socket: u32) -> Option<u8> {
    sent(effects, socket).iter().find(|packet| packet[0] == 0xe0).map(|packet| packet[2])
}

/// Each answer of a channel is looked for among them.
#[test]
fn so_many_topics_may_wait_for_their_channels() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let subscribe =
        |number: usize| [&b"\x82\x0a\0\x01\0\0\x04"[..], format!("t{number:03}").as_bytes(), b"\0"].concat();
    let all: Vec<u8> = (0..MQTT_FILTERS_MAX).flat_map(subscribe).collect();
    assert_eq!(end_of(&say(&mut relay, 1, &all, NOW_MS), 1), None);
    assert_eq!(end_of(&say(&mut relay, 1, &subscribe(0), NOW_MS), 1), Some(0x97));
}

#[test]
fn only_publishes_that_are_to_be_acknowledged_count_as_those() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let publish: &[u8] = b"\x32\x07\0\x01a\0\x01\0x";
    assert_eq!(end_of(&say(&mut relay, 1, &publish.repeat(MQTT_WINDOW), NOW_MS), 1), None);
    assert_eq!(end_of(&say(&mut relay, 1, b"\x30\x05\0\x01a\0x", NOW_MS), 1), None);
    assert_eq!(end_of(&say(&mut relay, 1, publish, NOW_MS), 1), Some(0x93));
}

#[test]
fn what_is_not_acknowledged_is_where_the_next_connection_begins() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.deliver(&delivery(5_000, &[5_001, 5_002]), NOW_MS);
    say(&mut relay, 1, b"\x40\x02\0\x01", NOW_MS);
    relay.lost(SocketId(1), NOW_MS);
    let effects = come(&mut relay, 2, "ann", false, NOW_MS + 1);
    let subscribes = effects.iter().any(|effect| matches!(effect, Effect::Call { .. }));
    assert!(subscribes, "nobody listened in between: {effects:?}");
    let stored = rows(&effects).pop().and_then(|(_, row)| row).expect("a row");
    let text = String::from_utf8_lossy(&stored).into_owned();
    assert!(text.contains(&Position(5_001).serial(EPOCH)), "{text}");
}

/// What it is given of what it missed is not there yet when it subscribes anew, also with what is retained.
#[test]
fn who_subscribes_again_loses_nothing() {
    for wants_retained in [false, true] {
        let mut relay = relay_that_keeps_the_last();
        come(&mut relay, 1, "ann", false, NOW_MS);
        subscribe(&mut relay, 1, 0x20 | 1, NOW_MS);
        relay.lost(SocketId(1), NOW_MS);
        let (ticket, _) = call(&come(&mut relay, 2, "ann", false, NOW_MS + 1));
        let reads = relay.answered(ticket, subscribed(5_002), NOW_MS + 1);
        let (first, request) = call(&reads);
        let missed = ReadFrom::After { position: Position(5_000), epoch: EPOCH.to_owned() };
        assert_eq!(request, Request::Read(missed));

        let options = if wants_retained { 1 } else { 0x20 | 1 };
        let effects = say(&mut relay, 2, &[&b"\x82\x0a\0\x01\0\0\x04room"[..], &[options]].concat(), NOW_MS + 1);
        if wants_retained {
            let (ticket, request) = call(&effects);
            assert_eq!(request, Request::Read(ReadFrom::Last { messages: 1 }));
            let effects = relay.answered(ticket, backlog(5_001, &[5_002]), NOW_MS + 1);
            assert_eq!(told(&effects, 2), [(true, "at 5002".to_owned())]);
        }
        // The same read is for all who miss the same.
        let effects = relay.answered(first, backlog(5_000, &[5_001, 5_002]), NOW_MS + 1);
        assert_eq!(told(&effects, 2), [(false, "at 5001".to_owned()), (false, "at 5002".to_owned())]);
    }
}

/// Whether its client asks for it again, or it goes on by itself.
#[test]
fn a_subscription_that_cannot_be_renewed_now_costs_the_connection_and_not_the_session() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.lost(SocketId(1), NOW_MS);
    for (socket, asks_again) in [(2, true), (3, false)] {
        let (ticket, _) = call(&come(&mut relay, socket, "ann", false, NOW_MS));
        if asks_again {
            say(&mut relay, socket, b"\x82\x0a\0\x01\0\0\x04room\x01", NOW_MS);
        }
        let code = if asks_again { Code::TimedOut } else { Code::RateLimited };
        let effects = relay.answered(ticket, Some(Err(code.into())), NOW_MS);
        assert!(effects.contains(&Effect::Close { socket: SocketId(socket) }), "{effects:?}");
    }
    let (ticket, _) = call(&come(&mut relay, 4, "ann", false, NOW_MS));
    let (_, request) = call(&relay.answered(ticket, subscribed(5_002), NOW_MS));
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(5_000), epoch: EPOCH.to_owned() }));
}

/// It had what came on the others, and acknowledged it.
#[test]
fn a_subscription_that_the_server_gives_up_does_not_take_the_others_back() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    let (ticket, _) = call(&say(&mut relay, 1, b"\x82\x0a\0\x02\0\0\x04hall\x01", NOW_MS));
    relay.answered(ticket, subscribed(5_000), NOW_MS);
    relay.lost(SocketId(1), NOW_MS);

    let [hall, room] = two_calls(&come(&mut relay, 2, "ann", false, NOW_MS));
    relay.answered(room, subscribed(5_000), NOW_MS);
    relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    say(&mut relay, 2, b"\x40\x02\0\x01", NOW_MS);
    let effects = relay.answered(hall, Some(Err(Code::TimedOut.into())), NOW_MS);
    assert!(effects.contains(&Effect::Close { socket: SocketId(2) }), "{effects:?}");

    // At once, since time passes: they are given up together.
    come(&mut relay, 3, "ann", false, NOW_MS);
    let later_ms = NOW_MS + CALL_ANSWER_MS;
    relay.tick(later_ms);

    let [hall, room] = two_calls(&come(&mut relay, 4, "ann", false, later_ms));
    for (ticket, has) in [(hall, 5_000), (room, 5_001)] {
        let (_, request) = call(&relay.answered(ticket, subscribed(5_002), later_ms));
        assert_eq!(request, Request::Read(ReadFrom::After { position: Position(has), epoch: EPOCH.to_owned() }));
    }
}

/// The calls for a client of two channels, in the order of their names.
fn two_calls(effects: &[Effect]) -> [Ticket; 2] {
    let ticket = |effect: &Effect| match effect {
        Effect::Call { ticket, call } => Some((call.to.channel.as_str().to_owned(), *ticket)),
        _ => None,
    };
    let mut calls: Vec<_> = effects.iter().filter_map(ticket).collect();
    calls.sort();
    let tickets: Vec<Ticket> = calls.into_iter().map(|(_, ticket)| ticket).collect();
    tickets.try_into().expect("two calls")
}

#[test]
fn so_much_waits_for_clients_that_acknowledge_nothing() {
    let mut relay = relay();
    let count = 130;
    for socket in 0..count {
        come(&mut relay, socket, &format!("c{socket}"), false, NOW_MS);
        subscribe(&mut relay, socket, 1, NOW_MS);
    }
    // More messages than may be on their way, of which a third waits.
    let text = Data::Text("x".repeat(3_000));
    let message = Message { data: text, ..Message::default() };
    let content = Content::Messages(vec![message; 200]);
    let entry = Entry { position: Position(5_001), id: "x".to_owned(), connection_id: None, content };
    let (prior, through) = (Position(5_000), Position(5_001));
    let delivery = Delivery {
        channel: address().channel,
        epoch: EPOCH.to_owned(),
        prior,
        through,
        gap: false,
        entries: Packed::one(&entry),
        members: 0,
    };
    let (_, effects) = relay.deliver(&delivery, NOW_MS);
    let ended = effects.iter().filter(|effect| matches!(effect, Effect::Close { .. })).count();
    let each = 72 * 3_020;
    let expected = count as usize - MQTT_WAITING_MAX_BYTES / each;
    assert!(ended.abs_diff(expected) <= 2, "{ended} of {count} were told to come back, not {expected}");
}
