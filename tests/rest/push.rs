//! Push over REST: who may do what with devices and subscriptions, and what the answers look like.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::world::{Asked, Exchanged, World, delete, get, post};

const DEVICES: &str = "/push/deviceRegistrations";
pub const SUBSCRIPTIONS: &str = "/push/channelSubscriptions";

fn device(id: &str, client_id: Option<&str>) -> Value {
    let mut device = json!({
        "id": id, "deviceSecret": format!("secret of {id}"), "platform": "browser", "formFactor": "desktop",
        "metadata": {"seat": 4}, "push": {"recipient": {"transportType": "gcm", "registrationToken": "token"}},
    });
    if let Some(client_id) = client_id {
        device["clientId"] = client_id.into();
    }
    device
}

fn with_method(method: &str, mut asked: Asked) -> Asked {
    asked.request.method = method.to_owned();
    asked
}

fn put(path: &str, body: &Value) -> Asked {
    with_method("PUT", post(path, &body.to_string()))
}

fn patch(path: &str, body: &Value) -> Asked {
    with_method("PATCH", post(path, &body.to_string()))
}

/// With a key that may subscribe, and nothing else.
pub fn subscriber(asked: Asked) -> Asked {
    asked.key("demo.subscriber:local-only")
}

fn with_token(mut asked: Asked, token: &str) -> Asked {
    asked.request.headers.x_ably_devicetoken = Some(token.to_owned());
    asked
}

/// As the SDK for .NET does.
fn with_identity_token(mut asked: Asked, token: &str) -> Asked {
    asked.request.headers.x_ably_deviceidentitytoken = Some(token.to_owned());
    asked
}

fn with_secret(mut asked: Asked, secret: &str) -> Asked {
    asked.request.headers.x_ably_devicesecret = Some(secret.to_owned());
    asked
}

fn as_device(asked: Asked, token: &str) -> Asked {
    asked.bearer(&BASE64.encode(token))
}

/// Registers a device as its client does; gives its token.
pub fn registered(world: &mut World, id: &str, client_id: Option<&str>) -> String {
    let reply = world.send(subscriber(post(DEVICES, &device(id, client_id).to_string())));
    assert_eq!(reply.status, 201, "{}", reply.json);
    reply.json["deviceIdentityToken"]["token"].as_str().unwrap().to_owned()
}

pub fn refused(reply: &Exchanged) -> (u16, u32) {
    (reply.status, reply.code())
}

#[test]
fn a_device_registers_itself_and_is_there() {
    let mut world = World::new();
    let reply = world.send(subscriber(post(DEVICES, &device("d1", Some("ann")).to_string())));
    assert_eq!(reply.status, 201);
    let token = &reply.json["deviceIdentityToken"];
    assert!(token["token"].is_string() && token["issued"].is_u64() && token["capability"].is_string());
    assert_eq!((&token["deviceId"], &token["clientId"]), (&json!("d1"), &json!("ann")));
    assert_eq!(reply.json["push"]["state"], "ACTIVE");
    assert_eq!(reply.json["deviceSecret"], Value::Null, "who sends it has it");

    let there = world.send(get(&format!("{DEVICES}/d1")));
    let mut expected = device("d1", Some("ann"));
    expected["push"]["state"] = "ACTIVE".into();
    assert_eq!((there.status, there.json), (200, expected), "with its secret, as SDKs expect");
    assert_eq!(refused(&world.send(get(&format!("{DEVICES}/d2")))), (404, 40400));
}

