//! An object's storage: what was written in one turn becomes durable together and in order, writes may fail, and a lost
//! process leaves only what was durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use courtside::auth::{Ban, Revocation};
use courtside::channel::StoredPush;
use courtside::channel::store::{
    CountKey, Row, Share, Store, StoreError, Stored, StoredHolder, StoredLatest, Total, Totals,
};
use courtside::model::name::ChannelName;
use courtside::model::objects::parts::PartKey;
use courtside::model::objects::pool::Changes;
use courtside::model::packed::Packed;
use courtside::model::presence::MemberKey;
use courtside::model::revision::Target;
use courtside::model::serial::Position;
use courtside::object::store::{RelayStore, Watch};
use courtside::relay::record::RowId;
use courtside::rpc::{Lease, MembersQuery, RelayName, Watching};

use super::memory_store::MemoryStore;
use super::random::Random;

/// A relay that is fed a channel.
type Follower = (ChannelName, RelayName);

/// What is kept beside a channel.
#[derive(Clone, Debug, Default)]
struct Beside {
    followers: BTreeSet<Follower>,
    watch: Option<(Watching, u64)>,
    /// What sockets can't carry.
    rows: BTreeMap<RowId, Vec<u8>>,
    /// Sessions, by their client ids.
    kept: BTreeMap<String, Vec<u8>>,
    /// Connections, by their ids.
    lives: BTreeMap<String, Vec<u8>>,
    alarm_ms: Option<u64>,
}

#[derive(Debug)]
pub struct Disk {
    live: MemoryStore,
    durable: MemoryStore,
    live_beside: Beside,
    durable_beside: Beside,
    turn: Vec<Write>,
    pending: VecDeque<Vec<Write>>,
    written: Vec<Row>,
    /// Relays of which nobody knows whether they are stored.
    unsure: BTreeSet<RelayName>,
    random: Random,
    /// How many of a thousand accesses fail.
    pub failures: u64,
    /// Accesses that failed.
    pub failed: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Meta(Vec<u8>),
    Hooks(Vec<u8>),
    AddRelay(RelayName, bool),
    RemoveRelay(RelayName, bool),
    Append(Row),
    Trim(Position),
    Lease(String, Lease, Option<u64>),
    Objects(Changes),
    ForgetPushes((Position, usize)),
    Follower(Follower, bool),
    Watch(Option<(Watching, u64)>),
    Row(RowId, Option<Vec<u8>>),
    Kept(String, Option<Vec<u8>>),
    Life(String, Option<Vec<u8>>),
    Clear,
    Alarm(Option<u64>),
}

impl Write {
    fn apply(&self, store: &mut MemoryStore) -> Result<(), StoreError> {
        match self {
            Write::Meta(meta) => store.save_meta(meta),
            Write::Hooks(hooks) => store.save_hooks(hooks),
            Write::AddRelay(relay, direct) => store.add_relay(relay, *direct),
            Write::RemoveRelay(relay, direct) => store.remove_relay(relay, *direct),
            Write::Append(row) => store.append(row),
            Write::Trim(through) => store.trim(*through),
            Write::Lease(connection_id, lease, leaves_at_ms) => store.hold(connection_id, lease, *leaves_at_ms),
            Write::Objects(changes) => store.change_objects(changes),
            Write::ForgetPushes(through) => store.forget_pushes(*through).map(drop),
            Write::Clear => {
                *store = MemoryStore::default();
                Ok(())
            }
            Write::Follower(..) | Write::Watch(_) | Write::Alarm(_) => Ok(()),
            Write::Row(..) | Write::Kept(..) | Write::Life(..) => Ok(()),
        }
    }

    fn apply_beside(&self, beside: &mut Beside) {
        match self {
            Write::Follower(follower, true) => drop(beside.followers.insert(follower.clone())),
            Write::Follower(follower, false) => drop(beside.followers.remove(follower)),
            Write::Watch(watch) => beside.watch.clone_from(watch),
            Write::Row(id, Some(value)) => drop(beside.rows.insert(*id, value.clone())),
            Write::Row(id, None) => drop(beside.rows.remove(id)),
            Write::Kept(id, Some(value)) => drop(beside.kept.insert(id.clone(), value.clone())),
            Write::Kept(id, None) => drop(beside.kept.remove(id)),
            Write::Life(id, Some(value)) => drop(beside.lives.insert(id.clone(), value.clone())),
            Write::Life(id, None) => drop(beside.lives.remove(id)),
            Write::Alarm(alarm_ms) => beside.alarm_ms = *alarm_ms,
            Write::Clear => *beside = Beside { alarm_ms: beside.alarm_ms, ..Beside::default() },
            _ => {}
        }
    }
}

