//! `POST /keys/<keyName>/requestToken`: from a token request to a token (protocol.md § 11.2). Owns the request's
//! syntax, its signature and its bounds. Remembering nonces needs storage, which is the caller's: see [`NonceUse`].

use serde::Serialize;
use serde_json::{Map, Value};

use super::token::{self, Terms};
use super::{App, Capability, Grant, Identity, Key, KeyName};
use crate::base::base64::from_base64;
use crate::error::{Code, ErrorInfo};
use crate::limits::{CLOCK_SKEW_MAX_MS, NONCE_MAX_BYTES, NONCE_MIN_CHARS, TOKEN_DEFAULT_TTL_MS};

/// A request for a token. Absent fields are empty texts: so they are signed. No field holds a control character: the
/// fields are signed with line ends between them, and one that held a line end could be split anew into other fields
/// under the same MAC, where a server signs for a clientId that its user chose.
#[derive(Clone)]
pub struct TokenRequest {
    key_name: KeyName,
    ttl: WholeNumber,
    capability: String,
    client_id: Identity,
    timestamp: WholeNumber,
    nonce: String,
    mac: String,
}

/// A number with the digits that the client signed.
#[derive(Clone, Default)]
struct WholeNumber {
    digits: String,
    value: u64,
}

impl TokenRequest {
    /// From a body, whose fields may be null, and numbers strings of digits. Fails with 40001 when it is no object or
    /// names no key, with 40003 for a field of another type or with a control character, or a number that is negative,
    /// has a fraction or is no number, with 40005 for a bad key name, with 40012 for a clientId that no client can
    /// have.
    pub fn from_value(body: &Value) -> Result<TokenRequest, ErrorInfo> {
        let body = body.as_object().ok_or_else(|| Code::BadBody.because("a token request must be an object"))?;
        Ok(TokenRequest {
            key_name: key_name(body)?,
            ttl: whole_number(body, "ttl")?,
            capability: capability_text(body)?,
            client_id: Identity::parse(Some(&string(body, "clientId")?))?,
            timestamp: whole_number(body, "timestamp")?,
            nonce: text(body, "nonce")?,
            mac: text(body, "mac")?,
        })
    }

    /// From a decoded query, which GET uses. Fails like [`TokenRequest::from_value`].
    pub fn from_query(query: &[(String, String)]) -> Result<TokenRequest, ErrorInfo> {
        // Reversed, so that the first of a name stays.
        let fields = query.iter().rev().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        TokenRequest::from_value(&Value::Object(fields.collect()))
    }

    /// Whether it proves itself, and needs no other authority.
    pub fn is_signed(&self) -> bool {
        !self.mac.is_empty()
    }

    /// Decides about the request that came to the path of `key_name`. `app` is that key's, `None` when there is no such
    /// app; `authority` is what the HTTP request's own credentials allow, which an unsigned token request needs.
    ///
    /// Fails with 40400 for a key that is unknown or has ended; 40101 for a wrong MAC, or a key that is not the path's;
    /// 40104 for a timestamp that is not of now; 40106 or 40162 without a signature or the key itself; 40003 for a
    /// short nonce or a long life; 40000 for an invalid capability; 40160 for one of which the key allows nothing.
    pub fn approve(
        &self,
        key_name: &KeyName,
        app: Option<&App>,
        authority: Option<&Grant>,
        now_ms: u64,
    ) -> Result<ApprovedToken, ErrorInfo> {
        let key =
            app.and_then(|app| app.live_key(key_name, now_ms)).ok_or_else(|| Code::NotFound.because("no such key"))?;
        if self.key_name != *key_name {
            return Err(Code::BadCredentials.because("keyName is not the key's that the path names"));
        }
        let nonce =
            if self.is_signed() { Some(self.check_mac(key, now_ms)?) } else { self.check_authority(authority)? };
        let capability = self.capability(key)?;
        let since_ms = if self.is_signed() && key.revocable_tokens { self.timestamp.value.min(now_ms) } else { now_ms };
        Ok(ApprovedToken {
            key: key.clone(),
            capability,
            client_id: self.client_id.clone(),
            issued_at_ms: now_ms,
            since_ms,
            ttl_ms: self.ttl_ms(key)?,
            nonce,
        })
    }

