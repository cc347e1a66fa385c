//! `/chat/v4/rooms/{room}/…`: what the chat SDK asks over HTTP (protocol.md § 12.5). A room is the channel
//! `{room}::$chat`; its messages are messages of that channel, and its reactions are annotations.
//!
//! Owns the paths, the bodies and the shape of the answers. What they do is done by the same calls as elsewhere.

mod body;
mod message;
mod reaction;
mod room;

pub use message::page;
pub use room::Wanted;

use super::caller::Caller;
use super::history::{self, Kind};
use super::message::page_of;
use super::step::unanswered;
use super::{Context, Step, publish};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::operation;
use crate::limits::MESSAGE_ID_MAX_BYTES;
use crate::model::message::Params;
use crate::model::message::{Content, Entry, Message};
use crate::model::name::ChannelName;
use crate::model::operation::Operation;
use crate::model::serial::Position;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::outbound::page_message;
use crate::rpc::{self, ChannelCall, Outcome, PublishKey, Response, Submission, VersionsQuery};
use body::{Edit, Said};
use message::{ChatMessage, revised};

/// The action of an operation.
const UPDATE: u64 = 1;
const DELETE: u64 = 2;

/// Makes a request that is sent again do nothing more.
const IDEMPOTENCY_KEY: &str = "idempotencyKey";

/// A request of the chat SDK, on its way.
pub struct Asked<'a> {
    pub request: &'a Request,
    pub channel: &'a ChannelName,
    pub caller: &'a Caller,
    pub form: Form,
    pub random: &'a [u8; 32],
}

/// Fails with 40160 where the capability does not allow it, 40000 for a body that the room cannot take, and as the
/// channel's own endpoints do.
pub fn begin(
    request: &Request,
    channel: &ChannelName,
    wanted: Wanted,
    caller: &Caller,
    form: Form,
    context: &Context<'_>,
) -> Result<Step, ErrorInfo> {
    let asked = Asked { request, channel, caller, form, random: &context.random };
    match (wanted, request.method.as_str()) {
        (Wanted::Messages, "POST") => asked.send(),
        (Wanted::Messages, _) => history::begin(request, channel, caller, form, Kind::Chat, context.now_ms),
        (Wanted::Message(serial), "PUT") => asked.update(serial),
        (Wanted::Message(serial), _) => asked.read(serial),
        (Wanted::Deletion(serial), _) => asked.delete(serial),
        (Wanted::Versions(serial), _) => {
            super::message::begin_versions(request, channel, serial, caller, form, Kind::Chat)
        }
        (Wanted::Reactions(serial), _) => asked.react(&serial),
        (Wanted::ClientReactions(serial), _) => asked.client_reactions(&serial),
        (Wanted::Occupancy, _) => {
            caller.require_metadata(channel)?;
            Ok(asked.call(rpc::Request::Count, move |response| occupancy(form, response).map(Step::Reply)))
        }
    }
}

/// A message that its channel has not taken yet.
struct Sent {
    message: Message,
    id: String,
    /// Reads it back, when it may have been sent before.
    read: Option<ChannelCall>,
}

/// An operation that its channel has not done yet.
struct Operated {
    operation: Operation,
    read: ChannelCall,
}

/// An operation that is done, while the message is read that it was done to.
struct Changed {
    operation: Operation,
    at: Position,
}

