//! `POST /push/publish` and `POST /push/batch/publish`: notifications to recipients (protocol.md § 20.4).

use serde_json::{Map, Value};

use super::{Asker, ask};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{BATCH_BODY_MAX_BYTES, CLIENT_ID_MAX_BYTES, PUSH_BATCH_MAX};
use crate::model::name::alphanumeric;
use crate::push::{Payload, Recipient, device};
use crate::rest::step::another_answer;
use crate::rest::{Context, Step, body};
use crate::rpc::{Answer, DirectPush, PushRequest, PushResponse, PushTarget};

/// Fails with 40000 for a recipient or payload that is none, and as the app does.
pub fn one(request: &Request, asker: &Asker, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    asker.require_admin()?;
    let Value::Object(mut fields) = body::value(request)? else { return Err(device::bad("a push must be an object")) };
    let recipient = fields.remove("recipient").unwrap_or_default();
    let push = DirectPush { key: key(context, 0), target: target(&recipient)?, payload: Payload::read(fields)?.text() };
    Ok(ask(asker, publish(request, vec![push]), form, |response| match response {
        PushResponse::Published(outcomes) => match outcomes.into_iter().next() {
            Some(Err(error)) => Err(error),
            _ => Ok(Reply::empty()),
        },
        _ => Err(another_answer()),
    }))
}

/// Each of a list to its recipients; the answer says for each of the list what became of it.
pub fn batch(request: &Request, asker: &Asker, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    asker.require_admin()?;
    let body = body::decode(request, BATCH_BODY_MAX_BYTES, |node| node.into_value())?;
    let Value::Array(specs) = body else { return Err(device::bad("a batch of pushes must be a list")) };
    let specs: Vec<Answer<(Vec<PushTarget>, String)>> = specs.into_iter().map(read).collect();
    let count: usize = specs.iter().flatten().map(|(targets, _)| targets.len()).sum();
    if count > PUSH_BATCH_MAX {
        return Err(Code::BadRequest.because(format!("a batch has at most {PUSH_BATCH_MAX} notifications")));
    }
    let mut pushes = Vec::with_capacity(count);
    for (targets, payload) in specs.iter().flatten() {
        for target in targets {
            let key = key(context, pushes.len());
            pushes.push(DirectPush { key, target: target.clone(), payload: payload.clone() });
        }
    }
    let sizes: Vec<Answer<usize>> = specs.into_iter().map(|spec| spec.map(|(targets, _)| targets.len())).collect();
    Ok(ask(asker, publish(request, pushes), form, move |response| {
        let PushResponse::Published(outcomes) = response else { return Err(another_answer()) };
        Ok(form.ok(&reported(sizes, outcomes)))
    }))
}

fn reported(sizes: Vec<Answer<usize>>, outcomes: Vec<Answer<()>>) -> Value {
    let mut outcomes = outcomes.into_iter();
    let mut failure = |size: Answer<usize>| match size {
        Ok(size) => {
            outcomes.by_ref().take(size).fold(None, |first: Option<ErrorInfo>, outcome| first.or(outcome.err()))
        }
        Err(error) => Some(error),
    };
    let entry = |error: ErrorInfo| ("error".to_owned(), serde_json::to_value(error).unwrap_or_default());
    let report = |size| Value::Object(failure(size).map(entry).into_iter().collect::<Map<String, Value>>());
    Value::Array(sizes.into_iter().map(report).collect())
}

fn read(spec: Value) -> Answer<(Vec<PushTarget>, String)> {
    let Value::Object(mut fields) = spec else { return Err(device::bad("each push of a batch must be an object")) };
    let targets = match fields.remove("recipient").unwrap_or_default() {
        Value::Array(recipients) => recipients.iter().map(target).collect::<Result<_, _>>()?,
        recipient => vec![target(&recipient)?],
    };
    match fields.remove("payload") {
        Some(Value::Object(payload)) => Ok((targets, Payload::read(payload)?.text())),
        _ => Err(device::bad("each push of a batch needs a 'payload'")),
    }
}

fn target(recipient: &Value) -> Result<PushTarget, ErrorInfo> {
    let fields = recipient.as_object().ok_or_else(|| device::bad("a push needs a 'recipient'"))?;
    let text =
        |name: &str| Ok::<_, ErrorInfo>(device::text(fields, name, CLIENT_ID_MAX_BYTES)?.filter(|id| !id.is_empty()));
    if fields.contains_key("transportType") {
        return Recipient::checked(recipient).map(PushTarget::Recipient);
    }
    match (text("deviceId")?, text("clientId")?) {
        (Some(id), None) => Ok(PushTarget::Device(id)),
        (None, Some(id)) => Ok(PushTarget::Client(id)),
        _ => Err(device::bad("a recipient has a 'deviceId', a 'clientId' or a 'transportType'")),
    }
}

fn publish(request: &Request, pushes: Vec<DirectPush>) -> PushRequest {
    PushRequest::Publish { pushes, wait: request.parameter("fullWait") == Some("true") }
}

fn key(context: &Context<'_>, index: usize) -> String {
    format!("{}:{index}", alphanumeric(&context.random[..16]))
}
