//! Webhooks of a channel's object: the requests that its channel wants made, and what the app is to know of them.

use super::Output;
use super::host::{Asked, Host};
use super::store::RelayStore;
use crate::channel::store::Store;
use crate::rpc::{AppCall, AppRequest, HookOutcome, HookReport, Rules};

impl<S: Store + RelayStore> Host<S> {
    /// Sees that receivers get what happens on the channel, and that the app knows of those that don't.
    pub(super) fn keep_hooked(&mut self) {
        let Some(channel) = &mut self.channel else { return };
        let posts = channel.posts(&mut self.store, self.private_receivers, &self.fresh_epoch, self.now_ms);
        self.outputs.extend(posts.into_iter().map(Output::Post));
        if let Some(report) = channel.hook_news(self.now_ms) {
            let (app, request) = (channel.address().app.clone(), AppRequest::HookReport(Box::new(report.clone())));
            self.ask_app(Asked::Hooks(Box::new(report)), AppCall { app, request });
        }
    }

    pub(super) fn posted(&mut self, hook: &str, attempt: u64, outcome: HookOutcome) {
        if let Some(channel) = &mut self.channel {
            channel.posted(&mut self.store, (hook, attempt), outcome, &self.fresh_epoch, self.now_ms);
        }
    }

    pub(super) fn hooks_told(&mut self, report: &HookReport, is_told: bool) {
        if let Some(channel) = &mut self.channel {
            channel.hooks_told(&mut self.store, report, is_told, self.now_ms);
        }
    }

    /// A channel that nobody calls learns from here that the deployment's configuration has changed.
    pub(super) fn refresh_rules(&mut self) {
        let Some(address) = self.own_address().cloned() else { return };
        let Some(app) = self.settings.apps.as_ref().ok().and_then(|apps| apps.get(&address.app)).cloned() else {
            return;
        };
        let rules = Rules::on(&app, &address.channel);
        if let Some(channel) = &mut self.channel {
            // If that fails the next call brings them.
            let _ = channel.set_rules(&mut self.store, &rules);
        }
    }
}
