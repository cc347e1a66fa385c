//! Somebody who only listens: by a stream of events, by requests that wait, or by a WebSocket attached from its URL,
//! and by another of these when that one ends. What it keeps between them is the last serial that it was given of each
//! channel. All that comes is judged: a gapless run of the channel's order, nothing twice, and gaps only where they are
//! announced.

mod guest;
mod stream;

use courtside::limits::PUBLISH_MAX_MESSAGES;
use courtside::model::data::Data;
use courtside::model::flags::RESUMED;
use courtside::model::revision::{APPENDED, DELETED, Shape, Target};
use courtside::model::serial::Position;
use courtside::rest::Continuation;
use courtside::rpc::{Answer, Response};
use serde_json::Value;

use super::client::TRANSIENT;
use super::frames::{Frame, action};
use super::ledger::{Ledger, Place, index_of, tag_of, text_of};
use super::revisions::{Change, Revision};
use super::views::Views;
pub use guest::{Changes, Manner};
use stream::{StreamEvent, block, line};

/// Behind all of a publish.
const WHOLE: usize = PUBLISH_MAX_MESSAGES - 1;

/// The action of a message that says what annotations come to.
const SUMMARY: u8 = 4;

const DISCONNECTED: u32 = 80_003;
const CONTINUITY_UNKNOWN: u32 = 90_003;

/// How it listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Stream { lines: bool, enveloped: bool },
    Socket,
    Requests,
}

pub struct Listener {
    pub way: Way,
    pub courses: Vec<Course>,
    pub connect_at_ms: u64,
    pub heard_ms: u64,
    /// What came of a stream's body and is no event yet.
    rest: String,
    /// It changes nothing any more.
    pub is_settled: bool,
    /// No fault is about: whatever is late now hangs.
    pub calm: bool,
}

/// What it has of a channel.
pub struct Course {
    pub name: String,
    pub channel: usize,
    /// The last message that it has; absent before it has begun.
    place: Option<Place>,
    /// It has not begun, and what it gets first comes no later than the message behind this one.
    floor: Option<Place>,
    /// Where it would go on.
    pub serial: Option<String>,
    /// The query of the next page.
    pub next: Option<String>,
    pub asking: Option<Asking>,
    pub retry_at_ms: u64,
    pub received: usize,
    pub gaps: usize,
    /// It began with the last messages, as they were then.
    pub rewound: bool,
    /// It has yet to get the first of these, which need not be the first of its publish.
    pub begins: bool,
    pub views: Views,
    pub manner: Manner,
}

/// A message, or an operation, as most ways tell it.
struct Told<'a> {
    id: &'a str,
    serial: &'a str,
    version: Option<&'a str>,
    action: u8,
    name: &'a str,
    data: &'a str,
}

/// A request that is not answered.
pub struct Asking {
    pub number: u64,
    pub since_ms: u64,
    pub wait_ms: u64,
    /// How long its way, and that of its answer, may take.
    pub patience_ms: u64,
    pub then: Continuation<Vec<Answer<Response>>>,
}

/// What becomes of a transport.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConnectionOutcome {
    Goes,
    Ends,
}

impl Listener {
    pub fn new(way: Way, courses: Vec<Course>) -> Listener {
        Listener { way, courses, connect_at_ms: 0, heard_ms: 0, rest: String::new(), is_settled: false, calm: false }
    }

    /// The id of the last event, as it would say it.
    pub fn cursor(&self) -> String {
        let serials = self.courses.iter().map(|course| course.serial.as_deref().unwrap_or_default());
        let cursor = serials.collect::<Vec<_>>().join(",");
        if self.courses.iter().all(|course| course.serial.is_none()) { String::new() } else { cursor }
    }

    /// Comes anew, by some way.
    pub fn begin(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.rest.clear();
        for course in &mut self.courses {
            (course.asking, course.floor) = (None, None);
        }
    }

