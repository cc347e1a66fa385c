//! A [`Store`] in memory that can be told to fail, for tests and the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use courtside::base::pinned;
use courtside::channel::StoredPush;
use courtside::channel::store::{
    Change, CountKey, Row, Share, Store, StoreError, Stored, StoredEnding, StoredHolder, StoredLatest, StoredMember,
    StoredVersion, Total, Totals,
};
use courtside::model::objects::parts::PartKey;
use courtside::model::objects::pool::Changes;
use courtside::model::packed::Packed;
use courtside::model::presence::MemberKey;
use courtside::model::revision::Target;
use courtside::model::serial::Position;
use courtside::rpc::{Lease, MembersQuery, RelayName};

#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    pub meta: Option<Vec<u8>>,
    pub hooks: Option<Vec<u8>>,
    pub relays: BTreeSet<RelayName>,
    pub relays_below: BTreeSet<RelayName>,
    pub rows: BTreeMap<Position, Row>,
    pub members: BTreeMap<MemberKey, StoredMember>,
    pub objects: BTreeMap<PartKey, Vec<u8>>,
    /// Of each message that has changed.
    pub latest: BTreeMap<Target, StoredVersion>,
    pub endings: BTreeMap<Target, StoredEnding>,
    pub versions: BTreeMap<(Target, u32), Packed>,
    pub said: Said,
    pub pushes: BTreeMap<(Position, usize), StoredPush>,
    /// The next append fails.
    pub fail_append: bool,
    /// ... but the row is kept.
    pub keep_failed: bool,
    /// The next load, read of rows or save of the meta fails.
    pub fail_load: bool,
    pub fail_rows: bool,
    pub fail_meta: bool,
    /// The next save of how far webhooks are fails.
    pub fail_hooks: bool,
    /// All of these fail, until told otherwise.
    pub is_broken: bool,
    /// What was read: rows and bytes of entries, and keys of so many rows.
    pub rows_read: usize,
    pub bytes_read: usize,
    pub keys_read: usize,
    /// Of messages that are annotated.
    pub counts_read: usize,
}

/// What is said of messages, and what it comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub annotations: BTreeMap<(Target, Position), Packed>,
    pub counts: BTreeMap<(Target, CountKey), Total>,
    pub shares: BTreeMap<(Target, CountKey, String), Share>,
}

impl MemoryStore {
    fn relays(&mut self, direct: bool) -> &mut BTreeSet<RelayName> {
        if direct { &mut self.relays } else { &mut self.relays_below }
    }

    fn apply(&mut self, changes: &Changes) {
        self.objects.retain(|key, _| key.key.is_none() || !changes.cleared.contains(&key.object));
        for (key, part) in &changes.parts {
            match part {
                Some(part) => drop(self.objects.insert(key.clone(), pinned::encode(part))),
                None => drop(self.objects.remove(key)),
            }
        }
    }

    fn revise(&mut self, version: &StoredVersion) {
        let (target, number) = (version.target, version.number);
        self.endings.remove(&target);
        if let Some(before) = self.latest.insert(target, version.clone())
            && before.number < number
        {
            self.versions.insert((target, before.number), before.entry);
        }
        if let Some(expired) = version.expired() {
            self.versions.retain(|(of, number), _| *of != target || *number > expired);
        }
    }

    fn read(&mut self, rows: Vec<(Position, Packed)>) -> Result<Vec<(Position, Packed)>, StoreError> {
        if std::mem::take(&mut self.fail_rows) || self.is_broken {
            return Err(StoreError("rows".into()));
        }
        self.rows_read += rows.len();
        self.bytes_read += rows.iter().map(|(_, row)| row.len()).sum::<usize>();
        Ok(rows)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        if std::mem::take(&mut self.fail_load) || self.is_broken {
            return Err(StoreError("load".into()));
        }
        let end = |row: Option<(&Position, &Row)>| row.map(|(position, row)| (*position, row.totals));
        Ok(Stored {
            meta: self.meta.clone(),
            relays: self.relays.iter().cloned().collect(),
            relays_below: self.relays_below.iter().cloned().collect(),
            newest: end(self.rows.last_key_value()),
            oldest: end(self.rows.first_key_value()),
            members: self.members.len(),
            objects: self.objects.get(&PartKey::SUMMARY).cloned(),
            revised: !self.latest.is_empty(),
            pushes: self.pushes.len(),
            hooks: self.hooks.clone(),
        })
    }

    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError> {
        if std::mem::take(&mut self.fail_meta) || self.is_broken {
            return Err(StoreError("meta".into()));
        }
        self.meta = Some(meta.to_vec());
        Ok(())
    }

