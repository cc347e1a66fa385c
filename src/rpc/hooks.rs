//! Webhooks between objects: what a channel has the platform send, how that went, and what it tells its app.

use serde::{Deserialize, Serialize};

use crate::error::ErrorInfo;
use crate::model::name::ChannelName;

/// What the messages on [`ChannelName::connections`] are called.
pub const CONNECTION_OPENED: &str = "connection.opened";
pub const CONNECTION_CLOSED: &str = "connection.closed";

/// A request to a receiver, complete and signed.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRequest {
    /// Of the webhook.
    pub id: String,
    pub attempt: u64,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// How a request went.
#[derive(Clone, Debug, PartialEq)]
pub enum HookOutcome {
    /// `retry_after` is the header as it came.
    Status { status: u16, retry_after: Option<String> },
    /// No answer came in time.
    Unreachable,
    /// This server may not call there.
    Forbidden,
}

/// How a webhook of a channel fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum HookStanding {
    #[default]
    Fine,
    /// Its requests fail since then, and are made again.
    Failing { since_ms: u64, error: ErrorInfo },
    /// Nothing is sent until its rule changes.
    Ended { at_ms: u64, error: ErrorInfo },
}

/// Events that will not be sent any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadEvents {
    /// Numbers them in the life of their channel.
    pub number: u64,
    pub hook: String,
    pub at_ms: u64,
    /// How many; where they were not read any more, how many the log had of all kinds.
    pub count: u64,
    /// The ids of the first and the last, where they are known.
    pub first: String,
    pub last: String,
    pub error: ErrorInfo,
}

/// The same, with the events themselves as a batch has them: as many of the first as are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub about: DeadEvents,
    /// JSON, or nothing.
    pub body: String,
}

/// What a channel tells its app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookReport {
    pub channel: ChannelName,
    /// The channel's life.
    pub epoch: String,
    /// Of webhooks of which the app knows something else.
    pub standings: Vec<(String, HookStanding)>,
    pub dead: Vec<DeadEvents>,
}

/// What an app knows of its webhooks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HookPage {
    /// Channel and webhook, of those that are not fine.
    pub troubled: Vec<(String, String, HookStanding)>,
    /// With their channels, the last first.
    pub dead: Vec<(String, DeadEvents)>,
}

/// A report, and the bodies of what it says was given up, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookNews {
    pub report: HookReport,
    pub bodies: Vec<String>,
}

/// Some of what was given up, by the number that the app gave it, with its channel.
pub type DeadLetters = Vec<(u64, String, DeadLetter)>;
