//! What a relay publishes comes back to it with the answer; and when that is lost, by a delivery.

#[allow(dead_code, reason = "other tests need more of the bench")]
mod support {
    pub mod bench;
    pub mod grant;
    pub mod memory_store;
}

use courtside::channel::{Channel, Effect};
use courtside::limits::CARRIED_CHECK_MS;
use courtside::model::serial::Position;
use courtside::relay;
use courtside::rpc::{
    Answer, Delivered, Delivery, LocalOccupancy, RelayName, Request, Response, Standing, Subscribed, Ticket,
};

use support::bench::*;
use support::memory_store::MemoryStore;

const ATTACH: &str = r#"{"action":10,"channel":"room"}"#;

struct Scene {
    store: MemoryStore,
    channel: Channel,
    begun: Subscribed,
    published: u64,
}

impl Scene {
    /// A channel that feeds two relays.
    fn new() -> Scene {
        let mut store = MemoryStore::default();
        let mut channel = wake(&mut store);
        channel.subscribe(&mut store, name(1), LocalOccupancy::default()).unwrap();
        let begun = channel.subscribe(&mut store, name(0), LocalOccupancy::default()).unwrap();
        Scene { store, channel, begun, published: 0 }
    }

    /// The first relay publishes, and says that it stands here.
    fn publish(&mut self, position: Position, now_ms: u64) -> Vec<Effect> {
        let standing = Standing { relay: name(0), epoch: EPOCH.into(), position };
        let publish = numbered("c", self.published);
        self.published += 1;
        self.channel.publish_by(Ticket(self.published), standing, vec![publish]).unwrap();
        self.channel.commit(&mut self.store, now_ms)
    }

    fn arrived(&mut self, to: u16, attempt: u64, at: Position, now_ms: u64) -> Vec<Effect> {
        self.channel.delivered(&mut self.store, &name(to), attempt, Some(Delivered::At(at)), now_ms)
    }

    /// Rings the timer that asks whether what was carried arrived.
    fn check(&mut self, now_ms: u64) -> Vec<Effect> {
        self.channel.follow_up(&mut self.store, now_ms)
    }
}

fn name(shard: u16) -> RelayName {
    RelayName::shard(app().id(), shard)
}

fn carried(effects: &[Effect]) -> Option<&Delivery> {
    effects.iter().find_map(|effect| match effect {
        Effect::Reply(_, Ok(Response::Carried(_, delivery))) => Some(delivery),
        _ => None,
    })
}

/// What goes to one relay by a call.
fn called(effects: &[Effect], shard: u16) -> Option<(u64, &Delivery)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Deliver { relay, attempt, delivery } if *relay == name(shard) => Some((*attempt, delivery)),
        _ => None,
    })
}

#[test]
fn the_answer_carries_the_delivery_to_who_publishes_and_others_are_called() {
    let mut scene = Scene::new();
    let effects = scene.publish(scene.begun.position, NOW_MS);
    let first = carried(&effects).expect("it is fed").clone();
    assert_eq!((first.prior, first.entries.entries().unwrap().len()), (scene.begun.position, 1));
    assert_eq!(called(&effects, 0), None);
    assert_eq!(called(&effects, 1).expect("another relay").1.through, first.through);

    // It says that it has it, so that nobody asks.
    let effects = scene.publish(first.through, NOW_MS + 1);
    let second = carried(&effects).expect("nothing else is under way").clone();
    assert_eq!(second.prior, first.through);
    assert_eq!(scene.channel.checks_at_ms(), Some(NOW_MS + 1 + CARRIED_CHECK_MS));
}

#[test]
fn who_did_not_get_the_answer_gets_it_with_that_to_the_repeat() {
    let mut scene = Scene::new();
    let lost = carried(&scene.publish(scene.begun.position, NOW_MS)).cloned().unwrap();
    scene.published -= 1;
    let effects = scene.publish(scene.begun.position, NOW_MS + 50);
    let again = carried(&effects).expect("it is still to be delivered");
    assert_eq!((again.prior, again.through), (lost.prior, lost.through));
}

