//! Many connections: their sessions, attachments and acknowledgements, and the fan-out of what channels deliver.
//!
//! [`Relay`] is pure: frames, answers and deliveries come in with `now_ms`, and out come [`Effect`]s. It never orders
//! messages: that is the channel's, which it knows by calls alone. Both the relay objects and a channel's own object,
//! for the sockets that it holds itself, run this code.
//!
//! Why nothing is missed or repeated: every channel's deliveries name the position they follow, and the relay takes
//! only what follows where it stands ([`feed`]). An attachment that resumes reads the log up to where the relay stands,
//! or beyond, and then lets pass what it already has ([`attachment`]). A relay that lost its memory finds what it must
//! know with the sockets ([`record::Record`]); a connection that was in the middle of something is told to come back,
//! since its client alone knows what it has and what it still waits for.
//!
//! - `admission` says who may come in; `connections` begins and ends, `takeover` goes on elsewhere, and `farewell`
//!   sends clients back to come in anew. `doors` does it for other protocols, `mqtt` keeps what MQTT's clients leave
//!   here.
//! - `session` is a connection, `attachment` what it has of a channel, `outbox` what it is owed; `record` and `rows`
//!   are what outlives the memory of it.
//! - `feed` is a channel as the relay sees it. `attach` begins attachments, and `replay` brings them to where it
//!   stands.
//! - `publishing` takes messages in, `annotations` and `objects` what is done to them, and `publisher` calls the
//!   channel with what has come together; `calls` are those without an answer yet.
//! - `fanout` gives out what channels deliver: through `filters`, as `deltas` to those who like, with appends in a row
//!   as one by `rollup`, and increments by `sums`; `branch` to other relays.
//! - `presence` says what members do and what becomes of their connections, `sync` gives out who is there, `occupancy`
//!   how many.
//! - `bounds` and `flow` bound how much of it, and `rates` what a client says.
//! - `watch` ends what the app no longer allows, `lives` has webhooks told who comes and goes, and `inspection` shows
//!   an operator who is here.

mod admission;
#[cfg(test)]
mod another_dialect;
mod annotations;
mod attach;
pub mod attachment;
pub mod bounds;
mod branch;
mod calls;
mod connections;
pub mod deltas;
mod doors;
mod fanout;
mod farewell;
mod feed;
mod filters;
mod flow;
mod inspection;
pub mod lives;
#[cfg(feature = "mqtt")]
pub mod mqtt;
mod objects;
mod occupancy;
mod outbox;
mod presence;
mod publisher;
mod publishing;
mod rates;
pub mod record;
mod replay;
mod rollup;
mod rows;
pub mod session;
mod sums;
mod sync;
mod takeover;
mod watch;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::auth::{App, Bans, Operators, Revocations};
use crate::base::maps::HashMap;
use crate::error::{Code, ErrorInfo};
use crate::model::Format;
use crate::model::name::ChannelName;
use crate::protocol::dialect::Voice;
use crate::protocol::inbound::Inbound;
use crate::protocol::outbound::Outbound;
use crate::protocol::{Encoded, action};
use crate::rpc::Ticket;
use crate::rpc::{Address, Answer, ChannelCall, Delivery, Follow, RelayName, Request, Response, Rules};
use crate::stats::Tally;
use admission::Pace;
use attachment::Attachment;
use bounds::Bounds;
use branch::Tree;
use calls::{Calls, Pending};
use connections::Known;
use feed::Feed;
use filters::Filters;
use flow::Flow;
use lives::Lives;
use publisher::{Publisher, Queue};
use rates::Said;
use record::RowId;
use rows::Rows;
use session::Session;
use sync::Syncing;

/// Names a connection's way out to the shell: a WebSocket, or a link over HTTP. The relay doesn't know which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketId(pub u32);

/// What the shell is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write these rows, or remove those without a value, and give those that are there to a rebuilt object.
    Rows(Vec<(RowId, Option<Vec<u8>>)>),
    /// Write these sessions, by their client ids, or remove those without a value.
    #[cfg(feature = "mqtt")]
    Kept(Vec<(String, Option<Vec<u8>>)>),
    /// Write these connections, by their ids, or remove those without a value.
    Lives(Vec<(String, Option<Vec<u8>>)>),
    /// Keep this with the socket, for a rebuilt object.
    Save { socket: SocketId, record: Vec<u8> },
    /// One frame, the same for all.
    Send { sockets: Vec<SocketId>, frame: Encoded },
    /// Close with status 1000. The relay has forgotten the socket.
    Close { socket: SocketId },
    /// Call a channel and hand its answer, or the failure, to [`Relay::answered`].
    Call { ticket: Ticket, call: ChannelCall },
    /// Ask another relay to feed this one, and hand its answer, or the failure, to [`Relay::answered`].
    Follow { ticket: Ticket, above: RelayName, follow: Follow },
    /// Call a relay below and hand its answer, or the failure, to [`Relay::delivered`] with the same attempt.
    Deliver { relay: RelayName, attempt: u64, delivery: Delivery },
    /// A relay below need not be fed any more.
    Unfollowed { channel: ChannelName, relay: RelayName },
}

