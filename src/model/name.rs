//! Parsed names: an app, a key, a channel. Parse once at the edge, then trust the type.
//!
//! Knows the syntax of names and their length limits (protocol.md § 7.3, § 11.1, § 16.1), nothing of what they name.

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{Code, ErrorInfo};
use crate::limits::{APP_ID_MAX_BYTES, CHANNEL_NAME_MAX_BYTES};

/// A text of letters and digits, one for each byte: random text of random bytes, safe in URLs and in every name. Each
/// holds almost six bits.
pub fn alphanumeric(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    bytes.iter().map(|byte| ALPHABET[usize::from(*byte) % 62] as char).collect()
}

/// The id of an app: `[A-Za-z0-9_-]+`, at most [`APP_ID_MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AppId(Rc<str>);

impl AppId {
    /// Fails with 40005 when the text is not an app id.
    pub fn parse(text: &str) -> Result<AppId, ErrorInfo> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > APP_ID_MAX_BYTES || !text.bytes().all(plain) {
            return Err(Code::BadKey
                .because(format!("an app's id must have 1 to {APP_ID_MAX_BYTES} letters, digits, '-' and '_'")));
        }
        Ok(AppId(text.into()))
    }

    /// Stands for what belongs to no app. None can have this id: it is no text that [`AppId::parse`] takes.
    pub fn deployment() -> AppId {
        AppId(DEPLOYMENT.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const DEPLOYMENT: &str = "*";

/// For calls between objects.
impl TryFrom<String> for AppId {
    type Error = ErrorInfo;

    fn try_from(text: String) -> Result<AppId, ErrorInfo> {
        if text == DEPLOYMENT { Ok(AppId::deployment()) } else { AppId::parse(&text) }
    }
}

/// A channel's name as it travels and as it routes: `[?rewind=1]scores` is the channel `scores` with a parameter, and
/// `[filter=…]scores` its view through a filter.
///
/// Equality is that of the whole text, because a client addresses each attachment by the text it used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName {
    text: Rc<str>,
    /// Where the plain name starts, behind a qualifier.
    plain_from: usize,
}

impl ChannelName {
    /// Fails with 40010 when the name is empty, too long, starts with `:`, holds a control character, or starts with
    /// any qualifier but a filter and parameters, unless it is one of the [`METACHANNELS`] (protocol.md § 16).
    /// What a filter says is not looked at here.
    pub fn parse(text: &str) -> Result<ChannelName, ErrorInfo> {
        if text.len() > CHANNEL_NAME_MAX_BYTES {
            return Err(
                Code::BadChannelName.because(format!("a channel name has at most {CHANNEL_NAME_MAX_BYTES} bytes"))
            );
        }
        if METACHANNELS.contains(&text) {
            return Ok(ChannelName { text: text.into(), plain_from: 0 });
        }
        let plain_from = qualifier_length(text).ok_or_else(|| {
            let metachannels = METACHANNELS.join(", ");
            invalid(&format!("only [?params] and [filter=base64] may precede it; the metachannels are {metachannels}"))
        })?;
        let plain = &text[plain_from..];
        if plain.is_empty() {
            return Err(invalid("it is empty"));
        }
        if plain.starts_with(':') {
            return Err(invalid("it starts with ':'"));
        }
        if plain.starts_with('[') {
            return Err(invalid("it has more than one qualifier"));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid("it holds a control character"));
        }
        Ok(ChannelName { text: text.into(), plain_from })
    }

    /// The channel on which relays note what connections do, for webhooks. No client can name it: it is no text that
    /// [`ChannelName::parse`] takes.
    pub fn connections() -> ChannelName {
        ChannelName { text: CONNECTIONS.into(), plain_from: 0 }
    }

    pub fn is_connections(&self) -> bool {
        self.as_str() == CONNECTIONS
    }

    /// The name behind `[meta]`: that of a metachannel, on which the app itself tells what happens in it.
    pub fn meta(&self) -> Option<&str> {
        self.text.strip_prefix(META)
    }

    /// Whether it is one of the [`METACHANNELS`].
    pub fn is_metachannel(&self) -> bool {
        self.meta().is_some() && !self.is_connections()
    }

    /// Whether clients publish there: it is no metachannel, nor that of connections.
    pub fn is_of_clients(&self) -> bool {
        self.meta().is_none()
    }

    /// The whole name, as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the channel itself, without a qualifier: what the object that owns it is called.
    pub fn plain(&self) -> &str {
        &self.text[self.plain_from..]
    }

    /// The channel that all attachments under differently qualified names share.
    pub fn owner(&self) -> ChannelName {
        match self.plain_from {
            0 => self.clone(),
            _ => ChannelName { text: self.plain().into(), plain_from: 0 },
        }
    }

    /// Whether that is this channel.
    pub fn is_of(&self, owner: &ChannelName) -> bool {
        self.plain() == owner.as_str()
    }

    /// `[?a=b&c=d]name`: channel parameters as a query string, behind a filter if there is one (protocol.md § 16.1).
    pub fn params(&self) -> Option<&str> {
        self.qualifier()?.split_once('?').map(|(_, params)| params)
    }

    /// `[filter=eA==]name`: the filter, in base64 (protocol.md § 16.2).
    pub fn filter(&self) -> Option<&str> {
        let filter = self.qualifier()?.strip_prefix(FILTER)?;
        Some(filter.split_once('?').map_or(filter, |(filter, _)| filter))
    }

    /// Fails with 40000 for a filtered channel, which is a view of another, to subscribe to and for nothing else.
    pub fn refuse_filter(&self) -> Result<(), ErrorInfo> {
        match self.filter() {
            None => Ok(()),
            Some(_) => Err(Code::BadRequest.because("a filtered channel can only be subscribed to")),
        }
    }

    /// The same, and 40160 for a metachannel, on which the app alone tells something.
    pub fn refuse_view(&self) -> Result<(), ErrorInfo> {
        match self.is_metachannel() {
            true => Err(Code::NotPermitted.because("a metachannel can only be subscribed to, and its history read")),
            false => self.refuse_filter(),
        }
    }

    fn qualifier(&self) -> Option<&str> {
        self.text[..self.plain_from].strip_prefix('[')?.strip_suffix(']')
    }

    /// The name of the chat room that the channel is.
    pub fn room(&self) -> Option<&str> {
        self.plain().strip_suffix(ROOM).filter(|room| !room.is_empty())
    }

    /// The part before the first `:`, if there is one: the namespace whose rules apply. No metachannel has one.
    pub fn namespace(&self) -> Option<&str> {
        self.plain().split_once(':').filter(|_| self.is_of_clients()).map(|(namespace, _)| namespace)
    }
}