    fn save_hooks(&mut self, hooks: &[u8]) -> Result<(), StoreError> {
        if std::mem::take(&mut self.fail_hooks) || self.is_broken {
            return Err(StoreError("hooks".into()));
        }
        self.hooks = Some(hooks.to_vec());
        Ok(())
    }

    fn add_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        self.relays(direct).insert(relay.clone());
        Ok(())
    }

    fn remove_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        self.relays(direct).remove(relay);
        Ok(())
    }

    fn append(&mut self, row: &Row) -> Result<(), StoreError> {
        let fails = std::mem::take(&mut self.fail_append);
        if !fails || self.keep_failed {
            if self.rows.contains_key(&row.position) {
                return Err(StoreError("the row exists".into()));
            }
            row.over.iter().for_each(|over| drop(self.rows.remove(over)));
            self.rows.insert(row.position, row.clone());
            for change in &row.changes {
                match change {
                    Change::Put(member) => drop(self.members.insert(member.key.clone(), member.clone())),
                    Change::Remove(key) => drop(self.members.remove(key)),
                    Change::Revise(version) => self.revise(version),
                    Change::Extend(ending) => {
                        let row = self.latest.get(&ending.target).map(|latest| latest.number);
                        assert_eq!(row, Some(ending.number), "an ending goes on from the row of its version");
                        self.endings.insert(ending.target, ending.clone());
                    }
                    Change::Lease(connection_id, lease, leaves_at_ms) => {
                        self.hold(connection_id, lease, *leaves_at_ms)?;
                    }
                    Change::Objects(changes) => self.apply(changes),
                    Change::Annotate(target, position, entry) => {
                        self.said.annotations.insert((*target, *position), entry.clone());
                    }
                    Change::Count(target, key, total) if total.total == 0 => {
                        self.said.counts.remove(&(*target, key.clone()));
                    }
                    Change::Count(target, key, total) => {
                        self.said.counts.insert((*target, key.clone()), *total);
                    }
                    Change::Push(push) => drop(self.pushes.insert((push.position, push.place), push.clone())),
                    Change::Say(target, key, client_id, share) => {
                        let place = (*target, key.clone(), client_id.clone());
                        match share {
                            Some(share) => self.said.shares.insert(place, *share),
                            None => self.said.shares.remove(&place),
                        };
                    }
                }
            }
        }
        if fails { Err(StoreError("append".into())) } else { Ok(()) }
    }

    fn trim(&mut self, through: Position) -> Result<(), StoreError> {
        self.rows.retain(|position, _| *position > through);
        self.endings.retain(|target, ending| target.position > through || ending.position > through);
        self.latest.retain(|target, latest| {
            target.position > through || latest.position > through || self.endings.contains_key(target)
        });
        self.versions.retain(|(target, _), _| target.position > through || self.latest.contains_key(target));
        self.said.annotations.retain(|(target, _), _| target.position > through);
        self.said.counts.retain(|(target, _), _| target.position > through);
        self.said.shares.retain(|(target, ..), _| target.position > through);
        Ok(())
    }

    fn purge(&mut self, through: Position, limit: usize) -> Result<bool, StoreError> {
        let last = self.rows.keys().copied().nth(limit - 1).filter(|last| *last < through);
        self.trim(last.unwrap_or(through))?;
        self.pushes.retain(|(position, _), _| *position > through);
        Ok(last.is_none())
    }

    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..).take(limit);
        let rows = rows.map(|(position, row)| (*position, row.entries.clone())).collect();
        self.read(rows)
    }

    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        let rows = self.rows.range(..=through).rev().take(limit);
        let rows = rows.map(|(position, row)| (*position, row.entries.clone())).collect();
        self.read(rows)
    }

    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..).take(limit);
        Ok(rows.map(|(position, row)| (*position, row.totals)).collect())
    }

    fn pushes(&mut self, limit: usize) -> Result<Vec<StoredPush>, StoreError> {
        Ok(self.pushes.values().take(limit).cloned().collect())
    }

    fn forget_pushes(&mut self, through: (Position, usize)) -> Result<usize, StoreError> {
        self.pushes.retain(|place, _| *place > through);
        Ok(self.pushes.len())
    }

    fn keys_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        let rows = self.rows.range(Position(after.0 + 1)..).take(limit);
        let keys: Vec<_> = rows.map(|(position, row)| (*position, row.keys.clone())).collect();
        self.keys_read += keys.len();
        Ok(keys)
    }

    fn keys_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        let rows = self.rows.range(..=through).rev().take(limit);
        let keys: Vec<_> = rows.map(|(position, row)| (*position, row.keys.clone())).collect();
        self.keys_read += keys.len();
        Ok(keys)
    }

    fn latest(&mut self, position: Position) -> Result<Vec<StoredLatest>, StoreError> {
        let all = Target { position, place: 0 }..=Target { position, place: usize::MAX };
        let ending = |target| self.endings.get(target).map(|ending| ending.bytes.clone());
        let stored = self.latest.range(all);
        let found: Vec<StoredLatest> = stored
            .map(|(target, latest)| StoredLatest { entry: latest.entry.clone(), ending: ending(target) })
            .collect();
        self.bytes_read += found.iter().map(|latest| latest.entry.len()).sum::<usize>();
        Ok(found)
    }

    fn versions(&mut self, target: Target, from: u32, forwards: bool, limit: usize) -> Result<Vec<Packed>, StoreError> {
        let found: Vec<Packed> = match forwards {
            true => {
                self.versions.range((target, from)..=(target, u32::MAX)).map(|(_, e)| e.clone()).take(limit).collect()
            }
            false => {
                self.versions.range((target, 0)..=(target, from)).rev().map(|(_, e)| e.clone()).take(limit).collect()
            }
        };
        self.bytes_read += found.iter().map(Packed::len).sum::<usize>();
        Ok(found)
    }

    fn member(&mut self, key: &MemberKey) -> Result<Option<Packed>, StoreError> {
        Ok(self.members.get(key).map(|stored| stored.member.clone()))
    }

    fn members(&mut self, query: &MembersQuery) -> Result<Vec<Packed>, StoreError> {
        let matches = |key: &MemberKey| {
            query.after.as_ref().is_none_or(|after| key > after)
                && query.client_id.as_ref().is_none_or(|client_id| key.client_id == *client_id)
                && query.connection_id.as_ref().is_none_or(|connection_id| key.connection_id == *connection_id)
        };
        let found = self.members.iter().filter(|(key, _)| matches(key)).take(query.limit);
        let found: Vec<Packed> = found.map(|(_, stored)| stored.member.clone()).collect();
        self.bytes_read += found.iter().map(Packed::len).sum::<usize>();
        Ok(found)
    }

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError> {
        let mut holders: Vec<StoredHolder> = Vec::new();
        for (key, stored) in &self.members {
            let (lease, leaves_at_ms) = (stored.lease.clone(), stored.leaves_at_ms);
            match holders.last_mut().filter(|last| last.connection_id == key.connection_id) {
                Some(last) => {
                    assert_eq!((&last.lease, last.leaves_at_ms), (&lease, leaves_at_ms), "one connection, one lease");
                    last.members += 1;
                }
                None => holders.push(StoredHolder {
                    connection_id: key.connection_id.clone(),
                    lease,
                    leaves_at_ms,
                    members: 1,
                }),
            }
        }
        Ok(holders)
    }

    fn hold(&mut self, connection_id: &str, lease: &Lease, leaves_at_ms: Option<u64>) -> Result<(), StoreError> {
        for (_, stored) in self.members.iter_mut().filter(|(key, _)| key.connection_id == connection_id) {
            (stored.lease, stored.leaves_at_ms) = (lease.clone(), leaves_at_ms);
        }
        Ok(())
    }

    fn object_part(&mut self, key: &PartKey) -> Result<Option<Vec<u8>>, StoreError> {
        if std::mem::take(&mut self.fail_rows) || self.is_broken {
            return Err(StoreError("objects".into()));
        }
        self.rows_read += 1;
        Ok(self.objects.get(key).cloned())
    }

    fn object_parts(&mut self, after: &PartKey, limit: usize) -> Result<Vec<(PartKey, Vec<u8>)>, StoreError> {
        if std::mem::take(&mut self.fail_rows) || self.is_broken {
            return Err(StoreError("objects".into()));
        }
        let parts = self.objects.range((Excluded(after), Unbounded)).take(limit);
        let parts: Vec<_> = parts.map(|(key, part)| (key.clone(), part.clone())).collect();
        self.rows_read += parts.len();
        self.bytes_read += parts.iter().map(|(_, part)| part.len()).sum::<usize>();
        Ok(parts)
    }

    fn change_objects(&mut self, changes: &Changes) -> Result<(), StoreError> {
        if std::mem::take(&mut self.fail_append) || self.is_broken {
            return Err(StoreError("objects".into()));
        }
        self.apply(changes);
        Ok(())
    }

    fn annotations(&mut self, target: Target, from: Position, limit: usize) -> Result<Vec<Packed>, StoreError> {
        let all = self.said.annotations.range((target, from)..=(target, Position(u64::MAX)));
        let found: Vec<Packed> = all.take(limit).map(|(_, entry)| entry.clone()).collect();
        self.bytes_read += found.iter().map(Packed::len).sum::<usize>();
        Ok(found)
    }

    fn counts(&mut self, target: Target) -> Result<Vec<(CountKey, Total)>, StoreError> {
        let nothing = CountKey { kind: String::new(), name: String::new() };
        let all = self.said.counts.range((target, nothing)..).take_while(|((of, _), _)| *of == target);
        Ok(all.map(|((_, key), total)| (key.clone(), *total)).collect())
    }

    fn counted(&mut self, first: Position, last: Position) -> Result<Vec<Target>, StoreError> {
        let all = self.said.counts.keys().map(|(target, _)| *target);
        let all: BTreeSet<Target> = all.filter(|target| (first..=last).contains(&target.position)).collect();
        self.counts_read += all.len();
        Ok(all.into_iter().collect())
    }

    fn shares(&mut self, target: Target, kind: &str, client_id: &str) -> Result<Vec<(String, Share)>, StoreError> {
        // What a client said is counted, too, so its names are among those.
        let keys = self.counts(target)?.into_iter().map(|(key, _)| key).filter(|key| key.kind == kind);
        let share = |key: CountKey| {
            let share = self.said.shares.get(&(target, key.clone(), client_id.to_owned()))?;
            Some((key.name, *share))
        };
        Ok(keys.filter_map(share).collect())
    }

    fn clients(&mut self, target: Target, key: &CountKey, limit: usize) -> Result<Vec<(String, u64)>, StoreError> {
        let from = (target, key.clone(), String::new());
        let all = self.said.shares.range(from..).take_while(|((of, counted, _), _)| *of == target && counted == key);
        let mut all: Vec<_> = all.map(|((_, _, client), share)| (share.since, client, share.count)).collect();
        if all.len() > limit {
            all.select_nth_unstable(limit);
            all.truncate(limit);
        }
        all.sort();
        Ok(all.into_iter().take(limit).map(|(_, client, count)| (client.clone(), count)).collect())
    }
}
