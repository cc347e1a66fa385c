//! What clients see, pinned byte for byte.

use serde_json::json;

use super::dialect::Dialect;
use super::outbound::{Outbound, PublishResult, entries_frame, page_message, serials};
use super::*;
use crate::error::Code;
use crate::model::Format;
use crate::model::data::Data;
use crate::model::message::{Content, Entry, Message};
use crate::model::serial::Position;

const JSON: Dialect = Dialect::Frames(Format::Json);

fn entry(counter: u64, data: Data) -> Entry {
    let message = Message {
        name: Some("greet".into()),
        data,
        encoding: Some("json".into()),
        client_id: Some("bob".into()),
        ..Message::default()
    };
    let position = Position(1_795_492_559_948_000 + counter);
    Entry {
        position,
        id: format!("Ht1R:{counter}"),
        connection_id: Some("Ht1R".into()),
        content: Content::Messages(vec![message]),
    }
}

fn text(encoded: Encoded) -> String {
    match encoded {
        Encoded::Text(text) => text,
        _ => panic!("no text"),
    }
}

#[test]
fn a_lone_publish_is_its_own_frame() {
    let entry = entry(0, Data::Text("{\"a\":1}".into()));
    let frame = entries_frame("room", "Oaya", &[&entry], JSON).unwrap();
    assert_eq!(
        text(frame),
        concat!(
            r#"{"action":15,"id":"Ht1R:0","channel":"room","channelSerial":"01795492559948-000@Oaya","connectionId":"Ht1R","#,
            r#""timestamp":1795492559948,"messages":[{"id":"Ht1R:0:0","name":"greet","data":"{\"a\":1}","encoding":"json","#,
            r#""clientId":"bob","action":0,"serial":"01795492559948-000@Oaya:000"}]}"#
        )
    );
}

#[test]
fn merged_publishes_say_what_differs_from_their_frame() {
    let (first, second) = (entry(0, Data::Text("1".into())), entry(1_000, Data::Absent));
    let frame = entries_frame("room", "Oaya", &[&first, &second], JSON).unwrap();
    assert_eq!(
        text(frame),
        concat!(
            r#"{"action":15,"channel":"room","channelSerial":"01795492559949-000@Oaya","connectionId":"Ht1R","#,
            r#""timestamp":1795492559949,"messages":["#,
            r#"{"id":"Ht1R:0:0","name":"greet","data":"1","encoding":"json","clientId":"bob","#,
            r#""timestamp":1795492559948,"action":0,"serial":"01795492559948-000@Oaya:000"},"#,
            r#"{"id":"Ht1R:1000:0","name":"greet","encoding":"json","clientId":"bob","#,
            r#""action":0,"serial":"01795492559949-000@Oaya:000"}]}"#
        )
    );
    assert_eq!(entries_frame("room", "Oaya", &[], JSON), None);
}

#[test]
fn a_merged_message_of_no_connection_is_not_taken_for_another_connections() {
    let from =
        |connection: Option<&str>| Entry { connection_id: connection.map(str::to_owned), ..entry(0, Data::Absent) };
    let (first, rest, last) = (from(Some("A")), from(None), from(Some("A")));
    let frame = entries_frame("room", "Oaya", &[&first, &rest, &last], JSON).unwrap();
    let frame: serde_json::Value = serde_json::from_str(&text(frame)).unwrap();
    let said = |value: &serde_json::Value| value.get("connectionId").cloned();
    let messages: Vec<_> = frame["messages"].as_array().unwrap().iter().map(said).collect();
    assert_eq!((said(&frame), messages), (None, vec![Some(json!("A")), None, Some(json!("A"))]));
}

#[test]
fn bytes_are_base64_in_json_and_bytes_in_msgpack() {
    let entry = entry(0, Data::Binary(vec![1, 2, 3]));
    let json = serde_json::to_value(page_message(&entry, 0, "Oaya", Format::Json)).unwrap();
    assert_eq!((&json["data"], &json["encoding"]), (&json!("AQID"), &json!("json/base64")));
    assert_eq!(json["version"], json!({"serial": "01795492559948-000@Oaya:000", "timestamp": 1_795_492_559_948_u64}));
    let packed = to_msgpack(&page_message(&entry, 0, "Oaya", Format::Msgpack));
    let key_then_bin = [b"\xa4data".as_slice(), b"\xc4\x03\x01\x02\x03", b"\xa8encoding", b"\xa4json"].concat();
    assert!(packed.windows(key_then_bin.len()).any(|window| window == key_then_bin));
}

#[test]
fn acknowledgements_carry_serials() {
    let res = [serials(Position(5_001), "s", 2), PublishResult::default()];
    let ack =
        Outbound { action: action::ACK, msg_serial: Some(0), count: Some(2), res: Some(&res), ..Outbound::default() };
    let expected = r#"{"action":1,"msgSerial":0,"count":2,"res":[{"serials":["00000000000005-001@s:000","00000000000005-001@s:001"]},{"serials":[]}]}"#;
    assert_eq!(to_json(&ack), expected);
}

#[test]
fn errors_are_spelled_as_clients_read_them() {
    let error = Code::NotPermitted.because("no");
    let frame = Outbound { action: action::ERROR, channel: Some("c"), error: Some(&error), ..Outbound::default() };
    let expected = r#"{"action":9,"channel":"c","error":{"code":40160,"statusCode":401,"message":"no","href":"https://help.ably.io/error/40160"}}"#;
    assert_eq!(to_json(&frame), expected);
}

#[test]
fn stored_increments_are_pinned() {
    use crate::model::objects::operation::{Action, ObjectMessage, Operation};
    let stored = |action| {
        let operation = Operation { object_id: "c".into(), action };
        let message = ObjectMessage { id: None, client_id: None, extras: None, operation };
        let content = crate::model::message::Content::Objects(vec![message]);
        let entry = Entry { position: Position(1), id: "p".into(), connection_id: None, content };
        crate::base::pinned::encode(&entry)
    };
    let of_action =
        |action: u8| [&b"\x04\x01\x01p\x00\x03\x01\x00\x00\x00\x01c"[..], &[action], &1.0_f64.to_le_bytes()].concat();
    assert_eq!(stored(Action::CounterInc(1.0)), of_action(4));
    assert_eq!(stored(Action::CounterStep(1.0)), of_action(7));
}

#[test]
fn stored_entries_are_pinned() {
    let entry = entry(0, Data::Text("x".into()));
    let bytes = crate::base::pinned::encode(&entry);
    let position = b"\xe0\x91\xee\x81\xdb\x9f\x98\x03";
    let message = b"\x00\x01\x00\x01\x05greet\x01\x01x\x01\x04json\x01\x03bob\x00";
    let of_version = |version: &[u8]| [version, &position[..], b"\x06Ht1R:0\x01\x04Ht1R", message].concat();
    assert_eq!(bytes, of_version(b"\x04"));
    for bytes in [bytes, of_version(b"\x03"), of_version(b"\x02"), of_version(b"\x01")] {
        assert_eq!(crate::base::pinned::decode(&bytes).as_ref(), Ok(&entry));
    }
}
