//! What a packet of a client costs a relay, in allocations, does not grow with what its door holds for it.
#![cfg(feature = "mqtt")]

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod allocations;
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
    pub mod mqtt;
}

use courtside::limits::{MQTT_PACKET_FLOW, MQTT_WINDOW};
use courtside::protocol::mqtt::gate::{Gate, Step};
use courtside::relay::{Effect, Relay};
use support::allocations::ALLOCATIONS;
use support::bench::{NOW_MS, delivery, relay};
use support::mqtt::{come, say, sent, subscribe};

const PUBLISH: &[u8] = b"\x32\x07\0\x01a\0\x01\0x";
const PUBACK: &[u8] = b"\x40\x02\0\x01";
const CONNECT: &[u8] = b"\x10\x10\0\x04MQTT\x05\x02\0\x1e\0\0\x03ann";
const PING: &[u8] = b"\xc0\0";

/// A relay with a client that was sent so many messages and has acknowledged none.
fn owed(messages: u64) -> Relay {
    let mut relay = relay();
    come(&mut relay, 1, "ann", false, NOW_MS);
    subscribe(&mut relay, 1, 1, NOW_MS);
    let places: Vec<u64> = (5_001..=5_000 + messages).collect();
    let (_, effects) = relay.deliver(&delivery(5_000, &places), NOW_MS);
    assert_eq!(sent(&effects, 1).len(), 1, "it is sent what it may have");
    relay
}

fn cost(relay: &mut Relay, packet: &[u8]) -> usize {
    let before = ALLOCATIONS.get();
    say(relay, 1, packet, NOW_MS + 1);
    ALLOCATIONS.get() - before
}

#[test]
fn a_packet_costs_no_more_because_more_is_on_its_way_or_waits() {
    for packet in [PUBLISH, PUBACK, PING] {
        let costs = [2, 100, MQTT_WINDOW as u64 + 100, MQTT_WINDOW as u64 + 200]
            .map(|messages| cost(&mut owed(messages), packet));
        let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
        assert!(*most <= least + 12, "{packet:02x?} costs {costs:?}");
    }
}

/// However many packets a frame has: none is taken apart by a copy of those behind it, or answered by itself.
#[test]
fn a_frame_costs_its_gate_no_more_because_it_has_many_packets() {
    for packet in [PUBLISH, PUBACK, PING] {
        let [few, many] = [10, MQTT_PACKET_FLOW.burst as usize].map(|packets| {
            let frame = packet.repeat(packets);
            let mut gate = Gate::new(NOW_MS);
            let Some(Step::Enter(connect)) = gate.knock(CONNECT) else { panic!("a good CONNECT") };
            gate.enter(&connect, NOW_MS);
            let before = ALLOCATIONS.get();
            assert_eq!(gate.take(&frame, NOW_MS).len(), 1);
            ALLOCATIONS.get() - before
        });
        // A list that grows is moved whenever it has doubled.
        assert!(many <= few + 20, "{packet:02x?} costs {many} instead of {few}");
    }
}

#[test]
fn what_changes_nothing_that_is_stored_is_not_stored() {
    let mut relay = owed(3);
    for packet in [PUBACK, PING] {
        let effects = say(&mut relay, 1, packet, NOW_MS + 1);
        let stores = |effect: &&Effect| matches!(effect, Effect::Save { .. } | Effect::Kept(_));
        assert_eq!(effects.iter().find(stores), None, "{packet:02x?}");
    }
    let effects = say(&mut relay, 1, PUBLISH, NOW_MS + 1);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Save { .. })), "a publish is numbered: {effects:?}");
}

/// A client that only acknowledges is not sent all of it again when its relay is killed.
#[test]
fn the_place_of_a_session_is_stored_now_and_then_though_its_client_only_acknowledges() {
    let mut relay = owed(3);
    let effects = say(&mut relay, 1, PUBACK, NOW_MS + courtside::limits::MQTT_SAVE_MS);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Kept(_))), "{effects:?}");
}
