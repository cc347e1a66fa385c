//! One interval as `GET /stats` tells it: flat names, or as a tree to clients of version 2, and only what is not zero
//! (protocol.md § 21).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::interval::{self, Unit};
use super::tally::{Counter, Gauge, KINDS, Metric, Tally, Traffic};
use crate::limits::STATS_CODES_MAX;
use crate::model::message::Kind;
use crate::model::name::AppId;

const SCHEMA: &str = "https://schemas.ably.com/json/app-stats-0.0.5.json";

const REQUESTS: [(Counter, &str, &str); 6] = [
    (Counter::RequestsSucceeded, "other", "succeeded"),
    (Counter::RequestsFailed, "other", "failed"),
    (Counter::RequestsRefused, "other", "refused"),
    (Counter::TokensSucceeded, "tokenRequests", "succeeded"),
    (Counter::TokensFailed, "tokenRequests", "failed"),
    (Counter::TokensRefused, "tokenRequests", "refused"),
];

/// The interval of this unit that begins with a minute. `now` is the present minute.
pub fn item(app: &AppId, unit: Unit, minute: u64, tally: &Tally, now: u64) -> Value {
    let mut item = Map::new();
    item.insert("intervalId".to_owned(), unit.id(minute).into());
    item.insert("unit".to_owned(), unit.name().into());
    item.insert("schema".to_owned(), SCHEMA.into());
    item.insert("appId".to_owned(), app.as_str().into());
    if (minute..=unit.last(minute)).contains(&now) {
        item.insert("inProgress".to_owned(), interval::id(now).into());
    }
    item.insert("entries".to_owned(), entries(tally).into());
    Value::Object(item)
}

/// The item as clients up to version 2 read it: without `entries`, whose names are paths of a tree instead, and with
/// token requests beside all others, as [`fixtures`](super::fixtures) has them. The tree has no part that came later:
/// the SDK for PHP fails on one that it does not know.
pub fn nested(mut item: Value) -> Value {
    let Some(Value::Object(entries)) = item.as_object_mut().and_then(|item| item.remove("entries")) else {
        return item;
    };
    let came_later = |name: &str| name.starts_with("errors.") || name.contains(".objects.");
    for (name, count) in entries.into_iter().filter(|(name, _)| !came_later(name)) {
        let path = match name.strip_prefix("apiRequests.") {
            Some(requests) if requests.starts_with("all.") => continue,
            Some(requests) => requests.replace("other.", "apiRequests."),
            None => name.strip_prefix("messages.").map_or(name.clone(), str::to_owned),
        };
        *path.split('.').fold(&mut item, |node, key| &mut node[key]) = count;
    }
    item
}

fn entries(tally: &Tally) -> Map<String, Value> {
    let mut counts = BTreeMap::new();
    let mut add = |name: String, count: u64| *counts.entry(name).or_insert(0) += count;
    for way in Traffic::ALL {
        for kind in KINDS {
            for metric in Metric::ALL {
                let count = tally.traffic(way, kind, metric);
                names(way, kind, metric).into_iter().for_each(|name| add(name, count));
            }
        }
    }
    for (counter, what, outcome) in REQUESTS {
        [what, "all"].into_iter().for_each(|what| add(format!("apiRequests.{what}.{outcome}"), tally.get(counter)));
    }
    for (what, gauge, opened) in [
        ("connections.all", tally.connections, Counter::ConnectionsOpened),
        ("channels", tally.channels, Counter::ChannelsOpened),
    ] {
        add(format!("{what}.opened"), tally.get(opened));
        add(format!("{what}.peak"), gauge.peak);
        add(format!("{what}.min"), gauge.min);
    }
    add("connections.all.refused".to_owned(), tally.get(Counter::ConnectionsRefused));
    let mut codes: Vec<_> = tally.refusals.iter().collect();
    codes.sort_by_key(|(_, count)| Reverse(**count));
    codes.into_iter().take(STATS_CODES_MAX).for_each(|(code, count)| add(format!("errors.{code}"), *count));
    let mut entries: Map<String, Value> =
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())).collect();
    for (name, gauge) in [("connections.all.mean", tally.connections), ("channels.mean", tally.channels)] {
        entries.extend(mean(&gauge).map(|mean| (name.to_owned(), mean)));
    }
    entries
}

fn mean(gauge: &Gauge) -> Option<Value> {
    match gauge.mean() {
        0 => None,
        whole if whole % 1_000 == 0 => Some((whole / 1_000).into()),
        mean => Some((mean as f64 / 1_000.0).into()),
    }
}

