//! Traces, as W3C Trace Context names them in a header or a message: `00-<trace>-<parent>-<flags>`.

use serde_json::{Map, Value};

use super::message::{Extras, Message};
use crate::limits::TRACE_ROOM_BYTES;

/// What it is called, as a header and among the headers of a message.
pub const TRACE: &str = "traceparent";

const HEADERS: &str = "headers";

/// Lengths of its parts.
const PARTS: [usize; 4] = [2, 32, 16, 2];

/// A `traceparent` that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace<'a>(&'a str);

impl<'a> Trace<'a> {
    /// `None` for what W3C says is no trace, or is to be passed over.
    pub fn read(text: &'a str) -> Option<Trace<'a>> {
        let is_hex = |text: &&str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let parts: Vec<&str> = text.split('-').take(PARTS.len() + 1).collect();
        let is_one = parts.iter().map(|part| part.len()).eq(PARTS) && parts.iter().all(is_hex);
        let is_nobodys = |part: &str| part.bytes().all(|byte| byte == b'0');
        (is_one && parts[0] != "ff" && !is_nobodys(parts[1]) && !is_nobodys(parts[2])).then_some(Trace(text))
    }

    /// That which a message says in `extras.headers.traceparent` that it is part of.
    pub fn of(extras: &'a Extras) -> Option<Trace<'a>> {
        Trace::read(extras.get(HEADERS)?.get(TRACE)?.as_str()?)
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// What logs know it by.
    pub fn id(self) -> &'a str {
        self.0.split('-').nth(1).unwrap_or_default()
    }

    /// Has the messages of a publish be part of it that do not say of which they are, unless they are so large that a
    /// clientId might find no room.
    pub fn put_in(self, messages: &mut [Message], max_bytes: usize) {
        let bytes: usize = messages.iter().map(|message| message.size() + TRACE_ROOM_BYTES).sum();
        if bytes <= max_bytes {
            messages.iter_mut().for_each(|message| self.put(message));
        }
    }

    fn put(self, message: &mut Message) {
        let headers = message.extras.get_or_insert_default().entry(HEADERS).or_insert(Value::Null);
        if headers.is_null() {
            *headers = Value::Object(Map::new());
        }
        if let Value::Object(headers) = headers {
            headers.entry(TRACE).or_insert_with(|| self.0.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_w3c_calls_a_trace_is_one() {
        assert_eq!(Trace::read(GOOD).map(Trace::id), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let (version, zeros) = (&GOOD[2..], GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)));
        let orphan = GOOD.replace("00f067aa0ba902b7", &"0".repeat(16));
        let (upper, longer, shorter) = (GOOD.to_uppercase(), format!("{GOOD}-x"), &GOOD[1..]);
        for other in ["", "00", "a\r\nb: c", &upper, &longer, shorter, &format!("ff{version}"), &zeros, &orphan] {
            assert_eq!(Trace::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_message_keeps_the_trace_that_it_names_and_all_else_that_it_says() {
        let of = |extras: Value| Message { extras: extras.as_object().cloned(), ..Message::default() };
        let other = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-00";
        let mut messages = [
            Message::default(),
            of(json!({"headers": {"a": 1}, "ephemeral": true})),
            of(json!({"headers": null})),
            of(json!({"headers": {"traceparent": other}})),
        ];
        Trace::read(GOOD).unwrap().put_in(&mut messages, 10_000);
        assert_eq!(messages[0], of(json!({"headers": {"traceparent": GOOD}})));
        assert_eq!(messages[1], of(json!({"headers": {"a": 1, "traceparent": GOOD}, "ephemeral": true})));
        assert_eq!(messages[2], messages[0]);
        assert_eq!(messages[3].extras.as_ref().and_then(Trace::of), Trace::read(other));
    }

    #[test]
    fn a_publish_that_fits_still_does() {
        let mut messages = [Message::default(), Message::default()];
        Trace::read(GOOD).unwrap().put_in(&mut messages, 2 * TRACE_ROOM_BYTES - 1);
        assert_eq!(messages, [Message::default(), Message::default()]);
    }
}
