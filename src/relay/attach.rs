//! Attachments begin and end (protocol.md §§ 6, 7). In between they are given what the log has, if they resume or
//! rewind: see `replay`.

use super::admission::with_reserve;
use super::attachment::{Attachment, Replay, Start, State};
use super::calls::Pending;
use super::occupancy::admit_listener;
use super::replay::{PRESENT, rewind_from};
use super::{Relay, SocketId};
use crate::error::{Code, ErrorInfo};
use crate::limits::ATTACH_FLOW;
use crate::model::flags::RESUMED;
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::serial::{ChannelSerial, Position};
use crate::protocol::action;
use crate::protocol::outbound::Outbound;
use crate::rpc::{ConnectionOutcome, ReadFrom, Request, Subscribed};

impl Relay {
    pub(super) fn attach(&mut self, socket: SocketId, channel: &str, serial: Option<&str>, flags: u32, params: Params) {
        if let Ok(name) = ChannelName::parse(channel)
            && let Err(error) = self.admit_rate_of_attaches(socket, &name)
        {
            return self.give_up(socket, &name, &error);
        }
        match self.admit_attachment(socket, channel, serial, flags, params) {
            Ok(name) => {
                self.plan_report(&name.owner());
                self.start(socket, &name);
            }
            Err(error) => self.fail_channel(socket, channel, &error),
        }
    }

    /// Fails with 42910 when the connection, or its client, attaches too often.
    pub(super) fn admit_rate_of_attaches(&mut self, socket: SocketId, name: &ChannelName) -> Result<(), ErrorInfo> {
        self.admit_again(socket, "attaches")?;
        self.admit_attach(socket, name)?;
        self.count_attaches(socket, 1);
        Ok(())
    }

    /// Fails with 42910 when the connection has begun attachments too often to begin any now.
    pub(super) fn admit_again(&self, socket: SocketId, does: &str) -> Result<(), ErrorInfo> {
        match self.sessions.get(&socket).map_or(0, |session| session.attaches.wait_ms(ATTACH_FLOW, self.now_ms)) {
            0 => Ok(()),
            wait_ms => {
                let text = format!("this connection {does} too often; try again in {wait_ms} ms");
                Err(Code::RateLimited.because(text))
            }
        }
    }

