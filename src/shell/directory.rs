//! Finding an app: among the deployment's own, or by asking its object, when apps can be made at run time at all.

use std::cell::RefCell;
use std::rc::Rc;

use worker::Env;

use super::platform::now_ms;
use super::{calls, config};
use crate::app::{self, KnownApps};
use crate::auth::App;
use crate::error::ErrorInfo;
use crate::model::name::AppId;
use crate::rpc::{AppCall, AppRequest, AppResponse};

thread_local! {
    static KNOWN: RefCell<KnownApps> = RefCell::default();
}

pub struct Found {
    pub app: Rc<App>,
    /// Whether it is one of the deployment's own, which no request can end.
    pub is_configured: bool,
}

/// Fails with 50320 when the deployment's apps are missing or can't be read, and with 50003 when the app's object did
/// not answer; with 42910 when too many were asked for from this address that there are not.
pub async fn find(env: &Env, id: &AppId, address: &str) -> Result<Option<Found>, ErrorInfo> {
    if let Some(app) = config::configured(env)?.get(id) {
        return Ok(Some(Found { app: app.clone(), is_configured: true }));
    }
    if config::admin(env).is_closed() {
        return Ok(None);
    }
    let known = KNOWN.with_borrow(|known| known.get(id, now_ms()).cloned());
    let app = match known {
        Some(app) => app,
        None => ask(env, id, address).await?,
    };
    Ok(app.map(|app| Found { app, is_configured: false }))
}

/// Whether there is one, as far as it is known without asking.
pub fn is_known(env: &Env, id: &AppId) -> bool {
    let is_configured = config::configured(env).is_ok_and(|apps| apps.get(id).is_some());
    is_configured || KNOWN.with_borrow(|known| known.get(id, now_ms()).is_some_and(Option::is_some))
}

/// What was known of an app may not be true any more.
pub fn forget(id: &AppId) {
    KNOWN.with_borrow_mut(|known| known.forget(id));
}

async fn ask(env: &Env, id: &AppId, address: &str) -> Result<Option<Rc<App>>, ErrorInfo> {
    KNOWN.with_borrow_mut(|known| known.ask(id, address, now_ms()))?;
    let call = AppCall { app: id.clone(), request: AppRequest::Config };
    let app = match calls::ask_app(env, &call).await? {
        AppResponse::Config(Some(config)) => Some(Rc::new(app::configuration(&config)?)),
        _ => None,
    };
    KNOWN.with_borrow_mut(|known| known.learn(id, app.clone(), now_ms()));
    Ok(app)
}