    fn check_mac(&self, key: &Key, now_ms: u64) -> Result<NonceUse, ErrorInfo> {
        let tag = from_base64(&self.mac).filter(|tag| key.secret.verifies(self.signed_text().as_bytes(), tag));
        if tag.is_none() {
            return Err(Code::BadCredentials.because("the token request's mac is wrong"));
        }
        if self.timestamp.value.abs_diff(now_ms) > CLOCK_SKEW_MAX_MS {
            let seconds = CLOCK_SKEW_MAX_MS / 1_000;
            let what = format!("timestamp must be the time in ms, at most {seconds} s from the time here");
            return Err(Code::BadTimestamp.because(what));
        }
        if self.nonce.chars().count() < NONCE_MIN_CHARS || self.nonce.len() > NONCE_MAX_BYTES {
            let bounds =
                format!("nonce must have {NONCE_MIN_CHARS} characters at least and {NONCE_MAX_BYTES} bytes at most");
            return Err(Code::BadParameter.because(bounds));
        }
        Ok(NonceUse::of(self))
    }

    fn signed_text(&self) -> String {
        let key_name = self.key_name.to_string();
        let client_id = self.client_id.as_str().unwrap_or_default();
        let fields = [&key_name, &self.ttl.digits, &self.capability, client_id, &self.timestamp.digits, &self.nonce];
        fields.iter().fold(String::new(), |text, field| text + field + "\n")
    }

    /// Who presents the key itself needs no signature, and repeats nothing that others could.
    fn check_authority(&self, authority: Option<&Grant>) -> Result<Option<NonceUse>, ErrorInfo> {
        match authority {
            None => Err(Code::NoCredentials.because("the token request has no mac, and comes without its key")),
            Some(grant) if !grant.basic => Err(Code::BasicRequired.into()),
            Some(grant) if grant.key_name != self.key_name => {
                Err(Code::BadCredentials.because("keyName is not that of the key which comes with the request"))
            }
            Some(_) => Ok(None),
        }
    }

    /// Absent when it is all that the key allows: the token is shorter then.
    fn capability(&self, key: &Key) -> Result<Option<Capability>, ErrorInfo> {
        if self.capability.is_empty() {
            return Ok(None);
        }
        let allowed = key.capability.intersect(&Capability::parse(&self.capability)?)?;
        Ok(Some(allowed).filter(|allowed| *allowed != key.capability))
    }

    /// Zero is absent, as SDKs sign it.
    fn ttl_ms(&self, key: &Key) -> Result<u64, ErrorInfo> {
        match self.ttl.value {
            0 => Ok(TOKEN_DEFAULT_TTL_MS.min(key.token_max_ttl_ms())),
            ttl_ms if ttl_ms <= key.token_max_ttl_ms() => Ok(ttl_ms),
            _ => Err(Code::BadParameter.because(format!("ttl must be at most {} ms", key.token_max_ttl_ms()))),
        }
    }
}

/// That a signed request was used. The caller remembers `key` until `forget_at_ms`, and answers the second use with
/// 40105; later the timestamp alone refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceUse {
    pub key: String,
    pub forget_at_ms: u64,
}

impl NonceUse {
    /// The timestamp is a part of the key, because clients may use a constant nonce.
    fn of(request: &TokenRequest) -> NonceUse {
        NonceUse {
            key: format!("{} {} {}", request.key_name, request.timestamp.value, request.nonce),
            forget_at_ms: request.timestamp.value.saturating_add(CLOCK_SKEW_MAX_MS + 1),
        }
    }
}

/// A token that may be issued, once its nonce is known to be new.
#[derive(Clone, Debug)]
pub struct ApprovedToken {
    key: Key,
    capability: Option<Capability>,
    client_id: Identity,
    issued_at_ms: u64,
    /// The time that revocations compare: when its request was signed, which its client may have kept since.
    since_ms: u64,
    ttl_ms: u64,
    /// Absent when the request needed no signature.
    pub nonce: Option<NonceUse>,
}

