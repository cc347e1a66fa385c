//! Wrong secrets are counted, and who presents many is told so. Whatever form they have: a secret, or what is signed
//! with one, a token, a JWT, a token request.
//!
//! What is right always passes, however many were wrong before it from the same address: it is looked at first, in
//! constant time. Otherwise one person behind the address of a whole audience could shut out all others, and an
//! operator with it. So a guesser is told what is right as fast as it can ask, and what protects a secret is its length
//! alone; see [`SECRET_MIN_BYTES`](crate::limits::SECRET_MIN_BYTES). The count is there so that it is told to stop, and
//! that an operator sees 42910 and not 40101.

use super::{App, Credentials, Grant, KeyName};
use crate::base::rate::Buckets;
use crate::error::{Code, ErrorInfo};
use crate::limits::{WRONG_SECRETS, WRONG_SECRETS_MAX_KEYS, WRONG_TOKENS};

pub struct Attempts {
    secrets: Buckets<String>,
    tokens: Buckets<String>,
}

/// What was wrong, and of which key.
#[derive(Clone, Copy)]
pub(super) enum Guess<'a> {
    Secret(&'a KeyName),
    /// Also when it is only old: its key has another secret now.
    Token(&'a KeyName),
}

/// Whose secret is asked for.
#[derive(Clone, Copy)]
pub enum Guessed<'a> {
    /// None for a text that can be no key's name, of any length: all of these count together.
    Key(Option<&'a KeyName>),
    AdminToken,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts {
            secrets: Buckets::new(WRONG_SECRETS, WRONG_SECRETS_MAX_KEYS),
            tokens: Buckets::new(WRONG_TOKENS, WRONG_SECRETS_MAX_KEYS),
        }
    }
}

impl Attempts {
    /// Fails as [`Credentials::verify`] does, and with 42910 when too much that was wrong came for this key from
    /// `address`.
    pub fn verify(
        &mut self,
        credentials: &Credentials,
        app: Option<&App>,
        address: &str,
        now_ms: u64,
    ) -> Result<Grant, ErrorInfo> {
        credentials.verify_or(app, now_ms, |guess, error| match guess {
            Guess::Secret(name) => counted(&mut self.secrets, name.to_string(), address, now_ms, error),
            Guess::Token(name) => counted(&mut self.tokens, name.to_string(), address, now_ms, error),
        })
    }

    /// Checks something against a secret. Fails as `check` does, whose 40101 counts, and with 42910 in its place when
    /// there were too many.
    pub fn check<T>(
        &mut self,
        of: Guessed<'_>,
        address: &str,
        now_ms: u64,
        check: impl FnOnce() -> Result<T, ErrorInfo>,
    ) -> Result<T, ErrorInfo> {
        check().map_err(|error| match error.is(Code::BadCredentials) {
            true => counted(&mut self.secrets, of.name(), address, now_ms, error),
            false => error,
        })
    }
}

impl Guessed<'_> {
    /// No key's name has a space.
    fn name(&self) -> String {
        match self {
            Guessed::Key(Some(name)) => name.to_string(),
            Guessed::Key(None) => "no key".to_owned(),
            Guessed::AdminToken => "the admin token".to_owned(),
        }
    }
}

/// What is said of something wrong.
fn counted(buckets: &mut Buckets<String>, name: String, address: &str, now_ms: u64, error: ErrorInfo) -> ErrorInfo {
    let key = [&name, " ", address].concat();
    if !buckets.allows(&key, now_ms) {
        return Code::RateLimited.because("too many wrong credentials; wait before you try others");
    }
    buckets.take(key, now_ms);
    error
}
