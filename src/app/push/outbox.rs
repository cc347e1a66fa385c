//! What waits to be delivered: each push until every device that it reaches has got it, or never will (protocol.md §
//! 20.5).
//!
//! A push is durable before it is accepted. It is spread into deliveries a step at a time, as these make room, so that
//! one to a large channel costs no more memory than one to a device. A delivery under way has a lease in storage: if
//! the object ends meanwhile, another is made when the lease is over. So each device gets a push once at least.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::registry::check_address;
use super::store::{Store, StoreError, Waiting};
use super::web::{self, VapidKeys};
use crate::auth::{App, Credentials, Operations, Presented, Secret, Surface};
use crate::base::pinned::{self, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    PUSH_DELAY_MS, PUSH_EXPAND_STEP, PUSH_IN_FLIGHT_MAX, PUSH_LEASE_MS, PUSH_RETRY_AFTER_MAX_MS, PUSH_RETRY_MS,
    PUSH_SENDS_MAX, PUSHES_WAITING_MAX, WEB_PUSH_MAX_BYTES,
};
use crate::model::data::Data;
use crate::model::message::Message;
use crate::model::name::{AppId, ChannelName};
use crate::push::recipient::WebRecipient;
use crate::push::{Payload, Recipient, State, hash};
use crate::rpc::{
    self, Address, Answer, ChannelCall, ChannelPush, DirectPush, Publish, PublishKey, PushTarget, Rules, Submission,
};

/// What the message of a recipient that is a channel is called.
const CHANNEL_MESSAGE_NAME: &str = "__ably_push__";

/// The longest that a topic may be.
const TOPIC_CHARS: usize = 32;

/// A push, as it is stored.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Push {
    app: AppId,
    target: PushTarget,
    payload: String,
    /// The client and device that deliveries are made up to; no client for those that subscribe themselves.
    reached: (String, String),
}

impl Versioned for Push {
    const VERSION: u8 = 1;
}

/// What deliveries depend on besides what is stored with them.
pub struct Surroundings<'a> {
    pub settings: &'a Settings,
    /// An app as it is configured now; `None` when it is no more.
    pub app: &'a dyn Fn(&AppId) -> Option<Rc<App>>,
    pub now_ms: u64,
}

/// Make this request, and tell [`Outbox::tried`] how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub delivery: Waiting,
    pub to: To,
}

#[derive(Clone, Debug, PartialEq)]
pub enum To {
    Web(Box<WebPush>),
    Channel(Box<ChannelCall>),
}

/// A message for a browser, to be encrypted, signed and posted.
#[derive(Clone, Debug, PartialEq)]
pub struct WebPush {
    pub recipient: WebRecipient,
    pub message: String,
    /// Replaces what waits under the same.
    pub topic: Option<String>,
    /// To be signed.
    pub statement: String,
    pub keys: VapidKeys,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// What a push service answered.
    Status { status: u16, retry_after_s: Option<u64> },
    /// What a channel did.
    Channel(Answer<rpc::Response>),
    /// No answer came.
    Unreachable,
}

/// What an outcome means for a delivery.
#[derive(Debug, PartialEq)]
enum Verdict {
    Done,
    /// Not before that time, if the service says one.
    Again(ErrorInfo, Option<u64>),
    /// It won't be delivered; another one may be.
    Lost(ErrorInfo),
    /// Nothing will be delivered there any more.
    Gone(ErrorInfo),
}

#[derive(Debug)]
pub struct Outbox {
    /// How many there are, unless that has to be counted.
    pushes: Option<usize>,
    sends: Option<usize>,
    /// Deliveries that the platform is making, and when their leases end: at most [`PUSH_IN_FLIGHT_MAX`].
    in_flight: Vec<(u64, u64)>,
    due_at_ms: Option<u64>,
    /// Pushes that were done since they were last asked for.
    done: Vec<String>,
}

impl Outbox {
    pub fn load(store: &mut impl Store) -> Result<Outbox, StoreError> {
        let due_at_ms = if store.unspread()?.is_some() { Some(0) } else { store.next_send()? };
        Ok(Outbox { pushes: None, sends: None, in_flight: Vec::new(), due_at_ms, done: Vec::new() })
    }

