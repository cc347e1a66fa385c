//! From credentials to a [`Grant`]: the only thing that the rest of the server knows about who asks. Pure: the time,
//! random bytes and the app come from the caller. In reading order:
//!
//! - `identity`: who a client may say that it is; `operations`, `resource`, `capability`: what it may do where
//! - `secret`, `key`: API keys; `webhook`, `push`, `namespace`, `apps` (read by `fields`): the configuration
//! - `credentials`: what a request presents; `grant`: what that allows; `source`: whose share it takes; `token`, `jwt`:
//!   the signed forms
//! - `attempts`: how often one may be wrong; `request`: a new token; `operators`: those of whoever has the admin token;
//!   `revocation`: the end of one; `ban`: who is kept out
//!
//! A request is answered in two steps, because the app may have to be fetched: [`Credentials::parse`], then
//! [`Credentials::verify`] with the app of [`Credentials::app_id`].

mod apps;
mod attempts;
mod ban;
mod capability;
mod credentials;
mod encoding;
mod fields;
mod grant;
mod identity;
mod jwt;
mod key;
mod namespace;
mod operations;
mod operators;
mod push;
mod pusher;
mod request;
mod resource;
mod revocation;
mod secret;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod webhook;

pub use apps::{App, Apps};
pub use attempts::{Attempts, Guessed};
pub use ban::{Ban, Bans, subject};
pub use capability::Capability;
pub use credentials::{Credentials, Presented, Surface, bearer};
pub use grant::Grant;
pub use identity::Identity;
pub use key::{Key, KeyName};
pub use namespace::{Namespace, Rules};
pub use operations::Operations;
pub use operators::{Operators, Reach};
pub use push::{Algorithm, ApnsKey, FcmAccount, PushCredentials, SigningKey};
pub use pusher::Signed;
pub use request::{ApprovedToken, NonceUse, TokenDetails, TokenRequest};
pub use revocation::{Revocation, Revocations, RevokeReport, RevokeRequest, RevokeResult, Target};
pub use secret::{Secret, derive};
pub use source::Source;
pub use webhook::{Events, Hook, HookOfVersion1, Signing, Webhook};
