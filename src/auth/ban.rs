//! Keeping a client out of an app, or of some of its channels (protocol.md § 11.8). Owns what a ban says, and the bans
//! in force.
//!
//! A revocation ends tokens, and only those that can be revoked. A ban is of a clientId: whoever says that it is this
//! client is refused, by whatever key or token it comes.
//!
//! A ban with an interval is milder, a silence: the client stays, and may say something only so often, or never. One
//! silence can be of many clients: of all, or of all names that end in the same mark.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Identity;
use super::fields::Fields;
use super::resource::Resource;
use crate::base::maps::HashMap;
use crate::base::pinned::{self, Unreadable, Versioned};
use crate::error::{Code, ErrorInfo};
use crate::limits::{BAN_MAX_MS, BAN_REASON_MAX_BYTES, SILENCE_INTERVAL_MAX_MS};
use crate::model::name::ChannelName;

/// One ban, as it is stored and told to those who hold connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    pub client_id: String,
    /// The channels that it is of, as a resource of a capability names them; all of the app without one.
    pub channels: Option<String>,
    pub since_ms: u64,
    /// In force until it is lifted, without one. One that was lifted ended at 0.
    pub until_ms: Option<u64>,
    pub reason: String,
    /// Of a silence: how often the client may say something; never, if 0.
    pub interval_ms: Option<u32>,
}

/// Everyone, as a silence names them.
const EVERYONE: &str = "*";

/// Before the mark that many names may share: `*~x` is of every client whose name ends in `~x`.
const MARK: char = '~';

/// Version 1 had no silences.
impl Versioned for Ban {
    const VERSION: u8 = 2;

    fn read_earlier(version: u8, bytes: &mut &[u8]) -> Result<Ban, Unreadable> {
        let (client_id, channels, since_ms, until_ms, reason) = match version {
            1 => pinned::take(bytes)?,
            _ => return Err(Unreadable::Version(version)),
        };
        Ok(Ban { client_id, channels, since_ms, until_ms, reason, interval_ms: None })
    }
}

impl Ban {
    /// From a body. Fails with 40000, saying where and what, for a field that is wrong or unknown, and with 40012 for
    /// what is no client's name.
    pub fn from_value(body: &Value, now_ms: u64) -> Result<Ban, ErrorInfo> {
        let fields = Fields::of(body, "", &["clientId", "channel", "duration", "reason", "publishInterval"])?;
        let reason = fields.optional_text("reason")?.unwrap_or_default().to_owned();
        if reason.len() > BAN_REASON_MAX_BYTES || reason.contains(char::is_control) {
            return Err(fields.wrong("reason", &format!("must have at most {BAN_REASON_MAX_BYTES} bytes, on one line")));
        }
        let duration = "must be whole milliseconds, of ten years at most";
        let duration_ms = fields.whole("duration", duration)?;
        if duration_ms.is_some_and(|ms| !(1..=BAN_MAX_MS).contains(&ms)) {
            return Err(fields.wrong("duration", duration));
        }
        let interval_ms = interval_ms(&fields)?;
        let (client_id, channels) = subject(fields.text("clientId")?, fields.optional_text("channel")?)?;
        if interval_ms.is_none() && client_id == EVERYONE {
            return Err(Code::BadClientId.because("clientId must name one client, unless there is a publishInterval"));
        }
        let until_ms = duration_ms.map(|ms| now_ms + ms);
        Ok(Ban { client_id, channels, since_ms: now_ms, until_ms, reason, interval_ms })
    }

    /// As it is told when it is over.
    pub fn lifted(client_id: &str, channels: Option<&str>) -> Ban {
        let channels = channels.map(str::to_owned);
        let (client_id, reason) = (client_id.to_owned(), String::new());
        Ban { client_id, channels, since_ms: 0, until_ms: Some(0), reason, interval_ms: None }
    }

    pub fn is_lifted(&self) -> bool {
        self.until_ms == Some(0)
    }

