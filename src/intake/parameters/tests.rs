//! Which parameters each query has, and what they may be.

use super::*;

const QUERIES: [QueryOf; 18] = [
    QueryOf::Socket,
    QueryOf::Comet,
    QueryOf::Stream,
    QueryOf::History,
    QueryOf::Publish,
    QueryOf::Batch,
    QueryOf::Members,
    QueryOf::MembersOfMany,
    QueryOf::Objects,
    QueryOf::Annotations,
    QueryOf::ClientSummary,
    QueryOf::Chat,
    QueryOf::ChatHistory,
    QueryOf::ChatReaction,
    QueryOf::Channels,
    QueryOf::Token,
    QueryOf::Stats,
    QueryOf::Plain,
];

fn code(query_of: QueryOf, pairs: &[(&str, &str)], is_sdk: bool) -> u32 {
    let query: Vec<_> = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    check(query_of, &query, is_sdk).map_or_else(|error| error.code, |()| 0)
}

#[test]
fn no_query_lists_a_name_twice() {
    for query_of in QUERIES {
        let mut names: Vec<_> = query_of.known().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{query_of:?}");
    }
}

#[test]
fn what_sdks_send_is_let_in() {
    let node = [
        ("key", "a.b:c"),
        ("clientId", "ann"),
        ("echo", "false"),
        ("format", "msgpack"),
        ("heartbeats", "false"),
        ("v", "6"),
        ("agent", "ably-js/2.28.0 nodejs/20.1"),
        ("remainPresentFor", "1000"),
        ("resume", "key"),
    ];
    assert_eq!(code(QueryOf::Socket, &node, false), 0);
    let browser = [("access_token", "t"), ("stream", "false"), ("heartbeats", "true"), ("v", "6"), ("rnd", "123")];
    assert_eq!(code(QueryOf::Comet, &browser, false), 0);
    let old = [("v", "1.1"), ("lib", "js-web-1.1.22"), ("upgrade", "key"), ("connection_serial", "5")];
    assert_eq!(code(QueryOf::Socket, &old, false), 0);
    let dotnet =
        [("v", "2"), ("Ably-Agent", "ably-dotnet/1.2.16"), ("format", "json"), ("echo", "true"), ("mine", "1")];
    assert_eq!(code(QueryOf::Socket, &dotnet, false), 0);
    for query_of in QUERIES {
        assert_eq!(code(query_of, &[("v", "6"), ("agent", "x"), ("rnd", "1"), ("_", "2"), ("key", "k")], false), 0);
    }
    assert_eq!(code(QueryOf::History, &[("start", "1"), ("direction", "forwards"), ("limit", "5")], false), 0);
    assert_eq!(code(QueryOf::Publish, &[("_forceNack", "true"), ("quickAck", "true")], false), 0);
}

/// The one for Java writes its users' parameters behind its own.
#[test]
fn of_what_an_sdk_says_twice_the_last_holds() {
    let held = |pairs: &[(&str, &str)], is_sdk: bool| {
        let mut query: Vec<_> = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        override_earlier(&mut query, is_sdk);
        query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    };
    let twice = [("v", "6"), ("heartbeats", "false"), ("heartbeats", "true"), ("v", "5")];
    assert_eq!(held(&twice, true), "heartbeats=true&v=5");
    assert_eq!(held(&twice, false), "v=6&heartbeats=false&heartbeats=true&v=5");
    let named = [("heartbeats", "false"), ("agent", "ably-java/1.8.0"), ("heartbeats", "true")];
    assert_eq!(held(&named, false), "agent=ably-java/1.8.0&heartbeats=true");
    let credentials = [("key", "a.b:c"), ("key", "d.e:f")];
    assert_eq!(held(&credentials, true), "key=a.b:c&key=d.e:f");
    assert_eq!(code(QueryOf::Socket, &credentials, true), 40003);
}

