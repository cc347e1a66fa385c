//! A client that lost its connection sends again all that it has no acknowledgement for: ten thousand publishes at
//! most. What it costs to know them grows as their number does, and not as its square. Counted in allocations, of which
//! each entry that is decoded makes some.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod allocations;
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::Source;
use courtside::channel::{self, Channel};
use courtside::error::Code;
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::presence::{PresenceAction, PresenceMessage, Turn};
use courtside::rpc::Ticket;
use courtside::rpc::{Lease, Outcome, PresenceUpdate, Publish, PublishKey, RelayName, Response, Submission};

use support::allocations::ALLOCATIONS;
use support::bench::*;
use support::memory_store::MemoryStore;

/// Publishes of a connection, and such as have ids of their own.
fn by_serial(number: u64) -> Publish {
    numbered("a", number)
}

fn by_id(number: u64) -> Publish {
    let mut publish = numbered("a", number);
    publish.key = PublishKey::Id(format!("id{number}"));
    if let Submission::Messages(messages) = &mut publish.content {
        messages[0].id = Some(format!("id{number}"));
    }
    publish
}

/// How many allocations it takes to know so many repeats among those of others.
fn cost(count: u64, of: fn(u64) -> Publish, wakes: bool, backwards: bool) -> usize {
    let mut store = MemoryStore::default();
    let mut channel: Channel = wake(&mut store);
    let all = || (0..count).map(of).collect::<Vec<_>>();
    let others = (0..count).map(|number| numbered("b", number));
    let mixed: Vec<Publish> = all().into_iter().zip(others).flat_map(|(one, other)| [one, other]).collect();
    let (places, _) = publish(&mut channel, &mut store, mixed);
    if wakes {
        channel = wake(&mut store);
        // It reads what it must know of its window.
        publish(&mut channel, &mut store, vec![numbered("c", 0)]);
    }
    let (mut again, mut expected) = (all(), places.into_iter().step_by(2).collect::<Vec<_>>());
    if backwards {
        again.reverse();
        expected.reverse();
    }
    let before = ALLOCATIONS.get();
    let (found, deliveries) = publish(&mut channel, &mut store, again);
    let cost = ALLOCATIONS.get() - before;
    assert_eq!((found, deliveries), (expected, Vec::new()));
    cost
}

#[test]
fn what_repeats_cost_grows_as_their_number_does() {
    for of in [by_serial, by_id] {
        for (wakes, backwards) in [(false, false), (false, true), (true, false), (true, true)] {
            let [some, more] = [100, 400].map(|count| cost(count, of, wakes, backwards));
            assert!(more < some * 5, "four times as many cost {more} instead of {some} ({wakes}, {backwards})");
        }
    }
}

fn outcomes(channel: &mut Channel, store: &mut MemoryStore, publishes: Vec<Publish>) -> Vec<Outcome> {
    channel.publish(Ticket(0), publishes).unwrap();
    let replies = channel.commit(store, NOW_MS).into_iter().filter_map(|effect| match effect {
        channel::Effect::Reply(_, answer) => Some(published(answer).outcomes),
        _ => None,
    });
    replies.flatten().collect()
}

/// Wherever the first is found: in the same commit, in memory, or in a row.
#[test]
fn an_id_with_more_messages_than_before_is_refused() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let mut more = by_id(0);
    let Submission::Messages(messages) = &mut more.content else { panic!("a publish of messages") };
    messages.push(Message::default());
    let (first, _) = publish(&mut channel, &mut store, vec![by_id(0)]);
    for wakes in [false, true] {
        if wakes {
            channel = wake(&mut store);
        }
        let outcomes = outcomes(&mut channel, &mut store, vec![by_id(0), more.clone(), by_id(1 + u64::from(wakes))]);
        assert!(
            matches!(&outcomes[0], Outcome::Accepted { position, count: 1 } if *position == first[0]),
            "{outcomes:?}"
        );
        assert!(matches!(&outcomes[1], Outcome::Refused(error) if error.code == 40031), "{outcomes:?}");
        assert!(matches!(&outcomes[2], Outcome::Accepted { .. }), "{outcomes:?}");
    }
    more.key = PublishKey::Id("of one commit".into());
    let Submission::Messages(messages) = &mut more.content else { panic!("a publish of messages") };
    messages[0].id = Some("of one commit".into());
    let mut less = more.clone();
    let Submission::Messages(messages) = &mut less.content else { panic!("a publish of messages") };
    messages.pop();
    let outcomes = outcomes(&mut channel, &mut store, vec![more, less]);
    assert!(matches!(&outcomes[1], Outcome::Refused(error) if error.code == 40031), "{outcomes:?}");
}

/// What was read to find one is not all there is once more is published.
#[test]
fn what_comes_between_repeats_is_known_when_it_comes_again() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![by_serial(0)]);
    publish(&mut channel, &mut store, vec![by_serial(0)]);
    let (first, _) = publish(&mut channel, &mut store, vec![by_serial(1)]);
    let (again, deliveries) = publish(&mut channel, &mut store, vec![by_serial(1)]);
    assert_eq!((again, deliveries), (first, Vec::new()));
}

