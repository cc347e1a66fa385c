//! Event streams: how frames are written as events, and what a reader has of them.

use serde_json::json;

use super::*;
use crate::error::Code;
use crate::model::node::{self, Node};
use crate::model::serial::Position;
use crate::protocol::dialect::Dialect;
use crate::protocol::outbound::{OutboundData, OutboundPresence};

const SSE: Style = Style(ENVELOPED);
const PLAIN: Style = Style(0);
const JSON_LINES: Style = Style(LINES | ENVELOPED);
const SIGN_OF_LIFE: Outbound<'static> = frame(action::HEARTBEAT, None);

/// What a reader gets of frames, and where it is then.
fn read(style: Style, places: &mut [Place], frames: &[&Outbound<'_>]) -> String {
    let said: Vec<Said> = frames.iter().map(|frame| said(frame, style)).collect();
    body(style, places, said.iter())
}

/// Readers of these channels, who have what a cursor says.
fn at(channels: &[&str], cursor: &str) -> Vec<Place> {
    let serials = cursor.split(',').map(str::to_owned).chain(std::iter::repeat(String::new()));
    let place = |(channel, serial): (&&str, String)| Place {
        channel: channel.to_string(),
        serial: Some(serial).filter(|serial| !serial.is_empty()),
    };
    channels.iter().zip(serials).map(place).collect()
}

const fn frame(action: u8, channel: Option<&'static str>) -> Outbound<'static> {
    Outbound {
        action,
        channel,
        id: None,
        channel_serial: None,
        connection_id: None,
        connection_key: None,
        connection_details: None,
        msg_serial: None,
        count: None,
        flags: None,
        timestamp: None,
        params: None,
        messages: None,
        presence: None,
        state: None,
        annotations: None,
        res: None,
        error: None,
    }
}

fn attached(channel: &'static str, serial: &'static str) -> Outbound<'static> {
    Outbound { channel_serial: Some(serial), ..frame(action::ATTACHED, Some(channel)) }
}

fn message(id: &str, data: &'static str, serial: &str, timestamp: Option<u64>) -> OutboundMessage<'static> {
    OutboundMessage {
        id: id.to_owned(),
        name: Some("n"),
        data: OutboundData::Text(data),
        encoding: None,
        client_id: None,
        connection_id: None,
        timestamp,
        extras: None,
        action: 0,
        serial: serial.to_owned(),
        at: Position::ZERO,
        version: None,
        annotations: None,
        operation: None,
    }
}

fn saying(messages: Vec<OutboundMessage<'static>>) -> Outbound<'static> {
    Outbound { messages: Some(messages), ..frame(action::MESSAGE, Some("a")) }
}

/// Two publishes; the first has two messages.
fn messages() -> Outbound<'static> {
    let messages = vec![
        message("c:0:0", "one", "00000000000002-000@s:000", Some(2)),
        message("c:0:1", "two\nlines", "00000000000002-000@s:001", Some(2)),
        message("c:1:0", "three", "00000000000003-000@s:000", None),
    ];
    Outbound {
        channel_serial: Some("00000000000003-000@s"),
        connection_id: Some("c"),
        timestamp: Some(3),
        ..saying(messages)
    }
}

#[test]
fn events_are_pinned() {
    let mut places = at(&["a"], "");
    assert_eq!(read(SSE, &mut places, &[&attached("a", "00000000000001-000@s")]), "id: 00000000000001-000@s\n\n");
    let expected = concat!(
        "id: 00000000000002-000@s:000\nevent: message\n",
        r#"data: {"id":"c:0:0","name":"n","data":"one","timestamp":2,"action":0,"serial":"00000000000002-000@s:000","connectionId":"c","channel":"a"}"#,
        "\n\nid: 00000000000002-000@s\nevent: message\n",
        r#"data: {"id":"c:0:1","name":"n","data":"two\nlines","timestamp":2,"action":0,"serial":"00000000000002-000@s:001","connectionId":"c","channel":"a"}"#,
        "\n\nid: 00000000000003-000@s\nevent: message\n",
        r#"data: {"id":"c:1:0","name":"n","data":"three","action":0,"serial":"00000000000003-000@s:000","connectionId":"c","timestamp":3,"channel":"a"}"#,
        "\n\n",
    );
    assert_eq!(read(SSE, &mut places, &[&messages()]), expected);
}

#[test]
fn without_envelopes_an_event_is_the_data_of_its_message() {
    let expected = concat!(
        "id: 00000000000002-000@s:000\nevent: message\ndata: one\n\n",
        "id: 00000000000002-000@s\nevent: message\ndata: two\ndata: lines\n\n",
        "id: 00000000000003-000@s\nevent: message\ndata: three\n\n",
    );
    assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[&messages()]), expected);
}

