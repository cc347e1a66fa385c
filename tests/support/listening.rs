//! The transports of those who only listen, and what becomes of them: streams break off in the middle of an event,
//! requests and their answers are lost, and whoever comes back may come by another way.

use courtside::auth::{Apps, Attempts};
use courtside::http::{self, percent};
use courtside::intake::parameters::{self, QueryOf};
use courtside::object;
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::rest::{self, Admin, Context, Step};
use courtside::transport::{Mode, events};
use serde_json::Value;

use super::frames::Frame;
use super::host::{Body, Input, LinkId};
use super::ledger::Kind;
use super::listener::{Asking, ConnectionOutcome, Course, Listener, Way};
use super::network::{Link, Owner, Reply, Said, grant};
use super::trace::note;
use super::world::{EPOCH_MS, Event, World, channel_name};

/// How long a stream may be silent: a probe comes sooner, and may be late.
const SILENCE_MAX_MS: u64 = 30_000;

/// How long after its time a request must be answered when nothing fails; else it may be slow, and clocks may be set
/// back.
const LATE_MS: u64 = 15_000;
const VERY_LATE_MS: u64 = 60_000;

const WAYS: [Way; 8] = [
    Way::Stream { lines: false, enveloped: true },
    Way::Stream { lines: true, enveloped: true },
    Way::Stream { lines: false, enveloped: false },
    Way::Stream { lines: true, enveloped: false },
    Way::Socket,
    Way::Requests,
    Way::Requests,
    Way::Requests,
];

/// A place that only listens, and its transport.
pub struct Ear {
    pub listener: Listener,
    link: Option<LinkId>,
}

impl World {
    pub fn add_listener(&mut self, kinds: &[Kind]) {
        let first = self.random.below(kinds.len() as u64) as usize;
        let channels = if self.random.chance(600) { first..first + 1 } else { 0..kinds.len() };
        let course = |channel: usize| Course::new(channel_name(channel, kinds[channel]), channel);
        let listener = Listener::new(Way::Requests, channels.map(course).collect());
        self.ears.push(Ear { listener, link: None });
        let ear = self.ears.len() - 1;
        self.choose_way(ear);
        let at_ms = self.random.below(5_000);
        self.after(at_ms, Event::ListenerTick { ear });
    }

    /// Some way that can go on where it is.
    fn choose_way(&mut self, ear: usize) {
        let way = *self.random.pick(&WAYS);
        let listener = &mut self.ears[ear].listener;
        let is_alone = listener.courses.len() == 1;
        listener.way = match way {
            Way::Stream { lines, enveloped: false } => Way::Stream { lines, enveloped: !is_alone },
            Way::Socket if !is_alone || listener.courses[0].whole_serial(&self.ledger).is_none() => Way::Requests,
            way => way,
        };
    }

    pub(super) fn listener_tick(&mut self, ear: usize) {
        let now_ms = self.now_ms;
        let Ear { listener, link } = &self.ears[ear];
        let (settled, is_open, by_requests) = (listener.is_settled, link.is_some(), listener.way == Way::Requests);
        let is_late = is_open && listener.heard_ms + SILENCE_MAX_MS <= now_ms;
        assert!(!is_late || !listener.calm, "nothing fails any more, yet {:?} is silent", listener.way);
        if is_late || (!settled && self.random.chance(80)) {
            self.leave_way(ear);
        } else if by_requests && listener.connect_at_ms <= now_ms {
            self.ask_all(ear);
        } else if !by_requests && !is_open && listener.connect_at_ms <= now_ms {
            self.open_ear(ear);
        }
        let delay_ms = self.random.between(50, 1_000);
        self.after(delay_ms, Event::ListenerTick { ear });
    }

    /// Comes back after a while, by another way it may be.
    fn leave_way(&mut self, ear: usize) {
        let away_ms = match self.random.below(100) {
            _ if self.ears[ear].listener.is_settled => 2_000,
            0..3 => 250_000,
            3..13 => 30_000,
            _ => 2_000,
        };
        let away_ms = self.random.below(away_ms);
        note(self.now_ms, format_args!("listener {ear} leaves for {away_ms} ms"));
        if let Some(link) = self.ears[ear].link.take() {
            self.drop_link(link);
        }
        self.down(ear, away_ms);
    }

    fn down(&mut self, ear: usize, away_ms: u64) {
        let now_ms = self.now_ms;
        let listener = &mut self.ears[ear].listener;
        listener.begin(now_ms);
        listener.connect_at_ms = now_ms + away_ms;
        self.choose_way(ear);
    }

