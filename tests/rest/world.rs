//! A world for REST: an app, its channels in memory, a memory for nonces, and a client to ask.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::auth::{Apps, Attempts, Revocations, Secret};
use courtside::call::{
    Address, Answer, AppCall, AppRequest, AppResponse, ChannelCall, HistoryPage, RelayName, Request as Call, Response,
};
use courtside::channel::{Channel, Effect, Ticket};
use courtside::error::Code;
use courtside::limits::SHORT_SECRET_MIN_BYTES;
use courtside::name::AppId;
use courtside::relay::Relay;
use courtside::rest::{Admin, Context, Exchange, Headers, Reply, Request, Step, begin, body_bound, percent};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::memory_store::MemoryStore;

pub const NOW_MS: u64 = 1_800_000_000_000;

/// `full` may do all, `open` all on `open:*`, `publisher` and `reader` what they are called; the tokens of `brief` can be
/// revoked. `kept:*` persists, `named:*` is for clients with a name, `safe:*` for those with TLS.
pub fn apps() -> Apps {
    let key = |name: &str, capability: Value| json!({"name": name, "secret": "local-only", "capability": capability});
    let keys = [
        key("full", json!({"*": ["*"], "[*]*": ["*"]})),
        key("open", json!({"open:*": ["*"]})),
        key("publisher", json!({"*": ["publish"]})),
        key("reader", json!({"*": ["history"]})),
        json!({"name": "brief", "secret": "local-only", "revocableTokens": true}),
    ];
    let namespaces = json!([
        {"id": "kept", "persisted": true}, {"id": "named", "authenticated": true}, {"id": "safe", "tlsOnly": true},
    ]);
    Apps::parse(
        &json!({"apps": [{"id": "demo", "keys": keys, "namespaces": namespaces}]}).to_string(),
        SHORT_SECRET_MIN_BYTES,
    )
    .unwrap()
}

pub struct World {
    pub now_ms: u64,
    /// What channels call their life.
    pub series: &'static str,
    pub admin: Admin,
    /// Channels cannot write.
    pub fail_appends: bool,
    apps: Apps,
    attempts: Attempts,
    revocations: Revocations,
    /// Made by requests.
    made: BTreeMap<AppId, (String, String)>,
    channels: BTreeMap<Address, (MemoryStore, Channel)>,
    nonces: BTreeSet<String>,
    /// The channels that the app lists.
    pub listed: BTreeSet<String>,
    requests: u8,
    /// Where clients of the app are connected.
    pub relay: Relay,
    /// Those that were asked last whose key it is.
    pub asked: Vec<String>,
    /// Given to readers that waited.
    pages: BTreeMap<Ticket, Answer<HistoryPage>>,
    last_ticket: u64,
}

/// A reader that waits.
pub struct Waiting {
    ticket: Ticket,
    exchange: Option<Exchange>,
}

impl World {
    pub fn new() -> World {
        let demo = AppId::parse("demo").unwrap();
        World {
            now_ms: NOW_MS,
            series: "series",
            admin: Admin::Closed,
            fail_appends: false,
            apps: apps(),
            attempts: Attempts::default(),
            revocations: Revocations::default(),
            made: BTreeMap::new(),
            channels: BTreeMap::new(),
            nonces: BTreeSet::new(),
            listed: BTreeSet::new(),
            requests: 0,
            relay: Relay::new(RelayName::shard(&demo, 0), 0, apps().get(&demo).unwrap().clone(), b"secret".to_vec()),
            asked: Vec::new(),
            pages: BTreeMap::new(),
            last_ticket: 0,
        }
    }

    pub fn begin(&mut self, request: &Request) -> Step {
        let random = [self.requests; 32];
        self.requests = self.requests.wrapping_add(1);
        let made = |(config, _): &(String, _)| Rc::new(serde_json::from_str(config).unwrap());
        let apps = Apps::of(self.apps.iter().cloned().chain(self.made.values().map(made)));
        let (attempts, admin, now_ms) = (&mut self.attempts, &self.admin, self.now_ms);
        let mut read = Request { body: Vec::new(), ..request.clone() };
        let bound = body_bound(&read, &mut Context { apps: &apps, attempts: &mut *attempts, admin, now_ms, random });
        match bound {
            Ok(max_bytes) => read.body = request.body.iter().copied().take(max_bytes + 1).collect(),
            Err(reply) => return Step::Reply(reply),
        }
        begin(&read, Context { apps: &apps, attempts, admin, now_ms, random })
    }

    /// How much of its body is read, or why none of it is.
    pub fn reads(&mut self, asked: &Asked) -> Result<usize, u32> {
        let apps = Apps::of(self.apps.iter().cloned());
        let (attempts, admin, now_ms) = (&mut self.attempts, &self.admin, self.now_ms);
        let mut context = Context { apps: &apps, attempts, admin, now_ms, random: [0; 32] };
        let code = |reply: Reply| reply.headers.iter().find(|(name, _)| *name == "X-Ably-ErrorCode").unwrap().1.parse();
        body_bound(&asked.request, &mut context).map_err(|reply| code(reply).unwrap())
    }

    /// From now on apps can be made by who presents this.
    pub fn with_admin_token(mut self, token: &str) -> World {
        self.admin = Admin::Token(Secret::parse(token, SHORT_SECRET_MIN_BYTES).unwrap());
        self
    }

    pub fn send(&mut self, asked: Asked) -> Exchanged {
        Exchanged::of(self.exchange(&asked.request))
    }

    /// What the shell does.
    pub fn exchange(&mut self, request: &Request) -> Reply {
        let step = self.begin(request);
        self.finish(step)
    }

