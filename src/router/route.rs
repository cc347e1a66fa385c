//! Where a request leads, by its path and its headers: to a connection that it begins or belongs to, to a page, or to
//! the REST API.

use crate::auth::{Credentials, Presented, Surface};
use crate::error::ErrorInfo;
use crate::event;
use crate::http::{Reply, Request};
use crate::model::Format;
use crate::protocol::door::Door;
#[cfg(feature = "mqtt")]
use crate::protocol::mqtt::{connect::Connect, gate};
use crate::transport::comet::{self, Verb};
#[cfg(feature = "socketio")]
use crate::transport::engine;
use crate::transport::events;

#[derive(Debug, PartialEq)]
pub enum Route {
    Connect(Way),
    /// A WebSocket of MQTT, whose client is told this subprotocol. Who comes is known from its first packet.
    #[cfg(feature = "mqtt")]
    Mqtt(Option<&'static str>),
    Page,
    /// Tokens for attendees of the event page.
    EventToken,
    Rest,
    /// It is answered already.
    Answered(Reply),
}

/// How a request begins a connection, or is one of it.
#[derive(Debug, PartialEq)]
pub enum Way {
    WebSocket(Format),
    Door(Door),
    Comet(Verb, String),
    Events {
        lines: bool,
    },
    #[cfg(feature = "socketio")]
    Engine(engine::Asked),
    /// By its first packet; `fresh_id` is random, for a client that has no id.
    #[cfg(feature = "mqtt")]
    Mqtt {
        connect: Box<Connect>,
        fresh_id: String,
    },
}

impl Route {
    pub fn of(head: &Request) -> Route {
        let found = if head.headers.ask_for_a_socket() { of_socket(head) } else { of_request(head) };
        found.unwrap_or_else(Route::Answered)
    }
}

fn of_socket(head: &Request) -> Result<Route, Reply> {
    #[cfg(feature = "socketio")]
    if engine::is_engine(&head.path) {
        return engine::route(&head.method, &head.query, true).map(|asked| Route::Connect(Way::Engine(asked)));
    }
    #[cfg(feature = "mqtt")]
    {
        let protocol = gate::subprotocol(head.headers.sec_websocket_protocol.as_deref().unwrap_or_default());
        if gate::is_at(&head.path, protocol.is_some()) {
            return Ok(Route::Mqtt(protocol));
        }
    }
    if let Some(door) = Door::at(&head.path) {
        return Ok(Route::Connect(Way::Door(door)));
    }
    let is_msgpack = head.query.iter().any(|(name, value)| name == "format" && value == "msgpack");
    Ok(Route::Connect(Way::WebSocket(if is_msgpack { Format::Msgpack } else { Format::Json })))
}

fn of_request(head: &Request) -> Result<Route, Reply> {
    let Request { method, path, headers, .. } = head;
    if event::is_page(path) && matches!(method.as_str(), "GET" | "HEAD") {
        return Ok(Route::Page);
    }
    if path.starts_with("/comet/") {
        return comet::route(method, path).map(|(verb, key)| Route::Connect(Way::Comet(verb, key)));
    }
    #[cfg(feature = "socketio")]
    if engine::is_engine(path) {
        return engine::route(method, &head.query, false).map(|asked| Route::Connect(Way::Engine(asked)));
    }
    if events::is_stream(path) {
        let lines = events::route(method, path, headers.accept.as_deref())?;
        return Ok(Route::Connect(Way::Events { lines }));
    }
    Ok(if path == event::TOKEN_PATH && method != "OPTIONS" { Route::EventToken } else { Route::Rest })
}

impl Way {
    /// The credentials that a client presents. Fails as [`Credentials::parse`] does.
    pub(super) fn credentials(&self, head: &Request) -> Result<Credentials, ErrorInfo> {
        let authorization = head.headers.authorization.as_deref();
        let parse = |authorization, query: &[(String, String)]| {
            Credentials::parse(&Presented { authorization, client_id: None, query }, Surface::Realtime)
        };
        match self {
            Way::Door(door) => door.credentials(&head.path).unwrap_or_else(|| parse(authorization, &head.query)),
            #[cfg(feature = "socketio")]
            Way::Engine(_) => parse(authorization, &engine::credentials(&head.query)),
            #[cfg(feature = "mqtt")]
            Way::Mqtt { connect, .. } => parse(None, &crate::intake::mqtt::presented(connect)),
            _ => parse(authorization, &head.query),
        }
    }

    /// What is asked of a connection that is there, and its key. None of who begins one.
    pub(super) fn of_connection(&self) -> Option<(Verb, &str)> {
        match self {
            #[cfg(feature = "socketio")]
            Way::Engine(engine::Asked::Of { key, ask, .. }) => Some((Verb::Engine(*ask), key)),
            Way::Comet(verb, key) if *verb != Verb::Connect => Some((*verb, key)),
            _ => None,
        }
    }
}
