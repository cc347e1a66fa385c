//! The rules of a channel's object: calls bring them along, and those that keep less than before are confirmed first.
//!
//! Rules have no revision: the deployment's own apps have none. So a call of a relay that has not heard of a change
//! looks like a change back, and what it destroyed would not come again. Who confirms is where the configuration is:
//! the app's object for one that was made at run time. Those of the deployment's own apps this object knows itself.

use super::host::{Asked, Host};
use super::store::RelayStore;
use crate::app;
use crate::base::pause;
use crate::channel::store::{Store, StoreError};
use crate::limits::RULES_PAUSE_MS;
use crate::rpc::{Address, Answer, AppCall, AppRequest, AppResponse, Rules};

/// Rules that keep less than before.
#[derive(Default)]
pub(super) struct Unconfirmed {
    heard: Option<Box<Rules>>,
    /// The app was asked at this time, perhaps in vain.
    asked_ms: u64,
}

impl<S: Store + RelayStore> Host<S> {
    /// A call brings other rules than the channel has. Of the deployment's own apps those of this object hold, whatever
    /// the caller has heard.
    pub(super) fn hear_rules(&mut self, address: &Address, rules: &Rules) -> Result<(), StoreError> {
        let configured = self.configured_rules(address);
        let Some(channel) = &mut self.channel else { return Ok(()) };
        match configured {
            Some(configured) => channel.set_rules(&mut self.store, &configured)?,
            None if channel.hear_rules(&mut self.store, rules)? => {
                self.unconfirmed.heard = Some(Box::new(rules.clone()));
            }
            None => {}
        }
        Ok(())
    }

    /// Sees that rules that keep less are confirmed. If the app cannot be asked, a later call brings them again.
    pub(super) fn confirm_rules(&mut self) {
        if self.unconfirmed.heard.is_none() {
            return;
        }
        let Some(address) = self.own_address().cloned() else { return };
        let is_due = pause::is_over(self.unconfirmed.asked_ms + RULES_PAUSE_MS, RULES_PAUSE_MS, self.now_ms);
        if let Some(heard) = self.unconfirmed.heard.take_if(|_| is_due) {
            self.unconfirmed.asked_ms = self.now_ms;
            self.ask_app(Asked::Rules(heard), AppCall { app: address.app, request: AppRequest::Config });
        }
    }

    pub(super) fn rules_answered(&mut self, heard: &Rules, answer: Answer<AppResponse>) {
        let Ok(AppResponse::Config(Some(config))) = answer else { return };
        if let (Some(address), Ok(app)) = (self.own_address(), app::configuration(&config)) {
            let said = Rules::on(&app, &address.channel);
            self.rules_confirmed(Some(heard), &said);
        }
    }

    fn rules_confirmed(&mut self, heard: Option<&Rules>, said: &Rules) {
        if let (Some(channel), Some(heard)) = (&mut self.channel, heard) {
            // If that fails the next call brings them again.
            let _ = channel.set_rules(&mut self.store, &heard.keeping_as_long_as(said));
        }
    }

    /// A channel that nobody calls learns from here that the deployment's configuration has changed.
    pub(super) fn refresh_rules(&mut self) {
        let Some(rules) = self.own_address().cloned().and_then(|address| self.configured_rules(&address)) else {
            return;
        };
        if let Some(channel) = &mut self.channel {
            // If that fails the next call brings them.
            let _ = channel.set_rules(&mut self.store, &rules);
        }
    }

    /// Those of an app of the deployment's own.
    fn configured_rules(&self, address: &Address) -> Option<Rules> {
        let app = self.settings.apps.as_ref().ok()?.get(&address.app)?;
        Some(Rules::on(app, &address.channel))
    }
}
