//! Requests of clients over HTTP, and the responses on their way to them: a body is taken, or breaks off, or is never
//! heard of again; a reader asks twice; who leaves says nothing.

use courtside::object::{self, CallerId};
use courtside::protocol::Encoded;
use courtside::transport::comet::{self, Verb};
use courtside::transport::{Mode, ResponseId};
use serde_json::Value;

use super::host::{Body, Input, LinkId};
use super::network::Owner;
use super::trace::note;
use super::world::{Event, World};

/// What the older of two that poll at once is told; it is of no interest to who asked for both.
const SUPERSEDED: u64 = 80_016;

impl World {
    /// Requests that are refused, or break off with the memory of who gave their responses.
    pub(super) fn requests_end(&mut self, links: impl IntoIterator<Item = LinkId>) {
        for link in links {
            let delay_ms = self.random.below(200);
            self.after(delay_ms, Event::LinkDown { link });
        }
    }

    /// Frames from a client over HTTP.
    pub(super) fn post(&mut self, client: usize, frame: &Value) {
        self.request(client, Verb::Send, comet::array([frame.to_string().as_str()].into_iter()).into_bytes());
    }

    /// Asks for a response. Who was never told its key can't.
    fn recv(&mut self, client: usize) {
        self.request(client, Verb::Recv, Vec::new());
    }

    fn request(&mut self, client: usize, verb: Verb, body: Vec<u8>) {
        let caller = CallerId(self.fresh());
        let Some(link) = self.homes[client].link else { return };
        match self.links.get(&link).and_then(|link| link.key.clone()) {
            Some(key) => self.send_by(link, |link| Input::Comet { link, caller, verb, key, body }),
            None => self.link_down(link),
        }
    }

    pub(super) fn send_body(&mut self, host: usize, life: u64, body: Body) {
        let delay_ms = self.client_delay_ms();
        let at_ms = match self.links.get_mut(&body.link) {
            Some(link) => {
                link.to_client_ms = link.to_client_ms.max(self.now_ms + delay_ms);
                link.to_client_ms
            }
            None => self.now_ms + delay_ms,
        };
        self.at(at_ms, Event::Body { host, life, body });
    }

    pub(super) fn client_takes(&mut self, host: usize, life: u64, body: Body) {
        let (link, response) = (body.link, body.response);
        let (owner, mode) = match self.links.get(&link) {
            Some(link) => (link.owner, link.mode),
            None => return self.not_taken(host, life, response),
        };
        let client = match owner {
            Owner::Client(client) => client,
            Owner::Adversary(_) | Owner::Guest(_) => unreachable!("they come by WebSocket"),
            Owner::Listener(ear) => return self.listener_takes(ear, host, life, body),
        };
        let Body { text, last, .. } = body;
        if self.random.chance(self.weather.lose_body) {
            note(self.now_ms, format_args!("{link} breaks off in response {}", response.number));
            self.not_taken(host, life, response);
            // Some ask for it once more.
            return match mode == Some(Mode::Poll) && self.random.chance(500) {
                true => self.recv(client),
                false => self.link_down(link),
            };
        }
        let frames: Vec<Value> =
            if text.is_empty() { Vec::new() } else { serde_json::from_str(&text).expect("an array") };
        let is_superseded = |frame: &Value| mode == Some(Mode::Poll) && frame["error"]["code"] == SUPERSEDED;
        // Then another response is open already.
        let asks_again = last && !frames.iter().any(is_superseded);
        let key = frames.iter().find_map(|frame| frame["connectionDetails"]["connectionKey"].as_str());
        if let (Some(key), Some(link)) = (key, self.links.get_mut(&link)) {
            link.key = Some(key.to_owned());
        }
        for frame in frames.iter().filter(|frame| !is_superseded(frame)) {
            self.client_gets(link, &Encoded::Text(frame.to_string()));
        }
        self.written(host, life, response, true);
        if !self.links.contains_key(&link) {
            return;
        }
        if asks_again {
            self.recv(client);
        }
        if self.random.chance(self.weather.ask_twice) {
            self.recv(client);
        }
    }

    /// The server learns that it failed, or nothing.
    pub(super) fn not_taken(&mut self, host: usize, life: u64, response: ResponseId) {
        if self.random.chance(500) {
            self.written(host, life, response, false);
        }
    }

    pub(super) fn written(&mut self, host: usize, life: u64, response: ResponseId, went_well: bool) {
        let delay_ms = self.random.between(1, self.weather.latency_ms);
        let input = Input::Object(object::Input::Written { response, went_well });
        self.after(delay_ms, Event::Turn { host, life: Some(life), input });
    }
}
