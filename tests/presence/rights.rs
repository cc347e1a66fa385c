//! What becomes of members, and of who is told of them, when a connection goes on with another token.

use courtside::auth::{Capability, Identity};
use courtside::limits::{GHOST_MAX_MS, PUBLISH_TRY_MS, SYNC_TURN_MS};
use courtside::model::flags::{HAS_OBJECTS, HAS_PRESENCE, Modes, RESUMED};
use serde_json::{Value, json};

use crate::world::{Client, World};

/// A member of the room, and somebody who is told of it.
fn member(client_id: &str, entered: &[&str]) -> (World, Client, Client) {
    member_of(World::new(1), client_id, entered)
}

fn member_of(mut world: World, client_id: &str, entered: &[&str]) -> (World, Client, Client) {
    let (client, watcher) = (world.connect(0, client_id), world.connect(0, "watcher"));
    world.attach(watcher);
    world.attach(client);
    for (serial, name) in (0..).zip(entered) {
        world.act(client, serial, 2, json!({"clientId": name}));
    }
    assert_eq!(world.present(), entered);
    world.take(watcher);
    (world, client, watcher)
}

#[test]
fn a_member_that_may_not_be_present_any_more_leaves_and_stays_attached() {
    let (mut world, ann, watcher) = member("ann", &["ann"]);
    world.authorize(ann, &["subscribe", "publish"], "ann");
    assert_eq!((world.present(), world.events(watcher)), (vec![], vec!["leave ann".to_owned()]));
    world.send(ann, json!({"action": 15, "channel": "room", "msgSerial": 1, "messages": [{"name": "n"}]}));
    assert_eq!(world.outcome(ann), 0, "it is still there");
    world.authorize(ann, &["subscribe", "presence"], "ann");
    world.act(ann, 2, 2, json!({}));
    assert_eq!((world.outcome(ann), world.present()), (0, vec!["ann".to_owned()]), "and may come again");
}

#[test]
fn a_member_that_may_still_be_present_stays() {
    let (mut world, ann, watcher) = member("ann", &["ann"]);
    world.authorize(ann, &["presence"], "ann");
    assert_eq!((world.present(), world.events(watcher)), (vec!["ann".to_owned()], vec![]));
}

#[test]
fn what_was_entered_for_others_leaves_when_the_connection_is_somebody() {
    let (mut world, bot, watcher) = member("*", &["ann", "bob"]);
    world.authorize(bot, &["presence"], "*");
    assert_eq!(world.present(), ["ann", "bob"]);
    world.authorize(bot, &["presence"], "bob");
    assert_eq!(world.events(watcher), ["leave ann", "leave bob"]);
    world.act(bot, 2, 2, json!({}));
    assert_eq!(world.present(), ["bob"], "and may come as itself");
}

/// Its relay forgets what it is about to tell.
#[test]
fn a_member_that_may_not_be_present_any_more_leaves_though_nobody_tells_the_channel() {
    let (mut world, ann, watcher) = member("ann", &["ann"]);
    world.objects.held = Some(Vec::new());
    world.authorize(ann, &["subscribe"], "ann");
    world.forget_relay(0);
    world.objects.lose_calls();
    assert_eq!(world.present(), ["ann"]);
    world.pass(GHOST_MAX_MS);
    assert_eq!((world.present(), world.events(watcher)), (vec![], vec!["leave ann".to_owned()]));
}

/// Its relay forgets that, and whether it then enters as itself or not.
#[test]
fn what_was_entered_for_others_leaves_though_nobody_tells_the_channel() {
    for (enters, channel_forgets) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut world, bot, watcher) = member("*", &["ann"]);
        world.authorize(bot, &["presence", "subscribe"], "*");
        world.objects.held = Some(Vec::new());
        world.authorize(bot, &["presence", "subscribe"], "bob");
        world.forget_relay(0);
        world.objects.lose_calls();
        if channel_forgets {
            world.forget_channel();
        }
        if enters {
            world.act(bot, 1, 2, json!({}));
        }
        world.pass(GHOST_MAX_MS);
        let here: &[&str] = if enters { &["bob"] } else { &[] };
        assert_eq!(world.present(), here, "it enters: {enters}, the channel forgets: {channel_forgets}");
        assert!(world.events(watcher).contains(&"leave ann".to_owned()));
    }
}

