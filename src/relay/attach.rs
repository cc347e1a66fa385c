//! Attachments begin, catch up and end (protocol.md § 6, § 7).

use super::attachment::{Attachment, Rewind, Start, State};
use super::feed::Feed;
use super::filters::Sieve;
use super::occupancy::admit_listener;
use super::sync::Of;
use super::{Pending, Relay, SocketId};
use crate::call::{Backlog, Fate, ReadFrom, Request, Subscribed};
use crate::channel::Ticket;
use crate::error::{Code, ErrorInfo};
use crate::limits::ATTACH_FLOW;
use crate::name::ChannelName;
use crate::serial::Position;
use crate::wire::action;
use crate::wire::flags::{HAS_BACKLOG, HAS_OBJECTS, HAS_PRESENCE, Modes, RESUMED};
use crate::wire::inbound::Params;
use crate::wire::outbound::Outbound;

/// A read of the log, and the attachments that wait for it: those that resume together from one serial share one.
#[derive(Debug)]
pub struct Read {
    owner: ChannelName,
    from: ReadFrom,
    readers: Vec<(SocketId, ChannelName)>,
}

/// What an ATTACHED says besides the granted modes.
struct Announcement<'a> {
    series: &'a str,
    position: Position,
    flags: u32,
    error: Option<&'a ErrorInfo>,
    /// How many are present.
    members: usize,
}

impl Relay {
    pub(super) fn attach(
        &mut self,
        socket: SocketId,
        channel: &str,
        serial: Option<&str>,
        flags: u32,
        params: Params,
        now_ms: u64,
    ) {
        if let (Err(error), Ok(name)) = (self.admit_rate_of_attaches(socket, now_ms), ChannelName::parse(channel)) {
            return self.give_up(socket, &name, &error, now_ms);
        }
        match self.admit_attachment(socket, channel, serial, flags, params) {
            Ok(name) => {
                self.plan_report(&name.owner(), now_ms);
                self.start(socket, &name, now_ms);
            }
            Err(error) => self.fail_channel(socket, channel, &error, now_ms),
        }
    }

