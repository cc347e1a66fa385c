//! The drivers of the objects: they decide when something happens, and what follows from what.
//!
//! A [`Host`] is a channel's or a relay's object, an [`AppHost`] an app's. Each takes one input at a time, with the
//! time, and gives outputs, to be performed in their order: it knows no clock, no randomness and no platform. The
//! platform runs them at the edge, and the simulation runs the same ones.
//!
//! - `host` is the object: its cores, and one turn after another; `effects` is what the cores make it do, and
//!   `schedule` when;
//! - `entrance` lets clients in, over WebSockets and over HTTP, `engine` those of Engine.IO from one to the other, and
//!   `calls` answers other objects;
//! - `rules` are those of a channel's object, `watch` keeps the relay's watch of its app, and `rebuild` brings back a
//!   memory from what outlived it;
//! - `reports` counts what happens, and tells the app;
//! - `timers` and `alarm` are what is known of the platform's clocks, `store` is what a relay keeps;
//! - `hooks` has the receivers of webhooks told;
//! - `app` is the object of an app, `app_push` what it does for push, and `app_meta` what it tells on metachannels.

mod alarm;
mod app;
mod app_meta;
mod app_push;
mod calls;
mod effects;
#[cfg(feature = "socketio")]
mod engine;
mod entrance;
mod hooks;
mod host;
mod rebuild;
mod reports;
mod rules;
mod schedule;
pub mod store;
mod timers;
mod watch;

use std::rc::Rc;

pub use app::{AppHost, AppInput, AppOutput};
pub use host::Host;
pub use timers::Timer;

use crate::auth::Apps;
use crate::error::ErrorInfo;
use crate::http;
use crate::model::Format;
use crate::model::name::ChannelName;
use crate::protocol::Encoded;
use crate::relay::SocketId;
use crate::relay::bounds::Bounds;
use crate::relay::session::Opening;
use crate::rpc::Ticket;
use crate::rpc::placement::Shard;
use crate::rpc::{
    Address, Answer, AppCall, AppResponse, ChannelCall, Delivered, Delivery, Follow, HookOutcome, HookRequest,
    Inspected, Inspection, Notice, Noticed, Probe, Probed, Refusal, RelayName, Response, Rules,
};
use crate::transport::comet::{Claim, Verb};
use crate::transport::{Mode, ResponseId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Channel,
    Relay,
}

/// What the deployment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own apps, or why there are none.
    pub apps: Result<Rc<Apps>, ErrorInfo>,
    pub bounds: Bounds,
}

/// Names a request that the platform has open, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

/// What happens to a channel's or a relay's object.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first of all: the memory is new. `fresh_epoch` is random and names the channel that may begin in it.
    Wake {
        sockets: Vec<Kept>,
        fresh_epoch: String,
    },
    /// A client, whose credentials the router has checked. Answered by [`Output::Accept`], [`Output::Respond`] or a
    /// refusal.
    Connect {
        caller: CallerId,
        entrance: Box<Entrance>,
    },
    /// What a client says over a WebSocket.
    Frame {
        socket: SocketId,
        bytes: Vec<u8>,
        format: Format,
    },
    /// A WebSocket is closed, or could not be accepted.
    Lost {
        socket: SocketId,
    },
    /// A request that belongs to a connection over HTTP. Answered by [`Output::Respond`] or [`Reply::Http`].
    Comet {
        caller: CallerId,
        verb: Verb,
        claim: Claim,
        body: Vec<u8>,
    },
    /// How an [`Output::Write`] went.
    Written {
        response: ResponseId,
        went_well: bool,
    },
    /// Calls of other objects and the router.
    Call {
        caller: CallerId,
        call: ChannelCall,
    },
    Follow {
        caller: CallerId,
        follow: Follow,
    },
    Deliver {
        caller: CallerId,
        delivery: Delivery,
    },
    Probe {
        caller: CallerId,
        probe: Probe,
    },
    Identify {
        caller: CallerId,
        key: String,
    },
    Inspect {
        caller: CallerId,
        inspection: Inspection,
    },
    Notice {
        caller: CallerId,
        notice: Notice,
    },
    /// What became of its own calls. `None`: no answer came, and the callee may or may not have done it.
    Answered {
        ticket: Ticket,
        answer: Option<Answer<Response>>,
    },
    Delivered {
        channel: ChannelName,
        relay: RelayName,
        attempt: u64,
        answer: Option<Delivered>,
    },
    Probed {
        relay: RelayName,
        attempt: u64,
        answer: Option<Probed>,
    },
    AppAnswered {
        ticket: Ticket,
        answer: Answer<AppResponse>,
    },
    /// How an [`Output::Post`] went.
    Posted {
        hook: String,
        attempt: u64,
        outcome: HookOutcome,
    },
    /// The server is about to stop: one in so many connections is to come back.
    SendAway {
        one_in: usize,
    },
    /// The server is about to stop, and what was counted goes with it unless it is reported now.
    Report,
    /// The deployment's apps are these now, and were those before, if that can be read.
    Reconfigure {
        apps: Result<Rc<Apps>, ErrorInfo>,
        before: Option<Rc<Apps>>,
    },
    Rang(Timer),
    /// The alarm rings.
    Alarm,
    /// When it will; the answer to [`Output::AskAlarm`].
    AlarmKnown {
        at_ms: Option<u64>,
    },
    /// The platform would not set it.
    AlarmRefused {
        at_ms: u64,
    },
}

