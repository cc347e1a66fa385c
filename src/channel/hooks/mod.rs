//! Webhooks of a channel: sends what happens on it to receivers, at least once and in order (docs/webhooks.md).
//!
//! What a receiver still has to get is no copy: it is what the log holds behind a cursor. A publish costs no more for
//! it, and a request that went well one row. While a webhook is behind, rows stay that nobody else may read any more.
//!
//! ```text
//!   log ──▶ cursor ──▶ HookRequest ──▶ HookOutcome ──▶ the cursor moves on, is stored
//!            (one request of each webhook at a time)  └▶ or waits, longer and longer
//! ```
//! An object that ends while a request is under way makes it again, when its lease is over: receivers know an event by
//! its id. In reading order: `row` is what is stored, `events` what is sent, `settle` what follows from
//! an outcome, and `verdict` what it means.

mod events;
pub mod row;
mod settle;
mod verdict;

use crate::auth::{Events, Hook};
use crate::base::endpoint::Endpoint;
use crate::base::pause;
use crate::base::pinned;
use crate::channel::log::decoded;
use crate::channel::state::State;
use crate::channel::state::shown::Show;
use crate::channel::store::{Store, StoreError, Stored};
use crate::channel::{Channel, MEND_PAUSE_MS};
use crate::error::Code;
use crate::limits::{
    HOOK_BATCH_MAX_BYTES, HOOK_BATCH_MAX_EVENTS, HOOK_BEHIND_MAX_BYTES, HOOK_BEHIND_MAX_MESSAGES, HOOK_INTERVAL_MS,
    HOOK_LEASE_MS, HOOK_LOOK_BYTES, HOOK_NEWS_PAUSE_MS,
};
use crate::model::serial::Position;
use crate::rpc::{DeadEvents, HookNews, HookOutcome, HookReport, HookRequest};
use events::Event;
use row::{Cursor, HookRow, Life, Mark};

#[derive(Debug, Default)]
pub struct Hooks {
    row: HookRow,
    /// The cursors are those of the rules.
    are_kept: bool,
    /// Cursors have passed over events that no webhook wants, and that is not stored.
    is_ahead: bool,
    /// Rows are kept that only webhooks may read.
    holds: bool,
    sending: Vec<Sending>,
    attempts: u64,
    /// Not before, by webhook: it has just been sent something.
    paces: Vec<(String, u64)>,
    /// When to tell the app (again), and whether it is being told.
    news_at_ms: u64,
    is_telling: bool,
}

/// A request under way.
#[derive(Debug)]
struct Sending {
    hook: String,
    attempt: u64,
    /// When nobody waits for its outcome any more.
    until_ms: u64,
    next: Mark,
    count: u64,
    first: (String, u64),
    last: String,
}

impl State for Hooks {
    fn restore(stored: &Stored, _now_ms: u64) -> Result<Hooks, StoreError> {
        // Whether rows are held is found out by the next that trims.
        Ok(Hooks { row: row_of(stored)?, holds: true, ..Hooks::default() })
    }

    fn reload(&mut self, stored: &Stored) -> Result<(), StoreError> {
        (self.row, self.are_kept, self.is_ahead, self.holds) = (row_of(stored)?, false, false, true);
        Ok(())
    }
}

fn row_of(stored: &Stored) -> Result<HookRow, StoreError> {
    Ok(stored.hooks.as_deref().map(pinned::decode).transpose()?.unwrap_or_default())
}

impl Hooks {
    fn pace_ms(&self, hook: &str) -> u64 {
        self.paces.iter().find(|(known, _)| known == hook).map_or(0, |(_, at_ms)| *at_ms)
    }

    fn sending(&self, hook: &str) -> Option<&Sending> {
        self.sending.iter().find(|sending| sending.hook == hook)
    }

    /// Whether a webhook has not got all yet.
    fn is_behind(&self, cursor: &Cursor, tip: Position) -> bool {
        cursor.is_active()
            && (cursor.mark.position < tip || self.row.life.iter().any(|life| life.number >= cursor.mark.life))
    }

    fn has_news(&self) -> bool {
        !self.row.dead.is_empty() || self.row.cursors.iter().any(|cursor| cursor.standing() != cursor.told)
    }

