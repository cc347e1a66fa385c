//! Connections that came in by a door: what their clients say, and what their doors want done
//! ([`door`](crate::protocol::door)).

use super::session::Session;
use super::{Relay, SocketId};
use crate::model::Format;
use crate::model::name::ChannelName;
use crate::protocol::door::{Heard, Setting, Visitor};

impl Relay {
    /// What a client says at a door: it may be several things, or something that is answered at once.
    pub(super) fn hear_at_door(&mut self, socket: SocketId, bytes: &[u8], came: Format) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Session { door: Some(door), grant, key, attachments, .. } = session else { return };
        let (connection_id, is_attached) = (&*key.connection_id, &|name: &ChannelName| attachments.contains_key(name));
        let setting = Setting { app: &self.app, grant, connection_id, now_ms: self.now_ms, is_attached };
        let before = door.clone();
        let heard = door.hear(bytes, came, setting);
        if *door != before {
            self.touch(socket);
        }
        match heard {
            Ok(heard) => heard.into_iter().for_each(|heard| self.do_heard(socket, heard)),
            Err(error) => self.fail(socket, &error),
        }
        self.note_orders(socket);
        self.read_on(socket);
    }

    fn do_heard(&mut self, socket: SocketId, heard: Heard) {
        match heard {
            _ if !self.holds(socket) => {}
            Heard::Do(frame) => self.dispatch(socket, frame),
            Heard::Say(frame) => self.send_encoded(socket, frame),
        }
    }

    /// To be called when a session was told something.
    pub(super) fn note_orders(&mut self, socket: SocketId) {
        if self.sessions.get(&socket).is_some_and(|session| session.door.is_some()) && !self.ordered.contains(&socket) {
            self.ordered.push(socket);
        }
    }

    /// Does what doors want done because of what their connections were told, until none wants anything more.
    pub(super) fn do_ordered(&mut self) {
        while let Some(socket) = self.ordered.pop() {
            let Some(session) = self.sessions.get_mut(&socket) else { continue };
            let orders = session.door.as_mut().map(|door| door.orders()).unwrap_or_default();
            // What was told and is to be acknowledged may make it busy, or the last acknowledgement idle.
            if session.is_busy() != session.recorded_busy {
                self.touch(socket);
            }
            #[cfg(feature = "mqtt")]
            self.count_waiting(socket);
            orders.into_iter().for_each(|order| self.do_heard(socket, Heard::Do(order)));
        }
    }
}
