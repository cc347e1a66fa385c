//! A client of Pusher Channels. Nothing is resumed: it has all of a channel from when it is subscribed until its
//! connection ends, but for what it says itself.

use courtside::auth::Signed;
use courtside::protocol::Encoded;
use courtside::protocol::door::Door;
use courtside::relay::session::Opening;
use serde_json::{Value, json};

use super::super::ledger::text_of;
use super::super::listener::{Changes, Course};
use super::super::network::grant;
use super::{Scene, Visitor, code_in, flat};

pub struct Guest {
    courses: Vec<Course>,
    socket_id: Option<String>,
    /// By course.
    is_in: Vec<bool>,
    asked: Vec<bool>,
}

impl Guest {
    pub fn new(mut courses: Vec<Course>) -> Guest {
        for course in &mut courses {
            (course.manner.changes, course.manner.is_fed) = (Changes::Nothing, true);
        }
        let count = courses.len();
        Guest { courses, socket_id: None, is_in: vec![false; count], asked: vec![false; count] }
    }

    fn subscribe(&mut self, at: usize, scene: &mut Scene<'_>) {
        let Some(socket_id) = &self.socket_id else { return };
        let course = &mut self.courses[at];
        course.asks(scene.stands(course.channel), scene.ledger);
        self.asked[at] = true;
        let channel = course.name.as_str();
        let auth = scene.app.keys()[0].sign_for_pusher(socket_id, Signed::Channel { channel, channel_data: None });
        let data = json!({"channel": channel, "auth": auth});
        scene.say(json!({"event": "pusher:subscribe", "data": data}).to_string());
    }

    fn event(&mut self, frame: &Value, scene: &mut Scene<'_>) {
        let at = self.courses.iter().position(|course| frame["channel"] == *course.name);
        match (frame["event"].as_str().expect("an event has a name"), at) {
            ("pusher:connection_established", _) => {
                let data: Value = serde_json::from_str(frame["data"].as_str().expect("a text")).expect("JSON");
                let socket_id = data["socket_id"].as_str().expect("a socket has an id").to_owned();
                self.courses.iter_mut().for_each(|course| course.manner.silent = Some(socket_id.clone()));
                self.socket_id = Some(socket_id);
                (0..self.courses.len()).for_each(|at| self.subscribe(at, scene));
            }
            ("pusher:ping", _) => scene.say(json!({"event": "pusher:pong", "data": {}}).to_string()),
            ("pusher:error", _) => {
                let message = frame["data"]["message"].as_str().expect("an error says what is wrong");
                scene.fails(code_in(message), "a connection of Pusher");
            }
            ("pusher:subscription_error", Some(at)) => {
                let why = frame["data"]["error"].as_str().expect("an error says what is wrong");
                scene.fails(code_in(why), "a subscription of Pusher");
                (self.asked[at], self.is_in[at]) = (false, false);
                self.courses[at].stops();
            }
            ("pusher_internal:subscription_succeeded", Some(at)) => {
                assert!(self.asked[at] && !self.is_in[at], "it is told twice that it is subscribed");
                self.is_in[at] = true;
                self.courses[at].begins(scene.ledger);
            }
            (_, Some(at)) => {
                assert!(self.is_in[at], "an event comes before its subscription");
                self.courses[at].hears_text(frame["data"].as_str().expect("clients publish text"), scene.ledger);
            }
            (event, None) => panic!("a client of Pusher gets {event}"),
        }
    }
}

impl Visitor for Guest {
    fn name(&self) -> &'static str {
        "Pusher"
    }

    fn open(&mut self, _: &mut Scene<'_>) -> Opening {
        let mut opening = Opening::from_query(grant(), &[], true);
        opening.enter_by(Door::at("/app/demo.key").expect("a door"));
        opening
    }

    fn hear(&mut self, frame: &Encoded, scene: &mut Scene<'_>) {
        for frame in flat(frame) {
            match frame {
                Encoded::Text(text) => self.event(&serde_json::from_str(text).expect("an event is JSON"), scene),
                Encoded::Close(code) => {
                    assert!((4_100..4_300).contains(code), "a client is told not to come back: {code}");
                    return scene.hang_up();
                }
                frame => panic!("a client of Pusher gets {frame:?}"),
            }
        }
    }

    fn tick(&mut self, scene: &mut Scene<'_>) {
        let missing: Vec<usize> = (0..self.courses.len()).filter(|at| !self.asked[*at]).collect();
        missing.into_iter().for_each(|at| self.subscribe(at, scene));
    }

    fn publish(&mut self, course: usize, tag: String, scene: &mut Scene<'_>) {
        if self.is_in[course] {
            let channel = &self.courses[course].name;
            let event = json!({"event": "client-a", "channel": channel, "data": text_of(&tag, 0)});
            scene.say(event.to_string());
        }
    }

    fn lost(&mut self) {
        self.socket_id = None;
        (self.is_in, self.asked) = (vec![false; self.courses.len()], vec![false; self.courses.len()]);
        self.courses.iter_mut().for_each(Course::stops);
    }

    fn courses(&self) -> &[Course] {
        &self.courses
    }

    fn is_in(&self, course: usize) -> bool {
        self.is_in[course]
    }

    fn open_questions(&self) -> usize {
        let asked = self.asked.iter().zip(&self.is_in).filter(|(asked, is_in)| **asked && !**is_in);
        asked.count() + usize::from(self.socket_id.is_none())
    }
}
