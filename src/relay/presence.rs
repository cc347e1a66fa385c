//! Presence at a relay: what its connections' members do, and what becomes of the connections (protocol.md § 10).
//!
//! Both go to the channel as publishes do, in one queue, so that a connection's end never overtakes what it said. The
//! relay keeps no set. It remembers with each attachment whether the connection may have members there, to tell the
//! channel when it is lost; what it forgets to tell, the channel finds when it asks ([`Relay::probe`]).

use super::attachment::Attachment;
use super::publisher::Item;
use super::publishing::{Admitted, Uttered};
use super::session::Session;
use super::{Effect, Relay, SocketId};
use crate::auth::{Identity, Operations, Source};
use crate::error::{Code, ErrorInfo};
use crate::intake::presence;
use crate::limits::CHANNELS_PER_CONNECTION_MAX;
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::protocol::inbound::PublishFrame;
use crate::rpc::{ConnectionOutcome, Lease, Probe, Probed, Publish, PublishKey, Submission};

impl Relay {
    pub(super) fn act(&mut self, socket: SocketId, frame: PublishFrame) {
        let said = Uttered::of(&frame.channel, frame.msg_serial, None, frame.messages.len());
        self.take_in(socket, said, |relay| {
            let (channel, item) = relay.admit_presence(socket, frame)?;
            relay.admit_events(socket, &channel, item.publish.content.clients().count())?;
            Ok((channel, item))
        });
    }

    /// Fails with 40010 (name), 40000 (a filtered channel), 40160 (capability), 91001 (not attached, and not resumed),
    /// 40165 (mode), and as [`Relay::admit_to`] and [`presence::check`] do.
    fn admit_presence(&mut self, socket: SocketId, frame: PublishFrame) -> Admitted {
        let name = ChannelName::parse(&frame.channel)?;
        name.refuse_view()?;
        let relay = self.name.clone();
        let Some(session) = self.sessions.get(&socket) else { return Err(Code::Disconnected.into()) };
        if !session.grant.permits(&name, Operations::PRESENCE) {
            return Err(Code::NotPermitted.because("the capability does not allow to be present on this channel"));
        }
        match session.attachments.get(&name) {
            Some(attachment) if attachment.requested.contains(Modes::PRESENCE) => {}
            Some(_) => {
                return Err(Code::ModeNotGranted.because("the channel was attached without the mode to be present"));
            }
            None => self.admit_ahead(socket, session, &name)?,
        }
        let connection_id = session.connection_id().to_owned();
        let claim = session.grant.user_claim(&name);
        let updates = presence::check(
            frame.messages,
            &session.grant.client_id,
            claim.as_ref(),
            &connection_id,
            frame.msg_serial,
        )?;
        let content = Submission::Presence { lease: hold(relay, session), updates };
        let item = self.item(socket, &name, PublishKey::Serial(frame.msg_serial), content)?;
        if self.mark_present(socket, &name) {
            self.touch(socket);
            self.withdraw_others(socket, &name);
        } else {
            self.mark_ahead(socket, &name);
        }
        Ok(item)
    }

    /// Many SDKs send again what was not acknowledged as soon as they have resumed, and attach only then.
    fn admit_ahead(&self, socket: SocketId, session: &Session, name: &ChannelName) -> Result<(), ErrorInfo> {
        let ahead = self.ahead.get(&socket).map_or(&[][..], Vec::as_slice);
        let has_room = session.attachments.len() + ahead.len() < CHANNELS_PER_CONNECTION_MAX;
        if !session.is_resumed() || !(ahead.contains(name) || has_room) {
            return Err(Code::PresenceNotAttached.into());
        }
        self.admit_to(socket, name)
    }

    fn mark_ahead(&mut self, socket: SocketId, name: &ChannelName) {
        let is_attached = |session: &Session| session.attachments.contains_key(name);
        if self.sessions.get(&socket).is_none_or(is_attached) {
            return;
        }
        let ahead = self.ahead.entry(socket).or_default();
        if !ahead.contains(name) {
            ahead.push(name.clone());
            // An event that the channel knows already would not end the connection's grace.
            self.tell_here(socket, name);
        }
    }

