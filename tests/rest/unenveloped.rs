//! Publishes whose body is the data, as webhooks send them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use courtside::error::Code;
use courtside::limits::{BODY_MAX_BYTES, MESSAGE_MAX_BYTES};
use serde_json::{Value, json};

use crate::world::{Asked, World, get, post};

const MESSAGES: &str = "/channels/hook/messages";

fn raw(content_type: &str, body: &[u8]) -> Asked {
    post(MESSAGES, "").content_type(content_type).body(body.to_vec()).query("enveloped", "false")
}

/// The data and the encoding of the message that a request publishes.
fn published(asked: Asked) -> (Value, Value) {
    let mut world = World::new();
    let reply = world.send(asked);
    assert_eq!(reply.status, 201, "{}", reply.json);
    let message = world.send(get(MESSAGES)).json[0].clone();
    (message["data"].clone(), message["encoding"].clone())
}

#[test]
fn the_body_is_the_data_of_its_type() {
    let json = r#"{ "some": "json", "name": "inner" }"#;
    let packed = rmp_serde::to_vec_named(&json!({"a": [1]})).unwrap();
    let cases: [(&str, &[u8], Value, Value); 13] = [
        ("application/json", json.as_bytes(), json.into(), "json".into()),
        ("application/json; charset=utf-8", b"[1]", "[1]".into(), "json".into()),
        ("application/cloudevents+json", b"{}", "{}".into(), "json".into()),
        ("application/json", b"15", "15".into(), "json".into()),
        ("application/json", b"\"text\"", "\"text\"".into(), "json".into()),
        ("text/plain", "15–0".as_bytes(), "15–0".into(), Value::Null),
        ("text/plain;charset=UTF-8", b"", "".into(), Value::Null),
        ("text/csv", b"a,b\n1,2", "a,b\n1,2".into(), Value::Null),
        // What curl says of anything.
        ("application/x-www-form-urlencoded", b"score=15-0&x", "score=15-0&x".into(), Value::Null),
        ("application/octet-stream", b"\xff\x00", BASE64.encode(b"\xff\x00").into(), "base64".into()),
        ("image/png", b"png", BASE64.encode(b"png").into(), "base64".into()),
        ("application/x-msgpack", &packed, r#"{"a":[1]}"#.into(), "json".into()),
        ("application/x-msgpack", b"\xc4\x01\xff", BASE64.encode(b"\xff").into(), "base64".into()),
    ];
    for (content_type, body, data, encoding) in cases {
        assert_eq!(published(raw(content_type, body)), (data, encoding), "{content_type} {body:?}");
    }
    let mut untyped = raw("", b"\x01");
    untyped.request.headers.content_type = None;
    assert_eq!(published(untyped), (BASE64.encode(b"\x01").into(), "base64".into()));
}

#[test]
fn headers_or_the_query_say_the_rest() {
    let mut by_header = raw("text/plain", b"x");
    by_header.request.headers.x_ably_name = Some("score".into());
    by_header.request.headers.x_ably_messageid = Some("mine".into());
    by_header.request.headers.x_ably_encoding = Some("utf-8/cipher+aes-128-cbc".into());
    by_header.request.headers.x_ably_clientid = Some(BASE64.encode("änn"));
    let by_query =
        [("name", "score"), ("messageId", "mine"), ("encoding", "utf-8/cipher+aes-128-cbc"), ("clientId", "änn")];
    let by_query = by_query.iter().fold(raw("text/plain", b"x"), |asked, (name, value)| asked.query(name, value));
    for asked in [by_header, by_query] {
        let mut world = World::new();
        let (first, again) = (world.send(asked.clone()), world.send(asked));
        assert_eq!((first.status, &first.json["messageId"]), (201, &json!("mine")), "{}", first.json);
        assert_eq!(first.json, again.json, "an id makes it known again");
        let page = world.send(get(MESSAGES)).json;
        let said = |field: &str| page[0][field].as_str().unwrap().to_owned();
        assert_eq!(page.as_array().unwrap().len(), 1);
        assert_eq!(["name", "id", "clientId", "data"].map(said), ["score", "mine", "änn", "x"]);
        assert_eq!(said("encoding"), "utf-8/cipher+aes-128-cbc");
    }
    let encoded = raw("text/plain", BASE64.encode(b"\xff").as_bytes()).query("encoding", "base64");
    assert_eq!(published(encoded), (BASE64.encode(b"\xff").into(), "base64".into()));
    assert_eq!(published(raw("application/json", b"1").query("encoding", "json")), ("1".into(), "json".into()));
    let ephemeral = raw("text/plain", b"x").query("ephemeral", "true");
    assert_eq!(World::new().send(ephemeral).status, 201);
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    let mut twice = raw("text/plain", b"x").query("name", "one");
    twice.request.headers.x_ably_name = Some("other".into());
    let mut stray = post(MESSAGES, "{}");
    stray.request.headers.x_ably_name = Some("score".into());
    let mut somebody = raw("text/plain", b"x").query("clientId", "bob");
    somebody.request.headers.x_ably_clientid = Some(BASE64.encode("ann"));
    for (asked, code) in [
        (twice, Code::BadParameter),
        (stray, Code::BadParameter),
        (post(MESSAGES, "{}").query("name", "score"), Code::BadParameter),
        (post(MESSAGES, "{}").query("clientId", "ann").query("enveloped", "true"), Code::BadParameter),
        (raw("text/plain", b"x").query("enveloped", "no"), Code::BadParameter),
        (post(MESSAGES, "{}").query("enveloped", "no"), Code::BadParameter),
        (somebody, Code::BadClientId),
        (raw("application/json", b"{"), Code::BadBody),
        (raw("application/json", b""), Code::BadBody),
        (raw("text/plain", b"\xff"), Code::BadBody),
        (raw("application/x-msgpack", b"\xc1"), Code::BadBody),
        (raw("application/json", b"{}").query("encoding", "utf-8"), Code::BadData),
        (raw("text/plain", b"x").query("connectionKey", "nobody"), Code::BadConnectionKey),
        (raw("text/plain", &vec![b'x'; MESSAGE_MAX_BYTES + 1]), Code::TooLarge),
        (raw("text/plain", &vec![b'x'; BODY_MAX_BYTES + 1]), Code::TooLarge),
    ] {
        let name = format!("{:?} {:?}", asked.request.query, asked.request.headers.content_type);
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.code()), (code.status(), code.number()), "{name}: {}", reply.json);
    }
}
