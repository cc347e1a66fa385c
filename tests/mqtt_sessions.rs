//! What sessions of MQTT's clients go on with: where each subscription is, what is not acknowledged, and what was
//! taken in.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod mqtt;
}

use courtside::base::rate::Flow;
use courtside::error::Code;
use courtside::limits::{CHANNELS_PER_CONNECTION_MAX, MQTT_TAKEN_KNOWN, MQTT_WINDOW, SESSION_RECORD_MAX_BYTES};
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::packed::Packed;
use courtside::model::revision::{Mark, Shape, Target, Version};
use courtside::model::serial::Position;
use courtside::relay::bounds::Bounds;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{Backlog, Delivery, PublishKey, ReadFrom, Request, Response, Subscribed};
use support::bench::{EPOCH, NOW_MS, call, delivery, entries, relay, subscribed};
use support::mqtt::{come, rows, say, sent, subscribe};

/// An update at this place of a message that was published long before.
fn update(position: u64) -> Entry {
    let position = Position(position);
    let version = Version {
        position,
        shape: Shape::Updated,
        number: 1,
        prior: Position(7),
        deleted_at: None,
        connection_id: None,
        client_id: None,
        description: None,
        metadata: None,
    };
    let mark = Mark { target: Target { position: Position(7), place: 0 }, version: Some(version) };
    let messages = vec![Message { data: Data::Text("changed".to_owned()), ..Message::default() }];
    let content = Content::Revised { messages, marks: vec![mark] };
    Entry { position, id: "update".to_owned(), connection_id: None, content }
}

#[test]
fn an_update_that_is_not_acknowledged_is_where_the_next_connection_begins() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    say(&mut relay, 1, b"\x40\x02\0\x01", NOW_MS);
    let entries = Packed::one(&update(5_002));
    let (_, effects) = relay.deliver(&Delivery { entries, ..delivery(5_001, &[5_002]) }, NOW_MS);
    assert_eq!(sent(&effects, 1)[0][8..10], *b"\0\x02");
    relay.lost(SocketId(1), NOW_MS);

    let (ticket, _) = call(&come(&mut relay, 2, "ann", false, NOW_MS));
    let effects = relay.answered(ticket, subscribed(5_002), NOW_MS);
    let (_, request) = call(&effects);
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(5_001), epoch: EPOCH.to_owned() }));
}

/// What was held because its client had acknowledged too little is not to wait for another word of it.
#[test]
fn who_acknowledges_all_is_sent_the_rest_when_it_has_had_the_time_to_read() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.set_bounds(Bounds { connection: Flow { burst: 1_000, per_second: 1_000 }, ..Bounds::default() });
    let last = 5_000 + MQTT_WINDOW as u64 + 2;
    relay.deliver(&delivery(5_000, &(5_001..=last).collect::<Vec<_>>()), NOW_MS);
    relay.deliver(&delivery(last, &[last + 1]), NOW_MS);
    for id in 1..=MQTT_WINDOW as u8 + 2 {
        let effects = say(&mut relay, 1, &[0x40, 2, 0, id], NOW_MS);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Call { .. })), "it is still reading");
    }
    let (_, request) = call(&relay.tick(NOW_MS + 10_000));
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(last), epoch: EPOCH.to_owned() }));
}

/// SUBACK says yes, and the client would never learn that something is missing.
#[test]
fn who_subscribes_again_to_what_has_a_gap_is_told_so() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.lost(SocketId(1), NOW_MS);
    let (ticket, _) = call(&come(&mut relay, 2, "ann", false, NOW_MS));
    say(&mut relay, 2, b"\x82\x0a\0\x01\0\0\x04room\x01", NOW_MS);
    let (ticket, _) = call(&relay.answered(ticket, subscribed(5_002), NOW_MS));
    let (epoch, through, lost) = (EPOCH.to_owned(), Position(5_002), Some(Code::ContinuityUnknown.into()));
    let (after, entries) = (Position(5_000), entries(&[]));
    let backlog = Response::Backlog(Backlog { epoch, lost, after, entries, through, more: false, members: 0 });
    let effects = relay.answered(ticket, Some(Ok(backlog)), NOW_MS);
    assert!(sent(&effects, 2).concat().starts_with(b"\xe0"), "{effects:?}");
    assert!(effects.contains(&Effect::Close { socket: SocketId(2) }), "{effects:?}");
    assert_eq!(sent(&come(&mut relay, 3, "ann", false, NOW_MS), 3)[0][2], 0, "the session is another");
}

