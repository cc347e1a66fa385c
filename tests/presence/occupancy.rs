//! How many are on a channel: who asks gets the truth, who listens hears of it soon, and neither costs a call for each.

use courtside::auth::{Capability, Identity};
use courtside::channel::{Channel, Effect};
use courtside::limits::{DIRECT_RELAYS_MAX, OCCUPANCY_INTERVAL_MS, PROBE_ANSWER_MS, PROBE_INTERVAL_MS};
use courtside::model::flags::Modes;
use courtside::model::name::{AppId, ChannelName};
use courtside::object::Input;
use courtside::rpc::Ticket;
use courtside::rpc::{Address, LocalOccupancy, Occupancy, Probed, RelayName, Request, Rules};
use serde_json::{Value, json};

use crate::support::memory_store::MemoryStore;
use crate::world::{Client, NOW_MS, World};

/// Connections, publishers, subscribers, connections that may enter, members, those who are told of them.
fn counts(world: &mut World) -> [u32; 6] {
    let occupancy = world.count();
    let metrics =
        ["connections", "publishers", "subscribers", "presenceConnections", "presenceMembers", "presenceSubscribers"];
    metrics.map(|metric| occupancy.get(metric).unwrap())
}

fn attach_with(world: &mut World, client: Client, params: Value) {
    world.send(client, json!({"action": 10, "channel": "room", "params": params}));
}

fn listen(world: &mut World, client: Client) {
    attach_with(world, client, json!({"occupancy": "metrics"}));
}

fn listens_to(metric: &str, told: &str) -> bool {
    told.contains(&format!("\"{metric}\":"))
}

fn number(told: &str, metric: &str) -> u64 {
    serde_json::from_str::<Value>(told).unwrap()["metrics"][metric].as_u64().unwrap()
}

#[test]
fn who_asks_is_told_how_many_are_on_all_relays() {
    let mut world = World::new(3);
    assert_eq!(counts(&mut world), [0; 6]);
    let clients: Vec<Client> = (0..6).map(|n| world.connect(n % 3, "ann")).collect();
    clients.iter().for_each(|client| world.attach(*client));
    assert_eq!(counts(&mut world), [6, 6, 6, 6, 0, 6]);
    world.act(clients[0], 0, 2, json!({}));
    world.act(clients[1], 0, 2, json!({}));
    assert_eq!(counts(&mut world), [6, 6, 6, 6, 2, 6]);
    world.send(clients[0], json!({"action": 12, "channel": "room"}));
    world.send(clients[1], json!({"action": 7}));
    world.lose(clients[2]);
    assert_eq!(counts(&mut world), [3, 3, 3, 3, 0, 3]);
}

#[test]
fn what_counts_is_what_a_connection_may_do() {
    let mut world = World::new(1);
    let may = |text: &str| Capability::parse(&format!("{{\"room\":{text}}}")).unwrap();
    let identity = || Identity::parse(Some("ann")).unwrap();
    let reader = world.open(0, identity(), may("[\"subscribe\"]"), &[]);
    world.attach(reader);
    assert_eq!(counts(&mut world), [1, 0, 1, 0, 0, 1]);
    let full = world.open(0, identity(), Capability::full(), &[]);
    attach_with(&mut world, full, json!({"modes": "publish"}));
    assert_eq!(counts(&mut world), [2, 1, 1, 0, 0, 1]);
    attach_with(&mut world, full, json!({"modes": "presence,presence_subscribe"}));
    assert_eq!(counts(&mut world), [2, 0, 1, 1, 0, 2], "as it attached last");
    world.send(full, json!({"action": 10, "channel": "[?modes=publish]room"}));
    assert_eq!(counts(&mut world), [2, 1, 1, 1, 0, 2], "one connection, under two names");
    world.send(full, json!({"action": 12, "channel": "room"}));
    assert_eq!(counts(&mut world), [2, 1, 1, 0, 0, 1]);
    world.send(full, json!({"action": 10, "channel": "[?modes=fly]room"}));
    assert_eq!(counts(&mut world), [2, 1, 1, 0, 0, 1], "what is refused changes nothing");
}

