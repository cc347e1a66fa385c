//! Whether the channel is in its app's list of those in use, from which they are enumerated (protocol.md § 12.2).
//!
//! The list may name a channel that is no longer in use: whoever enumerates asks the channels themselves, and one that
//! finds that nobody is there takes itself off. It lacks none but for the moment that a call takes.

use super::store::{Store, StoreError};
use super::{Channel, Meta};
use crate::base::pause;
use crate::limits::{ACTIVE_MS, LISTING_PAUSE_MS};

/// What is under way between the channel and the list.
#[derive(Debug, Default)]
pub struct Listing {
    is_told: bool,
    /// Of the last call.
    number: u64,
    /// The list may name the channel, though it shouldn't.
    pub is_doubted: bool,
    /// Not before: the app could not be reached.
    wait_until_ms: u64,
}

impl Channel {
    /// What the app is to be told, if anything: whether the channel is in use, and with which number, since a call that
    /// was given up may come later than the next. [`Channel::listed`] gets to know how it went. That it is in use is
    /// remembered when the app knows it, that it is not before: so it is told twice, at worst.
    pub fn listing(&mut self, store: &mut impl Store, now_ms: u64) -> Option<(bool, u64)> {
        if self.meta.address.channel.is_connections() {
            return None;
        }
        // An app publishes on its metachannels for who reads them, and must hear when nobody does.
        let is_used = self.is_used() || self.is_recent(now_ms) && self.meta.address.channel.is_of_clients();
        let is_due = is_used != self.meta.listed || (self.listing.is_doubted && !is_used);
        if !is_due {
            self.listing.wait_until_ms = 0;
            return None;
        }
        let may_go = pause::is_over(self.listing.wait_until_ms, LISTING_PAUSE_MS, now_ms);
        if self.listing.is_told || !may_go {
            return None;
        }
        if !is_used && self.remember_listed(store, false).is_err() {
            self.listing.wait_until_ms = now_ms + LISTING_PAUSE_MS;
            return None;
        }
        (self.listing.is_told, self.listing.is_doubted) = (true, false);
        // Higher than any before, also in another memory, unless its clock was set back since the last publish.
        self.listing.number = now_ms.max(self.log.tip().time_ms()).max(self.listing.number + 1);
        Some((is_used, self.listing.number))
    }

    /// The app was told, or could not be reached.
    pub fn listed(&mut self, store: &mut impl Store, listed: bool, is_told: bool, now_ms: u64) {
        self.listing.is_told = false;
        let is_done = is_told && self.remember_listed(store, listed).is_ok();
        if !is_done {
            (self.listing.wait_until_ms, self.listing.is_doubted) = (now_ms + LISTING_PAUSE_MS, !listed);
        }
    }

    fn remember_listed(&mut self, store: &mut impl Store, listed: bool) -> Result<(), StoreError> {
        match self.meta.listed == listed {
            true => Ok(()),
            false => self.save_meta(store, Meta { listed, ..self.meta.clone() }),
        }
    }

    pub fn is_listed(&self) -> bool {
        self.meta.listed
    }

    fn is_used(&self) -> bool {
        !self.feeds.is_empty() || self.states.holders.count() > 0
    }

    /// When it is no longer in use, or what could not be told is told again.
    pub(super) fn listing_deadline(&self) -> Option<u64> {
        let wait_until_ms = Some(self.listing.wait_until_ms).filter(|at_ms| *at_ms > 0 && !self.listing.is_told);
        match self.meta.listed && !self.is_used() {
            true => wait_until_ms.max(Some(self.log.tip().time_ms() + ACTIVE_MS)),
            false => wait_until_ms,
        }
    }
}
