//! What an object counted, as points of an analytics service that keeps numbers by place: Cloudflare's Analytics Engine
//! (docs/operations). Like `/metrics` they hold no name of a channel or client; the app's id is their index.

use super::tally::{Counter, HookCount, KINDS, Metric, Tally, Traffic};
use crate::limits::POINTS_MAX;
use crate::model::message::Kind;
use crate::model::name::AppId;

/// One point. The service takes a single index, and twenty texts and numbers at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub index: String,
    pub texts: Vec<String>,
    pub numbers: Vec<u64>,
}

/// Those of what was counted since the last: one of all counts, and one for each code that clients were told.
pub fn points(app: &AppId, since: &Tally) -> Vec<Point> {
    let point = |texts: Vec<String>, numbers| Point { index: app.as_str().to_owned(), texts, numbers };
    let refusals = since.refusals.iter().filter(|(_, count)| **count > 0);
    let refusals = refusals.map(|(code, count)| point(vec!["refusals".to_owned(), code.to_string()], vec![*count]));
    let counts = (!since.is_empty()).then(|| point(vec!["counts".to_owned()], numbers(since)));
    counts.into_iter().chain(refusals).take(POINTS_MAX).collect()
}

/// In the order of docs/operations: their places are their names.
fn numbers(since: &Tally) -> Vec<u64> {
    let messages = |ways: &[Traffic], metric| {
        let of_way = |way: &Traffic| since.traffic(*way, Kind::Messages, metric);
        ways.iter().map(of_way).sum::<u64>()
    };
    let presence = since.traffic(Traffic::RealtimeIn, Kind::Presence, Metric::Count);
    let refused = |way| KINDS.iter().map(|kind| since.traffic(way, *kind, Metric::Refused)).sum::<u64>();
    vec![
        since.get(Counter::ConnectionsOpened),
        since.get(Counter::ConnectionsRefused),
        since.connections.peak,
        since.get(Counter::ChannelsOpened),
        messages(&[Traffic::RealtimeIn], Metric::Count),
        messages(&[Traffic::RestIn], Metric::Count),
        messages(&[Traffic::RealtimeOut], Metric::Count),
        messages(&[Traffic::RestOut], Metric::Count),
        messages(&[Traffic::RealtimeIn, Traffic::RestIn], Metric::Data),
        messages(&[Traffic::RealtimeOut, Traffic::RestOut], Metric::Data),
        presence,
        refused(Traffic::RealtimeIn) + refused(Traffic::RestIn),
        since.get(Counter::Commits),
        since.get(Counter::StoredBytes),
        since.get(Counter::Deliveries),
        since.get(Counter::LagMs),
        since.get(Counter::Wakes),
        since.get(Counter::Alarms),
        since.hooks(HookCount::EventsDelivered),
        since.hooks(HookCount::EventsGivenUp),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn what_was_counted_since_the_last_report_is_a_point_and_one_for_each_code() {
        let app = AppId::parse("demo").unwrap();
        let mut before = Tally::default();
        before.add_traffic(Traffic::RestIn, Kind::Messages, Metric::Count, 3);
        before.refuse(&Code::NotPermitted.into());
        let mut after = before.clone();
        after.add_traffic(Traffic::RestIn, Kind::Messages, Metric::Count, 4);
        after.add_hooks(HookCount::EventsGivenUp, 2);
        after.refuse(&Code::PublishRateLimited.into());
        let [counts, refusals] = &points(&app, &after.since(&before))[..] else { panic!("two points") };
        assert_eq!((counts.index.as_str(), &counts.texts), ("demo", &vec!["counts".to_owned()]));
        assert_eq!((counts.numbers.len(), counts.numbers[5], counts.numbers[19]), (20, 4, 2));
        assert_eq!((&refusals.texts[1], &refusals.numbers), (&"42911".to_owned(), &vec![1]));
        assert_eq!(points(&app, &after.since(&after)), [], "the same report again is none");
    }
}
