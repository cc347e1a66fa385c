//! What waits to be delivered: each push until every device that it reaches has got it, or never will (protocol.md §
//! 20.5).
//!
//! A push is durable before it is accepted. It is spread into deliveries a step at a time, as these make room, so that
//! one to a large channel costs no more memory than one to a device. A delivery under way has a lease in storage: if
//! the object ends meanwhile, another is made when the lease is over. So each device gets a push once at least.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::preparing::{self, Prepared, Via, check_recipient, prepare, verdict};
use super::store::{Store, StoreError, Waiting};
use super::transport::{Answered, Authorise, Authorised, Permit, Post, Standing, Transport, Verdict};
use super::web::VapidKeys;
use crate::auth::{App, Bans};
use crate::base::pinned::{self, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    PUSH_DELAY_MS, PUSH_EXPAND_STEP, PUSH_IN_FLIGHT_MAX, PUSH_LEASE_MS, PUSH_REFUSED_MS, PUSH_RETRY_AFTER_MAX_MS,
    PUSH_RETRY_MS, PUSH_SENDS_MAX, PUSH_TOKEN_RETRY_MS, PUSHES_WAITING_MAX,
};
use crate::model::name::{AppId, ChannelName};
use crate::push::recipient::WebRecipient;
use crate::push::{State, hash};
use crate::rpc::{self, Answer, ChannelCall, ChannelPush, DirectPush, PushTarget};
use crate::stats::PushOutcome;

/// A push, as it is stored.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Push {
    pub app: AppId,
    pub target: PushTarget,
    pub payload: String,
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
    pub bans: &'a Bans,
    pub now_ms: u64,
}

impl Surroundings<'_> {
    /// Whether a client is banned, or from the channel of which it would be told. Takes a look by its name, however
    /// many bans there are.
    pub(super) fn bars(&self, client: Option<&str>, target: &PushTarget) -> bool {
        let channel = match target {
            PushTarget::Channel(name) => ChannelName::parse(name).ok(),
            _ => None,
        };
        client.is_some_and(|client| self.bans.of(client, channel.as_ref(), self.now_ms).is_some())
    }
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
    Post(Box<Post>),
    /// The token for another.
    Authorise(Box<Authorise>),
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
    /// What the push service of a browser answered.
    Status { status: u16, retry_after_s: Option<u64> },
    /// What another push service answered, or a token endpoint.
    Answered(Answered),
    /// A statement that needs no exchange, with its signature.
    Signed(String),
    /// The private key could not be used.
    BadKey,
    /// What a channel did.
    Channel(Answer<rpc::Response>),
    /// No answer came.
    Unreachable,
}

#[derive(Debug)]
struct Flight {
    delivery: Waiting,
    /// The end of its lease.
    until_ms: u64,
    via: Via,
}

#[derive(Debug)]
pub struct Outbox {
    /// How many there are, unless that has to be counted.
    pushes: Option<usize>,
    sends: Option<usize>,
    /// Deliveries that the platform is making: at most [`PUSH_IN_FLIGHT_MAX`].
    in_flight: Vec<Flight>,
    /// Deliveries that wait for a token that is being got, and for the end of their leases at the latest. At most
    /// [`PUSH_SENDS_MAX`], as all that wait.
    held: Vec<(Transport, Waiting)>,
    due_at_ms: Option<u64>,
    /// Pushes that were done since they were last asked for.
    done: Vec<String>,
    /// Attempts since they were last asked for, for the statistics.
    counted: Vec<(&'static str, PushOutcome)>,
}

impl Outbox {
    pub fn load(store: &mut impl Store) -> Result<Outbox, StoreError> {
        let due_at_ms = if store.unspread()?.is_some() { Some(0) } else { store.next_send()? };
        Ok(Outbox {
            pushes: None,
            sends: None,
            in_flight: Vec::new(),
            held: Vec::new(),
            due_at_ms,
            done: Vec::new(),
            counted: Vec::new(),
        })
    }

    /// When [`Outbox::tick`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        self.due_at_ms
    }

