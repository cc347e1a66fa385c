//! Protocol 7 of Pusher Channels (protocol.md § 26): a door by which `pusher-js` and its kin come to the same channels.
//!
//! Who comes names a key and no secret: the key must say that it lets them in. What is public they may then hear as
//! far as the key's capability goes; for private and presence channels a server that has the secret signs
//! ([`Signed`](crate::auth::Signed)). `heard` reads what clients say, `roster` is who is there when one joins a
//! presence channel, and `words` is what they get.

mod heard;
mod roster;
mod words;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dialect::Dialect;
use super::door::{Heard, Mark, Setting, Visitor};
use super::inbound::{Inbound, InboundMessage, PublishFrame};
use super::outbound::{Outbound, OutboundPresence};
use super::{Encoded, action};
use crate::base::maps::SortedMap;
use crate::error::{Code, ErrorInfo};
use crate::limits::GRACE_MIN_MS;
use crate::model::Format;
use crate::model::flags::{HAS_BACKLOG, HAS_PRESENCE, RESUMED};
use crate::model::message::Params;
pub use heard::payload;
use roster::Roster;
pub use words::{encode, is_reserved};

/// An event by which a server ends the connections of a user, on the user's own channel.
pub const TERMINATE: &str = "pusher_internal:terminate";

const SUCCEEDED: &str = "pusher_internal:subscription_succeeded";

/// Of the number of something that a client says, these are counted and the others the time.
const SERIAL_BITS: u32 = 10;

/// What a connection remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pusher {
    /// The number of what it said last.
    said: u64,
    /// The user that it signed in as.
    user: Option<String>,
    /// Who it is on each presence channel.
    users: SortedMap<String, String>,
    /// Subscriptions that were asked for, and not answered yet.
    #[serde(skip)]
    awaited: BTreeSet<String>,
    #[serde(skip)]
    joining: BTreeMap<String, Joining>,
    /// Channels whose last event is the next to come.
    #[serde(skip)]
    cached: BTreeSet<String>,
    #[serde(skip)]
    orders: Vec<Inbound>,
    /// Of all rosters of the relay.
    #[serde(skip)]
    memory: Rc<Cell<usize>>,
}

/// On its way into a presence channel: first it learns who is there, and then it enters. So all that was heard of the
/// channel when it hears of itself is what was true at that moment.
#[derive(Clone, Debug, PartialEq)]
struct Joining {
    /// Shared by what is compared and stored, which does not look at it.
    roster: Rc<RefCell<Roster>>,
    /// All of who is there was told.
    is_whole: bool,
    /// The channel has no last event for it.
    misses_last: bool,
    /// `None` for one that is in, and missed something: it learns anew who is there.
    newcomer: Option<Newcomer>,
}

#[derive(Clone, Debug, PartialEq)]
struct Newcomer {
    connection_id: String,
    /// What it says of itself.
    enters: InboundMessage,
    /// By the publish of this number.
    entering: Option<u64>,
    /// It has heard of its own entry.
    is_in: bool,
    now_ms: u64,
}

/// The key that the path of a connection names: `/app/KEY`.
pub fn key_in(path: &str) -> Option<&str> {
    path.strip_prefix("/app/").filter(|key| !key.contains('/'))
}

/// The channel by which servers reach a user.
pub fn channel_of(user: &str) -> String {
    format!("#server-to-user-{user}")
}

impl Visitor for Pusher {
    fn dialect(&self) -> Dialect {
        Dialect::Pusher
    }

    fn hear(&mut self, bytes: &[u8], _: Format, setting: Setting<'_>) -> Result<Vec<Heard>, ErrorInfo> {
        Ok(heard::hear(self, bytes, setting))
    }

    fn tell(&mut self, frame: &Outbound<'_>) -> Encoded {
        match (frame.action, frame.channel) {
            (action::CONNECTED, _) => established(frame),
            (action::ATTACHED, Some(channel)) if self.misses(channel, frame) => {
                farewell(&Code::Disconnected.because("events of a channel are gone; connect and subscribe again"))
            }
            (action::ATTACHED, Some(channel)) => self.attached(channel, frame.flags.unwrap_or_default()),
            (action::SYNC, Some(channel)) => self.synced(channel, frame),
            (action::PRESENCE, Some(channel)) if self.joining.contains_key(channel) => self.met(channel, frame),
            (action::MESSAGE, Some(channel)) if self.is_terminated(channel, frame) => {
                farewell(&Code::Forbidden.because("a server ended the connections of this user"))
            }
            (action::MESSAGE, Some(channel)) => self.messages(channel, frame),
            (action::NACK, _) => self.refused(frame),
            (action::ERROR | action::DETACHED, Some(channel)) => self.ended(channel, frame.error),
            (action::ERROR | action::DISCONNECTED, None) => frame.error.map_or(Encoded::Close(1000), farewell),
            (action::CLOSED, _) => Encoded::Close(1000),
            _ => encode(frame),
        }
    }

    fn mark(&self) -> Mark {
        [self.said, self.users.len() as u64 * 2 + u64::from(self.user.is_some())]
    }