    /// A piece of a stream's body.
    pub fn piece(&mut self, text: &str, now_ms: u64, ledger: &mut Ledger) -> ConnectionOutcome {
        let Way::Stream { lines, .. } = self.way else { panic!("a body, and no stream") };
        self.heard_ms = now_ms;
        self.rest.push_str(text);
        let end = if lines { "\n" } else { "\n\n" };
        while let Some((event, rest)) = self.rest.clone().split_once(end) {
            self.rest = rest.to_owned();
            let event = if lines { line(event) } else { block(event) };
            if self.event(event, ledger) == ConnectionOutcome::Ends {
                return ConnectionOutcome::Ends;
            }
        }
        ConnectionOutcome::Goes
    }

    fn event(&mut self, said: StreamEvent, ledger: &mut Ledger) -> ConnectionOutcome {
        let Way::Stream { enveloped, .. } = self.way else { unreachable!("only streams have events") };
        match (said.event.as_deref(), &said.data) {
            (Some("error"), Some(data)) => {
                let error: Value = serde_json::from_str(data).expect("an error is JSON");
                self.failed(error["code"].as_u64().expect("an error has a code") as u32);
                return ConnectionOutcome::Ends;
            }
            (Some("gap"), Some(data)) => {
                let gap: Value = serde_json::from_str(data).expect("a gap is JSON");
                assert!(gap["error"]["code"].is_u64(), "a gap has a reason");
                let id = said.id.as_deref().expect("a gap has an id");
                let at = self.courses.iter().position(|course| gap["channel"] == *course.name).expect("its channel");
                let serial = id.split(',').nth(at).expect("a serial for each channel").to_owned();
                self.courses[at].gap(Some(&serial), ledger);
            }
            (Some(_), Some(data)) if enveloped => {
                let message: Value = serde_json::from_str(data).expect("a message is JSON");
                let channel = message["channel"].as_str().expect("an envelope has a channel");
                let course = self.courses.iter_mut().find(|course| course.name == channel).expect("its channel");
                course.message(&message, ledger);
            }
            (Some(name), Some(data)) => {
                let course = &mut self.courses[0];
                let id = said.id.as_deref().expect("a message has an id");
                let position = ledger.parse(course.channel, id);
                match (name, ledger.revision(course.channel, position).is_some()) {
                    ("update", true) => course.hears_operation(position, 1, data, ledger),
                    ("delete", true) => course.hears_operation(position, DELETED, data, ledger),
                    ("append", true) => course.hears_operation(position, APPENDED, data, ledger),
                    ("message" | "delete", false) => course.hears_plain(id, position, data, ledger),
                    _ => panic!("no name of a message is one of an event: {name}"),
                }
            }
            (None, None) => {}
            _ => panic!("{said:?} is no event"),
        }
        if let Some(id) = said.id {
            let serials: Vec<&str> = id.split(',').collect();
            assert_eq!(serials.len(), self.courses.len(), "an id has a serial for each channel: {id}");
            for (course, serial) in self.courses.iter_mut().zip(serials) {
                course.stands_at(serial, ledger);
            }
        }
        ConnectionOutcome::Goes
    }

    /// A frame of a WebSocket.
    pub fn frame(&mut self, frame: &Frame, now_ms: u64, ledger: &mut Ledger) -> ConnectionOutcome {
        self.heard_ms = now_ms;
        let course = &mut self.courses[0];
        match frame.action {
            action::CONNECTED | action::HEARTBEAT => {}
            action::ATTACHED => {
                let serial = frame.channel_serial.as_deref().expect("ATTACHED has a serial");
                match (&course.serial, frame.flags & RESUMED != 0) {
                    (Some(sent), true) => assert_eq!(sent, serial, "RESUMED goes on elsewhere"),
                    (Some(_), false) => {
                        assert!(frame.error.is_some(), "a gap without an error");
                        course.gap(Some(serial), ledger);
                    }
                    (None, resumed) => assert!(!resumed, "a fresh attachment resumes nothing"),
                }
                course.stands_at(serial, ledger);
            }
            action::MESSAGE => {
                for message in frame.messages.iter().filter(|message| message.action != SUMMARY) {
                    let Data::Text(data) = &message.data else { panic!("clients publish text") };
                    let version = message.version.as_ref().map(|version| version.serial.as_str());
                    let (id, serial, name) = (&message.id, &message.serial, &message.name);
                    course.told(&Told { id, serial, version, action: message.action, name, data }, ledger);
                }
                course.stands_at(frame.channel_serial.as_deref().expect("a frame has a serial"), ledger);
            }
            action::DISCONNECTED | action::DETACHED => {
                self.failed(frame.error_code().expect("it has a reason"));
                return ConnectionOutcome::Ends;
            }
            _ => panic!("a listener gets {frame:?}"),
        }
        ConnectionOutcome::Goes
    }