    pub fn is_in_force(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until_ms| until_ms > now_ms)
    }

    /// Of silences, the greater the longer; the greatest of those for good.
    pub fn strictness(&self) -> u32 {
        self.interval_ms.unwrap_or_default().wrapping_sub(1)
    }

    /// Names whom it keeps out of what. A clientId holds no line break.
    pub fn key(&self) -> String {
        [&self.client_id, "\n", self.channels.as_deref().unwrap_or_default()].concat()
    }

    /// As an operator reads it.
    pub fn to_json(&self) -> Value {
        json!({
            "clientId": self.client_id,
            "channel": self.channels,
            "since": self.since_ms,
            "until": self.until_ms,
            "reason": self.reason,
            "publishInterval": self.interval_ms,
        })
    }

    /// What the client is told.
    pub fn refusal(&self, now_ms: u64) -> ErrorInfo {
        let mut text = match (self.interval_ms, &self.channels) {
            (None, None) => "the client is banned from this app".to_owned(),
            (None, Some(_)) => "the client is banned from this channel".to_owned(),
            (Some(_), None) => "the client is muted in this app".to_owned(),
            (Some(_), Some(_)) => "the client is muted on this channel".to_owned(),
        };
        if let Some(until_ms) = self.until_ms {
            text += &format!("; try again in {} s", until_ms.saturating_sub(now_ms).div_ceil(1_000));
        }
        if !self.reason.is_empty() {
            text += &format!(" ({})", self.reason);
        }
        Code::Forbidden.because(text)
    }
}

/// Fails with 40000 for what is no interval of a silence.
fn interval_ms(fields: &Fields<'_>) -> Result<Option<u32>, ErrorInfo> {
    let what = "must be whole milliseconds, from 0, which is never, to an hour";
    let interval_ms = fields.whole("publishInterval", what)?;
    let as_ms = |ms| u32::try_from(ms).ok().filter(|ms| *ms <= SILENCE_INTERVAL_MAX_MS);
    interval_ms.map(|ms| as_ms(ms).ok_or_else(|| fields.wrong("publishInterval", what))).transpose()
}

/// Whom a ban keeps out of which channels. Fails with 40012 for what is no client's name, and with 40000 for a pattern
/// that names no channel.
pub fn subject(client_id: &str, channels: Option<&str>) -> Result<(String, Option<String>), ErrorInfo> {
    let name = Identity::parse(Some(client_id))?.name().unwrap_or(EVERYONE).to_owned();
    let channels = channels.map(Resource::parse).transpose()?;
    Ok((name, channels.map(|channels| channels.as_str().to_owned())))
}

/// The bans of one app, at most [`BANS_MAX`](crate::limits::BANS_MAX).
#[derive(Clone, Debug, Default)]
pub struct Bans {
    by_client: HashMap<String, Vec<(Option<Resource>, Ban)>>,
}

impl Bans {
    /// Takes one into force, in the place of an earlier one of the same client and channels, or takes that away.
    pub fn put(&mut self, ban: Ban) {
        let channels = ban.channels.as_deref().map(Resource::parse).transpose();
        // What names no channel was refused when it was made.
        let Ok(channels) = channels else { return };
        let bans = self.by_client.entry(ban.client_id.clone()).or_default();
        bans.retain(|(_, known)| known.channels != ban.channels);
        if ban.is_lifted() {
            if bans.is_empty() {
                self.by_client.remove(&ban.client_id);
            }
            return;
        }
        bans.push((channels, ban));
    }

    /// What keeps a client out of the app, or also of this channel.
    pub fn of(&self, client_id: &str, channel: Option<&ChannelName>, now_ms: u64) -> Option<&Ban> {
        let holds = |(channels, ban): &&(Option<Resource>, Ban)| {
            let is_of = match (channels, channel) {
                (None, _) => true,
                (Some(channels), Some(channel)) => channels.matches(&channel.owner()),
                (Some(_), None) => false,
            };
            is_of && ban.interval_ms.is_none() && ban.is_in_force(now_ms)
        };
        self.by_client.get(client_id)?.iter().find(holds).map(|(_, ban)| ban)
    }

