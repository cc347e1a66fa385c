//! Texts that stand for others.

use crate::base::base64::from_base64;

/// From either alphabet, to text.
pub(super) fn text_from_base64(text: &str) -> Option<String> {
    from_base64(text).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// From hexadecimal digits, two for each byte.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(byte).collect()
}
