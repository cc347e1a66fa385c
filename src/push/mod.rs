//! The words of push: a device, where a notification goes and what it says, who hears a channel's (protocol.md § 20).
//! The app's object keeps and delivers it all: see `app/push`.

pub mod device;
pub mod payload;
pub mod recipient;
mod subscription;

pub use device::{Device, DevicePatch, State};
pub use payload::Payload;
pub use recipient::Recipient;
pub use subscription::{Proof, Subscriber, Subscription, hash};