impl Disk {
    pub fn new(random: Random) -> Disk {
        Disk {
            live: MemoryStore::default(),
            durable: MemoryStore::default(),
            live_beside: Beside::default(),
            durable_beside: Beside::default(),
            turn: Vec::new(),
            pending: VecDeque::new(),
            written: Vec::new(),
            unsure: BTreeSet::new(),
            random,
            failures: 0,
            failed: 0,
        }
    }

    pub fn alarm_ms(&self) -> Option<u64> {
        self.live_beside.alarm_ms
    }

    /// As the platform does, it takes no alarm for 0.
    pub fn set_alarm(&mut self, alarm_ms: Option<u64>) {
        assert_ne!(alarm_ms, Some(0));
        self.live_beside.alarm_ms = alarm_ms;
        self.turn.push(Write::Alarm(alarm_ms));
    }

    /// Ends a turn. Gives whether it wrote anything, which [`Disk::sync`] is then to make durable.
    pub fn end_turn(&mut self) -> bool {
        let wrote = !self.turn.is_empty();
        if wrote {
            self.pending.push_back(std::mem::take(&mut self.turn));
        }
        wrote
    }

    /// Makes the oldest turn durable. Gives its rows.
    pub fn sync(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for write in self.pending.pop_front().into_iter().flatten() {
            write.apply(&mut self.durable).expect("what the live store took, the durable one takes");
            write.apply_beside(&mut self.durable_beside);
            if let Write::Append(row) = write {
                rows.push(row);
            }
        }
        rows
    }

    pub fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    /// The process is lost, and with it what was not durable yet.
    pub fn crash(&mut self) {
        self.live = self.durable.clone();
        self.live_beside = self.durable_beside.clone();
        self.turn.clear();
        self.pending.clear();
        self.written.clear();
    }

    /// The rows that were written since this was last asked, durable or not.
    pub fn take_written(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.written)
    }

    /// Who is stored as present, and by which event.
    pub fn present(&self) -> BTreeMap<(String, String), String> {
        let event = |packed: &Packed| packed.entries().expect("members are whole")[0].presence()[0].clone();
        let present = self.live.members.values().map(|stored| event(&stored.member));
        present.map(|event| ((event.connection_id, event.client_id), event.id)).collect()
    }

    pub fn stored(&self) -> &MemoryStore {
        &self.live
    }

    pub fn fed(&self) -> usize {
        self.live_beside.followers.len()
    }

    fn fails(&mut self) -> bool {
        let fails = self.failures > 0 && self.random.chance(self.failures);
        self.failed += u64::from(fails);
        fails
    }

    /// The relays that a channel is stored to feed, but for those of which the last write failed, and was done all the
    /// same: they are asked when the channel wakes next.
    pub fn relays(&self) -> BTreeSet<&RelayName> {
        self.live.relays.iter().filter(|relay| !self.unsure.contains(*relay)).collect()
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        let fails = self.fails();
        if let Write::AddRelay(relay, _) | Write::RemoveRelay(relay, _) = &write {
            self.unsure.remove(relay);
            self.unsure.extend(fails.then(|| relay.clone()));
        }
        if !fails || self.random.chance(500) {
            write.apply(&mut self.live)?;
            write.apply_beside(&mut self.live_beside);
            if let Write::Append(row) = &write {
                self.written.push(row.clone());
            }
            self.turn.push(write);
        }
        if fails { Err(StoreError("the disk failed".to_owned())) } else { Ok(()) }
    }

    fn read(&mut self) -> Result<&mut MemoryStore, StoreError> {
        if self.fails() { Err(StoreError("the disk could not be read".to_owned())) } else { Ok(&mut self.live) }
    }
}

impl Store for Disk {
    fn load(&mut self) -> Result<Stored, StoreError> {
        self.read()?.load()
    }

