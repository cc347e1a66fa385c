//! Events: what a stream says of channels to who only listens (protocol.md § 14).
//!
//! Owns how a frame becomes events, which all readers of a style share, and how each reader gets them: with the id of
//! its own place, and without what it has. The id of an event is a cursor: the last serial of every channel of the
//! stream, in the order of its query. A message in the middle of its publish is named by its own serial: then the whole
//! publish is read again, and what the reader has of it is left out here. Presence events have no serials of their own:
//! who is cut off between some that came together is told of them again. What has no place in the order moves no
//! cursor: who is there when a reader begins, and how many are.

mod objects;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outbound::{META, Outbound, OutboundMessage, SUMMARY};
use super::{action, to_json};
use crate::error::ErrorInfo;
use crate::model::revision::{APPENDED, DELETED, UPDATED};

/// How events are written: a set of [`LINES`], [`ENVELOPED`] and [`HEARTBEATS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Style(u8);

/// As lines of JSON, not as `EventSource` reads them.
pub const LINES: u8 = 2;
/// With the message as JSON, not with its data alone.
pub const ENVELOPED: u8 = 1;
/// Signs of life are events of their own.
pub const HEARTBEATS: u8 = 4;

/// A channel of a stream, and how far its reader is: a channelSerial, or within a publish the serial of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub channel: String,
    pub serial: Option<String>,
}

/// What a frame says to a stream: events without their ids, which are each reader's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// A sign of life.
    Alive,
    Attached {
        channel: String,
        serial: String,
        /// That something may be missed.
        gap: Option<String>,
    },
    Events {
        channel: String,
        events: Vec<Event>,
    },
    /// An error, which ends the stream, or comes just before its end.
    End {
        text: String,
        is_last: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the channel's order; empty for what has none.
    serial: String,
    step: Step,
    text: String,
}

/// How far an event takes its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nowhere,
    /// Behind this message, in the middle of its publish.
    Message,
    /// Behind all of its publish.
    Publish,
}

impl Place {
    /// Whether the reader has an event already.
    fn has(&self, event: &Event) -> bool {
        let is_before = |serial: &String| event.serial <= *serial || event.serial.starts_with(serial.as_str());
        !event.serial.is_empty() && self.serial.as_ref().is_some_and(is_before)
    }
}

/// What a frame says to streams of a style.
pub fn said(frame: &Outbound<'_>, style: Style) -> Said {
    let channel = || frame.channel.unwrap_or_default().to_owned();
    let serial = frame.channel_serial.unwrap_or_default();
    let end = |is_last| Said::End { text: style.event("error", &error_json(frame.error)), is_last };
    match frame.action {
        action::ATTACHED => {
            let gap = frame.error.map(|error| {
                let data =
                    [r#"{"channel":"#, &json(&channel()), r#","error":"#, &error_json(Some(error)), "}"].concat();
                style.event("gap", &data)
            });
            Said::Attached { channel: channel(), serial: serial.to_owned(), gap }
        }
        action::HEARTBEAT => Said::Alive,
        action::MESSAGE => Said::Events { events: style.messages(frame), channel: channel() },
        action::PRESENCE => Said::Events { events: style.presence(frame, serial), channel: channel() },
        action::SYNC => Said::Events { events: style.presence(frame, ""), channel: channel() },
        action::OBJECT => Said::Events { events: style.operations(frame), channel: channel() },
        action::OBJECT_SYNC => Said::Events { events: style.page(frame, serial), channel: channel() },
        // A stream can do nothing about it but begin again.
        action::ERROR | action::DETACHED => end(true),
        action::DISCONNECTED => end(false),
        _ => Said::Nothing,
    }
}

/// What a reader gets of what was said; without anything, a sign of life.
pub fn body<'a>(style: Style, places: &mut [Place], said: impl Iterator<Item = &'a Said>) -> String {
    let (mut body, mut silent) = (String::new(), true);
    for said in said {
        silent = false;
        match said {
            Said::Nothing => {}
            Said::Alive => body.push_str(style.keep_alive()),
            Said::Attached { channel, serial, gap } => {
                let Some(index) = places.iter().position(|place| place.channel == *channel) else { continue };
                if gap.is_some() || places[index].serial.as_ref().is_none_or(|known| whole(known) < serial.as_str()) {
                    places[index].serial = Some(serial.clone());
                }
                match gap {
                    Some(gap) => style.write(places, gap, &mut body),
                    // From here on a reader that comes back has a place in every channel.
                    None if places.iter().all(|place| place.serial.is_some()) => {
                        style.write(places, style.empty(), &mut body);
                    }
                    None => {}
                }
            }
            Said::Events { channel, events } => {
                let Some(index) = places.iter().position(|place| place.channel == *channel) else { continue };
                for event in events {
                    if places[index].has(event) {
                        continue;
                    }
                    match event.step {
                        Step::Nowhere => {}
                        Step::Message => places[index].serial = Some(event.serial.clone()),
                        Step::Publish => places[index].serial = Some(whole(&event.serial).to_owned()),
                    }
                    style.write(places, &event.text, &mut body);
                }
            }
            Said::End { text, .. } => body.push_str(text),
        }
    }
    if silent { style.keep_alive().to_owned() } else { body }
}

