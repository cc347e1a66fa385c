//! What is said of messages, and what it comes to (protocol.md § 18).
//!
//! An annotation is an entry of the log, and with that entry's row, or not at all, goes what it changes: the list of
//! what was said of its message, and the counts. So the counts are a function of the log. Memory has none of them, but
//! while a commit is made. A commit ends with one summary for each message whose counts it changed. Rows say only that
//! there was one: who reads them gets the counts of now, and who is fed from memory those of then.

use std::collections::{BTreeMap, hash_map};

use serde_json::{Map, Value, json};

use super::endings::latest;
use super::told::tell;
use super::versions::{Current, is_deleted};
use crate::base::maps::HashMap;
use crate::channel::log::{Batch, decoded};
use crate::channel::store::{Change, CountKey, Share, Store, StoreError, Total};
use crate::channel::{Channel, storage_failed};
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    ANNOTATIONS_PER_READ, HISTORY_PAGE_BYTES, PAGE_SUMMARIES_MAX_BYTES, SUMMARY_CLIENTS_MAX, SUMMARY_CLIENTS_MAX_BYTES,
    SUMMARY_COUNTS_MAX,
};
use crate::model::annotation::{Annotation, AnnotationAction, Method, Summary, SummaryCounts};
use crate::model::message::{Content, Entry, Extras, Kind};
use crate::model::packed::Packed;
use crate::model::revision::Target;
use crate::model::serial::Position;
use crate::rpc::{AnnotationsQuery, Answer, HistoryPage, Outcome, Publish};

/// The counts that a commit has looked at, as it leaves them.
#[derive(Default)]
pub struct Tally {
    /// Messages that were looked up, by their serials, with their names, unless they are deleted.
    pub(super) found: HashMap<String, (Target, Option<Named>)>,
    counts: HashMap<Target, BTreeMap<CountKey, Total>>,
    /// By message, type and client.
    shares: HashMap<(Target, String, String), BTreeMap<String, Share>>,
    /// Messages whose counts are others now, or are told again, with their names.
    pub(super) changed: BTreeMap<Target, Named>,
}

/// A message's name, if it has one.
type Named = Option<String>;

