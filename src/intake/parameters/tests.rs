//! Which parameters each door has, and what they may be.

use super::*;

const DOORS: [Door; 18] = [
    Door::Socket,
    Door::Comet,
    Door::Stream,
    Door::History,
    Door::Publish,
    Door::Batch,
    Door::Members,
    Door::MembersOfMany,
    Door::Objects,
    Door::Annotations,
    Door::ClientSummary,
    Door::Chat,
    Door::ChatHistory,
    Door::ChatReaction,
    Door::Channels,
    Door::Token,
    Door::Stats,
    Door::Plain,
];

fn code(door: Door, pairs: &[(&str, &str)], is_sdk: bool) -> u32 {
    let query: Vec<_> = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    check(door, &query, is_sdk).map_or_else(|error| error.code, |()| 0)
}

#[test]
fn no_door_lists_a_name_twice() {
    for door in DOORS {
        let mut names: Vec<_> = door.known().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{door:?}");
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
    assert_eq!(code(Door::Socket, &node, false), 0);
    let browser = [("access_token", "t"), ("stream", "false"), ("heartbeats", "true"), ("v", "6"), ("rnd", "123")];
    assert_eq!(code(Door::Comet, &browser, false), 0);
    let old = [("v", "1.1"), ("lib", "js-web-1.1.22"), ("upgrade", "key"), ("connection_serial", "5")];
    assert_eq!(code(Door::Socket, &old, false), 0);
    for door in DOORS {
        assert_eq!(code(door, &[("v", "6"), ("agent", "x"), ("rnd", "1"), ("_", "2"), ("key", "k")], false), 0);
    }
    assert_eq!(code(Door::History, &[("start", "1"), ("direction", "forwards"), ("limit", "5")], false), 0);
    assert_eq!(code(Door::Publish, &[("_forceNack", "true"), ("quickAck", "true")], false), 0);
}

#[test]
fn an_unknown_name_is_refused_unless_an_sdk_says_it() {
    for door in DOORS {
        assert_eq!(code(door, &[("rewnid", "10")], false), 40002, "{door:?}");
        assert_eq!(code(door, &[("rewnid", "10")], true), 0, "{door:?}");
        assert_eq!(code(door, &[("rewnid", "10"), ("agent", "ably-js/9")], false), 0, "{door:?}");
        assert_eq!(code(door, &[("rewnid", "10"), ("agent", "")], false), 40002, "{door:?}");
    }
    let error = check(Door::Stream, &[("chanels".into(), "secret".into())], false).unwrap_err();
    assert!(error.message.starts_with("there is no parameter 'chanels' here; there are channels, channel, separator"));
    assert!(!error.message.contains("secret"), "{error}");
    let long = check(Door::Plain, &[("x".repeat(9_999), String::new())], false).unwrap_err();
    assert!(long.message.len() < 300, "{}", long.message.len());
}

#[test]
fn a_value_that_is_not_allowed_is_refused_whoever_says_it() {
    for (door, name, value) in [
        (Door::Socket, "echo", "maybe"),
        (Door::Socket, "format", "xml"),
        (Door::Socket, "heartbeats", "1"),
        (Door::Socket, "heartbeatInterval", "x"),
        (Door::Socket, "heartbeatInterval", "4999"),
        (Door::Socket, "heartbeatInterval", "1800001"),
        (Door::Socket, "heartbeatInterval", "+5000"),
        (Door::Socket, "remainPresentFor", "999"),
        (Door::Socket, "remainPresentFor", "99999999999999999999"),
        (Door::Socket, "attach", "yes"),
        (Door::Comet, "format", "msgpack"),
        (Door::Comet, "stream", "no"),
        (Door::Stream, "enveloped", "no"),
        (Door::Stream, "heartbeats", "yes"),
        (Door::Stream, "format", "xml"),
        (Door::Publish, "enveloped", "0"),
        (Door::Publish, "ephemeral", "yes"),
        (Door::History, "format", "html"),
        (Door::Channels, "envelope", "xml"),
        (Door::Plain, "callback", "f"),
    ] {
        assert_eq!(code(door, &[(name, value)], true), 40003, "{door:?} {name}={value}");
    }
    assert_eq!(code(Door::Socket, &[("heartbeatInterval", "5000"), ("echo", ""), ("format", "")], false), 0);
    let error = check(Door::Socket, &[("echo".into(), "maybe".into())], false).unwrap_err();
    assert_eq!(error.message, "the parameter 'echo' must be 'true' or 'false'");
}

#[test]
fn what_would_have_no_effect_is_refused() {
    for name in ["channelSerial", "delta", "filter", "modes", "occupancy", "rewind", "rewindLimit"] {
        for door in [Door::Socket, Door::Comet] {
            assert_eq!(code(door, &[("channel", "c"), (name, "1")], true), 40003, "{name}");
            assert_eq!(code(door, &[("channel", "c"), ("attach", "auto"), (name, "1")], false), 0, "{name}");
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
            assert_eq!(code(Door::Stream, &query, true), 40003, "{query:?}");
        }
        assert_eq!(code(Door::Stream, &[query, &[("modes", "subscribe")]].concat(), false), 0, "{query:?}");
    }
    assert_eq!(code(Door::Stream, &[("channels", "a,[filter"), ("rewind", "1")], false), 0);
}

#[test]
fn a_parameter_says_one_thing() {
    assert_eq!(code(Door::Stream, &[("channels", "a"), ("channels", "b")], false), 40003);
    assert_eq!(code(Door::Stream, &[("channels", "a"), ("channels", "a")], false), 0);
    assert_eq!(code(Door::Socket, &[("x", "a"), ("x", "b")], true), 0, "whatever it is");
}
