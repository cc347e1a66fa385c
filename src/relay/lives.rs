//! Connections whose beginning and end a webhook is told (docs/webhooks.md): a row for each, from before its client
//! knows that it is connected until the channel that keeps these events has its end.
//!
//! A relay that was killed finds rows without connections. Those have as long to come back, as any connection has
//! that lost its transport, and are then told to have ended. What was told and not noted is told again, by the same id.

mod life;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use life::Life;
use life::{End, Event, What};

use super::calls::Pending;
use super::session::Session;
use super::{Effect, Relay};
use crate::auth::Source;
use crate::base::pinned;
use crate::limits::{LIVES_LOOKS, LIVES_MAX, LIVES_PER_CALL, LIVES_RETRY_MS};
use crate::model::message::Message;
use crate::model::name::ChannelName;
use crate::rpc::{Answer, Outcome, Publish, PublishKey, Request, Response, Submission};

/// Those of one relay.
#[derive(Debug, Default)]
pub struct Lives {
    rows: BTreeMap<String, Life>,
    /// Whose ends are on their way to the channel. One that comes back begins another life.
    ended: BTreeSet<String>,
    /// Without a transport, until when they may come back.
    lost: BTreeMap<String, u64>,
    /// When the first of these may be over: not later than it is.
    lost_due_ms: Option<u64>,
    changed: Vec<String>,
    to_tell: VecDeque<Event>,
    /// On its way to the channel, under this id.
    telling: Option<(String, Vec<Event>)>,
    is_called: bool,
    calls: u64,
    not_before_ms: u64,
    watch_ms: Option<u64>,
}

impl Lives {
    pub fn is_full(&self) -> bool {
        self.rows.len() + self.to_tell.len() >= LIVES_MAX
    }

    /// Rows that outlived the relay's memory. Whoever is still here says so.
    fn found(&mut self, rows: Vec<(String, Vec<u8>)>, until_ms: u64) {
        for (connection_id, row) in rows {
            // One that cannot be read stays for a build that can.
            let Some(life) = Life::decode(&row) else { continue };
            if !life.is_told {
                self.tell(&connection_id, &life, What::Opened);
            }
            self.await_return(&connection_id, life.lost_until_ms.unwrap_or(until_ms));
            self.rows.insert(connection_id, life);
        }
    }

    /// The connection has a transport.
    pub fn is_here(&mut self, connection_id: &str) {
        self.lost.remove(connection_id);
        if self.rows.get_mut(connection_id).is_some_and(|life| life.lost_until_ms.take().is_some()) {
            self.changed.push(connection_id.to_owned());
        }
    }

    /// The next life of the memory does not begin to wait anew.
    fn note_lost(&mut self) {
        for (connection_id, until_ms) in &self.lost {
            let Some(life) = self.rows.get_mut(connection_id) else { continue };
            if life.lost_until_ms.replace(*until_ms).is_none() {
                self.changed.push(connection_id.clone());
            }
        }
    }

    fn begin(&mut self, connection_id: &str, life: Life) {
        self.is_here(connection_id);
        if self.ended.remove(connection_id) || !self.rows.contains_key(connection_id) {
            self.tell(connection_id, &life, What::Opened);
            self.rows.insert(connection_id.to_owned(), life);
            self.changed.push(connection_id.to_owned());
        }
    }

    fn tell(&mut self, connection_id: &str, life: &Life, what: What) {
        self.to_tell.push_back(Event { connection_id: connection_id.to_owned(), life: life.clone(), what });
    }

    /// Its transport is gone.
    fn lose(&mut self, connection_id: &str, until_ms: u64) {
        if self.rows.contains_key(connection_id) {
            self.await_return(connection_id, until_ms);
        }
    }

    fn await_return(&mut self, connection_id: &str, until_ms: u64) {
        self.lost.insert(connection_id.to_owned(), until_ms);
        self.lost_due_ms = Some(self.lost_due_ms.map_or(until_ms, |due_ms| due_ms.min(until_ms)));
    }

    fn end(&mut self, connection_id: &str, end: End) {
        self.lost.remove(connection_id);
        if let Some(life) = self.rows.get(connection_id).cloned() {
            self.ended.insert(connection_id.to_owned());
            self.tell(connection_id, &life, What::Closed(end));
        }
    }

