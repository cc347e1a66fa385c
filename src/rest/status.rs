//! `GET /channels/{channel}`: its status, and `GET /channels`: those in use (protocol.md § 12.2).
//!
//! Channels are counted when they are asked, over all relays. The app's list says which to ask; it may name some that
//! are no longer in use, and those are left out, so that a page may have fewer than was asked for though another
//! follows.

use serde_json::{Map, Value, json};

use super::Step;
use super::caller::Caller;
use super::history::limit;
use super::page::Links;
use super::step::{another_answer, unanswered};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{CHANNELS_PAGE_MAX, LATELY_MS};
use crate::model::name::ChannelName;
use crate::rpc::{self, Answer, AppCall, AppRequest, AppResponse, Counts, Response, Wanted};

const CARRIED: [&str; 2] = ["prefix", "by"];

pub fn begin(channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_metadata(channel)?;
    let name = channel.to_string();
    // To ask for a channel makes it active.
    Ok(form.call(caller.call(channel, rpc::Request::Count), move |response| {
        Ok(form.ok(&details(&name, counts(response)?)))
    }))
}

fn counts(response: Response) -> Result<(Counts, u32), ErrorInfo> {
    response.counts().ok_or_else(unanswered)
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
    let after = caller.after(PURPOSE, request)?.unwrap_or_default();
    let prefix = request.parameter("prefix").unwrap_or_default().to_owned();
    // One more tells whether another page follows.
    let ask = AppRequest::Channels { prefix, after, limit: limit + 1 };
    let call = AppCall { app: caller.app().id().clone(), request: ask };
    let links = Links::of(request, "channels", &CARRIED);
    let enumeration = Enumeration { caller, links, by_id, limit };
    Ok(form.ask(call, move |response| match response {
        AppResponse::Channels(channels) => Ok(enumeration.named(form, &channels)),
        _ => Err(another_answer()),
    }))
}

/// What cursors are for.
const PURPOSE: &str = "channels";

/// A page whose channels the app has not named.
struct Enumeration {
    caller: Caller,
    links: Links,
    by_id: bool,
    limit: usize,
}

impl Enumeration {
    /// What the caller may not know of is left out.
    fn named(self, form: Form, channels: &str) -> Step {
        let mut names: Vec<ChannelName> = Vec::new();
        let (mut last, mut next) = ("", None);
        for (index, name) in channels.lines().enumerate() {
            if index == self.limit {
                next = self.caller.cursor(PURPOSE, last);
                break;
            }
            last = name;
            names.extend(ChannelName::parse(name).ok().filter(|name| self.caller.require_metadata(name).is_ok()));
        }
        let calls = names.iter().map(|name| self.caller.call(name, rpc::Request::Count)).collect();
        let page = Page { names, link: self.links.header(next), by_id: self.by_id };
        form.calls(calls, move |answers| page.answered(form, answers))
    }
}

/// A page whose channels have not said how many are there.
struct Page {
    names: Vec<ChannelName>,
    link: String,
    by_id: bool,
}

impl Page {
    fn answered(self, form: Form, answers: Vec<Answer<Response>>) -> Result<Reply, ErrorInfo> {
        let mut active = Vec::new();
        for (name, answer) in self.names.iter().zip(answers) {
            let counts = counts(answer?)?;
            if counts.0.is_active {
                active.push(if self.by_id { name.as_str().into() } else { details(name.as_str(), counts) });
            }
        }
        Ok(form.page(&Value::Array(active), self.link))
    }
}

fn details(name: &str, (counts, messages): (Counts, u32)) -> Value {
    let mut details = Map::new();
    details.insert("channelId".to_owned(), name.into());
    details.insert("name".to_owned(), name.into());
    let mut status = Map::new();
    status.insert("isActive".to_owned(), true.into());
    status.insert("occupancy".to_owned(), counts.occupancy.to_json(Wanted::ALL));
    status.insert("messagesPerSecond".to_owned(), json!(f64::from(messages) * 1_000.0 / LATELY_MS as f64));
    details.insert("status".to_owned(), Value::Object(status));
    Value::Object(details)
}