pub struct Relay {
    name: RelayName,
    shard: u16,
    app: Rc<App>,
    /// Signs connection keys. Lasts longer than the relay's memory.
    secret: Vec<u8>,
    /// In force in the app; `None` while the app is not watched.
    revocations: Option<Revocations>,
    bans: Bans,
    operators: Option<Operators>,
    sessions: HashMap<SocketId, Session>,
    /// Channels where connections may have members, to which they have not attached again since they resumed. Not kept
    /// with the sockets: a channel finds out who is not attached.
    ahead: HashMap<SocketId, Vec<ChannelName>>,
    known: Known,
    feeds: HashMap<ChannelName, Feed>,
    /// Members of all feeds.
    attached: usize,
    /// Somebody came to a channel of clients, or left one.
    has_moved: bool,
    filters: Filters,
    tree: Tree,
    /// Bytes of all feeds' bases of deltas.
    base_bytes: Rc<Cell<usize>>,
    /// Bytes of what doors keep for a while.
    door_bytes: Rc<Cell<usize>>,
    syncing: Syncing,
    queue: Queue,
    /// When the first channel is to be told whom it has here.
    reports_due_ms: Option<u64>,
    calls: Calls,
    sessions_due_ms: Option<u64>,
    bounds: Bounds,
    /// Set once per input.
    now_ms: u64,
    pace: Pace,
    flow: Flow,
    /// What clients published lately.
    said: Said,
    dirty: Vec<SocketId>,
    /// What doors want done for these connections.
    ordered: VecDeque<(SocketId, Inbound)>,
    rows: Rows,
    lives: Lives,
    #[cfg(feature = "mqtt")]
    mqtt: mqtt::Sessions,
    effects: Vec<Effect>,
    tally: Tally,
}

impl Relay {
    /// An empty relay. `name` is what channels call it by.
    pub fn new(name: RelayName, shard: u16, app: Rc<App>, secret: Vec<u8>) -> Relay {
        Relay {
            name,
            shard,
            app,
            secret,
            revocations: None,
            bans: Bans::default(),
            operators: None,
            sessions: HashMap::default(),
            ahead: HashMap::default(),
            feeds: HashMap::default(),
            attached: 0,
            has_moved: false,
            filters: Filters::default(),
            base_bytes: Rc::default(),
            door_bytes: Rc::default(),
            reports_due_ms: None,
            calls: Calls::default(),
            sessions_due_ms: None,
            bounds: Bounds::default(),
            now_ms: 0,
            pace: Pace::default(),
            said: Said::default(),
            dirty: Vec::new(),
            ordered: VecDeque::new(),
            rows: Rows::default(),
            lives: Lives::default(),
            #[cfg(feature = "mqtt")]
            mqtt: mqtt::Sessions::default(),
            effects: Vec::new(),
            tree: Tree::default(),
            syncing: Syncing::default(),
            queue: Queue::default(),
            known: Known::default(),
            flow: Flow::default(),
            tally: Tally::default(),
        }
    }

    pub fn connection_count(&self) -> usize {
        self.sessions.len()
    }

    /// What it counted since somebody took it from here.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Whether somebody attached or detached since this was last asked.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// A frame from a client. `format` is how it came: as text, or as bytes.
    pub fn frame(&mut self, socket: SocketId, bytes: &[u8], format: Format, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        if let Some(session) = self.sessions.get_mut(&socket) {
            let has_answered = session.heard();
            let (dialect, has_door) = (session.dialect, session.door.is_some());
            let has_arrived = session.generations.replaces().is_none() && session.generations.before.take().is_some();
            if has_answered || has_arrived {
                self.touch(socket);
            }
            if has_door {
                #[cfg(feature = "mqtt")]
                self.hear_mqtt(socket);
                self.hear_at_door(socket, bytes, format);
                return self.finish();
            }
            match dialect.decode(bytes, format) {
                Ok(frame) => self.dispatch(socket, frame, bytes.len()),
                Err(error) => self.fail(socket, &error),
            }
        }
        self.finish()
    }