    /// An attachment begins where the connection may have members already.
    pub(super) fn arrived(&mut self, socket: SocketId, name: &ChannelName) {
        if !self.take_ahead(socket, |ahead| ahead == name).is_empty() {
            self.mark_present(socket, name);
        }
    }

    /// The connection's members leave some of the channels that it has not attached to again.
    pub(super) fn departed_ahead(
        &mut self,
        socket: SocketId,
        outcome: ConnectionOutcome,
        leaves: impl Fn(&ChannelName) -> bool,
    ) {
        for name in self.take_ahead(socket, leaves) {
            if !self.keeps_members(socket, &name.owner()) {
                self.tell_outcome(socket, &name, outcome.clone());
            }
        }
    }

    fn take_ahead(&mut self, socket: SocketId, is_meant: impl Fn(&ChannelName) -> bool) -> Vec<ChannelName> {
        let Some(ahead) = self.ahead.remove(&socket) else { return Vec::new() };
        let (meant, others): (Vec<_>, Vec<_>) = ahead.into_iter().partition(is_meant);
        if !others.is_empty() {
            self.ahead.insert(socket, others);
        }
        meant
    }

    /// The connection may have members from now on. Gives whether that is new.
    fn mark_present(&mut self, socket: SocketId, name: &ChannelName) -> bool {
        let attachment = self.attachment(socket, name);
        attachment.is_some_and(|attachment| !std::mem::replace(&mut attachment.present, true))
    }

    /// A resumed connection may have members of before. The channel is told that it is here, before its grace is over.
    /// With a token that does not let it be present, they leave. A filtered channel has no members to come back for.
    pub(super) fn returned(&mut self, socket: SocketId, name: &ChannelName, members: usize) {
        let is_resumed = self.sessions.get(&socket).is_some_and(Session::is_resumed);
        if is_resumed && members > 0 && name.filter().is_none() && self.mark_present(socket, name) {
            self.tell_here(socket, name);
            self.touch(socket);
            if !self.permits_presence(socket, name) {
                self.withdraw(socket, name);
            }
        }
    }

