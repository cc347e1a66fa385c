//! Engine.IO at the router: who begins a connection may say later who it is, and its sid leads to the object that holds
//! it.

use worker::worker_sys::web_sys::Response as RawResponse;
use worker::{Env, Request, Result};

use super::platform::{self, now_ms};
use super::router::{self, Entrance, hand_over, pass_on, take, verify, write_reply};
use super::{config, directory};
use crate::auth::{Credentials, Grant, Presented, Surface};
use crate::error::{Code, ErrorInfo};
use crate::http::url;
use crate::limits::{ENGINE_HEARTBEAT_MS, SOCKETIO_CONNECT_MS};
use crate::model::name::AppId;
use crate::protocol::door::Door;
use crate::protocol::socketio::SocketIo;
use crate::relay::session::Opening;
use crate::rpc::Answer;
use crate::transport::Mode;
use crate::transport::comet::Verb;
use crate::transport::engine::{self, Asked};

/// A request to Engine.IO's path.
pub async fn respond(request: Request, env: &Env, is_websocket: bool) -> Result<RawResponse> {
    let query = url::query(&request.inner().url());
    let asked = match engine::route(&request.inner().method(), &query, is_websocket) {
        Ok(asked) => asked,
        Err(reply) => return write_reply(reply).map(RawResponse::from),
    };
    let (address, authorization) = (platform::address(&request)?, request.headers().get("authorization")?);
    let answer = match asked {
        Asked::Of { app, key, ask } => belong(&request, env, &address, &app, &key, Verb::Engine(ask)).await,
        Asked::Open { polls } => {
            let query = Query { all: &query, credentials: engine::credentials(&query), authorization };
            match enter(env, &query, &address, url::is_secure(&request.inner().url()), polls).await {
                Ok(entrance) => hand_over(env, entrance, platform::region(&request)).await,
                Err(error) => Err(error),
            }
        }
    };
    answer.or_else(|error| {
        router::count_refused(None, &error);
        write_reply(engine::refused(&error)).map(RawResponse::from)
    })
}

/// A request of a connection. Fails with 80003 when its sid can be none.
async fn belong(
    request: &Request,
    env: &Env,
    address: &str,
    app: &AppId,
    key: &str,
    verb: Verb,
) -> Answer<RawResponse> {
    take(address)?;
    // Each name that is called makes an object.
    directory::find(env, app, address).await?.ok_or(Code::Disconnected)?;
    pass_on(request, env, app, verb, key).await
}

struct Query<'a> {
    all: &'a [(String, String)],
    credentials: Vec<(String, String)>,
    authorization: Option<String>,
}

async fn enter(env: &Env, query: &Query<'_>, address: &str, is_secure: bool, polls: bool) -> Answer<Entrance> {
    let apps = config::serving(env)?;
    take(address)?;
    let presented =
        Presented { authorization: query.authorization.as_deref(), query: &query.credentials, ..Presented::default() };
    let grant = match Credentials::parse(&presented, Surface::Realtime) {
        Ok(credentials) => verify(env, &credentials, address).await?.0,
        Err(error) if error.is(Code::NoCredentials) => {
            let only = || apps.only().map(|app| app.id().clone()).ok_or_else(no_app);
            let app = engine::app(query.all).unwrap_or_else(only)?;
            directory::find(env, &app, address).await?.ok_or_else(no_app)?;
            Grant::of_nobody(&app, now_ms() + SOCKETIO_CONNECT_MS)
        }
        Err(error) => return Err(error),
    };
    let door = SocketIo::new(grant.app().clone(), !grant.is_of_nobody(), polls);
    let mut opening = Opening::from_query(grant, &[], is_secure);
    opening.enter_by(Door::SocketIo(door));
    (opening.heartbeat_interval_ms, opening.is_kept) = (ENGINE_HEARTBEAT_MS, !polls);
    Ok(Entrance { opening, channel: None, mode: polls.then_some(Mode::Engine), home: None })
}

fn no_app() -> ErrorInfo {
    Code::BadCredentials.because("name an app of this deployment in the query: io(url, { query: { app } })")
}
