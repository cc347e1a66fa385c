//! One connection: who it is, how it is spoken to, what it is attached to and what it is owed.
//!
//! What a rebuilt object must know of it is a [`Record`](super::record::Record) that the runtime keeps with the socket:
//! memory that lives exactly as long as the socket does, so that hardly anything needs to be stored.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::attachment::Attachment;
use super::bounds::Bounds;
use super::outbox::{Digest, Outbox};
use crate::auth::Grant;
use crate::base::maps::SortedMap;
use crate::base::rate::Debt;
use crate::error::{Code, ErrorInfo};
use crate::filter;
use crate::intake::parameters;
use crate::limits::{
    FRAME_MAX_BYTES, GRACE_MAX_MS, GRACE_MIN_MS, GRACE_MS, HEARTBEAT_INTERVAL_MAX_MS, HEARTBEAT_INTERVAL_MIN_MS,
    HEARTBEAT_INTERVAL_MS, MESSAGE_MAX_BYTES, OBJECTS_GRACE_MS, REVOKED_RENEWAL_INTERVAL_MS, REVOKED_RENEWAL_MARGIN_MS,
    TOKEN_RENEWAL_MARGIN_MS, UNACKNOWLEDGED_MAX,
};
use crate::model::Format;
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::protocol::dialect::{Dialect, Voice};
use crate::protocol::door::{ASKED, Door, Mark};
use crate::protocol::objects::SITE;
use crate::protocol::outbound::{ConnectionDetails, Outbound};
use crate::protocol::{Encoded, action, agent};
use crate::rpc::connection_key::{ConnectionKey, Generations, Holder, TakeoverKind};
use crate::rpc::placement;

/// How a connection begins: what the router made of its URL and credentials. Travels to the object that takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    pub grant: Grant,
    pub format: Format,
    /// Whether objects have the names of version 5 there ([`Dialect::Earlier`]).
    pub earlier_objects: bool,
    /// Whether its client goes on receiving while it attaches to what it is attached to ([`stays_attached`]).
    pub stays_attached: bool,
    pub echo: bool,
    pub heartbeat_interval_ms: u64,
    /// Whether its client answers heartbeats (`heartbeats=bounce`).
    pub bounces: bool,
    /// How long its members outlive its transport (`remainPresentFor`).
    pub grace_ms: u64,
    /// The connection to go on with.
    pub takeover: Option<Takeover>,
    /// Whether the client is spoken to over TLS.
    pub is_secure: bool,
    /// Whether the platform keeps the session's record when the object loses its memory. Without one the client comes
    /// back by itself, and resumes.
    pub is_kept: bool,
    /// What it is attached to without asking.
    pub attach: Vec<Attach>,
    /// What is spoken, where it is not the protocol in that format: how a client came in says so.
    #[serde(skip)]
    pub spoken: Option<Dialect>,
    /// The door that it came in by, where that is not the protocol's own.
    pub door: Option<Door>,
}

/// SDKs that deliver what comes while an ATTACH with other options is under way, as those that stay attached do. Those
/// for Java, .NET, Go and Cocoa drop it until ATTACHED, as others not named here may.
const STAY_ATTACHED: [&str; 3] = ["js", "python", "ruby"];

/// Whether a client that names itself so is one of those.
pub fn stays_attached(agent: &str) -> bool {
    agent::is_for(agent, &STAY_ATTACHED)
}

/// The connection that a client goes on with, by its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    pub kind: TakeoverKind,
    pub key: String,
}

impl Takeover {
    fn from_query(query: &[(String, String)]) -> Option<Takeover> {
        let value = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let of =
            |kind, name| value(name).filter(|key| !key.is_empty()).map(|key| Takeover { kind, key: key.to_owned() });
        let takeover = of(TakeoverKind::Upgrade, "upgrade")
            .or_else(|| of(TakeoverKind::Resume, "resume"))
            .or_else(|| of(TakeoverKind::Recover, "recover"))?;
        match value("v") {
            // Version 1 relies on attachments that outlive their transport, and names no serials. What no key is begins
            // a new connection, and says so; or it is no transport to change to, and the client stays with the one it
            // has.
            Some(version) if version.split('.').next() == Some("1") => {
                Some(Takeover { key: String::new(), ..takeover })
            }
            _ => Some(takeover),
        }
    }
}

