//! The alarm that the runtime stores for an object.

use std::future::Future;

use js_sys::Date;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use worker::console_error;

use super::platform::{ObjectStorage, describe};

/// When it rings, as far as the runtime says.
pub async fn ask(storage: &ObjectStorage) -> Option<u64> {
    let asked = storage.alarm().ok()?;
    JsFuture::from(asked).await.ok()?.as_f64().map(|at_ms| at_ms as u64)
}

/// Sets it with the turn's other writes: the output gate waits for it, so nobody else has to. Gives whether it was set.
pub fn set(storage: &ObjectStorage, at_ms: u64) -> impl Future<Output = bool> + use<> {
    let set = storage.set_alarm(&Date::new(&JsValue::from_f64(at_ms as f64)));
    async move {
        let done = match set {
            Ok(promise) => JsFuture::from(promise).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            console_error!("an alarm could not be set: {}", describe(error));
        }
        done.is_ok()
    }
}
