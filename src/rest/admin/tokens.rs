//! `POST /tokens` and `POST /apps/{app}/tokens`: whoever has the admin token hears what happens (protocol.md § 11.9).
//!
//! It is not noted: the audit is of what was done, and who hears does nothing.

use super::super::apps;
use super::super::{Context, Step};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::model::name::AppId;

/// Of the deployment itself, where the audit of all apps is kept. Fails as [`apps::require_maker`] does, and with 40400
/// where anybody may make apps: there is no admin token then.
pub fn of_deployment(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Step, ErrorInfo> {
    apps::require_maker(request, context)?;
    issue(&AppId::deployment(), form, context)
}

/// The same of one app. Fails also with 40400 when there is no such app.
pub fn of_app(request: &Request, app: &AppId, form: Form, context: &mut Context<'_>) -> Result<Step, ErrorInfo> {
    apps::require_maker(request, context)?;
    context.apps.get(app).ok_or_else(|| Code::NotFound.because("no such app"))?;
    issue(app, form, context)
}

fn issue(app: &AppId, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    let none =
        || Code::NotFound.because("an operator's token is made with the secret ADMIN_TOKEN, which is not set here");
    let operators = context.admin.operators().ok_or_else(none)?;
    let random = *context.random.first_chunk().expect("32 bytes have eight");
    Ok(Step::Reply(form.created(&operators.issue(app, context.now_ms, random))))
}
