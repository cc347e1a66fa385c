//! What is true: every publish that a channel's disk took, in order, and what was ever said of it. Everything that
//! clients are told is held against this.

use std::collections::{HashMap, HashSet};

use courtside::channel::store::Row;
use courtside::limits::{DEDUP_WINDOW_MS, RETENTION_MS};
use courtside::model::data::Data;
use courtside::model::message::{Entry, Message};
use courtside::model::revision::Target;
use courtside::model::serial::{ChannelSerial, Position};

use super::revisions::Change;

/// How long the protocol promises to know a repeat, and to resume (protocol.md § 6, § 8.2).
const PROMISED_MS: u64 = 2 * 60 * 1_000;
const _: () = assert!(PROMISED_MS <= DEDUP_WINDOW_MS && PROMISED_MS <= RETENTION_MS);

/// What the namespace of a channel says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kind {
    pub persisted: bool,
    /// Between deliveries.
    pub interval_ms: Option<u64>,
    /// By the names of messages.
    pub conflates: bool,
    /// Messages can be changed and annotated.
    pub mutable: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    books: Vec<Book>,
    /// The latest time that any clock ever showed.
    pub latest_ms: u64,
    /// The world's time.
    pub now_ms: u64,
    /// Publishes that nobody sent who may.
    pub forbidden: HashSet<String>,
}

/// A message: its publish, and which of it.
pub type Place = (Position, usize);

/// One channel's truth.
#[derive(Debug, Default)]
pub struct Book {
    /// The loosest that it ever was.
    kind: Kind,
    /// From when on it keeps what it is given.
    persisted_since_ms: Option<u64>,
    epoch: Option<String>,
    entries: Vec<Logged>,
    durable: usize,
    by_tag: HashMap<String, Vec<usize>>,
    /// Operations on each message.
    revised: HashMap<Target, Vec<usize>>,
    /// What was seen under each serial, by whomever.
    seen: HashMap<String, String>,
    pub acknowledged: usize,
    pub repeats: usize,
    /// Publishes that were sent again by a protocol that promises no more than once at least.
    again: HashSet<String>,
}

#[derive(Debug)]
pub struct Logged {
    pub position: Position,
    pub connection_id: Option<String>,
    pub tag: String,
    pub messages: Vec<Said>,
    /// The ids of presence events, in place of messages.
    pub events: Vec<String>,
    /// Or something else.
    pub change: Option<Change>,
    pub own_id: bool,
    /// What its first message pushes to devices.
    pub push: Option<String>,
    /// The world's time then.
    pub logged_ms: u64,
}

/// A message of a publish.
#[derive(Clone, Debug)]
pub struct Said {
    pub own_id: Option<String>,
    pub name: Option<String>,
    pub data: Data,
}

impl Logged {
    fn of(entry: Entry, logged_ms: u64) -> Logged {
        let change = Change::of(&entry);
        let published = if change.is_some() { &[] } else { entry.messages() };
        let own_id = published.first().is_some_and(|message| message.id.is_some());
        let said = |message: &Message| Said {
            own_id: message.id.clone(),
            name: message.name.clone(),
            data: message.data.clone(),
        };
        let messages: Vec<Said> = published.iter().map(said).collect();
        let events: Vec<_> = entry.presence().iter().map(|event| event.id.clone()).collect();
        let tag = match change.as_ref().and_then(Change::tag) {
            Some(tag) => tag.to_owned(),
            None => messages.first().map_or_else(|| entry.id.clone(), |said| tag_of(&said.data)),
        };
        let extras = published.first().and_then(|message| message.extras.as_ref());
        let push = extras.and_then(|extras| extras.get("push")?["data"]["tag"].as_str().map(str::to_owned));
        let (position, connection_id) = (entry.position, entry.connection_id);
        Logged { position, connection_id, tag, messages, events, change, own_id, push, logged_ms }
    }
}

/// What a message of a publish says: most of it what all say, so that a delta is shorter than a message.
pub fn text_of(tag: &str, index: usize) -> String {
    format!("{tag}/{index}, and nobody knows yet who wins;")
}

/// Which publish a payload belongs to: clients write it in front of a `/`.
pub fn tag_of(data: &Data) -> String {
    let text = match data {
        Data::Text(text) => text.as_str(),
        _ => panic!("clients publish text, not {data:?}"),
    };
    text.split_once('/').map_or(text, |(tag, _)| tag).to_owned()
}

/// The publish, or the operation, that said the last part of a text.
pub fn last_tag(text: &str) -> &str {
    let last = text.trim_end_matches(';').rsplit(';').next().unwrap_or(text);
    last.split_once('/').map_or(last, |(tag, _)| tag)
}

