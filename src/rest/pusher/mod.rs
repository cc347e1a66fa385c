//! The HTTP API of Pusher Channels (protocol.md § 26.5): requests that a server signs with a key's secret.
//!
//! `signed` checks who asks, `events` publishes, `channels` says which channels there are and who is on them, and
//! `authorise` signs for clients what servers of their own sign elsewhere.

mod authorise;
mod channels;
mod events;
mod signed;

use super::barred::Guard;
use super::caller::Caller;
use super::step::Begin;
use super::{Context, Step};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request, percent};
use crate::intake::parameters::QueryOf;
use crate::model::name::{AppId, ChannelName};

/// What is asked below `/apps/{id}`, or of `/pusher`.
#[derive(Debug, PartialEq)]
pub enum PusherRoute {
    Events(AppId),
    BatchEvents(AppId),
    Channels(AppId),
    Channel(AppId, ChannelName),
    Users(AppId, ChannelName),
    Terminate(AppId, String),
    /// `/pusher/auth`
    AuthoriseChannel,
    /// `/pusher/user-auth`
    AuthenticateUser,
}

impl PusherRoute {
    /// `None` for a path that is none of these. Fails with 40010 for a name that no channel has.
    pub fn find(segments: &[&str]) -> Option<Result<PusherRoute, ErrorInfo>> {
        let app = |id: &str| AppId::parse(id).map_err(|_| Code::NotFound.because("no such app"));
        let channel = |segment: &str| {
            let name = percent::decode(segment).ok_or(Code::BadChannelName)?;
            ChannelName::parse(&name)
        };
        let user = |segment: &str| percent::decode(segment).ok_or_else(|| Code::BadClientId.because("no user's id"));
        Some(match *segments {
            ["apps", id, "events"] => app(id).map(PusherRoute::Events),
            ["apps", id, "batch_events"] => app(id).map(PusherRoute::BatchEvents),
            ["apps", id, "channels"] => app(id).map(PusherRoute::Channels),
            ["apps", id, "channels", name] => app(id).and_then(|id| Ok(PusherRoute::Channel(id, channel(name)?))),
            ["apps", id, "channels", name, "users"] => {
                app(id).and_then(|id| Ok(PusherRoute::Users(id, channel(name)?)))
            }
            ["apps", id, "users", name, "terminate_connections"] => {
                app(id).and_then(|id| Ok(PusherRoute::Terminate(id, user(name)?)))
            }
            ["pusher", "auth"] => Ok(PusherRoute::AuthoriseChannel),
            ["pusher", "user-auth"] => Ok(PusherRoute::AuthenticateUser),
            _ => return None,
        })
    }

    pub fn methods(&self) -> &'static str {
        match self {
            PusherRoute::Channels(_) | PusherRoute::Channel(..) | PusherRoute::Users(..) => "GET, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }

    pub fn app(&self) -> Option<&AppId> {
        match self {
            PusherRoute::Events(id)
            | PusherRoute::BatchEvents(id)
            | PusherRoute::Channels(id)
            | PusherRoute::Channel(id, _)
            | PusherRoute::Users(id, _)
            | PusherRoute::Terminate(id, _) => Some(id),
            PusherRoute::AuthoriseChannel | PusherRoute::AuthenticateUser => None,
        }
    }

    pub fn query_of(&self) -> QueryOf {
        match self {
            PusherRoute::AuthoriseChannel | PusherRoute::AuthenticateUser => QueryOf::Plain,
            _ => QueryOf::PusherApi,
        }
    }
}

/// Fails as [`signed::caller`] and [`Caller::authenticate`] do.
pub fn admit(
    request: &Request,
    route: PusherRoute,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    let caller = match route.app() {
        Some(app) => signed::caller(request, app, context),
        None => Caller::authenticate(request, context),
    }?;
    Ok(Box::new(move |request, context| begin(request, route, caller, form, context)))
}

fn begin(
    request: &Request,
    route: PusherRoute,
    caller: Caller,
    form: Form,
    context: &Context<'_>,
) -> Result<Step, ErrorInfo> {
    if route.app().is_some() {
        signed::check_body(request)?;
    }
    let check = caller.check();
    let guard = Guard::of(&caller, context.now_ms);
    let step = match route {
        PusherRoute::Events(_) => events::one(request, caller, form, &context.random),
        PusherRoute::BatchEvents(_) => events::batch(request, caller, form, &context.random),
        PusherRoute::Terminate(_, user) => events::terminate(&user, &caller, form, &context.random),
        PusherRoute::Channels(_) => channels::list(request, caller, form),
        PusherRoute::Channel(_, channel) => channels::one(request, &channel, &caller, form),
        PusherRoute::Users(_, channel) => channels::users(channel, caller, form),
        PusherRoute::AuthoriseChannel => authorise::channel(request, &caller, form, guard),
        PusherRoute::AuthenticateUser => authorise::user(request, &caller, form, guard),
    }?;
    Ok(form.unless_revoked(check, step))
}
