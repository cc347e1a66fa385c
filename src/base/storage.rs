//! Any storage of an object may fail.

use super::pinned::Unreadable;

/// A write or read that failed. A failed write may still have been kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreError(pub String);

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> StoreError {
        StoreError(format!("stored data {unreadable}"))
    }
}
