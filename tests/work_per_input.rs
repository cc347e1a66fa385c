//! No byte buys more than its share. What a request or a frame costs, in allocations and bytes read, does not grow with
//! what is stored or who else is there; and it grows with its own length as that does, and not as its square.
//!
//! The tables have a row for each request between objects and each action of a client. A new one has to enter them: the
//! matches that number them are exhaustive.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod allocations;
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod submissions;
}

#[path = "support/wide_paths.rs"]
mod wide_paths;

use std::collections::BTreeSet;

use courtside::auth::Source;
use courtside::base::rate::Flow;
use courtside::channel::Channel;
use courtside::limits::NAMES_PER_CHANNEL_MAX;
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::objects::operation::Action;
use courtside::model::objects::path::Path;
use courtside::model::operation::{self, Patch, Reach};
use courtside::model::presence::{MemberKey, PresenceAction, PresenceMessage};
use courtside::model::revision::Act;
use courtside::model::serial::Position;
use courtside::protocol::inbound::{self, Inbound};
use courtside::relay::bounds::Bounds;
use courtside::relay::{Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{
    AnnotationsQuery, ConnectionOutcome, HistoryQuery, Lease, LocalOccupancy, MembersQuery, ObjectsQuery,
    PresenceUpdate, Publish, PublishKey, ReadFrom, RelayName, Request, Rules, Submission, TreeQuery, VersionsQuery,
};
use serde_json::json;

use support::allocations::ALLOCATIONS;
use support::bench::*;
use support::memory_store::MemoryStore;
use support::submissions::*;

/// Commits of 60 KB: more than any page may look at, and twice that.
const COMMITS: [u64; 2] = [130, 260];

/// A channel with so many commits of messages; members enter with the first of them, a relay comes with every
/// twentieth.
fn filled(commits: u64) -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    for commit in 0..commits {
        let mut publishes: Vec<Publish> = (0..100).map(|number| padded(commit, number, 500)).collect();
        publishes.push(sets(commit, commit * 100..commit * 100 + 100));
        if commit > 0 {
            publishes.push(change(&format!("change{commit}")));
        }
        if commit < commits / 10 {
            publishes.push(events(&format!("guest{commit}"), 0, 0..100, PresenceAction::Enter));
        }
        channel.publish(Ticket(0), publishes).unwrap();
        channel.commit(&mut store, NOW_MS);
        if commit % 20 == 0 {
            channel
                .subscribe(&mut store, RelayName::shard(app().id(), commit as u16), LocalOccupancy::default())
                .unwrap();
        }
    }
    store
}

/// The same of members who do something again and again, and nobody says a message.
fn busy(commits: u64) -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    for commit in 0..commits {
        let update = events(&format!("guest{}", commit % 10), commit, 0..200, PresenceAction::Update);
        channel.publish(Ticket(0), vec![update, sets(commit, commit * 100..commit * 100 + 100)]).unwrap();
        channel.commit(&mut store, NOW_MS);
    }
    store
}

/// The same of a message that everybody has something to say of.
fn annotated(commits: u64) -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    channel.set_rules(&mut store, &Rules { mutable: true, ..rules() }).unwrap();
    channel.publish(Ticket(0), vec![padded(0, 0, 500)]).unwrap();
    channel.commit(&mut store, NOW_MS);
    for commit in 0..commits {
        let publish = |at: u64| said("crowd", commit * 100 + at, format!("member{}", commit * 100 + at), 1);
        channel.publish(Ticket(0), (0..100).map(publish).collect()).unwrap();
        channel.commit(&mut store, NOW_MS);
    }
    store
}

fn padded(connection: u64, serial: u64, bytes: usize) -> Publish {
    let mut publish = numbered(&format!("filler{connection}"), serial);
    if let Submission::Messages(messages) = &mut publish.content {
        messages[0].data = Data::Text("x".repeat(bytes));
    }
    publish
}

/// Updates the first message that [`filled`] publishes.
fn change(id: &str) -> Publish {
    let operation = operation::Operation {
        act: Act::Update,
        serial: FIRST.into(),
        patch: Patch { data: Data::Text("x".repeat(500)), ..Patch::default() },
        client_id: None,
        description: None,
        metadata: None,
        reach: Reach::Any,
    };
    let content = Submission::Operation(operation.into());
    Publish { key: PublishKey::Request(id.into()), connection_id: None, by: courtside::auth::Source::SERVER, content }
}

fn hold() -> Lease {
    Lease { relay: RelayName::shard(app().id(), 0), grace_ms: 15_000 }
}

