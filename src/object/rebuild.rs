//! An object wakes: its state is built again from its sockets and its storage.

use super::host::{Host, failed};
use super::store::RelayStore;
use super::{Class, Kept, Output};
use crate::channel::store::Store;
use crate::error::{Code, ErrorInfo};
use crate::limits::TRIM_PAUSE_MS;
use crate::relay;
use crate::relay::lives::Life;
use crate::relay::record::Record;
use crate::rpc::placement;
use crate::stats::Counter;

impl<S: Store + RelayStore> Host<S> {
    /// Takes in the sockets that outlived the object's memory. Nothing that an event can see is older than that.
    pub(super) fn wake(&mut self, sockets: Vec<Kept>, fresh_epoch: String) {
        self.fresh_epoch = fresh_epoch;
        self.reporter.note(Counter::Wakes, 1);
        sockets.iter().for_each(|kept| self.skip_socket(kept.socket));
        let restored = self.restore_sessions(&sockets);
        (self.has_kept, self.has_lives) = (restored.is_some(), restored.is_some());
        if restored.is_none() {
            // Deaf sockets would be worse than none: their clients come back, and resume.
            self.outputs.extend(sockets.iter().map(|kept| Output::Close { socket: kept.socket }));
            // If rows stay, the next life removes them.
            let _ = self.store.clear_rows();
        }
        self.lead();
    }

    fn restore_sessions(&mut self, sockets: &[Kept]) -> Option<()> {
        let record = sockets.iter().find_map(|kept| Record::decode(&kept.record))?;
        if self.class == Class::Channel {
            self.channel_for(None).ok()??;
        }
        let (address, now_ms) = (self.own_address().cloned(), self.now_ms);
        let rows = self.store.rows().ok()?;
        #[cfg(feature = "mqtt")]
        let kept = self.store.kept().ok()?;
        let relay = self.relay_for(record.app(), record.shard(), address.as_ref()).ok()?;
        relay.found(rows);
        #[cfg(feature = "mqtt")]
        relay.found_kept(kept);
        let mut effects: Vec<relay::Effect> =
            sockets.iter().flat_map(|kept| relay.restore(kept.socket, &kept.record, now_ms)).collect();
        effects.extend(relay.restored(now_ms));
        self.relay_effects(effects);
        self.watch_soon();
        Some(())
    }

    /// The sessions that are stored, when they were not found with their connections: these are gone, for the object
    /// was killed. Meanwhile no client of a session comes in.
    #[cfg(feature = "mqtt")]
    fn find_kept(&mut self) -> Result<(), ErrorInfo> {
        let kept = self.store.kept().map_err(failed)?;
        if let Some(first) = kept.iter().find_map(|(_, row)| relay::mqtt::Kept::decode(row)) {
            let now_ms = self.now_ms;
            // A relay that cannot be built, or whose app is not known any more, has not found them.
            let effects = self.relay_for(first.app(), first.shard(), None)?.recall_kept(kept, now_ms);
            self.relay_effects(effects);
        }
        Ok(())
    }

    /// The connections that webhooks know of are gone: the object was killed, or could not read who is here. If the app
    /// is not known any more, they are looked at when a client comes.
    fn find_lives(&mut self) -> Result<(), ErrorInfo> {
        let lives = self.store.lives().map_err(failed)?;
        let Some(first) = lives.iter().find_map(|(_, row)| Life::decode(row)) else { return Ok(()) };
        if self.class == Class::Channel {
            self.channel_for(None).map_err(failed)?;
        }
        let address = self.own_address().cloned();
        match self.relay_for(&first.app, first.shard(), address.as_ref()) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes up again to feed the relays that it fed, and the sessions and connections that are stored, when that could
    /// not be read before.
    pub(super) fn lead(&mut self) {
        self.find_at_ms = None;
        if !self.has_lives {
            let found = self.find_lives();
            self.has_lives = self.is_found(found);
        }
        #[cfg(feature = "mqtt")]
        if !self.has_kept {
            let found = self.find_kept();
            self.has_kept = self.is_found(found);
        }
        if !self.leads {
            let found = self.restore_followers();
            self.leads = self.is_found(found);
        }
    }

    /// Whether it was. What could not be read is read again, though nobody calls; an app that is no more is not waited
    /// for.
    fn is_found(&mut self, found: Result<(), ErrorInfo>) -> bool {
        if found.as_ref().is_err_and(|error| !is_gone(error)) {
            self.find_at_ms = Some(self.now_ms + TRIM_PAUSE_MS);
        }
        found.is_ok()
    }

    fn restore_followers(&mut self) -> Result<(), ErrorInfo> {
        let followers = self.store.followers().map_err(failed)?;
        let above = followers.first().and_then(|(_, follower)| placement::above(follower));
        if let Some((app, shard)) = above.as_ref().and_then(placement::app_and_shard) {
            let now_ms = self.now_ms;
            let effects = self.relay_for(&app, shard, None)?.lead(followers, now_ms);
            self.relay_effects(effects);
            self.watch_soon();
        }
        Ok(())
    }
}

/// The app that it is of is not known any more.
fn is_gone(error: &ErrorInfo) -> bool {
    error.is(Code::BadCredentials)
}
