//! Who holds the members' connections, and whether they still do: what keeps ghosts out (protocol.md § 10).
//!
//! A relay says when a connection is lost, and its members are then due to leave after a grace. But a relay may die
//! without a word, so while there are members the channel also asks each relay that holds some, now and then and when
//! there is reason to. Nobody leaves on suspicion alone: when the grace is over the relay is asked once more, and only
//! its word, or its silence, ends it. So a message that comes late, or twice, costs a question and no member.
//!
//! ```text
//!             lost, or not held              not held, or no answer for PROBE_TRY_MS
//!   held ───────────────────────▶ leaving ──────────────────────────────────────────▶ left
//!     ▲                              │
//!     └──── here, held, or enters ───┘
//! ```
//!
//! Who has left stays so, whatever comes late; its members go as fast as commits take them ([`super::leaves`]).

use std::collections::BTreeMap;

use super::State;
use super::leaves::synthesized;
use crate::base::maps::{HashMap, HashSet, SortedMap};
use crate::base::pause;
use crate::channel::log::Batch;
use crate::channel::store::{Store, StoreError, Stored, StoredHolder};
use crate::channel::{Channel, Effect};
use crate::limits::{PROBE_ANSWER_MS, PROBE_FIRST_MS, PROBE_INTERVAL_MS, PROBE_PAUSE_MS, PROBE_TRY_MS};
use crate::model::name::ChannelName;
use crate::rpc::{Lease, Probe, Probed, RelayName};

/// When members are due whose connection has left: a time before all others, and no word of a relay is asked for.
const LEFT_AT_MS: u64 = 0;

/// How late it is looked at most whether an answer has come.
const PROBE_LOOK_MS: u64 = 2 * PROBE_ANSWER_MS;

#[derive(Debug)]
pub struct Holders {
    /// Members, over all connections.
    count: usize,
    /// By connection. Read when it is first needed: a channel that only feeds relays needs the count alone.
    holders: Option<HashMap<String, Holder>>,
    /// When they are read at the latest, to ask for them.
    read_at_ms: u64,
    watches: SortedMap<RelayName, Watch>,
    probes: u64,
    /// Connections that have left and have members yet; and the key of what said so, until a row has it.
    leaving: BTreeMap<String, String>,
}

/// One connection that has members.
#[derive(Debug)]
struct Holder {
    relay: RelayName,
    grace_ms: u32,
    members: u32,
    leaves_at_ms: Option<u64>,
    /// The last probe that was called when something was last heard of it; its answer knows nothing of that.
    last_probe: u64,
}

/// One relay that holds connections with members.
#[derive(Debug)]
struct Watch {
    /// When to ask it.
    due_ms: u64,
    /// The question that is open, and since when.
    asked: Option<(u64, u64)>,
    silent_since_ms: Option<u64>,
}

/// What a relay's answer, or its silence, comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// These are there after all, or are missing now: until when they may be.
    changed: Vec<(String, Lease, Option<u64>)>,
    left: Vec<String>,
}

impl State for Holders {
    fn restore(stored: &Stored, now_ms: u64) -> Result<Holders, StoreError> {
        Ok(Holders::unread(stored.members, now_ms))
    }

    /// Answers to what was asked before may still come, and must not be taken for others.
    fn forget(&mut self, now_ms: u64) {
        *self = Holders { probes: self.probes, ..Holders::unread(self.count, now_ms) };
    }

    fn reload(&mut self, stored: &Stored) -> Result<(), StoreError> {
        (self.count, self.holders) = (stored.members, None);
        self.leaving.clear();
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        if self.holders.is_none() {
            return (self.count > 0).then_some(self.read_at_ms);
        }
        if !self.leaving.is_empty() {
            return Some(LEFT_AT_MS);
        }
        let due = |watch: &Watch| watch.asked.map_or(watch.due_ms, |(_, since_ms)| since_ms + PROBE_ANSWER_MS);
        self.watches.values().map(due).min()
    }
}

