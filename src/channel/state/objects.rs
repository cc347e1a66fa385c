//! The objects of a channel: what operations change is written in the same transaction as the operations' row of the
//! log, so that the objects are always what the log made of them, however long ago that was (protocol.md § 19).
//!
//! Nothing of them is in memory but a summary. An operation reads the parts that it concerns, a page of a sync as many
//! as it gives.

use std::collections::{BTreeSet, VecDeque};

use super::{State, Written};
use crate::base::pinned;
use crate::channel::log::Batch;
use crate::channel::store::{Store, StoreError, Stored};
use crate::channel::{Channel, storage_failed};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    DELETES_PER_ENTRY, MESSAGE_OVERHEAD_BYTES, OBJECT_ROW_BYTES, OBJECT_ROWS_MAX, OBJECTS_PAGE_BYTES,
    OBJECTS_READ_MAX_BYTES, OBJECTS_USED_STEP_MS, TRIM_PAUSE_MS,
};
use crate::model::message::{self, Content};
use crate::model::objects::id::ROOT;
use crate::model::objects::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value};
use crate::model::objects::parts::{Cursor, Entry, Object, Part, PartKey, Snapshot, Stamp, Summary, Tree};
use crate::model::objects::pool::{Changes, Failure, Parts, Pool};
use crate::model::objects::sweep::{Sweep, Swept};
use crate::rpc::{Answer, ObjectsPage, ObjectsQuery, Outcome, Publish, TreeQuery};

/// What the memory of a channel has of its objects.
#[derive(Debug, Default)]
pub struct Objects {
    summary: Summary,
    /// Before this they are not swept again: that failed.
    retry_at_ms: u64,
}

impl State for Objects {
    fn restore(stored: &Stored, _now_ms: u64) -> Result<Objects, StoreError> {
        let summary = match stored.objects.as_deref().map(pinned::decode::<Part>).transpose()? {
            Some(Part::Summary(summary)) => summary,
            _ => Summary::default(),
        };
        Ok(Objects { summary, retry_at_ms: 0 })
    }

    fn wrote(&mut self, written: &Written) {
        self.summary = written.objects.unwrap_or(self.summary);
    }

    /// A sweep that failed waits all the same.
    fn reload(&mut self, stored: &Stored) -> Result<(), StoreError> {
        self.summary = Objects::restore(stored, 0)?.summary;
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        self.summary.sweep_at_ms.map(|at_ms| at_ms.max(self.retry_at_ms))
    }
}

impl Objects {
    /// Until when they are kept though nobody comes, at least so long after their last change; `None` when there are
    /// none.
    pub fn kept_until_ms(&self, kept_ms: u64) -> Option<u64> {
        (self.summary.parts > 0).then_some(self.summary.used_ms + OBJECTS_USED_STEP_MS + kept_ms)
    }
}

/// The parts as they are stored, with what a batch is about to make of them.
struct View<'a, S> {
    store: &'a mut S,
    changes: &'a Changes,
}

