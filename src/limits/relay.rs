//! A relay and its connections.

use super::{
    CHANNEL_NAME_MAX_BYTES, COMMIT_MAX_BYTES, GRANT_MAX_BYTES, MEMBERS_PER_CONNECTION_MAX, MESSAGE_MAX_BYTES,
    PUBLISH_MAX_MESSAGES, REAUTH_MARGIN_MS, SPEAKERS_MAX_BYTES,
};
use crate::base::rate::Flow;

/// Attachments of one connection (protocol.md § 22).
pub const CHANNELS_PER_CONNECTION_MAX: usize = 200;

/// Bytes of the record that a socket carries for a rebuilt object: the platform allows 16,384. About 150 channels with
/// names of 50 bytes fit beside a usual grant; what doesn't fit of names and parameters is stored, a row for each
/// channel.
pub const SESSION_RECORD_MAX_BYTES: usize = 16_000;

/// How often one connection may attach: twice all its channels at once, then five a second. A client whose channel
/// fails on each message attaches again at once; told that it is detached, SDKs wait 15 s. A SYNC counts as an ATTACH,
/// as does an AUTH, and each attachment that begins anew by it.
pub const ATTACH_FLOW: Flow = Flow { burst: 2 * CHANNELS_PER_CONNECTION_MAX as u64, per_second: 5 };

/// Parameters of a frame: SDKs send six at most.
pub const PARAMS_MAX: usize = 100;

/// Names of one channel that one connection may be attached by, `[?rewind=1]lobby` beside `lobby`. Each is a frame of
/// every delivery, so twenty guests with 200 names would be as many readers as 4,000.
pub const NAMES_PER_CHANNEL_MAX: usize = 4;

/// Bytes of an attachment in such a record whose name is stored, at most: how far it is, with a epoch of 16 bytes.
pub const ROWED_ATTACHMENT_MAX_BYTES: usize = 48;

/// Bytes of the names and parameters of one connection's channels: 320 for each of 200, or 32 names of the greatest
/// length. They are in memory; more is refused with 90010.
pub const ATTACHMENTS_MAX_BYTES: usize = 64 * 1024;

/// Bytes of the names and parameters in a relay that don't fit sockets: what 3,000 connections with 200 names of 80
/// bytes have of it. Beyond, whoever would need more is refused with 50320.
pub const ROWS_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of an attachment's parameters.
pub const ATTACH_PARAMS_MAX_BYTES: usize = 1_024;

/// Connections of a relay whose clients have yet to say who they are; beyond, the one that waits longest ends. It
/// takes a client a round trip or two, and these are as many as may come in during a second, so that it has said it by
/// then.
pub const NOBODYS_MAX: usize = 1_000;

/// How long a connection without a transport may be resumed, unless the deployment says less. Channels keep what it
/// missed no longer.
pub const CONNECTION_STATE_TTL_MS: u64 = 120 * 1_000;

/// The least that a deployment can say: SDKs try again 15 s after what was not an instant's failure.
pub const CONNECTION_STATE_TTL_MIN_MS: u64 = 10 * 1_000;

/// Connections without a transport that a relay remembers, to refuse keys that were used up. One that is forgotten
/// early can still resume.
pub const PARTED_CONNECTIONS_MAX: usize = 32_768;

/// Publishes of those connections whose clients were not told of them and may say them again, uncounted: eight of each
/// connection, or all that may wait of 26, in 2 MB. More are counted again.
pub const PARTED_PUBLISHES_MAX: usize = 262_144;

/// How long a relay takes a channel's last word for the present, of which who attaches hears what comes next. Then it
/// asks, for all who attach meanwhile: of a thousand relays of a silent channel that is a hundred calls a second. The
/// least that a log keeps is twelve times as long.
pub const FEED_CURRENT_MS: u64 = 10 * 1_000;

/// How often a client hears from the server, unless it asks otherwise.
pub const HEARTBEAT_INTERVAL_MS: u64 = 15 * 1_000;

/// What a client may ask for instead (protocol.md § 2).
pub const HEARTBEAT_INTERVAL_MIN_MS: u64 = 5 * 1_000;
pub const HEARTBEAT_INTERVAL_MAX_MS: u64 = 30 * 60 * 1_000;

/// How long before a token expires its client is asked for another.
pub const TOKEN_RENEWAL_MARGIN_MS: u64 = 30 * 1_000;

/// The same of a token that is revoked with a margin. What is signed within the second of the revocation is revoked too
/// (protocol.md § 11.7), so that second is over then.
pub const REVOKED_RENEWAL_MARGIN_MS: u64 = REAUTH_MARGIN_MS - 1_000;

/// How long after one token a client is asked for another, where the one is revoked as well because the clock of its
/// issuer is behind. In the time that a revocation leaves that is six tokens at most.
pub const REVOKED_RENEWAL_INTERVAL_MS: u64 = 5 * 1_000;

/// Bytes of publishes in one call to a channel.
pub const PUBLISH_CALL_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of publishes that wait in a relay, over all its connections.
pub const PUBLISH_QUEUE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long a relay tries to reach a channel with a publish, before it refuses it.
pub const PUBLISH_TRY_MS: u64 = 20 * 1_000;

/// How long a relay waits for the answer to a call, before it goes on as if there were none. Longer than until its next
/// heartbeat is due, so that calls need no alarm of their own, which would be a row each; and no longer than SDKs pause
/// before they attach again.
pub const CALL_ANSWER_MS: u64 = 18 * 1_000;