impl Holders {
    /// So many members, of whom nothing else is known yet.
    fn unread(count: usize, now_ms: u64) -> Holders {
        let read_at_ms = now_ms + PROBE_FIRST_MS;
        let (watches, leaving) = (SortedMap::default(), BTreeMap::new());
        Holders { count, holders: None, read_at_ms, watches, probes: 0, leaving }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Ask this relay soon: it may have lost what it held.
    pub fn doubt(&mut self, relay: &RelayName) {
        if let Some(watch) = self.watches.get_mut(relay) {
            watch.due_ms = 0;
        }
        if self.holders.is_none() {
            self.read_at_ms = 0;
        }
    }

    fn read(&mut self, store: &mut impl Store) -> Result<&mut HashMap<String, Holder>, StoreError> {
        if self.holders.is_none() {
            let mut holders = HashMap::default();
            for StoredHolder { connection_id, lease, leaves_at_ms, members } in store.holders()? {
                let relay = watched(&mut self.watches, &lease.relay, self.read_at_ms);
                if leaves_at_ms == Some(LEFT_AT_MS) {
                    self.leaving.insert(connection_id.clone(), String::new());
                } else if let (Some(watch), Some(at_ms)) = (self.watches.get_mut(&relay), leaves_at_ms) {
                    watch.due_ms = watch.due_ms.min(at_ms);
                }
                let (grace_ms, members) = (lease.grace_ms as u32, members as u32);
                holders.insert(connection_id, Holder { relay, grace_ms, members, leaves_at_ms, last_probe: 0 });
            }
            self.holders = Some(holders);
        }
        Ok(self.holders.as_mut().expect("set above"))
    }

    /// How many members a connection has. Reads what is stored, as everything below needs.
    pub fn members_of(&mut self, store: &mut impl Store, connection_id: &str) -> Result<usize, StoreError> {
        Ok(self.read(store)?.get(connection_id).map_or(0, |holder| holder.members as usize))
    }

    /// Numbers the questions to relays, whatever they are for.
    pub fn next_probe(&mut self) -> u64 {
        self.probes += 1;
        self.probes
    }

    fn known(&mut self, connection_id: &str) -> Option<&mut Holder> {
        self.holders.as_mut()?.get_mut(connection_id)
    }

    pub fn is_held_by(&mut self, connection_id: &str, relay: &RelayName) -> bool {
        self.known(connection_id).is_some_and(|holder| holder.relay == *relay)
    }

    /// So many more members, or fewer. Gives whether what is stored of the others must change.
    pub fn joined(&mut self, connection_id: &str, lease: &Lease, joined: isize, now_ms: u64) -> bool {
        self.count = self.count.saturating_add_signed(joined);
        let relay = watched(&mut self.watches, &lease.relay, now_ms + PROBE_INTERVAL_MS);
        let fresh = Holder { relay, grace_ms: 0, members: 0, leaves_at_ms: None, last_probe: 0 };
        let Some(holders) = &mut self.holders else { return false };
        let holder = holders.entry(connection_id.to_owned()).or_insert(fresh);
        let had_others = holder.members > 0;
        holder.members = holder.members.saturating_add_signed(joined as i32);
        let is_done = holder.members == 0;
        let changes = self.here(connection_id, lease, now_ms);
        if is_done {
            self.holders.as_mut().map(|holders| holders.remove(connection_id));
        }
        changes && had_others && !is_done
    }

    /// The first connection that has left and has members yet, and the key of what said so.
    pub fn leaving(&self) -> Option<(String, String)> {
        self.leaving.first_key_value().map(|(connection_id, key)| (connection_id.clone(), key.clone()))
    }

    /// The key of what said that this connection has left, while it has members yet.
    pub fn leaving_key(&self, connection_id: &str) -> Option<String> {
        self.leaving.get(connection_id).cloned()
    }

    /// So many of a connection's members left.
    pub fn left(&mut self, connection_id: &str, members: usize) {
        self.count -= members.min(self.count);
        if let Some(holder) = self.known(connection_id) {
            holder.members = holder.members.saturating_sub(members as u32);
        }
    }

    /// The last of a connection's members left.
    pub fn all_left(&mut self, connection_id: &str) {
        self.holders.as_mut().map(|holders| holders.remove(connection_id));
        self.leaving.remove(connection_id);
    }

    /// A connection has left, and others of its members are to follow. Gives how they are held and when they are due,
    /// if that is news.
    pub fn leave_later(&mut self, connection_id: &str, key: String) -> Option<(Lease, Option<u64>)> {
        self.leaving.insert(connection_id.to_owned(), key);
        let holder = self.known(connection_id).filter(|holder| !holder.has_left())?;
        holder.leaves_at_ms = Some(LEFT_AT_MS);
        Some((holder.hold(), holder.leaves_at_ms))
    }

    /// The connection is there. Gives whether that is news.
    pub fn here(&mut self, connection_id: &str, lease: &Lease, now_ms: u64) -> bool {
        let probes = self.probes;
        let relay = watched(&mut self.watches, &lease.relay, now_ms + PROBE_INTERVAL_MS);
        let Some(holder) = self.known(connection_id).filter(|holder| !holder.has_left()) else { return false };
        let is_known = holder.leaves_at_ms.is_none() && holder.relay == relay && holder.hold() == *lease;
        (holder.relay, holder.grace_ms) = (relay, lease.grace_ms as u32);
        (holder.leaves_at_ms, holder.last_probe) = (None, probes);
        !is_known
    }

    /// The connection's transport is lost. Gives when its members are due to leave, if that is news, and if it is the
    /// holder who says so.
    pub fn gone(&mut self, connection_id: &str, lease: &Lease, now_ms: u64) -> Option<u64> {
        let probes = self.probes;
        let leaves_at_ms = now_ms + lease.grace_ms;
        let holder = self.known(connection_id).filter(|holder| holder.relay == lease.relay)?;
        if holder.leaves_at_ms.is_some() {
            return None;
        }
        (holder.leaves_at_ms, holder.last_probe) = (Some(leaves_at_ms), probes);
        holder.grace_ms = lease.grace_ms as u32;
        let watch = self.watches.get_mut(&lease.relay)?;
        watch.due_ms = watch.due_ms.min(leaves_at_ms);
        Some(leaves_at_ms)
    }

    /// The questions that are due.
    fn ask(&mut self, channel: &ChannelName, now_ms: u64) -> Vec<Effect> {
        let Some(holders) = &self.holders else { return Vec::new() };
        let mut of_relay: HashMap<&RelayName, Vec<String>> = HashMap::default();
        let is_due = |watch: &Watch| watch.asked.is_none() && pause::is_over(watch.due_ms, PROBE_INTERVAL_MS, now_ms);
        if self.watches.values().any(is_due) {
            for (connection_id, holder) in holders.iter().filter(|(_, holder)| !holder.has_left()) {
                of_relay.entry(&holder.relay).or_default().push(connection_id.clone());
            }
        }
        self.watches.retain(|relay, watch| !is_due(watch) || of_relay.contains_key(relay));
        let mut effects = Vec::new();
        for (relay, watch) in self.watches.iter_mut().filter(|(_, watch)| is_due(watch)) {
            self.probes += 1;
            watch.asked = Some((self.probes, now_ms));
            let mut connections = of_relay.remove(relay).unwrap_or_default();
            connections.sort_unstable();
            let probe = Probe { channel: channel.clone(), connections, occupancy: None };
            effects.push(Effect::Probe { relay: relay.clone(), attempt: self.probes, probe });
        }
        effects
    }

    /// Relays that have been asked for too long, and the questions. Where the clock was set back, they were asked now.
    fn overdue(&mut self, now_ms: u64) -> Vec<(RelayName, u64)> {
        for (_, since_ms) in self.watches.values_mut().filter_map(|watch| watch.asked.as_mut()) {
            *since_ms = now_ms.min(*since_ms);
        }
        let overdue = |(relay, watch): (&RelayName, &Watch)| match watch.asked {
            Some((attempt, since_ms)) if since_ms + PROBE_ANSWER_MS <= now_ms => Some((relay.clone(), attempt)),
            _ => None,
        };
        self.watches.iter().filter_map(overdue).collect()
    }

    fn answered(
        &mut self,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Vec<String>>,
        now_ms: u64,
    ) -> Option<Verdict> {
        let watch = self.watches.get_mut(relay)?;
        let (_, since_ms) = watch.asked.filter(|(asked, _)| *asked == attempt)?;
        watch.asked = None;
        let silent_since_ms = match &answer {
            Some(_) => None,
            // No answer is missed long after it is due, unless the clock was set meanwhile.
            None => {
                let since_ms = since_ms.max(now_ms.saturating_sub(PROBE_LOOK_MS));
                Some(now_ms.min(*watch.silent_since_ms.get_or_insert(since_ms)))
            }
        };
        watch.silent_since_ms = silent_since_ms;
        watch.due_ms = now_ms + if answer.is_some() { PROBE_INTERVAL_MS } else { PROBE_PAUSE_MS };
        let missing: Option<HashSet<String>> = answer.map(|missing| missing.into_iter().collect());
        let mut verdict = Verdict::default();
        for (connection_id, holder) in self.holders.iter_mut().flatten().filter(|(_, holder)| holder.relay == *relay) {
            if holder.last_probe < attempt && !holder.has_left() {
                let is_missing = missing.as_ref().map(|missing| missing.contains(connection_id));
                holder.judge(connection_id, is_missing, silent_since_ms, now_ms, &mut verdict);
            }
            if let Some(leaves_at_ms) = holder.leaves_at_ms.filter(|at_ms| *at_ms > now_ms) {
                watch.due_ms = watch.due_ms.min(leaves_at_ms);
            }
        }
        verdict.left.sort_unstable();
        verdict.changed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Some(verdict)
    }
}

impl Holder {
    fn hold(&self) -> Lease {
        Lease { relay: self.relay.clone(), grace_ms: u64::from(self.grace_ms) }
    }

