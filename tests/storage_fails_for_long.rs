//! A channel whose storage fails for long: it tries again, though not without a pause, since each try is an alarm.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use support::bench::*;
use support::memory_store::MemoryStore;

/// Between two alarms, at the least.
const PAUSE_MS: u64 = 500;

/// Lets it try a while, from when its oldest row is due to go; then storage works again.
fn try_for_long(is_broken: bool, fail: fn(&mut MemoryStore)) {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    publish(&mut channel, &mut store, vec![numbered("a", 1)]);
    store.is_broken = is_broken;
    let mut now_ms = channel.deadline().expect("the first row is to go");
    for _ in 0..20 {
        fail(&mut store);
        channel.tick(&mut store, now_ms);
        let due_ms = channel.deadline().expect("it tries again");
        assert!(due_ms >= now_ms + PAUSE_MS, "again after {} ms", due_ms.saturating_sub(now_ms));
        assert!(due_ms <= now_ms + 60_000, "it does not give up");
        now_ms = due_ms;
    }
    assert_eq!(store.rows.len(), 2);
    store.is_broken = false;
    for _ in 0..3 {
        channel.tick(&mut store, now_ms);
        now_ms = channel.deadline().unwrap_or(now_ms).max(now_ms);
    }
    assert_eq!(store.rows.len(), 1, "and what was due is done");
}

#[test]
fn a_log_that_cannot_be_trimmed_rings_no_alarm_without_a_pause() {
    try_for_long(false, |store| store.fail_rows = true);
    try_for_long(false, |store| store.fail_meta = true);
    try_for_long(true, |_| {});
}

/// A clock that is set back meanwhile must not put it off for as long as it was ahead.
#[test]
fn the_pause_is_no_longer_when_the_clock_steps_back() {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![numbered("a", 0)]);
    publish(&mut channel, &mut store, vec![numbered("a", 1)]);
    let due_ms = channel.deadline().expect("the first row is to go");
    store.fail_rows = true;
    channel.tick(&mut store, due_ms + 3_600_000);
    channel.tick(&mut store, due_ms);
    assert_eq!(store.rows.len(), 1);
}
