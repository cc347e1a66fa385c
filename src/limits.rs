//! Every bound of the system, with its arithmetic. Reaching one gets a coded error, never silence.

use crate::rate::{Flow, Rate};

/// Bytes in an app's id. Hosted ids have six; room for words.
pub const APP_ID_MAX_BYTES: usize = 64;

/// Bytes in a channel's name (protocol.md § 22).
pub const CHANNEL_NAME_MAX_BYTES: usize = 2_048;

/// Bytes in a clientId (protocol.md § 22).
pub const CLIENT_ID_MAX_BYTES: usize = 255;

/// Bytes in a frame that a client sends. A larger one is refused undecoded and ends the connection.
pub const FRAME_MAX_BYTES: usize = 512 * 1024;

/// Bytes in one publish: names, clientIds, extras and data of all its messages (protocol.md § 8.4).
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// Messages in one publish.
pub const PUBLISH_MAX_MESSAGES: usize = 1_000;

/// Bytes in the id that a publisher chooses for a message, and in its encoding. The size of a message does not count them
/// (protocol.md § 8.4), yet a row holds them.
pub const MESSAGE_ID_MAX_BYTES: usize = 255;
pub const ENCODING_MAX_BYTES: usize = 255;

/// Bytes that a message takes where messages wait or travel, besides what is counted of it and the texts above: its place in
/// lists, its serial and its time. A publish of a thousand messages that say nothing is no small one.
pub const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// Bytes of a decoding error's text that are told: decoders quote what they could not read, whole.
pub const DECODE_ERROR_MAX_BYTES: usize = 200;

/// Values in a decoded frame or body, each list, map and what is in them counted: 24 bytes each, and as many again while a
/// list grows, is 12 MB. The largest publish has about 40,000.
pub const DECODED_VALUES_MAX: usize = 1 << 18;

/// Nesting of a decoded frame. Decoders recurse, so this bounds their stack.
pub const NESTING_MAX: usize = 100;

const _: () = assert!(MESSAGE_MAX_BYTES * 2 < FRAME_MAX_BYTES, "base64 and field names fit around the largest message");

// The log of a channel.

/// How long messages can be read from history and resumed from, in a namespace that doesn't persist.
pub const RETENTION_MS: u64 = 2 * 60 * 1_000;

/// The same in a persisted namespace.
pub const RETENTION_PERSISTED_MS: u64 = 72 * 60 * 60 * 1_000;

/// How much longer rows are kept than they can be read, so that rows go many at a time and a serial given out at the
/// very end of the retention still resumes.
pub const RETENTION_SLACK_MS: u64 = 30 * 1_000;

/// How long a channel waits before it tries again to let old rows go, after its storage failed. Each try is an alarm; rows
/// that stay that much longer harm nobody.
pub const TRIM_PAUSE_MS: u64 = 30 * 1_000;

/// Messages in a channel's log; beyond, the oldest go. 72 hours at almost four a second.
pub const LOG_MAX_MESSAGES: u64 = 1_000_000;

/// Bytes in a channel's log; beyond, the oldest go. A tenth of what the platform lets an object store.
pub const LOG_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Bytes of entries in one log row. The platform allows rows of 2 MB, and a row is read as a whole.
pub const ROW_MAX_BYTES: usize = 512 * 1024;

/// Bytes of recent entries that a channel keeps in memory, so that feeding relays reads no rows.
pub const TAIL_MAX_BYTES: usize = 512 * 1024;

/// Publishes in one call that make the next wait for more, and for how long: about as long as it takes to send what the
/// last brought to 100 readers. With 200 in flight it makes frames two and a half times as full; a reader can't tell.
pub const BUSY_PUBLISHES: usize = 32;
pub const BUSY_PAUSE_MS: u64 = 4;

/// Calls in one commit that make the next wait for the end of its turn.
pub const BUSY_CALLS: usize = 16;

/// Between two deliveries of a channel whose namespace batches or conflates: what fits a frame that looks live, and what
/// somebody who watches takes for live.
pub const PACE_MIN_MS: u64 = 20;
pub const PACE_MAX_MS: u64 = 1_000;

