//! A relay's watch of its app: it begins with the first client that the app could send away, and what the app says is
//! stored with the relay before it is answered.

use std::rc::Rc;

use super::host::{self, Host, HostRef};
use super::platform::now_ms;
use super::{calls, config, effects, relay_storage};
use crate::auth::{App, Grant, Revocation};
use crate::call::{Answer, AppCall, AppRequest, AppResponse, News, Notice, Noticed, RelayName, Watched};
use crate::channel::store::StoreError;
use crate::error::{Code, ErrorInfo};
use crate::name::AppId;
use crate::relay::Relay;

/// Sees that the app is watched before such a client comes in, or a relay is fed for its clients. Fails with 40101 when there is no such app any more.
pub async fn begin(host: &HostRef, app: &AppId, grant: Option<&Grant>, relay: RelayName) -> Result<(), ErrorInfo> {
    if !host.borrow().needs_watch(app, grant)? {
        return Ok(());
    }
    let call = AppCall { request: AppRequest::Watch(relay), app: app.clone() };
    let env = host.borrow().env.clone();
    match calls::ask_app(&env, &call).await? {
        AppResponse::Watched(watched) => host.borrow_mut().begin_watch(watched).map_err(host::failed)?,
        _ => return Err(Code::Internal.because("the app gave another answer than was asked for")),
    }
    effects::drive(host);
    Ok(())
}

pub fn notice(host: &HostRef, notice: Notice) -> Answer<Noticed> {
    let noticed = host.borrow_mut().notice(notice).map_err(host::failed);
    effects::drive(host);
    noticed
}

impl Host {
    fn needs_watch(&self, app: &AppId, grant: Option<&Grant>) -> Result<bool, ErrorInfo> {
        let configured = config::configured(&self.env)?;
        let is_revocable = |app: &Rc<App>| grant.is_some_and(|grant| app.is_revocable(grant));
        let is_watched = configured.get(app).is_none_or(is_revocable);
        Ok(is_watched && relay_storage::watch(self.store.database()).map_err(host::failed)?.is_none())
    }

    fn begin_watch(&mut self, watched: Watched) -> Result<(), StoreError> {
        // Clients that came together all asked; the app tells of the last watch only.
        let known = relay_storage::watch(self.store.database())?;
        if known.is_some_and(|known| known.ticket > watched.ticket) {
            return Ok(());
        }
        relay_storage::begin_watch(self.store.database(), &watched)?;
        if let Some(relay) = &mut self.relay {
            let effects = relay.watch(watched.revocations, now_ms());
            self.relay_effects(effects);
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice) -> Result<Noticed, StoreError> {
        let known = relay_storage::watch(self.store.database())?;
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
        let now_ms = now_ms();
        relay_storage::forget_revocations(self.store.database(), now_ms)?;
        relay_storage::save_revocations(self.store.database(), &revocations)?;
        if let Some(relay) = &mut self.relay {
            let effects = relay.revoke(revocations, now_ms);
            self.relay_effects(effects);
        }
        Ok(Noticed::Taken)
    }

    fn end_watch(&mut self) -> Result<Noticed, StoreError> {
        relay_storage::end_watch(self.store.database())?;
        if let Some(relay) = &mut self.relay {
            relay.unwatch();
        }
        Ok(Noticed::Unwatched)
    }

    fn end_app(&mut self) -> Result<Noticed, StoreError> {
        if let Some(relay) = &mut self.relay {
            let effects = relay.end(now_ms());
            self.relay_effects(effects);
        }
        self.end_watch()
    }
}
