//! `/apps/{app}`, its `keys` and its `namespaces`: what an app is made of, and changes of one that was made at run
//! time.

use serde_json::{Value, json};

use super::super::step::another_answer;
use super::super::{Step, body};
use super::{Matter, Operator, ask};
use crate::app;
use crate::auth::{App, Key, KeyName, Namespace, derive};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{KEY_OVERLAP_MAX_MS, KEY_OVERLAP_MS};
use crate::model::name::alphanumeric;
use crate::rpc::{Act, AdminResponse, Change};

/// No secret is shown again.
pub fn show(matter: &Matter, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    let app = &operator.app;
    let shown = match matter {
        Matter::Keys => keys(app),
        Matter::Namespaces => namespaces(app),
        _ => whole(app),
    };
    Ok(Step::Reply(form.ok(&shown)))
}

fn whole(app: &App) -> Value {
    let (push, mut configured) = (app.push().shown(), app.to_json());
    hide_secrets(&mut configured);
    let webhooks = configured.get("webhooks").cloned().unwrap_or_else(|| json!([]));
    let (keys, namespaces) = (keys(app), namespaces(app));
    json!({ "appId": app.id().as_str(), "keys": keys, "namespaces": namespaces, "webhooks": webhooks, "push": push })
}

fn keys(app: &App) -> Value {
    app.keys().iter().map(shown_key).collect()
}

fn namespaces(app: &App) -> Value {
    app.namespaces().iter().map(shown_namespace).collect()
}

fn shown_key(key: &Key) -> Value {
    json!({
        "id": key.name.id(),
        "keyName": key.name.to_string(),
        "capability": key.capability.text(),
        "revocableTokens": key.revocable_tokens,
        "validUntil": key.valid_until_ms,
    })
}

fn shown_namespace(namespace: &Namespace) -> Value {
    let mut shown = namespace.to_json();
    hide_secrets(&mut shown);
    let idle = namespace.not_effective();
    if !idle.is_empty() {
        shown["notEffective"] = json!(idle);
    }
    shown
}

/// Those of the webhooks that an app, or a namespace, has.
fn hide_secrets(of: &mut Value) {
    let webhooks = of.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten();
    webhooks.filter_map(Value::as_object_mut).for_each(|webhook| drop(webhook.remove("secret")));
}

/// A change, what the audit says of it, and what is answered when it is done.
struct Plan {
    change: Change,
    action: &'static str,
    target: String,
    answer: Answer,
}

enum Answer {
    Nothing,
    All,
    Key(String),
    /// With its secret, once.
    NewKey(String),
    Namespace(String),
}

/// Fails with 40300 for an app of the deployment's configuration, with 40400 for what is not there, and with 40000,
/// saying where and what, for a value that is wrong.
pub fn change(
    request: &Request,
    matter: &Matter,
    operator: &Operator,
    form: Form,
    random: &[u8; 32],
) -> Result<Step, ErrorInfo> {
    let Plan { change, action, target, answer } = plan(request, matter, operator.now_ms, random)?;
    let note = operator.note(action, &target);
    Ok(ask(operator.id(), Act::Configure(change), note, form, move |response| {
        let AdminResponse::Configured(config) = response else { return Err(another_answer()) };
        Ok(Step::Reply(answer.reply(&app::configuration(&config)?, form)?))
    }))
}

fn plan(request: &Request, matter: &Matter, now_ms: u64, random: &[u8; 32]) -> Result<Plan, ErrorInfo> {
    let fresh = || (alphanumeric(&derive(random, "key")[..8]), alphanumeric(&derive(random, "secret")));
    let (change, action, target, answer) = match (matter, request.method.as_str()) {
        (Matter::App, _) => {
            let body = body::value(request)?;
            if body.get("push").is_some() {
                let push = only(body, "push", "push")?;
                (Change::Push(push.to_string()), "change push credentials", "all".to_owned(), Answer::All)
            } else if body.get("webhooks").is_some() {
                let all = only(body, "webhooks", "webhooks")?;
                (Change::Webhooks(all.to_string()), "change webhooks", "all".to_owned(), Answer::All)
            } else {
                let all = only(body, "namespaces", "namespaces, webhooks or push")?;
                (Change::Namespaces(all.to_string()), "change namespaces", "all".to_owned(), Answer::All)
            }
        }
        (Matter::Keys, _) => {
            let (id, secret) = fresh();
            let mut key = key_fields(optional_body(request)?)?;
            (key["name"], key["secret"]) = (json!(id), json!(secret));
            (Change::AddKey(key.to_string()), "add key", id.clone(), Answer::NewKey(id))
        }
        (Matter::Key(name), "PATCH") => {
            let fields = key_fields(body::value(request)?)?.to_string();
            let id = name.id().to_owned();
            (Change::AlterKey { id: id.clone(), fields }, "change key", id.clone(), Answer::Key(id))
        }
        (Matter::Key(name), _) => {
            let id = name.id().to_owned();
            (Change::RemoveKey(id.clone()), "remove key", id, Answer::Nothing)
        }
        (Matter::Rotation(name), _) => rotation(request, name, now_ms, fresh())?,
        (Matter::Namespace(id), "DELETE") => {
            (Change::RemoveNamespace(id.clone()), "remove namespace", id.clone(), Answer::Nothing)
        }
        (Matter::Namespace(id), _) => put_namespace(body::value(request)?, Some(id))?,
        (Matter::Namespaces, _) => put_namespace(body::value(request)?, None)?,
        _ => return Err(Code::NotFound.into()),
    };
    Ok(Plan { change, action, target, answer })
}

