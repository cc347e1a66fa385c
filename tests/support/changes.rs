//! What a channel's log says of messages that change, replayed by rules of its own.

use std::collections::{BTreeMap, BTreeSet};

use courtside::model::annotation::{Annotation, AnnotationAction};
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry, Extras, Message};
use courtside::model::packed::Packed;
use courtside::model::revision::{Shape, Target};
use courtside::model::serial::Position;
use serde_json::Value;

/// A message as the log left it.
#[derive(Default)]
pub struct Told {
    pub text: String,
    /// All that was ever said of it since its last deletion, and before.
    since: BTreeSet<String>,
    hidden: BTreeSet<String>,
    is_deleted: bool,
    pub tally: Tally,
}

#[derive(Default)]
pub struct Truth {
    pub messages: BTreeMap<Target, Told>,
    /// How often each publish is in the log.
    pub ids: BTreeMap<String, usize>,
    /// Before all of it.
    pub begins: Position,
    pub positions: Vec<Position>,
}

/// The pieces of a text: what one request said each.
pub fn fragments(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(';').map(str::to_owned)
}

pub fn text_of(message: &Message) -> &str {
    match &message.data {
        Data::Text(text) => text,
        other => panic!("only texts are said: {other:?}"),
    }
}

impl Truth {
    pub fn of<'a>(rows: impl Iterator<Item = &'a Packed>) -> Truth {
        let mut truth = Truth::default();
        for entry in rows.flat_map(|row| row.entries().expect("rows are readable")) {
            if truth.positions.is_empty() {
                truth.begins = Position(entry.position.0 - 1);
            }
            truth.positions.push(entry.position);
            if entry.summary().is_none() {
                *truth.ids.entry(entry.id.clone()).or_default() += 1;
            }
            truth.take(&entry);
        }
        truth
    }

    fn take(&mut self, entry: &Entry) {
        if let Some((target, message, version)) = entry.operation() {
            let told = self.messages.get_mut(&target).expect("a message that is there is changed");
            let text = text_of(message);
            match version.shape {
                Shape::Added { from } => assert_eq!(from, told.text.len(), "an append goes behind all that there is"),
                _ => told.text.clear(),
            }
            assert_eq!(fragments(text).count(), 1, "each says one thing");
            told.is_deleted = version.shape == Shape::Deleted;
            if told.is_deleted {
                told.hidden.append(&mut told.since);
            }
            told.since.extend(fragments(text));
            told.text += text;
            return;
        }
        match &entry.content {
            Content::Messages(messages) => {
                for (place, message) in messages.iter().enumerate() {
                    let (text, since) = (text_of(message).to_owned(), fragments(text_of(message)).collect());
                    let target = Target { position: entry.position, place };
                    self.messages.insert(target, Told { text, since, ..Told::default() });
                }
            }
            Content::Annotations { target, annotations } => {
                let told = self.messages.get_mut(target).expect("a message that is there is annotated");
                annotations.iter().for_each(|annotation| told.tally.take(annotation));
            }
            _ => {}
        }
    }

    /// What was said before a deletion.
    pub fn hidden(&self) -> impl Iterator<Item = &String> {
        self.messages.values().flat_map(|told| &told.hidden)
    }

    /// Each message behind a place that is not deleted is published to who reads on from there.
    pub fn tells_of_all(&self, told: &Packed, after: Position, whom: &str) {
        let entries = told.entries().expect("readable");
        let published = entries.iter().filter(|entry| !entry.is_operation());
        let all: BTreeSet<Target> =
            published.flat_map(|entry| (0..entry.messages().len()).map(|index| entry.target(index))).collect();
        let live = self.messages.iter().filter(|(target, message)| target.position > after && !message.is_deleted);
        let missed = live.map(|(target, _)| *target).find(|target| !all.contains(target));
        assert_eq!(missed, None, "{whom} does not tell of a message behind {after:?}");
    }

    pub fn tells_nothing_deleted(&self, told: &Packed, whom: &str) {
        let hidden: BTreeSet<&String> = self.hidden().collect();
        for entry in told.entries().expect("readable") {
            let texts = entry.messages().iter().filter(|message| !message.data.is_absent());
            let leak = texts.flat_map(|message| fragments(text_of(message))).find(|text| hidden.contains(text));
            assert_eq!(leak, None, "{whom} tell what was deleted");
        }
    }
}

/// How often each client said each name, by type.
#[derive(Default)]
pub struct Tally(BTreeMap<(String, String, String), u64>);

/// By type and name: how much in all, and each client's part where clients are told.
pub type Counts = BTreeMap<(String, String), (u64, BTreeMap<String, u64>)>;

const NOBODY: &str = "";

impl Tally {
    fn take(&mut self, annotation: &Annotation) {
        let Annotation { kind, action, .. } = annotation;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (name, client, create) = (text(&annotation.name), text(&annotation.client_id), AnnotationAction::Create);
        let (name, client) = match kind.as_str() {
            "r:total.v1" => (String::new(), NOBODY.to_owned()),
            "r:flag.v1" => (String::new(), client),
            _ => (name, client),
        };
        let key = (kind.clone(), name, client);
        if kind == "r:unique.v1" && *action == create {
            self.0.retain(|known, _| (&known.0, &known.2) != (&key.0, &key.2) || known.1 == key.1);
        }
        let held = self.0.get(&key).copied().unwrap_or_default();
        let next = match (kind.as_str(), *action == create) {
            ("r:total.v1", true) => held + 1,
            ("r:total.v1", false) => held.saturating_sub(1),
            ("r:multiple.v1", true) => held + annotation.count.unwrap_or(1),
            (_, true) => 1,
            (_, false) => 0,
        };
        match next {
            0 => self.0.remove(&key),
            next => self.0.insert(key, next),
        };
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for ((kind, name, client), count) in &self.0 {
            let (total, clients) = counts.entry((kind.clone(), name.clone())).or_default();
            *total += count;
            if client != NOBODY {
                clients.insert(client.clone(), *count);
            }
        }
        counts
    }

    /// What a summary says, in the same shape.
    pub fn of_summary(&self, summary: &Extras) -> Counts {
        let mut counts = Counts::new();
        for (kind, value) in summary {
            let named = !matches!(kind.as_str(), "r:total.v1" | "r:flag.v1");
            let names: Vec<(String, &Value)> = match (named, value.as_object()) {
                (true, Some(names)) => names.iter().map(|(name, value)| (name.clone(), value)).collect(),
                _ => vec![(String::new(), value)],
            };
            for (name, value) in names {
                let clients = match &value["clientIds"] {
                    Value::Object(each) => each.iter().map(|(id, n)| (id.clone(), n.as_u64().unwrap_or(0))).collect(),
                    Value::Array(each) => each.iter().map(|id| (id.as_str().unwrap_or("?").to_owned(), 1)).collect(),
                    _ => BTreeMap::new(),
                };
                counts.insert((kind.clone(), name), (value["total"].as_u64().unwrap_or(0), clients));
            }
        }
        counts
    }
}