/// Bytes of entries that wait for the end of such an interval; with more it ends early. They stay in the tail until then,
/// where also what is ephemeral can be had, and make one delivery.
pub const PACE_MAX_BYTES: usize = DELIVERY_MAX_BYTES;

/// Bytes in the key of a conflation. What messages say in its places is kept for the messages of one delivery; with the
/// shortest place, `#{message.name}`, 17 times in it, that is 17 times its names, 4 MB.
pub const CONFLATION_KEY_MAX_BYTES: usize = 255;

/// Bytes of publishes that wait for one commit. At 64 KiB a publish this is 64 of them, at 100 bytes thousands.
pub const COMMIT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long a repeated publish is known (protocol.md § 8.2 asks for two minutes).
pub const DEDUP_WINDOW_MS: u64 = RETENTION_MS + RETENTION_SLACK_MS;

/// Publishes with an id of their own that are remembered per channel. An object handles about 1,000 requests a second, so
/// 150 s of them fit; with 17 bytes for each of 2^18 places, of which a map fills seven eighths, they take 4.5 MB.
pub const DEDUP_MAX_IDS: usize = 7 << 15;

/// Connections whose last msgSerial is remembered per channel: so many may answer a poll within 150 s, 3,000 a second. With
/// 25 bytes for each of 2^19 places they take 13 MB.
pub const DEDUP_MAX_CONNECTIONS: usize = 7 << 16;

/// Bytes of entries in one delivery to a relay.
pub const DELIVERY_MAX_BYTES: usize = 256 * 1024;

/// How long a channel waits for a relay's answer before it sends again; also how soon a channel that lost its memory in
/// between is awake again to go on.
pub const DELIVERY_TIMEOUT_MS: u64 = 5 * 1_000;

/// The longest pause between two tries to reach a relay. Never given up: a relay that lost its sockets answers that
/// nobody listens, and only that answer may end a subscription.
pub const DELIVERY_RETRY_MAX_MS: u64 = 30 * 1_000;

/// Bytes of entries in one page of replay, which becomes one frame: base64 and escapes keep it below a frame's maximum.
pub const REPLAY_PAGE_BYTES: usize = 128 * 1024;

/// Bytes that one attachment may have replayed; a longer absence is told to read history (90004). The runtime queues
/// frames for slow sockets in memory.
pub const REPLAY_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Messages that `rewind` may ask for by count (protocol.md § 7.1).
pub const REWIND_MAX_MESSAGES: usize = 100;

/// Messages in a page of history.
pub const HISTORY_MAX_LIMIT: usize = 1_000;

/// Bytes of entries in a page of history; a page ends early, with a link to the next.
pub const HISTORY_PAGE_BYTES: usize = 1024 * 1024;

/// Bytes of the largest entry: what its messages count, and what each has besides: id, encoding, msgpack's headers.
const ENTRY_MAX_BYTES: usize =
    MESSAGE_MAX_BYTES * 2 + PUBLISH_MAX_MESSAGES * (MESSAGE_ID_MAX_BYTES + ENCODING_MAX_BYTES + 32);

const _: () = assert!(ROW_MAX_BYTES + ENTRY_MAX_BYTES < 2_000_000, "a row that ends with the largest publish fits");
const _: () =
    assert!(DEDUP_WINDOW_MS <= RETENTION_MS + RETENTION_SLACK_MS, "what is known as repeated is still in the log");
const _: () =
    assert!(DEDUP_MAX_IDS as u64 > DEDUP_WINDOW_MS / 1_000 * 1_000, "a request a millisecond fits the window");
const _: () = assert!(REPLAY_PAGE_BYTES + MESSAGE_MAX_BYTES * 2 < FRAME_MAX_BYTES, "a page of replay fits a frame");
const _: () = assert!(PACE_MAX_BYTES * 2 <= TAIL_MAX_BYTES, "what waits is in the tail");
// --- Credentials (protocol.md § 11, § 22) ---

/// Bytes in a key's id, the part behind the app's id.
pub const KEY_ID_MAX_BYTES: usize = 64;

/// Bytes in a key's secret. A shorter one could be guessed from a single token, offline.
pub const SECRET_MIN_BYTES: usize = 8;
pub const SECRET_MAX_BYTES: usize = 256;

