//! `/push/…`: devices, their subscriptions, and notifications (protocol.md § 20).
//!
//! Who asks is a caller like any other, who may administer push or only subscribe, and who may show by a header which
//! device it is; or it is a device alone, by its identity token in the place of other credentials. Whether a token or
//! secret is the device's is the app's to say, which knows the devices.

mod devices;
mod publish;
mod subscriptions;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::barred::Guard;
use super::caller::{Caller, credentials};
use super::step::{Begin, another_answer};
use super::{Context, Step};
use crate::auth::{Identity, Operations};
use crate::base::base64::from_base64;
use crate::base::endpoint::Endpoint;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request, percent};
use crate::intake::parameters::QueryOf;
use crate::limits::{HISTORY_DEFAULT_LIMIT, PUSH_PAGE_MAX};
use crate::model::name::AppId;
use crate::push::Proof;
use crate::rpc::{AppCall, AppRequest, AppResponse, PushCaller, PushRequest, PushResponse};

/// What is asked of push.
#[derive(Debug, PartialEq)]
pub enum PushRoute {
    /// `/push/publish`
    Publish,
    /// `/push/batch/publish`
    Batch,
    /// `/push/deviceRegistrations`
    Devices,
    /// `/push/deviceRegistrations/{id}`
    Device(String),
    /// `/push/deviceRegistrations/{id}/resetUpdateToken`
    Renew(String),
    /// `/push/channelSubscriptions`
    Subscriptions,
    /// `/push/channels`: those that have subscriptions.
    Channels,
    /// `/push/publicVapidKey`
    Key,
    /// `/push/apnsBroadcastChannels…`: live activities, which are not there.
    LiveActivities,
}

impl PushRoute {
    /// From the segments behind `push`.
    pub fn find(segments: &[&str]) -> Result<PushRoute, ErrorInfo> {
        let decoded = |id: &str| percent::decode(id).ok_or_else(|| Code::BadDeviceId.because("that is no device's id"));
        match segments {
            ["publish"] => Ok(PushRoute::Publish),
            ["batch", "publish"] => Ok(PushRoute::Batch),
            ["deviceRegistrations"] => Ok(PushRoute::Devices),
            ["deviceRegistrations", id] => decoded(id).map(PushRoute::Device),
            ["deviceRegistrations", id, "resetUpdateToken"] => decoded(id).map(PushRoute::Renew),
            ["channelSubscriptions"] => Ok(PushRoute::Subscriptions),
            ["channels"] => Ok(PushRoute::Channels),
            ["publicVapidKey"] => Ok(PushRoute::Key),
            ["apnsBroadcastChannels", ..] => Ok(PushRoute::LiveActivities),
            _ => Err(Code::NotFound.because(
                "there is no such path here: push has publish, batch/publish, deviceRegistrations, \
                 channelSubscriptions, channels and publicVapidKey",
            )),
        }
    }

    pub fn methods(&self) -> &'static str {
        match self {
            PushRoute::Publish | PushRoute::Batch | PushRoute::Renew(_) | PushRoute::LiveActivities => "POST, OPTIONS",
            PushRoute::Devices | PushRoute::Subscriptions => "GET, POST, DELETE, OPTIONS",
            PushRoute::Device(_) => "GET, PUT, PATCH, DELETE, OPTIONS",
            PushRoute::Channels | PushRoute::Key => "GET, OPTIONS",
        }
    }

    pub fn query_of(&self) -> QueryOf {
        match self {
            PushRoute::Devices => QueryOf::PushDevices,
            PushRoute::Subscriptions => QueryOf::PushSubscriptions,
            PushRoute::Channels => QueryOf::PushChannels,
            PushRoute::Publish
            | PushRoute::Batch
            | PushRoute::Device(_)
            | PushRoute::Renew(_)
            | PushRoute::Key
            | PushRoute::LiveActivities => QueryOf::Push,
        }
    }
}

/// Who asks.
pub struct Asker {
    /// `None` for a device that has nothing but its token.
    caller: Option<Caller>,
    app: AppId,
    proof: Option<Proof>,
}

