//! REST.

use super::{CLIENT_ID_MAX_BYTES, COMMIT_MAX_BYTES, FRAME_MAX_BYTES, HISTORY_MAX_LIMIT, MESSAGE_MAX_BYTES};

/// Bytes of a request's body: what a frame may have, since both carry one publish.
pub const BODY_MAX_BYTES: usize = FRAME_MAX_BYTES;

/// Bytes of a batch's body (protocol.md § 22).
pub const BATCH_BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Channels in a batch, over all its parts, and messages (protocol.md § 22). Decoding keeps at most 101 parts of 1,001
/// messages of 270 bytes, 27 MB, before it counts them.
pub const BATCH_MAX_CHANNELS: usize = 100;
pub const BATCH_MAX_MESSAGES: usize = 1_000;

/// Messages in a page of history when the request doesn't say.
pub const HISTORY_DEFAULT_LIMIT: usize = 100;

/// How long a request may wait for something to come to a channel. Shorter than proxies wait for an answer.
pub const WAIT_MAX_S: u64 = 30;

/// How long a router waits for the answer of an object, besides what the request itself may wait there. Even a count
/// over all relays is done by then, and a client with the usual patience of a minute still hears what became of its
/// request.
pub const CALL_PATIENCE_MS: u64 = 15 * 1_000;

/// When a call that failed is made again, and how often. The first repeat is for an answer that was lost; an object
/// that is moved or reset refuses what comes in that instant, and takes what comes a moment later.
pub const CALL_PAUSES_MS: [u64; 4] = [0, 0, 50, 500];

/// The longest pause behind a call to an object that says that it has too much to do; a random part of up to half is
/// taken off. What waits is tried again some times within [`CALL_PATIENCE_MS`].
pub const OVERLOADED_PAUSE_MS: u64 = 4 * 1_000;
const _: () = assert!(3 * OVERLOADED_PAUSE_MS < CALL_PATIENCE_MS);

/// Between two lines of the log that say why a call failed.
pub const FAILED_CALLS_TOLD_MS: u64 = 1_000;

/// Requests that wait at one channel, and bytes of entries in the page that each gets; a page has one entry at least.
/// The largest publish there is wakes them all at 500 × (64 + 16) KiB, 40 MB; one of 1 KB at 0.5 MB. An object answers
/// about 1,000 requests a second, and those who are answered come back.
pub const WAITING_READERS_MAX: usize = 500;
pub const WAITING_PAGE_BYTES: usize = 16 * 1024;

/// The last time that a serial can have: a thousand positions each, in the 53 bits that JavaScript keeps exact.
pub const TIME_MAX_MS: u64 = (1 << 53) / 1_000;

/// Characters of an unknown parameter's name that its refusal repeats: enough to recognise a misspelt one.
pub const PARAMETER_SHOWN_MAX_CHARS: usize = 40;

/// Characters that a message must have to spare to become part of a trace: 100 for that, and for a clientId that it
/// gets later.
pub const TRACE_ROOM_BYTES: usize = 512;

/// Over how long a channel's rate is counted that its status tells: what a person watches.
pub const LATELY_MS: u64 = 10 * 1_000;

/// Bytes of an error's message in a header.
pub const ERROR_HEADER_MAX_BYTES: usize = 200;

const _: () = assert!(100 + CLIENT_ID_MAX_BYTES <= TRACE_ROOM_BYTES, "a trace and a clientId find room");
const _: () = assert!(BATCH_MAX_CHANNELS * MESSAGE_MAX_BYTES < 8 * 1024 * 1024, "a batch's copies fit in memory");
const _: () = assert!(BATCH_BODY_MAX_BYTES <= COMMIT_MAX_BYTES, "all that a batch says to one channel fits a commit");
const _: () = assert!(BODY_MAX_BYTES < BATCH_BODY_MAX_BYTES, "the shell reads no more than the longest body");
const _: () = assert!(HISTORY_DEFAULT_LIMIT <= HISTORY_MAX_LIMIT, "the default is a limit that may be asked for");
