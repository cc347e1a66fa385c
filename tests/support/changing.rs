//! Clients change what was published, say something of it, and share objects. In the end everybody sees what the log
//! says of each message, and the same objects.

use std::collections::BTreeMap;

use courtside::model::message::Entry;
use courtside::model::revision::Target;
use courtside::rpc::HistoryPage;
use serde_json::{Value, json};

use super::changes::{Tally, Truth};
use super::client::PresenceUpdate;
use super::frames::action;
use super::ledger::Logged;
use super::object_operations::some_operations;
use super::publish::Publish;
use super::replica::Replica;
use super::revisions::Change;
use super::subscription::{State, Subscription};
use super::world::{EPOCH_MS, World};

const TYPES: [&str; 5] = ["r:total.v1", "r:flag.v1", "r:distinct.v1", "r:unique.v1", "r:multiple.v1"];

/// Messages that are changed and annotated are of the last that there are.
const RECENT: usize = 8;

pub fn change(world: &mut World, client: usize, publishes: &mut u64) -> Vec<PresenceUpdate> {
    *publishes += 1;
    let tag = format!("p{publishes}");
    let unfiltered = world.homes[client].client.subscriptions.iter().filter(|at| at.filter.is_none());
    let candidates: Vec<_> = unfiltered.map(|at| (at.name.clone(), at.channel, at.replica.is_some())).collect();
    let (name, channel, has_objects) = world.random.pick(&candidates).clone();
    let recent = match world.ledger.book(channel).kind().mutable {
        true => world.ledger.recent(channel, RECENT),
        false => Vec::new(),
    };
    let changes = match world.random.below(10) {
        0..3 if has_objects => vec![(tag, operate(world, channel))],
        3..6 if !recent.is_empty() => revise(world, publishes, &recent),
        6.. if !recent.is_empty() => vec![(tag.clone(), annotate(world, client, &tag, &recent))],
        _ => return Vec::new(),
    };
    let client = &mut world.homes[client].client;
    let publish = |(tag, (change, messages))| {
        let name = name.clone();
        client.publish(Publish { name, channel, tag, messages, own_id: false, act: None, change: Some(change) }, false)
    };
    changes.into_iter().flat_map(publish).collect()
}

/// What a client changes at once: appends come in streams.
fn revise(world: &mut World, publishes: &mut u64, recent: &[(Target, String)]) -> Vec<(String, (Value, usize))> {
    let what = *world.random.pick(&[1, 2, 5, 5]);
    let count = if what == 5 { world.random.between(1, 3) } else { 1 };
    let (_, serial) = world.random.pick(recent);
    let mut one = || {
        *publishes += 1;
        let tag = format!("p{publishes}");
        let message = json!({"action": what, "serial": serial, "data": format!("{tag}/0;")});
        (tag, (json!({"action": action::MESSAGE, "messages": [message]}), 1))
    };
    (0..count).map(|_| one()).collect()
}

fn annotate(world: &mut World, client: usize, tag: &str, recent: &[(Target, String)]) -> (Value, usize) {
    let name = world.homes[client].pass.as_ref().map(|pass| pass.name.clone());
    let random = &mut world.random;
    let (_, serial) = random.pick(recent).clone();
    let count = random.between(1, 3) as usize;
    let mut one = || {
        let kind = *random.pick(&TYPES);
        let mut annotation = json!({
            "action": u8::from(random.chance(300)), "type": kind, "messageSerial": serial, "data": tag,
            "name": *random.pick(&["a", "b", "c"]), "clientId": name.clone().unwrap_or_else(|| format!("client{}", random.below(4))),
        });
        if kind == "r:multiple.v1" {
            annotation["count"] = json!(random.between(1, 3));
        }
        annotation
    };
    let annotations: Vec<Value> = (0..count).map(|_| one()).collect();
    (json!({"action": action::ANNOTATION, "annotations": annotations}), count)
}

fn operate(world: &mut World, channel: usize) -> (Value, usize) {
    let created_ms = EPOCH_MS + world.now_ms;
    let ids = &mut world.objects[channel];
    let state = some_operations(&mut world.random, ids, created_ms, 400);
    let count = state.len();
    (json!({"action": action::OBJECT, "state": state}), count)
}

/// What each client was shown of messages, and was told of what was said of them, is what the log says; and so is
/// history. Gives how many summaries were right.
pub fn check_messages(world: &World, channel: usize, history: &HistoryPage) -> usize {
    let truth = Truth::of(world.hosts[channel].disk().stored().rows.values().map(|row| &row.entries));
    let tallies: BTreeMap<Target, &Tally> =
        truth.messages.iter().map(|(target, told)| (*target, &told.tally)).collect();
    let entries: Vec<Entry> = history.entries.entries().expect("history is whole");
    for (entry, index) in entries.iter().flat_map(|entry| (0..entry.count()).map(move |index| (entry, index))) {
        let told = entry.counts(index).cloned().unwrap_or_default();
        let tally = tallies[&entry.target(index)];
        assert_eq!(tally.of_summary(&told), tally.counts(), "history of {:?}", entry.target(index));
    }
    let mut checked = 0;
    for home in &world.homes {
        let attached = home.client.subscriptions.iter().filter(|at| at.channel == channel && at.is_attached());
        for at in attached {
            let silent = home.client.silent(at);
            let heard = |logged: &Logged| silent.is_none() || logged.connection_id.as_deref() != silent;
            at.views.check(&at.name, channel, heard, &world.ledger);
            if at.filter.is_none() && at.rewind.is_none() {
                checked += at.views.check_summaries(channel, &tallies, &world.ledger);
            }
        }
    }
    let courses = world.ears.iter().flat_map(|ear| &ear.listener.courses);
    courses.filter(|course| course.channel == channel).for_each(|course| {
        course.views.check(&course.name, channel, |_| true, &world.ledger);
    });
    checked
}

/// Everybody who wants a channel's objects sees those that its log makes, once more by rules of its own; and so does
/// who comes now. Gives how many there are.
pub fn check_objects(world: &World, channel: usize) -> usize {
    let mut replay = Replica::default();
    let done = world.ledger.book(channel).entries().iter().filter_map(|logged| logged.change.as_ref());
    for change in done {
        if let Change::Objects(operations) = change {
            operations.iter().for_each(|operation| replay.apply(operation));
        }
    }
    let tree = replay.tree();
    for (index, home) in world.homes.iter().enumerate() {
        // SDKs share objects only where they hear what they do themselves.
        let sees = |at: &&Subscription| at.channel == channel && at.state == State::Attached;
        let replicas = home.client.subscriptions.iter().filter(sees);
        let hears_itself = replicas.filter(|at| home.client.silent(at).is_none());
        for replica in hears_itself.filter_map(|at| at.replica.as_ref()) {
            assert_eq!(replica.tree(), tree, "client {index} sees other objects than the log says");
        }
    }
    tree.as_object().map_or(0, serde_json::Map::len)
}
