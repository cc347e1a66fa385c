//! One channel: its order, its log, its idempotency window and the relays that it feeds.
//!
//! [`Channel`] is pure but for its [`Store`]: calls come in by [`Channel::publish`] and friends, time as `now_ms`, and
//! out come [`Effect`]s for the shell to perform. It never talks to a client.
//!
//! Why an acknowledgement can be trusted: [`Channel::commit`] writes first and only then yields replies and deliveries,
//! and the platform holds those back until the write is durable. When a write fails, memory is dropped and read again,
//! so that nothing is believed that may not be stored; every waiting publisher is told to try again, and the window
//! knows the publish if the write was kept after all.

mod commit;
pub mod dedup;
mod heard;
pub mod history;
pub mod hooks;
mod last;
mod lately;
mod listing;
mod log;
mod meta;
mod pace;
mod purge;
mod rates;
mod readers;
mod repeats;
mod shares;
mod spent;
pub mod state;
pub mod store;

use crate::base::pause;
use crate::base::pinned;
use crate::error::{Code, ErrorInfo};
use crate::limits::{DELIVERY_MAX_BYTES, DIRECT_RELAYS_MAX, TRIM_PAUSE_MS};
use crate::model::conflation::conflate;
use crate::model::message::Kind;
use crate::model::serial::Position;
use crate::rpc::feeds::{Feeding, Feeds};
use crate::rpc::placement;
use crate::rpc::{
    Address, Answer, Backlog, Delivered, Delivery, HistoryPage, HistoryQuery, LocalOccupancy, Probe, ReadFrom,
    RelayName, Response, Rules, Subscribed, Ticket,
};
use crate::stats::{Load, Tally, Traffic};
use commit::Pending;
use dedup::Window;
use lately::Lately;
use listing::Listing;
use log::Log;
use meta::Meta;
use pace::Pace;
use rates::Rates;
use readers::Readers;
use repeats::Repeats;
use shares::Shares;
use spent::Spent;
pub use state::pushes::StoredPush;
use state::versions::Lookups;
use state::{State, States, annotations};
use store::{Store, StoreError};

/// Between two tries to read what is stored.
const MEND_PAUSE_MS: u64 = 500;

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer a waiting publish, or count.
    Reply(Ticket, Answer<Response>),
    /// Call a relay and hand its answer, or the failure, to [`Channel::delivered`] with the same attempt.
    Deliver { relay: RelayName, attempt: u64, delivery: Delivery },
    /// Answer a waiting reader.
    Page(Ticket, Answer<HistoryPage>),
    /// Ask a relay, and hand its answer, or the failure, to [`Channel::probed`] with the same attempt.
    Probe { relay: RelayName, attempt: u64, probe: Probe },
}

#[derive(Debug)]
pub struct Channel {
    meta: Meta,
    /// The app has said which rules there were when everything up to here had been published. `None` where callers know
    /// no other rules.
    confirmed: Option<Position>,
    /// Whether the meta is stored. A channel that was only asked leaves nothing behind.
    has_begun: bool,
    log: Log,
    /// Read from storage by the first publish after waking: readers don't need it.
    window: Option<Window>,
    repeats: Repeats,
    feeds: Feeds,
    pace: Pace,
    states: States,
    listing: Listing,
    readers: Readers,
    shares: Shares,
    rates: Rates,
    lately: Lately,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// Of how many calls the last commit was, and how many publishes.
    last_commit: (usize, usize),
    /// The relay that made the only call of it.
    last_alone: Option<RelayName>,
    committed_at_ms: u64,
    /// A write failed, and what is stored hasn't been read since.
    stale: bool,
    /// When to try again to read it.
    mend_at_ms: Option<u64>,
    /// Before this, the log isn't trimmed again: that failed.
    trim_at_ms: u64,
    spent: Spent,
    lookups: Lookups,
    tally: Tally,
}