/// Its relay forgets that, or dies with it, or has it no longer to tell when the client comes back as itself.
#[test]
fn what_was_entered_for_others_does_not_come_back_as_the_connection_resumes() {
    let forget: fn(&mut World, Client) = |world, _| world.forget_relay(0);
    let die: fn(&mut World, Client) = |world, _| world.kill_relay(0);
    let give_up: fn(&mut World, Client) = |world, client| {
        world.lose(client);
        world.pass(PUBLISH_TRY_MS);
    };
    for (how, fail) in [("forget", forget), ("die", die), ("give up", give_up)] {
        for (enters, channel_forgets) in [("", false), ("as it attaches", true), ("ahead", false)] {
            let (mut world, bot, watcher) = member_of(World::new(2), "*", &["ann"]);
            world.take(bot);
            world.objects.held = Some(Vec::new());
            world.authorize(bot, &["presence", "subscribe"], "bob");
            let key = world.key(bot);
            fail(&mut world, bot);
            world.objects.lose_calls();
            world.lose(bot);
            if channel_forgets {
                world.forget_channel();
            }
            let bob = world.resume(bot, "bob", &key);
            if enters == "ahead" {
                world.act(bob, 1, 2, json!({}));
            }
            world.attach(bob);
            if enters == "as it attaches" {
                world.act(bob, 1, 2, json!({}));
            }
            world.pass(GHOST_MAX_MS);
            let here: &[&str] = if enters.is_empty() { &[] } else { &["bob"] };
            assert_eq!(world.present(), here, "the relay: {how}, it enters: {enters}");
            if how != "die" {
                assert!(world.events(watcher).contains(&"leave ann".to_owned()));
            }
        }
    }
}

/// Nor as it attaches anew by a relay that forgot.
#[test]
fn nor_as_it_attaches_once_more() {
    let (mut world, bot, watcher) = member("*", &["ann"]);
    world.authorize(bot, &["presence", "subscribe"], "*");
    world.objects.held = Some(Vec::new());
    world.authorize(bot, &["presence", "subscribe"], "bob");
    world.forget_relay(0);
    world.objects.lose_calls();
    world.send(bot, json!({"action": 12, "channel": "room"}));
    world.attach(bot);
    world.act(bot, 1, 2, json!({}));
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.present(), ["bob"]);
    assert_eq!(world.events(watcher), ["leave ann", "enter bob"]);
}

/// The relay goes on to tell it, and what is said after it comes after it.
#[test]
fn what_was_entered_for_others_leaves_however_long_the_channel_cannot_be_told() {
    let (mut world, bot, watcher) = member("*", &["ann"]);
    world.authorize(bot, &["presence", "subscribe"], "*");
    world.objects.unreachable.push(0);
    world.authorize(bot, &["presence", "subscribe"], "bob");
    world.pass(PUBLISH_TRY_MS + 3_000);
    world.act(bot, 1, 2, json!({}));
    world.objects.unreachable.clear();
    assert_eq!(world.present(), ["ann"]);
    world.pass(5_000);
    assert_eq!(world.events(watcher), ["leave ann", "enter bob"]);
    assert_eq!(world.present(), ["bob"]);
}

#[test]
fn a_connection_that_resumes_without_the_right_to_be_present_has_no_members() {
    for (operations, left) in [("subscribe", "leave ann"), ("presence", "")] {
        let (mut world, ann, watcher) = member("ann", &["ann"]);
        let key = world.key(ann);
        world.lose(ann);
        let capability = Capability::parse(&json!({"room": [operations]}).to_string()).unwrap();
        let again = world.open(0, Identity::Named("ann".into()), capability, &[("resume", &key)]);
        world.attach(again);
        assert_eq!(world.events(watcher).join(""), left, "{operations}");
        assert_eq!(world.present().len(), usize::from(left.is_empty()));
    }
}

#[test]
fn who_may_not_be_told_any_more_gets_no_more_of_the_set() {
    let (mut world, _, _) = member_of(World::slow(1), "*", &["a", "b", "c", "d", "e"]);
    let clients = [world.connect(0, "ann"), world.connect(0, "bob")];
    clients.iter().for_each(|client| world.attach(*client));
    world.authorize(clients[0], &["publish"], "ann");
    (0..20).for_each(|_| world.pass(SYNC_TURN_MS));
    let syncs = |world: &mut World, client| {
        let mut frames = world.take(client);
        frames.retain(|frame| frame["action"] == 16);
        frames
    };
    let narrowed = syncs(&mut world, clients[0]);
    let told: usize = narrowed.iter().map(|sync| sync["presence"].as_array().unwrap().len()).sum();
    assert!(told <= 2, "what it was told before: {narrowed:?}");
    let last = narrowed.last().unwrap();
    assert!(
        last["presence"] == json!([]) && last["channelSerial"].as_str().unwrap().ends_with(':'),
        "it waits for no more"
    );
    let whole: usize =
        syncs(&mut world, clients[1]).iter().map(|sync| sync["presence"].as_array().unwrap().len()).sum();
    assert_eq!(whole, 5, "others get it all");
}