    /// When the channel next has something to do for a webhook. What is due within moments is left to a timer, which
    /// [`Channel::hooks_until_ms`] starts, and comes here late: nobody else would wake a channel that loses its memory.
    fn due_ms(&self, cursor: &Cursor, tip: Position) -> Option<u64> {
        if let Some(sending) = self.sending(&cursor.hook) {
            return Some(sending.until_ms);
        }
        let is_behind = self.is_behind(cursor, tip);
        let due_ms = cursor.failing.as_ref().map(|failing| failing.due_ms);
        is_behind.then(|| due_ms.unwrap_or(self.pace_ms(&cursor.hook) + HOOK_LEASE_MS))
    }
}

/// What a webhook gets next, and where it is then.
struct Gathered {
    events: Vec<Event>,
    mark: Mark,
    bytes: usize,
}

impl Gathered {
    fn is_full(&self, hook: &Hook, next: &Event) -> bool {
        let most = if hook.is_batched { HOOK_BATCH_MAX_EVENTS } else { 1 };
        let is_too_large = self.bytes + next.weight > HOOK_BATCH_MAX_BYTES && !self.events.is_empty();
        self.events.len() >= most || is_too_large
    }

    fn take(&mut self, event: Event) {
        // The two kinds of events move on by themselves.
        let Mark { position, places, life } = event.next;
        self.mark = Mark { position, places, life: self.mark.life.max(life) };
        self.bytes += event.weight;
        self.events.push(event);
    }
}

impl Channel {
    /// The requests to make now; hand each outcome to [`Channel::posted`]. `private` says whether receivers may be at
    /// private addresses, `seed` is random.
    pub fn posts(&mut self, store: &mut impl Store, private: bool, seed: &str, now_ms: u64) -> Vec<HookRequest> {
        if self.meta.rules.hooks.is_empty() || !self.has_begun || self.stale {
            return Vec::new();
        }
        let posts = self.try_posts(store, private, seed, now_ms);
        posts.unwrap_or_else(|_| {
            self.forget(now_ms);
            self.mend_at_ms = Some(now_ms + MEND_PAUSE_MS);
            Vec::new()
        })
    }

    fn try_posts(
        &mut self,
        store: &mut impl Store,
        private: bool,
        seed: &str,
        now_ms: u64,
    ) -> Result<Vec<HookRequest>, StoreError> {
        self.keep_cursors(store)?;
        self.note_life(store, now_ms)?;
        self.end_leases(store, seed, now_ms)?;
        let mut requests = Vec::new();
        let due: Vec<Hook> = self.meta.rules.hooks.iter().filter(|hook| self.is_due(hook, now_ms)).cloned().collect();
        for hook in due {
            let mark = self.states.hooks.row.cursor(&hook.id).map(|cursor| cursor.mark).unwrap_or_default();
            let gathered = self.gather(store, &hook, mark)?;
            if gathered.events.is_empty() {
                self.pass_over(&hook.id, gathered.mark, now_ms);
                continue;
            }
            let request = self.request(&hook, &gathered, now_ms);
            match private || Endpoint::parse(&hook.url).is_some_and(|endpoint| endpoint.is_public()) {
                true => requests.push(request),
                false => {
                    let attempt = (hook.id.as_str(), request.attempt);
                    self.settle_post(store, attempt, &HookOutcome::Forbidden, seed, now_ms)?;
                }
            }
        }
        Ok(requests)
    }

    fn is_due(&self, hook: &Hook, now_ms: u64) -> bool {
        let hooks = &self.states.hooks;
        let Some(cursor) = hooks.row.cursors.iter().find(|cursor| cursor.hook == hook.id) else { return false };
        let is_over = |at_ms, pause_ms| pause::is_over(at_ms, pause_ms, now_ms);
        let waits = cursor.failing.as_ref().is_some_and(|failing| !is_over(failing.due_ms, failing.pause_ms));
        let is_busy = hooks.sending(&hook.id).is_some() || !is_over(hooks.pace_ms(&hook.id), HOOK_INTERVAL_MS);
        !waits && !is_busy && hooks.is_behind(cursor, self.log.tip())
    }

