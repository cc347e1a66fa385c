//! The two base64 alphabets, lenient about padding, because clients differ.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// What JWTs and our tokens are written in: `-` and `_`, no padding.
pub(super) const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);

/// From either alphabet.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    PLAIN.decode(text).or_else(|_| URL.decode(text)).ok()
}

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
