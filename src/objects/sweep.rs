//! What nobody can reach any more, and what need not be remembered any longer.
//!
//! An object is deleted when it could not be reached from the root for the grace period. What was deleted or removed is
//! forgotten after the same time again: until then a reader that comes back must be told, and a late operation refused.

use std::collections::{BTreeMap, BTreeSet};

use super::id::ROOT;
use super::operation::Value;
use super::parts::{Object, Part, PartKey, Summary};
use super::pool::Changes;
use crate::limits::OBJECTS_GRACE_MS;

/// Takes in all parts, in their order, and then says what is to be done.
pub struct Sweep {
    now_ms: u64,
    objects: BTreeMap<String, Object>,
    /// Who refers to whom.
    references: Vec<(String, String)>,
    changes: Changes,
    /// Something remains that is forgotten later.
    remains: bool,
    summary: Summary,
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
            (Part::Object(object), _) => drop(self.objects.insert(key.object, object)),
            (Part::Entry(entry), Some(name)) => match &entry.value {
                Some(Value::Object(id)) => self.references.push((key.object, id.clone())),
                Some(_) => {}
                None if self.is_over(entry.stamp.time_ms()) => {
                    self.forget_entry(&key.object, entry.size(&name));
                    self.changes.parts.insert(PartKey { object: key.object, key: Some(name) }, None);
                }
                None => self.remains = true,
            },
            _ => {}
        }
    }

    fn is_over(&self, since_ms: u64) -> bool {
        since_ms + OBJECTS_GRACE_MS <= self.now_ms
    }

    /// Its object comes before it.
    fn forget_entry(&mut self, id: &str, bytes: u64) {
        (self.summary.bytes, self.summary.parts) =
            (self.summary.bytes.saturating_sub(bytes), self.summary.parts.saturating_sub(1));
        if let Some(object) = self.objects.get_mut(id) {
            (object.bytes, object.entries) = (object.bytes.saturating_sub(bytes), object.entries.saturating_sub(1));
            self.changes.put(PartKey::object(id), Part::Object(object.clone()));
        }
    }

    fn reachable(&self) -> BTreeSet<String> {
        let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        self.references.iter().for_each(|(from, to)| of.entry(from).or_default().push(to));
        let (mut reached, mut next) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(id) = next.pop() {
            next.extend(of.get(id).into_iter().flatten().filter(|to| reached.insert(to)));
        }
        reached.into_iter().map(str::to_owned).collect()
    }

    pub fn finish(mut self) -> Swept {
        let (reachable, mut lost) = (self.reachable(), Vec::new());
        for (id, mut object) in std::mem::take(&mut self.objects) {
            let is_reachable = reachable.contains(&id);
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
