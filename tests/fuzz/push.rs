//! Devices, recipients and payloads of push: what is read says the same when it is read again.

use courtside::base::endpoint::Endpoint;
use courtside::push::{Device, DevicePatch, Payload, Recipient};
use serde_json::Value;

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
];

pub fn json(input: &mut Input) {
    let text = input.text("json", GOOD);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
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
        assert!(payload.web(usize::MAX).is_some_and(|web| serde_json::from_str::<Value>(&web).is_ok()));
    }
    if let Some(endpoint) = value.as_str().and_then(Endpoint::parse) {
        assert!(endpoint.url.starts_with(&endpoint.origin));
    }
}
