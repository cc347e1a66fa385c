//! What an app says reaches every relay that holds its clients, whichever calls are late or lost.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod app_store;
    #[cfg(feature = "mqtt")]
    pub mod bench;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    #[cfg(feature = "mqtt")]
    pub mod mqtt;
    pub mod objects;
    pub mod random;
}

use std::rc::Rc;

use courtside::auth::{App, Ban, Grant, Identity, KeyName, Revocation, Rules as NamespaceRules, Target};
use courtside::limits::{NOTICE_RETRY_MS, WATCH_PAUSE_MS};
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::rpc::{Act, Address, AdminCall, AppRequest, Change, ChannelCall, RelayName, Request, Rules};
use serde_json::{Value, json};
use support::disk::Disk;
use support::host::{Host, Input, LinkId};
use support::objects::{Heard, Objects};
use support::random::Random;

const NOW_MS: u64 = 1_000_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A channel's object, one relay, and the channel of wills.
const CHANNEL: usize = 0;
const RELAY: usize = 1;
#[cfg(feature = "mqtt")]
const WILLS: usize = 2;

const CONNECTED: u64 = 4;
const CLOSE: u64 = 7;
const ERROR: u64 = 9;
const ATTACH: u64 = 10;
const ATTACHED: u64 = 11;
const MESSAGE: u64 = 15;

struct Scene {
    objects: Objects,
}

impl Scene {
    /// An app that was made at run time, or one of the deployment's own.
    fn new(is_made: bool) -> Scene {
        Scene::with(is_made, &json!([]))
    }

    fn with(is_made: bool, namespaces: &Value) -> Scene {
        let key = json!({"name": "key", "secret": "a-secret-of-the-app", "revocableTokens": true});
        let app = json!({"id": "demo", "keys": [key], "namespaces": namespaces});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).unwrap());
        let disk = || Disk::new(Random::new(0));
        let channel = |name| {
            let address = Address { app: app.id().clone(), channel: ChannelName::parse(name).unwrap() };
            Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk())
        };
        let relay = Host::new(RelayName::shard(app.id(), 0), app.clone(), None, disk());
        let new = if is_made { Objects::made } else { Objects::new };
        let hosts = vec![channel("room"), relay, channel("wills")];
        Scene { objects: new(app, hosts, NOW_MS) }
    }

    fn connect(&mut self, link: u64) {
        self.open(link, support::grant::grant());
    }

    fn connect_as(&mut self, link: u64, name: &str) {
        self.open(link, Grant { client_id: Identity::Named(name.into()), ..support::grant::grant() });
    }

    /// By a token that can be revoked.
    fn connect_by_token(&mut self, link: u64, name: &str) {
        let (client_id, issued_at_ms) = (Identity::Named(name.into()), Some(NOW_MS));
        self.open(link, Grant { client_id, issued_at_ms, basic: false, ..support::grant::grant() });
    }

    fn revoke(&mut self, name: &str) {
        let revocation = Revocation {
            key_name: KeyName::parse("demo.key").unwrap(),
            target: Target::ClientId(name.to_owned()),
            issued_before_ms: self.objects.now_ms + 1,
            applies_at_ms: self.objects.now_ms,
        };
        self.objects.operate(AppRequest::Revoke(vec![revocation])).unwrap();
    }

    fn ban(&mut self, name: &str) {
        let ban = Ban { until_ms: None, since_ms: NOW_MS, interval_ms: None, ..Ban::lifted(name, None) };
        self.objects.operate(AppRequest::Admin(AdminCall { note: None, act: Act::Ban(ban) }.into())).unwrap();
    }

    fn lift(&mut self, name: &str) {
        let act = Act::Lift { client_id: name.to_owned(), channels: None };
        self.objects.operate(AppRequest::Admin(AdminCall { note: None, act }.into())).unwrap();
    }

    /// The relay asks to watch, in vain as far as it knows, and asks again. The first call is carried out later.
    fn watch_late(&mut self) {
        self.objects.app.held = Some(Vec::new());
        self.connect_by_token(1, "eve");
        let mut lost = self.objects.lose_questions();
        self.connect_by_token(2, "ann");
        assert_eq!(self.heard(2), (vec![CONNECTED], false));
        let late = lost.pop().expect("it asks");
        self.objects.operate(late).unwrap();
    }

    fn open(&mut self, link: u64, grant: Grant) {
        let opening = Opening::from_query(grant, &[], true);
        let fresh_id = format!("conn{link}");
        self.objects.turn(RELAY, Input::Open { link: LinkId(link), mode: None, opening, fresh_id });
    }

    fn say(&mut self, link: u64, frame: &Value) {
        let bytes = frame.to_string().into_bytes();
        self.objects.turn(RELAY, Input::Frame { link: LinkId(link), bytes, format: Format::Json });
    }

    fn publish(&mut self, link: u64, serial: u64) {
        let frame = json!({"action": MESSAGE, "channel": "room", "msgSerial": serial, "messages": [{}]});
        self.say(link, &frame);
    }

    fn set_namespace(&mut self, namespace: &Value) {
        let act = Act::Configure(Change::PutNamespace(namespace.to_string()));
        self.objects.operate(AppRequest::Admin(AdminCall { note: None, act }.into())).unwrap();
    }

    fn change_keys(&mut self, change: Change) {
        let call = AdminCall { note: None, act: Act::Configure(change) };
        self.objects.operate(AppRequest::Admin(call.into())).unwrap();
    }

    /// A client of another key, which was added.
    fn connect_by(&mut self, link: u64, key: &str) {
        self.open(link, Grant { key_name: KeyName::parse(&format!("demo.{key}")).unwrap(), ..support::grant::grant() });
    }

    /// A call by somebody who has not heard that anything is kept.
    fn call_late(&mut self) {
        let to = self.objects.hosts[CHANNEL].address.clone().unwrap();
        let rules = Rules::of(NamespaceRules::NONE);
        self.objects.call(ChannelCall { to, rules, request: Request::Count });
    }

    /// The actions of the frames that a client was sent since this was last asked, and whether it was sent away.
    fn heard(&mut self, link: u64) -> (Vec<u64>, bool) {
        let (mut actions, mut closed) = (Vec::new(), false);
        let (own, others) =
            std::mem::take(&mut self.objects.heard).into_iter().partition(|(to, _)| *to == LinkId(link));
        self.objects.heard = others;
        let own: Vec<(LinkId, Heard)> = own;
        for (_, heard) in own {
            match heard {
                Heard::Frame(frame) => {
                    let Encoded::Text(text) = &*frame else { unreachable!("all speak JSON") };
                    actions.push(serde_json::from_str::<Value>(text).unwrap()["action"].as_u64().unwrap());
                }
                Heard::Closed => closed = true,
            }
        }
        (actions, closed)
    }

    fn rows(&self) -> usize {
        self.objects.hosts[CHANNEL].disk().stored().rows.len()
    }
}

