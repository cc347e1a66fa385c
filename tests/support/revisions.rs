//! What a log says beside messages and presence events: what became of messages, what was said of them, and what was
//! done to objects; and what of it a reader need not be told.

use courtside::model::annotation::Annotation;
use courtside::model::data::Data;
use courtside::model::message::{Content, Entry};
use courtside::model::revision::{Shape, Target};
use courtside::model::serial::Position;
use courtside::protocol::objects::operations_of;
use serde_json::Value;

use super::ledger::{Ledger, Logged, last_tag};

#[derive(Debug)]
pub enum Change {
    Revision(Revision),
    Annotations(Target, Vec<Annotation>),
    Summary(Target),
    /// Operations, as readers get them.
    Objects(Vec<Value>),
}

/// What an operation left of a message.
#[derive(Debug)]
pub struct Revision {
    pub target: Target,
    pub text: String,
    pub name: Option<String>,
    pub shape: Shape,
    /// Of the operation.
    pub id: String,
    pub connection_id: Option<String>,
}

impl Revision {
    /// A row has of an append only what it adds.
    pub fn put_behind(&mut self, before: Option<&str>) {
        if let Shape::Added { from } = self.shape {
            let before = before.expect("what is appended to is in the log");
            assert_eq!(before.len(), from, "an append goes behind all that there is");
            (self.text, self.shape) = (before.to_owned() + &self.text, Shape::Appended { from });
        }
    }
}

impl Change {
    pub fn of(entry: &Entry) -> Option<Change> {
        if let Some((target, message, version)) = entry.operation() {
            let Data::Text(text) = &message.data else { panic!("clients publish text, not {:?}", message.data) };
            let (text, name, id) = (text.clone(), message.name.clone(), entry.id.clone());
            let (shape, connection_id) = (version.shape, entry.connection_id.clone());
            return Some(Change::Revision(Revision { target, text, name, shape, id, connection_id }));
        }
        match &entry.content {
            Content::Annotations { target, annotations } => Some(Change::Annotations(*target, annotations.clone())),
            Content::Summary(summary) | Content::SummaryOfVersion { summary, .. } => {
                Some(Change::Summary(summary.target))
            }
            // Their life is not known yet when the first are written, and orders nothing.
            Content::Objects(_) => {
                let operations = operations_of(entry, "life").into_iter();
                Some(Change::Objects(operations.map(|node| serde_json::to_value(node).expect("JSON")).collect()))
            }
            _ => None,
        }
    }

    /// Which publish it is of, if it says so.
    pub fn tag(&self) -> Option<&str> {
        let text = match self {
            Change::Revision(revision) => &revision.text,
            Change::Annotations(_, annotations) => match &annotations.first()?.data {
                Data::Text(text) => text,
                _ => return None,
            },
            Change::Summary(_) | Change::Objects(_) => return None,
        };
        Some(last_tag(text))
    }
}

impl Ledger {
    /// The operation on a message that is at a place.
    pub fn revision(&self, channel: usize, position: Position) -> Option<&Revision> {
        match &self.book(channel).at(position)?.change {
            Some(Change::Revision(revision)) => Some(revision),
            _ => None,
        }
    }

    fn revisions_behind(&self, channel: usize, target: Target, after: Position) -> impl Iterator<Item = &Revision> {
        let later = self.book(channel).revisions_of(target).filter(move |logged| logged.position > after);
        later.filter_map(|logged| match &logged.change {
            Some(Change::Revision(revision)) => Some(revision),
            _ => None,
        })
    }

    /// Whether a message was deleted later than a place: what it was before is told to nobody who reads it then.
    pub fn is_deleted_behind(&self, channel: usize, target: Target, after: Position) -> bool {
        self.revisions_behind(channel, target, after).any(|revision| revision.shape == Shape::Deleted)
    }

    /// Whether a message is deleted by the end of the log.
    pub fn is_deleted(&self, channel: usize, target: Target) -> bool {
        self.was_deleted_since(channel, target, u64::MAX)
    }

    /// Whether a message was deleted at some time since then: who read it meanwhile was not told that it was published.
    pub fn was_deleted_since(&self, channel: usize, target: Target, since_ms: u64) -> bool {
        let mut revisions = self.book(channel).revisions_of(target).peekable();
        while let Some(logged) = revisions.next() {
            let is_deletion = |logged: &Logged| matches!(&logged.change, Some(Change::Revision(revision)) if revision.shape == Shape::Deleted);
            if is_deletion(logged) && revisions.peek().is_none_or(|next| next.logged_ms >= since_ms) {
                return true;
            }
        }
        false
    }

    /// Whether a message that had been deleted said this when it lived again: who reads it then is told that where it
    /// was published.
    pub fn was_restored_as(&self, channel: usize, target: Target, text: &str) -> bool {
        let all = self.revisions_behind(channel, target, target.position);
        let mut later = all.skip_while(|revision| revision.shape != Shape::Deleted);
        later.any(|revision| revision.shape != Shape::Deleted && revision.text == text)
    }

    /// Whether who comes later is not told of an operation: it is over by a deletion, or an append by what its
    /// connection did later. Another connection may not be told what it did itself.
    pub fn is_over(&self, channel: usize, position: Position, revision: &Revision) -> bool {
        let is_append = matches!(revision.shape, Shape::Appended { .. });
        let goes_on = |later: &Revision| is_append && later.connection_id == revision.connection_id;
        let mut later = self.revisions_behind(channel, revision.target, position);
        later.any(|later| later.shape == Shape::Deleted || goes_on(later))
    }

    /// What a message said at a version of it.
    pub fn text_at(&self, channel: usize, target: Target, version: Position) -> Option<&str> {
        if let Some(revision) = self.revision(channel, version) {
            return (revision.target == target).then_some(revision.text.as_str());
        }
        let Data::Text(text) = &self.book(channel).at(target.position)?.messages.get(target.place)?.data else {
            return None;
        };
        (version == target.position).then_some(text)
    }

    /// What a message says in the end to who hears this. Nothing is sure for who deleted it and does not hear so.
    pub fn last_text(&self, channel: usize, target: Target, heard: impl Fn(&Logged) -> bool) -> Option<&str> {
        let last = self.book(channel).revisions_of(target).rev().find(|logged| heard(logged));
        let last = last.map_or(target.position, |last| last.position);
        match self.is_deleted_behind(channel, target, last) {
            true => None,
            false => self.text_at(channel, target, last),
        }
    }

    /// Some of the last messages that are durable, by their serials.
    pub fn recent(&self, channel: usize, count: usize) -> Vec<(Target, String)> {
        let Some(epoch) = self.book(channel).epoch() else { return Vec::new() };
        let messages = self
            .book(channel)
            .durable()
            .iter()
            .rev()
            .flat_map(|logged| (0..logged.messages.len()).map(|place| Target { position: logged.position, place }));
        let named = |target: Target| (target, target.position.message_serial(epoch, target.place));
        messages.take(count).map(named).collect()
    }
}
