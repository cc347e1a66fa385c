//! Apple's Push Notification service, by its HTTP/2 API with a signed token (protocol.md § 20.5).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value, json};

use super::Outcome;
use super::transport::{Answered, Authorise, Authorised, Post, Sender, Verdict, is_token};
use crate::auth::ApnsKey;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    APNS_COLLAPSE_ID_MAX_BYTES, APNS_MAX_BYTES, APNS_TOKEN_MAX_CHARS, APNS_TOKEN_PAUSE_MS, APNS_TOKEN_TTL_MS,
    PUSH_TTL_S,
};
use crate::push::payload::{APNS_HEADERS, merge};
use crate::push::{Payload, hash};

/// What a user sees or hears of a notification. Without any of it an app is only woken.
const SHOWN: [&str; 3] = ["alert", "badge", "sound"];

pub fn authorise(key: &ApnsKey, now_ms: u64) -> Authorise {
    let claims = json!({ "iss": key.team_id, "iat": now_ms / 1_000 });
    Authorise::of(&key.key, Some(&key.key_id), &claims, None)
}

/// The signed statement is the token.
pub fn authorised(outcome: Outcome, now_ms: u64) -> Authorised {
    match outcome {
        Outcome::Signed(token) if is_token(&token) => Ok((token, now_ms + APNS_TOKEN_TTL_MS)),
        _ => Err(Verdict::Again(Code::Internal.because("the token for APNs could not be signed"), None)),
    }
}

/// A device token, or what is wrong with it.
pub fn check_token(token: &str) -> Result<(), ErrorInfo> {
    let is_hex = token.len() <= APNS_TOKEN_MAX_CHARS && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex && !token.is_empty() && token.len().is_multiple_of(2) {
        true => Ok(()),
        false => Err(Code::PushGone.because("'deviceToken' is no token of APNs, which is hexadecimal")),
    }
}

pub fn post(key: &ApnsKey, token: &str, payload: &Payload, sender: &Sender<'_>) -> Result<Post, ErrorInfo> {
    check_token(token)?;
    let (body, asked) = message(payload);
    let is_shown = body["aps"].as_object().is_some_and(|aps| SHOWN.iter().any(|name| aps.contains_key(*name)));
    let (kind, priority) = if is_shown { ("alert", "10") } else { ("background", "5") };
    let mut headers = Map::from_iter([
        ("apns-id".to_owned(), uuid(sender.id).into()),
        ("apns-topic".to_owned(), key.topic.as_str().into()),
        ("apns-push-type".to_owned(), kind.into()),
        ("apns-priority".to_owned(), priority.into()),
        ("apns-expiration".to_owned(), (sender.now_ms / 1_000 + PUSH_TTL_S).into()),
    ]);
    headers.extend(payload.collapse_key().map(|key| ("apns-collapse-id".to_owned(), collapse_id(key).into())));
    headers.extend(asked);
    check_topic(&headers["apns-topic"], key)?;
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name, text(value))).collect();
    headers.push(("authorization".to_owned(), format!("bearer {}", sender.token)));
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    let body = body.to_string();
    if body.len() > APNS_MAX_BYTES {
        let what = format!("a notification for APNs has at most {APNS_MAX_BYTES} bytes");
        return Err(Code::PushRejected.because(what));
    }
    Ok(Post { url: format!("{}/3/device/{token}", key.url), headers, body, needs_http2: true })
}

/// What an app gets, and the headers that it says: what all transports get, and `apns` merged over it. Without anything
/// to show the app is woken.
fn message(payload: &Payload) -> (Value, Map<String, Value>) {
    let mut aps = Map::new();
    let said = |name: &str| payload.part("notification").and_then(|notification| notification.get(name)).cloned();
    let alert: Map<String, Value> =
        ["title", "body"].into_iter().filter_map(|name| Some((name.to_owned(), said(name)?))).collect();
    if !alert.is_empty() {
        aps.insert("alert".to_owned(), Value::Object(alert));
    }
    aps.extend(said("sound").map(|sound| ("sound".to_owned(), sound)));
    aps.extend(said("collapseKey").map(|key| ("thread-id".to_owned(), key)));
    let mut message = payload.part("data").cloned().unwrap_or_default();
    message.insert("aps".to_owned(), Value::Object(aps));
    merge(&mut message, payload.part("apns").cloned().unwrap_or_default());
    let headers = message.remove(APNS_HEADERS).and_then(|headers| headers.as_object().cloned()).unwrap_or_default();
    if let Some(aps) = message.get_mut("aps").and_then(Value::as_object_mut)
        && !SHOWN.iter().any(|name| aps.contains_key(*name))
    {
        aps.entry("content-available").or_insert(1.into());
    }
    (Value::Object(message), headers)
}

/// Only the app's own, and what belongs to it, such as its `.voip`. Fails with 103004.
fn check_topic(topic: &Value, key: &ApnsKey) -> Result<(), ErrorInfo> {
    let rest = topic.as_str().and_then(|topic| topic.strip_prefix(key.topic.as_str()));
    match rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
        true => Ok(()),
        false => Err(Code::PushRejected.because("'apns-topic' must be the app's topic, or begin with it and a point")),
    }
}

/// As it is, unless that is too long or no header.
fn collapse_id(key: &str) -> String {
    match key.len() <= APNS_COLLAPSE_ID_MAX_BYTES && is_token(key) {
        true => key.to_owned(),
        false => hash(key),
    }
}

/// One for each delivery, the same whenever it is tried.
fn uuid(id: &str) -> String {
    let digest = BASE64URL.decode(hash(id)).unwrap_or_default();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Version 8: of the sender's own making.
    [&hex[..8], &hex[8..12], &["8", &hex[13..16]].concat(), &["8", &hex[17..20]].concat(), &hex[20..32]].join("-")
}

pub fn verdict(answered: &Answered) -> Verdict {
    let body = answered.json();
    let reason = body["reason"].as_str().unwrap_or_default();
    let because = |code| answered.because(code, reason);
    match (answered.status, reason) {
        (200..300, _) => Verdict::Done,
        (410, _) | (400, "BadDeviceToken") => Verdict::Gone(because(Code::PushGone)),
        (403, "ExpiredProviderToken") => Verdict::Denied(because(Code::PushBadCredentials)),
        (403, _) => Verdict::Refused(because(Code::PushBadCredentials)),
        // With the right topic it may be reached.
        (400, "DeviceTokenNotForTopic" | "BadTopic" | "MissingTopic" | "TopicDisallowed") => {
            Verdict::Lost(because(Code::PushBadCredentials))
        }
        (429, "TooManyProviderTokenUpdates") => {
            Verdict::Again(because(Code::PushUnreachable), Some(APNS_TOKEN_PAUSE_MS))
        }
        (408 | 429 | 500.., _) => Verdict::Again(because(Code::PushUnreachable), answered.retry_after_ms()),
        _ => Verdict::Lost(because(Code::PushRejected)),
    }
}
