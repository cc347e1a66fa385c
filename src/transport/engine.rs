//! Engine.IO over HTTP: how its requests are told apart, and what they are answered (protocol.md § 27).
//!
//! ```text
//! GET  /socket.io/?EIO=4&transport=polling            a new connection; its first packet is the handshake
//! GET  /socket.io/?EIO=4&transport=polling&sid=…      what it is told
//! POST /socket.io/?EIO=4&transport=polling&sid=…      what it says
//! GET  /socket.io/?EIO=4&transport=websocket          a new connection over a WebSocket
//! GET  /socket.io/?EIO=4&transport=websocket&sid=…    the WebSocket that it would go on by
//! ```

use serde_json::json;

use crate::error::{Code, ErrorInfo};
use crate::http::Reply;
use crate::model::name::AppId;
use crate::protocol::socketio::engine::app_and_key;

/// What a request of a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Poll,
    Post,
    Upgrade,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Open { polls: bool },
    Of { app: AppId, key: String, ask: Ask },
}

/// The failures that Engine.IO numbers.
#[derive(Clone, Copy)]
enum Failure {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
}

pub fn is_engine(path: &str) -> bool {
    path == "/socket.io/" || path == "/socket.io"
}

/// What is no request of Engine.IO 4 has its answer.
pub fn route(method: &str, query: &[(String, String)], is_websocket: bool) -> Result<Asked, Reply> {
    let value = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if method == "OPTIONS" {
        return Err(Reply::preflight());
    }
    if value("EIO") != Some("4") {
        return Err(wrong(Failure::UnsupportedVersion, "Unsupported protocol version: this is Engine.IO 4 (EIO=4)"));
    }
    let polls = match value("transport") {
        Some("polling") => true,
        Some("websocket") => false,
        _ => return Err(wrong(Failure::UnknownTransport, "Transport unknown: use polling or websocket")),
    };
    if value("j").is_some() {
        return Err(wrong(Failure::BadRequest, "Bad request: there is no JSONP here"));
    }
    if polls == is_websocket {
        return Err(wrong(Failure::BadRequest, "Bad request: the transport is another than the query says"));
    }
    let Some(sid) = value("sid") else {
        return match method {
            "GET" => Ok(Asked::Open { polls }),
            _ => Err(of_method(
                Failure::BadHandshakeMethod,
                "Bad handshake method: a connection begins by GET",
                "GET, OPTIONS",
            )),
        };
    };
    let ask = match (polls, method) {
        (true, "GET") => Ask::Poll,
        (true, "POST") => Ask::Post,
        (false, "GET") => Ask::Upgrade,
        _ => {
            let (why, methods) = ("Bad request: connections are read by GET and written by POST", "GET, POST, OPTIONS");
            return Err(of_method(Failure::BadRequest, why, if polls { methods } else { "GET, OPTIONS" }));
        }
    };
    match app_and_key(sid) {
        Some((app, key)) => Ok(Asked::Of { app, key: key.to_owned(), ask }),
        None => Err(refused(&Code::Disconnected.into())),
    }
}

/// The app whose connection a query begins, where no credentials say it.
pub fn app(query: &[(String, String)]) -> Option<Result<AppId, ErrorInfo>> {
    query.iter().find(|(name, _)| name == "app").map(|(_, id)| AppId::parse(id))
}

/// A query with its token where all others have it. The rest of it is the application's, and means nothing here.
pub fn credentials(query: &[(String, String)]) -> Vec<(String, String)> {
    let known = |name: &str| match name {
        "token" | "access_token" => Some("access_token"),
        "key" => Some("key"),
        "clientId" => Some("clientId"),
        _ => None,
    };
    query.iter().filter_map(|(name, value)| Some((known(name)?.to_owned(), value.clone()))).collect()
}

/// The answer to what was posted.
pub fn taken() -> Reply {
    Reply::of(200, "text/html", "ok".to_owned())
}

/// The answer to a request that is refused, in Engine.IO's words and ours.
pub fn refused(error: &ErrorInfo) -> Reply {
    let is_unknown = [Code::Disconnected, Code::ConnectionClosed].iter().any(|code| error.is(*code));
    let failure = match error.status_code {
        _ if is_unknown => Failure::UnknownSid,
        401 | 403 => Failure::Forbidden,
        _ => Failure::BadRequest,
    };
    let status = match failure {
        Failure::Forbidden => 403,
        _ if error.is(Code::TooLarge) => 413,
        _ if error.status_code >= 429 => error.status_code,
        _ => 400,
    };
    let message = match failure {
        Failure::UnknownSid => "Session ID unknown".to_owned(),
        _ => error.to_string(),
    };
    Reply { status, ..failed(failure, &message).saying(error) }
}

