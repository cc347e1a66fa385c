//! Packets that came in part, of all clients of an isolate: what each may keep is bounded by what all keep. Beyond, the
//! one that has waited for longest goes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::limits::MQTT_PARTIAL_MAX_BYTES;

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Partials(Rc<RefCell<Kept>>);

/// By when they began.
#[derive(Debug, Default)]
struct Kept {
    by_number: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    last_number: u64,
}

/// What one client keeps.
#[derive(Debug)]
pub struct Partial {
    all: Partials,
    number: Option<u64>,
}

impl Partials {
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.borrow().bytes
    }

    pub fn one(&self) -> Partial {
        Partial { all: self.clone(), number: None }
    }
}

impl Kept {
    fn take(&mut self, number: u64) -> Option<Vec<u8>> {
        let bytes = self.by_number.remove(&number)?;
        self.bytes -= bytes.capacity();
        Some(bytes)
    }
}

impl Partial {
    /// What was kept. `None` when others needed its room.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.number.map_or(Some(Vec::new()), |number| self.all.0.borrow_mut().take(number))
    }

    /// Keeps this, which is the rest of what was taken, or, if it `begins`, of what came behind.
    pub fn keep(&mut self, bytes: Vec<u8>, begins: bool) {
        let mut all = self.all.0.borrow_mut();
        if bytes.is_empty() {
            self.number = None;
            return;
        }
        let number = self.number.filter(|_| !begins).unwrap_or_else(|| {
            all.last_number += 1;
            all.last_number
        });
        self.number = Some(number);
        all.bytes += bytes.capacity();
        all.by_number.insert(number, bytes);
        while all.bytes > MQTT_PARTIAL_MAX_BYTES
            && let Some(longest) = all.by_number.keys().next().copied()
        {
            all.take(longest);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.take();
    }
}
