//! Guessing secrets is slowed down, and using the right one is not.

use super::{NOW_MS, SECRET, demo, jwt, mac, token};
use crate::auth::{App, Attempts, Credentials, Grant, Presented, Surface};
use crate::base::rate::Rate;
use crate::error::{Code, ErrorInfo};
use crate::limits::{WRONG_SECRETS, WRONG_TOKENS};
use base64::Engine;
use serde_json::json;

thread_local! {
    static DEMO: App = demo();
}

fn attempt(attempts: &mut Attempts, name: &str, value: &str, address: &str, now_ms: u64) -> Result<Grant, ErrorInfo> {
    let query = [(name.to_owned(), value.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Realtime)?;
    DEMO.with(|demo| attempts.verify(&credentials, Some(demo), address, now_ms))
}

fn right_jwt() -> String {
    jwt(json!({"alg": "HS256", "kid": "demo.full"}), json!({"iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 60}))
}

/// Such a JWT that another secret signed.
fn wrong_jwt(right: &str, guess: u64) -> String {
    let (signed, _) = right.rsplit_once('.').unwrap();
    let tag = mac(format!("guess {guess}").as_bytes(), signed.as_bytes());
    format!("{signed}.{}", super::URL.encode(tag))
}

/// Such a token of ours, but for its MAC.
fn wrong_token(right: &str, guess: u64) -> String {
    let (app, opaque) = right.split_once('.').unwrap();
    let mut bytes = super::URL.decode(opaque).unwrap();
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&guess.to_le_bytes());
    format!("{app}.{}", super::URL.encode(bytes))
}

/// Guesses far more often than is allowed, and checks that it is told to stop, and that what is right passes all the
/// while.
fn guess_a_lot(parameter: &str, rate: Rate, code: Code, wrong: impl Fn(u64) -> String, right: &str) {
    let mut attempts = Attempts::default();
    let (guesses, span_ms) = (rate.burst * 2, 10 * rate.interval_ms);
    let mut answered = 0;
    for guess in 0..guesses {
        let now_ms = NOW_MS + guess * span_ms / guesses;
        let error = attempt(&mut attempts, parameter, &wrong(guess), "here", now_ms).unwrap_err();
        match error.is(code) {
            true => answered += 1,
            false => assert_eq!((error.code, error.status_code), (Code::RateLimited.number(), 429)),
        }
    }
    assert_eq!(answered, rate.burst + (span_ms - 1) / rate.interval_ms, "{parameter}");
    let now_ms = NOW_MS + span_ms - 1;
    assert!(attempt(&mut attempts, parameter, &wrong(0), "here", now_ms).unwrap_err().is(Code::RateLimited));
    assert!(attempt(&mut attempts, parameter, right, "here", now_ms).is_ok(), "nobody else is shut out");
    assert!(attempt(&mut attempts, parameter, &wrong(0), "elsewhere", now_ms).unwrap_err().is(code), "of that address");
}

#[test]
fn guesses_of_any_form_are_told_to_stop_and_what_is_right_passes() {
    let wrong_key = |guess: u64| format!("demo.full:wrong-{guess}");
    guess_a_lot("key", WRONG_SECRETS, Code::BadCredentials, wrong_key, &format!("demo.full:{SECRET}"));
    let (jwt, token) = (right_jwt(), token("demo.full", json!({})));
    guess_a_lot("accessToken", WRONG_TOKENS, Code::BadJwt, |guess| wrong_jwt(&jwt, guess), &jwt);
    guess_a_lot("accessToken", WRONG_TOKENS, Code::TokenUnrecognized, |guess| wrong_token(&token, guess), &token);
}

/// Else many wrong keys would hide that tokens must be renewed, and the other way.
#[test]
fn wrong_secrets_and_wrong_tokens_count_apart() {
    let mut attempts = Attempts::default();
    for _ in 0..WRONG_SECRETS.burst * 2 {
        drop(attempt(&mut attempts, "key", "demo.full:wrong", "here", NOW_MS));
    }
    let error = attempt(&mut attempts, "accessToken", &wrong_jwt(&right_jwt(), 0), "here", NOW_MS).unwrap_err();
    assert!(error.is(Code::BadJwt), "its client is to get another: {error}");
}

#[test]
fn what_is_right_is_not_counted_and_neither_is_what_guesses_nothing() {
    let mut attempts = Attempts::default();
    let expired = jwt(json!({"alg": "HS256", "kid": "demo.full"}), json!({"iat": 1, "exp": 2}));
    for _ in 0..WRONG_TOKENS.burst + 1 {
        assert!(attempt(&mut attempts, "key", &format!("demo.full:{SECRET}"), "here", NOW_MS).is_ok());
        let error = attempt(&mut attempts, "accessToken", &expired, "here", NOW_MS).unwrap_err();
        assert!(error.is(Code::TokenExpired), "{error}");
        let error = attempt(&mut attempts, "key", "demo.none:wrong", "here", NOW_MS).unwrap_err();
        assert!(error.is(Code::BadCredentials), "{error}");
    }
}