    fn failed(&self, code: u32) {
        assert!(code == DISCONNECTED || TRANSIENT.contains(&code), "listening ends with {code}");
        assert!(!self.calm, "nothing fails any more, yet listening ends with {code}");
    }

    /// What is still open when all should be done.
    pub fn unfinished(&self, ledger: &Ledger) -> Option<String> {
        let lacks = |course: &&Course| {
            match course.place.or(course.floor) {
                Some(place) => {
                    ledger.next_unreplaced(course.channel, place).is_some() || course.owed(place.0, ledger).is_some()
                }
                // Told of a gap a moment ago, it is about to ask anew.
                None => self.way != Way::Requests,
            }
        };
        let lacking = self.courses.iter().find(lacks);
        lacking.map(|course| format!("{:?} at {:?} of {}", self.way, course.place, course.name))
    }
}

impl Course {
    pub fn new(name: String, channel: usize) -> Course {
        Course {
            name,
            channel,
            place: None,
            floor: None,
            serial: None,
            next: None,
            asking: None,
            retry_at_ms: 0,
            received: 0,
            gaps: 0,
            rewound: false,
            begins: false,
            views: Views::default(),
            manner: Manner::default(),
        }
    }

    /// Where a WebSocket can go on: it knows publishes, and no messages in them.
    pub fn whole_serial(&self, ledger: &Ledger) -> Option<Option<String>> {
        let Some(serial) = &self.serial else { return Some(None) };
        match serial.split_once(':') {
            None => Some(Some(serial.clone())),
            Some((whole, _)) => {
                let is_last = self.place.is_some_and(|(position, index)| {
                    ledger.next_message(self.channel, (position, index)).is_none_or(|((next, _), _)| next > position)
                });
                is_last.then(|| Some(whole.to_owned()))
            }
        }
    }

    /// It asks for what follows what it has, or for all that there is.
    pub fn asks_anew(&mut self, ledger: &Ledger) {
        if self.place.is_none() {
            self.floor = Some(ledger.floor(self.channel));
        }
    }

    pub fn message(&mut self, message: &Value, ledger: &mut Ledger) {
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        if message["action"] == SUMMARY {
            return;
        }
        let (id, serial, name) = (text(&message["id"]), text(&message["serial"]), text(&message["name"]));
        let action = message["action"].as_u64().expect("a message has an action") as u8;
        let data = message["data"].as_str().expect("clients publish text");
        let version = message["version"]["serial"].as_str();
        self.told(&Told { id: &id, serial: &serial, version, action, name: &name, data }, ledger);
    }

    fn told(&mut self, told: &Told<'_>, ledger: &mut Ledger) {
        let place = place_of(told.serial, self.channel, ledger);
        let version = told.version.map_or(place.0, |version| ledger.parse(self.channel, version));
        let revision = ledger.revision(self.channel, version);
        if revision.is_some_and(|revision| told.id == format!("{}:0", revision.id)) {
            let of = Target::parse(told.serial).map(|(target, _)| target);
            assert_eq!(of, revision.map(|revision| revision.target), "an operation on another message");
            return self.hears_operation(version, told.action, told.data, ledger);
        }
        self.hears(place, version, Some(told.name), told.data, ledger);
    }

    /// A message by its data alone. One that has changed since says nothing of its place in its publish.
    fn hears_plain(&mut self, id: &str, position: Position, data: &str, ledger: &mut Ledger) {
        let logged = ledger.book(self.channel).at(position).expect("it is in the log");
        let is_as_published = logged.tag == tag_of(&Data::Text(data.to_owned()));
        let last = logged.messages.len() - 1;
        let place = match id.split_once(':') {
            _ if is_as_published => index_of(data),
            Some((_, index)) => index.parse().expect("an index"),
            None => last,
        };
        let target = Target { position, place };
        let says_so = |version: &Position| ledger.text_at(self.channel, target, *version) == Some(data);
        let versions = ledger.book(self.channel).revisions_of(target).map(|logged| logged.position);
        let version = versions.chain([position]).find(says_so).expect("it said so once");
        self.hears((position, place), version, None, data, ledger);
    }

