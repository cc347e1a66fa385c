//! Counts of one object and minute, or of all that they were added up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::pinned::Versioned;
use crate::error::ErrorInfo;
use crate::model::message::{Entry, Kind};

/// Which way messages went. `Persisted` counts again what is kept for longer than two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    RealtimeIn,
    RestIn,
    RealtimeOut,
    RestOut,
    Persisted,
}

impl Traffic {
    pub const ALL: [Traffic; 5] =
        [Traffic::RealtimeIn, Traffic::RestIn, Traffic::RealtimeOut, Traffic::RestOut, Traffic::Persisted];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Count,
    /// Bytes, as a client may count them (protocol.md § 8.4).
    Data,
    Refused,
}

impl Metric {
    pub const ALL: [Metric; 3] = [Metric::Count, Metric::Data, Metric::Refused];
}

/// What messages are counted as. Annotations are messages.
pub const KINDS: [Kind; 3] = [Kind::Messages, Kind::Presence, Kind::Objects];

/// Where the numbers of each block begin by which counts are stored. They never change: a block that gets more than it
/// has room for goes on in one of its own, at the end.
const COUNTERS: usize = 45;
const LAG: usize = 62;
const BY_DOOR: usize = 70;
const HOOKS: usize = 73;
const PUSHES: usize = 105;
const COUNTS: usize = 125;

const _: () = assert!(Traffic::ALL.len() * KINDS.len() * Metric::ALL.len() <= COUNTERS);
const _: () = assert!(COUNTERS + Counter::COUNT <= LAG);
const _: () = assert!(LAG + LAG_BUCKETS_MS.len() <= BY_DOOR);
const _: () = assert!(BY_DOOR + DOORS.len() <= HOOKS);
const _: () = assert!(HOOKS + HookCount::ALL.len() <= PUSHES);
const _: () = assert!(PUSHES + PUSH_TRANSPORTS.len() * PushOutcome::ALL.len() <= COUNTS);

/// What else is counted. Stored by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    ConnectionsOpened,
    ConnectionsRefused,
    ChannelsOpened,
    RequestsSucceeded,
    RequestsFailed,
    RequestsRefused,
    TokensSucceeded,
    TokensFailed,
    TokensRefused,
    Commits,
    StoredBytes,
    FramesIn,
    FramesOut,
    Deliveries,
    /// Milliseconds from a message's place in the order to its delivery, of all deliveries.
    LagMs,
    Wakes,
    Alarms,
}

impl Counter {
    const COUNT: usize = Counter::Alarms as usize + 1;
}

/// Upper bounds of the histogram of delivery lag, in milliseconds; what exceeds the last is in none.
pub const LAG_BUCKETS_MS: [u64; 8] = [10, 25, 50, 100, 250, 500, 1_000, 2_500];

/// The doors of other protocols, by the names that `/metrics` gives them. Their order is that of stored numbers.
pub const DOORS: [&str; 3] = ["pusher", "socketio", "mqtt"];

/// Where pushes go, by the names of recipients. Their order is that of stored numbers.
pub const PUSH_TRANSPORTS: [&str; 4] = ["web", "ablyChannel", "fcm", "apns"];

/// How an attempt to deliver a push went. Stored by number, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    Delivered,
    /// It is tried again.
    Deferred,
    /// It is not.
    Failed,
    /// The recipient is no more.
    Gone,
    /// The service does not accept the app's credentials, or there are none.
    Unauthorised,
}

impl PushOutcome {
    pub const ALL: [PushOutcome; 5] = [
        PushOutcome::Delivered,
        PushOutcome::Deferred,
        PushOutcome::Failed,
        PushOutcome::Gone,
        PushOutcome::Unauthorised,
    ];

    pub fn name(self) -> &'static str {
        match self {
            PushOutcome::Delivered => "delivered",
            PushOutcome::Deferred => "deferred",
            PushOutcome::Failed => "failed",
            PushOutcome::Gone => "gone",
            PushOutcome::Unauthorised => "unauthorised",
        }
    }
}

