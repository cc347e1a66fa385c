//! `GET /metrics`, for Prometheus: what all apps counted together, or what one did, for its key. `GET /apps`: which
//! apps there are, for whoever runs the deployment (protocol.md § 21).

use serde_json::{Value, json};

use super::caller::Caller;
use super::step::{Begin, another_answer};
use super::{Context, Step, apps};
use crate::error::ErrorInfo;
use crate::http::{Form, Reply, Request};
use crate::limits::METRICS_APPS_MAX;
use crate::model::name::AppId;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse};
use crate::stats::metrics;

/// Fails as [`apps::require_maker`] does.
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    apps::require_maker(request, context)?;
    let all = move |configured, made| ask_all(configured, made, &AppRequest::Total, form, summed);
    Ok(Box::new(move |_, context| Ok(survey(form, context, all))))
}

/// Fails with 40160 for who may not see statistics.
pub fn of_app(caller: &Caller, form: Form) -> Result<Step, ErrorInfo> {
    caller.require_stats()?;
    let call = AppCall { app: caller.app().id().clone(), request: AppRequest::Total };
    Ok(Step::Survey(vec![call], form.then(|answers| Ok(Step::Reply(summed(1, 0, answers))))))
}

/// Asks the deployment, whose own counts are no app's, and as many apps as there is room for. `sum` gets how many are
/// asked, and how many are not.
pub fn ask_all(
    configured: Vec<AppId>,
    made: Vec<AppId>,
    request: &AppRequest,
    form: Form,
    sum: impl FnOnce(usize, usize, Vec<Answer<AppResponse>>) -> Reply + 'static,
) -> Step {
    let mut all: Vec<AppId> = [AppId::deployment()].into_iter().chain(configured).chain(made).collect();
    let missing = all.len().saturating_sub(METRICS_APPS_MAX);
    all.truncate(METRICS_APPS_MAX);
    let apps = all.len() - 1;
    let calls = all.into_iter().map(|app| AppCall { app, request: request.clone() }).collect();
    Step::Survey(calls, form.then(move |answers| Ok(Step::Reply(sum(apps, missing, answers)))))
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
    let request = AppRequest::Channels { prefix: String::new(), after: String::new(), limit: METRICS_APPS_MAX + 1 };
    form.ask(AppCall { app: AppId::deployment(), request }, move |response| {
        let AppResponse::Channels(made) = response else { return Err(another_answer()) };
        let made: Vec<AppId> = made.lines().filter_map(|id| AppId::parse(id).ok()).collect();
        configured.retain(|id| !made.contains(id));
        Ok(go_on(configured, made))
    })
}

fn summed(apps: usize, missing: usize, answers: Vec<Answer<AppResponse>>) -> Reply {
    let mut survey = metrics::Survey { apps: apps as u64, apps_missing: missing as u64, ..metrics::Survey::default() };
    for answer in answers {
        match answer {
            Ok(AppResponse::Total(total)) => survey.total.add_beside(&total),
            _ => survey.apps_missing += 1,
        }
    }
    Reply::of(200, metrics::CONTENT_TYPE, metrics::text(&survey))
}
