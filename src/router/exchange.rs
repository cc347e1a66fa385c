//! A REST request: which apps it needs, how much of its body is read, and then what [`rest`] says, step by step. Also
//! what is known by an app's answers, and which calls follow from one.
//!
//! ```text
//! request ──▶ Find ── the apps answer ──▶ found_all ──▶ Read ── its body ──▶ read ──▶ Perform ──▶ go_on ──▶ Answer
//!    └───────── all are known ──────────────────────────▲ │                   ├──▶ Ask ──▶ asked ─▲
//!                                                         └──▶ Refuse         └──────────────────┘
//! ```

use std::rc::Rc;

use serde_json::Value;

use super::directory::Search;
use super::{Moment, Router};
use crate::auth::{App, Apps};
use crate::error::ErrorInfo;
use crate::http::answers::Long;
use crate::http::uploads::Bound;
use crate::http::{self, Reply, Request};
use crate::limits::NEW_CHANNELS_RETRY_S;
use crate::model::name::AppId;
use crate::rest::{self, Admin, Admitted, Context, Continuation, Step};
use crate::rpc::{Answer, AppCall, AppResponse, ChannelCall, Response};
use crate::stats::requests::Answered;

/// A request that is being answered.
pub struct Exchange {
    request: Request,
    admin: Admin,
    random: [u8; 32],
    named: Vec<AppId>,
    apps: Apps,
    is_for_token: bool,
    /// For how many objects there was room when it came.
    objects: usize,
}

/// What is to be done next.
pub enum Next {
    /// Ask these apps, all at once, and go on by [`Router::found_all`].
    Find(Vec<AppCall>, Finding),
    /// Read so much of its body, and go on by [`Router::read`].
    Read(Bound, Reading),
    /// Do this, which neither replies nor asks an app, and go on by [`Router::go_on`].
    Perform(Step, Exchange),
    /// Ask an app, and go on by [`Router::asked`].
    Ask(AppCall, Asking),
    /// Write this into the log, and go on.
    Note(String, Box<Next>),
    /// Answer it. It counts by [`Router::answered`].
    Answer(Reply, Exchange),
    /// The same, and nobody wants its body.
    Refuse(Reply, Exchange),
}

/// A request whose apps are asked for.
pub struct Finding {
    exchange: Exchange,
    route: Result<rest::Route, Reply>,
    found: Vec<Rc<App>>,
    sought: Vec<AppId>,
}

/// A request whose body is read.
pub struct Reading {
    exchange: Exchange,
    admitted: Admitted,
}

impl Reading {
    /// Where it comes from.
    pub fn address(&self) -> &str {
        &self.exchange.request.address
    }
}

/// An app that is asked for a request.
pub struct Asking {
    exchange: Exchange,
    why: Why,
}

enum Why {
    /// The request needs the answer.
    Needed(Continuation<Answer<AppResponse>>),
    /// It was done, and others are told, these too. What they say is no matter: an app that the list lacks works all
    /// the same, and an app's own audit has all that was done to it.
    Told(Vec<AppCall>, Step),
}

impl Exchange {
    fn refused(self, error: &ErrorInfo) -> Next {
        Next::Refuse(http::refuse(&self.request, error), self)
    }
}

impl Router {
    /// Begins to answer. `random` is new for every request.
    pub fn request(&mut self, request: Request, admin: Admin, random: [u8; 32], moment: Moment<'_>) -> Next {
        let route = rest::find(&request);
        let named = rest::apps_named(&request, route.as_ref().ok());
        let is_for_token = matches!(route, Ok(rest::Route::RequestToken(_)));
        let objects = moment.deployment.objects;
        let exchange = Exchange { request, admin, random, named, apps: Apps::default(), is_for_token, objects };
        // Even what names no app: a deployment that is not set up says so to everyone.
        let taken = self.take(&exchange.request.address, moment.now_ms);
        let own = match taken.and_then(|()| moment.deployment.serving()) {
            Ok(own) => own,
            Err(error) => return exchange.refused(&error),
        };
        let is_of_all = route.as_ref().is_ok_and(|route| route.is_of_deployment(&exchange.request.method));
        let found = if is_of_all { own.iter().cloned().collect() } else { Vec::new() };
        let mut finding = Finding { exchange, route, found, sought: Vec::new() };
        match self.seek(&mut finding, moment) {
            Ok(calls) if calls.is_empty() => self.admit(finding, moment.now_ms),
            Ok(calls) => Next::Find(calls, finding),
            Err(error) => finding.exchange.refused(&error),
        }
    }

    /// What the apps are asked that the request names and that are not known. Fails as `Directory::find` does.
    fn seek(&mut self, finding: &mut Finding, moment: Moment<'_>) -> Result<Vec<AppCall>, ErrorInfo> {
        let Finding { exchange, found, sought, .. } = finding;
        let mut calls = Vec::new();
        for id in &exchange.named {
            match self.directory.find(id, &exchange.request.address, moment.deployment, moment.now_ms)? {
                Search::Over(app) => found.extend(app.map(|found| found.app)),
                Search::Ask(call) => {
                    sought.push(id.clone());
                    calls.push(call);
                }
            }
        }
        Ok(calls)
    }

