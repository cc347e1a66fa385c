//! A relay whose app's object can't be reached: clients of an app of the deployment's own come in all the same, and
//! what the app says applies as soon as it can be asked.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod random;
}

use std::rc::Rc;

use courtside::auth::{App, Apps, Ban, Grant, Identity};
use courtside::error::{Code, ErrorInfo};
use courtside::limits::WATCH_PAUSE_MS;
use courtside::model::Format;
use courtside::object::{self, Question};
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::{Answer, AppRequest, AppResponse, RelayName, Ticket, Watched, Watching};
use serde_json::{Value, json};
use support::disk::Disk;
use support::host::{Host, Input, LinkId, Output};
use support::random::Random;

const NOW_MS: u64 = 1_000_000;

/// One relay, and what it has said since that was last looked at.
struct Scene {
    host: Host,
    now_ms: u64,
    said: Vec<Output>,
}

impl Scene {
    fn new(key: &Value) -> Scene {
        let app = json!({"id": "demo", "keys": [key]});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
        let name = RelayName::shard(app.id(), 0);
        Scene { host: Host::new(name, app, None, Disk::new(Random::new(0))), now_ms: NOW_MS, said: Vec::new() }
    }

    fn of_a_plain_key() -> Scene {
        Scene::new(&json!({"name": "key", "secret": "a-secret-of-it", "capability": {"*": ["*"]}}))
    }

    fn turn(&mut self, input: Input) {
        if self.host.turn(input, self.now_ms).wrote {
            self.host.disk_mut().sync();
            self.host.synced();
        }
        self.said.extend(self.host.release().into_iter().map(|(_, output)| output));
    }

    fn connect(&mut self, link: u64, client_id: &str, basic: bool) {
        let (client_id, issued_at_ms) = (Identity::Named(client_id.into()), (!basic).then_some(self.now_ms));
        let grant = Grant { client_id, basic, issued_at_ms, ..support::grant::grant() };
        let opening = Opening::from_query(grant, &[], true);
        self.turn(Input::Open { link: LinkId(link), mode: None, opening, fresh_id: format!("conn{link}") });
    }

    fn say(&mut self, link: u64, frame: &Value) {
        let bytes = frame.to_string().into_bytes();
        self.turn(Input::Frame { link: LinkId(link), bytes, format: Format::Json });
    }

    /// The next question to the app, if there is one.
    fn asked(&mut self) -> Option<Ticket> {
        let is_watch = |output: &Output| match output {
            Output::Ask(Question::App { call, .. }) => matches!(call.request, AppRequest::Watch(_)),
            _ => false,
        };
        let index = self.said.iter().position(is_watch)?;
        match self.said.remove(index) {
            Output::Ask(Question::App { ticket, .. }) => Some(ticket),
            _ => None,
        }
    }

    fn answered(&mut self, ticket: Ticket, answer: Answer<AppResponse>) {
        self.turn(Input::Object(object::Input::AppAnswered { ticket, answer }));
    }

    /// The app can't be reached.
    fn unanswered(&mut self) {
        let ticket = self.asked().expect("it asks");
        self.answered(ticket, Err(ErrorInfo::from(Code::TimedOut)));
    }

    fn ring(&mut self) {
        let alarm_ms = self.host.disk().alarm_ms().expect("an alarm");
        self.now_ms = self.now_ms.max(alarm_ms);
        self.turn(Input::Object(object::Input::Alarm));
    }

    /// The actions of the frames that a client was sent, and whether it was sent away.
    fn heard(&self, link: u64) -> (Vec<u64>, bool) {
        let action = |frame: &Encoded| match frame {
            Encoded::Text(text) => serde_json::from_str::<Value>(text).unwrap()["action"].as_u64().unwrap(),
            other => panic!("no text: {other:?}"),
        };
        let frames = self.said.iter().filter_map(|output| match output {
            Output::Frame { link: to, frame } if *to == LinkId(link) => Some(action(frame)),
            _ => None,
        });
        let closed = self.said.iter().any(|output| matches!(output, Output::Close { link: to } if *to == LinkId(link)));
        (frames.collect(), closed)
    }
}

fn watching(banned: &str) -> Answer<AppResponse> {
    let ban = Ban {
        client_id: banned.to_owned(),
        channels: None,
        since_ms: NOW_MS,
        until_ms: None,
        reason: String::new(),
        interval_ms: None,
    };
    let watched = Watched { ticket: 1, config: None, revocations: Vec::new() };
    Ok(AppResponse::Watching(Box::new(Watching { watched, bans: vec![ban] })))
}

const HEARTBEAT: u64 = 0;
const CONNECTED: u64 = 4;
const ERROR: u64 = 9;

#[test]
fn clients_come_in_and_who_is_banned_leaves_once_the_app_is_reached() {
    let mut scene = Scene::of_a_plain_key();
    scene.connect(1, "ann", true);
    assert_eq!(scene.heard(1), (vec![], false), "it waits for the app");
    scene.unanswered();
    assert_eq!(scene.heard(1), (vec![CONNECTED], false));
    scene.connect(2, "bob", true);
    assert_eq!((scene.heard(2), scene.asked()), ((vec![CONNECTED], false), None), "who comes next does not wait");

    scene.ring();
    assert_eq!(scene.now_ms, NOW_MS + WATCH_PAUSE_MS);
    scene.unanswered();
    scene.ring();
    assert_eq!(scene.now_ms, NOW_MS + 2 * WATCH_PAUSE_MS, "it is asked again and again");
    let ticket = scene.asked().unwrap();
    scene.answered(ticket, watching("ann"));
    assert_eq!(scene.heard(1), (vec![CONNECTED, ERROR], true));
    assert_eq!(scene.heard(2), (vec![CONNECTED], false));
    scene.connect(3, "ann", true);
    assert_eq!((scene.heard(3), scene.asked()), ((vec![], true), None), "the watch has begun");
}

