//! Leaves of members who had left already: acknowledged, and no events. A client that comes back after the grace says
//! what it did meanwhile, and then enters those again whom it takes to be members still; it must not bring back who
//! left so.
//!
//! In memory only. A client enters again a moment after it left, and the event that would store a leave would tell
//! everybody twice.

use super::State;
use crate::base::maps::HashMap;
use crate::channel::store::{StoreError, Stored};
use crate::limits::UNTOLD_LEAVES_MAX;
use crate::model::presence::{MemberKey, PresenceMessage, Said};

#[derive(Debug, Default)]
pub struct Untold {
    leaves: HashMap<MemberKey, Said>,
}

impl State for Untold {
    fn restore(_: &Stored, _: u64) -> Result<Untold, StoreError> {
        Ok(Untold::default())
    }

    /// Clients may have been told that these failed.
    fn forget(&mut self, _: u64) {
        self.leaves.clear();
    }
}

impl Untold {
    pub fn said(&self, key: &MemberKey) -> Option<Said> {
        self.leaves.get(key).copied()
    }

    /// Makes room by forgetting all.
    pub fn note(&mut self, leave: &PresenceMessage) {
        let Some(said) = leave.said() else { return };
        if self.leaves.len() >= UNTOLD_LEAVES_MAX {
            self.leaves.clear();
        }
        self.leaves.insert(leave.key(), said);
    }

    /// Its connection said something newer.
    pub fn outdated(&mut self, key: &MemberKey) {
        self.leaves.remove(key);
    }
}