/// What is counted of webhooks: requests by their outcome, and events. Stored by number, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookCount {
    Delivered,
    Failed,
    Ended,
    EventsDelivered,
    EventsGivenUp,
}

impl HookCount {
    pub const ALL: [HookCount; 5] = [
        HookCount::Delivered,
        HookCount::Failed,
        HookCount::Ended,
        HookCount::EventsDelivered,
        HookCount::EventsGivenUp,
    ];
}

/// How many there were at a time, over a minute or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    pub peak: u64,
    pub min: u64,
    /// Thousandths of the mean of each minute, summed.
    pub means: u64,
    pub minutes: u64,
}

impl Gauge {
    pub fn minute(peak: u64, min: u64, mean_thousandths: u64) -> Gauge {
        Gauge { peak, min, means: mean_thousandths, minutes: 1 }
    }

    /// Thousandths.
    pub fn mean(&self) -> u64 {
        self.means / self.minutes.max(1)
    }

    /// Adds those of another object, of the same minute.
    fn add_beside(&mut self, other: &Gauge) {
        self.peak += other.peak;
        self.min += other.min;
        self.means += other.means;
        self.minutes = self.minutes.max(other.minutes);
    }

    /// Adds those of another time.
    fn add_after(&mut self, other: &Gauge) {
        if other.minutes == 0 {
            return;
        }
        self.min = if self.minutes == 0 { other.min } else { self.min.min(other.min) };
        self.peak = self.peak.max(other.peak);
        self.means += other.means;
        self.minutes += other.minutes;
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    counts: [u64; COUNTS],
    pub connections: Gauge,
    pub channels: Gauge,
    /// By error code. There are as many as the table of errors has.
    pub refusals: BTreeMap<u32, u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            counts: [0; COUNTS],
            connections: Gauge::default(),
            channels: Gauge::default(),
            refusals: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty() && self.counts.iter().all(|count| *count == 0)
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[COUNTERS + counter as usize]
    }

    pub fn add(&mut self, counter: Counter, count: u64) {
        self.counts[COUNTERS + counter as usize] += count;
    }

    pub fn traffic(&self, way: Traffic, kind: Kind, metric: Metric) -> u64 {
        self.counts[at(way, kind, metric)]
    }

    pub fn add_traffic(&mut self, way: Traffic, kind: Kind, metric: Metric, count: u64) {
        self.counts[at(way, kind, metric)] += count;
    }

    pub fn add_load(&mut self, way: Traffic, Load { kind, count, data }: Load, times: u64) {
        self.add_traffic(way, kind, Metric::Count, count * times);
        self.add_traffic(way, kind, Metric::Data, data * times);
    }

    /// A publish that was refused. Which kind it was of is not always known: it counts as messages.
    pub fn refuse_publish(&mut self, way: Traffic, error: &ErrorInfo) {
        self.add_traffic(way, Kind::Messages, Metric::Refused, 1);
        self.refuse(error);
    }

    /// Forgets what went this way.
    pub fn drop_traffic(&mut self, way: Traffic) {
        self.counts[at(way, Kind::Messages, Metric::Count)..][..KINDS.len() * Metric::ALL.len()].fill(0);
    }

    pub fn refuse(&mut self, error: &ErrorInfo) {
        self.refuse_code(error.code);
    }

    pub fn refuse_code(&mut self, code: u32) {
        *self.refusals.entry(code).or_default() += 1;
    }

    /// A delivery of what was placed in the order so long ago.
    pub fn deliver(&mut self, lag_ms: u64) {
        self.add(Counter::Deliveries, 1);
        self.add(Counter::LagMs, lag_ms);
        if let Some(bucket) = LAG_BUCKETS_MS.iter().position(|bound_ms| lag_ms <= *bound_ms) {
            self.counts[LAG + bucket] += 1;
        }
    }

    /// Deliveries by the buckets of [`LAG_BUCKETS_MS`].
    pub fn lag(&self) -> &[u64] {
        &self.counts[LAG..][..LAG_BUCKETS_MS.len()]
    }