/// An ATTACH that the URL says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attach {
    pub channel: String,
    pub serial: Option<String>,
    /// Of what follows that serial, what the reader of a stream has already.
    pub has: Option<String>,
    pub params: Params,
}

impl Attach {
    /// With the parameters of a query that are the channel's.
    pub fn from_query(channel: &str, serial: Option<String>, query: &[(String, String)]) -> Attach {
        let mut params = Params::default();
        // Reversed, so that the first of a name stays. An empty value is none.
        for (name, value) in query.iter().rev().filter(|(_, value)| !value.is_empty()) {
            if ["appendMode", "delta", "modes", "occupancy", "rewind", "rewindLimit"].contains(&name.as_str()) {
                params.insert(name.clone(), value.clone());
            }
        }
        Attach { channel: channel.to_owned(), serial, has: None, params }
    }
}

impl Opening {
    /// From the parameters of the URL (protocol.md § 2), which [`parameters::check`] has let in.
    pub fn from_query(grant: Grant, query: &[(String, String)], is_secure: bool) -> Opening {
        let value = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let interval = value("heartbeatInterval").and_then(|text| text.parse().ok()).unwrap_or(HEARTBEAT_INTERVAL_MS);
        let grace = value("remainPresentFor").and_then(|text| text.parse().ok()).unwrap_or(GRACE_MS);
        let attach = (value("attach") == Some("auto")).then(|| {
            let channel = filter::named(value("channel").unwrap_or_default(), query);
            let serial = value("channelSerial").filter(|serial| !serial.is_empty());
            Attach::from_query(&channel, serial.map(str::to_owned), query)
        });
        let major = value("v").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        Opening {
            grant,
            earlier_objects: major.is_some_and(|major| major <= 5),
            stays_attached: parameters::agent(query).is_some_and(stays_attached),
            format: if value("format") == Some("msgpack") { Format::Msgpack } else { Format::Json },
            echo: value("echo") != Some("false"),
            heartbeat_interval_ms: interval.clamp(HEARTBEAT_INTERVAL_MIN_MS, HEARTBEAT_INTERVAL_MAX_MS),
            bounces: value("heartbeats") == Some("bounce"),
            grace_ms: grace.clamp(GRACE_MIN_MS, GRACE_MAX_MS),
            takeover: Takeover::from_query(query),
            is_secure,
            is_kept: true,
            attach: attach.into_iter().collect(),
            spoken: None,
            door: None,
        }
    }

    /// Whether its client may have a session that its relay keeps.
    pub fn has_session(&self) -> bool {
        matches!(self.door, Some(Door::Mqtt(_)))
    }

    /// The client came in by this door. It resumes nothing by a key.
    pub fn enter_by(&mut self, door: Door) {
        (self.takeover, self.echo, self.bounces, self.attach) = (None, door.echoes(), door.bounces(), Vec::new());
        // Where the door sends none, none is due.
        if !door.beats() {
            self.heartbeat_interval_ms = u32::MAX.into();
        }
        self.grace_ms = door.grace_ms().unwrap_or(self.grace_ms);
        self.door = Some(door);
    }

    pub fn dialect(&self) -> Dialect {
        let of_door = self.door.as_ref().map(|door| door.dialect());
        match of_door.or(self.spoken).unwrap_or(Dialect::Frames(self.format)) {
            Dialect::Frames(format) => Dialect::of_frames(format, self.earlier_objects),
            another => another,
        }
    }