    /// A client says this, in so many bytes.
    fn dispatch(&mut self, socket: SocketId, frame: Inbound, bytes: usize) {
        if frame.is_for_connection() {
            self.activate(socket);
        }
        match frame {
            Inbound::Heartbeat { id } => self.heartbeat(socket, id.as_deref()),
            Inbound::Attach { channel, serial, flags, params } => {
                self.attach(socket, &channel, serial.as_deref(), flags, params);
            }
            Inbound::Detach { channel } => self.detach(socket, &channel),
            Inbound::Publish(frame) => self.publish(socket, frame),
            Inbound::Refused { msg_serial, error } => self.refuse_unread(socket, msg_serial, bytes, error),
            Inbound::ChannelRefused { channel, error } => self.fail_channel(socket, &channel, &error),
            Inbound::Presence(frame) => self.act(socket, frame),
            Inbound::Objects(frame) => self.operate(socket, frame),
            Inbound::Annotate(frame) => self.annotate(socket, frame),
            Inbound::Sync { channel } => self.resync(socket, &channel),
            Inbound::Auth { token } => self.renew(socket, &token),
            Inbound::Disconnect => self.part(socket),
            Inbound::Close => self.close(socket),
            Inbound::Pong | Inbound::Activate | Inbound::Unknown => {}
        }
    }

    /// The answer to [`Effect::Call`], or `None` when the call failed without one.
    pub fn answered(&mut self, ticket: Ticket, answer: Option<Answer<Response>>, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        match self.calls.again(ticket) {
            Some((channel, request)) if answer.is_none() => self.ask(ticket, &channel, request),
            _ => self.settle(ticket, answer),
        }
        self.finish()
    }

    fn settle(&mut self, ticket: Ticket, answer: Option<Answer<Response>>) {
        let Some(pending) = self.calls.end(ticket) else { return };
        let unreachable = || Err(Code::TimedOut.because("the channel could not be reached"));
        let answer = answer.unwrap_or_else(unreachable);
        match (pending, answer) {
            (Pending::Publish(channel), answer) => self.published(ticket, channel, answer),
            (Pending::Subscribe(channel), Ok(Response::Subscribed(subscribed))) if !subscribed.direct => {
                self.follow_above(channel, subscribed);
            }
            (Pending::Subscribe(channel), Ok(Response::Subscribed(subscribed)))
            | (Pending::Follow(channel, subscribed), Ok(Response::Followed)) => {
                self.subscribed(&channel, &subscribed);
            }
            (Pending::Fill(channel, relay), Ok(Response::Delivery(delivery))) => {
                self.fill(&channel, &relay, delivery);
            }
            (Pending::Fill(..), _) => {}
            (Pending::Lives, answer) => self.lives_answered(&answer),
            (Pending::Read(read), Ok(Response::Backlog(backlog))) => self.backlog(ticket, &read, &backlog),
            (Pending::Report(channel), answer) => self.reported(&channel, answer),
            (Pending::Sync(subject), Ok(Response::Members(page))) => self.members(subject, &page),
            (Pending::Sync(subject), Ok(Response::Objects(page))) => self.objects(subject, page),
            (Pending::Sync(subject), answer) => self.sync_failed(&subject, &failure(answer)),
            (Pending::Subscribe(channel) | Pending::Follow(channel, _), answer) => {
                self.subscribe_failed(&channel, &failure(answer));
            }
            (Pending::Read(read), answer) => self.read_failed(ticket, &read, &failure(answer)),
        }
    }

    /// Gives up calls that stay unanswered.
    fn tick_calls(&mut self) {
        while let Some(ticket) = self.calls.overdue(self.now_ms) {
            self.settle(ticket, None);
        }
    }

