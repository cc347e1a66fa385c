//! The sockets of one object, by the number that the core calls them.
//!
//! The runtime keeps a socket and its record when the object sleeps or loses its memory; its number is its tag. It also
//! keeps one that was closed for as long as the other end does not answer that, though its connection has gone on by
//! another socket, or has ended: such a one is not to come back, so its record says that it was closed.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};

use super::platform::{self, Done, ObjectState, Socket};
use crate::base::maps::HashMap;
use crate::object::Kept;
use crate::protocol::Encoded;
use crate::relay::SocketId;

/// The record of a socket that was closed.
const CLOSED: JsValue = JsValue::FALSE;

#[derive(Default)]
pub struct Sockets {
    sockets: HashMap<SocketId, Socket>,
}

impl Sockets {
    /// Those that the object still has, with their records: empty for one that was never given any.
    pub fn restore(&mut self, state: &ObjectState) -> Vec<Kept> {
        let mut restored = Vec::new();
        for value in state.web_sockets().iter() {
            let socket: Socket = value.unchecked_into();
            let Some(id) = tagged_id(state, &socket) else { continue };
            let Some(record) = record_of(&socket) else { continue };
            restored.push(Kept { socket: id, record });
            socket.mark_id(id.0);
            self.sockets.insert(id, socket);
        }
        restored
    }

    /// Answers a request by a socket, which sleeps with the object. Fails when that holds all that the platform allows.
    pub fn accept(&mut self, state: &ObjectState, id: SocketId, done: &Done) -> Result<(), JsValue> {
        self.sockets.insert(id, platform::accept(state, id.0, done)?);
        Ok(())
    }

    /// Which one an event is about; `None` when the core has closed it, though another may have its number by now.
    pub fn id_of(&self, state: &ObjectState, socket: &Socket) -> Option<SocketId> {
        let id = socket.marked_id().map(SocketId).or_else(|| tagged_id(state, socket))?;
        let is_it = |held: &Socket| AsRef::<JsValue>::as_ref(held) == AsRef::<JsValue>::as_ref(socket);
        self.sockets.get(&id).is_some_and(is_it).then_some(id)
    }

    pub fn send(&self, ids: &[SocketId], frame: &Encoded) {
        let sockets: Vec<&Socket> = ids.iter().filter_map(|id| self.sockets.get(id)).collect();
        platform::send(&sockets, frame);
    }

    pub fn save(&self, id: SocketId, record: &[u8]) {
        if let Some(socket) = self.sockets.get(&id) {
            let _ = platform::save(socket, record);
        }
    }

    pub fn close(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.remove(&id) {
            let _ = socket.serialize_attachment(&CLOSED);
            let _ = socket.close(1000, "");
        }
    }

    pub fn remove(&mut self, id: SocketId) {
        self.sockets.remove(&id);
    }
}

fn tagged_id(state: &ObjectState, socket: &Socket) -> Option<SocketId> {
    let tags = state.tags(socket).ok()?;
    tags.get(0).as_string()?.parse().ok().map(SocketId)
}

/// `None` for one that was closed.
fn record_of(socket: &Socket) -> Option<Vec<u8>> {
    let value = socket.deserialize_attachment().unwrap_or(JsValue::NULL);
    (value != CLOSED).then(|| value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).unwrap_or_default())
}
