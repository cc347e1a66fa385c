//! One message: `GET` and `PATCH /channels/{channel}/messages/{serial}`, and `GET …/versions` (protocol.md § 18).

use serde::Serialize;

use super::caller::Caller;
use super::history::{Kind, chat_page, forwards, limit, picked, times_ms};
use super::page::{Cursor, Links, bad_cursor};
use super::publish::{self, Receipt, published};
use super::step::unanswered;
use super::{Step, body};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::operation::{self, By};
use crate::limits::BODY_MAX_BYTES;
use crate::model::message::Entry;
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::serial::Position;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::outbound::page_message;
use crate::rpc::{self, Answer, HistoryPage, Publish, PublishKey, Response, Submission, VersionsQuery};

/// The action of a PATCH that names none.
const UPDATE: u64 = 1;

/// What links between pages carry on.
const CARRIED: [&str; 3] = ["start", "end", "direction"];

/// Fails with 40000 when the body has several messages, or another serial than the path.
pub fn operate(
    request: &Request,
    channel: &ChannelName,
    serial: String,
    caller: &Caller,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    let mut messages = body::messages(request, BODY_MAX_BYTES)?;
    for message in &mut messages {
        if message.serial.as_ref().is_some_and(|stated| *stated != serial) {
            return Err(Code::BadRequest.because("the body has another serial than the path"));
        }
        message.serial = Some(serial.clone());
        message.action = message.action.or(Some(UPDATE));
    }
    begin_operation(messages, &publish::params(request), channel, caller, form, random)
}

/// Known by an id of this request alone: when the call to the channel is repeated, the channel knows it.
pub fn begin_operation(
    messages: Vec<InboundMessage>,
    params: &Params,
    channel: &ChannelName,
    caller: &Caller,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    let claim = caller.grant().user_claim(channel);
    let by = By { identity: caller.identity(), claim: claim.as_ref(), allowed: caller.operations(channel)? };
    let operation = operation::check(messages, params, by, caller.rules(channel).mutable)?;
    let operated = Operated { channel: channel.to_string(), serial: operation.serial.clone() };
    let key = PublishKey::Request(publish::base(random));
    let (by, content) = (caller.grant().source(), Submission::Operation(operation.into()));
    caller.require_room(channel, &content)?;
    let publish = Publish { key, connection_id: None, by, content };
    let call = caller.call(channel, rpc::Request::Publish(vec![publish]));
    Ok(form.call(call, move |response| operated.answered(form, response)))
}

/// An operation that its channel has not answered.
struct Operated {
    channel: String,
    serial: String,
}

/// What is told of an operation that is in the log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    channel: String,
    serial: String,
    version_serial: Option<String>,
    /// The same, where the answer to a publish has serials.
    serials: Vec<String>,
}

impl Operated {
    fn answered(self, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
        let published = published(response)?;
        let serials = Receipt::of(String::new(), String::new(), &published, 0)?.into_serials();
        let Operated { channel, serial } = self;
        Ok(form.ok(&Done { channel, serial, version_serial: serials.first().cloned(), serials }))
    }
}

pub fn begin(channel: &ChannelName, serial: String, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_history(channel)?;
    let query = VersionsQuery { serial, latest: true, forwards: true, limit: 1, ..VersionsQuery::default() };
    let call = caller.call(channel, rpc::Request::Versions(query));
    Ok(form.call(call, move |response| {
        let (page, entries) = page_of(response)?;
        let entry = entries.first().ok_or_else(unanswered)?;
        Ok(form.ok(&page_message(entry, 0, &page.epoch, form.format)))
    }))
}

/// Who may do something to any message may see what was before it was deleted.
pub fn begin_versions(
    request: &Request,
    channel: &ChannelName,
    serial: String,
    caller: &Caller,
    form: Form,
    kind: Kind,
) -> Result<Step, ErrorInfo> {
    caller.require_history(channel)?;
    let cursor = request.parameter("cursor").map(Cursor::parse).transpose()?;
    let after = cursor.as_ref().map(|cursor| u32::try_from(cursor.position.0).map_err(|_| bad_cursor())).transpose()?;
    let any = Operations::MESSAGE_UPDATE_ANY | Operations::MESSAGE_DELETE_ANY;
    let (start_ms, end_ms) = times_ms(request)?;
    let query = VersionsQuery {
        serial,
        latest: false,
        forwards: forwards(request)?.unwrap_or(true),
        limit: limit(request)?,
        after,
        deleted: caller.operations(channel)?.intersects(any),
        start_ms,
        end_ms,
    };
    let call = caller.call(channel, rpc::Request::Versions(query));
    let versions = Versions { links: Links::of(request, "versions", &CARRIED), cursor, kind };
    Ok(form.call(call, move |response| versions.answered(form, response)))
}

/// A page of versions that its channel has not given.
struct Versions {
    links: Links,
    cursor: Option<Cursor>,
    kind: Kind,
}

impl Versions {
    /// Fails with 40003 when the cursor is not of this life of the channel.
    fn answered(self, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
        let (page, entries) = page_of(response)?;
        if self.cursor.is_some_and(|cursor| cursor.epoch != page.epoch) {
            return Err(bad_cursor());
        }
        let text =
            |(number, index): (Position, usize)| Cursor { position: number, index, epoch: page.epoch.clone() }.text();
        let header = self.links.header(page.next.map(text));
        let picked = picked(&page.slices, &entries, true).ok_or_else(unanswered)?;
        if self.kind == Kind::Chat {
            return Ok(chat_page(picked, &page.epoch, form, header));
        }
        let render = |(entry, index)| page_message(entry, index, &page.epoch, form.format);
        Ok(form.page(&picked.into_iter().map(render).collect::<Vec<_>>(), header))
    }
}

pub fn page_of(response: Response) -> Answer<(HistoryPage, Vec<Entry>)> {
    let Response::History(page) = response else { return Err(unanswered()) };
    let entries = page.entries.entries().map_err(|_| unanswered())?;
    Ok((page, entries))
}