    /// Does what is due: heartbeats, token renewals and expiries, repeated calls.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        let was_set_back = now_ms < self.now_ms;
        self.now_ms = now_ms;
        if was_set_back {
            self.set_back();
        }
        self.tick_sessions();
        #[cfg(feature = "mqtt")]
        self.tick_mqtt();
        self.tick_lives();
        self.tick_calls();
        self.tick_reports();
        self.tick_behind();
        self.collected(self.now_ms)
    }

    /// The clock was set back, and what has no pause of its own is looked at now. Heartbeats begin anew: who was sent
    /// one has all the time to answer it.
    fn set_back(&mut self) {
        self.sessions.values_mut().for_each(|session| session.set_back(self.now_ms));
        let soon = [&mut self.sessions_due_ms, &mut self.flow.due_ms];
        soon.into_iter().for_each(|due_ms| *due_ms = due_ms.map(|due_ms| due_ms.min(self.now_ms)));
        self.lives.set_back(self.now_ms);
    }

    /// Sends the calls that are due, whatever they waited for, and what is due of syncs.
    pub fn collected(&mut self, now_ms: u64) -> Vec<Effect> {
        self.now_ms = now_ms;
        let due = |(name, publisher): (&ChannelName, &Publisher)| publisher.is_due(self.now_ms).then(|| name.clone());
        let channels: Vec<ChannelName> = self.queue.publishers.iter().filter_map(due).collect();
        channels.into_iter().for_each(|channel| self.send_publishes(&channel));
        self.tick_branches();
        self.send_pages();
        self.finish()
    }

    /// When [`Relay::collected`] is next needed. Too soon for an alarm, which is stored: what would be sent is in
    /// memory only, and so may this be.
    pub fn collects_until_ms(&self) -> Option<u64> {
        let publishers = self.queue.publishers.values().filter_map(Publisher::collects_until_ms);
        publishers.chain(self.syncing.turn.ends_ms()).min()
    }

    /// When [`Relay::tick`] is next needed.
    pub fn deadline(&self) -> Option<u64> {
        let publishers = self.queue.publishers.values().filter_map(Publisher::due_ms).min();
        let call = self.calls.due_ms();
        let own =
            [call, publishers, self.reports_due_ms, self.sessions_due_ms, self.branches_due_ms(), self.flow.due_ms];
        let own = own.into_iter().chain([self.lives.due_ms()]);
        #[cfg(feature = "mqtt")]
        let own = own.chain([self.mqtt.due_ms]);
        own.flatten().min()
    }

    fn call(&mut self, channel: &ChannelName, pending: Pending, request: Request) -> Ticket {
        let ticket = self.calls.next_ticket();
        self.call_as(ticket, channel, pending, request);
        ticket
    }

    fn rules(&self, channel: &ChannelName) -> Rules {
        Rules::on(&self.app, channel)
    }

    fn call_as(&mut self, ticket: Ticket, channel: &ChannelName, pending: Pending, request: Request) {
        self.calls.begin(ticket, pending, self.now_ms);
        self.calls.keep(ticket, channel, &request);
        self.ask(ticket, channel, request);
    }

    fn ask(&mut self, ticket: Ticket, channel: &ChannelName, request: Request) {
        let to = Address { app: self.app.id().clone(), channel: channel.clone() };
        let rules = self.rules(channel);
        self.effects.push(Effect::Call { ticket, call: ChannelCall { to, rules, request } });
    }

    fn send(&mut self, socket: SocketId, frame: &Outbound<'_>) {
        if let Some(session) = self.sessions.get_mut(&socket) {
            let frame = session.say(frame);
            self.send_encoded(socket, frame);
        }
    }

    fn send_encoded(&mut self, socket: SocketId, frame: Encoded) {
        self.note_orders(socket);
        if let Some(session) = self.sessions.get_mut(&socket).filter(|_| !frame.is_nothing()) {
            session.last_sent_ms = self.now_ms;
            self.charge_answer(socket, frame.len());
            self.effects.push(Effect::Send { sockets: vec![socket], frame });
        }
    }

    fn channel_error(&mut self, socket: SocketId, channel: &str, error: &ErrorInfo) {
        self.tally.refuse(error);
        let frame =
            Outbound { action: action::ERROR, channel: Some(channel), error: Some(error), ..Outbound::default() };
        self.send(socket, &frame);
    }

    /// The socket's record has to be written again.
    fn touch(&mut self, socket: SocketId) {
        if let Some(session) = self.sessions.get_mut(&socket)
            && session.is_kept
            && !std::mem::replace(&mut session.dirty, true)
        {
            self.dirty.push(socket);
        }
    }

    /// The effects of an input. Deliveries come first, so that relays below need not wait for the sockets here. Then
    /// come records: what a frame says is in the socket's record before it is sent, so a relay that loses its memory in
    /// between says at worst too little again, and never the same twice.
    fn finish(&mut self) -> Vec<Effect> {
        self.do_ordered();
        self.end_overfed();
        let mut effects = std::mem::take(&mut self.tree.deliveries);
        effects.extend(self.take_row_changes());
        for socket in std::mem::take(&mut self.dirty) {
            #[cfg(feature = "mqtt")]
            self.keep_mqtt(socket);
            if let Some(record) = self.record(socket) {
                effects.push(Effect::Save { socket, record });
            }
        }
        #[cfg(feature = "mqtt")]
        effects.extend(self.take_kept_changes());
        effects.extend(self.tell_lives());
        effects.append(&mut self.effects);
        effects
    }

    fn record(&mut self, socket: SocketId) -> Option<Vec<u8>> {
        let session = self.sessions.get_mut(&socket)?;
        session.dirty = false;
        (session.was_busy, session.was_marked) = (session.is_busy(), session.mark());
        let feeds = &self.feeds;
        let place = |name: &ChannelName, attachment: &Attachment| {
            feeds.get(&name.owner()).map(|feed| feed.place(socket, name, attachment)).unwrap_or_default()
        };
        Some(session.record(place).encode())
    }
}

/// The error of an answer that isn't what was asked for.
fn failure(answer: Answer<Response>) -> ErrorInfo {
    answer.err().unwrap_or_else(|| Code::InternalChannel.because("the channel gave another answer than was asked for"))
}
