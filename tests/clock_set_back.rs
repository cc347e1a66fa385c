//! A relay whose clock is set back: what it has to send to clients is not held up, and nobody is cut off for it.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::base::rate::Flow;
use courtside::limits::HEARTBEAT_INTERVAL_MS;
use courtside::relay::bounds::Bounds;
use courtside::relay::{Effect, Relay};
use courtside::rpc::{ReadFrom, Request};

use support::bench::*;

const BACK_MS: u64 = NOW_MS / 2;

fn is_closed(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Close { .. }))
}

/// Does what is due from that time on, for so long; gives all that came of it.
fn run(relay: &mut Relay, from_ms: u64, for_ms: u64) -> Vec<Effect> {
    let mut effects = relay.tick(from_ms);
    while let Some(due_ms) = relay.deadline().filter(|due_ms| *due_ms <= from_ms + for_ms) {
        effects.extend(relay.tick(due_ms.max(from_ms)));
    }
    effects
}

#[test]
fn heartbeats_go_on() {
    let mut relay = relay();
    connect(&mut relay, 1);
    let effects = run(&mut relay, BACK_MS, HEARTBEAT_INTERVAL_MS);
    assert_eq!(frames(&effects, 1), [r#"{"action":0}"#]);
}

/// It was sent a heartbeat just now, and has all the time to answer it.
#[test]
fn who_has_a_heartbeat_to_answer_is_not_taken_for_silent() {
    let mut relay = relay();
    open(&mut relay, 1, &[("heartbeats".to_owned(), "bounce".to_owned())]);
    let pinged = run(&mut relay, NOW_MS, HEARTBEAT_INTERVAL_MS);
    let effects = relay.tick(BACK_MS);
    assert!(!is_closed(&pinged) && !is_closed(&effects), "{effects:?}");
}

#[test]
fn who_fell_behind_reads_on() {
    let mut relay = relay();
    let connection = Flow { burst: 1_000, per_second: 1_000 };
    relay.set_bounds(Bounds { connection, ..Bounds::default() });
    connect(&mut relay, 1);
    let effects = send(&mut relay, 1, r#"{"action":10,"channel":"room"}"#);
    relay.answered(call(&effects).0, subscribed(10), NOW_MS);
    (11..30).for_each(|at| drop(relay.deliver(&delivery(at - 1, &[at]), NOW_MS)));
    let (_, request) = call(&relay.tick(BACK_MS));
    assert!(matches!(request, Request::Read(ReadFrom::After { .. })), "{request:?}");
}
