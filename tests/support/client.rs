//! A client as an SDK has it: it numbers its publishes, keeps them until they are acknowledged and sends them again
//! after a resume, keeps each channel's serial and attaches with it (protocol.md §§ 4–8). Every frame it gets is
//! judged.

use std::collections::VecDeque;

use courtside::limits::GRACE_MS;
use courtside::model::flags::{HAS_BACKLOG, RESUMED};
use courtside::model::serial::Position;
use serde_json::{Value, json};

use super::frames::{Frame, action};
use super::ledger::Ledger;
use super::presence::ENTER;
use super::publish::{Act, Publish, message};
use super::subscription::{FORBIDDEN, State, Subscription};

/// The client gives up waiting for a frame that answers it.
const REQUEST_TIMEOUT_MS: u64 = 10_000;

/// ... and on a transport on which nothing comes: the heartbeat interval and a margin.
const SILENCE_MAX_MS: u64 = 25_000;

/// How long a connection can be resumed, whatever the clocks do.
const SURELY_RESUMABLE_MS: u64 = 60_000;

/// How long after its client was last there a publish is surely known when it is sent again: two minutes from its own
/// time, which is before that by as long as a transport may be stalled.
const SURELY_KNOWN_MS: u64 = 90_000;

/// Refusals that say that something failed on the way; any other is a fault of the server's.
pub const TRANSIENT: [u32; 4] = [50_000, 50_001, 50_003, 42_911];

const NOT_ATTACHED: u32 = 91_001;
const TOKEN_REVOKED: u32 = 40_141;

/// What a client does to its transport.
#[derive(Debug)]
pub enum PresenceUpdate {
    Connect { resume: Option<String> },
    Send(Value),
    HangUp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport {
    Down,
    Connecting,
    Connected,
}

#[derive(Debug)]
struct Unacknowledged {
    serial: u64,
    publish: Publish,
    /// It may have a place from an earlier connection, or from an earlier publish.
    may_be_placed: bool,
    /// It was sent on more than one transport.
    sent_again: bool,
}

pub struct Client {
    pub echo: bool,
    /// It says by its agent that it goes on receiving while it attaches again.
    pub stays_attached: bool,
    /// How long it wants its members to outlive its transport.
    pub grace_ms: u64,
    pub transport: Transport,
    pub connection_id: Option<String>,
    key: Option<String>,
    next_serial: u64,
    unacknowledged: VecDeque<Unacknowledged>,
    pub subscriptions: Vec<Subscription>,
    /// The latest acknowledged place of each channel, on this connection.
    latest: Vec<Position>,
    pub connect_at_ms: u64,
    heard_ms: u64,
    connecting_since_ms: u64,
    /// When the server can last have thought that the connection lives.
    alive_ms: u64,
    closing: bool,
    /// The publishes that were acknowledged, to repeat some.
    pub published: Vec<Publish>,
    /// The server may give up at once what it should try for a while: clocks are set far forward, or it was banned.
    pub unsteady: bool,
    /// No fault is about: whatever times out now hangs.
    pub calm: bool,
    /// What it may be refused, and whether it was kept out since it was connected last.
    barred: Barred,
    was_barred: bool,
}

/// What a client may be refused.
#[derive(Clone, Debug, Default)]
pub struct Barred {
    pub token: bool,
    pub app: bool,
    pub channels: Vec<bool>,
}

impl Barred {
    pub fn is_off(&self, channel: usize) -> bool {
        self.app || self.channels.get(channel).is_some_and(|is_off| *is_off)
    }
}

impl Client {
    pub fn new(echo: bool, channels: usize, subscriptions: Vec<Subscription>) -> Client {
        Client {
            echo,
            stays_attached: false,
            grace_ms: GRACE_MS,
            transport: Transport::Down,
            connection_id: None,
            key: None,
            next_serial: 0,
            unacknowledged: VecDeque::new(),
            subscriptions,
            latest: vec![Position::ZERO; channels],
            connect_at_ms: 0,
            heard_ms: 0,
            connecting_since_ms: 0,
            alive_ms: 0,
            closing: false,
            published: Vec::new(),
            unsteady: false,
            calm: false,
            barred: Barred::default(),
            was_barred: false,
        }
    }

