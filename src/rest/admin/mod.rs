//! What an operator does while the server runs (protocol.md § 12.7): who is connected, who is kept out, what an app
//! that was made at run time is made of, and who did any of this.
//!
//! `route` is the paths, `operator` who may ask; then one file for each thing.

mod audit;
mod bans;
mod config;
mod connections;
mod operator;
mod purge;
mod route;
mod tokens;

pub use operator::{Operator, Scope, deployment_note, is_by_deployment};
pub use purge::purge;
pub use route::{AdminRoute, Matter};

use super::step::{Begin, another_answer};
use super::{Context, Step, apps};
use crate::error::ErrorInfo;
use crate::http::{Form, Request};
use crate::model::name::AppId;
use crate::rpc::{Act, AdminCall, AdminResponse, AppCall, AppRequest, AppResponse, Note};

/// Fails as [`Operator::over`] does, and as [`apps::require_maker`] for what the admin token alone opens.
pub fn admit(
    request: &Request,
    AdminRoute { app, matter }: AdminRoute,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    let is_read = request.method == "GET" || request.method == "HEAD";
    let Some(app) = app else {
        return match matter {
            Matter::Tokens => tokens::admit(request, form, context),
            _ => audit::admit(request, form, context),
        };
    };
    let scope = match matter {
        Matter::App if request.method == "DELETE" => return apps::admit_to_delete(request, app, form, context),
        Matter::Tokens => return tokens::admit_to_app(request, &app, form, context),
        // Of some channels: which, is known when the body is read.
        Matter::Bans if !is_read => Scope::Some,
        _ => Scope::App,
    };
    let operator = Operator::over(scope, request, &app, context)?;
    Ok(Box::new(move |request, context| match matter {
        Matter::Connections => connections::list(request, operator, form),
        Matter::Disconnect(connection_id) => connections::end(request, connection_id, operator, form),
        Matter::Bans if is_read => bans::list(request, &operator, form),
        Matter::Bans if request.method == "POST" => bans::ban(request, &operator, form),
        Matter::Bans => bans::lift(request, &operator, form),
        Matter::Audit => audit::list(request, &operator, form),
        Matter::Messages(channel) => purge::for_operator(&channel, &operator, form),
        Matter::App | Matter::Keys | Matter::Namespaces if is_read => config::show(&matter, &operator, form),
        matter => config::change(request, &matter, &operator, form, &context.random),
    }))
}

/// Asks an app for what an operator wants of it.
pub(super) fn ask(
    app: &AppId,
    act: Act,
    note: Option<Note>,
    form: Form,
    go_on: impl FnOnce(AdminResponse) -> Result<Step, ErrorInfo> + 'static,
) -> Step {
    let request = AppRequest::Admin(Box::new(AdminCall { note, act }));
    form.ask(AppCall { app: app.clone(), request }, move |response| match response {
        AppResponse::Admin(response) => go_on(response),
        _ => Err(another_answer()),
    })
}
