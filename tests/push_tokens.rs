//! Deliveries by FCM and APNs on a store in memory: when a token is got, how long it is kept, and what becomes of
//! deliveries when a service does not accept it. The keys of the fixture have the form of keys, and nobody signs.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod app_store;
}

use std::rc::Rc;

use courtside::app::push::{Answered, Attempt, Outcome, Post, To};
use courtside::auth::{Apps, Identity};
use courtside::limits::{
    APNS_TOKEN_TTL_MS, PUSH_DELAY_MS, PUSH_DEVICES_MAX, PUSH_REFUSED_MS, PUSH_RETRY_MS, PUSH_TOKEN_MARGIN_MS,
    SHORT_SECRET_MIN_BYTES,
};
use courtside::model::name::AppId;
use courtside::object::{AppHost, AppInput, AppOutput, CallerId, Settings};
use courtside::push::Device;
use courtside::rpc::{AppCall, AppRequest, AppResponse, DirectPush, PushCaller, PushRequest, PushTarget};
use courtside::stats::PushOutcome;
use serde_json::{Value, json};
use support::app_store::AppMemory;

const NOW_MS: u64 = 1_800_000_000_000;

struct Scene {
    host: AppHost<AppMemory>,
    now_ms: u64,
    attempts: Vec<Attempt>,
    alarm_ms: Option<u64>,
    pushes: u64,
}

fn credentials() -> Value {
    serde_json::from_str(include_str!("fixtures/push_credentials.json")).unwrap()
}

fn settings(push: &Value) -> Settings {
    let app = json!({"id": "demo", "keys": [{"name": "full", "secret": "local-only"}], "push": push});
    let apps = Apps::parse(&json!({ "apps": [app] }).to_string(), SHORT_SECRET_MIN_BYTES).unwrap();
    Settings { apps: Ok(Rc::new(apps)), bounds: Default::default() }
}

impl Scene {
    fn new() -> Scene {
        let host = AppHost::new(settings(&credentials()), AppMemory::default());
        let mut scene = Scene { host, now_ms: NOW_MS, attempts: Vec::new(), alarm_ms: None, pushes: 0 };
        for id in ["a", "b", "c"] {
            scene.device(id, json!({"transportType": "fcm", "registrationToken": id}));
        }
        scene.device("i", json!({"transportType": "apns", "deviceToken": "abcd"}));
        scene
    }

    /// The memory goes, and the configuration may be another.
    fn restart(self, push: &Value) -> Scene {
        let host = AppHost::new(settings(push), self.host.into_store());
        Scene { host, attempts: Vec::new(), ..self }
    }

    fn device(&mut self, id: &str, recipient: Value) {
        let push = json!({ "recipient": recipient });
        let device = json!({"id": id, "platform": "android", "formFactor": "phone", "push": push});
        let by = PushCaller { is_admin: true, proof: None, client_id: Identity::Wildcard };
        self.ask(AppRequest::Push(Box::new(PushRequest::Save(by, Device::read(&device, None).unwrap()))));
    }

    fn ask(&mut self, request: AppRequest) -> Option<AppResponse> {
        let call = AppCall { app: AppId::parse("demo").unwrap(), request };
        self.turn(AppInput::Call { caller: CallerId(1), call })
    }

    fn turn(&mut self, input: AppInput) -> Option<AppResponse> {
        let mut answered = None;
        for output in self.host.turn(input, self.now_ms) {
            match output {
                AppOutput::Attempt(attempt) => self.attempts.push(attempt),
                AppOutput::SetAlarm { at_ms } => self.alarm_ms = Some(at_ms),
                AppOutput::Answer { answer, .. } => answered = answer.ok(),
                other => panic!("not of push: {other:?}"),
            }
        }
        answered
    }

