//! Which tokens a revocation ends, and when.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW_MS, SECRET, demo, jwt, key_name, present_as, present_key, present_token, token};
use crate::auth::{Grant, Revocations, RevokeReport, RevokeRequest, Surface, Target};
use crate::error::Code;
use crate::limits::{REAUTH_MARGIN_MS, REVOCABLE_TOKEN_MAX_TTL_MS, REVOCATIONS_MAX, REVOKE_MAX_TARGETS};

fn revoke(revocations: &mut Revocations, body: Value, now_ms: u64) -> RevokeReport {
    revocations.forget(now_ms);
    let request = RevokeRequest::from_value(&body, now_ms).unwrap();
    let outcomes =
        request.revocations(&key_name("demo.brief")).into_iter().map(|one| revocations.insert(one).map(drop));
    let outcomes = outcomes.collect();
    request.report(outcomes)
}

/// Of a token issued now.
fn grant(fields: Value) -> Grant {
    present_token(&token("demo.brief", fields)).unwrap()
}

#[test]
fn each_target_ends_the_tokens_that_have_it() {
    let header = json!({"alg": "HS256", "kid": "demo.brief"});
    let claims = json!({"iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 60, "x-ably-revocation-key": "group"});
    let ann = grant(json!({"clientId": "ann"}));
    let group = present_token(&jwt(header, claims)).unwrap();
    let channel = grant(json!({"capability": r#"{"chat:a":["publish"],"chat:b:*":["publish"]}"#}));
    for (target, expected) in [
        ("clientId:ann", [true, false, false]),
        ("clientId:bob", [false; 3]),
        ("revocationKey:group", [false, true, false]),
        ("channel:chat:a", [false, false, true]),
        ("channel:chat:b:*", [false, false, true]),
        ("channel:chat:b:c", [false; 3]),
        ("channel:*", [true, true, false]),
    ] {
        let mut revocations = Revocations::default();
        revoke(&mut revocations, json!({"targets": [target]}), NOW_MS + 1);
        let revoked = [&ann, &group, &channel].map(|grant| revocations.revokes(grant, NOW_MS + 1));
        assert_eq!(revoked, expected, "{target}");
    }
}

/// What a token says counts, and not what is left of it: by the key, by a wider resource beside, by the name that a
/// client took.
#[test]
fn a_token_ends_by_whatever_it_says() {
    let jwt_of = |key: &str, claims: Value| {
        let mut all = json!({"iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 60});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        jwt(json!({"alg": "HS256", "kid": key}), all)
    };
    let beside = json!({"capability": r#"{"chat:*":["publish"],"chat:vip":["publish"]}"#});
    let claimed = json!({"x-ably-capability": beside["capability"], "x-ably-revocation-key": "group"});
    let took = |token: &str| present_as("accessToken", token, Some("ann"), Surface::Realtime).unwrap();
    let wildcard = took(&token("demo.brief", json!({"clientId": "*"})));
    let narrowed = present_token(&jwt_of("demo.chatty", json!({"x-ably-capability": r#"{"*":["publish"]}"#}))).unwrap();
    let cases = [
        ("channel:chat:vip", grant(beside.clone()), true),
        ("channel:chat:*", grant(beside), true),
        ("channel:chat:vip", present_token(&jwt_of("demo.brief", claimed.clone())).unwrap(), true),
        (
            "revocationKey:group",
            took(&jwt_of("demo.brief", json!({"x-ably-clientId": "*", "x-ably-revocation-key": "group"}))),
            true,
        ),
        ("clientId:*", wildcard.clone(), true),
        ("clientId:ann", wildcard.clone(), true),
        ("clientId:bob", wildcard, false),
        ("clientId:*", grant(json!({"clientId": "ann"})), false),
        ("clientId:*", grant(json!({})), false),
        ("channel:*", narrowed.clone(), true),
        ("channel:chat:*", narrowed.clone(), true),
        ("channel:chat:a", narrowed, false),
    ];
    for (target, grant, expected) in cases {
        let mut revocations = Revocations::default();
        let request = RevokeRequest::from_value(&json!({"targets": [target]}), NOW_MS + 1).unwrap();
        request.revocations(&grant.key_name).into_iter().for_each(|one| drop(revocations.insert(one).unwrap()));
        assert_eq!(revocations.revokes(&grant, NOW_MS + 1), expected, "{target} {grant:?}");
        let travelled = postcard::from_bytes::<Grant>(&postcard::to_allocvec(&grant).unwrap()).unwrap();
        assert_eq!(travelled, grant);
    }
}

#[test]
fn only_tokens_of_the_key_issued_before_end() {
    let mut revocations = Revocations::default();
    revoke(&mut revocations, json!({"targets": ["clientId:ann"], "issuedBefore": NOW_MS}), NOW_MS + 5);
    let at = |issued_at_ms| Grant { issued_at_ms: Some(issued_at_ms), ..grant(json!({"clientId": "ann"})) };
    assert!(revocations.revokes(&at(NOW_MS - 1), NOW_MS + 5));
    assert!(!revocations.revokes(&at(NOW_MS), NOW_MS + 5));
    assert!(!revocations.revokes(&Grant { key_name: key_name("demo.full"), ..at(NOW_MS - 1) }, NOW_MS + 5));
    assert!(!revocations.revokes(&Grant { basic: true, ..at(NOW_MS - 1) }, NOW_MS + 5));
}

/// A JWT in whole seconds says that it was issued when its second began; one with a fraction says it exactly.
#[test]
fn a_jwt_was_issued_when_its_iat_says() {
    let issued_at = |iat: Value| {
        let claims = json!({"iat": iat, "exp": NOW_MS / 1000 + 60, "x-ably-clientId": "ann"});
        present_token(&jwt(json!({"alg": "HS256", "kid": "demo.brief"}), claims)).unwrap()
    };
    let mut revocations = Revocations::default();
    let at_ms = NOW_MS / 1000 * 1000 + 500;
    revoke(&mut revocations, json!({"targets": ["clientId:ann"], "issuedBefore": at_ms}), at_ms);
    assert!(revocations.revokes(&issued_at(json!(NOW_MS / 1000)), at_ms));
    assert!(revocations.revokes(&issued_at(json!((at_ms - 250) as f64 / 1000.0)), at_ms));
    assert!(!revocations.revokes(&issued_at(json!((at_ms + 250) as f64 / 1000.0)), at_ms));
    assert!(!revocations.revokes(&issued_at(json!(NOW_MS / 1000 + 1)), at_ms));
}

#[test]
fn a_margin_lets_clients_renew_first() {
    let mut revocations = Revocations::default();
    let report = revoke(&mut revocations, json!({"targets": ["clientId:ann"], "allowReauthMargin": true}), NOW_MS + 1);
    let applies_at_ms = NOW_MS + 1 + REAUTH_MARGIN_MS;
    let shown = serde_json::to_value(&report.results[0]).unwrap();
    assert_eq!(shown, json!({"target": "clientId:ann", "issuedBefore": NOW_MS + 1, "appliesAt": applies_at_ms}));
    let ann = grant(json!({"clientId": "ann"}));
    assert_eq!(revocations.void_at_ms(&ann), Some(applies_at_ms));
    assert!(!revocations.revokes(&ann, applies_at_ms - 1) && revocations.revokes(&ann, applies_at_ms));
    // Nor does a second one with a margin put off a first without.
    revoke(&mut revocations, json!({"targets": ["clientId:ann"]}), NOW_MS + 2);
    revoke(&mut revocations, json!({"targets": ["clientId:ann"], "allowReauthMargin": true}), NOW_MS + 3);
    assert!(revocations.revokes(&ann, NOW_MS + 3));
}

#[test]
fn results_follow_the_targets() {
    let mut revocations = Revocations::default();
    let targets = json!(["clientId:a", "invalidType:abc", "channel:", "revocationKey:r:s", "nothing"]);
    let report = serde_json::to_value(revoke(&mut revocations, json!({"targets": targets}), NOW_MS)).unwrap();
    assert_eq!((&report["successCount"], &report["failureCount"]), (&json!(2), &json!(3)));
    for (index, target) in targets.as_array().unwrap().iter().enumerate() {
        let result = &report["results"][index];
        assert_eq!(&result["target"], target);
        let failed = [1, 2, 4].contains(&index);
        assert_eq!(result["error"]["statusCode"] == json!(400), failed, "{target}");
        assert_eq!(result["issuedBefore"] == json!(NOW_MS), !failed, "{target}");
    }
    assert_eq!(revocations.len(), 2);
}

#[test]
fn bad_requests_are_refused_whole() {
    let many: Vec<String> = (0..=REVOKE_MAX_TARGETS).map(|i| format!("clientId:{i}")).collect();
    for (body, code) in [
        (json!(7), Code::BadBody),
        (json!({}), Code::BadBody),
        (json!({"targets": "clientId:a"}), Code::BadBody),
        (json!({"targets": [7]}), Code::BadBody),
        (json!({"targets": []}), Code::BadParameter),
        (json!({"targets": many}), Code::BadParameter),
        (json!({"targets": ["clientId:a"], "issuedBefore": "now"}), Code::BadParameter),
        (json!({"targets": ["clientId:a"], "issuedBefore": -1}), Code::BadParameter),
        (json!({"targets": ["clientId:a"], "issuedBefore": NOW_MS + 3_600_000}), Code::BadParameter),
        (json!({"targets": ["clientId:a"], "issuedBefore": NOW_MS - 3_600_001}), Code::BadParameter),
        (json!({"targets": ["clientId:a"], "allowReauthMargin": 1}), Code::BadParameter),
    ] {
        assert!(RevokeRequest::from_value(&body, NOW_MS).unwrap_err().is(code), "{body}");
    }
}

#[test]
fn only_the_key_itself_may_revoke() {
    let key = |name: &str| present_key(&format!("{name}:{SECRET}")).unwrap();
    let authorize = |name: &str, authority: &Grant| RevokeRequest::authorize(&key_name(name), Some(&demo()), authority);
    assert!(authorize("demo.brief", &key("demo.brief")).is_ok());
    assert!(authorize("demo.brief", &grant(json!({}))).unwrap_err().is(Code::BasicRequired));
    assert!(authorize("demo.brief", &key("demo.full")).unwrap_err().is(Code::BadCredentials));
    assert!(authorize("demo.full", &key("demo.full")).unwrap_err().is(Code::NotRevocable));
}

#[test]
fn they_are_bounded_and_forgotten() {
    let mut revocations = Revocations::default();
    let request = |from: usize| {
        let targets: Vec<String> = (from..from + REVOKE_MAX_TARGETS).map(|i| format!("clientId:{i}")).collect();
        json!({"targets": targets})
    };
    for from in (0..REVOCATIONS_MAX).step_by(REVOKE_MAX_TARGETS) {
        assert_eq!(revoke(&mut revocations, request(from), NOW_MS).failure_count, 0);
    }
    assert_eq!(revoke(&mut revocations, request(REVOCATIONS_MAX), NOW_MS).success_count, 0, "full");
    assert_eq!(revoke(&mut revocations, request(0), NOW_MS + 1).failure_count, 0, "no more than before");
    assert!(revocations.revokes(&grant(json!({"clientId": "7"})), NOW_MS + 1));
    assert_eq!(revoke(&mut revocations, request(0), NOW_MS + 1 + REVOCABLE_TOKEN_MAX_TTL_MS).failure_count, 0);
    assert_eq!(revocations.len(), REVOKE_MAX_TARGETS, "their tokens have expired");
}

#[test]
fn they_survive_storage() {
    let request = RevokeRequest::from_value(&json!({"targets": ["clientId:ann", "channel:a:b"]}), NOW_MS + 1).unwrap();
    let rows = request.revocations(&key_name("demo.brief"));
    let expected = json!([
        ["demo.brief", "clientId:ann", NOW_MS + 1, NOW_MS + 1],
        ["demo.brief", "channel:a:b", NOW_MS + 1, NOW_MS + 1]
    ]);
    let bytes = rmp_serde::to_vec(&rows).unwrap();
    assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), expected);
    let mut rebuilt = Revocations::default();
    for row in rmp_serde::from_slice::<Vec<crate::auth::Revocation>>(&bytes).unwrap() {
        rebuilt.insert(row).unwrap();
    }
    assert!(rebuilt.revokes(&grant(json!({"clientId": "ann"})), NOW_MS + 1));
}

proptest! {
    #[test]
    fn targets_lead_back_to_their_text(text in "(clientId|revocationKey|channel|other):?.{0,20}") {
        if let Ok(target) = Target::parse(&text) {
            prop_assert_eq!(String::from(target), text);
        }
    }
}
