//! How connections begin and end (protocol.md §§ 4, 11.7).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;

use super::occupancy::admit_listener;
use super::outbox::Digest;
use super::record::{Record, Restored};
use super::session::{Attach, Opening, Session};
use super::sync::Of;
use super::takeover::Beginning;
use super::{Effect, Relay, SocketId};
use crate::auth::{Credentials, Grant, Identity, Operations};
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{CONNECTION_STATE_TTL_MS, PARTED_CONNECTIONS_MAX, PARTED_PUBLISHES_MAX, TOKEN_RENEWAL_MARGIN_MS};
use crate::model::name::ChannelName;
use crate::protocol::dialect::Dialect;
use crate::protocol::outbound::Outbound;
use crate::protocol::{Encoded, action};
use crate::rpc::connection_key::{ConnectionKey, Generations, Holder};
use crate::rpc::{Answer, ConnectionOutcome, Response, Speaker};
use crate::stats::Counter;

/// Connections by their ids: where each is, or how it parted.
#[derive(Debug, Default)]
pub struct Known {
    pub connections: HashMap<String, SocketId>,
    /// Whose clients have yet to say who they are.
    pub nobodys: BTreeSet<SocketId>,
    pub parted: HashMap<String, Parted>,
    /// Publishes that those are owed, in all.
    owed: usize,
}

/// A connection without a transport. It need not be known to be resumed: the key proves itself, and channels know the
/// rest. What is known here only refuses keys that are used up.
#[derive(Debug)]
pub struct Parted {
    pub until_ms: u64,
    pub generations: Generations,
    pub closed: bool,
    /// Publishes that were taken in, and of which it was not told.
    pub owed: VecDeque<Digest>,
}

impl Known {
    /// A connection has this grant from now on.
    fn meet(&mut self, socket: SocketId, grant: &Grant) {
        match grant.is_of_nobody() {
            true => self.nobodys.insert(socket),
            false => self.nobodys.remove(&socket),
        };
    }

    /// Remembers how a connection parted, if there is room.
    fn part(&mut self, connection_id: String, mut parted: Parted) {
        if self.parted.len() >= PARTED_CONNECTIONS_MAX {
            return;
        }
        if self.owed + parted.owed.len() > PARTED_PUBLISHES_MAX {
            parted.owed = VecDeque::new();
        }
        self.owed += parted.owed.len();
        let before = self.parted.insert(connection_id, parted);
        self.owed -= before.map_or(0, |before| before.owed.len());
    }

    pub fn take_parted(&mut self, connection_id: &str) -> Option<Parted> {
        let parted = self.parted.remove(connection_id)?;
        self.owed -= parted.owed.len();
        Some(parted)
    }

    /// Longer than a connection may be resumed its end is known, for when it is asked for.
    fn forget_parted(&mut self, now_ms: u64) {
        self.parted.retain(|_, parted| parted.until_ms + CONNECTION_STATE_TTL_MS > now_ms);
        self.owed = self.parted.values().map(|parted| parted.owed.len()).sum();
    }
}

impl Relay {
    /// A socket whose credentials were checked. `fresh_id` is random and names the connection, unless it resumes
    /// another.
    pub fn open(&mut self, socket: SocketId, mut opening: Opening, fresh_id: String, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let fresh_id = opening.door.as_ref().map_or(fresh_id.clone(), |door| door.connection_id(fresh_id));
        self.count_in(&opening);
        self.make_room(&opening);
        // Nobody stays present whose connection cannot come back.
        opening.grace_ms = opening.grace_ms.min(self.bounds.resume_ms);
        let taken_over = opening.takeover.take().map(|takeover| self.take_over(&takeover, &opening));
        let (Beginning { connection_id, generations, owed }, error) = match taken_over {
            Some(Ok(beginning)) => (beginning, None),
            Some(Err(error)) => (Beginning::anew(fresh_id), Some(error)),
            None => (Beginning::anew(fresh_id), None),
        };
        if generations == Generations::FIRST {
            self.tally.add(Counter::ConnectionsOpened, 1);
            opening.door.iter().for_each(|door| self.tally.come_by(door.name()));
        }
        let key = ConnectionKey { connection_id, shard: self.shard, generation: generations.current };
        #[cfg_attr(not(feature = "mqtt"), expect(unused_mut))]
        let mut attach = std::mem::take(&mut opening.attach);
        let mut session = Session::new(opening, key, generations, self.now_ms);
        session.void_at_ms = self.void_at_ms(&session.grant);
        session.owed = owed;
        #[cfg(feature = "mqtt")]
        attach.extend(self.begin_mqtt(socket, &mut session));
        let connected = self.connected(&mut session, error.as_ref());
        if generations.replaces().is_none() {
            self.known.connections.insert(session.connection_id().to_owned(), socket);
            self.begin_life(&session);
        }
        self.lower_due(session.due_ms());
        self.known.meet(socket, &session.grant);
        self.sessions.insert(socket, session);
        self.touch(socket);
        self.send_encoded(socket, connected);
        for Attach { channel, serial, params, .. } in attach {
            self.attach(socket, &channel, serial.as_deref(), 0, params);
        }
        self.finish()
    }

