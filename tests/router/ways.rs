//! Whoever comes, by whatever way, comes in alike: who it is, what counts, and which app.

use std::rc::Rc;

use courtside::auth::{Apps, Reach};
use courtside::error::Code;
use courtside::http::Request;
use courtside::limits::{FOUND_APP_KEPT_MS, MISSING_APPS, MISSING_APPS_SPARE, SOCKETIO_CONNECT_MS, WRONG_SECRETS};
use courtside::model::name::AppId;
use courtside::protocol::door::Door;
use courtside::router::{Refusal, Route, Way};
use courtside::rpc::AppResponse;
use courtside::transport::Mode;

use crate::world::{KEY, NOW_MS, Outcome, World, get, mqtt, operators, socket, with_headers};

/// Every way by which a client comes with these credentials, `key=…` or `access_token=…`.
fn ways(credentials: &str) -> Vec<(&'static str, Request, Way)> {
    let (name, value) = credentials.split_once('=').unwrap();
    let by_path = |name: &'static str, head: Request| match Route::of(&head) {
        Route::Connect(way) => (name, head, way),
        other => panic!("{other:?}"),
    };
    let password = match name {
        "key" => value.split_once(':').unwrap(),
        _ => ("", value),
    };
    vec![
        by_path("WebSocket", socket(&format!("/?{credentials}"))),
        by_path("Comet", get(&format!("/comet/connect?{credentials}"))),
        by_path("stream", get(&format!("/event-stream?channel=a&{credentials}"))),
        by_path("Socket.IO", socket(&format!("/socket.io/?EIO=4&transport=websocket&{credentials}"))),
        by_path("Engine.IO", get(&format!("/socket.io/?EIO=4&transport=polling&{credentials}"))),
        ("MQTT", socket("/mqtt"), mqtt_of(password)),
    ]
}

fn mqtt_of((username, password): (&str, &str)) -> Way {
    mqtt(username, password)
}

#[test]
fn each_way_has_its_credentials_where_its_clients_say_them() {
    for (name, head, way) in ways(&format!("key={KEY}")) {
        let opening = World::new().come_by(&head, &way).held().opening;
        assert_eq!(opening.grant.key_name.to_string(), "demo.full", "{name}");
        assert!(opening.is_secure, "{name}");
    }
    let header = with_headers("/", "upgrade websocket\nauthorization Basic ZGVtby5mdWxsOmxvY2FsLW9ubHk=");
    assert!(World::new().come(&header).held().opening.grant.basic);
    let pusher = World::new().come(&socket("/app/demo.full?protocol=7")).held().opening;
    assert!(!pusher.grant.basic && matches!(pusher.door, Some(Door::Pusher(_))));
}

#[test]
fn connections_over_http_say_how_they_are_read() {
    let mode = |path: &str| World::new().come(&get(&format!("{path}key={KEY}"))).held().mode;
    assert_eq!(mode("/comet/connect?stream=false&"), Some(Mode::Poll));
    assert_eq!(mode("/comet/connect?"), Some(Mode::Stream));
    assert!(matches!(mode("/sse?channels=a&"), Some(Mode::Events(_))));
    assert_eq!(mode("/socket.io/?EIO=4&transport=polling&"), Some(Mode::Engine));
}

/// docs/protocol.md § 11.9: such a token is good for connections.
#[test]
fn a_token_of_an_operator_comes_in_by_every_way() {
    let token = operators().issue(&AppId::parse("demo").unwrap(), Reach::Channels, NOW_MS, [0; 8]).token;
    for (name, head, way) in ways(&format!("access_token={token}")) {
        // The console's is named.
        let way = if name == "MQTT" { crate::world::mqtt_with(0xc2, "", "", &token) } else { way };
        let opening = World::new().come_by(&head, &way).held().opening;
        assert_eq!(opening.grant.key_name.to_string(), "demo.[console]", "{name}");
    }
    let mut world = World::new();
    world.deployment.apps = Ok(Rc::new(Apps::of(crate::world::apps().iter().cloned())));
    for (name, head, way) in ways(&format!("access_token={token}")) {
        assert!(matches!(world.come_by(&head, &way), Outcome::Refused(_)), "{name}: there is no admin token");
    }
}

#[test]
fn who_is_refused_counts_for_its_app_by_every_way() {
    for (name, head, way) in ways("key=demo.full:wrong-secret") {
        let mut world = World::new();
        assert!(matches!(world.come_by(&head, &way), Outcome::Refused(_)), "{name}");
        assert_eq!(world.refused_of(), [AppId::parse("demo").unwrap()], "{name}");
    }
    for (name, head, way) in ways("key=nowhere.full:wrong-secret") {
        let mut world = World::new();
        assert!(matches!(world.come_by(&head, &way), Outcome::Refused(_)), "{name}");
        assert_eq!(world.refused_of(), [AppId::deployment()], "{name}: there is no such app");
    }
}

