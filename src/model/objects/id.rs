//! The ids of objects: `<kind>:<hash>@<milliseconds>`. The hash is of what the object is created with and a nonce, so
//! that nobody can create an object under an id that another has made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sha2::{Digest, Sha256};

use super::operation::Kind;
use crate::error::{Code, ErrorInfo};
use crate::limits::{OBJECT_ID_MAX_BYTES, OBJECT_ID_SKEW_MAX_MS, OBJECT_NONCE_MAX_BYTES, OBJECT_NONCE_MIN_CHARS};

/// The map that every channel has, from which all others can be reached.
pub const ROOT: &str = "root";

/// What an id says of its object; `None` for a text that is no id.
pub fn kind_of(id: &str) -> Option<Kind> {
    if id == ROOT {
        return Some(Kind::Map);
    }
    parse(id).map(|(kind, ..)| kind)
}

fn parse(id: &str) -> Option<(Kind, &str, u64)> {
    if id.len() > OBJECT_ID_MAX_BYTES {
        return None;
    }
    let (kind, rest) = id.split_once(':')?;
    let kind = [Kind::Map, Kind::Counter].into_iter().find(|known| known.name() == kind)?;
    let (hash, time) = rest.split_once('@')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_good = !hash.is_empty() && hash.bytes().all(is_plain) && time.bytes().all(|byte| byte.is_ascii_digit());
    Some((kind, hash, time.parse().ok().filter(|_| is_good)?))
}

/// Whether the time in an id is about now.
pub fn is_current(id: &str, now_ms: u64) -> bool {
    parse(id).is_some_and(|(_, _, time_ms)| time_ms.abs_diff(now_ms) <= OBJECT_ID_SKEW_MAX_MS)
}

/// The id of an object that is created with this value.
pub fn make(kind: Kind, initial_value: &(impl AsRef<[u8]> + ?Sized), nonce: &str, now_ms: u64) -> String {
    format!("{}:{}@{now_ms}", kind.name(), hash(initial_value.as_ref(), nonce))
}

/// Fails with 92000 when an id is not that of an object that is created with this value and nonce.
pub fn verify(id: &str, kind: Kind, initial_value: &str, nonce: &str) -> Result<(), ErrorInfo> {
    if nonce.chars().count() < OBJECT_NONCE_MIN_CHARS {
        return Err(bad_nonce());
    }
    verify_earlier(id, kind, initial_value.as_bytes(), nonce)
}

/// The same for SDKs up to version 5. Their nonce is what follows the point of a random number: as many digits as that
/// has, in one of fourteen too few.
pub fn verify_earlier(id: &str, kind: Kind, initial_value: &[u8], nonce: &str) -> Result<(), ErrorInfo> {
    if nonce.len() > OBJECT_NONCE_MAX_BYTES {
        return Err(bad_nonce());
    }
    match parse(id) {
        Some((known, hashed, _)) if known == kind && hashed == hash(initial_value, nonce) => Ok(()),
        _ => Err(Code::BadObject.because("the object's id does not follow from its initial value and nonce")),
    }
}

fn bad_nonce() -> ErrorInfo {
    Code::BadObject.because(format!("a nonce has from {OBJECT_NONCE_MIN_CHARS} to {OBJECT_NONCE_MAX_BYTES} characters"))
}

fn hash(initial_value: &[u8], nonce: &str) -> String {
    BASE64URL.encode(Sha256::new().chain_update(initial_value).chain_update(":").chain_update(nonce).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "0123456789abcdef";

    #[test]
    fn an_id_is_verified_by_what_it_was_made_of() {
        let id = make(Kind::Counter, r#"{"count":10}"#, NONCE, 1_700_000_000_000);
        assert!(id.starts_with("counter:") && id.ends_with("@1700000000000") && id.len() == 8 + 43 + 14, "{id}");
        assert_eq!(kind_of(&id), Some(Kind::Counter));
        assert_eq!(verify(&id, Kind::Counter, r#"{"count":10}"#, NONCE), Ok(()));
        for (kind, value, nonce) in [
            (Kind::Map, r#"{"count":10}"#, NONCE),
            (Kind::Counter, r#"{"count":11}"#, NONCE),
            (Kind::Counter, r#"{"count": 10}"#, NONCE),
            (Kind::Counter, r#"{"count":10}"#, "0123456789abcdeg"),
            (Kind::Counter, r#"{"count":10}"#, "short"),
        ] {
            assert!(verify(&id, kind, value, nonce).unwrap_err().is(Code::BadObject), "{value} {nonce}");
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        assert_eq!(kind_of(ROOT), Some(Kind::Map));
        for text in ["", "map", "map:", "map:a", "map:a@", "map:@1", "list:a@1", "map:a@-1", "map:a b@1", "Root"] {
            assert_eq!(kind_of(text), None, "{text}");
        }
        assert_eq!(kind_of(&format!("map:{}@1", "a".repeat(OBJECT_ID_MAX_BYTES))), None);
    }

    #[test]
    fn the_time_in_an_id_is_about_now() {
        let id = "map:a@1000000";
        assert!(is_current(id, 1_000_000) && is_current(id, 1_000_000 + OBJECT_ID_SKEW_MAX_MS));
        assert!(!is_current(id, 1_000_001 + OBJECT_ID_SKEW_MAX_MS) && !is_current(ROOT, 0));
    }
}
