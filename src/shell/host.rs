//! One object's state and its events: hands inputs to the cores and performs their effects.
//!
//! Both classes of objects are a [`Host`]: a relay object has a relay core, a channel object has a channel core and a
//! relay core for the sockets that named this channel. The state lives in a registry of the isolate and not in the
//! object's struct, which the runtime never frees: an object that is built again drops its predecessor's state.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use worker::{Delay, Env};

use super::effects::{drive, pass_on};
use super::platform::{ObjectState, Socket, now_ms, random_id};
use super::rebuild::wake;
use super::relay_storage::Watch;
use super::responses::Responses;
use super::sockets::Sockets;
use super::sql::Database;
use super::storage::SqlStore;
use super::{config, directory, relay_storage, watching};
use crate::alarm::Alarm;
use crate::auth::App;
use crate::call::{
    Address, Answer, AppRequest, ChannelCall, Delivered, Delivery, Follow, Refusal, RelayName, Request, Response, Roll,
    Rolled, Rules,
};
use crate::channel::store::StoreError;
use crate::channel::{self, Channel, Ticket};
use crate::error::{Code, ErrorInfo};
use crate::name::{AppId, ChannelName};
use crate::placement::{self, Shard};
use crate::relay::session::Opening;
use crate::relay::{self, Relay, SocketId};
use crate::transport::{self, Links};
use crate::wire::Format;

/// A handle to an object's state, for the object's struct and for what runs in the background.
pub type HostRef = Rc<RefCell<Host>>;

thread_local! {
    static REGISTRY: RefCell<HashMap<String, HostRef>> = RefCell::default();
}

/// Puts an object's new state in the place of its predecessor's. Gives the object's id, by which it is found again.
pub fn register(state: ObjectState, env: Env, class: Class) -> String {
    let id = state.id().text();
    let host = Rc::new(RefCell::new(Host::new(state, env, class)));
    REGISTRY.with_borrow_mut(|registry| registry.insert(id.clone(), host));
    id
}

/// The object's state, awake.
pub fn find(id: &str) -> HostRef {
    let host =
        REGISTRY.with_borrow(|registry| registry.get(id).cloned()).expect("objects register when they are built");
    wake(&host);
    host
}

#[derive(Clone, Copy, PartialEq)]
pub enum Class {
    Channel,
    Relay,
}

pub struct Host {
    pub(super) state: ObjectState,
    pub(super) env: Env,
    pub(super) class: Class,
    pub(super) store: SqlStore,
    pub(super) sockets: Sockets,
    /// The connections that are no sockets.
    pub(super) links: Links,
    pub(super) responses: Responses,
    pub(super) relay: Option<Relay>,
    pub(super) channel: Option<Channel>,
    /// Who waits for a commit, of its own or another's.
    waiting: HashMap<Ticket, Waiting>,
    last_ticket: u64,
    pub(super) awake: bool,
    /// The relays that it fed are known again. Before, it can't say whether anybody listens.
    pub(super) leads: bool,
    pub(super) commit_scheduled: bool,
    /// Which timers run: for what its relay collects, for what its channel delivers.
    pub(super) timers: [bool; 2],
    pub(super) alarm: Alarm,
    pub(super) work: VecDeque<Work>,
}

pub(super) enum Waiting {
    /// The relay core beside it.
    Beside(Ticket),
    /// Another object's call, or the router's.
    Caller(oneshot::Sender<Answer<Response>>),
}

pub(super) enum Work {
    Relay(relay::Effect),
    Channel(channel::Effect),
    Link(transport::Effect),
}

impl Host {
    fn new(state: ObjectState, env: Env, class: Class) -> Host {
        let store = SqlStore::new(Database::new(state.storage()));
        Host {
            state,
            env,
            class,
            store,
            sockets: Sockets::default(),
            links: Links::default(),
            responses: Responses::default(),
            relay: None,
            channel: None,
            waiting: HashMap::new(),
            last_ticket: 0,
            awake: false,
            leads: class == Class::Channel,
            commit_scheduled: false,
            timers: [false; 2],
            alarm: Alarm::default(),
            work: VecDeque::new(),
        }
    }

