//! A channel that nobody uses any more lets go of its storage, and one that somebody is on does not.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::channel::{Channel, Effect};
use courtside::limits::{ACTIVE_MS, RETENTION_MS, RETENTION_SLACK_MS, SPENT_AFTER_MS};
use courtside::rpc::{Delivered, RelayName};

use support::bench::*;
use support::memory_store::MemoryStore;

const EXPIRED_MS: u64 = NOW_MS + RETENTION_MS + RETENTION_SLACK_MS;
const SPENT_MS: u64 = EXPIRED_MS + SPENT_AFTER_MS;

/// A channel with one message, that its app does not list.
fn published() -> (Channel, MemoryStore) {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![numbered("someone", 0)]);
    (channel, store)
}

/// Rings when the channel asks for it, up to a time. Relays answer what is delivered to them in this way.
fn ring_until(channel: &mut Channel, store: &mut MemoryStore, until_ms: u64, answer: Delivered) -> u64 {
    let mut now_ms = NOW_MS;
    while let Some(due_ms) = channel.deadline().filter(|due_ms| *due_ms <= until_ms) {
        now_ms = due_ms.max(now_ms);
        let mut effects = channel.tick(store, now_ms);
        while let Some(effect) = effects.pop() {
            if let Effect::Deliver { relay, attempt, .. } = effect {
                effects.extend(channel.delivered(store, &relay, attempt, Some(answer), now_ms));
            }
        }
        if channel.is_spent() {
            break;
        }
    }
    now_ms
}

#[test]
fn an_hour_after_its_last_message_has_expired_a_deserted_channel_is_spent() {
    let (mut channel, mut store) = published();
    assert!(channel.deadline().is_some_and(|due_ms| due_ms <= SPENT_MS), "an alarm is set for it");
    channel.tick(&mut store, SPENT_MS - 1);
    assert!(!channel.is_spent());
    assert_eq!(ring_until(&mut channel, &mut store, SPENT_MS, Delivered::Unsubscribed), SPENT_MS);
    assert!(channel.is_spent());
    publish(&mut channel, &mut store, vec![numbered("someone", 1)]);
    channel.tick(&mut store, NOW_MS);
    assert!(!channel.is_spent(), "what was published meanwhile is kept");
}

#[test]
fn a_relay_whose_clients_have_gone_is_found_out_and_then_the_channel_is_spent() {
    let (mut channel, mut store) = published();
    let relay = RelayName::shard(app().id(), 0);
    channel.subscribe(&mut store, relay.clone(), Default::default()).expect("it is fed");
    let until_ms = SPENT_MS + SPENT_AFTER_MS;
    assert_eq!(ring_until(&mut channel, &mut store, until_ms, Delivered::Unsubscribed), until_ms);
    assert!(channel.is_spent());
}

#[test]
fn a_channel_with_an_audience_stays_and_looks_no_more_often_than_once_an_hour() {
    let (mut channel, mut store) = published();
    channel.subscribe(&mut store, RelayName::shard(app().id(), 0), Default::default()).expect("it is fed");
    let at = Delivered::At(channel.tip());
    let day_ms = 24 * 60 * 60 * 1_000;
    ring_until(&mut channel, &mut store, SPENT_MS + day_ms, at);
    assert!(!channel.is_spent());
    assert!(channel.deadline().is_some_and(|due_ms| due_ms > SPENT_MS + day_ms - SPENT_AFTER_MS));
}

/// A call that was given up may come to the app after the next, which it must not undo.
#[test]
fn what_the_app_is_told_is_numbered_whatever_the_clock_says() {
    let (mut channel, mut store) = published();
    let (is_used, first) = channel.listing(&mut store, NOW_MS).expect("it is in use");
    channel.listed(&mut store, true, true, NOW_MS);
    channel.tick(&mut store, EXPIRED_MS);
    let (still, second) = channel.listing(&mut store, EXPIRED_MS).expect("it is in use no longer");
    channel.listed(&mut store, false, false, EXPIRED_MS);
    publish(&mut channel, &mut store, vec![numbered("someone", 1)]);
    let (again, third) =
        channel.listing(&mut store, NOW_MS + ACTIVE_MS / 2).expect("it is, by a clock that was set back");
    assert_eq!((is_used, still, again), (true, false, true));
    assert!(first < second && second < third, "{first}, {second}, {third}");
}
