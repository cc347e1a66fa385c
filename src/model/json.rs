//! What a JSON parser that keeps 64 bits and Unicode only would refuse, or silently change, found in the text.

/// The text with each half of a surrogate pair that stands alone, as `\ud83c`, made `\ufffd`. `None` when there is
/// none.
pub fn without_lone_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while at + 1 < text.len() {
        if text[at] != b'\\' {
            at += 1;
            continue;
        }
        let (first, second) = (escaped(&text[at..]), text.get(at + 6..).and_then(escaped));
        match (first, second) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.get_or_insert_with(|| text.to_vec())[at..at + 6].copy_from_slice(b"\\ufffd");
                at += 6;
            }
            _ => at += 2,
        }
    }
    mended
}

/// The code unit of an escape like `\ud83c` at the front.
fn escaped(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digit = |value: u32, byte: &u8| Some(value << 4 | char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

/// Whether an integer with more digits than 64 bits have stands outside of the strings.
pub fn has_long_integer(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(after),
            b'0'..=b'9' => {
                let number =
                    rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
                let (number, after) = rest.split_at(number);
                let is_integer = number.iter().all(u8::is_ascii_digit);
                if is_integer && std::str::from_utf8(number).is_ok_and(|digits| digits.parse::<u64>().is_err()) {
                    return true;
                }
                after
            }
            b'-' => {
                let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let ends = after.get(digits).is_none_or(|byte| !b".eE".contains(byte));
                let number = std::str::from_utf8(&rest[..=digits]).unwrap_or_default();
                if ends && digits > 0 && number.parse::<i64>().is_err() {
                    return true;
                }
                after
            }
            _ => after,
        };
    }
    false
}

/// The names and values of an object as they are written, whatever the values are. `None` for what is no object, or is
/// not all there.
pub fn fields(text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = text.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii();
    let mut fields = Vec::new();
    while let Some(after) = rest.strip_prefix(b"\"") {
        let behind = after_string(after);
        let name = after[..after.len() - behind.len()].strip_suffix(b"\"")?;
        let value = behind.trim_ascii_start().strip_prefix(b":")?;
        let behind = after_value(value)?;
        fields.push((name, value[..value.len() - behind.len()].trim_ascii()));
        rest = behind.strip_prefix(b",").unwrap_or(behind).trim_ascii();
    }
    rest.is_empty().then_some(fields)
}

/// From the comma that follows a value on, or the end.
fn after_value(mut text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    while let [byte, rest @ ..] = text {
        match byte {
            b',' if depth == 0 => break,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        text = if *byte == b'"' { after_string(rest) } else { rest };
    }
    (depth == 0).then_some(text)
}

/// What follows the end of a string.
fn after_string(mut text: &[u8]) -> &[u8] {
    loop {
        match text {
            [b'"', rest @ ..] => return rest,
            [b'\\', _, rest @ ..] | [_, rest @ ..] => text = rest,
            [] => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(text: &str) -> Option<String> {
        without_lone_surrogates(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn half_a_pair_becomes_the_replacement_character() {
        for (text, expected) in [
            (r#""\ud83c""#, r#""\ufffd""#),
            (r#""a\udfbeb""#, r#""a\ufffdb""#),
            (r#""\ud83c\ud83c\udfbe""#, r#""\ufffd\ud83c\udfbe""#),
            (r#"{"\uD83C":"\\\uDFBE"}"#, r#"{"\ufffd":"\\\ufffd"}"#),
            (r#""\ud83c\n""#, r#""\ufffd\n""#),
        ] {
            assert_eq!(mended(text).as_deref(), Some(expected), "{text}");
        }
        for whole in [r#""\ud83c\udfbe""#, r#""\\ud83c""#, r#""\u00fc\n""#, r#""\ud8""#, r#""\"#, "", "1"] {
            assert_eq!(mended(whole), None, "{whole}");
        }
    }

    #[test]
    fn an_object_is_cut_where_its_fields_end() {
        fn cut(text: &str) -> Option<Vec<(&str, &str)>> {
            let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
            let fields = fields(text.as_bytes())?;
            Some(fields.into_iter().map(|(name, value)| (text_of(name), text_of(value))).collect())
        }
        let whole = r#" {"a" : 1e400 ,"b":[{"c":"],}\""},2],"d":"x"} "#;
        assert_eq!(cut(whole), Some(vec![("a", "1e400"), ("b", r#"[{"c":"],}\""},2]"#), ("d", r#""x""#)]));
        assert_eq!(cut("{}"), Some(vec![]));
        for broken in ["", "[]", r#"{"a"}"#, r#"{"a":[}"#, r#"{"a":1]}"#, "{1:2}", r#"{"a":1 "#] {
            assert_eq!(cut(broken), None, "{broken}");
        }
    }

    #[test]
    fn integers_of_more_than_64_bits_are_found_where_they_are_numbers() {
        for long in [
            "18446744073709551616",
            "[1,12345678901234567890123]",
            "-9223372036854775809",
            "-92233720368547758081",
            "[-9223372036854775808,-99999999999999999999]",
            r#"{"a\"":99999999999999999999}"#,
        ] {
            assert!(has_long_integer(long.as_bytes()), "{long}");
        }
        for fits in [
            "18446744073709551615",
            "-9223372036854775808",
            "1e300",
            "123456789012345678901234e1",
            "12345678901234567890123.5",
            "-123456789012345678901234.5",
            r#""12345678901234567890123""#,
            r#"{"12345678901234567890123\\":"\"99999999999999999999"}"#,
            "\"unfinished 99999999999999999999",
            "-",
            "",
        ] {
            assert!(!has_long_integer(fits.as_bytes()), "{fits}");
        }
    }
}