impl Channel {
    /// Gives annotations of one message their place. Refused with 93002 where messages can't be annotated, with 40400
    /// when there is no such message, with 40009 when too much would be counted of it.
    pub(in crate::channel) fn place_annotations(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        (message, annotations): (&str, &[Annotation]),
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        if !self.meta.rules.mutable {
            return Ok(Outcome::Refused(not_enabled()));
        }
        let (target, name) = match self.annotated_message(store, batch, message, now_ms)? {
            Ok(found) => found,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if !batch.tally.has_room(store, target, annotations)? {
            let why = format!("of one message at most {SUMMARY_COUNTS_MAX} types and names are counted");
            return Ok(Outcome::Refused(Code::TooLarge.because(why)));
        }
        let position = batch.tip().next(now_ms);
        let mut changes = Vec::new();
        for annotation in annotations {
            batch.tally.take(store, target, annotation, position, &mut changes)?;
        }
        if let Some(name) = name.filter(|_| !changes.is_empty()) {
            batch.tally.changed.insert(target, name);
        }
        let key = self.window(store, now_ms)?.remember(publish, position);
        let content = Content::Annotations { target, annotations: annotations.to_vec() };
        let entry = Entry { position, id: publish.id(), connection_id: publish.connection_id.clone(), content };
        changes.push(Change::Annotate(target, position, Packed::one(&entry)));
        batch.push(publish, entry, key, changes);
        Ok(Outcome::Accepted { position, count: annotations.len() })
    }

    /// Ends a commit: what it changed has its place, too.
    pub(in crate::channel) fn place_summaries(&self, batch: &mut Batch, now_ms: u64) {
        for (target, name) in std::mem::take(&mut batch.tally.changed) {
            if is_deleted(batch.latest(target.position), target) {
                continue;
            }
            let position = batch.tip().next(now_ms);
            let content = Content::Summary(Summary { target, name, counts: SummaryCounts::default() });
            let id = format!("summary!{}", position.0);
            batch.place(Entry { position, id, connection_id: None, content }, String::new(), Vec::new());
            batch.summaries.push(position);
        }
    }

    /// Tells those who are fed from memory what the counts are at the end of this commit. What can't be read now is
    /// read when it goes out.
    pub(in crate::channel) fn fill_summaries(&mut self, store: &mut impl Store, positions: &[Position]) {
        for position in positions {
            let Some(packed) = self.log.in_tail(*position) else { continue };
            if let Ok(filled) = filled(store, packed, false) {
                self.log.replace(*position, filled);
            }
        }
    }

    /// A message that is annotated, and its name unless it is deleted. Looked up once in a commit.
    fn annotated_message(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        serial: &str,
        now_ms: u64,
    ) -> Result<Answer<(Target, Option<Named>)>, StoreError> {
        if let Some(found) = batch.tally.found.get(serial) {
            return Ok(Ok(found.clone()));
        }
        if self.has_changed_too_much(now_ms) {
            return Ok(Err(Code::PublishRateLimited.because("too much is looked up on this channel; try again")));
        }
        let found = self.message(store, Some(batch), serial, now_ms)?.map(|current| {
            let name = (!current.is_deleted()).then_some(current.message.name);
            (current.target, name)
        });
        if let Ok(found) = &found {
            batch.tally.found.insert(serial.to_owned(), found.clone());
        }
        Ok(found)
    }

    fn require_message(&mut self, store: &mut impl Store, serial: &str, now_ms: u64) -> Answer<Target> {
        self.reload(store).map_err(storage_failed)?;
        if !self.meta.rules.mutable {
            return Err(not_enabled());
        }
        let Current { target, .. } = self.message(store, None, serial, now_ms).map_err(storage_failed)??;
        Ok(target)
    }

    /// A page of what was said of a message, oldest first. Fails as [`Channel::place_annotations`] does.
    pub fn annotations(
        &mut self,
        store: &mut impl Store,
        query: &AnnotationsQuery,
        now_ms: u64,
    ) -> Answer<HistoryPage> {
        let target = self.require_message(store, &query.message, now_ms)?;
        let epoch = self.meta.epoch.clone();
        page(store, target, epoch, query).map_err(storage_failed)
    }

    /// What a client said of a message: the counts where it is counted. Fails as [`Channel::annotations`] does.
    pub fn client_summary(
        &mut self,
        store: &mut impl Store,
        message: &str,
        client_id: &str,
        now_ms: u64,
    ) -> Answer<SummaryCounts> {
        let target = self.require_message(store, message, now_ms)?;
        let by_type = client_counts(store, target, client_id).map_err(storage_failed)?;
        Ok(SummaryCounts { by_type: Some(by_type) })
    }
}

impl Tally {
    pub(super) fn counts(
        &mut self,
        store: &mut impl Store,
        target: Target,
    ) -> Result<&mut BTreeMap<CountKey, Total>, StoreError> {
        Ok(match self.counts.entry(target) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(unknown) => unknown.insert(store.counts(target)?.into_iter().collect()),
        })
    }

    fn shares(
        &mut self,
        store: &mut impl Store,
        target: Target,
        kind: &str,
        client_id: &str,
    ) -> Result<&mut BTreeMap<String, Share>, StoreError> {
        let key = (target, kind.to_owned(), client_id.to_owned());
        if !self.shares.contains_key(&key) {
            self.shares.insert(key.clone(), store.shares(target, kind, client_id)?.into_iter().collect());
        }
        Ok(self.shares.entry(key).or_default())
    }

    /// Whether all that these count can be counted.
    fn has_room(
        &mut self,
        store: &mut impl Store,
        target: Target,
        annotations: &[Annotation],
    ) -> Result<bool, StoreError> {
        let counts = self.counts(store, target)?;
        let creates = annotations.iter().filter(|annotation| annotation.action == AnnotationAction::Create);
        let keys = creates.filter_map(|annotation| Method::of(&annotation.kind).map(|method| key(method, annotation)));
        let added: std::collections::BTreeSet<CountKey> = keys.filter(|key| !counts.contains_key(key)).collect();
        Ok(added.is_empty() || counts.len() + added.len() <= SUMMARY_COUNTS_MAX)
    }