    pub fn stay_attached(&mut self) {
        self.stays_attached = true;
        self.subscriptions.iter_mut().for_each(|subscription| subscription.stays_attached = true);
    }

    pub fn is_busy(&self) -> bool {
        self.closing || self.unacknowledged.len() > 20
    }

    /// Everything that is due.
    pub fn tick(&mut self, now_ms: u64, ledger: &Ledger) -> Vec<PresenceUpdate> {
        match self.transport {
            Transport::Down if now_ms >= self.connect_at_ms => self.connect(now_ms),
            Transport::Down => Vec::new(),
            Transport::Connecting if self.connecting_since_ms + REQUEST_TIMEOUT_MS <= now_ms => self.give_up(now_ms),
            Transport::Connecting => Vec::new(),
            Transport::Connected => self.tick_connected(now_ms, ledger),
        }
    }

    fn connect(&mut self, now_ms: u64) -> Vec<PresenceUpdate> {
        self.transport = Transport::Connecting;
        self.connecting_since_ms = now_ms;
        vec![PresenceUpdate::Connect { resume: self.key.clone() }]
    }

    fn tick_connected(&mut self, now_ms: u64, ledger: &Ledger) -> Vec<PresenceUpdate> {
        let is_late = |since_ms: u64| since_ms + REQUEST_TIMEOUT_MS <= now_ms;
        let waits = self.subscriptions.iter().filter_map(Subscription::waits_since).any(is_late);
        if waits || (self.closing && is_late(self.heard_ms)) || self.heard_ms + SILENCE_MAX_MS <= now_ms {
            return self.give_up(now_ms);
        }
        if self.closing {
            return Vec::new();
        }
        self.alive_ms = now_ms;
        let attach =
            |subscription: &mut Subscription| subscription.due(now_ms).then(|| subscription.attach(now_ms, ledger));
        self.subscriptions.iter_mut().filter_map(attach).map(PresenceUpdate::Send).collect()
    }

    fn give_up(&mut self, now_ms: u64) -> Vec<PresenceUpdate> {
        assert!(!self.calm, "nothing fails any more, yet something is not answered: {:?}", self.subscriptions);
        self.hang_up(now_ms)
    }

    /// Drops the transport, to come back at once.
    pub fn hang_up(&mut self, now_ms: u64) -> Vec<PresenceUpdate> {
        self.disconnected(now_ms);
        vec![PresenceUpdate::HangUp]
    }

    /// The transport is gone.
    pub fn disconnected(&mut self, now_ms: u64) {
        self.transport = Transport::Down;
        self.connect_at_ms = now_ms + 100;
        self.subscriptions.iter_mut().for_each(Subscription::interrupted);
        if std::mem::take(&mut self.closing) {
            self.closed();
        }
    }

    /// The connection is over for good, and with it what it was owed.
    fn closed(&mut self) {
        (self.key, self.connection_id, self.next_serial) = (None, None, 0);
        self.latest.fill(Position::ZERO);
        self.unacknowledged.clear();
        self.subscriptions.iter_mut().for_each(Subscription::forget);
    }

    /// CLOSE.
    pub fn close(&mut self, now_ms: u64) -> Vec<PresenceUpdate> {
        (self.closing, self.heard_ms) = (true, now_ms);
        vec![PresenceUpdate::Send(json!({"action": action::CLOSE}))]
    }

    /// DISCONNECT, as SDKs say when they abandon a transport.
    pub fn part(&mut self, now_ms: u64) -> Vec<PresenceUpdate> {
        self.disconnected(now_ms);
        vec![PresenceUpdate::Send(json!({"action": action::DISCONNECT})), PresenceUpdate::HangUp]
    }

