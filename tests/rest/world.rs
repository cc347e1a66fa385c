//! A world for REST: apps and channels, each an object with its storage in memory, and a client to ask.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::auth::{App, Apps, Secret};
use courtside::error::Code;
use courtside::http::{Headers, Reply, Request, percent};
use courtside::limits::SHORT_SECRET_MIN_BYTES;
use courtside::model::name::AppId;
use courtside::object::{self, AppHost, CallerId, Question, Reply as Replied, Settings, Timer};
use courtside::relay::Relay;
use courtside::relay::bounds::Bounds;
use courtside::rest::{Admin, Continuation, Step};
use courtside::router::{Deployment, Exchange, Moment, Next, Room, Router};
use courtside::rpc::{Address, Answer, AppCall, AppResponse, ChannelCall, RelayName, Response};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::app_store::{self, AppMemory};
use crate::support::disk::Disk;
use crate::support::host::{Host, Input, Output};
use crate::support::random::Random;

pub const NOW_MS: u64 = 1_800_000_000_000;

/// What may follow from one thing: more is something that keeps itself busy.
const WORK_MAX: usize = 1_000;

/// `full` may do all, `open` all on `open:*`, `publisher` and `reader` what they are called; the tokens of `brief` can
/// be revoked. `kept:*` persists, `named:*` is for clients with a name, `safe:*` for those with TLS.
pub fn apps() -> Apps {
    let key = |name: &str, capability: Value| json!({"name": name, "secret": "local-only", "capability": capability});
    let keys = [
        key("full", json!({"*": ["*"], "[*]*": ["*"]})),
        key("open", json!({"open:*": ["*"]})),
        key("publisher", json!({"*": ["publish"]})),
        key("reader", json!({"*": ["history"]})),
        key("admin", json!({"*": ["admin"]})),
        key("subscriber", json!({"*": ["push-subscribe"]})),
        key("pusher", json!({"push:open:*": ["push-admin"]})),
        json!({"name": "brief", "secret": "local-only", "revocableTokens": true}),
    ];
    let namespaces = json!([
        {"id": "kept", "persisted": true}, {"id": "named", "authenticated": true}, {"id": "safe", "tlsOnly": true},
        {"id": "push", "pushEnabled": true}, {"id": "traced", "traced": true},
        {"id": "short", "maxMessageSize": 20, "mutableMessages": true},
    ]);
    let apps = json!({"apps": [{"id": "demo", "keys": keys, "namespaces": namespaces}]});
    Apps::parse(&apps.to_string(), SHORT_SECRET_MIN_BYTES).unwrap()
}

pub struct World {
    pub now_ms: u64,
    /// Of channels that begin.
    pub life: u64,
    pub admin: Admin,
    /// Channels cannot store anything.
    pub is_broken: bool,
    /// The app can't be reached by channels.
    pub is_app_lost: bool,
    /// For how many objects the deployment has room.
    pub objects: usize,
    pub configured: Rc<Apps>,
    /// An app that does not answer.
    pub silent: Option<AppId>,
    pub router: Router,
    /// What the log says.
    pub log: Vec<String>,
    /// What apps were asked, in order.
    pub app_calls: Vec<AppCall>,
    apps: BTreeMap<AppId, AppHost<AppMemory>>,
    channels: BTreeMap<Address, Host>,
    requests: u8,
    /// Where clients of the app are connected.
    pub relay: Relay,
    /// Those that were asked last whose key it is.
    pub asked: Vec<String>,
    last_call: u64,
    /// What calls to channels were answered.
    answers: BTreeMap<CallerId, Answer<Response>>,
}

/// A reader that waits.
pub struct Waiting {
    caller: CallerId,
    then: Option<(Continuation<Vec<Answer<Response>>>, Exchange)>,
}

