//! Changes of messages that were published (protocol.md § 18).
//!
//! An operation is an entry of the log like any other. In the same write the whole message as it left it becomes its
//! latest version, which is found by the message's serial, without a look at the log. Appends in a row are one version,
//! so a row needs to hold only what each of them added: what the message was then is how their version begins.

use super::endings::{self, Kept};
use crate::base::rate::Debt;
use crate::channel::log::{Batch, decoded, visible_from};
use crate::channel::store::{Change, Store, StoreError, StoredVersion};
use crate::channel::{Channel, storage_failed};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CHANGES_FLOW, COMMIT_MAX_BYTES, HISTORY_PAGE_BYTES, VERSIONS_PER_READ};
use crate::model::message::{Content, Entry, Kind, Message};
use crate::model::operation::{Operation, Patch, Reach};
use crate::model::packed::Packed;
use crate::model::revision::{Act, Mark, Shape, Target, Version};
use crate::model::serial::Position;
use crate::model::size::Size;
use crate::rpc::{Answer, HistoryPage, Outcome, Publish, VersionsQuery};

/// A message as it is now.
#[derive(Debug)]
pub struct Current {
    pub target: Target,
    pub message: Message,
    /// Who published it.
    pub connection_id: Option<String>,
    /// Absent as long as it is as it was published.
    pub version: Option<Version>,
    /// The entry of what was done to it last.
    last: Option<Entry>,
    /// What its row holds.
    kept: Option<Kept>,
    /// The entry that it was published in.
    published: Entry,
    /// What the other messages of its publish count, as they are now.
    others: Size,
}

/// What was looked for in rows last, and what changes have cost.
#[derive(Debug, Default)]
pub(in crate::channel) struct Lookups {
    last: Option<Entry>,
    debt: Debt,
}

impl Current {
    pub fn is_deleted(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.shape == Shape::Deleted)
    }

    /// Where its version was published.
    pub fn position(&self) -> Position {
        self.version.as_ref().map_or(self.target.position, |version| version.position)
    }

    /// Makes its row whole, if appends were put behind it and no further one is.
    fn completed(&self, act: Act) -> Option<Change> {
        let (kept, last) = (self.kept.as_ref()?, self.last.as_ref()?);
        (act != Act::Append && kept.is_extended(last)).then(|| revise(last)).flatten()
    }

    /// As a reader of history gets it.
    fn entry(self) -> Entry {
        let mark = Mark { target: self.target, version: self.version };
        let content = Content::Revised { messages: vec![self.message], marks: vec![mark] };
        Entry { content, ..self.published }
    }
}

impl Channel {
    /// The message of a serial as it is now, also by what `batch` is about to write. Fails with 40003 for what is no
    /// message's serial, and with 40400 for that of a message which this channel does not have, or not any more.
    pub fn message(
        &mut self,
        store: &mut impl Store,
        batch: Option<&Batch>,
        serial: &str,
        now_ms: u64,
    ) -> Result<Answer<Current>, StoreError> {
        let Some((target, epoch)) = Target::parse(serial) else {
            return Ok(Err(Code::BadParameter.because("the serial is not one of a message")));
        };
        let is_kept = target.position >= visible_from(&self.meta.rules, now_ms) && target.position > self.meta.floor;
        let published = match is_kept && epoch == self.meta.epoch {
            true => self.published(store, batch, target.position, now_ms)?,
            false => None,
        };
        let Some(published) = published.filter(|entry| target.place < entry.count()) else {
            return Ok(Err(Code::NotFound.because("this channel has no message of that serial, or not any more")));
        };
        let stored = endings::rows(store, target.position)?;
        let is_its = |(entry, _): &&(Entry, Kept)| entry.target(0) == target;
        let kept = stored.iter().find(is_its).map(|(_, kept)| *kept);
        let kept = kept.filter(|_| !batch.is_some_and(|batch| batch.rewrites(target)));
        let mut latest: Vec<Entry> = stored.into_iter().map(|(entry, _)| entry).collect();
        latest.extend(batch.iter().flat_map(|batch| batch.latest(target.position)).cloned());
        Ok(Ok(Current { kept, ..current(published, latest, target) }))
    }

