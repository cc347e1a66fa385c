//! Events of a channel as receivers get them, and the requests that carry them (docs/webhooks.md).

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::row::{LifeEvent, Mark};
use crate::auth::{Events, Hook};
use crate::http::percent;
use crate::limits::HOOK_DEAD_MAX_BYTES;
use crate::model::Format;
use crate::model::data::Data;
use crate::model::message::{Entry, Kind, Message};
use crate::model::revision::Shape;
use crate::model::trace::{TRACE, Trace};
use crate::protocol::objects::SITE;
use crate::protocol::outbound;
use crate::rpc::{Address, CONNECTION_CLOSED, CONNECTION_OPENED};

/// The version of the protocol whose messages these are.
const VERSION: &str = "2";

const JSON: &str = "application/json";

/// Something that happened on a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unlike that of any other event of the channel.
    pub id: String,
    pub at_ms: u64,
    source: &'static str,
    name: &'static str,
    /// The field of its data, and what that holds.
    content: Option<(&'static str, Value)>,
    /// What it is without an envelope: its type, and its bytes.
    bare: (&'static str, Vec<u8>),
    /// What headers tell then.
    told: Vec<(&'static str, String)>,
    /// Bytes, about.
    pub weight: usize,
    /// Where a webhook is that has got it.
    pub next: Mark,
}

/// The events of an entry that a webhook wants: one, or one for each message where they go alone and without an
/// envelope. `mark` is the place before the entry.
pub fn of_entry(entry: &Entry, hook: &Hook, epoch: &str, mark: Mark) -> Vec<Event> {
    let done = Mark { position: entry.position, places: 0, ..mark };
    if !hook.events.both(Events::CONNECTIONS).is_empty() {
        return of_connections(entry, hook, mark, done);
    }
    let Some(source) = source_of(entry).filter(|(_, event)| hook.events.has(*event)).map(|(source, _)| source) else {
        return Vec::new();
    };
    if hook.is_enveloped {
        return vec![event(entry, (0, entry.count()), source, epoch, done)];
    }
    let place = |index: usize| {
        let is_last = index + 1 == entry.count();
        let next = if is_last { done } else { Mark { places: index + 1, ..mark } };
        event(entry, (index, index + 1), source, epoch, next)
    };
    (0..entry.count()).map(place).collect()
}

/// What relays noted of connections: each is an event of its own, and known by the id that its relay gave it.
fn of_connections(entry: &Entry, hook: &Hook, mark: Mark, done: Mark) -> Vec<Event> {
    const KINDS: [(&str, Events); 2] = [(CONNECTION_OPENED, Events::OPENED), (CONNECTION_CLOSED, Events::CLOSED)];
    let kind = |message: &Message| {
        let name = message.name.as_deref()?;
        KINDS.iter().find(|(known, event)| *known == name && hook.events.has(*event)).map(|(name, _)| *name)
    };
    let wanted: Vec<(&'static str, &Message)> =
        entry.messages().iter().filter_map(|message| Some((kind(message)?, message))).collect();
    let count = wanted.len();
    let event = |(index, (name, message)): (usize, (&'static str, &Message))| {
        let Data::Text(text) = &message.data else { return None };
        Some(Event {
            id: message.id.clone()?,
            at_ms: entry.position.time_ms(),
            source: "connection.lifecycle",
            name,
            content: Some(("connection", serde_json::from_str(text).ok()?)),
            bare: (JSON, text.clone().into_bytes()),
            told: message.client_id.iter().map(|id| ("X-Ably-ClientId", percent::encode(id))).collect(),
            weight: message.weight(),
            next: if index + 1 == count { done } else { Mark { places: index + 1, ..mark } },
        })
    };
    wanted.into_iter().enumerate().filter_map(event).collect()
}

/// Summaries, annotations and operations on objects are told to nobody here.
fn source_of(entry: &Entry) -> Option<(&'static str, Events)> {
    match entry.kind() {
        Kind::Presence => Some(("channel.presence", Events::PRESENCE)),
        Kind::Messages if entry.messages().is_empty() => None,
        Kind::Messages => Some(match entry.operation().map(|(.., version)| version.shape) {
            None => ("channel.message", Events::MESSAGE),
            Some(Shape::Deleted) => ("channel.message", Events::DELETE),
            Some(_) => ("channel.message", Events::UPDATE),
        }),
        Kind::Objects | Kind::Annotations => None,
    }
}

fn event(entry: &Entry, (from, to): (usize, usize), source: &'static str, epoch: &str, next: Mark) -> Event {
    let (name, content, told) = match entry.kind() {
        Kind::Presence => {
            let events: Vec<_> = (from..to).map(|index| outbound::page_event(entry, index, Format::Json)).collect();
            let told = events.first().map(|event| vec![("X-Ably-ClientId", percent::encode(event.client_id))]);
            ("presence.message", ("presence", json(&events)), told)
        }
        _ => {
            let message = |index| outbound::page_message(entry, index, epoch, Format::Json);
            let messages: Vec<_> = (from..to).map(message).collect();
            let told = messages.first().map(|message| {
                let name = message.name.map(|name| ("X-Ably-Message-Name", percent::encode(name)));
                let client = message.client_id.map(|client| ("X-Ably-ClientId", percent::encode(client)));
                let id = Some(("X-Ably-Message-Id", percent::encode(&message.id)));
                let trace = message.extras.and_then(Trace::of).map(|trace| (TRACE, trace.as_str().to_owned()));
                [id, name, client, trace].into_iter().flatten().collect()
            });
            ("channel.message", ("messages", json(&messages)), told)
        }
    };
    let serial = entry.position.serial(epoch);
    Event {
        id: if (from, to) == (0, entry.count()) { serial } else { entry.position.message_serial(epoch, from) },
        at_ms: entry.position.time_ms(),
        source,
        name,
        content: Some(content),
        bare: bare(entry, from),
        told: told.unwrap_or_default(),
        weight: entry.weight(),
        next,
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The data of one message, or presence event, as it is.
fn bare(entry: &Entry, index: usize) -> (&'static str, Vec<u8>) {
    let message = entry.messages().get(index).map(|message| (&message.data, &message.encoding));
    let event = || entry.presence().get(index).map(|event| (&event.data, &event.encoding));
    match message.or_else(event) {
        Some((Data::Text(text), Some(encoding))) if encoding.ends_with("json") => (JSON, text.clone().into_bytes()),
        Some((Data::Text(text), _)) => ("text/plain; charset=utf-8", text.clone().into_bytes()),
        Some((Data::Binary(bytes), _)) => ("application/octet-stream", bytes.clone()),
        Some((Data::Absent, _)) | None => ("text/plain; charset=utf-8", Vec::new()),
    }
}

pub fn of_life(event: &LifeEvent, epoch: &str, mark: Mark) -> Event {
    let name = event.kind.name();
    Event {
        id: format!("{epoch}!{}", event.number),
        at_ms: event.at_ms,
        source: "channel.lifecycle",
        name,
        content: None,
        bare: (JSON, json!({ "name": name }).to_string().into_bytes()),
        told: Vec::new(),
        weight: name.len(),
        next: Mark { life: event.number + 1, ..mark },
    }
}

/// The headers and the body that carry these events, one at least.
pub fn request(hook: &Hook, address: &Address, events: &[Event]) -> (Vec<(&'static str, String)>, Vec<u8>) {
    let mut headers = vec![("X-Ably-Version", VERSION.to_owned())];
    let (kind, body) = match (events, hook.is_batched) {
        ([event], false) if hook.is_enveloped => {
            headers.extend(event.told.iter().filter(|(name, _)| *name == TRACE).cloned());
            (JSON, single(hook, address, event))
        }
        ([event], false) => {
            headers.extend(bare_headers(hook, address, event));
            event.bare.clone()
        }
        _ => (JSON, batch(hook, address, events)),
    };
    headers.push(("Content-Type", kind.to_owned()));
    headers.extend(hook.key_name.clone().map(|name| ("X-Ably-Key", name)));
    headers.extend(hook.sign(&body).map(|signature| ("X-Ably-Signature", signature)));
    (headers, body)
}

fn batch(hook: &Hook, address: &Address, events: &[Event]) -> Vec<u8> {
    let items: Vec<Value> = events.iter().map(|event| item(hook, address, event)).collect();
    json!({ "items": items }).to_string().into_bytes()
}

/// As many of the first as there is room for, as items of a batch; nothing when there is none for the first.
pub fn kept(hook: &Hook, address: &Address, events: &[Event]) -> String {
    let mut bytes = 2;
    let fits = |item: &String| {
        bytes += item.len() + 1;
        bytes <= HOOK_DEAD_MAX_BYTES
    };
    let items: Vec<String> =
        events.iter().map(|event| item(hook, address, event).to_string()).take_while(fits).collect();
    if items.is_empty() { String::new() } else { format!("[{}]", items.join(",")) }
}

fn item(hook: &Hook, address: &Address, event: &Event) -> Value {
    let mut data = Map::from_iter([("site".to_owned(), json!(SITE))]);
    channel_of(address).iter().for_each(|channel| _ = data.insert("channelId".to_owned(), json!(channel)));
    data.extend(event.content.clone().map(|(field, content)| (field.to_owned(), content)));
    json!({
        "webhookId": hook.id,
        "id": event.id,
        "source": event.source,
        "name": event.name,
        "serial": event.id,
        "timestamp": event.at_ms,
        "data": data,
    })
}

fn single(hook: &Hook, address: &Address, event: &Event) -> Vec<u8> {
    let mut body = json!({
        "source": event.source,
        "name": event.name,
        "id": event.id,
        "timestamp": event.at_ms,
        "appId": address.app.as_str(),
        "site": SITE,
        "ruleId": hook.id,
    });
    channel_of(address).iter().for_each(|channel| body["channel"] = json!(channel));
    if let Some((field, content)) = &event.content {
        body[*field] = content.clone();
    }
    body.to_string().into_bytes()
}

/// Headers hold ASCII alone: what may be anything is percent-encoded.
fn bare_headers(hook: &Hook, address: &Address, event: &Event) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("X-Ably-Envelope-AppId", address.app.as_str().to_owned()),
        ("X-Ably-Envelope-RuleId", hook.id.clone()),
        ("X-Ably-Envelope-Site", SITE.to_owned()),
        ("X-Ably-Envelope-Source", event.source.to_owned()),
        ("X-Ably-Envelope-Name", event.name.to_owned()),
        ("X-Ably-Envelope-Id", event.id.clone()),
        ("X-Ably-Envelope-Timestamp", event.at_ms.to_string()),
    ];
    headers.extend(channel_of(address).map(|channel| ("X-Ably-Envelope-Channel", percent::encode(channel))));
    headers.extend(event.told.iter().cloned());
    headers
}

/// What connections do is of no channel.
fn channel_of(address: &Address) -> Option<&str> {
    (!address.channel.is_connections()).then(|| address.channel.as_str())
}
