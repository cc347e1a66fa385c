//! What clients get: frames and messages, rendered in their format.
//!
//! An entry is rendered once per variant of its readers, never once per reader: see [`entries_frame`].

use serde::{Serialize, Serializer};

use crate::error::ErrorInfo;
use crate::model::Format;
use crate::model::annotation::Summary;
use crate::model::data::{Data, claims_delta, to_base64};
use crate::model::message::Params;
use crate::model::message::{Content, Entry, Extras, Kind};
use crate::model::node::Node;
use crate::model::presence::PresenceMessage;
use crate::model::revision;
use crate::model::serial::Position;
use crate::protocol::dialect::Voice;
use crate::protocol::objects::operations_of;
use crate::protocol::{Encoded, action};

/// A frame to a client. Absent fields stay off the wire.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound<'a> {
    pub action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<&'a str>,
    /// Where version 1 of the protocol has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_details: Option<ConnectionDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_serial: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<&'a Params>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<OutboundMessage<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Vec<OutboundPresence<'a>>>,
    /// Operations on objects, or objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<Node<'static>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<OutboundAnnotation<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res: Option<&'a [PublishResult]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a ErrorInfo>,
}

/// The serials of one acknowledged publish.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PublishResult {
    pub serials: Vec<String>,
}

/// What a client learns of its connection (protocol.md § 4.1).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    pub connection_key: &'a str,
    pub connection_state_ttl: u64,
    pub max_idle_interval: u64,
    pub max_message_size: usize,
    pub max_frame_size: usize,
    pub max_inbound_rate: u64,
    pub max_outbound_rate: u32,
    pub server_id: &'a str,
    pub site_code: &'a str,
    #[serde(rename = "objectsGCGracePeriod")]
    pub objects_gc_grace_period: u64,
}

/// A message as readers get it, in a frame or in a REST page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundMessage<'a> {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "OutboundData::is_absent")]
    pub data: OutboundData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<&'a Extras>,
    pub action: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// The place of its publish, or of what was said of it since.
    #[serde(skip)]
    pub at: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<OutboundSummary<'a>>,
    /// The serial of its place in the channel's order, of an operation: its own is that of the message it changes.
    #[serde(skip)]
    pub operation: Option<String>,
}

/// What a message's annotations come to, by type.
#[derive(Debug, Serialize)]
pub struct OutboundSummary<'a> {
    pub summary: &'a Extras,
}

/// An annotation as readers get it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundAnnotation<'a> {
    pub action: u8,
    pub id: String,
    pub serial: String,
    pub message_serial: String,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "OutboundData::is_absent")]
    pub data: OutboundData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    pub timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<&'a Extras>,
}

/// A presence event, or a member, as readers get it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundPresence<'a> {
    pub action: u8,
    pub id: &'a str,
    pub client_id: &'a str,
    pub connection_id: &'a str,
    #[serde(skip_serializing_if = "OutboundData::is_absent")]
    pub data: OutboundData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    pub timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<&'a Extras>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version<'a> {
    pub serial: String,
    pub timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Params>,
}

impl Version<'_> {
    /// That of a message as it was published.
    fn first<'a>(serial: String, position: Position) -> Version<'a> {
        Version { serial, timestamp: position.time_ms(), client_id: None, description: None, metadata: None }
    }

    fn of<'a>(version: &'a revision::Version, epoch: &str) -> Version<'a> {
        Version {
            serial: version.position.message_serial(epoch, 0),
            timestamp: version.position.time_ms(),
            client_id: version.client_id.as_deref(),
            description: version.description.as_deref(),
            metadata: version.metadata.as_ref(),
        }
    }
}

/// A payload in the form that its format carries.
#[derive(Debug)]
pub enum OutboundData<'a> {
    Absent,
    Text(&'a str),
    Base64(String),
    Bytes(&'a [u8]),
}

impl OutboundData<'_> {
    /// As JSON carries it.
    pub fn text(&self) -> &str {
        match self {
            OutboundData::Text(text) => text,
            OutboundData::Base64(text) => text,
            OutboundData::Absent | OutboundData::Bytes(_) => "",
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, OutboundData::Absent)
    }
}

