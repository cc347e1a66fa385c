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

/// The place of the last message, as far as anybody has looked.
#[derive(Debug)]
pub(super) struct Newest {
    /// No message is behind this.
    at: Position,
    /// But one is there.
    is_message: bool,
}

impl Newest {
    /// Nobody has looked.
    pub fn up_to(tip: Position) -> Newest {
        Newest { at: tip, is_message: false }
    }

    pub fn published(at: Position) -> Newest {
        Newest { at, is_message: true }
    }

    fn is_behind(&self, position: Position) -> bool {
        self.is_message && self.at > position
    }
}

/// A page that has none of the messages that may be read, with the last one instead.
pub(super) fn in_history(
    store: &mut impl Store,
    (meta, log): (&Meta, &mut Log),
    query: &HistoryQuery,
    page: HistoryPage,
    now_ms: u64,
) -> Answer<HistoryPage> {
    if !meta.rules.persist_last || !page.slices.is_empty() || query.presence || query.wait_ms.is_some() {
        return Ok(page);
    }
    // Each page looks: the last one must know what all others have not shown.
    let last = found(store, meta, log, now_ms).map_err(super::storage_failed)?.filter(|_| page.next.is_none());
    // A page that goes on forwards is behind it.
    let after = query.after.filter(|_| !query.forwards);
    let bounds = history::bounds(meta, log.tip(), &HistoryQuery { after, ..query.clone() })?;
    let seen = visible_from(&meta.rules, now_ms);
    let is_new = |entry: &Entry| query.after.is_none_or(|(position, _)| position != entry.position);
    let is_shown = |entry: &Entry| entry.position < seen && bounds.contains(&entry.position) && is_new(entry);
    let Some(last) = last.filter(is_shown) else { return Ok(page) };
    Ok(HistoryPage { entries: Packed::one(&last), slices: vec![(0, 1)], ..page })
}

/// The same of what a rewind begins with that has found no message.
pub(super) fn in_backlog(
    store: &mut impl Store,
    (meta, log): (&Meta, &mut Log),
    from: &ReadFrom,
    backlog: Backlog,
    now_ms: u64,
) -> Result<Backlog, StoreError> {
    let since = match from {
        ReadFrom::Last { messages } if *messages > 0 => Position::ZERO,
        ReadFrom::Since { time_ms, messages } if *messages > 0 => Position::at(*time_ms),
        _ => return Ok(backlog),
    };
    if !meta.rules.persist_last || log.newest_message.is_behind(backlog.after) {
        return Ok(backlog);
    }
    let is_before = |last: &Entry| last.position >= since && last.position <= backlog.after;
    let Some(last) = found(store, meta, log, now_ms)?.filter(is_before) else { return Ok(backlog) };
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

/// The last message, for a year. `None`, too, as long as there is more to look at than may be at once: the next look
/// goes on from there.
fn found(store: &mut impl Store, meta: &Meta, log: &mut Log, now_ms: u64) -> Result<Option<Entry>, StoreError> {
    let mut rows = Walk::up_to(log.newest_message.at);
    while log.newest_message.at > meta.floor && !log.newest_message.is_message {
        if rows.bytes() > HISTORY_LOOK_BYTES {
            return Ok(None);
        }
        let row = rows.next(store)?;
        let entries = row.as_ref().map(|(_, row)| decoded(row)).transpose()?.unwrap_or_default();
        log.newest_message = match entries.iter().rfind(|entry| is_message(entry)) {
            Some(entry) => Newest::published(entry.position),
            None => Newest::up_to(row.map_or(Position::ZERO, |(end, _)| Position(end.0 - 1))),
        };
    }
    let at = log.newest_message.at;
    let last = match at > meta.floor {
        true => log.around(store, None, at)?.0.into_iter().find(|entry| entry.position == at),
        false => None,
    };
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

/// Whether it is a message that may be the last.
pub(super) fn is_message(entry: &Entry) -> bool {
    entry.kind() == Kind::Messages && !entry.is_operation() && !entry.is_ephemeral() && !entry.messages().is_empty()
}
