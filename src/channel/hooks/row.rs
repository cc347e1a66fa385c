//! What a channel stores of its webhooks: one row, however many events wait. Which events those are follows from the
//! log; only what the log does not say, that the channel came into use or was left, is here itself.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::{Events, Hook, HookOfVersion1};
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::error::ErrorInfo;
use crate::limits::{HOOK_CLOCKS_MS, HOOK_LIFE_EVENTS_MAX, HOOK_NEWS_MAX};
use crate::model::serial::Position;
use crate::rpc::{DeadEvents, DeadLetter, HookStanding};

/// Pinned, see [`crate::base::pinned`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HookRow {
    pub cursors: Vec<Cursor>,
    /// Those that some webhook still has to get.
    pub life: Vec<LifeEvent>,
    /// That of the next such event.
    pub life_number: u64,
    /// What such events said last.
    pub is_open: bool,
    pub is_occupied: bool,
    /// What the app has not been told yet.
    pub dead: Vec<DeadLetter>,
    pub dead_number: u64,
}

impl Versioned for HookRow {
    const VERSION: u8 = 3;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<HookRow, Unreadable> {
        match version {
            1 => pinned::take::<earlier::HookRow<DeadEvents>>(bytes).map(HookRow::from),
            2 => pinned::take::<earlier::HookRow<DeadLetter>>(bytes).map(HookRow::from),
            _ => Err(Unreadable::Version(version)),
        }
    }
}

/// Versions 1 and 2: how long a pause is was not known. Of what was given up version 1 kept no event.
mod earlier {
    use serde::Deserialize;

    use super::{LifeEvent, Mark};
    use crate::error::ErrorInfo;
    use crate::limits::HOOK_RETRY_AFTER_MAX_MS;
    use crate::rpc::{DeadEvents, DeadLetter, HookStanding};

    #[derive(Deserialize)]
    pub struct HookRow<D> {
        cursors: Vec<Cursor>,
        life: Vec<LifeEvent>,
        life_number: u64,
        is_open: bool,
        is_occupied: bool,
        dead: Vec<D>,
        dead_number: u64,
    }

    #[derive(Deserialize)]
    struct Cursor {
        hook: String,
        rule: u64,
        mark: Mark,
        failing: Option<Failing>,
        ended: Option<(u64, ErrorInfo)>,
        told: HookStanding,
    }

    #[derive(Deserialize)]
    struct Failing {
        since_ms: u64,
        tries: u32,
        tries_of_next: u32,
        due_ms: u64,
        error: ErrorInfo,
    }

    impl From<HookRow<DeadEvents>> for super::HookRow {
        fn from(first: HookRow<DeadEvents>) -> super::HookRow {
            let HookRow { cursors, life, life_number, is_open, is_occupied, dead, dead_number } = first;
            let dead = dead.into_iter().map(|about| DeadLetter { about, body: String::new() }).collect();
            HookRow { cursors, life, life_number, is_open, is_occupied, dead, dead_number }.into()
        }
    }

    impl From<HookRow<DeadLetter>> for super::HookRow {
        fn from(second: HookRow<DeadLetter>) -> super::HookRow {
            let HookRow { cursors, life, life_number, is_open, is_occupied, dead, dead_number } = second;
            let cursors = cursors.into_iter().map(super::Cursor::from).collect();
            super::HookRow { cursors, life, life_number, is_open, is_occupied, dead, dead_number }
        }
    }

    impl From<Cursor> for super::Cursor {
        fn from(Cursor { hook, rule, mark, failing, ended, told }: Cursor) -> super::Cursor {
            super::Cursor { hook, rule, mark, failing: failing.map(super::Failing::from), ended, told }
        }
    }

    impl From<Failing> for super::Failing {
        fn from(Failing { since_ms, tries, tries_of_next, due_ms, error }: Failing) -> super::Failing {
            let pause_ms = HOOK_RETRY_AFTER_MAX_MS;
            super::Failing { since_ms, tries, tries_of_next, due_ms, error, pause_ms }
        }
    }
}

/// How far a webhook is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub hook: String,
    /// Tells whether the webhook has changed since.
    pub rule: u64,
    pub mark: Mark,
    pub failing: Option<Failing>,
    pub ended: Option<(u64, ErrorInfo)>,
    /// What the app knows.
    pub told: HookStanding,
}

