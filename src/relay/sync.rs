//! What is there goes out: the presence set (protocol.md § 10) and the objects (§ 19), in pages, beside what is live.
//!
//! Those who need the same of one channel at the same time share its pages: each is read once, and goes as one frame to
//! one reader after another. Who comes while a sync is under way waits for the next, so that late joiners, however
//! many, cost two readings at a time.
//!
//! Why a large set stalls nobody: a [`Turn`] sends only so many bytes, whosever, and then time passes in which live
//! messages come and go. Of one channel no reader gets more than a page in a turn, so that what is live stands behind
//! little in any socket's queue: the runtime doesn't say how long that is.
//!
//! Why a page may be older than what was sent before it: a sync begins, with an empty page, at the moment its reader
//! goes live. From there on the client keeps what leaves until the sync ends, and takes of each member what is newer.
//! Of those who left meanwhile nothing is said. Of objects it keeps all operations until the sync ends, and then does
//! those that are newer than what they concern.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::attachment::Attachment;
use super::{Effect, Pending, Relay, SocketId};
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, SYNC_SEND_BYTES, SYNC_TURN_MS};
use crate::model::flags::Modes;
use crate::model::message::Entry;
use crate::model::name::ChannelName;
use crate::model::objects::parts::{self, Cursor, Snapshot};
use crate::model::presence::{MemberKey, PresenceAction, PresenceMessage};
use crate::model::serial::Position;
use crate::protocol::Encoded;
use crate::protocol::dialect::{Dialect, Voice};
use crate::protocol::objects::snapshot_node;
use crate::protocol::outbound::{object_sync_frame, sync_frame};
use crate::rpc::{MembersPage, MembersQuery, ObjectsPage, ObjectsQuery, Request};

type Reader = (SocketId, ChannelName);

/// What a sync is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    Members,
    Objects,
}

impl Of {
    const fn mode(self) -> Modes {
        match self {
            Of::Members => Modes::PRESENCE_SUBSCRIBE,
            Of::Objects => Modes::OBJECT_SUBSCRIBE,
        }
    }
}

/// Something of each kind of sync.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Each<T> {
    members: T,
    objects: T,
}

impl Each<Option<u64>> {
    pub fn is_under_way(&self, of: Of) -> bool {
        match of {
            Of::Members => self.members.is_some(),
            Of::Objects => self.objects.is_some(),
        }
    }
}

impl<T> Each<T> {
    pub fn of(&mut self, of: Of) -> &mut T {
        match of {
            Of::Members => &mut self.members,
            Of::Objects => &mut self.objects,
        }
    }
}

/// A channel, and what of it.
pub type Subject = (ChannelName, Of);

/// All syncs, and how they take turns.
#[derive(Debug, Default)]
pub struct Syncing {
    syncs: HashMap<Subject, Syncs>,
    pub turn: Turn,
    /// Whose last page waits until the relay has got as far as it.
    ahead: BTreeSet<ChannelName>,
}

/// The syncs of one kind on one channel.
#[derive(Debug, Default)]
pub struct Syncs {
    reading: Option<Run>,
    waiting: Option<Run>,
}

