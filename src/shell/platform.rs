//! The platform's interfaces that the `worker` crate does not give as we need them: sockets that take one shared value
//! for many sends, storage whose failures are errors and not exceptions thrown through Rust, and an object's own state.

use js_sys::{Array, Date, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::worker_sys::web_sys::{ReadableStream, Request as RawRequest, Response as RawResponse};
use worker::{Env, Response, console_error};

use super::config;
use crate::base::maps;
use crate::error;
use crate::limits::{REFUSED_SOCKET_MS, REFUSED_SOCKETS_AWAITED_MAX};
use crate::model::name::alphanumeric;
use crate::protocol::Encoded;

#[wasm_bindgen(module = "/src/shell/platform.js")]
extern "C" {
    /// What [`http::Request::read`](crate::http::Request::read) reads.
    pub fn head(request: &RawRequest) -> String;

    #[wasm_bindgen(catch)]
    pub fn connect(
        env: &Env,
        binding: &str,
        name: &str,
        hint: Option<&str>,
        upgrade: &str,
        handover: &str,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = passOn)]
    pub fn pass_on(
        env: &Env,
        binding: &str,
        name: &str,
        path: &str,
        claim: &str,
        request: &RawRequest,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub fn ask(env: &Env, binding: &str, name: &str, about: &str, question: &[u8]) -> Result<Asked, JsValue>;

    /// Fails when the object holds all that the platform allows.
    #[wasm_bindgen(catch)]
    pub fn accept(state: &ObjectState, id: u32, done: &Done) -> Result<Socket, JsValue>;

    /// A pipe that says in the head of its response how many bytes come.
    #[wasm_bindgen(js_name = pipeOf)]
    pub fn pipe_of(bytes: usize) -> Pipe;

    #[wasm_bindgen(catch)]
    pub fn save(socket: &Socket, record: &[u8]) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = endUnclosed)]
    fn end_unclosed(request: &RawRequest, socket: &Socket, after_ms: f64, max: usize) -> Result<(), JsValue>;
}

/// Closes a WebSocket of which no object holds an end, and sees that it ends though its client does not close it.
pub fn end(request: &RawRequest, socket: &Socket) {
    // Without effect where a frame said how to close.
    let _ = socket.close(1000, "");
    // If the runtime cannot, it ends with the client.
    let _ = end_unclosed(request, socket, REFUSED_SOCKET_MS as f64, REFUSED_SOCKETS_AWAITED_MAX);
}

/// Notes at a request that it opened a WebSocket which no object holds: what stands before the worker counts them.
pub fn mark_told(request: &RawRequest) {
    let _ = Reflect::set(request, &"courtsideTold".into(), &JsValue::TRUE);
}

#[wasm_bindgen]
extern "C" {
    /// The server's end of a WebSocket.
    #[derive(Clone)]
    pub type Socket;

    #[wasm_bindgen(method, catch)]
    pub fn send(this: &Socket, data: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn close(this: &Socket, code: u16, reason: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = serializeAttachment)]
    pub fn serialize_attachment(this: &Socket, value: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = deserializeAttachment)]
    pub fn deserialize_attachment(this: &Socket) -> Result<JsValue, JsValue>;

    /// Our own mark on the socket's object, faster than its tags. Gone when the object is made anew.
    #[wasm_bindgen(method, getter, structural, js_name = courtsideId)]
    pub fn marked_id(this: &Socket) -> Option<u32>;

    #[wasm_bindgen(method, setter, structural, js_name = courtsideId)]
    pub fn mark_id(this: &Socket, id: u32);

    /// Another service of the runtime, that requests can go by.
    pub type Service;

    #[wasm_bindgen(method, catch, js_name = fetch)]
    pub fn fetch_by(this: &Service, url: &str, init: &Object) -> Result<Promise, JsValue>;

    /// `DurableObjectState`.
    pub type ObjectState;

    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &ObjectState) -> ObjectStorage;

    #[wasm_bindgen(method, getter)]
    pub fn id(this: &ObjectState) -> ObjectId;

    #[wasm_bindgen(method, js_name = getWebSockets)]
    pub fn web_sockets(this: &ObjectState) -> Array;

    #[wasm_bindgen(method, catch, js_name = getTags)]
    pub fn tags(this: &ObjectState, socket: &Socket) -> Result<Array, JsValue>;

    pub type ObjectId;

    #[wasm_bindgen(method, js_name = toString)]
    pub fn text(this: &ObjectId) -> String;

    /// The name that the object was called by, where the platform knows it.
    #[wasm_bindgen(method, getter)]
    pub fn name(this: &ObjectId) -> Option<String>;

    #[derive(Clone)]
    pub type ObjectStorage;

    #[wasm_bindgen(method, getter)]
    pub fn sql(this: &ObjectStorage) -> Sql;

    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    pub fn alarm(this: &ObjectStorage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub fn set_alarm(this: &ObjectStorage, at: &Date) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    pub fn delete_all(this: &ObjectStorage) -> Result<Promise, JsValue>;

    /// Runs a function whose writes are kept together, or not at all when it throws.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub fn transaction_sync(
        this: &ObjectStorage,
        writes: &Closure<dyn FnMut() -> Result<(), JsValue>>,
    ) -> Result<(), JsValue>;

    /// The promise of an answer.
    pub type Asked;

    #[wasm_bindgen(method)]
    pub fn then(this: &Asked, answered: &JsValue, failed: &JsValue);

    /// Takes the answer to a call from another object, in bytes, or to a request, a response; or nothing.
    pub type Done;

    #[wasm_bindgen(method, catch)]
    fn call(this: &Done, of: &JsValue, answer: &JsValue) -> Result<(), JsValue>;

    /// A response's body that takes as much as is read: a write is done when the reader has it.
    #[wasm_bindgen(js_name = IdentityTransformStream)]
    pub type Pipe;

    #[wasm_bindgen(constructor, js_class = "IdentityTransformStream")]
    pub fn new() -> Pipe;

    #[wasm_bindgen(method, getter)]
    pub fn readable(this: &Pipe) -> ReadableStream;

    #[wasm_bindgen(method, getter)]
    pub fn writable(this: &Pipe) -> PipeEnd;

    pub type PipeEnd;

    #[wasm_bindgen(method, js_name = getWriter)]
    pub fn writer(this: &PipeEnd) -> PipeWriter;

    #[derive(Clone)]
    pub type PipeWriter;

    #[wasm_bindgen(method)]
    pub fn write(this: &PipeWriter, chunk: &Uint8Array) -> Promise;

    #[wasm_bindgen(method)]
    pub fn close(this: &PipeWriter) -> Promise;

    #[wasm_bindgen(method)]
    pub fn abort(this: &PipeWriter, reason: &str) -> Promise;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(call: &JsValue, after_ms: f64);

    #[derive(Clone)]
    pub type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    pub fn exec(this: &Sql, query: &str, bindings: &Array) -> Result<Cursor, JsValue>;

    pub type Cursor;

    /// All rows, as objects by column. Never `one()`, which throws through Rust when there is none.
    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub fn to_array(this: &Cursor) -> Result<Array, JsValue>;
}

