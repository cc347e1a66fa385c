//! API keys: `appId.keyId:secret` (protocol.md § 11.1). Owns their syntax and what each allows.

use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{Capability, Reach, Secret};
use crate::error::{Code, ErrorInfo};
use crate::limits::{KEY_ID_MAX_BYTES, REVOCABLE_TOKEN_MAX_TTL_MS, TOKEN_MAX_TTL_MS};
use crate::model::name::AppId;

const NOBODYS: &str = "-";

/// What names a key everywhere: `appId.keyId`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName {
    app: AppId,
    id: Rc<str>,
}

impl KeyName {
    /// Fails with 40005 when the id has other characters than an app's id has.
    pub fn new(app: AppId, id: &str) -> Result<KeyName, ErrorInfo> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if id.is_empty() || id.len() > KEY_ID_MAX_BYTES || !id.bytes().all(plain) {
            return Err(Code::BadKey
                .because(format!("a key's id must have 1 to {KEY_ID_MAX_BYTES} letters, digits, '-' and '_'")));
        }
        Ok(KeyName { app, id: id.into() })
    }

    /// For a client that has not said by which key it comes. A key of this name gives more than nothing.
    pub(super) fn nobodys(app: AppId) -> KeyName {
        KeyName { app, id: NOBODYS.into() }
    }

    pub(super) fn is_nobodys(&self) -> bool {
        &*self.id == NOBODYS
    }

    /// The name of the key that signs operators' tokens for an app, or for the deployment itself. No key of an app can
    /// have its id: it is no text that [`KeyName::new`] takes.
    pub(super) fn operators(app: AppId, reach: Reach) -> KeyName {
        KeyName { app, id: reach.key_id().into() }
    }

    /// How far it reaches, if it is what operators come by.
    pub fn reach(&self) -> Option<Reach> {
        Reach::of_key(&self.id)
    }

    /// As tokens and stored grants have it. Fails with 40005 for what names neither a key nor what operators come by.
    pub(super) fn stored(app: &str, id: &str) -> Result<KeyName, ErrorInfo> {
        match Reach::of_key(id) {
            Some(reach) => AppId::try_from(app.to_owned()).map(|app| KeyName::operators(app, reach)),
            None => KeyName::new(AppId::parse(app)?, id),
        }
    }

    /// Fails with 40005 when the text is not `appId.keyId`.
    pub fn parse(text: &str) -> Result<KeyName, ErrorInfo> {
        let (app, id) = parts(text)?;
        KeyName::new(AppId::parse(app)?, id)
    }

    pub fn app(&self) -> &AppId {
        &self.app
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

fn parts(text: &str) -> Result<(&str, &str), ErrorInfo> {
    text.split_once('.').ok_or_else(|| Code::BadKey.because("a key name is appId.keyId"))
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.app.as_str(), self.id)
    }
}

impl TryFrom<String> for KeyName {
    type Error = ErrorInfo;

    fn try_from(text: String) -> Result<KeyName, ErrorInfo> {
        let (app, id) = parts(&text)?;
        KeyName::stored(app, id)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> String {
        name.to_string()
    }
}

/// One key of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: KeyName,
    pub secret: Secret,
    pub capability: Capability,
    /// Whether its tokens can be revoked. They live shorter then.
    pub revocable_tokens: bool,
    /// When it ends, with all its tokens, if it was replaced.
    pub valid_until_ms: Option<u64>,
    /// Whether Pusher clients may come in by its name alone, without the secret (protocol.md § 26).
    pub pusher: bool,
}

impl Key {
    /// What a client is configured with: the name and the secret. Only for the one who made the key.
    pub fn expose(&self) -> String {
        format!("{}:{}", self.name, self.secret.expose())
    }

    pub fn has_ended(&self, now_ms: u64) -> bool {
        self.valid_until_ms.is_some_and(|until_ms| until_ms <= now_ms)
    }

    /// The longest life of a token of this key.
    pub fn token_max_ttl_ms(&self) -> u64 {
        if self.revocable_tokens { REVOCABLE_TOKEN_MAX_TTL_MS } else { TOKEN_MAX_TTL_MS }
    }
}

/// A key string as a client presents it; nothing says yet that it is right.
#[derive(Clone, Debug)]
pub(super) struct PresentedKey {
    pub name: KeyName,
    pub secret: Secret,
}

impl PresentedKey {
    /// Fails with 40005 when the text is not `appId.keyId:secret`.
    pub fn parse(text: &str) -> Result<PresentedKey, ErrorInfo> {
        let (name, secret) = text.split_once(':').ok_or_else(|| Code::BadKey.because("a key is appId.keyId:secret"))?;
        Ok(PresentedKey { name: KeyName::parse(name)?, secret: Secret::presented(secret) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names_have_two_plain_parts() {
        let name = KeyName::parse("demo.key-1_A").unwrap();
        assert_eq!((name.app().as_str(), name.id(), name.to_string().as_str()), ("demo", "key-1_A", "demo.key-1_A"));
        for text in ["", "demo", ".", "demo.", ".key", "a.b.c", "a b.c", "a.b:c", &format!("a.{}", "x".repeat(65))] {
            assert!(KeyName::parse(text).unwrap_err().is(Code::BadKey), "{text:?}");
        }
    }

    #[test]
    fn no_client_names_what_operators_come_by() {
        let reaches = [Reach::Metachannels, Reach::Channels];
        for (app, reach) in [AppId::parse("demo").unwrap(), AppId::deployment()].iter().zip(reaches) {
            let name = KeyName::operators(app.clone(), reach);
            assert!(KeyName::parse(&name.to_string()).unwrap_err().is(Code::BadKey), "{name}");
            let stored: KeyName = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert!(stored == name && stored.reach() == Some(reach), "{name} is stored as it is");
        }
        assert!(serde_json::from_str::<KeyName>("\"*.key\"").is_err(), "and no key is of the deployment");
    }

    #[test]
    fn presented_keys_hide_their_secret() {
        let key = PresentedKey::parse("demo.key1:local-only").unwrap();
        assert!(!format!("{key:?}").contains("local"));
        assert_eq!(key.secret.expose(), "local-only");
        assert!(PresentedKey::parse("demo.key1").unwrap_err().is(Code::BadKey));
    }
}