/// One reading of the set, and for whom.
#[derive(Debug)]
struct Run {
    /// What attachments remember: one that has begun another sync since gets no more of this.
    id: u64,
    /// What clients know it by: never that of a sync that another memory of this relay began.
    sequence: String,
    /// Each once, though it attaches again while it waits: a page that comes twice would begin a sync of that page
    /// alone.
    readers: BTreeSet<Reader>,
    read: usize,
    /// The last place in the order of which its pages tell, and the epoch.
    told: Option<(String, Position)>,
    page: Page,
    /// In which turn of the relay the last page began to go out.
    turn: u64,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few, one for each channel at a time")]
enum Page {
    /// Asked for. It may still name those who left since; where they did.
    Asked { left: BTreeMap<MemberKey, Position> },
    /// On its way, and the last reader that it went to.
    Going { content: Content, next: Option<Next>, through: Option<Reader> },
}

#[derive(Debug)]
enum Content {
    Members(Vec<Entry>),
    /// With the epoch of their serials.
    Objects(Vec<Snapshot>, String),
}

/// Where the next page begins.
#[derive(Debug)]
enum Next {
    Member(MemberKey),
    Object(Box<Cursor>),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Content::Members(members) => members.len(),
            Content::Objects(objects, _) => objects.len(),
        }
    }

    fn weight(&self) -> usize {
        let entry = |(key, entry): &(String, parts::Entry)| MESSAGE_OVERHEAD_BYTES + entry.size(key) as usize;
        let object = |object: &Snapshot| MESSAGE_OVERHEAD_BYTES + object.entries.iter().map(entry).sum::<usize>();
        match self {
            Content::Members(members) => members.iter().map(Entry::weight).sum(),
            Content::Objects(objects, _) => objects.iter().map(object).sum(),
        }
    }

    fn frame(&self, channel: &str, serial: &str, voice: impl Voice) -> Encoded {
        match self {
            Content::Members(members) => sync_frame(channel, serial, members, voice),
            Content::Objects(objects, epoch) => {
                let objects = objects.iter().map(|object| snapshot_node(object, epoch)).collect();
                object_sync_frame(channel, serial, objects, voice)
            }
        }
    }
}

/// A page of nothing, which begins a sync, or ends it early.
fn empty(of: Of) -> Content {
    match of {
        Of::Members => Content::Members(Vec::new()),
        Of::Objects => Content::Objects(Vec::new(), String::new()),
    }
}

/// How much of all syncs goes out in a while.
#[derive(Debug, Default)]
pub struct Turn {
    number: u64,
    began_ms: u64,
    sent_bytes: usize,
    /// Channels with a page on its way, the one that has waited longest first.
    channels: Vec<Subject>,
}

impl Turn {
    /// When there is more to send.
    pub fn ends_ms(&self) -> Option<u64> {
        (!self.channels.is_empty()).then_some(self.began_ms + SYNC_TURN_MS)
    }

    /// Begins another when it is time. A clock that was set back must not hold it up.
    fn renew(&mut self, now_ms: u64) {
        if now_ms.wrapping_sub(self.began_ms) >= SYNC_TURN_MS {
            (self.number, self.began_ms, self.sent_bytes) = (self.number + 1, now_ms, 0);
        }
    }
}

impl Relay {
    /// Whether this attachment is told what is there.
    pub(super) fn is_told(&self, socket: SocketId, name: &ChannelName, of: Of) -> bool {
        let Some(session) = self.sessions.get(&socket) else { return false };
        let granted = |attachment: &Attachment| attachment.granted(session.grant.capability.operations(name));
        session.attachments.get(name).is_some_and(|attachment| granted(attachment).contains(of.mode()))
    }

    /// A reader may not be told any more what is there: its sync ends with what it has.
    pub(super) fn end_sync(&mut self, socket: SocketId, name: &ChannelName, of: Of) {
        let Some(attachment) = self.attachment(socket, name) else { return };
        *attachment.awaits_sync.of(of) = false;
        let Some(id) = attachment.syncs.of(of).take() else { return };
        self.touch(socket);
        let syncs = self.syncing.syncs.get(&(name.owner(), of));
        let mut runs = syncs.into_iter().flat_map(|syncs| syncs.reading.iter().chain(&syncs.waiting));
        let run = runs.find(|run| run.id == id);
        let Some(serial) = run.map(|run| format!("{}:", run.sequence)) else { return };
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let frame = empty(of).frame(name.as_str(), &serial, session);
        self.send_encoded(socket, frame);
    }