/// Also where the app was not known before its client was refused.
#[test]
fn who_is_refused_counts_for_an_app_that_was_made_at_run_time() {
    for (name, head, way) in ways("key=made.full:wrong-secret") {
        let mut world = World::new();
        world.made = Box::new(|_| Ok(AppResponse::Config(Some(MADE.to_owned()))));
        assert!(matches!(world.come_by(&head, &way), Outcome::Refused(_)), "{name}");
        assert_eq!(world.refused_of(), [AppId::parse("made").unwrap()], "{name}");
    }
}

const MADE: &str = r#"{"id":"made","keys":[{"name":"full","secret":"local-only"}],"namespaces":[]}"#;

#[test]
fn wrong_secrets_are_counted_together_by_every_way() {
    let mut world = World::new();
    for _ in 0..WRONG_SECRETS.burst {
        world.come(&get("/comet/connect?key=demo.full:wrong-secret"));
    }
    for (name, head, way) in ways("key=demo.full:wrong-secret") {
        let told = match world.come_by(&head, &way) {
            Outcome::Refused(Refusal::Socket(frame)) => format!("{frame:?}"),
            Outcome::Refused(Refusal::Reply(reply)) => String::from_utf8(reply.body).unwrap(),
            other => panic!("{other:?}"),
        };
        // 0x03 in CONNACK: too much at present.
        let is_told = told.contains("42910") || told == "Binary([32, 2, 0, 3])";
        assert!(is_told, "{name}: {told}");
    }
    world.come(&socket(&format!("/?key={KEY}"))).held();
}

#[test]
fn a_client_of_socket_io_may_say_later_who_it_is() {
    let open = "/socket.io/?EIO=4&transport=polling";
    let mut world = World::new();
    for path in [open.to_owned(), format!("{open}&app=demo")] {
        let grant = world.come(&get(&path)).held().opening.grant;
        assert!(grant.is_of_nobody());
        assert_eq!((grant.app().as_str(), grant.expires_at_ms), ("demo", Some(NOW_MS + SOCKETIO_CONNECT_MS)));
    }
    assert_eq!(world.come(&get(&format!("{open}&app=nowhere"))).answered(), (403, "40101".to_owned()));
    world.deployment.apps = Ok(Rc::new(Apps::default()));
    assert_eq!(world.come(&get(open)).answered(), (403, "40101".to_owned()), "there is not only one");
}

#[test]
fn a_request_of_a_connection_goes_to_who_holds_it() {
    let mut world = World::new();
    let Outcome::PassedOn { relay, claim } = world.come(&get(&format!("/comet/a!5-0-mac/recv?key={KEY}"))) else {
        panic!("it has a key")
    };
    assert_eq!((relay.to_string().as_str(), claim.key.as_str()), ("relay:demo/5", "a!5-0-mac"));
    assert!(claim.by.is_some(), "as whom it asks");
    let of = |app: &str| format!("/socket.io/?EIO=4&transport=polling&sid={app}.a!5-0-mac");
    let Outcome::PassedOn { relay, claim } = world.come(&get(&of("demo"))) else { panic!("it has a sid") };
    assert_eq!((relay.to_string().as_str(), claim.by), ("relay:demo/5", None), "whoever has the sid");
    assert_eq!(world.come(&get(&of("nowhere"))).answered(), (400, "80003".to_owned()));
    assert_eq!(world.come(&get(&format!("/comet/nonsense/recv?key={KEY}"))).answered().1, "80003");
    assert!(world.asked.is_empty(), "no connection begins");
}

#[test]
fn an_app_made_at_run_time_is_asked_for_once_in_a_while() {
    let mut world = World::new();
    world.made = Box::new(|_| Ok(AppResponse::Config(Some(MADE.to_owned()))));
    let come = |world: &mut World| world.come(&socket("/?key=made.full:local-only")).held();
    (0..3).for_each(|_| drop(come(&mut world)));
    assert_eq!(world.apps_asked, 1);
    world.now_ms += FOUND_APP_KEPT_MS;
    come(&mut world);
    assert_eq!(world.apps_asked, 2, "it may have changed");
    world.deployment.makes_apps = false;
    assert_eq!(world.come(&socket("/?key=made.full:local-only")).told(), (9, 40101), "none can be made here");
    assert_eq!(world.apps_asked, 2);
}

#[test]
fn an_app_that_does_not_answer_refuses_for_now_and_unknown_ones_are_few() {
    let mut world = World::new();
    world.made = Box::new(|_| Err(Code::TimedOut.into()));
    assert_eq!(world.come(&socket("/?key=made.full:local-only")).told(), (6, 50003));
    world.made = Box::new(|_| Ok(AppResponse::Config(None)));
    for number in 0..100 {
        world.come(&get(&format!("/comet/connect?key=guess{number}.full:local-only")));
    }
    let most = MISSING_APPS.burst + MISSING_APPS_SPARE.burst;
    assert!(world.apps_asked as u64 <= most, "{}", world.apps_asked);
    assert_eq!(world.come(&socket("/?key=guess100.full:local-only")).told(), (6, 42910));
}
