//! What a channel that lost its memory makes of relays that do not answer.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::channel::{Channel, Effect};
use courtside::limits::{DIRECT_RELAYS_MAX, PROBE_INTERVAL_MS};
use courtside::model::flags::Modes;
use courtside::rpc::{LocalOccupancy, Probed, RelayName, Ticket};

use support::bench::*;
use support::memory_store::MemoryStore;

fn name(shard: u16) -> RelayName {
    RelayName::shard(app().id(), shard)
}

/// Relays that are asked, and with which attempt.
fn asked(effects: &[Effect]) -> Vec<(RelayName, u64)> {
    let probe = |effect: &Effect| match effect {
        Effect::Probe { relay, attempt, .. } => Some((relay.clone(), *attempt)),
        _ => None,
    };
    effects.iter().filter_map(probe).collect()
}

fn unanswered(channel: &mut Channel, store: &mut MemoryStore, effects: &[Effect], now_ms: u64) {
    for (relay, attempt) in asked(effects) {
        let next = channel.probed(store, &relay, attempt, None, now_ms);
        unanswered(channel, store, &next, now_ms);
    }
}

/// Else who listens would never be told anything again: the relay believes that the channel knows.
#[test]
fn that_nobody_listens_is_believed_of_none_that_is_silent() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    channel.subscribe(&mut store, name(0), LocalOccupancy { listeners: 1, ..LocalOccupancy::default() }).unwrap();
    channel.subscribe(&mut store, name(1), LocalOccupancy::default()).unwrap();

    let mut rebuilt = wake(&mut store);
    let effects = rebuilt.tick(&mut store, NOW_MS);
    assert_eq!(asked(&effects).len(), 2);
    unanswered(&mut rebuilt, &mut store, &effects, NOW_MS);

    let later_ms = NOW_MS + PROBE_INTERVAL_MS;
    let effects = rebuilt.tick(&mut store, later_ms);
    assert_eq!(asked(&effects).len(), 2, "it asks again");
}

fn somebody() -> LocalOccupancy {
    let mut local_occupancy = LocalOccupancy::default();
    local_occupancy.here.count(Modes::SUBSCRIBE, 1);
    local_occupancy
}

/// It left the one that had nobody off its list. That relay takes what it answers then for known, and says it once.
#[test]
fn a_relay_whose_client_came_back_between_two_questions_is_counted() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    for shard in 0..=DIRECT_RELAYS_MAX as u16 {
        channel.subscribe(&mut store, name(shard), somebody()).unwrap();
    }
    let last = name(DIRECT_RELAYS_MAX as u16);
    let answers = |local_occupancy| Some(Probed { missing: Vec::new(), local_occupancy });
    channel.probed(&mut store, &last, 1_000, answers(LocalOccupancy::default()), NOW_MS);
    channel.probed(&mut store, &last, 1_001, answers(somebody()), NOW_MS);

    channel.count(Ticket(1)).unwrap();
    let asked = asked(&channel.follow_up(&mut store, NOW_MS));
    assert!(asked.iter().any(|(relay, _)| *relay == last), "{asked:?}");
}
