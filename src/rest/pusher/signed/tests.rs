//! Signatures that others made, and all that a signature covers.

use super::*;
use crate::auth::{App, Apps, Attempts};
use crate::rest::Admin;
use serde_json::json;
use std::rc::Rc;

/// Signed by the PHP library's rules: the parameters by name, in one text with the method and the path.
const PATH: &str = "/apps/3/events";
const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;

fn request(query: &[(&str, &str)], body: &str) -> Request {
    let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (method, path) = ("POST".to_owned(), PATH.to_owned());
    Request { method, path, query, body: body.as_bytes().to_vec(), ..Request::default() }
}

fn app() -> Rc<App> {
    let app = r#"{"id":"3","keys":[{"name":"main","secret":"7ad3773142a6692b25b8"}],"namespaces":[]}"#;
    Rc::new(serde_json::from_str(app).unwrap())
}

fn asked(request: &Request, now_ms: u64) -> Result<(), ErrorInfo> {
    asked_of(app(), request, now_ms)
}

fn asked_of(app: Rc<App>, request: &Request, now_ms: u64) -> Result<(), ErrorInfo> {
    let (apps, mut attempts, admin) = (Apps::of([app]), Attempts::default(), Admin::Closed);
    let mut context = Context { apps: &apps, attempts: &mut attempts, admin: &admin, now_ms, random: [0; 32] };
    caller(request, &AppId::parse("3").unwrap(), &mut context)?;
    check_body(request)
}

const SIGNED_AT_MS: u64 = 1_353_088_179_000;
const QUERY: [(&str, &str); 5] = [
    ("auth_key", "3.main"),
    ("auth_timestamp", "1353088179"),
    ("auth_version", "1.0"),
    ("body_md5", "ec365a775a4cd0599faeb73354201b6f"),
    ("auth_signature", "fe1beb8c62eeaf8da369a448bb7a028cc14fcbdf9694195628848dafe048d6b6"),
];

#[test]
fn a_signature_covers_the_method_the_path_the_parameters_and_the_body() {
    assert_eq!(asked(&request(&QUERY, BODY), SIGNED_AT_MS), Ok(()));
    let mut other = request(&QUERY, BODY);
    other.method = "GET".to_owned();
    assert!(asked(&other, SIGNED_AT_MS).unwrap_err().is(Code::BadCredentials));
    let mut other = request(&QUERY, BODY);
    other.path = "/apps/3/batch_events".to_owned();
    assert!(asked(&other, SIGNED_AT_MS).unwrap_err().is(Code::BadCredentials));
    let mut more = QUERY.to_vec();
    more.push(("info", "user_count"));
    assert!(asked(&request(&more, BODY), SIGNED_AT_MS).unwrap_err().is(Code::BadCredentials));
    assert!(asked(&request(&QUERY, &BODY.replace("foo", "bar")), SIGNED_AT_MS).unwrap_err().is(Code::BadCredentials));
    assert!(asked(&request(&QUERY, ""), SIGNED_AT_MS).unwrap_err().is(Code::BadCredentials));
}

#[test]
fn a_key_signs_until_its_end() {
    let app = |until_ms: u64| -> Rc<App> {
        let key = json!({"name": "main", "secret": "7ad3773142a6692b25b8", "validUntil": until_ms});
        Rc::new(serde_json::from_value(json!({"id": "3", "keys": [key], "namespaces": []})).unwrap())
    };
    assert_eq!(asked_of(app(SIGNED_AT_MS + 1), &request(&QUERY, BODY), SIGNED_AT_MS), Ok(()));
    let ended = asked_of(app(SIGNED_AT_MS), &request(&QUERY, BODY), SIGNED_AT_MS);
    assert!(ended.unwrap_err().is(Code::BadCredentials));
}

#[test]
fn a_request_is_good_for_ten_minutes() {
    for late_ms in [0, PUSHER_CLOCK_SKEW_MAX_MS] {
        assert_eq!(asked(&request(&QUERY, BODY), SIGNED_AT_MS + late_ms), Ok(()));
        assert_eq!(asked(&request(&QUERY, BODY), SIGNED_AT_MS - late_ms), Ok(()));
    }
    for at_ms in [SIGNED_AT_MS + PUSHER_CLOCK_SKEW_MAX_MS + 1, SIGNED_AT_MS - PUSHER_CLOCK_SKEW_MAX_MS - 1, 0] {
        assert!(asked(&request(&QUERY, BODY), at_ms).unwrap_err().is(Code::BadTimestamp), "{at_ms}");
    }
}

#[test]
fn each_parameter_must_be_there_and_be_right() {
    for missing in ["auth_key", "auth_timestamp", "auth_version", "auth_signature"] {
        let query: Vec<_> = QUERY.into_iter().filter(|(name, _)| *name != missing).collect();
        assert!(asked(&request(&query, BODY), SIGNED_AT_MS).is_err(), "{missing}");
    }
    let with = |name: &str, value: &'static str| {
        let set = |(known, old)| (known, if known == name { value } else { old });
        asked(&request(&QUERY.map(set), BODY), SIGNED_AT_MS).unwrap_err()
    };
    assert!(with("auth_key", "3.other").is(Code::BadCredentials));
    assert!(with("auth_key", "4.main").is(Code::BadCredentials));
    assert!(with("auth_version", "2.0").is(Code::BadParameter));
    assert!(with("auth_timestamp", "now").is(Code::BadCredentials), "that is signed too");
    assert!(with("auth_signature", "").is(Code::NoCredentials));
    assert!(with("auth_signature", "zz").is(Code::BadCredentials));
}

#[test]
fn wrong_signatures_are_counted() {
    let (apps, mut attempts, admin) = (Apps::of([app()]), Attempts::default(), Admin::Closed);
    let wrong = request(&QUERY.map(|(name, value)| (name, if name == "auth_signature" { "00" } else { value })), BODY);
    let mut last = Code::BadCredentials;
    for _ in 0..100 {
        let mut context =
            Context { apps: &apps, attempts: &mut attempts, admin: &admin, now_ms: SIGNED_AT_MS, random: [0; 32] };
        let error = caller(&wrong, &AppId::parse("3").unwrap(), &mut context).err().unwrap();
        last = Code::from_number(error.code).unwrap();
    }
    assert_eq!(last, Code::RateLimited);
}

/// They may have any length, and each that was counted apart would be kept.
#[test]
fn names_that_no_key_can_have_are_counted_as_one() {
    let (apps, mut attempts, admin) = (Apps::of([app()]), Attempts::default(), Admin::Closed);
    let codes = (0..100).map(|number| {
        let name = format!("{number}{}", "x".repeat(10_000));
        let wrong =
            request(&QUERY.map(|(known, value)| (known, if known == "auth_key" { &*name } else { value })), BODY);
        let mut context =
            Context { apps: &apps, attempts: &mut attempts, admin: &admin, now_ms: SIGNED_AT_MS, random: [0; 32] };
        caller(&wrong, &AppId::parse("3").unwrap(), &mut context).err().unwrap().code
    });
    assert_eq!(codes.last(), Some(Code::RateLimited.number()));
}