    fn publish(&mut self, device: &str) {
        self.pushes += 1;
        let target = PushTarget::Device(device.to_owned());
        let push = DirectPush { key: self.pushes.to_string(), target, payload: r#"{"data":{"a":"b"}}"#.to_owned() };
        self.ask(AppRequest::Push(Box::new(PushRequest::Publish { pushes: vec![push], wait: false })));
    }

    /// Time passes; alarms ring.
    fn wait(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.alarm_ms.take_if(|at_ms| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.turn(AppInput::Alarm);
        }
        self.now_ms = until_ms;
    }

    /// Publishes, and waits until there is an attempt.
    fn try_to(&mut self, device: &str) {
        self.publish(device);
        self.wait(PUSH_DELAY_MS);
    }

    /// The attempt that was made first, and has no outcome yet.
    fn end_first(&mut self, outcome: Outcome) -> To {
        let Attempt { delivery, to } = self.attempts.remove(0);
        self.turn(AppInput::Tried { delivery, outcome });
        to
    }

    fn authorise(&mut self, token: &str) {
        assert!(matches!(self.attempts[0].to, To::Authorise(_)), "{:?}", self.attempts);
        self.end_first(answered(200, json!({"access_token": token, "expires_in": 3_600})));
    }

    fn state(&self, id: &str) -> (&'static str, Option<u64>) {
        let device = &self.host.store().push.devices[id];
        (device.state.name(), device.to_json(false)["push"]["error"]["code"].as_u64())
    }

    fn waiting(&self) -> usize {
        self.host.store().push.sends.len()
    }
}

fn answered(status: u16, body: Value) -> Outcome {
    Outcome::Answered(Answered { status, retry_after_s: None, body: body.to_string() })
}

fn fcm_says(status: u16, code: &str) -> Outcome {
    answered(status, json!({"error": {"status": code, "message": "m", "details": [{"errorCode": code}]}}))
}

fn apns_says(status: u16, reason: &str) -> Outcome {
    answered(status, json!({ "reason": reason }))
}

fn post(to: &To) -> &Post {
    let To::Post(post) = to else { panic!("no post: {to:?}") };
    post
}

fn header<'a>(post: &'a Post, name: &str) -> &'a str {
    let found = post.headers.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}

#[test]
fn deliveries_wait_for_one_token_and_share_it() {
    let mut scene = Scene::new();
    ["a", "b", "c"].into_iter().for_each(|id| scene.publish(id));
    scene.wait(PUSH_DELAY_MS);
    assert_eq!(scene.attempts.len(), 1, "one asks for a token");
    scene.authorise("t1");
    assert_eq!(scene.attempts.len(), 3);
    for _ in 0..3 {
        let to = scene.end_first(answered(200, json!({})));
        assert_eq!(header(post(&to), "authorization"), "Bearer t1");
        assert_eq!(post(&to).url, "https://fcm.googleapis.com/v1/projects/match-day/messages:send");
    }
    assert_eq!((scene.waiting(), scene.state("a")), (0, ("ACTIVE", None)));
    let mut scene = scene.restart(&credentials());
    scene.try_to("a");
    assert!(matches!(scene.attempts[0].to, To::Post(_)), "it is kept when the memory goes");
    scene.end_first(answered(200, json!({})));
    scene.wait(3_600_000 - PUSH_TOKEN_MARGIN_MS);
    scene.try_to("a");
    assert!(matches!(scene.attempts[0].to, To::Authorise(_)), "until shortly before its end");
}

#[test]
fn a_token_of_other_credentials_is_not_used() {
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.authorise("t1");
    scene.end_first(answered(200, json!({})));
    let mut changed = credentials();
    changed["fcm"]["serviceAccount"]["project_id"] = "another".into();
    let mut scene = scene.restart(&changed);
    scene.try_to("a");
    assert!(matches!(scene.attempts[0].to, To::Authorise(_)));
    let mut scene = scene.restart(&json!({"apns": changed["apns"]}));
    scene.try_to("b");
    assert_eq!((scene.attempts.len(), scene.state("b")), (0, ("FAILING", Some(103006))));
}

#[test]
fn a_denied_token_is_replaced_once() {
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.authorise("t1");
    scene.end_first(fcm_says(401, "UNAUTHENTICATED"));
    scene.authorise("t2");
    assert_eq!(header(post(&scene.attempts[0].to), "authorization"), "Bearer t2");
    scene.end_first(fcm_says(401, "UNAUTHENTICATED"));
    assert_eq!((scene.waiting(), scene.state("a")), (0, ("FAILING", Some(103008))));
    scene.try_to("b");
    assert_eq!((scene.attempts.len(), scene.state("b")), (0, ("FAILING", Some(103008))), "nobody is asked");
    scene.wait(PUSH_REFUSED_MS);
    scene.try_to("b");
    scene.authorise("t3");
    scene.end_first(answered(200, json!({})));
    assert_eq!(scene.state("b"), ("ACTIVE", None));
    scene.try_to("c");
    scene.end_first(fcm_says(401, "UNAUTHENTICATED"));
    scene.authorise("t4");
    scene.end_first(answered(200, json!({})));
    assert_eq!(scene.state("c"), ("ACTIVE", None), "one that was taken before may be replaced");
}

