//! The Worker: reads the URL, checks credentials, chooses the object. Keeps nothing.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use serde::{Deserialize, Serialize};
use worker::worker_sys::web_sys::{Request as RawRequest, Response as RawResponse};
use worker::{ByteStream, Context, Delay, Env, Headers, Response, Result, console_error, event};

use super::directory::{self, Found};
use super::platform::{self, now_ms, random_bytes, random_id};
use super::way::Way;
use super::{asking, calls, config};
use crate::auth::{Apps, Attempts, Credentials, Grant, Presented, Surface};
use crate::base::pinned::{self, Versioned};
use crate::base::rate::Buckets;
use crate::error::{Code, ErrorInfo};
use crate::http::addresses::Addresses;
use crate::http::uploads::{Body, Bound, Uploads};
use crate::http::{self, Reply};
use crate::intake::parameters;
use crate::limits::{REFUSED_SOCKETS, STATS_LOOK_MS, STATS_ROUTER_MS, WRONG_SECRETS_MAX_KEYS};
use crate::model::Format;
use crate::model::name::{AppId, ChannelName};
use crate::protocol;

use crate::relay::session::{self, Opening};
use crate::rest::{self, Step};
use crate::rpc::connection_key::ConnectionKey;
use crate::rpc::placement::{self, LoadMap, Place, Placement, Region, Shard};
use crate::rpc::{self, Address, Answer, AppCall, AppRequest, RelayName, Rules, taken};
use crate::stats::Report;
use crate::stats::requests::{Answered, Requests};
use crate::transport::Mode;
use crate::transport::comet::{self, Claim, Verb};
#[cfg(feature = "socketio")]
use crate::transport::engine;
use crate::transport::events;

thread_local! {
    static UPLOADS: Uploads = Uploads::default();
    /// Wrong secrets, as this isolate saw them. An address usually comes to the same one.
    pub static ATTEMPTS: RefCell<Attempts> = RefCell::default();
    static ADDRESSES: RefCell<Addresses> = RefCell::default();
    /// Addresses whose clients were told by a WebSocket why they are not let in.
    static REFUSED: RefCell<Buckets<String>> = RefCell::new(Buckets::new(REFUSED_SOCKETS, WRONG_SECRETS_MAX_KEYS));
    pub static COUNTED: RefCell<Requests> = RefCell::default();
    /// Names this isolate in its reports.
    static LIFE: String = random_id();
    /// A request sees until then that what was counted is reported.
    static TELLS_UNTIL_MS: Cell<u64> = const { Cell::new(0) };
    /// Objects that refused a connection lately.
    static LOAD_MAP: RefCell<LoadMap> = RefCell::default();
}

/// A connection on its way to the object that will hold it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub opening: Opening,
    pub shard: Shard,
    /// The channel whose own object is to hold it.
    pub channel: Option<(Address, Rules)>,
    /// How its responses go, if it is over HTTP.
    pub mode: Option<Mode>,
}

impl Versioned for Handover {
    const VERSION: u8 = 6;
}

/// A [`Handover`], or a [`Claim`], as it comes in a header.
pub fn read_header<T: Versioned>(text: &str) -> Result<T> {
    let bytes = BASE64URL.decode(text).map_err(|error| worker::Error::RustError(error.to_string()))?;
    rpc::decode(&bytes).map_err(|error| worker::Error::RustError(error.message))
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
    let head = &arrival.head;
    if head.headers.ask_for_a_socket() {
        #[cfg(feature = "socketio")]
        if engine::is_engine(&head.path) {
            return super::engine::respond(&arrival, env).await;
        }
        #[cfg(feature = "mqtt")]
        if let Some(knocker) = super::mqtt::at(head) {
            return super::mqtt::connect(knocker, &arrival, env);
        }
        if let Some(door) = protocol::door::Door::at(&head.path) {
            return connect(&arrival, env, Way::Door(door)).await;
        }
        let msgpack = head.query.iter().any(|(name, value)| name == "format" && value == "msgpack");
        return connect(&arrival, env, Way::WebSocket(if msgpack { Format::Msgpack } else { Format::Json })).await;
    }
    if crate::event::is_page(&head.path) && matches!(head.method.as_str(), "GET" | "HEAD") {
        return super::event::page(arrival, env).await.map(RawResponse::from);
    }
    let browser = head.headers.browser();
    platform::with_headers(answer(arrival, env).await?, &browser.headers())
}

