//! Flags of ATTACH and ATTACHED, and the channel modes among them (protocol.md § 3, § 7.1).

use serde::{Deserialize, Serialize};

pub const HAS_PRESENCE: u32 = 1 << 0;
pub const HAS_BACKLOG: u32 = 1 << 1;
pub const RESUMED: u32 = 1 << 2;
pub const ATTACH_RESUME: u32 = 1 << 5;
pub const HAS_OBJECTS: u32 = 1 << 7;

/// What an attachment may do: the mode bits of the flags, and no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Modes(u32);

impl Modes {
    pub const NONE: Modes = Modes(0);
    pub const PRESENCE: Modes = Modes(1 << 16);
    pub const PUBLISH: Modes = Modes(1 << 17);
    pub const SUBSCRIBE: Modes = Modes(1 << 18);
    pub const PRESENCE_SUBSCRIBE: Modes = Modes(1 << 19);
    pub const ANNOTATION_PUBLISH: Modes = Modes(1 << 21);
    pub const ANNOTATION_SUBSCRIBE: Modes = Modes(1 << 22);
    pub const OBJECT_SUBSCRIBE: Modes = Modes(1 << 24);
    pub const OBJECT_PUBLISH: Modes = Modes(1 << 25);

    /// What a client gets that asks for nothing in particular.
    pub const DEFAULT: Modes = Modes(
        Modes::PRESENCE.0
            | Modes::PUBLISH.0
            | Modes::SUBSCRIBE.0
            | Modes::PRESENCE_SUBSCRIBE.0
            | Modes::ANNOTATION_PUBLISH.0,
    );

    /// The modes of those who are told something.
    pub const TOLD: Modes = Modes(
        Modes::SUBSCRIBE.0 | Modes::PRESENCE_SUBSCRIBE.0 | Modes::ANNOTATION_SUBSCRIBE.0 | Modes::OBJECT_SUBSCRIBE.0,
    );

    /// Each by its name, and one by its newer name, too.
    const NAMED: [(&str, Modes); 9] = [
        ("presence", Modes::PRESENCE),
        ("publish", Modes::PUBLISH),
        ("subscribe", Modes::SUBSCRIBE),
        ("message_subscribe", Modes::SUBSCRIBE),
        ("presence_subscribe", Modes::PRESENCE_SUBSCRIBE),
        ("annotation_publish", Modes::ANNOTATION_PUBLISH),
        ("annotation_subscribe", Modes::ANNOTATION_SUBSCRIBE),
        ("object_subscribe", Modes::OBJECT_SUBSCRIBE),
        ("object_publish", Modes::OBJECT_PUBLISH),
    ];

    /// The modes among a frame's flags.
    pub fn from_flags(flags: u32) -> Modes {
        Modes(flags & Modes::known())
    }

    /// Whether flags have the place of a mode that there is not.
    pub fn has_unknown(flags: u32) -> bool {
        flags & Modes::PLACES & !Modes::known() != 0
    }

    /// The bits that are modes, or may become some.
    const PLACES: u32 = 0xffff_0000;

    fn known() -> u32 {
        Modes::NAMED.iter().fold(0, |all, (_, mode)| all | mode.0)
    }

    /// The modes of a comma-separated list, as the `modes` parameter has it; `None` when one is unknown.
    pub fn from_names(names: &str) -> Option<Modes> {
        names.split(',').try_fold(Modes::NONE, |all, name| {
            let known = Modes::NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
            known.map(|(_, mode)| all.union(*mode))
        })
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    pub const fn union(self, other: Modes) -> Modes {
        Modes(self.0 | other.0)
    }

    pub const fn intersection(self, other: Modes) -> Modes {
        Modes(self.0 & other.0)
    }

    pub const fn contains(self, other: Modes) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn intersects(self, other: Modes) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_other_than_modes_are_not_modes() {
        assert_eq!(Modes::from_flags(RESUMED | HAS_PRESENCE | Modes::PUBLISH.bits()), Modes::PUBLISH);
    }

    #[test]
    fn a_flag_in_the_place_of_a_mode_is_one_or_is_known_to_be_none() {
        let unknown: Vec<u32> = (0..32).filter(|bit| Modes::has_unknown(1 << bit)).collect();
        assert_eq!(unknown, [20, 23, 26, 27, 28, 29, 30, 31]);
    }

    #[test]
    fn names_are_a_list() {
        assert_eq!(Modes::from_names("publish,subscribe"), Some(Modes::PUBLISH.union(Modes::SUBSCRIBE)));
        assert_eq!(Modes::from_names("PRESENCE"), Some(Modes::PRESENCE));
        assert_eq!(Modes::from_names("message_subscribe"), Some(Modes::SUBSCRIBE));
        assert_eq!(Modes::from_names("publish,fly"), None);
    }
}