    /// The publish at a position, if it is one of messages that are kept.
    fn published(
        &mut self,
        store: &mut impl Store,
        batch: Option<&Batch>,
        position: Position,
        now_ms: u64,
    ) -> Result<Option<Entry>, StoreError> {
        if let Some(entry) = self.lookups.last.as_ref().filter(|entry| entry.position == position) {
            return Ok(Some(entry.clone()));
        }
        let (entries, read) = self.log.around(store, batch, position)?;
        self.count_lookup(read, now_ms);
        let is_it = |entry: &Entry| entry.position == position && !entry.is_operation() && !entry.is_ephemeral();
        let found = entries.into_iter().find(|entry| is_it(entry) && entry.kind() == Kind::Messages);
        if read > 0 {
            self.lookups.last.clone_from(&found);
        }
        Ok(found)
    }

    pub(in crate::channel) fn count_lookup(&mut self, bytes: usize, now_ms: u64) {
        self.lookups.debt.add(bytes, CHANGES_FLOW, now_ms);
    }

    /// Whether so much was changed, and looked up, that no more may be for now.
    pub(in crate::channel) fn has_changed_too_much(&self, now_ms: u64) -> bool {
        self.lookups.debt.left(CHANGES_FLOW, now_ms) > CHANGES_FLOW.burst
    }