/// The answer to a request that is neither a WebSocket's nor for the page.
async fn answer(arrival: Arrival, env: &Env) -> Result<RawResponse> {
    let head = &arrival.head;
    if head.path.starts_with("/comet/") {
        return match comet::route(&head.method, &head.path) {
            Ok((verb, key)) => connect(&arrival, env, Way::Comet(verb, key)).await,
            Err(reply) => write_reply(reply).map(RawResponse::from),
        };
    }
    #[cfg(feature = "socketio")]
    if engine::is_engine(&head.path) {
        return super::engine::respond(&arrival, env).await;
    }
    if events::is_stream(&head.path) {
        return match events::route(&head.method, &head.path, head.headers.accept.as_deref()) {
            Ok(lines) => connect(&arrival, env, Way::Events { lines }).await,
            Err(reply) => write_reply(reply).map(RawResponse::from),
        };
    }
    if head.path == crate::event::TOKEN_PATH && head.method != "OPTIONS" {
        return super::event::token(arrival, env).await.map(RawResponse::from);
    }
    rest(arrival, env).await.map(RawResponse::from)
}

/// A REST request, which is counted.
async fn rest(Arrival { raw, head }: Arrival, env: &Env) -> Result<Response> {
    let (named, is_for_token) = (rest::apps_named(&head), rest::is_for_token(&head));
    let apps = match take(&head.address) {
        Ok(()) => find_apps(env, &named, &head.address).await.and_then(|found| match rest::is_of_deployment(&head) {
            true => config::serving(env).map(|apps| Apps::of(apps.iter().chain(found.iter()).cloned())),
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
    COUNTED.with_borrow_mut(|counted| counted.answered(app.as_ref(), answered, now_ms()));
    Ok(response)
}

/// The core says what to do, step by step.
async fn exchange(raw: &RawRequest, mut request: http::Request, env: &Env, apps: &Apps) -> Result<Response> {
    let (admin, random) = (config::admin(env), random_bytes());
    let bound = ATTEMPTS.with_borrow_mut(|attempts| {
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
    let mut step = ATTEMPTS.with_borrow_mut(|attempts| {
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

/// Reports what was counted, as long as there is something to report; one request at a time sees to it.
fn tell_counts(env: &Env, context: &Context) {
    let is_seen_to = now_ms() < TELLS_UNTIL_MS.get();
    if is_seen_to || !COUNTED.with_borrow(Requests::has_news) {
        return;
    }
    TELLS_UNTIL_MS.set(now_ms() + STATS_ROUTER_MS + STATS_LOOK_MS);
    let (env, until_ms) = (env.clone(), now_ms() + STATS_ROUTER_MS);
    context.wait_until(async move {
        while COUNTED.with_borrow(Requests::has_news) && now_ms() < until_ms {
            Delay::from(Duration::from_millis(STATS_LOOK_MS)).await;
            let reports = COUNTED.with_borrow_mut(|counted| counted.look(now_ms()));
            join_all(reports.into_iter().map(|(app, report)| tell_one(&env, app, report))).await;
        }
        TELLS_UNTIL_MS.set(0);
    });
}

async fn tell_one(env: &Env, app: AppId, report: Report) {
    let (minute, reporter) = (report.minute, LIFE.with(Clone::clone));
    let call = AppCall { app, request: AppRequest::Report { reporter, report: report.into() } };
    let taken = taken(&calls::ask_app(env, &call).await);
    COUNTED.with_borrow_mut(|counted| counted.told(&call.app, minute, taken));
}

/// Fails as [`Addresses::take`] does.
pub fn take(address: &str) -> std::result::Result<(), ErrorInfo> {
    ADDRESSES.with_borrow_mut(|addresses| addresses.take(address, now_ms()))
}

async fn find_apps(env: &Env, ids: &[AppId], address: &str) -> std::result::Result<Apps, ErrorInfo> {
    // Even for a request that names no app: a deployment that is not set up says so to everyone.
    config::serving(env)?;
    let found: Vec<_> = join_all(ids.iter().map(|id| directory::find(env, id, address))).await;
    let found: Vec<_> = found.into_iter().collect::<std::result::Result<_, _>>()?;
    Ok(Apps::of(found.into_iter().flatten().map(|found| found.app)))
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
async fn connect(arrival: &Arrival, env: &Env, way: Way) -> Result<RawResponse> {
    let Arrival { raw, head } = arrival;
    let client = Client {
        head,
        presented: Presented {
            authorization: head.headers.authorization.as_deref(),
            client_id: None,
            query: &head.query,
        },
        of_path: way.credentials(&head.path),
    };
    let passed = match (enter(env, &client, &way).await, &way) {
        (Ok(Entrance { opening, .. }), Way::Comet(verb, key)) if *verb != Verb::Connect => {
            let claim = Claim { key: key.clone(), by: Some(opening.grant.client_id.clone()) };
            pass_on(raw, env, &opening.grant, *verb, &claim).await
        }
        (Ok(entrance), _) => hand_over(env, entrance, head.region).await,
        (Err(error), _) => Err(error),
    };
    match passed {
        Ok(response) => Ok(response),
        Err(error) => {
            count_refused(known_app(env, &client).as_ref(), &error);
            let is_socket = matches!(way, Way::WebSocket(_) | Way::Door(_));
            let waits = matches!(way, Way::WebSocket(_)) && error.may_pass() && head.waits_by_status();
            if waits || is_socket && !tells_by_socket(env, &head.address) {
                return write_reply(http::refuse(head, &error)).map(RawResponse::from);
            }
            if is_socket {
                told_by_socket(&head.address);
                platform::mark_told(raw);
            }
            way.refuse(raw, &error).map(RawResponse::from)
        }
    }
}

/// Whether one more client of this address may be told by a WebSocket why it is not let in. That keeps its descriptors
/// until the client closes it, too, which one that means harm does not: it is ended then, see [`platform::end`].
pub fn tells_by_socket(env: &Env, address: &str) -> bool {
    let has_part = address.is_empty() || REFUSED.with_borrow(|refused| refused.allows(address, now_ms()));
    has_part && config::has_room(env, false).is_ok()
}

pub fn told_by_socket(address: &str) {
    if !address.is_empty() {
        REFUSED.with_borrow_mut(|refused| refused.take(address.to_owned(), now_ms()));
    }
}

pub fn count_refused(app: Option<&AppId>, error: &ErrorInfo) {
    COUNTED.with_borrow_mut(|counted| counted.refused_connection(app, error.code, now_ms()));
}

/// The app that a client names, if it is known to be there.
fn known_app(env: &Env, client: &Client<'_>) -> Option<AppId> {
    let credentials = client.credentials().ok()?;
    directory::is_known(env, credentials.app_id()).then(|| credentials.app_id().clone())
}

/// A request of a connection over HTTP, to the relay that holds it. Fails with 80003 for a key that none of this client
/// can have.
pub async fn pass_on(
    request: &RawRequest,
    env: &Env,
    grant: &Grant,
    verb: Verb,
    claim: &Claim,
) -> std::result::Result<RawResponse, ErrorInfo> {
    let Some(relay) = placement::holder(grant.app(), &claim.key, &grant.capability) else {
        return Err(Code::Disconnected.because("this is no connection's key"));
    };
    let text = BASE64URL.encode(pinned::encode(claim));
    calls::pass_on(env, &relay, verb, &text, request).await
}

/// A client at the door, by what its request says.
struct Client<'a> {
    head: &'a http::Request,
    presented: Presented<'a>,
    /// Those that the path is.
    of_path: Option<std::result::Result<Credentials, ErrorInfo>>,
}

impl Client<'_> {
    fn credentials(&self) -> std::result::Result<Credentials, ErrorInfo> {
        let of_path = self.of_path.clone();
        of_path.unwrap_or_else(|| Credentials::parse(&self.presented, Surface::Realtime))
    }
}

/// A client whose credentials are good, and the channel whose own object may hold it.
pub struct Entrance {
    pub opening: Opening,
    pub channel: Option<(Address, Rules)>,
    /// How frames go to it, unless by a WebSocket.
    pub mode: Option<Mode>,
    /// The relay that all connections of this client come to, and whether no other may take it.
    pub home: Option<(Shard, bool)>,
}

/// What credentials give, and the app that they are of.
pub async fn verify(env: &Env, credentials: &Credentials, address: &str) -> Answer<(Grant, Found)> {
    let found = directory::find(env, credentials.app_id(), address).await?;
    let app = found.as_ref().map(|found| &*found.app);
    let grant = ATTEMPTS.with_borrow_mut(|attempts| attempts.verify(credentials, app, address, now_ms()))?;
    Ok((grant, found.ok_or(Code::BadCredentials)?))
}

async fn enter(env: &Env, client: &Client<'_>, way: &Way) -> std::result::Result<Entrance, ErrorInfo> {
    let http::Request { query, headers, address, is_secure, .. } = client.head;
    let apps = config::serving(env)?;
    take(address)?;
    if let Way::WebSocket(_) = way {
        protocol::door::check_root(&client.head.path)?;
    }
    let credentials = client.credentials()?.or_of(apps.operators());
    let (grant, found) = verify(env, &credentials, address).await?;
    parameters::check(way.door(), query, headers.name_an_sdk())?;
    if let Way::Comet(..) = way {
        rest::check_coding(headers.content_encoding.as_deref())?;
    }
    let mut opening = Opening::from_query(grant, query, *is_secure);
    opening.stays_attached |= headers.ably_agent.as_deref().is_some_and(session::stays_attached);
    let named = || {
        let named = query.iter().find(|(name, _)| name == "channel");
        named.map(|(_, value)| ChannelName::parse(value)).transpose()
    };
    let (mode, named) = match way {
        Way::WebSocket(_) => (None, named()?),
        Way::Door(door) => {
            opening.enter_by(door.clone());
            (None, None)
        }
        Way::Comet(..) => (Some(comet::open(query, &mut opening)), named()?),
        Way::Events { lines } => {
            let last = headers.last_event_id.as_deref();
            let (style, only) = events::open(query, *lines, last, &found.app, &mut opening)?;
            (Some(Mode::Events(style)), only)
        }
    };
    // Whoever holds connections watches its app, which can tell so many. Clients that it can send away are held by the
    // few relays, so that channels leave room.
    let is_sent_away = !found.is_configured || found.app.is_revocable(&opening.grant);
    let channel = opening.home(named).filter(|_| !is_sent_away).map(|name| {
        let rules = Rules::on(&found.app, &name);
        (Address { app: found.app.id().clone(), channel: name.owner() }, rules)
    });
    Ok(Entrance { opening, channel, mode, home: None })
}

/// Asks one object after another, until one takes the connection in or there is none left to ask.
pub async fn hand_over(env: &Env, entrance: Entrance, region: Region) -> std::result::Result<RawResponse, ErrorInfo> {
    let Entrance { opening, channel, mode, home } = entrance;
    config::has_room(env, opening.takeover.is_some())?;
    let app = opening.grant.app().clone();
    let claimed = opening.takeover.as_ref().and_then(|takeover| ConnectionKey::claimed(&takeover.key));
    let claimed = claimed.map(|key| key.shard).or(home.map(|(shard, _)| shard.0));
    let address = channel.as_ref().map(|(address, _)| address.clone());
    let mut placement = Placement::new(app.clone(), region, address, claimed);
    placement.is_at_home = home.is_some_and(|(_, is_bound)| is_bound);
    let random = u64::from_le_bytes(random_bytes());
    let mut handover = Handover { opening, shard: Shard::CHANNEL, channel: None, mode };
    let upgrade = if mode.is_none() { "websocket" } else { "" };
    loop {
        let place = LOAD_MAP.with_borrow(|load_map| load_map.place(&placement, random, now_ms()))?;
        let (name, hint) = match &place {
            Place::Channel(address) => (RelayName::of_channel(address), None),
            Place::Relay(shard) => (RelayName::shard(&app, shard.0), shard.hint()),
        };
        (handover.shard, handover.channel) = match place {
            Place::Channel(_) => (Shard::CHANNEL, channel.clone()),
            Place::Relay(shard) => (shard, None),
        };
        let text = BASE64URL.encode(pinned::encode(&handover));
        match calls::connect(env, &name, hint, upgrade, &text).await {
            Ok(response) => return Ok(response),
            Err(refusal) => {
                LOAD_MAP.with_borrow_mut(|load_map| load_map.refused(&mut placement, &place, refusal, now_ms()))?
            }
        }
    }
}
