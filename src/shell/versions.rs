//! What a channel's SQLite has of versions, and how rows go of which nothing is to be left.

use wasm_bindgen::JsValue;

use super::sql::{Database, bytes, number};
use crate::channel::store::{StoreError, StoredVersion};
use crate::model::revision::Target;
use crate::model::serial::Position;

/// They did not say where a version was made, nor whether its message was ever deleted: it may have been.
const LATEST_OF_EARLIER_BUILDS: &str = "ALTER TABLE latest ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE latest ADD COLUMN deleted INTEGER NOT NULL DEFAULT 1;";

/// What goes with the rows of the log up to a place: tables, what they hold, and which of it. Of versions those that no
/// operation in the log needs: what an append made is read from its version.
const TRIMMED: [(&str, &[&str], &str); 4] = [
    ("latest", &["entry"], "position <= ?1 AND changed <= ?1"),
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
        overwrite(database, "latest", &["entry"], "position = ? AND place = ? AND number < ?", &key)?;
    }
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

/// Puts zeros into rows, of the same length in the same place, before they go: a page keeps the bytes of what it no
/// longer holds until it is used again.
fn overwrite(
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
