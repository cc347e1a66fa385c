//! The log: what a channel published, in rows of what was committed together, and a tail of it in memory.
//!
//! Ephemeral publishes take a place in the order and pass through the tail to those who listen now, but no row holds
//! them.

mod pieces;
mod spare;
mod walk;

use std::collections::VecDeque;

use super::Meta;
use super::dedup;
use super::last::{self, Newest};
use super::state::annotations::Tally;
use super::state::presence::Pending;
use super::store::{Change, Row, Store, StoreError, Stored, StoredEnding, StoredVersion, Totals};
use crate::base::maps::{HashMap, HashSet};
use crate::limits::{LOG_MAX_BYTES, LOG_MAX_MESSAGES, RETENTION_MS, RETENTION_SLACK_MS, ROW_MAX_BYTES, TAIL_MAX_BYTES};
use crate::model::message::Entry;
use crate::model::objects::pool::Changes;
use crate::model::packed::Packed;
use crate::model::presence::{MemberKey, Said};
use crate::model::revision::Target;
use crate::model::serial::Position;
use crate::rpc::{Lease, Publish, PublishKey, Rules, Submission};
use crate::stats::{Load, Traffic};
use spare::Spare;
pub use walk::Walk;

/// Rows read at a time when looking for something.
pub const ROWS_PER_READ: usize = 32;

/// Messages and bytes that a log may hold.
const BOUNDS: (u64, u64) = (LOG_MAX_MESSAGES, LOG_MAX_BYTES);

#[derive(Debug)]
pub struct Log {
    tip: Position,
    newest: Option<(Position, Totals)>,
    oldest: Option<(Position, Totals)>,
    tail: VecDeque<Placed>,
    tail_bytes: usize,
    /// Bytes that it ever took in.
    taken_in: usize,
    /// The tail holds everything after this.
    tail_from: Position,
    /// Whether any message has another version than its first.
    revised: bool,
    spare: Spare,
    pub(super) newest_message: Newest,
}

/// A publish at its place, encoded.
#[derive(Clone, Debug)]
struct Placed {
    position: Position,
    entry: Packed,
    /// What its row has, where that is less.
    stored: Option<Packed>,
    messages: usize,
    ephemeral: bool,
    key: String,
    changes: Vec<Change>,
}

impl Placed {
    fn stored(&self) -> &Packed {
        self.stored.as_ref().unwrap_or(&self.entry)
    }
}

/// What one commit will append.
pub struct Batch {
    tip: Position,
    placed: Vec<Placed>,
    bytes: usize,
    newest_message: Option<Position>,
    /// What it makes of messages, by where they were published.
    latest: HashMap<Position, Vec<Entry>>,
    /// Messages whose latest version it writes whole.
    rewritten: HashSet<Target>,
    /// By their keys, which are a connection's own where they are its numbers.
    publishes: HashMap<(PublishKey, String), Position>,
    /// What it does to the presence set.
    pub members: Pending,
    /// What it does to the objects.
    pub objects: Changes,
    /// The last words of connections about their members.
    said: HashMap<MemberKey, Said>,
    /// Before anything is placed.
    holds: Vec<(String, Lease, Option<u64>)>,
    pub tally: Tally,
    /// What it takes in, for statistics.
    pub counted: crate::stats::Tally,
    /// Where it has summaries.
    pub summaries: Vec<Position>,
    /// The places of its operations, and their messages.
    pub operations: Vec<(Position, Target)>,
}

impl Batch {
    pub fn new(tip: Position) -> Batch {
        Batch {
            tip,
            placed: Vec::new(),
            bytes: 0,
            newest_message: None,
            latest: HashMap::default(),
            rewritten: HashSet::default(),
            publishes: HashMap::default(),
            members: Pending::new(),
            objects: Changes::default(),
            said: HashMap::default(),
            holds: Vec::new(),
            tally: Tally::default(),
            counted: crate::stats::Tally::default(),
            summaries: Vec::new(),
            operations: Vec::new(),
        }
    }

    pub fn tip(&self) -> Position {
        self.tip
    }

    /// Places what was published; a repeat in this batch will be known.
    pub fn push(&mut self, publish: &Publish, entry: Entry, key: String, changes: Vec<Change>) {
        self.publishes.entry(key_of(publish)).or_insert(entry.position);
        self.count(publish, &entry);
        self.place(entry, key, changes);
    }

    /// What became of a connection is no message of its client.
    fn count(&mut self, publish: &Publish, entry: &Entry) {
        let load = Load::of(entry);
        if !matches!(publish.content, Submission::ConnectionOutcome { .. }) {
            self.counted.add_load(publish.way(), load, 1);
        }
        if !entry.is_ephemeral() {
            self.counted.add_load(Traffic::Persisted, load, 1);
        }
    }

