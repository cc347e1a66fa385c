//! What operations do to objects. A pool reads the parts that it needs, and collects what becomes of them; who made it
//! writes that, or forgets it.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{self, ROOT};
use super::operation::{Action, Kind, ObjectMessage, Operation, Proposal, Target, Value, is_whole};
use super::parts::{Entry, Object, Part, PartKey, Stamp, State, Summary};
use super::path::{Path, Segment};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    OBJECT_PARTS_MAX, OBJECT_PATH_READ_BYTES, OBJECT_PATHS_MAX_BYTES, OBJECT_STEP_MAX, OBJECT_WHOLE_MAX,
    OBJECTS_GRACE_MS, OBJECTS_MAX_BYTES, OBJECTS_USED_STEP_MS, PUBLISH_MAX_MESSAGES,
};
use crate::model::size::Size;

/// Where parts are read.
pub trait Parts {
    type Error;

    fn part(&mut self, key: &PartKey) -> Result<Option<Part>, Self::Error>;

    /// The first keys of a map, in any order; some may have gone.
    fn keys(&mut self, object: &str, limit: usize) -> Result<Vec<String>, Self::Error>;
}

/// Why something was not done: it may not be, or what is stored could not be read.
#[derive(Debug, PartialEq)]
pub enum Failure<E> {
    Refused(ErrorInfo),
    Failed(E),
}

/// What becomes of parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Maps that lost all the entries which they had before.
    pub cleared: BTreeSet<String>,
    /// Those without a value go.
    pub parts: BTreeMap<PartKey, Option<Part>>,
}

impl Changes {
    /// What is known of a part: nothing, that it is gone, or what it is now.
    pub fn find(&self, key: &PartKey) -> Option<Option<&Part>> {
        match self.parts.get(key) {
            Some(part) => Some(part.as_ref()),
            None => (key.key.is_some() && self.cleared.contains(&key.object)).then_some(None),
        }
    }

    /// The keys of a map whose entries became something else.
    pub fn keys(&self, object: &str) -> impl Iterator<Item = String> {
        let of_map = self.parts.range(PartKey::object(object)..).take_while(move |(key, _)| key.object == object);
        of_map.filter_map(|(key, _)| key.key.clone())
    }

    /// What came later is added.
    pub fn extend(&mut self, later: &Changes) {
        later.cleared.iter().for_each(|object| self.clear(object));
        for (key, part) in &later.parts {
            self.parts.insert(key.clone(), part.clone());
        }
    }

    pub fn put(&mut self, key: PartKey, part: Part) {
        self.parts.insert(key, Some(part));
    }

    pub fn summary(&self) -> Option<Summary> {
        match self.parts.get(&PartKey::SUMMARY) {
            Some(Some(Part::Summary(summary))) => Some(*summary),
            _ => None,
        }
    }

    fn clear(&mut self, object: &str) {
        self.parts.retain(|key, _| key.object != object || key.key.is_none());
        self.cleared.insert(object.to_owned());
    }
}

/// The objects of a channel, during one publish.
pub struct Pool<'a, P> {
    base: &'a mut P,
    before: Summary,
    summary: Summary,
    changes: Changes,
    /// Bytes read to follow paths.
    path_bytes: usize,
}

type Done<T, P> = Result<T, Failure<<P as Parts>::Error>>;

fn refused<T, E>(code: Code, why: impl Into<String>) -> Result<T, Failure<E>> {
    Err(Failure::Refused(code.because(why)))
}

