//! Pauses by a clock that may be set back: none lasts longer for that.

/// Whether a pause is over that ends then. One that ends later than it could from now began by a clock that was set
/// back since, and is over, too.
pub fn is_over(ends_at_ms: u64, pause_ms: u64, now_ms: u64) -> bool {
    ends_at_ms <= now_ms || ends_at_ms > now_ms.saturating_add(pause_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_over_at_its_end_and_when_it_ends_too_late() {
        assert!(!is_over(1_100, 100, 1_000));
        assert!(!is_over(1_100, 100, 1_099));
        assert!(is_over(1_100, 100, 1_100));
        assert!(is_over(1_100, 100, 999), "the clock was set back");
        assert!(is_over(0, 100, 50) && is_over(0, u64::MAX, 50));
    }
}
