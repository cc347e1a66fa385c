//! The parts that packets consist of: numbers, lengths, texts.

use super::Fault;

/// Reads a packet from its front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| Fault::malformed("a packet is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    pub fn two(&mut self) -> Result<u16, Fault> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn four(&mut self) -> Result<u32, Fault> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A length of one to four bytes.
    pub fn length(&mut self) -> Result<usize, Fault> {
        match length(self.rest)? {
            Some((length, taken)) => self.take(taken).map(|_| length),
            None => Err(Fault::malformed("a length is cut off")),
        }
    }

    pub fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    /// UTF-8 without U+0000, as the standard wants it.
    pub fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| Fault::malformed("a text is no UTF-8"))?;
        match text.contains('\0') {
            true => Err(Fault::malformed("a text holds U+0000")),
            false => Ok(text),
        }
    }
}

/// A length, and how many bytes say it. `None` if more must come. Fails for one of more than four bytes, or than it
/// needs.
pub fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut length = 0;
    for (index, byte) in bytes.iter().copied().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_short = index == 0 || byte != 0;
            return if is_short {
                Ok(Some((length, index + 1)))
            } else {
                Err(Fault::malformed("a length is too long"))
            };
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Fault::malformed("a length has more than four bytes")) }
}

/// Writes a length of at most four bytes.
pub fn put_length(mut length: usize, into: &mut Vec<u8>) {
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        into.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            return;
        }
    }
}

/// Writes bytes behind their length in two. What would not fit is cut off.
pub fn put_binary(bytes: &[u8], into: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    into.extend((bytes.len() as u16).to_be_bytes());
    into.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_to_four_bytes() {
        for (number, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 1]),
            (268_435_455, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut written = Vec::new();
            put_length(number, &mut written);
            assert_eq!(written, bytes);
            assert_eq!(length(bytes), Ok(Some((number, bytes.len()))));
        }
        assert_eq!(length(&[0x80, 0x80]), Ok(None));
        assert!(length(&[0x80, 0]).is_err(), "longer than it needs");
        assert!(length(&[0x80, 0x80, 0x80, 0x80, 1]).is_err());
    }

    #[test]
    fn texts_are_utf8_without_zero() {
        assert_eq!(Reader::new(b"\0\x03abcd").text(), Ok("abc"));
        for wrong in [&b"\0\x02a"[..], b"\0\x01\xff", b"\0\x01\0", b"\0\x03\xed\xa0\x80", b"\0"] {
            assert!(Reader::new(wrong).text().is_err(), "{wrong:?}");
        }
    }
}
