//! Requests of banned clients (protocol.md § 11.8): before any call is made in a client's name, its app is asked; also
//! before a call to the app itself, whatever that is for. Calls that name nobody cost nothing.

use super::Step;
use super::caller::Caller;
use super::step::another_answer;
use crate::auth::{Ban, Grant};
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::http::Form;
use crate::model::name::{AppId, ChannelName};
use crate::rpc::{
    Act, AdminCall, AdminResponse, AppCall, AppRequest, AppResponse, ChannelCall, Deed, Deeds, Request, Speech,
    Submission,
};

/// Who asks, and where bans are known.
#[derive(Clone)]
pub struct Guard {
    app: AppId,
    grant: Grant,
    now_ms: u64,
}

impl Guard {
    pub fn of(caller: &Caller, now_ms: u64) -> Guard {
        Guard { app: caller.app().id().clone(), grant: caller.grant().clone(), now_ms }
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
                let deeds = self.deeds(&calls);
                self.unless_barred(form, deeds, Step::Calls(calls, then))
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
        let mut names = Names::default();
        let by = self.grant.client_id.name().map(|name| names.place(name));
        let deed = |by| Deed {
            channel: channel.cloned(),
            by: Some(by),
            others: Vec::new(),
            speech: Speech::Nothing,
            moderates: false,
        };
        let deeds = by.into_iter().map(deed).collect();
        self.unless_barred(form, names.deeds(deeds), step)
    }

    /// What these do: in whose names, and what of it is said. Of who has no name only what is said matters, and not
    /// for a key, which is the app's own.
    fn deeds(&self, calls: &[ChannelCall]) -> Deeds {
        let mut names = Names::default();
        let own = self.grant.client_id.name();
        let by = own.map(|name| names.place(name));
        let mut deeds = Vec::new();
        for call in calls {
            let publishes = if let Request::Publish(publishes) = &call.request { &publishes[..] } else { &[] };
            let contents = || publishes.iter().map(|publish| &publish.content);
            let named = contents().flat_map(Submission::clients).filter(|name| Some(*name) != own);
            let mut others: Vec<usize> = named.map(|name| names.place(name)).collect();
            others.sort_unstable();
            others.dedup();
            let speech = contents().map(Submission::speech).max().unwrap_or(Speech::Nothing);
            if by.is_none() && others.is_empty() && (speech == Speech::Nothing || self.grant.basic) {
                continue;
            }
            let moderates = self.grant.moderates(&call.to.channel);
            deeds.push(Deed { channel: Some(call.to.channel.clone()), by, others, speech, moderates });
        }
        names.deeds(deeds)
    }

    fn unless_barred(self, form: Form, deeds: Deeds, step: Step) -> Step {
        if deeds.deeds.is_empty() {
            return step;
        }
        let act = AdminCall { note: None, act: Act::Bar(deeds) };
        let call = AppCall { app: self.app.clone(), request: AppRequest::Admin(Box::new(act)) };
        form.ask(call, move |response| match response {
            AppResponse::Admin(AdminResponse::Barred(None, _)) => Ok(step),
            AppResponse::Admin(AdminResponse::Barred(Some(ban), _)) => Err(refusal(&ban, self.now_ms)),
            _ => Err(another_answer()),
        })
    }
}

/// What a client may say once in a while it says over a connection, where that is counted.
fn refusal(ban: &Ban, now_ms: u64) -> ErrorInfo {
    match ban.interval_ms {
        None | Some(0) => ban.refusal(now_ms),
        Some(_) => Code::PublishRateLimited
            .because("this channel is in slow mode: a client publishes here over a connection, and not over REST"),
    }
}

/// Names of clients, each with its place in a list.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    fn deeds(self, deeds: Vec<Deed>) -> Deeds {
        Deeds { names: self.names, deeds }
    }
}
