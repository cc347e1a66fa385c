//! An object's alarm: the runtime has one for each, stored, and it outlives the object's memory.

use js_sys::Date;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::console_error;

use super::host::HostRef;
use super::platform::describe;

/// What is known of the stored alarm.
#[derive(Clone, Copy, PartialEq)]
pub enum Alarm {
    /// The object was just built. One may be set, and must not be moved back.
    Unknown,
    Asking,
    Set(Option<u64>),
}

/// Sees that the object wakes when the cores need it. An alarm that comes too early costs a look; one is never moved back,
/// since what asked for it may be what the object has forgotten.
pub fn keep_alarm(host: &HostRef) {
    let (alarm, deadline) = {
        let host = host.borrow();
        (host.alarm, host.deadline())
    };
    let Some(deadline) = deadline else { return };
    match alarm {
        Alarm::Asking => {}
        Alarm::Unknown => ask_alarm(host),
        Alarm::Set(Some(at_ms)) if at_ms <= deadline => {}
        Alarm::Set(_) => set_alarm(host, deadline),
    }
}

fn ask_alarm(host: &HostRef) {
    host.borrow_mut().alarm = Alarm::Asking;
    let asked = host.borrow().state.storage().alarm();
    let host = host.clone();
    spawn_local(async move {
        let known = match asked {
            Ok(promise) => JsFuture::from(promise).await.ok().and_then(|at_ms| at_ms.as_f64()),
            Err(_) => None,
        };
        host.borrow_mut().alarm = Alarm::Set(known.map(|at_ms| at_ms as u64));
        keep_alarm(&host);
    });
}

fn set_alarm(host: &HostRef, at_ms: u64) {
    host.borrow_mut().alarm = Alarm::Set(Some(at_ms));
    // Written with the turn's other writes; the promise needn't be waited for, the output gate does that.
    let at = Date::new(&JsValue::from_f64(at_ms as f64));
    if let Err(error) = host.borrow().state.storage().set_alarm(&at) {
        console_error!("an alarm could not be set: {}", describe(&error));
    }
}