#[test]
fn what_cannot_be_a_device_is_refused() {
    let mut world = World::new();
    type Change = (fn(&mut Value), u32);
    let changes: [Change; 11] = [
        (|device| device["platform"] = "windows".into(), 40000),
        (|device| device["formFactor"] = "fridge".into(), 40000),
        (|device| device["push"] = json!({"color": "red"}), 40000),
        (|device| device["push"] = json!({}), 40000),
        (|device| device["push"] = Value::Null, 40000),
        (|device| device["push"]["recipient"] = json!({"transportType": "pigeon"}), 40000),
        (|device| device["push"]["recipient"] = json!({"transportType": "fcm"}), 40000),
        (|device| device["metadata"] = "x".into(), 40000),
        (|device| device["metadata"] = json!({"x": "x".repeat(3_000)}), 40009),
        (|device| device["id"] = Value::Null, 40015),
        (|device| device["id"] = json!(5), 40015),
    ];
    for (change, code) in changes {
        let mut body = device("d1", None);
        change(&mut body);
        assert_eq!(refused(&world.send(post(DEVICES, &body.to_string()))), (400, code), "{body}");
    }
    assert_eq!(refused(&world.send(put(&format!("{DEVICES}/d2"), &device("d1", None)))), (400, 40000));
    assert_eq!(world.send(get(DEVICES)).json, json!([]));
}

#[test]
fn a_browser_names_its_push_service_and_keys_in_any_base64() {
    let mut world = World::new();
    let recipient = |url: &str, p256dh: &str| {
        let keys = json!({"p256dh": p256dh, "auth": BASE64.encode([1; 16])});
        let recipient = json!({"transportType": "web", "targetUrl": url, "publicVapidKey": "K", "encryptionKey": keys});
        let mut device = device("d1", None);
        device["push"]["recipient"] = recipient;
        device.to_string()
    };
    let key = BASE64.encode([0xfb; 65]);
    let plain = "https://push.example.com/x";
    let unpadded = key.trim_end_matches('=').replace('+', "-").replace('/', "_");
    for (url, key) in [(plain, key.as_str()), (plain, &unpadded), (&BASE64.encode(plain), &key)] {
        assert_eq!(world.send(post(DEVICES, &recipient(url, key))).status, 201, "{url} {key}");
    }
    for url in ["http://push.example.com/x", "https://127.0.0.1/x", "https://localhost/x", "x", "file:///etc/passwd"] {
        for url in [url.to_owned(), BASE64.encode(url)] {
            let reply = world.send(post(DEVICES, &recipient(&url, &key)));
            assert_eq!(refused(&reply), (400, 40000), "{url}");
        }
    }
    assert_eq!(refused(&world.send(post(DEVICES, &recipient(plain, "AAAA")))), (400, 40000));
}

#[test]
fn another_secret_is_another_device() {
    let mut world = World::new();
    let first = registered(&mut world, "d1", None);
    let second = registered(&mut world, "d1", None);
    assert_ne!(first, second);
    let mine = |token: &str| as_device(get(&format!("{DEVICES}/d1")), token);
    assert_eq!(world.send(mine(&second)).status, 200);
    assert_eq!(refused(&world.send(mine(&first))), (401, 40005), "the token before");
    let mut thief = device("d1", None);
    thief["deviceSecret"] = "another".into();
    assert_eq!(refused(&world.send(subscriber(post(DEVICES, &thief.to_string())))), (401, 40101));
    thief["deviceSecret"] = Value::Null;
    assert_eq!(refused(&world.send(subscriber(post(DEVICES, &thief.to_string())))), (401, 40101));
}

