//! One connection that speaks MQTT: what its packets ask for, and what it is told.

mod subscribing;

use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::connect::Connect;
use super::flight::{Flight, Queued, Sent};
use super::message::{Manner, Message, Said};
use super::packet::{self, Packet, Publish};
use super::session::{Subscribing, Subscription, Taken, Testament};
use super::{Fault, Version, encode, gate, reason, topic};
use crate::base::maps::SortedMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{MQTT_PACKET_MAX_BYTES, MQTT_SESSION_MAX_S, MQTT_WINDOW};
use crate::model::Format;
use crate::model::flags::{HAS_BACKLOG, Modes, RESUMED};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::protocol::dialect::Dialect;
use crate::protocol::door::{ASKED, Heard, Mark, Setting, Visitor};
use crate::protocol::inbound::{Inbound, PublishFrame};
use crate::protocol::outbound::Outbound;
use crate::protocol::{Encoded, action};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mqtt {
    version: Version,
    pub client_id: String,
    pub clean_start: bool,
    /// How long its session is kept when the connection is gone.
    pub expiry_s: u32,
    receive_maximum: u16,
    maximum_packet: u32,
    wants_reasons: bool,
    /// Until the relay has taken it.
    pub will: Option<Testament>,
    /// What the server says in CONNACK that is not what was asked for.
    assigned: bool,
    told_expiry: bool,
    keep_alive_s: Option<u16>,
    pub taken: Taken,
    /// How many publishes it has said.
    said: u64,
    /// It said goodbye: its will is not published.
    pub is_leaving: bool,
    /// What it missed cannot be had any more: its session ends.
    pub has_gap: bool,
    /// The server sent it away, and it will be back.
    pub ended_by_server: bool,
    /// By which its relay knows its session.
    #[serde(skip)]
    pub session_id: String,
    #[serde(skip)]
    pub session_present: bool,
    /// Where its session goes on is not known any more, but for what was stored before.
    #[serde(skip)]
    pub is_unsure: bool,
    /// Subscriptions that the server could not go on with, and which the session keeps.
    #[serde(skip)]
    pub given_up: Vec<Rc<str>>,
    /// By channel. Stands in the attachments' parameters.
    #[serde(skip)]
    pub subscriptions: SortedMap<Rc<str>, Subscription>,
    #[serde(skip)]
    pub flight: Flight,
    /// Publishes that wait for their outcome, by their number, and the packet ids of those that want to know it.
    #[serde(skip)]
    waiting: VecDeque<(u64, Option<u16>)>,
    /// How many of these want to know it.
    #[serde(skip)]
    unacknowledged: usize,
    #[serde(skip)]
    subscribing: Subscribing,
    #[serde(skip)]
    orders: Vec<Inbound>,
    #[serde(skip)]
    now_ms: u64,
    /// It was told that the connection ends, and is told nothing more.
    #[serde(skip)]
    is_over: bool,
}

impl Mqtt {
    /// `fresh_id` is for one that names no client id.
    pub fn of(connect: Connect, fresh_id: &str) -> Mqtt {
        let keep_alive_s = gate::keep_alive_s(&connect);
        let expiry_s = connect.session_expiry_s.min(MQTT_SESSION_MAX_S);
        let assigned = connect.client_id.is_empty();
        Mqtt {
            version: connect.version,
            client_id: if assigned { fresh_id.to_owned() } else { connect.client_id },
            clean_start: connect.clean_start,
            expiry_s,
            receive_maximum: connect.receive_maximum,
            maximum_packet: connect.maximum_packet.unwrap_or(u32::MAX),
            wants_reasons: connect.wants_reasons,
            will: None,
            assigned,
            told_expiry: expiry_s != connect.session_expiry_s,
            keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            taken: Taken::default(),
            said: 0,
            is_leaving: false,
            has_gap: false,
            ended_by_server: false,
            session_id: String::new(),
            session_present: false,
            is_unsure: false,
            given_up: Vec::new(),
            subscriptions: SortedMap::default(),
            flight: Flight::default(),
            waiting: VecDeque::new(),
            unacknowledged: 0,
            subscribing: Subscribing::default(),
            orders: Vec::new(),
            now_ms: 0,
            is_over: false,
        }
    }

    /// Whether its session outlives its connection.
    pub fn is_kept(&self) -> bool {
        self.expiry_s > 0
    }

    /// What an attachment says that was there before.
    pub fn remember(&mut self, channel: &str, params: &Params) {
        if let Some(subscription) = params.get(ASKED).and_then(|text| Subscription::parse(text)) {
            self.subscriptions.insert(channel.into(), subscription);
        }
    }

