//! A channel and a relay on a bench, driven by hand: what tests of single races need.

use std::rc::Rc;

use courtside::auth::{App, Source};
use courtside::channel::{self, Channel};
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::name::ChannelName;
use courtside::model::packed::Packed;
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{
    Address, Answer, Delivery, Publish, PublishKey, Published, RelayName, Request, Response, Rules, Submission,
    Subscribed,
};

use super::memory_store::MemoryStore;

use super::grant::grant;

pub const NOW_MS: u64 = 1_000_000;
pub const EPOCH: &str = "life";

pub fn app() -> Rc<App> {
    Rc::new(
        serde_json::from_value(serde_json::json!({
            "id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": [],
        }))
        .expect("an app"),
    )
}

pub fn address() -> Address {
    Address { app: app().id().clone(), channel: ChannelName::parse("room").expect("a name") }
}

pub fn rules() -> Rules {
    Rules::of(courtside::auth::Rules::NONE)
}

/// The channel, woken from what it stored.
pub fn wake(store: &mut MemoryStore) -> Channel {
    Channel::wake(store, Some((&address(), &rules())), EPOCH, NOW_MS).expect("the store works").expect("a channel")
}

pub fn numbered(connection_id: &str, serial: u64) -> Publish {
    let messages = vec![Message { data: Data::Text(format!("{connection_id}:{serial}")), ..Message::default() }];
    Publish {
        key: PublishKey::Serial(serial),
        connection_id: Some(connection_id.to_owned()),
        by: Source::SERVER,
        content: Submission::Messages(messages),
    }
}

/// Publishes together. Gives the places, and what is delivered.
pub fn publish(
    channel: &mut Channel,
    store: &mut MemoryStore,
    publishes: Vec<Publish>,
) -> (Vec<Position>, Vec<(u64, Delivery)>) {
    channel.publish(Ticket(0), publishes).expect("there is room");
    let (mut places, mut deliveries) = (Vec::new(), Vec::new());
    for effect in channel.commit(store, NOW_MS) {
        match effect {
            channel::Effect::Reply(_, answer) => {
                places.extend(published(answer).outcomes.into_iter().map(|outcome| match outcome {
                    courtside::rpc::Outcome::Accepted { position, .. } => position,
                    refused => panic!("{refused:?}"),
                }));
            }
            channel::Effect::Deliver { attempt, delivery, .. } => deliveries.push((attempt, delivery)),
            channel::Effect::Probe { .. } | channel::Effect::Page(..) => {}
        }
    }
    (places, deliveries)
}

pub fn published(answer: Answer<Response>) -> Published {
    match answer {
        Ok(Response::Published(published)) => published,
        other => panic!("not published: {other:?}"),
    }
}

pub fn relay() -> Relay {
    Relay::new(RelayName::shard(app().id(), 0), 0, app(), b"secret".to_vec())
}

pub fn connect(relay: &mut Relay, socket: u32) -> Vec<relay::Effect> {
    open(relay, socket, &[])
}

/// The same for one whose record the platform does not keep.
pub fn connect_unkept(relay: &mut Relay, socket: u32) -> Vec<relay::Effect> {
    relay.open(SocketId(socket), Opening { is_kept: false, ..opening(&[]) }, format!("connection{socket}"), NOW_MS)
}

pub fn resume(relay: &mut Relay, socket: u32, key: &str) -> Vec<relay::Effect> {
    open(relay, socket, &[("resume".to_owned(), key.to_owned())])
}

/// With parameters of the URL.
pub fn open(relay: &mut Relay, socket: u32, query: &[(String, String)]) -> Vec<relay::Effect> {
    relay.open(SocketId(socket), opening(query), format!("connection{socket}"), NOW_MS)
}

fn opening(query: &[(String, String)]) -> Opening {
    Opening::from_query(grant(), query, true)
}

/// The connection's key, of a CONNECTED.
pub fn key(connected: &str) -> String {
    let frame: serde_json::Value = serde_json::from_str(connected).expect("JSON");
    frame["connectionDetails"]["connectionKey"].as_str().expect("a key").to_owned()
}

pub fn send(relay: &mut Relay, socket: u32, frame: &str) -> Vec<relay::Effect> {
    relay.frame(SocketId(socket), frame.as_bytes(), Format::Json, NOW_MS)
}

/// The one call among effects.
pub fn call(effects: &[relay::Effect]) -> (Ticket, Request) {
    let calls: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            relay::Effect::Call { ticket, call } => Some((*ticket, call.request.clone())),
            _ => None,
        })
        .collect();
    match calls.as_slice() {
        [call] => call.clone(),
        other => panic!("not one call but {other:?}"),
    }
}

/// The frames to a socket, as JSON text.
pub fn frames(effects: &[relay::Effect], socket: u32) -> Vec<String> {
    let text = |effect: &relay::Effect| match effect {
        relay::Effect::Send { sockets, frame: Encoded::Text(text) } if sockets.contains(&SocketId(socket)) => {
            Some(text.clone())
        }
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

/// The last record that was saved with a socket.
pub fn record(effects: &[relay::Effect], socket: u32) -> Option<Vec<u8>> {
    let saved = |effect: &relay::Effect| match effect {
        relay::Effect::Save { socket: saved, record } if *saved == SocketId(socket) => Some(record.clone()),
        _ => None,
    };
    effects.iter().rev().find_map(saved)
}

pub fn subscribed(position: u64) -> Option<Answer<Response>> {
    let (epoch, position) = (EPOCH.to_owned(), Position(position));
    Some(Ok(Response::Subscribed(Subscribed { epoch, position, members: 0, reports: false, direct: true })))
}

/// A delivery of one publish at each place behind `prior`.
pub fn delivery(prior: u64, places: &[u64]) -> Delivery {
    Delivery {
        channel: address().channel,
        epoch: EPOCH.to_owned(),
        prior: Position(prior),
        through: Position(places.last().copied().unwrap_or(prior)),
        gap: false,
        entries: entries(places),
        members: 0,
    }
}

pub fn entries(places: &[u64]) -> Packed {
    let mut packed = Packed::default();
    for place in places {
        let messages = vec![Message { data: Data::Text(format!("at {place}")), ..Message::default() }];
        let content = Content::Messages(messages);
        let entry = Entry { position: Position(*place), id: format!("x:{place}"), connection_id: None, content };
        packed.append(&Packed::one(&entry));
    }
    packed
}
