//! What the fixtures hold, as this build makes it.

use std::fmt::Write;

use super::*;

pub fn fixture(text: &str) -> Fixture {
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, value)| (name.into(), value.into())).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("texts take all");
        text
    })
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A publish of each kind of message.
pub fn messages() -> Publish {
    let text = |text: &str| Some(text.to_owned());
    let extras = json!({"headers": {"team": "red", "half": 1.5}}).as_object().cloned();
    let said = Message {
        name: text("chat"),
        data: Data::Text("hello ü".into()),
        client_id: text("ann"),
        ..Message::default()
    };
    let sent = Message { data: Data::Binary(vec![0, 255]), extras, ..Message::default() };
    let own = Message { data: Data::Text("{\"a\":1}".into()), encoding: text("json"), ..Message::default() };
    Publish {
        key: PublishKey::Serial(7),
        connection_id: text("conn"),
        by: Source::SERVER,
        content: Submission::Messages(vec![said, sent, own]),
    }
}

pub fn entering() -> Publish {
    let event = PresenceMessage {
        action: PresenceAction::Enter,
        id: "conn:8:0".into(),
        connection_id: "conn".into(),
        client_id: "ann".into(),
        data: Data::Text("seat 4".into()),
        encoding: None,
        extras: None,
    };
    let lease = Lease { relay: RelayName::from("relay:demo/3".to_owned()), grace_ms: 15_000 };
    let content = Submission::Presence { lease, updates: vec![PresenceUpdate { event, known: None }] };
    Publish { key: PublishKey::Serial(8), connection_id: Some("conn".into()), by: Source::SERVER, content }
}

/// A channel's storage with a row of messages and one of presence.
pub fn written_store() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    publish(&mut channel, &mut store, vec![messages()]);
    publish(&mut channel, &mut store, vec![entering()]);
    store
}

/// Operations that leave a part of each kind, and a value of each.
pub fn operating() -> Publish {
    let values = [
        Value::Object("map:none@1".into()),
        Value::Bool(true),
        Value::Bytes(vec![0, 255]),
        Value::Number(1.5),
        Value::Text("ü".into()),
        Value::Json("[1]".into()),
    ];
    let set = |(index, value)| ("root", Action::MapSet { key: format!("k{index}"), value });
    let others = [("root", Action::MapRemove { key: "gone".into() }), ("counter:c@1", Action::CounterInc(-2.5))];
    let proposal = |(object_id, action): (&str, Action)| {
        let operation = Operation { object_id: object_id.to_owned(), action };
        let message = ObjectMessage { id: None, client_id: Some("ann".into()), extras: None, operation };
        Proposal { message, target: operation::Target::Named }
    };
    let operations = values.into_iter().enumerate().map(set).chain(others).map(proposal).collect();
    let content = Submission::Objects(operations);
    Publish {
        key: PublishKey::Serial(9),
        connection_id: Some("conn".into()),
        by: courtside::auth::Source::SERVER,
        content,
    }
}

/// A channel's storage with objects.
pub fn store_with_objects() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    channel.publish(courtside::rpc::Ticket(0), vec![operating()]).expect("there is room");
    channel.commit(&mut store, NOW_MS);
    store
}

/// Operations of each kind on the first message; the last two are appends, one behind what the other leaves.
pub fn operating_on(serial: &str) -> Vec<Publish> {
    let act = |(index, act): (usize, Act)| {
        let (serial, client_id, description) = (serial.to_owned(), Some("bob".to_owned()), Some("typo".to_owned()));
        let patch = Patch { data: Data::Text(format!(" and {index}")), ..Patch::default() };
        let metadata = Some([("by".to_owned(), "host".to_owned())].into_iter().collect());
        let operation =
            message::Operation { act, serial, patch, client_id, description, metadata, reach: message::Reach::Any };
        let content = Submission::Operation(operation.into());
        let (key, connection_id) = (PublishKey::Serial(10 + index as u64), Some("conn".to_owned()));
        Publish { key, connection_id, by: Source::SERVER, content }
    };
    [Act::Delete, Act::Update, Act::Append, Act::Append].into_iter().enumerate().map(act).collect()
}

/// A channel's storage with a message of several versions.
pub fn store_with_versions() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut channel = wake(&mut store);
    let (places, _) = publish(&mut channel, &mut store, vec![messages()]);
    for operation in operating_on(&places[0].message_serial(EPOCH, 0)) {
        publish(&mut channel, &mut store, vec![operation]);
    }
    store
}

/// How a fixture names a part.
pub fn part_name(key: &PartKey) -> String {
    let entry = key.key.as_ref().map_or(String::new(), |key| format!("/{key}"));
    format!("objects.part.{}{entry}", key.object)
}

/// A key whose tokens can be revoked.
pub fn keyed_app() -> App {
    let key = json!({"name": "brief", "secret": "a-secret-of-some-length", "revocableTokens": true});
    serde_json::from_value(json!({"id": "demo", "keys": [key], "namespaces": []})).expect("an app")
}

