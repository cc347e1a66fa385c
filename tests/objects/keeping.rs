//! What a channel keeps of its objects: rules one by one, bounds, failed writes.

use courtside::base::pinned;
use courtside::channel::Effect;
use courtside::error::Code;
use courtside::limits::{OBJECT_PARTS_MAX, OBJECTS_PAGE_BYTES};
use courtside::model::objects::id;
use courtside::model::objects::operation::{Action, Kind, Proposal, Target, Value};
use courtside::model::objects::parts::{Part, PartKey, Snapshot, Summary};
use courtside::rpc::Ticket;
use courtside::rpc::{Outcome, Publish, PublishKey, Response, Submission};

use crate::bench::{Bench, NONCE, at, map_id, proposal, refer, remove, set, text};
use crate::support::bench::{NOW_MS, wake};

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

/// A value is logged once for each object that it is put into.
#[test]
fn a_publish_is_as_large_as_what_its_paths_make_of_it() {
    let mut bench = Bench::new();
    let maps = (0..40).map(|map| refer("root", &format!("m{map}"), &map_id(map, NOW_MS)));
    let creates = (0..40).map(|map| proposal(&map_id(map, NOW_MS), Action::MapCreate(vec![])));
    bench.done(creates.chain(maps).collect());
    let everywhere = |bytes: usize| at("*", Action::MapSet { key: "k".into(), value: text(&"x".repeat(bytes)) });
    assert_eq!(bench.refused(vec![everywhere(60_000)]), Code::TooLarge.number());
    assert_eq!(bench.refused(vec![everywhere(820), everywhere(820)]), Code::TooLarge.number(), "together");
    bench.done(vec![everywhere(1_600)]);
    bench.assert_counted();
}

#[test]
fn paths_read_no_more_than_a_bounded_number_of_bytes() {
    let mut bench = Bench::new();
    for key in 0..90 {
        bench.done(vec![set("root", &format!("k{key}"), text(&"x".repeat(60_000)))]);
    }
    let everywhere = || at("*", Action::CounterInc(1.0));
    bench.done(vec![refer("root", "c", "counter:c@1"), proposal("counter:c@1", Action::CounterInc(1.0))]);
    bench.done(vec![everywhere()]);
    assert_eq!(bench.refused(vec![everywhere(), everywhere()]), Code::TooManyMessages.number());
    let refused = (0..4).find_map(|_| bench.publish(vec![everywhere()]).err());
    assert!(refused.expect("a bound").is(Code::PublishRateLimited), "and no more than that in a while");
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