    /// The relay core; begun when the first socket comes, since only that says whose app it is.
    pub(super) fn relay_for(
        &mut self,
        app: &AppId,
        shard: Shard,
        channel: Option<&Address>,
    ) -> Result<&mut Relay, ErrorInfo> {
        if self.relay.is_none() {
            let secret = relay_storage::secret(self.store.database()).map_err(failed)?;
            let watch = relay_storage::watch(self.store.database()).map_err(failed)?;
            let config = self.app_config(app, watch.as_ref())?;
            let mut relay = Relay::new(relay_name(app, shard, channel), shard.0, config, secret);
            relay.set_bounds(config::bounds(&self.env));
            if watch.is_some() {
                relay.watch(relay_storage::revocations(self.store.database()).map_err(failed)?, now_ms());
            }
            self.relay = Some(relay);
        }
        Ok(self.relay.as_mut().expect("set above"))
    }

    /// The configuration of an app: the deployment's, or what the app itself said when its watch began.
    pub(super) fn app_config(&self, app: &AppId, watch: Option<&Watch>) -> Result<Rc<App>, ErrorInfo> {
        if let Some(app) = config::configured(&self.env)?.get(app) {
            return Ok(app.clone());
        }
        match watch.and_then(|watch| watch.config.as_deref()) {
            Some(text) => directory::read(text).map(Rc::new),
            None => Err(Code::BadCredentials.into()),
        }
    }

    pub(super) fn channel_for(
        &mut self,
        call: Option<(&Address, &Rules)>,
    ) -> Result<Option<(&mut Channel, &mut SqlStore)>, StoreError> {
        if self.channel.is_none() {
            self.channel = Channel::wake(&mut self.store, call, &random_id(), now_ms())?;
        }
        if let (Some(channel), Some((_, rules))) = (&mut self.channel, call) {
            channel.set_rules(&mut self.store, rules)?;
        }
        Ok(self.channel.as_mut().map(|channel| (channel, &mut self.store)))
    }

    /// Lets go of a channel that nobody uses, unless clients may be here: what is stored proves their keys.
    fn end_spent(&mut self) {
        let is_spent = self.relay.is_none() && self.channel.as_ref().is_some_and(Channel::is_spent);
        if is_spent && self.store.clear().is_ok() {
            self.channel = None;
        }
    }

    pub(super) fn own_address(&self) -> Option<&Address> {
        self.channel.as_ref().map(Channel::address)
    }

