//! Bad input: each gets its code, and the set stays right.

use courtside::auth::{Capability, Identity};
use courtside::limits::{MEMBERS_PER_CONNECTION_MAX, MESSAGE_MAX_BYTES};
use serde_json::{Value, json};

use crate::world::{Client, World};

fn refused(world: &mut World, client: Client, event: Value) -> u64 {
    world.act(client, 0, 2, event);
    world.outcome(client)
}

#[test]
fn nobody_enters_without_a_name_or_by_one_that_is_not_theirs() {
    let mut world = World::new(1);
    let nobody = world.open(0, Identity::Anonymous, Capability::full(), &[]);
    let (ann, bot) = (world.connect(0, "ann"), world.connect(0, "*"));
    [nobody, ann, bot].into_iter().for_each(|client| world.attach(client));
    assert_eq!(refused(&mut world, nobody, json!({})), 91_000);
    assert_eq!(refused(&mut world, bot, json!({})), 91_000);
    assert_eq!(refused(&mut world, nobody, json!({"clientId": "x"})), 40_012);
    assert_eq!(refused(&mut world, ann, json!({"clientId": "bob"})), 40_012);
    assert_eq!(refused(&mut world, bot, json!({"clientId": "*"})), 40_012);
    assert_eq!(refused(&mut world, bot, json!({"clientId": "x".repeat(256)})), 40_012);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn nobody_enters_without_the_right_or_an_attachment() {
    let mut world = World::new(1);
    let subscriber = Capability::parse(r#"{"*":["subscribe"]}"#).unwrap();
    let reader = world.open(0, Identity::parse(Some("r")).unwrap(), subscriber, &[]);
    let (ann, bob) = (world.connect(0, "ann"), world.connect(0, "bob"));
    world.attach(reader);
    assert_eq!(refused(&mut world, reader, json!({})), 40_160);
    assert_eq!(refused(&mut world, ann, json!({})), 91_001);
    world.send(bob, json!({"action": 10, "channel": "room", "params": {"modes": "subscribe"}}));
    assert_eq!(refused(&mut world, bob, json!({})), 40_165);
    world.send(ann, json!({"action": 14, "channel": ":room", "msgSerial": 1, "presence": [{"action": 2}]}));
    assert_eq!(world.outcome(ann), 40_010);
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn events_must_be_what_they_may_be() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    assert_eq!(refused(&mut world, ann, json!({"data": "x".repeat(MESSAGE_MAX_BYTES + 1)})), 40_009);
    assert_eq!(refused(&mut world, ann, json!({"data": 5})), 40_013);
    assert_eq!(refused(&mut world, ann, json!({"extras": "x"})), 40_032);
    world.act(ann, 1, 1, json!({}));
    assert_eq!(world.outcome(ann), 40_000);
    world.send(ann, json!({"action": 14, "channel": "room", "msgSerial": 2, "presence": []}));
    assert_eq!(world.outcome(ann), 40_000);
    world.send(ann, json!({"action": 14, "channel": "room", "msgSerial": 3, "presence": "x"}));
    assert_eq!(world.outcome(ann), 40_001);
    assert_eq!(world.present(), [""; 0]);
}

/// Members are one connection's: what another says of the same client is another member.
#[test]
fn nobody_changes_anothers_member() {
    let mut world = World::new(1);
    let (ann, eve) = (world.connect(0, "ann"), world.connect(0, "*"));
    [ann, eve].into_iter().for_each(|client| world.attach(client));
    world.act(ann, 0, 2, json!({"data": "mine"}));
    world.act(eve, 0, 3, json!({"clientId": "ann", "connectionId": "conn1"}));
    assert_eq!(world.present(), ["ann"]);
    world.act(eve, 1, 4, json!({"clientId": "ann", "data": "hers", "connectionId": "conn1"}));
    assert_eq!(world.present(), ["ann", "ann"]);
}

#[test]
fn a_connection_has_so_many_members_and_a_frame_is_refused_as_a_whole() {
    let mut world = World::unhurried(1);
    let bot = world.connect(0, "*");
    world.attach(bot);
    let enter = |from: usize, to: usize| {
        (from..to).map(|n| json!({"action": 2, "clientId": format!("m{n}")})).collect::<Vec<_>>()
    };
    let most = MEMBERS_PER_CONNECTION_MAX - 5;
    world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": 0, "presence": enter(0, most)}));
    assert_eq!(world.outcome(bot), 0);
    world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": 1, "presence": enter(most, most + 6)}));
    assert_eq!(world.outcome(bot), 91_003);
    assert_eq!(world.present().len(), most);
    world.act(bot, 2, 4, json!({"clientId": "m0"}));
    assert_eq!(world.outcome(bot), 0, "who is there may go on");
}

/// As its namespace has it: over all connections, and whoever is there stays.
#[test]
fn a_channel_has_so_many_members() {
    let mut world = World::with_room_for(2, 2);
    let clients: Vec<Client> =
        ["ann", "bob", "carol"].iter().zip([0, 1, 0]).map(|(id, at)| world.connect(at, id)).collect();
    clients.iter().for_each(|client| world.attach(*client));
    assert_eq!(refused(&mut world, clients[0], json!({})), 0);
    assert_eq!(refused(&mut world, clients[1], json!({})), 0);
    assert_eq!(refused(&mut world, clients[2], json!({})), 91_003);
    world.act(clients[0], 1, 4, json!({"data": "still"}));
    assert_eq!(world.outcome(clients[0]), 0);
    world.act(clients[1], 1, 3, json!({}));
    world.act(clients[2], 1, 2, json!({}));
    assert_eq!(world.outcome(clients[2]), 0, "there is room again");
    assert_eq!(world.present(), ["ann", "carol"]);
}

#[test]
fn ten_thousand_by_one_connection_are_too_many() {
    let mut world = World::unhurried(1);
    let bot = world.connect(0, "*");
    world.attach(bot);
    let mut refusals = 0;
    for serial in 0..100 {
        let enter = |n: u64| json!({"action": 2, "clientId": format!("m{}", serial * 100 + n)});
        let presence: Vec<Value> = (0..100).map(enter).collect();
        world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": serial, "presence": presence}));
        refusals += u64::from(world.outcome(bot) == 91_003);
    }
    assert_eq!(refusals, 90);
    assert_eq!(world.present().len(), MEMBERS_PER_CONNECTION_MAX);
}