impl Said {
    /// The bytes of its texts.
    pub fn bytes(&self) -> usize {
        match self {
            Said::Nothing | Said::Alive => 0,
            Said::Attached { gap, .. } => gap.as_ref().map_or(0, String::len),
            Said::Events { events, .. } => events.iter().map(|event| event.serial.len() + event.text.len()).sum(),
            Said::End { text, .. } => text.len(),
        }
    }
}

impl Style {
    /// A set of these parts.
    pub const fn with(parts: u8) -> Style {
        Style(parts)
    }

    pub fn has(self, part: u8) -> bool {
        self.0 & part != 0
    }

    fn lines(self) -> bool {
        self.has(LINES)
    }

    pub fn content_type(self) -> &'static str {
        if self.lines() { "application/x-ndjson" } else { "text/event-stream" }
    }

    fn keep_alive(self) -> &'static str {
        match (self.has(HEARTBEATS), self.lines()) {
            (true, true) => "{\"event\":\"heartbeat\"}\n",
            // A browser drops an event that has no data at all.
            (true, false) => "event: heartbeat\ndata:\n\n",
            (false, true) => "\n",
            (false, false) => ":keepalive\n\n",
        }
    }

    /// No event, only its id.
    fn empty(self) -> &'static str {
        if self.lines() { "}\n" } else { "\n" }
    }

    /// An event with the cursor as its id. The texts of events that have one go on behind it.
    fn write(self, places: &[Place], event: &str, body: &mut String) {
        body.push_str(if self.lines() { r#"{"id":""# } else { "id: " });
        for (index, place) in places.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(place.serial.as_deref().unwrap_or_default());
        }
        match (self.lines(), event.strip_prefix('{')) {
            (true, Some(fields)) => {
                body.push_str("\",");
                body.push_str(fields);
            }
            (lines, _) => {
                body.push(if lines { '"' } else { '\n' });
                body.push_str(event);
            }
        }
    }

    /// An event whose data is JSON.
    pub fn event(self, name: &str, data: &str) -> String {
        match self.lines() {
            true => [r#"{"event":"#, &json(name), r#","data":"#, data, "}\n"].concat(),
            false => ["event: ", name, "\ndata: ", data, "\n\n"].concat(),
        }
    }

    fn messages(self, frame: &Outbound<'_>) -> Vec<Event> {
        let mut events = Vec::<Event>::new();
        // A summary has no data, and its serial is that of a message which may be long ago: no place to go on from. So
        // is that of an operation, which has a place of its own.
        let is_summary = |message: &OutboundMessage<'_>| message.action == SUMMARY;
        let all = frame.messages.iter().flatten();
        for message in all.filter(|message| self.has(ENVELOPED) || !is_summary(message)) {
            let serial = match &message.operation {
                _ if is_summary(message) => String::new(),
                Some(place) => place.clone(),
                None => message.serial.clone(),
            };
            one_publish(&mut events, &serial);
            let text = match self.has(ENVELOPED) {
                true => self.event("message", &envelope(self.whole(message, frame), frame.channel)),
                false => self.plain(kind(message), message.data.text()),
            };
            let step = if serial.is_empty() { Step::Nowhere } else { Step::Publish };
            events.push(Event { serial, step, text });
        }
        events
    }

    /// A message with what its frame says for all.
    fn whole(self, message: &OutboundMessage<'_>, frame: &Outbound<'_>) -> String {
        let mut text = to_json(message);
        text.pop();
        if let (None, Some(id)) = (message.connection_id, frame.connection_id) {
            text.push_str(&[",\"connectionId\":", &json(id)].concat());
        }
        if let (None, Some(time_ms)) = (message.timestamp, frame.timestamp) {
            text.push_str(&[",\"timestamp\":", &time_ms.to_string()].concat());
        }
        text.push('}');
        text
    }

    /// Presence events, which are at this serial together, or who is there.
    fn presence(self, frame: &Outbound<'_>, serial: &str) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for event in frame.presence.iter().flatten() {
            let text = match self.has(ENVELOPED) {
                true => {
                    let event = to_json(event);
                    self.event("presence", &envelope(event, frame.channel))
                }
                false => self.plain("presence", event.data.text()),
            };
            events.push(Event { serial: serial.to_owned(), step: Step::Nowhere, text });
        }
        if let Some(last) = events.last_mut().filter(|_| !serial.is_empty()) {
            last.step = Step::Publish;
        }
        events
    }

    /// An event whose data is a message's as it is. It has the name of its kind and never of the message, which could
    /// pass for the stream's own.
    fn plain(self, kind: &str, data: &str) -> String {
        if self.lines() {
            return self.event(kind, &json(data));
        }
        let mut event = ["event: ", kind].concat();
        // Whatever ends a line for its reader ends it here, so that no data can pass for an event.
        for line in data.split('\n') {
            for line in line.strip_suffix('\r').unwrap_or(line).split('\r') {
                event.push_str("\ndata: ");
                event.push_str(line);
            }
        }
        event.push_str("\n\n");
        event
    }
}

