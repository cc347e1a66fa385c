//! A channel and its relays, joined by calls that arrive at once, and clients that keep what they are sent.

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::app::fixtures;
use courtside::auth::{App, Ban, Capability, Grant, Identity, KeyName, TokenRequest};
use courtside::base::rate::Flow;
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::object::store::RelayStore;
use courtside::object::{self, CallerId, Reply};
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::session::Opening;
use courtside::rpc::{
    Address, Changes, ChannelCall, News, Notice, Occupancy, RelayName, Request, Response, Rules, Watched, Watching,
};
use serde_json::{Value, json};

use crate::support::disk::Disk;
use crate::support::host::{Host, Input, LinkId};
use crate::support::memory_store::MemoryStore;
use crate::support::objects::{Heard, Objects};
use crate::support::random::Random;

pub const NOW_MS: u64 = 1_800_000_000_000;

const CHANNEL: usize = 0;

pub struct World {
    pub objects: Objects,
    app: Rc<App>,
    frames: BTreeMap<LinkId, Vec<Value>>,
    connections: u32,
    counting: Option<CallerId>,
}

/// A client's socket: of which relay, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(pub usize, pub u32);

impl Client {
    fn link(self) -> LinkId {
        LinkId(self.1.into())
    }
}

/// Where a relay is among the objects.
fn object_of(relay: usize) -> usize {
    relay + 1
}

impl World {
    pub fn new(relays: usize) -> World {
        World::with(relays, &json!([]), Bounds::default())
    }

    /// Where users are told apart, and not members.
    pub fn of_users(relays: usize) -> World {
        World::named("presence-room", relays, &json!([]), Bounds::default())
    }

    /// Pages of two members, each sent to one reader in a turn.
    pub fn slow(relays: usize) -> World {
        World::with(relays, &json!([]), Bounds { sync_members: 2, sync_turn_bytes: 1, ..Bounds::default() })
    }

    /// Where a connection may send as many events as it likes, so that the channel refuses.
    pub fn unhurried(relays: usize) -> World {
        let messages = Flow { burst: 100_000, per_second: 1 };
        World::with(relays, &json!([]), Bounds { messages, ..Bounds::default() })
    }

    /// Where as many may be present.
    pub fn with_room_for(members: usize, relays: usize) -> World {
        World::with(relays, &json!([{"id": "room", "maxMembers": members}]), Bounds::default())
    }

    /// Where the channel delivers once in half a second.
    pub fn batched(relays: usize) -> World {
        let rules = json!([{"id": "room", "batchingEnabled": true, "batchingInterval": 500}]);
        World::with(relays, &rules, Bounds::default())
    }

    fn with(relays: usize, namespaces: &Value, bounds: Bounds) -> World {
        World::named("room", relays, namespaces, bounds)
    }

    fn named(channel: &str, relays: usize, namespaces: &Value, bounds: Bounds) -> World {
        let app = json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": namespaces});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).expect("an app"));
        let address = Address { app: app.id().clone(), channel: ChannelName::parse(channel).expect("a name") };
        let channel = Host::new(RelayName::of_channel(&address), app.clone(), Some(address), disk());
        let relay = |index| {
            let mut relay = Host::new(RelayName::shard(app.id(), index as u16), app.clone(), None, disk());
            relay.set_bounds(Bounds { connections: usize::MAX / 2, connects_per_second: u32::MAX, ..bounds });
            relay
        };
        let hosts = std::iter::once(channel).chain((0..relays).map(relay)).collect();
        let objects = Objects::new(app.clone(), hosts, NOW_MS);
        World { objects, app, frames: BTreeMap::new(), connections: 0, counting: None }
    }

    /// What the channel has stored.
    pub fn store(&self) -> &MemoryStore {
        self.objects.hosts[CHANNEL].disk().stored()
    }

    pub fn rules(&self) -> Rules {
        Rules::on(&self.app, &self.address().channel)
    }

    fn address(&self) -> Address {
        self.objects.hosts[CHANNEL].address.clone().expect("a channel's object")
    }

    pub fn connect(&mut self, relay: usize, client_id: &str) -> Client {
        self.open(relay, Identity::parse(Some(client_id)).expect("a clientId"), Capability::full(), &[])
    }

