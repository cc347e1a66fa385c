//! Capabilities: their canonical text, what they allow, and what two of them allow together.

use proptest::prelude::*;

use crate::auth::{Capability, Operations};
use crate::error::Code;
use crate::limits::{CAPABILITY_MAX_BYTES, CAPABILITY_MAX_RESOURCES};
use crate::model::name::ChannelName;

fn capability(text: &str) -> Capability {
    Capability::parse(text).unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

#[test]
fn the_text_is_canonical() {
    let cases = [
        (r#"{ "b": ["subscribe", "publish"], "a": ["*"] }"#, r#"{"a":["*"],"b":["publish","subscribe"]}"#),
        (r#"{"[*]*":["presence","history","presence"]}"#, r#"{"[*]*":["history","presence"]}"#),
    ];
    for (given, expected) in cases {
        assert_eq!(capability(given).text(), expected);
        assert_eq!(capability(expected).text(), expected);
    }
    assert_eq!(Capability::full().text(), r#"{"*":["*"]}"#);
}

#[test]
fn invalid_texts_are_refused_with_40000() {
    let many: Vec<String> = (0..=CAPABILITY_MAX_RESOURCES).map(|i| format!(r#""{i}":["*"]"#)).collect();
    let cases = [
        r#"{"a":["publish_"]}"#,
        r#"{"a":["*","publish"]}"#,
        r#"{"a":["*","*"]}"#,
        r#"{"a":[]}"#,
        r#"{"a":"publish"}"#,
        r#"{"a":[["publish"]]}"#,
        r#"{"a":{"b":["publish"]}}"#,
        r#"{"a":[1]}"#,
        r#"{"":["*"]}"#,
        r#"{"[what]x":["*"]}"#,
        "{}",
        "[]",
        "null",
        "",
        "publish",
        r#"{"a":["publish"]} x"#,
        &format!("{{{}}}", many.join(",")),
        &format!(r#"{{"{}":["*"]}}"#, "x".repeat(CAPABILITY_MAX_BYTES)),
        &"[".repeat(1_000),
        &format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000)),
        &" ".repeat(1 << 20),
    ];
    for text in cases {
        let error = Capability::parse(text).unwrap_err();
        assert_eq!((error.code, error.status_code), (40000, 400), "{:.60}", text);
    }
}

#[test]
fn operations_of_all_matching_resources_add_up() {
    let both = capability(r#"{"*":["subscribe"],"chat:*":["publish"],"chat:a":["presence"],"[meta]*":["history"]}"#);
    let cases = [
        ("other", Operations::SUBSCRIBE),
        ("chat:b", Operations::SUBSCRIBE | Operations::PUBLISH),
        ("chat:a", Operations::SUBSCRIBE | Operations::PUBLISH | Operations::PRESENCE),
        ("[?rewind=1]chat:b", Operations::SUBSCRIBE | Operations::PUBLISH),
    ];
    for (name, expected) in cases {
        assert_eq!(both.operations(&channel(name)), expected, "{name}");
    }
}

#[test]
fn intersections_follow_the_table() {
    let cases = [
        // The narrower resource wins.
        (r#"{"*":["subscribe"]}"#, r#"{"cansubscribe:*":["subscribe"]}"#, r#"{"cansubscribe:*":["subscribe"]}"#),
        (
            r#"{"canpublish:*":["publish"]}"#,
            r#"{"canpublish:check":["publish"]}"#,
            r#"{"canpublish:check":["publish"]}"#,
        ),
        (r#"{"ns:x":["publish"]}"#, r#"{"ns:*":["publish"]}"#, r#"{"ns:x":["publish"]}"#),
        // `*` is the identity of operations.
        (r#"{"a":["publish","subscribe"]}"#, r#"{"a":["*"]}"#, r#"{"a":["publish","subscribe"]}"#),
        (r#"{"a":["*"]}"#, r#"{"a":["publish"]}"#, r#"{"a":["publish"]}"#),
        // What keeps no operation is dropped.
        (r#"{"a":["publish"],"b":["history"]}"#, r#"{"a":["publish"],"b":["presence"]}"#, r#"{"a":["publish"]}"#),
        // Patterns may overlap without one being the narrower.
        (r#"{"a:*:c":["publish"]}"#, r#"{"a:b:*":["*"]}"#, r#"{"a:b:c":["publish"]}"#),
        // One resource can be allowed through several.
        (
            r#"{"*":["subscribe"],"a":["publish"]}"#,
            r#"{"a":["publish","subscribe"]}"#,
            r#"{"a":["publish","subscribe"]}"#,
        ),
        (
            r#"{"*":["*"],"a":["publish"]}"#,
            r#"{"*":["publish"],"a":["publish"]}"#,
            r#"{"*":["publish"],"a":["publish"]}"#,
        ),
        // Qualifiers must meet.
        (
            r#"{"[*]*":["*"]}"#,
            r#"{"[meta]log":["subscribe"],"x":["publish"]}"#,
            r#"{"[meta]log":["subscribe"],"x":["publish"]}"#,
        ),
        (r#"{"*":["*"]}"#, r#"{"[*]*":["subscribe"]}"#, r#"{"*":["subscribe"]}"#),
    ];
    for (key, wanted, expected) in cases {
        assert_eq!(capability(key).intersect(&capability(wanted)).unwrap().text(), expected, "{key} ∩ {wanted}");
        assert_eq!(capability(wanted).intersect(&capability(key)).unwrap().text(), expected, "{wanted} ∩ {key}");
    }
}

#[test]
fn what_a_token_names_stays_and_what_only_its_key_names_goes_where_it_adds_nothing() {
    let (all, both) = (r#"{"*":["publish"]}"#, r#"{"*":["publish"],"a":["publish"]}"#);
    assert_eq!(capability(all).intersect(&capability(both)).unwrap().text(), both);
    assert_eq!(capability(both).intersect(&capability(all)).unwrap().text(), all);
}

#[test]
fn an_empty_intersection_is_refused() {
    let cases = [
        (r#"{"a":["publish"]}"#, r#"{"b":["publish"]}"#),
        (r#"{"a":["publish"]}"#, r#"{"a":["subscribe"]}"#),
        (r#"{"*":["*"]}"#, r#"{"[meta]*":["*"]}"#),
        (r#"{"ns:*":["*"]}"#, r#"{"ns":["*"]}"#),
    ];
    for (key, wanted) in cases {
        let error = capability(key).intersect(&capability(wanted)).unwrap_err();
        assert!(error.is(Code::NotPermitted) && error.status_code == 401, "{key} ∩ {wanted}");
    }
}

#[test]
fn an_intersection_that_explodes_is_refused() {
    let side = |pattern: &dyn Fn(usize) -> String| {
        let entries: Vec<String> =
            (0..CAPABILITY_MAX_RESOURCES).map(|i| format!(r#""{}":["*"]"#, pattern(i))).collect();
        capability(&format!("{{{}}}", entries.join(",")))
    };
    let error = side(&|i| format!("*:{i}")).intersect(&side(&|i| format!("{i}:*"))).unwrap_err();
    assert!(error.is(Code::BadRequest), "{error}");
}

#[test]
fn it_travels_as_text() {
    let both = capability(r#"{"a":["*"],"b":["publish"]}"#);
    let bytes = postcard::to_allocvec(&both).unwrap();
    assert_eq!(postcard::from_bytes::<Capability>(&bytes).unwrap(), both);
    assert!(postcard::from_bytes::<Capability>(&postcard::to_allocvec(r#"{"b":["what"]}"#).unwrap()).is_err());
}

/// Few segments, so that generated patterns and names often meet.
fn resources() -> impl Strategy<Value = String> {
    let qualifier = prop::sample::select(vec!["", "", "", "[meta]", "[*]"]);
    let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "*"]), 1..4);
    (qualifier, segments).prop_map(|(qualifier, segments)| format!("{qualifier}{}", segments.join(":")))
}

fn capabilities() -> impl Strategy<Value = Capability> {
    let lists = vec![
        r#"["*"]"#,
        r#"["publish"]"#,
        r#"["publish","subscribe"]"#,
        r#"["history","subscribe"]"#,
        r#"["presence"]"#,
    ];
    prop::collection::btree_map(resources(), prop::sample::select(lists), 1..6).prop_map(|entries| {
        let entries: Vec<String> = entries.iter().map(|(name, list)| format!(r#""{name}":{list}"#)).collect();
        capability(&format!("{{{}}}", entries.join(",")))
    })
}

fn channels() -> impl Strategy<Value = ChannelName> {
    let qualifier = prop::sample::select(vec!["", "", "[?rewind=1]"]);
    let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5);
    (qualifier, segments).prop_map(|(qualifier, segments)| channel(&format!("{qualifier}{}", segments.join(":"))))
}

proptest! {
    #[test]
    fn intersection_grants_exactly_what_both_do(
        a in capabilities(), b in capabilities(), names in prop::collection::vec(channels(), 20)
    ) {
        for name in names {
            let granted = a.intersect(&b).map_or(Operations::NONE, |both| both.operations(&name));
            prop_assert_eq!(granted, a.operations(&name) & b.operations(&name), "{} in {:?} ∩ {:?}", name, a, b);
        }
    }

    #[test]
    fn intersection_is_idempotent(a in capabilities()) {
        prop_assert_eq!(a.intersect(&a).unwrap(), a);
    }

    #[test]
    fn the_text_leads_back(a in capabilities()) {
        prop_assert_eq!(Capability::parse(a.text()).unwrap(), a);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", value in "[\\[\\]{}:,\"*a-z]{0,80}") {
        let _ = Capability::parse(&text);
        let _ = Capability::parse(&value);
        let _ = Capability::parse(&format!(r#"{{"{value}":["*"]}}"#));
    }
}