#[test]
fn each_subscribe_to_a_channel_that_is_being_asked_has_its_answer() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let subscribe = |packet_id: u8, qos: u8| [&b"\x82\x0a\0"[..], &[packet_id], b"\0\0\x04room", &[qos]].concat();
    let (ticket, _) = call(&say(&mut relay, 1, &subscribe(1, 0), NOW_MS));
    say(&mut relay, 1, &subscribe(2, 1), NOW_MS);
    let effects = relay.answered(ticket, subscribed(5_000), NOW_MS);
    assert_eq!(sent(&effects, 1).concat(), b"\x90\x04\0\x01\0\0\x90\x04\0\x02\0\x01");

    let (ticket, _) = call(&say(&mut relay, 1, b"\x82\x0a\0\x03\0\0\x04hall\0", NOW_MS));
    say(&mut relay, 1, b"\x82\x0a\0\x04\0\0\x04hall\0", NOW_MS);
    let effects = relay.answered(ticket, Some(Err(Code::NotPermitted.into())), NOW_MS);
    assert_eq!(sent(&effects, 1).concat(), b"\x90\x04\0\x03\0\x87\x90\x04\0\x04\0\x87");
}

#[test]
fn what_is_not_acknowledged_of_a_channel_that_was_left_goes_with_it() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.deliver(&delivery(5_000, &[5_001, 5_002]), NOW_MS);
    say(&mut relay, 1, b"\xa2\x09\0\x02\0\0\x04room", NOW_MS);
    let row = rows(&relay.lost(SocketId(1), NOW_MS)).pop().and_then(|(_, row)| row).expect("a row");
    assert!(!String::from_utf8_lossy(&row).contains("room"));
}

/// Whatever it subscribed to before it published.
#[test]
fn the_record_of_a_session_fits_its_socket_however_much_it_publishes() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let topic = |number: usize| format!("{number:0>60}");
    let subscribe = |number: usize| [&b"\x82\x42\0\x01\0\0\x3c"[..], topic(number).as_bytes(), b"\0"].concat();
    for number in 0..CHANNELS_PER_CONNECTION_MAX {
        let (ticket, _) = call(&say(&mut relay, 1, &subscribe(number), NOW_MS));
        let (epoch, position, members) = ("0123456789abcdef".to_owned(), Position(1 << 53), u32::MAX as usize);
        let fed = Subscribed { epoch, position, members, reports: false, direct: true };
        relay.answered(ticket, Some(Ok(Response::Subscribed(fed))), NOW_MS);
    }
    // To a topic that is none, so that each is answered at once.
    let publish = |number: u16| [&b"\x32\x07\0\x01+"[..], &number.to_be_bytes(), b"\0x"].concat();
    let longest = |effects: Vec<Effect>| {
        let length = |effect: &Effect| if let Effect::Save { record, .. } = effect { record.len() } else { 0 };
        effects.iter().map(length).max().unwrap_or_default()
    };
    let longest = (0..=MQTT_TAKEN_KNOWN as u16)
        .map(|number| longest(say(&mut relay, 1, &publish(u16::MAX - number), NOW_MS)))
        .max();
    // Each channel may come to take nine bytes more, where its reader is ahead of the others.
    let most = SESSION_RECORD_MAX_BYTES - 9 * CHANNELS_PER_CONNECTION_MAX;
    assert!((12_000..=most).contains(&longest.unwrap_or_default()), "{longest:?}");
}

/// By which keys publishes are known to their channel.
fn keys(relay: &mut Relay, packet: &[u8]) -> Vec<PublishKey> {
    let published = |effect: Effect| match effect {
        Effect::Call { call, .. } => call.request.publishes().unwrap_or_default().to_vec(),
        _ => Vec::new(),
    };
    say(relay, 1, packet, NOW_MS).into_iter().flat_map(published).map(|publish| publish.key).collect()
}

/// Its client gave the packet id to another publish, which never came, and sends that again.
#[test]
fn another_publish_under_a_packet_id_of_before_is_not_taken_for_the_one_before() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let first = keys(&mut relay, b"\x32\x07\0\x01a\0\x01\0x");
    let again = keys(&mut relay, b"\x3a\x07\0\x01b\0\x01\0x");
    assert!(first.len() == 1 && again.len() == 1 && first != again, "{first:?} {again:?}");
}

/// A frame may hold as many packets as a client has in hand.
#[test]
fn each_refused_packet_of_a_frame_counts_by_its_own_bytes() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    let head: &[u8] = b"\x33\x8e\x27\0\x01a\0\x01\0";
    let not_retained = [head, &[b'x'; 5_000]].concat();
    let told = sent(&say(&mut relay, 1, &not_retained.repeat(MQTT_WINDOW), NOW_MS), 1).concat();
    let puback: &[u8] = b"\0\x01\x83";
    assert_eq!(told.windows(3).filter(|part| *part == puback).count(), MQTT_WINDOW);
}