/// Another of the same publish comes: the event before it is behind that one only.
fn one_publish(events: &mut [Event], serial: &str) {
    if let Some(previous) = events.last_mut().filter(|previous| whole(&previous.serial) == whole(serial))
        && !serial.is_empty()
    {
        previous.step = Step::Message;
    }
}

/// Of which kind a message is. Nobody but a server says what occupancy is, and what is done to a message that was
/// published before is no message of its own.
fn kind(message: &OutboundMessage<'_>) -> &'static str {
    match message.action {
        META => "occupancy",
        SUMMARY => "summary",
        DELETED => "delete",
        UPDATED if message.operation.is_some() => "update",
        APPENDED => "append",
        _ => "message",
    }
}

/// A message, a presence event or what else is an object of JSON, with its channel.
fn envelope(message: String, channel: Option<&str>) -> String {
    let mut envelope = message;
    envelope.pop();
    for part in [",\"channel\":", &json(channel.unwrap_or_default()), "}"] {
        envelope.push_str(part);
    }
    envelope
}

/// The serial of the publish that a message's serial is of.
pub fn whole(serial: &str) -> &str {
    serial.split_once(':').map_or(serial, |(whole, _)| whole)
}

fn error_json(error: Option<&ErrorInfo>) -> String {
    error.map_or_else(|| "null".to_owned(), to_json)
}

fn json(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