    /// The strictest silence that is about what is said on a channel in the speaker's own names (`None` for one without
    /// a name), and in those of others; and whose it is. A moderator may speak for others in slow mode, and for nobody
    /// who is mute.
    pub fn silence_of<'n>(
        &self,
        own: impl Iterator<Item = Option<&'n str>>,
        others: impl Iterator<Item = &'n str>,
        channel: &ChannelName,
        is_moderator: bool,
        now_ms: u64,
    ) -> Option<(Option<&'n str>, &Ban)> {
        let silence = |name, is_exempt| Some((name, self.silence(name, channel, is_exempt, now_ms)?));
        let own = own.filter_map(|name| silence(name, is_moderator));
        let binds = |(_, silence): &(_, &Ban)| !is_moderator || silence.interval_ms == Some(0);
        let others = others.filter_map(|name| silence(Some(name), true)).filter(binds);
        own.chain(others).max_by_key(|(_, silence)| silence.strictness())
    }

    /// The strictest silence of a client on a channel. One of everyone is not of moderators, nor of those with a key.
    pub fn silence(
        &self,
        client_id: Option<&str>,
        channel: &ChannelName,
        is_moderator: bool,
        now_ms: u64,
    ) -> Option<&Ban> {
        let marked = client_id.and_then(|name| name.rfind(MARK).map(|at| [EVERYONE, &name[at..]].concat()));
        let names = [client_id, marked.as_deref(), (!is_moderator).then_some(EVERYONE)];
        let bans = names.into_iter().flatten().filter_map(|name| self.by_client.get(name)).flatten();
        let is_of =
            |channels: &Option<Resource>| channels.as_ref().is_none_or(|channels| channels.matches(&channel.owner()));
        bans.filter(|(channels, ban)| ban.interval_ms.is_some() && is_of(channels) && ban.is_in_force(now_ms))
            .map(|(_, ban)| ban)
            .max_by_key(|ban| ban.strictness())
    }

    /// Whether a client may be here, or on this channel. Fails with 40300 when it is banned.
    pub fn admit(&self, client_id: Option<&str>, channel: Option<&ChannelName>, now_ms: u64) -> Result<(), ErrorInfo> {
        let ban = client_id.and_then(|client_id| self.of(client_id, channel, now_ms));
        ban.map_or(Ok(()), |ban| Err(ban.refusal(now_ms)))
    }

    /// Drops those whose time is over.
    pub fn forget(&mut self, now_ms: u64) {
        for bans in self.by_client.values_mut() {
            bans.retain(|(_, ban)| ban.is_in_force(now_ms));
        }
        self.by_client.retain(|_, bans| !bans.is_empty());
    }

    pub fn contains(&self, ban: &Ban) -> bool {
        let bans = self.by_client.get(&ban.client_id);
        bans.is_some_and(|bans| bans.iter().any(|(_, known)| known.channels == ban.channels))
    }

    pub fn len(&self) -> usize {
        self.by_client.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(client_id: &str, channels: Option<&str>, until_ms: Option<u64>) -> Ban {
        Ban { since_ms: 0, until_ms, ..Ban::lifted(client_id, channels) }
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    #[test]
    fn a_ban_is_of_one_client_in_its_channels_for_its_time() {
        let mut bans = Bans::default();
        bans.put(ban("ann", Some("chat:*"), Some(100)));
        bans.put(ban("ben", None, None));
        let holds = |name: &str, of: Option<&str>, now_ms| bans.of(name, of.map(channel).as_ref(), now_ms).is_some();
        assert!(holds("ann", Some("chat:room"), 99) && holds("ann", Some("[?rewind=1]chat:room"), 99));
        assert!(!holds("ann", Some("chat:room"), 100), "its time is over");
        assert!(!holds("ann", Some("news"), 99) && !holds("ann", None, 99) && !holds("cid", Some("chat:room"), 0));
        assert!(holds("ben", None, u64::MAX) && holds("ben", Some("news"), u64::MAX));
    }

    #[test]
    fn a_ban_is_lifted_alone() {
        let mut bans = Bans::default();
        bans.put(ban("ann", Some("a"), None));
        bans.put(ban("ann", None, None));
        bans.put(Ban::lifted("ann", None));
        assert_eq!((bans.len(), bans.of("ann", None, 0)), (1, None));
        assert!(bans.of("ann", Some(&channel("a")), 0).is_some());
        bans.put(Ban::lifted("ann", Some("a")));
        assert!(bans.is_empty());
    }

    #[test]
    fn the_strictest_silence_holds_and_keeps_nobody_out() {
        let mut bans = Bans::default();
        let silence = |client_id: &str, ms| Ban { interval_ms: Some(ms), ..ban(client_id, Some("chat"), None) };
        let silent = |bans: &Bans, name: Option<&str>, is_moderator| {
            bans.silence(name, &channel("chat"), is_moderator, 0).map(|ban| ban.interval_ms)
        };
        bans.put(silence("*", 5_000));
        assert_eq!(silent(&bans, Some("ann~x"), false), Some(Some(5_000)));
        assert_eq!(silent(&bans, None, false), Some(Some(5_000)), "nor does one without a name get around it");
        assert_eq!(silent(&bans, Some("host"), true), None);
        bans.put(silence("*~x", 0));
        bans.put(silence("ann~x", 9_000));
        assert_eq!(silent(&bans, Some("ann~x"), false), Some(Some(0)));
        assert_eq!(silent(&bans, Some("ben~x"), true), Some(Some(0)), "whatever name the seat takes");
        assert_eq!(silent(&bans, Some("ben~y"), true), None);
        assert_eq!(bans.silence(Some("ann~x"), &channel("news"), false, 0), None);
        assert!(bans.admit(Some("ann~x"), Some(&channel("chat")), 0).is_ok(), "reading goes on");
        bans.put(Ban::lifted("*~x", Some("chat")));
        assert_eq!(silent(&bans, Some("ann~x"), false), Some(Some(9_000)));
    }

    #[test]
    fn those_whose_time_is_over_are_forgotten() {
        let mut bans = Bans::default();
        bans.put(ban("ann", None, Some(5)));
        bans.put(ban("ben", None, Some(6)));
        bans.forget(5);
        assert_eq!((bans.len(), bans.of("ben", None, 5).is_some()), (1, true));
    }

    #[test]
    fn a_client_is_told_for_how_long_and_why() {
        let body = json!({"clientId": "ann", "channel": "chat:*", "duration": 1_500, "reason": "spam"});
        let ban = Ban::from_value(&body, 1_000).unwrap();
        assert_eq!((ban.since_ms, ban.until_ms), (1_000, Some(2_500)));
        let refusal = ban.refusal(1_000);
        assert_eq!(refusal.message, "the client is banned from this channel; try again in 2 s (spam)");
        assert!(refusal.is(Code::Forbidden));
        let forever = Ban::from_value(&json!({"clientId": "ann"}), 1_000).unwrap();
        assert_eq!(forever.refusal(1_000).message, "the client is banned from this app");
        let muted = |channels| Ban { interval_ms: Some(0), ..self::ban("ann", channels, None) }.refusal(0).message;
        assert_eq!(muted(None), "the client is muted in this app");
        assert_eq!(muted(Some("chat")), "the client is muted on this channel");
    }

    #[test]
    fn what_names_nobody_or_nothing_is_refused() {
        for (body, code) in [
            (json!([]), Code::BadRequest),
            (json!({}), Code::BadRequest),
            (json!({"clientId": 5}), Code::BadRequest),
            (json!({"clientId": ""}), Code::BadClientId),
            (json!({"clientId": "*"}), Code::BadClientId),
            (json!({"clientId": "a\nb"}), Code::BadClientId),
            (json!({"clientId": "a", "channel": "[what]x"}), Code::BadRequest),
            (json!({"clientId": "a", "duration": 0}), Code::BadRequest),
            (json!({"clientId": "a", "duration": BAN_MAX_MS + 1}), Code::BadRequest),
            (json!({"clientId": "a", "reason": "a\nb"}), Code::BadRequest),
            (json!({"clientId": "a", "until": 5}), Code::BadRequest),
            (json!({"clientId": "a", "publishInterval": -1}), Code::BadRequest),
            (json!({"clientId": "a", "publishInterval": SILENCE_INTERVAL_MAX_MS + 1}), Code::BadRequest),
        ] {
            let error = Ban::from_value(&body, 0).unwrap_err();
            assert!(error.is(code), "{body}: {error}");
        }
    }
}