    /// SYNC from a client: once more, from the beginning. It is as much work as an ATTACH.
    pub(super) fn resync(&mut self, socket: SocketId, channel: &str) {
        let Ok(name) = ChannelName::parse(channel) else { return };
        if let Err(error) = self.admit_rate_of_attaches(socket, &name) {
            return self.give_up(socket, &name, &error);
        }
        match self.attachment(socket, &name) {
            Some(attachment) if attachment.is_live() => self.sync(socket, &name, Of::Members),
            Some(attachment) => *attachment.awaits_sync.of(Of::Members) = true,
            None => {}
        }
    }

    /// Gives an attachment that is live what is there.
    pub(super) fn sync(&mut self, socket: SocketId, name: &ChannelName, of: Of) {
        if !self.is_told(socket, name, of) {
            return;
        }
        let subject = (name.owner(), of);
        let id = self.calls.next_ticket().0;
        let begin = || Run {
            id,
            sequence: format!("{}-{id}", self.now_ms),
            readers: BTreeSet::new(),
            read: 0,
            told: None,
            page: Page::Asked { left: BTreeMap::new() },
            turn: 0,
        };
        let run = self.syncing.syncs.entry(subject.clone()).or_default().waiting.get_or_insert_with(begin);
        let (id, serial) = (run.id, format!("{}:0", run.sequence));
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(attachment) = session.attachments.get_mut(name) else { return };
        *attachment.syncs.of(of) = Some(id);
        run.readers.insert((socket, name.clone()));
        let frame = empty(of).frame(name.as_str(), &serial, session);
        self.touch(socket);
        self.send_encoded(socket, frame);
        self.begin_sync(&subject);
    }

    /// Gives an attachment that went live what it was told of.
    pub(super) fn sync_awaited(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        mut awaited: Each<bool>,
        members: usize,
    ) {
        if *awaited.of(Of::Members) || members > 0 {
            self.sync(socket, name, Of::Members);
        }
        if *awaited.of(Of::Objects) {
            self.sync(socket, name, Of::Objects);
        }
    }

    fn begin_sync(&mut self, subject: &Subject) {
        let Some(syncs) = self.syncing.syncs.get_mut(subject) else { return };
        if syncs.reading.is_some() {
            return;
        }
        syncs.reading = syncs.waiting.take();
        match syncs.reading {
            Some(_) => self.read_page(subject, None),
            None => drop(self.syncing.syncs.remove(subject)),
        }
    }

    fn read_page(&mut self, (owner, of): &Subject, after: Option<Next>) {
        let request = match (of, after) {
            (Of::Members, after) => {
                let after = if let Some(Next::Member(key)) = after { Some(key) } else { None };
                Request::Members(MembersQuery { after, limit: self.bounds.sync_members, ..MembersQuery::default() })
            }
            (Of::Objects, after) => {
                let after = if let Some(Next::Object(cursor)) = after { Some(cursor) } else { None };
                Request::Objects(ObjectsQuery { after })
            }
        };
        self.call(owner, Pending::Sync((owner.clone(), *of)), request);
    }

    pub(super) fn members(&mut self, subject: Subject, page: &MembersPage) {
        let Ok(members) = page.members.entries() else {
            let error = Code::InternalChannel.because("the channel's members could not be read");
            return self.sync_failed(&subject, &error);
        };
        let Some(run) = self.syncing.syncs.get_mut(&subject).and_then(|syncs| syncs.reading.as_mut()) else { return };
        let Page::Asked { left } = &run.page else { return };
        let is_there = |entry: &Entry| {
            entry.presence().iter().all(|one| left.get(&one.key()).is_none_or(|at| *at < entry.position))
        };
        let members = members.into_iter().filter(is_there).collect();
        self.send_read(subject, Content::Members(members), page.next.clone().map(Next::Member));
    }

    pub(super) fn objects(&mut self, subject: Subject, page: ObjectsPage) {
        let ObjectsPage { epoch, objects, next } = page;
        let subject_of = self.syncing.syncs.get_mut(&subject);
        if let Some(run) = subject_of.and_then(|syncs| syncs.reading.as_mut()) {
            let last = objects.iter().filter_map(|object| object.object.stamp).map(|stamp| stamp.position).max();
            let before = run.told.take().filter(|(of, _)| *of == epoch).map(|(_, position)| position);
            run.told = last.max(before).map(|position| (epoch.clone(), position));
        }
        self.send_read(subject, Content::Objects(objects, epoch), next.map(Next::Object));
    }