    fn finish(&mut self, mut step: Step) -> Reply {
        loop {
            step = match step {
                Step::Reply(reply) => return reply,
                Step::Calls(calls, exchange) => {
                    exchange.answered(calls.into_iter().map(|call| self.call(call)).collect())
                }
                Step::Identify(asking, inquiry) => {
                    self.asked = asking.relays.iter().map(RelayName::to_string).collect();
                    inquiry.identified(self.relay.identify(&asking.key))
                }
                Step::Ask(call, inquiry) => inquiry.answered(self.ask(call)),
            }
        }
    }

    fn ask(&mut self, call: AppCall) -> Answer<AppResponse> {
        match call.request {
            AppRequest::Nonce { key, .. } => Ok(AppResponse::Fresh(self.nonces.insert(key))),
            AppRequest::Check(grant) => Ok(AppResponse::Void(self.revocations.revokes(&grant, self.now_ms))),
            AppRequest::Revoke(revocations) => {
                let outcome = |revocation| self.revocations.insert(revocation).map(drop);
                Ok(AppResponse::Revoked(revocations.into_iter().map(outcome).collect()))
            }
            AppRequest::Create { config, channels } => {
                self.made.insert(call.app, (config, channels));
                Ok(AppResponse::Done)
            }
            AppRequest::Delete => {
                let made = self.made.remove(&call.app).ok_or(Code::NotFound)?;
                Ok(AppResponse::Channels(made.1))
            }
            AppRequest::Channels { prefix, after, limit } => {
                let names = self.listed.iter().filter(|name| name.starts_with(&prefix) && **name > after);
                Ok(AppResponse::Channels(names.take(limit).cloned().collect::<Vec<_>>().join("\n")))
            }
            other => panic!("REST does not ask this: {other:?}"),
        }
    }

    /// A reader that finds nothing, and waits.
    pub fn wait(&mut self, asked: Asked) -> Waiting {
        let mut step = self.begin(&asked.request);
        if let Step::Ask(call, inquiry) = step {
            step = inquiry.answered(self.ask(call));
        }
        let Step::Calls(calls, exchange) = step else { panic!("refused") };
        let [ChannelCall { to, request: Call::History(query), .. }] = &calls[..] else { panic!("{calls:?}") };
        self.last_ticket += 1;
        let (ticket, now_ms) = (Ticket(self.last_ticket), self.now_ms);
        let (store, channel) = self.channels.get_mut(to).expect("the channel is there");
        let answer = channel.await_history(store, ticket, query.clone(), now_ms);
        assert_eq!(answer, None);
        Waiting { ticket, exchange: Some(exchange) }
    }

    /// What a reader was given, if it waits no more.
    pub fn given(&mut self, waiting: &mut Waiting) -> Option<Exchanged> {
        let page = self.pages.remove(&waiting.ticket)?;
        let exchange = waiting.exchange.take().expect("a reader is answered once");
        let step = exchange.answered(vec![page.map(Response::History)]);
        Some(Exchanged::of(self.finish(step)))
    }

    /// What is due.
    pub fn tick(&mut self) {
        for (store, channel) in self.channels.values_mut() {
            let effects = channel.tick(store, self.now_ms);
            self.pages.extend(effects.into_iter().map(page));
        }
    }

    /// When the first of the readers' times is over.
    pub fn deadline(&self) -> Option<u64> {
        self.channels.values().filter_map(|(_, channel)| channel.deadline()).min()
    }

    pub fn call(&mut self, call: ChannelCall) -> Answer<Response> {
        let (now_ms, series) = (self.now_ms, self.series);
        let (store, channel) = self.channels.entry(call.to.clone()).or_insert_with(|| {
            let mut store = MemoryStore::default();
            let channel = Channel::wake(&mut store, Some((&call.to, &call.rules)), series, now_ms).unwrap().unwrap();
            (store, channel)
        });
        channel.set_rules(store, &call.rules).unwrap();
        match call.request {
            Call::Publish(publishes) => {
                store.fail_append = self.fail_appends;
                channel.publish(Ticket(0), publishes)?;
                let mut effects = channel.commit(store, now_ms).into_iter();
                let Some(Effect::Reply(_, answer)) = effects.next() else { panic!("no answer to a publish") };
                self.pages.extend(effects.map(page));
                answer
            }
            Call::Count => {
                channel.count(Ticket(0))?;
                match channel.follow_up(store, now_ms).into_iter().next() {
                    Some(Effect::Reply(_, answer)) => answer,
                    other => panic!("not an answer to a count: {other:?}"),
                }
            }
            Call::Members(query) => channel.members(store, &query).map(Response::Members),
            Call::History(query) => {
                let answer = channel.await_history(store, Ticket(0), query, now_ms);
                answer.expect("nobody waits in vain here").map(Response::History)
            }
            other => panic!("REST does not ask this: {other:?}"),
        }
    }

    /// Members of all channels of an app.
    pub fn members_of(&self, app: &str) -> usize {
        let mine = self.channels.iter().filter(|(address, _)| address.app.as_str() == app);
        mine.map(|(_, (store, _))| store.members.len()).sum()
    }

    /// Rows that were read of all channels so far.
    pub fn rows_read(&self) -> usize {
        self.channels.values().map(|(store, _)| store.rows_read).sum()
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

fn page(effect: Effect) -> (Ticket, Answer<HistoryPage>) {
    match effect {
        Effect::Page(ticket, page) => (ticket, page),
        other => panic!("nobody is fed: {other:?}"),
    }
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
    let (timestamp, nonce) = (NOW_MS.to_string(), "0123456789abcdef");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{key_name}\n\n\n\n{timestamp}\n{nonce}\n").as_bytes());
    let mac = BASE64.encode(mac.finalize().into_bytes());
    let fields = [("keyName", key_name), ("timestamp", &timestamp), ("nonce", nonce), ("mac", &mac)];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