/// Bytes in the text of a capability: about 80 resources with names of 30 bytes. It is a part of every socket's
/// attachment.
pub const CAPABILITY_MAX_BYTES: usize = 4 * 1024;

/// Resources in a capability. Intersecting two looks at each pair: 10,000 comparisons of short texts.
pub const CAPABILITY_MAX_RESOURCES: usize = 100;

/// Bytes in the revocation key that a JWT names.
pub const REVOCATION_KEY_MAX_BYTES: usize = 255;

/// Bytes of what a JWT says of its client, over all the channels for which it does, as JSON.
pub const USER_CLAIMS_MAX_BYTES: usize = 512;

/// Bytes in a token or JWT. Ours stay below 343 with a small capability; a JWT carries claims that are not ours.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// What a token lives when its request names no time, and at most. Those of a key with revocable tokens live an hour,
/// so that a revocation can be forgotten after one.
pub const TOKEN_DEFAULT_TTL_MS: u64 = 60 * 60 * 1000;
pub const TOKEN_MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;
pub const REVOCABLE_TOKEN_MAX_TTL_MS: u64 = 60 * 60 * 1000;

/// How far a client's clock may be from ours in what it signs.
pub const CLOCK_SKEW_MAX_MS: u64 = 2 * 60 * 1000;

/// Characters in a nonce at least, bytes at most. One is kept for twice the clock skew.
pub const NONCE_MIN_CHARS: usize = 16;
pub const NONCE_MAX_BYTES: usize = 255;

/// Wrong secrets for one key from one address: twenty, then one every three seconds.
pub const WRONG_SECRETS: Rate = Rate { burst: 20, interval_ms: 3_000 };

/// Keys and addresses whose wrong secrets are counted, in one isolate: 10,000 × 250 bytes is 2.5 MB.
pub const WRONG_SECRETS_MAX_KEYS: usize = 10_000;

/// Targets in one request to revoke tokens.
pub const REVOKE_MAX_TARGETS: usize = 100;

/// Revocations in force in one app: at most 10,000 × (2 KiB target + 100 B) = 21 MB, and 1 MB with usual names.
pub const REVOCATIONS_MAX: usize = 10_000;

/// Nonces that an app remembers; beyond, signed token requests are refused with 42910. Each is kept for four minutes at
/// most: 400 requests a second. 100,000 × 350 B is 35 MB of its object's storage, none of it in memory.
pub const NONCES_MAX: usize = 100_000;

/// Relays that watch an app: all that there can be, in ten regions with the one that is nowhere in particular.
pub const WATCHERS_MAX: usize = 10 * SHARDS_MAX as usize;

/// Revocations in one notice to a relay: 500 × (2 KiB target + 100 B) is 1 MB.
pub const NOTICE_MAX_REVOCATIONS: usize = 500;

/// Relays that are told at a time.
pub const NOTICES_AT_ONCE_MAX: usize = 50;

/// How long an app waits for a relay's answer before it tells it again.
pub const NOTICE_RETRY_MS: u64 = 5 * 1_000;

/// How often an app looks for what it may forget.
pub const SWEEP_INTERVAL_MS: u64 = 60 * 1_000;

/// Bytes of the members that an app is made with.
pub const FIXTURES_MAX_BYTES: usize = 256 * 1024;

/// Channels in the request to make an app. Each is a call, of which the platform allows a request some hundreds.
pub const FIXTURE_CHANNELS_MAX: usize = 100;

/// How long a router remembers an app that was made at run time, and one that it did not find. So long a deleted app may
/// answer REST requests; its connections end at once.
pub const FOUND_APP_KEPT_MS: u64 = 5 * 1_000;
pub const MISSING_APP_KEPT_MS: u64 = 1_000;

/// Apps that an isolate remembers so: 200 × 256 KiB is 51 MB at worst, 200 KB with usual ones.
pub const KNOWN_APPS_MAX: usize = 200;

/// How long clients may renew their token before a revocation with a margin closes their connection.
pub const REAUTH_MARGIN_MS: u64 = 30 * 1000;

