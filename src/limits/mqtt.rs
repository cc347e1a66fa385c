//! MQTT.

use super::{CHANNELS_PER_CONNECTION_MAX, DIRECT_RELAYS_MAX, MESSAGE_MAX_BYTES, TOKEN_MAX_BYTES, UNACKNOWLEDGED_MAX};
use crate::base::rate::Flow;

/// Bytes of a packet, which CONNACK states: the largest message, with the longest topic and what stands beside it.
pub const MQTT_PACKET_MAX_BYTES: usize = MESSAGE_MAX_BYTES + 8 * 1024;

/// Bytes of a CONNECT: the longest token, a will, and 4 KB for what stands beside them.
pub const MQTT_CONNECT_MAX_BYTES: usize = TOKEN_MAX_BYTES + MQTT_WILL_MAX_BYTES + 4 * 1024;

/// Bytes that a client may send before it is let in: CONNECT, and packets behind it, which need not wait for the
/// answer. They count among the bodies of those who have not proved who they are.
pub const MQTT_EARLY_MAX_BYTES: usize = MQTT_CONNECT_MAX_BYTES + MQTT_PACKET_MAX_BYTES;

/// Of these, those that do not count, so that a usual CONNECT comes through while others take all room: 10 MB of the
/// 5,000 that wait of one address.
pub const MQTT_EARLY_SMALL_BYTES: usize = 2 * 1024;

/// Bytes of packets that came in part, of all clients of an isolate: a hundred of the largest. A client that cuts its
/// packets brings the rest at once, so who has waited for longest means harm or is gone.
pub const MQTT_PARTIAL_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Packets of one connection, of any kind: at once as many as publishes may wait, since MQTT.js puts all that it has
/// into one frame; and twice as many a second as a thread can send with QoS 1, each of which is acknowledged.
pub const MQTT_PACKET_FLOW: Flow = Flow { burst: UNACKNOWLEDGED_MAX as u64, per_second: 8_000 };

/// How long a client may take to say CONNECT: three times what one on a bad network needs.
pub const MQTT_CONNECT_WAIT_MS: u64 = 10 * 1_000;

/// The longest keep alive: a client is known to be gone within half an hour. One of 3.1.1 cannot be told, and has what
/// it asks for.
pub const MQTT_KEEP_ALIVE_MAX_S: u16 = 20 * 60;

/// The longest that a session outlives its connection: a day. What its client missed is in the log for as long as its
/// channels keep messages, and no longer.
pub const MQTT_SESSION_MAX_S: u32 = 24 * 60 * 60;

/// Messages on their way to one client, and publishes of one client that wait for their acknowledgement, as CONNACK
/// states: with 64 KB each half of what a connection may be sent at once.
pub const MQTT_WINDOW: usize = 128;

/// User properties of a packet, each of which is compared with those before it: 5,000 times at most. More than the few
/// that clients send.
pub const MQTT_USER_PROPERTIES_MAX: usize = 100;

/// Topics of a packet, and of all SUBSCRIBEs of a connection that wait for their answer: twice as many as it may be
/// subscribed to. Each answer of a channel is looked for among them.
pub const MQTT_FILTERS_MAX: usize = 2 * CHANNELS_PER_CONNECTION_MAX;

/// Publishes that a session remembers by their packet ids and digests: twice as many as may wait for their
/// acknowledgement.
pub const MQTT_TAKEN_KNOWN: usize = 2 * MQTT_WINDOW;

/// Bytes of all of them where they are stored: seven for each, of 48 bits, and two for how many there are.
pub const MQTT_TAKEN_BYTES: usize = 7 * MQTT_TAKEN_KNOWN + 2;

/// Bytes of a will: a farewell, and what its readers need to know of it. It travels beside the credentials, and stays
/// with the session.
pub const MQTT_WILL_MAX_BYTES: usize = 8 * 1024;

/// Bytes of the sessions and wills of one relay, which are in its memory too: 5 KB for each of 6,000.
pub const MQTT_KEPT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// How often the place of a session that goes on is stored, for one whose server is killed: six times before what it
/// had at first leaves the log. Of 6,000 that all hear something it is 300 rows a second.
pub const MQTT_SAVE_MS: u64 = 20 * 1_000;

/// How soon a relay that was killed while it held wills is awake again, to publish them.
pub const MQTT_WATCH_MS: u64 = 60 * 1_000;

/// Relays of an app that hold its MQTT clients, each those of some client ids: as many as a channel feeds itself. With
/// 6,000 connections each they hold 48,000; beyond, those whose session ends with the connection go to other relays.
pub const MQTT_HOMES: u16 = DIRECT_RELAYS_MAX as u16;

/// Bytes that wait in one relay until clients acknowledge what they were sent: for each at most a page of replay, and
/// for a hundred that are slow all of it. Beyond, they are told to come back.
pub const MQTT_WAITING_MAX_BYTES: usize = 16 * 1024 * 1024;
