//! Event streams: what channels say, for those who only listen (protocol.md § 14). `/sse` is for `EventSource`, and
//! `/event-stream` says the same in lines of JSON.
//!
//! Owns what the query of a stream means, how frames become events, and where a reader is. The id of each event is a
//! cursor: the last serial of every channel of the stream, in the order of its query, so that a reader that comes back
//! with the last id goes on with each. A message in the middle of its publish is named by its own serial: then the whole
//! publish is read again, and what the reader has of it is left out here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::comet;
use crate::auth::{App, Operations};
use crate::error::{Code, ErrorInfo};
use crate::limits::STREAM_MAX_CHANNELS;
use crate::name::ChannelName;
use crate::relay::attachment::Attachment;
use crate::relay::session::{Attach, Opening};
use crate::rest::{self, Reply};
use crate::serial::{ChannelSerial, Position};
use crate::wire::action;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Style {
    /// As lines of JSON, and not as `EventSource` reads them.
    pub lines: bool,
    /// An event's data is the message as JSON, and not its data alone.
    pub enveloped: bool,
}

/// A channel of a stream, and how far its reader is: a channelSerial, or within a publish the serial of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    channel: ChannelName,
    serial: Option<String>,
}

/// What a frame says to a stream: events without their ids, which are each reader's own.
#[derive(Debug, PartialEq)]
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
    Messages {
        channel: String,
        events: Vec<Event>,
    },
    /// The last event of a stream.
    End(String),
}

#[derive(Debug, PartialEq)]
pub struct Event {
    serial: String,
    /// It is the last of its publish.
    is_last: bool,
    text: String,
}

/// Whether a path is one of a stream.
pub fn is_stream(path: &str) -> bool {
    path == "/sse" || path == "/event-stream"
}

/// Whether the stream at a path is one of lines. What is no request for a stream has its answer.
pub fn route(method: &str, path: &str) -> Result<bool, Reply> {
    match method {
        "GET" => Ok(path != "/sse"),
        "OPTIONS" => Err(Reply::preflight()),
        _ => {
            let mut refused = refused(&Code::MethodNotAllowed.because("a stream is read by GET"));
            refused.headers.push(("Allow", "GET, OPTIONS".to_owned()));
            Err(refused)
        }
    }
}

