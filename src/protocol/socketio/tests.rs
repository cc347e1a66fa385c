//! What the door makes of what a client says, and of what it is told.

use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::auth::{App, Grant, Operators, Reach, Secret};
use crate::error::{Code, ErrorInfo};
use crate::limits::{FRAME_MAX_BYTES, MESSAGE_MAX_BYTES, SOCKETIO_REFUSALS_MAX};
use crate::model::data::Data;
use crate::model::flags::RESUMED;
use crate::model::message::{Content, Entry, Message};
use crate::model::name::ChannelName;
use crate::model::revision::{Mark, Shape, Target, Version};
use crate::model::serial::Position;
use crate::protocol::outbound::{PublishResult, entries_frame};

const NOW_MS: u64 = 1_800_000_000_000;

/// A door and whose it is, as a relay has them.
struct Guest {
    app: App,
    operators: Option<Operators>,
    grant: Grant,
    door: SocketIo,
    channels: Vec<String>,
    connection_id: &'static str,
}

impl Guest {
    fn new() -> Guest {
        let keys = json!([
            {"name": "full", "secret": "local-only"},
            {"name": "other", "secret": "local-only"},
        ]);
        let app: App = serde_json::from_value(json!({"id": "demo", "keys": keys})).unwrap();
        let grant = Grant::of_nobody(app.id(), NOW_MS + 1_000);
        let mut door = SocketIo::new(app.id().clone(), false, true);
        assert!(text(door.tell(&frame(action::CONNECTED))).starts_with("0{\"sid\":\"demo."));
        Guest { app, operators: None, grant, door, channels: Vec::new(), connection_id: "conn" }
    }

    fn hears(&mut self, bytes: &[u8], came: Format) -> Result<Vec<Heard>, ErrorInfo> {
        let channels = self.channels.clone();
        let is_attached = |name: &ChannelName| channels.iter().any(|channel| channel == name.as_str());
        let setting = Setting {
            app: &self.app,
            operators: self.operators.as_ref(),
            grant: &self.grant,
            connection_id: self.connection_id,
            now_ms: NOW_MS,
            memory: &Rc::default(),
            is_attached: &is_attached,
        };
        self.door.hear(bytes, came, setting)
    }

    fn says(&mut self, packet: &str) -> Result<Vec<Heard>, ErrorInfo> {
        self.hears(packet.as_bytes(), Format::Json)
    }

    /// One that is in this channel, by the key of everything.
    fn inside(channel: &str) -> Guest {
        let mut guest = Guest::new();
        guest.connects(channel, json!({"key": "demo.full:local-only"}));
        guest.attached(channel, 0);
        guest
    }

