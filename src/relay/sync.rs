//! The presence set goes out: SYNC, in pages, beside what is live (protocol.md § 10).
//!
//! Those who need the set of one channel at the same time share its pages: each is read once and rendered once for each
//! format. Who comes while a sync is under way waits for the next, so that late joiners, however many, cost two readings
//! of the set at a time and each page is a turn of its own, between which live messages pass.
//!
//! Why a page may be older than what was sent before it: a sync begins, with an empty page, at the moment its reader goes
//! live. From there on the client keeps what leaves until the sync ends, and takes of each member what is newer. Of those
//! who left meanwhile nothing is said.

use std::collections::{BTreeMap, BTreeSet};

use super::attachment::Attachment;
use super::{Effect, Pending, Relay, SocketId};
use crate::call::{MembersPage, MembersQuery, Request};
use crate::error::{Code, ErrorInfo};
use crate::limits::{MEMBERS_PAGE_MAX, SYNC_FRAME_MEMBERS};
use crate::name::ChannelName;
use crate::serial::Position;
use crate::wire::Format;
use crate::wire::flags::Modes;
use crate::wire::message::Entry;
use crate::wire::outbound::sync_frame;
use crate::wire::presence::{MemberKey, PresenceAction};

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
    /// Each once, though it attaches again while it waits: a page that comes twice would begin a sync of that page alone.
    readers: BTreeSet<Reader>,
    sent: usize,
    /// Who left, and where, since the page that is under way was asked for.
    left: BTreeMap<MemberKey, Position>,
}

impl Relay {
    /// Whether this attachment is told who is present.
    pub(super) fn watches_presence(&self, socket: SocketId, name: &ChannelName) -> bool {
        let Some(session) = self.sessions.get(&socket) else { return false };
        let granted = |attachment: &Attachment| attachment.granted(session.grant.capability.operations(name));
        session.attachments.get(name).is_some_and(|attachment| granted(attachment).contains(Modes::PRESENCE_SUBSCRIBE))
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
        let begin =
            || Run { id, sequence: format!("{now_ms}-{id}"), readers: BTreeSet::new(), sent: 0, left: BTreeMap::new() };
        let run = self.syncs.entry(owner.clone()).or_default().waiting.get_or_insert_with(begin);
        let (id, serial) = (run.id, format!("{}:0", run.sequence));
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let format = session.format;
        let Some(attachment) = session.attachments.get_mut(name) else { return };
        attachment.syncs = Some(id);
        run.readers.insert((socket, name.clone()));
        self.touch(socket);
        self.send_encoded(socket, sync_frame(name.as_str(), &serial, [].into_iter(), format), now_ms);
        self.begin_sync(&owner);
    }

    fn begin_sync(&mut self, owner: &ChannelName) {
        let Some(syncs) = self.syncs.get_mut(owner) else { return };
        if syncs.reading.is_some() {
            return;
        }
        syncs.reading = syncs.waiting.take();
        match syncs.reading {
            Some(_) => self.read_members(owner, None),
            None => drop(self.syncs.remove(owner)),
        }
    }

    fn read_members(&mut self, owner: &ChannelName, after: Option<MemberKey>) {
        let query = MembersQuery { after, limit: MEMBERS_PAGE_MAX, ..MembersQuery::default() };
        self.call(owner, Pending::Members(owner.clone()), Request::Members(query));
    }

    pub(super) fn members(&mut self, owner: &ChannelName, page: &MembersPage, now_ms: u64) {
        let Ok(members) = page.members.entries() else {
            let error = Code::InternalChannel.because("the channel's members could not be read");
            return self.members_failed(owner, &error, now_ms);
        };
        let Some(mut run) = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.take()) else { return };
        let left = std::mem::take(&mut run.left);
        let is_there = |entry: &&Entry| {
            entry.presence().iter().all(|member| left.get(&member.key()).is_none_or(|at| *at < entry.position))
        };
        let members: Vec<&Entry> = members.iter().filter(is_there).collect();
        run.readers.retain(|(socket, name)| self.is_reading(*socket, name, run.id));
        self.send_members(&mut run, &members, page.next.is_none(), now_ms);
        match &page.next {
            Some(after) if !run.readers.is_empty() => {
                if let Some(syncs) = self.syncs.get_mut(owner) {
                    syncs.reading = Some(run);
                }
                self.read_members(owner, Some(after.clone()));
            }
            _ => {
                run.readers.iter().for_each(|(socket, name)| self.synced(*socket, name));
                self.begin_sync(owner);
            }
        }
    }

    /// Remembers who leaves while a page is under way that may still name them. For most readers it would not matter, but
    /// SDKs take a member of their own that a page names for one to enter again when they next attach.
    pub(super) fn note_leaves(&mut self, owner: &ChannelName, entries: &[Entry]) {
        let Some(run) = self.syncs.get_mut(owner).and_then(|syncs| syncs.reading.as_mut()) else { return };
        for entry in entries {
            let leaves = entry.presence().iter().filter(|event| event.action == PresenceAction::Leave);
            run.left.extend(leaves.map(|event| (event.key(), entry.position)));
        }
    }

    fn is_reading(&self, socket: SocketId, name: &ChannelName, run: u64) -> bool {
        let attachment = self.sessions.get(&socket).and_then(|session| session.attachments.get(name));
        attachment.is_some_and(|attachment| attachment.syncs == Some(run))
    }

    fn send_members(&mut self, run: &mut Run, members: &[&Entry], is_last: bool, now_ms: u64) {
        let mut alike: BTreeMap<(Format, &ChannelName), Vec<SocketId>> = BTreeMap::new();
        for (socket, name) in &run.readers {
            let Some(session) = self.sessions.get_mut(socket) else { continue };
            session.last_sent_ms = now_ms;
            alike.entry((session.format, name)).or_default().push(*socket);
        }
        // The last frame ends the sync, if only to say so.
        let empty: [&[&Entry]; 1] = [&[]];
        let mut frames: Vec<&[&Entry]> = members.chunks(SYNC_FRAME_MEMBERS).collect();
        if frames.is_empty() && is_last {
            frames = empty.to_vec();
        }
        let count = frames.len();
        for (index, frame) in frames.into_iter().enumerate() {
            run.sent += frame.len();
            let ends = is_last && index + 1 == count;
            let serial = if ends { format!("{}:", run.sequence) } else { format!("{}:{}", run.sequence, run.sent) };
            for ((format, name), sockets) in &alike {
                let frame = sync_frame(name.as_str(), &serial, frame.iter().copied(), *format);
                sockets.iter().for_each(|socket| self.charge_answer(*socket, frame.len(), now_ms));
                self.effects.push(Effect::Send { sockets: sockets.clone(), frame });
            }
        }
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
        self.begin_sync(owner);
    }
}
