//! Finding an app: among the deployment's own, or by asking its object, when apps can be made at run time at all.

use std::rc::Rc;

use super::deployment::Deployment;
use crate::app::{self, KnownApps};
use crate::auth::App;
use crate::error::ErrorInfo;
use crate::model::name::AppId;
use crate::rpc::{Answer, AppCall, AppRequest, AppResponse};

#[derive(Default)]
pub(super) struct Directory {
    known: KnownApps,
}

pub(super) struct Found {
    pub app: Rc<App>,
    /// Whether it is one of the deployment's own, which no request can end.
    pub is_configured: bool,
}

pub(super) enum Search {
    /// What there is under this id.
    Over(Option<Found>),
    /// Its object must be asked, whose answer [`Directory::learn`] takes.
    Ask(AppCall),
}

impl Directory {
    /// Fails with 50320 when the deployment's apps are missing or can't be read, and with 42910 when too many were
    /// asked for from this address that there are not.
    pub fn find(
        &mut self,
        id: &AppId,
        address: &str,
        deployment: &Deployment,
        now_ms: u64,
    ) -> Result<Search, ErrorInfo> {
        if let Some(app) = deployment.apps()?.get(id) {
            return Ok(Search::Over(Some(Found { app: app.clone(), is_configured: true })));
        }
        if !deployment.makes_apps {
            return Ok(Search::Over(None));
        }
        if let Some(app) = self.known.get(id, now_ms) {
            return Ok(Search::Over(app.clone().map(made)));
        }
        self.known.ask(id, address, now_ms)?;
        Ok(Search::Ask(AppCall { app: id.clone(), request: AppRequest::Config }))
    }

    /// What an app's object says. Fails with 50003 when it did not answer, and as [`app::configuration`] does.
    pub fn learn(&mut self, id: &AppId, answer: Answer<AppResponse>, now_ms: u64) -> Result<Option<Found>, ErrorInfo> {
        let app = match answer? {
            AppResponse::Config(Some(config)) => Some(Rc::new(app::configuration(&config)?)),
            _ => None,
        };
        self.known.learn(id, app.clone(), now_ms);
        Ok(app.map(made))
    }

    /// Whether there is one, as far as it is known without asking.
    pub fn is_known(&self, id: &AppId, deployment: &Deployment, now_ms: u64) -> bool {
        let is_configured = deployment.apps.as_ref().is_ok_and(|apps| apps.get(id).is_some());
        is_configured || self.known.get(id, now_ms).is_some_and(Option::is_some)
    }

    /// What was known of an app may not be true any more.
    pub fn forget(&mut self, id: &AppId) {
        self.known.forget(id);
    }
}

fn made(app: Rc<App>) -> Found {
    Found { app, is_configured: false }
}