    /// The channel whose own object may hold the connection: the one that it names, or that its key leads to. None that
    /// its credentials give no right on, since to ask an object is to make it.
    pub fn home(&self, named: Option<ChannelName>) -> Option<ChannelName> {
        let channel = named.or_else(|| placement::channel_of(&self.takeover.as_ref()?.key));
        channel.filter(|name| !self.grant.capability.operations(name).is_empty())
    }
}

#[derive(Debug)]
pub struct Session {
    pub key: ConnectionKey,
    pub grant: Grant,
    pub dialect: Dialect,
    /// Shared with its record while that is written, which looks at a part of it.
    pub door: Option<Rc<Door>>,
    pub stays_attached: bool,
    pub echo: bool,
    pub heartbeat_interval_ms: u32,
    pub bounce: Option<Box<Bounce>>,
    pub grace_ms: u32,
    pub attachments: SortedMap<ChannelName, Attachment>,
    pub outbox: Outbox,
    /// The key's own is the current one.
    pub generations: Generations,
    pub last_sent_ms: u64,
    /// What it was sent and may not have read, for all that is known.
    pub debt: Debt,
    /// Messages that it said, as its rate counts them.
    pub said: Debt,
    /// How often it attached lately.
    pub attaches: Debt,
    /// Publishes that it may say again, uncounted: it resumed and was not told of them.
    pub owed: VecDeque<Digest>,
    /// Messages of what it says just now, if that is one of those.
    pub repeats: usize,
    /// Bytes of deliveries since its client was heard, and bytes of answers.
    pub unheard: u32,
    pub answered: u32,
    /// The client was asked to renew its token, or was connected too late for that.
    pub prompted: bool,
    /// When its client last brought another token.
    pub renewed_ms: Option<NonZeroU64>,
    /// When a revocation ends it, if one does.
    pub void_at_ms: Option<u64>,
    /// When its transport came in; an earlier build did not keep it.
    pub since_ms: Option<NonZeroU64>,
    pub is_secure: bool,
    pub is_kept: bool,
    /// It is from before the relay's memory.
    pub is_recalled: bool,
    /// What the record says of [`Session::is_busy`].
    pub was_busy: bool,
    /// What the door's mark was then.
    pub was_marked: Mark,
    /// The record that the socket carries is out of date.
    pub dirty: bool,
}

/// Heartbeats of a client that answers them (specification, RTN23c): it would know what runs where its code doesn't.
/// They come whatever else is sent, so that their answers also show that one reads who only listens.
///
/// Not kept with the socket, which would be a record for each of them: who lost its memory doesn't miss an answer.
#[derive(Clone, Copy, Debug)]
pub struct Bounce {
    pub pinged_ms: u64,
    pub answered: bool,
}

/// What this connection alone is told.
impl Voice for Session {
    fn payloads(&self) -> Format {
        self.dialect.payloads()
    }

    fn say(&mut self, frame: &Outbound<'_>) -> Encoded {
        if let Some(door) = &mut self.door {
            Rc::make_mut(door).note_time(self.last_sent_ms);
        }
        say(self.door.as_mut().map(Rc::make_mut), self.dialect, frame)
    }
}

fn say(door: Option<&mut Door>, dialect: Dialect, frame: &Outbound<'_>) -> Encoded {
    door.map_or_else(|| dialect.encode(frame), |door| door.tell(frame))
}

