//! The presence set goes out: SYNC, in pages, beside what is live (protocol.md § 10).
//!
//! Those who need the set of one channel at the same time share its pages: each is read once, and goes as one frame to
//! one reader after another. Who comes while a sync is under way waits for the next, so that late joiners, however
//! many, cost two readings of the set at a time.
//!
//! Why a large set stalls nobody: a [`Turn`] sends only so many bytes, whosever, and then time passes in which live
//! messages come and go. Of one channel no reader gets more than a page in a turn, so that what is live stands behind
//! little in any socket's queue: the runtime doesn't say how long that is.
//!
//! Why a page may be older than what was sent before it: a sync begins, with an empty page, at the moment its reader
//! goes live. From there on the client keeps what leaves until the sync ends, and takes of each member what is newer.
//! Of those who left meanwhile nothing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::attachment::Attachment;
use super::fanout::Alike;
use super::{Effect, Pending, Relay, SocketId};
use crate::call::{MembersPage, MembersQuery, Request};
use crate::error::{Code, ErrorInfo};
use crate::limits::{SYNC_SEND_BYTES, SYNC_TURN_MS};
use crate::name::ChannelName;
use crate::serial::Position;
use crate::wire::flags::Modes;
use crate::wire::message::Entry;
use crate::wire::outbound::sync_frame;
use crate::wire::presence::{MemberKey, PresenceAction, PresenceMessage};

type Reader = (SocketId, ChannelName);

/// The syncs of one channel.
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
    page: Page,
    /// In which turn of the relay the last page began to go out.
    turn: u64,
}

#[derive(Debug)]
enum Page {
    /// Asked for. It may still name those who left since; where they did.
    Asked { left: BTreeMap<MemberKey, Position> },
    /// On its way, and the last reader that it went to.
    Going { members: Vec<Entry>, next: Option<MemberKey>, through: Option<Reader> },
}

/// How much of all syncs goes out in a while.
#[derive(Debug, Default)]
pub struct Turn {
    number: u64,
    began_ms: u64,
    sent_bytes: usize,
    /// Channels with a page on its way, the one that has waited longest first.
    channels: Vec<ChannelName>,
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
    /// Whether this attachment is told who is present.
    pub(super) fn watches_presence(&self, socket: SocketId, name: &ChannelName) -> bool {
        let Some(session) = self.sessions.get(&socket) else { return false };
        let granted = |attachment: &Attachment| attachment.granted(session.grant.capability.operations(name));
        session.attachments.get(name).is_some_and(|attachment| granted(attachment).contains(Modes::PRESENCE_SUBSCRIBE))
    }

    /// A reader may not be told any more who is present: its sync ends with what it has.
    pub(super) fn end_sync(&mut self, socket: SocketId, name: &ChannelName, now_ms: u64) {
        let Some(attachment) = self.attachment(socket, name) else { return };
        attachment.awaits_sync = false;
        let Some(id) = attachment.syncs.take() else { return };
        self.touch(socket);
        let runs =
            self.syncs.get(&name.owner()).into_iter().flat_map(|syncs| syncs.reading.iter().chain(&syncs.waiting));
        let Some(serial) = runs.filter(|run| run.id == id).map(|run| format!("{}:", run.sequence)).next() else {
            return;
        };
        let Some(format) = self.sessions.get(&socket).map(|session| session.format) else { return };
        self.send_encoded(socket, sync_frame(name.as_str(), &serial, [].into_iter(), format), now_ms);
    }

    /// SYNC from a client: once more, from the beginning.
    pub(super) fn resync(&mut self, socket: SocketId, channel: &str, now_ms: u64) {
        let Ok(name) = ChannelName::parse(channel) else { return };
        match self.attachment(socket, &name) {
            Some(attachment) if attachment.is_live() => self.sync(socket, &name, now_ms),
            Some(attachment) => attachment.awaits_sync = true,
            None => {}
        }
    }

    /// Gives the set to an attachment that is live.
    pub(super) fn sync(&mut self, socket: SocketId, name: &ChannelName, now_ms: u64) {
        if !self.watches_presence(socket, name) {
            return;
        }
        let owner = name.owner();
        let id = self.next_ticket().0;
        let begin = || Run {
            id,
            sequence: format!("{now_ms}-{id}"),
            readers: BTreeSet::new(),
            read: 0,
            page: Page::Asked { left: BTreeMap::new() },
            turn: 0,
        };
        let run = self.syncs.entry(owner.clone()).or_default().waiting.get_or_insert_with(begin);
        let (id, serial) = (run.id, format!("{}:0", run.sequence));
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let format = session.format;
        let Some(attachment) = session.attachments.get_mut(name) else { return };
        attachment.syncs = Some(id);
        run.readers.insert((socket, name.clone()));
        self.touch(socket);
        self.send_encoded(socket, sync_frame(name.as_str(), &serial, [].into_iter(), format), now_ms);
        self.begin_sync(&owner, now_ms);
    }

    fn begin_sync(&mut self, owner: &ChannelName, now_ms: u64) {
        let Some(syncs) = self.syncs.get_mut(owner) else { return };
        if syncs.reading.is_some() {
            return;
        }
        syncs.reading = syncs.waiting.take();
        match syncs.reading {
            Some(_) => self.read_members(owner, None, now_ms),
            None => drop(self.syncs.remove(owner)),
        }
    }

    fn read_members(&mut self, owner: &ChannelName, after: Option<MemberKey>, now_ms: u64) {
        let query = MembersQuery { after, limit: self.bounds.sync_members, ..MembersQuery::default() };
        self.call(owner, Pending::Members(owner.clone()), Request::Members(query), now_ms);
    }

