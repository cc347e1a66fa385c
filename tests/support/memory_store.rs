//! A [`Store`] in memory that can be told to fail, for tests and the simulation.

use std::collections::{BTreeMap, BTreeSet};

use courtside::call::RelayName;
use courtside::channel::store::{Row, Store, StoreError, Stored, Totals};
use courtside::serial::Position;
use courtside::wire::packed::Packed;

#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    pub meta: Option<Vec<u8>>,
    pub relays: BTreeSet<RelayName>,
    pub rows: BTreeMap<Position, Row>,
    /// The next append fails.
    pub fail_append: bool,
    /// ... but the row is kept.
    pub keep_failed: bool,
    /// The next load, read of rows or save of the meta fails.
    pub fail_load: bool,
    pub fail_rows: bool,
    pub fail_meta: bool,
    pub rows_read: usize,
}

impl MemoryStore {
    fn read(&mut self, rows: Vec<(Position, Packed)>) -> Result<Vec<(Position, Packed)>, StoreError> {
        if std::mem::take(&mut self.fail_rows) {
            return Err(StoreError("rows".into()));
        }
        self.rows_read += rows.len();
        Ok(rows)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        if std::mem::take(&mut self.fail_load) {
            return Err(StoreError("load".into()));
        }
        let end = |row: Option<(&Position, &Row)>| row.map(|(position, row)| (*position, row.totals));
        Ok(Stored {
            meta: self.meta.clone(),
            relays: self.relays.iter().cloned().collect(),
            newest: end(self.rows.last_key_value()),
            oldest: end(self.rows.first_key_value()),
        })
    }

    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError> {
        if std::mem::take(&mut self.fail_meta) {
            return Err(StoreError("meta".into()));
        }
        self.meta = Some(meta.to_vec());
        Ok(())
    }

    fn add_relay(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.relays.insert(relay.clone());
        Ok(())
    }

    fn remove_relay(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.relays.remove(relay);
        Ok(())
    }

    fn append(&mut self, row: &Row) -> Result<(), StoreError> {
        let fails = std::mem::take(&mut self.fail_append);
        if !fails || self.keep_failed {
            if self.rows.contains_key(&row.position) {
                return Err(StoreError("the row exists".into()));
            }
            self.rows.insert(row.position, row.clone());
        }
        if fails { Err(StoreError("append".into())) } else { Ok(()) }
    }

    fn trim(&mut self, through: Position) -> Result<(), StoreError> {
        self.rows.retain(|position, _| *position > through);
        Ok(())
    }

    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..).take(limit);
        let rows = rows.map(|(position, row)| (*position, row.entries.clone())).collect();
        self.read(rows)
    }

    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self.rows.range(..=through).rev().take(limit);
        let rows = rows.map(|(position, row)| (*position, row.entries.clone())).collect();
        self.read(rows)
    }

    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..).take(limit);
        Ok(rows.map(|(position, row)| (*position, row.totals)).collect())
    }

    fn keys_after(&mut self, after: Position) -> Result<String, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..);
        Ok(rows.map(|(position, row)| format!("{} {}", position.0, row.keys)).collect::<Vec<_>>().join(" "))
    }
}
