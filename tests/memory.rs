//! What a member costs a channel: bytes of memory, counted by the allocator. Its storage is not memory, and keeps nothing
//! here. Pointers are twice as long as at the edge, so this is more than it takes there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use courtside::auth::Identity;
use courtside::call::{
    Address, Hold, MembersQuery, Outcome, Publish, PublishKey, RelayName, Response, Rules, Submission,
};
use courtside::channel::store::{Row, Store, StoreError, Stored, StoredHolder, Totals};
use courtside::channel::{Channel, Effect, Ticket};
use courtside::limits::MEMBERS_MAX;
use courtside::name::{AppId, ChannelName};
use courtside::presence::{ENTER, check};
use courtside::serial::Position;
use courtside::wire::data::{Data, Payload};
use courtside::wire::inbound::InboundMessage;
use courtside::wire::packed::Packed;
use courtside::wire::presence::MemberKey;

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it allocates as the system does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes everything and keeps nothing: nobody here is read again.
struct Nowhere;

impl Store for Nowhere {
    fn load(&mut self) -> Result<Stored, StoreError> {
        Ok(Stored::default())
    }

    fn save_meta(&mut self, _: &[u8]) -> Result<(), StoreError> {
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

    fn keys_after(&mut self, _: Position) -> Result<String, StoreError> {
        Ok(String::new())
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

    fn hold(&mut self, _: &str, _: &Hold, _: Option<u64>) -> Result<(), StoreError> {
        Ok(())
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
    let (deeds, _) = check(vec![event], &Identity::Wildcard, None, &connection_id, 0).expect("an event");
    let hold = Hold { relay: RelayName::shard(&AppId::parse("demo").expect("an id"), 0), grace_ms: 15_000 };
    let content = Submission::Presence { hold, deeds };
    Publish { key: PublishKey::Serial(0), connection_id: Some(connection_id), content }
}

/// Each of a connection of its own, which is what costs most.
#[test]
fn a_member_costs_a_channel_less_than_400_bytes() {
    let to =
        Address { app: AppId::parse("demo").expect("an id"), channel: ChannelName::parse("room").expect("a name") };
    let rules = Rules { retention_ms: 120_000, max_members: MEMBERS_MAX as u32, interval_ms: 0, conflation_key: None };
    let mut channel =
        Channel::wake(&mut Nowhere, Some((&to, &rules)), "life", 1_000_000).expect("it works").expect("a channel");
    let before = ALLOCATED.load(Ordering::Relaxed);
    for index in 0..MEMBERS_MAX {
        channel.publish(Ticket(0), vec![enter(index)]).expect("there is room");
        let effects = channel.commit(&mut Nowhere, 1_000_000 + index as u64);
        let Some(Effect::Reply(_, Ok(Response::Published(published)))) = effects.first() else { panic!("{effects:?}") };
        assert!(matches!(published.outcomes[0], Outcome::Accepted { .. }), "{published:?}");
    }
    let bytes = (ALLOCATED.load(Ordering::Relaxed) - before) / MEMBERS_MAX;
    println!("{bytes} bytes for each of {MEMBERS_MAX} members");
    assert!(bytes < 400, "{bytes}");
}
