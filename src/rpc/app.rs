//! Calls to an app's object, and what it tells the relays that hold its clients.

use serde::{Deserialize, Serialize};

use super::{Act, AdminCall, AdminResponse, Answer, DeadLetters, HookNews, HookPage, HookReport, Note};
use super::{PushRequest, PushResponse, RelayName};
use crate::auth::{Ban, Grant, Revocation};
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::model::name::{AppId, ChannelName};
use crate::stats::{Report, Taken, Tally, Unit};

/// A request to an app. The object is named by the app's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppCall {
    pub app: AppId,
    pub request: AppRequest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AppRequest {
    /// Make it: its configuration as JSON, and the channels that get members with it, a line each. Answered by
    /// [`AppResponse::Done`].
    Create { config: String, channels: String },
    /// End it for good. Answered by [`AppResponse::Channels`]: those that it was made with.
    Delete,
    /// What it was made with. Answered by [`AppResponse::Config`].
    Config,
    /// Remember that this was used. Answered by [`AppResponse::Fresh`].
    Nonce { key: String, forget_at_ms: u64 },
    /// Take these into force, and tell all relays. Answered by [`AppResponse::Revoked`].
    Revoke(Vec<Revocation>),
    /// Whether a grant is void by now. Answered by [`AppResponse::Void`].
    Check(Grant),
    /// This name is on the list, or no longer: that of the apps made at run time, and that of channels of a build that
    /// did not number its calls. Answered by [`AppResponse::Done`].
    List { channel: ChannelName, active: bool },
    /// Channels in use whose names begin so, in order, behind that one. Answered by [`AppResponse::Channels`].
    Channels { prefix: String, after: String, limit: usize },
    /// Tell this relay of what changes, and of the app's end. Answered by [`AppResponse::Watching`].
    Watch(RelayName),
    /// Answered by [`AppResponse::Push`].
    Push(Box<PushRequest>),
    /// What an object counted. `reporter` names one life of its memory. Answered by [`AppResponse::Done`], or
    /// [`AppResponse::Observed`].
    Report { reporter: String, report: Box<Report> },
    /// Answered by [`AppResponse::Stats`].
    Stats(StatsQuery),
    /// All that was ever counted. Answered by [`AppResponse::Total`].
    Total,
    /// Add these to the statistics, for a test suite. Answered by [`AppResponse::Done`].
    Fixtures(Vec<(u64, Tally)>),
    /// Answered by [`AppResponse::Admin`].
    Admin(Box<AdminCall>),
    /// How webhooks of a channel fare, as an earlier build tells it. Answered by [`AppResponse::Done`].
    HookReport(Box<HookReport>),
    /// What is known of all of them. Answered by [`AppResponse::Hooks`].
    Hooks,
    /// How webhooks of a channel fare. Answered by [`AppResponse::Done`].
    HookNews(Box<HookNews>),
    /// So many of what was given up before that number, the last first. Answered by [`AppResponse::DeadLetters`].
    DeadLetters { before: u64, limit: usize },
    /// This channel is in use, or no longer. That it is not counts only for what it said before: a call that comes
    /// late, and was given up, must not take it off again. Answered by [`AppResponse::Done`].
    ListChannel { channel: ChannelName, active: bool, number: u64 },
    /// Keep what these apps counted; it is asked of the deployment. Answered by [`AppResponse::Sum`].
    Sum(Vec<(AppId, Tally)>),
}

impl AppCall {
    /// What the list of apps made at run time is to be told once this was done. It is a list of names, as that of an
    /// app's channels is.
    pub fn listing(&self) -> Option<AppCall> {
        let active = match self.request {
            AppRequest::Create { .. } => true,
            AppRequest::Delete => false,
            _ => return None,
        };
        let channel = ChannelName::parse(self.app.as_str()).ok()?;
        Some(AppCall { app: AppId::deployment(), request: AppRequest::List { channel, active } })
    }
}

impl AppCall {
    /// What is noted once this was done.
    pub fn note(&self) -> Option<&Note> {
        match &self.request {
            AppRequest::Admin(call) => call.note.as_ref(),
            _ => None,
        }
    }

