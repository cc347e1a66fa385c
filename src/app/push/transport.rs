//! Push services that know their senders: each is asked with a token, which has to be got first (docs/push.md).
//!
//! A transport says how its recipients become a [`Post`], and what an answer means: a [`Verdict`]. How its token is got
//! is an [`Authorise`]; what came of it is a [`Permit`], which is stored, because Apple wants few of them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Outcome, Settings, apns, fcm};
use crate::auth::{Algorithm, App, PushCredentials, SigningKey};
use crate::base::endpoint::Endpoint;
use crate::base::pinned::Versioned;
use crate::error::{Code, ErrorInfo};
use crate::limits::PUSH_REASON_MAX_CHARS;
use crate::push::{Payload, hash};
use crate::stats::PushOutcome;

/// A service with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Fcm,
    Apns,
}

/// A request to be made.
#[derive(Clone, PartialEq)]
pub struct Post {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether the service speaks nothing else.
    pub needs_http2: bool,
}

/// The headers hold the token, and the address of APNs holds the recipient.
impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post(…)")
    }
}

/// A statement to be signed, and to be exchanged for a token, if there is an address for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorise {
    pub statement: String,
    pub key: SigningKey,
    pub exchange_url: Option<String>,
}

impl Authorise {
    pub fn of(key: &SigningKey, key_id: Option<&str>, claims: &Value, exchange_url: Option<String>) -> Authorise {
        let algorithm = match key.algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        };
        let mut head = serde_json::json!({ "typ": "JWT", "alg": algorithm });
        head.as_object_mut().into_iter().for_each(|head| head.extend(key_id.map(|id| ("kid".to_owned(), id.into()))));
        let statement = [BASE64URL.encode(head.to_string()), BASE64URL.encode(claims.to_string())].join(".");
        Authorise { statement, key: key.clone(), exchange_url }
    }

    /// The statement with its signature.
    pub fn signed(&self, signature: &[u8]) -> String {
        [self.statement.as_str(), &BASE64URL.encode(signature)].join(".")
    }

    /// The body of the request that exchanges it, a form. Nothing in a signed statement has to be escaped.
    pub fn exchange(signed: &str) -> String {
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={signed}")
    }
}

/// What an outcome means for a delivery.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Done,
    /// Not before so many milliseconds, if the service says that.
    Again(ErrorInfo, Option<u64>),
    /// It won't be delivered; another one may be.
    Lost(ErrorInfo),
    /// Nothing will be delivered there any more.
    Gone(ErrorInfo),
    /// The token will not do; another one may.
    Denied(ErrorInfo),
    /// No token of these credentials will do.
    Refused(ErrorInfo),
    /// There is a token now.
    Next,
}

impl Verdict {
    /// What is wrong.
    pub fn error(&self) -> ErrorInfo {
        match self {
            Verdict::Done | Verdict::Next => Code::Internal.into(),
            Verdict::Again(error, _) | Verdict::Lost(error) | Verdict::Gone(error) => error.clone(),
            Verdict::Denied(error) | Verdict::Refused(error) => error.clone(),
        }
    }

    /// What the statistics call it.
    pub fn outcome(&self) -> Option<PushOutcome> {
        let is_of_credentials =
            |error: &ErrorInfo| error.is(Code::PushBadCredentials) || error.is(Code::PushNotConfigured);
        match self {
            Verdict::Next => None,
            Verdict::Done => Some(PushOutcome::Delivered),
            Verdict::Again(..) | Verdict::Denied(_) => Some(PushOutcome::Deferred),
            Verdict::Gone(_) => Some(PushOutcome::Gone),
            Verdict::Lost(error) | Verdict::Refused(error) if is_of_credentials(error) => {
                Some(PushOutcome::Unauthorised)
            }
            Verdict::Lost(_) | Verdict::Refused(_) => Some(PushOutcome::Failed),
        }
    }

    /// The same where no other token is tried.
    pub fn finally(self) -> Verdict {
        match self {
            Verdict::Denied(error) => Verdict::Refused(error),
            verdict => verdict,
        }
    }
}

/// What is known of a service's token, as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Permit {
    /// The hash of the credentials that it is of.
    pub of: String,
    pub standing: Standing,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    Granted {
        token: String,
        until_ms: u64,
        /// Whether the one before was denied, and this one was never taken.
        is_second: bool,
    },
    /// The last token was denied.
    Denied,
    /// There is none, for a while.
    Refused { error: ErrorInfo, until_ms: u64, may_pass: bool },
}

impl Versioned for Permit {
    const VERSION: u8 = 1;
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit(…)")
    }
}

/// What a token endpoint answered, or a signature: a token, and until when it is used.
pub type Authorised = Result<(String, u64), Verdict>;

impl Transport {
    pub const ALL: [Transport; 2] = [Transport::Fcm, Transport::Apns];

