//! Clients that come by the doors of other protocols, listen and publish. What each of them is told is held against
//! the same log as what others are, as far as its protocol can say it: one order, nothing missed in silence, nothing
//! twice but where it says so, and what is acknowledged is durable.

mod mqtt;
mod pusher;
mod socketio;

use std::collections::HashMap;

use courtside::auth::App;
use courtside::limits::{CALL_ANSWER_MS, FEED_CURRENT_MS};
use courtside::model::Format;
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;

use super::client::TRANSIENT;
use super::host::{Input, LinkId};
use super::ledger::{Kind, Ledger};
use super::listener::Course;
use super::network::{Link, Owner};
use super::random::Random;
use super::trace::note;
use super::world::{EPOCH_MS, Event, World, channel_name};

/// How long a guest waits for an answer when nothing fails.
const ANSWER_MS: u64 = 15_000;

/// Publishes of one guest that may wait.
const OPEN_MAX: usize = 6;

/// The error of a server that must go, or whose client must come again.
const DISCONNECTED: u32 = 80_003;

/// A client of another protocol, without its transport.
pub trait Visitor {
    fn name(&self) -> &'static str;

    /// How it comes in, and what it says at once.
    fn open(&mut self, scene: &mut Scene<'_>) -> Opening;

    fn hear(&mut self, frame: &Encoded, scene: &mut Scene<'_>);

    /// What it does now and then.
    fn tick(&mut self, scene: &mut Scene<'_>);

    /// Publishes on the channel of a course, where it can now.
    fn publish(&mut self, course: usize, tag: String, scene: &mut Scene<'_>);

    /// Its transport is gone.
    fn lost(&mut self);

    /// The server's process is lost, and with it what was not stored.
    fn killed(&mut self) {}

    fn courses(&self) -> &[Course];

    /// Whether it is subscribed to a channel.
    fn is_in(&self, course: usize) -> bool;

    /// How many answers it waits for.
    fn open_questions(&self) -> usize;
}

/// What a guest sees when something happens, and what it does then.
pub struct Scene<'a> {
    pub now_ms: u64,
    pub app: &'a App,
    pub ledger: &'a mut Ledger,
    stands: &'a HashMap<(usize, usize), (Position, u64)>,
    host: usize,
    pub random: &'a mut Random,
    /// What is written may not be stored.
    pub disk_fails: bool,
    /// Nobody is slow any more.
    pub is_settled: bool,
    /// No fault is about.
    pub calm: bool,
    says: Vec<(Vec<u8>, Format)>,
    hangs_up: bool,
}

impl Scene<'_> {
    pub fn say(&mut self, text: impl Into<Vec<u8>>) {
        self.says.push((text.into(), Format::Json));
    }

    pub fn say_packet(&mut self, packet: Vec<u8>) {
        self.says.push((packet, Format::Msgpack));
    }

    pub fn hang_up(&mut self) {
        self.hangs_up = true;
    }

    /// Where its relay is in a channel's deliveries, as far as the channel was told, if who begins there may begin so:
    /// after a while the relay asks for the present. Its answer may have been on its way.
    pub fn stands(&self, channel: usize) -> Option<Position> {
        let (position, told_ms) = self.stands.get(&(self.host, channel))?;
        (self.now_ms < told_ms + FEED_CURRENT_MS + CALL_ANSWER_MS).then_some(*position)
    }

    /// What a server's clock shows.
    pub fn clock_ms(&self) -> u64 {
        EPOCH_MS + self.now_ms
    }

    /// Something failed on the way, or an object slept with something begun; else it is a fault of the server's.
    pub fn fails(&self, code: u32, what: &str) {
        if code == DISCONNECTED {
            return;
        }
        assert!(TRANSIENT.contains(&code), "{what} fails with {code}");
        assert!(!self.calm, "nothing fails any more, yet {what} does with {code}");
    }
}

/// A guest and its transport.
pub struct Guest {
    pub visitor: Box<dyn Visitor>,
    host: usize,
    link: Option<LinkId>,
    connect_at_ms: u64,
    /// Since when it waits for something that it was not told yet.
    waits_since_ms: Option<u64>,
    is_settled: bool,
    pub calm: bool,
}

impl World {
    pub fn add_guest(&mut self, kinds: &[Kind]) {
        let first = self.random.below(kinds.len() as u64) as usize;
        let channels = if self.random.chance(600) { first..first + 1 } else { 0..kinds.len() };
        let courses = channels.map(|channel| Course::new(channel_name(channel, kinds[channel]), channel)).collect();
        let id = format!("guest{}", self.guests.len());
        let visitor: Box<dyn Visitor> = match self.random.below(3) {
            0 => Box::new(pusher::Guest::new(courses)),
            1 => Box::new(socketio::Guest::new(courses)),
            _ => Box::new(mqtt::Guest::new(id, courses, &mut self.random)),
        };
        let host = self.random.between(self.channels as u64, self.hosts.len() as u64 - 1) as usize;
        let (connect_at_ms, calm) = (0, false);
        let guest = Guest { visitor, host, link: None, connect_at_ms, waits_since_ms: None, is_settled: false, calm };
        self.guests.push(guest);
        let at_ms = self.random.below(5_000);
        self.after(at_ms, Event::GuestTick { guest: self.guests.len() - 1 });
    }

    /// Has a guest do something, and does what it wants.
    fn with_guest(&mut self, index: usize, does: impl FnOnce(&mut dyn Visitor, &mut Scene<'_>)) {
        let app = self.hosts[self.guests[index].host].app.clone();
        let Guest { visitor, host, calm, is_settled, link, .. } = &mut self.guests[index];
        let mut scene = Scene {
            now_ms: self.now_ms,
            app: &app,
            ledger: &mut self.ledger,
            stands: &self.stands,
            host: *host,
            random: &mut self.random,
            disk_fails: self.disk_fails,
            is_settled: *is_settled,
            calm: *calm,
            says: Vec::new(),
            hangs_up: false,
        };
        does(visitor.as_mut(), &mut scene);
        let Scene { says, hangs_up, .. } = scene;
        let link = *link;
        for (bytes, format) in says {
            let shown = String::from_utf8_lossy(&bytes);
            note(self.now_ms, format_args!("guest {index} says {shown:?}"));
            if let Some(link) = link {
                self.send_by(link, |link| Input::Frame { link, bytes, format });
            }
        }
        if hangs_up {
            self.leave_guest(index, 100);
        }
    }

    pub(super) fn guest_tick(&mut self, index: usize) {
        let guest = &self.guests[index];
        match guest.link {
            None if guest.connect_at_ms <= self.now_ms => self.open_guest(index),
            None => {}
            Some(_) if !guest.is_settled && self.random.chance(20 + self.weather.sever / 10) => {
                let away_ms = *self.random.pick(&[500, 500, 500, 3_000, 3_000, 30_000, 200_000]);
                let away_ms = self.random.below(away_ms);
                self.leave_guest(index, away_ms);
            }
            Some(_) => self.guest_acts(index),
        }
        let delay_ms = self.random.between(50, if self.guests[index].is_settled { 3_000 } else { 1_000 });
        self.after(delay_ms, Event::GuestTick { guest: index });
    }

    fn guest_acts(&mut self, index: usize) {
        let publishes = !self.guests[index].is_settled && self.random.chance(400);
        let tag = publishes.then(|| format!("g{}", self.fresh()));
        self.with_guest(index, |visitor, scene| {
            visitor.tick(scene);
            let course = scene.random.below(visitor.courses().len() as u64) as usize;
            if let Some(tag) = tag.filter(|_| visitor.open_questions() < OPEN_MAX) {
                visitor.publish(course, tag, scene);
            }
        });
        let guest = &mut self.guests[index];
        let waits = guest.visitor.open_questions() > 0;
        guest.waits_since_ms = guest.waits_since_ms.filter(|_| waits).or(waits.then_some(self.now_ms));
        if guest.waits_since_ms.is_some_and(|since_ms| since_ms + ANSWER_MS < self.now_ms) {
            assert!(!guest.calm, "nothing fails any more, yet guest {index} gets no answer");
            self.leave_guest(index, 100);
        }
    }

    fn open_guest(&mut self, index: usize) {
        let (now_ms, link) = (self.now_ms, LinkId(self.fresh()));
        let fresh_id = format!("conn{}", self.fresh());
        let host = self.guests[index].host;
        let owner = Owner::Guest(index);
        let known = Link { owner, host, mode: None, key: None, to_server_ms: now_ms, to_client_ms: now_ms };
        self.links.insert(link, known);
        (self.guests[index].link, self.guests[index].waits_since_ms) = (Some(link), None);
        note(now_ms, format_args!("guest {index} opens {link} by {}", self.guests[index].visitor.name()));
        let mut opening = None;
        self.with_guest(index, |visitor, scene| opening = Some(visitor.open(scene)));
        let opening = opening.expect("it was asked");
        self.send_by(link, |link| Input::Open { link, mode: None, opening, fresh_id });
    }

    /// It drops its transport, and comes back after a while.
    fn leave_guest(&mut self, index: usize, away_ms: u64) {
        note(self.now_ms, format_args!("guest {index} leaves for {away_ms} ms"));
        if let Some(link) = self.guests[index].link.take() {
            self.drop_link(link);
        }
        self.guest_is_away(index, away_ms);
    }

    fn guest_is_away(&mut self, index: usize, away_ms: u64) {
        self.guests[index].link = None;
        self.guests[index].connect_at_ms = self.now_ms + away_ms;
        self.guests[index].visitor.lost();
    }

    pub(super) fn guest_gets(&mut self, index: usize, link: LinkId, frame: &Encoded) {
        let guest = &self.guests[index];
        if guest.link != Some(link) {
            return;
        }
        flat(frame).iter().for_each(|frame| match frame {
            Encoded::Binary(bytes) => {
                note(self.now_ms, format_args!("guest {index} <- {:?}", String::from_utf8_lossy(bytes)));
            }
            frame => note(self.now_ms, format_args!("guest {index} <- {frame:?}")),
        });
        self.with_guest(index, |visitor, scene| visitor.hear(frame, scene));
    }

    pub(super) fn guest_lost(&mut self, index: usize) {
        note(self.now_ms, format_args!("guest {index} loses its transport"));
        let away_ms = self.random.between(100, 1_000);
        self.guest_is_away(index, away_ms);
    }

    /// A process is lost with all that its guests said and was not stored.
    pub(super) fn guests_of_killed(&mut self, host: usize) {
        self.guests.iter_mut().filter(|guest| guest.host == host).for_each(|guest| guest.visitor.killed());
    }

    /// They come and go no more, and publish nothing.
    pub fn settle_guests(&mut self) {
        let now_ms = self.now_ms;
        for guest in &mut self.guests {
            guest.is_settled = true;
            guest.connect_at_ms = guest.connect_at_ms.min(now_ms + 1_000);
        }
    }

    /// Guests that are subscribed to a channel.
    pub fn guests_on(&self, channel: usize) -> usize {
        let is_on = |guest: &&Guest| {
            let mut courses = guest.visitor.courses().iter().enumerate();
            courses.any(|(at, course)| course.channel == channel && guest.visitor.is_in(at))
        };
        self.guests.iter().filter(is_on).count()
    }
}

impl Guest {
    /// What is still open when all should be done.
    pub fn unfinished(&self, ledger: &Ledger) -> Option<String> {
        let visitor = &self.visitor;
        let courses = visitor.courses();
        if self.link.is_none() || visitor.open_questions() > 0 {
            return Some(format!("{} is owed something, on {:?}", visitor.name(), self.link));
        }
        let lacks = |(at, course): &(usize, &Course)| !visitor.is_in(*at) || course.lacks(ledger);
        let lacking = courses.iter().enumerate().find(lacks);
        lacking.map(|(at, course)| {
            format!("{} at {:?} of {}, in it: {}", visitor.name(), course.place(), course.name, visitor.is_in(at))
        })
    }
}

/// A frame as those that the platform makes of it.
fn flat(frame: &Encoded) -> Vec<&Encoded> {
    match frame {
        Encoded::Several(frames) => frames.iter().flat_map(flat).collect(),
        frame => vec![frame],
    }
}

/// Our code, with which the text of an error of Pusher's ends.
fn code_in(text: &str) -> u32 {
    let code = text.trim_end_matches(')').rsplit('(').next().and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("{text:?} has no code"))
}
