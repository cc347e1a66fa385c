//! Reads deltas by the letter of RFC 3284: what the server may write, and nothing else.

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap();
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        let mut number = 0;
        loop {
            let byte = self.byte();
            number = number << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// What a delta makes of its base. Fails a test where it is not what SDKs' decoders take.
pub fn decode(base: &[u8], delta: &[u8]) -> Vec<u8> {
    let mut delta = Reader(delta);
    assert_eq!(delta.take(5), [0xd6, 0xc3, 0xc4, 0, 0]);
    assert_eq!(delta.byte(), 1);
    assert_eq!((delta.number(), delta.number()), (base.len(), 0));
    assert_eq!(delta.number(), delta.0.len());
    let length = delta.number();
    assert_eq!(delta.byte(), 0);
    let lengths = [delta.number(), delta.number(), delta.number()];
    let [mut data, mut instructions, mut addresses] = lengths.map(|length| Reader(delta.take(length)));
    assert!(delta.0.is_empty());
    let mut target = Vec::new();
    while !instructions.0.is_empty() {
        let instruction = instructions.byte();
        let size = match instruction {
            1 | 19 => instructions.number(),
            2..=18 => usize::from(instruction) - 1,
            20..=34 => usize::from(instruction) - 16,
            other => panic!("instruction {other}"),
        };
        if instruction < 19 {
            target.extend_from_slice(data.take(size));
        } else {
            let from = addresses.number();
            target.extend_from_slice(&base[from..from + size]);
        }
    }
    assert!(data.0.is_empty() && addresses.0.is_empty());
    assert_eq!(target.len(), length);
    target
}
