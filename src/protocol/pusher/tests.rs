//! What clients say, and what they are told, without a relay.

mod cached;

use super::*;
use crate::auth::{App, Capability, Grant, KeyName, Signed};
use crate::error::Code;
use crate::model::name::ChannelName;
use crate::protocol::outbound::{ConnectionDetails, PublishResult};

const NOW_MS: u64 = 1_000_000;
const SOCKET: &str = "12.34";

/// A connection, without a relay.
struct Client {
    door: Pusher,
    app: App,
    attached: Vec<String>,
    memory: Rc<Cell<usize>>,
}

impl Client {
    fn new() -> Client {
        let app = r#"{"id":"demo","keys":[{"name":"key1","secret":"local-only","pusher":true}],"namespaces":[]}"#;
        Client {
            door: Pusher::default(),
            app: serde_json::from_str(app).unwrap(),
            attached: Vec::new(),
            memory: Rc::default(),
        }
    }

    fn hear(&mut self, frame: &str) -> Result<Vec<Heard>, ErrorInfo> {
        let grant = Grant::of_key(KeyName::parse("demo.key1").unwrap(), Capability::full());
        let is_attached = |name: &ChannelName| self.attached.iter().any(|channel| channel == name.as_str());
        let setting = Setting {
            app: &self.app,
            operators: None,
            grant: &grant,
            connection_id: SOCKET,
            now_ms: NOW_MS,
            memory: &self.memory,
            is_attached: &is_attached,
        };
        self.door.hear(frame.as_bytes(), Format::Json, setting)
    }

    fn sign(&self, signed: Signed<'_>) -> String {
        self.app.keys()[0].sign_for_pusher(SOCKET, signed)
    }

    /// What is said at once.
    fn told(&mut self, frame: &str) -> Vec<Value> {
        let said = |heard: Heard| match heard {
            Heard::Say(frame) => texts(frame),
            _ => Vec::new(),
        };
        self.hear(frame).unwrap().into_iter().flat_map(said).collect()
    }

    fn done(&mut self, frame: &str) -> Vec<Inbound> {
        let done = |heard: Heard| match heard {
            Heard::Do(inbound) => Some(inbound),
            _ => None,
        };
        self.hear(frame).unwrap().into_iter().filter_map(done).collect()
    }

    fn joins(&mut self, channel: &str, data: &str) -> Vec<Inbound> {
        let auth = self.sign(Signed::Channel { channel, channel_data: Some(data) });
        let data = json!({ "channel": channel, "auth": auth, "channel_data": data });
        self.done(&json!({ "event": "pusher:subscribe", "data": data }).to_string())
    }

    fn tell(&mut self, frame: Outbound<'_>) -> Vec<Value> {
        texts(self.door.tell(&frame))
    }
}

fn texts(frame: Encoded) -> Vec<Value> {
    match frame {
        Encoded::Text(text) => vec![serde_json::from_str(&text).unwrap()],
        Encoded::Several(frames) => frames.into_iter().flat_map(texts).collect(),
        Encoded::Close(code) => vec![json!({ "close": code })],
        Encoded::Binary(_) | Encoded::Events(_) => panic!("clients of Pusher get texts"),
    }
}

fn member<'a>(action: u8, client_id: &'a str, connection_id: &'a str, id: &'a str) -> OutboundPresence<'a> {
    let data = super::super::outbound::OutboundData::Text(r#"{"name":"x"}"#);
    OutboundPresence { action, id, client_id, connection_id, data, encoding: None, timestamp: 0, extras: None }
}

fn of_channel(action: u8, channel: &str) -> Outbound<'_> {
    Outbound { action, channel: Some(channel), ..Outbound::default() }
}

#[test]
fn socket_ids_are_two_numbers() {
    let id = Pusher::default().connection_id("some random text".to_owned());
    assert!(is_socket_id(&id), "{id}");
    assert_ne!(id, Pusher::default().connection_id("another".to_owned()));
    for text in ["", "1", "1.", ".1", "1.2.3", "a.1", "1.a", "-1.2", " 1.2", "1.123456789012345678901"] {
        assert!(!is_socket_id(text), "{text}");
    }
}