/// All that one count is a part of.
fn names(way: Traffic, kind: Kind, metric: Metric) -> Vec<String> {
    let metric = ["count", "data", "refused"][metric as usize];
    let kind = match kind {
        Kind::Messages | Kind::Annotations => "messages",
        Kind::Presence => "presence",
        Kind::Objects => "objects",
    };
    let places: [&str; 3] = match way {
        Traffic::RealtimeIn => ["inbound.realtime", "inbound.all", "all"],
        Traffic::RestIn => ["inbound.rest", "inbound.all", "all"],
        Traffic::RealtimeOut => ["outbound.realtime", "outbound.all", "all"],
        Traffic::RestOut => ["outbound.rest", "outbound.all", "all"],
        Traffic::Persisted => ["persisted", "", ""],
    };
    let places = places.into_iter().filter(|place| !place.is_empty());
    places.flat_map(|place| [kind, "all"].map(|kind| format!("messages.{place}.{kind}.{metric}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(tally: &Tally) -> Value {
        entries(tally).into()
    }

    #[test]
    fn a_count_stands_under_each_name_that_it_is_a_part_of() {
        let mut tally = Tally::default();
        tally.add_traffic(Traffic::RealtimeIn, Kind::Messages, Metric::Count, 70);
        tally.add_traffic(Traffic::RestOut, Kind::Messages, Metric::Count, 40);
        tally.add_traffic(Traffic::RealtimeIn, Kind::Presence, Metric::Data, 5);
        tally.add_traffic(Traffic::Persisted, Kind::Presence, Metric::Count, 20);
        let expected = json!({
            "messages.inbound.realtime.messages.count": 70, "messages.inbound.realtime.all.count": 70,
            "messages.inbound.all.messages.count": 70, "messages.inbound.all.all.count": 70,
            "messages.outbound.rest.messages.count": 40, "messages.outbound.rest.all.count": 40,
            "messages.outbound.all.messages.count": 40, "messages.outbound.all.all.count": 40,
            "messages.all.messages.count": 110, "messages.all.all.count": 110,
            "messages.inbound.realtime.presence.data": 5, "messages.inbound.realtime.all.data": 5,
            "messages.inbound.all.presence.data": 5, "messages.inbound.all.all.data": 5,
            "messages.all.presence.data": 5, "messages.all.all.data": 5,
            "messages.persisted.presence.count": 20, "messages.persisted.all.count": 20,
        });
        assert_eq!(shown(&tally), expected);
    }

    #[test]
    fn requests_and_gauges_have_their_names() {
        let mut tally = Tally::default();
        tally.connections = Gauge::minute(8, 2, 4_500);
        tally.add(Counter::TokensSucceeded, 2);
        tally.add(Counter::RequestsFailed, 3);
        tally.add(Counter::ChannelsOpened, 1);
        let expected = json!({
            "apiRequests.tokenRequests.succeeded": 2, "apiRequests.all.succeeded": 2,
            "apiRequests.other.failed": 3, "apiRequests.all.failed": 3,
            "connections.all.peak": 8, "connections.all.min": 2, "connections.all.mean": 4.5,
            "channels.opened": 1,
        });
        assert_eq!(shown(&tally), expected);
        assert_eq!(shown(&Tally::default()), json!({}));
    }

    #[test]
    fn for_version_2_the_names_are_a_tree() {
        let mut tally = Tally::default();
        tally.connections = Gauge::minute(8, 2, 4_500);
        tally.add(Counter::TokensSucceeded, 2);
        tally.add(Counter::RequestsFailed, 3);
        tally.add(Counter::ChannelsOpened, 1);
        tally.add_traffic(Traffic::RestIn, Kind::Messages, Metric::Count, 70);
        tally.add_traffic(Traffic::Persisted, Kind::Presence, Metric::Data, 20);
        tally.add_traffic(Traffic::RealtimeOut, Kind::Objects, Metric::Count, 5);
        tally.refuse_code(40_000);
        let (app, minute) = (AppId::parse("demo").unwrap(), interval::minute_of("2025-02-03:15").unwrap());
        let of_objects = json!({ "all": { "count": 5 } });
        let of_kinds = json!({ "messages": { "count": 70 }, "all": { "count": 70 } });
        let expected = json!({
            "intervalId": "2025-02-03:15", "unit": "hour", "schema": SCHEMA, "appId": "demo",
            "inbound": { "rest": of_kinds, "all": of_kinds },
            "outbound": { "realtime": of_objects, "all": of_objects },
            "all": { "messages": { "count": 70 }, "all": { "count": 75 } },
            "persisted": { "presence": { "data": 20 }, "all": { "data": 20 } },
            "connections": { "all": { "peak": 8, "min": 2, "mean": 4.5 } },
            "channels": { "opened": 1 },
            "apiRequests": { "failed": 3 },
            "tokenRequests": { "succeeded": 2 },
        });
        assert_eq!(nested(item(&app, Unit::Hour, minute, &tally, minute + 60)), expected);
        let empty = nested(item(&app, Unit::Hour, minute, &Tally::default(), minute + 60));
        assert_eq!(empty.as_object().map(Map::len), Some(4), "{empty}");
    }

    #[test]
    fn the_most_frequent_errors_have_their_codes() {
        let mut tally = Tally::default();
        for code in 40_000..40_000 + STATS_CODES_MAX as u32 + 5 {
            (40_000..=code).for_each(|_| tally.refuse_code(code));
        }
        let shown = shown(&tally);
        assert_eq!(shown.as_object().unwrap().len(), STATS_CODES_MAX);
        assert_eq!((&shown["errors.40014"], &shown["errors.40005"]), (&json!(15), &json!(6)));
    }

    #[test]
    fn an_item_is_in_progress_as_long_as_its_interval_lasts() {
        let (app, minute) = (AppId::parse("demo").unwrap(), interval::minute_of("2025-02-03:15").unwrap());
        let shown = |unit, now| item(&app, unit, minute, &Tally::default(), now);
        assert_eq!(
            shown(Unit::Hour, minute + 59),
            json!({
                "intervalId": "2025-02-03:15", "unit": "hour", "schema": SCHEMA, "appId": "demo",
                "inProgress": "2025-02-03:15:59", "entries": {},
            })
        );
        assert_eq!(shown(Unit::Hour, minute + 60).get("inProgress"), None);
        assert_eq!(shown(Unit::Minute, minute + 1)["intervalId"], "2025-02-03:15:00");
    }
}
