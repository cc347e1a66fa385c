//! Where credentials stand in a request, what they allow, and which code each failure has.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::{NOW_MS, SECRET, demo, jwt, key_name, present, present_as, present_key, present_token, token};
use crate::auth::{App, Capability, Credentials, Grant, Identity, Operations, Presented, Surface, Target};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CAPABILITY_MAX_BYTES, CLIENT_ID_MAX_BYTES, GRANT_MAX_BYTES, TOKEN_MAX_BYTES, USER_CLAIMS_MAX_BYTES,
};
use crate::model::name::{AppId, ChannelName};

fn header(value: &str) -> Result<Grant, ErrorInfo> {
    let presented = Presented { authorization: Some(value), ..Presented::default() };
    Credentials::parse(&presented, Surface::Rest)?.verify(Some(&demo()), NOW_MS)
}

fn codes(result: Result<Grant, ErrorInfo>) -> (u32, u16) {
    let error = result.unwrap_err();
    assert!(!error.message.contains(SECRET), "{}", error.message);
    (error.code, error.status_code)
}

#[test]
fn a_key_is_presented_in_each_place() {
    let key = format!("demo.full:{SECRET}");
    let encoded = STANDARD.encode(&key);
    let headers = ["Basic", "basic", "BASIC "].map(|scheme| header(&format!("{scheme} {encoded}")));
    for grant in headers.into_iter().chain([present_key(&key), present("key", &key, Surface::Realtime)]) {
        let grant = grant.unwrap();
        assert!(grant.basic && grant.expires_at_ms.is_none());
        assert_eq!((grant.key_name, grant.client_id), (key_name("demo.full"), Identity::Wildcard));
    }
}

#[test]
fn a_token_is_presented_in_each_place() {
    let token = token("demo.full", json!({"clientId": "ann", "ttl": 1000}));
    let encoded = format!("Bearer {}", STANDARD.encode(&token));
    let raw = format!("Bearer {token}");
    let places = ["access_token", "accessToken"].map(|name| present(name, &token, Surface::Realtime));
    for grant in places.into_iter().chain([header(&encoded), header(&raw), header(encoded.trim_end_matches('='))]) {
        let grant = grant.unwrap();
        assert!(!grant.basic);
        assert_eq!((grant.issued_at_ms, grant.expires_at_ms), (Some(NOW_MS), Some(NOW_MS + 1000)));
        assert_eq!(grant.client_id, Identity::Named("ann".into()));
    }
}

