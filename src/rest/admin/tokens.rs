//! `POST /tokens` and `POST /apps/{app}/tokens`: whoever has the admin token hears what happens, and with `scope` sees
//! an app's channels as the console shows them (protocol.md § 11.9).
//!
//! Only the latter is noted: the audit is of what was done, and who hears does nothing.

use serde_json::json;

use super::super::apps;
use super::super::step::Begin;
use super::super::{Context, Step};
use super::{Operator, Scope, ask, config};
use crate::auth::{Reach, TokenDetails};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::model::name::AppId;
use crate::rpc::Act;

/// Issues one of the deployment itself, where the audit of all apps is kept. Fails as [`apps::require_maker`] does,
/// with 40000 for a scope, and with 40400 where anybody may make apps: there is no admin token then.
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    apps::require_maker(request, context)?;
    Ok(Box::new(move |request, context| match reach(request)? {
        Reach::Metachannels => {
            Ok(Step::Reply(form.created(&issue(&AppId::deployment(), Reach::Metachannels, context)?)))
        }
        Reach::Channels => Err(Code::BadRequest.because("channels are an app's own: ask below /apps/{app}")),
    }))
}

/// The same of one app. Fails also with 40400 when there is no such app, and with 40000 for another scope.
pub fn admit_to_app(
    request: &Request,
    app: &AppId,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    apps::require_maker(request, context)?;
    let operator = Operator::over(Scope::App, request, app, context)?;
    Ok(Box::new(move |request, context| {
        let reach = reach(request)?;
        let reply = Step::Reply(form.created(&issue(operator.id(), reach, context)?));
        Ok(match reach {
            Reach::Metachannels => reply,
            // Noted first: none is out there that nobody asked for.
            Reach::Channels => {
                let note = operator.note("issue token", "channels");
                ask(operator.id(), Act::Note, note, form, move |_| Ok(reply))
            }
        })
    }))
}

fn reach(request: &Request) -> Result<Reach, ErrorInfo> {
    match config::optional_body(request)? {
        body if body == json!({}) => Ok(Reach::Metachannels),
        body if body == json!({ "scope": "channels" }) => Ok(Reach::Channels),
        _ => {
            Err(Code::BadRequest
                .because("the body must be an object with scope alone, which is \"channels\", or empty"))
        }
    }
}

fn issue(app: &AppId, reach: Reach, context: &Context<'_>) -> Result<TokenDetails, ErrorInfo> {
    let none =
        || Code::NotFound.because("an operator's token is made with the secret ADMIN_TOKEN, which is not set here");
    let operators = context.admin.operators().ok_or_else(none)?;
    let random = *context.random.first_chunk().expect("32 bytes have eight");
    Ok(operators.issue(app, reach, context.now_ms, random))
}
