//! Connections that came in by a door: what their clients say, and what their doors want done
//! ([`door`](crate::protocol::door)).

use std::rc::Rc;

use super::session::Session;
use super::{Relay, SocketId};
use crate::auth::Grant;
use crate::error::Code;
use crate::model::Format;
use crate::model::name::ChannelName;
use crate::protocol::door::{Heard, Setting, Visitor};

impl Relay {
    /// What a client says at a door: it may be several things, or something that is answered at once.
    pub(super) fn hear_at_door(&mut self, socket: SocketId, bytes: &[u8], came: Format) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Session { door: Some(door), grant, key, attachments, .. } = session else { return };
        let (connection_id, is_attached) = (&*key.connection_id, &|name: &ChannelName| attachments.contains_key(name));
        let (app, now_ms, memory) = (&self.app, self.now_ms, &self.door_bytes);
        let setting = Setting { app, grant, connection_id, now_ms, memory, is_attached };
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
            Heard::Do(frame) => self.dispatch(socket, frame),
            Heard::Say(frame) => self.send_encoded(socket, frame),
            Heard::Grant { grant, channel } => self.grant(socket, *grant, &channel),
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

#[cfg(all(test, feature = "pusher"))]
mod tests {
    use std::rc::Rc;

    use crate::auth::{App, Credentials, Signed};
    use crate::model::Format;
    use crate::model::message::{Content, Entry};
    use crate::model::name::ChannelName;
    use crate::model::packed::Packed;
    use crate::model::presence::{PresenceAction, PresenceMessage};
    use crate::model::serial::Position;
    use crate::protocol::door::Door;
    use crate::relay::record::Record;
    use crate::relay::session::Opening;
    use crate::relay::{Effect, Relay, SocketId};
    use crate::rpc::{Delivery, Outcome, Published, RelayName, Request, Response, Submission, Subscribed, Ticket};

    const NOW_MS: u64 = 1_000_000;
    const SOCKET: SocketId = SocketId(1);

    fn call(effects: &[Effect]) -> (Ticket, Request) {
        let called = |effect: &Effect| match effect {
            Effect::Call { ticket, call } => Some((*ticket, call.request.clone())),
            _ => None,
        };
        effects.iter().find_map(called).expect("a call")
    }

    /// Whether its record, written last, says that something was begun.
    fn is_busy(effects: &[Effect]) -> bool {
        let record = |effect: &Effect| match effect {
            Effect::Save { socket: SOCKET, record } => Record::decode(record),
            _ => None,
        };
        effects.iter().rev().find_map(record).expect("a record").busy
    }

    /// A client that joins must come back when the relay loses its memory, and one that has joined must not.
    #[test]
    fn a_record_says_whether_its_client_is_joining() {
        let app: App = serde_json::from_str(
            r#"{"id":"demo","keys":[{"name":"key","secret":"local-only","pusher":true}],"namespaces":[]}"#,
        )
        .unwrap();
        let app = Rc::new(app);
        let grant = Credentials::named("demo.key").unwrap().verify(Some(&app), NOW_MS).unwrap();
        let mut opening = Opening::from_query(grant.clone(), &[], true);
        opening.enter_by(Door::at("/app/demo.key").unwrap());
        let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
        // Another remembers for the relay how far it is: nothing but what it is told changes the record of the first.
        let other = SocketId(2);
        relay.open(other, Opening::from_query(grant, &[], true), "other".to_owned(), NOW_MS);
        let asked = relay.frame(other, br#"{"action":10,"channel":"presence-a"}"#, Format::Json, NOW_MS);
        let (epoch, position) = ("life".to_owned(), Position(0));
        let subscribed = Subscribed { epoch: epoch.clone(), position, members: 0, reports: false, direct: true };
        relay.answered(call(&asked).0, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);

        assert!(!is_busy(&relay.open(SOCKET, opening, "random".to_owned(), NOW_MS)));
        let id = relay.sessions[&SOCKET].connection_id().to_owned();
        let (channel, data) = ("presence-a", r#"{"user_id":"ann"}"#);
        let auth = app.keys()[0].sign_for_pusher(&id, Signed::Channel { channel, channel_data: Some(data) });
        let data = serde_json::json!({ "channel": channel, "auth": auth, "channel_data": data });
        let frame = serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string();
        let effects = relay.frame(SOCKET, frame.as_bytes(), Format::Json, NOW_MS);
        assert!(is_busy(&effects));
        let (ticket, request) = call(&effects);
        let publishes = request.publishes().expect("it enters");
        let Submission::Presence { updates, .. } = &publishes[0].content else { panic!("it enters") };
        let event = PresenceMessage { action: PresenceAction::Enter, ..updates[0].event.clone() };
        let accepted = Outcome::Accepted { position: Position(1), count: 0 };
        let published = Published { epoch: epoch.clone(), outcomes: vec![accepted] };
        assert!(is_busy(&relay.answered(ticket, Some(Ok(Response::Published(published))), NOW_MS)));

        let entry = Entry {
            position: Position(1),
            id: "x".to_owned(),
            connection_id: Some(id),
            content: Content::Presence(vec![event]),
        };
        let delivery = Delivery {
            channel: ChannelName::parse(channel).unwrap(),
            epoch,
            prior: Position(0),
            through: Position(1),
            gap: false,
            entries: Packed::one(&entry),
            members: 1,
        };
        let effects = relay.deliver(&delivery, NOW_MS).1;
        assert!(format!("{effects:?}").contains("subscription_succeeded"), "{effects:?}");
        assert!(!is_busy(&effects));
    }
}
