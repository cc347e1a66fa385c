//! What earlier builds stored is read with its meaning intact, and what cannot be read is refused and left as it was.
//!
//! `tests/fixtures/` holds the bytes that each version of a format had, written by the build that introduced it. The
//! newest are also what this build writes: a change of a format shows here first.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod app_store;
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::collections::BTreeMap;
use std::fmt::Write;

use courtside::app::push::{Attempt, To};
use courtside::auth::{
    App, Ban, Credentials, Grant, KeyName, Presented, Revocation, Source, Surface, Target, TokenRequest,
};
use courtside::base::pinned::{self, Unreadable};
use courtside::channel::Channel;
use courtside::channel::store::{Row, Store, StoreError, StoredMember, Totals};
use courtside::error::Code;
use courtside::model::annotation::{Annotation, AnnotationAction, Summary, SummaryCounts};
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::name::AppId;
use courtside::model::objects::operation::{self, Action, ObjectMessage, Operation, Proposal, Value};
use courtside::model::objects::parts::{self, PartKey};
use courtside::model::objects::path::Path;
use courtside::model::packed::Packed;
use courtside::model::presence::{MemberKey, PresenceAction, PresenceMessage};
use courtside::model::revision;
use courtside::model::serial::Position;
use courtside::object::{AppHost, AppInput, AppOutput, Settings};
use courtside::push::{Device, State};
use courtside::relay::SocketId;
use courtside::rpc::connection_key::ConnectionKey;
use courtside::rpc::{AppCall, AppRequest, DirectPush, Note, PushCaller, PushRequest, PushTarget};
use courtside::rpc::{
    HistoryQuery, Lease, MembersQuery, PresenceUpdate, Publish, PublishKey, RelayName, Submission, TreeQuery,
};
use serde_json::json;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use support::app_store::{self, AppMemory};
use support::bench::*;
use support::memory_store::MemoryStore;

/// Bytes by what they are: text as it stands, everything else in hexadecimal.
type Fixture = BTreeMap<String, String>;

const EARLIER: [&str; 4] = [
    include_str!("fixtures/formats-1.txt"),
    include_str!("fixtures/formats-2.txt"),
    include_str!("fixtures/formats-3.txt"),
    include_str!("fixtures/formats-4.txt"),
];
const NEWEST: &str = include_str!("fixtures/formats-5.txt");

fn fixture(text: &str) -> Fixture {
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("texts take all");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A publish of each kind of message.
fn messages() -> Publish {
    let text = |text: &str| Some(text.to_owned());
    let extras = json!({"headers": {"team": "red", "half": 1.5}}).as_object().cloned();
    let said = Message {
        name: text("chat"),
        data: Data::Text("hello ü".into()),
        client_id: text("ann"),
        ..Message::default()
    };
    let sent = Message { data: Data::Binary(vec![0, 255]), extras, ..Message::default() };
    let own = Message { data: Data::Text("{\"a\":1}".into()), encoding: text("json"), ..Message::default() };
    Publish {
        key: PublishKey::Serial(7),
        connection_id: text("conn"),
        by: Source::SERVER,
        content: Submission::Messages(vec![said, sent, own]),
    }
}

fn entering() -> Publish {
    let event = PresenceMessage {
        action: PresenceAction::Enter,
        id: "conn:8:0".into(),
        connection_id: "conn".into(),
        client_id: "ann".into(),
        data: Data::Text("seat 4".into()),
        encoding: None,
        extras: None,
    };
    let lease = Lease { relay: RelayName::from("relay:demo/3".to_owned()), grace_ms: 15_000 };
    let content = Submission::Presence { lease, updates: vec![PresenceUpdate { event, known: None }] };
    Publish { key: PublishKey::Serial(8), connection_id: Some("conn".into()), by: Source::SERVER, content }
}

/// A channel's storage with a row of messages and one of presence.
fn written_store() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![messages()]);
    publish(&mut channel, &mut store, vec![entering()]);
    store
}

