//! Calls from object to object: bytes by `fetch`.

use js_sys::{Object, Reflect, Uint8Array};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;
use worker::worker_sys::web_sys::Response as RawResponse;

use super::platform::{ObjectNamespace, object};
use crate::call::{
    Answer, AppCall, AppResponse, ChannelCall, Delivered, Delivery, Notice, Noticed, RelayName, RelayObject, Response,
    Roll, Rolled,
};
use crate::error::{Code, ErrorInfo};
use crate::pinned;
use crate::transport::comet::Verb;

/// Bindings of the object classes in wrangler.toml.
pub const CHANNEL: &str = "CHANNEL";
pub const RELAY: &str = "RELAY";
const APP: &str = "APP";

/// Paths by which objects are called. The host is never looked up.
pub const CALL_URL: &str = "https://object/call";
pub const DELIVER_URL: &str = "https://object/deliver";
pub const ROLL_URL: &str = "https://object/roll";
pub const CONNECT_URL: &str = "https://object/connect";
const IDENTIFY_URL: &str = "https://object/identify";
const NOTICE_URL: &str = "https://object/notice";

/// Where a request of a connection over HTTP goes.
pub fn comet_url(verb: Verb) -> &'static str {
    match verb {
        Verb::Connect => CONNECT_URL,
        Verb::Recv => "https://object/recv",
        Verb::Send => "https://object/send",
        Verb::Close => "https://object/close",
        Verb::Disconnect => "https://object/disconnect",
    }
}

/// How often a call is made before its failure is told.
const TRIES: usize = 3;

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
    Err(unreachable())
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
    call_relay(env, relay, DELIVER_URL, &pinned::encode(delivery)).await
}

pub async fn roll(env: &Env, relay: &RelayName, roll: &Roll) -> Option<Rolled> {
    call_relay(env, relay, ROLL_URL, &pinned::encode(roll)).await
}

/// The first good answer of these relays, else the last.
pub async fn identify(env: &Env, relays: &[RelayName], key: &str) -> Answer<Response> {
    let mut answer = Err(unreachable());
    for relay in relays {
        if answer.is_err() {
            let asked = call_relay(env, relay, IDENTIFY_URL, key.as_bytes()).await;
            answer = asked.unwrap_or_else(|| Err(unreachable()));
        }
    }
    answer
}

fn unreachable() -> ErrorInfo {
    Code::TimedOut.because("the channel could not be reached; try again")
}

pub async fn notify(env: &Env, relay: &RelayName, notice: &Notice) -> Option<Noticed> {
    call_relay(env, relay, NOTICE_URL, &pinned::encode(notice)).await
}

async fn call_relay<T: DeserializeOwned>(env: &Env, relay: &RelayName, url: &str, body: &[u8]) -> Option<T> {
    let (class, name) = match relay.object() {
        RelayObject::Relay(name) => (RELAY, name),
        RelayObject::Channel(name) => (CHANNEL, name),
    };
    post(env, class, name, url, body).await
}

async fn post<T: DeserializeOwned>(env: &Env, class: &str, name: &str, url: &str, body: &[u8]) -> Option<T> {
    pinned::decode(&post_bytes(env, class, name, url, body).await?)
}

async fn post_bytes(env: &Env, class: &str, name: &str, url: &str, body: &[u8]) -> Option<Vec<u8>> {
    let init = object([("method", "POST".into()), ("body", Uint8Array::from(body).into())]);
    let response = fetch(env, class, name, url, &init).await.ok().filter(|response| response.status() == 200)?;
    let body = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&body).to_vec())
}

/// Calls an object, and gives its response as it is: a socket that passes through here is not wrapped again, which would
/// cost every one of its frames.
pub async fn fetch(env: &Env, class: &str, name: &str, url: &str, init: &Object) -> Result<RawResponse, JsValue> {
    let namespace: ObjectNamespace = Reflect::get(env, &class.into())?.unchecked_into();
    let response = JsFuture::from(namespace.get_by_name(name)?.fetch(url, init)?).await?;
    Ok(response.unchecked_into())
}
