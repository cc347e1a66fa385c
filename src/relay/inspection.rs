//! What an operator asks of those who are here: which connections there are, and that some end. Nothing is kept for it.

use std::num::NonZeroU64;

use super::session::Session;
use super::{Effect, Relay, SocketId};
use crate::error::Code;
use crate::limits::CONNECTION_CHANNELS_SHOWN;
use crate::protocol::dialect::Dialect;
use crate::rpc::{HeldConnection, Inspected, Inspection, Selector};

impl Relay {
    pub fn inspect(&mut self, inspection: Inspection, now_ms: u64) -> (Inspected, Vec<Effect>) {
        self.now_ms = now_ms;
        let inspected = match inspection {
            Inspection::List { of, after, limit } => self.held(&of, &after, limit),
            Inspection::End { of, comes_back } => Inspected::Ended(self.end_selected(&of, comes_back)),
        };
        (inspected, self.finish())
    }

    fn held(&self, of: &Selector, after: &str, limit: usize) -> Inspected {
        let meant = |session: &&Session| session.connection_id() > after && is_meant(session, of);
        let mut found: Vec<&Session> = self.sessions.values().filter(meant).collect();
        found.sort_unstable_by_key(|session| session.connection_id());
        let has_more = found.len() > limit;
        let connections = found.into_iter().take(limit).map(|session| self.shown(session)).collect();
        Inspected::List { connections, has_more }
    }

    fn shown(&self, session: &Session) -> HeldConnection {
        let channels = session.attachments.keys().take(CONNECTION_CHANNELS_SHOWN);
        HeldConnection {
            connection_id: session.connection_id().to_owned(),
            client_id: session.name().map(str::to_owned),
            key_name: session.grant.key_name.to_string(),
            transport: spoken(session),
            since_ms: session.since_ms.map(NonZeroU64::get),
            channels: channels.map(|name| name.as_str().to_owned()).collect(),
            channel_count: session.attachments.len() as u64,
            debt_bytes: session.debt.left(self.bounds.connection, self.now_ms),
            unacknowledged: session.outbox.len() as u64,
        }
    }

    /// One that comes back resumes, as after a loss of its network; the others end for good.
    fn end_selected(&mut self, of: &Selector, comes_back: bool) -> u64 {
        let meant = self.sessions.iter().filter(|(_, session)| is_meant(session, of));
        let sockets: Vec<SocketId> = meant.map(|(socket, _)| *socket).collect();
        for socket in &sockets {
            match comes_back {
                true => {
                    self.disconnect(*socket, &Code::Disconnected.because("an operator asks to reconnect and resume"))
                }
                false => self.fail(*socket, &Code::ConnectionClosed.because("an operator has ended this connection")),
            }
        }
        sockets.len() as u64
    }
}

fn is_meant(session: &Session, of: &Selector) -> bool {
    let Selector { connection_id, client_id, channel } = of;
    connection_id.as_deref().is_none_or(|id| session.connection_id() == id)
        && client_id.as_deref().is_none_or(|name| session.names().any(|known| known == name))
        && channel.as_ref().is_none_or(|channel| session.attachments.keys().any(|name| name.is_of(channel)))
}

/// How it is connected, and behind a space what it speaks, if it came in by a door.
fn spoken(session: &Session) -> String {
    let door = session.door.as_ref().map(|door| door.name());
    [transport(session)].into_iter().chain(door).collect::<Vec<_>>().join(" ")
}

pub(super) fn transport(session: &Session) -> &'static str {
    match session.dialect {
        Dialect::Events(_) => "events",
        // Only what the platform keeps is a WebSocket.
        _ if session.is_kept => "websocket",
        _ => "http",
    }
}