type Planned = (Change, &'static str, String, Answer);

fn rotation(
    request: &Request,
    name: &KeyName,
    now_ms: u64,
    (new_id, secret): (String, String),
) -> Result<Planned, ErrorInfo> {
    let wrong = || {
        let most = KEY_OVERLAP_MAX_MS;
        Code::BadRequest
            .because(format!("overlap must be whole milliseconds, at most {most}: how long the old key lives"))
    };
    let overlap = match optional_body(request)? {
        body if body.as_object().is_some_and(serde_json::Map::is_empty) => Value::Null,
        body => only(body, "overlap", "overlap")?,
    };
    let overlap_ms = if overlap.is_null() { KEY_OVERLAP_MS } else { overlap.as_u64().ok_or_else(wrong)? };
    if overlap_ms > KEY_OVERLAP_MAX_MS {
        return Err(wrong());
    }
    let (id, until_ms) = (name.id().to_owned(), now_ms + overlap_ms);
    let target = format!("{id} by {new_id}");
    let change = Change::RotateKey { id, new_id: new_id.clone(), secret, until_ms };
    Ok((change, "rotate key", target, Answer::NewKey(new_id)))
}

/// The path's id goes before the body's, which may repeat it.
fn put_namespace(mut namespace: Value, id: Option<&str>) -> Result<Planned, ErrorInfo> {
    let fields = namespace.as_object_mut().ok_or_else(|| Code::BadBody.because("a namespace must be an object"))?;
    if let Some(id) = id
        && *fields.entry("id").or_insert_with(|| json!(id)) != json!(id)
    {
        return Err(Code::BadRequest.because("the namespace's id is another than the path's"));
    }
    let id = fields.get("id").and_then(Value::as_str).map(str::to_owned);
    let id = id.ok_or_else(|| Code::BadRequest.because("id must be the namespace's, a text"))?;
    Ok((Change::PutNamespace(namespace.to_string()), "put namespace", id.clone(), Answer::Namespace(id)))
}

pub(super) fn optional_body(request: &Request) -> Result<Value, ErrorInfo> {
    if request.body.is_empty() { Ok(json!({})) } else { body::value(request) }
}

/// What of a key a request may say.
fn key_fields(body: Value) -> Result<Value, ErrorInfo> {
    let fields = body.as_object().ok_or_else(|| Code::BadBody.because("a key must be an object"))?;
    match fields.keys().find(|name| !["capability", "revocableTokens"].contains(&name.as_str())) {
        Some(name) => {
            Err(Code::BadRequest.because(format!("{name} is no field of a key; it has capability and revocableTokens")))
        }
        None => Ok(body),
    }
}

/// The one field that a body has. `may_have` says which it may have, where it has another.
fn only(mut body: Value, name: &str, may_have: &str) -> Result<Value, ErrorInfo> {
    let wrong = || Code::BadRequest.because(format!("the body must be an object with {may_have} alone"));
    let fields = body.as_object_mut().filter(|fields| fields.len() == 1).ok_or_else(wrong)?;
    fields.remove(name).ok_or_else(wrong)
}

impl Answer {
    fn reply(self, app: &App, form: Form) -> Result<Reply, ErrorInfo> {
        let key = |id: &str| app.keys().iter().find(|key| key.name.id() == id).ok_or_else(another_answer);
        Ok(match self {
            Answer::Nothing => Reply::empty(),
            Answer::All => form.ok(&whole(app)),
            Answer::Key(id) => form.ok(&shown_key(key(&id)?)),
            Answer::NewKey(id) => {
                let key = key(&id)?;
                let mut shown = shown_key(key);
                (shown["keyStr"], shown["keySecret"]) = (json!(key.expose()), json!(key.secret.expose()));
                form.created(&shown)
            }
            Answer::Namespace(id) => {
                let namespace = app.namespaces().iter().find(|namespace| namespace.id == id);
                form.ok(&shown_namespace(namespace.ok_or_else(another_answer)?))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_shows_the_secret_of_a_webhook() {
        let webhook = |id: &str| json!({ "id": id, "url": "https://example.com/hook", "secret": "a-secret-of-a-hook" });
        let namespaces = json!([{ "id": "chat", "webhooks": [webhook("chats")] }]);
        let app = json!({ "id": "a", "keys": [], "namespaces": namespaces, "webhooks": [webhook("log")] });
        let shown = whole(&serde_json::from_value(app).unwrap());
        assert_eq!(shown["webhooks"][0]["id"], "log");
        assert_eq!(shown["namespaces"][0]["webhooks"][0]["id"], "chats");
        assert!(!shown.to_string().contains("a-secret-of-a-hook"), "{shown}");
    }
}
