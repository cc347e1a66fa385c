//! The statistics of an app: what its objects report, by minute, and what becomes of it with time.
//!
//! Each object has a row for each minute in which it did something. When no more reports of a minute can come, its rows
//! become one, and part of a row of their hour and of the total. What falls due is done with the next report: an app
//! that nobody uses does nothing.

use std::collections::BTreeMap;

use super::store::{StatsKind, Store, StoreError};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    STATS_CLOSED_AT_ONCE, STATS_FIXTURES_KEPT_MAX, STATS_HOURS_KEPT_MINUTES, STATS_LAST_MINUTE, STATS_MINUTES_KEPT,
    STATS_OPEN_MINUTES,
};
use crate::rpc::StatsQuery;
use crate::stats::interval::MINUTE_MS;
use crate::stats::{Report, Tally, Unit};

#[derive(Debug, Default)]
pub struct Statistics {
    /// When it last looked what falls due.
    closed_at: Option<u64>,
    /// Whether somebody wants to know what each report brings, and what that was since it was last asked for.
    pub is_measured: bool,
    pub measured: Tally,
}

impl Statistics {
    /// A report of the minute of a clock that is not ours is taken as it is, unless that minute is closed.
    pub fn report(
        &mut self,
        store: &mut impl Store,
        reporter: &str,
        report: &Report,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let now = now_ms / MINUTE_MS;
        if (open_from(now)..=now + STATS_OPEN_MINUTES).contains(&report.minute) {
            self.measure(store, reporter, report)?;
            store.put_stats(StatsKind::Open, report.minute, reporter, report.revision, &report.tally)?;
        }
        if self.closed_at != Some(now) {
            close(store, now)?;
            self.closed_at = Some(now);
        }
        Ok(())
    }

    /// A report counts from the beginning of its minute, and may come again.
    fn measure(&mut self, store: &mut impl Store, reporter: &str, report: &Report) -> Result<(), StoreError> {
        if !self.is_measured {
            return Ok(());
        }
        match store.reported(report.minute, reporter)? {
            None => self.measured = report.tally.clone(),
            Some((revision, known)) if revision < report.revision => self.measured = report.tally.since(&known),
            Some(_) => {}
        }
        Ok(())
    }
}

/// Minutes before this one are closed.
fn open_from(now: u64) -> u64 {
    now.saturating_sub(STATS_OPEN_MINUTES)
}

fn close(store: &mut impl Store, now: u64) -> Result<(), StoreError> {
    let Some(through) = open_from(now).checked_sub(1) else { return Ok(()) };
    let open = by_minute(store.stats(StatsKind::Open, 0, through)?);
    for (minute, tally) in open.into_iter().take(STATS_CLOSED_AT_ONCE) {
        store.put_stats(StatsKind::Minute, minute, "", 0, &tally)?;
        add_to(store, StatsKind::Hour, Unit::Hour.floor(minute), &tally)?;
        add_to(store, StatsKind::Total, 0, &tally)?;
        store.drop_stats(StatsKind::Open, minute)?;
    }
    store.drop_stats(StatsKind::Minute, now.saturating_sub(STATS_MINUTES_KEPT))?;
    store.drop_stats(StatsKind::Hour, now.saturating_sub(STATS_HOURS_KEPT_MINUTES))
}

fn add_to(store: &mut impl Store, kind: StatsKind, minute: u64, tally: &Tally) -> Result<(), StoreError> {
    let known = store.stats(kind, minute, minute)?.pop();
    let mut sum = known.map(|(_, tally)| tally).unwrap_or_default();
    sum.add_after(tally);
    store.put_stats(kind, minute, "", 0, &sum)
}

fn by_minute(rows: Vec<(u64, Tally)>) -> BTreeMap<u64, Tally> {
    let mut minutes: BTreeMap<u64, Tally> = BTreeMap::new();
    rows.iter().for_each(|(minute, tally)| minutes.entry(*minute).or_default().add_beside(tally));
    minutes
}

/// The intervals that a query asks for, of those in which something happened, by their first minutes; one more than
/// fit its page when others follow.
pub fn intervals(store: &mut impl Store, query: &StatsQuery) -> Result<Vec<(u64, Tally)>, StoreError> {
    let StatsQuery { unit, from, to, forwards, limit } = *query;
    let closed = if unit == Unit::Minute { StatsKind::Minute } else { StatsKind::Hour };
    let mut intervals: BTreeMap<u64, Tally> = BTreeMap::new();
    for kind in [StatsKind::Fixture, StatsKind::Open, closed] {
        for (minute, tally) in by_minute(store.stats(kind, from, to)?) {
            intervals.entry(unit.floor(minute)).or_default().add_after(&tally);
        }
    }
    Ok(match forwards {
        true => intervals.into_iter().take(limit + 1).collect(),
        false => intervals.into_iter().rev().take(limit + 1).collect(),
    })
}

/// All that was ever counted; gauges are those of the last minutes.
pub fn total(store: &mut impl Store, now_ms: u64) -> Result<Tally, StoreError> {
    let lately = (now_ms / MINUTE_MS).saturating_sub(LATELY_MINUTES);
    let known = store.stats(StatsKind::Total, 0, 0)?.pop();
    let mut total = Tally::default();
    for (minute, mut tally) in known.into_iter().chain(by_minute(store.stats(StatsKind::Open, 0, STATS_LAST_MINUTE)?)) {
        if minute < lately {
            (tally.connections, tally.channels) = Default::default();
        }
        total.add_after(&tally);
    }
    Ok(total)
}

/// A busy object reports once a minute.
const LATELY_MINUTES: u64 = 2;

/// Adds minutes that are made up. Fails with 40009 when there would be too many.
pub fn make_up(store: &mut impl Store, minutes: &[(u64, Tally)]) -> Result<Result<(), ErrorInfo>, StoreError> {
    let known = store.stats(StatsKind::Fixture, 0, STATS_LAST_MINUTE)?.len();
    if known + minutes.len() > STATS_FIXTURES_KEPT_MAX {
        let what = format!("an app keeps at most {STATS_FIXTURES_KEPT_MAX} minutes that are made up");
        return Ok(Err(Code::TooLarge.because(what)));
    }
    for (minute, tally) in minutes {
        store.put_stats(StatsKind::Fixture, *minute, "", 0, tally)?;
    }
    Ok(Ok(()))
}
