//! What a channel forgets of its objects in time, and how long it keeps the rest.

use courtside::channel::Channel;
use courtside::error::Code;
use courtside::limits::{OBJECTS_GRACE_MS, OBJECTS_KEPT_MS, OBJECTS_USED_STEP_MS, SPENT_AFTER_MS};
use courtside::model::objects::operation::{Action, Value};
use courtside::rpc::Rules;

use crate::bench::{Bench, map_id, proposal, refer, remove, set, text};
use crate::support::bench::{EPOCH, NOW_MS, address, rules, wake};

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

#[test]
fn counters_that_only_increments_made_are_forgotten_where_nobody_can_reach_them() {
    let mut bench = Bench::new();
    bench.done((0..100).map(|number| proposal(&format!("counter:{number}@1"), Action::CounterInc(1.0))).collect());
    bench.pass(3 * OBJECTS_GRACE_MS + 10_000);
    assert_eq!((bench.summary().parts, bench.summary().sweep_at_ms), (0, None));
}

/// What was in reach a moment ago is not deleted, though a sweep saw it out of reach long before.
#[test]
fn an_object_is_deleted_a_day_after_it_was_last_in_reach() {
    let (outer, inner) = (map_id(1, NOW_MS), map_id(2, NOW_MS));
    let moment_ms = 1_000;
    let clear = vec![remove("root", "k")];
    let part = vec![remove(&outer, "inner"), remove("root", "k")];
    let wipe = vec![proposal("root", Action::MapClear)];
    for leaves in [clear, part, wipe] {
        let mut bench = Bench::new();
        bench.done(vec![proposal(&outer, Action::MapCreate(vec![("inner".into(), Value::Object(inner.clone()))]))]);
        bench.done(vec![proposal(&inner, Action::MapCreate(vec![]))]);
        bench.pass(OBJECTS_GRACE_MS + moment_ms);
        bench.pass(OBJECTS_GRACE_MS - 10 * moment_ms);
        bench.done(vec![refer("root", "k", &outer)]);
        bench.done(leaves.clone());
        bench.pass(OBJECTS_GRACE_MS - moment_ms);
        for id in [&outer, &inner] {
            assert!(bench.tree(id, "").is_ok(), "{leaves:?}");
        }
        bench.pass(OBJECTS_GRACE_MS);
        for id in [&outer, &inner] {
            assert_eq!(bench.tree(id, "").unwrap_err(), Code::ObjectGone.number(), "{leaves:?}");
        }
        bench.assert_counted();
    }
}