    /// It goes on with a session of before, of which this was not acknowledged.
    pub fn go_on(&mut self, taken: Taken, unacknowledged: Vec<Sent>) {
        (self.taken, self.flight) = (taken, Flight::after(unacknowledged));
    }

    /// Messages that its session is to be sent again, if this connection ends.
    pub fn unacknowledged(&self) -> Vec<Sent> {
        let has = |channel: &str| {
            self.subscriptions.contains_key(channel) || self.given_up.iter().any(|name| **name == *channel)
        };
        self.flight.unacknowledged(has)
    }

    fn publish(&mut self, publish: Publish, bytes: usize, setting: Setting<'_>) -> Heard {
        let msg_serial = self.said;
        self.said += 1;
        self.waiting.push_back((msg_serial, publish.packet_id));
        self.unacknowledged += usize::from(publish.packet_id.is_some());
        let id = publish.packet_id.map(|packet_id| self.taken.id(packet_id, publish.digest, publish.is_duplicate));
        let admitted = publish.message.and_then(|message| {
            let channel = topic::channel(&publish.topic)?;
            admit_retain(&channel, publish.retain, setting)?;
            Ok((channel, message))
        });
        match admitted {
            Ok((channel, message)) => Heard::Do(Inbound::Publish(PublishFrame {
                channel,
                msg_serial,
                messages: vec![message.into_message(id)],
                params: Params::default(),
            })),
            Err(error) => Heard::Refuse { msg_serial, error, bytes },
        }
    }

    /// One of version 5 was told how many may.
    fn has_too_many_waiting(&self) -> bool {
        self.version == Version::V5 && self.unacknowledged >= MQTT_WINDOW
    }

    fn acknowledged(&mut self, packet_id: u16) -> Option<Heard> {
        self.flight.acknowledge(packet_id);
        self.released().map(Heard::Say)
    }

    fn released(&mut self) -> Option<Encoded> {
        let packets = self.flight.release(usize::from(self.receive_maximum).min(MQTT_WINDOW));
        (!packets.is_empty()).then_some(Encoded::Binary(packets))
    }

    /// What a client breaks ends its connection; its session and its will are treated as when a network ends it.
    fn broken(&self, fault: Fault) -> Vec<Heard> {
        let said = self.disconnect(fault.reason, &fault.why);
        [Heard::Say(said), Heard::Do(Inbound::Disconnect)].into()
    }

    fn disconnect(&self, reason: u8, why: &str) -> Encoded {
        let why = if self.wants_reasons { why } else { "" };
        encode::disconnect(self.version, reason, why).map_or(Encoded::NOTHING, |packet| self.fitting(packet))
    }

    /// A packet that its client would not take is not sent.
    fn fitting(&self, packet: Vec<u8>) -> Encoded {
        match packet.len() as u64 > u64::from(self.maximum_packet) {
            true => Encoded::NOTHING,
            false => Encoded::Binary(packet),
        }
    }

    fn connack(&mut self) -> Encoded {
        let connack = encode::Connack {
            session_present: self.session_present,
            assigned: self.assigned.then_some(&self.client_id),
            session_expiry_s: self.told_expiry.then_some(self.expiry_s),
            keep_alive_s: self.keep_alive_s,
            receive_maximum: MQTT_WINDOW as u16,
            maximum_packet: MQTT_PACKET_MAX_BYTES as u32,
        };
        self.fitting(connack.packet(self.version))
    }

    /// Outcomes of publishes. One that is refused and cannot be told ends the connection: nothing is dropped in
    /// silence.
    fn outcomes(&mut self, frame: &Outbound<'_>) -> Encoded {
        let first = frame.msg_serial.unwrap_or_default();
        let end = first + frame.count.unwrap_or(1);
        let mut told = Vec::new();
        while let Some((_, packet_id)) = self.waiting.pop_front_if(|(serial, _)| *serial < end) {
            self.unacknowledged -= usize::from(packet_id.is_some());
            match (frame.error, packet_id) {
                (None, Some(id)) => told.extend(encode::puback(self.version, id, reason::SUCCESS, "")),
                (None, None) => {}
                (Some(error), Some(id)) if self.version == Version::V5 => {
                    let why = if self.wants_reasons { &error.message } else { "" };
                    told.extend(encode::puback(self.version, id, reason::of_publish(error), why));
                }
                (Some(error), _) => return self.end(reason::of_publish(error), &error.message, told),
            }
        }
        if told.is_empty() { Encoded::NOTHING } else { Encoded::Binary(told) }
    }

