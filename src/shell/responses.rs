//! The responses of connections over HTTP: what their [`Links`](crate::transport::Links) decide is done here.
//!
//! A write is done when the reader has taken it. That is the only sign that somebody reads: who leaves is never reported.

use std::collections::HashMap;

use js_sys::Uint8Array;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Request, Response, ResponseBuilder, Result};

use super::effects;
use super::host::{Host, HostRef};
use super::platform::{Pipe, PipeWriter, now_ms};
use super::router::{browser_behind, headers_of, read_body, write_reply};
use crate::call::{Answer, Refusal};
use crate::error::{Code, ErrorInfo};
use crate::limits::{COMET_BODY_MAX_BYTES, LINKS_MAX};
use crate::relay::SocketId;
use crate::relay::session::Opening;
use crate::rest::{Browser, Reply};
use crate::transport::{Effect, Mode, ResponseId, comet, events};
use crate::wire::Format;

#[derive(Default)]
pub struct Responses {
    writers: HashMap<u32, PipeWriter>,
}

impl Responses {
    /// A response that is written from now on. `head` is all of it but the body.
    pub fn open(&mut self, id: ResponseId, head: &Reply) -> Result<Response> {
        let pipe = Pipe::new();
        self.writers.insert(id.number, pipe.writable().writer());
        Ok(ResponseBuilder::new().with_status(head.status).with_headers(headers_of(head)?).stream(pipe.readable()))
    }
}

/// A request that belongs to a connection.
pub async fn comet(host: &HostRef, request: &mut Request, key: &str) -> Result<Response> {
    let browser = browser_behind(request.headers())?;
    let done = match request.path().as_str() {
        "/recv" => {
            let found = host.borrow_mut().recv(key);
            match found {
                Ok(response) => return open(host, response, &browser),
                Err(error) => Err(error),
            }
        }
        "/send" => {
            let body = read_body(request, COMET_BODY_MAX_BYTES).await?;
            comet::frames(&body).and_then(|frames| host.borrow_mut().take_frames(key, &frames))
        }
        "/close" => host.borrow_mut().take_frames(key, &[comet::CLOSE]),
        _ => host.borrow_mut().take_frames(key, &[comet::DISCONNECT]),
    };
    effects::drive(host);
    write_reply(done.map_or_else(|error| comet::refused(&error), |()| Reply::empty()), &browser)
}

pub fn open(host: &HostRef, response: ResponseId, browser: &Browser) -> Result<Response> {
    let head = host.borrow().links.head(response).readable_by(browser);
    let opened = host.borrow_mut().responses.open(response, &head)?;
    effects::drive(host);
    Ok(opened)
}

/// The connection over HTTP of a client that was admitted. Gives what takes its first frames.
pub fn begin(host: &HostRef, mode: Mode, opening: Opening) -> std::result::Result<ResponseId, Refusal> {
    let host = &mut *host.borrow_mut();
    if host.links.count() >= LINKS_MAX {
        return Err(Refusal::Full);
    }
    let socket = host.sockets.next_id();
    let places = events::places(&opening.attach);
    host.begin(socket, opening);
    let key = host.relay.as_ref().and_then(|relay| relay.key(socket)).unwrap_or_default();
    host.links.open(socket, mode, key, now_ms());
    host.links.follow(socket, places);
    host.read(socket).ok_or_else(|| ErrorInfo::from(Code::Disconnected).into())
}

impl Host {
    /// The response that takes what the connection with this key is told from now on. Fails as [`Host::find`] does, but
    /// for one that has ended and has something left to say.
    fn recv(&mut self, key: &str) -> Answer<ResponseId> {
        let socket = self.find(key).or_else(|error| self.links.ended(key).ok_or(error))?;
        self.read(socket).ok_or_else(|| Code::Disconnected.into())
    }

    /// What the client of the connection with this key says. Fails as [`Host::find`] does.
    fn take_frames(&mut self, key: &str, frames: &[&[u8]]) -> Answer<()> {
        let socket = self.find(key)?;
        for frame in frames {
            if let Some(relay) = &mut self.relay {
                let effects = relay.frame(socket, frame, Format::Json, now_ms());
                self.relay_effects(effects);
            }
        }
        Ok(())
    }

    /// Fails as [`Relay::find`] does, and with 40006 for the key of a WebSocket's connection.
    fn find(&self, key: &str) -> Answer<SocketId> {
        let Some(relay) = &self.relay else { return Err(Code::Disconnected.into()) };
        let socket = relay.find(key)?;
        let is_link = self.links.contains(socket);
        is_link.then_some(socket).ok_or_else(|| Code::BadConnectionKey.because("this connection is not over HTTP"))
    }

    /// A response that takes what the connection is told from now on.
    fn read(&mut self, socket: SocketId) -> Option<ResponseId> {
        let (response, effects) = self.links.read(socket, now_ms());
        self.link_effects(effects);
        response
    }
}

pub fn perform(host: &HostRef, effect: Effect) {
    match effect {
        Effect::Write { response, body, last } => write(host, response, body, last),
        Effect::Cut { response } => {
            if let Some(writer) = host.borrow_mut().responses.writers.remove(&response.number) {
                // Whoever waits for a write of it learns that it failed.
                ignore(writer.abort("nobody reads"));
            }
        }
        Effect::Lost { socket } => host.borrow_mut().lost(socket),
    }
}

fn write(host: &HostRef, response: ResponseId, body: String, last: bool) {
    let Some(writer) = host.borrow().responses.writers.get(&response.number).cloned() else { return };
    let host = host.clone();
    spawn_local(async move {
        let mut went_well = true;
        if !body.is_empty() {
            went_well = JsFuture::from(writer.write(&Uint8Array::from(body.as_bytes()))).await.is_ok();
        }
        if went_well && last {
            went_well = JsFuture::from(writer.close()).await.is_ok();
        }
        if last || !went_well {
            host.borrow_mut().responses.writers.remove(&response.number);
        }
        let effects = host.borrow_mut().links.written(response, went_well, now_ms());
        host.borrow_mut().link_effects(effects);
        effects::drive(&host);
    });
}

/// A promise that fails is not to be reported as an error that nobody handled.
fn ignore(promise: js_sys::Promise) {
    spawn_local(async move { drop(JsFuture::from(promise).await) });
}
