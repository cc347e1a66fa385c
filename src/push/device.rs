//! A device that notifications go to, as its client or its app's server registers it (protocol.md § 20.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Recipient;
use crate::base::pinned::Versioned;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CLIENT_ID_MAX_BYTES, PUSH_DEVICE_ID_MAX_BYTES, PUSH_DEVICE_SECRET_MAX_BYTES, PUSH_METADATA_MAX_BYTES,
};

const PLATFORMS: [&str; 3] = ["android", "ios", "browser"];
const FORM_FACTORS: [&str; 8] = ["phone", "tablet", "desktop", "tv", "watch", "car", "embedded", "other"];

/// Stored as it is, and sent between objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub id: String,
    pub client_id: Option<String>,
    pub platform: String,
    pub form_factor: String,
    /// The text of a JSON object.
    pub metadata: Option<String>,
    /// The text of a JSON object, which [`Recipient::read`] can read.
    pub recipient: String,
    /// By which the device proves itself before it has a token. Whoever may read the device gets it back.
    pub secret: Option<String>,
    /// The hash of its identity token.
    pub token: Option<String>,
    pub state: State,
}

impl Versioned for Device {
    const VERSION: u8 = 1;
}

/// How deliveries to it go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    Active,
    /// The last one failed, and is tried again.
    Failing(ErrorInfo),
    /// It gets nothing until it is registered anew.
    Failed(ErrorInfo),
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            State::Active => "ACTIVE",
            State::Failing(_) => "FAILING",
            State::Failed(_) => "FAILED",
        }
    }

    fn error(&self) -> Option<&ErrorInfo> {
        match self {
            State::Active => None,
            State::Failing(error) | State::Failed(error) => Some(error),
        }
    }
}

/// What a PATCH changes; what it names replaces the whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DevicePatch {
    pub client_id: Option<Option<String>>,
    pub metadata: Option<Option<String>>,
    pub recipient: Option<String>,
}

impl Device {
    /// As a body has it. `id` is that of the path, if it has one. Fails with 40015 for an id that cannot be one, and
    /// with 40000 for all else that is wrong.
    pub fn read(body: &Value, id: Option<&str>) -> Result<Device, ErrorInfo> {
        let fields = body.as_object().ok_or_else(|| bad("a device must be an object"))?;
        let own = match fields.get("id") {
            None | Some(Value::Null) => id,
            Some(Value::String(own)) => Some(own.as_str()),
            Some(_) => return Err(Code::BadDeviceId.because("a device's id must be a string")),
        };
        let own = own.ok_or_else(|| Code::BadDeviceId.because("a device needs an id"))?;
        if id.is_some_and(|id| id != own) {
            return Err(bad("the id of the device is not that of the path"));
        }
        let device = Device {
            id: check_id(own)?.to_owned(),
            client_id: client_id(fields)?,
            platform: one_of(fields, "platform", &PLATFORMS)?,
            form_factor: one_of(fields, "formFactor", &FORM_FACTORS)?,
            metadata: metadata(fields)?,
            recipient: recipient(fields)?.ok_or_else(|| bad("a device needs a push.recipient"))?,
            secret: text(fields, "deviceSecret", PUSH_DEVICE_SECRET_MAX_BYTES)?,
            token: None,
            state: State::Active,
        };
        Ok(device)
    }

    /// As the protocol shows it. The secret is for who asks for this very device.
    pub fn to_json(&self, with_secret: bool) -> Map<String, Value> {
        let parsed = |text: &str| crate::model::node::value_of(text.as_bytes()).unwrap_or_default();
        let mut push = Map::new();
        push.insert("recipient".to_owned(), parsed(&self.recipient));
        push.insert("state".to_owned(), self.state.name().into());
        if let Some(error) = self.state.error() {
            let error = serde_json::to_value(error).unwrap_or_default();
            // The one for JavaScript reads the first, all other SDKs the second.
            push.insert("error".to_owned(), error.clone());
            push.insert("errorReason".to_owned(), error);
        }
        let texts = [
            ("id", Some(self.id.as_str())),
            ("clientId", self.client_id.as_deref()),
            ("platform", Some(&self.platform)),
            ("formFactor", Some(&self.form_factor)),
            ("deviceSecret", self.secret.as_deref().filter(|_| with_secret)),
        ];
        let mut device: Map<String, Value> =
            texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect();
        device.extend(self.metadata.as_deref().map(|metadata| ("metadata".to_owned(), parsed(metadata))));
        device.insert("push".to_owned(), Value::Object(push));
        device
    }