#[test]
fn deliveries_that_learn_of_a_denied_token_together_share_the_next() {
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.authorise("t1");
    scene.end_first(answered(200, json!({})));
    ["a", "b"].into_iter().for_each(|id| scene.publish(id));
    scene.wait(PUSH_DELAY_MS);
    scene.end_first(fcm_says(401, "UNAUTHENTICATED"));
    assert_eq!(scene.attempts.len(), 2, "the other, and one for a token");
    scene.end_first(fcm_says(401, "UNAUTHENTICATED"));
    scene.authorise("t2");
    for _ in 0..2 {
        let to = scene.end_first(answered(200, json!({})));
        assert_eq!(header(post(&to), "authorization"), "Bearer t2");
    }
    assert_eq!((scene.waiting(), scene.attempts.len()), (0, 0));
}

#[test]
fn a_token_endpoint_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
    let mut scene = Scene::new();
    ["a", "b"].into_iter().for_each(|id| scene.publish(id));
    scene.wait(PUSH_DELAY_MS);
    scene.end_first(Outcome::Unreachable);
    assert_eq!((scene.attempts.len(), scene.waiting()), (0, 2));
    assert_eq!((scene.state("a"), scene.state("b")), (("FAILING", Some(103007)), ("FAILING", Some(103007))));
    scene.wait(PUSH_RETRY_MS[0]);
    assert_eq!(scene.attempts.len(), 1);
    scene.end_first(answered(400, json!({"error": "invalid_grant", "error_description": "no such account"})));
    assert_eq!((scene.waiting(), scene.state("a"), scene.state("b").1), (0, ("FAILING", Some(103008)), Some(103008)));
    assert!(scene.host.store().push.devices["a"].to_json(false).contains_key("push"));
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.end_first(Outcome::BadKey);
    assert_eq!((scene.waiting(), scene.state("a")), (0, ("FAILING", Some(103008))));
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.end_first(answered(200, json!({"access_token": "two\nlines", "expires_in": 3_600})));
    assert_eq!(scene.state("a"), ("FAILING", Some(103008)), "what no header can hold is no token");
}

#[test]
fn a_token_of_apns_is_what_was_signed() {
    let mut scene = Scene::new();
    scene.try_to("i");
    let to = scene.end_first(Outcome::Signed("signed".to_owned()));
    let To::Authorise(authorise) = to else { panic!("no token is asked for") };
    assert_eq!((authorise.exchange_url, authorise.statement.split('.').count()), (None, 2));
    let to = scene.end_first(apns_says(403, "ExpiredProviderToken"));
    assert_eq!(post(&to).url, "https://api.push.apple.com/3/device/abcd");
    assert_eq!((header(post(&to), "authorization"), post(&to).needs_http2), ("bearer signed", true));
    assert_eq!(header(post(&to), "apns-push-type"), "background");
    let id = header(post(&to), "apns-id").to_owned();
    scene.end_first(Outcome::Signed("again".to_owned()));
    let to = scene.end_first(answered(200, json!({})));
    assert_eq!((header(post(&to), "authorization"), header(post(&to), "apns-id")), ("bearer again", id.as_str()));
    scene.wait(APNS_TOKEN_TTL_MS);
    scene.try_to("i");
    assert!(matches!(scene.attempts[0].to, To::Authorise(_)));
}

