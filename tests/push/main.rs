//! The outbox of push on a store in memory: what an app's object has the platform do, and that a restart changes none
//! of it.

mod bans;
mod contact;
mod outcomes;
#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support"]
mod support {
    pub mod app_store;
}

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use courtside::app::push::{Attempt, Outcome, To};
use courtside::auth::{Apps, Identity};
use courtside::error::Code;
use courtside::limits::{
    PUSH_DELAY_MS, PUSH_EXPAND_STEP, PUSH_FULL_WAIT_MS, PUSH_IN_FLIGHT_MAX, PUSH_LEASE_MS, PUSH_RETRY_MS,
    PUSHES_WAITING_MAX, SHORT_SECRET_MIN_BYTES,
};
use courtside::model::name::AppId;
use courtside::object::{AppHost, AppInput, AppOutput, CallerId, Settings};
use courtside::push::{Device, Subscriber, Subscription};
use courtside::rpc::{
    self, Answer, AppCall, AppRequest, AppResponse, ChannelPush, DirectPush, PushCaller, PushRequest, PushResponse,
    PushTarget, SubscriptionsQuery,
};
use serde_json::{Value, json};
use support::app_store::{self, AppMemory};

const NOW_MS: u64 = 1_800_000_000_000;

struct Scene {
    host: Option<AppHost<AppMemory>>,
    now_ms: u64,
    callers: u64,
    /// What the platform is asked to do, and has not done.
    attempts: Vec<Attempt>,
    answers: Vec<(CallerId, Answer<AppResponse>)>,
    alarm_ms: Option<u64>,
}

fn settings() -> Settings {
    let app = json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only"}], "namespaces": []});
    let apps = Apps::parse(&json!({ "apps": [app] }).to_string(), SHORT_SECRET_MIN_BYTES).unwrap();
    Settings { apps: Ok(Rc::new(apps)), bounds: Default::default() }
}

impl Scene {
    fn new() -> Scene {
        let mut scene = Scene::without_keys();
        scene.ask(PushRequest::Key { contact: "mailto:ops@example.com".into() }).unwrap();
        scene
    }

    fn without_keys() -> Scene {
        let host = Some(AppHost::new(settings(), AppMemory::default()));
        let (attempts, answers) = (Vec::new(), Vec::new());
        Scene { host, now_ms: NOW_MS, callers: 0, attempts, answers, alarm_ms: None }
    }

    fn turn(&mut self, input: AppInput) {
        let outputs = self.host.as_mut().unwrap().turn(input, self.now_ms);
        for output in outputs {
            match output {
                AppOutput::Attempt(attempt) => self.attempts.push(attempt),
                AppOutput::Answer { caller, answer } => self.answers.push((caller, answer)),
                AppOutput::SetAlarm { at_ms } => self.alarm_ms = Some(at_ms),
                AppOutput::MakeKeys => self.turn(AppInput::KeysMade(Some(app_store::push_keys()))),
                other => panic!("not of push: {other:?}"),
            }
        }
    }

    fn call(&mut self, request: PushRequest) -> CallerId {
        self.callers += 1;
        let call = AppCall { app: app(), request: AppRequest::Push(Box::new(request)) };
        self.turn(AppInput::Call { caller: CallerId(self.callers), call });
        CallerId(self.callers)
    }

    fn answer(&mut self, caller: CallerId) -> Option<Answer<PushResponse>> {
        let index = self.answers.iter().position(|(answered, _)| *answered == caller)?;
        Some(self.answers.remove(index).1.map(|answer| match answer {
            AppResponse::Push(answer) => answer,
            other => panic!("not of push: {other:?}"),
        }))
    }

    fn ask(&mut self, request: PushRequest) -> Answer<PushResponse> {
        let caller = self.call(request);
        self.answer(caller).expect("an answer at once")
    }

    fn device(&mut self, id: &str, client_id: Option<&str>) {
        let keys = json!({"p256dh": BASE64.encode([4; 65]), "auth": BASE64.encode([1; 16])});
        self.device_at(id, client_id, &BASE64URL.encode([4; 65]), &keys);
    }

