//! A client that comes, by whatever way, and what its request says: which app it is of, by which credentials, and how
//! it is to be held. All that differs from one way to another is here and in [`Way`].

use super::Moment;
use super::route::Way;
use crate::auth::{App, Credentials, Grant};
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
#[cfg(feature = "mqtt")]
use crate::intake::mqtt;
use crate::intake::parameters;
#[cfg(feature = "socketio")]
use crate::limits::ENGINE_HEARTBEAT_MS;
use crate::model::name::{AppId, ChannelName};
#[cfg(any(feature = "socketio", feature = "mqtt"))]
use crate::protocol::door::Door;
#[cfg(feature = "mqtt")]
use crate::protocol::mqtt::connect::Connect;
#[cfg(feature = "socketio")]
use crate::protocol::socketio::SocketIo;
use crate::relay::session::{self, Opening};
use crate::rest;
#[cfg(feature = "mqtt")]
use crate::rpc::homes;
use crate::rpc::placement::Shard;
#[cfg(feature = "socketio")]
use crate::transport::engine;
use crate::transport::{Mode, comet, events};

/// Who comes, by what its request says.
#[derive(Clone)]
pub struct Client<'a> {
    pub(super) head: &'a Request,
    pub(super) way: &'a Way,
    pub(super) random: u64,
    /// The one that it names.
    pub(super) app: Option<AppId>,
}

/// The app that a client is of.
pub(super) struct Named {
    pub app: AppId,
    /// None of who says later who it is, or comes by the key of its connection.
    pub credentials: Option<Credentials>,
}

/// How a client is to be held.
pub(super) struct Entrance {
    pub opening: Opening,
    pub mode: Option<Mode>,
    /// The channel whose own object may hold it.
    pub channel: Option<ChannelName>,
    /// The relay that all connections of this client come to, and whether no other may take it.
    pub home: Option<(Shard, bool)>,
}

