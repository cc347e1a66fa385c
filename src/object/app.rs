//! The object of an app: drives the [`Registrar`], and has relays told what it says.

use super::alarm::{Alarm, Step};
use super::{CallerId, Settings};
use crate::app::store::{Store, StoreError};
use crate::app::{Registrar, Tell};
use crate::call::{Answer, AppCall, AppResponse, Noticed};
use crate::error::{Code, ErrorInfo};
use crate::limits::NOTICE_RETRY_MS;

pub struct AppHost<S> {
    settings: Settings,
    store: S,
    registrar: Option<Registrar>,
    alarm: Alarm,
    outputs: Vec<AppOutput>,
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
    Alarm,
    /// As for the other objects, see [`Input`](super::Input).
    AlarmKnown {
        at_ms: Option<u64>,
    },
    AlarmRefused,
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
    /// As for the other objects, see [`Output`](super::Output).
    AskAlarm,
    SetAlarm {
        at_ms: u64,
    },
    RepeatAlarm {
        reason: String,
    },
}

impl<S: Store> AppHost<S> {
    pub fn new(settings: Settings, store: S) -> AppHost<S> {
        AppHost { settings, store, registrar: None, alarm: Alarm::default(), outputs: Vec::new() }
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
        match input {
            AppInput::Call { caller, call } => {
                let answer = self.call(call, now_ms);
                self.outputs.push(AppOutput::Answer { caller, answer });
                self.pursue(now_ms);
            }
            AppInput::Told { tell, answer } => {
                match self.act(now_ms, |registrar, store| registrar.told(store, &tell, answer)) {
                    Ok(()) => self.pursue(now_ms),
                    // To tell the next at once would fail again, and again.
                    Err(_) => self.keep_alarm(now_ms),
                }
            }
            AppInput::Alarm => self.due(now_ms),
            AppInput::AlarmKnown { at_ms } => {
                self.alarm.learn(at_ms);
                self.keep_alarm(now_ms);
            }
            AppInput::AlarmRefused => self.alarm.refused(),
        }
        std::mem::take(&mut self.outputs)
    }

    fn call(&mut self, call: AppCall, now_ms: u64) -> Answer<AppResponse> {
        let configured = self.settings.apps.as_ref().map_err(Clone::clone)?.get(&call.app).is_some();
        self.act(now_ms, |registrar, store| registrar.call(store, call.request, configured, now_ms)).map_err(failed)?
    }

    fn due(&mut self, now_ms: u64) {
        self.alarm.rings();
        match self.act(now_ms, |registrar, store| registrar.tick(store, now_ms)) {
            Ok(()) => self.pursue(now_ms),
            Err(error) => self.outputs.push(AppOutput::RepeatAlarm { reason: error.0 }),
        }
    }

    /// When storage fails, what the memory says may not be what is stored: it is read again.
    fn act<T>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Registrar, &mut S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut registrar = match self.registrar.take() {
            Some(registrar) => registrar,
            None => Registrar::load(&mut self.store, now_ms)?,
        };
        let acted = act(&mut registrar, &mut self.store)?;
        self.registrar = Some(registrar);
        Ok(acted)
    }

    /// Has relays told what they are to know, and sees that the object wakes for what is left.
    fn pursue(&mut self, now_ms: u64) {
        let tells = self.act(now_ms, |registrar, store| registrar.notices(store, now_ms));
        self.outputs.extend(tells.unwrap_or_default().into_iter().map(AppOutput::Tell));
        self.keep_alarm(now_ms);
    }

    fn keep_alarm(&mut self, now_ms: u64) {
        let deadline_ms = match &self.registrar {
            Some(registrar) => registrar.deadline(),
            // What is stored could not be read, and somebody may have to be told.
            None => Some(now_ms + NOTICE_RETRY_MS),
        };
        self.outputs.extend(self.alarm.keep(deadline_ms, now_ms).map(|step| match step {
            Step::Ask => AppOutput::AskAlarm,
            Step::Set { at_ms } => AppOutput::SetAlarm { at_ms },
        }));
    }
}

fn failed(_: StoreError) -> ErrorInfo {
    Code::Internal.because("storage failed; try again")
}
