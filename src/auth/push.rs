//! Credentials for push services that know their senders (docs/push.md): a service account for FCM, and a key for APNs.
//!
//! They belong to an app, as its keys do. What can be known of them without asking the services is checked when they
//! are read: a key that cannot sign is refused before anything is sent.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use crate::base::base64::from_base64;
use crate::base::endpoint::Endpoint;
use crate::error::{Code, ErrorInfo};
use crate::limits::{HOOK_URL_MAX_BYTES, PUSH_KEY_MAX_BYTES, PUSH_NAME_MAX_BYTES, RSA_KEY_MIN_BYTES};
use crate::model::node;

const FCM_URL: &str = "https://fcm.googleapis.com";
const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const APNS_URL: &str = "https://api.push.apple.com";
const APNS_SANDBOX_URL: &str = "https://api.sandbox.push.apple.com";

/// Apple's ids of keys and teams.
const APPLE_ID_CHARS: usize = 10;

/// What an app has for each service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushCredentials {
    pub fcm: Option<FcmAccount>,
    pub apns: Option<ApnsKey>,
}

/// A Google service account that may send by FCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcmAccount {
    pub project: String,
    pub email: String,
    pub key_id: Option<String>,
    pub key: SigningKey,
    /// Where a signed statement becomes a token.
    pub token_url: String,
    /// Where messages go, without a path.
    pub url: String,
}

/// A key of an Apple developer team that may send by APNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsKey {
    pub key_id: String,
    pub team_id: String,
    pub key: SigningKey,
    /// Whom notifications are for: the app's bundle id.
    pub topic: String,
    /// Where they go, without a path.
    pub url: String,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
}

