//! What a relay keeps in its object's SQLite: the secret that signs its connection keys, what it knows of the app that it
//! watches, the relays that it feeds, and what its sockets can't carry. With that a rebuilt relay needs no call before it goes
//! on.

use super::platform::random_bytes;
use super::sql::{Database, blob, bytes, integer, number, text};
use crate::auth::Revocation;
use crate::call::{RelayName, Watched};
use crate::channel::store::StoreError;
use crate::name::ChannelName;
use crate::pinned;
use crate::relay::SocketId;
use crate::relay::record::RowId;

const SECRET_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY, value BLOB NOT NULL)";

/// `config` is empty for an app of the deployment's own. A revocation is keyed by what it ends.
const WATCH_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS watch (id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL, config TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS revoked (target TEXT PRIMARY KEY, forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL);";

const FOLLOWERS_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS followers
    (channel TEXT NOT NULL, relay TEXT NOT NULL, PRIMARY KEY (channel, relay)) WITHOUT ROWID";

/// What sockets can't carry, by their number and that of the row.
const ROWS_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS attachments
    (socket INTEGER, number INTEGER, value BLOB NOT NULL, PRIMARY KEY (socket, number)) WITHOUT ROWID";

/// The watch of this relay, as it is stored.
pub struct Watch {
    pub ticket: u64,
    pub config: Option<String>,
}

/// The secret that signs this object's connection keys; made when first needed.
pub fn secret(database: &Database) -> Result<Vec<u8>, StoreError> {
    database.exec(SECRET_SCHEMA, &[])?;
    let rows = database.rows("SELECT value FROM secret", &[])?;
    if let Some(secret) = rows.first().map(|row| blob(row, "value")) {
        return Ok(secret);
    }
    let secret = random_bytes::<32>();
    database.exec("INSERT INTO secret (id, value) VALUES (0, ?)", &[bytes(&secret)])?;
    Ok(secret.to_vec())
}

pub fn watch(database: &Database) -> Result<Option<Watch>, StoreError> {
    if !database.has_table("watch")? {
        return Ok(None);
    }
    let rows = database.rows("SELECT ticket, config FROM watch", &[])?;
    let watch = |row| Watch {
        ticket: integer(row, "ticket"),
        config: Some(text(row, "config")).filter(|config| !config.is_empty()),
    };
    Ok(rows.first().map(watch))
}

pub fn begin_watch(database: &Database, watched: &Watched) -> Result<(), StoreError> {
    database.exec(WATCH_SCHEMA, &[])?;
    let config = watched.config.as_deref().unwrap_or_default();
    let values = [number(watched.ticket), config.into()];
    database.exec("INSERT OR REPLACE INTO watch (id, ticket, config) VALUES (0, ?, ?)", &values)?;
    save_revocations(database, &watched.revocations)
}

pub fn end_watch(database: &Database) -> Result<(), StoreError> {
    database.exec("DELETE FROM watch", &[])?;
    database.exec("DELETE FROM revoked", &[])
}

pub fn save_revocations(database: &Database, revocations: &[Revocation]) -> Result<(), StoreError> {
    for revocation in revocations {
        let target = format!("{} {}", revocation.key_name, String::from(revocation.target.clone()));
        let values = [target.into(), number(revocation.forget_at_ms()), bytes(&pinned::encode(revocation))];
        database.exec("INSERT OR REPLACE INTO revoked (target, forget_at_ms, value) VALUES (?, ?, ?)", &values)?;
    }
    Ok(())
}

pub fn forget_revocations(database: &Database, now_ms: u64) -> Result<(), StoreError> {
    database.exec("DELETE FROM revoked WHERE forget_at_ms <= ?", &[number(now_ms)])
}

pub fn revocations(database: &Database) -> Result<Vec<Revocation>, StoreError> {
    let rows = database.rows("SELECT value FROM revoked", &[])?;
    rows.iter().map(|row| Ok(pinned::decode(&blob(row, "value"))?)).collect()
}

/// The relays that this one feeds, by channel.
pub fn followers(database: &Database) -> Result<Vec<(ChannelName, RelayName)>, StoreError> {
    if !database.has_table("followers")? {
        return Ok(Vec::new());
    }
    let rows = database.rows("SELECT channel, relay FROM followers", &[])?;
    let follower = |row| Some((ChannelName::parse(&text(row, "channel")).ok()?, RelayName::from(text(row, "relay"))));
    Ok(rows.iter().filter_map(follower).collect())
}

pub fn rows(database: &Database) -> Result<Vec<(RowId, Vec<u8>)>, StoreError> {
    if !database.has_table("attachments")? {
        return Ok(Vec::new());
    }
    let row = |row| {
        let (socket, number) = (integer(row, "socket") as u32, integer(row, "number") as u16);
        (RowId { socket: SocketId(socket), number }, blob(row, "value"))
    };
    Ok(database.rows("SELECT socket, number, value FROM attachments", &[])?.iter().map(row).collect())
}

pub fn change_rows(database: &Database, rows: &[(RowId, Option<Vec<u8>>)]) -> Result<(), StoreError> {
    database.exec(ROWS_SCHEMA, &[])?;
    for (RowId { socket, number }, value) in rows {
        let (socket, number) = (super::sql::number(socket.0.into()), super::sql::number((*number).into()));
        match value {
            Some(value) => {
                let values = [socket, number, bytes(value)];
                database
                    .exec("INSERT OR REPLACE INTO attachments (socket, number, value) VALUES (?, ?, ?)", &values)?;
            }
            None => database.exec("DELETE FROM attachments WHERE socket = ? AND number = ?", &[socket, number])?,
        }
    }
    Ok(())
}

/// There is nobody left whose they were.
pub fn clear_rows(database: &Database) -> Result<(), StoreError> {
    match database.has_table("attachments")? {
        true => database.exec("DELETE FROM attachments", &[]),
        false => Ok(()),
    }
}

pub fn add_follower(database: &Database, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
    database.exec(FOLLOWERS_SCHEMA, &[])?;
    let values = [channel.as_str().into(), relay.as_str().into()];
    database.exec("INSERT OR IGNORE INTO followers (channel, relay) VALUES (?, ?)", &values)
}

pub fn remove_follower(database: &Database, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
    let values = [channel.as_str().into(), relay.as_str().into()];
    database.exec("DELETE FROM followers WHERE channel = ? AND relay = ?", &values)
}