impl Channel {
    /// Wakes a channel, or makes one that begins with its first write. `fresh_epoch` is random and names a new life,
    /// if there is none yet.
    ///
    /// `address` and `rules` may be absent when an alarm wakes it: then there is a channel only if one is stored.
    /// Fails, and changes nothing, when what is stored cannot be read.
    pub fn wake(
        store: &mut impl Store,
        call: Option<(&Address, &Rules)>,
        fresh_epoch: &str,
        now_ms: u64,
    ) -> Result<Option<Channel>, StoreError> {
        let stored = store.load()?;
        let known = stored.meta.as_deref().map(pinned::decode::<Meta>).transpose()?;
        let has_begun = known.is_some();
        let meta = match (known, call) {
            (Some(meta), _) => meta,
            (None, None) => return Ok(None),
            (None, Some((address, rules))) => {
                let floor = stored.newest.map_or(Position::ZERO, |(position, _)| position).next(now_ms);
                let (listed, listened) = (false, false);
                Meta {
                    address: address.clone(),
                    epoch: fresh_epoch.to_owned(),
                    floor,
                    rules: rules.clone(),
                    listed,
                    listened,
                    last: None,
                    conflated: Position::ZERO,
                    confirmed: floor,
                }
            }
        };
        let log = Log::new(store, &stored, meta.floor, meta.floor)?;
        let states = States::restore(&stored, now_ms)?;
        let feeds = Feeds::restore(stored.relays, log.tip());
        Ok(Some(Channel {
            meta,
            confirmed: None,
            has_begun,
            pace: Pace::new(log.tip()),
            log,
            window: None,
            repeats: Repeats::default(),
            feeds,
            states,
            listing: Listing::default(),
            readers: Readers::default(),
            shares: Shares::default(),
            rates: Rates::default(),
            lately: Lately::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            last_commit: (0, 0),
            last_alone: None,
            committed_at_ms: 0,
            stale: false,
            mend_at_ms: None,
            trim_at_ms: 0,
            spent: Spent::default(),
            lookups: Lookups::default(),
            tally: Tally::default(),
        }))
    }

    pub fn address(&self) -> &Address {
        &self.meta.address
    }

    pub fn rules(&self) -> &Rules {
        &self.meta.rules
    }

    pub fn epoch(&self) -> &str {
        &self.meta.epoch
    }

    /// What it counted since somebody took it from here.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The last position given out.
    pub fn tip(&self) -> Position {
        self.log.tip()
    }

    /// Takes the rules that calls bring along. Gives whether they keep less than those before: the call may be of who
    /// has not heard of these, so all is kept until [`Channel::set_rules`] confirms it.
    pub fn hear_rules(&mut self, store: &mut impl Store, rules: &Rules) -> Result<bool, StoreError> {
        if self.meta.rules == *rules {
            return Ok(false);
        }
        let kept = rules.keeping_as_long_as(&self.meta.rules);
        match self.has_begun && kept != *rules {
            true => self.set_rules(store, &kept).map(|()| true),
            false => self.set_rules(store, rules).map(|()| false),
        }
    }

    /// Takes rules that are the app's; they change when its configuration does.
    pub fn set_rules(&mut self, store: &mut impl Store, rules: &Rules) -> Result<(), StoreError> {
        if self.meta.rules == *rules {
            return Ok(());
        }
        let conflated = self.meta.rules.conflation_key.as_ref().map_or(self.meta.conflated, |_| self.tip());
        let meta = Meta { rules: rules.clone(), conflated, ..self.meta.clone() };
        if self.has_begun {
            self.keep_cursors_of(store, &rules.hooks)?;
            return self.save_meta(store, meta);
        }
        self.meta = meta;
        Ok(())
    }

    /// Feeds a relay from now on, or says that the relay above it is to.
    pub fn subscribe(
        &mut self,
        store: &mut impl Store,
        relay: RelayName,
        local_occupancy: LocalOccupancy,
    ) -> Answer<Subscribed> {
        self.reload(store).and_then(|()| self.begin(store)).map_err(storage_failed)?;
        let is_fed = self.feeds.contains(&relay);
        let direct = is_fed || self.feeds.len() < DIRECT_RELAYS_MAX || placement::above(&relay).is_none();
        if direct && !is_fed {
            store.add_relay(&relay, true).map_err(storage_failed)?;
        }
        self.note_below(store, &relay, direct).map_err(storage_failed)?;
        // A relay that asks to be fed had nothing to be fed before: it may have lost its sockets.
        self.states.holders.doubt(&relay);
        self.states.occupants.hear(&relay, local_occupancy);
        self.keep_listened(store).map_err(storage_failed)?;
        if direct {
            self.feeds.subscribe(relay, self.log.tip());
        }
        let (epoch, position) = (self.meta.epoch.clone(), self.log.tip());
        Ok(Subscribed { epoch, position, members: self.states.holders.count(), reports: self.meta.listened, direct })
    }

