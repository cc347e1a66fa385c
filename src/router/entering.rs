//! A client on its way in: whoever it is, by whatever way, its credentials are checked, and one object after another is
//! asked to take its connection. What a client says later over HTTP goes to the object that holds its connection.
//!
//! ```text
//! knock ──▶ Find ── the app answers ──▶ found ──┬─▶ Connect ── refused ──▶ turned_away ─┐
//!   └── the app is known ───────────────────────┤      ▲───── another has room ────────┤
//!                                               └─▶ PassOn ── no answer ──▶ lost        ▼
//!            whatever fails ──────────────────────────────────────────────────────▶ Refuse
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use super::client::{Client, Entrance, Named};
use super::directory::{Found, Search};
use super::refusal::Refusal;
use super::route::Way;
use super::{Moment, Router};
use crate::auth::Grant;
use crate::base::pinned::{self, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::http::Request;
use crate::limits::SOCKETIO_CONNECT_MS;
use crate::protocol::door;
use crate::relay::session::Opening;
use crate::rpc::connection_key::ConnectionKey;
use crate::rpc::placement::{self, Place, Placement, Shard};
use crate::rpc::{self, Address, Answer, AppCall, AppResponse, RelayName, Rules};
use crate::transport::Mode;
use crate::transport::comet::{Claim, Verb};

/// What is to be done next.
#[allow(clippy::large_enum_variant, reason = "one is made of each connection, and a box costs more than to move it")]
pub enum Step<'a> {
    /// Ask the app what it was made with, and go on by [`Router::found`].
    Find(AppCall, Knock<'a>),
    /// Bring the connection to this object, and go on by [`Router::turned_away`] if that refuses.
    Connect(Destination, Journey<'a>),
    /// Bring the request to the object that holds its connection, and go on by [`Router::lost`] if no answer comes.
    PassOn {
        relay: RelayName,
        verb: Verb,
        claim: String,
        client: Client<'a>,
    },
    Refuse(Refusal),
}

/// A client whose app is sought.
pub struct Knock<'a> {
    client: Client<'a>,
    named: Named,
}

/// Where a connection is brought.
pub struct Destination {
    pub relay: RelayName,
    /// Near which place the object is made, if it must be.
    pub hint: Option<&'static str>,
    pub is_socket: bool,
    /// A [`Handover`], as a header has it.
    pub handover: String,
    place: Place,
}

/// A client whose credentials are good, and where it may be held.
pub struct Journey<'a> {
    client: Client<'a>,
    channel: Option<(Address, Rules)>,
    placement: Placement,
    handover: Handover,
}

/// A connection on its way to the object that will hold it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    pub opening: Opening,
    pub shard: Shard,
    /// The channel whose own object is to hold it.
    pub channel: Option<(Address, Rules)>,
    /// How its responses go, if it is over HTTP.
    pub mode: Option<Mode>,
}

impl Versioned for Handover {
    const VERSION: u8 = 6;
}

fn write_header<T: Versioned>(value: &T) -> String {
    BASE64URL.encode(pinned::encode(value))
}

/// A [`Handover`], or a [`Claim`], as it comes in a header.
pub fn read_header<T: Versioned>(text: &str) -> Result<T, ErrorInfo> {
    let bytes = BASE64URL.decode(text).map_err(|_| Code::Internal.because("a header of the router's is no base64"))?;
    rpc::decode(&bytes)
}

impl Router {
    pub fn knock<'a>(&mut self, mut client: Client<'a>, moment: Moment<'_>) -> Step<'a> {
        let named = client.named(moment);
        client.app = named.as_ref().ok().map(|named| named.app.clone());
        let begun = self.begin(&client, named, moment);
        begun.unwrap_or_else(|error| Step::Refuse(self.refuse(&client, &error, moment)))
    }

    /// The app has answered.
    pub fn found<'a>(&mut self, knock: Knock<'a>, answer: Answer<AppResponse>, moment: Moment<'_>) -> Step<'a> {
        let Knock { client, named } = knock;
        let found = self.directory.learn(&named.app, answer, moment.now_ms);
        let entered = found.and_then(|found| self.enter(&client, named, found, moment));
        entered.unwrap_or_else(|error| Step::Refuse(self.refuse(&client, &error, moment)))
    }

