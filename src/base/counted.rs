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

/// Bytes that are held together, and how many may be.
#[derive(Clone, Debug)]
pub struct Share {
    pub held: Rc<Cell<usize>>,
    pub max_bytes: usize,
}

/// The bytes of one sender, as a part of each of these shares. One without shares has all the room there is.
#[derive(Debug, Default)]
pub struct Room {
    shares: Vec<Share>,
    bytes: usize,
}

impl Room {
    pub fn of(shares: Vec<Share>) -> Room {
        Room { shares, bytes: 0 }
    }

    /// Holds so many from now on, where all shares have as many. Gives whether it does.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let has_room = more == 0 || self.shares.iter().all(|share| share.held.get() + more <= share.max_bytes);
        if has_room {
            self.shares.iter().for_each(|share| share.held.set(share.held.get() - self.bytes + bytes));
            self.bytes = bytes;
        }
        has_room
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.hold(0);
    }
}
