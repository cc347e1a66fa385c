//! A request that is part of a trace, as W3C Trace Context writes it: where a namespace says so, so is what it
//! publishes.

use courtside::limits::{MESSAGE_MAX_BYTES, TRACE_ROOM_BYTES};
use serde_json::{Value, json};

use crate::world::{Asked, World, get, post};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traced(mut asked: Asked, traceparent: &str) -> Asked {
    asked.request.headers.traceparent = Some(traceparent.to_owned());
    asked
}

/// The extras of the channel's messages, after a request.
fn extras(asked: Asked, channel: &str) -> Vec<Value> {
    let mut world = World::new();
    let reply = world.send(asked);
    assert_eq!(reply.status, 201, "{}", reply.json);
    let history = world.send(get(&format!("/channels/{channel}/messages")).query("direction", "forwards"));
    history.json.as_array().expect("a list").iter().map(|message| message["extras"].clone()).collect()
}

#[test]
fn whichever_way_it_publishes() {
    let is_part = json!({"headers": {"traceparent": TRACE}});
    let bare = post("/channels/traced:a/messages", "15-0").content_type("text/plain").query("enveloped", "false");
    let batch = r#"{"channels":["traced:a"],"messages":[{"data":"x"},{"data":"y"}]}"#;
    for (asked, count) in [
        (post("/channels/traced:a/messages", r#"[{"name":"n"},{}]"#), 2),
        (post("/channels/traced:a/publish", "data=x").content_type("application/x-www-form-urlencoded"), 1),
        (bare, 1),
        (post("/messages", batch), 2),
    ] {
        let path = asked.request.path.clone();
        assert_eq!(extras(traced(asked, TRACE), "traced:a"), vec![is_part.clone(); count], "{path}");
    }
}

#[test]
fn only_where_a_namespace_says_so_and_by_a_trace_that_is_one() {
    let publish = |channel: &str| post(&format!("/channels/{channel}/messages"), "{}");
    assert_eq!(extras(traced(publish("plain"), TRACE), "plain"), [Value::Null]);
    assert_eq!(extras(publish("traced:a"), "traced:a"), [Value::Null]);
    for other in ["", "00-4bf9-00f0-01", &TRACE.to_uppercase(), "x\r\ny: z"] {
        assert_eq!(extras(traced(publish("traced:a"), other), "traced:a"), [Value::Null], "{other:?}");
    }
}

#[test]
fn a_message_that_names_its_own_trace_keeps_it() {
    let own = TRACE.replace("-01", "-00");
    let body = json!({"extras": {"headers": {"traceparent": own, "a": 1}}});
    let asked = traced(post("/channels/traced:a/messages", &body.to_string()), TRACE);
    assert_eq!(extras(asked, "traced:a"), [body["extras"].clone()]);
}

#[test]
fn no_message_is_too_large_for_it() {
    for (bytes, is_part) in [(MESSAGE_MAX_BYTES - TRACE_ROOM_BYTES, true), (MESSAGE_MAX_BYTES, false)] {
        let asked = post("/channels/traced:a/messages", &json!({"data": "x".repeat(bytes)}).to_string());
        assert_eq!(extras(traced(asked, TRACE), "traced:a")[0].is_object(), is_part, "{bytes}");
    }
}

#[test]
fn the_log_names_the_trace_of_a_request_that_failed_and_nothing_else_of_it() {
    let mut world = World::new();
    world.is_broken = true;
    let asked = traced(post("/channels/secret/messages", "{}"), TRACE);
    let reply = world.exchange(&asked.request);
    let line = asked.request.failure(&reply).expect("it is the server's fault");
    assert_eq!(world.log, [line.to_string()]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (status, code) = (reply.status, line["code"].clone());
    assert_eq!(
        line,
        json!({"event": "request failed", "method": "POST", "status": status, "code": code, "traceId": trace})
    );
    assert!(code.as_str().is_some_and(|code| code.starts_with('5')), "{code}");

    assert_eq!(post("/channels/secret/messages", "{}").request.failure(&reply), None, "it has no trace");
    let refused = world.exchange(&traced(get("/nowhere"), TRACE).request);
    assert_eq!(asked.request.failure(&refused), None, "the client's own fault");
}
