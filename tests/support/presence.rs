//! Who a client thinks is present: the rules by which SDKs keep the set (protocol.md § 10), and its own members, which
//! it enters again whenever it attaches.

use std::collections::{BTreeMap, BTreeSet};

use courtside::model::presence::Turn;

use super::frames::Event;

pub const PRESENT: u8 = 1;
pub const ENTER: u8 = 2;
pub const LEAVE: u8 = 3;
pub const UPDATE: u8 = 4;

/// A member: connection and client.
pub type Key = (String, String);

#[derive(Debug, Default)]
pub struct View {
    members: BTreeMap<Key, Member>,
    /// Whom a sync has not named yet; while there is one.
    residual: Option<BTreeSet<Key>>,
    sync: Option<String>,
    /// Whom this sync has named.
    named: BTreeSet<Key>,
    /// Our own, by clientId: connection and event.
    pub mine: BTreeMap<String, (String, String)>,
    /// Our own who were taken to be gone while we were there.
    pub taken: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Member {
    id: String,
    timestamp: u64,
    absent: bool,
}

impl View {
    pub fn present(&self) -> BTreeMap<Key, String> {
        let present = self.members.iter().filter(|(_, member)| !member.absent);
        present.map(|(key, member)| (key.clone(), member.id.clone())).collect()
    }

    pub fn is_syncing(&self) -> bool {
        self.residual.is_some()
    }

    pub fn forget(&mut self) {
        *self = View::default();
    }

    pub fn attached(&mut self, has_presence: bool) {
        if has_presence {
            self.begin_sync();
        } else {
            (self.members, self.residual, self.sync) = Default::default();
        }
    }

    fn begin_sync(&mut self) {
        let present = self.members.iter().filter(|(_, member)| !member.absent);
        self.residual = Some(present.map(|(key, _)| key.clone()).collect());
    }

    pub fn sync(&mut self, serial: &str, events: &[Event], connection_id: Option<&str>) {
        let (id, cursor) = serial.split_once(':').expect("SYNC has a sequence and a cursor");
        if self.residual.is_none() || self.sync.as_ref().is_some_and(|sync| sync != id) {
            self.begin_sync();
        }
        if self.sync.replace(id.to_owned()).as_deref() != Some(id) {
            self.named.clear();
        }
        for event in events {
            assert_eq!(event.action, PRESENT, "SYNC gives who is present");
            let key = (event.connection_id.clone(), event.client_id.clone());
            assert!(self.named.insert(key), "a sync names {} twice", event.id);
            self.take(event, connection_id);
        }
        if cursor.is_empty() {
            let gone = self.residual.take().unwrap_or_default();
            self.members.retain(|key, member| !member.absent && !gone.contains(key));
            self.sync = None;
        }
    }

    pub fn take(&mut self, event: &Event, connection_id: Option<&str>) {
        let key = (event.connection_id.clone(), event.client_id.clone());
        let is_own = Some(event.connection_id.as_str()) == connection_id;
        let member = Member { id: event.id.clone(), timestamp: event.timestamp, absent: event.action == LEAVE };
        let is_newer = self.members.get(&key).is_none_or(|known| is_newer(&key.0, &member, known));
        if event.action != LEAVE {
            if let Some(residual) = &mut self.residual {
                residual.remove(&key);
            }
            if is_own {
                self.taken.remove(&event.client_id);
                self.mine.insert(event.client_id.clone(), (key.0.clone(), event.id.clone()));
            }
            if is_newer {
                self.members.insert(key, member);
            }
            return;
        }
        match Turn::parse(&event.id, &key.0) {
            Some(_) if is_own => drop(self.mine.remove(&event.client_id)),
            None if is_own => drop(self.taken.insert(event.client_id.clone())),
            _ => {}
        }
        if is_newer {
            match self.residual {
                Some(_) => drop(self.members.insert(key, member)),
                None => drop(self.members.remove(&key)),
            }
        }
    }
}

/// By turn what its connection said, by time what others said of it.
fn is_newer(connection_id: &str, event: &Member, known: &Member) -> bool {
    match (Turn::parse(&event.id, connection_id), Turn::parse(&known.id, connection_id)) {
        (Some(event), Some(known)) => event > known,
        _ => event.timestamp >= known.timestamp,
    }
}
