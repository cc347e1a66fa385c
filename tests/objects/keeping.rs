//! What a channel keeps of its objects: rules one by one, bounds, failed writes, and what is forgotten in time.

use courtside::base::pinned;
use courtside::channel::{Channel, Effect};
use courtside::error::{Code, ErrorInfo};
use courtside::limits::{
    OBJECT_PARTS_MAX, OBJECTS_GRACE_MS, OBJECTS_KEPT_MS, OBJECTS_PAGE_BYTES, OBJECTS_USED_STEP_MS, SPENT_AFTER_MS,
};
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use courtside::model::objects::parts::{Part, PartKey, Snapshot, State, Summary, Tree};
use courtside::model::objects::path::Path;
use courtside::rpc::Ticket;
use courtside::rpc::{ObjectsQuery, Outcome, Publish, PublishKey, Response, Rules, Submission, TreeQuery};

use crate::support::bench::{EPOCH, NOW_MS, address, rules, wake};
use crate::support::memory_store::MemoryStore;

fn proposal(object_id: &str, action: Action) -> Proposal {
    let operation = Operation { object_id: object_id.to_owned(), action };
    Proposal { message: ObjectMessage { id: None, client_id: None, extras: None, operation }, target: Target::Named }
}

fn at(path: &str, action: Action) -> Proposal {
    Proposal { target: Target::At(Path::parse(path).unwrap()), ..proposal("", action) }
}

fn set(id: &str, key: &str, value: Value) -> Proposal {
    proposal(id, Action::MapSet { key: key.to_owned(), value })
}

fn refer(id: &str, key: &str, to: &str) -> Proposal {
    set(id, key, Value::Object(to.to_owned()))
}