    /// The connection ended by an error just now.
    pub fn explain(&mut self, connection_id: &str, code: u32) {
        if let Some(Event { connection_id: id, what: What::Closed(end), .. }) = self.to_tell.back_mut()
            && id == connection_id
        {
            end.code = Some(code);
        }
    }

    pub fn set_back(&mut self, now_ms: u64) {
        self.not_before_ms = now_ms.min(self.not_before_ms);
        self.watch_ms = self.watch_ms.map(|watch_ms| now_ms.min(watch_ms));
    }

    fn end_lost(&mut self, now_ms: u64) {
        if self.lost_due_ms.is_none_or(|due_ms| due_ms > now_ms) {
            return;
        }
        let over: Vec<String> =
            self.lost.iter().filter(|(_, until_ms)| **until_ms <= now_ms).map(|(id, _)| id.clone()).collect();
        over.iter().for_each(|id| self.end(id, End { at_ms: now_ms, code: None, is_lost: true }));
        self.lost_due_ms = self.lost.values().min().copied();
    }

    /// No webhook wants to hear of them any more.
    fn clear(&mut self) {
        self.changed.extend(std::mem::take(&mut self.rows).into_keys());
        *self = Lives { changed: std::mem::take(&mut self.changed), calls: self.calls, ..Lives::default() };
    }

    /// When the relay is next needed for them. An object that is killed has no socket that would wake it.
    pub fn due_ms(&self) -> Option<u64> {
        let waits = !self.is_called && (self.telling.is_some() || !self.to_tell.is_empty());
        let telling = waits.then_some(self.not_before_ms);
        telling.into_iter().chain(self.lost_due_ms).chain(self.watch_ms).min()
    }

    /// What the channel is to be told next: the same again, when it is not known whether it has it.
    fn next(&mut self, relay: &str, seed: u64) -> Option<(String, Vec<Message>)> {
        if self.telling.is_none() {
            let count = self.to_tell.len().min(LIVES_PER_CALL);
            let events: Vec<Event> = self.to_tell.drain(..count).collect();
            self.calls += 1;
            self.telling = (!events.is_empty()).then(|| (format!("{relay}.{seed}.{}", self.calls), events));
        }
        let (id, events) = self.telling.as_ref()?;
        let message = |event: &Event| event.life.message(&event.connection_id, event.what);
        Some((id.clone(), events.iter().map(message).collect()))
    }

    fn told(&mut self) {
        self.is_called = false;
        for Event { connection_id, life, what } in self.telling.take().into_iter().flat_map(|(_, events)| events) {
            let is_its = |row: &&mut Life| row.opened_ms == life.opened_ms;
            let Some(row) = self.rows.get_mut(&connection_id).filter(is_its) else { continue };
            match what {
                What::Opened => row.is_told = true,
                What::Closed(_) => {
                    self.rows.remove(&connection_id);
                    self.ended.remove(&connection_id);
                }
            }
            self.changed.push(connection_id);
        }
    }

    fn take_changes(&mut self) -> Option<Effect> {
        let changed = std::mem::take(&mut self.changed);
        let row = |id: String| (id.clone(), self.rows.get(&id).map(pinned::encode));
        (!changed.is_empty()).then(|| Effect::Lives(changed.into_iter().map(row).collect()))
    }
}

impl Relay {
    /// The rows that outlived the relay's memory. Comes before [`Relay::restore`].
    pub fn found_lives(&mut self, rows: Vec<(String, Vec<u8>)>, now_ms: u64) {
        self.lives.found(rows, now_ms + self.bounds.resume_ms);
        self.watch_lives(now_ms);
    }

    fn watch_lives(&mut self, now_ms: u64) {
        self.lives.watch_ms = (!self.lives.rows.is_empty()).then_some(now_ms + self.bounds.resume_ms / LIVES_LOOKS);
    }

    pub(super) fn begin_life(&mut self, session: &Session) {
        if !self.app.tells_of_connections() {
            return;
        }
        self.lives.begin(session.connection_id(), Life::of(session, self.now_ms));
        if self.lives.watch_ms.is_none() {
            self.watch_lives(self.now_ms);
        }
    }

