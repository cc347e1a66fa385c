//! What messages say to those who are not connected: `extras.push`, where the channel's rules have push (protocol.md §
//! 20.6).
//!
//! It is stored with the message, and handed to the app after that: no acknowledgement waits for it. What was handed
//! over is forgotten once the app says that it has it, so that it gets all of it, some perhaps twice.

use super::State;
use crate::base::pause;
use crate::channel::Channel;
use crate::channel::store::{Change, Store, StoreError, Stored};
use crate::error::{Code, ErrorInfo};
use crate::limits::{CHANNEL_PUSH_PAUSE_MS, CHANNEL_PUSHES_CALL_BYTES, CHANNEL_PUSHES_MAX};
use crate::model::message::Message;
use crate::model::serial::Position;
use crate::push::Payload;
use crate::rpc::ChannelPush;

/// Rows that are read for one call; the call takes as many as its bytes allow.
const ROWS_PER_CALL: usize = 100;

/// A push that the app does not have yet.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPush {
    pub position: Position,
    /// Of the message in its publish.
    pub place: usize,
    pub payload: String,
}

#[derive(Debug, Default)]
pub struct Pushes {
    waiting: usize,
    /// When to hand over what waits: a moment after the last try.
    due_at_ms: u64,
}

impl State for Pushes {
    fn restore(stored: &Stored, _now_ms: u64) -> Result<Pushes, StoreError> {
        Ok(Pushes { waiting: stored.pushes, due_at_ms: 0 })
    }

    fn reload(&mut self, stored: &Stored) -> Result<(), StoreError> {
        self.waiting = stored.pushes;
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        (self.waiting > 0).then_some(self.due_at_ms)
    }
}

impl Pushes {
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }
}

impl Channel {
    /// What the messages of a publish at this place push. Fails with 40032 for what no device could be told, and with
    /// 42911 when the app has not taken what came before.
    pub(in crate::channel) fn pushes_of(
        &mut self,
        messages: &[Message],
        position: Position,
    ) -> Result<Vec<Change>, ErrorInfo> {
        if !self.meta.rules.push {
            return Ok(Vec::new());
        }
        let mut changes = Vec::new();
        for (place, message) in messages.iter().enumerate() {
            let Some(push) = message.extras.as_ref().and_then(|extras| extras.get("push")) else { continue };
            let fields = push.as_object().cloned().unwrap_or_default();
            let payload = Payload::read(fields)
                .map_err(|error| Code::BadExtras.because(["extras.push: ", &error.message].concat()))?;
            changes.push(Change::Push(StoredPush { position, place, payload: payload.text() }));
        }
        if self.states.pushes.waiting + changes.len() > CHANNEL_PUSHES_MAX && !changes.is_empty() {
            return Err(Code::PublishRateLimited.because("too many pushes of this channel wait; try again"));
        }
        self.states.pushes.waiting += changes.len();
        Ok(changes)
    }

    /// What the app is to be given now, and through which position that is. [`Channel::pushed`] gets to know whether it
    /// has it.
    pub fn take_pushes(
        &mut self,
        store: &mut impl Store,
        now_ms: u64,
    ) -> Option<((Position, usize), Vec<ChannelPush>)> {
        if self.states.pushes.is_empty()
            || self.stale
            || !pause::is_over(self.states.pushes.due_at_ms, CHANNEL_PUSH_PAUSE_MS, now_ms)
        {
            return None;
        }
        self.states.pushes.due_at_ms = now_ms + CHANNEL_PUSH_PAUSE_MS;
        let mut room = CHANNEL_PUSHES_CALL_BYTES;
        let fits = |push: &StoredPush| {
            let fits = room >= push.payload.len();
            room = room.saturating_sub(push.payload.len());
            fits
        };
        let taken: Vec<StoredPush> = store.pushes(ROWS_PER_CALL).ok()?.into_iter().take_while(fits).collect();
        let last = taken.last().map(|last| (last.position, last.place))?;
        let channel = self.meta.address.channel.as_str();
        let said = |StoredPush { position, place, payload }| ChannelPush {
            key: format!("{channel} {}", position.message_serial(&self.meta.epoch, place)),
            channel: channel.to_owned(),
            payload,
        };
        Some((last, taken.into_iter().map(said).collect()))
    }

    /// Whether the app has what it was given, which what came meanwhile follows at once.
    pub fn pushed(&mut self, store: &mut impl Store, through: (Position, usize), has_it: bool) {
        if has_it && self.forget_pushes(store, through).is_ok() {
            self.states.pushes.due_at_ms = 0;
        }
    }

    fn forget_pushes(&mut self, store: &mut impl Store, through: (Position, usize)) -> Result<(), StoreError> {
        let left = store.forget_pushes(through)?;
        self.states.pushes.waiting = left;
        Ok(())
    }
}