pub fn token() -> String {
    let app = keyed_app();
    let name = KeyName::parse("demo.brief").expect("a name");
    let fields = json!({"keyName": "demo.brief", "clientId": "ann", "capability": r#"{"chat:*":["subscribe"]}"#});
    let authority = verified("key", "demo.brief:a-secret-of-some-length");
    let request = TokenRequest::from_value(&fields).expect("a request");
    request.approve(&name, Some(&app), Some(&authority), NOW_MS).expect("approved").issue([7; 8]).token
}

pub fn verified(parameter: &str, text: &str) -> Grant {
    let query = [(parameter.to_owned(), text.to_owned())];
    let presented = Presented { query: &query, ..Presented::default() };
    let credentials = Credentials::parse(&presented, Surface::Realtime).expect("credentials");
    credentials.verify(Some(&keyed_app()), NOW_MS).expect("good ones")
}

pub fn revocation() -> Revocation {
    let (key_name, target) =
        (KeyName::parse("demo.brief").expect("a name"), Target::parse("clientId:ann").expect("one"));
    Revocation { key_name, target, issued_before_ms: NOW_MS, applies_at_ms: NOW_MS + 30_000 }
}

/// What a socket carries of a session with an attachment, and the key of its connection.
pub fn session() -> (Vec<u8>, String) {
    let mut relay = relay();
    let connected = connect(&mut relay, 1);
    let attach = r#"{"action":10,"channel":"room","flags":393216,"params":{"rewind":"2"}}"#;
    let (ticket, _) = call(&send(&mut relay, 1, attach));
    let effects = relay.answered(ticket, subscribed(5_000), NOW_MS);
    let (read, _) = call(&effects);
    let page = courtside::rpc::Backlog {
        epoch: EPOCH.into(),
        lost: None,
        after: Position(5_000),
        entries: Packed::default(),
        through: Position(5_000),
        more: false,
        members: 0,
    };
    let effects = relay.answered(read, Some(Ok(courtside::rpc::Response::Backlog(page))), NOW_MS);
    (record(&effects, 1).expect("a record"), key(&frames(&connected, 1)[0]))
}

/// A session by MQTT as its relay stores it, and its connection's record.
#[cfg(feature = "mqtt")]
pub fn mqtt_session() -> [(&'static str, Vec<u8>); 2] {
    let mut relay = relay();
    mqtt::come(&mut relay, 1, "ann", true, NOW_MS);
    let effects = mqtt::subscribe(&mut relay, 1, 1, NOW_MS);
    let row = mqtt::rows(&effects).pop().and_then(|(_, row)| row);
    [("mqtt.session", row.expect("a row")), ("mqtt.record", record(&effects, 1).expect("a record"))]
}

/// An app's storage with a device, and a push to it that waits.
pub fn push_store() -> AppMemory {
    let mut host = app_host(AppMemory::default());
    let recipient = json!({
        "transportType": "web", "targetUrl": "https://push.example.com/d1", "publicVapidKey": BASE64URL.encode([4; 65]),
        "encryptionKey": {"p256dh": BASE64URL.encode([4; 65]), "auth": BASE64URL.encode([1; 16])},
    });
    let device = json!({
        "id": "d1", "clientId": "ann", "deviceSecret": "secret", "platform": "browser", "formFactor": "desktop",
        "metadata": {"seat": 4}, "push": {"recipient": recipient},
    });
    let mut device = Device::read(&device, None).expect("a device");
    device.state = State::Failing(Code::PushUnreachable.into());
    let by = PushCaller { is_admin: true, proof: None, client_id: courtside::auth::Identity::Wildcard };
    let target = PushTarget::Device("d1".into());
    let push = DirectPush { key: "key".into(), target, payload: r#"{"data":{"a":"b"}}"#.into() };
    for request in [
        PushRequest::Key { contact: "mailto:ops@example.com".into() },
        PushRequest::Save(by, device),
        PushRequest::Publish { pushes: vec![push], wait: false },
    ] {
        let request = AppRequest::Push(Box::new(request));
        app_store::ask(&mut host, AppCall { app: AppId::parse("demo").expect("an id"), request }, NOW_MS)
            .expect("an answer");
    }
    host.into_store()
}

/// What may be known of the token for a push service.
pub fn permits() -> [(&'static str, Permit); 3] {
    let of = || "hash".to_owned();
    let granted = Standing::Granted { token: "token".to_owned(), until_ms: 1_000, is_second: true };
    let refused = Standing::Refused { error: Code::PushBadCredentials.into(), until_ms: 1_000, may_pass: true };
    [
        ("push.permit.granted", Permit { of: of(), standing: granted }),
        ("push.permit.denied", Permit { of: of(), standing: Standing::Denied }),
        ("push.permit.refused", Permit { of: of(), standing: refused }),
    ]
}

pub fn app_host(store: AppMemory) -> AppHost<AppMemory> {
    AppHost::new(Settings { apps: Ok(Default::default()), bounds: Default::default() }, store)
}

pub fn summary(target: revision::Target) -> Summary {
    Summary { target, name: Some("chat".into()), counts: SummaryCounts::default() }
}

/// A version of the message that is summed up.
pub fn updated(target: revision::Target) -> revision::Version {
    revision::Version {
        position: Position(1_000_000_002),
        shape: revision::Shape::Updated,
        number: 1,
        prior: target.position,
        deleted_at: None,
        connection_id: Some("conn".into()),
        client_id: Some("bob".into()),
        description: None,
        metadata: None,
    }
}

/// All that this build stores, by name.
pub fn written() -> Fixture {
    let store = written_store();
    let mut fixture = Fixture::new();
    let mut put = |name: &str, value: String| fixture.insert(name.to_owned(), value);
    put("meta", hex(store.meta.as_deref().expect("a meta")));
    for (name, row) in ["messages", "presence"].iter().zip(store.rows.values()) {
        put(&format!("{name}.position"), row.position.0.to_string());
        put(&format!("{name}.keys"), row.keys.clone());
        put(&format!("{name}.entries"), hex(row.entries.bytes()));
    }
    let versions = store_with_versions();
    let operations = versions.rows.values().skip(1).flat_map(|row| row.entries.bytes().to_vec());
    put("operations.entries", hex(&operations.collect::<Vec<u8>>()));
    put("operations.latest", hex(versions.latest.values().next().expect("a version").entry.bytes()));
    let ending = &versions.endings.values().next().expect("appends").bytes;
    let length = ending.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    put("operations.ending", hex(&ending[..length]));
    let objects = store_with_objects();
    put("objects.entries", hex(objects.rows.values().next().expect("a row").entries.bytes()));
    objects.objects.iter().for_each(|(key, part)| _ = put(&part_name(key), hex(part)));
    put("member", hex(store.members.values().next().expect("a member").member.bytes()));
    let target = revision::Target { position: Position(1_000_000_001), place: 2 };
    let said = Annotation {
        id: None,
        action: AnnotationAction::Delete,
        kind: "r:multiple.v1".into(),
        name: Some("clap".into()),
        count: Some(3),
        client_id: Some("ann".into()),
        data: Data::Absent,
        encoding: None,
        extras: json!({"a": 1}).as_object().cloned(),
    };
    let annotations = Content::Annotations { target, annotations: vec![said] };
    let summary = Content::Summary(summary(target));
    let filled = Content::SummaryOfVersion { summary: self::summary(target), version: updated(target) };
    for (name, content) in [("annotations", annotations), ("summary", summary), ("summary.filled", filled)] {
        let entry = Entry { position: Position(1_000_000_003), id: "conn:9".into(), connection_id: None, content };
        put(name, hex(Packed::one(&entry).bytes()));
    }
    let (record, key) = session();
    put("record", hex(&record));
    put("connection-key", key);
    #[cfg(feature = "mqtt")]
    for (name, bytes) in mqtt_session() {
        put(name, hex(&bytes));
    }
    put("token", token());
    let app = push_store();
    put("push.device", hex(&pinned::encode(&app.push.devices["d1"])));
    for (name, permit) in permits() {
        put(name, hex(&pinned::encode(&permit)));
    }
    put("push.push", hex(&app.push.pushes["key"].2));
    put("push.vapid", hex(app.push.vapid.as_deref().expect("keys")));
    let hooks = hook_row(messages());
    put("hooks", hex(&pinned::encode(&hooks)));
    put("hooks.standing", hex(&pinned::encode(&hooks.cursors[0].standing())));
    put("hooks.dead", hex(&pinned::encode(&hooks.dead[0])));
    put("hooks.meta", hex(hooked_store(messages()).meta.as_deref().expect("a meta")));
    put("life", hex(&pinned::encode(&life())));
    put("revocation", hex(&pinned::encode(&revocation())));
    put("ban", hex(&pinned::encode(&ban())));
    put("note", hex(&pinned::encode(&note())));
    fixture
}

pub fn life() -> Life {
    let [key_name, door, transport] = ["demo.key", "ably", "websocket"].map(str::to_owned);
    let (app, client_id) = (AppId::parse("demo").expect("an id"), Some("ann".into()));
    let (opened_ms, lost_until_ms) = (NOW_MS, Some(NOW_MS + 120_000));
    Life { app, shard: 3, opened_ms, client_id, key_name, door, transport, is_told: true, lost_until_ms }
}

pub fn ban() -> Ban {
    let (client_id, channels) = ("ann".to_owned(), Some("chat:*".to_owned()));
    let reason = "spam".to_owned();
    Ban { client_id, channels, since_ms: 1_000, until_ms: Some(2_000), reason, interval_ms: Some(5_000) }
}

pub fn note() -> Note {
    let [app, by, action, target] = ["demo", "key demo.key", "ban", "clientId ann"].map(str::to_owned);
    Note { at_ms: 1_000, app, by, action, target }
}