    /// The apps have answered, in the same order.
    pub fn found_all(&mut self, mut finding: Finding, answers: Vec<Answer<AppResponse>>, now_ms: u64) -> Next {
        let mut learned = Ok(());
        for (id, answer) in finding.sought.iter().zip(answers) {
            match self.directory.learn(id, answer, now_ms) {
                Ok(found) => finding.found.extend(found.map(|found| found.app)),
                Err(error) => learned = learned.and(Err(error)),
            }
        }
        match learned {
            Ok(()) => self.admit(finding, now_ms),
            Err(error) => finding.exchange.refused(&error),
        }
    }

    fn admit(&mut self, Finding { mut exchange, route, found, .. }: Finding, now_ms: u64) -> Next {
        exchange.apps = Apps::of(found);
        let mut context = self.context(&exchange, now_ms);
        match route.and_then(|route| rest::admit(&exchange.request, route, &mut context)) {
            Ok((bound, admitted)) => Next::Read(bound, Reading { exchange, admitted }),
            Err(reply) => Next::Refuse(reply, exchange),
        }
    }

    /// The body has come, at least so much of it and one byte more; or why it did not.
    pub fn read(&mut self, reading: Reading, body: Answer<Vec<u8>>, now_ms: u64) -> Next {
        let Reading { mut exchange, admitted } = reading;
        match body {
            Ok(body) => exchange.request.body = body,
            Err(error) => return Next::Answer(http::refuse(&exchange.request, &error), exchange),
        }
        let step = admitted.begin(&exchange.request, self.context(&exchange, now_ms));
        self.go_on(step, exchange, now_ms)
    }

    fn context<'a>(&'a mut self, exchange: &'a Exchange, now_ms: u64) -> Context<'a> {
        let Exchange { apps, admin, random, .. } = exchange;
        Context { apps, attempts: &mut self.attempts, admin, now_ms, random: *random }
    }

    /// Something was done, which came to this step.
    pub fn go_on(&mut self, mut step: Step, exchange: Exchange, now_ms: u64) -> Next {
        loop {
            step = match step {
                Step::Reply(reply) => return Next::Answer(reply, exchange),
                Step::Ask(call, then) => match self.unbanned.answer(&call, now_ms) {
                    Some(answer) => then.answered(Ok(answer)),
                    None => return Next::Ask(call, Asking { exchange, why: Why::Needed(then) }),
                },
                Step::Calls(calls, then) => return self.call(calls, then, exchange, now_ms),
                step => return Next::Perform(step, exchange),
            }
        }
    }

    /// A request counts as many times as it names channels.
    fn call(
        &mut self,
        calls: Vec<ChannelCall>,
        then: Continuation<Vec<Answer<Response>>>,
        exchange: Exchange,
        now_ms: u64,
    ) -> Next {
        let address = &exchange.request.address;
        let by = || (!rest::has_secret(&exchange.request)).then_some(&**address);
        match self.named.take(&calls, by, exchange.objects, now_ms) {
            Ok(()) => {
                self.addresses.add(address, calls.len().saturating_sub(1) as u64, now_ms);
                Next::Perform(Step::Calls(calls, then), exchange)
            }
            Err(error) => Next::Answer(http::refuse(&exchange.request, &error).after(NEW_CHANNELS_RETRY_S), exchange),
        }
    }

    /// An app has answered.
    pub fn asked(&mut self, call: &AppCall, asking: Asking, answer: Answer<AppResponse>, now_ms: u64) -> Next {
        let Asking { exchange, why } = asking;
        let then = match why {
            Why::Needed(then) => then,
            Why::Told(others, step) => return self.tell_others(others, step, exchange, now_ms),
        };
        self.unbanned.learn(call, &answer, now_ms);
        if call.request.changes_app() {
            self.directory.forget(&call.app);
        }
        if answer.is_err() {
            return self.go_on(then.answered(answer), exchange, now_ms);
        }
        let line = call.note().map(|note| note.line(exchange.request.trace()));
        let others = [call.copy(), call.listing()].into_iter().flatten().collect();
        let next = self.tell_others(others, then.answered(answer), exchange, now_ms);
        match line {
            Some(line) => Next::Note(line.to_string(), Box::new(next)),
            None => next,
        }
    }

    /// Has others told, the last of these first.
    fn tell_others(&mut self, mut others: Vec<AppCall>, step: Step, exchange: Exchange, now_ms: u64) -> Next {
        match others.pop() {
            Some(call) => Next::Ask(call, Asking { exchange, why: Why::Told(others, step) }),
            None => self.go_on(step, exchange, now_ms),
        }
    }

    /// What answers a request, and how it is given out if it is long: in that case [`Router::given_out`] says that it
    /// was read, or cut off.
    pub fn give_out(&mut self, exchange: &Exchange, reply: Reply, now_ms: u64) -> (Reply, Option<Long>) {
        let Request { method, address, .. } = &exchange.request;
        if method == "HEAD" {
            return (reply, None);
        }
        match self.answers.begin(reply.body.len(), address, now_ms) {
            Ok(long) => (reply, long),
            Err(error) => (http::refuse(&exchange.request, &error), None),
        }
    }

    pub fn given_out(&mut self, long: &Long) {
        self.answers.end(long);
    }

    /// A request is answered. Gives what the log says of it if this server failed.
    pub fn answered(&mut self, exchange: &Exchange, reply: &Reply, now_ms: u64) -> Option<Value> {
        let app = exchange.named.iter().find(|id| exchange.apps.get(id).is_some());
        let answered = Answered { is_for_token: exchange.is_for_token, status: reply.status, code: reply.code() };
        self.reports.counted.answered(app, answered, now_ms);
        exchange.request.failure(reply)
    }
}
