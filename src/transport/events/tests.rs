//! Event streams: what a request for one means, and what its readers get.

use serde_json::json;

use super::*;
use crate::auth::{Capability, Grant, KeyName};
use crate::limits::{LINK_STALL_MS, LINK_TAKING_MAX_MS, STREAM_MAX_CHANNELS};
use crate::model::serial::Position;
use crate::protocol::action;
use crate::protocol::outbound::{Outbound, OutboundData, OutboundMessage};
use crate::relay::SocketId;
use crate::transport::{Effect, Links, Mode};

const PLAIN: Mode = Mode::Events(Style::with(0));

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn cursor(channels: &[&str], text: &str) -> Option<Vec<String>> {
    serials(channels.len(), text).ok()
}

/// Two publishes; the first has two messages.
fn messages() -> Outbound<'static> {
    let message = |data, serial: &str| OutboundMessage {
        id: String::new(),
        name: None,
        data: OutboundData::Text(data),
        encoding: None,
        client_id: None,
        connection_id: None,
        timestamp: None,
        extras: None,
        action: 0,
        serial: serial.to_owned(),
        at: Position::ZERO,
        version: None,
        annotations: None,
        operation: None,
    };
    let messages = vec![
        message("one", "00000000000002-000@s:000"),
        message("two", "00000000000002-000@s:001"),
        message("three", "00000000000003-000@s:000"),
    ];
    Outbound { action: action::MESSAGE, channel: Some("a"), messages: Some(messages), ..Outbound::default() }
}

fn places(serial: Option<&str>) -> Vec<Place> {
    vec![Place { channel: "a".to_owned(), serial: serial.map(str::to_owned) }]
}

#[test]
fn a_reader_goes_on_behind_its_event() {
    // Within a publish, all of it is read again.
    for (id, serial) in [
        ("00000000000002-000@s:000", "00000000000001-999@s"),
        ("00000000000002-000@s", "00000000000002-000@s"),
        ("x", ""),
    ] {
        assert_eq!(begins(id).unwrap_or_default(), serial);
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

#[test]
fn whoever_comes_back_says_it_in_one_of_three_ways() {
    let asked = query(&[("lastEvent", "first"), ("lastEventId", "newer")]);
    assert_eq!(last_event(Some("newest"), &asked), "newest");
    assert_eq!(last_event(Some(""), &asked), "newer");
    assert_eq!(last_event(None, &asked[..1]), "first");
    assert_eq!(last_event(None, &[]), "");
}

/// The modes that a stream is attached with, or the code of its refusal.
fn opened(pairs: &[(&str, &str)], capability: serde_json::Value) -> Result<String, u32> {
    opening(pairs, capability).map(|opening| opening.attach[0].params.get("modes").unwrap().clone())
}

fn opening(pairs: &[(&str, &str)], capability: serde_json::Value) -> Result<Opening, u32> {
    let app: App = serde_json::from_value(json!({"id": "demo", "keys": []})).unwrap();
    let capability = Capability::parse(&capability.to_string()).unwrap();
    let grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), capability);
    let mut opening = Opening::from_query(grant, &query(pairs), true);
    open(&query(pairs), false, None, &app, &mut opening).map_err(|error| error.code)?;
    Ok(opening)
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
    for modes in ["publish", "subscribe,presence", "fly"] {
        assert_eq!(asked("modes", modes, &["*"]), Err(40003), "{modes}");
    }
    for name in ["modes", "occupancy", "delta", "rewind", "rewindLimit", "filter"] {
        assert_eq!(asked(name, "", &["subscribe"]), Ok("subscribe".into()), "an empty '{name}' is none");
    }
    assert!(asked("occupancy", "metrics", &["subscribe", "channel-metadata"]).is_ok());
    assert_eq!(asked("occupancy", "metrics", &["subscribe"]), Err(40160));
    assert_eq!(asked("occupancy", "all", &["*"]), Err(40003));
}

