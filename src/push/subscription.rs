//! Who hears the pushes of a channel, and how a caller shows that it is a device.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Device;

/// Who hears a channel's pushes: a device, or all devices that a client has when one is sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subscriber {
    Client(String),
    Device(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subscription {
    pub channel: String,
    pub subscriber: Subscriber,
}

/// By what a caller shows that it is a device.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Proof {
    Token(String),
    Secret(String),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(…)")
    }
}

impl Proof {
    /// Compares hashes, so that the time it takes says nothing of what is right.
    pub fn is_of(&self, device: &Device) -> bool {
        match self {
            Proof::Token(token) => device.token == Some(hash(token)),
            Proof::Secret(secret) => device.secret.as_deref().map(hash) == Some(hash(secret)),
        }
    }
}

/// What is kept of an identity token: its SHA-256 in base64.
pub fn hash(text: &str) -> String {
    BASE64URL.encode(Sha256::digest(text))
}
