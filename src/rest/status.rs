//! `GET /channels/{channel}`: its status, and `GET /channels`: those in use (protocol.md § 12.2).
//!
//! Channels are counted when they are asked, over all relays. The app's list says which to ask; it may name some that
//! are no longer in use, and those are left out, so that a page may have fewer than was asked for though another
//! follows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Map, Value};

use super::caller::Caller;
use super::form::Form;
use super::history::limit;
use super::inquiry::Inquiry;
use super::page::{Links, bad_cursor};
use super::{Exchange, Reply, Request, Step, unanswered};
use crate::call::{self, Answer, AppCall, AppRequest, Counts, Response, Wanted};
use crate::error::{Code, ErrorInfo};
use crate::limits::CHANNELS_PAGE_MAX;
use crate::name::ChannelName;

const CARRIED: [&str; 5] = ["limit", "prefix", "by", "format", "envelope"];

pub fn begin(channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_metadata(channel)?;
    let pending = super::Pending::Status(channel.to_string());
    Ok(Step::Calls(vec![caller.call(channel, call::Request::Count)], Exchange { form, pending }))
}

/// To ask for a channel makes it active.
pub fn answered(name: &str, form: Form, answer: Answer<Response>) -> Result<Reply, ErrorInfo> {
    let counts = counts(answer)?;
    Ok(form.ok(&details(name, &counts)))
}

fn counts(answer: Answer<Response>) -> Result<Counts, ErrorInfo> {
    let Response::Counts(counts) = answer? else { return Err(unanswered()) };
    Ok(counts)
}

/// Fails with 40160 when the capability allows it on no channel, with 40003 for a `by` that is neither `id` nor
/// `value`, a bad limit, and a cursor that no page had.
pub fn enumerate(request: &Request, caller: Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_any_metadata()?;
    let by_id = match request.parameter("by") {
        None | Some("value") => false,
        Some("id") => true,
        Some(_) => return Err(Code::BadParameter.because("'by' must be 'id' or 'value'")),
    };
    let limit = limit(request)?.min(CHANNELS_PAGE_MAX);
    let after = request.parameter("cursor").map(|cursor| after(&caller, cursor)).transpose()?.unwrap_or_default();
    let prefix = request.parameter("prefix").unwrap_or_default().to_owned();
    // One more tells whether another page follows.
    let ask = AppRequest::Channels { prefix, after, limit: limit + 1 };
    let call = AppCall { app: caller.app().id().clone(), request: ask };
    let links = Links::of(request, "channels", &CARRIED);
    Ok(Step::Ask(call, Inquiry::enumeration(form, Enumeration { caller, links, by_id, limit })))
}

/// Cursors name the last channel that was looked at, which their holder may not be allowed to see. So they are sealed.
fn after(caller: &Caller, cursor: &str) -> Result<String, ErrorInfo> {
    let sealed = BASE64URL.decode(cursor).ok();
    sealed.and_then(|sealed| caller.unseal(PURPOSE, &sealed)).ok_or_else(bad_cursor)
}

/// What cursors are sealed for.
const PURPOSE: &str = "channels";

/// A page whose channels the app has not named.
pub struct Enumeration {
    caller: Caller,
    links: Links,
    by_id: bool,
    limit: usize,
}

impl Enumeration {
    /// What the caller may not know of is left out.
    pub fn named(self, form: Form, channels: &str) -> Step {
        let mut names: Vec<ChannelName> = Vec::new();
        let (mut last, mut next) = ("", None);
        for (index, name) in channels.lines().enumerate() {
            if index == self.limit {
                next = self.caller.seal(PURPOSE, last).map(|sealed| BASE64URL.encode(sealed));
                break;
            }
            last = name;
            names.extend(ChannelName::parse(name).ok().filter(|name| self.caller.require_metadata(name).is_ok()));
        }
        let calls = names.iter().map(|name| self.caller.call(name, call::Request::Count)).collect();
        let page = Page { names, link: self.links.header(next), by_id: self.by_id };
        Step::Calls(calls, Exchange { form, pending: super::Pending::Enumeration(page) })
    }
}

/// A page whose channels have not said how many are there.
pub struct Page {
    names: Vec<ChannelName>,
    link: String,
    by_id: bool,
}

impl Page {
    pub fn answered(self, form: Form, answers: Vec<Answer<Response>>) -> Result<Reply, ErrorInfo> {
        let mut active = Vec::new();
        for (name, answer) in self.names.iter().zip(answers) {
            let counts = counts(answer)?;
            if counts.is_active {
                active.push(if self.by_id { name.as_str().into() } else { details(name.as_str(), &counts) });
            }
        }
        Ok(form.page(&Value::Array(active), self.link))
    }
}

fn details(name: &str, counts: &Counts) -> Value {
    let mut details = Map::new();
    details.insert("channelId".to_owned(), name.into());
    details.insert("name".to_owned(), name.into());
    let mut status = Map::new();
    status.insert("isActive".to_owned(), true.into());
    status.insert("occupancy".to_owned(), counts.occupancy.to_json(Wanted::ALL));
    details.insert("status".to_owned(), Value::Object(status));
    Value::Object(details)
}
