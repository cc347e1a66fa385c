//! Who may do what an operator does: whoever has the admin token, or a key of the app that may `admin` on all channels;
//! for bans of some channels, on these.

use std::rc::Rc;

use super::super::apps::{self, Admin};
use super::super::caller::{Caller, credentials};
use super::super::{Context, Step};
use super::ask;
use crate::auth::{App, Grant, Operations, bearer};
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Request};
use crate::limits::AUDIT_TARGET_MAX_BYTES;
use crate::model::name::AppId;
use crate::rpc::{Act, Note};

/// What an operator must be one of.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    App,
    /// The same, and whoever may read what was said in all of it.
    History,
    /// The channels that a pattern names.
    Channels(&'a str),
    /// Of some channels: a body that was not read yet says of which.
    Some,
}

pub struct Operator {
    pub app: Rc<App>,
    /// `None` for whoever runs the deployment.
    grant: Option<Grant>,
    pub now_ms: u64,
}

impl Operator {
    /// Fails as credentials do, with 40162 for a token, with 40160 for a key of another app or one that may not, with
    /// 40400 when there is no such app, and with 40000 for a pattern that names no channel.
    pub fn over(
        scope: Scope<'_>,
        request: &Request,
        app: &AppId,
        context: &mut Context<'_>,
    ) -> Result<Operator, ErrorInfo> {
        let grant = if is_by_deployment(request, context) {
            apps::require_maker(request, context)?;
            None
        } else {
            let caller = Caller::authenticate(request, context)?;
            require_key(caller.grant())?;
            if caller.app().id() != app {
                return Err(Code::NotPermitted.because("a key is good for its own app only"));
            }
            Some(caller.into_grant())
        };
        let app = context.apps.get(app).cloned().ok_or_else(|| Code::NotFound.because("no such app"))?;
        let operator = Operator { app, grant, now_ms: context.now_ms };
        operator.require(scope).map(|()| operator)
    }

    /// Of the app that a caller is of. Fails as [`Operator::over`] does.
    pub fn of_own_app(caller: Caller, now_ms: u64) -> Result<Operator, ErrorInfo> {
        require_key(caller.grant())?;
        let operator = Operator::of(caller, now_ms);
        operator.require(Scope::App).map(|()| operator)
    }

    /// Of a caller who was let in elsewhere.
    pub fn of(caller: Caller, now_ms: u64) -> Operator {
        Operator { app: caller.shared_app(), grant: Some(caller.into_grant()), now_ms }
    }

    /// Fails with 40160 for a key that may not, and with 40000 for a pattern that names no channel.
    pub fn require(&self, scope: Scope<'_>) -> Result<(), ErrorInfo> {
        let Some(Grant { capability, .. }) = &self.grant else { return Ok(()) };
        let (is_allowed, what) = match scope {
            Scope::App => (capability.on_everything().contains(Operations::ADMIN), "the app"),
            Scope::History => (
                capability.on_everything().contains(Operations::ADMIN | Operations::HISTORY),
                "the app and to read history on all its channels",
            ),
            Scope::Channels(pattern) => (capability.on_all_of(pattern)?.contains(Operations::ADMIN), "these channels"),
            Scope::Some => (capability.allows_anywhere(Operations::ADMIN), "any channels"),
        };
        let refused = || Code::NotPermitted.because(format!("the capability does not allow to administer {what}"));
        is_allowed.then_some(()).ok_or_else(refused)
    }

    pub fn id(&self) -> &AppId {
        self.app.id()
    }

    pub fn note(&self, action: &str, target: &str) -> Option<Note> {
        let by = self.grant.as_ref().map_or("operator".to_owned(), |grant| format!("key {}", grant.key_name));
        Some(note(self.now_ms, self.id(), &by, action, target))
    }
}

/// Whether it is asked with the admin token, or by anybody where anybody may.
pub fn is_by_deployment(request: &Request, context: &Context<'_>) -> bool {
    let has_bearer = || request.headers.authorization.as_deref().and_then(bearer).is_some();
    match context.admin {
        Admin::Closed => false,
        Admin::Token(_) | Admin::Guessable => has_bearer(),
        Admin::Open => credentials(request).is_err_and(|error| error.is(Code::NoCredentials)),
    }
}

fn require_key(grant: &Grant) -> Result<(), ErrorInfo> {
    if grant.basic { Ok(()) } else { Err(Code::BasicRequired.into()) }
}

fn note(at_ms: u64, app: &AppId, by: &str, action: &str, target: &str) -> Note {
    let end = target.floor_char_boundary(AUDIT_TARGET_MAX_BYTES);
    Note {
        at_ms,
        app: app.as_str().to_owned(),
        by: by.to_owned(),
        action: action.to_owned(),
        target: target[..end].to_owned(),
    }
}

/// Notes what was done to an app that keeps no entries itself, or not any more, and then goes on.
pub fn deployment_note(app: &AppId, by: &str, action: &str, now_ms: u64, form: Form, then: Step) -> Step {
    let note = note(now_ms, app, by, action, app.as_str());
    ask(&AppId::deployment(), Act::Note, Some(note), form, move |_| Ok(then))
}
