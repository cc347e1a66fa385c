//! What was found elsewhere, remembered for a while: bounded in number and in time.

pub struct Cache<K, V> {
    max: usize,
    /// A list, because there are few: to look through hundreds takes a microsecond.
    entries: Vec<Entry<K, V>>,
}

struct Entry<K, V> {
    key: K,
    value: V,
    until_ms: u64,
}

impl<K: Eq, V> Cache<K, V> {
    pub fn new(max: usize) -> Cache<K, V> {
        Cache { max, entries: Vec::new() }
    }

    pub fn get(&self, key: &K, now_ms: u64) -> Option<&V> {
        self.entries.iter().find(|entry| entry.key == *key && entry.until_ms > now_ms).map(|entry| &entry.value)
    }

    /// Makes room by dropping what is over, or else everything: it can all be found again.
    pub fn put(&mut self, key: K, value: V, until_ms: u64, now_ms: u64) {
        self.remove(&key);
        if self.entries.len() >= self.max {
            self.entries.retain(|entry| entry.until_ms > now_ms);
        }
        if self.entries.len() >= self.max {
            self.entries.clear();
        }
        self.entries.push(Entry { key, value, until_ms });
    }

    pub fn remove(&mut self, key: &K) {
        self.entries.retain(|entry| entry.key != *key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_for_a_while() {
        let mut cache = Cache::new(2);
        cache.put("a", 1, 100, 0);
        assert_eq!((cache.get(&"a", 99), cache.get(&"a", 100), cache.get(&"b", 0)), (Some(&1), None, None));
        cache.remove(&"a");
        assert_eq!(cache.get(&"a", 0), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = Cache::new(2);
        cache.put("a", 1, 100, 0);
        cache.put("b", 2, 200, 0);
        cache.put("b", 3, 200, 0);
        cache.put("c", 4, 300, 150);
        assert_eq!((cache.get(&"b", 150), cache.get(&"c", 150)), (Some(&3), Some(&4)), "what is over went first");
        cache.put("d", 5, 300, 150);
        assert_eq!((cache.get(&"b", 150), cache.get(&"d", 150), cache.entries.len()), (None, Some(&5), 1));
    }
}
