//! What a connection alone is told.

use std::rc::Rc;

use serde_json::{Value, json};

use super::packet::{self, Kind};
use super::recovery::Waiting;
use super::{SocketIo, arguments, engine, events};
use crate::error::ErrorInfo;
use crate::limits::{ENGINE_PAYLOAD_MAX_BYTES, ENGINE_PING_MS, ENGINE_PONG_MS};
use crate::model::flags::RESUMED;
use crate::protocol::inbound::Inbound;
use crate::protocol::outbound::Outbound;
use crate::protocol::{Encoded, action, to_json};

/// A publish whose outcome its client waits for, if it has an id.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaited {
    pub msg_serial: u64,
    pub namespace: Rc<str>,
    pub id: Option<u64>,
}

/// That a client is not let into a namespace.
pub fn connect_error(namespace: &str, error: &ErrorInfo) -> Encoded {
    let data = json!({"code": error.code, "statusCode": error.status_code, "href": error.href});
    let said = json!({"message": error.message, "data": data});
    Encoded::Text(packet::write(Kind::ConnectError, 0, namespace, "", &said.to_string()))
}

/// That something went wrong in a namespace, for who asked for no acknowledgement.
fn error_event(namespace: &str, error: &ErrorInfo) -> Encoded {
    arguments::own(namespace, "error", to_json(error), None)
}

impl SocketIo {
    pub(super) fn tells(&mut self, frame: &Outbound<'_>) -> Encoded {
        let channel = frame.channel.unwrap_or_default();
        match frame.action {
            action::CONNECTED if self.is_open => self.granted(),
            action::CONNECTED => self.opened(frame),
            action::ATTACHED => self.attached(channel, frame),
            action::DETACHED => frame.error.map_or(Encoded::NOTHING, |error| self.detached(channel, error)),
            action::ERROR if !channel.is_empty() => {
                frame.error.map_or(Encoded::NOTHING, |error| self.ended(channel, error))
            }
            action::ERROR => self.failed(frame),
            action::ACK | action::NACK => self.acknowledged(frame),
            action::MESSAGE => {
                let known = self.open.within.iter().position(|(known, _)| known == channel);
                let has = known.map(|index| self.open.within.remove(index).1);
                events::events(frame, has.as_deref())
            }
            _ => super::encode(frame),
        }
    }

    /// The handshake.
    fn opened(&mut self, frame: &Outbound<'_>) -> Encoded {
        self.is_open = true;
        let key = frame.connection_details.as_ref().map_or("", |details| details.connection_key);
        let upgrades: &[&str] = if self.polls { &["websocket"] } else { &[] };
        let said = json!({
            "sid": engine::sid(&self.app, key),
            "upgrades": upgrades,
            "pingInterval": ENGINE_PING_MS,
            "pingTimeout": ENGINE_PONG_MS,
            "maxPayload": ENGINE_PAYLOAD_MAX_BYTES,
        });
        Encoded::Text(format!("0{said}"))
    }

    /// It is known now who the client is.
    fn granted(&mut self) -> Encoded {
        self.is_known = true;
        for waiting in self.open.waiting.iter_mut().filter(|waiting| !waiting.is_asked) {
            waiting.is_asked = true;
            self.open.orders.push(waiting.attach());
        }
        Encoded::NOTHING
    }

    fn take_waiting(&mut self, channel: &str) -> Option<Waiting> {
        let index = self.open.waiting.iter().position(|waiting| waiting.channel == channel)?;
        Some(self.open.waiting.remove(index))
    }