/// Its memory outlives its last client, and what the app said of it.
#[test]
fn a_relay_whose_watch_begins_anew_knows_what_changed_meanwhile() {
    let mut scene = Scene::new(true);
    scene.connect(1);
    scene.publish(1, 0);
    scene.say(1, &json!({"action": CLOSE}));
    scene.set_namespace(&json!({"id": "*", "persisted": true, "authenticated": true}));
    scene.connect(2);
    scene.heard(2);
    scene.say(2, &json!({"action": ATTACH, "channel": "room"}));
    assert_eq!(scene.heard(2), (vec![ERROR], false), "only those with a name may come");
    scene.connect_as(3, "ann");
    scene.say(3, &json!({"action": ATTACH, "channel": "room"}));
    assert!(scene.heard(3).0.contains(&ATTACHED));
    for serial in 0..3 {
        scene.publish(3, serial);
        scene.objects.pass(HOUR_MS);
    }
    assert_eq!(scene.rows(), 4, "the relay's calls say that messages are kept");
}

#[test]
fn a_watch_that_another_replaced_late_is_begun_anew() {
    let mut scene = Scene::new(false);
    scene.watch_late();
    scene.revoke("ann");
    assert!(scene.heard(2).1, "the app told it to a watch of which the relay does not know");
    scene.connect_by_token(3, "bob");
    assert_eq!(scene.heard(3), (vec![CONNECTED], false));
    scene.revoke("bob");
    assert!(scene.heard(3).1, "and to the next one");
    scene.connect_by_token(4, "bob");
    assert_eq!(scene.heard(4), (vec![], true));
}

/// What is stored says that the relay has to ask.
#[test]
fn a_watch_in_doubt_is_begun_anew_by_the_next_memory() {
    let mut scene = Scene::new(false);
    scene.watch_late();
    scene.objects.app.held = Some(Vec::new());
    scene.revoke("ann");
    scene.objects.hosts[RELAY].forget();
    scene.objects.lose_questions();
    scene.objects.pass(2 * WATCH_PAUSE_MS);
    assert!(scene.heard(2).1);
}

/// Whom the app kept out when it last said so stays out until it says another thing.
#[test]
fn a_ban_holds_while_the_watch_is_in_doubt() {
    let mut scene = Scene::new(false);
    scene.ban("eve");
    scene.watch_late();
    scene.objects.app.held = Some(Vec::new());
    scene.revoke("bob");
    scene.objects.lose_questions();
    scene.connect_as(3, "eve");
    scene.objects.hosts[RELAY].forget();
    scene.objects.app.held = Some(Vec::new());
    scene.connect_as(4, "eve");
    scene.objects.lose_questions();
    assert_eq!((scene.heard(3), scene.heard(4)), ((vec![], true), (vec![], true)));
}

