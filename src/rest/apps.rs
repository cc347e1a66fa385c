//! `POST /apps` and `DELETE /apps/{id}`: apps made and ended while the server runs (protocol.md § 12.4).

use serde_json::Value;

use super::caller::Caller;
use super::step::{Begin, another_answer};
use super::{Context, Step, admin, body, metrics, publish};
use crate::app::{NewApp, fixtures};
use crate::auth::{Guessed, Operations, Operators, Secret, bearer};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::limits::SECRET_MIN_BYTES;
use crate::model::name::AppId;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, ChannelCall, Outcome, Response};

/// Who may make apps.
#[derive(Clone)]
pub enum Admin {
    /// Nobody: there are the deployment's own apps and no others.
    Closed,
    /// Whoever presents this.
    Token(Secret),
    /// Nobody, until the token is longer: it could be guessed.
    Guessable,
    /// Anybody who can reach the server: for tests, on one's own machine.
    Open,
}

impl Admin {
    pub fn is_closed(&self) -> bool {
        matches!(self, Admin::Closed)
    }

    /// The signer of operators' tokens. There is one where there is an admin token.
    pub fn operators(&self) -> Option<Operators> {
        match self {
            Admin::Token(admin_token) => Some(Operators::of(admin_token)),
            Admin::Closed | Admin::Guessable | Admin::Open => None,
        }
    }
}

/// Fails as [`require_maker`] does.
pub fn admit(request: &Request, form: Form, context: &mut Context<'_>) -> Result<Box<Begin>, ErrorInfo> {
    require_maker(request, context)?;
    Ok(match request.method == "POST" {
        true => Box::new(move |request, context| create(request, form, context)),
        false => Box::new(move |_, context| Ok(metrics::list(form, context))),
    })
}

/// Fails as [`NewApp::from_body`] does.
fn create(request: &Request, form: Form, context: &Context<'_>) -> Result<Step, ErrorInfo> {
    let new = NewApp::from_body(&body::value(request)?, &context.random)?;
    let mut answer = new.answer;
    if let Value::Object(answer) = &mut answer {
        answer.extend(request.place());
    }
    let mut channels = String::new();
    for call in &new.fixtures {
        channels.push_str(call.to.channel.as_str());
        channels.push('\n');
    }
    let request = AppRequest::Create { config: new.config, channels };
    let made = form.created(&answer);
    let (app, now_ms) = (new.app.id().clone(), context.now_ms);
    Ok(form.ask(AppCall { app: app.clone(), request }, move |response| match response {
        AppResponse::Done => {
            Ok(admin::deployment_note(&app, "operator", "create app", now_ms, form, settle(form, new.fixtures, made)))
        }
        _ => Err(another_answer()),
    }))
}

/// Fails with 40400 when nobody may, with 50320 when the admin token can be guessed, with 40106, 40101 or 42910 for the
/// wrong one, and with 40300 for a page of another machine where everybody may.
pub fn require_maker(request: &Request, context: &mut Context<'_>) -> Result<(), ErrorInfo> {
    match context.admin {
        Admin::Closed | Admin::Guessable | Admin::Token(_) => require_admin(request, context),
        // Any page that its developer visits could make apps on this machine.
        Admin::Open if !is_local(request.headers.origin.as_deref()) => {
            Err(Code::Forbidden.because("a sandbox makes apps for pages of the machine that it runs on, and no others"))
        }
        Admin::Open => Ok(()),
    }
}

/// Whether it came with the admin token, which is still to be let in by [`require_maker`].
pub fn has_admin_token(request: &Request, context: &Context<'_>) -> bool {
    let presented = request.headers.authorization.as_deref().and_then(bearer);
    matches!((context.admin, presented), (Admin::Token(expected), Some(token)) if expected.matches(&token))
}

/// The error of who is not let in where the admin token is good, too: a bearer token that is none of an app's counts as
/// a guess of that.
pub fn guessed(error: ErrorInfo, request: &Request, context: &mut Context<'_>) -> ErrorInfo {
    let has_bearer = || request.headers.authorization.as_deref().and_then(bearer).is_some();
    let is_wrong = error.is(Code::BadCredentials) || error.is(Code::BadJwt);
    if !is_wrong || !matches!(context.admin, Admin::Token(_)) || !has_bearer() {
        return error;
    }
    let wrong = || Err::<(), _>(Code::BadCredentials.into());
    match context.attempts.check(Guessed::AdminToken, &request.address, context.now_ms, wrong) {
        Err(limited) if limited.is(Code::RateLimited) => limited,
        _ => error,
    }
}