    pub(super) fn is_own(&self, relay: &RelayName) -> bool {
        self.own_address().is_some_and(|address| RelayName::of_channel(address) == *relay)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    pub(super) fn begin(&mut self, socket: SocketId, opening: Opening) {
        if let Some(relay) = &mut self.relay {
            let effects = relay.open(socket, opening, random_id(), now_ms());
            self.relay_effects(effects);
        }
    }

    pub(super) fn relay_effects(&mut self, effects: Vec<relay::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Relay));
    }

    pub(super) fn channel_effects(&mut self, effects: Vec<channel::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Channel));
    }

    pub(super) fn link_effects(&mut self, effects: Vec<transport::Effect>) {
        self.work.extend(effects.into_iter().map(Work::Link));
    }

    /// A connection has lost its way out.
    pub(super) fn lost(&mut self, socket: SocketId) {
        if let Some(relay) = &mut self.relay {
            let effects = relay.lost(socket, now_ms());
            self.relay_effects(effects);
        }
    }

    /// A call to this channel that is answered at once, or one whose answer [`Waiting`] will get.
    pub(super) fn call(&mut self, call: ChannelCall, waiting: Waiting) -> Option<(Waiting, Answer<Response>)> {
        let ticket = self.next_ticket();
        let (channel, store) = match self.channel_for(Some((&call.to, &call.rules))) {
            Ok(Some(found)) => found,
            Ok(None) => return Some((waiting, Err(Code::InternalChannel.into()))),
            Err(error) => return Some((waiting, Err(failed(error)))),
        };
        let now_ms = now_ms();
        let answer = match call.request {
            Request::Publish(publishes) => match channel.publish(ticket, publishes) {
                Ok(()) => {
                    self.waiting.insert(ticket, waiting);
                    return None;
                }
                Err(error) => Err(error),
            },
            Request::Count => match channel.count(ticket) {
                Ok(()) => {
                    let effects = channel.follow_up(store, now_ms);
                    self.waiting.insert(ticket, waiting);
                    self.channel_effects(effects);
                    return None;
                }
                Err(error) => Err(error),
            },
            Request::Report(relay, census) => channel.report(store, &relay, census).map(Response::Reported),
            Request::Subscribe(relay, census) => channel.subscribe(store, relay, census).map(Response::Subscribed),
            Request::Read(from) => channel.read(store, &from, now_ms).map(Response::Backlog),
            Request::History(query) => match channel.await_history(store, ticket, query, now_ms) {
                Some(answer) => answer.map(Response::History),
                None => {
                    self.waiting.insert(ticket, waiting);
                    return None;
                }
            },
            Request::Members(query) => channel.members(store, &query).map(Response::Members),
            Request::Next(cursor) => channel.next(store, cursor, now_ms).map(Response::Delivery),
        };
        let effects = channel.follow_up(store, now_ms);
        self.channel_effects(effects);
        Some((waiting, answer))
    }

    /// Whether its own relay waits for the channel.
    pub(super) fn is_awaited_beside(&self) -> bool {
        self.waiting.values().any(|waiting| matches!(waiting, Waiting::Beside(_)))
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer<Response>) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Beside(ticket)) => self.answer_relay(ticket, Some(answer)),
            // The caller may have gone; a publish is in the log all the same.
            Some(Waiting::Caller(sender)) => drop(sender.send(answer)),
            None => {}
        }
    }

    pub(super) fn answer_relay(&mut self, ticket: Ticket, answer: Option<Answer<Response>>) {
        if let Some(relay) = &mut self.relay {
            let effects = relay.answered(ticket, answer, now_ms());
            self.relay_effects(effects);
        }
    }

    pub(super) fn take_delivery(&mut self, delivery: &Delivery) -> Delivered {
        if !self.leads {
            return Delivered::NotYet;
        }
        let Some(relay) = &mut self.relay else { return Delivered::Unsubscribed };
        let (answer, effects) = relay.deliver(delivery, now_ms());
        self.relay_effects(effects);
        answer
    }

    pub(super) fn delivered(
        &mut self,
        channel: &ChannelName,
        relay: &RelayName,
        attempt: u64,
        answer: Option<Delivered>,
    ) {
        match (&mut self.channel, &mut self.relay) {
            (Some(channel), _) => {
                let effects = channel.delivered(&mut self.store, relay, attempt, answer, now_ms());
                self.channel_effects(effects);
            }
            (None, Some(above)) => {
                let effects = above.delivered(channel, relay, attempt, answer, now_ms());
                self.relay_effects(effects);
            }
            (None, None) => {}
        }
    }

    pub(super) fn roll(&mut self, roll: &Roll) -> Rolled {
        let Some(relay) = &mut self.relay else {
            return Rolled { missing: roll.connections.clone(), ..Rolled::default() };
        };
        let (answer, effects) = relay.roll(roll, now_ms());
        self.relay_effects(effects);
        answer
    }

    pub(super) fn rolled(&mut self, relay: &RelayName, attempt: u64, answer: Option<Rolled>) {
        if let Some(channel) = &mut self.channel {
            let effects = channel.rolled(&mut self.store, relay, attempt, answer, now_ms());
            self.channel_effects(effects);
        }
    }

    pub(super) fn listed(&mut self, request: &AppRequest, told: bool) {
        if let (Some(channel), AppRequest::List { active, .. }) = (&mut self.channel, request) {
            channel.listed(&mut self.store, *active, told, now_ms());
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let relay = self.relay.as_ref().and_then(Relay::deadline);
        let channel = self.channel.as_ref().and_then(Channel::deadline);
        [relay, channel, self.links.deadline()].into_iter().flatten().min()
    }
}

/// What channels and the app call the relay core of an object.
pub(super) fn relay_name(app: &AppId, shard: Shard, channel: Option<&Address>) -> RelayName {
    channel.map_or_else(|| RelayName::shard(app, shard.0), RelayName::of_channel)
}

/// Whether a client may come in whose credentials the router has checked. Sees that it can be sent away again.
pub async fn admit(
    host: &HostRef,
    opening: &Opening,
    shard: Shard,
    channel: Option<&(Address, Rules)>,
) -> Result<(), Refusal> {
    let address = channel.map(|(address, _)| address);
    if let Some(relay) = &host.borrow().relay {
        relay.has_room(opening, now_ms())?;
    }
    let app = opening.grant.app().clone();
    watching::begin(host, &app, Some(&opening.grant), relay_name(&app, shard, address)).await?;
    let host = &mut *host.borrow_mut();
    if let Some((address, rules)) = channel {
        host.channel_for(Some((address, rules))).map_err(failed)?;
    }
    let relay = host.relay_for(&app, shard, address)?;
    relay.has_room(opening, now_ms())?;
    relay.admit_upgrade(opening)?;
    Ok(relay.admit(&opening.grant, now_ms())?)
}

