//! The app of the world, as the platform runs it: its object is called by the others, and tells them what it must.

use std::collections::BTreeSet;
use std::rc::Rc;

use courtside::app::push::{Attempt, Outcome, To};
use courtside::auth::{App, Apps};
use courtside::object::{self, AppHost, AppInput, AppOutput, CallerId, Settings};
use courtside::relay::bounds::Bounds;
use courtside::rpc::AppCall;
use courtside::rpc::Ticket;

use super::app_store::AppMemory;
use super::network::{Call, Reply, Said};
use super::trace::note;
use super::world::{EPOCH_MS, Event, World};

/// In the place of a callee.
const APP: usize = usize::MAX;

pub struct AppObject {
    app: Rc<App>,
    is_made: bool,
    /// Always there; it holds what is stored.
    driver: Option<AppHost<AppMemory>>,
    alarm_ms: Option<u64>,
    /// What devices were told.
    pub pushed: BTreeSet<String>,
}

impl AppObject {
    /// One device hears what is pushed on these channels.
    pub fn new(app: Rc<App>, channels: impl Iterator<Item = String>) -> AppObject {
        let mut object = AppObject { app, is_made: false, driver: None, alarm_ms: None, pushed: BTreeSet::new() };
        let mut store = AppMemory::default();
        store.push.listen(channels);
        object.build(store);
        object
    }

    fn build(&mut self, store: AppMemory) {
        let own = (!self.is_made).then(|| self.app.clone());
        let settings = Settings { apps: Ok(Rc::new(Apps::of(own))), bounds: Bounds::default() };
        self.driver = Some(AppHost::new(settings, store));
    }

    /// It was made at run time, and is none of the deployment's.
    pub fn make(&mut self, app: Rc<App>) {
        let store = self.driver.take().expect("always there").into_store();
        let config = Some(app.to_json().to_string());
        (self.app, self.is_made) = (app, true);
        self.build(AppMemory { config, ..store });
    }

    /// Only the memory goes.
    pub fn forget(&mut self) {
        let store = self.driver.take().expect("always there").into_store();
        self.build(store);
    }

    pub fn stored(&self) -> &AppMemory {
        self.driver.as_ref().expect("always there").store()
    }
}

impl World {
    /// Calls are late or lost, as between other objects. The platform says so of those that are.
    pub(super) fn ask_app(&mut self, (caller, life): (usize, u64), ticket: Ticket, call: AppCall) {
        let (id, reply) = (CallerId(self.fresh()), Reply::App(ticket));
        if self.random.chance(self.weather.lose_call) {
            return self.no_answer(caller, life, reply);
        }
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Event::App { input: AppInput::Call { caller: id, call }, by: Some(caller) });
        if self.random.chance(self.weather.lose_answer) {
            return self.no_answer(caller, life, reply);
        }
        self.calls.insert(id, Call { caller, life, reply, callee: APP, arrived: true });
    }

    /// A push service takes it or is busy, and the app hears of it or not. Twice at most, since it waits longer and
    /// longer.
    fn attempt(&mut self, Attempt { delivery, to }: Attempt) {
        let To::Web(web) = to else { unreachable!("the device is a browser") };
        if self.random.chance(self.weather.lose_call) {
            return;
        }
        let is_busy = delivery.tries < 2 && self.random.chance(self.weather.lose_answer);
        let status = if is_busy { 503 } else { 201 };
        if !is_busy {
            let message: serde_json::Value = serde_json::from_str(&web.message).expect("JSON");
            self.app.pushed.insert(message["data"]["tag"].as_str().expect("a tag").to_owned());
        }
        if self.random.chance(self.weather.lose_answer) {
            return;
        }
        let delay_ms = self.delay_ms();
        let outcome = Outcome::Status { status, retry_after_s: None };
        self.after(delay_ms, Event::App { input: AppInput::Tried { delivery, outcome }, by: None });
    }

    pub(super) fn app_turn(&mut self, input: AppInput) {
        note(self.now_ms, format_args!("the app <- {input:?}"));
        let now_ms = EPOCH_MS + self.now_ms;
        if matches!(input, AppInput::Alarm) && self.app.alarm_ms.take_if(|at_ms| *at_ms <= now_ms).is_none() {
            return;
        }
        let outputs = self.app.driver.as_mut().expect("always there").turn(input, now_ms);
        for output in outputs {
            match output {
                AppOutput::Answer { caller, answer } => self.answer(caller, Said::App(answer)),
                AppOutput::Tell(tell) => {
                    let (callee, reply) = (self.relay_at(&tell.relay), Reply::Notice(tell.clone()));
                    let notice = tell.notice;
                    self.call((APP, 0), callee, reply, |caller| object::Input::Notice {
                        caller,
                        notice: notice.clone(),
                    });
                }
                AppOutput::SetAlarm { at_ms } => {
                    self.app.alarm_ms = Some(at_ms);
                    self.after(at_ms - now_ms, Event::App { input: AppInput::Alarm, by: None });
                }
                AppOutput::Publish(call) => unreachable!("nobody reads {}", call.to.channel),
                AppOutput::Attempt(attempt) => self.attempt(attempt),
                AppOutput::MakeKeys => unreachable!("they are there"),
                AppOutput::Measure(_) => unreachable!("nobody measures"),
                AppOutput::Pause { .. } => unreachable!("its alarms are set"),
                AppOutput::RepeatAlarm { reason } => unreachable!("its storage does not fail: {reason}"),
            }
        }
    }
}
