//! On a channel where users are told apart, an event says whether its client is there by another connection too
//! (protocol.md § 26.4).

use serde_json::{Value, json};

use crate::world::{Client, World};

/// Each event that somebody was told of, and whether it says so.
fn told(world: &mut World, client: Client) -> Vec<(u64, String, bool)> {
    let frames = world.take(client).into_iter().filter(|frame| frame["action"] == 14);
    let events = frames.flat_map(|frame| frame["presence"].as_array().cloned().unwrap_or_default());
    let of = |event: Value| {
        let client_id = event["clientId"].as_str().unwrap_or_default().to_owned();
        (event["action"].as_u64().unwrap_or_default(), client_id, event["extras"]["elsewhere"] == true)
    };
    events.map(of).collect()
}

fn hall() -> (World, [Client; 3]) {
    let mut world = World::of_users(2);
    let clients = [world.connect(0, "ann"), world.connect(1, "ann"), world.connect(0, "bob")];
    clients.into_iter().for_each(|client| world.attach(client));
    (world, clients)
}

#[test]
fn a_user_comes_with_the_first_connection_and_goes_with_the_last() {
    let (mut world, [one, two, bob]) = hall();
    world.act(one, 0, 2, json!({}));
    world.act(bob, 0, 2, json!({}));
    world.act(two, 0, 2, json!({}));
    world.act(one, 1, 3, json!({}));
    world.act(two, 1, 4, json!({"data": "alone"}));
    world.act(two, 2, 3, json!({}));
    let ann = |action, elsewhere| (action, "ann".to_owned(), elsewhere);
    let expected =
        [ann(2, false), (2, "bob".to_owned(), false), ann(2, true), ann(3, true), ann(4, false), ann(3, false)];
    assert_eq!(told(&mut world, bob), expected);
}

/// Their clients know of coming and going alone.
#[test]
fn a_user_who_comes_by_an_update_enters() {
    let (mut world, [one, _, bob]) = hall();
    world.act(one, 0, 4, json!({}));
    world.act(one, 1, 4, json!({"data": "more"}));
    assert_eq!(told(&mut world, bob), [(2, "ann".to_owned(), false), (4, "ann".to_owned(), false)]);
}

#[test]
fn connections_that_are_lost_leave_one_after_the_other() {
    let (mut world, [one, two, bob]) = hall();
    [one, two].into_iter().for_each(|client| world.act(client, 0, 2, json!({})));
    world.take(bob);
    [one, two].into_iter().for_each(|client| world.lose(client));
    world.pass(60_000);
    let left = told(&mut world, bob);
    assert_eq!(left, [(3, "ann".to_owned(), true), (3, "ann".to_owned(), false)]);
}

#[test]
fn nobody_else_can_say_so() {
    let (mut world, [one, _, bob]) = hall();
    world.act(one, 0, 2, json!({"extras": {"elsewhere": true, "headers": {"a": 1}}}));
    let frames = world.take(bob);
    let event = frames.iter().find(|frame| frame["action"] == 14).expect("the event");
    assert_eq!(event["presence"][0]["extras"], json!({"headers": {"a": 1}}));
}

#[test]
fn other_channels_say_nothing_of_it() {
    let mut world = World::new(1);
    let clients = [world.connect(0, "ann"), world.connect(0, "ann")];
    clients.into_iter().for_each(|client| world.attach(client));
    clients.into_iter().for_each(|client| world.act(client, 0, 2, json!({})));
    assert!(told(&mut world, clients[0]).iter().all(|(_, _, elsewhere)| !elsewhere));
}