    fn request(&mut self, hook: &Hook, Gathered { events, mark, .. }: &Gathered, now_ms: u64) -> HookRequest {
        let (headers, body) = events::request(hook, &self.meta.address, events);
        let hooks = &mut self.states.hooks;
        hooks.attempts += 1;
        let (first, last) = (&events[0], &events[events.len() - 1]);
        hooks.sending.push(Sending {
            hook: hook.id.clone(),
            attempt: hooks.attempts,
            until_ms: now_ms + HOOK_LEASE_MS,
            next: *mark,
            count: events.len() as u64,
            first: (first.id.clone(), first.at_ms),
            last: last.id.clone(),
        });
        HookRequest { id: hook.id.clone(), attempt: hooks.attempts, url: hook.url.clone(), headers, body }
    }

    /// The next events that a webhook wants, in the order in which they happened.
    fn gather(&self, store: &mut impl Store, hook: &Hook, mark: Mark) -> Result<Gathered, StoreError> {
        let wanted = self.states.hooks.row.life.iter().filter(|life| life.number >= mark.life);
        let mut life = wanted.filter(|life| hook.events.has(life.kind.event())).peekable();
        let mut gathered = Gathered { events: Vec::new(), mark, bytes: 0 };
        let piece = self.log.stored_after(store, mark.position, Show::Whole, HOOK_LOOK_BYTES)?;
        for entry in decoded(&piece.entries)? {
            let places = if gathered.mark.position == mark.position { mark.places } else { 0 };
            let mut of_entry = events::of_entry(&entry, hook, &self.meta.epoch, gathered.mark);
            // Where messages go one by one, those that were sent are not sent again.
            of_entry.drain(..places.min(of_entry.len()));
            for event in of_entry {
                while let Some(before) = life.next_if(|life| life.at_ms < event.at_ms) {
                    let before = events::of_life(before, &self.meta.epoch, gathered.mark);
                    if gathered.is_full(hook, &before) {
                        return Ok(gathered);
                    }
                    gathered.take(before);
                }
                if gathered.is_full(hook, &event) {
                    return Ok(gathered);
                }
                gathered.take(event);
            }
            let is_passed = gathered.mark.position < entry.position && gathered.mark.places == 0;
            if is_passed {
                gathered.mark.position = entry.position;
            }
        }
        gathered.mark = Mark { position: piece.through.max(gathered.mark.position), ..gathered.mark };
        for event in life {
            let event = events::of_life(event, &self.meta.epoch, gathered.mark);
            if gathered.is_full(hook, &event) {
                return Ok(gathered);
            }
            gathered.take(event);
        }
        // Those that are left it does not want.
        gathered.mark.life = self.states.hooks.row.life_number;
        Ok(gathered)
    }

    /// Nothing up to here is for this webhook. It looks on at once.
    fn pass_over(&mut self, hook: &str, mark: Mark, now_ms: u64) {
        let hooks = &mut self.states.hooks;
        hooks.paces.retain(|(known, _)| known != hook);
        if mark.position < self.log.tip() {
            hooks.paces.push((hook.to_owned(), now_ms));
        }
        if let Some(cursor) = hooks.row.cursor(hook) {
            cursor.mark = mark;
            hooks.is_ahead = true;
        }
    }

    /// Nothing up to the floor is for any webhook: it is purged. What of an entry was sent is not taken for a part of
    /// the next, and the outcome of what is under way says nothing of that.
    pub(super) fn pass_over_all(&mut self, store: &mut impl Store, floor: Position) -> Result<(), StoreError> {
        let Hooks { row, sending, .. } = &mut self.states.hooks;
        for cursor in row.cursors.iter_mut().filter(|cursor| cursor.mark.position < floor) {
            cursor.mark = Mark { position: floor, places: 0, ..cursor.mark };
            cursor.failing.iter_mut().for_each(|failing| failing.tries_of_next = 0);
            sending.retain(|sending| sending.hook != cursor.hook);
        }
        if row.cursors.is_empty() { Ok(()) } else { self.save_hooks(store) }
    }

    /// Rows that a purge has not come to are its own to delete.
    pub(super) fn hooks_hold_nothing(&mut self) {
        self.states.hooks.holds = false;
    }

    /// Whether webhooks want to hear of the channel's life, and its relays are to say who is there.
    pub(super) fn tells_of_life(&self) -> bool {
        let wants = |hook: &Hook| hook.events.has(Events::LIFECYCLE) || hook.events.has(Events::OCCUPANCY);
        self.meta.rules.hooks.iter().any(wants)
    }