/// How the names of metachannels begin.
pub const META: &str = "[meta]";

/// The statistics of the minute, channels that come into use and go out of it, and what operators do.
pub const STATISTICS: &str = "[meta]stats:minute";
pub const LIFECYCLE: &str = "[meta]channel.lifecycle";
pub const LOG: &str = "[meta]log";
pub const METACHANNELS: [&str; 3] = [STATISTICS, LIFECYCLE, LOG];

const CONNECTIONS: &str = "[meta]connection.lifecycle";

/// How the names of chat rooms' channels end.
pub const ROOM: &str = "::$chat";

/// The length of the leading `[…]`, 0 without one, `None` for one that no server knows.
fn qualifier_length(text: &str) -> Option<usize> {
    let Some(rest) = text.strip_prefix('[') else { return Some(0) };
    let inside = &rest[..rest.find(']')?];
    let (filter, params) = inside.split_once('?').map_or((inside, None), |(filter, params)| (filter, Some(params)));
    let is_known = match filter.strip_prefix(FILTER) {
        Some(filter) => !filter.is_empty(),
        None => filter.is_empty() && params.is_some(),
    };
    (is_known && params != Some("")).then_some(inside.len() + 2)
}

const FILTER: &str = "filter=";

fn invalid(why: &str) -> ErrorInfo {
    Code::BadChannelName.because(format!("invalid channel name: {why}"))
}

