//! The resume storm: every client of a channel loses its connection at the same instant, resumes it, and asks for what
//! it has missed. How long until each is whole, and is the stream then what it would have been?
//!
//! A client that is refused comes back after a growing pause, as SDKs do; the pause counts.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::{self, Target};
use crate::dialect::{ATTACHED, Ably, CONNECTED, Control, Dialect, FLAG_RESUMED, Incoming, Role};
use crate::payload::{Scanner, Stamp};
use crate::process;
use crate::run::{Latency, latencies};
use crate::socket::{self, Socket};
use crate::subscriber::{Order, bytes};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What an SDK gives one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);

#[derive(Serialize)]
pub struct Report {
    clients: u32,
    history: u32,
    missed: u32,
    bytes: usize,
    connects_per_second: f64,
    /// From the drop until the client has all that it missed.
    whole: Latency,
    all_whole_seconds: f64,
    /// Clients that got their old connectionId back, and whose ATTACHED said RESUMED.
    connections_resumed: u32,
    channels_resumed: u32,
    /// Attempts beyond each client's first.
    retries: u32,
    server_cpu_seconds: Option<f64>,
    server_peak_bytes: Option<f64>,
    generator_cpu_seconds: Option<f64>,
    pub violations: Vec<String>,
}

/// Fails when the server can't be reached or the storm doesn't end; repeats, gaps and lost continuity are in the
/// report.
pub async fn measure(options: args::Resume) -> Result<Report, String> {
    if options.missed >= options.history {
        return Err("clients can't have missed all of the history".into());
    }
    let storm = Rc::new(Storm::new(&options)?);
    let mut publisher = Publisher::open(storm.clone()).await?;
    let resume_from = storm.within("history", publisher.fill_history(&options)).await?;
    let connecting = Instant::now();
    let clients = storm.connect_all(options.clients).await?;
    let connects_per_second = f64::from(options.clients) / connecting.elapsed().as_secs_f64();

    let cpu_before = (process::cpu_seconds(&storm.target.server_pids), process::cpu_seconds(&[std::process::id()]));
    let (whole_sender, mut whole) = mpsc::unbounded_channel();
    let dropped = Instant::now();
    let identities: Vec<Identity> = clients.into_iter().map(|(identity, _)| identity).collect();
    let mut returning = JoinSet::new();
    for identity in identities {
        let (storm, resume_from, whole) = (storm.clone(), resume_from.clone(), whole_sender.clone());
        returning.spawn_local(async move { storm.come_back(identity, &resume_from, dropped, whole).await });
    }
    drop(whole_sender);
    let histogram = storm.within("resume", collect(&mut whole, options.clients)).await?;
    let gained = |now: Option<f64>, then: Option<f64>| now.zip(then).map(|(now, then)| now - then);
    let server_cpu_seconds = gained(process::cpu_seconds(&storm.target.server_pids), cpu_before.0);
    let generator_cpu_seconds = gained(process::cpu_seconds(&[std::process::id()]), cpu_before.1);

    publisher.publish(u64::from(options.history)).await?;
    let returned = storm.within("live message", async { Ok(returning.join_all().await) }).await?;
    let violations = returned.iter().filter_map(|outcome| outcome.as_ref().err().cloned()).take(10).collect();
    let count = |what: fn(&Return) -> bool| returned.iter().flatten().filter(|returned| what(returned)).count() as u32;
    let whole = Latency::of(&histogram);
    Ok(Report {
        clients: options.clients,
        history: options.history,
        missed: options.missed,
        bytes: options.bytes,
        connects_per_second,
        all_whole_seconds: whole.max_ms / 1e3,
        whole,
        connections_resumed: count(|returned| returned.same_connection),
        channels_resumed: count(|returned| returned.continuous),
        retries: returned.iter().flatten().map(|returned| returned.retries).sum(),
        server_cpu_seconds,
        server_peak_bytes: process::peak_resident_bytes(&storm.target.server_pids),
        generator_cpu_seconds,
        violations,
    })
}

