//! Event streams: what channels say, for those who only listen (protocol.md § 14). `/sse` is for `EventSource`, and
//! `/event-stream` says the same in lines of JSON.
//!
//! Owns what a request for a stream means: its channels, how its events are written (`protocol/events.rs`), and where a
//! reader goes on that comes back with the id of the last event it had.

use super::comet;
use crate::auth::{App, Operations};
use crate::error::{Code, ErrorInfo};
use crate::filter;
use crate::http::{self, Reply};
use crate::limits::{STREAM_MAX_CHANNELS, STREAM_RETRY_MS};
use crate::model::flags::Modes;
use crate::model::name::ChannelName;
use crate::model::serial::{ChannelSerial, Position};
use crate::protocol::events::{ENVELOPED, HEARTBEATS, LINES, Place, Style};
use crate::relay::attachment::{Attachment, modes_of};
use crate::relay::session::{Attach, Opening};

/// What the reader of a stream may ask to be told.
const MODES: Modes = Modes::SUBSCRIBE.union(Modes::PRESENCE_SUBSCRIBE).union(Modes::OBJECT_SUBSCRIBE);

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
            let error = Code::MethodNotAllowed.because("a stream is read by GET");
            Err(http::refuse(&http::Request::default(), &error).allowing("GET, OPTIONS"))
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
/// the capability keeps from its reader, as the app's rules do, and with 40003 for a cursor or a parameter that cannot
/// be.
pub fn open(
    query: &[(String, String)],
    lines: bool,
    last_event_id: Option<&str>,
    app: &App,
    opening: &mut Opening,
) -> Result<(Style, Option<ChannelName>), ErrorInfo> {
    comet::open(query, opening);
    let style = style(lines, query);
    let mut names = channels(query)?;
    let serials = serials(names.len(), last_event(last_event_id, query))?;
    opening.takeover = None;
    opening.attach.clear();
    for (name, serial) in names.iter().zip(serials) {
        let allowed = modes_of(opening.grant.capability.operations(name));
        if !allowed.intersects(MODES) {
            return Err(not_permitted());
        }
        app.rules(name).admit(opening.grant.client_id.name().is_some(), opening.is_secure)?;
        let mut attach = Attach::from_query(name.as_str(), begins(&serial), query);
        attach.has = Some(serial).filter(|serial| !serial.is_empty());
        // Messages alone, if nothing else is asked for: a reader that knows messages takes every event for one.
        if !asks_for_modes(name) {
            attach.params.get_or_insert("modes".to_owned(), "subscribe".to_owned());
        }
        let attachment = Attachment::parse(name, None, 0, attach.params.clone())?;
        admit_modes(attachment.requested, allowed)?;
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

/// Whether the channel's name says what its reader wants, as `[?modes=object_subscribe]polls` does.
fn asks_for_modes(name: &ChannelName) -> bool {
    name.params().is_some_and(|params| params.split('&').any(|param| param.starts_with("modes=")))
}

/// Fails with 40003 for modes that streams do not have, and with 40160 for those that the capability does not allow.
fn admit_modes(requested: Modes, allowed: Modes) -> Result<(), ErrorInfo> {
    if !MODES.contains(requested) {
        let text = "the modes of a stream are 'subscribe', 'presence_subscribe' and 'object_subscribe'";
        return Err(Code::BadParameter.because(text));
    }
    if allowed.contains(requested) { Ok(()) } else { Err(not_permitted()) }
}

fn not_permitted() -> ErrorInfo {
    Code::NotPermitted.because("the capability does not allow to subscribe to all these channels")
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
    let ChannelSerial { position, epoch } = ChannelSerial::parse(serial)?;
    let before = if serial.contains(':') { position.0.saturating_sub(1) } else { position.0 };
    Some(Position(before).serial(&epoch))
}

/// How the events of a stream are written, by its query.
fn style(lines: bool, query: &[(String, String)]) -> Style {
    let is = |name, text| value(query, name) == Some(text);
    let part = |wanted, part| if wanted { part } else { 0 };
    let enveloped = part(!is("enveloped", "false"), ENVELOPED);
    Style::with(part(lines, LINES) | enveloped | part(is("heartbeats", "true"), HEARTBEATS))
}

/// The answer to a request for a stream that is refused. A browser's `EventSource` takes any status but 200 for the
/// last word, so what may pass comes as a stream that is over, and says when to come back: not all at once.
pub fn refused(error: &ErrorInfo, lines: bool, random: u64) -> Reply {
    if lines || !error.may_pass() {
        return http::refuse(&http::Request::default(), error);
    }
    let retry_ms = (STREAM_RETRY_MS + random % STREAM_RETRY_MS).to_string();
    let data = serde_json::to_string(error).unwrap_or_default();
    let style = style(lines, &[]);
    let body = ["retry: ", &retry_ms, "\n", &style.event("error", &data)].concat();
    Reply { status: 200, ..Reply::of(200, style.content_type(), body).saying(error) }
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests;
