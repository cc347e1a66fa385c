//! A page of history, message by message, in either direction (protocol.md § 12.1).
//!
//! Rows hold publishes and pages hold messages, so a page may begin and end inside a publish: each entry comes with the
//! slice of its messages that belongs to the page. Messages and presence events share the log: a page that finds few of
//! its kind in what it may look at ends there, with a link to the next, and may be empty.

use super::log::{Log, Walk, decoded, visible_from};
use super::state::shown::{Show, shown};
use super::store::{Store, StoreError};
use super::{Meta, storage_failed};
use crate::error::Code;
use crate::limits::{HISTORY_LOOK_BYTES, HISTORY_PAGE_BYTES, PUBLISH_MAX_MESSAGES, WAITING_PAGE_BYTES};
use crate::model::message::{Entry, Kind};
use crate::model::packed::Packed;
use crate::model::serial::{ChannelSerial, Position};
use crate::rpc::{Answer, HistoryPage, HistoryQuery};

/// The index of the last message that a publish can have.
const WHOLE: usize = PUBLISH_MAX_MESSAGES - 1;

/// Fails with 40003 when `from` is no serial, or to read backwards none of this channel; with 90003 when what follows
/// it is not known any more, or never was.
pub(super) fn page(
    store: &mut impl Store,
    meta: &Meta,
    log: &Log,
    query: &HistoryQuery,
    now_ms: u64,
) -> Answer<HistoryPage> {
    let mut range = Range::of(meta, log.tip(), query, now_ms)?;
    // Rows up to the floor may be there still: a purge has not come to them, or a webhook waits for them.
    range.first = range.first.max(Position(meta.floor.0 + 1));
    let show = match query.wait_ms {
        _ if !log.is_revised() => Show::Log,
        // Whoever waits for what comes is told what happened, others how it is now.
        Some(_) => Show::Events,
        None => Show::Latest,
    };
    let mut page = Builder::of(meta, query);
    let walked = if query.forwards {
        forwards(store, &range, (query, show), &mut page)
    } else {
        backwards(store, &range, (query, show), &mut page)
    };
    walked.map_err(storage_failed)?;
    // Behind all that there is, when that was all.
    let end = query.wait_ms.map(|_| (log.tip(), WHOLE));
    Ok(page.finish(end))
}

/// The positions that the query may see, both inclusive, and the message behind which it begins.
struct Range {
    first: Position,
    last: Position,
    after: Option<(Position, usize)>,
}

impl Range {
    fn of(meta: &Meta, tip: Position, query: &HistoryQuery, now_ms: u64) -> Result<Range, crate::error::ErrorInfo> {
        let start = Position::at(query.start_ms.unwrap_or(0));
        let mut first = start.max(visible_from(&meta.rules, now_ms));
        let mut last =
            query.end_ms.map_or(tip, |end_ms| Position(Position::at(end_ms.saturating_add(1)).0 - 1)).min(tip);
        let mut after = query.after;
        match &query.from {
            // What is kept though its time is over is given to who goes on from there: else it would be a gap, untold.
            Some(from) if query.forwards => {
                let from = continued(meta, tip, from)?;
                (first, after) = (start, after.max(Some(from)));
            }
            Some(from) => last = last.min(until_position(meta, from)?),
            None => {}
        }
        match after {
            Some((position, _)) if query.forwards => first = first.max(position),
            Some((position, _)) => last = last.min(position),
            None => {}
        }
        Ok(Range { first, last, after })
    }

    fn holds(&self, entry: &Entry, query: &HistoryQuery) -> bool {
        entry.kind() == kind_of(query) && (self.first..=self.last).contains(&entry.position)
    }
}

/// The positions that a query asks for, whatever is kept of them.
pub(super) fn bounds(
    meta: &Meta,
    tip: Position,
    query: &HistoryQuery,
) -> Result<std::ops::RangeInclusive<Position>, crate::error::ErrorInfo> {
    // Of a time that is long past, everything may be seen.
    let Range { first, last, .. } = Range::of(meta, tip, query, 0)?;
    Ok(first..=last)
}

fn kind_of(query: &HistoryQuery) -> Kind {
    if query.presence { Kind::Presence } else { Kind::Messages }
}

fn until_position(meta: &Meta, until: &str) -> Result<Position, crate::error::ErrorInfo> {
    match ChannelSerial::parse(until) {
        Some(serial) if serial.epoch == meta.epoch => Ok(serial.position),
        _ => Err(Code::BadParameter.because("from_serial is not a serial of this channel")),
    }
}

/// The message behind which a reader goes on. A serial of a publish stands for all of it.
fn continued(meta: &Meta, tip: Position, text: &str) -> Result<(Position, usize), crate::error::ErrorInfo> {
    let malformed = || Code::BadParameter.because("from_serial is not a serial");
    let serial = ChannelSerial::parse(text).ok_or_else(malformed)?;
    let index = match text.rsplit_once(':') {
        Some((_, index)) => index.parse().map_err(|_| malformed())?,
        None => WHOLE,
    };
    // Of a publish at the floor nothing is left, so the rest of it may be missed.
    let oldest = Position(meta.floor.0 + u64::from(index < WHOLE));
    if serial.epoch != meta.epoch || serial.position > tip || serial.position < oldest {
        return Err(Code::ContinuityUnknown.into());
    }
    Ok((serial.position, index))
}

