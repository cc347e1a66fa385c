//! Spreading connections over relays, and an isolate's time over those who ask.

use super::DELIVERY_MAX_BYTES;

/// Connections of one relay, unless the deployment says otherwise. A frame to each costs 15 to 20 µs of CPU, so a
/// message to all takes the relay's one thread about 0.1 s; 1.5 KB of our memory each and a few of the runtime's come
/// to 30 MB of the 128 that objects may have to share. 5,000 clients, who sends to them, and a reserve.
pub const RELAY_CONNECTIONS: usize = 6_000;

/// Attachments of one relay's connections: 300 bytes of memory each with a name of 50 bytes, 60 MB with those of the
/// reserve. More than 27 for each connection; then newcomers go to the next relay, as when it has its connections.
pub const RELAY_ATTACHMENTS: usize = 160_000;

/// The most that a deployment may say: what the platform lets one object hold.
pub const RELAY_CONNECTIONS_MAX: usize = 32_768;

/// The part of its bound that a relay keeps free for connections that come back to it: a quarter more, once it is full.
pub const RETURNING_PART: usize = 4;

/// Connections that a relay takes in during one second, unless the deployment says otherwise. One costs about 0.3 ms
/// with its first attachment, so a storm leaves two thirds of the thread to those who are there.
pub const RELAY_CONNECTS_PER_SECOND: u32 = 1_000;

/// As how many of these one counts that comes over HTTP and then asks for its channels: it makes four requests until it
/// has them, to connect, to attach, and to read the answers.
pub const POLLER_CONNECTS: u32 = 4;

/// Shards of one app in one region: 256 times 6,000 connections are 1.5 million, in each of nine regions.
pub const SHARDS_MAX: u16 = 256;

/// How long a relay that takes in as many as it can asks others to wait: the rest of a second.
pub const BUSY_MAX_MS: u64 = 1_000;

/// How long a router remembers that a relay was full. So long a crowd that left leaves relays half empty.
pub const FULL_KEPT_MS: u64 = 60 * 1_000;

/// Regions of apps, and channels with sockets of their own, whose full objects a router remembers: 16 bytes for each of
/// 256 relays at most, 4 MB.
pub const SPREAD_MAX_KNOWN: usize = 1_000;

/// Relays that a channel feeds itself, and the first of each region besides: 48,000 clients. A call to each costs its
/// one thread 0.15 ms, so a round of deliveries takes 3 ms of it at most.
pub const DIRECT_RELAYS_MAX: usize = 8;

/// Relays that a relay feeds on a channel's behalf. With 256 relays in a region none is more than three steps away.
pub const FOLLOWERS_MAX: u16 = 16;

/// Bytes of recent deliveries that a relay keeps for those that it feeds, for one channel and for all. What is older it
/// reads from the channel's log.
pub const BRANCH_TAIL_MAX_BYTES: usize = DELIVERY_MAX_BYTES;
pub const BRANCHES_TAIL_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of messages that a relay keeps because the next may be sent as a delta to them: one for each channel with
/// readers who want that, until there are more; then messages go out whole.
pub const DELTA_BASES_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How soon a relay that feeds others tries again to be fed itself.
pub const BRANCH_RETRY_MS: u64 = 1_000;

/// Requests and connects that an isolate takes in within a second before addresses share it: about as many as it can.
pub const REQUESTS_PER_SECOND: u64 = 2_000;

/// Bytes of an address as it is kept: the longest of IPv6 as text.
pub const ADDRESS_MAX_BYTES: usize = 45;

/// Addresses that are told apart within a second. Each has asked for something then, 60 bytes.
pub const ADDRESSES_MAX: usize = 4_096;

const _: () = assert!(SHARDS_MAX.is_power_of_two(), "the last tier is a whole one");
const _: () = assert!(RELAY_CONNECTIONS + RELAY_CONNECTIONS / RETURNING_PART < RELAY_CONNECTIONS_MAX, "a reserve fits");