    /// Fails with 42910 when the connection attaches too often.
    fn admit_rate_of_attaches(&mut self, socket: SocketId, now_ms: u64) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get_mut(&socket) else { return Ok(()) };
        if session.attaches.left(ATTACH_FLOW, now_ms) >= ATTACH_FLOW.burst {
            return Err(Code::RateLimited.because("this connection attaches too often; wait before you try again"));
        }
        session.attaches.add(1, ATTACH_FLOW, now_ms);
        Ok(())
    }

    /// For its client the channel has failed, whatever it was before.
    pub(super) fn fail_channel(&mut self, socket: SocketId, channel: &str, error: &ErrorInfo, now_ms: u64) {
        if let Ok(name) = ChannelName::parse(channel) {
            self.remove_attachment(socket, &name, Fate::Left, now_ms);
        }
        self.channel_error(socket, channel, error, now_ms);
    }

    /// Fails with 40010 (name, filter), 40003 (parameters), 42910 (filters), and as [`Relay::admit_all`],
    /// [`Relay::fit`], [`Relay::admit_to`] and [`admit_listener`] do.
    fn admit_attachment(
        &mut self,
        socket: SocketId,
        channel: &str,
        serial: Option<&str>,
        flags: u32,
        params: Params,
    ) -> Result<ChannelName, ErrorInfo> {
        let name = ChannelName::parse(channel)?;
        self.admit_to(socket, &name)?;
        let mut attachment = Attachment::parse(&name, serial, flags, params)?;
        self.admit_annotations(&name, attachment.requested)?;
        let owner = name.owner();
        if let Some(view) = &mut attachment.view {
            view.filter = self.filters.admit(&owner, view.filter.clone())?;
        }
        self.count(socket, &owner, -1);
        let admitted = self.insert_attachment(socket, &name, attachment);
        self.count(socket, &owner, 1);
        admitted?;
        self.replace_witness(socket, &name);
        self.touch(socket);
        Ok(name)
    }

    fn insert_attachment(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        attachment: Attachment,
    ) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get_mut(&socket) else { return Ok(()) };
        admit_listener(session, name, &attachment)?;
        let before = session.attachments.get(name);
        let (present, row) = before.map_or((false, None), |before| (before.present, before.row));
        let previous = session.attachments.insert(name.clone(), Attachment { present, row, ..attachment });
        let bytes_before = previous.as_ref().map_or(0, |previous| previous.bytes(name));
        let admitted = Relay::admit_all(session, &name.owner());
        self.replace_row(socket, name, bytes_before);
        if let Err(error) = admitted.and_then(|()| self.fit(socket)) {
            self.take_back(socket, name, previous);
            return Err(error);
        }
        self.feeds.entry(name.owner()).or_default().members.insert((socket, name.clone()));
        Ok(())
    }

    /// As if it had not been asked for.
    fn take_back(&mut self, socket: SocketId, name: &ChannelName, previous: Option<Attachment>) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let refused = match previous {
            Some(previous) => session.attachments.insert(name.clone(), previous),
            None => session.attachments.remove(name),
        };
        let bytes = refused.as_ref().map_or(0, |refused| refused.bytes(name));
        match refused.and_then(|refused| refused.row) {
            Some(number) if !session.attachments.contains_key(name) => self.remove_row(socket, number, bytes),
            Some(_) => self.replace_row(socket, name, bytes),
            None => {}
        }
    }

    /// Takes an attachment on from Waiting, as soon as the relay is fed.
    fn start(&mut self, socket: SocketId, name: &ChannelName, now_ms: u64) {
        let owner = name.owner();
        let Some(feed) = self.feeds.get(&owner) else { return };
        let Some(position) = feed.position() else { return self.subscribe(&owner, now_ms) };
        let series = feed.series().to_owned();
        match self.waiting(socket, name) {
            None => {}
            Some(Start::Now) => self.announce_live(socket, name, &series, position, 0, None, now_ms),
            Some(Start::Unknown) => {
                let error = Code::ContinuityUnknown.into();
                self.announce_live(socket, name, &series, position, 0, Some(&error), now_ms);
            }
            Some(Start::After(serial)) if serial.series == series && serial.position == position => {
                self.announce_live(socket, name, &series, position, RESUMED, None, now_ms);
            }
            Some(Start::After(serial)) => {
                let from = ReadFrom::After { position: serial.position, series: serial.series };
                self.read(socket, name, from, true, false, now_ms);
            }
            Some(Start::Rewind(rewind)) => {
                self.read(socket, name, rewind_from(rewind, now_ms), false, false, now_ms);
            }
        }
    }

    fn waiting(&self, socket: SocketId, name: &ChannelName) -> Option<Start> {
        match &self.sessions.get(&socket)?.attachments.get(name)?.state {
            State::Waiting(start) => Some(start.clone()),
            State::Reading { .. } | State::Behind { .. } | State::Live { .. } => None,
        }
    }

    pub(super) fn subscribe(&mut self, owner: &ChannelName, now_ms: u64) {
        if !self.is_subscribing(owner) {
            let census = self.feeds.get_mut(owner).map(|feed| feed.reports.known()).unwrap_or_default();
            let request = Request::Subscribe(self.name.clone(), census);
            self.call(owner, Pending::Subscribe(owner.clone()), request, now_ms);
        }
    }

    /// Whether the channel was asked to feed this relay and hasn't answered.
    pub(super) fn is_subscribing(&self, owner: &ChannelName) -> bool {
        let is_of = |pending: &Pending| match pending {
            Pending::Subscribe(channel) | Pending::Follow(channel, _) => channel == owner,
            _ => false,
        };
        self.pending.values().any(is_of)
    }

    pub(super) fn subscribed(&mut self, owner: &ChannelName, subscribed: &Subscribed, now_ms: u64) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        feed.reach(&subscribed.series, subscribed.position, subscribed.members);
        feed.reports.wanted = subscribed.reports;
        let members: Vec<_> = feed.members.iter().cloned().collect();
        self.placed(owner, subscribed.position, now_ms);
        members.iter().for_each(|(socket, name)| self.start(*socket, name, now_ms));
        self.plan_report(owner, now_ms);
    }

    pub(super) fn subscribe_failed(&mut self, owner: &ChannelName, error: &ErrorInfo, now_ms: u64) {
        let members: Vec<_> = self.feeds.get(owner).into_iter().flat_map(|feed| feed.members.iter().cloned()).collect();
        members.iter().for_each(|(socket, name)| self.give_up(*socket, name, error, now_ms));
    }

    /// An attachment that could not be completed: the client will ask again.
    pub(super) fn give_up(&mut self, socket: SocketId, name: &ChannelName, error: &ErrorInfo, now_ms: u64) {
        self.remove_attachment(socket, name, Fate::Gone, now_ms);
        let frame = Outbound {
            action: action::DETACHED,
            channel: Some(name.as_str()),
            error: Some(error),
            ..Outbound::default()
        };
        self.send(socket, &frame, now_ms);
    }

    /// Reads a page of the log for an attachment, as soon as its connection may be sent more.
    pub(super) fn read(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        from: ReadFrom,
        resumes: bool,
        announced: bool,
        now_ms: u64,
    ) {
        if !self.allows(socket, 0, now_ms) {
            return self.hold(socket, name, from, resumes, announced);
        }
        let owner = name.owner();
        let same = |pending: &&mut (Ticket, &mut Read)| pending.1.owner == owner && pending.1.from == from;
        let reads = self.pending.iter_mut().filter_map(|(ticket, pending)| match pending {
            Pending::Read(read) => Some((*ticket, read)),
            _ => None,
        });
        let shared = reads.into_iter().find_map(|mut pending| same(&&mut pending).then_some(pending));
        let read = match shared {
            Some((ticket, read)) => {
                read.readers.push((socket, name.clone()));
                ticket
            }
            None => {
                let read = Read { owner: owner.clone(), from: from.clone(), readers: vec![(socket, name.clone())] };
                self.call(&owner, Pending::Read(read), Request::Read(from), now_ms)
            }
        };
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.state = State::Reading { read, resumes, announced };
        }
    }

    pub(super) fn backlog(&mut self, ticket: Ticket, read: &Read, backlog: &Backlog, now_ms: u64) {
        let Ok(entries) = backlog.entries.entries() else {
            let error = Code::InternalChannel.because("the channel's log could not be read");
            return self.read_failed(ticket, read, &error, now_ms);
        };
        let mut sieve = Sieve::new(&entries);
        for (socket, name) in &read.readers {
            let Some((resumes, announced)) = self.reading(*socket, name, ticket) else { continue };
            if !self.allows(*socket, backlog.entries.len(), now_ms) {
                self.hold(*socket, name, read.from.clone(), resumes, announced);
            } else {
                self.catch_up(*socket, name, backlog, &mut sieve, resumes, announced, now_ms);
            }
        }
    }

    fn reading(&mut self, socket: SocketId, name: &ChannelName, ticket: Ticket) -> Option<(bool, bool)> {
        match self.attachment(socket, name)?.state {
            State::Reading { read, resumes, announced } if read == ticket => Some((resumes, announced)),
            _ => None,
        }
    }

    /// One page for one attachment: ATTACHED before the first, live after the last.
    #[allow(clippy::too_many_arguments, reason = "one page, one reader and its state, which belong together here only")]
    fn catch_up(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        backlog: &Backlog,
        sieve: &mut Sieve<'_>,
        resumes: bool,
        announced: bool,
        now_ms: u64,
    ) {
        let Some(position) = self.feeds.get(&name.owner()).and_then(Feed::position) else { return };
        if let Some(error) = &backlog.lost {
            // The later of both knows who is there: what lies before it is never delivered to this one.
            let (at, members) = match self.feeds.get(&name.owner()) {
                Some(feed) if position > backlog.through => (position, feed.members()),
                _ => (backlog.through, backlog.members),
            };
            let what = Announcement { series: &backlog.series, position: at, flags: 0, error: Some(error), members };
            self.announce(socket, name, &what, now_ms);
            return self.go_live(socket, name, at, members, now_ms);
        }
        let entries = self.for_reader(socket, name, sieve, resumes);
        if !announced {
            // The serial of the place it goes on from, not of the present: should the transport be lost during the
            // replay, the client comes back with what it really has.
            let flags =
                if resumes { RESUMED } else { 0 } | if entries.is_empty() && !backlog.more { 0 } else { HAS_BACKLOG };
            self.announce(
                socket,
                name,
                &Announcement {
                    series: &backlog.series,
                    position: backlog.after,
                    flags,
                    error: None,
                    members: backlog.members,
                },
                now_ms,
            );
        }
        self.send_entries(socket, name, &backlog.series, &entries, now_ms);
        if backlog.more || backlog.through < position {
            let from = ReadFrom::After { position: backlog.through, series: backlog.series.clone() };
            return self.read(socket, name, from, resumes, true, now_ms);
        }
        let fell_behind = self.attachment(socket, name).is_some_and(|attachment| attachment.fell_behind);
        let members = if fell_behind { 0 } else { backlog.members };
        self.go_live(socket, name, backlog.through, members, now_ms);
    }

    pub(super) fn read_failed(&mut self, ticket: Ticket, read: &Read, error: &ErrorInfo, now_ms: u64) {
        for (socket, name) in &read.readers {
            if self.reading(*socket, name, ticket).is_some() {
                self.give_up(*socket, name, error, now_ms);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what ATTACHED says, spelled out at each of its few uses")]
    fn announce_live(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        series: &str,
        position: Position,
        flags: u32,
        error: Option<&ErrorInfo>,
        now_ms: u64,
    ) {
        let members = self.feeds.get(&name.owner()).map_or(0, Feed::members);
        self.announce(socket, name, &Announcement { series, position, flags, error, members }, now_ms);
        self.go_live(socket, name, position, members, now_ms);
    }

    fn go_live(&mut self, socket: SocketId, name: &ChannelName, after: Position, members: usize, now_ms: u64) {
        if let Some(attachment) = self.attachment(socket, name) {
            attachment.state = State::Live { after };
            attachment.fell_behind = false;
            let awaited = std::mem::take(&mut attachment.awaits_sync);
            self.sync_awaited(socket, name, awaited, members, now_ms);
        }
        let is_kept = self.sessions.get(&socket).is_some_and(|session| session.is_kept);
        if let Some(feed) = self.feeds.get_mut(&name.owner()).filter(|_| is_kept) {
            feed.witness.get_or_insert_with(|| (socket, name.clone()));
        }
        self.begin_listening(socket, name, now_ms);
        self.touch(socket);
    }

    fn announce(&mut self, socket: SocketId, name: &ChannelName, what: &Announcement<'_>, now_ms: u64) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let Some(attachment) = session.attachments.get(name) else { return };
        let modes = attachment.granted(session.grant.capability.operations(name));
        // Who is not told who is present would wait for it for ever.
        let has_presence = what.members > 0 && modes.contains(Modes::PRESENCE_SUBSCRIBE);
        // A client that does not read this forgets all objects, also where it resumes.
        let has_objects = modes.contains(Modes::OBJECT_SUBSCRIBE);
        let has = if has_presence { HAS_PRESENCE } else { 0 } | if has_objects { HAS_OBJECTS } else { 0 };
        let flags = what.flags | modes.bits() | has;
        let (serial, params) = (what.position.serial(what.series), attachment.params.accepted.clone());
        let frame = Outbound {
            action: action::ATTACHED,
            channel: Some(name.as_str()),
            channel_serial: Some(&serial),
            flags: Some(flags),
            params: Some(&params),
            error: what.error,
            ..Outbound::default()
        };
        self.send(socket, &frame, now_ms);
        if let Some(attachment) = self.attachment(socket, name) {
            *attachment.awaits_sync.of(Of::Members) = has_presence;
            *attachment.awaits_sync.of(Of::Objects) = has_objects;
            if let Some(view) = &mut attachment.view {
                (view.told, view.told_at_ms) = (what.position, now_ms);
            }
            attachment.deltas.begin_anew();
        }
        self.returned(socket, name, what.members, now_ms);
    }

    /// What a client that is attached would resume from, though nothing came for it.
    pub(super) fn announce_progress(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        series: &str,
        position: Position,
        now_ms: u64,
    ) {
        let what = Announcement { series, position, flags: RESUMED, error: None, members: 0 };
        self.announce(socket, name, &what, now_ms);
    }

    /// The log no longer has what lies before `prior`: say so to everyone on the channel who doesn't have it, and go on
    /// from there. In another life of the channel nobody has anything.
    pub(super) fn announce_gap(
        &mut self,
        owner: &ChannelName,
        series: &str,
        prior: Position,
        begins: bool,
        now_ms: u64,
    ) {
        let error = Code::ContinuityUnknown.into();
        let lacks = |attachment: &Attachment| match attachment.state {
            State::Live { after } => begins || after < prior,
            State::Waiting(_) | State::Reading { .. } | State::Behind { .. } => false,
        };
        let members: Vec<_> = self.feeds.get(owner).into_iter().flat_map(|feed| feed.members.iter().cloned()).collect();
        for (socket, name) in members {
            if self.attachment(socket, &name).is_some_and(|attachment| lacks(attachment)) {
                self.announce_live(socket, &name, series, prior, 0, Some(&error), now_ms);
            }
        }
    }

    pub(super) fn detach(&mut self, socket: SocketId, channel: &str, now_ms: u64) {
        if let Ok(name) = ChannelName::parse(channel) {
            self.remove_attachment(socket, &name, Fate::Left, now_ms);
        }
        let frame = Outbound { action: action::DETACHED, channel: Some(channel), ..Outbound::default() };
        self.send(socket, &frame, now_ms);
    }

    /// The channel isn't told: it learns that nobody listens from the answer to its next delivery.
    pub(super) fn remove_attachment(&mut self, socket: SocketId, name: &ChannelName, fate: Fate, now_ms: u64) {
        let owner = name.owner();
        self.count(socket, &owner, -1);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let attachment = session.attachments.remove(name);
        self.count(socket, &owner, 1);
        let Some(attachment) = attachment else { return };
        if let Some(number) = attachment.row {
            self.remove_row(socket, number, attachment.bytes(name));
        }
        self.departed(socket, name, &attachment, fate, now_ms);
        let Some(feed) = self.feeds.get_mut(&owner) else { return };
        feed.members.remove(&(socket, name.clone()));
        if feed.members.is_empty()
            && !self.branches.contains_key(&owner)
            && let Some(feed) = self.feeds.remove(&owner)
        {
            self.report_end(&owner, &feed.reports, now_ms);
        }
        self.plan_report(&owner, now_ms);
        self.replace_witness(socket, name);
        self.touch(socket);
    }

    /// If this attachment was its channel's witness, another live one becomes it.
    pub(super) fn replace_witness(&mut self, socket: SocketId, name: &ChannelName) {
        let Some(feed) = self.feeds.get_mut(&name.owner()) else { return };
        if feed.witness.as_ref().is_none_or(|(witness, as_name)| *witness != socket || as_name != name) {
            return;
        }
        let sessions = &self.sessions;
        let live = |(socket, name): &&(SocketId, ChannelName)| {
            let session = sessions.get(socket).filter(|session| session.is_kept);
            session.and_then(|session| session.attachments.get(name)).is_some_and(Attachment::is_live)
        };
        feed.witness = feed.members.iter().find(live).cloned();
        if let Some((witness, _)) = feed.witness {
            self.touch(witness);
        }
    }

    pub(super) fn attachment(&mut self, socket: SocketId, name: &ChannelName) -> Option<&mut Attachment> {
        self.sessions.get_mut(&socket)?.attachments.get_mut(name)
    }
}

fn rewind_from(rewind: Rewind, now_ms: u64) -> ReadFrom {
    match rewind {
        Rewind::Messages(messages) => ReadFrom::Last { messages },
        Rewind::Time { ms, messages } => ReadFrom::Since { time_ms: now_ms.saturating_sub(ms), messages },
    }
}
