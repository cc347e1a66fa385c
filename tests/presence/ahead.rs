//! Presence that a resumed connection says again before it attaches again, as many SDKs do.

use courtside::limits::{CHANNELS_PER_CONNECTION_MAX, GHOST_MAX_MS, GRACE_MS};
use serde_json::json;

use crate::world::{Client, World};

/// A watcher at another relay, and a client that entered unless it is `late`, lost its transport before it knew, and
/// has resumed and not attached.
fn resumed(late: bool) -> (World, Client, Client) {
    let mut world = World::new(2);
    let (watcher, ann) = (world.connect(1, "watcher"), world.connect(0, "ann"));
    [watcher, ann].into_iter().for_each(|client| world.attach(client));
    if !late {
        world.act(ann, 0, 2, json!({"data": "here"}));
    }
    let key = world.key(ann);
    world.lose(ann);
    let ann = world.resume(ann, "ann", &key);
    world.take(watcher);
    (world, ann, watcher)
}

#[test]
fn what_had_not_arrived_enters() {
    let (mut world, ann, watcher) = resumed(true);
    world.act(ann, 0, 2, json!({"data": "here"}));
    assert_eq!(world.outcome(ann), 0);
    assert_eq!(world.events(watcher), ["enter ann: here"]);
    world.attach(ann);
    world.pass(10 * GRACE_MS);
    assert_eq!(world.present(), ["ann"]);
    // ... and is known to be there when it is lost.
    world.lose(ann);
    world.pass(GRACE_MS);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn what_had_arrived_is_acknowledged_and_says_nothing() {
    let (mut world, ann, watcher) = resumed(false);
    world.act(ann, 0, 2, json!({"data": "here"}));
    assert_eq!(world.outcome(ann), 0);
    assert_eq!(world.events(watcher), [""; 0]);
    world.attach(ann);
    world.pass(10 * GRACE_MS);
    assert_eq!(world.present(), ["ann"]);
}

/// It resumes at the end of its grace and attaches after that, when what it says again was acknowledged.
#[test]
fn who_says_again_that_it_is_there_within_its_grace_stays() {
    let (mut world, ann, watcher) = resumed(true);
    world.attach(ann);
    world.act(ann, 0, 2, json!({"data": "here"}));
    let key = world.key(ann);
    world.lose(ann);
    world.pass(GRACE_MS - 500);
    let ann = world.resume(ann, "ann", &key);
    world.act(ann, 0, 2, json!({"data": "here"}));
    assert_eq!(world.outcome(ann), 0);
    world.pass(1_000);
    world.attach(ann);
    world.pass(10 * GRACE_MS);
    assert_eq!((world.events(watcher), world.present()), (vec!["enter ann: here".into()], vec!["ann".into()]));
}

/// Its members have left when it says so again: they stay away until it enters anew.
#[test]
fn who_says_again_too_late_that_it_was_there_has_left() {
    let (mut world, ann, watcher) = resumed(true);
    world.attach(ann);
    world.act(ann, 0, 2, json!({}));
    let key = world.key(ann);
    world.lose(ann);
    world.pass(GRACE_MS + 1_000);
    let ann = world.resume(ann, "ann", &key);
    world.act(ann, 0, 2, json!({}));
    assert_eq!(world.outcome(ann), 0);
    world.attach(ann);
    assert_eq!(world.events(watcher), ["enter ann", "leave ann"]);
    world.act(ann, 1, 2, json!({}));
    assert_eq!(world.events(watcher), ["enter ann"]);
}

#[test]
fn who_does_not_attach_then_leaves() {
    let (mut world, ann, watcher) = resumed(true);
    world.act(ann, 0, 2, json!({}));
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.events(watcher), ["enter ann", "leave ann"]);
}

#[test]
fn who_ends_before_it_attaches_leaves_as_it_ends() {
    let endings = [json!({"action": 7}), json!({"action": 12, "channel": "room"})];
    for ending in endings {
        let (mut world, ann, watcher) = resumed(true);
        world.act(ann, 0, 2, json!({}));
        world.send(ann, ending);
        assert_eq!(world.events(watcher), ["enter ann", "leave ann"]);
    }
    let (mut world, ann, watcher) = resumed(true);
    world.act(ann, 0, 2, json!({}));
    world.lose(ann);
    world.pass(GRACE_MS);
    assert_eq!(world.events(watcher), ["enter ann", "leave ann"]);
}

/// The other name may be attached, or ahead as well.
#[test]
fn who_detaches_one_name_stays_by_another() {
    const OTHER: &str = "[?rewind=1]room";
    let detach = |name: &str| json!({"action": 12, "channel": name});
    for (attached, first) in [(None, "room"), (Some(OTHER), "room"), (Some("room"), "room")] {
        let (mut world, ann, watcher) = resumed(true);
        attached.iter().for_each(|name| world.send(ann, json!({"action": 10, "channel": name})));
        world.act(ann, 0, 2, json!({}));
        world.send(ann, json!({"action": 14, "channel": OTHER, "msgSerial": 1, "presence": [{"action": 4}]}));
        world.send(ann, detach(first));
        assert_eq!(world.events(watcher), ["enter ann", "update ann"], "{attached:?} is attached");
        world.send(ann, detach(OTHER));
        assert_eq!(world.events(watcher), ["leave ann"], "{attached:?} is attached");
    }
}

#[test]
fn who_may_no_longer_be_present_leaves() {
    let (mut world, ann, watcher) = resumed(true);
    world.act(ann, 0, 2, json!({}));
    world.authorize(ann, &["subscribe"], "ann");
    assert_eq!(world.events(watcher), ["enter ann", "leave ann"]);
}

#[test]
fn who_is_banned_leaves_whether_attached_or_not() {
    for is_attached in [false, true] {
        let (mut world, ann, watcher) = resumed(true);
        if is_attached {
            world.attach(ann);
            world.act(ann, 1, 2, json!({}));
        }
        world.send(
            ann,
            json!({"action": 14, "channel": "[?rewind=1]room", "msgSerial": 2, "presence": [{"action": 2}]}),
        );
        world.take(watcher);
        world.ban(ann, "ann");
        assert_eq!(world.events(watcher), ["leave ann"], "attached: {is_attached}");
    }
}

#[test]
fn so_many_channels_and_no_more() {
    let (mut world, ann, _) = resumed(true);
    let enter = |world: &mut World, number: usize| {
        let channel = format!("[?rewind={number}]room");
        world.send(ann, json!({"action": 14, "channel": channel, "msgSerial": number, "presence": [{"action": 2}]}));
        world.take(ann).iter().any(|frame| frame["error"]["code"] == 91_001)
    };
    let refused = (0..CHANNELS_PER_CONNECTION_MAX + 3).filter(|number| enter(&mut world, *number)).count();
    assert_eq!(refused, 3);
}
