//! Presence.

use super::{CONNECTION_FLOW, CONNECTION_STATE_TTL_MS, HISTORY_MAX_LIMIT, MESSAGE_MAX_BYTES};

/// Members of one channel (protocol.md § 22). In memory a channel keeps one holder for each connection that has
/// members: its id, a relay's name that all share, counts and times, about 150 bytes; 20,000 connections are 3 MB. What
/// members say of themselves stays in storage.
pub const MEMBERS_MAX: usize = 20_000;

/// Members that one connection may enter in a channel: a server that enters others does it on several connections.
pub const MEMBERS_PER_CONNECTION_MAX: usize = 1_000;

/// Leaves of members who had left already that a channel remembers. With clientIds of 100 bytes they take 1 MB, and
/// with the longest 2 MB.
pub const UNTOLD_LEAVES_MAX: usize = 4_096;

/// How long members outlive the loss of their connection, and what a client may ask for instead (protocol.md § 10). No
/// longer than the connection can be resumed.
pub const GRACE_MS: u64 = 15 * 1_000;
pub const GRACE_MIN_MS: u64 = 1_000;
pub const GRACE_MAX_MS: u64 = CONNECTION_STATE_TTL_MS;

/// The same, at least, for who asked for no less than usual and is sent away by a server that stops. SDKs try again at
/// once, in vain, and then after up to 15 s; until all are back it takes 20 s.
pub const GRACE_AT_STOP_MS: u64 = 2 * GRACE_MS;

/// How often a channel with members asks the relays whether they still hold the members' connections. A channel that
/// has members all month wakes 170,000 times for it: an alarm, a call, and a row for the next alarm, about 25 cents.
pub const PROBE_INTERVAL_MS: u64 = 15 * 1_000;

/// The same after the channel lost its memory: soon, since it may be that everything was lost, and so that a channel
/// that is often rebuilt asks at all.
pub const PROBE_FIRST_MS: u64 = 5 * 1_000;

/// How long a relay may leave such a question unanswered before its members are taken to be gone.
pub const PROBE_TRY_MS: u64 = 10 * 1_000;

/// How long a relay may take for one answer, and the pause before it is asked again.
pub const PROBE_ANSWER_MS: u64 = 3 * 1_000;
pub const PROBE_PAUSE_MS: u64 = 1_000;

/// The longest that a member is listed whose connection is gone, whatever died with it.
pub const GHOST_MAX_MS: u64 = 45 * 1_000;

/// Members in one call, and in one SYNC frame. 20,000 members are 40 calls and frames of 80 KB for each late joiner.
pub const MEMBERS_PAGE_MAX: usize = 500;

/// Bytes of SYNC that a relay sends in one turn, to all sockets together, and how long that is at least: 200 MB a
/// second. The kernel takes 1 MiB from the runtime in about 1 ms, so what is live finds the relay idle most of the
/// time. One reader alone gets one page in a turn: 20,000 members in 200 ms, and never more than a connection may be
/// sent.
pub const SYNC_TURN_BYTES: usize = 1024 * 1024;
pub const SYNC_TURN_MS: u64 = 5;

/// What a send costs however short the frame: as much time as so many bytes.
pub const SYNC_SEND_BYTES: usize = 16 * 1024;

/// Bytes of members in one call; a page ends early. A single member may have the largest data there is.
pub const MEMBERS_PAGE_BYTES: usize = 80 * 1024;

/// Leaves in one entry of the log, and the bytes of what they say, when many leave at once.
pub const LEAVES_PER_ENTRY: usize = 100;
pub const LEAVES_PER_ENTRY_BYTES: usize = MESSAGE_MAX_BYTES;

/// How long a change of occupancy waits after the last that was told: at a relay before it reports, at the channel
/// before it tells listeners. The first and the last of a kind wait the shorter time. So ten thousand joins a second
/// cost a channel one report a second from each relay, and a listener sees them within twice the interval.
pub const OCCUPANCY_INTERVAL_MS: u64 = 2 * 1_000;
pub const OCCUPANCY_FLIP_MS: u64 = 100;

/// Callers that wait for one round of counting.
pub const COUNTS_WAITING_MAX: usize = 1_000;

/// How long a channel counts as in use after the last publish.
pub const ACTIVE_MS: u64 = 60 * 1_000;

/// How long a channel waits before it tries again to tell its app that it is in use, or no longer.
pub const LISTING_PAUSE_MS: u64 = 30 * 1_000;

/// Channels in a page of those in use. Each is asked, and the platform allows a request some hundreds of calls.
pub const CHANNELS_PAGE_MAX: usize = 100;

/// Members in a page that REST gives, and of each channel in a batch: as many as messages.
pub const MEMBERS_MAX_LIMIT: usize = HISTORY_MAX_LIMIT;

const _: () = assert!(
    PROBE_INTERVAL_MS + GRACE_MS + PROBE_TRY_MS + PROBE_ANSWER_MS + PROBE_PAUSE_MS <= GHOST_MAX_MS,
    "asked, waited, and no answer"
);
const _: () = assert!(GRACE_AT_STOP_MS <= GHOST_MAX_MS && GRACE_AT_STOP_MS <= GRACE_MAX_MS, "no ghosts, either");
const _: () = assert!(GRACE_MIN_MS <= GRACE_MS && GRACE_MS <= GRACE_MAX_MS, "the usual grace is one to ask for");
const _: () = assert!(
    (MEMBERS_PAGE_BYTES as u64) * 1_000 / SYNC_TURN_MS <= CONNECTION_FLOW.per_second,
    "a page in each turn is no more than a connection may be sent"
);
const _: () = assert!(MEMBERS_PER_CONNECTION_MAX <= MEMBERS_MAX, "one connection's members fit");

/// Members of a channel whose users are told apart (`presence-…`), and whose set is given out in one piece: ten times
/// what Pusher's service has. For each that comes or goes all are looked at.
pub const USERS_MAX: usize = 1_000;

/// Bytes of such a set: a kilobyte for each of its users, as Pusher's service allows.
pub const USERS_MAX_BYTES: usize = USERS_MAX * 1_024;
