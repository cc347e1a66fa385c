//! What the supervisor of a server of one's own tells its objects: that it is about to stop, or that its apps
//! have changed.

use super::effects::drive;
use super::host::{Host, HostRef};
use super::platform::now_ms;
use super::{config, relay_storage};
use crate::auth::Apps;

/// The server is about to stop: one in so many connections is to come back.
pub fn send_away(host: &HostRef, one_in: usize) {
    {
        let host = &mut *host.borrow_mut();
        let effects = host.relay.as_mut().map(|relay| relay.send_away(one_in, now_ms()));
        host.relay_effects(effects.unwrap_or_default());
    }
    drive(host);
}

/// The deployment's apps have changed. They were this before.
pub fn reconfigure(host: &HostRef, before: &str) {
    host.borrow_mut().reconfigure(config::read(before).as_ref());
    drive(host);
}

impl Host {
    /// The connections of an app that is gone are told so where they come back to.
    fn reconfigure(&mut self, before: Option<&Apps>) {
        let Some(id) = self.relay.as_ref().map(|relay| relay.app_id().clone()) else { return };
        let watch = relay_storage::watch(self.store.database()).ok().flatten();
        let app = self.app_config(&id, watch.as_ref());
        let Some(relay) = &mut self.relay else { return };
        let effects = match app {
            Ok(app) => relay.reconfigure(before.and_then(|apps| apps.get(&id)).map(|app| &**app), app, now_ms()),
            Err(_) => relay.send_away(1, now_ms()),
        };
        self.relay_effects(effects);
    }
}