    /// SummaryCounts an annotation, or takes it back. What changes nothing has no changes.
    fn take(
        &mut self,
        store: &mut impl Store,
        target: Target,
        annotation: &Annotation,
        position: Position,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let Some(method) = Method::of(&annotation.kind) else { return Ok(()) };
        let (key, action) = (key(method, annotation), annotation.action);
        let count = if method == Method::Multiple { annotation.count.unwrap_or(1) } else { 1 };
        let client_id = annotation.client_id.as_deref().filter(|_| method != Method::Total);
        let Some(client_id) = client_id else {
            let total = self.counts(store, target)?.get(&key).copied().unwrap_or_default();
            let next = match (action, method) {
                (AnnotationAction::Create, _) => total.unidentified + count,
                (AnnotationAction::Delete, Method::Total) => total.unidentified.saturating_sub(1),
                (AnnotationAction::Delete, _) => 0,
            };
            let sum = total.total - total.unidentified + next;
            return self.set_total(store, target, key, Total { total: sum, unidentified: next, ..total }, changes);
        };
        let held = self.shares(store, target, &key.kind, client_id)?.clone();
        let share = held.get(&key.name).copied();
        let others = held.keys().filter(|name| **name != key.name).cloned();
        let (leaves, next): (Vec<String>, _) = match (action, method) {
            (AnnotationAction::Create, Method::Unique) => (others.collect(), share.map_or(1, |share| share.count)),
            (AnnotationAction::Create, Method::Multiple) => (Vec::new(), share.map_or(0, |share| share.count) + count),
            (AnnotationAction::Create, _) => (Vec::new(), 1),
            (AnnotationAction::Delete, Method::Unique) if key.name.is_empty() => (others.collect(), 0),
            (AnnotationAction::Delete, _) => (Vec::new(), 0),
        };
        for name in leaves {
            let left = CountKey { kind: key.kind.clone(), name };
            self.set_share(store, (target, left), client_id, 0, position, changes)?;
        }
        self.set_share(store, (target, key), client_id, next, position, changes)
    }

    /// From now on a client's part in a count is this.
    fn set_share(
        &mut self,
        store: &mut impl Store,
        (target, key): (Target, CountKey),
        client_id: &str,
        count: u64,
        position: Position,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let shares = self.shares(store, target, &key.kind, client_id)?;
        let before = shares.get(&key.name).copied();
        let had = before.map_or(0, |share| share.count);
        if had == count {
            return Ok(());
        }
        let share = (count > 0).then(|| Share { count, since: before.map_or(position, |share| share.since) });
        match share {
            Some(share) => shares.insert(key.name.clone(), share),
            None => shares.remove(&key.name),
        };
        changes.push(Change::Say(target, key.clone(), client_id.to_owned(), share));
        let total = self.counts(store, target)?.get(&key).copied().unwrap_or_default();
        let next = Total {
            total: total.total - had + count,
            clients: total.clients + u64::from(had == 0) - u64::from(count == 0),
            ..total
        };
        self.set_total(store, target, key, next, changes)
    }

    fn set_total(
        &mut self,
        store: &mut impl Store,
        target: Target,
        key: CountKey,
        total: Total,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let counts = self.counts(store, target)?;
        let before = match total.total {
            0 => counts.remove(&key),
            _ => counts.insert(key.clone(), total),
        };
        if before.unwrap_or_default() != total {
            changes.push(Change::Count(target, key, total));
        }
        Ok(())
    }
}

fn key(method: Method, annotation: &Annotation) -> CountKey {
    let name = annotation.name.clone().filter(|_| method.has_names()).unwrap_or_default();
    CountKey { kind: annotation.kind.clone(), name }
}

fn not_enabled() -> ErrorInfo {
    Code::UpdatesNotEnabled.because("annotations need a namespace with mutableMessages")
}

