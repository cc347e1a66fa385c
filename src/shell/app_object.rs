//! The App class: one object for each app, by its id. Drives the [`Registrar`], and tells relays what it says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use worker::{DurableObject, Env, Request, Response, Result, State, console_error, durable_object};

use super::alarm::set_alarm;
use super::app_storage::AppStore;
use super::objects::reply;
use super::platform::{ObjectState, now_ms};
use super::sql::Database;
use super::{calls, config};
use crate::app::store::StoreError;
use crate::app::{Registrar, Tell};
use crate::call::{self, Answer, AppCall, AppResponse};
use crate::error::{Code, ErrorInfo};

/// One app: what of it changes while the server runs.
#[durable_object(alarm)]
pub struct App {
    id: String,
}

impl DurableObject for App {
    fn new(state: State, env: Env) -> Self {
        let state = JsValue::from(state._inner()).unchecked_into::<ObjectState>();
        Self { id: register(state, env) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let desk = find(&self.id);
        let answer: Answer<AppResponse> = match call::decode::<AppCall>(&request.bytes().await?) {
            Ok(call) => desk.borrow_mut().call(call),
            Err(error) => Err(error),
        };
        pursue(&desk);
        reply(&answer)
    }

    async fn alarm(&self) -> Result<Response> {
        let desk = find(&self.id);
        let ticked = desk.borrow_mut().with_registrar(|registrar, store| registrar.tick(store, now_ms()));
        if ticked.is_ok() {
            pursue(&desk);
        }
        Response::empty()
    }
}

type DeskRef = Rc<RefCell<Desk>>;

thread_local! {
    /// As for the other classes, see [`super::host`].
    static DESKS: RefCell<HashMap<String, DeskRef>> = RefCell::default();
}

struct Desk {
    state: ObjectState,
    env: Env,
    store: AppStore,
    registrar: Option<Registrar>,
    alarm_at_ms: Option<u64>,
}

fn register(state: ObjectState, env: Env) -> String {
    let id = state.id().text();
    let store = AppStore::new(Database::new(state.storage()));
    let desk = Desk { state, env, store, registrar: None, alarm_at_ms: None };
    DESKS.with_borrow_mut(|desks| desks.insert(id.clone(), Rc::new(RefCell::new(desk))));
    id
}

fn find(id: &str) -> DeskRef {
    DESKS.with_borrow(|desks| desks.get(id).cloned()).expect("objects register when they are built")
}

impl Desk {
    fn call(&mut self, call: AppCall) -> Answer<AppResponse> {
        let configured = config::configured(&self.env)?.get(&call.app).is_some();
        self.with_registrar(|registrar, store| registrar.call(store, call.request, configured, now_ms()))?
    }

    /// When storage fails, what the memory says may not be what is stored: it is read again.
    fn with_registrar<T>(
        &mut self,
        act: impl FnOnce(&mut Registrar, &mut AppStore) -> std::result::Result<T, StoreError>,
    ) -> Answer<T> {
        let registrar = match self.registrar.take() {
            Some(registrar) => Ok(registrar),
            None => Registrar::load(&mut self.store, now_ms()),
        };
        let acted = registrar.and_then(|mut registrar| {
            let result = act(&mut registrar, &mut self.store)?;
            self.registrar = Some(registrar);
            Ok(result)
        });
        acted.map_err(failed)
    }
}

/// Sees that the object wakes for what is left. One that was refused is set with the next event.
fn keep_alarm(desk: &DeskRef) {
    let (at_ms, set) = {
        let desk = &mut *desk.borrow_mut();
        let deadline = desk.registrar.as_ref().and_then(Registrar::deadline);
        let Some(at_ms) = deadline.filter(|_| deadline != desk.alarm_at_ms) else { return };
        desk.alarm_at_ms = Some(at_ms);
        (at_ms, set_alarm(&desk.state.storage(), at_ms))
    };
    let desk = desk.clone();
    spawn_local(async move {
        if set.await.is_err() {
            let _ = desk.borrow_mut().alarm_at_ms.take_if(|known_ms| *known_ms == at_ms);
        }
    });
}

/// Tells relays what they are to know, and sees that the object wakes for what is left.
fn pursue(desk: &DeskRef) {
    let tells = desk.borrow_mut().with_registrar(|registrar, store| registrar.notices(store, now_ms()));
    for tell in tells.unwrap_or_default() {
        spawn_local(notify(desk.clone(), tell));
    }
    keep_alarm(desk);
}

async fn notify(desk: DeskRef, tell: Tell) {
    let env = desk.borrow().env.clone();
    let answer = calls::notify(&env, &tell.relay, &tell.notice).await;
    let told = desk.borrow_mut().with_registrar(|registrar, store| registrar.told(store, &tell, answer));
    if told.is_ok() {
        pursue(&desk);
    }
}

fn failed(error: StoreError) -> ErrorInfo {
    console_error!("an app's storage failed: {}", error.0);
    Code::Internal.because("storage failed; try again")
}