    /// Notes that the channel came into use, or was left, as soon as it is seen: what was told last is stored.
    fn note_life(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        if !self.tells_of_life() {
            return Ok(());
        }
        let (is_listed, is_occupied) = (self.meta.listed, self.is_occupied());
        let row = &mut self.states.hooks.row;
        let before = row.life_number;
        let is_occupied = is_occupied.unwrap_or(row.is_occupied);
        // It opens before somebody is there, and closes when nobody is.
        let is_open = is_listed || is_occupied;
        if is_open && !std::mem::replace(&mut row.is_open, is_open) {
            row.happened(Life::Opened, now_ms);
        }
        if is_occupied != std::mem::replace(&mut row.is_occupied, is_occupied) {
            row.happened(if is_occupied { Life::Occupied } else { Life::Vacated }, now_ms);
        }
        if !is_open && std::mem::replace(&mut row.is_open, is_open) {
            row.happened(Life::Closed, now_ms);
        }
        if row.life_number > before { self.save_hooks(store) } else { Ok(()) }
    }

    /// Sees that each webhook has a cursor, before anything is published that it is to get.
    pub(super) fn keep_cursors(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        if self.states.hooks.are_kept {
            return Ok(());
        }
        let rules = std::mem::take(&mut self.meta.rules.hooks);
        let kept = self.keep_cursors_of(store, &rules);
        self.meta.rules.hooks = rules;
        kept
    }

    pub(super) fn keep_cursors_of(&mut self, store: &mut impl Store, hooks: &[Hook]) -> Result<(), StoreError> {
        let row = &self.states.hooks.row;
        self.states.hooks.are_kept = true;
        if hooks.is_empty() && row.cursors.is_empty() {
            return Ok(());
        }
        let kept = row.keeping(hooks, self.log.tip());
        if kept == *row {
            return Ok(());
        }
        // An outcome under another rule says nothing of this one.
        let rule =
            |row: &HookRow, id: &str| row.cursors.iter().find(|cursor| cursor.hook == id).map(|cursor| cursor.rule);
        let is_same = |sending: &Sending| rule(row, &sending.hook) == rule(&kept, &sending.hook);
        let sending = std::mem::take(&mut self.states.hooks.sending);
        self.states.hooks.sending = sending.into_iter().filter(is_same).collect();
        let before = std::mem::replace(&mut self.states.hooks.row, kept);
        // Rows may have waited for a webhook that is no more.
        let saved = self.save_hooks(store).and_then(|()| self.release(store));
        if saved.is_err() {
            // The next call does it again.
            (self.states.hooks.row, self.states.hooks.are_kept) = (before, false);
        }
        saved
    }

    fn save_hooks(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        store.save_hooks(&pinned::encode(&self.states.hooks.row))?;
        self.states.hooks.is_ahead = false;
        Ok(())
    }

    /// How far the log may let rows go: what a webhook has not got stays, unless it is too far behind.
    pub(super) fn keep_for_hooks(
        &mut self,
        store: &mut impl Store,
        floor: Position,
        now_ms: u64,
    ) -> Result<Position, StoreError> {
        if self.states.hooks.row.cursors.is_empty() {
            return Ok(floor);
        }
        let bound = self.log.bound_behind(store, HOOK_BEHIND_MAX_MESSAGES, HOOK_BEHIND_MAX_BYTES)?;
        let is_late = |cursor: &&Cursor| cursor.is_active() && cursor.mark.position < bound;
        let late: Vec<Cursor> = self.states.hooks.row.cursors.iter().filter(is_late).cloned().collect();
        for cursor in &late {
            let count = self.log.count_between(store, cursor.mark.position, bound)?;
            self.fall_behind(cursor, bound, count, now_ms);
        }
        let active = self.states.hooks.row.cursors.iter().filter(|cursor| cursor.is_active());
        let reached = active.map(|cursor| cursor.mark.position).min().unwrap_or(floor);
        if self.states.hooks.is_ahead || !late.is_empty() {
            self.save_hooks(store)?;
        }
        self.states.hooks.holds = reached < floor;
        Ok(reached.min(floor))
    }

