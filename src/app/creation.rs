//! The request to make an app (protocol.md § 12.4): from its body to a configuration, and to the answer that shows the
//! new keys, once.
//!
//! What this server does not act on yet is kept, and named in `notEffective` where it stands: nothing is ignored
//! silently.

use serde_json::{Map, Value, json};

use super::{changing, fixtures};
use crate::auth::{App, Key, Namespace, derive};
use crate::error::{Code, ErrorInfo};
use crate::limits::{APPS_MAX_BYTES, HOOKS_PER_APP_MAX, KEYS_PER_APP_MAX, NAMESPACES_PER_APP_MAX};
use crate::model::name::alphanumeric;
use crate::rpc::ChannelCall;

/// Every app made at run time belongs to whoever runs the deployment.
const ACCOUNT_ID: &str = "courtside";

/// An app that is to be made.
#[derive(Debug)]
pub struct NewApp {
    pub app: App,
    /// [`App::to_json`] as text.
    pub config: String,
    /// The calls that give it the members that it begins with.
    pub fixtures: Vec<ChannelCall>,
    /// What the one who makes it is told, secrets included.
    pub answer: Value,
}

impl NewApp {
    /// From a body. Ids and secrets come of `seed`, which must be random and used once. Fails with 40001 when the body
    /// is no object, with 40000, saying where and what, when a part of it is wrong, with 40009 when it is too large,
    /// and as [`fixtures::entering`] does.
    pub fn from_body(body: &Value, seed: &[u8; 32]) -> Result<NewApp, ErrorInfo> {
        let body = body.as_object().ok_or_else(|| Code::BadBody.because("the body must be an object"))?;
        let id = alphanumeric(&derive(seed, "app")[..10]);
        let key_specs = match list(body, "keys", KEYS_PER_APP_MAX)? {
            [] => &[Value::Null],
            specs => specs,
        };
        if let Some(index) = key_specs.iter().position(|spec| !spec.is_object() && !spec.is_null()) {
            return Err(Code::BadRequest.because(format!("keys[{index}] must be an object")));
        }
        let namespaces = list(body, "namespaces", NAMESPACES_PER_APP_MAX)?;
        let keys: Vec<Value> = key_specs.iter().enumerate().map(|(index, spec)| key(spec, index, seed)).collect();
        let known: Vec<Value> = namespaces.iter().map(known_fields).collect();
        let webhooks = list(body, "webhooks", HOOKS_PER_APP_MAX)?;
        let push = body.get("push");
        let mut app = json!({ "id": id, "keys": keys, "namespaces": known, "webhooks": webhooks, "push": push });
        changing::forget_times(&mut app);
        let app = App::try_from(app)?;
        let fixtures = fixtures::entering(&app, body)?;
        let config = app.to_json().to_string();
        if config.len() > APPS_MAX_BYTES {
            let what = format!("keys and namespaces must have at most {APPS_MAX_BYTES} bytes together");
            return Err(Code::TooLarge.because(what));
        }
        let answer = answer(&app, body, key_specs, namespaces);
        Ok(NewApp { app, config, fixtures, answer })
    }
}

/// What of a body's list there is; empty when absent.
pub(super) fn list<'a>(body: &'a Map<String, Value>, name: &str, max: usize) -> Result<&'a [Value], ErrorInfo> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(elements)) if elements.len() <= max => Ok(elements),
        Some(_) => Err(Code::BadRequest.because(format!("{name} must be a list of at most {max}"))),
    }
}

/// A key as the configuration has it. Without a capability it may do all.
fn key(spec: &Value, index: usize, seed: &[u8; 32]) -> Value {
    let (id, secret) = (derive(seed, &format!("key {index}")), derive(seed, &format!("secret {index}")));
    let capability = spec.get("capability").filter(|capability| !is_empty(capability));
    json!({
        // The number keeps the names of one app apart.
        "name": format!("{}{index}", alphanumeric(&id[..6])),
        "secret": alphanumeric(&secret),
        "capability": capability,
        "revocableTokens": spec.get("revocableTokens"),
        "pusher": spec.get("pusher"),
    })
}

fn is_empty(capability: &Value) -> bool {
    matches!(capability, Value::String(text) if text.is_empty()) || capability.as_object().is_some_and(Map::is_empty)
}

/// A namespace without the fields that nobody knows here.
fn known_fields(namespace: &Value) -> Value {
    let Some(object) = namespace.as_object() else { return namespace.clone() };
    object
        .iter()
        .filter(|(name, _)| Namespace::knows(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn answer(app: &App, body: &Map<String, Value>, key_specs: &[Value], namespaces: &[Value]) -> Value {
    let keys: Vec<Value> = app.keys().iter().zip(key_specs).map(|(key, spec)| shown_key(key, spec)).collect();
    let namespaces: Vec<Value> =
        app.namespaces().iter().zip(namespaces).map(|(known, asked)| shown_namespace(known, asked)).collect();
    let handled = ["keys", "namespaces", "webhooks", "push", "channels", "appId", "accountId"];
    let idle: Vec<&String> = body
        .iter()
        .filter(|(name, value)| !handled.contains(&name.as_str()) && has_effect(value))
        .map(|(name, _)| name)
        .collect();
    let mut answer = json!({
        "appId": app.id().as_str(),
        "accountId": ACCOUNT_ID,
        "keys": keys,
        "namespaces": namespaces,
        "channels": body.get("channels").unwrap_or(&Value::Array(Vec::new())),
        "limits": body.get("limits").unwrap_or(&Value::Object(Map::new())),
        "notEffective": idle,
    });
    if let Some(webhooks) = app.to_json().get_mut("webhooks") {
        answer["webhooks"] = webhooks.take();
    }
    if !app.push().is_empty() {
        answer["push"] = app.push().shown();
    }
    answer
}

/// Whether somebody who says this expects something of it.
fn has_effect(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

/// What a key is made of; the rest of what was asked for it has no effect.
const KEY_FIELDS: [&str; 3] = ["capability", "revocableTokens", "pusher"];

fn shown_key(key: &Key, spec: &Value) -> Value {
    let idle = unknown(spec, |name| KEY_FIELDS.contains(&name));
    let mut shown = json!({
        "id": key.name.id(),
        "value": key.secret.expose(),
        "keyName": key.name.to_string(),
        "keySecret": key.secret.expose(),
        "keyStr": key.expose(),
        "capability": key.capability.text(),
        "revocableTokens": key.revocable_tokens,
        "privileged": idle.contains(&"privileged"),
    });
    if key.pusher {
        shown["pusher"] = true.into();
    }
    if !idle.is_empty() {
        shown["notEffective"] = json!(idle);
    }
    shown
}

fn shown_namespace(known: &Namespace, asked: &Value) -> Value {
    let mut idle = known.not_effective();
    idle.extend(unknown(asked, Namespace::knows));
    let mut shown = known.to_json();
    if !idle.is_empty() {
        shown["notEffective"] = json!(idle);
    }
    shown
}

/// The fields of an object that nobody knows here and that would mean something.
fn unknown(asked: &Value, knows: impl Fn(&str) -> bool) -> Vec<&str> {
    let fields = asked.as_object().into_iter().flatten();
    fields.filter(|(name, value)| !knows(name) && has_effect(value)).map(|(name, _)| name.as_str()).collect()
}