/// A place among the events of a channel: what comes before it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Everything up to here, and so many events of the entry that follows.
    pub position: Position,
    pub places: usize,
    /// Events of the channel's life with numbers below this.
    pub life: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    pub since_ms: u64,
    /// All tries since then, and those of the events that are next.
    pub tries: u32,
    pub tries_of_next: u32,
    pub due_ms: u64,
    pub error: ErrorInfo,
    /// Of so long a pause that is the end.
    pub pause_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifeEvent {
    pub number: u64,
    pub at_ms: u64,
    pub kind: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    Opened,
    Closed,
    Occupied,
    Vacated,
}

impl Life {
    pub fn event(self) -> Events {
        match self {
            Life::Opened | Life::Closed => Events::LIFECYCLE,
            Life::Occupied | Life::Vacated => Events::OCCUPANCY,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Life::Opened => "channel.opened",
            Life::Closed => "channel.closed",
            Life::Occupied => "channel.occupied",
            Life::Vacated => "channel.vacated",
        }
    }
}

impl Cursor {
    fn new(hook: &Hook, mark: Mark) -> Cursor {
        let (failing, ended, told) = (None, None, HookStanding::Fine);
        Cursor { hook: hook.id.clone(), rule: rule(hook), mark, failing, ended, told }
    }

    pub fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    pub fn standing(&self) -> HookStanding {
        match (&self.ended, &self.failing) {
            (Some((at_ms, error)), _) => HookStanding::Ended { at_ms: *at_ms, error: error.clone() },
            (None, Some(failing)) => HookStanding::Failing { since_ms: failing.since_ms, error: failing.error.clone() },
            (None, None) => HookStanding::Fine,
        }
    }
}

impl HookRow {
    /// The same for these webhooks. A new one, and one that had ended and has another rule now, begins where it was
    /// made or changed: what was published since by whoever had not heard of it is for it, too. Another with a new rule
    /// goes on where it is, at once.
    pub fn keeping(&self, hooks: &[Hook], tip: Position) -> HookRow {
        let start = |hook: &Hook| Mark { position: begin(hook, tip), places: 0, life: self.life_number };
        let cursor = |hook: &Hook| match self.cursors.iter().find(|cursor| cursor.hook == hook.id) {
            Some(cursor) if cursor.rule == rule(hook) => cursor.clone(),
            Some(cursor) => {
                let start = start(hook);
                let mark = match cursor.is_active() {
                    true => Mark { places: 0, ..cursor.mark },
                    false => Mark { position: start.position.max(cursor.mark.position), ..start },
                };
                Cursor { told: cursor.told.clone(), ..Cursor::new(hook, mark) }
            }
            None => Cursor::new(hook, start(hook)),
        };
        HookRow { cursors: hooks.iter().map(cursor).collect(), ..self.clone() }
    }

    pub fn cursor(&mut self, hook: &str) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.hook == hook)
    }

    pub fn happened(&mut self, kind: Life, at_ms: u64) {
        self.life.push(LifeEvent { number: self.life_number, at_ms, kind });
        self.life_number += 1;
        let excess = self.life.len().saturating_sub(HOOK_LIFE_EVENTS_MAX);
        self.life.drain(..excess);
    }

    /// Forgets the events of the channel's life that all have got.
    pub fn forget_done(&mut self) {
        let active = self.cursors.iter().filter(|cursor| cursor.is_active());
        let done = active.map(|cursor| cursor.mark.life).min().unwrap_or(self.life_number);
        self.life.retain(|event| event.number >= done);
    }

    pub fn gave_up(&mut self, dead: DeadEvents, body: String) {
        self.dead.push(DeadLetter { about: DeadEvents { number: self.dead_number, ..dead }, body });
        self.dead_number += 1;
        let excess = self.dead.len().saturating_sub(HOOK_NEWS_MAX);
        self.dead.drain(..excess);
    }
}

/// Behind what was published before the webhook was as it is; the clocks of two objects may differ a little.
fn begin(hook: &Hook, tip: Position) -> Position {
    match hook.since_ms {
        0 => tip,
        since_ms => Position::at(since_ms.saturating_sub(HOOK_CLOCKS_MS)).min(tip),
    }
}

fn rule(hook: &Hook) -> u64 {
    let bytes = postcard::to_allocvec(&HookOfVersion1::from(hook.clone())).expect("values encode to memory");
    u64::from_le_bytes(Sha256::digest(bytes)[..8].try_into().expect("eight bytes"))
}
