//! The objects' drivers and cores in a simulated world, held against the promises of Courtside: one order for all, an
//! ACK means durable, what is repeated appears once, nothing is missed in silence, nothing hangs.
//!
//! A seed decides everything that happens, so a failure prints its seed and repeats with `SEED=n`; `TRACE=n` shows that
//! many lines of what led to it. `SEEDS=n` runs so many, from `FIRST=n` on: `npm run simulate` runs a million. `WIDE=1`
//! gives each of them many relays.

mod support {
    pub mod adversary;
    pub mod app;
    pub mod app_store;
    #[allow(dead_code, reason = "the test of changes uses more of it")]
    pub mod changes;
    pub mod changing;
    pub mod client;
    pub mod crowd;
    pub mod describe;
    pub mod disk;
    pub mod earlier_names;
    pub mod ended_keys;
    pub mod frames;
    pub mod guests;
    pub mod host;
    pub mod ledger;
    pub mod listener;
    pub mod listening;
    pub mod memory_store;
    pub mod network;
    pub mod object_operations;
    pub mod presence;
    pub mod publish;
    pub mod random;
    pub mod reconfiguring;
    pub mod replica;
    pub mod requests;
    pub mod revisions;
    pub mod sanctions;
    pub mod story;
    pub mod subscription;
    pub mod vcdiff;
    pub mod trace;
    pub mod views;
    pub mod weather;
    pub mod world;
}

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{story, trace};

/// What an unoptimized build runs in a minute on two cores.
const SEEDS: u64 = 85;

/// After how many seeds a long run says how far it is.
const PROGRESS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[test]
fn the_promises_hold_whatever_happens() {
    if let Some(seed) = number("SEED") {
        return explain(seed);
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let failed: Option<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| search(&next, first + seeds))).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("failures are caught")).min()
    });
    if let Some(seed) = failed {
        explain(seed);
        panic!("seed {seed} failed once and then did not: something other than the seed decides");
    }
}

/// Runs seeds until one fails or none is left. Gives the one that failed.
fn search(next: &AtomicU64, end: u64) -> Option<u64> {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return None;
        }
        if seed > 0 && seed.is_multiple_of(PROGRESS) {
            eprintln!("the promises held up to seed {seed}");
        }
        trace::start(false);
        if catch_unwind(|| story::run(seed)).is_err() {
            next.store(end, Ordering::Relaxed);
            return Some(seed);
        }
    }
}

/// Runs one seed with a trace, which a failure prints.
fn explain(seed: u64) {
    trace::start(true);
    match catch_unwind(|| story::run(seed)) {
        Ok(tally) => println!("seed {seed}: {tally:?}"),
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let cause = text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
            panic!("{}\n{cause}\n\nSEED={seed} cargo test --test simulation", trace::text())
        }
    }
}