/// Which message of its publish says so.
pub fn index_of(text: &str) -> usize {
    let rest = text.split_once('/').expect("clients number messages").1;
    rest.split([',', ';']).next().and_then(|index| index.parse().ok()).expect("an index")
}

impl Ledger {
    pub fn new(kinds: &[Kind]) -> Ledger {
        let persisted_since_ms = |kind: &Kind| kind.persisted.then_some(0);
        let book = |kind: &Kind| Book { kind: *kind, persisted_since_ms: persisted_since_ms(kind), ..Book::default() };
        let books = kinds.iter().map(book).collect();
        Ledger { books, ..Ledger::default() }
    }

    pub fn book(&self, channel: usize) -> &Book {
        &self.books[channel]
    }

    /// The disk took a row, whatever it said of it.
    pub fn wrote(&mut self, channel: usize, row: &Row) {
        let (latest_ms, now_ms) = (self.latest_ms, self.now_ms);
        let book = &mut self.books[channel];
        for entry in row.entries.entries().expect("rows are written whole") {
            assert!(entry.position <= row.position, "a row holds an entry beyond its position");
            let logged = Logged::of(entry, now_ms);
            let is_forbidden = self.forbidden.contains(&logged.tag);
            assert!(!is_forbidden, "{} is published by who may not", logged.tag);
            book.log(logged, latest_ms);
        }
    }

    pub fn synced(&mut self, channel: usize, row: &Row) {
        let book = &mut self.books[channel];
        book.durable = book.index_after(row.position);
    }

    /// What was not durable never happened.
    pub fn crashed(&mut self, channel: usize) {
        let book = &mut self.books[channel];
        let lost = book.entries.split_off(book.durable);
        for logged in lost {
            let kept = book.durable;
            if let Some(indices) = book.by_tag.get_mut(&logged.tag) {
                indices.retain(|index| *index < kept);
            }
        }
        let kept = book.durable;
        book.revised.values_mut().for_each(|indices| indices.retain(|index| *index < kept));
    }

    /// A publish was acknowledged: it must be durable, under these serials.
    pub fn acknowledged(&mut self, channel: usize, tag: &str, serials: &[String]) -> Position {
        let serial = self.parse(channel, serials.first().expect("an ACK names the serials of its messages"));
        let book = &mut self.books[channel];
        let logged = book.durable_at(serial).unwrap_or_else(|| panic!("ACK of {tag} at {serial:?}: not durable there"));
        let is_it = logged.tag == tag || matches!(logged.change, Some(Change::Objects(_)));
        assert!(is_it, "ACK of {tag} names the serial of {logged:?}");
        let count = match &logged.change {
            Some(Change::Annotations(_, annotations)) => annotations.len(),
            Some(Change::Objects(operations)) => operations.len(),
            Some(_) => 1,
            None => logged.messages.len(),
        };
        assert_eq!(count, serials.len(), "ACK of {tag} names another number of messages");
        let says_itself = logged.change.is_none();
        for (index, text) in serials.iter().enumerate() {
            let expected = serial.message_serial(book.epoch.as_deref().unwrap_or_default(), index);
            assert_eq!(*text, expected, "ACK of {tag}");
            if says_itself {
                book.see(text, &text_of(tag, index));
            }
        }
        book.acknowledged += 1;
        serial
    }

    /// A client was sent an entry. Gives what follows `after` for a client that doesn't hear `silent`.
    pub fn next(&self, channel: usize, after: Position, silent: Option<&str>) -> Option<&Logged> {
        let book = &self.books[channel];
        let heard = |logged: &&Logged| {
            silent.is_none() || !logged.events.is_empty() || logged.connection_id.as_deref() != silent
        };
        book.entries[book.index_after(after)..].iter().find(heard)
    }

    /// Whether a message need not be delivered: a later one of its name came within the interval, and is delivered in
    /// its place, or was replaced itself.
    pub fn is_replaced(&self, channel: usize, position: Position, index: usize) -> bool {
        let Book { kind: Kind { interval_ms: Some(interval_ms), conflates: true, .. }, entries, .. } =
            &self.books[channel]
        else {
            return false;
        };
        let at = entries.partition_point(|logged| logged.position < position);
        let name = &entries[at].messages[index].name;
        let within = |logged: &&Logged| logged.position.time_ms() <= position.time_ms() + interval_ms;
        let later = entries[at + 1..].iter().take_while(within).flat_map(|logged| &logged.messages);
        let mut later = entries[at].messages[index + 1..].iter().chain(later);
        name.is_some() && later.any(|said| said.name == *name)
    }

