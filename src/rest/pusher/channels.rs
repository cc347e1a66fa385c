//! `GET /apps/{id}/channels`, `/channels/{name}` and `/channels/{name}/users`: which channels there are, and who is on
//! them. A channel is occupied as long as somebody is attached to it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::limits::{CHANNELS_PAGE_MAX, MEMBERS_MAX_LIMIT, PUSHER_CHANNELS_MAX};
use crate::model::name::ChannelName;
use crate::model::presence::{MemberKey, is_of_users};
use crate::rest::Step;
use crate::rest::caller::Caller;
use crate::rest::step::{another_answer, unanswered};
use crate::rpc::{self, Answer, AppCall, AppRequest, AppResponse, Counts, MembersPage, MembersQuery, Response};

/// What is asked of channels besides whether they are occupied.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Info {
    user_count: bool,
    subscription_count: bool,
}

impl Info {
    /// Fails with 40003 for an attribute that there is not.
    pub fn parse(text: &str) -> Result<Info, ErrorInfo> {
        let mut info = Info::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                _ => return Err(Code::BadParameter.because("'info' lists user_count and subscription_count")),
            }
        }
        Ok(info)
    }

    fn of_request(request: &Request) -> Result<Info, ErrorInfo> {
        Info::parse(request.parameter("info").unwrap_or_default())
    }

    pub fn or(self, other: Info) -> Info {
        Info {
            user_count: self.user_count || other.user_count,
            subscription_count: self.subscription_count || other.subscription_count,
        }
    }

    /// Of these attributes those that it asks for.
    pub fn of(self, attributes: Value) -> Value {
        let Value::Object(mut attributes) = attributes else { return attributes };
        for (name, is_wanted) in [("user_count", self.user_count), ("subscription_count", self.subscription_count)] {
            if !is_wanted {
                attributes.remove(name);
            }
        }
        Value::Object(attributes)
    }

    /// Fails with 40000 for users of a channel that has none.
    fn check(self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        match self.user_count && !is_of_users(channel) {
            true => Err(Code::BadRequest.because("only presence channels have a user_count")),
            false => Ok(()),
        }
    }
}

/// Fails with 40160 when the key may not see channels, with 40003 for a bad `info`, with 40000 for users of channels
/// that have none.
pub fn list(request: &Request, caller: Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_any_metadata()?;
    let info = Info::of_request(request)?;
    let prefix = request.parameter("filter_by_prefix").unwrap_or_default().to_owned();
    if info.user_count && !prefix.starts_with("presence-") {
        return Err(Code::BadRequest.because("user_count needs filter_by_prefix=presence-"));
    }
    Listing { caller, info, prefix, names: Vec::new() }.ask(form, String::new())
}

/// Channels of which the app has named some.
struct Listing {
    caller: Caller,
    info: Info,
    prefix: String,
    names: Vec<ChannelName>,
}

impl Listing {
    fn ask(self, form: Form, after: String) -> Result<Step, ErrorInfo> {
        let (app, prefix) = (self.caller.app().id().clone(), self.prefix.clone());
        let call = AppCall { app, request: AppRequest::Channels { prefix, after, limit: CHANNELS_PAGE_MAX } };
        Ok(form.ask(call, move |response| match response {
            AppResponse::Channels(channels) => self.named(form, &channels),
            _ => Err(another_answer()),
        }))
    }

    fn named(mut self, form: Form, channels: &str) -> Result<Step, ErrorInfo> {
        let last = channels.lines().last().unwrap_or_default().to_owned();
        let is_whole = channels.lines().count() < CHANNELS_PAGE_MAX;
        let may_see = |name: &ChannelName| self.caller.require_metadata(name).is_ok();
        let names = channels.lines().filter_map(|name| ChannelName::parse(name).ok()).filter(may_see);
        let names: Vec<ChannelName> = names.collect();
        self.names.extend(names);
        if self.names.len() > PUSHER_CHANNELS_MAX {
            let bound = format!("more than {PUSHER_CHANNELS_MAX} channels are in use; say which by filter_by_prefix");
            return Err(Code::BadRequest.because(bound));
        }
        if !is_whole {
            return self.ask(form, last);
        }
        let info = self.info;
        count(self.names, info, &self.caller, form, move |counted| {
            let occupied = counted.into_iter().filter(|channel| channel.is_occupied());
            let of = |channel: Counted| (channel.name.to_string(), info.of(channel.attributes()));
            Ok(form.ok(&json!({ "channels": occupied.map(of).collect::<Map<_, _>>() })))
        })
    }
}

pub fn one(request: &Request, channel: &ChannelName, caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_metadata(channel)?;
    let info = Info::of_request(request)?;
    info.check(channel)?;
    count(vec![channel.clone()], info, caller, form, move |counted| {
        let Some(channel) = counted.into_iter().next() else { return Err(unanswered()) };
        let mut told = json!({ "occupied": channel.is_occupied() });
        if let Value::Object(attributes) = info.of(channel.attributes()) {
            attributes.into_iter().for_each(|(name, value)| told[name] = value);
        }
        Ok(form.ok(&told))
    })
}