#[test]
fn a_device_by_its_token_has_its_own_registration_and_no_more() {
    let mut world = World::new();
    let (own, other) = (registered(&mut world, "d1", None), registered(&mut world, "d2", None));
    let path = format!("{DEVICES}/d1");
    assert_eq!(world.send(as_device(get(&path), &own)).json["id"], "d1");
    let recipient = json!({"push": {"recipient": {"transportType": "fcm", "registrationToken": "new"}}});
    let changed = world.send(as_device(patch(&path, &recipient), &own));
    assert_eq!(changed.json["push"]["recipient"]["registrationToken"], "new");
    assert_eq!(changed.json["metadata"], json!({"seat": 4}), "the rest stays");
    // As the SDK for Android does, which sends it in base64, while it has no token of its client.
    let ways = [(BASE64.encode(&own), with_token as fn(Asked, &str) -> Asked), (own.clone(), with_identity_token)];
    for (token, with_token) in ways {
        let alone = |mut asked: Asked| {
            asked.request.headers.authorization = None;
            with_token(asked, &token)
        };
        assert_eq!(world.send(alone(patch(&path, &recipient))).json["id"], "d1");
        assert_eq!(world.send(alone(put(&path, &device("d1", None)))).status, 200);
        assert_eq!(refused(&world.send(alone(patch(&format!("{DEVICES}/d2"), &recipient)))), (401, 40005));
        assert_eq!(refused(&world.send(alone(get(DEVICES)))), (401, 40160));
        assert_eq!(world.send(with_token(subscriber(get(&path)), &token)).status, 200, "beside a key");
    }
    assert_eq!(refused(&world.send(as_device(patch(&path, &json!({"clientId": "eve"})), &own))), (401, 40160));
    assert_eq!(refused(&world.send(patch(&path, &json!({"platform": "ios"})))), (400, 40000));
    for asked in [get(&path), patch(&path, &recipient), delete(&path), delete(DEVICES).query("deviceId", "d1")] {
        assert_eq!(refused(&world.send(as_device(asked.clone(), &other))), (401, 40005));
        assert_eq!(refused(&world.send(as_device(asked.clone(), "demo!guess"))), (401, 40005));
        assert_eq!(refused(&world.send(as_device(asked, "none!guess"))), (401, 40005));
    }
    assert_eq!(refused(&world.send(as_device(get(DEVICES), &own))), (401, 40160), "no lists");
    assert_eq!(world.send(as_device(delete(DEVICES).query("deviceId", "d1"), &own)).status, 204);
    assert_eq!(refused(&world.send(get(&path))), (404, 40400));
}

/// What is pushed to a client goes to all of its devices: nobody makes another's of their own.
#[test]
fn a_device_gets_the_clientid_of_its_own_credentials_and_no_other() {
    let mut world = World::new();
    let path = format!("{DEVICES}/d1");
    let token = registered(&mut world, "d1", None);
    let to =
        |client_id: &str| [put(&path, &device("d1", Some(client_id))), patch(&path, &json!({"clientId": client_id}))];
    for asked in to("ben") {
        assert_eq!(refused(&world.send(as_device(asked.clone(), &token))), (401, 40160), "nobody's credentials");
        let another = with_token(asked.clone().bearer_of_ann(), &token);
        assert_eq!(refused(&world.send(another)), (401, 40160), "those of another");
        let reader = with_token(asked.key("demo.reader:local-only"), &token);
        assert_eq!(refused(&world.send(reader)), (401, 40160), "those that register no device");
    }
    assert_eq!(world.send(get(&path)).json["clientId"], Value::Null);
    for asked in to("ann") {
        assert_eq!(
            world.send(with_token(asked.bearer_of_ann(), &token)).json["clientId"],
            "ann",
            "its client came later"
        );
    }
    let whole = put(&path, &device("d1", Some("ann")));
    assert_eq!(world.send(as_device(whole.clone(), &token)).json["clientId"], "ann", "SDKs send what they have");
    assert_eq!(world.send(with_token(whole.key("demo.reader:local-only"), &token)).json["clientId"], "ann");
    assert_eq!(world.send(put(&path, &device("d1", Some("ben")))).json["clientId"], "ben", "an administrator may");
    assert_eq!(world.send(as_device(put(&path, &device("d1", None)), &token)).json["clientId"], Value::Null);
}

#[test]
fn a_token_is_renewed() {
    let mut world = World::new();
    let token = registered(&mut world, "d1", None);
    let path = format!("{DEVICES}/d1/resetUpdateToken");
    let renewed = world.send(as_device(post(&path, ""), &token));
    let renewed = renewed.json["deviceIdentityToken"]["token"].as_str().unwrap().to_owned();
    assert_eq!(world.send(as_device(get(&format!("{DEVICES}/d1")), &renewed)).status, 200);
    assert_eq!(refused(&world.send(as_device(get(&format!("{DEVICES}/d1")), &token))), (401, 40005));
}

