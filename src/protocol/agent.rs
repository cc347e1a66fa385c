//! Which SDK a client says it is, where SDKs differ in what they need.

/// Whether a client that names itself so, in `agent` or `Ably-Agent`, has the SDK for one of these languages. Its name
/// is that of the language after `ably-`, and since 2026 after `ably-pubsub-`.
pub fn is_for(agent: &str, languages: &[&str]) -> bool {
    agent.split([' ', ',']).any(|token| {
        let Some(name) = token.strip_prefix("ably-").and_then(|name| name.split('/').next()) else { return false };
        languages.contains(&name.strip_prefix("pubsub-").unwrap_or(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sdk_is_known_by_its_language_under_either_name() {
        for (agent, expected) in [
            ("ably-python/3.1.4 python/3.13", true),
            ("ably-pubsub-python/4.0.0 ably-pubsub-server python/3.13", true),
            ("chat-x/1.0 ably-js/2.28.0", true),
            ("ably-pubsub-go/2.0.0 go/1.25", false),
            ("python/3.13", false),
            ("ably-pubsub-server", false),
            ("", false),
        ] {
            assert_eq!(is_for(agent, &["python", "js"]), expected, "{agent}");
        }
    }
}
