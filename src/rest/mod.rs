//! The REST API as plain values: a [`Request`] goes in, a [`Step`] comes out, and no socket, clock or storage is in
//! sight. The [`router`](crate::router) leads a request through them, and the shell performs the calls that a step
//! asks for (protocol.md § 12).
//!
//! ```text
//! find(request) ──▶ Reply, or a route
//! admit(request, route) ──▶ Reply, or how much of its body it needs
//! Admitted::begin(request) ──▶ Reply
//!        ├──────────────────▶ Calls ── the channels answer ─┐
//!        └──────────────────▶ Ask ──── the app answers ─────┴▶ Continuation::answered ──▶ Reply, Calls or Ask
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
pub use caller::has_secret;
pub use route::Route;
pub use step::{Admitted, Asking, Continuation, Step};

use crate::auth::{Apps, Attempts};
use crate::error::ErrorInfo;
use crate::event;
use crate::http::uploads::Bound;
use crate::http::{Form, Reply, Request};
use crate::intake::parameters;
use crate::limits::TOKEN_REQUEST_MAX_BYTES;
use crate::model::name::AppId;
use crate::protocol::door;
use admin::{Operator, Scope};
use barred::Guard;
use caller::Caller;
use step::Begin;

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

/// The apps that a request names, each once: all that [`admit`] will look for. `route` is where it leads, if anywhere.
pub fn apps_named(request: &Request, route: Option<&Route>) -> Vec<AppId> {
    let by_path = route.and_then(|route| route.app().cloned());
    let by_credentials = caller::credentials(request).ok().map(|credentials| credentials.app_id().clone());
    let by_device = push::device_token(request).map(|(app, _)| app);
    let mut named: Vec<AppId> = Vec::new();
    for app in by_path.into_iter().chain(by_credentials).chain(by_device) {
        if !named.contains(&app) {
            named.push(app);
        }
    }
    named
}

/// Where a request leads, or what answers it without more.
pub fn find(request: &Request) -> Result<Route, Reply> {
    let form = Form::of(request);
    if request.method == "OPTIONS" {
        return Err(Reply::preflight());
    }
    match Route::find(&request.plain_path()) {
        Ok(route) if route.allows(&request.method) => Ok(route),
        Ok(route) => Err(form.method_not_allowed(route.methods())),
        Err(_) if is_only_read(request) => Err(form.method_not_allowed("GET, OPTIONS")),
        Err(error) => Err(form.error(&error)),
    }
}

/// Whether another method asks for what is no endpoint and is there by GET: a page, or a door of WebSockets.
fn is_only_read(request: &Request) -> bool {
    let path = request.plain_path();
    let is_there = event::is_page(&path) || path == event::CONSOLE_PATH || door::is_for_sockets(&path);
    is_there && !["GET", "HEAD"].contains(&request.method.as_str())
}

/// Lets in who asks, by all of a request but its body, and says how many bytes of that are needed. The shell reads one
/// more, so that who sent too much is told. A request that is refused has its answer, and nobody wants its body.
pub fn admit(request: &Request, route: Route, context: &mut Context<'_>) -> Result<(Bound, Admitted), Reply> {
    let form = Form::of(request);
    let bound = match route {
        _ if !["POST", "PUT", "PATCH"].contains(&request.method.as_str()) => Bound::NOTHING,
        // What proves it is in the body, or the app's to say.
        Route::RequestToken(_) => Bound::unproven(TOKEN_REQUEST_MAX_BYTES),
        Route::Push(_) if push::device_token(request).is_some() => Bound::unproven(TOKEN_REQUEST_MAX_BYTES),
        _ => Bound::proven(route.body_max_bytes()),
    };
    let query = parameters::check(route.query_of(&request.method), &request.query, request.headers.name_an_sdk());
    match query.and_then(|()| admitted(request, route, form, context)) {
        Ok(begin) => Ok((bound, Admitted { form, begin })),
        Err(error) => Err(form.error(&error)),
    }
}

