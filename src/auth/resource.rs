//! The left side of a capability: a pattern of channel names (protocol.md § 11.3). Owns matching and narrowing.
//!
//! ```text
//! scores       that channel            ns:*      any deeper name          [meta]*   metachannels
//! *            any plain channel       a:*:c     exactly one segment      [*]*      every channel
//! foo*         the channel "foo*"      [*]x      x under any qualifier    [filter]x filtered views of x
//! ```
//!
//! Queues may be named, as tokens for other servers name them; there are none here to match.

use std::cmp::Ordering;

use super::fields::quoted;
use crate::error::{Code, ErrorInfo};
use crate::limits::CHANNEL_NAME_MAX_BYTES;
use crate::model::name::ChannelName;

/// The qualifiers that a resource may name; `*` is any, or none.
const QUALIFIERS: [&str; 4] = ["*", "filter", "meta", "queue"];

/// A pattern of channel names, ordered by its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource(String);

impl Resource {
    /// Fails with 40000 when the text names no channel, or a qualifier that is unknown.
    pub fn parse(text: &str) -> Result<Resource, ErrorInfo> {
        let (qualifier, plain) = split(text).ok_or_else(|| invalid(text, "has a '[' that is not closed"))?;
        if qualifier.is_some_and(|qualifier| !QUALIFIERS.contains(&qualifier)) {
            let known = QUALIFIERS.map(|known| format!("[{known}]")).join(", ");
            return Err(invalid(text, &format!("has an unknown qualifier; qualifiers are {known}")));
        }
        if plain.is_empty() {
            return Err(invalid(text, "names no channel"));
        }
        if text.len() > CHANNEL_NAME_MAX_BYTES {
            return Err(invalid(text, &format!("has more than {CHANNEL_NAME_MAX_BYTES} bytes")));
        }
        if text.contains(char::is_control) {
            return Err(invalid(text, "holds a control character"));
        }
        Ok(Resource(text.to_owned()))
    }

    /// `*`: any plain channel.
    pub fn everything() -> Resource {
        Resource("*".to_owned())
    }

    /// What there is not: no channel has such a name.
    pub fn nothing() -> Resource {
        Resource("[meta]nothing".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A resource that names a chat room means its channel, too.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        self.matches_channel(channel) || self.matches_room(channel)
    }

    /// Whether the channel is that of a room whose name this matches.
    pub fn matches_room(&self, channel: &ChannelName) -> bool {
        channel.room().is_some_and(|room| self.matches_name(channel, room))
    }

    pub fn matches_channel(&self, channel: &ChannelName) -> bool {
        self.matches_name(channel, channel.meta().unwrap_or(channel.plain()))
    }

    fn matches_name(&self, channel: &ChannelName, plain: &str) -> bool {
        let pattern = Pattern::of(self);
        let is_qualified = match pattern.qualifier {
            Some("*") => true,
            Some("filter") => channel.filter().is_some(),
            Some("meta") => channel.meta().is_some(),
            Some(_) => false,
            // A right to read all of a channel is none to make the server filter it, or to see what operators do.
            None => channel.filter().is_none() && channel.meta().is_none(),
        };
        is_qualified && pattern.matches(plain)
    }

    /// The pattern of exactly those names that both match; `None` when there are none, or none short enough to exist.
    pub fn narrow(&self, other: &Resource) -> Option<Resource> {
        let narrower = Pattern::of(self).narrow(&Pattern::of(other))?;
        (narrower.0.len() <= CHANNEL_NAME_MAX_BYTES).then_some(narrower)
    }

    /// Whether every name that `other` matches matches here too.
    pub fn covers(&self, other: &Resource) -> bool {
        self.narrow(other).as_ref() == Some(other)
    }
}

/// The qualifier and the rest; `None` when a qualifier is not closed.
fn split(text: &str) -> Option<(Option<&str>, &str)> {
    match text.strip_prefix('[') {
        None => Some((None, text)),
        Some(rest) => rest.split_once(']').map(|(qualifier, plain)| (Some(qualifier), plain)),
    }
}

fn invalid(text: &str, why: &str) -> ErrorInfo {
    Code::BadRequest.because(format!("capability's resource {} {why}", quoted(text)))
}

/// A resource taken apart. A `*` among the segments stands for one; `open` says that any deeper name follows.
struct Pattern<'a> {
    qualifier: Option<&'a str>,
    /// The segments in one text; `None` when there are none.
    closed: Option<&'a str>,
    open: bool,
}

impl<'a> Pattern<'a> {
    fn of(resource: &'a Resource) -> Pattern<'a> {
        let (qualifier, plain) = split(&resource.0).unwrap_or((None, &resource.0));
        let (closed, open) = match plain.strip_suffix('*') {
            Some("") => (None, true),
            Some(before) if before.ends_with(':') => (Some(&before[..before.len() - 1]), true),
            _ => (Some(plain), false),
        };
        Pattern { qualifier, closed, open }
    }

    fn segments(&self) -> impl Iterator<Item = &'a str> {
        self.closed.into_iter().flat_map(|closed| closed.split(':'))
    }

    fn matches(&self, plain: &str) -> bool {
        let mut names = plain.split(':');
        let begins = self.segments().all(|segment| names.next().is_some_and(|name| segment == "*" || segment == name));
        begins && names.next().is_some() == self.open
    }

