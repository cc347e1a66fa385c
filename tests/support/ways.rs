//! Responses on their way to clients over HTTP: a body is taken, or breaks off, or is never heard of again; a reader asks
//! twice; who leaves says nothing.

use courtside::transport::{Mode, ResponseId};
use courtside::wire::Encoded;
use serde_json::Value;

use super::host::{Input, LinkId};
use super::http::Body;
use super::network::Owner;
use super::trace::note;
use super::world::{Event, World};

/// What the older of two that poll at once is told; it is of no interest to who asked for both.
const SUPERSEDED: u64 = 80_016;

impl World {
    /// Responses that are refused or break off with the memory of who gave them.
    pub(super) fn ways_end(&mut self, links: Vec<LinkId>) {
        for link in links {
            let delay_ms = self.random.below(200);
            self.after(delay_ms, Event::LinkDown { link });
        }
    }

    /// A request whose connection is not there is refused.
    pub(super) fn refuse_lost(&mut self, host: usize, input: &Input) {
        let (link, reads) = match input {
            Input::Recv { link } => (*link, true),
            Input::Frame { link, .. } => (*link, false),
            _ => return,
        };
        let is_http = self.links.get(&link).is_some_and(|link| link.mode.is_some());
        if is_http && !self.hosts[host].finds(link, reads) {
            self.ways_end(vec![link]);
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
            Owner::Listener(ear) => return self.listener_takes(ear, host, life, body),
        };
        let Body { text, last, .. } = body;
        if self.random.chance(self.weather.lose_body) {
            note(self.now_ms, format_args!("{link} breaks off in response {}", response.number));
            self.not_taken(host, life, response);
            // Some ask for it once more.
            return match mode == Some(Mode::Poll) && self.random.chance(500) {
                true => self.send_to_server(client, |link| Input::Recv { link }),
                false => self.link_down(link),
            };
        }
        let frames: Vec<Value> =
            if text.is_empty() { Vec::new() } else { serde_json::from_str(&text).expect("an array") };
        let is_superseded = |frame: &Value| mode == Some(Mode::Poll) && frame["error"]["code"] == SUPERSEDED;
        // Then another response is open already.
        let asks_again = last && !frames.iter().any(is_superseded);
        for frame in frames.iter().filter(|frame| !is_superseded(frame)) {
            self.client_gets(link, &Encoded::Text(frame.to_string()));
        }
        self.written(host, life, response, true);
        if !self.links.contains_key(&link) {
            return;
        }
        if asks_again {
            self.send_to_server(client, |link| Input::Recv { link });
        }
        if self.random.chance(self.weather.ask_twice) {
            self.send_to_server(client, |link| Input::Recv { link });
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
        self.after(delay_ms, Event::Turn { host, life: Some(life), input: Input::Written { response, went_well } });
    }
}