    fn device_at(&mut self, id: &str, client_id: Option<&str>, key: &str, keys: &Value) {
        let recipient = json!({
            "transportType": "web", "targetUrl": format!("https://push.example.com/{id}"), "publicVapidKey": key,
            "encryptionKey": keys,
        });
        let body = json!({
            "id": id, "clientId": client_id, "platform": "browser", "formFactor": "desktop",
            "push": {"recipient": recipient},
        });
        let device = Device::read(&body, None).unwrap();
        self.ask(PushRequest::Save(admin(), device)).unwrap();
    }

    fn subscribe(&mut self, channel: &str, subscriber: Subscriber) {
        let subscription = Subscription { channel: channel.to_owned(), subscriber };
        self.ask(PushRequest::Subscribe(admin(), subscription)).unwrap();
    }

    fn say(&mut self, key: &str, channel: &str) {
        let said = ChannelPush { key: key.into(), channel: channel.into(), payload: r#"{"data":{"a":"b"}}"#.into() };
        assert_eq!(self.ask(PushRequest::Said(vec![said])), Ok(PushResponse::Done));
    }

    fn publish(&mut self, key: &str, target: PushTarget) -> Answer<()> {
        match self.ask(PushRequest::Publish { pushes: vec![direct(key, target)], wait: false }) {
            Ok(PushResponse::Published(mut outcomes)) => outcomes.remove(0),
            other => panic!("not published: {other:?}"),
        }
    }

    /// The alarm rings when it is set for.
    fn wait(&mut self) {
        let at_ms = self.alarm_ms.take().expect("an alarm");
        self.now_ms = self.now_ms.max(at_ms);
        self.turn(AppInput::Alarm);
    }

    /// Alarms ring until there is something to do, or for that long.
    fn wait_for(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        for _ in 0..1_000 {
            match self.alarm_ms.filter(|at_ms| *at_ms <= until_ms) {
                Some(_) if self.attempts.is_empty() => self.wait(),
                _ => return,
            }
        }
        panic!("alarms ring without end");
    }

    fn tried(&mut self, attempt: Attempt, outcome: Outcome) {
        self.turn(AppInput::Tried { delivery: attempt.delivery, outcome });
    }

    /// All deliveries, answered by this; whose endpoints they were for, in order.
    fn deliver(&mut self, status: u16) -> Vec<String> {
        let mut delivered = Vec::new();
        loop {
            self.wait_for(60_000);
            if self.attempts.is_empty() {
                return delivered;
            }
            assert!(self.attempts.len() <= PUSH_IN_FLIGHT_MAX);
            let attempt = self.attempts.remove(0);
            delivered.push(endpoint(&attempt));
            self.tried(attempt, Outcome::Status { status, retry_after_s: None });
        }
    }

    fn restart(&mut self) {
        let store = self.host.take().unwrap().into_store();
        self.host = Some(AppHost::new(settings(), store));
        self.attempts.clear();
    }

    fn store(&self) -> &AppMemory {
        self.host.as_ref().unwrap().store()
    }

    fn state(&self, id: &str) -> (&'static str, Option<u64>) {
        let device = self.store().push.devices[id].to_json(false);
        (self.store().push.devices[id].state.name(), device["push"]["error"]["code"].as_u64())
    }
}

fn app() -> AppId {
    AppId::parse("demo").unwrap()
}

fn admin() -> PushCaller {
    PushCaller { is_admin: true, proof: None, client_id: Identity::Wildcard }
}

fn direct(key: &str, target: PushTarget) -> DirectPush {
    DirectPush { key: key.into(), target, payload: r#"{"data":{"a":"b"}}"#.into() }
}

fn endpoint(attempt: &Attempt) -> String {
    match &attempt.to {
        To::Web(web) => web.recipient.endpoint.url.rsplit('/').next().unwrap().to_owned(),
        To::Channel(call) => call.to.channel.to_string(),
        other => panic!("not for a browser or a channel: {other:?}"),
    }
}

#[test]
fn a_channel_reaches_each_of_its_devices_once() {
    let mut scene = Scene::new();
    for id in ["a1", "a2", "b1", "c1"] {
        scene.device(id, Some(&id[..1]));
    }
    scene.subscribe("room", Subscriber::Client("a".into()));
    scene.subscribe("room", Subscriber::Device("a2".into()));
    scene.subscribe("room", Subscriber::Device("b1".into()));
    scene.subscribe("other", Subscriber::Client("c".into()));
    scene.say("1", "room");
    let mut reached = scene.deliver(201);
    reached.sort();
    assert_eq!(reached, ["a1", "a2", "b1"]);
    assert_eq!((scene.store().push.pushes.len(), scene.store().push.sends.len()), (0, 0), "nothing stays");
    assert_eq!(scene.alarm_ms, None, "and the object may sleep");
}

#[test]
fn a_push_to_many_is_spread_a_step_at_a_time() {
    let mut scene = Scene::new();
    let count = PUSH_EXPAND_STEP * 2 + 10;
    for index in 0..count {
        scene.device(&format!("d{index:04}"), Some(if index % 3 == 0 { "ann" } else { "ben" }));
    }
    for index in (0..count).step_by(2) {
        scene.subscribe("room", Subscriber::Device(format!("d{index:04}")));
    }
    for client in ["ann", "ben"] {
        scene.subscribe("room", Subscriber::Client(client.into()));
    }
    scene.say("1", "room");
    assert!(scene.store().push.sends.len() <= PUSH_EXPAND_STEP);
    let mut reached = scene.deliver(201);
    reached.sort();
    reached.dedup();
    assert_eq!(reached.len(), count);
    let again = scene.publish("2", PushTarget::Client("ben".into()));
    assert_eq!((again, scene.deliver(201).len()), (Ok(()), (0..count).filter(|index| index % 3 > 0).count()));
}

#[test]
fn nothing_is_delivered_before_whoever_published_can_attach() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    assert_eq!(scene.attempts, []);
    scene.wait();
    assert_eq!((scene.attempts.len(), scene.now_ms), (1, NOW_MS + PUSH_DELAY_MS));
}

#[test]
fn a_delivery_that_fails_is_tried_again_with_longer_and_longer_pauses() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    scene.wait();
    for (index, pause_ms) in PUSH_RETRY_MS.into_iter().enumerate() {
        let attempt = scene.attempts.pop().expect("another try");
        let outcome = match index {
            0 => Outcome::Unreachable,
            _ => Outcome::Status { status: 503, retry_after_s: None },
        };
        scene.tried(attempt, outcome);
        assert_eq!(scene.state("d1"), ("FAILING", Some(103007)));
        let before_ms = scene.now_ms;
        scene.wait_for(pause_ms - 1);
        assert_eq!(scene.attempts, [], "not before its time");
        scene.wait();
        assert_eq!((scene.attempts.len(), scene.now_ms - before_ms), (1, pause_ms));
    }
    let last = scene.attempts.pop().unwrap();
    scene.tried(last, Outcome::Unreachable);
    assert_eq!(scene.state("d1"), ("FAILING", Some(103001)));
    assert_eq!((scene.store().push.pushes.len(), scene.store().push.sends.len()), (0, 0));
    scene.publish("2", PushTarget::Device("d1".into())).unwrap();
    assert_eq!(scene.deliver(201), ["d1"], "the next one is tried as any other");
    assert_eq!(scene.state("d1"), ("ACTIVE", None));
}

