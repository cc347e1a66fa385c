//! Event streams: how frames are written as events, and how a reader goes on from an event's id.

use serde_json::json;

use super::*;
use crate::auth::{Capability, Grant, KeyName};
use crate::limits::{LINK_STALL_MS, STREAM_MAX_CHANNELS};
use crate::relay::SocketId;
use crate::transport::{Effect, Links, Mode};
use crate::wire::Encoded;

const SSE: Style = Style(ENVELOPED);
const PLAIN: Style = Style(0);
const JSON_LINES: Style = Style(LINES | ENVELOPED);

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn cursor(channels: &[&str], text: &str) -> Option<Vec<String>> {
    serials(channels.len(), text).ok()
}

/// What a reader gets of frames, and where it is then.
fn read(style: Style, places: &mut [Place], frames: &[&str]) -> String {
    let said: Vec<Said> = frames.iter().map(|frame| said(frame, style)).collect();
    body(style, places, said.iter())
}

fn at(channels: &[&str], text: &str) -> Vec<Place> {
    let place = |(channel, serial): (&&str, String)| Place {
        channel: channel.to_string(),
        serial: Some(serial).filter(|serial| !serial.is_empty()),
    };
    channels.iter().zip(serials(channels.len(), text).unwrap()).map(place).collect()
}

const ATTACHED: &str =
    r#"{"action":11,"channel":"a","channelSerial":"00000000000001-000@s","flags":262144,"params":{}}"#;
/// Two publishes; the first has two messages.
const MESSAGES: &str = concat!(
    r#"{"action":15,"channel":"a","channelSerial":"00000000000003-000@s","connectionId":"c","timestamp":3,"messages":["#,
    r#"{"id":"c:0:0","name":"n","data":"one","action":0,"serial":"00000000000002-000@s:000","timestamp":2},"#,
    r#"{"id":"c:0:1","data":"two\nlines","action":0,"serial":"00000000000002-000@s:001","timestamp":2},"#,
    r#"{"id":"c:1:0","data":"three","action":0,"serial":"00000000000003-000@s:000"}]}"#
);

#[test]
fn events_are_pinned() {
    let mut places = at(&["a"], "");
    assert_eq!(read(SSE, &mut places, &[ATTACHED]), "id: 00000000000001-000@s\n\n");
    let expected = concat!(
        "id: 00000000000002-000@s:000\nevent: message\n",
        r#"data: {"id":"c:0:0","name":"n","data":"one","action":0,"serial":"00000000000002-000@s:000","timestamp":2,"connectionId":"c","channel":"a"}"#,
        "\n\nid: 00000000000002-000@s\nevent: message\n",
        r#"data: {"id":"c:0:1","data":"two\nlines","action":0,"serial":"00000000000002-000@s:001","timestamp":2,"connectionId":"c","channel":"a"}"#,
        "\n\nid: 00000000000003-000@s\nevent: message\n",
        r#"data: {"id":"c:1:0","data":"three","action":0,"serial":"00000000000003-000@s:000","connectionId":"c","timestamp":3,"channel":"a"}"#,
        "\n\n",
    );
    assert_eq!(read(SSE, &mut places, &[MESSAGES]), expected);
}

#[test]
fn without_envelopes_an_event_is_the_data_of_its_message() {
    let expected = concat!(
        "id: 00000000000002-000@s:000\nevent: message\ndata: one\n\n",
        "id: 00000000000002-000@s\nevent: message\ndata: two\ndata: lines\n\n",
        "id: 00000000000003-000@s\nevent: message\ndata: three\n\n",
    );
    assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[MESSAGES]), expected);
}