    fn has_left(&self) -> bool {
        self.leaves_at_ms == Some(LEFT_AT_MS)
    }

    /// `is_missing` is the relay's word, absent when it is silent.
    fn judge(
        &mut self,
        connection_id: &str,
        is_missing: Option<bool>,
        silent_since_ms: Option<u64>,
        now_ms: u64,
        verdict: &mut Verdict,
    ) {
        let grace_ms = u64::from(self.grace_ms);
        // Where the clock was set back, the grace begins anew.
        let leaves_at_ms = self.leaves_at_ms.map(|at_ms| at_ms.min(now_ms + grace_ms));
        let leaves_at_ms = match is_missing {
            Some(false) => None,
            Some(true) => Some(leaves_at_ms.unwrap_or(now_ms + grace_ms)),
            None => leaves_at_ms,
        };
        let ends_at_ms = match is_missing {
            Some(_) => leaves_at_ms,
            None => {
                let silent_at_ms = silent_since_ms.map_or(u64::MAX, |since_ms| since_ms + grace_ms);
                Some(leaves_at_ms.unwrap_or(silent_at_ms).min(silent_at_ms).saturating_add(PROBE_TRY_MS))
            }
        };
        if ends_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            verdict.left.push(connection_id.to_owned());
        } else if leaves_at_ms != self.leaves_at_ms {
            self.leaves_at_ms = leaves_at_ms;
            verdict.changed.push((connection_id.to_owned(), self.hold(), leaves_at_ms));
        }
    }
}