    /// A connection began that came in by this door.
    pub fn come_by(&mut self, door: &str) {
        if let Some(index) = DOORS.iter().position(|known| *known == door) {
            self.counts[BY_DOOR + index] += 1;
        }
    }

    /// How many connections came in by each of [`DOORS`].
    pub fn by_door(&self) -> &[u64] {
        &self.counts[BY_DOOR..][..DOORS.len()]
    }

    pub fn hooks(&self, count: HookCount) -> u64 {
        self.counts[HOOKS + count as usize]
    }

    pub fn add_hooks(&mut self, count: HookCount, more: u64) {
        self.counts[HOOKS + count as usize] += more;
    }

    pub fn pushes(&self, transport: &str, outcome: PushOutcome) -> u64 {
        push_at(transport, outcome).map_or(0, |at| self.counts[at])
    }

    pub fn add_push(&mut self, transport: &str, outcome: PushOutcome) {
        push_at(transport, outcome).into_iter().for_each(|at| self.counts[at] += 1);
    }

    fn add_counts(&mut self, other: &Tally) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        other.refusals.iter().for_each(|(code, more)| *self.refusals.entry(*code).or_default() += more);
    }

    /// Adds what another object counted in the same minute.
    pub fn add_beside(&mut self, other: &Tally) {
        self.add_counts(other);
        self.connections.add_beside(&other.connections);
        self.channels.add_beside(&other.channels);
    }

    /// Adds what was counted at another time.
    pub fn add_after(&mut self, other: &Tally) {
        self.add_counts(other);
        self.connections.add_after(&other.connections);
        self.channels.add_after(&other.channels);
    }

    /// What came since that; there was no less then. How many there are at a time stays as it is.
    pub fn since(&self, before: &Tally) -> Tally {
        let mut since = self.clone();
        since.counts.iter_mut().zip(&before.counts).for_each(|(count, known)| *count = count.saturating_sub(*known));
        for (code, known) in &before.refusals {
            since.refusals.entry(*code).and_modify(|count| *count = count.saturating_sub(*known));
        }
        since.refusals.retain(|_, count| *count > 0);
        since
    }
}

fn push_at(transport: &str, outcome: PushOutcome) -> Option<usize> {
    let transport = PUSH_TRANSPORTS.iter().position(|known| *known == transport)?;
    Some(PUSHES + transport * PushOutcome::ALL.len() + outcome as usize)
}

fn at(way: Traffic, kind: Kind, metric: Metric) -> usize {
    let kind = match kind {
        Kind::Messages | Kind::Annotations => 0,
        Kind::Presence => 1,
        Kind::Objects => 2,
    };
    (way as usize * KINDS.len() + kind) * Metric::ALL.len() + metric as usize
}

/// How much an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub kind: Kind,
    pub count: u64,
    pub data: u64,
}

impl Load {
    pub fn of(entry: &Entry) -> Load {
        fn sum<T>(all: &[T], size: impl Fn(&T) -> usize) -> (u64, u64) {
            (all.len() as u64, all.iter().map(size).sum::<usize>() as u64)
        }
        let kind = entry.kind();
        let (count, data) = match kind {
            Kind::Messages => sum(entry.messages(), |message| message.size()),
            Kind::Presence => sum(entry.presence(), |event| event.size()),
            Kind::Objects => sum(entry.objects(), |operation| operation.size()),
            Kind::Annotations => sum(entry.annotations(), |annotation| annotation.size()),
        };
        Load { kind, count, data }
    }
}

/// As it is stored and sent: what is not zero, by number.
#[derive(Serialize, Deserialize)]
struct Sparse {
    counts: Vec<(u16, u64)>,
    connections: Gauge,
    channels: Gauge,
    refusals: BTreeMap<u32, u64>,
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let counts = counts.map(|(number, count)| (number as u16, *count)).collect();
        let Tally { connections, channels, refusals, .. } = self.clone();
        Sparse { counts, connections, channels, refusals }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tally, D::Error> {
        let Sparse { counts: sparse, connections, channels, refusals } = Sparse::deserialize(deserializer)?;
        let mut tally = Tally { connections, channels, refusals, ..Tally::default() };
        for (number, count) in sparse {
            if let Some(known) = tally.counts.get_mut(usize::from(number)) {
                *known = count;
            }
        }
        Ok(tally)
    }
}

