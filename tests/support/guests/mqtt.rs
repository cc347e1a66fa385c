//! A client of MQTT: one with a session, which subscribes with QoS 1 and acknowledges what it gets, now and then late;
//! or one that begins anew each time. What a session has is gapless and in order; what it did not acknowledge comes
//! again, and so may what it did.

use std::collections::VecDeque;

use courtside::intake::mqtt;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::protocol::mqtt::gate::{Gate, Step, packets};
use courtside::relay::session::Opening;

use super::super::ledger::{Place, text_of};
use super::super::listener::{Changes, Course};
use super::super::network::grant;
use super::super::random::Random;
use super::{Scene, Visitor, flat};

/// Reasons of a PUBACK, or of the end of a connection, that say that something failed on the way.
const TRANSIENT: [u8; 5] = [0x80, 0x83, 0x88, 0x96, 0x97];

/// The server goes, or slept with something begun.
const SHUTS_DOWN: u8 = 0x8b;

const RETAINED: u8 = 0x01;
const DUPLICATE: u8 = 0x08;

pub struct Guest {
    client_id: String,
    courses: Vec<Course>,
    version: u8,
    qos: u8,
    /// Its session outlives its connection.
    is_kept: bool,
    receive_maximum: u16,
    is_connected: bool,
    /// By course: the subscriptions that the server said it has.
    is_in: Vec<bool>,
    /// The packet id of its SUBSCRIBE.
    asked: Option<u16>,
    /// The session may have its subscriptions: the answer may be lost.
    has_asked: bool,
    last_id: u16,
    /// Publishes without PUBACK.
    published: VecDeque<Published>,
    /// What it got and has not acknowledged.
    owes: VecDeque<(u16, usize, Option<Place>)>,
    /// By course: what it acknowledged last.
    acknowledged: Vec<Option<Place>>,
    was_killed: bool,
    spoke_ms: u64,
}

struct Published {
    packet_id: u16,
    course: usize,
    tag: String,
}

impl Guest {
    pub fn new(client_id: String, mut courses: Vec<Course>, random: &mut Random) -> Guest {
        for course in &mut courses {
            (course.manner.changes, course.manner.is_fed) = (Changes::Versions, true);
        }
        let count = courses.len();
        let is_kept = random.chance(700);
        Guest {
            client_id,
            courses,
            version: if random.chance(500) { 5 } else { 4 },
            qos: u8::from(is_kept || random.chance(300)),
            is_kept,
            receive_maximum: random.between(1, 20) as u16,
            is_connected: false,
            is_in: vec![false; count],
            asked: None,
            has_asked: false,
            last_id: 0,
            published: VecDeque::new(),
            owes: VecDeque::new(),
            acknowledged: vec![None; count],
            was_killed: false,
            spoke_ms: 0,
        }
    }

    fn connect(&self) -> Vec<u8> {
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([self.version, if self.is_kept { 0 } else { 2 }, 0, 30]);
        if self.version == 5 {
            let expiry_s: u32 = if self.is_kept { 3_600 } else { 0 };
            let [high, low] = self.receive_maximum.to_be_bytes();
            body.push(8);
            body.push(0x11);
            body.extend(expiry_s.to_be_bytes());
            body.extend([0x21, high, low]);
        }
        put_text(&self.client_id, &mut body);
        packet(0x10, &body)
    }

    fn fresh_id(&mut self) -> u16 {
        self.last_id = self.last_id % 1_000 + 1;
        self.last_id
    }

    fn subscribe(&mut self, scene: &mut Scene<'_>) {
        let packet_id = self.fresh_id();
        let mut body = packet_id.to_be_bytes().to_vec();
        if self.version == 5 {
            body.push(0);
        }
        for (course, is_in) in self.courses.iter_mut().zip(&self.is_in) {
            if !is_in {
                course.asks(scene.stands(course.channel), scene.ledger);
            }
            put_text(&topic_of(&course.name), &mut body);
            body.push(self.qos);
        }
        (self.asked, self.has_asked) = (Some(packet_id), true);
        scene.say_packet(packet(0x82, &body));
    }

    fn connected(&mut self, body: &[u8], scene: &mut Scene<'_>) {
        assert_eq!(body[1], 0, "a good client is refused");
        self.is_connected = true;
        let is_present = body[0] == 1;
        assert!(self.is_kept || !is_present, "a clean session is not there before");
        if !is_present {
            self.begins_anew(scene);
        }
        if self.is_in.iter().all(|is_in| !is_in) {
            self.subscribe(scene);
        }
        let again: Vec<(u16, usize, String)> =
            self.published.iter().map(|open| (open.packet_id, open.course, open.tag.clone())).collect();
        for (packet_id, course, tag) in again {
            if self.was_killed || scene.disk_fails {
                scene.ledger.may_come_again(self.courses[course].channel, &tag);
            }
            self.send(packet_id, course, &tag, DUPLICATE, scene);
        }
        self.was_killed = false;
    }

