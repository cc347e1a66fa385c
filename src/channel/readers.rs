//! Readers of history that wait for something to come: for clients that ask, and hold no connection.
//!
//! A reader is a question, who asked it, and how long it may stay open. It is asked again whenever the channel's order has
//! grown, and answered when there is something, or when its time is over. The open request keeps the object awake, and
//! ends with it: nothing of a reader is stored. Who leaves is never reported, and holds its place until then.

use super::store::Store;
use super::{Channel, Effect, Ticket};
use crate::call::{Answer, HistoryPage, HistoryQuery};
use crate::error::Code;
use crate::limits::WAITING_READERS_MAX;
use crate::serial::Position;

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
    until_ms: u64,
}

impl Readers {
    pub fn deadline(&self) -> Option<u64> {
        self.waiting.iter().map(|reader| reader.until_ms).min()
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
        let wait_ms = query.wait_ms.filter(|_| is_empty(&answer)).unwrap_or(0);
        if wait_ms == 0 {
            return Some(answer);
        }
        if self.readers.waiting.len() >= WAITING_READERS_MAX {
            return Some(Err(Code::PublishRateLimited.because("too many requests wait at this channel; try again")));
        }
        // It comes back with what it has, to the same life.
        if let Err(error) = self.begin(store) {
            return Some(Err(super::storage_failed(error)));
        }
        if self.readers.waiting.is_empty() {
            self.readers.seen = self.tip();
        }
        self.readers.waiting.push(Reader { ticket, query, until_ms: now_ms + wait_ms });
        None
    }

    pub(super) fn wake_readers(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        let grown = self.readers.seen < self.tip();
        self.readers.seen = self.tip();
        let mut effects = Vec::new();
        // Most wait for the same.
        let mut known: Option<(HistoryQuery, Answer<HistoryPage>)> = None;
        for reader in std::mem::take(&mut self.readers.waiting) {
            let is_over = reader.until_ms <= now_ms;
            let answer = (grown || is_over).then(|| match &known {
                Some((query, answer)) if *query == reader.query => answer.clone(),
                _ => {
                    let answer = self.history(store, &reader.query, now_ms);
                    known = Some((reader.query.clone(), answer.clone()));
                    answer
                }
            });
            match answer.filter(|answer| is_over || !is_empty(answer)) {
                Some(answer) => effects.push(Effect::Page(reader.ticket, answer)),
                None => self.readers.waiting.push(reader),
            }
        }
        effects
    }
}

fn is_empty(answer: &Answer<HistoryPage>) -> bool {
    answer.as_ref().is_ok_and(|page| page.slices.is_empty())
}
