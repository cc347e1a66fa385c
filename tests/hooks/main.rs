//! Webhooks of a channel's object, on a disk that fails, in a process that is lost at any moment: what was acknowledged
//! reaches the receiver, in order, and whatever it gets again it knows by its id.

#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../support"]
mod support {
    pub mod app_store;
    pub mod bench;
    pub mod disk;
    pub mod grant;
    pub mod host;
    pub mod memory_store;
    pub mod objects;
    pub mod random;
}
mod made;
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;

use courtside::channel::Channel;
use courtside::error::Code;
use courtside::limits::{
    HOOK_BATCH_MAX_EVENTS, HOOK_BEHIND_MAX_MESSAGES, HOOK_DEAD_MAX_BYTES, HOOK_GIVE_UP_MS, HOOK_LEASE_MS,
    HOOK_RETRY_MAX_MS, RETENTION_MS,
};
use courtside::rpc::{HistoryQuery, HookStanding, LocalOccupancy, RelayName, Request, Rules};
use serde_json::json;
use support::bench;
use support::memory_store::MemoryStore;
use world::{Does, World, address, app};

fn often_fails(world: &mut World) -> Does {
    match world.random.below(10) {
        0..4 => Does::Takes,
        4..6 => Does::Answers(500),
        6 => Does::Answers(429),
        7 => Does::TakesInSilence,
        _ => Does::NeverGetsIt,
    }
}

