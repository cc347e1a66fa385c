//! Connections that are sent back to the front door: all of them, some at a time, because the server is about to stop,
//! or those whose key was configured anew. A client comes back by itself, resumes, and is let in or told why it is not.

use std::rc::Rc;

use super::{Effect, Relay, SocketId};
use crate::auth::App;
use crate::error::Code;
use crate::limits::{GRACE_AT_STOP_MS, GRACE_MS};
use crate::model::name::AppId;

impl Relay {
    pub fn app_id(&self) -> &AppId {
        self.app.id()
    }

    pub fn app(&self) -> Rc<App> {
        self.app.clone()
    }

    /// One in so many connections is told to come back. With `one_in` 1 it is all of them. Their members stay until the
    /// server is back.
    pub fn send_away(&mut self, one_in: usize, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let count = self.sessions.len().div_ceil(one_in.max(1));
        let grace_ms = GRACE_AT_STOP_MS.min(self.bounds.resume_ms) as u32;
        let mut sockets = Vec::with_capacity(count);
        for (socket, session) in self.sessions.iter_mut().take(count) {
            if u64::from(session.grace_ms) >= GRACE_MS {
                session.grace_ms = session.grace_ms.max(grace_ms);
            }
            sockets.push(*socket);
        }
        self.send_back(sockets, "the server is about to stop; reconnect and resume")
    }

    /// The app was configured anew: its rules hold from the next message on, and connections of keys that are not what
    /// they were `before` come back. That is told, and not remembered, as an object may have slept since.
    pub fn reconfigure(&mut self, before: Option<&App>, app: Rc<App>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        self.app = app;
        let changed = |key| before.and_then(|app| app.key(key)) != self.app.key(key);
        let sessions = self.sessions.iter().filter(|(_, session)| changed(&session.grant.key_name));
        let sockets = sessions.map(|(socket, _)| *socket).collect();
        self.send_back(sockets, "the key was configured anew; reconnect and resume")
    }

    fn send_back(&mut self, sockets: Vec<SocketId>, why: &str) -> Vec<Effect> {
        let error = Code::Disconnected.because(why);
        sockets.into_iter().for_each(|socket| self.disconnect(socket, &error));
        self.finish()
    }
}
