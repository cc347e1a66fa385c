//! Credentials (protocol.md § 11, § 22).

use super::{APP_ID_MAX_BYTES, CLIENT_ID_MAX_BYTES, SHARDS_MAX};
use crate::base::rate::Rate;

/// Bytes in a key's id, the part behind the app's id.
pub const KEY_ID_MAX_BYTES: usize = 64;

/// Bytes in a key's secret, and in the deployment's admin token. Its length alone protects a secret: one that is right
/// passes however many were wrong before it, and whoever has a single token can try secrets at home. Sixteen random
/// letters and digits are 95 bits. A deployment that answers a million guesses a second for a year answers 2^45, and a
/// machine that tries ten billion a second on a token 2^58: eight characters, 47 bits, it finds in hours.
pub const SECRET_MIN_BYTES: usize = 16;
pub const SECRET_MAX_BYTES: usize = 256;

/// The same where the deployment says that it is nobody's but its developer's, by `SHORT_SECRETS=true`: `npm start`
/// does, and tests do, for a demo key that can be typed.
pub const SHORT_SECRET_MIN_BYTES: usize = 8;

/// By how much a sealed text is filled up, so that its length tells little. Most names of channels are shorter.
pub const SEALED_BLOCK_BYTES: usize = 64;

/// Bytes in the text of a capability: about 80 resources with names of 30 bytes. It is a part of every socket's
/// attachment.
pub const CAPABILITY_MAX_BYTES: usize = 4 * 1024;

/// Bytes of the request for a token, whose body is read before anything of it is proved: a capability, three times as
/// long where it is written with spaces and escapes, and its other fields.
pub const TOKEN_REQUEST_MAX_BYTES: usize = 4 * CAPABILITY_MAX_BYTES;

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

/// The life of an operator's token of an app's channels. The console asks for the next, and each is in the audit,
/// which keeps 1,000 entries: a day of watching adds 96.
pub const CONSOLE_TOKEN_TTL_MS: u64 = 15 * 60 * 1000;

/// How far a client's clock may be from ours in what it signs.
pub const CLOCK_SKEW_MAX_MS: u64 = 2 * 60 * 1000;

/// How far the `iat` of a JWT may be ahead of our clock when it can be revoked: until then it escapes revocations. What
/// the clocks of servers are apart that set them by the network.
pub const REVOCABLE_IAT_AHEAD_MAX_MS: u64 = 10 * 1000;

/// Characters in a nonce at least, bytes at most. One is kept for twice the clock skew.
pub const NONCE_MIN_CHARS: usize = 16;
pub const NONCE_MAX_BYTES: usize = 255;

/// Wrong secrets for one key from one address, as such or as the signature of a token request: twenty, then one every
/// three seconds. Beyond, the answer to a wrong one is 42910.
pub const WRONG_SECRETS: Rate = Rate { burst: 20, interval_ms: 3_000 };

/// The same for tokens and JWTs. When a key's secret is replaced, all its tokens are wrong at once, and each client
/// must be told so (40143) to ask for another: an audience of 5,000 behind one address at once, a larger one within a
/// minute.
pub const WRONG_TOKENS: Rate = Rate { burst: 5_000, interval_ms: 10 };

/// WebSockets of one address that are opened to say why nobody is let in. A client that does not close its end keeps
/// the descriptors of one for a while. Beyond, the upgrade is refused, of which a browser's page is told nothing. An
/// audience of one address whose tokens are all wrong is told at once, as by [`WRONG_TOKENS`], and a larger one within
/// minutes.
pub const REFUSED_SOCKETS: Rate = Rate { burst: 5_000, interval_ms: 100 };

/// How long such a client has to close its end before the server ends the connection, where the runtime can, and how
/// many are waited for at once: 5,000 × 2 KB is 10 MB.
pub const REFUSED_SOCKET_MS: u64 = 10 * 1_000;
pub const REFUSED_SOCKETS_AWAITED_MAX: usize = 5_000;