    /// What an attachment needs before it goes live.
    pub fn read(&mut self, store: &mut impl Store, from: &ReadFrom, now_ms: u64) -> Answer<Backlog> {
        self.reload(store).map_err(storage_failed)?;
        let backlog = self.log.backlog(store, &self.meta, from, now_ms).map_err(storage_failed)?;
        let mut backlog =
            last::in_backlog(store, (&self.meta, &mut self.log), from, backlog, now_ms).map_err(storage_failed)?;
        if self.meta.rules.mutable {
            let entries = match from {
                ReadFrom::After { .. } => annotations::filled(store, &backlog.entries, true),
                ReadFrom::Last { .. } | ReadFrom::Since { .. } => annotations::annotated(store, &backlog.entries),
            };
            backlog.entries = entries.map_err(storage_failed)?;
        }
        Ok(Backlog { members: self.states.holders.count(), ..backlog })
    }

    pub fn history(&mut self, store: &mut impl Store, query: &HistoryQuery, now_ms: u64) -> Answer<HistoryPage> {
        self.reload(store).map_err(storage_failed)?;
        let page = history::page(store, &self.meta, &self.log, query, now_ms)?;
        let mut page = last::in_history(store, (&self.meta, &mut self.log), query, page, now_ms)?;
        self.count_page(&page, if query.presence { Kind::Presence } else { Kind::Messages });
        self.annotate_page(store, &mut page).map_err(storage_failed)?;
        Ok(page)
    }

    /// Counts a page that is given out: by its stored form, which need not be read again for that.
    pub(super) fn count_page(&mut self, page: &HistoryPage, kind: Kind) {
        let count = page.slices.iter().map(|(from, to)| to - from).sum::<usize>() as u64;
        let data = if count > 0 { page.entries.len() as u64 } else { 0 };
        self.tally.add_load(Traffic::RestOut, Load { kind, count, data }, 1);
    }

    /// Says with the messages of a page what their annotations come to.
    pub(super) fn annotate_page(&self, store: &mut impl Store, page: &mut HistoryPage) -> Result<(), StoreError> {
        if self.meta.rules.mutable {
            page.entries = annotations::annotated(store, &page.entries)?;
        }
        Ok(())
    }

    /// What a relay that stands at a cursor is to be delivered next.
    pub fn next(&mut self, store: &mut impl Store, cursor: Position, now_ms: u64) -> Answer<Delivery> {
        self.reload(store).map_err(storage_failed)?;
        let open = self.pace.open(&self.log, &self.meta.rules, now_ms);
        delivery(store, &self.log, &self.meta, self.states.holders.count(), (cursor, open)).map_err(storage_failed)
    }

    /// A relay's answer to [`Effect::Deliver`], or that it gave none.
    pub fn delivered(
        &mut self,
        store: &mut impl Store,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Delivered>,
        now_ms: u64,
    ) -> Vec<Effect> {
        if self.feeds.answered(relay, attempt, answer, self.log.tip(), now_ms) {
            // If this write fails the relay stays listed, and says so again when it is next fed.
            let _ = store.remove_relay(relay, true);
            self.states.holders.doubt(relay);
            self.states.occupants.forget(relay);
        }
        self.follow_up(store, now_ms)
    }

    /// Does what is due: feeds relays that failed to answer, and lets old rows go.
    pub fn tick(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        if let Some(window) = &mut self.window {
            window.forget_before(now_ms);
        }
        self.repeats.forget();
        if self.trims_now(now_ms) && self.trim(store, now_ms).is_err() {
            self.trim_at_ms = now_ms + TRIM_PAUSE_MS;
            self.forget(now_ms);
        }
        self.sweep_objects(store, now_ms);
        self.feeds.tick(now_ms);
        let mut effects = self.call_probes(store, now_ms);
        self.tick_spent(now_ms, &mut effects);
        effects.extend(self.follow_up(store, now_ms));
        effects
    }

    /// Not at each tick: rows that were spared, to write others in their place, are deleted the next time.
    fn trims_now(&self, now_ms: u64) -> bool {
        pause::is_over(self.trim_at_ms, TRIM_PAUSE_MS, now_ms)
            && self.log.deadline(&self.meta.rules).is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// When [`Channel::tick`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        let log = self.log.deadline(&self.meta.rules).map(|due_ms| due_ms.max(self.trim_at_ms));
        let other = [self.occupancy_deadline(), self.listing_deadline(), self.readers.deadline(), self.mend_at_ms];
        let own = [self.feeds.deadline(), self.pace_deadline(), log, self.states.deadline(), self.spent_deadline()];
        let own = own.into_iter().chain([self.hooks_deadline()]);
        own.chain(other).flatten().min()
    }