fn page(
    store: &mut impl Store,
    target: Target,
    epoch: String,
    query: &AnnotationsQuery,
) -> Result<HistoryPage, StoreError> {
    let mut page = HistoryPage { epoch, entries: Packed::default(), slices: Vec::new(), next: None };
    let (from, skip) = query.after.map_or((Position::ZERO, 0), |(position, index)| (position, index + 1));
    let (mut room, mut last) = (query.limit, None);
    let mut unread = from;
    loop {
        let read = store.annotations(target, unread, ANNOTATIONS_PER_READ)?;
        let is_last = read.len() < ANNOTATIONS_PER_READ;
        for packed in read {
            for entry in decoded(&packed)? {
                unread = Position(entry.position.0 + 1);
                let start = if entry.position == from { skip } else { 0 };
                let end = entry.annotations().len().min(start + room);
                if start >= entry.annotations().len() {
                    continue;
                }
                let is_full = !page.slices.is_empty() && page.entries.len() + packed.len() > HISTORY_PAGE_BYTES;
                if room == 0 || is_full {
                    page.next = last;
                    return Ok(page);
                }
                page.entries.append(&packed);
                page.slices.push((start, end));
                (room, last) = (room - (end - start), Some((entry.position, end - 1)));
                if end < entry.annotations().len() {
                    page.next = last;
                    return Ok(page);
                }
            }
        }
        if is_last {
            return Ok(page);
        }
    }
}

/// What a message's annotations come to, in as many bytes as readers can be sent.
pub fn summary(store: &mut impl Store, target: Target, max_bytes: usize) -> Result<Extras, StoreError> {
    let counts = store.counts(target)?;
    let listing = counts.iter().filter(|(key, _)| Method::of(&key.kind) != Some(Method::Total)).count().max(1);
    let (limit, max_bytes) = (SUMMARY_CLIENTS_MAX / listing, max_bytes / listing);
    let mut by_type = Map::new();
    for (key, total) in counts {
        let clients = if total.clients == 0 { Vec::new() } else { store.clients(target, &key, limit.max(1))? };
        add(&mut by_type, key, total, clients, Some(max_bytes));
    }
    Ok(by_type)
}

fn client_counts(store: &mut impl Store, target: Target, client_id: &str) -> Result<Extras, StoreError> {
    let counts: BTreeMap<CountKey, Total> = store.counts(target)?.into_iter().collect();
    let kinds: std::collections::BTreeSet<&String> = counts.keys().map(|key| &key.kind).collect();
    let mut by_type = Map::new();
    for kind in kinds {
        for (name, share) in store.shares(target, kind, client_id)? {
            let key = CountKey { kind: kind.clone(), name };
            let total = counts.get(&key).copied().unwrap_or_default();
            add(&mut by_type, key, total, vec![(client_id.to_owned(), share.count)], None);
        }
    }
    Ok(by_type)
}

/// Adds a count to a summary, with as many of its clients as there is room for, and one at least. Without a bound they
/// are picked, and count as clipped.
fn add(by_type: &mut Extras, key: CountKey, total: Total, clients: Vec<(String, u64)>, max_bytes: Option<usize>) {
    let Some(method) = Method::of(&key.kind) else { return };
    let mut bytes = 0;
    let fits = |(client_id, _): &&(String, u64)| {
        let is_first = bytes == 0;
        bytes += client_id.len() + 8;
        is_first || max_bytes.is_none_or(|max_bytes| bytes <= max_bytes)
    };
    let listed: Vec<&(String, u64)> = clients.iter().take_while(fits).collect();
    let clipped = max_bytes.is_none() || (listed.len() as u64) < total.clients;
    let value = match method {
        Method::Total => json!({ "total": total.total }),
        Method::Multiple => {
            let each = listed.iter().map(|(client_id, count)| (client_id.clone(), json!(count)));
            json!({
                "total": total.total,
                "clientIds": each.collect::<Map<String, Value>>(),
                "totalUnidentified": total.unidentified,
                "totalClientIds": total.clients,
                "clipped": clipped,
            })
        }
        _ => {
            let each: Vec<&String> = listed.iter().map(|(client_id, _)| client_id).collect();
            json!({ "total": total.total, "clientIds": each, "clipped": clipped })
        }
    };
    if !method.has_names() {
        by_type.insert(key.kind, value);
    } else if let Value::Object(names) = by_type.entry(key.kind).or_insert_with(|| json!({})) {
        names.insert(key.name, value);
    }
}