fn events(connection_id: &str, serial: u64, members: std::ops::Range<u64>, action: PresenceAction) -> Publish {
    let event = |index: u64| PresenceMessage {
        action,
        id: format!("{connection_id}:{serial}:{index}"),
        connection_id: connection_id.into(),
        client_id: format!("member{index}"),
        data: Data::Text("x".repeat(200)),
        encoding: None,
        extras: None,
    };
    let updates = members.map(|index| PresenceUpdate { event: event(index), known: None }).collect();
    let content = Submission::Presence { lease: hold(), updates };
    Publish { key: PublishKey::Serial(serial), connection_id: Some(connection_id.into()), by: Source::SERVER, content }
}

/// What each request costs a channel, one after the other: allocations, and KB read.
fn costs_to_channel(mut store: MemoryStore, table: &[(&str, Request)]) -> Vec<usize> {
    let mut channel = wake(&mut store);
    channel.set_rules(&mut store, &Rules { mutable: true, ..rules() }).unwrap();
    // It reads what it must know of its window, and of its members.
    let first = [numbered("first", 0), events("first", 1, 0..1, PresenceAction::Enter)];
    channel.publish(Ticket(0), first.into()).unwrap();
    channel.commit(&mut store, NOW_MS);
    let mut cost = |(_, request): &(&str, Request)| {
        let (request, read_before, before) = (request.clone(), store.bytes_read, ALLOCATIONS.get());
        perform(&mut channel, &mut store, request);
        ALLOCATIONS.get() - before + (store.bytes_read - read_before) / 1024
    };
    table.iter().map(&mut cost).collect()
}

fn perform(channel: &mut Channel, store: &mut MemoryStore, request: Request) {
    match request {
        Request::Publish(publishes) => {
            channel.publish(Ticket(1), publishes).unwrap();
            drop(channel.commit(store, NOW_MS));
        }
        Request::PublishBy(standing, publishes) => {
            channel.publish_by(Ticket(1), standing, publishes).unwrap();
            drop(channel.commit(store, NOW_MS));
        }
        Request::Subscribe(relay, local_occupancy) => drop(channel.subscribe(store, relay, local_occupancy).unwrap()),
        Request::Read(from) => drop(channel.read(store, &from, NOW_MS).unwrap()),
        Request::History(query) => drop(channel.await_history(store, Ticket(1), query, NOW_MS)),
        Request::Members(query) => drop(channel.members(store, &query).unwrap()),
        Request::Count => channel.count(Ticket(1)).unwrap(),
        Request::Report(relay, local_occupancy) => _ = channel.report(store, &relay, local_occupancy).unwrap(),
        Request::Next(cursor) => drop(channel.next(store, cursor, NOW_MS).unwrap()),
        Request::Objects(query) => drop(channel.objects(store, &query).unwrap()),
        Request::Tree(query) => drop(channel.tree(store, &query).unwrap()),
        Request::Versions(query) => drop(channel.versions(store, &query, NOW_MS)),
        Request::Annotations(query) => drop(channel.annotations(store, &query, NOW_MS)),
        Request::ClientSummary(message, client) => drop(channel.client_summary(store, &message, &client, NOW_MS)),
        Request::Purge(through) => drop(channel.purge(store, through, NOW_MS).unwrap()),
    }
}

/// A new request has its place here, and needs a row below.
fn number(request: &Request) -> usize {
    match request {
        Request::Publish(_) | Request::PublishBy(..) => 0,
        Request::Subscribe(..) => 1,
        Request::Read(_) => 2,
        Request::History(_) => 3,
        Request::Members(_) => 4,
        Request::Count => 5,
        Request::Report(..) => 6,
        Request::Next(_) => 7,
        Request::Objects(_) => 8,
        Request::Tree(_) => 9,
        Request::Versions(_) => 10,
        Request::Annotations(_) => 11,
        Request::ClientSummary(..) => 12,
        Request::Purge(_) => 13,
    }
}
const REQUESTS: usize = 14;

/// Where all members have entered, though most of the messages follow.
fn behind_members() -> Position {
    Position(Position::at(NOW_MS).0 + 101 * COMMITS[1] / 10)
}