    /// Publishes now, or when there is a connection.
    pub fn publish(&mut self, publish: Publish, is_repeat: bool) -> Vec<PresenceUpdate> {
        let serial = self.next_serial;
        self.next_serial += 1;
        let frame = message(&publish, serial);
        self.unacknowledged.push_back(Unacknowledged { serial, publish, may_be_placed: is_repeat, sent_again: false });
        if self.transport == Transport::Connected { vec![PresenceUpdate::Send(frame)] } else { Vec::new() }
    }

    pub fn receive(&mut self, frame: &Frame, now_ms: u64, ledger: &mut Ledger) -> Vec<PresenceUpdate> {
        self.heard_ms = now_ms;
        if self.transport == Transport::Connected {
            self.alive_ms = now_ms;
        }
        match frame.action {
            action::HEARTBEAT => Vec::new(),
            action::CONNECTED => self.connected(frame, now_ms, ledger),
            action::DISCONNECTED => {
                let is_revoked = frame.error_code() == Some(TOKEN_REVOKED);
                assert!(!is_revoked || self.barred.token, "a token is void that nobody revoked");
                self.hang_up(now_ms)
            }
            // It comes back with another when this one is void.
            action::AUTH if self.barred.token => Vec::new(),
            action::ERROR => self.banned(frame, now_ms),
            action::CLOSED if self.closing => self.hang_up(now_ms),
            action::ACK => self.acknowledged(frame, ledger),
            action::NACK => self.refused(frame),
            action::ATTACHED | action::DETACHED | action::MESSAGE | action::PRESENCE | action::SYNC => {
                self.channel_frame(frame, now_ms, ledger)
            }
            action::ANNOTATION | action::OBJECT | action::OBJECT_SYNC => self.channel_frame(frame, now_ms, ledger),
            _ => panic!("a client gets {frame:?}"),
        }
    }

    fn connected(&mut self, frame: &Frame, now_ms: u64, ledger: &Ledger) -> Vec<PresenceUpdate> {
        assert_eq!(self.transport, Transport::Connecting, "CONNECTED twice");
        let key = &frame.connection_details.as_ref().expect("CONNECTED has details").connection_key;
        assert_ne!(self.key.as_ref(), Some(key), "a resume makes a new key");
        let is_resumed = self.connection_id.is_some() && self.connection_id == frame.connection_id;
        let was_tried = self.key.is_some();
        assert_eq!(frame.error.is_some(), was_tried && !is_resumed, "CONNECTED says what became of the resume");
        assert!(
            is_resumed || !was_tried || self.was_barred || self.alive_ms + SURELY_RESUMABLE_MS < now_ms,
            "a resume is refused with {:?} that should be possible",
            frame.error_code()
        );
        let is_known = self.alive_ms + SURELY_KNOWN_MS > now_ms;
        if let Some(before) = self.connection_id.as_ref().filter(|_| !is_resumed) {
            let without_echo = self.subscriptions.iter_mut().filter(|at| !self.echo || at.options.no_echo);
            without_echo.for_each(|at| at.goes_on_without(before));
        }
        (self.transport, self.was_barred) = (Transport::Connected, self.barred.app);
        (self.key, self.connection_id, self.alive_ms) = (Some(key.clone()), frame.connection_id.clone(), now_ms);
        if !is_resumed {
            self.renumber();
        }
        let attach = |subscription: &mut Subscription| subscription.wanted.then(|| subscription.attach(now_ms, ledger));
        let mut updates: Vec<PresenceUpdate> =
            self.subscriptions.iter_mut().filter_map(attach).map(PresenceUpdate::Send).collect();
        let attaches = updates.len();
        for waiting in &mut self.unacknowledged {
            waiting.sent_again = true;
            waiting.may_be_placed |= !is_known;
            updates.push(PresenceUpdate::Send(message(&waiting.publish, waiting.serial)));
        }
        // Newer SDKs attach first.
        if is_resumed && now_ms.is_multiple_of(2) {
            updates.rotate_left(attaches);
        }
        updates
    }

