//! An object's alarm: what [`Alarm`](crate::alarm::Alarm) decides is done here.

use std::time::Duration;

use js_sys::Date;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Delay, console_error};

use super::host::HostRef;
use super::platform::{ObjectStorage, describe, now_ms};
use crate::alarm::Step;
use crate::limits::ALARM_PAUSE_MS;

/// Sees that the object wakes when the cores need it.
pub fn keep_alarm(host: &HostRef) {
    let step = {
        let host = &mut *host.borrow_mut();
        let deadline = host.deadline();
        host.alarm.keep(deadline, now_ms())
    };
    match step {
        Some(Step::Ask) => ask(host),
        Some(Step::Set { at_ms }) => set(host, at_ms),
        None => {}
    }
}

fn ask(host: &HostRef) {
    let asked = host.borrow().state.storage().alarm();
    let host = host.clone();
    spawn_local(async move {
        let known = match asked {
            Ok(promise) => JsFuture::from(promise).await.ok().and_then(|at_ms| at_ms.as_f64()),
            Err(_) => None,
        };
        host.borrow_mut().alarm.learned(known.map(|at_ms| at_ms as u64));
        keep_alarm(&host);
    });
}

fn set(host: &HostRef, at_ms: u64) {
    let set = set_alarm(&host.borrow().state.storage(), at_ms);
    let host = host.clone();
    spawn_local(async move {
        if set.await.is_err() && host.borrow_mut().alarm.refused(at_ms) {
            Delay::from(Duration::from_millis(ALARM_PAUSE_MS)).await;
            keep_alarm(&host);
        }
    });
}

/// Written with the turn's other writes; what is told meanwhile is held back by the output gate. Fails when the runtime
/// refuses, which it may say at once or later.
pub fn set_alarm(storage: &ObjectStorage, at_ms: u64) -> impl Future<Output = Result<(), JsValue>> + use<> {
    let set = storage.set_alarm(&Date::new(&JsValue::from_f64(at_ms as f64)));
    async move {
        let set = match set {
            Ok(promise) => JsFuture::from(promise).await.map(drop),
            Err(error) => Err(error),
        };
        set.inspect_err(|error| console_error!("an alarm could not be set: {}", describe(error)))
    }
}
