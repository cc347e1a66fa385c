//! Apps made at run time, as a router knows them: for a while without asking. To ask for one that there is not makes
//! an object, so an address may do that so often and no more. An app that was there is asked for all the same: a
//! guesser of ids shuts nobody out who shares its address.

use std::rc::Rc;

use crate::auth::App;
use crate::base::cache::Cache;
use crate::base::rate::Buckets;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CALL_PATIENCE_MS, FOUND_APP_KEPT_MS, KNOWN_APPS_MAX, MISSING_APP_KEPT_MS, MISSING_APPS, SEEN_APP_KEPT_MS,
    SEEN_APPS_MAX, WRONG_SECRETS_MAX_KEYS,
};
use crate::model::name::AppId;

pub struct KnownApps {
    /// And those that were asked for in vain.
    found: Cache<AppId, Option<Rc<App>>>,
    /// Those that were there when they were last asked for.
    seen: Cache<AppId, ()>,
    /// Those that are being asked for, and for whom: a crowd that comes at once asks for one app.
    asked: Cache<AppId, String>,
    in_vain: Buckets<String>,
}

impl Default for KnownApps {
    fn default() -> KnownApps {
        KnownApps {
            found: Cache::new(KNOWN_APPS_MAX),
            seen: Cache::new(SEEN_APPS_MAX),
            asked: Cache::new(KNOWN_APPS_MAX),
            in_vain: Buckets::new(MISSING_APPS, WRONG_SECRETS_MAX_KEYS),
        }
    }
}

impl KnownApps {
    /// An app as it is known: there, or not.
    pub fn get(&self, id: &AppId, now_ms: u64) -> Option<&Option<Rc<App>>> {
        self.found.get(id, now_ms)
    }

    /// Whether an app may be asked for. It counts before it is known what there is: many may ask at once. Fails with
    /// 42910 when too many were asked for from this address that there are not.
    pub fn ask(&mut self, id: &AppId, address: &str, now_ms: u64) -> Result<(), ErrorInfo> {
        if self.seen.get(id, now_ms).is_some() || self.asked.get(id, now_ms).is_some() {
            return Ok(());
        }
        if !self.in_vain.allows(address, now_ms) {
            return Err(Code::RateLimited.because("too many unknown apps were asked for; wait before you try others"));
        }
        self.in_vain.take(address.to_owned(), now_ms);
        self.asked.put(id.clone(), address.to_owned(), now_ms + CALL_PATIENCE_MS, now_ms);
        Ok(())
    }

    /// An app that was asked for is there, or is not.
    pub fn learn(&mut self, id: &AppId, app: Option<Rc<App>>, now_ms: u64) {
        let asked_by = self.asked.get(id, now_ms).cloned();
        self.asked.remove(id);
        match &app {
            Some(_) => {
                asked_by.iter().for_each(|address| self.in_vain.give_back(address.as_str()));
                self.seen.put(id.clone(), (), now_ms + SEEN_APP_KEPT_MS, now_ms);
            }
            None => self.seen.remove(id),
        }
        let until_ms = now_ms + if app.is_some() { FOUND_APP_KEPT_MS } else { MISSING_APP_KEPT_MS };
        self.found.put(id.clone(), app, until_ms, now_ms);
    }

    /// An app may have changed since it was asked for.
    pub fn forget(&mut self, id: &AppId) {
        self.found.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000;

    fn id(text: &str) -> AppId {
        AppId::parse(text).unwrap()
    }

    fn there() -> Option<Rc<App>> {
        let app = serde_json::json!({"id": "live", "keys": [], "namespaces": []});
        Some(Rc::new(serde_json::from_value(app).unwrap()))
    }

    /// Asks for as many as it may that there are not, which are not answered yet.
    fn guess(apps: &mut KnownApps, address: &str, now_ms: u64) -> u64 {
        (0..1_000).filter(|number| apps.ask(&id(&format!("guess{number}")), address, now_ms).is_ok()).count() as u64
    }

    #[test]
    fn guesses_at_once_are_as_many_as_one_after_another() {
        let mut apps = KnownApps::default();
        assert_eq!(guess(&mut apps, "here", NOW_MS), MISSING_APPS.burst);
        assert_eq!(guess(&mut apps, "elsewhere", NOW_MS), MISSING_APPS.burst * 2, "those asked for are no new ones");
    }

    #[test]
    fn a_guesser_shuts_out_nobody_who_asks_for_what_is_there() {
        let mut apps = KnownApps::default();
        apps.ask(&id("live"), "here", NOW_MS).unwrap();
        apps.learn(&id("live"), there(), NOW_MS);
        guess(&mut apps, "here", NOW_MS);
        let later_ms = NOW_MS + FOUND_APP_KEPT_MS;
        guess(&mut apps, "here", later_ms);
        assert!(apps.get(&id("live"), later_ms).is_none());
        assert!(apps.ask(&id("live"), "here", later_ms).is_ok());
        assert!(apps.ask(&id("other"), "here", later_ms).unwrap_err().is(Code::RateLimited));
        apps.learn(&id("live"), None, later_ms);
        assert!(apps.ask(&id("live"), "here", later_ms).is_err(), "it was ended meanwhile");
    }

    #[test]
    fn a_crowd_asks_for_one_app_once_and_what_is_there_costs_nothing() {
        let mut apps = KnownApps::default();
        for round in 0..MISSING_APPS.burst * 2 {
            let id = id(&format!("live{round}"));
            for _ in 0..1_000 {
                assert!(apps.ask(&id, "here", NOW_MS).is_ok());
            }
            (0..1_000).for_each(|_| apps.learn(&id, there(), NOW_MS));
        }
    }
}