#[test]
fn lines_say_the_same() {
    let mut places = at(&["a"], "");
    assert_eq!(read(JSON_LINES, &mut places, &[ATTACHED]), "{\"id\":\"00000000000001-000@s\"}\n");
    let lines = read(JSON_LINES, &mut places, &[MESSAGES]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Value| (line["id"].clone(), line["event"].clone(), line["data"]["data"].clone());
    assert_eq!(told(&lines[1]), ("00000000000002-000@s".into(), "message".into(), "two\nlines".into()));
    let plain = read(Style(LINES), &mut at(&["a"], ""), &[MESSAGES]);
    let first = "{\"id\":\"00000000000002-000@s:000\",\"event\":\"message\",\"data\":\"one\"}";
    assert_eq!(plain.lines().next(), Some(first));
}

#[test]
fn nothing_in_a_message_passes_for_an_event() {
    let frame = |message: Value| {
        let message = json!([message]);
        json!({"action": 15, "channel": "a", "messages": message}).to_string()
    };
    let mean = frame(json!({"serial": "s", "name": "x\rdata: y\nid: 1", "data": "a\rid: 2\n\nevent: z\r\n\r\nb"}));
    let events = read(PLAIN, &mut at(&["a"], ""), &[&mean]);
    let expected = "id: s\nevent: message\ndata: a\ndata: id: 2\ndata: \ndata: event: z\ndata: \ndata: b\n\n";
    assert_eq!(events, expected);
    for name in ["error", "gap", "open", "heartbeat", "presence"] {
        let own = frame(json!({"serial": "s", "name": name, "data": "{\"code\":40142}"}));
        assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[&own]), "id: s\nevent: message\ndata: {\"code\":40142}\n\n");
        let line = read(Style(LINES), &mut at(&["a"], ""), &[&own]);
        assert!(line.starts_with(r#"{"id":"s","event":"message","#), "{line}");
    }
    let empty = frame(json!({"serial": "s"}));
    assert_eq!(read(PLAIN, &mut at(&["a"], ""), &[&empty]), "id: s\nevent: message\ndata: \n\n");
}

#[test]
fn every_cursor_goes_on_behind_its_event() {
    let whole = read(SSE, &mut at(&["a"], ""), &[MESSAGES]);
    let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
    for (index, event) in events.iter().enumerate() {
        let id = event.strip_prefix("id: ").and_then(|rest| rest.lines().next()).unwrap();
        let mut places = at(&["a"], id);
        // Within a publish, all of it comes again.
        let begins = begins(id).unwrap();
        assert_eq!(begins, if index == 0 { "00000000000001-999@s" } else { id });
        let attached = ATTACHED.replace("00000000000001-000@s", &begins);
        let resumed = read(SSE, &mut places, &[&attached, MESSAGES]);
        assert_eq!(resumed, format!("id: {id}\n\n{}", events[index + 1..].concat()));
    }
}

#[test]
fn a_cursor_names_every_channel() {
    let mut places = at(&["a", "b"], "");
    let b = ATTACHED.replace(r#""a""#, r#""b""#).replace("@s", "@t");
    assert_eq!(read(SSE, &mut places, &[&b]), "");
    assert_eq!(read(SSE, &mut places, &[ATTACHED]), "id: 00000000000001-000@s,00000000000001-000@t\n\n");
    let events = read(SSE, &mut places, &[MESSAGES]);
    assert!(events.contains("id: 00000000000003-000@s,00000000000001-000@t\n"), "{events}");
    assert_eq!(cursor(&["a", "b"], ",00000000000001-000@t"), Some(vec![String::new(), "00000000000001-000@t".into()]));
    // Of a channel that nobody asked for, nothing is said.
    assert_eq!(read(SSE, &mut at(&["c"], ""), &[ATTACHED, MESSAGES]), "");
}

#[test]
fn a_gap_is_told_and_gone_on_behind() {
    let mut places = at(&["a"], "00000000000009-000@other:001");
    let gap = ATTACHED.replace(r#","flags""#, r#","error":{"code":90003},"flags""#);
    let expected = "id: 00000000000001-000@s\nevent: gap\ndata: {\"channel\":\"a\",\"error\":{\"code\":90003}}\n\n";
    assert_eq!(read(SSE, &mut places, &[&gap]), expected);
    assert_eq!(read(SSE, &mut places, &[MESSAGES]).matches("event: message").count(), 3);
}

#[test]
fn who_is_told_how_far_a_channel_is_comes_back_from_there() {
    let mut places = at(&["a"], "00000000000001-000@s:001");
    let told = |serial: &str| ATTACHED.replace("00000000000001-000@s", serial);
    assert_eq!(read(SSE, &mut places, &[ATTACHED]), "id: 00000000000001-000@s:001\n\n", "the publish is read again");
    let id = read(SSE, &mut places, &[&told("00000000000005-000@s")]);
    assert_eq!(id, "id: 00000000000005-000@s\n\n");
    assert_eq!(read(SSE, &mut places, &[&told("00000000000004-000@s")]), id, "and never back");
}

#[test]
fn the_end_says_why() {
    for (frame, ends) in [
        (r#"{"action":6,"error":{"code":40142}}"#, false),
        (r#"{"action":9,"channel":"a","error":{"code":40142}}"#, true),
        (r#"{"action":13,"channel":"a","error":{"code":40142}}"#, true),
    ] {
        assert_eq!(read(SSE, &mut [], &[frame]), "event: error\ndata: {\"code\":40142}\n\n");
        assert_eq!(read(JSON_LINES, &mut [], &[frame]), "{\"event\":\"error\",\"data\":{\"code\":40142}}\n");
        assert_eq!(is_end(frame), ends);
    }
    for frame in [r#"{"action":4}"#, r#"{"action":17}"#, r#"{"action":14,"channel":"a"}"#, "", "[]"] {
        assert_eq!(read(SSE, &mut at(&["a"], ""), &[frame]), "", "{frame}");
        assert!(!is_end(frame));
    }
    for frames in [&[][..], &[r#"{"action":0}"#]] {
        assert_eq!(read(SSE, &mut [], frames), ":keepalive\n\n");
        assert_eq!(read(JSON_LINES, &mut [], frames), "\n");
    }
}

#[test]
fn only_what_we_wrote_is_a_cursor() {
    for text in [
        "x",
        "00000000000001-000@s,00000000000001-000@t",
        ",",
        "00000000000001-000@s:1",
        "00000000000001-000@s:0001",
        "00000000000001-000@s:00x",
        "00000000000001-000@s:000:000",
        "1-000@s",
        "00000000000001-000@",
        "00000000000001-000@s\n",
        "00000000000001-000@s ",
        "00000000000001-000@é",
    ] {
        assert_eq!(cursor(&["a"], text), None, "{text}");
    }
    assert_eq!(cursor(&["a", "b"], "00000000000001-000@s"), None);
    assert_eq!(cursor(&["a", "b"], ""), Some(vec![String::new(), String::new()]));
    let serial = "99999999999999-999@s:999";
    assert_eq!(cursor(&["a"], serial), Some(vec![serial.into()]));
}

#[test]
fn channels_are_a_list() {
    let texts = |pairs: &[(&str, &str)]| {
        let names = channels(&query(pairs)).map_err(|error| error.code)?;
        Ok::<_, u32>(names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(texts(&[("channels", "a,b,a")]), Ok("a b".into()));
    assert_eq!(texts(&[("channels", "a,b|c"), ("separator", "|")]), Ok("a,b c".into()));
    assert_eq!(texts(&[("channel", "a,b")]), Ok("a b".into()));
    assert_eq!(texts(&[("separator", "|"), ("channel", "fo,o|ba,r")]), Ok("fo,o ba,r".into()));
    assert_eq!(texts(&[("channel", "a||b|c"), ("separator", "||")]), Ok("a b|c".into()));
    assert_eq!(texts(&[("channel", "a,b"), ("separator", "")]), Ok("a b".into()));
    assert_eq!(texts(&[("channels", "a,b"), ("channel", "c")]), Err(40003));
    assert_eq!(texts(&[]), Err(40003));
    assert_eq!(texts(&[("channels", "a,,b")]), Err(40010));
    assert_eq!(texts(&[("channels", "")]), Err(40010));
    let many: Vec<String> = (0..=STREAM_MAX_CHANNELS).map(|index| format!("c{index}")).collect();
    assert_eq!(texts(&[("channels", &many.join(","))]), Err(90010));
    assert!(texts(&[("channels", &many[1..].join(","))]).is_ok());
}

#[test]
fn streams_are_read_by_get() {
    let status = |method: &str| route(method, "/sse", None).map_err(|reply| reply.status);
    assert_eq!(status("GET"), Ok(false));
    assert_eq!(status("OPTIONS"), Err(204));
    for method in ["HEAD", "POST", "DELETE"] {
        assert_eq!(status(method), Err(405));
    }
    assert_eq!(route("GET", "/event-stream", Some("*/*")), Ok(true));
    // An `EventSource` says what it can read, and nothing else can.
    assert_eq!(route("GET", "/event-stream", Some("text/event-stream")), Ok(false));
}

/// Two members enter, one by one.
const PRESENCE: &str = concat!(
    r#"{"action":14,"channel":"a","channelSerial":"00000000000005-000@s","timestamp":5,"presence":["#,
    r#"{"action":2,"id":"c:2:0","clientId":"ann","connectionId":"c","data":"hi","timestamp":4},"#,
    r#"{"action":2,"id":"d:0:0","clientId":"bob","connectionId":"d","timestamp":5}]}"#
);

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
    assert_eq!(read(SSE, &mut places, &[PRESENCE]), expected);
    assert_eq!(read(SSE, &mut places, &[PRESENCE]), "", "it has them");
    let plain =
        "id: 00000000000003-000@s\nevent: presence\ndata: hi\n\nid: 00000000000005-000@s\nevent: presence\ndata: \n\n";
    assert_eq!(read(PLAIN, &mut at(&["a"], "00000000000003-000@s"), &[PRESENCE]), plain);
}

#[test]
fn what_has_no_place_in_the_order_moves_no_cursor() {
    let there =
        r#"{"action":16,"channel":"a","channelSerial":"x:","presence":[{"action":1,"id":"c:2:0","clientId":"ann"}]}"#;
    let many = r#"{"action":15,"channel":"a","messages":[{"name":"[meta]occupancy","data":"{}","action":3}]}"#;
    for (frame, told) in [(there, "event: presence\ndata: \n\n"), (many, "event: occupancy\ndata: {}\n\n")] {
        for id in ["00000000000003-000@s", "00000000000002-000@s:000"] {
            let mut places = at(&["a"], id);
            let once = format!("id: {id}\n{told}");
            assert_eq!(read(PLAIN, &mut places, &[frame, frame]), once.repeat(2));
            assert_eq!(places, at(&["a"], id));
        }
    }
}

#[test]
fn whoever_comes_back_says_it_in_one_of_three_ways() {
    let asked = query(&[("lastEvent", "first"), ("lastEventId", "newer")]);
    assert_eq!(last_event(Some("newest"), &asked), "newest");
    assert_eq!(last_event(Some(""), &asked), "newer");
    assert_eq!(last_event(None, &asked[..1]), "first");
    assert_eq!(last_event(None, &[]), "");
}

#[test]
fn signs_of_life_are_events_for_those_who_ask() {
    for (lines, asked, alive) in [
        (false, "true", "event: heartbeat\ndata:\n\n"),
        (true, "true", "{\"event\":\"heartbeat\"}\n"),
        (false, "false", ":keepalive\n\n"),
        (true, "false", "\n"),
    ] {
        let style = Style::of(lines, &query(&[("heartbeats", asked)]));
        assert_eq!([read(style, &mut [], &[]), read(style, &mut [], &[r#"{"action":0}"#])], [alive, alive]);
        assert_eq!(style.number(), Style::of(lines, &[]).number(), "their other events are the same");
    }
}

/// The modes that a stream is attached with, or the code of its refusal.
fn opened(pairs: &[(&str, &str)], capability: serde_json::Value) -> Result<String, u32> {
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": []})).unwrap();
    let capability = Capability::parse(&capability.to_string()).unwrap();
    let grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), capability);
    let mut opening = Opening::from_query(grant, &query(pairs), true);
    open(&query(pairs), false, None, &app, &mut opening).map_err(|error| error.code)?;
    Ok(opening.attach[0].params.get("modes").unwrap().clone())
}

#[test]
fn presence_and_occupancy_are_asked_for() {
    let asked =
        |name, value, operations: &[&str]| opened(&[("channels", "a"), (name, value)], json!({"a": operations}));
    assert_eq!(asked("v", "1.2", &["subscribe"]), Ok("subscribe".into()));
    for modes in ["presence_subscribe", "subscribe,presence_subscribe"] {
        assert_eq!(asked("modes", modes, &["subscribe"]), Ok(modes.into()));
        assert_eq!(asked("modes", modes, &["publish", "presence", "history"]), Err(40160));
    }
    for modes in ["publish", "subscribe,presence", "fly", ""] {
        assert_eq!(asked("modes", modes, &["*"]), Err(40003), "{modes}");
    }
    assert!(asked("occupancy", "metrics", &["subscribe", "channel-metadata"]).is_ok());
    assert_eq!(asked("occupancy", "metrics", &["subscribe"]), Err(40160));
    assert_eq!(asked("occupancy", "all", &["*"]), Err(40003));
}

#[test]
fn a_stream_has_deltas_where_they_can_be_applied() {
    let asked = |pairs: &[(&str, &str)]| opened(pairs, json!({"*": ["*"]}));
    assert!(asked(&[("channels", "a"), ("delta", "vcdiff")]).is_ok());
    assert_eq!(asked(&[("channels", "a"), ("delta", "xdelta")]), Err(40003));
    for channel in ["a", "[?delta=vcdiff]a"] {
        assert_eq!(asked(&[("channels", channel), ("delta", "vcdiff"), ("enveloped", "false")]), Err(40003));
    }
}

/// What two readers of one channel are given of frames, the second of whom had the first message already.
fn given(links: &mut Links, frames: &[&str]) -> Vec<String> {
    let mut given = Vec::new();
    for frame in frames {
        let sockets = [SocketId(1), SocketId(2)];
        let effects = links.send(&sockets, Encoded::Text((*frame).to_owned()), 0);
        for effect in effects {
            match effect {
                Effect::Write { response, body, last } => {
                    given.push(format!("{}: {}{}", response.socket.0, body, if last { "end" } else { "" }));
                    assert_eq!(links.written(response, true, 0), []);
                }
                Effect::Lost { socket } => given.push(format!("{}: lost", socket.0)),
                Effect::Cut { .. } => {}
            }
        }
    }
    given
}

#[test]
fn readers_share_a_frame_and_have_their_own_places() {
    let mut links = Links::default();
    for (socket, place) in [(SocketId(1), ""), (SocketId(2), "00000000000002-000@s")] {
        links.open(socket, Mode::Events(PLAIN), format!("key {}", socket.0), 0);
        links.follow(socket, at(&["a"], place));
        links.read(socket, 0);
    }
    let three = "id: 00000000000003-000@s\nevent: message\ndata: three\n\n";
    let all = [
        "id: 00000000000002-000@s:000\nevent: message\ndata: one\n\n",
        "id: 00000000000002-000@s\nevent: message\ndata: two\ndata: lines\n\n",
        three,
    ];
    assert_eq!(given(&mut links, &[MESSAGES]), [format!("1: {}", all.concat()), format!("2: {three}")]);
    assert_eq!(links.waiting_bytes(), 0);
    let detached = r#"{"action":13,"channel":"a","error":{"code":50003}}"#;
    let end = "event: error\ndata: {\"code\":50003}\n\nend";
    let mut ended = given(&mut links, &[detached]);
    ended.sort();
    assert_eq!(ended, [format!("1: {end}"), "1: lost".into(), format!("2: {end}"), "2: lost".into()]);
    assert_eq!((links.count(), links.waiting_bytes()), (0, 0));
}

#[test]
fn who_leaves_is_let_go() {
    let mut links = Links::default();
    let sockets: Vec<SocketId> = (0..10_000).map(SocketId).collect();
    for socket in &sockets {
        links.open(*socket, Mode::Events(SSE), String::new(), 0);
        links.follow(*socket, at(&["a"], ""));
        links.read(*socket, 0);
    }
    // Nobody takes what is written, so nothing is ever reported to be.
    links.send(&sockets, Encoded::Text(MESSAGES.to_owned()), 0);
    links.send(&sockets, Encoded::Text(MESSAGES.to_owned()), 0);
    let lost = links.tick(LINK_STALL_MS).into_iter().filter(|effect| matches!(effect, Effect::Lost { .. })).count();
    assert_eq!((lost, links.count(), links.waiting_bytes(), links.deadline()), (10_000, 0, 0, None));
}

#[test]
fn who_is_turned_away_for_now_is_told_when_to_come_back() {
    let busy = Code::RateLimited.because("too many come at once");
    let reply = refused(&busy, false, 7);
    let body = String::from_utf8(reply.body).unwrap();
    assert_eq!(reply.status, 200);
    assert!(
        body.starts_with("retry: 15007\nevent: error\ndata: {\"code\":42910,") && body.ends_with("}\n\n"),
        "{body}"
    );
    assert!(reply.headers.contains(&("X-Ably-ErrorCode", "42910".to_owned())), "{:?}", reply.headers);
    assert_eq!(refused(&busy, true, 7).status, 429, "whoever reads lines sees the status");
    assert_eq!(refused(&Code::NotPermitted.into(), false, 7).status, 401, "what does not pass is the last word");
}
