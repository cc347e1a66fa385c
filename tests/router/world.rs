//! A router, the deployment that it serves, and objects that take connections in or do not.

use std::rc::Rc;

use courtside::auth::{ApprovedToken, Apps, Identity, KeyName, Operators, Secret};
use courtside::http::{Reply, Request};
use courtside::limits::{SHORT_SECRET_MIN_BYTES, STATS_QUIET_MS};
use courtside::model::name::AppId;
use courtside::protocol::Encoded;
use courtside::protocol::mqtt::gate::{Gate, Step as Passed};
use courtside::router::{Client, Deployment, Handover, Moment, Refusal, Room, Route, Router, Step, Way, read_header};
use courtside::rpc::{self, Answer, AppCall, AppResponse, RelayName};
use courtside::transport::comet::Claim;
use serde_json::{Value, json};

pub const NOW_MS: u64 = 1_800_000_000_000;
pub const KEY: &str = "demo.full:local-only";
pub const ADDRESS: &str = "192.0.2.1";

/// What an object says to something.
type Says<Asked, Answer> = Box<dyn Fn(&Asked) -> Answer>;

pub struct World {
    pub router: Router,
    pub deployment: Deployment,
    pub now_ms: u64,
    /// What an app's object says when it is asked what it was made with.
    pub made: Says<AppCall, Answer<AppResponse>>,
    /// What objects say to connections: `None` takes them in.
    pub refuses: Says<RelayName, Option<rpc::Refusal>>,
    pub apps_asked: usize,
    /// Objects that connections were brought to, in order.
    pub asked: Vec<String>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    Held(Box<Handover>),
    PassedOn { relay: RelayName, claim: Claim },
    Refused(Refusal),
}

pub fn operators() -> Operators {
    Operators::of(&Secret::presented("the admin token of this test"))
}

pub fn apps() -> Apps {
    let key = |name: &str, more: Value| {
        let mut key = json!({"name": name, "secret": "local-only"});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let keys = [key("full", json!({"pusher": true})), key("brief", json!({"revocableTokens": true}))];
    let apps = json!({"apps": [{"id": "demo", "keys": keys}]});
    Apps::parse(&apps.to_string(), SHORT_SECRET_MIN_BYTES).unwrap().operated_by(operators())
}

impl World {
    pub fn new() -> World {
        let apps = Ok(Rc::new(apps()));
        World {
            router: Router::new("life".to_owned()),
            deployment: Deployment {
                apps,
                makes_apps: true,
                is_stopping: false,
                room: Room::ForAll,
                objects: usize::MAX,
            },
            now_ms: NOW_MS,
            made: Box::new(|_| Ok(AppResponse::Config(None))),
            refuses: Box::new(|_| None),
            apps_asked: 0,
            asked: Vec::new(),
        }
    }

    /// A request that begins a connection, or is one of it, as the shell performs it.
    pub fn come(&mut self, head: &Request) -> Outcome {
        match Route::of(head) {
            Route::Connect(way) => self.come_by(head, &way),
            other => panic!("{other:?}"),
        }
    }

    pub fn come_by(&mut self, head: &Request, way: &Way) -> Outcome {
        let World { router, deployment, .. } = self;
        let moment = Moment { deployment, now_ms: self.now_ms };
        let mut step = router.knock(Client::new(head, way, 7), moment);
        loop {
            step = match step {
                Step::Find(call, knock) => {
                    self.apps_asked += 1;
                    router.found(knock, (self.made)(&call), moment)
                }
                Step::Connect(destination, journey) => {
                    self.asked.push(destination.relay.to_string());
                    match (self.refuses)(&destination.relay) {
                        None => return Outcome::Held(Box::new(read_header(&destination.handover).unwrap())),
                        Some(refusal) => router.turned_away(&destination, journey, refusal, moment),
                    }
                }
                Step::PassOn { relay, claim, .. } => {
                    return Outcome::PassedOn { relay, claim: read_header(&claim).unwrap() };
                }
                Step::Refuse(refusal) => return Outcome::Refused(refusal),
            }
        }
    }

    /// Whether a WebSocket of MQTT is opened; if not, how that is answered.
    pub fn refuse_unopened(&mut self, head: &Request) -> Option<Reply> {
        self.router.refuse_unopened(head, Moment { deployment: &self.deployment, now_ms: self.now_ms })
    }

    /// Connections that were refused so far and not reported yet: the app that each counts for.
    pub fn refused_of(&mut self) -> Vec<AppId> {
        self.router.reports.due(self.now_ms + STATS_QUIET_MS).into_iter().map(|call| call.app).collect()
    }
}

/// The head of a request for a WebSocket.
pub fn socket(path_and_query: &str) -> Request {
    with_headers(path_and_query, "upgrade websocket")
}

pub fn get(path_and_query: &str) -> Request {
    with_headers(path_and_query, "")
}

/// `headers` are lines of a name, a space and a value.
pub fn with_headers(path_and_query: &str, headers: &str) -> Request {
    Request::read(&format!("GET\nhttps://server{path_and_query}\n{ADDRESS}\n\n\n{headers}"))
}

/// An MQTT client's first packet, in version 3.1.1 with a clean session.
pub fn mqtt(username: &str, password: &str) -> Way {
    mqtt_with(0xc2, "ann", username, password)
}

pub fn mqtt_with(flags: u8, client_id: &str, username: &str, password: &str) -> Way {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let rest = [client_id, username, password].map(text).concat();
    let body = [&b"\0\x04MQTT\x04"[..], &[flags, 0, 30], &rest].concat();
    let length = match body.len() {
        short @ ..128 => vec![short as u8],
        long => vec![(long % 128) as u8 | 0x80, (long / 128) as u8],
    };
    let Some(Passed::Enter(connect)) = Gate::new(NOW_MS).knock(&[&[0x10][..], &length, &body].concat()) else {
        panic!("a good CONNECT")
    };
    Way::Mqtt { connect, fresh_id: "fresh".to_owned() }
}

impl Outcome {
    pub fn held(self) -> Handover {
        match self {
            Outcome::Held(handover) => *handover,
            other => panic!("{other:?}"),
        }
    }

    /// The action and the error of a frame that says it, over a WebSocket.
    pub fn told(self) -> (u64, u64) {
        let Outcome::Refused(Refusal::Socket(Encoded::Text(frame))) = self else { panic!("{self:?}") };
        let frame: Value = serde_json::from_str(&frame).unwrap();
        (frame["action"].as_u64().unwrap(), frame["error"]["code"].as_u64().unwrap())
    }

    /// The status of an answer that refuses, and its code.
    pub fn answered(self) -> (u16, String) {
        let Outcome::Refused(Refusal::Reply(reply)) = self else { panic!("{self:?}") };
        answer(&reply)
    }
}

pub fn answer(reply: &Reply) -> (u16, String) {
    let code = reply.headers.iter().find(|(name, _)| *name == "X-Ably-ErrorCode");
    (reply.status, code.map(|(_, code)| code.clone()).unwrap_or_default())
}

/// A token of a key of the demo app.
pub fn token(key: &str) -> String {
    let apps = apps();
    let (id, name) = (AppId::parse("demo").unwrap(), KeyName::parse(&format!("demo.{key}")).unwrap());
    let key = apps.get(&id).unwrap().key(&name).unwrap().clone();
    ApprovedToken::of(key, Identity::Anonymous, NOW_MS).issue([0; 8]).token
}
