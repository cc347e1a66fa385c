//! What nobody can reach any more, and what need not be remembered any longer.
//!
//! An object is deleted when it could not be reached from the root for the grace period. What was deleted or removed is
//! forgotten after the same time again: until then a reader that comes back must be told, and a late operation refused.
//!
//! An object has the time of the first sweep that saw it out of reach, until an entry is written that refers to it, or
//! no longer does: it may have been in reach in between. Then so was what it leads to.

use std::cmp::Reverse;

use super::id::ROOT;
use super::operation::Value;
use super::parts::{Entry, Object, Part, PartKey, Summary};
use super::pool::Changes;
use crate::limits::OBJECTS_GRACE_MS;

/// Takes in all parts, in their order, and then says what is to be done.
pub struct Sweep {
    now_ms: u64,
    /// In the order of their ids.
    objects: Vec<Seen>,
    /// Who refers to whom: an object by its place, which rises.
    references: Vec<(usize, String)>,
    changes: Changes,
    /// Something remains that is forgotten later.
    remains: bool,
    summary: Summary,
}

struct Seen {
    id: String,
    object: Object,
    is_marked: bool,
    /// As far as can be told now.
    lone_since_ms: Option<u64>,
}

/// What came of it.
pub struct Swept {
    pub changes: Changes,
    /// To be deleted, by operations of their own.
    pub lost: Vec<String>,
}

impl Sweep {
    pub fn new(summary: Summary, now_ms: u64) -> Sweep {
        let (objects, references, changes) = Default::default();
        Sweep { now_ms, objects, references, changes, remains: false, summary }
    }

    pub fn take(&mut self, key: PartKey, part: Part) {
        match (part, key.key) {
            (Part::Object(object), _) => {
                self.objects.push(Seen { id: key.object, object, is_marked: false, lone_since_ms: None })
            }
            (Part::Entry(entry), Some(name)) => match &entry.value {
                Some(Value::Object(id)) => self.references.push((self.objects.len().saturating_sub(1), id.clone())),
                Some(_) => {}
                None if self.is_over(entry.stamp.time_ms()) => self.forget_entry(&name, &entry),
                None => self.remains = true,
            },
            _ => {}
        }
    }

    fn is_over(&self, since_ms: u64) -> bool {
        since_ms + OBJECTS_GRACE_MS <= self.now_ms
    }

    /// An entry of the last object.
    fn forget_entry(&mut self, name: &str, entry: &Entry) {
        let bytes = entry.size(name);
        self.summary.bytes = self.summary.bytes.saturating_sub(bytes);
        self.summary.parts = self.summary.parts.saturating_sub(1);
        let Some(Seen { id, object, .. }) = self.objects.last_mut() else { return };
        object.bytes = object.bytes.saturating_sub(bytes);
        object.entries = object.entries.saturating_sub(1);
        self.changes.parts.insert(PartKey::entry(id, name), None);
        self.changes.put(PartKey::object(id), Part::Object(object.clone()));
    }

    /// The root leads to what is in reach; then what was so last leads to what was so at least until then.
    fn mark(&mut self) {
        let since = |seen: &Seen| (seen.id != ROOT).then(|| seen.object.lone_since_ms.unwrap_or(self.now_ms));
        let mut starts: Vec<(Option<u64>, usize)> = self.objects.iter().map(since).zip(0..).collect();
        starts.sort_unstable_by_key(|(since_ms, _)| Reverse(since_ms.unwrap_or(u64::MAX)));
        starts.into_iter().for_each(|(since_ms, at)| self.mark_from(at, since_ms));
    }

    fn mark_from(&mut self, at: usize, lone_since_ms: Option<u64>) {
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            if std::mem::replace(&mut self.objects[at].is_marked, true) {
                continue;
            }
            self.objects[at].lone_since_ms = lone_since_ms;
            let start = self.references.partition_point(|(from, _)| *from < at);
            let of_object = self.references[start..].iter().take_while(|(from, _)| *from == at);
            let place = |(_, to): &(usize, String)| self.objects.binary_search_by(|seen| seen.id.cmp(to)).ok();
            next.extend(of_object.filter_map(place));
        }
    }

    pub fn finish(mut self) -> Swept {
        self.mark();
        let mut lost = Vec::new();
        for Seen { id, mut object, lone_since_ms, .. } in std::mem::take(&mut self.objects) {
            let remains = object.gone.is_some() || lone_since_ms.is_some();
            match (object.gone, lone_since_ms) {
                (Some(gone), _) if self.is_over(gone.time_ms()) => {
                    self.summary.parts = self.summary.parts.saturating_sub(1);
                    self.changes.parts.insert(PartKey::object(&id), None);
                    continue;
                }
                (Some(_), _) => {}
                (None, Some(since_ms)) if self.is_over(since_ms) => lost.push(id),
                (None, _) if lone_since_ms != object.lone_since_ms => {
                    object.lone_since_ms = lone_since_ms;
                    self.changes.put(PartKey::object(&id), Part::Object(object));
                }
                (None, _) => {}
            }
            self.remains |= remains;
        }
        self.summary.sweep_at_ms = self.remains.then_some(self.now_ms + OBJECTS_GRACE_MS);
        self.changes.put(PartKey::SUMMARY, Part::Summary(self.summary));
        Swept { changes: self.changes, lost }
    }
}
