//! One connection: who it is, how it is spoken to, what it is attached to and what it is owed.
//!
//! What a rebuilt object must know of it is a [`Record`] that the runtime keeps with the socket: memory that lives exactly
//! as long as the socket does, so that nothing needs to be stored.

use serde::{Deserialize, Serialize};

use super::attachment::{AttachParams, Attachment, State};
use super::outbox::Outbox;
use crate::auth::Grant;
use crate::connection_key::{ConnectionKey, Generations};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CONNECTION_STATE_TTL_MS, FRAME_MAX_BYTES, GRACE_MAX_MS, GRACE_MIN_MS, GRACE_MS, HEARTBEAT_INTERVAL_MAX_MS,
    HEARTBEAT_INTERVAL_MIN_MS, HEARTBEAT_INTERVAL_MS, MESSAGE_MAX_BYTES, TOKEN_RENEWAL_MARGIN_MS,
};
use crate::maps::SortedMap;
use crate::name::{AppId, ChannelName};
use crate::pinned;
use crate::placement::Shard;
use crate::rate::Debt;
use crate::serial::Position;
use crate::wire::flags::Modes;
use crate::wire::inbound::Params;
use crate::wire::outbound::{ConnectionDetails, Outbound};
use crate::wire::{Encoded, Format, action};

/// How a connection begins: what the router made of its URL and credentials. Travels to the object that takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opening {
    pub grant: Grant,
    pub format: Format,
    pub echo: bool,
    pub heartbeat_interval_ms: u64,
    /// How long its members outlive its transport (`remainPresentFor`).
    pub grace_ms: u64,
    /// The key of the connection to go on with (`resume` or `recover`).
    pub resume: Option<String>,
    /// Whether the client is spoken to over TLS.
    pub is_secure: bool,
    /// Whether the platform keeps the session's record when the object loses its memory. Without one the client comes back
    /// by itself, and resumes.
    pub is_kept: bool,
    /// What it is attached to without asking.
    pub attach: Vec<Attach>,
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
        // Reversed, so that the first of a name stays.
        for (name, value) in query.iter().rev() {
            if ["delta", "modes", "occupancy", "rewind", "rewindLimit"].contains(&name.as_str()) {
                params.insert(name.clone(), value.clone());
            }
        }
        Attach { channel: channel.to_owned(), serial, has: None, params }
    }
}

impl Opening {
    /// From the parameters of the URL (protocol.md § 2), which [`parameters::check`](crate::parameters::check) has let in.
    pub fn from_query(grant: Grant, query: &[(String, String)], is_secure: bool) -> Opening {
        let value = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let interval = value("heartbeatInterval").and_then(|text| text.parse().ok()).unwrap_or(HEARTBEAT_INTERVAL_MS);
        let grace = value("remainPresentFor").and_then(|text| text.parse().ok()).unwrap_or(GRACE_MS);
        let attach = (value("attach") == Some("auto")).then(|| {
            Attach::from_query(value("channel").unwrap_or_default(), value("channelSerial").map(str::to_owned), query)
        });
        Opening {
            grant,
            format: if value("format") == Some("msgpack") { Format::Msgpack } else { Format::Json },
            echo: value("echo") != Some("false"),
            heartbeat_interval_ms: interval.clamp(HEARTBEAT_INTERVAL_MIN_MS, HEARTBEAT_INTERVAL_MAX_MS),
            grace_ms: grace.clamp(GRACE_MIN_MS, GRACE_MAX_MS),
            resume: value("resume").or(value("recover")).filter(|key| !key.is_empty()).map(|key| match value("v") {
                // Version 1 relies on attachments that outlive their transport, and names no serials: what no key is
                // begins a new connection, and says so.
                Some(version) if version.split('.').next() == Some("1") => String::new(),
                _ => key.to_owned(),
            }),
            is_secure,
            is_kept: true,
            attach: attach.into_iter().collect(),
        }
    }
}