#[test]
fn who_falls_silent_is_asked_once_whether_the_answer_came() {
    let mut scene = Scene::new();
    let lost = carried(&scene.publish(scene.begun.position, NOW_MS)).cloned().unwrap();
    let at_ms = scene.channel.checks_at_ms().expect("it wants to know");
    assert_eq!(called(&scene.check(at_ms - 1), 0), None);
    let effects = scene.check(at_ms);
    let (attempt, probe) = called(&effects, 0).expect("it asks");
    assert_eq!((probe.prior, probe.through), (lost.through, lost.through));
    let effects = scene.arrived(0, attempt, lost.prior, at_ms);
    let (attempt, again) = called(&effects, 0).expect("the relay lacks it");
    assert_eq!((again.prior, again.through), (lost.prior, lost.through));
    assert_eq!(called(&scene.arrived(0, attempt, lost.through, at_ms), 0), None);
    assert_eq!(scene.channel.checks_at_ms(), None);
}

#[test]
fn nothing_is_carried_to_who_is_being_delivered_something() {
    let mut scene = Scene::new();
    scene.channel.publish(Ticket(9), vec![numbered("other", 0)]).unwrap();
    let effects = scene.channel.commit(&mut scene.store, NOW_MS);
    let (attempt, under_way) = called(&effects, 0).map(|(attempt, delivery)| (attempt, delivery.clone())).unwrap();
    let effects = scene.publish(scene.begun.position, NOW_MS);
    assert_eq!((carried(&effects), called(&effects, 0)), (None, None), "one at a time");
    let effects = scene.arrived(0, attempt, under_way.through, NOW_MS);
    assert_eq!(called(&effects, 0).expect("the rest").1.prior, under_way.through);
}

/// A relay may have lost its sockets: only its answer to a call tells.
#[test]
fn nothing_is_carried_to_one_of_which_it_is_doubted_that_anybody_listens() {
    let mut scene = Scene::new();
    scene.channel.report(&mut scene.store, &name(0), LocalOccupancy::default()).unwrap();
    let effects = scene.publish(scene.begun.position, NOW_MS);
    assert_eq!(carried(&effects), None);
    assert!(called(&effects, 0).is_some());
}

/// A channel that lost its memory takes a relay for one that has all, until that says where it stands.
#[test]
fn who_is_behind_a_channel_that_lost_its_memory_is_carried_all() {
    let mut scene = Scene::new();
    scene.channel.publish(Ticket(9), vec![numbered("other", 0)]).unwrap();
    scene.channel.commit(&mut scene.store, NOW_MS);
    scene.channel = wake(&mut scene.store);
    let effects = scene.publish(scene.begun.position, NOW_MS);
    let delivery = carried(&effects).expect("it says where it stands");
    assert_eq!((delivery.prior, delivery.entries.entries().unwrap().len()), (scene.begun.position, 2));
}

#[test]
fn a_place_in_another_life_of_the_channel_says_nothing() {
    let mut scene = Scene::new();
    let first = carried(&scene.publish(scene.begun.position, NOW_MS)).cloned().unwrap();
    let standing = Standing { relay: name(0), epoch: "before".into(), position: Position(3) };
    scene.channel.publish_by(Ticket(9), standing, vec![numbered("c", 9)]).unwrap();
    let effects = scene.channel.commit(&mut scene.store, NOW_MS);
    assert_eq!(carried(&effects).expect("as if it had said nothing").prior, first.through);
}

/// By the relay: its readers have the message before its publisher is told that it is published.
#[test]
fn a_relay_gives_out_what_an_answer_carries() {
    let mut scene = Scene::new();
    let mut relay = relay();
    connect(&mut relay, 1);
    let (subscribe, _) = call(&send(&mut relay, 1, ATTACH));
    relay.answered(subscribe, Some(Ok(Response::Subscribed(scene.begun.clone()))), NOW_MS);
    let published = send(&mut relay, 1, r#"{"action":15,"channel":"room","msgSerial":0,"messages":[{"data":"x"}]}"#);
    let (ticket, request) = call(&published);
    let Request::PublishBy(standing, publishes) = request else { panic!("{request:?}") };
    assert_eq!(standing, Standing { relay: name(0), epoch: EPOCH.into(), position: scene.begun.position });
    scene.channel.publish_by(Ticket(1), standing, publishes).unwrap();
    let effects = scene.channel.commit(&mut scene.store, NOW_MS);
    let answer: Answer<Response> = effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Reply(_, answer) => Some(answer),
            _ => None,
        })
        .unwrap();
    let effects: Vec<relay::Effect> = relay.answered(ticket, Some(answer), NOW_MS);
    let said: Vec<u64> = frames(&effects, 1)
        .iter()
        .map(|frame| serde_json::from_str::<serde_json::Value>(frame).unwrap()["action"].as_u64().unwrap())
        .collect();
    assert_eq!(said, [15, 1], "the message, then the ACK");
}