impl Serialize for OutboundData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            OutboundData::Absent => serializer.serialize_unit(),
            OutboundData::Text(text) => serializer.serialize_str(text),
            OutboundData::Base64(text) => serializer.serialize_str(text),
            OutboundData::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

/// What a frame says once for its messages: clients take it for those that don't say it themselves.
#[derive(Clone, Copy, Default, PartialEq)]
struct Shared<'a> {
    connection_id: Option<&'a str>,
    timestamp: Option<u64>,
}

impl<'a> Shared<'a> {
    /// The time of the last, and the connection if it is that of all: a message of no connection would be taken for one
    /// of the frame's.
    fn of(entries: &[&'a Entry]) -> Shared<'a> {
        let Some((last, others)) = entries.split_last() else { return Shared::default() };
        let alike = others.iter().all(|entry| entry.connection_id == last.connection_id);
        let tells = alike && !entries.iter().any(|entry| entry.is_operation());
        let connection_id = last.connection_id.as_deref().filter(|_| tells);
        Shared { connection_id, timestamp: Some(last.position.time_ms()) }
    }
}

/// The MESSAGE, PRESENCE, OBJECT or ANNOTATION frame for consecutive entries of one kind. `None` when there is nothing
/// to say.
///
/// One entry makes the frame of its publish; several travel as one frame, since the runtime's cost is per frame. Their
/// messages say what differs from the frame's connection and time: what is sent to a crowd is paid by the byte, too.
pub fn entries_frame(channel: &str, epoch: &str, entries: &[&Entry], mut voice: impl Voice) -> Option<Encoded> {
    let last = entries.last()?;
    let format = voice.payloads();
    let kind = last.kind();
    let serial = last.position.serial(epoch);
    let shared = Shared::of(entries);
    let messages = || entries.iter().flat_map(|entry| render_all(entry, epoch, format, shared)).collect();
    let frame = Outbound {
        action: match kind {
            Kind::Messages => action::MESSAGE,
            Kind::Presence => action::PRESENCE,
            Kind::Objects => action::OBJECT,
            Kind::Annotations => action::ANNOTATION,
        },
        channel: Some(channel),
        channel_serial: Some(&serial),
        id: (entries.len() == 1).then_some(&last.id),
        connection_id: shared.connection_id,
        timestamp: shared.timestamp,
        messages: (kind == Kind::Messages).then(messages),
        presence: (kind == Kind::Presence).then(|| events(entries.iter().copied(), format)),
        state: (kind == Kind::Objects).then(|| entries.iter().flat_map(|entry| operations_of(entry, epoch)).collect()),
        annotations: (kind == Kind::Annotations).then(|| annotations(entries, epoch, format)),
        ..Outbound::default()
    };
    Some(voice.say(&frame))
}

/// The SYNC frame for members; `serial` says of which sync, and how far it is. Its time is that of who came last: there
/// are clients that read no other.
pub fn sync_frame(channel: &str, serial: &str, members: &[Entry], mut voice: impl Voice) -> Encoded {
    let frame = Outbound {
        action: action::SYNC,
        channel: Some(channel),
        channel_serial: Some(serial),
        timestamp: members.iter().map(|member| member.position.time_ms()).max(),
        presence: Some(events(members.iter(), voice.payloads())),
        ..Outbound::default()
    };
    voice.say(&frame)
}

/// The OBJECT_SYNC frame for objects of a channel; `serial` says of which sync, and how far it is.
pub fn object_sync_frame(channel: &str, serial: &str, objects: Vec<Node<'static>>, mut voice: impl Voice) -> Encoded {
    let frame = Outbound {
        action: action::OBJECT_SYNC,
        channel: Some(channel),
        channel_serial: Some(serial),
        state: Some(objects),
        ..Outbound::default()
    };
    voice.say(&frame)
}

/// A channel's occupancy, for a connection that is told of it. It has no place in the channel's order; the serial is of
/// what came before, since clients that only keep the last one would lose their place without.
pub fn occupancy_frame(channel: &str, serial: &str, data: &str, now_ms: u64, mut voice: impl Voice) -> Encoded {
    let message = OutboundMessage {
        id: format!("occupancy@{now_ms}:0"),
        name: Some("[meta]occupancy"),
        data: OutboundData::Text(data),
        encoding: Some("json".to_owned()),
        client_id: None,
        connection_id: None,
        timestamp: Some(now_ms),
        extras: None,
        action: META,
        serial: String::new(),
        at: Position::ZERO,
        version: None,
        annotations: None,
        operation: None,
    };
    let frame = Outbound {
        action: action::MESSAGE,
        channel: Some(channel),
        channel_serial: Some(serial),
        timestamp: Some(now_ms),
        messages: Some(vec![message]),
        ..Outbound::default()
    };
    voice.say(&frame)
}

/// The actions of messages that the server itself has to say.
pub const META: u8 = 3;
pub const SUMMARY: u8 = 4;

/// The presence events of entries, in order.
pub fn events<'a>(entries: impl Iterator<Item = &'a Entry>, format: Format) -> Vec<OutboundPresence<'a>> {
    entries.flat_map(|entry| (0..entry.presence().len()).map(move |index| page_event(entry, index, format))).collect()
}

