//! The Worker: reads the URL, checks credentials, chooses the object. Keeps nothing.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use worker::worker_sys::web_sys::Response as RawResponse;
use worker::{Context, Env, Headers, Request, Response, Result, WebSocketPair, event};

use super::platform::{Socket, frame_value, now_ms, object, origin, query_pairs, random_bytes};
use super::{calls, config, directory};
use crate::auth::{Apps, Attempts, Credentials, Presented, Surface};
use crate::call::{self, Address, Answer, Rules};
use crate::error::{Code, ErrorInfo};
use crate::limits::BATCH_BODY_MAX_BYTES;
use crate::name::{AppId, ChannelName};
use crate::pinned;
use crate::relay::session::Opening;
use crate::rest::{self, Reply, Step};
use crate::transport::comet::{self, Verb};
use crate::transport::events::{self, Place};
use crate::transport::{Mode, refusal};
use crate::wire::Format;

/// Carries a [`Handover`] from the router to an object. Set by us on every upgrade, so a client's own is overwritten.
const HANDOVER: &str = "courtside-handover";

/// Carries the connection's key, to an object that holds connections over HTTP.
pub const CONNECTION_KEY: &str = "courtside-connection-key";

/// Where a request came from, as the platform says.
const ADDRESS: &str = "cf-connecting-ip";

thread_local! {
    /// Wrong secrets, as this isolate saw them. An address usually comes to the same one.
    static ATTEMPTS: RefCell<Attempts> = RefCell::default();
}

/// A connection on its way to the object that will hold it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub opening: Opening,
    /// The channel whose own object is to hold it.
    pub channel: Option<(Address, Rules)>,
    /// How its responses go, if it is over HTTP.
    pub mode: Option<Mode>,
    /// The channels of a stream of events, and how far its reader is.
    pub places: Vec<Place>,
}

impl Handover {
    pub fn read(headers: &Headers) -> Result<Option<Handover>> {
        let Some(text) = headers.get(HANDOVER)? else { return Ok(None) };
        let bytes = BASE64URL.decode(text).map_err(|error| worker::Error::RustError(error.to_string()))?;
        call::decode(&bytes).map(Some).map_err(|error| worker::Error::RustError(error.message))
    }

    /// The object's class and name.
    fn object(&self) -> (&'static str, String) {
        match &self.channel {
            Some((address, _)) => (calls::CHANNEL, address.object_name()),
            None => (calls::RELAY, format!("{}/0", self.opening.grant.app().as_str())),
        }
    }
}

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<RawResponse> {
    let upgrade = request.headers().get("upgrade")?;
    if upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
        return connect(request, &env).await;
    }
    if request.path() == "/" {
        return env.assets("ASSETS")?.fetch_request(request).await.map(RawResponse::from);
    }
    if request.path().starts_with("/comet/") {
        return comet(request, &env).await;
    }
    if events::is_stream(&request.path()) {
        return event_stream(request, &env).await;
    }
    rest(request, &env).await.map(RawResponse::from)
}

/// A REST request: the core says what to do, step by step.
async fn rest(request: Request, env: &Env) -> Result<Response> {
    let request = read_rest(request).await?;
    let apps = match find_apps(env, &rest::apps_named(&request)).await {
        Ok(apps) => apps,
        Err(error) => return write_reply(rest::refuse(&request, &error)),
    };
    let (admin, now_ms, random) = (config::admin(env), now_ms(), random_bytes());
    let mut step = ATTEMPTS.with_borrow_mut(|attempts| {
        rest::begin(&request, rest::Context { apps: &apps, attempts, admin: &admin, now_ms, random })
    });
    loop {
        step = match step {
            Step::Reply(reply) => return write_reply(reply),
            Step::Calls(calls, exchange) => {
                exchange.answered(join_all(calls.iter().map(|call| calls::ask_channel(env, call))).await)
            }
            Step::Ask(call, inquiry) => {
                let answer = calls::ask_app(env, &call).await;
                if call.request.changes_app() {
                    directory::forget(&call.app);
                }
                inquiry.answered(answer)
            }
        };
    }
}