    fn send_read(&mut self, subject: Subject, content: Content, next: Option<Next>) {
        let Some(run) = self.syncing.syncs.get_mut(&subject).and_then(|syncs| syncs.reading.as_mut()) else { return };
        if matches!(run.page, Page::Asked { .. }) {
            run.read += content.len();
            run.page = Page::Going { content, next, through: None };
            self.syncing.turn.channels.push(subject);
            self.send_pages();
        }
    }

    /// Remembers who leaves while a page is under way that may still name them. For most readers it would not matter,
    /// but SDKs take a member of their own that a page names for one to enter again when they next attach.
    pub(super) fn note_leaves(&mut self, owner: &ChannelName, entries: &[Entry]) {
        let subject = (owner.clone(), Of::Members);
        let Some(run) = self.syncing.syncs.get_mut(&subject).and_then(|syncs| syncs.reading.as_mut()) else { return };
        for entry in entries {
            for event in entry.presence().iter().filter(|event| event.action == PresenceAction::Leave) {
                match &mut run.page {
                    Page::Asked { left } => drop(left.insert(event.key(), entry.position)),
                    Page::Going { content: Content::Objects(..), .. } => {}
                    Page::Going { content: Content::Members(members), .. } => {
                        members.retain(|member| member.position > entry.position || !names(member, event));
                    }
                }
            }
        }
    }

    /// Sends of the pages that are on their way what a turn may, and sees to the next.
    pub(super) fn send_pages(&mut self) {
        self.syncing.turn.renew(self.now_ms);
        while self.syncing.turn.sent_bytes < self.bounds.sync_turn_bytes
            && let Some(subject) = self.next_to_send()
        {
            self.send_page(&subject);
        }
    }

    /// A channel that goes on with its page, or has sent none in this turn.
    fn next_to_send(&mut self) -> Option<Subject> {
        let may = |subject: &Subject| {
            let run = self.syncing.syncs.get(subject).and_then(|syncs| syncs.reading.as_ref());
            run.is_none_or(|run| run.turn != self.syncing.turn.number || run.is_amid_page())
        };
        let index = self.syncing.turn.channels.iter().position(may)?;
        Some(self.syncing.turn.channels.remove(index))
    }

    fn send_page(&mut self, subject: &Subject) {
        let Some(mut run) = self.syncing.syncs.get_mut(subject).and_then(|syncs| syncs.reading.take()) else { return };
        if self.is_ahead(&subject.0, &run) {
            self.syncing.ahead.insert(subject.0.clone());
            if let Some(syncs) = self.syncing.syncs.get_mut(subject) {
                syncs.reading = Some(run);
            }
            return;
        }
        if !run.is_amid_page() {
            run.turn = self.syncing.turn.number;
        }
        let is_sent = self.send_to_some(&mut run, subject.1);
        run.readers.retain(|(socket, name)| !is_sent || self.is_reading(*socket, name, subject.1, run.id));
        let next = match &mut run.page {
            Page::Going { next, .. } if is_sent => next.take(),
            _ => None,
        };
        if is_sent && (next.is_none() || run.readers.is_empty()) {
            return self.begin_sync(subject);
        }
        if next.is_some() {
            run.page = Page::Asked { left: BTreeMap::new() };
        }
        if let Some(syncs) = self.syncing.syncs.get_mut(subject) {
            syncs.reading = Some(run);
        }
        match next {
            Some(_) => self.read_page(subject, next),
            None => self.syncing.turn.channels.push(subject.clone()),
        }
    }

