//! What a delivery needs before it is tried: the request that a recipient becomes, and what an answer to it means.

use super::outbox::{Push, Surroundings, To, WebPush};
use super::registry::check_address;
use super::store::{Store, StoreError, Waiting};
use super::transport::{Permit, Sender, Standing, Transport, Verdict};
use super::web::{self, VapidKeys};
use super::{Outcome, apns};
use crate::auth::{Credentials, Operations, Presented, Secret, Surface};
use crate::base::pinned;
use crate::error::{Code, ErrorInfo};
use crate::limits::WEB_PUSH_MAX_BYTES;
use crate::model::data::Data;
use crate::model::message::Message;
use crate::model::name::{AppId, ChannelName};
use crate::push::recipient::WebRecipient;
use crate::push::{Payload, Recipient, State, hash};
use crate::rpc::{self, Address, ChannelCall, Publish, PublishKey, PushTarget, Rules, Submission};

/// What the message of a recipient that is a channel is called.
const CHANNEL_MESSAGE_NAME: &str = "__ably_push__";

/// The longest that a topic may be.
const TOPIC_CHARS: usize = 32;

/// What is to become of a delivery that is due.
pub enum Prepared {
    Send(To, Via),
    /// A token for this is being got.
    Held(Transport),
    /// There is nobody to deliver to any more.
    Nobody,
    /// By the name of its transport, if that is known.
    Judged(&'static str, Verdict),
}

impl Via {
    pub fn transport(&self) -> &'static str {
        match self {
            Via::Web => "web",
            Via::Channel => "ablyChannel",
            Via::Authorising { transport, .. } | Via::Sent { transport, .. } => transport.name(),
        }
    }
}

/// How a delivery is on its way: what its outcome has to be read by.
#[derive(Clone, Debug, PartialEq)]
pub enum Via {
    Web,
    Channel,
    /// Not yet: its token is got first, of the credentials with this hash.
    Authorising {
        transport: Transport,
        of: String,
        is_second: bool,
    },
    /// With the token of this hash.
    Sent {
        transport: Transport,
        token: String,
        is_second: bool,
    },
}

/// The request of a delivery.
pub fn prepare(
    store: &mut impl Store,
    delivery: &Waiting,
    around: &Surroundings<'_>,
    is_authorising: impl Fn(Transport) -> bool,
) -> Result<Prepared, StoreError> {
    let Some(push) = store.push(&delivery.push)? else { return Ok(Prepared::Nobody) };
    let push: Push = pinned::decode(&push)?;
    let recipient = match &push.target {
        PushTarget::Recipient(text) => text.clone(),
        _ => match store.device(&delivery.device)? {
            Some(device) if around.bars(device.client_id.as_deref(), &push.target) => return Ok(Prepared::Nobody),
            Some(device) if !matches!(device.state, State::Failed(_)) => device.recipient,
            _ => return Ok(Prepared::Nobody),
        },
    };
    let id = format!("{}:{}", delivery.push, delivery.id);
    let read = Payload::parse(&push.payload).and_then(|payload| Ok((payload, Recipient::parse(&recipient)?)));
    let transport = read.as_ref().map_or("", |(_, recipient)| recipient.transport());
    let prepared = match read {
        Ok((payload, Recipient::Web(web))) => {
            let keys = store.vapid()?.map(|bytes| pinned::decode::<VapidKeys>(&bytes)).transpose()?;
            let web = check_address(&recipient, around.settings).and_then(|()| web_push(web, &payload, keys, around));
            web.map(|web| Prepared::Send(To::Web(Box::new(web)), Via::Web))
        }
        Ok((payload, Recipient::Channel { channel, key })) => {
            let call = channel_call((&push.app, &channel), &key, &payload, id, around);
            call.map(|call| Prepared::Send(To::Channel(Box::new(call)), Via::Channel))
        }
        Ok((payload, Recipient::Fcm(token))) => {
            let message = (Transport::Fcm, token.as_str(), &payload, id.as_str());
            with_token(store, &push.app, message, around, is_authorising)?
        }
        Ok((payload, Recipient::Apns(token))) => {
            let message = (Transport::Apns, token.as_str(), &payload, id.as_str());
            with_token(store, &push.app, message, around, is_authorising)?
        }
        Err(error) => Err(error),
    };
    Ok(prepared.unwrap_or_else(|error| match error.is(Code::PushGone) {
        true => Prepared::Judged(transport, Verdict::Gone(error)),
        false => Prepared::Judged(transport, Verdict::Lost(error)),
    }))
}

/// The request of a service that has to be shown a token, or the one that gets it.
fn with_token(
    store: &mut impl Store,
    app: &AppId,
    (transport, recipient, payload, id): (Transport, &str, &Payload, &str),
    around: &Surroundings<'_>,
    is_authorising: impl Fn(Transport) -> bool,
) -> Result<Result<Prepared, ErrorInfo>, StoreError> {
    let Some(app) = (around.app)(app) else { return Ok(Err(Code::BadCredentials.into())) };
    if let Err(error) = transport.check(&app) {
        return Ok(Err(error));
    }
    let of = transport.fingerprint(app.push());
    let permit = permit(store, transport)?.filter(|permit| permit.of == of);
    let is_second = permit.as_ref().is_some_and(Permit::is_doubtful);
    Ok(match permit.map(|permit| permit.standing) {
        Some(Standing::Granted { token, until_ms, is_second }) if until_ms > around.now_ms => {
            let sender = Sender { app: &app, token: &token, id, now_ms: around.now_ms };
            let post = transport.post(recipient, payload, &sender, around.settings);
            let via = Via::Sent { transport, token: hash(&token), is_second };
            post.map(|post| Prepared::Send(To::Post(Box::new(post)), via))
        }
        Some(Standing::Refused { error, until_ms, may_pass }) if until_ms > around.now_ms => {
            let verdict = if may_pass { Verdict::Again(error, None) } else { Verdict::Refused(error) };
            Ok(Prepared::Judged(transport.name(), verdict))
        }
        _ if is_authorising(transport) => Ok(Prepared::Held(transport)),
        _ => transport.authorise(&app, around.settings, around.now_ms).map(|authorise| {
            Prepared::Send(To::Authorise(Box::new(authorise)), Via::Authorising { transport, of, is_second })
        }),
    })
}