impl Session {
    pub fn new(opening: Opening, key: ConnectionKey, generations: Generations, now_ms: u64) -> Session {
        let expires_at_ms = opening.grant.expires_at_ms;
        Session {
            key,
            generations,
            dialect: opening.dialect(),
            door: opening.door.map(Rc::new),
            stays_attached: opening.stays_attached,
            echo: opening.echo,
            heartbeat_interval_ms: opening.heartbeat_interval_ms as u32,
            bounce: opening.bounces.then(|| Box::new(Bounce { pinged_ms: now_ms, answered: true })),
            grace_ms: opening.grace_ms as u32,
            attachments: SortedMap::default(),
            outbox: Outbox::default(),
            last_sent_ms: now_ms,
            debt: Debt::default(),
            said: Debt::default(),
            attaches: Debt::default(),
            owed: VecDeque::new(),
            repeats: 0,
            unheard: 0,
            answered: 0,
            prompted: expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms < now_ms + TOKEN_RENEWAL_MARGIN_MS),
            renewed_ms: None,
            void_at_ms: None,
            since_ms: NonZeroU64::new(now_ms),
            is_secure: opening.is_secure,
            is_kept: opening.is_kept,
            is_recalled: false,
            was_busy: false,
            was_marked: Mark::default(),
            dirty: false,
            grant: opening.grant,
        }
    }

    /// Whether its client must say something before it is sent more.
    pub fn is_full(&self) -> bool {
        self.door.as_ref().is_some_and(|door| door.is_full())
    }

    pub fn connection_id(&self) -> &str {
        &self.key.connection_id
    }

    /// Whether it goes on with a connection that had a transport before.
    pub fn is_resumed(&self) -> bool {
        self.key.generation > 0
    }

    pub fn connected(&mut self, connection_key: &str, bounds: &Bounds, error: Option<&ErrorInfo>) -> Encoded {
        let details = ConnectionDetails {
            client_id: self.grant.connection_client_id(),
            connection_key,
            connection_state_ttl: bounds.resume_ms,
            max_idle_interval: self.heartbeat_interval_ms.into(),
            max_message_size: MESSAGE_MAX_BYTES,
            max_frame_size: FRAME_MAX_BYTES,
            max_inbound_rate: bounds.messages.per_second,
            max_outbound_rate: 250,
            server_id: "courtside",
            site_code: SITE,
            objects_gc_grace_period: OBJECTS_GRACE_MS,
        };
        let frame = Outbound {
            action: action::CONNECTED,
            connection_id: Some(&self.key.connection_id),
            // Over HTTP version 1 needs the key for its next request, and looks for it only there.
            connection_key: (!self.is_kept).then_some(connection_key),
            connection_details: Some(details),
            error,
            ..Outbound::default()
        };
        say(self.door.as_mut().map(Rc::make_mut), self.dialect, &frame)
    }

    /// Whom its client has shown to be: the client of its credentials, and whom its door knows it as.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let users = self.door.as_ref().map(|door| door.users());
        self.grant.client_id.name().into_iter().chain(users.into_iter().flatten())
    }

    pub fn name(&self) -> Option<&str> {
        self.names().next()
    }

    /// Whose its key is.
    pub fn key_holder(&self) -> Holder<'_> {
        match self.door.as_ref().is_none_or(|door| door.has_named_key()) {
            true => Holder::Client(self.grant.client_id.as_str()),
            false => Holder::Bearer,
        }
    }

    /// Which connection others know it as in a channel.
    pub fn speaks_as(&self, name: &ChannelName) -> &str {
        let Some(door) = &self.door else { return self.connection_id() };
        let asked = self.attachments.get(name).and_then(|attachment| attachment.params.accepted.get(ASKED));
        door.speaks_as(asked.map(String::as_str)).unwrap_or(self.connection_id())
    }

    /// Whether it is told by itself what this channel's readers are told.
    pub fn hears_alone(&self, channel: &ChannelName) -> bool {
        self.door.as_ref().is_some_and(|door| door.hears_alone(channel.as_str()))
    }

    /// Whether something was begun that a rebuilt object would know nothing of.
    pub fn is_busy(&self) -> bool {
        self.generations.replaces().is_some()
            || !self.outbox.is_empty()
            || self.door.as_ref().is_some_and(|door| door.is_busy())
            || self.attachments.values().any(Attachment::is_busy)
    }

    /// What it was not told of, if its transport is lost now.
    pub fn unanswered(&self) -> VecDeque<Digest> {
        self.outbox.taken_in().chain(self.owed.iter().copied()).take(UNACKNOWLEDGED_MAX).collect()
    }

    pub fn mark(&self) -> Mark {
        self.door.as_ref().map(|door| door.mark()).unwrap_or_default()
    }

    /// Its client has said something. Gives whether that answers a heartbeat.
    pub fn heard(&mut self) -> bool {
        self.unheard = 0;
        self.bounce.as_mut().is_some_and(|bounce| !std::mem::replace(&mut bounce.answered, true))
    }

    /// When it was sent the last of what counts as a heartbeat.
    fn beat_ms(&self) -> u64 {
        self.bounce.as_ref().map_or(self.last_sent_ms, |bounce| bounce.pinged_ms)
    }

    /// When its next heartbeat is due, and the answer to the last.
    fn heartbeat_due_ms(&self) -> u64 {
        self.beat_ms() + u64::from(self.heartbeat_interval_ms) * 4 / 5
    }

    /// Whether it left a heartbeat unanswered.
    pub fn is_silent(&self, now_ms: u64) -> bool {
        self.bounce.as_ref().is_some_and(|bounce| !bounce.answered) && self.heartbeat_due_ms() <= now_ms
    }

    /// When something is due for it: a heartbeat, a renewal of its token, its end.
    pub fn due_ms(&self) -> u64 {
        let end_ms = self.end().map(|(ends_at_ms, _)| ends_at_ms);
        let others = end_ms.into_iter().chain(self.prompt_ms());
        others.fold(self.heartbeat_due_ms(), u64::min)
    }

    /// When its client is to be asked for another token, unless it was.
    pub fn prompt_ms(&self) -> Option<u64> {
        let (ends_at_ms, why) = self.end().filter(|_| !self.prompted)?;
        if why == Code::TokenExpired {
            return Some(ends_at_ms.saturating_sub(TOKEN_RENEWAL_MARGIN_MS));
        }
        let again_ms = self.renewed_ms.map_or(0, |renewed_ms| renewed_ms.get() + REVOKED_RENEWAL_INTERVAL_MS);
        Some(ends_at_ms.saturating_sub(REVOKED_RENEWAL_MARGIN_MS).max(again_ms))
    }

    /// When its token ends and why: it expires, or is revoked before.
    pub fn end(&self) -> Option<(u64, Code)> {
        let revoked = self.void_at_ms.map(|at_ms| (at_ms, Code::TokenRevoked));
        let expired = self.grant.expires_at_ms.map(|at_ms| (at_ms, Code::TokenExpired));
        revoked.into_iter().chain(expired).min_by_key(|(at_ms, _)| *at_ms)
    }

    /// Whether to send a heartbeat when others get theirs: half the interval has passed since the last, or in silence.
    pub fn wants_heartbeat(&self, now_ms: u64) -> bool {
        let is_answered = self.bounce.as_ref().is_none_or(|bounce| bounce.answered);
        is_answered && now_ms.saturating_sub(self.beat_ms()) >= u64::from(self.heartbeat_interval_ms) / 2
    }

    /// The action of its heartbeats.
    pub fn heartbeat(&self) -> u8 {
        if self.bounce.is_some() { action::PING } else { action::HEARTBEAT }
    }

    /// The clock was set back to this time: what it was sent before counts as sent now.
    pub fn set_back(&mut self, now_ms: u64) {
        self.last_sent_ms = now_ms.min(self.last_sent_ms);
        self.renewed_ms = self.renewed_ms.and_then(|renewed_ms| NonZeroU64::new(now_ms.min(renewed_ms.get())));
        if let Some(bounce) = &mut self.bounce {
            bounce.pinged_ms = now_ms.min(bounce.pinged_ms);
        }
    }

    pub fn pinged(&mut self, now_ms: u64) {
        if let Some(bounce) = &mut self.bounce {
            **bounce = Bounce { pinged_ms: now_ms, answered: false };
        }
    }
}
