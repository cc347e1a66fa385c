//! Statistics that a test suite makes up: minutes as SDKs' suites post them (protocol.md § 21).

use serde_json::Value;

use super::interval::minute_of;
use super::tally::{Counter, Gauge, Metric, Tally, Traffic};
use crate::error::{Code, ErrorInfo};
use crate::limits::STATS_FIXTURES_MAX;
use crate::model::message::Kind;

const TRAFFIC: [(&str, Traffic); 5] = [
    ("/inbound/realtime", Traffic::RealtimeIn),
    ("/inbound/rest", Traffic::RestIn),
    ("/outbound/realtime", Traffic::RealtimeOut),
    ("/outbound/rest", Traffic::RestOut),
    ("/persisted", Traffic::Persisted),
];
const KINDS: [(&str, Kind); 3] =
    [("messages", Kind::Messages), ("presence", Kind::Presence), ("objects", Kind::Objects)];
const COUNTERS: [(&str, Counter); 7] = [
    ("/connections/tls/opened", Counter::ConnectionsOpened),
    ("/connections/plain/opened", Counter::ConnectionsOpened),
    ("/channels/opened", Counter::ChannelsOpened),
    ("/apiRequests/succeeded", Counter::RequestsSucceeded),
    ("/apiRequests/failed", Counter::RequestsFailed),
    ("/tokenRequests/succeeded", Counter::TokensSucceeded),
    ("/tokenRequests/failed", Counter::TokensFailed),
];

/// From a body: one minute, or a list. Fails with 40000, saying where, for what is no minute, and with 40009 for too
/// many.
pub fn minutes(body: &Value) -> Result<Vec<(u64, Tally)>, ErrorInfo> {
    let all = body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
    if all.len() > STATS_FIXTURES_MAX {
        return Err(Code::TooLarge.because(format!("there may be at most {STATS_FIXTURES_MAX} minutes in a request")));
    }
    let one = |(index, minute): (usize, &Value)| {
        let id = minute.get("intervalId").and_then(Value::as_str).and_then(minute_of);
        let wrong = || Code::BadRequest.because(format!("[{index}].intervalId must be a minute, yyyy-mm-dd:hh:mm"));
        id.map(|id| (id, tally(minute))).ok_or_else(wrong)
    };
    all.iter().enumerate().map(one).collect()
}

/// What is no number counts as none.
fn tally(minute: &Value) -> Tally {
    let number = |path: &str| minute.pointer(path).and_then(Value::as_u64).unwrap_or_default().min(u32::MAX.into());
    let mut tally = Tally::default();
    for (place, way) in TRAFFIC {
        for (name, kind) in KINDS {
            tally.add_traffic(way, kind, Metric::Count, number(&format!("{place}/{name}/count")));
            tally.add_traffic(way, kind, Metric::Data, number(&format!("{place}/{name}/data")));
        }
    }
    COUNTERS.iter().for_each(|(path, counter)| tally.add(*counter, number(path)));
    let gauge = |places: &[&str]| {
        let sum = |name| places.iter().map(|place| number(&format!("{place}/{name}"))).sum::<u64>();
        Gauge::minute(sum("peak"), sum("min"), sum("mean") * 1_000)
    };
    tally.connections = gauge(&["/connections/tls", "/connections/plain"]);
    tally.channels = gauge(&["/channels"]);
    tally
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_suites_post_is_read() {
        let body = json!([{
            "intervalId": "2025-02-03:15:03",
            "inbound": { "realtime": { "messages": { "count": 50, "data": 5000 } } },
            "outbound": { "realtime": { "messages": { "count": 20 } } },
            "persisted": { "presence": { "count": 20, "data": 2000 } },
            "connections": { "tls": { "peak": 20, "opened": 10 }, "plain": { "opened": 1 } },
            "channels": { "peak": 50, "opened": 30 },
            "apiRequests": { "succeeded": 50, "failed": 10 },
            "tokenRequests": { "succeeded": 60, "failed": 20 },
        }]);
        let minutes = minutes(&body).unwrap();
        let [(minute, tally)] = &minutes[..] else { panic!("{minutes:?}") };
        assert_eq!(crate::stats::interval::id(*minute), "2025-02-03:15:03");
        let traffic = |way, kind, metric| tally.traffic(way, kind, metric);
        assert_eq!(traffic(Traffic::RealtimeIn, Kind::Messages, Metric::Count), 50);
        assert_eq!(traffic(Traffic::RealtimeIn, Kind::Messages, Metric::Data), 5_000);
        assert_eq!(traffic(Traffic::RealtimeOut, Kind::Messages, Metric::Data), 0);
        assert_eq!(traffic(Traffic::Persisted, Kind::Presence, Metric::Count), 20);
        assert_eq!(tally.get(Counter::ConnectionsOpened), 11);
        assert_eq!((tally.connections.peak, tally.channels.peak), (20, 50));
        assert_eq!((tally.get(Counter::RequestsFailed), tally.get(Counter::TokensSucceeded)), (10, 60));
    }

    #[test]
    fn what_is_no_minute_is_refused_by_its_place() {
        for wrong in [json!({}), json!("x"), json!({ "intervalId": "yesterday" }), json!({ "intervalId": 5 })] {
            let error = minutes(&json!([{ "intervalId": "2025-02-03:15:03" }, wrong])).unwrap_err();
            assert!(error.is(Code::BadRequest) && error.message.starts_with("[1].intervalId"), "{error}");
        }
        let many = vec![json!({ "intervalId": "2025-02-03" }); STATS_FIXTURES_MAX + 1];
        assert!(minutes(&Value::from(many)).unwrap_err().is(Code::TooLarge));
    }
}