/// Times until whole of all clients. A client that failed for good never reports: its violation is told later.
async fn collect(whole: &mut mpsc::UnboundedReceiver<Duration>, clients: u32) -> Result<Histogram<u64>, String> {
    let mut histogram = latencies();
    while histogram.len() < u64::from(clients)
        && let Some(took) = whole.recv().await
    {
        histogram.saturating_record(took.as_nanos() as u64);
    }
    Ok(histogram)
}

struct Storm {
    target: Target,
    ably: Ably,
    scanner: Scanner,
    first_missed: u64,
    missed: u64,
    bytes: usize,
}

/// What a client keeps when its socket is gone.
struct Identity {
    connection_id: String,
    connection_key: String,
}

#[derive(Default)]
struct Return {
    same_connection: bool,
    continuous: bool,
    retries: u32,
}

impl Storm {
    fn new(options: &args::Resume) -> Result<Storm, String> {
        Ok(Storm {
            target: options.target.clone(),
            ably: Ably::by_name(&options.target.dialect).ok_or("only the Ably dialects resume")?,
            scanner: Scanner::new(),
            first_missed: u64::from(options.history - options.missed),
            missed: u64::from(options.missed),
            bytes: options.bytes,
        })
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.target.deadline_seconds)
    }

    async fn within<T>(&self, what: &str, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        // Clients give up at the deadline and say why; this is for what would wait without end.
        let deadline = self.deadline() + ATTEMPT + LONGEST_PAUSE;
        timeout(deadline, work).await.map_err(|_| format!("{what}: not done within {deadline:?}"))?
    }

    async fn connect_all(self: &Rc<Storm>, count: u32) -> Result<Vec<(Identity, Socket)>, String> {
        let slots = Rc::new(Semaphore::new(self.target.connect_concurrency as usize));
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let (storm, slots) = (self.clone(), slots.clone());
            connecting.spawn_local(async move {
                let _slot = slots.acquire().await.expect("never closed");
                storm.connect().await
            });
        }
        self.within("clients", async { connecting.join_all().await.into_iter().collect() }).await
    }

    async fn connect(&self) -> Result<(Identity, Socket), String> {
        let mut socket = socket::upgrade(&self.ably.url(&self.target, Role::Subscriber)).await?;
        let connected = self.expect(&mut socket, CONNECTED).await?;
        socket::send(&mut socket, self.ably.attach(&self.target.channel, None)).await?;
        self.expect(&mut socket, ATTACHED).await?;
        Ok((identity(connected)?, socket))
    }

    /// Skips what is not of this action; fails when the server refuses.
    async fn expect(&self, socket: &mut Socket, action: u8) -> Result<Incoming, String> {
        loop {
            let frame = socket::next(socket).await?;
            let incoming = self.ably.read(&frame)?;
            if incoming.action == action {
                return Ok(incoming);
            }
            self.ably.control(&frame)?;
        }
    }

    /// Resumes until whole, tells when, then waits for the live message that must come next.
    async fn come_back(
        &self,
        mut identity: Identity,
        resume_from: &str,
        dropped: Instant,
        whole: mpsc::UnboundedSender<Duration>,
    ) -> Result<Return, String> {
        let mut pause = FIRST_PAUSE;
        let mut returned = Return::default();
        let (mut socket, mut missing) = loop {
            let attempt = timeout(ATTEMPT, self.resume(&mut identity, resume_from, &mut returned)).await;
            match attempt.unwrap_or_else(|_| Err("no answer".into())) {
                Ok(resumed) => break resumed,
                Err(why) if dropped.elapsed() >= self.deadline() => return Err(format!("never resumed: {why}")),
                Err(_) => returned.retries += 1,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        if !returned.continuous {
            return Err("a channel was not resumed".into());
        }
        missing.read_to(&mut socket, self.missed).await?;
        // Told once, then let go: the count of those whole ends when no client is left that could still be.
        let _ = whole.send(dropped.elapsed());
        drop(whole);
        missing.read_to(&mut socket, self.missed + 1).await?;
        Ok(returned)
    }

    async fn resume(
        &self,
        identity: &mut Identity,
        resume_from: &str,
        returned: &mut Return,
    ) -> Result<(Socket, Missing<'_>), String> {
        let url = self.ably.url(&self.target, Role::Subscriber);
        let mut socket = socket::upgrade(&format!("{url}&resume={}", identity.connection_key)).await?;
        let now = self::identity(self.expect(&mut socket, CONNECTED).await?)?;
        returned.same_connection = now.connection_id == identity.connection_id;
        *identity = now;
        socket::send(&mut socket, self.ably.attach(&self.target.channel, Some(resume_from))).await?;
        // Not `expect`: that would take a gap for a refusal, and a gap is what is counted here.
        let attached = loop {
            let incoming = self.ably.read(&socket::next(&mut socket).await?)?;
            if incoming.action == ATTACHED {
                break incoming;
            }
        };
        returned.continuous = attached.flags.unwrap_or(0) & FLAG_RESUMED != 0;
        Ok((socket, Missing { storm: self, order: Order::from(self.first_missed), received: 0 }))
    }
}

/// The stream of one client after its return.
struct Missing<'a> {
    storm: &'a Storm,
    order: Order,
    received: u64,
}

