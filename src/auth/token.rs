//! Our own tokens: `<appId>.<base64url of msgpack and its MAC>`. Owns their format.
//!
//! A token carries all that it allows, so verifying it needs nothing but the key that signed it. The MAC's key is
//! derived from the key's secret: there is no other secret to keep, changing or deleting a key ends its tokens, and
//! nothing that the secret signs elsewhere (token requests, JWTs) can pass for a token.

use base64::Engine;
use serde::{Deserialize, Serialize};

use super::grant::{Claims, Grant};
use super::secret::{MAC_BYTES, mac, verifies};
use super::{Capability, Identity, Key, KeyName};
use crate::base::base64::URL;
use crate::base::pinned::{self, Versioned};
use crate::error::ErrorInfo;
use crate::limits::TOKEN_MAX_BYTES;

/// Changes when the fields of [`Body`] do.
const VERSION: u8 = 1;

/// What is signed: a tuple in msgpack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    version: u8,
    key_id: String,
    issued_at_ms: u64,
    ttl_ms: u64,
    capability: Option<Capability>,
    client_id: Identity,
    /// Tells apart tokens that are otherwise the same.
    salt: u64,
}

impl Versioned for Body {
    const VERSION: u8 = 1;
}

/// A token before it is signed.
pub(super) struct Terms {
    /// Absent: all that the key allows.
    pub capability: Option<Capability>,
    pub client_id: Identity,
    pub issued_at_ms: u64,
    pub ttl_ms: u64,
}

/// The text of a token on these terms. `random` only keeps it from being another's.
pub(super) fn sign(key: &Key, terms: Terms, random: [u8; 8]) -> String {
    let body = Body {
        version: VERSION,
        key_id: key.name.id().to_owned(),
        issued_at_ms: terms.issued_at_ms,
        ttl_ms: terms.ttl_ms,
        capability: terms.capability,
        client_id: terms.client_id,
        salt: u64::from_le_bytes(random),
    };
    let mut bytes = pinned::encode(&body);
    let tag = mac(&signing_key(key), &bytes);
    bytes.extend_from_slice(&tag);
    format!("{}.{}", key.name.app().as_str(), URL.encode(bytes))
}

/// The app is a part of what the MAC's key is derived from: two apps may have keys of one id and one secret.
fn signing_key(key: &Key) -> [u8; MAC_BYTES] {
    key.secret.mac(format!("courtside token {}", key.name).as_bytes())
}

/// A token as a client presents it; nothing says yet that we signed it.
#[derive(Clone)]
pub(super) struct PresentedToken {
    pub key_name: KeyName,
    body: Body,
    signed: Vec<u8>,
    tag: Vec<u8>,
}

impl PresentedToken {
    /// `None` for a text that never was a token.
    pub fn parse(text: &str) -> Option<PresentedToken> {
        let (app, opaque) = text.split_once('.').filter(|_| text.len() <= TOKEN_MAX_BYTES)?;
        let mut signed = URL.decode(opaque).ok()?;
        let tag = signed.split_off(signed.len().checked_sub(MAC_BYTES)?);
        let body: Body = pinned::decode(&signed).ok()?;
        let key_name = KeyName::stored(app, &body.key_id).ok()?;
        (body.version == VERSION).then_some(PresentedToken { key_name, body, signed, tag })
    }

    pub fn is_signed_by(&self, key: &Key) -> bool {
        verifies(&signing_key(key), &self.signed, &self.tag)
    }

    /// What it allows, if the key signed it. Fails as a grant of a token does.
    pub fn grant(&self, key: &Key, now_ms: u64) -> Result<Grant, ErrorInfo> {
        let claims = Claims {
            capability: self.body.capability.clone(),
            client_id: self.body.client_id.clone(),
            issued_at_ms: self.body.issued_at_ms,
            expires_at_ms: self.body.issued_at_ms.saturating_add(self.body.ttl_ms),
            revocation_key: None,
            user_claims: None,
        };
        Grant::of_token(key, claims, now_ms)
    }
}
