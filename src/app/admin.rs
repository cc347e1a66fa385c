//! What an operator does to an app: bans, changes of what was configured at run time, and the audit of both.

use super::store::{Store, StoreError};
use super::{Registrar, State, changing, configuration, no_such_app};
use crate::auth::{Ban, Bans};
use crate::error::{Code, ErrorInfo};
use crate::limits::{AUDIT_MAX, BANS_MAX};
use crate::model::name::LOG;
use crate::model::trace::Trace;
use crate::rpc::{Act, AdminCall, AdminResponse, Answer, AppResponse, Change, Deed, Deeds, Note, Speech};

impl Registrar {
    /// Does what an operator asks, and notes it if it was done. A call whose answer was lost comes again with the same
    /// note: what was done by it is not done twice.
    pub(super) fn admin(
        &mut self,
        store: &mut impl Store,
        AdminCall { note, act }: AdminCall,
        configured: bool,
        now_ms: u64,
    ) -> Result<Answer<AppResponse>, StoreError> {
        if let Some(note) = &note
            && is_done_once(&act)
            && store.notes(u64::MAX, NOTES_LOOKED_AT)?.iter().any(|(_, known)| known == note)
        {
            return Ok(self.done_already(&act).map(AppResponse::Admin));
        }
        let answer = match act {
            Act::Note => Ok(AdminResponse::Done),
            Act::Ban(ban) => self.ban(store, ban, configured, now_ms)?,
            Act::Lift { client_id, channels } => self.lift(store, &client_id, channels.as_deref(), now_ms)?,
            Act::Bans { after, limit } => Ok(AdminResponse::Bans(store.bans_behind(&after, limit)?)),
            Act::Bar(deeds) => {
                let ban = self.ban_from(&deeds, now_ms).or_else(|| self.silence_of(&deeds, now_ms));
                Ok(AdminResponse::Barred(ban.cloned(), !self.bans.is_empty()))
            }
            Act::Holders { from, limit } => {
                let mut holders: Vec<_> = self.watchers.iter().map(|watcher| &watcher.relay).collect();
                holders.retain(|relay| relay.as_str() >= from.as_str());
                holders.sort_unstable();
                Ok(AdminResponse::Holders(holders.into_iter().take(limit).cloned().collect()))
            }
            Act::Audit { before, limit } => Ok(AdminResponse::Audit(store.notes(before, limit)?)),
            Act::Configure(change) => self.configure(store, &change, configured, now_ms)?,
            Act::ForgetDead { channel } => {
                store.forget_dead(channel.as_deref())?;
                Ok(AdminResponse::Done)
            }
        };
        if answer.is_ok()
            && let Some(note) = note
        {
            store.add_note(&note, AUDIT_MAX)?;
            self.meta.tell(LOG, &note.action, || note.to_json());
        }
        Ok(answer.map(AppResponse::Admin))
    }

    /// Fails with 40400 when the app is gone since.
    fn done_already(&self, act: &Act) -> Answer<AdminResponse> {
        match act {
            Act::Configure(_) => {
                self.config().map(|config| AdminResponse::Configured(config.to_owned())).ok_or_else(no_such_app)
            }
            Act::Lift { .. } => Ok(AdminResponse::Lifted(true)),
            _ => Ok(AdminResponse::Done),
        }
    }

    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// A ban that keeps one of those whom these name out of there.
    fn ban_from(&self, Deeds { names, deeds }: &Deeds, now_ms: u64) -> Option<&Ban> {
        let of = |deed: &Deed| {
            let mut named = deed.by.iter().chain(&deed.others).filter_map(|place| names.get(*place));
            named.find_map(|name| self.bans.of(name, deed.channel.as_ref(), now_ms))
        };
        deeds.iter().find_map(of)
    }

    /// The strictest silence that is about one of these.
    fn silence_of(&self, Deeds { names, deeds }: &Deeds, now_ms: u64) -> Option<&Ban> {
        let name = |place: &usize| names.get(*place).map(String::as_str);
        let of = |deed: &Deed| {
            let own = std::iter::once(deed.by.as_ref().and_then(name));
            let others = deed.others.iter().filter_map(name);
            let (_, silence) = self.bans.silence_of(own, others, deed.channel.as_ref()?, deed.moderates, now_ms)?;
            let is_about = match deed.speech {
                Speech::Nothing => false,
                Speech::Anew => true,
                Speech::OfSaid => silence.interval_ms == Some(0),
            };
            is_about.then_some(silence)
        };
        deeds.iter().filter_map(of).max_by_key(|silence| silence.strictness())
    }

    /// Fails with 40400 for an app that is not there, and with 42910 when there are too many bans.
    fn ban(
        &mut self,
        store: &mut impl Store,
        ban: Ban,
        configured: bool,
        now_ms: u64,
    ) -> Result<Answer<AdminResponse>, StoreError> {
        if !configured && self.config().is_none() {
            return Ok(Err(no_such_app()));
        }
        if self.bans.len() + self.lifted >= BANS_MAX {
            self.forget_bans(store, now_ms)?;
        }
        if self.bans.len() + self.lifted >= BANS_MAX && !self.bans.contains(&ban) {
            return Ok(
                Err(Code::RateLimited.because(format!("an app has at most {BANS_MAX} bans; lift others first"))),
            );
        }
        self.put_ban(store, ban, now_ms)?;
        Ok(Ok(AdminResponse::Done))
    }