fn requests() -> Vec<(&'static str, Request)> {
    let relay = || RelayName::shard(app().id(), 1);
    let query = || HistoryQuery { forwards: true, limit: 1_000, ..HistoryQuery::default() };
    let members = || MembersQuery { limit: 1_000, ..MembersQuery::default() };
    let versions = || VersionsQuery {
        serial: FIRST.into(),
        latest: false,
        forwards: true,
        limit: 100,
        deleted: true,
        ..VersionsQuery::default()
    };
    let publish = |publish| Request::Publish(vec![publish]);
    let outcome = |id: &str, outcome| {
        let content = Submission::ConnectionOutcome { lease: hold(), outcome };
        publish(Publish {
            key: PublishKey::Request(id.into()),
            connection_id: Some("guest0".into()),
            by: Source::SERVER,
            content,
        })
    };
    let after = MemberKey { connection_id: "guest100".into(), client_id: "member5".into() };
    vec![
        ("a new message", publish(numbered("new", 0))),
        ("a message of old, that is there", publish(padded(3, 50, 500))),
        ("a message of old, that is not", publish(Publish { connection_id: Some("guest0".into()), ..numbered("", 0) })),
        ("members enter", publish(events("new", 0, 0..100, PresenceAction::Enter))),
        ("members leave", publish(events("guest0", 1, 0..100, PresenceAction::Leave))),
        ("members of old", publish(events("first", 0, 100..200, PresenceAction::Enter))),
        ("a connection is gone", outcome("gone", ConnectionOutcome::Gone)),
        ("a connection is here", outcome("here", ConnectionOutcome::Here)),
        ("a connection has left", outcome("left", ConnectionOutcome::Left)),
        ("a relay comes", Request::Subscribe(relay(), LocalOccupancy::default())),
        ("a resume", Request::Read(ReadFrom::After { position: Position::ZERO, epoch: EPOCH.into() })),
        ("a rewind", Request::Read(ReadFrom::Last { messages: 100 })),
        ("a rewind by time", Request::Read(ReadFrom::Since { time_ms: 0, messages: 1_000 })),
        ("history", Request::History(query())),
        ("history backwards", Request::History(HistoryQuery { forwards: false, ..query() })),
        ("presence history", Request::History(HistoryQuery { presence: true, ..query() })),
        ("presence history backwards", Request::History(HistoryQuery { presence: true, forwards: false, ..query() })),
        (
            "presence history where there is none",
            Request::History(HistoryQuery { presence: true, after: Some((behind_members(), 0)), ..query() }),
        ),
        ("history that waits", Request::History(HistoryQuery { wait_ms: Some(1_000), presence: true, ..query() })),
        ("members", Request::Members(members())),
        ("members behind one", Request::Members(MembersQuery { after: Some(after), ..members() })),
        ("a client", Request::Members(MembersQuery { client_id: Some("member1".into()), limit: 10, ..members() })),
        ("a connection", Request::Members(MembersQuery { connection_id: Some("guest0".into()), ..members() })),
        ("a message of old is changed", publish(change("change"))),
        ("a message as it is", Request::Versions(VersionsQuery { latest: true, ..versions() })),
        ("versions", Request::Versions(versions())),
        ("versions backwards", Request::Versions(VersionsQuery { forwards: false, ..versions() })),
        ("how many", Request::Count),
        ("a report", Request::Report(relay(), LocalOccupancy::default())),
        ("what is next for who is far behind", Request::Next(Position::ZERO)),
        ("objects", Request::Objects(ObjectsQuery::default())),
        ("objects behind one", Request::Objects(ObjectsQuery { after: Some(Box::new(amid_root())) })),
        (
            "an entry of a map",
            Request::Tree(TreeQuery { object_id: "root".into(), path: Path::parse("key1").unwrap() }),
        ),
        ("an entry is set", publish(sets(9_999, 0..1))),
        ("a map is cleared", publish(operation(10_000, Action::MapClear))),
        ("entries are set again", publish(sets(10_001, 0..100))),
        ("an annotation", publish(said("new", 7, "guest7".to_owned(), 1))),
        ("an annotation of one who said it", publish(said("guest", 8, "member5".to_owned(), 1))),
        ("annotations", Request::Annotations(AnnotationsQuery { message: FIRST.to_owned(), after: None, limit: 100 })),
        ("what a client said", Request::ClientSummary(FIRST.to_owned(), "member5".to_owned())),
        ("a part of what is purged", Request::Purge(None)),
    ]
}

#[test]
fn no_request_costs_more_because_more_is_stored() {
    let table = requests();
    let numbers: BTreeSet<usize> = table.iter().map(|(_, request)| number(request)).collect();
    assert!(numbers.into_iter().eq(0..REQUESTS), "each request has a row");
    for stores in [COMMITS.map(filled), COMMITS.map(busy)] {
        let [some, more] = stores.map(|store| costs_to_channel(store, &table));
        for ((what, _), (some, more)) in table.iter().zip(some.into_iter().zip(more)) {
            assert!(more <= some + some / 10 + 200, "{what}: {more} instead of {some}, with twice as much stored");
        }
    }
}

