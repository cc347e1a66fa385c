//! Races that the simulation found, each told as shortly as it can be.

mod below;
#[path = "../support"]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::collections::{BTreeMap, BTreeSet};

use courtside::channel::Effect;
use courtside::error::Code;
use courtside::limits::{MEMBERS_MAX, MEMBERS_PAGE_MAX, SYNC_TURN_BYTES};
use courtside::model::data::Data;
use courtside::model::flags::HAS_PRESENCE;
use courtside::model::message::{Content, Entry};
use courtside::model::packed::Packed;
use courtside::model::presence::{PresenceAction, PresenceMessage};
use courtside::model::serial::Position;
use courtside::relay::{self, Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{
    Backlog, Delivered, Delivery, LocalOccupancy, MembersPage, ReadFrom, RelayName, Request, Response, Subscribed,
};

use support::bench::*;
use support::memory_store::MemoryStore;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;

/// A client that resumes behind 5 and catches up to 20, while its relay may not be so far.
fn catch_up(relay: &mut Relay, socket: u32) -> Vec<courtside::relay::Effect> {
    connect(relay, socket);
    let serial = Position(5).serial(EPOCH);
    let resume = format!(r#"{{"action":10,"channel":"room","channelSerial":"{serial}"}}"#);
    let (read, request) = call(&send(relay, socket, &resume));
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(5), epoch: EPOCH.into() }));
    let (after, through) = (Position(5), Position(20));
    let entries = entries(&[10, 20]);
    let backlog = Backlog { epoch: EPOCH.into(), lost: None, after, entries, through, more: false, members: 0 };
    relay.answered(read, Some(Ok(Response::Backlog(backlog))), NOW_MS)
}

/// An attachment that caught up from the log is ahead of its relay. A relay that loses its memory then must not give it
/// again what it has.
#[test]
fn an_attachment_that_is_ahead_stays_ahead_of_a_rebuilt_relay() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let effects = relay.answered(subscribe, subscribed(10), NOW_MS);
    let checkpoint = record(&effects, 1).expect("the first to be live remembers for the relay");

    let effects = catch_up(&mut relay, 2);
    let ahead = record(&effects, 2).expect("it went live");

    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(1), &checkpoint, NOW_MS);
    rebuilt.restore(SocketId(2), &ahead, NOW_MS);
    rebuilt.restored(NOW_MS);
    let (answer, effects) = rebuilt.deliver(&delivery(10, &[20, 30]), NOW_MS);
    assert_eq!(answer, Delivered::At(Position(30)));
    assert!(frames(&effects, 1)[0].contains("at 20"));
    assert!(!frames(&effects, 2)[0].contains("at 20") && frames(&effects, 2)[0].contains("at 30"));
}

/// What a client missed is gone from the log, and its relay hasn't heard yet that members came. The channel's answer
/// says so, and they lie before what the client will be given.
#[test]
fn an_attachment_that_lost_continuity_is_told_of_members_that_its_relay_knows_nothing_of() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    relay.answered(subscribe, subscribed(10), NOW_MS);
    connect(&mut relay, 2);
    let serial = Position(5).serial(EPOCH);
    let resume = format!(r#"{{"action":10,"channel":"room","channelSerial":"{serial}"}}"#);
    let (read, _) = call(&send(&mut relay, 2, &resume));
    let (lost, after, through) = (Some(Code::ContinuityUnknown.into()), Position(20), Position(20));
    let entries = entries(&[]);
    let backlog = Backlog { epoch: EPOCH.into(), lost, after, entries, through, more: false, members: 3 };
    let effects = relay.answered(read, Some(Ok(Response::Backlog(backlog))), NOW_MS);
    let attached: serde_json::Value = serde_json::from_str(&frames(&effects, 2)[0]).unwrap();
    assert_eq!(attached["error"]["code"], Code::ContinuityUnknown.number());
    assert_eq!(attached["flags"].as_u64().unwrap() as u32 & HAS_PRESENCE, HAS_PRESENCE);
    assert!(matches!(call(&effects).1, Request::Members(_)), "and is told who they are");
}

