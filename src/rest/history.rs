//! `GET /channels/{channel}/messages`, also called `/history`: a page of what was published (protocol.md § 12.2).

use super::caller::Caller;
use super::form::Form;
use super::page::{Cursor, Links, bad_cursor};
use super::{Exchange, Reply, Request, Step, unanswered};
use crate::call::{self, Answer, HistoryPage, HistoryQuery, Response};
use crate::error::{Code, ErrorInfo};
use crate::limits::{HISTORY_DEFAULT_LIMIT, HISTORY_MAX_LIMIT, TIME_MAX_MS};
use crate::name::ChannelName;
use crate::wire::Format;
use crate::wire::message::Entry;
use crate::wire::outbound::{OutboundMessage, page_message};

/// What links between pages carry on, in this order. Also how each is spelled in a link, whatever the client wrote.
const CARRIED: [&str; 7] = ["start", "end", "direction", "limit", "from_serial", "format", "envelope"];

pub fn begin(request: &Request, channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_history(channel)?;
    let cursor = request.parameter("cursor").map(Cursor::parse).transpose()?;
    let query = query(request, cursor.as_ref())?;
    let pending = Pending { links: links(request), forwards: query.forwards, cursor };
    let call = caller.call(channel, call::Request::History(query));
    Ok(Step::Calls(vec![call], Exchange { form, pending: super::Pending::History(pending) }))
}

/// Fails with 40003 for a parameter that is not what it must be, and when two contradict each other.
fn query(request: &Request, cursor: Option<&Cursor>) -> Result<HistoryQuery, ErrorInfo> {
    let (start_ms, end_ms) = (time_ms(request, "start")?, time_ms(request, "end")?);
    if let (Some(start_ms), Some(end_ms)) = (start_ms, end_ms)
        && start_ms > end_ms
    {
        return Err(Code::BadParameter.because("start must not be after end"));
    }
    let (forwards, until) = (forwards(request)?, until(request).map(str::to_owned));
    if forwards && until.is_some() {
        return Err(Code::BadParameter.because("from_serial reads backwards"));
    }
    let after = cursor.map(|cursor| (cursor.position, cursor.index));
    Ok(HistoryQuery { presence: false, start_ms, end_ms, forwards, limit: limit(request)?, after, until })
}

/// Times that no serial can have are as good as the last that one can.
fn time_ms(request: &Request, name: &str) -> Result<Option<u64>, ErrorInfo> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    let time_ms = whole_number(text);
    let wrong = || Code::BadParameter.because(format!("{name} must be a time in whole milliseconds"));
    time_ms.map(|time_ms| Some(time_ms.min(TIME_MAX_MS))).ok_or_else(wrong)
}

fn limit(request: &Request) -> Result<usize, ErrorInfo> {
    let Some(text) = request.parameter("limit") else { return Ok(HISTORY_DEFAULT_LIMIT) };
    match whole_number(text) {
        Some(limit) if (1..=HISTORY_MAX_LIMIT as u64).contains(&limit) => Ok(limit as usize),
        _ => Err(Code::BadParameter.because(format!("limit must be a number from 1 to {HISTORY_MAX_LIMIT}"))),
    }
}

fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn forwards(request: &Request) -> Result<bool, ErrorInfo> {
    match request.parameter("direction") {
        None | Some("backwards") => Ok(false),
        Some("forwards") => Ok(true),
        Some(_) => Err(Code::BadParameter.because("direction must be 'backwards' or 'forwards'")),
    }
}

/// SDKs say `from_serial`, documents `fromSerial`.
fn until(request: &Request) -> Option<&str> {
    request.parameter("from_serial").or_else(|| request.parameter("fromSerial"))
}

fn links(request: &Request) -> Links {
    let value = |name: &str| if name == "from_serial" { until(request) } else { request.parameter(name) };
    let mut query: Vec<(&'static str, String)> = Vec::new();
    for name in CARRIED {
        match value(name) {
            Some(value) => query.push((name, value.to_owned())),
            None if name == "limit" => query.push((name, HISTORY_DEFAULT_LIMIT.to_string())),
            None => {}
        }
    }
    Links { query, cursor: request.parameter("cursor").map(str::to_owned) }
}

/// A page that its channel has not given.
pub struct Pending {
    links: Links,
    forwards: bool,
    cursor: Option<Cursor>,
}

impl Pending {
    /// Fails with 40003 when the cursor is not of this life of the channel: it would begin anywhere.
    pub fn answered(self, form: Form, answer: Answer<Response>) -> Result<Reply, ErrorInfo> {
        let Response::History(page) = answer? else { return Err(unanswered()) };
        if self.cursor.is_some_and(|cursor| cursor.series != page.series) {
            return Err(bad_cursor());
        }
        let damaged = || Code::InternalChannel.because("the channel's answer is damaged");
        let entries = page.entries.entries().map_err(|_| damaged())?;
        let messages = messages(&page, &entries, self.forwards, form.format).ok_or_else(damaged)?;
        let next = page.next.map(|(position, index)| Cursor { position, index, series: page.series.clone() }.text());
        Ok(form.page(&messages, self.links.header(next)))
    }
}

/// The messages of a page in the direction of its reading. `None` when a slice is not of its entry.
fn messages<'a>(
    page: &HistoryPage,
    entries: &'a [Entry],
    forwards: bool,
    format: Format,
) -> Option<Vec<OutboundMessage<'a>>> {
    let mut messages = Vec::new();
    if entries.len() != page.slices.len() {
        return None;
    }
    for (entry, &(from, to)) in entries.iter().zip(&page.slices) {
        if to > entry.messages().len() {
            return None;
        }
        let render = |index| page_message(entry, index, &page.series, format);
        match forwards {
            true => messages.extend((from..to).map(render)),
            false => messages.extend((from..to).rev().map(render)),
        }
    }
    Some(messages)
}
