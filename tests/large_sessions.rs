//! What a socket can't carry of its session is stored, and a rebuilt relay has it all.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod random;
}

use std::collections::BTreeMap;

use courtside::auth::{Capability, Grant};
use courtside::error::Code;
use courtside::limits::{
    ATTACHMENTS_MAX_BYTES, CAPABILITY_MAX_BYTES, CHANNELS_PER_CONNECTION_MAX, SESSION_RECORD_MAX_BYTES,
};
use courtside::model::Format;
use courtside::model::name::ChannelName;
use courtside::model::serial::Position;
use courtside::object::{self, Question};
use courtside::protocol::Encoded;
use courtside::relay::bounds::Bounds;
use courtside::relay::record::RowId;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, Relay, SocketId};
use courtside::rpc::{Delivered, Delivery, RelayName};
use serde_json::{Value, json};

use support::bench::*;
use support::disk::Disk;
use support::grant::grant;
use support::host::{Host, Input, LinkId, Output};
use support::random::Random;

/// A relay, and what would outlive its memory.
struct Object {
    relay: Relay,
    records: BTreeMap<SocketId, Vec<u8>>,
    rows: BTreeMap<RowId, Vec<u8>>,
    told: Vec<Value>,
}

impl Object {
    fn new() -> Object {
        Object { relay: relay(), records: BTreeMap::new(), rows: BTreeMap::new(), told: Vec::new() }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Rows(rows) => rows.into_iter().for_each(|(id, row)| match row {
                    Some(row) => drop(self.rows.insert(id, row)),
                    None => drop(self.rows.remove(&id).expect("what is removed is there")),
                }),
                Effect::Save { socket, record } => {
                    assert!(record.len() <= SESSION_RECORD_MAX_BYTES, "{} bytes", record.len());
                    self.records.insert(socket, record);
                }
                Effect::Close { socket } => drop(self.records.remove(&socket)),
                Effect::Call { ticket, .. } => {
                    let effects = self.relay.answered(ticket, subscribed(10), NOW_MS);
                    self.perform(effects);
                }
                Effect::Send { frame: Encoded::Text(text), .. } => {
                    self.told.push(serde_json::from_str(&text).expect("JSON"))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect(&mut self, socket: u32, grant: Grant, is_kept: bool) {
        let opening = Opening { is_kept, ..Opening::from_query(grant, &[], true) };
        let effects = self.relay.open(SocketId(socket), opening, format!("connection{socket}"), NOW_MS);
        self.perform(effects);
    }

    fn send(&mut self, socket: u32, frame: &Value) -> Vec<Value> {
        let effects = self.relay.frame(SocketId(socket), frame.to_string().as_bytes(), Format::Json, NOW_MS);
        self.told.clear();
        self.perform(effects);
        std::mem::take(&mut self.told)
    }

    /// The error of the refusal, if it is refused.
    fn attach(&mut self, socket: u32, channel: &str) -> Option<Value> {
        let told = self.send(socket, &json!({"action": 10, "channel": channel}));
        assert_eq!(told.len(), 1, "{told:?}");
        (told[0]["action"] == 9).then(|| told[0]["error"].clone())
    }

    /// The memory goes, and is built again.
    fn forget(&mut self) {
        self.relay = relay();
        self.relay.found(self.rows.clone());
        for (socket, record) in self.records.clone() {
            let effects = self.relay.restore(socket, &record, NOW_MS);
            self.perform(effects);
        }
        let effects = self.relay.restored(NOW_MS);
        self.perform(effects);
    }

    /// How many get a message on a channel.
    fn readers(&mut self, channel: &str, prior: u64) -> usize {
        let channel = ChannelName::parse(channel).expect("a name");
        let (answer, effects) = self.relay.deliver(&Delivery { channel, ..delivery(prior, &[prior + 1]) }, NOW_MS);
        assert_eq!(answer, Delivered::At(Position(prior + 1)));
        let readers = |effect: &Effect| if let Effect::Send { sockets, .. } = effect { sockets.len() } else { 0 };
        let count = effects.iter().map(readers).sum();
        self.perform(effects);
        count
    }
}

fn name(index: usize, bytes: usize) -> String {
    format!("{index:0>bytes$}")
}

fn wide() -> Grant {
    let resources: Vec<String> = (0..60).map(|index| format!(r#""{}":["*"]"#, name(index, 55))).collect();
    let text = format!(r#"{{"*":["*"],{}}}"#, resources.join(","));
    assert!(text.len() > CAPABILITY_MAX_BYTES * 9 / 10 && text.len() <= CAPABILITY_MAX_BYTES, "{}", text.len());
    Grant { capability: Capability::parse(&text).expect("a capability"), ..grant() }
}

#[test]
fn a_connection_has_its_channels_whatever_their_names_and_keeps_them() {
    for (bytes, grant) in [(20, grant()), (50, grant()), (80, grant()), (320, grant()), (80, wide()), (320, wide())] {
        let mut object = Object::new();
        object.connect(1, grant, true);
        for index in 0..CHANNELS_PER_CONNECTION_MAX {
            assert_eq!(object.attach(1, &name(index, bytes)), None, "{bytes} bytes, {index} are there");
        }
        let why = "a connection has at most 200 channels";
        assert_eq!(object.attach(1, &name(999, bytes)).expect("one too many")["message"], why);
        for round in 0..2 {
            object.forget();
            assert_eq!(object.relay.connection_count(), 1);
            for index in 0..CHANNELS_PER_CONNECTION_MAX {
                assert_eq!(object.readers(&name(index, bytes), 10 + round), 1, "{bytes} bytes, {index}");
            }
        }
        assert_eq!(object.rows.is_empty(), bytes == 20);
        let effects = object.relay.lost(SocketId(1), NOW_MS);
        object.perform(effects);
        assert_eq!(object.rows, BTreeMap::new(), "nothing stays of it");
    }
}

#[test]
fn names_have_so_many_bytes_in_all() {
    let mut object = Object::new();
    object.connect(1, grant(), true);
    for index in 0..ATTACHMENTS_MAX_BYTES / 2_048 {
        assert_eq!(object.attach(1, &name(index, 2_048)), None);
    }
    let error = object.attach(1, "x").expect("one byte too many");
    assert_eq!(error["code"], 90010);
    assert_eq!(error["message"], "the names and parameters of a connection's channels have at most 65536 bytes");
    // An attachment that is there stays when it is asked for with more than fits.
    let wide = json!({"action": 10, "channel": name(0, 2_048), "params": {"rewind": "1"}});
    assert_eq!(object.send(1, &wide)[0]["error"]["code"], 90010);
    object.send(1, &json!({"action": 12, "channel": name(1, 2_048)}));
    assert_eq!(object.attach(1, "x"), None);
    object.forget();
    assert_eq!(object.relay.connection_count(), 1);
    assert_eq!(object.readers("x", 10), 1);
}

#[test]
fn a_channel_that_is_attached_again_keeps_what_it_asked_for_last() {
    let mut object = Object::new();
    object.connect(1, grant(), true);
    for index in 0..CHANNELS_PER_CONNECTION_MAX {
        object.attach(1, &name(index, 300));
    }
    for index in 0..CHANNELS_PER_CONNECTION_MAX {
        let mute = json!({"action": 10, "channel": name(index, 300), "params": {"modes": "publish"}});
        assert_eq!(object.send(1, &mute)[0]["action"], 11);
    }
    object.forget();
    for index in 0..CHANNELS_PER_CONNECTION_MAX {
        assert_eq!(object.readers(&name(index, 300), 10), 0);
    }
}

#[test]
fn rows_that_are_nobodys_go_and_who_lacks_one_is_told_to_come_back() {
    let mut object = Object::new();
    for socket in [1, 2, 3] {
        object.connect(socket, grant(), true);
        for index in 0..CHANNELS_PER_CONNECTION_MAX {
            object.attach(socket, &name(1_000 * socket as usize + index, 80));
        }
    }
    object.records.remove(&SocketId(1));
    let lost = *object.rows.keys().find(|id| id.socket == SocketId(2)).expect("it has rows");
    object.rows.remove(&lost);
    object.forget();
    assert_eq!(object.records.keys().collect::<Vec<_>>(), [&SocketId(3)]);
    assert!(object.rows.keys().all(|id| id.socket == SocketId(3)) && !object.rows.is_empty());
}

/// A connection by polls stores nothing, until it goes on by a WebSocket.
#[test]
fn a_connection_that_goes_on_by_a_websocket_keeps_its_channels() {
    let mut object = Object::new();
    object.connect(1, grant(), false);
    for index in 0..CHANNELS_PER_CONNECTION_MAX {
        assert_eq!(object.attach(1, &name(index, 300)), None);
    }
    let effects = object.relay.goes_by_socket(SocketId(1), NOW_MS);
    object.perform(effects);
    object.forget();
    for index in 0..CHANNELS_PER_CONNECTION_MAX {
        assert_eq!(object.readers(&name(index, 300), 10), 1, "{index}");
    }
}

/// How far the channel's deliveries are is in the record of one of its readers.
#[test]
fn a_connection_that_is_sent_away_takes_no_other_with_it() {
    let mut object = Object::new();
    for socket in [1, 2] {
        object.connect(socket, grant(), true);
        object.attach(socket, "room");
    }
    // The memory goes before the answer for the second channel comes, which nobody then waits for.
    let attach = json!({"action": 10, "channel": "another"}).to_string();
    let effects = object.relay.frame(SocketId(1), attach.as_bytes(), Format::Json, NOW_MS);
    object.perform(effects.into_iter().filter(|effect| !matches!(effect, Effect::Call { .. })).collect());
    object.told.clear();
    object.forget();
    let told: Vec<_> = object.told.iter().map(|frame| (&frame["action"], &frame["error"]["code"])).collect();
    assert_eq!(told, [(&6.into(), &80003.into())]);
    assert_eq!((object.relay.connection_count(), object.readers("room", 10)), (1, 1));
}

/// A row has the number of one that went before. If neither the one goes nor the other is written, who was there would
/// be brought back to the other's channel.
#[test]
fn who_cannot_be_stored_comes_back() {
    let mut host = Host::new(RelayName::shard(app().id(), 0), app(), None, Disk::new(Random::new(0)));
    let mut turn = |input: Input, failures: u64| {
        host.disk_mut().failures = failures;
        host.turn(input, NOW_MS);
        host.disk_mut().sync();
        host.synced();
        host.release().into_iter().map(|(_, output)| output).collect::<Vec<Output>>()
    };
    let opening = Opening::from_query(grant(), &[], true);
    let asked = turn(Input::Open { link: LinkId(1), mode: None, opening, fresh_id: "connection".into() }, 0);
    let ticket = asked.iter().find_map(|output| match output {
        Output::Ask(Question::App { ticket, .. }) => Some(*ticket),
        _ => None,
    });
    let answer = Err(Code::TimedOut.into());
    turn(Input::Object(object::Input::AppAnswered { ticket: ticket.expect("it asks"), answer }), 0);
    let mut say = |action: u8, index: usize, failures: u64| {
        let frame = json!({"action": action, "channel": name(index, 2_000)}).to_string().into_bytes();
        let outputs = turn(Input::Frame { link: LinkId(1), bytes: frame, format: Format::Json }, failures);
        outputs.iter().any(|output| matches!(output, Output::Close { .. }))
    };
    assert!((0..20).all(|index| !say(10, index, 0)), "it is stored");
    assert!(!say(12, 10, 1_000), "what stays of it is nobody's");
    assert!(say(10, 20, 1_000));
}

/// They are in memory, of connections over HTTP too, which store nothing.
#[test]
fn all_names_together_have_a_bound() {
    for is_kept in [true, false] {
        let mut object = Object::new();
        object.relay.set_bounds(Bounds { rows_bytes: 200_000, ..Bounds::default() });
        let full = (1..10).find_map(|socket| {
            object.connect(socket, grant(), is_kept);
            (0..32).find_map(|index| object.attach(socket, &name(index, 2_000)))
        });
        let full = full.expect("there is a bound");
        assert_eq!((&full["code"], &full["statusCode"]), (&50320.into(), &503.into()));
        assert_eq!(object.rows.is_empty(), !is_kept);
        assert!(object.rows.values().map(Vec::len).sum::<usize>() < 210_000);
        assert_eq!(object.attach(1, "short"), None, "others go on");
        let sockets = object.relay.connection_count() as u32;
        for socket in 1..=sockets {
            let effects = object.relay.lost(SocketId(socket), NOW_MS);
            object.perform(effects);
        }
        assert_eq!(object.rows, BTreeMap::new());
    }
}
