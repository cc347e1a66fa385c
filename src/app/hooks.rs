//! What an app knows of its webhooks: the channels where one fails, and the events that were given up. Channels tell
//! it, and send; it sends nothing itself.

use super::store::{Store, StoreError};
use crate::base::pinned::{self, Versioned};
use crate::limits::{HOOK_DEAD_MAX, HOOK_TROUBLED_MAX};
use crate::rpc::{DeadEvents, HookPage, HookReport, HookStanding};

impl Versioned for HookStanding {
    const VERSION: u8 = 1;
}

impl Versioned for DeadEvents {
    const VERSION: u8 = 1;
}

/// Takes note. The same again changes nothing.
pub fn take(store: &mut impl Store, report: &HookReport) -> Result<(), StoreError> {
    let channel = report.channel.as_str();
    for (hook, standing) in &report.standings {
        match standing {
            HookStanding::Fine => store.remove_standing(channel, hook)?,
            standing => store.save_standing(channel, hook, &pinned::encode(standing), HOOK_TROUBLED_MAX)?,
        }
    }
    for dead in &report.dead {
        let key = format!("{channel} {}!{}", report.epoch, dead.number);
        store.add_dead(&key, channel, &pinned::encode(dead), HOOK_DEAD_MAX)?;
    }
    Ok(())
}

pub fn page(store: &mut impl Store) -> Result<HookPage, StoreError> {
    let standing = |(channel, hook, bytes): (String, String, Vec<u8>)| Ok((channel, hook, pinned::decode(&bytes)?));
    let dead = |(channel, bytes): (String, Vec<u8>)| Ok((channel, pinned::decode(&bytes)?));
    Ok(HookPage {
        troubled: store.standings()?.into_iter().map(standing).collect::<Result<_, StoreError>>()?,
        dead: store.dead()?.into_iter().map(dead).collect::<Result<_, StoreError>>()?,
    })
}
