//! Firebase Cloud Messaging, by its HTTP v1 API: for Android, and for whatever else Firebase reaches (protocol.md §
//! 20.5).

use serde_json::{Map, Value, json};

use super::Outcome;
use super::transport::{Answered, Authorise, Authorised, Post, Sender, Verdict, is_token};
use crate::auth::FcmAccount;
use crate::error::{Code, ErrorInfo};
use crate::limits::{FCM_QUOTA_PAUSE_MS, GOOGLE_STATEMENT_TTL_MS, PUSH_TOKEN_MARGIN_MS};
use crate::push::Payload;
use crate::push::payload::merge;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// What says whom a message is for: nobody who only says what is in it may change that.
const ADDRESSES: [&str; 5] = ["token", "topic", "condition", "fid", "name"];

/// Fields of a notification that are for all platforms; the others that are known from older requests are Android's.
const COMMON: [&str; 3] = ["title", "body", "image"];

pub fn authorise(account: &FcmAccount, now_ms: u64) -> Authorise {
    let claims = json!({
        "iss": account.email, "scope": SCOPE, "aud": account.token_url,
        "iat": now_ms / 1_000, "exp": (now_ms + GOOGLE_STATEMENT_TTL_MS) / 1_000,
    });
    Authorise::of(&account.key, account.key_id.as_deref(), &claims, Some(account.token_url.clone()))
}

/// What the token endpoint answered (RFC 6749, 5).
pub fn authorised(outcome: Outcome, now_ms: u64) -> Authorised {
    let Outcome::Answered(answered) = outcome else {
        let what = "the token endpoint of the app's service account could not be reached";
        return Err(Verdict::Again(Code::PushUnreachable.because(what), None));
    };
    let body = answered.json();
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let error = |code| answered.because(code, &format!("no token: {} {}", text("error"), text("error_description")));
    match (answered.status, text("access_token")) {
        (200, token) if is_token(token) => {
            let ttl_ms = body["expires_in"].as_u64().unwrap_or(0).min(24 * 60 * 60) * 1_000;
            Ok((token.to_owned(), now_ms + ttl_ms.saturating_sub(PUSH_TOKEN_MARGIN_MS).max(PUSH_TOKEN_MARGIN_MS / 5)))
        }
        (408 | 429 | 500.., _) => Err(Verdict::Again(error(Code::PushUnreachable), answered.retry_after_ms())),
        _ => Err(Verdict::Refused(error(Code::PushBadCredentials))),
    }
}

pub fn post(account: &FcmAccount, token: &str, payload: &Payload, sender: &Sender<'_>) -> Result<Post, ErrorInfo> {
    let mut message = message(payload);
    message.insert("token".to_owned(), token.into());
    Ok(Post {
        url: format!("{}/v1/projects/{}/messages:send", account.url, account.project),
        headers: vec![
            ("authorization".to_owned(), format!("Bearer {}", sender.token)),
            ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ],
        body: json!({ "message": message }).to_string(),
        needs_http2: false,
    })
}

/// A message without its address: what all transports get, and `fcm` merged over it, as v1 has it or as it was before.
fn message(payload: &Payload) -> Map<String, Value> {
    let mut message = Map::new();
    if let Some(notification) = payload.part("notification") {
        for (name, value) in notification {
            match name.as_str() {
                "title" | "body" => put(&mut message, &["notification", name], value.clone()),
                "icon" | "sound" => put(&mut message, &["android", "notification", name], value.clone()),
                "collapseKey" => put(&mut message, &["android", "collapse_key"], value.clone()),
                _ => {}
            }
        }
    }
    message.extend(payload.part("data").map(|data| ("data".to_owned(), Value::Object(data.clone()))));
    for part in ["gcm", "fcm"] {
        merge(&mut message, payload.part(part).map(modern).unwrap_or_default());
    }
    if let Some(data) = message.get_mut("data").and_then(Value::as_object_mut) {
        data.values_mut().filter(|value| !value.is_string()).for_each(|value| *value = value.to_string().into());
    }
    message
}

/// Fields of the older API, where v1 has them.
fn modern(part: &Map<String, Value>) -> Map<String, Value> {
    let mut message = Map::new();
    for (name, value) in part {
        match name.as_str() {
            address if ADDRESSES.contains(&address) => {}
            "collapse_key" | "restricted_package_name" => put(&mut message, &["android", name], value.clone()),
            "priority" => {
                put(&mut message, &["android", name], value.as_str().unwrap_or_default().to_uppercase().into())
            }
            "time_to_live" => {
                let ttl = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                put(&mut message, &["android", "ttl"], format!("{ttl}s").into());
            }
            "notification" if value.is_object() => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    let is_common = COMMON.contains(&name.as_str());
                    let path: &[&str] = if is_common { &["notification"] } else { &["android", "notification"] };
                    put(&mut message, &[path, &[name]].concat(), value.clone());
                }
            }
            _ => {
                let fields = Map::from_iter([(name.clone(), value.clone())]);
                merge(&mut message, fields);
            }
        }
    }
    message
}

/// Puts a value where the path leads.
fn put(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    let nested = path.iter().rev().fold(value, |value, name| json!({ *name: value }));
    merge(object, nested.as_object().cloned().unwrap_or_default());
}

pub fn verdict(answered: &Answered) -> Verdict {
    let body = answered.json();
    let error = &body["error"];
    let details = || error["details"].as_array().into_iter().flatten();
    let code = details().find_map(|detail| detail["errorCode"].as_str()).or_else(|| error["status"].as_str());
    let code = code.unwrap_or_default();
    let because = |known| answered.because(known, &format!("{code} {}", error["message"].as_str().unwrap_or_default()));
    let blames_token = || {
        let violations = |detail: &'_ Value| detail["fieldViolations"].as_array().cloned().unwrap_or_default();
        details().flat_map(violations).any(|violation| violation["field"] == "message.token")
    };
    match (answered.status, code) {
        (200..300, _) => Verdict::Done,
        (404, "UNREGISTERED") => Verdict::Gone(because(Code::PushGone)),
        (400, "INVALID_ARGUMENT") if blames_token() => Verdict::Gone(because(Code::PushGone)),
        (401, "THIRD_PARTY_AUTH_ERROR") => Verdict::Lost(because(Code::PushBadCredentials)),
        (401, _) => Verdict::Denied(because(Code::PushBadCredentials)),
        // The recipient registered with another project: with the right credentials it may be reached.
        (403, "SENDER_ID_MISMATCH") | (404, _) => Verdict::Lost(because(Code::PushBadCredentials)),
        (403, _) => Verdict::Refused(because(Code::PushBadCredentials)),
        (429, _) => {
            let pause_ms = answered.retry_after_ms().unwrap_or(FCM_QUOTA_PAUSE_MS);
            Verdict::Again(because(Code::PushUnreachable), Some(pause_ms))
        }
        (408 | 500.., _) => Verdict::Again(because(Code::PushUnreachable), answered.retry_after_ms()),
        _ => Verdict::Lost(because(Code::PushRejected)),
    }
}
