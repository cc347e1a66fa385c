//! Wills of MQTT clients (protocol.md § 28.6): said in their name, by nobody's connection.

use super::super::publisher::Item;
use super::super::{Relay, SocketId};
use super::Kept;
use crate::auth::{Grant, Key, Operations};
use crate::protocol::mqtt::session::Testament;
use crate::rpc::{Publish, PublishKey, Submission};

impl Relay {
    pub(super) fn publish_will(&mut self, kept: Kept) {
        let Some(will) = kept.will else { return };
        if !self.admits_will(&will, kept.by.is_key) || !kept.grant.is_none_or(|grant| self.may_say(&grant, &will)) {
            return;
        }
        let key = PublishKey::Request(format!("will!{}", kept.connection_id));
        let content = Submission::Messages(vec![will.message]);
        let publish = Publish { key, connection_id: None, by: kept.by, content };
        let bytes = publish.weight();
        let item = Item { socket: SocketId(0), connection_id: String::new(), place: None, publish, bytes };
        self.enqueue(will.channel.owner(), item);
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