#[test]
fn an_administrator_saves_finds_and_removes_devices() {
    let mut world = World::new();
    for (id, client) in [("d1", "ann"), ("d2", "ann"), ("d3", "ben")] {
        assert_eq!(world.send(put(&format!("{DEVICES}/{id}"), &device(id, Some(client)))).status, 200);
    }
    let mut changed = device("d3", Some("ben"));
    changed["formFactor"] = "tv".into();
    changed["deviceSecret"] = Value::Null;
    assert_eq!(world.send(put(&format!("{DEVICES}/d3"), &changed)).json["formFactor"], "tv");
    let kept = world.send(get(&format!("{DEVICES}/d3"))).json;
    assert_eq!(kept["deviceSecret"], "secret of d3", "what is not said stays");

    let ids = |reply: &Exchanged| -> Vec<String> {
        let list = reply.json.as_array().unwrap();
        list.iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&world.send(get(DEVICES))), ["d1", "d2", "d3"]);
    assert_eq!(ids(&world.send(get(DEVICES).query("clientId", "ann"))), ["d1", "d2"]);
    assert_eq!(ids(&world.send(get(DEVICES).query("deviceId", "d2"))), ["d2"]);
    assert_eq!(ids(&world.send(get(DEVICES).query("state", "FAILED"))), [""; 0]);
    assert_eq!(ids(&world.send(get(DEVICES).query("limit", "5000"))).len(), 3, "as many as there may be");
    let mut pages = Vec::new();
    world.walk(get(DEVICES).query("limit", "2"), |page| pages.push(ids(page)));
    assert_eq!(pages, [vec!["d1", "d2"], vec!["d3"]]);
    for bad in ["0", "x", "-1"] {
        assert_eq!(refused(&world.send(get(DEVICES).query("limit", bad))), (400, 40003));
    }
    assert_eq!(refused(&world.send(get(DEVICES).query("cursor", "x"))), (400, 40003));
    assert_eq!(refused(&world.send(get(DEVICES).query("state", "asleep"))), (400, 40003));

    assert_eq!(world.send(delete(DEVICES).query("clientId", "ann")).status, 204);
    assert_eq!(world.send(delete(DEVICES).query("clientId", "ann")).status, 204, "nothing is left to remove");
    assert_eq!(refused(&world.send(delete(DEVICES))), (400, 40000), "not all of them");
    assert_eq!(ids(&world.send(get(DEVICES))), ["d3"]);
    assert_eq!(world.send(delete(&format!("{DEVICES}/d3"))).status, 204);
    assert_eq!(world.send(delete(&format!("{DEVICES}/d3"))).status, 204);
}

#[test]
fn who_may_only_subscribe_administers_nothing() {
    let mut world = World::new();
    registered(&mut world, "d1", None);
    let payload = json!({"recipient": {"clientId": "ann"}, "data": {"a": "b"}}).to_string();
    for asked in [
        get(DEVICES),
        delete(DEVICES).query("clientId", "ann"),
        get("/push/channels"),
        get(SUBSCRIPTIONS),
        get(SUBSCRIPTIONS).query("channel", "push:a"),
        delete(SUBSCRIPTIONS).query("channel", "push:a"),
        post("/push/publish", &payload),
        post("/push/batch/publish", "[]"),
        post(DEVICES, &device("d2", Some("someone")).to_string()).bearer_of_ann(),
    ] {
        let asked = if asked.request.headers.authorization.as_deref().is_some_and(|text| text.starts_with("Bearer")) {
            asked
        } else {
            subscriber(asked)
        };
        let path = asked.request.path.clone();
        assert_eq!(refused(&world.send(asked)), (401, 40160), "{path}");
    }
    for asked in [post(DEVICES, &device("d3", None).to_string()), get("/push/publicVapidKey"), get(DEVICES)] {
        assert_eq!(refused(&world.send(asked.key("demo.reader:local-only"))), (401, 40160));
    }
    for asked in [get(&format!("{DEVICES}/d1")), put(&format!("{DEVICES}/d1"), &device("d1", None))] {
        assert_eq!(refused(&world.send(subscriber(asked))), (401, 40005), "another's device");
    }
}

