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
use crate::limits::{ACTIVE_MS, LISTING_PAUSE_MS, RULES_PAUSE_MS};
use crate::model::serial::Position;
use crate::rpc::{Address, Answer, AppCall, AppRequest, AppResponse, Rules};

/// Whether the rules are the app's.
#[derive(Default)]
pub(super) struct Unconfirmed {
    is_doubted: bool,
    /// The app was asked at this time, perhaps in vain.
    asked_ms: u64,
    /// It was, though something is unheard of: when to ask again.
    pub again_at_ms: Option<u64>,
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
        let (app, rules, through) = (channel.address().app.clone(), channel.rules().clone(), channel.tip());
        self.unconfirmed = Unconfirmed { asked_ms: self.now_ms, ..Unconfirmed::default() };
        self.ask_app(Asked::Rules(rules.into(), through), AppCall { app, request: AppRequest::Config });
    }

    /// An alarm rings, as it does when the channel goes out of use. The memory may be gone that was to ask with its
    /// next report, or it asked in vain.
    pub(super) fn doubt_old_rules(&mut self) {
        let is_over = |at_ms: &mut u64| pause::is_over(*at_ms, LISTING_PAUSE_MS, self.now_ms);
        let since = match self.unconfirmed.again_at_ms.take_if(is_over) {
            Some(_) => Position::LAST,
            None => Position::at(self.now_ms.saturating_sub(ACTIVE_MS) + 1),
        };
        self.doubt_rules(since);
    }

    /// Whoever published last may not have heard of a change, and nobody call again: the app is asked as often as it is
    /// told what was counted.
    pub(super) fn doubt_rules(&mut self, since: Position) {
        self.unconfirmed.is_doubted |= self.channel.as_ref().is_some_and(|channel| channel.is_unheard(since));
    }

    /// Whether callers bring the rules. A metachannel has none.
    pub(super) fn minds_rules(&self, address: &Address) -> bool {
        let is_made = self.settings.apps.as_ref().is_ok_and(|apps| apps.get(&address.app).is_none());
        is_made && !address.channel.is_metachannel()
    }

    /// The app has answered for a channel whose rules were these. If others came meanwhile, it is asked once more; also
    /// if this fails and no call brings the rules.
    pub(super) fn rules_answered(&mut self, before: &Rules, through: Position, answer: Answer<AppResponse>) {
        let Some(channel) = &mut self.channel else { return };
        let is_taken = match answer {
            Ok(AppResponse::Config(Some(config))) if channel.rules() == before => {
                let said = app::configuration(&config).map(|app| Rules::on(&app, &channel.address().channel));
                said.is_ok_and(|said| channel.set_rules(&mut self.store, &said).is_ok())
            }
            Ok(AppResponse::Config(Some(_))) => {
                self.unconfirmed.is_doubted = true;
                false
            }
            // The app was deleted, and nothing is owed to it.
            Ok(AppResponse::Config(None)) => true,
            _ => false,
        };
        let is_heard = is_taken && channel.hear(&mut self.store, through).is_ok();
        let is_owed = !is_heard && channel.is_unheard(channel.tip());
        self.unconfirmed.again_at_ms = is_owed.then(|| self.now_ms + LISTING_PAUSE_MS);
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
