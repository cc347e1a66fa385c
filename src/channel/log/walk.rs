//! Reading the log row by row: a few at a time, more when they are small.

use std::collections::VecDeque;

use super::super::store::{Store, StoreError};
use crate::limits::ROW_MAX_BYTES;
use crate::model::packed::Packed;
use crate::model::serial::Position;

/// Rows read at a time at most. A row is read as a whole, and most have a few KB.
const ROWS_MAX: usize = 64;

pub struct Walk {
    from: From,
    limit: usize,
    read: VecDeque<(Position, Packed)>,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum From {
    After(Position),
    UpTo(Position),
    Nowhere,
}

impl Walk {
    /// The rows after a position, oldest first.
    pub fn after(position: Position) -> Walk {
        Walk { from: From::After(position), limit: 1, read: VecDeque::new(), bytes: 0 }
    }

    /// The rows up to and including a position, newest first.
    pub fn up_to(position: Position) -> Walk {
        Walk { from: From::UpTo(position), ..Walk::after(position) }
    }

    /// Bytes of the rows that it gave.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn next(&mut self, store: &mut impl Store) -> Result<Option<(Position, Packed)>, StoreError> {
        if self.read.is_empty() {
            self.read = self.more(store)?.into();
        }
        let row = self.read.pop_front();
        self.bytes += row.as_ref().map_or(0, |(_, row)| row.len());
        Ok(row)
    }

    fn more(&mut self, store: &mut impl Store) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = match self.from {
            From::After(position) => store.rows_after(position, self.limit)?,
            From::UpTo(position) => store.rows_before(position, self.limit)?,
            From::Nowhere => Vec::new(),
        };
        self.from = match (self.from, rows.last()) {
            (From::After(_), Some((newest, _))) => From::After(*newest),
            (From::UpTo(_), Some((oldest, _))) if oldest.0 > 0 => From::UpTo(Position(oldest.0 - 1)),
            _ => From::Nowhere,
        };
        let bytes: usize = rows.iter().map(|(_, row)| row.len()).sum();
        self.limit = if bytes < ROW_MAX_BYTES { (self.limit * 2).min(ROWS_MAX) } else { self.limit.div_ceil(2) };
        Ok(rows)
    }
}
