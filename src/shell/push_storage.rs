//! Push in an app's SQLite: devices, subscriptions, and what waits to be delivered.

use wasm_bindgen::JsValue;

use super::app_storage::AppStore;
use super::sql::{blob, bytes, integer, number, text};
use crate::app::push::Waiting;
use crate::app::push::store::{Store, StoreError};
use crate::base::pinned;
use crate::push::{Device, Subscriber, Subscription};
use crate::rpc::{DevicesQuery, SubscriptionsQuery};

/// A push that is not spread yet has a row in no index but its own; a send is found by its time, and by its push.
pub const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS devices (id TEXT PRIMARY KEY, client TEXT, state TEXT NOT NULL, value BLOB NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS devices_by_client ON devices (client, id);
    CREATE TABLE IF NOT EXISTS subscriptions (channel TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
                                              PRIMARY KEY (channel, kind, target)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS subscriptions_by_target ON subscriptions (kind, target);
    CREATE TABLE IF NOT EXISTS pushes (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, spread INTEGER NOT NULL,
                                       value BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS pushes_by_spread ON pushes (spread, id);
    CREATE TABLE IF NOT EXISTS sends (id INTEGER PRIMARY KEY, push TEXT NOT NULL, device TEXT NOT NULL,
                                      tries INTEGER NOT NULL, due_ms INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS sends_by_time ON sends (due_ms);
    CREATE INDEX IF NOT EXISTS sends_by_push ON sends (push);
    CREATE TABLE IF NOT EXISTS vapid (id INTEGER PRIMARY KEY, value BLOB NOT NULL);";

/// Made by the first that is written, as there are apps that have the tables above from before.
const PERMITS: &str =
    "CREATE TABLE IF NOT EXISTS permits (service TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

const TABLES: [&str; 5] = ["devices", "subscriptions", "pushes", "sends", "vapid"];

/// Conditions of a query that is put together, with what they compare to.
#[derive(Default)]
struct Filter {
    conditions: Vec<&'static str>,
    values: Vec<JsValue>,
}

impl Filter {
    fn and(&mut self, condition: &'static str, values: impl IntoIterator<Item = JsValue>) {
        self.conditions.push(condition);
        self.values.extend(values);
    }

    fn condition(&self) -> String {
        if self.conditions.is_empty() { "1".to_owned() } else { self.conditions.join(" AND ") }
    }
}

impl AppStore {
    /// Reads: nothing, as long as there are no tables.
    fn push_rows(&mut self, query: &str, bindings: &[JsValue]) -> Result<Vec<JsValue>, StoreError> {
        if self.has_push()? { self.database.rows(query, bindings) } else { Ok(Vec::new()) }
    }

    fn push_texts(&mut self, query: &str, bindings: &[JsValue]) -> Result<Vec<String>, StoreError> {
        Ok(self.push_rows(query, bindings)?.iter().map(|row| text(row, "found")).collect())
    }

    fn push_count(&mut self, table: &str) -> Result<usize, StoreError> {
        let rows = self.push_rows(&["SELECT count(*) AS found FROM ", table].concat(), &[])?;
        Ok(rows.first().map_or(0, |row| integer(row, "found") as usize))
    }

    /// The first column of the first row.
    fn push_blob(&mut self, query: &str, bindings: &[JsValue]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.push_rows(query, bindings)?.first().map(|row| blob(row, "value")))
    }
}

impl Store for AppStore {
    fn device(&mut self, id: &str) -> Result<Option<Device>, StoreError> {
        let value = self.push_blob("SELECT value FROM devices WHERE id = ?", &[id.into()])?;
        Ok(value.map(|value| pinned::decode(&value)).transpose()?)
    }

    fn devices(&mut self, query: &DevicesQuery) -> Result<Vec<Device>, StoreError> {
        let mut filter = Filter::default();
        filter.and("id > ?", [query.after.as_str().into()]);
        let texts = [("id = ?", &query.device_id), ("client = ?", &query.client_id), ("state = ?", &query.state)];
        for (condition, text) in texts {
            text.iter().for_each(|text| filter.and(condition, [text.as_str().into()]));
        }
        filter.values.push(number(query.limit as u64));
        let query = format!("SELECT value FROM devices WHERE {} ORDER BY id LIMIT ?", filter.condition());
        let rows = self.push_rows(&query, &filter.values)?;
        rows.iter().map(|row| Ok(pinned::decode(&blob(row, "value"))?)).collect()
    }

    fn save_device(&mut self, device: &Device) -> Result<(), StoreError> {
        let client = device.client_id.as_deref().map_or(JsValue::NULL, JsValue::from);
        let values = [device.id.as_str().into(), client, device.state.name().into(), bytes(&pinned::encode(device))];
        self.write_push("INSERT OR REPLACE INTO devices (id, client, state, value) VALUES (?, ?, ?, ?)", &values)
    }

    fn remove_device(&mut self, id: &str) -> Result<(), StoreError> {
        self.write_push("DELETE FROM devices WHERE id = ?", &[id.into()])?;
        self.write_push("DELETE FROM subscriptions WHERE kind = 'd' AND target = ?", &[id.into()])
    }

    fn count_devices(&mut self) -> Result<usize, StoreError> {
        self.push_count("devices")
    }

    fn subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<Vec<Subscription>, StoreError> {
        let mut filter = of_subscriptions(query);
        if let Some(after) = &query.after {
            let (kind, target) = columns(&after.subscriber);
            let values = [after.channel.as_str().into(), kind.into(), target.into()];
            filter.and("(channel, kind, target) > (?, ?, ?)", values);
        }
        filter.values.push(number(query.limit as u64));
        let query = format!(
            "SELECT channel, kind, target FROM subscriptions WHERE {} ORDER BY channel, kind, target LIMIT ?",
            filter.condition()
        );
        let rows = self.push_rows(&query, &filter.values)?;
        let subscription = |row| {
            let target = text(row, "target");
            let subscriber =
                if text(row, "kind") == "d" { Subscriber::Device(target) } else { Subscriber::Client(target) };
            Subscription { channel: text(row, "channel"), subscriber }
        };
        Ok(rows.iter().map(subscription).collect())
    }

    fn save_subscription(&mut self, subscription: &Subscription) -> Result<(), StoreError> {
        let (kind, target) = columns(&subscription.subscriber);
        let values = [subscription.channel.as_str().into(), kind.into(), target.into()];
        self.write_push("INSERT OR IGNORE INTO subscriptions (channel, kind, target) VALUES (?, ?, ?)", &values)
    }

    fn remove_subscriptions(&mut self, query: &SubscriptionsQuery) -> Result<usize, StoreError> {
        let filter = of_subscriptions(query);
        let of = format!("FROM subscriptions WHERE {}", filter.condition());
        let rows = self.push_rows(&["SELECT count(*) AS found ", &of].concat(), &filter.values)?;
        self.write_push(&["DELETE ", &of].concat(), &filter.values)?;
        Ok(rows.first().map_or(0, |row| integer(row, "found") as usize))
    }

    fn count_subscriptions(&mut self) -> Result<usize, StoreError> {
        self.push_count("subscriptions")
    }

    fn subscribed_channels(&mut self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let query = "SELECT DISTINCT channel AS found FROM subscriptions WHERE channel > ? ORDER BY channel LIMIT ?";
        self.push_texts(query, &[after.into(), number(limit as u64)])
    }

    fn direct(&mut self, channel: &str, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let query = "SELECT target AS found FROM subscriptions WHERE channel = ? AND kind = 'd' AND target > ?
                     ORDER BY target LIMIT ?";
        self.push_texts(query, &[channel.into(), after.into(), number(limit as u64)])
    }

    fn by_client(
        &mut self,
        channel: &str,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let query = "SELECT s.target AS client, d.id AS id FROM subscriptions s JOIN devices d ON d.client = s.target
                     WHERE s.channel = ?1 AND s.kind = 'c' AND s.target >= ?2 AND (s.target, d.id) > (?2, ?3)
                     AND NOT EXISTS (SELECT 1 FROM subscriptions o
                                     WHERE o.channel = ?1 AND o.kind = 'd' AND o.target = d.id)
                     ORDER BY s.target, d.id LIMIT ?4";
        let bindings = [channel.into(), after.0.into(), after.1.into(), number(limit as u64)];
        let rows = self.push_rows(query, &bindings)?;
        Ok(rows.iter().map(|row| (text(row, "client"), text(row, "id"))).collect())
    }

    fn add_push(&mut self, key: &str, push: &[u8]) -> Result<bool, StoreError> {
        if !self.push_rows("SELECT 1 AS found FROM pushes WHERE key = ?", &[key.into()])?.is_empty() {
            return Ok(false);
        }
        self.write_push("INSERT INTO pushes (key, spread, value) VALUES (?, 0, ?)", &[key.into(), bytes(push)])?;
        Ok(true)
    }

    fn save_push(&mut self, key: &str, push: &[u8], is_spread: bool) -> Result<(), StoreError> {
        let values = [bytes(push), number(is_spread.into()), key.into()];
        self.write_push("UPDATE pushes SET value = ?, spread = ? WHERE key = ?", &values)
    }

    fn push(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.push_blob("SELECT value FROM pushes WHERE key = ?", &[key.into()])
    }

    fn unspread(&mut self) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let rows = self.push_rows("SELECT key, value FROM pushes WHERE spread = 0 ORDER BY id LIMIT 1", &[])?;
        Ok(rows.first().map(|row| (text(row, "key"), blob(row, "value"))))
    }

    fn end_push(&mut self, key: &str) -> Result<bool, StoreError> {
        let query = "SELECT 1 AS found FROM pushes p WHERE key = ? AND spread = 1
                     AND NOT EXISTS (SELECT 1 FROM sends WHERE push = p.key)";
        if self.push_rows(query, &[key.into()])?.is_empty() {
            return Ok(false);
        }
        self.write_push("DELETE FROM pushes WHERE key = ?", &[key.into()])?;
        Ok(true)
    }

    fn count_pushes(&mut self) -> Result<usize, StoreError> {
        self.push_count("pushes")
    }

    fn add_send(&mut self, push: &str, device: &str, due_ms: u64) -> Result<(), StoreError> {
        let values = [push.into(), device.into(), number(due_ms)];
        self.write_push("INSERT INTO sends (push, device, tries, due_ms) VALUES (?, ?, 0, ?)", &values)
    }

    fn due_sends(&mut self, now_ms: u64, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        let query = "SELECT id, push, device, tries FROM sends WHERE due_ms <= ? ORDER BY due_ms, id LIMIT ?";
        Ok(self.push_rows(query, &[number(now_ms), number(limit as u64)])?.iter().map(waiting).collect())
    }

    fn send(&mut self, id: u64) -> Result<Option<Waiting>, StoreError> {
        let rows = self.push_rows("SELECT id, push, device, tries FROM sends WHERE id = ?", &[number(id)])?;
        Ok(rows.first().map(waiting))
    }

    fn save_send(&mut self, id: u64, tries: u64, due_ms: u64) -> Result<(), StoreError> {
        let values = [number(tries), number(due_ms), number(id)];
        self.write_push("UPDATE sends SET tries = ?, due_ms = ? WHERE id = ?", &values)
    }

    fn remove_send(&mut self, id: u64) -> Result<(), StoreError> {
        self.write_push("DELETE FROM sends WHERE id = ?", &[number(id)])
    }

    fn count_sends(&mut self) -> Result<usize, StoreError> {
        self.push_count("sends")
    }

    fn next_send(&mut self) -> Result<Option<u64>, StoreError> {
        let rows = self.push_rows("SELECT due_ms FROM sends ORDER BY due_ms LIMIT 1", &[])?;
        Ok(rows.first().map(|row| integer(row, "due_ms")))
    }

    fn vapid(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.push_blob("SELECT value FROM vapid", &[])
    }

    fn save_vapid(&mut self, keys: &[u8]) -> Result<(), StoreError> {
        self.write_push("INSERT OR REPLACE INTO vapid (id, value) VALUES (0, ?)", &[bytes(keys)])
    }

    fn permit(&mut self, service: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.database.has_table("permits")? {
            true => self.push_blob("SELECT value FROM permits WHERE service = ?", &[service.into()]),
            false => Ok(None),
        }
    }

    fn save_permit(&mut self, service: &str, permit: &[u8]) -> Result<(), StoreError> {
        self.database.exec(PERMITS, &[])?;
        let query = "INSERT OR REPLACE INTO permits (service, value) VALUES (?, ?)";
        self.write_push(query, &[service.into(), bytes(permit)])
    }

    fn forget_push(&mut self) -> Result<(), StoreError> {
        if self.database.has_table("permits")? {
            self.write_push("DELETE FROM permits", &[])?;
        }
        match self.has_push()? {
            true => TABLES.iter().try_for_each(|table| self.write_push(&["DELETE FROM ", table].concat(), &[])),
            false => Ok(()),
        }
    }
}

fn waiting(row: &JsValue) -> Waiting {
    Waiting {
        id: integer(row, "id"),
        push: text(row, "push"),
        device: text(row, "device"),
        tries: integer(row, "tries"),
    }
}

fn columns(subscriber: &Subscriber) -> (&'static str, &str) {
    match subscriber {
        Subscriber::Client(id) => ("c", id),
        Subscriber::Device(id) => ("d", id),
    }
}

fn of_subscriptions(query: &SubscriptionsQuery) -> Filter {
    const DEVICE: &str = "(kind = 'd' AND target = ?)";
    const CLIENT: &str = "(kind = 'c' AND target = ?)";
    let mut filter = Filter::default();
    query.channel.iter().for_each(|channel| filter.and("channel = ?", [channel.as_str().into()]));
    match (&query.device_id, &query.client_id) {
        (Some(device), Some(client)) if query.is_either => {
            let either = "((kind = 'd' AND target = ?) OR (kind = 'c' AND target = ?))";
            filter.and(either, [device.as_str().into(), client.as_str().into()]);
        }
        (device, client) => {
            device.iter().for_each(|id| filter.and(DEVICE, [id.as_str().into()]));
            client.iter().for_each(|id| filter.and(CLIENT, [id.as_str().into()]));
        }
    }
    filter
}
