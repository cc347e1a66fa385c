//! REST.

use crate::base::rate::Rate;

use super::{
    CLIENT_ID_MAX_BYTES, COMMIT_MAX_BYTES, FRAME_MAX_BYTES, HISTORY_MAX_LIMIT, HISTORY_PAGE_BYTES, MESSAGE_MAX_BYTES,
    SPEAKERS_MAX_BYTES,
};

/// Bytes of a request's body: what a frame may have, since both carry one publish.
pub const BODY_MAX_BYTES: usize = FRAME_MAX_BYTES;

/// Bytes of a batch's body (protocol.md § 22).
pub const BATCH_BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Channels in a batch, over all its parts, and messages (protocol.md § 22). Decoding keeps at most 101 parts of 1,001
/// messages of 270 bytes, 27 MB, before it counts them.
pub const BATCH_MAX_CHANNELS: usize = 100;
pub const BATCH_MAX_MESSAGES: usize = 1_000;

/// Bytes of members, as JSON, in the answer to a batch: what a page of history has.
pub const BATCH_MEMBERS_MAX_BYTES: usize = HISTORY_PAGE_BYTES;

/// Messages in a page of history when the request doesn't say.
pub const HISTORY_DEFAULT_LIMIT: usize = 100;

/// Channels that nobody named lately, which requests from one address may ask, each by itself, and those that batches
/// of several may. Each is an object's work, for ten milliseconds, three descriptors for the ten seconds that it stays
/// in memory, and a file until the server starts again. So much as an audience of 5,000 behind one address asks once,
/// each of a channel of its own; and two batches, for 600 descriptors and two seconds of work.
pub const NEW_CHANNELS: Rate = Rate { burst: 5_000, interval_ms: 50 };
pub const NEW_CHANNELS_OF_BATCHES: Rate = Rate { burst: 2 * BATCH_MAX_CHANNELS as u64, interval_ms: 100 };

/// How long a router takes a channel that was named to be in memory, between that and twice that, and how many, between
/// half and all of them: 160 KB.
pub const NAMED_CHANNEL_KEPT_MS: u64 = 10 * 1_000;
pub const NAMED_CHANNELS_MAX: usize = 20_000;

/// In which time an object that is asked for has begun, however many are: its descriptors are counted from then on.
pub const OBJECT_BEGINS_MS: u64 = 2 * 1_000;

/// When a request that was refused for such channels is to come again.
pub const NEW_CHANNELS_RETRY_S: u64 = 10;

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
const _: () = assert!(
    BATCH_MAX_CHANNELS * (MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES) < 16 * 1024 * 1024,
    "a batch's copies fit in memory"
);
const _: () = assert!(BATCH_BODY_MAX_BYTES <= COMMIT_MAX_BYTES, "all that a batch says to one channel fits a commit");
const _: () = assert!(BODY_MAX_BYTES < BATCH_BODY_MAX_BYTES, "the shell reads no more than the longest body");
const _: () = assert!(HISTORY_DEFAULT_LIMIT <= HISTORY_MAX_LIMIT, "the default is a limit that may be asked for");