/// Bytes in the configuration of all apps. A deployed secret has at most 5 KiB; a local file may have more.
pub const APPS_MAX_BYTES: usize = 256 * 1024;
pub const APPS_MAX: usize = 1_000;
pub const KEYS_PER_APP_MAX: usize = 100;
pub const NAMESPACES_PER_APP_MAX: usize = 100;

/// Bytes of a verified grant when it is encoded: capability, two ids, three short fields, claims, and their headers.
pub const GRANT_MAX_BYTES: usize = CAPABILITY_MAX_BYTES
    + APP_ID_MAX_BYTES
    + KEY_ID_MAX_BYTES
    + CLIENT_ID_MAX_BYTES
    + REVOCATION_KEY_MAX_BYTES
    + USER_CLAIMS_MAX_BYTES
    + 64;

/// Bytes that the platform keeps with a hibernating socket.
pub const SOCKET_ATTACHMENT_MAX_BYTES: usize = 16 * 1024;

const _: () = assert!(GRANT_MAX_BYTES * 3 < SOCKET_ATTACHMENT_MAX_BYTES, "two thirds are left for the session");
const _: () = assert!((GRANT_MAX_BYTES + 64) * 4 / 3 < TOKEN_MAX_BYTES, "any token that we issue is accepted back");

// A relay and its connections.

/// Attachments of one connection (protocol.md § 22).
pub const CHANNELS_PER_CONNECTION_MAX: usize = 200;

/// Bytes of the record that a socket carries for a rebuilt object: the platform allows 16,384. Attaching more channels,
/// or longer names and parameters, than fit is refused with 90010. 200 channels of 50 bytes fit beside a usual grant.
pub const SESSION_RECORD_MAX_BYTES: usize = 16_000;

/// Bytes of an attachment's parameters.
pub const ATTACH_PARAMS_MAX_BYTES: usize = 1_024;

/// How long a connection without a transport may be resumed.
pub const CONNECTION_STATE_TTL_MS: u64 = 120 * 1_000;

/// Connections without a transport that a relay remembers, to refuse keys that were used up. One that is forgotten early
/// can still resume.
pub const PARTED_CONNECTIONS_MAX: usize = 32_768;

/// How often a client hears from the server, unless it asks otherwise.
pub const HEARTBEAT_INTERVAL_MS: u64 = 15 * 1_000;

/// What a client may ask for instead (protocol.md § 2).
pub const HEARTBEAT_INTERVAL_MIN_MS: u64 = 5 * 1_000;
pub const HEARTBEAT_INTERVAL_MAX_MS: u64 = 30 * 60 * 1_000;

/// How long before a token expires its client is asked for another.
pub const TOKEN_RENEWAL_MARGIN_MS: u64 = 30 * 1_000;

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

/// What one connection may be sent: 256 Mbit/s, five times what the fastest of a hundred readers got, and 128 pages of
/// replay at once. Beyond, its attachments are brought up to date from the log when half of that is free.
pub const CONNECTION_FLOW: Flow = Flow { burst_bytes: 16 * 1024 * 1024, bytes_per_second: 32 * 1024 * 1024 };

/// The same for all connections of a relay: what the runtime may have to queue at once, and what one thread gives out, at
/// 15 to 20 µs for a frame of some KB. With more to say, those wait who were sent more than their share, so that at most
/// twice this is queued for readers that read: 6,000 sockets and a frame of 16 KB for each.
pub const RELAY_FLOW: Flow = Flow { burst_bytes: 96 * 1024 * 1024, bytes_per_second: 1024 * 1024 * 1024 };

/// Bytes of deliveries that a socket is sent without a word from its client: three quarters of a minute at the highest rate
/// measured, hours at a usual one. Bytes of answers that it is sent at all: 16 full replays or sets of members, or the
/// acknowledgements of half a million publishes. The runtime doesn't tell who reads, and queues for those who don't, outside
/// of the isolate's memory. Beyond, the client is told to come back (80003, 42910), and resumes.
pub const UNHEARD_MAX_BYTES: u32 = 256 * 1024 * 1024;
pub const ANSWERS_MAX_BYTES: u32 = 128 * 1024 * 1024;

