//! Bodies on their way in: how much is kept of each and of all, and how long one may take.
//!
//! Whoever sends a body holds memory until it is whole. So one is kept no longer than it goes on coming, all of them
//! together take no more than a part of the memory, and of what nobody wants nothing is kept. Those of unknown senders
//! have a small part of that, and each address a part of theirs: who has no key takes no room of those with one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::counted::{Room, Share};
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    ADDRESSES_MAX, BODIES_MAX_BYTES, BODIES_OF_ADDRESS_MAX_BYTES, BODIES_UNPROVEN_MAX_BYTES, BODY_FIRST_MS,
    BODY_MIN_BYTES_PER_MS, BODY_SKIPPED_MAX_BYTES, BODY_SMALL_BYTES, BODY_STALL_MS,
};

/// How many are held.
type Bytes = Rc<Cell<usize>>;

/// All bodies that an isolate holds.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    held: Bytes,
    /// Those that came without good credentials, and of these what each address sent.
    unproven: Bytes,
    by_address: Rc<RefCell<HashMap<Box<str>, Bytes>>>,
}

/// How much of a body is kept, and whether its sender has proved to have credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub max_bytes: usize,
    pub is_proven: bool,
}

impl Bound {
    /// Of a body that nobody wants.
    pub const NOTHING: Bound = Bound::proven(0);

    pub const fn proven(max_bytes: usize) -> Bound {
        Bound { max_bytes, is_proven: true }
    }

    pub const fn unproven(max_bytes: usize) -> Bound {
        Bound { max_bytes, is_proven: false }
    }
}

/// One that is being read.
#[derive(Debug)]
pub struct Upload {
    max_bytes: usize,
    kept: Vec<u8>,
    all: Uploads,
    room: Room,
    received: usize,
    began_ms: u64,
    heard_ms: u64,
    refused: bool,
}

/// A body, which counts among all until it is dropped.
#[derive(Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    room: Room,
}

impl Uploads {
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.held.get()
    }

    /// Begins to read a body of which one byte more is kept than may be: whoever looks at it sees that it is too long.
    /// `address` is where it comes from, empty when that is not known.
    pub fn begin(&self, bound: Bound, address: &str, now_ms: u64) -> Upload {
        Upload {
            max_bytes: bound.max_bytes,
            kept: Vec::new(),
            all: self.clone(),
            room: if bound.is_proven { Room::of(vec![self.share()]) } else { self.unproven(address) },
            received: 0,
            began_ms: now_ms,
            heard_ms: now_ms,
            refused: false,
        }
    }

    /// Room for what someone sends who has not proved to have credentials, whatever it is.
    pub fn unproven(&self, address: &str) -> Room {
        let unproven = Share { held: self.unproven.clone(), max_bytes: BODIES_UNPROVEN_MAX_BYTES };
        if address.is_empty() {
            return Room::of(vec![self.share(), unproven]);
        }
        let mut by_address = self.by_address.borrow_mut();
        if by_address.len() >= ADDRESSES_MAX {
            by_address.retain(|_, held| Rc::strong_count(held) > 1);
        }
        // Beyond so many the rest are one, and share one part.
        let is_known = by_address.contains_key(address) || by_address.len() < ADDRESSES_MAX;
        let held = by_address.entry(if is_known { address } else { "" }.into()).or_default().clone();
        Room::of(vec![self.share(), unproven, Share { held, max_bytes: BODIES_OF_ADDRESS_MAX_BYTES }])
    }

    /// Of all: what a body may add to that, [`Uploads::has_room`] says.
    fn share(&self) -> Share {
        Share { held: self.held.clone(), max_bytes: usize::MAX }
    }

    /// What a body of so many bytes may add to: those that are short find room for longer.
    fn has_room(&self, bytes: usize) -> bool {
        let max = if bytes <= BODY_SMALL_BYTES { BODIES_MAX_BYTES / 4 * 5 } else { BODIES_MAX_BYTES };
        self.held.get() < max
    }
}

