//! The classes of channels and relays, as the runtime calls them. Each event goes to the object's [`host`].

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use worker::{DurableObject, Env, Request, Response, Result, State, WebSocketPair, durable_object};

use super::host::{self, Class};
use super::platform::{ObjectState, Socket};
use super::router::{CONNECTION_KEY, Handover, browser_behind};
use super::{calls, responses, watching};
use crate::call::{self, Answer, ChannelCall, Delivery, Follow, Notice, Roll};
use crate::error::ErrorInfo;
use crate::pinned;
use crate::wire::Format;

/// One channel: its order and log, and the sockets that named it when they connected.
#[durable_object(alarm)]
pub struct Channel {
    id: String,
}

/// A shard of an app's connections.
#[durable_object(alarm)]
pub struct Relay {
    id: String,
}

/// Both classes answer events alike.
macro_rules! object {
    ($name:ident) => {
        impl DurableObject for $name {
            fn new(state: State, env: Env) -> Self {
                let state = JsValue::from(state._inner()).unchecked_into::<ObjectState>();
                Self { id: host::register(state, env, Class::$name) }
            }

            async fn fetch(&self, request: Request) -> Result<Response> {
                fetch(&self.id, request).await
            }

            async fn alarm(&self) -> Result<Response> {
                let rung = host::alarm(&host::find(&self.id));
                rung.map_err(|error| worker::Error::RustError(error.0))?;
                Response::empty()
            }
        }

        /// Not by the `worker` crate's macro: it makes a promise and a task of every frame, though no frame waits for
        /// anything.
        #[wasm_bindgen]
        impl $name {
            #[wasm_bindgen(js_name = webSocketMessage)]
            pub fn message(&self, socket: &Socket, message: &JsValue) {
                let host = host::find(&self.id);
                match message.as_string() {
                    Some(text) => host::message(&host, socket, text.as_bytes(), Format::Json),
                    None => host::message(&host, socket, &Uint8Array::new(message).to_vec(), Format::Msgpack),
                }
            }

            #[wasm_bindgen(js_name = webSocketClose)]
            pub fn closed(&self, socket: &Socket, _code: u32, _reason: &JsValue, was_clean: bool) {
                host::closed(&host::find(&self.id), socket);
                // The runtime leaves the answer to us; without one the client waits. It fails when we closed first. Who broke
                // off hears none, and to try costs the runtime more than all the rest.
                if was_clean {
                    let _ = socket.close(1000, "");
                }
            }

            #[wasm_bindgen(js_name = webSocketError)]
            pub fn failed(&self, socket: &Socket) {
                host::closed(&host::find(&self.id), socket);
            }
        }
    };
}

object!(Channel);
object!(Relay);

async fn fetch(id: &str, mut request: Request) -> Result<Response> {
    let host = host::find(id);
    if let Some(key) = request.headers().get(CONNECTION_KEY)? {
        return responses::comet(&host, &mut request, &key).await;
    }
    if let Some(Handover { opening, shard, channel, mode }) = Handover::read(request.headers())? {
        let opened = match (host::admit(&host, &opening, shard, channel.as_ref()).await, mode) {
            (Ok(()), None) => {
                let pair = WebSocketPair::new()?;
                let socket = JsValue::from(pair.server.as_ref()).unchecked_into();
                host::open(&host, socket, opening).map(|()| Response::from_websocket(pair.client))
            }
            (Ok(()), Some(mode)) => {
                let browser = browser_behind(request.headers())?;
                responses::begin(&host, mode, opening).map(|response| responses::open(&host, response, &browser))
            }
            (Err(refusal), _) => Err(refusal),
        };
        return match opened {
            Ok(response) => response,
            Err(refusal) => Ok(reply(&refusal)?.with_status(calls::REFUSED)),
        };
    }
    let body = request.bytes().await?;
    match request.path().as_str() {
        "/deliver" => match call::decode::<Delivery>(&body) {
            Ok(delivery) => reply(&host::deliver(&host, &delivery).await),
            Err(error) => Response::error(error.message, 400),
        },
        "/follow" => match call::decode::<Follow>(&body) {
            Ok(follow) => reply(&host::follow(&host, follow).await),
            Err(error) => Response::error(error.message, 400),
        },
        "/roll" => match call::decode::<Roll>(&body) {
            Ok(roll) => reply(&host::roll(&host, &roll)),
            Err(error) => Response::error(error.message, 400),
        },
        "/identify" => reply(&host::identify(&host, &String::from_utf8_lossy(&body))),
        "/notice" => match call::decode::<Notice>(&body) {
            Ok(notice) => match watching::notice(&host, notice) {
                Ok(noticed) => reply(&noticed),
                Err(error) => Response::error(error.message, 500),
            },
            Err(error) => Response::error(error.message, 400),
        },
        _ => {
            let answer: Answer<call::Response> = match call::decode::<ChannelCall>(&body) {
                Ok(channel_call) => host::call(&host, channel_call).await,
                Err(error) => Err::<call::Response, ErrorInfo>(error),
            };
            reply(&answer)
        }
    }
}

pub fn reply(value: &impl serde::Serialize) -> Result<Response> {
    Response::from_bytes(pinned::encode(value))
}
