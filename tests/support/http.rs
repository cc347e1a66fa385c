//! What an object's shell does for connections over HTTP: it hands their requests to the links, and writes what those give.

use courtside::relay::SocketId;
use courtside::relay::session::Opening;
use courtside::transport::{Effect, Mode, ResponseId, events};

use super::host::{Host, LinkId, Output, Work};

/// What is written into a response.
#[derive(Debug)]
pub struct Body {
    pub link: LinkId,
    pub response: ResponseId,
    pub text: String,
    pub last: bool,
}

impl Host {
    pub(super) fn open_way(&mut self, link: LinkId, mode: Mode, opening: Opening, fresh_id: String, now_ms: u64) {
        self.last_way += 1;
        let socket = SocketId(self.last_way);
        self.ways.insert(socket, link);
        let places = events::places(&opening.attach);
        self.relay_input(|relay| relay.open(socket, opening, fresh_id, now_ms));
        let key = self.relay.as_ref().and_then(|relay| relay.key(socket)).expect("it is connected");
        self.http.open(socket, mode, key, now_ms);
        self.http.follow(socket, places);
        self.recv(link, now_ms);
    }

    pub(super) fn recv(&mut self, link: LinkId, now_ms: u64) {
        if let Some(socket) = self.way(link) {
            let (_, effects) = self.http.read(socket, now_ms);
            self.link_effects(effects);
        }
    }

    pub(super) fn way(&self, link: LinkId) -> Option<SocketId> {
        self.ways.iter().find(|(_, way)| **way == link).map(|(socket, _)| *socket)
    }

    /// Whether a request finds its connection, and is not refused.
    pub(super) fn finds(&self, link: LinkId, reads: bool) -> bool {
        let is_open = |socket| reads || self.relay.as_ref().is_some_and(|relay| relay.key(socket).is_some());
        self.way(link).is_some_and(is_open)
    }

    pub(super) fn link_effects(&mut self, effects: Vec<Effect>) {
        self.work.extend(effects.into_iter().map(Work::Link));
    }

    pub(super) fn perform_link(&mut self, effect: Effect, now_ms: u64) {
        match effect {
            Effect::Write { response, body: text, last } => {
                let link = self.ways[&response.socket];
                self.outputs.push(Output::Body(Body { link, response, text, last }));
            }
            // Who still reads it loses patience.
            Effect::Cut { .. } => {}
            Effect::Lost { socket } => self.relay_input(|relay| relay.lost(socket, now_ms)),
        }
    }

    /// Those that have said everything are no more.
    pub(super) fn forget_ways(&mut self) {
        self.ways.retain(|socket, _| self.http.contains(*socket));
    }
}