/// A client's word that a publish is an old one is a few bytes; what is published meanwhile may be megabytes.
fn filled(rows: u64) -> (MemoryStore, Channel) {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![numbered("a", 1_000)]);
    for row in 0..rows {
        let mut filler: Vec<Publish> = (0..100).map(|number| numbered("b", row * 100 + number)).collect();
        filler.iter_mut().for_each(|publish| pad(publish, 1_000));
        publish(&mut channel, &mut store, filler);
    }
    publish(&mut channel, &mut store, vec![numbered("a", 2_000)]);
    (store, channel)
}

fn pad(publish: &mut Publish, bytes: usize) {
    if let Submission::Messages(messages) = &mut publish.content {
        messages[0].data = Data::Text("x".repeat(bytes));
    }
}

/// Presence events that claim to be old ones, of so many members in one frame.
fn late_events(serial: u64, members: usize) -> Publish {
    let event = |index: usize| PresenceMessage {
        action: PresenceAction::Enter,
        id: format!("a:{serial}:{index}"),
        connection_id: "a".into(),
        client_id: format!("member{index}"),
        data: Data::Text(String::new()),
        encoding: None,
        extras: None,
    };
    let lease = Lease { relay: RelayName::shard(app().id(), 0), grace_ms: 15_000 };
    let updates = (0..members).map(|index| PresenceUpdate { event: event(index), known: None }).collect();
    let content = Submission::Presence { lease, updates };
    Publish { key: PublishKey::Serial(serial), connection_id: Some("a".into()), by: Source::SERVER, content }
}

/// What was read of entries for these, each in a commit of its own.
fn read_for(rows: u64, late: impl Iterator<Item = Publish>) -> (usize, usize) {
    let (mut store, mut channel) = filled(rows);
    (store.bytes_read, store.keys_read) = (0, 0);
    for publish in late {
        channel.publish(Ticket(0), vec![publish]).unwrap();
        channel.commit(&mut store, NOW_MS);
    }
    (store.bytes_read, store.keys_read)
}

#[test]
fn what_claims_to_be_old_and_is_not_there_costs_no_look_at_all_that_was_published() {
    let messages = || (0..50).rev().map(|serial| numbered("a", serial));
    let events = || (0..50).rev().map(|serial| late_events(serial, 20));
    for (what, read) in [
        ("messages", [20, 40].map(|rows| read_for(rows, messages()))),
        ("events", [20, 40].map(|rows| read_for(rows, events()))),
    ] {
        let [(bytes, keys), (more_bytes, more_keys)] = read;
        assert!(more_bytes <= bytes && bytes < 2_000, "{what}: {bytes} and {more_bytes} of entries were read");
        assert!(keys <= 25 && more_keys <= 45, "{what}: the keys of {keys} and {more_keys} rows, once each");
    }
}

/// A crowd comes back at once: nothing is looked for of connections that only entered members.
#[test]
fn who_enters_again_and_never_left_costs_no_look_at_the_log() {
    let again = (3_000..3_020).map(|serial| {
        let mut publish = late_events(serial, 20);
        if let Submission::Presence { updates, .. } = &mut publish.content {
            updates.iter_mut().for_each(|update| update.known = Some(Turn { msg_serial: 0, index: 0 }));
        }
        publish
    });
    assert_eq!(read_for(20, again), (0, 0));
}

/// Whoever says again and again what others must be read to know pays for it by being refused, for now.
#[test]
fn what_is_looked_for_is_bounded_and_those_beyond_are_told_to_try_again() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    for row in 0..80 {
        let ids = (0..5).map(|number| padded_id(row * 5 + number));
        publish(&mut channel, &mut store, ids.collect());
    }
    let mut channel = wake(&mut store);
    let mut again = |now_ms: u64| {
        // Each in another row than the last.
        let outcomes = (0..400).map(|number| {
            channel.publish(Ticket(0), vec![padded_id(number % 80 * 5 + number / 80)]).unwrap();
            outcome(&channel.commit(&mut store, now_ms))
        });
        let codes: Vec<u32> = outcomes.collect();
        assert!(codes.iter().all(|code| [0, Code::Unavailable.number()].contains(code)), "{codes:?}");
        codes.iter().filter(|code| **code == 0).count()
    };
    let known = again(NOW_MS);
    assert!(known > 10 && known < 100, "{known} were looked for");
    assert!(again(NOW_MS + 1_000) > 0, "time pays");
    assert!(store.rows.len() == 80, "nothing was published again");
}

/// Of 60 KB, so that five make a row of 300 KB.
fn padded_id(number: u64) -> Publish {
    let mut publish = by_id(number);
    pad(&mut publish, 60_000);
    publish
}

/// 0, or why it was refused.
fn outcome(effects: &[channel::Effect]) -> u32 {
    effects
        .iter()
        .find_map(|effect| match effect {
            channel::Effect::Reply(_, Ok(Response::Published(published))) => match &published.outcomes[0] {
                Outcome::Accepted { .. } | Outcome::Operated { .. } => Some(0),
                Outcome::Refused(error) => Some(error.code),
            },
            _ => None,
        })
        .expect("an outcome")
}
