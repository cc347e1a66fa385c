//! Guessing secrets is slowed down, and using the right one is not.

use super::{NOW_MS, SECRET, demo, token};
use crate::auth::{Attempts, Credentials, Grant, Presented, Surface};
use crate::error::{Code, ErrorInfo};
use crate::limits::WRONG_SECRETS;
use serde_json::json;

fn attempt(attempts: &mut Attempts, name: &str, value: &str, address: &str, now_ms: u64) -> Result<Grant, ErrorInfo> {
    let query = [(name.to_owned(), value.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    attempts.verify(&Credentials::parse(&presented, Surface::Realtime)?, Some(&demo()), address, now_ms)
}

#[test]
fn a_key_tried_a_thousand_times_a_minute_is_slowed() {
    let mut attempts = Attempts::default();
    let (mut looked_at, minute_ms) = (0, 60_000);
    for guess in 0..1_000 {
        let now_ms = NOW_MS + guess * minute_ms / 1_000;
        let error = attempt(&mut attempts, "key", &format!("demo.full:wrong-{guess}"), "here", now_ms).unwrap_err();
        match error.is(Code::BadCredentials) {
            true => looked_at += 1,
            false => assert_eq!((error.code, error.status_code), (Code::RateLimited.number(), 429)),
        }
    }
    assert_eq!(looked_at, WRONG_SECRETS.burst + (minute_ms - 1) / WRONG_SECRETS.interval_ms);
    let (now_ms, right) = (NOW_MS + minute_ms, format!("demo.full:{SECRET}"));
    drop(attempt(&mut attempts, "key", "demo.full:wrong", "here", now_ms));
    assert!(attempt(&mut attempts, "key", &right, "here", now_ms).unwrap_err().is(Code::RateLimited), "unlooked at");

    assert!(attempt(&mut attempts, "key", &right, "elsewhere", now_ms).is_ok());
    assert!(attempt(&mut attempts, "key", &format!("demo.chat:{SECRET}"), "here", now_ms).is_ok());
    let token = token("demo.full", json!({}));
    assert!(attempt(&mut attempts, "accessToken", &token, "here", NOW_MS + 1).is_ok(), "a token is not a guess");
    let later_ms = now_ms + WRONG_SECRETS.interval_ms;
    assert!(attempt(&mut attempts, "key", &right, "here", later_ms).is_ok(), "and it is open again soon");
}

#[test]
fn right_secrets_are_not_counted() {
    let mut attempts = Attempts::default();
    for _ in 0..1_000 {
        assert!(attempt(&mut attempts, "key", &format!("demo.full:{SECRET}"), "here", NOW_MS).is_ok());
    }
}