    /// There is no session: either it never was one, or what it missed cannot be had any more.
    fn begins_anew(&mut self, scene: &mut Scene<'_>) {
        if self.is_kept && self.is_in.contains(&true) && !scene.disk_fails {
            let is_gone = |(at, course): (usize, &Course)| {
                self.is_in[at] && scene.ledger.may_be_gone(course.channel, course.fed_behind(self.acknowledged[at]))
            };
            let mut courses = self.courses.iter().enumerate();
            assert!(courses.any(is_gone), "{} has lost its session, and need not", self.client_id);
            self.courses.iter_mut().for_each(|course| course.gaps += 1);
        }
        self.published.clear();
        self.has_asked = false;
        self.is_in.fill(false);
        self.acknowledged.fill(None);
        self.courses.iter_mut().for_each(Course::stops);
    }

    fn subscribed(&mut self, mut body: &[u8], scene: &mut Scene<'_>) {
        let packet_id = u16::from_be_bytes([body[0], body[1]]);
        assert_eq!(self.asked.take(), Some(packet_id), "a SUBACK for what was asked");
        body = &body[if self.version == 5 { 3 } else { 2 }..];
        for (at, code) in body.iter().enumerate() {
            match *code {
                code if code == self.qos => {
                    if !std::mem::replace(&mut self.is_in[at], true) && self.courses[at].place().is_none() {
                        self.courses[at].begins(scene.ledger);
                    }
                }
                code => {
                    // What failed is not told in 3.1.1.
                    assert!([0x80, 0x97].contains(&code), "a subscription fails with {code:#x}");
                    assert!(!scene.calm, "nothing fails any more, yet a subscription does");
                }
            }
        }
        assert_eq!(body.len(), self.courses.len(), "a code for each topic");
    }

