//! Push notifications of an app: its devices, what they subscribe to, and what waits to be delivered to them
//! (protocol.md § 20).
//!
//! All of it is kept by the app's object, whose driver hands calls to [`Registry`] and its turns to [`Outbox`]. Like
//! every core this one is pure: it says which [`Attempt`] the platform is to make, and is told how that went.
//!
//! ```text
//! POST /push/publish ──▶ Outbox: a push, durable ──▶ a delivery for each device ──▶ Attempt ──▶ push service
//! channel ── Said ─────▶      (at least once)             (retried, bounded)            ◀── Outcome
//! ```
//! In reading order: `registry` answers calls, `outbox` delivers what `preparing` makes of a recipient, `store` is what
//! they keep; `web` is what Web Push asks of a sender, `transport` what `fcm` and `apns` do. The words are in `push`.

mod apns;
mod fcm;
mod outbox;
mod preparing;
mod registry;
pub mod store;
pub mod transport;
pub mod web;

use crate::base::endpoint::Endpoint;

pub use outbox::{Attempt, Outbox, Outcome, Surroundings, To, WebPush};
pub use registry::Registry;
pub use store::{Store, Waiting};
pub use transport::{Answered, Authorise, Permit, Post, Transport};

/// What the deployment says of push.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Whether push services may be at private addresses, and without TLS.
    pub private_addresses: bool,
    /// Whom push services may write to: `mailto:…` or `https://…`.
    pub contact: Option<String>,
}

impl Settings {
    /// The contact is what the operator says, or the origin at which this deployment says that it explains errors.
    pub fn new(private_addresses: bool, contact: Option<String>, errors_url: Option<&str>) -> Settings {
        let here = errors_url.and_then(Endpoint::parse).filter(|url| url.is_public());
        let origin = here.map(|url| url.origin).filter(|origin| origin.starts_with("https:"));
        Settings { private_addresses, contact: contact.or(origin) }
    }
}
