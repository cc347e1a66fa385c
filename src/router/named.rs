//! Channels that REST requests name. To ask one that nobody uses makes an object, which costs far more than its
//! request: so an address may ask so many that nobody named lately, and by requests that name several it may ask few.
//! Neither bounds who has a key's secret, nor publishes, since what they make is wanted. Where a server has few
//! descriptors left, no request makes objects for which there is no room.

use std::hash::BuildHasher;

use crate::base::maps::{HashSet, Hashes};
use crate::base::pause;
use crate::base::rate::Buckets;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    NAMED_CHANNEL_KEPT_MS, NAMED_CHANNELS_MAX, NEW_CHANNELS, NEW_CHANNELS_OF_BATCHES, OBJECT_BEGINS_MS,
    WRONG_SECRETS_MAX_KEYS,
};
use crate::rpc::{ChannelCall, Request};

/// The last channels that were named, in two halves: the older goes as a whole.
pub struct NamedChannels {
    newer: HashSet<u64>,
    older: HashSet<u64>,
    since_ms: u64,
    /// How many new ones were asked since then: their objects may not have begun, and taken descriptors.
    asked: usize,
    asked_since_ms: u64,
    alone: Buckets<String>,
    by_batches: Buckets<String>,
}

impl Default for NamedChannels {
    fn default() -> NamedChannels {
        NamedChannels {
            newer: HashSet::default(),
            older: HashSet::default(),
            since_ms: 0,
            asked: 0,
            asked_since_ms: 0,
            alone: Buckets::new(NEW_CHANNELS, WRONG_SECRETS_MAX_KEYS),
            by_batches: Buckets::new(NEW_CHANNELS_OF_BATCHES, WRONG_SECRETS_MAX_KEYS),
        }
    }
}

impl NamedChannels {
    /// Whether these calls of a request may be made: `by` an address, or by who has the secret of a key. `room` is for
    /// how many objects there are descriptors. Fails with 50320 when there is none for those that nobody named lately,
    /// and with 42910 when too many of these were asked from this address.
    pub fn take<'a>(
        &mut self,
        calls: &[ChannelCall],
        by: impl FnOnce() -> Option<&'a str>,
        room: usize,
        now_ms: u64,
    ) -> Result<(), ErrorInfo> {
        let hashes = Hashes::default();
        let named: HashSet<u64> = calls.iter().map(|call| hashes.hash_one(&call.to)).collect();
        let new = named.iter().filter(|name| !self.newer.contains(name) && !self.older.contains(name)).count();
        if pause::is_over(self.asked_since_ms + OBJECT_BEGINS_MS, OBJECT_BEGINS_MS, now_ms) {
            (self.asked, self.asked_since_ms) = (0, now_ms);
        }
        if new > 0 && self.asked + new > room {
            let why = "the server has no room for channels that were not used lately; try again";
            return Err(Code::Unavailable.because(why));
        }
        let is_publish = calls.iter().all(|call| call.request.publishes().is_some());
        // The app itself says which channels a list of those in use has.
        let is_list = calls.len() > 1 && calls.iter().any(|call| matches!(call.request, Request::Count));
        let is_bounded = new > 0 && !is_publish && !is_list;
        if let Some(address) = is_bounded.then(by).flatten() {
            let budget = if calls.len() > 1 { &mut self.by_batches } else { &mut self.alone };
            if !budget.take_several(address, new as u64, now_ms) {
                let why = "too many channels that nobody used lately were asked from this address; try again";
                return Err(Code::RateLimited.because(why));
            }
        }
        self.asked += new;
        named.into_iter().for_each(|name| self.put(name, now_ms));
        Ok(())
    }

    fn put(&mut self, name: u64, now_ms: u64) {
        let is_over = pause::is_over(self.since_ms + NAMED_CHANNEL_KEPT_MS, NAMED_CHANNEL_KEPT_MS, now_ms);
        if is_over || self.newer.len() >= NAMED_CHANNELS_MAX / 2 {
            (self.older, self.since_ms) = (std::mem::take(&mut self.newer), now_ms);
        }
        self.newer.insert(name);
    }
}