    /// Says who it is, if it has to, and gives what the relay is to attach.
    fn connects(&mut self, channel: &str, auth: Value) -> Inbound {
        let heard = self.says(&format!("40{},{auth}", packet::namespace(channel))).unwrap();
        match &heard[..] {
            [Heard::Grant { grant, channel: named }] => {
                assert_eq!(named, channel);
                self.grant = (**grant).clone();
                assert_eq!(self.door.tell(&frame(action::CONNECTED)), Encoded::NOTHING);
                self.door.orders().remove(0)
            }
            [Heard::Do(attach)] => attach.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn attached(&mut self, channel: &str, flags: u32) -> Value {
        self.channels.push(channel.to_owned());
        let serial = Some("00000000000005-001@s");
        let told =
            Outbound { channel: Some(channel), channel_serial: serial, flags: Some(flags), ..frame(action::ATTACHED) };
        let told = text(self.door.tell(&told));
        let said = told.strip_prefix(&format!("40{},", packet::namespace(channel))).unwrap_or_else(|| panic!("{told}"));
        serde_json::from_str(said).unwrap()
    }
}

fn frame(action: u8) -> Outbound<'static> {
    Outbound { action, ..Outbound::default() }
}

fn text(encoded: Encoded) -> String {
    match encoded {
        Encoded::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn texts(encoded: Encoded) -> Vec<String> {
    match encoded {
        Encoded::Several(frames) => frames.into_iter().map(text).collect(),
        other => vec![text(other)],
    }
}

/// What comes of one packet.
fn only(heard: Result<Vec<Heard>, ErrorInfo>) -> Heard {
    let mut heard = heard.unwrap();
    assert_eq!(heard.len(), 1);
    heard.remove(0)
}

fn published(heard: Heard) -> (u64, String, usize) {
    match heard {
        Heard::Do(Inbound::Publish(frame)) => (frame.msg_serial, frame.channel, frame.messages.len()),
        other => panic!("{other:?}"),
    }
}

fn refused(heard: Heard) -> (u64, ErrorInfo) {
    match heard {
        Heard::Refuse { msg_serial, error, .. } => (msg_serial, error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_connects_attaches_once_it_is_known_who_it_is() {
    let mut guest = Guest::new();
    let attach = guest.connects("chat", json!({"key": "demo.full:local-only", "params": {"rewind": "2"}}));
    let Inbound::Attach { channel, serial, params, .. } = attach else { panic!("{attach:?}") };
    assert_eq!((&*channel, serial, params.get("rewind").map(String::as_str)), ("chat", None, Some("2")));
    assert!(guest.door.is_busy());
    let said = guest.attached("chat", 0);
    assert_eq!(said["sid"], "conn");
    assert!(said["pid"].is_string() && !guest.door.is_busy());
    // Another namespace needs not say it again.
    let Inbound::Attach { channel, .. } = guest.connects("news", json!({})) else { panic!() };
    assert_eq!(channel, "news");
}

/// docs/protocol.md § 11.9.
#[test]
fn a_token_of_an_operator_is_good_for_a_connection() {
    let operators = Operators::of(&Secret::presented("the admin token of this test"));
    let mut guest = Guest::new();
    let token = operators.issue(guest.app.id(), Reach::Channels, NOW_MS, [0; 8]).token;
    let connect = format!("40{},{}", packet::namespace("chat"), json!({"token": token}));
    let [Heard::Say(refused)] = &guest.says(&connect).unwrap()[..] else { panic!("there is no admin token") };
    assert!(text(refused.clone()).contains("40143"));
    guest.operators = Some(operators);
    guest.connects("chat", json!({"token": token}));
    guest.attached("chat", 0);
    assert_eq!(guest.grant.key_name.to_string(), "demo.[console]");
    guest.connects("news", json!({}));
}

#[test]
fn who_comes_back_goes_on_behind_what_it_had() {
    let mut guest = Guest::inside("chat");
    guest.connects("chat", json!({}));
    let said = guest.attached("chat", 0);
    let back = |auth: Value| {
        let mut guest = Guest { connection_id: "later", ..Guest::new() };
        let auth = json!({"key": "demo.full:local-only", "pid": auth["pid"], "offset": auth["offset"]});
        let Inbound::Attach { serial, .. } = guest.connects("chat", auth) else { panic!() };
        (serial, guest)
    };
    let (serial, mut again) = back(json!({"pid": said["pid"]}));
    assert_eq!(serial.as_deref(), Some("00000000000005-001@s"), "where it began");
    assert_eq!(again.door.speaks_as(None), Some("conn"));
    assert_eq!(again.attached("chat", RESUMED)["pid"], said["pid"]);
    let (serial, mut again) = back(json!({"pid": said["pid"], "offset": "00000000000006-000@s"}));
    assert_eq!(serial.as_deref(), Some("00000000000006-000@s"));
    assert_ne!(again.attached("chat", 0)["pid"], said["pid"], "it has missed something");
    let (serial, _) = back(json!({"pid": "forged", "offset": "00000000000006-000@s"}));
    assert_eq!(serial, None);
}

#[test]
fn who_may_not_come_in_is_told_why_and_not_forever() {
    let mut guest = Guest::new();
    for (packet, code) in [
        ("40{}", Code::NoCredentials),
        ("40/chat,", Code::NoCredentials),
        ("40[]", Code::BadBody),
        ("40{\"key\":\"demo.full:wrong\"}", Code::BadCredentials),
        ("40{\"key\":1}", Code::BadCredentials),
        ("40{\"key\":\"demo.full:local-only\",\"token\":\"x\"}", Code::IncompatibleCredentials),
        ("40{\"params\":{\"delta\":\"vcdiff\"}}", Code::BadParameter),
        ("40/[%3Fdelta=vcdiff]chat,{}", Code::BadParameter),
        ("40{\"params\":5}", Code::BadParameter),
        ("40/a%20b,{}", Code::BadChannelName),
        ("40/:x,{}", Code::BadChannelName),
    ] {
        let Heard::Say(told) = only(guest.says(packet)) else { panic!("{packet}") };
        let told = text(told);
        assert!(told.starts_with("44") && told.contains(&format!("\"code\":{}", code.number())), "{packet}: {told}");
    }
    let error = (0..=SOCKETIO_REFUSALS_MAX).find_map(|_| guest.says("40{}").err());
    assert!(error.is_some_and(|error| error.is(Code::NoCredentials)));
    let mut guest = Guest::inside("chat");
    let Heard::Say(told) = only(guest.says("40/b,{\"key\":\"demo.other:local-only\"}")) else { panic!() };
    assert!(text(told).contains("\"code\":40102"));
}

#[test]
fn a_refused_grant_is_told_to_the_namespace() {
    let mut guest = Guest::new();
    guest.says("40/chat,{\"key\":\"demo.full:local-only\"}").unwrap();
    let error = Code::TokenRevoked.into();
    let told = guest.door.tell(&Outbound { channel: Some("chat"), error: Some(&error), ..frame(action::ERROR) });
    assert!(text(told).starts_with("44/chat,{\"message\":\"token revoked\",\"data\":{\"code\":40141"));
    assert!(guest.door.orders().is_empty() && !guest.door.is_busy());
}

#[test]
fn acknowledgements_find_the_emits_that_want_them() {
    let mut guest = Guest::inside("chat");
    let mut serials = Vec::new();
    for packet in ["42/chat,0[\"a\",1]", "42/chat,[\"b\"]", "42/chat,7[\"connect\"]"] {
        serials.push(match only(guest.says(packet)) {
            heard @ Heard::Do(Inbound::Publish(_)) => published(heard).0,
            heard => refused(heard).0,
        });
    }
    assert!(serials.is_sorted_by(|a, b| a < b) && guest.door.is_busy());
    let results = [PublishResult { serials: vec!["s1".into()] }, PublishResult { serials: vec!["s2".into()] }];
    let ack = Outbound { msg_serial: Some(serials[0]), count: Some(2), res: Some(&results), ..frame(action::ACK) };
    assert_eq!(texts(guest.door.tell(&ack)), ["43/chat,0[{\"error\":null,\"serial\":\"s1\"}]"]);
    let error = Code::BadPublish.into();
    let nack = Outbound { msg_serial: Some(serials[2]), count: Some(1), error: Some(&error), ..frame(action::NACK) };
    let told = texts(guest.door.tell(&nack));
    assert!(told[0].starts_with("43/chat,7[{\"error\":{\"code\":40030"), "{told:?}");
    assert!(!guest.door.is_busy());
    // Without an acknowledgement it is an event.
    let (msg_serial, _) = refused(only(guest.says("42/chat,[\"connect\"]")));
    let nack = Outbound { msg_serial: Some(msg_serial), count: Some(1), error: Some(&error), ..frame(action::NACK) };
    assert!(texts(guest.door.tell(&nack))[0].starts_with("42/chat,[\"[meta]error\",{\"code\":40030"));
}

#[test]
fn attachments_follow_their_event() {
    let mut guest = Guest::inside("chat");
    let event = "452-/chat,1[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]";
    assert_eq!(guest.says(event).unwrap(), []);
    assert_eq!(guest.hears(b"\x01", Format::Msgpack).unwrap(), []);
    assert!(guest.door.is_busy());
    assert_eq!(published(only(guest.hears(b"\x02", Format::Msgpack))).1, "chat");
    assert!(guest.hears(b"\x03", Format::Msgpack).unwrap_err().is(Code::BadBody), "nothing announced it");
    guest.says(event).unwrap();
    guest.hears(&vec![0; MESSAGE_MAX_BYTES], Format::Msgpack).unwrap();
    assert!(refused(only(guest.hears(b"\x01", Format::Msgpack))).1.is(Code::TooLarge));
    guest.says(event).unwrap();
    assert!(guest.says("42/chat,[\"a\"]").unwrap_err().is(Code::BadBody), "they are still to come");
}

#[test]
fn an_event_whose_packet_is_too_large_is_refused_and_the_connection_goes_on() {
    let mut guest = Guest::inside("chat");
    let large = "x".repeat(FRAME_MAX_BYTES);
    assert!(refused(only(guest.says(&format!("42/chat,7[\"a\",\"{large}\"]")))).1.is(Code::TooLarge));
    assert_eq!(guest.says(&format!("451-/chat,8[\"a\",\"{large}\"]")).unwrap(), []);
    assert!(
        refused(only(guest.hears(b"\x01", Format::Msgpack))).1.is(Code::TooLarge),
        "once its attachments have come"
    );
    guest.says("451-/chat,9[\"a\",{\"_placeholder\":true,\"num\":0}]").unwrap();
    assert!(refused(only(guest.hears(large.as_bytes(), Format::Msgpack))).1.is(Code::TooLarge));
    assert_eq!(published(only(guest.says("42/chat,[\"a\"]"))).1, "chat");
    for (packet, code) in [("40/chat,", Code::TooLarge), ("2", Code::TooLarge), ("49", Code::BadBody)] {
        assert!(guest.says(&[packet, &large].concat()).unwrap_err().is(code), "{packet}");
    }
}

#[test]
fn what_is_no_packet_ends_the_connection_and_what_cannot_be_published_does_not() {
    for bad in ["", "4", "x", "49", "44{}", "461-[]", "0{}", "42"] {
        let mut guest = Guest::inside("chat");
        let heard = guest.says(bad);
        assert!(heard.is_err() || bad == "42", "{bad}: {heard:?}");
    }
    let mut guest = Guest::inside("chat");
    for (packet, code) in [
        ("42/chat,", Code::BadBody),
        ("42/chat,{}", Code::BadData),
        ("42/elsewhere,[\"a\"]", Code::BadRequest),
        ("42/a%20b,[\"a\"]", Code::BadChannelName),
    ] {
        assert!(refused(only(guest.says(packet))).1.is(code), "{packet}");
    }
    let error = Guest::new().says("42[\"a\"]").unwrap_err();
    assert!(error.is(Code::NoCredentials));
}

#[test]
fn the_transport_is_answered() {
    let mut guest = Guest::inside("chat");
    assert_eq!(guest.says("2abc").unwrap(), [Heard::Say(Encoded::Text("3abc".to_owned()))]);
    assert_eq!(guest.says("3").unwrap(), [Heard::Do(Inbound::Pong)]);
    assert_eq!(guest.says("1").unwrap(), [Heard::Do(Inbound::Close)]);
    assert_eq!(guest.says("6").unwrap(), []);
    assert_eq!(guest.says("43/chat,5[1]").unwrap(), []);
    let Heard::Do(detach) = only(guest.says("41/chat,")) else { panic!() };
    assert_eq!(detach, Inbound::Detach { channel: "chat".to_owned() });
    assert_eq!(text(guest.door.tell(&frame(action::PING))), "2");
    assert_eq!(text(guest.door.tell(&frame(action::DISCONNECTED))), "1");
}

#[test]
fn what_a_client_mends_by_coming_back_closes_its_connection() {
    let (passing, lasting) = (ErrorInfo::from(Code::TimedOut), ErrorInfo::from(Code::NotPermitted));
    let detached = |error| Outbound { channel: Some("chat"), error: Some(error), ..frame(action::DETACHED) };
    let mut guest = Guest::inside("chat");
    assert_eq!(text(guest.door.tell(&detached(&lasting))), "1");
    assert_eq!(guest.door.orders(), [Inbound::Disconnect]);
    let gap = Outbound { channel: Some("chat"), flags: Some(0), ..frame(action::ATTACHED) };
    assert_eq!(text(guest.door.tell(&gap)), "1");
    assert_eq!(guest.door.orders(), [Inbound::Disconnect]);
    let progress = Outbound { channel: Some("chat"), flags: Some(RESUMED), ..frame(action::ATTACHED) };
    assert_eq!(guest.door.tell(&progress), Encoded::NOTHING);
    guest.connects("chat", json!({}));
    assert_eq!(text(guest.door.tell(&detached(&passing))), "1");
    assert_eq!(guest.door.orders(), [Inbound::Disconnect]);
    guest.connects("chat", json!({}));
    assert!(text(guest.door.tell(&detached(&lasting))).starts_with("44/chat,"));
    assert_eq!(guest.door.orders(), []);
    let ended = |error| Outbound { channel: Some("chat"), error: Some(error), ..frame(action::ERROR) };
    let all = [Code::Unavailable, Code::RateLimited, Code::Disconnected].map(ErrorInfo::from);
    for passing in &all {
        guest.connects("chat", json!({}));
        assert_eq!(text(guest.door.tell(&ended(passing))), "1", "a channel that has no room");
        assert_eq!(guest.door.orders(), [Inbound::Disconnect]);
        guest.connects("chat", json!({}));
        let failed = Outbound { error: Some(passing), ..frame(action::ERROR) };
        assert_eq!(texts(guest.door.tell(&failed)), ["1"], "nor is it told before that it is refused");
    }
    guest.connects("chat", json!({}));
    assert!(text(guest.door.tell(&ended(&lasting))).starts_with("44/chat,"));
    let ended = ended(&lasting);
    let told = texts(guest.door.tell(&ended));
    assert!(told[0].starts_with("42/chat,[\"[meta]error\",") && told[1] == "41/chat,", "{told:?}");
}

#[test]
fn what_is_remembered_is_pinned() {
    let guest = Guest::inside("chat");
    let bytes = postcard::to_allocvec(&crate::protocol::door::Door::SocketIo(guest.door.clone())).unwrap();
    assert_eq!(bytes, b"\x01\x04demo\x01\x01\x04conn\x00\x00\x01\x01");
    let mut again: crate::protocol::door::Door = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(again.name(), "socketio");
    assert_eq!(again.tell(&frame(action::CONNECTED)), Encoded::NOTHING, "it is open already");
}

/// Whichever connects first: one that was never in has no connection to go on from.
#[test]
fn a_namespace_goes_on_though_another_that_begins_connected_before_it() {
    let pid = earlier_pid();
    let mut guest = Guest::new();
    for auth in [json!({"key": "demo.full:local-only"}), json!({"key": "demo.full:local-only", "pid": pid})] {
        let channel = if auth["pid"].is_null() { "new" } else { "old" };
        assert!(!guest.says(&format!("40/{channel},{auth}")).unwrap().is_empty());
    }
    let (old, new) = (guest.attached("old", RESUMED), guest.attached("new", 0));
    assert_eq!((&old["sid"], &old["pid"]), (&json!("earlier"), &pid));
    assert_eq!(new["sid"], "earlier", "others know it by one id");
}

/// The pid of an earlier connection in the namespace `old`.
fn earlier_pid() -> Value {
    let mut earlier = Guest { connection_id: "earlier", ..Guest::new() };
    earlier.connects("old", json!({"key": "demo.full:local-only"}));
    earlier.attached("old", 0)["pid"].clone()
}

/// The other was let in before it connected, and is known by the connection's own id.
#[test]
fn a_namespace_goes_on_by_its_own_id_though_another_was_let_in_before_it() {
    let pid = earlier_pid();
    let mut guest = Guest::new();
    guest.connects("new", json!({"key": "demo.full:local-only"}));
    assert_eq!(guest.attached("new", 0)["sid"], "conn");
    let Inbound::Attach { serial, params, .. } = guest.connects("old", json!({"pid": pid})) else { panic!() };
    assert_eq!(serial.as_deref(), Some("00000000000005-001@s"));
    let asked = params.get("door").map(String::as_str);
    assert_eq!((guest.door.speaks_as(None), guest.door.speaks_as(asked)), (Some("conn"), Some("earlier")));
    let old = guest.attached("old", RESUMED);
    assert_eq!((&old["sid"], &old["pid"]), (&json!("earlier"), &pid));
    // It does the same when it misses something, so that others go on knowing it by that id.
    guest.connects("old", json!({"pid": pid}));
    let old = guest.attached("old", 0);
    assert!(old["sid"] == "earlier" && old["pid"] != pid, "{old}");
}

#[test]
fn an_update_within_the_publish_in_which_it_goes_on_is_told() {
    let pid = earlier_pid();
    let mut guest = Guest::new();
    let offset = Position(6_000).message_serial("s", 1);
    guest.connects("old", json!({"key": "demo.full:local-only", "pid": pid, "offset": offset}));
    guest.attached("old", RESUMED);
    let message = |text: &str| Message { data: Data::Text(text.to_owned()), ..Message::default() };
    let entry = |position, content| Entry { position, id: "p".to_owned(), connection_id: None, content };
    let publish = entry(Position(6_000), Content::Messages(["one", "two", "three"].map(message).into()));
    let version = Version {
        position: Position(6_001),
        shape: Shape::Updated,
        number: 1,
        prior: Position(6_000),
        deleted_at: None,
        connection_id: None,
        client_id: None,
        description: None,
        metadata: None,
    };
    let mark = Mark { target: Target { position: Position(6_000), place: 0 }, version: Some(version) };
    let update = entry(Position(6_001), Content::Revised { messages: vec![message("uno")], marks: vec![mark] });
    let door = crate::protocol::door::Door::SocketIo(guest.door);
    let told = texts(entries_frame("old", "s", &[&publish, &update], door).unwrap());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("three") && told[1].contains("[meta]message.update"), "{told:?}");
}

#[test]
fn numbers_of_publishes_never_come_twice() {
    let serials = |connection_id: &str| {
        let mut guest = Guest::inside("chat");
        let mut serials = Vec::new();
        for _ in 0..300 {
            let is_attached = |_: &ChannelName| true;
            let setting = Setting {
                app: &guest.app,
                operators: None,
                grant: &guest.grant,
                connection_id,
                now_ms: NOW_MS,
                memory: &Rc::default(),
                is_attached: &is_attached,
            };
            let heard = guest.door.hear(b"42/chat,[\"a\"]", Format::Json, setting);
            serials.push(published(only(heard)).0);
        }
        serials
    };
    let [one, two] = ["one", "two"].map(serials);
    assert!(one.is_sorted_by(|a, b| a < b) && two.is_sorted_by(|a, b| a < b));
    assert!(one.iter().take(200).all(|serial| !two.contains(serial)), "connections of one origin do not share them");
}