impl Upload {
    /// Takes what came. The rest of a body that is too long is read all the same: a client that is cut off while it
    /// sends never sees why.
    pub fn take(&mut self, chunk: &[u8], now_ms: u64) {
        self.received += chunk.len();
        self.heard_ms = now_ms;
        let room = (self.max_bytes + 1).saturating_sub(self.kept.len()).min(chunk.len());
        if self.max_bytes == 0 || room == 0 || self.refused {
            return;
        }
        let bytes = self.kept.len() + room;
        if !self.all.has_room(bytes) || !self.room.hold(bytes) {
            (self.kept, self.room, self.refused) = (Vec::new(), Room::default(), true);
            return;
        }
        self.kept.extend_from_slice(&chunk[..room]);
    }

    /// When more must have come, else it is given up: soon, and as fast as the slowest network is.
    pub fn until_ms(&self) -> u64 {
        let at_pace = self.began_ms + BODY_FIRST_MS + self.received as u64 / BODY_MIN_BYTES_PER_MS;
        at_pace.min(self.heard_ms + BODY_STALL_MS)
    }

    /// Whether nothing more of it need be read.
    pub fn is_enough(&self) -> bool {
        self.received > self.max_bytes + BODY_SKIPPED_MAX_BYTES
    }

    /// It is whole. Fails with 50320 when there was no room for it.
    pub fn end(self) -> Result<Body, ErrorInfo> {
        match self.refused {
            true => Err(Code::Unavailable.because("too much is being sent to this server at once; try again")),
            false => Ok(Body { bytes: self.kept, room: self.room }),
        }
    }

    /// It ended before it was whole, or is not encoded as its headers say.
    pub fn break_off(self) -> ErrorInfo {
        let received = self.received;
        Code::BadBody.because(format!("the body did not arrive whole, or is badly encoded: {received} bytes came"))
    }

    /// It took too long.
    pub fn give_up(self) -> ErrorInfo {
        Code::TimedOut.because(format!("the body did not arrive in time, of which {} bytes came", self.received))
    }
}

impl Body {
    /// The bytes, and what counts them.
    pub fn split(self) -> (Vec<u8>, Held) {
        (self.bytes, Held(self.room))
    }
}

