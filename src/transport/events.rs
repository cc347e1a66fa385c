//! Event streams: what channels say, for those who only listen (protocol.md § 14). `/sse` is for `EventSource`, and
//! `/event-stream` says the same in lines of JSON.
//!
//! Owns what the query of a stream means, how frames become events, and where a reader is. The id of each event is a
//! cursor: the last serial of every channel of the stream, in the order of its query, so that a reader that comes back
//! with the last id goes on with each. A message in the middle of its publish is named by its own serial: then the
//! whole publish is read again, and what the reader has of it is left out here. Presence events have no serials of
//! their own: who is cut off between some that came together is told of them again. What has no place in the order
//! moves no cursor: who is there when a reader begins, and how many are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{comes_back, comet};
use crate::auth::{App, Operations};
use crate::error::{Code, ErrorInfo};
use crate::filter;
use crate::limits::{STREAM_MAX_CHANNELS, STREAM_RETRY_MS};
use crate::name::ChannelName;
use crate::relay::attachment::Attachment;
use crate::relay::session::{Attach, Opening};
use crate::rest::{self, Reply};
use crate::serial::{ChannelSerial, Position};
use crate::wire::flags::Modes;
use crate::wire::{action, node};

/// How events are written: a set of [`LINES`], [`ENVELOPED`] and [`HEARTBEATS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Style(u8);

/// As lines of JSON, not as `EventSource` reads them.
const LINES: u8 = 2;
/// With the message as JSON, not with its data alone.
const ENVELOPED: u8 = 1;
/// Signs of life are events of their own.
const HEARTBEATS: u8 = 4;

/// Actions of what a server makes of what it knows of a channel, and of a message.
const META: u64 = 3;
const SUMMARY: u64 = 4;

/// A channel of a stream, and how far its reader is: a channelSerial, or within a publish the serial of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    channel: String,
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
    Events {
        channel: String,
        events: Vec<Event>,
    },
    /// The last event of a stream.
    End(String),
}

#[derive(Debug, PartialEq)]
pub struct Event {
    /// Its place in the channel's order; empty for what has none.
    serial: String,
    step: Step,
    text: String,
}

/// How far an event takes its reader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Nowhere,
    /// Behind this message, in the middle of its publish.
    Message,
    /// Behind all of its publish.
    Publish,
}

/// Whether a path is one of a stream.
pub fn is_stream(path: &str) -> bool {
    path == "/sse" || path == "/event-stream"
}

/// Whether the stream at a path is one of lines: an `EventSource` may ask for either path. What is no request for a
/// stream has its answer.
pub fn route(method: &str, path: &str, accept: Option<&str>) -> Result<bool, Reply> {
    match method {
        "GET" => Ok(path != "/sse" && !accept.is_some_and(|accept| accept.contains("text/event-stream"))),
        "OPTIONS" => Err(Reply::preflight()),
        _ => {
            let mut refused =
                rest::refuse(&rest::Request::default(), &Code::MethodNotAllowed.because("a stream is read by GET"));
            refused.headers.push(("Allow", "GET, OPTIONS".to_owned()));
            Err(refused)
        }
    }
}