/// What a receiver must be able to rely on, whatever happens.
fn check(world: &World, seed: u64) {
    let got = world.data();
    for data in &world.acknowledged {
        assert!(got.contains(data), "seed {seed}: {data} was acknowledged and never came");
    }
    let mut by_id: BTreeMap<&String, &String> = BTreeMap::new();
    for (id, data) in &world.got {
        assert_eq!(*by_id.entry(id).or_insert(data), data, "seed {seed}: one id, one event");
    }
    let mut ids: Vec<&String> = Vec::new();
    for (id, _) in world.got.iter().filter(|(id, _)| !id.is_empty()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: they come in order at first: {ids:?}");
}

#[test]
fn whatever_was_acknowledged_comes_though_everything_fails() {
    let modes = [
        json!({}),
        json!({"requestMode": "single"}),
        json!({"requestMode": "single", "enveloped": false}),
        json!({"events": ["channel.message", "channel.lifecycle"]}),
    ];
    let mut acknowledged = 0;
    for seed in 0..60 {
        let mut world = World::new(seed, &modes[(seed % 4) as usize], often_fails);
        for number in 0..60 {
            match world.random.below(14) {
                0 => {
                    world.host.crash();
                }
                1 => {
                    world.host.forget();
                }
                2 => {
                    let failures = *world.random.pick(&[0, 0, 30, 200]);
                    world.host.disk_mut().failures = failures;
                }
                3 => {
                    world.sync();
                    world.release();
                }
                4 => {
                    let ms = *world.random.pick(&[50, 5_000, 60_000, RETENTION_MS * 2]);
                    world.run_for(ms);
                }
                _ => world.publish(format!("{number}")),
            }
        }
        world.settle();
        check(&world, seed);
        acknowledged += world.acknowledged.len();
    }
    assert!(acknowledged > 500, "{acknowledged}: there was something to tell");
}

#[test]
fn a_receiver_that_is_away_for_hours_misses_nothing_though_nobody_else_could_read_it_any_more() {
    let mut world = World::new(1, &json!({}), |_| Does::Answers(503));
    for number in 0..50 {
        world.publish(format!("{number}"));
        world.run_for(10 * 60 * 1_000);
    }
    assert_eq!(world.acknowledged.len(), 50);
    let kept = world.host.disk().stored().rows.len();
    assert_eq!(kept, 50, "rows wait for the webhook");
    let row = world.host.disk().stored().hooks.as_ref().unwrap().len();
    assert!(row < 512, "how far it is takes {row} bytes, however much waits");
    let asked = world.posts;
    assert!(asked < 100, "{asked} tries in {} hours", 50 / 6);
    assert!(matches!(world.reports[0].standings[..], [(_, HookStanding::Failing { .. })]));
    world.settle();
    assert_eq!(world.data(), world.acknowledged);
    assert_eq!(world.host.disk().stored().rows.len(), 1, "and then go");
    let last = world.reports.iter().rev().find_map(|report| report.standings.first()).unwrap();
    assert_eq!(last.1, HookStanding::Fine);
}

#[test]
fn events_of_yesterday_are_given_up_and_counted() {
    let mut world = World::new(2, &json!({}), |_| Does::Answers(500));
    world.publish("old".to_owned());
    world.run_for(HOOK_GIVE_UP_MS + 2 * HOOK_RETRY_MAX_MS);
    world.publish("new".to_owned());
    world.settle();
    assert_eq!(world.data(), ["new"]);
    let dead: Vec<_> = world.reports.iter().flat_map(|report| &report.dead).collect();
    assert_eq!((dead[0].count, dead[0].hook.as_str(), dead[0].error.code), (1, "log", 70002));
    assert_eq!(dead[0].first, dead[0].last);
    let kept: Vec<serde_json::Value> = serde_json::from_str(&world.bodies[0]).expect("items");
    assert_eq!(
        (kept.len(), &kept[0]["id"], &kept[0]["data"]["messages"][0]["data"]),
        (1, &json!(dead[0].first), &json!("old"))
    );
}

#[test]
fn of_many_events_that_are_given_up_the_first_are_kept() {
    let mut world = World::new(4, &json!({}), |_| Does::Answers(400));
    for number in 0..200 {
        world.publish(format!("{number}"));
    }
    world.run_for(60 * 60 * 1_000);
    let count: u64 = world.reports.iter().flat_map(|report| &report.dead).map(|dead| dead.count).sum();
    assert_eq!(count, 200);
    let kept: Vec<Vec<serde_json::Value>> =
        world.bodies.iter().map(|body| serde_json::from_str(body).expect("items")).collect();
    assert!(world.bodies.iter().all(|body| body.len() <= HOOK_DEAD_MAX_BYTES));
    assert!(kept.iter().any(|items| (5..100).contains(&items.len())), "{kept:?}");
}

#[test]
fn a_receiver_that_asks_for_a_pause_gets_it() {
    let mut world = World::new(11, &json!({}), |_| Does::Asks("300"));
    world.publish("a".to_owned());
    world.run_for(299_000);
    world.does = |_| Does::Takes;
    world.publish("b".to_owned());
    assert_eq!(world.posts, 1, "also for what comes meanwhile");
    world.run_for(2_000);
    assert_eq!(world.data(), ["a", "b"]);
}

#[test]
fn a_receiver_that_is_gone_is_not_asked_again() {
    let mut world = World::new(3, &json!({}), |_| Does::Answers(410));
    world.publish("a".to_owned());
    world.run_for(60_000);
    world.does = |_| Does::Takes;
    world.publish("b".to_owned());
    world.host.forget();
    world.publish("c".to_owned());
    world.run_for(HOOK_GIVE_UP_MS);
    assert_eq!((world.posts, world.got.len()), (1, 0));
    assert!(
        matches!(&world.reports[0].standings[..], [(_, HookStanding::Ended { error, .. })] if error.is(Code::WebhookEnded))
    );
    assert!(world.host.disk().stored().rows.len() <= 1, "nothing waits for it");

    world.app = app(&json!({"secret": "another-secret"}));
    world.publish("d".to_owned());
    world.settle();
    assert_eq!(world.data(), ["d"]);
}

/// The deployment's configuration changes, and with it what the channel's own object has.
#[test]
fn a_receiver_that_is_gone_gets_what_comes_first_once_its_webhook_is_another() {
    let mut world = World::new(3, &json!({}), |_| Does::Answers(410));
    world.publish("a".to_owned());
    world.run_for(60_000);
    world.does = |_| Does::Takes;
    world.app = app(&json!({"events": ["channel.message", "channel.presence"]}));
    world.host.app = world.app.clone();
    world.host.forget();
    world.publish("b".to_owned());
    world.settle();
    assert_eq!(world.data(), ["b"]);
}

#[test]
fn what_comes_together_goes_together_up_to_the_bound() {
    let mut world = World::new(4, &json!({}), |_| Does::Takes);
    world.does = |_| Does::Answers(503);
    let count = HOOK_BATCH_MAX_EVENTS + 1;
    (0..count).for_each(|number| world.publish(number.to_string()));
    world.settle();
    assert_eq!(world.data().len(), count);
    assert_eq!(world.requests.len(), 2, "{:?}", world.requests.len());
    assert_eq!(world.requests[0]["items"].as_array().unwrap().len(), HOOK_BATCH_MAX_EVENTS);
}

#[test]
fn what_goes_one_by_one_waits_for_the_receiver_alone() {
    let mut world = World::new(12, &json!({"requestMode": "single"}), |_| Does::Takes);
    (0..10).for_each(|number| world.publish(number.to_string()));
    // It answers in 20 ms.
    world.run_for(10 * 20);
    assert_eq!(world.data(), world.acknowledged);
}

#[test]
fn a_clock_that_is_set_back_holds_up_no_events() {
    let mut world = World::new(13, &json!({}), |_| Does::Takes);
    world.publish("a".to_owned());
    world.run_for(50);
    assert_eq!(world.data(), ["a"]);
    world.set_back(HOOK_RETRY_MAX_MS);
    world.publish("b".to_owned());
    world.run_for(50);
    assert_eq!(world.data(), ["a", "b"]);
    // Nor is a request that is under way made again.
    world.publish("c".to_owned());
    world.set_back(HOOK_RETRY_MAX_MS);
    world.run_for(HOOK_RETRY_MAX_MS);
    assert_eq!((world.data().len(), world.posts), (3, 3));
}

/// By less than the longest pause that a receiver can ask for, and whether or not the object remembers the time.
#[test]
fn a_clock_that_is_set_back_makes_no_pause_longer() {
    for forgets in [false, true] {
        let mut world = World::new(13, &json!({}), |_| Does::Answers(503));
        world.publish("a".to_owned());
        world.run_for(50);
        world.does = |_| Does::Takes;
        world.set_back(HOOK_RETRY_MAX_MS);
        if forgets {
            world.host.forget();
        }
        world.publish("b".to_owned());
        world.run_for(50);
        assert_eq!(world.data(), ["a", "b"]);
    }
}

#[test]
fn a_webhook_costs_a_publish_nothing_and_a_request_one_row() {
    let mut world = World::new(5, &json!({}), |_| Does::Takes);
    world.publish("a".to_owned());
    world.settle();
    let before = world.host.disk().stored().hooks.clone();
    let request = |world: &mut World| world.host.disk().stored().hooks.clone();
    world.does = |_| Does::NeverGetsIt;
    world.publish("b".to_owned());
    assert_eq!(request(&mut world), before, "nothing is stored of what is sent");
    world.settle();
    assert_ne!(request(&mut world), before);
}

#[test]
fn events_that_a_webhook_does_not_want_wake_nobody() {
    let mut world = World::new(6, &json!({"events": ["channel.presence"]}), |_| Does::Takes);
    (0..10).for_each(|number| world.publish(number.to_string()));
    world.run_for(RETENTION_MS * 3);
    assert_eq!(world.posts, 0);
    assert_eq!(world.host.disk().stored().rows.len(), 1, "no row waits for it");
}

#[test]
fn a_crash_does_not_keep_from_the_receiver_that_everybody_has_gone() {
    let mut world = World::new(7, &json!({"events": ["channel.lifecycle", "channel.occupancy"]}), |_| Does::Takes);
    let relay = RelayName::shard(&address().app, 0);
    let mut local_occupancy = LocalOccupancy::default();
    local_occupancy.here.count(courtside::model::flags::Modes::NONE, 1);
    world.attached = 1;
    world.callers += 1;
    world.call(Request::Subscribe(relay, local_occupancy));
    world.run_for(5_000);
    assert_eq!(world.heard, ["channel.opened", "channel.occupied"]);
    world.attached = 0;
    world.host.crash();
    world.run_for(10 * 60 * 1_000);
    assert_eq!(world.heard, ["channel.opened", "channel.occupied", "channel.vacated", "channel.closed"]);
}

#[test]
fn a_request_whose_object_ends_is_made_again_when_its_lease_is_over() {
    let mut world = World::new(8, &json!({}), |_| Does::TakesInSilence);
    world.publish("a".to_owned());
    world.does = |_| Does::Takes;
    world.host.crash();
    world.run_for(HOOK_LEASE_MS);
    let ids: Vec<&String> = world.got.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), ids[0]), (2, ids[1]), "twice, and known by its id");
}

