//! Members that leave because their connection did: nobody of them says so.
//!
//! They may be a thousand, with 64 KiB each. So they are read page by page, and a commit takes no more than
//! [`COMMIT_MAX_BYTES`] of them; what is left then is due at once, and nobody enters by their connection before it is
//! done. That it has left is stored with its members, so that the next commit follows in another life of the object
//! too.

use crate::channel::Channel;
use crate::channel::log::Batch;
use crate::channel::store::{Change, Store, StoreError};
use crate::limits::{COMMIT_MAX_BYTES, LEAVES_PER_ENTRY, LEAVES_PER_ENTRY_BYTES};
use crate::model::message::{Content, Entry};
use crate::model::packed::Packed;
use crate::model::presence::{MemberKey, PresenceAction, PresenceMessage};
use crate::rpc::{MembersQuery, Publish};

use super::presence::{MEMBERS_FIRST_READ, event, member};

impl Channel {
    /// The members of a connection leave, but for one of that name, by an id that isn't of their connection. Gives
    /// whether the batch took all. If not, nobody stays.
    pub(super) fn place_leaves(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        (connection_id, stays): (&str, Option<&str>),
        (id, mut key): (String, String),
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let (mut part, mut after) = (0, None);
        loop {
            if batch.bytes() >= COMMIT_MAX_BYTES {
                if let Some((lease, leaves_at_ms)) = self.states.holders.leave_later(connection_id, key) {
                    batch.hold(connection_id, &lease, leaves_at_ms);
                }
                return Ok(false);
            }
            let (mut members, is_last) = members_behind(store, connection_id, after.take())?;
            after = members.last().map(PresenceMessage::key);
            members.retain(|member| !batch.members.contains_key(&member.key()));
            if is_last {
                members.extend(entered(batch, connection_id)?);
            }
            members.retain(|member| stays != Some(member.client_id.as_str()));
            let mut rest = members.as_mut_slice();
            while !rest.is_empty() {
                let (chunk, later) = rest.split_at_mut(chunk_length(rest));
                let id = if part == 0 { id.clone() } else { format!("{id}.{part}") };
                self.place_chunk(store, batch, chunk, (id, std::mem::take(&mut key)), now_ms)?;
                (rest, part) = (later, part + 1);
            }
            if is_last {
                break;
            }
        }
        if stays.is_none() || self.states.holders.members_of(store, connection_id)? == 0 {
            self.states.holders.all_left(connection_id);
        }
        Ok(true)
    }

    /// A connection is one client from now on, and may have entered others before.
    pub(super) fn place_others_leave(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        name: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let connection_id = publish.connection_id.as_deref().unwrap_or_default();
        let is_leaving = self.states.holders.leaving_key(connection_id).is_some();
        let key = MemberKey { connection_id: connection_id.to_owned(), client_id: name.to_owned() };
        let is_alone = self.states.holders.members_of(store, connection_id)? == 1;
        if is_leaving || is_alone && member(store, batch, &key)?.is_some() {
            return Ok(());
        }
        let position = batch.tip().next(now_ms);
        let key = self.window(store, now_ms)?.remember(publish, position);
        self.place_leaves(store, batch, (connection_id, Some(name)), (publish.id(), key), now_ms).map(drop)
    }

    /// One entry of leaves, of one connection.
    fn place_chunk(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        chunk: &mut [PresenceMessage],
        (id, key): (String, String),
        now_ms: u64,
    ) -> Result<(), StoreError> {
        for member in chunk.iter_mut() {
            self.mark_elsewhere(store, batch, member)?;
        }
        let leave = |(index, member): (usize, &PresenceMessage)| PresenceMessage {
            action: PresenceAction::Leave,
            id: format!("{id}:0:{index}"),
            ..member.clone()
        };
        let events = chunk.iter().enumerate().map(leave).collect();
        let changes = chunk.iter().map(|member| Change::Remove(member.key())).collect();
        let connection_id = chunk.first().map(|member| member.connection_id.clone());
        self.states.holders.left(connection_id.as_deref().unwrap_or_default(), chunk.len());
        let position = batch.tip().next(now_ms);
        batch.place(Entry { position, id, connection_id, content: Content::Presence(events) }, key, changes);
        Ok(())
    }

    /// Whether members may enter by this connection: those that it had before, when it left, are gone with this batch.
    pub(super) fn have_left(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        connection_id: &str,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        if self.states.holders.members_of(store, connection_id)? == 0 {
            return Ok(true);
        }
        let Some(key) = self.states.holders.leaving_key(connection_id) else { return Ok(true) };
        let id = synthesized(connection_id, batch);
        self.place_leaves(store, batch, (connection_id, None), (id, key), now_ms)
    }

    /// A commit of those who are leaving still.
    pub(super) fn go_on_leaving(&mut self, store: &mut impl Store, now_ms: u64) {
        if self.states.holders.leaving().is_some() && self.try_to_go_on_leaving(store, now_ms).is_err() {
            self.forget(now_ms);
        }
    }

    fn try_to_go_on_leaving(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.reload(store)?;
        let mut batch = Batch::new(self.log.tip());
        while let Some((connection_id, key)) = self.states.holders.leaving() {
            let id = synthesized(&connection_id, &batch);
            if !self.place_leaves(store, &mut batch, (&connection_id, None), (id, key), now_ms)? {
                break;
            }
        }
        self.log.append(store, batch)
    }
}

/// The id of leaves that nobody said.
pub(super) fn synthesized(connection_id: &str, batch: &Batch) -> String {
    format!("gone!{connection_id}@{}", batch.tip().0)
}

/// Members of a connection behind one: as many as fill an entry, or a few more; and whether those
/// are the last.
fn members_behind(
    store: &mut impl Store,
    connection_id: &str,
    after: Option<MemberKey>,
) -> Result<(Vec<PresenceMessage>, bool), StoreError> {
    let (connection_id, limit) = (Some(connection_id.to_owned()), MEMBERS_FIRST_READ);
    let mut query = MembersQuery { connection_id, limit, after, ..MembersQuery::default() };
    let (mut members, mut bytes) = (Vec::new(), 0);
    while members.len() < LEAVES_PER_ENTRY && bytes < LEAVES_PER_ENTRY_BYTES {
        let found = store.members(&query)?;
        bytes += found.iter().map(Packed::len).sum::<usize>();
        for member in &found {
            members.push(event(member)?);
        }
        if found.len() < limit {
            return Ok((members, true));
        }
        query.after = members.last().map(PresenceMessage::key);
    }
    Ok((members, false))
}

/// Members of a connection that the batch has entered.
fn entered(batch: &Batch, connection_id: &str) -> Result<Vec<PresenceMessage>, StoreError> {
    let first = MemberKey { connection_id: connection_id.to_owned(), client_id: String::new() };
    let mine = batch.members.range(first..).take_while(|(key, _)| key.connection_id == connection_id);
    mine.filter_map(|(_, member)| member.as_ref()).map(event).collect()
}

fn chunk_length(members: &[PresenceMessage]) -> usize {
    let mut bytes = 0;
    let fits = |member: &&PresenceMessage| {
        bytes += member.weight();
        bytes <= LEAVES_PER_ENTRY_BYTES
    };
    members.iter().take(LEAVES_PER_ENTRY).take_while(fits).count().max(1)
}
