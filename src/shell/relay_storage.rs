//! What a relay keeps in its object's SQLite.

use wasm_bindgen::JsValue;

use super::platform::random_bytes;
use super::sql::{Database, blob, bytes, integer, number, text};
use super::storage::SqlStore;
use crate::auth::{Ban, Revocation};
use crate::base::pinned;
use crate::model::name::ChannelName;
use crate::object::store::{RelayStore, StoreError, Watch};
use crate::relay::SocketId;
use crate::relay::record::RowId;
use crate::rpc::{RelayName, Watching};

const SECRET_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY, value BLOB NOT NULL)";

/// `ticket` is 0 while the watch is in doubt, and `config` empty for an app of the deployment's own. A revocation is
/// keyed by what it ends.
const WATCH_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS watch
        (id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL, config TEXT NOT NULL, told INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS revoked (target TEXT PRIMARY KEY, forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL);";

/// Earlier builds took what they were told in any order.
const WATCH_OF_EARLIER_BUILDS: &str = "ALTER TABLE watch ADD COLUMN told INTEGER NOT NULL DEFAULT 0";

/// By whom they keep out of what. Made by the first ban.
const BANS_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS banned
    (subject TEXT PRIMARY KEY, ends_at INTEGER, value BLOB NOT NULL) WITHOUT ROWID";

const FOLLOWERS_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS followers
    (channel TEXT NOT NULL, relay TEXT NOT NULL, PRIMARY KEY (channel, relay)) WITHOUT ROWID";

/// What sockets can't carry, by their number and that of the row.
const ROWS_SCHEMA: &str = "CREATE TABLE IF NOT EXISTS attachments
    (socket INTEGER, number INTEGER, value BLOB NOT NULL, PRIMARY KEY (socket, number)) WITHOUT ROWID";

impl RelayStore for SqlStore {
    fn secret(&mut self) -> Result<Vec<u8>, StoreError> {
        let database = self.database();
        database.exec(SECRET_SCHEMA, &[])?;
        let rows = database.rows("SELECT value FROM secret", &[])?;
        if let Some(secret) = rows.first().map(|row| blob(row, "value")) {
            return Ok(secret);
        }
        let secret = random_bytes::<32>();
        database.exec("INSERT INTO secret (id, value) VALUES (0, ?)", &[bytes(&secret)])?;
        Ok(secret.to_vec())
    }

    fn watch(&mut self) -> Result<Option<Watch>, StoreError> {
        if !self.database().has_table("watch")? {
            return Ok(None);
        }
        let rows = self.database().rows("SELECT * FROM watch", &[])?;
        let watch = |row| Watch {
            ticket: Some(integer(row, "ticket")).filter(|ticket| *ticket > 0),
            config: Some(text(row, "config")).filter(|config| !config.is_empty()),
            told: integer(row, "told"),
        };
        Ok(rows.first().map(watch))
    }

    /// All or nothing: with the watch and without what it says, whoever is kept out would come in.
    fn begin_watch(&mut self, watching: &Watching) -> Result<(), StoreError> {
        let (database, watching) = (self.database().clone(), watching.clone());
        self.database().transaction(move || begin_watch(&database, &watching))
    }

    fn save_config(&mut self, config: &str) -> Result<(), StoreError> {
        self.database().exec("UPDATE watch SET config = ?", &[config.into()])
    }

    fn save_told(&mut self, through: u64) -> Result<(), StoreError> {
        complete_watch(self.database())?;
        self.database().exec("UPDATE watch SET told = ?", &[number(through)])
    }

    fn doubt_watch(&mut self) -> Result<(), StoreError> {
        self.database().exec("UPDATE watch SET ticket = 0", &[])
    }

    /// The watch first: should the rest fail, too many are kept out, and not too few.
    fn end_watch(&mut self) -> Result<(), StoreError> {
        self.database().exec("DELETE FROM watch", &[])?;
        self.database().exec("DELETE FROM revoked", &[])?;
        clear_bans(self.database())
    }

    fn revocations(&mut self) -> Result<Vec<Revocation>, StoreError> {
        let rows = self.database().rows("SELECT value FROM revoked", &[])?;
        rows.iter().map(|row| Ok(pinned::decode(&blob(row, "value"))?)).collect()
    }

    fn save_revocations(&mut self, revocations: &[Revocation]) -> Result<(), StoreError> {
        save_revocations(self.database(), revocations)
    }

    fn bans(&mut self) -> Result<Vec<Ban>, StoreError> {
        if !self.database().has_table("banned")? {
            return Ok(Vec::new());
        }
        let rows = self.database().rows("SELECT value FROM banned", &[])?;
        rows.iter().map(|row| Ok(pinned::decode(&blob(row, "value"))?)).collect()
    }

    fn save_bans(&mut self, bans: &[Ban]) -> Result<(), StoreError> {
        save_bans(self.database(), bans)
    }

    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        if self.database().has_table("banned")? {
            self.database().exec("DELETE FROM banned WHERE ends_at <= ?", &[number(now_ms)])?;
        }
        self.database().exec("DELETE FROM revoked WHERE forget_at_ms <= ?", &[number(now_ms)])
    }

    fn followers(&mut self) -> Result<Vec<(ChannelName, RelayName)>, StoreError> {
        if !self.database().has_table("followers")? {
            return Ok(Vec::new());
        }
        let rows = self.database().rows("SELECT channel, relay FROM followers", &[])?;
        let follower =
            |row| Some((ChannelName::parse(&text(row, "channel")).ok()?, RelayName::from(text(row, "relay"))));
        Ok(rows.iter().filter_map(follower).collect())
    }

    fn add_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        self.database().exec(FOLLOWERS_SCHEMA, &[])?;
        let values = [channel.as_str().into(), relay.as_str().into()];
        self.database().exec("INSERT OR IGNORE INTO followers (channel, relay) VALUES (?, ?)", &values)
    }

    fn remove_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        let values = [channel.as_str().into(), relay.as_str().into()];
        self.database().exec("DELETE FROM followers WHERE channel = ? AND relay = ?", &values)
    }

    fn rows(&mut self) -> Result<Vec<(RowId, Vec<u8>)>, StoreError> {
        if !self.database().has_table("attachments")? {
            return Ok(Vec::new());
        }
        let row = |row| {
            let (socket, number) = (integer(row, "socket") as u32, integer(row, "number") as u16);
            (RowId { socket: SocketId(socket), number }, blob(row, "value"))
        };
        Ok(self.database().rows("SELECT socket, number, value FROM attachments", &[])?.iter().map(row).collect())
    }

    fn change_rows(&mut self, rows: &[(RowId, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        self.database().exec(ROWS_SCHEMA, &[])?;
        for (id, value) in rows {
            let (socket, row) = (number(id.socket.0.into()), number(id.number.into()));
            let (query, values) = match value {
                Some(value) => (
                    "INSERT OR REPLACE INTO attachments (socket, number, value) VALUES (?, ?, ?)",
                    vec![socket, row, bytes(value)],
                ),
                None => ("DELETE FROM attachments WHERE socket = ? AND number = ?", vec![socket, row]),
            };
            self.database().exec(query, &values)?;
        }
        Ok(())
    }

    fn kept(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        named(self.database(), "kept", "client")
    }

    fn change_kept(&mut self, kept: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        change_named(self.database(), ("kept", "client"), kept)
    }

    fn lives(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        named(self.database(), "lives", "connection")
    }

    fn change_lives(&mut self, lives: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        change_named(self.database(), ("lives", "connection"), lives)
    }

    fn clear_rows(&mut self) -> Result<(), StoreError> {
        match self.database().has_table("attachments")? {
            true => self.database().exec("DELETE FROM attachments", &[]),
            false => Ok(()),
        }
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.clear_all()
    }
}

fn begin_watch(database: &Database, Watching { watched, bans }: &Watching) -> Result<(), StoreError> {
    database.exec(WATCH_SCHEMA, &[])?;
    complete_watch(database)?;
    clear_bans(database)?;
    save_bans(database, bans)?;
    let config = watched.config.as_deref().unwrap_or_default();
    let values = [number(watched.ticket), config.into()];
    database.exec("INSERT OR REPLACE INTO watch (id, ticket, config, told) VALUES (0, ?, ?, 0)", &values)?;
    save_revocations(database, &watched.revocations)
}

fn complete_watch(database: &Database) -> Result<(), StoreError> {
    match database.has_column("watch", "told")? {
        true => Ok(()),
        false => database.exec(WATCH_OF_EARLIER_BUILDS, &[]),
    }
}

fn save_revocations(database: &Database, revocations: &[Revocation]) -> Result<(), StoreError> {
    for revocation in revocations {
        let target = format!("{} {}", revocation.key_name, String::from(revocation.target.clone()));
        let values = [target.into(), number(revocation.forget_at_ms()), bytes(&pinned::encode(revocation))];
        let query = "INSERT OR REPLACE INTO revoked (target, forget_at_ms, value) VALUES (?, ?, ?)";
        database.exec(query, &values)?;
    }
    Ok(())
}

fn save_bans(database: &Database, bans: &[Ban]) -> Result<(), StoreError> {
    if bans.is_empty() {
        return Ok(());
    }
    database.exec(BANS_SCHEMA, &[])?;
    for ban in bans {
        let values = [ban.key().into(), ban.until_ms.map_or(JsValue::NULL, number), bytes(&pinned::encode(ban))];
        database.exec("INSERT OR REPLACE INTO banned (subject, ends_at, value) VALUES (?, ?, ?)", &values)?;
    }
    database.exec("DELETE FROM banned WHERE ends_at = 0", &[])
}

fn clear_bans(database: &Database) -> Result<(), StoreError> {
    match database.has_table("banned")? {
        true => database.exec("DELETE FROM banned", &[]),
        false => Ok(()),
    }
}

/// All of a table of values by their names.
fn named(database: &Database, table: &str, key: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    if !database.has_table(table)? {
        return Ok(Vec::new());
    }
    let rows = database.rows(&format!("SELECT {key}, value FROM {table}"), &[])?;
    Ok(rows.iter().map(|row| (text(row, key), blob(row, "value"))).collect())
}

/// Writes values, and makes the table where there is none; those without a value go.
fn change_named(
    database: &Database,
    (table, key): (&str, &str),
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<(), StoreError> {
    let schema =
        format!("CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID");
    database.exec(&schema, &[])?;
    for (name, value) in changes {
        let name = name.as_str().into();
        match value {
            Some(value) => {
                let query = format!("INSERT OR REPLACE INTO {table} ({key}, value) VALUES (?, ?)");
                database.exec(&query, &[name, bytes(value)])?;
            }
            None => database.exec(&format!("DELETE FROM {table} WHERE {key} = ?"), &[name])?,
        }
    }
    Ok(())
}
