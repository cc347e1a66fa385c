//! Webhooks of a channel's object: the requests that its channel wants made, and what the app is to know of them.

use super::Output;
use super::host::{Asked, Host};
use super::store::RelayStore;
use crate::channel::store::Store;
use crate::error::Code;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, HookOutcome, HookReport, Rules};

impl<S: Store + RelayStore> Host<S> {
    /// Sees that receivers get what happens on the channel, and that the app knows of those that don't.
    pub(super) fn keep_hooked(&mut self) {
        let Some(channel) = &mut self.channel else { return };
        let posts = channel.posts(&mut self.store, self.private_receivers, &self.fresh_epoch, self.now_ms);
        self.outputs.extend(posts.into_iter().map(Output::Post));
        if let Some(news) = channel.hook_news(self.now_ms) {
            let asked = Asked::Hooks(Box::new(news.report.clone()));
            let (app, request) = (channel.address().app.clone(), AppRequest::HookNews(Box::new(news)));
            self.ask_app(asked, AppCall { app, request });
        }
    }

    pub(super) fn posted(&mut self, hook: &str, attempt: u64, outcome: HookOutcome) {
        if let Some(channel) = &mut self.channel {
            channel.posted(&mut self.store, (hook, attempt), outcome, &self.fresh_epoch, self.now_ms);
        }
    }

    /// An app that is no more has no webhooks.
    pub(super) fn hooks_told(&mut self, report: &HookReport, answer: &Answer<AppResponse>) {
        let Some(channel) = &mut self.channel else { return };
        channel.hooks_told(&mut self.store, report, answer.is_ok(), self.now_ms);
        if answer.as_ref().is_err_and(|error| error.is(Code::NotFound)) {
            let rules = Rules { hooks: Vec::new(), ..channel.rules().clone() };
            // If that fails the app says so again.
            let _ = channel.set_rules(&mut self.store, &rules);
        }
    }
}
