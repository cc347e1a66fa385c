//! What an app's object does for push: calls go to the registry and the outbox, and what these want done to the
//! platform.

use std::rc::Rc;

use super::app::{AppHost, AppOutput};
use super::{CallerId, Settings};
use crate::app::push::web::VapidKeys;
use crate::app::push::{self, Outbox, Outcome, Registry, Surroundings, Waiting};
use crate::app::store::{Store, StoreError};
use crate::app::{self, Registrar};
use crate::auth::App;
use crate::base::pinned;
use crate::error::Code;
use crate::limits::{PUSH_FULL_WAIT_MS, PUSH_FULL_WAITS_MAX};
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Answer, AppRequest, AppResponse, ChannelPush, DirectPush, PushRequest, PushResponse};
use crate::stats::interval::MINUTE_MS;
use crate::stats::{PushOutcome, Report};

/// What an object knows of its push, besides what is stored.
#[derive(Default)]
pub(super) struct Push {
    pub settings: push::Settings,
    registry: Registry,
    /// `None` before it is needed, and after storage failed.
    outbox: Option<Outbox>,
    /// Who asked for the app's keys while they are made, and whom push services may write to.
    key_callers: Vec<(CallerId, String)>,
    waits: Vec<FullWait>,
    counts: Counts,
}

/// How attempts of this minute went. Each life of the memory reports by a name of its own.
#[derive(Default)]
struct Counts {
    reporter: String,
    report: Report,
}

/// A publish that is answered when its pushes are delivered.
struct FullWait {
    caller: CallerId,
    keys: Vec<String>,
    answer: Vec<Answer<()>>,
    until_ms: u64,
}

impl<S: Store + push::Store> AppHost<S> {
    /// Answers a call, now or later. Fails as a call to the app does.
    pub(super) fn push_call(&mut self, caller: CallerId, app: &AppId, request: PushRequest, now_ms: u64) {
        let answer = match request {
            PushRequest::Key { contact } => return self.ask_key(caller, contact),
            PushRequest::Publish { pushes, wait } => match self.accept(app, &pushes, now_ms) {
                Ok(answer) if wait && self.push.waits.len() < PUSH_FULL_WAITS_MAX => {
                    return self.await_all(caller, &pushes, answer, now_ms);
                }
                answer => answer.map(|answer| Ok(PushResponse::Published(answer))),
            },
            PushRequest::Said(said) => self.said(app, &said, now_ms),
            request => match self.admit(&request, now_ms) {
                Ok(Ok(())) => self.registered(&request),
                Ok(Err(error)) => Ok(Err(error)),
                Err(error) => Err(error),
            },
        };
        self.answer_push(caller, answer);
    }

    fn registered(&mut self, request: &PushRequest) -> Result<Answer<PushResponse>, StoreError> {
        let Push { registry, settings, .. } = &mut self.push;
        let answer = registry.call(&mut self.store, request, settings);
        if !matches!(answer, Some(Ok(_))) {
            *registry = Registry::default();
        }
        answer.unwrap_or_else(|| Ok(Err(Code::Internal.because("that is not the registry's to answer"))))
    }

    /// A device comes without its client's name. Fails with 40300 for one of a client that is banned.
    fn admit(&mut self, request: &PushRequest, now_ms: u64) -> Result<Answer<()>, StoreError> {
        let Some(bans) = self.registrar.as_ref().map(Registrar::bans).filter(|bans| !bans.is_empty()) else {
            return Ok(Ok(()));
        };
        let channel = request.channel().and_then(|name| ChannelName::parse(name).ok());
        let device = Registry::proven(&mut self.store, request)?;
        Ok(bans.admit(device.and_then(|device| device.client_id).as_deref(), channel.as_ref(), now_ms))
    }

    fn answer_push(&mut self, caller: CallerId, answer: Result<Answer<PushResponse>, StoreError>) {
        let failed = |_| Err(Code::Internal.because("the app's storage failed; try again"));
        let answer = answer.unwrap_or_else(failed).map(AppResponse::Push);
        self.outputs.push(AppOutput::Answer { caller, answer });
    }

    fn accept(&mut self, app: &AppId, pushes: &[DirectPush], now_ms: u64) -> Result<Vec<Answer<()>>, StoreError> {
        self.with_outbox(now_ms, |outbox, store, around| {
            pushes.iter().map(|push| outbox.accept(store, app, push, around)).collect()
        })
    }