#[test]
fn who_misses_events_that_are_gone_is_sent_to_come_back() {
    let mut client = Client::new();
    client.done(r#"{"event":"pusher:subscribe","data":{"channel":"scores"}}"#);
    let gone = ErrorInfo::from(Code::ContinuityUnknown);
    let attached =
        |flags| Outbound { error: Some(&gone), flags: Some(flags), ..of_channel(action::ATTACHED, "scores") };
    assert_eq!(client.tell(attached(0))[0]["event"], "pusher_internal:subscription_succeeded", "it begins with that");
    assert_eq!(client.tell(attached(RESUMED)), [] as [Value; 0]);
    assert_eq!(client.tell(attached(0))[1], json!({ "close": 4200 }));
}

#[test]
fn a_path_names_a_key() {
    assert_eq!(key_in("/app/demo.key1"), Some("demo.key1"));
    assert_eq!([key_in("/app"), key_in("/app/a/b"), key_in("/apps/demo"), key_in("/")], [None; 4]);
}

#[test]
fn a_connection_begins_with_its_socket_id() {
    let connection_details = Some(ConnectionDetails {
        client_id: None,
        connection_key: "k",
        connection_state_ttl: 0,
        max_idle_interval: 15_000,
        max_message_size: 0,
        max_frame_size: 0,
        max_inbound_rate: 0,
        max_outbound_rate: 0,
        server_id: "",
        site_code: "",
        objects_gc_grace_period: 0,
    });
    let frame =
        Outbound { action: action::CONNECTED, connection_id: Some("1.2"), connection_details, ..Outbound::default() };
    let data = r#"{"socket_id":"1.2","activity_timeout":15}"#;
    assert_eq!(Client::new().tell(frame), [json!({ "event": "pusher:connection_established", "data": data })]);
}

#[test]
fn what_is_wrong_is_said_and_the_connection_goes_on() {
    let huge = format!(r#"{{"event":"{}"}}"#, "x".repeat(crate::limits::FRAME_MAX_BYTES));
    let cases = [
        (&*huge, 40009),
        ("", 40001),
        ("[]", 40001),
        ("{", 40001),
        (r#"{"event":7}"#, 40001),
        (r#"{"event":"goal"}"#, 40000),
        (r#"{"event":"pusher:what"}"#, 40000),
        (r#"{"event":"pusher:subscribe"}"#, 40001),
        (r#"{"event":"pusher:subscribe","data":"no json"}"#, 40001),
        (r#"{"event":"pusher:subscribe","data":{"channel":7}}"#, 40001),
        (r#"{"event":"pusher:unsubscribe","data":{}}"#, 40001),
        (r#"{"event":"pusher:signin","data":{"user_data":"{}"}}"#, 40106),
        (r#"{"event":"client-a","data":{}}"#, 40001),
        (r#"{"event":"client-a","channel":"public","data":{}}"#, 40160),
        (r#"{"event":"client-a","channel":"private-encrypted-a","data":{}}"#, 40160),
        (r#"{"event":"client-a","channel":"private-a","data":{}}"#, 40160),
    ];
    for (frame, code) in cases {
        let mut client = Client::new();
        let told = client.told(frame);
        assert_eq!(told[0]["event"], "pusher:error", "{frame}");
        assert!(told[0]["data"]["message"].as_str().unwrap().contains(&format!("({code})")), "{frame}: {told:?}");
        assert!(client.door.user.is_none() && !client.door.is_busy(), "nothing is remembered of it");
    }
}

#[test]
fn subscriptions_that_are_not_let_in_are_refused_by_channel() {
    let mut client = Client::new();
    let other = client.sign(Signed::Channel { channel: "private-b", channel_data: None });
    let cases = [
        (json!({ "channel": "" }), 40010),
        (json!({ "channel": ":x" }), 40010),
        (json!({ "channel": "[?rewind=1]a" }), 40010),
        (json!({ "channel": "[filter=eA==]a" }), 40010),
        (json!({ "channel": "private-a" }), 40106),
        (json!({ "channel": "private-a", "auth": other }), 40101),
        (json!({ "channel": "private-encrypted-a", "auth": other }), 40101),
        (json!({ "channel": "presence-a", "auth": other }), 40001),
        (json!({ "channel": "presence-a", "auth": other, "channel_data": "{}" }), 40101),
        (json!({ "channel": "#server-to-user-ann" }), 40160),
    ];
    for (data, code) in cases {
        let told = client.told(&json!({ "event": "pusher:subscribe", "data": data }).to_string());
        assert_eq!((&told[0]["event"], &told[0]["channel"]), (&json!("pusher:subscription_error"), &data["channel"]));
        assert!(told[0]["data"]["error"].as_str().unwrap().contains(&format!("({code})")), "{data}: {told:?}");
    }
    for data in ["[]", "{}", r#"{"user_id":""}"#, r#"{"user_id":"*"}"#, r#"{"user_id":null}"#, r#"{"user_id":"a\n"}"#] {
        assert_eq!(client.joins("presence-a", data), [], "{data}");
    }
    assert!(client.door.users.is_empty() && !client.door.is_busy());
}

#[test]
fn a_subscription_is_answered_once() {
    let mut client = Client::new();
    let attach = client.done(r#"{"event":"pusher:subscribe","data":{"channel":"cache-a"}}"#);
    let [Inbound::Attach { channel, params, .. }] = &attach[..] else { panic!("{attach:?}") };
    assert_eq!((channel.as_str(), params.get("rewind").map(String::as_str)), ("cache-a", Some("1")));
    assert!(client.door.is_busy(), "nobody else knows that it waits");
    assert_eq!(client.told(r#"{"event":"pusher:subscribe","data":{"channel":"cache-a"}}"#).len(), 1);
    let names = |told: Vec<Value>| told.iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let told = client.tell(of_channel(action::ATTACHED, "cache-a"));
    assert_eq!(names(told), ["pusher_internal:subscription_succeeded", "pusher:cache_miss"]);
    assert!(!client.door.is_busy());
    assert_eq!(client.tell(of_channel(action::ATTACHED, "cache-a")), [] as [Value; 0], "nobody asked");
}

#[test]
fn one_who_joins_learns_who_is_there_at_that_moment() {
    let mut client = Client::new();
    assert_eq!(client.joins("presence-a", r#"{"user_id":1,"user_info":{"name":"x"}}"#).len(), 1);
    let attached = Outbound { flags: Some(HAS_PRESENCE), ..of_channel(action::ATTACHED, "presence-a") };
    assert_eq!(client.tell(attached), [] as [Value; 0]);
    let page = |serial, presence| Outbound {
        channel_serial: Some(serial),
        presence: Some(presence),
        ..of_channel(action::SYNC, "presence-a")
    };
    assert_eq!(client.tell(page("s:0", vec![])), [] as [Value; 0]);
    let left =
        Outbound { presence: Some(vec![member(3, "gone", "c1", "")]), ..of_channel(action::PRESENCE, "presence-a") };
    assert_eq!(client.tell(left), [] as [Value; 0]);
    let members = vec![member(1, "ann", "c2", ""), member(1, "ann", "c3", ""), member(1, "gone", "c1", "")];
    client.tell(page("s:", members));
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!(enter.messages[0].client_id.as_deref(), Some("1"));

    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let events = vec![member(2, "bob", "c4", ""), member(2, "1", SOCKET, &own), member(2, "cleo", "c5", "")];
    let told = client.tell(Outbound { presence: Some(events), ..of_channel(action::PRESENCE, "presence-a") });
    let data: Value = serde_json::from_str(told[0]["data"].as_str().unwrap()).unwrap();
    assert_eq!(data["presence"]["ids"], json!(["1", "ann", "bob"]));
    assert_eq!((&data["presence"]["count"], &data["presence"]["hash"]["bob"]), (&json!(3), &json!({ "name": "x" })));
    assert_eq!(told[1]["event"], "pusher_internal:member_added");
    assert!(!client.door.is_busy() && !client.door.hears_alone("presence-a"));
}

/// Between its entry and the news of it something was missed: it finds itself among those who are there.
#[test]
fn one_who_joins_behind_a_gap_learns_of_its_entry_by_who_is_there() {
    let mut client = Client::new();
    client.joins("presence-a", r#"{"user_id":"ann"}"#);
    client.tell(of_channel(action::ATTACHED, "presence-a"));
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let attached = || Outbound { flags: Some(HAS_PRESENCE), ..of_channel(action::ATTACHED, "presence-a") };
    let page = |serial, presence| Outbound {
        channel_serial: Some(serial),
        presence: Some(presence),
        ..of_channel(action::SYNC, "presence-a")
    };
    for pages in [vec![("s:", "another")], vec![("s:1", &*own), ("s:", "another")]] {
        assert_eq!(client.tell(attached()), [] as [Value; 0]);
        let is_in = pages.len() == 2;
        let told: Vec<Value> = pages
            .into_iter()
            .flat_map(|(serial, id)| client.tell(page(serial, vec![member(1, "ann", SOCKET, id)])))
            .collect();
        assert_eq!(told.iter().filter(|told| told["event"] == SUCCEEDED).count(), usize::from(is_in), "{told:?}");
    }
    assert!(!client.door.is_busy());
}

#[test]
fn one_who_joins_a_channel_without_a_last_event_is_told_so() {
    let mut client = Client::new();
    client.joins("presence-cache-a", r#"{"user_id":"ann"}"#);
    client.tell(of_channel(action::ATTACHED, "presence-cache-a"));
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let entered = vec![member(2, "ann", SOCKET, &own)];
    let told = client.tell(Outbound { presence: Some(entered), ..of_channel(action::PRESENCE, "presence-cache-a") });
    assert_eq!((&told[0]["event"], &told[1]["event"]), (&json!(SUCCEEDED), &json!("pusher:cache_miss")));
}

#[test]
fn who_cannot_enter_is_not_subscribed() {
    let mut client = Client::new();
    client.joins("presence-a", r#"{"user_id":"ann"}"#);
    client.tell(of_channel(action::ATTACHED, "presence-a"));
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let error = Code::TooManyMembers.into();
    let nack = Outbound {
        action: action::NACK,
        msg_serial: Some(enter.msg_serial),
        error: Some(&error),
        ..Outbound::default()
    };
    let told = client.tell(nack);
    assert_eq!((&told[0]["event"], &told[0]["channel"]), (&json!("pusher:subscription_error"), &json!("presence-a")));
    assert_eq!(client.door.orders(), [Inbound::Detach { channel: "presence-a".to_owned() }]);
    assert!(client.door.users.is_empty() && !client.door.is_busy());
}

#[test]
fn whom_a_channel_cannot_take_for_now_comes_back_after_a_while() {
    for (error, code) in [(Code::RateLimited, 4100), (Code::Unavailable, 4100), (Code::Disconnected, 4200)] {
        let error = error.into();
        let mut client = Client::new();
        client.joins("presence-a", r#"{"user_id":"ann"}"#);
        client.tell(of_channel(action::ATTACHED, "presence-a"));
        let orders = client.door.orders();
        let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
        let (msg_serial, error) = (Some(enter.msg_serial), Some(&error));
        let nack = Outbound { action: action::NACK, msg_serial, error, ..Outbound::default() };
        for refusal in [nack, Outbound { error, ..of_channel(action::ERROR, "presence-a") }] {
            let Encoded::Several(told) = client.door.tell(&refusal) else { panic!("{refusal:?}") };
            assert_eq!(told.last(), Some(&Encoded::Close(code)), "{told:?}");
        }
    }
}

#[test]
fn more_users_than_may_be_told_are_refused() {
    let mut client = Client::new();
    client.joins("presence-a", r#"{"user_id":"ann"}"#);
    client.tell(Outbound { flags: Some(HAS_PRESENCE), ..of_channel(action::ATTACHED, "presence-a") });
    let names: Vec<String> = (0..=crate::limits::USERS_MAX).map(|number| number.to_string()).collect();
    let members = names.iter().map(|name| member(1, name, "c", "")).collect();
    client.tell(Outbound {
        channel_serial: Some("s:"),
        presence: Some(members),
        ..of_channel(action::SYNC, "presence-a")
    });
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let told = client.tell(Outbound {
        presence: Some(vec![member(2, "ann", SOCKET, &own)]),
        ..of_channel(action::PRESENCE, "presence-a")
    });
    assert!(told[0]["data"]["error"].as_str().unwrap().contains("(91003)"), "{told:?}");
}

/// What is gathered for those who join counts for all connections of a relay, until they have joined.
#[test]
fn so_much_is_kept_for_all_who_join_at_once() {
    let mut client = Client::new();
    let memory = client.memory.clone();
    client.joins("presence-a", r#"{"user_id":"ann"}"#);
    client.tell(Outbound { flags: Some(HAS_PRESENCE), ..of_channel(action::ATTACHED, "presence-a") });
    let page = |client: &mut Client, name| {
        client.tell(Outbound {
            channel_serial: Some("s:1"),
            presence: Some(vec![member(1, name, "c", "")]),
            ..of_channel(action::SYNC, "presence-a")
        })
    };
    page(&mut client, "bob");
    let held = memory.get();
    assert!(held > 0);
    memory.set(crate::limits::ROSTERS_MAX_BYTES);
    page(&mut client, "cleo");
    memory.set(held);
    client.tell(Outbound { channel_serial: Some("s:"), ..of_channel(action::SYNC, "presence-a") });
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let entered = vec![member(2, "ann", SOCKET, &own)];
    let told = client.tell(Outbound { presence: Some(entered), ..of_channel(action::PRESENCE, "presence-a") });
    assert_eq!((&told[0]["data"]["code"], &told[1]["close"]), (&json!(4100), &json!(4100)));
    assert_eq!(memory.get(), 0, "nothing is kept any more");
}

#[test]
fn client_events_are_numbered_beyond_all_before() {
    let mut client = Client::new();
    client.attached.push("private-a".to_owned());
    let event = r#"{"event":"client-a","channel":"private-a","data":{}}"#;
    let mut last = 0;
    for _ in 0..3 {
        let done = client.done(event);
        let [Inbound::Publish(frame)] = &done[..] else { panic!("{done:?}") };
        assert!(frame.msg_serial > last);
        last = frame.msg_serial;
    }
    client.door = Pusher::default();
    let done = client.done(event);
    assert!(matches!(&done[..], [Inbound::Publish(frame)] if frame.msg_serial >= NOW_MS << SERIAL_BITS));
}

#[test]
fn only_a_user_hears_what_servers_tell_it() {
    let mut client = Client::new();
    let user_data = r#"{"id":"ann","watchlist":["bob"]}"#;
    let auth = client.sign(Signed::User { user_data });
    let sign_in = json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }).to_string();
    let told = client.told(&sign_in);
    assert_eq!(told[0]["event"], "pusher:signin_success");
    assert_eq!((&told[1]["event"], &told[1]["data"]["code"]), (&json!("pusher:error"), &json!(4302)));
    assert_eq!(client.done(r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-ann"}}"##).len(), 1);
    assert_eq!(client.done(r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-bob"}}"##), []);
    let other = client.sign(Signed::User { user_data: r#"{"id":"bob"}"# });
    let other = json!({ "event": "pusher:signin", "data": { "auth": other, "user_data": r#"{"id":"bob"}"# } });
    assert_eq!(client.told(&other.to_string())[0]["event"], "pusher:error");
    assert!(client.door.hears_alone("#server-to-user-ann"));
}

#[test]
fn endings_say_whether_to_come_back() {
    let cases = [
        (Code::BadCredentials, 4001),
        (Code::TlsRequired, 4000),
        (Code::NotPermitted, 4009),
        (Code::TooLarge, 4009),
        (Code::Unavailable, 4100),
        (Code::RateLimited, 4100),
        (Code::Disconnected, 4200),
        (Code::InternalChannel, 4200),
        (Code::BadParameter, 4007),
    ];
    for (code, close) in cases {
        let error = code.into();
        for action in [action::ERROR, action::DISCONNECTED] {
            let told = Client::new().tell(Outbound { action, error: Some(&error), ..Outbound::default() });
            assert_eq!((&told[0]["data"]["code"], &told[1]["close"]), (&json!(close), &json!(close)), "{code:?}");
        }
    }
    assert_eq!(
        Client::new().tell(Outbound { action: action::CLOSED, ..Outbound::default() }),
        [json!({ "close": 1000 })]
    );
}

#[test]
fn acknowledgements_are_not_told_and_refusals_are() {
    let results = [PublishResult::default()];
    let ack = Outbound {
        action: action::ACK,
        msg_serial: Some(1),
        count: Some(1),
        res: Some(&results),
        ..Outbound::default()
    };
    assert_eq!(Client::new().tell(ack), [] as [Value; 0]);
    let error = Code::PublishRateLimited.into();
    let nack = Outbound { action: action::NACK, msg_serial: Some(1), error: Some(&error), ..Outbound::default() };
    assert_eq!(Client::new().tell(nack)[0]["data"]["code"], 4301);
}

#[test]
fn data_is_json_where_it_is_structured_and_text_elsewhere() {
    use crate::model::data::{Data, Payload};
    let text = |text: &str| Payload::Plain(Data::Text(text.to_owned()));
    let cases = [
        (json!({ "a": 1 }), Payload::Structured(r#"{"a":1}"#.to_owned())),
        (json!("{\"a\": 1}"), Payload::Structured("{\"a\": 1}".to_owned())),
        (json!("[1]"), Payload::Structured("[1]".to_owned())),
        (json!("hello"), text("hello")),
        (json!("{no json"), text("{no json")),
        (json!(7), text("7")),
        (json!(true), text("true")),
        (json!(null), Payload::default()),
    ];
    for (data, expected) in cases {
        assert_eq!(payload(data.clone()), expected, "{data}");
    }
}
