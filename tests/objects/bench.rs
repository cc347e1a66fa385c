//! A channel with objects on a bench: operations are published to it, and time passes.

use courtside::base::pinned;
use courtside::channel::{Channel, Effect};
use courtside::error::ErrorInfo;
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use courtside::model::objects::parts::{Part, PartKey, Snapshot, State, Summary, Tree};
use courtside::model::objects::path::Path;
use courtside::rpc::Ticket;
use courtside::rpc::{ObjectsQuery, Outcome, Publish, PublishKey, Response, Submission, TreeQuery};

use crate::support::bench::{NOW_MS, wake};
use crate::support::memory_store::MemoryStore;

pub fn proposal(object_id: &str, action: Action) -> Proposal {
    let operation = Operation { object_id: object_id.to_owned(), action };
    Proposal { message: ObjectMessage { id: None, client_id: None, extras: None, operation }, target: Target::Named }
}

pub fn at(path: &str, action: Action) -> Proposal {
    Proposal { target: Target::At(Path::parse(path).unwrap()), ..proposal("", action) }
}

pub fn set(id: &str, key: &str, value: Value) -> Proposal {
    proposal(id, Action::MapSet { key: key.to_owned(), value })
}

pub fn refer(id: &str, key: &str, to: &str) -> Proposal {
    set(id, key, Value::Object(to.to_owned()))
}

pub fn remove(id: &str, key: &str) -> Proposal {
    proposal(id, Action::MapRemove { key: key.to_owned() })
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub const NONCE: &str = "0123456789abcdef";

pub fn map_id(number: u64, now_ms: u64) -> String {
    id::make(Kind::Map, &number.to_string(), NONCE, now_ms)
}

/// A channel on a bench, and how late it is.
pub struct Bench {
    pub channel: Channel,
    pub store: MemoryStore,
    pub now_ms: u64,
    pub serial: u64,
}

impl Bench {
    pub fn new() -> Bench {
        let mut store = MemoryStore::default();
        Bench { channel: wake(&mut store), store, now_ms: NOW_MS, serial: 0 }
    }

    pub fn publish(&mut self, proposals: Vec<Proposal>) -> Result<Vec<String>, ErrorInfo> {
        self.serial += 1;
        self.publish_as(PublishKey::Serial(self.serial), proposals)
    }

    pub fn publish_as(&mut self, key: PublishKey, proposals: Vec<Proposal>) -> Result<Vec<String>, ErrorInfo> {
        let content = Submission::Objects(proposals);
        let publish =
            Publish { key, connection_id: Some("conn".to_owned()), by: courtside::auth::Source::SERVER, content };
        self.channel.publish(Ticket(0), vec![publish]).expect("there is room");
        let answered = |effect| match effect {
            Effect::Reply(_, answer) => Some(answer),
            _ => None,
        };
        let effects = self.channel.commit(&mut self.store, self.now_ms);
        match effects.into_iter().find_map(answered).expect("an answer")? {
            Response::Published(published) => match published.outcomes.into_iter().next().expect("an outcome") {
                Outcome::Operated { object_ids, .. } => Ok(object_ids),
                Outcome::Refused(error) => Err(error),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub fn done(&mut self, proposals: Vec<Proposal>) {
        self.publish(proposals).expect("it is done");
    }

    pub fn refused(&mut self, proposals: Vec<Proposal>) -> u32 {
        let before = self.store.objects.clone();
        let error = self.publish(proposals).expect_err("it is refused");
        assert_eq!(self.store.objects, before, "what is refused changes nothing");
        error.code
    }

    pub fn tree(&mut self, object_id: &str, path: &str) -> Result<Tree, u32> {
        let query = TreeQuery { object_id: object_id.to_owned(), path: Path::parse(path).unwrap() };
        self.channel.tree(&mut self.store, &query).map_err(|error| error.code)
    }

    pub fn count(&mut self, id: &str) -> f64 {
        match self.tree(id, "").expect("a counter").objects[0].object.state {
            State::Counter { count } => count,
            State::Map { .. } => panic!("a map"),
        }
    }

    /// The pages of a sync, while something else happens between them.
    pub fn pages(&mut self, mut between: impl FnMut(&mut Bench)) -> Vec<Vec<Snapshot>> {
        let (mut pages, mut query) = (Vec::new(), ObjectsQuery::default());
        loop {
            let page = self.channel.objects(&mut self.store, &query).expect("a page");
            pages.push(page.objects);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return pages,
            }
            between(self);
        }
    }

    pub fn summary(&self) -> Summary {
        match pinned::decode(&self.store.objects[&PartKey::SUMMARY]) {
            Ok(Part::Summary(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// What the summary says is what is there.
    pub fn assert_counted(&self) {
        let (mut bytes, mut parts) = (0, 0);
        for (key, part) in self.store.objects.iter().filter(|(key, _)| **key != PartKey::SUMMARY) {
            parts += 1;
            if let (Some(name), Ok(Part::Entry(entry))) = (&key.key, pinned::decode::<Part>(part)) {
                bytes += entry.size(name);
            }
        }
        let summary = self.summary();
        assert_eq!((summary.bytes, summary.parts), (bytes, parts));
    }

    /// Rings when the channel asks for it, until so much later.
    pub fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        for _ in 0..10_000 {
            let Some(due_ms) = self.channel.deadline().filter(|due_ms| *due_ms <= until_ms) else {
                self.now_ms = until_ms;
                return;
            };
            self.now_ms = self.now_ms.max(due_ms);
            self.channel.tick(&mut self.store, self.now_ms);
            if self.channel.is_spent() {
                return;
            }
        }
        panic!("the channel keeps itself busy");
    }
}
