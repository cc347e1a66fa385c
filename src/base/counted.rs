//! Bytes that count as long as what they are of is there.

use std::cell::Cell;
use std::rc::Rc;

#[derive(Debug)]
pub struct Counted {
    bytes: usize,
    all: Rc<Cell<usize>>,
}

impl Counted {
    pub fn of(bytes: usize, all: &Rc<Cell<usize>>) -> Counted {
        all.set(all.get() + bytes);
        Counted { bytes, all: all.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.set(self.all.get() - self.bytes);
    }
}