/// By the admin token, or by the first key of the app, if that may administer it. Fails with 40400 when nobody makes
/// apps or there is no such app, with 40300 for one of the deployment's own, with 40160 for another key, and as
/// credentials do.
pub fn admit_to_delete(
    request: &Request,
    app: AppId,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Box<Begin>, ErrorInfo> {
    if context.admin.is_closed() {
        return Err(closed());
    }
    let has_bearer = || request.headers.authorization.as_deref().and_then(bearer).is_some();
    let by = if !matches!(context.admin, Admin::Open) && has_bearer() {
        require_admin(request, context)?;
        "operator".to_owned()
    } else {
        let caller = Caller::authenticate(request, context)?;
        caller.require_first_key(&app)?;
        format!("key {}", caller.grant().key_name)
    };
    Ok(Box::new(move |_, context| Ok(delete(app, by, form, context))))
}

fn delete(app: AppId, by: String, form: Form, context: &Context<'_>) -> Step {
    let (config, now_ms) = (context.apps.get(&app).cloned(), context.now_ms);
    form.ask(AppCall { app: app.clone(), request: AppRequest::Delete }, move |response| match response {
        AppResponse::Channels(channels) => {
            let gone = settle(form, fixtures::leaving(&app, config.as_deref(), &channels), Reply::empty());
            Ok(admin::deployment_note(&app, &by, "delete app", now_ms, form, gone))
        }
        _ => Err(another_answer()),
    })
}

/// What is done with the members of an app before it is said that the app is made, or gone.
fn settle(form: Form, calls: Vec<ChannelCall>, reply: Reply) -> Step {
    match calls.is_empty() {
        true => Step::Reply(reply),
        false => form.calls(calls, move |answers| settled(reply, answers)),
    }
}

/// All channels have answered. Fails as the first of them that failed.
fn settled(reply: Reply, answers: Vec<Answer<Response>>) -> Result<Reply, ErrorInfo> {
    for answer in answers {
        let refused = publish::published(answer?)?.outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Refused(error) => Some(error),
            Outcome::Accepted { .. } | Outcome::Operated { .. } => None,
        });
        refused.map_or(Ok(()), Err)?;
    }
    Ok(reply)
}

fn require_admin(request: &Request, context: &mut Context<'_>) -> Result<(), ErrorInfo> {
    let expected = match context.admin {
        Admin::Token(expected) => expected,
        Admin::Guessable => return Err(guessable()),
        Admin::Closed | Admin::Open => return Err(closed()),
    };
    let header = request.headers.authorization.as_deref().ok_or(Code::NoCredentials)?;
    let wrong = || Code::BadCredentials.because("the admin token is wrong");
    context.attempts.check(Guessed::AdminToken, &request.address, context.now_ms, || {
        let presented = bearer(header).ok_or_else(wrong)?;
        if expected.matches(&presented) { Ok(()) } else { Err(wrong()) }
    })
}

/// Whether no page sent it, or one of this machine did.
fn is_local(origin: Option<&str>) -> bool {
    let Some(origin) = origin else { return true };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = if authority.starts_with('[') {
        authority.split_once(']').map_or("", |(host, _)| host).trim_start_matches('[')
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    ["localhost", "127.0.0.1", "::1"].contains(&host)
}

fn guessable() -> ErrorInfo {
    let what = format!("this deployment's ADMIN_TOKEN can be guessed; it must have {SECRET_MIN_BYTES} bytes at least");
    Code::Unavailable.because(what)
}

fn closed() -> ErrorInfo {
    Code::NotFound.because("apps are not made at run time here; set the secret ADMIN_TOKEN to allow it")
}

impl Caller {
    fn require_first_key(&self, app: &AppId) -> Result<(), ErrorInfo> {
        if !self.grant().basic {
            return Err(Code::BasicRequired.into());
        }
        let first = self.app().keys().first().map(|key| &key.name);
        let may_administer = self.grant().capability.on_everything().contains(Operations::ADMIN);
        match self.app().id() == app && first == Some(&self.grant().key_name) && may_administer {
            true => Ok(()),
            false => {
                Err(Code::NotPermitted.because("an app is deleted with its own first key, if that may 'admin' on '*'"))
            }
        }
    }
}
