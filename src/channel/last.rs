//! The last message of a channel whose namespace keeps it (`persistLast`, protocol.md § 17). Its row goes in its time
//! like any other; what it was then stays in the channel's own record.
//!
//! So the last message is in the rows that may be read, or else in those that wait to go, or else in the record: what
//! is found first is the latest.

use super::Meta;
use super::history;
use super::log::{Log, Walk, decoded, visible_from};
use super::state::shown::{Show, shown};
use super::store::{Store, StoreError};
use crate::limits::{HISTORY_LOOK_BYTES, LAST_KEPT_MS};
use crate::model::message::{Entry, Kind};
use crate::model::packed::Packed;
use crate::model::serial::Position;
use crate::rpc::{Answer, Backlog, HistoryPage, HistoryQuery, ReadFrom};

/// How far a log may be trimmed at once, and the last message of what goes: the next look goes on from there.
pub(super) fn before_trim(
    store: &mut impl Store,
    meta: &Meta,
    floor: Position,
) -> Result<(Position, Option<Packed>), StoreError> {
    if !meta.rules.persist_last {
        return Ok((floor, None));
    }
    let (mut reached, mut last) = (floor, None);
    let mut rows = Walk::after(meta.floor);
    while let Some((end, row)) = rows.next(store)?.filter(|(end, _)| *end <= floor) {
        last = decoded(&row)?.into_iter().rfind(is_message).or(last);
        if rows.bytes() > HISTORY_LOOK_BYTES {
            reached = end;
            break;
        }
    }
    let last = last.map(|entry| as_now(store, entry)).transpose()?.flatten();
    Ok((reached, last.map(|entry| Packed::one(&entry)).or_else(|| meta.last.clone())))
}

/// A page that has none of the messages that may be read, with the last one instead.
pub(super) fn in_history(
    store: &mut impl Store,
    (meta, log): (&Meta, &Log),
    query: &HistoryQuery,
    page: HistoryPage,
    now_ms: u64,
) -> Answer<HistoryPage> {
    let is_whole = page.slices.is_empty() && page.next.is_none() && query.after.is_none();
    if !meta.rules.persist_last || !is_whole || query.presence || query.wait_ms.is_some() {
        return Ok(page);
    }
    let any = HistoryQuery { limit: 1, ..HistoryQuery::default() };
    let newer = history::page(store, meta, log, &any, now_ms)?;
    if !newer.slices.is_empty() || newer.next.is_some() {
        return Ok(page);
    }
    let last = found(store, meta, now_ms).map_err(super::storage_failed)?;
    let bounds = history::bounds(meta, log.tip(), query)?;
    let Some(last) = last.filter(|entry| bounds.contains(&entry.position)) else { return Ok(page) };
    Ok(HistoryPage { entries: Packed::one(&last), slices: vec![(0, 1)], ..page })
}

/// The same of what a rewind begins with.
pub(super) fn in_backlog(
    store: &mut impl Store,
    meta: &Meta,
    from: &ReadFrom,
    backlog: Backlog,
    now_ms: u64,
) -> Result<Backlog, StoreError> {
    let since = match from {
        ReadFrom::Last { messages } if *messages > 0 => Position::ZERO,
        ReadFrom::Since { time_ms, messages } if *messages > 0 => Position::at(*time_ms),
        _ => return Ok(backlog),
    };
    if !meta.rules.persist_last || backlog.more || decoded(&backlog.entries)?.iter().any(is_message) {
        return Ok(backlog);
    }
    let Some(last) = found(store, meta, now_ms)?.filter(|last| last.position >= since) else { return Ok(backlog) };
    let mut entries = Packed::one(&last);
    entries.append(&backlog.entries);
    Ok(Backlog { entries, ..backlog })
}

/// Where a reader goes on whose serial is that of the last message, which is all that it could have missed.
pub(super) fn place(meta: &Meta, position: Position) -> Result<Position, StoreError> {
    match recorded(meta)? {
        Some(last) if last.position == position && meta.rules.persist_last => Ok(position.max(meta.floor)),
        _ => Ok(position),
    }
}

/// The last message, where none may be read any more; for a year.
fn found(store: &mut impl Store, meta: &Meta, now_ms: u64) -> Result<Option<Entry>, StoreError> {
    let seen = visible_from(&meta.rules, now_ms);
    // The row that holds what is not seen may be named by a later one.
    let newest = store.totals_after(Position(seen.0.saturating_sub(1)), 1)?.pop();
    let mut rows = Walk::up_to(newest.map_or(seen, |(end, _)| end));
    let mut last = None;
    while let Some((_, row)) = rows.next(store)? {
        let is_it = |entry: &Entry| entry.position < seen && entry.position > meta.floor && is_message(entry);
        last = decoded(&row)?.into_iter().rfind(is_it);
        if last.is_some() || rows.bytes() > HISTORY_LOOK_BYTES {
            break;
        }
    }
    let last = match last {
        Some(entry) => as_now(store, entry)?,
        None => recorded(meta)?,
    };
    let oldest = Position::at(now_ms.saturating_sub(LAST_KEPT_MS));
    Ok(last.filter(|entry| entry.position >= oldest))
}

fn recorded(meta: &Meta) -> Result<Option<Entry>, StoreError> {
    Ok(meta.last.as_ref().map(decoded).transpose()?.and_then(|mut entries| entries.pop()))
}

/// The last message of an entry, as it is now.
fn as_now(store: &mut impl Store, entry: Entry) -> Result<Option<Entry>, StoreError> {
    let entry = shown(store, entry, Show::Latest)?;
    Ok(entry.map(|entry| entry.only(&[entry.count() - 1])))
}

fn is_message(entry: &Entry) -> bool {
    entry.kind() == Kind::Messages && !entry.is_operation() && !entry.messages().is_empty()
}
