//! Secrets, and the keyed hashes made with them. Owns the rule that a secret is never printed and never compared byte
//! by byte. Knows nothing of what is signed.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Code, ErrorInfo};
use crate::limits::{SEALED_BLOCK_BYTES, SECRET_MAX_BYTES};

/// Bytes in a MAC: HMAC-SHA256, never truncated.
pub(super) const MAC_BYTES: usize = 32;

/// What fills a text up before it is sealed: no name ends so.
const PADDING: u8 = 0;

/// The secret of a key. Its text shows only where [`Secret::expose`] is called.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Fails with 40005 when the text cannot be the last part of a key string: clients split there, and refuse `:`, `.`
    /// and white space (protocol.md § 11.1); or when it has fewer than `min_bytes`.
    pub fn parse(text: &str, min_bytes: usize) -> Result<Secret, ErrorInfo> {
        if text.len() < min_bytes {
            let (has, make) = (text.len(), "make one with `openssl rand -hex 16`");
            return Err(Code::BadKey.because(format!("it has {has} bytes, and must have {min_bytes} at least; {make}")));
        }
        if text.len() > SECRET_MAX_BYTES {
            return Err(Code::BadKey.because(format!("it has more than {SECRET_MAX_BYTES} bytes")));
        }
        if text.contains(|c: char| c == ':' || c == '.' || c.is_whitespace() || c.is_control()) {
            return Err(Code::BadKey.because("it holds ':', '.', white space or a control character"));
        }
        Ok(Secret(text.to_owned()))
    }

    /// What a client presents as one: any text, because only comparing says whether it is right.
    pub fn presented(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text itself: to store the key, or to show it to the one who made it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is this secret. Takes the same time however much of it is right, because it compares MACs.
    pub fn matches(&self, presented: &Secret) -> bool {
        self.verifies(presented.0.as_bytes(), &self.mac(self.0.as_bytes()))
    }

    pub fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES] {
        mac(self.0.as_bytes(), message)
    }

    /// A text that only this secret can read, and that nobody else can make. `purpose` keeps it apart from what is
    /// sealed for another. It hides the text's length up to [`SEALED_BLOCK_BYTES`]; the same text is sealed the same.
    ///
    /// The cover begins from the text's own tag, so no two texts have the same; what it is made of is shorter than any
    /// text is, padded, so none can be had as a tag.
    pub fn seal(&self, purpose: &str, text: &str) -> Vec<u8> {
        let mut padded = text.as_bytes().to_vec();
        padded.resize((padded.len() + 1).next_multiple_of(SEALED_BLOCK_BYTES), PADDING);
        let key = self.mac(format!("courtside seal {purpose}").as_bytes());
        let tag = mac(&key, &padded);
        [&tag[..], &covered(&key, &tag, &padded)].concat()
    }

    /// What was sealed so. `None` for anything else.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Option<String> {
        let (tag, cover) = sealed.split_at_checked(MAC_BYTES)?;
        let key = self.mac(format!("courtside seal {purpose}").as_bytes());
        let mut padded = covered(&key, tag, cover);
        if !verifies(&key, &padded, tag) {
            return None;
        }
        padded.truncate(padded.iter().rposition(|byte| *byte != PADDING).map_or(0, |last| last + 1));
        String::from_utf8(padded).ok()
    }

    pub fn verifies(&self, message: &[u8], tag: &[u8]) -> bool {
        verifies(self.0.as_bytes(), message, tag)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.matches(other)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes that depend on both, and tell nothing of the seed or of each other: many secrets from one.
pub fn derive(seed: &[u8; 32], purpose: &str) -> [u8; MAC_BYTES] {
    mac(seed, purpose.as_bytes())
}

/// HMAC-SHA256 of the message.
pub(super) fn mac(key: &[u8], message: &[u8]) -> [u8; MAC_BYTES] {
    keyed(key, message).finalize().into_bytes().into()
}

/// Whether the tag is the message's MAC, in constant time.
pub(super) fn verifies(key: &[u8], message: &[u8], tag: &[u8]) -> bool {
    keyed(key, message).verify_slice(tag).is_ok()
}

/// Covers a text, or uncovers it.
fn covered(key: &[u8], tag: &[u8], text: &[u8]) -> Vec<u8> {
    let cover = |(block, chunk): (usize, &[u8])| {
        let mask = mac(key, &[b"cover", tag, &block.to_le_bytes()[..4]].concat());
        chunk.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>()
    };
    text.chunks(MAC_BYTES).enumerate().flat_map(cover).collect()
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message);
    hmac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_compare_whole() {
        let secret = Secret::parse("local-only", 8).unwrap();
        assert!(secret.matches(&Secret::presented("local-only")));
        for wrong in ["", "local-onl", "local-only2", "Local-only"] {
            assert!(!secret.matches(&Secret::presented(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn secrets_that_clients_would_split_are_refused() {
        for text in
            ["", "short", "with:colon", "with.point", "with space", "with\ttab", &"x".repeat(SECRET_MAX_BYTES + 1)]
        {
            assert!(Secret::parse(text, 8).unwrap_err().is(Code::BadKey), "{text:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::parse("local-only", 8).unwrap()), "Secret(…)");
    }

    #[test]
    fn what_is_sealed_is_read_by_the_same_secret_only() {
        let (ours, theirs) = (Secret::presented("local-only"), Secret::presented("another-one"));
        for text in ["", "a", "chat:vip", &"ü☃".repeat(500), &"x".repeat(SEALED_BLOCK_BYTES)] {
            let sealed = ours.seal("cursor", text);
            assert_eq!(ours.open("cursor", &sealed).as_deref(), Some(text));
            assert_eq!((ours.open("other", &sealed), theirs.open("cursor", &sealed)), (None, None));
            assert!(text.len() < 3 || !sealed.windows(text.len()).any(|part| part == text.as_bytes()));
            for at in [0, MAC_BYTES, sealed.len() - 1] {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(ours.open("cursor", &changed), None);
            }
        }
        assert_eq!(ours.seal("cursor", "a").len(), ours.seal("cursor", "chat:vip").len(), "nor how long it is");
        for short in [&[][..], &[7; MAC_BYTES - 1], &[7; MAC_BYTES], &[7; MAC_BYTES + SEALED_BLOCK_BYTES]] {
            assert_eq!(ours.open("cursor", short), None);
        }
    }

    #[test]
    fn the_mac_is_the_published_one() {
        // RFC 4231, test case 2.
        let tag = mac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert!(verifies(b"Jefe", b"what do ya want for nothing?", &tag));
        assert!(!verifies(b"Jefe", b"what do ya want for nothing?", &tag[..16]), "no shorter tag passes");
    }
}