    fn save_meta(&mut self, meta: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Meta(meta.to_vec()))
    }

    fn save_hooks(&mut self, hooks: &[u8]) -> Result<(), StoreError> {
        self.write(Write::Hooks(hooks.to_vec()))
    }

    fn add_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        self.write(Write::AddRelay(relay.clone(), direct))
    }

    fn remove_relay(&mut self, relay: &RelayName, direct: bool) -> Result<(), StoreError> {
        self.write(Write::RemoveRelay(relay.clone(), direct))
    }

    fn append(&mut self, row: &Row) -> Result<(), StoreError> {
        self.write(Write::Append(row.clone()))
    }

    fn trim(&mut self, through: Position) -> Result<(), StoreError> {
        self.write(Write::Trim(through))
    }

    fn purge(&mut self, through: Position, _: usize) -> Result<bool, StoreError> {
        self.write(Write::ForgetPushes((through, usize::MAX)))?;
        self.write(Write::Trim(through)).map(|()| true)
    }

    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.read()?.rows_after(after, limit)
    }

    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.read()?.rows_before(through, limit)
    }

    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        self.read()?.totals_after(after, limit)
    }

    fn pushes(&mut self, limit: usize) -> Result<Vec<StoredPush>, StoreError> {
        self.read()?.pushes(limit)
    }

    fn forget_pushes(&mut self, through: (Position, usize)) -> Result<usize, StoreError> {
        self.write(Write::ForgetPushes(through))?;
        Ok(self.live.pushes.len())
    }

    fn keys_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.read()?.keys_after(after, limit)
    }

    fn keys_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.read()?.keys_before(through, limit)
    }

    fn latest(&mut self, position: Position) -> Result<Vec<StoredLatest>, StoreError> {
        self.read()?.latest(position)
    }

    fn versions(&mut self, target: Target, from: u32, forwards: bool, limit: usize) -> Result<Vec<Packed>, StoreError> {
        self.read()?.versions(target, from, forwards, limit)
    }

    fn member(&mut self, key: &MemberKey) -> Result<Option<Packed>, StoreError> {
        self.read()?.member(key)
    }

    fn members(&mut self, query: &MembersQuery) -> Result<Vec<Packed>, StoreError> {
        self.read()?.members(query)
    }

    fn holders(&mut self) -> Result<Vec<StoredHolder>, StoreError> {
        self.read()?.holders()
    }

    fn hold(&mut self, connection_id: &str, lease: &Lease, leaves_at_ms: Option<u64>) -> Result<(), StoreError> {
        self.write(Write::Lease(connection_id.to_owned(), lease.clone(), leaves_at_ms))
    }

    fn object_part(&mut self, key: &PartKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.read()?.object_part(key)
    }

    fn object_parts(&mut self, after: &PartKey, limit: usize) -> Result<Vec<(PartKey, Vec<u8>)>, StoreError> {
        self.read()?.object_parts(after, limit)
    }

    fn change_objects(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.write(Write::Objects(changes.clone()))
    }

    fn annotations(&mut self, target: Target, from: Position, limit: usize) -> Result<Vec<Packed>, StoreError> {
        self.read()?.annotations(target, from, limit)
    }

    fn counts(&mut self, target: Target) -> Result<Vec<(CountKey, Total)>, StoreError> {
        self.read()?.counts(target)
    }

    fn counted(&mut self, first: Position, last: Position) -> Result<Vec<Target>, StoreError> {
        self.read()?.counted(first, last)
    }

    fn shares(&mut self, target: Target, kind: &str, client_id: &str) -> Result<Vec<(String, Share)>, StoreError> {
        self.read()?.shares(target, kind, client_id)
    }

    fn clients(&mut self, target: Target, key: &CountKey, limit: usize) -> Result<Vec<(String, u64)>, StoreError> {
        self.read()?.clients(target, key, limit)
    }
}

impl RelayStore for Disk {
    fn secret(&mut self) -> Result<Vec<u8>, StoreError> {
        self.read()?;
        Ok(b"a secret of this object".to_vec())
    }

    fn watch(&mut self) -> Result<Option<Watch>, StoreError> {
        self.read()?;
        let ticket = |ticket| Some(ticket).filter(|ticket| *ticket > 0);
        let watch = self.live_beside.watch.clone();
        Ok(watch.map(|(Watching { watched, .. }, told)| Watch {
            ticket: ticket(watched.ticket),
            config: watched.config,
            told,
        }))
    }

