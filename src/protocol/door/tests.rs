//! What all doors promise.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::auth::{KeyName, Signed};
use crate::error::Code;
use crate::protocol::action;
use crate::protocol::mqtt::gate::{Gate, Step};

const NOW_MS: u64 = 1_800_000_000_000;
const CONNECTION: &str = "1.2";

fn app() -> App {
    let keys = json!([{"name": "key", "secret": "local-only", "pusher": true}]);
    serde_json::from_value(json!({"id": "demo", "keys": keys})).expect("an app")
}

fn grant() -> Grant {
    Grant::of_key(KeyName::parse("demo.key").expect("a name"), crate::auth::Capability::full())
}

/// A door, and what its clients say.
fn doors(app: &App) -> Vec<(Door, Vec<Vec<u8>>)> {
    let texts = |texts: &[String]| texts.iter().map(|text| text.clone().into_bytes()).collect();
    let connect = b"\x10\x12\0\x04MQTT\x05\0\0\x1e\x05\x11\0\0\0\x3c\0\0";
    let Some(Step::Enter(connect)) = Gate::new(0).knock(connect) else { panic!("a good CONNECT") };
    let visitor = Mqtt::of(*connect, "fresh");
    let packets: [&[u8]; 9] = [
        b"\x32\x07\0\x01a\0\x01\0x",
        b"\x3a\x07\0\x01a\0\x01\0x",
        b"\x30\x05\0\x01b\0x",
        b"\x40\x02\0\x01",
        b"\x82\x07\0\x02\0\0\x01a\x01",
        b"\xa2\x06\0\x05\0\0\x01a",
        b"\xc0\0",
        b"\xe0\x07\x04\x05\x11\0\0\0\x3d",
        b"\xe0\0",
    ];
    let key = &app.keys()[0];
    let (member, user_data) = (r#"{"user_id":"ann"}"#, r#"{"id":"ann"}"#);
    let joins = |channel: &str| {
        let auth = key.sign_for_pusher(CONNECTION, Signed::Channel { channel, channel_data: Some(member) });
        json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth, "channel_data": member}})
    };
    let user = key.sign_for_pusher(CONNECTION, Signed::User { user_data });
    let events = [
        joins("presence-a"),
        joins("presence-b"),
        json!({"event": "pusher:subscribe", "data": {"channel": "public"}}),
        json!({"event": "pusher:unsubscribe", "data": {"channel": "presence-a"}}),
        json!({"event": "pusher:signin", "data": {"auth": user, "user_data": user_data}}),
        json!({"event": "client-a", "channel": "presence-a", "data": "x"}),
        json!({"event": "pusher:pong", "data": {}}),
    ];
    let engine = [
        r#"40/a,{"key":"demo.key:local-only"}"#,
        r#"40/a,{"key":"demo.key:wrong"}"#,
        r#"42/a,1["a",1]"#,
        r#"451-/a,["a",{"_placeholder":true,"num":0}]"#,
        "41/a,",
        "3",
    ];
    vec![
        (Door::Mqtt(visitor.into()), packets.iter().map(|packet| packet.to_vec()).collect()),
        (Door::Pusher(Pusher::default()), texts(&events.map(|event| event.to_string()))),
        (Door::SocketIo(SocketIo::new(app.id().clone(), false, true)), texts(&engine.map(str::to_owned))),
    ]
}

/// What a connection alone is told.
fn told(which: usize, error: &ErrorInfo) -> Outbound<'_> {
    let (channel, serial) = (["a", "presence-a", "presence-b"][which % 3], Some("00000000000005-001@s"));
    let of_channel =
        |action| Outbound { action, channel: Some(channel), channel_serial: serial, ..Outbound::default() };
    let outcome = |action| Outbound { action, msg_serial: Some(0), count: Some(9), ..Outbound::default() };
    match which / 3 % 6 {
        0 => Outbound { action: action::CONNECTED, ..Outbound::default() },
        1 => Outbound { flags: Some(1 << 18), ..of_channel(action::ATTACHED) },
        2 => Outbound { error: Some(error), ..of_channel(action::ERROR) },
        3 => Outbound { error: Some(error), ..of_channel(action::DETACHED) },
        4 => outcome(action::ACK),
        _ => Outbound { error: Some(error), ..outcome(action::NACK) },
    }
}

proptest! {
    /// Else it would not be stored.
    #[test]
    fn a_door_that_remembers_something_else_has_another_mark(
        which in 0_usize..3,
        steps in prop::collection::vec((any::<bool>(), any::<Index>()), 1..12),
    ) {
        let (app, grant, error) = (app(), grant(), ErrorInfo::from(Code::NotPermitted));
        let (mut door, said) = doors(&app).swap_remove(which);
        for (hears, index) in steps {
            let (before, mark) = (postcard::to_allocvec(&door).expect("it is stored"), door.mark());
            if hears {
                let (memory, is_attached) = (Rc::default(), |_: &ChannelName| true);
                let setting = Setting {
                    app: &app,
                    operators: None,
                    grant: &grant,
                    connection_id: CONNECTION,
                    now_ms: NOW_MS,
                    memory: &memory,
                    is_attached: &is_attached,
                };
                let _ = door.hear(&said[index.index(said.len())], Format::Json, setting);
            } else {
                door.tell(&told(index.index(18), &error));
            }
            let is_same = postcard::to_allocvec(&door).expect("it is stored") == before;
            prop_assert!(is_same || door.mark() != mark, "{door:?}");
        }
    }
}
