//! Who is left when something dies: nobody whose connection is gone, and everybody whose connection is there.

use courtside::auth::{Capability, Identity};
use courtside::limits::{GHOST_MAX_MS, GRACE_AT_STOP_MS, GRACE_MS};
use serde_json::json;

use crate::world::{Client, World};

/// Clients of one relay, who entered, and one of another relay, who watches.
fn room(names: &[&str]) -> (World, Vec<Client>, Client) {
    let mut world = World::new(2);
    let watcher = world.connect(1, "watcher");
    world.attach(watcher);
    let enter = |name: &&str| {
        let client = world.connect(0, name);
        world.attach(client);
        world.act(client, 0, 2, json!({"data": name}));
        client
    };
    let clients = names.iter().map(enter).collect();
    world.take(watcher);
    (world, clients, watcher)
}

#[test]
fn who_detaches_or_closes_leaves_at_once() {
    let (mut world, clients, watcher) = room(&["ann", "bob"]);
    world.send(clients[0], json!({"action": 12, "channel": "room"}));
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
    world.send(clients[1], json!({"action": 7}));
    assert_eq!(world.events(watcher), ["leave bob: bob"]);
}

#[test]
fn a_synthesized_leave_is_not_taken_for_the_connections_own() {
    let (mut world, clients, watcher) = room(&["ann"]);
    world.send(clients[0], json!({"action": 12, "channel": "room"}));
    let frame = world.take(watcher).pop().expect("the leave");
    let leave = &frame["presence"][0];
    assert_eq!(leave["connectionId"], "conn2");
    assert!(!leave["id"].as_str().unwrap().starts_with("conn2"), "{leave}");
}

#[test]
fn who_is_lost_leaves_after_the_grace() {
    let (mut world, clients, watcher) = room(&["ann", "bob"]);
    world.lose(clients[0]);
    world.pass(GRACE_MS - 1);
    assert_eq!(world.events(watcher), [""; 0]);
    world.pass(1);
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
    assert_eq!(world.present(), ["bob"]);
}

