//! A few objects and their app, joined by calls that arrive at once, unless a test holds them back or loses them.
//! Nothing happens by chance.

mod app_object;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use app_object::AppObject;
use courtside::auth::App;
use courtside::object::{self, CallerId, Question, Reply, Timer};
use courtside::protocol::Encoded;
use courtside::rpc::{ChannelCall, HookOutcome, HookRequest, RelayName, Request};

use super::host::{Body, Host, Input, LinkId, Output};

/// Rounds in one millisecond, and what may follow from one thing: more is something that keeps itself busy, and would
/// take all memory that there is.
const AT_ONCE_MAX: usize = 1_000;
const WORK_MAX: usize = 100_000;

/// What a client hears.
#[derive(Debug)]
pub enum Heard {
    Frame(Rc<Encoded>),
    Closed,
}

/// A call that waits, and who made it: which object, and in which of its memories.
type Waiting = (usize, u64, Question);

/// A timer that runs: when it rings, whose it is, and in which memory.
type Running = (u64, usize, u64, Timer);

pub struct Objects {
    pub now_ms: u64,
    pub hosts: Vec<Host>,
    pub app: AppObject,
    timers: Vec<Running>,
    last_call: u64,
    under_way: BTreeMap<CallerId, Waiting>,
    /// Calls wait here, if the line is held.
    pub held: Option<Vec<Waiting>>,
    /// Answers wait here, but for those to publishes, if they are held.
    pub held_answers: Option<Vec<(usize, u64, object::Input)>>,
    /// Objects that no call reaches, or leaves.
    pub unreachable: Vec<usize>,
    /// Questions to relays get no answer, nor that there is none.
    pub lost_probes: bool,
    /// Calls that were made, by name of the request.
    pub calls: BTreeMap<&'static str, usize>,
    /// What clients heard.
    pub heard: Vec<(LinkId, Heard)>,
    /// What readers of streams were given, and whose response ended with it.
    pub bodies: Vec<(LinkId, String, bool)>,
    /// What the receivers of webhooks answer, and each request with its answer.
    pub receiver: u16,
    pub posts: Vec<(u16, HookRequest)>,
    /// Readers that take nothing any more.
    pub gone: BTreeSet<LinkId>,
    /// What calls from outside were answered.
    pub answers: BTreeMap<CallerId, Reply>,
}

impl Objects {
    pub fn new(app: Rc<App>, hosts: Vec<Host>, now_ms: u64) -> Objects {
        Objects::of(AppObject::new(app, true), hosts, now_ms)
    }

    /// Those of an app that was made at run time.
    pub fn made(app: Rc<App>, mut hosts: Vec<Host>, now_ms: u64) -> Objects {
        for host in &mut hosts {
            host.is_configured = false;
            host.forget();
        }
        Objects::of(AppObject::new(app, false), hosts, now_ms)
    }