impl ApprovedToken {
    /// With all that the key allows, for as long as a token usually lives.
    pub fn of(key: Key, client_id: Identity, now_ms: u64) -> ApprovedToken {
        let ttl_ms = TOKEN_DEFAULT_TTL_MS.min(key.token_max_ttl_ms());
        ApprovedToken { key, capability: None, client_id, issued_at_ms: now_ms, since_ms: now_ms, ttl_ms, nonce: None }
    }

    pub fn lasting(self, ttl_ms: u64) -> ApprovedToken {
        ApprovedToken { ttl_ms, ..self }
    }

    /// Signs it. `random` only keeps two tokens from being the same.
    pub fn issue(self, random: [u8; 8]) -> TokenDetails {
        let capability = self.capability.as_ref().unwrap_or(&self.key.capability).text().to_owned();
        let client_id = self.client_id.as_str().map(str::to_owned);
        // A revocation is forgotten when all tokens that began before it must have expired.
        let longest_ms = self.since_ms.saturating_add(self.key.token_max_ttl_ms());
        let (issued, expires) = (self.issued_at_ms, self.issued_at_ms.saturating_add(self.ttl_ms).min(longest_ms));
        let terms = Terms {
            capability: self.capability,
            client_id: self.client_id,
            issued_at_ms: self.since_ms,
            ttl_ms: expires - self.since_ms,
        };
        let token = token::sign(&self.key, terms, random);
        TokenDetails { token, key_name: self.key.name.to_string(), issued, expires, capability, client_id }
    }
}

/// The answer; clients tell it from a request by its `token`. Times in milliseconds.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenDetails {
    pub token: String,
    pub key_name: String,
    pub issued: u64,
    pub expires: u64,
    /// Canonical JSON text.
    pub capability: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

fn key_name(body: &Map<String, Value>) -> Result<KeyName, ErrorInfo> {
    match text(body, "keyName")?.as_str() {
        "" => Err(Code::BadBody.because("a token request must have a keyName")),
        name => {
            KeyName::parse(name).map_err(|error| Code::BadKey.because(format!("keyName is wrong: {}", error.message)))
        }
    }
}

/// A text without control characters, empty when absent.
fn text(body: &Map<String, Value>, name: &str) -> Result<String, ErrorInfo> {
    match string(body, name)? {
        text if text.contains(char::is_control) => {
            Err(Code::BadParameter.because(format!("{name} must not hold a control character, such as a line end")))
        }
        text => Ok(text),
    }
}

fn string(body: &Map<String, Value>, name: &str) -> Result<String, ErrorInfo> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Code::BadParameter.because(format!("{name} must be a string"))),
    }
}

/// The text that is signed. An object, which documentation shows for unsigned requests, stands for its canonical text.
fn capability_text(body: &Map<String, Value>) -> Result<String, ErrorInfo> {
    match body.get("capability") {
        Some(object @ Value::Object(_)) => {
            Capability::from_value(object).map(|capability| capability.text().to_owned())
        }
        _ => text(body, "capability"),
    }
}

fn whole_number(body: &Map<String, Value>, name: &str) -> Result<WholeNumber, ErrorInfo> {
    let digits = match body.get(name) {
        None | Some(Value::Null) => return Ok(WholeNumber::default()),
        Some(Value::String(text)) if text.is_empty() => return Ok(WholeNumber::default()),
        Some(Value::String(text)) => text.clone(),
        Some(number) => digits(number).unwrap_or_default(),
    };
    let only_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse().ok().filter(|_| only_digits) {
        // Signed as an empty text, because clients write `ttl || ""`.
        Some(0) => Ok(WholeNumber::default()),
        Some(value) => Ok(WholeNumber { digits, value }),
        None => Err(Code::BadParameter.because(format!("{name} must be a whole number of milliseconds"))),
    }
}

/// The digits of a whole number, which msgpack may carry as a float.
fn digits(value: &Value) -> Option<String> {
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9e15).contains(float));
    value.as_u64().or_else(|| float().map(|float| float as u64)).map(|number| number.to_string())
}