    /// The way out of the connection whose key this is, for a request that belongs to it. Fails with 80017 when it was
    /// closed, and with 80003 when it goes on elsewhere, is not known (any more), or is none of theirs by whose
    /// credentials the request comes: its client comes back, and resumes.
    pub fn find(&self, text: &str, by: Option<&Identity>) -> Result<SocketId, ErrorInfo> {
        let absent = || Code::Disconnected.because("no connection of this client has this key; reconnect and resume");
        let claimed = ConnectionKey::claimed(text).ok_or_else(absent)?;
        if self.known.parted.get(&claimed.connection_id).is_some_and(|parted| parted.closed) {
            return Err(Code::ConnectionClosed.into());
        }
        let proved = |holder: Holder<'_>| ConnectionKey::verify(text, &self.secret, holder).is_some();
        let has_it = |socket: &SocketId| {
            let session = self.sessions.get(socket).filter(|session| session.key == claimed);
            session.is_some_and(|session| proved(session.key_holder())) && self.proves(text, by)
        };
        let held = self.known.connections.get(&claimed.connection_id).copied().filter(has_it);
        held.or_else(|| self.proposed(&claimed).filter(has_it)).ok_or_else(absent)
    }

    /// Whether a key is theirs by whose credentials a request comes, as it must be to resume. SDKs that may be anybody
    /// say only when they connect who they are: what comes after is of any client.
    pub fn proves(&self, text: &str, by: Option<&Identity>) -> bool {
        let is_of = |holder: Holder<'_>| ConnectionKey::verify(text, &self.secret, holder).is_some();
        by.is_none_or(|by| *by == Identity::Wildcard || is_of(by.as_str().into()) || is_of(Holder::Bearer))
    }

    /// Whether a connection has this way out.
    pub fn holds(&self, socket: SocketId) -> bool {
        self.sessions.contains_key(&socket)
    }

    /// The key that the connection with this way out has now.
    pub fn key(&self, socket: SocketId) -> Option<String> {
        let session = self.sessions.get(&socket)?;
        Some(self.signed(session))
    }

    /// Whether its client has yet to say who it is.
    pub fn is_of_nobody(&self, socket: SocketId) -> bool {
        self.known.nobodys.contains(&socket)
    }

    fn connected(&self, session: &mut Session, error: Option<&ErrorInfo>) -> Encoded {
        session.connected(&self.signed(session), &self.bounds, error)
    }

    fn signed(&self, session: &Session) -> String {
        let key = session.key.sign(&self.secret, session.key_holder());
        match self.name.channel() {
            Some(channel) => ConnectionKey::leading_to(&key, channel),
            _ => key,
        }
    }

    /// The connection that is here and whose key this is: a good one, of the client that it is now. Fails with 40006.
    pub fn identify(&self, key: &str) -> Answer<Response> {
        let unknown = || Code::BadConnectionKey.because("no connection here has this connectionKey");
        self.speaker(key).map(Response::Speaker).ok_or_else(unknown)
    }