    /// The pushes that are done, each told once.
    pub fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    /// How attempts went, by their transports, each told once.
    pub fn counted(&mut self) -> Vec<(&'static str, PushOutcome)> {
        std::mem::take(&mut self.counted)
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
        let spreads = self.spread(store, around)?;
        let is_over = |flight: &Flight| flight.until_ms <= around.now_ms;
        let over: Vec<Waiting> =
            self.in_flight.iter().filter(|flight| is_over(flight)).map(|flight| flight.delivery.clone()).collect();
        for delivery in over {
            self.tried(store, &delivery, Outcome::Unreachable, around.now_ms)?;
        }
        self.release(store, around.now_ms)?;
        let room = PUSH_IN_FLIGHT_MAX.saturating_sub(self.in_flight.len());
        for delivery in store.due_sends(around.now_ms, room)? {
            let until_ms = around.now_ms + PUSH_LEASE_MS;
            match prepare(store, &delivery, around, |transport| self.is_authorising(transport))? {
                Prepared::Send(to, via) => {
                    store.save_send(delivery.id, delivery.tries, until_ms)?;
                    self.in_flight.push(Flight { delivery: delivery.clone(), until_ms, via });
                    attempts.push(Attempt { delivery, to });
                }
                Prepared::Held(transport) => {
                    store.save_send(delivery.id, delivery.tries, until_ms)?;
                    self.held.push((transport, delivery));
                }
                Prepared::Nobody => self.end(store, &delivery)?,
                Prepared::Judged(transport, verdict) => {
                    self.judge(store, &delivery, (transport, verdict), around.now_ms)?;
                }
            }
        }
        self.plan(store, spreads, around.now_ms)?;
        Ok(attempts)
    }

    /// How an attempt went. One whose lease ended before that was a try in vain: it may be over, and its id another's.
    pub fn tried(
        &mut self,
        store: &mut impl Store,
        delivery: &Waiting,
        outcome: Outcome,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let index = self.in_flight.iter().position(|flight| flight.delivery == *delivery);
        let via = index.map(|index| self.in_flight.swap_remove(index).via);
        // There is room for another.
        self.due_at_ms = Some(now_ms);
        if store.send(delivery.id)?.is_none_or(|known| known != *delivery) {
            return Ok(());
        }
        // Of one that nothing is known of any more, the outcome says it.
        let usual = if matches!(outcome, Outcome::Channel(_)) { Via::Channel } else { Via::Web };
        let transport = via.as_ref().unwrap_or(&usual).transport();
        let verdict = match via {
            Some(Via::Authorising { transport, of, is_second }) => {
                let got = transport.authorised(outcome, now_ms);
                self.authorised(store, transport, (of, is_second), got, now_ms)?
            }
            Some(Via::Sent { transport, token, is_second }) => {
                let verdict = transport.verdict(outcome);
                sent(store, transport, (&token, is_second), verdict, now_ms)?
            }
            // It is tried again when its lease is over.
            None if matches!(outcome, Outcome::Answered(_) | Outcome::Signed(_) | Outcome::BadKey) => return Ok(()),
            None | Some(Via::Web | Via::Channel) => verdict(outcome),
        };
        self.judge(store, delivery, (transport, verdict), now_ms)?;
        self.release(store, now_ms)
    }

    /// Keeps what came of asking for a token: with one the delivery goes on.
    fn authorised(
        &mut self,
        store: &mut impl Store,
        transport: Transport,
        (of, is_second): (String, bool),
        got: Authorised,
        now_ms: u64,
    ) -> Result<Verdict, StoreError> {
        let (permit, verdict) = match got {
            Ok(token) => (Permit::granted(of, token, is_second), Verdict::Next),
            Err(Verdict::Again(error, after_ms)) => {
                let pause_ms = after_ms.unwrap_or(0).clamp(PUSH_TOKEN_RETRY_MS, PUSH_RETRY_AFTER_MAX_MS);
                (Permit::refused(of, error.clone(), true, now_ms + pause_ms), Verdict::Again(error, after_ms))
            }
            Err(verdict) => (Permit::refused(of, verdict.error(), false, now_ms + PUSH_REFUSED_MS), verdict),
        };
        store.save_permit(transport.name(), &pinned::encode(&permit))?;
        Ok(verdict)
    }

