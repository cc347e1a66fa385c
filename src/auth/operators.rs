//! Tokens of operators: whoever has the admin token belongs to no app, and hears what happens in one, or sees its
//! channels, by a token of it (protocol.md § 11.9). Owns their signature and what they allow.
//!
//! They are signed as any token is, by a key that each app has and nobody is given. Its secret comes of the admin
//! token: it ends with that, cannot be had from the keys of an app, and leads back to neither.

use base64::Engine;

use super::request::ApprovedToken;
use super::{Capability, Identity, Key, KeyName, Secret, TokenDetails};
use crate::base::base64::URL;
use crate::limits::{CONSOLE_TOKEN_TTL_MS, TOKEN_DEFAULT_TTL_MS};
use crate::model::name::{AppId, LIFECYCLE, LOG, STATISTICS};

/// Keeps what signs these tokens apart from whatever else the admin token may sign.
const PURPOSE: &[u8] = b"courtside operators";

/// The clientId of operators on an app's channels: members see who said or changed something.
const CLIENT_ID: &str = "[operator]";

/// How much of an app a token of an operator is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To hear what the admin token may ask for at any time: what was done and counted. On connections alone.
    Metachannels,
    /// To see channels, to publish, change and delete there, as the console does. Over REST too, and not for long.
    Channels,
}

impl Reach {
    pub(super) fn of_key(id: &str) -> Option<Reach> {
        [Reach::Metachannels, Reach::Channels].into_iter().find(|reach| reach.key_id() == id)
    }

    /// The two have keys of their own, so that neither kind of token passes for the other.
    pub(super) fn key_id(self) -> &'static str {
        match self {
            Reach::Metachannels => "[operator]",
            Reach::Channels => "[console]",
        }
    }

    fn capability(self) -> Capability {
        let heard = |metachannels: [&str; 2]| metachannels.map(|name| format!(r#""{name}":["subscribe"]"#)).join(",");
        let text = match self {
            Reach::Metachannels => heard([LOG, STATISTICS]),
            Reach::Channels => {
                let done =
                    r#"["channel-metadata","history","message-delete-any","message-update-any","publish","subscribe"]"#;
                format!(r#""*":{done},{}"#, heard([LIFECYCLE, STATISTICS]))
            }
        };
        Capability::parse(&format!("{{{text}}}")).expect("these are resources and operations")
    }
}

/// The signer of operators' tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators(Secret);

impl Operators {
    pub fn of(admin_token: &Secret) -> Operators {
        Operators(Secret::presented(&URL.encode(admin_token.mac(PURPOSE))))
    }

    /// A token of an app, or of the deployment itself. `random` only keeps it from being another's.
    pub fn issue(&self, app: &AppId, reach: Reach, now_ms: u64, random: [u8; 8]) -> TokenDetails {
        let (client_id, ttl_ms) = match reach {
            Reach::Metachannels => (Identity::Anonymous, TOKEN_DEFAULT_TTL_MS),
            Reach::Channels => (Identity::Named(CLIENT_ID.into()), CONSOLE_TOKEN_TTL_MS),
        };
        ApprovedToken::of(self.key(app, reach), client_id, now_ms).lasting(ttl_ms).issue(random)
    }

    /// The key of this name, if it is one that signs such tokens.
    pub fn key_of(&self, name: &KeyName) -> Option<Key> {
        name.reach().map(|reach| self.key(name.app(), reach))
    }

    /// The key that signs those of an app. The MAC is over its name, and so over the app and the reach.
    pub(super) fn key(&self, app: &AppId, reach: Reach) -> Key {
        Key {
            name: KeyName::operators(app.clone(), reach),
            secret: self.0.clone(),
            capability: reach.capability(),
            revocable_tokens: false,
            valid_until_ms: None,
            pusher: false,
        }
    }
}
