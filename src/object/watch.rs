//! A relay's watch of its app: it begins with the first client that the app could send away, and what the app says is
//! stored with the relay before it is answered.

use std::rc::Rc;

use super::host::{Asked, Host, failed};
use super::store::{RelayStore, StoreError, Watch};
use super::{CallerId, Reply};
use crate::app;
use crate::base::pause;
use crate::channel::store::Store;
use crate::error::{Code, ErrorInfo};
use crate::limits::WATCH_PAUSE_MS;
use crate::model::name::AppId;
use crate::relay::Relay;
use crate::relay::session::Opening;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse, Changes, News, Notice, Noticed, Watching};

impl<S: Store + RelayStore> Host<S> {
    /// Whether the app must be watched before a client comes in, or a relay is fed for its clients, and is not yet. An
    /// app of the deployment's own can send clients away, but never ends.
    pub(super) fn needs_watch(&mut self, app: &AppId, has_clients: bool) -> Result<bool, ErrorInfo> {
        let configured = self.settings.apps.as_ref().map_err(Clone::clone)?.get(app);
        let is_watched = configured.is_none() || has_clients;
        let is_known = self.relay.as_ref().is_some_and(Relay::is_watching);
        Ok(is_watched && !is_known && self.known_ticket().map_err(failed)?.is_none())
    }

    /// The watch that is stored, unless this memory does not know what it says: a write that failed may have been done.
    fn known_ticket(&mut self) -> Result<Option<u64>, StoreError> {
        match &self.relay {
            Some(relay) if !relay.is_watching() => Ok(None),
            _ => Ok(self.store.watch()?.and_then(|watch| watch.ticket)),
        }
    }

    /// Whether a client may come in though the app can't say whom it keeps out. One of the deployment's own never ends,
    /// and goes on without its object. A token that can be revoked waits for its word: it may be one that was.
    pub(super) fn may_go_unwatched(&self, opening: &Opening) -> bool {
        let app = self.settings.apps.as_ref().ok().and_then(|apps| apps.get(opening.grant.app()));
        app.is_some_and(|app| !app.is_revocable(&opening.grant))
    }

    /// Whether the app was asked a short while ago, in vain.
    pub(super) fn is_watch_delayed(&self) -> bool {
        self.watch_at_ms.is_some_and(|at_ms| !pause::is_over(at_ms, WATCH_PAUSE_MS, self.now_ms))
    }

    pub(super) fn watch_later(&mut self) {
        self.watch_at_ms = Some(self.now_ms + WATCH_PAUSE_MS);
        self.has_news_of_app = true;
    }

    /// After a loss of memory: what is stored says whether the app knows this relay.
    pub(super) fn watch_soon(&mut self) {
        self.watch_at_ms = self.unwatched().map(|_| self.now_ms);
    }

    /// The call that is needed, since the app would tell nothing.
    fn unwatched(&self) -> Option<AppCall> {
        let relay = self.relay.as_ref()?;
        let app = relay.app_id();
        let is_made = self.settings.apps.as_ref().is_ok_and(|apps| apps.get(app).is_none());
        let name = relay.unwatched(is_made)?.clone();
        Some(AppCall { app: app.clone(), request: AppRequest::Watch(name) })
    }

    /// Asks the app again for clients that came in without its word, once it is time.
    pub(super) fn watch_again(&mut self) {
        if self.watch_at_ms.is_none() || self.is_watch_delayed() {
            return;
        }
        self.watch_at_ms = None;
        let Some(call) = self.unwatched() else { return };
        self.watch_later();
        self.ask_app(Asked::Watch, call);
    }

    /// Takes the app's answer. Fails with 40101 when there is no such app any more.
    pub(super) fn begin_watch(&mut self, answer: Answer<AppResponse>) -> Result<(), ErrorInfo> {
        match answer? {
            AppResponse::Watching(watching) => self.watched(*watching).map_err(failed),
            AppResponse::Watched(watched) => self.watched(Watching { watched, bans: Vec::new() }).map_err(failed),
            _ => Err(Code::Internal.because("the app gave another answer than was asked for")),
        }
    }

    fn watched(&mut self, watching: Watching) -> Result<(), StoreError> {
        // Clients that came together all asked; the app tells of the last watch only.
        let known = self.known_ticket()?;
        if known.is_some_and(|known| known > watching.watched.ticket) {
            return Ok(());
        }
        self.store.begin_watch(&watching)?;
        self.watch_at_ms = None;
        self.has_news_of_app = true;
        // It may have changed while nobody was here, and the core is that of before.
        if let Some(config) = &watching.watched.config {
            self.configured_anew(config);
        }
        self.relay_does(|relay, now_ms| relay.watch(watching.watched.revocations, watching.bans, now_ms));
        Ok(())
    }

