//! What an operator does while the server runs.

use super::{CHANNEL_NAME_MAX_BYTES, CLIENT_ID_MAX_BYTES};

/// How long a ban may be that has an end: ten years. The sum with any clock stays exact in JavaScript.
pub const BAN_MAX_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Bytes of a ban's reason, which each refused client is told.
pub const BAN_REASON_MAX_BYTES: usize = 200;

/// Between two messages of one client in slow mode: an hour. Whoever may say less says nothing.
pub const SILENCE_INTERVAL_MAX_MS: u32 = 60 * 60 * 1_000;

/// Bans in one app. A relay keeps all of them: 10,000 × (2.5 KB at most, usually 100 B) is 25 MB, and 1 MB usually.
pub const BANS_MAX: usize = 10_000;

/// Bans in a page, and in one notice to a relay: 500 × 2.5 KB is 1.3 MB.
pub const BANS_PAGE_MAX: usize = 500;

/// How long a router remembers that an app has no bans, so that a publish over REST costs no call to the app. The first
/// ban of an app reaches REST requests at other routers after this time at most, and connections at once.
pub const UNBANNED_KEPT_MS: u64 = 5 * 1_000;
pub const UNBANNED_MAX_APPS: usize = 1_000;

/// Entries of an app's audit, and in a page of it. 1,000 × 3 KB at most is 3 MB of its object's storage.
pub const AUDIT_MAX: usize = 1_000;
pub const AUDIT_PAGE_MAX: usize = 100;

/// Bytes of what an entry says of its target: a clientId and a channel, or the name of a key.
pub const AUDIT_TARGET_MAX_BYTES: usize = CLIENT_ID_MAX_BYTES + CHANNEL_NAME_MAX_BYTES + 100;

/// Connections in a page, and how many of the channels of each are named. 100 × 20 × 2 KiB is 4 MB at most, and 60 KB
/// with usual names.
pub const CONNECTIONS_PAGE_MAX: usize = 100;
pub const CONNECTION_CHANNELS_SHOWN: usize = 20;

/// Objects that one request asks for their connections, all at once. A request on the edge makes at most 50 calls where
/// the plan is the free one.
pub const HOLDERS_AT_ONCE_MAX: usize = 20;

/// How long a key that is replaced stays good: a day, where the request doesn't say, and 90 days at most.
pub const KEY_OVERLAP_MS: u64 = 24 * 60 * 60 * 1_000;
pub const KEY_OVERLAP_MAX_MS: u64 = 90 * KEY_OVERLAP_MS;

const _: () = assert!(BAN_MAX_MS < 1 << 52, "an end stays exact");
const _: () = assert!(AUDIT_PAGE_MAX <= AUDIT_MAX && BANS_PAGE_MAX <= BANS_MAX, "a page is a part");