    /// Another connection: what is open is sent anew.
    fn renumber(&mut self) {
        self.latest.fill(Position::ZERO);
        for (serial, waiting) in (0..).zip(&mut self.unacknowledged) {
            (waiting.serial, waiting.may_be_placed) = (serial, true);
            if let Some(act) = &mut waiting.publish.act {
                act.known = None;
            }
        }
        self.next_serial = self.unacknowledged.len() as u64;
    }

    fn acknowledged(&mut self, frame: &Frame, ledger: &mut Ledger) -> Vec<PresenceUpdate> {
        let results = frame.res.as_ref().expect("an ACK has results");
        let settled = self.settle(frame);
        assert_eq!(results.len(), settled.len(), "an ACK has a result for each publish");
        for (waiting, result) in settled.into_iter().zip(results) {
            let Publish { channel, tag, messages, .. } = &waiting.publish;
            assert_eq!(result.serials.len(), *messages, "an ACK names each message");
            if waiting.publish.act.is_some() {
                continue;
            }
            let position = ledger.acknowledged(*channel, tag, &result.serials);
            // What the relay gave up, unknown to its client, and is sent again, may come behind those after it.
            let in_order = position > self.latest[*channel] || (waiting.sent_again && self.unsteady);
            assert!(in_order || waiting.may_be_placed, "the publishes of a connection changed their order: {tag}");
            if !waiting.may_be_placed {
                self.latest[*channel] = self.latest[*channel].max(position);
            }
            if waiting.publish.change.is_none() {
                self.published.push(waiting.publish);
            }
        }
        Vec::new()
    }

    fn refused(&mut self, frame: &Frame) -> Vec<PresenceUpdate> {
        let code = frame.error_code().expect("a NACK has an error");
        let settled = self.settle(frame);
        // Sent again to a channel that was left meanwhile.
        let is_elsewhere = code == NOT_ATTACHED && settled.iter().all(|waiting| waiting.publish.act.is_some());
        let is_off = |waiting: &Unacknowledged| self.barred.is_off(waiting.publish.channel);
        let is_banned = code == FORBIDDEN && settled.iter().all(is_off);
        let is_right = is_elsewhere || is_banned;
        assert!(is_right || TRANSIENT.contains(&code), "a publish is refused: {frame:?}");
        assert!(is_right || !self.calm, "nothing fails any more, yet a publish does: {frame:?}");
        Vec::new()
    }

    /// It is kept out, or off a channel.
    fn banned(&mut self, frame: &Frame, now_ms: u64) -> Vec<PresenceUpdate> {
        assert_eq!(frame.error_code(), Some(FORBIDDEN), "a client gets {frame:?}");
        let Some(name) = &frame.channel else {
            assert!(self.barred.app, "it is sent away, and was not banned");
            self.closing = true;
            let updates = self.hang_up(now_ms);
            self.connect_at_ms = now_ms + 2_000;
            return updates;
        };
        let at = self.subscriptions.iter_mut().find(|at| at.name == *name).expect("only channels that were asked for");
        assert!(self.barred.is_off(at.channel), "{name} fails, and it was not banned there");
        at.detached(Some(FORBIDDEN), now_ms);
        Vec::new()
    }

    pub fn may_be_barred(&mut self, barred: Barred) {
        self.was_barred |= barred.app;
        // What was refused, unknown to it, may be taken when it is sent again.
        self.unsteady |= barred.channels.contains(&true);
        self.barred = barred;
    }

    pub fn is_connected(&self) -> bool {
        self.transport == Transport::Connected
    }

    /// What an ACK or NACK completes: the oldest, without gaps, and never what isn't open.
    fn settle(&mut self, frame: &Frame) -> Vec<Unacknowledged> {
        let (first, count) = (frame.msg_serial.expect("msgSerial"), frame.count.expect("count") as usize);
        assert_eq!(self.unacknowledged.front().map(|waiting| waiting.serial), Some(first), "out of turn: {frame:?}");
        assert!(count >= 1 && count <= self.unacknowledged.len(), "{frame:?} is more than is open");
        self.unacknowledged.drain(..count).collect()
    }

