//! A channel's storage in its object's SQLite, and the little that relays keep there.

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};

use super::platform::{ObjectStorage, Sql, describe, random_bytes};
use crate::call::{Hold, MembersQuery, RelayName};
use crate::channel::store::{Change, Row, Store, StoreError, Stored, StoredHolder, Totals};
use crate::serial::Position;
use crate::wire::packed::Packed;
use crate::wire::presence::MemberKey;

/// Rows are keyed by position, which is the row id, so that a commit writes one row and no index. Totals are of all that
/// was ever logged up to a row: the difference of two rows is what lies between them, without counting.
const CHANNEL_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS relays (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
                                    keys TEXT NOT NULL, entries BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS members (connection TEXT NOT NULL, client TEXT NOT NULL, relay TEXT NOT NULL,
                                        grace INTEGER NOT NULL, leaves_at INTEGER, member BLOB NOT NULL,
                                        PRIMARY KEY (connection, client)) WITHOUT ROWID;";

const SECRET_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY, value BLOB NOT NULL)";

pub struct SqlStore {
    storage: ObjectStorage,
    sql: Sql,
    has_schema: bool,
}

impl SqlStore {
    pub fn new(storage: ObjectStorage) -> SqlStore {
        SqlStore { sql: storage.sql(), storage, has_schema: false }
    }

    /// The secret that signs this object's connection keys; made when first needed.
    pub fn secret(&self) -> Result<Vec<u8>, StoreError> {
        self.exec(SECRET_SCHEMA, &[])?;
        let rows = self.rows("SELECT value FROM secret", &[])?;
        if let Some(secret) = rows.first().map(|row| blob(row, "value")) {
            return Ok(secret);
        }
        let secret = random_bytes::<32>();
        self.exec("INSERT INTO secret (id, value) VALUES (0, ?)", &[bytes(&secret)])?;
        Ok(secret.to_vec())
    }

    fn exec(&self, query: &str, bindings: &[JsValue]) -> Result<(), StoreError> {
        exec(&self.sql, query, bindings).map_err(failed)
    }

