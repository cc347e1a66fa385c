//! Requests of banned clients (protocol.md § 11.8): before any call is made in a client's name, its app is asked; also
//! before a call to the app itself, whatever that is for. Calls that name nobody cost nothing.

use super::Step;
use super::caller::Caller;
use super::step::another_answer;
use crate::auth::{Ban, Capability, Identity, MODERATOR};
use crate::error::{Code, ErrorInfo};
use crate::http::Form;
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Act, AdminCall, AdminResponse, AppCall, AppRequest, AppResponse, ChannelCall, Request, Submission};

/// Whether calls say something that a silence is about, and who says it.
#[derive(Clone, Copy)]
enum Speech {
    None,
    OfClient,
    OfModerator,
}

/// Who asks, and where bans are known.
#[derive(Clone)]
pub struct Guard {
    app: AppId,
    client_id: Identity,
    /// Whether it came by a key, which is the app's own.
    has_key: bool,
    capability: Capability,
    now_ms: u64,
}

impl Guard {
    pub fn of(caller: &Caller, now_ms: u64) -> Guard {
        let grant = caller.grant();
        let (client_id, capability) = (caller.identity().clone(), grant.capability.clone());
        Guard { app: caller.app().id().clone(), client_id, has_key: grant.basic, capability, now_ms }
    }

    /// The same step, unless who asks is banned from the app, or one of those in whose name it makes calls is banned
    /// there. Fails then with 40300.
    pub fn step(self, form: Form, step: Step) -> Step {
        match step {
            // The calls name who asks.
            Step::Reply(_) | Step::Calls(..) => self.of_calls(form, step),
            step => self.clone().admit(form, None, self.of_calls(form, step)),
        }
    }

    fn of_calls(self, form: Form, step: Step) -> Step {
        match step {
            Step::Calls(calls, then) => {
                let subjects = self.subjects(&calls);
                let speech = self.speech(&calls);
                self.unless_barred(form, subjects, speech, Step::Calls(calls, then))
            }
            Step::Ask(call, then) => {
                Step::Ask(call, form.then(move |answer| Ok(self.of_calls(form, then.answered(answer)))))
            }
            Step::Identify(asking, then) => {
                Step::Identify(asking, form.then(move |answer| Ok(self.of_calls(form, then.answered(answer)))))
            }
            step => step,
        }
    }

    /// The same of what makes no call to a channel, and is asked for the app, or for a channel of it.
    pub fn admit(self, form: Form, channel: Option<&ChannelName>, step: Step) -> Step {
        let name = self.client_id.name().map(|name| (name.to_owned(), channel.cloned()));
        self.unless_barred(form, name.into_iter().collect(), Speech::None, step)
    }

    /// Who says or asks it, on which channel, each once.
    fn subjects(&self, calls: &[ChannelCall]) -> Vec<(String, Option<ChannelName>)> {
        let mut subjects = Vec::new();
        for call in calls {
            let mut add = |name: &str| {
                let subject = (name.to_owned(), Some(call.to.channel.clone()));
                if subjects.last() != Some(&subject) {
                    subjects.push(subject);
                }
            };
            let says = matches!(call.request, Request::Publish(_));
            // A silence of everyone is also of who has no name.
            let caller = self.client_id.name().or((says && !self.has_key).then_some(""));
            caller.into_iter().for_each(&mut add);
            if let Request::Publish(publishes) = &call.request {
                publishes.iter().flat_map(|publish| publish.content.clients()).for_each(&mut add);
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    /// What is said, of what a silence is about.
    fn speech(&self, calls: &[ChannelCall]) -> Speech {
        let says = |content: &Submission| content.is_speech();
        let is_any = calls.iter().any(|call| match &call.request {
            Request::Publish(publishes) => publishes.iter().any(|publish| says(&publish.content)),
            _ => false,
        });
        let moderates = |call: &ChannelCall| self.capability.operations(&call.to.channel).contains(MODERATOR);
        match (is_any, self.has_key || calls.iter().all(moderates)) {
            (false, _) => Speech::None,
            (true, true) => Speech::OfModerator,
            (true, false) => Speech::OfClient,
        }
    }

    /// Whether a silence is of what is said so. What a client may say once in a while it says over a connection, where
    /// that is counted.
    fn refusal(&self, ban: &Ban, speech: Speech) -> Option<ErrorInfo> {
        match (ban.interval_ms, speech) {
            (None | Some(0), Speech::OfClient) | (None, _) => Some(ban.refusal(self.now_ms)),
            (Some(0), Speech::OfModerator) if !ban.is_of_everyone() => Some(ban.refusal(self.now_ms)),
            (Some(_), Speech::OfClient) => {
                Some(Code::PublishRateLimited.because(
                    "this channel is in slow mode: a client publishes here over a connection, and not over REST",
                ))
            }
            _ => None,
        }
    }

    fn unless_barred(
        self,
        form: Form,
        subjects: Vec<(String, Option<ChannelName>)>,
        speech: Speech,
        step: Step,
    ) -> Step {
        if subjects.is_empty() {
            return step;
        }
        let act = AdminCall { note: None, act: Act::Bar(subjects) };
        let call = AppCall { app: self.app.clone(), request: AppRequest::Admin(Box::new(act)) };
        form.ask(call, move |response| match response {
            AppResponse::Admin(AdminResponse::Barred(None, _)) => Ok(step),
            AppResponse::Admin(AdminResponse::Barred(Some(ban), _)) => self.refusal(&ban, speech).map_or(Ok(step), Err),
            _ => Err(another_answer()),
        })
    }
}
