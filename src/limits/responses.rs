//! Connections over HTTP.

use super::{FRAME_MAX_BYTES, GHOST_MAX_MS, GRACE_MS, OBJECTS_MAX_BYTES, UNACKNOWLEDGED_MAX};

/// Connections over HTTP that an object holds: each has a session of about 1 KB and a response of a few, 80 MB in all.
pub const LINKS_MAX: usize = 16_384;

/// How long such a connection may be without a response that is open, before it has lost its transport. A client asks
/// again at once; this is a slow one's round trip.
pub const LINK_ABSENT_MS: u64 = 10 * 1_000;

/// How often an open response says something, if only that there is nothing, to find out whether somebody reads.
pub const LINK_PROBE_MS: u64 = 12 * 1_000;

/// How long a reader may take for what is written to it.
pub const LINK_STALL_MS: u64 = 10 * 1_000;

/// How much longer the reader of a long body has, at [`BODY_MIN_BYTES_PER_MS`]: it may still be on its way when nothing
/// more is to be written, and its client asks again when it has all of it. Longer, and members would be ghosts.
pub const LINK_TAKING_MAX_MS: u64 = 6 * 1_000;

/// Bytes that wait for one reader; with more to say, the connection has lost its transport, and its client resumes from
/// what it got. Eight pages of replay.
pub const LINK_QUEUE_MAX_BYTES: usize = 1024 * 1024;

/// The same while less than half of what may wait for all does: the objects of a channel, as long as they may be. A
/// reader that is cut off amid them is given them from the beginning when it comes back, and a slow one would never
/// have all of them. When two are that slow, others have what every reader has.
pub const LINK_ROOMY_MAX_BYTES: usize = LINKS_QUEUE_MAX_BYTES / 4;
pub const LINKS_ROOMY_BYTES: usize = LINKS_QUEUE_MAX_BYTES / 2;

/// The same for all readers of an object, where a frame that waits for many counts once, and what was given to each of
/// them until it is taken.
pub const LINKS_QUEUE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of bodies that are being read or answered, in one isolate: a quarter of its memory. Short ones may take a
/// quarter more, so that who sends much does not stand in their way.
pub const BODIES_MAX_BYTES: usize = 32 * 1024 * 1024;
pub const BODY_SMALL_BYTES: usize = 64 * 1024;

/// Of these, those of clients that have not proved who they are, and what one address has of that: 64 of the longest
/// token requests at once, or thousands of usual ones.
pub const BODIES_UNPROVEN_MAX_BYTES: usize = BODIES_MAX_BYTES / 4;
pub const BODIES_OF_ADDRESS_MAX_BYTES: usize = BODIES_UNPROVEN_MAX_BYTES / 8;

/// Bytes of an answer that is counted until it is read: those below are as many as sockets hold anyway. What all such
/// answers have in one isolate, and what one address has of that: eight of the longest pages.
pub const UNREAD_SHORT_BYTES: usize = 64 * 1024;
pub const UNREAD_MAX_BYTES: usize = 32 * 1024 * 1024;
pub const UNREAD_OF_ADDRESS_MAX_BYTES: usize = UNREAD_MAX_BYTES / 4;

/// How long a body may take: so long at first, no slower than this (128 kbit/s), and never so long without a byte.
pub const BODY_FIRST_MS: u64 = 10 * 1_000;
pub const BODY_MIN_BYTES_PER_MS: u64 = 16;
pub const BODY_STALL_MS: u64 = 10 * 1_000;

/// Bytes that are read of a body and not kept, so that its client comes to hear why it is refused.
pub const BODY_SKIPPED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Frames that a client sends at once: as many as may be unacknowledged.
pub const COMET_FRAMES_MAX: usize = UNACKNOWLEDGED_MAX;

/// Bytes that a client sends at once: SDKs put everything that waits into one body. 128 of the largest publishes.
pub const COMET_BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a frame that waits is taken to need besides its text.
pub const LINK_FRAME_BYTES: usize = 64;

/// Channels of one stream of events. Each event's id names a serial of 31 bytes for each: 620.
pub const STREAM_MAX_CHANNELS: usize = 20;

/// When a stream that is turned away for now comes back, at the earliest; at the latest in twice that. As SDKs do.
pub const STREAM_RETRY_MS: u64 = 15 * 1_000;

/// Bytes that are written at once, unless a single frame has more: into a stream, and as the body of a poll, which a
/// slow link takes four seconds to bring.
pub const RESPONSE_MAX_BYTES: usize = 256 * 1024;
pub const POLL_MAX_BYTES: usize = 64 * 1024;

const _: () = assert!(COMET_BODY_MAX_BYTES * 4 <= BODIES_MAX_BYTES, "a long body leaves room for others");
const _: () = assert!((OBJECTS_MAX_BYTES as usize) < LINK_ROOMY_MAX_BYTES, "all values of a channel's objects wait");
const _: () = assert!(FRAME_MAX_BYTES * 3 / 2 < LINK_QUEUE_MAX_BYTES, "any frame waits, and a farewell behind it");
const LINK_LEFT_MS: u64 = LINK_PROBE_MS + LINK_TAKING_MAX_MS + GRACE_MS;
const _: () = assert!(LINK_LEFT_MS + LINK_ABSENT_MS <= GHOST_MAX_MS, "who left a poll is no ghost");
const _: () = assert!(LINK_LEFT_MS + LINK_STALL_MS <= GHOST_MAX_MS, "nor who left a stream");
const _: () = assert!(LINK_PROBE_MS >= LINK_ABSENT_MS && LINK_PROBE_MS >= LINK_STALL_MS, "the longest patience");