    pub fn place(&mut self, entry: Entry, key: String, changes: Vec<Change>) {
        self.tip = entry.position;
        self.newest_message = if last::is_message(&entry) { Some(self.tip) } else { self.newest_message };
        for change in &changes {
            match change {
                Change::Put(member) => self.members.insert(member.key.clone(), Some(member.member.clone())),
                Change::Remove(member) => self.members.insert(member.clone(), None),
                Change::Objects(changes) => {
                    self.objects.extend(changes);
                    None
                }
                Change::Revise(version) => {
                    self.rewritten.insert(version.target);
                    None
                }
                _ => None,
            };
        }
        for (key, said) in entry.presence().iter().filter_map(|event| Some((event.key(), event.said()?))) {
            let last = self.said.entry(key).or_insert(said);
            *last = said.max(*last);
        }
        let (position, messages, ephemeral) = (entry.position, entry.count(), entry.is_ephemeral());
        let (packed, stored) = (Packed::one(&entry), entry.added().map(|added| Packed::one(&added)));
        self.bytes += packed.len();
        self.placed.push(Placed { position, entry: packed, stored, messages, ephemeral, key, changes });
        if let Some((target, ..)) = entry.operation() {
            let versions = self.latest.entry(target.position).or_default();
            versions.retain(|version| version.target(0) != target);
            versions.push(entry);
            self.operations.push((position, target));
        }
    }

    /// Changes who holds a connection's members: those that are there, and those that this batch has placed so far.
    /// With the last of these or not at all, so that all members of a connection always have one holder.
    pub fn hold(&mut self, connection_id: &str, lease: &Lease, leaves_at_ms: Option<u64>) {
        match self.placed.last_mut() {
            Some(last) => last.changes.push(Change::Lease(connection_id.to_owned(), lease.clone(), leaves_at_ms)),
            None => self.holds.push((connection_id.to_owned(), lease.clone(), leaves_at_ms)),
        }
    }

    /// The last word of a connection about its member, in this batch.
    pub fn said(&self, key: &MemberKey) -> Option<Said> {
        self.said.get(key).copied()
    }

    /// What this batch has at a place.
    pub fn entry(&self, position: Position) -> Option<&Packed> {
        let index = self.placed.binary_search_by_key(&position, |placed| placed.position).ok()?;
        Some(&self.placed[index].entry)
    }

    /// Bytes of what it has placed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what rows will have of it.
    pub fn stored_bytes(&self) -> usize {
        self.placed.iter().map(|placed| placed.stored().len()).sum()
    }

    /// What it makes of the messages that were published at a position.
    pub fn latest(&self, position: Position) -> impl Iterator<Item = &Entry> {
        self.latest.get(&position).into_iter().flatten()
    }

    /// Whether it writes the latest version of a message whole.
    pub fn rewrites(&self, target: Target) -> bool {
        self.rewritten.contains(&target)
    }

    /// Where this batch already placed the same publish.
    pub fn find(&self, publish: &Publish) -> Option<Position> {
        self.publishes.get(&key_of(publish)).copied()
    }
}

fn key_of(publish: &Publish) -> (PublishKey, String) {
    let whose = match (&publish.key, &publish.connection_id) {
        (PublishKey::Serial(_), Some(connection_id)) => connection_id,
        _ => publish.scope(),
    };
    (publish.key.clone(), whose.to_owned())
}

impl Log {
    /// The log as stored; `at_least` bounds the tip from below when there are no rows. Rows up to the floor are not
    /// its own any more.
    pub fn new(
        store: &mut impl Store,
        stored: &Stored,
        at_least: Position,
        floor: Position,
    ) -> Result<Log, StoreError> {
        let tip = stored.newest.map_or(at_least, |(position, _)| position.max(at_least));
        let oldest = match stored.oldest {
            Some((position, _)) if position <= floor => store.totals_after(floor, 1)?.pop(),
            oldest => oldest,
        };
        Ok(Log {
            tip,
            newest: stored.newest,
            oldest,
            tail: VecDeque::new(),
            tail_bytes: 0,
            taken_in: 0,
            tail_from: tip,
            revised: stored.revised,
            spare: Spare::default(),
            newest_message: Newest::up_to(tip),
        })
    }

    pub fn is_revised(&self) -> bool {
        self.revised
    }

    pub fn tip(&self) -> Position {
        self.tip
    }

    /// How many bytes of entries its memory has taken in so far.
    pub fn taken_in(&self) -> usize {
        self.taken_in
    }

