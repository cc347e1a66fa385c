//! The door for clients of Pusher Channels, and the API of their servers.

/// How far the clock of a server that signs a request may be from ours: what Pusher's own service allows.
pub const PUSHER_CLOCK_SKEW_MAX_MS: u64 = 600 * 1_000;

/// Events in one batch: as many as Pusher's own service takes.
pub const PUSHER_BATCH_MAX_EVENTS: usize = 10;

/// Channels in one answer, each of which is asked for its counts. It has no pages.
pub const PUSHER_CHANNELS_MAX: usize = 1_000;
