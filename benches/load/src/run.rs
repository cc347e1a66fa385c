//! What the tasks of one run share. They all live on one thread, so plain cells will do.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::{Notify, Semaphore};

use crate::args::Target;
use crate::dialect::{self, Dialect};
use crate::payload::{Scanner, Stamp};

/// Violations told in words; the rest is only counted, as one fault tends to repeat at every subscriber.
const VIOLATIONS_TOLD: usize = 10;

pub struct Run {
    pub target: Target,
    pub dialect: Box<dyn Dialect>,
    pub scanner: Scanner,
    started: Instant,
    /// Per publisher: permits to put another message in flight.
    pub windows: Vec<Semaphore>,
    /// Per publisher: messages sent, and messages that the server has acknowledged.
    pub published: Vec<Cell<u64>>,
    pub acknowledged: Vec<Cell<u64>>,
    /// Per subscriber: messages received.
    pub received: Vec<Cell<u64>>,
    /// Frames with messages received, and their bytes, over all subscribers.
    pub frames: Cell<u64>,
    pub frame_bytes: Cell<u64>,
    pub publishing: Cell<bool>,
    pub measuring: Cell<bool>,
    latency_ns: RefCell<Histogram<u64>>,
    violations: RefCell<Vec<String>>,
    violation_count: Cell<u64>,
    failed: Notify,
}

impl Run {
    /// Fails when the dialect is unknown.
    pub fn new(target: Target, publishers: u32, in_flight: u32, subscribers: u32) -> Result<Rc<Run>, String> {
        let counters = |count: u32| (0..count).map(|_| Cell::new(0)).collect();
        Ok(Rc::new(Run {
            dialect: dialect::by_name(&target.dialect)?,
            target,
            scanner: Scanner::new(),
            started: Instant::now(),
            windows: shares(in_flight, publishers).map(Semaphore::new).collect(),
            published: counters(publishers),
            acknowledged: counters(publishers),
            received: counters(subscribers),
            frames: Cell::new(0),
            frame_bytes: Cell::new(0),
            publishing: Cell::new(true),
            measuring: Cell::new(false),
            latency_ns: RefCell::new(latencies()),
            violations: RefCell::default(),
            violation_count: Cell::new(0),
            failed: Notify::new(),
        }))
    }

    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.target.deadline_seconds)
    }

    pub fn arrived(&self, stamp: Stamp) {
        if self.measuring.get() {
            self.latency_ns.borrow_mut().saturating_record(self.now_ns().saturating_sub(stamp.sent_ns));
        }
    }

    pub fn latency(&self) -> Latency {
        Latency::of(&self.latency_ns.borrow())
    }

    /// Something that must not happen: the run goes on to its end or deadline, and fails.
    pub fn violation(&self, what: String) {
        self.violation_count.set(self.violation_count.get() + 1);
        if self.violations.borrow().len() < VIOLATIONS_TOLD {
            self.violations.borrow_mut().push(what);
        }
        self.failed.notify_one();
    }

    /// Ends when there was a violation.
    pub async fn failure(&self) {
        self.failed.notified().await;
    }

    pub fn violations(&self) -> Vec<String> {
        let mut told = self.violations.borrow().clone();
        let untold = self.violation_count.get() - told.len() as u64;
        if untold > 0 {
            told.push(format!("and {untold} more"));
        }
        told
    }
}

/// A histogram of nanoseconds from 1 µs to a minute, exact to a thousandth.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("valid bounds")
}

#[derive(serde::Serialize)]
pub struct Latency {
    pub samples: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Latency { samples: histogram.len(), p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), max_ms: at(1.0) }
    }
}

/// Splits `total` into `parts` that differ by one at most.
fn shares(total: u32, parts: u32) -> impl Iterator<Item = usize> {
    (0..parts).map(move |part| (total / parts + u32::from(part < total % parts)) as usize)
}

pub fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

pub fn sum(counters: &[Cell<u64>]) -> u64 {
    counters.iter().map(Cell::get).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_flight_are_shared_out() {
        assert_eq!(shares(20, 3).collect::<Vec<_>>(), [7, 7, 6]);
        assert_eq!(shares(1, 1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn latency_is_told_in_milliseconds() {
        let mut histogram = latencies();
        (1..=1_000).for_each(|millis| histogram.record(millis * 1_000_000).unwrap());
        let Latency { samples, p50_ms, p99_ms, .. } = Latency::of(&histogram);
        assert_eq!(samples, 1_000);
        assert!((p50_ms - 500.0).abs() < 1.0 && (p99_ms - 990.0).abs() < 2.0, "{p50_ms} {p99_ms}");
    }
}