/// The answer to what is no request of Engine.IO.
fn wrong(failure: Failure, why: &str) -> Reply {
    failed(failure, why).saying(&Code::BadRequest.because(why))
}

/// The answer to a request by another method. To Engine.IO that is a bad request.
fn of_method(failure: Failure, why: &str, methods: &str) -> Reply {
    let said = failed(failure, why).saying(&Code::MethodNotAllowed.because(why));
    Reply { status: 400, ..said }.allowing(methods)
}

fn failed(failure: Failure, message: &str) -> Reply {
    let status = if matches!(failure, Failure::Forbidden) { 403 } else { 400 };
    Reply::of(status, "application/json", json!({"code": failure as u8, "message": message}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Vec<(String, String)> {
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    fn routed(method: &str, text: &str, is_websocket: bool) -> Result<Asked, (u16, String)> {
        let reply = |reply: Reply| (reply.status, String::from_utf8(reply.body).unwrap());
        route(method, &query(text), is_websocket).map_err(reply)
    }

    #[test]
    fn requests_are_told_apart() {
        let of = |ask| Ok(Asked::Of { app: AppId::parse("demo").unwrap(), key: "a!0-0-b".to_owned(), ask });
        for (method, text, is_websocket, expected) in [
            ("GET", "EIO=4&transport=polling&t=abc", false, Ok(Asked::Open { polls: true })),
            ("GET", "EIO=4&transport=websocket", true, Ok(Asked::Open { polls: false })),
            ("GET", "EIO=4&transport=polling&sid=demo.a!0-0-b", false, of(Ask::Poll)),
            ("POST", "EIO=4&transport=polling&sid=demo.a!0-0-b", false, of(Ask::Post)),
            ("GET", "EIO=4&transport=websocket&sid=demo.a!0-0-b", true, of(Ask::Upgrade)),
        ] {
            assert_eq!(routed(method, text, is_websocket), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_request_gets_the_number_of_its_fault() {
        for (method, text, is_websocket, code) in [
            ("GET", "EIO=4&transport=carrier-pigeon", false, 0),
            ("GET", "EIO=4", false, 0),
            ("GET", "EIO=4&transport=polling&sid=nonsense", false, 1),
            ("POST", "EIO=4&transport=polling", false, 2),
            ("GET", "EIO=4&transport=polling&j=0", false, 3),
            ("GET", "EIO=4&transport=websocket", false, 3),
            ("GET", "EIO=4&transport=polling", true, 3),
            ("PUT", "EIO=4&transport=polling&sid=demo.a!0-0-b", false, 3),
            ("GET", "transport=polling", false, 5),
            ("GET", "EIO=3&transport=polling", false, 5),
        ] {
            let (status, body) = routed(method, text, is_websocket).unwrap_err();
            assert_eq!(status, 400, "{text}");
            assert!(body.starts_with(&format!(r#"{{"code":{code},"message":""#)), "{text}: {body}");
        }
        assert_eq!(routed("OPTIONS", "", false).unwrap_err().0, 204);
    }

    #[test]
    fn what_is_no_request_has_our_code_and_another_method_is_told_which_are_allowed() {
        for (method, text, code, allowed) in [
            ("GET", "EIO=3&transport=polling", Code::BadRequest, None),
            ("GET", "EIO=4&transport=polling&sid=nonsense", Code::Disconnected, None),
            ("TRACE", "EIO=4&transport=polling", Code::MethodNotAllowed, Some("GET, OPTIONS")),
            ("PUT", "EIO=4&transport=polling&sid=demo.a!0-0-b", Code::MethodNotAllowed, Some("GET, POST, OPTIONS")),
        ] {
            let Reply { headers, .. } = route(method, &query(text), false).unwrap_err();
            let said = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
            assert_eq!(said("X-Ably-ErrorCode"), Some(code.number().to_string()), "{text}");
            assert_eq!(said("Allow").as_deref(), allowed, "{text}");
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for (code, status, number) in [
            (Code::Disconnected, 400, 1),
            (Code::BadCredentials, 403, 4),
            (Code::BadBody, 400, 3),
            (Code::TooLarge, 413, 3),
            (Code::RateLimited, 429, 3),
            (Code::Unavailable, 503, 3),
        ] {
            let reply = refused(&code.into());
            let body = String::from_utf8(reply.body).unwrap();
            assert_eq!(reply.status, status, "{code:?}");
            assert!(body.starts_with(&format!(r#"{{"code":{number},"#)), "{body}");
            assert!(reply.headers.contains(&("X-Ably-ErrorCode", code.number().to_string())));
        }
    }

    #[test]
    fn only_credentials_are_read_of_a_query() {
        let query = query("token=a&room=1&clientId=me&app=demo");
        let expected = [("access_token", "a"), ("clientId", "me")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(credentials(&query), expected);
        assert_eq!(app(&query), Some(AppId::parse("demo")));
    }
}
