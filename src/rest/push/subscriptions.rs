//! `/push/channelSubscriptions` and `/push/channels` (protocol.md § 20.3).

use serde_json::{Map, Value};

use super::{Asker, PURPOSE, ask, ask_as, ask_done, limit, not_permitted, paged};
use crate::auth::Operations;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::limits::CLIENT_ID_MAX_BYTES;
use crate::model::name::ChannelName;
use crate::push::{Subscriber, Subscription, device};
use crate::rest::caller::Caller;
use crate::rest::page::{Links, bad_cursor};
use crate::rest::step::another_answer;
use crate::rest::{Step, body};
use crate::rpc::{PushCaller, PushRequest, PushResponse, SubscriptionsQuery};

const CARRIED: [&str; 4] = ["channel", "deviceId", "clientId", "concatFilters"];

/// Subscribes, lists or unsubscribes.
pub fn begin(request: &Request, asker: Asker, form: Form) -> Result<Step, ErrorInfo> {
    match request.method.as_str() {
        "POST" => subscribe(request, &asker, form),
        "DELETE" => unsubscribe(request, &asker, form),
        _ => list(request, asker, form),
    }
}

/// The channel that a request names, if it can be read.
pub fn channel(request: &Request) -> Option<ChannelName> {
    let named = match request.method.as_str() {
        "POST" => body::value(request).ok()?.get("channel")?.as_str()?.to_owned(),
        _ => request.parameter("channel")?.to_owned(),
    };
    ChannelName::parse(&named).ok()
}

/// Fails with 40000 unless it names a device or a client, with 40160 where the channel's namespace has no push, and for
/// a client that is not the caller.
fn subscribe(request: &Request, asker: &Asker, form: Form) -> Result<Step, ErrorInfo> {
    let subscription = read(&body::value(request)?)?;
    let channel = ChannelName::parse(&subscription.channel)?;
    channel.refuse_view()?;
    let caller = asker.caller.as_ref().ok_or_else(|| not_permitted("subscribe to push"))?;
    if !caller.app().rules(&channel).push_enabled {
        return Err(Code::NotPermitted.because("push is not enabled for this channel's namespace"));
    }
    let is_admin = caller.grant().permits(&channel, Operations::PUSH_ADMIN);
    if !is_admin && !caller.grant().permits(&channel, Operations::PUSH_SUBSCRIBE) {
        return Err(not_permitted("subscribe to push on this channel"));
    }
    match &subscription.subscriber {
        Subscriber::Client(id) if !is_admin => own(caller, id)?,
        Subscriber::Device(_) if !is_admin && asker.proof.is_none() => return Err(unproven()),
        _ => {}
    }
    let by = asker.by(is_admin);
    let shown = to_json(&subscription);
    Ok(ask(asker, PushRequest::Subscribe(by, subscription), form, move |response| match response {
        PushResponse::Done => Ok(form.created(&shown)),
        _ => Err(another_answer()),
    }))
}

fn read(body: &Value) -> Result<Subscription, ErrorInfo> {
    let fields = body.as_object().ok_or_else(|| device::bad("a subscription must be an object"))?;
    let text =
        |name: &str| Ok::<_, ErrorInfo>(device::text(fields, name, CLIENT_ID_MAX_BYTES)?.filter(|id| !id.is_empty()));
    let channel = fields.get("channel").and_then(Value::as_str);
    let channel = channel.ok_or_else(|| device::bad("a subscription needs a 'channel'"))?.to_owned();
    let subscriber = match (text("deviceId")?, text("clientId")?) {
        (Some(id), None) => Subscriber::Device(id),
        (None, Some(id)) => Subscriber::Client(id),
        _ => return Err(device::bad("a subscription needs a 'deviceId' or a 'clientId', and not both")),
    };
    Ok(Subscription { channel, subscriber })
}

fn list(request: &Request, asker: Asker, form: Form) -> Result<Step, ErrorInfo> {
    let query = filter(request)?;
    let (by, caller) =
        permitted(&asker, &query, |caller| caller.grant().capability.allows_anywhere(Operations::PUSH_ADMIN))?;
    let after = caller.after(PURPOSE, request)?.map(|text| parse(&text).ok_or_else(bad_cursor)).transpose()?;
    let limit = limit(request)?;
    let (is_admin, links) = (by.is_admin, Links::of(request, "channelSubscriptions", &CARRIED));
    let call = PushRequest::Subscriptions(by, SubscriptionsQuery { after, limit: limit + 1, ..query });
    Ok(ask_as(asker, call, form, move |caller, response| {
        let PushResponse::Subscriptions(found) = response else { return Err(another_answer()) };
        let (page, next) = paged(found, limit, caller, text);
        // What the caller may not know of is left out.
        let is_seen = |one: &&Subscription| !is_admin || is_administered(caller, &one.channel);
        let page = page.iter().filter(is_seen).map(to_json).collect();
        Ok(form.page(&Value::Array(page), links.header(next)))
    }))
}

