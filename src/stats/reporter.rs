//! When an object tells its app what it counted.
//!
//! It begins to look when it has something to report, every second, and ends when all of it is answered. It
//! reports the first counts after a quiet time at once, then each minute when that is over, and the rest when it falls
//! quiet. So a busy object reports once a minute, an idle one never, and none is kept awake for it. While somebody
//! looks at the statistics, the answer to a report says so, and a busy object reports every few seconds. Before the
//! server stops, it reports whatever it has each time it looks.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::interval::MINUTE_MS;
use super::tally::{Counter, Gauge, Tally};
use crate::limits::{STATS_OBSERVED_MS, STATS_QUIET_MS, STATS_REPORT_MS, STATS_WAITING_MAX};

/// What an object counted in a minute, up to now. Of two of one minute the later one holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub minute: u64,
    pub revision: u64,
    pub tally: Tally,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    No,
    Yes,
    /// It was taken, and somebody looks at the statistics.
    Observed,
}

#[derive(Debug, Default)]
pub struct Reporter {
    /// Of this minute.
    report: Report,
    /// There is something in it that was not reported.
    is_news: bool,
    /// Something came since it last looked.
    is_busy: bool,
    /// The last report was not taken.
    has_failed: bool,
    /// Somebody looks at the statistics, as the answer to the last report said.
    is_observed: bool,
    /// The server is about to stop.
    is_ending: bool,
    reported_ms: u64,
    /// On their way, one for a minute.
    sent: Vec<Report>,
    /// Of minutes that are over, to be sent.
    over: VecDeque<Report>,
    connections: Level,
    /// What is worth no report of its own.
    noted: Tally,
    /// It is of a channel that was in use in this minute.
    is_channel: bool,
}

/// A number over a minute.
#[derive(Debug, Default)]
struct Level {
    value: u64,
    peak: u64,
    min: u64,
    begun_ms: u64,
    since_ms: u64,
    /// The value, each time for how many milliseconds.
    area: u64,
}

impl Level {
    fn set(&mut self, value: u64, now_ms: u64) {
        self.area += self.value * now_ms.saturating_sub(self.since_ms);
        (self.value, self.since_ms) = (value, now_ms);
        (self.peak, self.min) = (self.peak.max(value), self.min.min(value));
    }

    fn begin(&mut self, now_ms: u64) {
        let value = self.value;
        *self = Level { value, peak: value, min: value, begun_ms: now_ms, since_ms: now_ms, area: 0 };
    }

    fn gauge(&mut self, now_ms: u64) -> Gauge {
        self.set(self.value, now_ms);
        let passed_ms = now_ms.saturating_sub(self.begun_ms);
        let mean = (self.area * 1_000).checked_div(passed_ms).unwrap_or(self.value * 1_000);
        Gauge::minute(self.peak, self.min, mean)
    }
}

impl Reporter {
    /// Counts what is worth no report of its own: it goes with the next.
    pub fn note(&mut self, counter: Counter, count: u64) {
        self.noted.add(counter, count);
    }

    /// Takes in what was counted until now, which is then none, while there were so many connections; `has_moved` says
    /// that one of them attached or detached.
    pub fn take(&mut self, counted: &mut Tally, connections: u64, has_moved: bool, now_ms: u64) {
        // That one began is counted. That one ended or is on another channel is not, and whoever looks must see it,
        // though they came just now.
        let is_news = !counted.is_empty() || connections < self.connections.value || has_moved;
        if is_news || self.connections.value != connections {
            self.roll(now_ms);
            self.connections.set(connections, now_ms);
        }
        if is_news {
            self.report.tally.add_after(&std::mem::take(counted));
            self.report.tally.add_after(&std::mem::take(&mut self.noted));
            (self.is_news, self.is_busy, self.has_failed) = (true, true, false);
        }
    }

    /// The channel was in use.
    pub fn count_channel(&mut self, now_ms: u64) {
        self.roll(now_ms);
        self.is_channel = true;
    }

    /// Whether to look again. While a report is on its way its answer says so, and where one failed, what comes next:
    /// an app that cannot be reached keeps no object awake.
    pub fn has_news(&self) -> bool {
        !self.has_failed && self.has_untold()
    }

    fn has_untold(&self) -> bool {
        self.is_news || !self.over.is_empty()
    }

