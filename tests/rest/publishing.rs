//! Publishing on one channel.

use courtside::call::{Response, Subscribed};
use courtside::error::{Code, ErrorInfo};
use courtside::rest::Step;
use courtside::serial::Position;
use serde_json::json;

use crate::world::{Exchanged, World, get, post};

#[test]
fn a_publish_is_pinned() {
    let mut world = World::new();
    let reply = world.send(post("/channels/a%2Fb/messages", r#"[{"name":"n","data":"d"},{}]"#));
    let serial = |index| format!("01800000000000-001@series:{index:03}");
    let expected = format!(
        r#"{{"channel":"a/b","messageId":"AAAAAAAAAAAAAAAAAAAAAA","serials":["{}","{}"]}}"#,
        serial(0),
        serial(1)
    );
    assert_eq!((reply.status, String::from_utf8(reply.body).unwrap()), (201, expected));
    let reply = world.send(get("/channels/a%2Fb/messages").query("direction", "forwards").query("limit", "1"));
    let expected = format!(
        r#"[{{"id":"AAAAAAAAAAAAAAAAAAAAAA:0","name":"n","data":"d","timestamp":1800000000000,"action":0,"serial":"{}","version":{{"serial":"{}","timestamp":1800000000000}}}}]"#,
        serial(0),
        serial(0)
    );
    assert_eq!((reply.status, String::from_utf8(reply.body.clone()).unwrap()), (200, expected));
    let cursor = "MDE4MDAwMDAwMDAwMDAtMDAxQHNlcmllczowMDA";
    let link = format!(
        "<./messages?direction=forwards&limit=1>; rel=\"first\", \
         <./messages?direction=forwards&limit=1>; rel=\"current\", \
         <./messages?direction=forwards&limit=1&cursor={cursor}>; rel=\"next\""
    );
    assert_eq!(reply.header("Link"), Some(link.as_str()));
}

#[test]
fn bytes_travel_in_both_formats() {
    let mut world = World::new();
    let body = b"\x81\xa4data\xc4\x02\x00\xff".to_vec();
    let published = world.send(post("/channels/c/messages", "").body(body).content_type("application/x-msgpack"));
    assert_eq!((published.status, published.header("Content-Type")), (201, Some("application/json")));
    let message = &world.send(get("/channels/c/messages")).json[0];
    assert_eq!((message["data"].as_str(), message["encoding"].as_str()), (Some("AP8="), Some("base64")));
    let reply = world.send(get("/channels/c/messages").query("format", "msgpack"));
    assert!(reply.body.windows(9).any(|window| window == b"\xa4data\xc4\x02\x00\xff"), "{:?}", reply.body);
}

#[test]
fn a_form_is_a_message() {
    let mut world = World::new();
    let form = |body: &str| post("/channels/c/messages", body).content_type("application/x-www-form-urlencoded");
    let reply = world.send(form("name=greeting&data=hello+w%C3%B6rld&extras=%7B%22headers%22%3A%7B%7D%7D"));
    assert_eq!(reply.status, 201, "{}", reply.json);
    let message = &world.send(get("/channels/c/messages")).json[0];
    assert_eq!((message["name"].as_str(), message["data"].as_str()), (Some("greeting"), Some("hello wörld")));
    assert_eq!(message["extras"], json!({"headers": {}}));
    for (body, code) in
        [(r#"{"name":"n"}"#, Code::BadBody), ("a=%", Code::BadBody), ("", Code::BadBody), ("extras=x", Code::BadExtras)]
    {
        assert_eq!(world.send(form(body)).code(), code.number(), "{body}");
    }
}

#[test]
fn a_repeated_publish_is_logged_once_and_gets_its_first_serials() {
    let mut world = World::new();
    let body = r#"[{"id":"mine:0","name":"a"},{"id":"mine:1","name":"b"}]"#;
    let first = world.send(post("/channels/c/messages", body));
    let second = world.send(post("/channels/c/messages", body));
    assert_eq!(first.json["messageId"], "mine");
    assert_eq!(first.json, second.json);
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["b", "a"]);
}

#[test]
fn a_call_that_is_repeated_publishes_once() {
    let mut world = World::new();
    let Step::Calls(calls, _) = world.begin(&post("/channels/c/messages", r#"{"name":"a"}"#).request) else {
        panic!("a publish is a call")
    };
    for _ in 0..3 {
        world.call(calls[0].clone()).unwrap();
    }
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["a"]);
}

#[test]
fn messages_come_from_who_asks() {
    let mut world = World::new();
    let sent = |body: &str| post("/channels/c/messages", body);
    assert_eq!(world.send(sent(r#"{"clientId":"ann"}"#)).status, 201);
    let mut named = sent("{}");
    named.request.headers.x_ably_clientid = Some("Ym9i".into());
    assert_eq!(world.send(named.clone()).status, 201);
    named.request.body = br#"{"clientId":"ann"}"#.to_vec();
    assert_eq!(world.send(named).code(), Code::BadClientId.number());
    let authors = world.send(get("/channels/c/messages")).json;
    assert_eq!((&authors[0]["clientId"], &authors[1]["clientId"]), (&json!("bob"), &json!("ann")));
}

#[test]
fn qualified_names_are_the_plain_channel() {
    let mut world = World::new();
    let reply = world.send(post("/channels/%5B%3Frewind%3D1%5Dc/messages", r#"{"name":"a"}"#));
    assert_eq!((reply.status, reply.json["channel"].as_str()), (201, Some("[?rewind=1]c")));
    assert_eq!(world.send(get("/channels/c/history")).names(), ["a"]);
}

#[test]
fn ephemeral_messages_are_not_history() {
    let mut world = World::new();
    assert_eq!(world.send(post("/channels/c/messages", "{}").query("ephemeral", "true")).status, 201);
    assert_eq!(world.send(get("/channels/c/messages")).json, json!([]));
}

#[test]
fn a_channel_that_fails_is_the_answer() {
    let failed = |answers: Vec<Result<Response, ErrorInfo>>| {
        let Step::Calls(_, exchange) = World::new().begin(&post("/channels/c/messages", "{}").request) else {
            panic!("a publish is a call")
        };
        let Step::Reply(reply) = exchange.answered(answers) else { panic!("the answer is complete") };
        Exchanged::of(reply)
    };
    let limited = failed(vec![Err(Code::ChannelRateLimited.into())]);
    assert_eq!((limited.status, limited.code()), (429, Code::ChannelRateLimited.number()));
    assert_eq!(failed(vec![]).status, 500);
    let page =
        Response::Subscribed(Subscribed { series: String::new(), position: Position::ZERO, members: 0, direct: true });
    assert_eq!(failed(vec![Ok(page)]).status, 500);
}