#[test]
fn what_answers_mean_for_a_device() {
    let token = json!({"error": {"status": "INVALID_ARGUMENT", "details": [
        {"errorCode": "INVALID_ARGUMENT"}, {"fieldViolations": [{"field": "message.token"}]},
    ]}});
    for (device, outcome, state, is_kept) in [
        ("a", fcm_says(404, "UNREGISTERED"), ("FAILED", Some(103005)), false),
        ("a", answered(400, token), ("FAILED", Some(103005)), false),
        ("a", fcm_says(400, "INVALID_ARGUMENT"), ("FAILING", Some(103004)), false),
        ("a", fcm_says(403, "SENDER_ID_MISMATCH"), ("FAILING", Some(103008)), false),
        ("a", fcm_says(403, "PERMISSION_DENIED"), ("FAILING", Some(103008)), false),
        ("a", fcm_says(404, "NOT_FOUND"), ("FAILING", Some(103008)), false),
        ("a", fcm_says(401, "THIRD_PARTY_AUTH_ERROR"), ("FAILING", Some(103008)), false),
        ("a", fcm_says(429, "QUOTA_EXCEEDED"), ("FAILING", Some(103007)), true),
        ("a", answered(503, Value::Null), ("FAILING", Some(103007)), true),
        ("a", answered(302, Value::Null), ("FAILING", Some(103004)), false),
        ("a", Outcome::Unreachable, ("FAILING", Some(103007)), true),
        ("i", apns_says(410, "Unregistered"), ("FAILED", Some(103005)), false),
        ("i", apns_says(410, "ExpiredToken"), ("FAILED", Some(103005)), false),
        ("i", apns_says(400, "BadDeviceToken"), ("FAILED", Some(103005)), false),
        ("i", apns_says(400, "DeviceTokenNotForTopic"), ("FAILING", Some(103008)), false),
        ("i", apns_says(400, "TopicDisallowed"), ("FAILING", Some(103008)), false),
        ("i", apns_says(403, "InvalidProviderToken"), ("FAILING", Some(103008)), false),
        ("i", apns_says(413, "PayloadTooLarge"), ("FAILING", Some(103004)), false),
        ("i", apns_says(429, "TooManyRequests"), ("FAILING", Some(103007)), true),
        ("i", apns_says(429, "TooManyProviderTokenUpdates"), ("FAILING", Some(103007)), true),
        ("i", apns_says(500, "InternalServerError"), ("FAILING", Some(103007)), true),
    ] {
        let mut scene = Scene::new();
        scene.try_to(device);
        match device {
            "i" => drop(scene.end_first(Outcome::Signed("t".to_owned()))),
            _ => scene.authorise("t"),
        }
        let what = format!("{outcome:?} {state:?}");
        scene.end_first(outcome);
        assert_eq!((scene.state(device), scene.waiting() == 1), (state, is_kept), "{what}");
    }
}

#[test]
fn devices_that_are_gone_make_room_for_others() {
    let mut scene = Scene::new();
    scene.try_to("i");
    scene.end_first(Outcome::Signed("t".to_owned()));
    scene.end_first(apns_says(410, "Unregistered"));
    let device = scene.host.store().push.devices["a"].clone();
    let mut store = scene.host.into_store();
    for index in store.push.devices.len()..PUSH_DEVICES_MAX {
        let id = format!("d{index}");
        store.push.devices.insert(id.clone(), Device { id, ..device.clone() });
    }
    let host = AppHost::new(settings(&credentials()), store);
    scene = Scene { host, now_ms: NOW_MS, attempts: Vec::new(), alarm_ms: None, pushes: 9 };
    for id in ["new", "newer"] {
        scene.device(id, json!({"transportType": "fcm", "registrationToken": id}));
    }
    let devices = &scene.host.store().push.devices;
    assert_eq!(devices.len(), PUSH_DEVICES_MAX);
    assert_eq!(["i", "new", "newer"].map(|id| devices.contains_key(id)), [false, true, false]);
}

#[test]
fn how_attempts_went_is_counted() {
    let mut scene = Scene::new();
    scene.try_to("a");
    scene.authorise("t");
    scene.end_first(answered(503, Value::Null));
    scene.wait(PUSH_RETRY_MS[0]);
    scene.end_first(answered(200, json!({})));
    scene.try_to("i");
    scene.end_first(Outcome::BadKey);
    let Some(AppResponse::Total(total)) = scene.ask(AppRequest::Total) else { panic!("no total") };
    let counts = |transport| PushOutcome::ALL.map(|outcome| total.pushes(transport, outcome));
    assert_eq!((counts("fcm"), counts("apns"), counts("web")), ([1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0; 5]));
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let mut scene = Scene::new();
    scene.try_to("a");
    let printed = format!("{:?}", scene.attempts);
    assert!(!printed.contains("195, 195"), "{printed}");
    scene.authorise("t-o-k-e-n");
    assert!(!format!("{:?}", scene.attempts).contains("t-o-k-e-n"));
    assert!(!format!("{:?}", answered(200, json!("t-o-k-e-n"))).contains("t-o-k-e-n"));
}
