//! What members do, and what of it is news (protocol.md § 10).

use serde_json::json;

use crate::world::World;

#[test]
fn members_enter_update_and_leave() {
    let mut world = World::new(2);
    let (ann, bob) = (world.connect(0, "ann"), world.connect(1, "bob"));
    [ann, bob].into_iter().for_each(|client| world.attach(client));
    world.act(ann, 0, 2, json!({"data": "hello"}));
    world.act(ann, 1, 4, json!({"data": "busy"}));
    world.act(ann, 2, 3, json!({}));
    let expected = ["enter ann: hello", "update ann: busy", "leave ann: busy"];
    assert_eq!(world.events(bob), expected, "a leave without data carries the last");
    assert_eq!(world.events(ann), expected, "clients hear of themselves");
    assert_eq!(world.present(), [""; 0]);
}

#[test]
fn events_are_acknowledged_without_serials() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.take(ann);
    world.act(ann, 0, 2, json!({}));
    let frames = world.take(ann);
    let ack = frames.iter().find(|frame| frame["action"] == 1).expect("an ACK");
    assert_eq!(*ack, json!({"action": 1, "msgSerial": 0, "count": 1, "res": [{"serials": []}]}));
    let event = frames.iter().find(|frame| frame["action"] == 14).expect("the event");
    assert_eq!(event["id"], "conn1:0");
    assert_eq!(event["connectionId"], "conn1");
    let id = event["presence"][0]["id"].clone();
    assert_eq!((id, &event["presence"][0]["connectionId"]), (json!("conn1:0:0"), &json!("conn1")));
}

#[test]
fn one_connection_has_many_members_and_one_client_many_connections() {
    let mut world = World::new(1);
    let (bot, one, two) = (world.connect(0, "*"), world.connect(0, "ann"), world.connect(0, "ann"));
    [bot, one, two].into_iter().for_each(|client| world.attach(client));
    world.act(bot, 0, 2, json!({"clientId": "x"}));
    world.act(bot, 1, 2, json!({"clientId": "y"}));
    world.act(one, 0, 2, json!({}));
    world.act(two, 0, 2, json!({}));
    assert_eq!(world.present(), ["ann", "ann", "x", "y"]);
    world.act(one, 1, 3, json!({}));
    assert_eq!(world.present(), ["ann", "x", "y"]);
}

#[test]
fn an_update_of_nobody_enters_and_a_leave_of_nobody_is_no_event() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.act(ann, 0, 3, json!({}));
    assert_eq!(world.outcome(ann), 0);
    world.act(ann, 1, 4, json!({}));
    assert_eq!(world.events(ann), ["update ann"]);
    assert_eq!(world.present(), ["ann"]);
}

/// A client that resumed enters again by the event that it was given.
#[test]
fn who_enters_by_a_known_event_is_acknowledged_without_another() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.act(ann, 0, 2, json!({}));
    world.take(ann);
    world.act(ann, 1, 2, json!({"id": "conn1:0:0"}));
    assert_eq!(world.outcome(ann), 0);
    world.act(ann, 2, 2, json!({"id": "conn1:0:0", "clientId": "ann"}));
    assert_eq!(world.events(ann), [""; 0]);
    world.act(ann, 3, 2, json!({"data": "again"}));
    assert_eq!(world.events(ann), ["enter ann: again"], "without it, it is news");
    world.act(ann, 4, 2, json!({"id": "conn1:0:0", "data": "older than what is known"}));
    assert_eq!(world.events(ann), [""; 0]);
}

/// Most SDKs do, when their connection could not be resumed.
#[test]
fn who_enters_by_an_event_of_another_connection_enters_anew() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    for (msg_serial, id) in [(0, "conn99:0:0"), (1, "nonsense")] {
        world.act(ann, msg_serial, 2, json!({ "id": id }));
        assert_eq!(world.events(ann), ["enter ann"]);
    }
    assert_eq!(world.present(), ["ann"]);
}