    pub(super) fn count_attaches(&mut self, socket: SocketId, attaches: usize) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.attaches.add(attaches, ATTACH_FLOW, self.now_ms);
        }
    }

    /// For its client the channel has failed, whatever it was before.
    pub(super) fn fail_channel(&mut self, socket: SocketId, channel: &str, error: &ErrorInfo) {
        if let Ok(name) = ChannelName::parse(channel) {
            self.remove_attachment(socket, &name, ConnectionOutcome::Left);
        }
        self.channel_error(socket, channel, error);
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
        #[cfg(feature = "mqtt")]
        self.keep_place(socket, &name, &mut attachment);
        self.go_on_behind_sent(socket, &name, &mut attachment);
        self.count(socket, &owner, -1);
        let admitted = self.insert_attachment(socket, &name, attachment);
        self.count(socket, &owner, 1);
        admitted?;
        self.replace_checkpoint(socket, &name);
        self.touch(socket);
        Ok(name)
    }

    /// A client that stays attached while it attaches again delivers what was sent to it since the serial that it
    /// names: it would get that twice. Not one that asks for the same deltas: it could not decode one, and drops what
    /// comes until ATTACHED.
    fn go_on_behind_sent(&self, socket: SocketId, name: &ChannelName, again: &mut Attachment) {
        let Some(session) = self.sessions.get(&socket).filter(|session| session.stays_attached) else { return };
        let Some(before) = session.attachments.get(name) else { return };
        let cannot_decode = before.deltas.are_wanted() && before.asks_the_same_as(again);
        let State::Waiting(Start::After(named)) = &mut again.state else { return };
        if let Some((position, epoch)) = self.place_of(name, before).filter(|_| !cannot_decode)
            && (named.epoch != epoch || named.position < position)
        {
            *named = ChannelSerial { position, epoch };
        }
    }

    /// What an attachment has everything up to.
    pub(super) fn place_of(&self, name: &ChannelName, attachment: &Attachment) -> Option<(Position, String)> {
        let after = |from: &ReadFrom| match from {
            ReadFrom::After { position, epoch } => Some((*position, epoch.clone())),
            _ => None,
        };
        let place = match &attachment.state {
            State::Live { after } => {
                let feed = self.feeds.get(&name.owner())?;
                Some((feed.position()?.max(*after), feed.epoch().to_owned()))
            }
            State::Behind { from, .. } => after(from),
            State::Reading { read, .. } => after(&self.calls.read(*read)?.from),
            State::Waiting(Start::After(serial)) => Some((serial.position, serial.epoch.clone())),
            State::Waiting(_) => None,
        };
        place.or_else(|| after(attachment.goes_on.as_deref()?))
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
        if before.is_none() && self.attached >= with_reserve(self.bounds.attachments) {
            return Err(
                Code::Unavailable.because("this server's connections have as many channels as it can hold; try again")
            );
        }
        let (present, is_recalled, row) = before
            .map_or((false, session.is_recalled, None), |before| (before.present, before.is_recalled, before.row));
        let attachment = Attachment { present, is_recalled, row, ..attachment };
        let previous = session.attachments.insert(name.clone(), attachment);
        let bytes_before = previous.as_ref().map_or(0, |previous| previous.bytes(name));
        let admitted = Relay::admit_all(session, &name.owner());
        self.replace_row(socket, name, bytes_before);
        if let Err(error) = admitted.and_then(|()| self.fit(socket)) {
            self.take_back(socket, name, previous);
            return Err(error);
        }
        let feed = self.feeds.entry(name.owner()).or_default();
        if feed.members.insert((socket, name.clone())) {
            self.attached += 1;
            self.has_moved |= name.is_of_clients();
        }
        self.arrived(socket, name);
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

    /// Takes an attachment on from Waiting, as soon as the relay is fed. For one that begins with what comes next it
    /// asks where that is, if its feed has been silent for a while: deliveries may fail for minutes, and nobody misses
    /// what lies before their ATTACH.
    fn start(&mut self, socket: SocketId, name: &ChannelName) {
        let owner = name.owner();
        let Some(feed) = self.feeds.get(&owner) else { return };
        let Some(position) = feed.position() else { return self.subscribe(&owner) };
        let (epoch, is_current) = (feed.epoch().to_owned(), feed.is_current(self.now_ms));
        match self.waiting(socket, name) {
            None => {}
            Some(Start::Now) if !is_current => {
                self.read(socket, name, PRESENT, Replay::BEGINS);
            }
            Some(Start::Unknown) if !is_current => {
                let nowhere = ReadFrom::After { position: Position::ZERO, epoch: String::new() };
                self.read(socket, name, nowhere, Replay::RESUMES);
            }
            Some(Start::Now) => self.announce_live(socket, name, &epoch, position, 0, None),
            Some(Start::Unknown) => {
                let error = Code::ContinuityUnknown.into();
                self.announce_live(socket, name, &epoch, position, 0, Some(&error));
            }
            Some(Start::After(serial)) if serial.epoch == epoch && serial.position == position => {
                self.announce_live(socket, name, &epoch, position, RESUMED, None);
            }
            Some(Start::After(serial)) => {
                let from = ReadFrom::After { position: serial.position, epoch: serial.epoch };
                self.read(socket, name, from, Replay::RESUMES);
            }
            Some(Start::Rewind(rewind)) => {
                let from = rewind_from(rewind, self.now_ms);
                self.read(socket, name, from, Replay::BEGINS);
            }
        }
    }

    fn waiting(&self, socket: SocketId, name: &ChannelName) -> Option<Start> {
        match &self.sessions.get(&socket)?.attachments.get(name)?.state {
            State::Waiting(start) => Some(start.clone()),
            State::Reading { .. } | State::Behind { .. } | State::Live { .. } => None,
        }
    }

    pub(super) fn subscribe(&mut self, owner: &ChannelName) {
        if !self.is_subscribing(owner) {
            let local_occupancy = self.feeds.get_mut(owner).map(|feed| feed.reports.known()).unwrap_or_default();
            let request = Request::Subscribe(self.name.clone(), local_occupancy);
            self.call(owner, Pending::Subscribe(owner.clone()), request);
        }
    }

    /// Whether the channel was asked to feed this relay and hasn't answered.
    pub(super) fn is_subscribing(&self, owner: &ChannelName) -> bool {
        self.calls.is_subscribing(owner)
    }

    pub(super) fn subscribed(&mut self, owner: &ChannelName, subscribed: &Subscribed) {
        let Some(feed) = self.feeds.get_mut(owner) else { return };
        feed.reach(&subscribed.epoch, subscribed.position, subscribed.members);
        feed.heard_ms = self.now_ms;
        feed.reports.wanted = subscribed.reports;
        let members: Vec<_> = feed.members.iter().cloned().collect();
        self.sync_reached(owner);
        self.placed(owner, subscribed.position);
        members.iter().for_each(|(socket, name)| self.start(*socket, name));
        self.plan_report(owner);
    }

    pub(super) fn subscribe_failed(&mut self, owner: &ChannelName, error: &ErrorInfo) {
        let members: Vec<_> = self.feeds.get(owner).into_iter().flat_map(|feed| feed.members.iter().cloned()).collect();
        members.iter().for_each(|(socket, name)| self.give_up(*socket, name, error));
    }

    /// An attachment that could not be completed: the client will ask again.
    pub(super) fn give_up(&mut self, socket: SocketId, name: &ChannelName, error: &ErrorInfo) {
        self.remove_attachment(socket, name, ConnectionOutcome::Gone);
        let frame = Outbound {
            action: action::DETACHED,
            channel: Some(name.as_str()),
            error: Some(error),
            ..Outbound::default()
        };
        self.send(socket, &frame);
    }

    pub(super) fn detach(&mut self, socket: SocketId, channel: &str) {
        if let Ok(name) = ChannelName::parse(channel) {
            self.remove_attachment(socket, &name, ConnectionOutcome::Left);
            self.departed_ahead(socket, ConnectionOutcome::Left, |ahead| *ahead == name);
        }
        let frame = Outbound { action: action::DETACHED, channel: Some(channel), ..Outbound::default() };
        self.send(socket, &frame);
    }

    /// The channel isn't told: it learns that nobody listens from the answer to its next delivery.
    pub(super) fn remove_attachment(&mut self, socket: SocketId, name: &ChannelName, outcome: ConnectionOutcome) {
        let owner = name.owner();
        self.count(socket, &owner, -1);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let attachment = session.attachments.remove(name);
        self.count(socket, &owner, 1);
        let Some(attachment) = attachment else { return };
        if let Some(number) = attachment.row {
            self.remove_row(socket, number, attachment.bytes(name));
        }
        self.departed(socket, name, &attachment, outcome);
        let Some(feed) = self.feeds.get_mut(&owner) else { return };
        if feed.members.remove(&(socket, name.clone())) {
            self.attached -= 1;
            self.has_moved |= name.is_of_clients();
        }
        if feed.members.is_empty()
            && !self.tree.branches.contains_key(&owner)
            && let Some(feed) = self.feeds.remove(&owner)
        {
            self.report_end(&owner, &feed.reports);
        }
        self.plan_report(&owner);
        self.replace_checkpoint(socket, name);
        self.touch(socket);
    }

    /// If this attachment was its channel's checkpoint, another live one becomes it.
    pub(super) fn replace_checkpoint(&mut self, socket: SocketId, name: &ChannelName) {
        let Some(feed) = self.feeds.get_mut(&name.owner()) else { return };
        if feed.checkpoint.as_ref().is_none_or(|(checkpoint, as_name)| *checkpoint != socket || as_name != name) {
            return;
        }
        let sessions = &self.sessions;
        let live = |(socket, name): &&(SocketId, ChannelName)| {
            let session = sessions.get(socket).filter(|session| session.is_kept);
            session.and_then(|session| session.attachments.get(name)).is_some_and(Attachment::is_live)
        };
        feed.checkpoint = feed.members.iter().find(live).cloned();
        if let Some((checkpoint, _)) = feed.checkpoint {
            self.touch(checkpoint);
        }
    }

    pub(super) fn attachment(&mut self, socket: SocketId, name: &ChannelName) -> Option<&mut Attachment> {
        self.sessions.get_mut(&socket)?.attachments.get_mut(name)
    }
}