    /// What the deployment is to note of it: it keeps the entries of all apps, also of those that are gone.
    pub fn copy(&self) -> Option<AppCall> {
        let note = self.note().filter(|_| self.app != AppId::deployment())?.clone();
        let request = AppRequest::Admin(Box::new(AdminCall { note: Some(note), act: Act::Note }));
        Some(AppCall { app: AppId::deployment(), request })
    }
}

/// Intervals of statistics: those that lie between two minutes, both included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsQuery {
    pub unit: Unit,
    pub from: u64,
    pub to: u64,
    pub forwards: bool,
    pub limit: usize,
}

impl AppRequest {
    /// Whether it may be asked again when no answer came. That a nonce is new is told to one only.
    pub fn may_be_repeated(&self) -> bool {
        !matches!(self, AppRequest::Nonce { .. })
    }

    /// Whether what was known of the app before may be wrong after.
    pub fn changes_app(&self) -> bool {
        match self {
            AppRequest::Create { .. } | AppRequest::Delete => true,
            AppRequest::Admin(call) => matches!(call.act, Act::Configure(_)),
            _ => false,
        }
    }
}

/// An app's answer, by the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AppResponse {
    Done,
    /// `None` when it was not made at run time, or is no more.
    Config(Option<String>),
    /// Whether it was used for the first time.
    Fresh(bool),
    /// One outcome for each revocation, in order.
    Revoked(Vec<Answer<()>>),
    Void(bool),
    /// By a build that knew no bans.
    Watched(Watched),
    /// A line each: no name holds a line break.
    Channels(String),
    Push(PushResponse),
    /// By their first minutes; one more than was asked for when others follow.
    Stats(Vec<(u64, Tally)>),
    Total(Box<Tally>),
    Watching(Box<Watching>),
    Admin(AdminResponse),
    Hooks(HookPage),
    DeadLetters(DeadLetters),
    /// The same as [`AppResponse::Done`], to a report, while somebody looks at the statistics.
    Observed,
    /// All that the deployment and its apps ever counted, and how many of the apps that were told are not in it.
    Sum {
        total: Box<Tally>,
        left_out: usize,
    },
}

/// What became of a report.
pub fn taken(answer: &Answer<AppResponse>) -> Taken {
    match answer {
        Ok(AppResponse::Observed) => Taken::Observed,
        Ok(_) => Taken::Yes,
        Err(_) => Taken::No,
    }
}

/// What a relay must know before it takes its first client in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watching {
    pub watched: Watched,
    pub bans: Vec<Ban>,
}

/// The same without bans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Names this watch. Another begins when the relay asks again.
    pub ticket: u64,
    /// Of an app made at run time.
    pub config: Option<String>,
    pub revocations: Vec<Revocation>,
}

/// What an app tells a relay that watches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub ticket: u64,
    pub news: News,
    /// Of the app's revisions, the last that the relay knows once it has taken it. A call that was given up may come
    /// behind later ones: what it says is old then. 0 from builds that did not say it.
    pub through: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum News {
    Revoked(Vec<Revocation>),
    Deleted,
    Changed(Box<Changes>),
}

/// What is new in an app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Of an app made at run time, where that has changed.
    pub config: Option<String>,
    pub revocations: Vec<Revocation>,
    /// In force, or lifted.
    pub bans: Vec<Ban>,
}

/// What the relay makes of a [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Noticed {
    Taken,
    /// It holds no client any more, or knows of no such watch; tell it nothing until it asks again.
    Unwatched,
}

/// Each version before lacks the last variants. Before version 5 a ban was another, before version 6 a caller of push,
/// and before version 7 what is asked of bans: calls with one are refused, to be tried again.
impl Versioned for AppCall {
    const VERSION: u8 = 8;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<AppCall, Unreadable> {
        earlier((2..=7).contains(&version), version, bytes, |call: &AppCall| match &call.request {
            AppRequest::Admin(call) => {
                version < 7 && matches!(call.act, Act::Bar(_)) || version < 5 && matches!(call.act, Act::Ban(_))
            }
            AppRequest::Push(request) => version < 6 && request.by().is_some(),
            _ => false,
        })
    }
}

