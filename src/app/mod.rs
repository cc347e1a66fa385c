//! One app: what of it changes at run time. Its configuration when it was made by a request, the nonces that were used,
//! the revocations in force, and which relays must hear of them.
//!
//! [`Registrar`] is pure. It sits on the path of no message: a relay watches it from its first client whose token could
//! be revoked, or whose app could be deleted, and keeps what it is told with its own storage. Why no revocation is
//! missed:
//!
//! ```text
//! relay ── Watch ──▶ app     the watch is durable before it is answered, and the answer holds all in force;
//! relay ◀── Notice ── app    whatever is revoked later is told until the relay says that it was taken.
//! ```
//!
//! A relay without clients ends its watch when it next hears something; the ticket tells an old watch from a new one
//! that the relay began meanwhile. A call that was given up may begin one of which the relay does not know: so that is
//! owed what the one before it was, and the relay asks again when it hears of it.

pub mod admin;
mod changing;
mod creation;
pub mod fixtures;
mod hooks;
mod known;
mod meta;
mod nonces;
pub mod push;
pub mod statistics;
pub mod store;
mod unbanned;

pub use creation::NewApp;
pub use known::KnownApps;
pub use meta::Told;
pub use unbanned::Unbanned;

use crate::auth::{App, Ban, Bans, Revocation, Revocations};
use crate::base::pause;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    BANS_PAGE_MAX, NOTICE_MAX_REVOCATIONS, NOTICE_RETRY_MS, NOTICES_AT_ONCE_MAX, REVOCATIONS_MAX, SECRET_MIN_BYTES,
    SWEEP_INTERVAL_MS, WATCHERS_MAX,
};
use crate::model::name::{ChannelName, STATISTICS};
use crate::model::node;
use crate::rpc::{
    Answer, AppRequest, AppResponse, Changes, HookNews, News, Notice, Noticed, RelayName, Watched, Watching,
};
use meta::Meta;
use nonces::Nonces;
use statistics::Statistics;
use store::{Store, StoreError};

#[derive(Debug)]
pub struct Registrar {
    state: State,
    nonces: Nonces,
    revocations: Revocations,
    bans: Bans,
    /// Bans that were lifted, as far as relays may have to hear of it.
    lifted: usize,
    /// Of the last that there is to tell, as far as this memory knows.
    revision: u64,
    /// Of the last change of the configuration.
    config_revision: u64,
    /// At most [`WATCHERS_MAX`], each with a relay of its own.
    watchers: Vec<Watcher>,
    sweep_at_ms: Option<u64>,
    pub statistics: Statistics,
    pub meta: Meta,
    /// Whether webhooks may be at private addresses, and without TLS.
    pub private_receivers: bool,
    /// How long a webhook's own secret must be.
    pub secret_min_bytes: usize,
    /// The same of push services that an app names.
    pub private_push: bool,
}

#[derive(Debug, PartialEq)]
enum State {
    /// Not made at run time; it may be one of the deployment's own.
    Unmade,
    Made(String),
    Deleted,
}

#[derive(Debug)]
struct Watcher {
    relay: RelayName,
    ticket: u64,
    told: u64,
    /// When it may be told (again).
    due_ms: u64,
    /// It did not answer when it was last told something: when that was to be told again.
    silent_ms: Option<u64>,
}

/// Tell this relay, and hand its answer, or that none came, to [`Registrar::told`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tell {
    pub relay: RelayName,
    pub notice: Notice,
}

