//! `GET /channels/{channel}/presence`, and `GET /presence?channels=a,b`: who is there (protocol.md §§ 10, 12.2).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Serialize;

use super::caller::Caller;
use super::history::limit;
use super::page::{Links, bad_cursor};
use super::step::unanswered;
use super::{Step, batch};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{BATCH_MAX_CHANNELS, BATCH_MEMBERS_MAX_BYTES, MEMBERS_MAX_LIMIT};
use crate::model::Format;
use crate::model::message::Entry;
use crate::model::name::ChannelName;
use crate::model::presence::MemberKey;
use crate::protocol::outbound::{OutboundPresence, events};
use crate::rpc::{self, Answer, ChannelCall, MembersPage, MembersQuery, Response};

const CARRIED: [&str; 2] = ["clientId", "connectionId"];

pub fn begin(request: &Request, channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_presence(channel)?;
    let query = MembersQuery {
        after: request.parameter("cursor").map(after).transpose()?,
        limit: limit(request)?,
        client_id: request.parameter("clientId").map(str::to_owned),
        connection_id: request.parameter("connectionId").map(str::to_owned),
    };
    let links = Links::of(request, "presence", &CARRIED);
    Ok(form.call(caller.call(channel, rpc::Request::Members(query)), move |response| {
        let page = page(response)?;
        let next = page.next.as_ref().map(cursor);
        Ok(form.page(&events(members(&page)?.iter(), form.format), links.header(next)))
    }))
}

/// Cursors name the last member of a page. One who is not there any more is as good: those behind it follow.
fn after(cursor: &str) -> Result<MemberKey, ErrorInfo> {
    let decoded = BASE64URL.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (connection_id, client_id) = key.ok_or_else(bad_cursor)?;
    Ok(MemberKey { connection_id: connection_id.to_owned(), client_id: client_id.to_owned() })
}

fn cursor(key: &MemberKey) -> String {
    BASE64URL.encode(format!("{}:{}", key.connection_id, key.client_id))
}

fn page(response: Response) -> Result<MembersPage, ErrorInfo> {
    let Response::Members(page) = response else { return Err(unanswered()) };
    Ok(page)
}

fn members(page: &MembersPage) -> Result<Vec<Entry>, ErrorInfo> {
    page.members.entries().map_err(|_| Code::InternalChannel.because("the channel's answer is damaged"))
}

/// Fails with 40000 when no channels are named, too many, or one twice; what is wrong with one fails for that one
/// alone.
pub fn begin_batch(request: &Request, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    let separator = request.parameter("separator").unwrap_or(",");
    let names: Vec<&str> = request.parameter("channels").unwrap_or_default().split(separator).collect();
    if names == [""] || names.len() > BATCH_MAX_CHANNELS {
        return Err(Code::BadRequest.because(format!("'channels' names from 1 to {BATCH_MAX_CHANNELS} channels")));
    }
    if batch::repeats(&names) {
        return Err(Code::BadRequest.because("'channels' names a channel twice"));
    }
    let mut calls: Vec<ChannelCall> = Vec::new();
    let mut slots = Vec::new();
    for name in names {
        let place = call(name, caller).map(|call| {
            // One channel has many names, with parameters.
            let known = calls.iter().position(|known| known.to == call.to);
            known.unwrap_or_else(|| {
                calls.push(call);
                calls.len() - 1
            })
        });
        slots.push((name.to_owned(), place));
    }
    let pending = Batch { slots, is_flat: batch::is_flat(request) };
    match calls.is_empty() {
        true => Ok(Step::Reply(pending.answered(form, Vec::new()))),
        false => Ok(form.calls(calls, move |answers| Ok(pending.answered(form, answers)))),
    }
}

fn call(name: &str, caller: &Caller) -> Result<ChannelCall, ErrorInfo> {
    let channel = ChannelName::parse(name)?;
    caller.require_presence(&channel)?;
    let query = MembersQuery { limit: MEMBERS_MAX_LIMIT, ..MembersQuery::default() };
    Ok(caller.call(&channel, rpc::Request::Members(query)))
}

/// Channels, each with the place of its call, or why it was not made.
struct Batch {
    slots: Vec<(String, Result<usize, ErrorInfo>)>,
    /// Whether the client speaks a version whose answer is one flat list.
    is_flat: bool,
}

impl Batch {
    fn answered(self, form: Form, answers: Vec<Answer<Response>>) -> Reply {
        let read = |answer: Answer<Response>| members(&page(answer?)?);
        let sets: Vec<Result<Vec<Entry>, ErrorInfo>> = answers.into_iter().map(read).collect();
        let mut room = Room(BATCH_MEMBERS_MAX_BYTES);
        let results = self.slots.iter().map(|(channel, place)| result(channel, place, &sets, form.format));
        let results: Vec<ChannelResult> = results.map(|result| room.bounded(result)).collect();
        let failure_count = results.iter().filter(|result| result.error.is_some()).count();
        match (self.is_flat, failure_count) {
            (true, 0) => form.ok(&results),
            (true, failures) => batch::partly_failed(form, failures, &results),
            (false, _) => {
                form.ok(&BatchResult { success_count: results.len() - failure_count, failure_count, results })
            }
        }
    }
}

fn result<'a>(
    channel: &'a str,
    place: &'a Result<usize, ErrorInfo>,
    sets: &'a [Result<Vec<Entry>, ErrorInfo>],
    format: Format,
) -> ChannelResult<'a> {
    let set = place.as_ref().map_err(ErrorInfo::clone).and_then(|place| match sets.get(*place) {
        Some(set) => set.as_ref().map_err(ErrorInfo::clone),
        None => Err(unanswered()),
    });
    match set {
        Ok(members) => ChannelResult { channel, presence: Some(events(members.iter(), format)), error: None },
        Err(error) => ChannelResult { channel, presence: None, error: Some(error) },
    }
}

/// For how many bytes of members there is room in an answer.
struct Room(usize);

impl Room {
    /// Members for whom there is no room are left out: who asks for their channel alone gets them.
    fn bounded<'a>(&mut self, result: ChannelResult<'a>) -> ChannelResult<'a> {
        let Some(members) = &result.presence else { return result };
        let before = self.0;
        match serde_json::to_writer(&mut *self, members) {
            Ok(()) => result,
            Err(_) => {
                self.0 = before;
                let why =
                    format!("a batch gives {BATCH_MEMBERS_MAX_BYTES} bytes of members; ask for this channel alone");
                ChannelResult { presence: None, error: Some(Code::TooLarge.because(why)), ..result }
            }
        }
    }
}

/// Takes what finds room, and counts it.
impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchResult<'a> {
    success_count: usize,
    failure_count: usize,
    results: Vec<ChannelResult<'a>>,
}

#[derive(Serialize)]
struct ChannelResult<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<Vec<OutboundPresence<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
}