    fn speaker(&self, key: &str) -> Option<Speaker> {
        let claimed = ConnectionKey::claimed(key)?;
        let session = self.sessions.get(self.known.connections.get(&claimed.connection_id)?)?;
        let client_id = &session.grant.client_id;
        let key = ConnectionKey::verify(key, &self.secret, client_id.as_str())?;
        let speaker = || Speaker { connection_id: key.connection_id.clone(), client_id: client_id.clone() };
        session.generations.belong(key.generation).then(speaker)
    }

    /// A socket that outlived the memory of its relay.
    pub fn restore(&mut self, socket: SocketId, record: &[u8], now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let Some(restored) = Record::decode(record).and_then(|record| self.recall(socket, record)) else {
            self.effects.push(Effect::Close { socket });
            return self.finish();
        };
        let Restored { mut session, checkpoints } = restored;
        session.void_at_ms = self.void_at_ms(&session.grant);
        session.set_back(now_ms);
        #[cfg(feature = "mqtt")]
        self.recall_mqtt(socket, &mut session);
        if session.generations.replaces().is_none() {
            self.known.connections.insert(session.connection_id().to_owned(), socket);
            self.lives.is_here(session.connection_id());
        }
        self.lower_due(session.due_ms());
        self.known.meet(socket, &session.grant);
        self.sessions.insert(socket, session);
        for (name, checkpoint) in checkpoints {
            let feed = self.feeds.entry(name.owner()).or_default();
            self.attached += usize::from(feed.members.insert((socket, name.clone())));
            if checkpoint.is_some() {
                (feed.reached, feed.checkpoint) = (checkpoint, Some((socket, name)));
            }
        }
        self.count_all(socket, 1);
        self.finish()
    }

    /// All sockets were restored. Where nobody remembers what a client asked for, or how far a channel's deliveries
    /// are, clients must come back: they know what they have.
    pub fn restored(&mut self, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.drop_found();
        #[cfg(feature = "mqtt")]
        self.part_lost_mqtt();
        // What the channel knows is as good: it asks now and then.
        self.feeds.values_mut().for_each(|feed| _ = feed.reports.known());
        let lost = self.feeds.values().filter(|feed| feed.reached.is_none());
        let lost = lost.flat_map(|feed| feed.members.iter().map(|(socket, _)| *socket));
        let busy = self.sessions.iter().filter(|(_, session)| session.was_busy).map(|(socket, _)| *socket);
        let sockets: Vec<SocketId> = busy.chain(lost).collect();
        sockets.into_iter().for_each(|socket| self.disconnect(socket, &interrupted()));
        self.finish()
    }

    /// The socket is gone. Its connection may be resumed for a while.
    pub fn lost(&mut self, socket: SocketId, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.forget(socket, false);
        self.finish()
    }

    pub(super) fn heartbeat(&mut self, socket: SocketId, id: Option<&str>) {
        // Also without an id: some SDKs take the next that comes for the answer. None answers one of ours.
        self.send(socket, &Outbound { action: action::HEARTBEAT, id, ..Outbound::default() });
    }

    /// CLOSE: the connection ends for good.
    pub(super) fn close(&mut self, socket: SocketId) {
        self.send(socket, &Outbound { action: action::CLOSED, ..Outbound::default() });
        self.forget(socket, true);
        self.effects.push(Effect::Close { socket });
    }

    /// DISCONNECT: the transport ends, the connection may be resumed.
    pub(super) fn part(&mut self, socket: SocketId) {
        self.forget(socket, false);
        self.effects.push(Effect::Close { socket });
    }

    /// The client is told to come back.
    pub(super) fn disconnect(&mut self, socket: SocketId, error: &ErrorInfo) {
        let frame = Outbound { action: action::DISCONNECTED, error: Some(error), ..Outbound::default() };
        self.send(socket, &frame);
        if self.sessions.contains_key(&socket) {
            self.part(socket);
        }
    }

    /// The connection ends with an error that the client cannot mend by coming back.
    pub(super) fn fail(&mut self, socket: SocketId, error: &ErrorInfo) {
        self.send(socket, &Outbound { action: action::ERROR, error: Some(error), ..Outbound::default() });
        let id = self.sessions.get(&socket).map(|session| session.connection_id().to_owned());
        self.forget(socket, true);
        id.iter().for_each(|id| self.lives.explain(id, error.code));
        self.effects.push(Effect::Close { socket });
    }

