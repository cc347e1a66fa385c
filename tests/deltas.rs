//! Deltas between payloads, read by a decoder of the tests' own. Who gets one, and when, is told in
//! `tests/stories/deltas.txt`.

mod support {
    pub mod vcdiff;
}

use courtside::protocol::vcdiff::encode;
use proptest::prelude::*;
use support::vcdiff::decode;

#[test]
fn a_delta_is_pinned() {
    let (base, target) = (br#"{"home":15,"away":0,"set":1}"#, br#"{"home":15,"away":15,"set":1}"#);
    #[rustfmt::skip]
    let delta = [
        0xd6, 0xc3, 0xc4, 0, 0, // VCDIFF
        1, 28, 0, 12,           // of 28 bytes of the base, from the first; 12 bytes follow
        29, 0, 2, 3, 2,         // 29 bytes, of 2 of data, 3 instructions, 2 bytes of addresses
        b'1', b'5',
        34, 3, 25,              // copy 18, add 2, copy 9
        0, 19,
    ];
    assert_eq!(encode(base, target), delta);
    assert_eq!(decode(base, &delta), target);
}

#[test]
fn a_change_in_a_large_payload_is_small_wherever_it_is() {
    let base: Vec<u8> = (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut target = base.clone();
    target.splice(100..101, *b"xyz");
    target.splice(30_000..30_010, []);
    target.extend(&base[5_000..9_000]);
    target[150_000] ^= 1;
    let delta = encode(&base, &target);
    assert_eq!(decode(&base, &delta), target);
    assert!(delta.len() < 70, "{}", delta.len());
}

proptest! {
    #[test]
    fn what_a_delta_makes_is_its_target(
        base in proptest::collection::vec(0_u8..3, 0..200),
        edits in proptest::collection::vec((0_usize..200, 0_usize..30, proptest::collection::vec(0_u8..4, 0..20)), 0..5),
    ) {
        let mut target = base.clone();
        for (at, removed, added) in edits {
            let at = at.min(target.len());
            let end = (at + removed).min(target.len());
            target.splice(at..end, added);
        }
        prop_assert_eq!(decode(&base, &encode(&base, &target)), target);
    }

    #[test]
    fn anything_can_be_made_of_anything(base in proptest::collection::vec(any::<u8>(), 0..99), target in proptest::collection::vec(any::<u8>(), 0..99)) {
        prop_assert_eq!(decode(&base, &encode(&base, &target)), target);
    }
}
