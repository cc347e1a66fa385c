//! A message and a publish as the channel keeps them: independent of format, connection and time.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::maps::SortedMap;
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::limits::MESSAGE_OVERHEAD_BYTES;
use crate::model::annotation::{Annotation, Summary, SummaryCounts};
use crate::model::data::Data;
use crate::model::objects::operation::ObjectMessage;
use crate::model::presence::PresenceMessage;
use crate::model::revision::{Mark, Shape, Target, Version};
use crate::model::serial::Position;
use crate::model::size::Size;

/// Names with texts, as parameters and metadata have them.
pub type Params = SortedMap<String, String>;

pub type Extras = Map<String, Value>;

/// The name, among extras, of what a publisher's token says of it.
pub const USER_CLAIM: &str = "userClaim";

/// A message as published. What can be derived from its [`Entry`] isn't kept: timestamp, serial, connection.
///
/// Pinned: stored rows and calls hold it, see [`crate::base::pinned`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Only when the publisher chose it; else it is `<publish id>:<index>`.
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: Data,
    pub encoding: Option<String>,
    pub client_id: Option<String>,
    #[serde(with = "crate::model::json_text")]
    pub extras: Option<Extras>,
}

impl Message {
    /// The size that a client may count (protocol.md § 8.4): bytes of data, and characters of everything else.
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_deref().map_or(0, characters);
        text(&self.name)
            + text(&self.client_id)
            + self.data.len()
            + self.extras.as_ref().map_or(0, |e| characters(&json(e)))
    }

    /// The same, with who said it apart.
    pub fn measured(&self) -> Size {
        Size::of(self.size(), self.client_id.as_deref(), self.extras.as_ref())
    }

    /// Bytes that it takes wherever memory or a frame is bounded.
    pub fn weight(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let texts = text(&self.name) + text(&self.client_id) + text(&self.id) + text(&self.encoding);
        MESSAGE_OVERHEAD_BYTES + texts + self.data.len() + self.extras.as_ref().map_or(0, |extras| json(extras).len())
    }

    /// Whether it is a delta that this server made.
    pub fn is_delta(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.contains_key("delta"))
    }

    /// Whether it asks to be delivered only to those who listen now (protocol.md § 8.6).
    pub fn is_ephemeral(&self) -> bool {
        self.extras.as_ref().and_then(|extras| extras.get("ephemeral")) == Some(&Value::Bool(true))
    }
}

/// As JavaScript counts them, and so most SDKs: UTF-16 code units. One for each byte that begins a character, and
/// another for a character of four bytes; counted so, since every message is measured where it comes in and where it
/// goes out.
pub(crate) fn characters(text: &str) -> usize {
    let units = |byte: u8| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0);
    text.bytes().map(units).sum()
}

pub(crate) fn json(extras: &Extras) -> String {
    serde_json::to_string(extras).unwrap_or_default()
}

/// One publish at its place in the channel's order: what stays together.
///
/// Pinned like [`Message`]: this is what a log row and a delivery consist of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub position: Position,
    /// The protocol message's id: `<connectionId>:<msgSerial>`, or the base of the publisher's own ids.
    pub id: String,
    pub connection_id: Option<String>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    Messages(Vec<Message>),
    Presence(Vec<PresenceMessage>),
    /// What is delivered of a publish when some of its messages were conflated or do not pass a filter, and their
    /// places in it. The log has all.
    Rest {
        places: Vec<usize>,
        messages: Vec<Message>,
    },
    /// What was done to the channel's objects.
    Objects(Vec<ObjectMessage>),
    /// What an operation made of a message, or what a reader gets of a publish whose messages have changed since: each
    /// message whole, with a mark that says which one it is.
    Revised {
        messages: Vec<Message>,
        marks: Vec<Mark>,
    },
    /// What clients say of a message.
    Annotations {
        target: Target,
        annotations: Vec<Annotation>,
    },
    Summary(Summary),
    /// Messages with what the annotations of each come to, for who reads them later. The log has them without.
    Annotated {
        content: Box<Content>,
        counts: Vec<SummaryCounts>,
    },
    /// The summary of a message that has changed, for who reads it, with the version that the message is. The log has
    /// it without.
    SummaryOfVersion {
        summary: Summary,
        version: Version,
    },
}

/// What an entry consists of: entries of one kind go into one frame, and to those who asked for that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Messages,
    Presence,
    Objects,
    Annotations,
}

/// Some kinds of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    pub fn of(entries: &[Entry]) -> Kinds {
        entries.iter().fold(Kinds::default(), |kinds, entry| kinds.with(entry.kind()))
    }

    pub const fn with(self, kind: Kind) -> Kinds {
        Kinds(self.0 | 1 << kind as u8)
    }

    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    pub const fn has_all(self, others: Kinds) -> bool {
        self.0 & others.0 == others.0
    }
}

