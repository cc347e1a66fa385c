//! An app's storage in its object's SQLite. Its tables are made when something is first written: whoever asks for apps
//! that don't exist leaves nothing behind.

use super::push_storage;
use super::sql::{Database, blob, bytes, integer, number, text};
use crate::app::store::{StatsKind, Store, StoreError, Stored};
use crate::auth::{Ban, Revocation};
use crate::base::pinned;
use crate::limits::TIME_MAX_MS;
use crate::model::name::ChannelName;
use crate::rpc::{Note, RelayName};
use crate::stats::Tally;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS config (id INTEGER PRIMARY KEY, config TEXT NOT NULL, fixtures TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS nonces (key TEXT PRIMARY KEY, forget_at_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS revocations (target TEXT PRIMARY KEY, revision INTEGER NOT NULL,
                                            forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS watchers (relay TEXT PRIMARY KEY, ticket INTEGER NOT NULL, told INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS channels (name TEXT PRIMARY KEY, number INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS stats (kind INTEGER, minute INTEGER, reporter TEXT, revision INTEGER NOT NULL,
                                      tally BLOB NOT NULL, PRIMARY KEY (kind, minute, reporter)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS hooks (channel TEXT, hook TEXT, standing BLOB NOT NULL,
                                      PRIMARY KEY (channel, hook)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS dead (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
                                     channel TEXT NOT NULL, events BLOB NOT NULL);";

/// They did not number what channels say of being in use.
const LIST_OF_EARLIER_BUILDS: &str = "ALTER TABLE channels ADD COLUMN number INTEGER NOT NULL DEFAULT 0";

/// What an operator does. Made by the first that is done.
const ADMIN_SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS bans (subject TEXT PRIMARY KEY, revision INTEGER NOT NULL, ends_at INTEGER,
                                     value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS config_changes (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL);";

/// What no number is behind: that of the last millisecond of all.
const LIST_NUMBER_MAX: u64 = TIME_MAX_MS;

pub struct AppStore {
    pub(super) database: Database,
    has_schema: bool,
    has_push: bool,
    has_admin: bool,
}

impl AppStore {
    pub fn new(database: Database) -> AppStore {
        AppStore { database, has_schema: false, has_push: false, has_admin: false }
    }

    fn write(&mut self, query: &str, bindings: &[wasm_bindgen::JsValue]) -> Result<(), StoreError> {
        if !self.has_schema {
            self.database.exec(SCHEMA, &[])?;
            if !self.database.has_column("channels", "number")? {
                self.database.exec(LIST_OF_EARLIER_BUILDS, &[])?;
            }
            self.has_schema = true;
        }
        self.database.exec(query, bindings)
    }

    /// Whether there are tables for what an operator does.
    fn has_admin(&mut self) -> Result<bool, StoreError> {
        if !self.has_admin {
            self.has_admin = self.database.has_table("audit")?;
        }
        Ok(self.has_admin)
    }

    fn write_admin(&mut self, query: &str, bindings: &[wasm_bindgen::JsValue]) -> Result<(), StoreError> {
        if !self.has_admin()? {
            self.database.exec(ADMIN_SCHEMA, &[])?;
            self.has_admin = true;
        }
        self.database.exec(query, bindings)
    }

    fn config_revision(&mut self) -> Result<u64, StoreError> {
        if !self.has_admin()? {
            return Ok(0);
        }
        let rows = self.database.rows("SELECT revision FROM config_changes", &[])?;
        Ok(rows.first().map_or(0, |row| integer(row, "revision")))
    }

    /// Whether there are tables for push.
    pub(super) fn has_push(&mut self) -> Result<bool, StoreError> {
        if !self.has_push {
            self.has_push = self.database.has_table("vapid")?;
        }
        Ok(self.has_push)
    }

    /// Writes what push keeps, whose tables are made by the first that is.
    pub(super) fn write_push(&mut self, query: &str, bindings: &[wasm_bindgen::JsValue]) -> Result<(), StoreError> {
        if !self.has_push()? {
            self.database.exec(push_storage::SCHEMA, &[])?;
            self.has_push = true;
        }
        self.database.exec(query, bindings)
    }

    fn nonces(&self) -> Result<usize, StoreError> {
        let rows = self.database.rows("SELECT count(*) AS nonces FROM nonces", &[])?;
        Ok(rows.first().map_or(0, |row| integer(row, "nonces") as usize))
    }
}

impl Store for AppStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        // Those of an app of the deployment's own may be all that it keeps.
        let (bans, config_revision) = (self.bans_after(0, usize::MAX >> 1)?, self.config_revision()?);
        if !self.database.has_table("watchers")? {
            return Ok(Stored { bans, ..Stored::default() });
        }
        let watchers = self.database.rows("SELECT relay, ticket, told FROM watchers", &[])?;
        let watcher = |row| (RelayName::from(text(row, "relay")), integer(row, "ticket"), integer(row, "told"));
        Ok(Stored {
            config: self.database.rows("SELECT config FROM config", &[])?.first().map(|row| text(row, "config")),
            nonces: self.nonces()?,
            revocations: self.revocations_after(0, usize::MAX >> 1)?,
            bans,
            config_revision,
            watchers: watchers.iter().map(watcher).collect(),
        })
    }

    fn save_config(&mut self, config: &str, channels: &str) -> Result<(), StoreError> {
        let values = [config.into(), channels.into()];
        self.write("INSERT OR REPLACE INTO config (id, config, fixtures) VALUES (0, ?, ?)", &values)
    }

    fn channels(&mut self) -> Result<String, StoreError> {
        let rows = self.database.rows("SELECT fixtures FROM config", &[])?;
        Ok(rows.first().map(|row| text(row, "fixtures")).unwrap_or_default())
    }

    fn list(&mut self, channel: &ChannelName, active: bool, at: Option<u64>) -> Result<(), StoreError> {
        if !active && !self.database.has_table("channels")? {
            return Ok(());
        }
        let query = match active {
            true => {
                "INSERT INTO channels (name, number) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET number = excluded.number WHERE number < excluded.number"
            }
            false => "DELETE FROM channels WHERE name = ?1 AND number <= ?2",
        };
        // Without a number it counts as the last, to be taken off, and as the first, to be there.
        let at = number(at.unwrap_or(if active { 0 } else { LIST_NUMBER_MAX }));
        self.write(query, &[channel.as_str().into(), at])
    }

    fn forget_list(&mut self) -> Result<(), StoreError> {
        self.write("DELETE FROM channels", &[])
    }

    fn listed(&mut self, prefix: &str, after: &str, limit: usize) -> Result<String, StoreError> {
        if !self.database.has_table("channels")? {
            return Ok(String::new());
        }
        // No name goes on with the last of all characters.
        let query = "SELECT group_concat(name, char(10)) AS names FROM (
                        SELECT name FROM channels WHERE name >= ?1 AND name < ?1 || char(1114111) AND name > ?2
                        ORDER BY name LIMIT ?3)";
        let rows = self.database.rows(query, &[prefix.into(), after.into(), number(limit as u64)])?;
        Ok(rows.first().map(|row| text(row, "names")).unwrap_or_default())
    }

    fn add_nonce(&mut self, key: &str, forget_at_ms: u64) -> Result<bool, StoreError> {
        let before = "SELECT key FROM nonces WHERE key = ?";
        if self.database.has_table("nonces")? && !self.database.rows(before, &[key.into()])?.is_empty() {
            return Ok(false);
        }
        self.write("INSERT INTO nonces (key, forget_at_ms) VALUES (?, ?)", &[key.into(), number(forget_at_ms)])?;
        Ok(true)
    }

    fn forget_nonces(&mut self, now_ms: u64) -> Result<usize, StoreError> {
        self.write("DELETE FROM nonces WHERE forget_at_ms <= ?", &[number(now_ms)])?;
        self.nonces()
    }

    fn save_revocation(&mut self, revision: u64, revocation: &Revocation) -> Result<(), StoreError> {
        let target = format!("{} {}", revocation.key_name, String::from(revocation.target.clone()));
        let (forget_at_ms, value) = (number(revocation.forget_at_ms()), bytes(&pinned::encode(revocation)));
        let query = "INSERT OR REPLACE INTO revocations (target, revision, forget_at_ms, value) VALUES (?, ?, ?, ?)";
        self.write(query, &[target.into(), number(revision), forget_at_ms, value])
    }

    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        self.write("DELETE FROM revocations WHERE forget_at_ms <= ?", &[number(now_ms)])
    }

    fn revocations_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Revocation)>, StoreError> {
        if !self.database.has_table("revocations")? {
            return Ok(Vec::new());
        }
        let query = "SELECT revision, value FROM revocations WHERE revision > ? ORDER BY revision LIMIT ?";
        let rows = self.database.rows(query, &[number(revision), number(limit as u64)])?;
        let revocation = |row| Ok((integer(row, "revision"), pinned::decode(&blob(row, "value"))?));
        rows.iter().map(revocation).collect()
    }

    fn save_config_revision(&mut self, revision: u64) -> Result<(), StoreError> {
        let query = "INSERT OR REPLACE INTO config_changes (id, revision) VALUES (0, ?)";
        self.write_admin(query, &[number(revision)])
    }

    fn save_ban(&mut self, revision: u64, ban: &Ban) -> Result<(), StoreError> {
        let ends_at = ban.until_ms.map_or(wasm_bindgen::JsValue::NULL, number);
        let values = [ban.key().into(), number(revision), ends_at, bytes(&pinned::encode(ban))];
        self.write_admin("INSERT OR REPLACE INTO bans (subject, revision, ends_at, value) VALUES (?, ?, ?, ?)", &values)
    }

    fn forget_bans(&mut self, now_ms: u64, through: u64) -> Result<(), StoreError> {
        if !self.has_admin()? {
            return Ok(());
        }
        let query = "DELETE FROM bans WHERE ends_at <= ? AND revision <= ?";
        self.database.exec(query, &[number(now_ms), number(through)])
    }

    fn bans_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Ban)>, StoreError> {
        if !self.has_admin()? {
            return Ok(Vec::new());
        }
        let query = "SELECT revision, value FROM bans WHERE revision > ? ORDER BY revision LIMIT ?";
        let rows = self.database.rows(query, &[number(revision), number(limit as u64)])?;
        rows.iter().map(|row| Ok((integer(row, "revision"), pinned::decode(&blob(row, "value"))?))).collect()
    }

    fn bans_behind(&mut self, key: &str, limit: usize) -> Result<Vec<Ban>, StoreError> {
        if !self.has_admin()? {
            return Ok(Vec::new());
        }
        let query = "SELECT value FROM bans WHERE subject > ? AND ends_at IS NOT 0 ORDER BY subject LIMIT ?";
        let rows = self.database.rows(query, &[key.into(), number(limit as u64)])?;
        rows.iter().map(|row| Ok(pinned::decode(&blob(row, "value"))?)).collect()
    }

    fn add_note(&mut self, note: &Note, keep: usize) -> Result<(), StoreError> {
        self.write_admin("INSERT INTO audit (value) VALUES (?)", &[bytes(&pinned::encode(note))])?;
        let query = "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?";
        self.database.exec(query, &[number(keep as u64)])
    }

    fn notes(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, Note)>, StoreError> {
        if !self.has_admin()? {
            return Ok(Vec::new());
        }
        let query = "SELECT number, value FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?";
        let rows = self.database.rows(query, &[number(before), number(limit as u64)])?;
        rows.iter().map(|row| Ok((integer(row, "number"), pinned::decode(&blob(row, "value"))?))).collect()
    }

    fn save_watcher(&mut self, relay: &RelayName, ticket: u64, told: u64) -> Result<(), StoreError> {
        let values = [relay.as_str().into(), number(ticket), number(told)];
        self.write("INSERT OR REPLACE INTO watchers (relay, ticket, told) VALUES (?, ?, ?)", &values)
    }

    fn remove_watcher(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.write("DELETE FROM watchers WHERE relay = ?", &[relay.as_str().into()])
    }

    fn put_stats(
        &mut self,
        kind: StatsKind,
        minute: u64,
        reporter: &str,
        revision: u64,
        tally: &Tally,
    ) -> Result<(), StoreError> {
        let query = "INSERT INTO stats (kind, minute, reporter, revision, tally) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET revision = excluded.revision, tally = excluded.tally
                     WHERE excluded.revision >= revision";
        let tally = bytes(&pinned::encode(tally));
        self.write(query, &[number(kind as u64), number(minute), reporter.into(), number(revision), tally])
    }

    fn reported(&mut self, minute: u64, reporter: &str) -> Result<Option<(u64, Tally)>, StoreError> {
        if !self.database.has_table("stats")? {
            return Ok(None);
        }
        let query = "SELECT revision, tally FROM stats WHERE kind = ? AND minute = ? AND reporter = ?";
        let values = [number(StatsKind::Open as u64), number(minute), reporter.into()];
        let rows = self.database.rows(query, &values)?;
        let known = |row| Ok((integer(row, "revision"), pinned::decode(&blob(row, "tally"))?));
        rows.first().map(known).transpose()
    }

    fn stats(
        &mut self,
        kind: StatsKind,
        (from, behind): (u64, Option<&str>),
        through: u64,
        limit: usize,
    ) -> Result<Vec<(u64, String, Tally)>, StoreError> {
        if !self.database.has_table("stats")? {
            return Ok(Vec::new());
        }
        let first = if behind.is_some() { "(minute, reporter) > (?2, ?3)" } else { "minute >= ?2 AND ?3 = ''" };
        let query = "SELECT minute, reporter, tally FROM stats WHERE kind = ?1 AND minute <= ?4 AND ";
        let order = " ORDER BY minute, reporter LIMIT ?5";
        let values = [number(kind as u64), number(from), behind.unwrap_or_default().into(), number(through)];
        let rows =
            self.database.rows(&[query, first, order].concat(), &[&values[..], &[number(limit as u64)]].concat())?;
        let tally = |row| Ok((integer(row, "minute"), text(row, "reporter"), pinned::decode(&blob(row, "tally"))?));
        rows.iter().map(tally).collect()
    }

    fn drop_stats(&mut self, kind: StatsKind, through: u64) -> Result<(), StoreError> {
        let query = "DELETE FROM stats WHERE kind = ? AND minute <= ?";
        self.write(query, &[number(kind as u64), number(through)])
    }

    fn save_standing(&mut self, channel: &str, hook: &str, standing: &[u8], max: usize) -> Result<(), StoreError> {
        let values = [channel.into(), hook.into(), bytes(standing)];
        self.write("INSERT OR REPLACE INTO hooks (channel, hook, standing) VALUES (?, ?, ?)", &values)?;
        let query = "DELETE FROM hooks WHERE (channel, hook) IN (SELECT channel, hook FROM hooks
                     WHERE (channel, hook) <> (?1, ?2) LIMIT MAX((SELECT COUNT(*) FROM hooks) - ?3, 0))";
        self.write(query, &[channel.into(), hook.into(), number(max as u64)])
    }

    fn remove_standing(&mut self, channel: &str, hook: &str) -> Result<(), StoreError> {
        self.write("DELETE FROM hooks WHERE channel = ? AND hook = ?", &[channel.into(), hook.into()])
    }

    fn standings(&mut self) -> Result<Vec<(String, String, Vec<u8>)>, StoreError> {
        if !self.database.has_table("hooks")? {
            return Ok(Vec::new());
        }
        let rows = self.database.rows("SELECT channel, hook, standing FROM hooks ORDER BY channel, hook", &[])?;
        Ok(rows.iter().map(|row| (text(row, "channel"), text(row, "hook"), blob(row, "standing"))).collect())
    }

    fn add_dead(&mut self, key: &str, channel: &str, dead: &[u8], max: usize) -> Result<(), StoreError> {
        let query = "INSERT OR IGNORE INTO dead (key, channel, events) VALUES (?, ?, ?)";
        self.write(query, &[key.into(), channel.into(), bytes(dead)])?;
        let query = "DELETE FROM dead WHERE number <= (SELECT MAX(number) FROM dead) - ?";
        self.write(query, &[number(max as u64)])
    }

    fn forget_dead(&mut self, channel: Option<&str>) -> Result<(), StoreError> {
        if !self.database.has_table("dead")? {
            return Ok(());
        }
        let channel = channel.map_or(wasm_bindgen::JsValue::NULL, wasm_bindgen::JsValue::from);
        for what in ["UPDATE dead SET events = zeroblob(length(events))", "DELETE FROM dead"] {
            self.write(&format!("{what} WHERE ?1 IS NULL OR channel = ?1"), std::slice::from_ref(&channel))?;
        }
        Ok(())
    }

    fn dead(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, String, Vec<u8>)>, StoreError> {
        if !self.database.has_table("dead")? {
            return Ok(Vec::new());
        }
        let query = "SELECT number, channel, events FROM dead WHERE number < ? ORDER BY number DESC LIMIT ?";
        let rows = self.database.rows(query, &[number(before.min(1 << 53)), number(limit as u64)])?;
        Ok(rows.iter().map(|row| (integer(row, "number"), text(row, "channel"), blob(row, "events"))).collect())
    }
}
