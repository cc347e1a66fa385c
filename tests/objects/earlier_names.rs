//! Objects as versions up to 5 of the protocol call them: what is read of that, and what such clients are told.

use courtside::error::{Code, ErrorInfo};
use courtside::model::Format;
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::node::{self, Node};
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Value};
use courtside::model::objects::parts::{Object, Snapshot, Stamp, State};
use courtside::model::packed::Packed;
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::protocol::dialect::Dialect;
use courtside::protocol::inbound::{Inbound, decode};
use courtside::protocol::objects::snapshot_node;
use courtside::protocol::outbound::{entries_frame, object_sync_frame};
use courtside::relay::Effect;
use courtside::rpc::Delivery;
use serde_json::json;

use crate::support::bench;

const FORMATS: [Format; 2] = [Format::Json, Format::Msgpack];

fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Node<'a>)>) -> Node<'a> {
    Node::Map(fields.into_iter().map(|(name, node)| (name.into(), node)).collect())
}

fn plain(value: serde_json::Value) -> Node<'static> {
    Node::of_value(value)
}

/// An operation as the server reads it in a frame of this format, which has bytes in its own way.
fn read(operation: Node, format: Format) -> Result<Operation, ErrorInfo> {
    let state = Node::List(vec![map([("operation", operation)])]);
    let frame = map([
        ("action", plain(json!(19))),
        ("channel", plain(json!("c"))),
        ("msgSerial", plain(json!(1))),
        ("state", state),
    ]);
    let bytes = match format {
        Format::Json => serde_json::to_vec(&frame).unwrap(),
        Format::Msgpack => rmp_serde::to_vec_named(&frame).unwrap(),
    };
    match decode(&bytes, format).unwrap() {
        Inbound::Objects(mut frame) => Ok(frame.operations.remove(0).message.operation),
        Inbound::Refused { error, .. } => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn earlier_names_are_read_in_both_formats() {
    for format in FORMATS {
        let action = |operation| read(operation, format).unwrap().action;
        let data = map([("bytes", Node::Binary(vec![0, 255])), ("objectId", Node::Null)]);
        let map_op = map([("key", plain(json!("k"))), ("data", data)]);
        let set = map([("action", plain(json!(1))), ("objectId", plain(json!("root"))), ("mapOp", map_op)]);
        assert_eq!(action(set), Action::MapSet { key: "k".into(), value: Value::Bytes(vec![0, 255]) });
        let remove = json!({"action": 2, "objectId": "root", "mapOp": {"key": "k"}});
        assert_eq!(action(plain(remove)), Action::MapRemove { key: "k".into() });
        let inc = json!({"action": 4, "objectId": "counter:x@1", "counterOp": {"amount": -1.5}});
        assert_eq!(action(plain(inc)), Action::CounterInc(-1.5));
        for wrong in [
            json!({"action": 1, "objectId": "root", "mapOp": {"key": "k"}}),
            json!({"action": 1, "objectId": "root", "mapOp": {"key": "k", "value": {"string": "v"}}}),
            json!({"action": 4, "objectId": "root", "mapOp": {"key": "k"}}),
            json!({"action": 4, "objectId": "counter:x@1", "counterOp": {"number": 1}}),
            json!({"action": 4, "objectId": "root", "counterOp": {"amount": 1}}),
            json!({"action": 0, "objectId": "map:x@1", "map": {"semantics": 0}}),
            json!({"action": 5, "objectId": "map:x@1"}),
        ] {
            assert!(read(plain(wrong.clone()), format).unwrap_err().is(Code::BadObject), "{wrong}");
        }
    }
}

/// A nonce is what follows the point of a random number, however short.
#[test]
fn a_create_is_what_its_initial_value_says() {
    let nonce = "12345678901";
    let create = |kind: Kind, initial: &str, nonce: &str| {
        let number = if kind == Kind::Map { 0 } else { 3 };
        let object_id = id::make(kind, initial, "12345678901", 5);
        json!({"action": number, "objectId": object_id, "nonce": nonce, "initialValue": initial})
    };
    let entries = r#"{"map":{"semantics":0,"entries":{"a":{"data":{"bytes":"AP8="}},"b":{"data":{"json":"[1]"}}}}}"#;
    let made = vec![("a".into(), Value::Bytes(vec![0, 255])), ("b".into(), Value::Json("[1]".into()))];
    for format in FORMATS {
        let action = |create: &serde_json::Value| read(plain(create.clone()), format).map(|operation| operation.action);
        let mut full = create(Kind::Map, entries, nonce);
        full["map"] = json!({"semantics": 0, "entries": {"another": {"data": {"number": 1}}}});
        assert_eq!(action(&full), Ok(Action::MapCreate(made.clone())));
        let counter = |initial| action(&create(Kind::Counter, initial, nonce));
        assert_eq!(counter(r#"{"counter":{"count":10}}"#), Ok(Action::CounterCreate(10.0)));
        assert_eq!(counter(r#"{"counter":{}}"#), Ok(Action::CounterCreate(0.0)));
        assert_eq!(counter("{}"), Ok(Action::CounterCreate(0.0)));
        let mut without_nonce = create(Kind::Map, entries, nonce);
        without_nonce.as_object_mut().unwrap().remove("nonce");
        for wrong in [create(Kind::Map, entries, "another"), create(Kind::Map, "no JSON", nonce), without_nonce] {
            assert!(action(&wrong).unwrap_err().is(Code::BadObject), "{wrong}");
        }
    }
}

/// Version 3: the initial value is bytes, of the format that the client speaks.
#[test]
fn an_initial_value_may_be_bytes() {
    let data = map([("data", map([("bytes", Node::Binary(vec![0, 255]))]))]);
    let map_made = map([("semantics", plain(json!(0))), ("entries", map([("a", data)]))]);
    let initial = map([("map", map_made), ("counter", Node::Null)]);
    let made = vec![("a".to_owned(), Value::Bytes(vec![0, 255]))];
    for (format, encoding) in [(Format::Json, "json"), (Format::Msgpack, "msgpack")] {
        let initial = match format {
            Format::Json => serde_json::to_vec(&initial).unwrap(),
            Format::Msgpack => rmp_serde::to_vec_named(&initial).unwrap(),
        };
        let create = |object_id: String| {
            map([
                ("action", plain(json!(0))),
                ("objectId", Node::Text(object_id)),
                ("nonce", plain(json!("12345678901"))),
                ("initialValue", Node::Binary(initial.clone())),
                ("initialValueEncoding", plain(json!(encoding))),
            ])
        };
        let object_id = id::make(Kind::Map, &initial, "12345678901", 5);
        assert_eq!(read(create(object_id), format).unwrap().action, Action::MapCreate(made.clone()));
        let another = id::make(Kind::Map, b"{}", "12345678901", 5);
        assert!(read(create(another), format).unwrap_err().is(Code::BadObject));
    }
}

fn entry(content: Content) -> Entry {
    Entry { position: Position(7_000), id: "conn:3".into(), connection_id: Some("conn".into()), content }
}

/// The state of a frame, from either format, with bytes as they are.
fn state(told: Encoded) -> Node<'static> {
    let frame = match &told {
        Encoded::Text(text) => node::read(text.as_bytes(), Format::Json).unwrap(),
        Encoded::Binary(bytes) => node::read(bytes, Format::Msgpack).unwrap(),
        other => panic!("{other:?}"),
    };
    let state = frame.into_fields().unwrap().into_iter().find(|(name, _)| name == "state");
    state.expect("a state").1.into_owned()
}

/// A whole number of an object, as a format has it.
fn whole(number: i32, format: Format) -> serde_json::Value {
    match format {
        Format::Json => json!(number),
        Format::Msgpack => json!(f64::from(number)),
    }
}

#[test]
fn operations_are_told_in_earlier_names() {
    let bytes = Value::Bytes(vec![0, 255]);
    let actions = [
        ("map:x@1", Action::MapCreate(vec![("value".into(), bytes.clone())])),
        ("counter:x@1", Action::CounterCreate(2.0)),
        ("root", Action::MapSet { key: "value".into(), value: bytes }),
        ("root", Action::MapRemove { key: "number".into() }),
        ("counter:x@1", Action::CounterInc(1.5)),
        ("map:x@1", Action::Delete),
        ("root", Action::MapClear),
    ];
    let message = |(object_id, action): (&str, Action)| {
        let operation = Operation { object_id: object_id.into(), action };
        let extras = json!({"operation": {"mapSet": {"value": 1}}}).as_object().cloned();
        ObjectMessage { id: None, client_id: None, extras, operation }
    };
    let entry = entry(Content::Objects(actions.map(message).into()));
    for format in FORMATS {
        let told = entries_frame("c", "s", &[&entry], Dialect::Earlier(format)).expect("a frame");
        let Node::List(messages) = state(told) else { panic!("a list") };
        let field = |node: &Node<'static>, wanted: &str| {
            let fields = node.clone().into_fields().unwrap();
            fields.into_iter().find(|(name, _)| name == wanted).expect("is there").1
        };
        let bytes = match format {
            Format::Json => plain(json!("AP8=")),
            Format::Msgpack => Node::Binary(vec![0, 255]),
        };
        let data = || map([("bytes", bytes.clone())]);
        let entries = map([("value", map([("data", data())]))]);
        let payloads = [
            (0, "map", map([("semantics", plain(json!(0))), ("entries", entries)])),
            (3, "counter", plain(json!({"count": whole(2, format)}))),
            (1, "mapOp", map([("key", plain(json!("value"))), ("data", data())])),
            (2, "mapOp", plain(json!({"key": "number"}))),
            (4, "counterOp", plain(json!({"amount": 1.5}))),
            (5, "objectDelete", plain(json!({}))),
            (6, "mapClear", plain(json!({}))),
        ];
        assert_eq!(messages.len(), payloads.len());
        for (message, (action, name, payload)) in messages.iter().zip(payloads) {
            let operation = field(message, "operation");
            assert_eq!((field(&operation, "action"), field(&operation, name)), (plain(json!(action)), payload));
            assert_eq!(field(message, "extras"), plain(json!({"operation": {"mapSet": {"value": 1}}})));
            assert_eq!(field(message, "siteCode"), plain(json!("main")));
        }
    }
}

#[test]
fn a_sync_is_told_in_earlier_names_and_other_frames_as_ever() {
    let stamp = Stamp { position: Position(7_000), index: 0 };
    let state_now = State::Counter { count: 3.0 };
    let object = Object { state: state_now, created: true, stamp: Some(stamp), ..Object::new(Kind::Counter) };
    let snapshot = Snapshot { id: "counter:x@1".into(), object, entries: Vec::new() };
    for format in FORMATS {
        let dialect = Dialect::Earlier(format);
        let told = object_sync_frame("c", "sync:", vec![snapshot_node(&snapshot, "s")], dialect);
        let expected = json!([{"object": {
            "objectId": "counter:x@1", "siteTimeserials": {"main": "00000000000007-000@s:000"}, "tombstone": false,
            "createOp": {"action": 3, "objectId": "counter:x@1", "counter": {"count": whole(0, format)}},
            "counter": {"count": whole(3, format)},
        }}]);
        assert_eq!(state(told), plain(expected));
        let message = Message { data: Data::Text("hello".into()), ..Message::default() };
        let entry = entry(Content::Messages(vec![message]));
        let told = |dialect| format!("{:?}", entries_frame("c", "s", &[&entry], dialect));
        assert_eq!(told(dialect), told(Dialect::Frames(format)));
    }
}

/// A connection is told the earlier names by its version, and a frame without objects is made once for all versions.
#[test]
fn versions_up_to_5_are_told_apart_where_there_are_objects() {
    let mut relay = bench::relay();
    let versions = [Some("1.2"), Some("5"), Some("5.1"), None, Some("6"), Some("10"), Some("x")];
    for (socket, version) in (1..).zip(versions) {
        let query: Vec<_> = version.into_iter().map(|version| ("v".to_owned(), version.to_owned())).collect();
        bench::open(&mut relay, socket, &query);
        let attach = r#"{"action":10,"channel":"room","params":{"modes":"subscribe,object_subscribe"}}"#;
        let attached = bench::send(&mut relay, socket, attach);
        if socket == 1 {
            let (ticket, _) = bench::call(&attached);
            relay.answered(ticket, bench::subscribed(10), bench::NOW_MS);
        }
    }
    let sent = |effects: Vec<Effect>| {
        let sent = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send { sockets, frame } => Some((sockets.into_iter().map(|socket| socket.0).collect(), frame)),
            _ => None,
        });
        sent.collect::<Vec<(Vec<u32>, Encoded)>>()
    };
    let (_, effects) = relay.deliver(&bench::delivery(10, &[11]), bench::NOW_MS);
    let [(sockets, _)] = &sent(effects)[..] else { panic!("one frame") };
    assert_eq!(*sockets, [1, 2, 3, 4, 5, 6, 7]);

    let operation = Operation { object_id: "counter:x@1".into(), action: Action::CounterInc(1.0) };
    let content = Content::Objects(vec![ObjectMessage { id: None, client_id: None, extras: None, operation }]);
    let entries = Packed::one(&Entry { position: Position(12), ..entry(content) });
    let delivery = Delivery { entries, through: Position(12), ..bench::delivery(11, &[]) };
    let (_, effects) = relay.deliver(&delivery, bench::NOW_MS);
    let mut told = sent(effects);
    told.sort_by_key(|(sockets, _)| sockets[0]);
    let [(earlier, first), (todays, second)] = &told[..] else { panic!("two frames, not {told:?}") };
    assert_eq!((&earlier[..], &todays[..]), (&[1, 2, 3][..], &[4, 5, 6, 7][..]));
    let text = |frame: &Encoded| format!("{frame:?}");
    assert!(text(first).contains("counterOp") && !text(first).contains("counterInc"), "{first:?}");
    assert!(text(second).contains("counterInc") && !text(second).contains("counterOp"), "{second:?}");
}
