//! What is said of messages, and what it comes to, in a channel's SQLite.

use wasm_bindgen::JsValue;

use super::sql::{Database, blob, bytes, integer, number, text};
use crate::channel::store::{CountKey, Share, StoreError, Total};
use crate::model::packed::Packed;
use crate::model::revision::Target;
use crate::model::serial::Position;

/// A message, in the first two columns of each table.
fn of(target: Target, more: impl IntoIterator<Item = JsValue>) -> Vec<JsValue> {
    [number(target.position.0), number(target.place as u64)].into_iter().chain(more).collect()
}

pub fn trim(database: &Database, through: Position) -> Result<(), StoreError> {
    ["DELETE FROM counts WHERE message <= ?", "DELETE FROM shares WHERE message <= ?"]
        .into_iter()
        .try_for_each(|query| database.exec(query, &[number(through.0)]))
}

pub fn annotate(database: &Database, target: Target, position: Position, entry: &Packed) -> Result<(), StoreError> {
    let query = "INSERT INTO annotations (message, place, position, entry) VALUES (?, ?, ?, ?)";
    database.exec(query, &of(target, [number(position.0), bytes(entry.bytes())]))
}

pub fn count(database: &Database, target: Target, key: &CountKey, total: &Total) -> Result<(), StoreError> {
    let names = [key.kind.as_str().into(), key.name.as_str().into()];
    if total.total == 0 {
        let query = "DELETE FROM counts WHERE message = ? AND place = ? AND kind = ? AND name = ?";
        return database.exec(query, &of(target, names));
    }
    let numbers = [total.total, total.unidentified, total.clients].map(number);
    let query = "INSERT OR REPLACE INTO counts (message, place, kind, name, total, unidentified, clients)
                 VALUES (?, ?, ?, ?, ?, ?, ?)";
    database.exec(query, &of(target, names.into_iter().chain(numbers)))
}

pub fn say(
    database: &Database,
    target: Target,
    key: &CountKey,
    client_id: &str,
    share: Option<Share>,
) -> Result<(), StoreError> {
    let names = [key.kind.as_str().into(), client_id.into(), key.name.as_str().into()];
    let Some(share) = share else {
        let query = "DELETE FROM shares WHERE message = ? AND place = ? AND kind = ? AND client = ? AND name = ?";
        return database.exec(query, &of(target, names));
    };
    let query = "INSERT OR REPLACE INTO shares (message, place, kind, client, name, count, since)
                 VALUES (?, ?, ?, ?, ?, ?, ?)";
    database.exec(query, &of(target, names.into_iter().chain([number(share.count), number(share.since.0)])))
}

pub fn annotations(
    database: &Database,
    target: Target,
    from: Position,
    limit: usize,
) -> Result<Vec<Packed>, StoreError> {
    let query = "SELECT entry FROM annotations WHERE message = ? AND place = ? AND position >= ?
                 ORDER BY position LIMIT ?";
    let rows = database.rows(query, &of(target, [number(from.0), number(limit as u64)]))?;
    Ok(rows.iter().map(|row| Packed::from_bytes(blob(row, "entry"))).collect())
}

pub fn counts(database: &Database, target: Target) -> Result<Vec<(CountKey, Total)>, StoreError> {
    let query = "SELECT kind, name, total, unidentified, clients FROM counts WHERE message = ? AND place = ?
                 ORDER BY kind, name";
    let count = |row: &JsValue| {
        let [total, unidentified, clients] = ["total", "unidentified", "clients"].map(|name| integer(row, name));
        (CountKey { kind: text(row, "kind"), name: text(row, "name") }, Total { total, unidentified, clients })
    };
    Ok(database.rows(query, &of(target, []))?.iter().map(count).collect())
}

pub fn counted(database: &Database, first: Position, last: Position) -> Result<Vec<Target>, StoreError> {
    let query = "SELECT DISTINCT message, place FROM counts WHERE message BETWEEN ? AND ?";
    let target =
        |row: &JsValue| Target { position: Position(integer(row, "message")), place: integer(row, "place") as usize };
    Ok(database.rows(query, &[number(first.0), number(last.0)])?.iter().map(target).collect())
}

pub fn shares(
    database: &Database,
    target: Target,
    kind: &str,
    client_id: &str,
) -> Result<Vec<(String, Share)>, StoreError> {
    let query = "SELECT name, count, since FROM shares WHERE message = ? AND place = ? AND kind = ? AND client = ?";
    let rows = database.rows(query, &of(target, [kind.into(), client_id.into()]))?;
    let share = |row: &JsValue| {
        (text(row, "name"), Share { count: integer(row, "count"), since: Position(integer(row, "since")) })
    };
    Ok(rows.iter().map(share).collect())
}

pub fn clients(
    database: &Database,
    target: Target,
    key: &CountKey,
    limit: usize,
) -> Result<Vec<(String, u64)>, StoreError> {
    let query = "SELECT client, count FROM shares WHERE message = ? AND place = ? AND kind = ? AND name = ?
                 ORDER BY since, client LIMIT ?";
    let names = [key.kind.as_str().into(), key.name.as_str().into(), number(limit as u64)];
    let rows = database.rows(query, &of(target, names))?;
    Ok(rows.iter().map(|row| (text(row, "client"), integer(row, "count"))).collect())
}
