//! What is sent back: status, headers and body of every kind of answer (protocol.md § 12.1).
//!
//! The content type is one of two texts, without parameters: SDKs compare it whole. Errors stand in the body and in
//! headers, since some clients read only one of them. No answer is kept, because it is a token, or true for a moment.
//!
//! Any page may read any answer, also one that its browser asked for with credentials, as SDKs do. That is safe as long
//! as a browser has none of its own to add: there are no cookies here, and no answer asks it for a password.

use serde::Serialize;
use serde_json::{Map, Value};

use super::form::Form;
use crate::error::{Code, ErrorInfo};
use crate::limits::ERROR_HEADER_MAX_BYTES;
use crate::model::Format;
use crate::protocol::{to_json, to_msgpack};

/// An HTTP response. The length of the body is the shell's to declare.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Says which error the body has.
const ERROR_CODE: &str = "X-Ably-ErrorCode";

const EXPOSED_HEADERS: &str = "Link, X-Ably-ErrorCode, X-Ably-ErrorMessage, X-Ably-ServerId, Content-Length";
const ALLOWED_METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
/// The wildcard is for what applications add; it covers neither `Authorization` nor old browsers.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Accept, X-Ably-Version, X-Ably-ClientId, Ably-Agent, \
                               X-Ably-DeviceToken, X-Ably-DeviceIdentityToken, X-Ably-DeviceSecret, Traceparent, \
                               Tracestate, *";

/// What a browser says of the page that asks.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The header `Origin`.
    pub origin: Option<String>,
    /// The header `Access-Control-Request-Headers`.
    pub wanted_headers: Option<String>,
}

impl Browser {
    /// What each answer says to a page besides: one that asked with credentials takes no wildcards.
    pub fn headers(&self) -> Vec<(&'static str, &str)> {
        let Some(origin) = &self.origin else { return Vec::new() };
        let wanted = self.wanted_headers.iter().map(|wanted| ("Access-Control-Allow-Headers", wanted.as_str()));
        let said = [
            ("Access-Control-Allow-Origin", origin.as_str()),
            ("Access-Control-Allow-Credentials", "true"),
            ("Vary", "Origin, Access-Control-Request-Headers"),
        ];
        said.into_iter().chain(wanted).collect()
    }
}

/// How long a browser need not ask again; the longest that any of them heeds.
const PREFLIGHT_MAX_AGE_S: &str = "86400";

impl Reply {
    /// That of the error that it has, if it has one.
    pub fn code(&self) -> Option<u32> {
        let code = self.headers.iter().find(|(name, _)| *name == ERROR_CODE);
        code.and_then(|(_, code)| code.parse().ok())
    }

    /// The answer to OPTIONS, whatever the path: it says nothing that depends on it.
    pub fn preflight() -> Reply {
        let headers = vec![
            ("Access-Control-Allow-Methods", ALLOWED_METHODS.to_owned()),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS.to_owned()),
            ("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S.to_owned()),
        ];
        complete(204, headers, Vec::new())
    }

    /// A body that is encoded already.
    pub fn of(status: u16, content_type: &str, body: String) -> Reply {
        complete(status, vec![("Content-Type", content_type.to_owned())], body.into_bytes())
    }

    /// Passes through proxies as it is written: nothing on the way is to hold it back, or to compress it.
    pub fn streamed(mut self) -> Reply {
        for (name, value) in &mut self.headers {
            if *name == "Cache-Control" {
                value.push_str(", no-transform");
            }
        }
        self.headers.push(("X-Accel-Buffering", "no".to_owned()));
        self
    }

    /// The same answer, with an error in its headers.
    pub fn saying(mut self, error: &ErrorInfo) -> Reply {
        self.status = error_status(error);
        self.headers.extend(error_headers(error));
        self
    }

    /// Says by which methods the path is asked instead.
    pub fn allowing(mut self, methods: &str) -> Reply {
        self.headers.push(("Allow", methods.to_owned()));
        self
    }

    /// Says after how many seconds it may be asked again.
    pub fn after(mut self, seconds: u64) -> Reply {
        self.headers.push(("Retry-After", seconds.to_string()));
        self
    }

    /// It is done, and there is nothing to say.
    pub fn empty() -> Reply {
        complete(204, Vec::new(), Vec::new())
    }
}

impl Form {
    pub fn ok(self, body: &impl Serialize) -> Reply {
        self.reply(200, vec![], body)
    }

