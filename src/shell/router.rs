//! The Worker: asks the core's router what each request leads to, and does what that says.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::worker_sys::web_sys::{Request as RawRequest, Response as RawResponse};
use worker::{
    ByteStream, Context, Delay, Env, Headers, Response, ResponseBuilder, Result, WebSocketPair, console_error,
    console_log, event,
};

use super::platform::{self, Socket, now_ms, random_bytes, random_id};
use super::{calls, config};
#[cfg(feature = "mqtt")]
use crate::base::counted::Room;
use crate::http::answers::Long;
use crate::http::uploads::{Body, Bound, Uploads};
use crate::http::{self, Reply};
use crate::limits::STATS_LOOK_MS;
use crate::protocol::Encoded;
use crate::rest::Step;
use crate::router::{self, Client, Exchange, Moment, Next, Refusal, Route, Router, Way};
use crate::rpc::{Answer, AppCall};

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
    let (route, headers) = (Route::of(&arrival.head), &arrival.head.headers);
    let browser = (!headers.ask_for_a_socket()).then(|| headers.browser());
    let response = match route {
        Route::Page => return super::event::page(arrival, env).await.map(RawResponse::from),
        #[cfg(feature = "mqtt")]
        Route::Mqtt(protocol) => return super::mqtt::connect(protocol, arrival, env),
        Route::Connect(way) => connect(&arrival, env, &way).await?,
        Route::EventToken => super::event::token(arrival, env).await?.into(),
        Route::Rest => rest(arrival, env).await?.into(),
        Route::Answered(reply) => write_reply(reply)?.into(),
    };
    match browser {
        Some(browser) => platform::with_headers(response, &browser.headers()),
        None => Ok(response),
    }
}

/// A REST request: the router says what to do, step by step.
async fn rest(Arrival { raw, head }: Arrival, env: &Env) -> Result<Response> {
    let mut next = decide(env, |router, moment| router.request(head, config::admin(env), random_bytes(), moment));
    let mut _held = None;
    loop {
        next = match next {
            Next::Find(calls, finding) => {
                let answers = join_all(calls.iter().map(|call| calls::ask_app(env, call))).await;
                with(|router| router.found_all(finding, answers, now_ms()))
            }
            Next::Read(bound, reading) => {
                let body = match read_body(&raw, bound, reading.address()).await?.map(Body::split) {
                    Ok((bytes, held)) => {
                        _held = Some(held);
                        Ok(bytes)
                    }
                    Err(error) => Err(error),
                };
                with(|router| router.read(reading, body, now_ms()))
            }
            Next::Perform(step, exchange) => {
                let step = perform(env, step).await;
                with(|router| router.go_on(step, exchange, now_ms()))
            }
            Next::Ask(call, asking) => {
                let answer = calls::ask_app(env, &call).await;
                with(|router| router.asked(&call, asking, answer, now_ms()))
            }
            Next::Note(line, next) => {
                console_log!("{line}");
                *next
            }
            Next::Answer(reply, exchange) => {
                let (reply, long) = with(|router| router.give_out(&exchange, reply, now_ms()));
                note_answered(&exchange, &reply);
                return match long {
                    Some(long) => write_long(reply, long),
                    None => write_reply(reply),
                };
            }
            Next::Refuse(reply, exchange) => {
                note_answered(&exchange, &reply);
                return refuse_unread(&raw, reply).await;
            }
        };
    }
}

fn note_answered(exchange: &Exchange, reply: &Reply) {
    let failure = with(|router| router.answered(exchange, reply, now_ms()));
    failure.iter().for_each(|line| console_error!("{line}"));
}

async fn perform(env: &Env, step: Step) -> Step {
    match step {
        Step::Reply(_) | Step::Ask(..) => step,
        Step::Calls(calls, then) => {
            then.answered(join_all(calls.iter().map(|call| calls::ask_channel(env, call))).await)
        }
        Step::Identify(asking, then) => then.answered(calls::identify(env, &asking.relays, &asking.key).await),
        Step::Inspect(questions, then) => then.answered(
            join_all(questions.iter().map(|(relay, inspection)| calls::inspect(env, relay, inspection))).await,
        ),
        Step::Survey(calls, then) => then.answered(join_all(calls.iter().map(|call| calls::ask_app(env, call))).await),
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

/// Room for what someone of this address sends who is not let in yet.
#[cfg(feature = "mqtt")]
pub fn unproven(address: &str) -> Room {
    UPLOADS.with(|uploads| uploads.unproven(address))
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

/// An answer that counts until its client has it.
fn write_long(reply: Reply, long: Long) -> Result<Response> {
    let pipe = platform::pipe_of(reply.body.len());
    let headers = headers_of(&reply)?;
    let response = ResponseBuilder::new().with_status(reply.status).with_headers(headers).stream(pipe.readable());
    let writer = pipe.writable().writer();
    spawn_local(async move {
        let written = JsFuture::from(writer.write(&Uint8Array::from(reply.body.as_slice())));
        drop(reply);
        let taken = select(written, Delay::from(Duration::from_millis(long.patience_ms))).await;
        with(|router| router.given_out(&long));
        let end = match taken {
            Either::Left((Ok(_), _)) => writer.close(),
            _ => writer.abort("nobody reads"),
        };
        drop(JsFuture::from(end).await);
    });
    Ok(response)
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
