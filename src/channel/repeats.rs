//! Where publishes are in the log that come again. A client that lost its connection sends all again that it has no
//! acknowledgement for, thousands it may be: what is read to find one is kept for the next.
//!
//! The keys beside a row say what is in it, so rows are read for what is there and not for what isn't. All of it is
//! paid from a budget: a publish of a few bytes that claims to be an old one would else buy a look at two minutes of
//! the log.

use std::collections::BTreeMap;

use super::dedup::{self, Suspicion};
use super::log::{Batch, Log, ROWS_PER_READ, decoded};
use super::store::{Store, StoreError};
use crate::base::maps::HashMap;
use crate::base::rate::Debt;
use crate::limits::{REPEATS_FLOW, TRACED_MAX, TRACES_MAX};
use crate::model::annotation::Annotation;
use crate::model::message::{Content, Entry, Message};
use crate::model::objects::operation::{self, ObjectMessage, Proposal};
use crate::model::operation::Operation;
use crate::model::packed::Packed;
use crate::model::presence::{MemberKey, Said};
use crate::model::revision::{Act, Shape, Target};
use crate::model::serial::Position;
use crate::rpc::{Publish, PublishKey, Submission};

#[derive(Debug, Default)]
pub struct Repeats {
    /// By connection.
    traces: HashMap<String, Trace>,
    /// Places in all of them.
    traced: usize,
    row: Row,
    budget: Budget,
}

/// What is known of the publishes of one connection that have its numbers, as far back as somebody looked.
#[derive(Debug)]
struct Trace {
    places: BTreeMap<u64, Place>,
    /// The last that its connection said of a member, in what was read.
    said: HashMap<String, Said>,
    /// All that it said from this number on is noted.
    heard_from: Option<u64>,
    /// The rows up to here have not been looked at; `None` when all have.
    unread: Option<Position>,
    /// Nor those behind this.
    through: Position,
    /// What it counts among all places.
    counted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// In the row that ends here, by its keys.
    Row(Position),
    /// Here, by the tail's keys.
    Tail(Position),
    /// Here, and what it says is noted.
    Read(Position),
}

/// The row that was read last.
#[derive(Debug, Default)]
struct Row {
    end: Position,
    entries: Vec<Entry>,
    /// Where the next repeat is if they come in their order.
    next: usize,
}

/// What may be read.
#[derive(Debug, Default)]
struct Budget {
    debt: Debt,
    now_ms: u64,
}

/// Why it isn't known.
enum Halt {
    Spent,
    Failed(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Failed(error)
    }
}

/// All that is known of a publish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    At(Position),
    New,
    /// The budget does not allow to look for it now.
    Unknown,
}

/// The answer, or `None` when the budget does not allow to look for it now.
type Sought<T> = Result<Option<T>, StoreError>;

impl Repeats {
    /// Forgets what was read, but not what it cost.
    pub fn forget(&mut self) {
        (self.traces, self.traced, self.row) = Default::default();
    }

    /// Whether a suspected publish is in the log.
    pub fn find(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        publish: &Publish,
        suspicion: Suspicion,
        now_ms: u64,
    ) -> Result<Found, StoreError> {
        self.budget.now_ms = now_ms;
        let found = sought(match (suspicion, &publish.key, &publish.connection_id) {
            (Suspicion::At(position), ..) => self.find_at(log, store, publish, position),
            (Suspicion::UpTo(last), PublishKey::Serial(serial), Some(connection_id)) => {
                let cutoff = dedup::cutoff(now_ms);
                self.with_trace(log, store, connection_id, last, |trace, reads, store| {
                    trace.find(store, *serial, cutoff, reads)
                })
            }
            _ => Ok(None),
        })?;
        Ok(found.map_or(Found::Unknown, |place| place.map_or(Found::New, Found::At)))
    }

    /// The last word of a member's connection about it, by the log, if that had this number or a later one.
    pub fn said_last(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        key: &MemberKey,
        from: u64,
        now_ms: u64,
    ) -> Sought<Option<Said>> {
        self.budget.now_ms = now_ms;
        let cutoff = dedup::cutoff(now_ms);
        sought(self.with_trace(log, store, &key.connection_id, log.tip(), |trace, reads, store| {
            trace.complete(store, cutoff, reads)?;
            trace.read_from(log, store, from, &key.connection_id, reads)?;
            Ok(trace.said.get(&key.client_id).copied().filter(|last| last.turn.msg_serial >= from))
        }))
    }

