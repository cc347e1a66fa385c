//! Reading the log forward: what follows a position, a piece at a time, for relays that are fed and for attachments
//! that have something to catch up with.

use super::{Log, Walk, decoded, visible_from};
use crate::base::maps::HashMap;
use crate::channel::state::shown::{Show, shown};
use crate::channel::store::{Store, StoreError};
use crate::channel::{Meta, last};
use crate::error::Code;
use crate::limits::{MESSAGE_MAX_BYTES, REPLAY_MAX_BYTES, REPLAY_PAGE_BYTES, REWIND_LOOK_BYTES, REWIND_PAGE_BYTES};
use crate::model::message::Entry;
use crate::model::packed::Packed;
use crate::model::revision::Target;
use crate::model::serial::Position;
use crate::rpc::{Backlog, ReadFrom};

/// A piece of the log in memory.
pub struct Piece {
    pub entries: Packed,
    pub through: Position,
}

impl Log {
    /// What follows a position up to another, for a relay that is fed: from memory with what is ephemeral, else from
    /// rows.
    pub fn live_after(
        &self,
        store: &mut impl Store,
        after: Position,
        until: Position,
        max_bytes: usize,
    ) -> Result<Piece, StoreError> {
        if until <= after {
            return Ok(Piece { entries: Packed::default(), through: after });
        }
        let piece = self.after(store, after, until, max_bytes, true)?;
        match self.revised && after < self.tail_from {
            true => shown_of(store, &piece, Show::Whole, max_bytes),
            false => Ok(piece),
        }
    }

    fn after(
        &self,
        store: &mut impl Store,
        after: Position,
        until: Position,
        max_bytes: usize,
        ephemeral: bool,
    ) -> Result<Piece, StoreError> {
        if after >= self.tail_from {
            return Ok(self.read_tail(after, until, max_bytes, ephemeral));
        }
        self.read_rows(store, after, until, max_bytes)
    }

    fn read_tail(&self, after: Position, until: Position, max_bytes: usize, ephemeral: bool) -> Piece {
        let mut piece = Piece { entries: Packed::default(), through: until };
        let start = self.tail.partition_point(|placed| placed.position <= after);
        let wanted = self.tail.range(start..).take_while(|placed| placed.position <= until);
        for placed in wanted.filter(|placed| ephemeral || !placed.ephemeral) {
            if !piece.entries.is_empty() && piece.entries.len() + placed.entry.len() > max_bytes {
                return piece;
            }
            piece.entries.append(&placed.entry);
            piece.through = placed.position;
        }
        piece.through = until;
        piece
    }

    fn read_rows(
        &self,
        store: &mut impl Store,
        after: Position,
        until: Position,
        max_bytes: usize,
    ) -> Result<Piece, StoreError> {
        let mut piece = Piece { entries: Packed::default(), through: after };
        let mut rows = Walk::after(after);
        while let Some((end, row)) = rows.next(store)? {
            for entry in decoded(&row)?.into_iter().filter(|entry| entry.position > after) {
                if entry.position > until {
                    break;
                }
                let packed = Packed::one(&entry);
                if !piece.entries.is_empty() && piece.entries.len() + packed.len() > max_bytes {
                    return Ok(piece);
                }
                piece.entries.append(&packed);
                piece.through = entry.position;
            }
            piece.through = end.min(until);
            if piece.through == until {
                return Ok(piece);
            }
        }
        piece.through = until;
        Ok(piece)
    }

    /// What readers of rows are shown of what is behind a position.
    pub(in crate::channel) fn stored_after(
        &self,
        store: &mut impl Store,
        after: Position,
        show: Show,
        max_bytes: usize,
    ) -> Result<Piece, StoreError> {
        let piece = self.after(store, after, self.tip, max_bytes, false)?;
        if self.revised { shown_of(store, &piece, show, max_bytes) } else { Ok(piece) }
    }

    /// What an attachment needs before it goes live, a page at a time.
    pub(in crate::channel) fn backlog(
        &self,
        store: &mut impl Store,
        meta: &Meta,
        from: &ReadFrom,
        now_ms: u64,
    ) -> Result<Backlog, StoreError> {
        let (after, unasked) = match from {
            ReadFrom::After { position, epoch } => {
                let position = last::place(meta, *position)?;
                match self.continuity(store, meta, position, epoch)? {
                    None => (position, 0),
                    Some(code) => return Ok(self.lost(meta, code)),
                }
            }
            ReadFrom::Last { messages } => {
                self.start_of_last(store, meta, *messages, visible_from(&meta.rules, now_ms))?
            }
            ReadFrom::Since { time_ms, messages } => {
                let since = Position::at(*time_ms).max(visible_from(&meta.rules, now_ms));
                self.start_of_last(store, meta, *messages, since)?
            }
        };
        let (show, max_bytes) = match from {
            ReadFrom::After { .. } => (Show::Events, REPLAY_PAGE_BYTES),
            ReadFrom::Last { .. } | ReadFrom::Since { .. } if self.revised => (Show::Latest, REWIND_PAGE_BYTES),
            ReadFrom::Last { .. } | ReadFrom::Since { .. } => (Show::Log, REPLAY_PAGE_BYTES),
        };
        let piece = self.stored_after(store, after, show, max_bytes)?;
        let more = piece.through < self.tip;
        let entries = if unasked == 0 { piece.entries } else { without_first(&piece.entries, unasked)? };
        Ok(Backlog { epoch: meta.epoch.clone(), lost: None, after, entries, through: piece.through, more, members: 0 })
    }