    fn fall_behind(&mut self, cursor: &Cursor, bound: Position, count: u64, now_ms: u64) {
        let dead = DeadEvents {
            number: 0,
            hook: cursor.hook.clone(),
            at_ms: now_ms,
            count,
            first: cursor.mark.position.serial(&self.meta.epoch),
            last: bound.serial(&self.meta.epoch),
            error: Code::WebhookBehind.into(),
        };
        // The log is read no more for them.
        self.gave_up(dead, String::new());
        let hooks = &mut self.states.hooks;
        hooks.sending.retain(|sending| sending.hook != cursor.hook);
        if let Some(known) = hooks.row.cursor(&cursor.hook) {
            known.mark = Mark { position: bound, places: 0, ..known.mark };
        }
    }

    /// Lets rows go that were kept for webhooks alone.
    fn release(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        let floor = self.meta.floor;
        let mut active = self.states.hooks.row.cursors.iter().filter(|cursor| cursor.is_active());
        let may_hold = self.states.hooks.holds && floor > Position::ZERO;
        if may_hold && active.all(|cursor| cursor.mark.position >= floor) {
            store.trim(floor)?;
            self.states.hooks.holds = false;
        }
        Ok(())
    }

    /// When [`Channel::posts`] is next needed, for a timer: an alarm would be a row each time.
    pub fn hooks_until_ms(&self) -> Option<u64> {
        let hooks = &self.states.hooks;
        let waits = |cursor: &&Cursor| {
            cursor.failing.is_none() && hooks.sending(&cursor.hook).is_none() && hooks.is_behind(cursor, self.log.tip())
        };
        let waiting = hooks.row.cursors.iter().filter(waits).filter(|_| !self.stale && self.has_begun);
        waiting.map(|cursor| hooks.pace_ms(&cursor.hook)).min()
    }

    pub(super) fn hooks_deadline(&self) -> Option<u64> {
        let hooks = &self.states.hooks;
        if self.stale || !self.has_begun {
            return None;
        }
        let due = hooks.row.cursors.iter().filter_map(|cursor| hooks.due_ms(cursor, self.log.tip()));
        let news = (hooks.has_news() && !hooks.is_telling).then_some(hooks.news_at_ms);
        due.chain(news).min()
    }

    /// Whether no webhook and nobody else waits for anything that only this channel knows.
    pub(super) fn hooks_are_idle(&self) -> bool {
        let hooks = &self.states.hooks;
        !hooks.has_news() && !hooks.row.cursors.iter().any(|cursor| hooks.is_behind(cursor, self.log.tip()))
    }

    /// What the app is to be told now. [`Channel::hooks_told`] gets to know whether it was.
    pub fn hook_news(&mut self, now_ms: u64) -> Option<HookNews> {
        let hooks = &mut self.states.hooks;
        let may_tell = pause::is_over(hooks.news_at_ms, HOOK_NEWS_PAUSE_MS, now_ms);
        if self.stale || hooks.is_telling || !may_tell || !hooks.has_news() {
            return None;
        }
        hooks.is_telling = true;
        let news = hooks.row.cursors.iter().filter(|cursor| cursor.standing() != cursor.told);
        let report = HookReport {
            channel: self.meta.address.channel.clone(),
            epoch: self.meta.epoch.clone(),
            standings: news.map(|cursor| (cursor.hook.clone(), cursor.standing())).collect(),
            dead: hooks.row.dead.iter().map(|dead| dead.about.clone()).collect(),
        };
        Some(HookNews { report, bodies: hooks.row.dead.iter().map(|dead| dead.body.clone()).collect() })
    }

    pub fn hooks_told(&mut self, store: &mut impl Store, report: &HookReport, is_told: bool, now_ms: u64) {
        self.states.hooks.is_telling = false;
        if !is_told {
            self.states.hooks.news_at_ms = now_ms + HOOK_NEWS_PAUSE_MS;
            return;
        }
        let row = &mut self.states.hooks.row;
        for (hook, standing) in &report.standings {
            row.cursor(hook).into_iter().for_each(|cursor| cursor.told = standing.clone());
        }
        let through = report.dead.last().map_or(0, |dead| dead.number + 1);
        row.dead.retain(|dead| dead.about.number >= through);
        if self.reload(store).and_then(|()| self.save_hooks(store)).is_err() {
            // The app knows what it was told when it is told again.
            self.forget(now_ms);
        }
    }
}
