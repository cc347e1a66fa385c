//! Pages of what a channel's log holds: of messages and presence, of one message's versions, and of what is said of it.

use serde::{Deserialize, Serialize};

use crate::auth::Source;
use crate::model::packed::Packed;
use crate::model::serial::Position;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryQuery {
    /// Presence events, not messages.
    pub presence: bool,
    pub start_ms: Option<u64>,
    pub end_ms: Option<u64>,
    pub forwards: bool,
    pub limit: usize,
    /// Continue behind this message, in the direction of the query.
    pub after: Option<(Position, usize)>,
    /// A serial. Backwards: only what came up to it (`untilAttach`). Forwards: only what follows it.
    pub from: Option<String>,
    /// How long the reader waits for something to come, if there is nothing. Then every page says where to go on.
    pub wait_ms: Option<u64>,
    /// Who asks.
    pub by: Option<Source>,
}

/// Which versions of a message are wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionsQuery {
    /// Of the message.
    pub serial: String,
    /// Only its latest.
    pub latest: bool,
    pub forwards: bool,
    pub limit: usize,
    /// Continue behind this version, in the direction of the query.
    pub after: Option<u32>,
    /// Also what was before a deletion.
    pub deleted: bool,
    pub start_ms: Option<u64>,
    pub end_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    pub epoch: String,
    /// In the direction of the query.
    pub entries: Packed,
    /// Which messages of each entry belong to the page: from, to (exclusive).
    pub slices: Vec<(usize, usize)>,
    /// The last message of the page, when more follow.
    pub next: Option<(Position, usize)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnnotationsQuery {
    /// The message's serial.
    pub message: String,
    /// Continue behind this annotation.
    pub after: Option<(Position, usize)>,
    pub limit: usize,
}
