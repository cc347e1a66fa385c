//! An object wakes: its state is built again from its sockets and its storage.

use super::effects::drive;
use super::host::{Class, Host, HostRef, failed};
use super::platform::now_ms;
use super::relay_storage;
use crate::error::ErrorInfo;
use crate::placement;
use crate::relay::record::Record;
use crate::relay::{self, SocketId};

/// Nothing that an event can see is older than its object's last memory.
pub fn wake(host: &HostRef) {
    let is_built = std::mem::replace(&mut host.borrow_mut().awake, true);
    if !is_built {
        host.borrow_mut().restore();
    }
    if !host.borrow().leads {
        let led = host.borrow_mut().restore_followers();
        host.borrow_mut().leads = led.is_ok();
    }
    if !is_built {
        drive(host);
    }
}

impl Host {
    /// Takes in the sockets that outlived the object's memory.
    fn restore(&mut self) {
        let restored = self.sockets.restore(&self.state);
        let records: Vec<(SocketId, Option<Record>, Vec<u8>)> = restored
            .into_iter()
            .map(|(socket, bytes)| {
                let bytes = bytes.unwrap_or_default();
                (socket, Record::decode(&bytes), bytes)
            })
            .collect();
        if self.restore_sessions(&records).is_none() {
            // Deaf sockets would be worse than none: their clients come back, and resume.
            records.iter().for_each(|(socket, ..)| self.sockets.close(*socket));
            // If rows stay, the next life removes them.
            let _ = relay_storage::clear_rows(self.store.database());
        }
    }

    /// Takes up again to feed the relays that it fed.
    fn restore_followers(&mut self) -> Result<(), ErrorInfo> {
        let followers = relay_storage::followers(self.store.database()).map_err(failed)?;
        let above = followers.first().and_then(|(_, follower)| placement::above(follower));
        if let Some((app, shard)) = above.as_ref().and_then(placement::app_and_shard) {
            let effects = self.relay_for(&app, shard, None)?.lead(followers, now_ms());
            self.relay_effects(effects);
        }
        Ok(())
    }

    fn restore_sessions(&mut self, records: &[(SocketId, Option<Record>, Vec<u8>)]) -> Option<()> {
        let record = records.iter().find_map(|(_, record, _)| record.as_ref())?;
        if self.class == Class::Channel {
            self.channel_for(None).ok()?;
        }
        let address = self.own_address().cloned();
        let rows = relay_storage::rows(self.store.database()).ok()?;
        let relay = self.relay_for(record.app(), record.shard(), address.as_ref()).ok()?;
        relay.found(rows);
        let now_ms = now_ms();
        let mut effects: Vec<relay::Effect> =
            records.iter().flat_map(|(socket, _, bytes)| relay.restore(*socket, bytes, now_ms)).collect();
        effects.extend(relay.restored(now_ms));
        self.relay_effects(effects);
        Some(())
    }
}
