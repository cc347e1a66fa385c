//! When a channel delivers that does so in intervals: told by hand where the stories and the simulation rarely come.

mod support {
    pub mod memory_store;
}

use courtside::auth::Source;
use courtside::channel::{Channel, Effect};
use courtside::limits::{DELIVERY_TIMEOUT_MS, PACE_MAX_BYTES};
use courtside::model::data::Data;
use courtside::model::message::Message;
use courtside::model::name::{AppId, ChannelName};
use courtside::model::serial::Position;
use courtside::rpc::Ticket;
use courtside::rpc::{Address, Delivered, Delivery, LocalOccupancy, Publish, PublishKey, RelayName, Rules, Submission};

use support::memory_store::MemoryStore;

const START_MS: u64 = 1_000_000;
const INTERVAL_MS: u64 = 500;

struct Scene {
    store: MemoryStore,
    channel: Channel,
    published: u64,
}

impl Scene {
    /// A channel that feeds so many relays.
    fn new(key: Option<&str>, relays: u16) -> Scene {
        let mut store = MemoryStore::default();
        let channel = wake(&mut store, key, START_MS);
        let mut scene = Scene { store, channel, published: 0 };
        for shard in 0..relays {
            scene.channel.subscribe(&mut scene.store, relay(shard), LocalOccupancy::default()).unwrap();
        }
        scene
    }

    fn publish(&mut self, name: &str, bytes: usize, now_ms: u64) -> Vec<Effect> {
        self.queue(name, bytes);
        self.channel.commit(&mut self.store, now_ms)
    }

    fn queue(&mut self, name: &str, bytes: usize) {
        self.published += 1;
        let data = Data::Text("x".repeat(bytes));
        let message = Message { name: Some(name.to_owned()), data, ..Message::default() };
        let key = PublishKey::Id(format!("p{}", self.published));
        let publish =
            Publish { key, connection_id: None, by: Source::SERVER, content: Submission::Messages(vec![message]) };
        self.channel.publish(Ticket(self.published), vec![publish]).unwrap();
    }

    fn ring(&mut self, now_ms: u64) -> Vec<Effect> {
        self.channel.follow_up(&mut self.store, now_ms)
    }

    fn arrived(&mut self, shard: u16, attempt: u64, at: Position, now_ms: u64) -> Vec<Effect> {
        self.channel.delivered(&mut self.store, &relay(shard), attempt, Some(Delivered::At(at)), now_ms)
    }

    /// Everything of these effects arrives.
    fn settle(&mut self, effects: &[Effect], now_ms: u64) {
        for (shard, attempt, delivery) in deliveries(effects) {
            assert_eq!(deliveries(&self.arrived(shard, attempt, delivery.through, now_ms)), []);
        }
    }
}

fn wake(store: &mut MemoryStore, key: Option<&str>, now_ms: u64) -> Channel {
    let to = Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() };
    let rules = Rules {
        max_members: 0,
        interval_ms: INTERVAL_MS as u32,
        conflation_key: key.map(str::to_owned),
        commit_interval_ms: 300,
        ..Rules::of(courtside::auth::Rules::NONE)
    };
    Channel::wake(store, Some((&to, &rules)), "life", now_ms).unwrap().unwrap()
}

fn relay(shard: u16) -> RelayName {
    RelayName::shard(&AppId::parse("demo").unwrap(), shard)
}

fn deliveries(effects: &[Effect]) -> Vec<(u16, u64, Delivery)> {
    let shard = |name: &RelayName| (0..).find(|shard| relay(*shard) == *name).unwrap();
    let delivery = |effect: &Effect| match effect {
        Effect::Deliver { relay, attempt, delivery } => Some((shard(relay), *attempt, delivery.clone())),
        _ => None,
    };
    effects.iter().filter_map(delivery).collect()
}

/// The names of what is delivered to the first relay.
fn names(effects: &[Effect]) -> String {
    let deliveries = deliveries(effects);
    let Some((_, _, delivery)) = deliveries.first() else { return String::new() };
    let entries = delivery.entries.entries().unwrap();
    entries.iter().flat_map(|entry| entry.messages()).filter_map(|message| message.name.clone()).collect()
}

#[test]
fn an_interval_begins_with_each_delivery_and_an_ack_waits_for_none() {
    let mut scene = Scene::new(None, 2);
    let effects = scene.publish("a", 1, START_MS);
    assert_eq!((names(&effects).as_str(), deliveries(&effects).len()), ("a", 2));
    scene.settle(&effects, START_MS);
    assert_eq!(scene.channel.paces_until_ms(), None, "nothing waits");
    for (name, after_ms) in [("b", 1), ("c", 499)] {
        let effects = scene.publish(name, 1, START_MS + after_ms);
        assert!(matches!(effects[..], [Effect::Reply(_, Ok(_))]), "{effects:?}");
        assert_eq!(scene.channel.paces_until_ms(), Some(START_MS + 500));
        assert!(scene.channel.deadline() <= Some(START_MS + 500 + DELIVERY_TIMEOUT_MS));
    }
    assert_eq!(scene.ring(START_MS + 499), []);
    let effects = scene.ring(START_MS + 500);
    assert_eq!((names(&effects).as_str(), deliveries(&effects).len()), ("bc", 2));
    scene.settle(&effects, START_MS + 500);
    assert_eq!(names(&scene.publish("d", 1, START_MS + 999)), "");
    assert_eq!(names(&scene.publish("e", 1, START_MS + 1_000)), "de", "whatever comes first ends it");
}