#[derive(Debug)]
pub struct Session {
    pub key: ConnectionKey,
    pub grant: Grant,
    pub format: Format,
    pub echo: bool,
    pub heartbeat_interval_ms: u64,
    pub grace_ms: u64,
    pub attachments: SortedMap<ChannelName, Attachment>,
    pub outbox: Outbox,
    /// The generation of the key that it resumed with, until the client is heard: then it has the new one.
    pub resumed: Option<u32>,
    pub last_sent_ms: u64,
    /// What it was sent and may not have read, for all that is known.
    pub debt: Debt,
    /// Bytes of deliveries since its client was heard, and bytes of answers.
    pub unheard: u32,
    pub answered: u32,
    /// The client was asked to renew its token, or was connected too late for that.
    pub prompted: bool,
    /// When a revocation ends it, if one does.
    pub void_at_ms: Option<u64>,
    pub is_secure: bool,
    pub is_kept: bool,
    /// The record that the socket carries is out of date.
    pub dirty: bool,
}

impl Session {
    pub fn new(opening: Opening, key: ConnectionKey, resumed: Option<u32>, now_ms: u64) -> Session {
        let expires_at_ms = opening.grant.expires_at_ms;
        Session {
            key,
            format: opening.format,
            echo: opening.echo,
            heartbeat_interval_ms: opening.heartbeat_interval_ms,
            grace_ms: opening.grace_ms,
            attachments: SortedMap::default(),
            outbox: Outbox::default(),
            resumed,
            last_sent_ms: now_ms,
            debt: Debt::default(),
            unheard: 0,
            answered: 0,
            prompted: expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms < now_ms + TOKEN_RENEWAL_MARGIN_MS),
            void_at_ms: None,
            is_secure: opening.is_secure,
            is_kept: opening.is_kept,
            dirty: false,
            grant: opening.grant,
        }
    }

    pub fn connection_id(&self) -> &str {
        &self.key.connection_id
    }

    pub fn generations(&self) -> Generations {
        Generations { current: self.key.generation, resumed: self.resumed }
    }

    pub fn connected(&self, connection_key: &str, error: Option<&ErrorInfo>) -> Encoded {
        let details = ConnectionDetails {
            client_id: self.grant.connection_client_id(),
            connection_key,
            connection_state_ttl: CONNECTION_STATE_TTL_MS,
            max_idle_interval: self.heartbeat_interval_ms,
            max_message_size: MESSAGE_MAX_BYTES,
            max_frame_size: FRAME_MAX_BYTES,
            max_inbound_rate: 250,
            max_outbound_rate: 250,
            server_id: "courtside",
            site_code: "main",
            objects_gc_grace_period: 24 * 60 * 60 * 1_000,
        };
        let connection_id = Some(self.connection_id());
        let frame = Outbound {
            action: action::CONNECTED,
            connection_id,
            connection_details: Some(details),
            error,
            ..Outbound::default()
        };
        frame.encode(self.format)
    }

    /// Whether something was begun that a rebuilt object would know nothing of.
    fn is_busy(&self) -> bool {
        !self.outbox.is_empty() || self.attachments.values().any(Attachment::is_busy)
    }

    /// When something is due for it: a heartbeat, a renewal of its token, its end.
    pub fn due_ms(&self) -> u64 {
        let heartbeat = self.last_sent_ms + self.heartbeat_interval_ms * 4 / 5;
        let margin_ms = if self.prompted { 0 } else { TOKEN_RENEWAL_MARGIN_MS };
        self.end().map_or(heartbeat, |(ends_at_ms, _)| heartbeat.min(ends_at_ms.saturating_sub(margin_ms)))
    }

    /// When its token ends and why: it expires, or is revoked before.
    pub fn end(&self) -> Option<(u64, Code)> {
        let revoked = self.void_at_ms.map(|at_ms| (at_ms, Code::TokenRevoked));
        let expired = self.grant.expires_at_ms.map(|at_ms| (at_ms, Code::TokenExpired));
        revoked.into_iter().chain(expired).min_by_key(|(at_ms, _)| *at_ms)
    }

    /// Whether to send a heartbeat when others get theirs: half the interval has passed in silence.
    pub fn wants_heartbeat(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_sent_ms) >= self.heartbeat_interval_ms / 2
    }

    pub fn record(&self, place: impl Fn(&ChannelName, &Attachment) -> Place) -> Record {
        let attachment = |(name, attachment): (&ChannelName, &Attachment)| {
            let place = place(name, attachment);
            AttachmentRecord {
                name: name.clone(),
                requested: attachment.requested,
                params: attachment.params.clone(),
                present: attachment.present,
                witness: place.witness,
                ahead: place.ahead,
            }
        };
        Record {
            connection_id: self.key.connection_id.clone(),
            shard: self.key.shard,
            generation: self.key.generation,
            grant: self.grant.clone(),
            format: self.format,
            echo: self.echo,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            grace_ms: self.grace_ms,
            prompted: self.prompted,
            busy: self.is_busy(),
            attachments: self.attachments.iter().map(attachment).collect(),
            resumed: self.resumed,
            is_secure: self.is_secure,
        }
    }
}

