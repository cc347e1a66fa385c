//! A channel's storage in its object's SQLite.

use wasm_bindgen::JsValue;

use super::sql::{Database, blob, bytes, integer, number, text};
use crate::call::RelayName;
use crate::channel::store::{Row, Store, StoreError, Stored, Totals};
use crate::serial::Position;
use crate::wire::packed::Packed;

/// Rows are keyed by position, which is the row id, so that a commit writes one row and no index. Totals are of all that
/// was ever logged up to a row: the difference of two rows is what lies between them, without counting.
const CHANNEL_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS relays (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
                                    keys TEXT NOT NULL, entries BLOB NOT NULL);";

pub struct SqlStore {
    database: Database,
    has_schema: bool,
}

impl SqlStore {
    pub fn new(database: Database) -> SqlStore {
        SqlStore { database, has_schema: false }
    }

    /// What else the object keeps there.
    pub fn database(&self) -> &Database {
        &self.database
    }

    fn exec(&self, query: &str, bindings: &[JsValue]) -> Result<(), StoreError> {
        self.database.exec(query, bindings)
    }

    fn rows(&self, query: &str, bindings: &[JsValue]) -> Result<Vec<JsValue>, StoreError> {
        self.database.rows(query, bindings)
    }

    fn log(&self, rest: &str, position: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self
            .rows(&format!("SELECT position, entries FROM log {rest}"), &[number(position.0), number(limit as u64)])?;
        Ok(rows.iter().map(|row| (position_of(row), Packed::from_bytes(blob(row, "entries")))).collect())
    }

    fn totals(&self, rest: &str, bindings: &[JsValue]) -> Result<Vec<(Position, Totals)>, StoreError> {
        let rows = self.rows(&format!("SELECT position, messages, bytes FROM log {rest}"), bindings)?;
        let totals = |row: &JsValue| Totals { messages: integer(row, "messages"), bytes: integer(row, "bytes") };
        Ok(rows.iter().map(|row| (position_of(row), totals(row))).collect())
    }
}

impl Store for SqlStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        if !self.has_schema {
            self.exec(CHANNEL_SCHEMA, &[])?;
            self.has_schema = true;
        }
        let relays = self.rows("SELECT name FROM relays", &[])?;
        Ok(Stored {
            meta: self.rows("SELECT value FROM meta", &[])?.first().map(|row| blob(row, "value")),
            relays: relays.iter().map(|row| RelayName::from(text(row, "name"))).collect(),
            newest: self.totals("ORDER BY position DESC LIMIT 1", &[])?.pop(),
            oldest: self.totals("ORDER BY position LIMIT 1", &[])?.pop(),
        })
    }

    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError> {
        self.exec("INSERT OR REPLACE INTO meta (id, value) VALUES (0, ?)", &[bytes(meta)])
    }

    fn add_relay(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.exec("INSERT OR IGNORE INTO relays (name) VALUES (?)", &[relay.as_str().into()])
    }

    fn remove_relay(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.exec("DELETE FROM relays WHERE name = ?", &[relay.as_str().into()])
    }

    fn append(&mut self, row: &Row) -> Result<(), StoreError> {
        let values = [
            number(row.position.0),
            number(row.totals.messages),
            number(row.totals.bytes),
            row.keys.as_str().into(),
            bytes(row.entries.bytes()),
        ];
        self.exec("INSERT INTO log (position, messages, bytes, keys, entries) VALUES (?, ?, ?, ?, ?)", &values)
    }

    fn trim(&mut self, through: Position) -> Result<(), StoreError> {
        self.exec("DELETE FROM log WHERE position <= ?", &[number(through.0)])
    }

    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.log("WHERE position > ? ORDER BY position LIMIT ?", after, limit)
    }

    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.log("WHERE position <= ? ORDER BY position DESC LIMIT ?", through, limit)
    }

    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        let bindings = [number(after.0), number(limit as u64)];
        self.totals("WHERE position > ? ORDER BY position LIMIT ?", &bindings)
    }

    fn keys_after(&mut self, after: Position) -> Result<String, StoreError> {
        let query = "SELECT group_concat(position || ' ' || keys, ' ') AS keys
                     FROM (SELECT position, keys FROM log WHERE position > ? ORDER BY position)";
        let rows = self.rows(query, &[number(after.0)])?;
        Ok(rows.first().map(|row| text(row, "keys")).unwrap_or_default())
    }
}

fn position_of(row: &JsValue) -> Position {
    Position(integer(row, "position"))
}
