//! What earlier builds stored is read with its meaning intact, and what cannot be read is refused and left as it was.
//!
//! `tests/fixtures/` holds the bytes that each version of a format had, written by the build that introduced it. The
//! newest are also what this build writes: a change of a format shows here first.

mod samples;
#[allow(dead_code, reason = "other tests need more of the bench")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod bench;
    pub mod grant;
    pub mod hooked;
    pub mod memory_store;
    #[cfg(feature = "mqtt")]
    pub mod mqtt;
}

use std::collections::BTreeMap;

use courtside::app::push::transport::Standing;
use courtside::app::push::{Attempt, Permit, To};
use courtside::auth::{
    App, Apps, Ban, Credentials, Grant, KeyName, Presented, Revocation, Source, Surface, Target, TokenRequest,
};
use courtside::base::pinned::{self, Unreadable};
use courtside::channel::Channel;
use courtside::channel::store::{Row, Store, StoreError, StoredMember, Totals};
use courtside::error::Code;
use courtside::limits::{ENDING_BYTES, HOOK_RETRY_AFTER_MAX_MS, PUSH_DELAY_MS};
use courtside::model::annotation::{Annotation, AnnotationAction, Summary, SummaryCounts};
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::name::AppId;
use courtside::model::objects::operation::{self, Action, ObjectMessage, Operation, Proposal, Value};
use courtside::model::objects::parts::{self, PartKey};
use courtside::model::objects::path::Path;
use courtside::model::operation as message;
use courtside::model::operation::Patch;
use courtside::model::packed::Packed;
use courtside::model::presence::{MemberKey, PresenceAction, PresenceMessage};
use courtside::model::revision;
use courtside::model::revision::Act;
use courtside::model::serial::Position;
use courtside::object::{AppHost, AppInput, AppOutput, Settings};
use courtside::push::{Device, State};
use courtside::relay::SocketId;
use courtside::relay::lives::Life;
use courtside::rpc::connection_key::ConnectionKey;
use courtside::rpc::{AppCall, AppRequest, DirectPush, HookStanding, Note, PushCaller, PushRequest, PushTarget};
use courtside::rpc::{
    HistoryQuery, Lease, MembersQuery, PresenceUpdate, Publish, PublishKey, RelayName, Submission, TreeQuery,
};
use serde_json::json;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use samples::*;
use support::app_store::{self, AppMemory};
use support::bench::*;
use support::hooked::{hook_row, hooked_store};
use support::memory_store::MemoryStore;
#[cfg(feature = "mqtt")]
use support::mqtt;

/// Bytes by what they are: text as it stands, everything else in hexadecimal.
type Fixture = BTreeMap<String, String>;

const EARLIER: [&str; 14] = [
    include_str!("../fixtures/formats-1.txt"),
    include_str!("../fixtures/formats-2.txt"),
    include_str!("../fixtures/formats-3.txt"),
    include_str!("../fixtures/formats-4.txt"),
    include_str!("../fixtures/formats-5.txt"),
    include_str!("../fixtures/formats-6.txt"),
    include_str!("../fixtures/formats-7.txt"),
    include_str!("../fixtures/formats-8.txt"),
    include_str!("../fixtures/formats-9.txt"),
    include_str!("../fixtures/formats-10.txt"),
    include_str!("../fixtures/formats-11.txt"),
    include_str!("../fixtures/formats-12.txt"),
    include_str!("../fixtures/formats-13.txt"),
    include_str!("../fixtures/formats-14.txt"),
];
const NEWEST: &str = include_str!("../fixtures/formats-15.txt");

#[test]
fn what_operators_did_is_read_again() {
    let fixture = fixture(NEWEST);
    assert_eq!(pinned::decode::<Ban>(&unhex(&fixture["ban"])), Ok(ban()));
    assert_eq!(pinned::decode::<Note>(&unhex(&fixture["note"])), Ok(note()));
    let before_silences = self::fixture(EARLIER[4]);
    let earlier = Ban { interval_ms: None, ..ban() };
    assert_eq!(pinned::decode::<Ban>(&unhex(&before_silences["ban"])), Ok(earlier));
    let unreadable = [&[3][..], &unhex(&fixture["ban"])[1..]].concat();
    assert_eq!(pinned::decode::<Ban>(&unreadable), Err(Unreadable::Version(3)));
}