/// What these channels, whose status the caller may see, have, each as `info` asks, in their order.
pub fn attributes(
    names: Vec<ChannelName>,
    info: Info,
    caller: &Caller,
    form: Form,
    tell: impl FnOnce(Vec<(ChannelName, Value)>) -> Value + 'static,
) -> Result<Step, ErrorInfo> {
    count(names, info, caller, form, move |counted| {
        let of = |channel: Counted| (channel.name.clone(), info.of(channel.attributes()));
        Ok(form.ok(&tell(counted.into_iter().map(of).collect())))
    })
}

/// How many are on a channel.
struct Counted {
    name: ChannelName,
    counts: Counts,
    users: Option<usize>,
}

impl Counted {
    fn is_occupied(&self) -> bool {
        self.subscriptions() > 0
    }

    fn subscriptions(&self) -> u32 {
        self.counts.occupancy.get("connections").unwrap_or_default()
    }

    fn attributes(&self) -> Value {
        let mut attributes = json!({ "subscription_count": self.subscriptions() });
        if let Some(users) = self.users {
            attributes["user_count"] = users.into();
        }
        attributes
    }
}

/// Asks each channel for its counts, and those with users for these, where their number is asked for.
fn count(
    names: Vec<ChannelName>,
    info: Info,
    caller: &Caller,
    form: Form,
    tell: impl FnOnce(Vec<Counted>) -> Result<crate::http::Reply, ErrorInfo> + 'static,
) -> Result<Step, ErrorInfo> {
    let mut calls = Vec::new();
    for name in &names {
        calls.push(caller.call(name, rpc::Request::Count));
        if info.user_count && is_of_users(name) {
            calls.push(caller.call(name, rpc::Request::Members(query(None))));
        }
    }
    if calls.is_empty() {
        return tell(Vec::new()).map(Step::Reply);
    }
    Ok(form.calls(calls, move |answers| {
        let mut answers = answers.into_iter();
        let mut counted = Vec::new();
        for name in names {
            let counts = counts(answers.next())?;
            let users = match info.user_count && is_of_users(&name) {
                true => Some(users_of(&members(answers.next())?, &counts)?),
                false => None,
            };
            counted.push(Counted { name, counts, users });
        }
        tell(counted)
    }))
}

fn query(after: Option<MemberKey>) -> MembersQuery {
    MembersQuery { after, limit: MEMBERS_MAX_LIMIT, ..MembersQuery::default() }
}

fn counts(answer: Option<Answer<Response>>) -> Result<Counts, ErrorInfo> {
    let counts = answer.unwrap_or_else(|| Err(unanswered()))?.counts();
    counts.map(|(counts, _)| counts).ok_or_else(unanswered)
}

fn members(answer: Option<Answer<Response>>) -> Result<MembersPage, ErrorInfo> {
    match answer.unwrap_or_else(|| Err(unanswered()))? {
        Response::Members(page) => Ok(page),
        _ => Err(unanswered()),
    }
}

/// Of a set that is larger than one page the members are counted, as none are told who is on such a channel.
fn users_of(page: &MembersPage, counts: &Counts) -> Result<usize, ErrorInfo> {
    if page.next.is_some() {
        return Ok(counts.occupancy.get("presenceMembers").unwrap_or_default() as usize);
    }
    let mut users = BTreeSet::new();
    add_users(page, &mut users)?;
    Ok(users.len())
}

fn add_users(page: &MembersPage, users: &mut BTreeSet<String>) -> Result<(), ErrorInfo> {
    let damaged = |_| Code::InternalChannel.because("the channel's answer is damaged");
    for entry in page.members.entries().map_err(damaged)? {
        users.extend(entry.presence().iter().map(|member| member.client_id.clone()));
    }
    Ok(())
}

/// Fails with 40000 for a channel that has no users.
pub fn users(channel: ChannelName, caller: Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_presence(&channel)?;
    if !is_of_users(&channel) {
        return Err(Code::BadRequest.because("only presence channels have users"));
    }
    Ok(Users { channel, caller, users: BTreeSet::new() }.ask(form, None))
}

/// Users of whom some are known, page by page.
struct Users {
    channel: ChannelName,
    caller: Caller,
    users: BTreeSet<String>,
}

impl Users {
    fn ask(mut self, form: Form, after: Option<MemberKey>) -> Step {
        let call = self.caller.call(&self.channel, rpc::Request::Members(query(after)));
        form.call_on(call, move |response| {
            let Response::Members(page) = response else { return Err(unanswered()) };
            add_users(&page, &mut self.users)?;
            if page.next.is_some() {
                return Ok(self.ask(form, page.next));
            }
            let users: Vec<Value> = self.users.iter().map(|id| json!({ "id": id })).collect();
            Ok(Step::Reply(form.ok(&json!({ "users": users }))))
        })
    }
}