#[test]
fn whoever_forgets_counts_right_again() {
    let mut world = World::new(2);
    let clients: Vec<Client> = (0..4).map(|n| world.connect(n % 2, "ann")).collect();
    clients.iter().for_each(|client| world.attach(*client));
    world.forget_channel();
    assert_eq!(counts(&mut world), [4, 4, 4, 4, 0, 4]);
    world.forget_relay(0);
    assert_eq!(counts(&mut world), [4, 4, 4, 4, 0, 4]);
    world.kill_relay(1);
    assert_eq!(counts(&mut world), [2, 2, 2, 2, 0, 2]);
}

#[test]
fn a_relay_that_does_not_answer_is_waited_for_a_while() {
    let mut world = World::new(2);
    let clients: Vec<Client> = (0..2).map(|n| world.connect(n, "ann")).collect();
    clients.iter().for_each(|client| world.attach(*client));
    assert_eq!(world.count().get("connections"), Some(2));
    world.objects.lost_probes = true;
    world.ask_count();
    assert_eq!(world.counted(), None);
    world.pass(PROBE_ANSWER_MS);
    assert_eq!(world.counted().unwrap().get("connections"), Some(2), "as it said last");
}

#[test]
fn who_listens_is_told_at_once_of_the_first_and_soon_of_others() {
    let mut world = World::new(2);
    let listener = world.connect(0, "listener");
    listen(&mut world, listener);
    world.pass(1_000);
    let told = world.told(listener);
    assert_eq!(number(told.last().expect("on attach"), "connections"), 1);
    assert_eq!(number(told.last().unwrap(), "presenceMembers"), 0);

    world.pass(60_000);
    world.told(listener);
    world.act(listener, 0, 2, json!({}));
    assert_eq!(number(&world.told(listener)[0], "presenceMembers"), 1, "the first, at once");
    let other = world.connect(1, "other");
    world.attach(other);
    assert!(world.told(listener).is_empty(), "another, not yet");
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().unwrap(), "connections"), 2);
    world.pass(60_000);
    world.act(listener, 1, 3, json!({}));
    assert_eq!(number(&world.told(listener)[0], "presenceMembers"), 0, "the last, at once");
    world.pass(60_000);
    assert!(world.told(listener).is_empty(), "nothing changed");
}

/// Some clients keep the serial of the last frame, whatever that has.
#[test]
fn who_is_told_how_many_there_are_keeps_its_place() {
    let mut world = World::new(2);
    let listeners = [world.connect(0, "listener"), world.connect(0, "second")];
    let publisher = world.connect(1, "publisher");
    world.attach(publisher);
    for (index, listener) in listeners.into_iter().enumerate() {
        listen(&mut world, listener);
        let message = json!({"action": 15, "msgSerial": index, "channel": "room", "messages": [{"data": "x"}]});
        world.send(publisher, message);
        world.pass(60_000);
    }
    for listener in listeners {
        world.act(publisher, 2, 2, json!({}));
        world.pass(60_000);
        let frames: Vec<Value> = world.take(listener);
        let placed: Vec<_> =
            frames.iter().filter(|frame| [11, 14, 15].contains(&frame["action"].as_u64().unwrap())).collect();
        let serials: Vec<_> = placed.iter().map(|frame| frame["channelSerial"].as_str().expect("a place")).collect();
        assert!(serials.is_sorted(), "{frames:?}");
        let of_count = |frame: &&&Value| frame["messages"][0]["action"] == 3;
        assert!(placed.iter().filter(of_count).count() > 1, "{frames:?}");
    }
}