/// The channels that a query names: `channel`, or `channels` with commas or another `separator` between them. Fails with
/// 40003 for none or too many, with 40010 for a name that cannot be.
fn channels(query: &[(String, String)]) -> Result<Vec<ChannelName>, ErrorInfo> {
    let separator = value(query, "separator").filter(|separator| !separator.is_empty()).unwrap_or(",");
    let mut names = Vec::new();
    match (value(query, "channels"), value(query, "channel")) {
        (Some(list), _) => {
            for text in list.split(separator) {
                let name = ChannelName::parse(text)?;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        (None, Some(text)) => names.push(ChannelName::parse(text)?),
        (None, None) => return Err(Code::BadParameter.because("name the channels of the stream in 'channels'")),
    }
    match names.len() <= STREAM_MAX_CHANNELS {
        true => Ok(names),
        false => Err(Code::TooManyChannels.because(format!("a stream has at most {STREAM_MAX_CHANNELS} channels"))),
    }
}

/// A stream that begins by a query, or behind the last event that its reader had. Fails with 40160 for a channel that may
/// not be read, as the app's rules do, and with 40003 for a cursor or a parameter that cannot be.
pub fn open(
    query: &[(String, String)],
    lines: bool,
    last_event: Option<&str>,
    app: &App,
    opening: &mut Opening,
) -> Result<(Style, Vec<Place>), ErrorInfo> {
    comet::open(query, opening)?;
    // A browser that comes back asks as it asked first, and says in the header what it had last.
    let last_event = last_event.filter(|text| !text.is_empty()).or(value(query, "lastEvent"));
    let places = places(channels(query)?, last_event.unwrap_or_default())?;
    opening.resume = None;
    opening.attach.clear();
    for place in &places {
        let name = &place.channel;
        if !opening.grant.permits(name, Operations::SUBSCRIBE) {
            return Err(Code::NotPermitted.because("the capability does not allow to subscribe to all these channels"));
        }
        app.rules(name).admit(opening.grant.client_id.name().is_some(), opening.is_secure)?;
        let mut attach = Attach::from_query(name.as_str(), place.begins().as_deref(), query);
        attach.params.insert("modes".to_owned(), "subscribe".to_owned());
        Attachment::parse(name, None, 0, attach.params.clone())?;
        opening.attach.push(attach);
    }
    Ok((Style { lines, enveloped: value(query, "enveloped") != Some("false") }, places))
}

/// The channel of a stream that has only one.
pub fn only(places: &[Place]) -> Option<ChannelName> {
    match places {
        [place] => Some(place.channel.clone()),
        _ => None,
    }
}

fn places(names: Vec<ChannelName>, cursor: &str) -> Result<Vec<Place>, ErrorInfo> {
    let malformed = || Code::BadParameter.because("the last event's id is not one of a stream of these channels");
    let mut serials = cursor.split(',');
    let mut places = Vec::new();
    for channel in names {
        let serial = match serials.next() {
            None if cursor.is_empty() => None,
            Some("") => None,
            Some(text) if is_serial(text) => Some(text.to_owned()),
            _ => return Err(malformed()),
        };
        places.push(Place { channel, serial });
    }
    if serials.next().is_some() { Err(malformed()) } else { Ok(places) }
}

/// Whether a text is a serial as we write them: one that is written otherwise would not compare.
fn is_serial(text: &str) -> bool {
    let (whole, index) = text.split_once(':').map_or((text, None), |(whole, index)| (whole, Some(index)));
    let is_index = |index: &str| index.len() == 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = ChannelSerial::parse(whole).is_some() && whole.bytes().all(|byte| byte.is_ascii_graphic());
    is_whole && index.is_none_or(is_index)
}

impl Place {
    /// Behind which serial to attach: in the middle of a publish, behind the one before.
    fn begins(&self) -> Option<String> {
        let serial = self.serial.as_ref()?;
        match (ChannelSerial::parse(serial), serial.contains(':')) {
            (Some(inside), true) => Some(Position(inside.position.0.saturating_sub(1)).serial(&inside.series)),
            _ => Some(serial.clone()),
        }
    }

    /// Whether the reader has an event already.
    fn has(&self, event: &Event) -> bool {
        let is_before = |serial: &String| event.serial <= *serial || event.serial.starts_with(serial.as_str());
        self.serial.as_ref().is_some_and(is_before)
    }
}

/// What a frame says to streams of a style.
pub fn said(frame: &str, style: Style) -> Said {
    let Ok(Value::Object(mut frame)) = serde_json::from_str(frame) else { return Said::Nothing };
    let Some(number) = frame.get("action").and_then(Value::as_u64) else { return Said::Nothing };
    let channel = text(&mut frame, "channel");
    match u8::try_from(number).unwrap_or(u8::MAX) {
        action::ATTACHED => {
            let tell = |error: &Value| {
                style.event(
                    "gap",
                    &[r#"{"channel":"#, &json(&channel), r#","error":"#, &error.to_string(), "}"].concat(),
                )
            };
            let gap = frame.get("error").map(tell);
            Said::Attached { channel, serial: text(&mut frame, "channelSerial"), gap }
        }
        action::HEARTBEAT => Said::Alive,
        action::MESSAGE => Said::Messages { events: style.events(&mut frame, &channel), channel },
        action::ERROR | action::DETACHED | action::DISCONNECTED => {
            Said::End(style.event("error", &frame.remove("error").unwrap_or_default().to_string()))
        }
        _ => Said::Nothing,
    }
}

/// Whether what a frame says is the end of a stream: it can do nothing about it but begin again.
pub fn is_end(frame: &str) -> bool {
    [r#"{"action":9,"#, r#"{"action":13,"#].iter().any(|start| frame.starts_with(start))
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
                let Some(place) = places.iter_mut().find(|place| place.channel.as_str() == *channel) else { continue };
                if place.serial.is_none() || gap.is_some() {
                    place.serial = Some(serial.clone());
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
            Said::Messages { channel, events } => {
                let Some(index) = places.iter().position(|place| place.channel.as_str() == *channel) else { continue };
                for event in events {
                    if places[index].has(event) {
                        continue;
                    }
                    let whole = event.serial.split(':').next().filter(|_| event.is_last);
                    places[index].serial = Some(whole.unwrap_or(&event.serial).to_owned());
                    style.write(places, &event.text, &mut body);
                }
            }
            Said::End(text) => body.push_str(text),
        }
    }
    if silent { style.keep_alive().to_owned() } else { body }
}

impl Said {
    /// The bytes of its texts.
    pub fn len(&self) -> usize {
        match self {
            Said::Nothing | Said::Alive => 0,
            Said::Attached { gap, .. } => gap.as_ref().map_or(0, String::len),
            Said::Messages { events, .. } => events.iter().map(|event| event.serial.len() + event.text.len()).sum(),
            Said::End(text) => text.len(),
        }
    }
}

impl Style {
    /// Of the four that there are.
    pub fn number(self) -> usize {
        usize::from(self.lines) * 2 + usize::from(self.enveloped)
    }

    /// All of a response but its body.
    pub fn head(self) -> Reply {
        Reply::stream(if self.lines { "application/x-ndjson" } else { "text/event-stream" })
    }

    fn keep_alive(self) -> &'static str {
        if self.lines { "\n" } else { ":keepalive\n\n" }
    }

    /// No event, only its id.
    fn empty(self) -> &'static str {
        if self.lines { "}\n" } else { "\n" }
    }

    /// An event with the cursor as its id. The texts of events that have one go on behind it.
    fn write(self, places: &[Place], event: &str, body: &mut String) {
        body.push_str(if self.lines { r#"{"id":""# } else { "id: " });
        for (index, place) in places.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(place.serial.as_deref().unwrap_or_default());
        }
        match (self.lines, event.strip_prefix('{')) {
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
    fn event(self, name: &str, data: &str) -> String {
        match self.lines {
            true => [r#"{"event":"#, &json(name), r#","data":"#, data, "}\n"].concat(),
            false => ["event: ", name, "\ndata: ", data, "\n\n"].concat(),
        }
    }

    fn events(self, frame: &mut Map<String, Value>, channel: &str) -> Vec<Event> {
        let Some(Value::Array(messages)) = frame.remove("messages") else { return Vec::new() };
        let mut events: Vec<Event> = Vec::new();
        for message in messages {
            let Value::Object(mut message) = message else { continue };
            let serial = message.get("serial").and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(previous) = events.last_mut() {
                previous.is_last = serial.split(':').next() != previous.serial.split(':').next();
            }
            let text = if self.enveloped {
                for shared in ["connectionId", "timestamp"] {
                    if let (None, Some(value)) = (message.get(shared), frame.get(shared)) {
                        message.insert(shared.to_owned(), value.clone());
                    }
                }
                message.insert("channel".to_owned(), channel.into());
                self.event("message", &Value::Object(message).to_string())
            } else {
                self.plain(&text(&mut message, "name"), &text(&mut message, "data"))
            };
            events.push(Event { serial, is_last: true, text });
        }
        events
    }

    /// An event that is its message: its name, and its data as it is.
    fn plain(self, name: &str, data: &str) -> String {
        let name = if name.is_empty() { "message" } else { name };
        if self.lines {
            return self.event(name, &json(data));
        }
        // Whatever ends a line for its reader ends it here, so that nothing in a message can pass for an event.
        let mut event = ["event: ", &name.replace(['\r', '\n'], " "), "\n"].concat();
        for line in data.replace("\r\n", "\n").split(['\r', '\n']) {
            event.push_str("data: ");
            event.push_str(line);
            event.push('\n');
        }
        event.push('\n');
        event
    }
}

/// The answer to a request for a stream that is refused.
pub fn refused(error: &ErrorInfo) -> Reply {
    rest::refuse(&rest::Request::default(), error)
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn text(object: &mut Map<String, Value>, name: &str) -> String {
    match object.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn json(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