async fn find_apps(env: &Env, ids: &[AppId]) -> std::result::Result<Apps, ErrorInfo> {
    // Even for a request that names no app: a deployment that is not set up says so to everyone.
    config::configured(env)?;
    let found: Vec<_> = join_all(ids.iter().map(|id| directory::find(env, id))).await;
    let found: Vec<_> = found.into_iter().collect::<std::result::Result<_, _>>()?;
    Ok(Apps::of(found.into_iter().flatten().map(|found| found.app)))
}

async fn read_rest(mut request: Request) -> Result<rest::Request> {
    let header = |name: &str| request.headers().get(name);
    let url = request.inner().url();
    let (host, is_secure) = origin(&url);
    let headers = rest::Headers {
        authorization: header("authorization")?,
        content_type: header("content-type")?,
        accept: header("accept")?,
        x_ably_clientid: header("x-ably-clientid")?,
        x_ably_version: header("x-ably-version")?,
    };
    Ok(rest::Request {
        method: request.method().to_string(),
        path: request.path(),
        query: query_pairs(&url),
        address: header(ADDRESS)?.unwrap_or_default(),
        headers,
        host,
        is_secure,
        body: read_body(&mut request, BATCH_BODY_MAX_BYTES).await?,
    })
}

/// Keeps no more than the core would look at: one byte beyond the bound. The rest is read all the same: a client that is
/// cut off while it sends never sees why.
pub async fn read_body(request: &mut Request, max_bytes: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Ok(mut stream) = request.stream() {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if body.len() <= max_bytes {
                body.extend_from_slice(&chunk);
            }
        }
    }
    Ok(body)
}

pub fn headers_of(reply: &Reply) -> Result<Headers> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
    Ok(headers)
}

pub fn write_reply(reply: Reply) -> Result<Response> {
    let headers = headers_of(&reply)?;
    let response = match reply.status {
        204 => Response::empty()?,
        _ => Response::from_bytes(reply.body)?,
    };
    Ok(response.with_status(reply.status).with_headers(headers))
}

/// A WebSocket. Whatever is wrong is said in the protocol: a refused upgrade tells a browser nothing (protocol.md § 2).
async fn connect(request: Request, env: &Env) -> Result<RawResponse> {
    let query = query_pairs(&request.inner().url());
    let format = if query.iter().any(|(name, value)| name == "format" && value == "msgpack") {
        Format::Msgpack
    } else {
        Format::Json
    };
    let named = query.iter().find(|(name, _)| name == "channel").map(|(_, value)| value.as_str());
    match hand_over(env, &request, &query, named).await {
        Ok(handover) => pass_on(env, &handover).await,
        Err(error) => refuse(&error, format).map(RawResponse::from),
    }
}

/// Gives a connection to the object that will hold it.
async fn pass_on(env: &Env, handover: &Handover) -> Result<RawResponse> {
    let (class, name) = handover.object();
    let text: JsValue = BASE64URL.encode(pinned::encode(handover)).into();
    let headers = match handover.mode {
        None => object([(HANDOVER, text), ("upgrade", "websocket".into())]),
        Some(_) => object([(HANDOVER, text)]),
    };
    let response = calls::fetch(env, class, &name, calls::CONNECT_URL, &object([("headers", headers.into())])).await;
    response.map_err(worker::Error::from)
}

