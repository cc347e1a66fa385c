//! Sessions of MQTT clients, which outlive their connections, and wills, which are published when these end badly.
//!
//! A client's connections all come to one relay, by its client id ([`placement`](crate::rpc::placement)); so its
//! session is a row of that relay, whose name says whose it is ([`identity`]). It is written when the session begins,
//! when its subscriptions change, now and then while it goes on, and when its connection is gone. What was published
//! since its client last acknowledged anything is in the channels' logs: the row has places there and no messages. A
//! relay that was killed finds rows whose connections are gone.

mod identity;
mod stored;
mod wills;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::attachment::{Attachment, Start, State};
use super::session::{Attach, Session};
use super::{Effect, Relay, SocketId};
use crate::auth::{Grant, Source};
use crate::base::maps::HashMap;
use crate::base::pinned;
use crate::error::Code;
use crate::limits::{GRACE_MS, MQTT_KEPT_MAX_BYTES, MQTT_SAVE_MS, MQTT_WAITING_MAX_BYTES, MQTT_WATCH_MS};
use crate::model::message::Params;
use crate::model::name::{AppId, ChannelName};
use crate::model::serial::{ChannelSerial, Position};
use crate::protocol::door::Door;
use crate::protocol::mqtt::Mqtt;
use crate::protocol::mqtt::flight::Sent;
use crate::protocol::mqtt::session::{Taken, Testament};
use crate::rpc::ReadFrom;
use crate::rpc::placement::Shard;

/// What a subscription began with, and does not go on with.
const REWIND: &str = "rewind";

/// A session as its relay stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    app: AppId,
    shard: u16,
    /// The connection that it has, or had last.
    connection_id: String,
    parted: Option<Parted>,
    expiry_s: u32,
    taken: Taken,
    subscriptions: Vec<Subscribed>,
    unacknowledged: Vec<Sent>,
    will: Option<Testament>,
    by: Source,
    /// What its client may do, if there is a will, and the row is of no earlier build.
    grant: Option<Grant>,
    /// Its row says by its name no more than which client id it has.
    #[serde(skip)]
    is_earlier: bool,
    /// Its will was said, and its row has it until the channel has answered: a killed relay says it again.
    #[serde(skip)]
    is_said: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Parted {
    at_ms: u64,
    /// The server ended the connection, or lost it: its client may be back in a moment.
    by_server: bool,
}

/// A subscription, and behind which serial it goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Subscribed {
    channel: String,
    params: Params,
    serial: String,
}

impl Kept {
    pub fn decode(bytes: &[u8]) -> Option<Kept> {
        pinned::decode(bytes).ok()
    }

    pub fn app(&self) -> &AppId {
        &self.app
    }

    pub fn shard(&self) -> Shard {
        Shard(self.shard)
    }

    /// Whether its client may be told that it is there: it has said something since the session began. A session gets
    /// its name with that; what is subscribed to was said, too.
    fn is_known(&self) -> bool {
        !self.taken.session.is_empty() || !self.subscriptions.is_empty()
    }

    /// When the session ends, if its client does not come back.
    fn ends_at_ms(&self) -> Option<u64> {
        self.parted.map(|parted| parted.at_ms + u64::from(self.expiry_s) * 1_000)
    }

    /// When its will is published: at its end at the latest, unless the server is to blame.
    fn will_at_ms(&self) -> Option<u64> {
        let (will, parted) = (self.will.as_ref()?, self.parted?);
        let delay_ms = u64::from(will.delay_s.min(self.expiry_s)) * 1_000;
        Some(parted.at_ms + if parted.by_server { delay_ms.max(GRACE_MS) } else { delay_ms })
    }

    /// When something is due for it.
    fn due_ms(&self) -> Option<u64> {
        self.will_at_ms().or(self.ends_at_ms()).filter(|_| !self.is_said)
    }

    fn same_but_for_places(&self, subscriptions: &[Subscribed]) -> bool {
        let asked = |subscribed: &Subscribed| (subscribed.channel.clone(), subscribed.params.clone());
        self.subscriptions.iter().map(asked).eq(subscriptions.iter().map(asked))
    }

