//! `GET /channels/{channel}/messages`, also called `/history`, and `…/presence/history`: a page of what was published,
//! or of what members did (protocol.md § 12.2).

use super::Step;
use super::barred::Guard;
use super::caller::Caller;
use super::chat;
use super::page::{Cursor, Links, bad_cursor};
use super::step::{only, unanswered};
use crate::base::whole_number;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{CHAT_READS_MAX, HISTORY_DEFAULT_LIMIT, HISTORY_MAX_LIMIT, TIME_MAX_MS, WAIT_MAX_S};
use crate::model::message::Entry;
use crate::model::name::ChannelName;
use crate::protocol::outbound::{page_event, page_message};
use crate::rpc::{self, ChannelCall, HistoryQuery, Response};

/// What links between pages carry on, in this order. Also how each is spelled in a link, whatever the client wrote.
const CARRIED: [&str; 5] = ["start", "end", "direction", "wait", "from_serial"];

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Messages,
    Presence,
    /// Only those of a chat, as its SDK reads them.
    Chat,
}

pub fn begin(
    request: &Request,
    channel: &ChannelName,
    caller: &Caller,
    form: Form,
    kind: Kind,
    now_ms: u64,
) -> Result<Step, ErrorInfo> {
    caller.require_history(channel)?;
    let cursor = request.parameter("cursor").map(Cursor::parse).transpose()?;
    let mut query = HistoryQuery { presence: kind == Kind::Presence, ..query(request, cursor.as_ref())? };
    if let (Some(wait_ms), Some(expires_at_ms)) = (&mut query.wait_ms, caller.grant().expires_at_ms) {
        *wait_ms = expires_at_ms.saturating_sub(now_ms).min(*wait_ms);
    }
    if query.wait_ms.is_some() && channel.is_metachannel() {
        // The app tells what somebody is subscribed to: who waits alone would wait for ever.
        return Err(Code::BadParameter.because("nothing can be waited for on a metachannel; subscribe to it"));
    }
    query.by = query.wait_ms.map(|_| caller.grant().source());
    // While a request waits its token may be revoked, and its client banned.
    let recheck = query.wait_ms.map(|_| (caller.check(), Guard::of(caller, now_ms), channel.owner()));
    let call = caller.call(channel, rpc::Request::History(query.clone()));
    let then = move |page| {
        let Some((check, guard, channel)) = recheck else { return Step::Reply(page) };
        form.unless_revoked(check, guard.admit(form, Some(&channel), Step::Reply(page)))
    };
    let reads_left = if kind == Kind::Chat && query.wait_ms.is_none() { CHAT_READS_MAX } else { 1 };
    let pending = Pending { links: links(request, kind), kind, query, call, cursor, reads_left, then: Box::new(then) };
    Ok(pending.read(form))
}

/// Fails with 40003 for a parameter that is not what it must be, and when two contradict each other.
fn query(request: &Request, cursor: Option<&Cursor>) -> Result<HistoryQuery, ErrorInfo> {
    let (start_ms, end_ms) = times_ms(request)?;
    let wait_ms = wait_ms(request)?;
    let forwards = forwards(request)?.unwrap_or(wait_ms.is_some());
    if wait_ms.is_some() && (!forwards || end_ms.is_some()) {
        return Err(Code::BadParameter.because("wait excludes direction=backwards, and end"));
    }
    let mut from = from_serial(request).map(str::to_owned);
    if forwards && wait_ms.is_none() && from.is_some() {
        // An SDK asks so for what came before its attach, oldest first; it must not get what came after.
        return Err(Code::BadParameter.because(
            "from_serial alone is where history ends, and needs direction=backwards; with wait it is where to go on",
        ));
    }
    let mut after = cursor.map(|cursor| (cursor.position, cursor.index));
    if let (Some(cursor), Some(_)) = (cursor, wait_ms) {
        // Who waits is told of a gap.
        (from, after) = (Some(cursor.serial()), None);
    }
    Ok(HistoryQuery {
        presence: false,
        start_ms,
        end_ms,
        forwards,
        limit: limit(request)?,
        after,
        from,
        wait_ms,
        by: None,
    })
}

fn wait_ms(request: &Request) -> Result<Option<u64>, ErrorInfo> {
    let Some(text) = request.parameter("wait") else { return Ok(None) };
    match whole_number(text) {
        Some(seconds) if seconds <= WAIT_MAX_S => Ok(Some(seconds * 1_000)),
        _ => Err(Code::BadParameter.because(format!("wait must be a number of seconds, at most {WAIT_MAX_S}"))),
    }
}

/// Between which times something happened.
pub fn times_ms(request: &Request) -> Result<(Option<u64>, Option<u64>), ErrorInfo> {
    let (start_ms, end_ms) = (time_ms(request, "start")?, time_ms(request, "end")?);
    match (start_ms, end_ms) {
        (Some(start_ms), Some(end_ms)) if start_ms > end_ms => {
            Err(Code::BadParameter.because("start must not be after end"))
        }
        times => Ok(times),
    }
}

/// Times that no serial can have are as good as the last that one can.
fn time_ms(request: &Request, name: &str) -> Result<Option<u64>, ErrorInfo> {
    let Some(text) = request.parameter(name) else { return Ok(None) };
    let time_ms = whole_number(text);
    let wrong = || Code::BadParameter.because(format!("{name} must be a time in whole milliseconds"));
    time_ms.map(|time_ms| Some(time_ms.min(TIME_MAX_MS))).ok_or_else(wrong)
}

