//! Members of whom each says much, when all of them leave at once: no commit takes more than its bytes, and nobody of
//! them stays.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use std::collections::BTreeSet;

use courtside::auth::Source;
use courtside::channel::{Channel, Effect};
use courtside::error::Code;
use courtside::limits::{COMMIT_MAX_BYTES, MESSAGE_MAX_BYTES, PROBE_ANSWER_MS, PROBE_FIRST_MS};
use courtside::model::data::Data;
use courtside::model::presence::{PresenceAction, PresenceMessage};
use courtside::model::serial::Position;
use courtside::rpc::{
    ConnectionOutcome, Lease, LocalOccupancy, Outcome, PresenceUpdate, Probed, Publish, PublishKey, RelayName,
    Response, Submission, Ticket,
};

use support::bench::*;
use support::memory_store::MemoryStore;

/// Of what one member says.
const DATA_BYTES: usize = 60_000;
/// Three commits of them.
const MEMBERS: usize = 3 * COMMIT_MAX_BYTES / DATA_BYTES;
/// What is read of a commit's members, or written of them, ends with what goes beyond.
const STEP_MAX_BYTES: usize = COMMIT_MAX_BYTES + 9 * MESSAGE_MAX_BYTES;

struct Room {
    channel: Channel,
    store: MemoryStore,
    now_ms: u64,
    /// The last of its rows that was looked at.
    seen: Position,
    left: Vec<String>,
}

impl Room {
    /// So many members on each of some connections.
    fn of(connections: usize, members: usize) -> Room {
        let mut store = MemoryStore::default();
        let channel = wake(&mut store);
        let mut room = Room { channel, store, now_ms: NOW_MS, seen: Position::ZERO, left: Vec::new() };
        for connection in 0..connections {
            for member in 0..members {
                let entered = enter(&format!("conn{connection:03}"), member as u64, &format!("member{member:03}"));
                assert!(matches!(room.publish(entered), Outcome::Accepted { .. }));
            }
        }
        room
    }

    fn publish(&mut self, publish: Publish) -> Outcome {
        self.channel.publish(Ticket(0), vec![publish]).unwrap();
        let effects = self.step(Channel::commit);
        let outcome = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply(_, Ok(Response::Published(published))) => Some(published.outcomes[0].clone()),
            _ => None,
        });
        outcome.expect("an answer")
    }

    /// Does something, and takes note of who left by it.
    fn step<T>(&mut self, act: impl FnOnce(&mut Channel, &mut MemoryStore, u64) -> T) -> T {
        let read_before = self.store.bytes_read;
        let done = act(&mut self.channel, &mut self.store, self.now_ms);
        let mut written = 0;
        for (position, row) in self.store.rows.range(Position(self.seen.0 + 1)..) {
            (self.seen, written) = (*position, written + row.entries.len());
            for entry in row.entries.entries().unwrap() {
                let leaves = entry.presence().iter().filter(|event| event.action == PresenceAction::Leave);
                self.left.extend(leaves.map(|event| format!("{}/{}", event.connection_id, event.client_id)));
            }
        }
        assert!(written <= STEP_MAX_BYTES, "{written} bytes in one commit");
        let read = self.store.bytes_read - read_before;
        assert!(read <= STEP_MAX_BYTES, "{read} bytes read for one commit");
        done
    }

    /// Does what is due at once, as often as something is.
    fn rest(&mut self) -> usize {
        let mut ticks = 0;
        while self.channel.deadline().is_some_and(|due_ms| due_ms <= self.now_ms) && ticks < 100 {
            self.step(Channel::tick);
            ticks += 1;
        }
        ticks
    }

    fn rebuild(&mut self) {
        self.channel = wake(&mut self.store);
    }

    fn ask(&mut self) -> (RelayName, u64, Vec<String>) {
        self.now_ms += PROBE_FIRST_MS * 4;
        let effects = self.step(Channel::tick);
        let asked = effects.into_iter().find_map(|effect| match effect {
            Effect::Probe { relay, attempt, probe } => Some((relay, attempt, probe.connections)),
            _ => None,
        });
        asked.expect("a question")
    }

    fn answer(&mut self, (relay, attempt): (&RelayName, u64), missing: Vec<String>) {
        let answer = Some(Probed { missing, local_occupancy: LocalOccupancy::default() });
        self.step(|channel, store, now_ms| channel.probed(store, relay, attempt, answer, now_ms));
    }

    fn assert_all_left(&self, members: usize) {
        assert_eq!(self.store.members.len(), 0, "members that stayed");
        assert_eq!(self.left.len(), members);
        assert_eq!(self.left.iter().collect::<BTreeSet<_>>().len(), members, "each leaves once");
    }
}