pub fn page_event(entry: &Entry, index: usize, format: Format) -> OutboundPresence<'_> {
    let event: &PresenceMessage = &entry.presence()[index];
    let (data, encoding) = render_data(&event.data, honest(event.encoding.as_deref(), false), format);
    OutboundPresence {
        action: event.action.number(),
        id: &event.id,
        client_id: &event.client_id,
        connection_id: &event.connection_id,
        data,
        encoding,
        timestamp: entry.position.time_ms(),
        extras: event.extras.as_ref(),
    }
}

fn render_all<'a>(
    entry: &'a Entry,
    epoch: &'a str,
    format: Format,
    shared: Shared<'a>,
) -> impl Iterator<Item = OutboundMessage<'a>> {
    let messages = (0..entry.messages().len()).map(move |index| render(entry, index, epoch, format, shared));
    messages.chain(entry.summary().and_then(|summary| render_summary(entry, summary, epoch)))
}

/// That a message's summary is another now: its name, so that who listens for that name hears of it, its version, and
/// no data.
fn render_summary<'a>(entry: &'a Entry, summary: &'a Summary, epoch: &str) -> Option<OutboundMessage<'a>> {
    let target = summary.target;
    let serial = target.position.message_serial(epoch, target.place);
    Some(OutboundMessage {
        id: format!("{}:0", entry.id),
        name: summary.name.as_deref(),
        data: OutboundData::Absent,
        encoding: None,
        client_id: None,
        connection_id: None,
        timestamp: Some(entry.position.time_ms()),
        extras: None,
        action: SUMMARY,
        at: entry.position,
        version: Some(match entry.summary_version() {
            Some(version) => Version::of(version, epoch),
            None => Version::first(serial.clone(), target.position),
        }),
        serial,
        annotations: Some(OutboundSummary { summary: summary.counts.by_type.as_ref()? }),
        operation: None,
    })
}

fn annotations<'a>(entries: &[&'a Entry], epoch: &str, format: Format) -> Vec<OutboundAnnotation<'a>> {
    let all = entries.iter().flat_map(|entry| (0..entry.annotations().len()).map(move |index| (*entry, index)));
    all.filter_map(|(entry, index)| page_annotation(entry, index, epoch, format)).collect()
}

