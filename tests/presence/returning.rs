//! Who enters again as it attaches: by an event that it was given, with what it said then. Who left meanwhile stays
//! away (protocol.md § 10).

use courtside::limits::GRACE_MS;
use serde_json::{Value, json};

use crate::world::{Client, World};

/// How SDKs enter again.
fn by(id: &str) -> Value {
    json!({"id": id, "data": "as before"})
}

/// A client that entered, first, and one that watches.
fn room() -> (World, Client, Client) {
    let mut world = World::new(1);
    let (ann, watcher) = (world.connect(0, "ann"), world.connect(0, "watcher"));
    [ann, watcher].into_iter().for_each(|client| world.attach(client));
    world.act(ann, 0, 2, json!({"data": "as before"}));
    world.take(watcher);
    (world, ann, watcher)
}

/// The connection is away for so long, and resumed.
fn away(world: &mut World, client: Client, client_id: &str, for_ms: u64) -> Client {
    let key = world.key(client);
    world.lose(client);
    world.pass(for_ms);
    world.resume(client, client_id, &key)
}

#[test]
fn who_left_while_it_was_away_does_not_come_back_as_it_attaches() {
    for forgets in [false, true] {
        let (mut world, ann, watcher) = room();
        let ann = away(&mut world, ann, "ann", 1_000);
        world.act(ann, 1, 3, json!({}));
        world.attach(ann);
        if forgets {
            world.forget_channel();
        }
        world.act(ann, 2, 2, by("conn1:0:0"));
        assert_eq!(world.outcome(ann), 0);
        assert_eq!(world.events(watcher), ["leave ann: as before"]);
        assert_eq!(world.present(), [""; 0]);
        world.act(ann, 3, 2, json!({"data": "anew"}));
        assert_eq!(world.events(watcher), ["enter ann: anew"], "who means it is there");
        world.act(ann, 4, 2, by("conn1:0:0"));
        assert_eq!(world.events(watcher), [""; 0]);
        assert_eq!(world.present(), ["ann"]);
    }
}

/// Then nobody is told of the leave.
#[test]
fn nor_who_left_when_its_grace_was_over() {
    let (mut world, ann, watcher) = room();
    let ann = away(&mut world, ann, "ann", GRACE_MS);
    assert_eq!(world.events(watcher), ["leave ann: as before"]);
    world.act(ann, 1, 3, json!({}));
    assert_eq!(world.outcome(ann), 0);
    world.attach(ann);
    world.act(ann, 2, 2, by("conn1:0:0"));
    assert_eq!(world.outcome(ann), 0);
    assert_eq!(world.events(watcher), [""; 0]);
    assert_eq!(world.present(), [""; 0]);
    world.act(ann, 3, 2, json!({"data": "anew"}));
    assert_eq!(world.events(watcher), ["enter ann: anew"]);
}

/// What it did last need not be what it was told of last.
#[test]
fn who_did_not_leave_comes_back_when_its_grace_was_over() {
    for forgets in [false, true] {
        let (mut world, ann, watcher) = room();
        world.act(ann, 1, 3, json!({}));
        world.act(ann, 2, 2, json!({"data": "anew"}));
        let ann = away(&mut world, ann, "ann", GRACE_MS);
        world.take(watcher);
        world.attach(ann);
        if forgets {
            world.forget_channel();
        }
        world.act(ann, 3, 2, by("conn1:0:0"));
        assert_eq!(world.events(watcher), ["enter ann: as before"]);
        assert_eq!(world.present(), ["ann"]);
    }
}

#[test]
fn of_the_members_of_a_connection_those_stay_away_that_left() {
    let mut world = World::new(1);
    let bot = world.connect(0, "*");
    world.attach(bot);
    let event = |action: u8, id: &str| json!({"action": action, "clientId": id});
    let send = |world: &mut World, bot, msg_serial: u64, presence: &[Value]| {
        world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": msg_serial, "presence": presence}));
    };
    send(&mut world, bot, 0, &[event(2, "x"), event(2, "y"), event(2, "z"), event(3, "z")]);
    send(&mut world, bot, 1, &[event(3, "x"), event(4, "y")]);
    let bot = away(&mut world, bot, "*", GRACE_MS);
    assert_eq!(world.present(), [""; 0]);
    world.attach(bot);
    let again = |id: &str, index: u8| json!({"action": 2, "clientId": id, "id": format!("conn1:0:{index}")});
    send(&mut world, bot, 2, &[again("x", 0), again("y", 1), again("z", 2)]);
    assert_eq!(world.outcome(bot), 0);
    assert_eq!(world.present(), ["y"]);
    send(&mut world, bot, 3, &[event(3, "y"), again("y", 1)]);
    assert_eq!(world.present(), [""; 0], "nor in the frame of their leave");
}
