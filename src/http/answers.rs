//! Long answers on their way out. One is held in memory until its client has read it, so what all clients together, and
//! those of one address, leave unread is bounded. Most answers are short, and cost nothing here.
//!
//! A client that leaves is never reported. So an answer counts until it was taken, and no longer than a slow client
//! takes to read it: then it is cut off.

use crate::error::{Code, ErrorInfo};
use crate::limits::{
    BODY_FIRST_MS, BODY_MIN_BYTES_PER_MS, UNREAD_MAX_BYTES, UNREAD_OF_ADDRESS_MAX_BYTES, UNREAD_SHORT_BYTES,
};

/// Those that an isolate holds.
#[derive(Debug, Default)]
pub struct Answers {
    /// A list, because there are few: to look through hundreds takes a microsecond.
    held: Vec<Held>,
    last: u64,
}

#[derive(Debug)]
struct Held {
    id: u64,
    address: Box<str>,
    bytes: usize,
    until_ms: u64,
}

/// A long answer that is given out.
#[derive(Debug, PartialEq)]
pub struct Long {
    id: u64,
    /// For how long its client may read it.
    pub patience_ms: u64,
}

impl Answers {
    /// An answer of so many bytes is to be given out. `None` for one that is short. Fails with 50320 when too much is
    /// unread, and with 42910 when too much of that is this address's. Without an address there is none to blame.
    pub fn begin(&mut self, bytes: usize, address: &str, now_ms: u64) -> Result<Option<Long>, ErrorInfo> {
        if bytes <= UNREAD_SHORT_BYTES {
            return Ok(None);
        }
        self.held.retain(|held| held.until_ms > now_ms);
        let sum = |held: &mut dyn Iterator<Item = &Held>| held.map(|held| held.bytes).sum::<usize>();
        if sum(&mut self.held.iter()) + bytes > UNREAD_MAX_BYTES {
            return Err(Code::Unavailable.because("too many long answers wait to be read; try again"));
        }
        let own = sum(&mut self.held.iter().filter(|held| *held.address == *address));
        if !address.is_empty() && own + bytes > UNREAD_OF_ADDRESS_MAX_BYTES {
            return Err(Code::RateLimited.because("too many long answers to this address wait to be read; try again"));
        }
        self.last += 1;
        let patience_ms = BODY_FIRST_MS + bytes as u64 / BODY_MIN_BYTES_PER_MS;
        self.held.push(Held { id: self.last, address: address.into(), bytes, until_ms: now_ms + patience_ms });
        Ok(Some(Long { id: self.last, patience_ms }))
    }

    /// It was read, or is not held any more.
    pub fn end(&mut self, long: &Long) {
        self.held.retain(|held| held.id != long.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000;
    const EACH: usize = 1024 * 1024;

    #[test]
    fn short_answers_cost_nothing() {
        let mut answers = Answers::default();
        (0..10_000).for_each(|_| assert_eq!(answers.begin(UNREAD_SHORT_BYTES, "here", NOW_MS), Ok(None)));
    }

    #[test]
    fn what_is_unread_is_bounded_by_address_and_in_all() {
        let mut answers = Answers::default();
        let mut begin = |address: &str| answers.begin(EACH, address, NOW_MS).map(Option::unwrap);
        let of_one = UNREAD_OF_ADDRESS_MAX_BYTES / EACH;
        let mut first: Vec<Long> = (0..of_one).map(|_| begin("here").unwrap()).collect();
        assert!(begin("here").unwrap_err().is(Code::RateLimited));
        let others = UNREAD_MAX_BYTES / EACH - of_one;
        (0..others).for_each(|number| assert!(begin(&number.to_string()).is_ok()));
        assert!(begin("there").unwrap_err().is(Code::Unavailable));
        assert!(begin("").unwrap_err().is(Code::Unavailable));
        answers.end(&first.pop().unwrap());
        assert!(answers.begin(EACH, "here", NOW_MS).is_ok(), "one was read");
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let mut answers = Answers::default();
        let long = (0..UNREAD_OF_ADDRESS_MAX_BYTES / EACH).map(|_| answers.begin(EACH, "here", NOW_MS)).last();
        let patience_ms = long.unwrap().unwrap().unwrap().patience_ms;
        assert!(answers.begin(EACH, "here", NOW_MS + patience_ms - 1).is_err());
        assert!(answers.begin(EACH, "here", NOW_MS + patience_ms).is_ok());
    }
}