/// Entries for readers: each summary that has no counts yet gets those of now, and only the last of a message has them.
/// It also gets the version that its message is, but none that comes behind it: a reader would take that for known. A
/// message that is deleted has none, nor has one that has expired: what was said of it is gone, and whoever shows
/// it yet must not be told that nobody said anything. Operations of rows have what annotations come to, too.
pub(in crate::channel) fn filled(
    store: &mut impl Store,
    packed: &Packed,
    is_of_rows: bool,
) -> Result<Packed, StoreError> {
    let mut entries = decoded(packed)?;
    let has_told = is_of_rows && tell(store, &mut entries)?;
    if !has_told && entries.iter().all(|entry| entry.summary().is_none()) {
        return Ok(packed.clone());
    }
    let mut told = std::collections::BTreeSet::new();
    let mut kept = Vec::new();
    while let Some(mut entry) = entries.pop() {
        let Some(&Summary { target, ref counts, .. }) = entry.summary() else {
            kept.push(entry);
            continue;
        };
        let is_filled = counts.by_type.is_some();
        if !(told.insert(target) | is_filled) {
            continue;
        }
        let latest = latest(store, target.position)?;
        if is_deleted(&latest, target) {
            continue;
        }
        if !is_filled {
            let now = summary(store, target, SUMMARY_CLIENTS_MAX_BYTES)?;
            if now.is_empty() && store.annotations(target, Position::ZERO, 1)?.is_empty() {
                continue;
            }
            let mut versions = latest.iter().filter_map(Entry::operation).filter(|(of, ..)| *of == target);
            let version = versions.next_back().map(|(.., version)| version.clone());
            entry.fill(now, version.filter(|version| version.position < entry.position));
        }
        kept.push(entry);
    }
    Ok(packed_of(kept.iter().rev()))
}

/// Only the last summary of each message: for readers who are told things at intervals.
pub(in crate::channel) fn merged(packed: &Packed) -> Result<Packed, StoreError> {
    let entries = decoded(packed)?;
    let mut told = std::collections::BTreeSet::new();
    let stays = |entry: &&Entry| entry.summary().is_none_or(|summary| told.insert(summary.target));
    let kept: Vec<&Entry> = entries.iter().rev().filter(stays).collect();
    match kept.len() == entries.len() {
        true => Ok(packed.clone()),
        false => Ok(packed_of(kept.into_iter().rev())),
    }
}

/// Messages with what their annotations come to, for who reads them later; and nothing else of what was said of them.
pub(in crate::channel) fn annotated(store: &mut impl Store, packed: &Packed) -> Result<Packed, StoreError> {
    let mut entries = decoded(packed)?;
    entries.retain(|entry| entry.summary().is_none() && entry.annotations().is_empty());
    // Of messages a page has all that lie between two. Between two of another kind there may be any number.
    let messages = || entries.iter().filter(|entry| entry.kind() == Kind::Messages).map(|entry| entry.position);
    let mut targets = match (messages().min(), messages().max()) {
        (Some(first), Some(last)) => store.counted(first, last)?,
        _ => Vec::new(),
    };
    targets.sort_unstable();
    let max_bytes = (PAGE_SUMMARIES_MAX_BYTES / targets.len().max(1)).min(SUMMARY_CLIENTS_MAX_BYTES);
    for entry in entries.iter_mut().filter(|entry| entry.kind() == Kind::Messages) {
        let mut counts = vec![SummaryCounts::default(); entry.count()];
        for (index, counts) in counts.iter_mut().enumerate() {
            if targets.binary_search(&entry.target(index)).is_ok() {
                counts.by_type = Some(summary(store, entry.target(index), max_bytes)?);
            }
        }
        if counts.iter().any(|counts| counts.by_type.is_some()) {
            entry.annotate(counts);
        }
    }
    tell(store, &mut entries)?;
    Ok(packed_of(entries.iter()))
}

fn packed_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Packed {
    let mut packed = Packed::default();
    entries.for_each(|entry| packed.append(&Packed::one(entry)));
    packed
}