trait OfAnn {
    fn bearer_of_ann(self) -> Self;
}

impl OfAnn for Asked {
    /// With a token of the client `ann`, which may subscribe.
    fn bearer_of_ann(self) -> Asked {
        let mut world = World::new();
        let body = json!({"keyName": "demo.subscriber", "clientId": "ann", "timestamp": crate::world::NOW_MS});
        let path = "/keys/demo.subscriber/requestToken";
        let token = world.send(subscriber(post(path, &body.to_string()))).json["token"].as_str().unwrap().to_owned();
        self.bearer(&token)
    }
}

#[test]
fn subscriptions_are_made_by_administrators_clients_and_devices() {
    let mut world = World::new();
    let token = registered(&mut world, "d1", None);
    registered(&mut world, "d2", None);
    let of_device = |id: &str| post(SUBSCRIPTIONS, &json!({"channel": "push:a", "deviceId": id}).to_string());
    let of_client = |id: &str| post(SUBSCRIPTIONS, &json!({"channel": "push:a", "clientId": id}).to_string());

    let reply = world.send(of_device("d2"));
    assert_eq!((reply.status, reply.json), (201, json!({"channel": "push:a", "deviceId": "d2"})));
    assert_eq!(world.send(of_device("d2")).status, 201, "once more is no other");
    assert_eq!(world.send(with_token(subscriber(of_device("d1")), &token)).status, 201);
    assert_eq!(world.send(with_secret(subscriber(of_device("d1")), "secret of d1")).status, 201);
    assert_eq!(refused(&world.send(with_token(subscriber(of_device("d2")), &token))), (401, 40005));
    assert_eq!(refused(&world.send(with_secret(subscriber(of_device("d2")), "secret of d1"))), (401, 40005));
    assert_eq!(refused(&world.send(subscriber(of_device("d1")))), (401, 40160));
    assert_eq!(world.send(of_client("ann").bearer_of_ann()).status, 201);
    assert_eq!(refused(&world.send(of_client("ben").bearer_of_ann())), (401, 40160));
    assert_eq!(world.send(of_client("nobody")).status, 201, "a client may come yet");
    assert_eq!(refused(&world.send(of_device("d9"))), (400, 40000));

    let list = world.send(with_token(subscriber(get(SUBSCRIPTIONS).query("deviceId", "d1")), &token));
    assert_eq!(list.json, json!([{"channel": "push:a", "deviceId": "d1"}]));
    let own = world.send(get(SUBSCRIPTIONS).query("clientId", "ann").bearer_of_ann());
    assert_eq!(own.json, json!([{"channel": "push:a", "clientId": "ann"}]));
    let others = world.send(get(SUBSCRIPTIONS).query("clientId", "nobody").bearer_of_ann());
    assert_eq!(refused(&others), (401, 40160));
    let all = world.send(get(SUBSCRIPTIONS).query("channel", "push:a").query("concatFilters", "true"));
    assert_eq!(all.json.as_array().unwrap().len(), 4);
}

#[test]
fn a_subscription_has_a_channel_with_push_and_one_subscriber() {
    let mut world = World::new();
    registered(&mut world, "d1", None);
    for (body, status, code) in [
        (json!({"channel": "quiet:a", "clientId": "ann"}), 401, 40160),
        (json!({"channel": "push:a"}), 400, 40000),
        (json!({"channel": "push:a", "clientId": "ann", "deviceId": "d1"}), 400, 40000),
        (json!({"channel": "push:a", "clientId": 5}), 400, 40000),
        (json!({"clientId": "ann"}), 400, 40000),
        (json!({"channel": ":", "clientId": "ann"}), 400, 40010),
        (json!("push:a"), 400, 40000),
    ] {
        assert_eq!(refused(&world.send(post(SUBSCRIPTIONS, &body.to_string()))), (status, code), "{body}");
    }
    assert_eq!(world.send(get("/push/channels")).json, json!([]));
}

