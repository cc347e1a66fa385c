//! Publishing on one channel.

use courtside::auth::{Credentials, Presented, Surface};
use courtside::error::{Code, ErrorInfo};
use courtside::model::Format;
use courtside::model::name::AppId;
use courtside::model::serial::Position;
use courtside::protocol::Encoded;
use courtside::relay::session::Opening;
use courtside::relay::{Effect, SocketId};
use courtside::rest::Step;
use courtside::router::Next;
use courtside::rpc::{Response, Subscribed};
use serde_json::{Value, json};

use crate::world::{Asked, Exchanged, NOW_MS, World, apps, get, post};

#[test]
fn a_publish_is_pinned() {
    let mut world = World::new();
    let reply = world.send(post("/channels/a%2Fb/messages", r#"[{"name":"n","data":"d"},{}]"#));
    let serial = |index| format!("01800000000000-001@life0:{index:03}");
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
    let cursor = "MDE4MDAwMDAwMDAwMDAtMDAxQGxpZmUwOjAwMA";
    let next = format!("<./messages?cursor={cursor}&direction=forwards&limit=1&rel=next>; rel=\"next\"");
    let link = format!(
        "{next}, <./messages?direction=forwards&limit=1&rel=current>; rel=\"current\", \
         <./messages?direction=forwards&limit=1&rel=first>; rel=\"first\", {next}"
    );
    assert_eq!(reply.header("Link"), Some(link.as_str()));
}

#[test]
fn some_sdks_publish_on_another_path() {
    let mut world = World::new();
    assert_eq!(world.send(post("/channels/c/publish", r#"{"name":"n"}"#)).status, 201);
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["n"]);
    assert_eq!(world.send(get("/channels/c/publish")).code(), Code::MethodNotAllowed.number());
    let refused = world.send(post("/channels/c/publish", "{}").key("demo.reader:local-only"));
    assert_eq!(refused.code(), Code::NotPermitted.number());
}

/// Connects a client to the app's relay. Gives the connection's key.
fn connect(world: &mut World, socket: u32, client_id: Option<&str>, resume: Option<&str>) -> String {
    let mut query = vec![("key".to_owned(), "demo.full:local-only".to_owned())];
    query.extend(client_id.map(|client_id| ("clientId".to_owned(), client_id.to_owned())));
    query.extend(resume.map(|key| ("resume".to_owned(), key.to_owned())));
    let presented = Presented { query: &query, ..Presented::default() };
    let app = apps().get(&AppId::parse("demo").unwrap()).unwrap().clone();
    let grant = Credentials::parse(&presented, Surface::Realtime).unwrap().verify(Some(&app), NOW_MS).unwrap();
    let opening = Opening::from_query(grant, &query, true);
    let effects = world.relay.open(SocketId(socket), opening, format!("conn{socket}"), NOW_MS);
    let connected = effects.iter().find_map(|effect| match effect {
        Effect::Send { frame: Encoded::Text(text), .. } if text.contains("connectionDetails") => Some(text),
        _ => None,
    });
    let connected: Value = serde_json::from_str(connected.unwrap()).unwrap();
    connected["connectionDetails"]["connectionKey"].as_str().unwrap().to_owned()
}

fn on_behalf(key: &str, more: Value) -> Asked {
    let mut message = json!({"name": "n", "connectionKey": key});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post("/channels/c/messages", &message.to_string())
}

#[test]
fn who_has_a_connections_key_publishes_as_it() {
    let mut world = World::new();
    let (ann, anybody) = (connect(&mut world, 1, Some("ann"), None), connect(&mut world, 2, None, None));
    for (asked, connection_id, client_id) in [
        (on_behalf(&ann, json!({})), "conn1", json!("ann")),
        (on_behalf(&ann, json!({"clientId": "ann"})), "conn1", json!("ann")),
        (on_behalf(&anybody, json!({"clientId": "eve"})), "conn2", json!("eve")),
        (on_behalf(&anybody, json!({})), "conn2", Value::Null),
    ] {
        let reply = world.send(asked);
        assert_eq!(reply.status, 201, "{}", reply.json);
        let newest = &world.send(get("/channels/c/messages").query("limit", "1")).json[0];
        assert_eq!((&newest["connectionId"], &newest["clientId"]), (&json!(connection_id), &client_id));
        assert_eq!(newest.get("connectionKey"), None, "the key is the connection's own secret");
        assert!(newest["id"].as_str().unwrap().starts_with(reply.json["messageId"].as_str().unwrap()));
    }
    let two = json!([{"connectionKey": ann, "name": "a"}, {"connectionKey": ann, "name": "b"}]);
    assert_eq!(world.send(post("/channels/c/messages", &two.to_string())).status, 201);
}

/// Each name that is called makes an object.
#[test]
fn a_key_that_no_router_made_leads_to_no_relay() {
    let mut world = World::new();
    let ann = connect(&mut world, 1, Some("ann"), None);
    world.send(on_behalf(&ann, json!({})));
    assert_eq!(world.asked, ["relay:demo/0", "channel:demo/c"]);
    world.send(on_behalf("ann!60000-1-x", json!({})));
    assert_eq!(world.asked, ["channel:demo/c"]);
    // It names the channel "other", which one of the two may not even read.
    let other = on_behalf("ann!65535-1-x!b3RoZXI", json!({}));
    world.send(other.clone());
    assert_eq!(world.asked, ["channel:demo/other", "channel:demo/c"]);
    let token = json!({"keyName": "demo.full", "capability": r#"{"c": ["publish"]}"#}).to_string();
    let token = world.send(post("/keys/demo.full/requestToken", &token)).json["token"].as_str().unwrap().to_owned();
    world.send(other.bearer(&token));
    assert_eq!(world.asked, ["channel:demo/c"]);
}

#[test]
fn nobody_publishes_as_a_connection_that_is_not_there_or_not_theirs() {
    let mut world = World::new();
    let ann = connect(&mut world, 1, Some("ann"), None);
    let token = json!({"keyName": "demo.full", "clientId": "bob"}).to_string();
    let token = world.send(post("/keys/demo.full/requestToken", &token)).json["token"].as_str().unwrap().to_owned();
    let other = connect(&mut world, 2, None, None);
    let mixed = |second: Value| post("/channels/c/messages", &json!([{"connectionKey": ann}, second]).to_string());
    for (asked, code) in [
        (on_behalf("a!0-1-x", json!({})), Code::BadConnectionKey),
        (on_behalf("nonsense", json!({})), Code::BadConnectionKey),
        (on_behalf("", json!({})), Code::BadConnectionKey),
        (on_behalf(&ann.replace("conn1", "conn2"), json!({})), Code::BadConnectionKey),
        (mixed(json!({})), Code::BadConnectionKey),
        (mixed(json!({"connectionKey": other})), Code::BadConnectionKey),
        (on_behalf(&ann, json!({"clientId": "bob"})), Code::BadClientId),
        (on_behalf(&ann, json!({})).bearer(&token), Code::IncompatibleCredentials),
        (on_behalf(&ann, json!({})).key("demo.reader:local-only"), Code::NotPermitted),
        (
            post("/messages", &json!({"channels": "c", "messages": {"connectionKey": ann}}).to_string()),
            Code::BadConnectionKey,
        ),
    ] {
        let reply = world.send(asked);
        let code_of_channel = reply.json["results"][0]["error"]["code"].as_u64().unwrap_or_default() as u32;
        assert_eq!(reply.code().max(code_of_channel), code.number(), "{}", reply.json);
    }
    let resumed = connect(&mut world, 3, Some("ann"), Some(&ann));
    world.relay.frame(SocketId(3), b"{\"action\":0}", Format::Json, NOW_MS);
    assert_eq!(world.send(on_behalf(&ann, json!({}))).code(), Code::BadConnectionKey.number(), "used up");
    assert_eq!(world.send(on_behalf(&resumed, json!({}))).status, 201);
    world.relay.lost(SocketId(3), NOW_MS);
    assert_eq!(world.send(on_behalf(&resumed, json!({}))).code(), Code::BadConnectionKey.number(), "gone");
    assert_eq!(world.send(get("/channels/c/messages")).json.as_array().unwrap().len(), 1);
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
    for (body, code) in [
        (r#"{"name":"n"}"#, Code::BadBody),
        ("a=%", Code::BadBody),
        ("", Code::BadBody),
        ("extras=x", Code::BadExtras),
        ("extras=%7B%22wei%22%3A20000000000000000000%7D", Code::BadExtras),
        ("name=a&dta=b", Code::BadBody),
        ("name=a&data=b&data=c", Code::BadBody),
        ("name=a&name=a", Code::BadBody),
    ] {
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
fn a_plus_in_a_path_is_a_space_to_those_who_write_it_so() {
    let channel = |agent: Option<&str>| {
        let mut asked = post("/channels/a+b%2Bc/messages", "{}");
        asked.request.headers.ably_agent = agent.map(str::to_owned);
        World::new().send(asked).json["channel"].clone()
    };
    assert_eq!(channel(Some("ably-python/3.1.4 python/3.13")), "a b+c");
    assert_eq!(channel(Some("ably-pubsub-ruby/2.0.0 ably-pubsub-server ruby/3.4")), "a b+c");
    assert_eq!(channel(Some("ably-go/1.3.0 go/1.25")), "a+b+c");
    assert_eq!(channel(None), "a+b+c");
}

#[test]
fn an_empty_id_is_none() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.send(post("/channels/c/messages", &json!({"id": "", "name": name}).to_string()));
    }
    assert_eq!(world.send(get("/channels/c/messages")).names(), ["b", "a"]);
}

#[test]
fn a_call_that_is_repeated_publishes_once() {
    let mut world = World::new();
    let asked = post("/channels/c/messages", r#"{"name":"a"}"#);
    let Next::Perform(Step::Calls(calls, _), _) = world.begin(&asked.request) else { panic!("a publish is a call") };
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
        let asked = post("/channels/c/messages", "{}");
        let Next::Perform(Step::Calls(_, then), _) = World::new().begin(&asked.request) else {
            panic!("a publish is a call")
        };
        let Step::Reply(reply) = then.answered(answers) else { panic!("the answer is complete") };
        Exchanged::of(reply)
    };
    let limited = failed(vec![Err(Code::PublishRateLimited.into())]);
    assert_eq!((limited.status, limited.code()), (429, Code::PublishRateLimited.number()));
    assert_eq!(failed(vec![]).status, 500);
    let page = Response::Subscribed(Subscribed {
        epoch: String::new(),
        position: Position::ZERO,
        members: 0,
        reports: false,
        direct: true,
    });
    assert_eq!(failed(vec![Ok(page)]).status, 500);
}
