//! What anybody can send, read by the code that reads it: nothing panics, and what is read means the same when it is
//! read again.
//!
//! A target and a seed decide an input, so a failure prints both and repeats with `TARGET=name SEED=n`.
//! `FUZZ_SECONDS=n` runs so long, over all targets: a few seconds without it, an hour by `npm run fuzz`.

mod capability;
mod credentials;
mod effects;
mod filter;
mod input;
#[cfg(feature = "mqtt")]
mod mqtt;
mod push;
#[cfg(feature = "pusher")]
mod pusher;
#[path = "../support/random.rs"]
mod random;
#[cfg(feature = "socketio")]
mod socketio;
mod wire;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use input::Input;

/// Without being told otherwise.
const SECONDS: u64 = 5;

/// Makes an input and has it read.
type Target = fn(&mut Input);

const TARGETS: &[(&str, Target)] = &[
    ("capability", capability::text),
    ("intersection", capability::intersection),
    ("filter", filter::expression),
    ("credentials", credentials::any),
    ("token", credentials::token),
    ("jwt", credentials::jwt),
    ("token request", credentials::token_request),
    ("push", push::json),
    ("frame", wire::frame),
    ("connection", wire::connection),
    #[cfg(feature = "pusher")]
    ("pusher", pusher::connection),
    #[cfg(feature = "socketio")]
    ("socketio", socketio::connection),
    ("request", wire::request),
    #[cfg(feature = "mqtt")]
    ("mqtt packets", mqtt::packets),
    #[cfg(feature = "mqtt")]
    ("mqtt connection", mqtt::connection),
    ("stored", wire::stored),
];

#[test]
fn whatever_is_sent_is_read_or_refused() {
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str| variable(name).map(|text| text.parse().expect("a number"));
    if let (Some(target), Some(seed)) = (variable("TARGET"), number("SEED")) {
        return explain(TARGETS.iter().position(|(name, _)| *name == target).expect("a target"), seed);
    }
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(SECONDS));
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |threads| threads.get()) {
            scope.spawn(|| search(&next, end, &failed));
        }
    });
    println!("{} inputs were read or refused", next.load(Ordering::Relaxed));
    if let Some((target, seed)) = *failed.lock().unwrap() {
        explain(target, seed);
        panic!("{} {seed} failed once and then did not: something other than the seed decides", TARGETS[target].0);
    }
}

/// Goes through the targets in turn, each with one seed after the other, until the time is over or one has failed.
fn search(next: &AtomicU64, end: Instant, failed: &Mutex<Option<(usize, u64)>>) {
    let targets = TARGETS.len() as u64;
    while Instant::now() < end && failed.lock().unwrap().is_none() {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (target, seed) = ((number % targets) as usize, number / targets);
        if catch_unwind(|| TARGETS[target].1(&mut Input::new(seed))).is_err() {
            failed.lock().unwrap().get_or_insert((target, seed));
        }
    }
}

/// Runs one input, and prints it when it fails.
fn explain(target: usize, seed: u64) {
    let (name, run) = TARGETS[target];
    let mut input = Input::new(seed);
    let result = catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut input)));
    assert!(result.is_ok(), "{}\nTARGET='{name}' SEED={seed} cargo test --test fuzz", input.made());
}
