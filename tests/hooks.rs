//! Webhooks of a channel's object, on a disk that fails, in a process that is lost at any moment: what was acknowledged
//! reaches the receiver, in order, and whatever it gets again it knows by its id.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod random;
}

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::auth::{App, Source};
use courtside::error::{Code, ErrorInfo};
use courtside::limits::{
    HOOK_BATCH_MAX_EVENTS, HOOK_GIVE_UP_MS, HOOK_LEASE_MS, HOOK_RETRY_MAX_MS, HOOK_TIMEOUT_MS, RETENTION_MS,
};
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::name::{AppId, ChannelName};
use courtside::object::{self, CallerId, Question, Reply, Timer};
use courtside::rpc::{
    Address, AppRequest, AppResponse, ChannelCall, HookOutcome, HookReport, HookRequest, HookStanding, LocalOccupancy,
    Outcome, Probed, Publish, PublishKey, RelayName, Request, Response, Rules, Submission,
};
use serde_json::{Value, json};
use support::disk::Disk;
use support::host::{Host, Input, Output};
use support::random::Random;

const START_MS: u64 = 1_800_000_000_000;

/// What the receiver does with a request.
#[derive(Clone, Debug, PartialEq)]
enum Does {
    Takes,
    Answers(u16),
    /// It takes it, and nobody hears of that.
    TakesInSilence,
    NeverGetsIt,
}

struct World {
    host: Host,
    app: Rc<App>,
    now_ms: u64,
    random: Random,
    timers: Vec<(u64, u64, Timer)>,
    /// Answers that are on their way: when they come, and to which life of the memory.
    answers: Vec<(u64, u64, object::Input)>,
    /// By the caller, what it published.
    open: BTreeMap<u64, String>,
    callers: u64,
    acknowledged: Vec<String>,
    /// Id and data, each time that it came.
    got: Vec<(String, String)>,
    /// Names of events of the channel's life.
    heard: Vec<String>,
    requests: Vec<Value>,
    posts: usize,
    reports: Vec<HookReport>,
    does: fn(&mut World) -> Does,
    /// Whom relays have, when they are asked.
    attached: u32,
}

fn address() -> Address {
    Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() }
}

fn app(hook: &Value) -> Rc<App> {
    let mut webhook = json!({"id": "log", "url": "https://example.com/hook", "secret": "a-secret"});
    webhook.as_object_mut().unwrap().extend(hook.as_object().unwrap().clone());
    let namespaces = json!([{"id": "room", "mutableMessages": false}]);
    Rc::new(
        serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": namespaces, "webhooks": [webhook]}))
            .unwrap(),
    )
}

