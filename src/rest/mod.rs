//! The REST API as plain values: a [`Request`] goes in, a [`Step`] comes out, and no socket, clock or storage is in
//! sight. The [`router`](crate::router) leads a request through them, and the shell performs the calls that a step
//! asks for (protocol.md § 12).
//!
//! ```text
//! body_bound(request) ──▶ Reply, or how much of its body begin() needs
//! begin(request) ──▶ Reply
//!        ├─────────▶ Calls ── the channels answer ─┐
//!        └─────────▶ Ask ──── the app answers ─────┴▶ Continuation::answered ──▶ Reply, Calls or Ask
//! ```
//!
//! In reading order: `route` (path to what is asked), `caller` (who asks), `barred` (who was banned), `body` (what was
//! sent), then one file for each thing that can be asked: `publish` with `unenveloped`, `batch`, `history` with
//! `page`, `message`, `annotations`, `presence`, `objects`, `chat`, `status`, `stats`, `metrics`, `token`, `revoke`,
//! `apps`, `admin`, `webhooks`, `push`, `pusher`; `step` is how each goes on with the answers that it waits for.

mod admin;
mod annotations;
mod apps;
mod barred;
mod batch;
mod body;
mod caller;
mod chat;
mod history;
mod message;
mod metrics;
mod objects;
mod page;
mod presence;
mod publish;
mod push;
#[cfg(feature = "pusher")]
mod pusher;
mod revoke;
mod route;
mod stats;
mod status;
mod step;
mod token;
mod unenveloped;
mod webhooks;

pub use apps::Admin;
pub use body::check_coding;
pub use step::{Asking, Continuation, Step};

use crate::auth::{Apps, Attempts};
use crate::error::ErrorInfo;
use crate::event;
use crate::http::uploads::Bound;
use crate::http::{Form, Reply, Request};
use crate::intake::parameters;
use crate::limits::{BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES, TOKEN_REQUEST_MAX_BYTES};
use crate::model::name::AppId;
use crate::protocol::door;
use admin::{AdminRoute, Matter, Operator, Scope};
use barred::Guard;
use caller::Caller;
use push::PushRoute;
use route::Route;

/// What the server brings to a request.
pub struct Context<'a> {
    /// At least those of [`apps_named`].
    pub apps: &'a Apps,
    pub attempts: &'a mut Attempts,
    pub admin: &'a Admin,
    pub now_ms: u64,
    /// New for every request: ids of messages, tokens and secrets come of it.
    pub random: [u8; 32],
}

/// The apps that a request names: all that [`begin`] will look for.
pub fn apps_named(request: &Request) -> Vec<AppId> {
    let by_path = Route::find(&request.path).ok().and_then(|route| route.app().cloned());
    let by_credentials = caller::credentials(request).ok().map(|credentials| credentials.app_id().clone());
    let by_device = push::device_token(request).map(|(app, _)| app);
    by_path.into_iter().chain(by_credentials).chain(by_device).collect()
}

/// Whether [`begin`] needs all of the deployment's own apps besides those.
pub fn is_of_deployment(request: &Request) -> bool {
    Route::find(&request.path).is_ok_and(|route| route.is_of_deployment(&request.method))
}

/// Whether it asks for a token.
pub fn is_for_token(request: &Request) -> bool {
    matches!(Route::find(&request.path), Ok(Route::RequestToken(_)))
}

/// How many bytes of its body a request needs read, before any is: none of a request that is refused without it, whose
/// answer this is. The shell reads one more, so that who sent too much is told.
pub fn body_bound(request: &Request, context: &mut Context<'_>) -> Result<Bound, Reply> {
    let form = Form::of(request);
    let Ok(route) = Route::find(&request.plain_path()) else { return Ok(Bound::NOTHING) };
    if !["POST", "PUT", "PATCH"].contains(&request.method.as_str()) || !route.allows(&request.method) {
        return Ok(Bound::NOTHING);
    }
    let admitted = match &route {
        Route::RequestToken(key_name) => token::require_key(key_name, context).map(drop),
        Route::Apps | Route::Admin(AdminRoute { matter: Matter::Tokens, .. }) => apps::require_maker(request, context),
        Route::Push(_) => push::Asker::authenticate(request, context).map(drop),
        #[cfg(feature = "pusher")]
        Route::Pusher(route) => route.caller(request, context).map(drop),
        Route::Admin(AdminRoute { app: Some(app), matter: Matter::Bans }) => {
            Operator::over(Scope::Some, request, app, context).map(drop)
        }
        Route::Admin(AdminRoute { app: Some(app), .. }) => Operator::authenticate(request, app, context).map(drop),
        _ => Caller::authenticate(request, context).map(drop),
    };
    admitted.map_err(|error| form.error(&error))?;
    #[cfg(feature = "pusher")]
    if let Route::Pusher(route) = &route {
        return Ok(Bound::proven(route.body_max_bytes()));
    }
    Ok(match route {
        // What proves it is in the body.
        Route::RequestToken(_) => Bound::unproven(TOKEN_REQUEST_MAX_BYTES),
        Route::Batch | Route::Push(PushRoute::Batch) => Bound::proven(BATCH_BODY_MAX_BYTES),
        _ => Bound::proven(BODY_MAX_BYTES),
    })
}

