//! What was found elsewhere, remembered for a while: bounded in number and in time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

pub struct Cache<K, V> {
    max: usize,
    entries: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: V,
    until_ms: u64,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    pub fn new(max: usize) -> Cache<K, V> {
        Cache { max, entries: HashMap::new() }
    }

    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now_ms: u64) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|entry| entry.until_ms > now_ms).map(|entry| &entry.value)
    }

    /// Makes room by dropping what is over, or else everything: it can all be found again.
    pub fn put(&mut self, key: K, value: V, until_ms: u64, now_ms: u64) {
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            self.entries.retain(|_, entry| entry.until_ms > now_ms);
            if self.entries.len() >= self.max {
                self.entries.clear();
            }
        }
        self.entries.insert(key, Entry { value, until_ms });
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_for_a_while() {
        let mut cache = Cache::new(2);
        cache.put("a", 1, 100, 0);
        assert_eq!((cache.get("a", 99), cache.get("a", 100), cache.get("b", 0)), (Some(&1), None, None));
        cache.remove("a");
        assert_eq!(cache.get("a", 0), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = Cache::new(2);
        cache.put("a", 1, 100, 0);
        cache.put("b", 2, 200, 0);
        cache.put("b", 3, 200, 0);
        cache.put("c", 4, 300, 150);
        assert_eq!((cache.get("b", 150), cache.get("c", 150)), (Some(&3), Some(&4)), "what is over went first");
        cache.put("d", 5, 300, 150);
        assert_eq!((cache.get("b", 150), cache.get("d", 150), cache.entries.len()), (None, Some(&5), 1));
    }
}
