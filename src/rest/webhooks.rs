//! `GET /apps/{id}/webhooks`: where webhooks of an app fail, and which events were given up, and
//! `…/webhooks/dead-letters`: the same with the events, for whoever operates the app (docs/webhooks.md). Events hold
//! what was said: a key must also allow to read that. `DELETE` drops them.

use std::rc::Rc;

use serde_json::{Value, json};

use super::history::limit;
use super::page::{Links, before};
use super::step::{Begin, another_answer};
use super::{Context, Operator, Scope, Step, admin};
use crate::auth::App;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::{CHANNEL_NAME_MAX_BYTES, HOOK_DEAD_PAGE_MAX};
use crate::model::name::AppId;
use crate::rpc::{Act, AdminResponse, AppCall, AppRequest, AppResponse, DeadEvents, DeadLetter, HookPage};

/// Fails as [`Operator::over`] does.
pub fn admit(request: &Request, app: AppId, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    let operator = Operator::over(Scope::App, request, &app, context)?;
    Ok(Box::new(move |_, _| Ok(standing(operator.app, form))))
}

fn standing(app: Rc<App>, form: Form) -> Step {
    form.ask(AppCall { app: app.id().clone(), request: AppRequest::Hooks }, move |response| match response {
        AppResponse::Hooks(mut page) => {
            // A webhook that is no more fails nowhere.
            page.troubled.retain(|(_, hook, _)| app.has_webhook(hook));
            Ok(Step::Reply(form.ok(&shown(&page))))
        }
        _ => Err(another_answer()),
    })
}

/// Fails as [`admit`] does, and for a key that reads them also without `history` on all channels.
pub fn admit_to_dead_letters(
    request: &Request,
    app: AppId,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    let is_end = request.method == "DELETE";
    let scope = if is_end { Scope::App } else { Scope::History };
    let operator = Operator::over(scope, request, &app, context)?;
    Ok(match is_end {
        true => Box::new(move |request, _| forget(request, &operator, form)),
        false => Box::new(move |request, _| dead_letters(request, app, form)),
    })
}

/// Fails with 40003 for a limit or a cursor that is none.
fn dead_letters(request: &Request, app: AppId, form: Form) -> Result<Step, ErrorInfo> {
    let limit = limit(request)?.min(HOOK_DEAD_PAGE_MAX);
    let before = before(request)?;
    let links = Links::of(request, "dead-letters", &[]);
    let request = AppRequest::DeadLetters { before, limit: limit + 1 };
    Ok(form.ask(AppCall { app, request }, move |response| {
        let AppResponse::DeadLetters(mut dead) = response else { return Err(another_answer()) };
        let has_more = dead.len() > limit;
        dead.truncate(limit);
        let next = dead.last().filter(|_| has_more).map(|(number, ..)| number.to_string());
        let shown: Vec<Value> = dead.iter().map(|(_, channel, dead)| dead_letter(channel, dead)).collect();
        Ok(Step::Reply(form.page(&shown, links.header(next))))
    }))
}

/// Drops them, or those of one channel. Fails with 40010 for a name that is too long for one.
fn forget(request: &Request, operator: &Operator, form: Form) -> Result<Step, ErrorInfo> {
    // What happened to connections is told by a name that no client can choose.
    let channel = request.parameter("channel").map(str::to_owned);
    if channel.as_ref().is_some_and(|name| name.len() > CHANNEL_NAME_MAX_BYTES) {
        return Err(Code::BadChannelName.because(format!("a channel name has at most {CHANNEL_NAME_MAX_BYTES} bytes")));
    }
    let note = operator.note("forget dead letters", channel.as_deref().unwrap_or("all channels"));
    let act = Act::ForgetDead { channel };
    Ok(admin::ask(operator.id(), act, note, form, |response| match response {
        AdminResponse::Done => Ok(Step::Reply(Reply::empty())),
        _ => Err(another_answer()),
    }))
}

/// What is read is JSON of our own; `events` are fewer than `count` where not all were kept.
fn dead_letter(channel: &str, DeadLetter { about, body }: &DeadLetter) -> Value {
    let mut shown = dead_ones(channel, about);
    shown["events"] = serde_json::from_str(body).unwrap_or_else(|_| json!([]));
    shown
}

fn shown(HookPage { troubled, dead }: &HookPage) -> Value {
    let troubled: Vec<Value> =
        troubled.iter().map(|(channel, hook, standing)| standing.to_json(channel, hook)).collect();
    let dead: Vec<Value> = dead.iter().map(|(channel, events)| dead_ones(channel, events)).collect();
    json!({ "troubled": troubled, "deadLetters": dead })
}

fn dead_ones(channel: &str, dead: &DeadEvents) -> Value {
    json!({
        "webhookId": dead.hook,
        "channel": channel,
        "timestamp": dead.at_ms,
        "count": dead.count,
        "first": dead.first,
        "last": dead.last,
        "error": dead.error,
    })
}
