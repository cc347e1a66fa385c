//! The classes of channels and relays, as the runtime calls them. Each event goes to the object's [`host`].

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use super::calls::{self, CALL, DELIVER, FOLLOW, IDENTIFY, INSPECT, NOTICE, PROBE};
use super::host::{self, ObjectRef};
use super::platform::{self, Done, ObjectState, Socket, random_id};
use super::registry::Registration;
use super::router::{CONNECTION_KEY, Handover, read_body, refuse_unread, write_reply};
use crate::base::pinned;
use crate::http::uploads::Body;
use crate::model::Format;
use crate::object::{CallerId, Class, Entrance, Input};
use crate::rpc::{self, Answer, ChannelCall, Delivery, Follow, Inspection, Notice, Probe};

/// One channel: its order and log, and the sockets that named it when they connected.
#[durable_object(alarm)]
pub struct Channel {
    registration: Registration<host::Object>,
}

/// A shard of an app's connections.
#[durable_object(alarm)]
pub struct Relay {
    registration: Registration<host::Object>,
}

/// Both classes answer events alike.
macro_rules! object {
    ($name:ident) => {
        impl DurableObject for $name {
            fn new(state: State, env: Env) -> Self {
                platform::prepare(&env);
                let state = JsValue::from(state._inner()).unchecked_into::<ObjectState>();
                Self { registration: host::register(state, env, Class::$name) }
            }

            async fn fetch(&self, request: Request) -> Result<Response> {
                fetch(&self.registration, request).await
            }

            async fn alarm(&self) -> Result<Response> {
                host::alarm(&host::find(&self.registration))?;
                Response::empty()
            }
        }

        /// Not by the `worker` crate's macro: it makes a promise and a task of every frame, though no frame waits for
        /// anything.
        #[wasm_bindgen]
        impl $name {
            /// A call from another object or the router.
            pub fn ask(&self, about: &str, question: &[u8], done: Done) {
                ask(&host::find(&self.registration), about, question, done);
            }

            #[wasm_bindgen(js_name = webSocketMessage)]
            pub fn message(&self, socket: &Socket, message: &JsValue) {
                let object = host::find(&self.registration);
                match message.as_string() {
                    Some(text) => host::message(&object, socket, text.into_bytes(), Format::Json),
                    None => host::message(&object, socket, Uint8Array::new(message).to_vec(), Format::Msgpack),
                }
            }

            #[wasm_bindgen(js_name = webSocketClose)]
            pub fn closed(&self, socket: &Socket, _code: u32, _reason: &JsValue, was_clean: bool) {
                host::closed(&host::find(&self.registration), socket);
                // The runtime leaves the answer to us; without one the client waits. It fails when we closed first. Who
                // broke off hears none, and to try costs the runtime more than all the rest.
                if was_clean {
                    let _ = socket.close(1000, "");
                }
            }

            #[wasm_bindgen(js_name = webSocketError)]
            pub fn failed(&self, socket: &Socket) {
                host::closed(&host::find(&self.registration), socket);
            }
        }
    };
}

object!(Channel);
object!(Relay);

async fn fetch(registration: &Registration<host::Object>, mut request: Request) -> Result<Response> {
    let object = host::find(registration);
    if let Some(key) = request.headers().get(CONNECTION_KEY)? {
        return comet(&object, &mut request, key).await;
    }
    if let Some(Handover { opening, shard, channel, mode }) = Handover::read(request.headers())? {
        let entrance = Box::new(Entrance { opening, shard, channel, mode, fresh_id: random_id() });
        return host::ask(&object, |caller| Input::Connect { caller, entrance }).await;
    }
    let body = request.bytes().await?;
    let path = request.path();
    if let Some(input) = host::told(&object, &path, &String::from_utf8_lossy(&body)) {
        host::turn(&object, input);
        return Response::empty();
    }
    Response::error("", 404)
}

fn ask(object: &ObjectRef, about: &str, question: &[u8], done: Done) {
    match decode(about, question) {
        Ok(called) => host::call(object, done, |caller| called.input(caller)),
        // Who calls a channel reads why; the others learn that there is no answer.
        Err(error) => {
            let told = (about == CALL).then(|| pinned::encode(&Answer::<rpc::Response>::Err(error)));
            platform::answer(&done, told.as_deref());
        }
    }
}

/// A request that belongs to a connection over HTTP.
async fn comet(object: &ObjectRef, request: &mut Request, key: String) -> Result<Response> {
    let verb = calls::comet_verb(&request.path());
    let body = match host::comet_bound(object, verb, &key) {
        Ok(max_bytes) => read_body(request, max_bytes).await?,
        Err(reply) => return refuse_unread(request, reply).await,
    };
    match body.map(Body::split) {
        Ok((body, _held)) => host::ask(object, |caller| Input::Comet { caller, verb, key, body }).await,
        Err(error) => write_reply(verb.refuse(&error)),
    }
}

/// What another object or the router calls for.
enum Called {
    Call(ChannelCall),
    Deliver(Delivery),
    Follow(Follow),
    Probe(Probe),
    Identify(String),
    Notice(Notice),
    Inspect(Inspection),
}

fn decode(about: &str, question: &[u8]) -> Answer<Called> {
    Ok(match about {
        DELIVER => Called::Deliver(rpc::decode(question)?),
        FOLLOW => Called::Follow(rpc::decode(question)?),
        PROBE => Called::Probe(rpc::decode(question)?),
        IDENTIFY => Called::Identify(String::from_utf8_lossy(question).into_owned()),
        INSPECT => Called::Inspect(rpc::decode(question)?),
        NOTICE => Called::Notice(rpc::decode(question)?),
        _ => Called::Call(rpc::decode(question)?),
    })
}

impl Called {
    fn input(self, caller: CallerId) -> Input {
        match self {
            Called::Call(call) => Input::Call { caller, call },
            Called::Deliver(delivery) => Input::Deliver { caller, delivery },
            Called::Follow(follow) => Input::Follow { caller, follow },
            Called::Probe(probe) => Input::Probe { caller, probe },
            Called::Identify(key) => Input::Identify { caller, key },
            Called::Inspect(inspection) => Input::Inspect { caller, inspection },
            Called::Notice(notice) => Input::Notice { caller, notice },
        }
    }
}
