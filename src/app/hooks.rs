//! What an app knows of its webhooks: the channels where one fails, and the events that were given up. Channels tell
//! it, and send; it sends nothing itself.

use super::store::{Store, StoreError};
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::limits::{HOOK_DEAD_MAX, HOOK_TROUBLED_MAX};
use crate::rpc::{DeadLetter, DeadLetters, HookNews, HookPage, HookStanding};

impl Versioned for HookStanding {
    const VERSION: u8 = 1;
}

impl Versioned for DeadLetter {
    const VERSION: u8 = 2;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<DeadLetter, Unreadable> {
        match version {
            1 => pinned::take(bytes).map(|about| DeadLetter { about, body: String::new() }),
            _ => Err(Unreadable::Version(version)),
        }
    }
}

impl HookStanding {
    pub fn state(&self) -> &'static str {
        match self {
            HookStanding::Fine => "ok",
            HookStanding::Failing { .. } => "failing",
            HookStanding::Ended { .. } => "ended",
        }
    }

    /// As the operator sees it.
    pub fn to_json(&self, channel: &str, hook: &str) -> serde_json::Value {
        let (since_ms, error) = match self {
            HookStanding::Fine => (None, None),
            HookStanding::Failing { since_ms: at_ms, error } | HookStanding::Ended { at_ms, error } => {
                (Some(at_ms), Some(error))
            }
        };
        let state = self.state();
        serde_json::json!({
            "webhookId": hook, "channel": channel, "state": state, "since": since_ms, "error": error,
        })
    }
}

/// Takes note. The same again changes nothing.
pub fn take(store: &mut impl Store, HookNews { report, bodies }: &HookNews) -> Result<(), StoreError> {
    let channel = report.channel.as_str();
    for (hook, standing) in &report.standings {
        match standing {
            HookStanding::Fine => store.remove_standing(channel, hook)?,
            standing => store.save_standing(channel, hook, &pinned::encode(standing), HOOK_TROUBLED_MAX)?,
        }
    }
    for (index, about) in report.dead.iter().enumerate() {
        let key = format!("{channel} {}!{}", report.epoch, about.number);
        let dead = DeadLetter { about: about.clone(), body: bodies.get(index).cloned().unwrap_or_default() };
        store.add_dead(&key, channel, &pinned::encode(&dead), HOOK_DEAD_MAX)?;
    }
    Ok(())
}

/// Channel, webhook and standing, where one fails.
pub fn troubled(store: &mut impl Store) -> Result<Vec<(String, String, HookStanding)>, StoreError> {
    let standing = |(channel, hook, bytes): (String, String, Vec<u8>)| Ok((channel, hook, pinned::decode(&bytes)?));
    store.standings()?.into_iter().map(standing).collect()
}

pub fn page(store: &mut impl Store) -> Result<HookPage, StoreError> {
    let about = |(_, channel, dead): (u64, String, DeadLetter)| (channel, dead.about);
    Ok(HookPage {
        troubled: troubled(store)?,
        dead: dead(store, u64::MAX, HOOK_DEAD_MAX)?.into_iter().map(about).collect(),
    })
}

/// What was given up, with its events.
pub fn dead(store: &mut impl Store, before: u64, limit: usize) -> Result<DeadLetters, StoreError> {
    let read = |(number, channel, bytes): (u64, String, Vec<u8>)| Ok((number, channel, pinned::decode(&bytes)?));
    store.dead(before, limit)?.into_iter().map(read).collect()
}