/// Of the connections of one client, the last to come in may be the one that stays.
#[test]
fn who_waits_for_the_app_comes_in_before_who_comes_later_and_need_not_wait() {
    let mut scene = Scene::of_a_plain_key();
    scene.connect(1, "ann", true);
    scene.unanswered();
    scene.now_ms += WATCH_PAUSE_MS;
    scene.connect(2, "bob", true);
    assert_eq!(scene.heard(2), (vec![], false), "it waits for the app");
    scene.ring();
    scene.connect(3, "bob", true);
    let came = scene.said.iter().filter_map(|output| match output {
        Output::Frame { link, .. } if *link != LinkId(1) => Some(link.0),
        _ => None,
    });
    assert_eq!(came.collect::<Vec<_>>(), [2, 3]);
    for _ in 0..2 {
        scene.unanswered();
    }
    assert_eq!((scene.heard(2), scene.heard(3)), ((vec![CONNECTED], false), (vec![CONNECTED], false)), "once");
}

/// They would come in together, and then they could not.
#[test]
fn no_more_wait_for_the_app_than_may_come_in_within_a_second() {
    let mut scene = Scene::of_a_plain_key();
    scene.host.set_bounds(Bounds { connects_per_second: 2, ..Bounds::default() });
    (1..=3).for_each(|link| scene.connect(link, "ann", true));
    assert_eq!([1, 2, 3].map(|link| scene.heard(link)), [(vec![], false), (vec![], false), (vec![], true)]);
    let ticket = scene.asked().unwrap();
    scene.answered(ticket, watching("bob"));
    assert_eq!([1, 2].map(|link| scene.heard(link).0), [vec![CONNECTED], vec![CONNECTED]]);
}

/// Its memory held that the app was to be asked again.
#[test]
fn a_relay_that_forgot_all_asks_again() {
    let mut scene = Scene::of_a_plain_key();
    scene.connect(1, "ann", true);
    scene.unanswered();
    scene.host.forget();
    scene.say(1, &json!({"action": HEARTBEAT}));
    scene.ring();
    let ticket = scene.asked().unwrap();
    scene.answered(ticket, watching("ann"));
    assert_eq!(scene.heard(1), (vec![CONNECTED, HEARTBEAT, ERROR], true));
}

/// Nor is an app asked that nobody uses.
#[test]
fn a_relay_that_all_have_left_asks_no_more() {
    let mut scene = Scene::of_a_plain_key();
    scene.connect(1, "ann", true);
    scene.unanswered();
    scene.say(1, &json!({"action": 7}));
    scene.ring();
    assert_eq!(scene.asked(), None);
}

/// It may be one that was revoked, and only the app's object knows.
#[test]
fn a_token_that_can_be_revoked_waits_for_the_app() {
    let key = json!({"name": "key", "secret": "a-secret-of-it", "capability": {"*": ["*"]}, "revocableTokens": true});
    let mut scene = Scene::new(&key);
    scene.connect(1, "ann", false);
    scene.unanswered();
    assert_eq!(scene.heard(1), (vec![], true));
    scene.connect(2, "bob", true);
    scene.unanswered();
    assert_eq!(scene.heard(2), (vec![CONNECTED], false), "by the key itself");
    scene.connect(3, "ann", false);
    assert!(scene.asked().is_some(), "and it is asked for each");
}

/// The app has said whom it keeps out, so nobody needs to come in without its word. What could not be stored may be
/// stored all the same, and the relay's memory does not know it.
#[test]
fn who_is_banned_does_not_come_in_while_the_bans_cannot_be_stored() {
    for seed in 0..32 {
        let mut scene = Scene::of_a_plain_key();
        scene.host = Host::new(scene.host.name.clone(), scene.host.app.clone(), None, Disk::new(Random::new(seed)));
        scene.connect(1, "bob", true);
        scene.unanswered();
        scene.now_ms += WATCH_PAUSE_MS;
        scene.connect(2, "ann", true);
        let ticket = scene.asked().unwrap();
        scene.host.disk_mut().failures = 500;
        scene.answered(ticket, watching("ann"));
        assert_eq!(scene.heard(2), (vec![], true), "it comes again");
        scene.host.disk_mut().failures = 0;
        scene.connect(3, "ann", true);
        // If none of it failed, the watch has begun.
        if let Some(ticket) = scene.asked() {
            scene.answered(ticket, watching("ann"));
        }
        assert_eq!((scene.heard(3), scene.heard(1)), ((vec![], true), (vec![CONNECTED], false)));
    }
}

/// The key was good when the request came, and nobody would look at it again.
#[test]
fn who_waits_for_the_app_while_its_key_ends_is_sent_back() {
    let key = |name: &str| json!({"name": name, "secret": "a-secret-of-it", "capability": {"*": ["*"]}});
    let apps = |keys: Value| {
        let app: App = serde_json::from_value(json!({"id": "demo", "keys": keys})).unwrap();
        Rc::new(Apps::of([Rc::new(app)]))
    };
    let (before, after) = (apps(json!([key("key")])), apps(json!([key("other")])));
    for (after, comes_in) in [(after, false), (before.clone(), true)] {
        let mut scene = Scene::of_a_plain_key();
        scene.connect(1, "ann", true);
        scene.turn(Input::Object(object::Input::Reconfigure { apps: Ok(after), before: Some(before.clone()) }));
        let ticket = scene.asked().unwrap();
        scene.answered(ticket, watching("bob"));
        let heard = if comes_in { (vec![CONNECTED], false) } else { (vec![], true) };
        assert_eq!(scene.heard(1), heard);
    }
}