#[test]
fn lines_say_the_same() {
    let mut places = at(&["a"], "");
    let begun = read(JSON_LINES, &mut places, &[&attached("a", "00000000000001-000@s")]);
    assert_eq!(begun, "{\"id\":\"00000000000001-000@s\"}\n");
    let lines = read(JSON_LINES, &mut places, &[&messages()]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Value| (line["id"].clone(), line["event"].clone(), line["data"]["data"].clone());
    assert_eq!(told(&lines[1]), ("00000000000002-000@s".into(), "message".into(), "two\nlines".into()));
    let plain = read(Style(LINES), &mut at(&["a"], ""), &[&messages()]);
    let first = "{\"id\":\"00000000000002-000@s:000\",\"event\":\"message\",\"data\":\"one\"}";
    assert_eq!(plain.lines().next(), Some(first));
}

#[test]
fn nothing_in_a_message_passes_for_an_event() {
    let mean =
        OutboundMessage { name: Some("x\rdata: y\nid: 1"), ..message("i", "a\rid: 2\n\nevent: z\r\n\r\nb", "s", None) };
    let events = read(PLAIN, &mut at(&["a"], ""), &[&saying(vec![mean])]);
    let expected = "id: s\nevent: message\ndata: a\ndata: id: 2\ndata: \ndata: event: z\ndata: \ndata: b\n\n";
    assert_eq!(events, expected);
    for name in ["error", "gap", "open", "heartbeat", "presence"] {
        let own = || saying(vec![OutboundMessage { name: Some(name), ..message("i", "{\"code\":40142}", "s", None) }]);
        assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[&own()]), "id: s\nevent: message\ndata: {\"code\":40142}\n\n");
        let line = read(Style(LINES), &mut at(&["a"], ""), &[&own()]);
        assert!(line.starts_with(r#"{"id":"s","event":"message","#), "{line}");
    }
    let empty = saying(vec![OutboundMessage { data: OutboundData::Absent, ..message("i", "", "s", None) }]);
    assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[&empty]), "id: s\nevent: message\ndata: \n\n");
}

#[test]
fn who_comes_back_gets_what_follows_its_place() {
    let whole = read(SSE, &mut at(&["a"], ""), &[&messages()]);
    let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
    // Within a publish, all of it comes again.
    for (index, begins) in ["00000000000001-999@s", "00000000000002-000@s", "00000000000003-000@s"].iter().enumerate() {
        let id = events[index].strip_prefix("id: ").and_then(|rest| rest.lines().next()).unwrap();
        let mut places = at(&["a"], id);
        let resumed = read(SSE, &mut places, &[&attached("a", begins), &messages()]);
        assert_eq!(resumed, format!("id: {id}\n\n{}", events[index + 1..].concat()));
    }
}