    /// When [`Outbox::tick`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        self.due_at_ms
    }

    /// The pushes that are done, each told once.
    pub fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    /// Fails with 40000 for a recipient that there is not, with 40101 or 40160 for a channel whose key is not good,
    /// with 103006 where credentials are missing, and with 42910 when too much waits.
    pub fn accept(
        &mut self,
        store: &mut impl Store,
        app: &AppId,
        push: &DirectPush,
        around: &Surroundings<'_>,
    ) -> Result<Answer<()>, StoreError> {
        if let PushTarget::Device(id) = &push.target
            && store.device(id)?.is_none()
        {
            return Ok(Err(Code::BadRequest.because("there is no device of this id")));
        }
        if let PushTarget::Recipient(text) = &push.target
            && let Err(error) = check_recipient(text, app, around)
        {
            return Ok(Err(error));
        }
        self.add(store, &push.key, (app, push.target.clone()), &push.payload, around.now_ms)
    }

    /// What was published on a channel.
    pub fn said(
        &mut self,
        store: &mut impl Store,
        app: &AppId,
        said: &ChannelPush,
        now_ms: u64,
    ) -> Result<Answer<()>, StoreError> {
        let target = PushTarget::Channel(said.channel.clone());
        self.add(store, &said.key, (app, target), &said.payload, now_ms)
    }

    fn add(
        &mut self,
        store: &mut impl Store,
        key: &str,
        (app, target): (&AppId, PushTarget),
        payload: &str,
        now_ms: u64,
    ) -> Result<Answer<()>, StoreError> {
        let count = self.pushes.map_or_else(|| store.count_pushes(), Ok)?;
        if count >= PUSHES_WAITING_MAX {
            return Ok(Err(Code::RateLimited.because("too many pushes wait to be delivered; try again later")));
        }
        let push = Push { app: app.clone(), target, payload: payload.to_owned(), reached: Default::default() };
        let is_new = store.add_push(key, &pinned::encode(&push))?;
        self.pushes = Some(count + usize::from(is_new));
        self.due_at_ms = Some(now_ms);
        Ok(Ok(()))
    }

    /// Takes the next steps that are due.
    pub fn tick(&mut self, store: &mut impl Store, around: &Surroundings<'_>) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = Vec::new();
        if self.due_at_ms.is_none_or(|due_ms| due_ms > around.now_ms) {
            return Ok(attempts);
        }
        let spreads = self.spread(store, around.now_ms)?;
        // Whatever becomes of one whose lease is over, it is in nobody's way.
        self.in_flight.retain(|(_, until_ms)| *until_ms > around.now_ms);
        let room = PUSH_IN_FLIGHT_MAX.saturating_sub(self.in_flight.len());
        for delivery in store.due_sends(around.now_ms, room)? {
            match prepare(store, &delivery, around)? {
                Ok(Some(to)) => {
                    let until_ms = around.now_ms + PUSH_LEASE_MS;
                    store.save_send(delivery.id, delivery.tries, until_ms)?;
                    self.in_flight.push((delivery.id, until_ms));
                    attempts.push(Attempt { delivery, to });
                }
                Ok(None) => self.end(store, &delivery)?,
                Err(error) => self.judge(store, &delivery, Verdict::Lost(error), around.now_ms)?,
            }
        }
        self.plan(store, spreads, around.now_ms)?;
        Ok(attempts)
    }

    /// How an attempt went.
    pub fn tried(
        &mut self,
        store: &mut impl Store,
        delivery: &Waiting,
        outcome: Outcome,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.in_flight.retain(|(id, _)| *id != delivery.id);
        self.judge(store, delivery, verdict(outcome), now_ms)?;
        // There is room for another.
        self.due_at_ms = Some(now_ms);
        Ok(())
    }

    /// Makes the next deliveries of the oldest push, if there is room. Says whether there are more to make.
    fn spread(&mut self, store: &mut impl Store, now_ms: u64) -> Result<bool, StoreError> {
        let count = self.sends.map_or_else(|| store.count_sends(), Ok)?;
        let Some((key, bytes)) = store.unspread()?.filter(|_| count + PUSH_EXPAND_STEP <= PUSH_SENDS_MAX) else {
            self.sends = Some(count);
            return Ok(false);
        };
        let push: Push = pinned::decode(&bytes)?;
        let reached = reach(store, &push)?;
        for (_, device) in &reached {
            store.add_send(&key, device, now_ms + PUSH_DELAY_MS)?;
        }
        self.sends = Some(count + reached.len());
        let is_spread = reached.len() < PUSH_EXPAND_STEP;
        let reached = reached.into_iter().next_back().unwrap_or(push.reached);
        store.save_push(&key, &pinned::encode(&Push { reached, ..push }), is_spread)?;
        self.end_push(store, &key)?;
        Ok(store.unspread()?.is_some())
    }

    fn judge(
        &mut self,
        store: &mut impl Store,
        delivery: &Waiting,
        verdict: Verdict,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let tries = delivery.tries + 1;
        let (state, again_ms) = match verdict {
            Verdict::Done => (State::Active, None),
            Verdict::Lost(error) => (State::Failing(error), None),
            Verdict::Gone(error) => (State::Failed(error), None),
            Verdict::Again(error, after_ms) => match PUSH_RETRY_MS.get(delivery.tries as usize) {
                Some(pause_ms) => {
                    let pause_ms = after_ms.unwrap_or(0).min(PUSH_RETRY_AFTER_MAX_MS).max(*pause_ms);
                    (State::Failing(error), Some(now_ms + pause_ms))
                }
                None => {
                    let why = format!("it could not be delivered in {tries} tries: {}", error.message);
                    (State::Failing(Code::PushRetriesExhausted.because(why)), None)
                }
            },
        };
        if let Some(mut device) = store.device(&delivery.device)?
            && device.note(state)
        {
            store.save_device(&device)?;
        }
        match again_ms {
            Some(at_ms) => store.save_send(delivery.id, tries, at_ms),
            None => self.end(store, delivery),
        }
    }

    fn end(&mut self, store: &mut impl Store, delivery: &Waiting) -> Result<(), StoreError> {
        store.remove_send(delivery.id)?;
        self.sends = self.sends.and_then(|count| count.checked_sub(1));
        self.end_push(store, &delivery.push)
    }

    fn end_push(&mut self, store: &mut impl Store, key: &str) -> Result<(), StoreError> {
        if store.end_push(key)? {
            self.pushes = self.pushes.and_then(|count| count.checked_sub(1));
            self.done.push(key.to_owned());
        }
        Ok(())
    }

    fn plan(&mut self, store: &mut impl Store, spreads: bool, now_ms: u64) -> Result<(), StoreError> {
        self.due_at_ms = match self.in_flight.len() >= PUSH_IN_FLIGHT_MAX {
            _ if spreads => Some(now_ms),
            // Each of them makes room when it is over, at the end of its lease at the latest.
            true => self.in_flight.iter().map(|(_, until_ms)| *until_ms).min(),
            false => store.next_send()?,
        };
        Ok(())
    }
}