/// Operations that leave a part of each kind, and a value of each.
fn operating() -> Publish {
    let values = [
        Value::Object("map:none@1".into()),
        Value::Bool(true),
        Value::Bytes(vec![0, 255]),
        Value::Number(1.5),
        Value::Text("ü".into()),
        Value::Json("[1]".into()),
    ];
    let set = |(index, value)| ("root", Action::MapSet { key: format!("k{index}"), value });
    let others = [("root", Action::MapRemove { key: "gone".into() }), ("counter:c@1", Action::CounterInc(-2.5))];
    let proposal = |(object_id, action): (&str, Action)| {
        let operation = Operation { object_id: object_id.to_owned(), action };
        let message = ObjectMessage { id: None, client_id: Some("ann".into()), extras: None, operation };
        Proposal { message, target: operation::Target::Named }
    };
    let operations = values.into_iter().enumerate().map(set).chain(others).map(proposal).collect();
    let content = Submission::Objects(operations);
    Publish {
        key: PublishKey::Serial(9),
        connection_id: Some("conn".into()),
        by: courtside::auth::Source::SERVER,
        content,
    }
}

/// A channel's storage with objects.
fn store_with_objects() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    channel.publish(courtside::rpc::Ticket(0), vec![operating()]).expect("there is room");
    channel.commit(&mut store, NOW_MS);
    store
}

/// How a fixture names a part.
fn part_name(key: &PartKey) -> String {
    let entry = key.key.as_ref().map_or(String::new(), |key| format!("/{key}"));
    format!("objects.part.{}{entry}", key.object)
}

/// A key whose tokens can be revoked.
fn keyed_app() -> App {
    let key = json!({"name": "brief", "secret": "a-secret-of-some-length", "revocableTokens": true});
    serde_json::from_value(json!({"id": "demo", "keys": [key], "namespaces": []})).expect("an app")
}