    fn lost(&self, meta: &Meta, code: Code) -> Backlog {
        let (epoch, through) = (meta.epoch.clone(), self.tip);
        let entries = Packed::default();
        Backlog { epoch, lost: Some(code.into()), after: through, entries, through, more: false, members: 0 }
    }

    /// Why the log cannot continue from a serial, if it cannot.
    fn continuity(
        &self,
        store: &mut impl Store,
        meta: &Meta,
        position: Position,
        epoch: &str,
    ) -> Result<Option<Code>, StoreError> {
        if epoch != meta.epoch || position > self.tip || position < meta.floor {
            return Ok(Some(Code::ContinuityUnknown));
        }
        if position >= self.tail_from {
            return Ok(None);
        }
        let newest = self.newest.map_or(0, |(_, totals)| totals.bytes);
        let from = store.totals_after(position, 1)?.first().map_or(newest, |(_, totals)| totals.bytes);
        Ok((newest - from > REPLAY_MAX_BYTES).then_some(Code::BacklogTooLarge))
    }

    /// The position before the last so many messages, though not before `since`, and how many of the publish that
    /// follows it are too many.
    fn start_of_last(
        &self,
        store: &mut impl Store,
        meta: &Meta,
        messages: usize,
        since: Position,
    ) -> Result<(Position, usize), StoreError> {
        let mut start = self.tip;
        let mut found = 0;
        let mut rows = Walk::up_to(self.tip);
        // Of events of members, which it doesn't count, there may be any number.
        let may_look = |found: usize| (REWIND_LOOK_BYTES + found * MESSAGE_MAX_BYTES).min(REPLAY_MAX_BYTES as usize);
        while found < messages && rows.bytes() < may_look(found) {
            let Some((_, row)) = rows.next(store)? else { break };
            for entry in decoded(&row)?.into_iter().rev() {
                if found >= messages || entry.position < since || entry.position <= meta.floor {
                    return Ok((start, found.saturating_sub(messages)));
                }
                found += if entry.is_operation() { 0 } else { entry.messages().len() };
                start = Position(entry.position.0 - 1);
            }
        }
        Ok((start, found.saturating_sub(messages)))
    }
}

/// Entries, the first of which is a publish, without so many of its messages.
fn without_first(entries: &Packed, messages: usize) -> Result<Packed, StoreError> {
    let mut left = Packed::default();
    for (index, entry) in decoded(entries)?.into_iter().enumerate() {
        let asked: Vec<usize> = (messages..entry.messages().len()).collect();
        left.append(&Packed::one(&if index == 0 { entry.only(&asked) } else { entry }));
    }
    Ok(left)
}

/// Who does something to which message.
type Operator = (Target, Option<String>);

fn operator(entry: &Entry) -> Operator {
    (entry.target(0), entry.connection_id.clone())
}

/// What each connection did last to each message. It makes its appends before that superfluous: a reader gets it, or is
/// that connection.
fn last_operations(entries: &[Entry]) -> HashMap<Operator, Position> {
    let operations = entries.iter().filter(|entry| entry.is_operation());
    operations.map(|entry| (operator(entry), entry.position)).collect()
}

/// What readers are shown of a piece, as far as a page has room for it: messages may be larger than they were.
fn shown_of(store: &mut impl Store, piece: &Piece, show: Show, max_bytes: usize) -> Result<Piece, StoreError> {
    let mut page = Piece { entries: Packed::default(), through: piece.through };
    let mut reached = None;
    let entries = decoded(&piece.entries)?;
    let last = if show == Show::Events { last_operations(&entries) } else { HashMap::default() };
    for entry in entries {
        let position = entry.position;
        let is_over = entry.is_append() && last.get(&operator(&entry)).is_some_and(|last| *last > position);
        if let Some(entry) = if is_over { None } else { shown(store, entry, show)? } {
            let packed = Packed::one(&entry);
            if !page.entries.is_empty() && page.entries.len() + packed.len() > max_bytes {
                page.through = reached.unwrap_or(piece.through);
                return Ok(page);
            }
            page.entries.append(&packed);
        }
        reached = Some(position);
    }
    Ok(page)
}
