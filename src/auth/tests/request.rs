//! Which token requests are granted, and on which terms.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW_MS, SECRET, demo, key_name, mac, present_key, present_token, request_token, token};
use crate::auth::{ApprovedToken, TokenRequest};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CLOCK_SKEW_MAX_MS, TOKEN_DEFAULT_TTL_MS, TOKEN_MAX_TTL_MS};

const NONCE: &str = "0123456789abcdef";

/// A request that an SDK signed: its fields as they are, absent ones as empty lines.
fn signed(fields: Value) -> Value {
    let mut body = json!({"keyName": "demo.full", "timestamp": NOW_MS, "nonce": NONCE});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let line = |name: &str| match &body[name] {
        Value::Null => "\n".to_owned(),
        Value::String(text) => format!("{text}\n"),
        other => format!("{other}\n"),
    };
    let text: String = ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce"].map(line).concat();
    body["mac"] = json!(STANDARD.encode(mac(SECRET.as_bytes(), text.as_bytes())));
    body
}

fn approve(body: &Value) -> Result<ApprovedToken, ErrorInfo> {
    TokenRequest::from_value(body)?.approve(&key_name("demo.full"), Some(&demo()), None, NOW_MS)
}

#[test]
fn a_signed_request_needs_nothing_else() {
    let body = signed(json!({"ttl": 5000, "capability": r#"{"b":["*"], "a":["publish"]}"#, "clientId": "ann"}));
    let details = approve(&body).unwrap().issue([1; 8]);
    let shown = serde_json::to_value(&details).unwrap();
    assert_eq!(
        shown,
        json!({
            "token": details.token,
            "keyName": "demo.full",
            "issued": NOW_MS,
            "expires": NOW_MS + 5000,
            "capability": r#"{"a":["publish"],"b":["*"]}"#,
            "clientId": "ann",
        })
    );
    let grant = present_token(&details.token).unwrap();
    assert_eq!(grant.capability.text(), details.capability);
    assert_eq!(grant.client_id.name(), Some("ann"));
}

#[test]
fn a_key_that_has_ended_gives_no_token() {
    let asked = |until_ms: u64| {
        let key = json!({"name": "full", "secret": SECRET, "validUntil": until_ms});
        let app: crate::auth::App =
            serde_json::from_value(json!({"id": "demo", "keys": [key], "namespaces": []})).unwrap();
        let request = TokenRequest::from_value(&signed(json!({}))).unwrap();
        request.approve(&key_name("demo.full"), Some(&app), None, NOW_MS).map(drop)
    };
    assert_eq!(asked(NOW_MS + 1), Ok(()));
    assert!(asked(NOW_MS).unwrap_err().is(Code::NotFound));
}

#[test]
fn absent_fields_get_defaults() {
    let details = approve(&signed(json!({}))).unwrap().issue([1; 8]);
    assert_eq!(details.expires - details.issued, TOKEN_DEFAULT_TTL_MS);
    assert_eq!((details.capability.as_str(), details.client_id), (r#"{"*":["*"]}"#, None));
}

#[test]
fn types_are_lenient_where_sdks_are() {
    for fields in [
        json!({"ttl": "5000", "timestamp": NOW_MS.to_string()}),
        json!({"ttl": null, "capability": null, "clientId": null}),
        json!({"ttl": "", "capability": "", "clientId": ""}),
        json!({"extra": [1, 2]}),
        json!({"ttl": 1}),
    ] {
        assert!(approve(&signed(fields.clone())).is_ok(), "{fields}");
    }
    let float = json!({"ttl": 5000.0, "keyName": "demo.full", "timestamp": NOW_MS, "nonce": NONCE});
    let mut integer = float.clone();
    integer["ttl"] = json!(5000);
    let mut as_float = float;
    as_float["mac"] = signed(integer)["mac"].clone();
    assert!(approve(&as_float).is_ok(), "msgpack may carry a whole number as a float");
    let mut zero = signed(json!({}));
    zero["ttl"] = json!(0);
    assert!(approve(&zero).is_ok(), "zero is signed as absent");
}

#[test]
fn bad_requests_get_their_codes() {
    let cases = [
        (signed(json!({"ttl": -1})), 40003, 400),
        (signed(json!({"ttl": "soon"})), 40003, 400),
        (signed(json!({"ttl": "-5"})), 40003, 400),
        (signed(json!({"ttl": "+5"})), 40003, 400),
        (signed(json!({"ttl": 1.5})), 40003, 400),
        (signed(json!({"ttl": true})), 40003, 400),
        (signed(json!({"ttl": "9".repeat(40)})), 40003, 400),
        (signed(json!({"ttl": TOKEN_MAX_TTL_MS + 1})), 40003, 400),
        (signed(json!({"nonce": "short"})), 40003, 400),
        (signed(json!({"nonce": "x".repeat(256)})), 40003, 400),
        (signed(json!({"nonce": 7})), 40003, 400),
        (signed(json!({"timestamp": NOW_MS - CLOCK_SKEW_MAX_MS - 1})), 40104, 401),
        (signed(json!({"timestamp": NOW_MS + CLOCK_SKEW_MAX_MS + 1})), 40104, 401),
        (signed(json!({"timestamp": null})), 40104, 401),
        (signed(json!({"capability": r#"{"a":["publish_"]}"#})), 40000, 400),
        (signed(json!({"capability": r#"{"a":["*","publish"]}"#})), 40000, 400),
        (signed(json!({"capability": r#"{"a":[]}"#})), 40000, 400),
        (signed(json!({"capability": ["a"]})), 40003, 400),
        (signed(json!({"capability": r#"{"[meta]*":["*"]}"#})), 40160, 401),
        (signed(json!({"clientId": "x".repeat(256)})), 40012, 400),
        (signed(json!({"keyName": "demo.chat"})), 40101, 401),
        (signed(json!({"keyName": "demo"})), 40005, 400),
        (signed(json!({"keyName": null})), 40001, 400),
        (json!({}), 40001, 400),
        (json!({"keyName": "demo.full", "timestamp": NOW_MS, "nonce": NONCE}), 40106, 401),
        (json!([]), 40001, 400),
        (json!("text"), 40001, 400),
    ];
    for (body, code, status) in cases {
        let error = approve(&body).unwrap_err();
        assert_eq!((error.code, error.status_code), (code, status), "{body}: {error}");
    }
}

/// Each names the field, and what is allowed there.
#[test]
fn errors_say_which_field_is_wrong() {
    for (body, expected) in [
        (json!({}), "must have a keyName"),
        (json!({"keyName": "demo"}), "keyName is wrong: a key name is appId.keyId"),
        (
            signed(json!({"capability": r#"{"a":["publish","fly"]}"#})),
            r#"capability["a"][1] is no operation; operations are *, admin, annotation-publish, "#,
        ),
        (signed(json!({"capability": r#"{"a":[]}"#})), r#"capability["a"] has no operation"#),
        (signed(json!({"capability": r#"{"a":["*","publish"]}"#})), r#"capability["a"] has '*' beside others"#),
        (signed(json!({"capability": "all"})), "capability must be a JSON object of lists"),
        (
            signed(json!({"capability": r#"{"[what]x":["*"]}"#})),
            r#"capability's resource "[what]x" has an unknown qualifier; qualifiers are [*], "#,
        ),
        (signed(json!({"ttl": TOKEN_MAX_TTL_MS + 1})), "ttl must be at most 86400000 ms"),
        (signed(json!({"nonce": "short"})), "nonce must have 16 characters"),
        (signed(json!({"timestamp": null})), "timestamp must be the time in ms"),
        (signed(json!({"clientId": 7})), "clientId must be a string"),
        (signed(json!({"nonce": "0123456789\u{0}abcdef"})), "nonce must not hold a control character"),
    ] {
        let error = approve(&body).unwrap_err();
        assert!(error.message.contains(expected), "{expected:?} in {:?}", error.message);
    }
}

#[test]
fn a_changed_request_is_refused() {
    let fields = [
        ("ttl", json!(9999)),
        ("capability", json!(r#"{"*":["*"]}"#)),
        ("clientId", json!("eve")),
        ("nonce", json!("x".repeat(16))),
        ("mac", json!("bm90IGl0")),
        ("mac", json!("!")),
    ];
    for (name, value) in fields {
        let mut body = signed(json!({"ttl": 5000, "clientId": "ann", "capability": r#"{"a":["publish"]}"#}));
        body[name] = value;
        assert!(approve(&body).unwrap_err().is(Code::BadCredentials), "{name}");
    }
}

/// A server signs for any clientId that its user wants. Whatever the user wants, the signature is good for nothing
/// else.
#[test]
fn a_signed_request_cannot_be_split_anew() {
    let stamp = NOW_MS + 1;
    let chosen = format!("admin\n{stamp}\n0123456789abcdef");
    let ours = signed(json!({"clientId": chosen}));
    assert!(approve(&ours).unwrap_err().is(Code::BadClientId));
    let rest = format!("0123456789abcdef\n{NOW_MS}\n{NONCE}");
    let with = |fields: Value| {
        let mut body = ours.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for client_id in ["admin", "*"] {
        let ours = signed(json!({"clientId": format!("{client_id}\n{stamp}\n0123456789abcdef")}));
        let forged = with(json!({"clientId": client_id, "timestamp": stamp, "nonce": rest, "mac": ours["mac"]}));
        assert!(approve(&forged).unwrap_err().is(Code::BadParameter), "{client_id}");
        let query: Vec<_> =
            forged.as_object().unwrap().iter().map(|(name, value)| (name.clone(), line(value))).collect();
        assert!(
            TokenRequest::from_query(&query).is_err_and(|error| error.is(Code::BadParameter)),
            "{client_id} by GET"
        );
    }
    // The other way: what the user chose becomes a capability, whose text may have white space.
    let wide = signed(json!({"clientId": "{\"*\":[\"*\"]}\nadmin", "timestamp": NOW_MS}));
    let forged = [
        json!({"capability": "\n{\"*\":[\"*\"]}", "clientId": "admin", "mac": wide["mac"]}),
        json!({"capability": "{\"*\":\n[\"*\"]}"}),
        json!({"keyName": "demo.full\n"}),
        json!({"ttl": "5\n"}),
        json!({"timestamp": format!("{NOW_MS}\n")}),
    ];
    for fields in forged {
        let error = TokenRequest::from_value(&with(fields.clone())).map(drop).unwrap_err();
        assert!([40003, 40005, 40012].contains(&error.code), "{fields}: {error}");
    }
}

fn line(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn unknown_keys_are_not_found() {
    let request = TokenRequest::from_value(&signed(json!({"keyName": "demo.none"}))).unwrap();
    for app in [Some(&demo()), None] {
        let error = request.approve(&key_name("demo.none"), app, None, NOW_MS).unwrap_err();
        assert_eq!((error.code, error.status_code), (40400, 404));
    }
}

#[test]
fn an_unsigned_request_needs_the_key_itself() {
    let request = TokenRequest::from_value(&json!({"keyName": "demo.full"})).unwrap();
    let approve = |authority: &str| {
        let grant = if authority.contains(':') { present_key(authority) } else { present_token(authority) };
        request.approve(&key_name("demo.full"), Some(&demo()), Some(&grant.unwrap()), NOW_MS)
    };
    assert_eq!(approve(&format!("demo.full:{SECRET}")).unwrap().nonce, None);
    assert!(approve(&format!("demo.chat:{SECRET}")).unwrap_err().is(Code::BadCredentials));
    assert!(approve(&token("demo.full", json!({}))).unwrap_err().is(Code::BasicRequired));
}

#[test]
fn a_nonce_is_remembered_as_long_as_its_timestamp_is_current() {
    let first = approve(&signed(json!({}))).unwrap().nonce.unwrap();
    assert_eq!(first.key, format!("demo.full {NOW_MS} {NONCE}"));
    assert_eq!(first.forget_at_ms, NOW_MS + CLOCK_SKEW_MAX_MS + 1);
    let later = approve(&signed(json!({"timestamp": NOW_MS + 1}))).unwrap().nonce.unwrap();
    assert_ne!(first.key, later.key, "clients may use a constant nonce");
}

#[test]
fn a_query_says_the_same_as_a_body() {
    let body = signed(json!({"ttl": 5000, "clientId": "ann"}));
    let query: Vec<_> = body.as_object().unwrap().iter().map(|(name, value)| (name.clone(), line(value))).collect();
    let request = TokenRequest::from_query(&query).unwrap();
    assert!(request.approve(&key_name("demo.full"), Some(&demo()), None, NOW_MS).is_ok());
}

#[test]
fn tokens_that_can_be_revoked_live_an_hour() {
    assert_eq!(request_token("demo.brief", json!({})).unwrap().expires, NOW_MS + TOKEN_DEFAULT_TTL_MS);
    let error = request_token("demo.brief", json!({"ttl": TOKEN_DEFAULT_TTL_MS + 1})).map(|_| ()).unwrap_err();
    assert!(error.is(Code::BadParameter));
}

#[test]
fn two_tokens_on_the_same_terms_differ() {
    let issue = |random| approve(&signed(json!({}))).unwrap().issue(random).token;
    assert_ne!(issue([1; 8]), issue([2; 8]));
}

proptest! {
    #[test]
    fn no_request_panics(text in ".{0,60}", number in any::<f64>()) {
        for name in ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce", "mac"] {
            for value in [json!(text), json!(number), json!([text]), json!({"a": text})] {
                let mut body = signed(json!({}));
                body[name] = value;
                let _ = approve(&body);
            }
        }
        let _ = TokenRequest::from_query(&[(text.clone(), text)]);
    }
}

#[test]
fn large_and_deep_requests_are_refused() {
    let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
    let large = json!("x".repeat(1 << 20));
    for name in ["keyName", "ttl", "capability", "clientId", "timestamp", "nonce", "mac"] {
        for value in [&deep, &json!({"a": deep}), &large] {
            let mut body = signed(json!({}));
            body[name] = value.clone();
            assert!(approve(&body).is_err(), "{name}");
        }
    }
}
