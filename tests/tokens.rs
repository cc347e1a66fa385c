//! What becomes of a connection when its token is renewed, narrowed, revoked, or runs out.

use std::rc::Rc;

use courtside::auth::{
    App, Credentials, Grant, KeyName, Operators, Presented, Reach, Revocation, Secret, Surface, Target, TokenRequest,
};
use courtside::error::Code;
use courtside::model::Format;
use courtside::model::name::LOG;
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{LocalOccupancy, RelayName, Request, Response, Subscribed};
use serde_json::{Value, json};

const NOW_MS: u64 = 1_800_000_000_000;

fn app() -> Rc<App> {
    let config = json!({
        "id": "demo",
        "keys": [
            {"name": "full", "secret": "local-only"},
            {"name": "brief", "secret": "local-only", "revocableTokens": true},
        ],
        "namespaces": [{"id": "named", "authenticated": true}, {"id": "safe", "tlsOnly": true}],
    });
    Rc::new(serde_json::from_value(config).unwrap())
}

/// A token of `demo.<key>` issued at `now_ms`.
fn token(key: &str, mut fields: Value, now_ms: u64) -> String {
    let name = KeyName::parse(&format!("demo.{key}")).unwrap();
    fields["keyName"] = json!(name.to_string());
    let authority = grant(&format!("{name}:local-only"), "key", now_ms);
    let request = TokenRequest::from_value(&fields).unwrap();
    request.approve(&name, Some(&app()), Some(&authority), now_ms).unwrap().issue([7; 8]).token
}

fn grant(text: &str, parameter: &str, now_ms: u64) -> Grant {
    let query = [(parameter.to_owned(), text.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    Credentials::parse(&presented, Surface::Realtime).unwrap().verify(Some(&app()), now_ms).unwrap()
}

/// A relay and the time there.
struct Scene {
    relay: Relay,
    now_ms: u64,
}

impl Scene {
    fn new() -> Scene {
        let app = app();
        let relay = Relay::new(RelayName::shard(app.id(), 0), 0, app, b"secret".to_vec());
        Scene { relay, now_ms: NOW_MS }
    }

    /// One that watches its app.
    fn watching() -> Scene {
        let mut scene = Scene::new();
        scene.relay.watch(vec![], vec![], NOW_MS);
        scene
    }

    fn connect(&mut self, socket: u32, token: &str) -> Vec<Effect> {
        let opening = Opening::from_query(grant(token, "accessToken", self.now_ms), &[], false);
        self.relay.open(SocketId(socket), opening, format!("connection{socket}"), self.now_ms)
    }

    fn send(&mut self, socket: u32, frame: Value) -> Vec<Effect> {
        self.relay.frame(SocketId(socket), frame.to_string().as_bytes(), Format::Json, self.now_ms)
    }

    fn auth(&mut self, socket: u32, token: &str) -> Vec<Effect> {
        self.send(socket, json!({"action": 17, "auth": {"accessToken": token}}))
    }

    /// What is said to a socket at each moment when something is due, until then.
    fn run(&mut self, socket: u32, until_ms: u64) -> Vec<(u64, String)> {
        let mut said = Vec::new();
        while let Some(due_ms) = self.relay.deadline().filter(|due_ms| *due_ms <= until_ms) {
            self.now_ms = due_ms.max(self.now_ms + 1);
            let effects = self.relay.tick(self.now_ms);
            said.extend(frames(&effects, socket).into_iter().map(|frame| (self.now_ms, frame)));
        }
        self.now_ms = until_ms;
        said.retain(|(_, frame)| frame != "heartbeat");
        said
    }
}

/// Frames in short: what was said, and with which code.
fn frames(effects: &[Effect], socket: u32) -> Vec<String> {
    let text = |effect: &Effect| match effect {
        Effect::Send { sockets, frame: Encoded::Text(text) } if sockets.contains(&SocketId(socket)) => {
            Some(short(text))
        }
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

fn short(frame: &str) -> String {
    let frame: Value = serde_json::from_str(frame).unwrap();
    let name = match frame["action"].as_u64().unwrap() {
        0 => "heartbeat",
        2 => "nack",
        4 => "connected",
        6 => "disconnected",
        9 => "error",
        11 => "attached",
        17 => "auth",
        other => panic!("action {other}"),
    };
    let (channel, code) = (frame["channel"].as_str(), frame["error"]["code"].as_u64());
    let parts = [Some(name.to_owned()), channel.map(str::to_owned), code.map(|code| code.to_string())];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn revocation(target: &str, issued_before_ms: u64, applies_at_ms: u64) -> Revocation {
    let (key_name, target) = (KeyName::parse("demo.brief").unwrap(), Target::parse(target).unwrap());
    Revocation { key_name, target, issued_before_ms, applies_at_ms }
}

#[test]
fn a_client_is_asked_for_another_token_thirty_seconds_before() {
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({"ttl": 35_000}), NOW_MS));
    let expected = [(NOW_MS + 5_000, "auth".to_owned()), (NOW_MS + 35_000, "disconnected 40142".to_owned())];
    assert_eq!(scene.run(1, NOW_MS + 60_000), expected);
}

#[test]
fn a_client_that_renews_goes_on() {
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({"ttl": 35_000}), NOW_MS));
    assert_eq!(scene.run(1, NOW_MS + 5_000).len(), 1);
    let renewed = token("full", json!({"ttl": 65_000}), scene.now_ms);
    let effects = scene.auth(1, &renewed);
    assert_eq!(frames(&effects, 1), ["connected"]);
    assert_eq!(scene.run(1, NOW_MS + 45_000), [(NOW_MS + 40_000, "auth".to_owned())]);
}

#[test]
fn a_token_too_short_to_renew_is_not_asked_for() {
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({"ttl": 5_000}), NOW_MS));
    assert_eq!(scene.run(1, NOW_MS + 60_000), [(NOW_MS + 5_000, "disconnected 40142".to_owned())]);
}