impl Versioned for Entry {
    const VERSION: u8 = 4;

    /// All had fewer kinds of content, and the first two had fewer shapes of a version and operations on objects.
    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Entry, Unreadable> {
        if matches!(version, 1..=3) { pinned::take(bytes) } else { Err(Unreadable::Version(version)) }
    }
}

impl Entry {
    /// What it is, but for what annotations come to.
    fn plain(&self) -> &Content {
        match &self.content {
            Content::Annotated { content, .. } => content,
            content => content,
        }
    }

    /// Its messages; none of a presence entry.
    pub fn messages(&self) -> &[Message] {
        match self.plain() {
            Content::Messages(messages) | Content::Rest { messages, .. } | Content::Revised { messages, .. } => {
                messages
            }
            _ => &[],
        }
    }

    /// The place in its publish of one of its messages, which its id and serial tell.
    pub fn place(&self, index: usize) -> usize {
        match self.plain() {
            Content::Rest { places, .. } => places.get(index).copied().unwrap_or(index),
            Content::Revised { marks, .. } if !self.is_operation() => {
                marks.get(index).map_or(index, |m| m.target.place)
            }
            _ => index,
        }
    }

    /// Which message one of its messages is.
    pub fn target(&self, index: usize) -> Target {
        match self.mark(index) {
            Some(mark) => mark.target,
            None => Target { position: self.position, place: self.place(index) },
        }
    }

    /// Which version one of its messages is, when it is not as it was published.
    pub fn version(&self, index: usize) -> Option<&Version> {
        self.mark(index)?.version.as_ref()
    }

    /// The version that an operation made.
    pub fn version_mut(&mut self) -> Option<&mut Version> {
        let content = match &mut self.content {
            Content::Annotated { content, .. } => content,
            content => content,
        };
        match content {
            Content::Revised { marks, .. } => marks.first_mut()?.version.as_mut(),
            _ => None,
        }
    }

    fn mark(&self, index: usize) -> Option<&Mark> {
        match self.plain() {
            Content::Revised { marks, .. } => marks.get(index),
            _ => None,
        }
    }

    /// Whether it changes a message that was published before.
    pub fn is_operation(&self) -> bool {
        self.mark(0).is_some_and(|mark| mark.target.position != self.position)
    }

    /// Whether it appends something, of which it has all or that alone.
    pub fn is_append(&self) -> bool {
        self.operation().is_some_and(|(.., made)| matches!(made.shape, Shape::Appended { .. } | Shape::Added { .. }))
    }

    /// What an operation made, and of which message.
    pub fn operation(&self) -> Option<(Target, &Message, &Version)> {
        let mark = self.mark(0).filter(|_| self.is_operation())?;
        Some((mark.target, self.messages().first()?, mark.version.as_ref()?))
    }

    /// The connection that published one of its messages.
    pub fn publisher(&self, index: usize) -> Option<&str> {
        let connection_id = self.version(index).map_or(&self.connection_id, |version| &version.connection_id);
        connection_id.as_deref()
    }

    /// An append as it goes to those who have what it was appended to.
    pub fn fragment(&self) -> Option<Entry> {
        self.with_added(|_| Shape::Fragment)
    }

    /// An append as its row has it: what it adds. The rest is in the version that it belongs to.
    pub fn added(&self) -> Option<Entry> {
        self.with_added(|from| Shape::Added { from })
    }

    fn with_added(&self, shape: impl Fn(usize) -> Shape) -> Option<Entry> {
        let (_, message, version) = self.operation()?;
        let Shape::Appended { from } = version.shape else { return None };
        self.operating(Message { data: message.data.from(from), ..message.clone() }, shape(from))
    }

    /// A version without the first bytes of its data, so many.
    pub fn behind(&self, bytes: usize) -> Option<Entry> {
        let (_, message, version) = self.operation()?;
        self.operating(Message { data: message.data.from(bytes), ..message.clone() }, version.shape)
    }

    /// The same, whole again, with what its data begins with. `None` where one is text and the other bytes.
    pub fn continued(&self, begin: &Data) -> Option<Entry> {
        let (_, message, version) = self.operation()?;
        let data = begin.followed_by(&message.data)?;
        self.operating(Message { data, ..message.clone() }, version.shape)
    }

    /// An append of a row, whole again: the version that it belongs to begins with what the message was then. Where
    /// that is not kept any more, it is what was appended.
    pub fn whole(&self, version: Option<&Message>) -> Option<Entry> {
        let (_, message, made) = self.operation()?;
        let Shape::Added { from } = made.shape else { return None };
        let Some(version) = version else { return self.operating(message.clone(), Shape::Fragment) };
        let data = version.data.up_to(from + message.data.len());
        self.operating(Message { data, ..message.clone() }, Shape::Appended { from })
    }

