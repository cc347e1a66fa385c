//! What this deployment is told: its own apps, by the secret `APPS`, and who may make others.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use worker::Env;

use super::platform::now_ms;
use crate::app::push;
use crate::auth::{Apps, Key, KeyName, Secret};
use crate::error::{Code, ErrorInfo};
use crate::event;
use crate::limits::{SECRET_MIN_BYTES, SHORT_SECRET_MIN_BYTES};
use crate::object::Settings;
use crate::relay::bounds::Bounds;
use crate::rest::Admin;
use crate::router::{Deployment, Room};

thread_local! {
    /// Parsed once per isolate, and again when a text changes: to the runtime it is the same object until then.
    static PARSED: RefCell<Option<Parsed>> = const { RefCell::new(None) };
}

struct Parsed {
    told: Told,
    apps: Rc<Apps>,
    makes_apps: bool,
}

/// What apps are read from: the secrets `APPS` and `ADMIN_TOKEN`.
type Told = [JsValue; 2];

/// The deployment's own apps. Fails with 50320 and says what is wrong when it has none and nobody can make any, or they
/// can't be read: that is not the clients' fault, who come back by themselves once it is mended.
pub fn configured(env: &Env) -> Result<Rc<Apps>, ErrorInfo> {
    let told = ["APPS", "ADMIN_TOKEN"].map(|name| value(env, name));
    if let Some(apps) = PARSED.with_borrow(|parsed| known(parsed, &told)) {
        return Ok(apps);
    }
    bounds(env)?;
    let (text, admin) = (told[0].as_string().unwrap_or_default(), admin(env));
    if text.is_empty() && admin.is_closed() {
        let what =
            "this deployment has no apps: set its secret with `npx wrangler secret put APPS`, as the README says";
        return Err(Code::Unavailable.because(what));
    }
    let apps = if text.is_empty() { Ok(Apps::default()) } else { parse(env, &text) };
    let apps = apps.map_err(|error| {
        Code::Unavailable.because(["this deployment's APPS can't be read: ", &error.message].concat())
    })?;
    let apps = Rc::new(match admin.operators() {
        Some(operators) => apps.operated_by(operators),
        None => apps,
    });
    PARSED.set(Some(Parsed { told, apps: apps.clone(), makes_apps: !admin.is_closed() }));
    Ok(apps)
}

fn known(parsed: &Option<Parsed>, told: &Told) -> Option<Rc<Apps>> {
    parsed.as_ref().filter(|parsed| parsed.told == *told).map(|parsed| parsed.apps.clone())
}

fn parse(env: &Env, text: &str) -> Result<Apps, ErrorInfo> {
    let apps = Apps::parse(text, secret_min_bytes(env))?;
    apps.iter().try_for_each(|app| app.check_webhook_signers(None))?;
    if !private_receivers(env) {
        apps.iter().try_for_each(|app| app.check_addresses())?;
    }
    if !push(env).private_addresses {
        apps.iter().try_for_each(|app| app.check_push_addresses())?;
    }
    Ok(apps)
}

/// What the deployment says now. Its supervisor, where it has one, says by `STOPPING` that it is about to stop, by
/// `FULL` that few descriptors are left, and by `ROOM` for how many objects.
pub fn deployment(env: &Env) -> Deployment {
    Deployment {
        apps: configured(env),
        makes_apps: PARSED.with_borrow(|parsed| parsed.as_ref().is_some_and(|parsed| parsed.makes_apps)),
        is_stopping: variable(env, "STOPPING") == "true",
        room: Room::read(&variable(env, "FULL")),
        objects: variable(env, "ROOM").parse().unwrap_or(usize::MAX),
    }
}

/// The apps as they were configured before, if that can be read.
pub fn read(text: &str) -> Option<Apps> {
    Apps::parse(text, SHORT_SECRET_MIN_BYTES).ok()
}

/// The key whose tokens attendees of the event page get, as `EVENT_KEY` names it. Fails with 40400 when it names none:
/// there is no event page then. Fails with 50320 when the deployment's own apps have no such key, or it has ended.
pub fn event_key(env: &Env) -> Result<Key, ErrorInfo> {
    let text = variable(env, "EVENT_KEY");
    if text.is_empty() {
        return Err(event::switched_off());
    }
    let deployment = deployment(env);
    let apps = deployment.serving()?;
    let name = KeyName::parse(&text).ok();
    let key = name.and_then(|name| apps.get(name.app())?.live_key(&name, now_ms()).cloned());
    key.ok_or_else(|| Code::Unavailable.because("this deployment's EVENT_KEY names none of its keys"))
}

/// Where this deployment explains error codes, up to their numbers, if it says so.
pub fn errors_url(env: &Env) -> Option<String> {
    Some(variable(env, "ERRORS_URL")).filter(|prefix| !prefix.is_empty())
}

/// How long secrets must be: with `SHORT_SECRETS=true`, which local runs set, short ones will do.
pub fn secret_min_bytes(env: &Env) -> usize {
    if variable(env, "SHORT_SECRETS") == "true" { SHORT_SECRET_MIN_BYTES } else { SECRET_MIN_BYTES }
}

/// Who may make apps: those who have the secret `ADMIN_TOKEN`; anybody where `SANDBOX` is `true`, which local runs
/// set when they are asked to; else nobody.
pub fn admin(env: &Env) -> Admin {
    match variable(env, "ADMIN_TOKEN") {
        token if !token.is_empty() && token.len() < secret_min_bytes(env) => Admin::Guessable,
        token if !token.is_empty() => Admin::Token(Secret::presented(&token)),
        _ if variable(env, "SANDBOX") == "true" => Admin::Open,
        _ => Admin::Closed,
    }
}

/// What objects are told of the deployment.
pub fn settings(env: &Env) -> Settings {
    // Where they can't be read nobody gets as far as an object.
    Settings { apps: configured(env), bounds: bounds(env).unwrap_or_default() }
}

/// What one relay takes in and gives out, and for how long one that was lost may come back.
fn bounds(env: &Env) -> Result<Bounds, ErrorInfo> {
    Bounds::read(|name| variable(env, name))
}

/// Whether push services may be anywhere, as local tests need it (`PUSH_PRIVATE_ADDRESSES=true`), and whom they may
/// write to (`PUSH_CONTACT`, or where `ERRORS_URL` is).
pub fn push(env: &Env) -> push::Settings {
    let contact = Some(variable(env, "PUSH_CONTACT")).filter(|contact| !contact.is_empty());
    let private_addresses = variable(env, "PUSH_PRIVATE_ADDRESSES") == "true";
    push::Settings::new(private_addresses, contact, errors_url(env).as_deref())
}

/// Whether receivers of webhooks may be anywhere, as local tests need it (`WEBHOOK_PRIVATE_ADDRESSES=true`).
pub fn private_receivers(env: &Env) -> bool {
    variable(env, "WEBHOOK_PRIVATE_ADDRESSES") == "true"
}

fn variable(env: &Env, name: &str) -> String {
    value(env, name).as_string().unwrap_or_default()
}

fn value(env: &Env, name: &str) -> JsValue {
    // Fails for what is no object.
    Reflect::get(env, &name.into()).unwrap_or_default()
}
