//! What is to be done next for a request, and how it goes on with the answers: an endpoint says both in one place.

use super::Context;
use crate::error::{Code, ErrorInfo};
use crate::http::{Form, Reply, Request};
use crate::rpc::{Answer, AppCall, AppResponse, ChannelCall, Inspected, Inspection, RelayName, Response};

/// What is to be done next for a request.
pub enum Step {
    /// Send it: the request is answered.
    Reply(Reply),
    /// Make these calls, all at once, and go on with their answers, in the same order. A call that could not be made
    /// may be repeated: the channel knows a publish that it has.
    Calls(Vec<ChannelCall>, Continuation<Vec<Answer<Response>>>),
    /// Ask this app, and go on with its answer. It may be asked again, but for a nonce: that it was used is told to
    /// only one.
    Ask(AppCall, Continuation<Answer<AppResponse>>),
    /// Ask these apps, all at once, and go on with their answers, in the same order.
    Survey(Vec<AppCall>, Continuation<Vec<Answer<AppResponse>>>),
    /// Ask these relays whose connection a key is, until one knows, and go on with its answer, or the last.
    Identify(Asking, Continuation<Answer<Response>>),
    /// Ask these objects about the connections that they hold, all at once, and go on with their answers, in the same
    /// order; `None` where none came.
    Inspect(Vec<(RelayName, Inspection)>, Continuation<Vec<Option<Inspected>>>),
}

/// Whose connection is this the key of? It says a relay; or a channel's own object holds it, most likely of the channel
/// that is published to.
pub struct Asking {
    pub key: String,
    pub relays: Vec<RelayName>,
}

/// A request whose caller was let in, and whose body is to be read.
pub struct Admitted {
    pub(super) form: Form,
    pub(super) begin: Box<Begin>,
}

/// How a request begins, once its body is read. The context is that of this moment.
pub type Begin = dyn FnOnce(&Request, &mut Context<'_>) -> Result<Step, ErrorInfo>;

impl Admitted {
    /// The same request, with its body.
    pub fn begin(self, request: &Request, mut context: Context<'_>) -> Step {
        (self.begin)(request, &mut context).unwrap_or_else(|error| Step::Reply(self.form.error(&error)))
    }
}

/// How a request goes on once it has its answer.
pub struct Continuation<A> {
    form: Form,
    go_on: Box<GoOn<A>>,
}

type GoOn<A> = dyn FnOnce(A) -> Result<Step, ErrorInfo>;

impl<A> Continuation<A> {
    /// Whatever fails is told in the form that the request asked for.
    pub fn answered(self, answer: A) -> Step {
        let form = self.form;
        (self.go_on)(answer).unwrap_or_else(|error| Step::Reply(form.error(&error)))
    }
}

impl Form {
    /// Makes one call, and goes on with what the channel says. Fails as the channel does.
    pub fn call(self, call: ChannelCall, go_on: impl FnOnce(Response) -> Result<Reply, ErrorInfo> + 'static) -> Step {
        self.calls(vec![call], |answers| go_on(only(answers)?))
    }

    /// The same where what the channel says leads to another call.
    pub fn call_on(self, call: ChannelCall, go_on: impl FnOnce(Response) -> Result<Step, ErrorInfo> + 'static) -> Step {
        Step::Calls(vec![call], self.then(|answers| go_on(only(answers)?)))
    }

    pub fn calls(
        self,
        calls: Vec<ChannelCall>,
        go_on: impl FnOnce(Vec<Answer<Response>>) -> Result<Reply, ErrorInfo> + 'static,
    ) -> Step {
        Step::Calls(calls, self.then(|answers| go_on(answers).map(Step::Reply)))
    }

    /// Asks an app, and goes on with what it says. Fails as the app does.
    pub fn ask(self, call: AppCall, go_on: impl FnOnce(AppResponse) -> Result<Step, ErrorInfo> + 'static) -> Step {
        Step::Ask(call, self.then(|answer: Answer<AppResponse>| go_on(answer?)))
    }

    /// Does `then`, which is ready, unless the app says that the caller's token was revoked.
    pub fn unless_revoked(self, check: Option<AppCall>, then: Step) -> Step {
        let Some(check) = check else { return then };
        self.ask(check, |response| match response {
            AppResponse::Void(false) => Ok(then),
            AppResponse::Void(true) => Err(Code::TokenRevoked.into()),
            _ => Err(another_answer()),
        })
    }

    pub fn then<A>(self, go_on: impl FnOnce(A) -> Result<Step, ErrorInfo> + 'static) -> Continuation<A> {
        Continuation { form: self, go_on: Box::new(go_on) }
    }
}

/// The answer to a single call.
pub fn only(answers: Vec<Answer<Response>>) -> Answer<Response> {
    answers.into_iter().next().unwrap_or_else(|| Err(unanswered()))
}

pub fn unanswered() -> ErrorInfo {
    Code::InternalChannel.because("the channel did not answer; try again")
}

pub fn another_answer() -> ErrorInfo {
    Code::Internal.because("the answer is not to what was asked")
}