pub fn limit(request: &Request) -> Result<usize, ErrorInfo> {
    let Some(text) = request.parameter("limit") else { return Ok(HISTORY_DEFAULT_LIMIT) };
    match whole_number(text) {
        Some(limit) if (1..=HISTORY_MAX_LIMIT as u64).contains(&limit) => Ok(limit as usize),
        _ => Err(Code::BadParameter.because(format!("limit must be a number from 1 to {HISTORY_MAX_LIMIT}"))),
    }
}

pub fn forwards(request: &Request) -> Result<Option<bool>, ErrorInfo> {
    match request.parameter("direction") {
        None => Ok(None),
        Some("backwards") => Ok(Some(false)),
        Some("forwards") => Ok(Some(true)),
        Some(_) => Err(Code::BadParameter.because("direction must be 'backwards' or 'forwards'")),
    }
}

/// SDKs say `from_serial`, documents `fromSerial`.
fn from_serial(request: &Request) -> Option<&str> {
    request.parameter("from_serial").or_else(|| request.parameter("fromSerial"))
}

/// However the request spelled it, a link says `from_serial`.
fn links(request: &Request, kind: Kind) -> Links {
    let path = if kind == Kind::Presence { "history" } else { "messages" };
    let mut links = Links::of(request, path, &CARRIED);
    if let (None, Some(from)) = (request.parameter("from_serial"), from_serial(request)) {
        links.query.push(("from_serial", from.to_owned()));
    }
    links
}

/// A page that its channel has not given.
struct Pending {
    links: Links,
    kind: Kind,
    query: HistoryQuery,
    call: ChannelCall,
    cursor: Option<Cursor>,
    /// How often the channel may be asked, if nothing of what it gives is shown.
    reads_left: usize,
    then: Box<dyn FnOnce(Reply) -> Step>,
}

impl Pending {
    fn read(self, form: Form) -> Step {
        let call = self.call.clone();
        Step::Calls(vec![call], form.then(move |answers| self.answered(form, only(answers)?)))
    }

    /// What is behind that place.
    fn read_on(mut self, cursor: Cursor, form: Form) -> Step {
        self.query.after = Some((cursor.position, cursor.index));
        self.call.request = rpc::Request::History(self.query.clone());
        (self.cursor, self.reads_left) = (Some(cursor), self.reads_left - 1);
        self.read(form)
    }

    /// Fails with 40003 when the cursor is not of this life of the channel: it would begin anywhere.
    fn answered(self, form: Form, response: Response) -> Result<Step, ErrorInfo> {
        let Response::History(page) = response else { return Err(unanswered()) };
        if self.cursor.as_ref().is_some_and(|cursor| cursor.epoch != page.epoch) {
            return Err(bad_cursor());
        }
        let entries = page.entries.entries().map_err(|_| damaged())?;
        let picked = picked(&page.slices, &entries, self.query.forwards).ok_or_else(damaged)?;
        let next = page.next.map(|(position, index)| Cursor { position, index, epoch: page.epoch.clone() });
        let is_shown = |(entry, index): &(&Entry, usize)| chat::page(entry, *index, &page.epoch, form.format).is_some();
        let next = match next {
            Some(cursor) if self.reads_left > 1 && !picked.iter().any(is_shown) => {
                return Ok(self.read_on(cursor, form));
            }
            next => next.map(|cursor| cursor.text()),
        };
        let header = self.links.header(next);
        let page = match self.kind {
            Kind::Messages => {
                let render = |(entry, index)| page_message(entry, index, &page.epoch, form.format);
                form.page(&picked.into_iter().map(render).collect::<Vec<_>>(), header)
            }
            Kind::Chat => chat_page(picked, &page.epoch, form, header),
            Kind::Presence => {
                let render = |(entry, index)| page_event(entry, index, form.format);
                form.page(&picked.into_iter().map(render).collect::<Vec<_>>(), header)
            }
        };
        Ok((self.then)(page))
    }
}

/// Of a page of the channel, what is of its chat.
pub fn chat_page(picked: Vec<(&Entry, usize)>, epoch: &str, form: Form, header: String) -> Reply {
    let render = |(entry, index)| chat::page(entry, index, epoch, form.format);
    form.page(&picked.into_iter().filter_map(render).collect::<Vec<_>>(), header)
}

pub fn damaged() -> ErrorInfo {
    Code::InternalChannel.because("the channel's answer is damaged")
}

/// What a page shows, in the direction of its reading: of each entry, which message or event. `None` when a slice is
/// not of its entry.
pub fn picked<'a>(slices: &[(usize, usize)], entries: &'a [Entry], forwards: bool) -> Option<Vec<(&'a Entry, usize)>> {
    let mut picked = Vec::new();
    if entries.len() != slices.len() {
        return None;
    }
    for (entry, &(from, to)) in entries.iter().zip(slices) {
        if to > entry.count() {
            return None;
        }
        let one = |index| (entry, index);
        match forwards {
            true => picked.extend((from..to).map(one)),
            false => picked.extend((from..to).rev().map(one)),
        }
    }
    Some(picked)
}