    pub fn open(&mut self, relay: usize, identity: Identity, capability: Capability, query: &[(&str, &str)]) -> Client {
        self.connections += 1;
        let client = Client(relay, self.connections);
        let grant = Grant {
            key_name: KeyName::parse("demo.key").expect("a name"),
            capability,
            client_id: identity,
            basic: true,
            issued_at_ms: None,
            expires_at_ms: None,
            also_revoked_by: None,
            user_claims: Default::default(),
        };
        let query: Vec<_> = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let opening = Opening::from_query(grant, &query, true);
        let (link, fresh_id) = (client.link(), format!("conn{}", self.connections));
        self.turn(relay, Input::Open { link, mode: None, opening, fresh_id });
        client
    }

    /// The connection goes on with another socket.
    pub fn resume(&mut self, old: Client, client_id: &str, key: &str) -> Client {
        let identity = Identity::parse(Some(client_id)).expect("a clientId");
        self.open(old.0, identity, Capability::full(), &[("resume", key)])
    }

    /// The connection goes on with a token: what it may do on the channel, and for whom.
    pub fn authorize(&mut self, client: Client, operations: &[&str], client_id: &str) {
        let key = KeyName::parse("demo.key").expect("a name");
        let asked = json!({"keyName": key, "clientId": client_id, "capability": {"room": operations}});
        let authority = Grant::of_key(key.clone(), Capability::full());
        let request = TokenRequest::from_value(&asked).expect("a request");
        let now_ms = self.objects.now_ms;
        let approved = request.approve(&key, Some(&self.app), Some(&authority), now_ms).expect("approved");
        self.send(client, json!({"action": 17, "auth": {"accessToken": approved.issue([7; 8]).token}}));
    }

    /// The app tells the client's relay that the client is kept out of the channel.
    pub fn ban(&mut self, client: Client, client_id: &str) {
        let watched = Watched { ticket: 1, config: None, revocations: Vec::new() };
        let disk = self.objects.hosts[object_of(client.0)].disk_mut();
        disk.begin_watch(&Watching { watched, bans: Vec::new() }).expect("it works");
        let changes = Changes {
            bans: vec![Ban { until_ms: None, ..Ban::lifted(client_id, Some("room")) }],
            ..Changes::default()
        };
        let notice = Notice { ticket: 1, news: News::Changed(changes.into()), through: 1 };
        self.turn(client.0, Input::Object(object::Input::Notice { caller: CallerId(0), notice }));
    }

    pub fn send(&mut self, client: Client, frame: Value) {
        let bytes = serde_json::to_vec(&frame).expect("JSON");
        self.turn(client.0, Input::Frame { link: client.link(), bytes, format: Format::Json });
    }

    pub fn attach(&mut self, client: Client) {
        let channel = self.address().channel;
        self.send(client, json!({"action": 10, "channel": channel}));
    }

    /// One presence event; `action` 2 enters, 3 leaves, 4 updates.
    pub fn act(&mut self, client: Client, msg_serial: u64, action: u8, event: Value) {
        let mut event = event;
        event["action"] = json!(action);
        let channel = self.address().channel;
        self.send(client, json!({"action": 14, "channel": channel, "msgSerial": msg_serial, "presence": [event]}));
    }

    /// The client's transport is lost, and its relay learns of it.
    pub fn lose(&mut self, client: Client) {
        self.turn(client.0, Input::Lost { link: client.link() });
    }

    fn turn(&mut self, relay: usize, input: Input) {
        self.objects.turn(object_of(relay), input);
    }

    /// Keeps what clients were sent.
    fn hear(&mut self) {
        for (link, heard) in std::mem::take(&mut self.objects.heard) {
            let Heard::Frame(frame) = heard else { continue };
            let Encoded::Text(text) = &*frame else { unreachable!("all speak JSON") };
            self.frames.entry(link).or_default().push(serde_json::from_str(text).expect("JSON"));
        }
    }

    /// What the client was sent since this was last asked.
    pub fn take(&mut self, client: Client) -> Vec<Value> {
        self.hear();
        self.frames.remove(&client.link()).unwrap_or_default()
    }

    /// The presence events among them, each as its action and clientId; data follows, if there is any.
    pub fn events(&mut self, client: Client) -> Vec<String> {
        let frames = self.take(client);
        let of = |frame: &Value| frame["presence"].as_array().cloned().unwrap_or_default();
        frames.iter().filter(|frame| frame["action"] == 14).flat_map(of).map(|event| told(&event)).collect()
    }

