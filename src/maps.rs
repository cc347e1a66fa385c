//! Making ordered maps by inserting. To collect one, as the standard library has it, sorts first: a sort of its own for
//! each type, six kilobytes of the binary each, for maps of a few entries.

use std::collections::BTreeMap;

/// Of pairs with one key the last stays.
pub fn ordered<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}
