//! A channel's object with a webhook, on a disk of its own, and the receiver: what is on its way arrives in its time.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::auth::{App, Source};
use courtside::error::{Code, ErrorInfo};
use courtside::limits::{HOOK_RETRY_MAX_MS, HOOK_TIMEOUT_MS};
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::name::{AppId, ChannelName};
use courtside::object::{self, CallerId, Question, Reply, Timer};
use courtside::rpc::{
    Address, AppRequest, AppResponse, ChannelCall, HookOutcome, HookReport, HookRequest, LocalOccupancy, Outcome,
    Probed, Publish, PublishKey, RelayName, Request, Response, Rules, Submission,
};
use serde_json::{Value, json};

use super::support::disk::Disk;
use super::support::host::{Host, Input, Output};
use super::support::random::Random;

const START_MS: u64 = 1_800_000_000_000;

/// What the receiver does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Does {
    Takes,
    Answers(u16),
    /// It asks for a pause, as `Retry-After` does.
    Asks(&'static str),
    /// It takes it, and nobody hears of that.
    TakesInSilence,
    NeverGetsIt,
}

pub struct World {
    pub host: Host,
    pub app: Rc<App>,
    pub now_ms: u64,
    pub random: Random,
    pub timers: Vec<(u64, u64, Timer)>,
    /// Answers that are on their way: when they come, and to which life of the memory.
    pub answers: Vec<(u64, u64, object::Input)>,
    /// By the caller, what it published.
    pub open: BTreeMap<u64, String>,
    pub callers: u64,
    pub acknowledged: Vec<String>,
    /// Id and data, each time that it came.
    pub got: Vec<(String, String)>,
    /// Names of events of the channel's life.
    pub heard: Vec<String>,
    pub requests: Vec<Value>,
    pub posts: usize,
    pub reports: Vec<HookReport>,
    /// What of events was kept that were given up.
    pub bodies: Vec<String>,
    /// The app is no more.
    pub is_deleted: bool,
    pub does: fn(&mut World) -> Does,
    /// Whom relays have, when they are asked.
    pub attached: u32,
}

pub fn address() -> Address {
    Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() }
}

pub fn app(hook: &Value) -> Rc<App> {
    let mut webhook = json!({"id": "log", "url": "https://example.com/hook", "secret": "a-secret"});
    webhook.as_object_mut().unwrap().extend(hook.as_object().unwrap().clone());
    let namespaces = json!([{"id": "room", "mutableMessages": false}]);
    Rc::new(
        serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": namespaces, "webhooks": [webhook]}))
            .unwrap(),
    )
}

