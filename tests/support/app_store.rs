//! What an app keeps, in memory, for tests and the simulation.

mod push_memory;

use std::collections::BTreeMap;

use courtside::app::store::{StatsKind, Store, StoreError, Stored};
use courtside::auth::{Ban, Revocation};
use courtside::model::name::ChannelName;
use courtside::object::{AppHost, AppInput, AppOutput, CallerId};
use courtside::rpc::{Answer, AppCall, AppResponse, Note, RelayName};
use courtside::stats::Tally;
pub use push_memory::PushMemory;

#[derive(Debug, Default)]
pub struct AppMemory {
    /// It fails then, whatever it is asked.
    pub is_broken: bool,
    pub config: Option<String>,
    pub channels: String,
    /// By name, with the numbers of the calls.
    pub listed: BTreeMap<String, u64>,
    pub nonces: BTreeMap<String, u64>,
    pub revocations: BTreeMap<String, (u64, Revocation)>,
    pub watchers: BTreeMap<RelayName, (u64, u64)>,
    pub bans: BTreeMap<String, (u64, Ban)>,
    pub config_revision: u64,
    pub notes: Vec<(u64, Note)>,
    pub push: PushMemory,
    pub stats: BTreeMap<(StatsKind, u64, String), (u64, Tally)>,
    /// Rows that were read at a time, at most.
    pub stats_at_once: usize,
    pub standings: BTreeMap<(String, String), Vec<u8>>,
    /// By key, the last first.
    pub dead: Vec<(u64, String, String, Vec<u8>)>,
    /// How often those were asked for.
    pub dead_reads: usize,
}

impl AppMemory {
    fn check(&self) -> Result<(), StoreError> {
        if self.is_broken { Err(StoreError("broken".to_owned())) } else { Ok(()) }
    }
}

impl Store for AppMemory {
    fn load(&mut self) -> Result<Stored, StoreError> {
        self.check()?;
        let watchers = self.watchers.iter().map(|(relay, (ticket, told))| (relay.clone(), *ticket, *told)).collect();
        let revocations = self.revocations.values().cloned().collect();
        let (bans, config_revision) = (self.bans.values().cloned().collect(), self.config_revision);
        Ok(Stored {
            config: self.config.clone(),
            nonces: self.nonces.len(),
            revocations,
            bans,
            config_revision,
            watchers,
        })
    }

    fn save_config(&mut self, config: &str, channels: &str) -> Result<(), StoreError> {
        self.check()?;
        (self.config, self.channels) = (Some(config.to_owned()), channels.to_owned());
        Ok(())
    }

    fn channels(&mut self) -> Result<String, StoreError> {
        self.check()?;
        Ok(self.channels.clone())
    }

    fn list(&mut self, channel: &ChannelName, active: bool, number: Option<u64>) -> Result<(), StoreError> {
        self.check()?;
        let name = channel.as_str();
        if active {
            let known = self.listed.entry(name.to_owned()).or_default();
            *known = number.unwrap_or(0).max(*known);
        } else if self.listed.get(name).is_some_and(|known| *known <= number.unwrap_or(u64::MAX)) {
            self.listed.remove(name);
        }
        Ok(())
    }

    fn forget_list(&mut self) -> Result<(), StoreError> {
        self.check()?;
        self.listed.clear();
        Ok(())
    }

    fn listed(&mut self, prefix: &str, after: &str, limit: usize) -> Result<String, StoreError> {
        self.check()?;
        let found = self.listed.keys().filter(|name| name.starts_with(prefix) && name.as_str() > after);
        Ok(found.take(limit).cloned().collect::<Vec<_>>().join("\n"))
    }

    fn add_nonce(&mut self, key: &str, forget_at_ms: u64) -> Result<bool, StoreError> {
        self.check()?;
        Ok(self.nonces.insert(key.to_owned(), forget_at_ms).is_none())
    }

    fn forget_nonces(&mut self, now_ms: u64) -> Result<usize, StoreError> {
        self.check()?;
        self.nonces.retain(|_, forget_at_ms| *forget_at_ms > now_ms);
        Ok(self.nonces.len())
    }

