//! What sessions of MQTT's clients go on with: where each subscription is, what is not acknowledged, and what was
//! taken in.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod mqtt;
}

use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Message};
use courtside::model::packed::Packed;
use courtside::model::revision::{Mark, Shape, Target, Version};
use courtside::model::serial::Position;
use courtside::relay::SocketId;
use courtside::rpc::{Delivery, ReadFrom, Request};
use support::bench::{EPOCH, NOW_MS, call, delivery, relay, subscribed};
use support::mqtt::{come, say, sent, subscribe};

/// An update at this place of a message that was published long before.
fn update(position: u64) -> Entry {
    let position = Position(position);
    let version = Version {
        position,
        shape: Shape::Updated,
        number: 1,
        prior: Position(7),
        deleted_at: None,
        connection_id: None,
        client_id: None,
        description: None,
        metadata: None,
    };
    let mark = Mark { target: Target { position: Position(7), place: 0 }, version: Some(version) };
    let messages = vec![Message { data: Data::Text("changed".to_owned()), ..Message::default() }];
    let content = Content::Revised { messages, marks: vec![mark] };
    Entry { position, id: "update".to_owned(), connection_id: None, content }
}

#[test]
fn an_update_that_is_not_acknowledged_is_where_the_next_connection_begins() {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    relay.deliver(&delivery(5_000, &[5_001]), NOW_MS);
    say(&mut relay, 1, b"\x40\x02\0\x01", NOW_MS);
    let entries = Packed::one(&update(5_002));
    let (_, effects) = relay.deliver(&Delivery { entries, ..delivery(5_001, &[5_002]) }, NOW_MS);
    assert_eq!(sent(&effects, 1)[0][8..10], *b"\0\x02");
    relay.lost(SocketId(1), NOW_MS);

    let (ticket, _) = call(&come(&mut relay, 2, "ann", false, NOW_MS));
    let effects = relay.answered(ticket, subscribed(5_002), NOW_MS);
    let (_, request) = call(&effects);
    assert_eq!(request, Request::Read(ReadFrom::After { position: Position(5_001), epoch: EPOCH.to_owned() }));
}
