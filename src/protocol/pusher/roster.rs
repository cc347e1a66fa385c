//! Who is on a presence channel, gathered for one who joins it: members as they are, and what happens meanwhile.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::words;
use crate::error::{Code, ErrorInfo};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, USERS_MAX, USERS_MAX_BYTES};
use crate::model::presence::PresenceAction;
use crate::protocol::outbound::OutboundPresence;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    /// By client and connection; `None` for one that left, and that a page may still name.
    members: BTreeMap<(String, String), Option<Value>>,
    bytes: usize,
}

impl Roster {
    /// A member of a page: what happened meanwhile is newer, or the same.
    pub fn add(&mut self, member: &OutboundPresence<'_>) {
        let key = key(member);
        if !self.members.contains_key(&key) {
            self.put(key, Some(words::info(member)));
        }
    }

    pub fn change(&mut self, event: &OutboundPresence<'_>) {
        let is_gone = event.action == PresenceAction::Leave.number();
        self.put(key(event), (!is_gone).then(|| words::info(event)));
    }

    fn put(&mut self, key: (String, String), info: Option<Value>) {
        if self.is_over() {
            return;
        }
        let size = info.as_ref().map_or(0, |info| info.to_string().len());
        self.bytes += MESSAGE_OVERHEAD_BYTES + key.0.len() + key.1.len() + size;
        self.members.insert(key, info);
    }

    /// Nothing more is kept then: it is more than may be told.
    fn is_over(&self) -> bool {
        self.members.len() > USERS_MAX || self.bytes > USERS_MAX_BYTES
    }

    /// What `subscription_succeeded` says of it: each user once. Fails with 91003 when there are too many.
    pub fn tell(&self) -> Result<Value, ErrorInfo> {
        if self.is_over() {
            let bound = format!("a presence channel has at most {USERS_MAX} users here, of {USERS_MAX_BYTES} bytes");
            return Err(Code::TooManyMembers.because(bound));
        }
        let mut hash = Map::new();
        for ((user, _), info) in &self.members {
            if let (Some(info), false) = (info, hash.contains_key(user)) {
                hash.insert(user.clone(), info.clone());
            }
        }
        let ids: Vec<&String> = hash.keys().collect();
        Ok(json!({ "count": ids.len(), "ids": ids, "hash": hash }))
    }
}

fn key(member: &OutboundPresence<'_>) -> (String, String) {
    (member.client_id.to_owned(), member.connection_id.to_owned())
}
