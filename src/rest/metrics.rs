//! `GET /metrics`, for Prometheus: what all apps counted together, or what one did, for its key. `GET /apps`: which
//! apps there are, for whoever runs the deployment (protocol.md § 21).

use serde_json::{Value, json};

use super::caller::Caller;
use super::step::{Begin, another_answer};
use super::{Context, Step, apps};
use crate::error::ErrorInfo;
use crate::http::{Form, Reply, Request};
use crate::limits::{METRICS_APPS_KEPT_MAX, METRICS_APPS_MAX};
use crate::model::name::AppId;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse};
use crate::stats::{Tally, metrics};

/// Fails as [`apps::require_maker`] does.
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    apps::require_maker(request, context)?;
    Ok(Box::new(move |_, context| {
        let [a, b, c, d, ..] = context.random;
        let from = u32::from_be_bytes([a, b, c, d]) as usize;
        Ok(survey(form, context, move |configured, made| {
            let apps: Vec<AppId> = configured.into_iter().chain(made).collect();
            count(apps, from, form)
        }))
    }))
}

/// Asks as many apps as there is room for, others each time. The deployment has what all others counted before: a count
/// that fell would look to Prometheus like one that began anew.
fn count(mut apps: Vec<AppId>, from: usize, form: Form) -> Step {
    let all = apps.len();
    apps.rotate_left(from % all.max(1));
    apps.truncate(METRICS_APPS_MAX);
    let calls = apps.iter().map(|app| AppCall { app: app.clone(), request: AppRequest::Total }).collect();
    Step::Survey(
        calls,
        form.then(move |answers| {
            let asked = apps.len();
            let total = |(app, answer)| match answer {
                Ok(AppResponse::Total(total)) => Some((app, *total)),
                _ => None,
            };
            let counted: Vec<(AppId, Tally)> = apps.into_iter().zip(answers).filter_map(total).collect();
            let silent = asked - counted.len();
            let call = AppCall { app: AppId::deployment(), request: AppRequest::Sum(counted) };
            Ok(form.ask(call, move |response| match response {
                AppResponse::Sum { total, left_out } => Ok(Step::Reply(told(*total, all, silent + left_out))),
                _ => Err(another_answer()),
            }))
        }),
    )
}

/// Fails with 40160 for who may not see statistics.
pub fn of_app(caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_stats()?;
    let call = AppCall { app: caller.app().id().clone(), request: AppRequest::Total };
    Ok(form.ask(call, |response| match response {
        AppResponse::Total(total) => Ok(Step::Reply(told(*total, 1, 0))),
        _ => Err(another_answer()),
    }))
}

/// Asks the deployment, whose own counts are no app's, and as many apps as there is room for. `sum` gets how many are
/// not asked.
pub fn ask_all(
    configured: Vec<AppId>,
    made: Vec<AppId>,
    request: &AppRequest,
    form: Form,
    sum: impl FnOnce(usize, Vec<Answer<AppResponse>>) -> Reply + 'static,
) -> Step {
    let mut all: Vec<AppId> = [AppId::deployment()].into_iter().chain(configured).chain(made).collect();
    let missing = all.len().saturating_sub(METRICS_APPS_MAX);
    all.truncate(METRICS_APPS_MAX);
    let calls = all.into_iter().map(|app| AppCall { app, request: request.clone() }).collect();
    Step::Survey(calls, form.then(move |answers| Ok(Step::Reply(sum(missing, answers)))))
}

/// `GET /apps`.
pub fn list(form: Form, context: &Context<'_>) -> Step {
    survey(form, context, move |configured, made| {
        let shown = |made: bool| move |id: &AppId| json!({ "id": id.as_str(), "madeAtRunTime": made });
        let apps = configured.iter().map(shown(false)).chain(made.iter().map(shown(true)));
        Step::Reply(form.ok(&apps.collect::<Vec<Value>>()))
    })
}

/// Goes on with the apps of the configuration, and with those made at run time.
pub fn survey(form: Form, context: &Context<'_>, go_on: impl FnOnce(Vec<AppId>, Vec<AppId>) -> Step + 'static) -> Step {
    let mut configured: Vec<AppId> = context.apps.iter().map(|app| app.id().clone()).collect();
    let request = AppRequest::Channels { prefix: String::new(), after: String::new(), limit: METRICS_APPS_KEPT_MAX };
    form.ask(AppCall { app: AppId::deployment(), request }, move |response| {
        let AppResponse::Channels(made) = response else { return Err(another_answer()) };
        let made: Vec<AppId> = made.lines().filter_map(|id| AppId::parse(id).ok()).collect();
        configured.retain(|id| !made.contains(id));
        Ok(go_on(configured, made))
    })
}

fn told(total: Tally, apps: usize, missing: usize) -> Reply {
    let survey = metrics::Survey { total, apps: apps as u64, apps_missing: missing as u64 };
    Reply::of(200, metrics::CONTENT_TYPE, metrics::text(&survey))
}
