//! What nobody can reach any more, and what need not be remembered any longer.
//!
//! An object is deleted when it could not be reached from the root for the grace period. What was deleted or removed is
//! forgotten after the same time again: until then a reader that comes back must be told, and a late operation refused.

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
    is_reachable: bool,
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
            (Part::Object(object), _) => self.objects.push(Seen { id: key.object, object, is_reachable: false }),
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

    /// Marks what can be reached from the root.
    fn reach(&mut self) {
        let mut next = vec![ROOT.to_owned()];
        while let Some(id) = next.pop() {
            let Ok(at) = self.objects.binary_search_by(|seen| seen.id.as_str().cmp(&id)) else { continue };
            if !std::mem::replace(&mut self.objects[at].is_reachable, true) {
                let start = self.references.partition_point(|(from, _)| *from < at);
                let of_object = self.references[start..].iter().take_while(|(from, _)| *from == at);
                next.extend(of_object.map(|(_, to)| to.clone()));
            }
        }
    }

    pub fn finish(mut self) -> Swept {
        self.reach();
        let mut lost = Vec::new();
        for Seen { id, mut object, is_reachable } in std::mem::take(&mut self.objects) {
            match (object.gone, object.lone_since_ms) {
                (Some(gone), _) if self.is_over(gone.time_ms()) => {
                    self.summary.parts = self.summary.parts.saturating_sub(1);
                    self.changes.parts.insert(PartKey::object(&id), None);
                    continue;
                }
                (None, None) if is_reachable => continue,
                (None, Some(_)) if is_reachable => object.lone_since_ms = None,
                (None, Some(since_ms)) if self.is_over(since_ms) => {
                    lost.push(id);
                    self.remains = true;
                    continue;
                }
                (None, None) => {
                    object.lone_since_ms = Some(self.now_ms);
                    self.remains = true;
                }
                _ => {
                    self.remains = true;
                    continue;
                }
            }
            self.changes.put(PartKey::object(&id), Part::Object(object));
        }
        self.summary.sweep_at_ms = self.remains.then_some(self.now_ms + OBJECTS_GRACE_MS);
        self.changes.put(PartKey::SUMMARY, Part::Summary(self.summary));
        Swept { changes: self.changes, lost }
    }
}
