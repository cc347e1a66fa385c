//! Socket.IO, and Engine.IO below it.

use super::{HEARTBEAT_INTERVAL_MAX_MS, HEARTBEAT_INTERVAL_MIN_MS, MESSAGE_MAX_BYTES};

/// How long a client may be connected that has not said who it is: a slow one's two round trips, and the time in which
/// its page fetches a token. Socket.IO's own server gives 45 s.
pub const SOCKETIO_CONNECT_MS: u64 = 45 * 1_000;

/// How often a connection may be refused a namespace before it ends. More are guesses.
pub const SOCKETIO_REFUSALS_MAX: u32 = 20;

/// Attachments of one event: more end the connection of who gets them, by the client library's own bound.
pub const SOCKETIO_ATTACHMENTS_MAX: usize = 10;

/// How often the server says that it is there, at the latest, and how long a client waits beyond that: what the client
/// library is used to.
pub const ENGINE_PING_MS: u64 = 25 * 1_000;
pub const ENGINE_PONG_MS: u64 = 20 * 1_000;

/// The interval of heartbeats of which four fifths are that.
pub const ENGINE_HEARTBEAT_MS: u64 = ENGINE_PING_MS * 5 / 4;

/// Bytes of what a client sends at once by polling: what it is told, and the most that Socket.IO's own server takes.
pub const ENGINE_PAYLOAD_MAX_BYTES: usize = 1_000_000;

/// Packets of the same.
pub const ENGINE_PACKETS_MAX: usize = 10_000;

const _: () =
    assert!(ENGINE_HEARTBEAT_MS <= HEARTBEAT_INTERVAL_MAX_MS && ENGINE_HEARTBEAT_MS >= HEARTBEAT_INTERVAL_MIN_MS);
const _: () =
    assert!(MESSAGE_MAX_BYTES * 4 / 3 * 2 < ENGINE_PAYLOAD_MAX_BYTES, "any publish fits, bytes in base64 too");
