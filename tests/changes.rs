//! Messages that are updated, deleted, appended to and annotated at a channel's real driver, whose disk fails, whose
//! process crashes, whose memory goes and whose clock steps. After every step: the log replayed says what each message
//! is and what its annotations come to, and readers are told that, and nothing of what was deleted.
//!
//! A seed decides all; `SEED=n` repeats one, `SEEDS=n` runs so many.

#[allow(dead_code, reason = "shared with the simulation")]
mod support {
    pub mod changes;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod random;
}

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::auth::{App, Source};
use courtside::error::Code;
use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::name::ChannelName;
use courtside::model::operation::{Operation, Patch, Reach};
use courtside::model::packed::Packed;
use courtside::model::revision::{Act, Target};
use courtside::object::{self, CallerId, Question, Reply, Timer};
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::rpc::{
    Address, Answer, ChannelCall, HistoryQuery, Outcome, Publish, PublishKey, ReadFrom, RelayName, Request, Response,
    Rules, Submission, VersionsQuery,
};

use support::changes::{Truth, text_of};
use support::disk::Disk;
use support::grant::grant;
use support::host::{Host, Input, LinkId, Output};
use support::random::Random;

/// What an unoptimized build runs in a quarter of a minute.
const SEEDS: u64 = 12;
const STEPS: usize = 30;
const BEGIN_MS: u64 = 1_800_000_000_000;
/// What may follow from one thing.
const WORK_MAX: usize = 1_000;

const TYPES: [&str; 5] = ["r:total.v1", "r:flag.v1", "r:distinct.v1", "r:unique.v1", "r:multiple.v1"];

struct World {
    host: Host,
    address: Address,
    rules: Rules,
    now_ms: u64,
    random: Random,
    last_id: u64,
    timers: Vec<Timer>,
    answers: BTreeMap<CallerId, Answer<Response>>,
    frames: Vec<String>,
    /// What was asked for, to be asked again.
    asked: Vec<Publish>,
    /// Ids of what was acknowledged.
    acknowledged: Vec<String>,
    /// What the log said at the end of the last step.
    truth: Rc<Truth>,
    /// The name of the channel's life, once it is known.
    epoch: Option<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let namespaces = serde_json::json!([{"id": "m", "mutableMessages": true}]);
        let app = serde_json::json!({"id": "demo", "keys": [{"name": "key", "secret": "local-only"}], "namespaces": namespaces});
        let app: Rc<App> = Rc::new(serde_json::from_value(app).expect("an app"));
        let channel = ChannelName::parse("m:chat").expect("a name");
        let address = Address { app: app.id().clone(), channel };
        let rules = Rules::on(&app, &address.channel);
        let disk = Disk::new(Random::new(seed));
        let host = Host::new(RelayName::of_channel(&address), app, Some(address.clone()), disk);
        World {
            host,
            address,
            rules,
            now_ms: BEGIN_MS,
            random: Random::new(seed ^ 0xc4a7),
            last_id: 0,
            timers: Vec::new(),
            answers: BTreeMap::new(),
            frames: Vec::new(),
            asked: Vec::new(),
            acknowledged: Vec::new(),
            truth: Rc::new(Truth::default()),
            epoch: None,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// One turn; `syncs` says whether what it wrote gets onto the disk.
    fn turn(&mut self, input: Input, syncs: bool) {
        let turned = self.host.turn(input, self.now_ms);
        // Time stands still meanwhile, so nothing is due to be reported.
        let due = turned.started.into_iter().filter(|(timer, _)| *timer != Timer::Report);
        self.timers.extend(due.map(|(timer, _)| timer));
        if turned.wrote && syncs {
            self.host.disk_mut().sync();
            self.host.synced();
        }
        for (_, output) in self.host.release() {
            match output {
                Output::Answer { id, reply: Reply::Response(answer) } => drop(self.answers.insert(id, answer)),
                Output::Frame { frame, .. } => {
                    if let Encoded::Text(text) = &*frame {
                        self.frames.push(text.clone());
                    }
                }
                Output::Ask(Question::App { ticket, .. }) => {
                    let answer = Err(Code::Internal.into());
                    self.turn(Input::Object(object::Input::AppAnswered { ticket, answer }), true);
                }
                _ => {}
            }
        }
    }

    /// Rings until nothing more rings.
    fn settle(&mut self) {
        for _ in 0..WORK_MAX {
            if self.timers.is_empty() {
                return;
            }
            let timer = self.timers.remove(0);
            self.turn(Input::Object(object::Input::Rang(timer)), true);
        }
        panic!("what follows from one thing has no end");
    }

    fn call(&mut self, request: Request, syncs: bool) -> CallerId {
        let caller = CallerId(self.fresh());
        let call = ChannelCall { to: self.address.clone(), rules: self.rules.clone(), request };
        self.turn(Input::Object(object::Input::Call { caller, call }), syncs);
        caller
    }

    /// A read, by a disk that works.
    fn ask(&mut self, request: Request) -> Answer<Response> {
        self.host.disk_mut().failures = 0;
        let caller = self.call(request, true);
        self.settle();
        self.answers.remove(&caller).expect("an answer")
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => self.forget(),
            1 => self.crash(),
            // A clock may be set back, though not by so much that what is kept is out of its time.
            2 => self.now_ms = (self.now_ms + self.random.below(4_000)).max(BEGIN_MS + 2_000) - 2_000,
            _ => self.now_ms += self.random.below(50),
        }
        let failures = if self.random.chance(100) { 200 } else { 0 };
        self.host.disk_mut().failures = failures;
        let mut sent = Vec::new();
        for _ in 0..self.random.between(1, 4) {
            let publish = self.publish();
            let id = publish.id();
            sent.push((self.call(Request::Publish(vec![publish]), true), id));
        }
        // Some lose the process with what was not yet on the disk.
        if self.random.chance(50) {
            self.crash();
        }
        self.settle();
        for (caller, id) in sent {
            if let Some(Ok(Response::Published(published))) = self.answers.remove(&caller)
                && let [Outcome::Accepted { .. }] = published.outcomes[..]
            {
                self.acknowledged.push(id);
            }
        }
        self.truth = Rc::new(Truth::of(self.host.disk().stored().rows.values().map(|row| &row.entries)));
    }

