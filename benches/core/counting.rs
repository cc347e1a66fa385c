//! Counting takes a part of a commit and of a fan-out: how much, of 200 publishes that were in flight together.
//!
//!     npm run bench:core -- --bench counting
//!
//! Nothing can be switched off, so the counting is done here once more by itself: as the channel counts what it
//! commits, the relay what it gives out, and the reporter takes both in. Its time over that of the commit is the
//! overhead, and less with the frames, which are not in it.

use std::cell::RefCell;
use std::hint::black_box;

use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::serial::Position;
use courtside::stats::{Counter, Load, Reporter, Tally, Way};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

#[allow(dead_code, reason = "tests use more of it")]
#[path = "../../tests/support"]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use support::bench::{NOW_MS, numbered, publish, wake};
use support::memory_store::MemoryStore;

const IN_FLIGHT: u64 = 200;

fn commit(criterion: &mut Criterion) {
    let mut serial = 0;
    criterion.bench_function("200 publishes are committed", |bencher| {
        bencher.iter_batched(
            || {
                // A new store each time, so that none grows.
                let mut store = MemoryStore::default();
                let channel = wake(&mut store);
                serial += IN_FLIGHT;
                let publishes = (serial - IN_FLIGHT..serial).map(|serial| numbered("connection00", serial)).collect();
                (channel, store, publishes)
            },
            |(mut channel, mut store, publishes)| {
                let (places, _) = publish(&mut channel, &mut store, black_box(publishes));
                assert_eq!(places.len() as u64, IN_FLIGHT);
                (channel, store)
            },
            BatchSize::SmallInput,
        );
    });
}

fn counting(criterion: &mut Criterion) {
    let entry = |at: u64| {
        let content = Content::Messages(vec![Message { data: Data::Text("x".repeat(16)), ..Message::default() }]);
        Entry { position: Position(at), id: format!("connection00:{at}"), connection_id: None, content }
    };
    let entries: Vec<Entry> = (1..=IN_FLIGHT).map(entry).collect();
    let state = RefCell::new((Tally::default(), Tally::default(), Reporter::default(), NOW_MS));
    criterion.bench_function("200 publishes are counted", |bencher| {
        bencher.iter(|| {
            let (channel, relay, reporter, now_ms) = &mut *state.borrow_mut();
            for entry in black_box(&entries) {
                channel.add_load(Way::RealtimeIn, Load::of(entry), 1);
                channel.add_load(Way::Persisted, Load::of(entry), 1);
                relay.add_load(Way::RealtimeOut, Load::of(entry), 1);
            }
            channel.add(Counter::Commits, 1);
            channel.add(Counter::StoredBytes, 20_000);
            relay.deliver(3);
            *now_ms += 7;
            reporter.take(channel, 1, *now_ms);
            reporter.take(relay, 1, *now_ms);
            black_box(reporter.has_news())
        });
    });
}

criterion_group!(benches, commit, counting);
criterion_main!(benches);
