//! A relay's watch of its app: it begins with the first client that the app could send away, and what the app says is
//! stored with the relay before it is answered.

use super::host::{Host, failed};
use super::store::{RelayStore, StoreError};
use crate::auth::{Grant, Revocation};
use crate::channel::store::Store;
use crate::error::{Code, ErrorInfo};
use crate::model::name::AppId;
use crate::relay::Relay;
use crate::rpc::{Answer, AppResponse, News, Notice, Noticed, Watched};

impl<S: Store + RelayStore> Host<S> {
    /// Whether the app must be watched before such a client comes in, or a relay is fed for its clients, and is not
    /// yet.
    pub(super) fn needs_watch(&mut self, app: &AppId, grant: Option<&Grant>) -> Result<bool, ErrorInfo> {
        let configured = self.settings.apps.as_ref().map_err(Clone::clone)?.get(app);
        let is_watched = configured.is_none_or(|app| grant.is_some_and(|grant| app.is_revocable(grant)));
        Ok(is_watched && self.store.watch().map_err(failed)?.is_none())
    }

    /// Takes the app's answer. Fails with 40101 when there is no such app any more.
    pub(super) fn begin_watch(&mut self, answer: Answer<AppResponse>) -> Result<(), ErrorInfo> {
        match answer? {
            AppResponse::Watched(watched) => self.watched(watched).map_err(failed),
            _ => Err(Code::Internal.because("the app gave another answer than was asked for")),
        }
    }

    fn watched(&mut self, watched: Watched) -> Result<(), StoreError> {
        // Clients that came together all asked; the app tells of the last watch only.
        let known = self.store.watch()?;
        if known.is_some_and(|known| known.ticket > watched.ticket) {
            return Ok(());
        }
        self.store.begin_watch(&watched)?;
        self.relay_does(|relay, now_ms| relay.watch(watched.revocations, now_ms));
        Ok(())
    }

    pub(super) fn notice(&mut self, notice: Notice) -> Result<Noticed, StoreError> {
        let known = self.store.watch()?;
        if known.is_none_or(|known| known.ticket != notice.ticket) {
            return Ok(Noticed::Unwatched);
        }
        match notice.news {
            News::Deleted => self.end_app(),
            News::Revoked(_) if self.relay.as_ref().is_none_or(Relay::is_idle) => self.end_watch(),
            News::Revoked(revocations) => self.revoke(revocations),
        }
    }

    fn revoke(&mut self, revocations: Vec<Revocation>) -> Result<Noticed, StoreError> {
        self.store.forget_revocations(self.now_ms)?;
        self.store.save_revocations(&revocations)?;
        self.relay_does(|relay, now_ms| relay.revoke(revocations, now_ms));
        Ok(Noticed::Taken)
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
        self.end_watch()
    }
}