    /// The client is in, or what it is fed has a gap: then it comes back, and learns what it can have.
    fn attached(&mut self, channel: &str, frame: &Outbound<'_>) -> Encoded {
        let is_resumed = frame.flags.unwrap_or(0) & RESUMED != 0;
        let Some(waiting) = self.take_waiting(channel) else {
            return if is_resumed { Encoded::NOTHING } else { self.come_back() };
        };
        self.forget_within(channel);
        let known = self.origin.get_or_insert_with(|| std::mem::take(&mut self.open.connection_id));
        let origin = waiting.origin.as_deref().unwrap_or(known);
        let pid = match waiting.from.filter(|_| is_resumed) {
            Some(from) => {
                self.open.within.extend(from.within().map(|has| (channel.to_owned(), has.to_owned())));
                from.pid
            }
            None => waiting.seal.pid(origin, frame.channel_serial.unwrap_or_default()),
        };
        let said = json!({"sid": origin, "pid": pid}).to_string();
        Encoded::Text(packet::write(Kind::Connect, 0, &waiting.namespace, "", &said))
    }

    /// The channel could not be had, for now or at all.
    fn detached(&mut self, channel: &str, error: &ErrorInfo) -> Encoded {
        self.forget_within(channel);
        match self.take_waiting(channel) {
            Some(waiting) if !error.may_pass() => connect_error(&waiting.namespace, error),
            // A client comes back by itself when its connection is closed, and only then.
            _ => self.come_back(),
        }
    }

    /// Where it goes on in the middle of a publish does not matter any more.
    pub(super) fn forget_within(&mut self, channel: &str) {
        self.open.within.retain(|(known, _)| known != channel);
    }

    fn come_back(&mut self) -> Encoded {
        self.open.orders.push(Inbound::Disconnect);
        Encoded::Text(engine::CLOSE.to_owned())
    }

    /// The client may not be in a namespace, or not any more, or not for now.
    fn ended(&mut self, channel: &str, error: &ErrorInfo) -> Encoded {
        if error.may_pass() {
            return self.detached(channel, error);
        }
        self.forget_within(channel);
        if let Some(waiting) = self.take_waiting(channel) {
            return connect_error(&waiting.namespace, error);
        }
        let namespace = packet::namespace(channel);
        let end = Encoded::Text(packet::write(Kind::Disconnect, 0, &namespace, "", ""));
        Encoded::Several(vec![error_event(&namespace, error), end])
    }

    /// The connection ends; those who wait learn why, unless it may pass: who is told does not come back.
    fn failed(&mut self, frame: &Outbound<'_>) -> Encoded {
        let waiting = std::mem::take(&mut self.open.waiting).into_iter();
        let told = frame
            .error
            .filter(|error| !error.may_pass())
            .map(|error| waiting.map(|waiting| connect_error(&waiting.namespace, error)).collect());
        let mut told: Vec<Encoded> = told.unwrap_or_default();
        told.push(super::encode(frame));
        Encoded::Several(told)
    }

    fn acknowledged(&mut self, frame: &Outbound<'_>) -> Encoded {
        let first = frame.msg_serial.unwrap_or_default();
        let behind = first + frame.count.unwrap_or(1);
        let mut told = Vec::new();
        while let Some(awaited) = self.open.awaited.pop_front_if(|awaited| awaited.msg_serial < behind) {
            let index = awaited.msg_serial.saturating_sub(first) as usize;
            let serial = frame.res.and_then(|results| results.get(index)?.serials.first());
            told.extend(awaited.told(serial, frame.error));
        }
        Encoded::Several(told)
    }
}

impl Awaited {
    /// One argument, as `emitWithAck` gives no more; the same if it went well as if not.
    fn told(&self, serial: Option<&String>, error: Option<&ErrorInfo>) -> Option<Encoded> {
        match (self.id, error) {
            (Some(id), _) => {
                let error = error.map_or(Value::Null, |error| json!(error));
                let said = json!([{"error": error, "serial": serial}]).to_string();
                Some(Encoded::Text(packet::write(Kind::Ack, 0, &self.namespace, &id.to_string(), &said)))
            }
            (None, Some(error)) => Some(error_event(&self.namespace, error)),
            (None, None) => None,
        }
    }
}