    /// The code by which the last frame was refused, or 0 when it was acknowledged.
    pub fn outcome(&mut self, client: Client) -> u64 {
        let frames = self.take(client);
        let answer = frames.iter().rev().find(|frame| frame["action"] == 1 || frame["action"] == 2);
        answer.unwrap_or_else(|| panic!("no answer: {frames:?}"))["error"]["code"].as_u64().unwrap_or(0)
    }

    /// The key by which the connection can be resumed.
    pub fn key(&mut self, client: Client) -> String {
        self.hear();
        let frames = self.frames.get(&client.link()).expect("frames");
        let connected = frames.iter().find(|frame| frame["action"] == 4).expect("CONNECTED");
        connected["connectionDetails"]["connectionKey"].as_str().expect("a key").to_owned()
    }

    /// Who is stored as present, in order.
    pub fn present(&self) -> Vec<String> {
        let mut present: Vec<String> = self.store().members.keys().map(|key| key.client_id.clone()).collect();
        present.sort();
        present
    }

    /// How many are on the channel, as REST learns it.
    pub fn count(&mut self) -> Occupancy {
        self.ask_count();
        self.counted().expect("an answer at once")
    }

    /// The same, when it takes a while.
    pub fn ask_count(&mut self) {
        self.counting = Some(self.call(Request::Count));
    }

    pub fn counted(&mut self) -> Option<Occupancy> {
        match self.objects.answers.remove(&self.counting?)? {
            Reply::Response(Ok(Response::Counted(counts, _))) => Some(counts.occupancy),
            other => panic!("{other:?}"),
        }
    }

    /// A call to the channel.
    pub fn call(&mut self, request: Request) -> CallerId {
        let call = ChannelCall { to: self.address(), rules: self.rules(), request };
        self.objects.call(call)
    }

    /// The channel is told that.
    pub fn tell_channel(&mut self, input: object::Input) {
        self.objects.turn(CHANNEL, Input::Object(input));
    }

    /// What a client was told of occupancy since it was last asked, each as its JSON.
    pub fn told(&mut self, client: Client) -> Vec<String> {
        let frames = self.take(client);
        let of = |frame: &Value| frame["messages"].as_array().cloned().unwrap_or_default();
        let messages = frames.iter().filter(|frame| frame["action"] == 15).flat_map(of);
        let occupancy = messages.filter(|message| message["name"] == "[meta]occupancy");
        occupancy.map(|message| message["data"].as_str().expect("text").to_owned()).collect()
    }

    pub fn pass(&mut self, ms: u64) {
        self.objects.pass(ms);
    }

    /// No call reaches the relay, or leaves it.
    pub fn cut_off(&mut self, relay: usize) {
        self.objects.unreachable.push(object_of(relay));
    }

    /// The channel loses its memory; its alarm wakes it.
    pub fn forget_channel(&mut self) {
        self.objects.hosts[CHANNEL].forget();
    }

    /// The relay loses its memory; its sockets stay, and something wakes it.
    pub fn forget_relay(&mut self, relay: usize) {
        self.objects.hosts[object_of(relay)].forget();
        self.turn(relay, Input::Lost { link: LinkId(0) });
    }

    /// The relay's process dies, and its sockets with it.
    pub fn kill_relay(&mut self, relay: usize) {
        self.objects.hosts[object_of(relay)].crash();
    }

    /// Its server stops, and is there again.
    pub fn restart(&mut self, relay: usize) {
        self.turn(relay, Input::Object(object::Input::SendAway { one_in: 1 }));
        self.hear();
        self.kill_relay(relay);
        self.forget_channel();
    }

    /// As apps are made with members.
    pub fn enter_without_connection(&mut self, client_id: &str) {
        let body = json!({"channels": [{"name": "room", "presence": [{"clientId": client_id}]}]});
        let call = fixtures::entering(&self.app, body.as_object().expect("an object")).expect("a call").remove(0);
        self.objects.call(call);
    }
}

fn disk() -> Disk {
    Disk::new(Random::new(0))
}

pub fn told(event: &Value) -> String {
    let action = match event["action"].as_u64() {
        Some(1) => "present",
        Some(2) => "enter",
        Some(3) => "leave",
        Some(4) => "update",
        other => panic!("an event {other:?}"),
    };
    let client_id = event["clientId"].as_str().expect("a clientId");
    match event["data"].as_str() {
        Some(data) => format!("{action} {client_id}: {data}"),
        None => format!("{action} {client_id}"),
    }
}
