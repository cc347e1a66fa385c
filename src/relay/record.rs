//! A session as its socket carries it for a rebuilt object, and what of it the object stores beside.
//!
//! The platform keeps 16,384 bytes with a socket. All that changes from delivery to delivery is there. What a client
//! asked for when it attached, a channel's name and parameters, is there too as long as it fits, and else in a row of
//! the object's storage, which is written once and goes with the attachment.

mod earlier;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::SocketId;
use super::attachment::{AttachParams, Attachment, State, View};
use super::outbox::Outbox;
use super::session::{Bounce, Session};
use crate::auth::Grant;
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::base::rate::Debt;
use crate::limits::SESSION_RECORD_MAX_BYTES;
use crate::model::Format;
use crate::model::flags::Modes;
use crate::model::name::{AppId, ChannelName};
use crate::model::serial::Position;
use crate::protocol::dialect::Dialect;
use crate::protocol::door::Door;
use crate::rpc::connection_key::{ConnectionKey, Generations};
use crate::rpc::placement::Shard;

/// A row of the object's storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    pub socket: SocketId,
    /// No other attachment of the socket has it.
    pub number: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    connection_id: String,
    shard: u16,
    generations: Generations,
    grant: Grant,
    format: Format,
    echo: bool,
    heartbeat_interval_ms: u32,
    bounces: bool,
    grace_ms: u32,
    prompted: bool,
    /// It waited for something when this was written. If the object is then lost, only the client knows what is open.
    pub busy: bool,
    attachments: Vec<AttachmentRecord>,
    is_secure: bool,
    door: Option<Rc<Door>>,
    since_ms: Option<NonZeroU64>,
    /// When it was sent the heartbeat that it had not answered.
    pinged_ms: Option<NonZeroU64>,
    /// See [`Door::packet_ids`].
    packet_ids: u16,
    /// See [`Dialect::Earlier`].
    earlier_objects: bool,
    stays_attached: bool,
}

