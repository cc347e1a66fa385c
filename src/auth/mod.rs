//! From credentials to a grant.

mod capability;
mod operations;
mod resource;
mod secret;
#[cfg(test)]
mod tests;

pub use capability::Capability;
pub use operations::Operations;
pub use secret::Secret;
