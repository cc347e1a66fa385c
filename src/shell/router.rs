//! The Worker: reads the URL, checks credentials, chooses the object. Keeps nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use worker::worker_sys::web_sys::Response as RawResponse;
use worker::{Context, Env, Headers, Request, Response, Result, WebSocketPair, event};

use super::platform::{Socket, frame_value, now_ms, object, query_pairs, random_bytes};
use super::{calls, config};
use crate::auth::{Credentials, Presented, Surface};
use crate::call::{self, Address, Answer, ChannelCall, Rules};
use crate::error::{Code, ErrorInfo};
use crate::limits::BATCH_BODY_MAX_BYTES;
use crate::name::ChannelName;
use crate::pinned;
use crate::relay::session::Opening;
use crate::rest::{self, Reply, Step};
use crate::wire::outbound::Outbound;
use crate::wire::{Format, action};

/// Carries a [`Handover`] from the router to an object. Set by us on every upgrade, so a client's own is overwritten.
const HANDOVER: &str = "courtside-handover";

/// How often a call is made before its failure is told.
const CALL_TRIES: usize = 3;

/// A connection on its way to the object that will hold it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub opening: Opening,
    /// The channel whose own object is to hold it.
    pub channel: Option<(Address, Rules)>,
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
    rest(request, &env).await.map(RawResponse::from)
}

/// A REST request: the core says what to do, step by step.
async fn rest(request: Request, env: &Env) -> Result<Response> {
    let request = read_rest(request).await?;
    let apps = match config::apps(env) {
        Ok(apps) => apps,
        Err(error) => return write_reply(rest::refuse(&request, &error)),
    };
    let mut step = rest::begin(&request, &apps, now_ms(), random_bytes());
    loop {
        step = match step {
            Step::Reply(reply) => return write_reply(reply),
            Step::Calls(calls, exchange) => exchange.answered(join_all(calls.iter().map(|call| ask(env, call))).await),
            Step::Nonce(_, issue) => issue.checked(Err(Code::Unavailable.into())),
        };
    }
}

async fn ask(env: &Env, call: &ChannelCall) -> Answer<call::Response> {
    // A repeat is safe: a channel knows a publish that it has.
    for _ in 1..CALL_TRIES {
        if let Some(answer) = calls::call_channel(env, call).await {
            return answer;
        }
    }
    let last = calls::call_channel(env, call).await;
    last.unwrap_or_else(|| Err(Code::TimedOut.because("the channel could not be reached; try again")))
}

async fn read_rest(mut request: Request) -> Result<rest::Request> {
    let header = |name: &str| request.headers().get(name);
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
        query: query_pairs(&request.inner().url()),
        headers,
        body: read_body(&mut request).await?,
    })
}

/// Keeps no more than the core would look at. The rest is read all the same: a client that is cut off while it sends never
/// sees why.
async fn read_body(request: &mut Request) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Ok(mut stream) = request.stream() {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if body.len() <= BATCH_BODY_MAX_BYTES {
                body.extend_from_slice(&chunk);
            }
        }
    }
    Ok(body)
}

fn write_reply(reply: Reply) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
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
    let authorization = request.headers().get("authorization")?;
    let handover = match hand_over(env, authorization.as_deref(), &query) {
        Ok(handover) => handover,
        Err(error) => return refuse(&error, format).map(RawResponse::from),
    };
    let (class, name) = handover.object();
    let handover = BASE64URL.encode(pinned::encode(&handover));
    let headers = object([("upgrade", "websocket".into()), (HANDOVER, handover.into())]);
    let response = calls::fetch(env, class, &name, calls::CONNECT_URL, &object([("headers", headers.into())])).await;
    response.map_err(worker::Error::from)
}

fn hand_over(
    env: &Env,
    authorization: Option<&str>,
    query: &[(String, String)],
) -> std::result::Result<Handover, ErrorInfo> {
    let apps = config::apps(env)?;
    let presented = Presented { authorization, client_id: None, query };
    let credentials = Credentials::parse(&presented, Surface::Realtime)?;
    let app = apps.get(credentials.app_id());
    let grant = credentials.verify(app.map(AsRef::as_ref), now_ms())?;
    let named =
        query.iter().find(|(name, _)| name == "channel").map(|(_, value)| ChannelName::parse(value)).transpose()?;
    let channel = named.zip(app).map(|(name, app)| {
        let rules = Rules::of(app.rules(&name));
        (Address { app: app.id().clone(), channel: name.owner() }, rules)
    });
    Ok(Handover { opening: Opening::from_query(grant, query), channel })
}

/// Accepts, says what is wrong, and closes. What may pass is told as DISCONNECTED, so that the client tries again.
pub fn refuse(error: &ErrorInfo, format: Format) -> Result<Response> {
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let action = if error.status_code >= 500 { action::DISCONNECTED } else { action::ERROR };
    let frame = Outbound { action, error: Some(error), ..Outbound::default() }.encode(format);
    let socket: Socket = wasm_bindgen::JsCast::unchecked_into(wasm_bindgen::JsValue::from(pair.server.as_ref()));
    let said = socket.send(&frame_value(&frame)).and_then(|()| socket.close(1000, ""));
    said.map_err(worker::Error::from)?;
    Response::from_websocket(pair.client)
}
