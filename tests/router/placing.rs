//! Which object takes a connection.

use courtside::error::Code;
use courtside::protocol::door::Door;
use courtside::rpc::placement::Shard;
use courtside::rpc::{AppResponse, Refusal};

use crate::world::{KEY, World, get, mqtt_with, socket};

fn named() -> String {
    format!("/?key={KEY}&channel=scores")
}

#[test]
fn a_client_that_names_its_channel_comes_to_the_channels_own_object() {
    let mut world = World::new();
    let handover = world.come(&socket(&named())).held();
    assert_eq!((world.asked.len(), handover.shard), (1, Shard::CHANNEL));
    assert_eq!(handover.channel.unwrap().0.channel.as_str(), "scores");
    let handover = world.come(&socket(&format!("/?key={KEY}"))).held();
    assert_eq!((handover.shard, handover.channel), (Shard(0), None));
    assert_eq!(world.asked[1], "relay:demo/0");
    assert!(world.come(&get(&format!("/event-stream?channels=scores&key={KEY}"))).held().channel.is_some());
    assert!(world.come(&get(&format!("/event-stream?channels=scores,chat&key={KEY}"))).held().channel.is_none());
}

/// A relay watches its app, which can tell few.
#[test]
fn who_can_be_sent_away_is_held_by_a_relay() {
    let mut world = World::new();
    world.made = Box::new(|call| {
        let key = r#"{"name":"full","secret":"local-only"}"#;
        Ok(AppResponse::Config(Some(format!(r#"{{"id":"{}","keys":[{key}],"namespaces":[]}}"#, call.app.as_str()))))
    });
    let handover = world.come(&socket("/?key=made.full:local-only&channel=scores")).held();
    assert_eq!((handover.shard, handover.channel), (Shard(0), None), "its app can be ended");
    let token = crate::world::token("brief");
    let handover = world.come(&socket(&format!("/?access_token={token}&channel=scores"))).held();
    assert_eq!((handover.shard, handover.channel), (Shard(0), None), "its token can be revoked");
}

#[test]
fn one_object_after_another_is_asked_until_one_has_room() {
    let mut world = World::new();
    world.refuses = Box::new(|relay| {
        let is_open = relay.to_string().split_once('/').is_some_and(|(_, shard)| matches!(shard, "2" | "3"));
        (!is_open).then_some(Refusal::Full)
    });
    let handover = world.come(&socket(&named())).held();
    assert_eq!(world.asked[1..3], ["relay:demo/0", "relay:demo/1"]);
    assert_eq!((world.asked.len(), handover.channel.is_none()), (4, true), "{:?}", world.asked);
    assert_eq!(world.asked[3], format!("relay:demo/{}", handover.shard.0), "it is told which it is");
    world.come(&socket(&named())).held();
    assert_eq!(world.asked.len(), 5, "who is full is not asked again for a while");
}

#[test]
fn all_are_full_in_the_end() {
    let mut world = World::new();
    world.refuses = Box::new(|_| Some(Refusal::Full));
    assert_eq!(world.come(&socket(&named())).told(), (6, 50320));
    assert_eq!(world.asked.len(), 10, "the channel, and a relay of each tier");
}

#[test]
fn an_object_that_refuses_otherwise_is_the_last_to_be_asked() {
    let mut world = World::new();
    world.refuses = Box::new(|_| Some(Refusal::Busy { for_ms: 300 }));
    assert_eq!(world.come(&socket(&named())).told(), (6, 42910));
    assert_eq!(world.come(&socket(&named())).told(), (6, 42910));
    assert_eq!(world.asked.len(), 1, "and for a while not at all");
    world.now_ms += 300;
    world.refuses = Box::new(|_| Some(Refusal::Error(Code::TokenRevoked.into())));
    assert_eq!(world.come(&socket(&named())).told(), (9, 40141));
    world.refuses = Box::new(|_| None);
    world.come(&socket(&named())).held();
    assert_eq!(world.asked.len(), 3);
}

#[test]
fn a_client_of_mqtt_comes_to_its_own_relay_and_with_a_session_to_no_other() {
    let come =
        |world: &mut World, flags| world.come_by(&socket("/mqtt"), &mqtt_with(flags, "ann", "demo.full", "local-only"));
    let (is_clean, is_kept) = (0xc2, 0xc0);
    let mut world = World::new();
    let home = come(&mut world, is_kept).held().shard;
    let handover = come(&mut world, is_clean).held();
    assert!(handover.shard == home && matches!(handover.opening.door, Some(Door::Mqtt(_))));
    let homes = format!("relay:demo/{}", home.0);
    world.refuses = Box::new(move |relay| (relay.to_string() == homes).then_some(Refusal::Full));
    assert_eq!(come(&mut world, is_clean).held().shard, Shard(0));
    assert!(format!("{:?}", come(&mut world, is_kept)).contains("[32, 2, 0, 3]"), "0x89 in version 5");
}
