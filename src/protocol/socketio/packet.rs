//! The packets of Socket.IO 4 (its protocol 5): `<type>[<attachments>-][<namespace>,][<id>][<JSON>]`.
//!
//! A namespace is a channel's name behind a slash; what its packets cannot hold of a name is escaped, in one way only,
//! so that both lead to each other. The namespace `/` is the channel `/`.

use crate::error::{Code, ErrorInfo};
use crate::limits::{CHANNEL_NAME_MAX_BYTES, SOCKETIO_ATTACHMENTS_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    BinaryEvent,
    BinaryAck,
}

/// A packet, as far as it is read without a look at its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet<'a> {
    pub kind: Kind,
    /// How many packets of bytes follow.
    pub attachments: usize,
    pub namespace: &'a str,
    /// By which its client knows the acknowledgement that it wants.
    pub id: Option<u64>,
    /// JSON, or nothing.
    pub data: &'a str,
}

/// The largest number that JavaScript counts to.
const ID_MAX: u64 = (1 << 53) - 1;

/// Fails with 40001 for what is no packet, and then the connection must end.
pub fn read(text: &str) -> Result<Packet<'_>, ErrorInfo> {
    let kind = match text.as_bytes().first() {
        Some(b'0') => Kind::Connect,
        Some(b'1') => Kind::Disconnect,
        Some(b'2') => Kind::Event,
        Some(b'3') => Kind::Ack,
        Some(b'4') => Kind::ConnectError,
        Some(b'5') => Kind::BinaryEvent,
        Some(b'6') => Kind::BinaryAck,
        _ => return Err(unreadable("its type is unknown")),
    };
    let rest = &text[1..];
    let (attachments, rest) = match kind {
        Kind::BinaryEvent | Kind::BinaryAck => attachments(rest)?,
        _ => (0, rest),
    };
    let (namespace, rest) = match rest.strip_prefix('/') {
        None => ("/", rest),
        Some(_) => rest.split_once(',').unwrap_or((rest, "")),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, data) = rest.split_at(digits);
    let id = (!id.is_empty()).then(|| id.parse().ok().filter(|id| *id <= ID_MAX).ok_or_else(bad_id)).transpose()?;
    Ok(Packet { kind, attachments, namespace, id, data })
}

fn attachments(rest: &str) -> Result<(usize, &str), ErrorInfo> {
    let bad = || unreadable("it does not say how many attachments it has");
    let (count, rest) = rest.split_once('-').ok_or_else(bad)?;
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: usize = count.parse().ok().filter(|count| is_number && *count > 0).ok_or_else(bad)?;
    match count <= SOCKETIO_ATTACHMENTS_MAX {
        true => Ok((count, rest)),
        false => Err(Code::TooLarge.because(format!("an event has at most {SOCKETIO_ATTACHMENTS_MAX} attachments"))),
    }
}

fn bad_id() -> ErrorInfo {
    unreadable("its id is too large")
}

fn unreadable(why: &str) -> ErrorInfo {
    Code::BadBody.because(format!("this is no packet of Socket.IO 4: {why}"))
}

/// A packet as text, in the frame of Engine.IO that holds it. `id` and `data` may be empty.
pub fn write(kind: Kind, attachments: usize, namespace: &str, id: &str, data: &str) -> String {
    let (number, digits) = ((b'0' + kind as u8) as char, attachments.to_string());
    let mut text = String::with_capacity(namespace.len() + id.len() + data.len() + 6);
    text.push('4');
    text.push(number);
    if attachments > 0 {
        text.push_str(&digits);
        text.push('-');
    }
    if namespace != "/" {
        text.push_str(namespace);
        text.push(',');
    }
    text.push_str(id);
    text.push_str(data);
    text
}

/// The channel of a namespace. Fails with 40010 for one that is escaped where it need not be, or badly: what it is
/// answered would not reach it.
pub fn channel(namespace: &str) -> Result<String, ErrorInfo> {
    let written = namespace.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(namespace);
    let name = unescaped(written).ok_or_else(|| Code::BadChannelName.because("'%' must begin an escape"))?;
    // A refusal quotes it, and has a bound, too.
    if name.len() > CHANNEL_NAME_MAX_BYTES {
        return Err(Code::BadChannelName.because(format!("a channel name has at most {CHANNEL_NAME_MAX_BYTES} bytes")));
    }
    let escaped = self::namespace(&name);
    match escaped == namespace {
        true => Ok(name),
        false => Err(Code::BadChannelName.because(format!("write this namespace as '{escaped}'"))),
    }
}

