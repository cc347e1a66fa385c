//! Engine.IO 4, on which Socket.IO rides: the packets of a transport, and how a body holds several.
//!
//! A packet is a digit and what belongs to it. A WebSocket's frame holds one, and bytes are a message by themselves. A
//! body of the polling transport holds several with a separator between them, and bytes in base64 behind a `b`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::Encoded;
use crate::error::{Code, ErrorInfo};
use crate::limits::{ENGINE_PACKETS_MAX, ENGINE_PAYLOAD_MAX_BYTES};
use crate::model::Format;
use crate::model::name::AppId;

pub const PING: &str = "2";
pub const CLOSE: &str = "1";
pub const NOOP: &str = "6";
/// A WebSocket that a client tries beside its polls, what it is answered, and that the client goes on by it.
pub const PROBE: &[u8] = b"2probe";
pub const PROBED: &str = "3probe";
pub const UPGRADE: &[u8] = b"5";

const SEPARATOR: char = '\x1e';

/// Names a connection to its client, and leads to the object that holds it. Only who was told it can have it.
pub fn sid(app: &AppId, key: &str) -> String {
    [app.as_str(), ".", key].concat()
}

/// The app and the connection's key.
pub fn app_and_key(sid: &str) -> Option<(AppId, &str)> {
    let (app, key) = sid.split_once('.')?;
    Some((AppId::parse(app).ok()?, key))
}

/// What a client's packet is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Packet<'a> {
    Close,
    /// A client asks whether the server is there; it is answered with the same text.
    Ping(&'a str),
    Pong,
    /// A packet of Socket.IO.
    Message(&'a str),
    /// Says nothing here: an upgrade that is over, or nothing at all.
    Noop,
}

/// One packet of text. Fails with 40001 for what is none, and then the connection must end.
pub fn read(bytes: &[u8]) -> Result<Packet<'_>, ErrorInfo> {
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable())?;
    let mut rest = text.chars();
    match (rest.next(), rest.as_str()) {
        (Some('1'), "") => Ok(Packet::Close),
        (Some('2'), data) => Ok(Packet::Ping(data)),
        (Some('3'), _) => Ok(Packet::Pong),
        (Some('4'), packet) => Ok(Packet::Message(packet)),
        (Some('5' | '6'), "") => Ok(Packet::Noop),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> ErrorInfo {
    Code::BadBody.because("this is no packet of Engine.IO 4")
}

/// The packets of a body, and whether each is text or bytes. Fails with 40009 for more than
/// [`ENGINE_PAYLOAD_MAX_BYTES`] or [`ENGINE_PACKETS_MAX`], and with 40001 for what is no text, or says to be base64 and
/// is not.
pub fn packets(body: &[u8]) -> Result<Vec<(Vec<u8>, Format)>, ErrorInfo> {
    if body.len() > ENGINE_PAYLOAD_MAX_BYTES {
        return Err(Code::TooLarge.because(format!("a body has at most {ENGINE_PAYLOAD_MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    if text.matches(SEPARATOR).count() >= ENGINE_PACKETS_MAX {
        return Err(Code::TooLarge.because(format!("a body has at most {ENGINE_PACKETS_MAX} packets")));
    }
    let packet = |packet: &str| match packet.strip_prefix('b') {
        None => Ok((packet.as_bytes().to_vec(), Format::Json)),
        Some(base64) => {
            let bytes = BASE64.decode(base64).map_err(|_| unreadable())?;
            Ok((bytes, Format::Msgpack))
        }
    };
    text.split(SEPARATOR).map(packet).collect()
}

/// Frames as one body. One without any says that there is nothing.
pub fn body<'a>(frames: impl Iterator<Item = &'a Encoded>) -> String {
    let mut body = String::new();
    frames.for_each(|frame| push(&mut body, frame));
    if body.is_empty() { NOOP.to_owned() } else { body }
}

fn push(body: &mut String, frame: &Encoded) {
    let separate = |body: &mut String| {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
    };
    match frame {
        Encoded::Text(text) => {
            separate(body);
            body.push_str(text);
        }
        Encoded::Binary(bytes) => {
            separate(body);
            body.push('b');
            BASE64.encode_string(bytes, body);
        }
        Encoded::Several(frames) => frames.iter().for_each(|frame| push(body, frame)),
        Encoded::Events(_) | Encoded::Close(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart_by_their_first_digit() {
        assert_eq!(read(b"1").unwrap(), Packet::Close);
        assert_eq!(read(b"2probe").unwrap(), Packet::Ping("probe"));
        assert_eq!(read(b"3").unwrap(), Packet::Pong);
        assert_eq!(read("42[\"é\"]".as_bytes()).unwrap(), Packet::Message("2[\"é\"]"));
        for noop in ["5", "6"] {
            assert_eq!(read(noop.as_bytes()).unwrap(), Packet::Noop);
        }
        for bad in [&b""[..], b"0", b"0{}", b"7", b"x", b"b", b"\xff", "é".as_bytes(), b"1x", b"5x"] {
            assert!(read(bad).unwrap_err().is(Code::BadBody), "{bad:?}");
        }
    }

    #[test]
    fn a_body_is_cut_at_its_separators() {
        let body = "40\x1e42[\"a\"]\x1ebAQI=";
        let packets: Vec<(Vec<u8>, Format)> = packets(body.as_bytes()).unwrap().into_iter().collect();
        let expected =
            [(b"40".to_vec(), Format::Json), (b"42[\"a\"]".to_vec(), Format::Json), (vec![1, 2], Format::Msgpack)];
        assert_eq!(packets, expected);
    }

    #[test]
    fn a_body_is_bounded() {
        let of = |count: usize| vec!["3"; count].join("\x1e");
        assert_eq!(packets(of(ENGINE_PACKETS_MAX).as_bytes()).unwrap().len(), ENGINE_PACKETS_MAX);
        assert!(packets(of(ENGINE_PACKETS_MAX + 1).as_bytes()).unwrap_err().is(Code::TooLarge));
        assert!(packets(&vec![b'4'; ENGINE_PAYLOAD_MAX_BYTES + 1]).unwrap_err().is(Code::TooLarge));
        for bad in [&b"b!"[..], b"\xff", b"bA"] {
            assert!(packets(bad).unwrap_err().is(Code::BadBody), "{bad:?}");
        }
    }

    #[test]
    fn a_body_holds_what_frames_hold() {
        let frames = [
            Encoded::Text("2".to_owned()),
            Encoded::Several(vec![Encoded::Text("451-[]".to_owned()), Encoded::Binary(vec![1, 2])]),
        ];
        assert_eq!(body(frames.iter()), "2\x1e451-[]\x1ebAQI=");
        assert_eq!(body([].iter()), "6");
        assert_eq!(body([Encoded::Several(Vec::new())].iter()), "6");
    }
}