    /// The place before an event, though no message lies between.
    pub fn before_event(&self, channel: usize, after: Position, id: &str, silent: Option<&str>) -> Position {
        let mut at = after;
        loop {
            match self.next(channel, at, silent) {
                Some(logged) if logged.messages.is_empty() && logged.events.first() != Some(&id.to_owned()) => {
                    at = logged.position;
                }
                _ => return at,
            }
        }
    }

    /// The first message behind a place.
    pub fn next_message(&self, channel: usize, (position, index): Place) -> Option<(Place, &Said)> {
        let book = &self.books[channel];
        let from = book.entries.partition_point(|logged| logged.position < position);
        let messages = book.entries[from..].iter().flat_map(|logged| {
            logged.messages.iter().enumerate().map(|(index, said)| ((logged.position, index), said))
        });
        messages.into_iter().find(|(place, _)| *place > (position, index))
    }

    /// Whether a message need not be delivered to who comes later.
    pub fn may_be_left_out(&self, channel: usize, (position, place): Place) -> bool {
        self.is_replaced(channel, position, place)
            || self.is_deleted_behind(channel, Target { position, place }, position)
    }

    /// ... that need be delivered.
    pub fn next_unreplaced(&self, channel: usize, mut after: Place) -> Option<Place> {
        while let Some((next, _)) = self.next_message(channel, after) {
            if !self.may_be_left_out(channel, next) {
                return Some(next);
            }
            after = next;
        }
        None
    }

    /// A place behind which all is that a reader of the whole log must get.
    pub fn floor(&self, channel: usize) -> Place {
        let book = &self.books[channel];
        let last = book.entries[..book.durable].last().map_or(Position::ZERO, |logged| logged.position);
        let oldest = if book.persisted_since_ms == Some(0) { Some(Position(1)) } else { self.oldest_fresh(channel) };
        (oldest.map_or(last, |oldest| Position(oldest.0 - 1)), usize::MAX)
    }

    /// Behind all that is durable.
    pub fn durable_end(&self, channel: usize) -> Place {
        let last = self.books[channel].durable().last();
        (last.map_or(Position::ZERO, |logged| logged.position), usize::MAX)
    }

    /// When a publish was logged.
    pub fn logged_ms(&self, channel: usize, position: Position) -> Option<u64> {
        self.books[channel].durable_at(position).map(|logged| logged.logged_ms)
    }

    pub fn is_durable(&self, channel: usize, position: Position) -> bool {
        self.books[channel].durable_at(position).is_some()
    }

    pub fn see(&mut self, channel: usize, serial: &str, what: &str) {
        self.books[channel].see(serial, what);
    }

    /// The position of a serial, which must be of the one life that this channel has.
    pub fn parse(&mut self, channel: usize, serial: &str) -> Position {
        let parsed = ChannelSerial::parse(serial).unwrap_or_else(|| panic!("{serial:?} is no serial"));
        let epoch = self.books[channel].epoch.get_or_insert_with(|| parsed.epoch.clone());
        assert_eq!(*epoch, parsed.epoch, "a channel has one life");
        parsed.position
    }

    /// A publish may be in the log again.
    pub fn may_come_again(&mut self, channel: usize, tag: &str) {
        self.books[channel].again.insert(tag.to_owned());
    }

    /// A publish was said to be durable, and not where.
    pub fn is_said_to_be_durable(&self, channel: usize, tag: &str) {
        let book = &self.books[channel];
        let is_durable = book.by_tag.get(tag).is_some_and(|indices| indices.iter().any(|index| *index < book.durable));
        assert!(is_durable, "{tag} is acknowledged, and not durable");
    }

    /// Where such a text was said: in which message, and at which version of it.
    pub fn places_of(&self, channel: usize, text: &str) -> Vec<(Target, Position)> {
        let book = &self.books[channel];
        let logged = book.by_tag.get(last_tag(text)).into_iter().flatten().map(|index| &book.entries[*index]);
        let places = logged.flat_map(|logged| {
            let of_revision = match &logged.change {
                Some(Change::Revision(revision)) if revision.text == text => Some((revision.target, logged.position)),
                _ => None,
            };
            let is_it = move |(place, said): (usize, &Said)| {
                let target = Target { position: logged.position, place };
                (said.data == Data::Text(text.to_owned())).then_some((target, logged.position))
            };
            logged.messages.iter().enumerate().filter_map(is_it).chain(of_revision)
        });
        places.collect()
    }

    /// A channel has other rules, which all objects know from then on.
    pub fn is_configured(&mut self, channel: usize, kind: Kind, heard_ms: u64) {
        let book = &mut self.books[channel];
        book.kind.interval_ms = book.kind.interval_ms.max(kind.interval_ms);
        book.kind.conflates |= kind.conflates;
        book.persisted_since_ms =
            kind.persisted.then(|| book.persisted_since_ms.map_or(heard_ms, |since_ms| since_ms.min(heard_ms)));
    }

