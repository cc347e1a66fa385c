//! Requests of banned clients (protocol.md § 11.8): before any call is made in a client's name, its app is asked. Calls
//! that name nobody cost nothing.

use super::Step;
use super::caller::Caller;
use super::step::another_answer;
use crate::auth::Identity;
use crate::http::Form;
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{Act, AdminCall, AdminResponse, AppCall, AppRequest, AppResponse, ChannelCall, Request};

/// Who asks, and where bans are known.
#[derive(Clone)]
pub struct Guard {
    app: AppId,
    client_id: Identity,
    now_ms: u64,
}

impl Guard {
    pub fn of(caller: &Caller, now_ms: u64) -> Guard {
        Guard { app: caller.app().id().clone(), client_id: caller.identity().clone(), now_ms }
    }

    /// The same step, unless one of those in whose name it makes calls is banned. Fails then with 40300.
    pub fn step(self, form: Form, step: Step) -> Step {
        match step {
            Step::Calls(calls, then) => {
                let subjects = self.subjects(&calls);
                self.unless_barred(form, subjects, Step::Calls(calls, then))
            }
            Step::Ask(call, then) => {
                Step::Ask(call, form.then(move |answer| Ok(self.step(form, then.answered(answer)))))
            }
            Step::Identify(asking, then) => {
                Step::Identify(asking, form.then(move |answer| Ok(self.step(form, then.answered(answer)))))
            }
            step => step,
        }
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
            self.client_id.name().into_iter().for_each(&mut add);
            if let Request::Publish(publishes) = &call.request {
                publishes.iter().flat_map(|publish| publish.content.clients()).for_each(&mut add);
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    fn unless_barred(self, form: Form, subjects: Vec<(String, Option<ChannelName>)>, step: Step) -> Step {
        if subjects.is_empty() {
            return step;
        }
        let act = AdminCall { note: None, act: Act::Bar(subjects) };
        let call = AppCall { app: self.app, request: AppRequest::Admin(Box::new(act)) };
        form.ask(call, move |response| match response {
            AppResponse::Admin(AdminResponse::Barred(None, _)) => Ok(step),
            AppResponse::Admin(AdminResponse::Barred(Some(ban), _)) => Err(ban.refusal(self.now_ms)),
            _ => Err(another_answer()),
        })
    }
}
