//! Clocks that are set back or forward: nothing waits longer for that than it would have, and nobody leaves for it.

use courtside::limits::{GHOST_MAX_MS, GRACE_MS, OCCUPANCY_INTERVAL_MS, PROBE_ANSWER_MS, PROBE_INTERVAL_MS};
use serde_json::{Value, json};

use crate::world::{Client, World};

const HOUR_MS: u64 = 60 * 60 * 1_000;

/// A client of one relay, who entered, and one of another relay, who watches.
fn room() -> (World, Client, Client) {
    let mut world = World::new(2);
    let watcher = world.connect(1, "watcher");
    world.attach(watcher);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.act(ann, 0, 2, json!({}));
    world.take(watcher);
    (world, ann, watcher)
}

#[test]
fn who_is_lost_leaves_in_time_when_the_clock_is_set_back() {
    let (mut world, ann, _) = room();
    world.lose(ann);
    world.objects.set_back(HOUR_MS);
    // Whatever comes next shows it the clock.
    world.count();
    assert_eq!(world.present(), ["ann"]);
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn so_does_who_was_on_a_relay_that_died() {
    let (mut world, ..) = room();
    world.pass(HOUR_MS);
    world.kill_relay(0);
    world.pass(PROBE_INTERVAL_MS);
    world.objects.set_back(HOUR_MS);
    // Whatever comes next shows it the clock.
    world.count();
    assert_eq!(world.present(), ["ann"]);
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn who_is_there_stays_when_the_clock_is_set_back() {
    let (mut world, _, watcher) = room();
    world.pass(HOUR_MS);
    world.take(watcher);
    world.objects.lost_probes = true;
    world.pass(PROBE_INTERVAL_MS);
    world.objects.lost_probes = false;
    world.objects.set_back(HOUR_MS / 2);
    world.count();
    assert_eq!(world.present(), ["ann"]);
    world.pass(10 * GRACE_MS);
    assert_eq!((world.present(), world.events(watcher)), (vec!["ann".to_owned()], Vec::new()));
}

/// A relay that was asked a moment before has not been silent for an hour.
#[test]
fn who_is_there_stays_when_the_clock_is_set_forward() {
    let (mut world, _, watcher) = room();
    world.pass(HOUR_MS);
    world.take(watcher);
    world.objects.lost_probes = true;
    world.pass(PROBE_INTERVAL_MS + PROBE_ANSWER_MS - 1);
    world.objects.lost_probes = false;
    world.objects.now_ms += HOUR_MS;
    world.pass(10 * GRACE_MS);
    assert_eq!((world.present(), world.events(watcher)), (vec!["ann".to_owned()], Vec::new()));
}

#[test]
fn who_listens_is_told_in_time_when_the_clock_is_set_back() {
    let mut world = World::new(2);
    let listener = world.connect(0, "ann");
    world.send(listener, json!({"action": 10, "channel": "room", "params": {"occupancy": "metrics"}}));
    let other = world.connect(1, "bob");
    world.attach(other);
    world.pass(HOUR_MS);
    world.take(listener);
    let connections = |world: &mut World| {
        let told = world.told(listener).pop().expect("it was told");
        serde_json::from_str::<Value>(&told).unwrap()["metrics"]["connections"].as_u64().unwrap()
    };
    // One more is told at pace: here, and at the channel.
    let another = world.connect(1, "carol");
    world.attach(another);
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    assert_eq!(connections(&mut world), 3);
    world.objects.set_back(HOUR_MS);
    let last = world.connect(1, "dora");
    world.attach(last);
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    assert_eq!(connections(&mut world), 4);
}
