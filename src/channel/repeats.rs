//! Where publishes are in the log that come again. A client that lost its connection sends all again that it has no
//! acknowledgement for, thousands it may be: what is read and decoded to find one is kept for the next.
//!
//! It is true until something is published: what is said here of a connection was so when it was read.

use std::collections::HashMap;

use super::dedup::Suspicion;
use super::log::{Batch, Log, ROWS_PER_READ, decoded};
use super::store::{Store, StoreError};
use crate::call::{Publish, PublishKey, Submission};
use crate::serial::Position;
use crate::wire::message::{Entry, Message};

#[derive(Debug, Default)]
pub struct Repeats {
    traces: Vec<Trace>,
    row: Row,
}

/// The publishes of one connection that have its numbers, as far back as somebody looked.
#[derive(Debug)]
struct Trace {
    connection_id: String,
    places: HashMap<u64, Position>,
    /// The rows up to here have not been read; `None` when all have.
    unread: Option<Position>,
}

/// The row that was read last.
#[derive(Debug, Default)]
struct Row {
    end: Position,
    entries: Vec<Entry>,
    /// Where the next repeat is if they come in their order.
    next: usize,
}

impl Repeats {
    /// Where a suspected publish is, if it is in the log.
    pub fn find(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        publish: &Publish,
        suspicion: Suspicion,
        cutoff: Position,
    ) -> Result<Option<Position>, StoreError> {
        match (suspicion, &publish.key, &publish.connection_id) {
            (Suspicion::At(position), ..) => self.find_at(log, store, publish, position),
            (Suspicion::UpTo(last), PublishKey::Serial(serial), Some(connection_id)) => {
                let index = match self.traces.iter().position(|trace| trace.connection_id == *connection_id) {
                    Some(index) => index,
                    None => {
                        self.traces.push(Trace::begin(log, store, connection_id, last)?);
                        self.traces.len() - 1
                    }
                };
                self.traces[index].find(store, *serial, cutoff)
            }
            _ => Ok(None),
        }
    }

    fn find_at(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        publish: &Publish,
        position: Position,
    ) -> Result<Option<Position>, StoreError> {
        for (place, packed) in log.alike_in_tail(position) {
            if decoded(packed)?.iter().any(|entry| is_same(entry, publish)) {
                return Ok(Some(place));
            }
        }
        Ok(self.find_in_row(store, position, |entry| is_same(entry, publish))?.map(|entry| entry.position))
    }

    /// Whether a place is not a repeat's but of something else that was published with the same number. Who lost count is
    /// told so: its message is in no log.
    pub fn is_another(
        &mut self,
        (batch, log): (&Batch, &Log),
        store: &mut impl Store,
        publish: &Publish,
        position: Position,
    ) -> Result<bool, StoreError> {
        let Submission::Messages(messages) = &publish.content else { return Ok(false) };
        let differs = |entry: &Entry| !says_same(entry.messages(), messages);
        if let Some(packed) = batch.entry(position).or_else(|| log.in_tail(position)) {
            return Ok(decoded(packed)?.first().is_some_and(differs));
        }
        Ok(self.find_in_row(store, position, |entry| entry.position == position)?.is_some_and(differs))
    }

    /// An entry of the row that holds a position, from where the last was found on.
    fn find_in_row(
        &mut self,
        store: &mut impl Store,
        position: Position,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Option<&Entry>, StoreError> {
        let row = &mut self.row;
        if row.entries.first().is_none_or(|first| first.position > position || row.end < position) {
            let Some((end, packed)) = store.rows_after(Position(position.0 - 1), 1)?.pop() else { return Ok(None) };
            *row = Row { end, entries: decoded(&packed)?, next: 0 };
        }
        let (before, after) = row.entries.split_at(row.next);
        let Some(found) = after.iter().chain(before).position(wanted) else { return Ok(None) };
        let index = (row.next + found) % row.entries.len();
        row.next = index + 1;
        Ok(Some(&row.entries[index]))
    }
}

/// Whether two publishes are one, as far as their publisher says it: who it is, and what its token adds, may have changed
/// since.
fn says_same(one: &[Message], other: &[Message]) -> bool {
    let is_same = |(one, other): (&Message, &Message)| {
        one.name == other.name && one.data == other.data && one.encoding == other.encoding
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

impl Trace {
    /// What the log's tail says. What it no longer holds, or what is behind the mark, is in rows.
    fn begin(log: &Log, store: &mut impl Store, connection_id: &str, last: Position) -> Result<Trace, StoreError> {
        let places = log.serials_in_tail(connection_id).collect();
        let from = last.min(log.tail_from());
        let row = store.totals_after(Position(from.0.saturating_sub(1)), 1)?.pop();
        Ok(Trace { connection_id: connection_id.to_owned(), places, unread: Some(row.map_or(from, |(end, _)| end)) })
    }

    fn find(&mut self, store: &mut impl Store, serial: u64, cutoff: Position) -> Result<Option<Position>, StoreError> {
        let mut limit = 1;
        loop {
            if let Some(position) = self.places.get(&serial) {
                return Ok(Some(*position));
            }
            let Some(through) = self.unread else { return Ok(None) };
            let rows = store.rows_before(through, limit)?;
            for (_, row) in &rows {
                self.note(&decoded(row)?);
            }
            let rest = rows.last().map(|(oldest, _)| Position(oldest.0.saturating_sub(1)));
            self.unread = rest.filter(|rest| *rest >= cutoff);
            limit = ROWS_PER_READ;
        }
    }

    fn note(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.connection_id.as_ref() == Some(&self.connection_id)) {
            let number = entry.id.strip_prefix(&self.connection_id).and_then(|rest| rest.strip_prefix(':'));
            if let Some(serial) = number.and_then(|number| number.parse().ok()) {
                self.places.insert(serial, entry.position);
            }
        }
    }
}

fn is_same(entry: &Entry, publish: &Publish) -> bool {
    match &publish.key {
        PublishKey::Serial(_) => false,
        PublishKey::Id(id) => entry.messages().first().is_some_and(|message| message.id.as_ref() == Some(id)),
        PublishKey::Request(id) => entry.id == *id,
    }
}