    /// Writes a batch, as few rows as its size allows. Memory changes only when all are written.
    pub fn append(&mut self, store: &mut impl Store, batch: Batch) -> Result<(), StoreError> {
        let mut totals = self.newest.map_or(Totals::default(), |(_, totals)| totals);
        for (connection_id, lease, leaves_at_ms) in &batch.holds {
            store.hold(connection_id, lease, *leaves_at_ms)?;
        }
        let mut rest = batch.placed.as_slice();
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(row_length(rest));
            let row = Row { over: self.spare.take(), ..row(chunk, &mut totals) };
            store.append(&row)?;
            self.oldest = self.oldest.or(Some((row.position, row.totals)));
            self.newest = Some((row.position, row.totals));
            rest = later;
        }
        self.tip = batch.tip;
        batch.newest_message.into_iter().for_each(|at| self.newest_message = Newest::published(at));
        self.revised |= !batch.latest.is_empty();
        batch.placed.into_iter().for_each(|placed| self.push_tail(placed));
        Ok(())
    }

    fn push_tail(&mut self, mut placed: Placed) {
        (placed.changes, placed.stored) = (Vec::new(), None);
        self.tail_bytes += placed.entry.len();
        self.taken_in = self.taken_in.wrapping_add(placed.entry.len());
        self.tail.push_back(placed);
        while self.tail_bytes > TAIL_MAX_BYTES {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.tail.pop_front() {
            self.tail_bytes -= oldest.entry.len();
            self.tail_from = oldest.position;
        }
    }

    /// The entry at a position, if it is there, perhaps with others of its row; and how many bytes were read of rows.
    pub fn around(
        &self,
        store: &mut impl Store,
        batch: Option<&Batch>,
        position: Position,
    ) -> Result<(Vec<Entry>, usize), StoreError> {
        if let Some(packed) = batch.and_then(|batch| batch.entry(position)).or_else(|| self.in_tail(position)) {
            return Ok((decoded(packed)?, 0));
        }
        match store.rows_after(Position(position.0.saturating_sub(1)), 1)?.pop() {
            Some((_, row)) => Ok((decoded(&row)?, row.len())),
            None => Ok((Vec::new(), 0)),
        }
    }

    /// Gives readers of the tail other bytes than the row has.
    pub fn replace(&mut self, position: Position, entry: Packed) {
        if let Ok(index) = self.tail.binary_search_by_key(&position, |placed| placed.position) {
            let placed = &mut self.tail[index];
            self.tail_bytes = self.tail_bytes - placed.entry.len() + entry.len();
            placed.entry = entry;
        }
    }

    /// Everything behind this is in the tail.
    pub fn tail_from(&self) -> Position {
        self.tail_from
    }

    /// What the tail has at a position, and before it by the same key, whose hash may have met another's.
    pub fn alike_in_tail(&self, position: Position) -> impl Iterator<Item = (Position, &Packed)> {
        let end = self.tail.partition_point(|placed| placed.position <= position);
        let key = end.checked_sub(1).map(|last| &self.tail[last].key);
        let alike = self.tail.range(..end).rev().filter(move |placed| Some(&placed.key) == key);
        alike.map(|placed| (placed.position, &placed.entry))
    }

    /// What the tail has at a position.
    pub fn in_tail(&self, position: Position) -> Option<&Packed> {
        let index = self.tail.binary_search_by_key(&position, |placed| placed.position).ok()?;
        Some(&self.tail[index].entry)
    }

    /// The numbers of a connection's publishes in the tail behind a position, and their places. Nothing is decoded for
    /// it.
    pub fn serials_in_tail(&self, connection_id: &str, after: Position) -> impl Iterator<Item = (u64, Position)> {
        let start = self.tail.partition_point(|placed| placed.position <= after);
        self.tail
            .range(start..)
            .filter_map(move |placed| Some((dedup::serial_of(&placed.key, connection_id)?, placed.position)))
    }

    /// The last row that is past its time, by rules that the app has [confirmed](super::heard), or over the log's
    /// bounds; never the newest: it holds the tip.
    pub fn expired(
        &self,
        store: &mut impl Store,
        meta: &Meta,
        confirmed: Option<Position>,
        now_ms: u64,
    ) -> Result<Option<Position>, StoreError> {
        let Some((newest, _)) = self.newest else { return Ok(None) };
        let expired = Position::at(now_ms.saturating_sub(kept_ms(&meta.rules)));
        let expired = confirmed.map_or(expired, |through| expired.min(through));
        let through = expired.max(self.over_bounds(store, meta.floor)?).min(Position(newest.0 - 1));
        Ok(store.rows_before(through, 1)?.pop().map(|(position, _)| position))
    }

    /// The last row that must go so that no more than this is stored behind it.
    pub fn bound_behind(&self, store: &mut impl Store, messages: u64, bytes: u64) -> Result<Position, StoreError> {
        let Some((_, newest)) = self.newest else { return Ok(Position::ZERO) };
        let mut through = Position::ZERO;
        loop {
            let rows = store.totals_after(through, ROWS_PER_READ)?;
            let must_go = rows.iter().take_while(|(_, totals)| is_over(newest, *totals, (messages, bytes))).count();
            through = must_go.checked_sub(1).map_or(through, |last| rows[last].0);
            if must_go < ROWS_PER_READ {
                return Ok(through);
            }
        }
    }

    /// The last row that must go so that the log is within its bounds: some more than are too many, so that it is not
    /// asked again at once.
    fn over_bounds(&self, store: &mut impl Store, floor: Position) -> Result<Position, StoreError> {
        let mut through = floor;
        while self.excess(through, store)? {
            match store.totals_after(through, ROWS_PER_READ)?.pop() {
                Some((position, _)) => through = position,
                None => break,
            }
        }
        Ok(through)
    }

    /// How much was logged behind a position, up to another.
    pub fn count_between(&self, store: &mut impl Store, after: Position, through: Position) -> Result<u64, StoreError> {
        let first = store.totals_after(after, 1)?.pop();
        let beyond = store.totals_after(through, 1)?.pop().or(self.newest);
        let count = |(_, totals): (Position, Totals)| totals.messages;
        Ok(beyond.map_or(0, count).saturating_sub(first.map_or(0, count)))
    }

    fn excess(&self, without: Position, store: &mut impl Store) -> Result<bool, StoreError> {
        let Some((_, newest)) = self.newest else { return Ok(false) };
        let Some((_, oldest)) = store.totals_after(without, 1)?.pop() else { return Ok(false) };
        Ok(is_over(newest, oldest, BOUNDS))
    }

    pub fn is_half_full(&self) -> bool {
        let (Some((_, newest)), Some((_, oldest))) = (self.newest, self.oldest) else { return false };
        newest.messages - oldest.messages > LOG_MAX_MESSAGES / 2 || newest.bytes - oldest.bytes > LOG_MAX_BYTES / 2
    }

    /// When [`Log::trim`] next has rows to let go.
    pub fn deadline(&self, rules: &Rules) -> Option<u64> {
        let ((newest_at, newest), (oldest_at, oldest)) = (self.newest?, self.oldest?);
        if is_over(newest, oldest, BOUNDS) {
            return Some(0);
        }
        (newest_at > oldest_at).then(|| oldest_at.time_ms() + kept_ms(rules) + RETENTION_SLACK_MS)
    }
}