fn token() -> String {
    let app = keyed_app();
    let name = KeyName::parse("demo.brief").expect("a name");
    let fields = json!({"keyName": "demo.brief", "clientId": "ann", "capability": r#"{"chat:*":["subscribe"]}"#});
    let authority = verified("key", "demo.brief:a-secret-of-some-length");
    let request = TokenRequest::from_value(&fields).expect("a request");
    request.approve(&name, Some(&app), Some(&authority), NOW_MS).expect("approved").issue([7; 8]).token
}

fn verified(parameter: &str, text: &str) -> Grant {
    let query = [(parameter.to_owned(), text.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Realtime).expect("credentials");
    credentials.verify(Some(&keyed_app()), NOW_MS).expect("good ones")
}

fn revocation() -> Revocation {
    let (key_name, target) =
        (KeyName::parse("demo.brief").expect("a name"), Target::parse("clientId:ann").expect("one"));
    Revocation { key_name, target, issued_before_ms: NOW_MS, applies_at_ms: NOW_MS + 30_000 }
}

/// What a socket carries of a session with an attachment, and the key of its connection.
fn session() -> (Vec<u8>, String) {
    let mut relay = relay();
    let connected = connect(&mut relay, 1);
    let attach = r#"{"action":10,"channel":"room","flags":393216,"params":{"rewind":"2"}}"#;
    let (ticket, _) = call(&send(&mut relay, 1, attach));
    let effects = relay.answered(ticket, subscribed(5_000), NOW_MS);
    let (read, _) = call(&effects);
    let page = courtside::rpc::Backlog {
        epoch: EPOCH.into(),
        lost: None,
        after: Position(5_000),
        entries: Packed::default(),
        through: Position(5_000),
        more: false,
        members: 0,
    };
    let effects = relay.answered(read, Some(Ok(courtside::rpc::Response::Backlog(page))), NOW_MS);
    (record(&effects, 1).expect("a record"), key(&frames(&connected, 1)[0]))
}

/// An app's storage with a device, and a push to it that waits.
fn push_store() -> AppMemory {
    let mut host = app_host(AppMemory::default());
    let recipient = json!({
        "transportType": "web", "targetUrl": "https://push.example.com/d1", "publicVapidKey": BASE64URL.encode([4; 65]),
        "encryptionKey": {"p256dh": BASE64URL.encode([4; 65]), "auth": BASE64URL.encode([1; 16])},
    });
    let device = json!({
        "id": "d1", "clientId": "ann", "deviceSecret": "secret", "platform": "browser", "formFactor": "desktop",
        "metadata": {"seat": 4}, "push": {"recipient": recipient},
    });
    let mut device = Device::read(&device, None).expect("a device");
    device.state = State::Failing(Code::PushUnreachable.into());
    let by = PushCaller { is_admin: true, proof: None };
    let target = PushTarget::Device("d1".into());
    let push = DirectPush { key: "key".into(), target, payload: r#"{"data":{"a":"b"}}"#.into() };
    for request in [
        PushRequest::Key { contact: "mailto:ops@example.com".into() },
        PushRequest::Save(by, device),
        PushRequest::Publish { pushes: vec![push], wait: false },
    ] {
        let request = AppRequest::Push(Box::new(request));
        app_store::ask(&mut host, AppCall { app: AppId::parse("demo").expect("an id"), request }, NOW_MS)
            .expect("an answer");
    }
    host.into_store()
}

fn app_host(store: AppMemory) -> AppHost<AppMemory> {
    AppHost::new(Settings { apps: Ok(Default::default()), bounds: Default::default() }, store)
}

/// All that this build stores, by name.
fn written() -> Fixture {
    let store = written_store();
    let mut fixture = Fixture::new();
    let mut put = |name: &str, value: String| fixture.insert(name.to_owned(), value);
    put("meta", hex(store.meta.as_deref().expect("a meta")));
    for (name, row) in ["messages", "presence"].iter().zip(store.rows.values()) {
        put(&format!("{name}.position"), row.position.0.to_string());
        put(&format!("{name}.keys"), row.keys.clone());
        put(&format!("{name}.entries"), hex(row.entries.bytes()));
    }
    let objects = store_with_objects();
    put("objects.entries", hex(objects.rows.values().next().expect("a row").entries.bytes()));
    objects.objects.iter().for_each(|(key, part)| _ = put(&part_name(key), hex(part)));
    put("member", hex(store.members.values().next().expect("a member").member.bytes()));
    let target = revision::Target { position: Position(1_000_000_001), place: 2 };
    let said = Annotation {
        id: None,
        action: AnnotationAction::Delete,
        kind: "r:multiple.v1".into(),
        name: Some("clap".into()),
        count: Some(3),
        client_id: Some("ann".into()),
        data: Data::Absent,
        encoding: None,
        extras: json!({"a": 1}).as_object().cloned(),
    };
    let summary = Summary { target, name: Some("chat".into()), counts: SummaryCounts::default() };
    let annotations = Content::Annotations { target, annotations: vec![said] };
    for (name, content) in [("annotations", annotations), ("summary", Content::Summary(summary))] {
        let entry = Entry { position: Position(1_000_000_003), id: "conn:9".into(), connection_id: None, content };
        put(name, hex(Packed::one(&entry).bytes()));
    }
    let (record, key) = session();
    put("record", hex(&record));
    put("connection-key", key);
    put("token", token());
    let app = push_store();
    put("push.device", hex(&pinned::encode(&app.push.devices["d1"])));
    put("push.push", hex(&app.push.pushes["key"].2));
    put("push.vapid", hex(app.push.vapid.as_deref().expect("keys")));
    put("revocation", hex(&pinned::encode(&revocation())));
    put("ban", hex(&pinned::encode(&ban())));
    put("note", hex(&pinned::encode(&note())));
    fixture
}

fn ban() -> Ban {
    let (client_id, channels) = ("ann".to_owned(), Some("chat:*".to_owned()));
    Ban { client_id, channels, since_ms: 1_000, until_ms: Some(2_000), reason: "spam".to_owned() }
}

fn note() -> Note {
    let [app, by, action, target] = ["demo", "key demo.key", "ban", "clientId ann"].map(str::to_owned);
    Note { at_ms: 1_000, app, by, action, target }
}

#[test]
fn what_operators_did_is_read_again() {
    let fixture = fixture(NEWEST);
    assert_eq!(pinned::decode::<Ban>(&unhex(&fixture["ban"])), Ok(ban()));
    assert_eq!(pinned::decode::<Note>(&unhex(&fixture["note"])), Ok(note()));
    let unreadable = [&[2][..], &unhex(&fixture["ban"])[1..]].concat();
    assert_eq!(pinned::decode::<Ban>(&unreadable), Err(Unreadable::Version(2)));
}

#[test]
fn this_build_writes_the_newest_formats() {
    let text = written().iter().fold(String::new(), |text, (name, value)| text + name + " " + value + "\n");
    assert_eq!(text, NEWEST);
}

/// A channel's storage as a build left it.
fn store_of(fixture: &Fixture) -> MemoryStore {
    let mut store = MemoryStore { meta: Some(unhex(&fixture["meta"])), ..MemoryStore::default() };
    for (messages, name) in [(3, "messages"), (3, "presence")] {
        let value = |field: &str| fixture[&format!("{name}.{field}")].as_str();
        let position = Position(value("position").parse().expect("a number"));
        let entries = Packed::from_bytes(unhex(value("entries")));
        let totals = Totals { messages, bytes: entries.len() as u64 };
        store.rows.insert(position, Row { position, totals, keys: value("keys").into(), entries, changes: vec![] });
    }
    let lease = Lease { relay: RelayName::from("relay:demo/3".to_owned()), grace_ms: 15_000 };
    let key = MemberKey { connection_id: "conn".into(), client_id: "ann".into() };
    let member = Packed::from_bytes(unhex(&fixture["member"]));
    store.members.insert(key.clone(), StoredMember { key, lease, leaves_at_ms: None, member });
    store
}

/// Every version of each format. When one changes, the newest file becomes an earlier one.
fn fixtures() -> Vec<Fixture> {
    EARLIER.iter().chain([&NEWEST]).map(|text| fixture(text)).collect()
}

#[test]
fn a_channel_of_every_version_wakes_with_its_log_its_members_and_what_it_knows_of_repeats() {
    for fixture in fixtures() {
        let mut store = store_of(&fixture);
        let mut channel = Channel::wake(&mut store, None, "another", NOW_MS).expect("readable").expect("a channel");
        assert_eq!((channel.address(), channel.epoch()), (&address(), EPOCH));
        assert_eq!(channel.tip(), Position(1_000_000_002));

        let query = HistoryQuery { forwards: true, limit: 10, ..HistoryQuery::default() };
        let page = channel.history(&mut store, &query, NOW_MS).expect("a page");
        let Submission::Messages(sent) = messages().content else { unreachable!("messages") };
        assert_eq!(page.entries.entries().expect("readable")[0].messages(), sent);

        let query = MembersQuery { limit: 10, ..MembersQuery::default() };
        let members = channel.members(&mut store, &query).expect("a page").members.entries().expect("readable");
        let [member] = members[0].presence() else { panic!("one member, not {members:?}") };
        assert_eq!((member.client_id.as_str(), &member.data), ("ann", &Data::Text("seat 4".into())));

        let (again, deliveries) = publish(&mut channel, &mut store, vec![messages()]);
        assert_eq!((again, deliveries), (vec![Position(1_000_000_001)], vec![]));
    }
}

#[test]
fn objects_of_every_version_are_there() {
    let with_objects = fixtures().into_iter().filter(|fixture| fixture.contains_key("objects.entries"));
    let mut versions = 0;
    for fixture in with_objects {
        versions += 1;
        let mut store = store_of(&fixture);
        for key in store_with_objects().objects.into_keys() {
            let part = unhex(&fixture[&part_name(&key)]);
            store.objects.insert(key, part);
        }
        let mut channel = wake(&mut store);
        let query = TreeQuery { object_id: "root".into(), path: Path::default() };
        let tree = channel.tree(&mut store, &query).expect("a tree");
        let values: Vec<Option<Value>> = tree.objects[0].entries.iter().map(|(_, entry)| entry.value.clone()).collect();
        let Submission::Objects(said) = operating().content else { unreachable!("operations") };
        let set = |proposal: &Proposal| match &proposal.message.operation.action {
            Action::MapSet { value, .. } => Some(Some(value.clone())),
            _ => None,
        };
        assert_eq!(values, said.iter().filter_map(set).collect::<Vec<_>>());
        let query = TreeQuery { object_id: "counter:c@1".into(), path: Path::default() };
        let counter = channel.tree(&mut store, &query).expect("a tree").objects.remove(0);
        assert_eq!(counter.object.state, parts::State::Counter { count: -2.5 });
        let entry = Packed::from_bytes(unhex(&fixture["objects.entries"])).entries().expect("readable").remove(0);
        let said: Vec<ObjectMessage> = said.into_iter().map(|proposal| proposal.message).collect();
        assert_eq!(entry.objects(), said);
    }
    assert_eq!(versions, 3);
}

#[test]
fn a_session_of_every_version_goes_on() {
    for fixture in fixtures() {
        let record = unhex(&fixture["record"]);
        let mut relay = relay();
        relay.restore(SocketId(1), &record, NOW_MS);
        relay.restored(NOW_MS);
        let (_, effects) = relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
        assert!(frames(&effects, 1).iter().any(|frame| frame.contains("at 5001")), "{effects:?}");
        let key = ConnectionKey::verify(&fixture["connection-key"], b"secret", None).expect("our own");
        assert_eq!((key.connection_id.as_str(), key.generation), ("connection1", 0));
    }
}

#[test]
fn credentials_of_every_version_are_good() {
    for fixture in fixtures() {
        let grant = verified("accessToken", &fixture["token"]);
        assert_eq!((grant.client_id.as_str(), grant.issued_at_ms), (Some("ann"), Some(NOW_MS)));
        assert_eq!(pinned::decode(&unhex(&fixture["revocation"])), Ok(revocation()));
    }
}

#[test]
fn a_push_of_every_version_is_delivered() {
    let mut versions = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.contains_key("push.push")) {
        versions += 1;
        let bytes = |name: &str| unhex(&fixture[name]);
        let mut store = push_store();
        let device: Device = pinned::decode(&bytes("push.device")).expect("readable");
        assert_eq!(device, store.push.devices["d1"]);
        store.push.devices.insert("d1".into(), device);
        store.push.vapid = Some(bytes("push.vapid"));
        store.push.pushes.get_mut("key").expect("a push").2 = bytes("push.push");
        let outputs = app_host(store).turn(AppInput::Alarm, NOW_MS + 1_000);
        let delivered = |output: &AppOutput| match output {
            AppOutput::Attempt(Attempt { to: To::Web(web), .. }) => {
                web.recipient.endpoint.url == "https://push.example.com/d1" && web.message.contains(r#""a":"b""#)
            }
            _ => false,
        };
        assert!(outputs.iter().any(delivered), "{outputs:?}");
    }
    assert_eq!(versions, 2);
}

/// Bytes that a later build wrote, and such as the disk lost.
fn unreadable(bytes: &[u8]) -> [(Vec<u8>, Unreadable); 3] {
    let later = [&[99], &bytes[1..]].concat();
    [
        (later, Unreadable::Version(99)),
        (bytes[..bytes.len() - 1].to_vec(), Unreadable::Damaged),
        (Vec::new(), Unreadable::Damaged),
    ]
}

/// A channel that can't be read is nobody's to begin anew: neither a call nor an alarm changes a byte of it.
#[test]
fn a_channel_that_cannot_be_read_is_refused_and_left_as_it_is() {
    let store = store_of(&fixture(NEWEST));
    for (meta, why) in unreadable(store.meta.as_deref().expect("a meta")) {
        let mut store = MemoryStore { meta: Some(meta), ..store.clone() };
        let before = store.clone();
        let (address, rules) = (address(), rules());
        for call in [None, Some((&address, &rules))] {
            let refused = Channel::wake(&mut store, call, "another", NOW_MS).expect_err("refused");
            assert_eq!(refused, StoreError::from(why));
            assert_eq!((&store.meta, &store.rows, &store.members), (&before.meta, &before.rows, &before.members));
        }
    }
}

/// A row that can't be read is an error to those who ask for it, and what is published later is not lost with it.
#[test]
fn a_row_that_cannot_be_read_is_a_coded_error() {
    let good = store_of(&fixture(NEWEST));
    let bytes = good.rows.values().next().expect("a row").entries.bytes().to_vec();
    for (entries, _) in unreadable(&bytes).into_iter().filter(|(entries, _)| !entries.is_empty()) {
        let mut store = good.clone();
        store.rows.values_mut().next().expect("a row").entries = Packed::from_bytes(entries);
        let before = store.rows.clone();
        let mut channel = wake(&mut store);
        let query = HistoryQuery { forwards: true, limit: 10, ..HistoryQuery::default() };
        let error = channel.history(&mut store, &query, NOW_MS).expect_err("refused");
        assert!(error.is(courtside::error::Code::InternalChannel), "{error}");
        assert_eq!(store.rows, before);
        assert!(store.load().is_ok());
    }
}