/// Answers a call. The promise takes it later, so it gets a copy.
pub fn answer(done: &Done, answer: Option<&[u8]>) {
    // To settle a promise doesn't fail.
    drop(done.call(&JsValue::UNDEFINED, &answer.map_or(JsValue::UNDEFINED, |bytes| Uint8Array::from(bytes).into())));
}

/// Answers a request.
pub fn respond(done: &Done, response: Result<Response, worker::Error>) {
    let response = response.map_or_else(
        |error| {
            console_error!("no response could be made: {error}");
            JsValue::UNDEFINED
        },
        |response| RawResponse::from(response).into(),
    );
    drop(done.call(&JsValue::UNDEFINED, &response));
}

/// A plain object of these entries.
pub fn object<const N: usize>(entries: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (name, value) in entries {
        // Fails for frozen objects only.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object
}

/// Sends a frame, made once, to many: what a send costs is the same for any size and number of readers. A socket that
/// is closing refuses; the runtime reports its end by itself.
pub fn send(sockets: &[&Socket], frame: &Encoded) {
    let value = match frame {
        Encoded::Text(text) => JsValue::from_str(text),
        Encoded::Binary(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Encoded::Several(frames) => return frames.iter().for_each(|frame| send(sockets, frame)),
        Encoded::Close(code) => return sockets.iter().for_each(|socket| drop(socket.close(*code, ""))),
        // No WebSocket has events.
        Encoded::Events(_) => return,
    };
    sockets.iter().for_each(|socket| drop(socket.send(&value)));
}

/// Calls a function after a while, unless the object's memory goes before.
pub fn after(ms: u64, call: impl FnOnce() + 'static) {
    set_timeout(&Closure::once_into_js(call), ms as f64);
}

pub fn now_ms() -> u64 {
    Date::now() as u64
}

/// An id of letters and digits with 71 bits of randomness, safe in URLs, names and serials.
pub fn random_id() -> String {
    alphanumeric(&random_bytes::<12>())
}

pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the runtime has a source of randomness");
    bytes
}

/// Sets what holds for all of this instance. Whatever may be first in an isolate calls it: there is no randomness
/// before an event.
pub fn prepare(env: &Env) {
    maps::seed(|| u64::from_le_bytes(random_bytes()));
    error::explain_at(|| config::errors_url(env));
}

/// What went wrong in JavaScript, for our log and never for a client.
pub fn describe(error: &JsValue) -> String {
    error.as_string().unwrap_or_else(|| format!("{error:?}"))
}

/// The same response, with these headers set.
pub fn with_headers(response: RawResponse, set: &[(&str, &str)]) -> worker::Result<RawResponse> {
    if set.is_empty() {
        return Ok(response);
    }
    let response = Response::from(response);
    let headers = response.headers().clone();
    for (name, value) in set {
        headers.set(name, value)?;
    }
    Ok(response.with_headers(headers).into())
}