/// The same of bans.
impl Versioned for Answer<AppResponse> {
    const VERSION: u8 = 6;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Answer<AppResponse>, Unreadable> {
        earlier((1..=5).contains(&version), version, bytes, |answer: &Answer<AppResponse>| match answer {
            _ if version >= 4 => false,
            Ok(AppResponse::Watching(watching)) => !watching.bans.is_empty(),
            Ok(AppResponse::Admin(AdminResponse::Bans(bans))) => !bans.is_empty(),
            Ok(AppResponse::Admin(AdminResponse::Barred(ban, _))) => ban.is_some(),
            _ => false,
        })
    }
}

/// The same of bans, which are as they were since version 3.
impl Versioned for Notice {
    const VERSION: u8 = 4;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Notice, Unreadable> {
        let has_bans = |news: &News| matches!(news, News::Changed(changes) if !changes.bans.is_empty());
        let (ticket, news) = earlier((1..=3).contains(&version), version, bytes, |(_, news): &(u64, News)| {
            version < 3 && has_bans(news)
        })?;
        Ok(Notice { ticket, news, through: 0 })
    }
}

/// What an earlier version wrote, unless it has something that was another then.
fn earlier<T: serde::de::DeserializeOwned>(
    is_readable: bool,
    version: u8,
    bytes: &mut &[u8],
    is_another: impl Fn(&T) -> bool,
) -> Result<T, Unreadable> {
    let value = if is_readable { pinned::take(bytes)? } else { return Err(Unreadable::Version(version)) };
    if is_another(&value) { Err(Unreadable::Version(version)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Identity, KeyName, Target};
    use crate::rpc::{Deed, Deeds, PushCaller, Speech};

    fn revocation() -> Revocation {
        Revocation {
            key_name: KeyName::parse("demo.k").unwrap(),
            target: Target::parse("clientId:ann").unwrap(),
            issued_before_ms: 1,
            applies_at_ms: 2,
        }
    }

    #[test]
    fn a_call_is_pinned() {
        let app = AppId::parse("demo").unwrap();
        let call = AppCall { app, request: AppRequest::Revoke(vec![revocation()]) };
        let bytes = pinned::encode(&call);
        assert_eq!(bytes, b"\x08\x04demo\x04\x01\x06demo.k\x0cclientId:ann\x01\x02");
        assert_eq!(pinned::decode(&bytes), Ok(call.clone()));
        for version in [b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x07"] {
            let earlier = [version, &bytes[1..]].concat();
            assert_eq!(pinned::decode(&earlier), Ok(call.clone()), "as the version before wrote it");
        }
    }

    #[test]
    fn calls_about_statistics_are_pinned() {
        let app = AppId::parse("demo").unwrap();
        let query = StatsQuery { unit: Unit::Hour, from: 1, to: 2, forwards: true, limit: 3 };
        let call = AppCall { app: app.clone(), request: AppRequest::Stats(query) };
        assert_eq!(pinned::encode(&call), b"\x08\x04demo\x0b\x01\x01\x02\x01\x03");
        let report = Report { minute: 5, revision: 6, tally: Tally::default() };
        let call = AppCall { app, request: AppRequest::Report { reporter: "r".to_owned(), report: report.into() } };
        assert_eq!(pinned::encode(&call), b"\x08\x04demo\x0a\x01r\x05\x06\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn sums_are_pinned() {
        let counted = vec![(AppId::parse("demo").unwrap(), Tally::default())];
        let call = AppCall { app: AppId::deployment(), request: AppRequest::Sum(counted) };
        assert_eq!(pinned::encode(&call), b"\x08\x01*\x14\x01\x04demo\0\0\0\0\0\0\0\0\0\0");
        let answer: Answer<AppResponse> = Ok(AppResponse::Sum { total: Tally::default().into(), left_out: 3 });
        assert_eq!(pinned::encode(&answer), b"\x06\0\x0f\0\0\0\0\0\0\0\0\0\0\x03");
    }

    #[test]
    fn a_notice_is_pinned() {
        let notice = Notice { ticket: 3, news: News::Revoked(vec![revocation()]), through: 9 };
        let bytes = pinned::encode(&notice);
        assert_eq!(bytes, b"\x04\x03\x00\x01\x06demo.k\x0cclientId:ann\x01\x02\x09");
        assert_eq!(pinned::decode(&bytes).as_ref(), Ok(&notice));
        let before = Notice { through: 0, ..notice };
        for version in [b"\x01", b"\x02", b"\x03"] {
            let earlier = [version, &bytes[1..bytes.len() - 1]].concat();
            assert_eq!(pinned::decode(&earlier).as_ref(), Ok(&before), "as the version before wrote it");
        }
        assert_eq!(pinned::encode(&Noticed::Unwatched), [1, 1]);
    }

    #[test]
    fn a_watch_is_pinned() {
        let watched = Watched { ticket: 3, config: Some("{}".into()), revocations: vec![] };
        let bytes = pinned::encode(&Ok::<_, crate::error::ErrorInfo>(AppResponse::Watched(watched.clone())));
        assert_eq!(bytes, b"\x06\x00\x05\x03\x01\x02{}\x00");
        let answer = Ok::<_, crate::error::ErrorInfo>(AppResponse::Watched(watched));
        assert_eq!(pinned::decode(&bytes).as_ref(), Ok(&answer));
        for version in [b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"] {
            let earlier = [version, &bytes[1..]].concat();
            assert_eq!(pinned::decode(&earlier).as_ref(), Ok(&answer), "as the version before wrote it");
        }
    }

    #[test]
    fn callers_of_push_of_an_earlier_build_are_refused() {
        let app = AppId::parse("demo").unwrap();
        let by = PushCaller { is_admin: false, proof: None, client_id: Identity::Named("ann".into()) };
        let of = |request: PushRequest| AppCall { app: app.clone(), request: AppRequest::Push(request.into()) };
        let asked = pinned::encode(&of(PushRequest::Device(by, "d1".into())));
        assert_eq!(asked, b"\x08\x04demo\x09\x04\x00\x00\x01\x03ann\x02d1");
        assert_eq!(pinned::decode::<AppCall>(&[&[5], &asked[1..]].concat()), Err(Unreadable::Version(5)));
        let key = of(PushRequest::Key { contact: "mailto:a@example.com".into() });
        let asked = pinned::encode(&key);
        assert_eq!(pinned::decode(&[&[5], &asked[1..]].concat()), Ok(key));
    }

    #[test]
    fn what_an_earlier_build_asks_of_bans_is_refused() {
        let app = AppId::parse("demo").unwrap();
        let channel = crate::model::name::ChannelName::parse("c").unwrap();
        let deed =
            Deed { channel: Some(channel), by: Some(0), others: vec![1], speech: Speech::Anew, moderates: false };
        let act = Act::Bar(Deeds { names: vec!["ann".into(), "ben".into()], deeds: vec![deed] });
        let call = AppCall { app, request: AppRequest::Admin(AdminCall { note: None, act }.into()) };
        let asked = pinned::encode(&call);
        assert_eq!(asked, b"\x08\x04demo\x0e\x00\x04\x02\x03ann\x03ben\x01\x01\x01c\x01\x00\x01\x01\x02\x00");
        assert_eq!(pinned::decode::<AppCall>(&[&[6], &asked[1..]].concat()), Err(Unreadable::Version(6)));
    }

    #[test]
    fn bans_of_an_earlier_build_are_refused_and_not_taken_for_others() {
        let ban = crate::auth::Ban::lifted("ann", None);
        let app = AppId::parse("demo").unwrap();
        let act = AdminCall { note: None, act: Act::Ban(ban.clone()) };
        let call = pinned::encode(&AppCall { app, request: AppRequest::Admin(act.into()) });
        assert_eq!(pinned::decode::<AppCall>(&[&[4], &call[1..]].concat()), Err(Unreadable::Version(4)));
        let changes = Changes { bans: vec![ban.clone()], ..Changes::default() };
        let notice = pinned::encode(&Notice { ticket: 3, news: News::Changed(changes.into()), through: 1 });
        assert_eq!(pinned::decode::<Notice>(&[&[2], &notice[1..]].concat()), Err(Unreadable::Version(2)));
        let answer: Answer<AppResponse> = Ok(AppResponse::Admin(AdminResponse::Barred(Some(ban), true)));
        let answer = pinned::encode(&answer);
        assert_eq!(pinned::decode::<Answer<AppResponse>>(&[&[3], &answer[1..]].concat()), Err(Unreadable::Version(3)));
        assert!(pinned::decode::<Answer<AppResponse>>(&[&[4], &answer[1..]].concat()).is_ok());
        assert_eq!(pinned::encode(&Ok::<_, crate::error::ErrorInfo>(AppResponse::Observed)), [6, 0, 14]);
    }
}