#[test]
fn a_client_says_how_long_its_members_remain() {
    let mut world = World::new(1);
    let query = [("remainPresentFor", "5000")];
    let ann = world.open(0, Identity::parse(Some("ann")).unwrap(), Capability::full(), &query);
    world.attach(ann);
    world.act(ann, 0, 2, json!({}));
    world.lose(ann);
    world.pass(4_999);
    assert_eq!(world.present(), ["ann"]);
    world.pass(1);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn members_outlive_a_restart_of_the_server_by_as_long_as_clients_take_to_come_back() {
    let (mut world, clients, watcher) = room(&["ann", "bob"]);
    let query = [("remainPresentFor", "5000")];
    let short = world.open(0, Identity::parse(Some("short")).unwrap(), Capability::full(), &query);
    world.attach(short);
    world.act(short, 0, 2, json!({}));
    let key = world.key(clients[0]);
    world.restart(0);
    world.take(watcher);
    world.pass(20_000);
    assert_eq!(world.events(watcher), ["leave short"], "who asked for less");
    let ann = world.resume(clients[0], "ann", &key);
    world.attach(ann);
    world.pass(GRACE_AT_STOP_MS - 20_000 - 1);
    assert_eq!(world.events(watcher), [""; 0]);
    world.pass(1);
    assert_eq!(world.events(watcher), ["leave bob: bob"]);
    // As before, from then on.
    world.lose(ann);
    world.pass(GRACE_MS);
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
}

#[test]
fn who_resumes_within_the_grace_stays_without_an_event() {
    let (mut world, clients, watcher) = room(&["ann"]);
    let key = world.key(clients[0]);
    world.lose(clients[0]);
    world.pass(GRACE_MS - 1_000);
    let ann = world.resume(clients[0], "ann", &key);
    world.attach(ann);
    world.pass(10 * GRACE_MS);
    assert_eq!(world.present(), ["ann"]);
    assert_eq!(world.events(watcher), [""; 0]);
    // ... and is still known to have members there.
    world.lose(ann);
    world.pass(GRACE_MS);
    assert_eq!(world.present(), [""; 0]);
}

/// Resumed but attached to nothing: nobody is present where they are not attached.
#[test]
fn who_resumes_and_does_not_attach_leaves() {
    let (mut world, clients, _) = room(&["ann"]);
    let key = world.key(clients[0]);
    world.lose(clients[0]);
    world.resume(clients[0], "ann", &key);
    world.pass(GRACE_MS);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn a_relay_that_dies_without_a_word_leaves_no_ghosts() {
    let (mut world, _, watcher) = room(&["ann", "bob"]);
    world.pass(60_000);
    world.kill_relay(0);
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.present(), [""; 0]);
    assert_eq!(world.events(watcher).len(), 2);
}

#[test]
fn nor_one_that_cannot_be_reached() {
    let (mut world, _, _) = room(&["ann"]);
    world.pass(60_000);
    world.cut_off(0);
    world.pass(GHOST_MAX_MS);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn a_short_silence_takes_nobody_away() {
    let (mut world, _, watcher) = room(&["ann"]);
    world.pass(60_000);
    world.cut_off(0);
    world.pass(20_000);
    world.objects.unreachable.clear();
    world.pass(60_000);
    assert_eq!(world.present(), ["ann"]);
    assert_eq!(world.events(watcher), [""; 0]);
}

#[test]
fn a_channel_that_lost_its_memory_keeps_the_set_and_its_clock() {
    let (mut world, clients, watcher) = room(&["ann", "bob"]);
    world.lose(clients[0]);
    world.pass(5_000);
    world.forget_channel();
    world.pass(GRACE_MS - 5_000 + 1_000);
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
    world.forget_channel();
    world.pass(60_000);
    assert_eq!(world.present(), ["bob"]);
}

/// Rebuilt before each question is due, a channel must ask all the same.
#[test]
fn a_channel_that_forgets_often_still_finds_ghosts() {
    let (mut world, _, _) = room(&["ann"]);
    world.kill_relay(0);
    for _ in 0..6 {
        world.forget_channel();
        world.pass(8_000);
    }
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn a_relay_that_lost_its_memory_keeps_its_members() {
    let (mut world, clients, watcher) = room(&["ann", "bob"]);
    world.forget_relay(0);
    world.pass(60_000);
    assert_eq!(world.present(), ["ann", "bob"]);
    assert_eq!(world.events(watcher), [""; 0]);
    world.lose(clients[0]);
    world.pass(GRACE_MS);
    assert_eq!(world.present(), ["bob"]);
}

/// Everything dies; half of the clients come back.
#[test]
fn after_a_power_cut_exactly_those_who_return_are_listed() {
    let (mut world, clients, watcher) = room(&["ann", "bob", "carol", "dan"]);
    let keys: Vec<String> = clients.iter().map(|client| world.key(*client)).collect();
    world.kill_relay(0);
    world.kill_relay(1);
    world.forget_channel();
    world.take(watcher);
    for (client, (key, name)) in clients.iter().zip(keys.iter().zip(["ann", "bob"])) {
        let client = world.resume(*client, name, key);
        world.attach(client);
    }
    world.pass(30_000);
    assert_eq!(world.present(), ["ann", "bob"]);
}

/// Members that an app was made with have no connection that could be gone.
#[test]
fn who_is_there_without_a_connection_stays() {
    let (mut world, clients, _) = room(&["ann"]);
    world.enter_without_connection("fixed");
    world.lose(clients[0]);
    world.pass(10 * GHOST_MAX_MS);
    let asked = world.objects.calls["probe"];
    world.forget_channel();
    world.pass(10 * GHOST_MAX_MS);
    assert_eq!(world.present(), ["fixed"]);
    assert_eq!(world.objects.calls["probe"], asked, "and nobody is asked for them");
}

/// Two names of one channel are two attachments of one connection.
#[test]
fn another_attachment_to_the_channel_keeps_the_members() {
    let (mut world, clients, watcher) = room(&["ann"]);
    world.send(clients[0], json!({"action": 10, "channel": "[?rewind=1]room"}));
    world.send(clients[0], json!({"action": 12, "channel": "room"}));
    world.pass(60_000);
    assert_eq!(world.present(), ["ann"]);
    world.send(clients[0], json!({"action": 12, "channel": "[?rewind=1]room"}));
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
}

#[test]
fn many_leave_in_several_entries() {
    let mut world = World::new(1);
    let (bot, watcher) = (world.connect(0, "*"), world.connect(0, "w"));
    [bot, watcher].into_iter().for_each(|client| world.attach(client));
    let presence: Vec<_> = (0..250).map(|n| json!({"action": 2, "clientId": format!("m{n}")})).collect();
    world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": 0, "presence": presence}));
    world.take(watcher);
    world.send(bot, json!({"action": 7}));
    assert_eq!(world.events(watcher).len(), 250);
    assert_eq!(world.present(), [""; 0]);
}

/// A quiet channel has lost its memory when the grace ends, and its alarm wakes it.
#[test]
fn who_is_lost_leaves_in_time_though_the_channel_sleeps() {
    let (mut world, clients, watcher) = room(&["ann"]);
    world.lose(clients[0]);
    world.pass(GRACE_MS - 1);
    world.forget_channel();
    world.pass(1);
    assert_eq!(world.events(watcher), ["leave ann: ann"]);
}
