//! The presence set: who is there, by what was said last (protocol.md § 10).
//!
//! The set is a function of the log: every change of it is an event there, written in the same transaction as the rows
//! of the members that it changes, so that neither can be without the other. What members say of themselves stays in
//! storage; memory has their number and the connections that hold them ([`super::holders`]).
//!
//! What is newer is decided by the place of an event on its connection, never by arrival: a repeat of what was answered
//! without an event finds a newer member and changes nothing.

use std::collections::BTreeMap;

use crate::base::maps::HashMap;
use crate::channel::Channel;
use crate::channel::log::{Batch, decoded};
use crate::channel::store::{Change, Store, StoreError, StoredMember};
use crate::error::{Code, ErrorInfo};
use crate::limits::{MEMBERS_PAGE_BYTES, MEMBERS_PER_CONNECTION_MAX, USERS_MAX};
use crate::model::message::{Content, Entry};
use crate::model::packed::Packed;
use crate::model::presence::{ELSEWHERE, MemberKey, PresenceAction, PresenceMessage, Said, is_of_users};
use crate::rpc::{Answer, ConnectionOutcome, Lease, MembersPage, MembersQuery, Outcome, PresenceUpdate, Publish};

/// Members that are read at first for a page, and at a time behind short ones: each may have 64 KiB.
pub(super) const MEMBERS_FIRST_READ: usize = 8;
const MEMBERS_READ_MAX: usize = 64;

/// What a batch does to the set, before it is written: a member's entry, or that it left.
pub type Pending = BTreeMap<MemberKey, Option<Packed>>;

impl Channel {
    /// Takes the events that say something new, and gives them one place. `is_late` when the connection was heard to
    /// say later things before. Refused as a whole with 91003 when the channel, or the connection, has all the members
    /// it may have.
    pub(in crate::channel) fn place_presence(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        (lease, updates): (&Lease, &[PresenceUpdate]),
        is_late: bool,
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        let connection_id = publish.connection_id.as_deref().unwrap_or_default();
        if !self.have_left(store, batch, connection_id, now_ms)? {
            let refusal = "members of this connection are leaving; try again";
            return Ok(Outcome::Refused(Code::PublishRateLimited.because(refusal)));
        }
        let mut staged = Staged::default();
        for update in updates {
            let key = update.event.key();
            let member = match staged.members.get(&key) {
                Some(member) => member.clone(),
                None => member(store, batch, &key)?,
            };
            let Some(mut event) = news(update, member.as_ref()) else {
                if member.is_none() {
                    self.states.untold.note(&update.event);
                }
                continue;
            };
            if member.is_none() {
                match self.left_since(store, (batch, &staged), update, is_late, now_ms)? {
                    Some(true) => continue,
                    Some(false) => {}
                    None => return Ok(Outcome::Refused(crate::channel::commit::unsure())),
                }
                // Clients of Pusher know no updates, and are told when who came so leaves.
                if event.action == PresenceAction::Update && is_of_users(&self.meta.address.channel) {
                    event.action = PresenceAction::Enter;
                }
            }
            self.states.untold.outdated(&key);
            self.mark_elsewhere(store, batch, &mut event)?;
            staged.take(key, event, member.is_some());
        }
        if staged.events.is_empty() {
            return Ok(Outcome::Accepted { position: batch.tip(), count: 0 });
        }
        let held = self.states.holders.members_of(store, connection_id)?;
        if let Some(refusal) = staged.refusal(self.meta.rules.max_members as usize, self.states.holders.count(), held) {
            return Ok(Outcome::Refused(refusal));
        }
        let position = batch.tip().next(now_ms);
        let key = self.window(store, now_ms)?.remember(publish, position);
        let entry = |events| Entry {
            position,
            id: publish.id(),
            connection_id: publish.connection_id.clone(),
            content: Content::Presence(events),
        };
        let changes = staged.members.into_iter().map(|(key, member)| match member {
            Some(event) => {
                let member = Packed::one(&entry(vec![PresenceMessage { action: PresenceAction::Present, ..event }]));
                Change::Put(StoredMember { key, lease: lease.clone(), leaves_at_ms: None, member })
            }
            None => Change::Remove(key),
        });
        batch.push(publish, entry(staged.events), key, changes.collect());
        if self.states.holders.joined(connection_id, lease, staged.joined, now_ms) {
            // Others of its members were about to leave.
            batch.hold(connection_id, lease, None);
        }
        Ok(Outcome::Accepted { position, count: 0 })
    }

