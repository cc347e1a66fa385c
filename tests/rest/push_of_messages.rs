//! What messages push: where it goes, what is refused, and that a channel keeps it until the app has it.

use serde_json::{Value, json};

use crate::push::{SUBSCRIPTIONS, refused, registered};
use crate::world::{World, get, post};

fn message(push: Value) -> String {
    json!({"name": "goal", "extras": {"push": push, "headers": {"a": 1}}}).to_string()
}

#[test]
fn what_is_published_goes_to_devices_where_the_namespace_has_push() {
    let mut world = World::new();
    registered(&mut world, "d1", None);
    let push = json!({"notification": {"title": "Goal"}});
    for (channel, count) in [("push:a", 0), ("quiet:a", 0), ("push:b", 1), ("push:b", 2)] {
        if channel == "push:b" {
            let body = json!({"channel": channel, "deviceId": "d1"}).to_string();
            assert_eq!(world.send(post(SUBSCRIPTIONS, &body)).status, 201);
        }
        let path = format!("/channels/{channel}/messages");
        assert_eq!(world.send(post(&path, &message(push.clone()))).status, 201);
        assert_eq!(world.pushes().len(), count, "{channel}: what reaches nobody is done");
        let kept = world.send(get(&path)).json;
        assert_eq!(kept[0]["extras"]["push"], push, "subscribers get it as it is");
    }
    let batch = json!({"channels": ["push:b"], "messages": [{"data": "x"}, {"extras": {"push": push}}]});
    assert_eq!(world.send(post("/messages", &batch.to_string())).status, 201);
    assert_eq!(world.pushes().len(), 3, "one of the two");
    assert!(world.pushes()[2].starts_with("push:b ") && world.pushes()[2].ends_with(":001"), "{:?}", world.pushes());
}

#[test]
fn a_push_that_could_tell_nobody_anything_is_refused_where_there_is_push() {
    let mut world = World::new();
    let long = json!({"data": {"a": "x".repeat(20_000)}});
    for push in [json!({}), json!({"xxx": 5}), json!("hi"), json!({"notification": "hi"}), long] {
        let refusal = world.send(post("/channels/push:a/messages", &message(push.clone())));
        assert_eq!(refused(&refusal), (400, 40032), "{push}");
        assert_eq!(world.send(post("/channels/quiet:a/messages", &message(push))).status, 201);
    }
}

#[test]
fn a_push_waits_until_the_app_has_it() {
    let mut world = World::new();
    registered(&mut world, "d1", None);
    let body = json!({"channel": "push:a", "deviceId": "d1"}).to_string();
    world.send(post(SUBSCRIPTIONS, &body));
    let send = |world: &mut World| {
        let body = message(json!({"data": {"a": "b"}}));
        world.send(post("/channels/push:a/messages", &body)).status
    };
    world.is_app_lost = true;
    assert_eq!((send(&mut world), send(&mut world)), (201, 201), "no publisher waits for it");
    let at_ms = world.deadline().expect("an alarm");
    assert!(at_ms <= world.now_ms + courtside::limits::CHANNEL_PUSH_PAUSE_MS);
    world.now_ms = at_ms;
    world.tick();
    assert_eq!(world.pushes(), [""; 0]);
    world.is_app_lost = false;
    world.now_ms = world.deadline().expect("another alarm");
    world.tick();
    assert_eq!(world.pushes().len(), 2);
    assert_eq!(world.channel_pushes(), 0, "and the channel forgets them");
}

#[test]
fn a_channel_whose_app_takes_nothing_refuses_pushes_at_last() {
    let mut world = World::new();
    world.is_app_lost = true;
    let messages = vec![json!({"extras": {"push": {"data": {}}}}); courtside::limits::CHANNEL_PUSHES_MAX];
    let path = "/channels/push:a/messages";
    assert_eq!(world.send(post(path, &json!(messages).to_string())).status, 201);
    assert_eq!(refused(&world.send(post(path, &message(json!({"data": {}}))))), (429, 42911));
    assert_eq!(world.send(post(path, r#"{"data":"x"}"#)).status, 201, "others go on");
}