    /// Whether all that its client subscribed to stands here, wherever each goes on.
    fn has_all(&self, session: &Session) -> bool {
        let is_same = |(stored, (name, attachment)): (&Subscribed, (&ChannelName, &Attachment))| {
            let accepted = attachment.params.accepted.iter().filter(|(param, _)| *param != REWIND);
            stored.channel == name.as_str() && stored.params.iter().eq(accepted)
        };
        self.subscriptions.len() == session.attachments.len()
            && self.subscriptions.iter().zip(session.attachments.iter()).all(is_same)
    }
}

/// Those of one relay.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By their names, as all that follows.
    kept: BTreeMap<String, Kept>,
    /// Bytes of the rows.
    bytes: usize,
    sizes: HashMap<String, usize>,
    saved_ms: HashMap<String, u64>,
    changed: BTreeSet<String>,
    holders: HashMap<String, SocketId>,
    /// Who was told something since it was looked at.
    pub told: Vec<SocketId>,
    /// Bytes that wait until their clients acknowledge something.
    waiting: HashMap<SocketId, usize>,
    waiting_bytes: usize,
    pub due_ms: Option<u64>,
}

impl Sessions {
    fn put(&mut self, id: &str, kept: Kept, now_ms: u64) {
        self.lower_due(kept.due_ms());
        if kept.will.is_some() {
            self.lower_due(Some(now_ms + MQTT_WATCH_MS));
        }
        self.saved_ms.insert(id.to_owned(), now_ms);
        self.kept.insert(id.to_owned(), kept);
        self.changed.insert(id.to_owned());
    }

    pub fn have_wills(&self) -> bool {
        self.kept.values().any(|kept| kept.will.is_some())
    }

    /// Whether it is time to store how far a session that goes on has come.
    pub fn is_due(&self, id: &str, now_ms: u64) -> bool {
        self.saved_ms.get(id).is_some_and(|saved_ms| now_ms >= saved_ms + MQTT_SAVE_MS)
    }

    fn take(&mut self, id: &str) -> Option<Kept> {
        self.changed.insert(id.to_owned());
        self.saved_ms.remove(id);
        self.kept.remove(id)
    }

    fn lower_due(&mut self, due_ms: Option<u64>) {
        self.due_ms = self.due_ms.into_iter().chain(due_ms).min();
    }

    /// Rows to be written, and those to be removed.
    fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let row = self.kept.get(&id).map(pinned::encode);
            let before = match &row {
                Some(row) => self.sizes.insert(id.clone(), row.len()),
                None => self.sizes.remove(&id),
            };
            self.bytes = self.bytes + row.as_ref().map_or(0, Vec::len) - before.unwrap_or(0);
            if row.is_some() || before.is_some() {
                changes.push((id, row));
            }
        }
        changes
    }

    fn wait(&mut self, socket: SocketId, bytes: usize) {
        let before = match bytes {
            0 => self.waiting.remove(&socket),
            bytes => self.waiting.insert(socket, bytes),
        };
        self.waiting_bytes = self.waiting_bytes + bytes - before.unwrap_or(0);
    }

    /// Whether there is room for another row.
    pub fn has_room(&self) -> bool {
        self.bytes < MQTT_KEPT_MAX_BYTES
    }
}

impl Session {
    pub fn mqtt(&self) -> Option<&Mqtt> {
        match self.door.as_deref()? {
            Door::Mqtt(mqtt) => Some(mqtt),
            _ => None,
        }
    }

    fn mqtt_mut(&mut self) -> Option<&mut Mqtt> {
        match self.door.as_mut().map(Rc::make_mut)? {
            Door::Mqtt(mqtt) => Some(mqtt),
            _ => None,
        }
    }
}

