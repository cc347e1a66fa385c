//! JWTs signed by a key's secret with HS256 (protocol.md § 11.4). Owns what of them is accepted: one algorithm, a key
//! that the header names, and both times.

use std::rc::Rc;

use base64::Engine;
use serde_json::{Map, Value};

use super::fields::quoted;
use super::grant::{Claims, Grant, ROOM_CLAIM};
use super::resource::Resource;
use super::{Capability, Identity, Key, KeyName};
use crate::base::base64::URL;
use crate::error::{Code, ErrorInfo};
use crate::limits::{CLOCK_SKEW_MAX_MS, REVOCABLE_IAT_AHEAD_MAX_MS, REVOCATION_KEY_MAX_BYTES, USER_CLAIMS_MAX_BYTES};
use crate::model::node;

/// A JWT whose parts could be read; nothing says yet who signed it.
#[derive(Clone)]
pub(super) struct DecodedJwt {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: String,
    tag: Vec<u8>,
}

impl DecodedJwt {
    /// `None` for a text that never was a signed JWT: not three parts, or not objects in base64url.
    pub fn parse(text: &str) -> Option<DecodedJwt> {
        let (signed, tag) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(DecodedJwt {
            header: object(header)?,
            claims: object(claims)?,
            signed: signed.to_owned(),
            tag: URL.decode(tag).ok()?,
        })
    }

    /// The token of ours that it wraps. Whoever wrapped it, only the token inside counts.
    pub fn embedded_token(&self) -> Option<&str> {
        let named = |part: &Map<String, Value>| part.contains_key("x-ably-token");
        let part = if named(&self.header) { &self.header } else { &self.claims };
        part.get("x-ably-token").and_then(Value::as_str)
    }

    /// Fails with 40144 when it is not for us to verify: another algorithm, extensions that must be understood, no key.
    pub fn signed_by_key(self) -> Result<PresentedJwt, ErrorInfo> {
        if self.header.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(invalid("its alg must be HS256"));
        }
        if self.header.contains_key("crit") {
            return Err(invalid("its header has crit, and no extension is known here"));
        }
        let kid = self.header.get("kid").and_then(Value::as_str).ok_or_else(|| invalid("its header has no kid"))?;
        let key_name = KeyName::parse(kid).map_err(|_| invalid("its kid must be the key's name, appId.keyId"))?;
        Ok(PresentedJwt { key_name, decoded: self })
    }
}

/// A JWT that says which key signed it.
#[derive(Clone)]
pub(super) struct PresentedJwt {
    pub key_name: KeyName,
    decoded: DecodedJwt,
}

impl PresentedJwt {
    pub fn is_signed_by(&self, key: &Key) -> bool {
        key.secret.verifies(self.decoded.signed.as_bytes(), &self.decoded.tag)
    }

    /// What it allows, if the key signed it. Fails with 40144 when a claim has the wrong type, with 40104 when it is
    /// of the future, with 40003 when it lives too long or says too much, and as [`Capability::parse`] and a grant of a
    /// token do.
    pub fn grant(&self, key: &Key, now_ms: u64) -> Result<Grant, ErrorInfo> {
        let (issued_at_ms, expires_at_ms) = self.life(key, now_ms)?;
        let claims = Claims {
            capability: self.capability()?,
            client_id: self.client_id()?,
            issued_at_ms,
            expires_at_ms,
            revocation_key: self.revocation_key()?,
            user_claims: self.user_claims()?,
        };
        Grant::of_token(key, claims, now_ms)
    }

