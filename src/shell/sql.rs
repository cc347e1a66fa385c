//! An object's SQLite: statements, and reading columns of rows.

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::console_error;

use super::platform::{ObjectStorage, Sql, describe};
use crate::base::storage::StoreError;

#[derive(Clone)]
pub struct Database {
    storage: ObjectStorage,
    sql: Sql,
}

impl Database {
    pub fn new(storage: ObjectStorage) -> Database {
        Database { sql: storage.sql(), storage }
    }

    /// Keeps all that `writes` writes, or nothing when it fails.
    pub fn transaction(&self, mut writes: impl FnMut() -> Result<(), StoreError> + 'static) -> Result<(), StoreError> {
        let writes = Closure::new(move || writes().map_err(|error| JsValue::from_str(&error.0)));
        self.storage.transaction_sync(&writes).map_err(failed)
    }

    /// Lets go of all that is stored. A failure that is told later leaves it as it was, and is for our log.
    pub fn clear(&self) -> Result<(), StoreError> {
        let cleared = self.storage.delete_all().map_err(failed)?;
        spawn_local(async move { drop(JsFuture::from(cleared).await.map_err(failed)) });
        Ok(())
    }

    pub fn exec(&self, query: &str, bindings: &[JsValue]) -> Result<(), StoreError> {
        self.sql.exec(query, &Array::from_iter(bindings)).map(drop).map_err(failed)
    }

    pub fn rows(&self, query: &str, bindings: &[JsValue]) -> Result<Vec<JsValue>, StoreError> {
        let cursor = self.sql.exec(query, &Array::from_iter(bindings));
        let rows = cursor.and_then(|cursor| cursor.to_array()).map_err(failed)?;
        Ok(rows.to_vec())
    }

    /// Whether there is such a table. To ask writes nothing, so an object that is only asked keeps no storage.
    pub fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?";
        Ok(!self.rows(query, &[name.into()])?.is_empty())
    }

    /// Whether a table has a column, which an earlier build may not have given it.
    pub fn has_column(&self, table: &str, column: &str) -> Result<bool, StoreError> {
        let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ? AND instr(sql, ?) > 0";
        Ok(!self.rows(query, &[table.into(), column.into()])?.is_empty())
    }
}

/// What failed is for our log: clients are told only that something did.
fn failed(error: JsValue) -> StoreError {
    console_error!("storage failed: {}", describe(&error));
    StoreError("storage failed".to_owned())
}

/// Exact: what we store stays below 2^53.
pub fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

pub fn bytes(value: &[u8]) -> JsValue {
    Uint8Array::from(value).into()
}

pub fn integer(row: &JsValue, name: &str) -> u64 {
    column(row, name).as_f64().unwrap_or_default() as u64
}

pub fn text(row: &JsValue, name: &str) -> String {
    column(row, name).as_string().unwrap_or_default()
}

pub fn blob(row: &JsValue, name: &str) -> Vec<u8> {
    let value = column(row, name);
    match value.dyn_ref::<js_sys::ArrayBuffer>() {
        Some(buffer) => Uint8Array::new(buffer).to_vec(),
        None => Uint8Array::new(&value).to_vec(),
    }
}

pub fn column(row: &JsValue, name: &str) -> JsValue {
    Reflect::get(row, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
