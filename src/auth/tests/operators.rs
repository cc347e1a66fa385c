//! Tokens of operators: what they allow, of what, for how long, and that nothing else makes one.

use base64::Engine;
use serde_json::json;

use super::{NOW_MS, SECRET, URL, demo, jwt, key_name, present_token};
use crate::auth::token::{self, Terms};
use crate::auth::{App, Apps, Credentials, Grant, Identity, Key, Operators, Presented, Reach, Secret, Surface};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CONSOLE_TOKEN_TTL_MS, TOKEN_DEFAULT_TTL_MS};
use crate::model::name::{AppId, ChannelName, LIFECYCLE, LOG, STATISTICS};

const ADMIN_TOKEN: &str = "admin-token-of-this-deployment";

fn operators(admin_token: &str) -> Operators {
    Operators::of(&Secret::presented(admin_token))
}

fn ours() -> Operators {
    operators(ADMIN_TOKEN)
}

fn token(app: &str) -> String {
    token_of(app, Reach::Metachannels)
}

fn token_of(app: &str, reach: Reach) -> String {
    ours().issue(&AppId::parse(app).unwrap(), reach, NOW_MS, [7; 8]).token
}

/// Verifies a token on a connection to an app, in a deployment with this signer.
fn enter(token: &str, app: &App, operators: Option<&Operators>, now_ms: u64) -> Result<Grant, ErrorInfo> {
    let query = [("accessToken".to_owned(), token.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    Credentials::parse(&presented, Surface::Realtime)?.or_of(operators).verify(Some(app), now_ms)
}

fn named(id: &str) -> App {
    serde_json::from_value(json!({"id": id, "keys": [], "namespaces": []})).unwrap()
}

#[test]
fn it_hears_what_is_done_and_counted_and_may_do_nothing() {
    let details = ours().issue(&AppId::parse("demo").unwrap(), Reach::Metachannels, NOW_MS, [7; 8]);
    assert_eq!(details.capability, r#"{"[meta]log":["subscribe"],"[meta]stats:minute":["subscribe"]}"#);
    assert_eq!((details.issued, details.expires, details.client_id), (NOW_MS, NOW_MS + TOKEN_DEFAULT_TTL_MS, None));
    let grant = enter(&details.token, &demo(), Some(&ours()), NOW_MS).unwrap();
    assert_eq!(grant.capability.text(), details.capability);
    assert_eq!(
        (grant.client_id.clone(), grant.basic, grant.expires_at_ms),
        (Identity::Anonymous, false, Some(details.expires))
    );
    let named = |name: &str| grant.capability.operations(&ChannelName::parse(name).unwrap());
    for metachannel in [LOG, STATISTICS] {
        assert_eq!(named(metachannel).names().collect::<Vec<_>>(), ["subscribe"]);
    }
    for other in [LIFECYCLE, "room", "log", "stats:minute", "[filter=name == `a`]log"] {
        assert!(named(other).is_empty(), "{other}");
    }
}

#[test]
fn it_is_good_for_its_app_and_its_time_and_as_long_as_the_admin_token() {
    let (token, end_ms) = (token("demo"), NOW_MS + TOKEN_DEFAULT_TTL_MS);
    let (demo, other, ours) = (demo(), named("other"), ours());
    let refused = |token: &str, app: &App, operators: Option<&Operators>, now_ms, code: Code| {
        let error = enter(token, app, operators, now_ms).unwrap_err();
        assert!(error.is(code), "{error}");
    };
    assert!(enter(&token, &demo, Some(&ours), end_ms - 1).is_ok());
    refused(&token, &demo, Some(&ours), end_ms, Code::TokenExpired);
    refused(&token, &demo, Some(&operators("another-admin-token")), NOW_MS, Code::TokenUnrecognized);
    refused(&token, &demo, None, NOW_MS, Code::TokenUnrecognized);
    refused(&token, &other, Some(&ours), NOW_MS, Code::BadCredentials);
    refused(&token.replacen("demo.", "other.", 1), &other, Some(&ours), NOW_MS, Code::TokenUnrecognized);
    let of_deployment = ours.issue(&AppId::deployment(), Reach::Metachannels, NOW_MS, [7; 8]).token;
    refused(&of_deployment.replacen("*.", "demo.", 1), &demo, Some(&ours), NOW_MS, Code::TokenUnrecognized);
}

#[test]
fn the_deployment_is_heard_too_and_is_no_app() {
    let configured = Apps::of([demo().into()]);
    assert!(configured.get(&AppId::deployment()).is_none());
    let operated = configured.operated_by(ours());
    let deployment = operated.get(&AppId::deployment()).unwrap();
    let token = ours().issue(&AppId::deployment(), Reach::Metachannels, NOW_MS, [7; 8]).token;
    assert!(token.starts_with("*."));
    assert!(enter(&token, deployment, operated.operators(), NOW_MS).is_ok());
    assert_eq!(operated.iter().map(|app| app.id().as_str()).collect::<Vec<_>>(), ["demo"], "nobody lists it");
}

/// Whoever has all keys of an app knows no secret that makes such a token.
#[test]
fn no_key_of_the_app_makes_one() {
    let real = ours().key(demo().id(), Reach::Channels);
    for secret in [SECRET, ADMIN_TOKEN] {
        let forged = Key { secret: Secret::presented(secret), ..real.clone() };
        let terms = || Terms { capability: None, client_id: Identity::Anonymous, issued_at_ms: NOW_MS, ttl_ms: 60_000 };
        let token = token::sign(&forged, terms(), [7; 8]);
        assert!(enter(&token, &demo(), Some(&ours()), NOW_MS).unwrap_err().is(Code::TokenUnrecognized), "{secret}");
    }
    let name = real.name.to_string();
    let claims = json!({"iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 60});
    let jwt = jwt(json!({"alg": "HS256", "kid": name}), claims);
    assert!(enter(&jwt, &demo(), Some(&ours()), NOW_MS).is_err(), "a JWT names it in vain");
    let key = json!({"apps": [{"id": "demo", "keys": [{"name": "[operator]", "secret": SECRET}]}]});
    assert!(Apps::parse(&key.to_string(), 8).is_err(), "nor has a key its name");
}

#[test]
fn it_opens_connections_and_nothing_else() {
    let token = token("demo");
    assert!(present_token(&token).unwrap_err().is(Code::TokenUnrecognized), "where operators are not expected");
    let own = super::token("demo.full", json!({}));
    let grant = enter(&own, &demo(), Some(&ours()), NOW_MS).unwrap();
    assert_eq!(grant.key_name, key_name("demo.full"), "a key's own token is what it was");
}

#[test]
fn one_of_channels_is_short_names_who_does_it_and_administers_nothing() {
    let details = ours().issue(&AppId::parse("demo").unwrap(), Reach::Channels, NOW_MS, [7; 8]);
    assert_eq!((details.key_name.as_str(), details.client_id.as_deref()), ("demo.[console]", Some("[operator]")));
    assert_eq!(details.expires, NOW_MS + CONSOLE_TOKEN_TTL_MS);
    let grant = enter(&details.token, &demo(), Some(&ours()), NOW_MS).unwrap();
    let named = |name: &str| {
        let operations = grant.capability.operations(&ChannelName::parse(name).unwrap());
        operations.names().collect::<Vec<_>>().join(" ")
    };
    let done = "channel-metadata history message-delete-any message-update-any publish subscribe";
    for channel in ["room", "chat:a", "room::$chat"] {
        assert_eq!(named(channel), done);
    }
    assert_eq!([LIFECYCLE, STATISTICS, LOG].map(named), ["subscribe", "subscribe", ""]);
    assert!(!grant.basic && !demo().is_revocable(&grant), "no key is presented, and none can end it");
    let end_ms = NOW_MS + CONSOLE_TOKEN_TTL_MS;
    assert!(enter(&details.token, &demo(), Some(&ours()), end_ms).unwrap_err().is(Code::TokenExpired));
}

/// One secret signs both.
#[test]
fn neither_kind_passes_for_the_other() {
    let ids = [Reach::Metachannels, Reach::Channels].map(|reach| ours().key(demo().id(), reach).name.id().to_owned());
    for (one, other, token) in [
        (&ids[0], &ids[1], token_of("demo", Reach::Metachannels)),
        (&ids[1], &ids[0], token_of("demo", Reach::Channels)),
    ] {
        let mut bytes = URL.decode(token.strip_prefix("demo.").unwrap()).unwrap();
        let at = bytes.windows(one.len()).position(|part| part == one.as_bytes()).unwrap();
        assert_eq!(usize::from(bytes[at - 1]), one.len());
        bytes[at - 1] = other.len() as u8;
        bytes.splice(at..at + one.len(), other.bytes());
        let renamed = format!("demo.{}", URL.encode(bytes));
        assert!(enter(&renamed, &demo(), Some(&ours()), NOW_MS).unwrap_err().is(Code::TokenUnrecognized), "{one}");
    }
}

#[test]
fn a_revocation_has_nothing_to_do_with_it() {
    let grant = enter(&token("demo"), &demo(), Some(&ours()), NOW_MS).unwrap();
    assert!(!demo().is_revocable(&grant), "whatever keys the app has");
}

#[test]
fn a_damaged_token_is_none() {
    let token = token("demo");
    let (_, opaque) = token.split_once('.').unwrap();
    let bytes = URL.decode(opaque).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let text = format!("demo.{}", URL.encode(changed));
        assert!(enter(&text, &demo(), Some(&ours()), NOW_MS).is_err(), "byte {at}");
    }
}