/// A connection over HTTP is lost with the relay's memory. Were it the one that remembers how far deliveries are, the
/// sockets beside it would be dropped for nothing.
#[test]
fn who_is_not_kept_remembers_nothing_for_others() {
    let mut relay = relay();
    connect_unkept(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let effects = relay.answered(subscribe, subscribed(10), NOW_MS);
    assert_eq!(record(&effects, 1), None);
    connect(&mut relay, 2);
    let checkpoint = record(&send(&mut relay, 2, ATTACH), 2).expect("it went live");

    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(2), &checkpoint, NOW_MS);
    assert_eq!(rebuilt.restored(NOW_MS), []);
    let (answer, effects) = rebuilt.deliver(&delivery(10, &[20]), NOW_MS);
    assert_eq!(answer, Delivered::At(Position(20)));
    assert!(frames(&effects, 2)[0].contains("at 20"));
}

/// A connection's publish 0 failed on its way and 1 did not. When both are sent again to a channel that lost its
/// memory, the new place of 0 bounds where 1 may be, and no row is there yet.
#[test]
fn a_repeat_is_found_though_an_earlier_publish_is_new() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (first, _) = publish(&mut channel, &mut store, vec![numbered("a", 1)]);
    let mut channel = wake(&mut store);
    let (again, _) = publish(&mut channel, &mut store, vec![numbered("a", 0), numbered("a", 1)]);
    assert_eq!(again[1], first[0]);
    assert!(again[0] > first[0]);
}

/// A delivery of an earlier subscription comes while the relay asks for another. Whoever went live on it would miss
/// what lies between it and the answer.
#[test]
fn a_relay_that_asks_to_be_fed_takes_no_delivery_before_the_answer() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    let (answer, _) = relay.deliver(&delivery(5, &[6, 7]), NOW_MS);
    assert_eq!(answer, Delivered::NotYet, "it will be told again");

    connect(&mut relay, 2);
    assert_eq!(frames(&send(&mut relay, 2, ATTACH), 2), [] as [String; 0]);
    let effects = relay.answered(subscribe, subscribed(9), NOW_MS);
    for socket in [1, 2] {
        assert!(frames(&effects, socket)[0].contains(&Position(9).serial(EPOCH)));
    }
}

/// Those who made the relay ask have gone, and others come. Had it said meanwhile that nobody listens, the channel
/// would have taken it off its list, and the answer that is under way would be believed all the same.
#[test]
fn a_relay_that_asks_to_be_fed_never_says_that_nobody_listens() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    send(&mut relay, 1, r#"{"action":12,"channel":"room"}"#);
    assert_eq!(relay.deliver(&delivery(5, &[6]), NOW_MS).0, Delivered::NotYet);
    relay.answered(subscribe, subscribed(5), NOW_MS);
    assert_eq!(relay.deliver(&delivery(5, &[6]), NOW_MS).0, Delivered::Unsubscribed);
}

/// A relay's call to be fed comes again, late: the relay is behind by a delivery that was lost. Its cursor must not
/// jump.
#[test]
fn a_late_subscription_skips_nothing() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let name = RelayName::shard(app().id(), 0);
    channel.subscribe(&mut store, name.clone(), LocalOccupancy::default()).expect("the store works");
    let (_, deliveries) = publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    let (attempt, lost) = &deliveries[0];
    channel.subscribe(&mut store, name.clone(), LocalOccupancy::default()).expect("the store works");
    channel.delivered(&mut store, &name, *attempt, None, NOW_MS);
    let effects = channel.tick(&mut store, NOW_MS + 60_000);
    let again = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Deliver { delivery, .. } if delivery.entries == lost.entries));
    assert!(again, "{effects:?}");
}

