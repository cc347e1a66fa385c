//! `POST /channels/{channel}/messages`: one publish (protocol.md §§ 8, 12.2, 12.3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Serialize;

use super::caller::Caller;
use super::step::{another_answer, unanswered};
use super::{Asking, Step, message, unenveloped};
use crate::auth::{Identity, Source};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::intake::publish::{Checked, attribute, check};
use crate::model::message::Params;
use crate::model::name::ChannelName;
use crate::protocol::inbound::InboundMessage;
use crate::protocol::outbound::serials;
use crate::rpc::connection_key::ConnectionKey;
use crate::rpc::placement;
use crate::rpc::{
    self, Answer, ChannelCall, Outcome, Publish, PublishKey, Published, RelayName, Response, Speaker, Submission,
};

pub fn begin(
    request: &Request,
    channel: &ChannelName,
    caller: &Caller,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    let messages = unenveloped::messages(request)?;
    if messages.iter().any(InboundMessage::is_operation) {
        return message::begin_operation(messages, &params(request), channel, caller, form, random);
    }
    caller.require_publish(channel)?;
    let key = connection_key(&messages)?;
    // Whom it must come from then, only that connection's relay knows.
    let identity = if key.is_some() { &Identity::Wildcard } else { caller.identity() };
    let claim = caller.grant().user_claim(channel);
    let checked = check(messages, &params(request), identity)?.claimed(claim.as_ref())?;
    let publish = publish(checked, base(random), caller.grant().source());
    caller.require_room(channel, &publish.content)?;
    let receipt = receipt(channel, &publish, form);
    let mut call = caller.call(channel, rpc::Request::Publish(vec![publish]));
    let Some(key) = key else { return Ok(form.call(call, receipt)) };
    ConnectionKey::claimed(&key).ok_or(Code::BadConnectionKey)?;
    let holder = placement::holder(&call.to.app, &key, &caller.grant().capability);
    let relays = holder.into_iter().chain([RelayName::of_channel(&call.to)]).collect();
    let identity = caller.identity().clone();
    let speak = move |answer: Answer<Response>| {
        let Response::Speaker(speaker) = answer? else { return Err(another_answer()) };
        attribute_to(&speaker, &identity, &mut call)?;
        Ok(form.call(call, receipt))
    };
    Ok(Step::Identify(Asking { key, relays }, form.then(speak)))
}

/// Answers a publish, once its channel has, with its receipt.
pub fn receipt(
    channel: &ChannelName,
    publish: &Publish,
    form: Form,
) -> impl FnOnce(Response) -> Result<Reply, ErrorInfo> + use<> {
    let (channel, id) = (channel.to_string(), publish.id());
    move |response| Ok(form.created(&Receipt::of(channel, id, &published(response)?, 0)?))
}

/// On behalf of which connection the messages are, if of any.
fn connection_key(messages: &[InboundMessage]) -> Result<Option<String>, ErrorInfo> {
    let key = messages.first().and_then(|message| message.connection_key.as_ref());
    match messages.iter().all(|message| message.connection_key.as_ref() == key) {
        true => Ok(key.cloned()),
        false => {
            Err(Code::BadConnectionKey.because("all messages of a publish come from one connection, or none does"))
        }
    }
}

/// Puts a publish in the name of a connection that was found (protocol.md § 12.3). Fails with 40102 when who asks may
/// not be its client, with 40012 for a message of somebody else, and with 40009 when there is no room for its clientId.
fn attribute_to(speaker: &Speaker, identity: &Identity, call: &mut ChannelCall) -> Result<(), ErrorInfo> {
    let identity = identity.on_behalf(&speaker.client_id)?;
    if let rpc::Request::Publish(publishes) = &mut call.request {
        for publish in publishes {
            publish.connection_id = Some(speaker.connection_id.clone());
            attribute(publish, &identity)?;
        }
    }
    Ok(())
}

/// What a publisher is told of a publish that is in the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    channel: String,
    message_id: String,
    serials: Vec<String>,
}

impl Receipt {
    pub fn into_serials(self) -> Vec<String> {
        self.serials
    }

    /// Of the publish at `index` of a call.
    pub fn of(channel: String, message_id: String, published: &Published, index: usize) -> Result<Receipt, ErrorInfo> {
        match published.outcomes.get(index) {
            Some(Outcome::Accepted { position, count }) => {
                let serials = serials(*position, &published.epoch, *count).serials;
                Ok(Receipt { channel, message_id, serials })
            }
            Some(Outcome::Refused(error)) => Err(error.clone()),
            Some(Outcome::Operated { .. }) | None => Err(unanswered()),
        }
    }
}

pub fn published(response: Response) -> Answer<Published> {
    match response {
        Response::Published(published) => Ok(published),
        _ => Err(unanswered()),
    }
}

/// Known by the ids that its publisher chose, else by `base`, which is this request's alone: when the call to the
/// channel is repeated, the channel knows it.
pub fn publish(checked: Checked, base: String, by: Source) -> Publish {
    let key = checked.id.map_or(PublishKey::Request(base), PublishKey::Id);
    Publish { key, connection_id: None, by, content: Submission::Messages(checked.messages) }
}

pub fn base(random: &[u8; 32]) -> String {
    BASE64URL.encode(&random[..16])
}

pub fn params(request: &Request) -> Params {
    // Reversed, so that the first of a name stays.
    request.query.iter().rev().cloned().collect()
}
