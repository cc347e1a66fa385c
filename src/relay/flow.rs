//! How much connections are sent. The runtime takes whatever it is given, queues it for those who read slowly or not at
//! all, and tells nothing of it; so it is given no more than readers can be expected to take.
//!
//! A connection that was sent its part, or more than its share when all were sent theirs, gets no more deliveries: its
//! attachments fall behind, and are brought up to date from the log when it has had the time to read. Nothing is
//! missed, and nothing is said, unless by then more lies between than a replay may have: that is announced as any gap
//! is.
//!
//! Time doesn't prove that anyone reads. A socket whose client hasn't said a word is given so much, and whatever it
//! says, so many answers; then its client is told to come back: that proves it, and nothing is missed either. One that
//! answers heartbeats is asked half-way.

use std::collections::BTreeSet;

use super::attachment::{Replay, State};
use super::session::Session;
use super::{Relay, SocketId};
use crate::base::rate::Debt;
use crate::error::Code;
use crate::model::name::ChannelName;
use crate::model::serial::Position;
use crate::protocol::action;
use crate::protocol::outbound::Outbound;
use crate::rpc::ReadFrom;

/// What all connections of a relay are sent, and who has to wait for that.
#[derive(Debug, Default)]
pub struct Flow {
    /// What they were sent and may not have read.
    debt: Debt,
    /// Attachments that fell behind, and when to look at them.
    behind: BTreeSet<(SocketId, ChannelName)>,
    pub due_ms: Option<u64>,
    /// Sockets that were sent more than they may be.
    overfed: Vec<SocketId>,
}

impl Relay {
    /// Whether a connection may be sent so many bytes now. The last that it may be sent may exceed its burst.
    pub(super) fn allows(&self, socket: SocketId, bytes: usize) -> bool {
        let Some(session) = self.sessions.get(&socket).filter(|session| !session.is_full()) else { return false };
        let (own, all) = (self.bounds.connection, self.bounds.relay);
        let debt = session.debt.left(own, self.now_ms);
        let share = all.burst / self.sessions.len() as u64;
        debt <= own.burst && (self.flow.debt.left(all, self.now_ms) <= all.burst || debt + bytes as u64 <= share)
    }

    /// Counts a delivery to these sockets, and leaves those out that can't take it now.
    pub(super) fn admit_fed(
        &mut self,
        sockets: &mut Vec<SocketId>,
        name: &ChannelName,
        epoch: &str,
        prior: Position,
        bytes: usize,
    ) {
        sockets.retain(|socket| {
            let allowed = self.allows(*socket, bytes);
            match allowed {
                true => self.charge_fed(*socket, bytes),
                false => self.fall_behind(*socket, name, epoch, prior),
            }
            allowed
        });
    }

    pub(super) fn fall_behind(&mut self, socket: SocketId, name: &ChannelName, epoch: &str, prior: Position) {
        let Some(attachment) = self.attachment(socket, name) else { return };
        let State::Live { after } = attachment.state else { return };
        attachment.fell_behind = true;
        let from = ReadFrom::After { position: after.max(prior), epoch: epoch.to_owned() };
        self.hold(socket, name, from, Replay::RESUMES.announced());
        self.touch(socket);
    }

    /// Lets an attachment wait until its connection may be sent more.
    pub(super) fn hold(&mut self, socket: SocketId, name: &ChannelName, from: ReadFrom, replay: Replay) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(attachment) = session.attachments.get_mut(name) else { return };
        attachment.state = State::Behind { from, replay };
        let (own, all) =
            (session.debt.eased_at_ms(self.bounds.connection), self.flow.debt.eased_at_ms(self.bounds.relay));
        let due_ms = own.max(all);
        // One that is full goes on when its client says something.
        if !session.is_full() {
            self.flow.due_ms = Some(self.flow.due_ms.map_or(due_ms, |known| known.min(due_ms)));
        }
        self.flow.behind.insert((socket, name.clone()));
    }

    pub(super) fn tick_behind(&mut self) {
        if self.flow.due_ms.is_none_or(|due_ms| due_ms > self.now_ms) {
            return;
        }
        self.flow.due_ms = None;
        for (socket, name) in std::mem::take(&mut self.flow.behind) {
            self.read_behind(socket, &name);
        }
    }

    fn read_behind(&mut self, socket: SocketId, name: &ChannelName) {
        let Some(attachment) = self.attachment(socket, name) else { return };
        let State::Behind { from, replay } = &attachment.state else { return };
        let (from, replay) = (from.clone(), *replay);
        self.read(socket, name, from, replay);
    }

    /// Lets the attachments of a connection go on that waited for a word of its client.
    pub(super) fn read_on(&mut self, socket: SocketId) {
        if self.flow.behind.is_empty() || self.sessions.get(&socket).is_none_or(Session::is_full) {
            return;
        }
        let waits = |(of, _): &(SocketId, ChannelName)| *of == socket;
        let waiting: Vec<_> = self.flow.behind.extract_if(.., waits).collect();
        waiting.into_iter().for_each(|(socket, name)| self.read_behind(socket, &name));
    }

    /// A checkpoint that fell behind hands over to one that is live.
    pub(super) fn keep_checkpoint(&mut self, owner: &ChannelName) {
        let Some((socket, name)) = self.feeds.get(owner).and_then(|feed| feed.checkpoint.clone()) else { return };
        if self.attachment(socket, &name).is_some_and(|attachment| !attachment.is_live()) {
            self.replace_checkpoint(socket, &name);
        }
    }

    /// Counts a delivery, which its client did not ask for.
    pub(super) fn charge_fed(&mut self, socket: SocketId, bytes: usize) {
        self.charge(socket, bytes, |session| &mut session.unheard, self.bounds.unheard_bytes);
        let half = self.bounds.unheard_bytes / 2;
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.unheard > half && session.bounce.as_ref().is_some_and(|bounce| bounce.answered) {
            session.pinged(self.now_ms);
            let due_ms = session.due_ms();
            self.touch(socket);
            self.lower_due(due_ms);
            let id = self.now_ms.to_string();
            self.send(socket, &Outbound { action: action::PING, id: Some(&id), ..Outbound::default() });
        }
    }

    pub(super) fn charge_answer(&mut self, socket: SocketId, bytes: usize) {
        self.charge(socket, bytes, |session| &mut session.answered, self.bounds.answers_bytes);
    }

    fn charge(&mut self, socket: SocketId, bytes: usize, of: fn(&mut Session) -> &mut u32, max_bytes: u32) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.debt.add(bytes, self.bounds.connection, self.now_ms);
        self.flow.debt.add(bytes, self.bounds.relay, self.now_ms);
        let count = of(session);
        let was_within = *count <= max_bytes;
        *count = count.saturating_add(bytes as u32);
        let is_over = was_within && *count > max_bytes;
        // A response over HTTP says itself whether it is read.
        if is_over && session.is_kept {
            self.flow.overfed.push(socket);
        }
    }

    pub(super) fn end_overfed(&mut self) {
        for socket in std::mem::take(&mut self.flow.overfed) {
            let asked = self.sessions.get(&socket).is_some_and(|session| session.answered > self.bounds.answers_bytes);
            let error = match asked {
                true => Code::RateLimited.because("a socket is given so many answers; reconnect and resume"),
                false => Code::Disconnected.because("much was sent and nothing heard; reconnect and resume"),
            };
            self.disconnect(socket, &error);
        }
    }
}
