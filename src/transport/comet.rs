//! Comet: the protocol over plain HTTP, for clients whose network lets no WebSocket through (protocol.md § 13).
//!
//! Owns how requests are named, how the frames of a body are told apart, and how answers are written. A body is a JSON
//! array of frames, in both directions, and a line of its own: a stream has many.
//!
//! ```text
//! GET  /comet/connect?…            the first response: CONNECTED, and in a stream all that follows
//! GET  /comet/{connectionKey}/recv  the next one
//! POST /comet/{connectionKey}/send  frames to the server; their answers come by recv
//! GET  /comet/{connectionKey}/close, /comet/{connectionKey}/disconnect
//! ```

use serde::{Deserialize, Serialize};

use super::{Mode, refusal};
use crate::auth::Identity;
use crate::base::pinned::Versioned;
use crate::error::{Code, ErrorInfo};
use crate::http::{Reply, percent};
use crate::limits::{COMET_BODY_MAX_BYTES, COMET_FRAMES_MAX};
use crate::model::Format;
use crate::protocol::Encoded;
use crate::relay::session::Opening;

/// The connection that a request says it belongs to, as it comes from the router to the object that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    pub key: String,
    /// Whose credentials came with it. By Engine.IO none do: its client is whoever has the key.
    pub by: Option<Identity>,
}

impl Versioned for Claim {
    const VERSION: u8 = 1;
}

/// What a client says by asking for `close` or `disconnect`.
pub const CLOSE: &[u8] = br#"{"action":7}"#;
pub const DISCONNECT: &[u8] = br#"{"action":5}"#;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Connect,
    Recv,
    Send,
    Close,
    Disconnect,
    /// Of a connection by Engine.IO.
    #[cfg(feature = "socketio")]
    Engine(super::engine::Ask),
}

impl Verb {
    /// Whether it may be asked of a connection that is read so. The key of one is not the secret of another.
    pub fn is_of(self, mode: Mode) -> bool {
        match self {
            #[cfg(feature = "socketio")]
            Verb::Engine(_) => mode == Mode::Engine,
            _ => matches!(mode, Mode::Poll | Mode::Stream),
        }
    }

    /// The answer to such a request when it is refused.
    pub fn refuse(self, error: &ErrorInfo) -> Reply {
        match self {
            #[cfg(feature = "socketio")]
            Verb::Engine(_) => super::engine::refused(error),
            _ => refused(error),
        }
    }
}

/// What a request to `/comet/…` is for, and the key of the connection that it belongs to: none for a new one. What is
/// no such request has its answer: OPTIONS is allowed everywhere, other methods are refused with 40500, paths with
/// 40400.
pub fn route(method: &str, path: &str) -> Result<(Verb, String), Reply> {
    if method == "OPTIONS" {
        return Err(Reply::preflight());
    }
    let not_found = || refused(&Code::NotFound.because("this server has no such path"));
    let rest = path.strip_prefix("/comet/").ok_or_else(not_found)?;
    let (key, verb) = rest.split_once('/').unwrap_or(("", rest));
    let verb = match (key.is_empty(), verb) {
        (true, "connect") => Verb::Connect,
        (false, "recv") => Verb::Recv,
        (false, "send") => Verb::Send,
        (false, "close") => Verb::Close,
        (false, "disconnect") => Verb::Disconnect,
        _ => return Err(not_found()),
    };
    let (allowed, methods) = if verb == Verb::Send { ("POST", "POST, OPTIONS") } else { ("GET", "GET, OPTIONS") };
    if method != allowed {
        let error = Code::MethodNotAllowed.because("connections are read by GET and written by POST");
        return Err(refused(&error).allowing(methods));
    }
    Ok((verb, percent::decode(key).ok_or_else(not_found)?))
}

/// How a connection that begins by a query is read.
pub fn open(query: &[(String, String)], opening: &mut Opening) -> Mode {
    (opening.format, opening.is_kept) = (Format::Json, false);
    let polls = query.iter().any(|(name, value)| name == "stream" && value == "false");
    if polls { Mode::Poll } else { Mode::Stream }
}

/// The answer to a request that is refused: its frame says what the client is to do.
pub fn refused(error: &ErrorInfo) -> Reply {
    let body = match Mode::Poll.dialect().encode(&refusal(error)) {
        Encoded::Text(text) => array([text.as_str()].into_iter()),
        _ => array([].into_iter()),
    };
    Reply::of(error.status_code, "application/json", body).saying(error)
}

/// Frames as one body, or one piece of it.
pub fn array<'a>(frames: impl Iterator<Item = &'a str>) -> String {
    let mut body = String::from("[");
    for (index, frame) in frames.enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(frame);
    }
    body.push_str("]\n");
    body
}

