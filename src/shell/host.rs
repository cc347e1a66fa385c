//! Objects at the edge: what happens to one goes to its driver, and what that says is done.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use wasm_bindgen_futures::spawn_local;
use worker::{Delay, Env, Error, Response, Result};

use super::callers::Callers;
use super::platform::{self, Done, ObjectState, Socket, now_ms, random_id};
use super::registry::{Registration, Registry};
use super::responses::{self, Responses};
use super::router::write_reply;
use super::sockets::Sockets;
use super::sql::Database;
use super::storage::SqlStore;
use super::{alarm, calls, config, hooks, replies};
use crate::base::pinned;
use crate::http;
use crate::http::uploads::Bound;
use crate::limits::STATS_TAKEN_LOOK_MS;
use crate::model::Format;
use crate::object::{CallerId, Class, Host, Input, Output, Question, Reply};
use crate::relay::SocketId;
use crate::rpc::Refusal;
use crate::transport::comet::{Claim, Verb};

/// A handle to an object's state, for the object's struct and for what runs in the background.
pub type ObjectRef = Rc<RefCell<Object>>;

pub struct Object {
    state: ObjectState,
    env: Env,
    host: Host<SqlStore>,
    sockets: Sockets,
    pub(super) responses: Responses,
    callers: Callers,
    awake: bool,
}

thread_local! {
    static REGISTRY: Registry<Object> = Registry::default();
}

pub fn register(state: ObjectState, env: Env, class: Class) -> Registration<Object> {
    let id = state.id().text();
    let host = Host::new(class, config::settings(&env), SqlStore::new(Database::new(state.storage())));
    let host = host.with_private_receivers(config::private_receivers(&env));
    let object = Object {
        state,
        env,
        host,
        sockets: Sockets::default(),
        responses: Responses::default(),
        callers: Callers::default(),
        awake: false,
    };
    Registration::new(&REGISTRY, id, object)
}

/// The object's state, awake.
pub fn find(registration: &Registration<Object>) -> ObjectRef {
    let object = registration.find();
    if !std::mem::replace(&mut object.borrow_mut().awake, true) {
        let sockets = {
            let Object { sockets, state, .. } = &mut *object.borrow_mut();
            sockets.restore(state)
        };
        turn(&object, Input::Wake { sockets, fresh_epoch: random_id() });
    }
    object
}

pub fn turn(object: &ObjectRef, input: Input) {
    let outputs = object.borrow_mut().host.turn(input, now_ms());
    outputs.into_iter().for_each(|output| perform(object, output));
}

/// What the supervisor of a server of one's own tells its objects: that it is about to stop, that they report what they
/// counted, or that its apps have changed from what `body` says.
pub fn told(object: &ObjectRef, path: &str, body: &str) -> Option<Input> {
    match path {
        "/leave" => Some(Input::SendAway { one_in: body.parse().unwrap_or(1) }),
        "/report" => Some(Input::Report),
        "/reconfigure" => {
            let apps = config::configured(&object.borrow().env);
            Some(Input::Reconfigure { apps, before: config::read(body).map(Rc::new) })
        }
        _ => None,
    }
}

/// Until the app has answered what was reported.
pub async fn report_taken(object: &ObjectRef, is_waited_for: bool) {
    while is_waited_for && object.borrow().host.is_reporting() {
        Delay::from(Duration::from_millis(STATS_TAKEN_LOOK_MS)).await;
    }
}

/// A request, or a call from another object or the router, that the driver answers, now or later.
pub fn ask(object: &ObjectRef, done: Done, input: impl FnOnce(CallerId) -> Input) {
    let caller = object.borrow_mut().callers.begin(done);
    turn(object, input(caller));
}

/// How much is read of the body of such a request, or why it is refused unread.
pub fn comet_bound(object: &ObjectRef, verb: Verb, claim: &Claim) -> std::result::Result<Bound, http::Reply> {
    object.borrow().host.comet_bound(verb, claim)
}

pub fn message(object: &ObjectRef, socket: &Socket, bytes: Vec<u8>, format: Format) {
    let known = {
        let Object { sockets, state, .. } = &*object.borrow();
        sockets.id_of(state, socket)
    };
    if let Some(socket) = known {
        turn(object, Input::Frame { socket, bytes, format });
    }
}

pub fn closed(object: &ObjectRef, socket: &Socket) {
    let known = {
        let Object { sockets, state, .. } = &mut *object.borrow_mut();
        let known = sockets.id_of(state, socket);
        known.into_iter().for_each(|socket| sockets.remove(socket));
        known
    };
    if let Some(socket) = known {
        turn(object, Input::Lost { socket });
    }
}