#[test]
fn a_listener_elsewhere_hears_of_the_last_publisher_at_once() {
    let mut world = World::new(2);
    let listener = world.connect(0, "listener");
    attach_with(&mut world, listener, json!({"occupancy": "metrics.publishers", "modes": "subscribe"}));
    let publisher = world.connect(1, "publisher");
    world.attach(publisher);
    world.pass(60_000);
    let told = world.told(listener);
    assert_eq!(told.last().map(String::as_str), Some(r#"{"metrics":{"publishers":1}}"#));
    assert!(told.iter().all(|told| !listens_to("connections", told)));
    let other = world.connect(1, "subscriber");
    attach_with(&mut world, other, json!({"modes": "subscribe"}));
    world.pass(60_000);
    assert!(world.told(listener).is_empty(), "that is not what it listens to");
    world.send(publisher, json!({"action": 7}));
    assert_eq!(world.told(listener), [r#"{"metrics":{"publishers":0}}"#]);
}

#[test]
fn who_joins_the_listeners_is_told_on_attach() {
    let mut world = World::new(1);
    let (first, second) = (world.connect(0, "first"), world.connect(0, "second"));
    listen(&mut world, first);
    world.pass(10_000);
    listen(&mut world, second);
    assert_eq!(number(world.told(second).last().expect("at once"), "connections"), 2);
    world.pass(10_000);
    assert!(world.told(second).is_empty());
    // A re-attach that begins to listen, though nothing changes.
    let third = world.connect(0, "third");
    world.attach(third);
    world.pass(10_000);
    listen(&mut world, third);
    assert_eq!(number(&world.told(third)[0], "connections"), 3);
}

#[test]
fn ten_thousand_joins_cost_few_calls() {
    let mut world = World::new(2);
    let listener = world.connect(0, "listener");
    listen(&mut world, listener);
    world.pass(10_000);
    let before = world.objects.calls.clone();
    world.told(listener);
    for _ in 0..100 {
        for _ in 0..100 {
            let client = world.connect(1, "fan");
            world.attach(client);
            world.take(client);
        }
        world.pass(10);
    }
    let calls = |name: &str| world.objects.calls[name] - before.get(name).copied().unwrap_or_default();
    assert!(calls("report") <= 3 && calls("subscribe") == 1, "{:?}", world.objects.calls);
    assert!(calls("probe") <= 5, "{:?}", world.objects.calls);
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    let told = world.told(listener);
    assert!(told.len() <= 4, "{told:?}");
    assert_eq!(number(told.last().unwrap(), "connections"), 10_001);
}

#[test]
fn nobody_reports_when_nobody_listens() {
    let mut world = World::new(2);
    let listener = world.connect(0, "listener");
    for _ in 0..2 {
        let client = world.connect(1, "fan");
        world.attach(client);
        world.pass(10_000);
    }
    assert_eq!(world.objects.calls.get("report"), None);
    listen(&mut world, listener);
    world.pass(PROBE_INTERVAL_MS);
    world.send(listener, json!({"action": 12, "channel": "room"}));
    world.pass(60_000);
    let before = world.objects.calls.clone();
    for _ in 0..10 {
        let client = world.connect(1, "fan");
        world.attach(client);
        world.pass(10_000);
    }
    assert!(world.objects.calls["report"] - before["report"] <= 1, "{:?}", world.objects.calls);
    assert_eq!(world.objects.calls["probe"], before["probe"], "nor is anybody asked");
}

#[test]
fn those_who_listen_go_on_when_something_forgets_or_dies() {
    let mut world = World::new(2);
    let listener = world.connect(0, "listener");
    listen(&mut world, listener);
    let others: Vec<Client> = (0..3).map(|_| world.connect(1, "other")).collect();
    others.iter().for_each(|client| world.attach(*client));
    world.pass(10_000);
    world.forget_channel();
    world.send(others[0], json!({"action": 7}));
    world.pass(PROBE_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().unwrap(), "connections"), 3);
    world.forget_relay(1);
    world.send(others[1], json!({"action": 7}));
    world.pass(2 * PROBE_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().unwrap(), "connections"), 2);
    world.forget_relay(0);
    world.send(others[2], json!({"action": 7}));
    world.pass(2 * PROBE_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().unwrap(), "connections"), 1);
    let other = world.connect(1, "other");
    world.attach(other);
    world.pass(10_000);
    world.kill_relay(1);
    world.pass(2 * PROBE_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().unwrap(), "connections"), 1, "without a word");
}

