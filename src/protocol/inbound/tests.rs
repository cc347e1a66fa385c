//! What is made of frames, good and bad.

use super::*;
use crate::limits::DECODE_ERROR_MAX_BYTES;
use proptest::prelude::*;

fn json(text: &str) -> Result<Inbound, ErrorInfo> {
    decode(text.as_bytes(), Format::Json)
}

#[test]
fn reads_a_publish() {
    let Inbound::Publish(frame) = json(
        r#"{"action":15,"channel":"room","messages":[{"name":"n","data":"d","action":0,"size":2,"new":[1]}],"msgSerial":3,"params":{"a":1}}"#,
    )
    .unwrap() else {
        panic!("not a publish")
    };
    assert_eq!((frame.channel.as_str(), frame.msg_serial, frame.messages.len()), ("room", 3, 1));
    assert_eq!(frame.params.get("a").unwrap(), "1");
    let message = frame.messages[0].clone().into_message().unwrap();
    assert_eq!((message.name.as_deref(), message.size()), (Some("n"), 2));
}

#[test]
fn null_is_absent_and_unknown_actions_are_ignored() {
    let attach = r#"{"action":10,"channel":"c","channelSerial":null,"flags":null,"params":null,"auth":null}"#;
    let expected = Inbound::Attach { channel: "c".into(), serial: None, flags: 0, params: Params::default() };
    assert_eq!(json(attach).unwrap(), expected);
    assert_eq!(json(r#"{"action":99}"#).unwrap(), Inbound::Unknown);
    assert_eq!(json(r#"{"action":300}"#).unwrap(), Inbound::Unknown);
}

#[test]
fn json_may_come_as_bytes() {
    assert_eq!(decode(br#"{"action":7}"#, Format::Msgpack), json(r#"{"action":7}"#));
    assert_eq!(decode(b"\x81\xa6action\x07", Format::Msgpack), Ok(Inbound::Close));
}

#[test]
fn integers_may_come_as_floats() {
    assert_eq!(json(r#"{"action":7.0}"#).unwrap(), Inbound::Close);
    for bad in [
        r#"{"action":7.5}"#,
        r#"{"action":-7}"#,
        r#"{"action":1e300}"#,
        r#"{"action":"7"}"#,
        r#"{"action":15,"msgSerial":18446744073709551615}"#,
    ] {
        assert!(json(bad).unwrap_err().is(Code::BadBody), "{bad}");
    }
}

#[test]
fn what_has_a_serial_is_refused_by_it() {
    let refused = json(r#"{"action":15,"msgSerial":4,"channel":"c","messages":"what"}"#).unwrap();
    assert!(matches!(refused, Inbound::Refused { msg_serial: 4, error } if error.is(Code::BadBody)));
}

/// A frame of msgpack, whose values are written in JSON but for one, which is given in bytes.
fn packed(before: &[(&str, u8)], name: &str, value: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
    let fields = before.iter().flat_map(|(name, value)| [text(name), vec![*value]].concat());
    let mut frame = vec![0x80 | (before.len() + 1) as u8];
    frame.extend(fields);
    [frame, text(name), value.to_vec()].concat()
}

#[test]
fn a_message_that_cannot_be_kept_costs_itself() {
    let numbered = [("action", 15), ("msgSerial", 4)];
    let message = |value: &[u8]| [&[0x91, 0x81, 0xa4][..], b"data", value].concat();
    for value in [&[0xd4, 1, 1][..], &[0x81, 1, 2], &[0x91, 0xc4, 1, 7], &[0x91, 0xd4, 5, 0]] {
        let frame = decode(&packed(&numbered, "messages", &message(value)), Format::Msgpack).unwrap();
        assert!(matches!(frame, Inbound::Refused { msg_serial: 4, .. }), "{value:x?}: {frame:?}");
    }
    for value in ["1e400", "12345678901234567890123", r#"{"a":[-99999999999999999999]}"#] {
        let frame = json(&format!(r#"{{"action":15,"msgSerial":4,"channel":"c","messages":[{{"data":{value}}}]}}"#));
        assert!(matches!(frame, Ok(Inbound::Refused { msg_serial: 4, .. })), "{value}: {frame:?}");
    }
    for kept in ["1e300", "18446744073709551615", "-0.0", "0.1", r#""12345678901234567890123""#] {
        let frame = json(&format!(r#"{{"action":15,"msgSerial":4,"messages":[{{"data":[{kept}]}}]}}"#)).unwrap();
        let Inbound::Publish(frame) = frame else { panic!("{kept}: {frame:?}") };
        let data = frame.messages[0].clone().into_message().unwrap().data;
        assert_eq!(data, crate::model::data::Data::Text(format!("[{kept}]").replace("1e300", "1e+300")), "{kept}");
    }
}

#[test]
fn half_an_emoji_is_read_as_the_replacement_character() {
    let frame = json(
        r#"{"action":15,"msgSerial":4,"channel":"\ud83cx","messages":[{"name":"\udfbe","data":"\ud83c!","extras":{"headers":{"\ud83c":"\ud83c\udfbe"}}}]}"#,
    );
    let Ok(Inbound::Publish(frame)) = frame else { panic!("{frame:?}") };
    let message = frame.messages[0].clone().into_message().unwrap();
    assert_eq!((frame.channel.as_str(), message.name.as_deref()), ("\u{fffd}x", Some("\u{fffd}")));
    assert_eq!(message.data, crate::model::data::Data::Text("\u{fffd}!".into()));
    let headers = serde_json::json!({"headers": {"\u{fffd}": "\u{1f3be}"}});
    assert_eq!(message.extras, headers.as_object().cloned());
}

#[test]
fn a_plain_frame_of_which_something_is_wrong_is_done_as_far_as_it_can_be() {
    let heartbeat = |id: Option<&str>| Inbound::Heartbeat { id: id.map(str::to_owned) };
    assert_eq!(json(r#"{"action":0,"id":17}"#).unwrap(), heartbeat(Some("17")));
    assert_eq!(json(r#"{"action":0,"id":{}}"#).unwrap(), heartbeat(None));
    assert_eq!(json(r#"{"action":7,"flags":"x"}"#).unwrap(), Inbound::Close);
    assert_eq!(decode(&packed(&[("action", 7)], "new", &[0xd4, 9, 9]), Format::Msgpack).unwrap(), Inbound::Close);
    for wrong in [r#""flags":"x""#, r#""params":[1]"#, r#""channelSerial":5"#, r#""params":{"a":1e400}"#] {
        for channel in
            [format!(r#"{{"action":10,"channel":"c",{wrong}}}"#), format!(r#"{{"action":10,{wrong},"channel":"c"}}"#)]
        {
            let refused = json(&channel).unwrap();
            assert!(matches!(refused, Inbound::ChannelRefused { channel, .. } if channel == "c"), "{wrong}");
        }
    }
}

#[test]
fn what_cannot_be_read_ends_the_connection() {
    for bad in ["", "{", "[]", "null", r#"{"channel":"x"}"#, r#"{"action":15,"channel":"c","messages":[]}"#] {
        assert!(json(bad).unwrap_err().is(Code::BadBody), "{bad}");
    }
    assert!(decode(&vec![b' '; FRAME_MAX_BYTES + 1], Format::Json).unwrap_err().is(Code::TooLarge));
    let large = format!(r#"{{"action":14,"channel":"c","presence":[{{"data":"{}"}}]}}"#, "x".repeat(FRAME_MAX_BYTES));
    assert!(json(&large).unwrap_err().is(Code::TooLarge), "without a serial");
    let trailing =
        [&rmp_serde::to_vec_named(&std::collections::BTreeMap::from([("action", 7)])).unwrap()[..], &[0]].concat();
    assert!(decode(&trailing, Format::Msgpack).unwrap_err().is(Code::BadBody));
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_serial() {
    for action in [14, 15, 19, 21] {
        let of = |bytes: usize| {
            let fields = [("action", action), ("msgSerial", 7)];
            let text = format!(r#"{{"action":{action},"msgSerial":7,"x":"{}"}}"#, "x".repeat(bytes));
            let binary = packed(&fields, "x", &rmp_serde::to_vec(&"x".repeat(bytes)).unwrap());
            [json(&text), decode(&binary, Format::Msgpack)]
        };
        for refused in of(FRAME_MAX_BYTES) {
            let Ok(Inbound::Refused { msg_serial: 7, error }) = refused else { panic!("{action}: {refused:?}") };
            assert!(error.is(Code::TooLarge));
        }
        for ended in of(REFUSED_FRAME_MAX_BYTES) {
            assert!(ended.unwrap_err().is(Code::TooLarge));
        }
    }
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    let error = json(&format!(r#"{{"action":"{}"}}"#, "ü".repeat(100_000))).unwrap_err();
    assert!(error.is(Code::BadBody) && error.message.len() <= DECODE_ERROR_MAX_BYTES);
}

#[test]
fn messages_beyond_the_bound_take_no_memory() {
    let frame = format!(r#"{{"action":15,"msgSerial":1,"messages":[{}{{}}]}}"#, "{},".repeat(100_000));
    let Inbound::Publish(frame) = json(&frame).unwrap() else { panic!("not a publish") };
    assert_eq!(frame.messages.len(), PUBLISH_MAX_MESSAGES + 1);
}

#[test]
fn nesting_is_bounded() {
    let deep = format!(r#"{{"action":0,"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let _ = json(&deep);
    let deep = format!(
        r#"{{"action":15,"msgSerial":1,"messages":[{{"extras":{}1{}}}]}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    assert!(json(&deep).is_err() || matches!(json(&deep), Ok(Inbound::Refused { .. })));
    let mut packed = vec![0x81, 0xa1, b'x'];
    packed.extend(std::iter::repeat_n(0x91, 100_000));
    assert!(decode(&packed, Format::Msgpack).unwrap_err().is(Code::BadBody));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&bytes, Format::Json);
        let _ = decode(&bytes, Format::Msgpack);
    }

    #[test]
    fn damaged_frames_do_not_panic(at in 0usize..80, byte in any::<u8>()) {
        let frame = serde_json::json!({"action": 15, "channel": "c", "msgSerial": 1, "messages": [{"data": "x", "extras": {"a": [1, null]}}]});
        for (format, mut bytes) in [
            (Format::Json, serde_json::to_vec(&frame).unwrap()),
            (Format::Msgpack, rmp_serde::to_vec_named(&frame).unwrap()),
        ] {
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes, format);
            let _ = decode(&bytes[..at], format);
        }
    }
}