impl Relay {
    /// The client of a connection that begins has no other from now on. Gives what it goes on with.
    pub(super) fn begin_mqtt(&mut self, socket: SocketId, session: &mut Session) -> Vec<Attach> {
        let (connection_id, by) = (session.connection_id().to_owned(), session.grant.source());
        let grant = session.grant.clone();
        let Some(id) = identity::name(session) else { return Vec::new() };
        if let Some(other) = self.mqtt.holders.insert(id.clone(), socket) {
            self.disconnect(other, &Code::Superseded.into());
        }
        let Some(mqtt) = session.mqtt_mut() else { return Vec::new() };
        let earlier = self.mqtt.take(&id).or_else(|| self.mqtt.take_earlier(&mqtt.client_id, |kept| kept.by == by));
        let goes_on = |kept: &Kept| !mqtt.clean_start && kept.ends_at_ms().is_some_and(|at_ms| at_ms > self.now_ms);
        let mut attach = Vec::new();
        match earlier {
            Some(kept) if goes_on(&kept) => {
                mqtt.session_present = kept.is_known();
                attach.extend(kept.subscriptions.into_iter().map(|subscribed| subscribed.attach(mqtt)));
                mqtt.go_on(kept.taken, kept.unacknowledged);
            }
            Some(kept) => _ = self.publish_will(&id, &kept),
            None => {}
        }
        if mqtt.taken.session.is_empty() {
            mqtt.taken.session = connection_id.clone();
        }
        let will = mqtt.will.take();
        if mqtt.is_kept() || will.is_some() {
            let kept = Kept {
                app: self.app.id().clone(),
                shard: self.shard,
                connection_id,
                parted: None,
                expiry_s: mqtt.expiry_s,
                taken: if mqtt.session_present { mqtt.taken.clone() } else { Taken::default() },
                subscriptions: attach.iter().map(Subscribed::of).collect(),
                unacknowledged: mqtt.unacknowledged(),
                grant: will.is_some().then_some(grant),
                will,
                by,
                is_earlier: false,
                is_said: false,
            };
            self.mqtt.put(&id, kept, self.now_ms);
        }
        attach
    }

    /// A connection that outlived the relay's memory.
    pub(super) fn recall_mqtt(&mut self, socket: SocketId, session: &mut Session) {
        let Some(id) = identity::name(session) else { return };
        self.own_earlier(&id, session);
        let Session { attachments, door: Some(door), was_busy, .. } = session else { return };
        let Door::Mqtt(mqtt) = Rc::make_mut(door) else { return };
        mqtt.is_unsure = *was_busy;
        for (name, attachment) in attachments.iter() {
            mqtt.remember(name.as_str(), &attachment.params.accepted);
        }
        self.mqtt.holders.insert(id, socket);
    }

    /// A client that says something knows of its session. One that was never told that it begins, as when CONNACK was
    /// lost, would take it for the one that it had before, and miss in silence what that was subscribed to.
    pub(super) fn hear_mqtt(&mut self, socket: SocketId) {
        let is_kept = |mqtt: &&Mqtt| mqtt.is_kept() && self.mqtt.holders.get(&mqtt.session_id) == Some(&socket);
        let Some(mqtt) = self.sessions.get(&socket).and_then(Session::mqtt).filter(is_kept) else { return };
        let Some(kept) = self.mqtt.kept.get_mut(&mqtt.session_id).filter(|kept| !kept.is_known()) else { return };
        kept.taken = mqtt.taken.clone();
        self.mqtt.changed.insert(mqtt.session_id.clone());
    }

    /// All sockets were restored: whose connection is not among them has lost it.
    pub(super) fn part_lost_mqtt(&mut self) {
        let is_lost = |id: &&String| !self.mqtt.holders.contains_key(*id);
        let lost: Vec<String> = self.mqtt.kept.keys().filter(is_lost).cloned().collect();
        for id in lost {
            if let Some(kept) = self.mqtt.kept.get_mut(&id).filter(|kept| kept.parted.is_none()) {
                kept.parted = Some(Parted { at_ms: self.now_ms, by_server: true });
                // It has taken more than its row says: under another name, nothing new has the id of what it had.
                if kept.is_known() {
                    kept.taken = Taken::named(format!("{}+", kept.connection_id));
                }
                self.mqtt.changed.insert(id);
            }
        }
        self.tick_mqtt();
    }