    /// Whether the log may have let go of what follows a position.
    pub fn may_be_gone(&self, channel: usize, after: Position) -> bool {
        let book = &self.books[channel];
        let oldest = book.entries.get(book.index_after(after));
        let is_kept = |logged: &Logged| book.persisted_since_ms.is_some_and(|since_ms| logged.logged_ms >= since_ms);
        oldest.is_some_and(|logged| !is_kept(logged) && logged.position.time_ms() + RETENTION_MS < self.latest_ms)
    }

    /// Messages in the log behind a position.
    pub fn messages_after(&self, channel: usize, after: Position) -> usize {
        let book = &self.books[channel];
        book.entries[book.index_after(after)..].iter().map(|logged| logged.messages.len()).sum()
    }

    /// Messages that were logged since a time.
    pub fn messages_since(&self, channel: usize, since_ms: u64) -> usize {
        let logged = self.books[channel].entries.iter().rev().take_while(|logged| logged.logged_ms >= since_ms);
        logged.map(|logged| logged.messages.len()).sum()
    }

    /// The oldest durable publish that no clock sees expire soon: what a rewind may reach back to.
    pub fn oldest_fresh(&self, channel: usize) -> Option<Position> {
        let book = &self.books[channel];
        let fresh = |logged: &&Logged| logged.position.time_ms() + RETENTION_MS > self.latest_ms + 60_000;
        book.entries[..book.durable].iter().rev().take_while(fresh).last().map(|logged| logged.position)
    }
}

impl Book {
    pub fn entries(&self) -> &[Logged] {
        &self.entries
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn persisted_since_ms(&self) -> Option<u64> {
        self.persisted_since_ms
    }

    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    pub fn durable(&self) -> &[Logged] {
        &self.entries[..self.durable]
    }

    /// What is at a place, durable or not.
    pub fn at(&self, position: Position) -> Option<&Logged> {
        let index = self.entries.binary_search_by_key(&position, |logged| logged.position).ok()?;
        self.entries.get(index)
    }

    pub fn behind(&self, position: Position) -> &[Logged] {
        &self.entries[self.index_after(position)..]
    }

    pub fn revisions_of(&self, target: Target) -> impl DoubleEndedIterator<Item = &Logged> {
        self.revised.get(&target).into_iter().flatten().map(|index| &self.entries[*index])
    }

    fn log(&mut self, mut logged: Logged, latest_ms: u64) {
        if let Some(last) = self.entries.last() {
            assert!(last.position < logged.position, "{logged:?} does not follow {:?}", last.position);
        }
        let known = self.by_tag.entry(logged.tag.clone()).or_default();
        for earlier in known.iter().map(|index| &self.entries[*index]) {
            let is_forgotten = earlier.position.time_ms() + PROMISED_MS < latest_ms;
            let is_anonymous = !logged.own_id && earlier.connection_id != logged.connection_id;
            let may_be_again = self.again.contains(&logged.tag);
            assert!(
                is_forgotten || is_anonymous || may_be_again,
                "{} is in the log twice: {earlier:?}, {logged:?}",
                logged.tag
            );
            self.repeats += 1;
        }
        known.push(self.entries.len());
        if let Some(Change::Revision(revision)) = &mut logged.change {
            let before = self.last_text(revision.target);
            revision.put_behind(before);
            self.revised.entry(revision.target).or_default().push(self.entries.len());
        }
        self.entries.push(logged);
    }

    /// What a message says by the end of the log, unless its first row is gone.
    fn last_text(&self, target: Target) -> Option<&str> {
        let last = self.revisions_of(target).next_back().and_then(|logged| match &logged.change {
            Some(Change::Revision(revision)) => Some(revision.text.as_str()),
            _ => None,
        });
        let index = self.entries.binary_search_by_key(&target.position, |logged| logged.position).ok();
        last.or_else(|| match &self.entries[index?].messages.get(target.place)?.data {
            Data::Text(text) => Some(text),
            _ => None,
        })
    }

    fn index_after(&self, position: Position) -> usize {
        self.entries.partition_point(|logged| logged.position <= position)
    }

    fn durable_at(&self, position: Position) -> Option<&Logged> {
        let index = self.entries[..self.durable].binary_search_by_key(&position, |logged| logged.position).ok()?;
        self.entries.get(index)
    }

    fn see(&mut self, serial: &str, what: &str) {
        let before = self.seen.entry(serial.to_owned()).or_insert_with(|| what.to_owned());
        assert_eq!(before, what, "one serial names two messages");
    }
}