/// The frames of a body, as they stand there: each is decoded, or refused, by itself. Fails with 40001 for what is no
/// array of values, and with 40009 for more than [`COMET_BODY_MAX_BYTES`] or [`COMET_FRAMES_MAX`].
pub fn frames(body: &[u8]) -> Result<Vec<&[u8]>, ErrorInfo> {
    if body.len() > COMET_BODY_MAX_BYTES {
        return Err(Code::TooLarge.because(format!("at most {COMET_BODY_MAX_BYTES} bytes can be sent at once")));
    }
    let malformed = || Code::BadBody.because("what is sent must be a JSON array of frames");
    let inside = body.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).ok_or_else(malformed)?;
    if inside.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let (mut frames, mut start, mut depth, mut in_text, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (at, byte) in inside.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1).ok_or_else(malformed)?,
            b',' if depth == 0 && frames.len() + 1 >= COMET_FRAMES_MAX => {
                return Err(Code::TooLarge.because(format!("at most {COMET_FRAMES_MAX} frames can be sent at once")));
            }
            b',' if depth == 0 => {
                frames.push(inside[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
    }
    frames.push(inside[start..].trim_ascii());
    let whole = depth == 0 && !in_text && frames.iter().all(|frame| !frame.is_empty());
    whole.then_some(frames).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(body: &str) -> Vec<String> {
        let frames = frames(body.as_bytes()).unwrap();
        frames.into_iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect()
    }

    #[test]
    fn requests_are_told_apart() {
        let key = "Ht1RaHhHJ5XM!0-1-abc_-";
        assert_eq!(route("GET", "/comet/connect").unwrap(), (Verb::Connect, String::new()));
        for (method, name, verb) in [
            ("GET", "recv", Verb::Recv),
            ("POST", "send", Verb::Send),
            ("GET", "close", Verb::Close),
            ("GET", "disconnect", Verb::Disconnect),
        ] {
            assert_eq!(route(method, &format!("/comet/{key}/{name}")).unwrap(), (verb, key.to_owned()));
        }
        assert_eq!(route("GET", "/comet/a%21b/recv").unwrap(), (Verb::Recv, "a!b".to_owned()));
    }

    #[test]
    fn what_is_no_request_has_an_answer() {
        let status = |method, path| route(method, path).unwrap_err().status;
        assert_eq!(status("OPTIONS", "/comet/connect"), 204);
        for path in ["/comet/", "/comet/recv", "/comet/a/b/recv", "/comet/a/open", "/comet//recv", "/comet/%zz/recv"] {
            assert_eq!(status("GET", path), 404, "{path}");
        }
        for (method, path, allowed) in [
            ("HEAD", "/comet/connect", "GET, OPTIONS"),
            ("POST", "/comet/connect", "GET, OPTIONS"),
            ("HEAD", "/comet/a/recv", "GET, OPTIONS"),
            ("GET", "/comet/a/send", "POST, OPTIONS"),
            ("POST", "/comet/a/close", "GET, OPTIONS"),
        ] {
            let reply = route(method, path).unwrap_err();
            assert_eq!(reply.status, 405, "{method} {path}");
            assert!(reply.headers.contains(&("Allow", allowed.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn a_refusal_is_pinned() {
        let reply = refused(&Code::TokenExpired.into());
        let body = r#"[{"action":9,"error":{"code":40142,"statusCode":401,"message":"token expired","href":"https://help.ably.io/error/40142"}}]"#;
        assert_eq!((reply.status, String::from_utf8(reply.body).unwrap()), (401, format!("{body}\n")));
        assert!(reply.headers.contains(&("X-Ably-ErrorCode", "40142".to_owned())));
        for (code, action) in
            [(Code::Unavailable, 6), (Code::RateLimited, 6), (Code::Disconnected, 6), (Code::ConnectionClosed, 9)]
        {
            let body = String::from_utf8(refused(&code.into()).body).unwrap();
            assert!(body.starts_with(&format!(r#"[{{"action":{action},"#)), "{body}");
        }
    }

    #[test]
    fn a_body_is_cut_where_its_frames_end() {
        assert_eq!(texts(" [ ] "), [] as [String; 0]);
        assert_eq!(
            texts(r#"[{"a":[1,{"b":2}]} , {"c":"],}\"["},3]"#),
            [r#"{"a":[1,{"b":2}]}"#, r#"{"c":"],}\"["}"#, "3"]
        );
        for bad in ["", "[", "]", "{}", "[{]", "[}{]", "[1,]", "[,1]", r#"["]"#, r#"["\"]"#, "[1]]x["] {
            assert!(frames(bad.as_bytes()).is_err_and(|error| error.is(Code::BadBody)), "{bad}");
        }
        assert!(frames(&vec![b' '; COMET_BODY_MAX_BYTES + 1]).is_err_and(|error| error.is(Code::TooLarge)));
    }

    #[test]
    fn frames_of_a_body_are_bounded() {
        let of = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(frames(of(COMET_FRAMES_MAX).as_bytes()).unwrap().len(), COMET_FRAMES_MAX);
        let more = of(COMET_FRAMES_MAX + 1);
        assert!(frames(more.as_bytes()).unwrap_err().is(Code::TooLarge));
    }

    proptest! {
        #[test]
        fn frames_come_back(values in proptest::collection::vec("[a-z\"\\\\,\\[\\]{}]{0,8}", 0..5)) {
            let values: Vec<String> = values.iter().map(|value| serde_json::json!({ "v": value }).to_string()).collect();
            prop_assert_eq!(texts(&array(values.iter().map(String::as_str))), values);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = frames(&bytes);
        }
    }
}