    fn rows(&self, query: &str, bindings: &[JsValue]) -> Result<Vec<JsValue>, StoreError> {
        let cursor = self.sql.exec(query, &Array::from_iter(bindings));
        let rows = cursor.and_then(|cursor| cursor.to_array()).map_err(failed)?;
        Ok(rows.to_vec())
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
            members: self.rows("SELECT COUNT(*) AS members FROM members", &[])?.first().map_or(0, members_of),
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
        if row.changes.is_empty() {
            return append(&self.sql, row).map_err(failed);
        }
        let (sql, row) = (self.sql.clone(), row.clone());
        let writes = Closure::new(move || {
            append(&sql, &row)?;
            row.changes.iter().try_for_each(|change| apply(&sql, change))
        });
        self.storage.transaction_sync(&writes).map_err(failed)
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

    fn member(&mut self, key: &MemberKey) -> Result<Option<Packed>, StoreError> {
        let bindings = [key.connection_id.as_str().into(), key.client_id.as_str().into()];
        let rows = self.rows("SELECT member FROM members WHERE connection = ? AND client = ?", &bindings)?;
        Ok(rows.first().map(member_of))
    }

    fn members(&mut self, query: &MembersQuery) -> Result<Vec<Packed>, StoreError> {
        let text = |value: Option<&String>| value.map_or(JsValue::NULL, |text| text.as_str().into());
        let after = query.after.as_ref();
        let bindings = [
            after.map_or("", |key| &key.connection_id).into(),
            after.map_or("", |key| &key.client_id).into(),
            number(query.limit as u64),
            text(query.connection_id.as_ref()),
            text(query.client_id.as_ref()),
        ];
        let query = "SELECT member FROM members WHERE (connection, client) > (?1, ?2)
                     AND (?4 IS NULL OR connection = ?4) AND (?5 IS NULL OR client = ?5)
                     ORDER BY connection, client LIMIT ?3";
        Ok(self.rows(query, &bindings)?.iter().map(member_of).collect())
    }

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError> {
        let query = "SELECT connection, relay, grace, leaves_at, COUNT(*) AS members FROM members GROUP BY connection";
        let holder = |row: &JsValue| StoredHolder {
            connection_id: text(row, "connection"),
            hold: Hold { relay: RelayName::from(text(row, "relay")), grace_ms: integer(row, "grace") },
            leaves_at_ms: column(row, "leaves_at").as_f64().map(|at_ms| at_ms as u64),
            members: members_of(row),
        };
        Ok(self.rows(query, &[])?.iter().map(holder).collect())
    }

    fn hold(&mut self, connection_id: &str, hold: &Hold, leaves_at_ms: Option<u64>) -> Result<(), StoreError> {
        let bindings = [
            hold.relay.as_str().into(),
            number(hold.grace_ms),
            leaves_at_ms.map_or(JsValue::NULL, number),
            connection_id.into(),
        ];
        self.exec("UPDATE members SET relay = ?, grace = ?, leaves_at = ? WHERE connection = ?", &bindings)
    }
}

fn exec(sql: &Sql, query: &str, bindings: &[JsValue]) -> Result<(), JsValue> {
    sql.exec(query, &Array::from_iter(bindings)).map(drop)
}

fn append(sql: &Sql, row: &Row) -> Result<(), JsValue> {
    let values = [
        number(row.position.0),
        number(row.totals.messages),
        number(row.totals.bytes),
        row.keys.as_str().into(),
        bytes(row.entries.bytes()),
    ];
    exec(sql, "INSERT INTO log (position, messages, bytes, keys, entries) VALUES (?, ?, ?, ?, ?)", &values)
}

fn apply(sql: &Sql, change: &Change) -> Result<(), JsValue> {
    match change {
        Change::Put(stored) => {
            let values = [
                stored.key.connection_id.as_str().into(),
                stored.key.client_id.as_str().into(),
                stored.hold.relay.as_str().into(),
                number(stored.hold.grace_ms),
                stored.leaves_at_ms.map_or(JsValue::NULL, number),
                bytes(stored.member.bytes()),
            ];
            let query = "INSERT OR REPLACE INTO members (connection, client, relay, grace, leaves_at, member)
                         VALUES (?, ?, ?, ?, ?, ?)";
            exec(sql, query, &values)
        }
        Change::Remove(key) => {
            let bindings = [key.connection_id.as_str().into(), key.client_id.as_str().into()];
            exec(sql, "DELETE FROM members WHERE connection = ? AND client = ?", &bindings)
        }
    }
}

fn failed(error: JsValue) -> StoreError {
    StoreError(describe(&error))
}

fn member_of(row: &JsValue) -> Packed {
    Packed::from_bytes(blob(row, "member"))
}

fn members_of(row: &JsValue) -> usize {
    integer(row, "members") as usize
}

/// Exact: positions stay below 2^53.
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

fn bytes(value: &[u8]) -> JsValue {
    Uint8Array::from(value).into()
}

fn column(row: &JsValue, name: &str) -> JsValue {
    Reflect::get(row, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn integer(row: &JsValue, name: &str) -> u64 {
    column(row, name).as_f64().unwrap_or_default() as u64
}

fn position_of(row: &JsValue) -> Position {
    Position(integer(row, "position"))
}

fn text(row: &JsValue, name: &str) -> String {
    column(row, name).as_string().unwrap_or_default()
}

fn blob(row: &JsValue, name: &str) -> Vec<u8> {
    let value = column(row, name);
    match value.dyn_ref::<js_sys::ArrayBuffer>() {
        Some(buffer) => Uint8Array::new(buffer).to_vec(),
        None => Uint8Array::new(&value).to_vec(),
    }
}
