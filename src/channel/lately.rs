//! How many messages a channel took lately, for whoever watches it. It goes with the memory.

use crate::limits::LATELY_MS;

/// Those of this stretch of time and of the one before.
#[derive(Debug, Default)]
pub struct Lately {
    stretch: u64,
    now: u64,
    before: u64,
}

impl Lately {
    pub fn add(&mut self, messages: usize, now_ms: u64) {
        self.turn(now_ms);
        self.now += messages as u64;
    }

    /// In the last [`LATELY_MS`]: of the stretch before as large a part as these reach back into it.
    pub fn messages(&mut self, now_ms: u64) -> u32 {
        self.turn(now_ms);
        let left_ms = LATELY_MS - now_ms % LATELY_MS;
        u32::try_from(self.now + self.before * left_ms / LATELY_MS).unwrap_or(u32::MAX)
    }

    fn turn(&mut self, now_ms: u64) {
        let stretch = now_ms / LATELY_MS;
        if stretch != self.stretch {
            let before = if stretch == self.stretch + 1 { self.now } else { 0 };
            *self = Lately { stretch, now: 0, before };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_told_as_it_is_and_ends() {
        let mut lately = Lately::default();
        let start_ms = 1_000 * LATELY_MS;
        for ms in (0..3 * LATELY_MS).step_by(100) {
            lately.add(2, start_ms + ms);
            let all = 2 * LATELY_MS / 100;
            let expected = if ms < LATELY_MS { 2 * (ms / 100 + 1) } else { all };
            assert!(u64::from(lately.messages(start_ms + ms)).abs_diff(expected) <= 2, "after {ms} ms");
        }
        assert!(lately.messages(start_ms + 3 * LATELY_MS + LATELY_MS / 2) > 0);
        assert_eq!(lately.messages(start_ms + 5 * LATELY_MS), 0);
        lately.add(1, start_ms - LATELY_MS);
        assert_eq!(lately.messages(start_ms - LATELY_MS), 1, "a clock that was set back begins anew");
    }
}
