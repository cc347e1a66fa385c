//! Clients of Socket.IO at a relay.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::auth::{App, Credentials, Presented, Surface};
use crate::model::Format;
use crate::model::data::Data;
use crate::model::message::{Content, Entry, Message};
use crate::model::name::ChannelName;
use crate::model::packed::Packed;
use crate::model::serial::Position;
use crate::protocol::Encoded;
use crate::protocol::door::Door;
use crate::protocol::socketio::SocketIo;
use crate::relay::record::Record;
use crate::relay::session::Opening;
use crate::relay::{Effect, Relay, SocketId};
use crate::rpc::{Delivery, RelayName, Response, Subscribed};

const NOW_MS: u64 = 1_000_000;

/// A relay that is fed with one channel.
struct Room {
    app: Rc<App>,
    relay: Relay,
}

impl Room {
    fn new() -> Room {
        let app = r#"{"id":"demo","keys":[{"name":"key","secret":"local-only"}],"namespaces":[]}"#;
        let app: Rc<App> = Rc::new(serde_json::from_str(app).unwrap());
        let relay = Relay::new(RelayName::shard(app.id(), 0), 0, app.clone(), b"secret".to_vec());
        Room { app, relay }
    }

    fn enters(&mut self, socket: SocketId) {
        let query = [("key".to_owned(), "demo.key:local-only".to_owned())];
        let presented = Presented { authorization: None, client_id: None, query: &query };
        let credentials = Credentials::parse(&presented, Surface::Realtime).unwrap();
        let grant = credentials.verify(Some(&self.app), NOW_MS).unwrap();
        let mut opening = Opening::from_query(grant, &[], true);
        opening.enter_by(Door::SocketIo(SocketIo::new(self.app.id().clone(), true, false)));
        opening.is_kept = true;
        self.relay.open(socket, opening, format!("connection{}", socket.0), NOW_MS);
    }

    /// It connects to the namespace, and the relay is fed if it was not. Gives what it is told, and all that is done.
    fn connects(&mut self, socket: SocketId, auth: &Value) -> (Value, Vec<Effect>) {
        let packet = format!("40/room,{auth}");
        let mut effects = self.relay.frame(socket, packet.as_bytes(), Format::Json, NOW_MS);
        let call = effects.iter().find_map(|effect| match effect {
            Effect::Call { ticket, .. } => Some(*ticket),
            _ => None,
        });
        if let Some(ticket) = call {
            let (epoch, position) = ("life".to_owned(), Position(0));
            let subscribed = Subscribed { epoch, position, members: 0, reports: false, direct: true };
            effects = self.relay.answered(ticket, Some(Ok(Response::Subscribed(subscribed))), NOW_MS);
        }
        let told = texts(&effects, socket).concat();
        let said = told.strip_prefix("40/room,").unwrap_or_else(|| panic!("{told}"));
        (serde_json::from_str(said).unwrap(), effects)
    }

    /// The channel delivers one publish of these texts.
    fn hears(&mut self, position: u64, all: &[&str]) -> Vec<Effect> {
        let message = |text: &&str| Message { data: Data::Text((*text).to_owned()), ..Message::default() };
        let content = Content::Messages(all.iter().map(message).collect());
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

fn texts(effects: &[Effect], socket: SocketId) -> Vec<String> {
    fn texts_of(frame: &Encoded) -> Vec<String> {
        match frame {
            Encoded::Text(text) => vec![text.clone()],
            Encoded::Several(frames) => frames.iter().flat_map(texts_of).collect(),
            _ => Vec::new(),
        }
    }
    let told = |effect: &Effect| match effect {
        Effect::Send { sockets, frame } if sockets.contains(&socket) => texts_of(frame),
        _ => Vec::new(),
    };
    effects.iter().flat_map(told).collect()
}

/// Whether its record, written last, says that something was begun.
fn is_busy(effects: &[Effect], socket: SocketId) -> bool {
    let record = |effect: &Effect| match effect {
        Effect::Save { socket: of, record } if *of == socket => Record::decode(record),
        _ => None,
    };
    effects.iter().rev().find_map(record).expect("a record").busy
}

/// Its relay is not told of the publish yet in the middle of which a client goes on.
#[test]
fn the_beginning_of_a_publish_that_a_client_has_does_not_come_again_though_its_delivery_is_late() {
    let (other, back) = (SocketId(1), SocketId(2));
    let mut room = Room::new();
    room.enters(other);
    let pid = room.connects(other, &json!({})).0["pid"].clone();
    room.enters(back);
    let offset = Position(1).message_serial("life", 0);
    let (said, effects) = room.connects(back, &json!({ "pid": pid, "offset": offset }));
    assert_eq!(said["pid"], pid, "it goes on");
    assert!(is_busy(&effects, back), "nobody else knows what it has");
    let effects = room.hears(1, &["one", "two"]);
    let count = |socket| texts(&effects, socket).iter().filter(|text| text.starts_with("42")).count();
    assert_eq!((count(other), count(back)), (2, 1), "{effects:?}");
    assert!(texts(&effects, back)[0].contains("two") && !is_busy(&effects, back));
    let effects = room.hears(2, &["three"]);
    assert_eq!(texts(&effects, other), texts(&effects, back), "as all others again");
}