#[test]
fn what_the_app_gave_up_to_tell_is_old_behind_what_it_told_since() {
    let mut scene = Scene::new(false);
    scene.connect_by_token(1, "eve");
    scene.objects.unreachable.push(RELAY);
    scene.ban("ann");
    scene.objects.unreachable.clear();
    scene.lift("ann");
    scene.objects.pass(2 * NOTICE_RETRY_MS);
    scene.objects.hosts[RELAY].forget();
    scene.objects.tell_late();
    scene.connect_as(2, "ann");
    assert_eq!(scene.heard(2), (vec![CONNECTED], false), "the ban was lifted");
    scene.ban("ann");
    assert!(scene.heard(2).1);
}

#[test]
fn what_is_revoked_before_the_answer_to_a_watch_comes_holds_for_who_comes_with_it() {
    let mut scene = Scene::new(false);
    scene.objects.app.held_answers = Some(Vec::new());
    scene.connect_by_token(1, "ann");
    scene.connect_by_token(2, "bob");
    scene.revoke("ann");
    scene.objects.free_word();
    assert!(scene.heard(1).1);
    assert_eq!(scene.heard(2), (vec![CONNECTED], false));
    scene.revoke("bob");
    assert!(scene.heard(2).1, "the watch is one that the app knows of");
}

/// Nor would the app answer a relay that asks to watch it.
#[test]
fn an_app_that_is_deleted_ends_its_clients_whichever_watch_it_tells() {
    let mut scene = Scene::new(true);
    scene.watch_late();
    scene.objects.operate(AppRequest::Delete).unwrap();
    assert!(scene.heard(2).1);

    let mut scene = Scene::new(true);
    scene.watch_late();
    scene.objects.app.held = Some(Vec::new());
    scene.revoke("bob");
    scene.objects.operate(AppRequest::Delete).unwrap();
    scene.objects.free_questions();
    assert!(scene.heard(2).1, "it is told when it asks");
}

/// Whose relay was killed has no connection, and it is the relay that says the will.
#[cfg(feature = "mqtt")]
#[test]
fn no_will_is_said_for_who_was_banned_since() {
    for (banned, said) in [("bob", 1), ("ann", 0)] {
        let mut scene = Scene::new(false);
        let grant = Grant { client_id: Identity::Named("ann".into()), ..support::grant::grant() };
        let opening = support::mqtt::opening(grant, "ann", true, NOW_MS);
        scene.objects.turn(RELAY, Input::Open { link: LinkId(1), mode: None, opening, fresh_id: "conn1".into() });
        scene.objects.hosts[RELAY].crash();
        scene.objects.turn(RELAY, Input::Object(courtside::object::Input::Alarm));
        scene.ban(banned);
        scene.objects.pass(HOUR_MS / 60);
        assert_eq!(scene.objects.hosts[WILLS].disk().stored().rows.len(), said, "{banned} is banned");
    }
}

/// Nor a call that comes before the app could be asked, or by whoever goes on and on.
#[test]
fn a_late_call_destroys_nothing_that_is_kept_by_now() {
    for is_made in [true, false] {
        let mut scene = Scene::with(is_made, &json!([{"id": "*", "persisted": true}]));
        scene.connect(1);
        (0..3).for_each(|serial| scene.publish(1, serial));
        scene.call_late();
        scene.objects.pass(HOUR_MS);
        assert_eq!(scene.rows(), 3);
        scene.objects.app.held = Some(Vec::new());
        scene.call_late();
        scene.objects.lose_questions();
        scene.objects.hosts[CHANNEL].forget();
        scene.objects.pass(HOUR_MS);
        assert_eq!(scene.rows(), 3);
        let asked = scene.objects.app.asked;
        (0..100).for_each(|_| scene.call_late());
        assert!(scene.objects.app.asked <= asked + 1);
    }
}

#[test]
fn what_is_kept_no_longer_goes_once_the_app_says_so() {
    let mut scene = Scene::with(true, &json!([{"id": "*", "persisted": true}]));
    scene.connect(1);
    (0..3).for_each(|serial| scene.publish(1, serial));
    scene.set_namespace(&json!({"id": "*"}));
    assert_eq!(scene.rows(), 3, "no call has brought that yet");
    scene.objects.pass(HOUR_MS);
    assert_eq!(scene.rows(), 1, "the channel asks once something was published, and the newest stays");
    scene.publish(1, 3);
    scene.objects.pass(HOUR_MS);
    assert_eq!(scene.rows(), 1);
}