impl Registrar {
    pub fn load(store: &mut impl Store, now_ms: u64) -> Result<Registrar, StoreError> {
        let stored = store.load()?;
        let state = match stored.config {
            None => State::Unmade,
            Some(config) if config.is_empty() => State::Deleted,
            Some(config) => State::Made(config),
        };
        let mut revision = stored.watchers.iter().map(|(_, _, told)| *told).max().unwrap_or_default();
        let mut revocations = Revocations::default();
        for (stored_revision, revocation) in stored.revocations {
            revision = revision.max(stored_revision);
            // As many as were accepted; one too many would have been refused then.
            let _ = revocations.insert(revocation);
        }
        let bans = stored.bans.iter().map(|(revision, _)| *revision).max().unwrap_or_default();
        revision = revision.max(bans).max(stored.config_revision) + u64::from(state == State::Deleted);
        let lifted = stored.bans.iter().filter(|(_, ban)| ban.is_lifted()).count();
        let bans = admin::restored(stored.bans.into_iter().map(|(_, ban)| ban));
        let watcher = |(relay, ticket, told)| Watcher { relay, ticket, told, due_ms: 0, silent_ms: None };
        let watchers = stored.watchers.into_iter().map(watcher).collect();
        let (statistics, meta) = (Statistics::default(), Meta::load(store, now_ms)?);
        let mut registrar = Registrar {
            state,
            nonces: Nonces::new(stored.nonces),
            revocations,
            bans,
            lifted,
            revision,
            config_revision: stored.config_revision,
            watchers,
            sweep_at_ms: None,
            statistics,
            meta,
            private_receivers: false,
            secret_min_bytes: SECRET_MIN_BYTES,
            private_push: false,
        };
        // At once, and not when an interval is over: an object that is often built anew would put it off for ever.
        if registrar.holds_what_ends() {
            registrar.sweep(store, now_ms)?;
        }
        Ok(registrar)
    }

    /// Answers a call. `configured` says whether the deployment has an app of this id itself.
    pub fn call(
        &mut self,
        store: &mut impl Store,
        request: AppRequest,
        configured: bool,
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        match request {
            AppRequest::Create { config, channels } => self.create(store, config, &channels, configured),
            AppRequest::Delete => self.delete(store, configured),
            AppRequest::Config => Ok(Ok(AppResponse::Config(self.config().map(str::to_owned)))),
            AppRequest::Nonce { key, forget_at_ms } => {
                let taken = self.nonces.take(store, &key, forget_at_ms, now_ms);
                self.plan_sweep(now_ms);
                taken
            }
            AppRequest::Revoke(revocations) => self.revoke(store, revocations, now_ms),
            AppRequest::Check(grant) => Ok(Ok(AppResponse::Void(self.revocations.revokes(&grant, now_ms)))),
            AppRequest::List { channel, active } => self.list(store, &channel, (active, None), now_ms),
            AppRequest::ListChannel { channel, active, number } => {
                self.list(store, &channel, (active, Some(number)), now_ms)
            }
            AppRequest::Channels { prefix, after, limit } => {
                store.listed(&prefix, &after, limit).map(|channels| Ok(AppResponse::Channels(channels)))
            }
            AppRequest::Watch(relay) => self.watch(store, relay, configured, now_ms),
            AppRequest::Push(_) => Ok(Err(Code::Internal.because("push is not the registrar's"))),
            // What was deleted keeps none.
            AppRequest::HookReport(_) | AppRequest::HookNews(_) if !configured && self.config().is_none() => {
                Ok(Err(no_such_app()))
            }
            AppRequest::Report { .. }
            | AppRequest::Fixtures(_)
            | AppRequest::HookReport(_)
            | AppRequest::HookNews(_)
                if self.state == State::Deleted =>
            {
                Ok(Ok(AppResponse::Done))
            }
            AppRequest::Report { reporter, report } => {
                self.statistics.report(store, &reporter, &report, now_ms)?;
                self.meta.count(report.minute);
                Ok(Ok(if self.meta.is_read(STATISTICS) { AppResponse::Observed } else { AppResponse::Done }))
            }
            AppRequest::Stats(query) => {
                statistics::intervals(store, &query).map(|intervals| Ok(AppResponse::Stats(intervals)))
            }
            AppRequest::Total => statistics::total(store, now_ms).map(|total| Ok(AppResponse::Total(Box::new(total)))),
            AppRequest::Sum(apps) => {
                let (total, left_out) = statistics::sum(store, apps, now_ms)?;
                Ok(Ok(AppResponse::Sum { total: Box::new(total), left_out }))
            }
            AppRequest::HookReport(report) => self.take_hooks(store, &HookNews { report: *report, bodies: Vec::new() }),
            AppRequest::HookNews(news) => self.take_hooks(store, &news),
            AppRequest::DeadLetters { before, limit } => {
                hooks::dead(store, before, limit).map(|dead| Ok(AppResponse::DeadLetters(dead)))
            }
            AppRequest::Hooks => hooks::page(store).map(|page| Ok(AppResponse::Hooks(page))),
            AppRequest::Fixtures(minutes) => Ok(statistics::make_up(store, &minutes)?.map(|()| AppResponse::Done)),
            AppRequest::Admin(call) => self.admin(store, *call, configured, now_ms),
        }
    }

