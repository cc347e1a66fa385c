//! Connections over HTTP, as an object holds them: who may speak for one, and by what.
#![cfg(feature = "socketio")]

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod disk;
    pub mod grant;
    pub mod memory_store;
    pub mod random;
}

use std::rc::Rc;

use courtside::auth::{App, Apps, Grant, Identity};
use courtside::error::Code;
use courtside::model::Format;
use courtside::object::{CallerId, Class, Entrance, Host, Input, Output, Question, Reply, Settings};
use courtside::protocol::door::Door;
use courtside::protocol::socketio::SocketIo;
use courtside::relay::SocketId;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::placement::Shard;
use courtside::rpc::{AppResponse, Ticket, Watched, Watching};
use courtside::transport::Mode;
use courtside::transport::comet::{Claim, Verb};
use courtside::transport::engine::Ask;
use serde_json::{Value, json};
use support::disk::Disk;
use support::random::Random;

const NOW_MS: u64 = 1_000_000;
const COMET: [Verb; 4] = [Verb::Recv, Verb::Send, Verb::Disconnect, Verb::Close];
const ENGINE: [Verb; 3] = [Verb::Engine(Ask::Poll), Verb::Engine(Ask::Post), Verb::Engine(Ask::Upgrade)];

struct Relay {
    app: Rc<App>,
    host: Host<Disk>,
    callers: u64,
    /// The WebSocket that the last request became, and the body that it was given, if any.
    accepted: Option<SocketId>,
    given: Option<String>,
}

impl Relay {
    fn new() -> Relay {
        let app: Rc<App> = Rc::new(
            serde_json::from_value(json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}]})).unwrap(),
        );
        let settings = Settings { apps: Ok(Rc::new(Apps::of([app.clone()]))), bounds: Bounds::default() };
        let mut host = Host::new(Class::Relay, settings, Disk::new(Random::new(0)));
        host.turn(Input::Wake { sockets: Vec::new(), fresh_epoch: "life".to_owned() }, NOW_MS);
        Relay { app, host, callers: 0, accepted: None, given: None }
    }

    fn caller(&mut self) -> CallerId {
        self.callers += 1;
        CallerId(self.callers)
    }

    /// A client comes in. Gives the key that it is told.
    fn open(&mut self, grant: Grant, mode: Mode) -> String {
        let said = self.connects(grant, &[], mode);
        match mode {
            Mode::Engine => said["sid"].as_str().unwrap().strip_prefix("demo.").unwrap().to_owned(),
            _ => said[0]["connectionDetails"]["connectionKey"].as_str().unwrap().to_owned(),
        }
    }

    /// Gives what a client is told first.
    fn connects(&mut self, grant: Grant, query: &[(String, String)], mode: Mode) -> Value {
        let mut opening = Opening::from_query(grant, query, true);
        if mode == Mode::Engine {
            opening.enter_by(Door::SocketIo(SocketIo::new(self.app.id().clone(), true, true)));
        }
        opening.is_kept = false;
        let caller = self.caller();
        let (shard, fresh_id) = (Shard::default(), format!("connection{}", caller.0));
        let entrance = Box::new(Entrance { opening, shard, channel: None, mode: Some(mode), fresh_id });
        let mut outputs = self.host.turn(Input::Connect { caller, entrance }, NOW_MS);
        if let Some(ticket) = outputs.iter().find_map(asked) {
            let watched = Watched { ticket: 1, config: None, revocations: Vec::new() };
            let answer = Ok(AppResponse::Watching(Box::new(Watching { watched, bans: Vec::new() })));
            outputs = self.host.turn(Input::AppAnswered { ticket, answer }, NOW_MS);
        }
        let body = outputs.iter().find_map(|output| match output {
            Output::Write { body, .. } => Some(body.clone()),
            _ => None,
        });
        let body = body.unwrap_or_else(|| panic!("no CONNECTED: {outputs:?}"));
        serde_json::from_str(body.strip_prefix('0').unwrap_or(&body)).unwrap()
    }

    /// The code that a request of a connection is refused with, if it is.
    fn ask(&mut self, verb: Verb, key: &str, by: Option<Identity>) -> Result<(), u32> {
        let caller = self.caller();
        let body = if verb == Verb::Send { b"[]".to_vec() } else { b"6".to_vec() };
        let claim = Claim { key: key.to_owned(), by };
        let outputs = self.host.turn(Input::Comet { caller, verb, claim, body }, NOW_MS);
        self.accepted = outputs.iter().find_map(|output| match output {
            Output::Accept { socket, .. } => Some(*socket),
            _ => None,
        });
        self.given = outputs.iter().find_map(|output| match output {
            Output::Write { body, .. } => Some(body.clone()),
            _ => None,
        });
        let reply = outputs.iter().find_map(|output| match output {
            Output::Answer { reply: Reply::Http(reply), .. } => Some(reply),
            _ => None,
        });
        let headers = reply.map_or(&[][..], |reply| &reply.headers);
        match headers.iter().find(|(name, _)| *name == "X-Ably-ErrorCode") {
            Some((_, code)) => Err(code.parse().unwrap()),
            None => Ok(()),
        }
    }

    fn say(&mut self, socket: SocketId, bytes: Vec<u8>) -> Vec<Output> {
        self.host.turn(Input::Frame { socket, bytes, format: Format::Json }, NOW_MS)
    }
}

fn asked(output: &Output) -> Option<Ticket> {
    match output {
        Output::Ask(Question::App { ticket, .. }) => Some(*ticket),
        _ => None,
    }
}