    fn channel_frame(&mut self, frame: &Frame, now_ms: u64, ledger: &mut Ledger) -> Vec<PresenceUpdate> {
        let name = frame.channel.as_deref().expect("a channel's frame names it");
        let connection_id = self.connection_id.as_deref();
        let find = |subscription: &&mut Subscription| subscription.name == name;
        let subscription = self.subscriptions.iter_mut().find(find).expect("only channels that were asked for");
        match frame.action {
            action::ATTACHED => {
                let flags = (frame.flags & RESUMED != 0, frame.flags & HAS_BACKLOG != 0);
                let silent = connection_id.filter(|_| !self.echo || subscription.options.no_echo);
                subscription.attached(frame, flags, silent, ledger);
                return self.enter_again(name);
            }
            action::DETACHED => {
                let code = frame.error_code();
                assert!(code.is_none_or(|code| TRANSIENT.contains(&code)), "{frame:?}");
                assert!(code.is_none() || !self.calm, "nothing fails any more, yet an attachment does: {frame:?}");
                subscription.detached(code, now_ms);
            }
            action::SYNC => subscription.sync(frame, connection_id),
            action::OBJECT_SYNC => subscription.sync_objects(frame),
            _ => {
                let silent = connection_id.filter(|_| !self.echo || subscription.options.no_echo);
                match frame.action {
                    action::PRESENCE => subscription.presence(frame, silent, connection_id, ledger),
                    action::ANNOTATION => subscription.annotations(frame, silent, ledger),
                    action::OBJECT => subscription.objects(frame, silent, ledger),
                    _ => subscription.messages(frame, silent, ledger),
                }
            }
        }
        Vec::new()
    }

    /// Whatever became of them meanwhile, its own members are there again.
    fn enter_again(&mut self, name: &str) -> Vec<PresenceUpdate> {
        let find = |subscription: &&Subscription| subscription.name == name;
        let Some(subscription) = self.subscriptions.iter().find(find) else { return Vec::new() };
        if subscription.state != State::Attached {
            return Vec::new();
        }
        let connection_id = self.connection_id.clone();
        let enter = |(client_id, (connection, id)): (&String, &(String, String))| Publish {
            name: name.to_owned(),
            channel: subscription.channel,
            tag: "again".to_owned(),
            messages: 0,
            own_id: false,
            act: Some(Act {
                action: ENTER,
                client_id: client_id.clone(),
                known: (Some(connection) == connection_id.as_ref()).then(|| id.clone()),
            }),
            change: None,
        };
        let mine: Vec<Publish> = subscription.view.mine.iter().map(enter).collect();
        mine.into_iter().flat_map(|publish| self.publish(publish, true)).collect()
    }

    /// What is still open when all should be done.
    pub fn unfinished(&self, barred: &Barred, ledger: &Ledger) -> Option<String> {
        if barred.token || barred.app {
            return None;
        }
        if self.transport != Transport::Connected || !self.unacknowledged.is_empty() {
            return Some(format!("{:?}, owed {:?}", self.transport, self.unacknowledged));
        }
        let lacks = |subscription: &&Subscription| subscription.lacks(self.silent(subscription), ledger);
        let may_lack = |at: &&Subscription| !barred.is_off(at.channel);
        self.subscriptions
            .iter()
            .filter(may_lack)
            .find(lacks)
            .map(|subscription| format!("{subscription:?} lacks something"))
    }

    /// Whose messages a subscription is not told: its own connection's, where it wants it so.
    pub fn silent(&self, subscription: &Subscription) -> Option<&str> {
        self.connection_id.as_deref().filter(|_| !self.echo || subscription.options.no_echo)
    }

    /// A subscription that is settled and may change.
    pub fn settled(&mut self, at: usize) -> Option<&mut Subscription> {
        let subscription = self.subscriptions.get_mut(at)?;
        let settled = self.transport == Transport::Connected && !self.closing && subscription.waits_since().is_none();
        (settled && matches!(subscription.state, State::Attached | State::Detached)).then_some(subscription)
    }
}
