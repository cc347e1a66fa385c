//! What the router of one isolate counts: requests, and who was not let in. It has no object of its own, so it reports
//! for each app while it has requests to answer.

use super::reporter::{Report, Reporter, Taken};
use super::tally::{Counter, Tally};
use crate::base::maps::HashMap;
use crate::limits::COUNTED_APPS_MAX;
use crate::model::name::AppId;

#[derive(Debug, Default)]
pub struct Requests {
    apps: HashMap<AppId, (Reporter, Tally)>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub is_for_token: bool,
    pub status: u16,
    /// The error that it was answered with.
    pub code: Option<u32>,
}

impl Requests {
    /// `app` is the one that the request named, if there is such an app.
    pub fn answered(&mut self, app: Option<&AppId>, answered: Answered, now_ms: u64) {
        let of_tokens = [Counter::TokensSucceeded, Counter::TokensRefused, Counter::TokensFailed];
        let of_others = [Counter::RequestsSucceeded, Counter::RequestsRefused, Counter::RequestsFailed];
        let outcome = match answered.status {
            401 | 403 | 429 => 1,
            400.. => 2,
            _ => 0,
        };
        let counter = if answered.is_for_token { of_tokens } else { of_others }[outcome];
        self.count(app, now_ms, |tally| {
            tally.add(counter, 1);
            answered.code.into_iter().for_each(|code| tally.refuse_code(code));
        });
    }

    pub fn refused_connection(&mut self, app: Option<&AppId>, code: u32, now_ms: u64) {
        self.count(app, now_ms, |tally| {
            tally.add(Counter::ConnectionsRefused, 1);
            tally.refuse_code(code);
        });
    }

    fn count(&mut self, app: Option<&AppId>, now_ms: u64, count: impl FnOnce(&mut Tally)) {
        let has_room = |app: &&AppId| self.apps.len() < COUNTED_APPS_MAX || self.apps.contains_key(*app);
        let app = app.filter(has_room).cloned().unwrap_or_else(AppId::deployment);
        let (reporter, tally) = self.apps.entry(app).or_default();
        count(tally);
        reporter.take(tally, 0, false, now_ms);
    }

    pub fn has_news(&self) -> bool {
        self.apps.values().any(|(reporter, _)| reporter.has_news())
    }

    /// What is to be reported now; see [`Reporter::look`]. Apps that nobody asked anything of are forgotten.
    pub fn look(&mut self, now_ms: u64) -> Vec<(AppId, Report)> {
        let mut reports = Vec::new();
        for (app, (reporter, _)) in &mut self.apps {
            reports.extend(reporter.look(now_ms).into_iter().map(|report| (app.clone(), report)));
        }
        self.apps.retain(|_, (reporter, _)| !reporter.is_done(now_ms));
        reports
    }

    pub fn told(&mut self, app: &AppId, minute: u64, taken: Taken) {
        if let Some((reporter, _)) = self.apps.get_mut(app) {
            reporter.answered(minute, taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AppId {
        AppId::parse(text).unwrap()
    }

    fn ok() -> Answered {
        Answered { is_for_token: false, status: 200, code: None }
    }

    #[test]
    fn requests_are_counted_by_outcome_for_their_app() {
        let mut requests = Requests::default();
        let now_ms = 3_600_000;
        for (is_for_token, status, code) in
            [(false, 201, None), (false, 404, Some(40400)), (true, 401, Some(40101)), (false, 429, Some(42910))]
        {
            requests.answered(Some(&id("a")), Answered { is_for_token, status, code }, now_ms);
        }
        requests.refused_connection(None, 40101, now_ms);
        assert!(requests.has_news());
        assert!(requests.look(now_ms + 5_000).len() == 2);
        let mut again = Requests::default();
        again.answered(Some(&id("a")), Answered { is_for_token: true, status: 401, code: Some(40101) }, now_ms);
        let [(app, report)] = &again.look(now_ms + 5_000)[..] else { panic!("one app") };
        assert_eq!((app, report.tally.get(Counter::TokensRefused)), (&id("a"), 1));
        assert_eq!(report.tally.refusals.iter().collect::<Vec<_>>(), [(&40101, &1)]);
    }

    #[test]
    fn apps_are_forgotten_when_all_is_told_and_never_too_many() {
        let mut requests = Requests::default();
        for number in 0..COUNTED_APPS_MAX + 5 {
            requests.answered(Some(&id(&format!("a{number}"))), ok(), 3_600_000);
        }
        assert_eq!(requests.apps.len(), COUNTED_APPS_MAX + 1, "and the deployment");
        let reports = requests.look(3_605_000);
        assert_eq!(reports.len(), COUNTED_APPS_MAX + 1);
        reports.iter().for_each(|(app, report)| requests.told(app, report.minute, Taken::Yes));
        requests.look(3_720_000);
        assert_eq!((requests.apps.len(), requests.has_news()), (0, false));
    }
}