#[test]
fn an_app_that_is_no_more_sends_nothing() {
    let mut world = World::new(9, &json!({}), |_| Does::Answers(503));
    world.publish("a".to_owned());
    world.is_deleted = true;
    // As for an app that was made at run time: the deployment knows nothing of it.
    world.host.app = Rc::new(serde_json::from_value(json!({"id": "other", "keys": [], "namespaces": []})).unwrap());
    world.host.forget();
    world.run_for(10 * 60 * 1_000);
    let posts = world.posts;
    world.run_for(HOOK_GIVE_UP_MS);
    assert_eq!(world.posts, posts);
    assert!(world.host.disk().stored().rows.len() <= 1, "nothing waits for it");
}

/// As many as a log holds, and some more: those that are too many are given up, and counted.
#[test]
fn a_million_events_wait_in_bounded_storage() {
    let mut store = MemoryStore::default();
    let rules = Rules { hooks: app(&json!({})).hooks(&address().channel), ..bench::rules() };
    let wake = |store: &mut MemoryStore| {
        Channel::wake(store, Some((&address(), &rules)), "life", bench::NOW_MS).expect("it works").expect("a channel")
    };
    let mut channel = wake(&mut store);
    for serial in 0..5 {
        bench::publish(&mut channel, &mut store, vec![bench::numbered("a", serial)]);
    }
    // As if each row held a third of what may wait.
    for (messages, row) in (0..).step_by(HOOK_BEHIND_MAX_MESSAGES as usize / 3).zip(store.rows.values_mut()) {
        row.totals.messages = messages;
    }
    let before = store.hooks.as_ref().expect("a row").len();
    let mut channel = wake(&mut store);
    let due_ms = channel.deadline().expect("rows are to go").max(bench::NOW_MS) + 2 * RETENTION_MS;
    channel.tick(&mut store, due_ms);
    assert_eq!(store.rows.len(), 4, "three that are not too many, and the newest");
    let report = channel.hook_news(due_ms).expect("news").report;
    let [dead] = &report.dead[..] else { panic!("{report:?}") };
    assert_eq!((dead.count, dead.error.code), (HOOK_BEHIND_MAX_MESSAGES / 3, 70003));
    assert!(store.hooks.expect("a row").len() < before + 300, "however many wait");
}