impl Asker {
    /// Fails as [`Caller::authenticate`] does, and with 40005 for a device's token of an app that there is not.
    pub fn authenticate(request: &Request, context: &mut Context<'_>) -> Result<Asker, ErrorInfo> {
        if let Some((app, token)) = device_token(request) {
            if context.apps.get(&app).is_none() {
                return Err(ErrorInfo { status_code: 401, ..Code::BadKey.because("the token is of no app here") });
            }
            return Ok(Asker { caller: None, app, proof: Some(Proof::Token(token)) });
        }
        let caller = Caller::authenticate(request, context)?;
        let token = request.headers.device_token().map(|text| Proof::Token(plain(text)));
        let proof = token.or_else(|| request.headers.x_ably_devicesecret.clone().map(Proof::Secret));
        Ok(Asker { app: caller.app().id().clone(), caller: Some(caller), proof })
    }

    /// Whether it may do that on any channel.
    fn has(&self, operations: Operations) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.grant().capability.allows_anywhere(operations))
    }

    /// As a caller of devices, whose rights are not those of channels.
    fn of_devices(&self) -> PushCaller {
        self.by(self.has(Operations::PUSH_ADMIN))
    }

    /// Who may register a device of its own may say that another is its own.
    fn by(&self, is_admin: bool) -> PushCaller {
        let caller = self.caller.as_ref().filter(|_| self.has(Operations::PUSH_SUBSCRIBE));
        let client_id = caller.map_or(Identity::Anonymous, |caller| caller.identity().clone());
        PushCaller { is_admin, proof: self.proof.clone(), client_id }
    }

    fn require_admin(&self) -> Result<&Caller, ErrorInfo> {
        let caller = self.caller.as_ref().filter(|_| self.has(Operations::PUSH_ADMIN));
        caller.ok_or_else(|| not_permitted("administer push"))
    }
}

fn not_permitted(what: &str) -> ErrorInfo {
    Code::NotPermitted.because(format!("the capability does not allow to {what}"))
}

/// What stands between the app and the rest of a device's token, and in no other token.
const DEVICE_TOKEN_MARK: char = '!';

/// A device's token that stands in the place of other credentials, and whose app's it is. The SDK for Android sends it
/// in the header of its own alone where it has no token of its client yet.
pub fn device_token(request: &Request) -> Option<(AppId, String)> {
    let text = match &request.headers.authorization {
        Some(header) => {
            let (scheme, value) = header.trim().split_once(' ')?;
            Some(value).filter(|_| scheme.eq_ignore_ascii_case("Bearer"))
        }
        None => request.parameter("access_token").or_else(|| {
            let is_alone = credentials(request).is_err_and(|error| error.is(Code::NoCredentials));
            request.headers.device_token().filter(|_| is_alone)
        }),
    };
    let token = plain(text?);
    let app = AppId::parse(token.split_once(DEVICE_TOKEN_MARK)?.0).ok()?;
    Some((app, token))
}

/// A device's token, which the one SDK sends as it is and the other in base64.
fn plain(text: &str) -> String {
    let decoded = from_base64(text.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.trim().to_owned())
}

fn new_device_token(app: &AppId, random: &[u8; 32]) -> String {
    let secret = crate::auth::derive(random, "push device");
    format!("{}{DEVICE_TOKEN_MARK}{}", app.as_str(), BASE64URL.encode(secret))
}

/// Fails as [`Asker::authenticate`] does.
pub fn admit(
    request: &Request,
    route: PushRoute,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    let asker = Asker::authenticate(request, context)?;
    Ok(Box::new(move |request, context| begin(request, route, asker, form, context)))
}

