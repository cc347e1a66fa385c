//! The App class: one object for each app, by its id. Hands its [`Host`] what happens, and tells relays what that says.

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
use crate::app::Tell;
use crate::app::host::Host;
use crate::app::store::StoreError;
use crate::call::{self, Answer, AppCall, AppResponse};

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
        notices(&desk);
        reply(&answer)
    }

    async fn alarm(&self) -> Result<Response> {
        let desk = find(&self.id);
        let tells = desk.borrow_mut().host.rang(now_ms());
        pursue(&desk, tells).map_err(|error| worker::Error::RustError(error.0))?;
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
    host: Host<AppStore>,
}

fn register(state: ObjectState, env: Env) -> String {
    let id = state.id().text();
    let host = Host::new(AppStore::new(Database::new(state.storage())));
    let desk = Desk { state, env, host };
    DESKS.with_borrow_mut(|desks| desks.insert(id.clone(), Rc::new(RefCell::new(desk))));
    id
}

fn find(id: &str) -> DeskRef {
    DESKS.with_borrow(|desks| desks.get(id).cloned()).expect("objects register when they are built")
}

impl Desk {
    fn call(&mut self, call: AppCall) -> Answer<AppResponse> {
        let configured = config::configured(&self.env)?.get(&call.app).is_some();
        self.host.call(call.request, configured, now_ms())
    }
}

/// Sees that the object wakes for what is left.
fn keep_alarm(desk: &DeskRef) {
    let (at_ms, set) = {
        let desk = &mut *desk.borrow_mut();
        let Some(at_ms) = desk.host.alarm(now_ms()) else { return };
        desk.host.alarm_set(at_ms);
        (at_ms, set_alarm(&desk.state.storage(), at_ms))
    };
    let desk = desk.clone();
    spawn_local(async move {
        if set.await.is_err() {
            desk.borrow_mut().host.alarm_refused(at_ms);
        }
    });
}

/// Tells relays what they are to know, and sees that the object wakes for what is left.
fn pursue(desk: &DeskRef, tells: std::result::Result<Vec<Tell>, StoreError>) -> std::result::Result<(), StoreError> {
    keep_alarm(desk);
    for tell in tells? {
        spawn_local(notify(desk.clone(), tell));
    }
    Ok(())
}

fn notices(desk: &DeskRef) {
    let tells = desk.borrow_mut().host.notices(now_ms());
    if let Err(error) = pursue(desk, tells) {
        console_error!("an app's storage failed, and it tries again: {}", error.0);
    }
}

async fn notify(desk: DeskRef, tell: Tell) {
    let env = desk.borrow().env.clone();
    let answer = calls::notify(&env, &tell.relay, &tell.notice).await;
    // Where storage fails the alarm sees to both: that the answer is asked for again, and that others are told.
    let _ = desk.borrow_mut().host.told(&tell, answer, now_ms());
    notices(&desk);
}