    fn forget(&mut self) {
        self.host.forget();
        self.timers.clear();
    }

    fn crash(&mut self) {
        self.host.crash();
        self.timers.clear();
    }

    /// Something new, or once more what was asked for.
    fn publish(&mut self) -> Publish {
        if let Some(again) = (!self.asked.is_empty() && self.random.chance(150)).then(|| self.random.pick(&self.asked))
        {
            return again.clone();
        }
        let number = self.fresh();
        let targets: Vec<Target> = self.truth.messages.keys().copied().collect();
        let content = match self.random.below(10) {
            2..=5 if !targets.is_empty() => self.operation(number, &targets),
            6..=9 if !targets.is_empty() => self.annotation(&targets),
            _ => {
                let messages = (0..self.random.between(1, 3)).map(|index| said(&format!("f{number}.{index};")));
                Submission::Messages(messages.collect())
            }
        };
        let key = PublishKey::Request(format!("publish{number}"));
        let publish = Publish { key, connection_id: None, by: Source::SERVER, content };
        self.asked.push(publish.clone());
        publish
    }

    fn serial(&mut self, targets: &[Target]) -> String {
        let target = *self.random.pick(targets);
        target.position.message_serial(&self.epoch(), target.place)
    }

    fn operation(&mut self, number: u64, targets: &[Target]) -> Submission {
        let act = *self.random.pick(&[Act::Update, Act::Delete, Act::Append, Act::Append]);
        let patch = Patch { data: Data::Text(format!("f{number};")), ..Patch::default() };
        let serial = self.serial(targets);
        let (client_id, description, metadata) = (Some("ann".into()), None, None);
        Submission::Operation(Box::new(Operation {
            act,
            serial,
            patch,
            client_id,
            description,
            metadata,
            reach: Reach::Any,
        }))
    }

    fn annotation(&mut self, targets: &[Target]) -> Submission {
        let message = self.serial(targets);
        let one = |random: &mut Random| Annotation {
            id: None,
            action: if random.chance(300) { AnnotationAction::Delete } else { AnnotationAction::Create },
            kind: (*random.pick(&TYPES)).into(),
            name: Some((*random.pick(&["a", "b", "c"])).into()),
            count: Some(random.between(1, 3)),
            client_id: Some(format!("client{}", random.below(4))),
            data: Data::Absent,
            encoding: None,
            extras: None,
        };
        let annotations = (0..self.random.between(1, 3)).map(|_| one(&mut self.random)).collect();
        Submission::Annotations { message, annotations }
    }

    /// The name of the channel's life, which its serials have.
    fn epoch(&mut self) -> String {
        if let Some(known) = &self.epoch {
            return known.clone();
        }
        match self.ask_history(true, 1) {
            Ok(Response::History(page)) => self.epoch.insert(page.epoch).clone(),
            other => panic!("no page: {other:?}"),
        }
    }

    fn ask_history(&mut self, forwards: bool, limit: usize) -> Answer<Response> {
        self.ask(Request::History(HistoryQuery { forwards, limit, ..HistoryQuery::default() }))
    }

