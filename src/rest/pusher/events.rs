//! `POST /apps/{id}/events` and `/batch_events`: servers publish; and `/users/{id}/terminate_connections`.

use serde_json::{Map, Value, json};

use super::channels::{self, Info};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::intake::publish::check;
use crate::limits::{BATCH_BODY_MAX_BYTES, BATCH_MAX_CHANNELS, BODY_MAX_BYTES, PUSHER_BATCH_MAX_EVENTS};
use crate::model::data::{Data, Payload};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::model::node;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::pusher::{self, TERMINATE, channel_of, is_reserved, is_socket_id};
use crate::rest::caller::Caller;
use crate::rest::publish::{Receipt, base, publish, published};
use crate::rest::step::another_answer;
use crate::rest::{Step, body};
use crate::rpc::{self, Answer, ChannelCall, Publish, Response};

/// One event, on each of these channels.
struct Event {
    channels: Vec<ChannelName>,
    message: InboundMessage,
    /// The connection that does not hear it.
    socket_id: Option<String>,
    info: Option<Info>,
}

/// Fails with 40001 for what is not as the API has it, 40003 for a bad socket's id, and 40000 for too many channels.
pub fn one(request: &Request, caller: Caller, form: Form, random: &[u8; 32]) -> Result<Step, ErrorInfo> {
    let event = Event::read(object(request, BODY_MAX_BYTES)?)?;
    let info = event.info;
    let names = event.channels.clone();
    if info.is_some() {
        names.iter().try_for_each(|name| caller.require_metadata(name))?;
    }
    let calls = Trigger::of(vec![event], &caller, random)?.calls;
    Ok(Step::Calls(
        calls,
        form.then(move |answers| {
            all_published(answers)?;
            let Some(info) = info else { return Ok(Step::Reply(form.ok(&json!({})))) };
            channels::attributes(names, info, &caller, form, |found| {
                let of = |(name, attributes): (ChannelName, Value)| (name.to_string(), attributes);
                json!({ "channels": found.into_iter().map(of).collect::<Map<_, _>>() })
            })
        }),
    ))
}

/// Fails as [`one`] does, and with 40034 for too many events.
pub fn batch(request: &Request, caller: Caller, form: Form, random: &[u8; 32]) -> Result<Step, ErrorInfo> {
    let mut fields = object(request, BATCH_BODY_MAX_BYTES)?;
    let Some(Value::Array(events)) = fields.remove("batch") else { return Err(wrong("'batch' must be a list")) };
    if events.len() > PUSHER_BATCH_MAX_EVENTS {
        return Err(Code::TooManyMessages.because(format!("a batch has at most {PUSHER_BATCH_MAX_EVENTS} events")));
    }
    let read = |event: Value| match event {
        Value::Object(fields) => Event::read(fields),
        _ => Err(wrong("an event must be an object")),
    };
    let events = events.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let infos: Vec<Option<Info>> = events.iter().map(|event| event.info).collect();
    let names: Vec<ChannelName> =
        events.iter().filter(|event| event.info.is_some()).flat_map(|event| event.channels.first().cloned()).collect();
    names.iter().try_for_each(|name| caller.require_metadata(name))?;
    let calls = Trigger::of(events, &caller, random)?.calls;
    Ok(Step::Calls(
        calls,
        form.then(move |answers| {
            all_published(answers)?;
            let Some(all) = infos.iter().copied().flatten().reduce(Info::or) else {
                return Ok(Step::Reply(form.ok(&json!({}))));
            };
            channels::attributes(names, all, &caller, form, move |found| {
                let mut found = found.into_iter();
                let mut of = |info: Info| found.next().map(|(_, attributes)| info.of(attributes));
                let told = infos.into_iter().map(|info| info.and_then(&mut of).unwrap_or_else(|| json!({})));
                json!({ "batch": told.collect::<Vec<_>>() })
            })
        }),
    ))
}

/// All connections of the user are told to end, by the user's own channel. Those that come back must sign in again.
pub fn terminate(user: &str, caller: &Caller, form: Form, random: &[u8; 32]) -> Result<Step, ErrorInfo> {
    let message = InboundMessage {
        name: Some(TERMINATE.to_owned()),
        // Nobody is to be ended by it who comes later.
        extras: Some(json!({ "ephemeral": true })),
        ..InboundMessage::default()
    };
    let channels = vec![ChannelName::parse(&channel_of(user))?];
    let calls = Trigger::of(vec![Event { channels, message, socket_id: None, info: None }], caller, random)?.calls;
    Ok(Step::Calls(
        calls,
        form.then(move |answers| {
            all_published(answers)?;
            Ok(Step::Reply(form.ok(&json!({}))))
        }),
    ))
}