    /// Says with an event of a channel whose users are told apart by their clientIds (protocol.md § 26.4) whether its
    /// client is there by another connection too: then nobody comes or goes. In larger sets nobody is told so; they
    /// are not given out in one piece either.
    pub(super) fn mark_elsewhere(
        &self,
        store: &mut impl Store,
        batch: &Batch,
        event: &mut PresenceMessage,
    ) -> Result<(), StoreError> {
        if !is_of_users(&self.meta.address.channel) {
            return Ok(());
        }
        let mut extras = event.extras.take().unwrap_or_default();
        extras.remove(ELSEWHERE);
        if self.states.holders.count() <= USERS_MAX && is_elsewhere(store, batch, &event.key())? {
            extras.insert(ELSEWHERE.to_owned(), true.into());
        }
        event.extras = Some(extras).filter(|extras| !extras.is_empty());
        Ok(())
    }

    /// Whether a member that isn't there left by what its connection said later: later than the event, or than the one
    /// by which the client takes itself to be there. The relay may have given up an event, and the client sent it again
    /// when it was long gone; those who saw the leave would not believe it. And a client that left while it was away
    /// enters again as it attaches, since it has not seen its leave.
    fn left_since(
        &mut self,
        store: &mut impl Store,
        (batch, staged): (&Batch, &Staged),
        PresenceUpdate { event, known }: &PresenceUpdate,
        is_late: bool,
        now_ms: u64,
    ) -> Result<Option<bool>, StoreError> {
        let (key, Some(turn)) = (event.key(), event.turn()) else { return Ok(Some(false)) };
        if staged.members.contains_key(&key) {
            return Ok(Some(known.is_some()));
        }
        let unwritten = batch.said(&key).max(self.states.untold.said(&key));
        let from = known.map_or(turn, |known| known.min(turn)).msg_serial;
        let may_have_left = known.is_some() && self.window(store, now_ms)?.may_have_left(&key.connection_id, from);
        let written = match is_late || may_have_left {
            true => self.repeats.said_last(&self.log, store, &key, from, now_ms)?,
            false => Some(None),
        };
        let outdates = |last: Said| last.turn > turn || last.is_leave && known.is_some_and(|known| last.turn > known);
        Ok(written.map(|written| written.max(unwritten).is_some_and(outdates)))
    }

    /// Takes note of what became of a connection. Says nothing of one without members, nor when another relay says so
    /// than the one that holds it: that comes too late.
    pub(in crate::channel) fn place_outcome(
        &mut self,
        store: &mut impl Store,
        batch: &mut Batch,
        publish: &Publish,
        (lease, outcome): (&Lease, &ConnectionOutcome),
        now_ms: u64,
    ) -> Result<Outcome, StoreError> {
        let accepted = Ok(Outcome::Accepted { position: batch.tip(), count: 0 });
        let connection_id = publish.connection_id.as_deref().unwrap_or_default();
        // Remembered whatever it changes: one that comes again, late, must not take away who has entered since.
        let position = batch.tip().next(now_ms);
        let key = match outcome {
            ConnectionOutcome::Left => self.window(store, now_ms)?.remember(publish, position),
            ConnectionOutcome::Here | ConnectionOutcome::HereAs(_) | ConnectionOutcome::Gone => String::new(),
        };
        if self.states.holders.members_of(store, connection_id)? == 0 {
            return accepted;
        }
        if let ConnectionOutcome::HereAs(name) = outcome {
            self.place_others_leave(store, batch, publish, name, now_ms)?;
        }
        match outcome {
            ConnectionOutcome::Here | ConnectionOutcome::HereAs(_) => {
                if self.states.holders.here(connection_id, lease, now_ms) {
                    batch.hold(connection_id, lease, None);
                }
            }
            ConnectionOutcome::Gone => {
                if let Some(leaves_at_ms) = self.states.holders.gone(connection_id, lease, now_ms) {
                    batch.hold(connection_id, lease, Some(leaves_at_ms));
                }
            }
            ConnectionOutcome::Left if self.states.holders.is_held_by(connection_id, &lease.relay) => {
                self.place_leaves(store, batch, (connection_id, None), (publish.id(), key), now_ms)?;
            }
            ConnectionOutcome::Left => {}
        }
        accepted
    }

    /// A page of the set.
    pub fn members(&mut self, store: &mut impl Store, query: &MembersQuery) -> Answer<MembersPage> {
        let page = self.reload(store).and_then(|()| page(store, query));
        page.map_err(crate::channel::storage_failed)
    }
}

/// What one publish does to the set.
#[derive(Default)]
struct Staged {
    events: Vec<PresenceMessage>,
    members: HashMap<MemberKey, Option<PresenceMessage>>,
    joined: isize,
}

