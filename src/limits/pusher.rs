//! The door for clients of Pusher Channels, and the API of their servers.

/// How far the clock of a server that signs a request may be from ours: what Pusher's own service allows.
pub const PUSHER_CLOCK_SKEW_MAX_MS: u64 = 600 * 1_000;

/// Bytes of who is on presence channels, gathered for those who are joining them, of all connections of a relay: a part
/// of its memory that sixteen full sets fit. Beyond, clients are told to come back after a while (50320).
pub const ROSTERS_MAX_BYTES: usize = 16 * super::USERS_MAX_BYTES;

/// Events in one batch: as many as Pusher's own service takes.
pub const PUSHER_BATCH_MAX_EVENTS: usize = 10;

/// Channels in one answer, each of which is asked for its counts. It has no pages.
pub const PUSHER_CHANNELS_MAX: usize = 1_000;