/// Sent again after a resume: those that were events are known by the log, those that were not must not become any.
#[test]
fn what_is_sent_again_changes_nothing() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.act(ann, 0, 3, json!({}));
    world.act(ann, 1, 2, json!({"data": "a"}));
    world.act(ann, 2, 4, json!({"data": "b"}));
    world.take(ann);
    world.forget_channel();
    world.act(ann, 0, 3, json!({}));
    world.act(ann, 1, 2, json!({"data": "a"}));
    world.act(ann, 2, 4, json!({"data": "b"}));
    assert_eq!(world.events(ann), [""; 0]);
    assert_eq!(world.present(), ["ann"]);
}

#[test]
fn events_of_one_frame_follow_each_other() {
    let mut world = World::new(1);
    let bot = world.connect(0, "*");
    world.attach(bot);
    let event = |action: u8, id: &str| json!({"action": action, "clientId": id});
    let presence = [event(2, "x"), event(2, "y"), event(3, "x"), event(3, "z"), event(4, "y")];
    world.send(bot, json!({"action": 14, "channel": "room", "msgSerial": 0, "presence": presence}));
    assert_eq!(world.events(bot), ["enter x", "enter y", "leave x", "update y"]);
    assert_eq!(world.present(), ["y"]);
}

#[test]
fn events_and_messages_share_the_order_in_frames_of_their_own() {
    let mut world = World::new(1);
    let (ann, bob) = (world.connect(0, "ann"), world.connect(0, "bob"));
    [ann, bob].into_iter().for_each(|client| world.attach(client));
    world.take(bob);
    world.act(ann, 0, 2, json!({}));
    world.send(ann, json!({"action": 15, "channel": "room", "msgSerial": 1, "messages": [{"name": "m"}]}));
    world.act(ann, 2, 4, json!({}));
    let frames = world.take(bob);
    let actions: Vec<_> = frames.iter().map(|frame| frame["action"].as_u64().unwrap()).collect();
    assert_eq!(actions, [14, 15, 14]);
    let serials: Vec<_> = frames.iter().map(|frame| frame["channelSerial"].as_str().unwrap()).collect();
    assert!(serials.is_sorted() && serials[0] < serials[2], "{serials:?}");
}

#[test]
fn modes_say_who_is_told_and_connections_always_hear_of_themselves() {
    let mut world = World::new(1);
    let (ann, bob) = (world.connect(0, "ann"), world.connect(0, "bob"));
    let attach = |modes: &str| json!({"action": 10, "channel": "room", "params": {"modes": modes, "echo": "false"}});
    world.send(ann, attach("presence"));
    world.send(bob, attach("subscribe"));
    world.act(ann, 0, 2, json!({}));
    assert_eq!(world.events(ann), ["enter ann"]);
    assert_eq!(world.events(bob), [""; 0]);
}

/// What came while a client was away is replayed to it, presence too; a rewind gives messages only.
#[test]
fn a_resume_replays_events_and_a_rewind_does_not() {
    let mut world = World::new(1);
    let (ann, bob) = (world.connect(0, "ann"), world.connect(0, "bob"));
    [ann, bob].into_iter().for_each(|client| world.attach(client));
    let attached = world.take(bob).into_iter().find(|frame| frame["action"] == 11).expect("ATTACHED");
    world.send(bob, json!({"action": 12, "channel": "room"}));
    world.act(ann, 0, 2, json!({}));
    world.send(ann, json!({"action": 15, "channel": "room", "msgSerial": 1, "messages": [{"name": "m"}]}));
    world.act(ann, 2, 3, json!({}));
    world.send(bob, json!({"action": 10, "channel": "room", "channelSerial": attached["channelSerial"]}));
    assert_eq!(world.events(bob), ["enter ann", "leave ann"]);
    let carol = world.connect(0, "carol");
    world.send(carol, json!({"action": 10, "channel": "room", "params": {"rewind": "10"}}));
    let frames = world.take(carol);
    assert!(frames.iter().any(|frame| frame["action"] == 15) && !frames.iter().any(|frame| frame["action"] == 14));
}

/// Found by the simulation: what its relay had given up a client sends again, behind what it said later.
#[test]
fn an_enter_that_was_long_taken_back_is_no_event() {
    let mut world = World::new(1);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    world.act(ann, 1, 2, json!({}));
    world.act(ann, 2, 3, json!({}));
    world.take(ann);
    world.act(ann, 0, 2, json!({}));
    assert_eq!(world.events(ann), [""; 0]);
    assert_eq!(world.present(), [""; 0]);
}
