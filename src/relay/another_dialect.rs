//! A client of another dialect is a client like any other: the relay knows commands and events, and not how they are
//! spelled.

use std::rc::Rc;

use super::session::Opening;
use super::{Effect, Relay, SocketId};
use crate::auth::{App, Capability, Grant, KeyName};
use crate::model::Format;
use crate::model::data::Data;
use crate::model::message::{Content, Entry, Message};
use crate::model::name::ChannelName;
use crate::model::packed::Packed;
use crate::model::serial::Position;
use crate::protocol::Encoded;
use crate::protocol::dialect::Dialect;
use crate::rpc::{Delivery, RelayName, Response, Subscribed};

const NOW_MS: u64 = 1_000_000;

/// One client speaks in lines, the other the protocol.
struct Room {
    relay: Relay,
}

impl Room {
    fn new() -> Room {
        let app: App = serde_json::from_str(r#"{"id":"demo","keys":[],"namespaces":[]}"#).unwrap();
        Room { relay: Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec()) }
    }

    fn come(&mut self, socket: u32, spoken: Option<Dialect>) -> Vec<String> {
        let grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), Capability::full());
        let opening = Opening { spoken, ..Opening::from_query(grant, &[], true) };
        told(&self.relay.open(SocketId(socket), opening, format!("connection{socket}"), NOW_MS), socket)
    }

    /// What the client is told at once, or when the channel has answered that the relay is fed.
    fn say(&mut self, socket: u32, line: &str) -> Vec<String> {
        let mut effects = self.relay.frame(SocketId(socket), line.as_bytes(), Format::Json, NOW_MS);
        if let Some(Effect::Call { ticket, .. }) = effects.iter().find(|effect| matches!(effect, Effect::Call { .. })) {
            let subscribed = Subscribed {
                epoch: "life".to_owned(),
                position: Position(0),
                members: 0,
                reports: false,
                direct: true,
            };
            effects = self.relay.answered(*ticket, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);
        }
        told(&effects, socket)
    }

    /// The channel delivers this text.
    fn hear(&mut self, position: u64, text: &str) -> Vec<Effect> {
        let content = Content::Messages(vec![Message { data: Data::Text(text.to_owned()), ..Message::default() }]);
        let entry = Entry { position: Position(position), id: "x".to_owned(), connection_id: None, content };
        let delivery = Delivery {
            channel: ChannelName::parse("room").unwrap(),
            epoch: "life".to_owned(),
            prior: Position(position - 1),
            through: Position(position),
            gap: false,
            entries: Packed::one(&entry),
            members: 0,
        };
        self.relay.deliver(&delivery, NOW_MS).1
    }
}

fn told(effects: &[Effect], socket: u32) -> Vec<String> {
    let frame = |effect: &Effect| match effect {
        Effect::Send { sockets, frame: Encoded::Text(text) } if sockets.contains(&SocketId(socket)) => {
            Some(text.clone())
        }
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

#[test]
fn clients_of_two_dialects_share_a_channel() {
    let mut room = Room::new();
    assert_eq!(room.come(1, Some(Dialect::Lines)), ["hello"]);
    assert!(room.come(2, None)[0].starts_with(r#"{"action":4,"#));
    assert_eq!(room.say(1, "hear room"), ["you hear room"]);
    assert!(room.say(2, r#"{"action":10,"channel":"room"}"#)[0].starts_with(r#"{"action":11,"#));
    let effects = room.hear(1, "goal");
    assert_eq!(told(&effects, 1), ["room: goal"]);
    assert!(told(&effects, 2)[0].contains(r#""data":"goal""#), "{effects:?}");
    let sends = effects.iter().filter(|effect| matches!(effect, Effect::Send { .. }));
    assert_eq!(sends.count(), 2, "one frame for each dialect");
}

#[test]
fn what_a_dialect_cannot_read_is_refused_in_it() {
    let mut room = Room::new();
    room.come(1, Some(Dialect::Lines));
    assert_eq!(room.say(1, "sing"), ["no: say 'hear CHANNEL', or 'bye'"]);
    let mut room = Room::new();
    room.come(1, Some(Dialect::Lines));
    assert_eq!(room.say(1, "bye"), ["bye"]);
}