/// Publishes of one connection that wait for their acknowledgement.
pub const UNACKNOWLEDGED_MAX: usize = 10_000;

/// Refusals of publishes that wait behind one that is open, for one connection; those that are alike and follow each
/// other count once. 250 × 500 B is 125 KB.
pub const REFUSALS_WAITING_MAX: usize = 250;

/// Messages and presence events that one connection may say: what CONNECTED states, unless the deployment says
/// otherwise, and at once the largest publish, or all members that it may enter. 250 a second cost 5 ms of a thread, so
/// it takes two hundred connections that all publish as fast as they may to fill it.
pub const MESSAGE_FLOW: Flow = Flow { burst: 1_000, per_second: 250 };

/// Refusals for the rate after which a connection is ended: ten thousand at once, or 250 a second more than that for as
/// long. A client in a loop gets there in seconds, one that sends too much at once never.
pub const REFUSED_FLOW: Flow = Flow { burst: 10_000, per_second: 250 };

/// How long a client is kept out that was sent away for that: at first, and at most. It doubles.
pub const KEPT_OUT_FIRST_MS: u64 = 10 * 1_000;
pub const KEPT_OUT_MAX_MS: u64 = 5 * 60 * 1_000;

/// Clients whose messages a relay counts, and namespaces of each: 100 bytes and the clientId, 3 MB. Beyond, those who
/// have not said anything for a while are forgotten; if there are none, others are not counted.
pub const CLIENTS_COUNTED_MAX: usize = 10_000;

/// The highest bound that a namespace may set for one client: it would be none.
pub const CLIENT_RATE_MAX: u64 = 10_000;

/// What one connection may be sent: 256 Mbit/s, five times what the fastest of a hundred readers got, and 128 pages of
/// replay at once. Beyond, its attachments are brought up to date from the log when half of that is free.
pub const CONNECTION_FLOW: Flow = Flow { burst: 16 * 1024 * 1024, per_second: 32 * 1024 * 1024 };

/// The same for all connections of a relay: what the runtime may have to queue at once, and what one thread gives out,
/// at 15 to 20 µs for a frame of some KB. With more to say, those wait who were sent more than their share, so that at
/// most twice this is queued for readers that read: 6,000 sockets and a frame of 16 KB for each.
pub const RELAY_FLOW: Flow = Flow { burst: 96 * 1024 * 1024, per_second: 1024 * 1024 * 1024 };

/// Bytes of deliveries that a socket is sent without a word from its client: three quarters of a minute at the highest
/// rate measured, hours at a usual one. Bytes of answers that it is sent at all: 16 full replays or sets of members, or
/// the acknowledgements of half a million publishes. The runtime doesn't tell who reads, and queues for those who
/// don't, outside of the isolate's memory. Beyond, the client is told to come back (80003, 42910), and resumes. One
/// that answers heartbeats is asked with every heartbeat, and when half of it is sent.
pub const UNHEARD_MAX_BYTES: u32 = 256 * 1024 * 1024;
pub const ANSWERS_MAX_BYTES: u32 = 128 * 1024 * 1024;

/// Connections of one relay that webhooks are told of, with their events that wait: as many as it holds, those that may
/// come back, and the ends of as many again while the channel that keeps them cannot be reached. 400 bytes each, 16 MB;
/// beyond, clients are sent elsewhere.
pub const LIVES_MAX: usize = 40_000;

/// Events in one call to that channel: 50 KB.
pub const LIVES_PER_CALL: usize = 100;

/// When it is told again what it could not be told.
pub const LIVES_RETRY_MS: u64 = 2_000;

/// How often a relay that has such connections looks at them, and so how long after a kill it notices at most: so many
/// times while one that was lost may come back. Where clients get heartbeats it wakes more often for these.
pub const LIVES_LOOKS: u64 = 2;

const _: () = assert!(CONNECTION_FLOW.burst < RELAY_FLOW.burst / 4, "one reader leaves room for others");
const _: () = assert!(CONNECTION_FLOW.burst < UNHEARD_MAX_BYTES as u64, "who is slow is slowed down first");
const _: () = assert!(MESSAGE_FLOW.burst >= PUBLISH_MAX_MESSAGES as u64, "the largest publish counts as one burst");
const _: () = assert!(MESSAGE_FLOW.burst >= MEMBERS_PER_CONNECTION_MAX as u64, "all members come back at once");
const _: () = assert!(CALL_ANSWER_MS > HEARTBEAT_INTERVAL_MS, "calls need no alarm of their own");
const _: () = assert!(CALL_ANSWER_MS < PUBLISH_TRY_MS, "a publish whose call was lost is sent again");
const _: () = assert!(
    PUBLISH_CALL_MAX_BYTES + MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES <= COMMIT_MAX_BYTES,
    "a full call fits a commit"
);
const _: () = assert!(SESSION_RECORD_MAX_BYTES < 16_384, "the platform's bound on what a socket carries");
const _: () = assert!(
    GRANT_MAX_BYTES + CHANNELS_PER_CONNECTION_MAX * ROWED_ATTACHMENT_MAX_BYTES + 256 < SESSION_RECORD_MAX_BYTES,
    "all channels fit a record once their names are stored"
);
const _: () = assert!(
    CHANNEL_NAME_MAX_BYTES + ATTACH_PARAMS_MAX_BYTES < ATTACHMENTS_MAX_BYTES,
    "any one channel may be attached"
);
