//! The classes of channels and relays, as the runtime calls them. Each event goes to the object's [`host`].

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::worker_sys::web_sys::Request as RawRequest;
use worker::{DurableObject, Env, Error, Request, Response, Result, State, durable_object};

use super::calls::{self, CALL, DELIVER, FOLLOW, IDENTIFY, INSPECT, NOTICE, PROBE};
use super::host::{self, ObjectRef};
use super::platform::{self, Done, ObjectState, Socket, random_id};
use super::registry::Registration;
use super::router::{read_body, refuse_unread, write_reply};
use crate::base::pinned;
use crate::http::uploads::Body;
use crate::http::url;
use crate::model::Format;
use crate::object::{CallerId, Class, Entrance, Input};
use crate::router::{Handover, read_header};
use crate::rpc::{self, Answer, ChannelCall, Delivery, Follow, Inspection, Notice, Probe};
use crate::transport::comet::{Claim, Verb};

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

            /// Requests come by `hear`.
            async fn fetch(&self, _: Request) -> Result<Response> {
                Response::error("", 404)
            }

            async fn alarm(&self) -> Result<Response> {
                host::alarm(&host::find(&self.registration))?;
                Response::empty()
            }
        }

        /// Not by the `worker` crate's macro: it makes a promise and a task of every frame and every request, though
        /// frames and new connections wait for nothing.
        #[wasm_bindgen]
        impl $name {
            /// A request, and what the router says of it: the connection that it begins, or the one that it says it
            /// belongs to.
            pub fn hear(&self, request: RawRequest, handover: Option<String>, claim: Option<String>, done: Done) {
                hear(host::find(&self.registration), request, handover, claim, done);
            }

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
            pub fn closed(&self, socket: &Socket) {
                self.lost(socket);
            }

            #[wasm_bindgen(js_name = webSocketError)]
            pub fn failed(&self, socket: &Socket) {
                self.lost(socket);
            }

            /// The runtime leaves it to us to close our end. Until then a client that said farewell waits for the
            /// answer, and of one that broke off the runtime keeps the descriptors. It fails when we closed first.
            fn lost(&self, socket: &Socket) {
                host::closed(&host::find(&self.registration), socket);
                let _ = socket.close(1000, "");
            }
        }
    };
}

object!(Channel);
object!(Relay);

fn hear(object: ObjectRef, request: RawRequest, handover: Option<String>, claim: Option<String>, done: Done) {
    let Some(handover) = handover else {
        return spawn_local(async move {
            match read(&object, &request, claim).await {
                Ok(Heard::Comet { verb, claim, body }) => {
                    host::ask(&object, done, |caller| Input::Comet { caller, verb, claim, body });
                }
                Ok(Heard::Answered(response)) => platform::respond(&done, Ok(response)),
                Err(error) => platform::respond(&done, Err(error)),
            }
        });
    };
    match read_header(&handover) {
        Ok(Handover { opening, shard, channel, mode }) => {
            let entrance = Box::new(Entrance { opening, shard, channel, mode, fresh_id: random_id() });
            host::ask(&object, done, |caller| Input::Connect { caller, entrance });
        }
        Err(error) => platform::respond(&done, Err(Error::RustError(error.message))),
    }
}

/// A request that begins no connection, whose body has been read.
enum Heard {
    Comet { verb: Verb, claim: Claim, body: Vec<u8> },
    Answered(Response),
}

async fn read(object: &ObjectRef, request: &RawRequest, claim: Option<String>) -> Result<Heard> {
    let address = request.url();
    let Some(claim) = claim else {
        let body = JsFuture::from(request.text()?).await?.as_string().unwrap_or_default();
        let Some(input) = host::told(object, url::path(&address), &body) else {
            return Response::error("", 404).map(Heard::Answered);
        };
        let is_report = matches!(input, Input::Report);
        // One at a time: those on their way before, and then the last.
        host::report_taken(object, is_report).await;
        host::turn(object, input);
        host::report_taken(object, is_report).await;
        return Response::empty().map(Heard::Answered);
    };
    let claim = read_header(&claim).map_err(|error| Error::RustError(error.message))?;
    let verb = calls::comet_verb(url::path(&address));
    let body = match host::comet_bound(object, verb, &claim) {
        // Where it came from only the router knows.
        Ok(bound) => read_body(request, bound, "").await?,
        Err(reply) => return refuse_unread(request, reply).await.map(Heard::Answered),
    };
    match body.map(Body::split) {
        // It is not held for longer: the driver takes it in this turn.
        Ok((body, _held)) => Ok(Heard::Comet { verb, claim, body }),
        Err(error) => write_reply(verb.refuse(&error)).map(Heard::Answered),
    }
}

fn ask(object: &ObjectRef, about: &str, question: &[u8], done: Done) {
    match decode(about, question) {
        Ok(called) => host::ask(object, done, |caller| called.input(caller)),
        // Who calls a channel reads why; the others learn that there is no answer.
        Err(error) => {
            let told = (about == CALL).then(|| pinned::encode(&Answer::<rpc::Response>::Err(error)));
            platform::answer(&done, told.as_deref());
        }
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
