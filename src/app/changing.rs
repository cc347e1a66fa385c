//! Changes of an app made at run time: from its configuration and what is to be changed to another configuration.

use serde_json::{Map, Value, json};

use super::configuration;
use crate::auth::App;
use crate::error::{Code, ErrorInfo};
use crate::limits::{APPS_MAX_BYTES, HOOK_CHANGES_MS};
use crate::model::node;
use crate::rpc::Change;

/// Fails with 40400 for a key or namespace that is not there, with 40300 for the last key that has no end, with 40009
/// when the whole becomes too large, and with 40000, saying where and what, as an app's configuration does.
pub fn changed(config: &str, change: &Change, now_ms: u64) -> Result<String, ErrorInfo> {
    let before = configuration(config)?.to_json();
    let mut app = before.clone();
    match change {
        Change::Namespaces(all) => app["namespaces"] = read(all)?,
        Change::PutNamespace(namespace) => {
            let namespace = read(namespace)?;
            let namespaces = list(&mut app, "namespaces");
            namespaces.retain(|known| known["id"] != namespace["id"]);
            namespaces.push(namespace);
        }
        Change::RemoveNamespace(id) => remove(list(&mut app, "namespaces"), "id", id)?,
        Change::AddKey(key) => list(&mut app, "keys").push(read(key)?),
        Change::AlterKey { id, fields } => {
            let fields = read(fields)?;
            let fields = fields.as_object().into_iter().flatten();
            key(&mut app, id)?.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
        }
        Change::RotateKey { id, new_id, secret, until_ms } => {
            let old = key(&mut app, id)?;
            let mut new = old.clone();
            // One that is about to end does not live longer by this.
            let known_ms = old.get("validUntil").and_then(Value::as_u64);
            let until_ms = known_ms.map_or(*until_ms, |known_ms| known_ms.min(*until_ms));
            old.insert("validUntil".to_owned(), json!(until_ms));
            for (name, value) in [("name", json!(new_id)), ("secret", json!(secret)), ("validUntil", Value::Null)] {
                new.insert(name.to_owned(), value);
            }
            list(&mut app, "keys").push(Value::Object(new));
        }
        Change::Push(credentials) => app["push"] = read(credentials)?,
        Change::Webhooks(all) => app["webhooks"] = read(all)?,
        Change::RemoveKey(id) => remove(list(&mut app, "keys"), "name", id)?,
    }
    keep_signers(before.clone(), &mut app);
    if !list(&mut app, "keys").iter().any(|key| key["validUntil"].is_null()) {
        return Err(Code::Forbidden.because("this is the app's last key without an end; add another before"));
    }
    forget_times(&mut app);
    let mut changed = App::try_from(app)?.to_json();
    stamp(before, &mut changed, now_ms);
    let changed = changed.to_string();
    match changed.len() <= APPS_MAX_BYTES {
        true => Ok(changed),
        false => Err(Code::TooLarge.because(format!("an app's configuration has at most {APPS_MAX_BYTES} bytes"))),
    }
}

fn read(text: &str) -> Result<Value, ErrorInfo> {
    node::value_of(text.as_bytes()).map_err(|_| Code::BadBody.because("a part of the configuration is not JSON"))
}

fn list<'a>(app: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    app[name].as_array_mut().expect("an app's own JSON has this list")
}

fn key<'a>(app: &'a mut Value, id: &str) -> Result<&'a mut Map<String, Value>, ErrorInfo> {
    let found = list(app, "keys").iter_mut().find(|key| key["name"] == id).and_then(Value::as_object_mut);
    found.ok_or_else(|| absent("key"))
}