/// Else the key of a connection would let in who has no credentials, since the other protocol needs none.
#[test]
fn the_key_of_one_protocol_is_good_for_no_other() {
    let mut relay = Relay::new();
    let by = Some(Identity::Anonymous);
    for (mode, own, others) in [
        (Mode::Poll, &COMET[..], &ENGINE[..]),
        (Mode::Stream, &COMET[..], &ENGINE[..]),
        (Mode::Engine, &ENGINE[..], &COMET[..]),
    ] {
        let key = relay.open(support::grant::grant(), mode);
        for verb in others {
            assert_eq!(relay.ask(*verb, &key, by.clone()), Err(Code::BadConnectionKey.number()), "{mode:?} {verb:?}");
        }
        for verb in own {
            let key = relay.open(support::grant::grant(), mode);
            assert_eq!(relay.ask(*verb, &key, by.clone()), Ok(()), "{mode:?} {verb:?}");
        }
    }
}

/// Else an anonymous client with any key would end the connection of another, and go on under its id.
#[test]
fn the_key_of_a_connection_by_another_protocol_resumes_nothing() {
    let mut relay = Relay::new();
    for client_id in [Identity::Anonymous, Identity::parse(Some("ann")).unwrap(), Identity::Wildcard] {
        let grant = Grant { client_id, ..support::grant::grant() };
        let key = relay.open(grant.clone(), Mode::Engine);
        for parameter in ["resume", "recover"] {
            let said = relay.connects(grant.clone(), &[(parameter.to_owned(), key.clone())], Mode::Poll);
            assert_eq!(said[0]["error"]["code"], Code::BadResumeKey.number(), "{parameter}: {said}");
            assert_ne!(said[0]["connectionId"].as_str(), key.split('!').next());
        }
        assert_eq!(relay.ask(Verb::Engine(Ask::Poll), &key, None), Ok(()), "it goes on");
    }
}

/// As it must be theirs to resume. Who may be anybody says no name again.
#[test]
fn a_key_is_good_for_those_whose_connection_it_is() {
    let named = |name: &str| Identity::parse(Some(name)).unwrap();
    let cases = [
        (named("ann"), vec![named("ann"), Identity::Wildcard], vec![named("bob"), Identity::Anonymous]),
        (Identity::Anonymous, vec![Identity::Anonymous, Identity::Wildcard], vec![named("ann")]),
        (Identity::Wildcard, vec![Identity::Wildcard], vec![named("ann"), Identity::Anonymous]),
    ];
    let mut relay = Relay::new();
    for (client_id, own, others) in cases {
        for verb in COMET {
            for by in &others {
                let key = relay.open(Grant { client_id: client_id.clone(), ..support::grant::grant() }, Mode::Poll);
                let refused = Err(Code::Disconnected.number());
                assert_eq!(relay.ask(verb, &key, Some(by.clone())), refused, "{client_id:?} {verb:?} by {by:?}");
                assert_eq!(relay.ask(Verb::Send, &key, Some(own[0].clone())), Ok(()), "and nothing became of it");
                assert_eq!(relay.ask(Verb::Close, &key, Some(own[0].clone())), Ok(()));
                assert_eq!(relay.ask(Verb::Recv, &key, Some(by.clone())), Err(Code::ConnectionClosed.number()));
                assert_eq!(relay.ask(Verb::Recv, &key, Some(own[0].clone())), Ok(()), "its last words");
            }
            for by in &own {
                let key = relay.open(Grant { client_id: client_id.clone(), ..support::grant::grant() }, Mode::Poll);
                assert_eq!(relay.ask(verb, &key, Some(by.clone())), Ok(()), "{client_id:?} {verb:?} by {by:?}");
            }
        }
    }
}

/// Else each junk would free the trial for another WebSocket, under the same number, which nobody closes or counts.
#[test]
fn a_client_that_says_junk_by_the_websocket_that_it_tries_tries_no_other() {
    let mut relay = Relay::new();
    for said in [&[&b"junk"[..]][..], &[b"2probe", b"junk"]] {
        let key = relay.open(support::grant::grant(), Mode::Engine);
        assert_eq!(relay.ask(Verb::Engine(Ask::Upgrade), &key, None), Ok(()));
        let socket = relay.accepted.expect("a WebSocket");
        let said = said.iter().map(|bytes| bytes.to_vec());
        let outputs: Vec<Output> = said.flat_map(|bytes| relay.say(socket, bytes)).collect();
        let is_close = |output: &Output| matches!(output, Output::Close { socket: closed } if *closed == socket);
        assert!(outputs.iter().any(is_close), "{outputs:?}");
        assert_eq!(relay.ask(Verb::Engine(Ask::Upgrade), &key, None), Err(Code::BadRequest.number()));
        assert_eq!(relay.ask(Verb::Engine(Ask::Poll), &key, None), Ok(()), "polls go on");
        assert_eq!(relay.given, None, "and wait for something to come");
    }
    // One that went without a word may have been the network's fault.
    let key = relay.open(support::grant::grant(), Mode::Engine);
    assert_eq!(relay.ask(Verb::Engine(Ask::Upgrade), &key, None), Ok(()));
    let socket = relay.accepted.expect("a WebSocket");
    relay.host.turn(Input::Lost { socket }, NOW_MS);
    assert_eq!(relay.ask(Verb::Engine(Ask::Upgrade), &key, None), Ok(()));
}
