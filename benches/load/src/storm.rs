//! The fallback storm: clients lose their WebSockets at the same instant and come back by long poll, each resuming its
//! connection and its channel, while messages go on and others stay on their WebSockets. How long until each is served,
//! and what do those notice who stayed?
//!
//! A client that is refused with a code comes back as SDKs do; the pause counts. A refusal without one, an answer that
//! never comes, and a message that is lost or repeated fail the run.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::args::{self, Target};
use crate::dialect::{ATTACHED, Ably, CONNECTED, Control, DISCONNECTED, Dialect, FLAG_RESUMED, Incoming, Role};
use crate::http::{Answer, Http};
use crate::payload::{Scanner, Stamp};
use crate::process;
use crate::run::{Latency, add, latencies};
use crate::socket::{self, Socket};
use crate::subscriber::{Order, bytes};

/// What SDKs wait after a refusal, less up to a fifth at random; twice as long in the end.
const RETRY: Duration = Duration::from_secs(15);
const RETRY_SPREAD: f64 = 0.2;
/// What SDKs give one attempt to connect; a poll says something within 12 seconds.
const ANSWER: Duration = Duration::from_secs(20);
/// Only to set up: how soon who was refused for the pace tries again.
const SETUP_RETRY: Duration = Duration::from_millis(500);

#[derive(Serialize)]
pub struct Report {
    clients: u32,
    stayers: u32,
    within_seconds: f64,
    rate: f64,
    bytes: usize,
    /// From a client's first attempt until it has all that it missed.
    served: Latency,
    /// From the cut until that is true of all.
    all_served_seconds: f64,
    /// Answers with a code that say to try again, by which clients were paced.
    refusals: u64,
    /// Connections by poll that the server ended, with a code, to be resumed again.
    interruptions: u64,
    /// From publish to the sockets of those who stay: before the cut, until all are served, and then.
    before: Latency,
    during: Latency,
    after: Latency,
    p99_ratio: f64,
    messages: u64,
    polls: u64,
    server_cpu_seconds: Option<f64>,
    server_peak_bytes: Option<f64>,
    generator_cpu_seconds: Option<f64>,
    pub violations: Vec<String>,
}

/// Fails when the server can't be reached or the storm doesn't end.
pub async fn measure(options: args::Storm) -> Result<Report, String> {
    let storm = Rc::new(Storm::new(&options)?);
    let publisher = socket::open(&storm.ably, &storm.target, Role::Publisher).await?;
    let (clients, stayers) = (storm.connect_all(options.clients).await?, storm.connect_all(options.stayers).await?);
    let (cut, is_cut) = watch::channel(false);
    let (served_sender, mut served) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        let (storm, is_cut, served) = (storm.clone(), is_cut.clone(), served_sender.clone());
        tasks.spawn_local(async move { client.fall_back(&storm, index, is_cut, served).await });
    }
    drop(served_sender);
    for stayer in stayers {
        let storm = storm.clone();
        tasks.spawn_local(async move { stayer.stay(&storm).await });
    }
    tasks.spawn_local(storm.clone().publish(publisher));

    sleep(options.seconds).await;
    let cpu = || (process::cpu_seconds(&storm.target.server_pids), process::cpu_seconds(&[std::process::id()]));
    let (cut_at, cpu_before) = (Instant::now(), cpu());
    storm.phase.set(Phase::During);
    cut.send_replace(true);
    let served = timeout(storm.deadline(), collect(&mut served, options.clients)).await;
    let served = served.map_err(|_| format!("not all served within {:?}", storm.deadline()))?;
    let (all_served_seconds, cpu_after) = (cut_at.elapsed().as_secs_f64(), cpu());
    storm.phase.set(Phase::After);
    sleep(options.seconds).await;
    storm.ending.set(true);
    let outcomes =
        timeout(storm.deadline(), tasks.join_all()).await.map_err(|_| "the last message is not everywhere")?;

    let latency = |phase: Phase| Latency::of(&storm.latencies[phase as usize].borrow());
    let (before, during, after) = (latency(Phase::Before), latency(Phase::During), latency(Phase::After));
    let gained = |now: Option<f64>, then: Option<f64>| now.zip(then).map(|(now, then)| now - then);
    Ok(Report {
        clients: options.clients,
        stayers: options.stayers,
        within_seconds: options.within_seconds,
        rate: options.rate,
        bytes: options.bytes,
        served: Latency::of(&served),
        all_served_seconds,
        refusals: storm.refusals.get(),
        interruptions: storm.interruptions.get(),
        p99_ratio: during.p99_ms / before.p99_ms,
        before,
        during,
        after,
        messages: storm.published.get(),
        polls: storm.polls.get(),
        server_cpu_seconds: gained(cpu_after.0, cpu_before.0),
        server_peak_bytes: process::peak_resident_bytes(&storm.target.server_pids),
        generator_cpu_seconds: gained(cpu_after.1, cpu_before.1),
        violations: outcomes.into_iter().filter_map(Result::err).take(10).collect(),
    })
}

