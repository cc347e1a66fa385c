//! What stands between a WebSocket and the object that holds its connection: packets are made of what comes, however it
//! was cut, pings are answered, and a client that was silent for too long is cut off.
//!
//! The object sees whole packets, one or more to a frame, and sleeps while its client only pings. It is woken by a ping
//! when it has sent something since it last heard of its client: that bounds what it sends to one that does not read.

use super::connect::{self, Connect, Refused};
use super::partials::{Partial, Partials};
use super::wire::length;
use super::{Fault, Version, encode, kind, reason};
use crate::base::counted::Room;
use crate::base::rate::Debt;
use crate::limits::{
    MQTT_CONNECT_MAX_BYTES, MQTT_CONNECT_WAIT_MS, MQTT_EARLY_MAX_BYTES, MQTT_EARLY_SMALL_BYTES, MQTT_KEEP_ALIVE_MAX_S,
    MQTT_PACKET_FLOW, MQTT_PACKET_MAX_BYTES,
};

#[derive(Debug)]
pub struct Gate {
    /// What came before the client was let in, and what counts it.
    early: Vec<u8>,
    room: Room,
    /// What came since of a packet that is not whole.
    partial: Partial,
    version: Version,
    /// `None`: the client is not looked after.
    patience_ms: Option<u64>,
    heard_ms: u64,
    /// The object has sent something since its client was last heard there.
    owes_ping: bool,
    /// Packets that came lately, pings too.
    packets: Debt,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Let the client in, if it may.
    Enter(Box<Connect>),
    /// Pass these packets on.
    Pass(Vec<u8>),
    /// Tell the client this.
    Tell(Vec<u8>),
    /// Tell the client this, if there is something to tell, and close.
    End(Option<Vec<u8>>),
}

impl Gate {
    pub fn new(now_ms: u64) -> Gate {
        Gate {
            early: Vec::new(),
            room: Room::default(),
            partial: Partials::default().one(),
            version: Version::V3,
            patience_ms: Some(MQTT_CONNECT_WAIT_MS),
            heard_ms: now_ms,
            owes_ping: false,
            packets: Debt::default(),
        }
    }

    /// One of many. What its client sends before it is let in takes this room, and counts among `partials` later.
    pub fn among(self, partials: &Partials, room: Room) -> Gate {
        Gate { room, partial: partials.one(), ..self }
    }

    /// What the client sends before it is let in. Nothing comes of it until the first packet is whole; what follows
    /// that is kept until [`Gate::enter`].
    pub fn knock(&mut self, bytes: &[u8]) -> Option<Step> {
        let refused =
            |Refused { version, fault }: Refused| Step::End(encode::refusal(version, fault.reason, &fault.why));
        let begins = self.early.first().or(bytes.first());
        if begins.is_some_and(|first| *first != kind::CONNECT << 4) {
            return Some(Step::End(None));
        }
        if let Err(fault) = self.hold(bytes) {
            return Some(refused(Refused { version: Version::V3, fault }));
        }
        match next(&self.early, MQTT_CONNECT_MAX_BYTES) {
            Ok(None) => None,
            Ok(Some((first, packet))) => {
                let step =
                    connect::read(first, body(packet)).map_or_else(refused, |connect| Step::Enter(connect.into()));
                self.early.drain(..packet.len());
                Some(step)
            }
            Err(fault) => Some(refused(Refused { version: Version::V3, fault })),
        }
    }

    /// Keeps what a client sends that is not in yet. Gives whether it may go on.
    pub fn keep(&mut self, bytes: &[u8]) -> bool {
        self.hold(bytes).is_ok()
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let held = self.early.len() + bytes.len();
        if held > MQTT_EARLY_MAX_BYTES {
            return Err(Fault::new(reason::TOO_LARGE, "too much comes before the answer to CONNECT"));
        }
        if !self.room.hold(held.saturating_sub(MQTT_EARLY_SMALL_BYTES)) {
            return Err(Fault::new(reason::BUSY, "too much is being sent to this server at once; try again"));
        }
        // No more than is counted.
        self.early.reserve_exact(bytes.len());
        self.early.extend(bytes);
        Ok(())
    }