#[test]
fn a_push_service_says_how_long_to_wait() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    scene.wait();
    let attempt = scene.attempts.pop().unwrap();
    scene.tried(attempt, Outcome::Status { status: 429, retry_after_s: Some(100) });
    let before_ms = scene.now_ms;
    scene.wait_for(99_999);
    scene.wait();
    assert_eq!((scene.attempts.len(), scene.now_ms - before_ms), (1, 100_000));
}

#[test]
fn what_an_answer_means_for_a_device() {
    for (status, state, code, is_kept) in [
        (201, "ACTIVE", None, false),
        (404, "FAILED", Some(103005), false),
        (410, "FAILED", Some(103005), false),
        (400, "FAILING", Some(103004), false),
        (413, "FAILING", Some(103004), false),
        (301, "FAILING", Some(103004), false),
        (403, "FAILING", Some(103008), false),
        (500, "FAILING", Some(103007), true),
    ] {
        let mut scene = Scene::new();
        scene.device("d1", None);
        scene.publish("1", PushTarget::Device("d1".into())).unwrap();
        scene.wait();
        let attempt = scene.attempts.pop().unwrap();
        scene.tried(attempt, Outcome::Status { status, retry_after_s: None });
        assert_eq!(scene.state("d1"), (state, code), "{status}");
        assert_eq!(!scene.store().push.sends.is_empty(), is_kept, "{status}");
        scene.publish("2", PushTarget::Device("d1".into())).unwrap();
        assert_eq!(scene.deliver(201).is_empty(), state == "FAILED", "{status}: a dead endpoint gets nothing more");
    }
}