/// A message of which a crowd has said something: neither one more nor a reader pays for the crowd.
#[test]
fn no_annotation_costs_more_because_more_was_said() {
    let is_of_annotations = |request: &Request| match request {
        Request::Publish(publishes) => !publishes[0].annotations().is_empty(),
        other => (11..=12).contains(&number(other)),
    };
    let table: Vec<_> = requests().into_iter().filter(|(_, request)| is_of_annotations(request)).collect();
    assert_eq!(table.len(), 4);
    let [some, more] = COMMITS.map(annotated).map(|store| costs_to_channel(store, &table));
    for ((what, _), (some, more)) in table.iter().zip(some.into_iter().zip(more)) {
        assert!(more <= some + some / 10 + 200, "{what}: {more} instead of {some}, with twice as much said");
    }
}

/// Five who wait for members, on a channel where messages are published, cost a publish what one does.
#[test]
fn who_waits_costs_a_publish_what_it_adds_and_not_what_is_stored() {
    let costs = COMMITS.map(|commits| {
        let mut store = filled(commits);
        let mut channel = wake(&mut store);
        let from = courtside::model::serial::Position(channel.tip().0 - 1).serial(EPOCH);
        for ticket in 0..100 {
            let query = HistoryQuery {
                presence: true,
                forwards: true,
                limit: 1 + ticket as usize,
                from: Some(from.clone()),
                wait_ms: Some(1_000),
                ..HistoryQuery::default()
            };
            assert!(channel.await_history(&mut store, Ticket(ticket), query, NOW_MS).is_none(), "it waits");
        }
        channel.publish(Ticket(0), vec![numbered("a", 0)]).unwrap();
        channel.commit(&mut store, NOW_MS);
        store.bytes_read = 0;
        channel.publish(Ticket(0), vec![numbered("a", 1)]).unwrap();
        let before = ALLOCATIONS.get();
        channel.commit(&mut store, NOW_MS);
        (store.bytes_read, ALLOCATIONS.get() - before)
    });
    assert!(costs.iter().all(|(bytes, allocations)| *bytes == 0 && *allocations < 2_000), "{costs:?}");
}

/// To read all pages of members from a log of messages takes as many as it has room for, and finds all of them.
#[test]
fn what_a_page_had_no_room_to_look_at_is_in_the_next() {
    for forwards in [true, false] {
        let mut store = filled(COMMITS[0]);
        let mut channel = wake(&mut store);
        let (mut after, mut pages, mut found) = (None, 0, Vec::new());
        loop {
            let query = HistoryQuery { presence: true, forwards, limit: 1_000, after, ..HistoryQuery::default() };
            let page = channel.history(&mut store, &query, NOW_MS).unwrap();
            let entries = page.entries.entries().unwrap();
            found.extend(entries.iter().flat_map(|entry| entry.presence()).map(|event| event.id.clone()));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (COMMITS[0] as usize / 10 * 100, found.len()));
        assert!((2..20).contains(&pages), "{pages} pages");
    }
}

