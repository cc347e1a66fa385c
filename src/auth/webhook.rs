//! Webhooks as the configuration has them (docs/webhooks.md): which events of which channels go where, and who signs.
//!
//! A webhook belongs to the app, or to a namespace. On one channel they become [`Hook`]s, which have the secret of the
//! key that signs: a channel reads no configuration.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::resource::Resource;
use super::secret::mac;
use super::{App, Key, KeyName};
use crate::base::endpoint::Endpoint;
use crate::error::{Code, ErrorInfo};
use crate::limits::{HOOK_ID_MAX_BYTES, HOOK_SECRET_MAX_BYTES, HOOK_URL_MAX_BYTES};
use crate::model::name::ChannelName;

/// What a receiver can ask for, by the names that the configuration has.
const EVENTS: [(&str, Events); 8] = [
    ("channel.message", Events::MESSAGE),
    ("channel.message.updated", Events::UPDATE),
    ("channel.message.deleted", Events::DELETE),
    ("channel.presence", Events::PRESENCE),
    ("channel.lifecycle", Events::LIFECYCLE),
    ("channel.occupancy", Events::OCCUPANCY),
    ("connection.opened", Events::OPENED),
    ("connection.closed", Events::CLOSED),
];

/// Some kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events(u8);

impl Events {
    pub const MESSAGE: Events = Events(1);
    /// Updates and appends.
    pub const UPDATE: Events = Events(2);
    pub const DELETE: Events = Events(4);
    pub const PRESENCE: Events = Events(8);
    /// The channel is in use, or no longer.
    pub const LIFECYCLE: Events = Events(16);
    /// Somebody is there, or nobody any more.
    pub const OCCUPANCY: Events = Events(32);

    /// A connection began, or ended.
    pub const OPENED: Events = Events(64);
    pub const CLOSED: Events = Events(128);
    pub const CONNECTIONS: Events = Events(64 | 128);

    pub const fn both(self, other: Events) -> Events {
        Events(self.0 & other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn has(self, other: Events) -> bool {
        self.0 & other.0 == other.0
    }

    fn names(self) -> Vec<&'static str> {
        EVENTS.iter().filter(|(_, event)| self.has(*event)).map(|(name, _)| *name).collect()
    }
}

/// Where events of one channel go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub id: String,
    pub url: String,
    /// The key whose secret signs, unless the webhook has a secret of its own.
    pub key_name: Option<String>,
    pub secret: Signing,
    pub events: Events,
    pub is_batched: bool,
    pub is_enveloped: bool,
    /// When it was made or changed at run time; 0 for one that its app began with. And when it was changed last, where
    /// one change soon followed another: of two that are one, the newer has the greater.
    pub since_ms: u64,
    pub changed_ms: u64,
}

/// The same as earlier builds had it, and what tells whether a webhook is another: not the times.
#[derive(Serialize, Deserialize)]
pub struct HookOfVersion1 {
    id: String,
    url: String,
    key_name: Option<String>,
    secret: Signing,
    events: Events,
    is_batched: bool,
    is_enveloped: bool,
}

impl From<HookOfVersion1> for Hook {
    fn from(hook: HookOfVersion1) -> Hook {
        let HookOfVersion1 { id, url, key_name, secret, events, is_batched, is_enveloped } = hook;
        Hook { id, url, key_name, secret, events, is_batched, is_enveloped, since_ms: 0, changed_ms: 0 }
    }
}

impl From<Hook> for HookOfVersion1 {
    fn from(hook: Hook) -> HookOfVersion1 {
        let Hook { id, url, key_name, secret, events, is_batched, is_enveloped, since_ms: _, changed_ms: _ } = hook;
        HookOfVersion1 { id, url, key_name, secret, events, is_batched, is_enveloped }
    }
}

impl Hook {
    /// The signature of a body. `None` for a text that a key's secret would make credentials of, as in earlier builds.
    /// An envelope is an object, and no credentials begin as objects and lists do.
    pub fn sign(&self, body: &[u8]) -> Option<String> {
        let is_harmless = self.key_name.is_none() || matches!(body.first(), Some(b'{' | b'['));
        is_harmless.then(|| self.secret.sign(body))
    }
}

/// The secret that signs what is sent. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signing(String);

impl Signing {
    pub fn new(secret: &str) -> Signing {
        Signing(secret.to_owned())
    }

