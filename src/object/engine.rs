//! Connections by Engine.IO's polls, and how they go on by a WebSocket.
//!
//! A client that polls tries a WebSocket beside. It has the number of the connection's link, and what comes by it is
//! none of the connection's until the client says that it goes on by it: then the link goes, and what waited in it is
//! sent by the WebSocket.

use super::host::Host;
use super::store::RelayStore;
use super::{CallerId, Output, Reply};
use crate::channel::store::Store;
use crate::error::Code;
use crate::protocol::Encoded;
use crate::protocol::socketio::engine::{self, PROBE, PROBED, UPGRADE};
use crate::relay::SocketId;
use crate::rpc::Answer;
use crate::transport::ResponseId;
use crate::transport::comet::{Claim, Verb};
use crate::transport::engine::{Ask, refused, taken};

impl<S: Store + RelayStore> Host<S> {
    /// A request that belongs to such a connection.
    pub(super) fn engine(&mut self, caller: CallerId, ask: Ask, claim: &Claim, body: &[u8]) {
        let verb = Verb::Engine(ask);
        let done = match ask {
            Ask::Poll => self.poll(verb, claim).map(|response| self.respond(caller, response)),
            Ask::Upgrade => {
                self.try_socket(verb, claim).map(|socket| self.outputs.push(Output::Accept { caller, socket }))
            }
            Ask::Post => self.post(verb, claim, body).map(|()| self.reply(caller, Reply::Http(taken()))),
        };
        if let Err(error) = done {
            self.reply(caller, Reply::Http(refused(&error)));
        }
    }

    /// The response that takes what the connection is told. Fails as [`Host::find`] does, and with 40000 when another
    /// waits already: then nobody knows who gets what, and the connection ends.
    fn poll(&mut self, verb: Verb, claim: &Claim) -> Answer<ResponseId> {
        let socket = self.find_to_read(verb, claim)?;
        if self.links.is_read(socket) {
            let effects = self.links.give_up(socket, self.now_ms);
            self.link_effects(effects);
            return Err(Code::BadRequest.because("a connection has one poll at a time"));
        }
        self.read(socket).ok_or_else(|| Code::Disconnected.into())
    }

    fn post(&mut self, verb: Verb, claim: &Claim, body: &[u8]) -> Answer<()> {
        let packets = engine::packets(body)?;
        self.take_frames(verb, claim, packets.iter().map(|(bytes, format)| (&**bytes, *format)))
    }

    /// Fails as [`Host::find`] does, and with 40000 when it tries one already.
    fn try_socket(&mut self, verb: Verb, claim: &Claim) -> Answer<SocketId> {
        let socket = self.find(verb, claim)?;
        match self.links.try_socket(socket) {
            true => Ok(socket),
            false => Err(Code::BadRequest.because("the connection tries a WebSocket already")),
        }
    }

    /// What comes by a WebSocket that is tried. What comes there before its time is refused by its end, and the
    /// connection tries no other.
    pub(super) fn tried(&mut self, socket: SocketId, bytes: &[u8]) {
        match bytes {
            PROBE => {
                self.outputs.push(Output::Send { sockets: vec![socket], frame: Encoded::Text(PROBED.to_owned()) });
                let effects = self.links.pause(socket, self.now_ms);
                self.link_effects(effects);
            }
            UPGRADE => self.upgrade(socket),
            _ => {
                self.links.refuse_socket(socket);
                self.outputs.push(Output::Close { socket });
            }
        }
    }

    fn upgrade(&mut self, socket: SocketId) {
        // The frames that this turn has for the client already come behind those that wait.
        self.perform_all();
        let (waiting, effects) = self.links.replace(socket);
        self.link_effects(effects);
        let sent = waiting.into_iter().map(|frame| Output::Send { sockets: vec![socket], frame });
        self.outputs.extend(sent);
        self.relay_does(|relay, now_ms| relay.goes_by_socket(socket, now_ms));
    }
}
