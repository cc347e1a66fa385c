//! Connections that end because their app says so: it revokes tokens (protocol.md § 11.7), bans clients (§ 11.8), or
//! is deleted.
//!
//! A relay that watches its app knows every revocation and ban in force, and is told of each new one. It watches from
//! its first client on.

use super::session::Session;
use super::{Effect, Relay, SocketId};
use crate::auth::{Ban, Bans, Grant, Revocation, Revocations};
use crate::error::{Code, ErrorInfo};
use crate::model::name::ChannelName;
use crate::rpc::{RelayName, Submission};

impl Relay {
    /// From now on the app tells this relay what it revokes. These are in force.
    pub fn watch(&mut self, revocations: Vec<Revocation>, bans: Vec<Ban>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.revocations = Some(Revocations::default());
        self.bans = Bans::default();
        let mut effects = self.revoke(revocations, self.now_ms);
        effects.extend(self.ban(bans, self.now_ms));
        effects
    }

    pub fn is_watching(&self) -> bool {
        self.revocations.is_some()
    }

    /// What the app is to call this relay, if clients are here of whom it would tell nothing; or relays that are fed
    /// here, where the app can end or change.
    pub fn unwatched(&self, is_made: bool) -> Option<&RelayName> {
        let is_used = self.has_clients() || is_made && !self.is_idle();
        (self.revocations.is_none() && is_used).then_some(&self.name)
    }

    /// Whether anyone is here whom the app may keep out, or was and has left a will, which is said then or not.
    pub(super) fn has_clients(&self) -> bool {
        #[cfg(feature = "mqtt")]
        if self.mqtt.have_wills() {
            return true;
        }
        !self.sessions.is_empty()
    }

    /// The app may tell this relay nothing any more. Whom it kept out stays out until it is asked again.
    pub fn doubt_watch(&mut self) {
        self.revocations = None;
    }

    /// The app tells this relay nothing any more.
    pub fn unwatch(&mut self) {
        self.revocations = None;
        self.bans = Bans::default();
    }

    /// Takes bans into force or lifts them. Ends the connections of those who are kept out of the app, and the
    /// attachments of those who are kept out of a channel.
    pub fn ban(&mut self, bans: Vec<Ban>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.bans.forget(now_ms);
        let mut names: Vec<String> = bans.iter().map(|ban| ban.client_id.clone()).collect();
        names.sort_unstable();
        bans.into_iter().for_each(|ban| self.bans.put(ban));
        let is_banned = |name: &str| names.binary_search_by(|known| (**known).cmp(name)).is_ok();
        let is_named = |session: &Session| session.names().any(is_banned);
        let sockets: Vec<SocketId> =
            self.sessions.iter().filter(|(_, session)| is_named(session)).map(|(socket, _)| *socket).collect();
        for socket in sockets {
            let Some(session) = self.sessions.get(&socket) else { continue };
            match self.admit_names(session, None) {
                Ok(()) => self.requalify(socket, false),
                Err(error) => self.fail(socket, &error),
            }
        }
        self.finish()
    }

    /// Whether a connection may be here, or on a channel. Fails with 40300 when one of those is banned whom its client
    /// has shown to be.
    pub(super) fn admit_names(&self, session: &Session, channel: Option<&ChannelName>) -> Result<(), ErrorInfo> {
        if self.bans.is_empty() {
            return Ok(());
        }
        session.names().try_for_each(|name| self.bans.admit(Some(name), channel, self.now_ms))
    }

    /// Whether those may say it here whom a publish names. Fails with 40300 when one of them is banned.
    pub(super) fn admit_said(&self, content: &Submission, channel: &ChannelName) -> Result<(), ErrorInfo> {
        if self.bans.is_empty() {
            return Ok(());
        }
        content.clients().try_for_each(|name| self.bans.admit(Some(name), Some(channel), self.now_ms))
    }

    /// Whether a client may say something here now: it may be silent, or in slow mode, in which each message is by
    /// itself, and which is counted over all its connections at a relay. Fails with 40300 and 42911. What is said again
    /// after a resume was counted.
    pub(super) fn admit_speech(
        &mut self,
        socket: SocketId,
        channel: &ChannelName,
        content: &Submission,
    ) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get(&socket).filter(|_| !self.bans.is_empty()) else { return Ok(()) };
        let is_moderator = session.grant.moderates(channel);
        let nobody = session.name().is_none().then_some(None);
        let own = session.names().map(Some).chain(nobody);
        let others = content.clients().filter(|name| session.names().all(|own| own != *name));
        let strictest = self.bans.silence_of(own, others, channel, is_moderator, self.now_ms);
        let Some((name, silence)) = strictest else { return Ok(()) };
        match (silence.interval_ms.unwrap_or_default(), content) {
            (0, _) => Err(silence.refusal(self.now_ms)),
            (interval_ms, Submission::Messages(messages)) if session.repeats == 0 => {
                let name = name.unwrap_or(session.connection_id());
                self.said.take_turn(name, channel, messages.len(), interval_ms, self.now_ms)
            }
            _ => Ok(()),
        }
    }

    /// Ends the connections whose tokens these revoke, at once or when their clients had time to renew.
    pub fn revoke(&mut self, revocations: Vec<Revocation>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        if let Some(known) = &mut self.revocations {
            known.forget(self.now_ms);
            for revocation in revocations {
                // The app has no more of them than may be known here.
                let _ = known.insert(revocation);
            }
            for session in self.sessions.values_mut() {
                session.void_at_ms = known.void_at_ms(&session.grant);
            }
        }
        let voided = |session: &Session| session.void_at_ms.is_some();
        let sockets: Vec<SocketId> =
            self.sessions.iter().filter(|(_, session)| voided(session)).map(|(socket, _)| *socket).collect();
        for socket in sockets {
            self.tick_token(socket);
            if let Some(due_ms) = self.sessions.get(&socket).map(Session::due_ms) {
                self.lower_due(due_ms);
            }
        }
        self.finish()
    }

    /// The app is no more: nor are its connections.
    pub fn end(&mut self, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let error = Code::NotFound.because("the app was deleted");
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        sockets.into_iter().for_each(|socket| self.fail(socket, &error));
        self.finish()
    }

    /// Whether a client with this grant may come in. Fails with 40141 when it was revoked, with 40300 when it is
    /// banned, and with 42910 when it was sent away for being too fast.
    pub fn admit(&self, grant: &Grant, now_ms: u64) -> Result<(), ErrorInfo> {
        self.bans.admit(grant.client_id.name(), None, now_ms)?;
        self.said.admit(grant.client_id.name().filter(|_| !grant.basic), now_ms)?;
        match self.void_at_ms(grant) {
            Some(void_at_ms) if void_at_ms <= now_ms => Err(Code::TokenRevoked.into()),
            _ => Ok(()),
        }
    }

    /// Whether a client that is here may go on with this grant. Fails as [`Relay::admit`] does, and with 80003 when
    /// nobody would tell this relay of its revocation.
    pub(super) fn admit_renewed(&self, grant: &Grant) -> Result<(), ErrorInfo> {
        if self.revocations.is_none() && self.app.is_revocable(grant) {
            return Err(Code::Disconnected.because("reconnect with this token, and resume"));
        }
        self.admit(grant, self.now_ms)
    }

    pub(super) fn void_at_ms(&self, grant: &Grant) -> Option<u64> {
        self.revocations.as_ref()?.void_at_ms(grant)
    }
}
