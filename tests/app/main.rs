//! An app on a store in memory: what it answers, what it tells relays, and that a restart changes neither.

mod admin;
mod meta;
mod notices;
mod statistics;
#[path = "../support"]
mod support {
    pub mod app_store;
}

use courtside::app::{NewApp, Registrar, Tell};
use courtside::auth::{KeyName, Revocation, Target};
use courtside::error::Code;
use courtside::limits::{
    ALARM_OVERDUE_MS, ALARM_PAUSE_MS, NONCES_FORGET_PAUSE_MS, NONCES_MAX, NOTICE_MAX_REVOCATIONS, NOTICE_RETRY_MS,
    NOTICES_AT_ONCE_MAX, SWEEP_INTERVAL_MS, WATCHERS_MAX,
};
use courtside::model::name::{AppId, ChannelName};
use courtside::object::{AppHost, AppInput, AppOutput, CallerId, Settings};
use courtside::rpc::{Answer, AppCall, AppRequest, AppResponse, News, Noticed, RelayName, Watched};
use serde_json::{Value, json};
use support::app_store::AppMemory;

const NOW_MS: u64 = 1_800_000_000_000;

struct Scene {
    store: AppMemory,
    registrar: Registrar,
    now_ms: u64,
}

impl Scene {
    fn new() -> Scene {
        let mut store = AppMemory::default();
        let registrar = Registrar::load(&mut store, NOW_MS).unwrap();
        Scene { store, registrar, now_ms: NOW_MS }
    }

    fn made() -> Scene {
        let mut scene = Scene::new();
        scene.call(AppRequest::Create { config: "{}".into(), channels: String::new() }).unwrap();
        scene
    }

    fn restart(&mut self) {
        self.registrar = Registrar::load(&mut self.store, self.now_ms).unwrap();
    }

    fn call(&mut self, request: AppRequest) -> Answer<AppResponse> {
        self.registrar.call(&mut self.store, request, false, self.now_ms).unwrap()
    }

    fn watch(&mut self, shard: u16) -> Watched {
        match self.call(AppRequest::Watch(relay(shard))) {
            Ok(AppResponse::Watching(watching)) => watching.watched,
            other => panic!("not watched: {other:?}"),
        }
    }

    fn revoke(&mut self, client_ids: &[&str]) {
        let request = AppRequest::Revoke(client_ids.iter().map(|name| revocation(name, self.now_ms)).collect());
        assert_eq!(self.call(request), Ok(AppResponse::Revoked(vec![Ok(()); client_ids.len()])));
    }

    fn notices(&mut self) -> Vec<Tell> {
        self.registrar.notices(&mut self.store, self.now_ms).unwrap()
    }

    fn told(&mut self, tell: &Tell, answer: Option<Noticed>) {
        self.registrar.told(&mut self.store, tell, answer).unwrap();
    }
}

fn relay(shard: u16) -> RelayName {
    RelayName::shard(&AppId::parse("demo").unwrap(), shard)
}

fn revocation(client_id: &str, now_ms: u64) -> Revocation {
    Revocation {
        key_name: KeyName::parse("demo.k").unwrap(),
        target: Target::ClientId(client_id.to_owned()),
        issued_before_ms: now_ms,
        applies_at_ms: now_ms,
    }
}

fn clients(tell: &Tell) -> Vec<String> {
    let News::Changed(changes) = &tell.notice.news else { panic!("news of {:?}", tell.notice.news) };
    changes.revocations.iter().map(|revocation| String::from(revocation.target.clone())).collect()
}

#[test]
fn a_nonce_is_good_once_until_it_is_forgotten() {
    let mut scene = Scene::new();
    let nonce = |key: &str| AppRequest::Nonce { key: key.into(), forget_at_ms: NOW_MS + 1_000 };
    assert_eq!(scene.call(nonce("a")), Ok(AppResponse::Fresh(true)));
    assert_eq!(scene.call(nonce("a")), Ok(AppResponse::Fresh(false)));
    scene.restart();
    assert_eq!(scene.call(nonce("a")), Ok(AppResponse::Fresh(false)));
    assert_eq!(scene.call(nonce("b")), Ok(AppResponse::Fresh(true)));
    let sweep_at_ms = scene.registrar.deadline().unwrap();
    assert_eq!(sweep_at_ms, NOW_MS + SWEEP_INTERVAL_MS);
    scene.registrar.tick(&mut scene.store, sweep_at_ms).unwrap();
    assert_eq!((scene.store.nonces.len(), scene.registrar.deadline()), (0, None), "and it may sleep");
}

