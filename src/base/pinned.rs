//! The encoding of what we write for ourselves and read back later, perhaps in another build: log rows, socket records,
//! calls between objects, tokens.
//!
//! Postcard behind a version byte. Postcard tells fields apart by their order alone, so every type that is written on
//! its own has a version of its own ([`Versioned`]). A change of such a type, or of a type within it, raises that
//! version and adds a reader for the bytes of the one before; golden tests and the fixtures of `tests/stored` hold
//! each version. What no reader knows is [`Unreadable`], which is refused and left as it is: never taken for absent.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that is written on its own.
pub trait Versioned: Serialize + DeserializeOwned {
    const VERSION: u8;

    /// Reads what an earlier build wrote, from the front of `bytes`, which then begin behind it.
    fn read_earlier(version: u8, _bytes: &mut &[u8]) -> Result<Self, Unreadable> {
        Err(Unreadable::Version(version))
    }
}

/// Why stored or received bytes are no value. A fault of ours, of the disk or of another build, never a client's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unreadable {
    /// They have a version that this build has no reader for.
    Version(u8),
    Damaged,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Version(version) => write!(f, "has format version {version}, which this build cannot read"),
            Unreadable::Damaged => f.write_str("is damaged"),
        }
    }
}

pub fn encode<T: Versioned>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![T::VERSION]).expect("values encode to memory")
}

pub fn decode<T: Versioned>(mut bytes: &[u8]) -> Result<T, Unreadable> {
    let value = read(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Unreadable::Damaged) }
}

/// One value from the front of `bytes`, which then begin behind it.
pub fn read<T: Versioned>(bytes: &mut &[u8]) -> Result<T, Unreadable> {
    let (version, body) = bytes.split_first().ok_or(Unreadable::Damaged)?;
    *bytes = body;
    if *version == T::VERSION { take(bytes) } else { T::read_earlier(*version, bytes) }
}

/// A value without its version, from the front of `bytes`: what a reader of an earlier version begins with.
pub fn take<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, Unreadable> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| Unreadable::Damaged)?;
    *bytes = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A type in its third version: the second had no `comment`, and what the first was is forgotten.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Score {
        player: String,
        points: u64,
        comment: Option<String>,
    }

    impl Versioned for Score {
        const VERSION: u8 = 3;

        fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Score, Unreadable> {
            match version {
                2 => take(bytes).map(|(player, points)| Score { player, points, comment: None }),
                _ => Err(Unreadable::Version(version)),
            }
        }
    }

    fn score(comment: Option<&str>) -> Score {
        Score { player: "a".to_owned(), points: 300, comment: comment.map(str::to_owned) }
    }

    #[test]
    fn a_value_comes_back_whichever_known_version_wrote_it() {
        let bytes = encode(&score(Some("c")));
        assert_eq!(bytes, [3, 1, b'a', 0xac, 2, 1, 1, b'c']);
        assert_eq!(decode(&bytes), Ok(score(Some("c"))));
        assert_eq!(decode(&[2, 1, b'a', 0xac, 2]), Ok(score(None)));
    }

    #[test]
    fn values_of_several_versions_are_read_one_after_the_other() {
        let run = [&encode(&score(Some("c")))[..], &[2, 1, b'a', 0xac, 2], &encode(&score(None))].concat();
        let mut rest = run.as_slice();
        assert_eq!(
            [(); 3].map(|()| read::<Score>(&mut rest)),
            [Ok(score(Some("c"))), Ok(score(None)), Ok(score(None))]
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn other_versions_and_damage_are_told_apart() {
        let bytes = encode(&score(None));
        for version in [0, 1, 4, 255] {
            assert_eq!(decode::<Score>(&[&[version], &bytes[1..]].concat()), Err(Unreadable::Version(version)));
        }
        for damaged in [&[][..], &[3], &bytes[..4], &[&bytes[..], &[0]].concat(), &[2, 1, b'a']] {
            assert_eq!(decode::<Score>(damaged), Err(Unreadable::Damaged), "{damaged:?}");
        }
    }
}
