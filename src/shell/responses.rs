//! The responses of connections over HTTP, that are written bit by bit.
//!
//! A write is done when the reader has taken it. That is the only sign that somebody reads: who leaves is never
//! reported, neither by the signal of its request nor by a stream that is cancelled, in the router or here.

use js_sys::Uint8Array;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Response, ResponseBuilder, Result};

use super::host::{ObjectRef, later};
use super::platform::{Pipe, PipeWriter};
use super::router::headers_of;
use crate::base::maps::HashMap;
use crate::http::Reply;
use crate::object::Input;
use crate::transport::ResponseId;

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

    /// Whoever waits for a write of it learns that it failed.
    pub fn cut(&mut self, id: ResponseId) {
        if let Some(writer) = self.writers.remove(&id.number) {
            let cut = writer.abort("nobody reads");
            // A promise that fails is not to be reported as an error that nobody handled.
            spawn_local(async move { drop(JsFuture::from(cut).await) });
        }
    }
}

pub fn write(object: &ObjectRef, response: ResponseId, body: String, last: bool) {
    let Some(writer) = object.borrow().responses.writers.get(&response.number).cloned() else { return };
    let state = object.clone();
    later(object, async move {
        let went_well = write_all(&writer, &body, last).await;
        if last || !went_well {
            state.borrow_mut().responses.writers.remove(&response.number);
        }
        Input::Written { response, went_well }
    });
}

async fn write_all(writer: &PipeWriter, body: &str, last: bool) -> bool {
    if !body.is_empty() && JsFuture::from(writer.write(&Uint8Array::from(body.as_bytes()))).await.is_err() {
        return false;
    }
    !last || JsFuture::from(writer.close()).await.is_ok()
}