    /// A connection ends. Comes before its attachments go.
    pub(super) fn part_mqtt(&mut self, socket: SocketId) {
        let Some(mqtt) = self.sessions.get(&socket).and_then(Session::mqtt) else { return };
        let id = mqtt.session_id.clone();
        self.mqtt.wait(socket, 0);
        let (expiry_s, taken, unacknowledged) = (mqtt.expiry_s, mqtt.taken.clone(), mqtt.unacknowledged());
        let (is_leaving, has_gap, by_server) = (mqtt.is_leaving, mqtt.has_gap, mqtt.ended_by_server);
        let is_unsure = mqtt.is_unsure;
        let subscriptions = self.subscriptions_of(socket);
        if self.mqtt.holders.get(&id) == Some(&socket) {
            self.mqtt.holders.remove(&id);
        }
        let Some(mut kept) = self.mqtt.take(&id) else { return };
        kept.parted = Some(Parted { at_ms: self.now_ms, by_server });
        kept.expiry_s = if has_gap { 0 } else { expiry_s };
        if kept.is_known() {
            kept.taken = taken;
        }
        // What was stored before lies behind nothing that was not acknowledged.
        if !is_unsure {
            (kept.unacknowledged, kept.subscriptions) = (unacknowledged, subscriptions);
        }
        kept.will = kept.will.filter(|_| !is_leaving);
        self.settle_mqtt(id, kept);
    }

    /// Does what is due for a session without a connection, and keeps what is left of it.
    fn settle_mqtt(&mut self, id: String, mut kept: Kept) {
        if kept.will_at_ms().is_some_and(|at_ms| at_ms <= self.now_ms) {
            kept.is_said = self.publish_will(&id, &kept);
            kept.will = kept.will.filter(|_| kept.is_said);
        }
        let is_over = kept.ends_at_ms().is_some_and(|at_ms| at_ms <= self.now_ms);
        if !is_over || kept.will.is_some() {
            self.mqtt.put(&id, kept, self.now_ms);
        }
    }

