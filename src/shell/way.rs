//! The ways by which connections come in: what each reads of its query, and how it says that it lets nobody in.

use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::web_sys::Request as RawRequest;
use worker::{Response, Result, WebSocketPair};

use super::platform::{self, Socket, random_bytes};
use super::router::write_reply;
use crate::auth::Credentials;
use crate::error::ErrorInfo;
use crate::intake::parameters::{self, Door};
use crate::model::Format;
use crate::protocol;
use crate::protocol::dialect::{Dialect, Voice};
use crate::transport::comet::{self, Verb};
use crate::transport::{events, refusal};

/// How a request is one of a connection.
pub enum Way {
    WebSocket(Format),
    Door(protocol::door::Door),
    Comet(Verb, String),
    Events { lines: bool },
}

impl Way {
    pub fn door(&self) -> Door {
        match self {
            Way::WebSocket(_) => Door::Socket,
            Way::Door(door) => parameters::at(door),
            Way::Comet(..) => Door::Comet,
            Way::Events { .. } => Door::Stream,
        }
    }

    pub fn credentials(&self, path: &str) -> Option<std::result::Result<Credentials, ErrorInfo>> {
        match self {
            Way::Door(door) => door.credentials(path),
            _ => None,
        }
    }

    /// Whatever is wrong is said in the protocol: a refused upgrade tells a browser nothing (protocol.md § 2).
    pub fn refuse(&self, request: &RawRequest, error: &ErrorInfo) -> Result<Response> {
        match self {
            Way::WebSocket(format) => refuse(request, error, Dialect::Frames(*format)),
            Way::Door(door) => refuse(request, error, door.clone()),
            Way::Comet(..) => write_reply(comet::refused(error)),
            Way::Events { lines } => write_reply(events::refused(error, *lines, u64::from_le_bytes(random_bytes()))),
        }
    }
}

/// Accepts, says what is wrong, and closes. What may pass is told as DISCONNECTED, so that the client tries again.
fn refuse(request: &RawRequest, error: &ErrorInfo, mut voice: impl Voice) -> Result<Response> {
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let frame = voice.say(&refusal(error));
    let socket: Socket = JsValue::from(pair.server.as_ref()).unchecked_into();
    platform::send(&[&socket], &frame);
    platform::end(request, &socket);
    Response::from_websocket(pair.client)
}