    /// AUTH: another token for a connection that goes on. All its attachments are looked at.
    pub(super) fn renew(&mut self, socket: SocketId, token: &str) {
        if let Err(error) = self.admit_again(socket, "brings tokens") {
            return self.disconnect(socket, &error);
        }
        self.count_attaches(socket, 1);
        let Some(session) = self.sessions.get(&socket) else { return };
        let client_id = session.grant.client_id.name().map(str::to_owned);
        let verified = Credentials::renewed(token, client_id.as_deref())
            .and_then(|credentials| credentials.or_of(self.operators.as_ref()).verify(Some(&self.app), self.now_ms))
            .and_then(|grant| self.admit_renewed(&grant).map(|()| grant));
        match verified {
            Ok(grant) => self.go_on(socket, grant),
            // The client mends these by coming back, and then goes on where it was.
            Err(error) if error.is_token_error() || error.is(Code::Disconnected) => self.disconnect(socket, &error),
            Err(error) => self.fail(socket, &error),
        }
    }

    pub(super) fn go_on(&mut self, socket: SocketId, grant: Grant) {
        let void_at_ms = self.void_at_ms(&grant);
        let granted_before = self.granted(socket);
        self.count_all(socket, -1);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        session.prompted = grant.expires_at_ms.is_some_and(|at_ms| at_ms < self.now_ms + TOKEN_RENEWAL_MARGIN_MS);
        session.renewed_ms = NonZeroU64::new(self.now_ms);
        session.void_at_ms = void_at_ms;
        let is_renamed = session.grant.client_id != grant.client_id;
        self.known.meet(socket, &grant);
        session.grant = grant;
        self.count_all(socket, 1);
        if let Err(error) = self.fit(socket) {
            return self.disconnect(socket, &error);
        }
        let Some(key) = self.key(socket) else { return };
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let (due_ms, connected) = (session.due_ms(), session.connected(&key, &self.bounds, None));
        self.lower_due(due_ms);
        self.touch(socket);
        self.send_encoded(socket, connected);
        self.requalify(socket, is_renamed);
        self.announce_regranted(socket, &granted_before);
    }

    /// Ends the attachments that the capability no longer allows, and of the others what it no longer allows there: to
    /// be told who is present, and to be present, which also ends when the client is no longer who its members are.
    pub(super) fn requalify(&mut self, socket: SocketId, is_renamed: bool) {
        let Some(session) = self.sessions.get(&socket) else { return };
        let names: Vec<ChannelName> = session.attachments.keys().cloned().collect();
        let may = |name: &ChannelName| session.grant.permits(name, Operations::PRESENCE);
        let leaves = |name: &&ChannelName| is_renamed || !may(name) || self.admit_to(socket, name).is_err();
        let ahead: Vec<ChannelName> = self.ahead.get(&socket).into_iter().flatten().filter(leaves).cloned().collect();
        self.departed_ahead(socket, ConnectionOutcome::Left, |name| ahead.contains(name));
        for name in names {
            self.plan_report(&name.owner());
            if let Err(error) = self.admit_to(socket, &name).and_then(|()| self.admit_listening(socket, &name)) {
                self.remove_attachment(socket, &name, ConnectionOutcome::Left);
                self.channel_error(socket, name.as_str(), &error);
                continue;
            }
            if is_renamed || !self.permits_presence(socket, &name) {
                self.withdraw(socket, &name);
            }
            for of in [Of::Members, Of::Objects] {
                if !self.is_told(socket, &name, of) {
                    self.end_sync(socket, &name, of);
                }
            }
        }
    }

