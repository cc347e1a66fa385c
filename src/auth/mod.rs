//! From credentials to a grant.

mod apps;
mod capability;
mod fields;
mod grant;
mod identity;
mod key;
mod namespace;
mod operations;
mod resource;
mod secret;
#[cfg(test)]
mod tests;

pub use apps::{App, Apps};
pub use capability::Capability;
pub use grant::Grant;
pub use identity::Identity;
pub use key::{Key, KeyName};
pub use namespace::{Namespace, Rules};
pub use operations::Operations;
pub use secret::Secret;
