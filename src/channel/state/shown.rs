//! Messages that have changed since they were published, as readers are shown them (protocol.md § 18.3, § 18.4).

use super::endings::latest;
use crate::channel::log::decoded;
use crate::channel::store::{Store, StoreError};
use crate::model::message::{Content, Entry, Kind, Message};
use crate::model::revision::{Mark, Shape, Version};

/// How readers are shown such messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::channel) enum Show {
    /// Each message once, as it is now, at the place where it was published.
    Latest,
    /// All that happened, in order, but not words from before a deletion, nor appends of a connection that went on:
    /// those who read this have, or get, what came later. A message that was deleted and restored begins as it is now.
    Events,
    /// All that happened, in order.
    Whole,
    /// All that is there, where no message has changed.
    Log,
}

/// An entry as a reader is shown it, if at all.
pub(in crate::channel) fn shown(store: &mut impl Store, entry: Entry, show: Show) -> Result<Option<Entry>, StoreError> {
    if entry.kind() != Kind::Messages || entry.summary().is_some() || show == Show::Log {
        return Ok(Some(entry));
    }
    if entry.is_operation() {
        return shown_operation(store, entry, show);
    }
    if show == Show::Whole {
        return Ok(Some(entry));
    }
    let latest = latest(store, entry.position)?;
    Ok(match show {
        _ if latest.is_empty() => Some(entry),
        Show::Latest => Some(replaced(entry, &latest)),
        _ => without_deleted(entry, &latest),
    })
}

fn shown_operation(store: &mut impl Store, entry: Entry, show: Show) -> Result<Option<Entry>, StoreError> {
    let Some((target, _, version)) = entry.operation().filter(|_| show != Show::Latest) else { return Ok(None) };
    let now = latest(store, target.position)?.into_iter().find(|now| now.target(0) == target);
    if show == Show::Whole {
        return whole(store, entry, now).map(Some);
    }
    // A connection may not be told what it does itself, and would miss what others appended before that.
    let goes_on = |now: &Entry| entry.is_append() && now.connection_id == entry.connection_id;
    let is_over = |now: &Entry| {
        let Some(made) = now.version(0) else { return false };
        made.deleted_at > Some(version.position) || made.position > version.position && goes_on(now)
    };
    if now.as_ref().is_some_and(is_over) {
        return Ok(None);
    }
    // Of a version that is not kept any more there are too many since to tell of it.
    let is_kept = |entry: &Entry| entry.version(0).is_some_and(|version| version.shape != Shape::Fragment);
    Ok(Some(whole(store, entry, now)?).filter(is_kept))
}

/// An operation that holds the whole message, `now` being its latest version.
fn whole(store: &mut impl Store, entry: Entry, now: Option<Entry>) -> Result<Entry, StoreError> {
    let Some((target, _, &Version { number, shape: Shape::Added { .. }, .. })) = entry.operation() else {
        return Ok(entry);
    };
    let is_it = |entry: &Entry| entry.version(0).is_some_and(|version| version.number == number);
    let version = match now.filter(is_it) {
        Some(now) => Some(now),
        None => {
            store.versions(target, number, true, 1)?.first().map(decoded).transpose()?.and_then(|mut all| all.pop())
        }
    };
    let message = version.as_ref().filter(|version| is_it(version)).and_then(|version| version.messages().first());
    Ok(entry.whole(message).unwrap_or(entry))
}

fn replaced(entry: Entry, latest: &[Entry]) -> Entry {
    let mut marks: Vec<Mark> =
        (0..entry.count()).map(|index| Mark { target: entry.target(index), version: None }).collect();
    let mut messages = entry.messages().to_vec();
    for (target, message, version) in latest.iter().filter_map(Entry::operation) {
        if let (Some(place), Some(mark)) = (messages.get_mut(target.place), marks.get_mut(target.place)) {
            (*place, mark.version) = (message.clone(), Some(version.clone()));
        }
    }
    Entry { content: Content::Revised { messages, marks }, ..entry }
}

/// A publish without what a deletion hides. A message that was restored since is as it is now: whoever did not see it
/// before learns of it by this, and of its deletion and what followed by these.
fn without_deleted(entry: Entry, latest: &[Entry]) -> Option<Entry> {
    let mut kept: Vec<Option<Message>> = entry.messages().iter().cloned().map(Some).collect();
    let mut has_deleted = false;
    for (target, message, version) in latest.iter().filter_map(Entry::operation) {
        if let Some(place) = kept.get_mut(target.place).filter(|_| version.deleted_at.is_some()) {
            let id = place.take().and_then(|published| published.id);
            *place = (version.shape != Shape::Deleted).then(|| Message { id, ..message.clone() });
            has_deleted = true;
        }
    }
    if !has_deleted {
        return Some(entry);
    }
    let kept = kept.into_iter().enumerate().filter_map(|(place, message)| Some((place, message?)));
    let (places, messages): (Vec<usize>, Vec<Message>) = kept.unzip();
    (!places.is_empty()).then(|| Entry { content: Content::Rest { places, messages }, ..entry })
}
