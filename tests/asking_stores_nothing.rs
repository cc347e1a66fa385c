//! A channel that is only asked leaves nothing behind; one that somebody uses, or comes back to, is stored first.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::auth::{Capability, Grant};
use courtside::channel::{Channel, Effect};
use courtside::model::name::ChannelName;
use courtside::relay::session::Opening;
use courtside::rpc::Ticket;
use courtside::rpc::{HistoryQuery, LocalOccupancy, MembersQuery, ReadFrom, RelayName};

use support::bench::*;
use support::memory_store::MemoryStore;

fn wait() -> HistoryQuery {
    HistoryQuery { limit: 10, wait_ms: Some(5_000), ..HistoryQuery::default() }
}

#[test]
fn asking_stores_nothing() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    assert!(channel.history(&mut store, &HistoryQuery { limit: 10, ..HistoryQuery::default() }, NOW_MS).is_ok());
    assert!(channel.members(&mut store, &MembersQuery { limit: 10, ..MembersQuery::default() }).is_ok());
    assert!(channel.read(&mut store, &ReadFrom::Last { messages: 10 }, NOW_MS).is_ok());
    assert!(channel.count(Ticket(1)).is_ok());
    let replies = channel.follow_up(&mut store, NOW_MS);
    assert!(matches!(replies.as_slice(), [Effect::Reply(Ticket(1), Ok(_))]), "{replies:?}");
    channel.set_rules(&mut store, &courtside::rpc::Rules { max_members: 5, ..rules() }).expect("nothing to write");
    channel.tick(&mut store, NOW_MS + 1);
    let told = channel.listing(&mut store, NOW_MS + 1);
    assert!(!told.is_some_and(|(is_used, _)| is_used), "it is not in use");
    assert!(store.meta.is_none() && store.rows.is_empty() && store.relays.is_empty(), "{store:?}");
    let woken = Channel::wake(&mut store, None, "another", NOW_MS).expect("the store works");
    assert!(woken.is_none(), "an alarm finds no channel");
}

#[test]
fn a_channel_is_stored_before_anyone_may_come_back_to_it() {
    let relay = || RelayName::from("relay:demo/0".to_owned());
    type Use = fn(&mut Channel, &mut MemoryStore, RelayName);
    let uses: [(&str, Use); 5] = [
        ("subscribes", |channel, store, relay| {
            channel.subscribe(store, relay, LocalOccupancy::default()).expect("subscribed");
        }),
        ("publishes", |channel, store, _| {
            publish(channel, store, vec![numbered("a", 0)]);
        }),
        ("waits", |channel, store, _| {
            assert!(channel.await_history(store, Ticket(1), wait(), NOW_MS).is_none());
        }),
        ("asks for what comes next, and does not wait", |channel, store, _| {
            let hurried = HistoryQuery { wait_ms: Some(0), ..wait() };
            let page = channel.await_history(store, Ticket(1), hurried, NOW_MS).expect("at once").expect("a page");
            assert!(page.next.is_some(), "it comes back with this");
        }),
        ("is below a relay that is fed", |channel, store, relay| {
            let mut local_occupancy = LocalOccupancy::default();
            local_occupancy.here.set_members(1);
            channel.report(store, &relay, local_occupancy).expect("reported");
        }),
    ];
    for (what, uses) in uses {
        let mut store = MemoryStore::default();
        let mut channel = wake(&mut store);
        uses(&mut channel, &mut store, relay());
        let again = Channel::wake(&mut store, None, "another", NOW_MS).expect("the store works");
        assert_eq!(again.expect(what).epoch(), EPOCH, "{what}");
    }
}

/// The write that begins a channel fails: nothing was promised, and the next try begins it.
#[test]
fn a_channel_whose_beginning_fails_begins_with_the_next_write() {
    let mut store = MemoryStore { fail_meta: true, ..MemoryStore::default() };
    let mut channel = wake(&mut store);
    channel.publish(Ticket(1), vec![numbered("a", 0)]).expect("there is room");
    let refused = channel.commit(&mut store, NOW_MS);
    assert!(matches!(refused.as_slice(), [Effect::Reply(Ticket(1), Err(_))]), "{refused:?}");
    assert!(store.meta.is_none() && store.rows.is_empty());
    publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    assert!(store.meta.is_some() && store.rows.len() == 1);
}

/// To ask a channel's object to hold a connection is to make that object.
#[test]
fn a_connection_is_held_by_a_channel_that_it_has_a_right_on() {
    let capability = Capability::parse(r#"{"lobby":["subscribe"],"chat:*":["history"]}"#).expect("a capability");
    let grant = Grant { capability, ..support::grant::grant() };
    let home = |named: Option<&str>, query: &[(String, String)]| {
        let opening = Opening::from_query(grant.clone(), query, true);
        let name = named.map(|name| ChannelName::parse(name).expect("a name"));
        opening.home(name).map(|name| name.as_str().to_owned())
    };
    assert_eq!(home(Some("lobby"), &[]).as_deref(), Some("lobby"));
    assert_eq!(home(Some("chat:1"), &[]).as_deref(), Some("chat:1"));
    assert_eq!(home(Some("made-up"), &[]), None);
    assert_eq!(home(None, &[]), None);
    for (channel, expected) in [("lobby", Some("lobby")), ("made-up", None)] {
        let key =
            courtside::rpc::connection_key::ConnectionKey::leading_to("abc!65535-0-AAAAAAAAAAAAAAAAAAAAAA", channel);
        assert_eq!(home(None, &[("resume".to_owned(), key)]).as_deref(), expected);
    }
}