/// The one copy of a relay's name, and a watch on it. Nobody is asked for members that need no connection.
fn watched(watches: &mut SortedMap<RelayName, Watch>, relay: &RelayName, due_ms: u64) -> RelayName {
    if let Some(name) = watches.get_key(relay) {
        return name.clone();
    }
    if relay.is_nobody() {
        return relay.clone();
    }
    watches.insert(relay.clone(), Watch { due_ms, asked: None, silent_since_ms: None });
    relay.clone()
}

impl Channel {
    /// A relay's answer to [`Effect::Probe`], or that it gave none.
    pub fn probed(
        &mut self,
        store: &mut impl Store,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Probed>,
        now_ms: u64,
    ) -> Vec<Effect> {
        let local_occupancy = answer.as_ref().map(|answer| answer.local_occupancy);
        self.states.occupants.answered(relay, attempt, local_occupancy, now_ms);
        if !self.asks(relay) {
            // It had nobody when it was asked before, and somebody came: it takes what it answers for known.
            let has_somebody = local_occupancy.is_some_and(|local_occupancy| !local_occupancy.here.is_empty());
            if !has_somebody || self.note_below(store, relay, false).is_err() {
                self.states.occupants.forget(relay);
            }
        }
        if local_occupancy.is_some_and(|local_occupancy| local_occupancy.here.is_empty()) {
            self.feeds.doubt(relay);
            self.leave_below(store, relay, attempt);
        }
        self.settle(store, relay, attempt, answer.map(|answer| answer.missing), now_ms);
        let mut effects = self.states.holders.ask(&self.meta.address.channel, now_ms);
        effects.extend(self.follow_up(store, now_ms));
        effects
    }

    fn settle(
        &mut self,
        store: &mut impl Store,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Vec<String>>,
        now_ms: u64,
    ) {
        let Some(verdict) = self.states.holders.answered(relay, attempt, answer, now_ms) else { return };
        if self.carry_out(store, verdict, now_ms).is_err() {
            // What isn't known to be stored is asked for again.
            self.forget(now_ms);
        }
    }

    fn carry_out(&mut self, store: &mut impl Store, verdict: Verdict, now_ms: u64) -> Result<(), StoreError> {
        self.reload(store)?;
        for (connection_id, lease, leaves_at_ms) in verdict.changed {
            store.hold(&connection_id, &lease, leaves_at_ms)?;
        }
        let mut batch = Batch::new(self.log.tip());
        for connection_id in verdict.left {
            let id = synthesized(&connection_id, &batch);
            self.place_leaves(store, &mut batch, (&connection_id, None), (id, String::new()), now_ms)?;
        }
        self.log.append(store, batch)
    }

    /// Asks what is due to be asked.
    pub(in crate::channel) fn call_probes(&mut self, store: &mut impl Store, now_ms: u64) -> Vec<Effect> {
        if self.states.holders.count == 0 {
            self.states.holders.watches.clear();
            return Vec::new();
        }
        // Even before that is due: what woke the channel may be that somebody is to leave.
        if self.states.holders.read(store).is_err() {
            self.states.holders.read_at_ms = now_ms + PROBE_PAUSE_MS;
        }
        self.go_on_leaving(store, now_ms);
        for (relay, attempt) in self.states.holders.overdue(now_ms) {
            self.settle(store, &relay, attempt, None, now_ms);
        }
        self.states.holders.ask(&self.meta.address.channel, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_questions_are_not_used_again_when_a_write_fails() {
        let mut holders = Holders::unread(0, 0);
        let asked = holders.next_probe();
        holders.forget(0);
        assert!(holders.next_probe() > asked);
    }
}
