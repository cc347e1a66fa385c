//! Intervals of statistics, in UTC: minutes counted from 1970, and the ids that say when one begins.

use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::limits::STATS_LAST_MINUTE;

pub const MINUTE_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Month,
}

impl Unit {
    const NAMES: [(Unit, &str); 4] =
        [(Unit::Minute, "minute"), (Unit::Hour, "hour"), (Unit::Day, "day"), (Unit::Month, "month")];

    /// Fails with 40003 for any other name.
    pub fn parse(text: &str) -> Result<Unit, ErrorInfo> {
        let known = Unit::NAMES.iter().find(|(_, name)| *name == text).map(|(unit, _)| *unit);
        known.ok_or_else(|| Code::BadParameter.because("unit must be 'minute', 'hour', 'day' or 'month'"))
    }

    pub fn name(self) -> &'static str {
        Unit::NAMES[self as usize].1
    }

    /// The first minute of the interval that a minute is in.
    pub fn floor(self, minute: u64) -> u64 {
        match self {
            Unit::Minute => minute,
            Unit::Hour => minute / 60 * 60,
            Unit::Day => minute / 1_440 * 1_440,
            Unit::Month => {
                let (year, month, _) = date(minute / 1_440);
                day_of(year, month, 1) * 1_440
            }
        }
    }

    /// The last minute of the interval that a minute is in.
    pub fn last(self, minute: u64) -> u64 {
        match self {
            Unit::Minute => minute,
            Unit::Hour => self.floor(minute) + 59,
            Unit::Day => self.floor(minute) + 1_439,
            Unit::Month => match date(minute / 1_440) {
                (year, 12, _) => day_of(year + 1, 1, 1) * 1_440 - 1,
                (year, month, _) => day_of(year, month + 1, 1) * 1_440 - 1,
            },
        }
    }

    /// The id of the interval that begins with this minute: to the minute, or to the hour for longer ones.
    pub fn id(self, minute: u64) -> String {
        let text = id(minute);
        if self == Unit::Minute { text } else { text[..13].to_owned() }
    }
}

/// `yyyy-mm-dd:hh:mm`
pub fn id(minute: u64) -> String {
    let (year, month, day) = date(minute / 1_440);
    format!("{year:04}-{month:02}-{day:02}:{:02}:{:02}", minute / 60 % 24, minute % 60)
}

/// A minute by milliseconds, or the first of a minute, an hour, a day or a month by its id.
pub fn minute_of(text: &str) -> Option<u64> {
    if let Some(ms) = whole_number(text) {
        return Some((ms / MINUTE_MS).min(STATS_LAST_MINUTE));
    }
    const FIRST: &str = "0000-01-01:00:00";
    // Whatever is left out is the first; whatever is no date comes out as another one.
    let whole = format!("{text}{}", FIRST.get(text.len()..).filter(|_| text.is_ascii())?);
    let part = |from: usize, to: usize| whole.get(from..to).and_then(whole_number);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let is_date = year >= 1970 && (1..=12).contains(&month) && day > 0;
    let days = is_date.then(|| day_of(year, month, 1) + day - 1)?;
    let minute = days * 1_440 + part(11, 13)? * 60 + part(14, 16)?;
    (id(minute) == whole && [7, 10, 13, 16].contains(&text.len())).then_some(minute)
}

/// The civil date of a day counted from 1970 (H. Hinnant, chrono-compatible date algorithms).
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// The reverse.
fn day_of(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_to_minutes_and_back() {
        for (text, whole) in [
            ("2025-02-03:15:05", "2025-02-03:15:05"),
            ("2025-02-03:15", "2025-02-03:15:00"),
            ("2024-02-29", "2024-02-29:00:00"),
            ("2026-12", "2026-12-01:00:00"),
            ("1970-01", "1970-01-01:00:00"),
            ("1738595100000", "2025-02-03:15:05"),
            ("0", "1970-01-01:00:00"),
        ] {
            assert_eq!(minute_of(text).map(id).as_deref(), Some(whole), "{text}");
        }
        for text in [
            "",
            "2025-1",
            "2025-02-30",
            "2025-13",
            "2025-02-03:24",
            "2025-02-03:15:60",
            "2025-02-00",
            "1969-12",
            "2025-02-03 15",
            "2025-02-03:15:05:00",
            "x",
            "2025-02-0ä",
            "-5",
            "+5",
        ] {
            assert_eq!(minute_of(text), None, "{text}");
        }
        assert_eq!(minute_of(&u64::MAX.to_string()), Some(STATS_LAST_MINUTE), "it must have an id");
        assert_eq!(id(STATS_LAST_MINUTE), "9999-12-31:23:59");
    }

    #[test]
    fn every_day_of_two_centuries_has_its_own_date() {
        for day in 0..73_000 {
            let (year, month, of_month) = date(day);
            assert_eq!(day_of(year, month, of_month), day);
        }
        assert_eq!((date(0), date(59), date(11_016)), ((1970, 1, 1), (1970, 3, 1), (2000, 2, 29)));
    }

    #[test]
    fn an_interval_has_its_first_and_last_minute() {
        let minute = minute_of("2024-02-29:15:05").unwrap();
        let ends = |unit: Unit| (id(unit.floor(minute)), id(unit.last(minute)));
        let both = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(ends(Unit::Minute), both("2024-02-29:15:05", "2024-02-29:15:05"));
        assert_eq!(ends(Unit::Hour), both("2024-02-29:15:00", "2024-02-29:15:59"));
        assert_eq!(ends(Unit::Day), both("2024-02-29:00:00", "2024-02-29:23:59"));
        assert_eq!(ends(Unit::Month), both("2024-02-01:00:00", "2024-02-29:23:59"));
        assert_eq!(id(Unit::Month.last(minute_of("2024-12-05").unwrap())), "2024-12-31:23:59");
        assert_eq!(
            (Unit::Minute.id(minute), Unit::Hour.id(minute)),
            ("2024-02-29:15:05".into(), "2024-02-29:15".into())
        );
    }
}