impl<'a, P: Parts> Pool<'a, P> {
    pub fn new(base: &'a mut P, summary: Summary) -> Pool<'a, P> {
        Pool { base, before: summary, summary, changes: Changes::default(), path_bytes: 0 }
    }

    /// Finds out which objects are meant, and does it to them, one after the other from this stamp on. Gives what was
    /// done. Fails as a whole with 92000 (an id's time, a counter that would be infinite), 92001 (limits), 92002 (a
    /// deleted object), 92004 (an unknown one), 92005 and 92007 (paths), and 40009 and 40034: an operation counts for
    /// each object that its path leads to, because the log has it so often.
    pub fn take(&mut self, proposals: &[Proposal], first: Stamp) -> Done<Vec<ObjectMessage>, P> {
        let (mut operations, mut size) = (Vec::with_capacity(proposals.len()), Size::default());
        for proposal in proposals {
            let each = proposal.message.measured();
            // Of an operation on several objects the first has the id that its publisher chose.
            let mut message = proposal.message.clone();
            for object_id in self.resolve(proposal)? {
                let index = operations.len() as u16;
                if operations.len() >= PUBLISH_MAX_MESSAGES {
                    return refused(Code::TooManyMessages, "paths lead to more objects than one publish may change");
                }
                size = [size, each].into_iter().sum();
                if let Err(error) = size.check() {
                    let why = format!("{}, as it counts for each object on its paths", error.message);
                    return refused(Code::TooLarge, why);
                }
                message.operation.object_id = object_id;
                let mut done = message.clone();
                done.operation.action = self.apply(&message.operation, Stamp { index, ..first })?;
                operations.push(done);
                message.id = None;
            }
        }
        self.fits()?;
        Ok(operations)
    }

    /// Bytes that were read to follow paths, with [`OBJECT_PATH_READ_BYTES`] for each read.
    pub fn path_bytes(&self) -> usize {
        self.path_bytes
    }

    /// What became of the parts, and the summary if it says something new.
    pub fn finish(mut self) -> Changes {
        if self.summary != self.before {
            self.changes.put(PartKey::SUMMARY, Part::Summary(self.summary));
        }
        self.changes
    }

    fn fits(&self) -> Result<(), Failure<P::Error>> {
        let exceeds = |now: u64, before: u64, max: u64| now > max && now > before;
        if exceeds(self.summary.bytes, self.before.bytes, OBJECTS_MAX_BYTES) {
            return refused(Code::ObjectsLimit, format!("a channel's objects have at most {OBJECTS_MAX_BYTES} bytes"));
        }
        if exceeds(self.summary.parts, self.before.parts, OBJECT_PARTS_MAX) {
            let bound = format!("a channel has at most {OBJECT_PARTS_MAX} objects and entries of maps");
            return refused(Code::ObjectsLimit, bound);
        }
        Ok(())
    }

    fn part(&mut self, key: &PartKey) -> Done<Option<Part>, P> {
        match self.changes.find(key) {
            Some(part) => Ok(part.cloned()),
            None => self.base.part(key).map_err(Failure::Failed),
        }
    }

    /// `None` for one that is not known. The root always is.
    pub fn object(&mut self, id: &str) -> Done<Option<Object>, P> {
        match self.part(&PartKey::object(id))? {
            Some(Part::Object(object)) => Ok(Some(object)),
            _ => Ok((id == ROOT).then(|| Object::new(Kind::Map))),
        }
    }

    fn entry(&mut self, id: &str, key: &str) -> Done<Option<Entry>, P> {
        match self.part(&PartKey::entry(id, key))? {
            Some(Part::Entry(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    fn resolve(&mut self, proposal: &Proposal) -> Done<Vec<String>, P> {
        let operation = &proposal.message.operation;
        match &proposal.target {
            Target::Named => {}
            Target::Existing => {
                if self.object(&operation.object_id)?.is_none() {
                    return refused(Code::NoSuchObject, format!("there is no object {}", operation.object_id));
                }
            }
            Target::At(path) => return self.objects_at(path, operation.action.kind()),
        }
        Ok(vec![operation.object_id.clone()])
    }

    /// The objects of a kind that a path leads to, each once.
    fn objects_at(&mut self, path: &Path, kind: Option<Kind>) -> Done<Vec<String>, P> {
        let found = self.values_at(ROOT, path)?;
        let mut ids: Vec<String> = Vec::new();
        for value in &found {
            if let Value::Object(id) = value
                && kind.is_none_or(|kind| id::kind_of(id) == Some(kind))
                && self.live(id)?.is_some()
                && !ids.contains(id)
            {
                ids.push(id.clone());
            }
        }
        match (ids.is_empty(), found.is_empty() || path.has_wildcard()) {
            (false, _) => Ok(ids),
            (true, true) => refused(Code::NoSuchPath, format!("no objects matched path: {path}")),
            (true, false) => {
                let what = kind.map_or("object", Kind::name);
                refused(Code::BadPath, format!("path not processable: there is no {what} at {path}"))
            }
        }
    }

    /// The values that a path leads to from a map.
    pub fn values_at(&mut self, from: &str, path: &Path) -> Done<Vec<Value>, P> {
        let mut values = vec![Value::Object(from.to_owned())];
        for segment in &path.0 {
            let mut next = Vec::new();
            for value in values {
                let Value::Object(id) = value else { continue };
                if self.live(&id)?.is_none_or(|object| object.kind() != Kind::Map) {
                    continue;
                }
                match segment {
                    Segment::Key(key) => next.extend(self.value_on_path(&id, key)?),
                    Segment::Any => next.extend(self.values_of(&id)?),
                }
                if next.len() > PUBLISH_MAX_MESSAGES {
                    return refused(Code::TooManyMessages, "the path leads to too many values");
                }
            }
            values = next;
        }
        Ok(values)
    }

    fn values_of(&mut self, id: &str) -> Done<Vec<Value>, P> {
        let mut keys = self.base.keys(id, PUBLISH_MAX_MESSAGES + 1).map_err(Failure::Failed)?;
        keys.extend(self.changes.keys(id));
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > PUBLISH_MAX_MESSAGES {
            let bound = format!("path not processable: '*' stands for at most {PUBLISH_MAX_MESSAGES} keys");
            return refused(Code::BadPath, bound);
        }
        let mut values = Vec::new();
        for key in keys {
            values.extend(self.value_on_path(id, &key)?);
        }
        Ok(values)
    }

    fn value_on_path(&mut self, id: &str, key: &str) -> Done<Option<Value>, P> {
        let entry = self.entry(id, key)?;
        self.count_path(entry.as_ref().map_or(0, |entry| entry.size(key) as usize))?;
        Ok(entry.and_then(|entry| entry.value))
    }

    /// An object on a path, unless it is gone.
    fn live(&mut self, id: &str) -> Done<Option<Object>, P> {
        self.count_path(0)?;
        Ok(self.object(id)?.filter(|object| object.gone.is_none()))
    }

    /// A read of so many bytes of keys and values.
    fn count_path(&mut self, bytes: usize) -> Result<(), Failure<P::Error>> {
        self.path_bytes += OBJECT_PATH_READ_BYTES + bytes;
        match self.path_bytes <= OBJECT_PATHS_MAX_BYTES {
            true => Ok(()),
            false => {
                let what = "paths of one publish lead through too many objects and entries, or too large ones";
                refused(Code::TooManyMessages, format!("{what}; name objects by their ids"))
            }
        }
    }

    /// Does one operation, and gives it as the log is to have it. What cannot be is refused, and then nothing of the
    /// pool may be used.
    pub fn apply(&mut self, operation: &Operation, stamp: Stamp) -> Done<Action, P> {
        let id = operation.object_id.as_str();
        let mut object = self.open(id, &operation.action, stamp)?;
        let mut done = operation.action.clone();
        match &operation.action {
            Action::MapCreate(entries) if !std::mem::replace(&mut object.created, true) => {
                for (key, value) in entries {
                    if self.entry(id, key)?.is_none() {
                        self.set(id, &mut object, key, Some(value.clone()), stamp)?;
                    }
                }
            }
            Action::MapSet { key, value } => self.set(id, &mut object, key, Some(value.clone()), stamp)?,
            Action::MapRemove { key } => self.set(id, &mut object, key, None, stamp)?,
            Action::CounterCreate(count) if !std::mem::replace(&mut object.created, true) => add(&mut object, *count)?,
            Action::CounterInc(number) | Action::CounterStep(number) => {
                let was_whole = is_step(&object, *number);
                add(&mut object, *number)?;
                if was_whole && is_step(&object, *number) {
                    done = Action::CounterStep(*number);
                }
            }
            Action::MapCreate(_) | Action::CounterCreate(_) => {}
            Action::MapClear => {
                self.clear(id, &mut object);
                object.state = State::Map { cleared: Some(stamp) };
            }
            Action::Delete => {
                self.clear(id, &mut object);
                object = Object { stamp: Some(stamp), gone: Some(stamp), ..Object::new(object.kind()) };
            }
        }
        self.changes.put(PartKey::object(id), Part::Object(object));
        Ok(done)
    }

    /// The object that an action is for, which begins with it if it is not known. What cannot be is refused.
    fn open(&mut self, id: &str, action: &Action, stamp: Stamp) -> Done<Object, P> {
        let known = self.part(&PartKey::object(id))?.is_some();
        let Some(kind) = id::kind_of(id) else { return refused(Code::BadObject, "an object's id is malformed") };
        let object = self.object(id)?.unwrap_or_else(|| Object::new(kind));
        if object.gone.is_some() {
            let why = format!("unable to submit operation on tombstone object: {id}");
            return refused(Code::ObjectDeleted, why);
        }
        if action.creates() && !object.created && !id::is_current(id, stamp.time_ms()) {
            return refused(Code::BadObject, "the time in the object's id is not about now");
        }
        let now_ms = stamp.time_ms();
        if !matches!(action, Action::Delete) && now_ms >= self.summary.used_ms + OBJECTS_USED_STEP_MS {
            self.summary.used_ms = now_ms;
        }
        // Nobody may ever refer to a new one; of those that are known, all but counting may leave something to forget.
        if !known || !matches!(action, Action::CounterInc(_)) {
            self.summary.sweep_at_ms.get_or_insert(now_ms + OBJECTS_GRACE_MS);
        }
        self.summary.parts += u64::from(!known);
        Ok(Object { stamp: Some(stamp), ..object })
    }

    fn set(&mut self, id: &str, object: &mut Object, key: &str, value: Option<Value>, stamp: Stamp) -> Done<(), P> {
        let entry = Entry { stamp, value };
        let before = self.entry(id, key)?;
        let (was, is) = (before.as_ref().map_or(0, |before| before.size(key)), entry.size(key));
        let added = u64::from(before.is_none());
        (object.bytes, object.entries) = (object.bytes + is - was, object.entries + added);
        (self.summary.bytes, self.summary.parts) = (self.summary.bytes + is - was, self.summary.parts + added);
        for value in [before.as_ref().and_then(|before| before.value.as_ref()), entry.value.as_ref()] {
            if let Some(Value::Object(to)) = value
                && to != id
            {
                self.note_reach(to)?;
            }
        }
        self.changes.put(PartKey::entry(id, key), Part::Entry(entry));
        Ok(())
    }

    /// An object that an entry refers to, or did until now, may have been in reach: see [`super::sweep`].
    fn note_reach(&mut self, id: &str) -> Done<(), P> {
        if let Some(object) = self.object(id)?.filter(|object| object.lone_since_ms.is_some()) {
            self.changes.put(PartKey::object(id), Part::Object(Object { lone_since_ms: None, ..object }));
        }
        Ok(())
    }

    fn clear(&mut self, id: &str, object: &mut Object) {
        self.summary.bytes -= std::mem::take(&mut object.bytes).min(self.summary.bytes);
        self.summary.parts -= std::mem::take(&mut object.entries).min(self.summary.parts);
        self.changes.clear(id);
    }
}

/// Whether an increment is whole, and the counter as it is.
fn is_step(object: &Object, number: f64) -> bool {
    let State::Counter { count } = object.state else { return false };
    is_whole(count, OBJECT_WHOLE_MAX) && is_whole(number, OBJECT_STEP_MAX)
}

/// As every reader adds it, in the same order.
fn add<E>(object: &mut Object, number: f64) -> Result<(), Failure<E>> {
    let State::Counter { count } = &mut object.state else { return Ok(()) };
    *count += number;
    match count.is_finite() {
        true => Ok(()),
        false => refused(Code::BadObject, "the counter would be more than a number can be"),
    }
}
