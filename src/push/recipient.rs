//! Where a notification goes: an address of one of the transports.

use serde_json::{Map, Value};

use super::device::{bad, bounded};
use crate::auth::Secret;
use crate::base::base64::from_base64;
use crate::base::endpoint::Endpoint;
use crate::error::ErrorInfo;
use crate::limits::PUSH_RECIPIENT_MAX_BYTES;
use crate::model::name::ChannelName;
use crate::model::node;

#[derive(Clone, Debug, PartialEq)]
pub enum Recipient {
    Web(WebRecipient),
    /// Publishes to a channel of the same app, by one of its keys: for tests, and for what is always connected.
    Channel {
        channel: ChannelName,
        key: Secret,
    },
    /// A registration token of FCM, and a device token of APNs. Only the services know which there are.
    Fcm(String),
    Apns(String),
}

/// A browser's subscription with its push service.
#[derive(Clone, Debug, PartialEq)]
pub struct WebRecipient {
    pub endpoint: Endpoint,
    /// The public key that messages are encrypted for: an uncompressed point of P-256.
    pub p256dh: Vec<u8>,
    pub auth: Vec<u8>,
    /// The public key by which the browser knows who may send, as it was told.
    pub vapid_key: String,
}

impl Recipient {
    /// The text of a recipient that can be read. Fails with 40000, and with 40009 when it is too long.
    pub fn checked(value: &Value) -> Result<String, ErrorInfo> {
        let text = bounded(value, "recipient", PUSH_RECIPIENT_MAX_BYTES)?;
        Recipient::read(value).map(|_| text)
    }

    pub fn parse(text: &str) -> Result<Recipient, ErrorInfo> {
        Recipient::read(&node::value_of(text.as_bytes()).unwrap_or_default())
    }

    /// As `transportType` has it.
    pub fn transport(&self) -> &'static str {
        match self {
            Recipient::Web(_) => "web",
            Recipient::Channel { .. } => "ablyChannel",
            Recipient::Fcm(_) => "fcm",
            Recipient::Apns(_) => "apns",
        }
    }

    /// Fails with 40000 when it is no address of a transport.
    pub fn read(value: &Value) -> Result<Recipient, ErrorInfo> {
        let fields = value.as_object().ok_or_else(|| bad("a recipient must be an object"))?;
        match fields.get("transportType").and_then(Value::as_str) {
            Some("web") => web(fields).map(Recipient::Web),
            Some("ablyChannel") => {
                let channel = ChannelName::parse(required(fields, "channel")?)?;
                channel.refuse_view()?;
                Ok(Recipient::Channel { channel, key: Secret::presented(required(fields, "ablyKey")?) })
            }
            Some("fcm" | "gcm") => required(fields, "registrationToken").map(|token| Recipient::Fcm(token.to_owned())),
            Some("apns") => apns_token(fields).map(|token| Recipient::Apns(token.to_owned())),
            _ => Err(bad("a recipient's transportType must be web, fcm, apns or ablyChannel")),
        }
    }
}

fn web(fields: &Map<String, Value>) -> Result<WebRecipient, ErrorInfo> {
    let target = required(fields, "targetUrl")?;
    let plain = target.contains("://").then(|| target.to_owned());
    let decoded = plain.or_else(|| from_base64(target).and_then(|bytes| String::from_utf8(bytes).ok()));
    let endpoint = decoded.as_deref().and_then(Endpoint::parse);
    let keys =
        fields.get("encryptionKey").and_then(Value::as_object).ok_or_else(|| bad("'encryptionKey' is missing"))?;
    let key = |name: &str, len: usize| {
        let bytes = keys.get(name).and_then(Value::as_str).and_then(from_base64).filter(|bytes| bytes.len() == len);
        bytes.ok_or_else(|| bad(&format!("'encryptionKey.{name}' must be {len} bytes in base64")))
    };
    Ok(WebRecipient {
        endpoint: endpoint.ok_or_else(|| bad("'targetUrl' must be the URL of a push service, or its base64"))?,
        p256dh: key("p256dh", 65)?,
        auth: key("auth", 16)?,
        vapid_key: required(fields, "publicVapidKey")?.to_owned(),
    })
}

/// Of SDKs that know several tokens of a device it is the one for notifications.
fn apns_token(fields: &Map<String, Value>) -> Result<&str, ErrorInfo> {
    match fields.get("apnsDeviceTokens").and_then(Value::as_object) {
        Some(tokens) if !fields.contains_key("deviceToken") => required(tokens, "default"),
        _ => required(fields, "deviceToken"),
    }
}

fn required<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, ErrorInfo> {
    let found = fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| bad(&format!("the recipient needs '{name}'")))
}