#[test]
fn nobody_is_waited_for_where_nobody_listens() {
    let mut scene = Scene::new(None, 0);
    scene.publish("a", 1, START_MS);
    scene.publish("b", 1, START_MS + 1);
    assert_eq!(scene.channel.paces_until_ms(), None);
    scene.channel.subscribe(&mut scene.store, relay(0), LocalOccupancy::default()).unwrap();
    assert_eq!(names(&scene.ring(START_MS + 500)), "", "it begins behind what came before it");
    assert_eq!(names(&scene.publish("c", 1, START_MS + 1_100)), "c");
}

#[test]
fn more_than_fits_a_delivery_does_not_wait() {
    let mut scene = Scene::new(None, 1);
    let effects = scene.publish("a", 1, START_MS);
    scene.settle(&effects, START_MS);
    let (bytes, mut waiting) = (60_000, 0);
    let effects = loop {
        let effects = scene.publish("b", bytes, START_MS + 10);
        waiting += bytes;
        if waiting > PACE_MAX_BYTES {
            break effects;
        }
        assert_eq!(deliveries(&effects), []);
    };
    let delivery = &deliveries(&effects)[0].2;
    assert!(delivery.entries.len() > PACE_MAX_BYTES - bytes);
    let (attempt, through) = (deliveries(&effects)[0].1, delivery.through);
    let rest = scene.arrived(0, attempt, through, START_MS + 20);
    assert_eq!(names(&rest), "b", "what does not fit follows at once");
    scene.settle(&rest, START_MS + 20);
    assert_eq!(names(&scene.publish("c", 1, START_MS + 509)), "", "an interval began with it");
    assert_eq!(names(&scene.ring(START_MS + 510)), "c");
}

#[test]
fn a_clock_that_steps_back_holds_nothing_up() {
    let mut scene = Scene::new(None, 1);
    let effects = scene.publish("a", 1, START_MS + 60_000);
    scene.settle(&effects, START_MS + 60_000);
    assert_eq!(names(&scene.publish("b", 1, START_MS)), "b");
}

/// What waits is not given to one that asks for what follows its place, either: it would get it whole, and too soon.
#[test]
fn who_is_fed_by_another_relay_waits_too() {
    let mut scene = Scene::new(Some("#{message.name}"), 1);
    let effects = scene.publish("a", 1, START_MS);
    let place = deliveries(&effects)[0].2.through;
    scene.settle(&effects, START_MS);
    for name in ["b", "b", "c"] {
        scene.publish(name, 1, START_MS + 1);
    }
    let early = scene.channel.next(&mut scene.store, place, START_MS + 2).unwrap();
    assert_eq!((early.prior, early.through, early.entries.is_empty()), (place, place, true));
    let ahead = scene.channel.next(&mut scene.store, scene.channel.tip(), START_MS + 2).unwrap();
    assert_eq!((ahead.prior, ahead.through), (scene.channel.tip(), scene.channel.tip()));
    let due = scene.channel.next(&mut scene.store, place, START_MS + 500).unwrap();
    assert_eq!((due.through, due.entries.entries().unwrap().len()), (scene.channel.tip(), 2));
}

/// A relay that did not answer for a while gets what each interval had, and not the last alone; from the log, too.
#[test]
fn a_relay_that_was_slow_misses_no_more_than_others() {
    for forgets in [false, true] {
        let mut scene = Scene::new(Some("#{message.name}"), 1);
        let effects = scene.publish("a", 1, START_MS);
        let (_, attempt, first) = deliveries(&effects)[0].clone();
        for second in 1..4 {
            for after_ms in [0, 1, 2] {
                assert_eq!(deliveries(&scene.publish("a", 1, START_MS + second * 1_000 + after_ms)), []);
            }
        }
        let now_ms = START_MS + 4_000;
        let late = match forgets {
            false => scene.arrived(0, attempt, first.through, now_ms),
            true => {
                scene.channel = wake(&mut scene.store, Some("#{message.name}"), now_ms);
                let effects = scene.channel.tick(&mut scene.store, now_ms);
                let attempt = deliveries(&effects)[0].1;
                scene.arrived(0, attempt, first.through, now_ms)
            }
        };
        assert_eq!(names(&late), "aaa");
        assert_eq!(deliveries(&late)[0].2.through, scene.channel.tip());
    }
}

/// An interval that is over would have its timer ring again and again.
#[test]
fn what_waits_while_storage_fails_waits_for_storage() {
    let mut scene = Scene::new(None, 1);
    let effects = scene.publish("a", 1, START_MS);
    scene.settle(&effects, START_MS);
    scene.publish("b", 1, START_MS + 1);
    (scene.store.fail_append, scene.store.fail_load) = (true, true);
    scene.publish("c", 1, START_MS + 400);
    assert_eq!(scene.channel.paces_until_ms(), None);
    scene.store.fail_load = true;
    assert_eq!((deliveries(&scene.ring(START_MS + 600)), scene.channel.paces_until_ms()), (vec![], None));
    assert!(scene.channel.deadline().is_some_and(|due_ms| due_ms > START_MS + 600 && due_ms < START_MS + 2_000));
    assert_eq!(names(&scene.ring(START_MS + 1_200)), "b");
}

#[test]
fn a_commit_waits_for_the_pace_of_its_namespace_unless_much_waits() {
    let mut scene = Scene::new(None, 1);
    assert_eq!(scene.channel.commits_in_ms(START_MS), 0);
    scene.publish("a", 1, START_MS);
    scene.queue("b", 1);
    assert_eq!([0, 100, 300, 400].map(|later| scene.channel.commits_in_ms(START_MS + later)), [300, 200, 0, 0]);
    assert_eq!(scene.channel.commits_in_ms(START_MS - 1_000), 0, "the clock stepped back");
    for _ in 0..5 {
        assert_eq!(scene.channel.commits_in_ms(START_MS + 100), 200);
        scene.queue("c", 60_000);
    }
    assert_eq!(scene.channel.commits_in_ms(START_MS + 100), 0);
}