    fn message(&mut self, first: u8, body: &[u8], scene: &mut Scene<'_>) {
        assert_eq!(first & RETAINED, 0, "nothing is retained here");
        let (topic, rest) = text(body);
        let at = self.courses.iter().position(|course| topic_of(&course.name) == topic).expect("a topic of its own");
        let qos = first >> 1 & 3;
        assert_eq!(qos, self.qos, "of another quality than was asked for");
        let (packet_id, rest) = match qos {
            0 => (None, rest),
            _ => (Some(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
        };
        let payload = if self.version == 5 { behind_properties(rest) } else { rest };
        let payload = std::str::from_utf8(payload).expect("clients publish text");
        assert!(self.is_in[at] || self.has_asked, "a message comes before its subscription");
        if !self.is_in[at] {
            // It is fed as soon as it may be, and told so later.
            self.courses[at].begins(scene.ledger);
            self.is_in[at] = true;
        }
        let course = &mut self.courses[at];
        course.hears_text(payload, scene.ledger);
        let Some(packet_id) = packet_id else { return };
        assert!(self.owes.iter().all(|(open, ..)| *open != packet_id), "a packet id is used twice");
        self.owes.push_back((packet_id, at, course.reached()));
        let most = if self.version == 5 { usize::from(self.receive_maximum) } else { 128 };
        assert!(self.owes.len() <= most, "more are on their way than it takes");
        if scene.is_settled || scene.random.chance(600) {
            self.acknowledge(scene);
        }
    }

    fn acknowledge(&mut self, scene: &mut Scene<'_>) {
        for (packet_id, at, place) in std::mem::take(&mut self.owes) {
            self.acknowledged[at] = place;
            scene.say_packet(packet(0x40, &packet_id.to_be_bytes()));
        }
    }

    fn is_acknowledged(&mut self, body: &[u8], scene: &mut Scene<'_>) {
        let packet_id = u16::from_be_bytes([body[0], body[1]]);
        let open = self.published.iter().position(|open| open.packet_id == packet_id);
        let Published { course, tag, .. } = self.published.remove(open.expect("it was published")).expect("found");
        match body.get(2).copied().unwrap_or(0) {
            0 => scene.ledger.is_said_to_be_durable(self.courses[course].channel, &tag),
            reason => self.fails(reason, scene),
        }
    }

    fn fails(&self, reason: u8, scene: &Scene<'_>) {
        if reason == SHUTS_DOWN {
            return;
        }
        assert!(TRANSIENT.contains(&reason), "{} fails with {reason:#x}", self.client_id);
        assert!(!scene.calm, "nothing fails any more, yet {} does with {reason:#x}", self.client_id);
    }

    fn send(&self, packet_id: u16, course: usize, tag: &str, flags: u8, scene: &mut Scene<'_>) {
        let mut body = Vec::new();
        put_text(&topic_of(&self.courses[course].name), &mut body);
        body.extend(packet_id.to_be_bytes());
        if self.version == 5 {
            body.push(0);
        }
        body.extend(text_of(tag, 0).into_bytes());
        scene.say_packet(packet(0x32 | flags, &body));
    }
}

impl Visitor for Guest {
    fn name(&self) -> &'static str {
        if self.is_kept { "MQTT with a session" } else { "MQTT" }
    }

    fn open(&mut self, scene: &mut Scene<'_>) -> Opening {
        let Some(Step::Enter(connect)) = Gate::new(0).knock(&self.connect()) else { panic!("a good CONNECT") };
        let mut grant = grant();
        let admitted = (scene.app.key(&grant.key_name).expect("a key"), scene.app);
        let client = mqtt::admit(*connect, &mut grant, admitted, ("fresh", true)).expect("it may come in");
        let mut opening = Opening::from_query(grant, &[], true);
        opening.enter_by(Door::Mqtt(client.into()));
        opening
    }

    fn hear(&mut self, frame: &Encoded, scene: &mut Scene<'_>) {
        let bytes = |frame: &Encoded| match frame {
            Encoded::Binary(bytes) => bytes.clone(),
            frame => panic!("a client of MQTT gets {frame:?}"),
        };
        let bytes: Vec<u8> = flat(frame).into_iter().flat_map(bytes).collect();
        for (first, body) in packets(&bytes) {
            match first >> 4 {
                2 => self.connected(body, scene),
                3 => self.message(first, body, scene),
                4 => self.is_acknowledged(body, scene),
                9 => self.subscribed(body, scene),
                14 => {
                    self.fails(body.first().copied().unwrap_or(0), scene);
                    return scene.hang_up();
                }
                kind => panic!("a client of MQTT gets a packet of type {kind}"),
            }
        }
    }

    fn tick(&mut self, scene: &mut Scene<'_>) {
        if !self.is_connected {
            return;
        }
        self.acknowledge(scene);
        if self.asked.is_none() && self.is_in.contains(&false) {
            self.subscribe(scene);
        }
        if self.spoke_ms + 10_000 < scene.now_ms {
            self.spoke_ms = scene.now_ms;
            scene.say_packet(vec![0xc0, 0]);
        }
    }

    fn publish(&mut self, course: usize, tag: String, scene: &mut Scene<'_>) {
        if !self.is_connected {
            return;
        }
        let packet_id = self.fresh_id();
        self.send(packet_id, course, &tag, 0, scene);
        self.published.push_back(Published { packet_id, course, tag });
    }

    fn killed(&mut self) {
        self.was_killed = true;
    }

    fn lost(&mut self) {
        (self.is_connected, self.asked) = (false, None);
        self.owes.clear();
        if !self.is_kept {
            self.is_in.fill(false);
            self.courses.iter_mut().for_each(Course::stops);
            self.acknowledged.fill(None);
            return;
        }
        for (at, course) in self.courses.iter_mut().enumerate().filter(|(at, _)| self.is_in[*at]) {
            course.goes_on(self.acknowledged[at]);
        }
    }

    fn courses(&self) -> &[Course] {
        &self.courses
    }

    fn is_in(&self, course: usize) -> bool {
        self.is_in[course]
    }

    fn open_questions(&self) -> usize {
        self.published.len() + usize::from(self.asked.is_some()) + usize::from(!self.is_connected)
    }
}

fn topic_of(channel: &str) -> String {
    channel.replace(':', "/")
}

fn put_text(text: &str, into: &mut Vec<u8>) {
    into.extend((text.len() as u16).to_be_bytes());
    into.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let more = left >= 128;
        packet.push((left % 128) as u8 | if more { 128 } else { 0 });
        left /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

fn text(body: &[u8]) -> (&str, &[u8]) {
    let (text, rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
    (std::str::from_utf8(text).expect("a text"), rest)
}

/// They are shorter than 128 bytes.
fn behind_properties(rest: &[u8]) -> &[u8] {
    assert!(rest[0] < 128, "few properties");
    &rest[1 + usize::from(rest[0])..]
}
