//! Words for a trace: what came to whom, as short as it can be told.

use std::fmt;

use courtside::model::message::{Content, Entry};
use courtside::model::packed::Packed;
use courtside::model::presence::PresenceMessage;
use courtside::object;
use courtside::rpc::{Answer, Backlog, Outcome, Publish, PublishKey, Request, Response, Submission};
use serde_json::Value;

use super::client::PresenceUpdate;
use super::frames::{self, Frame, action};
use super::host::Input;
use super::ledger::tag_of;

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Open { link, mode, opening, .. } => {
                let by = mode.map_or("a socket".into(), |mode| format!("{mode:?}"));
                write!(f, "{link} opens, {by}, goes on with {:?}", opening.takeover)
            }
            Input::Frame { link, bytes, format } => {
                write!(f, "{link} {}", Words(&frames::read_value(bytes, *format)))
            }
            Input::Lost { link } => write!(f, "{link} is lost"),
            Input::Comet { link, verb, body, .. } => write!(f, "{link} {verb:?} {}", String::from_utf8_lossy(body)),
            Input::Object(input) => f.write_str(&happening(input)),
        }
    }
}

fn happening(input: &object::Input) -> String {
    use object::Input::*;
    match input {
        Written { response, went_well } => {
            format!("response {} was {}", response.number, if *went_well { "taken" } else { "lost" })
        }
        Call { caller, call } => format!("call {}: {}", caller.0, request(&call.request)),
        Answered { ticket, answer } => format!("answer to its call {}: {}", ticket.0, said(answer)),
        Deliver { caller, delivery } => {
            let (prior, through) = (delivery.prior.0, delivery.through.0);
            let gap = if delivery.gap { ", with a gap" } else { "" };
            format!("delivery {} of {prior}..={through}{gap}: {}", caller.0, tags(&delivery.entries))
        }
        Follow { caller, follow } => format!("follow {}: {} from {}", caller.0, follow.relay, follow.position.0),
        Delivered { relay, attempt, answer, .. } => format!("answer to delivery {attempt} of {relay}: {answer:?}"),
        Probe { caller, probe } => format!("probe {}: {:?}", caller.0, probe.connections),
        Probed { attempt, answer, .. } => format!("answer to probe {attempt}: {answer:?}"),
        other => format!("{other:?}"),
    }
}

fn request(request: &Request) -> String {
    match request.publishes() {
        Some(publishes) => publishes.iter().map(publish).collect(),
        None => format!("{request:?}"),
    }
}

fn publish(publish: &Publish) -> String {
    let key = match &publish.key {
        PublishKey::Serial(serial) => format!("{}:{serial}", publish.connection_id.as_deref().unwrap_or_default()),
        other => format!("{other:?}"),
    };
    match &publish.content {
        Submission::Messages(messages) => format!("publish {} as {key}; ", tag_of(&messages[0].data)),
        Submission::Presence { updates, .. } => {
            updates.iter().map(|update| format!("{} ", happened(&update.event))).collect()
        }
        Submission::Objects(proposals) => format!("{} operations as {key}; ", proposals.len()),
        Submission::Operation(operation) => {
            format!("{:?} {} by {} as {key}; ", operation.act, operation.serial, tag_of(&operation.patch.data))
        }
        Submission::ConnectionOutcome { outcome, .. } => {
            format!("{} is {outcome:?} as {key}; ", publish.connection_id.as_deref().unwrap_or_default())
        }
        Submission::Annotations { message, annotations } => format!("{annotations:?} on {} as {key}; ", message),
    }
}

fn said(answer: &Option<Answer<Response>>) -> String {
    match answer {
        None => "none".to_owned(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Response::Published(published) | Response::Carried(published, _))) => {
            published.outcomes.iter().map(outcome).collect()
        }
        Some(Ok(Response::Backlog(backlog))) => backlog_words(backlog),
        Some(Ok(other)) => format!("{other:?}"),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { position, .. } => format!("accepted at {}; ", position.0),
        Outcome::Operated { position, object_ids } => format!("done to {object_ids:?} at {}; ", position.0),
        Outcome::Refused(error) => format!("refused, {error}; "),
    }
}

