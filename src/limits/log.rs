//! A channel: its log, and what it feeds.

use super::{
    ENCODING_MAX_BYTES, FRAME_MAX_BYTES, MESSAGE_ID_MAX_BYTES, MESSAGE_MAX_BYTES, PUBLISH_MAX_MESSAGES,
    SPEAKERS_MAX_BYTES,
};
use crate::base::rate::Flow;

/// How long messages can be read from history and resumed from, in a namespace that doesn't persist.
pub const RETENTION_MS: u64 = 2 * 60 * 1_000;

/// The same in a persisted namespace.
pub const RETENTION_PERSISTED_MS: u64 = 72 * 60 * 60 * 1_000;

/// The longest that a namespace may ask for: a year.
pub const RETENTION_MAX_HOURS: u64 = 365 * 24;

/// How long a channel's last message can be read, where its namespace keeps it: a year, as the hosted service has it.
pub const LAST_KEPT_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// How much longer rows are kept than they can be read, so that rows go many at a time and a serial given out at the
/// very end of the retention still resumes.
pub const RETENTION_SLACK_MS: u64 = 30 * 1_000;

/// How long after its last message has expired a channel that nobody is on lets go of its storage, and how often one
/// that somebody is on looks again. Whoever could resume has by then; and if the clock steps back by less than this,
/// serials of the next life follow those of this one. One alarm an hour costs nothing.
pub const SPENT_AFTER_MS: u64 = 60 * 60 * 1_000;

/// How long a channel waits before it tries again to let old rows go, after its storage failed. Each try is an alarm;
/// rows that stay that much longer harm nobody.
pub const TRIM_PAUSE_MS: u64 = 30 * 1_000;

/// Rows past their time in whose place others may be written until the log is trimmed again.
pub const SPARE_ROWS_MAX: usize = 4_096;

/// The pause before an alarm that the platform refused is set again.
pub const ALARM_PAUSE_MS: u64 = 1_000;

/// How late an alarm may ring before it counts as given up. The platform repeats one that failed after 2 s, 4 s and so
/// on; a busy isolate is some seconds late.
pub const ALARM_OVERDUE_MS: u64 = 10 * 1_000;

/// Messages in a channel's log; beyond, the oldest go. 72 hours at almost four a second.
pub const LOG_MAX_MESSAGES: u64 = 1_000_000;

/// Rows that are overwritten at once when a channel is purged. Most have a few KB; 64 of the greatest length are
/// written in a tenth of a second.
pub const PURGED_AT_ONCE_ROWS: usize = 64;

/// Bytes in a channel's log; beyond, the oldest go. A tenth of what the platform lets an object store.
pub const LOG_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Bytes of entries in one log row. The platform allows rows of 2 MB, and a row is read as a whole.
pub const ROW_MAX_BYTES: usize = 512 * 1024;

/// Bytes of recent entries that a channel keeps in memory, so that feeding relays reads no rows.
pub const TAIL_MAX_BYTES: usize = 512 * 1024;

/// Publishes in one call that make the next wait until as many have come again, and for how long at most: a while, and
/// a millisecond for so many readers. It takes 40 to 65 µs to send each what the last call brought, and who hears of it
/// publishes the next. A publish that comes alone then waits in vain, hardly longer than that sending takes.
pub const BUSY_PUBLISHES: usize = 8;
pub const BUSY_PAUSE_MS: u64 = 8;
pub const BUSY_READERS_PER_MS: u64 = 14;

/// Calls in one commit that make the next wait for the end of its turn.
pub const BUSY_CALLS: usize = 16;

/// Between two deliveries of a channel whose namespace batches or conflates: what fits a frame that looks live, and
/// what somebody who watches takes for live.
pub const PACE_MIN_MS: u64 = 20;
pub const PACE_MAX_MS: u64 = 1_000;

/// Bytes of entries that wait for the end of such an interval; with more it ends early. They stay in the tail until
/// then, where also what is ephemeral can be had, and make one delivery.
pub const PACE_MAX_BYTES: usize = DELIVERY_MAX_BYTES;

/// Bytes in the key of a conflation. What messages say in its places is kept for the messages of one delivery; with the
/// shortest place, `#{message.name}`, 17 times in it, that is 17 times its names, 4 MB.
pub const CONFLATION_KEY_MAX_BYTES: usize = 255;

/// Bytes of publishes that wait for one commit. At 64 KiB a publish this is 64 of them, at 100 bytes thousands.
pub const COMMIT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a repeated publish is known (protocol.md § 8.2 asks for two minutes).
pub const DEDUP_WINDOW_MS: u64 = RETENTION_MS + RETENTION_SLACK_MS;

/// Publishes with an id of their own that are remembered per channel. An object handles about 1,000 requests a second,
/// so 150 s of them fit; with 17 bytes for each of 2^18 places, of which a map fills seven eighths, they take 4.5 MB.
pub const DEDUP_MAX_IDS: usize = 7 << 15;

/// Connections whose last msgSerial is remembered per channel: so many may answer a poll within 150 s, 3,000 a second.
/// With 25 bytes for each of 2^19 places they take 13 MB.
pub const DEDUP_MAX_CONNECTIONS: usize = 7 << 16;

/// Sources whose shares of a channel's log and ids it counts: 40 bytes for each, 160 KB for either.
pub const SOURCES_MAX: usize = 4_096;

/// What a channel reads of its log to know publishes that come again, in bytes: 16 MB take 0.3 s, and 2 MB a second 4 %
/// of the thread. A client that resumes comes with what it said last, of which a row or two are read; beyond, publishes
/// that may be repeated are refused with 50320.
pub const REPEATS_FLOW: Flow = Flow { burst: 16 * 1024 * 1024, per_second: 2 * 1024 * 1024 };