    /// An object did not take the connection in. Another may.
    pub fn turned_away<'a>(
        &mut self,
        from: &Destination,
        mut journey: Journey<'a>,
        refusal: rpc::Refusal,
        moment: Moment<'_>,
    ) -> Step<'a> {
        let client = journey.client.clone();
        let heard = self.load_map.refused(&mut journey.placement, &from.place, refusal, moment.now_ms);
        let next = heard.and_then(|()| self.lead(journey, moment));
        next.unwrap_or_else(|error| Step::Refuse(self.refuse(&client, &error, moment)))
    }

    /// The object that holds a connection gave no answer.
    pub fn lost(&mut self, client: &Client<'_>, error: &ErrorInfo, moment: Moment<'_>) -> Refusal {
        self.refuse(client, error, moment)
    }

    fn begin<'a>(
        &mut self,
        client: &Client<'a>,
        named: Result<Named, ErrorInfo>,
        moment: Moment<'_>,
    ) -> Result<Step<'a>, ErrorInfo> {
        let Moment { deployment, now_ms } = moment;
        let Request { path, address, .. } = client.head;
        if client.way.of_connection().is_none() {
            deployment.serving()?;
        }
        self.addresses.take(address, now_ms)?;
        if let Way::WebSocket(_) = client.way {
            door::check_root(path)?;
        }
        let named = named?;
        match self.directory.find(&named.app, address, deployment, now_ms)? {
            Search::Over(found) => self.enter(client, named, found, moment),
            Search::Ask(call) => Ok(Step::Find(call, Knock { client: client.clone(), named })),
        }
    }

    fn enter<'a>(
        &mut self,
        client: &Client<'a>,
        Named { app, credentials }: Named,
        found: Option<Found>,
        moment: Moment<'_>,
    ) -> Result<Step<'a>, ErrorInfo> {
        let there = found.as_ref().map(|found| &*found.app);
        let grant = match &credentials {
            Some(credentials) => self.attempts.verify(credentials, there, &client.head.address, moment.now_ms)?,
            None => {
                there.ok_or_else(|| client.unknown_app())?;
                Grant::of_nobody(&app, moment.now_ms + SOCKETIO_CONNECT_MS)
            }
        };
        client.check()?;
        if let Some((verb, key)) = client.way.of_connection() {
            // Each name that is called makes an object.
            let relay = placement::holder(grant.app(), key, &grant.capability);
            let relay = relay.ok_or_else(|| Code::Disconnected.because("this is no connection's key"))?;
            let claim = Claim { key: key.to_owned(), by: credentials.map(|_| grant.client_id) };
            return Ok(Step::PassOn { relay, verb, claim: write_header(&claim), client: client.clone() });
        }
        let found = found.ok_or(Code::BadCredentials)?;
        let entrance = client.entrance(grant, credentials, &found.app)?;
        moment.deployment.has_room(entrance.opening.takeover.is_some())?;
        self.lead(Journey::begin(client, entrance, &found), moment)
    }

    /// To the object that is asked next.
    fn lead<'a>(&mut self, mut journey: Journey<'a>, moment: Moment<'_>) -> Result<Step<'a>, ErrorInfo> {
        let Journey { client, channel, placement, handover } = &mut journey;
        let place = self.load_map.place(placement, client.random, moment.now_ms)?;
        let (relay, hint) = match &place {
            Place::Channel(address) => (RelayName::of_channel(address), None),
            Place::Relay(shard) => (RelayName::shard(handover.opening.grant.app(), shard.0), shard.hint()),
        };
        (handover.shard, handover.channel) = match &place {
            Place::Channel(_) => (Shard::CHANNEL, channel.clone()),
            Place::Relay(shard) => (*shard, None),
        };
        let is_socket = handover.mode.is_none();
        let destination = Destination { relay, hint, is_socket, handover: write_header(handover), place };
        Ok(Step::Connect(destination, journey))
    }
}

impl<'a> Journey<'a> {
    fn begin(client: &Client<'a>, entrance: Entrance, found: &Found) -> Journey<'a> {
        let Entrance { opening, mode, channel, home } = entrance;
        let id = found.app.id();
        // Whoever holds connections watches its app, which can tell so many. Clients that it can send away are held by
        // the few relays, so that channels leave room.
        let is_sent_away = !found.is_configured || found.app.is_revocable(&opening.grant);
        let channel = channel
            .filter(|_| !is_sent_away)
            .map(|name| (Address { app: id.clone(), channel: name.owner() }, Rules::on(&found.app, &name)));
        let claimed = opening.takeover.as_ref().and_then(|takeover| ConnectionKey::claimed(&takeover.key));
        let claimed = claimed.map(|key| key.shard).or(home.map(|(shard, _)| shard.0));
        let address = channel.as_ref().map(|(address, _)| address.clone());
        let mut placement = Placement::new(id.clone(), client.head.region, address, claimed);
        placement.is_at_home = home.is_some_and(|(_, is_bound)| is_bound);
        let handover = Handover { opening, shard: Shard::CHANNEL, channel: None, mode };
        Journey { client: client.clone(), channel, placement, handover }
    }
}