impl Missing<'_> {
    /// Reads until `total` messages have come since the return; more in the same frame are taken as well.
    async fn read_to(&mut self, socket: &mut Socket, total: u64) -> Result<(), String> {
        while self.received < total {
            let frame = socket::next(socket).await?;
            let before = self.received;
            for stamp in self.storm.scanner.stamps(bytes(&frame)) {
                self.order.check(stamp.ok_or("a torn message")?)?;
                self.received += 1;
            }
            if self.received == before {
                self.storm.ably.control(&frame)?;
            }
        }
        Ok(())
    }
}

/// Publishes one message at a time and waits until it is acknowledged and delivered.
struct Publisher {
    storm: Rc<Storm>,
    socket: Socket,
    probe: Socket,
}

impl Publisher {
    async fn open(storm: Rc<Storm>) -> Result<Publisher, String> {
        let socket = socket::open(&storm.ably, &storm.target, Role::Publisher).await?;
        let probe = socket::open(&storm.ably, &storm.target, Role::Subscriber).await?;
        Ok(Publisher { storm, socket, probe })
    }

    /// Returns the channelSerial of the last message that the clients will not have missed.
    async fn fill_history(&mut self, options: &args::Resume) -> Result<String, String> {
        let mut resume_from = None;
        for sequence in 0..u64::from(options.history) {
            let delivery = self.publish(sequence).await?;
            if sequence + 1 == self.storm.first_missed {
                resume_from = self.storm.ably.read(&delivery)?.channel_serial;
            }
        }
        resume_from.ok_or_else(|| "a message without channelSerial".into())
    }

    async fn publish(&mut self, sequence: u64) -> Result<tokio_tungstenite::tungstenite::Message, String> {
        let storm = self.storm.clone();
        let data = Stamp { publisher: 0, sequence, sent_ns: 0 }.fill(storm.bytes);
        socket::send(&mut self.socket, storm.ably.publish(&storm.target, sequence, data)).await?;
        let acknowledged = async {
            while !matches!(storm.ably.control(&socket::next(&mut self.socket).await?)?, Control::Acknowledged(_)) {}
            Ok(())
        };
        storm.within("acknowledgement", acknowledged).await?;
        let delivered = async {
            loop {
                let frame = socket::next(&mut self.probe).await?;
                if storm.scanner.count(bytes(&frame)) > 0 {
                    return Ok(frame);
                }
            }
        };
        storm.within("delivery", delivered).await
    }
}

fn identity(connected: Incoming) -> Result<Identity, String> {
    let connection_key = connected.connection_details.and_then(|details| details.connection_key);
    let (Some(connection_id), Some(connection_key)) = (connected.connection_id, connection_key) else {
        return Err("CONNECTED without connectionId or connectionKey".into());
    };
    Ok(Identity { connection_id, connection_key })
}