fn backlog_words(backlog: &Backlog) -> String {
    let Backlog { after, through, more, lost, .. } = backlog;
    format!("log {}..={}: {}, more {more}, lost {}", after.0, through.0, tags(&backlog.entries), lost.is_some())
}

fn tags(entries: &Packed) -> String {
    let entries = entries.entries().expect("entries are whole");
    let tags: Vec<String> = entries.iter().map(|entry| format!("{} at {}", what(entry), entry.position.0)).collect();
    tags.join(", ")
}

fn what(entry: &Entry) -> String {
    match &entry.content {
        Content::Objects(operations) => format!("{} operations", operations.len()),
        Content::Messages(_) | Content::Rest { .. } | Content::Revised { .. } | Content::Annotated { .. } => {
            tag_of(&entry.messages()[0].data)
        }
        Content::Annotations { annotations, .. } => format!("{annotations:?}"),
        Content::Summary(summary) | Content::SummaryOfVersion { summary, .. } => format!("{summary:?}"),
        Content::Presence(events) => events.iter().map(happened).collect::<Vec<_>>().join("+"),
    }
}

fn happened(event: &PresenceMessage) -> String {
    format!("{:?} {} {}", event.action, event.client_id, event.id)
}

impl fmt::Display for PresenceUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PresenceUpdate::Connect { resume } => write!(f, "connects, resume {resume:?}"),
            PresenceUpdate::Send(frame) => Words(frame).fmt(f),
            PresenceUpdate::HangUp => write!(f, "hangs up"),
        }
    }
}

/// A frame from a client.
struct Words<'a>(&'a Value);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0["action"].as_u64().unwrap_or_default() as u8;
        write!(f, "{}", action_name(number))?;
        for field in ["channel", "channelSerial", "msgSerial", "params"] {
            if let Some(value) = self.0.get(field) {
                write!(f, " {value}")?;
            }
        }
        write!(f, " {}", self.0["messages"][0]["data"].as_str().unwrap_or_default())
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", action_name(self.action))?;
        let texts = [&self.channel, &self.channel_serial, &self.connection_id];
        texts.into_iter().flatten().try_for_each(|text| write!(f, " {text}"))?;
        if let Some(serial) = self.msg_serial {
            write!(f, " {serial} × {}", self.count.unwrap_or(1))?;
        }
        if self.flags != 0 {
            write!(f, " flags {:#x}", self.flags)?;
        }
        self.messages.iter().try_for_each(|message| write!(f, " {} {:?}", message.serial, message.data))?;
        self.error_code().map_or(Ok(()), |code| write!(f, " error {code}"))
    }
}

/// The protocol's name of an action.
pub fn action_name(number: u8) -> String {
    let name = match number {
        action::HEARTBEAT => "HEARTBEAT",
        action::ACK => "ACK",
        action::NACK => "NACK",
        action::CONNECTED => "CONNECTED",
        action::DISCONNECT => "DISCONNECT",
        action::DISCONNECTED => "DISCONNECTED",
        action::CLOSE => "CLOSE",
        action::CLOSED => "CLOSED",
        action::ERROR => "ERROR",
        action::ATTACH => "ATTACH",
        action::ATTACHED => "ATTACHED",
        action::DETACH => "DETACH",
        action::DETACHED => "DETACHED",
        action::MESSAGE => "MESSAGE",
        action::PRESENCE => "PRESENCE",
        action::SYNC => "SYNC",
        action::OBJECT => "OBJECT",
        action::OBJECT_SYNC => "OBJECT_SYNC",
        action::ACTIVATE => "ACTIVATE",
        action::PING => "PING",
        action::PONG => "PONG",
        _ => return format!("action {number}"),
    };
    name.to_owned()
}
