//! The platform's interfaces that the `worker` crate does not give as we need them: sockets that take one shared value
//! for many sends, storage whose failures are errors and not exceptions thrown through Rust, and an object's own state.

use js_sys::{Array, Date, Number, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::worker_sys::web_sys::{ReadableStream, Response as RawResponse};
use worker::{Env, Response};

use super::config;
use crate::base::maps;
use crate::error;
use crate::model::name::alphanumeric;
use crate::protocol::Encoded;
use crate::rpc::placement::Region;

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

    type Incoming;

    /// Where a request came from, as what stands before the worker says: it is not made anew for the sake of a header.
    #[wasm_bindgen(method, getter, structural, js_name = courtsideAddress)]
    fn said_address(this: &Incoming) -> Option<String>;

    /// `DurableObjectState`.
    pub type ObjectState;

    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &ObjectState) -> ObjectStorage;

    #[wasm_bindgen(method, getter)]
    pub fn id(this: &ObjectState) -> ObjectId;

    #[wasm_bindgen(method, catch, js_name = acceptWebSocket)]
    pub fn accept_web_socket(this: &ObjectState, socket: &Socket, tags: &Array) -> Result<(), JsValue>;

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

    /// A class of objects.
    pub type ObjectNamespace;

    /// `options` may hold a `locationHint`, which counts when the object is made.
    #[wasm_bindgen(method, catch, js_name = getByName)]
    pub fn get_by_name(this: &ObjectNamespace, name: &str, options: &Object) -> Result<Stub, JsValue>;

    /// One object, to be called.
    pub type Stub;

    #[wasm_bindgen(method, catch)]
    pub fn fetch(this: &Stub, url: &str, init: &Object) -> Result<Promise, JsValue>;

    /// The object's method of that name, in src/shell/entry.js.
    #[wasm_bindgen(method, catch)]
    pub fn ask(this: &Stub, about: &str, question: &Uint8Array) -> Result<Asked, JsValue>;

    /// The promise of an answer.
    pub type Asked;

    #[wasm_bindgen(method)]
    pub fn then(this: &Asked, answered: &JsValue, failed: &JsValue);

    /// Takes the answer to a call from another object: bytes, or nothing when there is none.
    pub type Done;

    #[wasm_bindgen(method, catch)]
    fn call(this: &Done, of: &JsValue, answer: Option<Uint8Array>) -> Result<(), JsValue>;

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

/// Where a request came from, as far as the platform knows.
pub fn region(request: &worker::Request) -> Region {
    let about = Reflect::get(request.inner(), &"cf".into()).ok().filter(JsValue::is_object);
    let known = |name: &str| Reflect::get(about.as_ref()?, &name.into()).ok()?.as_string();
    let longitude = known("longitude").map(|text| Number::parse_float(&text));
    Region::of(known("continent").as_deref(), longitude)
}

/// Where a request came from: as what stands before the worker says, or the platform. Empty where nobody knows.
pub fn address(request: &worker::Request) -> Result<String, worker::Error> {
    match request.inner().unchecked_ref::<Incoming>().said_address() {
        Some(address) => Ok(address),
        None => Ok(request.headers().get("cf-connecting-ip")?.unwrap_or_default()),
    }
}

/// Answers a call. The promise takes it later, so it gets a copy.
pub fn answer(done: &Done, answer: Option<&[u8]>) {
    // To settle a promise doesn't fail.
    drop(done.call(&JsValue::UNDEFINED, answer.map(Uint8Array::from)));
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
