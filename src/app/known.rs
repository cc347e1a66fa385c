//! Apps made at run time, as a router knows them: for a while without asking. To ask for one that there is not makes
//! an object, so an address may do that so often, and beyond that as often as all such addresses share. An app that was
//! there is asked for all the same, and one that is named again goes before what a guesser names once: it shuts nobody
//! out who shares its address.

use std::rc::Rc;

use crate::auth::App;
use crate::base::cache::Cache;
use crate::base::maps::HashSet;
use crate::base::pause;
use crate::base::rate::Buckets;
use crate::error::{Code, ErrorInfo};
use crate::limits::{
    CALL_PATIENCE_MS, FOUND_APP_KEPT_MS, KNOWN_APPS_MAX, MISSING_APP_KEPT_MS, MISSING_APPS, MISSING_APPS_SPARE,
    REFUSED_APP_KEPT_MS, REFUSED_APPS_MAX, SEEN_APP_KEPT_MS, SEEN_APPS_MAX, WRONG_SECRETS_MAX_KEYS,
};
use crate::model::name::AppId;

pub struct KnownApps {
    /// And those that were asked for in vain.
    found: Cache<AppId, Option<Rc<App>>>,
    /// Those that were there when they were last asked for.
    seen: Cache<AppId, ()>,
    /// Those that are being asked for, and at whose cost: a crowd that comes at once asks for one app.
    asked: Cache<AppId, Cost>,
    /// Those that could not be asked for when they came first.
    refused: Refused,
    in_vain: Buckets<Cost>,
    spare: Buckets<Cost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Cost {
    Address(String),
    /// Of all addresses that have had their own; apart for ids that come again.
    Spare {
        is_again: bool,
    },
}

/// The last ids that were refused, in two halves: the older goes as a whole.
#[derive(Default)]
struct Refused {
    newer: HashSet<AppId>,
    older: HashSet<AppId>,
    since_ms: u64,
}

impl Refused {
    fn has(&self, id: &AppId) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }

    fn put(&mut self, id: AppId, now_ms: u64) {
        let is_over = pause::is_over(self.since_ms + REFUSED_APP_KEPT_MS, REFUSED_APP_KEPT_MS, now_ms);
        if is_over || self.newer.len() >= REFUSED_APPS_MAX / 2 {
            (self.older, self.since_ms) = (std::mem::take(&mut self.newer), now_ms);
        }
        self.newer.insert(id);
    }
}

impl Default for KnownApps {
    fn default() -> KnownApps {
        KnownApps {
            found: Cache::new(KNOWN_APPS_MAX),
            seen: Cache::new(SEEN_APPS_MAX),
            asked: Cache::new(KNOWN_APPS_MAX),
            refused: Refused::default(),
            in_vain: Buckets::new(MISSING_APPS, WRONG_SECRETS_MAX_KEYS),
            spare: Buckets::new(MISSING_APPS_SPARE, 2),
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
        let own = Cost::Address(address.to_owned());
        let spare = Cost::Spare { is_again: self.refused.has(id) };
        let cost = match self.in_vain.allows(&own, now_ms) {
            true => own,
            false if self.spare.allows(&spare, now_ms) => spare,
            false => {
                self.refused.put(id.clone(), now_ms);
                let refusal = "too many unknown apps were asked for; wait before you try others";
                return Err(Code::RateLimited.because(refusal));
            }
        };
        self.budget(&cost).take(cost.clone(), now_ms);
        self.asked.put(id.clone(), cost, now_ms + CALL_PATIENCE_MS, now_ms);
        Ok(())
    }

    fn budget(&mut self, cost: &Cost) -> &mut Buckets<Cost> {
        match cost {
            Cost::Address(_) => &mut self.in_vain,
            Cost::Spare { .. } => &mut self.spare,
        }
    }

    /// An app that was asked for is there, or is not.
    pub fn learn(&mut self, id: &AppId, app: Option<Rc<App>>, now_ms: u64) {
        let cost = self.asked.get(id, now_ms).cloned();
        self.asked.remove(id);
        match &app {
            Some(_) => {
                cost.iter().for_each(|cost| self.budget(cost).give_back(cost));
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
        let bursts = MISSING_APPS.burst + MISSING_APPS_SPARE.burst;
        assert_eq!(guess(&mut apps, "here", NOW_MS), bursts);
        let asked = bursts + MISSING_APPS.burst + MISSING_APPS_SPARE.burst;
        assert_eq!(guess(&mut apps, "elsewhere", NOW_MS), asked, "those asked for are no new ones, others come again");
        assert_eq!(guess(&mut apps, "elsewhere", NOW_MS), asked, "and that is all for now");
    }

    /// Whoever shares a guesser's address, at a router that knows nothing of the app yet.
    #[test]
    fn an_app_that_is_named_again_is_asked_for_beside_what_a_guesser_names_once() {
        let mut apps = KnownApps::default();
        let mut asked = 0;
        for second in 0..600 {
            let now_ms = NOW_MS + second * 1_000;
            for number in 0..100 {
                asked += usize::from(apps.ask(&id(&format!("guess{second}x{number}")), "here", now_ms).is_ok());
            }
            let live = id(&format!("live{}", second / 20));
            match second % 20 {
                0 => assert!(apps.ask(&live, "here", now_ms).is_err(), "the guesses were before it"),
                15 => assert!(apps.ask(&live, "here", now_ms).is_ok(), "second {second}"),
                _ => {}
            }
        }
        let most = 600 * 1_000 / MISSING_APPS_SPARE.interval_ms + 600 * 1_000 / MISSING_APPS.interval_ms;
        assert!(asked as u64 <= most + MISSING_APPS.burst + MISSING_APPS_SPARE.burst, "{asked}");
    }

    #[test]
    fn a_guesser_shuts_out_nobody_who_asks_for_what_is_there() {
        let mut apps = KnownApps::default();
        apps.ask(&id("live"), "here", NOW_MS).unwrap();
        apps.learn(&id("live"), there(), NOW_MS);
        guess(&mut apps, "here", NOW_MS);
        let later_ms = NOW_MS + FOUND_APP_KEPT_MS;
        (0..1_000).for_each(|number| drop(apps.ask(&id(&format!("other{number}")), "here", later_ms)));
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
