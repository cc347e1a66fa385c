//! A channel's storage in its object's SQLite.

use wasm_bindgen::JsValue;

use super::sql::{Database, blob, bytes, column, integer, number, text};
use super::{said, versions};
use crate::base::pinned;
use crate::channel::StoredPush;
use crate::channel::store::{
    Change, CountKey, Row, Share, Store, StoreError, Stored, StoredHolder, StoredLatest, Total, Totals,
};
use crate::model::objects::parts::PartKey;
use crate::model::objects::pool::Changes;
use crate::model::packed::Packed;
use crate::model::presence::MemberKey;
use crate::model::revision::Target;
use crate::model::serial::Position;
use crate::rpc::{Lease, MembersQuery, RelayName};

/// Rows are keyed by position, which is the row id, so that a commit writes one row and no index. Totals are of all
/// that was ever logged up to a row: the difference of two rows is what lies between them, without counting.
const CHANNEL_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS hooks (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS relays (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS relays_below (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL,
                                    keys TEXT NOT NULL, entries BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS members (connection TEXT NOT NULL, client TEXT NOT NULL, relay TEXT NOT NULL,
                                        grace INTEGER NOT NULL, leaves_at INTEGER, member BLOB NOT NULL,
                                        PRIMARY KEY (connection, client)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS objects (object TEXT NOT NULL, key BLOB NOT NULL, part BLOB NOT NULL,
                                        PRIMARY KEY (object, key)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS latest (position INTEGER NOT NULL, place INTEGER NOT NULL, number INTEGER NOT NULL,
                                       entry BLOB NOT NULL, changed INTEGER NOT NULL DEFAULT 0,
                                       deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (position, place)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS endings (position INTEGER NOT NULL, place INTEGER NOT NULL, changed INTEGER NOT NULL,
                                        ending BLOB NOT NULL, PRIMARY KEY (position, place)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS versions (position INTEGER NOT NULL, place INTEGER NOT NULL, number INTEGER NOT NULL,
                                         entry BLOB NOT NULL, PRIMARY KEY (position, place, number)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS pushes (position INTEGER NOT NULL, place INTEGER NOT NULL, payload TEXT NOT NULL,
                                       PRIMARY KEY (position, place)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS annotations (message INTEGER NOT NULL, place INTEGER NOT NULL, position INTEGER NOT NULL,
                                            entry BLOB NOT NULL,
                                            PRIMARY KEY (message, place, position)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS counts (message INTEGER NOT NULL, place INTEGER NOT NULL, kind TEXT NOT NULL,
                                       name TEXT NOT NULL, total INTEGER NOT NULL, unidentified INTEGER NOT NULL,
                                       clients INTEGER NOT NULL,
                                       PRIMARY KEY (message, place, kind, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS shares (message INTEGER NOT NULL, place INTEGER NOT NULL, kind TEXT NOT NULL,
                                       client TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL,
                                       since INTEGER NOT NULL,
                                       PRIMARY KEY (message, place, kind, client, name)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS shares_by_name ON shares (message, place, kind, name, since, client);";

pub struct SqlStore {
    database: Database,
    has_tables: bool,
}

impl SqlStore {
    pub fn new(database: Database) -> SqlStore {
        SqlStore { database, has_tables: false }
    }

    /// What else the object keeps there.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Writes. The tables are made by the first write: a channel that is only asked leaves nothing behind.
    fn exec(&mut self, query: &str, bindings: &[JsValue]) -> Result<(), StoreError> {
        self.make_tables()?;
        self.database.exec(query, bindings)
    }

    /// Lets go of everything, as if there had never been anything.
    pub(super) fn clear_all(&mut self) -> Result<(), StoreError> {
        self.database.clear()?;
        self.has_tables = false;
        Ok(())
    }

    fn make_tables(&mut self) -> Result<(), StoreError> {
        if !self.has_tables {
            self.database.exec(CHANNEL_SCHEMA, &[])?;
            versions::complete(&self.database)?;
            self.has_tables = true;
        }
        Ok(())
    }

    fn let_go(&mut self, through: Position, overwrites: bool) -> Result<(), StoreError> {
        self.make_tables()?;
        versions::let_go(&self.database, through, overwrites)?;
        said::trim(&self.database, through)
    }

    fn count_pushes(&self) -> Result<usize, StoreError> {
        let rows = self.rows("SELECT COUNT(*) AS pushes FROM pushes", &[])?;
        Ok(rows.first().map_or(0, |row| integer(row, "pushes") as usize))
    }

    /// Reads: nothing, as long as there are no tables.
    fn rows(&self, query: &str, bindings: &[JsValue]) -> Result<Vec<JsValue>, StoreError> {
        if self.has_tables { self.database.rows(query, bindings) } else { Ok(Vec::new()) }
    }

    fn relays(&self, query: &str) -> Result<Vec<RelayName>, StoreError> {
        let rows = self.rows(query, &[])?;
        Ok(rows.iter().map(|row| RelayName::from(text(row, "name"))).collect())
    }

    fn log(&self, rest: &str, position: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self
            .rows(&format!("SELECT position, entries FROM log {rest}"), &[number(position.0), number(limit as u64)])?;
        Ok(rows.iter().map(|row| (position_of(row), Packed::from_bytes(blob(row, "entries")))).collect())
    }

    fn keys(&self, rest: &str, position: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        let bindings = [number(position.0), number(limit as u64)];
        let rows = self.rows(&format!("SELECT position, keys FROM log {rest}"), &bindings)?;
        Ok(rows.iter().map(|row| (position_of(row), text(row, "keys"))).collect())
    }

    fn totals(&self, rest: &str, bindings: &[JsValue]) -> Result<Vec<(Position, Totals)>, StoreError> {
        let rows = self.rows(&format!("SELECT position, messages, bytes FROM log {rest}"), bindings)?;
        let totals = |row: &JsValue| Totals { messages: integer(row, "messages"), bytes: integer(row, "bytes") };
        Ok(rows.iter().map(|row| (position_of(row), totals(row))).collect())
    }
}

impl Store for SqlStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        if self.database.has_table("meta")? {
            // An earlier build may have made fewer.
            self.make_tables()?;
        }
        Ok(Stored {
            meta: self.rows("SELECT value FROM meta", &[])?.first().map(|row| blob(row, "value")),
            relays: self.relays("SELECT name FROM relays")?,
            relays_below: self.relays("SELECT name FROM relays_below")?,
            newest: self.totals("ORDER BY position DESC LIMIT 1", &[])?.pop(),
            oldest: self.totals("ORDER BY position LIMIT 1", &[])?.pop(),
            members: self.rows("SELECT COUNT(*) AS members FROM members", &[])?.first().map_or(0, members_of),
            objects: self.object_part(&PartKey::SUMMARY)?,
            pushes: self.count_pushes()?,
            hooks: self.rows("SELECT value FROM hooks", &[])?.first().map(|row| blob(row, "value")),
            revised: !self.rows("SELECT place FROM latest LIMIT 1", &[])?.is_empty(),
        })
    }

    /// What a shorter one no longer has, such as a last message that is purged, is overwritten.
    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError> {
        self.make_tables()?;
        let (database, meta, length) = (self.database.clone(), bytes(meta), number(meta.len() as u64));
        self.database.transaction(move || {
            versions::overwrite(&database, "meta", &["value"], "length(value) > ?", std::slice::from_ref(&length))?;
            database.exec("INSERT OR REPLACE INTO meta (id, value) VALUES (0, ?)", std::slice::from_ref(&meta))
        })
    }

    fn save_hooks(&mut self, hooks: &[u8]) -> Result<(), StoreError> {
        self.exec("INSERT OR REPLACE INTO hooks (id, value) VALUES (0, ?)", &[bytes(hooks)])
    }

    fn add_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        let query = match direct {
            true => "INSERT OR IGNORE INTO relays (name) VALUES (?)",
            false => "INSERT OR IGNORE INTO relays_below (name) VALUES (?)",
        };
        self.exec(query, &[relay.as_str().into()])
    }

    fn remove_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        let query = match direct {
            true => "DELETE FROM relays WHERE name = ?",
            false => "DELETE FROM relays_below WHERE name = ?",
        };
        self.exec(query, &[relay.as_str().into()])
    }

    fn append(&mut self, row: &Row) -> Result<(), StoreError> {
        self.make_tables()?;
        if row.changes.is_empty() {
            return append(&self.database, row);
        }
        let (database, row) = (self.database.clone(), row.clone());
        self.database.transaction(move || {
            append(&database, &row)?;
            row.changes.iter().try_for_each(|change| apply(&database, change))
        })
    }

    fn trim(&mut self, through: Position) -> Result<(), StoreError> {
        let overwrites = self.has_tables && versions::were_deleted(&self.database, through)?;
        self.let_go(through, overwrites)
    }

    fn purge(&mut self, through: Position, limit: usize) -> Result<bool, StoreError> {
        let rows = self.totals_after(Position::ZERO, limit)?;
        let is_all = rows.len() < limit || rows.last().is_none_or(|(last, _)| *last >= through);
        let end = rows.last().filter(|_| !is_all).map_or(through, |(last, _)| *last);
        self.let_go(end, true)?;
        versions::drop_pushes(&self.database, through)?;
        Ok(is_all)
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

    fn pushes(&mut self, limit: usize) -> Result<Vec<StoredPush>, StoreError> {
        let query = "SELECT position, place, payload FROM pushes ORDER BY position, place LIMIT ?";
        let push = |row| StoredPush {
            position: position_of(row),
            place: integer(row, "place") as usize,
            payload: text(row, "payload"),
        };
        Ok(self.rows(query, &[number(limit as u64)])?.iter().map(push).collect())
    }

    fn forget_pushes(&mut self, (position, place): (Position, usize)) -> Result<usize, StoreError> {
        let through = [number(position.0), number(place as u64)];
        self.exec("DELETE FROM pushes WHERE (position, place) <= (?, ?)", &through)?;
        self.count_pushes()
    }

    fn keys_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.keys("WHERE position > ? ORDER BY position LIMIT ?", after, limit)
    }

    fn keys_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.keys("WHERE position <= ? ORDER BY position DESC LIMIT ?", through, limit)
    }

    fn latest(&mut self, position: Position) -> Result<Vec<StoredLatest>, StoreError> {
        Ok(self.rows(versions::LATEST, &[number(position.0)])?.iter().map(versions::latest_of).collect())
    }

    fn versions(&mut self, target: Target, from: u32, forwards: bool, limit: usize) -> Result<Vec<Packed>, StoreError> {
        let order = if forwards { ">= ?3 ORDER BY number" } else { "<= ?3 ORDER BY number DESC" };
        let query = ["SELECT entry FROM versions WHERE position = ?1 AND place = ?2 AND number ", order, " LIMIT ?4"];
        let bindings = [target.position.0, target.place as u64, from.into(), limit as u64].map(number);
        Ok(self.rows(&query.concat(), &bindings)?.iter().map(version_of).collect())
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
        // Those of one connection are found by the key: to look at all members for each that leaves would take minutes
        // when all leave.
        let of = if query.connection_id.is_some() { "connection = ?4" } else { "?4 IS NULL" };
        let rest = " AND (connection, client) > (?1, ?2) AND (?5 IS NULL OR client = ?5)
                     ORDER BY connection, client LIMIT ?3";
        Ok(self
            .rows(&["SELECT member FROM members WHERE ", of, rest].concat(), &bindings)?
            .iter()
            .map(member_of)
            .collect())
    }

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError> {
        let query = "SELECT connection, relay, grace, leaves_at, COUNT(*) AS members FROM members GROUP BY connection";
        let holder = |row: &JsValue| StoredHolder {
            connection_id: text(row, "connection"),
            lease: Lease { relay: RelayName::from(text(row, "relay")), grace_ms: integer(row, "grace") },
            leaves_at_ms: column(row, "leaves_at").as_f64().map(|at_ms| at_ms as u64),
            members: members_of(row),
        };
        Ok(self.rows(query, &[])?.iter().map(holder).collect())
    }

    fn hold(&mut self, connection_id: &str, lease: &Lease, leaves_at_ms: Option<u64>) -> Result<(), StoreError> {
        self.make_tables()?;
        update_hold(&self.database, connection_id, lease, leaves_at_ms)
    }

    fn object_part(&mut self, key: &PartKey) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.rows("SELECT part FROM objects WHERE object = ? AND key = ?", &part_key(key))?;
        Ok(rows.first().map(|row| blob(row, "part")))
    }

    fn object_parts(&mut self, after: &PartKey, limit: usize) -> Result<Vec<(PartKey, Vec<u8>)>, StoreError> {
        let [object, key] = part_key(after);
        let query = "SELECT object, key, part FROM objects WHERE (object, key) > (?, ?) ORDER BY object, key LIMIT ?";
        let part = |row: &JsValue| {
            let key = blob(row, "key").strip_prefix(&[ENTRY]).map(|key| String::from_utf8_lossy(key).into_owned());
            (PartKey { object: text(row, "object"), key }, blob(row, "part"))
        };
        Ok(self.rows(query, &[object, key, number(limit as u64)])?.iter().map(part).collect())
    }

    fn change_objects(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.make_tables()?;
        let (database, changes) = (self.database.clone(), changes.clone());
        self.database.transaction(move || change_objects(&database, &changes))
    }

    fn annotations(&mut self, target: Target, from: Position, limit: usize) -> Result<Vec<Packed>, StoreError> {
        if self.has_tables { said::annotations(&self.database, target, from, limit) } else { Ok(Vec::new()) }
    }

    fn counts(&mut self, target: Target) -> Result<Vec<(CountKey, Total)>, StoreError> {
        if self.has_tables { said::counts(&self.database, target) } else { Ok(Vec::new()) }
    }

    fn counted(&mut self, first: Position, last: Position) -> Result<Vec<Target>, StoreError> {
        if self.has_tables { said::counted(&self.database, first, last) } else { Ok(Vec::new()) }
    }

    fn shares(&mut self, target: Target, kind: &str, client_id: &str) -> Result<Vec<(String, Share)>, StoreError> {
        if self.has_tables { said::shares(&self.database, target, kind, client_id) } else { Ok(Vec::new()) }
    }

    fn clients(&mut self, target: Target, key: &CountKey, limit: usize) -> Result<Vec<(String, u64)>, StoreError> {
        if self.has_tables { said::clients(&self.database, target, key, limit) } else { Ok(Vec::new()) }
    }
}

/// What the keys of entries begin with in storage: that of their object is empty. Bytes, because a key may be any text.
const ENTRY: u8 = b'=';

fn part_key(key: &PartKey) -> [JsValue; 2] {
    let stored = key.key.as_ref().map_or_else(Vec::new, |key| [&[ENTRY], key.as_bytes()].concat());
    [key.object.as_str().into(), bytes(&stored)]
}

fn change_objects(database: &Database, changes: &Changes) -> Result<(), StoreError> {
    for object in &changes.cleared {
        let query = "DELETE FROM objects WHERE object = ? AND key > ?";
        database.exec(query, &[object.as_str().into(), bytes(&[])])?;
    }
    for (key, part) in &changes.parts {
        let [object, key] = part_key(key);
        match part {
            Some(part) => {
                let query = "INSERT OR REPLACE INTO objects (object, key, part) VALUES (?, ?, ?)";
                database.exec(query, &[object, key, bytes(&pinned::encode(part))])?;
            }
            None => database.exec("DELETE FROM objects WHERE object = ? AND key = ?", &[object, key])?,
        }
    }
    Ok(())
}

fn append(database: &Database, row: &Row) -> Result<(), StoreError> {
    let values = [
        number(row.position.0),
        number(row.totals.messages),
        number(row.totals.bytes),
        row.keys.as_str().into(),
        bytes(row.entries.bytes()),
    ];
    if let Some(over) = row.over {
        let query = "UPDATE log SET position = ?, messages = ?, bytes = ?, keys = ?, entries = ? WHERE position = ?
            RETURNING position";
        let bindings: Vec<JsValue> = values.iter().cloned().chain([number(over.0)]).collect();
        if !database.rows(query, &bindings)?.is_empty() {
            return Ok(());
        }
    }
    database.exec("INSERT INTO log (position, messages, bytes, keys, entries) VALUES (?, ?, ?, ?, ?)", &values)
}

fn apply(database: &Database, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Put(stored) => {
            let values = [
                stored.key.connection_id.as_str().into(),
                stored.key.client_id.as_str().into(),
                stored.lease.relay.as_str().into(),
                number(stored.lease.grace_ms),
                stored.leaves_at_ms.map_or(JsValue::NULL, number),
                bytes(stored.member.bytes()),
            ];
            let query = "INSERT OR REPLACE INTO members (connection, client, relay, grace, leaves_at, member)
                         VALUES (?, ?, ?, ?, ?, ?)";
            database.exec(query, &values)
        }
        Change::Remove(key) => {
            let bindings = [key.connection_id.as_str().into(), key.client_id.as_str().into()];
            database.exec("DELETE FROM members WHERE connection = ? AND client = ?", &bindings)
        }
        Change::Lease(connection_id, lease, leaves_at_ms) => update_hold(database, connection_id, lease, *leaves_at_ms),
        Change::Objects(changes) => change_objects(database, changes),
        Change::Revise(version) => versions::revise(database, version),
        Change::Extend(ending) => versions::extend(database, ending),
        Change::Annotate(target, position, entry) => said::annotate(database, *target, *position, entry),
        Change::Count(target, key, total) => said::count(database, *target, key, total),
        Change::Push(StoredPush { position, place, payload }) => {
            let values = [number(position.0), number(*place as u64), payload.as_str().into()];
            database.exec("INSERT INTO pushes (position, place, payload) VALUES (?, ?, ?)", &values)
        }
        Change::Say(target, key, client_id, share) => said::say(database, *target, key, client_id, *share),
    }
}

fn update_hold(
    database: &Database,
    connection_id: &str,
    lease: &Lease,
    leaves_at_ms: Option<u64>,
) -> Result<(), StoreError> {
    let bindings = [
        lease.relay.as_str().into(),
        number(lease.grace_ms),
        leaves_at_ms.map_or(JsValue::NULL, number),
        connection_id.into(),
    ];
    database.exec("UPDATE members SET relay = ?, grace = ?, leaves_at = ? WHERE connection = ?", &bindings)
}

fn version_of(row: &JsValue) -> Packed {
    Packed::from_bytes(blob(row, "entry"))
}

fn member_of(row: &JsValue) -> Packed {
    Packed::from_bytes(blob(row, "member"))
}

fn members_of(row: &JsValue) -> usize {
    integer(row, "members") as usize
}

fn position_of(row: &JsValue) -> Position {
    Position(integer(row, "position"))
}