    fn take_hooks(&mut self, store: &mut impl Store, news: &HookNews) -> Result<Answer<AppResponse>, StoreError> {
        self.meta.tell_hooks(store, &news.report)?;
        hooks::take(store, news).map(|()| Ok(AppResponse::Done))
    }

    /// The relays that are to be told something now, and what. Those that did not answer have half of the places, so
    /// that they hold nobody else up, however many they are.
    pub fn notices(&mut self, store: &mut impl Store, now_ms: u64) -> Result<Vec<Tell>, StoreError> {
        let is_due = |watcher: &Watcher| pause::is_over(watcher.due_ms, NOTICE_RETRY_MS, now_ms);
        let (mut owed, mut waits, mut silent_waits) = (Vec::new(), 0, 0);
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.told < self.revision) {
            match (is_due(watcher), watcher.silent_ms.is_some()) {
                (true, _) => {
                    // Perhaps nobody said that there was no answer.
                    watcher.silent_ms = Some(watcher.due_ms).filter(|due_ms| *due_ms > 0).or(watcher.silent_ms);
                    owed.push(watcher);
                }
                (false, true) => silent_waits = (silent_waits + 1).min(NOTICES_AT_ONCE_MAX / 2),
                (false, false) => waits += 1,
            }
        }
        // The others first, and then who was tried longest ago.
        owed.sort_by_key(|watcher| watcher.silent_ms);
        let room = NOTICES_AT_ONCE_MAX.saturating_sub(waits + silent_waits);
        let others = owed.iter().filter(|watcher| watcher.silent_ms.is_none()).count().min(room);
        let places = others + (NOTICES_AT_ONCE_MAX / 2 - silent_waits).min(room - others);
        let mut due: Vec<(RelayName, u64, u64)> = Vec::new();
        for (index, watcher) in owed.into_iter().enumerate() {
            // One that waits for a place needs no alarm: it gets the place of another.
            watcher.due_ms = if index < places { now_ms + NOTICE_RETRY_MS } else { 0 };
            if index < places {
                due.push((watcher.relay.clone(), watcher.ticket, watcher.told));
            }
        }
        let tell = |(relay, ticket, told)| {
            let (news, through) = match self.state {
                State::Deleted => (News::Deleted, self.revision),
                State::Unmade | State::Made(_) => self.news(store, told)?,
            };
            Ok(Tell { relay, notice: Notice { ticket, news, through } })
        };
        due.into_iter().map(tell).collect()
    }

    /// What a relay that was told so much is told next, and through which revision that is all.
    fn news(&self, store: &mut impl Store, told: u64) -> Result<(News, u64), StoreError> {
        let mut revocations = store.revocations_after(told, NOTICE_MAX_REVOCATIONS)?;
        let mut bans = store.bans_after(told, BANS_PAGE_MAX)?;
        let cut = |is_all: bool, last: Option<u64>| last.filter(|_| !is_all).unwrap_or(self.revision);
        let through =
            cut(revocations.len() < NOTICE_MAX_REVOCATIONS, revocations.last().map(|(revision, _)| *revision))
                .min(cut(bans.len() < BANS_PAGE_MAX, bans.last().map(|(revision, _)| *revision)));
        revocations.retain(|(revision, _)| *revision <= through);
        bans.retain(|(revision, _)| *revision <= through);
        let is_configured_anew = told < self.config_revision && self.config_revision <= through;
        let changes = Changes {
            config: self.config().filter(|_| is_configured_anew).map(str::to_owned),
            revocations: revocations.into_iter().map(|(_, revocation)| revocation).collect(),
            bans: bans.into_iter().map(|(_, ban)| ban).collect(),
        };
        Ok((News::Changed(changes.into()), through))
    }

    /// What became of a notice; `None` when no answer came.
    pub fn told(&mut self, store: &mut impl Store, tell: &Tell, answer: Option<Noticed>) -> Result<(), StoreError> {
        let Notice { ticket, through, .. } = tell.notice;
        let told = |watcher: &&mut Watcher| watcher.relay == tell.relay && watcher.ticket == ticket;
        let Some(watcher) = self.watchers.iter_mut().find(told) else { return Ok(()) };
        watcher.silent_ms = Some(watcher.due_ms).filter(|_| answer.is_none());
        match answer {
            // It is told again when its time comes.
            None => Ok(()),
            Some(Noticed::Taken) if self.state != State::Deleted => {
                (watcher.told, watcher.due_ms) = (through, 0);
                store.save_watcher(&tell.relay, ticket, through)
            }
            Some(Noticed::Taken | Noticed::Unwatched) => {
                self.watchers.retain(|watcher| watcher.relay != tell.relay);
                store.remove_watcher(&tell.relay)
            }
        }
    }

    /// Forgets what has no effect any more.
    pub fn tick(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        match self.sweep_at_ms.is_some_and(|at_ms| pause::is_over(at_ms, SWEEP_INTERVAL_MS, now_ms)) {
            true => self.sweep(store, now_ms),
            false => Ok(()),
        }
    }

    fn sweep(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        self.nonces.forget(store, now_ms)?;
        store.forget_revocations(now_ms)?;
        self.revocations.forget(now_ms);
        self.forget_bans(store, now_ms)?;
        self.plan_sweep(now_ms);
        Ok(())
    }

    /// When [`Registrar::tick`] and [`Registrar::notices`] are next needed.
    pub fn deadline(&self) -> Option<u64> {
        let behind = self.watchers.iter().filter(|watcher| watcher.told < self.revision);
        // One that waits for room is told when another has answered.
        let notices = behind.map(|watcher| watcher.due_ms).filter(|due_ms| *due_ms > 0);
        notices.chain(self.sweep_at_ms).min()
    }

    /// Of an app made at run time.
    pub fn config(&self) -> Option<&str> {
        match &self.state {
            State::Made(config) => Some(config),
            State::Unmade | State::Deleted => None,
        }
    }

    fn create(
        &mut self,
        store: &mut impl Store,
        config: String,
        channels: &str,
        configured: bool,
    ) -> Result<Answer<AppResponse>, StoreError> {
        match &self.state {
            // The answer was lost, and the same request came again.
            State::Made(known) if *known == config => return Ok(Ok(AppResponse::Done)),
            State::Unmade if !configured => {}
            _ => return Ok(Err(Code::Internal.because("the id of the new app is in use; try again"))),
        }
        if let Err(error) = self.admit_receivers(&config, None) {
            return Ok(Err(error));
        }
        store.save_config(&config, channels)?;
        self.state = State::Made(config);
        Ok(Ok(AppResponse::Done))
    }

    /// Fails with 40000 when a webhook or a push service of the app is at an address that not everybody may make this
    /// server call, or a webhook signs with a secret that is too short here, or with a key's as it `had` not before.
    fn admit_receivers(&self, config: &str, had: Option<&str>) -> Result<(), ErrorInfo> {
        let Ok(app) = configuration(config) else { return Ok(()) };
        app.check_webhook_signers(had.and_then(|had| configuration(had).ok()).as_ref())?;
        app.check_webhook_secrets(self.secret_min_bytes)?;
        if !self.private_push {
            app.check_push_addresses()?;
        }
        if self.private_receivers { Ok(()) } else { app.check_addresses() }
    }

    /// An id is never used again, so that nothing that was made for the old app opens a new one.
    fn delete(&mut self, store: &mut impl Store, configured: bool) -> Result<Answer<AppResponse>, StoreError> {
        match self.state {
            State::Unmade if configured => return Ok(Err(admin::of_the_deployment())),
            State::Unmade => return Ok(Err(no_such_app())),
            State::Deleted | State::Made(_) => {}
        }
        // The same when it is asked again.
        let channels = store.channels()?;
        if self.state != State::Deleted {
            store.save_config("", &channels)?;
            store.forget_list()?;
            (self.state, self.meta) = (State::Deleted, Meta::default());
            self.revision += 1;
            self.watchers.iter_mut().for_each(|watcher| watcher.due_ms = 0);
        }
        Ok(Ok(AppResponse::Channels(channels)))
    }

    /// What was deleted keeps no list.
    fn list(
        &mut self,
        store: &mut impl Store,
        channel: &ChannelName,
        how: (bool, Option<u64>),
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        if self.state != State::Deleted {
            self.meta.list(store, channel, how, now_ms)?;
        }
        if !how.0 {
            self.doubt(|relay| relay.channel() == Some(channel.as_str()));
        }
        Ok(Ok(AppResponse::Done))
    }

    fn revoke(
        &mut self,
        store: &mut impl Store,
        revocations: Vec<Revocation>,
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        if self.revocations.len() >= REVOCATIONS_MAX {
            store.forget_revocations(now_ms)?;
            self.revocations.forget(now_ms);
        }
        let mut outcomes = Vec::with_capacity(revocations.len());
        for revocation in revocations {
            match self.revocations.insert(revocation) {
                Ok(in_force) => {
                    self.revision = self.next_revision(now_ms);
                    store.save_revocation(self.revision, &in_force)?;
                    outcomes.push(Ok(()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        self.plan_sweep(now_ms);
        Ok(Ok(AppResponse::Revoked(outcomes)))
    }

    fn watch(
        &mut self,
        store: &mut impl Store,
        relay: RelayName,
        configured: bool,
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        if !configured && self.config().is_none() {
            return Ok(Err(Code::BadCredentials.because("the app does not exist")));
        }
        let known = self.watchers.iter().position(|watcher| watcher.relay == relay);
        if self.watchers.len() >= WATCHERS_MAX && known.is_none() {
            self.doubt(|_| true);
            return Ok(Err(Code::RateLimited.because("too many relays hold clients of this app")));
        }
        // Later than that of any watch that ended, which may be in no one's memory.
        let last = known.map_or(0, |index| self.watchers[index].ticket);
        let ticket = now_ms.max(last + 1);
        // The call may be one that was given up, and its answer reach nobody: what a watch was owed, the next one is.
        let told = known.map_or(self.revision, |index| self.watchers[index].told);
        store.save_watcher(&relay, ticket, told)?;
        if let Some(index) = known {
            self.watchers.swap_remove(index);
        }
        self.watchers.push(Watcher { relay, ticket, told, due_ms: 0, silent_ms: None });
        let rows = store.revocations_after(0, REVOCATIONS_MAX)?;
        let revocations = rows.into_iter().map(|(_, revocation)| revocation).collect();
        let bans = store.bans_after(0, usize::MAX >> 1)?.into_iter().map(|(_, ban)| ban);
        let bans: Vec<Ban> = bans.filter(|ban| ban.is_in_force(now_ms)).collect();
        let config = self.config().map(str::to_owned);
        let watched = Watched { ticket, config, revocations };
        Ok(Ok(AppResponse::Watching(Watching { watched, bans }.into())))
    }

    /// Later than all that a relay may have been told, also of what is forgotten: it takes nothing for new that is not.
    fn next_revision(&self, now_ms: u64) -> u64 {
        now_ms.max(self.revision + 1)
    }

    /// Relays that may hold no client any more are told what they know already: those end their watch.
    fn doubt(&mut self, is_meant: impl Fn(&RelayName) -> bool) {
        if self.revision == 0 {
            self.revision = 1;
            self.watchers.iter_mut().for_each(|watcher| watcher.told = 1);
        }
        let told_last = self.revision - 1;
        let meant = self.watchers.iter_mut().filter(|watcher| watcher.told > told_last && is_meant(&watcher.relay));
        meant.for_each(|watcher| (watcher.told, watcher.due_ms) = (told_last, 0));
    }

    fn plan_sweep(&mut self, now_ms: u64) {
        let planned = self.sweep_at_ms.filter(|at_ms| !pause::is_over(*at_ms, SWEEP_INTERVAL_MS, now_ms));
        self.sweep_at_ms = self.holds_what_ends().then(|| planned.unwrap_or(now_ms + SWEEP_INTERVAL_MS));
    }

    fn holds_what_ends(&self) -> bool {
        !self.nonces.is_empty() || !self.revocations.is_empty() || self.lifted > 0
    }
}

/// An app from its configuration as its object keeps it.
pub fn configuration(text: &str) -> Result<App, ErrorInfo> {
    let app = node::value_of(text.as_bytes()).ok().and_then(|value| App::try_from(value).ok());
    app.ok_or_else(|| Code::Internal.because("the app's configuration could not be read"))
}

fn no_such_app() -> ErrorInfo {
    Code::NotFound.because("no app of this id was made at run time")
}