    pub fn created(self, body: &impl Serialize) -> Reply {
        self.reply(201, vec![], body)
    }

    /// A page of a list, with its links.
    pub fn page(self, body: &impl Serialize, link: String) -> Reply {
        self.reply(200, vec![("Link", link)], body)
    }

    pub fn error(self, error: &ErrorInfo) -> Reply {
        self.failure(error, vec![], &ErrorBody { error })
    }

    pub fn method_not_allowed(self, methods: &str) -> Reply {
        let error = Code::MethodNotAllowed.into();
        let allowed = methods.strip_prefix("GET").map_or(methods.to_owned(), |others| "GET, HEAD".to_owned() + others);
        self.failure(&error, vec![("Allow", allowed)], &ErrorBody { error: &error })
    }

    /// An error whose body says more than the error.
    pub fn failure(self, error: &ErrorInfo, mut headers: Vec<(&'static str, String)>, body: &impl Serialize) -> Reply {
        headers.extend(error_headers(error));
        self.reply(error_status(error), headers, body)
    }

    fn reply(self, status: u16, extra: Vec<(&'static str, String)>, body: &impl Serialize) -> Reply {
        self.finish(status, extra, bytes(body, self.format))
    }

    /// Apart from [`Form::reply`], of which there is one for each kind of body.
    #[inline(never)]
    fn finish(self, status: u16, extra: Vec<(&'static str, String)>, body: Vec<u8>) -> Reply {
        let content_type = ("Content-Type", media_type(self.format).to_owned());
        let headers: Vec<_> = [content_type.clone()].into_iter().chain(extra).collect();
        let mut reply = match self.enveloped {
            false => complete(status, headers, body),
            true => complete(200, vec![content_type], envelope(status, &headers, &body, self.format)),
        };
        if self.bodiless {
            reply.headers.push(("Content-Length", reply.body.len().to_string()));
            reply.body.clear();
        }
        reply
    }
}

fn error_headers(error: &ErrorInfo) -> Vec<(&'static str, String)> {
    let mut headers = vec![(ERROR_CODE, error.code.to_string()), ("X-Ably-ErrorMessage", header_text(&error.message))];
    if error.status_code == 415 {
        headers.push(("Accept-Encoding", "identity".to_owned()));
    }
    // There are SDKs that ask for another token only when they are told so here.
    if error.is_token_error() {
        headers.push(("WWW-Authenticate", "X-Ably-Token stale=\"true\"".to_owned()));
    }
    headers
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a ErrorInfo,
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Msgpack => "application/x-msgpack",
    }
}

fn bytes(value: &impl Serialize, format: Format) -> Vec<u8> {
    match format {
        Format::Json => to_json(value).into_bytes(),
        Format::Msgpack => to_msgpack(value),
    }
}

fn complete(status: u16, mut headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Reply {
    headers.push(("Cache-Control", "no-store".to_owned()));
    headers.push(("Access-Control-Allow-Origin", "*".to_owned()));
    headers.push(("Access-Control-Expose-Headers", EXPOSED_HEADERS.to_owned()));
    Reply { status, headers, body }
}

/// The rest of an answer around its body, which is encoded already: an object of three fields, by hand.
fn envelope(status: u16, headers: &[(&'static str, String)], body: &[u8], format: Format) -> Vec<u8> {
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
    let headers = bytes(&headers, format);
    match format {
        Format::Json => {
            let status = format!(r#"{{"statusCode":{status},"headers":"#);
            [status.as_bytes(), &headers, br#","response":"#, body, b"}"].concat()
        }
        Format::Msgpack => {
            const MAP_OF_THREE: &[u8] = &[0x83];
            let field = |name: &str| bytes(&name, format);
            let status = [field("statusCode"), bytes(&status, format)].concat();
            [MAP_OF_THREE, &status, &field("headers"), &headers, &field("response"), body].concat()
        }
    }
}

/// Errors come from other objects too, whose word is not taken for a status that HTTP has not.
fn error_status(error: &ErrorInfo) -> u16 {
    if (400..600).contains(&error.status_code) { error.status_code } else { 500 }
}

/// A text that is safe in a header: printable ASCII, and short.
fn header_text(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(ERROR_HEADER_MAX_BYTES).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Form = Form { format: Format::Json, enveloped: false, bodiless: false };
    const MSGPACK: Form = Form { format: Format::Msgpack, ..JSON };

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_answer_is_pinned() {
        let reply = JSON.ok(&[1]);
        let expected = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
        ];
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"[1]"[..]));
        assert_eq!(reply.headers, expected.map(|(name, value)| (name, value.to_owned())));
        let reply = MSGPACK.ok(&[1]);
        assert_eq!(reply.body, [0x91, 1]);
        assert_eq!(header(&reply, "Content-Type"), Some("application/x-msgpack"));
    }

    #[test]
    fn an_error_stands_in_body_and_headers() {
        let reply = JSON.error(&Code::NotFound.because("no such \"path\""));
        let expected = r#"{"error":{"code":40400,"statusCode":404,"message":"no such \"path\"","href":"https://help.ably.io/error/40400"}}"#;
        assert_eq!((reply.status, String::from_utf8(reply.body.clone()).unwrap().as_str()), (404, expected));
        assert_eq!(header(&reply, "X-Ably-ErrorCode"), Some("40400"));
        assert_eq!(header(&reply, "X-Ably-ErrorMessage"), Some("no such \"path\""));
    }

    #[test]
    fn no_message_breaks_a_header() {
        let reply = JSON.error(&Code::BadBody.because(format!("a\r\nSet-Cookie: ü\0\u{7f}{}", "x".repeat(10_000))));
        let text = header(&reply, "X-Ably-ErrorMessage").unwrap();
        assert!(text.starts_with("a??Set-Cookie: ???x") && text.len() == ERROR_HEADER_MAX_BYTES, "{text}");
    }

    #[test]
    fn an_error_always_has_a_status_of_one() {
        for (status_code, status) in [(401, 401), (599, 599), (0, 500), (200, 500), (700, 500)] {
            let error = ErrorInfo { status_code, ..Code::BadRequest.into() };
            assert_eq!(JSON.error(&error).status, status);
        }
    }

    #[test]
    fn an_envelope_holds_status_headers_and_body() {
        let reply = Form { enveloped: true, ..JSON }.page(&["m"], "<./messages?limit=1>; rel=\"first\"".into());
        let expected = r#"{"statusCode":200,"headers":{"Content-Type":"application/json","Link":"<./messages?limit=1>; rel=\"first\""},"response":["m"]}"#;
        assert_eq!((reply.status, String::from_utf8(reply.body.clone()).unwrap().as_str()), (200, expected));
        assert_eq!(header(&reply, "Link"), None);
        let reply = Form { enveloped: true, ..MSGPACK }.error(&Code::NotFound.into());
        let value: serde_json::Value = rmp_serde::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, &value["statusCode"]), (200, &404.into()));
        assert_eq!(value["headers"]["X-Ably-ErrorCode"], "40400");
        assert_eq!(value["response"]["error"]["code"], 40400);
    }

    #[test]
    fn a_page_reads_an_answer_that_it_asked_for_with_credentials() {
        let browser = Browser { origin: Some("https://page.example".into()), wanted_headers: None };
        let said = |browser: &Browser, named| {
            browser.headers().into_iter().find(|(name, _)| *name == named).map(|(_, value)| value.to_owned())
        };
        assert_eq!(said(&browser, "Access-Control-Allow-Origin").as_deref(), Some("https://page.example"));
        assert_eq!(said(&browser, "Access-Control-Allow-Credentials").as_deref(), Some("true"));
        assert!(said(&browser, "Vary").is_some_and(|vary| vary.contains("Origin")));
        assert_eq!(said(&browser, "Access-Control-Allow-Headers"), None, "what the answer says stays");
        let browser = Browser { wanted_headers: Some("authorization,x-mine".into()), ..browser };
        assert_eq!(said(&browser, "Access-Control-Allow-Headers").as_deref(), Some("authorization,x-mine"));
        assert_eq!(Browser::default().headers(), [], "without an origin there is no page");
    }

    #[test]
    fn a_stream_asks_proxies_to_pass_it_on() {
        let reply = Reply::of(200, "text/event-stream", String::new()).streamed();
        assert_eq!(header(&reply, "Cache-Control"), Some("no-store, no-transform"));
        assert_eq!(header(&reply, "X-Accel-Buffering"), Some("no"));
    }

    #[test]
    fn preflights_are_answered() {
        let reply = Reply::preflight();
        assert_eq!((reply.status, reply.body.len()), (204, 0));
        assert_eq!(header(&reply, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(header(&reply, "Access-Control-Allow-Headers"), Some(ALLOWED_HEADERS));
    }
}
