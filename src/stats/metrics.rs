//! `/metrics`, in Prometheus' text format: all apps together, and no name of a channel, client or app.

use std::fmt::Write;

use super::tally::{
    Counter, DOORS, HookCount, KINDS, LAG_BUCKETS_MS, Metric, PUSH_TRANSPORTS, PushOutcome, Tally, Traffic,
};
use crate::model::message::Kind;

/// What a scrape comes to.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    pub total: Tally,
    pub apps: u64,
    /// Apps that did not answer: of these it has what they counted before.
    pub apps_missing: u64,
}

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const WAYS: [(Traffic, &str, &str); 4] = [
    (Traffic::RealtimeIn, "in", "realtime"),
    (Traffic::RestIn, "in", "rest"),
    (Traffic::RealtimeOut, "out", "realtime"),
    (Traffic::RestOut, "out", "rest"),
];

const COUNTERS: [(Counter, &str, &str); 8] = [
    (Counter::ConnectionsOpened, "connections_opened_total", "Connections that began."),
    (Counter::ConnectionsRefused, "connections_refused_total", "Connections that were not let in."),
    (Counter::ChannelsOpened, "channels_opened_total", "Times that a channel came into use."),
    (Counter::Commits, "commits_total", "Writes of channels."),
    (Counter::StoredBytes, "stored_bytes_total", "Bytes that channels wrote to their logs."),
    (Counter::Wakes, "wakes_total", "Times that an object's memory was built, of objects that then did something."),
    (Counter::Alarms, "alarms_total", "Alarms that rang, of objects that then did something."),
    (Counter::Deliveries, "deliveries_total", "Deliveries of channels to relays that fanned them out."),
];

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP courtside_{name} {help}\n# TYPE courtside_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "courtside_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Every sample of every family, also those that are zero, so that a rate has a beginning.
pub fn text(survey: &Survey) -> String {
    let (mut text, total) = (Text(String::with_capacity(8 * 1024)), &survey.total);
    text.single("apps", "gauge", "Apps that there are.", survey.apps);
    text.single(
        "apps_missing",
        "gauge",
        "Apps that did not answer: their counts are earlier ones.",
        survey.apps_missing,
    );
    let peak = "Most connections at a time in the last minutes, of relays that were busy.";
    text.single("connections_peak", "gauge", peak, total.connections.peak);
    let channels = "Most channels at a time in the last minutes on which something was published.";
    text.single("channels_peak", "gauge", channels, total.channels.peak);
    for (counter, name, help) in COUNTERS {
        text.single(name, "counter", help, total.get(counter));
    }
    text.family("connections_by_door_total", "counter", "Connections that began and speak another protocol.");
    for (door, count) in DOORS.iter().zip(total.by_door()) {
        text.sample("connections_by_door_total", &[("door", door)], count);
    }
    traffic(&mut text, total);
    outcomes(&mut text, total);
    lag(&mut text, total);
    webhooks(&mut text, total);
    pushes(&mut text, total);
    text.0
}

fn traffic(text: &mut Text, total: &Tally) {
    let families = [
        (Metric::Count, "messages_total", "Messages that came in, and that went out to each connection."),
        (Metric::Data, "message_bytes_total", "Their bytes."),
        (Metric::Refused, "publishes_refused_total", "Publishes that were refused."),
    ];
    for (metric, name, help) in families {
        text.family(name, "counter", help);
        for (way, direction, transport) in
            WAYS.into_iter().filter(|(_, way, _)| metric != Metric::Refused || *way == "in")
        {
            for kind in KINDS.into_iter().filter(|kind| metric != Metric::Refused || *kind == Kind::Messages) {
                let labels = [("direction", direction), ("transport", transport), ("kind", name_of(kind))];
                text.sample(name, &labels, total.traffic(way, kind, metric));
            }
        }
    }
    text.family("persisted_messages_total", "counter", "Messages that are kept for longer than two minutes.");
    for kind in KINDS {
        let count = total.traffic(Traffic::Persisted, kind, Metric::Count);
        text.sample("persisted_messages_total", &[("kind", name_of(kind))], count);
    }
    text.family("frames_total", "counter", "Frames of WebSockets and responses, of objects that did something.");
    for (direction, counter) in [("in", Counter::FramesIn), ("out", Counter::FramesOut)] {
        text.sample("frames_total", &[("direction", direction)], total.get(counter));
    }
}

