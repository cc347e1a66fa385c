//! Who is not let in, and how it is told (protocol.md § 2).

use super::client::Client;
use super::route::Way;
use super::{Moment, Router};
#[cfg(feature = "mqtt")]
use crate::error::Code;
use crate::error::ErrorInfo;
use crate::http::{self, Reply, Request};
use crate::protocol::Encoded;
use crate::protocol::dialect::{Dialect, Voice};
#[cfg(feature = "mqtt")]
use crate::protocol::mqtt::{gate, reason};
#[cfg(feature = "socketio")]
use crate::transport::engine;
use crate::transport::{comet, events, refusal};

/// How a client is told.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// By the answer to its request.
    Reply(Reply),
    /// By this over a WebSocket, which is opened for it, where it is not open, and ended.
    Socket(Encoded),
}

impl Router {
    /// A client is not let in. It counts for its app, if that is known to be there.
    pub(super) fn refuse(&mut self, client: &Client<'_>, error: &ErrorInfo, moment: Moment<'_>) -> Refusal {
        let Moment { deployment, now_ms } = moment;
        let app = client.app.as_ref().filter(|id| self.directory.is_known(id, deployment, now_ms));
        self.reports.counted.refused_connection(app, error.code, now_ms);
        let head = client.head;
        match client.way {
            Way::WebSocket(_) if error.may_pass() && head.waits_by_status() => {
                Refusal::Reply(http::refuse(head, error))
            }
            Way::WebSocket(format) => self.tell(head, error, Dialect::Frames(*format), moment),
            Way::Door(door) => self.tell(head, error, door.clone(), moment),
            Way::Comet(..) => Refusal::Reply(comet::refused(error)),
            Way::Events { lines } => Refusal::Reply(events::refused(error, *lines, client.random)),
            #[cfg(feature = "socketio")]
            Way::Engine(_) => Refusal::Reply(engine::refused(error)),
            #[cfg(feature = "mqtt")]
            Way::Mqtt { connect, .. } => {
                let packet = gate::refusal(connect, reason::of_connect(error), &error.message);
                Refusal::Socket(packet.map_or(Encoded::NOTHING, Encoded::Binary))
            }
        }
    }

    /// In the protocol, if a WebSocket may be opened for that: a refused upgrade tells a browser nothing. What may pass
    /// is told as DISCONNECTED, so that the client tries again.
    fn tell(&mut self, head: &Request, error: &ErrorInfo, mut voice: impl Voice, moment: Moment<'_>) -> Refusal {
        if !self.may_tell(&head.address, moment) {
            return Refusal::Reply(http::refuse(head, error));
        }
        self.told(&head.address, moment.now_ms);
        Refusal::Socket(voice.say(&refusal(error)))
    }

    /// The answer to a client of MQTT whose WebSocket had better not be opened. Whether it comes in is not known yet.
    #[cfg(feature = "mqtt")]
    pub fn refuse_unopened(&mut self, head: &Request, moment: Moment<'_>) -> Option<Reply> {
        if !self.may_tell(&head.address, moment) {
            let error = Code::Unavailable.because("no more clients can be told why they are not let in; try again");
            return Some(http::refuse(head, &error));
        }
        // As if it were told so already: while it only waits it takes as much.
        self.told(&head.address, moment.now_ms);
        None
    }

    /// A client of MQTT of this address was let in, after all.
    #[cfg(feature = "mqtt")]
    pub fn let_in(&mut self, address: &str) {
        self.told.give_back(address);
    }

    /// Whether one more client of this address may be told by a WebSocket why it is not let in. That keeps its
    /// descriptors until the client closes it, too, which one that means harm does not.
    fn may_tell(&self, address: &str, Moment { deployment, now_ms }: Moment<'_>) -> bool {
        let has_part = address.is_empty() || self.told.allows(address, now_ms);
        has_part && deployment.has_room(false).is_ok()
    }

    fn told(&mut self, address: &str, now_ms: u64) {
        if !address.is_empty() {
            self.told.take(address.to_owned(), now_ms);
        }
    }
}
