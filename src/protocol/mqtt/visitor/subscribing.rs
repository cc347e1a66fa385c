//! What SUBSCRIBE and UNSUBSCRIBE ask for.

use super::super::packet::{self, Retained, Subscribe, Unsubscribe, Wishes};
use super::super::session::{Asked, Subscription};
use super::super::{Fault, encode, reason, topic};
use super::{Mqtt, keeps_last};
use crate::model::message::Params;
use crate::protocol::Encoded;
use crate::protocol::door::{ASKED, Heard, Setting};
use crate::protocol::inbound::Inbound;

impl Mqtt {
    /// Fails when too much waits for its answer.
    pub(super) fn subscribe(&mut self, subscribe: Subscribe, setting: Setting<'_>) -> Result<Vec<Heard>, Fault> {
        packet::admit_filters(self.subscribing.topics() + subscribe.filters.len())?;
        let mut heard = Vec::new();
        let mut topics = Vec::new();
        for (filter, wishes) in subscribe.filters {
            match topic::subscribed(&filter) {
                Ok(channel) => {
                    let frame = self.attach(&channel, wishes, subscribe.subscription_id, setting);
                    heard.push(Heard::Do(frame));
                    topics.push(Asked::Waiting { channel, qos: wishes.qos });
                }
                Err(fault) => topics.push(Asked::Settled(fault.reason)),
            }
        }
        self.subscribing.push(subscribe.packet_id, topics);
        if heard.is_empty() {
            heard.push(Heard::Say(self.subscribing.answers(self.version)));
        }
        Ok(heard)
    }

    fn attach(&mut self, channel: &str, wishes: Wishes, id: Option<u32>, setting: Setting<'_>) -> Inbound {
        let is_new = !self.subscriptions.contains_key(channel);
        let wants_retained = match wishes.retained {
            Retained::Always => true,
            Retained::IfNew => is_new,
            Retained::Never => false,
        };
        let subscription = Subscription { qos: wishes.qos, id, expects_retained: false, is_renewed: !is_new };
        let mut params = Params::default();
        params.insert(ASKED.to_owned(), subscription.text());
        params.insert("appendMode".to_owned(), "full".to_owned());
        // Who is subscribed may publish there as before.
        params.insert("modes".to_owned(), "publish,subscribe".to_owned());
        if wishes.no_local {
            params.insert("echo".to_owned(), "false".to_owned());
        }
        if wants_retained && keeps_last(channel, setting) {
            params.insert("rewind".to_owned(), "1".to_owned());
        }
        self.subscriptions.insert(channel.into(), subscription);
        Inbound::Attach { channel: channel.to_owned(), serial: None, flags: 0, params }
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Vec<Heard> {
        let (mut heard, mut codes) = (Vec::new(), Vec::new());
        for filter in unsubscribe.filters {
            let channel = topic::subscribed(&filter).ok().filter(|channel| self.forget(channel));
            codes.push(if channel.is_some() { reason::SUCCESS } else { reason::NO_SUBSCRIPTION });
            heard.extend(channel.map(|channel| Heard::Do(Inbound::Detach { channel })));
        }
        let unsuback = encode::unsuback(self.version, unsubscribe.packet_id, &codes);
        heard.push(Heard::Say(Encoded::Binary(unsuback)));
        heard
    }

    /// Gives whether it was subscribed to.
    pub(super) fn forget(&mut self, channel: &str) -> bool {
        let was_there = self.subscriptions.remove(channel).is_some();
        if was_there {
            self.flight.drop_channel(channel);
        }
        was_there
    }
}