#[test]
fn occupancy_is_no_message_of_the_channel() {
    let mut world = World::new(1);
    let (listener, plain) = (world.connect(0, "listener"), world.connect(0, "plain"));
    world.attach(plain);
    listen(&mut world, listener);
    world.pass(10_000);
    let frames = world.take(listener);
    let frame = frames.iter().find(|frame| frame["action"] == 15).expect("it is told");
    let message = &frame["messages"][0];
    let attached = frames.iter().find(|frame| frame["action"] == 11).expect("it is attached");
    assert_eq!((&frame["channelSerial"], message.get("serial")), (&attached["channelSerial"], None));
    assert_eq!((&message["action"], &message["encoding"]), (&json!(3), &json!("json")));
    assert!(world.told(plain).is_empty());
    assert!(world.store().rows.is_empty());
}

#[test]
fn what_may_not_be_known_or_is_no_metric_is_refused() {
    let mut world = World::new(1);
    let may = Capability::parse("{\"room\":[\"subscribe\",\"publish\"]}").unwrap();
    let client = world.open(0, Identity::parse(Some("ann")).unwrap(), may, &[]);
    listen(&mut world, client);
    let code = |frames: Vec<Value>| frames.last().unwrap()["error"]["code"].as_u64();
    assert_eq!(code(world.take(client)), Some(40160));
    let full = world.connect(0, "full");
    for wrong in ["", "metric", "metrics.lurkers"] {
        attach_with(&mut world, full, json!({"occupancy": wrong}));
        assert_eq!(code(world.take(full)), Some(40003), "{wrong}");
    }
    assert_eq!(world.count().get("connections"), Some(0));
    world.attach(client);
    assert_eq!(world.count().get("connections"), Some(1));
}

/// Found by the simulation: an answer that came after the relay was found to have nobody was counted for ever.
#[test]
fn what_comes_late_from_a_relay_that_has_nobody_any_more_is_not_counted() {
    let mut world = World::new(8);
    let ann = world.connect(0, "ann");
    world.attach(ann);
    let gone = RelayName::shard(&AppId::parse("demo").unwrap(), 7);
    let mut here = Occupancy::default();
    here.count(Modes::DEFAULT, 1);
    let local_occupancy = LocalOccupancy { here, listeners: 1 };
    let answer = Some(Probed { missing: Vec::new(), local_occupancy });
    world.tell_channel(Input::Probed { relay: gone.clone(), attempt: 1, answer });
    assert_eq!(counts(&mut world)[0], 1);
    // What it says of itself may be true, so it is asked.
    world.call(Request::Report(gone, local_occupancy));
    assert_eq!(counts(&mut world)[0], 1);
}

/// A channel by itself.
fn room() -> (AppId, MemoryStore, Channel) {
    let mut store = MemoryStore::default();
    let app = AppId::parse("demo").unwrap();
    let to = Address { app: app.clone(), channel: ChannelName::parse("room").unwrap() };
    let rules = Rules { max_members: 2, ..Rules::of(courtside::auth::Rules::NONE) };
    let channel = Channel::wake(&mut store, Some((&to, &rules)), "life", NOW_MS).unwrap().unwrap();
    (app, store, channel)
}

/// A relay that others feed was asked while nobody was there, and somebody came before the answer. It has no reason to
/// subscribe again, and says who is there.
#[test]
fn a_relay_below_that_was_forgotten_is_counted_when_it_reports() {
    let (app, mut store, mut channel) = room();
    let shards: Vec<RelayName> = (0..=DIRECT_RELAYS_MAX as u16).map(|n| RelayName::shard(&app, n)).collect();
    for relay in &shards {
        channel.subscribe(&mut store, relay.clone(), LocalOccupancy::default()).unwrap();
    }
    let below = shards.last().unwrap();
    let asked = |channel: &mut Channel, store: &mut MemoryStore, ticket| {
        channel.count(Ticket(ticket)).unwrap();
        let mut asked = Vec::new();
        for effect in channel.follow_up(store, NOW_MS) {
            if let Effect::Probe { relay, attempt, .. } = effect {
                asked.push(relay.clone());
                channel.probed(store, &relay, attempt, Some(Default::default()), NOW_MS);
            }
        }
        asked
    };
    assert!(asked(&mut channel, &mut store, 1).contains(below));
    assert!(!asked(&mut channel, &mut store, 2).contains(below), "nobody was there");
    let mut local_occupancy = LocalOccupancy::default();
    local_occupancy.here.count(Modes::SUBSCRIBE, 1);
    channel.report(&mut store, below, local_occupancy).unwrap();
    assert!(asked(&mut channel, &mut store, 3).contains(below));
}