#[test]
fn what_a_client_sends_as_a_token_ends_or_not_by_its_code() {
    let ann = json!({"clientId": "ann"});
    for (sent, said) in [
        (token("full", ann.clone(), NOW_MS), "connected"),
        (token("full", json!({"clientId": "*"}), NOW_MS), "connected"),
        (token("full", json!({"clientId": "bob"}), NOW_MS), "error 40102"),
        (token("full", json!({}), NOW_MS), "error 40102"),
        (token("full", json!({"clientId": "ann", "ttl": 1}), NOW_MS - 1), "disconnected 40142"),
        (token("full", ann.clone(), NOW_MS).replacen("demo.", "other.", 1), "error 40101"),
        ("garbage".to_owned(), "error 40101"),
        ("a.b.c".to_owned(), "error 40101"),
    ] {
        let mut scene = Scene::new();
        scene.connect(1, &token("full", ann.clone(), NOW_MS));
        let effects = scene.auth(1, &sent);
        assert_eq!(frames(&effects, 1), [said], "{sent}");
        assert_eq!(said != "connected", effects.contains(&Effect::Close { socket: SocketId(1) }), "{sent}");
    }
}

#[test]
fn a_narrower_token_ends_the_channels_that_it_lost() {
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({"capability": r#"{"a":["*"],"b":["*"]}"#}), NOW_MS));
    for channel in ["a", "b"] {
        assert_eq!(frames(&scene.send(1, json!({"action": 10, "channel": channel})), 1), [""; 0]);
    }
    let effects = scene.auth(1, &token("full", json!({"capability": r#"{"a":["subscribe"]}"#}), NOW_MS));
    assert_eq!(frames(&effects, 1), ["connected", "error b 40160"]);
    let effects = scene.send(1, json!({"action": 15, "channel": "a", "msgSerial": 0, "messages": [{"name": "n"}]}));
    assert_eq!(frames(&effects, 1), ["nack 40160"]);
}

#[test]
fn a_revoked_client_is_sent_away_and_others_stay() {
    let mut scene = Scene::watching();
    for (socket, name) in [(1, "ann"), (2, "bob")] {
        scene.connect(socket, &token("brief", json!({"clientId": name}), NOW_MS));
    }
    scene.connect(3, &token("full", json!({"clientId": "ann"}), NOW_MS));
    let effects = scene.relay.revoke(vec![revocation("clientId:ann", NOW_MS + 1, NOW_MS + 1)], NOW_MS + 1);
    assert_eq!(frames(&effects, 1), ["disconnected 40141"]);
    assert_eq!((frames(&effects, 2), frames(&effects, 3)), (vec![], vec![]));
    let same = grant(&token("brief", json!({"clientId": "ann"}), NOW_MS), "accessToken", NOW_MS + 1);
    assert!(scene.relay.admit(&same, NOW_MS + 1).unwrap_err().is(Code::TokenRevoked));
    let newer = grant(&token("brief", json!({"clientId": "ann"}), NOW_MS + 1), "accessToken", NOW_MS + 1);
    assert!(scene.relay.admit(&newer, NOW_MS + 1).is_ok());
}

#[test]
fn a_margin_asks_for_another_token_first() {
    let mut scene = Scene::watching();
    for (socket, name) in [(1, "ann"), (2, "ann")] {
        scene.connect(socket, &token("brief", json!({"clientId": name}), NOW_MS));
    }
    scene.now_ms += 10;
    let void_at_ms = scene.now_ms + 30_000;
    scene.relay.revoke(vec![revocation("clientId:ann", scene.now_ms, void_at_ms)], scene.now_ms);
    let effects = scene.relay.tick(scene.now_ms + 1_000);
    assert_eq!((frames(&effects, 1), frames(&effects, 2)), (vec!["auth".to_owned()], vec!["auth".to_owned()]));
    let renewed = token("brief", json!({"clientId": "ann"}), scene.now_ms);
    assert_eq!(frames(&scene.auth(1, &renewed), 1), ["connected"]);
    let mut end = scene.relay.deadline();
    while end.is_some_and(|due_ms| due_ms < void_at_ms) {
        scene.relay.tick(end.unwrap());
        end = scene.relay.deadline();
    }
    let effects = scene.relay.tick(void_at_ms);
    assert_eq!(frames(&effects, 2).last().unwrap(), "disconnected 40141");
    assert!(!frames(&effects, 1).iter().any(|said| said.starts_with("disconnected")));
}

/// What is signed by a clock that is behind, or in whole seconds, may count as issued before, and is revoked as well.
#[test]
fn a_margin_asks_again_when_the_new_token_is_revoked_too() {
    let mut scene = Scene::watching();
    let of_ann = |now_ms| token("brief", json!({"clientId": "ann"}), now_ms);
    scene.connect(1, &of_ann(NOW_MS));
    let revoked_ms = NOW_MS + 10;
    scene.relay.revoke(vec![revocation("clientId:ann", revoked_ms, revoked_ms + 30_000)], revoked_ms);
    assert_eq!(scene.run(1, NOW_MS + 1_050), [(NOW_MS + 1_010, "auth".to_owned())], "the second is over");
    assert_eq!(frames(&scene.auth(1, &of_ann(NOW_MS)), 1), ["connected"]);
    assert_eq!(scene.run(1, NOW_MS + 7_000), [(NOW_MS + 6_050, "auth".to_owned())]);
    let renewed = of_ann(scene.now_ms);
    assert_eq!(frames(&scene.auth(1, &renewed), 1), ["connected"]);
    assert_eq!(scene.run(1, NOW_MS + 60_000), []);
}

#[test]
fn who_comes_back_by_a_token_that_is_to_be_revoked_is_asked_for_another() {
    let mut scene = Scene::watching();
    let old = token("brief", json!({"clientId": "ann"}), NOW_MS);
    scene.connect(1, &old);
    scene.relay.revoke(vec![revocation("clientId:ann", NOW_MS + 10, NOW_MS + 30_010)], NOW_MS + 10);
    assert_eq!(scene.run(1, NOW_MS + 2_000), [(NOW_MS + 1_010, "auth".to_owned())]);
    scene.relay.lost(SocketId(1), scene.now_ms);
    scene.connect(2, &old);
    let end_ms = NOW_MS + 30_010;
    let expected = [(NOW_MS + 2_001, "auth".to_owned()), (end_ms, "disconnected 40141".to_owned())];
    assert_eq!(scene.run(2, end_ms), expected);
}

#[test]
fn a_rebuilt_relay_still_knows_who_was_revoked() {
    let mut scene = Scene::watching();
    let effects = scene.connect(1, &token("brief", json!({"clientId": "ann"}), NOW_MS));
    let Effect::Save { record, .. } = &effects[0] else { panic!("the record goes first") };
    let mut rebuilt = Scene::new();
    rebuilt.relay.watch(vec![revocation("clientId:ann", NOW_MS + 1, NOW_MS + 1)], vec![], NOW_MS + 1);
    rebuilt.relay.restore(SocketId(1), record, NOW_MS + 1);
    assert_eq!(frames(&rebuilt.relay.tick(NOW_MS + 1), 1), ["disconnected 40141"]);
}

#[test]
fn a_token_that_could_be_revoked_comes_in_by_the_front_door() {
    let revocable = token("brief", json!({}), NOW_MS);
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({}), NOW_MS));
    assert_eq!(frames(&scene.auth(1, &revocable), 1), ["disconnected 80003"]);
    let mut scene = Scene::watching();
    scene.connect(1, &token("full", json!({}), NOW_MS));
    assert_eq!(frames(&scene.auth(1, &revocable), 1), ["connected"]);
}

#[test]
fn the_end_of_an_app_ends_its_connections() {
    let mut scene = Scene::watching();
    scene.connect(1, &token("full", json!({}), NOW_MS));
    let effects = scene.relay.end(NOW_MS);
    assert_eq!(frames(&effects, 1), ["error 40400"]);
    assert_eq!(scene.relay.connection_count(), 0);
}

#[test]
fn channels_may_want_a_name_and_tls() {
    let mut scene = Scene::new();
    scene.connect(1, &token("full", json!({}), NOW_MS));
    scene.connect(2, &token("full", json!({"clientId": "ann"}), NOW_MS));
    let attach = |channel: &str| json!({"action": 10, "channel": channel});
    assert_eq!(frames(&scene.send(1, attach("named:a")), 1), ["error named:a 40161"]);
    assert_eq!(frames(&scene.send(2, attach("named:a")), 2), [""; 0], "it is being attached");
    assert_eq!(frames(&scene.send(2, attach("safe:a")), 2), ["error safe:a 40311"]);
    let publish = json!({"action": 15, "channel": "named:a", "msgSerial": 0, "messages": [{"name": "n"}]});
    assert_eq!(frames(&scene.send(1, publish), 1), ["nack 40161"]);
}

fn operators(admin_token: &str) -> Operators {
    Operators::of(&Secret::presented(admin_token))
}

/// Connects with such a token of the app where `known` is the admin token; gives another of a minute later.
fn watched_by_an_operator(scene: &mut Scene, known: &str) -> String {
    let issue = |now_ms| operators("admin-token").issue(app().id(), Reach::Metachannels, now_ms, [7; 8]).token;
    let query = [("accessToken".to_owned(), issue(NOW_MS))];
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Realtime).unwrap();
    let grant = credentials.or_of(Some(&operators("admin-token"))).verify(Some(&app()), NOW_MS).unwrap();
    scene.relay.set_operators(Some(operators(known)));
    scene.relay.open(SocketId(1), Opening::from_query(grant, &[], false), "connection1".to_owned(), NOW_MS);
    issue(NOW_MS + 60_000)
}

#[test]
fn an_operator_hears_and_does_nothing() {
    let mut scene = Scene::new();
    watched_by_an_operator(&mut scene, "admin-token");
    let attach = |channel: &str| json!({"action": 10, "channel": channel});
    assert_eq!(frames(&scene.send(1, attach(LOG)), 1), [""; 0], "the channel is asked");
    for other in ["room", "[meta]channel.lifecycle"] {
        assert_eq!(frames(&scene.send(1, attach(other)), 1), [format!("error {other} 40160")]);
    }
    for channel in [LOG, "room"] {
        let said = json!({"action": 15, "channel": channel, "msgSerial": 0, "messages": [{"name": "n"}]});
        assert_eq!(frames(&scene.send(1, said), 1), ["nack 40160"], "{channel}");
    }
}

#[test]
fn an_operator_renews_and_stays_whatever_becomes_of_the_keys() {
    let mut scene = Scene::watching();
    let renewed = watched_by_an_operator(&mut scene, "admin-token");
    let bare: App = serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": []})).unwrap();
    let effects = scene.relay.reconfigure(Some(&app()), Rc::new(bare), NOW_MS);
    assert_eq!(frames(&effects, 1), [""; 0]);
    assert_eq!(frames(&scene.auth(1, &renewed), 1), ["connected"]);
    let hour_ms = 60 * 60_000;
    let said = scene.run(1, NOW_MS + 2 * hour_ms);
    let end_ms = NOW_MS + hour_ms + 60_000;
    assert_eq!(said, [(end_ms - 30_000, "auth".to_owned()), (end_ms, "disconnected 40142".to_owned())]);
}

#[test]
fn no_operator_renews_once_the_admin_token_is_another() {
    let mut scene = Scene::new();
    let renewed = watched_by_an_operator(&mut scene, "another-admin-token");
    assert_eq!(frames(&scene.auth(1, &renewed), 1), ["disconnected 40143"]);
}

/// A capability may be too large to be stored beside the channels that are there. Who is left is counted once.
#[test]
fn who_comes_back_because_of_a_new_token_was_here_once() {
    let mut scene = Scene::new();
    scene.relay.set_bounds(Bounds { rows_bytes: 0, ..Bounds::default() });
    let mut heard = Vec::new();
    for socket in [1, 2] {
        scene.connect(socket, &token("full", json!({}), NOW_MS));
        let mut effects =
            scene.send(socket, json!({"action": 10, "channel": "room", "params": {"occupancy": "metrics"}}));
        for index in 0..if socket == 1 { 150 } else { 0 } {
            effects.extend(scene.send(socket, json!({"action": 10, "channel": format!("channel-{index:0>40}")})));
        }
        heard = answer_all(&mut scene, effects);
    }
    assert_eq!(heard.last().map(|heard| heard.here.get("subscribers")), Some(Some(2)));
    let resources: Vec<String> = (0..90).map(|index| format!(r#""resource-{index:0>20}":["publish"]"#)).collect();
    let capability = format!(r#"{{"*":["*"],{}}}"#, resources.join(","));
    let effects = scene.auth(1, &token("full", json!({"capability": capability}), NOW_MS));
    assert_eq!(frames(&effects, 1), ["disconnected 50320"]);
    scene.now_ms += 60_000;
    let mut effects = effects;
    effects.extend(scene.relay.tick(scene.now_ms));
    let heard = answer_all(&mut scene, effects);
    assert_eq!(heard.last().map(|heard| heard.here.get("subscribers")), Some(Some(1)));
}

/// Answers what a relay asks channels, and gives what it reported of 'room'.
fn answer_all(scene: &mut Scene, mut effects: Vec<Effect>) -> Vec<LocalOccupancy> {
    let mut heard = Vec::new();
    while let Some(effect) = effects.pop() {
        let Effect::Call { ticket, call } = effect else { continue };
        let response = match call.request {
            Request::Report(_, local_occupancy) => {
                if call.to.channel.as_str() == "room" {
                    heard.push(local_occupancy);
                }
                Response::Reported(true)
            }
            _ => Response::Subscribed(Subscribed {
                epoch: "epoch".to_owned(),
                position: Position(10),
                members: 0,
                reports: true,
                direct: true,
            }),
        };
        effects.extend(scene.relay.answered(ticket, Some(Ok(response)), scene.now_ms));
    }
    heard
}
