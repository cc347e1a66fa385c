//! A client of Socket.IO 4, which recovers: it comes back with its `pid` and the offset of its last event, and misses
//! nothing and gets nothing twice, or learns by another `pid` that it did.

use std::collections::BTreeMap;

use courtside::auth::Grant;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::protocol::socketio::SocketIo;
use courtside::relay::session::Opening;
use serde_json::{Value, json};

use super::super::ledger::text_of;
use super::super::listener::Course;
use super::super::network::grant;
use super::{Scene, Visitor, flat};

/// The server pings every 25 seconds and waits 20 for the answer.
const SILENCE_MAX_MS: u64 = 50_000;

pub struct Guest {
    courses: Vec<Course>,
    /// By course: what it goes on with.
    pids: Vec<Option<String>>,
    is_in: Vec<bool>,
    heard_ms: u64,
    last_id: u64,
    /// Emits that wait for their acknowledgement: of which course, and what they say.
    emitted: BTreeMap<u64, (usize, String)>,
    by_query: bool,
}

impl Guest {
    pub fn new(mut courses: Vec<Course>) -> Guest {
        courses.iter_mut().for_each(|course| course.manner.is_fed = true);
        let count = courses.len();
        Guest {
            courses,
            pids: vec![None; count],
            is_in: vec![false; count],
            heard_ms: 0,
            last_id: 0,
            emitted: BTreeMap::new(),
            by_query: false,
        }
    }

    fn enter(&mut self, at: usize, scene: &mut Scene<'_>) {
        let course = &mut self.courses[at];
        let mut auth = json!({});
        if !self.by_query {
            auth["key"] = json!("demo.key:local-only");
        }
        match &self.pids[at] {
            None => course.asks(scene.stands(course.channel), scene.ledger),
            Some(pid) => {
                auth["pid"] = json!(pid);
                course.serial.iter().for_each(|offset| auth["offset"] = json!(offset));
            }
        }
        scene.say(format!("40/{},{auth}", course.name));
    }

    fn packet(&mut self, text: &str, scene: &mut Scene<'_>) {
        let mut rest = text.chars();
        match (rest.next().expect("a packet has a type"), rest.as_str()) {
            ('0', _) => (0..self.courses.len()).for_each(|at| self.enter(at, scene)),
            ('1', "") => scene.hang_up(),
            ('2', "") => scene.say("3"),
            ('6', "") => {}
            ('4', packet) => self.message(packet, scene),
            other => panic!("a client of Socket.IO gets {other:?}"),
        }
    }

    fn message(&mut self, packet: &str, scene: &mut Scene<'_>) {
        let (kind, rest) = packet.split_at(1);
        let (namespace, rest) = rest.split_once(',').expect("a packet names its namespace");
        let at = self.courses.iter().position(|course| namespace[1..] == *course.name).expect("one that was asked for");
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, data) = rest.split_at(digits);
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        match kind {
            "0" => self.entered(at, &data, scene),
            "2" => self.event(at, &data, scene),
            "3" => self.acknowledged(id.parse().expect("an acknowledgement has an id"), &data[0], scene),
            "4" => panic!("a client is not let in: {data}"),
            kind => panic!("a client of Socket.IO gets a packet of type {kind}: {data}"),
        }
    }

    fn entered(&mut self, at: usize, data: &Value, scene: &mut Scene<'_>) {
        assert!(!self.is_in[at], "it is let in twice");
        let text = |name: &str| data[name].as_str().expect("a text").to_owned();
        let (sid, pid) = (text("sid"), text("pid"));
        let course = &mut self.courses[at];
        let recovers = self.pids[at].as_ref() == Some(&pid);
        if recovers {
            assert_eq!(course.manner.silent, Some(sid.clone()), "others know it as another");
        } else {
            if self.pids[at].is_some() {
                course.misses(course.place(), scene.ledger);
                course.asks(scene.stands(course.channel), scene.ledger);
            }
            course.begins(scene.ledger);
        }
        course.manner.silent = Some(sid);
        (self.pids[at], self.is_in[at]) = (Some(pid), true);
    }

    fn event(&mut self, at: usize, data: &Value, scene: &mut Scene<'_>) {
        assert!(self.is_in[at], "an event comes before its namespace");
        let course = &mut self.courses[at];
        let arguments: Vec<&Value> = data.as_array().expect("an event is a list").iter().collect();
        let [name, said, offset] = arguments[..] else { panic!("an event has its offset: {data}") };
        let offset = offset.as_str().expect("an offset is a text");
        match name.as_str().expect("an event has a name") {
            "[meta]message.summary" => course.stands_at(offset, scene.ledger),
            "[meta]message.update" | "[meta]message.delete" => {
                course.message(said, scene.ledger);
                course.stands_at(offset, scene.ledger);
            }
            name if name.starts_with("[meta]") => panic!("a client of Socket.IO is told {data}"),
            _ => course.hears_at(offset, said.as_str().expect("clients publish text"), scene.ledger),
        }
    }

    fn acknowledged(&mut self, id: u64, said: &Value, scene: &mut Scene<'_>) {
        let (at, tag) = self.emitted.remove(&id).expect("it was emitted, and not acknowledged before");
        match said["error"]["code"].as_u64() {
            Some(code) => scene.fails(code as u32, "an event of Socket.IO"),
            None => {
                let serial = said["serial"].as_str().expect("it has a serial").to_owned();
                scene.ledger.acknowledged(self.courses[at].channel, &tag, &[serial]);
            }
        }
    }
}

impl Visitor for Guest {
    fn name(&self) -> &'static str {
        "Socket.IO"
    }

    fn open(&mut self, scene: &mut Scene<'_>) -> Opening {
        self.by_query = scene.random.chance(500);
        self.heard_ms = scene.now_ms;
        let nobody = || Grant::of_nobody(scene.app.id(), scene.clock_ms() + 100_000);
        let grant = if self.by_query { grant() } else { nobody() };
        let mut opening = Opening::from_query(grant, &[], true);
        opening.enter_by(Door::SocketIo(SocketIo::new(scene.app.id().clone(), self.by_query, false)));
        opening.heartbeat_interval_ms = courtside::limits::ENGINE_HEARTBEAT_MS;
        opening
    }

    fn hear(&mut self, frame: &Encoded, scene: &mut Scene<'_>) {
        self.heard_ms = scene.now_ms;
        for frame in flat(frame) {
            let Encoded::Text(text) = frame else { panic!("a client of Socket.IO gets {frame:?}") };
            if !scene.hangs_up {
                self.packet(text, scene);
            }
        }
    }

    fn tick(&mut self, scene: &mut Scene<'_>) {
        if self.heard_ms + SILENCE_MAX_MS < scene.now_ms {
            assert!(!scene.calm, "nothing fails any more, yet no heartbeat comes");
            scene.hang_up();
        }
    }

    fn publish(&mut self, course: usize, tag: String, scene: &mut Scene<'_>) {
        if self.is_in[course] {
            self.last_id += 1;
            let said = json!(["a", text_of(&tag, 0)]);
            scene.say(format!("42/{},{}{said}", self.courses[course].name, self.last_id));
            self.emitted.insert(self.last_id, (course, tag));
        }
    }

    /// What was not acknowledged may be there or not.
    fn lost(&mut self) {
        self.is_in.fill(false);
        self.emitted.clear();
    }

    fn courses(&self) -> &[Course] {
        &self.courses
    }

    fn is_in(&self, course: usize) -> bool {
        self.is_in[course]
    }

    fn open_questions(&self) -> usize {
        self.emitted.len() + self.is_in.iter().filter(|is_in| !**is_in).count()
    }
}
