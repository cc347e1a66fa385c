//! MQTT.

use super::MESSAGE_MAX_BYTES;

/// Bytes of a packet, which CONNACK states: the largest message, with the longest topic and what stands beside it.
pub const MQTT_PACKET_MAX_BYTES: usize = MESSAGE_MAX_BYTES + 8 * 1024;

/// How long a client may take to say CONNECT: three times what one on a bad network needs.
pub const MQTT_CONNECT_WAIT_MS: u64 = 10 * 1_000;

/// The longest keep alive: a client is known to be gone within half an hour. One of 3.1.1 cannot be told, and has what it
/// asks for.
pub const MQTT_KEEP_ALIVE_MAX_S: u16 = 20 * 60;