    /// Whether this is the last page, and its sync tells of what the relay has not given out yet. It would end it for
    /// readers who then get some of that again, and that must not be within a sum: see `sums.rs`.
    fn is_ahead(&self, owner: &ChannelName, run: &Run) -> bool {
        let Page::Going { next: None, .. } = run.page else { return false };
        let (Some((epoch, told)), Some(feed)) = (&run.told, self.feeds.get(owner)) else { return false };
        feed.epoch() == epoch && feed.position().is_some_and(|reached| reached < *told)
    }

    /// The relay has got further on this channel: what waited for that goes out.
    pub(super) fn sync_reached(&mut self, owner: &ChannelName) {
        if self.syncing.ahead.remove(owner) {
            self.syncing.turn.channels.push((owner.clone(), Of::Objects));
            self.send_pages();
        }
    }

    /// Sends a page to as many more as this turn has room for, one at least. Gives whether all have it.
    fn send_to_some(&mut self, run: &mut Run, of: Of) -> bool {
        let Page::Going { content, next, through } = &mut run.page else { return true };
        let bytes = SYNC_SEND_BYTES + content.weight();
        let room = self.bounds.sync_turn_bytes.saturating_sub(self.syncing.turn.sent_bytes).div_ceil(bytes);
        let from = through.as_ref().map_or(Unbounded, Excluded);
        let readers: Vec<Reader> = run.readers.range((from, Unbounded)).take(room).cloned().collect();
        self.syncing.turn.sent_bytes += bytes * readers.len();
        let serial = match next {
            Some(_) => format!("{}:{}", run.sequence, run.read),
            None => format!("{}:", run.sequence),
        };
        let mut alike = BTreeMap::<(Dialect, ChannelName), Vec<SocketId>>::new();
        for (socket, name) in &readers {
            if !self.is_reading(*socket, name, of, run.id) {
                continue;
            }
            if next.is_none() {
                self.synced(*socket, name, of);
            }
            let Some(session) = self.sessions.get_mut(socket) else { continue };
            session.last_sent_ms = self.now_ms;
            if session.hears_alone(name) {
                let frame = content.frame(name.as_str(), &serial, session);
                self.send_encoded(*socket, frame);
                continue;
            }
            alike.entry((session.dialect, name.clone())).or_default().push(*socket);
        }
        for ((dialect, name), sockets) in alike {
            let frame = content.frame(name.as_str(), &serial, dialect);
            sockets.iter().for_each(|socket| self.charge_answer(*socket, frame.len()));
            self.effects.push(Effect::Send { sockets, frame });
        }
        let is_sent = readers.len() < room;
        *through = readers.last().cloned().or(through.take());
        is_sent
    }

    fn is_reading(&mut self, socket: SocketId, name: &ChannelName, of: Of, run: u64) -> bool {
        self.attachment(socket, name).is_some_and(|attachment| *attachment.syncs.of(of) == Some(run))
    }

    fn synced(&mut self, socket: SocketId, name: &ChannelName, of: Of) {
        if let Some(attachment) = self.attachment(socket, name) {
            *attachment.syncs.of(of) = None;
            self.touch(socket);
        }
    }

    /// What is there could not be read: its readers come back for it.
    pub(super) fn sync_failed(&mut self, subject: &Subject, error: &ErrorInfo) {
        let run = self.syncing.syncs.get_mut(subject).and_then(|syncs| syncs.reading.take());
        for (socket, name) in run.iter().flat_map(|run| &run.readers) {
            if run.as_ref().is_some_and(|run| self.is_reading(*socket, name, subject.1, run.id)) {
                self.give_up(*socket, name, error);
            }
        }
        self.begin_sync(subject);
    }
}

impl Run {
    /// Some have the page that is on its way, and others don't.
    fn is_amid_page(&self) -> bool {
        matches!(self.page, Page::Going { through: Some(_), .. })
    }
}

fn names(member: &Entry, event: &PresenceMessage) -> bool {
    member.presence().iter().any(|one| one.client_id == event.client_id && one.connection_id == event.connection_id)
}
