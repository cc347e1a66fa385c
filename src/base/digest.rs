//! A short digest of bytes, stable across builds, as what is stored needs. It tells apart what differs by chance, and
//! nothing that somebody chose to look alike.

/// FNV-1a, of 64 bits.
pub fn of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_stay_as_they_are() {
        assert_eq!([super::of(b""), super::of(b"a")], [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c]);
    }
}