#[test]
fn an_operation_has_a_place_of_its_own() {
    let place = |serial: &str| Some(format!("0000000000000{serial}"));
    let operation = |action, at| OutboundMessage {
        action,
        operation: place(at),
        ..message("c:2:0", "new", "00000000000001-000@s:000", Some(1))
    };
    // The message is long ago; an operation is as far as the frame says.
    let frame = saying(vec![operation(UPDATED, "4-000@s:000"), operation(DELETED, "5-000@s:000")]);
    let mut places = at(&["a"], "00000000000003-000@s");
    let told = read(PLAIN, &mut places, &[&frame]);
    let update = "id: 00000000000004-000@s\nevent: update\ndata: new\n\n";
    assert_eq!(told, format!("{update}id: 00000000000005-000@s\nevent: delete\ndata: new\n\n"));
    assert_eq!(read(PLAIN, &mut places, &[&frame]), "", "it has them");
    assert_eq!(read(SSE, &mut at(&["a"], "00000000000004-000@s"), &[&frame]).matches("event: message").count(), 1);
    let now = OutboundMessage { operation: None, ..operation(UPDATED, "") };
    assert!(read(PLAIN, &mut at(&["a"], ""), &[&saying(vec![now])]).contains("event: message"), "a message, as it is");
}

#[test]
fn a_cursor_names_every_channel() {
    let mut places = at(&["a", "b"], "");
    assert_eq!(read(SSE, &mut places, &[&attached("b", "00000000000001-000@t")]), "");
    let both = read(SSE, &mut places, &[&attached("a", "00000000000001-000@s")]);
    assert_eq!(both, "id: 00000000000001-000@s,00000000000001-000@t\n\n");
    let events = read(SSE, &mut places, &[&messages()]);
    assert!(events.contains("id: 00000000000003-000@s,00000000000001-000@t\n"), "{events}");
    // Of a channel that nobody asked for, nothing is said.
    assert_eq!(read(SSE, &mut at(&["c"], ""), &[&attached("a", "00000000000001-000@s"), &messages()]), "");
}

#[test]
fn a_gap_is_told_and_gone_on_behind() {
    let mut places = at(&["a"], "00000000000009-000@other:001");
    let error = Code::Disconnected.because("lost");
    let gap = Outbound { error: Some(&error), ..attached("a", "00000000000001-000@s") };
    let data = json!({"channel": "a", "error": error}).to_string();
    assert_eq!(read(SSE, &mut places, &[&gap]), format!("id: 00000000000001-000@s\nevent: gap\ndata: {data}\n\n"));
    assert_eq!(read(SSE, &mut places, &[&messages()]).matches("event: message").count(), 3);
}

#[test]
fn who_is_told_how_far_a_channel_is_comes_back_from_there() {
    let mut places = at(&["a"], "00000000000001-000@s:001");
    let mut told = |serial| read(SSE, &mut places, &[&attached("a", serial)]);
    assert_eq!(told("00000000000001-000@s"), "id: 00000000000001-000@s:001\n\n", "the publish is read again");
    let id = told("00000000000005-000@s");
    assert_eq!(id, "id: 00000000000005-000@s\n\n");
    assert_eq!(told("00000000000004-000@s"), id, "and never back");
}

#[test]
fn the_end_says_why() {
    let error = Code::TokenExpired.into();
    let text = to_json(&error);
    for (number, ends) in [(action::DISCONNECTED, false), (action::ERROR, true), (action::DETACHED, true)] {
        let frame = Outbound { error: Some(&error), ..frame(number, Some("a")) };
        assert_eq!(read(SSE, &mut [], &[&frame]), format!("event: error\ndata: {text}\n\n"));
        assert_eq!(read(JSON_LINES, &mut [], &[&frame]), format!("{{\"event\":\"error\",\"data\":{text}}}\n"));
        assert!(matches!(said(&frame, SSE), Said::End { is_last, .. } if is_last == ends));
    }
    for number in [action::CONNECTED, action::AUTH, action::PRESENCE] {
        assert_eq!(read(SSE, &mut at(&["a"], ""), &[&frame(number, Some("a"))]), "", "{number}");
    }
    for frames in [&[][..], &[&SIGN_OF_LIFE]] {
        assert_eq!(read(SSE, &mut [], frames), ":keepalive\n\n");
        assert_eq!(read(JSON_LINES, &mut [], frames), "\n");
    }
}