/// Found by the simulation: of two tellings that were under way the earlier came last.
#[test]
fn one_telling_is_under_way_at_a_time() {
    let (app, mut store, mut channel) = room();
    let relay = RelayName::shard(&app, 0);
    let local_occupancy = |connections| {
        let mut local_occupancy = LocalOccupancy { listeners: 1, ..LocalOccupancy::default() };
        local_occupancy.here.count(Modes::SUBSCRIBE, connections);
        local_occupancy
    };
    let told = |effects: Vec<Effect>| {
        let told = |effect| match effect {
            Effect::Probe { attempt, probe, .. } => Some((attempt, probe.occupancy?.get("connections")?)),
            _ => None,
        };
        effects.into_iter().filter_map(told).collect::<Vec<_>>()
    };
    channel.subscribe(&mut store, relay.clone(), local_occupancy(1)).unwrap();
    let first = told(channel.follow_up(&mut store, NOW_MS));
    assert_eq!(first.iter().map(|(_, connections)| *connections).collect::<Vec<_>>(), [1]);
    channel.report(&mut store, &relay, local_occupancy(2)).unwrap();
    let later_ms = NOW_MS + OCCUPANCY_INTERVAL_MS;
    assert_eq!(told(channel.follow_up(&mut store, later_ms)), []);
    let answer = Probed { missing: Vec::new(), local_occupancy: local_occupancy(2) };
    let second = told(channel.probed(&mut store, &relay, first[0].0, Some(answer), later_ms));
    assert_eq!(second.last().map(|(_, connections)| *connections), Some(2));
}

/// A listener on one relay, and so many connections on another that reports them.
fn told_of(world: &mut World, fans: usize) -> Client {
    let listener = world.connect(0, "listener");
    listen(world, listener);
    (0..fans).for_each(|_| fan(world));
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    let told = world.told(listener);
    assert_eq!(number(told.last().unwrap(), "connections"), 1 + fans as u64);
    listener
}

fn fan(world: &mut World) {
    let client = world.connect(1, "fan");
    world.attach(client);
}

/// Sooner than the channel would ask by itself.
const TOLD_AGAIN_MS: u64 = PROBE_ANSWER_MS + 2 * OCCUPANCY_INTERVAL_MS;
const _: () = assert!(2 * OCCUPANCY_INTERVAL_MS + TOLD_AGAIN_MS < PROBE_INTERVAL_MS);

#[test]
fn a_report_that_failed_is_repeated() {
    let mut world = World::new(2);
    let listener = told_of(&mut world, 2);
    world.cut_off(1);
    fan(&mut world);
    world.pass(OCCUPANCY_INTERVAL_MS);
    world.objects.unreachable.clear();
    world.pass(2 * OCCUPANCY_INTERVAL_MS);
    assert_eq!(number(world.told(listener).last().expect("news"), "connections"), 4);
}

#[test]
fn what_a_relay_may_not_have_been_told_it_is_told_again() {
    let mut world = World::new(2);
    let listener = told_of(&mut world, 2);
    world.objects.lost_probes = true;
    fan(&mut world);
    world.pass(OCCUPANCY_INTERVAL_MS);
    world.objects.lost_probes = false;
    world.pass(TOLD_AGAIN_MS);
    assert_eq!(number(world.told(listener).last().expect("news"), "connections"), 4);
}

#[test]
fn a_relay_that_lost_what_it_was_told_is_told_again() {
    let mut world = World::new(2);
    let listener = told_of(&mut world, 2);
    world.forget_relay(0);
    listen(&mut world, listener);
    world.pass(TOLD_AGAIN_MS);
    assert_eq!(number(world.told(listener).last().expect("again"), "connections"), 3);
}