impl Versioned for Tally {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pinned;
    use crate::error::Code;

    #[test]
    fn a_tally_is_pinned() {
        let mut tally = Tally { connections: Gauge::minute(3, 1, 2_000), ..Tally::default() };
        tally.add_traffic(Traffic::RealtimeIn, Kind::Messages, Metric::Count, 7);
        tally.add(Counter::Alarms, 1);
        tally.deliver(3_000);
        tally.refuse(&Code::PublishRateLimited.into());
        let bytes = pinned::encode(&tally);
        let expected = b"\x01\x04\x00\x07\x3a\x01\x3b\xb8\x17\x3d\x01\x03\x01\xd0\x0f\x01\0\0\0\0\x01\x9f\xcf\x02\x01";
        assert_eq!(bytes, expected);
        assert_eq!(pinned::decode(&bytes), Ok(tally));
    }

    /// The first and the last number of each block.
    #[test]
    fn counts_are_stored_by_numbers_that_stay() {
        let mut tally = Tally::default();
        tally.add_traffic(Traffic::RealtimeIn, Kind::Messages, Metric::Count, 1);
        tally.add_traffic(Traffic::Persisted, Kind::Objects, Metric::Refused, 1);
        tally.add(Counter::ConnectionsOpened, 1);
        tally.add(Counter::Alarms, 1);
        [10, 2_500].into_iter().for_each(|lag_ms| tally.deliver(lag_ms));
        ["pusher", "mqtt"].into_iter().for_each(|door| tally.come_by(door));
        tally.add_hooks(HookCount::Delivered, 1);
        tally.add_hooks(HookCount::EventsGivenUp, 1);
        tally.add_push("web", PushOutcome::Delivered);
        tally.add_push("apns", PushOutcome::Unauthorised);
        let numbers: Vec<usize> = (0..COUNTS).filter(|number| tally.counts[*number] > 0).collect();
        assert_eq!(numbers, [0, 44, 45, 58, 59, 61, 62, 69, 70, 72, 73, 77, 105, 124], "58 and 59 count deliveries");
    }

    #[test]
    fn gauges_of_objects_add_up_and_those_of_minutes_do_not() {
        let minute = |peak, min| Tally { connections: Gauge::minute(peak, min, peak * 1_000), ..Tally::default() };
        let mut both = minute(3, 1);
        both.add_beside(&minute(5, 2));
        assert_eq!(both.connections, Gauge { peak: 8, min: 3, means: 8_000, minutes: 1 });
        let mut hour = Tally::default();
        [minute(0, 0), minute(8, 3), minute(4, 2)].iter().skip(1).for_each(|minute| hour.add_after(minute));
        assert_eq!((hour.connections.peak, hour.connections.min, hour.connections.mean()), (8, 2, 6_000));
    }

    #[test]
    fn a_delivery_is_in_the_first_bucket_that_holds_it() {
        let mut tally = Tally::default();
        [10, 11, 2_500, 2_501].into_iter().for_each(|lag_ms| tally.deliver(lag_ms));
        assert_eq!(tally.lag(), [1, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!((tally.get(Counter::Deliveries), tally.get(Counter::LagMs)), (4, 5_022));
    }

    #[test]
    fn connections_are_counted_by_door() {
        let mut tally = Tally::default();
        ["pusher", "mqtt", "pusher", "window"].into_iter().for_each(|door| tally.come_by(door));
        assert_eq!((tally.by_door(), tally.lag()), (&[2, 0, 1][..], &[0; 8][..]));
        assert_eq!(pinned::decode(&pinned::encode(&tally)), Ok(tally));
    }
}
