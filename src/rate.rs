//! How often something may happen: token buckets, one for each key, in a map of bounded size.
//!
//! A bucket is kept as the time when it will be full again, which is all there is to know of it; one that is full need not
//! be kept at all.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// So many at once, then one per interval.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub burst: u64,
    pub interval_ms: u64,
}

#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    max: usize,
    full_at_ms: HashMap<K, u64>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Full buckets. At most `max` keys are known at a time: beyond, the one that is nearest to full is forgotten, so that
    /// many keys tried once hide none that is tried often.
    pub fn new(rate: Rate, max: usize) -> Buckets<K> {
        Buckets { rate, max, full_at_ms: HashMap::new() }
    }

    /// Whether it may happen now.
    pub fn allows<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: u64) -> bool
    where
        K: Borrow<Q>,
    {
        let full_at_ms = self.full_at_ms.get(key).copied().unwrap_or_default();
        full_at_ms.saturating_sub(now_ms) + self.rate.interval_ms <= self.rate.burst * self.rate.interval_ms
    }

    /// It happened. An empty bucket stays empty.
    pub fn take(&mut self, key: K, now_ms: u64) {
        if !self.allows(&key, now_ms) {
            return;
        }
        if self.full_at_ms.len() >= self.max && !self.full_at_ms.contains_key(&key) {
            self.make_room(now_ms);
        }
        let full_at_ms = self.full_at_ms.entry(key).or_default();
        *full_at_ms = (*full_at_ms).max(now_ms) + self.rate.interval_ms;
    }

    fn make_room(&mut self, now_ms: u64) {
        self.full_at_ms.retain(|_, full_at_ms| *full_at_ms > now_ms);
        if self.full_at_ms.len() >= self.max {
            let fullest = self.full_at_ms.iter().min_by_key(|(_, full_at_ms)| **full_at_ms).map(|(key, _)| key.clone());
            fullest.map(|key| self.full_at_ms.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, interval_ms: 100 };

    fn drain(buckets: &mut Buckets<u32>, key: u32, now_ms: u64) -> usize {
        let mut taken = 0;
        while buckets.allows(&key, now_ms) {
            buckets.take(key, now_ms);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_then_one_per_interval() {
        let mut buckets = Buckets::new(RATE, 10);
        assert_eq!(drain(&mut buckets, 1, 1_000), 3);
        assert_eq!(drain(&mut buckets, 1, 1_099), 0);
        assert_eq!(drain(&mut buckets, 1, 1_100), 1);
        assert_eq!(drain(&mut buckets, 1, 1_350), 2);
        assert_eq!(drain(&mut buckets, 1, 100_000), 3, "never more than the burst");
        assert_eq!(drain(&mut buckets, 2, 100_000), 3, "each key has its own");
    }

    #[test]
    fn many_keys_hide_none_that_is_tried_often() {
        let mut buckets = Buckets::new(RATE, 10);
        drain(&mut buckets, 1, 0);
        for key in 2..1_000 {
            buckets.take(key, 0);
        }
        assert_eq!(buckets.full_at_ms.len(), 10);
        assert!(!buckets.allows(&1, 0));
        buckets.take(2_000, 200);
        assert!(buckets.full_at_ms.len() <= 3, "those that are full again went first");
    }
}
