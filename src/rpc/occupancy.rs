//! How many are on a channel, by what they may do there (protocol.md § 16.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::flags::Modes;

/// What is counted, as clients call it, and the mode that makes a connection count: none for every connection that is
/// attached. Members are counted by their channel.
const METRICS: [(&str, Modes); 8] = [
    ("connections", Modes::NONE),
    ("publishers", Modes::PUBLISH),
    ("subscribers", Modes::SUBSCRIBE),
    ("presenceConnections", Modes::PRESENCE),
    ("presenceMembers", Modes::NONE),
    ("presenceSubscribers", Modes::PRESENCE_SUBSCRIBE),
    ("objectPublishers", Modes::OBJECT_PUBLISH),
    ("objectSubscribers", Modes::OBJECT_SUBSCRIBE),
];
const MEMBERS: usize = 4;

/// A number for each metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Occupancy([u32; METRICS.len()]);

/// Whom a relay has on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalOccupancy {
    pub here: Occupancy,
    /// How many of them are told of the channel's occupancy.
    pub listeners: u32,
}

impl Occupancy {
    pub fn get(&self, metric: &str) -> Option<u32> {
        METRICS.iter().position(|(name, _)| *name == metric).map(|index| self.0[index])
    }

    /// One connection with these modes more, or fewer.
    pub fn count(&mut self, modes: Modes, change: i32) {
        for ((_, mode), number) in METRICS.iter().zip(&mut self.0) {
            if modes.contains(*mode) {
                *number = number.saturating_add_signed(change);
            }
        }
        self.0[MEMBERS] = 0;
    }

    /// As REST and events say it: `{"metrics":{"connections":1,…}}`.
    pub fn to_json(&self, Wanted(wanted): Wanted) -> Value {
        let mut metrics = Map::new();
        for (index, (name, _)) in METRICS.iter().enumerate().filter(|(index, _)| wanted.is_none_or(|one| one == *index))
        {
            metrics.insert((*name).to_owned(), self.0[index].into());
        }
        Value::Object(Map::from_iter([("metrics".to_owned(), Value::Object(metrics))]))
    }

    pub fn add(&mut self, other: &Occupancy) {
        self.0.iter_mut().zip(other.0).for_each(|(number, other)| *number += other);
    }

    pub fn set_members(&mut self, members: usize) {
        self.0[MEMBERS] = members as u32;
    }

    pub fn is_empty(&self) -> bool {
        *self == Occupancy::default()
    }

    /// Whether something is there that wasn't, or no longer is: that is told at once.
    pub fn turns(&self, before: &Occupancy) -> bool {
        self.0.iter().zip(before.0).any(|(now, before)| (*now == 0) != (before == 0))
    }
}

impl LocalOccupancy {
    pub fn turns(&self, before: &LocalOccupancy) -> bool {
        self.here.turns(&before.here) || (self.listeners == 0) != (before.listeners == 0)
    }
}

/// Which metrics somebody wants: all, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted(Option<usize>);

impl Wanted {
    /// From the parameter `occupancy` of an attachment.
    pub fn parse(text: &str) -> Option<Wanted> {
        if text == "metrics" {
            return Some(Wanted::ALL);
        }
        let metric = text.strip_prefix("metrics.")?;
        METRICS.iter().position(|(name, _)| *name == metric).map(|index| Wanted(Some(index)))
    }

    pub const ALL: Wanted = Wanted(None);

    /// Whether any of what is wanted differs.
    pub fn differs(self, one: &Occupancy, other: &Occupancy) -> bool {
        self.0.map_or(one != other, |index| one.0[index] != other.0[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_by_their_modes() {
        let mut occupancy = Occupancy::default();
        occupancy.count(Modes::DEFAULT, 1);
        occupancy.count(Modes::SUBSCRIBE, 1);
        let mut others = occupancy;
        others.set_members(3);
        occupancy.add(&others);
        let text = |wanted: &str| occupancy.to_json(Wanted::parse(wanted).unwrap()).to_string();
        let all = r#"{"metrics":{"connections":4,"publishers":2,"subscribers":4,"presenceConnections":2,"presenceMembers":3,"presenceSubscribers":2,"objectPublishers":0,"objectSubscribers":0}}"#;
        assert_eq!(text("metrics"), all);
        assert_eq!(text("metrics.publishers"), r#"{"metrics":{"publishers":2}}"#);
        for unknown in ["", "metric", "metrics.", "metrics.x", "publishers"] {
            assert_eq!(Wanted::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_first_and_the_last_are_told_apart_from_the_rest() {
        let one = |modes: Modes| {
            let mut occupancy = Occupancy::default();
            occupancy.count(modes, 1);
            occupancy
        };
        assert!(one(Modes::NONE).turns(&Occupancy::default()) && Occupancy::default().turns(&one(Modes::NONE)));
        assert!(one(Modes::PUBLISH).turns(&one(Modes::NONE)));
        let mut two = one(Modes::PUBLISH);
        two.count(Modes::PUBLISH, 1);
        assert!(!two.turns(&one(Modes::PUBLISH)) && !one(Modes::PUBLISH).turns(&two));
        let listening = LocalOccupancy { listeners: 1, ..LocalOccupancy::default() };
        assert!(listening.turns(&LocalOccupancy::default()));
    }
}
