//! The scene of these tests: one app, its keys, and what its clients would sign.

mod apps;
mod attempts;
mod capability;
mod credentials;
mod jwt;
mod operators;
mod push;
mod request;
mod revocation;
mod webhooks;

use base64::Engine;
use serde_json::{Value, json};

use super::secret::mac;
use super::{App, Apps, Credentials, Grant, KeyName, Presented, Surface, TokenDetails, TokenRequest};
use crate::base::base64::URL;
use crate::error::ErrorInfo;
use crate::limits::SHORT_SECRET_MIN_BYTES;
use crate::model::name::AppId;

const NOW_MS: u64 = 1_800_000_000_000;
const SECRET: &str = "local-only";

/// `demo.full` may do all, `demo.chat` publishes and subscribes on `chat:*`, the tokens of `demo.brief` can be
/// revoked, and those of `demo.chatty`, which publish on `chat:*`.
fn demo() -> App {
    let apps = json!({"apps": [{"id": "demo", "keys": [
        {"name": "full", "secret": SECRET},
        {"name": "chat", "secret": SECRET, "capability": {"chat:*": ["publish", "subscribe"]}},
        {"name": "brief", "secret": SECRET, "revocableTokens": true},
        {"name": "chatty", "secret": SECRET, "revocableTokens": true, "capability": {"chat:*": ["publish"]}},
    ]}]});
    let apps = Apps::parse(&apps.to_string(), SHORT_SECRET_MIN_BYTES).unwrap();
    (**apps.get(&AppId::parse("demo").unwrap()).unwrap()).clone()
}

fn key_name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

/// The answer to an unsigned token request by the holder of the key.
fn request_token(key: &str, fields: Value) -> Result<TokenDetails, ErrorInfo> {
    let mut body = fields;
    body["keyName"] = json!(key);
    let authority = present_key(&format!("{key}:{SECRET}"))?;
    let approved = TokenRequest::from_value(&body)?.approve(&key_name(key), Some(&demo()), Some(&authority), NOW_MS)?;
    Ok(approved.issue([7; 8]))
}

fn token(key: &str, fields: Value) -> String {
    request_token(key, fields).unwrap().token
}

/// A JWT as an application server would sign it.
fn jwt(header: Value, claims: Value) -> String {
    let signed = format!("{}.{}", URL.encode(header.to_string()), URL.encode(claims.to_string()));
    format!("{signed}.{}", URL.encode(mac(SECRET.as_bytes(), signed.as_bytes())))
}

fn present(name: &str, value: &str, surface: Surface) -> Result<Grant, ErrorInfo> {
    present_as(name, value, None, surface)
}

fn present_as(name: &str, value: &str, client_id: Option<&str>, surface: Surface) -> Result<Grant, ErrorInfo> {
    let mut query = vec![(name.to_owned(), value.to_owned())];
    query.extend(client_id.map(|client_id| ("clientId".to_owned(), client_id.to_owned())));
    let credentials = Credentials::parse(&Presented { query: &query, ..Presented::default() }, surface)?;
    credentials.verify(Some(&demo()), NOW_MS)
}

fn present_key(key: &str) -> Result<Grant, ErrorInfo> {
    present("key", key, Surface::Rest)
}

fn present_token(token: &str) -> Result<Grant, ErrorInfo> {
    present("accessToken", token, Surface::Realtime)
}