const _: () = assert!(CONNECTION_FLOW.burst_bytes < RELAY_FLOW.burst_bytes / 4, "one reader leaves room for others");
const _: () = assert!(CONNECTION_FLOW.burst_bytes < UNHEARD_MAX_BYTES as u64, "who is slow is slowed down first");
const _: () = assert!(CALL_ANSWER_MS > HEARTBEAT_INTERVAL_MS, "calls need no alarm of their own");
const _: () = assert!(CALL_ANSWER_MS < PUBLISH_TRY_MS, "a publish whose call was lost is sent again");
const _: () = assert!(PUBLISH_CALL_MAX_BYTES + MESSAGE_MAX_BYTES <= COMMIT_MAX_BYTES, "a full call fits a commit");
const _: () = assert!(SESSION_RECORD_MAX_BYTES < 16_384, "the platform's bound on what a socket carries");

// REST.

/// Bytes of a request's body: what a frame may have, since both carry one publish.
pub const BODY_MAX_BYTES: usize = FRAME_MAX_BYTES;

/// Bytes of a batch's body (protocol.md § 22).
pub const BATCH_BODY_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Channels in a batch, over all its parts, and messages (protocol.md § 22). Decoding keeps at most 101 parts of 1,001
/// messages of 270 bytes, 27 MB, before it counts them.
pub const BATCH_MAX_CHANNELS: usize = 100;
pub const BATCH_MAX_MESSAGES: usize = 1_000;

/// Messages in a page of history when the request doesn't say.
pub const HISTORY_DEFAULT_LIMIT: usize = 100;

/// How long a request may wait for something to come to a channel. Shorter than proxies wait for an answer.
pub const WAIT_MAX_S: u64 = 30;

/// Requests that wait at one channel, and bytes of entries in the page that each gets; a page has one entry at least. The
/// largest publish there is wakes them all at 500 × (64 + 16) KiB, 40 MB; one of 1 KB at 0.5 MB. An object answers about
/// 1,000 requests a second, and those who are answered come back.
pub const WAITING_READERS_MAX: usize = 500;
pub const WAITING_PAGE_BYTES: usize = 16 * 1024;

/// The last time that a serial can have: a thousand positions each, in the 53 bits that JavaScript keeps exact.
pub const TIME_MAX_MS: u64 = (1 << 53) / 1_000;

/// Characters of an unknown parameter's name that its refusal repeats: enough to recognise a misspelt one.
pub const PARAMETER_SHOWN_MAX_CHARS: usize = 40;

/// Bytes of an error's message in a header.
pub const ERROR_HEADER_MAX_BYTES: usize = 200;

const _: () = assert!(BATCH_MAX_CHANNELS * MESSAGE_MAX_BYTES < 8 * 1024 * 1024, "a batch's copies fit in memory");
const _: () = assert!(BATCH_BODY_MAX_BYTES <= COMMIT_MAX_BYTES, "all that a batch says to one channel fits a commit");
const _: () = assert!(BODY_MAX_BYTES < BATCH_BODY_MAX_BYTES, "the shell reads no more than the longest body");
const _: () = assert!(HISTORY_DEFAULT_LIMIT <= HISTORY_MAX_LIMIT, "the default is a limit that may be asked for");

// Presence.

/// Members of one channel (protocol.md § 22). In memory a channel keeps one holder for each connection that has members:
/// its id, a relay's name that all share, counts and times, about 150 bytes; 20,000 connections are 3 MB. What members
/// say of themselves stays in storage.
pub const MEMBERS_MAX: usize = 20_000;

/// Members that one connection may enter in a channel: a server that enters others does it on several connections.
pub const MEMBERS_PER_CONNECTION_MAX: usize = 1_000;

/// How long members outlive the loss of their connection, and what a client may ask for instead (protocol.md § 10). No
/// longer than the connection can be resumed.
pub const GRACE_MS: u64 = 15 * 1_000;
pub const GRACE_MIN_MS: u64 = 1_000;
pub const GRACE_MAX_MS: u64 = CONNECTION_STATE_TTL_MS;

/// How often a channel with members asks the relays whether they still hold the members' connections. A channel that has
/// members all month wakes 170,000 times for it: an alarm, a call, and a row for the next alarm, about 25 cents.
pub const ROLL_INTERVAL_MS: u64 = 15 * 1_000;