#[test]
fn objects_are_asked_for_and_need_their_capability() {
    let asked = |modes, operations: &[&str]| opened(&[("channels", "a"), ("modes", modes)], json!({"a": operations}));
    for operations in [&["object-subscribe"][..], &["subscribe"]] {
        assert_eq!(asked("object_subscribe", operations), Ok("object_subscribe".into()));
    }
    let all = "subscribe,presence_subscribe,object_subscribe";
    assert_eq!(asked(all, &["subscribe"]), Ok(all.into()));
    for modes in [all, "subscribe", "presence_subscribe"] {
        assert_eq!(asked(modes, &["object-subscribe"]), Err(40160), "{modes}");
    }
    assert_eq!(asked("object_subscribe", &["object-publish", "publish"]), Err(40160));
    for modes in ["object_publish", "object_subscribe,object_publish", "objects"] {
        assert_eq!(asked(modes, &["*"]), Err(40003), "{modes}");
    }
    assert_eq!(opened(&[("channels", "a")], json!({"a": ["object-subscribe"]})), Err(40160), "it asks for messages");
    for (parameter, value) in [("filter", "name == 'goal'"), ("channels", "[filter=bmFtZQ==]a")] {
        let pairs = [("channels", "a"), ("modes", "object_subscribe"), (parameter, value)];
        let pairs = if parameter == "channels" { &pairs[1..] } else { &pairs[..] };
        assert_eq!(opened(pairs, json!({"[filter]a": ["*"]})), Err(40003), "{parameter}");
    }
}

#[test]
fn each_channel_of_a_stream_may_say_its_modes() {
    let channels = [("channels", "a,[?modes=object_subscribe]b,[?echo=false]c")];
    let capability = json!({"a": ["subscribe"], "b": ["object-subscribe"], "c": ["subscribe"]});
    let attach = opening(&channels, capability).unwrap().attach;
    let requested = |attach: &Attach| {
        let name = ChannelName::parse(&attach.channel).unwrap();
        Attachment::parse(&name, None, 0, attach.params.clone()).unwrap().requested
    };
    let modes: Vec<Modes> = attach.iter().map(requested).collect();
    assert_eq!(modes, [Modes::SUBSCRIBE, Modes::OBJECT_SUBSCRIBE, Modes::SUBSCRIBE]);
    for modes in ["object_publish", "fly"] {
        let channels = format!("[?modes={modes}]a");
        assert_eq!(opening(&[("channels", &channels)], json!({"*": ["*"]})).map(drop), Err(40003), "{modes}");
    }
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

/// What two readers of one channel are given of a frame, the second of whom had the first message already.
fn given(links: &mut Links, frame: &Outbound<'_>) -> Vec<String> {
    let mut given = Vec::new();
    for effect in links.send(&[SocketId(1), SocketId(2)], PLAIN.dialect().encode(frame), 0) {
        match effect {
            Effect::Write { response, body, last } => {
                given.push(format!("{}: {}{}", response.socket.0, body, if last { "end" } else { "" }));
                assert_eq!(links.written(response, true, 0), []);
            }
            Effect::Lost { socket } => given.push(format!("{}: lost", socket.0)),
            Effect::Cut { .. } => {}
        }
    }
    given
}

#[test]
fn readers_share_a_frame_and_have_their_own_places() {
    let mut links = Links::default();
    for (socket, place) in [(SocketId(1), None), (SocketId(2), Some("00000000000002-000@s"))] {
        links.open(socket, PLAIN, format!("key {}", socket.0), 0);
        links.follow(socket, places(place));
        links.read(socket, 0);
    }
    let three = "id: 00000000000003-000@s\nevent: message\ndata: three\n\n";
    let all = [
        "id: 00000000000002-000@s:000\nevent: message\ndata: one\n\n",
        "id: 00000000000002-000@s\nevent: message\ndata: two\n\n",
        three,
    ];
    assert_eq!(given(&mut links, &messages()), [format!("1: {}", all.concat()), format!("2: {three}")]);
    assert_eq!(links.waiting_bytes(), 0);
    let error = Code::InternalChannel.into();
    let detached = Outbound { action: action::DETACHED, error: Some(&error), ..Outbound::default() };
    let end = format!("event: error\ndata: {}\n\nend", serde_json::to_string(&error).unwrap());
    let mut ended = given(&mut links, &detached);
    ended.sort();
    assert_eq!(ended, [format!("1: {end}"), "1: lost".into(), format!("2: {end}"), "2: lost".into()]);
    assert_eq!((links.count(), links.waiting_bytes()), (0, 0));
}

#[test]
fn who_leaves_is_let_go() {
    let mut links = Links::default();
    let sockets: Vec<SocketId> = (0..10_000).map(SocketId).collect();
    for socket in &sockets {
        links.open(*socket, PLAIN, String::new(), 0);
        links.follow(*socket, places(None));
        links.read(*socket, 0);
    }
    // Nobody takes what is written, so nothing is ever reported to be.
    links.send(&sockets, PLAIN.dialect().encode(&messages()), 0);
    links.send(&sockets, PLAIN.dialect().encode(&messages()), 0);
    let lost = links
        .tick(LINK_STALL_MS + LINK_TAKING_MAX_MS)
        .into_iter()
        .filter(|effect| matches!(effect, Effect::Lost { .. }))
        .count();
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