    fn save_revocation(&mut self, revision: u64, revocation: &Revocation) -> Result<(), StoreError> {
        self.check()?;
        let key = format!("{} {}", revocation.key_name, String::from(revocation.target.clone()));
        self.revocations.insert(key, (revision, revocation.clone()));
        Ok(())
    }

    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        self.check()?;
        self.revocations.retain(|_, (_, revocation)| revocation.forget_at_ms() > now_ms);
        Ok(())
    }

    fn revocations_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Revocation)>, StoreError> {
        self.check()?;
        let mut rows: Vec<_> = self.revocations.values().filter(|(own, _)| *own > revision).cloned().collect();
        rows.sort_by_key(|(revision, _)| *revision);
        rows.truncate(limit);
        Ok(rows)
    }

    fn save_config_revision(&mut self, revision: u64) -> Result<(), StoreError> {
        self.check()?;
        self.config_revision = revision;
        Ok(())
    }

    fn save_ban(&mut self, revision: u64, ban: &Ban) -> Result<(), StoreError> {
        self.check()?;
        self.bans.insert(ban.key(), (revision, ban.clone()));
        Ok(())
    }

    fn forget_bans(&mut self, now_ms: u64, through: u64) -> Result<(), StoreError> {
        self.check()?;
        self.bans.retain(|_, (revision, ban)| ban.is_in_force(now_ms) || *revision > through);
        Ok(())
    }

    fn bans_after(&mut self, revision: u64, limit: usize) -> Result<Vec<(u64, Ban)>, StoreError> {
        self.check()?;
        let mut rows: Vec<_> = self.bans.values().filter(|(known, _)| *known > revision).cloned().collect();
        rows.sort_by_key(|(revision, _)| *revision);
        rows.truncate(limit);
        Ok(rows)
    }

    fn bans_behind(&mut self, key: &str, limit: usize) -> Result<Vec<Ban>, StoreError> {
        self.check()?;
        let bans = self.bans.iter().filter(|(known, (_, ban))| known.as_str() > key && ban.until_ms != Some(0));
        Ok(bans.take(limit).map(|(_, (_, ban))| ban.clone()).collect())
    }

    fn add_note(&mut self, note: &Note, keep: usize) -> Result<(), StoreError> {
        self.check()?;
        let number = self.notes.last().map_or(1, |(number, _)| number + 1);
        self.notes.push((number, note.clone()));
        self.notes.drain(..self.notes.len().saturating_sub(keep));
        Ok(())
    }

    fn notes(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, Note)>, StoreError> {
        self.check()?;
        Ok(self.notes.iter().rev().filter(|(number, _)| *number < before).take(limit).cloned().collect())
    }

    fn save_watcher(&mut self, relay: &RelayName, ticket: u64, told: u64) -> Result<(), StoreError> {
        self.check()?;
        self.watchers.insert(relay.clone(), (ticket, told));
        Ok(())
    }

    fn remove_watcher(&mut self, relay: &RelayName) -> Result<(), StoreError> {
        self.check()?;
        self.watchers.remove(relay);
        Ok(())
    }

    fn put_stats(
        &mut self,
        kind: StatsKind,
        minute: u64,
        reporter: &str,
        revision: u64,
        tally: &Tally,
    ) -> Result<(), StoreError> {
        self.check()?;
        let row = self.stats.entry((kind, minute, reporter.to_owned())).or_default();
        if revision >= row.0 {
            *row = (revision, tally.clone());
        }
        Ok(())
    }

    fn reported(&mut self, minute: u64, reporter: &str) -> Result<Option<(u64, Tally)>, StoreError> {
        self.check()?;
        Ok(self.stats.get(&(StatsKind::Open, minute, reporter.to_owned())).cloned())
    }

    fn stats(
        &mut self,
        kind: StatsKind,
        (from, behind): (u64, Option<&str>),
        through: u64,
        limit: usize,
    ) -> Result<Vec<(u64, String, Tally)>, StoreError> {
        self.check()?;
        let first = (kind, from, behind.unwrap_or_default().to_owned());
        let is_wanted = |(of, minute, reporter): &(StatsKind, u64, String)| {
            *of == kind
                && *minute <= through
                && behind.is_none_or(|behind| *minute > from || reporter.as_str() > behind)
        };
        let wanted = self.stats.range(first..).filter(|(key, _)| is_wanted(key)).take(limit);
        let wanted = wanted.map(|((_, minute, reporter), (_, tally))| (*minute, reporter.clone(), tally.clone()));
        let wanted: Vec<_> = wanted.collect();
        self.stats_at_once = self.stats_at_once.max(wanted.len());
        Ok(wanted)
    }

    fn drop_stats(&mut self, kind: StatsKind, through: u64) -> Result<(), StoreError> {
        self.check()?;
        self.stats.retain(|(of, minute, _), _| *of != kind || *minute > through);
        Ok(())
    }

    fn save_standing(&mut self, channel: &str, hook: &str, standing: &[u8], max: usize) -> Result<(), StoreError> {
        self.check()?;
        let key = (channel.to_owned(), hook.to_owned());
        self.standings.insert(key.clone(), standing.to_vec());
        while self.standings.len() > max {
            let other = self.standings.keys().find(|other| **other != key).cloned();
            self.standings.remove(&other.expect("more than one"));
        }
        Ok(())
    }

    fn remove_standing(&mut self, channel: &str, hook: &str) -> Result<(), StoreError> {
        self.check()?;
        self.standings.remove(&(channel.to_owned(), hook.to_owned()));
        Ok(())
    }

    fn standings(&mut self) -> Result<Vec<(String, String, Vec<u8>)>, StoreError> {
        self.check()?;
        let standings = self.standings.iter();
        Ok(standings.map(|((channel, hook), standing)| (channel.clone(), hook.clone(), standing.clone())).collect())
    }

    fn add_dead(&mut self, key: &str, channel: &str, dead: &[u8], max: usize) -> Result<(), StoreError> {
        self.check()?;
        if !self.dead.iter().any(|(_, known, ..)| known == key) {
            let number = self.dead.first().map_or(1, |(number, ..)| number + 1);
            self.dead.insert(0, (number, key.to_owned(), channel.to_owned(), dead.to_vec()));
            self.dead.truncate(max);
        }
        Ok(())
    }

    fn forget_dead(&mut self, channel: Option<&str>) -> Result<(), StoreError> {
        self.check()?;
        self.dead.retain(|(.., of, _)| channel.is_some_and(|channel| of != channel));
        Ok(())
    }

    fn dead(&mut self, before: u64, limit: usize) -> Result<Vec<(u64, String, Vec<u8>)>, StoreError> {
        self.check()?;
        self.dead_reads += 1;
        let dead = self.dead.iter().filter(|(number, ..)| *number < before).take(limit);
        Ok(dead.map(|(number, _, channel, events)| (*number, channel.clone(), events.clone())).collect())
    }
}

/// What an app's object answers.
#[allow(dead_code, reason = "not everybody asks")]
pub fn ask(app: &mut AppHost<AppMemory>, call: AppCall, now_ms: u64) -> Answer<AppResponse> {
    let mut outputs = app.turn(AppInput::Call { caller: CallerId(0), call }, now_ms);
    if outputs.iter().any(|output| matches!(output, AppOutput::MakeKeys)) {
        outputs = app.turn(AppInput::KeysMade(Some(push_keys())), now_ms);
    }
    let answer = outputs.into_iter().find_map(|output| match output {
        AppOutput::Answer { answer, .. } => Some(answer),
        _ => None,
    });
    answer.expect("an answer at once")
}

/// In the place of keys that the platform makes.
#[allow(dead_code, reason = "not everybody asks")]
pub fn push_keys() -> (Vec<u8>, Vec<u8>) {
    (vec![4; 65], vec![7; 32])
}
