//! Calls from object to object. Bytes go by the runtime's own calls, which cost less than requests; connections go by
//! `fetch`.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::worker_sys::web_sys::{Request as RawRequest, Response as RawResponse};
use worker::{Delay, Env, console_error};

use super::platform::{self, Asked, describe, now_ms, random_bytes};
use crate::base::pause as pauses;
use crate::base::pinned::{self, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CALL_PATIENCE_MS, CALL_PAUSES_MS, FAILED_CALLS_TOLD_MS};
use crate::router::Destination;
use crate::rpc::{
    Answer, AppCall, AppResponse, ChannelCall, Delivered, Delivery, Failure, Follow, Inspected, Inspection, Notice,
    Noticed, Probe, Probed, Refusal, RelayName, RelayObject, Response,
};
use crate::transport::comet::Verb;
#[cfg(feature = "socketio")]
use crate::transport::engine::Ask;

/// Bindings of the object classes in wrangler.toml.
const CHANNEL: &str = "CHANNEL";
const RELAY: &str = "RELAY";
const APP: &str = "APP";

/// What objects are called for.
pub const CALL: &str = "call";
pub const DELIVER: &str = "deliver";
pub const FOLLOW: &str = "follow";
pub const PROBE: &str = "probe";
pub const IDENTIFY: &str = "identify";
pub const INSPECT: &str = "inspect";
pub const NOTICE: &str = "notice";

/// The status of an object's answer to the router that it does not take a client in, with a [`Refusal`].
pub const REFUSED: u16 = 421;

/// The path of a request that belongs to a connection over HTTP.
fn comet_path(verb: Verb) -> &'static str {
    match verb {
        Verb::Connect => "/connect",
        Verb::Recv => "/recv",
        Verb::Send => "/send",
        Verb::Close => "/close",
        Verb::Disconnect => "/disconnect",
        #[cfg(feature = "socketio")]
        Verb::Engine(Ask::Poll) => "/engine/poll",
        #[cfg(feature = "socketio")]
        Verb::Engine(Ask::Post) => "/engine/post",
        #[cfg(feature = "socketio")]
        Verb::Engine(Ask::Upgrade) => "/engine/upgrade",
    }
}

/// The purpose of a request with such a path.
pub fn comet_verb(path: &str) -> Verb {
    match path {
        "/connect" => Verb::Connect,
        "/recv" => Verb::Recv,
        "/send" => Verb::Send,
        "/close" => Verb::Close,
        #[cfg(feature = "socketio")]
        "/engine/poll" => Verb::Engine(Ask::Poll),
        #[cfg(feature = "socketio")]
        "/engine/post" => Verb::Engine(Ask::Post),
        #[cfg(feature = "socketio")]
        "/engine/upgrade" => Verb::Engine(Ask::Upgrade),
        _ => Verb::Disconnect,
    }
}

/// A call that has been made. Its answer is `None` when none came, whatever the reason: the callee may or may not have
/// done it.
pub struct Call<T>(Option<Asked>, PhantomData<T>);

impl<T: Versioned + 'static> Call<T> {
    /// Hands the answer on, later. That spares what a future costs, which is a lot beside a call.
    pub fn then(self, tell: impl FnOnce(Option<T>) + 'static) {
        settle(self.0, Box::new(|answer| tell(answer.and_then(|bytes| read_answer(&bytes)))));
    }

    pub async fn answer(self) -> Option<T> {
        read_answer(&settled(self.0).await?)
    }
}

fn read_answer<T: Versioned>(bytes: &[u8]) -> Option<T> {
    pinned::decode(bytes).map_err(|error| say_failed(&format!("{error:?}"))).ok()
}