/// Begins to answer a request.
pub fn begin(request: &Request, mut context: Context<'_>) -> Step {
    let form = Form::of(request);
    if request.method == "OPTIONS" {
        return Step::Reply(Reply::preflight());
    }
    let route = match Route::find(&request.plain_path()) {
        Ok(route) => route,
        Err(_) if is_only_read(request) => return Step::Reply(form.method_not_allowed("GET, OPTIONS")),
        Err(error) => return Step::Reply(form.error(&error)),
    };
    if !route.allows(&request.method) {
        return Step::Reply(form.method_not_allowed(route.methods()));
    }
    dispatch(request, route, form, &mut context).unwrap_or_else(|error| Step::Reply(form.error(&error)))
}

/// Whether another method asks for what is no endpoint and is there by GET: a page, or a door of WebSockets.
fn is_only_read(request: &Request) -> bool {
    let path = request.plain_path();
    let is_there = event::is_page(&path) || path == event::CONSOLE_PATH || door::is_for_sockets(&path);
    is_there && !["GET", "HEAD"].contains(&request.method.as_str())
}

fn dispatch(request: &Request, route: Route, form: Form, context: &mut Context<'_>) -> Result<Step, ErrorInfo> {
    parameters::check(route.query_of(&request.method), &request.query, request.headers.name_an_sdk())?;
    match route {
        Route::Time => Ok(Step::Reply(form.ok(&[context.now_ms]))),
        Route::RequestToken(key_name) => token::begin(request, &key_name, form, context),
        Route::Metrics if admin::is_by_deployment(request, context) => metrics::begin(request, form, context),
        Route::Stats if request.method != "POST" && apps::has_admin_token(request, context) => {
            stats::of_deployment(request, form, context)
        }
        Route::Apps if request.method != "POST" => metrics::list(request, form, context),
        Route::Apps => apps::create(request, form, context),
        Route::Admin(AdminRoute { app: Some(id), matter: Matter::App }) if request.method == "DELETE" => {
            apps::delete(request, id, form, context)
        }
        Route::Admin(route) => admin::begin(request, route, form, context),
        Route::Webhooks(id) => webhooks::begin(request, id, form, context),
        Route::DeadLetters(id) if request.method == "DELETE" => webhooks::forget(request, id, form, context),
        Route::DeadLetters(id) => webhooks::dead_letters(request, id, form, context),
        Route::Push(route) => push::begin(request, route, form, context),
        #[cfg(feature = "pusher")]
        Route::Pusher(route) => pusher::begin(request, route, form, context),
        route => {
            let caller = Caller::authenticate(request, context)?;
            let check = caller.check();
            let guard = Guard::of(&caller, context.now_ms);
            let step = for_caller(request, route, form, caller, context)?;
            Ok(form.unless_revoked(check, guard.step(form, step)))
        }
    }
}

fn for_caller(
    request: &Request,
    route: Route,
    form: Form,
    caller: Caller,
    context: &Context<'_>,
) -> Result<Step, ErrorInfo> {
    match route {
        Route::Publish(channel) => publish::begin(request, &channel, &caller, form, &context.random),
        Route::Messages(channel) if request.method == "POST" => {
            publish::begin(request, &channel, &caller, form, &context.random)
        }
        Route::Messages(channel) if request.method == "DELETE" => admin::purge(&channel, &caller, form, context.now_ms),
        Route::Messages(channel) | Route::History(channel) => {
            history::begin(request, &channel, &caller, form, history::Kind::Messages, context.now_ms)
        }
        Route::Message(channel, serial) if request.method == "PATCH" => {
            message::operate(request, &channel, serial, &caller, form, &context.random)
        }
        Route::Message(channel, serial) => message::begin(&channel, serial, &caller, form),
        Route::Versions(channel, serial) => {
            message::begin_versions(request, &channel, serial, &caller, form, history::Kind::Messages)
        }
        Route::Chat(channel, wanted) => chat::begin(request, &channel, wanted, &caller, form, context),
        Route::Presence(channel) => presence::begin(request, &channel, &caller, form),
        Route::PresenceHistory(channel) => {
            history::begin(request, &channel, &caller, form, history::Kind::Presence, context.now_ms)
        }
        Route::Objects(channel, _) if request.method == "POST" => {
            objects::begin(request, &channel, &caller, form, context)
        }
        Route::Objects(channel, id) => objects::read(request, &channel, id, &caller, form),
        Route::PresenceBatch => presence::begin_batch(request, &caller, form),
        Route::Annotations(channel, serial) if request.method == "POST" => {
            annotations::publish(request, &channel, &serial, &caller, form, &context.random)
        }
        Route::Annotations(channel, serial) => annotations::begin(request, &channel, &serial, &caller, form),
        Route::ClientSummary(channel, serial) => annotations::client_summary(request, &channel, &serial, &caller, form),
        Route::Channel(channel) => status::begin(&channel, &caller, form),
        Route::Channels => status::enumerate(request, caller, form),
        Route::Stats if request.method == "POST" => stats::make_up(request, &caller, form, context),
        Route::Stats => stats::begin(request, &caller, form, context.now_ms),
        Route::Metrics => metrics::of_app(&caller, form),
        Route::Batch => batch::begin(request, &caller, form, &context.random),
        Route::RevokeTokens(key_name) => revoke::begin(request, &key_name, &caller, form, context.now_ms),
        Route::Time
        | Route::RequestToken(_)
        | Route::Apps
        | Route::Admin(_)
        | Route::Push(_)
        | Route::Webhooks(_)
        | Route::DeadLetters(_) => {
            unreachable!("answered without a caller")
        }
        #[cfg(feature = "pusher")]
        Route::Pusher(_) => unreachable!("it has a caller of its own"),
    }
}
