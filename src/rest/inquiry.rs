//! Requests whose answer waits for an app's object.

use std::rc::Rc;

use super::apps::Ending;
use super::form::Form;
use super::publish::Speech;
use super::status::Enumeration;
use super::token::Issue;
use super::{Reply, Step};
use crate::app::fixtures;
use crate::auth::{App, RevokeRequest};
use crate::call::{Answer, AppResponse, Response};
use crate::error::{Code, ErrorInfo};
use crate::name::AppId;

pub struct Inquiry {
    form: Form,
    pending: Pending,
}

enum Pending {
    /// A token may be issued if its nonce is new.
    Token(Issue),
    /// All is ready, unless the caller's token was revoked.
    Clearance(Box<Step>),
    Creation(Ending),
    Deletion(AppId, Option<Rc<App>>),
    Revocation(RevokeRequest),
    /// A publish on behalf of a connection, to be had from a relay.
    Speech(Box<Speech>),
    Enumeration(Box<Enumeration>),
}

impl Inquiry {
    pub(super) fn token(form: Form, issue: Issue) -> Inquiry {
        Inquiry { form, pending: Pending::Token(issue) }
    }

    pub(super) fn clearance(form: Form, then: Step) -> Inquiry {
        Inquiry { form, pending: Pending::Clearance(Box::new(then)) }
    }

    pub(super) fn creation(form: Form, then: Ending) -> Inquiry {
        Inquiry { form, pending: Pending::Creation(then) }
    }

    /// `config` is the app, if it is known.
    pub(super) fn deletion(form: Form, app: AppId, config: Option<Rc<App>>) -> Inquiry {
        Inquiry { form, pending: Pending::Deletion(app, config) }
    }

    pub(super) fn revocation(form: Form, request: RevokeRequest) -> Inquiry {
        Inquiry { form, pending: Pending::Revocation(request) }
    }

    pub(super) fn enumeration(form: Form, enumeration: Enumeration) -> Inquiry {
        Inquiry { form, pending: Pending::Enumeration(Box::new(enumeration)) }
    }

    pub(super) fn speech(form: Form, speech: Speech) -> Inquiry {
        Inquiry { form, pending: Pending::Speech(Box::new(speech)) }
    }

    /// Goes on with the connection whose key was asked about.
    pub fn identified(self, answer: Answer<Response>) -> Step {
        let form = self.form;
        let step = match (self.pending, answer) {
            (Pending::Speech(speech), Ok(Response::Speaker(speaker))) => speech.identified(&speaker),
            (_, Err(error)) => Err(error),
            _ => Err(another_answer()),
        };
        step.unwrap_or_else(|error| Step::Reply(form.error(&error)))
    }

    /// Goes on with the app's answer.
    pub fn answered(self, answer: Answer<AppResponse>) -> Step {
        let form = self.form;
        let step = answer.and_then(|response| self.go_on(response));
        step.unwrap_or_else(|error| Step::Reply(form.error(&error)))
    }

    fn go_on(self, response: AppResponse) -> Result<Step, ErrorInfo> {
        let form = self.form;
        let reply = match (self.pending, response) {
            (Pending::Token(issue), AppResponse::Fresh(true)) => form.created(&issue.issue()),
            (Pending::Token(_), AppResponse::Fresh(false)) => return Err(Code::NonceReplayed.into()),
            (Pending::Clearance(then), AppResponse::Void(false)) => return Ok(*then),
            (Pending::Clearance(_), AppResponse::Void(true)) => return Err(Code::TokenRevoked.into()),
            (Pending::Creation(then), AppResponse::Done) => return Ok(then.begin(form)),
            (Pending::Deletion(app, config), AppResponse::Channels(channels)) => {
                let calls = fixtures::leaving(&app, config.as_deref(), &channels);
                return Ok(Ending { calls, reply: Reply::empty() }.begin(form));
            }
            (Pending::Enumeration(page), AppResponse::Channels(channels)) => return Ok(page.named(form, &channels)),
            (Pending::Revocation(request), AppResponse::Revoked(outcomes)) => form.created(&request.report(outcomes)),
            _ => return Err(another_answer()),
        };
        Ok(Step::Reply(reply))
    }
}

fn another_answer() -> ErrorInfo {
    Code::Internal.because("the answer is not to what was asked")
}
