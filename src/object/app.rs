//! The object of an app: drives the [`Registrar`], and has relays told what it says.
//!
//! What is owed to relays stays owed until it is answered. After every event the alarm is set for when the object must
//! be awake next: also where it rang too early and found nothing to do, and where storage failed, since then nobody
//! knows what is owed until it can be read again. All of that is stored, so no alarm of an earlier memory has to be
//! asked for.

use super::alarm::{Alarm, Step};
use super::app_meta::Outlets;
use super::app_push::Push;
use super::{CallerId, Settings};
use crate::app::push::{self, Attempt, Outcome, Waiting};
use crate::app::store::{Store, StoreError};
use crate::app::{Registrar, Tell};
use crate::error::Code;
use crate::limits::{ALARM_PAUSE_MS, NOTICE_RETRY_MS, SECRET_MIN_BYTES};
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, ChannelCall, Noticed};
use crate::stats::points::{Point, points};

pub struct AppHost<S> {
    pub(super) settings: Settings,
    pub(super) store: S,
    /// `None` before the first event, and after storage failed: memory may then say what is not stored.
    pub(super) registrar: Option<Registrar>,
    pub(super) push: Push,
    pub(super) outlets: Outlets,
    /// Whether webhooks of new apps may be at private addresses, and without TLS.
    private_receivers: bool,
    secret_min_bytes: usize,
    /// Whether each report is to be told to an analytics service.
    is_measured: bool,
    /// The one that this memory has set.
    alarm: Alarm,
    pub(super) outputs: Vec<AppOutput>,
}

/// What happens to an app's object.
#[derive(Clone, Debug)]
pub enum AppInput {
    Call {
        caller: CallerId,
        call: AppCall,
    },
    /// What a relay made of an [`AppOutput::Tell`]; `None` when no answer came.
    Told {
        tell: Tell,
        answer: Option<Noticed>,
    },
    /// How an [`AppOutput::Attempt`] went.
    Tried {
        delivery: Waiting,
        outcome: Outcome,
    },
    /// What an [`AppOutput::MakeKeys`] came to: a public key and its private one.
    KeysMade(Option<(Vec<u8>, Vec<u8>)>),
    /// An [`AppOutput::Publish`] on this channel is over, however it went.
    Published {
        channel: ChannelName,
    },
    /// The alarm rings, too early perhaps.
    Alarm,
    /// The platform would not set it.
    AlarmRefused {
        at_ms: u64,
    },
    /// An [`AppOutput::Pause`] is over.
    Paused,
}

/// What the platform is to do, in this order.
#[derive(Debug)]
pub enum AppOutput {
    Answer {
        caller: CallerId,
        answer: Answer<AppResponse>,
    },
    /// Call the relay, and tell [`AppInput::Told`].
    Tell(Tell),
    /// Make this call to a metachannel, and tell [`AppInput::Published`].
    Publish(ChannelCall),
    /// Write these to the analytics service; nothing waits for it.
    Measure(Vec<Point>),
    /// Make this request, and tell [`AppInput::Tried`].
    Attempt(Attempt),
    /// Make a pair of keys of P-256, and tell [`AppInput::KeysMade`].
    MakeKeys,
    /// In the place of any other. Tell [`AppInput::AlarmRefused`] if that fails.
    SetAlarm {
        at_ms: u64,
    },
    /// Tell [`AppInput::Paused`] when so much time has passed.
    Pause {
        after_ms: u64,
    },
    /// What is due could not be done: the alarm must ring again.
    RepeatAlarm {
        reason: String,
    },
}

impl<S: Store + push::Store> AppHost<S> {
    pub fn new(settings: Settings, store: S) -> AppHost<S> {
        let push = Push::default();
        let (registrar, private_receivers, alarm, outputs) = (None, false, Alarm::NONE, Vec::new());
        let secret_min_bytes = SECRET_MIN_BYTES;
        AppHost {
            settings,
            store,
            registrar,
            push,
            outlets: Outlets::default(),
            private_receivers,
            secret_min_bytes,
            is_measured: false,
            alarm,
            outputs,
        }
    }

    /// With what the deployment says of push.
    pub fn with_push(mut self, settings: push::Settings) -> AppHost<S> {
        self.push.settings = settings;
        self
    }

    /// With what it says of webhooks.
    pub fn with_private_receivers(mut self, private: bool) -> AppHost<S> {
        self.private_receivers = private;
        self
    }

    /// With an analytics service that gets what is counted.
    pub fn with_measures(mut self, is_measured: bool) -> AppHost<S> {
        self.is_measured = is_measured;
        self
    }

    /// With what it says of secrets.
    pub fn with_secrets_of(mut self, min_bytes: usize) -> AppHost<S> {
        self.secret_min_bytes = min_bytes;
        self
    }