fn is_over(newest: Totals, oldest: Totals, (messages, bytes): (u64, u64)) -> bool {
    newest.messages - oldest.messages > messages || newest.bytes - oldest.bytes > bytes
}

/// Rows stay a little longer than they can be read.
pub(super) fn kept_ms(rules: &Rules) -> u64 {
    rules.retention_ms.max(RETENTION_MS) + RETENTION_SLACK_MS
}

/// The oldest position that readers of history may see.
pub fn visible_from(rules: &Rules, now_ms: u64) -> Position {
    Position::at(now_ms.saturating_sub(rules.retention_ms))
}

pub fn decoded(packed: &Packed) -> Result<Vec<Entry>, StoreError> {
    Ok(packed.entries()?)
}

fn row_length(placed: &[Placed]) -> usize {
    let mut bytes = 0;
    let fits = |next: &&Placed| {
        bytes += next.stored().len();
        bytes <= ROW_MAX_BYTES
    };
    placed.iter().take_while(fits).count().max(1)
}

fn row(chunk: &[Placed], totals: &mut Totals) -> Row {
    let mut entries = Packed::default();
    let mut keys = String::new();
    for placed in chunk.iter().filter(|placed| !placed.ephemeral) {
        entries.append(placed.stored());
        totals.messages += placed.messages as u64;
        totals.bytes += placed.stored().len() as u64;
        if !keys.is_empty() {
            keys.push(' ');
        }
        keys.push_str(&placed.key);
    }
    let position = chunk.last().map_or(Position::ZERO, |last| last.position);
    Row { position, over: None, totals: *totals, keys, entries, changes: changes(chunk) }
}

/// What a row changes: of appends in a row, which are one version, what the last leaves.
fn changes(chunk: &[Placed]) -> Vec<Change> {
    let mut versions = HashSet::default();
    let mut is_last = |change: &&Change| match change {
        Change::Revise(StoredVersion { target, number, .. }) | Change::Extend(StoredEnding { target, number, .. }) => {
            versions.insert((*target, *number))
        }
        _ => true,
    };
    let changes = chunk.iter().rev().flat_map(|placed| placed.changes.iter().rev());
    let mut changes: Vec<Change> = changes.filter(|change| is_last(change)).cloned().collect();
    changes.reverse();
    changes
}
