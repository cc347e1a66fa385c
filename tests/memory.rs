//! What a member costs a channel, and a session its relay: bytes of memory, counted by the allocator. Storage is not
//! memory, and keeps nothing here. Pointers are twice as long as at the edge, so this is more than it takes there.

mod support {
    pub mod grant;
    pub mod held;
}

use std::rc::Rc;

use courtside::auth::{App, Identity, Source};
use courtside::channel::StoredPush;
use courtside::channel::store::{
    CountKey, Row, Share, Store, StoreError, Stored, StoredHolder, StoredLatest, Total, Totals,
};
use courtside::channel::{Channel, Effect};
use courtside::intake::presence::{ENTER, check};
use courtside::limits::{CONNECTION_STATE_TTL_MS, MEMBERS_MAX};
use courtside::model::Format;
use courtside::model::data::{Data, Payload};
use courtside::model::name::{AppId, ChannelName};
use courtside::model::objects::parts::PartKey;
use courtside::model::objects::pool::Changes;
use courtside::model::packed::Packed;
use courtside::model::presence::MemberKey;
use courtside::model::revision::Target;
use courtside::model::serial::Position;
use courtside::protocol::inbound::InboundMessage;
use courtside::relay::session::Opening;
use courtside::relay::{self, Relay, SocketId};
use courtside::rpc::Ticket;
use courtside::rpc::{
    Address, Lease, MembersQuery, Outcome, Publish, PublishKey, RelayName, Response, Rules, Submission, Subscribed,
};

use support::grant::grant;
use support::held;

/// Takes everything and keeps nothing: nobody here is read again.
struct Nowhere;

impl Store for Nowhere {
    fn purge(&mut self, _: Position, _: usize) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn load(&mut self) -> Result<Stored, StoreError> {
        Ok(Stored::default())
    }

