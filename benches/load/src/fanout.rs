//! The fan-out scenario: set up, warm up, measure, stop, wait until everyone has everything, check.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::args::Fanout;
use crate::dialect::Role;
use crate::process;
use crate::run::{Latency, Run, sum};
use crate::socket::{self, Socket};
use crate::subscriber::Order;
use crate::{publisher, subscriber};

/// Memory is read once connections have settled.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Serialize)]
pub struct Report {
    subscribers: u32,
    publishers: u32,
    in_flight: u32,
    bytes: usize,
    seconds: f64,
    connects_per_second: f64,
    /// Of as many once more, when the first are gone.
    connects_again_per_second: f64,
    messages_per_second: f64,
    deliveries_per_second: f64,
    messages_per_frame: f64,
    bytes_per_delivery: f64,
    latency: Latency,
    server_cpu_cores: Option<f64>,
    server_cpu_us_per_delivery: Option<f64>,
    server_cpu_us_per_frame: Option<f64>,
    server_bytes_per_subscriber: Option<f64>,
    server_peak_bytes: Option<f64>,
    generator_cpu_cores: Option<f64>,
    /// What ran beside the two, and took from them.
    others_cpu_cores: Option<f64>,
    pub violations: Vec<String>,
}

/// Fails when the server can't be reached; what goes wrong later is in the report.
pub async fn measure(options: Fanout) -> Result<Report, String> {
    let pids = options.target.server_pids.clone();
    let run = Run::new(options.target.clone(), options.publishers, options.in_flight, options.subscribers)?;
    // Publishers first: what the server loads for its very first client is not memory per subscriber.
    let publishers = open_all(&run, Role::Publisher, options.publishers).await?;
    sleep(SETTLE).await;
    let resident_before = process::resident_bytes(&pids);
    let (first, connects_per_second) = open_timed(&run, options.subscribers).await?;
    sleep(SETTLE).await;
    let resident_after = process::resident_bytes(&pids);
    drop(first);
    rest(&pids, run.deadline()).await;
    let (subscribers, connects_again_per_second) = open_timed(&run, options.subscribers).await?;

    start(&run, &options, subscribers, publishers);
    tokio::select! {
        () = sleep(options.warmup_seconds) => {}
        () = run.failure() => return Err(run.violations().join("; ")),
    }
    let before = Reading::take(&run);
    run.measuring.set(true);
    tokio::select! {
        () = sleep(options.seconds) => {}
        () = run.failure() => return Err(run.violations().join("; ")),
    }
    run.measuring.set(false);
    let spent = Reading::take(&run).since(&before);
    run.publishing.set(false);
    settle_accounts(&run).await;

    let per = |cpu: Option<f64>, count: f64| cpu.map(|seconds| seconds * 1e6 / count);
    Ok(Report {
        subscribers: options.subscribers,
        publishers: options.publishers,
        in_flight: options.in_flight,
        bytes: options.bytes,
        seconds: spent.seconds,
        connects_per_second,
        connects_again_per_second,
        messages_per_second: spent.messages / spent.seconds,
        deliveries_per_second: spent.deliveries / spent.seconds,
        messages_per_frame: spent.deliveries / spent.frames,
        bytes_per_delivery: spent.frame_bytes / spent.deliveries,
        latency: run.latency(),
        server_cpu_cores: spent.server_cpu.map(|cpu| cpu / spent.seconds),
        server_cpu_us_per_delivery: per(spent.server_cpu, spent.deliveries),
        server_cpu_us_per_frame: per(spent.server_cpu, spent.frames),
        server_bytes_per_subscriber: resident_after
            .zip(resident_before)
            .map(|(after, before)| (after - before) / f64::from(options.subscribers)),
        server_peak_bytes: process::peak_resident_bytes(&pids),
        generator_cpu_cores: spent.generator_cpu.map(|cpu| cpu / spent.seconds),
        others_cpu_cores: spent.others_cpu().map(|cpu| cpu / spent.seconds),
        violations: run.violations(),
    })
}

/// Waits until the server has done all that it was left with: a tenth of its time is taken, or less.
async fn rest(pids: &[u32], patience: Duration) {
    let until = Instant::now() + patience;
    let mut spent = process::cpu_seconds(pids);
    while Instant::now() < until {
        sleep(SETTLE).await;
        let now = process::cpu_seconds(pids);
        let Some((now, before)) = now.zip(spent) else { return };
        if now - before < SETTLE.as_secs_f64() / 10.0 {
            return;
        }
        spent = Some(now);
    }
}

/// Gives how many connected in a second, too.
async fn open_timed(run: &Rc<Run>, count: u32) -> Result<(Vec<Socket>, f64), String> {
    let connecting = Instant::now();
    let subscribers = open_all(run, Role::Subscriber, count).await?;
    Ok((subscribers, f64::from(count) / connecting.elapsed().as_secs_f64()))
}