    fn begin_watch(&mut self, watching: &Watching) -> Result<(), StoreError> {
        self.write(Write::Watch(Some((watching.clone(), 0))))
    }

    fn doubt_watch(&mut self) -> Result<(), StoreError> {
        let Some((mut watching, told)) = self.live_beside.watch.clone() else { return Ok(()) };
        watching.watched.ticket = 0;
        self.write(Write::Watch(Some((watching, told))))
    }

    fn save_told(&mut self, through: u64) -> Result<(), StoreError> {
        let Some((watching, _)) = self.live_beside.watch.clone() else { return Ok(()) };
        self.write(Write::Watch(Some((watching, through))))
    }

    fn end_watch(&mut self) -> Result<(), StoreError> {
        self.write(Write::Watch(None))
    }

    fn revocations(&mut self) -> Result<Vec<Revocation>, StoreError> {
        self.read()?;
        Ok(self.live_beside.watch.iter().flat_map(|(watching, _)| watching.watched.revocations.clone()).collect())
    }

    fn save_revocations(&mut self, revocations: &[Revocation]) -> Result<(), StoreError> {
        let Some((mut watching, told)) = self.live_beside.watch.clone() else { return Ok(()) };
        watching.watched.revocations.extend(revocations.iter().cloned());
        self.write(Write::Watch(Some((watching, told))))
    }

    fn save_config(&mut self, config: &str) -> Result<(), StoreError> {
        let Some((mut watching, told)) = self.live_beside.watch.clone() else { return Ok(()) };
        watching.watched.config = Some(config.to_owned());
        self.write(Write::Watch(Some((watching, told))))
    }

    fn bans(&mut self) -> Result<Vec<Ban>, StoreError> {
        self.read()?;
        Ok(self.live_beside.watch.iter().flat_map(|(watching, _)| watching.bans.clone()).collect())
    }

    fn save_bans(&mut self, bans: &[Ban]) -> Result<(), StoreError> {
        let Some((mut watching, told)) = self.live_beside.watch.clone() else { return Ok(()) };
        watching.bans.retain(|known| bans.iter().all(|ban| ban.key() != known.key()));
        watching.bans.extend(bans.iter().filter(|ban| ban.until_ms != Some(0)).cloned());
        self.write(Write::Watch(Some((watching, told))))
    }

    fn forget_revocations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let Some((mut watching, told)) = self.live_beside.watch.clone() else { return Ok(()) };
        watching.watched.revocations.retain(|revocation| revocation.forget_at_ms() > now_ms);
        watching.bans.retain(|ban| ban.is_in_force(now_ms));
        self.write(Write::Watch(Some((watching, told))))
    }

    fn followers(&mut self) -> Result<Vec<(ChannelName, RelayName)>, StoreError> {
        self.read()?;
        Ok(self.live_beside.followers.iter().cloned().collect())
    }

    fn add_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        self.write(Write::Follower((channel.clone(), relay.clone()), true))
    }

    fn remove_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        self.write(Write::Follower((channel.clone(), relay.clone()), false))
    }

    fn rows(&mut self) -> Result<Vec<(RowId, Vec<u8>)>, StoreError> {
        self.read()?;
        Ok(self.live_beside.rows.clone().into_iter().collect())
    }

    fn change_rows(&mut self, rows: &[(RowId, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        rows.iter().try_for_each(|(id, value)| self.write(Write::Row(*id, value.clone())))
    }

    fn kept(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read()?;
        Ok(self.live_beside.kept.clone().into_iter().collect())
    }

    fn change_kept(&mut self, kept: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        kept.iter().try_for_each(|(id, value)| self.write(Write::Kept(id.clone(), value.clone())))
    }

    fn lives(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read()?;
        Ok(self.live_beside.lives.clone().into_iter().collect())
    }

    fn change_lives(&mut self, lives: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        lives.iter().try_for_each(|(id, value)| self.write(Write::Life(id.clone(), value.clone())))
    }

    fn clear_rows(&mut self) -> Result<(), StoreError> {
        let ids: Vec<RowId> = self.live_beside.rows.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.write(Write::Row(id, None)))
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.write(Write::Clear)
    }
}