/// Fails when it must ring again, which the runtime sees to.
pub fn alarm(object: &ObjectRef) -> Result<()> {
    let outputs = object.borrow_mut().host.turn(Input::Alarm, now_ms());
    let mut rung = Ok(());
    for output in outputs {
        match output {
            Output::RepeatAlarm { reason } => rung = Err(Error::RustError(reason)),
            output => perform(object, output),
        }
    }
    rung
}

/// What takes a while, and what it comes to.
pub(super) fn later(object: &ObjectRef, input: impl Future<Output = Input> + 'static) {
    let object = object.clone();
    spawn_local(async move { turn(&object, input.await) });
}

fn perform(object: &ObjectRef, output: Output) {
    match output {
        Output::Accept { caller, socket } => accept(object, caller, socket),
        Output::Send { sockets, frame } => object.borrow().sockets.send(&sockets, &frame),
        Output::Save { socket, record } => object.borrow().sockets.save(socket, &record),
        Output::Close { socket } => object.borrow_mut().sockets.close(socket),
        Output::Respond { caller, response, head } => {
            let Object { responses, callers, .. } = &mut *object.borrow_mut();
            callers.respond(caller, responses.open(response, &head));
        }
        Output::Write { response, body, last } => responses::write(object, response, body, last),
        Output::Cut { response } => object.borrow_mut().responses.cut(response),
        Output::Answer { caller, reply } => answer(object, caller, reply),
        Output::Start { timer, after_ms } => {
            let object = object.clone();
            platform::after(after_ms, move || turn(&object, Input::Rang(timer)));
        }
        Output::AskAlarm => {
            let storage = object.borrow().state.storage();
            later(object, async move { Input::AlarmKnown { at_ms: alarm::ask(&storage).await } });
        }
        Output::SetAlarm { at_ms } => set_alarm(object, at_ms),
        // Only an alarm says so, and hears it.
        Output::RepeatAlarm { .. } => {}
        Output::Ask(question) => ask_other(object, question),
        Output::Post(request) => {
            let env = object.borrow().env.clone();
            later(object, async move {
                let outcome = hooks::post(&env, &request).await;
                Input::Posted { hook: request.id, attempt: request.attempt, outcome }
            });
        }
    }
}

fn answer(object: &ObjectRef, caller: CallerId, reply: Reply) {
    let callers = &mut object.borrow_mut().callers;
    match reply {
        Reply::Refused(refusal) => callers.respond(caller, refused(&refusal)),
        Reply::Http(reply) => callers.respond(caller, write_reply(reply)),
        reply => callers.answer(caller, replies::encoded(&reply).as_deref()),
    }
}

fn refused(refusal: &Refusal) -> Result<Response> {
    Ok(Response::from_bytes(pinned::encode(refusal))?.with_status(calls::REFUSED))
}

/// Calls another object.
fn ask_other(object: &ObjectRef, question: Question) {
    let env = object.borrow().env.clone();
    match question {
        Question::Call { ticket, call } => {
            calls::call_channel(&env, &call).then(hear(object, move |answer| Input::Answered { ticket, answer }));
        }
        Question::Follow { ticket, above, follow } => {
            calls::follow(&env, &above, &follow).then(hear(object, move |answer| Input::Answered { ticket, answer }));
        }
        Question::Deliver { relay, attempt, delivery } => {
            let called = calls::deliver(&env, &relay, &delivery);
            let channel = delivery.channel;
            called.then(hear(object, move |answer| Input::Delivered { channel, relay, attempt, answer }));
        }
        Question::Probe { relay, attempt, probe } => {
            let called = calls::probe(&env, &relay, &probe);
            called.then(hear(object, move |answer| Input::Probed { relay, attempt, answer }));
        }
        Question::App { ticket, call } => {
            later(object, async move { Input::AppAnswered { ticket, answer: calls::ask_app(&env, &call).await } })
        }
    }
}

/// What an answer comes to.
fn hear<T, F: FnOnce(T) -> Input>(object: &ObjectRef, input: F) -> impl FnOnce(T) + use<T, F> {
    let object = object.clone();
    move |answer| turn(&object, input(answer))
}

fn accept(object: &ObjectRef, caller: CallerId, socket: SocketId) {
    let Object { sockets, state, callers, .. } = &mut *object.borrow_mut();
    let Some(done) = callers.end(caller) else { return };
    if sockets.accept(state, socket, &done).is_err() {
        // The object holds all that the platform allows.
        later(object, async move { Input::Lost { socket } });
        platform::respond(&done, refused(&Refusal::Full));
    }
}

fn set_alarm(object: &ObjectRef, at_ms: u64) {
    let set = alarm::set(&object.borrow().state.storage(), at_ms);
    let object = object.clone();
    spawn_local(async move {
        if !set.await {
            turn(&object, Input::AlarmRefused { at_ms });
        }
    });
}