    /// HMAC-SHA256 of a body, in base64.
    fn sign(&self, body: &[u8]) -> String {
        BASE64.encode(mac(self.0.as_bytes(), body))
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing(…)")
    }
}

/// A webhook of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    id: String,
    url: String,
    signer: Signer,
    events: Events,
    /// Which channels; all that the app, or the namespace, has if it is none.
    channels: Option<Resource>,
    is_batched: bool,
    is_enveloped: bool,
    /// See [`Hook::since_ms`].
    since_ms: u64,
    changed_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Signer {
    Secret(Signing),
    /// A key of the app, by its name there.
    Key(String),
}

const FIELDS: [&str; 10] =
    ["id", "url", "secret", "key", "events", "channels", "requestMode", "enveloped", "since", "changed"];

const MILLISECONDS: &str = "must be whole milliseconds";

impl Webhook {
    pub(super) fn read(value: &Value, path: &str, secret_min_bytes: usize) -> Result<Webhook, ErrorInfo> {
        let fields = Fields::of(value, path, &FIELDS)?;
        let id = fields.parsed("id", check_id)?;
        let url = fields.parsed("url", check_url)?;
        let is_batched = match fields.optional_text("requestMode")? {
            None | Some("batch") => true,
            Some("single") => false,
            Some(_) => return Err(fields.wrong("requestMode", "must be batch or single")),
        };
        let is_enveloped = fields.optional("enveloped").is_none() || fields.flag("enveloped")?;
        if is_batched && !is_enveloped {
            return Err(fields.wrong("enveloped", "must be true unless requestMode is single: a batch has an envelope"));
        }
        Ok(Webhook {
            id,
            url,
            signer: Signer::read(&fields, secret_min_bytes)?,
            events: read_events(&fields)?,
            channels: fields.optional("channels").map(|_| fields.parsed("channels", read_pattern)).transpose()?,
            is_batched,
            is_enveloped,
            since_ms: fields.whole("since", MILLISECONDS)?.unwrap_or_default(),
            changed_ms: fields.whole("changed", MILLISECONDS)?.unwrap_or_default(),
        })
    }

    /// One of a namespace. Fails with 40000 also for events that are of no namespace.
    pub(super) fn read_of_namespace(value: &Value, path: &str, secret_min_bytes: usize) -> Result<Webhook, ErrorInfo> {
        let webhook = Webhook::read(value, path, secret_min_bytes)?;
        match webhook.tells_of_connections() {
            false => Ok(webhook),
            true => {
                let what =
                    "cannot be of connections in a namespace: those belong to the app, and so does such a webhook";
                Err(Fields::of(value, path, &FIELDS)?.wrong("events", what))
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("url".to_owned(), json!(self.url)),
            ("events".to_owned(), json!(self.events.names())),
            ("requestMode".to_owned(), json!(if self.is_batched { "batch" } else { "single" })),
            ("enveloped".to_owned(), json!(self.is_enveloped)),
        ]);
        let (name, signer) = match &self.signer {
            Signer::Secret(Signing(secret)) => ("secret", secret),
            Signer::Key(key) => ("key", key),
        };
        object.insert(name.to_owned(), json!(signer));
        if let Some(channels) = &self.channels {
            object.insert("channels".to_owned(), json!(channels.as_str()));
        }
        if self.since_ms > 0 {
            object.insert("since".to_owned(), json!(self.since_ms));
            object.insert("changed".to_owned(), json!(self.changed_ms));
        }
        Value::Object(object)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it has no secret of its own that is shorter.
    pub(super) fn has_secret_of(&self, min_bytes: usize) -> bool {
        !matches!(&self.signer, Signer::Secret(Signing(secret)) if secret.len() < min_bytes)
    }

    /// Whether a secret of these keys signs what clients say, and nothing else. What they say can be the text of a JWT,
    /// and its signature then makes it one.
    pub(super) fn signs_as(&self, keys: &[Key]) -> bool {
        let is_of_key = match &self.signer {
            Signer::Key(_) => true,
            Signer::Secret(Signing(secret)) => keys.iter().any(|key| key.secret.expose() == secret),
        };
        is_of_key && !self.is_enveloped
    }

    pub(super) fn is_public(&self) -> bool {
        Endpoint::parse(&self.url).is_some_and(|endpoint| endpoint.is_public())
    }

    /// The key that it names, if it names one.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.signer {
            Signer::Key(key) => Some(key),
            Signer::Secret(_) => None,
        }
    }

    /// What it comes to on a channel, if it is one of its channels.
    pub(super) fn on(&self, app: &App, channel: &ChannelName) -> Option<Hook> {
        let events = self.events_on(channel);
        let is_wanted = !events.is_empty();
        let (key_name, secret) = match &self.signer {
            _ if !is_wanted => return None,
            Signer::Secret(secret) => (None, secret.clone()),
            Signer::Key(key) => {
                let name = KeyName::new(app.id().clone(), key).ok()?;
                let secret = Signing::new(app.key(&name)?.secret.expose());
                (Some(name.to_string()), secret)
            }
        };
        Some(Hook {
            id: self.id.clone(),
            url: self.url.clone(),
            key_name,
            secret,
            events,
            is_batched: self.is_batched,
            is_enveloped: self.is_enveloped,
            since_ms: self.since_ms,
            changed_ms: self.changed_ms,
        })
    }

    /// Connections are of no channel, and their events on a channel of their own. Metachannels have none.
    fn events_on(&self, channel: &ChannelName) -> Events {
        let of_channels = Events(self.events.0 & !Events::CONNECTIONS.0);
        match &self.channels {
            _ if channel.is_connections() => self.events.both(Events::CONNECTIONS),
            _ if channel.is_metachannel() => Events::default(),
            Some(pattern) if !pattern.matches(channel) => Events::default(),
            _ => of_channels,
        }
    }

    pub(super) fn tells_of_connections(&self) -> bool {
        !self.events.both(Events::CONNECTIONS).is_empty()
    }
}

