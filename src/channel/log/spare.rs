//! Rows that are past their time, in whose place others are written. The platform bills one row for that. It bills two
//! for one that goes and one that comes, and rows are most of what a busy channel costs.

use std::collections::VecDeque;

use super::{Log, ROWS_PER_READ};
use crate::channel::store::{Store, StoreError};
use crate::limits::{SPARE_ROWS_MAX, TRIM_PAUSE_MS};
use crate::model::serial::Position;
use crate::rpc::Rules;

#[derive(Debug, Default)]
pub struct Spare {
    rows: VecDeque<Position>,
    /// All that is left of the rows up to here goes next time.
    through: Position,
}

impl Spare {
    pub fn take(&mut self) -> Option<Position> {
        self.rows.pop_front()
    }
}

impl Log {
    /// Lets go of the rows up to the floor, in memory too: those up to `through` are deleted, or spared while others
    /// come in their place; the rest wait for somebody else.
    pub fn trim(
        &mut self,
        store: &mut impl Store,
        floor: Position,
        through: Position,
        (rules, now_ms): (&Rules, u64),
    ) -> Result<(), StoreError> {
        let oldest = store.totals_after(floor, 1)?.pop();
        let is_busy = self.is_busy(oldest.map(|(position, _)| position), now_ms);
        // Messages that can be changed or annotated go in their time, with all that belongs to them.
        let rows = match is_busy && !rules.mutable && !self.revised {
            true => rows_between(store, self.spare.through, through)?,
            false => VecDeque::new(),
        };
        store.trim(if rows.is_empty() { through } else { self.spare.through })?;
        self.spare = Spare { rows, through };
        while self.tail.front().is_some_and(|placed| placed.position <= floor) {
            self.drop_oldest();
        }
        self.oldest = oldest;
        Ok(())
    }

    /// Whether rows go on coming, and the log will be trimmed again.
    fn is_busy(&self, oldest: Option<Position>, now_ms: u64) -> bool {
        let (Some((newest, _)), Some(oldest)) = (self.newest, oldest) else { return false };
        newest > oldest && newest.time_ms() + TRIM_PAUSE_MS > now_ms
    }
}

/// The rows behind a position and up to another, the oldest first, as many as may be spared.
fn rows_between(store: &mut impl Store, after: Position, through: Position) -> Result<VecDeque<Position>, StoreError> {
    let mut rows = VecDeque::new();
    while rows.len() < SPARE_ROWS_MAX {
        let last = rows.back().copied().unwrap_or(after);
        let more = store.totals_after(last, ROWS_PER_READ)?;
        let due = more.iter().map(|(position, _)| *position).take_while(|position| *position <= through);
        let before = rows.len();
        rows.extend(due);
        if rows.len() < before + ROWS_PER_READ {
            break;
        }
    }
    Ok(rows)
}