/// A WebSocket that outlived the object's memory.
#[derive(Clone, Debug)]
pub struct Kept {
    pub socket: SocketId,
    /// As [`Output::Save`] left it.
    pub record: Vec<u8>,
}

/// A client on its way in.
#[derive(Clone, Debug)]
pub struct Entrance {
    pub opening: Opening,
    pub shard: Shard,
    /// The channel whose own object this is, if a channel's object is to hold it.
    pub channel: Option<(Address, Rules)>,
    /// How its responses go, if it is over HTTP.
    pub mode: Option<Mode>,
    /// Random: its connection's id, unless it resumes.
    pub fresh_id: String,
}

/// What the platform is to do, in this order.
#[derive(Debug)]
pub enum Output {
    /// Make the caller's connection a WebSocket of this number. Tell [`Input::Lost`] if that fails.
    Accept {
        caller: CallerId,
        socket: SocketId,
    },
    /// One frame, the same for all. Those that are no WebSockets are none of the platform's.
    Send {
        sockets: Vec<SocketId>,
        frame: Encoded,
    },
    /// Keep this with the WebSocket, if it is one.
    Save {
        socket: SocketId,
        record: Vec<u8>,
    },
    /// Close with status 1000.
    Close {
        socket: SocketId,
    },
    /// Answer the caller by a response whose body is written from now on. `head` is all the rest.
    Respond {
        caller: CallerId,
        response: ResponseId,
        head: http::Reply,
    },
    /// Write into a response, end it if that is the last, and tell [`Input::Written`] how it went.
    Write {
        response: ResponseId,
        body: String,
        last: bool,
    },
    /// Nobody waits for this response any more.
    Cut {
        response: ResponseId,
    },
    Answer {
        caller: CallerId,
        reply: Reply,
    },
    Ask(Question),
    /// Make this request to the receiver of a webhook, and tell [`Input::Posted`].
    Post(HookRequest),
    /// Tell [`Input::Rang`] when this time has passed; at the end of this turn of the event loop if it is none. What
    /// was started goes with the memory.
    Start {
        timer: Timer,
        after_ms: u64,
    },
    /// Tell [`Input::AlarmKnown`] when the stored alarm rings, if one is set.
    AskAlarm,
    /// In the place of any other; it outlives the memory. Tell [`Input::AlarmRefused`] if that fails.
    SetAlarm {
        at_ms: u64,
    },
    /// What is due could not be done: the alarm must ring again.
    RepeatAlarm {
        reason: String,
    },
}

/// What another object is asked. The answer, or that none came, is an input.
#[derive(Clone, Debug)]
pub enum Question {
    /// Call a channel, and tell [`Input::Answered`].
    Call { ticket: Ticket, call: ChannelCall },
    /// Ask a relay to feed this one, and tell [`Input::Answered`].
    Follow { ticket: Ticket, above: RelayName, follow: Follow },
    /// Call a relay, and tell [`Input::Delivered`], with the delivery's channel.
    Deliver { relay: RelayName, attempt: u64, delivery: Delivery },
    /// Call a relay, and tell [`Input::Probed`].
    Probe { relay: RelayName, attempt: u64, probe: Probe },
    /// Call the app, and tell [`Input::AppAnswered`].
    App { ticket: Ticket, call: AppCall },
}

/// What a caller is told.
#[derive(Clone, Debug)]
pub enum Reply {
    Response(Answer<Response>),
    Delivered(Delivered),
    Probed(Probed),
    Noticed(Answer<Noticed>),
    Inspected(Inspected),
    /// The client isn't let in.
    Refused(Refusal),
    Http(http::Reply),
}
