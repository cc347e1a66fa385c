//! What a channel's SQLite has of versions, and how rows go of which nothing is to be left.

use wasm_bindgen::JsValue;

use super::sql::{Database, blob, bytes, column, number};
use crate::channel::store::{StoreError, StoredEnding, StoredLatest, StoredVersion};
use crate::model::packed::Packed;
use crate::model::revision::Target;
use crate::model::serial::Position;

/// They did not say where a version was made, nor whether its message was ever deleted: it may have been.
const LATEST_OF_EARLIER_BUILDS: &str = "ALTER TABLE latest ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE latest ADD COLUMN deleted INTEGER NOT NULL DEFAULT 1;";

/// The latest versions of the messages of a publish.
pub const LATEST: &str = "SELECT entry, ending FROM latest LEFT JOIN endings USING (position, place)
                          WHERE position = ? ORDER BY place";

/// What goes with the rows of the log up to a place: tables, what they hold, and which of it. Of versions those that no
/// operation in the log needs: what an append made is read from its version.
const TRIMMED: [(&str, &[&str], &str); 5] = [
    ("endings", &["ending"], "position <= ?1 AND changed <= ?1"),
    (
        "latest",
        &["entry"],
        "position <= ?1 AND changed <= ?1
         AND (position, place) NOT IN (SELECT position, place FROM endings WHERE position <= ?1)",
    ),
    (
        "versions",
        &["entry"],
        "position <= ?1 AND (position, place) NOT IN (SELECT position, place FROM latest WHERE position <= ?1)",
    ),
    ("annotations", &["entry"], "message <= ?1"),
    ("log", &["entries", "keys"], "position <= ?1"),
];

/// Gives the tables of an earlier build what they lack.
pub fn complete(database: &Database) -> Result<(), StoreError> {
    match database.has_column("latest", "changed")? {
        true => Ok(()),
        false => database.exec(LATEST_OF_EARLIER_BUILDS, &[]),
    }
}

pub fn revise(database: &Database, version: &StoredVersion) -> Result<(), StoreError> {
    let Target { position, place } = version.target;
    let [position, place, number_of] = [position.0, place as u64, version.number.into()].map(number);
    let key = [position.clone(), place.clone(), number_of.clone()];
    let keep = "INSERT INTO versions (position, place, number, entry) SELECT position, place, number, entry FROM latest
                WHERE position = ? AND place = ? AND number < ?";
    if version.number > 1 {
        database.exec(keep, &key)?;
    }
    overwrite(database, "latest", &["entry"], "position = ? AND place = ? AND number <= ?", &key)?;
    drop_ending(database, &key[..2])?;
    let latest = "INSERT OR REPLACE INTO latest (position, place, number, entry, changed, deleted)
                  VALUES (?, ?, ?, ?, ?, ?)";
    let (entry, changed) = (bytes(version.entry.bytes()), number(version.position.0));
    let deleted = number(version.was_deleted.into());
    database.exec(latest, &[position.clone(), place.clone(), number_of, entry, changed, deleted])?;
    match version.expired() {
        None => Ok(()),
        Some(expired) => {
            let (those, key) =
                ("position = ? AND place = ? AND number <= ?", [position, place, number(expired.into())]);
            overwrite(database, "versions", &["entry"], those, &key)?;
            database.exec(&["DELETE FROM versions WHERE ", those].concat(), &key)
        }
    }
}

/// Of the same length as the one before, and so in its place.
pub fn extend(database: &Database, ending: &StoredEnding) -> Result<(), StoreError> {
    let Target { position, place } = ending.target;
    let [position, place, changed] = [position.0, place as u64, ending.position.0].map(number);
    let extend = "INSERT INTO endings (position, place, changed, ending) VALUES (?, ?, ?, ?)
                  ON CONFLICT DO UPDATE SET changed = excluded.changed, ending = excluded.ending";
    database.exec(extend, &[position, place, changed, bytes(&ending.bytes)])
}

fn drop_ending(database: &Database, of: &[JsValue]) -> Result<(), StoreError> {
    overwrite(database, "endings", &["ending"], "position = ? AND place = ?", of)?;
    database.exec("DELETE FROM endings WHERE position = ? AND place = ?", of)
}

pub fn latest_of(row: &JsValue) -> StoredLatest {
    let has_ending = !column(row, "ending").is_null();
    StoredLatest { entry: Packed::from_bytes(blob(row, "entry")), ending: has_ending.then(|| blob(row, "ending")) }
}

/// Whether a message up to a place was ever deleted.
pub fn were_deleted(database: &Database, through: Position) -> Result<bool, StoreError> {
    let query = "SELECT place FROM latest WHERE position <= ? AND deleted = 1 LIMIT 1";
    Ok(!database.rows(query, &[number(through.0)])?.is_empty())
}

pub fn let_go(database: &Database, through: Position, overwrites: bool) -> Result<(), StoreError> {
    let bindings = [number(through.0)];
    for (table, columns, which) in TRIMMED {
        if overwrites {
            overwrite(database, table, columns, which, &bindings)?;
        }
        database.exec(&["DELETE FROM ", table, " WHERE ", which].concat(), &bindings)?;
    }
    Ok(())
}

/// What messages that are purged would still push.
pub fn drop_pushes(database: &Database, through: Position) -> Result<(), StoreError> {
    let (those, bindings) = ("position <= ?1", [number(through.0)]);
    overwrite(database, "pushes", &["payload"], those, &bindings)?;
    database.exec(&["DELETE FROM pushes WHERE ", those].concat(), &bindings)
}

/// Puts zeros into rows, of the same length in the same place, before they go: a page keeps the bytes of what it no
/// longer holds until it is used again.
pub fn overwrite(
    database: &Database,
    table: &str,
    columns: &[&str],
    which: &str,
    bindings: &[JsValue],
) -> Result<(), StoreError> {
    let zeros = |column: &&str| format!("{column} = zeroblob(length(CAST({column} AS BLOB)))");
    let zeros: Vec<String> = columns.iter().map(zeros).collect();
    database.exec(&format!("UPDATE {table} SET {} WHERE {which}", zeros.join(", ")), bindings)
}