/// Opens connections, a bounded number at a time, in the order of their index.
async fn open_all(run: &Rc<Run>, role: Role, count: u32) -> Result<Vec<Socket>, String> {
    let slots = Rc::new(Semaphore::new(run.target.connect_concurrency as usize));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (run, slots) = (run.clone(), slots.clone());
        opening.spawn_local(async move {
            let _slot = slots.acquire().await.expect("never closed");
            socket::open(&*run.dialect, &run.target, role).await
        });
    }
    let all = async {
        let mut sockets = Vec::with_capacity(count as usize);
        while let Some(opened) = opening.join_next().await {
            sockets.push(opened.expect("no task panics").map_err(|why| format!("{role:?}: {why}"))?);
        }
        Ok(sockets)
    };
    timeout(run.deadline(), all)
        .await
        .map_err(|_| format!("{role:?}: not all connected within {:?}", run.deadline()))?
}

fn start(run: &Rc<Run>, options: &Fanout, subscribers: Vec<Socket>, publishers: Vec<Socket>) {
    // The sampled ones are spread over the order of connecting, which tends to be the order of sending.
    let every = if options.conflated { 1 } else { options.subscribers.div_ceil(options.sampled) as usize };
    for (index, socket) in subscribers.into_iter().enumerate() {
        let order = index.is_multiple_of(every).then(|| Order::new(run.windows.len(), options.conflated));
        spawn_local(subscriber::listen(run.clone(), index, order, socket));
    }
    let rate = options.rate / f64::from(options.publishers);
    for (index, socket) in publishers.into_iter().enumerate() {
        spawn_local(publisher::publish(run.clone(), index, options.bytes, rate, socket));
    }
}

/// Waits until every subscriber has every message and every message is acknowledged; what is still missing at the
/// deadline is a violation.
async fn settle_accounts(run: &Run) {
    // A burst under way when the run stopped has counted all its messages by now, as nothing else ran since.
    let published = sum(&run.published);
    let acknowledged = |run: &Run| !run.dialect.acknowledges() || sum(&run.acknowledged) == published;
    let settled = || run.received.iter().all(|received| received.get() == published) && acknowledged(run);
    let wait = async {
        while !settled() {
            sleep(Duration::from_millis(5)).await;
        }
        // One that comes twice comes late.
        sleep(SETTLE).await;
    };
    tokio::select! {
        _ = timeout(run.deadline(), wait) => {}
        () = run.failure() => {}
    }
    for (index, received) in run.received.iter().enumerate().filter(|(_, received)| received.get() != published) {
        run.violation(format!("subscriber {index} has {} of {published} messages", received.get()));
    }
    if !acknowledged(run) {
        run.violation(format!("{} of {published} messages acknowledged", sum(&run.acknowledged)));
    }
}

/// The counters at an instant, or what they gained between two.
struct Reading {
    at: Instant,
    seconds: f64,
    messages: f64,
    deliveries: f64,
    frames: f64,
    frame_bytes: f64,
    server_cpu: Option<f64>,
    generator_cpu: Option<f64>,
    machine_cpu: Option<f64>,
}

impl Reading {
    fn take(run: &Run) -> Reading {
        Reading {
            at: Instant::now(),
            seconds: 0.0,
            messages: run.received[subscriber::PROBE].get() as f64,
            deliveries: sum(&run.received) as f64,
            frames: run.frames.get() as f64,
            frame_bytes: run.frame_bytes.get() as f64,
            server_cpu: process::cpu_seconds(&run.target.server_pids),
            generator_cpu: process::cpu_seconds(&[std::process::id()]),
            machine_cpu: process::machine_cpu_seconds(),
        }
    }

    fn since(self, before: &Reading) -> Reading {
        let gained = |now: Option<f64>, then: Option<f64>| now.zip(then).map(|(now, then)| now - then);
        Reading {
            at: self.at,
            seconds: (self.at - before.at).as_secs_f64(),
            messages: self.messages - before.messages,
            deliveries: self.deliveries - before.deliveries,
            frames: self.frames - before.frames,
            frame_bytes: self.frame_bytes - before.frame_bytes,
            server_cpu: gained(self.server_cpu, before.server_cpu),
            generator_cpu: gained(self.generator_cpu, before.generator_cpu),
            machine_cpu: gained(self.machine_cpu, before.machine_cpu),
        }
    }

    /// Ticks are rounded, so this may come out a little below nothing.
    fn others_cpu(&self) -> Option<f64> {
        Some((self.machine_cpu? - self.server_cpu? - self.generator_cpu?).max(0.0))
    }
}