    /// As recipients name it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Fcm => "fcm",
            Transport::Apns => "apns",
        }
    }

    /// Fails with 103006 when the app has no credentials for it.
    pub fn check(self, app: &App) -> Result<(), ErrorInfo> {
        let has = match self {
            Transport::Fcm => app.push().fcm.is_some(),
            Transport::Apns => app.push().apns.is_some(),
        };
        let what = || format!("the app has no credentials for {}; docs/push.md says how to set them", self.name());
        if has { Ok(()) } else { Err(Code::PushNotConfigured.because(what())) }
    }

    /// Names the credentials, without telling them.
    pub fn fingerprint(self, credentials: &PushCredentials) -> String {
        let of = |parts: [&str; 4], key: &SigningKey| hash(&[&parts.join("\n"), "\n", &hash_of(key)].concat());
        match self {
            Transport::Fcm => credentials.fcm.as_ref().map(|fcm| {
                let key_id = fcm.key_id.as_deref().unwrap_or_default();
                of([&fcm.project, &fcm.email, &fcm.token_url, key_id], &fcm.key)
            }),
            Transport::Apns => {
                let apns = credentials.apns.as_ref();
                apns.map(|apns| of([&apns.key_id, &apns.team_id, &apns.url, ""], &apns.key))
            }
        }
        .unwrap_or_default()
    }

    /// How its token is got. Fails with 103006 without credentials.
    pub fn authorise(self, app: &App, settings: &Settings, now_ms: u64) -> Result<Authorise, ErrorInfo> {
        self.check(app)?;
        let PushCredentials { fcm, apns } = app.push();
        let authorise = match self {
            Transport::Fcm => fcm.as_ref().map(|account| fcm::authorise(account, now_ms)),
            Transport::Apns => apns.as_ref().map(|key| apns::authorise(key, now_ms)),
        };
        let authorise = authorise.ok_or(Code::PushNotConfigured)?;
        authorise.exchange_url.as_deref().map_or(Ok(()), |url| check_called(url, settings))?;
        Ok(authorise)
    }

    /// What came of that, unless it is a verdict of its own.
    pub fn authorised(self, outcome: Outcome, now_ms: u64) -> Authorised {
        match outcome {
            Outcome::BadKey => {
                Err(Verdict::Refused(Code::PushBadCredentials.because("the app's private key cannot be used to sign")))
            }
            outcome => match self {
                Transport::Fcm => fcm::authorised(outcome, now_ms),
                Transport::Apns => apns::authorised(outcome, now_ms),
            },
        }
    }

    /// A notification. `id` tells it from others. Fails with 103004 for one that cannot be sent, with 103005 for a
    /// recipient that there cannot be, with 103006 without credentials, and with 103007 where this server may not call.
    pub fn post(
        self,
        recipient: &str,
        payload: &Payload,
        sender: &Sender<'_>,
        settings: &Settings,
    ) -> Result<Post, ErrorInfo> {
        let PushCredentials { fcm, apns } = sender.app.push();
        let post = match self {
            Transport::Fcm => fcm.as_ref().map(|account| fcm::post(account, recipient, payload, sender)),
            Transport::Apns => apns.as_ref().map(|key| apns::post(key, recipient, payload, sender)),
        };
        let post = post.unwrap_or_else(|| Err(Code::PushNotConfigured.into()))?;
        check_called(&post.url, settings)?;
        Ok(post)
    }

    /// What the answer to a post means.
    pub fn verdict(self, outcome: Outcome) -> Verdict {
        match (self, outcome) {
            (Transport::Fcm, Outcome::Answered(answered)) => fcm::verdict(&answered),
            (Transport::Apns, Outcome::Answered(answered)) => apns::verdict(&answered),
            _ => Verdict::Again(Code::PushUnreachable.into(), None),
        }
    }
}

/// Who sends what.
pub struct Sender<'a> {
    pub app: &'a App,
    pub token: &'a str,
    /// By what a delivery is known when it is tried again.
    pub id: &'a str,
    pub now_ms: u64,
}

/// What a push service answered.
#[derive(Clone, PartialEq)]
pub struct Answered {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    /// As much of it as is read.
    pub body: String,
}

/// The body may be a token.
impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answered({})", self.status)
    }
}

impl Answered {
    pub fn json(&self) -> Value {
        crate::model::node::value_of(self.body.as_bytes()).unwrap_or_default()
    }

    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_s.map(|seconds| seconds.saturating_mul(1_000))
    }

    /// The error of this code, with what the service said.
    pub fn because(&self, code: Code, reason: &str) -> ErrorInfo {
        let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let reason: String = reason.chars().filter(is_plain).take(PUSH_REASON_MAX_CHARS).collect();
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        code.because(format!("the push service answered {}{reason}", self.status))
    }
}

impl Permit {
    pub fn granted(of: String, (token, until_ms): (String, u64), is_second: bool) -> Permit {
        Permit { of, standing: Standing::Granted { token, until_ms, is_second } }
    }

    pub fn refused(of: String, error: ErrorInfo, may_pass: bool, until_ms: u64) -> Permit {
        Permit { of, standing: Standing::Refused { error, until_ms, may_pass } }
    }

    /// Whether the next token is the last that is tried.
    pub fn is_doubtful(&self) -> bool {
        matches!(self.standing, Standing::Denied | Standing::Refused { may_pass: false, .. })
    }
}

/// Whether this server may call that. Fails with 103007.
fn check_called(url: &str, settings: &Settings) -> Result<(), ErrorInfo> {
    match settings.private_addresses || Endpoint::parse(url).is_some_and(|endpoint| endpoint.is_public()) {
        true => Ok(()),
        false => Err(Code::PushUnreachable.because("the push service is where this server may not call")),
    }
}

fn hash_of(key: &SigningKey) -> String {
    hash(&BASE64URL.encode(key.expose()))
}

/// A header may hold this: what else a service calls a token is none.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
