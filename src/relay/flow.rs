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

use super::attachment::State;
use super::session::Session;
use super::{Relay, SocketId};
use crate::call::ReadFrom;
use crate::error::Code;
use crate::name::ChannelName;
use crate::serial::Position;
use crate::wire::action;
use crate::wire::outbound::Outbound;

impl Relay {
    /// Whether a connection may be sent so many bytes now. The last that it may be sent may exceed its burst.
    pub(super) fn allows(&self, socket: SocketId, bytes: usize, now_ms: u64) -> bool {
        let Some(session) = self.sessions.get(&socket) else { return false };
        let (own, all) = (self.bounds.connection, self.bounds.relay);
        let debt = session.debt.left(own, now_ms);
        let share = all.burst / self.sessions.len() as u64;
        debt <= own.burst && (self.debt.left(all, now_ms) <= all.burst || debt + bytes as u64 <= share)
    }

    /// Counts a delivery to these sockets, and leaves those out that can't take it now.
    pub(super) fn admit_fed(
        &mut self,
        sockets: &mut Vec<SocketId>,
        name: &ChannelName,
        series: &str,
        prior: Position,
        bytes: usize,
        now_ms: u64,
    ) {
        sockets.retain(|socket| {
            let allowed = self.allows(*socket, bytes, now_ms);
            match allowed {
                true => self.charge_fed(*socket, bytes, now_ms),
                false => self.fall_behind(*socket, name, series, prior),
            }
            allowed
        });
    }

    fn fall_behind(&mut self, socket: SocketId, name: &ChannelName, series: &str, prior: Position) {
        let Some(attachment) = self.attachment(socket, name) else { return };
        let State::Live { after } = attachment.state else { return };
        attachment.fell_behind = true;
        let from = ReadFrom::After { position: after.max(prior), series: series.to_owned() };
        self.hold(socket, name, from, true, true);
        self.touch(socket);
    }

    /// Lets an attachment wait until its connection may be sent more.
    pub(super) fn hold(
        &mut self,
        socket: SocketId,
        name: &ChannelName,
        from: ReadFrom,
        resumes: bool,
        announced: bool,
    ) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(attachment) = session.attachments.get_mut(name) else { return };
        attachment.state = State::Behind { from, resumes, announced };
        let (own, all) = (session.debt.eased_at_ms(self.bounds.connection), self.debt.eased_at_ms(self.bounds.relay));
        let due_ms = own.max(all);
        self.behind_due_ms = Some(self.behind_due_ms.map_or(due_ms, |known| known.min(due_ms)));
        self.behind.insert((socket, name.clone()));
    }

    pub(super) fn tick_behind(&mut self, now_ms: u64) {
        if self.behind_due_ms.is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        self.behind_due_ms = None;
        for (socket, name) in std::mem::take(&mut self.behind) {
            let Some(attachment) = self.attachment(socket, &name) else { continue };
            let State::Behind { from, resumes, announced } = &attachment.state else { continue };
            let (from, resumes, announced) = (from.clone(), *resumes, *announced);
            self.read(socket, &name, from, resumes, announced, now_ms);
        }
    }

    /// A witness that fell behind hands over to one that is live.
    pub(super) fn keep_witness(&mut self, owner: &ChannelName) {
        let Some((socket, name)) = self.feeds.get(owner).and_then(|feed| feed.witness.clone()) else { return };
        if self.attachment(socket, &name).is_some_and(|attachment| !attachment.is_live()) {
            self.replace_witness(socket, &name);
        }
    }

    /// Counts a delivery, which its client did not ask for.
    pub(super) fn charge_fed(&mut self, socket: SocketId, bytes: usize, now_ms: u64) {
        self.charge(socket, bytes, now_ms, |session| &mut session.unheard, self.bounds.unheard_bytes);
        let half = self.bounds.unheard_bytes / 2;
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.unheard > half && session.bounce.as_ref().is_some_and(|bounce| bounce.answered) {
            session.pinged(now_ms);
            let due_ms = session.due_ms();
            self.lower_due(due_ms);
            self.send(socket, &Outbound { action: action::PING, ..Outbound::default() }, now_ms);
        }
    }

    pub(super) fn charge_answer(&mut self, socket: SocketId, bytes: usize, now_ms: u64) {
        self.charge(socket, bytes, now_ms, |session| &mut session.answered, self.bounds.answers_bytes);
    }

    fn charge(
        &mut self,
        socket: SocketId,
        bytes: usize,
        now_ms: u64,
        of: fn(&mut Session) -> &mut u32,
        max_bytes: u32,
    ) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.debt.add(bytes, self.bounds.connection, now_ms);
        self.debt.add(bytes, self.bounds.relay, now_ms);
        let count = of(session);
        let was_within = *count <= max_bytes;
        *count = count.saturating_add(bytes as u32);
        let is_over = was_within && *count > max_bytes;
        // A response over HTTP says itself whether it is read.
        if is_over && session.is_kept {
            self.overfed.push((socket, now_ms));
        }
    }

    pub(super) fn end_overfed(&mut self) {
        for (socket, now_ms) in std::mem::take(&mut self.overfed) {
            let asked = self.sessions.get(&socket).is_some_and(|session| session.answered > self.bounds.answers_bytes);
            let error = match asked {
                true => Code::RateLimited.because("a socket is given so many answers; reconnect and resume"),
                false => Code::Disconnected.because("much was sent and nothing heard; reconnect and resume"),
            };
            self.disconnect(socket, &error, now_ms);
        }
    }
}
