//! A crowd reacts to one message, a hundred thousand times: counts are exact, also of a channel that lost its memory;
//! what it keeps in memory and what it tells at once are bounded, whatever the crowd.

mod support {
    pub mod held;
    pub mod memory_store;
}

use std::collections::BTreeMap;

use courtside::auth::Source;
use courtside::channel::{Channel, Effect};
use courtside::limits::{DELIVERY_MAX_BYTES, MESSAGE_MAX_BYTES, SUMMARY_CLIENTS_MAX, TAIL_MAX_BYTES};
use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::message::{Entry, Message};
use courtside::model::name::{AppId, ChannelName};
use courtside::model::presence::{PresenceAction, PresenceMessage};
use courtside::rpc::{
    Address, Delivered, HistoryQuery, Lease, LocalOccupancy, Outcome, PresenceUpdate, Publish, PublishKey, RelayName,
    Response, Rules, Submission, Ticket, VersionsQuery,
};
use serde_json::{Value, json};
use support::held;
use support::memory_store::MemoryStore;

const CLIENTS: usize = 20_000;
const NAMES: [&str; 4] = ["like", "love", "wow", "sad"];
const TOGETHER: usize = 1_000;
/// What a channel may keep in memory of all of them: the last of its log, and as much again.
const KEPT_MAX_BYTES: usize = 2 * TAIL_MAX_BYTES;
const START_MS: u64 = 1_000_000;
const INTERVAL_MS: u64 = 500;

/// A channel that delivers at intervals, to a relay that takes all, and what it told.
struct Scene {
    store: MemoryStore,
    channel: Channel,
    published: u64,
    now_ms: u64,
    deliveries: usize,
    last: Option<Value>,
}

fn wake(store: &mut MemoryStore) -> Channel {
    let to = Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("room").unwrap() };
    let rules = Rules { mutable: true, interval_ms: INTERVAL_MS as u32, ..Rules::of(courtside::auth::Rules::NONE) };
    Channel::wake(store, Some((&to, &rules)), "life", START_MS).unwrap().unwrap()
}

impl Scene {
    fn new() -> Scene {
        let mut store = MemoryStore::default();
        let mut channel = wake(&mut store);
        channel.subscribe(&mut store, RelayName::from("relay:demo/3".to_owned()), LocalOccupancy::default()).unwrap();
        Scene { store, channel, published: 0, now_ms: START_MS, deliveries: 0, last: None }
    }

    fn publish(&mut self, content: Submission) -> Outcome {
        (self.published, self.now_ms) = (self.published + 1, self.now_ms + 10);
        let key = PublishKey::Serial(self.published);
        let publish = Publish { key, connection_id: Some("conn".into()), by: Source::SERVER, content };
        self.channel.publish(Ticket(1), vec![publish]).unwrap();
        let effects = self.channel.commit(&mut self.store, self.now_ms);
        self.take(effects).expect("an answer")
    }

    fn take(&mut self, mut effects: Vec<Effect>) -> Option<Outcome> {
        let mut outcome = None;
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Reply(_, Ok(Response::Published(mut published))) => outcome = published.outcomes.pop(),
                Effect::Deliver { relay, attempt, delivery } => {
                    self.tell(&delivery.entries.entries().unwrap(), delivery.entries.len());
                    let answer = Some(Delivered::At(delivery.through));
                    effects.extend(self.channel.delivered(&mut self.store, &relay, attempt, answer, self.now_ms));
                }
                _ => {}
            }
        }
        outcome
    }

    fn tell(&mut self, entries: &[Entry], bytes: usize) {
        let summaries: Vec<Value> =
            entries.iter().filter_map(|entry| Some(json!(entry.summary()?.counts.by_type))).collect();
        assert!(summaries.len() <= 1, "one summary of a message in a delivery");
        assert!(summaries.iter().all(|summary| summary.to_string().len() < MESSAGE_MAX_BYTES));
        assert!(bytes < DELIVERY_MAX_BYTES + MESSAGE_MAX_BYTES, "{bytes}");
        self.deliveries += 1;
        self.last = summaries.into_iter().next().or(self.last.take());
    }

    fn annotate(&mut self, message: &str, annotations: &[Annotation]) {
        for together in annotations.chunks(TOGETHER) {
            let content = Submission::Annotations { message: message.into(), annotations: together.to_vec() };
            assert!(matches!(self.publish(content), Outcome::Accepted { .. }));
        }
    }

    /// What whoever asks for the message is told.
    fn asked(&mut self, message: &str) -> Value {
        let (serial, latest, forwards, limit) = (message.to_owned(), true, true, 1);
        let query = VersionsQuery { serial, latest, forwards, limit, ..VersionsQuery::default() };
        let page = self.channel.versions(&mut self.store, &query, self.now_ms).unwrap();
        json!(page.entries.entries().unwrap()[0].counts(0))
    }
}

