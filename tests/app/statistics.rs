//! Statistics of an app with many objects: what is read of them at a time does not grow with them.

use courtside::limits::{STATS_OPEN_MINUTES, STATS_ROWS_AT_ONCE};
use courtside::rpc::{AppRequest, AppResponse, StatsQuery};
use courtside::stats::{Counter, Report, Tally, Unit};

use super::{NOW_MS, Scene};

const MINUTE_MS: u64 = 60_000;
const FIRST: u64 = NOW_MS / MINUTE_MS;
const REPORTERS: u64 = 3 * STATS_ROWS_AT_ONCE as u64 / 2;
const MINUTES: u64 = 4;

impl Scene {
    fn report(&mut self, reporter: u64, minute: u64) {
        let mut tally = Tally::default();
        tally.add(Counter::RequestsSucceeded, 1);
        let report = Box::new(Report { minute, revision: 1, tally });
        let answer = self.call(AppRequest::Report { reporter: format!("reporter{reporter}"), report });
        assert_eq!(answer, Ok(AppResponse::Done));
    }

    fn counted(&mut self, unit: Unit, forwards: bool, limit: usize) -> Vec<(u64, u64)> {
        let query = StatsQuery { unit, from: FIRST - 60, to: FIRST + 60, forwards, limit };
        match self.call(AppRequest::Stats(query)) {
            Ok(AppResponse::Stats(rows)) => {
                rows.into_iter().map(|(at, tally)| (at - FIRST, tally.get(Counter::RequestsSucceeded))).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn total(&mut self) -> u64 {
        match self.call(AppRequest::Total) {
            Ok(AppResponse::Total(total)) => total.get(Counter::RequestsSucceeded),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn rows_are_read_a_few_at_a_time_however_many_report() {
    let mut scene = Scene::made();
    for minute in 0..MINUTES {
        scene.now_ms = NOW_MS + minute * MINUTE_MS;
        (0..REPORTERS).for_each(|reporter| scene.report(reporter, FIRST + minute));
    }
    let all: Vec<(u64, u64)> = (0..MINUTES).map(|minute| (minute, REPORTERS)).collect();
    assert_eq!(scene.counted(Unit::Minute, true, 10), all);
    assert_eq!(scene.counted(Unit::Minute, true, 1), all[..2], "one more, for who asks whether others follow");
    let last: Vec<(u64, u64)> = all.iter().rev().take(2).copied().collect();
    assert_eq!(scene.counted(Unit::Minute, false, 1), last);
    assert_eq!(scene.total(), MINUTES * REPORTERS);
    // All but the last are closed by the next report.
    scene.now_ms = NOW_MS + (MINUTES + STATS_OPEN_MINUTES - 1) * MINUTE_MS;
    scene.report(0, FIRST + MINUTES);
    assert_eq!(scene.counted(Unit::Minute, true, 10)[..all.len()], all);
    assert_eq!(scene.total(), MINUTES * REPORTERS + 1);
    assert_eq!(
        scene.store.stats.len() as u64,
        (MINUTES - 1) + 1 + 1 + REPORTERS + 1,
        "minutes, hour, total, open ones"
    );
    let at_once = scene.store.stats_at_once;
    assert!(at_once <= STATS_ROWS_AT_ONCE, "{at_once} rows at once");
}

#[test]
fn what_is_reported_between_two_measures_is_in_the_next() {
    let mut scene = Scene::made();
    scene.registrar.statistics.is_measured = true;
    scene.report(1, FIRST);
    scene.report(2, FIRST);
    scene.report(2, FIRST);
    assert_eq!(scene.registrar.statistics.measured.get(Counter::RequestsSucceeded), 2);
}
