//! The maps of this crate. [`HashMap`] is for many entries, and hashes as nobody outside can foresee. [`SortedMap`] is
//! for few: it takes no more memory than they need, and of the code that every other map compiles to for every type it
//! holds, a fifth.

use std::borrow::Borrow;
use std::collections;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

use serde::{Deserialize, Serialize, Serializer};

/// Set before the first map is made.
static SEED: OnceLock<SharedSeed> = OnceLock::new();

/// Says how this instance hashes. The standard library finds nothing random on this platform: whoever has a build could
/// choose keys that meet in its maps, and make each step of it a long one. Only the first call has an effect; without
/// one, as in tests, hashes are the same each time.
pub fn seed(random: impl FnOnce() -> u64) {
    SEED.get_or_init(|| SharedSeed::from_u64(random()));
}

#[derive(Clone, Debug)]
pub struct Hashes(SeedableRandomState);

impl Default for Hashes {
    fn default() -> Hashes {
        Hashes(SeedableRandomState::with_seed(0, SEED.get_or_init(|| SharedSeed::from_u64(0))))
    }
}

impl BuildHasher for Hashes {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> FoldHasher<'static> {
        self.0.build_hasher()
    }
}

pub type HashMap<K, V> = collections::HashMap<K, V, Hashes>;
pub type HashSet<T> = collections::HashSet<T, Hashes>;

/// Entries in the order of their keys. To insert and to remove moves those behind, so there should not be thousands; of
/// many it is collected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> SortedMap<K, V> {
        SortedMap(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|index| &self.0[index].1)
    }

    /// The key that is there already.
    pub fn get_key(&self, key: &K) -> Option<&K> {
        self.find(key).ok().map(|index| &self.0[index].0)
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|index| &mut self.0[index].1)
    }

    /// The value, which is `default` where there was none.
    pub fn get_or_insert(&mut self, key: K, default: V) -> &mut V {
        let index = self.find(&key).unwrap_or_else(|index| {
            self.0.insert(index, (key, default));
            index
        });
        &mut self.0[index].1
    }

    /// Gives what it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|index| self.0.remove(index).1)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A map to everyone, and in [`crate::base::pinned`], where maps and lists of pairs are the same, it is read back as a
/// list.
impl<K: Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Of pairs with one key the last stays. They are sorted once: to insert one after the other would take the square of
/// their number, which a client may choose.
impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> SortedMap<K, V> {
        let mut pairs: Vec<(K, V)> = pairs.into_iter().collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        pairs.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        SortedMap(pairs)
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(pairs: [(K, V); N]) -> SortedMap<K, V> {
        SortedMap::from_iter(pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts how often it is compared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Counted(u32);

    impl Ord for Counted {
        fn cmp(&self, other: &Counted) -> std::cmp::Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Counted) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    /// What is in order, or the other way round, is turned once. To look for the place of each and move those behind
    /// would take more comparisons, and in the worst order the square of their number in moves.
    #[test]
    fn to_collect_many_is_to_sort_them_once() {
        const COUNT: u32 = 50_000;
        let comparisons = |keys: &mut dyn Iterator<Item = u32>| {
            COMPARISONS.set(0);
            let map: SortedMap<Counted, ()> = keys.map(|key| (Counted(key), ())).collect();
            assert_eq!(map.len(), COUNT as usize);
            COMPARISONS.get()
        };
        for needed in [comparisons(&mut (0..COUNT)), comparisons(&mut (0..COUNT).rev())] {
            assert!(needed < 2 * COUNT as usize, "{needed} comparisons for {COUNT}");
        }
    }

    #[test]
    fn hashes_depend_on_the_seed() {
        let hash = |seed: u64| {
            let shared = Box::leak(Box::new(SharedSeed::from_u64(seed)));
            SeedableRandomState::with_seed(0, shared).hash_one("key")
        };
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u8),
        GetOrInsert(u8, u8),
        Remove(u8),
        KeepBelow(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..20u8, any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            (0..20u8, any::<u8>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
            (0..20u8).prop_map(Step::Remove),
            (10..20u8).prop_map(Step::KeepBelow),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn it_is_collected_as_a_map_is(pairs in proptest::collection::vec((0..20u8, any::<u8>()), 0..60)) {
            let (ours, theirs): (SortedMap<_, _>, BTreeMap<_, _>) =
                (pairs.iter().copied().collect(), pairs.iter().copied().collect());
            prop_assert!(ours.iter().eq(theirs.iter()));
        }

        #[test]
        fn it_is_a_map(steps in steps()) {
            let (mut ours, mut theirs) = (SortedMap::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(key, value) => prop_assert_eq!(ours.insert(key, value), theirs.insert(key, value)),
                    Step::GetOrInsert(key, value) => {
                        prop_assert_eq!(ours.get_or_insert(key, value), theirs.entry(key).or_insert(value));
                    }
                    Step::Remove(key) => prop_assert_eq!(ours.remove(&key), theirs.remove(&key)),
                    Step::KeepBelow(max) => {
                        ours.retain(|key, _| *key < max);
                        theirs.retain(|key, _| *key < max);
                    }
                }
                prop_assert!(ours.iter().eq(theirs.iter()) && ours.len() == theirs.len());
                prop_assert!((0..20).all(|key| ours.get(&key) == theirs.get(&key)));
            }
            let stored = postcard::to_allocvec(&ours).unwrap();
            prop_assert_eq!(&stored, &postcard::to_allocvec(&theirs).unwrap());
            prop_assert_eq!(postcard::from_bytes(&stored), Ok(ours));
        }
    }
}