#[test]
fn what_was_accepted_outlives_the_object() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    scene.restart();
    scene.wait();
    assert_eq!(scene.attempts.len(), 1, "accepted, and not spread");
    scene.restart();
    let before_ms = scene.now_ms;
    scene.wait_for(PUSH_LEASE_MS);
    assert_eq!((scene.attempts.len(), scene.now_ms - before_ms), (1, PUSH_LEASE_MS), "nobody knows how it went");
    let attempt = scene.attempts.pop().unwrap();
    scene.tried(attempt, Outcome::Status { status: 201, retry_after_s: None });
    scene.restart();
    scene.turn(AppInput::Alarm);
    assert_eq!((scene.attempts.len(), scene.store().push.pushes.len()), (0, 0));
}

#[test]
fn deliveries_that_nobody_hears_of_again_are_in_nobodys_way() {
    let mut scene = Scene::new();
    for index in 0..PUSH_IN_FLIGHT_MAX * 2 {
        let id = format!("d{index:02}");
        scene.device(&id, None);
        scene.publish(&id, PushTarget::Device(id.clone())).unwrap();
    }
    scene.wait();
    assert_eq!(std::mem::take(&mut scene.attempts).len(), PUSH_IN_FLIGHT_MAX);
    let before_ms = scene.now_ms;
    scene.wait_for(PUSH_LEASE_MS);
    assert_eq!((scene.attempts.len(), scene.now_ms - before_ms), (PUSH_IN_FLIGHT_MAX, PUSH_LEASE_MS));
    let mut reached = scene.deliver(201);
    reached.sort();
    reached.dedup();
    assert_eq!(reached.len(), PUSH_IN_FLIGHT_MAX * 2);
}

#[test]
fn a_push_that_comes_again_is_one() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.subscribe("room", Subscriber::Device("d1".into()));
    for _ in 0..3 {
        scene.say("1", "room");
        scene.publish("2", PushTarget::Device("d1".into())).unwrap();
    }
    assert_eq!(scene.deliver(201), ["d1", "d1"]);
}

#[test]
fn what_waits_is_bounded() {
    let push = |index: usize| direct(&index.to_string(), PushTarget::Client("ann".into()));
    let pushes = PushRequest::Publish { pushes: (0..=PUSHES_WAITING_MAX).map(push).collect(), wait: false };
    let mut host = AppHost::new(settings(), AppMemory::default());
    let call = |request| AppCall { app: app(), request: AppRequest::Push(Box::new(request)) };
    let answer = app_store::ask(&mut host, call(pushes), NOW_MS);
    let Ok(AppResponse::Push(PushResponse::Published(outcomes))) = answer else { panic!("not published") };
    assert!(outcomes[..PUSHES_WAITING_MAX].iter().all(Result::is_ok));
    assert!(outcomes[PUSHES_WAITING_MAX].as_ref().unwrap_err().is(Code::RateLimited));
}

#[test]
fn a_browser_that_subscribed_for_another_sender_is_not_called() {
    let mut scene = Scene::new();
    let keys = json!({"p256dh": BASE64.encode([4; 65]), "auth": BASE64.encode([1; 16])});
    scene.device_at("d1", None, "another", &keys);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    assert_eq!(scene.deliver(201), [""; 0]);
    assert_eq!(scene.state("d1"), ("FAILING", Some(103008)));
}

#[test]
fn a_notification_that_is_too_long_is_not_sent() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    let payload = json!({"data": {"a": "x".repeat(4_000)}}).to_string();
    let push = DirectPush { payload, ..direct("1", PushTarget::Device("d1".into())) };
    scene.ask(PushRequest::Publish { pushes: vec![push], wait: false }).unwrap();
    assert_eq!(scene.deliver(201), [""; 0]);
    assert_eq!(scene.state("d1"), ("FAILING", Some(103004)));
    assert_eq!(scene.store().push.pushes.len(), 0);
}