    fn of(app: AppObject, hosts: Vec<Host>, now_ms: u64) -> Objects {
        Objects {
            now_ms,
            hosts,
            app,
            timers: Vec::new(),
            // Behind the numbers of clients, who call, too.
            last_call: 1 << 32,
            under_way: BTreeMap::new(),
            held: None,
            held_answers: None,
            unreachable: Vec::new(),
            lost_probes: false,
            calls: BTreeMap::new(),
            heard: Vec::new(),
            bodies: Vec::new(),
            receiver: 200,
            posts: Vec::new(),
            gone: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Time passes, and what is due happens when it is due.
    pub fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        let mut at_once = 0;
        loop {
            let app_ms = self.app.alarm_ms.filter(|at_ms| *at_ms < until_ms);
            let Some((due_ms, host, input)) = self.next_due(app_ms.unwrap_or(until_ms)) else {
                let Some(app_ms) = app_ms else { break };
                self.now_ms = self.now_ms.max(app_ms);
                self.app.ring(self.now_ms);
                self.tell();
                continue;
            };
            at_once = if due_ms <= self.now_ms { at_once + 1 } else { 0 };
            assert!(at_once < AT_ONCE_MAX, "something goes on and on while no time passes");
            self.now_ms = self.now_ms.max(due_ms);
            self.turn(host, Input::Object(input));
        }
        self.now_ms = until_ms;
    }

    /// The clocks are set back, of which timers know nothing.
    pub fn set_back(&mut self, ms: u64) {
        self.now_ms -= ms;
        self.timers.iter_mut().for_each(|(at_ms, ..)| *at_ms -= ms);
    }

    /// The next alarm or timer until then.
    fn next_due(&mut self, until_ms: u64) -> Option<(u64, usize, object::Input)> {
        let hosts = &self.hosts;
        self.timers.retain(|(_, host, life, _)| hosts[*host].life == *life);
        let alarm = |(index, host): (usize, &Host)| host.disk().alarm_ms().map(|alarm_ms| (alarm_ms, index));
        let alarm = self.hosts.iter().enumerate().filter_map(alarm).min().filter(|(at_ms, _)| *at_ms <= until_ms);
        let timer = (0..self.timers.len()).min_by_key(|index| self.timers[*index]);
        let timer = timer.filter(|index| self.timers[*index].0 <= until_ms);
        let is_first =
            |(at_ms, host)| timer.is_none_or(|index| (at_ms, host) <= (self.timers[index].0, self.timers[index].1));
        match (alarm.filter(|alarm| is_first(*alarm)), timer) {
            (Some((at_ms, host)), _) => Some((at_ms, host, object::Input::Alarm)),
            (None, Some(index)) => {
                let (at_ms, host, _, timer) = self.timers.remove(index);
                Some((at_ms, host, object::Input::Rang(timer)))
            }
            (None, None) => None,
        }
    }

    /// One turn of an object, and all that follows from it.
    pub fn turn(&mut self, host: usize, input: Input) {
        let mut inputs = VecDeque::from([(host, input)]);
        for _ in 0..WORK_MAX {
            let Some((host, input)) = inputs.pop_front() else { return };
            let turned = self.hosts[host].turn(input, self.now_ms);
            if turned.wrote {
                self.hosts[host].disk_mut().sync();
                self.hosts[host].synced();
            }
            for (life, output) in self.hosts[host].release() {
                inputs.extend(self.leave(host, life, output).map(|(host, input)| (host, Input::Object(input))));
            }
            inputs.extend(self.tells());
            for (timer, after_ms) in turned.started {
                match after_ms {
                    0 => inputs.push_back((host, Input::Object(object::Input::Rang(timer)))),
                    _ => self.timers.push((self.now_ms + after_ms, host, self.hosts[host].life, timer)),
                }
            }
        }
        panic!("what follows from one thing has no end");
    }

    fn leave(&mut self, host: usize, life: u64, output: Output) -> Option<(usize, object::Input)> {
        match output {
            Output::Frame { link, frame } => self.heard.push((link, Heard::Frame(frame))),
            Output::Close { link } => self.heard.push((link, Heard::Closed)),
            Output::Body(Body { link, response, text, last }) => {
                let went_well = !self.gone.contains(&link);
                if went_well {
                    self.bodies.push((link, text, last));
                }
                return self.to_memory(host, life, object::Input::Written { response, went_well });
            }
            Output::Refuse { .. } => unreachable!("all are sockets and streams"),
            Output::Post(request) => {
                let (hook, attempt, status) = (request.id.clone(), request.attempt, self.receiver);
                self.posts.push((status, request));
                let outcome = HookOutcome::Status { status, retry_after: None };
                return self.to_memory(host, life, object::Input::Posted { hook, attempt, outcome });
            }
            Output::Ask(Question::App { ticket, call }) => {
                return self.ask_app((host, life, ticket, call));
            }
            Output::Ask(question) => match &mut self.held {
                Some(held) => held.push((host, life, question)),
                None => return self.ask((host, life, question)),
            },
            Output::Answer { id, reply } => return self.answered(id, reply),
        }
        None
    }

    fn ask(&mut self, (host, life, question): Waiting) -> Option<(usize, object::Input)> {
        *self.calls.entry(name(&question)).or_default() += 1;
        if self.lost_probes && matches!(question, Question::Probe { .. }) {
            return None;
        }
        let callee = self.callee(&question);
        if self.unreachable.iter().any(|lost| [host, callee].contains(lost)) {
            return self.to_memory(host, life, told(question, None));
        }
        self.last_call += 1;
        let caller = CallerId(self.last_call);
        let input = match question.clone() {
            Question::Call { call, .. } => object::Input::Call { caller, call },
            Question::Follow { follow, .. } => object::Input::Follow { caller, follow },
            Question::Deliver { delivery, .. } => object::Input::Deliver { caller, delivery },
            Question::Probe { probe, .. } => object::Input::Probe { caller, probe },
            Question::App { .. } => unreachable!("the app is asked otherwise"),
        };
        self.under_way.insert(caller, (host, life, question));
        Some((callee, input))
    }

    fn callee(&self, question: &Question) -> usize {
        let relay_at = |relay: &RelayName| self.hosts.iter().position(|host| host.name == *relay);
        let callee = match question {
            Question::Call { call, .. } => self.channel(call),
            Question::Follow { above, .. } => relay_at(above),
            Question::Deliver { relay, .. } | Question::Probe { relay, .. } => relay_at(relay),
            Question::App { .. } => None,
        };
        callee.expect("only objects that there are")
    }

    fn channel(&self, call: &ChannelCall) -> Option<usize> {
        self.hosts.iter().position(|host| host.address.as_ref() == Some(&call.to))
    }

    fn answered(&mut self, id: CallerId, reply: Reply) -> Option<(usize, object::Input)> {
        let Some((host, life, question)) = self.under_way.remove(&id) else {
            if !self.app.told(id, &reply, self.now_ms) {
                self.answers.insert(id, reply);
            }
            return None;
        };
        let is_publish = matches!(&question, Question::Call { call, .. } if call.request.publishes().is_some());
        let is_call = matches!(question, Question::Call { .. });
        let input = told(question, Some(reply));
        match &mut self.held_answers {
            Some(held) if is_call && !is_publish => {
                held.push((host, life, input));
                None
            }
            _ => self.to_memory(host, life, input),
        }
    }

    /// An answer reaches the memory that waits for it, or none.
    fn to_memory(&self, host: usize, life: u64, input: object::Input) -> Option<(usize, object::Input)> {
        (self.hosts[host].life == life).then_some((host, input))
    }

    /// A call to a channel from outside, by whoever is answered in [`Objects::answers`].
    pub fn call(&mut self, call: ChannelCall) -> CallerId {
        self.last_call += 1;
        let (caller, channel) = (CallerId(self.last_call), self.channel(&call).expect("only channels that there are"));
        self.turn(channel, Input::Object(object::Input::Call { caller, call }));
        caller
    }

    /// Calls that were held are made now.
    pub fn free_calls(&mut self) {
        for waiting in self.held.take().unwrap_or_default() {
            if let Some((host, input)) = self.ask(waiting) {
                self.turn(host, Input::Object(input));
            }
        }
    }

    /// Calls that were held never arrive, and whoever called learns that they failed.
    pub fn lose_calls(&mut self) {
        for (host, life, question) in self.held.take().unwrap_or_default() {
            if let Some((host, input)) = self.to_memory(host, life, told(question, None)) {
                self.turn(host, Input::Object(input));
            }
        }
    }

    pub fn free_answers(&mut self) {
        for (host, life, input) in self.held_answers.take().unwrap_or_default() {
            if let Some((host, input)) = self.to_memory(host, life, input) {
                self.turn(host, Input::Object(input));
            }
        }
    }
}

/// What the caller learns.
pub fn told(question: Question, reply: Option<Reply>) -> object::Input {
    match (question, reply) {
        (Question::Call { ticket, .. } | Question::Follow { ticket, .. }, reply) => {
            let answer = match reply {
                Some(Reply::Response(answer)) => Some(answer),
                _ => None,
            };
            object::Input::Answered { ticket, answer }
        }
        (Question::Deliver { relay, attempt, delivery }, reply) => {
            let answer = match reply {
                Some(Reply::Delivered(answer)) => Some(answer),
                _ => None,
            };
            object::Input::Delivered { channel: delivery.channel, relay, attempt, answer }
        }
        (Question::Probe { relay, attempt, .. }, reply) => {
            let answer = match reply {
                Some(Reply::Probed(answer)) => Some(answer),
                _ => None,
            };
            object::Input::Probed { relay, attempt, answer }
        }
        (Question::App { .. }, _) => unreachable!("the app is asked otherwise"),
    }
}

fn name(question: &Question) -> &'static str {
    match question {
        Question::Call { call, .. } => match call.request {
            Request::Publish(_) | Request::PublishBy(..) => "publish",
            Request::Count => "count",
            Request::Report(..) => "report",
            Request::Subscribe(..) => "subscribe",
            Request::Read(_) => "read",
            Request::History(_) => "history",
            Request::Members(_) => "members",
            Request::Next(_) => "next",
            Request::Objects(_) => "objects",
            Request::Tree(_) => "tree",
            Request::Versions(_) => "versions",
            Request::Annotations(_) => "annotations",
            Request::ClientSummary(..) => "client summary",
            Request::Purge(_) => "purge",
        },
        Question::Follow { .. } => "follow",
        Question::Deliver { .. } => "deliver",
        Question::Probe { .. } => "probe",
        Question::App { .. } => "app",
    }
}