/// Two members enter, one by one.
fn presence() -> Outbound<'static> {
    let event = |id, client_id, connection_id, data, timestamp| OutboundPresence {
        action: 2,
        id,
        client_id,
        connection_id,
        data,
        encoding: None,
        timestamp,
        extras: None,
    };
    let events = vec![
        event("c:2:0", "ann", "c", OutboundData::Text("hi"), 4),
        event("d:0:0", "bob", "d", OutboundData::Absent, 5),
    ];
    Outbound {
        channel_serial: Some("00000000000005-000@s"),
        timestamp: Some(5),
        presence: Some(events),
        ..frame(action::PRESENCE, Some("a"))
    }
}

#[test]
fn presence_events_are_pinned() {
    let mut places = at(&["a"], "00000000000003-000@s");
    let expected = concat!(
        "id: 00000000000003-000@s\nevent: presence\n",
        r#"data: {"action":2,"id":"c:2:0","clientId":"ann","connectionId":"c","data":"hi","timestamp":4,"channel":"a"}"#,
        "\n\nid: 00000000000005-000@s\nevent: presence\n",
        r#"data: {"action":2,"id":"d:0:0","clientId":"bob","connectionId":"d","timestamp":5,"channel":"a"}"#,
        "\n\n",
    );
    assert_eq!(read(SSE, &mut places, &[&presence()]), expected);
    assert_eq!(read(SSE, &mut places, &[&presence()]), "", "it has them");
    let plain =
        "id: 00000000000003-000@s\nevent: presence\ndata: hi\n\nid: 00000000000005-000@s\nevent: presence\ndata: \n\n";
    assert_eq!(read(PLAIN, &mut at(&["a"], "00000000000003-000@s"), &[&presence()]), plain);
}

/// A frame with operations, or objects.
fn objects(action: u8, serial: &'static str, state: &str) -> Outbound<'static> {
    let Ok(Node::List(state)) = node::from_json(state.as_bytes()).map(Node::into_owned) else { panic!("a list") };
    Outbound { channel_serial: Some(serial), state: Some(state), ..frame(action, Some("a")) }
}

/// Two publishes; the first has two operations.
fn operations() -> Outbound<'static> {
    let state = [
        r#"[{"id":"c:0:0","serial":"00000000000002-000@s:000","operation":{"action":6,"objectId":"root","mapClear":{}}},"#,
        r#"{"id":"c:0:1","serial":"00000000000002-000@s:001","operation":{"action":4,"objectId":"n","counterInc":{"number":1}}},"#,
        r#"{"id":"c:1:0","serial":"00000000000003-000@s:000","operation":{"action":4,"objectId":"n","counterInc":{"number":2}}}]"#,
    ];
    objects(action::OBJECT, "00000000000003-000@s", &state.concat())
}

#[test]
fn operations_on_objects_are_pinned() {
    let expected = concat!(
        "id: 00000000000002-000@s:000\nevent: object\n",
        r#"data: {"id":"c:0:0","serial":"00000000000002-000@s:000","operation":{"action":6,"objectId":"root","mapClear":{}},"channel":"a"}"#,
        "\n\nid: 00000000000002-000@s\nevent: object\n",
        r#"data: {"id":"c:0:1","serial":"00000000000002-000@s:001","operation":{"action":4,"objectId":"n","counterInc":{"number":1}},"channel":"a"}"#,
        "\n\nid: 00000000000003-000@s\nevent: object\n",
        r#"data: {"id":"c:1:0","serial":"00000000000003-000@s:000","operation":{"action":4,"objectId":"n","counterInc":{"number":2}},"channel":"a"}"#,
        "\n\n",
    );
    let whole = read(SSE, &mut at(&["a"], ""), &[&operations()]);
    assert_eq!(whole, expected);
    // Whoever comes back from within a publish has what lies before.
    let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
    for (index, id) in ["00000000000002-000@s:000", "00000000000002-000@s", "00000000000003-000@s"].iter().enumerate() {
        assert_eq!(read(SSE, &mut at(&["a"], id), &[&operations()]), events[index + 1..].concat());
    }
}

