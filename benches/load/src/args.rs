//! The command line.

use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::payload::STAMP_BYTES;

/// Measures a realtime server on this machine over WebSocket and prints one line of JSON.
#[derive(Parser)]
pub struct Args {
    #[command(subcommand)]
    pub scenario: Scenario,
}

#[derive(Subcommand)]
pub enum Scenario {
    /// Publishes to one channel with a fixed number of messages in flight, and measures what its subscribers get.
    Fanout(Fanout),
    /// Drops all clients of a channel at once and measures how long until each is whole again (Ably dialects only).
    Resume(Resume),
    /// Cuts clients off from their WebSockets at once; they come back by long poll, beside others that stay (Ably
    /// dialects in JSON only).
    Storm(Storm),
}

/// Where the server is and how to talk to it.
#[derive(ClapArgs, Clone)]
pub struct Target {
    /// Base address, for example ws://127.0.0.1:8787/
    #[arg(long)]
    pub url: String,
    /// ably-json, ably-msgpack, plain, socket.io, nchan or nats; or of Courtside's doors pusher, socketio, mqtt-0 or
    /// mqtt-1
    #[arg(long)]
    pub dialect: String,
    /// The channel; letters, digits, '-' and '_'
    #[arg(long, default_value = "bench", value_parser = plain_name)]
    pub channel: String,
    /// Name the channel in the URL too, so that its own object holds the connections (Ably dialects)
    #[arg(long)]
    pub channel_in_url: bool,
    /// The key of the Ably dialects
    #[arg(long, default_value = "demo.key1:local-only")]
    pub key: String,
    /// A process of the server, for CPU and memory; may be given several times
    #[arg(long = "server-pid")]
    pub server_pids: Vec<u32>,
    /// Connections opened at a time while setting up
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub connect_concurrency: u32,
    /// Seconds that setting up, and each later wait for the server, may take
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub deadline_seconds: u64,
}

#[derive(ClapArgs, Clone)]
pub struct Fanout {
    #[command(flatten)]
    pub target: Target,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub subscribers: u32,
    /// Publishing connections; the messages in flight are shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=999))]
    pub publishers: u32,
    /// Messages published and not yet delivered to the first subscriber, over all publishers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub in_flight: u32,
    /// Messages per second over all publishers at most; 0 for as fast as the messages in flight allow
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Bytes of data in each message
    #[arg(long, default_value_t = 100, value_parser = payload_bytes)]
    pub bytes: usize,
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// Load before the measured seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub warmup_seconds: Duration,
    /// Subscribers whose every message is checked for order and timed; of the others, messages are counted
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub sampled: u32,
    /// The server leaves out messages that a later one replaces: they count as received when the later one is. All
    /// subscribers are sampled
    #[arg(long)]
    pub conflated: bool,
}

#[derive(ClapArgs, Clone)]
pub struct Resume {
    #[command(flatten)]
    pub target: Target,
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub clients: u32,
    /// Messages in the channel's history
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub history: u32,
    /// How many of them each client has missed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub missed: u32,
    /// Bytes of data in each message
    #[arg(long, default_value_t = 100, value_parser = payload_bytes)]
    pub bytes: usize,
}

#[derive(ClapArgs, Clone)]
pub struct Storm {
    #[command(flatten)]
    pub target: Target,
    /// Clients that are cut off
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub clients: u32,
    /// Clients that stay on their WebSockets
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub stayers: u32,
    /// Seconds within which the clients come back, each at a moment of its own; 0 for all at once
    #[arg(long, default_value_t = 10.0)]
    pub within_seconds: f64,
    /// Messages per second, before and after
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// Bytes of data in each message
    #[arg(long, default_value_t = 100, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Measured before the cut, and again when all are back
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
}

fn plain_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("letters, digits, '-' and '_' only".into());
    }
    Ok(text.into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number")?;
    if !(0.1..=3_600.0).contains(&seconds) {
        return Err("0.1 to 3600".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|_| "not a number")?;
    if !(STAMP_BYTES..=60_000).contains(&bytes) {
        return Err(format!("{STAMP_BYTES} to 60000: each message carries a stamp"));
    }
    Ok(bytes)
}