#[test]
fn subscriptions_are_found_paged_and_removed() {
    let mut world = World::new();
    registered(&mut world, "d1", None);
    for (channel, name, id) in [
        ("push:a", "deviceId", "d1"),
        ("push:b", "deviceId", "d1"),
        ("push:a", "clientId", "ann"),
        ("push:b", "clientId", "ben"),
        ("push:c", "clientId", "ann"),
    ] {
        let body = json!({"channel": channel, name: id}).to_string();
        assert_eq!(world.send(post(SUBSCRIPTIONS, &body)).status, 201);
    }
    let mut count = |query: &[(&str, &str)]| {
        let asked = query.iter().fold(get(SUBSCRIPTIONS), |asked, (name, value)| asked.query(name, value));
        world.send(asked).json.as_array().map(Vec::len)
    };
    assert_eq!(count(&[]), Some(5));
    assert_eq!(count(&[("channel", "push:a")]), Some(2));
    assert_eq!(count(&[("clientId", "ann")]), Some(2));
    assert_eq!(count(&[("clientId", "ann"), ("channel", "push:c")]), Some(1));
    assert_eq!(count(&[("clientId", "ann"), ("deviceId", "d1")]), None, "none has both");
    assert_eq!(count(&[("clientId", "ann"), ("deviceId", "d1"), ("concatFilters", "true")]), Some(4));
    let mut pages = Vec::new();
    world.walk(get(SUBSCRIPTIONS).query("limit", "2"), |page| pages.extend(page.json.as_array().unwrap().clone()));
    assert_eq!(pages.len(), 5);
    assert_eq!(world.send(get("/push/channels")).json, json!(["push:a", "push:b", "push:c"]));
    assert_eq!(world.send(get("/push/channels").query("limit", "1")).json, json!(["push:a"]));

    let remove = |query: &[(&str, &str)]| {
        query.iter().fold(delete(SUBSCRIPTIONS), |asked, (name, value)| asked.query(name, value))
    };
    assert_eq!(refused(&world.send(remove(&[]))), (400, 40000), "not all of them");
    assert_eq!(world.send(remove(&[("channel", "push:c"), ("clientId", "ben")])).status, 204, "nothing");
    assert_eq!(world.send(remove(&[("clientId", "ann")])).status, 204);
    assert_eq!(world.send(get("/push/channels")).json, json!(["push:a", "push:b"]));
    assert_eq!(world.send(delete(&format!("{DEVICES}/d1"))).status, 204);
    let left = world.send(get(SUBSCRIPTIONS)).json;
    assert_eq!(left, json!([{"channel": "push:b", "clientId": "ben"}]), "those of a device go with it");
}

/// Who administers some channels sees and changes those alone.
#[test]
fn a_pattern_of_channels_is_administered_and_no_other() {
    let mut world = World::new();
    let subscription = |channel: &str| json!({"channel": channel, "clientId": "ann"}).to_string();
    for channel in ["push:open:a", "push:closed:a"] {
        world.send(post(SUBSCRIPTIONS, &subscription(channel)));
    }
    let limited = |asked: Asked| asked.key("demo.pusher:local-only");
    let seen = json!([{"channel": "push:open:a", "clientId": "ann"}]);
    assert_eq!(world.send(limited(get(SUBSCRIPTIONS))).json, seen);
    assert_eq!(world.send(limited(get("/push/channels"))).json, json!(["push:open:a"]));
    assert_eq!(world.send(limited(post(SUBSCRIPTIONS, &subscription("push:open:b")))).status, 201);
    for asked in [
        post(SUBSCRIPTIONS, &subscription("push:closed:b")),
        get(SUBSCRIPTIONS).query("channel", "push:closed:a"),
        delete(SUBSCRIPTIONS).query("channel", "push:closed:a"),
        delete(SUBSCRIPTIONS).query("clientId", "ann"),
    ] {
        assert_eq!(refused(&world.send(limited(asked))), (401, 40160));
    }
}