/// The same after the channel lost its memory: soon, since it may be that everything was lost, and so that a channel that
/// is often rebuilt asks at all.
pub const ROLL_FIRST_MS: u64 = 5 * 1_000;

/// How long a relay may leave such a question unanswered before its members are taken to be gone.
pub const ROLL_TRY_MS: u64 = 10 * 1_000;

/// How long a relay may take for one answer, and the pause before it is asked again.
pub const ROLL_ANSWER_MS: u64 = 3 * 1_000;
pub const ROLL_PAUSE_MS: u64 = 1_000;

/// The longest that a member is listed whose connection is gone, whatever died with it.
pub const GHOST_MAX_MS: u64 = 45 * 1_000;

/// Members in one call, and in one SYNC frame. 20,000 members are 40 calls and frames of 80 KB for each late joiner.
pub const MEMBERS_PAGE_MAX: usize = 500;

/// Bytes of SYNC that a relay sends in one turn, to all sockets together, and how long that is at least: 200 MB a second.
/// The kernel takes 1 MiB from the runtime in about 1 ms, so what is live finds the relay idle most of the time. One
/// reader alone gets one page in a turn: 20,000 members in 200 ms, and never more than a connection may be sent.
pub const SYNC_TURN_BYTES: usize = 1024 * 1024;
pub const SYNC_TURN_MS: u64 = 5;

/// What a send costs however short the frame: as much time as so many bytes.
pub const SYNC_SEND_BYTES: usize = 16 * 1024;

/// Bytes of members in one call; a page ends early. A single member may have the largest data there is.
pub const MEMBERS_PAGE_BYTES: usize = 80 * 1024;

/// Leaves in one entry of the log, and the bytes of what they say, when many leave at once.
pub const LEAVES_PER_ENTRY: usize = 100;
pub const LEAVES_PER_ENTRY_BYTES: usize = MESSAGE_MAX_BYTES;

/// How long a change of occupancy waits after the last that was told: at a relay before it reports, at the channel before
/// it tells listeners. The first and the last of a kind wait the shorter time. So ten thousand joins a second cost a
/// channel one report a second from each relay, and a listener sees them within twice the interval.
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
    ROLL_INTERVAL_MS + GRACE_MS + ROLL_TRY_MS + ROLL_ANSWER_MS + ROLL_PAUSE_MS <= GHOST_MAX_MS,
    "asked, waited, and no answer"
);
const _: () = assert!(GRACE_MIN_MS <= GRACE_MS && GRACE_MS <= GRACE_MAX_MS, "the usual grace is one to ask for");
const _: () = assert!(
    (MEMBERS_PAGE_BYTES as u64) * 1_000 / SYNC_TURN_MS <= CONNECTION_FLOW.bytes_per_second,
    "a page in each turn is no more than a connection may be sent"
);
const _: () = assert!(MEMBERS_PER_CONNECTION_MAX <= MEMBERS_MAX, "one connection's members fit");

// Connections over HTTP.

/// Connections over HTTP that an object holds: each has a session of about 1 KB and a response of a few, 80 MB in all.
pub const LINKS_MAX: usize = 16_384;

/// How long such a connection may be without a response that is open, before it has lost its transport. A client asks
/// again at once; this is a slow one's round trip.
pub const LINK_ABSENT_MS: u64 = 10 * 1_000;

/// How often an open response says something, if only that there is nothing, to find out whether somebody reads.
pub const LINK_PROBE_MS: u64 = 12 * 1_000;

/// How long a reader may take for what is written to it.
pub const LINK_STALL_MS: u64 = 10 * 1_000;

/// Bytes that wait for one reader; with more to say, the connection has lost its transport, and its client resumes from
/// what it got. Eight pages of replay.
pub const LINK_QUEUE_MAX_BYTES: usize = 1024 * 1024;

/// The same for all readers of an object, where a frame that waits for many counts once, and what was given to each of them
/// until it is taken.
pub const LINKS_QUEUE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Bytes that a client sends at once: SDKs put everything that waits into one body. 128 of the largest publishes.
pub const COMET_BODY_MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a frame that waits is taken to need besides its text.
pub const LINK_FRAME_BYTES: usize = 64;

