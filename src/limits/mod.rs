//! Every bound of the system, with its arithmetic. Reaching one gets a coded error, never silence.
//! These are for whatever passes through; each module has those of one place.

mod admin;
mod annotations;
mod credentials;
mod event;
mod filters;
mod hooks;
mod log;
mod mqtt;
mod objects;
mod presence;
mod push;
mod pusher;
mod relay;
mod responses;
mod rest;
mod load_map;
mod socketio;
mod stats;

pub use admin::*;
pub use annotations::*;
pub use credentials::*;
pub use event::*;
pub use filters::*;
pub use hooks::*;
pub use load_map::*;
pub use log::*;
pub use mqtt::*;
pub use objects::*;
pub use presence::*;
pub use push::*;
pub use pusher::*;
pub use relay::*;
pub use responses::*;
pub use rest::*;
pub use socketio::*;
pub use stats::*;

/// Bytes in an app's id. Hosted ids have six; room for words.
pub const APP_ID_MAX_BYTES: usize = 64;

/// Bytes in a channel's name (protocol.md § 22).
pub const CHANNEL_NAME_MAX_BYTES: usize = 2_048;

/// Bytes in a clientId (protocol.md § 22).
pub const CLIENT_ID_MAX_BYTES: usize = 255;

/// Bytes in a frame that a client sends. A larger one is refused.
pub const FRAME_MAX_BYTES: usize = 512 * 1024;

/// Bytes in a frame that is looked at for the serial by which it is refused, as SDKs do not measure presence events. An
/// even larger one ends the connection.
pub const REFUSED_FRAME_MAX_BYTES: usize = 2 * FRAME_MAX_BYTES;

/// Bytes in one publish: names, extras and data of all its messages (protocol.md § 8.4).
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// Bytes in one publish of who says it: clientIds and userClaims, which the server fills in and clients do not count.
pub const SPEAKERS_MAX_BYTES: usize = 64 * 1024;

/// Messages in one publish.
pub const PUBLISH_MAX_MESSAGES: usize = 1_000;

/// Bytes in the id that a publisher chooses for a message, and in its encoding. The size of a message does not count
/// them (protocol.md § 8.4), yet a row holds them.
pub const MESSAGE_ID_MAX_BYTES: usize = 255;
pub const ENCODING_MAX_BYTES: usize = 255;

/// Bytes that a message takes where messages wait or travel, besides what is counted of it and the texts above: its
/// place in lists, its serial and its time. A publish of a thousand messages that say nothing is no small one.
pub const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// Bytes of a decoding error's text that are told: decoders quote what they could not read, whole.
pub const DECODE_ERROR_MAX_BYTES: usize = 200;

/// Values in a decoded frame or body, each list, map and what is in them counted: 24 bytes each, and as many again
/// while a list grows, is 12 MB. The largest publish has about 40,000.
pub const DECODED_VALUES_MAX: usize = 1 << 18;

/// Nesting of a decoded frame. Decoders recurse, so this bounds their stack.
pub const NESTING_MAX: usize = 100;

const _: () = assert!(
    (MESSAGE_MAX_BYTES + SPEAKERS_MAX_BYTES) * 2 < FRAME_MAX_BYTES,
    "base64 and field names fit around the largest message"
);