fn remove(id: &str, key: &str) -> Proposal {
    proposal(id, Action::MapRemove { key: key.to_owned() })
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

const NONCE: &str = "0123456789abcdef";

fn map_id(number: u64, now_ms: u64) -> String {
    id::make(Kind::Map, &number.to_string(), NONCE, now_ms)
}

/// A channel on a bench, and how late it is.
struct Bench {
    channel: Channel,
    store: MemoryStore,
    now_ms: u64,
    serial: u64,
}

impl Bench {
    fn new() -> Bench {
        let mut store = MemoryStore::default();
        Bench { channel: wake(&mut store), store, now_ms: NOW_MS, serial: 0 }
    }

    fn publish(&mut self, proposals: Vec<Proposal>) -> Result<Vec<String>, ErrorInfo> {
        self.serial += 1;
        self.publish_as(PublishKey::Serial(self.serial), proposals)
    }

    fn publish_as(&mut self, key: PublishKey, proposals: Vec<Proposal>) -> Result<Vec<String>, ErrorInfo> {
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

    fn done(&mut self, proposals: Vec<Proposal>) {
        self.publish(proposals).expect("it is done");
    }

    fn refused(&mut self, proposals: Vec<Proposal>) -> u32 {
        let before = self.store.objects.clone();
        let error = self.publish(proposals).expect_err("it is refused");
        assert_eq!(self.store.objects, before, "what is refused changes nothing");
        error.code
    }

    fn tree(&mut self, object_id: &str, path: &str) -> Result<Tree, u32> {
        let query = TreeQuery { object_id: object_id.to_owned(), path: Path::parse(path).unwrap() };
        self.channel.tree(&mut self.store, &query).map_err(|error| error.code)
    }

    fn count(&mut self, id: &str) -> f64 {
        match self.tree(id, "").expect("a counter").objects[0].object.state {
            State::Counter { count } => count,
            State::Map { .. } => panic!("a map"),
        }
    }

    /// The pages of a sync, while something else happens between them.
    fn pages(&mut self, mut between: impl FnMut(&mut Bench)) -> Vec<Vec<Snapshot>> {
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

    fn summary(&self) -> Summary {
        match pinned::decode(&self.store.objects[&PartKey::SUMMARY]) {
            Ok(Part::Summary(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// What the summary says is what is there.
    fn assert_counted(&self) {
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
    fn pass(&mut self, ms: u64) {
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

#[test]
fn what_cannot_be_is_refused_by_its_code_and_changes_nothing() {
    let mut bench = Bench::new();
    let counter = "counter:c@1";
    bench.done(vec![proposal(counter, Action::CounterInc(f64::MAX)), refer("root", "c", counter)]);
    let old = map_id(1, NOW_MS + 16 * 60 * 1_000);
    for (proposals, code) in [
        (vec![proposal(counter, Action::CounterInc(f64::MAX))], Code::BadObject),
        (vec![proposal(&old, Action::MapCreate(vec![]))], Code::BadObject),
        (vec![proposal("nonsense", Action::CounterInc(1.0))], Code::BadObject),
        (vec![at("nowhere", Action::CounterInc(1.0))], Code::NoSuchPath),
        (vec![at("c", Action::MapRemove { key: "k".into() })], Code::BadPath),
        (vec![at("c.deeper", Action::CounterInc(1.0))], Code::NoSuchPath),
        (vec![at("*.*", Action::CounterInc(1.0))], Code::NoSuchPath),
        (
            vec![Proposal { target: Target::Existing, ..proposal("counter:none@1", Action::CounterInc(1.0)) }],
            Code::NoSuchObject,
        ),
        // All of a publish or nothing.
        (vec![proposal(counter, Action::CounterInc(-1.0)), at("nowhere", Action::CounterInc(1.0))], Code::NoSuchPath),
    ] {
        assert_eq!(bench.refused(proposals.clone()), code.number(), "{proposals:?}");
    }
    assert_eq!(bench.count(counter), f64::MAX);
    assert_eq!(bench.tree("map:none@1", "").unwrap_err(), Code::NoSuchObject.number());
    assert_eq!(bench.tree("root", "none").unwrap_err(), Code::NoSuchPath.number());
}

#[test]
fn paths_lead_to_one_object_or_by_wildcards_to_all_of_a_kind() {
    let mut bench = Bench::new();
    let team = map_id(1, NOW_MS);
    bench.done(vec![
        proposal(&team, Action::MapCreate(vec![("name".into(), text("red"))])),
        refer("root", "team", &team),
        refer("root", "a.b", "counter:a@1"),
        proposal("counter:a@1", Action::CounterInc(1.0)),
        refer("root", "again", "counter:a@1"),
        refer("root", "dangling", "counter:none@1"),
        refer(&team, "goals", "counter:b@1"),
        proposal("counter:b@1", Action::CounterInc(1.0)),
    ]);
    assert_eq!(bench.publish(vec![at("a\\.b", Action::CounterInc(1.0))]), Ok(vec!["counter:a@1".into()]));
    assert_eq!(bench.publish(vec![at("*", Action::CounterInc(1.0))]), Ok(vec!["counter:a@1".into()]), "each once");
    assert_eq!(bench.publish(vec![at("*.goals", Action::CounterInc(1.0))]), Ok(vec!["counter:b@1".into()]));
    let named = Action::MapSet { key: "named".into(), value: Value::Bool(true) };
    assert_eq!(bench.publish(vec![at("*", named.clone())]), Ok(vec![team.clone()]));
    assert_eq!(bench.publish(vec![at("", named)]), Ok(vec!["root".to_owned()]));
    assert_eq!((bench.count("counter:a@1"), bench.count("counter:b@1")), (3.0, 2.0));
    // What was done before in the same publish counts.
    let more = vec![refer("root", "new", "counter:new@1"), proposal("counter:new@1", Action::CounterInc(1.0))];
    bench.done(more.into_iter().chain([at("new", Action::CounterInc(1.0))]).collect());
    assert_eq!(bench.count("counter:new@1"), 2.0);
}

#[test]
fn a_create_is_done_once_and_yields_to_what_came_before() {
    let mut bench = Bench::new();
    let id = map_id(1, NOW_MS);
    let create = || proposal(&id, Action::MapCreate(vec![("a".into(), text("first")), ("b".into(), text("first"))]));
    bench.done(vec![set(&id, "a", text("before")), remove(&id, "b"), create(), create()]);
    bench.done(vec![set(&id, "c", text("after")), create()]);
    let tree = bench.tree(&id, "").unwrap();
    let entries: Vec<_> = tree.objects[0].entries.iter().map(|(key, entry)| (key.as_str(), &entry.value)).collect();
    assert_eq!(entries, [("a", &Some(text("before"))), ("c", &Some(text("after")))]);
    let counter = id::make(Kind::Counter, "x", NONCE, NOW_MS);
    let create = || proposal(&counter, Action::CounterCreate(10.0));
    bench.done(vec![proposal(&counter, Action::CounterInc(0.5)), create(), create()]);
    assert_eq!(bench.count(&counter), 10.5);
    bench.assert_counted();
}

#[test]
fn a_publish_that_comes_again_is_not_done_again_whatever_was_forgotten() {
    let mut bench = Bench::new();
    let increment = || vec![proposal("counter:c@1", Action::CounterInc(1.0))];
    for key in [PublishKey::Serial(7), PublishKey::Request("request".into())] {
        for memory in 0..3 {
            let ids = bench.publish_as(key.clone(), increment());
            assert_eq!(ids, Ok(vec!["counter:c@1".to_owned()]), "{key:?} {memory}");
            if memory == 1 {
                bench.channel = wake(&mut bench.store);
            }
        }
    }
    assert_eq!(bench.count("counter:c@1"), 2.0);
    let another = vec![proposal("counter:c@1", Action::CounterInc(2.0))];
    let refused = bench.publish_as(PublishKey::Serial(7), another).unwrap_err();
    assert!(refused.is(Code::BadMessageId), "a number that was used for something else: {refused}");
}

#[test]
fn a_failed_write_leaves_objects_and_log_with_the_same_operations() {
    for kept in [false, true] {
        let mut bench = Bench::new();
        bench.done(vec![set("root", "a", text("before"))]);
        (bench.store.fail_append, bench.store.keep_failed) = (true, kept);
        let refused = bench.publish(vec![set("root", "a", text("lost?"))]).unwrap_err();
        assert!(refused.is(Code::InternalChannel));
        bench.done(vec![set("root", "b", text("after"))]);
        let expected = if kept { "lost?" } else { "before" };
        assert_eq!(bench.tree("root", "a").unwrap().top, text(expected));
        assert_eq!(bench.store.rows.len(), 2 + usize::from(kept));
        bench.assert_counted();
    }
}

#[test]
fn publishes_of_one_commit_see_what_those_before_them_did() {
    let mut bench = Bench::new();
    bench.done(vec![set("root", "old", text("x")), refer("root", "counter", "counter:c@1")]);
    bench.done(vec![proposal("counter:c@1", Action::CounterInc(1.0))]);
    let publishes = [
        vec![at("counter", Action::CounterInc(1.0))],
        vec![proposal("root", Action::MapClear)],
        vec![at("counter", Action::CounterInc(1.0))],
        vec![set("root", "old", text("new")), refer("root", "again", "counter:c@1")],
        vec![at("*", Action::CounterInc(1.0))],
    ];
    let publish = |(serial, proposals): (u64, Vec<Proposal>)| Publish {
        key: PublishKey::Serial(100 + serial),
        connection_id: Some("other".to_owned()),
        by: courtside::auth::Source::SERVER,
        content: Submission::Objects(proposals),
    };
    let publishes = (0..).zip(publishes).map(publish).collect();
    bench.channel.publish(Ticket(0), publishes).expect("there is room");
    let effects = bench.channel.commit(&mut bench.store, NOW_MS);
    let Some(Effect::Reply(_, Ok(Response::Published(published)))) = effects.first() else { panic!("{effects:?}") };
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Operated { .. });
    assert_eq!(published.outcomes.iter().map(is_done).collect::<Vec<_>>(), [true, true, false, true, true]);
    assert_eq!(bench.count("counter:c@1"), 3.0);
    assert_eq!(bench.tree("root", "").unwrap().objects[0].entries.len(), 2);
    bench.assert_counted();
}

#[test]
fn objects_are_bounded_in_bytes_and_parts() {
    let mut bench = Bench::new();
    let large = "x".repeat(65_000);
    let refused = (0..200).find_map(|key| bench.publish(vec![set("root", &format!("k{key}"), text(&large))]).err());
    assert!(refused.expect("a bound").is(Code::ObjectsLimit));
    bench.done(vec![set("root", "k0", text("")), remove("root", "k1")]);
    bench.done(vec![set("root", "room again", text("x"))]);
    bench.assert_counted();
    bench.done(vec![proposal("root", Action::MapClear)]);
    assert_eq!((bench.summary().bytes, bench.summary().parts), (0, 1));
}

#[test]
fn an_operation_on_a_large_map_reads_no_more_of_it_than_it_concerns() {
    let mut bench = Bench::new();
    for batch in 0..5 {
        bench.done((0..1_000).map(|key| set("root", &format!("{batch}/{key}"), text(""))).collect());
    }
    let almost = Summary { parts: OBJECT_PARTS_MAX - 1, ..bench.summary() };
    bench.store.objects.insert(PartKey::SUMMARY, pinned::encode(&Part::Summary(almost)));
    bench.channel = wake(&mut bench.store);
    let before = bench.store.rows_read;
    bench.done(vec![set("root", "0/0", text("y")), set("root", "the last", text("y"))]);
    assert!(bench.store.rows_read - before < 10);
    assert_eq!(bench.refused(vec![set("root", "one more", text("y"))]), Code::ObjectsLimit.number());
    bench.done(vec![set("root", "0/0", text("z"))]);
    let wide = bench.refused(vec![at("*", Action::MapRemove { key: "k".into() })]);
    assert_eq!(wide, Code::BadPath.number(), "a wildcard stands for a thousand keys at most");
}

/// SDKs for Java pass over a page without objects, and with it the end of the sync.
#[test]
fn the_last_page_has_something_though_what_was_left_has_gone() {
    let mut bench = Bench::new();
    let large = || text(&"x".repeat(OBJECTS_PAGE_BYTES / 2));
    bench.done(vec![set("root", "a", large())]);
    bench.done(vec![set("root", "b", large())]);
    let pages = bench.pages(|bench| bench.done(vec![proposal("root", Action::MapClear)]));
    let shown = |page: &Vec<Snapshot>| -> Vec<(String, usize)> {
        page.iter().map(|object| (object.id.clone(), object.entries.len())).collect()
    };
    let shown: Vec<_> = pages.iter().map(shown).collect();
    assert_eq!(shown, [[("root".to_owned(), 1)], [("root".to_owned(), 0)]]);
}

#[test]
fn pages_are_bounded_and_the_parts_of_a_map_are_of_one_moment() {
    let mut bench = Bench::new();
    let value = "x".repeat(3_000);
    bench.done(vec![proposal("counter:c@1", Action::CounterInc(1.0))]);
    for key in 0..100 {
        bench.done(vec![set("root", &format!("k{key:03}"), text(&value))]);
    }
    let mut changed = false;
    let pages = bench.pages(|bench| {
        if !std::mem::replace(&mut changed, true) {
            bench.done(vec![proposal("root", Action::MapClear), set("root", "k000", text("new"))]);
            bench.done(vec![set("root", "z", text("new"))]);
        }
    });
    assert!(pages.len() >= 2);
    let roots: Vec<&Snapshot> = pages.iter().flatten().filter(|object| object.id == "root").collect();
    assert!(roots.len() == pages.len(), "each page has a part of the root");
    assert!(roots.iter().all(|part| part.object == roots[0].object), "and says the same of it");
    for page in &pages {
        let of_entry = |(key, entry): &(String, courtside::model::objects::parts::Entry)| entry.size(key) as usize;
        let bytes: usize = page.iter().flat_map(|object| &object.entries).map(of_entry).sum();
        assert!(bytes <= OBJECTS_PAGE_BYTES, "{bytes}");
    }
    let largest = "x".repeat(65_536 - 1);
    let mut bench = Bench::new();
    bench.done(vec![set("root", "a", text(&largest))]);
    bench.done(vec![set("root", "b", text(&largest))]);
    bench.done(vec![set("root", "c", text(&largest))]);
    assert!(bench.pages(|_| {}).len() >= 3);
}

#[test]
fn what_nobody_can_reach_is_deleted_and_in_the_end_forgotten() {
    let mut bench = Bench::new();
    let (kept, lost) = (map_id(1, NOW_MS), map_id(2, NOW_MS));
    bench.done(vec![
        proposal(&kept, Action::MapCreate(vec![("self".into(), Value::Object(kept.clone()))])),
        proposal(&lost, Action::MapCreate(vec![("self".into(), Value::Object(lost.clone()))])),
        refer("root", "kept", &kept),
        refer("root", "lost", &lost),
        refer(&lost, "counter", "counter:c@1"),
        proposal("counter:c@1", Action::CounterInc(1.0)),
    ]);
    bench.pass(3 * OBJECTS_GRACE_MS);
    assert!(bench.tree(&lost, "").is_ok(), "what can be reached stays");
    bench.done(vec![remove("root", "lost")]);
    // Seen, and seen again after the grace.
    bench.pass(OBJECTS_GRACE_MS + 1);
    assert!(bench.tree(&lost, "").is_ok());
    bench.pass(OBJECTS_GRACE_MS + 1);
    assert_eq!(bench.tree(&lost, "").unwrap_err(), Code::ObjectGone.number());
    assert_eq!(bench.tree("counter:c@1", "").unwrap_err(), Code::ObjectGone.number());
    assert_eq!(bench.refused(vec![proposal("counter:c@1", Action::CounterInc(1.0))]), Code::ObjectDeleted.number());
    let row = bench.store.rows.values().last().expect("a row").entries.entries().unwrap();
    let deleted: Vec<_> = row.iter().flat_map(|entry| entry.objects()).map(|message| &message.operation).collect();
    assert!(deleted.iter().all(|operation| operation.action == Action::Delete) && deleted.len() == 2, "{deleted:?}");
    bench.assert_counted();
    bench.pass(2 * OBJECTS_GRACE_MS);
    assert_eq!(bench.tree(&lost, "").unwrap_err(), Code::NoSuchObject.number(), "forgotten");
    assert_eq!(bench.tree("root", "kept.self").unwrap().top, Value::Object(kept));
    bench.assert_counted();
    assert_eq!((bench.summary().parts, bench.summary().sweep_at_ms), (4, None), "and nothing is left to look for");
}

#[test]
fn a_sweep_that_fails_is_tried_again() {
    let mut bench = Bench::new();
    bench.done(vec![remove("root", "gone")]);
    bench.store.is_broken = true;
    bench.pass(OBJECTS_GRACE_MS + 1);
    bench.store.is_broken = false;
    bench.pass(1_000);
    // Only writes fail: it waits, though what is stored can be read.
    let due_ms = bench.channel.deadline().expect("a sweep");
    bench.store.fail_append = true;
    bench.now_ms = due_ms.max(bench.now_ms) + 60_000;
    bench.channel.tick(&mut bench.store, bench.now_ms);
    assert!(bench.tree("root", "").is_ok());
    assert!(bench.channel.deadline().is_some_and(|due_ms| due_ms > bench.now_ms), "not at once");
    bench.pass(OBJECTS_GRACE_MS + 1);
    assert_eq!(bench.store.objects.keys().filter(|key| key.key.is_some()).count(), 0);
    bench.assert_counted();
}

#[test]
fn objects_outlive_the_log_and_go_with_the_channel_when_nobody_used_them_for_long() {
    let mut bench = Bench::new();
    bench.now_ms = 100 * OBJECTS_KEPT_MS;
    bench.done(vec![set("root", "a", text("x"))]);
    bench.pass(OBJECTS_KEPT_MS - 1);
    assert!(!bench.channel.is_spent());
    bench.channel = wake(&mut bench.store);
    assert_eq!(bench.tree("root", "a").unwrap().top, text("x"));
    bench.pass(OBJECTS_USED_STEP_MS + 2 * SPENT_AFTER_MS);
    assert!(bench.channel.is_spent());
}

#[test]
fn a_namespace_says_how_long_objects_are_kept() {
    for objects_kept_ms in [OBJECTS_KEPT_MS / 90, 4 * OBJECTS_KEPT_MS] {
        let mut bench = with_rules(Rules { objects_kept_ms, ..rules() });
        bench.done(vec![set("root", "a", text("x"))]);
        bench.pass(objects_kept_ms - 1);
        assert!(!bench.channel.is_spent());
        bench.pass(OBJECTS_USED_STEP_MS + 2 * SPENT_AFTER_MS);
        assert!(bench.channel.is_spent());
    }
}

/// Long after the beginning of time.
fn with_rules(rules: Rules) -> Bench {
    let mut bench = Bench::new();
    let woken = Channel::wake(&mut bench.store, Some((&address(), &rules)), EPOCH, NOW_MS);
    bench.channel = woken.expect("the store works").expect("a channel");
    bench.now_ms = 100 * OBJECTS_KEPT_MS;
    bench
}

#[test]
fn where_messages_are_kept_longer_so_are_objects() {
    let mut bench = with_rules(Rules { retention_ms: 2 * OBJECTS_KEPT_MS, ..rules() });
    bench.done(vec![set("root", "a", text("x"))]);
    bench.pass(2 * OBJECTS_KEPT_MS - 1);
    assert!(!bench.channel.is_spent());
    assert_eq!(bench.tree("root", "a").unwrap().top, text("x"));
    bench.pass(3 * SPENT_AFTER_MS);
    assert!(bench.channel.is_spent());
}