/// Nobody tells it what happened meanwhile: it must not take for whole what it has.
#[test]
fn who_may_be_told_more_than_before_hears_that_it_missed_something_and_gets_the_set_anew() {
    let (mut world, bot, _) = member("*", &["ann", "bob"]);
    let narrow = Capability::parse(r#"{"room": ["publish"]}"#).unwrap();
    let late = world.open(0, Identity::Named("late".into()), narrow, &[]);
    let early = world.connect(0, "early");
    [early, late].into_iter().for_each(|client| world.attach(client));
    world.authorize(early, &["publish"], "early");
    world.act(bot, 2, 3, json!({"clientId": "ann"}));
    for (client, name) in [(early, "early"), (late, "late")] {
        world.take(client);
        world.authorize(client, &["publish", "subscribe"], name);
        let frames = world.take(client);
        let [connected, attached, sync @ ..] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((&connected["action"], &attached["action"]), (&json!(4), &json!(11)));
        let (has_presence, resumed, modes) = (1, 1 << 2, 0b1110 << 16);
        let flags = attached["flags"].as_u64().unwrap();
        assert_eq!(flags & (has_presence | resumed | modes), has_presence | 0b1110 << 16, "{attached}");
        assert_eq!(attached["error"]["code"], 90003, "{attached}");
        let present: Vec<&Value> = sync.iter().flat_map(|page| page["presence"].as_array().unwrap()).collect();
        assert_eq!(present.iter().map(|member| &member["clientId"]).collect::<Vec<_>>(), ["bob"], "{name}");
    }
}

/// Clients decide by the modes that they were last told of.
#[test]
fn who_may_do_something_else_is_told_so_and_goes_on() {
    let told = Modes::SUBSCRIBE.union(Modes::PRESENCE_SUBSCRIBE);
    let objects = Modes::OBJECT_SUBSCRIBE.union(Modes::PUBLISH);
    let enters = Modes::PRESENCE.union(Modes::PUBLISH);
    for (asked, operations, modes, has, actions) in [
        (Modes::NONE, &["subscribe", "publish"][..], told.union(Modes::PUBLISH), HAS_PRESENCE, &[4, 11, 16, 16][..]),
        (Modes::NONE, &["subscribe"], told, HAS_PRESENCE, &[4, 11, 16, 16]),
        (Modes::NONE, &["publish"], Modes::PUBLISH, 0, &[4, 11, 16]),
        (enters, &["publish"], Modes::PUBLISH, 0, &[4, 11]),
        (objects.union(Modes::PRESENCE), &["object-subscribe", "publish"], objects, HAS_OBJECTS, &[4, 11, 20, 20]),
    ] {
        let (mut world, _, _) = member("ann", &["ann"]);
        let bob = world.connect(0, "bob");
        world.send(bob, json!({"action": 10, "channel": "room", "flags": asked.bits()}));
        let attached = world.take(bob).into_iter().find(|frame| frame["action"] == 11).unwrap();
        world.authorize(bob, operations, "bob");
        let frames = world.take(bob);
        assert_eq!(frames.iter().map(|frame| &frame["action"]).collect::<Vec<_>>(), actions, "{frames:?}");
        assert_eq!(frames[1]["flags"], modes.bits() | has | RESUMED, "{operations:?}");
        assert_eq!((&frames[1]["channelSerial"], &frames[1]["error"]), (&attached["channelSerial"], &Value::Null));
        world.authorize(bob, operations, "bob");
        assert_eq!(world.take(bob).len(), 1, "CONNECTED alone, if nothing is otherwise");
        if asked == enters {
            world.authorize(bob, &["*"], "bob");
            assert_eq!(world.take(bob)[1]["flags"], enters.bits() | RESUMED, "and so if it may do more");
        }
    }
}

/// It would show for ever whom it knew, or wait for the rest of the set.
#[test]
fn who_may_not_be_told_any_more_who_is_present_is_left_with_nobody() {
    let (mut world, _, watcher) = member("ann", &["ann"]);
    world.authorize(watcher, &["publish"], "watcher");
    let frames = world.take(watcher);
    let last = frames.last().unwrap();
    assert_eq!((&last["action"], &last["presence"]), (&json!(16), &json!([])), "{frames:?}");
    assert!(last["channelSerial"].as_str().unwrap().ends_with(':'));
}
