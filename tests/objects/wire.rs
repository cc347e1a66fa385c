//! Operations in frames: what is read of them, in both formats, and what readers get.

use courtside::error::Code;
use courtside::intake::objects::check;
use courtside::limits::PUBLISH_MAX_MESSAGES;
use courtside::model::Format;
use courtside::model::message::{Content, Entry};
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::protocol::dialect::Dialect;
use courtside::protocol::inbound::{Inbound, decode};
use courtside::protocol::outbound::entries_frame;
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

proptest! {
    /// A double goes in and out as it is, by text and by bytes.
    #[test]
    fn numbers_are_exact(number in any::<f64>().prop_filter("JSON has it", |number| number.is_finite())) {
        let state = json!([{"operation": {"action": 4, "objectId": "counter:x@1", "counterInc": {"number": number}}}]);
        for format in [Format::Json, Format::Msgpack] {
            let Inbound::Objects(frame) = read_as(format, &state) else { panic!("operations") };
            let message = frame.operations[0].message.clone();
            prop_assert_eq!(&message.operation.action, &Action::CounterInc(number));
            let content = Content::Objects(vec![message]);
            let entry = Entry { position: Position(1), id: "x".into(), connection_id: None, content };
            let told = match entries_frame("c", "s", &[&entry], Dialect::Frames(format)) {
                Some(Encoded::Text(text)) => {
                    let (_, number) = text.split_once(r#""number":"#).expect("a number");
                    number.split('}').next().expect("its end").parse::<f64>().expect("a number")
                }
                Some(Encoded::Binary(bytes)) => {
                    let frame: serde_json::Value = rmp_serde::from_slice(&bytes).unwrap();
                    frame["state"][0]["operation"]["counterInc"]["number"].as_f64().expect("a number")
                }
                _ => panic!("a frame"),
            };
            prop_assert_eq!(told.to_bits(), number.to_bits());
        }
    }
}