    /// The next message in the order, or one behind those that later ones replaced; not all ways say its name.
    fn hears(&mut self, place: Place, version: Position, name: Option<&str>, data: &str, ledger: &mut Ledger) {
        let (position, index) = place;
        self.reaches(place, data, ledger);
        let ((found, _), said) = ledger.next_message(self.channel, before(place)).expect("it is in the log");
        assert_eq!(found, position, "{data} is elsewhere");
        assert!(name.is_none_or(|name| name == said.name.as_deref().unwrap_or_default()), "{data} is said otherwise");
        let target = Target { position, place: index };
        let is_restored = version == position && ledger.was_restored_as(self.channel, target, data);
        let logged = ledger.text_at(self.channel, target, version);
        assert!(is_restored || logged == Some(data), "{data}, not {logged:?} at {place:?}, version {version:?}");
        if version == position && !is_restored {
            assert_eq!(data, text_of(&tag_of(&said.data), index), "it is not message {index} of its publish");
        }
        self.views.show(target, version, data);
        (self.place, self.received) = (Some(place), self.received + 1);
    }

    fn hears_operation(&mut self, position: Position, action: u8, data: &str, ledger: &mut Ledger) {
        self.reaches((position, 0), data, ledger);
        let Revision { target, text, shape, .. } = ledger.revision(self.channel, position).expect("found before");
        assert_eq!(action == DELETED, *shape == Shape::Deleted, "{data} at {position:?}");
        let shown = match action {
            APPENDED => self.views.appended(*target, data).expect("a part of what it does not have"),
            _ => data.to_owned(),
        };
        assert_eq!(shown, *text, "{} sees {target:?} otherwise at {position:?}", self.name);
        self.views.show(*target, position, &shown);
        (self.place, self.received) = (Some((position, 0)), self.received + 1);
    }

    /// It gets what is at a place: nothing lies between that it must have got before.
    fn reaches(&mut self, place: Place, data: &str, ledger: &Ledger) {
        assert!(ledger.is_durable(self.channel, place.0), "{data} is delivered before it is durable");
        if let Some(floor) = self.floor.take() {
            self.place = None;
            let mut at = floor;
            while let Some(((position, index), _)) = ledger.next_message(self.channel, at)
                && (position, index) < place
            {
                let is_gone = ledger.is_deleted_behind(self.channel, Target { position, place: index }, position)
                    || self.need_not_begin((position, index), ledger);
                assert!(is_gone, "{} begins at {place:?}, and {position:?} was there", self.name);
                at = (position, index);
            }
        }
        if let Some(before) = self.place {
            assert!(place > before, "{} gets {data} at {place:?} again, or out of order, behind {before:?}", self.name);
            self.passes_to(place, false, ledger);
        }
        self.begins = false;
    }

    /// All messages before a place, or up to it, were replaced by later ones or deleted, and all operations are over.
    fn passes_to(&self, place: Place, inclusive: bool, ledger: &Ledger) {
        let missed = self.missed(place, inclusive, ledger);
        assert_eq!(missed, None, "{} misses it between {:?} and {place:?}", self.name, self.place);
        let owed = self.owed_before(place, ledger);
        assert_eq!(owed, None, "{} is not told of an operation between {:?} and {place:?}", self.name, self.place);
    }

    /// The first message before a place, or up to it, that it does not have and must have been given.
    fn missed(&self, place: Place, inclusive: bool, ledger: &Ledger) -> Option<Place> {
        let next = |at: Place| ledger.next_message(self.channel, at).map(|(next, _)| next);
        let passed = std::iter::successors(self.place.and_then(next), |at| next(*at));
        let mut passed = passed.take_while(|at| *at < place || (inclusive && *at == place));
        passed.find(|at| !(self.begins && at.0 == place.0 || self.need_not_come(*at, ledger)))
    }

    fn owed_before(&self, place: Place, ledger: &Ledger) -> Option<Position> {
        self.place.and_then(|at| self.owed(at.0, ledger)).filter(|owed| *owed < place.0)
    }