    fn open_ear(&mut self, ear: usize) {
        let (now_ms, link) = (self.now_ms, LinkId(self.fresh()));
        let fresh_id = format!("conn{}", self.fresh());
        let rewind = self.random.chance(200).then(|| self.random.between(1, 4));
        let by_header = self.random.chance(500);
        let is_binary = self.random.chance(500);
        let relay = self.random.between(self.channels as u64, self.hosts.len() as u64 - 1) as usize;
        let by_channel = self.random.chance(500);
        let listener = &mut self.ears[ear].listener;
        let host = if by_channel && listener.courses.len() == 1 { listener.courses[0].channel } else { relay };
        let names: Vec<_> = listener.courses.iter().map(|course| course.name.clone()).collect();
        let mut query = Vec::new();
        let mut say = |name: &str, value: String| query.push((name.to_owned(), value));
        if let Some(rewind) = rewind {
            say("rewind", rewind.to_string());
            let anew = listener.courses.iter_mut().filter(|course| course.serial.is_none());
            anew.for_each(|course| (course.rewound, course.begins) = (true, true));
        }
        let cursor = listener.cursor();
        let (mode, opening) = match listener.way {
            Way::Stream { lines, enveloped } => {
                say("channels", names.join(","));
                say("enveloped", enveloped.to_string());
                if !by_header {
                    say("lastEvent", cursor.clone());
                }
                parameters::check(QueryOf::Stream, &query, false).expect("parameters of a stream");
                let mut opening = Opening::from_query(grant(), &query, true);
                let last_event = Some(cursor.as_str()).filter(|_| by_header);
                let app = &self.hosts[host].app;
                let opened = events::open(&query, lines, last_event, app, &mut opening).expect("a stream");
                (Some(Mode::Events(opened.0)), opening)
            }
            Way::Socket => {
                let serial = listener.courses[0].whole_serial(&self.ledger).expect("a place between publishes");
                listener.courses[0].serial = serial.clone();
                say("attach", "auto".to_owned());
                say("channel", names[0].clone());
                say("modes", "subscribe".to_owned());
                say("format", if is_binary { "msgpack" } else { "json" }.to_owned());
                serial.into_iter().for_each(|serial| say("channelSerial", serial));
                parameters::check(QueryOf::Socket, &query, false).expect("parameters of a connection");
                (None, Opening::from_query(grant(), &query, true))
            }
            Way::Requests => unreachable!("requests open nothing"),
        };
        note(now_ms, format_args!("listener {ear} opens {link} by {:?} from {cursor:?}", listener.way));
        listener.begin(now_ms);
        listener.courses.iter_mut().for_each(|course| course.next = None);
        let owner = Owner::Listener(ear);
        self.links.insert(link, Link { owner, host, mode, key: None, to_server_ms: now_ms, to_client_ms: now_ms });
        self.ears[ear].link = Some(link);
        self.send_by(link, |link| Input::Open { link, mode, opening, fresh_id });
    }

    fn ask_all(&mut self, ear: usize) {
        for at in 0..self.ears[ear].listener.courses.len() {
            let calm = self.ears[ear].listener.calm;
            let course = &mut self.ears[ear].listener.courses[at];
            let late_ms = if calm { LATE_MS } else { VERY_LATE_MS };
            if let Some(asking) = &course.asking {
                let is_late = asking.since_ms + asking.wait_ms + late_ms <= self.now_ms;
                assert!(!is_late || !calm, "nothing fails any more, yet a request is not answered");
                if !is_late {
                    continue;
                }
                course.asking = None;
            }
            if course.retry_at_ms <= self.now_ms {
                self.ask(ear, at);
            }
        }
    }

    /// A request, as a router takes it on.
    fn ask(&mut self, ear: usize, at: usize) {
        let (wait_s, limit) = (*self.random.pick(&[0, 5, 30]), *self.random.pick(&["", "1", "2"]));
        let (by_link, number) = (self.random.chance(500), self.fresh());
        let (now_ms, patience_ms) = (self.now_ms, self.patience_ms());
        let course = &mut self.ears[ear].listener.courses[at];
        let mut query = vec![("key".to_owned(), "demo.key:local-only".to_owned())];
        match course.next.take().filter(|_| by_link) {
            Some(next) => query.extend(percent::decode_pairs(&next).expect("a query")),
            None => {
                course.asks_anew(&self.ledger);
                query.push(("wait".to_owned(), wait_s.to_string()));
                query.push(("limit".to_owned(), limit.to_owned()));
                query.extend(course.serial.clone().map(|serial| ("from_serial".to_owned(), serial)));
            }
        }
        let wait_s: u64 = query.iter().find(|(name, _)| name == "wait").expect("it waits").1.parse().expect("seconds");
        let path = format!("/channels/{}/messages", course.name);
        let request = http::Request { method: "GET".to_owned(), path, query, is_secure: true, ..Default::default() };
        note(now_ms, format_args!("listener {ear} asks ({number}) {} {:?}", request.path, &request.query[1..]));
        let host = course.channel;
        let app = self.hosts[host].app.clone();
        let (apps, attempts) = (Apps::of([app]), &mut Attempts::default());
        let mut context =
            Context { apps: &apps, attempts, admin: &Admin::Closed, now_ms: EPOCH_MS + now_ms, random: [0; 32] };
        let admitted = rest::find(&request).and_then(|route| rest::admit(&request, route, &mut context));
        let Ok((_, admitted)) = admitted else { panic!("a request is refused") };
        let Step::Calls(calls, then) = admitted.begin(&request, context) else { panic!("it needs no call") };
        course.asking = Some(Asking { number, since_ms: now_ms, wait_ms: wait_s * 1_000, patience_ms, then });
        let reply = Reply::Page { ear, at, number };
        self.call((usize::MAX, 0), host, reply, |caller| object::Input::Call { caller, call: calls[0].clone() });
    }

