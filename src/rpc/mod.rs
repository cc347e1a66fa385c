//! The typed calls between objects, and what objects are called. Objects of two deploys talk to each other for a while:
//! a call whose version the other cannot read is refused, to be tried again.

mod admin;
mod app;
mod clients;
pub mod connection_key;
pub mod feeds;
mod history;
mod hooks;
#[cfg(feature = "mqtt")]
pub mod homes;
mod names;
mod objects;
mod occupancy;
pub mod placement;
mod patience;
mod publish;
mod push;
mod rules;
mod versions;

use serde::{Deserialize, Serialize};

use crate::auth::Identity;
use crate::base::pinned::{self, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::model::annotation::SummaryCounts;
use crate::model::name::ChannelName;
use crate::model::objects::parts::Tree;
use crate::model::packed::Packed;
use crate::model::presence::MemberKey;
use crate::model::serial::Position;
pub use admin::{
    Act, AdminCall, AdminResponse, Change, Deed, Deeds, HeldConnection, Inspected, Inspection, Note, Selector, Speech,
};
pub use app::{AppCall, AppRequest, AppResponse, Changes, News, Notice, Noticed, StatsQuery, Watched, Watching, taken};
pub use history::{AnnotationsQuery, HistoryPage, HistoryQuery, VersionsQuery};
pub use hooks::{CONNECTION_CLOSED, CONNECTION_OPENED, DeadLetter, DeadLetters, HookNews};
pub use hooks::{DeadEvents, HookOutcome, HookPage, HookReport, HookRequest, HookStanding};
pub use names::{Address, RelayName, RelayObject};
pub use objects::{ObjectsPage, ObjectsQuery, TreeQuery};
pub use occupancy::{LocalOccupancy, Occupancy, Wanted};
pub use patience::Failure;
pub use publish::{
    ConnectionOutcome, Lease, Outcome, PresenceUpdate, Publish, PublishKey, Published, Standing, Submission,
};
pub use push::{
    ChannelPush, DevicesQuery, DirectPush, PushCaller, PushRequest, PushResponse, PushTarget, SubscriptionsQuery,
};
pub use rules::{Rules, RulesOfVersion1, RulesOfVersion2, RulesOfVersion3, RulesOfVersion4, RulesOfVersion5};

/// Names a waiting caller to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Why an object does not take a connection in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// It holds as many as it may. Another one may have room.
    Full,
    /// It has taken in as many as it may for now, and does again after this time.
    Busy { for_ms: u64 },
    /// The client is to be told this, wherever it tries.
    Error(ErrorInfo),
}

impl From<ErrorInfo> for Refusal {
    fn from(error: ErrorInfo) -> Refusal {
        Refusal::Error(error)
    }
}

/// A request to a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelCall {
    pub to: Address,
    pub rules: Rules,
    pub request: Request,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Answered by [`Response::Published`].
    Publish(Vec<Publish>),
    /// Feed this relay from now on, which has so many there. Answered by [`Response::Subscribed`].
    Subscribe(RelayName, LocalOccupancy),
    /// What an attachment needs before it goes live. Answered by [`Response::Backlog`].
    Read(ReadFrom),
    /// A page of history. Answered by [`Response::History`].
    History(HistoryQuery),
    /// A page of the presence set. Answered by [`Response::Members`].
    Members(MembersQuery),
    /// How many are on it, over all relays. Answered by [`Response::Counted`].
    Count,
    /// How many a relay has there now, for those who are told. Answered by [`Response::Reported`].
    Report(RelayName, LocalOccupancy),
    /// What a relay that stands here would be delivered next, for one that feeds it. Answered by
    /// [`Response::Delivery`].
    Next(Position),
    /// A page of the objects. Answered by [`Response::Objects`].
    Objects(ObjectsQuery),
    /// What a path leads to. Answered by [`Response::Tree`].
    Tree(TreeQuery),
    /// A page of the versions of one message, or its latest alone. Answered by [`Response::History`].
    Versions(VersionsQuery),
    /// A page of what was said of a message. Answered by [`Response::History`].
    Annotations(AnnotationsQuery),
    /// What one client said of the message of a serial. Answered by [`Response::ClientSummary`].
    ClientSummary(String, String),
    /// Let go of all messages, or go on with those up to there. Answered by [`Response::Purged`].
    Purge(Option<Position>),
    /// What a relay publishes that is fed. Answered by [`Response::Published`], or by [`Response::Carried`].
    PublishBy(Standing, Vec<Publish>),
}

impl Request {
    /// What it publishes, if it does.
    pub fn publishes(&self) -> Option<&[Publish]> {
        match self {
            Request::Publish(publishes) | Request::PublishBy(_, publishes) => Some(publishes),
            _ => None,
        }
    }
}