impl Staged {
    fn take(&mut self, key: MemberKey, event: PresenceMessage, was_member: bool) {
        let stays = event.action != PresenceAction::Leave;
        self.joined += isize::from(stays) - isize::from(was_member);
        self.members.insert(key, stays.then(|| event.clone()));
        self.events.push(event);
    }

    fn refusal(&self, max: usize, members: usize, of_connection: usize) -> Option<ErrorInfo> {
        let exceeds = |count: usize, max: usize| self.joined > 0 && count.saturating_add_signed(self.joined) > max;
        if exceeds(members, max) {
            return Some(Code::TooManyMembers.because(format!("this channel has at most {max} members")));
        }
        let refusal = format!("a connection enters at most {MEMBERS_PER_CONNECTION_MAX} members");
        exceeds(of_connection, MEMBERS_PER_CONNECTION_MAX).then(|| Code::TooManyMembers.because(refusal))
    }
}

/// The event as it happened, or nothing: what is not newer than the member, who leaves without being there, and who
/// enters by an event that the set knows.
fn news(update: &PresenceUpdate, member: Option<&PresenceMessage>) -> Option<PresenceMessage> {
    let event = update.event.clone();
    let Some(member) = member else { return (event.action != PresenceAction::Leave).then_some(event) };
    let turn = member.turn();
    if turn >= event.turn() || (update.known.is_some() && turn >= update.known) {
        return None;
    }
    if event.action == PresenceAction::Leave && event.data.is_absent() {
        let (data, encoding) = (member.data.clone(), member.encoding.clone());
        return Some(PresenceMessage { data, encoding, ..event });
    }
    Some(event)
}

/// Whether the client is a member by another connection, as far as the batch has come. The members of one publish are
/// of one connection.
fn is_elsewhere(store: &mut impl Store, batch: &Batch, key: &MemberKey) -> Result<bool, StoreError> {
    let is_other = |other: &MemberKey| other.client_id == key.client_id && other.connection_id != key.connection_id;
    if batch.members.iter().any(|(other, member)| is_other(other) && member.is_some()) {
        return Ok(true);
    }
    let client_id = Some(key.client_id.clone());
    let mut query = MembersQuery { client_id, limit: MEMBERS_FIRST_READ, ..MembersQuery::default() };
    loop {
        let page = page(store, &query)?;
        let is_there = |other: &PresenceMessage| is_other(&other.key()) && !batch.members.contains_key(&other.key());
        if events(&page.members)?.iter().any(is_there) {
            return Ok(true);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(false),
        }
    }
}

pub(super) fn member(
    store: &mut impl Store,
    batch: &Batch,
    key: &MemberKey,
) -> Result<Option<PresenceMessage>, StoreError> {
    let packed = match batch.members.get(key) {
        Some(member) => member.clone(),
        None => store.member(key)?,
    };
    packed.as_ref().map(event).transpose()
}

pub(super) fn event(packed: &Packed) -> Result<PresenceMessage, StoreError> {
    let entry = decoded(packed)?.pop();
    let damaged = || StoreError("a stored member is damaged".to_owned());
    entry.and_then(|entry| entry.presence().first().cloned()).ok_or_else(damaged)
}

/// The members of a page.
fn events(members: &Packed) -> Result<Vec<PresenceMessage>, StoreError> {
    Ok(decoded(members)?.iter().flat_map(|entry| entry.presence().iter().cloned()).collect())
}

/// One more than is asked for is read, to know whether another page follows; of large members, few that don't fit.
fn page(store: &mut impl Store, query: &MembersQuery) -> Result<MembersPage, StoreError> {
    let mut page = MembersPage { members: Packed::default(), next: None };
    let (mut count, mut limit) = (0, MEMBERS_FIRST_READ);
    let mut after = query.after.clone();
    loop {
        let limit_here = limit.min(query.limit + 1 - count);
        let found = store.members(&MembersQuery { limit: limit_here, after: after.clone(), ..query.clone() })?;
        for (index, member) in found.iter().enumerate() {
            let is_full = !page.members.is_empty() && page.members.len() + member.len() > MEMBERS_PAGE_BYTES;
            if count == query.limit || is_full {
                page.next = key_of_last(&found[..index])?.or(after);
                return Ok(page);
            }
            page.members.append(member);
            count += 1;
        }
        if found.len() < limit_here {
            return Ok(page);
        }
        after = key_of_last(&found)?;
        let average = page.members.len().div_ceil(count.max(1)).max(1);
        limit = (MEMBERS_PAGE_BYTES.saturating_sub(page.members.len()) / average + 1).min(MEMBERS_READ_MAX);
    }
}

fn key_of_last(members: &[Packed]) -> Result<Option<MemberKey>, StoreError> {
    members.last().map(|member| event(member).map(|event| event.key())).transpose()
}
