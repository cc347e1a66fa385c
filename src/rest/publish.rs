//! `POST /channels/{channel}/messages`: one publish (protocol.md §§ 8, 12.2, 12.3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::Serialize;

use super::caller::Caller;
use super::form::Form;
use super::{Exchange, Reply, Request, Step, body, unanswered};
use crate::auth::Identity;
use crate::call::{self, Answer, Outcome, Publish, PublishKey, Published, Response, Submission};
use crate::error::{Code, ErrorInfo};
use crate::limits::BODY_MAX_BYTES;
use crate::maps::ordered;
use crate::name::ChannelName;
use crate::publish::{Checked, check};
use crate::wire::inbound::{InboundMessage, Params};
use crate::wire::outbound::serials;

pub fn begin(
    request: &Request,
    channel: &ChannelName,
    caller: &Caller,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    caller.require_publish(channel)?;
    let messages = body::messages(request, BODY_MAX_BYTES)?.into_records();
    let checked = checked(messages, &params(request), caller.identity())?.claimed(caller.user_claim(channel))?;
    let publish = publish(checked, base(random));
    let pending = super::Pending::Publish(Pending { channel: channel.to_string(), id: publish.id() });
    let call = caller.call(channel, call::Request::Publish(vec![publish]));
    Ok(Step::Calls(vec![call], Exchange { form, pending }))
}

/// A publish that its channel has not answered.
pub struct Pending {
    channel: String,
    id: String,
}

impl Pending {
    pub fn answered(self, form: Form, answer: Answer<Response>) -> Result<Reply, ErrorInfo> {
        let receipt = Receipt::of(self.channel, self.id, published(answer).as_ref(), 0)?;
        Ok(form.created(&receipt))
    }
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
    /// Of the publish at `index` of a call.
    pub fn of(
        channel: String,
        message_id: String,
        answer: Result<&Published, &ErrorInfo>,
        index: usize,
    ) -> Result<Receipt, ErrorInfo> {
        let published = answer.map_err(ErrorInfo::clone)?;
        match published.outcomes.get(index) {
            Some(Outcome::Accepted { position, count }) => {
                let serials = serials(*position, &published.series, *count).serials;
                Ok(Receipt { channel, message_id, serials })
            }
            Some(Outcome::Refused(error)) => Err(error.clone()),
            None => Err(unanswered()),
        }
    }
}

pub fn published(answer: Answer<Response>) -> Answer<Published> {
    match answer? {
        Response::Published(published) => Ok(published),
        _ => Err(unanswered()),
    }
}

/// Fails as [`check`] does, and with 40006 for a message on behalf of a connection: whose key is right only its relay
/// knows, and REST does not ask relays yet.
pub fn checked(messages: Vec<InboundMessage>, params: &Params, identity: &Identity) -> Result<Checked, ErrorInfo> {
    if messages.iter().any(|message| message.connection_key.is_some()) {
        return Err(Code::BadConnectionKey.because("this server does not publish on behalf of a connection over REST"));
    }
    check(messages, params, identity)
}

/// Known by the ids that its publisher chose, else by `base`, which is this request's alone: when the call to the channel
/// is repeated, the channel knows it.
pub fn publish(checked: Checked, base: String) -> Publish {
    let key = checked.id.map_or(PublishKey::Request(base), PublishKey::Id);
    Publish { key, connection_id: None, content: Submission::Messages(checked.messages) }
}

pub fn base(random: &[u8; 32]) -> String {
    BASE64URL.encode(&random[..16])
}

pub fn params(request: &Request) -> Params {
    // Reversed, so that the first of a name stays.
    ordered(request.query.iter().rev().cloned())
}
