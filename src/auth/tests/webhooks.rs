//! Webhooks are read from the configuration, or refused with the place of what is wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::auth::{App, Apps, Events, Hook, Secret};
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
    assert_eq!(usual.sign(b"x").as_deref(), Some("wF33UlWYwzxdal8XTcY3hloF3VXS2UAnYaQYrxtUVIE="));
    assert_ne!(usual.sign(b"{}"), own.sign(b"{}"));
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

/// Clients choose the body then, and the key's secret also signs JWTs and token requests.
#[test]
fn no_key_signs_what_clients_say() {
    let bare = |more: Value| {
        let mut webhook = webhook(json!({"requestMode": "single", "enveloped": false}));
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        webhook
    };
    let own = bare(json!({}));
    let by_key = webhook(json!({"secret": null, "key": "k", "requestMode": "single", "enveloped": false}));
    let by_its_secret = bare(json!({"secret": "local-only"}));
    let none = || json!([]);
    assert_eq!(read(&json!([own]), &none()).unwrap().check_webhook_signers(None), Ok(()));
    for app in [
        read(&json!([by_key]), &none()).unwrap(),
        read(&none(), &json!([by_key])).unwrap(),
        read(&json!([by_its_secret]), &none()).unwrap(),
    ] {
        let error = app.check_webhook_signers(None).unwrap_err();
        assert!(error.message.contains("the webhook w must have a secret of its own"), "{error}");
        assert_eq!(app.check_webhook_signers(Some(&app)), Ok(()), "one that was there before stays");
    }
}

#[test]
fn what_an_earlier_build_let_a_key_sign_is_no_credential() {
    let by_key = webhook(json!({"secret": null, "key": "k", "requestMode": "single", "enveloped": false}));
    let hook = &hooks(&read(&json!([by_key]), &json!([])).unwrap(), "c")[0];
    let secret = Secret::parse("local-only", SHORT_SECRET_MIN_BYTES).unwrap();
    for text in ["eyJhbGciOiJIUzI1NiJ9.e30", "a.k\n\n\n\n1\nnonce\n", "1.2:private-a", "courtside seal x", ""] {
        assert_eq!(hook.sign(text.as_bytes()), None, "{text}");
    }
    for text in ["{}", "[1]"] {
        assert_eq!(hook.sign(text.as_bytes()), Some(BASE64.encode(secret.mac(text.as_bytes()))), "{text}");
    }
}