    /// The server is about to stop: nothing waits for its time any more.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether a report is on its way. Until it is answered there is no other.
    pub fn is_telling(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Whether nothing of this minute or before is left to tell.
    pub fn is_done(&self, now_ms: u64) -> bool {
        let all_told = !self.has_untold() && self.sent.is_empty();
        all_told && (self.report.minute != now_ms / MINUTE_MS || self.report.tally.is_empty())
    }

    /// What is to be reported now. Each is to be [`Reporter::answered`]; before that nothing else is.
    pub fn look(&mut self, now_ms: u64) -> Vec<Report> {
        self.roll(now_ms);
        let is_busy = std::mem::take(&mut self.is_busy);
        if !self.sent.is_empty() {
            return Vec::new();
        }
        self.sent = self.over.drain(..).collect();
        let since_ms = now_ms.abs_diff(self.reported_ms);
        let between_ms = if self.is_observed { STATS_OBSERVED_MS } else { STATS_REPORT_MS };
        let is_due = self.is_ending || since_ms >= between_ms || !is_busy && since_ms >= STATS_QUIET_MS;
        if self.is_news && is_due {
            (self.is_news, self.reported_ms) = (false, now_ms);
            let report = self.closed(now_ms);
            self.sent.push(report);
        }
        self.sent.clone()
    }

    /// The report of this minute was taken, or must be sent again.
    pub fn answered(&mut self, minute: u64, taken: Taken) {
        self.is_observed = taken == Taken::Observed;
        let is_taken = taken != Taken::No;
        let Some(index) = self.sent.iter().position(|sent| sent.minute == minute) else { return };
        let report = self.sent.swap_remove(index);
        self.has_failed = !is_taken;
        match is_taken {
            true => {}
            false if minute == self.report.minute => self.is_news = true,
            false if self.over.iter().any(|over| over.minute == minute) => {}
            false => self.over.push_back(report),
        }
        if self.over.len() > STATS_WAITING_MAX {
            self.over.pop_front();
        }
    }

    fn closed(&mut self, now_ms: u64) -> Report {
        self.report.revision += 1;
        self.report.tally.connections = self.connections.gauge(now_ms);
        self.report.tally.channels = if self.is_channel { Gauge::minute(1, 1, 1_000) } else { Gauge::default() };
        self.report.clone()
    }

    /// Begins another minute if it is one.
    fn roll(&mut self, now_ms: u64) {
        let minute = now_ms / MINUTE_MS;
        if minute == self.report.minute {
            return;
        }
        if std::mem::take(&mut self.is_news) {
            let ends_ms = ((self.report.minute + 1) * MINUTE_MS).min(now_ms);
            let report = self.closed(ends_ms);
            self.over.push_back(report);
        }
        (self.report, self.is_channel) = (Report { minute, ..Report::default() }, false);
        self.connections.begin(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts so many commits.
    fn count(reporter: &mut Reporter, commits: u64, now_ms: u64) -> bool {
        let mut counted = Tally::default();
        counted.add(Counter::Commits, commits);
        reporter.take(&mut counted, 0, false, now_ms);
        reporter.has_news()
    }

    /// What it reports, as minute and commits; all of it is taken.
    fn look(reporter: &mut Reporter, now_ms: u64) -> Vec<(u64, u64)> {
        let reports = reporter.look(now_ms);
        reports.iter().for_each(|report| reporter.answered(report.minute, Taken::Yes));
        reports.iter().map(|report| (report.minute, report.tally.get(Counter::Commits))).collect()
    }

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_busy_object_reports_once_a_minute_and_when_it_falls_quiet() {
        let mut reporter = Reporter::default();
        let mut reports = Vec::new();
        for second in (0..150).step_by(5) {
            assert!(count(&mut reporter, 1, HOUR_MS + second * 1_000));
            reports.extend(look(&mut reporter, HOUR_MS + second * 1_000 + 4_000));
        }
        assert_eq!(reports, [(60, 1), (60, 12), (61, 1), (61, 12), (62, 1)]);
        assert_eq!(look(&mut reporter, HOUR_MS + 155_000), [(62, 6)], "the rest");
        assert!(!reporter.has_news());
        assert_eq!(look(&mut reporter, HOUR_MS + 400_000), []);
    }

    #[test]
    fn a_report_that_was_not_taken_is_sent_again_and_counts_all() {
        let mut reporter = Reporter::default();
        count(&mut reporter, 1, HOUR_MS);
        let first = reporter.look(HOUR_MS + 5_000);
        assert_eq!(first.len(), 1);
        count(&mut reporter, 2, HOUR_MS + 6_000);
        assert_eq!(reporter.look(HOUR_MS + 10_000), [], "one at a time");
        reporter.answered(60, Taken::No);
        let again = reporter.look(HOUR_MS + 65_000);
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].minute, again[0].tally.get(Counter::Commits)), (60, 3));
        assert!(again[0].revision > first[0].revision);
        reporter.answered(60, Taken::No);
        assert_eq!(look(&mut reporter, HOUR_MS + 70_000), [(60, 3)]);
        assert!(!reporter.has_news());
    }

    #[test]
    fn who_looks_is_told_sooner_until_the_answer_says_that_nobody_does() {
        let mut reporter = Reporter::default();
        let mut reported = Vec::new();
        for second in 0..120 {
            let now_ms = HOUR_MS + second * 1_000;
            count(&mut reporter, 1, now_ms);
            for report in reporter.look(now_ms + 500) {
                reported.push(second);
                reporter.answered(report.minute, if second < 20 { Taken::Observed } else { Taken::Yes });
            }
        }
        assert_eq!(reported, [0, 5, 10, 15, 20, 60, 80], "the first of a minute tells the rest of the one before");
    }