impl Signer {
    fn read(fields: &Fields<'_>, secret_min_bytes: usize) -> Result<Signer, ErrorInfo> {
        match (fields.optional_text("secret")?, fields.optional_text("key")?) {
            (None, Some(key)) => Ok(Signer::Key(key.to_owned())),
            (Some(secret), None) if (secret_min_bytes..=HOOK_SECRET_MAX_BYTES).contains(&secret.len()) => {
                Ok(Signer::Secret(Signing::new(secret)))
            }
            (Some(_), None) => {
                let what = format!("must have from {secret_min_bytes} to {HOOK_SECRET_MAX_BYTES} bytes");
                Err(fields.wrong("secret", &what))
            }
            (None, None) => Err(fields.wrong("secret", "is missing; a webhook has a secret, or the key that signs")),
            (Some(_), Some(_)) => Err(fields.wrong("secret", "excludes key: one of them signs")),
        }
    }
}

/// Messages, unless the webhook says something else.
fn read_events(fields: &Fields<'_>) -> Result<Events, ErrorInfo> {
    let known = || EVENTS.map(|(name, _)| name).join(", ");
    let read = |value: &Value, _: &str| {
        let found = EVENTS.iter().find(|(name, _)| value.as_str() == Some(name));
        found.map(|(_, event)| *event).ok_or_else(|| fields.wrong("events", &format!("must be some of {}", known())))
    };
    match fields.list("events", EVENTS.len(), read)? {
        events if events.is_empty() && fields.optional("events").is_some() => {
            Err(fields.wrong("events", &format!("must be some of {}", known())))
        }
        events if events.is_empty() => Ok(Events::MESSAGE),
        events => Ok(Events(events.iter().fold(0, |all, event| all | event.0))),
    }
}

fn check_id(id: &str) -> Result<String, ErrorInfo> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !id.is_empty() && id.len() <= HOOK_ID_MAX_BYTES && id.chars().all(is_plain) {
        true => Ok(id.to_owned()),
        false => {
            let what = format!("it must have from 1 to {HOOK_ID_MAX_BYTES} letters, digits, '-' or '_'");
            Err(Code::BadRequest.because(what))
        }
    }
}

/// Only its form: whether the place may be called is the deployment's rule, which is looked at before each request.
fn check_url(url: &str) -> Result<String, ErrorInfo> {
    match url.len() <= HOOK_URL_MAX_BYTES && Endpoint::parse(url).is_some() {
        true => Ok(url.to_owned()),
        false => Err(Code::BadRequest.because(
            "it must be an address of https with a host in lower case, and without user, password or an IPv6 address",
        )),
    }
}

/// The error does not show the text, which may be a secret in the wrong place.
fn read_pattern(text: &str) -> Result<Resource, ErrorInfo> {
    let what = "it must be a pattern of channel names, as capabilities have it";
    Resource::parse(text).map_err(|_| Code::BadRequest.because(what))
}