fn object(request: &Request, max_bytes: usize) -> Result<Map<String, Value>, ErrorInfo> {
    let bytes = body::bounded(request, max_bytes)?;
    node::object_of(bytes).ok_or_else(|| wrong("the body must be a JSON object"))
}

fn wrong(why: &str) -> ErrorInfo {
    Code::BadBody.because(why.to_owned())
}

impl Event {
    fn read(mut fields: Map<String, Value>) -> Result<Event, ErrorInfo> {
        let Some(Value::String(name)) = fields.remove("name") else { return Err(wrong("'name' must be a text")) };
        if is_reserved(&name) {
            return Err(wrong("no event's name begins with 'pusher:' or 'pusher_internal:'"));
        }
        let data = match fields.remove("data") {
            Some(Value::String(data)) => pusher::payload(Value::String(data)),
            None | Some(Value::Null) => Payload::Plain(Data::Absent),
            Some(_) => return Err(wrong("'data' must be a text, such as JSON in a text")),
        };
        let socket_id = match fields.remove("socket_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if is_socket_id(&id) => Some(id),
            Some(_) => return Err(Code::BadParameter.because("'socket_id' must be two numbers with a point between")),
        };
        let info = fields.get("info").and_then(Value::as_str).map(Info::parse).transpose()?;
        let message = InboundMessage { name: Some(name), data, ..InboundMessage::default() };
        Ok(Event { channels: channels_of(&mut fields)?, message, socket_id, info })
    }
}

fn channels_of(fields: &mut Map<String, Value>) -> Result<Vec<ChannelName>, ErrorInfo> {
    let named = match (fields.remove("channels"), fields.remove("channel")) {
        (Some(Value::Array(names)), None) => names,
        (None, Some(name)) => vec![name],
        _ => return Err(wrong("an event has a list of 'channels', or one 'channel'")),
    };
    if !(1..=BATCH_MAX_CHANNELS).contains(&named.len()) {
        return Err(Code::BadRequest.because(format!("an event goes to 1 to {BATCH_MAX_CHANNELS} channels")));
    }
    let name = |name: Value| ChannelName::parse(name.as_str().ok_or_else(|| wrong("a channel's name is a text"))?);
    let mut names: Vec<ChannelName> = Vec::new();
    for named in named {
        let name = name(named)?;
        // Named twice, it is told once.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What goes to each channel, in order.
struct Trigger {
    calls: Vec<ChannelCall>,
}

impl Trigger {
    fn of(events: Vec<Event>, caller: &Caller, random: &[u8; 32]) -> Result<Trigger, ErrorInfo> {
        let mut publishes: Vec<(ChannelName, Vec<Publish>)> = Vec::new();
        let mut number = 0;
        for event in events {
            let checked = check(vec![event.message], &Params::default(), caller.identity())?;
            for channel in event.channels {
                caller.require_publish(&channel)?;
                let publish = publish(checked.clone(), format!("{}.{number}", base(random)), caller.grant().source());
                caller.require_room(&channel, &publish.content)?;
                let publish = Publish { connection_id: event.socket_id.clone(), ..publish };
                number += 1;
                match publishes.iter_mut().find(|(known, _)| *known == channel) {
                    Some((_, publishes)) => publishes.push(publish),
                    None => publishes.push((channel, vec![publish])),
                }
            }
        }
        let call = |(channel, publishes)| caller.call(&channel, rpc::Request::Publish(publishes));
        Ok(Trigger { calls: publishes.into_iter().map(call).collect() })
    }
}

/// Fails as the first that failed.
fn all_published(answers: Vec<Answer<Response>>) -> Result<(), ErrorInfo> {
    if answers.is_empty() {
        return Err(another_answer());
    }
    for answer in answers {
        let published = published(answer?)?;
        for index in 0..published.outcomes.len() {
            Receipt::of(String::new(), String::new(), &published, index)?;
        }
    }
    Ok(())
}