    /// The client is in, and is looked after from now on. Gives what it has said already.
    pub fn enter(&mut self, connect: &Connect, now_ms: u64) -> Vec<Step> {
        let keep_alive_s = keep_alive_s(connect);
        self.version = connect.version;
        self.patience_ms = (keep_alive_s > 0).then(|| u64::from(keep_alive_s) * 1_500);
        self.room = Room::default();
        let early = std::mem::take(&mut self.early);
        self.take(&early, now_ms)
    }

    /// What the client sends.
    pub fn take(&mut self, bytes: &[u8], now_ms: u64) -> Vec<Step> {
        self.heard_ms = now_ms;
        let Some(mut held) = self.partial.take() else {
            let why = "others need the room that was taken by a packet which did not become whole";
            return vec![Step::End(encode::disconnect(self.version, reason::QUOTA, why))];
        };
        held.extend(bytes);
        let room = MQTT_PACKET_FLOW.burst.saturating_sub(self.packets.left(MQTT_PACKET_FLOW, now_ms)) as usize;
        let (mut pings, mut passed, mut taken, mut count) = (0, Vec::new(), 0, 0);
        let fault = loop {
            let (first, packet) = match next(&held[taken..], MQTT_PACKET_MAX_BYTES) {
                Ok(None) => break None,
                Ok(Some(_)) if count == room => break Some(Fault::new(reason::RATE, "packets come too fast")),
                Ok(Some(next)) => next,
                Err(fault) => break Some(fault),
            };
            (taken, count) = (taken + packet.len(), count + 1);
            let is_ping = first == kind::PINGREQ << 4 && packet.len() == 2;
            pings += usize::from(is_ping);
            if std::mem::take(&mut self.owes_ping) || !is_ping {
                passed.extend_from_slice(packet);
            }
        };
        self.packets.add(count, MQTT_PACKET_FLOW, now_ms);
        if fault.is_none() {
            // Once for all packets: what follows is moved, into no more than it needs.
            let rest = if taken > 0 { held.split_off(taken) } else { held };
            self.partial.keep(rest, taken > 0);
        }
        let mut steps = Vec::new();
        steps.extend((pings > 0).then(|| Step::Tell(encode::pingresp().repeat(pings))));
        steps.extend((!passed.is_empty()).then_some(Step::Pass(passed)));
        if let Some(fault) = fault {
            steps.push(Step::End(encode::disconnect(self.version, fault.reason, &fault.why)));
        }
        steps
    }

    /// The object has sent something.
    pub fn sent(&mut self) {
        self.owes_ping = true;
    }

    /// A frame of text ends the connection.
    pub fn text(&self) -> Step {
        Step::End(encode::disconnect(self.version, reason::MALFORMED, "packets come in binary frames"))
    }

    /// When to look whether the client was silent for too long.
    pub fn due_ms(&self) -> Option<u64> {
        Some(self.heard_ms + self.patience_ms?)
    }

    /// Ends a connection whose client was silent for too long.
    pub fn tick(&self, now_ms: u64) -> Option<Step> {
        self.due_ms().filter(|due_ms| *due_ms <= now_ms)?;
        Some(Step::End(encode::disconnect(
            self.version,
            reason::KEEP_ALIVE,
            "nothing came for one and a half times the keep alive",
        )))
    }
}

/// The subprotocol to answer with, of those that a client offers.
pub fn subprotocol(offered: &str) -> Option<&'static str> {
    let offers = |name: &str| offered.split(',').any(|offer| offer.trim() == name);
    ["mqtt", "mqttv3.1"].into_iter().find(|name| offers(name))
}