/// CONNECTED with the next key was lost with its transport, which the relay doesn't know yet, and then its memory. The
/// client comes back with the key that it has.
#[test]
fn a_key_stays_good_while_its_successor_may_be_lost() {
    let mut relay = relay();
    let first = key(&frames(&connect(&mut relay, 1), 1)[0]);
    relay.lost(SocketId(1), NOW_MS);
    let unseen = record(&resume(&mut relay, 2, &first), 2).expect("a record");
    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(2), &unseen, NOW_MS);
    let connected = &frames(&resume(&mut rebuilt, 3, &first), 3)[0];
    assert!(connected.contains(r#""connectionId":"connection1""#), "{connected}");
}

/// ... but not once the client has shown that it has the successor: two transports would take turns for ever.
#[test]
fn a_key_is_used_up_once_its_successor_was_seen() {
    let mut relay = relay();
    let first = key(&frames(&connect(&mut relay, 1), 1)[0]);
    relay.lost(SocketId(1), NOW_MS);
    resume(&mut relay, 2, &first);
    let seen = record(&send(&mut relay, 2, r#"{"action":0}"#), 2).expect("a record");
    let mut rebuilt = support::bench::relay();
    rebuilt.restore(SocketId(2), &seen, NOW_MS);
    let refused = &frames(&resume(&mut rebuilt, 3, &first), 3)[0];
    assert!(refused.contains(r#""code":80018"#), "{refused}");
}

/// Two clients have one key, and neither says anything that would prove which of them got the next one: they would take
/// the connection from each other for ever.
#[test]
fn two_silent_clients_with_one_key_do_not_take_turns() {
    let mut relay = relay();
    let first = key(&frames(&connect(&mut relay, 1), 1)[0]);
    let second = key(&frames(&resume(&mut relay, 2, &first), 2)[0]);
    let third = resume(&mut relay, 3, &first);
    assert!(frames(&third, 3)[0].contains("connection1"), "the second's CONNECTED may have been lost");
    assert_ne!(key(&frames(&third, 3)[0]), second);
    let fourth = resume(&mut relay, 4, &second);
    assert!(frames(&fourth, 4)[0].contains("80018") && frames(&fourth, 3).is_empty());
}

/// A refusal must not forget why.
#[test]
fn a_key_that_was_refused_is_refused_again() {
    let mut relay = relay();
    let first = key(&frames(&connect(&mut relay, 1), 1)[0]);
    send(&mut relay, 1, r#"{"action":7}"#);
    for socket in [2, 3] {
        assert!(frames(&resume(&mut relay, socket, &first), socket)[0].contains("80017"));
    }
    let used_up = key(&frames(&connect(&mut relay, 4), 4)[0]);
    resume(&mut relay, 5, &used_up);
    send(&mut relay, 5, r#"{"action":0}"#);
    relay.lost(SocketId(5), NOW_MS);
    for socket in [6, 7] {
        assert!(frames(&resume(&mut relay, socket, &used_up), socket)[0].contains("80018"));
    }
}

/// A channel that lost its memory guesses where its relays are, and a relay that still asks doesn't know either: nobody
/// may take the guess for knowledge.
#[test]
fn a_guess_about_a_relay_that_asks_stays_a_guess() {
    let mut store = MemoryStore::default();
    let name = RelayName::shard(app().id(), 0);
    wake(&mut store).subscribe(&mut store, name.clone(), LocalOccupancy::default()).expect("the store works");
    let mut channel = wake(&mut store);
    channel.tick(&mut store, NOW_MS);
    channel.delivered(&mut store, &name, 1, Some(Delivered::NotYet), NOW_MS);
    let effects = channel.tick(&mut store, NOW_MS + 60_000);
    assert!(matches!(effects[..], [Effect::Deliver { .. }]), "{effects:?}");
}

/// A write failed, yet the row was kept, and the disk couldn't be read at once. What is in it is published: it is fed
/// without waiting for another publish, and nobody reads it whom it will reach again.
#[test]
fn what_was_kept_though_its_write_failed_comes_once() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let name = RelayName::shard(app().id(), 0);
    let before =
        channel.subscribe(&mut store, name.clone(), LocalOccupancy::default()).expect("the store works").position;
    (store.fail_append, store.keep_failed, store.fail_load) = (true, true, true);
    channel.publish(Ticket(0), vec![numbered("a", 0)]).expect("there is room");
    let effects = channel.commit(&mut store, NOW_MS);
    assert!(matches!(effects[..], [Effect::Reply(_, Err(_))]), "{effects:?}");

    let due_ms = channel.deadline().expect("it tries again");
    let mut reader = wake(&mut store);
    let from = ReadFrom::After { position: before, epoch: EPOCH.into() };
    let read = reader.read(&mut store, &from, NOW_MS).expect("the store works");
    let read_while_stale = channel.read(&mut store, &from, NOW_MS).expect("the store works");
    assert_eq!(read_while_stale, read, "what is read ends where the reader is told that it does");
    let effects = channel.tick(&mut store, due_ms);
    assert!(
        matches!(&effects[..], [Effect::Deliver { delivery, .. }] if delivery.entries == read.entries),
        "{effects:?}"
    );
}

/// The log can't be read for a relay that is behind: that is tried again though nothing else happens.
#[test]
fn a_feed_whose_log_cannot_be_read_is_due_again() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let name = RelayName::shard(app().id(), 0);
    let before =
        channel.subscribe(&mut store, name.clone(), LocalOccupancy::default()).expect("the store works").position;
    publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    let mut channel = wake(&mut store);
    let asks = channel.tick(&mut store, NOW_MS);
    assert!(matches!(asks[..], [Effect::Deliver { attempt: 1, .. }]), "{asks:?}");
    store.fail_rows = true;
    assert_eq!(channel.delivered(&mut store, &name, 1, Some(Delivered::At(before)), NOW_MS), []);
    let due_ms = channel.deadline().expect("it tries again");
    assert!(due_ms < NOW_MS + 10_000);
    assert!(matches!(channel.tick(&mut store, due_ms)[..], [Effect::Deliver { .. }]));
}

/// Rows go only once it is stored that they are gone: else a rebuilt channel would resume over the gap.
#[test]
fn rows_go_after_the_floor_is_stored() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (first, _) = publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    publish(&mut channel, &mut store, vec![numbered("a", 1)]);
    publish(&mut channel, &mut store, vec![numbered("a", 2)]);
    store.fail_meta = true;
    channel.tick(&mut store, NOW_MS + 1_000_000);
    assert_eq!(store.rows.len(), 3);
    let due_ms = channel.deadline().expect("it tries again");
    channel.tick(&mut store, due_ms);
    assert_eq!(store.rows.len(), 1);
    let from = ReadFrom::After { position: Position(first[0].0 - 1), epoch: EPOCH.into() };
    let read = wake(&mut store).read(&mut store, &from, NOW_MS).expect("the store works");
    assert!(read.lost.is_some());
}

/// The channel couldn't reach the relay for so long that its log no longer has what comes next. Those who read it from
/// the log before that miss nothing: they must neither be told that they do, nor get it again.
#[test]
fn a_gap_concerns_only_those_who_are_behind_it() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    relay.answered(subscribe, subscribed(10), NOW_MS);
    catch_up(&mut relay, 2);
    let (_, effects) = relay.deliver(&Delivery { gap: true, ..delivery(15, &[20, 30]) }, NOW_MS);
    assert!(frames(&effects, 1)[0].contains(r#""code":90003"#));
    assert!(frames(&effects, 1)[1].contains("at 20"));
    let ahead = frames(&effects, 2);
    assert!(ahead.len() == 1 && ahead[0].contains("at 30") && !ahead[0].contains("at 20"), "{ahead:?}");
}

/// What comes while a long rewind is read is no part of it, though a page has it: nobody gives it later.
#[test]
fn a_rewind_of_several_pages_leaves_out_nothing_that_comes_meanwhile() {
    let enters = |place: u64| {
        let event = PresenceMessage {
            action: PresenceAction::Enter,
            id: format!("x:{place}:0"),
            connection_id: "x".to_owned(),
            client_id: format!("at {place}"),
            data: Data::Absent,
            encoding: None,
            extras: None,
        };
        let content = Content::Presence(vec![event]);
        Packed::one(&Entry { position: Position(place), id: format!("x:{place}"), connection_id: None, content })
    };
    let page = |after: u64, message: u64, entered: [u64; 2], more: bool| {
        let mut entries = entries(&[message]);
        entered.into_iter().for_each(|place| entries.append(&enters(place)));
        let (epoch, after, through) = (EPOCH.to_owned(), Position(after), Position(entered[1]));
        Some(Ok(Response::Backlog(Backlog { epoch, lost: None, after, entries, through, more, members: 0 })))
    };
    let mut relay = relay();
    connect(&mut relay, 1);
    let rewind = r#"{"action":10,"channel":"room","params":{"rewind":"5"}}"#;
    let (subscribe, _) = call(&send(&mut relay, 1, rewind));
    let (read, _) = call(&relay.answered(subscribe, subscribed(20), NOW_MS));
    let first = relay.answered(read, page(10, 11, [12, 13], true), NOW_MS);
    let second = relay.answered(call(&first).0, page(13, 14, [20, 21], true), NOW_MS);
    let last = relay.answered(call(&second).0, page(21, 22, [23, 24], false), NOW_MS);
    let told = [first, second, last].map(|effects| frames(&effects, 1).concat()).concat();
    let given: Vec<u64> = (10..30).filter(|place| told.contains(&format!("\"at {place}\""))).collect();
    assert_eq!(given, [11, 14, 21, 22, 23, 24], "{told}");
}

/// A page of a set of the greatest size there is.
fn members(from: usize) -> MembersPage {
    let member = |index: usize| {
        let connection_id = format!("connection{index:05}");
        let event = PresenceMessage {
            action: PresenceAction::Present,
            id: format!("{connection_id}:0:0"),
            connection_id: connection_id.clone(),
            client_id: "member".to_owned(),
            data: Data::Absent,
            encoding: None,
            extras: None,
        };
        let (id, content) = (event.id.clone(), Content::Presence(vec![event]));
        Entry { position: Position(1), id, connection_id: Some(connection_id), content }
    };
    let mut packed = Packed::default();
    let to = from + MEMBERS_PAGE_MAX;
    (from..to).for_each(|index| packed.append(&Packed::one(&member(index))));
    let next = (to < MEMBERS_MAX).then(|| member(to - 1).presence()[0].key());
    MembersPage { members: packed, next }
}

/// A hundred come at once to a channel of twenty thousand: the set is read twice at most, a turn gives out so many
/// bytes and no reader more than a page, and what is published meanwhile goes out to all between two turns.
#[test]
fn late_joiners_do_not_stand_in_the_way_of_messages() {
    const JOINERS: u32 = 100;
    let mut relay = relay();
    let mut effects = Vec::new();
    for socket in 0..JOINERS {
        connect(&mut relay, socket);
        let mut attached = send(&mut relay, socket, ATTACH);
        if socket == 0 {
            let (subscribe, _) = call(&attached);
            let present = Subscribed {
                epoch: EPOCH.into(),
                position: Position(10),
                members: MEMBERS_MAX,
                reports: false,
                direct: true,
            };
            attached = relay.answered(subscribe, Some(Ok(Response::Subscribed(present))), NOW_MS);
        }
        effects.extend(attached.into_iter().filter(|effect| matches!(effect, relay::Effect::Call { .. })));
    }
    let (mut now_ms, mut from, mut pages, mut place) = (NOW_MS, 0, 0, 10);
    let mut got = BTreeMap::new();
    loop {
        let mut in_turn = Vec::new();
        while let Some(effect) = effects.pop() {
            match effect {
                relay::Effect::Call { ticket, .. } => {
                    assert!(!effects.iter().any(is_call), "one page is read at a time");
                    effects.extend(relay.answered(ticket, Some(Ok(Response::Members(members(from)))), now_ms));
                    (from, pages) = ((from + MEMBERS_PAGE_MAX) % MEMBERS_MAX, pages + 1);
                }
                relay::Effect::Send { sockets, frame } => in_turn.push((sockets, frame)),
                _ => {}
            }
        }
        let bytes: usize = in_turn.iter().map(|(sockets, frame)| sockets.len() * frame.len()).sum();
        let longest = in_turn.iter().map(|(_, frame)| frame.len()).max().unwrap_or_default();
        assert!(bytes < SYNC_TURN_BYTES + longest, "a turn sends {bytes} bytes");
        let served: Vec<SocketId> = in_turn.into_iter().flat_map(|(sockets, _)| sockets).collect();
        let distinct: BTreeSet<&SocketId> = served.iter().collect();
        assert_eq!(distinct.len(), served.len(), "in a turn nobody gets more than a page");
        served.into_iter().for_each(|socket| *got.entry(socket).or_insert(0) += 1);
        let (answer, delivered) = relay.deliver(&delivery(place, &[place + 10]), now_ms);
        place += 10;
        assert_eq!(answer, Delivered::At(Position(place)));
        let Some(relay::Effect::Send { sockets, .. }) = delivered.last() else { panic!("no message goes out") };
        assert_eq!(sockets.len(), JOINERS as usize, "a message goes to all, between two turns");
        let Some(next_ms) = relay.collects_until_ms() else { break };
        assert!(next_ms > now_ms, "time passes between two turns");
        now_ms = next_ms;
        effects = relay.collected(now_ms);
    }
    assert_eq!(pages, 2 * MEMBERS_MAX / MEMBERS_PAGE_MAX, "for the first, and for all others");
    assert_eq!(got.len(), JOINERS as usize);
    assert!(got.values().all(|frames| *frames == MEMBERS_MAX / MEMBERS_PAGE_MAX), "each page once: {got:?}");
}

fn is_call(effect: &relay::Effect) -> bool {
    matches!(effect, relay::Effect::Call { .. })
}
