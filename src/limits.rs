//! Every bound of the system, with its arithmetic. Reaching one gets a coded error, never silence.

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

/// Nesting of a decoded frame. Decoders recurse, so this bounds their stack.
pub const NESTING_MAX: usize = 100;

const _: () = assert!(MESSAGE_MAX_BYTES * 2 < FRAME_MAX_BYTES, "base64 and field names fit around the largest message");

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

/// Targets in one request to revoke tokens.
pub const REVOKE_MAX_TARGETS: usize = 100;

/// Revocations in force in one app: at most 10,000 × (2 KiB target + 100 B) = 21 MB, and 1 MB with usual names.
pub const REVOCATIONS_MAX: usize = 10_000;

/// How long clients may renew their token before a revocation with a margin closes their connection.
pub const REAUTH_MARGIN_MS: u64 = 30 * 1000;

/// Bytes in the configuration of all apps. A deployed secret has at most 5 KiB; a local file may have more.
pub const APPS_MAX_BYTES: usize = 256 * 1024;
pub const APPS_MAX: usize = 1_000;
pub const KEYS_PER_APP_MAX: usize = 100;
pub const NAMESPACES_PER_APP_MAX: usize = 100;

/// Bytes of a verified grant when it is encoded: capability, two ids, three short fields and their headers.
pub const GRANT_MAX_BYTES: usize =
    CAPABILITY_MAX_BYTES + APP_ID_MAX_BYTES + KEY_ID_MAX_BYTES + CLIENT_ID_MAX_BYTES + REVOCATION_KEY_MAX_BYTES + 64;

/// Bytes that the platform keeps with a hibernating socket.
pub const SOCKET_ATTACHMENT_MAX_BYTES: usize = 16 * 1024;

const _: () = assert!(GRANT_MAX_BYTES * 3 < SOCKET_ATTACHMENT_MAX_BYTES, "two thirds are left for the session");
const _: () = assert!((GRANT_MAX_BYTES + 64) * 4 / 3 < TOKEN_MAX_BYTES, "any token that we issue is accepted back");
