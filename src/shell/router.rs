//! The Worker: reads the URL, checks credentials, chooses the object. Keeps nothing.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::web_sys::{Request as RawRequest, Response as RawResponse};
use worker::{ByteStream, Context, Delay, Env, Headers, Response, Result, WebSocketPair, console_error, event};

use super::platform::{self, Socket, now_ms, random_bytes, random_id};
use super::{asking, calls, config};
use crate::auth::Apps;
use crate::http::uploads::{Body, Bound, Uploads};
use crate::http::{self, Reply};
use crate::limits::STATS_LOOK_MS;
use crate::model::name::AppId;
use crate::protocol::Encoded;
use crate::rest::{self, Step};
use crate::router::{self, Client, Found, Moment, Refusal, Route, Router, Search, Way};
use crate::rpc::{Answer, AppCall};
use crate::stats::requests::Answered;

thread_local! {
    static UPLOADS: Uploads = Uploads::default();
    static ROUTER: RefCell<Router> = RefCell::new(Router::new(random_id()));
}

/// Has the router do something.
pub fn with<T>(does: impl FnOnce(&mut Router) -> T) -> T {
    ROUTER.with_borrow_mut(does)
}

/// The same with what the deployment says now.
pub fn decide<T>(env: &Env, does: impl FnOnce(&mut Router, Moment<'_>) -> T) -> T {
    let deployment = config::deployment(env);
    with(|router| does(router, Moment { deployment: &deployment, now_ms: now_ms() }))
}

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// A request, and all of it but the body as the core reads it.
pub struct Arrival {
    pub raw: RawRequest,
    pub head: http::Request,
}

#[event(fetch)]
async fn fetch(raw: RawRequest, env: Env, context: Context) -> Result<RawResponse> {
    platform::prepare(&env);
    let head = http::Request::read(&platform::head(&raw));
    let response = respond(Arrival { raw, head }, &env).await;
    tell_counts(&env, &context);
    response
}

async fn respond(arrival: Arrival, env: &Env) -> Result<RawResponse> {
    let (route, is_socket) = (Route::of(&arrival.head), arrival.head.headers.ask_for_a_socket());
    let browser = arrival.head.headers.browser();
    let response = match route {
        Route::Page => return super::event::page(arrival, env).await.map(RawResponse::from),
        #[cfg(feature = "mqtt")]
        Route::Mqtt(protocol) => return super::mqtt::connect(protocol, arrival, env),
        Route::Connect(way) => connect(&arrival, env, &way).await?,
        Route::EventToken => super::event::token(arrival, env).await?.into(),
        Route::Rest => rest(arrival, env).await?.into(),
        Route::Answered(reply) => write_reply(reply)?.into(),
    };
    if is_socket { Ok(response) } else { platform::with_headers(response, &browser.headers()) }
}

/// A REST request, which is counted.
async fn rest(Arrival { raw, head }: Arrival, env: &Env) -> Result<Response> {
    let (named, is_for_token) = (rest::apps_named(&head), rest::is_for_token(&head));
    let apps = match with(|router| router.take(&head.address, now_ms())) {
        Ok(()) => find_apps(env, &named, &head.address).await.and_then(|found| match rest::is_of_deployment(&head) {
            true => config::deployment(env).serving().map(|apps| Apps::of(apps.iter().chain(found.iter()).cloned())),
            false => Ok(found),
        }),
        Err(error) => Err(error),
    };
    let app = named.into_iter().find(|id| apps.as_ref().is_ok_and(|apps| apps.get(id).is_some()));
    let response = match apps {
        Ok(apps) => exchange(&raw, head, env, &apps).await,
        Err(error) => refuse_unread(&raw, http::refuse(&head, &error)).await,
    }?;
    let code = response.headers().get("x-ably-errorcode")?.and_then(|code| code.parse().ok());
    let answered = Answered { is_for_token, status: response.status_code(), code };
    with(|router| router.reports.counted.answered(app.as_ref(), answered, now_ms()));
    Ok(response)
}

/// The core says what to do, step by step.
async fn exchange(raw: &RawRequest, mut request: http::Request, env: &Env, apps: &Apps) -> Result<Response> {
    let (admin, random) = (config::admin(env), random_bytes());
    let bound = with(|Router { attempts, .. }| {
        rest::body_bound(&request, &mut rest::Context { apps, attempts, admin: &admin, now_ms: now_ms(), random })
    });
    let body = match bound {
        Ok(bound) => read_body(raw, bound, &request.address).await?,
        Err(reply) => return refuse_unread(raw, reply).await,
    };
    let (bytes, _held) = match body {
        Ok(body) => body.split(),
        Err(error) => return write_reply(http::refuse(&request, &error)),
    };
    request.body = bytes;
    let now_ms = now_ms();
    let mut step = with(|Router { attempts, .. }| {
        rest::begin(&request, rest::Context { apps, attempts, admin: &admin, now_ms, random })
    });
    loop {
        step = match step {
            Step::Reply(reply) => {
                request.failure(&reply).iter().for_each(|line| console_error!("{line}"));
                return write_reply(reply);
            }
            Step::Calls(calls, then) => {
                then.answered(join_all(calls.iter().map(|call| calls::ask_channel(env, call))).await)
            }
            Step::Identify(asking, then) => then.answered(calls::identify(env, &asking.relays, &asking.key).await),
            Step::Ask(call, then) => then.answered(asking::ask(env, &call, request.trace()).await),
            Step::Inspect(questions, then) => then.answered(
                join_all(questions.iter().map(|(relay, inspection)| calls::inspect(env, relay, inspection))).await,
            ),
            Step::Survey(calls, then) => {
                then.answered(join_all(calls.iter().map(|call| calls::ask_app(env, call))).await)
            }
        };
    }
}

/// Reports what was counted, as long as the router says.
fn tell_counts(env: &Env, context: &Context) {
    if !with(|router| router.reports.begin(now_ms())) {
        return;
    }
    let env = env.clone();
    context.wait_until(async move {
        loop {
            Delay::from(Duration::from_millis(STATS_LOOK_MS)).await;
            let due = with(|router| router.reports.due(now_ms()));
            join_all(due.iter().map(|call| tell_one(&env, call))).await;
            if !with(|router| router.reports.goes_on(now_ms())) {
                return;
            }
        }
    });
}

async fn tell_one(env: &Env, call: &AppCall) {
    let answer = calls::ask_app(env, call).await;
    with(|router| router.reports.told(call, &answer));
}

async fn find_apps(env: &Env, ids: &[AppId], address: &str) -> Answer<Apps> {
    // Even for a request that names no app: a deployment that is not set up says so to everyone.
    config::deployment(env).serving()?;
    let found: Vec<_> = join_all(ids.iter().map(|id| find(env, id, address))).await;
    let found: Vec<_> = found.into_iter().collect::<std::result::Result<_, _>>()?;
    Ok(Apps::of(found.into_iter().flatten().map(|found| found.app)))
}

async fn find(env: &Env, id: &AppId, address: &str) -> Answer<Option<Found>> {
    let search =
        decide(env, |router, Moment { deployment, now_ms }| router.directory.find(id, address, deployment, now_ms));
    match search? {
        Search::Over(found) => Ok(found),
        Search::Ask(call) => {
            let answer = calls::ask_app(env, &call).await;
            with(|router| router.directory.learn(id, answer, now_ms()))
        }
    }
}

/// A body, as far as it may be kept; see [`Uploads`].
pub async fn read_body(request: &RawRequest, bound: Bound, address: &str) -> Result<Answer<Body>> {
    let mut upload = UPLOADS.with(|uploads| uploads.begin(bound, address, now_ms()));
    let Some(body) = request.body() else { return Ok(upload.end()) };
    let mut stream = ByteStream::from(body);
    while !upload.is_enough() {
        let patience = Delay::from(Duration::from_millis(upload.until_ms().saturating_sub(now_ms())));
        match select(stream.next(), patience).await {
            Either::Left((Some(Ok(chunk)), _)) => upload.take(&chunk, now_ms()),
            Either::Left((Some(Err(_)), _)) => return Ok(Err(upload.break_off())),
            Either::Left((None, _)) => break,
            Either::Right(_) => return Ok(Err(upload.give_up())),
        }
    }
    Ok(upload.end())
}

/// The answer to a request whose body nobody wants. A client that is cut off while it sends would never see it.
pub async fn refuse_unread(request: &RawRequest, reply: Reply) -> Result<Response> {
    read_body(request, Bound::NOTHING, "").await.map(drop)?;
    write_reply(reply)
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

/// A connection that begins, or a request that belongs to one.
async fn connect(Arrival { raw, head }: &Arrival, env: &Env, way: &Way) -> Result<RawResponse> {
    match enter(raw, env, Client::new(head, way, u64::from_le_bytes(random_bytes()))).await {
        Ok(response) => Ok(response),
        Err(Refusal::Reply(reply)) => write_reply(reply).map(RawResponse::from),
        Err(Refusal::Socket(frame)) => tell(raw, &frame).map(RawResponse::from),
    }
}

/// The router says what to do, step by step.
pub async fn enter(raw: &RawRequest, env: &Env, client: Client<'_>) -> std::result::Result<RawResponse, Refusal> {
    let mut step = decide(env, |router, moment| router.knock(client, moment));
    loop {
        step = match step {
            router::Step::Find(call, knock) => {
                let answer = calls::ask_app(env, &call).await;
                decide(env, |router, moment| router.found(knock, answer, moment))
            }
            router::Step::Connect(destination, journey) => match calls::connect(env, &destination).await {
                Ok(response) => return Ok(response),
                Err(refusal) => {
                    decide(env, |router, moment| router.turned_away(&destination, journey, refusal, moment))
                }
            },
            router::Step::PassOn { relay, verb, claim, client } => {
                let passed = calls::pass_on(env, &relay, verb, &claim, raw).await;
                return passed.map_err(|error| decide(env, |router, moment| router.lost(&client, &error, moment)));
            }
            router::Step::Refuse(refusal) => return Err(refusal),
        }
    }
}

/// Accepts, says what is wrong, and closes.
fn tell(request: &RawRequest, frame: &Encoded) -> Result<Response> {
    platform::mark_told(request);
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    let socket: Socket = JsValue::from(pair.server.as_ref()).unchecked_into();
    platform::send(&[&socket], frame);
    platform::end(request, &socket);
    Response::from_websocket(pair.client)
}