/// Fails with 40160 where the caller may not, with 40300 for a client that is banned, and as each request does.
fn begin(
    request: &Request,
    route: PushRoute,
    asker: Asker,
    form: Form,
    context: &Context<'_>,
) -> Result<Step, ErrorInfo> {
    let check = asker.caller.as_ref().and_then(Caller::check);
    let guard = asker.caller.as_ref().map(|caller| Guard::of(caller, context.now_ms));
    let channel = if route == PushRoute::Subscriptions { subscriptions::channel(request) } else { None };
    let step = match route {
        PushRoute::Publish => publish::one(request, &asker, form, context),
        PushRoute::Batch => publish::batch(request, &asker, form, context),
        PushRoute::Devices => devices::many(request, asker, form, context),
        PushRoute::Device(id) => devices::one(request, &id, &asker, form),
        PushRoute::Renew(id) => devices::renew(id, &asker, form, context),
        PushRoute::Subscriptions => subscriptions::begin(request, asker, form),
        PushRoute::Channels => subscriptions::channels(request, asker, form),
        PushRoute::Key => key(request, &asker),
        PushRoute::LiveActivities => {
            Err(Code::PushNotConfigured.because("live activities are not there; apps are notified by apns recipients"))
        }
    }?;
    // Who a device alone is, the app finds out.
    let step = match guard {
        Some(guard) => guard.admit(form, channel.as_ref(), step),
        None => step,
    };
    Ok(form.unless_revoked(check, step))
}

/// The key by which browsers know this app: bare text, since SDKs read it as that. Who may not administer push does not
/// say what is told of the app: whoever asks chooses the host.
fn key(request: &Request, asker: &Asker) -> Result<Step, ErrorInfo> {
    if !asker.has(Operations::PUSH_ADMIN) && !asker.has(Operations::PUSH_SUBSCRIBE) {
        return Err(not_permitted("subscribe to push"));
    }
    let contact = match Endpoint::parse(&format!("https://{}", request.host.to_ascii_lowercase())) {
        Some(here) if request.is_secure && asker.has(Operations::PUSH_ADMIN) && here.is_public() => here.origin,
        _ => String::new(),
    };
    let form = Form::of(request);
    Ok(ask(asker, PushRequest::Key { contact }, form, |response| match response {
        PushResponse::Key(key) => Ok(Reply::of(200, "text/plain", key)),
        _ => Err(another_answer()),
    }))
}

/// Asks the app, and goes on with its answer.
fn ask(
    asker: &Asker,
    request: PushRequest,
    form: Form,
    then: impl FnOnce(PushResponse) -> Result<Reply, ErrorInfo> + 'static,
) -> Step {
    let call = AppCall { app: asker.app.clone(), request: AppRequest::Push(Box::new(request)) };
    form.ask(call, |response| match response {
        AppResponse::Push(response) => then(response).map(Step::Reply),
        _ => Err(another_answer()),
    })
}

/// The same for a list, whose cursor is for its caller alone.
fn ask_as(
    asker: Asker,
    request: PushRequest,
    form: Form,
    then: impl FnOnce(&Caller, PushResponse) -> Result<Reply, ErrorInfo> + 'static,
) -> Step {
    let Asker { caller, app, proof } = asker;
    ask(&Asker { caller: None, app, proof }, request, form, move |response| match &caller {
        Some(caller) => then(caller, response),
        None => Err(not_permitted("list")),
    })
}

/// The same of what has nothing to say when it is done.
fn ask_done(asker: &Asker, request: PushRequest, form: Form) -> Step {
    ask(asker, request, form, |response| match response {
        PushResponse::Done => Ok(Reply::empty()),
        _ => Err(another_answer()),
    })
}

/// A limit that is too high is as good as the highest: clients ask for all there is.
fn limit(request: &Request) -> Result<usize, ErrorInfo> {
    let Some(text) = request.parameter("limit") else { return Ok(HISTORY_DEFAULT_LIMIT) };
    let limit = text.parse::<u64>().ok().filter(|limit| *limit > 0);
    limit.map(|limit| limit.min(PUSH_PAGE_MAX as u64) as usize).ok_or_else(|| {
        Code::BadParameter.because(format!("limit must be a number from 1; more than {PUSH_PAGE_MAX} is as many"))
    })
}

/// What cursors are for.
const PURPOSE: &str = "push";

/// A page of those found, and the cursor of the next, for which one more was asked.
fn paged<T>(mut found: Vec<T>, limit: usize, caller: &Caller, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more).map(name);
    (found, last.and_then(|last| caller.cursor(PURPOSE, &last)))
}
