//! Replays: what the log has is given to attachments that resume or rewind, page by page, until they are live
//! (protocol.md §§ 6, 7).

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use super::attachment::{Attachment, Replay, Rewind, State};
use super::calls::Pending;
use super::deltas::link;
use super::fanout::{bytes_of, render};
use super::feed::Feed;
use super::filters::Sieve;
use super::sync::Of;
use super::{Relay, SocketId};
use crate::error::{Code, ErrorInfo};
use crate::model::flags::{HAS_BACKLOG, HAS_OBJECTS, HAS_PRESENCE, Modes, RESUMED};
use crate::model::message::Entry;
use crate::model::name::ChannelName;
use crate::model::serial::Position;
use crate::protocol::Encoded;
use crate::protocol::action;
use crate::protocol::dialect::Dialect;
use crate::protocol::outbound::{Outbound, sync_frame};
use crate::rpc::Ticket;
use crate::rpc::{Backlog, ReadFrom, Request};

/// The end of the log.
pub const PRESENT: ReadFrom = ReadFrom::Last { messages: 0 };

/// A read of the log, and the attachments that wait for it: those that resume together from one serial share one.
#[derive(Debug)]
pub struct Read {
    pub owner: ChannelName,
    pub from: ReadFrom,
    pub readers: Vec<(SocketId, ChannelName)>,
}

/// Frames of one page of the log, and who gets which: a crowd that lost its connections together gets the same.
#[derive(Default)]
struct Replays(BTreeMap<(Dialect, ChannelName), Replayed>);

#[derive(Default)]
struct Replayed {
    of: Vec<*const Entry>,
    frames: Vec<Encoded>,
    sockets: Vec<SocketId>,
}

impl Replays {
    /// The page of who gets these entries, and one that is to be sent before: of another part of them.
    fn page(
        &mut self,
        name: &ChannelName,
        epoch: &str,
        entries: &[&Entry],
        dialect: Dialect,
    ) -> (&mut Replayed, Replayed) {
        let of: Vec<*const Entry> = entries.iter().map(|entry| ptr::from_ref(*entry)).collect();
        let page = self.0.entry((dialect, name.clone())).or_default();
        let mut before = Replayed::default();
        if page.of != of {
            let frames = render(name, epoch, entries, dialect);
            before = std::mem::replace(page, Replayed { of, frames, sockets: Vec::new() });
        }
        (page, before)
    }
}

/// What an ATTACHED says besides the granted modes.
struct Announcement<'a> {
    epoch: &'a str,
    position: Position,
    flags: u32,
    error: Option<&'a ErrorInfo>,
    /// How many are present.
    members: usize,
}