    #[test]
    fn nothing_waits_once_the_server_is_about_to_stop() {
        let mut reporter = Reporter::default();
        count(&mut reporter, 1, HOUR_MS);
        assert_eq!(look(&mut reporter, HOUR_MS), [(60, 1)]);
        count(&mut reporter, 2, HOUR_MS + 10);
        assert_eq!(look(&mut reporter, HOUR_MS + 20), [], "it is told when its time comes");
        reporter.end();
        assert!(!reporter.is_telling());
        assert_eq!(reporter.look(HOUR_MS + 30)[0].tally.get(Counter::Commits), 3);
        assert!(reporter.is_telling(), "the app has yet to take it");
        reporter.answered(60, Taken::Yes);
        assert!(!reporter.is_telling());
    }

    #[test]
    fn that_a_connection_ended_is_news_before_anybody_is_known_to_look() {
        let mut reporter = Reporter::default();
        reporter.take(&mut Tally::default(), 3, false, HOUR_MS);
        assert!(!reporter.has_news(), "those that an object wakes with are no news");
        reporter.take(&mut Tally::default(), 2, false, HOUR_MS + 1_000);
        let [report] = &reporter.look(HOUR_MS + 6_000)[..] else { panic!("it is told") };
        assert_eq!(report.tally.connections.peak, 3);
        reporter.answered(60, Taken::Yes);
        assert!(!reporter.has_news());
        reporter.take(&mut Tally::default(), 1, false, HOUR_MS + 12_000);
        assert!(reporter.has_news());
    }

    /// At the pace of all else that is reported: while somebody looks every five seconds, however many attach.
    #[test]
    fn that_connections_attach_is_news_as_often_as_anything_else() {
        let mut reporter = Reporter::default();
        let mut reported = Vec::new();
        for second in 0..60 {
            let now_ms = HOUR_MS + second * 1_000;
            (0..100).for_each(|_| reporter.take(&mut Tally::default(), 100, second < 20, now_ms));
            for report in reporter.look(now_ms + 500) {
                reported.push(second);
                reporter.answered(report.minute, Taken::Observed);
            }
        }
        assert_eq!(reported, [0, 5, 10, 15, 20], "and the rest when nobody moves any more");
        assert!(!reporter.has_news());
    }

    #[test]
    fn an_app_that_cannot_be_reached_keeps_nobody_awake() {
        let mut reporter = Reporter::default();
        assert!(count(&mut reporter, 1, HOUR_MS));
        reporter.look(HOUR_MS + 1_000);
        reporter.answered(60, Taken::No);
        assert!(!reporter.has_news(), "nobody looks again for that alone");
        assert!(count(&mut reporter, 1, HOUR_MS + 30_000));
        assert_eq!(look(&mut reporter, HOUR_MS + 91_000), [(60, 2)], "and what comes next tells all");
    }

    #[test]
    fn an_app_that_is_away_for_long_misses_the_oldest_minutes() {
        let mut reporter = Reporter::default();
        for minute in 0..20 {
            count(&mut reporter, 1, HOUR_MS + minute * 60_000);
            for report in reporter.look(HOUR_MS + minute * 60_000 + 5_000) {
                reporter.answered(report.minute, Taken::No);
            }
        }
        let left = look(&mut reporter, HOUR_MS + 21 * 60_000);
        assert!(left.len() <= STATS_WAITING_MAX + 1 && left.contains(&(79, 1)), "{left:?}");
    }

    #[test]
    fn what_is_noted_goes_with_the_next_report_and_asks_for_none() {
        let mut reporter = Reporter::default();
        reporter.note(Counter::Wakes, 2);
        reporter.take(&mut Tally::default(), 0, false, HOUR_MS);
        assert!(!reporter.has_news());
        count(&mut reporter, 1, HOUR_MS + 200_000);
        assert_eq!(reporter.look(HOUR_MS + 205_000)[0].tally.get(Counter::Wakes), 2);
    }

    #[test]
    fn connections_are_counted_over_their_minute() {
        let mut reporter = Reporter::default();
        count(&mut reporter, 1, HOUR_MS);
        reporter.take(&mut Tally::default(), 4, false, HOUR_MS + 30_000);
        reporter.look(HOUR_MS + 60_000);
        let first = reporter.sent[0].tally.connections;
        assert_eq!((first.peak, first.min, first.mean()), (4, 0, 2_000));
        reporter.answered(60, Taken::Yes);
        let mut later = Tally::default();
        later.add(Counter::Commits, 1);
        reporter.take(&mut later, 6, false, HOUR_MS + 90_000);
        let mut more = Tally::default();
        more.add(Counter::Commits, 1);
        reporter.take(&mut more, 6, false, HOUR_MS + 125_000);
        let gauges = reporter.look(HOUR_MS + 180_000).into_iter().map(|report| report.tally.connections);
        let gauges: Vec<_> = gauges.map(|gauge| (gauge.peak, gauge.min, gauge.mean())).collect();
        assert_eq!(gauges, [(6, 4, 5_000), (6, 6, 6_000)]);
    }
}
