//! Wills of MQTT clients (protocol.md § 28.6): said in their name, by nobody's connection.

use super::super::publisher::Item;
use super::super::{Relay, SocketId};
use super::Kept;
use crate::auth::{Grant, Key, Operations};
use crate::protocol::mqtt::session::Testament;
use crate::rpc::{Publish, PublishKey, Submission};

/// Stands in the place of a connection, where an item has the name of a session in that of the connection's.
const NOBODY: SocketId = SocketId(0);

/// A channel takes a will once, however often it is said.
fn key_of(kept: &Kept) -> PublishKey {
    PublishKey::Request(format!("will!{}", kept.connection_id))
}

impl Relay {
    /// Says the will of this session, if it has one that may be said. Gives whether it does.
    pub(super) fn publish_will(&mut self, id: &str, kept: &Kept) -> bool {
        let Some(will) = kept.will.clone() else { return false };
        let may_say = |grant: &Grant| self.may_say(grant, &will);
        if kept.is_said || !kept.grant.as_ref().is_none_or(may_say) || !self.admits_will(&will, kept.by.is_key) {
            return kept.is_said;
        }
        let key = key_of(kept);
        let content = Submission::Messages(vec![will.message]);
        let publish = Publish { key, connection_id: None, by: kept.by, content };
        let bytes = publish.weight();
        let item = Item { socket: NOBODY, connection_id: id.to_owned(), place: None, publish, bytes };
        self.enqueue(will.channel.owner(), item);
        true
    }

    /// The channel has answered: of what was said by nobody's connection, that is a will.
    pub(in crate::relay) fn will_answered(&mut self, item: &Item) {
        let id = &item.connection_id;
        let is_its = |kept: &Kept| kept.is_said && key_of(kept) == item.publish.key;
        if item.socket != NOBODY || !self.mqtt.kept.get(id).is_some_and(is_its) {
            return;
        }
        if let Some(kept) = self.mqtt.take(id) {
            self.settle_mqtt(id.clone(), Kept { will: None, is_said: false, ..kept });
        }
    }

    /// Whether the credentials of its client still let it: its token may be revoked, and its key have ended, be gone or
    /// allow less. That the token has expired is no matter: who is away cannot renew it.
    fn may_say(&self, grant: &Grant, will: &Testament) -> bool {
        let is_void = self.void_at_ms(grant).is_some_and(|at_ms| at_ms <= self.now_ms);
        let key = self.app.live_key(&grant.key_name, self.now_ms);
        let permits = |key: &Key| key.capability.operations(&will.channel).contains(Operations::PUBLISH);
        !is_void && (grant.key_name.reach().is_some() || key.is_some_and(permits))
    }

    /// Whether its client may say it: it may be banned or silent since it left it here. Nobody is there to be told.
    fn admits_will(&mut self, will: &Testament, has_key: bool) -> bool {
        let name = will.message.client_id.as_deref();
        if self.bans.admit(name, Some(&will.channel), self.now_ms).is_err() {
            return false;
        }
        let silence = self.bans.silence(name, &will.channel, has_key, self.now_ms);
        match (silence.map(|silence| silence.interval_ms.unwrap_or_default()), name) {
            (None, _) => true,
            (Some(0), _) | (_, None) => false,
            (Some(ms), Some(name)) => self.said.take_turn(name, &will.channel, 1, ms, self.now_ms).is_ok(),
        }
    }
}