impl World {
    pub fn new(seed: u64, hook: &Value, does: fn(&mut World) -> Does) -> World {
        let (address, app) = (address(), app(hook));
        let disk = Disk::new(Random::new(seed));
        World {
            host: Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk),
            app,
            now_ms: START_MS,
            random: Random::new(seed + 1),
            timers: Vec::new(),
            answers: Vec::new(),
            open: BTreeMap::new(),
            callers: 0,
            acknowledged: Vec::new(),
            got: Vec::new(),
            heard: Vec::new(),
            requests: Vec::new(),
            posts: 0,
            reports: Vec::new(),
            bodies: Vec::new(),
            is_deleted: false,
            does,
            attached: 0,
        }
    }

    pub fn turn(&mut self, input: object::Input) {
        let turned = self.host.turn(Input::Object(input), self.now_ms);
        let life = self.host.life;
        self.timers.extend(turned.started.into_iter().map(|(timer, after_ms)| (self.now_ms + after_ms, life, timer)));
        if turned.wrote && self.host.disk().failures == 0 {
            self.sync();
        }
        self.release();
    }

    pub fn sync(&mut self) {
        while !self.host.disk().is_synced() {
            self.host.disk_mut().sync();
            self.host.synced();
        }
    }

    pub fn release(&mut self) {
        for (life, output) in self.host.release() {
            match output {
                Output::Post(request) => self.post(life, request),
                Output::Answer { id, reply: Reply::Response(answer) } => self.answered(id, answer),
                Output::Ask(Question::App { ticket, call }) => {
                    let answer = match call.request {
                        _ if self.random.chance(200) => Err(Code::TimedOut.into()),
                        AppRequest::HookNews(_) if self.is_deleted => Err(Code::NotFound.into()),
                        AppRequest::HookNews(news) => {
                            self.bodies.extend(news.bodies);
                            self.reports.push(news.report);
                            Ok(AppResponse::Done)
                        }
                        _ => Ok(AppResponse::Done),
                    };
                    self.later(life, 5, object::Input::AppAnswered { ticket, answer });
                }
                Output::Ask(Question::Probe { relay, attempt, .. }) => {
                    let mut local_occupancy = LocalOccupancy::default();
                    let modes = courtside::model::flags::Modes::NONE;
                    (0..self.attached).for_each(|_| local_occupancy.here.count(modes, 1));
                    let answer = Some(Probed { missing: Vec::new(), local_occupancy });
                    self.later(life, 5, object::Input::Probed { relay, attempt, answer });
                }
                Output::Ask(Question::Deliver { relay, attempt, delivery }) => {
                    use courtside::rpc::Delivered;
                    let answer =
                        Some(if self.attached > 0 { Delivered::At(delivery.through) } else { Delivered::Unsubscribed });
                    self.later(life, 5, object::Input::Delivered { channel: delivery.channel, relay, attempt, answer });
                }
                _ => {}
            }
        }
    }

    pub fn later(&mut self, life: u64, after_ms: u64, input: object::Input) {
        self.answers.push((self.now_ms + after_ms, life, input));
    }

    pub fn answered(&mut self, id: CallerId, answer: Result<Response, ErrorInfo>) {
        let Some(data) = self.open.remove(&id.0) else { return };
        if let Ok(Response::Published(published)) = answer
            && matches!(published.outcomes[..], [Outcome::Accepted { .. }])
        {
            self.acknowledged.push(data);
        }
    }

    pub fn post(&mut self, life: u64, request: HookRequest) {
        self.posts += 1;
        let does = (self.does)(self);
        if matches!(does, Does::Takes | Does::TakesInSilence) {
            let header = |wanted: &str| {
                let found = request.headers.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| value.clone())
            };
            let body: Value = match header("X-Ably-Envelope-Id") {
                Some(id) => {
                    json!({"id": id, "messages": [{"data": String::from_utf8(request.body.clone()).expect("text")}]})
                }
                None => serde_json::from_slice(&request.body).expect("JSON"),
            };
            let single = [body.clone()];
            for item in body["items"].as_array().map_or(&single[..], Vec::as_slice) {
                let id = item["id"].as_str().unwrap().to_owned();
                let messages = item["data"].get("messages").unwrap_or(&item["messages"]).as_array().cloned();
                match messages {
                    Some(messages) => {
                        let data = |message: &Value| message["data"].as_str().unwrap().to_owned();
                        self.got.extend(messages.iter().map(|message| (id.clone(), data(message))));
                    }
                    None => self.heard.push(item["name"].as_str().unwrap().to_owned()),
                }
            }
            self.requests.push(body);
        }
        let (after_ms, outcome) = match does {
            Does::Takes => (20, HookOutcome::Status { status: 200, retry_after: None }),
            Does::Answers(status) => (20, HookOutcome::Status { status, retry_after: None }),
            Does::Asks(pause) => (20, HookOutcome::Status { status: 429, retry_after: Some(pause.to_owned()) }),
            Does::TakesInSilence | Does::NeverGetsIt => (HOOK_TIMEOUT_MS, HookOutcome::Unreachable),
        };
        self.later(life, after_ms, object::Input::Posted { hook: request.id, attempt: request.attempt, outcome });
    }

    pub fn publish(&mut self, data: String) {
        self.open.insert(self.callers + 1, data.clone());
        self.publish_all(&[&data]);
    }

    /// Messages of one publish.
    pub fn publish_all(&mut self, data: &[&str]) {
        self.callers += 1;
        let message = |data: &&str| Message { data: Data::Text((*data).to_owned()), ..Message::default() };
        let publish = Publish {
            key: PublishKey::Request(format!("request{}", self.callers)),
            connection_id: None,
            by: Source::SERVER,
            content: Submission::Messages(data.iter().map(message).collect()),
        };
        self.call(Request::Publish(vec![publish]));
    }

    pub fn call(&mut self, request: Request) {
        let (to, caller) = (address(), CallerId(self.callers));
        let rules = Rules::on(&self.app, &to.channel);
        self.turn(object::Input::Call { caller, call: ChannelCall { to, rules, request } });
    }

    /// The next thing that is due, if it is by then.
    pub fn step(&mut self, until_ms: u64) -> bool {
        let timer = self.timers.iter().map(|(at_ms, ..)| *at_ms).min();
        let answer = self.answers.iter().map(|(at_ms, ..)| *at_ms).min();
        let alarm = self.host.disk().alarm_ms();
        let Some(at_ms) = [timer, answer, alarm].into_iter().flatten().min().filter(|at_ms| *at_ms <= until_ms) else {
            self.now_ms = self.now_ms.max(until_ms);
            return false;
        };
        self.now_ms = self.now_ms.max(at_ms);
        let life = self.host.life;
        if answer == Some(at_ms) {
            let index = self.answers.iter().position(|(answer_ms, ..)| *answer_ms == at_ms).unwrap();
            let (_, of, input) = self.answers.remove(index);
            // An answer to a memory that is gone finds nobody.
            if of == life {
                self.turn(input);
            }
        } else if timer == Some(at_ms) {
            let index = self.timers.iter().position(|(timer_ms, ..)| *timer_ms == at_ms).unwrap();
            let (_, of, timer) = self.timers.remove(index);
            if of == life {
                self.turn(object::Input::Rang(timer));
            }
        } else {
            self.turn(object::Input::Alarm);
        }
        true
    }

    /// The clock is set back, of which timers and calls know nothing.
    pub fn set_back(&mut self, ms: u64) {
        self.now_ms -= ms;
        self.timers.iter_mut().for_each(|(at_ms, ..)| *at_ms -= ms);
        self.answers.iter_mut().for_each(|(at_ms, ..)| *at_ms -= ms);
    }

    pub fn run_for(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        let mut steps = 0;
        while self.step(until_ms) {
            steps += 1;
            assert!(steps < 100_000, "it does the same again and again");
        }
    }

    /// Weather clears, and everything that was under way ends.
    pub fn settle(&mut self) {
        self.host.disk_mut().failures = 0;
        self.sync();
        self.release();
        self.does = |_| Does::Takes;
        self.run_for(2 * HOOK_RETRY_MAX_MS);
    }

    pub fn data(&self) -> Vec<String> {
        let mut first: Vec<String> = Vec::new();
        for (_, data) in &self.got {
            if !first.contains(data) {
                first.push(data.clone());
            }
        }
        first
    }
}
