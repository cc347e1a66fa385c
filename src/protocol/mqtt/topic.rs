//! Which channel a topic is, and the other way round: `/` in a topic is `:` in a channel's name, and `:` is `/`. So
//! each has one name in the other's words, and the first level of a topic is the channel's namespace.

use super::{Fault, reason};
use crate::error::{Code, ErrorInfo};
use crate::model::name::ChannelName;

/// The channel of a topic that is published to. Fails with 40010.
pub fn channel(topic: &str) -> Result<String, ErrorInfo> {
    let wrong = |why: &str| Err(Code::BadChannelName.because(format!("this is no topic: {why}")));
    if topic.contains(['+', '#']) {
        return wrong("it holds a wildcard");
    }
    if topic.starts_with('$') {
        return wrong("those that begin with '$' are the server's, and it has none");
    }
    if topic.starts_with('[') {
        return wrong("it begins with '['");
    }
    if topic.split('/').any(str::is_empty) {
        return wrong("it has an empty level");
    }
    let name = ChannelName::parse(&swapped(topic))?;
    Ok(name.as_str().to_owned())
}

/// The channel of a filter that is subscribed to: a filter here is a topic. Fails with the reason code of SUBACK.
pub fn subscribed(filter: &str) -> Result<String, Fault> {
    if filter.starts_with("$share/") {
        return Err(Fault::new(reason::NO_SHARED, "there are no shared subscriptions"));
    }
    if has_wildcard(filter) {
        return Err(Fault::new(reason::NO_WILDCARD, "there are no wildcards; subscribe to each topic"));
    }
    channel(filter).map_err(|error| Fault::new(reason::BAD_FILTER, error.message))
}

/// Whether a filter is one with wildcards in their places.
fn has_wildcard(filter: &str) -> bool {
    filter == "#" || filter.ends_with("/#") || filter.split('/').any(|level| level == "+")
}

/// The topic of a channel.
pub fn of(channel: &str) -> String {
    swapped(channel)
}

fn swapped(name: &str) -> String {
    let swap = |character| match character {
        '/' => ':',
        ':' => '/',
        other => other,
    };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_one_channel() {
        for (topic, name) in [("scores", "scores"), ("chat/room/1", "chat:room:1"), ("a:b/c", "a/b:c"), ("Ä b", "Ä b")]
        {
            assert_eq!(channel(topic).unwrap(), name);
            assert_eq!(of(name), topic);
        }
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for wrong in ["", "/a", "a/", "a//b", "a/+", "#", "$SYS/x", "[?rewind=1]a", "a\nb", &"x".repeat(3_000)] {
            assert!(channel(wrong).unwrap_err().is(Code::BadChannelName), "{wrong}");
        }
    }

    #[test]
    fn filters_are_topics() {
        assert_eq!(subscribed("chat/1").unwrap(), "chat:1");
        let refused = |filter: &str| subscribed(filter).unwrap_err().reason;
        for filter in ["#", "a/#", "+", "a/+/b", "+/a"] {
            assert_eq!(refused(filter), reason::NO_WILDCARD, "{filter}");
        }
        assert_eq!(refused("$share/group/a"), reason::NO_SHARED);
        for filter in ["", "a+", "a/#/b", "a//b", "$SYS/a"] {
            assert_eq!(refused(filter), reason::BAD_FILTER, "{filter}");
        }
    }
}
