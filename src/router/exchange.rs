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
use crate::http::uploads::Bound;
use crate::http::{self, Reply, Request};
use crate::model::name::AppId;
use crate::rest::{self, Admin, Context, Continuation, Step};
use crate::rpc::{Answer, AppCall, AppResponse};
use crate::stats::requests::Answered;

/// A request that is being answered.
pub struct Exchange {
    request: Request,
    admin: Admin,
    random: [u8; 32],
    named: Vec<AppId>,
    /// Those of them that are asked for.
    sought: Vec<AppId>,
    found: Vec<Rc<App>>,
    apps: Apps,
    is_for_token: bool,
}

/// What is to be done next.
pub enum Next {
    /// Ask these apps, all at once, and go on by [`Router::found_all`].
    Find(Vec<AppCall>, Exchange),
    /// Read so much of its body, and go on by [`Router::read`].
    Read(Bound, Exchange),
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
    /// `random` is new for every request.
    pub fn new(request: Request, admin: Admin, random: [u8; 32]) -> Exchange {
        let (named, is_for_token) = (rest::apps_named(&request), rest::is_for_token(&request));
        Exchange {
            request,
            admin,
            random,
            named,
            sought: Vec::new(),
            found: Vec::new(),
            apps: Apps::default(),
            is_for_token,
        }
    }

    /// Where it came from.
    pub fn address(&self) -> &str {
        &self.request.address
    }

    fn refused(self, error: &ErrorInfo) -> Next {
        Next::Refuse(http::refuse(&self.request, error), self)
    }
}

impl Router {
    pub fn request(&mut self, mut exchange: Exchange, moment: Moment<'_>) -> Next {
        match self.seek(&mut exchange, moment) {
            Ok(calls) if calls.is_empty() => self.bound(exchange, moment.now_ms),
            Ok(calls) => Next::Find(calls, exchange),
            Err(error) => exchange.refused(&error),
        }
    }

    /// The apps have answered, in the same order.
    pub fn found_all(&mut self, mut exchange: Exchange, answers: Vec<Answer<AppResponse>>, now_ms: u64) -> Next {
        let mut learned = Ok(());
        for (id, answer) in std::mem::take(&mut exchange.sought).iter().zip(answers) {
            match self.directory.learn(id, answer, now_ms) {
                Ok(found) => exchange.found.extend(found.map(|found| found.app)),
                Err(error) => learned = learned.and(Err(error)),
            }
        }
        match learned {
            Ok(()) => self.bound(exchange, now_ms),
            Err(error) => exchange.refused(&error),
        }
    }

    /// What the apps are asked that the request names and that are not known. Fails as [`Router::take`] does, and as
    /// `Directory::find`.
    fn seek(&mut self, exchange: &mut Exchange, moment: Moment<'_>) -> Result<Vec<AppCall>, ErrorInfo> {
        let Moment { deployment, now_ms } = moment;
        let Exchange { request, named, sought, found, .. } = exchange;
        self.take(&request.address, now_ms)?;
        // Even for a request that names no app: a deployment that is not set up says so to everyone.
        let own = deployment.serving()?;
        if rest::is_of_deployment(request) {
            found.extend(own.iter().cloned());
        }
        let mut calls = Vec::new();
        for id in named.iter() {
            match self.directory.find(id, &request.address, deployment, now_ms)? {
                Search::Over(app) => found.extend(app.map(|found| found.app)),
                Search::Ask(call) => {
                    sought.push(id.clone());
                    calls.push(call);
                }
            }
        }
        Ok(calls)
    }

    fn bound(&mut self, mut exchange: Exchange, now_ms: u64) -> Next {
        exchange.apps = Apps::of(std::mem::take(&mut exchange.found));
        match rest::body_bound(&exchange.request, &mut self.context(&exchange, now_ms)) {
            Ok(bound) => Next::Read(bound, exchange),
            Err(reply) => Next::Refuse(reply, exchange),
        }
    }

    /// The body has come, at least so much of it and one byte more; or why it did not.
    pub fn read(&mut self, mut exchange: Exchange, body: Answer<Vec<u8>>, now_ms: u64) -> Next {
        match body {
            Ok(body) => exchange.request.body = body,
            Err(error) => return Next::Answer(http::refuse(&exchange.request, &error), exchange),
        }
        let step = rest::begin(&exchange.request, self.context(&exchange, now_ms));
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
                step => return Next::Perform(step, exchange),
            }
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

    /// A request is answered. Gives what the log says of it if this server failed.
    pub fn answered(&mut self, exchange: &Exchange, reply: &Reply, now_ms: u64) -> Option<Value> {
        let app = exchange.named.iter().find(|id| exchange.apps.get(id).is_some());
        let answered = Answered { is_for_token: exchange.is_for_token, status: reply.status, code: reply.code() };
        self.reports.counted.answered(app, answered, now_ms);
        exchange.request.failure(reply)
    }
}
