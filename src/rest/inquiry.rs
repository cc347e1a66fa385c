//! Requests whose answer waits for an app's object.

use super::form::Form;
use super::publish::Speech;
use super::token::Issue;
use super::{Reply, Step};
use crate::auth::RevokeRequest;
use crate::call::{Answer, AppResponse, Response};
use crate::error::{Code, ErrorInfo};

pub struct Inquiry {
    form: Form,
    pending: Pending,
}

enum Pending {
    /// A token may be issued if its nonce is new.
    Token(Issue),
    /// All is ready, unless the caller's token was revoked.
    Clearance(Box<Step>),
    Creation(serde_json::Value),
    Deletion,
    Revocation(RevokeRequest),
    /// A publish on behalf of a connection, to be had from a relay.
    Speech(Speech),
}

impl Inquiry {
    pub(super) fn token(form: Form, issue: Issue) -> Inquiry {
        Inquiry { form, pending: Pending::Token(issue) }
    }

    pub(super) fn clearance(form: Form, then: Step) -> Inquiry {
        Inquiry { form, pending: Pending::Clearance(Box::new(then)) }
    }

    pub(super) fn creation(form: Form, answer: serde_json::Value) -> Inquiry {
        Inquiry { form, pending: Pending::Creation(answer) }
    }

    pub(super) fn deletion(form: Form) -> Inquiry {
        Inquiry { form, pending: Pending::Deletion }
    }

    pub(super) fn revocation(form: Form, request: RevokeRequest) -> Inquiry {
        Inquiry { form, pending: Pending::Revocation(request) }
    }

    pub(super) fn speech(form: Form, speech: Speech) -> Inquiry {
        Inquiry { form, pending: Pending::Speech(speech) }
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
            (Pending::Creation(answer), AppResponse::Done) => form.created(&answer),
            (Pending::Deletion, AppResponse::Done) => Reply::empty(),
            (Pending::Revocation(request), AppResponse::Revoked(outcomes)) => form.created(&request.report(outcomes)),
            _ => return Err(another_answer()),
        };
        Ok(Step::Reply(reply))
    }
}

fn another_answer() -> ErrorInfo {
    Code::Internal.because("the answer is not to what was asked")
}
