//! Calls from object to object: bytes by `fetch`.

use js_sys::Uint8Array;
use serde::de::DeserializeOwned;
use worker::{Env, Method, Request, RequestInit, Stub};

use crate::call::{self, Answer, ChannelCall, Delivered, Delivery, Missing, RelayName, RelayObject, Response, Roll};
use crate::pinned;

/// Bindings of the object classes in wrangler.toml.
pub const CHANNEL: &str = "CHANNEL";
pub const RELAY: &str = "RELAY";

/// Paths by which objects are called. The host is never looked up.
pub const CALL_URL: &str = "https://object/call";
pub const DELIVER_URL: &str = "https://object/deliver";
pub const ROLL_URL: &str = "https://object/roll";

pub fn stub(env: &Env, class: &str, name: &str) -> worker::Result<Stub> {
    env.durable_object(class)?.id_from_name(name)?.get_stub()
}

/// `None` when no answer came, whatever the reason: the callee may or may not have done it.
pub async fn call_channel(env: &Env, call: &ChannelCall) -> Option<Answer<Response>> {
    post(env, CHANNEL, &call.to.object_name(), CALL_URL, &pinned::encode(call)).await
}

pub async fn deliver(env: &Env, relay: &RelayName, delivery: &Delivery) -> Option<Delivered> {
    call_relay(env, relay, DELIVER_URL, &pinned::encode(delivery)).await
}

pub async fn roll(env: &Env, relay: &RelayName, roll: &Roll) -> Option<Missing> {
    call_relay(env, relay, ROLL_URL, &pinned::encode(roll)).await
}

async fn call_relay<T: DeserializeOwned>(env: &Env, relay: &RelayName, url: &str, body: &[u8]) -> Option<T> {
    let (class, name) = match relay.object() {
        RelayObject::Relay(name) => (RELAY, name),
        RelayObject::Channel(name) => (CHANNEL, name),
    };
    post(env, class, name, url, body).await
}

async fn post<T: DeserializeOwned>(env: &Env, class: &str, name: &str, url: &str, body: &[u8]) -> Option<T> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(Uint8Array::from(body).into()));
    let request = Request::new_with_init(url, &init).ok()?;
    let mut response = stub(env, class, name).ok()?.fetch_with_request(request).await.ok()?;
    if response.status_code() != 200 {
        return None;
    }
    call::decode(&response.bytes().await.ok()?).ok()
}