    /// Fails with 40400 when there is no such ban.
    fn lift(
        &mut self,
        store: &mut impl Store,
        client_id: &str,
        channels: Option<&str>,
        now_ms: u64,
    ) -> Result<Answer<AdminResponse>, StoreError> {
        let lifted = Ban::lifted(client_id, channels);
        if !self.bans.contains(&lifted) {
            return Ok(Err(Code::NotFound.because("there is no such ban; a ban is named as it was made")));
        }
        self.put_ban(store, lifted, now_ms)?;
        Ok(Ok(AdminResponse::Lifted(true)))
    }

    fn put_ban(&mut self, store: &mut impl Store, ban: Ban, now_ms: u64) -> Result<(), StoreError> {
        let revision = self.next_revision(now_ms);
        store.save_ban(revision, &ban)?;
        self.revision = revision;
        self.lifted += usize::from(ban.is_lifted());
        self.bans.put(ban);
        self.plan_sweep(now_ms);
        Ok(())
    }

    /// Relays that have not heard of a ban that was lifted must be told first. Those whose time is over hold nowhere,
    /// and need no alarm of their own.
    pub(super) fn forget_bans(&mut self, store: &mut impl Store, now_ms: u64) -> Result<(), StoreError> {
        let told = self.watchers.iter().map(|watcher| watcher.told).min().unwrap_or(self.revision);
        store.forget_bans(now_ms, told)?;
        self.bans.forget(now_ms);
        if told >= self.revision {
            self.lifted = 0;
        }
        Ok(())
    }

    /// Fails with 40300 for one of the deployment's own apps, with 40400 for one that is not there, and as
    /// [`changing::changed`], [`Registrar::admit_receivers`] and [`Registrar::keep_revocable`] do.
    fn configure(
        &mut self,
        store: &mut impl Store,
        change: &Change,
        configured: bool,
        now_ms: u64,
    ) -> Result<Answer<AdminResponse>, StoreError> {
        let State::Made(config) = &self.state else {
            return Ok(Err(if configured { of_the_deployment() } else { no_such_app() }));
        };
        let admit = |changed: String| {
            self.admit_receivers(&changed, Some(config))?;
            self.keep_revocable(&changed, change, now_ms).map(|()| changed)
        };
        let changed = match changing::changed(config, change, now_ms).and_then(admit) {
            Ok(changed) => changed,
            Err(error) => return Ok(Err(error)),
        };
        let channels = store.channels()?;
        store.save_config(&changed, &channels)?;
        let revision = self.next_revision(now_ms);
        store.save_config_revision(revision)?;
        (self.revision, self.config_revision) = (revision, revision);
        self.state = State::Made(changed.clone());
        Ok(Ok(AdminResponse::Configured(changed)))
    }

    /// Nobody is asked whether a token is revoked that cannot be. Fails with 40000 for a key that has revoked tokens
    /// which have not expired.
    fn keep_revocable(&self, changed: &str, change: &Change, now_ms: u64) -> Result<(), ErrorInfo> {
        let Change::AlterKey { id, .. } = change else { return Ok(()) };
        let app = configuration(changed)?;
        let fixed = app.keys().iter().find(|key| key.name.id() == id && !key.revocable_tokens);
        let end_at_ms = fixed.and_then(|key| self.revocations.end_at_ms(&key.name));
        match end_at_ms.filter(|end_at_ms| *end_at_ms > now_ms) {
            None => Ok(()),
            Some(end_at_ms) => Err(Code::BadRequest.because(format!(
                "revocableTokens must be true until {end_at_ms}: tokens of this key are revoked, and would be good again"
            ))),
        }
    }
}

/// How far back in the audit it is looked for a call that comes again: moments, and what others did meanwhile.
const NOTES_LOOKED_AT: usize = 20;

/// Whether to do it again would fail, or leave two of something.
fn is_done_once(act: &Act) -> bool {
    match act {
        Act::Note | Act::Lift { .. } => true,
        Act::Configure(change) => matches!(
            change,
            Change::AddKey(_) | Change::RotateKey { .. } | Change::RemoveKey(_) | Change::RemoveNamespace(_)
        ),
        _ => false,
    }
}

/// What was stored of bans.
pub(super) fn restored(bans: impl Iterator<Item = Ban>) -> Bans {
    let mut all = Bans::default();
    bans.for_each(|ban| all.put(ban));
    all
}

/// The one whose app a deployment's own configuration has.
pub fn of_the_deployment() -> ErrorInfo {
    Code::Forbidden.because("this app is one of the deployment's configuration, APPS; change it there")
}

impl Note {
    /// The line of the log, which also names the trace of the request.
    pub fn line(&self, trace: Option<Trace<'_>>) -> serde_json::Value {
        let mut line = self.to_json();
        trace.iter().for_each(|trace| line["traceId"] = trace.id().into());
        line
    }

    /// As the audit shows it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "timestamp": self.at_ms,
            "appId": self.app,
            "by": self.by,
            "action": self.action,
            "target": self.target,
        })
    }
}
