//! Where requests lead.

use courtside::model::Format;
use courtside::router::{Route, Way};
use courtside::transport::engine::Asked;

use crate::world::{get, socket, with_headers};

fn named(route: Route) -> String {
    match route {
        Route::Connect(Way::WebSocket(Format::Json)) => "websocket".to_owned(),
        Route::Connect(Way::WebSocket(Format::Msgpack)) => "websocket, msgpack".to_owned(),
        Route::Connect(Way::Door(door)) => door.name().to_owned(),
        Route::Connect(Way::Comet(verb, key)) => format!("comet {verb:?} {key}"),
        Route::Connect(Way::Events { lines }) => format!("events, {}", if lines { "lines" } else { "sse" }),
        Route::Connect(Way::Engine(Asked::Open { polls })) => format!("engine, polls {polls}"),
        Route::Connect(Way::Engine(Asked::Of { key, ask, .. })) => format!("engine {ask:?} {key}"),
        Route::Connect(Way::Mqtt { .. }) => unreachable!("who comes is not known yet"),
        Route::Mqtt(protocol) => format!("mqtt {protocol:?}"),
        Route::Page => "page".to_owned(),
        Route::EventToken => "token".to_owned(),
        Route::Rest => "rest".to_owned(),
        Route::Answered(reply) => reply.status.to_string(),
    }
}

#[test]
fn a_websocket_comes_in_by_its_path() {
    for (path, expected) in [
        ("/?key=a", "websocket"),
        ("/?format=msgpack", "websocket, msgpack"),
        ("/elsewhere", "websocket"),
        ("/app/demo.full?protocol=7", "pusher"),
        ("/mqtt", "mqtt None"),
        ("/socket.io/?EIO=4&transport=websocket", "engine, polls false"),
        ("/socket.io/?EIO=4&transport=websocket&sid=demo.k!0-0-m", "engine Upgrade k!0-0-m"),
        ("/socket.io/?EIO=3&transport=websocket", "400"),
        ("/sse?channels=a", "websocket"),
    ] {
        assert_eq!(named(Route::of(&socket(path))), expected, "{path}");
    }
    let mqtt = with_headers("/", "upgrade WebSocket\nsec-websocket-protocol mqtt");
    assert_eq!(named(Route::of(&mqtt)), "mqtt Some(\"mqtt\")");
}

#[test]
fn another_request_leads_to_a_connection_a_page_or_rest() {
    for (path, expected) in [
        ("/comet/connect", "comet Connect "),
        ("/comet/a!0-0-b/recv", "comet Recv a!0-0-b"),
        ("/comet/a!0-0-b/fly", "404"),
        ("/sse?channels=a", "events, sse"),
        ("/event-stream?channels=a", "events, lines"),
        ("/socket.io/?EIO=4&transport=polling", "engine, polls true"),
        ("/", "page"),
        ("/embed/chat", "page"),
        ("/event/token", "token"),
        ("/channels", "rest"),
        ("/mqtt", "rest"),
        ("/app/demo.full", "rest"),
    ] {
        assert_eq!(named(Route::of(&get(path))), expected, "{path}");
    }
    let mut asked = get("/");
    asked.method = "POST".to_owned();
    assert_eq!(named(Route::of(&asked)), "rest");
    asked.path = "/event/token".to_owned();
    assert_eq!(named(Route::of(&asked)), "token");
    asked.method = "OPTIONS".to_owned();
    assert_eq!(named(Route::of(&asked)), "rest", "which answers it");
    asked.path = "/comet/connect".to_owned();
    assert_eq!(named(Route::of(&asked)), "204");
}