#[test]
fn pages_of_objects_are_pinned_and_move_no_cursor() {
    let id = "00000000000002-000@s:000";
    let mut places = at(&["a"], id);
    let first = objects(action::OBJECT_SYNC, "7-5:0", "[]");
    let last = objects(action::OBJECT_SYNC, "7-5:", r#"[{"object":{"objectId":"root"}}]"#);
    let expected = [
        "id: @\nevent: object_sync\n",
        r#"data: {"sync":"7-5","last":false,"state":[],"channel":"a"}"#,
        "\n\nid: @\nevent: object_sync\n",
        r#"data: {"sync":"7-5","last":true,"state":[{"object":{"objectId":"root"}}],"channel":"a"}"#,
        "\n\n",
    ];
    assert_eq!(read(SSE, &mut places, &[&first, &last]), expected.concat().replace("id: @", &format!("id: {id}")));
    assert_eq!(places, at(&["a"], id));
}

#[test]
fn without_envelopes_objects_say_what_is_done_and_its_serial() {
    let told = read(Style(LINES), &mut at(&["a"], "00000000000002-000@s"), &[&operations()]);
    let expected = concat!(
        r#"{"id":"00000000000003-000@s","event":"object","data":{"action":4,"objectId":"n","counterInc":{"number":2},"#,
        r#""serial":"00000000000003-000@s:000"}}"#,
        "\n",
    );
    assert_eq!(told, expected);
    let page = objects(action::OBJECT_SYNC, "7-5:3", "[]");
    let told = read(PLAIN, &mut at(&["a"], "x"), &[&page]);
    assert_eq!(told, "id: x\nevent: object_sync\ndata: {\"sync\":\"7-5\",\"last\":false,\"state\":[]}\n\n");
}

#[test]
fn what_has_no_place_in_the_order_moves_no_cursor() {
    let there = Outbound { action: action::SYNC, channel_serial: Some("x:"), ..presence() };
    let told_there = "event: presence\ndata: hi\n\nid: @\nevent: presence\ndata: \n\n";
    let many = saying(vec![OutboundMessage { action: META, ..message("o", "{}", "", None) }]);
    for (frame, told) in [(there, told_there), (many, "event: occupancy\ndata: {}\n\n")] {
        for id in ["00000000000003-000@s", "00000000000002-000@s:000"] {
            let mut places = at(&["a"], id);
            let once = format!("id: {id}\n{}", told.replace('@', id));
            assert_eq!(read(PLAIN, &mut places, &[&frame, &frame]), once.repeat(2));
            assert_eq!(places, at(&["a"], id));
        }
    }
}

#[test]
fn summaries_move_no_cursor_however_many_come() {
    let summary = || OutboundMessage { action: SUMMARY, ..message("s", "", "00000000000001-000@s:000", None) };
    let mut places = at(&["a"], "00000000000003-000@s");
    let told = read(SSE, &mut places, &[&saying(vec![summary(), summary()])]);
    assert_eq!(told.matches("id: 00000000000003-000@s\n").count(), 2, "{told}");
    assert_eq!(places, at(&["a"], "00000000000003-000@s"));
}

#[test]
fn signs_of_life_are_events_for_those_who_ask() {
    for (style, alive) in [
        (HEARTBEATS, "event: heartbeat\ndata:\n\n"),
        (LINES | HEARTBEATS, "{\"event\":\"heartbeat\"}\n"),
        (0, ":keepalive\n\n"),
        (LINES, "\n"),
    ] {
        assert_eq!([read(Style(style), &mut [], &[]), read(Style(style), &mut [], &[&SIGN_OF_LIFE])], [alive, alive]);
    }
}

#[test]
fn streams_say_nothing_themselves() {
    let said = Dialect::Events(SSE).decode(br#"{"action":7}"#, crate::model::Format::Json).unwrap();
    assert!(matches!(said, crate::protocol::inbound::Inbound::Unknown));
}
