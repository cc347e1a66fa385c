//! The event page: which paths it has, and the tokens of its attendees. Owns the rule of who an attendee is.
//!
//! A deployment has the page when its variable `EVENT_KEY` names one of its keys. `POST /event/token` then gives a
//! token of that key to whoever asks, so the key's capability is what the public may do. A token names its client
//! `<name>~<mark>`. The mark comes from a secret that the browser keeps, its seat: the same seat is the same client
//! again, and nobody else can be. A clientId without a mark is nobody's whom this endpoint let in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::auth::{ApprovedToken, Identity, Key, TokenDetails};
use crate::error::{Code, ErrorInfo};
use crate::http::{self, Reply, Request};
use crate::intake::parameters::{self, QueryOf};
use crate::limits::{EVENT_MARK_BYTES, EVENT_NAME_MAX_CHARS, EVENT_SEAT_MAX_BYTES, EVENT_SEAT_MIN_BYTES};

/// Where tokens are had.
pub const TOKEN_PATH: &str = "/event/token";

/// Where the console is, the page of whoever runs the server.
pub const CONSOLE_PATH: &str = "/console";

/// Between the name that an attendee chose and the mark.
const SEPARATOR: char = '~';

/// Whether a path leads to a page, and not to one of the files that pages load.
pub fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/stage") || path.starts_with("/embed/")
}

/// The error of a deployment without the page.
pub fn switched_off() -> ErrorInfo {
    Code::NotFound.because("the event page is switched off here: EVENT_KEY names the key that switches it on")
}

/// The error of a path that leads to none of the pages.
pub fn no_page() -> ErrorInfo {
    Code::NotFound.because("no page is here: those of an event are /, /stage and /embed/, and then its parts")
}

/// Answers a request for a token. `key` is the one that `EVENT_KEY` names, or why there is none.
pub fn answer(request: &Request, key: Result<Key, ErrorInfo>, now_ms: u64, random: [u8; 8]) -> Reply {
    match key.and_then(|key| token(request, &key, now_ms, random)) {
        Ok(details) => Reply::of(201, "application/json", serde_json::to_string(&details).unwrap_or_default()),
        Err(error) if error.is(Code::MethodNotAllowed) => http::refuse(request, &error).allowing("POST, OPTIONS"),
        Err(error) => http::refuse(request, &error),
    }
}

/// What is asked for, in JSON.
#[derive(Deserialize)]
struct Wanted {
    name: String,
    seat: String,
}

/// Fails with 40500 for another method than POST, with 40001 for a body that is not what is wanted, with 40003 for a
/// bad seat, and with 40012 for a bad name.
fn token(request: &Request, key: &Key, now_ms: u64, random: [u8; 8]) -> Result<TokenDetails, ErrorInfo> {
    if request.method != "POST" {
        return Err(Code::MethodNotAllowed.into());
    }
    parameters::check(QueryOf::Plain, &request.query, false)?;
    let wanted: Wanted = serde_json::from_slice(&request.body)
        .map_err(|_| Code::BadBody.because("the body must be {\"name\":\"…\",\"seat\":\"…\"} in JSON"))?;
    let client_id = format!("{}{SEPARATOR}{}", name(&wanted.name)?, mark(key, seat(&wanted.seat)?));
    Ok(ApprovedToken::of(key.clone(), Identity::parse(Some(&client_id))?, now_ms).issue(random))
}

fn name(text: &str) -> Result<&str, ErrorInfo> {
    let name = text.trim();
    let is_good = (1..=EVENT_NAME_MAX_CHARS).contains(&name.chars().count()) && !name.contains(SEPARATOR);
    let bounds = || format!("name must have 1 to {EVENT_NAME_MAX_CHARS} characters, and no {SEPARATOR}");
    is_good.then_some(name).ok_or_else(|| Code::BadClientId.because(bounds()))
}

fn seat(text: &str) -> Result<&str, ErrorInfo> {
    let is_good = (EVENT_SEAT_MIN_BYTES..=EVENT_SEAT_MAX_BYTES).contains(&text.len());
    let bounds = || format!("seat must have {EVENT_SEAT_MIN_BYTES} to {EVENT_SEAT_MAX_BYTES} bytes");
    is_good.then_some(text).ok_or_else(|| Code::BadParameter.because(bounds()))
}