/// Whether a WebSocket is one for MQTT: by the paths that its clients use if they offer its subprotocol, and by its own
/// path whatever they offer.
pub fn is_at(path: &str, offers: bool) -> bool {
    path == "/mqtt" || (offers && ["/", "/ws"].contains(&path))
}

/// A CONNACK that refuses, as far as its client wants to know.
pub fn refusal(connect: &Connect, reason: u8, why: &str) -> Option<Vec<u8>> {
    encode::refusal(connect.version, reason, if connect.wants_reasons { why } else { "" })
}

/// The keep alive that holds: what was asked for, or less. Without any, nobody would notice that a client is gone.
pub fn keep_alive_s(connect: &Connect) -> u16 {
    match connect.keep_alive_s {
        0 if connect.version == Version::V5 => MQTT_KEEP_ALIVE_MAX_S,
        asked if connect.version == Version::V5 => asked.min(MQTT_KEEP_ALIVE_MAX_S),
        asked => asked,
    }
}

/// Packets that came in one frame, taken apart again: of each the first byte and the body.
pub fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut packets = Vec::new();
    while let Some(first) = bytes.first().copied() {
        let Ok(Some((length, taken))) = length(&bytes[1..]) else { break };
        let Some((packet, rest)) = bytes.split_at_checked(1 + taken + length) else { break };
        packets.push((first, &packet[1 + taken..]));
        bytes = rest;
    }
    packets
}

/// The first of these packets, if it is whole, and its first byte. Fails for one of more bytes than it may have.
fn next(bytes: &[u8], max_bytes: usize) -> Result<Option<(u8, &[u8])>, Fault> {
    let Some(first) = bytes.first().copied() else { return Ok(None) };
    let Some((length, taken)) = length(&bytes[1..])? else { return Ok(None) };
    let end = 1 + taken + length;
    if end > max_bytes {
        let why = format!("this packet has at most {max_bytes} bytes, and not {end}");
        return Err(Fault::new(reason::TOO_LARGE, why));
    }
    Ok(bytes.get(..end).map(|packet| (first, packet)))
}

