//! Bounds of push: what an app may register, what may wait for delivery, and how often it is tried.

use super::{BATCH_BODY_MAX_BYTES, HISTORY_MAX_LIMIT, MESSAGE_MAX_BYTES};

/// Devices of an app. A record has about 1 KB, 5 KB at most: 100,000 are 100 MB of the object's 10 GB.
pub const PUSH_DEVICES_MAX: usize = 100_000;

/// Subscriptions of an app: ten for each device. A row has about 100 bytes.
pub const PUSH_SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// Bytes in a device's id. SDKs make ids of 26.
pub const PUSH_DEVICE_ID_MAX_BYTES: usize = 128;

/// Bytes in a device's secret. SDKs make secrets of 26.
pub const PUSH_DEVICE_SECRET_MAX_BYTES: usize = 128;

/// Bytes of JSON in a device's metadata, and in a recipient. The longest tokens and endpoints have about 1 KB.
pub const PUSH_METADATA_MAX_BYTES: usize = 2 * 1024;
pub const PUSH_RECIPIENT_MAX_BYTES: usize = 4 * 1024;

/// Bytes of JSON in a payload. The transports take about 4 KB; a payload may hold a part for each of them.
pub const PUSH_PAYLOAD_MAX_BYTES: usize = 16 * 1024;

/// Notifications in a batch, counted by recipient.
pub const PUSH_BATCH_MAX: usize = 10_000;

/// Entries of a page of registrations: at 5 KB each, 1,000 of them are 5 MB.
pub const PUSH_PAGE_MAX: usize = 1_000;

/// Pushes of an app that are accepted and not yet done. At 16 KB each, 10,000 are 160 MB of storage.
pub const PUSHES_WAITING_MAX: usize = 10_000;

/// Deliveries that wait, each a row of 100 bytes. A push to a large channel becomes deliveries as these make room.
pub const PUSH_SENDS_MAX: usize = 10_000;

/// Devices that one step makes deliveries for.
pub const PUSH_EXPAND_STEP: usize = 100;

/// Requests of an app that are under way at a time: the platform opens six connections, and more would wait.
pub const PUSH_IN_FLIGHT_MAX: usize = 6;

/// How long a push waits before its first delivery, so that whoever publishes and attaches at once is attached.
pub const PUSH_DELAY_MS: u64 = 200;

/// How long the platform waits for a push service.
pub const PUSH_TIMEOUT_MS: u64 = 20 * 1000;

/// When a delivery whose outcome is not known is tried again: the object was ended meanwhile.
pub const PUSH_LEASE_MS: u64 = 30 * 1000;

/// Pauses between the tries of a delivery; after the last it has failed. In all about an hour.
pub const PUSH_RETRY_MS: [u64; 5] = [5 * 1000, 30 * 1000, 2 * 60 * 1000, 10 * 60 * 1000, 45 * 60 * 1000];

/// The longest pause that a push service can ask for.
pub const PUSH_RETRY_AFTER_MAX_MS: u64 = 60 * 60 * 1000;

/// How long a push service may keep a notification for a browser that is offline.
pub const PUSH_TTL_S: u64 = 28 * 24 * 60 * 60;

/// Bytes of a notification as its web app gets it: what one record of 4,096 bytes holds beside its header of 86, its
/// tag of 16 and one byte of padding.
pub const WEB_PUSH_MAX_BYTES: usize = 4_096 - 86 - 16 - 1;

/// How long a statement of who sends is valid: half of what push services allow.
pub const VAPID_TTL_MS: u64 = 12 * 60 * 60 * 1000;

/// Bytes of a private key in base64. One of RSA with 4,096 bits has 3,200.
pub const PUSH_KEY_MAX_BYTES: usize = 8 * 1024;

/// Bytes in the modulus of an RSA key: 2,048 bits, less than which nobody should sign with.
pub const RSA_KEY_MIN_BYTES: usize = 256;

/// Bytes in names that credentials have: projects, accounts, bundle ids.
pub const PUSH_NAME_MAX_BYTES: usize = 255;

/// How long before it ends a token is not used any more: a request, and clocks that differ.
pub const PUSH_TOKEN_MARGIN_MS: u64 = 5 * 60 * 1000;

/// How long a statement to Google's token endpoint is valid: the most that it allows.
pub const GOOGLE_STATEMENT_TTL_MS: u64 = 60 * 60 * 1000;

/// How long a token for APNs is used: Apple takes one for an hour, and wants no other within 20 minutes.
pub const APNS_TOKEN_TTL_MS: u64 = 40 * 60 * 1000;

/// How long to wait when Apple says that there were too many tokens.
pub const APNS_TOKEN_PAUSE_MS: u64 = 20 * 60 * 1000;

/// How long credentials that a push service refused are not tried again, and how long a token endpoint that is away is
/// not. Every delivery meanwhile has the same error: a push to 100,000 devices asks 100 times, and not 100,000.
pub const PUSH_REFUSED_MS: u64 = 60 * 1000;
pub const PUSH_TOKEN_RETRY_MS: u64 = 5 * 1000;

/// How long FCM is left alone when it says that it is too much, but not for how long.
pub const FCM_QUOTA_PAUSE_MS: u64 = 60 * 1000;

/// Bytes that are read of an answer of a push service, or of a token endpoint, whose tokens have 1 KB.
pub const PUSH_ANSWER_MAX_BYTES: usize = 16 * 1024;

/// Characters of what a push service says that an error repeats: a sentence or two, in each device that it is of.
pub const PUSH_REASON_MAX_CHARS: usize = 200;

/// Bytes of a notification for APNs, and of what replaces an earlier one.
pub const APNS_MAX_BYTES: usize = 4 * 1024;
pub const APNS_COLLAPSE_ID_MAX_BYTES: usize = 64;

/// Characters of a device token of APNs. They have 64, and Apple says that they may grow.
pub const APNS_TOKEN_MAX_CHARS: usize = 400;

/// Bytes of a header that a payload sets for APNs.
pub const APNS_HEADER_MAX_BYTES: usize = 255;

/// How long a publish with `fullWait` waits for its deliveries. Shorter than proxies wait for an answer.
pub const PUSH_FULL_WAIT_MS: u64 = 20 * 1000;

/// Publishes that wait so.
pub const PUSH_FULL_WAITS_MAX: usize = 100;

/// Messages whose push a channel has not handed to its app yet. One more is refused: the app can't be reached.
pub const CHANNEL_PUSHES_MAX: usize = 1_000;

/// Bytes of what a channel hands over in one call, one at least.
pub const CHANNEL_PUSHES_CALL_BYTES: usize = 256 * 1024;

/// Between two tries to hand over.
pub const CHANNEL_PUSH_PAUSE_MS: u64 = 5 * 1000;

const _: () = assert!(PUSH_PAYLOAD_MAX_BYTES < MESSAGE_MAX_BYTES, "a message that has a push has room for it");
const _: () = assert!(PUSH_BATCH_MAX <= PUSHES_WAITING_MAX, "a batch can be accepted as a whole");
const _: () = assert!(BATCH_BODY_MAX_BYTES / 16 > PUSH_BATCH_MAX, "a body has room for the largest batch");
const _: () = assert!(PUSH_LEASE_MS > PUSH_TIMEOUT_MS, "a request ends before its delivery is tried again");
const _: () = assert!(PUSH_PAGE_MAX <= HISTORY_MAX_LIMIT, "no page is longer than one of history");
