//! The two base64 alphabets, lenient about padding, because clients differ.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// What JWTs and our tokens are written in: `-` and `_`, no padding.
pub const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);

/// From either alphabet.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    PLAIN.decode(text).or_else(|_| URL.decode(text)).ok()
}

/// The same, also in lines: some clients break them, and end the last.
pub fn from_lines_of_base64(text: &str) -> Option<Vec<u8>> {
    from_base64(text).or_else(|| from_base64(&text.split_ascii_whitespace().collect::<String>()))
}