/// The answer's bytes, not yet decoded: what waits is the same code for all calls.
fn settle(asked: Option<Asked>, tell: Box<dyn FnOnce(Option<Vec<u8>>)>) {
    match asked {
        // Of its two functions a promise calls one.
        Some(asked) => {
            let tell = Closure::once_into_js(move |answer: JsValue| match bytes(&answer) {
                Some(bytes) => tell(Some(bytes)),
                None => match pause_behind(&answer) {
                    0 => tell(None),
                    pause_ms => platform::after(pause_ms, move || tell(None)),
                },
            });
            asked.then(&tell, &tell);
        }
        // The caller is still at what it does.
        None => spawn_local(async { tell(None) }),
    }
}

async fn settled(asked: Option<Asked>) -> Option<Vec<u8>> {
    let answer = JsFuture::from(asked?.unchecked_into::<Promise>()).await.unwrap_or_else(|error| error);
    let bytes = bytes(&answer);
    if bytes.is_none() {
        pause(pause_behind(&answer)).await;
    }
    bytes
}

/// How long to wait behind a call that failed.
fn pause_behind(error: &JsValue) -> u64 {
    let is_overloaded = Reflect::get(error, &"overloaded".into()).is_ok_and(|said| said.is_truthy());
    let failure = if is_overloaded { Failure::Overloaded } else { Failure::Lost };
    failure.pause_ms(u64::from_le_bytes(random_bytes()))
}

/// Those of an answer. Anything else is what the platform says of a call that failed.
fn bytes(answer: &JsValue) -> Option<Vec<u8>> {
    let bytes = answer.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
    if bytes.is_none() {
        let said = answer.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        say_failed(&said.unwrap_or_else(|| describe(answer)));
    }
    bytes
}

/// An object that cannot be reached fails all calls to it: one in a second is told of.
fn say_failed(why: &str) {
    thread_local! {
        static SAID_AT_MS: Cell<u64> = const { Cell::new(0) };
    }
    let now_ms = now_ms();
    if pauses::is_over(SAID_AT_MS.get() + FAILED_CALLS_TOLD_MS, FAILED_CALLS_TOLD_MS, now_ms) {
        SAID_AT_MS.set(now_ms);
        console_error!("a call to another object failed: {why}");
    }
}

pub fn call_channel(env: &Env, call: &ChannelCall) -> Call<Answer<Response>> {
    post(env, CHANNEL, &call.to.object_name(), CALL, &pinned::encode(call))
}

/// A repeat is safe: a channel knows a publish that it has.
pub async fn ask_channel(env: &Env, call: &ChannelCall) -> Answer<Response> {
    let answer = async {
        for pause_ms in CALL_PAUSES_MS {
            pause(pause_ms).await;
            if let Some(answer) = call_channel(env, call).answer().await {
                return answer;
            }
        }
        Err(unreachable())
    };
    within(call.patience_ms(), answer).await.unwrap_or_else(|| Err(unreachable()))
}

pub async fn ask_app(env: &Env, call: &AppCall) -> Answer<AppResponse> {
    let unreachable = || Err(Code::TimedOut.because("the app could not be reached; try again"));
    let tries = if call.request.may_be_repeated() { CALL_PAUSES_MS.len() } else { 1 };
    let answer = async {
        for pause_ms in &CALL_PAUSES_MS[..tries] {
            pause(*pause_ms).await;
            let called = post(env, APP, call.app.as_str(), CALL, &pinned::encode(call));
            if let Some(answer) = called.answer().await {
                return answer;
            }
        }
        unreachable()
    };
    within(call.patience_ms(), answer).await.unwrap_or_else(unreachable)
}

async fn pause(ms: u64) {
    if ms > 0 {
        Delay::from(Duration::from_millis(ms)).await;
    }
}

/// What is asked, unless it takes longer.
pub async fn within<T>(patience_ms: u64, asked: impl Future<Output = T>) -> Option<T> {
    match select(pin!(asked), Delay::from(Duration::from_millis(patience_ms))).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => {
            console_error!("an object gave no answer within {patience_ms} ms");
            None
        }
    }
}