fn lease() -> Lease {
    Lease { relay: RelayName::shard(app().id(), 0), grace_ms: 15_000 }
}

fn enter(connection_id: &str, serial: u64, client_id: &str) -> Publish {
    let event = PresenceMessage {
        action: PresenceAction::Enter,
        id: format!("{connection_id}:{serial}:0"),
        connection_id: connection_id.into(),
        client_id: client_id.into(),
        data: Data::Text("x".repeat(DATA_BYTES)),
        encoding: None,
        extras: None,
    };
    let content = Submission::Presence { lease: lease(), updates: vec![PresenceUpdate { event, known: None }] };
    Publish { key: PublishKey::Serial(serial), connection_id: Some(connection_id.into()), by: Source::SERVER, content }
}

fn left(connection_id: &str) -> Publish {
    let content = Submission::ConnectionOutcome { lease: lease(), outcome: ConnectionOutcome::Left };
    let key = PublishKey::Request(format!("left!{connection_id}"));
    Publish { key, connection_id: Some(connection_id.into()), by: Source::SERVER, content }
}

#[test]
fn a_connection_with_many_members_leaves_commit_by_commit() {
    let mut room = Room::of(1, MEMBERS);
    room.publish(left("conn000"));
    assert!(room.rest() >= 2, "it takes more than one commit");
    room.assert_all_left(MEMBERS);
}

#[test]
fn so_do_many_connections_with_one_member_each() {
    let mut room = Room::of(MEMBERS, 1);
    let all = (0..MEMBERS).map(|connection| left(&format!("conn{connection:03}"))).collect();
    room.channel.publish(Ticket(0), all).unwrap();
    room.step(Channel::commit);
    assert!(room.rest() >= 2, "they take more than one commit");
    room.assert_all_left(MEMBERS);
}

#[test]
fn and_those_whose_relay_has_lost_them() {
    let mut room = Room::of(MEMBERS, 1);
    let (relay, attempt, asked) = room.ask();
    room.answer((&relay, attempt), asked);
    let (relay, attempt, asked) = room.ask();
    assert_eq!(asked.len(), MEMBERS, "the grace is over");
    room.answer((&relay, attempt), asked);
    room.rest();
    room.assert_all_left(MEMBERS);
}

#[test]
fn another_life_of_the_channel_goes_on() {
    let mut room = Room::of(1, MEMBERS);
    room.publish(left("conn000"));
    room.rebuild();
    room.now_ms += PROBE_FIRST_MS;
    room.rest();
    room.assert_all_left(MEMBERS);
}

#[test]
fn a_write_that_fails_is_made_up_for() {
    let mut room = Room::of(1, MEMBERS);
    room.publish(left("conn000"));
    room.store.fail_append = true;
    room.step(Channel::tick);
    room.now_ms += PROBE_FIRST_MS;
    room.rest();
    room.assert_all_left(MEMBERS);
}

/// A relay may answer late, and say that the connection is there, which it is: it only left the channel.
#[test]
fn who_has_left_does_not_come_back_by_what_a_relay_says() {
    let mut room = Room::of(1, MEMBERS);
    let (relay, attempt, _) = room.ask();
    room.publish(left("conn000"));
    room.answer((&relay, attempt), Vec::new());
    let here = Submission::ConnectionOutcome { lease: lease(), outcome: ConnectionOutcome::Here };
    room.publish(Publish { key: PublishKey::Request("here".into()), content: here, ..left("conn000") });
    room.now_ms += PROBE_ANSWER_MS;
    room.rest();
    room.assert_all_left(MEMBERS);
}

#[test]
fn who_enters_again_meanwhile_is_told_to_try_again_and_stays() {
    let mut room = Room::of(1, MEMBERS);
    room.publish(left("conn000"));
    let serial = MEMBERS as u64;
    match room.publish(enter("conn000", serial, "member000")) {
        Outcome::Refused(error) => assert_eq!(error.code, Code::PublishRateLimited.because("").code),
        other => panic!("{other:?}"),
    }
    room.rest();
    room.publish(enter("conn000", serial + 1, "member000"));
    assert_eq!(room.store.members.len(), 1);
    assert_eq!(room.left.len(), MEMBERS);
    room.rest();
    assert_eq!(room.store.members.len(), 1, "it is another that is there now");
}