/// Fails with 40000 without a filter: that would be all subscriptions.
fn unsubscribe(request: &Request, asker: &Asker, form: Form) -> Result<Step, ErrorInfo> {
    let query = filter(request)?;
    if query.channel.is_none() && query.device_id.is_none() && query.client_id.is_none() {
        return Err(device::bad("name the 'channel', the 'deviceId' or the 'clientId' of the subscriptions to remove"));
    }
    let everywhere = |caller: &Caller| caller.grant().capability.on_everything().contains(Operations::PUSH_ADMIN);
    let (by, _) = permitted(asker, &query, everywhere)?;
    Ok(ask_done(asker, PushRequest::Unsubscribe(by, query), form))
}

/// The channels that have subscriptions, as far as the caller administers them.
pub fn channels(request: &Request, asker: Asker, form: Form) -> Result<Step, ErrorInfo> {
    let caller = asker.require_admin()?;
    let (limit, after) = (limit(request)?, caller.after(PURPOSE, request)?.unwrap_or_default());
    let links = Links::of(request, "channels", &[]);
    let call = PushRequest::Channels { after, limit: limit + 1 };
    Ok(ask_as(asker, call, form, move |caller, response| {
        let PushResponse::Channels(found) = response else { return Err(another_answer()) };
        let (page, next) = paged(found, limit, caller, String::clone);
        let page = page.into_iter().filter(|channel| is_administered(caller, channel)).map(Value::from).collect();
        Ok(form.page(&Value::Array(page), links.header(next)))
    }))
}

/// Who may touch what a query finds: who administers its channel, or all that `without_channel` says; the client that
/// it names; or the device that it names, as the app is to find out.
fn permitted<'a>(
    asker: &'a Asker,
    query: &SubscriptionsQuery,
    without_channel: impl Fn(&Caller) -> bool,
) -> Result<(PushCaller, &'a Caller), ErrorInfo> {
    let caller = asker.caller.as_ref().ok_or_else(|| not_permitted("see or change subscriptions"))?;
    let is_admin = match &query.channel {
        Some(channel) => is_administered(caller, channel),
        None => without_channel(caller),
    };
    let by = asker.by(is_admin);
    if is_admin {
        return Ok((by, caller));
    }
    if !asker.has(Operations::PUSH_SUBSCRIBE) || query.device_id.is_none() && query.client_id.is_none() {
        return Err(not_permitted("see or change these subscriptions"));
    }
    query.client_id.as_deref().map_or(Ok(()), |id| own(caller, id))?;
    match query.device_id.is_some() && asker.proof.is_none() {
        true => Err(unproven()),
        false => Ok((by, caller)),
    }
}

fn is_administered(caller: &Caller, channel: &str) -> bool {
    ChannelName::parse(channel).is_ok_and(|channel| caller.grant().permits(&channel, Operations::PUSH_ADMIN))
}

fn own(caller: &Caller, client_id: &str) -> Result<(), ErrorInfo> {
    match caller.identity().for_message(Some(client_id)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Code::NotPermitted.because("a client can see and change its own subscriptions only")),
    }
}

fn unproven() -> ErrorInfo {
    Code::NotPermitted.because("a device shows who it is by X-Ably-DeviceToken or X-Ably-DeviceSecret")
}

/// Fails with 40000 when it has both a device and a client, which no subscription has.
fn filter(request: &Request) -> Result<SubscriptionsQuery, ErrorInfo> {
    let value = |name: &str| request.parameter(name).map(str::to_owned);
    let query = SubscriptionsQuery {
        channel: value("channel"),
        device_id: value("deviceId"),
        client_id: value("clientId"),
        is_either: request.parameter("concatFilters") == Some("true"),
        ..SubscriptionsQuery::default()
    };
    match query.device_id.is_some() && query.client_id.is_some() && !query.is_either {
        true => Err(device::bad("no subscription has both a 'deviceId' and a 'clientId'; use concatFilters=true")),
        false => Ok(query),
    }
}

fn to_json(subscription: &Subscription) -> Value {
    let (name, id) = match &subscription.subscriber {
        Subscriber::Device(id) => ("deviceId", id),
        Subscriber::Client(id) => ("clientId", id),
    };
    let channel = ("channel".to_owned(), subscription.channel.as_str().into());
    Value::Object(Map::from_iter([channel, (name.to_owned(), id.as_str().into())]))
}

/// As a cursor names it. No name has a line break.
fn text(subscription: &Subscription) -> String {
    let (kind, id) = match &subscription.subscriber {
        Subscriber::Device(id) => ("d", id),
        Subscriber::Client(id) => ("c", id),
    };
    [kind, id, &subscription.channel].join("\n")
}

fn parse(text: &str) -> Option<Subscription> {
    let mut lines = text.split('\n').map(str::to_owned);
    let (kind, id, channel) = (lines.next()?, lines.next()?, lines.next()?);
    let subscriber = if kind == "d" { Subscriber::Device(id) } else { Subscriber::Client(id) };
    Some(Subscription { channel, subscriber })
}