    fn operating(&self, message: Message, shape: Shape) -> Option<Entry> {
        let (target, _, version) = self.operation()?;
        let version = Some(Version { shape, ..version.clone() });
        let content = Content::Revised { messages: vec![message], marks: vec![Mark { target, version }] };
        Some(Entry { content, id: self.id.clone(), connection_id: self.connection_id.clone(), ..*self })
    }

    /// Its presence events; none of a publish.
    pub fn presence(&self) -> &[PresenceMessage] {
        match &self.content {
            Content::Presence(events) => events,
            _ => &[],
        }
    }

    /// Its operations on objects; none of any other.
    pub fn objects(&self) -> &[ObjectMessage] {
        match &self.content {
            Content::Objects(operations) => operations,
            _ => &[],
        }
    }

    /// Its annotations; none of any other.
    pub fn annotations(&self) -> &[Annotation] {
        match &self.content {
            Content::Annotations { annotations, .. } => annotations,
            _ => &[],
        }
    }

    pub fn summary(&self) -> Option<&Summary> {
        match &self.content {
            Content::Summary(summary) | Content::SummaryOfVersion { summary, .. } => Some(summary),
            _ => None,
        }
    }

    /// Which version the message of a summary is, when that is told and it is not the first.
    pub fn summary_version(&self) -> Option<&Version> {
        match &self.content {
            Content::SummaryOfVersion { version, .. } => Some(version),
            _ => None,
        }
    }

    /// Says with a summary what it comes to, and which version its message is.
    pub fn fill(&mut self, counts: Extras, version: Option<Version>) {
        let Some(summary) = self.summary() else { return };
        let summary = Summary { counts: SummaryCounts { by_type: Some(counts) }, ..summary.clone() };
        self.content = match version {
            Some(version) => Content::SummaryOfVersion { summary, version },
            None => Content::Summary(summary),
        };
    }

    /// What the annotations of one of its messages come to, where that is told.
    pub fn counts(&self, index: usize) -> Option<&Extras> {
        match &self.content {
            Content::Annotated { counts, .. } => counts.get(index)?.by_type.as_ref(),
            _ => None,
        }
    }

    /// Says with its messages what their annotations come to.
    pub fn annotate(&mut self, counts: Vec<SummaryCounts>) {
        let content = Box::new(std::mem::replace(&mut self.content, Content::Messages(Vec::new())));
        self.content = Content::Annotated { content, counts };
    }

    /// Some of its messages, which keep their places, versions and summaries.
    pub fn only(&self, indices: &[usize]) -> Entry {
        let messages = indices.iter().map(|index| self.messages()[*index].clone()).collect();
        let plain = match self.plain() {
            Content::Revised { marks, .. } => {
                Content::Revised { messages, marks: indices.iter().map(|index| marks[*index].clone()).collect() }
            }
            _ => Content::Rest { places: indices.iter().map(|index| self.place(*index)).collect(), messages },
        };
        let content = match &self.content {
            Content::Annotated { counts, .. } => {
                let counts = indices.iter().map(|index| counts[*index].clone()).collect();
                Content::Annotated { content: Box::new(plain), counts }
            }
            _ => plain,
        };
        Entry { content, id: self.id.clone(), connection_id: self.connection_id.clone(), ..*self }
    }

    /// A summary is a message of the server's.
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Presence(_) => Kind::Presence,
            Content::Objects(_) => Kind::Objects,
            Content::Annotations { .. } => Kind::Annotations,
            _ => Kind::Messages,
        }
    }

    /// How many messages, events, operations or annotations.
    pub fn count(&self) -> usize {
        self.messages().len() + self.presence().len() + self.objects().len() + self.annotations().len()
    }

    /// Bytes that it takes in a frame, about.
    pub fn weight(&self) -> usize {
        let messages = self.messages().iter().map(Message::weight).sum::<usize>();
        let operations = self.objects().iter().map(ObjectMessage::weight).sum::<usize>();
        let annotations = self.annotations().iter().map(Annotation::weight).sum::<usize>();
        let counts = |counts: &SummaryCounts| counts.by_type.as_ref().map_or(0, |counts| json(counts).len());
        let told = match &self.content {
            Content::Summary(summary) | Content::SummaryOfVersion { summary, .. } => {
                MESSAGE_OVERHEAD_BYTES + counts(&summary.counts)
            }
            Content::Annotated { counts: all, .. } => all.iter().map(counts).sum(),
            _ => 0,
        };
        let events = self.presence().iter().map(PresenceMessage::weight).sum::<usize>();
        messages + operations + annotations + told + events
    }

    pub fn is_ephemeral(&self) -> bool {
        self.messages().iter().any(Message::is_ephemeral)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::characters;

    proptest! {
        #[test]
        fn characters_are_counted_as_javascript_does(text in ".*") {
            prop_assert_eq!(characters(&text), text.encode_utf16().count());
        }
    }
}
