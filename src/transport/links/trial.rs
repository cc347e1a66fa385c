//! A WebSocket that a client tries beside its polls, until it goes on by it. Then the link is gone.

use super::{Effect, Links, Reader};
use crate::protocol::Encoded;
use crate::relay::SocketId;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trial {
    None,
    Begun,
    /// Nothing more is said by polls: each ends at once.
    Paused,
}

impl Links {
    /// Whether a response waits, or is being written.
    pub fn is_read(&self, socket: SocketId) -> bool {
        self.get(socket).is_some_and(|link| link.reader != Reader::Absent)
    }

    /// The transport ends here, and what waits in it.
    pub fn give_up(&mut self, socket: SocketId, now_ms: u64) -> Vec<Effect> {
        self.lose(socket, now_ms);
        std::mem::take(&mut self.effects)
    }

    /// A client tries a WebSocket beside its polls. False if it does already, or did in vain by its own fault.
    pub fn try_socket(&mut self, socket: SocketId) -> bool {
        let link = self.get_mut(socket).filter(|link| link.trial == Trial::None && !link.ended);
        link.map(|link| link.trial = Trial::Begun).is_some()
    }

    /// The WebSocket that was tried is gone.
    pub fn forget_socket(&mut self, socket: SocketId) {
        if let Some(link) = self.get_mut(socket) {
            link.trial = Trial::None;
        }
    }

    /// The WebSocket that was tried ends for what its client said there, and polls go on. That it is closed is not
    /// heard, and another would have its number: there is none.
    pub fn refuse_socket(&mut self, socket: SocketId) {
        if let Some(link) = self.get_mut(socket) {
            link.trial = Trial::Begun;
        }
    }

    /// The client has found that its WebSocket works, and waits for its poll to end before it goes on by it.
    pub fn pause(&mut self, socket: SocketId, now_ms: u64) -> Vec<Effect> {
        if let Some(link) = self.get_mut(socket) {
            link.trial = Trial::Paused;
        }
        self.flush(socket, now_ms);
        std::mem::take(&mut self.effects)
    }

    /// The client goes on by a WebSocket: the link is gone. Gives what waited in it.
    pub fn replace(&mut self, socket: SocketId) -> (Vec<Encoded>, Vec<Effect>) {
        let Some(link) = self.get_mut(socket) else { return (Vec::new(), Vec::new()) };
        let waiting = std::mem::take(&mut link.queue).iter().map(|frame| frame.encoded.clone()).collect();
        let (reader, mode) = (link.reader, link.mode);
        if let Reader::Ready(number) = reader {
            self.write(socket, number, mode.body(&mut [], &[]), true);
        }
        self.remove(socket);
        (waiting, std::mem::take(&mut self.effects))
    }
}