    /// What is derived from the log equals what replaying it gives, and a deletion is a promise.
    fn check(&mut self) {
        let truth = self.truth.clone();
        for id in &self.acknowledged {
            assert_eq!(truth.ids.get(id), Some(&1), "{id} was acknowledged");
        }
        let twice: Vec<_> = truth.ids.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "done twice: {twice:?}");
        let epoch = self.epoch();
        for (target, message) in &truth.messages {
            let serial = target.position.message_serial(&epoch, target.place);
            let query = |latest, forwards| VersionsQuery {
                serial: serial.clone(),
                latest,
                forwards,
                limit: 100,
                ..VersionsQuery::default()
            };
            let now = page(self.ask(Request::Versions(query(true, true))));
            let entry = now.entries().expect("readable").pop().expect("a message");
            assert_eq!(text_of(&entry.messages()[0]), message.text, "{serial}");
            let told = entry.counts(0).cloned().unwrap_or_default();
            assert_eq!(message.tally.of_summary(&told), message.tally.counts(), "{serial}: {told:?}");
            for forwards in [true, false] {
                let versions = page(self.ask(Request::Versions(query(false, forwards))));
                truth.tells_nothing_deleted(&versions, "versions");
            }
        }
        self.check_pages(&truth);
        self.check_resumes(&truth, &epoch);
        self.check_sockets(&truth);
    }

    fn check_pages(&mut self, truth: &Truth) {
        let mut wanted: Vec<&str> = truth.messages.values().map(|message| message.text.as_str()).collect();
        wanted.sort_unstable();
        for forwards in [true, false] {
            let history = page(self.ask_history(forwards, 1_000));
            let entries = history.entries().expect("readable");
            let mut shown: Vec<&str> = entries.iter().flat_map(|entry| entry.messages()).map(text_of).collect();
            shown.sort_unstable();
            assert_eq!(shown, wanted, "history shows each message once, as it is");
        }
        truth.tells_nothing_deleted(&backlog(self.ask(Request::Read(ReadFrom::Last { messages: 100 }))), "rewind");
    }

    fn check_resumes(&mut self, truth: &Truth, epoch: &str) {
        for position in [truth.begins, *self.random.pick(&truth.positions)] {
            let from = ReadFrom::After { position, epoch: epoch.to_owned() };
            let resumed = backlog(self.ask(Request::Read(from)));
            truth.tells_nothing_deleted(&resumed, "resume");
            truth.tells_of_all(&resumed, position, "resume");
        }
    }

    /// The same over a socket that the channel's object holds itself.
    fn check_sockets(&mut self, truth: &Truth) {
        let link = LinkId(self.fresh());
        let filter = self.random.chance(300);
        let mut query = vec![("channel", "m:chat"), ("attach", "auto")];
        query.push(if filter { ("filter", "name == 'said'") } else { ("rewind", "100") });
        let query: Vec<(String, String)> = query.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let opening = Opening::from_query(grant(), &query, true);
        self.frames.clear();
        self.host.disk_mut().failures = 0;
        let fresh_id = format!("connection{}", link.0);
        self.turn(Input::Open { link, mode: None, opening, fresh_id }, true);
        self.settle();
        let said = self.frames.join("\n");
        let is_told = |fragment: &&String| said.contains(fragment.as_str());
        assert_eq!(truth.hidden().find(is_told), None, "a deleted text goes to a socket: {said}");
        self.turn(Input::Lost { link }, true);
        self.settle();
    }
}

fn said(text: &str) -> Message {
    Message {
        name: Some("said".into()),
        data: Data::Text(text.into()),
        client_id: Some("ann".into()),
        ..Message::default()
    }
}

fn page(answer: Answer<Response>) -> Packed {
    match answer {
        Ok(Response::History(page)) => page.entries,
        other => panic!("no page: {other:?}"),
    }
}

fn backlog(answer: Answer<Response>) -> Packed {
    match answer {
        Ok(Response::Backlog(backlog)) => backlog.entries,
        other => panic!("no backlog: {other:?}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// Gives how many deletions it came to.
fn run(seed: u64) -> usize {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
        if world.truth.messages.is_empty() {
            continue;
        }
        world.check();
    }
    world.truth.hidden().count()
}

#[test]
fn what_a_message_is_follows_from_the_log_and_what_was_deleted_is_told_to_nobody() {
    let (first, seeds) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("SEEDS").unwrap_or(SEEDS)),
    };
    let mut deleted = 0;
    for seed in first..first + seeds {
        eprintln!("SEED={seed}");
        deleted += run(seed);
    }
    assert!(deleted > 0, "texts were deleted");
}
