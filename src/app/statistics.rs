//! The statistics of an app: what its objects report, by minute, and what becomes of it with time.
//!
//! Each object has a row for each minute in which it did something. When no more reports of a minute can come, its rows
//! become one, and part of a row of their hour and of the total. What falls due is done with the next report: an app
//! that nobody uses does nothing.

use std::collections::BTreeMap;

use super::store::{StatsKind, Store, StoreError};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    METRICS_APPS_KEPT_MAX, STATS_CLOSED_AT_ONCE, STATS_FIXTURES_KEPT_MAX, STATS_HOURS_KEPT_MINUTES, STATS_LAST_MINUTE,
    STATS_MINUTES_KEPT, STATS_OPEN_MINUTES, STATS_ROWS_AT_ONCE,
};
use crate::model::name::AppId;
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
            None => self.measured.add_after(&report.tally),
            Some((revision, known)) if revision < report.revision => {
                self.measured.add_after(&report.tally.since(&known))
            }
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
    for _ in 0..STATS_CLOSED_AT_ONCE {
        let Some((minute, ..)) = store.stats(StatsKind::Open, (0, None), through, 1)?.pop() else { break };
        let mut tally = Tally::default();
        each_minute(store, StatsKind::Open, (minute, minute), |_, all| tally = all)?;
        store.put_stats(StatsKind::Minute, minute, "", 0, &tally)?;
        add_to(store, StatsKind::Hour, Unit::Hour.floor(minute), &tally)?;
        add_to(store, StatsKind::Total, 0, &tally)?;
        store.drop_stats(StatsKind::Open, minute)?;
    }
    store.drop_stats(StatsKind::Minute, now.saturating_sub(STATS_MINUTES_KEPT))?;
    store.drop_stats(StatsKind::Hour, now.saturating_sub(STATS_HOURS_KEPT_MINUTES))
}

fn add_to(store: &mut impl Store, kind: StatsKind, minute: u64, tally: &Tally) -> Result<(), StoreError> {
    let mut sum = Tally::default();
    each_minute(store, kind, (minute, minute), |_, known| sum = known)?;
    sum.add_after(tally);
    store.put_stats(kind, minute, "", 0, &sum)
}

/// The sum of each minute's rows, in their order. Memory has the sum and a few rows: a minute may have one of each
/// channel and relay, and a dozen minutes are open.
fn each_minute(
    store: &mut impl Store,
    kind: StatsKind,
    minutes: (u64, u64),
    mut take: impl FnMut(u64, Tally),
) -> Result<(), StoreError> {
    let mut sum: Option<(u64, Tally)> = None;
    each_row(store, kind, minutes, |minute, _, tally| match &mut sum {
        Some((of, sum)) if *of == minute => sum.add_beside(&tally),
        _ => {
            let mut fresh = Tally::default();
            fresh.add_beside(&tally);
            if let Some((minute, sum)) = sum.replace((minute, fresh)) {
                take(minute, sum);
            }
        }
    })?;
    sum.into_iter().for_each(|(minute, sum)| take(minute, sum));
    Ok(())
}

/// By minute and reporter.
fn each_row(
    store: &mut impl Store,
    kind: StatsKind,
    (from, through): (u64, u64),
    mut take: impl FnMut(u64, &str, Tally),
) -> Result<(), StoreError> {
    let mut behind: (u64, Option<String>) = (from, None);
    loop {
        let rows = store.stats(kind, (behind.0, behind.1.as_deref()), through, STATS_ROWS_AT_ONCE)?;
        let is_last = rows.len() < STATS_ROWS_AT_ONCE;
        for (minute, reporter, tally) in rows {
            take(minute, &reporter, tally);
            behind = (minute, Some(reporter));
        }
        if is_last {
            return Ok(());
        }
    }
}