    fn orders(&mut self) -> Vec<Inbound> {
        std::mem::take(&mut self.orders)
    }

    fn hears_alone(&self, channel: &str) -> bool {
        self.joining.contains_key(channel)
            || self.cached.contains(channel)
            || self.user.as_deref().is_some_and(|user| channel == channel_of(user))
    }

    fn users(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.user.iter().chain(self.users.values()).map(String::as_str))
    }

    fn is_busy(&self) -> bool {
        !self.awaited.is_empty() || !self.joining.is_empty()
    }

    fn echoes(&self) -> bool {
        false
    }

    fn bounces(&self) -> bool {
        true
    }

    fn grace_ms(&self) -> Option<u64> {
        Some(GRACE_MIN_MS)
    }

    /// Two numbers, as clients and servers want it: 128 bits of a hash of the random id.
    fn connection_id(&self, fresh_id: String) -> String {
        let digest = Sha256::digest(fresh_id.as_bytes());
        let number = |from: usize| digest[from..from + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        format!("{}.{}", number(0), number(8))
    }
}

/// Whether a text may be a socket's id.
pub fn is_socket_id(text: &str) -> bool {
    let is_number = |part: &str| (1..=20).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(first, second)| is_number(first) && is_number(second))
}

fn established(frame: &Outbound<'_>) -> Encoded {
    let interval_ms = frame.connection_details.as_ref().map_or(0, |details| details.max_idle_interval);
    let data = json!({ "socket_id": frame.connection_id, "activity_timeout": (interval_ms / 1_000).max(1) });
    words::own("pusher:connection_established", None, &data)
}

fn succeeded(channel: &str, data: &Value, misses_last: bool) -> Encoded {
    let mut told = vec![words::own(SUCCEEDED, Some(channel), data)];
    told.extend(misses_last.then(|| words::cache_miss(channel)));
    Encoded::Several(told)
}

fn farewell(error: &ErrorInfo) -> Encoded {
    let code = words::closing_code(error);
    Encoded::Several(vec![words::error(error, code), Encoded::Close(code)])
}

impl Pusher {
    /// The number of the next thing that it says: never one of before, even if what it remembers was not stored.
    fn next_serial(&mut self, now_ms: u64) -> u64 {
        self.said = (self.said + 1).max(now_ms << SERIAL_BITS);
        self.said
    }

    /// Whether there are events of a channel that it cannot be given any more: its protocol has no word for that, and
    /// who comes back knows that time has passed. On a presence channel it is told anew who is there.
    fn misses(&self, channel: &str, frame: &Outbound<'_>) -> bool {
        let is_resumed = frame.flags.unwrap_or_default() & RESUMED != 0;
        let is_known = self.awaited.contains(channel) || self.users.contains_key(channel);
        frame.error.is_some() && !is_resumed && !is_known
    }

    fn attached(&mut self, channel: &str, flags: u32) -> Encoded {
        let is_asked = self.awaited.remove(channel);
        let misses_last = heard::is_cached(channel) && flags & HAS_BACKLOG == 0;
        if is_asked && heard::is_cached(channel) && !misses_last {
            self.cached.insert(channel.to_owned());
        }
        if self.users.contains_key(channel) {
            // Unasked where something was missed: then it is told anew who is there.
            let memory = &self.memory;
            let joining = self.joining.entry(channel.to_owned()).or_insert_with(|| Joining::new(memory, None));
            joining.begin_anew();
            joining.misses_last = is_asked && misses_last;
            return if flags & HAS_PRESENCE != 0 { Encoded::NOTHING } else { self.go_on(channel) };
        }
        match is_asked {
            true => succeeded(channel, &json!({}), misses_last),
            false => Encoded::NOTHING,
        }
    }

    /// Events, the first of a cached channel as it is now. Who is on the way in hears them behind who is there.
    fn messages(&mut self, channel: &str, frame: &Outbound<'_>) -> Encoded {
        let told = if self.cached.remove(channel) { words::last(channel, frame) } else { encode(frame) };
        match self.joining.get(channel) {
            Some(joining) => joining.roster.borrow_mut().hold(told),
            None => told,
        }
    }

    /// A part of who is there.
    fn synced(&mut self, channel: &str, frame: &Outbound<'_>) -> Encoded {
        let Some(joining) = self.joining.get_mut(channel) else { return Encoded::NOTHING };
        frame.presence.iter().flatten().for_each(|member| joining.add(member));
        let is_end = frame.channel_serial.is_some_and(|serial| serial.ends_with(':'));
        if is_end { self.go_on(channel) } else { Encoded::NOTHING }
    }