/// A private key in PKCS #8. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    pub algorithm: Algorithm,
    pkcs8: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl PushCredentials {
    pub(super) fn read(value: &Value, path: &str) -> Result<PushCredentials, ErrorInfo> {
        let fields = Fields::of(value, path, &["fcm", "apns"])?;
        let at = |name: &str| format!("{path}.{name}");
        Ok(PushCredentials {
            fcm: fields.optional("fcm").map(|fcm| FcmAccount::read(fcm, &at("fcm"))).transpose()?,
            apns: fields.optional("apns").map(|apns| ApnsKey::read(apns, &at("apns"))).transpose()?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.fcm.is_none() && self.apns.is_none()
    }

    /// Keys included: to store it.
    pub(super) fn to_json(&self) -> Value {
        self.json(true)
    }

    /// What of it may be seen.
    pub fn shown(&self) -> Value {
        self.json(false)
    }

    fn json(&self, with_keys: bool) -> Value {
        let fcm = self.fcm.iter().map(|fcm| ("fcm".to_owned(), fcm.to_json(with_keys)));
        let apns = self.apns.iter().map(|apns| ("apns".to_owned(), apns.to_json(with_keys)));
        Value::Object(fcm.chain(apns).collect())
    }

    /// Whether all that is called for them is where anybody may make this server call.
    pub(super) fn is_public(&self) -> bool {
        let fcm = self.fcm.iter().flat_map(|fcm| [&fcm.url, &fcm.token_url]);
        fcm.chain(self.apns.iter().map(|apns| &apns.url)).all(|url| is_public(url))
    }
}

impl FcmAccount {
    /// The account is Google's file as it is, or its text.
    fn read(value: &Value, path: &str) -> Result<FcmAccount, ErrorInfo> {
        let fields = Fields::of(value, path, &["serviceAccount", "url"])?;
        let wrong = |what: &str| fields.wrong("serviceAccount", what);
        let account = match fields.optional("serviceAccount") {
            None => return Err(wrong("is missing: the JSON file of a Google service account")),
            Some(Value::String(text)) => node::value_of(text.as_bytes()).map_err(|_| wrong("is a text but no JSON"))?,
            Some(account) => account.clone(),
        };
        let known = account.as_object().ok_or_else(|| wrong("must be the JSON file of a Google service account"))?;
        // What else Google writes there is of no use here.
        let known =
            Map::from_iter(ACCOUNT.iter().filter_map(|name| Some(((*name).to_owned(), known.get(*name)?.clone()))));
        let known = Value::Object(known);
        let account = Fields::of(&known, &format!("{path}.serviceAccount"), &ACCOUNT)?;
        if account.optional_text("type")?.is_some_and(|kind| kind != "service_account") {
            return Err(account.wrong("type", "must be service_account"));
        }
        let url = |fields: &Fields<'_>, name: &str, usual: &str| match fields.optional(name) {
            None => Ok(usual.to_owned()),
            Some(_) => fields.parsed(name, check_url),
        };
        let is_project = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".:-".contains(c);
        Ok(FcmAccount {
            project: account.parsed("project_id", |text| named(text, "the id of a Google project", is_project))?,
            email: account.parsed("client_email", |text| named(text, "an address", is_visible))?,
            key_id: account
                .optional("private_key_id")
                .map(|_| account.parsed("private_key_id", |text| named(text, "the id of a key", is_visible)))
                .transpose()?,
            key: account.parsed("private_key", |text| SigningKey::parse(text, Algorithm::Rs256))?,
            token_url: url(&account, "token_uri", GOOGLE_TOKEN_URL)?,
            url: url(&fields, "url", FCM_URL)?,
        })
    }

    fn to_json(&self, with_keys: bool) -> Value {
        let mut account = json!({
            "project_id": self.project, "client_email": self.email, "private_key_id": self.key_id,
            "token_uri": self.token_url,
        });
        if with_keys {
            account["private_key"] = self.key.pem().into();
        }
        json!({ "serviceAccount": account, "url": self.url })
    }
}

const ACCOUNT: [&str; 6] = ["type", "project_id", "client_email", "private_key", "private_key_id", "token_uri"];

impl ApnsKey {
    fn read(value: &Value, path: &str) -> Result<ApnsKey, ErrorInfo> {
        let fields = Fields::of(value, path, &["key", "keyId", "teamId", "topic", "sandbox", "url"])?;
        let is_topic = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        let url = match (fields.optional("url"), fields.flag("sandbox")?) {
            (None, false) => APNS_URL.to_owned(),
            (None, true) => APNS_SANDBOX_URL.to_owned(),
            (Some(_), false) => fields.parsed("url", check_url)?,
            (Some(_), true) => return Err(fields.wrong("url", "excludes sandbox: each says where notifications go")),
        };
        Ok(ApnsKey {
            key_id: fields.parsed("keyId", apple_id)?,
            team_id: fields.parsed("teamId", apple_id)?,
            key: fields.parsed("key", |text| SigningKey::parse(text, Algorithm::Es256))?,
            topic: fields.parsed("topic", |text| named(text, "the bundle id of an app", is_topic))?,
            url,
        })
    }

    fn to_json(&self, with_keys: bool) -> Value {
        let mut apns = json!({ "keyId": self.key_id, "teamId": self.team_id, "topic": self.topic, "url": self.url });
        if with_keys {
            apns["key"] = self.key.pem().into();
        }
        apns
    }
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Algorithms as PKCS #8 names them: RSA, and P-256.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

impl SigningKey {
    /// From PEM. Line breaks may be the two characters that they are in JSON. Fails with 40000 for a key that cannot
    /// sign so, and never shows it.
    fn parse(pem: &str, algorithm: Algorithm) -> Result<SigningKey, ErrorInfo> {
        let kind = match algorithm {
            Algorithm::Rs256 => "an RSA key of 2048 bits or more",
            Algorithm::Es256 => "a key of P-256",
        };
        let wrong = || {
            let what = format!("it must be {kind} in PKCS #8, as PEM: '{BEGIN}', base64, '{END}'");
            Code::BadRequest.because(what)
        };
        let inner = pem.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or_else(wrong)?;
        let inner: String = inner.replace("\\n", "").split_ascii_whitespace().collect();
        let pkcs8 = Some(inner).filter(|text| text.len() <= PUSH_KEY_MAX_BYTES).and_then(|text| from_base64(&text));
        let pkcs8 = pkcs8.filter(|bytes| can_sign(bytes, algorithm).is_some()).ok_or_else(wrong)?;
        Ok(SigningKey { algorithm, pkcs8 })
    }

    fn pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(&self.pkcs8))
    }

    /// The key itself: to sign with it.
    pub fn expose(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// Looks at the outside of a key: what it is of, and for RSA how long it is.
fn can_sign(pkcs8: &[u8], algorithm: Algorithm) -> Option<()> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const OCTETS: u8 = 0x04;
    let (whole, rest) = element(pkcs8, SEQUENCE)?;
    let (_, whole) = element(whole, INTEGER)?;
    let (kind, whole) = element(whole, SEQUENCE)?;
    let (key, _) = element(whole, OCTETS)?;
    let (key, _) = element(key, SEQUENCE)?;
    let (_, key) = element(key, INTEGER)?;
    let is_right = match algorithm {
        Algorithm::Es256 => kind == P256 && element(key, OCTETS)?.0.len() == 32,
        Algorithm::Rs256 => {
            let modulus = element(key, INTEGER)?.0;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            kind == RSA && modulus.len() >= RSA_KEY_MIN_BYTES
        }
    };
    (is_right && rest.is_empty()).then_some(())
}

/// The content of a DER element with this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, short], rest) = bytes.split_first_chunk::<2>()?;
    if first != tag {
        return None;
    }
    match short {
        0..=0x7f => rest.split_at_checked(short.into()),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            rest.split_at_checked(length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        }
        _ => None,
    }
}

fn named(text: &str, what: &str, is_known: impl Fn(char) -> bool) -> Result<String, ErrorInfo> {
    match !text.is_empty() && text.len() <= PUSH_NAME_MAX_BYTES && text.chars().all(is_known) {
        true => Ok(text.to_owned()),
        false => Err(Code::BadRequest.because(format!("it must be {what}, of at most {PUSH_NAME_MAX_BYTES} bytes"))),
    }
}

fn is_visible(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

fn apple_id(text: &str) -> Result<String, ErrorInfo> {
    match text.len() == APPLE_ID_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err(Code::BadRequest.because(format!("it must have {APPLE_ID_CHARS} letters and digits"))),
    }
}

/// Only its form, as with webhooks.
fn check_url(url: &str) -> Result<String, ErrorInfo> {
    let is_whole = !url.contains(['?', '#']) && url.len() <= HOOK_URL_MAX_BYTES;
    match is_whole && Endpoint::parse(url).is_some() {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => {
            Err(Code::BadRequest.because("it must be an address of https with a host in lower case, and no query"))
        }
    }
}

/// Whether anybody may make this server call that.
pub(super) fn is_public(url: &str) -> bool {
    Endpoint::parse(url).is_some_and(|endpoint| endpoint.is_public())
}