    /// The answer for clients that are here. If there is none, the app is asked again.
    pub(super) fn watch_answered(&mut self, answer: Answer<AppResponse>) {
        if self.begin_watch(answer).is_err_and(|error| error.is(Code::BadCredentials)) {
            // It was deleted while it knew of no watch. Should the rest fail, it is asked once more.
            let _ = self.end_app();
        }
    }

    /// What the app tells. Of a watch that it may be answering just now, the answer is to come first: what is told
    /// later is not in it.
    pub(super) fn notice(&mut self, caller: CallerId, notice: Notice) {
        if self.asks_to_watch() && self.store.watch().is_ok_and(|known| !is_of(known.as_ref(), &notice)) {
            let before = self.untaken.replace((caller, notice));
            self.refuse_notice(before);
            return;
        }
        let noticed = self.noticed(notice).map_err(failed);
        self.reply(caller, Reply::Noticed(noticed));
    }

    pub(super) fn take_notice(&mut self) {
        if !self.asks_to_watch()
            && let Some((caller, notice)) = self.untaken.take()
        {
            self.notice(caller, notice);
        }
    }

    /// The app has told it again.
    fn refuse_notice(&mut self, untaken: Option<(CallerId, Notice)>) {
        let error = || Code::InternalChannel.because("the relay waits for the app; tell it again");
        untaken.into_iter().for_each(|(caller, _)| self.reply(caller, Reply::Noticed(Err(error()))));
    }

    fn asks_to_watch(&self) -> bool {
        self.asked.values().any(|asked| matches!(asked, Asked::Enter(_) | Asked::Follow(..) | Asked::Watch))
    }

    fn noticed(&mut self, notice: Notice) -> Result<Noticed, StoreError> {
        let known = self.store.watch()?;
        let is_known = is_of(known.as_ref(), &notice);
        match notice.news {
            // Its id is never used again, so that holds whichever watch it is told to.
            News::Deleted => self.end_app(),
            _ if known.is_some() && self.relay.as_ref().is_none_or(Relay::is_idle) => self.end_watch(),
            _ if !is_known => self.doubt_watch(),
            // The app gave up this call and made another since, which came first.
            _ if notice.through > 0 && known.is_some_and(|known| known.told >= notice.through) => Ok(Noticed::Taken),
            News::Revoked(revocations) => self.change(Changes { revocations, ..Changes::default() }, notice.through),
            News::Changed(changes) => self.change(*changes, notice.through),
        }
    }

    /// The app knows of another watch, begun by a call that was given up here, and lets go of it now; so it may tell
    /// nothing of the one that is stored, if there is one. It is asked again for the clients who are here.
    fn doubt_watch(&mut self) -> Result<Noticed, StoreError> {
        if self.store.watch()?.is_some() {
            self.store.doubt_watch()?;
        }
        self.relay.iter_mut().for_each(Relay::doubt_watch);
        self.watch_soon();
        self.watch_again();
        Ok(Noticed::Unwatched)
    }

    fn change(&mut self, Changes { config, revocations, bans }: Changes, through: u64) -> Result<Noticed, StoreError> {
        self.store.forget_revocations(self.now_ms)?;
        self.store.save_revocations(&revocations)?;
        self.store.save_bans(&bans)?;
        if let Some(config) = config {
            self.store.save_config(&config)?;
            self.configured_anew(&config);
        }
        self.relay_does(|relay, now_ms| relay.revoke(revocations, now_ms));
        self.relay_does(|relay, now_ms| relay.ban(bans, now_ms));
        self.store.save_told(through)?;
        Ok(Noticed::Taken)
    }

    /// What cannot be read changes nothing here: whoever comes in next is told of it.
    fn configured_anew(&mut self, config: &str) {
        let Ok(app) = app::configuration(config) else { return };
        self.has_news_of_app = true;
        self.relay_does(|relay, now_ms| {
            let before = relay.app();
            relay.reconfigure(Some(&*before), Rc::new(app), now_ms)
        });
    }

    fn end_watch(&mut self) -> Result<Noticed, StoreError> {
        self.store.end_watch()?;
        if let Some(relay) = &mut self.relay {
            relay.unwatch();
        }
        Ok(Noticed::Unwatched)
    }

    fn end_app(&mut self) -> Result<Noticed, StoreError> {
        self.relay_does(Relay::end);
        match self.store.watch()? {
            Some(_) => self.end_watch(),
            None => Ok(Noticed::Unwatched),
        }
    }
}

fn is_of(watch: Option<&Watch>, notice: &Notice) -> bool {
    watch.is_some_and(|watch| watch.ticket == Some(notice.ticket))
}