/// Calls that are late or lost, a relay that forgets or cannot be reached, and an operator who revokes amid all that.
#[test]
fn nobody_who_is_revoked_stays_whatever_happened_meanwhile() {
    const NAMES: [&str; 4] = ["ann", "bob", "eve", "joe"];
    for seed in 0..200 {
        let (mut scene, mut random) = (Scene::new(seed % 2 == 0), Random::new(seed));
        let (mut late, mut came, mut revoked) = (Vec::new(), Vec::new(), Vec::new());
        for link in 0..60 {
            let name = NAMES[random.below(4) as usize];
            match random.below(10) {
                0..3 => {
                    scene.connect_by_token(link, name);
                    came.push((link, name));
                }
                3 => {
                    scene.revoke(name);
                    revoked.push(name);
                }
                4 => scene.objects.app.held = scene.objects.app.held.take().or_else(|| Some(Vec::new())),
                5 => match random.below(2) {
                    0 => late.extend(scene.objects.lose_questions()),
                    _ => scene.objects.free_questions(),
                },
                6 => match scene.objects.app.held_answers {
                    Some(_) => scene.objects.free_word(),
                    None => scene.objects.app.held_answers = Some(Vec::new()),
                },
                7 => match random.below(3) {
                    0 => drop(scene.objects.hosts[RELAY].forget()),
                    1 => scene.objects.unreachable = vec![RELAY],
                    _ => scene.objects.unreachable.clear(),
                },
                8 => late.drain(..).for_each(|request| drop(scene.objects.operate(request))),
                _ => scene.objects.pass(random.below(8_000)),
            }
        }
        scene.objects.unreachable.clear();
        late.extend(scene.objects.lose_questions());
        late.drain(..).for_each(|request| drop(scene.objects.operate(request)));
        scene.objects.free_word();
        scene.objects.pass(4 * WATCH_PAUSE_MS + 4 * NOTICE_RETRY_MS);
        for (link, name) in came.into_iter().filter(|(_, name)| revoked.contains(name)) {
            let (frames, is_gone) = scene.heard(link);
            assert!(is_gone || !frames.contains(&CONNECTED), "seed {seed}: {name} is here by transport {link}");
        }
    }
}

/// Routers remember an app for a while, and let clients through by a key that it had. Nobody would look at it again.
#[test]
fn a_key_that_has_ended_brings_nobody_in_whatever_a_router_had_heard() {
    let other = || Change::AddKey(r#"{"name":"other","secret":"another-secret-of-it"}"#.into());
    let mut scene = Scene::new(true);
    scene.connect(1);
    scene.change_keys(other());
    scene.change_keys(Change::RemoveKey("key".into()));
    assert!(scene.heard(1).1, "it is sent back");
    for forgets in [false, true] {
        scene.connect(2);
        assert_eq!(scene.heard(2), (vec![], true));
        scene.connect_by(3, "other");
        assert_eq!(scene.heard(3), (vec![CONNECTED], false));
        if forgets {
            scene.objects.hosts[RELAY].forget();
        }
    }

    let mut scene = Scene::new(true);
    scene.objects.app.held = Some(Vec::new());
    scene.connect(1);
    scene.change_keys(other());
    scene.change_keys(Change::RemoveKey("key".into()));
    scene.objects.free_questions();
    assert_eq!(scene.heard(1), (vec![], true), "nor who waits for the app");
}

#[test]
fn a_key_that_was_rotated_ends_when_it_is_to_whatever_a_router_had_heard() {
    let mut scene = Scene::new(true);
    scene.connect(1);
    let (secret, until_ms) = ("another-secret-of-it".to_owned(), NOW_MS + 60_000);
    scene.change_keys(Change::RotateKey { id: "key".into(), new_id: "other".into(), secret, until_ms });
    scene.connect(2);
    scene.connect_by(3, "other");
    assert_eq!((scene.heard(2), scene.heard(3)), ((vec![CONNECTED], false), (vec![CONNECTED], false)));
    scene.objects.pass(60_000 - 1);
    assert!(!scene.heard(2).1);
    scene.objects.pass(60_000);
    assert_eq!((scene.heard(2).1, scene.heard(3).1), (true, false));
}

#[test]
fn a_new_key_brings_its_clients_in_where_nobody_has_heard_of_it() {
    let mut scene = Scene::new(true);
    scene.connect(1);
    scene.objects.unreachable = vec![RELAY];
    scene.change_keys(Change::AddKey(r#"{"name":"other","secret":"another-secret-of-it"}"#.into()));
    scene.connect_by(2, "other");
    assert_eq!((scene.heard(2), scene.heard(1)), ((vec![CONNECTED], false), (vec![CONNECTED], false)));
}
