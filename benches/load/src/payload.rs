//! The stamp in every message: who sent it, the how manyth, and when.
//!
//! It is plain text without characters that JSON, MessagePack or a header would escape, so the same search finds it in
//! a frame of any dialect, merged or not. That keeps the generator cheap: a frame with a hundred messages costs one
//! pass over its bytes and no decoding.

use memchr::memmem::Finder;

const MARKER: &[u8] = b"~cs~";
const PUBLISHER_DIGITS: usize = 3;
const SEQUENCE_DIGITS: usize = 10;
const SENT_DIGITS: usize = 15;

/// Bytes of a stamp, thus of the smallest message.
pub const STAMP_BYTES: usize = MARKER.len() + PUBLISHER_DIGITS + 1 + SEQUENCE_DIGITS + 1 + SENT_DIGITS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u32,
    /// Counts from 0 per publisher.
    pub sequence: u64,
    /// Nanoseconds since the generator started.
    pub sent_ns: u64,
}

impl Stamp {
    /// The message's data: the stamp, filled up to `bytes`.
    pub fn fill(&self, bytes: usize) -> String {
        let Stamp { publisher, sequence, sent_ns } = self;
        let mut text = format!("~cs~{publisher:03}.{sequence:010}.{sent_ns:015}");
        text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
        text
    }

    fn parse(text: &[u8]) -> Option<Stamp> {
        let (publisher, text) = number(text, PUBLISHER_DIGITS)?;
        let (sequence, text) = number(text.strip_prefix(b".")?, SEQUENCE_DIGITS)?;
        let (sent_ns, _) = number(text.strip_prefix(b".")?, SENT_DIGITS)?;
        Some(Stamp { publisher: publisher as u32, sequence, sent_ns })
    }
}

fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for digit in number {
        value = value * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some((value, rest))
}

/// Finds stamps in frames. Built once: its set-up costs more than a search through a small frame.
pub struct Scanner(Finder<'static>);

impl Scanner {
    pub fn new() -> Scanner {
        Scanner(Finder::new(MARKER))
    }

    /// How many messages the frame holds.
    pub fn count(&self, frame: &[u8]) -> u64 {
        self.0.find_iter(frame).count() as u64
    }

    /// The stamps in the frame, in order; `None` for one that is torn.
    pub fn stamps<'a>(&'a self, frame: &'a [u8]) -> impl Iterator<Item = Option<Stamp>> + 'a {
        self.0.find_iter(frame).map(|at| Stamp::parse(&frame[at + MARKER.len()..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { publisher: 7, sequence: 12, sent_ns: 3_000_000_001 };

    #[test]
    fn a_stamp_survives_the_way() {
        let text = STAMP.fill(100);
        assert_eq!(text.len(), 100);
        assert!(text.starts_with("~cs~007.0000000012.000003000000001xxx"), "{text}");
        assert_eq!(Scanner::new().stamps(text.as_bytes()).collect::<Vec<_>>(), [Some(STAMP)]);
    }

    #[test]
    fn the_smallest_message_is_the_stamp_alone() {
        assert_eq!(STAMP.fill(0).len(), STAMP_BYTES);
        assert_eq!(STAMP.fill(STAMP_BYTES).len(), STAMP_BYTES);
    }

    #[test]
    fn merged_messages_are_counted_in_any_dialect() {
        let later = Stamp { sequence: 13, ..STAMP };
        let json =
            format!(r#"{{"action":15,"messages":[{{"data":"{}"}},{{"data":"{}"}}]}}"#, STAMP.fill(60), later.fill(60));
        let msgpack = rmp_serde::to_vec(&[STAMP.fill(60), later.fill(60)]).unwrap();
        for frame in [json.as_bytes(), &msgpack] {
            assert_eq!(Scanner::new().count(frame), 2);
            assert_eq!(Scanner::new().stamps(frame).collect::<Vec<_>>(), [Some(STAMP), Some(later)]);
        }
    }

    #[test]
    fn frames_without_messages_count_none() {
        for frame in [&b""[..], b"~", b"~cs", br#"{"action":0}"#] {
            assert_eq!(Scanner::new().count(frame), 0);
        }
    }

    #[test]
    fn a_torn_stamp_is_seen() {
        let text = STAMP.fill(0);
        for end in MARKER.len()..text.len() {
            assert_eq!(Scanner::new().stamps(&text.as_bytes()[..end]).collect::<Vec<_>>(), [None], "{end}");
        }
    }
}
