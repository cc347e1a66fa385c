//! Makes requests to the receivers of webhooks.

use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;
use worker::worker_sys::web_sys::Response as RawResponse;

use super::platform::{Service, object};
use crate::limits::HOOK_TIMEOUT_MS;
use crate::rpc::{HookOutcome, HookRequest};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_name = fetch)]
    fn fetch(url: &str, init: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = AbortSignal, js_name = timeout)]
    fn abort_after(ms: f64) -> JsValue;
}

/// What requests to receivers go by, where they may call others than the rest: a server of one's own.
const WEBHOOKS: &str = "WEBHOOKS";

pub async fn post(env: &Env, request: &HookRequest) -> HookOutcome {
    try_post(env, request).await.unwrap_or(HookOutcome::Unreachable)
}

/// Follows no redirect: the rule of where this server may call is for the address in the configuration. Nothing of the
/// answer's body is read.
async fn try_post(env: &Env, request: &HookRequest) -> Result<HookOutcome, JsValue> {
    let headers = object([]);
    for (name, value) in &request.headers {
        Reflect::set(&headers, &(*name).into(), &value.into())?;
    }
    let init = object([
        ("method", "POST".into()),
        ("headers", headers.into()),
        ("body", Uint8Array::from(&request.body[..]).into()),
        ("redirect", "manual".into()),
        ("signal", abort_after(HOOK_TIMEOUT_MS as f64)),
    ]);
    let via = Reflect::get(env, &WEBHOOKS.into())?;
    let asked = match via.is_undefined() {
        true => fetch(&request.url, &init)?,
        false => via.unchecked_into::<Service>().fetch_by(&request.url, &init)?,
    };
    let response: RawResponse = JsFuture::from(asked).await?.unchecked_into();
    if let Some(body) = response.body() {
        let _ = JsFuture::from(body.cancel()).await;
    }
    Ok(HookOutcome::Status { status: response.status(), retry_after: response.headers().get("retry-after")? })
}