    fn admit_listening(&self, socket: SocketId, name: &ChannelName) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get(&socket) else { return Ok(()) };
        session.attachments.get(name).map_or(Ok(()), |attachment| admit_listener(session, name, attachment))
    }

    /// Whether a connection may be on a channel at all. Fails with 40160 when its capability allows nothing there, or
    /// not to subscribe where that is all there is to do, with 40300 when it is banned there, and as the channel's
    /// [`Rules`](crate::auth::Rules) do.
    pub(super) fn admit_to(&self, socket: SocketId, name: &ChannelName) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get(&socket) else { return Ok(()) };
        let operations = session.grant.capability.operations(name);
        if operations.is_empty() {
            return Err(Code::NotPermitted.because("the capability allows nothing on this channel"));
        }
        if name.filter().is_some() && !operations.contains(Operations::SUBSCRIBE) {
            return Err(Code::NotPermitted.because("the capability does not allow to subscribe through a filter here"));
        }
        self.admit_names(session, Some(name))?;
        self.app.rules(name).admit(session.grant.client_id.name().is_some(), session.is_secure)
    }

    fn forget(&mut self, socket: SocketId, closed: bool) {
        #[cfg(feature = "mqtt")]
        self.part_mqtt(socket);
        let Some(session) = self.sessions.get(&socket) else { return };
        let names: Vec<ChannelName> = session.attachments.keys().cloned().collect();
        let outcome = if closed { ConnectionOutcome::Left } else { ConnectionOutcome::Gone };
        names.iter().for_each(|name| self.remove_attachment(socket, name, outcome.clone()));
        self.departed_ahead(socket, outcome, |_| true);
        self.said.forget(socket);
        let Some(session) = self.sessions.remove(&socket) else { return };
        self.known.nobodys.remove(&socket);
        if self.known.connections.get(session.connection_id()) == Some(&socket) {
            self.known.connections.remove(session.connection_id());
            self.end_life(&session, closed);
            let until_ms = self.now_ms + self.bounds.resume_ms;
            let parted = Parted { until_ms, generations: session.generations, closed, owed: session.unanswered() };
            self.known.part(session.key.connection_id, parted);
        }
    }

    pub(super) fn lower_due(&mut self, due_ms: u64) {
        self.sessions_due_ms = Some(self.sessions_due_ms.map_or(due_ms, |known| known.min(due_ms)));
    }

    pub(super) fn tick_sessions(&mut self) {
        if self.sessions_due_ms.is_none_or(|due_ms| due_ms > self.now_ms) {
            return;
        }
        self.known.forget_parted(self.now_ms);
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        sockets.into_iter().for_each(|socket| self.tick_token(socket));
        self.end_silent();
        self.tell_progress();
        self.send_heartbeats();
        self.sessions_due_ms = self.sessions.values().map(Session::due_ms).min();
    }

    pub(super) fn tick_token(&mut self, socket: SocketId) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some((ends_at_ms, why)) = session.end() else { return };
        if ends_at_ms <= self.now_ms {
            self.disconnect(socket, &why.into());
        } else if session.prompt_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
            session.prompted = true;
            self.touch(socket);
            self.send(socket, &Outbound { action: action::AUTH, ..Outbound::default() });
        }
    }

    fn end_silent(&mut self) {
        let silent = self.sessions.iter().filter(|(_, session)| session.is_silent(self.now_ms));
        let sockets: Vec<SocketId> = silent.map(|(socket, _)| *socket).collect();
        let error = Code::Disconnected.because("a heartbeat was not answered; reconnect and resume");
        sockets.into_iter().for_each(|socket| self.disconnect(socket, &error));
    }

    fn send_heartbeats(&mut self) {
        let mut alike: BTreeMap<(Dialect, u8), Vec<SocketId>> = BTreeMap::new();
        let mut pinged = Vec::new();
        for (socket, session) in &mut self.sessions {
            if session.wants_heartbeat(self.now_ms) {
                alike.entry((session.dialect.without_objects(), session.heartbeat())).or_default().push(*socket);
                session.last_sent_ms = self.now_ms;
                session.pinged(self.now_ms);
                pinged.extend(session.bounce.is_some().then_some(*socket));
            }
        }
        pinged.into_iter().for_each(|socket| self.touch(socket));
        // The answer to a ping has its id. A heartbeat with one would be taken for the answer to the client's own.
        let id = self.now_ms.to_string();
        for ((dialect, action), sockets) in alike {
            let id = (action == action::PING).then_some(id.as_str());
            let frame = dialect.encode(&Outbound { action, id, ..Outbound::default() });
            self.effects.push(Effect::Send { sockets, frame });
        }
    }
}

fn interrupted() -> ErrorInfo {
    Code::Disconnected.because("the server was interrupted; reconnect and resume")
}
