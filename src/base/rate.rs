//! How often something may happen: token buckets, one for each key, in a map of bounded size.
//!
//! A bucket is kept as the time when it will be full again, which is all there is to know of it; one that is full need
//! not be kept at all. [`Debt`] counts what was used already, and may exceed any bound.

use crate::base::maps::HashMap;
use crate::base::pause;
use std::borrow::Borrow;
use std::hash::Hash;

/// So many at once, then one per interval.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub burst: u64,
    pub interval_ms: u64,
}

/// So many units at once, then so many a second: bytes, or messages.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub burst: u64,
    pub per_second: u64,
}

impl Flow {
    /// So many a second, and half of that at once.
    pub fn of(per_second: u64) -> Flow {
        Flow { burst: per_second / 2, per_second }
    }

    /// Another rate, with a burst of as many seconds.
    pub fn at(self, per_second: u64) -> Flow {
        Flow { burst: self.burst * per_second / self.per_second, per_second }
    }
}

/// Units that were used and are not paid for yet. It counts thousandths, which a few units a second pay in a
/// millisecond.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debt {
    thousandths: u64,
    at_ms: u64,
}

impl Debt {
    /// What is left of it. A clock that was set back forgives it.
    pub fn left(self, flow: Flow, now_ms: u64) -> u64 {
        self.thousandths_left(flow, now_ms).div_ceil(1_000)
    }

    fn thousandths_left(self, flow: Flow, now_ms: u64) -> u64 {
        let passed_ms = now_ms.checked_sub(self.at_ms);
        let paid = passed_ms.map_or(u64::MAX, |ms| ms.saturating_mul(flow.per_second));
        self.thousandths.saturating_sub(paid)
    }

    pub fn add(&mut self, units: usize, flow: Flow, now_ms: u64) {
        let thousandths = self.thousandths_left(flow, now_ms) + units as u64 * 1_000;
        *self = Debt { thousandths, at_ms: now_ms };
    }

    /// Takes back what was counted in vain.
    pub fn give_back(&mut self, units: usize) {
        self.thousandths = self.thousandths.saturating_sub(units as u64 * 1_000);
    }

    /// How long until there is room in the burst; 0 when there is.
    pub fn wait_ms(self, flow: Flow, now_ms: u64) -> u64 {
        let left = self.thousandths_left(flow, now_ms);
        let room = (flow.burst.max(1) - 1) * 1_000;
        left.saturating_sub(room).div_ceil(flow.per_second)
    }

    /// When half of the burst is free again.
    pub fn eased_at_ms(self, flow: Flow) -> u64 {
        let over = self.thousandths.saturating_sub(flow.burst * 1_000 / 2);
        self.at_ms + over.div_ceil(flow.per_second)
    }
}