/// A connection whose credentials are good. `named` is the one channel that it will use, if it says so.
async fn hand_over(env: &Env, request: &Request, query: &[(String, String)], named: Option<&str>) -> Answer<Handover> {
    config::configured(env)?;
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let (authorization, address) = (header("authorization"), header(ADDRESS).unwrap_or_default());
    let presented = Presented { authorization: authorization.as_deref(), client_id: None, query };
    let credentials = Credentials::parse(&presented, Surface::Realtime)?;
    let found = directory::find(env, credentials.app_id()).await?;
    let app = found.as_ref().map(|found| &*found.app);
    let grant = ATTEMPTS.with_borrow_mut(|attempts| attempts.verify(&credentials, app, &address, now_ms()))?;
    let found = found.ok_or(Code::BadCredentials)?;
    let channel = named.map(ChannelName::parse).transpose()?;
    // Relays watch their app, for clients that it could send away. There are few relays; of channels that hold sockets
    // there may be more than an app could tell.
    let is_watched = !found.is_configured || found.app.is_revocable(&grant);
    let channel = channel.filter(|_| !is_watched).map(|name| {
        let rules = Rules::of(found.app.rules(&name));
        (Address { app: found.app.id().clone(), channel: name.owner() }, rules)
    });
    let opening = Opening::from_query(grant, query, origin(&request.inner().url()).1);
    Ok(Handover { opening, channel, mode: None, places: Vec::new() })
}

/// A stream of events.
async fn event_stream(request: Request, env: &Env) -> Result<RawResponse> {
    let query = query_pairs(&request.inner().url());
    let style = match events::style(request.method().as_ref(), &request.path(), &query) {
        Ok(style) => style,
        Err(reply) => return write_reply(reply).map(RawResponse::from),
    };
    match begin_stream(&request, env, &query).await {
        Ok(handover) => {
            let handover = Handover { mode: Some(Mode::Events(style)), ..handover };
            pass_on(env, &handover).await
        }
        Err(error) => write_reply(events::refused(&error)).map(RawResponse::from),
    }
}

async fn begin_stream(request: &Request, env: &Env, query: &[(String, String)]) -> Answer<Handover> {
    let names = events::channels(query);
    let named = match names.as_deref() {
        Ok([name]) => Some(name.as_str()),
        _ => None,
    };
    let mut handover = hand_over(env, request, query, named).await?;
    let found = directory::find(env, handover.opening.grant.app()).await?.ok_or(Code::BadCredentials)?;
    let last_event = request.headers().get("last-event-id").ok().flatten();
    handover.places = events::open(query, last_event.as_deref(), &names?, &found.app, &mut handover.opening)?;
    Ok(handover)
}

/// A connection over HTTP, or a request that belongs to one.
async fn comet(request: Request, env: &Env) -> Result<RawResponse> {
    let (verb, key) = match comet::route(request.method().as_ref(), &request.path()) {
        Ok(route) => route,
        Err(reply) => return write_reply(reply).map(RawResponse::from),
    };
    let query = query_pairs(&request.inner().url());
    let response = match (verb, hand_over(env, &request, &query, None).await) {
        (_, Err(error)) => Err(error),
        (Verb::Connect, Ok(handover)) => match comet::open(&query, handover.opening) {
            Ok((opening, mode)) => {
                let handover = Handover { opening, channel: None, mode: Some(mode), places: Vec::new() };
                Ok(pass_on(env, &handover).await?)
            }
            Err(error) => Err(error),
        },
        (verb, Ok(handover)) => {
            let app = handover.opening.grant.app().as_str();
            let headers = object([(CONNECTION_KEY, key.into())]);
            let (method, body) = (request.method().to_string(), request.inner().body());
            let init = object([
                ("method", method.into()),
                ("headers", headers.into()),
                ("body", body.map_or(JsValue::UNDEFINED, JsValue::from)),
            ]);
            Ok(calls::fetch(env, calls::RELAY, &format!("{app}/0"), calls::comet_url(verb), &init).await?)
        }
    };
    match response {
        Ok(response) => Ok(response),
        Err(error) => write_reply(comet::refused(&error)).map(RawResponse::from),
    }
}

/// Accepts, says what is wrong, and closes. What may pass is told as DISCONNECTED, so that the client tries again.
pub fn refuse(error: &ErrorInfo, format: Format) -> Result<Response> {
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let frame = refusal(error).encode(format);
    let socket: Socket = wasm_bindgen::JsCast::unchecked_into(JsValue::from(pair.server.as_ref()));
    let said = socket.send(&frame_value(&frame)).and_then(|()| socket.close(1000, ""));
    said.map_err(worker::Error::from)?;
    Response::from_websocket(pair.client)
}