#[test]
fn this_build_writes_the_newest_formats() {
    let text = written().iter().fold(String::new(), |text, (name, value)| text + name + " " + value + "\n");
    let is_built = |line: &&str| cfg!(feature = "mqtt") || !line.starts_with("mqtt.");
    assert_eq!(text.lines().collect::<Vec<_>>(), NEWEST.lines().filter(is_built).collect::<Vec<_>>());
}

/// A channel's storage as a build left it.
fn store_of(fixture: &Fixture) -> MemoryStore {
    let mut store = MemoryStore { meta: Some(unhex(&fixture["meta"])), ..MemoryStore::default() };
    for (messages, name) in [(3, "messages"), (3, "presence")] {
        let value = |field: &str| fixture[&format!("{name}.{field}")].as_str();
        let position = Position(value("position").parse().expect("a number"));
        let entries = Packed::from_bytes(unhex(value("entries")));
        let totals = Totals { messages, bytes: entries.len() as u64 };
        store.rows.insert(
            position,
            Row { position, over: None, totals, keys: value("keys").into(), entries, changes: vec![] },
        );
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
    assert_eq!(versions, 13);
}

/// The version before this one kept each append with the whole message that it left.
fn before_appends_were_parts(operations: &Packed, latest: &Packed) -> Packed {
    let whole = latest.entries().expect("readable").remove(0).messages().first().cloned();
    let entries = operations.entries().expect("readable");
    let earlier = entries.iter().flat_map(|entry| {
        let bytes = pinned::encode(&entry.whole(whole.as_ref()).unwrap_or_else(|| entry.clone()));
        [&[2], &bytes[1..]].concat()
    });
    Packed::from_bytes(earlier.collect())
}

#[test]
fn operations_of_every_version_are_read_whole() {
    let packed = |fixture: &Fixture, name: &str| Packed::from_bytes(unhex(&fixture[name]));
    let parts = |fixture: &Fixture| (packed(fixture, "operations.entries"), packed(fixture, "operations.latest"));
    let (newest, before_endings) = (fixture(NEWEST), fixture(EARLIER[5]));
    let ((operations, latest), (earlier, earlier_latest)) = (parts(&newest), parts(&before_endings));
    let mut ending = unhex(&newest["operations.ending"]);
    ending.resize(ENDING_BYTES, 0);
    let versions = [
        (before_appends_were_parts(&earlier, &earlier_latest), earlier_latest.clone(), None),
        (earlier, earlier_latest, None),
        (operations, latest, Some(ending)),
    ];
    for (operations, latest, ending) in versions {
        let mut store = store_with_versions();
        let (last, row) = store.rows.pop_last().expect("a row");
        store.rows.retain(|position, _| *position == Position(1_000_000_001));
        store.rows.insert(last, Row { entries: operations, ..row });
        store.latest.values_mut().next().expect("a version").entry = latest;
        match ending {
            Some(bytes) => store.endings.values_mut().next().expect("appends").bytes = bytes,
            None => store.endings.clear(),
        }
        let mut channel = wake(&mut store);
        let fed = channel.next(&mut store, Position(1_000_000_001), NOW_MS).expect("a delivery").entries;
        let texts: Vec<Data> =
            fed.entries().expect("readable").into_iter().map(|entry| entry.messages()[0].data.clone()).collect();
        let said = [" and 0", " and 1", " and 1 and 2", " and 1 and 2 and 3"];
        assert_eq!(texts, said.map(|text| Data::Text(text.to_owned())));
    }
}

#[test]
fn summaries_of_every_version_are_read() {
    let target = revision::Target { position: Position(1_000_000_001), place: 2 };
    let mut versions = 0;
    for fixture in fixtures() {
        let entry = |name: &str| Packed::from_bytes(unhex(fixture.get(name)?)).entries().expect("readable").pop();
        let Some(plain) = entry("summary") else { continue };
        versions += 1;
        assert_eq!((plain.summary(), plain.summary_version()), (Some(&summary(target)), None));
        if let Some(filled) = entry("summary.filled") {
            assert_eq!((filled.summary(), filled.summary_version()), (Some(&summary(target)), Some(&updated(target))));
        }
    }
    assert_eq!(versions, 13);
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

#[cfg(feature = "mqtt")]
#[test]
fn a_session_by_mqtt_of_every_version_goes_on() {
    for fixture in fixtures().into_iter().filter(|fixture| fixture.contains_key("mqtt.session")) {
        let mut relay = relay();
        let row = unhex(&fixture["mqtt.session"]);
        // The first was known by no more than its client id.
        let name = if row[0] == 1 { "ann" } else { mqtt::ANN };
        relay.found_kept(vec![(name.to_owned(), row)]);
        relay.restore(SocketId(1), &unhex(&fixture["mqtt.record"]), NOW_MS);
        relay.restored(NOW_MS);
        let (_, effects) = relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
        assert_eq!(mqtt::sent(&effects, 1)[0][..2], *b"\x32\x12");
        relay.lost(SocketId(1), NOW_MS);
        assert_eq!(mqtt::sent(&mqtt::come(&mut relay, 2, "ann", false, NOW_MS), 2)[0][2], 1, "the session is present");
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
fn what_is_known_of_tokens_is_read_again() {
    for fixture in fixtures().into_iter().filter(|fixture| fixture.contains_key("push.permit.denied")) {
        for (name, permit) in permits() {
            assert!(pinned::decode::<Permit>(&unhex(&fixture[name])) == Ok(permit), "{name}");
        }
        let unreadable = [&[2][..], &unhex(&fixture["push.permit.denied"])[1..]].concat();
        let mut store = push_store();
        let recipient = json!({"transportType": "fcm", "registrationToken": "t"});
        let credentials: serde_json::Value =
            serde_json::from_str(include_str!("../fixtures/push_credentials.json")).expect("JSON");
        let apps = json!({"apps": [{"id": "demo", "keys": [], "push": credentials}]}).to_string();
        let apps = Apps::parse(&apps, 0).expect("apps");
        store.push.devices.get_mut("d1").expect("a device").recipient = recipient.to_string();
        store.push.permits.insert("fcm".into(), unreadable.clone());
        let mut host = AppHost::new(Settings { apps: Ok(std::rc::Rc::new(apps)), bounds: Default::default() }, store);
        let outputs = host.turn(AppInput::Alarm, NOW_MS + PUSH_DELAY_MS);
        assert!(!outputs.iter().any(|output| matches!(output, AppOutput::Attempt(_))), "{outputs:?}");
        assert_eq!(host.store().push.permits["fcm"], unreadable, "what a later build wrote is left as it is");
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
    assert_eq!(versions, 12);
}

#[test]
fn a_webhook_of_every_version_goes_on_where_it_is() {
    let mut versions = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.contains_key("hooks")) {
        versions += 1;
        let bytes = |name: &str| unhex(&fixture[name]);
        let mut row = hook_row(messages());
        if bytes("hooks")[0] == 1 {
            row.dead[0].body.clear();
        }
        if bytes("hooks")[0] < 3 {
            // How long the pause was is not known: as long as one can be.
            row.cursors[0].failing.as_mut().expect("it fails").pause_ms = HOOK_RETRY_AFTER_MAX_MS;
        }
        assert_eq!(pinned::decode(&bytes("hooks")).as_ref(), Ok(&row));
        let standing: HookStanding = pinned::decode(&bytes("hooks.standing")).expect("readable");
        assert_eq!(standing, hook_row(messages()).cursors[0].standing());
        assert_eq!(pinned::decode(&bytes("hooks.dead")), Ok(row.dead.remove(0)));
        let mut store = hooked_store(messages());
        (store.meta, store.hooks) = (Some(bytes("hooks.meta")), Some(bytes("hooks")));
        let mut channel = Channel::wake(&mut store, None, "another", NOW_MS).expect("readable").expect("a channel");
        assert!(channel.posts(&mut store, false, "seed", NOW_MS).is_empty(), "it waits");
        let posts = channel.posts(&mut store, false, "seed", NOW_MS + 4_000);
        assert!(String::from_utf8_lossy(&posts[0].body).contains("hello ü"), "{posts:?}");
    }
    assert_eq!(versions, 11);
}

#[test]
fn a_connection_that_webhooks_know_is_read_again() {
    assert_eq!(pinned::decode(&unhex(&fixture(NEWEST)["life"])), Ok(life()));
}

/// A webhook that can't be read is not begun anew: its events would be lost.
#[test]
fn a_channel_whose_webhooks_cannot_be_read_is_refused_and_left_as_it_is() {
    let good = hooked_store(messages());
    for (hooks, why) in unreadable(good.hooks.as_deref().expect("a row")) {
        let mut store = MemoryStore { hooks: Some(hooks.clone()), ..good.clone() };
        let refused = Channel::wake(&mut store, None, "another", NOW_MS).expect_err("refused");
        assert_eq!((refused, store.hooks), (StoreError::from(why), Some(hooks)));
    }
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
