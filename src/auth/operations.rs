//! What a capability can allow, as a set. Owns the names and their order (protocol.md § 11.3).

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of operations. All bits set is `*`, which also covers operations that have no name yet.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Operations(u32);

/// Declares the operations by name, sorted, because texts list them in this order.
macro_rules! operations {
    ($($constant:ident = $bit:literal, $name:literal;)*) => {
        impl Operations {
            $(pub const $constant: Operations = Operations(1 << $bit);)*

            const NAMES: &[(&str, Operations)] = &[$(($name, Operations::$constant)),*];
        }
    };
}

operations! {
    ADMIN = 17, "admin";
    ANNOTATION_PUBLISH = 0, "annotation-publish";
    ANNOTATION_SUBSCRIBE = 1, "annotation-subscribe";
    CHANNEL_METADATA = 2, "channel-metadata";
    HISTORY = 3, "history";
    MESSAGE_DELETE_ANY = 4, "message-delete-any";
    MESSAGE_DELETE_OWN = 5, "message-delete-own";
    MESSAGE_UPDATE_ANY = 6, "message-update-any";
    MESSAGE_UPDATE_OWN = 7, "message-update-own";
    OBJECT_PUBLISH = 8, "object-publish";
    OBJECT_SUBSCRIBE = 9, "object-subscribe";
    PRESENCE = 10, "presence";
    PRIVILEGED_HEADERS = 11, "privileged-headers";
    PUBLISH = 12, "publish";
    PUSH_ADMIN = 13, "push-admin";
    PUSH_SUBSCRIBE = 14, "push-subscribe";
    STATS = 15, "stats";
    SUBSCRIBE = 16, "subscribe";
}

/// Who may delete what others said moderates a channel, and is not bound by its slow mode.
pub const MODERATOR: Operations = Operations::MESSAGE_DELETE_ANY;

impl Operations {
    pub const NONE: Operations = Operations(0);

    /// All that there is to do on a metachannel.
    pub const READING: Operations = Operations(Operations::SUBSCRIBE.0 | Operations::HISTORY.0);

    /// `*`: the identity of an intersection.
    pub const ALL: Operations = Operations(u32::MAX);

    /// Whatever a list may name.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        std::iter::once("*").chain(Operations::NAMES.iter().map(|(name, _)| *name))
    }

    /// The one operation of that name, or all for `*`.
    pub fn named(name: &str) -> Option<Operations> {
        if name == "*" {
            return Some(Operations::ALL);
        }
        Operations::NAMES.iter().find(|(known, _)| *known == name).map(|(_, operation)| *operation)
    }

    /// The names in their order; `*` alone when all are allowed.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = (self == Operations::ALL).then_some("*");
        let each = Operations::NAMES.iter().filter(move |(_, operation)| self.contains(*operation));
        all.into_iter().chain(each.filter(move |_| all.is_none()).map(|(name, _)| *name))
    }

    /// Whether every operation of `other` is in this set.
    pub const fn contains(self, other: Operations) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any operation of `other` is in this set.
    pub const fn intersects(self, other: Operations) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitAnd for Operations {
    type Output = Operations;

    fn bitand(self, other: Operations) -> Operations {
        Operations(self.0 & other.0)
    }
}

impl BitOr for Operations {
    type Output = Operations;

    fn bitor(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }
}

impl BitOrAssign for Operations {
    fn bitor_assign(&mut self, other: Operations) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_bits_distinct() {
        assert!(Operations::NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0 && !pair[0].1.intersects(pair[1].1)));
        assert_eq!(Operations::NAMES.len(), 18);
    }

    #[test]
    fn names_lead_to_operations_and_back() {
        for (name, operation) in Operations::NAMES {
            assert_eq!(Operations::named(name), Some(*operation));
            assert_eq!(operation.names().collect::<Vec<_>>(), [*name]);
        }
        assert_eq!(Operations::ALL.names().collect::<Vec<_>>(), ["*"]);
        assert_eq!(Operations::NONE.names().count(), 0);
        assert_eq!(Operations::named("publish_"), None);
    }

    #[test]
    fn all_is_the_identity() {
        let some = Operations::PUBLISH | Operations::HISTORY;
        assert_eq!(Operations::ALL & some, some);
        assert!(Operations::ALL.contains(some) && some.intersects(Operations::HISTORY));
        assert!(!some.contains(Operations::HISTORY | Operations::PRESENCE));
    }
}