    pub fn recipient(&self) -> Result<Recipient, ErrorInfo> {
        Recipient::parse(&self.recipient)
    }
}

impl DevicePatch {
    /// Fails with 40000 for what cannot be changed so, or to that.
    pub fn read(body: &Value) -> Result<DevicePatch, ErrorInfo> {
        let fields = body.as_object().ok_or_else(|| bad("the body must be an object"))?;
        const KNOWN: [&str; 4] = ["id", "clientId", "metadata", "push"];
        if let Some(name) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(bad(&format!("'{}' cannot be changed: register the device anew", shown(name))));
        }
        let client_id = fields.contains_key("clientId").then(|| client_id(fields)).transpose()?;
        let metadata = fields.contains_key("metadata").then(|| metadata(fields)).transpose()?;
        Ok(DevicePatch { client_id, metadata, recipient: recipient(fields)? })
    }

    pub fn apply(self, device: &mut Device) {
        device.client_id = self.client_id.unwrap_or(device.client_id.take());
        device.metadata = self.metadata.unwrap_or(device.metadata.take());
        if let Some(recipient) = self.recipient {
            device.recipient = recipient;
        }
        device.state = State::Active;
    }
}

/// Fails with 40015.
pub fn check_id(id: &str) -> Result<&str, ErrorInfo> {
    match id.is_empty() || id.len() > PUSH_DEVICE_ID_MAX_BYTES || id.contains(char::is_control) {
        false => Ok(id),
        true => Err(Code::BadDeviceId.because(format!("a device's id has 1 to {PUSH_DEVICE_ID_MAX_BYTES} bytes"))),
    }
}

fn client_id(fields: &Map<String, Value>) -> Result<Option<String>, ErrorInfo> {
    let id = text(fields, "clientId", CLIENT_ID_MAX_BYTES)?.filter(|id| !id.is_empty());
    match id.as_deref() {
        Some("*") => Err(bad("a device's clientId cannot be '*'")),
        _ => Ok(id),
    }
}

fn metadata(fields: &Map<String, Value>) -> Result<Option<String>, ErrorInfo> {
    match fields.get("metadata") {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) => bounded(value, "metadata", PUSH_METADATA_MAX_BYTES).map(Some),
        Some(_) => Err(bad("'metadata' must be an object")),
    }
}

/// Of `push`; the rest of what a client may have got with it is ours to say.
fn recipient(fields: &Map<String, Value>) -> Result<Option<String>, ErrorInfo> {
    let push = match fields.get("push") {
        None | Some(Value::Null) => return Ok(None),
        Some(push) => push.as_object().ok_or_else(|| bad("'push' must be an object"))?,
    };
    const KNOWN: [&str; 4] = ["recipient", "state", "error", "errorReason"];
    if let Some(name) = push.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(bad(&format!("'push' has an unknown field '{}'", shown(name))));
    }
    let recipient = push.get("recipient").ok_or_else(|| bad("'push' needs a 'recipient'"))?;
    Recipient::checked(recipient).map(Some)
}

fn one_of(fields: &Map<String, Value>, name: &str, known: &[&str]) -> Result<String, ErrorInfo> {
    let found = fields.get(name).and_then(Value::as_str).and_then(|text| known.iter().find(|known| **known == text));
    found.map(|text| (*text).to_owned()).ok_or_else(|| bad(&format!("'{name}' must be one of {}", known.join(", "))))
}

pub fn text(fields: &Map<String, Value>, name: &str, max_bytes: usize) -> Result<Option<String>, ErrorInfo> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= max_bytes => Ok(Some(text.clone())),
        Some(_) => Err(bad(&format!("'{name}' must be a string of at most {max_bytes} bytes"))),
    }
}

/// The text of JSON that is kept as it is.
pub fn bounded(value: &Value, what: &str, max_bytes: usize) -> Result<String, ErrorInfo> {
    let text = value.to_string();
    match text.len() <= max_bytes {
        true => Ok(text),
        false => Err(Code::TooLarge.because(format!("'{what}' has more than {max_bytes} bytes"))),
    }
}

pub fn bad(why: &str) -> ErrorInfo {
    Code::BadRequest.because(why)
}

/// As much of a name as an error repeats.
pub fn shown(name: &str) -> String {
    name.chars().take(crate::limits::PARAMETER_SHOWN_MAX_CHARS).collect()
}