    fn is_authorising(&self, transport: Transport) -> bool {
        let of = |via: &Via| matches!(via, Via::Authorising { transport: own, .. } if *own == transport);
        self.in_flight.iter().any(|flight| of(&flight.via))
    }

    /// Lets those go on that wait for what nobody is getting any more.
    fn release(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        for transport in Transport::ALL {
            if !self.is_authorising(transport) {
                for (_, held) in self.held.extract_if(.., |(of, _)| *of == transport) {
                    store.save_send(held.id, held.tries, now_ms)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the next deliveries of the oldest push, if there is room. Says whether there are more to make.
    fn spread(&mut self, store: &mut impl Store, around: &Surroundings<'_>) -> Result<bool, StoreError> {
        let count = self.sends.map_or_else(|| store.count_sends(), Ok)?;
        let Some((key, bytes)) = store.unspread()?.filter(|_| count + PUSH_EXPAND_STEP <= PUSH_SENDS_MAX) else {
            self.sends = Some(count);
            return Ok(false);
        };
        let push: Push = pinned::decode(&bytes)?;
        let reached = reach(store, &push)?;
        let mut sends = 0;
        // Of a device that was reached by itself, its client is looked at when it is due.
        for (_, device) in reached.iter().filter(|(client, _)| !around.bars(Some(client), &push.target)) {
            store.add_send(&key, device, around.now_ms + PUSH_DELAY_MS)?;
            sends += 1;
        }
        self.sends = Some(count + sends);
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
        (transport, verdict): (&'static str, Verdict),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.counted.extend(verdict.outcome().map(|outcome| (transport, outcome)));
        let tries = delivery.tries + 1;
        let (state, again_ms) = match verdict {
            Verdict::Done => (State::Active, None),
            Verdict::Lost(error) | Verdict::Refused(error) => (State::Failing(error), None),
            Verdict::Gone(error) => (State::Failed(error), None),
            // It is tried with another token at once: that, too, is a try.
            Verdict::Denied(_) if tries <= PUSH_RETRY_MS.len() as u64 => {
                return store.save_send(delivery.id, tries, now_ms);
            }
            Verdict::Next => return store.save_send(delivery.id, delivery.tries, now_ms),
            Verdict::Denied(error) => (State::Failing(error), None),
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
            true => self.in_flight.iter().map(|flight| flight.until_ms).min(),
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

/// What an answer of a service with tokens means, which may be the end of the token.
fn sent(
    store: &mut impl Store,
    transport: Transport,
    (token, is_second): (&str, bool),
    verdict: Verdict,
    now_ms: u64,
) -> Result<Verdict, StoreError> {
    let Some(Permit { of, standing }) = preparing::permit(store, transport)? else { return Ok(verdict) };
    let (known, until_ms) = match standing {
        Standing::Granted { token: known, until_ms, .. } if hash(&known) == token => (known, until_ms),
        // Others have found that out before.
        Standing::Refused { may_pass: false, .. } => return Ok(verdict.finally()),
        _ => return Ok(verdict),
    };
    let refused = |of, error: &ErrorInfo| Permit::refused(of, error.clone(), false, now_ms + PUSH_REFUSED_MS);
    let (permit, verdict) = match verdict {
        Verdict::Done if is_second => (Permit::granted(of, (known, until_ms), false), Verdict::Done),
        Verdict::Denied(error) if is_second => (refused(of, &error), Verdict::Refused(error)),
        Verdict::Denied(error) => (Permit { of, standing: Standing::Denied }, Verdict::Denied(error)),
        Verdict::Refused(error) => (refused(of, &error), Verdict::Refused(error)),
        verdict => return Ok(verdict),
    };
    store.save_permit(transport.name(), &pinned::encode(&permit))?;
    Ok(verdict)
}
