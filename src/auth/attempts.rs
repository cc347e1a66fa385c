//! Guessing secrets is slowed: whoever presents wrong ones for a key is soon told to wait, and what they present meanwhile
//! is not looked at, so that no guess among many is answered.
//!
//! Counted by key and address: a guesser locks out nobody elsewhere. Tokens are not counted. To guess one is to guess 256
//! bits; and if wrong ones were counted, one member of an audience behind a shared address could shut out all others.

use super::{App, Credentials, Grant};
use crate::error::{Code, ErrorInfo};
use crate::limits::{WRONG_SECRETS, WRONG_SECRETS_MAX_KEYS};
use crate::rate::Buckets;

pub struct Attempts(Buckets<String>);

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts(Buckets::new(WRONG_SECRETS, WRONG_SECRETS_MAX_KEYS))
    }
}

impl Attempts {
    /// Fails as [`Credentials::verify`] does, and with 42910 when too many wrong secrets came for this key from `address`.
    pub fn verify(
        &mut self,
        credentials: &Credentials,
        app: Option<&App>,
        address: &str,
        now_ms: u64,
    ) -> Result<Grant, ErrorInfo> {
        match credentials.presented_key() {
            None => credentials.verify(app, now_ms),
            Some(name) => self.check(&name.to_string(), address, now_ms, || credentials.verify(app, now_ms)),
        }
    }

    /// Checks something against the secret of `name`. Fails as `check` does, whose 40101 counts, and with 42910.
    pub fn check<T>(
        &mut self,
        name: &str,
        address: &str,
        now_ms: u64,
        check: impl FnOnce() -> Result<T, ErrorInfo>,
    ) -> Result<T, ErrorInfo> {
        let key = format!("{name} {address}");
        if !self.0.allows(&key, now_ms) {
            return Err(Code::RateLimited.because("too many wrong credentials; wait before you try again"));
        }
        check().inspect_err(|error| {
            if error.is(Code::BadCredentials) {
                self.0.take(key, now_ms);
            }
        })
    }
}