/// The channels that a query names in `channels` or `channel`, with commas or another `separator` between them. Fails
/// with 40003 when none are named or both are used, with 90010 for too many, with 40010 for a name that cannot be.
fn channels(query: &[(String, String)]) -> Result<Vec<ChannelName>, ErrorInfo> {
    let separator = value(query, "separator").filter(|separator| !separator.is_empty()).unwrap_or(",");
    let list = match (value(query, "channels"), value(query, "channel")) {
        (Some(list), None) | (None, Some(list)) => list,
        (Some(_), Some(_)) => {
            return Err(Code::BadParameter.because("name all channels in 'channels', or in 'channel'"));
        }
        (None, None) => return Err(Code::BadParameter.because("name the channels of the stream in 'channels'")),
    };
    let mut names = Vec::new();
    for text in list.split(separator) {
        let name = ChannelName::parse(&filter::named(text, query))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.len() <= STREAM_MAX_CHANNELS {
        true => Ok(names),
        false => Err(Code::TooManyChannels.because(format!("a stream has at most {STREAM_MAX_CHANNELS} channels"))),
    }
}

/// The id of the last event that a reader had. A client that comes back asks as it asked first, and adds what it had
/// since: a browser as a header, what stands in for one as `lastEventId`.
fn last_event<'a>(header: Option<&'a str>, query: &'a [(String, String)]) -> &'a str {
    let said = [header, value(query, "lastEventId"), value(query, "lastEvent")];
    said.into_iter().flatten().find(|id| !id.is_empty()).unwrap_or_default()
}

/// A stream that begins by a query, or behind the last event that its reader had. Fails with 40160 for a channel that
/// may not be read, or not be counted, as the app's rules do, and with 40003 for a cursor or a parameter that cannot
/// be.
pub fn open(
    query: &[(String, String)],
    lines: bool,
    last_event_id: Option<&str>,
    app: &App,
    opening: &mut Opening,
) -> Result<(Style, Option<ChannelName>), ErrorInfo> {
    comet::open(query, opening);
    let style = Style::of(lines, query);
    let mut names = channels(query)?;
    let serials = serials(names.len(), last_event(last_event_id, query))?;
    opening.takeover = None;
    opening.attach.clear();
    for (name, serial) in names.iter().zip(serials) {
        if !opening.grant.permits(name, Operations::SUBSCRIBE) {
            return Err(Code::NotPermitted.because("the capability does not allow to subscribe to all these channels"));
        }
        app.rules(name).admit(opening.grant.client_id.name().is_some(), opening.is_secure)?;
        let mut attach = Attach::from_query(name.as_str(), begins(&serial), query);
        attach.has = Some(serial).filter(|serial| !serial.is_empty());
        // Presence only when it is asked for: a reader that knows messages takes every event for one.
        attach.params.get_or_insert("modes".to_owned(), "subscribe".to_owned());
        let attachment = Attachment::parse(name, None, 0, attach.params.clone())?;
        if !Modes::SUBSCRIBE.union(Modes::PRESENCE_SUBSCRIBE).contains(attachment.requested) {
            return Err(Code::BadParameter.because("the modes of a stream are 'subscribe' and 'presence_subscribe'"));
        }
        if attachment.params.occupancy().is_some() && !opening.grant.permits(name, Operations::CHANNEL_METADATA) {
            return Err(Code::NotPermitted.because("the capability does not allow to see these channels' occupancy"));
        }
        if attachment.deltas.are_wanted() && !style.has(ENVELOPED) {
            return Err(Code::BadParameter.because("'delta' needs 'enveloped=true', which says what is a delta"));
        }
        opening.attach.push(attach);
    }
    let only = if names.len() == 1 { names.pop() } else { None };
    Ok((style, only))
}

/// Where the reader of a stream is when it begins.
pub fn places(attach: &[Attach]) -> Vec<Place> {
    attach.iter().map(|attach| Place { channel: attach.channel.clone(), serial: attach.has.clone() }).collect()
}

/// The serials of a cursor, one for each of so many channels; empty for one that it says nothing of.
fn serials(channels: usize, cursor: &str) -> Result<Vec<String>, ErrorInfo> {
    if cursor.is_empty() {
        return Ok(vec![String::new(); channels]);
    }
    let serials: Vec<String> = cursor.split(',').map(str::to_owned).collect();
    match serials.len() == channels && serials.iter().all(|serial| serial.is_empty() || is_serial(serial)) {
        true => Ok(serials),
        false => Err(Code::BadParameter.because("the last event's id is not one of a stream of these channels")),
    }
}

/// Whether a text is a serial as we write them: one that is written otherwise would not compare.
fn is_serial(text: &str) -> bool {
    let (whole, index) = text.split_once(':').map_or((text, None), |(whole, index)| (whole, Some(index)));
    let is_index = |index: &str| index.len() == 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = ChannelSerial::parse(whole).is_some() && whole.bytes().all(|byte| byte.is_ascii_graphic());
    is_whole && index.is_none_or(is_index)
}

/// Behind which serial to attach: in the middle of a publish, behind the one before.
fn begins(serial: &str) -> Option<String> {
    let ChannelSerial { position, series } = ChannelSerial::parse(serial)?;
    let before = if serial.contains(':') { position.0.saturating_sub(1) } else { position.0 };
    Some(Position(before).serial(&series))
}

impl Place {
    /// Whether the reader has an event already.
    fn has(&self, event: &Event) -> bool {
        let is_before = |serial: &String| event.serial <= *serial || event.serial.starts_with(serial.as_str());
        !event.serial.is_empty() && self.serial.as_ref().is_some_and(is_before)
    }
}

/// What a frame says to streams of a style.
pub fn said(frame: &str, style: Style) -> Said {
    let Some(frame) = node::object_of(frame.as_bytes()) else { return Said::Nothing };
    let Some(number) = frame.get("action").and_then(Value::as_u64) else { return Said::Nothing };
    let channel = text(&frame, "channel").to_owned();
    let error = frame.get("error").map(Value::to_string);
    match u8::try_from(number).unwrap_or(u8::MAX) {
        action::ATTACHED => {
            let data = |error: String| [r#"{"channel":"#, &json(&channel), r#","error":"#, &error, "}"].concat();
            let gap = error.map(|error| style.event("gap", &data(error)));
            Said::Attached { channel, serial: text(&frame, "channelSerial").to_owned(), gap }
        }
        action::HEARTBEAT => Said::Alive,
        action::MESSAGE => Said::Events { events: style.messages(&frame, &channel), channel },
        action::PRESENCE => {
            let serial = text(&frame, "channelSerial");
            Said::Events { events: style.presence(&frame, &channel, serial), channel }
        }
        action::SYNC => Said::Events { events: style.presence(&frame, &channel, ""), channel },
        action::ERROR | action::DETACHED | action::DISCONNECTED => {
            Said::End(style.event("error", error.as_deref().unwrap_or("null")))
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
            Said::End(text) => body.push_str(text),
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
            Said::End(text) => text.len(),
        }
    }
}

impl Style {
    /// What a query asks for.
    fn of(lines: bool, query: &[(String, String)]) -> Style {
        let is = |name, text| value(query, name) == Some(text);
        let part = |wanted, part| if wanted { part } else { 0 };
        Style(
            part(lines, LINES)
                | part(!is("enveloped", "false"), ENVELOPED)
                | part(is("heartbeats", "true"), HEARTBEATS),
        )
    }

    /// Of how its events are written: signs of life are written for each reader.
    pub fn number(self) -> usize {
        usize::from(self.0 & (LINES | ENVELOPED))
    }

    fn has(self, part: u8) -> bool {
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
    fn event(self, name: &str, data: &str) -> String {
        match self.lines() {
            true => [r#"{"event":"#, &json(name), r#","data":"#, data, "}\n"].concat(),
            false => ["event: ", name, "\ndata: ", data, "\n\n"].concat(),
        }
    }

    fn messages(self, frame: &Map<String, Value>, channel: &str) -> Vec<Event> {
        let mut events = Vec::<Event>::new();
        // A summary has no data, and its serial is that of a message which may be long ago: no place to go on from.
        let is_summary = |fields: &Map<String, Value>| kind(fields) == "summary";
        for (message, fields) in objects(frame, "messages").filter(|(_, of)| self.has(ENVELOPED) || !is_summary(of)) {
            let serial = if is_summary(fields) { "" } else { text(fields, "serial") }.to_owned();
            if let Some(previous) = events.last_mut()
                && whole(&serial) == whole(&previous.serial)
            {
                previous.step = Step::Message;
            }
            let text = match self.has(ENVELOPED) {
                true => self.event("message", &envelope(message, fields, frame, channel)),
                false => self.plain(kind(fields), text(fields, "data")),
            };
            let step = if serial.is_empty() { Step::Nowhere } else { Step::Publish };
            events.push(Event { serial, step, text });
        }
        events
    }

    /// Presence events, which are at this serial together, or who is there.
    fn presence(self, frame: &Map<String, Value>, channel: &str, serial: &str) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for (event, fields) in objects(frame, "presence") {
            let text = match self.has(ENVELOPED) {
                true => self.event("presence", &envelope(event, fields, frame, channel)),
                false => self.plain("presence", text(fields, "data")),
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

/// Of which kind a message is. Nobody but a server says what occupancy is.
fn kind(message: &Map<String, Value>) -> &'static str {
    match message.get("action").and_then(Value::as_u64) {
        Some(META) => "occupancy",
        Some(SUMMARY) => "summary",
        _ => "message",
    }
}

/// The objects of a frame's list.
fn objects<'a>(
    frame: &'a Map<String, Value>,
    list: &str,
) -> impl Iterator<Item = (&'a Value, &'a Map<String, Value>)> + use<'a> {
    let values = frame.get(list).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_object().map(|fields| (value, fields)))
}

/// A message, or a presence event, with its channel, and with what its frame says for all.
fn envelope(message: &Value, fields: &Map<String, Value>, frame: &Map<String, Value>, channel: &str) -> String {
    let mut envelope = message.to_string();
    envelope.pop();
    for shared in ["connectionId", "timestamp"] {
        if let (None, Some(value)) = (fields.get(shared), frame.get(shared)) {
            for part in [",\"", shared, "\":", &value.to_string()] {
                envelope.push_str(part);
            }
        }
    }
    for part in [",\"channel\":", &json(channel), "}"] {
        envelope.push_str(part);
    }
    envelope
}

/// The serial of the publish that a message's serial is of.
fn whole(serial: &str) -> &str {
    serial.split_once(':').map_or(serial, |(whole, _)| whole)
}

/// The answer to a request for a stream that is refused. A browser's `EventSource` takes any status but 200 for the
/// last word, so what may pass comes as a stream that is over, and says when to come back: not all at once.
pub fn refused(error: &ErrorInfo, lines: bool, random: u64) -> Reply {
    if lines || !comes_back(error) {
        return rest::refuse(&rest::Request::default(), error);
    }
    let retry_ms = (STREAM_RETRY_MS + random % STREAM_RETRY_MS).to_string();
    let data = serde_json::to_string(error).unwrap_or_default();
    let style = Style::of(lines, &[]);
    let body = ["retry: ", &retry_ms, "\n", &style.event("error", &data)].concat();
    Reply { status: 200, ..Reply::of(200, style.content_type(), body).saying(error) }
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn json(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