pub fn deliver(env: &Env, relay: &RelayName, delivery: &Delivery) -> Call<Delivered> {
    call_relay(env, relay, DELIVER, &pinned::encode(delivery))
}

pub fn follow(env: &Env, relay: &RelayName, follow: &Follow) -> Call<Answer<Response>> {
    call_relay(env, relay, FOLLOW, &pinned::encode(follow))
}

pub fn probe(env: &Env, relay: &RelayName, probe: &Probe) -> Call<Probed> {
    call_relay(env, relay, PROBE, &pinned::encode(probe))
}

/// The first good answer of these relays, else the last.
pub async fn identify(env: &Env, relays: &[RelayName], key: &str) -> Answer<Response> {
    let mut answer = Err(unreachable());
    for relay in relays {
        if answer.is_err() {
            let asked = call_relay(env, relay, IDENTIFY, key.as_bytes()).answer();
            answer = within(CALL_PATIENCE_MS, asked).await.flatten().unwrap_or_else(|| Err(unreachable()));
        }
    }
    answer
}

fn unreachable() -> ErrorInfo {
    Code::TimedOut.because("the channel could not be reached; try again")
}

pub fn notify(env: &Env, relay: &RelayName, notice: &Notice) -> Call<Noticed> {
    call_relay(env, relay, NOTICE, &pinned::encode(notice))
}

/// `None` when no answer came: of those who are to end, some may have ended. To be asked again is harmless.
pub async fn inspect(env: &Env, relay: &RelayName, inspection: &Inspection) -> Option<Inspected> {
    let called = call_relay(env, relay, INSPECT, &pinned::encode(inspection));
    within(CALL_PATIENCE_MS, called.answer()).await.flatten()
}

fn call_relay<T>(env: &Env, relay: &RelayName, about: &str, question: &[u8]) -> Call<T> {
    let (class, name) = object_of(relay);
    post(env, class, name, about, question)
}

/// The class and name of an object that holds sockets.
fn object_of(relay: &RelayName) -> (&'static str, &str) {
    match relay.object() {
        RelayObject::Relay(name) => (RELAY, name),
        RelayObject::Channel(name) => (CHANNEL, name),
    }
}

fn post<T>(env: &Env, class: &str, name: &str, about: &str, question: &[u8]) -> Call<T> {
    Call(platform::ask(env, class, name, about, question).ok(), PhantomData)
}

/// Asks an object to take a connection in. Gives the response with the socket as it is: a socket that is wrapped again
/// where it passes through costs for each of its frames.
pub async fn connect(env: &Env, to: &Destination) -> Result<RawResponse, Refusal> {
    let (class, name) = object_of(&to.relay);
    let upgrade = if to.is_socket { "websocket" } else { "" };
    let unreachable = || Code::TimedOut.because("the server could not be reached; try again");
    let response = response(platform::connect(env, class, name, to.hint, upgrade, &to.handover)).await;
    let response = response.map_err(|_| unreachable())?;
    match response.status() {
        101 | 200 => Ok(response),
        REFUSED => {
            let refusal = read(response).await.and_then(|bytes| pinned::decode(&bytes).ok());
            Err(refusal.unwrap_or_else(|| unreachable().into()))
        }
        _ => Err(unreachable().into()),
    }
}

/// Brings a request of a connection over HTTP to the object that holds it.
pub async fn pass_on(
    env: &Env,
    relay: &RelayName,
    verb: Verb,
    claim: &str,
    request: &RawRequest,
) -> Answer<RawResponse> {
    let (class, name) = object_of(relay);
    response(platform::pass_on(env, class, name, comet_path(verb), claim, request)).await.map_err(|_| unreachable())
}

async fn response(promise: Result<Promise, JsValue>) -> Result<RawResponse, JsValue> {
    JsFuture::from(promise?).await.map(JsCast::unchecked_into)
}

async fn read(response: RawResponse) -> Option<Vec<u8>> {
    let body = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&body).to_vec())
}
