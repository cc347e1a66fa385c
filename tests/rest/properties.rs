//! What holds whatever is sent.

use courtside::http::{Headers, Request};
use courtside::rest::Admin;
use proptest::prelude::*;
use serde_json::json;

use crate::world::{NOW_MS, World, basic, get, post};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn pages_hold_every_message_once(
        publishes in proptest::collection::vec(1usize..8, 0..20),
        per_commit in 1usize..5,
        limits in proptest::collection::vec(1usize..12, 1..6),
        forwards in any::<bool>(),
    ) {
        let mut world = World::new();
        let mut expected = Vec::new();
        let mut specs = Vec::new();
        for (publish, messages) in publishes.iter().enumerate() {
            let names: Vec<String> = (0..*messages).map(|index| format!("{publish}:{index}")).collect();
            specs.push(json!({"channels": "c", "messages": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()}));
            expected.extend(names);
        }
        // What a batch publishes on a channel is committed together.
        for (step, batch) in specs.chunks(per_commit).enumerate() {
            world.now_ms = NOW_MS + step as u64 / 2;
            prop_assert_eq!(world.send(post("/messages", &json!(batch).to_string())).status, 201);
        }
        if !forwards {
            expected.reverse();
        }
        let direction = if forwards { "forwards" } else { "backwards" };
        let (mut seen, mut asked, mut page_count) = (Vec::new(), get("/channels/c/messages").query("direction", direction), 0);
        loop {
            let limit = limits[page_count % limits.len()];
            asked.request.query.retain(|(name, _)| name != "limit");
            let page = world.send(asked.clone().query("limit", &limit.to_string()));
            let found = page.names().iter().map(|name| name.to_string()).collect::<Vec<_>>();
            prop_assert!(found.len() == limit || page.next().is_none());
            seen.extend(found);
            page_count += 1;
            match page.next() {
                Some(next) => asked = get("/channels/c/messages").with(&next),
                None => break,
            }
        }
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn no_request_panics(
        method in prop_oneof![Just("GET"), Just("POST"), Just("DELETE"), Just("OPTIONS"), Just("BREW")],
        path in prop_oneof![
            Just("/channels/c/messages".to_owned()), Just("/messages".to_owned()),
            Just("/keys/demo.full/requestToken".to_owned()), Just("/keys/demo.brief/revokeTokens".to_owned()),
            Just("/apps".to_owned()), Just("/apps/demo".to_owned()), ".*", "/channels/[^/]{0,9}/(messages|history)",
        ],
        query in proptest::collection::vec(
            ("(limit|start|end|cursor|direction|from_serial|format|envelope|v|clientId|ttl|name|encoding)", ".{0,24}"), 0..4),
        enveloped in any::<bool>(),
        texts in proptest::collection::vec(proptest::option::of(".{0,24}"), 4),
        content_type in prop_oneof![
            Just("application/json"), Just("application/x-msgpack"), Just("application/x-www-form-urlencoded"),
        ],
        body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), ".*".prop_map(String::into_bytes)],
    ) {
        let headers = Headers {
            authorization: texts[0].clone().or_else(|| Some(basic("demo.full:local-only"))),
            content_type: texts[1].clone().or(Some(content_type.to_owned())),
            accept: texts[2].clone(),
            x_ably_clientid: texts[3].clone().filter(|text| text.len() > 12),
            x_ably_version: texts[2].clone(),
            ably_agent: texts[3].clone(),
            origin: texts[1].clone(),
            x_ably_name: texts[0].clone(),
            x_ably_encoding: texts[2].clone(),
            ..Headers::default()
        };
        let query = query.into_iter().chain((!enveloped).then(|| ("enveloped".to_owned(), "false".to_owned()))).collect();
        let request = Request { method: method.to_owned(), path, query, headers, body, ..Request::default() };
        let mut world = World::new();
        world.admin = Admin::Open;
        let reply = world.exchange(&request);
        prop_assert!((200..600).contains(&reply.status));
        for (_, value) in &reply.headers {
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{}", value);
        }
    }

    #[test]
    fn damaged_bodies_do_not_panic(at in 0usize..200, byte in any::<u8>(), cut in any::<bool>()) {
        let messages = json!([{"name": "n", "data": {"a": [1, null]}, "extras": {"headers": {}}}, {"id": "x"}]);
        let bodies = [
            ("/channels/c/messages", messages.clone()),
            ("/messages", json!([{"channels": ["a", "b"], "messages": messages}])),
            ("/keys/demo.full/requestToken", json!({"keyName": "demo.full", "ttl": 1, "capability": {"*": ["*"]}})),
            ("/apps", json!({"keys": [{"capability": {"*": ["*"]}}], "namespaces": [{"id": "a"}]})),
        ];
        let mut world = World::new();
        world.admin = Admin::Open;
        for (path, body) in bodies {
            let encodings = [
                ("application/json", serde_json::to_vec(&body).unwrap()),
                ("application/x-msgpack", rmp_serde::to_vec_named(&body).unwrap()),
            ];
            for (content_type, mut bytes) in encodings {
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes.truncate(if cut { at } else { bytes.len() });
                let status = world.send(post(path, "").body(bytes).content_type(content_type)).status;
                prop_assert!([201, 400, 401].contains(&status), "{}", status);
            }
        }
    }
}
