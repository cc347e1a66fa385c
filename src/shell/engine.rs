//! Engine.IO at the router: who begins a connection may say later who it is, and its sid leads to the object that holds
//! it.

use worker::worker_sys::web_sys::{Request as RawRequest, Response as RawResponse};
use worker::{Env, Result};

use super::platform::now_ms;
use super::router::{self, Arrival, Entrance, hand_over, pass_on, take, verify, write_reply};
use super::{config, directory};
use crate::auth::{Credentials, Grant, Presented, Surface};
use crate::error::{Code, ErrorInfo};
use crate::http;
use crate::limits::{ENGINE_HEARTBEAT_MS, SOCKETIO_CONNECT_MS};
use crate::model::name::AppId;
use crate::protocol::door::Door;
use crate::protocol::socketio::SocketIo;
use crate::relay::session::Opening;
use crate::rpc::Answer;
use crate::transport::Mode;
use crate::transport::comet::{Claim, Verb};
use crate::transport::engine::{self, Asked};

/// A request to Engine.IO's path.
pub async fn respond(Arrival { raw, head }: &Arrival, env: &Env) -> Result<RawResponse> {
    let http::Request { query, address, .. } = head;
    let asked = match engine::route(&head.method, query, head.headers.ask_for_a_socket()) {
        Ok(asked) => asked,
        Err(reply) => return write_reply(reply).map(RawResponse::from),
    };
    let answer = match asked {
        Asked::Of { app, key, ask } => belong(raw, env, address, &app, &key, Verb::Engine(ask)).await,
        Asked::Open { polls } => match enter(env, head, polls).await {
            Ok(entrance) => hand_over(env, entrance, head.region).await,
            Err(error) => Err(error),
        },
    };
    answer.or_else(|error| {
        router::count_refused(None, &error);
        write_reply(engine::refused(&error)).map(RawResponse::from)
    })
}

/// A request of a connection. Fails with 80003 when its sid can be none.
async fn belong(
    request: &RawRequest,
    env: &Env,
    address: &str,
    app: &AppId,
    key: &str,
    verb: Verb,
) -> Answer<RawResponse> {
    take(address)?;
    // Each name that is called makes an object.
    directory::find(env, app, address).await?.ok_or(Code::Disconnected)?;
    // No channel's own object holds such connections, so its client need not say who it is.
    let nobody = Grant::of_nobody(app, now_ms() + SOCKETIO_CONNECT_MS);
    pass_on(request, env, &nobody, verb, &Claim { key: key.to_owned(), by: None }).await
}

async fn enter(env: &Env, head: &http::Request, polls: bool) -> Answer<Entrance> {
    let (apps, address) = (config::serving(env)?, &head.address);
    take(address)?;
    let (authorization, query) = (head.headers.authorization.as_deref(), engine::credentials(&head.query));
    let presented = Presented { authorization, query: &query, ..Presented::default() };
    let grant = match Credentials::parse(&presented, Surface::Realtime) {
        Ok(credentials) => verify(env, &credentials, address).await?.0,
        Err(error) if error.is(Code::NoCredentials) => {
            let only = || apps.only().map(|app| app.id().clone()).ok_or_else(no_app);
            let app = engine::app(&head.query).unwrap_or_else(only)?;
            directory::find(env, &app, address).await?.ok_or_else(no_app)?;
            Grant::of_nobody(&app, now_ms() + SOCKETIO_CONNECT_MS)
        }
        Err(error) => return Err(error),
    };
    let door = SocketIo::new(grant.app().clone(), !grant.is_of_nobody(), polls);
    let mut opening = Opening::from_query(grant, &[], head.is_secure);
    opening.enter_by(Door::SocketIo(door));
    (opening.heartbeat_interval_ms, opening.is_kept) = (ENGINE_HEARTBEAT_MS, !polls);
    Ok(Entrance { opening, channel: None, mode: polls.then_some(Mode::Engine), home: None })
}

fn no_app() -> ErrorInfo {
    Code::BadCredentials.because("name an app of this deployment in the query: io(url, { query: { app } })")
}