/// As long as this is there, a body counts.
#[derive(Debug, Default)]
pub struct Held(#[allow(dead_code, reason = "counts until it is dropped")] Room);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TOKEN_REQUEST_MAX_BYTES;

    const NOW_MS: u64 = 1_000_000;

    fn filled(uploads: &Uploads, max_bytes: usize, bytes: usize) -> Upload {
        let mut upload = uploads.begin(Bound::proven(max_bytes), "here", NOW_MS);
        let chunk = vec![b'x'; 64 * 1024];
        (0..bytes.div_ceil(chunk.len())).for_each(|_| upload.take(&chunk, NOW_MS));
        upload
    }

    #[test]
    fn a_body_is_kept_up_to_one_byte_more_than_it_may_have() {
        let uploads = Uploads::default();
        let mut upload = uploads.begin(Bound::proven(5), "here", NOW_MS);
        upload.take(b"abc", NOW_MS);
        upload.take(b"defgh", NOW_MS);
        assert_eq!(uploads.held_bytes(), 6);
        let body = upload.end().unwrap();
        assert_eq!((body.bytes.as_slice(), uploads.held_bytes()), (b"abcdef".as_slice(), 6));
        let (_, held) = body.split();
        assert_eq!(uploads.held_bytes(), 6, "while its request is answered");
        drop(held);
        assert_eq!(uploads.held_bytes(), 0);
    }

    #[test]
    fn of_what_nobody_wants_nothing_is_kept() {
        let uploads = Uploads::default();
        let upload = filled(&uploads, 0, 1_000_000);
        assert_eq!(uploads.held_bytes(), 0);
        assert!(!upload.is_enough());
        assert!(filled(&uploads, 0, BODY_SKIPPED_MAX_BYTES + 1).is_enough());
        assert_eq!(upload.end().unwrap().bytes.len(), 0);
    }

    #[test]
    fn all_bodies_together_are_bounded_and_short_ones_come_through() {
        let uploads = Uploads::default();
        const EACH: usize = 2 * 1024 * 1024;
        let mut all: Vec<Upload> = (0..60).map(|_| filled(&uploads, EACH, EACH)).collect();
        assert!(uploads.held_bytes() <= BODIES_MAX_BYTES + 64 * 1024, "{}", uploads.held_bytes());
        let short = filled(&uploads, EACH, 1);
        assert_eq!(short.end().unwrap().bytes.len(), 64 * 1024);
        let many: Vec<Upload> = (0..1_000).map(|_| filled(&uploads, EACH, 1)).collect();
        assert!(uploads.held_bytes() <= BODIES_MAX_BYTES / 4 * 5 + 64 * 1024, "{}", uploads.held_bytes());
        drop(many);
        assert!(all.pop().unwrap().end().unwrap_err().is(Code::Unavailable));
        assert_eq!(all.swap_remove(0).end().unwrap().bytes.len(), EACH);
        drop(all);
        assert_eq!(uploads.held_bytes(), 0);
    }

    #[test]
    fn those_without_credentials_have_a_part_and_each_address_a_part_of_that() {
        const EACH: usize = TOKEN_REQUEST_MAX_BYTES;
        let uploads = Uploads::default();
        let send = |address: &str| {
            let mut upload = uploads.begin(Bound::unproven(EACH), address, NOW_MS);
            upload.take(&[b'x'; EACH], NOW_MS);
            upload
        };
        let flood: Vec<Upload> = (0..BODIES_MAX_BYTES / EACH).map(|_| send("flood")).collect();
        assert_eq!(uploads.held_bytes(), BODIES_OF_ADDRESS_MAX_BYTES);
        assert!(flood.into_iter().next_back().unwrap().end().unwrap_err().is(Code::Unavailable));
        assert_eq!(uploads.held_bytes(), 0);
        let crowd: Vec<Upload> = (0..BODIES_MAX_BYTES / EACH).map(|number| send(&number.to_string())).collect();
        assert_eq!(uploads.held_bytes(), BODIES_UNPROVEN_MAX_BYTES);
        let known = filled(&uploads, BODY_SMALL_BYTES, BODY_SMALL_BYTES);
        assert_eq!(known.end().unwrap().bytes.len(), BODY_SMALL_BYTES, "and take no room of those with a key");
        drop(crowd);
        assert_eq!((uploads.held_bytes(), uploads.unproven.get()), (0, 0));
        (0..ADDRESSES_MAX * 2).for_each(|number| drop(send(&number.to_string())));
        assert!(uploads.by_address.borrow().len() <= ADDRESSES_MAX);
    }

    #[test]
    fn a_body_that_stalls_or_drips_is_given_up() {
        let uploads = Uploads::default();
        let mut upload = filled(&uploads, 8 * 1024 * 1024, 8 * 1024 * 1024);
        assert_eq!(upload.until_ms(), NOW_MS + BODY_STALL_MS, "however much came before");
        let mut now_ms = NOW_MS;
        while now_ms < upload.until_ms() {
            now_ms += BODY_STALL_MS / 2;
            upload.take(b"x", now_ms);
        }
        let pace_ms = BODY_FIRST_MS + 8 * 1024 * 1024 / BODY_MIN_BYTES_PER_MS;
        assert!((pace_ms..pace_ms + 2 * BODY_STALL_MS).contains(&(now_ms - NOW_MS)), "{}", now_ms - NOW_MS);
        assert!(upload.give_up().is(Code::TimedOut));
        assert_eq!(uploads.held_bytes(), 0);
    }
}
