//! What is published on a busy channel is gathered: into calls by its relays, and into commits by the channel.

#[allow(dead_code, reason = "other tests need more of the bench")]
#[path = "support"]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::limits::{BUSY_CALLS, BUSY_PAUSE_MS, BUSY_PUBLISHES, BUSY_READERS_PER_MS};
use courtside::model::serial::Position;
use courtside::relay;
use courtside::rpc::{Outcome, Published, Response, Ticket};

use support::bench::*;
use support::memory_store::MemoryStore;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;

/// A lone publish is written at once. Where many come, each commit waits for what else comes in its turn; a relay
/// that sends many at a time has waited already.
#[test]
fn a_commit_waits_for_more_only_while_many_calls_come() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let mut serials = 0..;
    let mut commit = |calls: usize, each: usize| {
        for call in 0..calls {
            let publishes = serials.by_ref().take(each).map(|serial| numbered("a", serial)).collect();
            channel.publish(Ticket(call as u64), publishes).expect("there is room");
        }
        channel.commit(&mut store, NOW_MS);
        channel.awaits_more()
    };
    assert!(!commit(1, BUSY_PUBLISHES));
    assert!(commit(BUSY_CALLS, 1));
    assert!(commit(1, BUSY_PUBLISHES - 1));
    assert!(!commit(1, 1));
}

/// Whoever hears of what was published answers only then: the more are sent it, the longer that takes.
#[test]
fn the_more_readers_a_busy_channel_has_the_longer_it_waits_for_the_next_publishes() {
    // With the last, longer than any pause may be.
    for readers in [1, 3 * BUSY_READERS_PER_MS as u32, 2_100 * BUSY_READERS_PER_MS as u32] {
        let mut relay = relay();
        for socket in 1..=readers {
            connect(&mut relay, socket);
            if let [.., relay::Effect::Call { ticket, .. }] = send(&mut relay, socket, ATTACH).as_slice() {
                relay.answered(*ticket, subscribed(10), NOW_MS);
            }
        }
        let message = |serial| format!(r#"{{"action":15,"channel":"room","msgSerial":{serial},"messages":[{{}}]}}"#);
        let (mut ticket, _) = call(&send(&mut relay, 1, &message(0)));
        for serial in 1..=BUSY_PUBLISHES {
            assert_eq!(send(&mut relay, 1, &message(serial)), []);
        }
        for count in [1, BUSY_PUBLISHES] {
            assert_eq!(relay.collects_until_ms(), None);
            let accepted = |index| Outcome::Accepted { position: Position(11 + index as u64), count: 1 };
            let published = Published { epoch: EPOCH.into(), outcomes: (0..count).map(accepted).collect() };
            let effects = relay.answered(ticket, Some(Ok(Response::Published(published))), NOW_MS);
            if count == 1 {
                ticket = call(&effects).0;
            }
        }
        let pause_ms = (BUSY_PAUSE_MS + u64::from(readers) / BUSY_READERS_PER_MS).min(2_000);
        assert_eq!(relay.collects_until_ms(), Some(NOW_MS + pause_ms));
    }
}