    /// Says why, after what is to be said before, and leaves.
    fn end(&mut self, reason: u8, why: &str, before: Vec<u8>) -> Encoded {
        self.orders.push(Inbound::Disconnect);
        self.is_over = true;
        let before = if before.is_empty() { Encoded::NOTHING } else { Encoded::Binary(before) };
        match (before, self.disconnect(reason, why)) {
            (Encoded::Binary(before), Encoded::Binary(last)) => Encoded::Binary([before, last].concat()),
            (before, last) if last.is_nothing() => before,
            (_, last) => last,
        }
    }

    fn attached(&mut self, frame: &Outbound<'_>) -> Encoded {
        let channel = frame.channel.unwrap_or_default();
        let flags = frame.flags.unwrap_or_default();
        if !Modes::from_flags(flags).contains(Modes::SUBSCRIBE) {
            let error = Code::NotPermitted.because("the capability does not allow to subscribe there");
            self.orders.push(Inbound::Detach { channel: channel.to_owned() });
            return self.refused(channel, Some(&error));
        }
        let subscription = self.subscriptions.get_mut(channel);
        let was_renewed = subscription.is_some_and(|subscription| {
            subscription.expects_retained = flags & HAS_BACKLOG != 0 && flags & RESUMED == 0;
            std::mem::take(&mut subscription.is_renewed)
        });
        let is_settled = self.subscribing.settle(channel, None);
        match frame.error {
            // One that begins has missed nothing; one that its client asked for again has, whatever it asked for.
            Some(error) if was_renewed || !is_settled => {
                self.has_gap = true;
                self.end(reason::of_disconnect(error), &error.message, Vec::new())
            }
            _ if is_settled => self.subscribing.answers(self.version),
            _ => Encoded::NOTHING,
        }
    }

    /// A subscription is refused, or ends though its client did not ask for that.
    fn refused(&mut self, channel: &str, error: Option<&ErrorInfo>) -> Encoded {
        let unasked = Code::Disconnected.into();
        let error = error.unwrap_or(&unasked);
        let is_settled = !self.is_over && self.subscribing.settle(channel, Some(reason::of_subscribe(error)));
        // One that was there before is not lost by that.
        let is_kept = error.may_pass() && self.subscriptions.get(channel).is_some_and(|one| one.is_renewed);
        if is_settled && !is_kept {
            self.forget(channel);
            return self.subscribing.answers(self.version);
        }
        if !self.forget(channel) {
            return Encoded::NOTHING;
        }
        // The session keeps it: the server may well go on with it when its client comes back.
        match error.may_pass() {
            true => self.given_up.push(channel.into()),
            false => self.has_gap = true,
        }
        match self.is_over {
            true => Encoded::NOTHING,
            false => self.end(reason::of_disconnect(error), &error.message, Vec::new()),
        }
    }

    fn messages(&mut self, frame: &Outbound<'_>) -> Encoded {
        let said = Said::of(frame, self.version);
        let channel: Rc<str> = said.channel.as_str().into();
        let Some(subscription) = self.subscriptions.get(&channel).copied() else { return Encoded::NOTHING };
        for message in said.messages() {
            self.message(&channel, message, subscription);
        }
        if let Some(subscription) = self.subscriptions.get_mut(&*channel) {
            subscription.expects_retained = false;
        }
        self.released().unwrap_or(Encoded::NOTHING)
    }

    /// One that is retained and has no payload is none; one that is too large for its client is not for it.
    fn message(&mut self, channel: &Rc<str>, message: Message<'_>, subscription: Subscription) {
        let retained = subscription.expects_retained;
        if message.is_expired(self.now_ms) || (retained && message.is_empty()) {
            return;
        }
        let packet_id = (subscription.qos > 0).then_some(0);
        let manner = Manner { retained, packet_id, subscription_id: subscription.id };
        let (packet, id_at) = message.packet(manner, self.now_ms);
        if packet.len() as u64 > u64::from(self.maximum_packet) {
            return;
        }
        let (channel, position) = (channel.clone(), message.position());
        self.flight.push(Queued { channel, position, packet, id_at: packet_id.map(|_| id_at) });
    }
}

/// Whether a channel keeps its last message for who comes later.
fn keeps_last(channel: &str, setting: Setting<'_>) -> bool {
    ChannelName::parse(channel).is_ok_and(|name| setting.app.rules(&name).persist_last)
}

/// What is published to be retained, and would not be, is refused.
fn admit_retain(channel: &str, retain: bool, setting: Setting<'_>) -> Result<(), ErrorInfo> {
    if !retain || keeps_last(channel, setting) {
        return Ok(());
    }
    Err(Code::BadRequest.because("nothing is retained here: the channel's namespace has no 'persistLast'"))
}

impl Visitor for Mqtt {
    fn dialect(&self) -> Dialect {
        Dialect::Mqtt(self.version)
    }