    pub(super) fn tick_mqtt(&mut self) {
        if self.mqtt.due_ms.is_none_or(|due_ms| due_ms > self.now_ms) {
            return;
        }
        let is_due = |(_, kept): &(&String, &Kept)| kept.due_ms().is_some_and(|due_ms| due_ms <= self.now_ms);
        let due: Vec<String> = self.mqtt.kept.iter().filter(is_due).map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(kept) = self.mqtt.take(&id) {
                self.settle_mqtt(id, kept);
            }
        }
        // An alarm finds the connections of a relay that was killed: see `part_lost_mqtt`.
        let is_watched = |kept: &Kept| kept.will.is_some() && (kept.parted.is_none() || kept.is_said);
        let watches = self.mqtt.kept.values().any(is_watched);
        let watch_ms = watches.then_some(self.now_ms + MQTT_WATCH_MS);
        self.mqtt.due_ms = self.mqtt.kept.values().filter_map(Kept::due_ms).chain(watch_ms).min();
    }

    /// Counts what waits for those who were told something. One that would let too much wait comes back later.
    pub(super) fn count_told(&mut self) {
        for socket in std::mem::take(&mut self.mqtt.told) {
            self.count_waiting(socket);
        }
    }

    fn count_waiting(&mut self, socket: SocketId) {
        let Some(mqtt) = self.sessions.get(&socket).and_then(Session::mqtt) else { return };
        let bytes = mqtt.flight.waiting_bytes();
        self.mqtt.wait(socket, bytes);
        if bytes > 0 && self.mqtt.waiting_bytes > MQTT_WAITING_MAX_BYTES {
            let why = "too much waits for clients that acknowledge nothing; reconnect and resume";
            self.disconnect(socket, &Code::RateLimited.because(why));
        }
    }

    /// Sees that the row of a session whose record changed says the same.
    pub(super) fn keep_mqtt(&mut self, socket: SocketId) {
        let is_kept = |mqtt: &&Mqtt| mqtt.is_kept() && !mqtt.is_unsure;
        let Some(session) = self.sessions.get(&socket) else { return };
        let Some(mqtt) = session.mqtt().filter(is_kept) else { return };
        let is_due = self.mqtt.is_due(&mqtt.session_id, self.now_ms);
        let has_all = self.mqtt.kept.get(&mqtt.session_id).is_none_or(|kept| kept.has_all(session));
        if has_all && !is_due {
            return;
        }
        let (id, taken, unacknowledged) = (mqtt.session_id.clone(), mqtt.taken.clone(), mqtt.unacknowledged());
        let subscriptions = self.subscriptions_of(socket);
        let Some(kept) = self.mqtt.kept.get_mut(&id) else { return };
        // One that waits for its channel does not stand there yet.
        if kept.same_but_for_places(&subscriptions) && !is_due {
            return;
        }
        (kept.taken, kept.unacknowledged, kept.subscriptions) = (taken, unacknowledged, subscriptions);
        self.mqtt.saved_ms.insert(id.clone(), self.now_ms);
        self.mqtt.changed.insert(id);
    }

    /// What its client subscribed to and was told of, and where each goes on: where it is not known how far its feed
    /// is, as when the relay has lost its memory, or the channel could not be reached, that is where it went on before.
    fn subscriptions_of(&self, socket: SocketId) -> Vec<Subscribed> {
        let Some(session) = self.sessions.get(&socket) else { return Vec::new() };
        let Some(mqtt) = session.mqtt() else { return Vec::new() };
        let earlier = self.mqtt.kept.get(&mqtt.session_id);
        let stored = |name: &ChannelName| {
            let subscribed = earlier?.subscriptions.iter().find(|subscribed| subscribed.channel == name.as_str())?;
            Some(subscribed.serial.clone())
        };
        let subscribed = |(name, attachment): (&ChannelName, &Attachment)| {
            let first = mqtt.flight.first_of(name.as_str()).map(|first| Position(first.0 - 1));
            let behind = |(position, epoch): (Position, String)| {
                first.map_or(position, |first| first.min(position)).serial(&epoch)
            };
            let serial = self.place_of(name, attachment).map(behind).or_else(|| stored(name))?;
            let mut params = attachment.params.accepted.clone();
            params.remove(REWIND);
            Some(Subscribed { channel: name.as_str().to_owned(), params, serial })
        };
        let is_given_up = |subscribed: &&Subscribed| mqtt.given_up.iter().any(|name| **name == *subscribed.channel);
        let given_up = earlier.into_iter().flat_map(|kept| kept.subscriptions.iter().filter(is_given_up)).cloned();
        session.attachments.iter().filter_map(subscribed).chain(given_up).collect()
    }

    /// A client that subscribes again to what it is subscribed to loses nothing by that: it goes on from where it is,
    /// once it was given what it asks for anew.
    pub(super) fn keep_place(&self, socket: SocketId, name: &ChannelName, again: &mut Attachment) {
        let Some(session) = self.sessions.get(&socket).filter(|session| session.mqtt().is_some()) else { return };
        let before = session.attachments.get(name);
        let Some((position, epoch)) = before.and_then(|before| self.place_of(name, before)) else { return };
        match &mut again.state {
            State::Waiting(start @ Start::Now) => *start = Start::After(ChannelSerial { position, epoch }),
            State::Waiting(Start::Rewind(_)) => again.goes_on = Some(Box::new(ReadFrom::After { position, epoch })),
            _ => {}
        }
    }

    /// Whether a will is to be published should its client's connection end, or something is due for who is away.
    pub fn owes_wills(&self) -> bool {
        self.mqtt.due_ms.is_some()
    }

    /// These rows could not be written, and are with what changes next: a session whose row lacks a subscription would
    /// go on without it, should the relay be killed.
    pub fn not_kept(&mut self, rows: &[(String, Option<Vec<u8>>)]) {
        for (id, row) in rows {
            if row.is_none() {
                self.mqtt.sizes.insert(id.clone(), 0);
            }
            self.mqtt.changed.insert(id.clone());
        }
    }

    pub(super) fn take_kept_changes(&mut self) -> Option<Effect> {
        let changes = self.mqtt.take_changes();
        (!changes.is_empty()).then_some(Effect::Kept(changes))
    }
}

impl Subscribed {
    fn attach(self, mqtt: &mut Mqtt) -> Attach {
        mqtt.remember(&self.channel, &self.params);
        Attach { channel: self.channel, serial: Some(self.serial), has: None, params: self.params }
    }

    fn of(attach: &Attach) -> Subscribed {
        let serial = attach.serial.clone().unwrap_or_default();
        Subscribed { channel: attach.channel.clone(), params: attach.params.clone(), serial }
    }
}
