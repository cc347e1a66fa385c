//! Statistics and metrics.

/// How long an object counts before it looks whether to report. Within the ten idle seconds after which the platform
/// lets an object sleep, so that to report keeps none awake.
pub const STATS_LOOK_MS: u64 = 1_000;

/// Between two reports of an object that falls quiet again and again: 12 a minute, each of which replaces one row.
pub const STATS_QUIET_MS: u64 = 5_000;

/// A busy object reports once a minute, and when it falls quiet: a row a minute, whatever it does.
pub const STATS_REPORT_MS: u64 = 60_000;

/// The same while somebody looks at the statistics: 12 reports a minute of each busy object.
pub const STATS_OBSERVED_MS: u64 = 5_000;

/// Between two looks whether the app took the last report before a stop: it takes one write.
pub const STATS_TAKEN_LOOK_MS: u64 = 20;

/// Between two messages about the statistics of a minute, however many objects report: each is read from all rows of
/// its minute, 2 KB of JSON.
pub const META_STATS_MS: u64 = 2_000;

/// Minutes of which one turn tells, the last of those that changed.
pub const META_MINUTES_MAX: usize = 3;

/// Messages that wait for one metachannel while a call to it is on its way; older ones are dropped. Each has at most
/// 3 KB, an entry of the audit 1 KB.
pub const META_WAITING_MAX: usize = 100;

/// Minutes whose report waits for an answer. An app that cannot be reached for longer has gaps in its statistics; a
/// tally has 1 KB.
pub const STATS_WAITING_MAX: usize = 10;

/// After so many minutes the reports of a minute become one row, and part of their hour; later ones are dropped.
/// Longer than a report waits.
pub const STATS_OPEN_MINUTES: u64 = STATS_WAITING_MAX as u64 + 2;

/// Minutes that a report closes, at most: what was left when an app fell quiet is closed over a few reports.
pub const STATS_CLOSED_AT_ONCE: usize = 20;

/// Rows of minutes that are read at a time: 1 KB each.
pub const STATS_ROWS_AT_ONCE: usize = 200;

/// How long minutes are kept, and hours: 10,080 rows of a week and 9,600 of 400 days, of 300 bytes each, about 6 MB.
pub const STATS_MINUTES_KEPT: u64 = 7 * 24 * 60;
pub const STATS_HOURS_KEPT_MINUTES: u64 = 400 * 24 * 60;

/// Error codes of which an interval tells how often clients were told each, the most frequent: 250 bytes of JSON.
pub const STATS_CODES_MAX: usize = 10;

/// Intervals in a page.
pub const STATS_PAGE_MAX: usize = 1_000;

/// Minutes in one request to make up statistics, and of an app.
pub const STATS_FIXTURES_MAX: usize = 1_000;
pub const STATS_FIXTURES_KEPT_MAX: usize = 10_000;

/// Apps for which one isolate counts requests at a time; each takes 2 KB. Those of others count for the deployment.
pub const COUNTED_APPS_MAX: usize = 1_000;

/// How long a router goes on to report after a request was answered: the platform allows 30 seconds.
pub const STATS_ROUTER_MS: u64 = 20_000;

/// 9999-12-31:23:59, the last minute that has an id.
pub const STATS_LAST_MINUTE: u64 = 4_223_371_679;

/// Apps that a scrape of the metrics asks, at once: the platform allows a request 1,000 calls.
pub const METRICS_APPS_MAX: usize = 500;

/// Apps of which the deployment keeps what they counted, those that ended among them, and that one list of apps names:
/// rows of 300 bytes, 3 MB, and 200 KB of names.
pub const METRICS_APPS_KEPT_MAX: usize = 10_000;

/// Points of one report for an analytics service: Cloudflare takes 250 of one request, and twenty numbers in each.
pub const POINTS_MAX: usize = 200;

const _: () = assert!(STATS_LOOK_MS < 10_000, "an object that counts reports before it may sleep");
