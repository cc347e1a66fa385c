//! How connections go on by another transport (protocol.md § 6).
//!
//! Who resumes or recovers a connection takes it over at once, and the transport that it still has ends. Who upgrades
//! it, as browsers with version 2 of the protocol do, proposes a transport beside the one that it has, and goes on with
//! both until it says by which. Then the old one ends, as in a resume, and the client attaches again by the new one.

use std::collections::VecDeque;

use super::outbox::Digest;
use super::session::{Opening, Session, Takeover};
use super::{Effect, Relay, SocketId};
use crate::error::{Code, ErrorInfo};
use crate::rpc::connection_key::{ConnectionKey, Generations, TakeoverKind};

/// What a session begins with.
pub struct Beginning {
    pub connection_id: String,
    pub generations: Generations,
    /// What it will say again.
    pub owed: VecDeque<Digest>,
}

impl Beginning {
    pub fn anew(connection_id: String) -> Beginning {
        Beginning { connection_id, generations: Generations::FIRST, owed: VecDeque::new() }
    }
}

impl Relay {
    /// Fails with 80003 when a client would change to another transport for a connection that isn't here, or doesn't
    /// know how: it stays with the one it has.
    pub fn admit_upgrade(&self, opening: &Opening) -> Result<(), ErrorInfo> {
        match &opening.takeover {
            Some(Takeover { kind: TakeoverKind::Upgrade, key }) => self.upgraded(key, opening).map(drop),
            _ => Ok(()),
        }
    }

    /// A connection goes on by a WebSocket, with the number that its link had.
    pub fn goes_by_socket(&mut self, socket: SocketId, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let Some(session) = self.sessions.get_mut(&socket) else { return self.finish() };
        session.is_kept = true;
        self.rows.write_all(socket, session);
        self.touch(socket);
        let Some(session) = self.sessions.get(&socket) else { return self.finish() };
        for (name, _) in session.attachments.iter().filter(|(_, attachment)| attachment.is_live()) {
            // Until now it could remember nothing for the relay.
            if let Some(feed) = self.feeds.get_mut(&name.owner()) {
                feed.checkpoint.get_or_insert_with(|| (socket, name.clone()));
            }
        }
        self.finish()
    }

    pub(super) fn take_over(&mut self, takeover: &Takeover, opening: &Opening) -> Result<Beginning, ErrorInfo> {
        match takeover.kind {
            TakeoverKind::Resume | TakeoverKind::Recover => self.resume(takeover, opening),
            TakeoverKind::Upgrade => self.propose(&takeover.key, opening),
        }
    }

    /// Ends whatever the connection was bound to before, if its key is good. Fails with 80018 for a key that never was
    /// or is used up, 80008 when its time is over, 80017 when it was closed.
    fn resume(&mut self, takeover: &Takeover, opening: &Opening) -> Result<Beginning, ErrorInfo> {
        let kind = takeover.kind;
        let key = self.proved(&takeover.key, opening).ok_or_else(|| ErrorInfo::from(Code::BadResumeKey))?;
        if let Some(socket) = self.known.connections.get(&key.connection_id).copied() {
            self.supersede(socket, key.generation, kind)?;
        }
        let before = match self.known.parted.get(&key.connection_id) {
            Some(parted) if parted.closed => return Err(Code::ConnectionClosed.into()),
            Some(parted) if parted.until_ms <= self.now_ms => return Err(Code::ConnectionExpired.into()),
            Some(parted) if !parted.generations.accept(key.generation, kind) => return Err(Code::BadResumeKey.into()),
            Some(parted) => parted.generations,
            None => Generations { current: key.generation, before: None, last: key.generation },
        };
        let owed = self.known.take_parted(&key.connection_id).map(|parted| parted.owed).unwrap_or_default();
        let generations = before.taken_over(key.generation, kind);
        Ok(Beginning { connection_id: key.connection_id, generations, owed })
    }

    fn proved(&self, key: &str, opening: &Opening) -> Option<ConnectionKey> {
        ConnectionKey::verify(key, &self.secret, opening.grant.client_id.as_str())
    }

    /// Ends the transport that the connection still has, if the key is good.
    fn supersede(&mut self, socket: SocketId, generation: u32, kind: TakeoverKind) -> Result<(), ErrorInfo> {
        let Some(session) = self.sessions.get(&socket) else { return Ok(()) };
        if !session.generations.accept(generation, kind) {
            return Err(Code::BadResumeKey.because("the connection goes on elsewhere, this key is used up"));
        }
        self.disconnect(socket, &Code::Superseded.into());
        Ok(())
    }

    /// The transport that a client would replace.
    fn upgraded(&self, key: &str, opening: &Opening) -> Result<(SocketId, ConnectionKey), ErrorInfo> {
        let found = self.proved(key, opening).and_then(|key| {
            let socket = *self.known.connections.get(&key.connection_id)?;
            self.sessions.get(&socket).filter(|session| session.key == key)?;
            Some((socket, key))
        });
        found.ok_or_else(|| {
            Code::Disconnected.because("this connection can't change to another transport; go on as before")
        })
    }

    /// A transport beside the one that the connection has. Fails as [`Relay::admit_upgrade`] does.
    fn propose(&mut self, key: &str, opening: &Opening) -> Result<Beginning, ErrorInfo> {
        let (socket, key) = self.upgraded(key, opening)?;
        let generations = self.sessions.get_mut(&socket).map(|session| session.generations.proposed());
        let generations = generations.unwrap_or(Generations::FIRST);
        Ok(Beginning { connection_id: key.connection_id, generations, owed: VecDeque::new() })
    }

    /// The transport with this key that is proposed and not used yet. Only where there may be one it is looked for.
    pub(super) fn proposed(&self, key: &ConnectionKey) -> Option<SocketId> {
        let Generations { current, last, .. } = self.generations(&key.connection_id)?;
        let is_it = |session: &Session| session.generations.replaces().is_some() && session.key == *key;
        let mut proposed = self.sessions.iter().filter(|(_, session)| is_it(session));
        (current < key.generation && key.generation <= last).then(|| proposed.next())?.map(|(socket, _)| *socket)
    }

    /// Those of a connection that is here or has lost its transport.
    fn generations(&self, connection_id: &str) -> Option<Generations> {
        match self.known.connections.get(connection_id).and_then(|socket| self.sessions.get(socket)) {
            Some(session) => Some(session.generations),
            None => {
                self.known.parted.get(connection_id).filter(|parted| !parted.closed).map(|parted| parted.generations)
            }
        }
    }

    /// A client goes on by the transport that it proposed, unless the connection went on elsewhere meanwhile.
    pub(super) fn activate(&mut self, socket: SocketId) {
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        let Some(before) = session.generations.replaces() else { return };
        session.generations.before = None;
        let connection_id = session.key.connection_id.clone();
        let generations = self.generations(&connection_id);
        let Some(replaced) = generations.filter(|generations| generations.current == before) else {
            return self.disconnect(socket, &Code::Superseded.into());
        };
        if let Some(held) = self.known.connections.get(&connection_id).copied() {
            self.disconnect(held, &Code::Superseded.into());
        }
        self.known.take_parted(&connection_id);
        if let Some(session) = self.sessions.get_mut(&socket) {
            session.generations.last = replaced.last;
        }
        self.lives.is_here(&connection_id);
        self.known.connections.insert(connection_id, socket);
        self.touch(socket);
    }
}
