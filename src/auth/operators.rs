//! Tokens of operators: whoever has the admin token belongs to no app, and hears what happens in one by a token of it
//! (protocol.md § 11.9). Owns their signature and what they allow.
//!
//! They are signed as any token is, by a key that each app has and nobody is given. Its secret comes of the admin
//! token: it ends with that, cannot be had from the keys of an app, and leads back to neither.

use base64::Engine;

use super::encoding::URL;
use super::request::ApprovedToken;
use super::{Capability, Identity, Key, KeyName, Secret, TokenDetails};
use crate::model::name::{AppId, LOG, STATISTICS};

/// Keeps what signs these tokens apart from whatever else the admin token may sign.
const PURPOSE: &[u8] = b"courtside operators";

/// The signer of operators' tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators(Secret);

impl Operators {
    pub fn of(admin_token: &Secret) -> Operators {
        Operators(Secret::presented(&URL.encode(admin_token.mac(PURPOSE))))
    }

    /// A token of an app, or of the deployment itself, for as long as one usually lives. `random` only keeps it from
    /// being another's.
    pub fn issue(&self, app: &AppId, now_ms: u64, random: [u8; 8]) -> TokenDetails {
        ApprovedToken::of(self.key(app), Identity::Anonymous, now_ms).issue(random)
    }

    /// The key that signs those of an app. The MAC is over its name, and so over the app.
    pub(super) fn key(&self, app: &AppId) -> Key {
        Key {
            name: KeyName::operators(app.clone()),
            secret: self.0.clone(),
            capability: Capability::of_operators(),
            revocable_tokens: false,
            valid_until_ms: None,
            pusher: false,
        }
    }
}

impl Capability {
    /// To hear what the admin token may ask for at any time: what was done and counted.
    fn of_operators() -> Capability {
        let heard = [LOG, STATISTICS].map(|metachannel| format!(r#""{metachannel}":["subscribe"]"#));
        Capability::parse(&format!("{{{}}}", heard.join(","))).expect("metachannels are resources")
    }
}
