//! Deltas: a reader that asked for them gets of each message how it differs from the one before that it got
//! (protocol.md § 9).
//!
//! They are made once for all readers that got the same before. A message as a delta is a message with other data, so
//! what renders messages knows nothing of it. An attachment keeps which message it got last, and the feed the message
//! that went out last: the next is a delta for those attachments whose last that was, and whole for the others.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::json;

use crate::base::counted::Counted;
use crate::model::data::{Data, claims_base64};
use crate::model::message::{Content, Entry, Kind, Message};
use crate::model::serial::Position;
use crate::protocol::outbound::message_id;
use crate::protocol::vcdiff;

/// What an attachment gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deltas {
    /// It asked for none.
    None,
    /// A whole message.
    Whole,
    /// What differs from this message, if that is still known.
    After(Mark),
}

/// Names a message of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    position: Position,
    place: usize,
}

/// A message to which the next may be a delta.
#[derive(Debug)]
pub struct Base {
    mark: Mark,
    id: String,
    data: Data,
    _counted: Counted,
}

impl Deltas {
    pub fn are_wanted(self) -> bool {
        self != Deltas::None
    }

    /// Whether the next message may be a delta to this one.
    pub fn follow(self, base: Option<&Base>) -> bool {
        base.is_some_and(|base| self == Deltas::After(base.mark))
    }

    /// The reader got something to which no message can be a delta.
    pub fn begin_anew(&mut self) {
        if self.are_wanted() {
            *self = Deltas::Whole;
        }
    }

    /// The reader got these.
    pub fn pass(&mut self, entries: &[&Entry]) {
        // A reader takes the next message for a delta to whatever came last, and a summary has no data.
        if entries
            .iter()
            .rev()
            .find(|entry| entry.summary().is_some() || !entry.messages().is_empty())
            .is_some_and(|last| last.summary().is_some())
        {
            return self.begin_anew();
        }
        if self.are_wanted()
            && let Some((entry, index)) = last_message(entries)
        {
            // SDKs take what they got last for the base, whatever it was: behind a changed message all begins anew.
            let is_base = entry.version(index).is_none() && is_read_as_it_is(&entry.messages()[index]);
            *self = if is_base { Deltas::After(Mark::of(entry, index)) } else { Deltas::Whole };
        }
    }
}

impl Mark {
    fn of(entry: &Entry, index: usize) -> Mark {
        Mark { position: entry.position, place: entry.place(index) }
    }
}

impl Base {
    /// A message of an entry; its bytes count into `all`.
    pub fn of((entry, index): (&Entry, usize), all: &Rc<Cell<usize>>) -> Base {
        let (id, data) = (message_id(entry, index), entry.messages()[index].data.clone());
        let _counted = Counted::of(id.len() + data.len(), all);
        Base { mark: Mark::of(entry, index), id, data, _counted }
    }
}

/// The entry of the last message, and where in it the message is.
pub fn last_message<'a>(entries: &[&'a Entry]) -> Option<(&'a Entry, usize)> {
    let last = |entry: &&'a Entry| Some((*entry, entry.messages().len().checked_sub(1)?));
    entries.iter().rev().find_map(last)
}

/// The entries with each message as a delta to the one before; the first as a delta to `base`, or whole without one.
pub fn link(base: Option<&Base>, entries: &[&Entry]) -> Vec<Entry> {
    let mut before = base.map(|base| (base.id.clone(), &base.data));
    let mut linked: Vec<Entry> = entries.iter().copied().cloned().collect();
    for (entry, linked) in entries.iter().zip(&mut linked) {
        let (Content::Messages(deltas) | Content::Rest { messages: deltas, .. }) = &mut linked.content else {
            before = if entry.kind() != Kind::Messages { before } else { None };
            continue;
        };
        for (index, message) in entry.messages().iter().enumerate() {
            if let Some((id, data)) = &before
                && let Some(delta) = delta(message, id, data)
            {
                deltas[index] = delta;
            }
            before = is_read_as_it_is(message).then(|| (message_id(entry, index), &message.data));
        }
    }
    linked
}

/// Whether SDKs take its data for a base as it is. What claims to be base64 they decode first, though it is not.
fn is_read_as_it_is(message: &Message) -> bool {
    !message.encoding.as_deref().is_some_and(claims_base64)
}

/// The message as a delta to another's data; none where that says no less.
fn delta(message: &Message, from: &str, base: &Data) -> Option<Message> {
    let encoding = message.encoding.as_deref();
    // What is encrypted has nothing in common with anything.
    if encoding.is_some_and(|encoding| encoding.contains("cipher")) || !is_read_as_it_is(message) {
        return None;
    }
    let bytes = vcdiff::encode(base.bytes(), message.data.bytes());
    if bytes.len() >= message.data.len() {
        return None;
    }
    // A delta makes bytes, so text needs to be said to be text.
    let made = if matches!(message.data, Data::Text(_)) { Some("utf-8") } else { None };
    let chain: Vec<&str> = [encoding, made, Some("vcdiff")].into_iter().flatten().collect();
    let mut extras = message.extras.clone().unwrap_or_default();
    extras.insert("delta".to_owned(), json!({ "from": from, "format": "vcdiff" }));
    Some(Message {
        data: Data::Binary(bytes),
        encoding: Some(chain.join("/")),
        extras: Some(extras),
        ..message.clone()
    })
}