    pub(super) fn members(&mut self, owner: &ChannelName, page: &MembersPage, now_ms: u64) {
        let Ok(members) = page.members.entries() else {
            let error = Code::InternalChannel.because("the channel's members could not be read");
            return self.members_failed(owner, &error, now_ms);
        };
        let Some(run) = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.as_mut()) else { return };
        let Page::Asked { left } = &run.page else { return };
        let is_there = |entry: &Entry| {
            entry.presence().iter().all(|one| left.get(&one.key()).is_none_or(|at| *at < entry.position))
        };
        let members: Vec<Entry> = members.into_iter().filter(is_there).collect();
        run.read += members.len();
        run.page = Page::Going { members, next: page.next.clone(), through: None };
        self.turn.channels.push(owner.clone());
        self.send_pages(now_ms);
    }

    /// Remembers who leaves while a page is under way that may still name them. For most readers it would not matter,
    /// but SDKs take a member of their own that a page names for one to enter again when they next attach.
    pub(super) fn note_leaves(&mut self, owner: &ChannelName, entries: &[Entry]) {
        let Some(run) = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.as_mut()) else { return };
        for entry in entries {
            for event in entry.presence().iter().filter(|event| event.action == PresenceAction::Leave) {
                match &mut run.page {
                    Page::Asked { left } => drop(left.insert(event.key(), entry.position)),
                    Page::Going { members, .. } => {
                        members.retain(|member| member.position > entry.position || !names(member, event));
                    }
                }
            }
        }
    }

    /// Sends of the pages that are on their way what a turn may, and sees to the next.
    pub(super) fn send_pages(&mut self, now_ms: u64) {
        self.turn.renew(now_ms);
        while self.turn.sent_bytes < self.bounds.sync_turn_bytes
            && let Some(owner) = self.next_to_send()
        {
            self.send_page(&owner, now_ms);
        }
    }

    /// A channel that goes on with its page, or has sent none in this turn.
    fn next_to_send(&mut self) -> Option<ChannelName> {
        let may = |owner: &ChannelName| {
            let run = self.syncs.get(owner).and_then(|syncs| syncs.reading.as_ref());
            run.is_none_or(|run| run.turn != self.turn.number || run.is_amid_page())
        };
        let index = self.turn.channels.iter().position(may)?;
        Some(self.turn.channels.remove(index))
    }

    fn send_page(&mut self, owner: &ChannelName, now_ms: u64) {
        let Some(mut run) = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.take()) else { return };
        if !run.is_amid_page() {
            run.turn = self.turn.number;
        }
        let is_sent = self.send_to_some(&mut run, now_ms);
        run.readers.retain(|(socket, name)| !is_sent || self.is_reading(*socket, name, run.id));
        let next = match &mut run.page {
            Page::Going { next, .. } if is_sent => next.take(),
            _ => None,
        };
        if is_sent && (next.is_none() || run.readers.is_empty()) {
            return self.begin_sync(owner, now_ms);
        }
        if next.is_some() {
            run.page = Page::Asked { left: BTreeMap::new() };
        }
        if let Some(syncs) = self.syncs.get_mut(owner) {
            syncs.reading = Some(run);
        }
        match next {
            Some(_) => self.read_members(owner, next, now_ms),
            None => self.turn.channels.push(owner.clone()),
        }
    }

    /// Sends a page to as many more as this turn has room for, one at least. Gives whether all have it.
    fn send_to_some(&mut self, run: &mut Run, now_ms: u64) -> bool {
        let Page::Going { members, next, through } = &mut run.page else { return true };
        let bytes = SYNC_SEND_BYTES + members.iter().map(Entry::weight).sum::<usize>();
        let room = self.bounds.sync_turn_bytes.saturating_sub(self.turn.sent_bytes).div_ceil(bytes);
        let from = through.as_ref().map_or(Unbounded, Excluded);
        let readers: Vec<Reader> = run.readers.range((from, Unbounded)).take(room).cloned().collect();
        self.turn.sent_bytes += bytes * readers.len();
        let serial = match next {
            Some(_) => format!("{}:{}", run.sequence, run.read),
            None => format!("{}:", run.sequence),
        };
        let mut alike = Alike::default();
        for (socket, name) in &readers {
            if !self.is_reading(*socket, name, run.id) {
                continue;
            }
            if next.is_none() {
                self.synced(*socket, name);
            }
            let Some(session) = self.sessions.get_mut(socket) else { continue };
            session.last_sent_ms = now_ms;
            alike.entry((session.format, name.clone())).or_default().push(*socket);
        }
        for ((format, name), sockets) in alike {
            let frame = sync_frame(name.as_str(), &serial, members.iter(), format);
            sockets.iter().for_each(|socket| self.charge_answer(*socket, frame.len(), now_ms));
            self.effects.push(Effect::Send { sockets, frame });
        }
        let is_sent = readers.len() < room;
        *through = readers.last().cloned().or(through.take());
        is_sent
    }

    fn is_reading(&self, socket: SocketId, name: &ChannelName, run: u64) -> bool {
        let attachment = self.sessions.get(&socket).and_then(|session| session.attachments.get(name));
        attachment.is_some_and(|attachment| attachment.syncs == Some(run))
    }

    fn synced(&mut self, socket: SocketId, name: &ChannelName) {
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.syncs = None;
            self.touch(socket);
        }
    }

    /// The set could not be read: its readers come back for it.
    pub(super) fn members_failed(&mut self, owner: &ChannelName, error: &ErrorInfo, now_ms: u64) {
        let run = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.take());
        for (socket, name) in run.iter().flat_map(|run| &run.readers) {
            if run.as_ref().is_some_and(|run| self.is_reading(*socket, name, run.id)) {
                self.give_up(*socket, name, error, now_ms);
            }
        }
        self.begin_sync(owner, now_ms);
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