fn said(action: AnnotationAction, kind: &str, name: &str, client: usize) -> Annotation {
    let (client_id, count) = (Some(format!("a client with a name {client}")), Some(2));
    let (kind, name) = (kind.to_owned(), Some(name.to_owned()));
    Annotation { id: None, action, kind, name, count, client_id, data: Data::Absent, encoding: None, extras: None }
}

/// By name, how often it was said, and by how many.
fn totals(summary: &Value) -> BTreeMap<String, (u64, u64)> {
    let each = |(name, value): (&String, &Value)| {
        let listed = if value["clientIds"].is_array() { value["clientIds"].as_array().unwrap().len() } else { 0 };
        assert!(listed <= SUMMARY_CLIENTS_MAX && value["clipped"] == json!(true));
        (name.clone(), (value["total"].as_u64().unwrap(), value["totalClientIds"].as_u64().unwrap_or(0)))
    };
    ["r:distinct.v1", "r:multiple.v1"].iter().flat_map(|kind| summary[kind].as_object().unwrap()).map(each).collect()
}

#[test]
fn a_crowd_that_reacts_is_counted_exactly_and_costs_a_channel_little() {
    let before = held::bytes();
    let mut scene = Scene::new();
    let published = scene.publish(Submission::Messages(vec![Message::default()]));
    let Outcome::Accepted { position, .. } = published else { panic!("{published:?}") };
    let message = position.message_serial("life", 0);
    let (create, delete) = (AnnotationAction::Create, AnnotationAction::Delete);
    for name in NAMES {
        let all: Vec<Annotation> = (0..CLIENTS).map(|client| said(create, "r:distinct.v1", name, client)).collect();
        scene.annotate(&message, &all);
    }
    let all: Vec<Annotation> = (0..CLIENTS).map(|client| said(create, "r:multiple.v1", "clap", client)).collect();
    scene.annotate(&message, &all);
    // Some think again.
    let some = |client: &usize| client.is_multiple_of(10);
    let back: Vec<Annotation> =
        (0..CLIENTS).filter(some).map(|client| said(delete, "r:distinct.v1", "sad", client)).collect();
    scene.annotate(&message, &back);
    let effects = scene.channel.follow_up(&mut scene.store, scene.now_ms + INTERVAL_MS);
    scene.take(effects);

    let crowd = CLIENTS as u64;
    let mut expected: BTreeMap<String, (u64, u64)> = NAMES.iter().map(|name| ((*name).into(), (crowd, 0))).collect();
    expected.insert("sad".into(), (crowd * 9 / 10, 0));
    expected.insert("clap".into(), (crowd * 2, crowd));
    let told = scene.last.take().expect("a summary");
    assert_eq!(totals(&told), expected);
    assert_eq!(scene.asked(&message), told);
    let first = std::mem::replace(&mut scene.channel, wake(&mut scene.store));
    assert_eq!(scene.asked(&message), told, "what a channel knows that lost its memory");
    assert!(scene.deliveries < scene.published as usize, "{} of {} commits", scene.deliveries, scene.published);

    drop((scene, told, expected, all, back));
    let kept = held::bytes() - before;
    println!("{kept} bytes kept of {} reactions", (NAMES.len() + 1) * CLIENTS);
    assert!(kept < KEPT_MAX_BYTES as isize, "{kept}");
    drop(first);
}

#[test]
fn a_page_of_presence_reads_no_reactions_to_messages_that_were_said_meanwhile() {
    let mut scene = Scene::new();
    let presence = |scene: &mut Scene, action: PresenceAction| {
        let event = PresenceMessage {
            action,
            id: format!("conn:{}:0", scene.published + 1),
            connection_id: "conn".into(),
            client_id: "ann".into(),
            data: Data::Absent,
            encoding: None,
            extras: None,
        };
        let lease = Lease { relay: RelayName::nobody(), grace_ms: 15_000 };
        scene.publish(Submission::Presence { lease, updates: vec![PresenceUpdate { event, known: None }] });
    };
    presence(&mut scene, PresenceAction::Enter);
    for client in 0..10 {
        let published = scene.publish(Submission::Messages(vec![Message::default()]));
        let Outcome::Accepted { position, .. } = published else { panic!("{published:?}") };
        let said = said(AnnotationAction::Create, "r:distinct.v1", "like", client);
        scene.annotate(&position.message_serial("life", 0), &[said]);
    }
    presence(&mut scene, PresenceAction::Leave);
    scene.store.counts_read = 0;
    let mut page = |presence| {
        let query = HistoryQuery { presence, forwards: true, limit: 100, ..HistoryQuery::default() };
        let page = scene.channel.history(&mut scene.store, &query, scene.now_ms).unwrap();
        (page.slices.len(), scene.store.counts_read)
    };
    assert_eq!(page(true), (2, 0));
    assert_eq!(page(false), (10, 10));
}