#[test]
fn nonces_are_bounded() {
    let mut scene = Scene::new();
    scene.store.nonces = (0..NONCES_MAX).map(|number| (number.to_string(), NOW_MS + 1)).collect();
    scene.restart();
    let nonce = AppRequest::Nonce { key: "x".into(), forget_at_ms: NOW_MS };
    assert!(scene.call(nonce.clone()).unwrap_err().is(Code::RateLimited));
    scene.now_ms += 1;
    assert!(scene.call(nonce.clone()).unwrap_err().is(Code::RateLimited), "all are looked at once a second");
    scene.now_ms += NONCES_FORGET_PAUSE_MS;
    assert_eq!(scene.call(nonce), Ok(AppResponse::Fresh(true)), "those before are over, though none was swept");
    assert_eq!(scene.store.nonces.len(), 1);
}

#[test]
fn relays_are_told_until_they_have_taken_it() {
    let mut scene = Scene::made();
    scene.revoke(&["before"]);
    let watched = scene.watch(0);
    assert_eq!((watched.config.as_deref(), watched.revocations.len()), (Some("{}"), 1));
    assert_eq!(scene.notices(), [], "the answer said all there was");

    scene.revoke(&["ann", "bob"]);
    let tells = scene.notices();
    assert_eq!(clients(&tells[0]), ["clientId:ann", "clientId:bob"]);
    assert_eq!(scene.notices(), [], "one at a time");
    scene.told(&tells[0], None);
    assert_eq!(scene.registrar.deadline(), Some(NOW_MS + NOTICE_RETRY_MS));
    scene.restart();
    let again = scene.notices();
    assert_eq!(clients(&again[0]), ["clientId:ann", "clientId:bob"]);

    scene.revoke(&["eve"]);
    scene.told(&again[0], Some(Noticed::Taken));
    let more = scene.notices();
    assert_eq!(clients(&more[0]), ["clientId:eve"], "what came meanwhile");
    scene.told(&more[0], Some(Noticed::Taken));
    assert_eq!(scene.notices(), []);
    scene.restart();
    assert_eq!(scene.notices(), []);
}