#[test]
fn an_unknown_name_is_refused_unless_an_sdk_says_it() {
    for query_of in QUERIES {
        assert_eq!(code(query_of, &[("rewnid", "10")], false), 40002, "{query_of:?}");
        assert_eq!(code(query_of, &[("rewnid", "10")], true), 0, "{query_of:?}");
        assert_eq!(code(query_of, &[("rewnid", "10"), ("agent", "ably-js/9")], false), 0, "{query_of:?}");
        assert_eq!(code(query_of, &[("rewnid", "10"), ("agent", "")], false), 40002, "{query_of:?}");
    }
    let error = check(QueryOf::Stream, &[("chanels".into(), "secret".into())], false).unwrap_err();
    assert!(error.message.starts_with("there is no parameter 'chanels' here; there are channels, channel, separator"));
    assert!(!error.message.contains("secret"), "{error}");
    let long = check(QueryOf::Plain, &[("x".repeat(9_999), String::new())], false).unwrap_err();
    assert!(long.message.len() < 300, "{}", long.message.len());
}

#[test]
fn a_value_that_is_not_allowed_is_refused_whoever_says_it() {
    for (query_of, name, value) in [
        (QueryOf::Socket, "echo", "maybe"),
        (QueryOf::Socket, "format", "xml"),
        (QueryOf::Socket, "heartbeats", "1"),
        (QueryOf::Socket, "heartbeatInterval", "x"),
        (QueryOf::Socket, "heartbeatInterval", "4999"),
        (QueryOf::Socket, "heartbeatInterval", "1800001"),
        (QueryOf::Socket, "heartbeatInterval", "+5000"),
        (QueryOf::Socket, "remainPresentFor", "999"),
        (QueryOf::Socket, "remainPresentFor", "99999999999999999999"),
        (QueryOf::Socket, "attach", "yes"),
        (QueryOf::Comet, "format", "msgpack"),
        (QueryOf::Comet, "stream", "no"),
        (QueryOf::Stream, "enveloped", "no"),
        (QueryOf::Stream, "heartbeats", "yes"),
        (QueryOf::Stream, "format", "xml"),
        (QueryOf::Publish, "enveloped", "0"),
        (QueryOf::Publish, "ephemeral", "yes"),
        (QueryOf::History, "format", "html"),
        (QueryOf::Channels, "envelope", "xml"),
        (QueryOf::Plain, "callback", "f"),
    ] {
        assert_eq!(code(query_of, &[(name, value)], true), 40003, "{query_of:?} {name}={value}");
    }
    assert_eq!(code(QueryOf::Socket, &[("heartbeatInterval", "5000"), ("echo", ""), ("format", "")], false), 0);
    let error = check(QueryOf::Socket, &[("echo".into(), "maybe".into())], false).unwrap_err();
    assert_eq!(error.message, "the parameter 'echo' must be 'true' or 'false'");
}

#[test]
fn what_would_have_no_effect_is_refused() {
    for name in ["channelSerial", "delta", "filter", "modes", "occupancy", "rewind", "rewindLimit"] {
        for query_of in [QueryOf::Socket, QueryOf::Comet] {
            assert_eq!(code(query_of, &[("channel", "c"), (name, "1")], true), 40003, "{name}");
            assert_eq!(code(query_of, &[("channel", "c"), ("attach", "auto"), (name, "1")], false), 0, "{name}");
        }
    }
}

#[test]
fn what_a_filtered_channel_does_not_have_is_refused() {
    let filtered: [&[(&str, &str)]; 4] = [
        &[("channels", "a,b"), ("filter", "name")],
        &[("channel", "[filter=bmFtZQ==]a")],
        &[("channels", "a,[filter=bmFtZQ==]b")],
        &[("channels", "a;[filter=bmFtZQ==]b"), ("separator", ";")],
    ];
    for query in filtered {
        for (name, value) in
            [("delta", "vcdiff"), ("occupancy", "metrics"), ("rewind", "1"), ("rewindLimit", "1"), ("modes", "publish")]
        {
            let query: Vec<_> = query.iter().copied().chain([(name, value)]).collect();
            assert_eq!(code(QueryOf::Stream, &query, true), 40003, "{query:?}");
        }
        assert_eq!(code(QueryOf::Stream, &[query, &[("modes", "subscribe")]].concat(), false), 0, "{query:?}");
    }
    assert_eq!(code(QueryOf::Stream, &[("channels", "a,[filter"), ("rewind", "1")], false), 0);
}

#[test]
fn a_parameter_says_one_thing() {
    assert_eq!(code(QueryOf::Stream, &[("channels", "a"), ("channels", "b")], false), 40003);
    assert_eq!(code(QueryOf::Stream, &[("channels", "a"), ("channels", "a")], false), 0);
    assert_eq!(code(QueryOf::Socket, &[("x", "a"), ("x", "b")], true), 0, "whatever it is");
}
