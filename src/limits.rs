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
