//! Whose a session of MQTT is: nobody takes, hears or ends that of another by naming its client id.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod mqtt;
}

use courtside::auth::{Grant, Identity};
use courtside::relay::{Effect, Relay, SocketId};
use support::bench::{NOW_MS, relay};
use support::grant::grant;
use support::mqtt::{come_by, opening_for, rows, sent, subscribe};

/// What a token for this clientId, or none, or any, allows.
fn token(client_id: &str) -> Grant {
    Grant { client_id: Identity::parse(Some(client_id)).expect("a name"), basic: false, ..grant() }
}

fn key() -> Grant {
    Grant { client_id: Identity::Wildcard, ..grant() }
}

/// Rows of sessions that are written, or removed.
type Rows = Vec<(String, Option<Vec<u8>>)>;

/// Whether a client that comes has the session of one that came before.
fn goes_on(grant: Grant, relay: &mut Relay, socket: u32, client_id: &str) -> bool {
    sent(&come_by(grant, relay, socket, client_id, false, NOW_MS), socket)[0][2] == 1
}

/// A relay with a client that has a will and is subscribed.
fn with(grant: Grant, client_id: &str) -> (Relay, Rows) {
    let mut relay = relay();
    come_by(grant, &mut relay, 1, client_id, true, NOW_MS);
    let stored = rows(&subscribe(&mut relay, 1, 1, NOW_MS));
    (relay, stored)
}

/// Who they are, what they call themselves, and who else may call itself the same.
fn strangers() -> [(Grant, &'static str, Grant); 5] {
    [
        (token("ann"), "ann", token("")),
        (token("ann"), "ann/phone", token("")),
        (token("ann"), "ann/bob", token("ann/bob")),
        (token("ann/bob"), "ann/bob", token("ann")),
        (token(""), "sensor", token("sensor")),
    ]
}

#[test]
fn another_who_names_the_same_client_id_neither_ends_the_connection_nor_the_session() {
    for (owner, client_id, other) in strangers() {
        for kept_s in [0, 60] {
            let (mut relay, _) = with(owner.clone(), client_id);
            let opening = opening_for(kept_s, other.clone(), client_id, false, NOW_MS);
            let effects = relay.open(SocketId(2), opening, "connection2".to_owned(), NOW_MS);
            assert_eq!(sent(&effects, 2)[0][2], 0, "{client_id}: it goes on with nothing");
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close { .. } | Effect::Call { .. })));
            assert_eq!(relay.connection_count(), 2, "{client_id}");
            relay.lost(SocketId(2), NOW_MS);
            relay.lost(SocketId(1), NOW_MS);
            assert!(!goes_on(other.clone(), &mut relay, 3, client_id), "{client_id}: not when it is alone, either");
            assert!(goes_on(owner.clone(), &mut relay, 4, client_id), "{client_id}: its own client has it");
        }
    }
}

#[test]
fn a_client_has_its_session_by_whichever_credentials_say_who_it_is() {
    let (mut relay, _) = with(key(), "ann");
    for (socket, grant) in [token("ann"), token("*"), key()].into_iter().enumerate() {
        assert!(goes_on(grant, &mut relay, 2 + socket as u32, "ann"));
        assert_eq!(relay.connection_count(), 1, "one connection at a time");
    }
}

/// It was told which, and comes back as that.
#[test]
fn who_has_its_client_id_from_the_server_has_its_session_when_it_comes_back() {
    for (grant, given) in [(key(), "fresh"), (token("*"), "fresh"), (token(""), "fresh"), (token("ann"), "ann/fresh")] {
        let (mut relay, _) = with(grant.clone(), "");
        assert!(goes_on(grant, &mut relay, 2, given));
    }
}

/// The row of an earlier build, which wrote the first version under the client id alone: without what the client of a
/// will may do.
fn earlier(stored: Rows, client_id: &str) -> Vec<(String, Vec<u8>)> {
    let mut row = stored.into_iter().rev().find_map(|(_, row)| row).expect("a row");
    row[0] = 1;
    assert_eq!(row.pop(), Some(0));
    vec![(client_id.to_owned(), row)]
}

#[test]
fn a_session_of_an_earlier_build_goes_on_for_who_left_it_and_nobody_else() {
    for (owner, client_id, other) in strangers() {
        let mut relay = relay();
        come_by(owner.clone(), &mut relay, 1, client_id, false, NOW_MS);
        let stored = earlier(rows(&subscribe(&mut relay, 1, 1, NOW_MS)), client_id);
        let mut relay = support::bench::relay();
        let renamed = rows(&relay.recall_kept(stored, NOW_MS));
        assert!(renamed.contains(&(client_id.to_owned(), None)), "{renamed:?}");
        // And once more from what is stored then.
        let mut relay = support::bench::relay();
        relay.recall_kept(renamed.into_iter().filter_map(|(name, row)| Some((name, row?))).collect(), NOW_MS);
        assert!(!goes_on(other, &mut relay, 2, client_id), "{client_id}");
        assert!(goes_on(owner, &mut relay, 3, client_id), "{client_id}");
    }
}
