//! Rows that are past their time, in whose place others are written. The platform bills a row for that, and two for one
//! that goes and one that comes, which is most of what a busy channel costs.

use std::collections::VecDeque;

use super::Log;
use crate::channel::store::{Store, StoreError};
use crate::limits::{SPARE_ROWS_MAX, TRIM_PAUSE_MS};
use crate::model::serial::Position;

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
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let oldest = store.totals_after(floor, 1)?.pop();
        let rows = match self.is_busy(oldest.map(|(position, _)| position), now_ms) {
            true => store.totals_after(self.spare.through, SPARE_ROWS_MAX)?,
            false => Vec::new(),
        };
        store.trim(if rows.is_empty() { through } else { self.spare.through })?;
        let rows = rows.into_iter().map(|(position, _)| position).take_while(|position| *position <= through).collect();
        self.spare = Spare { rows, through };
        while self.tail.front().is_some_and(|placed| placed.position <= floor) {
            self.drop_oldest();
        }
        self.oldest = oldest;
        Ok(())
    }

    /// Whether rows go on coming, and the log will be trimmed again. What was ever changed is deleted in its time.
    fn is_busy(&self, oldest: Option<Position>, now_ms: u64) -> bool {
        let (Some((newest, _)), Some(oldest)) = (self.newest, oldest) else { return false };
        !self.revised && newest > oldest && newest.time_ms() + TRIM_PAUSE_MS > now_ms
    }
}