fn forwards(
    store: &mut impl Store,
    range: &Range,
    (query, show): (&HistoryQuery, Show),
    page: &mut Builder,
) -> Result<(), StoreError> {
    let mut rows = Walk::after(match range.after {
        Some((position, WHOLE..)) if position >= range.first => position,
        _ => Position(range.first.0.saturating_sub(1)),
    });
    while let Some((end, row)) = rows.next(store)? {
        for entry in decoded(&row)?.into_iter().filter(|entry| range.holds(entry, query)) {
            let Some(entry) = shown(store, entry, show)? else { continue };
            let after = range.after.filter(|(position, _)| *position == entry.position);
            let from = after.map_or(0, |(_, place)| places_before(&entry, place + 1));
            if !page.push(&entry, from, entry.count(), true) {
                return Ok(());
            }
        }
        if end >= range.last {
            return Ok(());
        }
        if rows.bytes() > HISTORY_LOOK_BYTES {
            page.end_at((end, WHOLE));
            return Ok(());
        }
    }
    Ok(())
}

fn backwards(
    store: &mut impl Store,
    range: &Range,
    (query, show): (&HistoryQuery, Show),
    page: &mut Builder,
) -> Result<(), StoreError> {
    // The row that holds the last position may be named by a later one.
    let newest = store.totals_after(Position(range.last.0.saturating_sub(1)), 1)?.pop();
    let mut rows = Walk::up_to(newest.map_or(range.last, |(end, _)| end));
    while let Some((end, row)) = rows.next(store)? {
        if end < range.first {
            return Ok(());
        }
        let entries = decoded(&row)?;
        let first = entries.first().map_or(end, |entry| entry.position);
        for entry in entries.into_iter().rev().filter(|entry| range.holds(entry, query)) {
            let Some(entry) = shown(store, entry, show)? else { continue };
            let after = range.after.filter(|(position, _)| *position == entry.position);
            let to = after.map_or(entry.count(), |(_, place)| places_before(&entry, place));
            if !page.push(&entry, 0, to, false) {
                return Ok(());
            }
        }
        if rows.bytes() > HISTORY_LOOK_BYTES && first > range.first {
            page.end_at((first, 0));
            return Ok(());
        }
    }
    Ok(())
}

/// How many of an entry's messages have a place before this one in their publish.
fn places_before(entry: &Entry, place: usize) -> usize {
    (0..entry.count()).take_while(|index| entry.place(*index) < place).count()
}

/// What of these a reader gets who waited for it and has all that went before.
pub(super) fn page_of(
    meta: &Meta,
    query: &HistoryQuery,
    entries: &[Entry],
    after: Position,
    through: Position,
) -> HistoryPage {
    let start = Position::at(query.start_ms.unwrap_or(0));
    let wanted = |entry: &&Entry| entry.kind() == kind_of(query) && entry.position >= start && entry.position > after;
    let mut page = Builder::of(meta, query);
    let mut wanted = entries.iter().filter(wanted);
    while wanted.next().is_some_and(|entry| page.push(entry, 0, entry.count(), true)) {}
    page.finish(Some((through, WHOLE)))
}

/// Whether a page says that there is nothing, and that all was looked at.
pub(super) fn is_at_end(page: &HistoryPage, tip: Position) -> bool {
    page.slices.is_empty() && page.next == Some((tip, WHOLE))
}

#[derive(Default)]
struct Builder {
    epoch: String,
    limit: usize,
    max_bytes: usize,
    entries: Packed,
    slices: Vec<(usize, usize)>,
    messages: usize,
    last: Option<(Position, usize)>,
    more: bool,
}

impl Builder {
    fn of(meta: &Meta, query: &HistoryQuery) -> Builder {
        let max_bytes = if query.wait_ms.is_some() { WAITING_PAGE_BYTES } else { HISTORY_PAGE_BYTES };
        Builder { epoch: meta.epoch.clone(), limit: query.limit, max_bytes, ..Builder::default() }
    }

    /// Ends the page here, whatever it has: the next begins behind this message.
    fn end_at(&mut self, last: (Position, usize)) {
        (self.last, self.more) = (Some(last), true);
    }

    /// Adds what fits of an entry's messages `from..to`. Gives whether the page has room for another entry.
    fn push(&mut self, entry: &Entry, from: usize, to: usize, forwards: bool) -> bool {
        if from >= to {
            return true;
        }
        let packed = Packed::one(entry);
        let room = self.limit - self.messages;
        if room == 0 || (!self.entries.is_empty() && self.entries.len() + packed.len() > self.max_bytes) {
            self.more = true;
            return false;
        }
        let (from, to, cut) = fit(from, to, room, forwards);
        self.entries.append(&packed);
        self.slices.push((from, to));
        self.messages += to - from;
        self.last = Some((entry.position, entry.place(if forwards { to - 1 } else { from })));
        self.more = cut;
        !cut
    }

    fn finish(self, end: Option<(Position, usize)>) -> HistoryPage {
        let next = if self.more { self.last } else { end };
        HistoryPage { epoch: self.epoch, entries: self.entries, slices: self.slices, next }
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