    /// Its transport is gone. A door's client never comes back to the same connection.
    pub(super) fn end_life(&mut self, session: &Session, closed: bool) {
        match closed || session.door.is_some() {
            true => {
                let end = End { at_ms: self.now_ms, code: None, is_lost: !closed };
                self.lives.end(session.connection_id(), end);
            }
            false => self.lives.lose(session.connection_id(), self.now_ms + self.bounds.resume_ms),
        }
    }

    pub(super) fn tick_lives(&mut self) {
        self.lives.end_lost(self.now_ms);
        self.lives.note_lost();
        if self.lives.watch_ms.is_some_and(|watch_ms| watch_ms <= self.now_ms) {
            self.watch_lives(self.now_ms);
        }
    }

    /// Tells the channel of these events, one call at a time; gives what is to be stored before.
    pub(super) fn tell_lives(&mut self) -> Option<Effect> {
        if self.lives.rows.is_empty() && self.lives.changed.is_empty() {
            return None;
        }
        if !self.app.tells_of_connections() {
            self.lives.clear();
            return self.lives.take_changes();
        }
        if !self.lives.is_called && self.lives.not_before_ms <= self.now_ms {
            self.call_of_lives();
        }
        self.lives.take_changes()
    }

    fn call_of_lives(&mut self) {
        let Some((id, messages)) = self.lives.next(self.name.as_str(), self.now_ms) else { return };
        let content = Submission::Messages(messages);
        let publish = Publish { key: PublishKey::Request(id), connection_id: None, by: Source::SERVER, content };
        self.lives.is_called = true;
        self.call(&ChannelName::connections(), Pending::Lives, Request::Publish(vec![publish]));
    }