    /// It knows who is there: it enters, or is told. The news of its own entry may be among what it missed.
    fn go_on(&mut self, channel: &str) -> Encoded {
        let Some(joining) = self.joining.get_mut(channel) else { return Encoded::NOTHING };
        joining.is_whole = true;
        let Some(newcomer) = joining.newcomer.as_mut().filter(|newcomer| !newcomer.is_in) else {
            return self.join(channel);
        };
        if newcomer.entering.is_none() {
            self.said = (self.said + 1).max(newcomer.now_ms << SERIAL_BITS);
            newcomer.entering = Some(self.said);
            self.orders.push(Inbound::Presence(PublishFrame {
                channel: channel.to_owned(),
                msg_serial: self.said,
                messages: vec![newcomer.enters.clone()],
                params: Params::default(),
            }));
        }
        Encoded::NOTHING
    }

    /// Somebody came or went, perhaps it itself.
    fn met(&mut self, channel: &str, frame: &Outbound<'_>) -> Encoded {
        let mut told = Vec::new();
        for event in frame.presence.iter().flatten() {
            let Some(joining) = self.joining.get_mut(channel) else {
                told.extend(words::coming(channel, event));
                continue;
            };
            joining.roster.borrow_mut().change(event);
            joining.meet(event);
            if joining.is_whole && joining.newcomer.as_ref().is_some_and(|newcomer| newcomer.is_in) {
                told.push(self.join(channel));
            }
        }
        Encoded::Several(told)
    }

    /// It is in, and told who else is.
    fn join(&mut self, channel: &str) -> Encoded {
        let Some(joining) = self.joining.remove(channel) else { return Encoded::NOTHING };
        let mut roster = joining.roster.borrow_mut();
        match roster.tell() {
            Ok(presence) => {
                let first = succeeded(channel, &json!({ "presence": presence }), joining.misses_last);
                Encoded::Several([vec![first], roster.release()].concat())
            }
            Err(error) if error.status_code >= 500 => farewell(&error),
            Err(error) => self.turn_away(channel, &error),
        }
    }

    fn turn_away(&mut self, channel: &str, error: &ErrorInfo) -> Encoded {
        self.leave(channel);
        self.orders.push(Inbound::Detach { channel: channel.to_owned() });
        words::no_subscription(channel, error)
    }

    /// What it remembers of a channel is over.
    fn leave(&mut self, channel: &str) {
        self.awaited.remove(channel);
        self.joining.remove(channel);
        self.cached.remove(channel);
        self.users.remove(channel);
    }

    /// Something that it said was refused: to enter a channel, or a client event.
    fn refused(&mut self, frame: &Outbound<'_>) -> Encoded {
        let Some(error) = frame.error else { return Encoded::NOTHING };
        let first = frame.msg_serial.unwrap_or_default();
        let refused = first..first + frame.count.unwrap_or(1);
        let entering = |joining: &Joining| joining.newcomer.as_ref().and_then(|newcomer| newcomer.entering);
        let is_refused = |joining: &Joining| entering(joining).is_some_and(|serial| refused.contains(&serial));
        let entered = self.joining.iter().find(|(_, joining)| is_refused(joining)).map(|(channel, _)| channel.clone());
        match entered {
            Some(_) if error.may_pass() => farewell(error),
            Some(channel) => self.turn_away(&channel, error),
            None => words::error(error, words::refusal_code(error)),
        }
    }

    /// A subscription has ended, or never was. What may pass brings the client back: by itself it would not try again.
    fn ended(&mut self, channel: &str, error: Option<&ErrorInfo>) -> Encoded {
        self.leave(channel);
        match error {
            None => Encoded::NOTHING,
            Some(error) if error.may_pass() => farewell(error),
            Some(error) => words::no_subscription(channel, error),
        }
    }

    /// Whether a server ends all connections of the user that this one signed in as.
    fn is_terminated(&self, channel: &str, frame: &Outbound<'_>) -> bool {
        let mut messages = frame.messages.iter().flatten();
        self.user.as_deref().is_some_and(|user| channel == channel_of(user))
            && messages.any(|message| message.name == Some(TERMINATE))
    }
}

impl Joining {
    fn new(memory: &Rc<Cell<usize>>, newcomer: Option<Newcomer>) -> Joining {
        let roster = Rc::new(RefCell::new(Roster::new(memory)));
        Joining { roster, is_whole: false, misses_last: false, newcomer }
    }

    /// All who are there will be told again.
    fn begin_anew(&mut self) {
        self.roster.borrow_mut().clear();
        self.is_whole = false;
        self.newcomer.iter_mut().for_each(|newcomer| newcomer.is_in = false);
    }

    /// One who is there.
    fn add(&mut self, member: &OutboundPresence<'_>) {
        self.roster.borrow_mut().add(member);
        self.meet(member);
    }

    /// Somebody who is there or comes, perhaps it itself.
    fn meet(&mut self, member: &OutboundPresence<'_>) {
        self.newcomer.iter_mut().for_each(|newcomer| newcomer.is_in |= newcomer.is_in_by(member));
    }
}

impl Newcomer {
    /// Whether the event is that by which it entered.
    fn is_in_by(&self, event: &OutboundPresence<'_>) -> bool {
        let is_of = |serial: u64| event.id == format!("{}:{serial}:0", self.connection_id);
        event.connection_id == self.connection_id && self.entering.is_some_and(is_of)
    }
}
