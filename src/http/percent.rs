//! Percent-encoding: of path segments, of queries and forms, and back. Strict: what is not well formed is not guessed.

use std::fmt::Write;

/// A path segment, decoded. `None` for an escape that is none, and when the bytes are not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The pairs of a query or form, where `+` is a space. `None` when any of them cannot be decoded.
pub fn decode_pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decode_pair).collect()
}

fn decode_pair((name, value): (&str, &str)) -> Option<(String, String)> {
    Some((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
}

/// A query of these pairs, with nothing in it that a URL, a header or a list of links would take for its own.
pub fn encode_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encoded: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    encoded.join("&")
}

/// With nothing in it but letters, digits and `-_.~%`.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_read_as_forms_write_them() {
        let pairs = decode_pairs("name=a+b&data=%7B%2B%7D&&flag&x=1=2").unwrap();
        let expected = [("name", "a b"), ("data", "{+}"), ("flag", ""), ("x", "1=2")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(decode_pairs("a=%"), None);
        assert_eq!(decode_pairs("%ff=1"), None);
    }

    proptest! {
        #[test]
        fn pairs_come_back(pairs in proptest::collection::vec((".{1,8}", ".{0,8}"), 0..4)) {
            let query = encode_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert!(query.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%=&".contains(&b)));
            prop_assert_eq!(decode_pairs(&query).unwrap(), pairs);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (decode(&text), decode_pairs(&text));
        }
    }
}
