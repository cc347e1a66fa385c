//! The App class: one object for each app, by its id. What happens to it goes to its driver, and what that says is
//! done.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use worker::{DurableObject, Env, Error, Request, Response, Result, State, durable_object};

use super::app_storage::AppStore;
use super::callers::Callers;
use super::platform::{self, Done, ObjectState, now_ms};
use super::registry::{Registration, Registry};
use super::sql::Database;
use super::{alarm, calls, config, measures, push};
use crate::app::push::Attempt;
use crate::base::pinned;
use crate::model::name::AppId;
use crate::object::{AppHost, AppInput, AppOutput, CallerId};
use crate::rpc::{self, Answer, AppResponse};

/// One app: what of it changes while the server runs.
#[durable_object(alarm)]
pub struct App {
    registration: Registration<Object>,
}

impl DurableObject for App {
    fn new(state: State, env: Env) -> Self {
        platform::prepare(&env);
        let state = JsValue::from(state._inner()).unchecked_into::<ObjectState>();
        Self { registration: register(state, env) }
    }

    /// An app is asked, and serves no requests.
    async fn fetch(&self, _: Request) -> Result<Response> {
        Response::error("", 404)
    }

    async fn alarm(&self) -> Result<Response> {
        let object = self.registration.find();
        let outputs = object.borrow_mut().host.turn(AppInput::Alarm, now_ms());
        let mut rung = Response::empty();
        for output in outputs {
            match output {
                AppOutput::RepeatAlarm { reason } => rung = Err(Error::RustError(reason)),
                output => perform(&object, output),
            }
        }
        rung
    }
}

#[wasm_bindgen]
impl App {
    pub fn ask(&self, _about: &str, question: &[u8], done: Done) {
        let object = self.registration.find();
        let caller = object.borrow_mut().callers.begin(done);
        match rpc::decode(question) {
            Ok(call) => turn(&object, AppInput::Call { caller, call }),
            Err(error) => answer(&object, caller, &Err(error)),
        }
    }
}

type ObjectRef = Rc<RefCell<Object>>;

thread_local! {
    static REGISTRY: Registry<Object> = Registry::default();
}

struct Object {
    state: ObjectState,
    env: Env,
    host: AppHost<AppStore>,
    callers: Callers,
}

fn register(state: ObjectState, env: Env) -> Registration<Object> {
    let id = state.id().text();
    let host = AppHost::new(config::settings(&env), AppStore::new(Database::new(state.storage())));
    let host = host.with_push(config::push(&env)).with_private_receivers(config::private_receivers(&env));
    let host = host.with_secrets_of(config::secret_min_bytes(&env));
    let host = host.with_measures(measures::is_bound(&env));
    let host = host.called(state.id().name().and_then(|name| AppId::parse(&name).ok()));
    let object = Object { state, env, host, callers: Callers::default() };
    Registration::new(&REGISTRY, id, object)
}

fn turn(object: &ObjectRef, input: AppInput) {
    let outputs = object.borrow_mut().host.turn(input, now_ms());
    outputs.into_iter().for_each(|output| perform(object, output));
}

fn later(object: &ObjectRef, input: impl Future<Output = AppInput> + 'static) {
    let object = object.clone();
    spawn_local(async move { turn(&object, input.await) });
}

fn answer(object: &ObjectRef, caller: CallerId, answer: &Answer<AppResponse>) {
    object.borrow_mut().callers.answer(caller, Some(&pinned::encode(answer)));
}

fn perform(object: &ObjectRef, output: AppOutput) {
    match output {
        AppOutput::Answer { caller, answer: given } => answer(object, caller, &given),
        AppOutput::Tell(tell) => {
            let env = object.borrow().env.clone();
            let object = object.clone();
            let called = calls::notify(&env, &tell.relay, &tell.notice);
            called.then(move |answer| turn(&object, AppInput::Told { tell, answer }));
        }
        AppOutput::Publish(call) => {
            let env = object.borrow().env.clone();
            later(object, async move {
                let _ = calls::ask_channel(&env, &call).await;
                AppInput::Published { channel: call.to.channel }
            });
        }
        AppOutput::Attempt(Attempt { delivery, to }) => {
            let env = object.borrow().env.clone();
            later(object, async move {
                let outcome = push::attempt(&env, &to).await;
                AppInput::Tried { delivery, outcome }
            });
        }
        AppOutput::Measure(points) => measures::write(&object.borrow().env, &points),
        AppOutput::MakeKeys => later(object, async { AppInput::KeysMade(push::make_keys().await) }),
        AppOutput::SetAlarm { at_ms } => {
            let set = alarm::set(&object.borrow().state.storage(), at_ms);
            let object = object.clone();
            spawn_local(async move {
                if !set.await {
                    turn(&object, AppInput::AlarmRefused { at_ms });
                }
            });
        }
        AppOutput::Pause { after_ms } => {
            let object = object.clone();
            platform::after(after_ms, move || turn(&object, AppInput::Paused));
        }
        // Only an alarm says so, and hears it.
        AppOutput::RepeatAlarm { .. } => {}
    }
}
