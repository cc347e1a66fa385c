//! Serials: the one total order of a channel, as a number inside and as sortable text outside.
//!
//! A [`Position`] is `milliseconds * 1000 + counter`, so that it sorts by time, fits the 53 bits that JavaScript keeps
//! exact until the year 2255, and is the row id of the log. As text it is `<14 digits>-<3 digits>@<epoch>`; a
//! message's own serial appends `:<3 digits>`, its index within its publish (protocol.md § 8.1). The epoch names one
//! life of the channel's storage: a position of another life says nothing about this one.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::base::whole_number;

/// Positions per millisecond; the 1,001st of a millisecond borrows from the next.
const PER_MILLISECOND: u64 = 1_000;

/// The place of one publish in its channel's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before everything.
    pub const ZERO: Position = Position(0);

    /// Behind everything.
    pub const LAST: Position = Position(u64::MAX);

    /// The first position of a millisecond.
    pub fn at(time_ms: u64) -> Position {
        Position(time_ms.saturating_mul(PER_MILLISECOND))
    }

    /// The next position at `now_ms`: later than this one even if the clock stepped back.
    pub fn next(self, now_ms: u64) -> Position {
        Position::at(now_ms).max(Position(self.0 + 1))
    }

    /// The millisecond it lies in, which is also the timestamp of its messages.
    pub fn time_ms(self) -> u64 {
        self.0 / PER_MILLISECOND
    }

    /// The channelSerial of this position in a life of the channel.
    pub fn serial(self, epoch: &str) -> String {
        let mut text = String::with_capacity(19 + epoch.len());
        self.write(epoch, &mut text);
        text
    }

    /// The serial of the message at `index` of the publish at this position.
    pub fn message_serial(self, epoch: &str, index: usize) -> String {
        let mut text = String::with_capacity(23 + epoch.len());
        self.write(epoch, &mut text);
        let _ = write!(text, ":{index:03}");
        text
    }

    fn write(self, epoch: &str, text: &mut String) {
        let _ = write!(text, "{:014}-{:03}@{epoch}", self.time_ms(), self.0 % PER_MILLISECOND);
    }
}

/// A channelSerial that a client sent back, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSerial {
    pub position: Position,
    pub epoch: String,
}

impl ChannelSerial {
    /// `None` when it isn't a serial that any Courtside channel gave. Accepts a message's serial too, for its publish.
    pub fn parse(text: &str) -> Option<ChannelSerial> {
        let (order, life) = text.split_once('@')?;
        let (time_ms, counter) = order.split_once('-')?;
        let epoch = life.split(':').next()?;
        if time_ms.len() != 14 || counter.len() != 3 || epoch.is_empty() {
            return None;
        }
        let position = whole_number(time_ms)?.checked_mul(PER_MILLISECOND)? + whole_number(counter)?;
        Some(ChannelSerial { position: Position(position), epoch: epoch.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_pinned() {
        let position = Position(1_726_585_978_590_001);
        assert_eq!(position.serial("abc"), "01726585978590-001@abc");
        assert_eq!(position.message_serial("abc", 7), "01726585978590-001@abc:007");
    }

    #[test]
    fn positions_increase_whatever_the_clock_does() {
        let mut last = Position::ZERO;
        for now_ms in [5, 5, 5, 3, 0, 6, 6, 2, 100] {
            let next = last.next(now_ms);
            assert!(next > last && next.serial("s") > last.serial("s"));
            last = next;
        }
        assert_eq!(last, Position::at(100));
    }

    #[test]
    fn a_full_millisecond_borrows_from_the_next() {
        let last = Position(5_999);
        assert_eq!(last.next(5), Position(6_000));
        assert!(last.next(5).serial("s") > last.serial("s"));
    }

    #[test]
    fn parses_what_it_writes_and_nothing_else() {
        let parsed = ChannelSerial { position: Position(1_726_585_978_590_001), epoch: "abc".into() };
        assert_eq!(ChannelSerial::parse("01726585978590-001@abc"), Some(parsed.clone()));
        assert_eq!(ChannelSerial::parse("01726585978590-001@abc:007"), Some(parsed));
        for text in ["", "@", "1-1@a", "01726585978590-001", "01726585978590-001@", "+1726585978590-001@a", "x"] {
            assert_eq!(ChannelSerial::parse(text), None, "{text:?}");
        }
    }
}