impl World {
    pub fn new() -> World {
        let apps = Rc::new(apps());
        let demo = apps.get(&AppId::parse("demo").unwrap()).unwrap().clone();
        World {
            now_ms: NOW_MS,
            life: 0,
            admin: Admin::Closed,
            is_broken: false,
            is_app_lost: false,
            objects: usize::MAX,
            configured: apps,
            silent: None,
            router: Router::new("router".to_owned()),
            log: Vec::new(),
            app_calls: Vec::new(),
            apps: BTreeMap::new(),
            channels: BTreeMap::new(),
            requests: 0,
            relay: Relay::new(RelayName::shard(demo.id(), 0), 0, demo, b"secret".to_vec()),
            asked: Vec::new(),
            last_call: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Goes on until something is to be done for it.
    pub fn begin(&mut self, request: &Request) -> Next {
        match self.seek(request) {
            Next::Read(bound, reading) => {
                let body = request.body.iter().copied().take(bound.max_bytes + 1).collect();
                self.router.read(reading, Ok(body), self.now_ms)
            }
            next => next,
        }
    }

    fn seek(&mut self, request: &Request) -> Next {
        let random = [self.requests; 32];
        self.requests = self.requests.wrapping_add(1);
        let head = Request { body: Vec::new(), ..request.clone() };
        let makes_apps = !self.admin.is_closed();
        let apps = Ok(self.configured.clone());
        let deployment = Deployment { apps, makes_apps, is_stopping: false, room: Room::ForAll, objects: self.objects };
        let moment = Moment { deployment: &deployment, now_ms: self.now_ms };
        match self.router.request(head, self.admin.clone(), random, moment) {
            Next::Find(calls, finding) => {
                let answers = calls.into_iter().map(|call| self.ask(call)).collect();
                self.router.found_all(finding, answers, self.now_ms)
            }
            next => next,
        }
    }

    /// How much of its body is read, or why none of it is.
    pub fn reads(&mut self, asked: &Asked) -> Result<usize, u32> {
        match self.seek(&asked.request) {
            Next::Read(bound, _) => Ok(bound.max_bytes),
            Next::Refuse(reply, _) => Err(reply.code().unwrap()),
            _ => unreachable!("nothing else comes before"),
        }
    }

    /// From now on apps can be made by who presents this.
    pub fn with_admin_token(mut self, token: &str) -> World {
        self.admin = Admin::Token(Secret::parse(token, SHORT_SECRET_MIN_BYTES).unwrap());
        self
    }

    pub fn send(&mut self, asked: Asked) -> Exchanged {
        Exchanged::of(self.exchange(&asked.request))
    }

    pub fn exchange(&mut self, request: &Request) -> Reply {
        let next = self.begin(request);
        self.finish(next)
    }

    pub fn finish(&mut self, mut next: Next) -> Reply {
        loop {
            next = match next {
                Next::Answer(reply, exchange) | Next::Refuse(reply, exchange) => {
                    let failure = self.router.answered(&exchange, &reply, self.now_ms);
                    self.log.extend(failure.map(|line| line.to_string()));
                    return reply;
                }
                other => self.step(other),
            }
        }
    }

    /// Does what is to be done next, which is not to answer.
    pub fn step(&mut self, next: Next) -> Next {
        match next {
            Next::Ask(call, asking) => {
                let answer = self.ask(call.clone());
                self.router.asked(&call, asking, answer, self.now_ms)
            }
            Next::Note(line, next) => {
                self.log.push(line);
                *next
            }
            Next::Perform(step, exchange) => {
                let step = self.perform(step);
                self.router.go_on(step, exchange, self.now_ms)
            }
            other => other,
        }
    }

    fn perform(&mut self, step: Step) -> Step {
        match step {
            Step::Reply(_) | Step::Ask(..) => step,
            Step::Calls(calls, then) => then.answered(calls.into_iter().map(|call| self.call(call)).collect()),
            Step::Identify(asking, then) => {
                self.asked = asking.relays.iter().map(RelayName::to_string).collect();
                then.answered(self.relay.identify(&asking.key))
            }
            Step::Inspect(questions, then) => {
                let answer = |(_, question)| Some(self.relay.inspect(question, self.now_ms).0);
                then.answered(questions.into_iter().map(answer).collect())
            }
            Step::Survey(calls, then) => then.answered(calls.into_iter().map(|call| self.ask(call)).collect()),
        }
    }

    pub fn ask(&mut self, call: AppCall) -> Answer<AppResponse> {
        self.app_calls.push(call.clone());
        if self.silent.as_ref() == Some(&call.app) {
            return Err(Code::Internal.into());
        }
        let settings = Settings { apps: Ok(self.configured.clone()), bounds: Bounds::default() };
        let new = || AppHost::new(settings, AppMemory::default());
        let app = self.apps.entry(call.app.clone()).or_insert_with(new);
        app_store::ask(app, call, self.now_ms)
    }

    /// A reader that finds nothing, and waits.
    pub fn wait(&mut self, asked: Asked) -> Waiting {
        let mut next = self.begin(&asked.request);
        while let Next::Ask(..) = next {
            next = self.step(next);
        }
        let Next::Perform(Step::Calls(mut calls, then), exchange) = next else { panic!("refused") };
        let caller = self.make(calls.pop().expect("a call"));
        assert_eq!(self.answers.get(&caller), None);
        Waiting { caller, then: Some((then, exchange)) }
    }

    /// What a reader was given, if it waits no more.
    pub fn given(&mut self, waiting: &mut Waiting) -> Option<Exchanged> {
        let page = self.answers.remove(&waiting.caller)?;
        let (then, exchange) = waiting.then.take().expect("a reader is answered once");
        let next = self.router.go_on(then.answered(vec![page]), exchange, self.now_ms);
        Some(Exchanged::of(self.finish(next)))
    }

    /// Alarms ring that are due.
    pub fn tick(&mut self) {
        let is_due = |(_, host): &(&Address, &Host)| host.disk().alarm_ms().is_some_and(|at_ms| at_ms <= self.now_ms);
        let due: Vec<Address> = self.channels.iter().filter(is_due).map(|(address, _)| address.clone()).collect();
        due.iter().for_each(|address| self.turn(address, object::Input::Alarm));
    }

    /// When the first alarm rings.
    pub fn deadline(&self) -> Option<u64> {
        self.channels.values().filter_map(|host| host.disk().alarm_ms()).min()
    }

    pub fn call(&mut self, call: ChannelCall) -> Answer<Response> {
        let caller = self.make(call);
        self.answers.remove(&caller).expect("nobody waits in vain here")
    }

    fn make(&mut self, call: ChannelCall) -> CallerId {
        self.last_call += 1;
        let (caller, to, life) = (CallerId(self.last_call), call.to.clone(), self.life);
        let app = self.configured.iter().next().expect("an app").clone();
        let host = self.channels.entry(to.clone()).or_insert_with(|| channel(app, to.clone(), life));
        host.disk_mut().failures = if self.is_broken { 1_000 } else { 0 };
        self.turn(&to, object::Input::Call { caller, call });
        caller
    }

    /// One turn of a channel's object, and all that follows from it.
    fn turn(&mut self, address: &Address, input: object::Input) {
        let mut inputs = VecDeque::from([input]);
        for _ in 0..WORK_MAX {
            let Some(input) = inputs.pop_front() else { return };
            let host = self.channels.get_mut(address).expect("the channel is there");
            let turned = host.turn(Input::Object(input), self.now_ms);
            if turned.wrote {
                host.disk_mut().sync();
                host.synced();
            }
            // Time stands still meanwhile, so nothing is due to be reported.
            let due = turned.started.into_iter().filter(|(timer, _)| *timer != Timer::Report);
            inputs.extend(due.map(|(timer, _)| object::Input::Rang(timer)));
            for (_, output) in host.release() {
                match output {
                    Output::Answer { id, reply: Replied::Response(answer) } => drop(self.answers.insert(id, answer)),
                    Output::Ask(Question::App { ticket, call }) => {
                        let lost = self.is_app_lost.then(|| Err(Code::TimedOut.into()));
                        let answer = lost.unwrap_or_else(|| self.ask(call));
                        inputs.push_back(object::Input::AppAnswered { ticket, answer });
                    }
                    other => panic!("nobody is fed: {other:?}"),
                }
            }
        }
        panic!("what follows from one thing has no end");
    }

    /// Pushes that the app has accepted and not delivered, as their keys.
    pub fn pushes(&self) -> Vec<String> {
        self.apps.values().flat_map(|app| app.store().push.pushes.keys().cloned()).collect()
    }

    /// Pushes that channels have not handed to the app.
    pub fn channel_pushes(&self) -> usize {
        self.channels.values().map(|host| host.disk().stored().pushes.len()).sum()
    }

    /// Members of all channels of an app.
    pub fn members_of(&self, app: &str) -> usize {
        let mine = self.channels.iter().filter(|(address, _)| address.app.as_str() == app);
        mine.map(|(_, host)| host.disk().stored().members.len()).sum()
    }

    /// Rows that were read of all channels so far.
    pub fn rows_read(&self) -> usize {
        self.channels.values().map(|host| host.disk().stored().rows_read).sum()
    }

    /// Publishes messages of these names together; gives the last one's serial.
    pub fn publish(&mut self, channel: &str, names: &[&str]) -> String {
        let messages: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let reply = self.send(post(&format!("/channels/{channel}/messages"), &json!(messages).to_string()));
        reply.json["serials"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
    }

    /// Follows the links to the end.
    pub fn walk(&mut self, asked: Asked, mut visit: impl FnMut(&Exchanged)) {
        let first = asked.request.clone();
        let mut page = self.send(asked);
        visit(&page);
        while let Some(next) = page.next() {
            let mut again = get(&first.path).with(&next);
            again.request.headers.authorization = first.headers.authorization.clone();
            page = self.send(again);
            visit(&page);
        }
    }
}

fn channel(app: Rc<App>, address: Address, life: u64) -> Host {
    let mut host = Host::new(RelayName::of_channel(&address), app, Some(address), Disk::new(Random::new(0)));
    host.life = life;
    host
}

/// A request as tests write it.
#[derive(Clone)]
pub struct Asked {
    pub request: Request,
}

pub fn get(path: &str) -> Asked {
    let headers = Headers { authorization: Some(basic("demo.full:local-only")), ..Headers::default() };
    Asked { request: Request { method: "GET".into(), path: path.into(), headers, ..Request::default() } }
}

pub fn delete(path: &str) -> Asked {
    let mut asked = get(path);
    asked.request.method = "DELETE".into();
    asked
}

pub fn post(path: &str, body: &str) -> Asked {
    let mut asked = get(path).content_type("application/json");
    asked.request.method = "POST".into();
    asked.body(body.as_bytes().to_vec())
}

impl Asked {
    pub fn anonymous(mut self) -> Asked {
        self.request.headers.authorization = None;
        self
    }

    pub fn key(mut self, key: &str) -> Asked {
        self.request.headers.authorization = Some(basic(key));
        self
    }

    /// With this token and nothing else.
    pub fn bearer(mut self, token: &str) -> Asked {
        self.request.headers.authorization = Some(format!("Bearer {token}"));
        self
    }

    pub fn accept(mut self, media_type: &str) -> Asked {
        self.request.headers.accept = Some(media_type.to_owned());
        self
    }

    pub fn content_type(mut self, media_type: &str) -> Asked {
        self.request.headers.content_type = Some(media_type.to_owned());
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Asked {
        self.request.body = body;
        self
    }

    pub fn query(mut self, name: &str, value: &str) -> Asked {
        self.request.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the query of a link, and no other.
    pub fn with(mut self, link: &[(String, String)]) -> Asked {
        self.request.query = link.to_vec();
        self
    }
}

pub fn basic(key: &str) -> String {
    format!("Basic {}", BASE64.encode(key))
}

/// A reply as clients read it.
pub struct Exchanged {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Null when the body is not JSON.
    pub json: Value,
}

impl Exchanged {
    pub fn of(reply: Reply) -> Exchanged {
        let json = serde_json::from_slice(&reply.body).unwrap_or_default();
        Exchanged { status: reply.status, headers: reply.headers, body: reply.body, json }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The names of the messages of a page.
    pub fn names(&self) -> Vec<&str> {
        self.json.as_array().unwrap().iter().map(|message| message["name"].as_str().unwrap()).collect()
    }

    pub fn code(&self) -> u32 {
        self.json["error"]["code"].as_u64().unwrap_or_default() as u32
    }

    pub fn next(&self) -> Option<Vec<(String, String)>> {
        self.link("next")
    }

    /// The query of a link, read as narrowly as SDKs do.
    pub fn link(&self, rel: &str) -> Option<Vec<(String, String)>> {
        let end = format!(">; rel=\"{rel}\"");
        let link = self.header("Link")?.split(',').find_map(|link| link.trim_start().strip_suffix(end.as_str()))?;
        let (_, query) = link.strip_prefix("<./").and_then(|link| link.split_once('?')).expect("links are relative");
        percent::decode_pairs(query)
    }
}

/// A token request as an application server signs it.
pub fn signed_token_request(key_name: &str, secret: &str) -> BTreeMap<String, String> {
    signed_token_request_of(key_name, secret, "", NOW_MS)
}

pub fn signed_token_request_of(key: &str, secret: &str, client_id: &str, at_ms: u64) -> BTreeMap<String, String> {
    let (timestamp, nonce) = (at_ms.to_string(), "0123456789abcdef");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{key}\n\n\n{client_id}\n{timestamp}\n{nonce}\n").as_bytes());
    let mac = BASE64.encode(mac.finalize().into_bytes());
    let fields =
        [("keyName", key), ("clientId", client_id), ("timestamp", &timestamp), ("nonce", nonce), ("mac", &mac)];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
