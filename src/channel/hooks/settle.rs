//! What becomes of events once the outcome of their request is known, or nobody will tell it any more.

use super::row::Failing;
use super::verdict::{self, Verdict};
use super::{Sending, events};
use crate::channel::store::{Store, StoreError};
use crate::channel::{Channel, MEND_PAUSE_MS};
use crate::error::ErrorInfo;
use crate::limits::{HOOK_GIVE_UP_MS, HOOK_INTERVAL_MS, HOOK_LEASE_MS};
use crate::rpc::{DeadEvents, HookOutcome};
use crate::stats::HookCount;

impl Channel {
    /// How a request went.
    pub fn posted(
        &mut self,
        store: &mut impl Store,
        request: (&str, u64),
        outcome: HookOutcome,
        seed: &str,
        now_ms: u64,
    ) {
        let settled = self.reload(store).and_then(|()| self.settle_post(store, request, &outcome, seed, now_ms));
        if settled.is_err() {
            self.forget(now_ms);
            self.mend_at_ms = Some(now_ms + MEND_PAUSE_MS);
        }
    }

    /// One that comes after its lease says nothing any more.
    pub(super) fn settle_post(
        &mut self,
        store: &mut impl Store,
        (hook, attempt): (&str, u64),
        outcome: &HookOutcome,
        seed: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let is_it = |sending: &Sending| sending.hook == hook && sending.attempt == attempt;
        let Some(index) = self.states.hooks.sending.iter().position(is_it) else { return Ok(()) };
        let sending = self.states.hooks.sending.swap_remove(index);
        let Some(cursor) = self.states.hooks.row.cursor(hook) else { return Ok(()) };
        let tries = cursor.failing.as_ref().map_or(0, |failing| failing.tries_of_next);
        let is_old = sending.first.1 + HOOK_GIVE_UP_MS <= now_ms;
        match verdict::verdict(outcome, tries, now_ms) {
            Verdict::Done => self.has_got(&sending, now_ms),
            Verdict::Again(error, asked_ms) => {
                self.try_again(&sending, &error, asked_ms, seed, now_ms);
                if is_old {
                    self.give_up(store, &sending, error, now_ms)?;
                }
            }
            Verdict::Refused(error) => {
                self.try_again(&sending, &error, None, seed, now_ms);
                self.give_up(store, &sending, error, now_ms)?;
                self.try_next(hook, now_ms);
            }
            Verdict::Gone(error) => self.end_hook(hook, error, now_ms),
        }
        self.save_hooks(store)?;
        self.release(store)
    }

    fn has_got(&mut self, sending: &Sending, now_ms: u64) {
        self.tally.add_hooks(HookCount::Delivered, 1);
        self.tally.add_hooks(HookCount::EventsDelivered, sending.count);
        let hooks = &mut self.states.hooks;
        hooks.paces.retain(|(known, _)| *known != sending.hook);
        if self.meta.rules.hooks.iter().any(|hook| hook.id == sending.hook && hook.is_batched) {
            hooks.paces.push((sending.hook.clone(), now_ms + HOOK_INTERVAL_MS));
        }
        if let Some(cursor) = hooks.row.cursor(&sending.hook) {
            (cursor.mark, cursor.failing) = (sending.next, None);
        }
        hooks.row.forget_done();
    }

    fn try_again(&mut self, sending: &Sending, error: &ErrorInfo, asked_ms: Option<u64>, seed: &str, now_ms: u64) {
        self.tally.add_hooks(HookCount::Failed, 1);
        let Some(cursor) = self.states.hooks.row.cursor(&sending.hook) else { return };
        let (since_ms, tries, tries_of_next) = match &cursor.failing {
            Some(failing) => (failing.since_ms, failing.tries, failing.tries_of_next),
            None => (now_ms, 0, 0),
        };
        let (tries, tries_of_next) = (tries.saturating_add(1), tries_of_next.saturating_add(1));
        let random = verdict::random(seed, &sending.hook, sending.attempt);
        let pause_ms = verdict::pause_ms(tries, asked_ms, random);
        let (due_ms, error) = (now_ms + pause_ms, error.clone());
        cursor.failing = Some(Failing { since_ms, tries, tries_of_next, due_ms, error, pause_ms });
    }

    /// Goes on with the events behind these.
    fn give_up(
        &mut self,
        store: &mut impl Store,
        sending: &Sending,
        error: ErrorInfo,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let dead = DeadEvents {
            number: 0,
            hook: sending.hook.clone(),
            at_ms: now_ms,
            count: sending.count,
            first: sending.first.0.clone(),
            last: sending.last.clone(),
            error,
        };
        let body = self.dead_body(store, sending)?;
        self.gave_up(dead, body);
        let row = &mut self.states.hooks.row;
        if let Some(cursor) = row.cursor(&sending.hook) {
            cursor.mark = sending.next;
            cursor.failing.iter_mut().for_each(|failing| failing.tries_of_next = 0);
        }
        row.forget_done();
        Ok(())
    }

    /// What of a request is kept that is given up, read from the log again.
    fn dead_body(&mut self, store: &mut impl Store, sending: &Sending) -> Result<String, StoreError> {
        let hook = self.meta.rules.hooks.iter().find(|hook| hook.id == sending.hook).cloned();
        let mark = self.states.hooks.row.cursor(&sending.hook).map(|cursor| cursor.mark);
        let (Some(hook), Some(mark)) = (hook, mark) else { return Ok(String::new()) };
        let events = self.gather(store, &hook, mark)?.events;
        let count = events.len().min(usize::try_from(sending.count).unwrap_or(usize::MAX));
        Ok(events::kept(&hook, &self.meta.address, &events[..count]))
    }

    /// The receiver is there, and may take what follows.
    fn try_next(&mut self, hook: &str, now_ms: u64) {
        let cursor = self.states.hooks.row.cursor(hook);
        for failing in cursor.into_iter().filter_map(|cursor| cursor.failing.as_mut()) {
            (failing.tries, failing.due_ms, failing.pause_ms) = (0, now_ms, 0);
        }
    }

    pub(super) fn gave_up(&mut self, dead: DeadEvents, body: String) {
        self.tally.add_hooks(HookCount::EventsGivenUp, dead.count);
        self.states.hooks.row.gave_up(dead, body);
    }

    fn end_hook(&mut self, hook: &str, error: ErrorInfo, now_ms: u64) {
        self.tally.add_hooks(HookCount::Ended, 1);
        let row = &mut self.states.hooks.row;
        if let Some(cursor) = row.cursor(hook) {
            (cursor.ended, cursor.failing) = (Some((now_ms, error)), None);
        }
        row.forget_done();
    }

    /// Requests whose outcome nobody will tell.
    pub(super) fn end_leases(&mut self, store: &mut impl Store, seed: &str, now_ms: u64) -> Result<(), StoreError> {
        // A clock that was set back ends none, nor does it make anybody wait longer.
        self.states.hooks.sending.iter_mut().for_each(|sending| {
            sending.until_ms = sending.until_ms.min(now_ms + HOOK_LEASE_MS);
        });
        let over = self.states.hooks.sending.iter().filter(|sending| sending.until_ms <= now_ms);
        let over: Vec<(String, u64)> = over.map(|sending| (sending.hook.clone(), sending.attempt)).collect();
        over.iter().try_for_each(|(hook, attempt)| {
            self.settle_post(store, (hook, *attempt), &HookOutcome::Unreachable, seed, now_ms)
        })
    }
}
