//! Relays that hold all connections of one client, of which it may have one at a time.

use super::placement::{HOMES, Shard};
use crate::limits::{MQTT_HOMES, SHARDS_MAX};

/// The relay of an MQTT client, by its client id, wherever it is. What its sessions are is stored there, so how it is
/// found must not change.
pub fn of_client(client_id: &str) -> Shard {
    // FNV-1a.
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = client_id.bytes().fold(0x811c_9dc5, mix);
    Shard(HOMES * SHARDS_MAX + (hash % u32::from(MQTT_HOMES)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_always_comes_to_the_same_relay() {
        assert_eq!(["ann", "bob", "", "mqttjs_1"].map(|client_id| of_client(client_id).0), [2560, 2564, 2565, 2564]);
    }

    #[test]
    fn clients_are_spread() {
        let mut counts = [0; MQTT_HOMES as usize];
        for number in 0..8_000 {
            counts[usize::from(of_client(&format!("client{number}")).0 % SHARDS_MAX)] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
