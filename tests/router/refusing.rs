//! How those are told who are not let in (docs/protocol.md § 2).

use courtside::error::Code;
use courtside::http::Request;
use courtside::limits::REFUSED_SOCKETS;
use courtside::protocol::Encoded;
use courtside::router::{Refusal, Room};

use crate::world::{ADDRESS, KEY, Outcome, World, answer, get, mqtt, socket, with_headers};

#[test]
fn a_websocket_is_opened_to_say_it() {
    let mut world = World::new();
    assert_eq!(world.come(&socket("/?key=demo.full:wrong-secret")).told(), (9, 40101));
    assert_eq!(world.come(&socket("/")).told(), (9, 40106));
    assert_eq!(world.come(&socket(&format!("/?key={KEY}&rewnid=1"))).told(), (9, 40002));
    assert_eq!(world.come(&socket(&format!("/?key={KEY}&channel=%5Bmeta%5Dnone"))).told(), (9, 40010));
    assert_eq!(world.come(&socket(&format!("/elsewhere?key={KEY}"))).told(), (9, 40400));
    let Outcome::Refused(Refusal::Socket(Encoded::Binary(_))) = world.come(&socket("/?format=msgpack")) else {
        panic!("in the format that was asked for")
    };
    let Outcome::Refused(Refusal::Socket(said)) = world.come(&socket("/app/demo.brief")) else { panic!("opened") };
    assert!(format!("{said:?}").contains("pusher:error"), "in the door's words: {said:?}");
}

#[test]
fn what_may_pass_is_told_as_disconnected_or_by_the_status_to_who_waits_for_that() {
    let mut world = World::new();
    world.deployment.is_stopping = true;
    assert_eq!(world.come(&socket(&format!("/?key={KEY}"))).told(), (6, 50320));
    for agent in ["ably-go/1.2", "ably-python/2"] {
        let head = with_headers(&format!("/?key={KEY}"), &format!("upgrade websocket\nably-agent {agent}"));
        assert_eq!(world.come(&head).answered(), (503, "50320".to_owned()), "{agent}");
        let head = with_headers("/?key=nonsense", &format!("upgrade websocket\nably-agent {agent}"));
        world.deployment.is_stopping = false;
        assert_eq!(world.come(&head).told(), (9, 40101), "this does not pass");
        world.deployment.is_stopping = true;
    }
}

#[test]
fn an_address_is_told_by_so_many_websockets_and_others_go_on() {
    let mut world = World::new();
    let wrong = socket("/?key=nonsense");
    for _ in 0..REFUSED_SOCKETS.burst {
        world.come(&wrong).told();
    }
    assert_eq!(world.come(&wrong).answered(), (401, "40101".to_owned()));
    assert_eq!(world.come(&socket("/app/nonsense")).answered().0, 401);
    let unopened = world.refuse_unopened(&socket("/mqtt"));
    assert_eq!(answer(&unopened.unwrap()), (503, "50320".to_owned()), "nor is one of MQTT opened");
    world.come(&socket(&format!("/?key={KEY}"))).held();
    world.now_ms += REFUSED_SOCKETS.interval_ms;
    world.come(&wrong).told();
    assert_eq!(world.come(&wrong).answered().0, 401);
    for address in ["192.0.2.2", ""] {
        world.come(&Request { address: address.to_owned(), ..wrong.clone() }).told();
    }
}

#[test]
fn so_many_of_an_address_wait_to_be_let_in_by_mqtt_and_those_who_are_in_leave_room() {
    let mut world = World::new();
    let is_opened = |world: &mut World, address: &str| {
        let head = Request { address: address.to_owned(), ..socket("/mqtt") };
        world.refuse_unopened(&head).is_none()
    };
    for _ in 0..REFUSED_SOCKETS.burst {
        assert!(is_opened(&mut world, ADDRESS));
    }
    assert!(!is_opened(&mut world, ADDRESS));
    assert!(is_opened(&mut world, "192.0.2.2") && is_opened(&mut world, ""), "others come in");
    world.router.let_in(ADDRESS);
    assert!(is_opened(&mut world, ADDRESS) && !is_opened(&mut world, ADDRESS));
}

#[test]
fn nobody_is_told_by_a_websocket_while_there_is_little_room() {
    for room in [Room::ForThoseWhoResume, Room::ForNobody] {
        let mut world = World::new();
        world.deployment.room = room;
        assert_eq!(world.come(&socket("/?key=nonsense")).answered(), (401, "40101".to_owned()));
        assert_eq!(world.come(&socket(&format!("/?key={KEY}"))).answered(), (503, "50320".to_owned()));
        assert!(world.refuse_unopened(&socket("/mqtt")).is_some());
    }
}

#[test]
fn who_resumes_has_a_place_while_there_is_little_room() {
    let resumes = socket(&format!("/?key={KEY}&resume=a!0-0-mac"));
    let mut world = World::new();
    world.deployment.room = Room::read("to newcomers");
    world.come(&resumes).held();
    world.deployment.room = Room::read("true");
    assert_eq!(world.come(&resumes).answered(), (503, "50320".to_owned()));
    world.deployment.room = Room::read("");
    world.come(&resumes).held();
}

#[test]
fn others_are_told_in_their_own_words() {
    let mut world = World::new();
    assert_eq!(world.come(&get("/comet/connect?key=nonsense")).answered(), (401, "40101".to_owned()));
    assert_eq!(world.come(&get("/sse?channels=a&key=nonsense")).answered(), (401, "40101".to_owned()));
    let engine = "/socket.io/?EIO=4&key=nonsense&transport=";
    assert_eq!(world.come(&get(&format!("{engine}polling"))).answered(), (403, "40101".to_owned()));
    assert_eq!(world.come(&socket(&format!("{engine}websocket"))).answered(), (403, "40101".to_owned()));
    let Outcome::Refused(refusal) = world.come_by(&socket("/mqtt"), &mqtt("demo.full", "wrong-secret")) else {
        panic!("it is wrong")
    };
    assert_eq!(refusal, Refusal::Socket(Encoded::Binary(vec![0x20, 2, 0, 4])));
    world.deployment.is_stopping = true;
    let stream = format!("channels=a&key={KEY}");
    assert_eq!(world.come(&get(&format!("/sse?{stream}"))).answered(), (200, "50320".to_owned()), "to come back later");
    assert_eq!(world.come(&get(&format!("/event-stream?{stream}"))).answered(), (503, "50320".to_owned()));
}

#[test]
fn a_server_that_stops_lets_nobody_in_and_serves_who_is_there() {
    let mut world = World::new();
    world.deployment.is_stopping = true;
    assert_eq!(world.come(&get(&format!("/comet/connect?key={KEY}"))).answered(), (503, "50320".to_owned()));
    for of_connection in [
        format!("/comet/a!0-0-mac/recv?key={KEY}"),
        "/socket.io/?EIO=4&transport=polling&sid=demo.a!0-0-mac".to_owned(),
    ] {
        assert!(matches!(world.come(&get(&of_connection)), Outcome::PassedOn { .. }), "{of_connection}");
    }
    world.deployment.apps = Err(Code::Unavailable.because("this deployment has no apps"));
    world.deployment.is_stopping = false;
    assert_eq!(world.come(&socket(&format!("/?key={KEY}"))).told(), (6, 50320));
    assert_eq!(world.refused_of().len(), 2, "once an app was known, once none");
}
