//! Calls from object to object: bytes by `fetch`.

use js_sys::Uint8Array;
use serde::de::DeserializeOwned;
use worker::{Env, Method, Request, RequestInit, Stub};

use crate::call::{
    self, Answer, AppCall, AppResponse, ChannelCall, Delivered, Delivery, Notice, Noticed, RelayName, RelayObject,
    Response,
};
use crate::error::Code;
use crate::pinned;

/// Bindings of the object classes in wrangler.toml.
pub const CHANNEL: &str = "CHANNEL";
pub const RELAY: &str = "RELAY";
const APP: &str = "APP";

/// Paths by which objects are called. The host is never looked up.
pub const CALL_URL: &str = "https://object/call";
pub const DELIVER_URL: &str = "https://object/deliver";
const NOTICE_URL: &str = "https://object/notice";

/// How often a call is made before its failure is told.
const TRIES: usize = 3;

pub fn stub(env: &Env, class: &str, name: &str) -> worker::Result<Stub> {
    env.durable_object(class)?.id_from_name(name)?.get_stub()
}

/// `None` when no answer came, whatever the reason: the callee may or may not have done it.
pub async fn call_channel(env: &Env, call: &ChannelCall) -> Option<Answer<Response>> {
    post(env, CHANNEL, &call.to.object_name(), CALL_URL, &pinned::encode(call)).await
}

/// A repeat is safe: a channel knows a publish that it has.
pub async fn ask_channel(env: &Env, call: &ChannelCall) -> Answer<Response> {
    for _ in 0..TRIES {
        if let Some(answer) = call_channel(env, call).await {
            return answer;
        }
    }
    Err(Code::TimedOut.because("the channel could not be reached; try again"))
}

pub async fn ask_app(env: &Env, call: &AppCall) -> Answer<AppResponse> {
    let tries = if call.request.may_be_repeated() { TRIES } else { 1 };
    for _ in 0..tries {
        if let Some(answer) = post(env, APP, call.app.as_str(), CALL_URL, &pinned::encode(call)).await {
            return answer;
        }
    }
    Err(Code::TimedOut.because("the app could not be reached; try again"))
}

pub async fn deliver(env: &Env, relay: &RelayName, delivery: &Delivery) -> Option<Delivered> {
    let (class, name) = object(relay);
    post(env, class, name, DELIVER_URL, &pinned::encode(delivery)).await
}

pub async fn notify(env: &Env, relay: &RelayName, notice: &Notice) -> Option<Noticed> {
    let (class, name) = object(relay);
    post(env, class, name, NOTICE_URL, &pinned::encode(notice)).await
}

fn object(relay: &RelayName) -> (&'static str, &str) {
    match relay.object() {
        RelayObject::Relay(name) => (RELAY, name),
        RelayObject::Channel(name) => (CHANNEL, name),
    }
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