/// A channel's answer, by the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    Published(Published),
    Subscribed(Subscribed),
    Backlog(Backlog),
    History(HistoryPage),
    Members(MembersPage),
    Counts(Counts),
    /// A relay's: whose key it was asked about.
    Speaker(Speaker),
    /// Whether the relay is to go on reporting.
    Reported(bool),
    /// To a [`Follow`].
    Followed,
    Delivery(Delivery),
    Objects(ObjectsPage),
    Tree(Tree),
    ClientSummary(SummaryCounts),
    /// Up to where some are left, which nobody can read.
    Purged(Option<Position>),
    /// The same as [`Response::Published`], with what the relay is to be delivered. It says that it has it when it next
    /// publishes, or is asked.
    Carried(Published, Delivery),
    /// The same as [`Response::Counts`], and how many messages the channel took in the last [`LATELY_MS`].
    ///
    /// [`LATELY_MS`]: crate::limits::LATELY_MS
    Counted(Counts, u32),
}

impl Response {
    /// How many are on a channel, and how many messages it took lately; earlier builds do not say that.
    pub fn counts(self) -> Option<(Counts, u32)> {
        match self {
            Response::Counted(counts, messages) => Some((counts, messages)),
            Response::Counts(counts) => Some((counts, 0)),
            _ => None,
        }
    }

    /// The answer to publishes.
    pub fn published(published: Published, carried: Option<Delivery>) -> Response {
        match carried {
            Some(delivery) => Response::Carried(published, delivery),
            None => Response::Published(published),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    pub epoch: String,
    /// Everything after this position will be delivered.
    pub position: Position,
    /// How many are present.
    pub members: usize,
    /// Whether the relay is to report whom it has.
    pub reports: bool,
    /// Whether by the channel itself: otherwise the relay above is to be asked, with a [`Follow`].
    pub direct: bool,
}

/// Asks a relay to feed another one, as a channel does, with everything after a position. Answered by
/// [`Response::Followed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Follow {
    pub channel: ChannelName,
    pub relay: RelayName,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// Everything after a channelSerial.
    After { position: Position, epoch: String },
    /// The last messages.
    Last { messages: usize },
    /// What came since a time, at most so many of the last messages.
    Since { time_ms: u64, messages: usize },
}

/// A piece of the log that ends at `through`; with `more`, another call continues from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    pub epoch: String,
    /// Why the place asked for can't be continued from; then there are no entries, and `through` is the present.
    pub lost: Option<ErrorInfo>,
    /// The entries follow this position.
    pub after: Position,
    pub entries: Packed,
    pub through: Position,
    pub more: bool,
    /// How many are present, at present.
    pub members: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MembersQuery {
    /// Continue behind this member.
    pub after: Option<MemberKey>,
    pub limit: usize,
    pub client_id: Option<String>,
    pub connection_id: Option<String>,
}

/// Members in the order of their keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MembersPage {
    /// As entries of one event each, at the place of what the member did last.
    pub members: Packed,
    /// The last member of the page, when more follow.
    pub next: Option<MemberKey>,
}

/// How many are on a channel, and whether it is in use: somebody is there, or was a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub occupancy: Occupancy,
    pub is_active: bool,
}

/// Asks a relay whom it has on a channel, and which connections it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub channel: ChannelName,
    pub connections: Vec<String>,
    /// The channel's occupancy, for those who are told. From now on the relay is to report changes.
    pub occupancy: Option<Occupancy>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// Those of a [`Probe`] that the relay doesn't hold, or that are not attached to the channel.
    pub missing: Vec<String>,
    pub local_occupancy: LocalOccupancy,
}

/// A connection that a relay holds, as the one who has its key may speak for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speaker {
    pub connection_id: String,
    pub client_id: Identity,
}

/// What a channel sends a relay: everything after `prior`, through `through`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub channel: ChannelName,
    pub epoch: String,
    pub prior: Position,
    pub through: Position,
    /// The log no longer has what follows the relay's position; readers must be told.
    pub gap: bool,
    pub entries: Packed,
    /// How many are present, at present.
    pub members: usize,
}

/// What the relay makes of a [`Delivery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivered {
    /// The relay stands here now. Behind what was sent: it needs what lies between.
    At(Position),
    /// Nobody listens here any more; take the relay off the list.
    Unsubscribed,
    /// The relay still asks the channel where it stands, and took nothing.
    NotYet,
}

/// An answer, or the coded error instead.
pub type Answer<T> = Result<T, ErrorInfo>;

