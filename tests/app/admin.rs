//! What an operator does to an app: who is told of it, and what is kept.

use courtside::app::{Registrar, Tell};
use courtside::auth::{App, Ban};
use courtside::error::Code;
use courtside::limits::{AUDIT_MAX, BANS_MAX, REVOCABLE_TOKEN_MAX_TTL_MS, SWEEP_INTERVAL_MS};
use courtside::model::name::{AppId, ChannelName};
use courtside::rpc::{
    Act, Address, AdminCall, AdminResponse, AppRequest, AppResponse, Change, News, Note, Noticed, RelayName,
};

use serde_json::{Value, json};

use super::support::app_store::AppMemory;
use super::{NOW_MS, Scene, relay};

fn admin(act: Act) -> AppRequest {
    AppRequest::Admin(Box::new(AdminCall { note: None, act }))
}

fn ban(client_id: &str, until_ms: Option<u64>) -> Ban {
    Ban { since_ms: NOW_MS, until_ms, ..Ban::lifted(client_id, None) }
}

fn bans(tell: &Tell) -> Vec<(String, Option<u64>)> {
    let News::Changed(changes) = &tell.notice.news else { panic!("news of {:?}", tell.notice.news) };
    changes.bans.iter().map(|ban| (ban.client_id.clone(), ban.until_ms)).collect()
}

#[test]
fn bans_are_told_to_those_who_watch_and_known_to_those_who_come_later() {
    let mut scene = Scene::made();
    scene.watch(0);
    scene.call(admin(Act::Ban(ban("ann", None)))).unwrap();
    scene.call(admin(Act::Ban(ban("ben", Some(NOW_MS + 5))))).unwrap();
    let tell = scene.notices().remove(0);
    assert_eq!(bans(&tell), [("ann".to_owned(), None), ("ben".to_owned(), Some(NOW_MS + 5))]);
    scene.told(&tell, Some(Noticed::Taken));
    scene.restart();
    assert_eq!(scene.notices(), []);
    assert_eq!(scene.registrar.deadline(), None, "a ban keeps no object awake");
    scene.now_ms += 5;
    let Ok(AppResponse::Watching(watching)) = scene.call(AppRequest::Watch(relay(1))) else { panic!("not watched") };
    assert_eq!(watching.bans, [ban("ann", None)], "the other is over");
}

#[test]
fn a_ban_that_is_lifted_is_kept_until_all_have_heard_of_it() {
    let mut scene = Scene::made();
    scene.watch(0);
    scene.call(admin(Act::Ban(ban("ann", None)))).unwrap();
    let lift = || admin(Act::Lift { client_id: "ann".into(), channels: None });
    assert_eq!(scene.call(lift()), Ok(AppResponse::Admin(AdminResponse::Lifted(true))));
    assert!(scene.call(lift()).unwrap_err().is(Code::NotFound));
    scene.restart();
    let sweep_at_ms = NOW_MS + SWEEP_INTERVAL_MS;
    scene.registrar.tick(&mut scene.store, sweep_at_ms).unwrap();
    assert_eq!(scene.store.bans.len(), 1);
    let tell = scene.notices().remove(0);
    assert_eq!(bans(&tell), [("ann".to_owned(), Some(0))]);
    scene.told(&tell, Some(Noticed::Taken));
    scene.registrar.tick(&mut scene.store, sweep_at_ms + SWEEP_INTERVAL_MS).unwrap();
    assert_eq!((scene.store.bans.len(), scene.registrar.deadline()), (0, None));
}

#[test]
fn bans_are_bounded() {
    let mut scene = Scene::made();
    scene.store.bans = (1..=BANS_MAX as u64)
        .map(|number| ban(&number.to_string(), (number == 1).then_some(NOW_MS + 1)))
        .map(|ban| (ban.key(), (1, ban)))
        .collect();
    scene.restart();
    assert!(scene.call(admin(Act::Ban(ban("ann", None)))).unwrap_err().is(Code::RateLimited));
    assert_eq!(scene.call(admin(Act::Ban(ban("5", None)))), Ok(AppResponse::Admin(AdminResponse::Done)), "again");
    scene.now_ms += 1;
    scene.call(admin(Act::Ban(ban("ann", None)))).expect("one is over");
}