#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    max: usize,
    full_at_ms: HashMap<K, u64>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Full buckets. At most `max` keys are known at a time: beyond, the one that is nearest to full is forgotten, so
    /// that many keys tried once hide none that is tried often.
    pub fn new(rate: Rate, max: usize) -> Buckets<K> {
        Buckets { rate, max, full_at_ms: HashMap::default() }
    }

    /// Whether it may happen now.
    pub fn allows<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: u64) -> bool
    where
        K: Borrow<Q>,
    {
        let full_at_ms = self.full_at_ms.get(key).copied().unwrap_or_default();
        // One that is further from full than an empty one was emptied by a clock that was set back since.
        let empty_ms = self.rate.burst * self.rate.interval_ms;
        pause::is_over(full_at_ms, empty_ms, now_ms) || full_at_ms - now_ms + self.rate.interval_ms <= empty_ms
    }

    /// It happened. An empty bucket stays empty.
    pub fn take(&mut self, key: K, now_ms: u64) {
        if !self.allows(&key, now_ms) {
            return;
        }
        if self.full_at_ms.len() >= self.max && !self.full_at_ms.contains_key(&key) {
            self.make_room(now_ms);
        }
        let empty_ms = self.rate.burst * self.rate.interval_ms;
        let full_at_ms = self.full_at_ms.entry(key).or_default();
        let is_full = pause::is_over(*full_at_ms, empty_ms, now_ms);
        *full_at_ms = if is_full { now_ms } else { *full_at_ms } + self.rate.interval_ms;
    }

    /// It is to happen so many times at once. Gives whether it may, and then it did.
    pub fn take_several<Q: Hash + Eq + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, times: u64, now_ms: u64) -> bool
    where
        K: Borrow<Q>,
    {
        let Rate { burst, interval_ms } = self.rate;
        let full_at_ms = self.full_at_ms.get(key).copied().unwrap_or_default();
        let is_full = pause::is_over(full_at_ms, burst * interval_ms, now_ms);
        let used_ms = if is_full { 0 } else { full_at_ms - now_ms };
        let may = used_ms + times * interval_ms <= burst * interval_ms;
        if may {
            (0..times).for_each(|_| self.take(key.to_owned(), now_ms));
        }
        may
    }

    /// It had not happened after all.
    pub fn give_back<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(full_at_ms) = self.full_at_ms.get_mut(key) {
            *full_at_ms = full_at_ms.saturating_sub(self.rate.interval_ms);
        }
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
    fn several_are_taken_together_or_not_at_all() {
        let mut buckets: Buckets<String> = Buckets::new(RATE, 10);
        assert!(!buckets.take_several("a", 4, 1_000), "more than there ever are");
        assert!(buckets.take_several("a", 2, 1_000));
        assert!(!buckets.take_several("a", 2, 1_000));
        assert!(buckets.take_several("a", 0, 1_000) && buckets.take_several("a", 1, 1_000));
        assert!(!buckets.take_several("a", 1, 1_099) && buckets.take_several("a", 1, 1_100));
        assert!(buckets.take_several("a", 3, 100_000));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut buckets = Buckets::new(RATE, 10);
        drain(&mut buckets, 1, 1_000);
        buckets.give_back(&1);
        buckets.give_back(&2);
        assert_eq!((drain(&mut buckets, 1, 1_000), drain(&mut buckets, 2, 1_000)), (1, 3));
    }

    #[test]
    fn a_debt_is_paid_by_time() {
        let flow = Flow { burst: 1_000, per_second: 1_000 };
        let mut debt = Debt::default();
        assert_eq!(debt.left(flow, 5_000), 0);
        debt.add(600, flow, 5_000);
        debt.add(600, flow, 5_000);
        assert_eq!((debt.left(flow, 5_000), debt.left(flow, 5_200), debt.left(flow, 9_000)), (1_200, 1_000, 0));
        assert_eq!((debt.eased_at_ms(flow), debt.left(flow, 5_700)), (5_700, 500));
        debt.add(100, flow, 9_000);
        assert_eq!(debt.left(flow, 9_000), 100, "nothing is saved up");
    }

    #[test]
    fn who_must_wait_is_told_how_long() {
        let flow = Flow { burst: 2, per_second: 2 };
        let mut debt = Debt::default();
        assert_eq!(debt.wait_ms(flow, 0), 0);
        debt.add(1, flow, 0);
        assert_eq!(debt.wait_ms(flow, 0), 0, "one more has room");
        debt.add(1, flow, 0);
        assert_eq!((debt.wait_ms(flow, 0), debt.wait_ms(flow, 499), debt.wait_ms(flow, 500)), (500, 1, 0));
        debt.give_back(1);
        assert_eq!((debt.left(flow, 0), debt.wait_ms(flow, 0)), (1, 0));
    }

    /// Whoever asks each millisecond must not lose the part of a unit that each pays.
    #[test]
    fn a_slow_flow_pays_though_it_is_looked_at_often() {
        let flow = Flow { burst: 10, per_second: 250 };
        let mut debt = Debt::default();
        let mut taken = 0;
        for now_ms in 0..1_000 {
            if debt.left(flow, now_ms) < flow.burst {
                debt.add(1, flow, now_ms);
                taken += 1;
            }
        }
        assert_eq!(taken, 10 + 249);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_debt() {
        let flow = Flow { burst: 1_000, per_second: 1_000 };
        let mut debt = Debt::default();
        debt.add(600, flow, 100_000);
        assert_eq!(debt.left(flow, 50_000), 0);
        debt.add(10, flow, 50_000);
        assert_eq!(debt.left(flow, 50_000), 10);
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
