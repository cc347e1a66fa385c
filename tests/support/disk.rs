//! An object's storage: what was written in one turn becomes durable together and in order, writes may fail, and a lost
//! process leaves only what was durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use courtside::call::{Hold, MembersQuery, RelayName};
use courtside::channel::store::{Row, Store, StoreError, Stored, StoredHolder, Totals};
use courtside::name::ChannelName;
use courtside::relay::record::RowId;
use courtside::serial::Position;
use courtside::wire::packed::Packed;
use courtside::wire::presence::MemberKey;

use super::memory_store::MemoryStore;
use super::random::Random;

/// A relay that is fed a channel.
type Follower = (ChannelName, RelayName);

#[derive(Debug)]
pub struct Disk {
    live: MemoryStore,
    followers: BTreeSet<Follower>,
    durable_followers: BTreeSet<Follower>,
    rows: BTreeMap<RowId, Vec<u8>>,
    durable_rows: BTreeMap<RowId, Vec<u8>>,
    alarm_ms: Option<u64>,
    durable: MemoryStore,
    durable_alarm_ms: Option<u64>,
    turn: Vec<Write>,
    pending: VecDeque<Vec<Write>>,
    written: Vec<Row>,
    random: Random,
    /// How many of a thousand accesses fail.
    pub failures: u64,
}

#[derive(Clone, Debug)]
enum Write {
    Meta(Vec<u8>),
    AddRelay(RelayName, bool),
    RemoveRelay(RelayName, bool),
    Append(Row),
    Trim(Position),
    Hold(String, Hold, Option<u64>),
    Follower(Follower, bool),
    Row(RowId, Option<Vec<u8>>),
    Alarm(Option<u64>),
}

impl Write {
    fn apply(&self, store: &mut MemoryStore) -> Result<(), StoreError> {
        match self {
            Write::Meta(meta) => store.save_meta(meta),
            Write::AddRelay(relay, direct) => store.add_relay(relay, *direct),
            Write::RemoveRelay(relay, direct) => store.remove_relay(relay, *direct),
            Write::Append(row) => store.append(row),
            Write::Trim(through) => store.trim(*through),
            Write::Hold(connection_id, hold, leaves_at_ms) => store.hold(connection_id, hold, *leaves_at_ms),
            Write::Follower(..) | Write::Row(..) | Write::Alarm(_) => Ok(()),
        }
    }

    fn apply_to_rows(&self, rows: &mut BTreeMap<RowId, Vec<u8>>) {
        match self {
            Write::Row(id, Some(value)) => drop(rows.insert(*id, value.clone())),
            Write::Row(id, None) => drop(rows.remove(id)),
            _ => {}
        }
    }

    fn apply_to_followers(&self, followers: &mut BTreeSet<Follower>) {
        match self {
            Write::Follower(follower, true) => drop(followers.insert(follower.clone())),
            Write::Follower(follower, false) => drop(followers.remove(follower)),
            _ => {}
        }
    }
}

impl Disk {
    pub fn new(random: Random) -> Disk {
        Disk {
            live: MemoryStore::default(),
            followers: BTreeSet::new(),
            durable_followers: BTreeSet::new(),
            rows: BTreeMap::new(),
            durable_rows: BTreeMap::new(),
            alarm_ms: None,
            durable: MemoryStore::default(),
            durable_alarm_ms: None,
            turn: Vec::new(),
            pending: VecDeque::new(),
            written: Vec::new(),
            random,
            failures: 0,
        }
    }

    pub fn alarm_ms(&self) -> Option<u64> {
        self.alarm_ms
    }

    /// As the platform does, it takes no alarm for 0.
    pub fn set_alarm(&mut self, alarm_ms: Option<u64>) {
        assert_ne!(alarm_ms, Some(0));
        self.alarm_ms = alarm_ms;
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
            write.apply_to_followers(&mut self.durable_followers);
            write.apply_to_rows(&mut self.durable_rows);
            match write {
                Write::Append(row) => rows.push(row),
                Write::Alarm(alarm_ms) => self.durable_alarm_ms = alarm_ms,
                _ => {}
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
        self.followers = self.durable_followers.clone();
        self.rows = self.durable_rows.clone();
        self.alarm_ms = self.durable_alarm_ms;
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

    /// Whom a relay feeds.
    pub fn followers(&mut self) -> Result<Vec<(ChannelName, RelayName)>, StoreError> {
        self.read()?;
        Ok(self.followers.iter().cloned().collect())
    }

    /// What sockets can't carry.
    pub fn rows(&mut self) -> Result<BTreeMap<RowId, Vec<u8>>, StoreError> {
        self.read()?;
        Ok(self.rows.clone())
    }

    pub fn change_rows(&mut self, rows: &[(RowId, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        rows.iter().try_for_each(|(id, value)| self.write(Write::Row(*id, value.clone())))
    }

    pub fn fed(&self) -> usize {
        self.followers.len()
    }

    pub fn add_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        self.write(Write::Follower((channel.clone(), relay.clone()), true))
    }

    pub fn remove_follower(&mut self, channel: &ChannelName, relay: &RelayName) -> Result<(), StoreError> {
        self.write(Write::Follower((channel.clone(), relay.clone()), false))
    }

    fn fails(&mut self) -> bool {
        self.failures > 0 && self.random.chance(self.failures)
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        let fails = self.fails();
        if !fails || self.random.chance(500) {
            write.apply(&mut self.live)?;
            write.apply_to_followers(&mut self.followers);
            write.apply_to_rows(&mut self.rows);
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

    fn rows_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.read()?.rows_after(after, limit)
    }

    fn rows_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, Packed)>, StoreError> {
        self.read()?.rows_before(through, limit)
    }

    fn totals_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, Totals)>, StoreError> {
        self.read()?.totals_after(after, limit)
    }

    fn keys_after(&mut self, after: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.read()?.keys_after(after, limit)
    }

    fn keys_before(&mut self, through: Position, limit: usize) -> Result<Vec<(Position, String)>, StoreError> {
        self.read()?.keys_before(through, limit)
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

    fn hold(&mut self, connection_id: &str, hold: &Hold, leaves_at_ms: Option<u64>) -> Result<(), StoreError> {
        self.write(Write::Hold(connection_id.to_owned(), hold.clone(), leaves_at_ms))
    }
}
