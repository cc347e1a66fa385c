//! The rules of a channel's object: calls bring them along, and those that keep less than before are confirmed first,
//! as are now and then all others.
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

/// Whether the rules are the app's.
#[derive(Default)]
pub(super) struct Unconfirmed {
    is_doubted: bool,
    /// Something was counted here since the app was last asked: whoever called may not have heard of a change.
    pub has_news: bool,
    /// The app was asked at this time, perhaps in vain.
    asked_ms: u64,
}

impl<S: Store + RelayStore> Host<S> {
    /// A call brings rules. Of the deployment's own apps those of this object hold, whatever the caller has heard.
    pub(super) fn hear_rules(&mut self, address: &Address, rules: &Rules) -> Result<(), StoreError> {
        let configured = self.configured_rules(address);
        let Some(channel) = &mut self.channel else { return Ok(()) };
        match configured {
            Some(configured) => channel.set_rules(&mut self.store, &configured)?,
            None => self.unconfirmed.is_doubted |= channel.hear_rules(&mut self.store, rules)?,
        }
        Ok(())
    }

    /// Sees that rules that keep less are confirmed. If the app cannot be asked, a later call brings them again.
    pub(super) fn confirm_rules(&mut self) {
        let is_due = pause::is_over(self.unconfirmed.asked_ms + RULES_PAUSE_MS, RULES_PAUSE_MS, self.now_ms);
        if !self.unconfirmed.is_doubted || !is_due {
            return;
        }
        let Some(channel) = &self.channel else { return };
        let (app, rules) = (channel.address().app.clone(), channel.rules().clone());
        self.unconfirmed = Unconfirmed { asked_ms: self.now_ms, ..Unconfirmed::default() };
        self.ask_app(Asked::Rules(rules.into()), AppCall { app, request: AppRequest::Config });
    }

    /// Whoever called last may not have heard of a change, and nobody call again: the app is asked as often as it is
    /// told what was counted.
    pub(super) fn doubt_rules(&mut self) {
        let is_made = self.own_address().cloned().is_some_and(|address| self.configured_rules(&address).is_none());
        self.unconfirmed.is_doubted |= is_made && self.unconfirmed.has_news;
    }

    /// What the app says of a channel whose rules were these. If others came meanwhile, it is asked once more.
    pub(super) fn rules_answered(&mut self, before: &Rules, answer: Answer<AppResponse>) {
        let Ok(AppResponse::Config(Some(config))) = answer else { return };
        let (Some(channel), Ok(app)) = (&mut self.channel, app::configuration(&config)) else { return };
        if channel.rules() != before {
            self.unconfirmed.is_doubted = true;
            return;
        }
        let said = Rules::on(&app, &channel.address().channel);
        // If that fails the next call brings them again.
        let _ = channel.set_rules(&mut self.store, &said);
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
