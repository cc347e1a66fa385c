//! What the cores of an object have decided is done here, in its order, until nothing is left.

use super::host::{Host, Waiting, Work};
use super::store::RelayStore;
use super::{Output, Question};
use crate::channel;
use crate::channel::store::Store;
use crate::protocol::Encoded;
use crate::relay;
use crate::relay::SocketId;
use crate::rpc::Response;
use crate::stats::Counter;
use crate::transport;

impl<S: Store + RelayStore> Host<S> {
    pub(super) fn perform_all(&mut self) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Relay(effect) => self.perform_relay(effect),
                Work::Channel(effect) => self.perform_channel(effect),
                Work::Link(effect) => self.perform_link(effect),
                Work::Answer(caller, reply) => self.reply(caller, reply),
            }
        }
    }

    /// Performs the deliveries with which the work begins; gives whether there were any.
    pub(super) fn perform_deliveries(&mut self) -> bool {
        let is_delivery = |work: &mut Work| matches!(work, Work::Relay(relay::Effect::Deliver { .. }));
        let mut any = false;
        while let Some(Work::Relay(effect)) = self.work.pop_front_if(is_delivery) {
            self.perform_relay(effect);
            any = true;
        }
        any
    }

    fn perform_relay(&mut self, effect: relay::Effect) {
        match effect {
            relay::Effect::Send { sockets, frame } => self.send(sockets, frame),
            relay::Effect::Rows(rows) => {
                if self.store.change_rows(&rows).is_err() {
                    self.relay_does(|relay, now_ms| relay.not_written(&rows, now_ms));
                }
            }
            #[cfg(feature = "mqtt")]
            relay::Effect::Kept(kept) => {
                if self.store.change_kept(&kept).is_err() {
                    self.relay.iter_mut().for_each(|relay| relay.not_kept(&kept));
                }
                // The will of a client that was just let in is published though its relay is killed in this moment.
                if self.relay.as_ref().is_some_and(relay::Relay::owes_wills) {
                    self.insist();
                }
            }
            relay::Effect::Lives(lives) => {
                // A connection that is not stored ends untold when its relay is killed.
                let _ = self.store.change_lives(&lives);
                self.insist();
            }
            relay::Effect::Save { socket, record } => self.outputs.push(Output::Save { socket, record }),
            relay::Effect::Close { socket } => {
                let effects = self.links.close(socket, self.now_ms);
                self.link_effects(effects);
                self.outputs.push(Output::Close { socket });
            }
            relay::Effect::Call { ticket, call } if self.own_address() == Some(&call.to) => {
                self.call(call, Waiting::Beside(ticket));
            }
            relay::Effect::Call { ticket, call } => self.ask(Question::Call { ticket, call }),
            relay::Effect::Follow { ticket, above, follow } => {
                self.ask(Question::Follow { ticket, above, follow });
            }
            relay::Effect::Deliver { relay, attempt, delivery } => {
                self.ask(Question::Deliver { relay, attempt, delivery });
            }
            relay::Effect::Unfollowed { channel, relay } => {
                // If it stays stored, it says again that nobody listens when it is next fed.
                let _ = self.store.remove_follower(&channel, &relay);
            }
        }
    }

    /// A frame is copied only where some of its readers have WebSockets and some have none.
    fn send(&mut self, sockets: Vec<SocketId>, frame: Encoded) {
        self.reporter.note(Counter::FramesOut, sockets.len() as u64);
        if !sockets.iter().any(|socket| self.links.contains(*socket)) {
            return self.outputs.push(Output::Send { sockets, frame });
        }
        let (linked, sockets): (Vec<SocketId>, Vec<SocketId>) =
            sockets.into_iter().partition(|socket| self.links.contains(*socket));
        if !sockets.is_empty() {
            self.outputs.push(Output::Send { sockets, frame: frame.clone() });
        }
        let effects = self.links.send(&linked, frame, self.now_ms);
        self.link_effects(effects);
    }

    fn perform_channel(&mut self, effect: channel::Effect) {
        match effect {
            channel::Effect::Reply(ticket, answer) => self.answer(ticket, answer),
            channel::Effect::Page(ticket, answer) => self.answer(ticket, answer.map(Response::History)),
            channel::Effect::Deliver { relay, attempt, delivery } if self.is_own(&relay) => {
                let answer = self.take_delivery(&delivery);
                self.delivered(&delivery.channel, &relay, attempt, Some(answer));
            }
            channel::Effect::Probe { relay, attempt, probe } if self.is_own(&relay) => {
                let answer = self.probe(&probe);
                self.probed(&relay, attempt, Some(answer));
            }
            channel::Effect::Probe { relay, attempt, probe } => {
                self.ask(Question::Probe { relay, attempt, probe });
            }
            channel::Effect::Deliver { relay, attempt, delivery } => {
                self.ask(Question::Deliver { relay, attempt, delivery });
            }
        }
    }

    fn perform_link(&mut self, effect: transport::Effect) {
        match effect {
            transport::Effect::Write { response, body, last } => {
                self.outputs.push(Output::Write { response, body, last });
            }
            transport::Effect::Cut { response } => self.outputs.push(Output::Cut { response }),
            transport::Effect::Lost { socket } => {
                self.lost(socket);
                // One that its client may have tried beside.
                self.outputs.push(Output::Close { socket });
            }
        }
    }
}
