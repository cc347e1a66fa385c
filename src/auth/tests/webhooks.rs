//! Webhooks are read from the configuration, or refused with the place of what is wrong.

use serde_json::{Value, json};

use crate::auth::{App, Apps, Events, Hook};
use crate::error::ErrorInfo;
use crate::limits::{HOOKS_PER_APP_MAX, SHORT_SECRET_MIN_BYTES};
use crate::model::name::ChannelName;

/// An app with these webhooks, and these of its namespace.
fn read(webhooks: &Value, of_namespace: &Value) -> Result<App, ErrorInfo> {
    let keys = json!([{"name": "k", "secret": "local-only"}]);
    let namespaces = json!([{"id": "chat", "webhooks": of_namespace}]);
    let app = json!({"id": "a", "keys": keys, "namespaces": namespaces, "webhooks": webhooks});
    let apps = Apps::parse(&json!({"apps": [app]}).to_string(), SHORT_SECRET_MIN_BYTES)?;
    Ok((**apps.iter().next().unwrap()).clone())
}

fn hooks(app: &App, channel: &str) -> Vec<Hook> {
    app.hooks(&ChannelName::parse(channel).unwrap())
}

fn ids(app: &App, channel: &str) -> Vec<String> {
    hooks(app, channel).into_iter().map(|hook| hook.id).collect()
}

/// One that is right, with this beside.
fn webhook(more: Value) -> Value {
    let mut webhook = json!({"id": "w", "url": "https://example.com/hook", "secret": "a-secret"});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    webhook
}

#[test]
fn a_channel_has_the_webhooks_of_its_app_and_of_its_namespace() {
    let all = json!([webhook(json!({})), webhook(json!({"id": "chats", "channels": "chat:*"}))]);
    let app = read(&all, &json!([webhook(json!({"id": "own", "secret": null, "key": "k"}))])).unwrap();
    assert_eq!(ids(&app, "other"), ["w"]);
    assert_eq!(ids(&app, "chat:room"), ["w", "chats", "own"]);
    assert_eq!(ids(&app, "chat"), ["w", "own"]);
    let [usual, _, own] = &hooks(&app, "chat:room")[..] else { panic!("three") };
    assert_eq!((usual.key_name.as_deref(), own.key_name.as_deref()), (None, Some("a.k")));
    assert_eq!((usual.events, usual.is_batched, usual.is_enveloped), (Events::MESSAGE, true, true));
    // As `openssl dgst -sha256 -hmac a-secret -binary | base64` has it.
    assert_eq!(usual.secret.sign(b"x"), "wF33UlWYwzxdal8XTcY3hloF3VXS2UAnYaQYrxtUVIE=");
    assert_ne!(usual.secret.sign(b"x"), own.secret.sign(b"x"));
    assert!(!format!("{app:?} {usual:?}").contains("a-secret"));
}

#[test]
fn what_was_read_is_written_as_it_can_be_read_again() {
    let more = json!({
        "events": ["channel.presence", "channel.message.deleted"], "channels": "a:*", "requestMode": "single", "enveloped": false,
    });
    let app =
        read(&json!([webhook(more)]), &json!([webhook(json!({"id": "own", "secret": null, "key": "k"}))])).unwrap();
    assert_eq!(serde_json::from_value::<App>(app.to_json()).unwrap(), app);
    let without = read(&json!([]), &json!([])).unwrap().to_json();
    assert!(without.get("webhooks").is_none() && without["namespaces"][0].get("webhooks").is_none());
}

#[test]
fn mistakes_are_refused_with_their_place_and_without_the_secret() {
    for (more, expected) in [
        (json!({"id": null}), "webhooks[0].id is missing"),
        (json!({"id": "a b"}), "webhooks[0].id is wrong: it must have from 1 to 64 letters"),
        (json!({"url": "ftp://example.com"}), "webhooks[0].url is wrong: it must be an address of https"),
        (json!({"url": "https://user:a-secret@example.com"}), "webhooks[0].url is wrong"),
        (json!({"url": "https://[::1]/"}), "webhooks[0].url is wrong"),
        (json!({"secret": null}), "webhooks[0].secret is missing; a webhook has a secret, or the key that signs"),
        (json!({"key": "k"}), "webhooks[0].secret excludes key"),
        (json!({"secret": "abc"}), "webhooks[0].secret must have from 8 to 256 bytes"),
        (json!({"secret": null, "key": "none"}), "the webhook w names a key that the app does not have"),
        (json!({"events": ["messages"]}), "webhooks[0].events must be some of channel.message,"),
        (json!({"events": []}), "webhooks[0].events must be some of"),
        (json!({"events": "channel.message"}), "webhooks[0].events must be a list"),
        (json!({"channels": "[a-secret]x"}), "webhooks[0].channels is wrong: it must be a pattern"),
        (json!({"requestMode": "both"}), "webhooks[0].requestMode must be batch or single"),
        (json!({"enveloped": false}), "webhooks[0].enveloped must be true unless requestMode is single"),
        (json!({"enveloped": "a-secret"}), "webhooks[0].enveloped must be true or false"),
        (json!({"retries": 5}), "webhooks[0] has an unknown field \"retries\"; known are id, url, secret"),
    ] {
        for error in [
            read(&json!([webhook(more.clone())]), &json!([])).unwrap_err(),
            read(&json!([]), &json!([webhook(more.clone())])).unwrap_err(),
        ] {
            assert!(error.message.contains(expected), "{error}");
            assert!(!error.message.contains("a-secret"), "{error}");
        }
    }
    let twice = read(&json!([webhook(json!({}))]), &json!([webhook(json!({}))])).unwrap_err();
    assert!(twice.message.contains("two webhooks have one id"), "{twice}");
    let many: Vec<Value> = (0..HOOKS_PER_APP_MAX).map(|index| webhook(json!({"id": format!("w{index}")}))).collect();
    assert!(read(&json!(many), &json!([])).is_ok());
    assert!(read(&json!(many), &json!([webhook(json!({}))])).unwrap_err().message.contains("at most 20 webhooks"));
}

#[test]
fn only_an_operator_can_allow_private_addresses() {
    let at = |url: &str| read(&json!([webhook(json!({"url": url}))]), &json!([])).unwrap().check_addresses();
    assert!(at("https://example.com/hook").is_ok());
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://db.internal/",
        "https://169.254.169.254/",
    ] {
        assert!(at(url).unwrap_err().message.contains("must be at a public name, over https"), "{url}");
    }
}