impl<'a> Client<'a> {
    /// `random` is any number.
    pub fn new(head: &'a Request, way: &'a Way, random: u64) -> Client<'a> {
        Client { head, way, random, app: None }
    }

    /// Fails as [`Credentials::parse`] does; with 40101 for who may say later who it is, and names no app.
    pub(super) fn named(&self, moment: Moment<'_>) -> Result<Named, ErrorInfo> {
        #[cfg(feature = "socketio")]
        if let Way::Engine(asked) = self.way {
            return self.named_by_engine(asked, moment);
        }
        self.proven(moment)
    }

    fn proven(&self, Moment { deployment, .. }: Moment<'_>) -> Result<Named, ErrorInfo> {
        let operators = deployment.apps.as_ref().ok().and_then(|apps| apps.operators());
        let credentials = self.way.credentials(self.head)?.or_of(operators);
        Ok(Named { app: credentials.app_id().clone(), credentials: Some(credentials) })
    }

    #[cfg(feature = "socketio")]
    fn named_by_engine(&self, asked: &engine::Asked, moment: Moment<'_>) -> Result<Named, ErrorInfo> {
        if let engine::Asked::Of { app, .. } = asked {
            // No channel's own object holds such connections, so its client need not say who it is.
            return Ok(Named { app: app.clone(), credentials: None });
        }
        match self.proven(moment) {
            Err(error) if error.is(Code::NoCredentials) => {
                let only = || Ok(moment.deployment.apps()?.only().ok_or_else(|| self.unknown_app())?.id().clone());
                let app = engine::app(&self.head.query).unwrap_or_else(only)?;
                Ok(Named { app, credentials: None })
            }
            proven => proven,
        }
    }

    /// Who shows no credentials, and names no app that there is.
    pub(super) fn unknown_app(&self) -> ErrorInfo {
        match self.way.of_connection() {
            Some(_) => Code::Disconnected.into(),
            None => {
                Code::BadCredentials.because("name an app of this deployment in the query: io(url, { query: { app } })")
            }
        }
    }

    /// Whether its request can be obeyed. Fails as [`parameters::check`] and [`rest::check_coding`] do.
    pub(super) fn check(&self) -> Result<(), ErrorInfo> {
        let query_of = match self.way {
            Way::WebSocket(_) => parameters::QueryOf::Socket,
            Way::Door(door) => parameters::at(door),
            Way::Comet(..) => parameters::QueryOf::Comet,
            Way::Events { .. } => parameters::QueryOf::Stream,
            // Theirs are the application's.
            #[cfg(feature = "socketio")]
            Way::Engine(_) => return Ok(()),
            #[cfg(feature = "mqtt")]
            Way::Mqtt { .. } => return Ok(()),
        };
        parameters::check(query_of, &self.head.query, self.head.headers.name_an_sdk())?;
        match self.way {
            Way::Comet(..) => rest::check_coding(self.head.headers.content_encoding.as_deref()),
            _ => Ok(()),
        }
    }

    /// How a client with good credentials of this app is held.
    #[cfg_attr(not(feature = "mqtt"), expect(unused_variables, reason = "which key it is matters to MQTT alone"))]
    pub(super) fn entrance(
        &self,
        grant: Grant,
        credentials: Option<Credentials>,
        app: &App,
    ) -> Result<Entrance, ErrorInfo> {
        match self.way {
            #[cfg(feature = "socketio")]
            Way::Engine(asked) => Ok(self.by_engine(grant, *asked == engine::Asked::Open { polls: true })),
            #[cfg(feature = "mqtt")]
            Way::Mqtt { connect, fresh_id } => self.by_mqtt(grant, credentials, app, ((**connect).clone(), fresh_id)),
            _ => self.by_query(grant, app),
        }
    }

    fn by_query(&self, grant: Grant, app: &App) -> Result<Entrance, ErrorInfo> {
        let Request { query, headers, is_secure, .. } = self.head;
        let mut opening = Opening::from_query(grant, query, *is_secure);
        opening.stays_attached |= headers.ably_agent.as_deref().is_some_and(session::stays_attached);
        if let Way::Door(door) = self.way {
            opening.enter_by(door.clone());
            return Ok(Entrance::of(opening));
        }
        let (mode, named) = match self.way {
            Way::Events { lines } => {
                let last = headers.last_event_id.as_deref();
                let (style, only) = events::open(query, *lines, last, app, &mut opening)?;
                (Some(Mode::Events(style)), only)
            }
            way => {
                let mode = matches!(way, Way::Comet(..)).then(|| comet::open(query, &mut opening));
                let named = query.iter().find(|(name, _)| name == "channel");
                (mode, named.map(|(_, value)| ChannelName::parse(value)).transpose()?)
            }
        };
        let channel = opening.home(named);
        Ok(Entrance { mode, channel, ..Entrance::of(opening) })
    }

    #[cfg(feature = "socketio")]
    fn by_engine(&self, grant: Grant, polls: bool) -> Entrance {
        let door = SocketIo::new(grant.app().clone(), !grant.is_of_nobody(), polls);
        let mut opening = Opening::from_query(grant, &[], self.head.is_secure);
        opening.enter_by(Door::SocketIo(door));
        (opening.heartbeat_interval_ms, opening.is_kept) = (ENGINE_HEARTBEAT_MS, !polls);
        Entrance { mode: polls.then_some(Mode::Engine), ..Entrance::of(opening) }
    }

    #[cfg(feature = "mqtt")]
    fn by_mqtt(
        &self,
        mut grant: Grant,
        credentials: Option<Credentials>,
        app: &App,
        (connect, fresh_id): (Connect, &str),
    ) -> Result<Entrance, ErrorInfo> {
        let operators = credentials.and_then(Credentials::into_operators);
        let key = operators.as_ref().or_else(|| app.key(&grant.key_name)).ok_or(Code::BadCredentials)?;
        let is_secure = self.head.is_secure;
        let client = mqtt::admit(connect, &mut grant, (key, app), (fresh_id, is_secure))?;
        let mut opening = Opening::from_query(grant, &[], is_secure);
        let home = (homes::of_client(&client.client_id), client.is_kept());
        opening.enter_by(Door::Mqtt(client.into()));
        Ok(Entrance { home: Some(home), ..Entrance::of(opening) })
    }
}

impl Entrance {
    /// Held by a relay, over a WebSocket.
    fn of(opening: Opening) -> Entrance {
        Entrance { opening, mode: None, channel: None, home: None }
    }
}