/// The socket of a client that was admitted.
pub fn open(host: &HostRef, socket: Socket, opening: Opening) -> Result<(), Refusal> {
    {
        let host = &mut *host.borrow_mut();
        let socket = host.sockets.accept(&host.state, socket).map_err(|_| Refusal::Full)?;
        host.begin(socket, opening);
    }
    drive(host);
    Ok(())
}

pub fn message(host: &HostRef, socket: &Socket, bytes: &[u8], format: Format) {
    {
        let host = &mut *host.borrow_mut();
        let Some(socket) = host.sockets.id_of(&host.state, socket) else { return };
        if let Some(relay) = &mut host.relay {
            let effects = relay.frame(socket, bytes, format, now_ms());
            host.relay_effects(effects);
        }
    }
    drive(host);
}

pub fn closed(host: &HostRef, socket: &Socket) {
    {
        let host = &mut *host.borrow_mut();
        let Some(socket) = host.sockets.id_of(&host.state, socket) else { return };
        host.sockets.remove(socket);
        host.lost(socket);
    }
    drive(host);
}

/// Another object's call to this channel.
pub async fn call(host: &HostRef, call: ChannelCall) -> Answer<Response> {
    let (sender, receiver) = oneshot::channel();
    let answered = host.borrow_mut().call(call, Waiting::Caller(sender));
    drive(host);
    match answered {
        Some((_, answer)) => answer,
        None => match receiver.await {
            Ok(answer) => answer,
            Err(_) => Err(Code::InternalChannel.because("the channel was interrupted; try again")),
        },
    }
}

/// A channel's delivery, or that of the relay above. What goes on to relays below leaves before the sockets here are served,
/// which takes 0.1 s where there are thousands; the answer says that it is done.
pub async fn deliver(host: &HostRef, delivery: &Delivery) -> Delivered {
    let answer = host.borrow_mut().take_delivery(delivery);
    if pass_on(host) {
        Delay::from(Duration::ZERO).await;
    }
    drive(host);
    answer
}

/// Another relay is to be fed by this one.
pub async fn follow(host: &HostRef, follow: Follow) -> Answer<Response> {
    let above = placement::above(&follow.relay).ok_or(Code::InternalChannel)?;
    let (app, shard) = placement::app_and_shard(&above).ok_or(Code::InternalChannel)?;
    watching::begin(host, &app, None, above).await?;
    let answer = {
        let host = &mut *host.borrow_mut();
        let (answer, effects) = host.relay_for(&app, shard, None)?.follow(&follow, now_ms());
        host.relay_effects(effects);
        answer.and_then(|answer| {
            let stored = relay_storage::add_follower(host.store.database(), &follow.channel, &follow.relay);
            stored.map(|()| answer).map_err(failed)
        })
    };
    drive(host);
    answer
}

/// A channel asks whom it has here.
pub fn roll(host: &HostRef, roll: &Roll) -> Rolled {
    let answer = host.borrow_mut().roll(roll);
    drive(host);
    answer
}

/// Whose connection this is the key of, if it is here.
pub fn identify(host: &HostRef, key: &str) -> Answer<Response> {
    host.borrow().relay.as_ref().map_or(Err(Code::BadConnectionKey.into()), |relay| relay.identify(key))
}

/// What is due. Fails when the channel could not be read; the runtime then rings again.
pub fn alarm(host: &HostRef) -> Result<(), StoreError> {
    {
        let host = &mut *host.borrow_mut();
        host.alarm.rung();
        let now_ms = now_ms();
        if host.class == Class::Channel {
            host.channel_for(None)?;
        }
        if let Some(relay) = &mut host.relay {
            let effects = relay.tick(now_ms);
            host.relay_effects(effects);
        }
        let effects = host.links.tick(now_ms);
        host.link_effects(effects);
        if let Some(channel) = &mut host.channel {
            let effects = channel.tick(&mut host.store, now_ms);
            host.channel_effects(effects);
        }
        host.end_spent();
    }
    drive(host);
    Ok(())
}

pub(super) fn failed(error: StoreError) -> ErrorInfo {
    Code::InternalChannel.because(format!("{}; try again", error.0))
}