    fn hear(&mut self, bytes: &[u8], _: Format, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        self.now_ms = setting.now_ms;
        let mut heard = Vec::new();
        for (first, body) in gate::packets(bytes) {
            match packet::read(self.version, first, body) {
                Ok(Packet::Publish(Publish { packet_id: Some(_), .. })) if self.has_too_many_waiting() => {
                    let why = "more publishes wait for their acknowledgement than the receive maximum";
                    heard.extend(self.broken(Fault::new(reason::RECEIVE_MAXIMUM, why)));
                    break;
                }
                Ok(Packet::Publish(publish)) => heard.push(self.publish(publish, body.len(), setting)),
                Ok(Packet::Puback { packet_id }) => heard.extend(self.acknowledged(packet_id)),
                Ok(Packet::Subscribe(subscribe)) => match self.subscribe(subscribe, setting) {
                    Ok(asked) => heard.extend(asked),
                    Err(fault) => {
                        heard.extend(self.broken(fault));
                        break;
                    }
                },
                Ok(Packet::Unsubscribe(unsubscribe)) => heard.extend(self.unsubscribe(unsubscribe)),
                Ok(Packet::Pingreq) => {}
                Ok(Packet::Disconnect(said)) => {
                    if let Err(fault) = self.leave(said) {
                        heard.extend(self.broken(fault));
                        break;
                    }
                    heard.push(Heard::Do(if self.is_leaving { Inbound::Close } else { Inbound::Disconnect }));
                    break;
                }
                Err(fault) => {
                    heard.extend(self.broken(fault));
                    break;
                }
            }
        }
        Ok(heard)
    }

    fn tell(&mut self, frame: &Outbound<'_>) -> Encoded {
        match (frame.action, frame.channel) {
            // More than one may be.
            (action::ERROR | action::DETACHED, Some(channel)) => self.refused(channel, frame.error),
            _ if self.is_over => Encoded::NOTHING,
            (action::CONNECTED, _) => self.connack(),
            (action::ACK | action::NACK, _) => self.outcomes(frame),
            (action::ATTACHED, _) => self.attached(frame),
            (action::MESSAGE, _) => self.messages(frame),
            (action::ERROR | action::DISCONNECTED, None) => {
                let error = frame.error.cloned().unwrap_or_else(|| Code::Disconnected.into());
                self.ended_by_server |= error.is(Code::Disconnected);
                self.disconnect(reason::of_disconnect(&error), &error.message)
            }
            _ => Encoded::NOTHING,
        }
    }

    fn mark(&self) -> Mark {
        let flags = [self.is_leaving, self.has_gap, self.ended_by_server, self.will.is_some()];
        let flags = flags.iter().fold(u64::from(self.expiry_s), |mark, flag| mark << 1 | u64::from(*flag));
        [self.said, flags << 16 | u64::from(self.flight.packet_ids())]
    }

    fn growth(&self) -> usize {
        self.taken.growth()
    }

    fn orders(&mut self) -> Vec<Inbound> {
        std::mem::take(&mut self.orders)
    }

    fn hears_alone(&self, channel: &str) -> bool {
        self.subscriptions.get(channel).is_none_or(|subscription| !subscription.is_plain())
            || self.maximum_packet != u32::MAX
            || self.flight.is_full()
    }

    /// What a kept session was sent and did not acknowledge is sent again when it comes back.
    fn is_busy(&self) -> bool {
        self.flight.is_full() || !self.subscribing.is_empty() || (self.is_kept() && !self.flight.is_empty())
    }

    fn is_full(&self) -> bool {
        self.flight.is_full()
    }

    /// Clients ping, and nobody pings them.
    fn beats(&self) -> bool {
        false
    }

    fn note_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }
}

impl Mqtt {
    /// A session that was to end with its connection cannot be kept after all.
    fn leave(&mut self, said: packet::Disconnect) -> Result<(), Fault> {
        match said.session_expiry_s {
            Some(asked) if asked > 0 && self.expiry_s == 0 => {
                return Err(Fault::protocol("a session that was to end with its connection cannot be kept"));
            }
            Some(asked) => self.expiry_s = asked.min(MQTT_SESSION_MAX_S),
            None => {}
        }
        self.is_leaving = !said.with_will;
        Ok(())
    }
}

/// What all readers of a channel are told that want it plain.
pub fn encode(version: Version, frame: &Outbound<'_>) -> Encoded {
    if frame.action != action::MESSAGE {
        return Encoded::NOTHING;
    }
    match Said::of(frame, version).plain() {
        Some(packets) => Encoded::Binary(packets),
        None => Encoded::NOTHING,
    }
}