/// Apps that there are not, asked for from one address: where apps can be made at run time each is an object's work,
/// and an entry of the isolate's memory until that is collected. So many at once, then one per interval.
pub const MISSING_APPS: Rate = Rate { burst: 20, interval_ms: 3_000 };

/// The same of all addresses of an isolate that have had their own, so that a guesser shuts out nobody who shares its
/// address: ids that come for the first time, and apart from these those that come again, as clients do. Awake for ten
/// seconds each, that is 440 objects at most.
pub const MISSING_APPS_SPARE: Rate = Rate { burst: 20, interval_ms: 50 };

/// How long a router remembers an app that it did not ask for, and how many, between half and all of that: 4,000 ids of
/// 64 bytes. A client comes again within 15 s, in which a guesser may name a hundred a second.
pub const REFUSED_APP_KEPT_MS: u64 = 60 * 1_000;
pub const REFUSED_APPS_MAX: usize = 4_000;

/// Keys and addresses whose wrong secrets, and tokens, are counted, in one isolate: 2 × 10,000 × 250 bytes is 5 MB.
pub const WRONG_SECRETS_MAX_KEYS: usize = 10_000;

/// Targets in one request to revoke tokens.
pub const REVOKE_MAX_TARGETS: usize = 100;

/// Revocations in force in one app: at most 10,000 × (2 KiB target + 100 B) = 21 MB, and 1 MB with usual names.
pub const REVOCATIONS_MAX: usize = 10_000;

/// Nonces that an app remembers; beyond, signed token requests are refused with 42910. Each is kept for four minutes at
/// most: 400 requests a second. 100,000 × 350 B is 35 MB of its object's storage, none of it in memory.
pub const NONCES_MAX: usize = 100_000;

/// How often room is made for nonces while there is none: to look at all of them takes a twentieth of a second.
pub const NONCES_FORGET_PAUSE_MS: u64 = 1_000;

/// Relays that watch an app: all that there can be, in ten regions with the one that is nowhere in particular.
pub const WATCHERS_MAX: usize = 10 * SHARDS_MAX as usize;

/// Revocations in one notice to a relay: 500 × (2 KiB target + 100 B) is 1 MB.
pub const NOTICE_MAX_REVOCATIONS: usize = 500;

/// Relays that are told at a time.
pub const NOTICES_AT_ONCE_MAX: usize = 50;

/// How long an app waits for a relay's answer before it tells it again.
pub const NOTICE_RETRY_MS: u64 = 5 * 1_000;

/// How long a channel waits before it asks its app once more whether messages are kept shorter than before: relays that
/// have not heard of a change may go on saying so.
pub const RULES_PAUSE_MS: u64 = 5 * 1_000;

/// How long a relay whose app could not be reached lets clients of a configured app in without its word, before it asks
/// again: so long a ban may be unknown at worst, once the app is back.
pub const WATCH_PAUSE_MS: u64 = 5 * 1_000;

/// How often an app looks for what it may forget.
pub const SWEEP_INTERVAL_MS: u64 = 60 * 1_000;

/// Bytes of the members that an app is made with.
pub const FIXTURES_MAX_BYTES: usize = 256 * 1024;

/// Channels in the request to make an app. Each is a call, of which the platform allows a request some hundreds.
pub const FIXTURE_CHANNELS_MAX: usize = 100;

/// How long a router remembers an app that was made at run time, and one that it did not find. So long a deleted app
/// may answer REST requests; its connections end at once.
pub const FOUND_APP_KEPT_MS: u64 = 5 * 1_000;
pub const MISSING_APP_KEPT_MS: u64 = 1_000;

/// Apps that an isolate remembers so: 200 × 256 KiB is 51 MB at worst, 200 KB with usual ones.
pub const KNOWN_APPS_MAX: usize = 200;

/// How long a router remembers that an app was there, and how many: these it asks for whoever guesses at others. 1,000
/// ids of 64 bytes.
pub const SEEN_APP_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
pub const SEEN_APPS_MAX: usize = 1_000;

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
