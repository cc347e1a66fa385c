//! What a channel that lost its memory makes of relays that do not answer.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::channel::{Channel, Effect};
use courtside::limits::PROBE_INTERVAL_MS;
use courtside::rpc::{LocalOccupancy, RelayName};

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