fn admitted(request: &Request, route: Route, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    let method = request.method.as_str();
    let may_be_admins = method != "POST" && matches!(route, Route::Stats);
    let by_caller: Box<BeginBy> = match route {
        Route::Time => return Ok(Box::new(move |_, context| Ok(Step::Reply(form.ok(&[context.now_ms]))))),
        Route::RequestToken(key_name) => return token::admit(key_name, form, context),
        Route::Apps => return apps::admit(request, form, context),
        Route::Metrics if admin::is_by_deployment(request, context) => return metrics::admit(request, form, context),
        Route::Stats if method != "POST" && apps::has_admin_token(request, context) => {
            return stats::admit(request, form, context);
        }
        Route::Admin(route) => return admin::admit(request, route, form, context),
        Route::Webhooks(id) => return webhooks::admit(request, id, form, context),
        Route::DeadLetters(id) => return webhooks::admit_to_dead_letters(request, id, form, context),
        Route::Push(route) => return push::admit(request, route, form, context),
        #[cfg(feature = "pusher")]
        Route::Pusher(route) => return pusher::admit(request, route, form, context),
        Route::Publish(channel) => {
            Box::new(move |request, caller, context| publish::begin(request, &channel, &caller, form, &context.random))
        }
        Route::Messages(channel) if method == "POST" => {
            Box::new(move |request, caller, context| publish::begin(request, &channel, &caller, form, &context.random))
        }
        Route::Messages(channel) if method == "DELETE" => {
            Box::new(move |_, caller, context| admin::purge(&channel, caller, form, context.now_ms))
        }
        Route::Messages(channel) | Route::History(channel) => Box::new(move |request, caller, context| {
            history::begin(request, &channel, &caller, form, history::Kind::Messages, context.now_ms)
        }),
        Route::Message(channel, serial) if method == "PATCH" => Box::new(move |request, caller, context| {
            message::operate(request, &channel, serial, &caller, form, &context.random)
        }),
        Route::Message(channel, serial) => {
            Box::new(move |_, caller, _| message::begin(&channel, serial, &caller, form))
        }
        Route::Versions(channel, serial) => Box::new(move |request, caller, _| {
            message::begin_versions(request, &channel, serial, &caller, form, history::Kind::Messages)
        }),
        Route::Chat(channel, wanted) => {
            Box::new(move |request, caller, context| chat::begin(request, &channel, wanted, &caller, form, context))
        }
        Route::Presence(channel) => {
            Box::new(move |request, caller, _| presence::begin(request, &channel, &caller, form))
        }
        Route::PresenceHistory(channel) => Box::new(move |request, caller, context| {
            history::begin(request, &channel, &caller, form, history::Kind::Presence, context.now_ms)
        }),
        Route::Objects(channel, _) if method == "POST" => {
            Box::new(move |request, caller, context| objects::begin(request, &channel, &caller, form, context))
        }
        Route::Objects(channel, id) => {
            Box::new(move |request, caller, _| objects::read(request, &channel, id, &caller, form))
        }
        Route::PresenceBatch => Box::new(move |request, caller, _| presence::begin_batch(request, &caller, form)),
        Route::Annotations(channel, serial) if method == "POST" => Box::new(move |request, caller, context| {
            annotations::publish(request, &channel, &serial, &caller, form, &context.random)
        }),
        Route::Annotations(channel, serial) => {
            Box::new(move |request, caller, _| annotations::begin(request, &channel, &serial, &caller, form))
        }
        Route::ClientSummary(channel, serial) => {
            Box::new(move |request, caller, _| annotations::client_summary(request, &channel, &serial, &caller, form))
        }
        Route::Channel(channel) => Box::new(move |_, caller, _| status::begin(&channel, &caller, form)),
        Route::Channels => Box::new(move |request, caller, _| status::enumerate(request, caller, form)),
        Route::Stats if method == "POST" => {
            Box::new(move |request, caller, context| stats::make_up(request, &caller, form, context))
        }
        Route::Stats => Box::new(move |request, caller, context| stats::begin(request, &caller, form, context.now_ms)),
        Route::Metrics => Box::new(move |_, caller, _| metrics::of_app(&caller, form)),
        Route::Batch => Box::new(move |request, caller, context| batch::begin(request, &caller, form, &context.random)),
        Route::RevokeTokens(key_name) => {
            Box::new(move |request, caller, context| revoke::begin(request, &key_name, &caller, form, context.now_ms))
        }
    };
    let caller = match Caller::authenticate(request, context) {
        Err(error) if may_be_admins => return Err(apps::guessed(error, request, context)),
        caller => caller?,
    };
    Ok(Box::new(move |request, context| {
        let (check, guard) = (caller.check(), Guard::of(&caller, context.now_ms));
        let step = by_caller(request, caller, context)?;
        Ok(form.unless_revoked(check, guard.step(form, step)))
    }))
}

/// How a caller's request begins.
type BeginBy = dyn FnOnce(&Request, Caller, &Context<'_>) -> Result<Step, ErrorInfo>;
