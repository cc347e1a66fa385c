//! Bounds of webhooks: what an app may ask for, what one request holds, and how often it is tried.

use super::{LOG_MAX_BYTES, LOG_MAX_MESSAGES, MESSAGE_MAX_BYTES, SPEAKERS_MAX_BYTES};

/// Webhooks of an app. All that concern a channel travel with each call to it, about 300 bytes each.
pub const HOOKS_PER_APP_MAX: usize = 20;

/// Bytes in a webhook's id, and in its URL.
pub const HOOK_ID_MAX_BYTES: usize = 64;
pub const HOOK_URL_MAX_BYTES: usize = 2_048;

/// Bytes in a secret that signs. Receivers get it by other ways, so it may be as long as one of theirs.
pub const HOOK_SECRET_MAX_BYTES: usize = 256;

/// Events in one request, and bytes of what they are made of, one event at least. As JSON they may take twice as much.
pub const HOOK_BATCH_MAX_EVENTS: usize = 1_000;
pub const HOOK_BATCH_MAX_BYTES: usize = 256 * 1024;

/// Bytes that are read of the log for one request: what a webhook does not want is passed over so fast.
pub const HOOK_LOOK_BYTES: usize = 4 * HOOK_BATCH_MAX_BYTES;

/// By how much the clocks of an app's object and a channel's may differ: a webhook also gets what was published so long
/// before it was made, by whoever had not heard of it.
pub const HOOK_CLOCKS_MS: u64 = 1_000;

/// How soon a change of a webhook must follow another to count from that: a channel where something was published
/// meanwhile has heard of the first by then, see [`STATS_ROUTER_MS`](super::STATS_ROUTER_MS).
pub const HOOK_CHANGES_MS: u64 = 2 * 60 * 1_000;

/// How long a receiver has to answer.
pub const HOOK_TIMEOUT_MS: u64 = 15 * 1_000;

/// When a request whose outcome is not known is made again: the object was ended meanwhile. Also the longest time
/// between a publish and its event after a crash.
pub const HOOK_LEASE_MS: u64 = 20 * 1_000;

/// The least time between two batches of one channel to one receiver. A batch costs a request and a row.
pub const HOOK_INTERVAL_MS: u64 = 100;

/// The first pause after a failure; each is twice the one before, up to the longest. A random part of up to half is
/// taken off, so that channels do not come back all at once.
pub const HOOK_RETRY_MS: u64 = 1_000;
pub const HOOK_RETRY_MAX_MS: u64 = 10 * 60 * 1_000;

/// The longest pause that a receiver can ask for by `Retry-After`.
pub const HOOK_RETRY_AFTER_MAX_MS: u64 = 60 * 60 * 1_000;

/// How often events are sent to a receiver that says that they are wrong, or that it has moved. About a minute: it may
/// be between two versions.
pub const HOOK_REFUSED_TRIES: u32 = 6;

/// How long events are tried before they are given up.
pub const HOOK_GIVE_UP_MS: u64 = 24 * 60 * 60 * 1_000;

/// How far behind a webhook may be, in messages and bytes of the channel's log; beyond, the oldest events are given up.
/// Rows that are kept for it and those that clients may read are together no more than that.
pub const HOOK_BEHIND_MAX_MESSAGES: u64 = LOG_MAX_MESSAGES;
pub const HOOK_BEHIND_MAX_BYTES: u64 = LOG_MAX_BYTES;

/// Events of a channel's life that wait: that it came into use, or that nobody is on it any more. Beyond, the oldest
/// pair is given up: what is left still ends as it should.
pub const HOOK_LIFE_EVENTS_MAX: usize = 100;

/// Reports that a channel keeps for its app. Beyond, the oldest is dropped: the app counts those that it has.
pub const HOOK_NEWS_MAX: usize = 20;

/// Between two tries to report.
pub const HOOK_NEWS_PAUSE_MS: u64 = 5 * 1_000;

/// What an app keeps: events that were given up, newest first, and the channels whose webhook fails. At 1 KB each,
/// both take 2 MB, and the events as much again as is said below.
pub const HOOK_DEAD_MAX: usize = 1_000;
pub const HOOK_TROUBLED_MAX: usize = 1_000;

/// Bytes of the events that are kept of one request that was given up, of the first of them: 8 MB in an app, and 160 KB
/// in the row of a channel that cannot tell it. A page of them is 800 KB.
pub const HOOK_DEAD_MAX_BYTES: usize = 8 * 1024;
pub const HOOK_DEAD_PAGE_MAX: usize = 100;

const _: () = assert!(HOOK_LEASE_MS > HOOK_TIMEOUT_MS, "a request ends before it is made again");
const _: () =
    assert!(HOOK_BATCH_MAX_BYTES > MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES, "a batch holds the largest message");
