//! What an operator asks of an app and of those who hold its connections.

use serde::{Deserialize, Serialize};

use super::RelayName;
use crate::auth::Ban;
use crate::base::pinned::Versioned;
use crate::model::name::ChannelName;

/// A request of an operator to an app, and what is noted of it once it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdminCall {
    pub note: Option<Note>,
    pub act: Act,
}

/// An entry of the audit: who did what, to whom, when. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub at_ms: u64,
    /// The app that it was done to; of its own entries, too, as the deployment keeps those of all.
    pub app: String,
    pub by: String,
    pub action: String,
    pub target: String,
}

impl Versioned for Note {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Keep the note. Answered by [`AdminResponse::Done`].
    Note,
    /// Answered by [`AdminResponse::Done`].
    Ban(Ban),
    /// Answered by [`AdminResponse::Lifted`], which is false by earlier builds alone: there is no such ban.
    Lift { client_id: String, channels: Option<String> },
    /// Bans in the order of their keys, behind that one. Answered by [`AdminResponse::Bans`].
    Bans { after: String, limit: usize },
    /// Whether a ban or a silence keeps anyone from these. Answered by [`AdminResponse::Barred`].
    Bar(Deeds),
    /// The objects that hold connections, in the order of their names, from that one on. Answered by
    /// [`AdminResponse::Holders`].
    Holders { from: String, limit: usize },
    /// Entries of the audit before that one, the latest first. Answered by [`AdminResponse::Audit`].
    Audit { before: u64, limit: usize },
    /// Change the configuration of an app made at run time. Answered by [`AdminResponse::Configured`].
    Configure(Change),
    /// Drop what webhooks gave up, of one channel or of all. Answered by [`AdminResponse::Done`].
    ForgetDead { channel: Option<String> },
}

/// What somebody is about to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deeds {
    /// All clients that they name, each once: many deeds may name the same.
    pub names: Vec<String>,
    pub deeds: Vec<Deed>,
}

/// Clients are places in the list of names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// Without one it is done in the app.
    pub channel: Option<ChannelName>,
    /// `None` for one without a name.
    pub by: Option<usize>,
    /// In whose names it is done besides.
    pub others: Vec<usize>,
    pub speech: Speech,
    /// Whether who does it moderates the channel.
    pub moderates: bool,
}

/// What of a deed silences are about; what more of them are about is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Speech {
    Nothing,
    /// What was said is changed, or something is said of it.
    OfSaid,
    /// Something new is said, which slow mode is about, too.
    Anew,
}

/// A change of an app's configuration. Keys and namespaces are JSON, as the configuration has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// All namespaces, in the place of those that there are.
    Namespaces(String),
    /// One, in the place of another of its id.
    PutNamespace(String),
    RemoveNamespace(String),
    AddKey(String),
    /// What a key may do, and whether its tokens can be revoked: the fields that are there.
    AlterKey {
        id: String,
        fields: String,
    },
    /// Another key that may do the same; the old one ends then.
    RotateKey {
        id: String,
        new_id: String,
        secret: String,
        until_ms: u64,
    },
    RemoveKey(String),
    /// Credentials for push services, in the place of those that there are: an object, which may be empty.
    Push(String),
    /// All webhooks of the app itself, in the place of those that there are.
    Webhooks(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdminResponse {
    Done,
    Lifted(bool),
    Bans(Vec<Ban>),
    /// The ban or silence, and whether the app has any.
    Barred(Option<Ban>, bool),
    Holders(Vec<RelayName>),
    /// Each with its number.
    Audit(Vec<(u64, Note)>),
    /// The app's configuration as it is now, secrets included.
    Configured(String),
}

/// What an operator asks of an object that holds connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Inspection {
    /// A page of the connections that are meant, behind that one, by their ids.
    List { of: Selector, after: String, limit: usize },
    /// End them: for good, or so that their clients come back.
    End { of: Selector, comes_back: bool },
}

impl Inspection {
    /// The answer where there are no connections.
    pub fn of_nobody(&self) -> Inspected {
        match self {
            Inspection::List { .. } => Inspected::List { connections: Vec::new(), has_more: false },
            Inspection::End { .. } => Inspected::Ended(0),
        }
    }
}

/// Which connections are meant: those of which all of this is true.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selector {
    pub connection_id: Option<String>,
    pub client_id: Option<String>,
    pub channel: Option<ChannelName>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Inspected {
    List {
        connections: Vec<HeldConnection>,
        has_more: bool,
    },
    /// How many were ended.
    Ended(u64),
}

/// A connection as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldConnection {
    pub connection_id: String,
    pub client_id: Option<String>,
    pub key_name: String,
    /// How it is connected, and behind a space the protocol that it speaks, if that is not ours.
    pub transport: String,
    /// When its transport came in; absent where an earlier build took it in.
    pub since_ms: Option<u64>,
    /// The first of them.
    pub channels: Vec<String>,
    pub channel_count: u64,
    /// Bytes that it was sent lately and may not have read, for all that is known.
    pub debt_bytes: u64,
    /// Messages of its own that are not acknowledged yet.
    pub unacknowledged: u64,
}

impl Versioned for Inspection {
    const VERSION: u8 = 1;
}

impl Versioned for Inspected {
    const VERSION: u8 = 1;
}