    /// A connection that goes on is still here, as who it is now. It may have been another when it entered somebody,
    /// and nobody may have told the channel since.
    fn tell_here(&mut self, socket: SocketId, name: &ChannelName) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let outcome = match &session.grant.client_id {
            Identity::Named(name) => ConnectionOutcome::HereAs(name.as_ref().to_owned()),
            Identity::Wildcard => ConnectionOutcome::Here,
            Identity::Anonymous => return self.withdraw(socket, name),
        };
        self.tell_outcome(socket, name, outcome);
    }

    pub(super) fn permits_presence(&self, socket: SocketId, name: &ChannelName) -> bool {
        self.sessions.get(&socket).is_some_and(|session| session.grant.permits(name, Operations::PRESENCE))
    }

    /// The connection may not be present any more, and could not even leave: its members leave, though it stays
    /// attached.
    pub(super) fn withdraw(&mut self, socket: SocketId, name: &ChannelName) {
        let present = self.attachment(socket, name).map(|attachment| std::mem::take(&mut attachment.present));
        if present == Some(true) {
            self.tell_outcome(socket, name, ConnectionOutcome::Left);
            self.touch(socket);
        }
    }

    /// The connection has its first members here that this memory of the relay knows of. Those that it had before have
    /// left, though the channel may not have been told.
    fn withdraw_others(&mut self, socket: SocketId, name: &ChannelName) {
        let is_recalled = self.attachment(socket, name).map(|attachment| std::mem::take(&mut attachment.is_recalled));
        if is_recalled == Some(true) && !self.is_present_elsewhere(socket, name) {
            self.tell_outcome(socket, name, ConnectionOutcome::Left);
        }
    }

    /// Whether the connection has members on the channel by another name of that.
    fn is_present_elsewhere(&self, socket: SocketId, name: &ChannelName) -> bool {
        let Some(session) = self.sessions.get(&socket) else { return false };
        let is_other = |other: &ChannelName| other != name && other.is_of(&name.owner());
        session.attachments.iter().any(|(other, attachment)| attachment.present && is_other(other))
            || self.ahead.get(&socket).is_some_and(|ahead| ahead.iter().any(is_other))
    }

    /// An attachment has ended.
    pub(super) fn departed(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        attachment: &Attachment,
        outcome: ConnectionOutcome,
    ) {
        if attachment.present && !self.keeps_members(socket, &name.owner()) {
            self.tell_outcome(socket, name, outcome);
        }
    }

    /// Whether the connection is on the channel by another name, attached or ahead of that, which keeps the members.
    fn keeps_members(&mut self, socket: SocketId, owner: &ChannelName) -> bool {
        let Some(session) = self.sessions.get_mut(&socket) else { return false };
        let other = session.attachments.iter_mut().find(|(name, _)| may_have_members(name, owner));
        if let Some((_, other)) = other {
            other.present = true;
            self.touch(socket);
            return true;
        }
        self.ahead.get(&socket).is_some_and(|ahead| ahead.iter().any(|name| name.is_of(owner)))
    }

    fn tell_outcome(&mut self, socket: SocketId, name: &ChannelName, outcome: ConnectionOutcome) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let connection_id = session.connection_id().to_owned();
        let content = Submission::ConnectionOutcome { lease: hold(self.name.clone(), session), outcome };
        // Its own, however often the relay loses its memory. Not beginning with the connection's id, as what follows
        // from it is not said by the connection.
        let (now_ms, ticket) = (self.now_ms, self.calls.next_ticket().0);
        let id = format!("fate!{connection_id}@{now_ms}.{ticket}");
        let (key, by) = (PublishKey::Request(id), Source::SERVER);
        let publish = Publish { key, connection_id: Some(connection_id.clone()), by, content };
        let bytes = connection_id.len() + publish.weight();
        self.enqueue(name.owner(), Item { socket, connection_id, place: None, publish, bytes });
    }

    /// A channel asks whom it has here, and says how many are there in all.
    pub fn probe(&mut self, probe: &Probe, now_ms: u64) -> (Probed, Vec<Effect>) {
        self.now_ms = now_ms;
        if let Some(occupancy) = &probe.occupancy {
            self.tell_occupancy(&probe.channel, occupancy);
        }
        let local_occupancy = self.feeds.get_mut(&probe.channel).map(|feed| feed.reports.known()).unwrap_or_default();
        (Probed { missing: self.missing(probe), local_occupancy }, self.finish())
    }

    /// Which of these connections are not here, or not attached to the channel, or have nobody there any more, or may
    /// not: what it was told of that may be lost.
    fn missing(&self, probe: &Probe) -> Vec<String> {
        let is_here = |connection_id: &String| {
            let session = self.known.connections.get(connection_id).and_then(|socket| self.sessions.get(socket));
            session.is_some_and(|session| {
                let may = |name: &ChannelName| session.grant.permits(name, Operations::PRESENCE);
                let has = |(name, attachment): (&ChannelName, &Attachment)| {
                    attachment.present && may_have_members(name, &probe.channel) && may(name)
                };
                session.attachments.iter().any(has)
            })
        };
        probe.connections.iter().filter(|connection_id| !is_here(connection_id)).cloned().collect()
    }
}

/// Whether a connection that is attached by this name may be present on the channel: not through a filter.
fn may_have_members(name: &ChannelName, owner: &ChannelName) -> bool {
    name.is_of(owner) && name.filter().is_none()
}

fn hold(relay: crate::rpc::RelayName, session: &Session) -> Lease {
    Lease { relay, grace_ms: session.grace_ms.into() }
}