/// What is known of the service's token.
pub fn permit(store: &mut impl Store, transport: Transport) -> Result<Option<Permit>, StoreError> {
    Ok(store.permit(transport.name())?.map(|bytes| pinned::decode(&bytes)).transpose()?)
}

/// Fails with 103004 for a message that is too long, and with 103008 when the browser subscribed for another sender.
fn web_push(
    recipient: WebRecipient,
    payload: &Payload,
    keys: Option<VapidKeys>,
    around: &Surroundings<'_>,
) -> Result<WebPush, ErrorInfo> {
    let keys = keys.filter(|keys| keys.public_text() == recipient.vapid_key).ok_or_else(|| {
        Code::PushBadCredentials.because("the browser subscribed for another publicVapidKey than this app's")
    })?;
    let message = payload.web(WEB_PUSH_MAX_BYTES).ok_or_else(|| {
        Code::PushRejected.because(format!("a notification for a browser has at most {WEB_PUSH_MAX_BYTES} bytes"))
    })?;
    let contact = around.settings.contact.as_deref().unwrap_or(&keys.contact);
    let statement = web::statement(&recipient.endpoint.origin, contact, around.now_ms);
    let topic = payload.collapse_key().map(|key| hash(key)[..TOPIC_CHARS].to_owned());
    Ok(WebPush { recipient, message, topic, statement, keys })
}

/// Fails as the credentials do, and with 40160 when they do not allow it.
fn channel_call(
    (app, channel): (&AppId, &ChannelName),
    key: &Secret,
    payload: &Payload,
    id: String,
    around: &Surroundings<'_>,
) -> Result<ChannelCall, ErrorInfo> {
    let query = [("key".to_owned(), key.expose().to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Rest)?;
    let app = (around.app)(app).ok_or(Code::BadCredentials)?;
    let grant = credentials.verify(Some(&app), around.now_ms)?;
    if !grant.permits(channel, Operations::PUBLISH) {
        return Err(Code::NotPermitted.because("the recipient's ablyKey does not allow to publish on its channel"));
    }
    let message =
        Message { name: Some(CHANNEL_MESSAGE_NAME.to_owned()), data: Data::Text(payload.text()), ..Message::default() };
    let content = Submission::Messages(vec![message]);
    let publish = Publish { key: PublishKey::Request(id), connection_id: None, by: grant.source(), content };
    let to = Address { app: app.id().clone(), channel: channel.owner() };
    Ok(ChannelCall { to, rules: Rules::on(&app, channel), request: rpc::Request::Publish(vec![publish]) })
}

/// Whether deliveries there can be tried at all.
pub fn check_recipient(text: &str, app: &AppId, around: &Surroundings<'_>) -> Result<(), ErrorInfo> {
    check_address(text, around.settings)?;
    match Recipient::parse(text)? {
        Recipient::Fcm(_) => configured(Transport::Fcm, app, around),
        Recipient::Apns(token) => {
            configured(Transport::Apns, app, around)?;
            apns::check_token(&token).map_err(|error| Code::BadRequest.because(error.message))
        }
        Recipient::Channel { channel, key } => {
            let nothing = Payload::parse(r#"{"data":{}}"#)?;
            channel_call((app, &channel), &key, &nothing, String::new(), around).map(drop)
        }
        Recipient::Web(_) => Ok(()),
    }
}

fn configured(transport: Transport, app: &AppId, around: &Surroundings<'_>) -> Result<(), ErrorInfo> {
    transport.check(&*(around.app)(app).ok_or(Code::BadCredentials)?)
}

/// What an outcome means where there are no tokens: of Web Push, and of channels.
pub fn verdict(outcome: Outcome) -> Verdict {
    let refused = |code: Code, status: u16| code.because(format!("the push service answered {status}"));
    match outcome {
        Outcome::Unreachable => Verdict::Again(Code::PushUnreachable.into(), None),
        Outcome::Channel(Ok(rpc::Response::Published(published))) => match published.outcomes.into_iter().next() {
            Some(rpc::Outcome::Refused(error)) => of_channel(error),
            _ => Verdict::Done,
        },
        Outcome::Channel(Ok(_)) | Outcome::Answered(_) | Outcome::Signed(_) | Outcome::BadKey => {
            Verdict::Again(Code::PushUnreachable.into(), None)
        }
        Outcome::Channel(Err(error)) => of_channel(error),
        Outcome::Status { status, retry_after_s } => match status {
            200..300 => Verdict::Done,
            404 | 410 => Verdict::Gone(refused(Code::PushGone, status)),
            401 | 403 => Verdict::Lost(refused(Code::PushBadCredentials, status)),
            408 | 429 | 500.. => {
                let after_ms = retry_after_s.map(|seconds| seconds.saturating_mul(1_000));
                Verdict::Again(refused(Code::PushUnreachable, status), after_ms)
            }
            _ => Verdict::Lost(refused(Code::PushRejected, status)),
        },
    }
}

fn of_channel(error: ErrorInfo) -> Verdict {
    match error.status_code {
        429 | 500.. => Verdict::Again(error, None),
        _ => Verdict::Lost(error),
    }
}
