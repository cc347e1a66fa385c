//! A page of history, message by message, in either direction (protocol.md § 12.1).
//!
//! Rows hold publishes and pages hold messages, so a page may begin and end inside a publish: each entry comes with the
//! slice of its messages that belongs to the page.

use super::log::{decoded, visible_from};
use super::store::{Store, StoreError};
use super::{Meta, storage_failed};
use crate::call::{Answer, HistoryPage, HistoryQuery};
use crate::error::Code;
use crate::limits::HISTORY_PAGE_BYTES;
use crate::serial::{ChannelSerial, Position};
use crate::wire::message::Entry;
use crate::wire::packed::Packed;

const ROWS_PER_READ: usize = 64;

/// Fails with 40003 when `until` is no serial of this channel.
pub(super) fn page(
    store: &mut impl Store,
    meta: &Meta,
    tip: Position,
    query: &HistoryQuery,
    now_ms: u64,
) -> Answer<HistoryPage> {
    let range = Range::of(meta, tip, query, now_ms)?;
    let mut page = Builder { series: meta.series.clone(), limit: query.limit, ..Builder::default() };
    let walked = if query.forwards {
        forwards(store, &range, query, &mut page)
    } else {
        backwards(store, &range, query, &mut page)
    };
    walked.map_err(storage_failed)?;
    Ok(page.finish())
}

/// The positions that the query may see, both inclusive.
struct Range {
    first: Position,
    last: Position,
}

impl Range {
    fn of(meta: &Meta, tip: Position, query: &HistoryQuery, now_ms: u64) -> Result<Range, crate::error::ErrorInfo> {
        let mut first = Position::at(query.start_ms.unwrap_or(0)).max(visible_from(&meta.rules, now_ms));
        let mut last =
            query.end_ms.map_or(tip, |end_ms| Position(Position::at(end_ms.saturating_add(1)).0 - 1)).min(tip);
        if let Some(until) = &query.until {
            last = last.min(until_position(meta, until)?);
        }
        match query.after {
            Some((position, _)) if query.forwards => first = first.max(position),
            Some((position, _)) => last = last.min(position),
            None => {}
        }
        Ok(Range { first, last })
    }

    fn holds(&self, entry: &Entry, query: &HistoryQuery) -> bool {
        entry.is_presence() == query.presence && (self.first..=self.last).contains(&entry.position)
    }
}

fn until_position(meta: &Meta, until: &str) -> Result<Position, crate::error::ErrorInfo> {
    match ChannelSerial::parse(until) {
        Some(serial) if serial.series == meta.series => Ok(serial.position),
        _ => Err(Code::BadParameter.because("from_serial is not a serial of this channel")),
    }
}

fn forwards(store: &mut impl Store, range: &Range, query: &HistoryQuery, page: &mut Builder) -> Result<(), StoreError> {
    let mut at = Position(range.first.0.saturating_sub(1));
    loop {
        let rows = store.rows_after(at, ROWS_PER_READ)?;
        let Some((newest, _)) = rows.last() else { return Ok(()) };
        at = *newest;
        for (_, row) in &rows {
            for entry in decoded(row)?.into_iter().filter(|entry| range.holds(entry, query)) {
                let from =
                    query.after.filter(|(position, _)| *position == entry.position).map_or(0, |(_, index)| index + 1);
                if !page.push(&entry, from, entry.count(), true) {
                    return Ok(());
                }
            }
        }
        if at >= range.last {
            return Ok(());
        }
    }
}

fn backwards(
    store: &mut impl Store,
    range: &Range,
    query: &HistoryQuery,
    page: &mut Builder,
) -> Result<(), StoreError> {
    // The row that holds the last position may be named by a later one.
    let mut rows = store.rows_after(Position(range.last.0.saturating_sub(1)), 1)?;
    let mut at = rows.first().map_or(range.last, |(position, _)| Position(position.0 - 1));
    loop {
        for (_, row) in &rows {
            for entry in decoded(row)?.into_iter().rev().filter(|entry| range.holds(entry, query)) {
                let to = query
                    .after
                    .filter(|(position, _)| *position == entry.position)
                    .map_or(entry.count(), |(_, index)| index);
                if !page.push(&entry, 0, to, false) {
                    return Ok(());
                }
            }
        }
        rows = store.rows_before(at, ROWS_PER_READ)?;
        match rows.last() {
            Some((oldest, _)) if at >= range.first => at = Position(oldest.0 - 1),
            _ => return Ok(()),
        }
    }
}

#[derive(Default)]
struct Builder {
    series: String,
    limit: usize,
    entries: Packed,
    slices: Vec<(usize, usize)>,
    messages: usize,
    last: Option<(Position, usize)>,
    more: bool,
}

impl Builder {
    /// Adds what fits of an entry's messages `from..to`. Gives whether the page has room for another entry.
    fn push(&mut self, entry: &Entry, from: usize, to: usize, forwards: bool) -> bool {
        if from >= to {
            return true;
        }
        let packed = Packed::one(entry);
        let room = self.limit - self.messages;
        if room == 0 || (!self.entries.is_empty() && self.entries.len() + packed.len() > HISTORY_PAGE_BYTES) {
            self.more = true;
            return false;
        }
        let (from, to, cut) = fit(from, to, room, forwards);
        self.entries.append(&packed);
        self.slices.push((from, to));
        self.messages += to - from;
        self.last = Some((entry.position, if forwards { to - 1 } else { from }));
        self.more = cut;
        !cut
    }

    fn finish(self) -> HistoryPage {
        let next = self.last.filter(|_| self.more);
        HistoryPage { series: self.series, entries: self.entries, slices: self.slices, next }
    }
}

/// The part of `from..to` that fits, from the end where the reading starts, and whether something was cut off.
fn fit(from: usize, to: usize, room: usize, forwards: bool) -> (usize, usize, bool) {
    match to - from > room {
        true if forwards => (from, from + room, true),
        true => (to - room, to, true),
        false => (from, to, false),
    }
}