/// A session as its socket carries it. Pinned, see [`crate::pinned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    connection_id: String,
    shard: u16,
    generation: u32,
    grant: Grant,
    format: Format,
    echo: bool,
    heartbeat_interval_ms: u64,
    grace_ms: u64,
    prompted: bool,
    /// It waited for something when this was written. If the object is then lost, only the client knows what is open.
    pub busy: bool,
    pub attachments: Vec<AttachmentRecord>,
    resumed: Option<u32>,
    is_secure: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachmentRecord {
    pub name: ChannelName,
    requested: Modes,
    params: AttachParams,
    present: bool,
    /// One attachment of each channel remembers for the relay how far its deliveries are.
    pub witness: Option<Witness>,
    /// It has everything up to here, though the relay's deliveries are not so far; else absent, which is zero.
    ahead: Position,
}

/// What an attachment's record holds of the relay's place in the channel, and of its own.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub witness: Option<Witness>,
    pub ahead: Position,
}

impl Place {
    /// What any attachment's record may come to hold.
    pub fn longest() -> Place {
        let witness = Witness { series: "x".repeat(16), position: Position(u64::MAX), members: usize::MAX };
        Place { witness: Some(witness), ahead: Position(u64::MAX) }
    }
}

/// Where a relay stands on a channel, as one of its sockets remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    pub series: String,
    pub position: Position,
    /// How many were present then.
    pub members: usize,
}

impl Record {
    pub fn app(&self) -> &AppId {
        self.grant.app()
    }

    pub fn shard(&self) -> Shard {
        Shard(self.shard)
    }

    pub fn encode(&self) -> Vec<u8> {
        pinned::encode(self)
    }

    pub fn decode(bytes: &[u8]) -> Option<Record> {
        pinned::decode(bytes)
    }

    /// The session again. Nothing was sent since, as far as it knows, so a heartbeat is due.
    pub fn into_session(self) -> Session {
        let live = |record: AttachmentRecord| {
            let state = State::Live { after: record.ahead };
            let attachment = Attachment::new(record.requested, record.params, state);
            (record.name, Attachment { present: record.present, ..attachment })
        };
        Session {
            key: ConnectionKey { connection_id: self.connection_id, shard: self.shard, generation: self.generation },
            grant: self.grant,
            format: self.format,
            echo: self.echo,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            grace_ms: self.grace_ms,
            attachments: self.attachments.into_iter().map(live).collect(),
            outbox: Outbox::default(),
            resumed: self.resumed,
            last_sent_ms: 0,
            debt: Debt::default(),
            unheard: 0,
            answered: 0,
            prompted: self.prompted,
            void_at_ms: None,
            is_secure: self.is_secure,
            is_kept: true,
            dirty: false,
        }
    }
}