#[test]
fn a_long_list_goes_in_pieces() {
    let mut scene = Scene::made();
    scene.watch(0);
    let names: Vec<String> = (0..NOTICE_MAX_REVOCATIONS + 1).map(|number| format!("c{number:04}")).collect();
    scene.revoke(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let first = scene.notices().remove(0);
    scene.told(&first, Some(Noticed::Taken));
    let second = scene.notices().remove(0);
    scene.told(&second, Some(Noticed::Taken));
    assert_eq!((clients(&first).len(), clients(&second)), (NOTICE_MAX_REVOCATIONS, vec!["clientId:c0500".to_owned()]));
    assert_eq!(scene.notices(), []);
}

#[test]
fn an_end_of_an_old_watch_does_not_end_a_new_one() {
    let mut scene = Scene::made();
    scene.watch(0);
    scene.revoke(&["ann"]);
    let old = scene.notices().remove(0);
    let ticket = scene.watch(0).ticket;
    assert!(ticket > old.notice.ticket);
    scene.told(&old, Some(Noticed::Unwatched));
    scene.revoke(&["bob"]);
    let new = scene.notices().remove(0);
    assert_eq!(new.notice.ticket, ticket);
    assert_eq!(clients(&new), ["clientId:ann", "clientId:bob"], "the answer may have reached nobody");
    scene.told(&new, Some(Noticed::Unwatched));
    scene.revoke(&["eve"]);
    assert_eq!(scene.notices(), []);
    assert_eq!(scene.store.watchers.len(), 0);
}

#[test]
fn many_relays_are_told_some_at_a_time() {
    let mut scene = Scene::made();
    (0..WATCHERS_MAX as u16).for_each(|shard| drop(scene.watch(shard)));
    let one_more = scene.call(AppRequest::Watch(relay(WATCHERS_MAX as u16)));
    assert!(one_more.unwrap_err().is(Code::RateLimited));
    scene.revoke(&["ann"]);
    let mut told = 0;
    loop {
        let tells = scene.notices();
        assert!(tells.len() <= NOTICES_AT_ONCE_MAX && scene.notices().is_empty());
        if tells.is_empty() {
            break;
        }
        told += tells.len();
        tells.iter().for_each(|tell| scene.told(tell, Some(Noticed::Taken)));
    }
    assert_eq!(told, WATCHERS_MAX);
}

#[test]
fn a_deleted_app_is_told_and_never_made_again() {
    let mut scene = Scene::made();
    assert_eq!(scene.call(AppRequest::Config), Ok(AppResponse::Config(Some("{}".into()))));
    scene.watch(0);
    assert_eq!(scene.call(AppRequest::Delete), Ok(AppResponse::Channels(String::new())));
    assert_eq!(scene.call(AppRequest::Delete), Ok(AppResponse::Channels(String::new())), "asked again");
    assert_eq!(scene.call(AppRequest::Config), Ok(AppResponse::Config(None)));
    assert!(scene.call(AppRequest::Watch(relay(1))).unwrap_err().is(Code::BadCredentials));
    let tell = scene.notices().remove(0);
    assert_eq!(tell.notice.news, News::Deleted);
    scene.restart();
    let again = scene.notices().remove(0);
    scene.told(&again, Some(Noticed::Taken));
    assert_eq!((scene.notices(), scene.registrar.deadline()), (vec![], None));
    let create = AppRequest::Create { config: "{}".into(), channels: String::new() };
    assert!(scene.call(create).is_err());
}

#[test]
fn an_app_is_made_once_and_never_in_place_of_a_configured_one() {
    let create = |config: &str| AppRequest::Create { config: config.into(), channels: String::new() };
    let mut scene = Scene::made();
    assert_eq!(scene.call(create("{}")), Ok(AppResponse::Done), "the same request, asked again");
    assert!(scene.call(create("{ }")).is_err());
    let mut scene = Scene::new();
    assert!(scene.call(AppRequest::Delete).unwrap_err().is(Code::NotFound));
    let delete = scene.registrar.call(&mut scene.store, AppRequest::Delete, true, NOW_MS).unwrap();
    assert!(delete.unwrap_err().is(Code::Forbidden), "its configuration is where it ends");
    assert!(scene.registrar.call(&mut scene.store, create("{}"), true, NOW_MS).unwrap().is_err());
    let watch = scene.registrar.call(&mut scene.store, AppRequest::Watch(relay(0)), true, NOW_MS).unwrap();
    let Ok(AppResponse::Watching(watching)) = watch else { panic!("a configured one is watched too: {watch:?}") };
    assert_eq!(watching.watched.config, None);
}

fn made_of(body: Value) -> NewApp {
    NewApp::from_body(&body, &[7; 32]).unwrap()
}

#[test]
fn the_answer_to_a_new_app_shows_what_clients_need() {
    let body = json!({
        "limits": {"presence": {"maxMembers": 250}},
        "keys": [{}, {"capability": "{\"b\":[\"publish\"],\"a\":[\"*\"]}", "revocableTokens": true, "privileged": true, "status": 0}],
        "namespaces": [{"id": "kept", "persisted": true}, {"id": "last", "retentionHours": 5, "novel": 1}],
        "channels": [{"name": "c", "presence": [{"clientId": "ann", "data": "x"}]}],
        "wish": true,
    });
    let new = made_of(body.clone());
    let answer = &new.answer;
    let id = answer["appId"].as_str().unwrap();
    assert_eq!((id.len(), answer["accountId"].as_str()), (10, Some("courtside")));
    let key = &answer["keys"][1];
    assert_eq!(key["keyName"], json!(format!("{id}.{}", key["id"].as_str().unwrap())));
    assert_eq!(
        key["keyStr"],
        json!(format!("{}:{}", key["keyName"].as_str().unwrap(), key["value"].as_str().unwrap()))
    );
    assert_eq!((&key["keySecret"], key["value"].as_str().unwrap().len()), (&key["value"], 32));
    assert_eq!(key["capability"], json!(r#"{"a":["*"],"b":["publish"]}"#));
    assert_eq!((&key["revocableTokens"], &key["notEffective"]), (&json!(true), &json!(["privileged", "status"])));
    assert_eq!(answer["keys"][0].get("notEffective"), None);
    assert_eq!(answer["keys"][0]["capability"], json!(r#"{"*":["*"]}"#));
    assert_ne!(answer["keys"][0]["value"], key["value"]);
    assert_eq!(answer["namespaces"][0].get("notEffective"), None);
    assert_eq!(answer["namespaces"][1]["notEffective"], json!(["retentionHours", "novel"]));
    assert_eq!((&answer["channels"], &answer["limits"]), (&body["channels"], &body["limits"]));
    assert_eq!(answer["notEffective"], json!(["limits", "wish"]));
    let stored: Value = serde_json::from_str(&new.config).unwrap();
    assert_eq!(courtside::auth::App::try_from(stored).unwrap(), new.app, "it is read back");
}

#[test]
fn an_app_has_a_key_whatever_was_asked() {
    for body in [json!({}), json!({"keys": []}), json!({"keys": null}), json!({"keys": [{"capability": {}}]})] {
        let answer = made_of(body).answer;
        assert_eq!(answer["keys"][0]["capability"], json!(r#"{"*":["*"]}"#));
        assert_eq!((&answer["namespaces"], &answer["notEffective"]), (&json!([]), &json!([])));
    }
}

#[test]
fn what_is_wrong_with_a_new_app_is_said() {
    for (body, place) in [
        (json!([]), "object"),
        (json!({"keys": {}}), "keys"),
        (json!({"keys": ["full"]}), "keys[0] must be an object"),
        (json!({"keys": [{"capability": {"c": ["fly"]}}]}), "keys[0].capability"),
        (json!({"keys": [{"revocableTokens": 1}]}), "keys[0].revocableTokens"),
        (json!({"keys": vec![json!({}); 101]}), "keys"),
        (json!({"namespaces": [{}]}), "namespaces[0].id"),
        (json!({"namespaces": [{"id": "a"}, {"id": "a"}]}), "two namespaces"),
        (json!({"channels": 7}), "channels"),
        (
            json!({"channels": [{"name": "c", "presence": [], "note": "x".repeat(300_000)}]}),
            "channels must have at most",
        ),
        (json!({"channels": ["c"]}), "channels[0]: must be an object"),
        (json!({"channels": [{"name": "c"}, {}]}), "channels[1]: has no name"),
        (json!({"channels": [{"name": ":c"}]}), "channels[0]: invalid channel name"),
        (json!({"channels": [{"name": "c", "presence": {}}]}), "channels[0]: presence"),
        (json!({"channels": [{"name": "c", "presence": [{"data": "x"}]}]}), "channels[0]: "),
        (json!({"channels": [{"name": "c", "presence": [{"clientId": "*"}]}]}), "channels[0]: "),
        (json!({"channels": [{"name": "c", "presence": [{"clientId": "a", "data": 7}]}]}), "channels[0]: "),
        (json!({"channels": vec![json!({"name": "c"}); 101]}), "channels"),
    ] {
        let error = NewApp::from_body(&body, &[7; 32]).unwrap_err();
        assert!(error.message.contains(place) && error.status_code == 400, "{place}: {error}");
    }
}

#[test]
fn channels_in_use_are_listed_until_the_app_ends() {
    let mut scene = Scene::made();
    let channel = |name: &str| ChannelName::parse(name).unwrap();
    for name in ["b", "a:2", "a:1"] {
        let listed = scene.call(AppRequest::List { channel: channel(name), active: true });
        assert_eq!(listed, Ok(AppResponse::Done));
    }
    let named = |scene: &mut Scene, prefix: &str, after: &str, limit| {
        let request = AppRequest::Channels { prefix: prefix.into(), after: after.into(), limit };
        match scene.call(request) {
            Ok(AppResponse::Channels(names)) => names.lines().map(str::to_owned).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(named(&mut scene, "", "", 2), ["a:1", "a:2"]);
    assert_eq!(named(&mut scene, "", "a:2", 2), ["b"]);
    assert_eq!(named(&mut scene, "a:", "a:1", 2), ["a:2"]);
    scene.call(AppRequest::List { channel: channel("a:1"), active: false }).unwrap();
    assert_eq!(named(&mut scene, "", "", 9), ["a:2", "b"]);
    let list = |active, number| AppRequest::ListChannel { channel: channel("a:2"), active, number };
    scene.call(list(true, 7)).unwrap();
    scene.call(list(false, 6)).unwrap();
    assert_eq!(named(&mut scene, "", "", 9), ["a:2", "b"], "what was said before comes late");
    scene.call(list(true, 5)).unwrap();
    scene.call(list(false, 7)).unwrap();
    assert_eq!(named(&mut scene, "", "", 9), ["b"]);
    scene.call(AppRequest::Delete).unwrap();
    scene.call(AppRequest::List { channel: channel("late"), active: true }).unwrap();
    assert_eq!(named(&mut scene, "", "", 9), [""; 0]);
}

/// An app's object, with one relay that watches and has not answered what it was told.
fn owing() -> (AppHost<AppMemory>, Tell) {
    let mut host = host(AppMemory::default());
    let create = AppRequest::Create { config: "{}".into(), channels: String::new() };
    let (mut tells, mut alarms) = (Vec::new(), Vec::new());
    for request in [create, AppRequest::Watch(relay(0)), AppRequest::Revoke(vec![revocation("ann", NOW_MS)])] {
        let outputs = call(&mut host, request, NOW_MS);
        alarms.extend(set(&outputs));
        tells.extend(told(outputs));
    }
    assert_eq!(alarms, [NOW_MS + NOTICE_RETRY_MS]);
    (host, tells.remove(0))
}

fn host(store: AppMemory) -> AppHost<AppMemory> {
    AppHost::new(Settings { apps: Ok(Default::default()), bounds: Default::default() }, store)
}

fn call(host: &mut AppHost<AppMemory>, request: AppRequest, now_ms: u64) -> Vec<AppOutput> {
    let call = AppCall { app: AppId::parse("demo").unwrap(), request };
    host.turn(AppInput::Call { caller: CallerId(0), call }, now_ms)
}

fn broken(host: AppHost<AppMemory>, is_broken: bool) -> AppHost<AppMemory> {
    let mut store = host.into_store();
    store.is_broken = is_broken;
    self::host(store)
}

/// When the alarm was set.
fn set(outputs: &[AppOutput]) -> Option<u64> {
    outputs.iter().find_map(|output| match output {
        AppOutput::SetAlarm { at_ms } => Some(*at_ms),
        _ => None,
    })
}

fn told(outputs: Vec<AppOutput>) -> Vec<Tell> {
    let tell = |output| match output {
        AppOutput::Tell(tell) => Some(tell),
        _ => None,
    };
    outputs.into_iter().filter_map(tell).collect()
}

fn repeats(outputs: &[AppOutput]) -> bool {
    outputs.iter().any(|output| matches!(output, AppOutput::RepeatAlarm { .. }))
}

#[test]
fn an_alarm_that_rings_too_early_is_set_again() {
    let (mut host, _) = owing();
    let due_ms = NOW_MS + NOTICE_RETRY_MS;
    for early_ms in [3, 2, 1] {
        let outputs = host.turn(AppInput::Alarm, due_ms - early_ms);
        assert_eq!((set(&outputs), told(outputs).len()), (Some(due_ms), 0));
    }
    let outputs = host.turn(AppInput::Alarm, due_ms);
    let again_ms = due_ms + NOTICE_RETRY_MS;
    assert_eq!((set(&outputs), told(outputs).len()), (Some(again_ms), 1), "told again");
    assert_eq!(set(&host.turn(AppInput::AlarmRefused { at_ms: again_ms }, due_ms)), None, "not at once");
    assert_eq!(set(&call(&mut host, AppRequest::Config, due_ms)), Some(again_ms), "the next event sets it");
}

#[test]
fn an_alarm_that_should_have_rung_long_ago_is_set_again() {
    let (mut host, _) = owing();
    let late_ms = NOW_MS + NOTICE_RETRY_MS + ALARM_OVERDUE_MS;
    // Relays are told again, which is due once more later.
    assert_eq!(set(&call(&mut host, AppRequest::Config, late_ms - 1)), None);
    assert_eq!(set(&call(&mut host, AppRequest::Config, late_ms)), Some(late_ms - 1 + NOTICE_RETRY_MS));
}

#[test]
fn an_alarm_that_was_refused_is_set_again_after_a_pause() {
    let (mut host, _) = owing();
    let at_ms = NOW_MS + NOTICE_RETRY_MS;
    let refused = host.turn(AppInput::AlarmRefused { at_ms }, NOW_MS);
    assert!(matches!(refused[..], [AppOutput::Pause { after_ms: ALARM_PAUSE_MS }]), "{refused:?}");
    assert_eq!(set(&host.turn(AppInput::Paused, NOW_MS + ALARM_PAUSE_MS)), Some(at_ms));
    // One that was set since is still set.
    assert!(host.turn(AppInput::AlarmRefused { at_ms: at_ms + 1 }, NOW_MS).is_empty());
    assert_eq!(set(&host.turn(AppInput::Paused, NOW_MS + ALARM_PAUSE_MS)), None);
}

#[test]
fn what_is_owed_outlives_storage_that_fails() {
    let (host, _) = owing();
    let mut host = broken(host, true);
    let mut now_ms = NOW_MS + NOTICE_RETRY_MS;
    for _ in 0..3 {
        let outputs = host.turn(AppInput::Alarm, now_ms);
        now_ms += NOTICE_RETRY_MS;
        assert_eq!((repeats(&outputs), set(&outputs)), (true, Some(now_ms)));
    }
    assert_eq!(told(broken(host, false).turn(AppInput::Alarm, now_ms)).len(), 1);
}

#[test]
fn an_answer_that_could_not_be_stored_is_asked_for_again() {
    let (host, tell) = owing();
    let mut host = broken(host, true);
    let outputs = host.turn(AppInput::Told { tell: tell.clone(), answer: Some(Noticed::Taken) }, NOW_MS + 1);
    assert_eq!((set(&outputs), told(outputs).len()), (Some(NOW_MS + 1 + NOTICE_RETRY_MS), 0), "not at once");
    let mut host = broken(host, false);
    let later_ms = NOW_MS + 1 + NOTICE_RETRY_MS;
    let again = told(host.turn(AppInput::Alarm, later_ms)).remove(0);
    assert_eq!(again.notice, tell.notice);
    let outputs = host.turn(AppInput::Told { tell: again, answer: Some(Noticed::Taken) }, later_ms);
    assert!(told(outputs).is_empty());
}

#[test]
fn a_call_during_a_failure_leaves_an_alarm() {
    let mut host = broken(owing().0, true);
    let outputs = call(&mut host, AppRequest::Config, NOW_MS);
    assert_eq!(set(&outputs), Some(NOW_MS + NOTICE_RETRY_MS));
    let failed = outputs
        .iter()
        .any(|output| matches!(output, AppOutput::Answer { answer: Err(error), .. } if error.is(Code::Internal)));
    assert!(failed, "{outputs:?}");
}

/// Each time it is built anew, it could put off for ever what it has to forget.
#[test]
fn an_object_that_is_often_built_forgets_what_has_ended() {
    let mut store = AppMemory::default();
    for round in 0..10 {
        let now_ms = NOW_MS + round * SWEEP_INTERVAL_MS / 2;
        let mut host = host(store);
        call(&mut host, AppRequest::Nonce { key: round.to_string(), forget_at_ms: now_ms + 1 }, now_ms);
        store = host.into_store();
        assert_eq!(store.nonces.len(), 1, "the last one");
    }
}