/// Somebody listens, so the channel stays; nobody publishes any more.
#[test]
fn what_waited_for_a_webhook_that_is_taken_away_goes() {
    let mut world = World::new(10, &json!({}), |_| Does::Answers(503));
    world.attached = 1;
    world.call(Request::Subscribe(RelayName::shard(world.app.id(), 0), LocalOccupancy::default()));
    for number in 0..20 {
        world.publish(number.to_string());
        world.run_for(RETENTION_MS);
    }
    assert_eq!(world.host.disk().stored().rows.len(), 20, "they wait");
    let namespaces = json!([{"id": "room", "mutableMessages": false}]);
    world.app = Rc::new(serde_json::from_value(json!({"id": "demo", "keys": [], "namespaces": namespaces})).unwrap());
    // A reader brings the rules along, and the channel's own object has them by then.
    world.host.app = world.app.clone();
    world.host.forget();
    world.call(Request::History(HistoryQuery { limit: 1, ..HistoryQuery::default() }));
    world.run_for(2 * RETENTION_MS);
    assert_eq!(world.host.disk().stored().rows.len(), 1, "the newest, which holds the tip");
}

/// Of a publish one message was taken when it was purged; of another, one was under way.
#[test]
fn what_comes_after_a_purge_is_sent_from_its_first_message_on() {
    let mode = json!({"requestMode": "single", "enveloped": false});
    for under_way in [false, true] {
        let mut world = World::new(14, &mode, |world| if world.posts == 1 { Does::Takes } else { Does::Answers(503) });
        world.publish_all(&["a", "b", "c"]);
        world.run_for(if under_way { 10 } else { 1_000 });
        assert_eq!(world.data(), ["a"]);
        world.call(Request::Purge(None));
        world.publish_all(&["d", "e", "f"]);
        world.settle();
        assert_eq!(world.data(), ["a", "d", "e", "f"], "under way: {under_way}");
    }
}

/// The platform has not said yet what alarm is set, so the next memory has none but the one that was set at once.
#[test]
fn what_is_acknowledged_by_an_object_that_is_killed_at_once_comes_though_nobody_calls() {
    let mut world = World::new(15, &json!({}), |_| Does::NeverGetsIt);
    world.host.holds_alarm = true;
    world.publish("a".to_owned());
    assert_eq!(world.acknowledged, ["a"]);
    world.host.crash();
    world.does = |_| Does::Takes;
    world.run_for(HOOK_LEASE_MS);
    assert_eq!(world.data(), ["a"]);
}