impl World {
    fn new(seed: u64, hook: &Value, does: fn(&mut World) -> Does) -> World {
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
            does,
            attached: 0,
        }
    }

    fn turn(&mut self, input: object::Input) {
        let turned = self.host.turn(Input::Object(input), self.now_ms);
        let life = self.host.life;
        self.timers.extend(turned.started.into_iter().map(|(timer, after_ms)| (self.now_ms + after_ms, life, timer)));
        if turned.wrote && self.host.disk().failures == 0 {
            self.sync();
        }
        self.release();
    }

    fn sync(&mut self) {
        while !self.host.disk().is_synced() {
            self.host.disk_mut().sync();
            self.host.synced();
        }
    }

    fn release(&mut self) {
        for (life, output) in self.host.release() {
            match output {
                Output::Post(request) => self.post(life, request),
                Output::Answer { id, reply: Reply::Response(answer) } => self.answered(id, answer),
                Output::Ask(Question::App { ticket, call }) => {
                    let answer = match call.request {
                        _ if self.random.chance(200) => Err(Code::TimedOut.into()),
                        AppRequest::HookReport(report) => {
                            self.reports.push(*report);
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

    fn later(&mut self, life: u64, after_ms: u64, input: object::Input) {
        self.answers.push((self.now_ms + after_ms, life, input));
    }

    fn answered(&mut self, id: CallerId, answer: Result<Response, ErrorInfo>) {
        let Some(data) = self.open.remove(&id.0) else { return };
        if let Ok(Response::Published(published)) = answer
            && matches!(published.outcomes[..], [Outcome::Accepted { .. }])
        {
            self.acknowledged.push(data);
        }
    }

    fn post(&mut self, life: u64, request: HookRequest) {
        self.posts += 1;
        let does = (self.does)(self);
        if matches!(does, Does::Takes | Does::TakesInSilence) {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
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
            Does::TakesInSilence | Does::NeverGetsIt => (HOOK_TIMEOUT_MS, HookOutcome::Unreachable),
        };
        self.later(life, after_ms, object::Input::Posted { hook: request.id, attempt: request.attempt, outcome });
    }

    fn publish(&mut self, data: String) {
        self.callers += 1;
        let message = Message { data: Data::Text(data.clone()), ..Message::default() };
        let publish = Publish {
            key: PublishKey::Request(format!("request{}", self.callers)),
            connection_id: None,
            by: Source::SERVER,
            content: Submission::Messages(vec![message]),
        };
        self.open.insert(self.callers, data);
        self.call(Request::Publish(vec![publish]));
    }

    fn call(&mut self, request: Request) {
        let (to, caller) = (address(), CallerId(self.callers));
        let rules = Rules::on(&self.app, &to.channel);
        self.turn(object::Input::Call { caller, call: ChannelCall { to, rules, request } });
    }

    /// The next thing that is due, if it is by then.
    fn step(&mut self, until_ms: u64) -> bool {
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

    fn run_for(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        let mut steps = 0;
        while self.step(until_ms) {
            steps += 1;
            assert!(steps < 100_000, "it does the same again and again");
        }
    }

    /// Weather clears, and everything that was under way ends.
    fn settle(&mut self) {
        self.host.disk_mut().failures = 0;
        self.sync();
        self.release();
        self.does = |_| Does::Takes;
        self.run_for(2 * HOOK_RETRY_MAX_MS);
    }

    fn data(&self) -> Vec<String> {
        let mut first: Vec<String> = Vec::new();
        for (_, data) in &self.got {
            if !first.contains(data) {
                first.push(data.clone());
            }
        }
        first
    }
}

fn often_fails(world: &mut World) -> Does {
    match world.random.below(10) {
        0..4 => Does::Takes,
        4..6 => Does::Answers(500),
        6 => Does::Answers(429),
        7 => Does::TakesInSilence,
        _ => Does::NeverGetsIt,
    }
}

/// What a receiver must be able to rely on, whatever happens.
fn check(world: &World, seed: u64) {
    let got = world.data();
    for data in &world.acknowledged {
        assert!(got.contains(data), "seed {seed}: {data} was acknowledged and never came");
    }
    let mut by_id: BTreeMap<&String, &String> = BTreeMap::new();
    for (id, data) in &world.got {
        assert_eq!(*by_id.entry(id).or_insert(data), data, "seed {seed}: one id, one event");
    }
    let mut ids: Vec<&String> = Vec::new();
    for (id, _) in world.got.iter().filter(|(id, _)| !id.is_empty()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: they come in order at first: {ids:?}");
}

#[test]
fn whatever_was_acknowledged_comes_though_everything_fails() {
    let modes = [json!({}), json!({"requestMode": "single"})];
    let mut acknowledged = 0;
    for seed in 0..120 {
        let mut world = World::new(seed, &modes[(seed % 2) as usize], often_fails);
        for number in 0..60 {
            match world.random.below(14) {
                0 => {
                    world.host.crash();
                }
                1 => {
                    world.host.forget();
                }
                2 => {
                    let failures = *world.random.pick(&[0, 0, 30, 200]);
                    world.host.disk_mut().failures = failures;
                }
                3 => {
                    world.sync();
                    world.release();
                }
                4 => {
                    let ms = *world.random.pick(&[50, 5_000, 60_000, RETENTION_MS * 2]);
                    world.run_for(ms);
                }
                _ => world.publish(format!("{number}")),
            }
        }
        world.settle();
        check(&world, seed);
        acknowledged += world.acknowledged.len();
    }
    assert!(acknowledged > 1_000, "{acknowledged}: there was something to tell");
}

#[test]
fn a_receiver_that_is_away_for_hours_misses_nothing_though_nobody_else_could_read_it_any_more() {
    let mut world = World::new(1, &json!({}), |_| Does::Answers(503));
    for number in 0..50 {
        world.publish(format!("{number}"));
        world.run_for(10 * 60 * 1_000);
    }
    assert_eq!(world.acknowledged.len(), 50);
    let kept = world.host.disk().stored().rows.len();
    assert_eq!(kept, 50, "rows wait for the webhook");
    let asked = world.posts;
    assert!(asked < 100, "{asked} tries in {} hours", 50 / 6);
    assert!(matches!(world.reports[0].standings[..], [(_, HookStanding::Failing { .. })]));
    world.settle();
    assert_eq!(world.data(), world.acknowledged);
    assert_eq!(world.host.disk().stored().rows.len(), 1, "and then go");
    let last = world.reports.iter().rev().find_map(|report| report.standings.first()).unwrap();
    assert_eq!(last.1, HookStanding::Fine);
}

#[test]
fn events_of_yesterday_are_given_up_and_counted() {
    let mut world = World::new(2, &json!({}), |_| Does::Answers(500));
    world.publish("old".to_owned());
    world.run_for(HOOK_GIVE_UP_MS + 2 * HOOK_RETRY_MAX_MS);
    world.publish("new".to_owned());
    world.settle();
    assert_eq!(world.data(), ["new"]);
    let dead: Vec<_> = world.reports.iter().flat_map(|report| &report.dead).collect();
    assert_eq!((dead[0].count, dead[0].hook.as_str(), dead[0].error.code), (1, "log", 70002));
    assert_eq!(dead[0].first, dead[0].last);
}

#[test]
fn a_receiver_that_is_gone_is_not_asked_again() {
    let mut world = World::new(3, &json!({}), |_| Does::Answers(410));
    world.publish("a".to_owned());
    world.run_for(60_000);
    world.does = |_| Does::Takes;
    world.publish("b".to_owned());
    world.host.forget();
    world.publish("c".to_owned());
    world.run_for(HOOK_GIVE_UP_MS);
    assert_eq!((world.posts, world.got.len()), (1, 0));
    assert!(
        matches!(&world.reports[0].standings[..], [(_, HookStanding::Ended { error, .. })] if error.is(Code::WebhookEnded))
    );
    assert!(world.host.disk().stored().rows.len() <= 1, "nothing waits for it");

    world.app = app(&json!({"secret": "another-secret"}));
    world.publish("d".to_owned());
    world.settle();
    assert_eq!(world.data(), ["d"]);
}

#[test]
fn what_comes_together_goes_together_up_to_the_bound() {
    let mut world = World::new(4, &json!({}), |_| Does::Takes);
    world.does = |_| Does::Answers(503);
    let count = HOOK_BATCH_MAX_EVENTS + 1;
    (0..count).for_each(|number| world.publish(number.to_string()));
    world.settle();
    assert_eq!(world.data().len(), count);
    assert_eq!(world.requests.len(), 2, "{:?}", world.requests.len());
    assert_eq!(world.requests[0]["items"].as_array().unwrap().len(), HOOK_BATCH_MAX_EVENTS);
}

#[test]
fn a_webhook_costs_a_publish_nothing_and_a_request_one_row() {
    let mut world = World::new(5, &json!({}), |_| Does::Takes);
    world.publish("a".to_owned());
    world.settle();
    let before = world.host.disk().stored().hooks.clone();
    let request = |world: &mut World| world.host.disk().stored().hooks.clone();
    world.does = |_| Does::NeverGetsIt;
    world.publish("b".to_owned());
    assert_eq!(request(&mut world), before, "nothing is stored of what is sent");
    world.settle();
    assert_ne!(request(&mut world), before);
}

#[test]
fn events_that_a_webhook_does_not_want_wake_nobody() {
    let mut world = World::new(6, &json!({"events": ["channel.presence"]}), |_| Does::Takes);
    (0..10).for_each(|number| world.publish(number.to_string()));
    world.run_for(RETENTION_MS * 3);
    assert_eq!(world.posts, 0);
    assert_eq!(world.host.disk().stored().rows.len(), 1, "no row waits for it");
}

#[test]
fn a_crash_does_not_keep_from_the_receiver_that_everybody_has_gone() {
    let mut world = World::new(7, &json!({"events": ["channel.lifecycle", "channel.occupancy"]}), |_| Does::Takes);
    let relay = RelayName::shard(&address().app, 0);
    let mut local_occupancy = LocalOccupancy::default();
    local_occupancy.here.count(courtside::model::flags::Modes::NONE, 1);
    world.attached = 1;
    world.callers += 1;
    world.call(Request::Subscribe(relay, local_occupancy));
    world.run_for(5_000);
    assert_eq!(world.heard, ["channel.opened", "channel.occupied"]);
    world.attached = 0;
    world.host.crash();
    world.run_for(10 * 60 * 1_000);
    assert_eq!(world.heard, ["channel.opened", "channel.occupied", "channel.vacated", "channel.closed"]);
}

#[test]
fn a_request_whose_object_ends_is_made_again_when_its_lease_is_over() {
    let mut world = World::new(8, &json!({}), |_| Does::TakesInSilence);
    world.publish("a".to_owned());
    world.does = |_| Does::Takes;
    world.host.crash();
    world.run_for(HOOK_LEASE_MS);
    let ids: Vec<&String> = world.got.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), ids[0]), (2, ids[1]), "twice, and known by its id");
}