/// The intervals that a query asks for, of those in which something happened, by their first minutes; one more than
/// fit its page when others follow.
pub fn intervals(store: &mut impl Store, query: &StatsQuery) -> Result<Vec<(u64, Tally)>, StoreError> {
    let StatsQuery { unit, from, to, forwards, limit } = *query;
    let closed = if unit == Unit::Minute { StatsKind::Minute } else { StatsKind::Hour };
    let mut intervals: BTreeMap<u64, Tally> = BTreeMap::new();
    for kind in [StatsKind::Fixture, StatsKind::Open, closed] {
        each_minute(store, kind, (from, to), |minute, tally| {
            intervals.entry(unit.floor(minute)).or_default().add_after(&tally);
            // One behind so many others stays behind them.
            if intervals.len() > limit + 1 {
                _ = if forwards { intervals.pop_last() } else { intervals.pop_first() };
            }
        })?;
    }
    Ok(match forwards {
        true => intervals.into_iter().collect(),
        false => intervals.into_iter().rev().collect(),
    })
}

/// All that was ever counted; gauges are those of the last minutes.
pub fn total(store: &mut impl Store, now_ms: u64) -> Result<Tally, StoreError> {
    let lately = (now_ms / MINUTE_MS).saturating_sub(LATELY_MINUTES);
    let mut total = Tally::default();
    let mut add = |minute, mut tally: Tally| {
        if minute < lately {
            (tally.connections, tally.channels) = Default::default();
        }
        total.add_after(&tally);
    };
    each_minute(store, StatsKind::Total, (0, 0), &mut add)?;
    each_minute(store, StatsKind::Open, (0, STATS_LAST_MINUTE), &mut add)?;
    Ok(total)
}

/// What the deployment and its apps counted: these now, and all others when they were last among these. So no count of
/// it falls when an app ends, does not answer, or is no longer configured. And how many of these are not in it, because
/// no more can be kept.
pub fn sum(store: &mut impl Store, apps: Vec<(AppId, Tally)>, now_ms: u64) -> Result<(Tally, usize), StoreError> {
    let mut sum = total(store, now_ms)?;
    let counted = apps.into_iter().filter(|(_, tally)| !tally.is_empty());
    let mut fresh: BTreeMap<String, Tally> = counted.map(|(app, tally)| (app.as_str().to_owned(), tally)).collect();
    let (mut kept, mut known) = (0, Vec::new());
    each_row(store, StatsKind::App, (0, 0), |_, app, tally| {
        kept += 1;
        sum.add_after(&tally);
        known.extend(fresh.remove_entry(app).map(|(app, fresh)| (app, fresh.since(&tally), tally)));
    })?;
    let room = METRICS_APPS_KEPT_MAX.saturating_sub(kept);
    let left_out = fresh.len().saturating_sub(room);
    known.extend(fresh.into_iter().take(room).map(|(app, fresh)| (app, fresh, Tally::default())));
    for (app, more, mut tally) in known {
        sum.add_beside(&more);
        if !more.is_empty() {
            tally.add_after(&more);
            (tally.connections, tally.channels) = Default::default();
            store.put_stats(StatsKind::App, 0, &app, 0, &tally)?;
        }
    }
    Ok((sum, left_out))
}

/// A busy object reports once a minute.
const LATELY_MINUTES: u64 = 2;

/// Adds minutes that are made up. Fails with 40009 when there would be too many.
pub fn make_up(store: &mut impl Store, minutes: &[(u64, Tally)]) -> Result<Result<(), ErrorInfo>, StoreError> {
    let mut known = 0;
    each_minute(store, StatsKind::Fixture, (0, STATS_LAST_MINUTE), |_, _| known += 1)?;
    if known + minutes.len() > STATS_FIXTURES_KEPT_MAX {
        let what = format!("an app keeps at most {STATS_FIXTURES_KEPT_MAX} minutes that are made up");
        return Ok(Err(Code::TooLarge.because(what)));
    }
    for (minute, tally) in minutes {
        store.put_stats(StatsKind::Fixture, *minute, "", 0, tally)?;
    }
    Ok(Ok(()))
}