    fn find_at(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        publish: &Publish,
        position: Position,
    ) -> Result<Option<Position>, Halt> {
        let Repeats { row, budget, .. } = self;
        for (place, packed) in log.alike_in_tail(position) {
            if budget.decode(packed)?.iter().any(|entry| is_same(entry, publish)) {
                return Ok(Some(place));
            }
        }
        row.read(store, position, budget)?;
        Ok(row.next_that(|entry| is_same(entry, publish)))
    }

    /// Whether a place is not a repeat's but of something else that was published with the same number or first id. Who
    /// lost count is told so: its message is in no log.
    pub fn is_another(
        &mut self,
        (batch, log): (&Batch, &Log),
        store: &mut impl Store,
        publish: &Publish,
        position: Position,
        now_ms: u64,
    ) -> Sought<bool> {
        let differs = |entry: &Entry| match &publish.content {
            _ if matches!(publish.key, PublishKey::Id(_)) => !has_as_many(entry, &publish.content),
            Submission::Messages(messages) => entry.is_operation() || !says_same(entry.messages(), messages),
            Submission::Objects(proposals) => !does_same(entry.objects(), proposals),
            Submission::Operation(operation) => !is_done_by(entry, operation),
            Submission::Annotations { annotations, .. } => !annotates_same(entry.annotations(), annotations),
            Submission::Presence { .. } | Submission::ConnectionOutcome { .. } => false,
        };
        self.budget.now_ms = now_ms;
        let Repeats { row, budget, .. } = self;
        let found = match batch.entry(position).or_else(|| log.in_tail(position)) {
            Some(packed) => budget.decode(packed).map(|entries| entries.first().is_some_and(differs)),
            None => row.read(store, position, budget).map(|()| row.has(position, differs)),
        };
        sought(found)
    }

    fn with_trace<S: Store, T>(
        &mut self,
        log: &Log,
        store: &mut S,
        connection_id: &str,
        last: Position,
        look: impl FnOnce(&mut Trace, &mut Reads<'_>, &mut S) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let mut trace = match self.traces.remove(connection_id) {
            Some(trace) => trace,
            None => Trace::begin(log, store, connection_id, last)?,
        };
        self.traced -= trace.counted;
        let mut reads = Reads { row: &mut self.row, budget: &mut self.budget, connection_id };
        let found = trace.catch_up(log, store, &mut reads).and_then(|()| look(&mut trace, &mut reads, store));
        if self.traces.len() >= TRACES_MAX || self.traced + trace.places.len() > TRACED_MAX {
            (self.traces, self.traced) = Default::default();
        }
        trace.counted = trace.places.len();
        self.traced += trace.counted;
        self.traces.insert(connection_id.to_owned(), trace);
        found
    }
}

/// What a trace reads with.
struct Reads<'a> {
    row: &'a mut Row,
    budget: &'a mut Budget,
    connection_id: &'a str,
}

impl Trace {
    /// What the log's tail says. What it no longer holds, or what is behind the mark, is in rows.
    fn begin(log: &Log, store: &mut impl Store, connection_id: &str, last: Position) -> Result<Trace, StoreError> {
        let from = last.min(log.tail_from());
        let row = store.totals_after(Position(from.0.saturating_sub(1)), 1)?.pop();
        let in_tail = log.serials_in_tail(connection_id, Position::ZERO);
        Ok(Trace {
            places: in_tail.map(|(serial, position)| (serial, Place::Tail(position))).collect(),
            said: HashMap::default(),
            heard_from: None,
            unread: Some(row.map_or(from, |(end, _)| end)),
            through: log.tip(),
            counted: 0,
        })
    }

    /// Takes note of what was published since it was last asked.
    fn catch_up(&mut self, log: &Log, store: &mut impl Store, reads: &mut Reads<'_>) -> Result<(), Halt> {
        while self.through < log.tail_from() {
            let rows = store.keys_after(self.through, ROWS_PER_READ)?;
            let Some((last, _)) = rows.last() else { break };
            self.note_keys(&rows, reads)?;
            self.through = *last;
        }
        for (serial, position) in log.serials_in_tail(reads.connection_id, self.through) {
            self.places.insert(serial, Place::Tail(position));
            self.heard_from = None;
        }
        self.through = log.tip();
        Ok(())
    }