/// The next devices that a push reaches, as clients and devices. A recipient that is none has no name.
fn reach(store: &mut impl Store, push: &Push) -> Result<Vec<(String, String)>, StoreError> {
    let (client, device) = &push.reached;
    let limit = PUSH_EXPAND_STEP;
    match &push.target {
        PushTarget::Recipient(_) => Ok(vec![Default::default()]),
        PushTarget::Device(id) => Ok(vec![(String::new(), id.clone())]),
        PushTarget::Client(id) => {
            let query = rpc::DevicesQuery {
                client_id: Some(id.clone()),
                after: device.clone(),
                limit,
                ..rpc::DevicesQuery::default()
            };
            Ok(store.devices(&query)?.into_iter().map(|device| (String::new(), device.id)).collect())
        }
        PushTarget::Channel(channel) => {
            let mut reached = Vec::new();
            if client.is_empty() {
                let direct = store.direct(channel, device, limit)?;
                reached.extend(direct.into_iter().map(|device| (String::new(), device)));
            }
            if reached.len() < limit {
                let after = if client.is_empty() { ("", "") } else { (client.as_str(), device.as_str()) };
                reached.extend(store.by_client(channel, after, limit - reached.len())?);
            }
            Ok(reached)
        }
    }
}

/// The request of a delivery. `None` when there is nobody to deliver to any more.
fn prepare(
    store: &mut impl Store,
    delivery: &Waiting,
    around: &Surroundings<'_>,
) -> Result<Result<Option<To>, ErrorInfo>, StoreError> {
    let Some(push) = store.push(&delivery.push)? else { return Ok(Ok(None)) };
    let push: Push = pinned::decode(&push)?;
    let recipient = match &push.target {
        PushTarget::Recipient(text) => text.clone(),
        _ => match store.device(&delivery.device)? {
            Some(device) if !matches!(device.state, State::Failed(_)) => device.recipient,
            _ => return Ok(Ok(None)),
        },
    };
    let keys = store.vapid()?.map(|bytes| pinned::decode::<VapidKeys>(&bytes)).transpose()?;
    let to = Payload::parse(&push.payload).and_then(|payload| match Recipient::parse(&recipient)? {
        Recipient::Web(web) => {
            check_address(&recipient, around.settings)?;
            web_push(web, &payload, keys, around).map(|web| To::Web(Box::new(web)))
        }
        Recipient::Channel { channel, key } => {
            let id = format!("{}:{}", delivery.push, delivery.id);
            channel_call((&push.app, &channel), &key, &payload, id, around).map(|call| To::Channel(Box::new(call)))
        }
        Recipient::Fcm | Recipient::Apns => Err(not_configured()),
    });
    Ok(to.map(Some))
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
fn check_recipient(text: &str, app: &AppId, around: &Surroundings<'_>) -> Result<(), ErrorInfo> {
    check_address(text, around.settings)?;
    match Recipient::parse(text)? {
        Recipient::Fcm | Recipient::Apns => Err(not_configured()),
        Recipient::Channel { channel, key } => {
            let nothing = Payload::parse(r#"{"data":{}}"#)?;
            channel_call((app, &channel), &key, &nothing, String::new(), around).map(drop)
        }
        Recipient::Web(_) => Ok(()),
    }
}

fn not_configured() -> ErrorInfo {
    Code::PushNotConfigured.because("this server has no credentials for FCM or APNs, and delivers by Web Push only")
}

fn verdict(outcome: Outcome) -> Verdict {
    let refused = |code: Code, status: u16| code.because(format!("the push service answered {status}"));
    match outcome {
        Outcome::Unreachable => Verdict::Again(Code::PushUnreachable.into(), None),
        Outcome::Channel(Ok(rpc::Response::Published(published))) => match published.outcomes.into_iter().next() {
            Some(rpc::Outcome::Refused(error)) => of_channel(error),
            _ => Verdict::Done,
        },
        Outcome::Channel(Ok(_)) => Verdict::Again(Code::PushUnreachable.into(), None),
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
