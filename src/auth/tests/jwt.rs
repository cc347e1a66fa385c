//! Which JWTs are accepted, and what their claims come to.

use base64::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW_MS, SECRET, jwt, present, present_token, token};
use crate::auth::{Identity, Surface};
use crate::error::Code;
use crate::limits::{
    CAPABILITY_MAX_BYTES, CAPABILITY_MAX_RESOURCES, CLOCK_SKEW_MAX_MS, REVOCABLE_IAT_AHEAD_MAX_MS,
    REVOCABLE_TOKEN_MAX_TTL_MS, TOKEN_MAX_BYTES, TOKEN_MAX_TTL_MS, USER_CLAIMS_MAX_BYTES,
};
use crate::model::name::ChannelName;

const NOW_S: u64 = NOW_MS / 1000;

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "demo.chat"})
}

/// Claims that pass, and `more`.
fn claims(more: Value) -> Value {
    let mut claims = json!({"iat": NOW_S, "exp": NOW_S + 60});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

#[test]
fn a_jwt_grants_what_it_claims_and_its_key_allows() {
    let more = json!({
        "x-ably-capability": r#"{"*":["publish","history"]}"#,
        "x-ably-clientId": "ann",
        "x-ably-revocation-key": "group-1",
        "ably.limits.publish": "a claim that is not ours",
    });
    let grant = present_token(&jwt(header(), claims(more))).unwrap();
    assert_eq!(grant.capability.text(), r#"{"chat:*":["publish"]}"#);
    assert_eq!(grant.client_id, Identity::Named("ann".into()));
    assert_eq!(grant.also_revoked_by, None, "nor can it be revoked");
    assert_eq!((grant.issued_at_ms, grant.expires_at_ms), (Some(NOW_MS), Some(NOW_MS + 60_000)));
}

#[test]
fn what_a_jwt_says_of_its_client_depends_on_the_channel() {
    let more = json!({
        "ably.room.*": "fan", "ably.room.chat:vip": "owner", "ably.channel.r::$chat": "by its channel",
        "ably.channel.*": "guest", "ably.channel.chat:*": "member", "ably.channel.chat:vip": "host", "ably.channel.a:*:c": "",
    });
    let grant = present_token(&jwt(header(), claims(more))).unwrap();
    let cases = [
        ("scores", Some("guest")),
        ("chat:room", Some("member")),
        ("[?rewind=1]chat:vip", Some("host")),
        ("a:b:c", Some("")),
        ("chat:vip::$chat", Some("owner")),
        ("r::$chat", Some("by its channel")),
    ];
    for (channel, claim) in cases {
        assert_eq!(grant.user_claim(&ChannelName::parse(channel).unwrap()), claim.map(Value::from), "{channel}");
    }
    let none = present_token(&jwt(header(), claims(json!({})))).unwrap();
    assert_eq!(none.user_claim(&ChannelName::parse("scores").unwrap()), None);
    // What wraps a token of ours was signed by anybody.
    let wrapped = token("demo.full", json!({}));
    let wrapping = json!({"x-ably-token": wrapped, "ably.channel.*": "host"});
    assert!(present_token(&jwt(header(), wrapping)).unwrap().user_claims.is_none());
    for bad in [
        json!({"ably.channel.": "x"}),
        json!({"ably.channel.[what]x": "x"}),
        json!({"ably.channel.a": 7}),
        json!({"ably.room.": "x"}),
        json!({"ably.channel.[room]x": "x"}),
        json!({"ably.channel.a": {"b": "c"}}),
    ] {
        assert!(present_token(&jwt(header(), claims(bad.clone()))).unwrap_err().is(Code::BadJwt), "{bad}");
    }
    let long = claims(json!({"ably.channel.a": "x".repeat(USER_CLAIMS_MAX_BYTES)}));
    assert!(present_token(&jwt(header(), long)).unwrap_err().is(Code::BadParameter));
}

#[test]
fn absent_claims_leave_the_keys_capability_and_no_name() {
    let grant = present_token(&jwt(header(), claims(json!({"x-ably-clientId": null})))).unwrap();
    assert_eq!(grant.capability.text(), r#"{"chat:*":["publish","subscribe"]}"#);
    assert_eq!((grant.client_id, grant.also_revoked_by), (Identity::Anonymous, None));
}

#[test]
fn headers_that_are_not_ours_are_refused() {
    let cases = [
        json!({"alg": "none", "kid": "demo.chat"}),
        json!({"alg": "RS256", "kid": "demo.chat"}),
        json!({"alg": "hs256", "kid": "demo.chat"}),
        json!({"kid": "demo.chat"}),
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": 7}),
        json!({"alg": "HS256", "kid": "demo"}),
        json!({"alg": "HS256", "kid": "demo.chat", "crit": ["exp"]}),
    ];
    for bad in cases {
        for surface in [Surface::Realtime, Surface::Rest] {
            let error = present("accessToken", &jwt(bad.clone(), claims(json!({}))), surface).unwrap_err();
            assert_eq!((error.code, error.status_code), (40144, 401), "{bad}");
        }
    }
}

#[test]
fn a_signature_must_be_the_keys() {
    let good = jwt(header(), claims(json!({})));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other = super::URL.encode(super::mac(b"another secret", signed.as_bytes()));
    let forged = [format!("{signed}."), format!("{signed}.{other}"), good[..good.len() - 4].to_owned()];
    for text in forged {
        let error = present_token(&text).unwrap_err();
        assert!(error.is(Code::BadJwt) && !error.message.contains(SECRET), "{error}");
    }
}

fn resources(count: usize) -> Value {
    (0..count).map(|number| (format!("a{number}"), json!(["publish"]))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn bad_claims_are_refused() {
    let cases = [
        (claims(json!({"exp": NOW_S})), Code::TokenExpired),
        (claims(json!({"exp": NOW_S - 100})), Code::TokenExpired),
        (claims(json!({"exp": null})), Code::BadJwt),
        (claims(json!({"iat": null})), Code::BadJwt),
        (claims(json!({"iat": "soon"})), Code::BadJwt),
        (claims(json!({"exp": -1})), Code::BadJwt),
        (claims(json!({"iat": NOW_S + 600})), Code::BadTimestamp),
        (claims(json!({"nbf": NOW_S + 600})), Code::BadTimestamp),
        (claims(json!({"x-ably-capability": r#"{"a":["what"]}"#})), Code::BadRequest),
        (claims(json!({"x-ably-capability": "{"})), Code::BadRequest),
        (claims(json!({"x-ably-capability": resources(CAPABILITY_MAX_RESOURCES + 1)})), Code::BadRequest),
        (claims(json!({"x-ably-capability": {("a".repeat(CAPABILITY_MAX_BYTES)): ["publish"]}})), Code::BadRequest),
        (claims(json!({"x-ably-capability": r#"{"b":["publish"]}"#})), Code::NotPermitted),
        (claims(json!({"x-ably-clientId": 7})), Code::BadJwt),
        (claims(json!({"x-ably-clientId": "x".repeat(256)})), Code::BadClientId),
        (claims(json!({"x-ably-revocation-key": "x".repeat(256)})), Code::BadParameter),
        (claims(json!({"x-ably-revocation-key": ""})), Code::BadParameter),
        (claims(json!({"x-ably-clientId": "a\nb"})), Code::BadClientId),
        (claims(json!({"exp": NOW_S + TOKEN_MAX_TTL_MS / 1000 + 1})), Code::BadParameter),
        (claims(json!({"exp": u64::MAX})), Code::BadParameter),
        (claims(json!({"exp": 1e300})), Code::BadParameter),
    ];
    for (bad, expected) in cases {
        let error = present_token(&jwt(header(), bad.clone())).unwrap_err();
        assert!(error.is(expected), "{bad}: {error}");
    }
}

#[test]
fn times_may_have_fractions() {
    let grant = present_token(&jwt(header(), claims(json!({"exp": NOW_S as f64 + 0.5})))).unwrap();
    assert_eq!(grant.expires_at_ms, Some(NOW_MS + 500));
}

#[test]
fn a_jwt_lives_as_long_as_a_token_may() {
    let of = |key: &str, exp: u64| {
        let header = json!({"alg": "HS256", "kid": format!("demo.{key}")});
        present_token(&jwt(header, claims(json!({"exp": exp})))).map(|grant| grant.expires_at_ms)
    };
    for (key, longest_ms) in [("full", TOKEN_MAX_TTL_MS), ("brief", REVOCABLE_TOKEN_MAX_TTL_MS)] {
        let latest_s = NOW_S + longest_ms / 1000;
        assert_eq!(of(key, latest_s).unwrap(), Some(NOW_MS + longest_ms), "{key}");
        let error = of(key, latest_s + 1).unwrap_err();
        assert!(error.is(Code::BadParameter) && error.message.contains(&(longest_ms / 1000).to_string()), "{error}");
    }
}

/// Until its `iat` it would escape what is revoked.
#[test]
fn a_jwt_that_can_be_revoked_is_not_of_the_future() {
    let ahead = |key: &str, by_s: u64| {
        let header = json!({"alg": "HS256", "kid": format!("demo.{key}")});
        present_token(&jwt(header, claims(json!({"iat": NOW_S + by_s})))).map(drop)
    };
    let (strict_s, lenient_s) = (REVOCABLE_IAT_AHEAD_MAX_MS / 1000, CLOCK_SKEW_MAX_MS / 1000);
    for (key, most_s) in [("brief", strict_s), ("full", lenient_s)] {
        assert!(ahead(key, most_s).is_ok(), "{key}");
        let error = ahead(key, most_s + 1).unwrap_err();
        assert!(error.is(Code::BadTimestamp) && error.message.contains("iat"), "{key}: {error}");
    }
}

#[test]
fn an_embedded_token_counts_whoever_wrapped_it() {
    let inner = token("demo.full", json!({"clientId": "ann"}));
    let wrapped = [
        jwt(json!({"alg": "RS256", "x-ably-token": inner}), json!({})),
        jwt(json!({"alg": "HS256"}), json!({"x-ably-token": inner})),
    ];
    for text in wrapped {
        assert_eq!(present_token(&text).unwrap().client_id, Identity::Named("ann".into()));
    }
    let error = present_token(&jwt(json!({"x-ably-token": "demo.forged"}), json!({}))).unwrap_err();
    assert!(error.is(Code::BadCredentials));
}

#[test]
fn large_and_deep_jwts_are_refused() {
    let deep = super::URL.encode(format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000)));
    let large = jwt(header(), claims(json!({"a": "x".repeat(TOKEN_MAX_BYTES)})));
    for text in [format!("{deep}.{deep}.{deep}"), large, format!("a.{}.c", "x".repeat(1 << 20))] {
        assert!(present_token(&text).unwrap_err().is(Code::BadCredentials));
    }
}

proptest! {
    #[test]
    fn no_jwt_panics(head in "[\\[\\]{}:,\"a-z0-9]{0,60}", body in ".{0,80}", tag in "[A-Za-z0-9_-]{0,50}") {
        let encode = |text: &str| super::URL.encode(text);
        let _ = present_token(&format!("{}.{}.{tag}", encode(&head), encode(&body)));
        let _ = present_token(&format!("{}.{}.{tag}", encode(&header().to_string()), encode(&body)));
        let _ = present_token(&jwt(header(), claims(json!({"x-ably-capability": body, "exp": head}))));
    }
}