impl PartialEq for ChannelName {
    fn eq(&self, other: &ChannelName) -> bool {
        self.text == other.text
    }
}

impl Eq for ChannelName {}

impl std::hash::Hash for ChannelName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Lets maps keyed by name be asked with the text of a frame.
impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl PartialOrd for ChannelName {
    fn partial_cmp(&self, other: &ChannelName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ChannelName {
    fn cmp(&self, other: &ChannelName) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

/// For calls between objects, and what they store.
impl TryFrom<String> for ChannelName {
    type Error = ErrorInfo;

    fn try_from(text: String) -> Result<ChannelName, ErrorInfo> {
        if text == CONNECTIONS { Ok(ChannelName::connections()) } else { ChannelName::parse(&text) }
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> String {
        name.text.to_string()
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_any_text() {
        for name in
            ["scores", "a:b:c", "ünïcode ☃", "with/slash", "%2e%2e/", "a]b", &"x".repeat(CHANNEL_NAME_MAX_BYTES)]
        {
            let parsed = ChannelName::parse(name).unwrap();
            assert_eq!((parsed.as_str(), parsed.plain(), parsed.params()), (name, name, None));
        }
    }

    #[test]
    fn qualifiers_are_told_from_the_name() {
        let params = ChannelName::parse("[?rewind=1]ns:scores").unwrap();
        assert_eq!(params.params(), Some("rewind=1"));
        assert_eq!((params.plain(), params.namespace()), ("ns:scores", Some("ns")));
        assert_eq!(params.owner().as_str(), "ns:scores");
    }

    #[test]
    fn bad_names_are_refused_with_their_code() {
        let long = "x".repeat(CHANNEL_NAME_MAX_BYTES + 1);
        for name in
            ["", ":hell", "a\nb", "a\0b", "[", "[]x", "[?]x", "[what]x", "[?a=b]", "[?a=b]:x", "[?a=b][?a=b]x", &long]
        {
            assert!(ChannelName::parse(name).unwrap_err().is(Code::BadChannelName), "{name:?}");
        }
    }

    #[test]
    fn a_filter_stands_before_parameters() {
        let parts = |text: &str| {
            let name = ChannelName::parse(text).unwrap();
            let owned = |part: Option<&str>| part.map(str::to_owned);
            assert_eq!((name.as_str(), name.owner().as_str()), (text, "ns:x"));
            (owned(name.filter()), owned(name.params()))
        };
        assert_eq!(parts("[filter=eA==]ns:x"), (Some("eA==".into()), None));
        assert_eq!(parts("[filter=eA==?a=b&c=d]ns:x"), (Some("eA==".into()), Some("a=b&c=d".into())));
        assert_eq!(parts("[?filter=eA==]ns:x"), (None, Some("filter=eA==".into())));
        for name in
            ["[filter=]x", "[filter]x", "[filter=?a=b]x", "[filter=eA==?]x", "[filter=eA==]", "[filter=a][?b=c]x"]
        {
            assert!(ChannelName::parse(name).unwrap_err().is(Code::BadChannelName), "{name}");
        }
    }

    #[test]
    fn metachannels_are_those_that_say_something() {
        for name in METACHANNELS {
            let parsed = ChannelName::parse(name).unwrap();
            assert_eq!((parsed.as_str(), parsed.owner().as_str(), parsed.namespace()), (name, name, None));
            assert_eq!(parsed.meta(), name.strip_prefix("[meta]"));
        }
        for name in ["[meta]clientEvents:x", "[meta]", "[meta?rewind=1]log", "[?rewind=1][meta]log", CONNECTIONS] {
            let error = ChannelName::parse(name).unwrap_err();
            assert!(error.is(Code::BadChannelName), "{name}: {error}");
        }
    }

    #[test]
    fn app_ids_are_plain() {
        assert_eq!(AppId::parse("demo-1_A").unwrap().as_str(), "demo-1_A");
        for text in ["", "*", "a.b", "a/b", "a b", "ü", &"x".repeat(APP_ID_MAX_BYTES + 1)] {
            assert!(AppId::parse(text).is_err(), "{text:?}");
        }
    }
}