    fn save_meta(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn save_hooks(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn add_relay(&mut self, _: &RelayName, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn remove_relay(&mut self, _: &RelayName, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn append(&mut self, _: &Row) -> Result<(), StoreError> {
        Ok(())
    }

    fn trim(&mut self, _: Position) -> Result<(), StoreError> {
        Ok(())
    }

    fn rows_after(&mut self, _: Position, _: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        Ok(Vec::new())
    }

    fn rows_before(&mut self, _: Position, _: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        Ok(Vec::new())
    }

    fn totals_after(&mut self, _: Position, _: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        Ok(Vec::new())
    }

    fn pushes(&mut self, _: usize) -> Result<Vec<StoredPush>, StoreError> {
        Ok(Vec::new())
    }

    fn forget_pushes(&mut self, _: (Position, usize)) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn keys_before(&mut self, _: Position, _: usize) -> Result<Vec<(Position, String)>, StoreError> {
        Ok(Vec::new())
    }

    fn keys_after(&mut self, _: Position, _: usize) -> Result<Vec<(Position, String)>, StoreError> {
        Ok(Vec::new())
    }

    fn latest(&mut self, _: Position) -> Result<Vec<StoredLatest>, StoreError> {
        Ok(Vec::new())
    }

    fn versions(&mut self, _: Target, _: u32, _: bool, _: usize) -> Result<Vec<Packed>, StoreError> {
        Ok(Vec::new())
    }

    fn member(&mut self, _: &MemberKey) -> Result<Option<Packed>, StoreError> {
        Ok(None)
    }

    fn members(&mut self, _: &MembersQuery) -> Result<Vec<Packed>, StoreError> {
        Ok(Vec::new())
    }

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError> {
        Ok(Vec::new())
    }

    fn hold(&mut self, _: &str, _: &Lease, _: Option<u64>) -> Result<(), StoreError> {
        Ok(())
    }

    fn object_part(&mut self, _: &PartKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn object_parts(&mut self, _: &PartKey, _: usize) -> Result<Vec<(PartKey, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }

    fn change_objects(&mut self, _: &Changes) -> Result<(), StoreError> {
        Ok(())
    }

    fn annotations(&mut self, _: Target, _: Position, _: usize) -> Result<Vec<Packed>, StoreError> {
        Ok(Vec::new())
    }

    fn counts(&mut self, _: Target) -> Result<Vec<(CountKey, Total)>, StoreError> {
        Ok(Vec::new())
    }

    fn counted(&mut self, _: Position, _: Position) -> Result<Vec<Target>, StoreError> {
        Ok(Vec::new())
    }

    fn shares(&mut self, _: Target, _: &str, _: &str) -> Result<Vec<(String, Share)>, StoreError> {
        Ok(Vec::new())
    }

    fn clients(&mut self, _: Target, _: &CountKey, _: usize) -> Result<Vec<(String, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

fn enter(index: usize) -> Publish {
    let connection_id = format!("connection-{index:05}");
    let data = Payload::Plain(Data::Text("x".repeat(100)));
    let event = InboundMessage {
        action: Some(ENTER),
        client_id: Some(format!("a member with a name {index}")),
        data,
        ..InboundMessage::default()
    };
    let updates = check(vec![event], &Identity::Wildcard, None, &connection_id, 0).expect("an event");
    let lease = Lease { relay: RelayName::shard(&AppId::parse("demo").expect("an id"), 0), grace_ms: 15_000 };
    let content = Submission::Presence { lease, updates };
    Publish { key: PublishKey::Serial(0), connection_id: Some(connection_id), by: Source::SERVER, content }
}

/// Each of a connection of its own, which is what costs most.
#[test]
fn a_member_costs_a_channel_less_than_400_bytes() {
    let to =
        Address { app: AppId::parse("demo").expect("an id"), channel: ChannelName::parse("room").expect("a name") };
    let rules = Rules::of(courtside::auth::Rules::NONE);
    assert_eq!(rules.max_members, MEMBERS_MAX as u32);
    let mut channel =
        Channel::wake(&mut Nowhere, Some((&to, &rules)), "life", 1_000_000).expect("it works").expect("a channel");
    let before = held::bytes();
    for index in 0..MEMBERS_MAX {
        channel.publish(Ticket(0), vec![enter(index)]).expect("there is room");
        let effects = channel.commit(&mut Nowhere, 1_000_000 + index as u64);
        let Some(Effect::Reply(_, Ok(Response::Published(published)))) = effects.first() else { panic!("{effects:?}") };
        assert!(matches!(published.outcomes[0], Outcome::Accepted { .. }), "{published:?}");
    }
    let bytes = (held::bytes() - before) as usize / MEMBERS_MAX;
    println!("{bytes} bytes for each of {MEMBERS_MAX} members");
    assert!(bytes < 400, "{bytes}");
}

/// Attached to one channel, as most are.
#[test]
fn a_session_costs_a_relay_less_than_1850_bytes() {
    const SESSIONS: usize = 20_000;
    let app: App =
        serde_json::from_value(serde_json::json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}]}))
            .expect("an app");
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec());
    let before = held::bytes();
    for index in 0..SESSIONS {
        let socket = SocketId(index as u32);
        relay.open(socket, Opening::from_query(grant(), &[], true), format!("connection-{index:05}"), 1_000_000);
        let effects = relay.frame(socket, br#"{"action":10,"channel":"room"}"#, Format::Json, 1_000_000);
        let called = effects.iter().find_map(|effect| match effect {
            relay::Effect::Call { ticket, .. } => Some(*ticket),
            _ => None,
        });
        if let Some(ticket) = called {
            let (epoch, position) = ("life".to_owned(), Position(1));
            let subscribed = Subscribed { epoch, position, members: 0, reports: false, direct: true };
            relay.answered(ticket, Some(Ok(Response::Subscribed(subscribed))), 1_000_000);
        }
    }
    let bytes = (held::bytes() - before) as usize / SESSIONS;
    println!("{bytes} bytes for each of {SESSIONS} sessions");
    assert!(bytes < 1_850, "{bytes}");
}

/// What is remembered of a connection that is gone, so that its key isn't taken twice, is forgotten.
#[test]
fn connections_that_left_leave_nothing_once_they_cannot_be_resumed() {
    const CONNECTIONS: u32 = 10_000;
    let app: App =
        serde_json::from_value(serde_json::json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}]}))
            .expect("an app");
    let mut relay = Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec());
    let mut now_ms = 1_000_000;
    let mut come_and_go = || {
        for index in 0..CONNECTIONS {
            now_ms += 10;
            let opening = Opening { is_kept: false, ..Opening::from_query(grant(), &[], true) };
            relay.open(SocketId(index), opening, format!("{now_ms}-{index}"), now_ms);
            if relay.deadline().is_some_and(|due_ms| due_ms <= now_ms) {
                relay.tick(now_ms);
            }
            relay.lost(SocketId(index), now_ms);
        }
        now_ms += 2 * CONNECTION_STATE_TTL_MS;
        while let Some(due_ms) = relay.deadline().filter(|due_ms| *due_ms <= now_ms) {
            relay.tick(due_ms);
        }
        held::bytes()
    };
    let once = come_and_go();
    let again = come_and_go();
    println!("{once} bytes, {again} when as many came again");
    assert!(again <= once, "{once} bytes, and {again} when as many came again");
}