#[test]
fn a_push_is_accepted_or_refused_with_its_reason() {
    let mut world = World::new();
    registered(&mut world, "d1", Some("ann"));
    let data = json!({"a": "b"});
    let channel = |key: &str| json!({"transportType": "ablyChannel", "channel": "x", "ablyKey": key, "ablyUrl": "u"});
    for recipient in [json!({"deviceId": "d1"}), json!({"clientId": "nobody"}), channel("demo.full:local-only")] {
        let reply = world.send(post("/push/publish", &json!({"recipient": recipient, "data": data}).to_string()));
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{recipient}");
    }
    let apns = json!({"transportType": "apns", "deviceToken": "t"});
    for (recipient, part, code) in [
        (json!({}), "data", 40000),
        (Value::Null, "data", 40000),
        (json!({"deviceId": ""}), "data", 40000),
        (json!({"deviceId": "d1", "clientId": "ann"}), "data", 40000),
        (json!({"deviceId": "d9"}), "data", 40000),
        (json!({"clientId": "ann"}), "xxx", 40000),
        (apns, "data", 103006),
        (channel("demo.full:wrong"), "data", 40101),
        (channel("other.full:local-only"), "data", 40101),
        (channel("demo.reader:local-only"), "data", 40160),
    ] {
        let mut body = json!({"recipient": recipient});
        body[part] = data.clone();
        assert_eq!(world.send(post("/push/publish", &body.to_string())).code(), code, "{body}");
    }
    assert_eq!(world.send(post("/push/publish", r#"{"recipient":{"clientId":"ann"}}"#)).code(), 40000);
    assert_eq!(world.send(post("/push/apnsBroadcastChannels", "{}")).code(), 103006);
}

#[test]
fn a_batch_says_of_each_what_became_of_it() {
    let mut world = World::new();
    let payload = json!({"notification": {"title": "t"}});
    let batch = json!([
        {"recipient": [{"clientId": "ann"}, {"clientId": "ben"}], "payload": payload},
        {"recipient": {"deviceId": "d9"}, "payload": payload},
        {"recipient": {"clientId": "ann"}, "payload": {"xxx": 5}},
        {"recipient": {"clientId": "ann"}, "payload": payload},
        5,
    ]);
    let reply = world.send(post("/push/batch/publish", &batch.to_string()));
    let codes: Vec<u64> =
        reply.json.as_array().unwrap().iter().map(|one| one["error"]["code"].as_u64().unwrap_or_default()).collect();
    assert_eq!((reply.status, codes), (200, vec![0, 40000, 40000, 0, 40000]));
    let recipients = vec![json!({"clientId": "a"}); 10_001];
    let large = json!([{"recipient": recipients, "payload": payload}]);
    assert_eq!(world.send(post("/push/batch/publish", &large.to_string())).code(), 40000);
    assert_eq!(world.send(post("/push/batch/publish", "{}")).code(), 40000);
}

#[test]
fn msgpack_says_the_same() {
    let mut world = World::new();
    let body = rmp_serde::to_vec_named(&device("d1", None)).unwrap();
    let asked = post(DEVICES, "").content_type("application/x-msgpack").body(body).accept("application/x-msgpack");
    let reply = world.send(asked);
    assert_eq!(reply.status, 201);
    let device: Value = rmp_serde::from_slice(&reply.body).unwrap();
    assert_eq!(device["id"], "d1");
    let list = world.send(get(DEVICES).accept("application/x-msgpack"));
    let list: Vec<Value> = rmp_serde::from_slice(&list.body).unwrap();
    assert_eq!(list[0]["metadata"], json!({"seat": 4}));
}