    /// The channel hands all of it over again when any of it had no room.
    fn said(&mut self, app: &AppId, said: &[ChannelPush], now_ms: u64) -> Result<Answer<PushResponse>, StoreError> {
        self.with_outbox(now_ms, |outbox, store, _| {
            for push in said {
                if let Err(error) = outbox.said(store, app, push, now_ms)? {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(PushResponse::Done))
        })
    }

    fn await_all(&mut self, caller: CallerId, pushes: &[DirectPush], answer: Vec<Answer<()>>, now_ms: u64) {
        let accepted = pushes.iter().zip(&answer).filter(|(_, outcome)| outcome.is_ok());
        let keys = accepted.map(|(push, _)| push.key.clone()).collect();
        self.push.waits.push(FullWait { caller, keys, answer, until_ms: now_ms + PUSH_FULL_WAIT_MS });
    }

    fn ask_key(&mut self, caller: CallerId, contact: String) {
        match self.stored_keys() {
            Ok(Some(keys)) if !keys.contact.is_empty() || contact.is_empty() => {
                self.answer_push(caller, Ok(Ok(PushResponse::Key(keys.public_text()))));
            }
            Ok(Some(keys)) => {
                let keys = VapidKeys { contact, ..keys };
                let saved = self.store.save_vapid(&pinned::encode(&keys));
                self.answer_push(caller, saved.map(|()| Ok(PushResponse::Key(keys.public_text()))));
            }
            Ok(None) => {
                let is_first = self.push.key_callers.is_empty();
                self.push.key_callers.push((caller, contact));
                self.outputs.extend(is_first.then_some(AppOutput::MakeKeys));
            }
            Err(error) => self.answer_push(caller, Err(error)),
        }
    }

    /// The platform has made a pair of keys, or could not. They are kept for good, unless others are already.
    pub(super) fn keys_made(&mut self, pair: Option<(Vec<u8>, Vec<u8>)>) {
        let callers = std::mem::take(&mut self.push.key_callers);
        let mut contacts = callers.iter().map(|(_, contact)| contact);
        let contact = contacts.find(|contact| !contact.is_empty()).cloned().unwrap_or_default();
        let made = pair.map(|(public, private)| VapidKeys { public, private, contact });
        let key = self.stored_keys().and_then(|known| match known.or(made) {
            Some(keys) => {
                self.store.save_vapid(&pinned::encode(&keys))?;
                Ok(Ok(PushResponse::Key(keys.public_text())))
            }
            None => Ok(Err(Code::Internal.because("no key could be made; try again"))),
        });
        callers.into_iter().for_each(|(caller, _)| self.answer_push(caller, key.clone()));
    }

    fn stored_keys(&mut self) -> Result<Option<VapidKeys>, StoreError> {
        Ok(self.store.vapid()?.map(|bytes| pinned::decode(&bytes)).transpose()?)
    }

    pub(super) fn tried(&mut self, delivery: &Waiting, outcome: Outcome, now_ms: u64) {
        // If that can't be stored the delivery is made again, when its lease is over.
        let _ = self.with_outbox(now_ms, |outbox, store, _| outbox.tried(store, delivery, outcome, now_ms));
    }

    /// Has what is due delivered, and answers those who waited for it.
    pub(super) fn pursue_push(&mut self, now_ms: u64) {
        let ticked = self.with_outbox(now_ms, |outbox, store, around| {
            let attempts = outbox.tick(store, around)?;
            Ok((attempts, outbox.done(), outbox.counted()))
        });
        let (attempts, done, counted) = ticked.unwrap_or_default();
        self.count(&counted, now_ms);
        self.outputs.extend(attempts.into_iter().map(AppOutput::Attempt));
        self.push.waits.iter_mut().for_each(|wait| wait.keys.retain(|key| !done.contains(key)));
        let is_over = |wait: &mut FullWait| wait.keys.is_empty() || wait.until_ms <= now_ms;
        let over: Vec<FullWait> = self.push.waits.extract_if(.., is_over).collect();
        over.into_iter().for_each(|wait| self.answer_push(wait.caller, Ok(Ok(PushResponse::Published(wait.answer)))));
    }

    /// If that can't be stored, the next report of the minute has it.
    fn count(&mut self, attempts: &[(&'static str, PushOutcome)], now_ms: u64) {
        if attempts.is_empty() {
            return;
        }
        let Counts { reporter, report } = &mut self.push.counts;
        if reporter.is_empty() {
            *reporter = format!("push {now_ms}");
        }
        if report.minute != now_ms / MINUTE_MS {
            *report = Report { minute: now_ms / MINUTE_MS, ..Report::default() };
        }
        report.revision += 1;
        attempts.iter().for_each(|(transport, outcome)| report.tally.add_push(transport, *outcome));
        let request = AppRequest::Report { reporter: reporter.clone(), report: Box::new(report.clone()) };
        let _ = self.act(now_ms, |registrar, store| registrar.call(store, request, false, now_ms));
    }

    /// When push next needs a turn. After a failure of storage that is not known.
    pub(super) fn push_deadline(&self, retry_ms: u64) -> Option<u64> {
        let outbox = self.push.outbox.as_ref().map_or(Some(retry_ms), Outbox::deadline);
        outbox.into_iter().chain(self.push.waits.iter().map(|wait| wait.until_ms)).min()
    }

    /// The app is no more.
    pub(super) fn forget_push(&mut self) {
        self.push.outbox = None;
    }

    fn with_outbox<T>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Outbox, &mut S, &Surroundings<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // It knows whom nothing may be delivered to.
        if self.registrar.is_none() {
            self.act(now_ms, |_, _| Ok(()))?;
        }
        let Some(registrar) = &self.registrar else { return Err(StoreError("the app is not known".to_owned())) };
        let mut outbox = match self.push.outbox.take() {
            Some(outbox) => outbox,
            None => Outbox::load(&mut self.store)?,
        };
        let settings = &self.settings;
        let find = |id: &AppId| find(settings, registrar, id);
        let around = Surroundings { settings: &self.push.settings, app: &find, bans: registrar.bans(), now_ms };
        let acted = act(&mut outbox, &mut self.store, &around)?;
        self.push.outbox = Some(outbox);
        Ok(acted)
    }
}

/// The app as it is configured now.
fn find(settings: &Settings, registrar: &Registrar, id: &AppId) -> Option<Rc<App>> {
    let own = settings.apps.as_ref().ok().and_then(|apps| apps.get(id)).cloned();
    own.or_else(|| app::configuration(registrar.config()?).ok().map(Rc::new))
}
