//! Channels that begin with their last event.

use super::*;
use crate::limits::ROSTERS_MAX_BYTES;
use crate::model::serial::Position;
use crate::protocol::outbound::{OutboundData, OutboundMessage};

fn said<'a>(channel: &'a str, action: u8, name: &'a str) -> Outbound<'a> {
    let message = OutboundMessage {
        id: String::new(),
        name: Some(name),
        data: OutboundData::Text("x"),
        encoding: None,
        client_id: None,
        connection_id: None,
        timestamp: None,
        extras: None,
        action,
        serial: String::new(),
        at: Position(1),
        version: None,
        annotations: None,
        operation: None,
    };
    Outbound { messages: Some(vec![message]), ..of_channel(action::MESSAGE, channel) }
}

#[test]
fn a_cached_channel_begins_with_its_last_event_as_it_is_now() {
    let attached = |channel| Outbound { flags: Some(HAS_BACKLOG), ..of_channel(action::ATTACHED, channel) };
    let names = |told: Vec<Value>| told.into_iter().map(|mut one| one["event"].take()).collect::<Vec<_>>();
    for (action, name, told) in
        [(0, "a", "a"), (1, "a", "a"), (2, "a", "pusher:cache_miss"), (0, "pusher:x", "pusher:cache_miss")]
    {
        let mut client = Client::new();
        client.done(r#"{"event":"pusher:subscribe","data":{"channel":"cache-a"}}"#);
        client.tell(attached("cache-a"));
        assert!(client.door.hears_alone("cache-a"));
        assert_eq!(names(client.tell(said("cache-a", action, name))), [told]);
        assert_eq!(client.tell(said("cache-a", 1, "a")), [] as [Value; 0], "what changes later is not told");

        client.joins("presence-cache-a", r#"{"user_id":"ann"}"#);
        client.tell(attached("presence-cache-a"));
        let orders = client.door.orders();
        let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(client.tell(said("presence-cache-a", action, name)), [] as [Value; 0], "not before it is in");
        assert_eq!(client.tell(said("presence-cache-a", 0, "live")), [] as [Value; 0]);
        let own = format!("{SOCKET}:{}:0", enter.msg_serial);
        let entered = vec![member(2, "ann", SOCKET, &own)];
        let entered = Outbound { presence: Some(entered), ..of_channel(action::PRESENCE, "presence-cache-a") };
        assert_eq!(names(client.tell(entered)), [SUCCEEDED, told, "live"]);
        assert_eq!(client.memory.get(), 0);
    }
}

/// Nothing tells it later. Who is there is told anew when it attaches, and what it missed is not.
#[test]
fn who_misses_an_event_on_the_way_in_is_sent_to_come_back() {
    let mut client = Client::new();
    client.joins("presence-a", r#"{"user_id":"ann"}"#);
    client.memory.set(ROSTERS_MAX_BYTES);
    client.tell(said("presence-a", 0, "missed"));
    client.memory.set(client.memory.get() - ROSTERS_MAX_BYTES);
    client.tell(of_channel(action::ATTACHED, "presence-a"));
    let orders = client.door.orders();
    let [Inbound::Presence(enter)] = &orders[..] else { panic!("{orders:?}") };
    let own = format!("{SOCKET}:{}:0", enter.msg_serial);
    let entered = vec![member(2, "ann", SOCKET, &own)];
    let told = client.tell(Outbound { presence: Some(entered), ..of_channel(action::PRESENCE, "presence-a") });
    assert_eq!(told.last(), Some(&json!({ "close": 4100 })));
}
