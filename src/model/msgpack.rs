//! Reading msgpack. Ours, because a general decoder compiles all its cases anew for every type that it reads; here
//! there is one.
//!
//! Values that the protocol carries nowhere are read as [`Node::Unfit`]: extension types, texts that are no UTF-8,
//! numbers that JSON does not have, and fields whose names are no texts. So one costs the message that has it, and not
//! the frame, which fails only when its structure cannot be read; and nothing is changed on its way. Nesting is
//! bounded, since it recurses.

use std::borrow::Cow;

use serde_json::Number;

use super::node::{NAMELESS, Node, TOO_MANY};
use crate::limits::{DECODED_VALUES_MAX, NESTING_MAX};

/// Reads one value. Fails when there is none, and when bytes follow it.
pub fn read(bytes: &[u8]) -> Read<Node<'_>> {
    let mut reader = Reader { bytes, depth: 0, left: DECODED_VALUES_MAX };
    let node = reader.node()?;
    if reader.bytes.is_empty() { Ok(node) } else { Err("bytes follow the value") }
}

/// The bytes that are not read yet, within how many lists and maps, and how many values may still come.
struct Reader<'de> {
    bytes: &'de [u8],
    depth: usize,
    left: usize,
}

/// How JavaScript's `undefined` is written.
const UNDEFINED: [u8; 3] = [0xd4, 0, 0];

type Read<T> = Result<T, &'static str>;

impl<'de> Reader<'de> {
    fn node(&mut self) -> Read<Node<'de>> {
        self.left = self.left.checked_sub(1).ok_or(TOO_MANY)?;
        Ok(match self.byte()? {
            marker @ 0..=0x7f => Node::Number(marker.into()),
            marker @ 0x80..=0x8f => self.map((marker & 0xf).into())?,
            marker @ 0x90..=0x9f => self.list((marker & 0xf).into())?,
            marker @ 0xa0..=0xbf => self.text((marker & 0x1f).into())?,
            0xc0 => Node::Null,
            marker @ (0xc2 | 0xc3) => Node::Bool(marker == 0xc3),
            marker @ 0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Node::Binary(self.take(length)?.to_owned())
            }
            0xca => float(f32::from_bits(self.unsigned(4)? as u32).into()),
            0xcb => float(f64::from_bits(self.unsigned(8)?)),
            marker @ 0xcc..=0xcf => Node::Number(self.unsigned(1 << (marker - 0xcc))?.into()),
            marker @ 0xd0..=0xd3 => Node::Number(self.signed(1 << (marker - 0xd0))?.into()),
            marker @ 0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            marker @ (0xdc | 0xdd) => {
                let length = self.length(marker - 0xdc + 1)?;
                self.list(length)?
            }
            marker @ (0xde | 0xdf) => {
                let length = self.length(marker - 0xde + 1)?;
                self.map(length)?
            }
            marker @ 0xe0.. => Node::Number((marker as i8).into()),
            marker @ 0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            marker @ 0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xc1 => return Err("a byte that begins no value"),
        })
    }

    /// Nothing is set aside for elements that are only announced.
    fn list(&mut self, length: usize) -> Read<Node<'de>> {
        self.enter()?;
        let mut nodes = Vec::new();
        for _ in 0..length {
            nodes.push(self.node()?);
        }
        self.depth -= 1;
        Ok(Node::List(nodes))
    }

    fn map(&mut self, length: usize) -> Read<Node<'de>> {
        self.enter()?;
        let mut fields = Vec::new();
        for _ in 0..length {
            let name = self.name()?;
            let is_undefined = self.bytes.starts_with(&UNDEFINED);
            let node = self.node()?;
            match name {
                // As JSON has it: a field that is undefined is absent.
                Some(_) if is_undefined => {}
                Some(name) => fields.push((name, node)),
                None => fields.push((NAMELESS.into(), Node::Unfit("names that are strings in UTF-8"))),
            }
        }
        self.depth -= 1;
        Ok(Node::Map(fields))
    }

    fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > NESTING_MAX { Err("it is nested too deep") } else { Ok(()) }
    }

    /// An extension of so many bytes. In a list what is undefined is null, as in JSON.
    fn extension(&mut self, length: usize) -> Read<Node<'de>> {
        let kind = self.byte()?;
        let bytes = self.take(length)?;
        Ok(if kind == 0 && bytes == [0] { Node::Null } else { Node::Unfit("no extension types") })
    }

    /// `None` for a name that is no string in UTF-8.
    fn name(&mut self) -> Read<Option<Cow<'de, str>>> {
        let length = match self.bytes.first() {
            Some(marker @ 0xa0..=0xbf) => {
                self.byte()?;
                (marker & 0x1f).into()
            }
            Some(marker @ 0xd9..=0xdb) => {
                self.byte()?;
                self.length(marker - 0xd9)?
            }
            _ => return self.node().map(|_| None),
        };
        self.take(length).map(|bytes| std::str::from_utf8(bytes).ok().map(Cow::Borrowed))
    }

    fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Read<&'de [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("it ends within a value")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// `width` is 1, 2, 4 or 8.
    fn unsigned(&mut self, width: usize) -> Read<u64> {
        Ok(self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, width: usize) -> Read<i64> {
        let unused_bits = 64 - 8 * width as u32;
        Ok((self.unsigned(width)? << unused_bits) as i64 >> unused_bits)
    }

    /// Of one, two or four bytes by `log_width`.
    fn length(&mut self, log_width: u8) -> Read<usize> {
        self.unsigned(1 << log_width).map(|length| length as usize)
    }

    fn text(&mut self, length: usize) -> Read<Node<'de>> {
        let text = std::str::from_utf8(self.take(length)?);
        Ok(text.map_or(Node::Unfit("strings in UTF-8, or bytes"), |text| Node::Text(text.to_owned())))
    }
}

