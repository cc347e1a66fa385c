//! What every request has in common: times, errors, methods, preflights, envelopes.

use courtside::error::Code;
use courtside::http::percent;
use courtside::limits::{BATCH_BODY_MAX_BYTES, BODY_MAX_BYTES, MESSAGE_MAX_BYTES, TOKEN_REQUEST_MAX_BYTES};
use serde_json::json;

use crate::world::{NOW_MS, World, get, post};

#[test]
fn the_time_needs_no_credentials() {
    let reply = World::new().send(get("/time").anonymous());
    assert_eq!((reply.status, &reply.json), (200, &json!([NOW_MS])));
    let reply = World::new().send(get("/time").anonymous().accept("application/x-msgpack"));
    assert_eq!(reply.header("Content-Type"), Some("application/x-msgpack"));
    assert_eq!(rmp_serde::from_slice::<Vec<u64>>(&reply.body).unwrap(), [NOW_MS]);
}

#[test]
fn errors_have_their_status_code_and_headers() {
    let messages = "/channels/c/messages";
    let cases = [
        (get("/nowhere"), Code::NotFound),
        (get("/nowhere").anonymous(), Code::NotFound),
        (get("/channels/c/nowhere"), Code::NotFound),
        (get("/keys/demo.nobody/requestToken"), Code::NotFound),
        (post("/time", "{}"), Code::MethodNotAllowed),
        (get("/messages"), Code::MethodNotAllowed),
        (get(messages).anonymous(), Code::NoCredentials),
        (get(messages).key("demo.full:wrong"), Code::BadCredentials),
        (get(messages).key("other.full:local-only"), Code::BadCredentials),
        (get(messages).key("demo.publisher:local-only"), Code::NotPermitted),
        (post(messages, "{}").key("demo.reader:local-only"), Code::NotPermitted),
        (get("/channels/%5Bmeta%5Dlogs/messages"), Code::BadChannelName),
        (get("/channels/%5Bmeta%5Dconnection.lifecycle/messages"), Code::BadChannelName),
        (post("/channels/%5Bmeta%5Dlog/messages", "{}"), Code::NotPermitted),
        (get("/channels/%5Bmeta%5Dlog/messages").key("demo.reader:local-only"), Code::NotPermitted),
        (get("/channels/%5Bmeta%5Dlog/presence"), Code::NotPermitted),
        (get("/channels/%5Bmeta%5Dlog"), Code::NotPermitted),
        (get("/channels/%5Bmeta%5Dlog/messages").query("wait", "5"), Code::BadParameter),
        (get("/stats").query("unit", "week"), Code::BadParameter),
        (post("/stats", "[]"), Code::Forbidden),
        (get("/metrics").key("demo.reader:local-only"), Code::NotPermitted),
        (get("/metrics").anonymous(), Code::NoCredentials),
        (post("/channels/%ff/messages", "{}"), Code::BadChannelName),
        (post(messages, ""), Code::BadBody),
        (post(messages, "{"), Code::BadBody),
        (post(messages, "3"), Code::BadBody),
        (post(messages, "null"), Code::BadBody),
        (post(messages, "[[]]"), Code::BadBody),
        (post(messages, r#"{"name":1}"#), Code::BadBody),
        (post(messages, "[]"), Code::BadRequest),
        (post(messages, r#"{"data":1}"#), Code::BadData),
        (post(messages, r#"{"extras":[]}"#), Code::BadExtras),
        (post(messages, r#"{"connectionKey":"a!0-1-x"}"#), Code::BadConnectionKey),
        (post(messages, r#"[{"id":"a:1"},{"id":"a:0"}]"#), Code::BadMessageId),
        (post(messages, "{}").query("_forceNack", "true"), Code::ForcedNack),
        (post(messages, "{}").content_type("application/xml"), Code::BadBody),
        (get("/time").query("format", "html"), Code::BadParameter),
        (get(messages).query("limt", "5"), Code::BadParameterName),
        (post(messages, "{}").query("start", "5"), Code::BadParameterName),
        (get("/channels/c").query("limit", "5"), Code::BadParameterName),
        (get("/channels/c/presence").query("direction", "forwards"), Code::BadParameterName),
        (get("/presence").query("channel", "c"), Code::BadParameterName),
        (post(messages, "{}").query("ephemeral", "yes"), Code::BadParameter),
        (post(messages, &" ".repeat(BODY_MAX_BYTES + 1)), Code::TooLarge),
        (post(messages, &json!({"data": "x".repeat(MESSAGE_MAX_BYTES + 1)}).to_string()), Code::TooLarge),
        (post(messages, &format!("[{}{{}}]", "{},".repeat(1_000))), Code::TooManyMessages),
    ];
    for (asked, code) in cases {
        let name = format!("{} {}", asked.request.method, asked.request.path);
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.code()), (code.status(), code.number()), "{name}: {}", reply.json);
        assert_eq!(reply.header("X-Ably-ErrorCode"), Some(code.number().to_string().as_str()), "{name}");
        assert!(reply.header("X-Ably-ErrorMessage").is_some_and(|text| !text.is_empty()), "{name}");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"), "{name}");
        assert_eq!(reply.header("Content-Type"), Some("application/json"), "{name}");
    }
}

#[test]
fn an_sdk_may_say_more_than_this_server_knows() {
    let mut asked = get("/channels/c/messages").query("invented", "later");
    assert_eq!(World::new().send(asked.clone()).code(), Code::BadParameterName.number());
    asked.request.headers.ably_agent = Some("ably-js/9.0.0".into());
    assert_eq!(World::new().send(asked.clone()).status, 200);
    asked = asked.query("limit", "ten");
    assert_eq!(World::new().send(asked).code(), Code::BadParameter.number(), "what is known is checked all the same");
}

#[test]
fn a_compressed_body_is_refused_for_what_it_is() {
    for path in ["/channels/c/messages", "/messages", "/keys/demo.full/requestToken", "/apps"] {
        let mut asked = post(path, "{}");
        asked.request.headers.content_encoding = Some("gzip".into());
        let reply = World::new().with_admin_token("admin-token-of-some-length").send(match path {
            "/apps" => asked.bearer("admin-token-of-some-length"),
            _ => asked,
        });
        assert_eq!((reply.status, reply.code()), (415, Code::BadBody.number()), "{path}");
        assert!(reply.json["error"]["message"].as_str().unwrap().contains("Content-Encoding"), "{}", reply.json);
        assert_eq!(reply.header("Accept-Encoding"), Some("identity"));
    }
    let mut plain = post("/channels/c/messages", "{}");
    plain.request.headers.content_encoding = Some("identity".into());
    assert_eq!(World::new().send(plain).status, 201);
}

#[test]
fn a_challenge_asks_for_another_token_and_for_nothing_else() {
    let challenge = |asked| World::new().send(asked).header("WWW-Authenticate").map(str::to_owned);
    let unsigned = "e30.e30.e30";
    let renewed = challenge(get("/channels/c/messages").bearer(unsigned));
    assert_eq!(renewed.as_deref(), Some("X-Ably-Token stale=\"true\""));
    // A browser would ask its user for a password.
    assert_eq!(challenge(get("/channels/c/messages").key("demo.full:wrong")), None);
    assert_eq!(challenge(get("/channels/c/messages").anonymous()), None);
}

#[test]
fn an_unknown_key_of_a_known_app_is_not_found_and_unauthorized() {
    let reply = World::new().send(get("/channels/c/messages").key("demo.nobody:local-only"));
    assert_eq!((reply.status, reply.code()), (401, Code::NotFound.number()));
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    for (path, allow) in [
        ("/time", "GET, HEAD, OPTIONS"),
        ("/channels/c/object", "GET, HEAD, POST, OPTIONS"),
        ("/channels/c/history", "GET, HEAD, OPTIONS"),
        ("/messages", "POST, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/stage", "GET, HEAD, OPTIONS"),
        ("/console", "GET, HEAD, OPTIONS"),
        ("/mqtt", "GET, HEAD, OPTIONS"),
        ("/app/demo.full", "GET, HEAD, OPTIONS"),
    ] {
        let mut asked = get(path);
        asked.request.method = "DELETE".into();
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.header("Allow")), (405, Some(allow)), "{path}");
        assert_eq!(reply.code(), Code::MethodNotAllowed.number(), "{path}");
    }
    for path in ["/consoles", "/mqtt/more"] {
        let mut asked = get(path);
        asked.request.method = "DELETE".into();
        assert_eq!(World::new().send(asked).code(), Code::NotFound.number(), "{path}");
    }
}

#[test]
fn head_says_what_get_would_but_for_the_body() {
    let head = |path: &str| {
        let mut asked = get(path);
        asked.request.method = "HEAD".into();
        asked
    };
    for asked in [
        get("/time"),
        get("/channels/c/messages"),
        get("/channels/c/messages").query("limit", "0"),
        get("/channels/c").query("envelope", "msgpack"),
        get("/channels/c/presence").accept("application/x-msgpack"),
        get("/stats").anonymous(),
        get("/nowhere"),
    ] {
        let mut same = asked.clone();
        same.request.method = "HEAD".into();
        let (got, said) = (World::new().send(asked), World::new().send(same));
        assert!(!got.body.is_empty() && said.body.is_empty());
        let (length, headers) = said.headers.split_last().unwrap();
        assert_eq!((said.status, headers), (got.status, &got.headers[..]));
        assert_eq!(*length, ("Content-Length", got.body.len().to_string()));
    }
    assert_eq!(World::new().send(head("/messages")).status, 405, "where there is no GET there is no HEAD");
}

#[test]
fn every_path_answers_a_preflight() {
    for path in ["/time", "/nowhere", "/channels/%ff/messages", ""] {
        let mut asked = get(path).anonymous();
        asked.request.method = "OPTIONS".into();
        let reply = World::new().send(asked);
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}");
        assert!(reply.header("Access-Control-Allow-Headers").unwrap().starts_with("Authorization,"), "{path}");
    }
}

#[test]
fn an_envelope_holds_errors_too() {
    let reply = World::new().send(get("/channels/c/messages").anonymous().query("envelope", "json"));
    assert_eq!((reply.status, &reply.json["statusCode"]), (200, &json!(401)));
    assert_eq!(reply.json["response"]["error"]["code"], Code::NoCredentials.number());
    assert_eq!(reply.json["headers"]["X-Ably-ErrorCode"], "40106");
}

/// Whoever may send nothing has nothing read: a body takes memory for as long as it takes to come.
#[test]
fn a_body_is_read_once_it_is_known_that_it_is_wanted() {
    let mut world = World::new();
    let none = Code::NoCredentials.number();
    for (path, bytes, anonymous) in [
        ("/channels/c/messages", BODY_MAX_BYTES, Err(none)),
        ("/channels/c/publish", BODY_MAX_BYTES, Err(none)),
        ("/messages", BATCH_BODY_MAX_BYTES, Err(none)),
        ("/keys/demo.full/revokeTokens", BODY_MAX_BYTES, Err(none)),
        // What is signed is in the body.
        ("/keys/demo.full/requestToken", TOKEN_REQUEST_MAX_BYTES, Ok(TOKEN_REQUEST_MAX_BYTES)),
    ] {
        assert_eq!(world.reads(&post(path, "")), Ok(bytes), "{path}");
        assert_eq!(world.reads(&post(path, "").anonymous()), anonymous, "{path}");
    }
    assert_eq!(world.reads(&get("/channels/c/messages")), Ok(0));
    assert_eq!(world.reads(&get("/channels/c/messages").anonymous()), Err(none));
    assert_eq!(world.reads(&post("/channels/c/presence", "")), Err(Code::MethodNotAllowed.number()));
    let unknown = Err(Code::NotFound.number());
    assert_eq!(world.reads(&post("/nowhere", "")), unknown);
    assert_eq!(world.reads(&post("/keys/demo.nobody/requestToken", "")), unknown);
    assert_eq!(world.reads(&post("/apps", "")), unknown, "nobody makes apps here");
    // Whose token it is, the app says when it is asked.
    let device = post("/push/batch/publish", "").anonymous().bearer("demo!any-device's");
    assert_eq!(world.reads(&device), Ok(TOKEN_REQUEST_MAX_BYTES));
    let mut open = World::new().with_admin_token("an-admin-token");
    assert_eq!(open.reads(&post("/apps", "").anonymous()), Err(none));
    assert_eq!(open.reads(&post("/apps", "").bearer("an-admin-token")), Ok(BODY_MAX_BYTES));
}

/// A page without what was asked would come in another form than the one before.
#[test]
fn links_of_every_list_carry_its_form() {
    const ADMIN: &str = "admin-token-of-this-server";
    let mut world = World::new().with_admin_token(ADMIN);
    let serial = world.send(post("/channels/short:c/messages", r#"{"data": "x"}"#)).json["serials"][0].clone();
    let message = format!("/channels/short:c/messages/{}", percent::encode(serial.as_str().unwrap()));
    for path in [
        "/channels/c/messages",
        &format!("{message}/versions"),
        &format!("{message}/annotations"),
        "/channels/c/presence",
        "/channels/c/presence/history",
        "/channels",
        "/stats",
        "/push/deviceRegistrations",
        "/push/channelSubscriptions",
        "/push/channels",
        "/audit",
        "/apps/demo/audit",
        "/apps/demo/bans",
        "/apps/demo/connections",
        "/apps/demo/webhooks/dead-letters",
    ] {
        let asked = get(path).query("envelope", "json").query("format", "json").query("limit", "7");
        let is_operators = path.starts_with("/apps") || path == "/audit";
        let reply = world.send(if is_operators { asked.bearer(ADMIN) } else { asked });
        let links = reply.json["headers"]["Link"].as_str().unwrap_or_else(|| panic!("{path}: {}", reply.json));
        assert!(links.contains("limit=7&format=json&envelope=json&rel=first>; rel=\"first\""), "{path}: {links}");
    }
}