    fn find(
        &mut self,
        store: &mut impl Store,
        serial: u64,
        cutoff: Position,
        reads: &mut Reads<'_>,
    ) -> Result<Option<Position>, Halt> {
        let mut limit = 1;
        loop {
            match self.places.get(&serial) {
                Some(Place::Tail(position) | Place::Read(position)) => return Ok(Some(*position)),
                Some(Place::Row(end)) => {
                    let end = *end;
                    self.read_row(store, end, reads)?;
                    if self.places.get(&serial) == Some(&Place::Row(end)) {
                        // What its row doesn't have after all, no row has.
                        self.places.remove(&serial);
                    }
                }
                None if self.unread.is_none() => return Ok(None),
                None => self.look_back(store, limit, cutoff, reads)?,
            }
            limit = ROWS_PER_READ;
        }
    }

    /// Looks at the keys of all rows of the window.
    fn complete(&mut self, store: &mut impl Store, cutoff: Position, reads: &mut Reads<'_>) -> Result<(), Halt> {
        while self.unread.is_some() {
            self.look_back(store, ROWS_PER_READ, cutoff, reads)?;
        }
        Ok(())
    }

    fn look_back(
        &mut self,
        store: &mut impl Store,
        limit: usize,
        cutoff: Position,
        reads: &mut Reads<'_>,
    ) -> Result<(), Halt> {
        let Some(through) = self.unread else { return Ok(()) };
        let rows = store.keys_before(through, limit)?;
        self.note_keys(&rows, reads)?;
        let rest = rows.last().map(|(oldest, _)| Position(oldest.0.saturating_sub(1)));
        self.unread = rest.filter(|rest| *rest >= cutoff);
        Ok(())
    }

    fn note_keys(&mut self, rows: &[(Position, String)], reads: &mut Reads<'_>) -> Result<(), Halt> {
        for (end, keys) in rows {
            reads.budget.pay(keys.len())?;
            for serial in keys.split(' ').filter_map(|key| dedup::serial_of(key, reads.connection_id)) {
                self.places.entry(serial).or_insert(Place::Row(*end));
                self.heard_from = None;
            }
        }
        Ok(())
    }

    /// Takes note of all that its connection said from a number on.
    fn read_from(
        &mut self,
        log: &Log,
        store: &mut impl Store,
        serial: u64,
        connection_id: &str,
        reads: &mut Reads<'_>,
    ) -> Result<(), Halt> {
        let end = self.heard_from.unwrap_or(u64::MAX).max(serial);
        let unheard = self.places.range(serial..=end).map(|(_, place)| *place);
        let mut places: Vec<Place> = unheard.filter(|place| !matches!(place, Place::Read(_))).collect();
        places.dedup();
        for place in places {
            match place {
                Place::Read(_) => {}
                Place::Row(end) => self.read_row(store, end, reads)?,
                Place::Tail(position) => match log.in_tail(position) {
                    Some(packed) => note(self, connection_id, &reads.budget.decode(packed)?),
                    None => self.read_row(store, position, reads)?,
                },
            }
        }
        self.heard_from = Some(self.heard_from.map_or(serial, |from| from.min(serial)));
        Ok(())
    }

    fn read_row(&mut self, store: &mut impl Store, position: Position, reads: &mut Reads<'_>) -> Result<(), Halt> {
        reads.row.read(store, position, reads.budget)?;
        note(self, reads.connection_id, &reads.row.entries);
        Ok(())
    }
}

/// What a connection said, of these.
fn note(trace: &mut Trace, connection_id: &str, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| entry.connection_id.as_deref() == Some(connection_id)) {
        let number = entry.id.strip_prefix(connection_id).and_then(|rest| rest.strip_prefix(':'));
        if let Some(serial) = number.and_then(|number| number.parse().ok()) {
            trace.places.insert(serial, Place::Read(entry.position));
        }
        for (client_id, said) in entry.presence().iter().filter_map(|event| Some((&event.client_id, event.said()?))) {
            let last = trace.said.entry(client_id.clone()).or_insert(said);
            *last = said.max(*last);
        }
    }
}

impl Row {
    /// Reads the row that holds a position, unless it was the last.
    fn read(&mut self, store: &mut impl Store, position: Position, budget: &mut Budget) -> Result<(), Halt> {
        let is_here = self.entries.first().is_some_and(|first| first.position <= position) && position <= self.end;
        if !is_here {
            budget.pay(0)?;
            *self = match store.rows_after(Position(position.0.saturating_sub(1)), 1)?.pop() {
                Some((end, packed)) => Row { end, entries: budget.decode(&packed)?, next: 0 },
                None => Row::default(),
            };
        }
        Ok(())
    }