/// One annotation of an entry. `None` when there is none at that place.
pub fn page_annotation<'a>(
    entry: &'a Entry,
    index: usize,
    epoch: &str,
    format: Format,
) -> Option<OutboundAnnotation<'a>> {
    let Content::Annotations { target, annotations } = &entry.content else { return None };
    let annotation = annotations.get(index)?;
    let (data, encoding) = render_data(&annotation.data, annotation.encoding.as_deref(), format);
    Some(OutboundAnnotation {
        action: annotation.action.number(),
        id: annotation.id.clone().unwrap_or_else(|| format!("{}:{index}", entry.id)),
        serial: entry.position.message_serial(epoch, index),
        message_serial: target.position.message_serial(epoch, target.place),
        kind: &annotation.kind,
        name: annotation.name.as_deref(),
        count: annotation.count,
        client_id: annotation.client_id.as_deref(),
        connection_id: entry.connection_id.as_deref(),
        data,
        encoding,
        timestamp: entry.position.time_ms(),
        extras: annotation.extras.as_ref(),
    })
}

/// One message of a REST page: there is no frame to take anything from, and the version is spelled out.
pub fn page_message<'a>(entry: &'a Entry, index: usize, epoch: &str, format: Format) -> OutboundMessage<'a> {
    let message = render(entry, index, epoch, format, Shared::default());
    let serial = message.serial.clone();
    let version = message.version.or_else(|| Some(Version::first(serial, entry.position)));
    OutboundMessage { version, ..message }
}

fn render<'a>(entry: &'a Entry, index: usize, epoch: &str, format: Format, shared: Shared<'_>) -> OutboundMessage<'a> {
    let message = &entry.messages()[index];
    let (data, encoding) = render_data(&message.data, honest(message.encoding.as_deref(), message.is_delta()), format);
    let (target, version) = (entry.target(index), entry.version(index));
    let timestamp = Some(target.position.time_ms());
    OutboundMessage {
        id: message_id(entry, index),
        name: message.name.as_deref(),
        data,
        encoding,
        client_id: message.client_id.as_deref(),
        connection_id: entry.publisher(index).filter(|id| shared.connection_id != Some(*id)),
        timestamp: timestamp.filter(|_| shared.timestamp != timestamp),
        extras: message.extras.as_ref(),
        action: version.map_or(0, |version| version.shape.action()),
        version: version.map(|version| Version::of(version, epoch)),
        serial: target.position.message_serial(epoch, target.place),
        at: entry.position,
        annotations: entry.counts(index).map(|summary| OutboundSummary { summary }),
        operation: entry.is_operation().then(|| entry.position.message_serial(epoch, 0)),
    }
}

/// The publisher's own id, or the one that its place in the publish gives it.
pub fn message_id(entry: &Entry, index: usize) -> String {
    entry.messages()[index].id.clone().unwrap_or_else(|| format!("{}:{}", entry.id, entry.place(index)))
}

/// The encoding to tell. What an earlier build let in, though it says that it is a delta, goes out without one.
fn honest(encoding: Option<&str>, is_delta: bool) -> Option<&str> {
    encoding.filter(|encoding| is_delta || !claims_delta(encoding))
}

fn render_data<'a>(data: &'a Data, encoding: Option<&str>, format: Format) -> (OutboundData<'a>, Option<String>) {
    match (data, format) {
        (Data::Absent, _) => (OutboundData::Absent, encoding.map(str::to_owned)),
        (Data::Text(text), _) => (OutboundData::Text(text), encoding.map(str::to_owned)),
        (Data::Binary(bytes), Format::Msgpack) => (OutboundData::Bytes(bytes), encoding.map(str::to_owned)),
        (Data::Binary(bytes), Format::Json) => {
            let (text, encoding) = to_base64(bytes, encoding);
            (OutboundData::Base64(text), Some(encoding))
        }
    }
}

/// The serials of the messages of one publish, as an ACK or a REST reply gives them.
pub fn serials(position: Position, epoch: &str, count: usize) -> PublishResult {
    PublishResult { serials: (0..count).map(|index| position.message_serial(epoch, index)).collect() }
}
