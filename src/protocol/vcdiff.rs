//! Deltas between two payloads in VCDIFF (RFC 3284), as far as SDKs' decoders read it: one window, the whole base as
//! its source, the default code table, no checksum.
//!
//! What copies of the base there are is found in one pass, by hashes of eight bytes. A change in the middle mostly
//! leaves the rest where it was, or moves all of it by as much: there short copies are found too.

/// The magic number with the version, and a header that promises nothing further.
const HEADER: [u8; 5] = [0xd6, 0xc3, 0xc4, 0, 0];
/// The window has the base as its source.
const VCD_SOURCE: u8 = 1;
/// Instructions of the default table whose size follows them: ADD, and COPY from an absolute address.
const ADD: u8 = 1;
const COPY: u8 = 19;
/// ADD and COPY of these sizes have instructions of their own, one for each size, right behind.
const ADD_SIZES: std::ops::RangeInclusive<usize> = 1..=17;
const COPY_SIZES: std::ops::RangeInclusive<usize> = 4..=18;
/// A shorter copy says less than its instruction.
const COPY_MIN: usize = 4;
/// Bytes that are hashed to find where a copy may begin.
const HASHED: usize = 8;

/// What makes `target` out of `base`. It may be longer than `target`, whose readers then had better get that.
pub fn encode(base: &[u8], target: &[u8]) -> Vec<u8> {
    let mut window = Window::default();
    let index = Index::of(base);
    // Where copies and what was not copied lately end; by how much the two are apart.
    let (mut at, mut copied, mut shift) = (0, 0, 0_isize);
    while at < target.len() {
        let Some((mut from, mut length)) = index.find(target, at, shift) else {
            at += 1;
            continue;
        };
        let end = at + length;
        let before = base[..from].iter().rev().zip(target[copied..at].iter().rev());
        let also = before.take_while(|(one, other)| one == other).count();
        (from, length) = (from - also, length + also);
        window.add(&target[copied..end - length]);
        window.copy(from, length);
        shift = from as isize - (end - length) as isize;
        (at, copied) = (end, end);
    }
    window.add(&target[copied..]);
    window.finish(base.len(), target.len())
}

/// Where in the base which bytes are; of the same bytes, where they are first.
struct Index<'a> {
    base: &'a [u8],
    /// Positions by the hash of what is there, plus one.
    places: Vec<u32>,
}

impl Index<'_> {
    fn of(base: &[u8]) -> Index<'_> {
        let mut index = Index { base, places: vec![0; base.len().next_power_of_two().max(16)] };
        for place in (0..(base.len() + 1).saturating_sub(HASHED)).rev() {
            let slot = index.slot(&base[place..]);
            index.places[slot] = place as u32 + 1;
        }
        index
    }

    /// `bytes` has as many as are hashed, at least.
    fn slot(&self, bytes: &[u8]) -> usize {
        let word = u64::from_le_bytes(bytes[..HASHED].try_into().expect("the length is right"));
        let bits = self.places.len().trailing_zeros();
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
    }

    /// The longest copy that is known for what stands at a place of the target: from where, and how much. `shift` is
    /// how far from there it would be, had nothing been inserted or removed since the last copy.
    fn find(&self, target: &[u8], at: usize, shift: isize) -> Option<(usize, usize)> {
        let along = usize::try_from(at as isize + shift).ok();
        let hashed = target[at..].len() >= HASHED;
        let found = hashed.then(|| self.places[self.slot(&target[at..])].checked_sub(1)).flatten();
        let copies = [along, found.map(|place| place as usize)].into_iter().flatten().filter_map(|from| {
            let rest = self.base.get(from..)?;
            let length = rest.iter().zip(&target[at..]).take_while(|(one, other)| one == other).count();
            (length >= COPY_MIN).then_some((from, length))
        });
        copies.max_by_key(|(_, length)| *length)
    }
}

/// The three parts of a window, as they grow.
#[derive(Default)]
struct Window {
    data: Vec<u8>,
    instructions: Vec<u8>,
    addresses: Vec<u8>,
}

impl Window {
    fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.instruct(ADD, bytes.len(), ADD_SIZES);
            self.data.extend_from_slice(bytes);
        }
    }

    fn copy(&mut self, from: usize, length: usize) {
        self.instruct(COPY, length, COPY_SIZES);
        push_number(&mut self.addresses, from);
    }

    fn instruct(&mut self, instruction: u8, size: usize, sizes: std::ops::RangeInclusive<usize>) {
        if sizes.contains(&size) {
            return self.instructions.push(instruction + (size - sizes.start()) as u8 + 1);
        }
        self.instructions.push(instruction);
        push_number(&mut self.instructions, size);
    }

    fn finish(self, base: usize, target: usize) -> Vec<u8> {
        let Window { data, instructions, addresses } = self;
        let mut body = Vec::with_capacity(data.len() + instructions.len() + addresses.len() + 16);
        push_number(&mut body, target);
        // No part is compressed.
        body.push(0);
        [&data, &instructions, &addresses].into_iter().for_each(|part| push_number(&mut body, part.len()));
        [data, instructions, addresses].into_iter().for_each(|part| body.extend(part));
        let mut delta = Vec::with_capacity(body.len() + 20);
        delta.extend(HEADER);
        delta.push(VCD_SOURCE);
        push_number(&mut delta, base);
        push_number(&mut delta, 0);
        push_number(&mut delta, body.len());
        delta.extend(body);
        delta
    }
}

/// Seven bits a byte, the highest first; all but the last have the eighth set.
fn push_number(bytes: &mut Vec<u8>, number: usize) {
    let groups = (usize::BITS - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        bytes.push((number >> (7 * group)) as u8 & 0x7f | more);
    }
}
