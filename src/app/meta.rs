//! An app tells on its metachannels what happens in it (protocol.md § 16.3), as long as somebody reads them. A
//! metachannel with readers is on the list of channels in use, as any other. For one without, nothing is prepared.
//!
//! It goes with the memory, and what waited with it is told by nobody. Only the last minutes are told again: whether
//! they changed meanwhile is not known.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::statistics;
use super::store::{Store, StoreError};
use crate::base::pause;
use crate::limits::{META_MINUTES_MAX, META_STATS_MS, STATS_OBSERVED_MS};
use crate::model::name::{AppId, ChannelName, LIFECYCLE, LOG, META, METACHANNELS, STATISTICS};
use crate::rpc::{HookReport, HookStanding, StatsQuery};
use crate::stats::interval::MINUTE_MS;
use crate::stats::{Unit, item};

/// A message for a metachannel.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub metachannel: &'static str,
    pub name: String,
    pub data: Value,
}

#[derive(Debug, Default)]
pub struct Meta {
    /// Those that are read.
    read: BTreeSet<&'static str>,
    waiting: Vec<Told>,
    /// Minutes whose statistics changed since they were told.
    changed: BTreeSet<u64>,
    /// When statistics were last told.
    told_ms: u64,
    /// The minute that was told of before it was over.
    open: Option<u64>,
}

impl Meta {
    pub fn load(store: &mut impl Store, now_ms: u64) -> Result<Meta, StoreError> {
        let listed = store.listed(META, "", METACHANNELS.len())?;
        let read = METACHANNELS.into_iter().filter(|name| listed.lines().any(|listed| listed == *name)).collect();
        let mut meta = Meta { read, ..Meta::default() };
        // An alarm that is to tell of the end of a minute may ring somewhat late.
        let from = now_ms.saturating_sub(2 * STATS_OBSERVED_MS) / MINUTE_MS;
        (from..=now_ms / MINUTE_MS).for_each(|minute| meta.count(minute));
        Ok(meta)
    }

    pub fn is_read(&self, metachannel: &str) -> bool {
        self.read.contains(metachannel)
    }

    /// Puts a channel on the list of those in use, or takes it off, and tells of it if that changes the list.
    pub fn list(
        &mut self,
        store: &mut impl Store,
        channel: &ChannelName,
        (active, number): (bool, Option<u64>),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let is_told = self.is_read(LIFECYCLE) && channel.is_of_clients();
        let was_listed = is_told && is_listed(store, channel)?;
        store.list(channel, active, number)?;
        if is_told && is_listed(store, channel)? != was_listed {
            self.tell(LIFECYCLE, if active { "channel.opened" } else { "channel.closed" }, || opened(channel, active));
        }
        let Some(name) = METACHANNELS.into_iter().find(|name| *name == channel.as_str()) else { return Ok(()) };
        match is_listed(store, channel)? {
            true if self.read.insert(name) && name == STATISTICS => self.count(now_ms / MINUTE_MS),
            true => {}
            false => drop(self.read.remove(name)),
        }
        Ok(())
    }

    /// The statistics of a minute have changed.
    pub fn count(&mut self, minute: u64) {
        if self.is_read(STATISTICS) {
            self.changed.insert(minute);
            if self.changed.len() > META_MINUTES_MAX {
                self.changed.pop_first();
            }
        }
    }

    pub fn tell(&mut self, metachannel: &'static str, name: &str, data: impl FnOnce() -> Value) {
        if self.is_read(metachannel) {
            self.waiting.push(Told { metachannel, name: name.to_owned(), data: data() });
        }
    }

    /// Tells of webhooks that fare otherwise than is stored.
    pub fn tell_hooks(&mut self, store: &mut impl Store, report: &HookReport) -> Result<(), StoreError> {
        if !self.is_read(LOG) {
            return Ok(());
        }
        let known = super::hooks::troubled(store)?;
        for (hook, standing) in &report.standings {
            let is_it =
                |known: &&(String, String, HookStanding)| known.0 == report.channel.as_str() && known.1 == *hook;
            let before = known.iter().find(is_it).map_or(&HookStanding::Fine, |(_, _, standing)| standing);
            if before != standing {
                let name = format!("webhook.{}", standing.state());
                self.tell(LOG, &name, || standing.to_json(report.channel.as_str(), hook));
            }
        }
        Ok(())
    }

    /// All that there is to tell now.
    pub fn take(&mut self, store: &mut impl Store, app: &AppId, now_ms: u64) -> Result<Vec<Told>, StoreError> {
        let now = now_ms / MINUTE_MS;
        if let Some(over) = self.open.take_if(|minute| closes_ms(*minute) <= now_ms) {
            self.count(over);
        }
        if !self.changed.is_empty() && pause::is_over(self.stats_due_ms(), META_STATS_MS, now_ms) {
            self.told_ms = now_ms;
            for minute in std::mem::take(&mut self.changed) {
                let query = StatsQuery { unit: Unit::Minute, from: minute, to: minute, forwards: true, limit: 1 };
                for (minute, tally) in statistics::intervals(store, &query)? {
                    self.open = if minute == now { Some(now) } else { self.open };
                    self.tell(STATISTICS, "update", || item::item(app, Unit::Minute, minute, &tally, now));
                }
            }
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// When [`Meta::take`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        let changed = (!self.changed.is_empty()).then(|| self.stats_due_ms());
        changed.into_iter().chain(self.open.map(closes_ms)).min().filter(|_| self.is_read(STATISTICS))
    }

    fn stats_due_ms(&self) -> u64 {
        self.told_ms + META_STATS_MS
    }
}

/// When the last reports of a minute are in, of objects that are read often.
fn closes_ms(minute: u64) -> u64 {
    (minute + 1) * MINUTE_MS + STATS_OBSERVED_MS
}

fn is_listed(store: &mut impl Store, channel: &ChannelName) -> Result<bool, StoreError> {
    // A name is the first of those that begin with it.
    Ok(store.listed(channel.as_str(), "", 1)? == channel.as_str())
}

fn opened(channel: &ChannelName, active: bool) -> Value {
    json!({ "channelId": channel.as_str(), "name": channel.as_str(), "status": { "isActive": active } })
}