fn float<'de>(value: f64) -> Node<'de> {
    Number::from_f64(value).map_or(Node::Unfit("no number that is NaN or infinite"), Node::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read_value(bytes: &[u8]) -> Read<Value> {
        read(bytes)?.into_value()
    }

    #[test]
    fn every_form_of_a_value_is_read() {
        for (bytes, value) in [
            (&[0x7f][..], json!(127)),
            (&[0xff], json!(-1)),
            (&[0xe0], json!(-32)),
            (&[0xc0], json!(null)),
            (&[0xc2], json!(false)),
            (&[0xc3], json!(true)),
            (&[0xcc, 200], json!(200)),
            (&[0xcd, 1, 0], json!(256)),
            (&[0xce, 0, 1, 0, 0], json!(65_536)),
            (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], json!(u64::MAX)),
            (&[0xd0, 0x80], json!(-128)),
            (&[0xd1, 0x80, 0], json!(-32_768)),
            (&[0xd2, 0xff, 0xff, 0xff, 0xfe], json!(-2)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], json!(i64::MIN)),
            (&[0xca, 0x3f, 0xc0, 0, 0], json!(1.5)),
            (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], json!(1.5)),
            (&[0xa2, b'h', b'i'], json!("hi")),
            (&[0xd9, 2, b'h', b'i'], json!("hi")),
            (&[0xda, 0, 2, b'h', b'i'], json!("hi")),
            (&[0xdb, 0, 0, 0, 2, b'h', b'i'], json!("hi")),
            (&[0x91, 1], json!([1])),
            (&[0xdc, 0, 1, 1], json!([1])),
            (&[0xdd, 0, 0, 0, 1, 1], json!([1])),
            (&[0x81, 0xa1, b'a', 1], json!({"a": 1})),
            (&[0xde, 0, 1, 0xa1, b'a', 1], json!({"a": 1})),
            (&[0xdf, 0, 0, 0, 1, 0xa1, b'a', 1], json!({"a": 1})),
        ] {
            assert_eq!(read_value(bytes).unwrap(), value, "{bytes:x?}");
        }
        for head in [&[0xc4, 2][..], &[0xc5, 0, 2], &[0xc6, 0, 0, 0, 2]] {
            let bytes = [head, &[7, 8]].concat();
            assert_eq!(read(&bytes).unwrap(), Node::Binary(vec![7, 8]));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = [vec![0x91; NESTING_MAX + 1], vec![0xc0]].concat();
        for (bytes, why) in [
            (&[][..], "ends within"),
            (&[0xa2, b'h'], "ends within"),
            (&[0xdd, 255, 255, 255, 255], "ends within"),
            (&[0xcf, 1], "ends within"),
            (&[0xc1], "begins no value"),
            (&[0xd4, 1], "ends within"),
            (&[0xc7, 2, 1, 1], "ends within"),
            (&[1, 1], "follow"),
            (&deep, "deep"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(why), "{bytes:x?}: {error}");
        }
        assert!(read(&deep[1..]).is_ok());
    }

    #[test]
    fn what_the_protocol_carries_nowhere_costs_what_needs_it() {
        let unfit = |bytes: &[u8]| matches!(read(bytes).unwrap(), Node::Unfit(_));
        for bytes in [
            &[0xd4, 1, 1][..],
            &[0xd6, 0xff, 0, 0, 0, 1],
            &[0xd8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xc7, 0, 1],
            &[0xc8, 0, 1, 1, 1],
            &[0xc9, 0, 0, 0, 1, 1, 1],
            &[0xa2, b'h', 0xff],
            &[0xd9, 3, 0xed, 0xa0, 0x80],
            &[0xca, 0x7f, 0xc0, 0, 0],
            &[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(unfit(bytes), "{bytes:x?}");
        }
        for named in
            [&[0x81, 1, 2][..], &[0x81, 0xa1, 0xff, 1], &[0x81, 0xc4, 1, 7, 2], &[0x81, 0xc0, 2], &[0x81, 0x91, 1, 2]]
        {
            let Node::Map(fields) = read(named).unwrap() else { panic!("a map: {named:x?}") };
            assert!(matches!(fields.as_slice(), [(name, Node::Unfit(_))] if name == NAMELESS), "{named:x?}");
            assert!(read_value(named).is_err());
        }
        assert_eq!(read_value(&[0x82, 0xa1, b'a', 1, 0xa1, b'b', 0xd4, 0, 0]).unwrap(), json!({"a": 1}));
        assert_eq!(read_value(&[0x92, 1, 0xd4, 0, 0]).unwrap(), json!([1, null]));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                proptest::collection::vec((".{0,8}", inner), 0..20)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_writes_is_read(value in values()) {
            let bytes = rmp_serde::to_vec_named(&value).unwrap();
            prop_assert_eq!(read_value(&bytes).unwrap(), value);
        }

        #[test]
        fn what_is_read_another_reads_alike(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            // The other is as strict as can be.
            if let (Ok(value), Ok(other)) = (read_value(&bytes), rmp_serde::from_slice::<Value>(&bytes)) {
                prop_assert_eq!(other, value);
            }
        }
    }
}