#[test]
fn a_channel_that_is_in_use_no_more_is_asked_whether_it_holds_clients() {
    let mut scene = Scene::made();
    let channel = ChannelName::parse("room").unwrap();
    let address = Address { app: AppId::parse("demo").unwrap(), channel: channel.clone() };
    scene.watch(0);
    scene.call(AppRequest::Watch(RelayName::of_channel(&address))).unwrap();
    scene.call(AppRequest::List { channel, active: false }).unwrap();
    let tells = scene.notices();
    assert_eq!(tells.iter().map(|tell| tell.relay.as_str()).collect::<Vec<_>>(), ["channel:demo/room"]);
    scene.told(&tells[0], Some(Noticed::Unwatched));
    let holders = admin(Act::Holders { from: String::new(), limit: 10 });
    assert_eq!(scene.call(holders), Ok(AppResponse::Admin(AdminResponse::Holders(vec![relay(0)]))));
}

#[test]
fn what_an_app_is_made_of_changes_and_is_told_once() {
    let mut scene = Scene::new();
    let config = r#"{"id":"demo","keys":[{"name":"a","secret":"0123456789abcdef"}],"namespaces":[]}"#;
    scene.call(AppRequest::Create { config: config.into(), channels: "c\n".into() }).unwrap();
    scene.watch(0);
    let put = || admin(Act::Configure(Change::PutNamespace(r#"{"id":"x","persisted":true}"#.into())));
    scene.call(put()).unwrap();
    scene.restart();
    let tell = scene.notices().remove(0);
    let News::Changed(changes) = &tell.notice.news else { panic!("news of {:?}", tell.notice.news) };
    assert!(changes.config.as_deref().is_some_and(|config| config.contains(r#""id":"x""#)), "{changes:?}");
    scene.told(&tell, Some(Noticed::Taken));
    assert_eq!((scene.notices(), scene.store.channels.as_str()), (vec![], "c\n"));
    let mut store = AppMemory::default();
    let mut own = Registrar::load(&mut store, NOW_MS).unwrap();
    assert!(own.call(&mut store, put(), true, NOW_MS).unwrap().unwrap_err().is(Code::Forbidden), "of the deployment");
}

#[test]
fn the_audit_keeps_the_last_entries() {
    let mut scene = Scene::made();
    for number in 0..AUDIT_MAX as u64 + 5 {
        let [app, by, action, target] = ["demo", "operator", "ban", "x"].map(str::to_owned);
        let note = Note { at_ms: number, app, by, action, target };
        let call = AdminCall { note: Some(note), act: Act::Note };
        scene.call(AppRequest::Admin(Box::new(call))).unwrap();
    }
    assert_eq!(scene.store.notes.len(), AUDIT_MAX);
    let page = admin(Act::Audit { before: u64::MAX, limit: 2 });
    let Ok(AppResponse::Admin(AdminResponse::Audit(notes))) = scene.call(page) else { panic!("no page") };
    let times: Vec<u64> = notes.iter().map(|(_, note)| note.at_ms).collect();
    assert_eq!(times, [AUDIT_MAX as u64 + 4, AUDIT_MAX as u64 + 3]);
}

/// A change brings no webhook that the app could not have been made with.
#[test]
fn a_change_brings_no_webhook_to_a_private_address() {
    let mut scene = Scene::new();
    let config = r#"{"id":"demo","keys":[{"name":"a","secret":"0123456789abcdef"}],"namespaces":[]}"#;
    scene.call(AppRequest::Create { config: config.into(), channels: String::new() }).unwrap();
    let hook = r#"{"id":"x","webhooks":[{"id":"log","url":"http://127.0.0.1/hook","key":"a"}]}"#;
    let put = || admin(Act::Configure(Change::PutNamespace(hook.into())));
    assert!(scene.call(put()).unwrap_err().is(Code::BadRequest));
    assert_eq!(scene.call(AppRequest::Config), Ok(AppResponse::Config(Some(config.into()))), "nothing has changed");
    scene.registrar.private_receivers = true;
    assert!(scene.call(put()).is_ok());
}

/// What clients say is signed then, and the same secret signs their tokens.
#[test]
fn no_app_is_given_a_webhook_by_which_a_key_signs_what_clients_say() {
    let key = r#"{"name":"a","secret":"0123456789abcdef"}"#;
    let hook = r#"{"id":"bare","url":"https://example.com/","key":"a","requestMode":"single","enveloped":false}"#;
    let config = format!(r#"{{"id":"demo","keys":[{key}],"namespaces":[],"webhooks":[{hook}]}}"#);
    let mut scene = Scene::new();
    let create = AppRequest::Create { config: config.clone(), channels: String::new() };
    let error = scene.call(create).unwrap_err();
    assert!(error.is(Code::BadRequest), "{error}");
    assert!(error.message.contains("webhook bare must have a secret of its own"), "{error}");
    let put = |id: &str| Change::PutNamespace(format!(r#"{{"id":"x","webhooks":[{}]}}"#, hook.replace("bare", id)));

    // One of an earlier build.
    scene.store.config = Some(config);
    scene.restart();
    scene.call(admin(Act::Configure(Change::PutNamespace(r#"{"id":"x"}"#.to_owned())))).expect("it can be changed");
    let error = scene.call(admin(Act::Configure(put("second")))).unwrap_err();
    assert!(error.message.contains("webhook second must have a secret of its own"), "{error}");
}

/// The secrets of an app's own keys are made here; a webhook brings its own.
#[test]
fn an_app_has_no_webhook_whose_secret_is_shorter_than_the_deployment_allows() {
    let config = |secret: &str| {
        let key = r#"{"name":"a","secret":"0123456789abcdef"}"#;
        let hook = format!(r#"{{"id":"log","url":"https://example.com/hook","secret":"{secret}"}}"#);
        format!(r#"{{"id":"demo","keys":[{key}],"namespaces":[],"webhooks":[{hook}]}}"#)
    };
    let create = |secret: &str| AppRequest::Create { config: config(secret), channels: String::new() };
    let hook = |secret: &str| {
        let hook = format!(r#"{{"id":"more","url":"https://example.com/hook","secret":"{secret}"}}"#);
        admin(Act::Configure(Change::PutNamespace(format!(r#"{{"id":"x","webhooks":[{hook}]}}"#))))
    };
    let mut scene = Scene::new();
    let error = scene.call(create("123456789012345")).unwrap_err();
    assert!(
        error.is(Code::BadRequest) && error.message.contains("webhook log must have a secret of at least 16 bytes")
    );
    assert!(scene.call(create("1234567890123456")).is_ok());
    assert!(scene.call(hook("123456789012345")).unwrap_err().message.contains("webhook more must have a secret"));
    assert!(scene.call(hook("1234567890123456")).is_ok());
    scene.registrar.secret_min_bytes = 8;
    assert!(scene.call(hook("12345678")).is_ok(), "as a local run has it");
}

#[test]
fn credentials_for_push_are_changed_as_a_whole_and_bring_nothing_private() {
    let mut scene = Scene::new();
    let config = r#"{"id":"demo","keys":[{"name":"a","secret":"0123456789abcdef"}],"namespaces":[]}"#;
    scene.call(AppRequest::Create { config: config.into(), channels: String::new() }).unwrap();
    let credentials: Value = serde_json::from_str(include_str!("../fixtures/push_credentials.json")).unwrap();
    let mut change = |push: &Value, is_private| {
        scene.registrar.private_push = is_private;
        match scene.call(admin(Act::Configure(Change::Push(push.to_string())))) {
            Ok(AppResponse::Admin(AdminResponse::Configured(config))) => {
                let app: App = serde_json::from_str(&config).unwrap();
                Ok((app.push().fcm.is_some(), app.push().apns.is_some()))
            }
            Ok(other) => panic!("not configured: {other:?}"),
            Err(error) => Err(error),
        }
    };
    assert_eq!(change(&credentials, false), Ok((true, true)));
    assert_eq!(change(&json!({"apns": credentials["apns"]}), false), Ok((false, true)));
    let mut private = credentials.clone();
    private["apns"]["url"] = "http://127.0.0.1:1".into();
    assert!(change(&private, false).unwrap_err().is(Code::BadRequest));
    assert!(change(&json!({"apns": {}}), false).unwrap_err().is(Code::BadRequest));
    assert_eq!(change(&private, true), Ok((true, true)));
    assert_eq!(change(&json!({}), false), Ok((false, false)));
}

/// A call that was done, and whose answer was lost, comes again as it was.
#[test]
fn what_comes_again_because_its_answer_was_lost_is_done_and_noted_once() {
    let mut scene = Scene::new();
    let key = |name: &str| format!(r#"{{"name":"{name}","secret":"0123456789abcdef"}}"#);
    let config = format!(r#"{{"id":"demo","keys":[{}],"namespaces":[{{"id":"x"}}]}}"#, key("a"));
    scene.call(AppRequest::Create { config, channels: String::new() }).unwrap();
    scene.call(admin(Act::Ban(ban("ann", None)))).unwrap();
    let rotation =
        Change::RotateKey { id: "a".into(), new_id: "c".into(), secret: "fedcba9876543210".into(), until_ms: NOW_MS };
    let lift = || Act::Lift { client_id: "ann".into(), channels: None };
    let acts = [
        Act::Configure(Change::AddKey(key("b"))),
        Act::Configure(rotation),
        Act::Configure(Change::RemoveKey("a".into())),
        Act::Configure(Change::RemoveNamespace("x".into())),
        lift(),
        Act::Note,
    ];
    let noted = |target: &str, act: Act| {
        let [app, by, action, target] = ["demo", "operator", "change", target].map(str::to_owned);
        AppRequest::Admin(Box::new(AdminCall { note: Some(Note { at_ms: NOW_MS, app, by, action, target }), act }))
    };
    for (number, act) in acts.into_iter().enumerate() {
        let call = noted(&number.to_string(), act);
        let first = scene.call(call.clone());
        assert!(first.is_ok(), "{call:?}: {first:?}");
        scene.restart();
        assert_eq!(scene.call(call), first);
        assert_eq!(scene.store.notes.len(), number + 1);
    }
    for act in [lift(), Act::Configure(Change::RemoveKey("a".into()))] {
        assert!(scene.call(noted("another", act)).unwrap_err().is(Code::NotFound), "asked anew, there is none");
        assert_eq!(scene.store.notes.len(), 6, "and what was not done is not noted");
    }
}

#[test]
fn a_key_stays_revocable_while_tokens_of_it_are_revoked() {
    let mut scene = Scene::new();
    let key = |id: &str| format!(r#"{{"name":"{id}","secret":"0123456789abcdef","revocableTokens":true}}"#);
    let config = format!(r#"{{"id":"demo","keys":[{},{}],"namespaces":[]}}"#, key("k"), key("other"));
    scene.call(AppRequest::Create { config, channels: String::new() }).unwrap();
    scene.revoke(&["ann"]);
    let alter =
        |id: &str, fields: &str| admin(Act::Configure(Change::AlterKey { id: id.into(), fields: fields.into() }));
    let fixed = r#"{"revocableTokens":false}"#;
    let error = scene.call(alter("k", fixed)).unwrap_err();
    let end_at_ms = NOW_MS + REVOCABLE_TOKEN_MAX_TTL_MS;
    assert!(error.is(Code::BadRequest) && error.message.contains(&end_at_ms.to_string()), "{error}");
    scene.call(alter("k", r#"{"capability":{"*":["subscribe"]}}"#)).expect("it may change otherwise");
    scene.call(alter("other", fixed)).expect("none of its own is revoked");
    scene.now_ms = end_at_ms;
    scene.call(alter("k", fixed)).expect("they have expired");
}