fn body(packet: &[u8]) -> &[u8] {
    packets(packet).first().map_or(&[], |(_, body)| *body)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::base::counted::Share;
    use crate::limits::MQTT_PARTIAL_MAX_BYTES;
    use crate::protocol::mqtt::connect::tests::body as connect_body;
    use crate::protocol::mqtt::wire::put_length;

    /// A CONNECT of this version with a keep alive of 30 seconds.
    fn connect(level: u8) -> Vec<u8> {
        let body = connect_body(level, 2, if level == 5 { b"\0\0\0" } else { b"\0\0" });
        [&[0x10, body.len() as u8], body.as_slice()].concat()
    }

    fn entered(level: u8) -> Gate {
        let mut gate = Gate::new(0);
        let Some(Step::Enter(connect)) = gate.knock(&connect(level)) else { unreachable!() };
        assert_eq!(gate.enter(&connect, 0), []);
        gate
    }

    #[test]
    fn packets_are_whole_however_they_come() {
        let mut gate = Gate::new(0);
        let all = [connect(4).as_slice(), b"\x30\x04\0\x01ax", b"\x30\x04\0\x01ay"].concat();
        let mut passed = Vec::new();
        let mut let_in = false;
        for byte in all.chunks(1) {
            let steps = if let_in { gate.take(byte, 0) } else { gate.knock(byte).into_iter().collect() };
            for step in steps {
                match step {
                    Step::Enter(connect) => {
                        let_in = true;
                        passed.extend(gate.enter(&connect, 0));
                    }
                    step => passed.push(step),
                }
            }
        }
        let publish = |data: &[u8]| Step::Pass([b"\x30\x04\0\x01a", data].concat());
        assert_eq!(passed, [publish(b"x"), publish(b"y")]);
        let mut gate = Gate::new(0);
        let Some(Step::Enter(connect)) = gate.knock(&all) else { unreachable!() };
        assert_eq!(gate.enter(&connect, 0), [Step::Pass(all[all.len() - 12..].to_vec())], "together as they came");
        assert_eq!(packets(&all[all.len() - 12..]), [(0x30, &b"\0\x01ax"[..]), (0x30, b"\0\x01ay")]);
    }

    #[test]
    fn pings_are_answered_and_wake_the_object_only_if_it_said_something() {
        let mut gate = entered(4);
        let pong = || Step::Tell(vec![0xd0, 0]);
        assert_eq!(gate.take(b"\xc0\0", 1), [pong()]);
        gate.sent();
        assert_eq!(gate.take(b"\xc0\0", 2), [pong(), Step::Pass(b"\xc0\0".to_vec())]);
        assert_eq!(gate.take(b"\xc0\0", 3), [pong()]);
    }

    #[test]
    fn so_many_packets_come_at_once_and_then_so_many_a_second_pings_too() {
        let ping: &[u8] = b"\xc0\0";
        let often = |gate: &mut Gate, packets: usize, now_ms| gate.take(&ping.repeat(packets), now_ms);
        let most = MQTT_PACKET_FLOW.burst as usize;
        let mut gate = entered(5);
        assert_eq!(often(&mut gate, most, 0), [Step::Tell(b"\xd0\0".repeat(most))], "answered together");
        let second = MQTT_PACKET_FLOW.per_second as usize;
        assert_eq!(often(&mut gate, second, 1_000).len(), 1);
        let told = often(&mut gate, 1, 1_000);
        assert!(matches!(&told[..], [Step::End(Some(said))] if said[2] == reason::RATE), "{told:?}");
        assert_eq!(often(&mut entered(4), most + 1, 0)[1..], [Step::End(None)]);
    }

    #[test]
    fn so_much_may_come_before_its_client_is_let_in() {
        let early = [connect(4), vec![0xc0; MQTT_EARLY_MAX_BYTES]].concat();
        let refusal = Step::End(encode::refusal(Version::V3, reason::TOO_LARGE, ""));
        assert_eq!(Gate::new(0).knock(&early), Some(refusal));
        let mut gate = Gate::new(0);
        assert!(matches!(gate.knock(&early[..MQTT_EARLY_MAX_BYTES]), Some(Step::Enter(_))));
        assert!(gate.keep(b"x") && !gate.keep(&early), "and not more later");
    }

    #[test]
    fn what_comes_of_those_who_are_not_in_is_counted_and_a_usual_connect_comes_through() {
        const EACH: usize = MQTT_CONNECT_MAX_BYTES - 4;
        let all = Rc::new(Cell::new(0));
        let share = || Share { held: all.clone(), max_bytes: 10 * EACH };
        let gate = || Gate::new(0).among(&Partials::default(), Room::of(vec![share()]));
        let connect_of = |length: usize| {
            let mut head = vec![0x10];
            put_length(length, &mut head);
            head
        };
        let mut waiting: Vec<Gate> = (0..200).map(|_| gate()).collect();
        let told = waiting.iter_mut().map(|gate| gate.knock(&[connect_of(EACH), vec![0; EACH - 4]].concat()));
        let busy = told.filter(|step| *step == Some(Step::End(encode::refusal(Version::V3, reason::BUSY, ""))));
        assert!(busy.count() >= 189);
        assert!(all.get() > 0 && all.get() <= 10 * EACH && waiting[199].early.is_empty(), "{}", all.get());
        let mut usual = gate();
        let Some(Step::Enter(connect)) = usual.knock(&connect(5)) else { unreachable!() };
        assert_eq!(usual.enter(&connect, 0), []);
        let refusal = Step::End(encode::refusal(Version::V3, reason::TOO_LARGE, ""));
        assert_eq!(gate().knock(&connect_of(MQTT_CONNECT_MAX_BYTES)), Some(refusal), "before it came");
        drop(waiting);
        assert_eq!(all.get(), 0);
    }

    #[test]
    fn a_client_that_is_in_does_not_count_any_more() {
        let all = Rc::new(Cell::new(0));
        let share = Share { held: all.clone(), max_bytes: MQTT_EARLY_MAX_BYTES };
        let mut gate = Gate::new(0).among(&Partials::default(), Room::of(vec![share]));
        let Some(Step::Enter(entered)) = gate.knock(&connect(4)) else { unreachable!() };
        assert!(gate.keep(&[b"\x30\xff\x7f".as_slice(), &[b'x'; 4_096]].concat()) && all.get() > 0);
        gate.enter(&entered, 0);
        assert_eq!(all.get(), 0);
    }

    #[test]
    fn beyond_so_many_bytes_of_partial_packets_the_client_that_waited_for_longest_ends() {
        let all = Partials::default();
        let begun = [b"\x30\x80\x80\x04".as_slice(), &[b'x'; 65_000]].concat();
        let start = |level| {
            let mut gate = Gate::new(0).among(&all, Room::default());
            let Some(Step::Enter(connect)) = gate.knock(&connect(level)) else { unreachable!() };
            gate.enter(&connect, 0);
            assert_eq!(gate.take(&begun, 0), []);
            gate
        };
        let mut gates: Vec<Gate> = (0..300).map(|_| start(5)).collect();
        assert!(all.bytes() <= MQTT_PARTIAL_MAX_BYTES, "{}", all.bytes());
        let told = gates[0].take(b"x", 1);
        assert!(matches!(&told[..], [Step::End(Some(said))] if said[2] == reason::QUOTA), "{told:?}");
        let rest = vec![b'x'; 65_536 - 65_000];
        let passed = gates[299].take(&rest, 1);
        assert!(matches!(&passed[..], [Step::Pass(packet)] if packet.len() == 65_540), "{}", passed.len());
        assert_eq!(start(4).take(&rest, 1).len(), 1, "others come through meanwhile");
        drop(gates);
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn a_silent_client_is_cut_off_after_one_and_a_half_times_its_keep_alive() {
        let mut gate = entered(5);
        gate.take(b"\xc0\0", 1_000);
        assert_eq!(gate.due_ms(), Some(46_000));
        assert_eq!(gate.tick(45_999), None);
        let Some(Step::End(Some(said))) = gate.tick(46_000) else { unreachable!() };
        assert_eq!(said[2], reason::KEEP_ALIVE);
        assert_eq!(entered(4).tick(45_000), Some(Step::End(None)));
        assert_eq!(Gate::new(7).due_ms(), Some(7 + MQTT_CONNECT_WAIT_MS), "nor does anyone wait for CONNECT for ever");
    }

    #[test]
    fn clients_find_the_door_where_they_look_for_it() {
        assert_eq!(subprotocol("mqttv3.1, mqtt"), Some("mqtt"));
        assert_eq!((subprotocol("mqttv3.1"), subprotocol("soap")), (Some("mqttv3.1"), None));
        assert!(is_at("/mqtt", false) && is_at("/", true) && is_at("/ws", true));
        assert!(!is_at("/", false) && !is_at("/sse", true));
    }

    #[test]
    fn what_is_too_large_or_no_packet_ends_the_connection() {
        let ends = |level, bytes: &[u8]| match entered(level).take(bytes, 0).pop() {
            Some(Step::End(said)) => said.map(|said| said[2]),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(ends(5, b"\x30\xff\xff\xff\x7f"), Some(reason::TOO_LARGE));
        assert_eq!(ends(5, b"\x30\xff\xff\xff\xff"), Some(reason::MALFORMED));
        assert_eq!(ends(4, b"\x30\xff\xff\xff\xff"), None);
        assert_eq!(Gate::new(0).knock(b"GET /"), Some(Step::End(None)));
        assert_eq!(
            Gate::new(0).knock(b"\x10\xff\xff\xff\x7f"),
            Some(Step::End(encode::refusal(Version::V3, reason::TOO_LARGE, "")))
        );
    }
}