    /// The floor first: a log that says less than it has is safe, one that lost rows unawares would resume over the
    /// gap.
    fn trim(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.reload(store)?;
        let floor = self.log.expired(store, &self.meta, self.confirmed, now_ms)?;
        let Some(floor) = floor.filter(|floor| *floor > self.meta.floor) else {
            // Rows that the app has not said the rules of stay until it has.
            self.trim_at_ms = self.confirmed.map_or(0, |_| now_ms + TRIM_PAUSE_MS);
            return Ok(());
        };
        let (floor, last) = last::before_trim(store, &self.meta, floor)?;
        self.save_meta(store, Meta { floor, last, ..self.meta.clone() })?;
        let through = self.keep_for_hooks(store, floor, now_ms)?;
        self.log.trim(store, floor, through, (&self.meta.rules, now_ms))
    }

    fn feed(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        if self.reload(store).is_err() {
            self.mend_at_ms = Some(now_ms + MEND_PAUSE_MS);
            return Vec::new();
        }
        let open = self.pace.open(&self.log, &self.meta.rules, now_ms);
        let (log, meta, members) = (&self.log, &self.meta, self.states.holders.count());
        let mut next = |_: &RelayName, cursor| delivery(store, log, meta, members, (cursor, open)).ok();
        let feedings = self.feeds.pump(open, now_ms, &mut next);
        let deliver = |Feeding { relay, attempt, delivery }| Effect::Deliver { relay, attempt, delivery };
        let mut effects: Vec<Effect> = feedings.into_iter().map(deliver).collect();
        effects.extend(self.wake_readers(store, now_ms));
        effects
    }

    /// When [`Channel::follow_up`] has to ask relays where they stand. None while storage can't be read.
    pub fn checks_at_ms(&self) -> Option<u64> {
        self.feeds.checks_at_ms().filter(|_| !self.stale)
    }

    /// Drops what a failed write may have made untrue. It is read again before anything else: see [`Channel::reload`].
    fn forget(&mut self, now_ms: u64) {
        self.window = None;
        self.repeats.forget();
        self.states.forget(now_ms);
        self.stale = true;
    }

    /// After a failed write nothing is written or read before the stored tip is known. A position that was kept, though
    /// its write failed, must not be given out again, nor be read by one and lie in the future of another.
    fn reload(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        if self.stale {
            let stored = store.load()?;
            self.log = Log::new(store, &stored, self.log.tip(), self.meta.floor)?;
            self.states.reload(&stored)?;
            (self.stale, self.mend_at_ms) = (false, None);
        }
        Ok(())
    }

    /// Sees that the channel's life is stored before anything of it is, or anyone may come back to it.
    pub fn begin(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        self.keep_cursors(store)?;
        if self.has_begun {
            return Ok(());
        }
        self.save_meta(store, self.meta.clone())
    }

    /// Believes only what is stored.
    fn save_meta(&mut self, store: &mut impl Store, meta: Meta) -> Result<(), StoreError> {
        let meta = Meta { confirmed: self.confirmed.unwrap_or(meta.confirmed), ..meta };
        store.save_meta(&pinned::encode(&meta))?;
        (self.meta, self.has_begun) = (meta, true);
        Ok(())
    }
}

/// What readers get after a cursor, or after the gap that it fell into, as far as deliveries may go.
fn delivery(
    store: &mut impl Store,
    log: &Log,
    meta: &Meta,
    members: usize,
    (cursor, open): (Position, Position),
) -> Result<Delivery, StoreError> {
    let prior = cursor.max(meta.floor);
    let piece = log.live_after(store, prior, open, DELIVERY_MAX_BYTES)?;
    let mut entries = match &meta.rules.conflation_key {
        Some(key) => conflate(&piece.entries, key, meta.rules.interval_ms.into())?,
        None => piece.entries,
    };
    if meta.rules.mutable {
        entries = annotations::filled(store, &entries, prior < log.tail_from())?;
    }
    if meta.rules.mutable && meta.rules.interval_ms > 0 {
        entries = annotations::merged(&entries)?;
    }
    Ok(Delivery {
        channel: meta.address.channel.clone(),
        epoch: meta.epoch.clone(),
        prior,
        through: piece.through,
        gap: prior > cursor,
        entries,
        members,
    })
}

fn storage_failed(error: StoreError) -> ErrorInfo {
    Code::InternalChannel.because(format!("the channel's storage failed: {}", error.0))
}
