//! Operations in frames: what is read of them, in both formats, and what readers get.

use courtside::error::Code;
use courtside::intake::objects::check;
use courtside::limits::PUBLISH_MAX_MESSAGES;
use courtside::model::Format;
use courtside::model::message::{Content, Entry};
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use courtside::model::objects::parts::{Object, Snapshot, State};
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::protocol::dialect::Dialect;
use courtside::protocol::inbound::{Inbound, decode};
use courtside::protocol::objects::snapshot_node;
use courtside::protocol::outbound::{entries_frame, object_sync_frame};
use proptest::prelude::*;
use serde_json::json;

fn frame(state: serde_json::Value) -> serde_json::Value {
    json!({"action": 19, "channel": "c", "msgSerial": 1, "state": state})
}

fn read_as(format: Format, state: &serde_json::Value) -> Inbound {
    let frame = frame(state.clone());
    let bytes = match format {
        Format::Json => serde_json::to_vec(&frame).unwrap(),
        Format::Msgpack => rmp_serde::to_vec_named(&frame).unwrap(),
    };
    decode(&bytes, format).unwrap()
}

fn operation(state: serde_json::Value) -> Operation {
    match read_as(Format::Json, &state) {
        Inbound::Objects(mut frame) => frame.operations.remove(0).message.operation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_are_read_alike_in_both_formats() {
    let state = json!([
        {"id": "a:0", "clientId": "ann", "extras": {"headers": {}}, "operation": {"action": 1, "objectId": "root",
            "mapSet": {"key": "", "value": {"bytes": "AP8="}}}},
        {"operation": {"action": 4, "objectId": "counter:x@1", "counterInc": {"number": 1}}},
        {"operation": {"action": 6, "objectId": "root"}},
    ]);
    let [json, msgpack] = [Format::Json, Format::Msgpack].map(|format| read_as(format, &state));
    assert_eq!(json, msgpack);
    let Inbound::Objects(frame) = json else { panic!("{json:?}") };
    let first = &frame.operations[0].message;
    assert_eq!((first.id.as_deref(), first.client_id.as_deref()), (Some("a:0"), Some("ann")));
    assert_eq!(first.operation.action, Action::MapSet { key: String::new(), value: Value::Bytes(vec![0, 255]) });
    assert_eq!(frame.operations[1].message.operation.action, Action::CounterInc(1.0));
    assert_eq!(frame.operations[2].message.operation.action, Action::MapClear);
}

#[test]
fn a_create_is_told_in_its_plain_form() {
    let nonce = "0123456789abcdef";
    let initial = r#"{"semantics":0,"entries":{"a":{"data":{"string":"x"}},"b":{"data":{"number":1}},"a":{"data":{"boolean":false}}}}"#;
    let object_id = id::make(Kind::Map, initial, nonce, 5);
    let payload = json!({"initialValue": initial, "nonce": nonce});
    let create = json!([{"operation": {"action": 0, "objectId": object_id, "mapCreateWithObjectId": payload}}]);
    let operation = operation(create);
    let message = ObjectMessage { id: None, client_id: Some("ann".into()), extras: None, operation };
    let content = Content::Objects(vec![message]);
    let entry = Entry { position: Position(7_000), id: "conn:3".into(), connection_id: Some("conn".into()), content };
    let Some(Encoded::Text(told)) = entries_frame("c", "s", &[&entry], Dialect::Frames(Format::Json)) else {
        panic!("a frame")
    };
    let expected = [
        r#"{"action":19,"id":"conn:3","channel":"c","channelSerial":"00000000000007-000@s","connectionId":"conn","#,
        r#""timestamp":7,"state":[{"id":"conn:3:0","clientId":"ann","connectionId":"conn","timestamp":7,"#,
        r#""serial":"00000000000007-000@s:000","serialTimestamp":7,"siteCode":"main","#,
        &format!(r#""operation":{{"action":0,"objectId":"{object_id}","mapCreate":{{"semantics":0,"entries":"#),
        r#"{"b":{"data":{"number":1}},"a":{"data":{"boolean":false}}}}}}]}"#,
    ];
    assert_eq!(told, expected.concat());
}

fn proposals(count: usize, extras: Option<serde_json::Value>) -> Vec<Proposal> {
    let operation = Operation { object_id: "root".into(), action: Action::MapClear };
    let extras = extras.map(|extras| extras.as_object().expect("an object").clone());
    let message = ObjectMessage { id: None, client_id: None, extras, operation };
    vec![Proposal { message, target: Target::Named }; count]
}

#[test]
fn a_publish_is_bounded_and_nobody_claims_what_a_token_does_not_say() {
    use courtside::auth::Identity::Wildcard;
    assert!(check(&mut proposals(PUBLISH_MAX_MESSAGES, None), &Wildcard, None).is_ok());
    let many = check(&mut proposals(PUBLISH_MAX_MESSAGES + 1, None), &Wildcard, None).unwrap_err();
    assert!(many.is(Code::TooManyMessages), "{many}");
    let claim = json!("host");
    let mut said = proposals(1, None);
    check(&mut said, &Wildcard, Some(&claim)).unwrap();
    assert_eq!(said[0].message.extras, json!({"userClaim": "host"}).as_object().cloned());
    let forged = check(&mut proposals(1, Some(json!({"userClaim": "host"}))), &Wildcard, None).unwrap_err();
    assert!(forged.is(Code::BadExtras), "{forged}");
}

/// Else one who creates large maps would write thousands of rows where others send a message.
#[test]
fn a_large_map_counts_for_many_messages() {
    let of = |entries: usize| {
        let entries = (0..entries).map(|key| (key.to_string(), Value::Bool(true))).collect();
        let operation = Operation { object_id: "map:x@1".into(), action: Action::MapCreate(entries) };
        ObjectMessage { id: None, client_id: None, extras: None, operation }.messages()
    };
    assert_eq!([of(0), of(10), of(11), of(10_000)], [1, 1, 2, 1_000]);
}

/// Tells an operation, and gives the frame as its reader has it.
fn told(action: Action, format: Format) -> serde_json::Value {
    let operation = Operation { object_id: "counter:x@1".into(), action };
    let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
    let content = Content::Objects(vec![message]);
    let entry = Entry { position: Position(1), id: "x".into(), connection_id: None, content };
    frame_of(entries_frame("c", "s", &[&entry], Dialect::Frames(format)).expect("a frame"))
}

fn frame_of(told: Encoded) -> serde_json::Value {
    match told {
        Encoded::Text(text) => serde_json::from_str(&text).unwrap(),
        Encoded::Binary(bytes) => rmp_serde::from_slice(&bytes).unwrap(),
        _ => panic!("a frame"),
    }
}

/// SDKs for Java read no integer of msgpack where a number of an object stands, and no float where a field is whole.
#[test]
fn numbers_of_objects_are_floats_in_msgpack_and_nothing_else_is() {
    let snapshot = Snapshot {
        id: "counter:x@1".into(),
        object: Object { state: State::Counter { count: 3.0 }, ..Object::new(Kind::Counter) },
        entries: Vec::new(),
    };
    let sync = |format| {
        frame_of(object_sync_frame("c", "sync:", vec![snapshot_node(&snapshot, "s")], Dialect::Frames(format)))
    };
    let set = Action::MapSet { key: "k".into(), value: Value::Number(1.0) };
    let of_map = Action::MapCreate(vec![("k".into(), Value::Number(1.0))]);
    let told = |format| {
        [
            (told(set.clone(), format), "/state/0/operation/mapSet/value/number"),
            (told(of_map.clone(), format), "/state/0/operation/mapCreate/entries/k/data/number"),
            (told(Action::CounterCreate(1.0), format), "/state/0/operation/counterCreate/count"),
            (told(Action::CounterInc(1.0), format), "/state/0/operation/counterInc/number"),
            (told(Action::CounterStep(-1.0), format), "/state/0/operation/counterInc/number"),
            (sync(format), "/state/0/object/counter/count"),
        ]
    };
    for ((json, place), (mut msgpack, _)) in told(Format::Json).into_iter().zip(told(Format::Msgpack)) {
        let of_json = json.pointer(place).unwrap_or_else(|| panic!("{place}: {json}"));
        assert!(of_json.is_i64(), "{place}: {json}");
        let number = msgpack.pointer_mut(place).expect(place);
        assert!(number.is_f64(), "{place}: {number}");
        *number = (number.as_f64().unwrap() as i64).into();
        // All else is the same, and whole.
        assert_eq!(msgpack, json);
    }
}

/// JavaScript writes whole numbers below 10²¹ with all their digits, which are too many for 64 bits.
#[test]
fn numbers_that_javascript_writes_with_all_their_digits_are_read() {
    let read = |operation: &str, more: &str| {
        let frame = r#"{"action":19,"channel":"c","msgSerial":1,"state":[{"operation":{OPERATION}MORE}]}"#;
        decode(frame.replace("OPERATION", operation).replace("MORE", more).as_bytes(), Format::Json).unwrap()
    };
    let done = |operation: &str| match read(operation, "") {
        Inbound::Objects(mut frame) => frame.operations.remove(0).message.operation.action,
        other => panic!("{operation}: {other:?}"),
    };
    for (digits, number) in
        [("100000000000000000000", 1e20), ("-123456789012345680000", -123_456_789_012_345_680_000.0)]
    {
        let set = format!(r#""action":1,"objectId":"root","mapSet":{{"key":"k","value":{{"number":{digits}}}}}"#);
        assert_eq!(done(&set), Action::MapSet { key: "k".into(), value: Value::Number(number) });
        let inc = format!(r#""action":4,"objectId":"counter:x@1","counterInc":{{"number":{digits}}}"#);
        assert_eq!(done(&inc), Action::CounterInc(number));
        let initial = format!(r#"{{"count":{digits}}}"#);
        let object_id = id::make(Kind::Counter, &initial, "0123456789abcdef", 5);
        let payload = json!({"initialValue": initial, "nonce": "0123456789abcdef"});
        let create = format!(r#""action":3,"objectId":"{object_id}","counterCreateWithObjectId":{payload}"#);
        assert_eq!(done(&create), Action::CounterCreate(number));
        let refused = read(&set, &format!(r#","extras":{{"headers":{{"n":{digits}}}}}"#));
        assert!(matches!(&refused, Inbound::Refused { error, .. } if error.message.contains("64 bits")), "{refused:?}");
    }
}

fn numbers() -> impl Strategy<Value = f64> {
    let finite = any::<f64>().prop_filter("JSON has it", |number| number.is_finite());
    prop_oneof![finite, any::<i32>().prop_map(f64::from), (-60..60).prop_map(|power| f64::from(power).exp2())]
}

proptest! {
    /// A double goes in and out as it is, by text and by bytes.
    #[test]
    fn numbers_are_exact(number in numbers()) {
        let state = json!([{"operation": {"action": 4, "objectId": "counter:x@1", "counterInc": {"number": number}}}]);
        for format in [Format::Json, Format::Msgpack] {
            let Inbound::Objects(frame) = read_as(format, &state) else { panic!("operations") };
            let action = frame.operations[0].message.operation.action.clone();
            prop_assert_eq!(&action, &Action::CounterInc(number));
            let frame = told(action, format);
            let told = &frame["state"][0]["operation"]["counterInc"]["number"];
            prop_assert!(told.is_f64() || format == Format::Json, "{}", told);
            prop_assert_eq!(told.as_f64().expect("a number").to_bits(), number.to_bits());
        }
    }
}
