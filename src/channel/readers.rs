//! Readers of history that wait for something to come: for clients that ask, and hold no connection.
//!
//! A reader is a question, who asked it, and how long it may stay open. What the channel's order has grown by is read
//! once for all of them, and each is answered when there is something of it, or when its time is over. The open request
//! keeps the object awake, and ends with it: nothing of a reader is stored. Who leaves is never reported, and holds its
//! place until then.

use super::log::decoded;
use super::state::shown::Show;
use super::store::Store;
use super::{Channel, Effect, Ticket, history, storage_failed};
use crate::auth::Source;
use crate::base::maps::HashMap;
use crate::base::pause;
use crate::error::Code;
use crate::limits::{HISTORY_PAGE_BYTES, WAITING_READERS_MAX};
use crate::model::message::{Entry, Kind};
use crate::model::serial::Position;
use crate::rpc::{Answer, HistoryPage, HistoryQuery};

#[derive(Debug, Default)]
pub struct Readers {
    waiting: Vec<Reader>,
    /// How far they have looked.
    seen: Position,
}

#[derive(Debug)]
struct Reader {
    ticket: Ticket,
    query: HistoryQuery,
    /// It knows that there is nothing up to here.
    after: Position,
    until_ms: u64,
}

impl Readers {
    pub fn deadline(&self) -> Option<u64> {
        self.waiting.iter().map(|reader| reader.until_ms).min()
    }
}

impl Readers {
    /// Ends the longest wait of the source that has most of them, for one of a source that has clearly fewer. So who
    /// fills the room, perhaps with requests that nobody reads, keeps out nobody else.
    fn make_room(&mut self, by: Option<Source>) -> bool {
        let mut waits: HashMap<Option<Source>, (usize, usize)> = HashMap::default();
        for (index, reader) in self.waiting.iter().enumerate() {
            waits.entry(reader.query.by).or_insert((0, index)).0 += 1;
        }
        let own = waits.get(&by).map_or(0, |(count, _)| *count);
        match waits.into_values().max_by_key(|(count, _)| *count) {
            Some((most, longest)) if most > own + 1 => {
                self.waiting[longest].until_ms = 0;
                true
            }
            _ => false,
        }
    }
}

impl Channel {
    /// A page as [`Channel::history`] gives it. `None` for one that is empty and may be waited for: [`Effect::Page`]
    /// answers it later. Fails with 42911, too, when too many wait.
    pub fn await_history(
        &mut self,
        store: &mut impl Store,
        ticket: Ticket,
        query: HistoryQuery,
        now_ms: u64,
    ) -> Option<Answer<HistoryPage>> {
        let answer = self.history(store, &query, now_ms);
        let is_at_end = answer.as_ref().is_ok_and(|page| history::is_at_end(page, self.tip()));
        let Some(wait_ms) = query.wait_ms.filter(|_| is_at_end) else { return Some(answer) };
        let waits = wait_ms > 0;
        if waits && self.readers.waiting.len() >= WAITING_READERS_MAX && !self.readers.make_room(query.by) {
            return Some(Err(Code::PublishRateLimited.because("too many requests wait at this channel; try again")));
        }
        // It comes back with what it has, to the same life, also where it did not wait: the page has a link.
        if let Err(error) = self.begin(store) {
            return Some(Err(super::storage_failed(error)));
        }
        if !waits {
            return Some(answer);
        }
        if self.readers.waiting.is_empty() {
            self.readers.seen = self.tip();
        }
        let after = self.tip();
        self.readers.waiting.push(Reader { ticket, query, after, until_ms: now_ms + wait_ms });
        None
    }

    pub(super) fn wake_readers(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        while !self.readers.waiting.is_empty() && self.readers.seen < self.tip() {
            let piece = self.log.stored_after(store, self.readers.seen, Show::Events, HISTORY_PAGE_BYTES);
            let read = piece.and_then(|piece| Ok((decoded(&piece.entries)?, piece.through)));
            match read {
                Ok((entries, through)) => {
                    self.show(store, &entries, through, &mut effects);
                    self.readers.seen = through;
                }
                Err(error) => {
                    let failure = storage_failed(error);
                    let fail = |reader: Reader| Effect::Page(reader.ticket, Err(failure.clone()));
                    effects.extend(std::mem::take(&mut self.readers.waiting).into_iter().map(fail));
                }
            }
        }
        self.readers.seen = self.tip();
        let is_over =
            |reader: &mut Reader| pause::is_over(reader.until_ms, reader.query.wait_ms.unwrap_or_default(), now_ms);
        for reader in self.readers.waiting.extract_if(.., is_over) {
            let nothing = history::page_of(&self.meta, &reader.query, &[], reader.after, self.readers.seen);
            effects.push(Effect::Page(reader.ticket, Ok(nothing)));
        }
        effects
    }

    /// Answers those for whom there is something in this.
    fn show(&mut self, store: &mut impl Store, entries: &[Entry], through: Position, effects: &mut Vec<Effect>) {
        let seen = self.readers.seen;
        // Most wait for the same.
        let mut known: Option<(Wants, HistoryPage)> = None;
        for reader in std::mem::take(&mut self.readers.waiting) {
            let after = reader.after.max(seen);
            let wants = (reader.query.presence, reader.query.start_ms, reader.query.limit, after);
            let page = match known.take() {
                Some((known, page)) if known == wants => page,
                _ => history::page_of(&self.meta, &reader.query, entries, after, through),
            };
            match page.slices.is_empty() {
                true => self.readers.waiting.push(reader),
                false => {
                    let mut told = page.clone();
                    self.count_page(&page, if reader.query.presence { Kind::Presence } else { Kind::Messages });
                    let told = self.annotate_page(store, &mut told).map(|()| told).map_err(storage_failed);
                    effects.push(Effect::Page(reader.ticket, told));
                }
            }
            known = Some((wants, page));
        }
    }
}

/// What of a query matters to who waits.
type Wants = (bool, Option<u64>, usize, Position);
