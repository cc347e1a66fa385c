//! Devices, recipients and payloads of push: what is read says the same when it is read again. And what push services
//! are told and answer, whatever they say.

use courtside::app::push::transport::Sender;
use courtside::app::push::{Answered, Outcome, Settings, Transport};
use courtside::auth::App;
use courtside::base::endpoint::Endpoint;
use courtside::push::{Device, DevicePatch, Payload, Recipient};
use serde_json::{Value, json};

use crate::input::Input;

const GOOD: &[&str] = &[
    r#"{"id":"d1","clientId":"ann","deviceSecret":"s","platform":"browser","formFactor":"phone","metadata":{"a":[1]},
        "push":{"recipient":{"transportType":"ablyChannel","channel":"c","ablyKey":"a.b:c"},"state":"ACTIVE"}}"#,
    r#"{"transportType":"web","targetUrl":"https://push.example.com:8443/x?y","publicVapidKey":"K","encryptionKey":{
        "p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#,
    r#"{"notification":{"title":"t","icon":null},"data":{"a":"b"},"web":{"notification":{"title":{"x":1}},"data":5}}"#,
    r#"{"clientId":null,"metadata":null,"push":{"recipient":{"transportType":"gcm","registrationToken":"t"}}}"#,
    r#""https://a.b-c.example/x""#,
    r#"{"notification":{"title":"t","collapseKey":"k"},"data":{"a":1,"aps":{"x":1}},"fcm":{"token":"x","priority":"high",
        "notification":{"color":"red"},"android":{"ttl":"3s"}},"apns":{"aps":{"badge":1},"apns-headers":{"apns-id":"x"}}}"#,
    r#"{"error":{"status":"NOT_FOUND","message":"m","details":[{"errorCode":"UNREGISTERED"},
        {"fieldViolations":[{"field":"message.token"}]}]},"reason":"BadDeviceToken","access_token":"t","expires_in":3599}"#,
    include_str!("../fixtures/push_credentials.json"),
];

pub fn json(input: &mut Input) {
    let text = input.text("json", GOOD);
    answers(&text);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    if let Ok(app) = app(&value) {
        assert_eq!(App::try_from(app.to_json()), Ok(app));
    }
    if let Ok(device) = Device::read(&value, None) {
        assert_eq!(Device::read(&device.to_json(true).into(), Some(&device.id)), Ok(device));
    }
    if let Ok(patch) = DevicePatch::read(&value) {
        assert!(patch.recipient.is_none_or(|recipient| Recipient::parse(&recipient).is_ok()));
    }
    if let Ok(checked) = Recipient::checked(&value) {
        assert_eq!(Recipient::parse(&checked), Recipient::read(&value));
    }
    if let Some(Ok(payload)) = value.as_object().cloned().map(Payload::read) {
        assert_eq!(Payload::parse(&payload.text()).as_ref(), Ok(&payload));
        posts(&payload);
        assert!(payload.web(usize::MAX).is_some_and(|web| serde_json::from_str::<Value>(&web).is_ok()));
    }
    if let Some(endpoint) = value.as_str().and_then(Endpoint::parse) {
        assert!(endpoint.url.starts_with(&endpoint.origin));
    }
}

fn app(push: &Value) -> Result<App, courtside::error::ErrorInfo> {
    App::try_from(json!({"id": "demo", "keys": [], "namespaces": [], "push": push}))
}

/// An answer has a meaning, and no token has what a header cannot hold.
fn answers(text: &str) {
    for transport in Transport::ALL {
        for status in [200, 400, 401, 403, 404, 410, 429, 503] {
            let answered = Answered { status, retry_after_s: Some(u64::MAX), body: text.to_owned() };
            transport.verdict(Outcome::Answered(answered.clone()));
            for outcome in [Outcome::Answered(answered), Outcome::Signed(text.to_owned())] {
                if let Ok((token, _)) = transport.authorised(outcome, 0) {
                    assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }
    }
}

/// A payload says what is sent, and neither to whom nor by whom.
fn posts(payload: &Payload) {
    let app = app(&serde_json::from_str(GOOD[GOOD.len() - 1]).expect("JSON")).expect("credentials");
    let sender = Sender { app: &app, token: "secret", id: "1", now_ms: 1_000 };
    for transport in Transport::ALL {
        let Ok(post) = transport.post("abcd", payload, &sender, &Settings::default()) else { continue };
        let body: Value = serde_json::from_str(&post.body).expect("JSON");
        for (name, value) in &post.headers {
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value}");
        }
        let authorization = post.headers.iter().filter(|(name, _)| name == "authorization");
        assert!(authorization.map(|(_, value)| value.ends_with("earer secret")).eq([true]));
        match transport {
            Transport::Fcm => {
                assert_eq!(body["message"]["token"], "abcd");
                assert!(body["message"]["topic"].is_null() && body["message"]["condition"].is_null());
            }
            Transport::Apns => assert_eq!(post.url, "https://api.push.apple.com/3/device/abcd"),
        }
    }
}
