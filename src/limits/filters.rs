//! Filtered channels: what one expression may be and cost, and how many there may be.

use super::{CHANNEL_NAME_MAX_BYTES, CHANNELS_PER_CONNECTION_MAX, CONNECTION_STATE_TTL_MS, RETENTION_MS};

/// Bytes of a filter's expression. In base64 it is 1,368 bytes of a channel's name, and leaves 680 for the rest.
pub const FILTER_MAX_BYTES: usize = 1_024;

/// Tokens of an expression: with 80 bytes for each it is 10 KB in memory. The tree that is evaluated is no deeper.
pub const FILTER_TOKENS_MAX: usize = 128;

/// Parentheses, brackets and operators that stand in each other. The parser recurses, so this bounds its stack.
pub const FILTER_NESTING_MAX: usize = 32;

/// Steps that an expression may take for one message, each about 100 ns: a node that is evaluated, a value that is
/// compared or copied, 256 bytes of a text that is looked at. A comparison of a header takes seven. Beyond, the message
/// does not pass. All operators that fit an expression have room in it, and the most filters that one channel can have
/// cost at most 20 ms for each message, as long as it takes to send a thousand frames.
pub const FILTER_STEPS_MAX: usize = 200;

/// Distinct filters of one channel in one relay: each is evaluated for every message, and is a frame of its own.
/// Measured with a thousand in benches/core/filters.rs. Beyond, an attachment is refused with 42910.
pub const FILTERS_PER_CHANNEL_MAX: usize = 1_000;

/// Distinct filters in one relay, over all channels: 2,000 of 10 KB at most are 20 MB. Beyond, 42910.
pub const FILTERS_PER_RELAY_MAX: usize = 2_000;

/// How often a reader behind a filter is told how far the channel is, at most, while nothing passes for it. Told with
/// heartbeats, so within 45 s of what it was told before: what it resumes from is still in the log then.
pub const FILTER_PROGRESS_MS: u64 = 30 * 1_000;

const _: () =
    assert!(FILTER_PROGRESS_MS + CONNECTION_STATE_TTL_MS / 2 < RETENTION_MS, "a drop finds its place in the log");
const _: () = assert!(FILTER_MAX_BYTES.div_ceil(3) * 4 < CHANNEL_NAME_MAX_BYTES, "a filter fits a name");
const _: () = assert!(FILTERS_PER_CHANNEL_MAX > CHANNELS_PER_CONNECTION_MAX, "no connection takes all of a channel's");