#[test]
fn a_publish_that_waits_is_answered_when_it_is_delivered() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    let waiting = |key: &str, id: &str| PushRequest::Publish {
        pushes: vec![direct(key, PushTarget::Device(id.into())), direct("none", PushTarget::Device("none".into()))],
        wait: true,
    };
    let caller = scene.call(waiting("1", "d1"));
    assert_eq!(scene.answer(caller), None);
    scene.wait();
    assert_eq!(scene.answer(caller), None);
    let attempt = scene.attempts.pop().unwrap();
    scene.tried(attempt, Outcome::Status { status: 201, retry_after_s: None });
    let Some(Ok(PushResponse::Published(outcomes))) = scene.answer(caller) else { panic!("not answered") };
    assert_eq!(outcomes[0], Ok(()));
    assert!(outcomes[1].as_ref().unwrap_err().is(Code::BadRequest));

    let caller = scene.call(waiting("2", "d1"));
    scene.wait();
    let attempt = scene.attempts.pop().unwrap();
    scene.tried(attempt, Outcome::Status { status: 503, retry_after_s: Some(3_000) });
    let before_ms = scene.now_ms;
    scene.wait_for(PUSH_FULL_WAIT_MS);
    assert!(scene.answer(caller).is_some() && scene.now_ms - before_ms <= PUSH_FULL_WAIT_MS, "not for ever");
}

#[test]
fn a_channel_is_told_by_a_key_of_its_app() {
    let mut scene = Scene::new();
    let recipient = |key: &str| {
        let recipient = json!({"transportType": "ablyChannel", "channel": "room", "ablyKey": key, "ablyUrl": "x"});
        PushTarget::Recipient(recipient.to_string())
    };
    scene.publish("1", recipient("demo.full:local-only")).unwrap();
    scene.wait();
    let attempt = scene.attempts.pop().unwrap();
    let To::Channel(call) = &attempt.to else { panic!("not a channel") };
    let rpc::Request::Publish(publishes) = &call.request else { panic!("not a publish") };
    assert_eq!(publishes[0].messages()[0].name.as_deref(), Some("__ably_push__"));
    scene.tried(attempt, Outcome::Channel(Err(Code::PublishRateLimited.into())));
    assert_eq!(scene.store().push.sends.len(), 1, "it is tried again");
    assert!(scene.publish("2", recipient("demo.full:wrong")).unwrap_err().is(Code::BadCredentials));
}

#[test]
fn storage_that_fails_is_tried_again() {
    let mut scene = Scene::new();
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    let broken = |scene: &mut Scene, is_broken| {
        let store = scene.host.take().unwrap().into_store();
        scene.host = Some(AppHost::new(settings(), AppMemory { is_broken, ..store }));
    };
    broken(&mut scene, true);
    let failed = scene.ask(PushRequest::Publish { pushes: vec![], wait: false }).unwrap_err();
    assert!(failed.is(Code::Internal));
    assert!(scene.ask(PushRequest::Devices(rpc::DevicesQuery::default())).unwrap_err().is(Code::Internal));
    broken(&mut scene, false);
    scene.turn(AppInput::Alarm);
    assert_eq!(scene.deliver(201), ["d1"]);
}

#[test]
fn an_app_that_ends_takes_its_devices_along() {
    let mut scene = Scene::new();
    let made = AppRequest::Create { config: r#"{"id":"made","keys":[],"namespaces":[]}"#.into(), channels: "".into() };
    let id = AppId::parse("made").unwrap();
    let call = |request| AppInput::Call { caller: CallerId(99), call: AppCall { app: id.clone(), request } };
    scene.turn(call(made));
    scene.device("d1", None);
    scene.publish("1", PushTarget::Device("d1".into())).unwrap();
    scene.turn(call(AppRequest::Delete));
    assert!(scene.store().push.devices.is_empty() && scene.store().push.pushes.is_empty());
    assert!(scene.store().push.vapid.is_none());
    assert_eq!(scene.deliver(201), [""; 0]);
}

#[test]
fn subscriptions_that_come_and_go_are_counted_once() {
    let mut scene = Scene::new();
    for channel in ["a", "b", "a", "b"] {
        scene.subscribe(channel, Subscriber::Client("ann".into()));
        let query = SubscriptionsQuery { channel: Some(channel.into()), ..SubscriptionsQuery::default() };
        scene.ask(PushRequest::Unsubscribe(admin(), query)).unwrap();
    }
    assert_eq!(scene.host.take().unwrap().into_store().push.subscriptions_counted, 1);
}
