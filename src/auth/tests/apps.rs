//! Apps are read from their configuration, or refused with the place of what is wrong.

use proptest::prelude::*;

use crate::auth::{App, Apps, KeyName, Rules};
use crate::error::{Code, ErrorInfo};
use crate::limits::{APPS_MAX_BYTES, SECRET_MIN_BYTES, SHORT_SECRET_MIN_BYTES};
use crate::model::name::{AppId, ChannelName};

const TWO_APPS: &str = r#"{"apps": [
    {
        "id": "demo",
        "keys": [
            {"name": "key1", "secret": "local-only"},
            {"name": "key2", "secret": "local-only", "capability": {"chat:*": ["publish"]}, "revocableTokens": true},
            {"name": "key3", "secret": "local-only", "capability": "{\"a\":[\"subscribe\"]}"}
        ],
        "namespaces": [{"id": "chat", "persisted": true, "tlsOnly": true}, {"id": "*", "authenticated": true}]
    },
    {"id": "bare"}
]}"#;

fn parse(text: &str) -> Result<Apps, ErrorInfo> {
    Apps::parse(text, SHORT_SECRET_MIN_BYTES)
}

fn demo() -> App {
    let apps = parse(TWO_APPS).unwrap();
    (**apps.get(&AppId::parse("demo").unwrap()).unwrap()).clone()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

#[test]
fn apps_have_keys_and_namespaces() {
    let apps = parse(TWO_APPS).unwrap();
    assert_eq!(apps.iter().map(|app| app.id().as_str()).collect::<Vec<_>>(), ["demo", "bare"]);
    let demo = demo();
    let key = |name: &str| demo.key(&KeyName::parse(name).unwrap());
    assert_eq!(key("demo.key1").unwrap().capability.text(), r#"{"*":["*"]}"#);
    assert_eq!(key("demo.key1").unwrap().expose(), "demo.key1:local-only");
    assert_eq!(key("demo.key2").unwrap().capability.text(), r#"{"chat:*":["publish"]}"#);
    assert!(key("demo.key2").unwrap().revocable_tokens && !key("demo.key1").unwrap().revocable_tokens);
    assert_eq!(key("demo.key3").unwrap().capability.text(), r#"{"a":["subscribe"]}"#);
    assert!(key("demo.key4").is_none() && key("bare.key1").is_none());
}

#[test]
fn rules_are_those_of_the_namespace() {
    let demo = demo();
    for name in ["chat:room", "chat", "chat:a:b", "[?rewind=1]chat:room"] {
        assert!(demo.rules(&channel(name)).persisted, "{name}");
    }
    for name in ["chats", "other:chat", "other"] {
        let rules = demo.rules(&channel(name));
        assert!(rules.authenticated && !rules.persisted, "{name}");
    }
    let bare = parse(TWO_APPS).unwrap().get(&AppId::parse("bare").unwrap()).unwrap().clone();
    assert_eq!(bare.rules(&channel("chat")), Rules::NONE);
}

/// An app whose namespace has these rules.
fn app_with(rules: &str) -> String {
    format!(r#"{{"id":"a","keys":[],"namespaces":[{{"id":"m"}},{{"id":"n",{rules}}}]}}"#)
}

#[test]
fn rules_without_effect_are_named_at_run_time_and_refused_in_the_configuration() {
    let key = r##""conflationKey":"#{message.name}""##;
    let cases = [
        (r#""batchingInterval":100"#, "batchingInterval has no effect without batchingEnabled"),
        (r#""conflationInterval":100"#, "conflationInterval has no effect without conflationEnabled"),
        (r#""retentionHours":5"#, "retentionHours has no effect without persisted or mutableMessages"),
        (key, "conflationKey has no effect without conflationEnabled"),
    ];
    for (rules, expected) in cases {
        let error = parse(&format!(r#"{{"apps":[{}]}}"#, app_with(rules))).unwrap_err();
        let expected_text = format!("apps[0].namespaces[1].{expected}");
        assert!(error.is(Code::BadRequest) && error.message.contains(&expected_text), "{rules}: {error}");
        let app: App = serde_json::from_str(&app_with(rules)).unwrap();
        assert_eq!(app.namespaces()[1].not_effective(), [expected.split(' ').next().unwrap()]);
    }
    for bytes in [0, 65_537] {
        let error =
            parse(&format!(r#"{{"apps":[{}]}}"#, app_with(&format!(r#""maxMessageSize":{bytes}"#)))).unwrap_err();
        assert!(error.message.contains("apps[0].namespaces[1].maxMessageSize must be from 1 to 65536"), "{error}");
    }
    for days in [0, 366] {
        let app = app_with(&format!(r#""objectsRetentionDays":{days}"#));
        let error = parse(&format!(r#"{{"apps":[{app}]}}"#)).unwrap_err();
        assert!(error.message.contains("namespaces[1].objectsRetentionDays must be from 1 to 365"), "{error}");
    }
    for rule in ["mutableMessages", "pushEnabled", "traced"] {
        let app = app_with(&format!(r#""{rule}":true"#));
        assert!(parse(&format!(r#"{{"apps":[{app}]}}"#)).is_ok(), "{rule}");
    }
    let idle = r#""persistLast":false,"mutableMessages":false,"pushEnabled":false,"batchingInterval":null"#;
    assert!(parse(&format!(r#"{{"apps":[{}]}}"#, app_with(idle))).is_ok(), "what is not set is not relied on");
}

#[test]
fn apps_survive_storage() {
    let demo = demo();
    let bytes = rmp_serde::to_vec(&demo).unwrap();
    assert_eq!(rmp_serde::from_slice::<App>(&bytes).unwrap(), demo);
    let text = serde_json::to_string(&demo).unwrap();
    assert_eq!(serde_json::from_str::<App>(&text).unwrap(), demo);
}

#[test]
fn the_stored_form_is_pinned() {
    let app = r#"{"id":"a","keys":[{"name":"k","secret":"local-only"}],"namespaces":[{"id":"n","persisted":true}]}"#;
    let stored = serde_json::to_string(&serde_json::from_str::<App>(app).unwrap()).unwrap();
    let expected = concat!(
        r#"{"id":"a","keys":[{"name":"k","secret":"local-only","capability":"{\"*\":[\"*\"]}","revocableTokens":false}],"#,
        r#""namespaces":[{"id":"n","persisted":true,"persistLast":false,"authenticated":false,"tlsOnly":false,"#,
        r#""pushEnabled":false,"mutableMessages":false,"batchingEnabled":false,"conflationEnabled":false}]}"#,
    );
    assert_eq!(stored, expected);
}

#[test]
fn errors_say_where_and_what() {
    let key = |fields: &str| format!(r#"{{"apps":[{{"id":"a","keys":[{{{fields}}}]}}]}}"#);
    let space = |fields: &str| format!(r#"{{"apps":[{{"id":"a","namespaces":[{{{fields}}}]}}]}}"#);
    let cases = [
        ("".to_owned(), "not JSON at line 1"),
        ("[]".to_owned(), "the text must be an object"),
        (r#"{"apps":{}}"#.to_owned(), "apps must be a list"),
        (r#"{"appz":[]}"#.to_owned(), r#"unknown field "appz"; known are apps"#),
        (r#"{"apps":[{}]}"#.to_owned(), "apps[0].id is missing"),
        (r#"{"apps":[{"id":"a.b"}]}"#.to_owned(), "apps[0].id is wrong"),
        (r#"{"apps":[{"id":"a"},{"id":"a"}]}"#.to_owned(), "two apps have one id"),
        (key(r#""name":"k""#), "apps[0].keys[0].secret is missing"),
        (key(r#""name":"k","secret":7"#), "apps[0].keys[0].secret must be a string"),
        (key(r#""name":"k","secret":"local:only""#), "apps[0].keys[0].secret is wrong: it holds ':'"),
        (key(r#""name":"k","secret":"short""#), "apps[0].keys[0].secret is wrong: it has 5 bytes, and must have 8"),
        (key(r#""name":"a.k","secret":"local-only""#), "apps[0].keys[0].name is wrong"),
        (
            key(r#""name":"k","secret":"local-only","capability":{"a":[]}"#),
            r#"apps[0].keys[0].capability is wrong: capability["a"] has no operation"#,
        ),
        (key(r#""name":"k","secret":"local-only","revocableTokens":1"#), "revocableTokens must be true or false"),
        (space(r#""id":"a:b""#), "apps[0].namespaces[0].id"),
        (space(r#""id":"n","persisted":"yes""#), "apps[0].namespaces[0].persisted must be true or false"),
        (space(r#""id":"n","persistent":true"#), r#"unknown field "persistent""#),
        (space(r#""id":"n","conflationInterval":-1"#), "conflationInterval must be a whole number"),
        (space(r#""id":"n","batchingEnabled":true"#), "namespaces[0].batchingInterval must be from 20 to 1000 ms"),
        (space(r#""id":"n","batchingInterval":19"#), "batchingInterval must be from 20 to 1000 ms"),
        (
            space(r#""id":"n","batchingEnabled":true,"batchingInterval":1001"#),
            "batchingInterval must be from 20 to 1000 ms",
        ),
        (
            space(r#""id":"n","conflationEnabled":true,"conflationKey":"k""#),
            "conflationInterval must be from 20 to 1000 ms",
        ),
        (
            space(r#""id":"n","conflationEnabled":true,"conflationInterval":20"#),
            "namespaces[0].conflationKey is missing",
        ),
        (
            space(r##""id":"n","conflationKey":"#{message.data}""##),
            "conflationKey is wrong: of #{...} it knows message.name",
        ),
        (
            space(
                r#""id":"n","batchingEnabled":true,"batchingInterval":20,"conflationEnabled":true,"conflationInterval":20,"conflationKey":"k""#,
            ),
            "conflationEnabled excludes batchingEnabled",
        ),
        (space(r#""id":"n"},{"id":"n""#), "app a: two namespaces have one id"),
        (
            key(r#""name":"k","secret":"local-only"},{"name":"k","secret":"local-only""#),
            "app a: two keys have one name",
        ),
        (" ".repeat(APPS_MAX_BYTES + 1), "has more than"),
        (format!(r#"{{"apps":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000)), "not JSON"),
    ];
    for (text, expected) in cases {
        let error = parse(&text).unwrap_err();
        assert!(error.is(Code::BadRequest) && error.message.contains(expected), "{expected:?} in {:?}", error.message);
    }
}

#[test]
fn a_deployment_takes_no_secret_that_can_be_guessed() {
    let with = |bytes: usize| {
        let secret = "s".repeat(bytes);
        format!(
            r#"{{"apps":[{{"id":"a","keys":[{{"name":"x","secret":"{}"}},{{"name":"y","secret":"{secret}"}}]}}]}}"#,
            "t".repeat(16)
        )
    };
    for (bytes, min_bytes) in [(SECRET_MIN_BYTES, SECRET_MIN_BYTES), (SHORT_SECRET_MIN_BYTES, SHORT_SECRET_MIN_BYTES)] {
        assert!(Apps::parse(&with(bytes), min_bytes).is_ok());
        let error = Apps::parse(&with(bytes - 1), min_bytes).unwrap_err();
        let expected =
            format!("apps: apps[0].keys[1].secret is wrong: it has {} bytes, and must have {min_bytes}", bytes - 1);
        assert!(error.message.starts_with(&expected), "{error}");
    }
}

#[test]
fn errors_never_show_a_value() {
    let misplaced = [
        r#"{"apps":[{"id":"my secret!"}]}"#,
        r#"{"apps":[{"id":"a","keys":["my secret!"]}]}"#,
        r#"{"apps":[{"id":"a","keys":[{"name":"my secret!","secret":"local-only"}]}]}"#,
        r#"{"apps":[{"id":"a","keys":[{"name":"k","secret":"my secret!"}]}]}"#,
        r#"{"apps":[{"id":"a","keys":[{"name":"k","secret":"local-only","capability":"my secret!"}]}]}"#,
        r#"{"apps":[{"id":"a","keys":[{"name":"k","secret":"local-only","capability":{"a":["my secret!"]}}]}]}"#,
        r#"{"apps":[{"id":"a","keys":[{"name":"k","secret":"local-only","revocableTokens":"my secret!"}]}]}"#,
        r#"{"apps":[{"id":"a","namespaces":[{"id":":my secret!"}]}]}"#,
    ];
    for text in misplaced {
        let error = parse(text).unwrap_err();
        assert!(!error.message.contains("my secret!"), "{}", error.message);
    }
    assert!(!format!("{:?}", demo()).contains("local-only"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}", fields in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!(r#"{{"apps":[{{"id":"a",{fields}}}]}}"#));
    }
}