/// A call from its bytes. Fails with 50000, to be tried again, when another deploy wrote it and this one cannot read
/// it.
pub fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, ErrorInfo> {
    pinned::decode(bytes).map_err(|unreadable| Code::Internal.because(format!("a call between objects {unreadable}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OBJECTS_KEPT_MS;
    use crate::model::name::AppId;

    #[test]
    fn a_call_is_pinned() {
        let to = Address { app: AppId::parse("demo").unwrap(), channel: ChannelName::parse("c").unwrap() };
        let call = ChannelCall {
            to,
            rules: Rules {
                retention_ms: 5,
                max_members: 7,
                interval_ms: 9,
                conflation_key: Some("k".to_owned()),
                mutable: true,
                push: true,
                persist_last: true,
                messages_per_second: 5,
                rest_messages_per_second: 6,
                commit_interval_ms: 3,
                hooks: Vec::new(),
                objects_kept_ms: 11,
            },
            request: Request::Subscribe(RelayName::from("demo/0".to_owned()), LocalOccupancy::default()),
        };
        let bytes = pinned::encode(&call);
        assert_eq!(
            bytes,
            b"\x09\x04demo\x01c\x05\x07\x09\x01\x01k\x01\x01\x01\x05\x06\x03\0\x0b\x01\x06demo/0\0\0\0\0\0\0\0\0\0"
        );
        assert_eq!(decode::<ChannelCall>(&bytes).unwrap(), call);
        let earlier = |version: u8, end: usize| [&[version], &bytes[1..end], &bytes[22..]].concat();
        let [first, second, third, fourth] =
            [(1, 14), (2, 15), (3, 17), (5, 21)].map(|(version, end)| earlier(version, end));
        let rules = |bytes: &[u8]| decode::<ChannelCall>(bytes).unwrap().rules;
        let before = Rules { objects_kept_ms: OBJECTS_KEPT_MS, ..call.rules.clone() };
        assert_eq!(rules(&fourth), before);
        let before = Rules { messages_per_second: 0, rest_messages_per_second: 0, commit_interval_ms: 0, ..before };
        assert_eq!(rules(&third), before);
        let before = Rules { push: false, persist_last: false, ..before };
        assert_eq!(rules(&first), Rules { mutable: false, ..before.clone() });
        assert_eq!(rules(&second), before);
        let [of_version_6, of_version_7, of_version_8] =
            [b"\x06", b"\x07", b"\x08"].map(|version| [version, &bytes[1..]].concat());
        assert_eq!(decode::<ChannelCall>(&of_version_8).unwrap(), call);
        assert_eq!(decode::<ChannelCall>(&of_version_7).unwrap(), call);
        assert_eq!(decode::<ChannelCall>(&of_version_6).unwrap(), call);
        let more = [&of_version_6[..], b"\0"].concat();
        assert!(decode::<ChannelCall>(&more).is_err(), "nothing follows a call");
        let query = VersionsQuery { serial: "s".into(), limit: 9, after: Some(3), ..VersionsQuery::default() };
        let versions = ChannelCall { request: Request::Versions(query), ..call };
        let bytes = pinned::encode(&versions);
        let before_times = [b"\x06", &bytes[1..bytes.len() - 2]].concat();
        assert_eq!(decode::<ChannelCall>(&before_times).unwrap(), versions);
    }

    #[test]
    fn a_delivery_is_pinned() {
        let channel = ChannelName::parse("c").unwrap();
        let (prior, through, entries) = (Position(1), Position(2), Packed::default());
        let delivery = Delivery { channel, epoch: "s".into(), prior, through, gap: false, entries, members: 3 };
        let bytes = pinned::encode(&delivery);
        assert_eq!(bytes, b"\x01\x01c\x01s\x01\x02\x00\x00\x03");
        assert_eq!(decode::<Delivery>(&bytes).unwrap(), delivery);
    }

    #[test]
    fn a_follow_is_pinned() {
        let channel = ChannelName::parse("c").unwrap();
        let follow = Follow { channel, relay: RelayName::from("demo/17".to_owned()), position: Position(5) };
        assert_eq!(pinned::encode(&follow), b"\x01\x01c\x07demo/17\x05");
        assert_eq!(decode::<Follow>(&pinned::encode(&follow)).unwrap(), follow);
    }

    #[test]
    fn a_refusal_is_pinned() {
        assert_eq!(pinned::encode(&Refusal::Full), [1, 0]);
        assert_eq!(pinned::encode(&Refusal::Busy { for_ms: 5 }), [1, 1, 5]);
        assert_eq!(pinned::encode(&Refusal::Error(Code::TokenRevoked.into()))[..2], [1, 2]);
    }

    #[test]
    fn other_versions_and_damage_are_refused() {
        for bytes in [&[][..], &[2, 0], &[1], &[1, 0xff]] {
            assert!(decode::<Delivered>(bytes).unwrap_err().is(Code::Internal));
        }
    }
}