impl Relay {
    /// Reads a page of the log for an attachment, as soon as its connection may be sent more.
    pub(super) fn read(&mut self, socket: SocketId, name: &ChannelName, from: ReadFrom, replay: Replay) {
        if !self.allows(socket, 0) {
            return self.hold(socket, name, from, replay);
        }
        let owner = name.owner();
        let read = match self.calls.reading(&owner, &from) {
            Some((ticket, read)) => {
                read.readers.push((socket, name.clone()));
                ticket
            }
            None => {
                let read = Read { owner: owner.clone(), from: from.clone(), readers: vec![(socket, name.clone())] };
                self.call(&owner, Pending::Read(read), Request::Read(from))
            }
        };
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.state = State::Reading { read, replay };
        }
    }

    pub(super) fn backlog(&mut self, ticket: Ticket, read: &Read, backlog: &Backlog) {
        let Ok(entries) = backlog.entries.entries() else {
            let error = Code::InternalChannel.because("the channel's log could not be read");
            return self.read_failed(ticket, read, &error);
        };
        if let Some(feed) = self.feeds.get_mut(&read.owner).filter(|feed| feed.is_at_end(backlog)) {
            feed.heard_ms = self.now_ms;
        }
        let (mut sieve, mut replays) = (Sieve::new(&entries), Replays::default());
        let (mut given, mut seen) = (Vec::new(), BTreeSet::new());
        for (socket, name) in &read.readers {
            let Some(mut replay) = self.reading(*socket, name, ticket) else { continue };
            if !replay.announced && !replay.resumes {
                // What was before the present it is given as what it came to. Of a longer log the end is not known.
                let position = self.feeds.get(&read.owner).and_then(Feed::position);
                let present = if backlog.more { position } else { Some(backlog.through) };
                replay.whole_after = present.unwrap_or(Position::LAST);
            }
            // One that attached again meanwhile waits twice.
            if !seen.insert((*socket, name)) {
                continue;
            }
            if !self.allows(*socket, backlog.entries.len()) {
                self.hold(*socket, name, read.from.clone(), replay);
            } else if self.give_page(*socket, name, backlog, (&mut sieve, &mut replays), replay) {
                given.push((*socket, name, replay));
            }
        }
        self.send_replays(replays);
        for (socket, name, replay) in given {
            self.after_page(socket, name, backlog, replay);
        }
    }

    fn reading(&mut self, socket: SocketId, name: &ChannelName, ticket: Ticket) -> Option<Replay> {
        match self.attachment(socket, name)?.state {
            State::Reading { read, replay } if read == ticket => Some(replay),
            _ => None,
        }
    }

    /// One page for one attachment, after ATTACHED if it is the first. Whether it goes on from there.
    fn give_page(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        backlog: &Backlog,
        (sieve, replays): (&mut Sieve<'_>, &mut Replays),
        replay: Replay,
    ) -> bool {
        let Some(position) = self.feeds.get(&name.owner()).and_then(Feed::position) else { return false };
        if let Some(error) = &backlog.lost {
            // The later of both knows who is there: what lies before it is never delivered to this one.
            let (at, members) = match self.feeds.get(&name.owner()) {
                Some(feed) if position > backlog.through => (position, feed.members()),
                _ => (backlog.through, backlog.members),
            };
            let what = Announcement { epoch: &backlog.epoch, position: at, flags: 0, error: Some(error), members };
            self.announce(socket, name, &what);
            self.go_live(socket, name, at, members);
            return false;
        }
        let entries = self.for_reader(socket, name, sieve, replay.whole_after);
        if !replay.announced {
            // The serial of the place it goes on from, not of the present: should the transport be lost during the
            // replay, the client comes back with what it really has.
            let flags = if replay.resumes { RESUMED } else { 0 }
                | if entries.is_empty() && !backlog.more { 0 } else { HAS_BACKLOG };
            self.announce(
                socket,
                name,
                &Announcement {
                    epoch: &backlog.epoch,
                    position: backlog.after,
                    flags,
                    error: None,
                    members: backlog.members,
                },
            );
        }
        self.give_entries(socket, name, &backlog.epoch, &entries, replays);
        true
    }

    /// Entries of a replay for one reader: at once, or with the page that others get, too.
    fn give_entries(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        epoch: &str,
        entries: &[&Entry],
        replays: &mut Replays,
    ) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.last_sent_ms = self.now_ms;
        let attachment = session.attachments.get_mut(name);
        let (mut fed, mut linked, mut is_alike) = (false, None, session.door.is_none());
        if let Some(attachment) = attachment {
            fed = attachment.fell_behind;
            is_alike &= attachment.filter().is_none();
            linked = attachment.deltas.are_wanted().then(|| link(None, entries));
            attachment.deltas.pass(entries);
        }
        let bytes = if is_alike && linked.is_none() {
            let (page, before) = replays.page(name, epoch, entries, session.dialect);
            page.sockets.push(socket);
            let bytes = bytes_of(&page.frames);
            self.send_replayed(before);
            bytes
        } else {
            let frames = match &linked {
                Some(deltas) => render(name, epoch, &deltas.iter().collect::<Vec<_>>(), session),
                None => render(name, epoch, entries, session),
            };
            let bytes = bytes_of(&frames);
            self.push_frames(vec![socket], frames);
            bytes
        };
        self.note_orders(socket);
        match fed {
            true => self.charge_fed(socket, bytes),
            false => self.charge_answer(socket, bytes),
        }
        self.count_sent(name, entries, 1);
    }

    fn send_replays(&mut self, replays: Replays) {
        replays.0.into_values().for_each(|page| self.send_replayed(page));
    }

    fn send_replayed(&mut self, page: Replayed) {
        self.push_frames(page.sockets, page.frames);
    }

    /// Live after the last page.
    fn after_page(&mut self, socket: SocketId, name: &ChannelName, backlog: &Backlog, replay: Replay) {
        let Some(position) = self.feeds.get(&name.owner()).and_then(Feed::position) else { return };
        if let Some(from) = self.attachment(socket, name).and_then(|attachment| attachment.goes_on.take()) {
            return self.read(socket, name, *from, Replay::RESUMES.announced());
        }
        if backlog.more || backlog.through < position {
            let from = ReadFrom::After { position: backlog.through, epoch: backlog.epoch.clone() };
            return self.read(socket, name, from, replay.announced());
        }
        let fell_behind = self.attachment(socket, name).is_some_and(|attachment| attachment.fell_behind);
        let members = if fell_behind { 0 } else { backlog.members };
        self.go_live(socket, name, backlog.through, members);
    }

    pub(super) fn read_failed(&mut self, ticket: Ticket, read: &Read, error: &ErrorInfo) {
        for (socket, name) in &read.readers {
            if self.reading(*socket, name, ticket).is_some() {
                self.give_up(*socket, name, error);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what ATTACHED says, spelled out at each of its few uses")]
    pub(super) fn announce_live(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        epoch: &str,
        position: Position,
        flags: u32,
        error: Option<&ErrorInfo>,
    ) {
        let members = self.feeds.get(&name.owner()).map_or(0, Feed::members);
        self.announce(socket, name, &Announcement { epoch, position, flags, error, members });
        self.go_live(socket, name, position, members);
    }

    fn go_live(&mut self, socket: SocketId, name: &ChannelName, after: Position, members: usize) {
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.state = State::Live { after };
            attachment.fell_behind = false;
            attachment.goes_on = None;
            let awaited = std::mem::take(&mut attachment.awaits_sync);
            self.sync_awaited(socket, name, awaited, members);
        }
        let is_kept = self.sessions.get(&socket).is_some_and(|session| session.is_kept);
        if let Some(feed) = self.feeds.get_mut(&name.owner()).filter(|_| is_kept) {
            feed.checkpoint.get_or_insert_with(|| (socket, name.clone()));
        }
        self.begin_listening(socket, name);
        self.touch(socket);
    }

    fn announce(&mut self, socket: SocketId, name: &ChannelName, what: &Announcement<'_>) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let Some(attachment) = session.attachments.get(name) else { return };
        let modes = attachment.granted(session.grant.capability.operations(name));
        // Who is not told who is present would wait for it for ever.
        let has_presence = what.members > 0 && modes.contains(Modes::PRESENCE_SUBSCRIBE);
        // A client that does not read this forgets all objects, also where it resumes.
        let has_objects = modes.contains(Modes::OBJECT_SUBSCRIBE);
        let has = if has_presence { HAS_PRESENCE } else { 0 } | if has_objects { HAS_OBJECTS } else { 0 };
        let flags = what.flags | modes.bits() | has;
        let (serial, params) = (what.position.serial(what.epoch), attachment.params.accepted.clone());
        let frame = Outbound {
            action: action::ATTACHED,
            channel: Some(name.as_str()),
            channel_serial: Some(&serial),
            flags: Some(flags),
            params: Some(&params),
            error: what.error,
            ..Outbound::default()
        };
        self.send(socket, &frame);
        let now_ms = self.now_ms;
        if let Some(attachment) = self.attachment(socket, name) {
            *attachment.awaits_sync.of(Of::Members) = has_presence;
            *attachment.awaits_sync.of(Of::Objects) = has_objects;
            if let Some(view) = &mut attachment.view {
                (view.told, view.told_at_ms) = (what.position, now_ms);
            }
            attachment.deltas.begin_anew();
        }
        self.returned(socket, name, what.members);
    }

    /// What a client that is attached would resume from, though nothing came for it.
    pub(super) fn announce_progress(&mut self, socket: SocketId, name: &ChannelName, epoch: &str, position: Position) {
        let what = Announcement { epoch, position, flags: RESUMED, error: None, members: 0 };
        self.announce(socket, name, &what);
    }

    /// What each attachment may do that was said to be attached.
    pub(super) fn granted(&self, socket: SocketId) -> BTreeMap<ChannelName, Modes> {
        let Some(session) = self.sessions.get(&socket) else { return BTreeMap::new() };
        let modes = |(name, attachment): (&ChannelName, &Attachment)| {
            let operations = session.grant.capability.operations(name);
            attachment.is_announced().then(|| (name.clone(), attachment.granted(operations)))
        };
        session.attachments.iter().filter_map(modes).collect()
    }

    /// Says so where an attachment may do something else than before. One that is told of more missed what there was of
    /// it, and lacks what it came to: it begins with that anew. Any other goes on, which doors have no word for. SDKs
    /// decide by the modes that they were last told of, and keep whom they know to be present unless a sync ends.
    pub(super) fn announce_regranted(&mut self, socket: SocketId, before: &BTreeMap<ChannelName, Modes>) {
        let is_door = self.sessions.get(&socket).is_some_and(|session| session.door.is_some());
        for (name, now) in self.granted(socket) {
            let Some(before) = before.get(&name).filter(|before| **before != now) else { continue };
            if !before.contains(now.intersection(Modes::TOLD)) {
                self.announce_regained(socket, &name);
            } else if !is_door {
                self.announce_going_on(socket, &name);
                if before.contains(Modes::PRESENCE_SUBSCRIBE) && !now.contains(Modes::PRESENCE_SUBSCRIBE) {
                    self.end_membership(socket, &name);
                }
            }
        }
    }

    fn announce_regained(&mut self, socket: SocketId, name: &ChannelName) {
        let error = Code::ContinuityUnknown.because("the capability did not allow to be told of what happened before");
        let after = match self.attachment(socket, name).map(|attachment| &attachment.state) {
            Some(State::Live { after }) => *after,
            _ => Position::ZERO,
        };
        let Some(feed) = self.feeds.get(&name.owner()) else { return };
        let (epoch, Some(position)) = (feed.epoch().to_owned(), feed.position().max(Some(after))) else { return };
        self.count_attaches(socket, 1);
        self.announce_live(socket, name, &epoch, position, 0, Some(&error));
    }

    /// An attachment goes on where it is. It is told again who and what is there, as of one that resumes.
    fn announce_going_on(&mut self, socket: SocketId, name: &ChannelName) {
        let session = self.sessions.get(&socket);
        let Some(attachment) = session.and_then(|session| session.attachments.get(name)) else { return };
        let (is_live, Some((position, epoch))) = (attachment.is_live(), self.place_of(name, attachment)) else {
            return;
        };
        self.count_attaches(socket, 1);
        if is_live {
            return self.announce_live(socket, name, &epoch, position, RESUMED, None);
        }
        let members = self.feeds.get(&name.owner()).map_or(0, Feed::members);
        self.announce(socket, name, &Announcement { epoch: &epoch, position, flags: RESUMED, error: None, members });
    }

    /// Whoever may not be told any more who is there is left with nobody: a sync ends that names none.
    fn end_membership(&mut self, socket: SocketId, name: &ChannelName) {
        let serial = format!("{}-{}:", self.now_ms, self.calls.next_ticket().0);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let frame = sync_frame(name.as_str(), &serial, &[], session);
        self.send_encoded(socket, frame);
    }

    /// The log no longer has what lies before `prior`: say so to everyone on the channel who doesn't have it, and go on
    /// from there. In another life of the channel nobody has anything.
    pub(super) fn announce_gap(&mut self, owner: &ChannelName, epoch: &str, prior: Position, begins: bool) {
        let error = Code::ContinuityUnknown.into();
        let lacks = |attachment: &Attachment| match attachment.state {
            State::Live { after } => begins || after < prior,
            State::Waiting(_) | State::Reading { .. } | State::Behind { .. } => false,
        };
        let members: Vec<_> = self.feeds.get(owner).into_iter().flat_map(|feed| feed.members.iter().cloned()).collect();
        for (socket, name) in members {
            if self.attachment(socket, &name).is_some_and(|attachment| lacks(attachment)) {
                self.announce_live(socket, &name, epoch, prior, 0, Some(&error));
            }
        }
    }
}

pub fn rewind_from(rewind: Rewind, now_ms: u64) -> ReadFrom {
    match rewind {
        Rewind::Messages(messages) => ReadFrom::Last { messages },
        Rewind::Time { ms, messages } => ReadFrom::Since { time_ms: now_ms.saturating_sub(ms), messages },
    }
}