impl Versioned for Record {
    const VERSION: u8 = 9;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Record, Unreadable> {
        match version {
            1 => pinned::take::<earlier::first::Record>(bytes).map(Record::from),
            2 => pinned::take::<earlier::second::Record>(bytes).map(Record::from),
            3 => pinned::take::<earlier::third::Record>(bytes).map(Record::from),
            4 => pinned::take::<earlier::fourth::Record>(bytes).map(Record::from),
            5 => pinned::take::<earlier::fifth::Record>(bytes).map(Record::from),
            6 => pinned::take::<earlier::sixth::Record>(bytes).map(Record::from),
            7 => pinned::take::<earlier::seventh::Record>(bytes).map(Record::from),
            // Of publishes by MQTT it has the packet ids alone, which read as what is known of them now.
            8 => pinned::take(bytes),
            _ => Err(Unreadable::Version(version)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct AttachmentRecord {
    wanted: Wanted,
    present: bool,
    /// One attachment of each channel remembers for the relay how far its deliveries are.
    checkpoint: Option<Checkpoint>,
    /// It has everything up to here, though the relay's deliveries are not so far; else absent, which is zero.
    ahead: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Wanted {
    Here(Ask),
    /// In the row of this number.
    Row(u16),
}

/// What was asked for when the client attached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ask {
    name: ChannelName,
    modes: Modes,
    params: AttachParams,
}

impl Versioned for Ask {
    const VERSION: u8 = 1;
}

impl Ask {
    fn of(name: &ChannelName, attachment: &Attachment) -> Ask {
        Ask { name: name.clone(), modes: attachment.requested, params: attachment.params.clone() }
    }
}

/// What an attachment's record holds of the relay's place in the channel, and of its own.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub checkpoint: Option<Checkpoint>,
    pub ahead: Position,
}

impl Place {
    /// What any attachment's record may come to hold.
    pub fn longest() -> Place {
        let checkpoint = Checkpoint { epoch: "x".repeat(16), position: Position(u64::MAX), members: u32::MAX as usize };
        Place { checkpoint: Some(checkpoint), ahead: Position(u64::MAX) }
    }
}

/// Where a relay stands on a channel, as one of its sockets remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub epoch: String,
    pub position: Position,
    /// How many were present then.
    pub members: usize,
}

/// A session that is built again, and for which of its attachments it remembers how far deliveries are.
pub struct Restored {
    pub session: Session,
    pub checkpoints: Vec<(ChannelName, Option<Checkpoint>)>,
}

impl Session {
    pub fn record(&self, place: impl Fn(&ChannelName, &Attachment) -> Place) -> Record {
        let attachment = |(name, attachment): (&ChannelName, &Attachment)| {
            let place = place(name, attachment);
            let wanted = attachment.row.map_or_else(|| Wanted::Here(Ask::of(name, attachment)), Wanted::Row);
            AttachmentRecord { wanted, present: attachment.present, checkpoint: place.checkpoint, ahead: place.ahead }
        };
        Record {
            connection_id: self.key.connection_id.clone(),
            shard: self.key.shard,
            generations: self.generations,
            grant: self.grant.clone(),
            format: self.dialect.payloads(),
            echo: self.echo,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            bounces: self.bounce.is_some(),
            grace_ms: self.grace_ms,
            prompted: self.prompted,
            busy: self.is_busy(),
            attachments: self.attachments.iter().map(attachment).collect(),
            is_secure: self.is_secure,
            door: self.door.clone(),
            since_ms: self.since_ms,
            pinged_ms: self
                .bounce
                .as_ref()
                .filter(|bounce| !bounce.answered)
                .and_then(|it| NonZeroU64::new(it.pinged_ms)),
            packet_ids: self.door.as_ref().map_or(0, |door| door.packet_ids()),
            earlier_objects: matches!(self.dialect, Dialect::Earlier(_)),
            stays_attached: self.stays_attached,
        }
    }

    /// Whether the record fits its socket, however far its channels come and whatever its client says.
    pub fn has_room(&self) -> bool {
        let growth = self.door.as_ref().map_or(0, |door| door.growth());
        self.record(|_, _| Place::longest()).encode().len() + growth <= SESSION_RECORD_MAX_BYTES
    }

    /// What the row of an attachment has, if it has one.
    pub fn row(&self, name: &ChannelName) -> Option<(u16, Vec<u8>)> {
        let attachment = self.attachments.get(name)?;
        Some((attachment.row?, pinned::encode(&Ask::of(name, attachment))))
    }

    /// Gives the attachment that asked for the most a row of its own. `None` when all have one.
    pub fn unload(&mut self) -> Option<ChannelName> {
        let taken: Vec<u16> = self.attachments.values().filter_map(|attachment| attachment.row).collect();
        let here = self.attachments.iter().filter(|(_, attachment)| attachment.row.is_none());
        let (name, _) = here.max_by_key(|(name, attachment)| attachment.bytes(name))?;
        let name = name.clone();
        self.attachments.get_mut(&name)?.row = (0..).find(|number| !taken.contains(number));
        Some(name)
    }
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
        pinned::decode(bytes).ok()
    }

    /// The session again; `row` gives what its rows have. `None` if one is missing, or a filter is none any more.
    /// Nothing was sent since, as far as it knows, so a heartbeat is due, or the answer to the last.
    pub fn restore(mut self, mut row: impl FnMut(u16) -> Option<Vec<u8>>) -> Option<Restored> {
        let mut attachments = Vec::new();
        let mut checkpoints = Vec::new();
        for record in self.attachments {
            let (ask, number) = match record.wanted {
                Wanted::Here(ask) => (ask, None),
                Wanted::Row(number) => (pinned::decode::<Ask>(&row(number)?).ok()?, Some(number)),
            };
            let attachment = Attachment::new(ask.modes, ask.params, State::Live { after: record.ahead });
            let view = View::of(&ask.name).ok()?;
            let present = record.present;
            let attachment = Attachment { present, is_recalled: true, view, row: number, ..attachment };
            attachments.push((ask.name.clone(), attachment));
            checkpoints.push((ask.name, record.checkpoint));
        }
        let key = ConnectionKey {
            connection_id: self.connection_id,
            shard: self.shard,
            generation: self.generations.current,
        };
        if let Some(door) = &mut self.door {
            Rc::make_mut(door).go_on_behind(self.packet_ids);
        }
        let frames = Dialect::of_frames(self.format, self.earlier_objects);
        let mark = self.door.as_ref().map(|door| door.mark()).unwrap_or_default();
        let session = Session {
            key,
            generations: self.generations,
            grant: self.grant,
            dialect: self.door.as_ref().map_or(frames, |door| door.dialect()),
            door: self.door,
            stays_attached: self.stays_attached,
            echo: self.echo,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            bounce: self.bounces.then(|| {
                let pinged_ms = self.pinged_ms.map_or(0, NonZeroU64::get);
                Box::new(Bounce { pinged_ms, answered: self.pinged_ms.is_none() })
            }),
            grace_ms: self.grace_ms,
            attachments: attachments.into_iter().collect(),
            outbox: Outbox::default(),
            last_sent_ms: 0,
            debt: Debt::default(),
            said: Debt::default(),
            attaches: Debt::default(),
            owed: VecDeque::new(),
            repeats: 0,
            unheard: 0,
            answered: 0,
            prompted: self.prompted,
            renewed_ms: None,
            void_at_ms: None,
            since_ms: self.since_ms,
            is_secure: self.is_secure,
            is_kept: true,
            is_recalled: true,
            was_busy: self.busy,
            was_marked: mark,
            dirty: false,
        };
        Some(Restored { session, checkpoints })
    }
}