fn mark(key: &Key, seat: &str) -> String {
    let tag = key.secret.mac(format!("courtside seat {seat}").as_bytes());
    URL_SAFE_NO_PAD.encode(&tag[..EVENT_MARK_BYTES])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{Apps, Credentials, KeyName, Presented, Surface};

    const NOW_MS: u64 = 1_700_000_000_000;
    const SEAT: &str = "0123456789abcdef";

    fn apps() -> Apps {
        let keys = json!([{"name": "event", "secret": "a secret".replace(' ', "-"), "capability": {"a": ["publish"]}}]);
        Apps::parse(&json!({"apps": [{"id": "demo", "keys": keys}]}).to_string(), 8).unwrap()
    }

    fn key() -> Key {
        let name = KeyName::parse("demo.event").unwrap();
        apps().get(name.app()).unwrap().key(&name).unwrap().clone()
    }

    fn ask(body: &Value) -> (u16, Value) {
        let request = Request { method: "POST".into(), body: body.to_string().into_bytes(), ..Request::default() };
        let reply = answer(&request, Ok(key()), NOW_MS, [1; 8]);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    fn client_id(name: &str, seat: &str) -> String {
        let (status, details) = ask(&json!({"name": name, "seat": seat}));
        assert_eq!(status, 201, "{details}");
        details["clientId"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_is_good_for_what_the_key_allows_and_for_one_name() {
        let (_, details) = ask(&json!({"name": " Ann ", "seat": SEAT}));
        assert_eq!(details["capability"], r#"{"a":["publish"]}"#);
        let query = [("accessToken".to_owned(), details["token"].as_str().unwrap().to_owned())];
        let presented = Presented { authorization: None, client_id: None, query: &query };
        let credentials = Credentials::parse(&presented, Surface::Realtime).unwrap();
        let grant = credentials.verify(apps().get(credentials.app_id()).map(|app| &**app), NOW_MS).unwrap();
        let identity = details["clientId"].as_str().unwrap();
        assert!(identity.starts_with("Ann~") && identity.len() == 4 + EVENT_MARK_BYTES * 4 / 3, "{identity}");
        assert_eq!(grant.client_id.name(), Some(identity));
    }

    #[test]
    fn a_seat_is_one_client_and_no_other_seat_is() {
        assert_eq!(client_id("Ann", SEAT), client_id("Ann", SEAT));
        assert_ne!(client_id("Ann", SEAT), client_id("Ann", "another seat, sixteen"));
        assert_eq!(
            client_id("Ann", SEAT).split_once('~').unwrap().1,
            client_id("Bob", SEAT).split_once('~').unwrap().1
        );
        assert!(client_id("*", SEAT).starts_with("*~"), "no wildcard");
    }

    #[test]
    fn what_is_no_name_and_no_seat_is_refused() {
        let long = "x".repeat(EVENT_NAME_MAX_CHARS + 1);
        let cases = [
            (json!({}), 40001),
            (json!([]), 40001),
            (json!({"name": "Ann"}), 40001),
            (json!({"name": 1, "seat": SEAT}), 40001),
            (json!({"name": "  ", "seat": SEAT}), 40012),
            (json!({"name": long, "seat": SEAT}), 40012),
            (json!({"name": "host~x", "seat": SEAT}), 40012),
            (json!({"name": "a\nb", "seat": SEAT}), 40012),
            (json!({"name": "Ann", "seat": "short"}), 40003),
            (json!({"name": "Ann", "seat": "x".repeat(EVENT_SEAT_MAX_BYTES + 1)}), 40003),
        ];
        for (body, code) in cases {
            assert_eq!(ask(&body).1["error"]["code"], code, "{body}");
        }
    }

    #[test]
    fn other_methods_and_parameters_are_refused_and_so_is_all_when_it_is_off() {
        let post = Request { method: "POST".into(), ..Request::default() };
        let code = |request: &Request, key| {
            let body: Value = serde_json::from_slice(&answer(request, key, NOW_MS, [1; 8]).body).unwrap();
            body["error"]["code"].as_u64().unwrap()
        };
        let got = Request { method: "GET".into(), ..post.clone() };
        assert_eq!(code(&got, Ok(key())), 40500);
        let headers = answer(&got, Ok(key()), NOW_MS, [1; 8]).headers;
        assert!(headers.contains(&("Allow", "POST, OPTIONS".to_owned())), "{headers:?}");
        assert_eq!(code(&Request { query: vec![("a".into(), "b".into())], ..post.clone() }, Ok(key())), 40002);
        assert_eq!(code(&post, Err(switched_off())), 40400);
    }

    #[test]
    fn pages_are_told_from_files() {
        assert!(["/", "/stage", "/embed/score"].into_iter().all(is_page));
        assert!(!["/event/main.js", "/vendor/ably.min.js", "/time", "/stages"].into_iter().any(is_page));
    }
}