/// Connections, and publishes of all of them, whose places a channel keeps that were read so: 200,000 × 40 B is 8 MB.
pub const TRACES_MAX: usize = 1_000;
pub const TRACED_MAX: usize = 200_000;

/// Bytes that an operation's description and metadata have together: a reason, and what a moderation tool notes.
pub const OPERATION_MAX_BYTES: usize = 4 * 1024;

/// Versions of one message that are kept besides its first and its latest; beyond, the oldest go. At 64 KiB each this
/// is a sixteenth of what a channel's log may have, and more edits than anyone reads.
pub const VERSIONS_MAX: u32 = 1_000;

/// Bytes that appends put behind the row of a message before it is written whole again. A disk writes pages of 4 KB
/// anyway; a text of 64 KB that grows word by word is written whole about 17 times, and not at each word.
pub const ENDING_BYTES: usize = 4 * 1024;

/// What a channel reads and gives out to change messages, in bytes: an append of a byte reads its whole message and
/// gives it to relays, and one to an old message reads a row. 16 MB take 0.3 s, and 8 MB a second 15 % of the thread;
/// that is two thousand appends a second to messages of 4 KB. Beyond, changes are refused with 42911. What operations
/// on objects read to follow their paths counts, too.
pub const CHANGES_FLOW: Flow = Flow { burst: 16 * 1024 * 1024, per_second: 8 * 1024 * 1024 };

/// The longest that a publisher may let its appends be rolled up, as the hosted service has it.
pub const APPEND_ROLLUP_MAX_MS: u64 = 500;

/// Versions that a page reads at a time: at 64 KiB each, half of what a page may have.
pub const VERSIONS_PER_READ: usize = 8;

/// Bytes of entries in one delivery to a relay.
pub const DELIVERY_MAX_BYTES: usize = 256 * 1024;

/// How long a channel waits for a relay's answer before it sends again; also how soon a channel that lost its memory in
/// between is awake again to go on.
pub const DELIVERY_TIMEOUT_MS: u64 = 5 * 1_000;

/// How soon a channel asks a relay whether it has what came with the answer to its publishes, unless it published again
/// meanwhile and said so.
pub const CARRIED_CHECK_MS: u64 = 1_000;

/// The longest pause between two tries to reach a relay. Never given up: a relay that lost its sockets answers that
/// nobody listens, and only that answer may end a subscription.
pub const DELIVERY_RETRY_MAX_MS: u64 = 30 * 1_000;

/// Bytes of entries in one page of replay, which becomes one frame: base64 and escapes keep it below a frame's maximum.
pub const REPLAY_PAGE_BYTES: usize = 128 * 1024;

/// Bytes that one attachment may have replayed; a longer absence is told to read history (90004). The runtime queues
/// frames for slow sockets in memory.
pub const REPLAY_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The same of the first page of a rewind on a channel whose messages have changed: it shows each message once, as it
/// is, and what does not fit follows as it happened. 100 messages of 10 KB.
pub const REWIND_PAGE_BYTES: usize = 1024 * 1024;

/// Messages that `rewind` may ask for by count (protocol.md § 7.1).
pub const REWIND_MAX_MESSAGES: usize = 100;

/// Bytes of rows that a rewind looks back at, whatever it finds: 18 ms. Messages and presence events share the log.
/// Each message that it finds lets it look at the largest there is more, up to what a replay may have.
pub const REWIND_LOOK_BYTES: usize = 1024 * 1024;

/// Messages in a page of history.
pub const HISTORY_MAX_LIMIT: usize = 1_000;

/// Pages of history that are read for one of a chat, until one has a message of it: 10,000 others may stand before it,
/// or 40 MB of rows, which takes less than a second.
pub const CHAT_READS_MAX: usize = 10;

/// Bytes of rows that a page of history looks at, whatever it finds: 70 ms. Messages and presence events share the log.
pub const HISTORY_LOOK_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of entries in a page of history; a page ends early, with a link to the next.
pub const HISTORY_PAGE_BYTES: usize = 1024 * 1024;

/// Bytes of the largest entry: what its messages count, and what each has besides: id, encoding, msgpack's headers.
const ENTRY_MAX_BYTES: usize = (MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES) * 3
    + PUBLISH_MAX_MESSAGES * (MESSAGE_ID_MAX_BYTES + ENCODING_MAX_BYTES + 32);

const _: () = assert!(ROW_MAX_BYTES + ENTRY_MAX_BYTES < 2_000_000, "a row that ends with the largest publish fits");
const _: () =
    assert!(DEDUP_WINDOW_MS <= RETENTION_MS + RETENTION_SLACK_MS, "what is known as repeated is still in the log");
const _: () = assert!(REPEATS_FLOW.burst as usize > 8 * ROW_MAX_BYTES, "what a client says again is known at once");
const _: () =
    assert!(DEDUP_MAX_IDS as u64 > DEDUP_WINDOW_MS / 1_000 * 1_000, "a request a millisecond fits the window");
const _: () =
    assert!(HISTORY_LOOK_BYTES > 2 * (ROW_MAX_BYTES + ENTRY_MAX_BYTES), "each page looks at what the last did not");
const _: () = assert!(
    REPLAY_PAGE_BYTES + (MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES) * 2 < FRAME_MAX_BYTES,
    "a page of replay fits a frame"
);
const _: () = assert!(PACE_MAX_BYTES * 2 <= TAIL_MAX_BYTES, "what waits is in the tail");