/// Times until served of all clients. One that failed for good never reports: its violation is told later.
async fn collect(served: &mut mpsc::UnboundedReceiver<Duration>, clients: u32) -> Histogram<u64> {
    let mut histogram = latencies();
    while histogram.len() < u64::from(clients)
        && let Some(took) = served.recv().await
    {
        histogram.saturating_record(took.as_nanos() as u64);
    }
    histogram
}

#[derive(Clone, Copy)]
enum Phase {
    Before,
    During,
    After,
}

struct Storm {
    target: Target,
    ably: Ably,
    scanner: Scanner,
    started: Instant,
    address: (String, u16),
    within: Duration,
    rate: f64,
    bytes: usize,
    phase: Cell<Phase>,
    latencies: [RefCell<Histogram<u64>>; 3],
    published: Cell<u64>,
    acknowledged: Cell<u64>,
    /// The next message is the last.
    ending: Cell<bool>,
    /// How many messages there are in all, once that is certain.
    total: Cell<Option<u64>>,
    refusals: Cell<u64>,
    interruptions: Cell<u64>,
    polls: Cell<u64>,
}

impl Storm {
    fn new(options: &args::Storm) -> Result<Storm, String> {
        let ably = Ably::by_name(&options.target.dialect).filter(|ably| matches!(ably, Ably::Json));
        let uri = options.target.url.parse().map_err(|error| format!("{}: {error}", options.target.url))?;
        let within = Duration::try_from_secs_f64(options.within_seconds).map_err(|error| error.to_string())?;
        Ok(Storm {
            target: options.target.clone(),
            ably: ably.ok_or("those who poll speak ably-json")?,
            scanner: Scanner::new(),
            started: Instant::now(),
            address: socket::loopback(&uri)?,
            within,
            rate: options.rate.clamp(0.01, 1_000.0),
            bytes: options.bytes,
            phase: Cell::new(Phase::Before),
            latencies: [latencies(), latencies(), latencies()].map(RefCell::new),
            published: Cell::new(0),
            acknowledged: Cell::new(0),
            ending: Cell::new(false),
            total: Cell::new(None),
            refusals: Cell::new(0),
            interruptions: Cell::new(0),
            polls: Cell::new(0),
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.target.deadline_seconds)
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    async fn connect_all(self: &Rc<Storm>, count: u32) -> Result<Vec<Client>, String> {
        let slots = Rc::new(Semaphore::new(self.target.connect_concurrency as usize));
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let (storm, slots) = (self.clone(), slots.clone());
            connecting.spawn_local(async move {
                let _slot = slots.acquire().await.expect("never closed");
                storm.connect().await
            });
        }
        let all = async { connecting.join_all().await.into_iter().collect() };
        timeout(self.deadline(), all).await.map_err(|_| "not all connected in time".to_owned())?
    }

    async fn connect(&self) -> Result<Client, String> {
        loop {
            let mut socket = socket::upgrade(&self.ably.url(&self.target, Role::Subscriber)).await?;
            let connected = self.ably.read(&socket::next(&mut socket).await?)?;
            if connected.action == DISCONNECTED {
                sleep(SETUP_RETRY).await;
                continue;
            }
            let (connection_id, connection_key) = identity(connected)?;
            socket::send(&mut socket, self.ably.attach(&self.target.channel, None)).await?;
            let attached = loop {
                let incoming = self.ably.read(&socket::next(&mut socket).await?)?;
                if incoming.action == ATTACHED {
                    break incoming;
                }
            };
            let serial = attached.channel_serial.ok_or("ATTACHED without channelSerial")?;
            return Ok(Client { connection_id, connection_key, serial, order: Order::from(0), next: 0, socket });
        }
    }

    /// Publishes until the end, one last message included, and until all is acknowledged.
    async fn publish(self: Rc<Storm>, mut socket: Socket) -> Result<(), String> {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / self.rate));
        while self.total.get() != Some(self.acknowledged.get()) {
            tokio::select! {
                _ = ticks.tick(), if self.total.get().is_none() => {
                    let sequence = self.published.get();
                    add(&self.published, 1);
                    if self.ending.get() {
                        self.total.set(Some(sequence + 1));
                    }
                    let data = Stamp { publisher: 0, sequence, sent_ns: self.now_ns() }.fill(self.bytes);
                    socket::send(&mut socket, self.ably.publish(&self.target, sequence, data)).await?;
                }
                frame = socket::next(&mut socket) => {
                    if let Control::Acknowledged(count) = self.ably.control(&frame?)? {
                        add(&self.acknowledged, count);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A client, and what it keeps when its socket is gone.
struct Client {
    connection_id: String,
    connection_key: String,
    serial: String,
    order: Order,
    /// The message that must come next.
    next: u64,
    socket: Socket,
}

impl Client {
    async fn stay(mut self, storm: &Storm) -> Result<(), String> {
        while storm.total.get() != Some(self.next) {
            let frame = socket::next(&mut self.socket).await?;
            let arrived_ns = storm.now_ns();
            self.take(storm, bytes(&frame), |stamp| {
                let mut histogram = storm.latencies[storm.phase.get() as usize].borrow_mut();
                histogram.saturating_record(arrived_ns.saturating_sub(stamp.sent_ns));
            })?;
        }
        Ok(())
    }

    async fn fall_back(
        mut self,
        storm: &Storm,
        index: usize,
        mut cut: watch::Receiver<bool>,
        served: mpsc::UnboundedSender<Duration>,
    ) -> Result<(), String> {
        loop {
            let frame = tokio::select! {
                biased;
                _ = cut.changed() => break,
                frame = socket::next(&mut self.socket) => frame?,
            };
            self.take(storm, bytes(&frame), |_| {})?;
            if let Some(serial) = storm.ably.read(&frame)?.channel_serial {
                self.serial = serial;
            }
        }
        let Client { connection_id, connection_key, serial, order, next, socket } = self;
        drop(socket);
        sleep(storm.within.mul_f64(spread(index))).await;
        let began = Instant::now();
        let http = Http::open(storm.address.clone()).await?;
        let mut poller = Poller { storm, http, index, connection_id, connection_key, serial, order, next };
        poller.come_back().await?;
        // All that was acknowledged by now is part of what it missed.
        let missed = storm.acknowledged.get();
        let mut waiting = Some(served);
        while storm.total.get() != Some(poller.next) {
            if poller.next >= missed
                && let Some(served) = waiting.take()
            {
                let _ = served.send(began.elapsed());
            }
            if poller.poll().await?.is_none() {
                poller.come_back().await?;
            }
        }
        if let Some(served) = waiting {
            let _ = served.send(began.elapsed());
        }
        Ok(())
    }

    fn take(&mut self, storm: &Storm, frame: &[u8], mut seen: impl FnMut(Stamp)) -> Result<(), String> {
        for stamp in storm.scanner.stamps(frame) {
            let stamp = stamp.ok_or("a torn message")?;
            self.order.check(stamp)?;
            self.next = stamp.sequence + 1;
            seen(stamp);
        }
        Ok(())
    }
}

/// The same client, when all that it has is HTTP.
struct Poller<'a> {
    storm: &'a Storm,
    http: Http,
    index: usize,
    connection_id: String,
    connection_key: String,
    serial: String,
    order: Order,
    next: u64,
}

impl Poller<'_> {
    /// Resumes its connection, and its channel where it was.
    async fn come_back(&mut self) -> Result<(), String> {
        let mut refused = 0;
        loop {
            if !self.connect().await? {
                refused += 1;
                add(&self.storm.refusals, 1);
                sleep(retry(refused, self.index)).await;
            } else if self.attach().await? {
                return Ok(());
            }
        }
    }

    /// False when it was told to come back later.
    async fn connect(&mut self) -> Result<bool, String> {
        let query = self.storm.ably.url(&self.storm.target, Role::Subscriber);
        let query = query.split_once('?').map_or("", |(_, query)| query);
        let path = format!("/comet/connect?{query}&stream=false&resume={}", self.connection_key);
        let answer = within(self.http.get(&path)).await?;
        let Some(frames) = self.read(&answer)? else { return Ok(false) };
        let first = frames.into_iter().next().filter(|first| first.action == CONNECTED);
        let (id, key) = identity(first.ok_or_else(|| answer.text())?)?;
        self.connection_key = key;
        if id == self.connection_id { Ok(true) } else { Err("another connection than before".into()) }
    }

    /// False when the connection was interrupted again.
    async fn attach(&mut self) -> Result<bool, String> {
        let attach = self.storm.ably.attach(&self.storm.target.channel, Some(&self.serial));
        let body = format!("[{}]", String::from_utf8_lossy(bytes(&attach)));
        let path = self.path("send");
        let sent = within(self.http.post(&path, &body)).await?;
        if self.read(&sent)?.is_none() {
            add(&self.storm.interruptions, 1);
            return Ok(false);
        }
        loop {
            let Some(frames) = self.poll().await? else { return Ok(false) };
            match frames.iter().find(|frame| frame.action == ATTACHED) {
                Some(attached) if attached.flags.unwrap_or(0) & FLAG_RESUMED != 0 => return Ok(true),
                Some(_) => return Err("the channel was not resumed".into()),
                None => {}
            }
        }
    }

    /// Nothing when the connection was interrupted: it is to be resumed.
    async fn poll(&mut self) -> Result<Option<Vec<Incoming>>, String> {
        let path = self.path("recv");
        let answer = within(self.http.get(&path)).await?;
        add(&self.storm.polls, 1);
        for stamp in self.storm.scanner.stamps(&answer.body) {
            let stamp = stamp.ok_or("a torn message")?;
            self.order.check(stamp)?;
            self.next = stamp.sequence + 1;
        }
        let frames = self.read(&answer)?;
        if let Some(serial) = frames.iter().flatten().filter_map(|frame| frame.channel_serial.as_ref()).next_back() {
            self.serial.clone_from(serial);
        }
        if frames.is_none() {
            add(&self.storm.interruptions, 1);
        }
        Ok(frames)
    }

    /// The frames of an answer; nothing for one that says with a code to come back.
    fn read(&self, answer: &Answer) -> Result<Option<Vec<Incoming>>, String> {
        if answer.status == 204 {
            return Ok(Some(Vec::new()));
        }
        let frames: Vec<Incoming> =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{error} in {}", answer.text()))?;
        let mut errors = frames.iter().filter(|frame| frame.error.is_some());
        match errors.next() {
            Some(told) if told.action == DISCONNECTED && told.has_code() => Ok(None),
            None if answer.status == 200 => Ok(Some(frames)),
            _ => Err(answer.text()),
        }
    }

    fn path(&self, verb: &str) -> String {
        format!("/comet/{}/{verb}?key={}", self.connection_key, self.storm.target.key)
    }
}

async fn within(asked: impl Future<Output = Result<Answer, String>>) -> Result<Answer, String> {
    timeout(ANSWER, asked).await.map_err(|_| format!("no answer within {ANSWER:?}"))?
}

fn identity(connected: Incoming) -> Result<(String, String), String> {
    let key = connected.connection_details.and_then(|details| details.connection_key);
    connected.connection_id.zip(key).ok_or_else(|| "CONNECTED without connectionId or connectionKey".into())
}

/// From 0 to 1, evenly over all clients and in no order: multiples of the golden ratio.
fn spread(index: usize) -> f64 {
    (index as f64 * 0.618_033_988_749_895).fract()
}

/// What SDKs wait before their next attempt.
fn retry(attempt: u32, index: usize) -> Duration {
    let backoff = (f64::from(attempt + 2) / 3.0).min(2.0);
    RETRY.mul_f64(backoff * (1.0 - RETRY_SPREAD * spread(index + attempt as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_back_evenly_and_in_no_order() {
        let mut quarters = [0; 4];
        (0..1_000).for_each(|index| quarters[(spread(index) * 4.0) as usize] += 1);
        assert!(quarters.iter().all(|count| (245..=255).contains(count)), "{quarters:?}");
        assert!(spread(1) > spread(2) && spread(2) < spread(3));
    }

    #[test]
    fn who_is_refused_waits_longer_each_time_and_twice_as_long_in_the_end() {
        let seconds = |attempt| retry(attempt, 0).as_secs_f64();
        for (attempt, longest) in [(1, 15.0), (2, 20.0), (4, 30.0), (9, 30.0)] {
            assert!(seconds(attempt) <= longest && seconds(attempt) >= longest * (1.0 - RETRY_SPREAD), "{attempt}");
        }
    }
}