    pub(super) fn lives_answered(&mut self, answer: &Answer<Response>) {
        let is_taken = |outcome: &Outcome| matches!(outcome, Outcome::Accepted { .. });
        match answer {
            Ok(Response::Published(published)) if published.outcomes.iter().all(is_taken) => self.lives.told(),
            _ => (self.lives.is_called, self.lives.not_before_ms) = (false, self.now_ms + LIVES_RETRY_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::auth::{App, Capability, Grant, Identity, KeyName};
    use crate::error::Code;
    use crate::limits::{CONNECTION_STATE_TTL_MIN_MS, CONNECTION_STATE_TTL_MS};
    use crate::model::Format;
    use crate::model::serial::Position;
    use crate::protocol::Encoded;
    use crate::relay::SocketId;
    use crate::relay::bounds::Bounds;
    use crate::relay::session::Opening;
    use crate::rpc::{Published, RelayName, Ticket};

    const NOW_MS: u64 = 1_800_000_000_000;

    fn relay(events: &[&str]) -> Relay {
        let webhook = json!({"id": "w", "url": "https://example.com", "secret": "a-secret", "events": events});
        let app: App = serde_json::from_value(json!({"id": "demo", "keys": [], "webhooks": [webhook]})).unwrap();
        Relay::new(RelayName::shard(app.id(), 0), 0, Rc::new(app), b"secret".to_vec())
    }

    fn open(relay: &mut Relay, socket: u32, id: &str, now_ms: u64) -> Vec<Effect> {
        open_by(relay, socket, id, &[], now_ms)
    }

    fn open_by(relay: &mut Relay, socket: u32, id: &str, query: &[(String, String)], now_ms: u64) -> Vec<Effect> {
        let grant = Grant::of_key(KeyName::parse("demo.key").unwrap(), Capability::full());
        let opening = Opening::from_query(Grant { client_id: Identity::Anonymous, ..grant }, query, true);
        relay.open(SocketId(socket), opening, id.to_owned(), now_ms)
    }

    /// What the channel is told: the call's ticket, and the ids of the events.
    fn told(effects: &[Effect]) -> Option<(Ticket, Vec<String>)> {
        effects.iter().find_map(|effect| match effect {
            Effect::Call { ticket, call } if call.to.channel.is_connections() => {
                let Request::Publish(publishes) = &call.request else { panic!("{call:?}") };
                let ids = publishes[0].messages().iter().filter_map(|message| message.id.clone());
                Some((*ticket, ids.collect()))
            }
            _ => None,
        })
    }

    fn taken() -> Option<Answer<Response>> {
        let outcomes = vec![Outcome::Accepted { position: Position(1), count: 1 }];
        Some(Ok(Response::Published(Published { epoch: "life".to_owned(), outcomes })))
    }

    /// The rows that there are after these changes.
    fn rows(effects: &[Effect], before: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
        let mut rows: BTreeMap<String, Vec<u8>> = before.iter().cloned().collect();
        for effect in effects {
            let Effect::Lives(lives) = effect else { continue };
            for (id, row) in lives {
                match row {
                    Some(row) => drop(rows.insert(id.clone(), row.clone())),
                    None => drop(rows.remove(id)),
                }
            }
        }
        rows.into_iter().collect()
    }

    #[test]
    fn a_connection_is_stored_before_its_client_hears_of_it() {
        let mut relay = relay(&["connection.closed"]);
        let effects = open(&mut relay, 1, "one", NOW_MS);
        let place = |is_it: fn(&Effect) -> bool| effects.iter().position(is_it).expect("there is one");
        let stored = place(|effect| matches!(effect, Effect::Lives(_)));
        assert!(stored < place(|effect| matches!(effect, Effect::Send { .. })));
    }

    #[test]
    fn nothing_is_kept_or_told_where_no_webhook_asks() {
        let mut relay = relay(&["channel.message"]);
        let mut effects = open(&mut relay, 1, "one", NOW_MS);
        effects.extend(relay.lost(SocketId(1), NOW_MS + 1));
        effects.extend(relay.tick(NOW_MS + 10 * CONNECTION_STATE_TTL_MS));
        assert!(rows(&effects, &[]).is_empty() && told(&effects).is_none());
    }

    #[test]
    fn a_relay_that_was_killed_tells_the_beginning_again_by_its_id_and_then_the_end() {
        let mut before = relay(&["connection.opened", "connection.closed"]);
        let effects = open(&mut before, 1, "one", NOW_MS);
        let (_, opened) = told(&effects).expect("a call");
        let stored = rows(&effects, &[]);
        assert_eq!(opened, [format!("one.{NOW_MS}.connection.opened")]);

        // It is killed before it is known whether the channel has that.
        let mut after = relay(&["connection.opened", "connection.closed"]);
        let start_ms = NOW_MS + 60_000;
        after.found_lives(stored.clone(), start_ms);
        let (ticket, again) = told(&after.tick(start_ms)).expect("a call");
        assert_eq!(again, opened);
        let stored = rows(&after.answered(ticket, taken(), start_ms), &stored);
        assert!(Life::decode(&stored[0].1).is_some_and(|life| life.is_told));
        assert_eq!(told(&after.tick(start_ms + CONNECTION_STATE_TTL_MS - 1)), None, "its client may come back");

        // The object sleeps, and does not wait from the beginning.
        let mut after = relay(&["connection.opened", "connection.closed"]);
        after.found_lives(stored.clone(), start_ms + CONNECTION_STATE_TTL_MS - 1);
        let end_ms = start_ms + CONNECTION_STATE_TTL_MS;
        assert!(after.deadline().is_some_and(|due_ms| due_ms <= end_ms), "it wakes for it");
        let (ticket, closed) = told(&after.tick(end_ms)).expect("a call");
        assert_eq!(closed, [format!("one.{NOW_MS}.connection.closed")]);
        assert_eq!(rows(&after.answered(ticket, taken(), end_ms), &stored), []);
    }

    #[test]
    fn where_connections_may_come_back_for_less_their_end_is_noticed_and_told_sooner() {
        let bounds = Bounds { resume_ms: CONNECTION_STATE_TTL_MIN_MS, ..Bounds::default() };
        let mut before = relay(&["connection.closed"]);
        before.set_bounds(bounds);
        let stored = rows(&open(&mut before, 1, "one", NOW_MS), &[]);
        let look_ms = NOW_MS + CONNECTION_STATE_TTL_MIN_MS / LIVES_LOOKS;
        assert!(before.deadline().is_some_and(|due_ms| due_ms <= look_ms), "it wakes, should it be killed now");

        let mut after = relay(&["connection.closed"]);
        after.set_bounds(bounds);
        after.found_lives(stored, look_ms);
        let (ticket, _) = told(&after.tick(look_ms)).expect("its beginning");
        let end_ms = look_ms + CONNECTION_STATE_TTL_MIN_MS;
        after.answered(ticket, taken(), look_ms);
        assert_eq!(told(&after.tick(end_ms - 1)), None, "its client may come back");
        assert_eq!(told(&after.tick(end_ms)).expect("its end").1, [format!("one.{NOW_MS}.connection.closed")]);
    }

    #[test]
    fn who_comes_back_while_its_end_is_told_begins_another_life() {
        let mut before = relay(&["connection.opened", "connection.closed"]);
        let effects = open(&mut before, 1, "one", NOW_MS);
        let connected = effects.iter().find_map(|effect| match effect {
            Effect::Send { frame: Encoded::Text(text), .. } => serde_json::from_str::<serde_json::Value>(text).ok(),
            _ => None,
        });
        let key = connected.unwrap()["connectionDetails"]["connectionKey"].as_str().unwrap().to_owned();
        let (ticket, _) = told(&effects).expect("its beginning");
        let stored = rows(&effects, &[]);
        let stored = rows(&before.answered(ticket, taken(), NOW_MS), &stored);

        // The next memory knows of no time that the connection has to come back.
        let mut after = relay(&["connection.opened", "connection.closed"]);
        after.found_lives(stored, NOW_MS);
        let end_ms = NOW_MS + CONNECTION_STATE_TTL_MS;
        let (ticket, closed) = told(&after.tick(end_ms)).expect("its end");
        assert_eq!(closed, [format!("one.{NOW_MS}.connection.closed")]);
        let effects = open_by(&mut after, 2, "two", &[("resume".to_owned(), key)], end_ms);
        assert_eq!(rows(&effects, &[]).len(), 1, "stored before its client hears of it");
        let effects = after.answered(ticket, taken(), end_ms);
        let (ticket, opened) = told(&effects).expect("its beginning");
        assert_eq!(opened, [format!("one.{end_ms}.connection.opened")]);
        after.answered(ticket, taken(), end_ms);
        let effects = after.frame(SocketId(2), br#"{"action":7}"#, Format::Json, end_ms + 1);
        let (ticket, closed) = told(&effects).expect("its end");
        assert_eq!(closed, [format!("one.{end_ms}.connection.closed")]);
        let stored = [("one".to_owned(), Vec::new())];
        assert_eq!(rows(&after.answered(ticket, taken(), end_ms + 1), &stored), []);
    }

    #[test]
    fn what_the_channel_did_not_take_is_told_again_as_it_was() {
        let mut relay = relay(&["connection.opened"]);
        let (ticket, first) = told(&open(&mut relay, 1, "one", NOW_MS)).expect("a call");
        assert_eq!(told(&open(&mut relay, 2, "two", NOW_MS)), None, "one call at a time");
        relay.answered(ticket, Some(Err(Code::Unavailable.into())), NOW_MS);
        assert_eq!(told(&relay.tick(NOW_MS + LIVES_RETRY_MS - 1)), None);
        let (ticket, again) = told(&relay.tick(NOW_MS + LIVES_RETRY_MS)).expect("a call");
        assert_eq!(again, first);
        let (_, next) = told(&relay.answered(ticket, taken(), NOW_MS + LIVES_RETRY_MS)).expect("the rest");
        assert_eq!(next, [format!("two.{NOW_MS}.connection.opened")]);
    }

    #[test]
    fn a_relay_whose_events_nobody_takes_lets_nobody_else_in() {
        let mut lives = Lives::default();
        let stored = rows(&open(&mut relay(&["connection.closed"]), 1, "one", NOW_MS), &[]);
        let life = Life::decode(&stored[0].1).unwrap();
        for number in 0..LIVES_MAX {
            lives.begin(&number.to_string(), life.clone());
        }
        assert!(lives.is_full());
    }
}