    /// Whether the entry at a position is such a one.
    fn has(&self, position: Position, is_such: impl Fn(&Entry) -> bool) -> bool {
        let index = self.entries.binary_search_by_key(&position, |entry| entry.position);
        index.is_ok_and(|index| is_such(&self.entries[index]))
    }

    /// Where the next entry is that is wanted, from the one behind the last.
    fn next_that(&mut self, is_wanted: impl FnMut(&Entry) -> bool) -> Option<Position> {
        let (before, after) = self.entries.split_at(self.next);
        let found = after.iter().chain(before).position(is_wanted)?;
        let index = (self.next + found) % self.entries.len();
        self.next = index + 1;
        Some(self.entries[index].position)
    }
}

impl Budget {
    /// Fails when too much was read. The last that is paid for may exceed it.
    fn pay(&mut self, bytes: usize) -> Result<(), Halt> {
        if self.debt.left(REPEATS_FLOW, self.now_ms) > REPEATS_FLOW.burst {
            return Err(Halt::Spent);
        }
        self.debt.add(bytes, REPEATS_FLOW, self.now_ms);
        Ok(())
    }

    fn decode(&mut self, packed: &Packed) -> Result<Vec<Entry>, Halt> {
        self.pay(packed.len())?;
        Ok(decoded(packed)?)
    }
}

fn sought<T>(result: Result<T, Halt>) -> Sought<T> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Halt::Spent) => Ok(None),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Whether two publishes are one, as far as their publisher says it: who it is, and what its token adds, may have
/// changed since.
fn says_same(one: &[Message], other: &[Message]) -> bool {
    let is_same = |(one, other): (&Message, &Message)| {
        one.name == other.name && one.data == other.data && one.encoding == other.encoding
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

fn annotates_same(one: &[Annotation], other: &[Annotation]) -> bool {
    let said = |annotation: &Annotation| {
        let Annotation { action, kind, name, data, .. } = annotation;
        (*action, kind.clone(), name.clone(), data.clone())
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| said(one) == said(other))
}

/// What a connection does, it does to objects that it names.
fn does_same(one: &[ObjectMessage], other: &[Proposal]) -> bool {
    let is_same = |(one, other): (&ObjectMessage, &Proposal)| {
        let (done, asked) = (&one.operation, &other.message.operation);
        done.object_id == asked.object_id && done.action.is_done_for(&asked.action)
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// Whether an entry is what an operation made of its message, as far as that can be told afterwards.
fn is_done_by(entry: &Entry, operation: &Operation) -> bool {
    let target = Target::parse(&operation.serial).map(|(target, _)| target);
    let act = |shape: Shape| match shape {
        Shape::Updated => Act::Update,
        Shape::Deleted => Act::Delete,
        Shape::Appended { .. } | Shape::Fragment | Shape::Added { .. } => Act::Append,
    };
    entry.operation().is_some_and(|(of, _, version)| Some(of) == target && act(version.shape) == operation.act)
}

fn is_same(entry: &Entry, publish: &Publish) -> bool {
    match &publish.key {
        PublishKey::Serial(_) => false,
        PublishKey::Id(id) => first_id(entry, &publish.content) == Some(id),
        PublishKey::Request(id) => entry.id == *id,
    }
}

/// The first id in an entry that is of the kind of what is published, and says it of the same message.
fn first_id<'a>(entry: &'a Entry, content: &Submission) -> Option<&'a String> {
    match (content, &entry.content) {
        (Submission::Messages(_), Content::Messages(messages)) => messages.first()?.id.as_ref(),
        (Submission::Objects(_), Content::Objects(operations)) => operations.first()?.id.as_ref(),
        (Submission::Annotations { message, .. }, Content::Annotations { target, annotations }) => {
            let of = annotations.first().filter(|_| Target::parse(message).is_some_and(|(of, _)| of == *target));
            of?.id.as_ref()
        }
        _ => None,
    }
}

/// Publishes with one first id have the same ids if they are as many, since each id but a lone one ends in its number.
fn has_as_many(entry: &Entry, content: &Submission) -> bool {
    match content {
        Submission::Messages(messages) => entry.messages().len() == messages.len(),
        Submission::Annotations { annotations, .. } => entry.annotations().len() == annotations.len(),
        Submission::Objects(proposals) => {
            let many =
                |proposal: &Proposal| matches!(&proposal.target, operation::Target::At(path) if path.has_wildcard());
            let (done, asked) = (entry.objects().len(), proposals.len());
            done == asked || done > asked && proposals.iter().any(many)
        }
        _ => true,
    }
}
