//! The nonces of signed token requests that an app has seen: each is good once.

use super::store::{Store, StoreError};
use crate::base::pause;
use crate::error::Code;
use crate::limits::{NONCES_FORGET_PAUSE_MS, NONCES_MAX};
use crate::rpc::{Answer, AppResponse};

#[derive(Debug)]
pub struct Nonces {
    count: usize,
    /// When room may be made (again) because there is none.
    room_at_ms: u64,
}

impl Nonces {
    pub fn new(count: usize) -> Nonces {
        Nonces { count, room_at_ms: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Fails with 42910 when there are too many.
    pub fn take(
        &mut self,
        store: &mut impl Store,
        key: &str,
        forget_at_ms: u64,
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        if self.count >= NONCES_MAX && pause::is_over(self.room_at_ms, NONCES_FORGET_PAUSE_MS, now_ms) {
            self.room_at_ms = now_ms + NONCES_FORGET_PAUSE_MS;
            self.forget(store, now_ms)?;
        }
        if self.count >= NONCES_MAX {
            return Ok(Err(Code::RateLimited.because("too many token requests; try again in a minute")));
        }
        let fresh = store.add_nonce(key, forget_at_ms)?;
        self.count += usize::from(fresh);
        Ok(Ok(AppResponse::Fresh(fresh)))
    }

    /// Drops those whose requests have ended.
    pub fn forget(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.count = store.forget_nonces(now_ms)?;
        Ok(())
    }
}