    /// Gives an operation its place, or refuses it.
    pub(in crate::channel) fn place_operation(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        operation: &Operation,
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        if batch.bytes() > COMMIT_MAX_BYTES || self.has_changed_too_much(now_ms) {
            let refusal = Code::PublishRateLimited.because("too much is being changed on this channel; try again");
            return Ok(Outcome::Refused(refusal));
        }
        let current = match self.message(store, Some(batch), &operation.serial, now_ms)? {
            Ok(current) => current,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let target = current.target;
        // Later than the message by its time, too: clients compare these.
        let position = batch.tip().next(now_ms.max(target.position.time_ms() + 1));
        let restores = current.is_deleted() && operation.act != Act::Delete;
        let (mut changes, kept) = (Vec::from_iter(current.completed(operation.act)), current.kept);
        let prior = Some(current.position()).filter(|prior| !self.meta.may_lack(*prior)).unwrap_or(Position::ZERO);
        let (message, version) = match revised(operation, current, (prior, position)) {
            Ok(revised) => revised,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        batch.tally.operated(store, (&operation.serial, target), restores.then_some(&message))?;
        let content =
            Content::Revised { messages: vec![message], marks: vec![Mark { target, version: Some(version) }] };
        let entry = Entry { position, id: publish.id(), connection_id: publish.connection_id.clone(), content };
        let key = self.window(store, now_ms)?.remember(publish, position);
        self.count_lookup(entry.weight(), now_ms);
        self.take_whole(publish, entry.added().map_or(entry.weight(), |added| added.weight()), now_ms);
        changes.extend(kept.and_then(|kept| kept.extended(&entry)).or_else(|| revise(&entry)));
        batch.push(publish, entry, key, changes);
        Ok(Outcome::Accepted { position, count: 1 })
    }

    /// A page of a message's versions: as it was published, then what each update and deletion left, and at last what
    /// it is now. What was before a deletion only who may see it gets. Fails as [`Channel::message`] does.
    pub fn versions(&mut self, store: &mut impl Store, query: &VersionsQuery, now_ms: u64) -> Answer<HistoryPage> {
        self.reload(store).map_err(storage_failed)?;
        let current = self.message(store, None, &query.serial, now_ms).map_err(storage_failed)??;
        let mut page = Page { epoch: self.meta.epoch.clone(), limit: query.limit, ..Page::default() };
        match query.latest {
            true => page.push(&current.entry()),
            false => list(store, current, query, &mut page).map_err(storage_failed)?,
        }
        let mut page = page.finish();
        self.count_page(&page, Kind::Messages);
        if query.latest {
            self.annotate_page(store, &mut page).map_err(storage_failed)?;
        }
        Ok(page)
    }
}

/// Makes what an operation left the latest version, whole.
fn revise(entry: &Entry) -> Option<Change> {
    let (target, _, &Version { number, position, deleted_at, .. }) = entry.operation()?;
    let was_deleted = deleted_at.is_some();
    Some(Change::Revise(StoredVersion { target, number, position, was_deleted, entry: Packed::one(entry) }))
}

/// Reads versions until the page is full, or there are no more.
fn list(store: &mut impl Store, current: Current, query: &VersionsQuery, page: &mut Page) -> Result<(), StoreError> {
    let newest = current.version.as_ref().map_or(0, |version| version.number);
    let hidden = current.version.as_ref().and_then(|version| version.deleted_at).filter(|_| !query.deleted);
    let is_shown = |entry: &Entry| hidden.is_none_or(|deleted_at| position_of(entry) >= deleted_at);
    let (start_ms, end_ms) = (query.start_ms.unwrap_or(0), query.end_ms.unwrap_or(u64::MAX));
    let target = current.target;
    let first = Entry { content: first_of(&current), ..current.published.clone() };
    let at = current.published.clone();
    let last = current.entry();
    let mut next = match (query.after, query.forwards) {
        (Some(after), true) => after.checked_add(1),
        (Some(after), false) => after.checked_sub(1),
        (None, true) => Some(0),
        (None, false) => Some(newest),
    };
    while let Some(number) = next.filter(|number| *number <= newest) {
        let read: Vec<(u32, Entry)> = match number {
            0 => vec![(0, first.clone())],
            _ if number == newest => vec![(newest, last.clone())],
            _ => versions(store, &at, target, number, query.forwards)?,
        };
        let ends = if query.forwards { newest } else { 0 };
        let reached = read.last().map_or(ends, |(number, _)| *number);
        for (number, entry) in read.iter().filter(|(_, entry)| is_shown(entry)) {
            let time_ms = position_of(entry).time_ms();
            let goes_on = match (time_ms < start_ms, time_ms > end_ms) {
                (false, false) => page.take(entry),
                (is_early, _) => is_early == query.forwards && page.pass(entry),
            };
            if !goes_on {
                return Ok(());
            }
            page.last = *number;
        }
        // The oldest may be gone, and then the next that is there follows.
        next = match query.forwards {
            true if read.is_empty() => Some(newest),
            true => reached.checked_add(1),
            false if read.is_empty() => Some(0),
            false => reached.checked_sub(1),
        };
    }
    Ok(())
}

/// The message as it was published.
fn first_of(current: &Current) -> Content {
    let place = current.target.place;
    let messages = current.published.messages().get(place).cloned().into_iter().collect();
    Content::Revised { messages, marks: vec![Mark { target: current.target, version: None }] }
}

/// Some versions between the first and the latest, from a number on, as entries at the place of the message.
fn versions(
    store: &mut impl Store,
    at: &Entry,
    target: Target,
    from: u32,
    forwards: bool,
) -> Result<Vec<(u32, Entry)>, StoreError> {
    let mut read = Vec::new();
    for packed in store.versions(target, from, forwards, VERSIONS_PER_READ)? {
        for entry in decoded(&packed)? {
            let number = entry.version(0).map_or(0, |version| version.number);
            read.push((number, Entry { content: entry.content, ..at.clone() }));
        }
    }
    Ok(read)
}

fn position_of(entry: &Entry) -> Position {
    entry.version(0).map_or(entry.position, |version| version.position)
}

/// A page of versions that is being filled.
#[derive(Default)]
struct Page {
    epoch: String,
    limit: usize,
    entries: Packed,
    count: usize,
    passed_bytes: usize,
    /// The number of its last version, shown or passed.
    last: u32,
    more: bool,
}

impl Page {
    /// Gives whether there was room.
    fn take(&mut self, entry: &Entry) -> bool {
        let bytes = self.entries.len() + entry.weight();
        self.more = self.count >= self.limit || self.count > 0 && bytes > HISTORY_PAGE_BYTES;
        (!self.more).then(|| self.push(entry)).is_some()
    }

    /// Whether more may be looked at: not when so much came before what is wanted.
    fn pass(&mut self, entry: &Entry) -> bool {
        self.more = self.passed_bytes > HISTORY_PAGE_BYTES;
        self.passed_bytes += entry.weight();
        !self.more
    }

    fn push(&mut self, entry: &Entry) {
        self.entries.append(&Packed::one(entry));
        self.count += 1;
    }

    fn finish(self) -> HistoryPage {
        let next = self.more.then_some((Position(self.last.into()), 0));
        HistoryPage { epoch: self.epoch, entries: self.entries, slices: vec![(0, 1); self.count], next }
    }
}

/// Whether the last of these versions deletes the message.
pub(in crate::channel) fn is_deleted<'a>(versions: impl IntoIterator<Item = &'a Entry>, target: Target) -> bool {
    let of = versions.into_iter().filter_map(Entry::operation).filter(|(of, ..)| *of == target);
    of.last().is_some_and(|(.., version)| version.shape == Shape::Deleted)
}

/// `latest` may have several versions of one message, the latest last.
fn current(published: Entry, latest: Vec<Entry>, target: Target) -> Current {
    let mut sizes: Vec<Size> = published.messages().iter().map(Message::measured).collect();
    let mut last = None;
    for entry in latest {
        let Some((of, said, _)) = entry.operation() else { continue };
        if let Some(size) = sizes.get_mut(of.place) {
            *size = said.measured();
        }
        if of == target {
            last = Some(entry);
        }
    }
    let done = last.as_ref().and_then(Entry::operation);
    let message = done.map_or(&published.messages()[target.place], |(_, said, _)| said).clone();
    let version = done.map(|(.., made)| made.clone());
    sizes.remove(target.place);
    let others = sizes.into_iter().sum();
    let connection_id = published.connection_id.clone();
    Current { target, message, connection_id, version, last, kept: None, published, others }
}

/// The message as an operation makes it. Where only one's own may be changed, another's fails with 40160, and so does
/// one that another deleted. Fails with 40013 for what cannot be appended, and with 40009 for what is too large.
fn revised(
    operation: &Operation,
    current: Current,
    (prior, position): (Position, Position),
) -> Result<(Message, Version), ErrorInfo> {
    if let Reach::Of(name) = &operation.reach {
        let is_own = |client_id: &Option<String>| client_id.as_ref() == Some(name);
        let was_deleted = |last: &Version| last.shape == Shape::Deleted && !is_own(&last.client_id);
        if !is_own(&current.message.client_id) || current.version.as_ref().is_some_and(was_deleted) {
            return Err(Code::NotPermitted.because("allowed only with the client's own messages that no other deleted"));
        }
    }
    let before = current.message.data.len();
    let before_it = current.version.as_ref();
    let goes_on = |version: &Version| matches!(version.shape, Shape::Appended { .. }) && operation.act == Act::Append;
    let number = before_it.map_or(1, |version| version.number + u32::from(!goes_on(version)));
    let (shape, deleted_at) = match operation.act {
        Act::Update => (Shape::Updated, None),
        Act::Delete => (Shape::Deleted, Some(position)),
        Act::Append => (Shape::Appended { from: before }, None),
    };
    let deleted_at = deleted_at.or(before_it.and_then(|version| version.deleted_at));
    let message = patched(current.message, &operation.patch, operation.act)?;
    [message.measured(), current.others].into_iter().sum::<Size>().check()?;
    let version = Version {
        position,
        shape,
        number,
        prior,
        deleted_at,
        connection_id: current.connection_id,
        client_id: operation.client_id.clone(),
        description: operation.description.clone(),
        metadata: operation.metadata.clone(),
    };
    Ok((message, version))
}

fn patched(message: Message, patch: &Patch, act: Act) -> Result<Message, ErrorInfo> {
    let mut patched = Message { id: None, ..message };
    if let Some(name) = &patch.name {
        patched.name = Some(name.clone());
    }
    if let Some(extras) = &patch.extras {
        patched.extras = Some(extras.clone());
    }
    if patch.data.is_absent() {
        return Ok(patched);
    }
    if act == Act::Append && !patched.data.is_absent() {
        let whole = (may_go_on(patch.encoding.as_deref()) && patch.encoding == patched.encoding)
            .then(|| patched.data.followed_by(&patch.data));
        patched.data = whole.flatten().ok_or_else(|| {
            Code::BadData.because(
                "text can be appended to text, and bytes to bytes, of one encoding; nothing to JSON or what is encrypted",
            )
        })?;
        return Ok(patched);
    }
    (patched.data, patched.encoding) = (patch.data.clone(), patch.encoding.clone());
    Ok(patched)
}

/// Whether two payloads of an encoding are one when they follow each other: texts of JSON are not, and what is
/// encrypted has a beginning and an end.
fn may_go_on(encoding: Option<&str>) -> bool {
    let ends = |step: &str| step == "json" || step.starts_with("cipher");
    !encoding.is_some_and(|encoding| encoding.split('/').any(ends))
}