    fn narrow(&self, other: &Pattern<'a>) -> Option<Resource> {
        let qualifier = narrow_part(self.qualifier, other.qualifier, Some("*"))?;
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.segments().collect(), other.segments().collect());
        let lengths_meet = match ours.len().cmp(&theirs.len()) {
            Ordering::Equal => self.open == other.open,
            Ordering::Less => self.open,
            Ordering::Greater => other.open,
        };
        let longer = if ours.len() > theirs.len() { &ours } else { &theirs };
        let rest = longer[ours.len().min(theirs.len())..].iter().map(|segment| Some(*segment));
        let begin = ours.iter().zip(&theirs).map(|(ours, theirs)| narrow_part(*ours, *theirs, "*"));
        let open = (self.open && other.open).then_some(Some("*"));
        let segments = begin.chain(rest).chain(open).collect::<Option<Vec<_>>>().filter(|_| lengths_meet)?;
        Some(Resource(qualifier.map(|qualifier| format!("[{qualifier}]")).unwrap_or_default() + &segments.join(":")))
    }
}

/// The part that both allow, when `any` allows every one.
fn narrow_part<T: PartialEq>(a: T, b: T, any: T) -> Option<T> {
    if a == any {
        return Some(b);
    }
    (b == any || a == b).then_some(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> Resource {
        Resource::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_as_the_table_says() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("name", &["name", "[?rewind=1]name"], &["name2", "Name", "name:x", "[filter=eA==]name"]),
            ("*", &["a", "a:b:c", "[?rewind=1]a", "*"], &["[meta]log", "[filter=eA==]a", "[filter=eA==?a=b]a"]),
            ("ns:*", &["ns:a", "ns:a:b", "ns:", "ns:*"], &["ns", "nsx:a", "xns:a"]),
            ("a:*:c", &["a:b:c", "a::c"], &["a:c", "a:b:b:c", "a:b:c:d", "a:b"]),
            ("a:*:*", &["a:b:c", "a:b:c:d"], &["a:b", "a"]),
            ("*:c", &["b:c"], &["c", "a:b:c"]),
            ("foo*", &["foo*"], &["foo", "foobar"]),
            ("a:foo*", &["a:foo*"], &["a:foobar"]),
            ("**", &["**"], &["a"]),
            ("[meta]*", &["[meta]log", "[meta]stats:minute"], &["log", "a:b", "[?a=b]log", "[filter=eA==]log"]),
            ("[meta]log", &["[meta]log"], &["log", "[?a=b]log", "[meta]channel.lifecycle"]),
            ("[meta]stats:*", &["[meta]stats:minute"], &["stats:minute", "[meta]log"]),
            ("[queue]*", &[], &["a"]),
            ("[filter]x", &["[filter=eA==]x", "[filter=eA==?a=b]x"], &["x", "[?a=b]x", "[filter=eA==]y"]),
            ("[filter]*", &["[filter=eA==]x", "[filter=eA==]a:b"], &["x"]),
            ("[filter]ns:*", &["[filter=eA==]ns:x"], &["ns:x", "[filter=eA==]x"]),
            ("[meta]x", &[], &["[filter=eA==]x"]),
            ("[*]x", &["x", "[?a=b]x", "[filter=eA==]x"], &["y", "[filter=eA==]y"]),
            ("[*]*", &["[meta]log", "x", "a:b", "[?a=b]x", "[filter=eA==]a:b"], &[]),
            ("[*]ns:*", &["ns:x", "[filter=eA==]ns:x"], &["ns", "x"]),
            ("x", &["x::$chat", "[?a=b]x::$chat"], &["x::$space", "x::$chat:y", "y::$chat", "[filter=eA==]x::$chat"]),
            ("x::$chat", &["x::$chat"], &["x"]),
            ("ns:*", &["ns:x::$chat", "ns::$chat"], &["nsx::$chat"]),
        ];
        for (pattern, yes, no) in cases {
            let matches = |name: &&&str| resource(pattern).matches(&ChannelName::parse(name).unwrap());
            assert!(yes.iter().all(|name| matches(&name)), "{pattern} must match {yes:?}");
            assert!(!no.iter().any(|name| matches(&name)), "{pattern} must not match {no:?}");
        }
    }

    #[test]
    fn the_narrower_pattern_wins() {
        let cases = [
            ("*", "ns:*", Some("ns:*")),
            ("ns:*", "ns:x", Some("ns:x")),
            ("ns:*", "ns", None),
            ("a:*:c", "a:b:*", Some("a:b:c")),
            ("a:*:c", "*:b:c", Some("a:b:c")),
            ("a:*:*", "a:*", Some("a:*:*")),
            ("a:b", "a:b:*", None),
            ("a:b", "a:c", None),
            ("[*]*", "[meta]log", Some("[meta]log")),
            ("[*]x", "x", Some("x")),
            ("[*]x", "*", Some("x")),
            ("[meta]*", "*", None),
            ("[meta]*", "[queue]*", None),
        ];
        for (a, b, expected) in cases {
            let expected = expected.map(resource);
            assert_eq!(resource(a).narrow(&resource(b)), expected, "{a} ∩ {b}");
            assert_eq!(resource(b).narrow(&resource(a)), expected, "{b} ∩ {a}");
        }
    }

    #[test]
    fn malformed_resources_are_refused() {
        for text in
            ["", "[meta]", "[", "[meta", "[what]x", "[]x", "[?a=b]x", "a\nb", &"x".repeat(CHANNEL_NAME_MAX_BYTES + 1)]
        {
            assert!(Resource::parse(text).unwrap_err().is(Code::BadRequest), "{text:?}");
        }
    }
}