/// Channels of one stream of events. Each event's id names a serial of 31 bytes for each: 620.
pub const STREAM_MAX_CHANNELS: usize = 20;

/// When a stream that is turned away for now comes back, at the earliest; at the latest in twice that. As SDKs do.
pub const STREAM_RETRY_MS: u64 = 15 * 1_000;

/// Bytes that are written at once, unless a single frame has more.
pub const RESPONSE_MAX_BYTES: usize = 256 * 1024;

const _: () = assert!(FRAME_MAX_BYTES * 3 / 2 < LINK_QUEUE_MAX_BYTES, "any frame waits, and a farewell behind it");
const _: () = assert!(LINK_PROBE_MS + LINK_ABSENT_MS + GRACE_MS <= GHOST_MAX_MS, "who left a poll is no ghost");
const _: () = assert!(LINK_PROBE_MS + LINK_STALL_MS + GRACE_MS <= GHOST_MAX_MS, "nor who left a stream");

// Spreading connections over relays.

/// Connections of one relay, unless the deployment says otherwise. A frame to each costs 15 to 20 µs of CPU, so a message
/// to all takes the relay's one thread about 0.1 s; 1.5 KB of our memory each and a few of the runtime's come to 30 MB
/// of the 128 that objects may have to share. 5,000 clients, who sends to them, and a reserve.
pub const RELAY_CONNECTIONS: usize = 6_000;

/// The most that a deployment may say: what the platform lets one object hold.
pub const RELAY_CONNECTIONS_MAX: usize = 32_768;

/// The part of its bound that a relay keeps free for connections that come back to it: a quarter more, once it is full.
pub const RETURNING_PART: usize = 4;

/// Connections that a relay takes in during one second, unless the deployment says otherwise. One costs about 0.3 ms with
/// its first attachment, so a storm leaves two thirds of the thread to those who are there.
pub const RELAY_CONNECTS_PER_SECOND: u32 = 1_000;

/// As how many of these one counts that comes over HTTP and then asks for its channels: it makes four requests until it has
/// them, to connect, to attach, and to read the answers.
pub const POLLER_CONNECTS: u32 = 4;

/// Shards of one app in one region: 256 times 6,000 connections are 1.5 million, in each of nine regions.
pub const SHARDS_MAX: u16 = 256;

/// How long a router remembers that a relay was full. So long a crowd that left leaves relays half empty.
pub const FULL_KEPT_MS: u64 = 60 * 1_000;

/// Regions of apps, and channels with sockets of their own, whose full objects a router remembers: 16 bytes for each of
/// 256 relays at most, 4 MB.
pub const SPREAD_MAX_KNOWN: usize = 1_000;

/// Relays that a channel feeds itself, and the first of each region besides: 48,000 clients. A call to each costs its one
/// thread 0.15 ms, so a round of deliveries takes 3 ms of it at most.
pub const DIRECT_RELAYS_MAX: usize = 8;

/// Relays that a relay feeds on a channel's behalf. With 256 relays in a region none is more than three steps away.
pub const FOLLOWERS_MAX: u16 = 16;

/// Bytes of recent deliveries that a relay keeps for those that it feeds, for one channel and for all. What is older it reads
/// from the channel's log.
pub const BRANCH_TAIL_MAX_BYTES: usize = DELIVERY_MAX_BYTES;
pub const BRANCHES_TAIL_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of messages that a relay keeps because the next may be sent as a delta to them: one for each channel with readers
/// who want that, until there are more; then messages go out whole.
pub const DELTA_BASES_MAX_BYTES: usize = 8 * 1024 * 1024;

/// How soon a relay that feeds others tries again to be fed itself.
pub const BRANCH_RETRY_MS: u64 = 1_000;

const _: () = assert!(SHARDS_MAX.is_power_of_two(), "the last tier is a whole one");
const _: () = assert!(RELAY_CONNECTIONS + RELAY_CONNECTIONS / RETURNING_PART < RELAY_CONNECTIONS_MAX, "a reserve fits");