    /// With the id of the app, where the platform knows it before somebody calls.
    pub fn called(mut self, app: Option<AppId>) -> AppHost<S> {
        self.outlets.app = app;
        self
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// Only the memory goes.
    pub fn into_store(self) -> S {
        self.store
    }

    /// One turn of the event loop.
    pub fn turn(&mut self, input: AppInput, now_ms: u64) -> Vec<AppOutput> {
        if let (AppInput::Call { call, .. }, None) = (&input, &self.outlets.app) {
            self.outlets.app = Some(call.app.clone());
        }
        match input {
            AppInput::Call { caller, call: AppCall { app, request: AppRequest::Push(request) } } => {
                // An app made at run time is known by what the registrar has.
                let _ = self.act(now_ms, |_, _| Ok(()));
                self.push_call(caller, &app, *request, now_ms);
                self.pursue(now_ms);
            }
            AppInput::Tried { delivery, outcome } => {
                self.tried(&delivery, outcome, now_ms);
                self.pursue(now_ms);
            }
            AppInput::KeysMade(pair) => self.keys_made(pair),
            AppInput::Call { caller, call } => {
                let app = call.app.clone();
                let answer = self.call(call, now_ms);
                self.outputs.push(AppOutput::Answer { caller, answer });
                self.measure(&app);
                self.pursue(now_ms);
            }
            AppInput::Told { tell, answer } => self.told(&tell, answer, now_ms),
            AppInput::Published { channel } => {
                self.outlets.published(&channel);
                self.pursue(now_ms);
            }
            AppInput::Alarm => self.due(now_ms),
            // Set again after a pause: at once it would be refused again, and again.
            AppInput::AlarmRefused { at_ms } => {
                if self.alarm.refused(at_ms) {
                    self.alarm = Alarm::NONE;
                    self.outputs.push(AppOutput::Pause { after_ms: ALARM_PAUSE_MS });
                }
            }
            AppInput::Paused => self.keep_alarm(now_ms),
        }
        std::mem::take(&mut self.outputs)
    }

    /// Fails with 50000 when storage does.
    fn call(&mut self, call: AppCall, now_ms: u64) -> Answer<AppResponse> {
        let configured = self.settings.apps.as_ref().map_err(Clone::clone)?.get(&call.app).is_some();
        let ends = matches!(call.request, AppRequest::Delete);
        let answer = self.act(now_ms, |registrar, store| {
            let answer = registrar.call(store, call.request, configured, now_ms)?;
            if ends && answer.is_ok() {
                store.forget_push()?;
            }
            Ok(answer)
        });
        if ends {
            self.forget_push();
        }
        answer.map_err(|_| Code::Internal.because("the app's storage failed; try again"))?
    }

    fn measure(&mut self, app: &AppId) {
        let Some(registrar) = self.registrar.as_mut().filter(|_| self.is_measured) else { return };
        let points = points(app, &std::mem::take(&mut registrar.statistics.measured));
        if !points.is_empty() {
            self.outputs.push(AppOutput::Measure(points));
        }
    }

    fn told(&mut self, tell: &Tell, answer: Option<Noticed>, now_ms: u64) {
        match self.act(now_ms, |registrar, store| registrar.told(store, tell, answer)) {
            Ok(()) => self.pursue(now_ms),
            // The alarm sees to both: that the answer is asked for again, and that others are told. At once it would
            // fail again, and again.
            Err(_) => self.keep_alarm(now_ms),
        }
    }

    fn due(&mut self, now_ms: u64) {
        self.alarm.rung();
        if let Err(error) = self.act(now_ms, |registrar, store| registrar.tick(store, now_ms)) {
            self.outputs.push(AppOutput::RepeatAlarm { reason: error.0 });
            return self.keep_alarm(now_ms);
        }
        self.pursue(now_ms);
    }

    /// Has relays told what they are to know, and sees that the object wakes for what is left.
    fn pursue(&mut self, now_ms: u64) {
        let tells = self.act(now_ms, |registrar, store| registrar.notices(store, now_ms));
        self.outputs.extend(tells.unwrap_or_default().into_iter().map(AppOutput::Tell));
        self.pursue_push(now_ms);
        self.pursue_meta(now_ms);
        self.keep_alarm(now_ms);
    }

    fn keep_alarm(&mut self, now_ms: u64) {
        let retry_ms = now_ms + NOTICE_RETRY_MS;
        let notices_ms = self.registrar.as_ref().map_or(Some(retry_ms), Registrar::deadline);
        let meta_ms = self.meta_deadline();
        let needed_ms = notices_ms.into_iter().chain(self.push_deadline(retry_ms)).chain(meta_ms).min();
        if let Some(Step::Set { at_ms }) = self.alarm.keep(needed_ms, now_ms) {
            self.outputs.push(AppOutput::SetAlarm { at_ms });
        }
    }

    pub(super) fn act<T>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Registrar, &mut S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut registrar = match self.registrar.take() {
            Some(registrar) => registrar,
            None => Registrar::load(&mut self.store, now_ms)?,
        };
        registrar.private_receivers = self.private_receivers;
        registrar.secret_min_bytes = self.secret_min_bytes;
        registrar.statistics.is_measured = self.is_measured;
        registrar.private_push = self.push.settings.private_addresses;
        let acted = act(&mut registrar, &mut self.store)?;
        self.registrar = Some(registrar);
        Ok(acted)
    }
}