    /// The next operation that it must be told of.
    fn owed(&self, after: Position, ledger: &Ledger) -> Option<Position> {
        let is_due = |position: Position, revision: &Revision| {
            let is_known = self.views.has(revision.target, position)
                || self.may_have((position, 0))
                || self.rewound && !self.views.has(revision.target, Position::ZERO);
            !is_known && self.is_told(revision) && !ledger.is_over(self.channel, position, revision)
        };
        let owed = ledger.book(self.channel).behind(after).iter().find(|logged| match &logged.change {
            Some(Change::Revision(revision)) => is_due(logged.position, revision),
            _ => false,
        });
        owed.map(|logged| logged.position)
    }

    /// It is told where it is, or would go on: neither before nor behind what it has.
    pub fn stands_at(&mut self, serial: &str, ledger: &mut Ledger) {
        if serial.is_empty() {
            assert!(self.place.is_none(), "{} has begun, and a cursor says nothing of it", self.name);
            return;
        }
        let place = place_of(serial, self.channel, ledger);
        if self.place.is_some() {
            self.passes_to(place, true, ledger);
            let again = ledger.next_message(self.channel, place).map(|(next, _)| next);
            let is_behind = again.is_some_and(|next| self.place.is_some_and(|place| next <= place));
            assert!(!is_behind, "{} is at {:?}, and its cursor would bring {again:?} again", self.name, self.place);
        }
        self.place = Some(self.place.map_or(place, |before| before.max(place)));
        (self.floor, self.serial) = (None, Some(serial.to_owned()));
    }

    /// What follows is lost, and it begins anew: at a serial, or with the oldest that there is.
    fn gap(&mut self, serial: Option<&str>, ledger: &mut Ledger) {
        let from = self.place.or(self.floor).expect("a gap behind something");
        // In the middle of a publish it needs the rest of it.
        let within = self.serial.as_ref().is_some_and(|serial| serial.contains(':'));
        let from = if within { Position(from.0.0.saturating_sub(1)) } else { from.0 };
        assert!(ledger.may_be_gone(self.channel, from), "{} loses continuity at {from:?}, and need not", self.name);
        (self.place, self.floor, self.serial, self.next) = (None, None, None, None);
        (self.gaps, self.rewound, self.views) = (self.gaps + 1, false, Views::default());
        if let Some(serial) = serial {
            let to = place_of(serial, self.channel, ledger);
            assert!(to.0 >= from, "a gap that goes back, from {from:?} to {to:?}");
            self.stands_at(serial, ledger);
        }
    }

    /// A page, or a refusal. Gives the time when the first message of a page was in the log.
    pub fn page(
        &mut self,
        (status, body): (u16, &Value),
        next: Option<String>,
        calm: bool,
        ledger: &mut Ledger,
    ) -> Result<Option<u64>, u32> {
        if status != 200 {
            let code = body["error"]["code"].as_u64().expect("an error has a code") as u32;
            match code {
                CONTINUITY_UNKNOWN => self.gap(None, ledger),
                code => assert!(!calm && TRANSIENT.contains(&code), "reading is refused with {code}"),
            }
            return Err(code);
        }
        let messages = body.as_array().expect("a page is a list");
        for message in messages {
            self.message(message, ledger);
            // What it has of a publish, it has for good; the rest comes with the next page.
            self.serial = Some(message["version"]["serial"].as_str().expect("a version").to_owned());
        }
        self.next = next;
        let first = messages.first().map(|first| first["version"]["serial"].as_str().expect("a version"));
        let first = first.map(|serial| ledger.parse(self.channel, serial));
        Ok(first.and_then(|position| ledger.logged_ms(self.channel, position)))
    }
}

/// The place just before one.
fn before((position, index): Place) -> Place {
    match index.checked_sub(1) {
        Some(index) => (position, index),
        None => (Position(position.0 - 1), WHOLE),
    }
}

/// A serial of a publish stands for all of it.
fn place_of(serial: &str, channel: usize, ledger: &mut Ledger) -> Place {
    let position = ledger.parse(channel, serial);
    let index = serial.rsplit_once(':').map_or(WHOLE, |(_, index)| index.parse().expect("an index"));
    (position, index)
}