/// A relay with so many others, who are attached and wait for their publishes as this connection does.
fn crowded(others: u32) -> Relay {
    let mut relay = relay();
    let messages = Flow { burst: 1_000_000, per_second: 1 };
    relay.set_bounds(Bounds { messages, ..Bounds::default() });
    for socket in 0..=others {
        connect(&mut relay, socket);
        let effects = send(&mut relay, socket, r#"{"action":10,"channel":"room"}"#);
        if socket == 0 {
            relay.answered(call(&effects).0, subscribed(10), NOW_MS);
        }
    }
    for serial in 0..u64::from(others) {
        let frame = json!({"action": 15, "channel": "room", "msgSerial": serial, "messages": [{"data": "x"}]});
        send(&mut relay, 0, &frame.to_string());
    }
    relay
}

/// A new action has its place here, and needs a row below.
fn action(frame: &Inbound) -> usize {
    match frame {
        Inbound::Heartbeat { .. } => 0,
        Inbound::Attach { .. } => 1,
        Inbound::Detach { .. } => 2,
        Inbound::Publish(_) => 3,
        Inbound::Presence(_) => 4,
        Inbound::Sync { .. } => 5,
        Inbound::Auth { .. } => 6,
        Inbound::Disconnect => 7,
        Inbound::Close => 8,
        Inbound::Unknown => 9,
        Inbound::Refused { .. } => 10,
        Inbound::ChannelRefused { .. } => 11,
        Inbound::Pong => 12,
        Inbound::Activate => 13,
        Inbound::Objects(_) => 14,
        Inbound::Annotate(_) => 15,
    }
}
const ACTIONS: usize = 16;

/// A frame of each action; those whose length is their client's to choose, of so many parts.
fn frames_of(parts: usize) -> Vec<serde_json::Value> {
    let list = |part: fn(usize) -> serde_json::Value| (0..parts).map(part).collect::<Vec<_>>();
    let params: serde_json::Map<_, _> = (0..parts).rev().map(|at| (format!("p{at}"), json!("x"))).collect();
    vec![
        json!({"action": 0, "id": "x".repeat(parts)}),
        json!({"action": 10, "channel": "room"}),
        json!({"action": 10, "channel": "other", "params": params}),
        json!({"action": 10, "channel": "other", "flags": "x".repeat(parts)}),
        json!({"action": 12, "channel": "room"}),
        json!({"action": 15, "channel": "room", "msgSerial": 9_999, "messages": list(|_| json!({"data": "x"}))}),
        json!({"action": 15, "channel": "room", "msgSerial": 9_999, "messages": [{"extras": params}]}),
        json!({"action": 19, "channel": "room", "msgSerial": 9_999, "state": list(|_| {
            json!({"operation": {"action": 1, "objectId": "root", "mapSet": {"key": "k", "value": {"number": 1}}}})
        })}),
        json!({"action": 14, "channel": "room", "msgSerial": 9_999, "presence": list(|_| json!({"action": 2}))}),
        json!({"action": 16, "channel": "room"}),
        json!({"action": 17, "auth": {"accessToken": "x".repeat(parts)}}),
        json!({"action": 5}),
        json!({"action": 23}),
        json!({"action": 18}),
        json!({"action": 7}),
        json!({"action": 99, "anything": list(|at| json!([at]))}),
        json!({"action": 21, "channel": "room", "msgSerial": 9_999, "annotations": list(|at| json!([at]))}),
        json!({"action": 21, "channel": "room", "msgSerial": 9_999, "annotations": list(|_| json!({
            "messageSerial": "00000000001000-000@life:000", "type": "r:total.v1",
        }))}),
    ]
}

fn cost_to_relay(relay: &mut Relay, frame: &serde_json::Value) -> usize {
    let text = frame.to_string();
    let before = ALLOCATIONS.get();
    relay.frame(SocketId(0), text.as_bytes(), Format::Json, NOW_MS);
    ALLOCATIONS.get() - before
}

#[test]
fn no_frame_costs_more_because_others_are_there() {
    let table = frames_of(20);
    let read = |frame: &serde_json::Value| inbound::decode(frame.to_string().as_bytes(), Format::Json).unwrap();
    let numbers: BTreeSet<usize> = table.iter().map(|frame| action(&read(frame))).collect();
    assert!(numbers.into_iter().eq(0..ACTIONS), "each action has a row");
    for frame in table {
        let [some, more] = [200, 400].map(|others| cost_to_relay(&mut crowded(others), &frame));
        assert!(more <= some + some / 10 + 20, "{frame}: {more} instead of {some}, with twice as many others");
    }
}

#[test]
fn a_frame_costs_as_its_length_grows() {
    for (frame, longer) in frames_of(400).into_iter().zip(frames_of(800)) {
        let [some, more] = [frame, longer.clone()].map(|frame| cost_to_relay(&mut crowded(2), &frame));
        assert!(more <= some * 5 / 2 + 20, "{longer}: {more} instead of {some}, for twice its length");
    }
}

/// Each name of a channel is a frame of every delivery.
#[test]
fn one_connection_gets_a_delivery_by_few_names() {
    let mut relay = crowded(0);
    let refused = (0..199).filter(|name| {
        let attach = json!({"action": 10, "channel": format!("[?m={name}]room")});
        let told = frames(&send(&mut relay, 0, &attach.to_string()), 0);
        told.iter().any(|frame| frame.contains(r#""code":90010"#))
    });
    assert_eq!(refused.count(), 199 - (NAMES_PER_CHANNEL_MAX - 1), "it has one plain name");
    let (_, effects) = relay.deliver(&delivery(10, &[11]), NOW_MS);
    assert_eq!(frames(&effects, 0).len(), NAMES_PER_CHANNEL_MAX);
}