impl Asked<'_> {
    fn call(&self, request: rpc::Request, go_on: impl FnOnce(Response) -> Result<Step, ErrorInfo> + 'static) -> Step {
        self.form.call_on(self.caller.call(self.channel, request), go_on)
    }

    /// The client that says something: a chat has no anonymous messages. Fails with 40000.
    fn author(&self) -> Result<&str, ErrorInfo> {
        let named = self.caller.identity().name();
        named.ok_or_else(|| Code::BadRequest.because("a chat message or reaction needs a clientId"))
    }

    /// By what a repeated request is known: its idempotency key, if it has one, is that of this client for this act.
    fn key(&self, act: &str) -> Result<PublishKey, ErrorInfo> {
        let Some(key) = self.request.parameter(IDEMPOTENCY_KEY) else {
            return Ok(PublishKey::Request(publish::base(self.random)));
        };
        if key.len() > MESSAGE_ID_MAX_BYTES {
            return Err(
                Code::BadMessageId.because(format!("an idempotencyKey has at most {MESSAGE_ID_MAX_BYTES} bytes"))
            );
        }
        // With its length, no other name and key come to the same.
        let client_id = self.caller.identity().name().unwrap_or_default();
        Ok(PublishKey::Request(format!("{act}:{}:{client_id}:{key}", client_id.len())))
    }

    fn read_call(&self, serial: String) -> ChannelCall {
        let query = VersionsQuery { serial, latest: true, forwards: true, limit: 1, ..VersionsQuery::default() };
        self.caller.call(self.channel, rpc::Request::Versions(query))
    }

    fn read(&self, serial: String) -> Result<Step, ErrorInfo> {
        self.caller.require_history(self.channel)?;
        let form = self.form;
        Ok(form.call(self.read_call(serial), move |response| shown(form, response)))
    }

    fn send(&self) -> Result<Step, ErrorInfo> {
        self.caller.require_publish(self.channel)?;
        self.author()?;
        let said = Said::of(self.request)?;
        let claim = self.caller.grant().user_claim(self.channel);
        let inbound = vec![said.into_message()];
        let checked = crate::intake::publish::check(inbound, &Params::default(), self.caller.identity())?;
        let checked = checked.claimed(claim.as_ref())?;
        let message = checked.messages.first().cloned().unwrap_or_default();
        let (key, content) = (self.key("send")?, Submission::Messages(checked.messages));
        self.caller.require_room(self.channel, &content)?;
        let publish = rpc::Publish { key, connection_id: None, by: self.caller.grant().source(), content };
        let id = publish.id();
        let read = self.request.parameter(IDEMPOTENCY_KEY).map(|_| self.read_call(String::new()));
        let sent = Sent { message, id, read };
        let form = self.form;
        Ok(self.call(rpc::Request::Publish(vec![publish]), move |response| sent.answered(form, response)))
    }

    /// Takes the place of text, metadata and headers as a whole.
    fn update(&self, serial: String) -> Result<Step, ErrorInfo> {
        let Edit { said, stated } = Edit::of(self.request)?;
        let mut message = said.into_message();
        (message.action, message.version) = (Some(UPDATE), stated);
        self.operate(serial, message)
    }

    /// Leaves nothing of text, metadata and headers.
    fn delete(&self, serial: String) -> Result<Step, ErrorInfo> {
        let mut message = body::emptied();
        (message.action, message.version) = (Some(DELETE), body::stated(self.request)?);
        self.operate(serial, message)
    }

    fn operate(&self, serial: String, message: InboundMessage) -> Result<Step, ErrorInfo> {
        let (allowed, rules) = (self.caller.operations(self.channel)?, self.caller.rules(self.channel));
        let claim = self.caller.grant().user_claim(self.channel);
        let act = format!("{}:{serial}", message.action.unwrap_or_default());
        let inbound = vec![InboundMessage { serial: Some(serial.clone()), ..message }];
        let (params, identity) = (Params::default(), self.caller.identity());
        let by = operation::By { identity, claim: claim.as_ref(), allowed };
        let operation = operation::check(inbound, &params, by, rules.mutable)?;
        let (key, content) = (self.key(&act)?, Submission::Operation(operation.clone().into()));
        self.caller.require_room(self.channel, &content)?;
        let publish = rpc::Publish { key, connection_id: None, by: self.caller.grant().source(), content };
        let operated = Operated { operation, read: self.read_call(serial) };
        let form = self.form;
        Ok(self.call(rpc::Request::Publish(vec![publish]), move |response| operated.answered(form, response)))
    }
}

impl Sent {
    fn answered(self, form: Form, response: Response) -> Result<Step, ErrorInfo> {
        let (position, epoch) = accepted(response)?;
        let Sent { message, id, read } = self;
        if let Some(mut call) = read {
            if let rpc::Request::Versions(query) = &mut call.request {
                query.serial = position.message_serial(&epoch, 0);
            }
            return Ok(form.call(call, move |response| Ok(Reply { status: 201, ..shown(form, response)? })));
        }
        let entry = Entry { position, id, connection_id: None, content: Content::Messages(vec![message]) };
        Ok(Step::Reply(form.created(&ChatMessage::of(&entry, page_message(&entry, 0, &epoch, form.format)))))
    }
}

impl Operated {
    fn answered(self, form: Form, response: Response) -> Result<Step, ErrorInfo> {
        let (at, _) = accepted(response)?;
        let changed = Changed { operation: self.operation, at };
        Ok(form.call(self.read, move |response| changed.answered(form, response)))
    }
}

impl Changed {
    /// The message as this operation left it, also when another one was done since.
    fn answered(self, form: Form, response: Response) -> Result<Reply, ErrorInfo> {
        let (epoch, mut entry) = one(response)?;
        if entry.version(0).is_none_or(|version| version.position != self.at) {
            entry = revised(entry, &self.operation, self.at);
        }
        Ok(form.ok(&ChatMessage::of(&entry, page_message(&entry, 0, &epoch, form.format))))
    }
}

fn shown(form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    let (epoch, entry) = one(response)?;
    let message = page(&entry, 0, &epoch, form.format);
    let message = message.ok_or_else(|| Code::NotFound.because("this room has no chat message of that serial"))?;
    Ok(form.ok(&message))
}

fn occupancy(form: Form, response: Response) -> Result<Reply, ErrorInfo> {
    let (counts, _) = response.counts().ok_or_else(unanswered)?;
    let counts = counts.occupancy.to_json(rpc::Wanted::ALL);
    let field = |name: &str| (name.to_owned(), counts["metrics"][name].clone());
    let shown: serde_json::Map<_, _> = ["connections", "presenceMembers"].map(field).into_iter().collect();
    Ok(form.ok(&shown))
}

/// The message of an answer.
fn one(response: Response) -> Result<(String, Entry), ErrorInfo> {
    let (page, entries) = page_of(response)?;
    Ok((page.epoch, entries.into_iter().next().ok_or_else(unanswered)?))
}

/// The place that a publish was given, and in which life of the channel.
fn accepted(response: Response) -> Result<(Position, String), ErrorInfo> {
    let published = publish::published(response)?;
    match published.outcomes.into_iter().next() {
        Some(Outcome::Accepted { position, .. }) => Ok((position, published.epoch)),
        Some(Outcome::Refused(error)) => Err(error),
        Some(Outcome::Operated { .. }) | None => Err(unanswered()),
    }
}