/// `None` for a `%` without two digits behind it, and for what is no text then.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let (byte, length) = if *byte == b'%' { ((digit(0)? * 16 + digit(1)?) as u8, 2) } else { (*byte, 0) };
        bytes.push(byte);
        rest = &after[length..];
    }
    String::from_utf8(bytes).ok()
}

/// The namespace of a channel.
pub fn namespace(channel: &str) -> String {
    if channel == "/" {
        return channel.to_owned();
    }
    let mut namespace = String::with_capacity(channel.len() + 1);
    namespace.push('/');
    for character in channel.chars() {
        match character {
            '%' => namespace.push_str("%25"),
            ',' => namespace.push_str("%2C"),
            '?' => namespace.push_str("%3F"),
            '#' => namespace.push_str("%23"),
            plain => namespace.push(plain),
        }
    }
    namespace
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_read() {
        let packet = |kind, attachments, namespace, id, data| Packet { kind, attachments, namespace, id, data };
        for (text, expected) in [
            ("0", packet(Kind::Connect, 0, "/", None, "")),
            ("0{\"a\":1}", packet(Kind::Connect, 0, "/", None, "{\"a\":1}")),
            ("0/chat,{}", packet(Kind::Connect, 0, "/chat", None, "{}")),
            ("1/chat,", packet(Kind::Disconnect, 0, "/chat", None, "")),
            ("1/chat", packet(Kind::Disconnect, 0, "/chat", None, "")),
            ("2[\"a\"]", packet(Kind::Event, 0, "/", None, "[\"a\"]")),
            ("2/a:b,12[\"a\"]", packet(Kind::Event, 0, "/a:b", Some(12), "[\"a\"]")),
            ("51-/c,7[{}]", packet(Kind::BinaryEvent, 1, "/c", Some(7), "[{}]")),
            ("52-[]", packet(Kind::BinaryEvent, 2, "/", None, "[]")),
            ("3/,1[]", packet(Kind::Ack, 0, "/", Some(1), "[]")),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for bad in ["", "7", "x", "5[]", "5-[]", "50-[]", "5+1-[]", "5x-[]", "29007199254740992[]", "é"] {
            assert!(read(bad).unwrap_err().is(Code::BadBody), "{bad}");
        }
        let count = SOCKETIO_ATTACHMENTS_MAX;
        assert!(read(&format!("5{count}-[]")).is_ok());
        assert!(read(&format!("5{}-[]", count + 1)).unwrap_err().is(Code::TooLarge));
    }

    #[test]
    fn packets_are_written_as_they_are_read() {
        for (text, kind, attachments, namespace, id, data) in [
            ("40{\"sid\":\"a\"}", Kind::Connect, 0, "/", "", "{\"sid\":\"a\"}"),
            ("43/chat,5[null]", Kind::Ack, 0, "/chat", "5", "[null]"),
            ("452-/chat,[1]", Kind::BinaryEvent, 2, "/chat", "", "[1]"),
            ("41/chat,", Kind::Disconnect, 0, "/chat", "", ""),
        ] {
            assert_eq!(write(kind, attachments, namespace, id, data), text);
        }
    }

    #[test]
    fn a_namespace_is_a_channel() {
        for (namespace_, channel_) in [
            ("/", "/"),
            ("/chat", "chat"),
            ("/chat:é 1", "chat:é 1"),
            ("/a/b", "a/b"),
            ("/[%3Frewind=1]a%2Cb%25", "[?rewind=1]a,b%"),
        ] {
            assert_eq!(channel(namespace_).unwrap(), channel_);
            assert_eq!(namespace(channel_), namespace_);
        }
        for bad in ["/a%20b", "/%zz", "/a%2cb", "//", "/%"] {
            assert!(channel(bad).unwrap_err().is(Code::BadChannelName), "{bad}");
        }
        assert_eq!(channel("/a%20b").unwrap_err().message, "write this namespace as '/a b'");
        let long = channel(&format!("/{}", ",".repeat(100_000))).unwrap_err();
        assert!(long.is(Code::BadChannelName) && long.message.len() < 100, "not what it is, again");
    }

    proptest! {
        #[test]
        fn any_channel_has_a_namespace(name in "[^\u{0}-\u{1f}]{1,12}") {
            prop_assert_eq!(channel(&namespace(&name)).unwrap(), name.clone());
            let text = write(Kind::Event, 0, &namespace(&name), "3", "[\"a\"]");
            let packet = read(&text[1..]).unwrap();
            prop_assert_eq!((packet.namespace, packet.id, packet.data), (&*namespace(&name), Some(3), "[\"a\"]"));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = read(&text);
            let _ = channel(&text);
        }
    }
}