fn outcomes(text: &mut Text, total: &Tally) {
    text.family("requests_total", "counter", "REST requests.");
    for (counter, kind, outcome) in [
        (Counter::RequestsSucceeded, "other", "succeeded"),
        (Counter::RequestsFailed, "other", "failed"),
        (Counter::RequestsRefused, "other", "refused"),
        (Counter::TokensSucceeded, "token", "succeeded"),
        (Counter::TokensFailed, "token", "failed"),
        (Counter::TokensRefused, "token", "refused"),
    ] {
        text.sample("requests_total", &[("type", kind), ("outcome", outcome)], total.get(counter));
    }
    text.family("refusals_total", "counter", "Errors that clients were told, by code.");
    for (code, count) in &total.refusals {
        text.sample("refusals_total", &[("code", &code.to_string())], count);
    }
}

fn lag(text: &mut Text, total: &Tally) {
    let name = "delivery_lag_seconds";
    text.family(name, "histogram", "From a message's place in the order to its fan-out.");
    let mut sum = 0;
    for (bound_ms, count) in LAG_BUCKETS_MS.iter().zip(total.lag()) {
        sum += count;
        text.sample("delivery_lag_seconds_bucket", &[("le", &seconds(*bound_ms))], sum);
    }
    text.sample("delivery_lag_seconds_bucket", &[("le", "+Inf")], total.get(Counter::Deliveries));
    text.sample("delivery_lag_seconds_sum", &[], seconds(total.get(Counter::LagMs)));
    text.sample("delivery_lag_seconds_count", &[], total.get(Counter::Deliveries));
}

fn webhooks(text: &mut Text, total: &Tally) {
    text.family("webhook_requests_total", "counter", "Requests to receivers of webhooks, by how they went.");
    for (count, outcome) in
        [(HookCount::Delivered, "delivered"), (HookCount::Failed, "failed"), (HookCount::Ended, "ended")]
    {
        text.sample("webhook_requests_total", &[("outcome", outcome)], total.hooks(count));
    }
    text.family("webhook_events_total", "counter", "Events that receivers took, and that were given up.");
    for (count, outcome) in [(HookCount::EventsDelivered, "delivered"), (HookCount::EventsGivenUp, "given_up")] {
        text.sample("webhook_events_total", &[("outcome", outcome)], total.hooks(count));
    }
}

fn pushes(text: &mut Text, total: &Tally) {
    text.family("push_attempts_total", "counter", "Attempts to deliver pushes, by how they went.");
    for transport in PUSH_TRANSPORTS {
        for outcome in PushOutcome::ALL {
            let labels = [("transport", transport), ("outcome", outcome.name())];
            text.sample("push_attempts_total", &labels, total.pushes(transport, outcome));
        }
    }
}

fn seconds(ms: u64) -> String {
    (ms as f64 / 1_000.0).to_string()
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Messages | Kind::Annotations => "messages",
        Kind::Presence => "presence",
        Kind::Objects => "objects",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_text_is_of_the_format() {
        let mut survey = Survey { apps: 2, ..Survey::default() };
        survey.total.add_traffic(Traffic::RestIn, Kind::Messages, Metric::Count, 7);
        survey.total.refuse(&Code::PublishRateLimited.into());
        [5, 600, 9_000].into_iter().for_each(|lag_ms| survey.total.deliver(lag_ms));
        let text = text(&survey);
        for line in [
            "courtside_apps 2",
            r#"courtside_messages_total{direction="in",transport="rest",kind="messages"} 7"#,
            r#"courtside_refusals_total{code="42911"} 1"#,
            r#"courtside_delivery_lag_seconds_bucket{le="0.01"} 1"#,
            r#"courtside_delivery_lag_seconds_bucket{le="1"} 2"#,
            r#"courtside_delivery_lag_seconds_bucket{le="+Inf"} 3"#,
            "courtside_delivery_lag_seconds_sum 9.605",
            "courtside_delivery_lag_seconds_count 3",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(text.ends_with('\n'));
        let families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let names: std::collections::BTreeSet<_> = families.iter().map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(names.len(), families.len(), "each family once");
    }
}
