//! Connections that came in by a door: what their clients say, and what their doors want done
//! ([`door`](crate::protocol::door)).

use std::rc::Rc;

use super::session::Session;
use super::{Relay, SocketId};
use crate::auth::Grant;
use crate::error::Code;
use crate::model::Format;
use crate::model::name::ChannelName;
use crate::protocol::door::{Heard, Setting};
use crate::protocol::inbound::Inbound;

impl Relay {
    /// What a client says at a door: it may be several things, or something that is answered at once.
    pub(super) fn hear_at_door(&mut self, socket: SocketId, bytes: &[u8], came: Format) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Session { door: Some(door), grant, key, attachments, .. } = session else { return };
        let (connection_id, is_attached) = (&*key.connection_id, &|name: &ChannelName| attachments.contains_key(name));
        let (app, operators, now_ms, memory) = (&self.app, self.operators.as_ref(), self.now_ms, &self.door_bytes);
        let setting = Setting { app, operators, grant, connection_id, now_ms, memory, is_attached };
        match Rc::make_mut(door).hear(bytes, came, setting) {
            Ok(heard) => heard.into_iter().for_each(|heard| self.do_heard(socket, heard)),
            Err(error) => self.fail(socket, &error),
        }
        self.note_orders(socket);
        self.read_on(socket);
    }

    fn do_heard(&mut self, socket: SocketId, heard: Heard) {
        match heard {
            _ if !self.holds(socket) => {}
            Heard::Do(frame) => self.dispatch(socket, frame, 0),
            Heard::Refuse { msg_serial, error, bytes } => {
                self.dispatch(socket, Inbound::Refused { msg_serial, error }, bytes);
            }
            Heard::Say(frame) => self.send_encoded(socket, frame),
            Heard::User(name) => self.meet(socket, &name),
            Heard::Grant { grant, channel } => self.grant(socket, *grant, &channel),
        }
    }

    /// A client has shown to be this user, who may be banned, from all of the app or from where it is already, or was
    /// sent away a moment ago.
    fn meet(&mut self, socket: SocketId, name: &str) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let admit = |channel| self.bans.admit(Some(name), channel, self.now_ms);
        match admit(None).and_then(|()| self.said.admit(Some(name), self.now_ms)) {
            Err(error) => self.fail(socket, &error),
            Ok(()) if session.attachments.keys().any(|channel| admit(Some(channel)).is_err()) => {
                self.requalify(socket, false);
            }
            Ok(()) => {}
        }
    }

    /// A client has said who it is, at last or anew. What it could do before stays, so that no channel ends because of
    /// another; fails for its channel with 40160, and as [`Relay::admit_renewed`] does.
    fn grant(&mut self, socket: SocketId, grant: Grant, channel: &str) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let is_left_out = |name: &ChannelName| grant.capability.operations(name).is_empty();
        let admitted = match session.attachments.keys().find(|name| is_left_out(name)) {
            None => self.admit_renewed(&grant),
            Some(name) => Err(Code::NotPermitted.because(format!(
                "all channels of a connection need one token: this one allows nothing on '{}'",
                name.as_str()
            ))),
        };
        match admitted {
            Ok(()) => self.go_on(socket, grant),
            Err(error) => self.channel_error(socket, channel, &error),
        }
    }

    /// To be called when a session was told something.
    pub(super) fn note_orders(&mut self, socket: SocketId) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(door) = &mut session.door else { return };
        self.ordered.extend(Rc::make_mut(door).orders().into_iter().map(|order| (socket, order)));
        // A frame may make it busy or idle, though nothing else of its record changes.
        #[cfg_attr(not(feature = "mqtt"), allow(unused_mut, reason = "rows of sessions are MQTT's"))]
        let mut changed = session.is_busy() != session.was_busy || session.mark() != session.was_marked;
        #[cfg(feature = "mqtt")]
        if let Some(mqtt) = session.mqtt() {
            self.mqtt.told.push(socket);
            changed |= mqtt.is_kept() && self.mqtt.is_due(&mqtt.session_id, self.now_ms);
        }
        if changed {
            self.touch(socket);
        }
    }

    /// Does what doors want done because of what their connections were told, until none wants anything more.
    pub(super) fn do_ordered(&mut self) {
        loop {
            while let Some((socket, order)) = self.ordered.pop_front() {
                self.do_heard(socket, Heard::Do(order));
            }
            #[cfg(feature = "mqtt")]
            self.count_told();
            if self.ordered.is_empty() {
                return;
            }
        }
    }
}

#[cfg(all(test, feature = "socketio"))]
mod socketio_tests;
#[cfg(all(test, feature = "pusher"))]
mod tests;
