//! Who is on a presence channel, gathered for one who joins it: members as they are, and what happens meanwhile.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::words;
use crate::base::counted::Counted;
use crate::error::{Code, ErrorInfo};
use crate::limits::{MESSAGE_OVERHEAD_BYTES, ROSTERS_MAX_BYTES, USERS_MAX, USERS_MAX_BYTES};
use crate::model::presence::PresenceAction;
use crate::protocol::Encoded;
use crate::protocol::outbound::OutboundPresence;

#[derive(Debug)]
pub struct Roster {
    /// By client and connection; `None` for one that left, and that a page may still name.
    members: BTreeMap<(String, String), Option<Value>>,
    bytes: usize,
    /// Events that are told behind it.
    held: Vec<Encoded>,
    held_bytes: usize,
    /// There was no room for one of these.
    has_lost: bool,
    counted: Counted,
    /// Of all rosters together.
    memory: Rc<Cell<usize>>,
    /// Why it is not whole: it is more than may be told, or kept.
    excess: Option<Code>,
}

/// By what is in it.
impl PartialEq for Roster {
    fn eq(&self, other: &Roster) -> bool {
        self.members == other.members
    }
}

impl Eq for Roster {}

impl Roster {
    pub fn new(memory: &Rc<Cell<usize>>) -> Roster {
        let counted = Counted::of(0, memory);
        let (members, held, memory) = (BTreeMap::new(), Vec::new(), memory.clone());
        Roster { members, bytes: 0, held, held_bytes: 0, has_lost: false, counted, memory, excess: None }
    }

    /// Nobody, as at first; events stay.
    pub fn clear(&mut self) {
        (self.members, self.excess) = (BTreeMap::new(), None);
        self.count(0);
    }

    /// Members have so many bytes.
    fn count(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.counted = Counted::of(bytes + self.held_bytes, &self.memory);
    }

    /// Keeps an event until it is told who is there, as far as there is room.
    pub fn hold(&mut self, told: Encoded) -> Encoded {
        self.has_lost |= self.memory.get() + told.len() > ROSTERS_MAX_BYTES;
        if !self.has_lost {
            self.held_bytes += told.len();
            self.held.push(told);
            self.count(self.bytes);
        }
        Encoded::NOTHING
    }

    pub fn release(&mut self) -> Vec<Encoded> {
        std::mem::take(&mut self.held)
    }

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

    /// Nothing more is kept of what is too much.
    fn put(&mut self, key: (String, String), info: Option<Value>) {
        let size = |info: &Option<Value>| {
            let info = info.as_ref().map_or(0, |info| info.to_string().len());
            MESSAGE_OVERHEAD_BYTES + key.0.len() + key.1.len() + info
        };
        let before = self.members.get(&key);
        let bytes = self.bytes + size(&info) - before.map_or(0, size);
        if (before.is_none() && self.members.len() >= USERS_MAX) || bytes > USERS_MAX_BYTES {
            self.excess.get_or_insert(Code::TooManyMembers);
        } else if self.memory.get() - self.bytes + bytes > ROSTERS_MAX_BYTES {
            self.excess.get_or_insert(Code::Unavailable);
        }
        if self.excess.is_some() {
            return;
        }
        self.count(bytes);
        self.members.insert(key, info);
    }

    /// What `subscription_succeeded` says of it: each user once. Fails with 91003 when there are too many, and with
    /// 50320 when too many clients are joining at present.
    pub fn tell(&self) -> Result<Value, ErrorInfo> {
        match self.excess.or(self.has_lost.then_some(Code::Unavailable)) {
            None => {}
            Some(Code::Unavailable) => {
                return Err(Code::Unavailable.because("too many clients are joining presence channels; try again"));
            }
            Some(code) => {
                let bound = format!("a presence channel has at most {USERS_MAX} users here, {USERS_MAX_BYTES} bytes");
                return Err(code.because(bound));
            }
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
