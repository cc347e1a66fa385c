//! The app of a few objects: it is called by them and from outside, and tells relays what they must know.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::app::Tell;
use courtside::auth::{App, Apps};
use courtside::error::Code;
use courtside::object::{self, AppHost, AppInput, AppOutput, CallerId, Reply, Settings};
use courtside::relay::bounds::Bounds;
use courtside::rpc::{Answer, AppCall, AppRequest, AppResponse, Notice, RelayName, Ticket};

use super::super::app_store::AppMemory;
use super::super::host::Input;
use super::Objects;

/// A question to the app: which object asks, in which of its memories, and what.
pub type Asking = (usize, u64, Ticket, AppCall);

pub struct AppObject {
    app: Rc<App>,
    driver: AppHost<AppMemory>,
    pub alarm_ms: Option<u64>,
    /// What relays were told, and have not answered.
    telling: BTreeMap<CallerId, Tell>,
    /// What they are to be told now.
    tells: Vec<Tell>,
    /// What could not be told. It may arrive yet.
    untold: Vec<(RelayName, Notice)>,
    /// How often it was asked for its configuration.
    pub asked: usize,
    /// Questions wait here, if they are held.
    pub held: Option<Vec<Asking>>,
    /// Answers wait here, if they are held.
    pub held_answers: Option<Vec<(usize, u64, object::Input)>>,
}

impl AppObject {
    /// One of the deployment's own, or one that was made at run time.
    pub fn new(app: Rc<App>, is_configured: bool) -> AppObject {
        let (apps, config) = match is_configured {
            true => (vec![app.clone()], None),
            false => (Vec::new(), Some(app.to_json().to_string())),
        };
        let settings = Settings { apps: Ok(Rc::new(Apps::of(apps))), bounds: Bounds::default() };
        AppObject {
            app,
            driver: AppHost::new(settings, AppMemory { config, ..AppMemory::default() }),
            alarm_ms: None,
            telling: BTreeMap::new(),
            tells: Vec::new(),
            untold: Vec::new(),
            asked: 0,
            held: None,
            held_answers: None,
        }
    }

    fn turn(&mut self, input: AppInput, now_ms: u64) -> Option<Answer<AppResponse>> {
        let mut answer = None;
        for output in self.driver.turn(input, now_ms) {
            match output {
                AppOutput::Answer { answer: said, .. } => answer = Some(said),
                AppOutput::Tell(tell) => self.tells.push(tell),
                AppOutput::SetAlarm { at_ms } => self.alarm_ms = Some(at_ms),
                AppOutput::Measure(_) | AppOutput::Publish(_) => {}
                other => unreachable!("not among a few objects: {other:?}"),
            }
        }
        answer
    }

    fn called(&mut self, call: AppCall, now_ms: u64) -> Answer<AppResponse> {
        self.turn(AppInput::Call { caller: CallerId(0), call }, now_ms).expect("an answer at once")
    }

    /// Its memory goes.
    pub fn forget(&mut self) {
        let settings = Settings { apps: Ok(Rc::default()), bounds: Bounds::default() };
        let driver = std::mem::replace(&mut self.driver, AppHost::new(settings.clone(), AppMemory::default()));
        self.driver = AppHost::new(settings, driver.into_store());
    }

    pub fn ring(&mut self, now_ms: u64) {
        self.alarm_ms = None;
        self.turn(AppInput::Alarm, now_ms);
    }

    /// A relay's answer to what it was told. Gives whether it is one.
    pub fn told(&mut self, caller: CallerId, reply: &Reply, now_ms: u64) -> bool {
        let Some(tell) = self.telling.remove(&caller) else { return false };
        let answer = match reply {
            Reply::Noticed(answer) => answer.clone().ok(),
            _ => None,
        };
        self.turn(AppInput::Told { tell, answer }, now_ms);
        true
    }
}

impl Objects {
    /// An object asks the app.
    pub(super) fn ask_app(&mut self, (host, life, ticket, call): Asking) -> Option<(usize, object::Input)> {
        self.app.asked += usize::from(call.request == AppRequest::Config);
        if let Some(held) = &mut self.app.held {
            held.push((host, life, ticket, call));
            return None;
        }
        let answer = self.app.called(call, self.now_ms);
        let input = object::Input::AppAnswered { ticket, answer };
        match &mut self.app.held_answers {
            Some(held) => {
                held.push((host, life, input));
                None
            }
            None => self.to_memory(host, life, input),
        }
    }

    /// What relays are told now. Those that cannot be reached give no answer.
    pub(super) fn tells(&mut self) -> Vec<(usize, Input)> {
        let mut inputs = Vec::new();
        while let Some(tell) = self.app.tells.pop() {
            let host = self.hosts.iter().position(|host| host.name == tell.relay);
            let Some(host) = host.filter(|host| !self.unreachable.contains(host)) else {
                self.app.untold.push((tell.relay.clone(), tell.notice.clone()));
                self.app.turn(AppInput::Told { tell, answer: None }, self.now_ms);
                continue;
            };
            self.last_call += 1;
            let (caller, notice) = (CallerId(self.last_call), tell.notice.clone());
            self.app.telling.insert(caller, tell);
            inputs.push((host, Input::Object(object::Input::Notice { caller, notice })));
        }
        inputs
    }

    /// A call to the app from outside, and all that follows from it.
    pub fn operate(&mut self, request: AppRequest) -> Answer<AppResponse> {
        let call = AppCall { app: self.app.app.id().clone(), request };
        let answer = self.app.called(call, self.now_ms);
        self.tell();
        answer
    }

    /// The relays are told what the app has to tell.
    pub(super) fn tell(&mut self) {
        for (host, input) in self.tells() {
            self.turn(host, input);
        }
    }

    /// What could not be told arrives now, though the app has given it up. Nobody hears the answer.
    pub fn tell_late(&mut self) {
        for (relay, notice) in std::mem::take(&mut self.app.untold) {
            let host = self.hosts.iter().position(|host| host.name == relay).expect("one of them");
            self.last_call += 1;
            let caller = CallerId(self.last_call);
            self.turn(host, Input::Object(object::Input::Notice { caller, notice }));
        }
    }

    /// Questions that were held are asked now.
    pub fn free_questions(&mut self) {
        for asking in self.app.held.take().unwrap_or_default() {
            if let Some((host, input)) = self.ask_app(asking) {
                self.turn(host, Input::Object(input));
            }
        }
    }

    /// Whoever asked what was held learns that no answer came. Gives the questions, which may be carried out yet.
    pub fn lose_questions(&mut self) -> Vec<AppRequest> {
        let mut lost = Vec::new();
        for (host, life, ticket, call) in self.app.held.take().unwrap_or_default() {
            let input = object::Input::AppAnswered { ticket, answer: Err(Code::TimedOut.into()) };
            if let Some((host, input)) = self.to_memory(host, life, input) {
                self.turn(host, Input::Object(input));
            }
            lost.push(call.request);
        }
        lost
    }

    /// The app's answers that were held arrive now.
    pub fn free_word(&mut self) {
        for (host, life, input) in self.app.held_answers.take().unwrap_or_default() {
            if let Some((host, input)) = self.to_memory(host, life, input) {
                self.turn(host, Input::Object(input));
            }
        }
    }
}