/// A webhook that says nothing of what signs is signed as before: no answer shows its secret, to be sent again.
fn keep_signers(mut before: Value, app: &mut Value) {
    let known: Vec<&mut Map<String, Value>> = webhooks(&mut before).collect();
    for webhook in webhooks(app).filter(|webhook| SIGNERS.iter().all(|name| is_absent(webhook.get(*name)))) {
        let Some(known) = known.iter().find(|known| known.get("id") == webhook.get("id")) else { continue };
        for name in SIGNERS {
            webhook.extend(known.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }
}

/// The times of webhooks are the server's, whatever a body says.
pub(super) fn forget_times(app: &mut Value) {
    webhooks(app).for_each(|webhook| TIMES.iter().for_each(|name| drop(webhook.remove(*name))));
}

/// Each webhook says since when it is what it is, on the channels that it has. A change soon after another counts from
/// the first, of which a channel may not have heard yet. None is older than those before it, though the clock was set
/// back.
fn stamp(mut before: Value, app: &mut Value, now_ms: u64) {
    let mut known = Vec::new();
    owned_webhooks(&mut before, |owner, webhook| {
        let times = TIMES.map(|name| webhook.remove(name).and_then(|time| time.as_u64()).unwrap_or_default());
        known.push((owner.to_owned(), webhook.clone(), times));
    });
    let newest_ms = known.iter().map(|(.., [_, changed_ms])| *changed_ms).max().unwrap_or_default();
    let changed_ms = now_ms.max(newest_ms.saturating_add(1));
    owned_webhooks(app, |owner, webhook| {
        let is_it = |(known, before, _): &&(_, Map<_, _>, _)| known == owner && before.get("id") == webhook.get("id");
        let times = match known.iter().find(is_it) {
            Some((_, before, times)) if before == webhook => *times,
            Some((.., [since_ms, last_ms])) if last_ms.saturating_add(HOOK_CHANGES_MS) > now_ms => {
                [*since_ms, changed_ms]
            }
            _ => [changed_ms; 2],
        };
        let times = TIMES.into_iter().zip(times).filter(|(_, time_ms)| *time_ms > 0);
        webhook.extend(times.map(|(name, time_ms)| (name.to_owned(), json!(time_ms))));
    });
}

/// Each with what its channels come of: nothing for one of the app, else its namespace, and for `*` all others, too.
fn owned_webhooks(app: &mut Value, mut act: impl FnMut(&str, &mut Map<String, Value>)) {
    let namespaces = app["namespaces"].as_array().into_iter().flatten();
    let mut ids: Vec<String> = namespaces.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    ids.sort_unstable();
    let all = ids.join(" ");
    let own = app.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten();
    own.filter_map(Value::as_object_mut).for_each(|webhook| act("", webhook));
    for one in list(app, "namespaces") {
        let owner = if one["id"] == "*" { all.clone() } else { one["id"].as_str().unwrap_or_default().to_owned() };
        let own = one.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten();
        own.filter_map(Value::as_object_mut).for_each(|webhook| act(&owner, webhook));
    }
}

const TIMES: [&str; 2] = ["since", "changed"];

const SIGNERS: [&str; 2] = ["secret", "key"];

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// Those of the app, and of its namespaces.
fn webhooks(app: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let app = app.as_object_mut().into_iter().flat_map(Map::iter_mut);
    let lists = app.flat_map(|(name, value)| match name.as_str() {
        "webhooks" => vec![value],
        "namespaces" => value.as_array_mut().into_iter().flatten().filter_map(|one| one.get_mut("webhooks")).collect(),
        _ => Vec::new(),
    });
    lists.filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut)
}

fn remove(list: &mut Vec<Value>, name: &str, id: &str) -> Result<(), ErrorInfo> {
    let count = list.len();
    list.retain(|known| known[name] != id);
    let what = if name == "id" { "namespace" } else { "key" };
    if list.len() < count { Ok(()) } else { Err(absent(what)) }
}

fn absent(what: &str) -> ErrorInfo {
    Code::NotFound.because(format!("the app has no such {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = r#"{"id":"demo","keys":[
        {"name":"a","secret":"0123456789abcdef","capability":{"chat:*":["publish"]},"revocableTokens":true}
    ],"namespaces":[{"id":"chat","persisted":true}]}"#;

    fn change(config: &str, change: Change) -> Result<App, ErrorInfo> {
        changed(config, &change, 1_000).map(|text| configuration(&text).unwrap())
    }

    fn rotation(id: &str, new_id: &str, until_ms: u64) -> Change {
        let secret = "fedcba9876543210".to_owned();
        Change::RotateKey { id: id.to_owned(), new_id: new_id.to_owned(), secret, until_ms }
    }

    #[test]
    fn a_rotated_key_has_a_successor_and_an_end() {
        let app = change(APP, rotation("a", "b", 5_000)).unwrap();
        let [old, new] = app.keys() else { panic!("{:?}", app.keys()) };
        assert_eq!((old.name.id(), old.valid_until_ms), ("a", Some(5_000)));
        assert_eq!((new.name.id(), new.valid_until_ms, new.secret.expose()), ("b", None, "fedcba9876543210"));
        assert_eq!((&new.capability, new.revocable_tokens), (&old.capability, true));
        let again = change(&app.to_json().to_string(), rotation("a", "c", 9_000)).unwrap();
        assert_eq!(again.keys()[0].valid_until_ms, Some(5_000), "no later than it was to end");
    }

    #[test]
    fn a_key_is_altered_and_removed() {
        let fields = r#"{"capability":{"*":["subscribe"]}}"#.to_owned();
        let app = change(APP, Change::AlterKey { id: "a".into(), fields }).unwrap();
        assert_eq!(app.keys()[0].capability.text(), r#"{"*":["subscribe"]}"#);
        assert!(app.keys()[0].revocable_tokens, "what is not named stays");
        let key = r#"{"name":"b","secret":"0123456789abcdef"}"#.to_owned();
        let app = change(APP, Change::AddKey(key)).unwrap();
        let app = change(&app.to_json().to_string(), Change::RemoveKey("a".into())).unwrap();
        assert_eq!(app.keys().iter().map(|key| key.name.id()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn an_app_keeps_a_key() {
        assert!(change(APP, Change::RemoveKey("a".into())).unwrap_err().is(Code::Forbidden));
        let app = change(APP, rotation("a", "b", 5_000)).unwrap().to_json().to_string();
        assert!(change(&app, Change::RemoveKey("b".into())).unwrap_err().is(Code::Forbidden), "the other has an end");
    }

    #[test]
    fn namespaces_are_put_and_removed() {
        let ids = |app: App| app.namespaces().iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        let app = change(APP, Change::PutNamespace(r#"{"id":"chat","tlsOnly":true}"#.into())).unwrap();
        assert!(app.namespaces()[0].rules.tls_only && !app.namespaces()[0].rules.persisted, "as a whole");
        assert_eq!(ids(change(APP, Change::PutNamespace(r#"{"id":"news"}"#.into())).unwrap()), ["chat", "news"]);
        assert_eq!(ids(change(APP, Change::Namespaces(r#"[{"id":"x"}]"#.into())).unwrap()), ["x"]);
        assert!(ids(change(APP, Change::RemoveNamespace("chat".into())).unwrap()).is_empty());
    }

    /// As an operator does it: both keys for a while, then the webhook by the new one, then the old one goes.
    #[test]
    fn a_webhook_changes_its_key_before_the_old_one_goes() {
        let webhooks = |by: &str, more: &str| {
            let more = format!(r#"{{"id":"log","url":"https://example.com/","key":"{by}"}},{more}"#);
            format!("[{}]", more.trim_end_matches(','))
        };
        let own = r#"{"id":"own","url":"https://example.com/","secret":"own-secret-0123456789"}"#;
        let text = |app: App| app.to_json().to_string();
        let app = text(change(APP, Change::Webhooks(webhooks("a", own))).unwrap());
        let app = text(change(&app, rotation("a", "b", 5_000)).unwrap());
        let error = change(&app, Change::RemoveKey("a".into())).unwrap_err();
        assert!(error.message.contains("the webhook log names a key"), "{error}");
        let without_secret = r#"{"id":"own","url":"https://example.com/other"}"#;
        let app = text(change(&app, Change::Webhooks(webhooks("b", without_secret))).unwrap());
        let app = change(&app, Change::RemoveKey("a".into())).unwrap().to_json();
        assert_eq!((&app["webhooks"][0]["key"], &app["keys"][0]["name"]), (&json!("b"), &json!("b")));
        assert_eq!(app["webhooks"][1]["secret"], "own-secret-0123456789", "what no answer shows need not be sent");
        assert_eq!(app["webhooks"][1]["url"], "https://example.com/other");
        let unknown = r#"[{"id":"new","url":"https://example.com/"}]"#;
        assert!(change(&app.to_string(), Change::Webhooks(unknown.into())).unwrap_err().is(Code::BadRequest));
    }

    #[test]
    fn a_webhook_of_a_namespace_keeps_its_secret_too() {
        let namespace = |signer: &str| {
            let hook = format!(r#"{{"id":"chats","url":"https://example.com/"{signer}}}"#);
            Change::PutNamespace(format!(r#"{{"id":"chat","webhooks":[{hook}]}}"#))
        };
        let app = change(APP, namespace(r#","secret":"own-secret-0123456789""#)).unwrap().to_json().to_string();
        let app = change(&app, namespace("")).unwrap().to_json();
        assert_eq!(app["namespaces"][0]["webhooks"][0]["secret"], "own-secret-0123456789");
    }

    #[test]
    fn a_webhook_says_since_when_it_is_what_it_is() {
        let times = |config: &str, url: &str, now_ms: u64| {
            let more = r#""secret":"own-secret-0123456789","since":5,"changed":7"#;
            let hooks = format!(r#"[{{"id":"log","url":"https://example.com/{url}",{more}}}]"#);
            let app = changed(config, &Change::Webhooks(hooks), now_ms).unwrap();
            let hook = serde_json::from_str::<Value>(&app).unwrap()["webhooks"][0].clone();
            (app, hook["since"].as_u64().unwrap(), hook["changed"].as_u64().unwrap())
        };
        let (app, since_ms, changed_ms) = times(APP, "a", 1_000);
        assert_eq!((since_ms, changed_ms), (1_000, 1_000));
        let (app, ..) = times(&app, "a", 2_000);
        let (app, since_ms, changed_ms) = times(&app, "b", 3_000);
        assert_eq!((since_ms, changed_ms), (1_000, 3_000), "no channel may have heard of the first");
        let (app, since_ms, changed_ms) = times(&app, "c", 10);
        assert_eq!((since_ms, changed_ms), (1_000, 3_001), "newer by a clock that was set back, too");
        let (_, since_ms, changed_ms) = times(&app, "d", 3_001 + HOOK_CHANGES_MS);
        assert_eq!((since_ms, changed_ms), (3_001 + HOOK_CHANGES_MS, 3_001 + HOOK_CHANGES_MS));
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let alter = |fields: &str| Change::AlterKey { id: "a".into(), fields: fields.into() };
        for (asked, code) in [
            (Change::RemoveKey("x".into()), Code::NotFound),
            (rotation("x", "y", 5), Code::NotFound),
            (rotation("a", "a", 5), Code::BadRequest),
            (Change::RemoveNamespace("x".into()), Code::NotFound),
            (Change::PutNamespace(r#"{"id":"a:b"}"#.into()), Code::BadRequest),
            (Change::PutNamespace(r#"{"id":"a","persited":true}"#.into()), Code::BadRequest),
            (Change::Namespaces("{}".into()), Code::BadRequest),
            (alter(r#"{"capability":{"*":["what"]}}"#), Code::BadRequest),
        ] {
            let error = change(APP, asked.clone()).unwrap_err();
            assert!(error.is(code), "{asked:?}: {error}");
        }
    }
}