#[test]
fn a_jwt_is_presented_raw_or_encoded() {
    let jwt = jwt(json!({"alg": "HS256", "kid": "demo.full"}), json!({"iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 9}));
    assert!(header(&format!("Bearer {jwt}")).is_ok());
    assert!(header(&format!("Bearer {}", STANDARD.encode(&jwt))).is_ok());
}

#[test]
fn failures_get_the_codes_that_sdks_expect() {
    use Surface::{Realtime, Rest};
    let unknown_jwt = |kid: &str| jwt(json!({"alg": "HS256", "kid": kid}), json!({}));
    let cases = [
        (Realtime, "key", "this.is:wrong".to_owned(), (40101, 401)),
        (Rest, "key", "this.is:wrong".to_owned(), (40101, 401)),
        (Realtime, "key", "demo.full:wrong-one".to_owned(), (40101, 401)),
        (Rest, "key", "demo.full:wrong-one".to_owned(), (40101, 401)),
        (Realtime, "key", "demo.none:local-only".to_owned(), (40101, 401)),
        (Rest, "key", "demo.none:local-only".to_owned(), (40400, 401)),
        (Rest, "key", "garbage".to_owned(), (40101, 401)),
        (Realtime, "accessToken", "invalid".to_owned(), (40101, 401)),
        (Realtime, "accessToken", "this.iswrong".to_owned(), (40101, 401)),
        (Realtime, "accessToken", "this.is.wrong".to_owned(), (40101, 401)),
        (Realtime, "accessToken", "this.is.very.wrong.too".to_owned(), (40101, 401)),
        (Rest, "accessToken", "invalid".to_owned(), (40101, 401)),
        (Rest, "accessToken", "this.is.wrong".to_owned(), (40144, 401)),
        (Realtime, "accessToken", unknown_jwt("other.key"), (40101, 401)),
        (Rest, "accessToken", unknown_jwt("other.key"), (40400, 404)),
        (Rest, "accessToken", unknown_jwt("demo.none"), (40400, 404)),
    ];
    for (surface, name, value, expected) in cases {
        assert_eq!(codes(present(name, &value, surface)), expected, "{surface:?} {name} {value}");
    }
}

#[test]
fn requests_without_one_clear_credential_are_refused() {
    let parse = |presented: Presented<'_>| Credentials::parse(&presented, Surface::Rest).map(|_| ()).unwrap_err().code;
    assert_eq!(parse(Presented::default()), 40106);
    let empty = [("key".to_owned(), String::new())];
    assert_eq!(parse(Presented { query: &empty, ..Presented::default() }), 40106);
    let two = [("key".to_owned(), "a.b:c".to_owned()), ("access_token".to_owned(), "a.b".to_owned())];
    assert_eq!(parse(Presented { query: &two, ..Presented::default() }), 40102);
    for authorization in ["", "Basic", "Basic !", "Digest abc", "Bearer ", "Bearer !"] {
        assert_eq!(
            parse(Presented { authorization: Some(authorization), ..Presented::default() }),
            40101,
            "{authorization}"
        );
    }
}

#[test]
fn the_client_is_who_its_credentials_allow() {
    use Surface::{Realtime, Rest};
    let ann = token("demo.full", json!({"clientId": "ann"}));
    let anyone = token("demo.full", json!({"clientId": "*"}));
    let nobody = token("demo.full", json!({}));
    let settled = |token: &str, wanted, surface| {
        present_as("accessToken", token, wanted, surface).map(|grant| grant.client_id.as_str().map(str::to_owned))
    };
    assert_eq!(settled(&ann, None, Realtime).unwrap().as_deref(), Some("ann"));
    assert_eq!(settled(&anyone, Some("bob"), Realtime).unwrap().as_deref(), Some("bob"));
    assert_eq!(settled(&nobody, None, Realtime).unwrap(), None);
    assert!(settled(&ann, Some("bob"), Realtime).unwrap_err().is(Code::IncompatibleCredentials));
    assert!(settled(&nobody, Some("bob"), Realtime).unwrap_err().is(Code::IncompatibleCredentials));
    // There the parameter filters, say, a list of members.
    assert_eq!(settled(&ann, Some("bob"), Rest).unwrap().as_deref(), Some("ann"));
}

#[test]
fn the_client_id_header_names_who_uses_a_key() {
    let query = [("key".to_owned(), format!("demo.full:{SECRET}"))];
    let presented = |client_id| Presented { client_id: Some(client_id), query: &query, ..Presented::default() };
    let verify = |client_id| Credentials::parse(&presented(client_id), Surface::Rest)?.verify(Some(&demo()), NOW_MS);
    let grant = verify("YW5u").unwrap();
    assert_eq!((grant.client_id.clone(), grant.connection_client_id()), (Identity::Named("ann".into()), Some("ann")));
    assert!(verify("!").unwrap_err().is(Code::BadClientId));
    assert_eq!(present_key(&format!("demo.full:{SECRET}")).unwrap().connection_client_id(), None);
}

#[test]
fn a_renewed_token_must_fit_the_connection() {
    let ann = token("demo.chat", json!({"clientId": "ann"}));
    let renew = |client_id| Credentials::renewed(&ann, client_id).unwrap().verify(Some(&demo()), NOW_MS);
    assert!(renew(Some("ann")).is_ok() && renew(None).is_ok());
    assert!(renew(Some("bob")).unwrap_err().is(Code::IncompatibleCredentials));
}

#[test]
fn a_token_ends_with_its_time_its_key_or_its_app() {
    let token = token("demo.full", json!({"ttl": 1}));
    let query = [("accessToken".to_owned(), token)];
    let credentials =
        Credentials::parse(&Presented { query: &query, ..Presented::default() }, Surface::Realtime).unwrap();
    assert!(credentials.verify(Some(&demo()), NOW_MS).is_ok(), "one millisecond is a life");
    assert!(credentials.verify(Some(&demo()), NOW_MS + 1).unwrap_err().is(Code::TokenExpired));
    let without = App::new(demo().id().clone(), demo().keys()[1..].to_vec(), Vec::new()).unwrap();
    assert!(credentials.verify(Some(&without), NOW_MS).unwrap_err().is(Code::TokenUnrecognized));
    assert!(credentials.verify(None, NOW_MS).unwrap_err().is(Code::BadCredentials));
    let other = App::new(AppId::parse("other").unwrap(), Vec::new(), Vec::new()).unwrap();
    assert!(credentials.verify(Some(&other), NOW_MS).unwrap_err().is(Code::BadCredentials), "another app's answer");
}

#[test]
fn narrowing_a_key_narrows_its_tokens() {
    let whole = token("demo.full", json!({"capability": r#"{"a":["*"]}"#}));
    let mut keys = demo().keys().to_vec();
    keys[0].capability = Capability::parse(r#"{"*":["subscribe"]}"#).unwrap();
    let narrowed = App::new(demo().id().clone(), keys, Vec::new()).unwrap();
    let grant = Credentials::renewed(&whole, None).unwrap().verify(Some(&narrowed), NOW_MS).unwrap();
    assert!(grant.permits(&ChannelName::parse("a").unwrap(), Operations::SUBSCRIBE));
    assert!(!grant.permits(&ChannelName::parse("a").unwrap(), Operations::PUBLISH));
    assert!(!grant.permits(&ChannelName::parse("b").unwrap(), Operations::SUBSCRIBE));
}

#[test]
fn a_token_that_was_changed_is_not_ours() {
    let token = token("demo.full", json!({"clientId": "ann"}));
    let start = "demo.".len();
    for place in [start + 20, start + 40, token.len() - 10] {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let error = present_token(std::str::from_utf8(&changed).unwrap()).unwrap_err();
        assert!(error.is(Code::TokenUnrecognized) || error.is(Code::BadCredentials), "{place}: {error}");
    }
    assert!(present_token(&token.replacen("demo", "other", 1)).unwrap_err().is(Code::BadCredentials));
}

#[test]
fn a_token_of_one_key_is_not_one_of_another_with_the_same_secret() {
    let token = token("demo.chat", json!({}));
    let keys = demo().keys().to_vec().into_iter().map(|mut key| {
        key.name = key_name(&format!("other.{}", key.name.id()));
        key
    });
    let other = App::new(AppId::parse("other").unwrap(), keys.collect(), Vec::new()).unwrap();
    let moved = Credentials::renewed(&token.replacen("demo", "other", 1), None).unwrap();
    assert!(moved.verify(Some(&other), NOW_MS).unwrap_err().is(Code::TokenUnrecognized));
}

#[test]
fn tokens_are_short() {
    let fields =
        json!({"clientId": "a-client-of-some-length", "capability": r#"{"chat:room":["publish","subscribe"]}"#});
    let token = token("demo.full", fields);
    assert!(token.len() < 343 && token.starts_with("demo."), "{} bytes", token.len());
}

#[test]
fn the_largest_grant_fits_its_bound() {
    let capability = format!(r#"{{"{}":["*"],"{}":["*"]}}"#, "x".repeat(2_000), "y".repeat(2_000));
    assert!(capability.len() < CAPABILITY_MAX_BYTES);
    let id = "k".repeat(64);
    let grant = Grant {
        key_name: key_name(&format!("{id}.{id}")),
        capability: Capability::parse(&capability).unwrap(),
        client_id: Identity::Named("c".repeat(CLIENT_ID_MAX_BYTES).into()),
        basic: false,
        issued_at_ms: Some(u64::MAX),
        expires_at_ms: Some(u64::MAX),
        also_revoked_by: Some(Rc::from([Target::RevocationKey("r".repeat(255)), Target::ClientId("*".to_owned())])),
        user_claims: Some("u".repeat(USER_CLAIMS_MAX_BYTES).into()),
    };
    let bytes = postcard::to_allocvec(&grant).unwrap();
    assert!(bytes.len() + (CAPABILITY_MAX_BYTES - capability.len()) <= GRANT_MAX_BYTES);
    assert_eq!(postcard::from_bytes(&bytes), Ok(grant));
}

#[test]
fn the_encoded_grant_is_pinned() {
    let grant = present_token(&token("demo.chat", json!({"clientId": "ann", "ttl": 1000}))).unwrap();
    let expected =
        [&[9][..], b"demo.chat", &[34], br#"{"chat:*":["publish","subscribe"]}"#, &[1, 3], b"ann", &[0, 1]].concat();
    let encoded = postcard::to_allocvec(&grant).unwrap();
    assert_eq!(encoded[..expected.len()], expected);
    let claims = Some(r#"{"*":"fan"}"#.into());
    let claimed = postcard::to_allocvec(&Grant { user_claims: claims, ..grant.clone() }).unwrap();
    assert!(claimed.ends_with(b"\x00\x01\x0b{\"*\":\"fan\"}"));
    assert_eq!(postcard::from_bytes(&encoded), Ok(grant));
}

proptest! {
    #[test]
    fn no_credential_panics(text in ".{0,120}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,60}", 1..6)) {
        for value in [text.clone(), parts.join("."), format!("demo.{}", parts[0]), format!("{}:{text}", parts.join("."))] {
            for name in ["key", "accessToken"] {
                let _ = present(name, &value, Surface::Realtime);
            }
            let _ = header(&value);
            let _ = header(&format!("Bearer {value}"));
            let _ = header(&format!("Basic {}", STANDARD.encode(&value)));
        }
    }

    #[test]
    fn no_bytes_in_a_token_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let opaque = super::URL.encode(&bytes);
        let _ = present_token(&format!("demo.{opaque}"));
    }
}

#[test]
fn large_and_deep_credentials_are_refused() {
    let deep = super::URL.encode([vec![0x91; 1_000], vec![0; 40]].concat());
    for value in ["x".repeat(1 << 20), format!("demo.{}", "A".repeat(TOKEN_MAX_BYTES)), format!("demo.{deep}")] {
        assert!(present_token(&value).unwrap_err().is(Code::BadCredentials));
    }
}