impl<S: Store> Parts for View<'_, S> {
    type Error = StoreError;

    fn part(&mut self, key: &PartKey) -> Result<Option<Part>, StoreError> {
        if let Some(part) = self.changes.find(key) {
            return Ok(part.cloned());
        }
        let stored = self.store.object_part(key)?;
        Ok(stored.as_deref().map(pinned::decode).transpose()?)
    }

    fn keys(&mut self, object: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut keys: Vec<String> = self.changes.keys(object).collect();
        let mut scan = Scan::after(PartKey::object(object));
        while keys.len() < limit
            && let Some((key, _)) = scan.next_entry(self.store, object)?
        {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// Reads parts in their order: a few at a time, more when they are small.
struct Scan {
    after: PartKey,
    limit: usize,
    read: VecDeque<(PartKey, Vec<u8>)>,
}

impl Scan {
    fn after(after: PartKey) -> Scan {
        Scan { after, limit: 4, read: VecDeque::new() }
    }

    fn next(&mut self, store: &mut impl Store) -> Result<Option<(PartKey, Part)>, StoreError> {
        if self.read.is_empty() && self.limit > 0 {
            self.read = store.object_parts(&self.after, self.limit)?.into();
            let bytes: usize = self.read.iter().map(|(_, part)| part.len()).sum();
            let grown = if bytes < OBJECTS_PAGE_BYTES { self.limit * 4 } else { self.limit };
            self.limit = if self.read.len() < self.limit { 0 } else { grown.min(OBJECT_ROWS_MAX) };
        }
        let Some((key, part)) = self.read.pop_front() else { return Ok(None) };
        self.after = key.clone();
        Ok(Some((key, pinned::decode(&part)?)))
    }

    /// The next entry of this map.
    fn next_entry(&mut self, store: &mut impl Store, object: &str) -> Result<Option<(String, Entry)>, StoreError> {
        match self.next(store)? {
            Some((PartKey { object: of, key: Some(key) }, Part::Entry(entry))) if of == object => {
                Ok(Some((key, entry)))
            }
            _ => Ok(None),
        }
    }
}

impl Channel {
    /// Does the operations of a publish, all or none.
    pub(in crate::channel) fn place_objects(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        proposals: &[Proposal],
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        let follows_paths = proposals.iter().any(|proposal| matches!(proposal.target, Target::At(_)));
        if follows_paths && self.has_changed_too_much(now_ms) {
            let why = "paths lead to too much on this channel; try again, or name objects by their ids";
            return Ok(Outcome::Refused(Code::PublishRateLimited.because(why)));
        }
        let position = batch.tip().next(now_ms);
        let summary = batch.objects.summary().unwrap_or(self.states.objects.summary);
        let mut view = View { store, changes: &batch.objects };
        let mut pool = Pool::new(&mut view, summary);
        let taken = pool.take(proposals, Stamp { position, index: 0 });
        self.count_lookup(pool.path_bytes(), now_ms);
        let operations = match taken {
            Ok(operations) => operations,
            Err(Failure::Refused(error)) => return Ok(Outcome::Refused(error)),
            Err(Failure::Failed(error)) => return Err(error),
        };
        let changes = pool.finish();
        let object_ids = ids(&operations);
        let key = self.window(store, now_ms)?.remember(publish, position);
        let (id, connection_id) = (publish.id(), publish.connection_id.clone());
        let entry = message::Entry { position, id, connection_id, content: Content::Objects(operations) };
        batch.push(publish, entry, key, vec![crate::channel::store::Change::Objects(changes)]);
        Ok(Outcome::Operated { position, object_ids })
    }

    /// What became of operations that came before.
    pub(in crate::channel) fn operated(
        &mut self,
        store: &mut impl Store,
        batch: &Batch,
        position: crate::model::serial::Position,
    ) -> Result<Outcome, StoreError> {
        let (entries, _) = self.log.around(store, Some(batch), position)?;
        let found = entries.iter().find(|entry| entry.position == position);
        let object_ids = found.map_or_else(Vec::new, |entry| ids(entry.objects()));
        Ok(Outcome::Operated { position, object_ids })
    }

    /// A page of a sync.
    pub fn objects(&mut self, store: &mut impl Store, query: &ObjectsQuery) -> Answer<ObjectsPage> {
        let page = self.reload(store).and_then(|()| self.objects_page(store, query.after.as_deref()));
        page.map_err(storage_failed)
    }

    fn objects_page(&mut self, store: &mut impl Store, from: Option<&Cursor>) -> Result<ObjectsPage, StoreError> {
        let begin = Cursor { after: PartKey::SUMMARY, object: None, has_root: false };
        let mut cursor = from.cloned().unwrap_or(begin);
        let (mut scan, mut objects, mut bytes) = (Scan::after(cursor.after.clone()), Vec::<Snapshot>::new(), 0);
        let epoch = self.meta.epoch.clone();
        while let Some((key, part)) = scan.next(store)? {
            bytes += cost(&key, &part, MESSAGE_OVERHEAD_BYTES);
            if bytes > OBJECTS_PAGE_BYTES && !objects.is_empty() {
                return Ok(ObjectsPage { epoch, objects, next: Some(Box::new(cursor)) });
            }
            match part {
                Part::Object(object) => {
                    cursor.object = Some(object.clone());
                    cursor.has_root |= key.object == ROOT;
                    objects.push(Snapshot { id: key.object.clone(), object, entries: Vec::new() });
                }
                Part::Entry(entry) => {
                    if objects.last().is_none_or(|last| last.id != key.object) {
                        let object = cursor.object.clone().unwrap_or(Object::new(Kind::Map));
                        objects.push(Snapshot { id: key.object.clone(), object, entries: Vec::new() });
                    }
                    let named = (key.key.clone().unwrap_or_default(), entry);
                    if let Some(last) = objects.last_mut() {
                        last.entries.push(named);
                    }
                }
                Part::Summary(_) => {}
            }
            cursor.after = key;
        }
        // The rest may have gone since the page before, and SDKs for Java pass over an empty page, though it is the
        // last. A second part of the root adds its entries to the first, and nothing else.
        if !cursor.has_root || objects.is_empty() {
            objects.push(Snapshot { id: ROOT.to_owned(), object: Object::new(Kind::Map), entries: Vec::new() });
        }
        Ok(ObjectsPage { epoch, objects, next: None })
    }

    /// What a path leads to, with all that it refers to. Fails with 92003 and 92004 (the object that it begins at),
    /// 92005 (nothing there), and with 40009 when that is too much for one answer.
    pub fn tree(&mut self, store: &mut impl Store, query: &TreeQuery) -> Answer<Tree> {
        self.reload(store).map_err(storage_failed)?;
        match read_tree(store, query) {
            Ok(tree) => Ok(tree),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Failed(error)) => Err(storage_failed(error)),
        }
    }

    /// Forgets what need not be remembered, and deletes what nobody can reach.
    pub(in crate::channel) fn sweep_objects(&mut self, store: &mut impl Store, now_ms: u64) {
        let is_due = self.states.objects.deadline().is_some_and(|due_ms| due_ms <= now_ms);
        if is_due && self.sweep(store, now_ms).is_err() {
            self.forget(now_ms);
            self.states.objects.retry_at_ms = now_ms + TRIM_PAUSE_MS;
        }
    }

    fn sweep(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.reload(store)?;
        let mut sweep = Sweep::new(self.states.objects.summary, now_ms);
        let mut scan = Scan::after(PartKey::SUMMARY);
        while let Some((key, part)) = scan.next(store)? {
            sweep.take(key, part);
        }
        let Swept { changes, lost } = sweep.finish();
        store.change_objects(&changes)?;
        self.states.objects.wrote(&Written { objects: changes.summary() });
        let mut batch = Batch::new(self.log.tip());
        for (part, ids) in lost.chunks(DELETES_PER_ENTRY).enumerate() {
            self.place_deletes(store, &mut batch, ids, format!("swept@{now_ms}.{part}"), now_ms)?;
        }
        let summary = batch.objects.summary();
        self.log.append(store, batch)?;
        self.states.objects.wrote(&Written { objects: summary });
        Ok(())
    }

    fn place_deletes(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        lost: &[String],
        id: String,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let delete = |object_id: &String| {
            let operation = Operation { object_id: object_id.clone(), action: Action::Delete };
            ObjectMessage { id: None, client_id: None, extras: None, operation }
        };
        let operations: Vec<ObjectMessage> = lost.iter().map(delete).collect();
        let position = batch.tip().next(now_ms);
        let summary = batch.objects.summary().unwrap_or(self.states.objects.summary);
        let mut view = View { store, changes: &batch.objects };
        let mut pool = Pool::new(&mut view, summary);
        for (index, ObjectMessage { operation, .. }) in operations.iter().enumerate() {
            match pool.apply(operation, Stamp { position, index: index as u16 }) {
                Err(Failure::Failed(error)) => return Err(error),
                Ok(_) | Err(Failure::Refused(_)) => {}
            }
        }
        let changes = vec![crate::channel::store::Change::Objects(pool.finish())];
        let content = Content::Objects(operations);
        batch.place(message::Entry { position, id, connection_id: None, content }, String::new(), changes);
        Ok(())
    }
}

fn ids(operations: &[ObjectMessage]) -> Vec<String> {
    operations.iter().map(|message| message.operation.object_id.clone()).collect()
}

fn cost(key: &PartKey, part: &Part, overhead: usize) -> usize {
    match (part, &key.key) {
        (Part::Entry(entry), Some(key)) => overhead + entry.size(key) as usize,
        _ => overhead,
    }
}

fn refused<T>(error: ErrorInfo) -> Result<T, Failure<StoreError>> {
    Err(Failure::Refused(error))
}

fn read_tree(store: &mut impl Store, query: &TreeQuery) -> Result<Tree, Failure<StoreError>> {
    let nothing = Changes::default();
    let mut view = View { store, changes: &nothing };
    let mut pool = Pool::new(&mut view, Summary::default());
    let id = &query.object_id;
    match pool.object(id)? {
        None => return refused(Code::NoSuchObject.because(format!("there is no object {id}"))),
        Some(object) if object.gone.is_some() => {
            return refused(Code::ObjectGone.because(format!("the object {id} is deleted")));
        }
        Some(_) => {}
    }
    let nowhere = || Failure::Refused(Code::NoSuchPath.because(format!("no objects matched path: {}", query.path)));
    let top = pool.values_at(id, &query.path)?.pop().ok_or_else(nowhere)?;
    let objects = match &top {
        Value::Object(id) => reachable(store, id)?,
        _ => Vec::new(),
    };
    let is_there = |id: &String| objects.iter().any(|object| object.id == *id);
    match &top {
        Value::Object(id) if !is_there(id) => Err(nowhere()),
        _ => Ok(Tree { top, objects }),
    }
}

/// An object, and those that can be reached from it, which are there.
fn reachable(store: &mut impl Store, id: &str) -> Result<Vec<Snapshot>, Failure<StoreError>> {
    let (mut found, mut seen, mut bytes) = (Vec::new(), BTreeSet::from([id.to_owned()]), 0);
    let mut next = VecDeque::from([id.to_owned()]);
    while let Some(id) = next.pop_front() {
        let key = PartKey::object(&id);
        let stored = store.object_part(&key).map_err(Failure::Failed)?;
        let object = match stored
            .as_deref()
            .map(pinned::decode)
            .transpose()
            .map_err(StoreError::from)
            .map_err(Failure::Failed)?
        {
            Some(Part::Object(object)) if object.gone.is_none() => object,
            None if id == ROOT => Object::new(Kind::Map),
            _ => continue,
        };
        let (mut entries, mut scan) = (Vec::new(), Scan::after(key));
        bytes += OBJECT_ROW_BYTES + id.len();
        while let Some((key, entry)) = scan.next_entry(store, &id).map_err(Failure::Failed)? {
            bytes += OBJECT_ROW_BYTES + entry.size(&key) as usize;
            if bytes > OBJECTS_READ_MAX_BYTES {
                let bound =
                    format!("one answer has at most {OBJECTS_READ_MAX_BYTES} bytes; read the objects one by one");
                return refused(Code::TooLarge.because(bound));
            }
            match &entry.value {
                None => continue,
                Some(Value::Object(id)) if seen.insert(id.clone()) => next.push_back(id.clone()),
                Some(_) => {}
            }
            entries.push((key, entry));
        }
        found.push(Snapshot { id, object, entries });
    }
    Ok(found)
}