    /// When it was issued, and when it expires. One that says that it is of the future, and could be revoked, would
    /// escape the revocations until then, so its issuer's clock must be as good as ours.
    fn life(&self, key: &Key, now_ms: u64) -> Result<(u64, u64), ErrorInfo> {
        let required = |name: &str| self.time(name)?.ok_or_else(|| invalid(&format!("it has no {name}")));
        let (issued_at_ms, expires_at_ms) = (required("iat")?, required("exp")?);
        let ahead_ms = if key.revocable_tokens { REVOCABLE_IAT_AHEAD_MAX_MS } else { CLOCK_SKEW_MAX_MS };
        let is_ahead = |time_ms: u64, by_ms: u64| time_ms > now_ms.saturating_add(by_ms);
        if is_ahead(issued_at_ms, ahead_ms) {
            let seconds = ahead_ms / 1_000;
            return Err(
                Code::BadTimestamp.because(format!("the JWT's iat is more than {seconds} s ahead of the time here"))
            );
        }
        if self.time("nbf")?.is_some_and(|not_before_ms| is_ahead(not_before_ms, CLOCK_SKEW_MAX_MS)) {
            return Err(Code::BadTimestamp.because("the JWT is not valid yet, its nbf says"));
        }
        let longest_ms = key.token_max_ttl_ms();
        if expires_at_ms.saturating_sub(issued_at_ms) > longest_ms {
            let seconds = longest_ms / 1_000;
            let why = if key.revocable_tokens { ", as its key's tokens can be revoked" } else { "" };
            return Err(Code::BadParameter.because(format!("a JWT's exp is at most {seconds} s after its iat{why}")));
        }
        Ok((issued_at_ms, expires_at_ms))
    }

    /// In milliseconds; the claim is in seconds, and may have a fraction.
    fn time(&self, name: &str) -> Result<Option<u64>, ErrorInfo> {
        let Some(value) = self.claim(name) else { return Ok(None) };
        let whole = value.as_u64().and_then(|seconds| seconds.checked_mul(1000));
        let fraction = || value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1000.0) as u64);
        whole.or_else(fraction).map(Some).ok_or_else(|| invalid(&format!("its {name} is not a number of seconds")))
    }

    fn capability(&self) -> Result<Option<Capability>, ErrorInfo> {
        let told = |error: ErrorInfo| ErrorInfo { message: wrong(&format!("its x-ably-{}", error.message)), ..error };
        let parse = |value| Capability::from_value(value).map_err(told);
        self.claim("x-ably-capability").map(parse).transpose()
    }

    fn client_id(&self) -> Result<Identity, ErrorInfo> {
        Identity::parse(self.text("x-ably-clientId")?)
    }

    fn revocation_key(&self) -> Result<Option<String>, ErrorInfo> {
        match self.text("x-ably-revocation-key")? {
            Some(text) if text.is_empty() || text.len() > REVOCATION_KEY_MAX_BYTES => {
                Err(too_much(&format!("its x-ably-revocation-key must have 1 to {REVOCATION_KEY_MAX_BYTES} bytes")))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// What is said of the client, as `ably.channel.<channel or pattern>`, and `ably.room.<room or pattern>`.
    fn user_claims(&self) -> Result<Option<Rc<str>>, ErrorInfo> {
        let mut claims = Map::new();
        for (name, claim) in &self.decoded.claims {
            let room = name.strip_prefix("ably.room.");
            let Some(channel) = name.strip_prefix("ably.channel.").or(room) else { continue };
            if !claim.is_string() || Resource::parse(channel).is_err() {
                return Err(invalid(&format!(
                    "its claim {} must be a string, for a channel or a pattern",
                    quoted(name)
                )));
            }
            let mark = room.map_or("", |_| ROOM_CLAIM);
            claims.insert([mark, channel].concat(), claim.clone());
        }
        if claims.is_empty() {
            return Ok(None);
        }
        let text = Value::Object(claims).to_string();
        if text.len() > USER_CLAIMS_MAX_BYTES {
            return Err(too_much(&format!(
                "its ably.channel and ably.room claims have more than {USER_CLAIMS_MAX_BYTES} bytes"
            )));
        }
        Ok(Some(text.into()))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, ErrorInfo> {
        let text = self
            .claim(name)
            .map(|value| value.as_str().ok_or_else(|| invalid(&format!("its {name} must be a string"))));
        text.transpose()
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.decoded.claims.get(name).filter(|value| !value.is_null())
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    node::object_of(&URL.decode(part).ok()?)
}

/// The error of one that its key did not sign.
pub(super) fn unsigned() -> ErrorInfo {
    invalid("its signature is not the key's")
}

fn invalid(why: &str) -> ErrorInfo {
    Code::BadJwt.because(wrong(why))
}

/// Of a JWT that is right and says too much. Its issuer would say it again, and by a code of 4014x its client would ask
/// for that for ever.
fn too_much(why: &str) -> ErrorInfo {
    Code::BadParameter.because(wrong(why))
}

fn wrong(why: &str) -> String {
    format!("invalid JWT: {why}")
}
