//! Rows past their time, in whose place a busy channel writes others.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::channel::Channel;
use courtside::limits::{RETENTION_MS, RETENTION_SLACK_MS, TRIM_PAUSE_MS};
use courtside::rpc::Ticket;

use support::bench::*;
use support::memory_store::MemoryStore;

/// Ten times a second there is something new.
const EVERY_MS: u64 = 100;
/// How long rows stay at most: till they are past their time, the log is trimmed, and trimmed again.
const STAYS_MS: u64 = RETENTION_MS + RETENTION_SLACK_MS + 3 * TRIM_PAUSE_MS;
const MINUTE_MS: u64 = 60_000;

struct Busy {
    channel: Channel,
    store: MemoryStore,
    now_ms: u64,
    published: u64,
    /// It has other reasons to look around than its log, and these come now sooner, now later.
    ticks_often: bool,
}

impl Busy {
    fn begin() -> Busy {
        let mut store = MemoryStore::default();
        Busy { channel: wake(&mut store), store, now_ms: NOW_MS, published: 0, ticks_often: false }
    }

    fn publish_for(&mut self, ms: u64) {
        for _ in 0..ms / EVERY_MS {
            self.now_ms += EVERY_MS;
            self.channel.publish(Ticket(0), vec![numbered("a", self.published)]).expect("there is room");
            self.published += 1;
            self.channel.commit(&mut self.store, self.now_ms);
            let ticks = self.ticks_often && matches!(self.published % 50, 0 | 10);
            if ticks || self.channel.deadline().is_some_and(|due_ms| due_ms <= self.now_ms) {
                self.channel.tick(&mut self.store, self.now_ms);
            }
        }
    }

    /// Does what falls due soon, as long as something does.
    fn rest(&mut self) {
        while let Some(due_ms) = self.channel.deadline().filter(|due_ms| *due_ms < self.now_ms + STAYS_MS) {
            self.now_ms = self.now_ms.max(due_ms);
            self.channel.tick(&mut self.store, self.now_ms);
        }
    }

    fn lose_memory(&mut self) {
        self.channel = Channel::wake(&mut self.store, Some((&address(), &rules())), EPOCH, self.now_ms)
            .expect("the store works")
            .expect("a channel");
    }

    fn oldest_ms(&self) -> u64 {
        self.store.rows.first_key_value().expect("a row").0.time_ms()
    }
}

#[test]
fn a_busy_channel_writes_in_the_place_of_what_is_past_its_time() {
    let mut busy = Busy::begin();
    busy.publish_for(10 * MINUTE_MS);
    let written_over = busy.store.rows.values().filter(|row| row.over.is_some()).count();
    assert!(written_over * 100 > busy.store.rows.len() * 95, "{written_over} of {}", busy.store.rows.len());
    assert!(busy.oldest_ms() + STAYS_MS > busy.now_ms, "what is past its time goes");
}

#[test]
fn rows_are_not_deleted_because_the_channel_looks_after_its_readers() {
    let mut busy = Busy { ticks_often: true, ..Busy::begin() };
    busy.publish_for(10 * MINUTE_MS);
    let written_over = busy.store.rows.values().filter(|row| row.over.is_some()).count();
    assert!(written_over * 100 > busy.store.rows.len() * 95, "{written_over} of {}", busy.store.rows.len());
    assert!(busy.oldest_ms() + STAYS_MS > busy.now_ms, "what is past its time goes");
}

#[test]
fn when_a_busy_channel_falls_quiet_nothing_is_left_but_its_tip() {
    let mut busy = Busy::begin();
    busy.publish_for(10 * MINUTE_MS);
    busy.rest();
    assert_eq!(busy.store.rows.len(), 1);
    busy.publish_for(10 * MINUTE_MS);
    busy.rest();
    assert_eq!(busy.store.rows.len(), 1);
}

#[test]
fn a_channel_that_loses_its_memory_finds_what_is_past_its_time_and_lets_it_go() {
    let mut busy = Busy::begin();
    for _ in 0..20 {
        busy.publish_for(MINUTE_MS);
        busy.lose_memory();
        assert!(busy.oldest_ms() + STAYS_MS > busy.now_ms, "what is past its time goes");
    }
    busy.rest();
    assert_eq!(busy.store.rows.len(), 1);
}

#[test]
fn a_row_that_could_not_be_written_is_missed_by_nobody() {
    let mut busy = Busy::begin();
    for _ in 0..10 {
        busy.publish_for(MINUTE_MS);
        busy.store.fail_append = true;
    }
    assert!(busy.oldest_ms() + STAYS_MS > busy.now_ms, "what is past its time goes");
    busy.rest();
    assert_eq!(busy.store.rows.len(), 1);
}