    pub(super) fn page(&mut self, ear: usize, at: usize, number: u64, said: Said) {
        let now_ms = self.now_ms;
        let listener = &mut self.ears[ear].listener;
        let calm = listener.calm;
        let course = &mut listener.courses[at];
        let Some(asking) = course.asking.take_if(|asking| asking.number == number) else { return };
        let Said::Answer(answer) = said else {
            assert!(!calm, "nothing fails any more, yet a request does");
            course.retry_at_ms = now_ms + 500;
            return;
        };
        let Step::Reply(reply) = asking.then.answered(vec![answer]) else { panic!("a page needs one call") };
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        note(now_ms, format_args!("listener {ear} <- {} ({number}) {body}", reply.status));
        let link = reply.headers.iter().find(|(name, _)| *name == "Link").map(|(_, value)| value.as_str());
        let next = link.and_then(|link| link.split_once(">; rel=\"next\"")).map(|(before, _)| before);
        let next = next.and_then(|before| before.rsplit_once('?')).map(|(_, query)| query.to_owned());
        assert!(next.is_some() || reply.status != 200, "who waits can always go on");
        match course.page((reply.status, &body), next, calm, &mut self.ledger) {
            Ok(Some(logged_ms)) => {
                let known_ms = logged_ms.max(asking.since_ms);
                assert!(known_ms + asking.patience_ms >= now_ms, "{} waits on, with news at {known_ms}", course.name);
            }
            Ok(None) => {}
            Err(_) => course.retry_at_ms = now_ms + 1_000,
        }
    }

    /// How long a request, what it waits for and its answer may be on the way.
    fn patience_ms(&self) -> u64 {
        let call_ms = if self.weather.slow_call > 0 { 8_000 } else { self.weather.latency_ms };
        2 * call_ms + self.weather.latency_ms + 1_000
    }

    pub(super) fn listener_takes(&mut self, ear: usize, host: usize, life: u64, body: Body) {
        let Body { link, response, text, last } = body;
        let breaks_off = self.random.chance(self.weather.lose_body);
        let text = match breaks_off {
            true => &text[..self.random.below(text.len() as u64 + 1) as usize],
            false => &text[..],
        };
        note(
            self.now_ms,
            format_args!("listener {ear} <- {text:?}{}", if breaks_off { ", and it breaks off" } else { "" }),
        );
        let outcome = self.ears[ear].listener.piece(text, self.now_ms, &mut self.ledger);
        match breaks_off {
            true => self.not_taken(host, life, response),
            false => self.written(host, life, response, true),
        }
        assert!(outcome == ConnectionOutcome::Goes || last || breaks_off, "a stream goes on behind its end");
        if breaks_off || last {
            self.link_down(link);
        }
    }

    pub(super) fn listener_gets(&mut self, ear: usize, link: LinkId, frame: &Encoded) {
        let frame = Frame::read(frame);
        note(self.now_ms, format_args!("listener {ear} <- {frame}"));
        if self.ears[ear].listener.frame(&frame, self.now_ms, &mut self.ledger) == ConnectionOutcome::Ends {
            self.drop_link(link);
            self.listener_lost(ear);
        }
    }

    pub(super) fn listener_lost(&mut self, ear: usize) {
        self.ears[ear].link = None;
        let away_ms = self.random.between(100, 1_000);
        self.down(ear, away_ms);
    }

    /// Nobody changes its way any more.
    pub fn settle_listeners(&mut self) {
        let now_ms = self.now_ms;
        for Ear { listener, .. } in &mut self.ears {
            listener.is_settled = true;
            listener.connect_at_ms = listener.connect_at_ms.min(now_ms + 1_000);
        }
    }

    /// Listeners that are connected and attached to a channel.
    pub fn listening_to(&self, channel: usize) -> usize {
        let hears =
            |ear: &&Ear| ear.link.is_some() && ear.listener.courses.iter().any(|course| course.channel == channel);
        self.ears.iter().filter(hears).count()
    }
}
