//! What the outcome of a request means, and when the next try is.

use sha2::{Digest, Sha256};

use crate::error::{Code, ErrorInfo};
use crate::limits::{HOOK_REFUSED_TRIES, HOOK_RETRY_AFTER_MAX_MS, HOOK_RETRY_MAX_MS, HOOK_RETRY_MS};
use crate::rpc::HookOutcome;

#[derive(Debug, PartialEq)]
pub enum Verdict {
    Done,
    /// Not before that time from now, if the receiver says one.
    Again(ErrorInfo, Option<u64>),
    /// The receiver will not take these events; it may take others.
    Refused(ErrorInfo),
    /// The receiver wants nothing any more.
    Gone(ErrorInfo),
}

/// `tries` are those of these events before this one.
pub fn verdict(outcome: &HookOutcome, tries: u32, now_ms: u64) -> Verdict {
    let (status, retry_after) = match outcome {
        HookOutcome::Status { status, retry_after } => (status, retry_after),
        HookOutcome::Unreachable => return Verdict::Again(Code::WebhookUnreachable.into(), None),
        HookOutcome::Forbidden => return Verdict::Again(Code::WebhookForbidden.into(), None),
    };
    let error = Code::WebhookFailed.because(format!("the webhook's receiver answered {status}"));
    let after_ms = retry_after.as_deref().and_then(|text| pause_of(text, now_ms));
    match status {
        200..300 => Verdict::Done,
        410 => Verdict::Gone(Code::WebhookEnded.because("the webhook's receiver answered 410 and gets nothing more")),
        408 | 425 | 429 | 500.. => Verdict::Again(error, after_ms),
        _ if tries + 1 < HOOK_REFUSED_TRIES => Verdict::Again(error, after_ms),
        _ => Verdict::Refused(error),
    }
}

/// The pause before the next try, after so many that failed; `random` of the whole range takes up to half of it off.
pub fn pause_ms(tries: u32, asked_ms: Option<u64>, random: u64) -> u64 {
    let pause_ms = HOOK_RETRY_MS.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(HOOK_RETRY_MAX_MS);
    let jitter_ms = random % (pause_ms / 2 + 1);
    (pause_ms - jitter_ms).max(asked_ms.unwrap_or_default().min(HOOK_RETRY_AFTER_MAX_MS))
}

/// A number that looks random and comes of these.
pub fn random(seed: &str, hook: &str, attempt: u64) -> u64 {
    let digest = Sha256::digest(format!("{seed} {hook} {attempt}"));
    u64::from_le_bytes(digest[..8].try_into().expect("eight bytes"))
}

/// The pause that a `Retry-After` asks for: seconds, or a date.
fn pause_of(text: &str, now_ms: u64) -> Option<u64> {
    let text = text.trim();
    match crate::base::whole_number(text) {
        Some(seconds) => Some(seconds.saturating_mul(1_000)),
        None => Some(date_ms(text)?.saturating_sub(now_ms)),
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// As HTTP writes dates: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_ms(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split_once(", ")?.1.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second, "GMT"] = parts[..] else { return None };
    let number = |text: &str, max: u64| crate::base::whole_number(text).filter(|number| *number <= max);
    let month = MONTHS.iter().position(|known| *known == month)? as u64 + 1;
    let (year, day) = (number(year, 9_999).filter(|year| *year >= 1970)?, number(day, 31).filter(|day| *day > 0)?);
    // Years begin in March, so that the day that some have more is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let (hour, minute, second) = (number(hour, 23)?, number(minute, 59)?, number(second, 60)?);
    Some((days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn status(status: u16, retry_after: Option<&str>) -> HookOutcome {
        HookOutcome::Status { status, retry_after: retry_after.map(str::to_owned) }
    }

    #[test]
    fn what_a_receiver_answers_decides_what_becomes_of_events() {
        let of = |code, tries| verdict(&status(code, None), tries, NOW_MS);
        assert_eq!((of(200, 0), of(204, 9)), (Verdict::Done, Verdict::Done));
        for again in [408, 425, 429, 500, 502, 503, 599] {
            assert!(matches!(of(again, 1_000), Verdict::Again(..)), "{again}");
        }
        for refused in [301, 302, 307, 400, 401, 404, 413] {
            assert!(matches!(of(refused, 0), Verdict::Again(..)), "{refused}");
            assert!(matches!(of(refused, HOOK_REFUSED_TRIES - 1), Verdict::Refused(..)), "{refused}");
        }
        assert!(matches!(of(410, 0), Verdict::Gone(error) if error.is(Code::WebhookEnded)));
        let silent = verdict(&HookOutcome::Unreachable, 1_000, NOW_MS);
        assert!(matches!(silent, Verdict::Again(error, None) if error.is(Code::WebhookUnreachable)));
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_differ_by_half_at_most() {
        assert_eq!((pause_ms(1, None, 0), pause_ms(2, None, 0), pause_ms(5, None, 0)), (1_000, 2_000, 16_000));
        assert_eq!((pause_ms(40, None, 0), pause_ms(u32::MAX, None, 0)), (HOOK_RETRY_MAX_MS, HOOK_RETRY_MAX_MS));
        let pauses: Vec<u64> = (0..100).map(|attempt| pause_ms(4, None, random("seed", "hook", attempt))).collect();
        assert!(pauses.iter().all(|pause_ms| (4_000..=8_000).contains(pause_ms)), "{pauses:?}");
        assert!(pauses.iter().collect::<std::collections::BTreeSet<_>>().len() > 50, "{pauses:?}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_by_seconds_or_by_a_date() {
        let asked = |text: &str| match verdict(&status(429, Some(text)), 0, NOW_MS) {
            Verdict::Again(_, asked_ms) => asked_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!((asked("30"), asked(" 7 "), asked("0")), (Some(30_000), Some(7_000), Some(0)));
        assert_eq!(asked("Fri, 15 Jan 2027 08:00:30 GMT"), Some(30_000));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0), "what is over is no pause");
        for other in ["", "-1", "soon", "1.5", "Fri, 15 Jan 2027", "Fri, 15 Foo 2027 08:00:30 GMT"] {
            assert_eq!(asked(other), None, "{other}");
        }
        assert_eq!(pause_ms(1, Some(30_000), 0), 30_000);
        assert_eq!(pause_ms(1, Some(u64::MAX), 0), HOOK_RETRY_AFTER_MAX_MS);
    }

    #[test]
    fn dates_are_counted_as_the_calendar_does() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
        ] {
            assert_eq!(date_ms(text), Some(seconds * 1_000), "{text}");
        }
    }
}
